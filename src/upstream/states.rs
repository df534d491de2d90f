//! The states of users in a range, page by page.
//!
//! A page is of some users with all their records. The upstream says about how many users there are, and takes out repeats
//! after it has cut pages, so that a short page is not the last: only an empty one is, or a short one at or past the number
//! it said.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use jiff::Timestamp;

use super::{Answered, Client, Errand, Sent, Told, UpstreamError, UserState, UserStates, wire, wire::StatesPage};
use crate::query::Range;

/// Users on a page.
const PAGE_SIZE: usize = 100;
/// Past this, the list is taken to be without end: the upstream pages no deeper.
const MOST_PAGES: usize = 1_000;

/// All of them, or those of some users.
pub(super) async fn read(
    client: &Client,
    range: Range,
    users: &BTreeSet<String>,
    errand: &Errand,
) -> Result<UserStates, UpstreamError> {
    let sent = Sent::default();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut groups: Vec<&[&str]> = users.chunks(wire::USERS_AT_ONCE).collect();
    if groups.is_empty() {
        groups.push(&[]);
    }
    let pages = groups.into_iter().map(async |users| {
        let list = List {
            client,
            range,
            users,
            errand,
            sent: &sent,
        };
        list.all_after(list.page(1).await?).await
    });
    let pages: Vec<Answered<StatesPage>> = try_join_all(pages).await?.into_iter().flatten().collect();
    let fetched_at = pages.iter().map(|page| page.sent_at).min();
    let states = pages.into_iter().flat_map(|page| page.value.states);
    Ok(UserStates {
        states: latest(states.collect()),
        fetched_at: fetched_at.unwrap_or_else(|| client.now()),
        upstream_calls: sent.take(),
    })
}

/// A list of users with what they were in a range: of those named, or of everybody if nobody is.
pub(super) struct List<'a> {
    pub(super) client: &'a Client,
    pub(super) range: Range,
    pub(super) users: &'a [&'a str],
    pub(super) errand: &'a Errand,
    pub(super) sent: &'a Sent,
}

impl List<'_> {
    /// One page; they count from 1.
    pub(super) async fn page(&self, number: usize) -> Result<Answered<StatesPage>, UpstreamError> {
        let call = wire::user_details(self.range, self.users, PAGE_SIZE, number);
        let read = |body: &Bytes| wire::read_user_details(body);
        self.client.start(call, self.errand, self.sent, read).await
    }

    /// All of them, given the first.
    pub(super) async fn all_after(
        &self,
        first: Answered<StatesPage>,
    ) -> Result<Vec<Answered<StatesPage>>, UpstreamError> {
        let announced = first
            .value
            .total_hits
            .unwrap_or(0)
            .div_ceil(PAGE_SIZE)
            .clamp(1, MOST_PAGES);
        let mut pages = vec![first];
        let rest: Vec<_> = stream::iter(2..=announced)
            .map(|number| self.page(number))
            .buffered(self.client.page_concurrency())
            .try_collect()
            .await?;
        pages.extend(rest);
        for number in announced + 1.. {
            let last = pages.last().map_or(0, |page| page.value.users);
            if last < PAGE_SIZE {
                break;
            }
            if number > MOST_PAGES {
                return Err(UpstreamError::Unavailable {
                    reason: "a list of users does not end".to_owned(),
                    told: Told::default(),
                    source: None,
                });
            }
            pages.push(self.page(number).await?);
        }
        Ok(pages)
    }
}

/// Each once, by user, kind and start. A record that lasts may be told twice, once with an end: that one was told later.
fn latest(mut states: Vec<UserState>) -> Vec<UserState> {
    let key = |state: &UserState| (state.user.clone(), state.kind, state.start);
    states.sort_by_cached_key(|state| (key(state), std::cmp::Reverse(state.end.unwrap_or(Timestamp::MIN))));
    states.dedup_by(|next, one| next.user == one.user && next.kind == one.kind && next.start == one.start);
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::StateKind;

    #[test]
    fn a_record_is_told_once_and_with_its_end() {
        let state = |user: &str, start: i64, end: Option<i64>| UserState {
            user: user.into(),
            kind: StateKind::Routing,
            status: "IDLE".into(),
            presence: None,
            start: Timestamp::from_second(start).unwrap(),
            end: end.map(|end| Timestamp::from_second(end).unwrap()),
        };
        let told = vec![
            state("b", 1, None),
            state("a", 5, None),
            state("a", 1, None),
            state("a", 1, Some(3)),
            state("a", 1, Some(2)),
        ];
        let kept = [state("a", 1, Some(3)), state("a", 5, None), state("b", 1, None)];
        assert_eq!(latest(told), kept);
    }
}
