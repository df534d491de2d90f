//! Users as they are now.
//!
//! What the upstream observes of users is how many queues they are in, and nothing else. What a user is stands in their
//! details: it is the record that has no end. So both are asked for, a hundred users at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::try_join_all;
use jiff::Timestamp;

use super::{
    Answered, Client, Errand, Sent, StateNow, TooManyUsers, UpstreamError, UserNow, UserState, UsersNow,
    states::List,
    wire,
    wire::{StatesPage, UserQueues},
};
use crate::query::{Range, StateKind};

/// The details are asked for from so many seconds before now until so many after: clocks differ.
const AROUND: i64 = 300;

/// Those named, or everybody the upstream knows a state of, unless they are more than `most`.
pub(super) async fn read(
    client: &Client,
    users: &BTreeSet<String>,
    most: usize,
    errand: &Errand,
) -> Result<Result<UsersNow, TooManyUsers>, UpstreamError> {
    let sent = Sent::default();
    let now = client.now();
    let around = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap_or(now);
    let range = Range {
        start: around(-AROUND),
        end: around(AROUND),
    };
    let list = |users| List {
        client,
        range,
        users,
        errand,
        sent: &sent,
    };
    let mut told = Users::default();
    let (pages, queues) = if users.is_empty() {
        // Who they are is known only once they have been told.
        let list = list(&[]);
        let first = list.page(1).await?;
        let users = first.value.total_hits.unwrap_or(first.value.users);
        if users > most {
            return Ok(Err(TooManyUsers { users }));
        }
        let pages = list.all_after(first).await?;
        told.add_states(&pages, range);
        let known: Vec<&str> = told.0.keys().map(AsRef::as_ref).collect();
        let queues = observe(client, &known, errand, &sent).await?;
        (pages, queues)
    } else {
        let named: Vec<&str> = users.iter().map(String::as_str).collect();
        let lists = named.chunks(wire::USERS_AT_ONCE).map(list);
        let pages = try_join_all(lists.map(async |list| list.all_after(list.page(1).await?).await));
        let (pages, queues) = futures_util::try_join!(pages, observe(client, &named, errand, &sent))?;
        let pages: Vec<_> = pages.into_iter().flatten().collect();
        told.add_states(&pages, range);
        (pages, queues)
    };
    let sent_at = pages.iter().map(|page| page.sent_at);
    let sent_at = sent_at.chain(queues.iter().map(|queues| queues.sent_at)).min();
    for queues in queues.iter().flat_map(|answered| &answered.value) {
        told.add_queues(queues);
    }
    Ok(Ok(UsersNow {
        users: told.0.into_values().collect(),
        fetched_at: sent_at.unwrap_or(now),
        upstream_calls: sent.take(),
    }))
}

/// In how many queues they are.
async fn observe(
    client: &Client,
    users: &[&str],
    errand: &Errand,
    sent: &Sent,
) -> Result<Vec<Answered<Vec<UserQueues>>>, UpstreamError> {
    let asked = users.chunks(wire::USERS_AT_ONCE).map(|users| {
        let call = wire::user_observations(users);
        client.start(call, errand, sent, |body| wire::read_user_observations(body))
    });
    try_join_all(asked).await
}

/// By their ids.
#[derive(Default)]
struct Users(BTreeMap<Arc<str>, UserNow>);

impl Users {
    fn add_states(&mut self, pages: &[Answered<StatesPage>], range: Range) {
        let mut lasting: Vec<&UserState> = Vec::new();
        for page in pages {
            lasting.extend(page.value.states.iter().filter(|state| state.end.is_none()));
        }
        // What began last is right: what was told earlier may have ended since.
        lasting.sort_by_key(|state| state.start);
        for state in lasting {
            let user = self.user(&state.user);
            let place = match state.kind {
                StateKind::Presence => &mut user.presence,
                StateKind::Routing => &mut user.routing,
            };
            *place = Some(StateNow {
                status: Arc::clone(&state.status),
                presence: state.presence.clone(),
                // Records may be cut to what was asked for; then nothing is known of their beginning.
                since: (state.start != range.start).then_some(state.start),
            });
        }
    }

    fn add_queues(&mut self, queues: &UserQueues) {
        let user = self.user(&queues.user);
        user.member = queues.member;
        user.active = queues.active;
    }

    fn user(&mut self, id: &Arc<str>) -> &mut UserNow {
        let nothing = || UserNow {
            user: Arc::clone(id),
            presence: None,
            routing: None,
            member: None,
            active: None,
        };
        self.0.entry(Arc::clone(id)).or_insert_with(nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn page(states: Vec<UserState>) -> Answered<StatesPage> {
        Answered {
            value: StatesPage {
                users: 1,
                states,
                total_hits: None,
            },
            sent_at: at(100),
        }
    }

    #[test]
    fn a_user_is_what_they_became_last() {
        let state = |user: &str, kind, status: &str, start, end: Option<i64>| UserState {
            user: user.into(),
            kind,
            status: status.into(),
            presence: (kind == StateKind::Presence).then(|| "own".into()),
            start: at(start),
            end: end.map(at),
        };
        let (presence, routing) = (StateKind::Presence, StateKind::Routing);
        let mut users = Users::default();
        let pages = vec![
            page(vec![
                state("b", presence, "AWAY", 60, Some(70)),
                state("a", routing, "IDLE", 50, None),
                state("a", presence, "BUSY", 80, None),
            ]),
            // As it was told before it had ended.
            page(vec![state("a", presence, "ON_QUEUE", 60, None)]),
        ];
        let range = Range {
            start: at(50),
            end: at(150),
        };
        users.add_states(&pages, range);
        for (user, member) in [("a", 3.0), ("c", 0.0)] {
            users.add_queues(&UserQueues {
                user: user.into(),
                member: Some(member),
                active: None,
            });
        }
        let now = |status: &str, presence: Option<&str>, since: Option<i64>| StateNow {
            status: status.into(),
            presence: presence.map(Arc::from),
            since: since.map(at),
        };
        let expected = [
            UserNow {
                user: "a".into(),
                presence: Some(now("BUSY", Some("own"), Some(80))),
                // It may have begun before.
                routing: Some(now("IDLE", None, None)),
                member: Some(3.0),
                active: None,
            },
            UserNow {
                user: "c".into(),
                presence: None,
                routing: None,
                member: Some(0.0),
                active: None,
            },
        ];
        assert_eq!(users.0.into_values().collect::<Vec<_>>(), expected);
    }
}
