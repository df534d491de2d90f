//! What has settled of a chunk, as bytes to be kept on disk, and all of it, as bytes for other replicas.
//!
//! What is read back was checked to be what was written; it is still taken apart as if it
//! could be anything: nothing panics, and nothing is allocated that the bytes at hand do not fill.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    chunk::{Chunk, Column, FIELDS, Group},
    key::Series,
};
use crate::{
    query::{
        Filter, Metric, Range, Source, Zone,
        catalogue::{self, METRICS},
    },
    report::{
        disk,
        packed::{Pieces, pack, put_count, put_text, unpack},
    },
};

/// The most bytes of a chunk taken apart.
const MOST_BYTES: usize = 64 << 20;

/// A bucket whose figures are not there.
const MISSING: i64 = i64::MIN;

/// What a chunk is kept by.
pub(super) fn key(series: &Series, chunk: Range) -> disk::Key {
    disk::Key {
        kind: disk::Kind::Figures(series.source),
        range: chunk,
        question: question_of(series),
    }
}

fn question_of(series: &Series) -> Value {
    let group_by: Vec<_> = series.group_by.iter().map(|dimension| dimension.upstream).collect();
    let clauses = series.filter.clauses.iter();
    let filter: Vec<_> = clauses
        .map(|(dimension, values)| json!([dimension.upstream, values]))
        .collect();
    json!([
        series.granularity.to_string(),
        series.time_zone.name(),
        group_by,
        filter
    ])
}

/// The series again whose chunks are kept by that question; `None` if there is none.
pub(super) fn series(source: Source, question: &Value) -> Option<Series> {
    type Clause = (String, BTreeSet<String>);
    let kept: (String, String, Vec<String>, Vec<Clause>) = serde_json::from_value(question.clone()).ok()?;
    let (granularity, time_zone, group_by, filter) = kept;
    let dimension = |name: &str| catalogue::dimension(name);
    let clauses = filter.into_iter();
    let series = Series {
        source,
        granularity: granularity.parse().ok()?,
        time_zone: Zone::named(&time_zone)?,
        group_by: group_by.iter().map(|name| dimension(name)).collect::<Option<_>>()?,
        filter: Filter {
            clauses: clauses
                .map(|(name, values)| Some((dimension(&name)?, values)))
                .collect::<Option<_>>()?,
        },
    };
    (question_of(&series) == *question).then_some(series)
}

/// The settled buckets of a chunk; `None` if there are none, or they would be too much.
pub(super) fn encode(chunk: &Chunk, settle: SignedDuration) -> Option<Vec<u8>> {
    if chunk.settled(settle) == 0 {
        return None;
    }
    encode_if(chunk, |column, bucket| {
        column.has_settled(bucket, chunk.edges[bucket + 1], settle)
    })
}

/// Whatever is held of a chunk; `None` if it would be too much.
pub(super) fn encode_all(chunk: &Chunk) -> Option<Vec<u8>> {
    encode_if(chunk, |_, _| true)
}

fn encode_if(chunk: &Chunk, is_kept: impl Fn(&Column, usize) -> bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put_count(&mut bytes, chunk.edges.len());
    for edge in chunk.edges.iter() {
        bytes.extend_from_slice(&edge.as_second().to_le_bytes());
    }
    put_count(&mut bytes, chunk.groups.len());
    for group in &chunk.groups {
        for value in group.values.iter().chain([&group.media_type]) {
            bytes.push(u8::from(value.is_some()));
            if let Some(value) = value {
                put_text(&mut bytes, value);
            }
        }
    }
    put_count(&mut bytes, chunk.columns().count());
    for column in chunk.columns() {
        put_text(&mut bytes, column.metric.upstream);
        put_text(&mut bytes, &column.metric.qualified());
        bytes.extend_from_slice(&column.present.to_le_bytes());
        let width = column.present.count_ones() as usize;
        for bucket in 0..chunk.buckets() {
            let fetched_at = column.fetched_at(bucket).filter(|_| is_kept(column, bucket));
            let fetched_at = fetched_at.map_or(Some(MISSING), |at| i64::try_from(at.as_nanosecond()).ok())?;
            bytes.extend_from_slice(&fetched_at.to_le_bytes());
            if fetched_at == MISSING {
                continue;
            }
            bytes.push(u8::from(!column.is_whole(bucket)));
            let cells = column.starts[bucket] as usize..column.starts[bucket + 1] as usize;
            put_count(&mut bytes, cells.len());
            for cell in cells {
                bytes.extend_from_slice(&column.groups[cell].to_le_bytes());
                for value in &column.values[cell * width..(cell + 1) * width] {
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
    (bytes.len() <= MOST_BYTES).then(|| pack(&bytes))
}

/// The chunk again; `None` if it is not one of the series with these edges.
pub(super) fn decode(packed: &[u8], series: &Series, edges: Arc<[Timestamp]>, settle: SignedDuration) -> Option<Chunk> {
    let bytes = unpack(packed, MOST_BYTES)?;
    let mut pieces = Pieces(&bytes);
    let kept_edges = pieces.count(8)?;
    let are_the_same = kept_edges == edges.len();
    for index in 0..kept_edges {
        let edge = pieces.i64()?;
        if !are_the_same || edges[index].as_second() != edge {
            // The zone's rules have changed since.
            return None;
        }
    }
    let mut chunk = Chunk::empty(edges);
    // A group is at least the marks of what it has.
    let width = series.group_by.len() + 1;
    let count = pieces.count(width)?;
    for _ in 0..count {
        let mut value = || match pieces.u8()? {
            0 => Some(None),
            1 => Some(Some(Arc::from(pieces.text()?))),
            _ => None,
        };
        let values = (1..width).map(|_| value()).collect::<Option<Vec<_>>>()?;
        let media_type = value()?;
        chunk.groups.push(Group { values, media_type });
    }
    let columns = pieces.count(1)?;
    for _ in 0..columns {
        let column = column(&mut pieces, &chunk, series.source, settle)?;
        chunk.push_column(column)?;
    }
    pieces.is_at_end().then_some(chunk)
}

fn column(pieces: &mut Pieces<'_>, chunk: &Chunk, source: Source, settle: SignedDuration) -> Option<Column> {
    let metric = metric(source, pieces.text()?, pieces.text()?)?;
    let present = pieces.u16()?;
    if present >= 1 << FIELDS {
        return None;
    }
    let width = present.count_ones() as usize;
    let mut column = Column::of(metric, present);
    for _ in 0..chunk.buckets() {
        let fetched_at = pieces.i64()?;
        let (mut at, mut is_sum) = (None, false);
        if fetched_at != MISSING {
            at = Some(Timestamp::from_nanosecond(fetched_at.into()).ok()?);
            is_sum = match pieces.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let cells = pieces.count(4 + 8 * width)?;
            for _ in 0..cells {
                let group = pieces.u32()?;
                if group as usize >= chunk.groups.len() {
                    return None;
                }
                column.groups.push(group);
                for _ in 0..width {
                    column.values.push(pieces.f64()?);
                }
            }
        }
        column.end_bucket(at, is_sum);
    }
    column.note_settled(&chunk.edges, settle);
    Some(column)
}

fn metric(source: Source, upstream: &str, qualified: &str) -> Option<&'static Metric> {
    METRICS
        .iter()
        .find(|metric| metric.source == source && metric.upstream == upstream && metric.qualified() == qualified)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        query::Granularity,
        report::series::chunk::Fetched,
        table::{SliceRow, Stats},
    };

    const SETTLE: SignedDuration = SignedDuration::from_hours(48);

    fn day() -> Range {
        Range {
            start: "2026-03-01T00:00:00Z".parse().unwrap(),
            end: "2026-03-02T00:00:00Z".parse().unwrap(),
        }
    }

    fn series(granularity: Granularity) -> Series {
        let dimension = |name| catalogue::dimension(name).unwrap();
        Series {
            source: Source::Conversations,
            granularity,
            time_zone: Zone::utc(),
            group_by: vec![dimension("queueId"), dimension("userId")],
            filter: Filter {
                clauses: [(dimension("direction"), ["inbound".to_owned()].into())].into(),
            },
        }
    }

    /// One fetch: which buckets it covered, how many hours after the day it was sent, and a figure for some rows.
    type Fetch = (usize, usize, i64, Vec<(usize, u8, Option<u8>, [Option<f64>; 3])>);

    fn any_fetch() -> impl Strategy<Value = Fetch> {
        let figure = prop::option::of(prop_oneof![Just(0.0), -1e9..1e9_f64]);
        let row = (
            0..24_usize,
            0..4_u8,
            prop::option::of(0..3_u8),
            prop::array::uniform3(figure),
        );
        (0..24_usize, 1..25_usize, 0..60_i64, prop::collection::vec(row, 0..20))
    }

    fn chunk(series: &Series, fetches: &[Fetch]) -> Chunk {
        let edges = series.edges(day());
        let mut chunk = Chunk::empty(Arc::clone(&edges));
        let metrics = ["nOffered", "tHandle", "oServiceLevel"].map(catalogue::metric);
        for (index, (first, count, hours, rows)) in fetches.iter().enumerate() {
            let last = (first + count).min(24);
            let range = Range {
                start: edges[*first],
                end: edges[last],
            };
            let rows = rows.iter().filter(|(bucket, ..)| (*first..last).contains(bucket));
            let rows: Vec<_> = rows
                .map(|(bucket, queue, user, figures)| SliceRow {
                    group: vec![
                        Some(format!("queue {queue}").into()),
                        user.map(|user| format!("{user}").into()),
                    ],
                    media_type: (*queue > 0).then(|| "voice".into()),
                    bucket: chunk.bucket(*bucket),
                    metrics: vec![figures[0].map(|count| Stats {
                        count: Some(count),
                        sum: figures[1],
                        ratio: figures[2],
                        ..Stats::default()
                    })],
                })
                .collect();
            let brought = Fetched {
                range,
                at: day().end + SignedDuration::from_hours(*hours),
                came_at: day().end + SignedDuration::from_hours(*hours),
                metrics: &[metrics[index % 3]],
                is_sum: index % 5 == 4,
            };
            chunk = chunk.with(brought, &rows.iter().collect::<Vec<_>>(), SETTLE);
        }
        chunk
    }

    /// What is known of every settled bucket, with groups by their names.
    fn known(chunk: &Chunk) -> Vec<String> {
        let columns = chunk.columns().flat_map(|column| {
            (0..chunk.buckets()).filter_map(move |bucket| {
                if !column.has_settled(bucket, chunk.edges[bucket + 1], SETTLE) {
                    return None;
                }
                let cells = column.cells(bucket);
                let cells: Vec<_> = cells
                    .map(|(group, stats)| (&chunk.groups[group as usize], stats))
                    .collect();
                let (at, is_whole) = (column.fetched_at(bucket), column.is_whole(bucket));
                Some(format!(
                    "{} {bucket} {at:?} {is_whole} {cells:?}",
                    column.metric.upstream
                ))
            })
        });
        let mut known: Vec<_> = columns.collect();
        known.sort();
        known
    }

    proptest! {
        #[test]
        fn what_has_settled_comes_back(fetches in prop::collection::vec(any_fetch(), 0..8)) {
            let series = series(Granularity::Minutes(60));
            let chunk = chunk(&series, &fetches);
            let Some(bytes) = encode(&chunk, SETTLE) else {
                prop_assert_eq!(chunk.settled(SETTLE), 0);
                return Ok(());
            };
            let back = decode(&bytes, &series, series.edges(day()), SETTLE).unwrap();
            prop_assert_eq!(known(&back), known(&chunk));
            prop_assert_eq!(back.settled(SETTLE), chunk.settled(SETTLE));
            let all = |chunk: &Chunk| chunk.columns().map(|column| column.settled).collect::<Vec<_>>();
            prop_assert_eq!(all(&back), all(&chunk));
        }

        #[test]
        fn all_of_it_comes_back(fetches in prop::collection::vec(any_fetch(), 0..8)) {
            let series = series(Granularity::Minutes(60));
            let chunk = chunk(&series, &fetches);
            let bytes = encode_all(&chunk).unwrap();
            let back = decode(&bytes, &series, series.edges(day()), SETTLE).unwrap();
            let held = |chunk: &Chunk| {
                let columns = chunk.columns().flat_map(|column| {
                    (0..chunk.buckets()).map(move |bucket| {
                        let cells = column.cells(bucket);
                        let cells: Vec<_> = cells.map(|(group, stats)| (&chunk.groups[group as usize], stats)).collect();
                        format!("{} {bucket} {:?} {cells:?}", column.metric.upstream, column.fetched_at(bucket))
                    })
                });
                columns.collect::<Vec<_>>()
            };
            prop_assert_eq!(held(&back), held(&chunk));
        }

        #[test]
        fn what_comes_back_joins_what_is_there(
            before in prop::collection::vec(any_fetch(), 1..6),
            after in prop::collection::vec(any_fetch(), 0..6),
        ) {
            let series = series(Granularity::Minutes(60));
            let (before, after) = (chunk(&series, &before), chunk(&series, &after));
            let joined = after.joined(&before, SETTLE);
            for column in joined.columns() {
                for bucket in 0..24 {
                    let of = |chunk: &Chunk| chunk.column(column.metric).and_then(|column| column.fetched_at(bucket));
                    prop_assert_eq!(column.fetched_at(bucket), of(&before).max(of(&after)));
                    let from = if of(&before) > of(&after) { &before } else { &after };
                    let cells = |chunk: &Chunk| {
                        let cells = chunk.column(column.metric).into_iter().flat_map(|column| column.cells(bucket));
                        let named = cells.map(|(group, stats)| format!("{:?} {stats:?}", chunk.groups[group as usize]));
                        let mut named: Vec<_> = named.collect();
                        named.sort();
                        named
                    };
                    prop_assert_eq!(cells(&joined), cells(from));
                }
            }
        }

        #[test]
        fn what_is_changed_is_refused_or_at_least_no_panic(
            fetches in prop::collection::vec(any_fetch(), 3..8),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let series = series(Granularity::Minutes(60));
            let Some(packed) = encode(&chunk(&series, &fetches), SETTLE) else { return Ok(()) };
            let edges = || series.edges(day());
            let bytes = unpack(&packed, MOST_BYTES).unwrap();
            let mut changed = bytes.clone();
            for (at, to) in changes {
                changed[at.index(bytes.len())] = to;
            }
            // A figure may have changed to another: that is what checksums are for.
            decode(&pack(&changed), &series, edges(), SETTLE);
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&pack(&bytes[..cut]), &series, edges(), SETTLE).is_none());
        }

        #[test]
        fn nonsense_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let series = series(Granularity::Minutes(60));
            let decoded = decode(&pack(&bytes), &series, series.edges(day()), SETTLE);
            prop_assert!(decoded.is_none());
        }
    }

    #[test]
    fn another_grid_is_refused() {
        let hours = series(Granularity::Minutes(60));
        let whole = (0, 24, 48, vec![(1, 1, None, [Some(1.0); 3])]);
        let bytes = encode(&chunk(&hours, &[whole]), SETTLE).unwrap();
        assert!(decode(&bytes, &hours, hours.edges(day()), SETTLE).is_some());
        let half_hours = series(Granularity::Minutes(30));
        assert!(decode(&bytes, &half_hours, half_hours.edges(day()), SETTLE).is_none());
    }

    /// Any difference of the question is one of the key.
    #[test]
    fn every_question_has_a_key_of_its_own() {
        let own = series(Granularity::Minutes(60));
        let dimension = |name| catalogue::dimension(name).unwrap();
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let others = [
            series(Granularity::Minutes(30)),
            Series {
                source: Source::Flows,
                ..own.clone()
            },
            Series {
                time_zone: berlin,
                ..own.clone()
            },
            Series {
                group_by: vec![dimension("queueId")],
                ..own.clone()
            },
            Series {
                filter: Filter::default(),
                ..own.clone()
            },
            Series {
                filter: Filter {
                    clauses: [(dimension("direction"), ["inbound\",\"outbound".to_owned()].into())].into(),
                },
                ..own.clone()
            },
        ];
        for other in others.iter().chain([&own]) {
            assert_eq!(super::series(other.source, &question_of(other)).as_ref(), Some(other));
        }
        let text = |series: &Series, range| format!("{:?}", key(series, range));
        let later = Range {
            start: day().end,
            end: day().end + SignedDuration::from_hours(24),
        };
        let mut texts: Vec<_> = others.iter().map(|series| text(series, day())).collect();
        texts.extend([text(&own, day()), text(&own, later)]);
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), others.len() + 2);
    }

    #[test]
    fn what_is_no_question_is_no_series() {
        let sound = question_of(&series(Granularity::Minutes(60)));
        assert!(super::series(Source::Conversations, &sound).is_some());
        for (place, wrong) in [
            (0, json!("PT7H")),
            (0, json!("PT60M")),
            (1, json!("Europe/Atlantis")),
            (2, json!(["nothing"])),
            (2, json!(["routing.queue.id"])),
            (3, json!([["direction", "inbound"]])),
            (3, json!([["nothing", ["inbound"]]])),
        ] {
            let mut question = sound.clone();
            question[place] = wrong;
            assert_eq!(super::series(Source::Conversations, &question), None, "{question}");
        }
        assert_eq!(super::series(Source::Conversations, &json!(["started", []])), None);
    }

    /// A metric is found again by what it is kept by.
    #[test]
    fn every_metric_is_kept_by_a_name_of_its_own() {
        for known in METRICS {
            assert_eq!(metric(known.source, known.upstream, &known.qualified()), Some(known));
        }
    }

    fn examples() -> Vec<Vec<u8>> {
        let series = series(Granularity::Minutes(60));
        let rows = |count: u8| {
            (0..count).map(|row| {
                let figure = Some(f64::from(row) * 1.5);
                (
                    usize::from(row),
                    row % 4,
                    (row % 2 == 0).then_some(row % 3),
                    [figure, None, figure],
                )
            })
        };
        let fetches: [Vec<Fetch>; 3] = [
            vec![(0, 24, 48, rows(20).collect())],
            vec![
                (0, 12, 0, rows(6).collect()),
                (6, 12, 50, rows(18).collect()),
                (0, 24, 59, Vec::new()),
            ],
            vec![(3, 1, 10, Vec::new())],
        ];
        let packed = fetches
            .iter()
            .map(|fetches| encode_all(&chunk(&series, fetches)).unwrap());
        packed
            .flat_map(|packed| [unpack(&packed, MOST_BYTES).unwrap(), packed])
            .collect()
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// What is taken for a chunk is one that can be written, and is the same when it is read again.
        #[test]
        fn fuzz_chunks(bytes in crate::fuzz::changed(examples()), is_packed in any::<bool>()) {
            let series = series(Granularity::Minutes(60));
            let packed = if is_packed { bytes } else { pack(&bytes) };
            if let Some(chunk) = decode(&packed, &series, series.edges(day()), SETTLE) {
                prop_assert_eq!(chunk.buckets(), 24);
                let again = decode(&encode_all(&chunk).unwrap(), &series, series.edges(day()), SETTLE).unwrap();
                prop_assert_eq!(known(&again), known(&chunk));
            }
        }
    }
}
