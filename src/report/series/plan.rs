//! What to ask of the upstream for a question about a series, given what is held: pure.
//!
//! Requests are what is scarce, not rows. So the gaps of a range are asked for together, as far as an answer of the
//! upstream can hold them; what is nearly due in front of a gap comes along while that costs no request more; and what
//! would cost more than [`MAX_CALLS`] is refused with the estimate.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    chunk::{Chunk, Column},
    key::Series,
};
use crate::{
    query::{Metric, Range},
    report::{
        Freshness, Stretch,
        freshness::{Covers, Dated, Verdict, Windows},
    },
};

/// The most upstream requests one question may cost.
pub(crate) const MAX_CALLS: usize = 12;

/// The most bytes foreseen for one answer of the upstream: half of what is read of one, as the foresight is rough.
const ANSWER_BYTES: f64 = (crate::upstream::ANSWER_BYTES / 2) as f64;
/// What a row and each metric of it take, as the upstream writes them.
const ROW_BYTES: f64 = 120.0;
const METRIC_BYTES: f64 = 110.0;

/// What is held of a chunk, and which part of it is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(super) asked: Range,
    pub(super) held: Option<Arc<Chunk>>,
}

/// How fresh the answer has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) freshness: Freshness,
    pub(super) now: Timestamp,
    /// When the question came: what was fetched since then is fresh whatever it asks for.
    pub(super) came: Timestamp,
    /// Whether it shows figures that do not add, or might.
    pub(super) whole: bool,
    pub(super) windows: Windows,
}

impl Wish {
    /// Whether what has settled is fresh, however long ago.
    fn names_no_bound(&self) -> bool {
        self.freshness.max_age.is_none() && !self.whole
    }

    /// Whether what is held needs no further look, bucket by bucket.
    pub(super) fn is_met_by(&self, held: &Summary) -> bool {
        self.names_no_bound() && !held.left.is_negative()
    }
}

/// What has to be asked before there is an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Missing {
    /// One request each, in order.
    pub(super) calls: Vec<Range>,
    /// What to ask for in each.
    pub(super) metrics: Vec<&'static Metric>,
    /// How many rows that will bring, roughly.
    pub(super) rows: f64,
    /// Whether all of it is held, only not fresh enough, and may stand in for a failure.
    pub(super) is_held: bool,
    /// Whether all of it is held and may be given while it is asked for again.
    pub(super) may_come_later: bool,
}

/// A run of buckets of one chunk in the same state.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    range: Range,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Fresh for as long again as it has been at least.
    Fresh,
    /// Fresh, but its time is half over: worth asking for when something is asked for anyway.
    Ripe,
    /// Not fresh, but it may be given while it is asked for again.
    Aging,
    /// Not fresh, but it may stand in for a failure.
    Stale,
    /// Not held, or too old for anything.
    Missing,
}

impl State {
    /// Whether it has to be asked for.
    fn is_due(self) -> bool {
        self >= Self::Aging
    }
}

/// What has to be asked; `None` if what is held is an answer. `others` are metrics somebody else reads of the same
/// series: they are asked for along with the rest where they are due.
pub(super) fn missing(
    series: &Series,
    parts: &[Part],
    metrics: &[&'static Metric],
    others: &[&'static Metric],
    wish: Wish,
) -> Option<Missing> {
    let mut wanted = Missing {
        is_held: true,
        may_come_later: true,
        ..Missing::default()
    };
    let mut due: Vec<Run> = Vec::new();
    for metric in metrics {
        let runs = runs(series, parts, metric, wish);
        if runs.iter().any(|run| run.state.is_due()) {
            wanted.metrics.push(metric);
            wanted.is_held &= runs.iter().all(|run| run.state != State::Missing);
            wanted.may_come_later &= runs.iter().all(|run| run.state <= State::Aging);
            due.extend(runs);
        }
    }
    if wanted.metrics.is_empty() {
        return None;
    }
    let density = Density::of(series, parts);
    let rows_of = |range: Range| series.buckets_in(range) * density.rows_per_bucket;
    let mut most_rows = ANSWER_BYTES / (ROW_BYTES + METRIC_BYTES * wanted.metrics.len() as f64);
    loop {
        let fits = |range: Range| rows_of(range) <= most_rows;
        let (exact, extended) = (calls(&gaps(&due, false), fits), calls(&gaps(&due, true), fits));
        wanted.calls = if extended.len() <= exact.len() { extended } else { exact };
        // Nobody is refused by a guess.
        if density.is_known || wanted.calls.len() <= MAX_CALLS {
            break;
        }
        most_rows *= 2.0;
    }
    wanted.rows = wanted.calls.iter().copied().map(rows_of).sum();
    let within = |run: &Run| {
        let call = wanted.calls.iter();
        call.clone()
            .any(|call| call.start <= run.range.start && run.range.end <= call.end)
    };
    // Its own that are not due yet among them.
    let others = others.iter().filter(|other| !wanted.metrics.contains(other));
    let others: Vec<_> = others.copied().collect();
    for metric in others {
        let mut runs = runs(series, parts, metric, wish)
            .into_iter()
            .filter(|run| run.state > State::Fresh)
            .peekable();
        // What was never fetched is nobody's habit; what is due elsewhere too would not be whole.
        if runs.peek().is_some() && runs.all(|run| within(&run) && run.state != State::Missing) {
            wanted.metrics.push(metric);
        }
    }
    Some(wanted)
}

/// A metric's buckets, those alike and adjacent together.
fn runs(series: &Series, parts: &[Part], metric: &Metric, wish: Wish) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for part in parts {
        let Some((chunk, column)) = part
            .held
            .as_ref()
            .and_then(|chunk| Some((chunk, chunk.column(metric)?)))
        else {
            runs.push(Run {
                range: part.asked,
                state: State::Missing,
            });
            continue;
        };
        let mut buckets = chunk.buckets_in(part.asked);
        if wish.names_no_bound() {
            buckets.start = buckets.start.max(column.settled);
        }
        let first_of_part = runs.len();
        for index in buckets {
            let range = chunk.bucket(index);
            let fetched_at = column
                .fetched_at(index)
                .filter(|_| !wish.whole || column.is_whole(index));
            let state = fetched_at.map_or(State::Missing, |fetched_at| {
                state(dated(series, range, fetched_at, wish.windows), wish)
            });
            match runs[first_of_part..].last_mut() {
                Some(run) if run.state == state => run.range.end = range.end,
                _ => runs.push(Run { range, state }),
            }
        }
    }
    runs
}

pub(super) fn dated(series: &Series, range: Range, fetched_at: Timestamp, windows: Windows) -> Dated {
    windows.dated(fetched_at, Covers::Aggregates(series.source, range))
}

fn state(dated: Dated, wish: Wish) -> State {
    match dated.judge(wish.freshness, wish.now) {
        _ if (wish.came..=wish.now).contains(&dated.fetched_at) => State::Fresh,
        Verdict::Fresh(left) if left < dated.lifetime() / 2 => State::Ripe,
        Verdict::Fresh(_) => State::Fresh,
        Verdict::Aging(_) => State::Aging,
        Verdict::Stale => State::Stale,
        Verdict::Expired => State::Missing,
    }
}

/// What is due, in order and without overlaps, cut at the edges of chunks; with what is ripe right in front of it, if told.
fn gaps(runs: &[Run], with_ripe: bool) -> Vec<Range> {
    let mut runs = runs.to_vec();
    runs.sort_unstable_by_key(|run| (run.range.start, run.range.end));
    let mut gaps: Vec<Range> = Vec::new();
    let mut add_front = |range: Range| match gaps.last_mut() {
        // From the last to the first: what was added last is behind.
        Some(behind) if behind.start <= range.start => {}
        Some(behind) if behind.start < range.end => {
            // Chunks do not overlap, so it is of the same.
            behind.end = behind.end.max(range.end);
            behind.start = range.start;
        }
        _ => gaps.push(range),
    };
    let mut reached = None;
    for run in runs.iter().rev() {
        let is_due = run.state.is_due();
        let rides_along = with_ripe && run.state == State::Ripe && reached.is_some_and(|start| run.range.end >= start);
        if is_due || rides_along {
            add_front(run.range);
            reached = Some(reached.map_or(run.range.start, |start: Timestamp| start.min(run.range.start)));
        }
    }
    gaps.reverse();
    gaps
}

/// The fewest requests that cover all gaps, none of them larger than `fits` unless a single gap is.
fn calls(gaps: &[Range], fits: impl Fn(Range) -> bool) -> Vec<Range> {
    let mut calls: Vec<Range> = Vec::new();
    for gap in gaps {
        match calls.last_mut() {
            Some(call)
                if fits(Range {
                    start: call.start,
                    end: gap.end,
                }) =>
            {
                call.end = call.end.max(gap.end);
            }
            _ => calls.push(*gap),
        }
    }
    calls
}

/// How many rows there may be of a range of which nothing is known.
pub(super) fn rows_guessed(series: &Series, range: Range) -> f64 {
    series.buckets_in(range) * rows_guessed_per_bucket(series)
}

fn rows_guessed_per_bucket(series: &Series) -> f64 {
    // Of the first dimension; of the others, for each value of those before.
    const VALUES: f64 = 20.0;
    const FURTHER_VALUES: f64 = 3.0;
    let further = series.group_by.iter().skip(1);
    let first = if series.group_by.is_empty() { 1.0 } else { VALUES };
    further.fold(first, |rows, _| rows * FURTHER_VALUES)
}

/// How many rows a bucket has.
struct Density {
    rows_per_bucket: f64,
    /// By those that are held; otherwise it is a guess from what rows are grouped by.
    is_known: bool,
}

impl Density {
    fn of(series: &Series, parts: &[Part]) -> Self {
        let chunks = || parts.iter().filter_map(|part| part.held.as_deref());
        let most_cells = |chunk: &Chunk| chunk.columns().map(Column::len).max();
        let cells: usize = chunks().filter_map(most_cells).sum();
        let buckets: usize = chunks().map(Chunk::buckets).sum();
        let is_known = buckets > 0;
        let rows_per_bucket = if is_known {
            (cells as f64 / buckets as f64).max(1.0)
        } else {
            rows_guessed_per_bucket(series)
        };
        Self {
            rows_per_bucket,
            is_known,
        }
    }
}

/// How fresh and how complete what is held is, as an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) as_of: Timestamp,
    pub(crate) complete: bool,
    pub(crate) settled_through: Timestamp,
    /// How much longer all of it is fresh; negative once some of it is not.
    pub(crate) left: SignedDuration,
}

/// The summary of what is held of a range; `None` if something is missing.
pub(super) fn summary(
    series: &Series,
    range: Range,
    parts: &[Part],
    metrics: &[&'static Metric],
    wish: Wish,
) -> Option<Summary> {
    let mut summary: Option<Summary> = None;
    for part in parts {
        let chunk = part.held.as_deref()?;
        for metric in metrics {
            let column = chunk.column(metric)?;
            let buckets = chunk.buckets_in(part.asked);
            // Of what has settled only how old it is makes a difference.
            let unsettled = column.settled.clamp(buckets.start, buckets.end);
            let oldest = (buckets.start..unsettled).min_by_key(|index| column.fetched_at(*index));
            for index in oldest.into_iter().chain(unsettled..buckets.end) {
                let mut bucket = chunk.bucket(index);
                let dated = dated(series, bucket, column.fetched_at(index)?, wish.windows);
                bucket.end = bucket.end.min(range.end);
                let complete = dated.complete();
                let left = dated.left(wish.now);
                let unsettled_from = dated.settled_through().clamp(bucket.start, bucket.end);
                let known = summary.get_or_insert(Summary {
                    as_of: dated.fetched_at,
                    complete,
                    settled_through: range.end,
                    left,
                });
                known.as_of = known.as_of.min(dated.fetched_at);
                known.complete &= complete;
                known.left = known.left.min(left);
                if !complete {
                    known.settled_through = known.settled_through.min(unsettled_from);
                }
            }
        }
    }
    summary
}

/// What is held of a range, adjacent buckets in the same state together, as far as all metrics are there.
pub(super) fn stretches(
    series: &Series,
    range: Range,
    parts: &[Part],
    metrics: &[&'static Metric],
    windows: Windows,
) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for part in parts {
        let Some(chunk) = part.held.as_deref() else { continue };
        for index in chunk.buckets_in(part.asked) {
            let mut bucket = chunk.bucket(index);
            let fetches = metrics.iter().map(|metric| chunk.column(metric)?.fetched_at(index));
            let Some(Some(oldest)) = fetches.min() else { continue };
            let dated = dated(series, bucket, oldest, windows);
            bucket.end = bucket.end.min(range.end);
            let stretch = Stretch::of(bucket, &dated);
            match stretches.last_mut() {
                Some(last) if last.state == stretch.state && last.range.end == stretch.range.start => {
                    last.range.end = stretch.range.end;
                    last.fetched_at = last.fetched_at.min(stretch.fetched_at);
                }
                _ => stretches.push(stretch),
            }
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use tokio_util::sync::CancellationToken;

    use super::{
        super::{SeriesCache, tests::asked},
        *,
    };
    use crate::{
        query::{AggregateQuery, catalogue::metric},
        report::{Disk, DiskSettings, OnError, Organisation},
        table::{Slice, SliceRow, Stats},
    };

    const NOW: &str = "2026-03-10T12:00:00Z";
    const HOURLY: &str = "dateFrom=2026-03-01&dateTo=2026-03-10T12:00:00Z&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// `03-01/03-10T12` of 2026, in UTC.
    fn range(text: &str) -> Range {
        let (start, end) = text.split_once('/').unwrap();
        let instant = |text: &str| match text.split_once('T') {
            Some((day, hour)) => at(&format!("2026-{day}T{hour}:00:00Z")),
            None => at(&format!("2026-{text}T00:00:00Z")),
        };
        Range::new(instant(start), instant(end)).unwrap()
    }

    fn wish() -> Wish {
        Wish {
            freshness: Freshness::default(),
            now: at(NOW),
            came: at(NOW),
            whole: false,
            windows: Windows::default(),
        }
    }

    /// A series of which something was fetched.
    struct Held {
        cache: SeriesCache,
        query: AggregateQuery,
    }

    impl Held {
        /// Nothing yet.
        fn of(parameters: &str) -> Self {
            Self::kept_on(Disk::default(), parameters)
        }

        fn kept_on(disk: Disk, parameters: &str) -> Self {
            Self {
                cache: SeriesCache::new(1 << 30, Windows::default(), disk),
                query: asked(parameters, at(NOW)).aggregate,
            }
        }

        /// A range, when it was fetched, and how many rows its first bucket has; the others are empty.
        fn fetch(self, what: &str, when: &str, metrics: &[&str], rows: usize) -> Self {
            let fetch = AggregateQuery {
                range: range(what),
                metrics: metrics.iter().map(|name| metric(name)).collect(),
                ..self.query.clone()
            };
            let bucket = fetch
                .granularity
                .unwrap()
                .buckets(fetch.range, &fetch.time_zone)
                .next()
                .unwrap();
            let row = |number: usize| SliceRow {
                group: vec![Some(number.to_string().into())],
                media_type: None,
                bucket,
                metrics: vec![
                    Some(Stats {
                        count: Some(1.0),
                        ..Stats::default()
                    });
                    metrics.len()
                ],
            };
            let slice = Slice {
                rows: (0..rows).map(row).collect(),
                fetched_at: at(when),
                came_at: at(when),
                upstream_calls: 1,
            };
            self.cache.land(&fetch, &slice, false, self.cache.purges()).unwrap();
            self
        }

        fn missing(&self, others: &[&'static Metric], wish: Wish) -> Option<Missing> {
            let series = Series::of(&self.query).unwrap();
            let parts = self
                .cache
                .parts(&self.cache.entry(&series), self.query.range, &HashMap::new());
            missing(&series, &parts, &self.query.metrics, others, wish)
        }

        /// What is asked for, in order.
        fn calls(&self, wish: Wish) -> Vec<Range> {
            self.missing(&[], wish).map(|missing| missing.calls).unwrap_or_default()
        }
    }

    const OFFERED: &[&str] = &["nOffered"];

    #[tokio::test]
    async fn what_is_on_disk_joins_what_came_before_it_was_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        let start = || {
            let (disk, owner) = Disk::new(DiskSettings {
                path: directory.path().join("kept"),
                bytes: 1 << 24,
                organisation: Organisation::of("https://api.example", "client"),
            });
            let stop = CancellationToken::new();
            (disk, tokio::spawn(owner.run(stop.clone())), stop)
        };
        let (disk, owner, stop) = start();
        drop(Held::kept_on(disk, HOURLY).fetch("03-01/03-07", NOW, OFFERED, 3));
        stop.cancel();
        owner.await.unwrap();

        let (disk, owner, stop) = start();
        // As by a wider question that was put together from others.
        let held = Held::kept_on(disk, HOURLY).fetch("03-05T12/03-10T12", NOW, OFFERED, 3);
        assert_eq!(held.calls(wish()), [range("03-01/03-05T12")]);
        held.cache.recall(&held.query, at(NOW)).await;
        assert_eq!(held.calls(wish()), []);
        stop.cancel();
        owner.await.unwrap();
    }

    #[test]
    fn gaps_are_covered_by_the_fewest_requests() {
        let held = |fetches: &[(&str, &str)]| {
            let held = Held::of(HOURLY);
            fetches
                .iter()
                .fold(held, |held, (what, when)| held.fetch(what, when, OFFERED, 3))
        };
        let settled = "2026-03-08T12:00:00Z";
        for (fetches, calls) in [
            (vec![], vec!["03-01/03-10T12"]),
            (vec![("03-01/03-10T12", NOW)], vec![]),
            // A gap at either end, one within, two of them.
            (vec![("03-02/03-10T12", NOW)], vec!["03-01/03-02"]),
            (vec![("03-01/03-10T06", NOW)], vec!["03-10T06/03-10T12"]),
            (
                vec![("03-01/03-03T05", NOW), ("03-03T07/03-10T12", NOW)],
                vec!["03-03T05/03-03T07"],
            ),
            (
                vec![("03-01T01/03-03", NOW), ("03-05/03-10T11", NOW)],
                vec!["03-01/03-10T12"],
            ),
            // Everything has ended, and only what had not settled when it was fetched is asked for again.
            (vec![("03-01/03-08T12", settled)], vec!["03-06T12/03-10T12"]),
            // Most of it is fresh for a while yet, and half its time is over: it comes along with the tail.
            (
                vec![("03-01/03-10T11", "2026-03-10T11:15:00Z")],
                vec!["03-08T11/03-10T12"],
            ),
            // It does not where something younger lies between.
            (
                vec![
                    ("03-01/03-10T11", "2026-03-10T11:25:00Z"),
                    ("03-09/03-10T11", "2026-03-10T11:59:30Z"),
                ],
                vec!["03-10T11/03-10T12"],
            ),
        ] {
            let expected: Vec<Range> = calls.into_iter().map(range).collect();
            assert_eq!(held(&fetches).calls(wish()), expected, "{fetches:?}");
        }
    }

    /// Holes all over, and one request.
    #[test]
    fn many_small_gaps_do_not_become_many_requests() {
        let mut held = Held::of(HOURLY);
        for day in 1..=9 {
            for hour in (0..24).step_by(2) {
                let what = format!("03-{day:02}T{hour:02}/03-{day:02}T{:02}", hour + 1);
                held = held.fetch(&what, NOW, OFFERED, 1);
            }
        }
        assert_eq!(held.calls(wish()), [range("03-01T01/03-10T12")]);
    }

    #[test]
    fn what_is_empty_is_held() {
        let held = Held::of(HOURLY).fetch("03-01/03-10T12", NOW, OFFERED, 0);
        assert_eq!(held.missing(&[], wish()), None);
    }

    #[test]
    fn a_metric_that_is_missing_is_asked_for_alone() {
        let both = HOURLY.replace("conversation.offered", "conversation.offered,handle.time.sum");
        let held = Held::of(&both).fetch("03-01/03-10T12", NOW, OFFERED, 3);
        let missing = held.missing(&[], wish()).unwrap();
        assert_eq!(missing.metrics, [metric("tHandle")]);
        assert_eq!(missing.calls, [range("03-01/03-10T12")]);
    }

    /// What somebody else reads comes along where it is due within the same request, and costs none of its own.
    #[test]
    fn what_others_read_comes_along() {
        let (offered, handled) = (metric("nOffered"), metric("tHandle"));
        let half_an_hour_ago = "2026-03-10T11:30:00Z";
        for (fetches, metrics) in [
            (
                vec![("03-01/03-10T11", OFFERED), ("03-01/03-10T11", &["tHandle"][..])],
                vec![offered, handled],
            ),
            // Nobody ever read it as far back as that.
            (
                vec![("03-01/03-10T11", OFFERED), ("03-05/03-10T11", &["tHandle"][..])],
                vec![offered],
            ),
            (vec![("03-01/03-10T11", OFFERED)], vec![offered]),
        ] {
            let mut held = Held::of(&HOURLY.replace("T12:00:00Z", "T11:00:00Z"));
            for (what, metrics) in &fetches {
                held = held.fetch(what, half_an_hour_ago, metrics, 3);
            }
            let missing = held.missing(&[handled, offered], wish()).unwrap();
            assert_eq!(missing.metrics, metrics, "{fetches:?}");
        }
    }

    /// Otherwise each of a question's metrics would keep its own time, and cost a request each time.
    #[test]
    fn its_own_metrics_come_along_before_they_are_due() {
        let (offered, handled) = (metric("nOffered"), metric("tHandle"));
        let both = HOURLY.replace("T12:00:00Z", "T11:00:00Z");
        let both = both.replace("conversation.offered", "conversation.offered,handle.time.average");
        for (handled_at, metrics) in [("11:56", vec![offered, handled]), ("11:59", vec![offered])] {
            let held = Held::of(&both)
                .fetch("03-01/03-10T11", "2026-03-10T11:30:00Z", OFFERED, 3)
                .fetch(
                    "03-01/03-10T11",
                    &format!("2026-03-10T{handled_at}:00Z"),
                    &["tHandle"],
                    3,
                );
            let missing = held.missing(&[handled, offered], wish()).unwrap();
            assert_eq!(missing.metrics, metrics, "{handled_at}");
        }
    }

    #[test]
    fn freshness_is_the_callers_to_ask_for() {
        let freshness = |max_age: Option<u64>, on_error| Freshness {
            max_age: max_age.map(Duration::from_secs),
            on_error,
            ..Freshness::default()
        };
        let whole = "03-01/03-10T12";
        // What has settled is asked for again, too, if something younger is asked for; not within two seconds.
        for (when, max_age, calls) in [
            (NOW, 0, vec![]),
            ("2026-03-10T11:59:58Z", 0, vec![]),
            ("2026-03-10T11:59:57Z", 0, vec![range(whole)]),
            ("2026-03-10T11:59:57Z", 60, vec![]),
        ] {
            let held = Held::of(HOURLY).fetch(whole, when, OFFERED, 3);
            let freshness = freshness(Some(max_age), OnError::Stale);
            let missing = held.missing(&[], Wish { freshness, ..wish() });
            assert!(
                missing
                    .as_ref()
                    .is_none_or(|missing| missing.is_held && !missing.may_come_later)
            );
            assert_eq!(
                missing.map(|missing| missing.calls).unwrap_or_default(),
                calls,
                "{when} {max_age}"
            );
        }
        // A bucket that has just ended is fresh for a minute, and may be given for half of one more.
        let later = |seconds: i64, on_error| {
            let held = Held::of(HOURLY).fetch(whole, NOW, OFFERED, 3);
            let now = at(NOW) + SignedDuration::from_secs(seconds);
            let wish = Wish {
                freshness: freshness(None, on_error),
                now,
                came: now,
                ..wish()
            };
            held.missing(&[], wish)
                .map(|missing| (missing.may_come_later, missing.is_held))
        };
        assert_eq!(later(60, OnError::Stale), None);
        assert_eq!(later(61, OnError::Stale), Some((true, true)));
        assert_eq!(later(61, OnError::Fail), Some((false, true)));
        assert_eq!(later(91, OnError::Stale), Some((false, true)));
        assert_eq!(later(3 * 24 * 3600, OnError::Stale), Some((false, false)));
    }

    /// Only what an answer cannot hold is cut, at the edges of chunks; what would cost too many requests shows it.
    #[test]
    fn what_an_answer_cannot_hold_is_cut() {
        let year = HOURLY.replace("dateFrom=2026-03-01", "dateFrom=2025-03-01");
        for (rows, least, most) in [(24, 1, 1), (24 * 60, 4, 12), (24 * 500, 13, 60)] {
            let held = Held::of(&year).fetch("03-01/03-02", "2026-03-05T00:00:00Z", OFFERED, rows);
            let missing = held.missing(&[], wish()).unwrap();
            assert!(
                (least..=most).contains(&missing.calls.len()),
                "{rows} rows a day: {} requests",
                missing.calls.len()
            );
            for (call, next) in missing.calls.iter().zip(&missing.calls[1..]) {
                assert!(call.end <= next.start, "{call} {next}");
                assert_eq!(call.end.as_second() % 86_400, 0, "{call} is not cut at a day");
            }
            assert_eq!(missing.calls.first().unwrap().start, at("2025-03-01T00:00:00Z"));
            assert_eq!(missing.calls.last().unwrap().end, at(NOW));
        }
        // A guess alone refuses nobody.
        let unknown = Held::of(&year.replace(
            "groupBy=routing.queue.id",
            "groupBy=routing.queue.id,media.type,conversation.direction,wrapup.code.id",
        ));
        assert!(unknown.calls(wish()).len() <= MAX_CALLS);
    }
}
