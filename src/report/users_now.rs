//! From what users are to the rows a caller reads: a row per user.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, tz::Offset};

use super::{rows::page, states::fixed_columns};
use crate::{
    query::{NamesById, USERS_NOW_COLUMNS, UsersNowQuery},
    table::{Cell, LocalInstant, Table},
    upstream::{StateNow, UserNow},
};

/// The most users asked about together: at a hundred a request, for their states and for their queues, that is about twenty
/// requests, for what is good for some seconds.
pub(super) const MOST_USERS: usize = 1_000;

/// The page of rows the query asks for, and how many there are in all: by user's name. Who is named has a row, whatever is
/// known; who is not has one if they were told of.
pub(super) fn table(query: &UsersNowQuery, told: &[UserNow], names: &NamesById, told_at: Timestamp) -> (Table, u64) {
    let mut rows: BTreeMap<(&str, &str), Option<&UserNow>> = BTreeMap::new();
    for user in query.users().into_iter().flatten() {
        rows.insert((name_of(user, names), user), None);
    }
    for user in told {
        rows.insert((name_of(&user.user, names), &user.user), Some(user));
    }
    let status = |state: Option<&StateNow>| state.map(|state| Arc::clone(&state.status));
    rows.retain(|_, user| {
        let presence = status(user.and_then(|user| user.presence.as_ref()));
        let routing = status(user.and_then(|user| user.routing.as_ref()));
        query.shows(presence.as_deref(), routing.as_deref())
    });
    let total = rows.len() as u64;
    let cells = |((name, id), user): ((&str, &str), Option<&UserNow>)| {
        let number = |number: Option<f64>| number.map_or(Cell::Empty, Cell::Number);
        let [presence, own, presence_since, presence_time] =
            state(user.and_then(|user| user.presence.as_ref()), told_at);
        let [routing, _, routing_since, routing_time] = state(user.and_then(|user| user.routing.as_ref()), told_at);
        vec![
            Cell::Text(Arc::from(id)),
            Cell::Text(Arc::from(name)),
            presence,
            own,
            presence_since,
            presence_time,
            routing,
            routing_since,
            routing_time,
            number(user.and_then(|user| user.member)),
            number(user.and_then(|user| user.active)),
        ]
    };
    let table = Table {
        columns: fixed_columns(&USERS_NOW_COLUMNS),
        rows: page(query.page, rows.into_iter().collect())
            .into_iter()
            .map(cells)
            .collect(),
    };
    (table, total)
}

fn name_of<'n>(user: &'n str, names: &'n NamesById) -> &'n str {
    names.get(user).map_or(user, AsRef::as_ref)
}

/// What it is, the organisation's own name for it, since when, and for how long.
fn state(state: Option<&StateNow>, told_at: Timestamp) -> [Cell; 4] {
    const NOTHING: [Cell; 4] = [Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty];
    let Some(state) = state else { return NOTHING };
    let text = |text: &Arc<str>| Cell::Text(Arc::clone(text));
    let since = |at: Timestamp| {
        let offset = Offset::UTC;
        Cell::Instant(LocalInstant { at, offset })
    };
    // Clocks differ: what has just begun has not lasted less than no time.
    let lasting = |since: Timestamp| Cell::Number(told_at.duration_since(since).as_millis().max(0) as f64);
    [
        text(&state.status),
        state.presence.as_ref().map_or(Cell::Empty, text),
        state.since.map_or(Cell::Empty, since),
        state.since.map_or(Cell::Empty, lasting),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Limits, NamesByLookup, UsersNowRequest};

    /// Name, presence, its own one, since when, how long, routing status, since when, how long, queues.
    fn shown(text: &str) -> Vec<String> {
        let state = |status: &str, presence: Option<&str>, since: Option<i64>| StateNow {
            status: status.into(),
            presence: presence.map(Arc::from),
            since: since.map(|since| Timestamp::from_second(since).unwrap()),
        };
        let user = |user: &str, presence, routing, member| UserNow {
            user: user.into(),
            presence,
            routing,
            member,
            active: member.map(|queues| queues - 1.0),
        };
        let told = [
            user(
                "a",
                Some(state("ON_QUEUE", Some("own"), Some(60))),
                Some(state("IDLE", None, Some(90))),
                Some(3.0),
            ),
            user("b", Some(state("AWAY", Some("own"), None)), None, None),
            // A clock that goes before ours.
            user("c", None, Some(state("OFF_QUEUE", None, Some(101))), Some(1.0)),
        ];
        let names = NamesById::from([(Arc::from("a"), Arc::from("Zoe")), (Arc::from("b"), Arc::from("Ann"))]);
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let parse = |request: UsersNowRequest| UsersNowQuery::parse(&request, &Limits::default());
        let query = UsersNowRequest::from_pairs(&pairs).meaning(parse).unwrap();
        let query = query.resolve(&NamesByLookup::new()).unwrap();
        let asked = |user: &UserNow| query.users().is_none_or(|users| users.contains(&*user.user));
        let told: Vec<UserNow> = told.into_iter().filter(asked).collect();
        let (table, total) = table(&query, &told, &names, Timestamp::from_second(100).unwrap());
        assert!(table.rows.len() as u64 <= total);
        let text = |cell: &Cell| match cell {
            Cell::Text(text) => text.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Instant(instant) => instant.to_string()[14..19].to_owned(),
            Cell::Interval(_) => panic!("no interval"),
            Cell::Empty => "-".to_owned(),
        };
        let row = |row: &Vec<Cell>| {
            assert_eq!(row.len(), table.columns.len());
            row[1..].iter().map(text).collect::<Vec<_>>().join(" ")
        };
        table.rows.iter().map(row).collect()
    }

    #[test]
    fn a_user_is_a_row_with_what_is_known() {
        let (zoe, ann) = (
            "Zoe ON_QUEUE own 01:00 40000 IDLE 01:30 10000 3 2",
            "Ann AWAY own - - - - - - -",
        );
        let c = "c - - - - OFF_QUEUE 01:41 0 1 0";
        for (text, expected) in [
            ("", &[ann, zoe, c][..]),
            ("filter=agent.id:a,d", &[zoe, "d - - - - - - - - -"]),
            ("filter=agent.id:a,d&presence=ON_QUEUE", &[zoe]),
            ("presence=AWAY,ON_QUEUE", &[ann, zoe]),
            ("routingStatus=OFF_QUEUE", &[c]),
            ("presence=AWAY&routingStatus=IDLE", &[]),
            ("page=2&pageSize=1", &[zoe]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
