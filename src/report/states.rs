//! The states of users: windows of whole days in, rows out.
//!
//! What is held is windows of whole UTC days as they were asked for: the days that are over in as few requests as the
//! upstream's bound on intervals allows, and today by itself, as that is asked for again and again. A record belongs to
//! every window it was in, and counts as lasting where it outlasts the window: so what is held of a day that has settled
//! changes no more, however long somebody stays away.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{MAX_ROWS, ReportError, rows::page};
use crate::{
    query::{NamesById, Range, STATE_COLUMNS, StatesQuery, catalogue},
    table::{Cell, ColumnKind, LocalInstant, Table, TableColumn},
    upstream::UserState,
};

/// The longest interval the upstream takes of a question about everybody, and about some users.
const LONGEST_OF_ALL: SignedDuration = SignedDuration::from_hours(7 * 24);
const LONGEST_OF_SOME: SignedDuration = SignedDuration::from_hours(31 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What is asked of the upstream, and held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window {
    /// Whole UTC days.
    pub(super) days: Range,
    /// Of whom; everybody where nobody is named.
    pub(super) users: BTreeSet<String>,
}

/// The windows of a question, in order. None where its range is still to come.
pub(super) fn windows(query: &StatesQuery, now: Timestamp) -> Vec<Window> {
    let users = query.users().cloned().unwrap_or_default();
    let longest = if users.is_empty() {
        LONGEST_OF_ALL
    } else {
        LONGEST_OF_SOME
    };
    let today = midnight(now);
    let end = query.range.end.min(now);
    let mut windows = Vec::new();
    let mut start = midnight(query.range.start);
    while start < end {
        let most = if start < today { today } else { start + DAY };
        let days = Range {
            start,
            end: (start + longest).min(most).min(midnight_after(end)),
        };
        start = days.end;
        windows.push(Window {
            days,
            users: users.clone(),
        });
    }
    windows
}

fn midnight(instant: Timestamp) -> Timestamp {
    let second = instant.as_second();
    Timestamp::from_second(second - second.rem_euclid(DAY.as_secs())).unwrap_or(instant)
}

fn midnight_after(instant: Timestamp) -> Timestamp {
    let midnight = midnight(instant);
    if midnight < instant { midnight + DAY } else { midnight }
}

impl Window {
    /// What is held of it: what was in it, without ends that lie after it.
    pub(super) fn within(&self, states: Vec<UserState>) -> Vec<UserState> {
        let states = states.into_iter().filter(|state| overlaps(state, self.days));
        states
            .map(|state| UserState {
                end: state.end.filter(|end| *end <= self.days.end),
                ..state
            })
            .collect()
    }
}

fn overlaps(state: &UserState, range: Range) -> bool {
    state.start < range.end && state.end.is_none_or(|end| range.start < end)
}

/// The page of rows asked for, and how many there are in all: by user, kind and start. `windows` are what was told of each,
/// in order, with the instant they were asked for.
pub(super) fn table(
    query: &StatesQuery,
    windows: &[(Timestamp, Arc<[UserState]>)],
    names: &NamesById,
) -> Result<(Table, u64), ReportError> {
    let asked_at = windows.last().map_or(query.range.start, |(asked_at, _)| *asked_at);
    // Nothing is known of what is still to come.
    let known = Range::new(query.range.start, query.range.end.min(asked_at));
    let mut states: Vec<&UserState> = Vec::new();
    for state in windows.iter().flat_map(|(_, states)| states.iter()) {
        if query.is_about(state.kind) {
            states.push(state);
        }
    }
    let name_of = |user: &Arc<str>| names.get(user).unwrap_or(user).clone();
    // Stable: of the same record, what a later window tells stands last, and is right.
    states.sort_by_cached_key(|state| (name_of(&state.user), Arc::clone(&state.user), state.kind, state.start));
    states.reverse();
    states.dedup_by(|earlier, later| {
        earlier.user == later.user && earlier.kind == later.kind && earlier.start == later.start
    });
    states.reverse();
    states.retain(|state| known.is_some_and(|known| overlaps(state, known)));
    let total = states.len() as u64;
    if total > MAX_ROWS {
        return Err(ReportError::TooManyRows {
            rows: total,
            limit: MAX_ROWS,
        });
    }
    let instant = |at: Timestamp| {
        Cell::Instant(LocalInstant {
            at,
            offset: query.time_zone.offset_at(at),
        })
    };
    let text = |text: &str| Cell::Text(Arc::from(text));
    let cells = |state: &UserState| {
        // Whether it ended within the range: what comes later is not told, as it may not be known yet.
        let end = state.end.filter(|end| *end <= query.range.end);
        let until = end.unwrap_or(query.range.end.min(asked_at));
        vec![
            Cell::Text(Arc::clone(&state.user)),
            Cell::Text(name_of(&state.user)),
            text(state.kind.name()),
            Cell::Text(Arc::clone(&state.status)),
            state.presence.clone().map_or(Cell::Empty, Cell::Text),
            instant(state.start),
            end.map_or(Cell::Empty, instant),
            end.map_or(Cell::Empty, |end| milliseconds(state.start, end)),
            milliseconds(state.start.max(query.range.start), until),
        ]
    };
    let table = Table {
        columns: fixed_columns(&STATE_COLUMNS),
        rows: page(query.page, states).into_iter().map(cells).collect(),
    };
    Ok((table, total))
}

fn milliseconds(start: Timestamp, end: Timestamp) -> Cell {
    let length = end.duration_since(start).as_millis().max(0);
    Cell::Number(length as f64)
}

/// Columns that are there whatever is asked.
pub(super) fn fixed_columns(columns: &[(&str, ColumnKind)]) -> Vec<TableColumn> {
    columns
        .iter()
        .map(|(name, kind)| TableColumn {
            name: (*name).to_owned(),
            title: catalogue::in_words(name),
            kind: *kind,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Limits, NamesByLookup, StateKind, StatesRequest};

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }

    fn query(text: &str) -> StatesQuery {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let parse = |request: StatesRequest| StatesQuery::parse(&request, at("20T10:30"), &Limits::default());
        let named = StatesRequest::from_pairs(&pairs).meaning(parse).unwrap();
        named.resolve(&NamesByLookup::new()).unwrap()
    }

    #[test]
    fn days_that_are_over_are_asked_together_and_today_alone() {
        for (asked, expected) in [
            ("dateFrom=2026-03-19&dateTo=2026-03-20", &["19-20"][..]),
            ("dateFrom=2026-03-19T08:00:00Z&dateTo=2026-03-19T09:00:00Z", &["19-20"]),
            ("dateFrom=today", &["20-21"]),
            ("dateFrom=2026-03-20&dateTo=2026-03-25", &["20-21"]),
            (
                "dateFrom=2026-03-18T12:00:00Z&dateTo=2026-03-20T09:00:00Z",
                &["18-20", "20-21"],
            ),
            (
                "dateFrom=2026-03-01&dateTo=2026-03-21",
                &["01-08", "08-15", "15-20", "20-21"],
            ),
            (
                "dateFrom=2026-03-01&dateTo=2026-03-21&filter=agent.id:a",
                &["01-20", "20-21"],
            ),
            ("dateFrom=2026-03-22&dateTo=2026-03-23", &[]),
        ] {
            let windows = windows(&query(asked), at("20T10:30"));
            let days = windows.iter().map(|window| {
                let days = [window.days.start, window.days.end].map(|day| day.to_string()[8..10].to_owned());
                days.join("-")
            });
            assert_eq!(days.collect::<Vec<_>>(), expected, "{asked}");
        }
    }

    fn state(user: &str, kind: StateKind, start: &str, end: Option<&str>) -> UserState {
        UserState {
            user: user.into(),
            kind,
            status: "IDLE".into(),
            presence: (kind == StateKind::Presence).then(|| "p".into()),
            start: at(start),
            end: end.map(at),
        }
    }

    #[test]
    fn a_window_tells_of_nothing_after_it() {
        let days = Range {
            start: at("18T00:00"),
            end: at("19T00:00"),
        };
        let window = Window {
            days,
            users: BTreeSet::new(),
        };
        let presence = |start: &str, end: Option<&str>| state("a", StateKind::Presence, start, end);
        let told = window.within(vec![
            presence("17T10:00", Some("18T00:00")),
            presence("17T11:00", Some("18T09:00")),
            presence("18T09:00", Some("19T00:00")),
            presence("18T10:00", Some("19T08:00")),
            presence("18T11:00", None),
            presence("19T00:00", None),
        ]);
        let ends: Vec<_> = told.iter().map(|state| state.end).collect();
        assert_eq!(ends, [Some(at("18T09:00")), Some(at("19T00:00")), None, None]);
    }

    #[test]
    fn a_record_of_several_windows_is_one_row_with_its_time_in_the_range() {
        let (presence, routing) = (StateKind::Presence, StateKind::Routing);
        let windows: [(Timestamp, Arc<[UserState]>); 2] = [
            (
                at("20T01:00"),
                [
                    state("u1", presence, "18T22:00", None),
                    state("u2", presence, "17T00:00", Some("18T23:00")),
                    state("u1", routing, "18T08:00", Some("18T10:00")),
                ]
                .into(),
            ),
            (
                at("20T10:00"),
                [
                    state("u1", presence, "18T22:00", Some("20T02:00")),
                    state("u1", presence, "20T02:00", None),
                ]
                .into(),
            ),
        ];
        let names = NamesById::from([(Arc::from("u1"), Arc::from("Zoe")), (Arc::from("u2"), Arc::from("Ann"))]);
        let rows = |asked: &str| -> Vec<String> {
            let (table, total) = table(&query(asked), &windows, &names).unwrap();
            let text = |cell: &Cell| match cell {
                Cell::Text(text) => text.to_string(),
                Cell::Instant(instant) => instant.to_string()[8..16].to_owned(),
                Cell::Number(number) => format!("{}h", number / 3_600_000.0),
                Cell::Interval(_) | Cell::Empty => "-".to_owned(),
            };
            assert_eq!(total, table.rows.len() as u64);
            let rows = table.rows.iter();
            rows.map(|row| row[1..].iter().map(text).collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(
            rows("dateFrom=2026-03-18&dateTo=2026-03-21"),
            [
                "Ann presence IDLE p 17T00:00 18T23:00 47h 23h",
                "Zoe presence IDLE p 18T22:00 20T02:00 28h 28h",
                "Zoe presence IDLE p 20T02:00 - - 8h",
                "Zoe routing IDLE - 18T08:00 18T10:00 2h 2h",
            ]
        );
        // What ends after the range is not told to have ended, whether or not that is known.
        assert_eq!(
            rows("dateFrom=2026-03-19&dateTo=2026-03-20&timeZone=Europe/Berlin&kind=presence"),
            ["Zoe presence IDLE p 18T23:00 - - 24h"]
        );
        let none: [(Timestamp, Arc<[UserState]>); 0] = [];
        let (table, total) = table(&query("dateFrom=2026-03-22&dateTo=2026-03-23"), &none, &names).unwrap();
        assert_eq!((table.columns.len(), table.rows.len(), total), (9, 0, 0));
    }
}
