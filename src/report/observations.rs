//! From what the upstream observes of queues to the rows a caller reads: a row per queue, or per queue and media type.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, tz::Offset};

use super::rows::page;
use crate::{
    query::{
        NamesById, NowQuery,
        catalogue::{self, OBSERVATIONS, Observation, Observed, Shows},
    },
    table::{Cell, ColumnKind, LocalInstant, Table, TableColumn},
    upstream::ObservedRow,
};

/// A queue and, if rows are told apart by it, the media type.
type Group = (Arc<str>, Option<Arc<str>>);

/// A row: the figures in the order of [`OBSERVATIONS`].
type ObservedCells = (Group, Vec<Option<f64>>);

/// The page of rows the query asks for, and how many there are in all. Every queue asked about has a row; what was
/// observed of others is passed over.
pub(super) fn table(
    query: &NowQuery,
    observed: &[ObservedRow],
    names: &NamesById,
    observed_at: Timestamp,
) -> (Table, u64) {
    let shown: Vec<(usize, &Observation)> = OBSERVATIONS
        .iter()
        .enumerate()
        .filter(|(_, observation)| !query.by_media_type || observation.of == Observed::Interactions)
        .collect();
    let mut rows: BTreeMap<Group, Vec<Option<f64>>> = BTreeMap::new();
    if !query.by_media_type {
        let queues: Vec<Arc<str>> = match query.queues() {
            Some(asked) => asked.iter().map(|queue| Arc::from(queue.as_str())).collect(),
            None => names.keys().cloned().collect(),
        };
        let empty = |queue| ((queue, None), vec![None; OBSERVATIONS.len()]);
        rows.extend(queues.into_iter().map(empty));
    }
    let is_asked = |queue: &str| match query.queues() {
        Some(asked) => asked.contains(queue),
        None => names.contains_key(queue),
    };
    for row in observed.iter().filter(|row| is_asked(&row.queue)) {
        let media_type = row.media_type.as_ref();
        if media_type.is_some_and(|media_type| !query.is_about(media_type)) {
            continue;
        }
        let media_type = media_type.filter(|_| query.by_media_type);
        if query.by_media_type && media_type.is_none() {
            continue;
        }
        let key = (Arc::clone(&row.queue), media_type.cloned());
        let sums = rows.entry(key).or_insert_with(|| vec![None; OBSERVATIONS.len()]);
        for ((observation, sum), value) in OBSERVATIONS.iter().zip(sums).zip(&row.values) {
            // Of the agents of a queue, those in a state nobody is in are not told of.
            let nobody = (row.media_type.is_none() && observation.of == Observed::Agents).then_some(0.0);
            *sum = together(observation.shows, *sum, value.or(nobody));
        }
    }
    let name_of = |queue: &Arc<str>| names.get(queue).unwrap_or(queue).clone();
    let mut rows: Vec<ObservedCells> = rows.into_iter().collect();
    rows.sort_by_cached_key(|((queue, media_type), _)| (name_of(queue), Arc::clone(queue), media_type.clone()));
    let total = rows.len() as u64;
    let cells = |((queue, media_type), values): ObservedCells| {
        let mut cells = vec![Cell::Text(Arc::clone(&queue)), Cell::Text(name_of(&queue))];
        if query.by_media_type {
            cells.push(media_type.map_or(Cell::Empty, Cell::Text));
        }
        cells.extend(
            shown
                .iter()
                .map(|(place, observation)| cell(observation.shows, values[*place], observed_at)),
        );
        cells
    };
    let table = Table {
        columns: columns(query, shown.iter().map(|(_, observation)| *observation)),
        rows: page(query.page, rows).into_iter().map(cells).collect(),
    };
    (table, total)
}

/// Over media types counts add, and what has lasted longest began first.
fn together(shows: Shows, left: Option<f64>, right: Option<f64>) -> Option<f64> {
    let (Some(first), Some(second)) = (left, right) else {
        return left.or(right);
    };
    Some(match shows {
        Shows::Count => first + second,
        Shows::Since | Shows::Lasting => first.min(second),
    })
}

fn columns<'o>(query: &NowQuery, shown: impl Iterator<Item = &'o Observation>) -> Vec<TableColumn> {
    let column = |name: &str, kind| TableColumn {
        name: name.to_owned(),
        title: catalogue::in_words(name),
        kind,
    };
    let mut columns = vec![
        column("routing.queue.id", ColumnKind::Text),
        column("routing.queue.name", ColumnKind::Text),
    ];
    if query.by_media_type {
        columns.push(column("media.type", ColumnKind::Text));
    }
    columns.extend(shown.map(|observation| {
        let kind = match observation.shows {
            Shows::Count => ColumnKind::Count,
            Shows::Since => ColumnKind::Instant,
            Shows::Lasting => ColumnKind::Milliseconds,
        };
        column(observation.name, kind)
    }));
    columns
}

/// The upstream tells since when, as milliseconds since the epoch.
fn cell(shows: Shows, value: Option<f64>, observed_at: Timestamp) -> Cell {
    let Some(value) = value else { return Cell::Empty };
    match shows {
        Shows::Count => Cell::Number(value),
        Shows::Since => instant(value).map_or(Cell::Empty, |at| {
            let offset = Offset::UTC;
            Cell::Instant(LocalInstant { at, offset })
        }),
        Shows::Lasting => Cell::Number((observed_at.as_millisecond() as f64 - value).max(0.0)),
    }
}

fn instant(milliseconds: f64) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and what is no instant is refused"
    )]
    let whole = milliseconds as i64;
    Timestamp::from_millisecond(whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Limits, NamesByLookup, NowRequest};

    fn query(text: &str) -> NowQuery {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let named = NowRequest::from_pairs(&pairs).meaning(|request| NowQuery::parse(&request, &Limits::default()));
        named.unwrap().resolve(&NamesByLookup::new()).unwrap()
    }

    fn row(queue: &str, media_type: Option<&str>, values: &[(&str, f64)]) -> ObservedRow {
        let value = |observation: &Observation| {
            let named = values.iter().find(|(name, _)| *name == observation.name);
            named.map(|(_, value)| *value)
        };
        ObservedRow {
            queue: queue.into(),
            media_type: media_type.map(Into::into),
            values: OBSERVATIONS.iter().map(value).collect(),
        }
    }

    /// Queue, what waits, since when, how long, members.
    fn shown(text: &str) -> Vec<String> {
        let observed = [
            row("b", None, &[("agents.member", 3.0)]),
            row(
                "b",
                Some("chat"),
                &[
                    ("waiting.count", 1.0),
                    ("waiting.longest.since", 2_000.0),
                    ("waiting.longest.time", 2_000.0),
                ],
            ),
            row(
                "b",
                Some("voice"),
                &[
                    ("waiting.count", 2.0),
                    ("waiting.longest.since", 1_000.0),
                    ("waiting.longest.time", 1_000.0),
                ],
            ),
            row("a", Some("voice"), &[("waiting.count", 0.0)]),
        ];
        let names = NamesById::from([
            (Arc::from("a"), Arc::from("Sales")),
            (Arc::from("b"), Arc::from("Care")),
            (Arc::from("c"), Arc::from("c")),
        ]);
        let (table, _) = table(
            &query(text),
            &observed,
            &names,
            Timestamp::from_millisecond(5_000).unwrap(),
        );
        let cells = |row: &Vec<Cell>| {
            let wanted = [
                "routing.queue.name",
                "media.type",
                "waiting.count",
                "waiting.longest.since",
                "waiting.longest.time",
                "agents.member",
            ];
            let shown = table
                .columns
                .iter()
                .zip(row)
                .filter(|(column, _)| wanted.contains(&&*column.name));
            let texts = shown.map(|(_, cell)| match cell {
                Cell::Empty => "-".to_owned(),
                Cell::Text(text) => text.to_string(),
                Cell::Number(number) => number.to_string(),
                Cell::Instant(instant) => instant.to_string(),
                Cell::Interval(_) => panic!("no interval"),
            });
            texts.collect::<Vec<_>>().join(" ")
        };
        table.rows.iter().map(cells).collect()
    }

    #[test]
    fn media_types_are_put_together_unless_they_are_asked_for() {
        for (text, expected) in [
            (
                "",
                &[
                    "Care 3 1970-01-01T00:00:01.000+00:00 4000 3",
                    "Sales 0 - - -",
                    "c - - - -",
                ][..],
            ),
            (
                "filter=media.type:chat",
                &[
                    "Care 1 1970-01-01T00:00:02.000+00:00 3000 3",
                    "Sales - - - -",
                    "c - - - -",
                ],
            ),
            (
                "groupBy=media.type",
                &[
                    "Care chat 1 1970-01-01T00:00:02.000+00:00 3000",
                    "Care voice 2 1970-01-01T00:00:01.000+00:00 4000",
                    "Sales voice 0 - -",
                ],
            ),
            ("pageSize=1&page=2", &["Sales 0 - - -"]),
            ("filter=queueId:a", &["Sales 0 - - -"]),
            ("filter=queueId:a&groupBy=media.type", &["Sales voice 0 - -"]),
            ("filter=queueId:d", &["d - - - -"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
