//! What planning and merging cost: 400 days of half hours over 50 queues.
//!
//! `cargo bench --bench held`; the figures stand in docs/caching.md. Bytes are those of the answers of Genesys Cloud that
//! what is merged came in, as it writes them, or, where the name says so, those it takes in memory.

use std::{env, fmt::Write as _, sync::LazyLock};

use divan::{Bencher, black_box, counter::BytesCount};
use genesys_reports::{
    encode::{csv, json, ndjson},
    query::{AggregateQuery, Limits, NamesByLookup, Query, QueryRequest, Range},
    report::Workbench,
    table::{Slice, SliceRow, Stats, Table},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", piece, times, ..] => repeat(piece, times.parse().expect("how often")),
        _ => divan::main(),
    }
}

/// Does one piece of work so often and nothing else: what `./bench` counts the instructions of, under valgrind. Of forty
/// days: everything takes fifty times as long there.
fn repeat(piece: &str, times: usize) {
    let half_hours = question_since("2026-01-21", HALF_HOURS, FIGURES);
    let of_days = question_since("2026-01-21", "interval=P1D&groupBy=routing.queue.id", FIGURES);
    let held = held(&half_hours).bench;
    let page = held.page(&of_days, now());
    let range = days(&half_hours)[20];
    let (fetch, slice) = day(&half_hours.aggregate, range, now());
    for _ in 0..times {
        match piece {
            "plan" => drop(black_box(held.plan(black_box(&half_hours), now()))),
            "merge" => drop(black_box(held.merge(black_box(&of_days), now()))),
            "hold" => held.hold(black_box(&fetch), black_box(&slice)),
            "order" => drop(black_box(held.page(black_box(&of_days), now()))),
            "json" => encoded(&page, json::write_entities),
            "ndjson" => encoded(&page, ndjson::write_lines),
            "csv" => encoded(&page, csv::write_records),
            other => panic!("there is no piece {other}"),
        }
    }
}

fn encoded(table: &Table, write: fn(&Table, &mut Vec<u8>)) {
    let mut out = Vec::new();
    write(black_box(table), &mut out);
    black_box(out);
}

const QUEUES: usize = 50;
const HALF_HOURS: &str = "interval=PT30M&groupBy=routing.queue.id";
const FIGURES: &str = "select=conversation.offered,handle.time.average,service.level";

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn now() -> Timestamp {
    instant("2026-03-02T12:00:00Z")
}

/// 400 days up to now, cut and grouped like that.
fn question(cut: &str, figures: &str) -> Query {
    question_since("2025-01-26", cut, figures)
}

fn question_since(from: &str, cut: &str, figures: &str) -> Query {
    let text = format!("dateFrom={from}&dateTo=2026-03-02&timeZone=Europe/Berlin&{cut}&{figures}");
    let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let parsed = QueryRequest::from_pairs(&pairs)
        .meaning(|request| Query::parse(&request, now(), &Limits::default()))
        .unwrap_or_else(|complaints| panic!("{complaints:?}"));
    parsed.resolve(&NamesByLookup::new()).expect("there are no names in it")
}

/// What Genesys Cloud says of a day: something happened in every queue in every half hour.
fn day(query: &AggregateQuery, range: Range, fetched_at: Timestamp) -> (AggregateQuery, Slice) {
    let fetch = AggregateQuery { range, ..query.clone() };
    let granularity = fetch.granularity.expect("half hours");
    let mut rows = Vec::new();
    for bucket in granularity.buckets(range, &fetch.time_zone) {
        for (queue, shift) in (0..QUEUES).zip((0..).step_by(7)) {
            let count = ((bucket.start.as_second() / 1800 + shift) % 23 + 1) as f64;
            rows.push(SliceRow {
                group: vec![Some(format!("cd6ce1e5-c098-402e-8265-aecb48b6{queue:04}").into())],
                media_type: Some("voice".into()),
                bucket,
                metrics: fetch
                    .metrics
                    .iter()
                    .map(|metric| Some(stats(metric.upstream, count)))
                    .collect(),
            });
        }
    }
    let slice = Slice {
        rows,
        fetched_at,
        came_at: fetched_at,
        upstream_calls: 1,
    };
    (fetch, slice)
}

fn stats(metric: &str, count: f64) -> Stats {
    match metric {
        "nOffered" => Stats {
            count: Some(count),
            ..Stats::default()
        },
        "tHandle" => Stats {
            count: Some(count),
            sum: Some(count * 183_211.0),
            min: Some(4_210.0),
            max: Some(911_034.0),
            ..Stats::default()
        },
        _ => Stats {
            ratio: Some(0.75),
            numerator: Some(count * 0.75),
            denominator: Some(count),
            target: Some(0.8),
            ..Stats::default()
        },
    }
}

fn days(query: &Query) -> Vec<Range> {
    let days = genesys_reports::query::Granularity::Day;
    days.buckets(query.aggregate.range, &query.aggregate.time_zone)
        .collect()
}

/// The same as the text it comes in.
fn written(slice: &Slice, metrics: &AggregateQuery) -> String {
    let mut text = String::from("{\"results\":[");
    for queue in 0..QUEUES {
        let rows = slice.rows.iter().skip(queue).step_by(QUEUES);
        let group = slice.rows[queue].group[0].as_deref().expect("a queue");
        let _ = write!(
            text,
            "{}{{\"group\":{{\"queueId\":\"{group}\",\"mediaType\":\"voice\"}},\"data\":[",
            if queue > 0 { "," } else { "" }
        );
        for (index, row) in rows.enumerate() {
            let _ = write!(
                text,
                "{}{{\"interval\":\"{}\",\"metrics\":[",
                if index > 0 { "," } else { "" },
                row.bucket
            );
            for (place, (metric, stats)) in metrics.metrics.iter().zip(&row.metrics).enumerate() {
                let stats = stats.expect("it happened");
                let _ = write!(
                    text,
                    "{}{{\"metric\":\"{}\",\"stats\":{{",
                    if place > 0 { "," } else { "" },
                    metric.upstream
                );
                let fields = [
                    ("max", stats.max),
                    ("min", stats.min),
                    ("count", stats.count),
                    ("sum", stats.sum),
                    ("ratio", stats.ratio),
                    ("numerator", stats.numerator),
                    ("denominator", stats.denominator),
                    ("target", stats.target),
                ];
                let present = fields.iter().filter_map(|(name, value)| Some((name, (*value)?)));
                for (place, (name, value)) in present.enumerate() {
                    let _ = write!(text, "{}\"{name}\":{value}", if place > 0 { "," } else { "" });
                }
                text.push_str("}}");
            }
            text.push_str("]}");
        }
        text.push_str("]}");
    }
    text.push_str("]}");
    text
}

/// All of it held, and how many bytes it came in.
struct Held {
    bench: Workbench,
    written_bytes: usize,
}

/// The last two days were fetched an hour ago, all before when it had settled.
static HELD: LazyLock<Held> = LazyLock::new(|| held(&question(HALF_HOURS, FIGURES)));

fn held(query: &Query) -> Held {
    let bench = Workbench::new(1 << 30);
    let mut written_bytes = 0;
    for range in days(query) {
        let fetched_at = (range.end + SignedDuration::from_hours(72)).min(now() - SignedDuration::from_mins(30));
        let (fetch, slice) = day(&query.aggregate, range, fetched_at);
        bench.hold(&fetch, &slice);
        written_bytes += written(&slice, &fetch).len();
    }
    Held { bench, written_bytes }
}

mod plan {
    use super::{Bencher, FIGURES, HALF_HOURS, HELD, SignedDuration, Workbench, black_box, now, question};

    #[divan::bench]
    fn of_what_is_not_held(bencher: Bencher) {
        let (bench, query) = (Workbench::new(1 << 30), question(HALF_HOURS, FIGURES));
        bencher.bench_local(|| bench.plan(black_box(&query), now()));
    }

    /// As a dashboard that comes again: most has settled, the end is asked for.
    #[divan::bench]
    fn of_what_is_held_but_for_its_end(bencher: Bencher) {
        let query = question(HALF_HOURS, FIGURES);
        let later = now() + SignedDuration::from_hours(2);
        assert_eq!(HELD.bench.plan(&query, later).0, 1);
        bencher.bench_local(|| HELD.bench.plan(black_box(&query), later));
    }

    /// With how fresh the answer is.
    #[divan::bench]
    fn of_what_is_held(bencher: Bencher) {
        let query = question(HALF_HOURS, FIGURES);
        assert_eq!(HELD.bench.plan(&query, now()).0, 0);
        bencher.bench_local(|| HELD.bench.plan(black_box(&query), now()));
    }
}

mod merge {
    use super::{
        Bencher, BytesCount, FIGURES, HALF_HOURS, HELD, Value, Workbench, black_box, day, days, now, question, written,
    };

    fn merged(bencher: Bencher, cut: &str) {
        let query = question(cut, FIGURES);
        let bytes = BytesCount::new(HELD.written_bytes);
        bencher
            .counter(bytes)
            .bench_local(|| HELD.bench.merge(black_box(&query), now()));
    }

    /// As it is held: 960,000 rows.
    #[divan::bench(sample_count = 10)]
    fn by_half_hour_and_queue(bencher: Bencher) {
        merged(bencher, HALF_HOURS);
    }

    #[divan::bench(sample_count = 20)]
    fn by_day_and_queue(bencher: Bencher) {
        merged(bencher, "interval=P1D&groupBy=routing.queue.id");
    }

    #[divan::bench(sample_count = 20)]
    fn by_day_and_queue_of_what_it_takes_in_memory(bencher: Bencher) {
        let query = question("interval=P1D&groupBy=routing.queue.id", FIGURES);
        let bytes = usize::try_from(HELD.bench.held_bytes()).expect("it fits into memory");
        bencher
            .counter(BytesCount::new(bytes))
            .bench_local(|| HELD.bench.merge(black_box(&query), now()));
    }

    #[divan::bench(sample_count = 20)]
    fn to_one_total(bencher: Bencher) {
        merged(bencher, "");
    }

    /// Merged, ordered, and made into a page.
    #[divan::bench(sample_count = 20)]
    fn to_a_page_of_days(bencher: Bencher) {
        let query = question(
            "interval=P1D&groupBy=routing.queue.id&orderBy=-conversation.offered",
            FIGURES,
        );
        let bytes = BytesCount::new(HELD.written_bytes);
        bencher
            .counter(bytes)
            .bench_local(|| HELD.bench.page(black_box(&query), now()));
    }

    /// What comes is put to what is held: a day into its chunk.
    #[divan::bench]
    fn of_a_day_that_comes(bencher: Bencher) {
        let query = question(HALF_HOURS, FIGURES);
        let range = days(&query)[200];
        let (fetch, slice) = day(&query.aggregate, range, now());
        let bench = Workbench::new(1 << 30);
        bench.hold(&fetch, &slice);
        let bytes = BytesCount::new(written(&slice, &fetch).len());
        bencher
            .counter(bytes)
            .bench_local(|| bench.hold(black_box(&fetch), black_box(&slice)));
    }

    /// To compare with: the documents of two days read as trees, put together and written.
    #[divan::bench(sample_count = 20)]
    fn as_trees_of_json(bencher: Bencher) {
        let query = question(HALF_HOURS, FIGURES);
        let texts: Vec<String> = days(&query)[200..202]
            .iter()
            .map(|range| {
                let (fetch, slice) = day(&query.aggregate, *range, now());
                written(&slice, &fetch)
            })
            .collect();
        let bytes = BytesCount::new(texts.iter().map(String::len).sum::<usize>());
        bencher.counter(bytes).bench_local(|| {
            let mut results = Vec::new();
            for text in &texts {
                let mut tree: Value = serde_json::from_str(text).expect("JSON");
                results.append(tree["results"].as_array_mut().expect("results"));
            }
            serde_json::to_vec(&Value::Array(results)).expect("JSON")
        });
    }
}
