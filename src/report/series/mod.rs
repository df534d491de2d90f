//! Aggregates by bucket: what is held is buckets × metrics of a series, and a question asks only for what is missing.
//!
//! [`Reports::figures`] is the journey: `plan` says what is missing of the question's own series, and whether another
//! series that is held answers it (`fold`); what is missing is asked for once for everybody who wants it (`gather`), and
//! lands in chunks (`chunk`), from which the rows are made. What has settled of them is kept on disk too (`stored`), and
//! taken from there when memory has it not; all of them are left for other replicas, of which one asks for all (`shared`). A question that cannot be cut into buckets is asked whole,
//! and says why ([`Whole`]).

mod chunk;
mod chunks;
mod fold;
mod gather;
mod inventory;
mod key;
mod plan;
mod seen;
mod shared;
mod stored;
#[cfg(test)]
mod tests;
mod workbench;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use moka::{ops::compute::Op, sync::Cache};
use tokio::time::timeout_at;

use self::{
    chunk::{Chunk, Fetched},
    chunks::{ChunkKey, Chunks},
    fold::Lens,
    gather::Gathering,
    key::Series,
    plan::{MAX_CALLS, Missing, Part, Summary, Wish},
};
pub(super) use self::{fold::Adds, seen::Seen};
pub use self::{
    inventory::{HeldMetric, HeldSeries},
    workbench::Workbench,
};
use super::{
    Answer, Asked, Freshness, OnError, OrderedRows, Outcome, ReportError, Reports, Stretch, Way, Whole,
    disk::Disk,
    flights::{Flights, Role},
    freshness::{Dated, Windows},
    held::{Key, WholeRows},
    rows,
};
use crate::{
    aside::Turn,
    query::{AggregateQuery, Column, Fill, Filter, Metric, NamesByLookup, OrderBy, Query, Range},
    table::{CacheUse, Cell, Provenance, Slice, SliceRow},
    upstream::Errand,
};

/// How often a question is planned anew when what it waited for was not what it needed.
const ROUNDS: usize = 4;

/// The most series known by name; what is held of others stays until it is displaced.
const MAX_SERIES: usize = 10_000;
/// The most series looked at for an answer to a question about another.
const MAX_LOOKED_AT: usize = 64;

/// The most chunks that are noted to be looked for on disk; what there is of one that is forgotten is asked for again.
const UNREAD: u64 = 100_000;

/// The most series that are looked for on disk for an answer to a question about another.
const MAX_RECALLED: usize = 8;

/// How long after it was read a metric is kept fresh along with others of its series.
const HABIT: SignedDuration = SignedDuration::from_mins(10);

/// Rows that may be asked for of a wider series, where the question's own would need fewer, because others read it too.
const SHARED_ROWS: f64 = 2_000.0;

/// What is held of every series, and what is being asked for.
pub(super) struct SeriesCache {
    chunks: Chunks,
    made: Cache<MadeOf, Arc<Made>>,
    known: Mutex<Known>,
    pub(super) flights: Flights<AggregateQuery, Arc<Landed>>,
    gathering: Gathering,
    /// How often something was dropped. What was asked for before that is not held when it comes.
    purges: RwLock<u64>,
    pub(super) windows: Windows,
    disk: Disk,
    /// Chunks in memory that were begun by what was fetched: the disk may have more of them.
    unread: Cache<ChunkKey, ()>,
    /// Whether the series that are kept on disk are among those known.
    is_listed: AtomicBool,
}

#[derive(Default)]
struct Known {
    by_series: HashMap<Series, Arc<Entry>>,
    next_id: u64,
}

/// A series that was asked about.
struct Entry {
    id: u64,
    series: Series,
    reads: Mutex<HashMap<&'static Metric, Timestamp>>,
    /// The upstream cuts it into other buckets than foreseen, so that it is not held by bucket.
    is_off_grid: AtomicBool,
}

/// What a fetch brought.
#[derive(Debug, Default)]
pub(super) struct Landed {
    chunks: Vec<(ChunkKey, Arc<Chunk>)>,
    calls: u32,
}

/// Ordered rows that were made of what is held, for as long as that is the same.
struct Made {
    chunks: Vec<u64>,
    names: NamesByLookup,
    rows: OrderedRows,
}

/// What rows are made of and for, but for the chunks and the page.
#[derive(PartialEq, Eq, Hash)]
struct MadeOf {
    origin: Origin,
    aggregate: AggregateQuery,
    columns: Vec<Column>,
    order_by: Vec<OrderBy>,
    limit: Option<u32>,
    fill: Fill,
    only: Filter,
}

/// What ordered rows are made of.
#[derive(PartialEq, Eq, Hash)]
enum Origin {
    /// A series, and how it is looked at.
    Series(u64, Lens),
    /// The answer to a whole question.
    Whole(u64),
}

/// The figures of a question, and where they come from.
pub(super) struct Figures {
    pub(super) body: Body,
    pub(super) asked: Vec<Asked>,
    pub(super) provenance: Provenance,
    /// How much longer they were fresh …
    pub(super) fresh_for: Duration,
    /// … when that was looked at.
    pub(super) looked_at: Timestamp,
}

/// Where the figures of a question are. Cheap to clone.
#[derive(Clone)]
pub(super) enum Body {
    /// In the answer to the whole question.
    Whole {
        /// Its rows.
        rows: Arc<WholeRows>,
        /// Why it was asked whole.
        reason: Whole,
        /// When, and what it covers.
        dated: Dated,
    },
    /// In what is held of a series.
    Held(View),
}

/// What is held of a series for a question, and how it is looked at.
#[derive(Clone)]
pub(super) struct View {
    /// What is asked about, in whole buckets of the series.
    range: Range,
    entry: Arc<Entry>,
    lens: Lens,
    parts: Vec<Part>,
}

enum Choice {
    /// It is held and fresh.
    Ready(View, Summary),
    /// Something is missing.
    Ask(View, Missing),
    Whole(Whole),
}

/// How what is held stands to what was wished for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is as fresh.
    Fresh,
    /// It is just past its freshness, and being asked for again.
    Aging,
    /// It is past its freshness, and asking for it failed.
    Stale,
}

/// What happened on the way to an answer.
#[derive(Default)]
struct Journey {
    landed: HashMap<ChunkKey, Arc<Chunk>>,
    asked: Vec<Asked>,
    calls: u32,
    has_waited: bool,
    /// Sharing fetches with others did not work out.
    alone: bool,
}

/// What one entry takes beside what it holds.
const BOOKKEEPING: usize = 256;

impl SeriesCache {
    pub(super) fn new(capacity_bytes: u64, windows: Windows, disk: Disk) -> Self {
        Self {
            // A quarter for what is made of the rest.
            chunks: Chunks::new(capacity_bytes / 4 * 3),
            made: Cache::builder()
                .max_capacity(capacity_bytes / 4)
                .weigher(|of: &MadeOf, made: &Arc<Made>| {
                    let cells = made.rows.len() * (size_of::<Vec<Cell>>() + of.columns.len() * size_of::<Cell>());
                    (cells + BOOKKEEPING).try_into().unwrap_or(u32::MAX)
                })
                .build(),
            known: Mutex::default(),
            flights: Flights::new(),
            gathering: Gathering::default(),
            purges: RwLock::default(),
            windows,
            disk,
            unread: Cache::new(UNREAD),
            is_listed: AtomicBool::new(false),
        }
    }

    /// How often something was dropped so far.
    pub(super) fn purges(&self) -> u64 {
        *self.purges.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks.bytes() + self.made.weighted_size()
    }

    fn entry(&self, series: &Series) -> Arc<Entry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.by_series.get(series) {
            return Arc::clone(entry);
        }
        if known.by_series.len() >= MAX_SERIES {
            let oldest = known.by_series.values().min_by_key(|entry| entry.last_read());
            if let Some(oldest) = oldest.map(|entry| entry.series.clone()) {
                known.by_series.remove(&oldest);
            }
        }
        let entry = Arc::new(Entry {
            id: known.next_id,
            series: series.clone(),
            reads: Mutex::default(),
            is_off_grid: AtomicBool::new(false),
        });
        known.next_id += 1;
        known.by_series.insert(series.clone(), Arc::clone(&entry));
        entry
    }

    /// Other series that can answer a question, those read last first.
    fn others(&self, query: &AggregateQuery, adds: Adds) -> Vec<(Arc<Entry>, Lens)> {
        let can_add = adds != Adds::Never;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lenses = known.by_series.values().filter_map(|entry| {
            let is_own = Some(entry.series.granularity) == query.granularity
                && entry.series.group_by == query.group_by
                && entry.series.filter == query.filter;
            let lens = Lens::of(&entry.series, query, can_add).filter(|_| !is_own && !entry.is_off_grid())?;
            Some((Arc::clone(entry), lens))
        });
        let mut lenses: Vec<_> = lenses.collect();
        drop(known);
        lenses.sort_by_cached_key(|(entry, _)| (std::cmp::Reverse(entry.last_read()), entry.id));
        lenses.truncate(MAX_LOOKED_AT);
        lenses
    }

    fn parts(&self, entry: &Entry, range: Range, landed: &HashMap<ChunkKey, Arc<Chunk>>) -> Vec<Part> {
        let chunks = entry.series.chunks(range).into_iter();
        let parts = chunks.filter_map(|chunk| {
            let key = (entry.id, chunk.start);
            let asked = Range::new(chunk.start.max(range.start), chunk.end.min(range.end))?;
            let held = self.chunks.get(&key).or_else(|| landed.get(&key).cloned());
            Some(Part { asked, held })
        });
        parts.collect()
    }

    /// The best way to an answer.
    fn choose(&self, query: &AggregateQuery, adds: Adds, wish: Wish, asked_at: Timestamp, journey: &Journey) -> Choice {
        let look = |entry: Arc<Entry>, lens: Lens| {
            let range = entry.series.whole_buckets(query.range, asked_at)?;
            let parts = self.parts(&entry, range, &journey.landed);
            let held = plan::summary(&entry.series, query.range, &parts, &query.metrics, wish);
            let missing = match &held {
                Some(held) if wish.is_met_by(held) => None,
                _ => plan::missing(&entry.series, &parts, &query.metrics, &entry.habits(wish.now), wish),
            };
            let stand = match missing {
                Some(missing) => Err(missing),
                None => Ok(held?),
            };
            let view = View {
                range,
                entry,
                lens,
                parts,
            };
            Some((view, stand))
        };
        let mut reason = match adds {
            Adds::Always | Adds::AsTold => Whole::Total,
            Adds::Never => Whole::DoesNotAdd,
        };
        let own = Series::of(query).and_then(|series| {
            let entry = self.entry(&series);
            if entry.is_off_grid() {
                reason = Whole::OffGrid;
                return None;
            }
            let lens = Lens::of(&series, query, adds != Adds::Never)?;
            reason = Whole::Unaligned;
            look(entry, lens)
        });
        let own = match own {
            Some((view, Ok(held))) => return Choice::Ready(view, held),
            Some((view, Err(missing))) => Some((view, missing)),
            None => None,
        };
        let cost = |view: &View, missing: &Missing| {
            let calls = missing.calls.iter();
            let not_under_way = calls.filter(|range| {
                let fetch = view.entry.series.query(**range, missing.metrics.clone());
                journey.alone || !self.flights.any(|other| gather::covers(other, &fetch))
            });
            not_under_way.count()
        };
        // Those read last come first: of equals they are what others ask for, too, so that all come to ask for one.
        let mut best: Option<(View, Missing, usize)> = None;
        let own_cost = own.as_ref().map_or(1, |(view, missing)| cost(view, missing));
        let own_rows = own.as_ref().map_or(0.0, |(_, missing)| missing.rows);
        for (entry, lens) in self.others(query, adds) {
            match look(entry, lens) {
                Some((view, Ok(held))) if view.adds_up(adds, &query.metrics) => return Choice::Ready(view, held),
                Some((view, Err(missing))) => {
                    let cost = cost(&view, &missing);
                    let is_nothing_held = view.parts.iter().all(|part| part.held.is_none()) && cost > 0;
                    let is_cheap = cost < own_cost || cost == own_cost && missing.rows <= own_rows.max(SHARED_ROWS);
                    let is_better = best.as_ref().is_none_or(|(.., least)| cost < *least);
                    let is_possible = !is_nothing_held && !journey.alone;
                    if is_possible && is_cheap && is_better && view.adds_up(adds, &query.metrics) {
                        best = Some((view, missing, cost));
                    }
                }
                _ => {}
            }
        }
        match (best, own) {
            (Some((view, missing, _)), _) | (None, Some((view, missing))) => Choice::Ask(view, missing),
            (None, None) => Choice::Whole(reason),
        }
    }
}

impl Entry {
    fn is_off_grid(&self) -> bool {
        self.is_off_grid.load(Ordering::Relaxed)
    }

    fn last_read(&self) -> Option<Timestamp> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.values().max().copied()
    }

    fn note_read(&self, metrics: &[&'static Metric], now: Timestamp) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.extend(metrics.iter().map(|metric| (*metric, now)));
    }

    /// Metrics that somebody reads again and again.
    fn habits(&self, now: Timestamp) -> Vec<&'static Metric> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = reads.iter().filter(|(_, at)| now.duration_since(**at) <= HABIT);
        let mut recent: Vec<_> = recent.map(|(metric, _)| *metric).collect();
        recent.sort_unstable();
        recent
    }
}

impl Reports {
    /// The rows of a question, from what is held as far as that is fresh.
    pub(super) async fn figures(
        &self,
        aggregate: &AggregateQuery,
        adds: Adds,
        asked_at: Timestamp,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Figures, ReportError> {
        let (series, came) = (&self.0.series, self.now());
        let mut journey = Journey::default();
        let recalled = series.recall(aggregate, asked_at).await;
        journey.landed.extend(recalled);
        for round in 0..ROUNDS {
            let wish = Wish {
                freshness,
                now: self.now(),
                came,
                whole: adds != Adds::Always,
                windows: self.0.series.windows,
            };
            let choose = |journey: &Journey| series.choose(aggregate, adds, wish, asked_at, journey);
            let mut choice = choose(&journey);
            if round == 0 && series.disk.is_used() && !matches!(choice, Choice::Ready(..)) {
                // Before anything is asked for, what others have kept may answer it.
                let recalled = series.recall_others(aggregate, adds, asked_at).await;
                journey.landed.extend(recalled);
                // Others may have taken the same from there meanwhile.
                choice = choose(&journey);
            }
            let (view, missing) = match choice {
                Choice::Whole(reason) => return self.whole(aggregate, reason, freshness, errand).await,
                Choice::Ready(view, held) => {
                    return Ok(view.figures(aggregate, held, wish, &mut journey, Standing::Fresh));
                }
                Choice::Ask(view, missing) => (view, missing),
            };
            if missing.calls.len() > MAX_CALLS {
                return Err(ReportError::TooManyCalls {
                    calls: missing.calls.len(),
                    limit: MAX_CALLS,
                });
            }
            if missing.may_come_later {
                self.start(&view, &missing, &mut journey, errand);
                match view.answer(aggregate, wish, &mut journey, Standing::Aging) {
                    Ok(figures) => return Ok(figures),
                    Err(_) => break,
                }
            }
            if let Err(failure) = self.ask(&view, &missing, &mut journey, errand).await {
                // Some of it may have come, and others may have brought more.
                let parts = series.parts(&view.entry, view.range, &journey.landed);
                let view = View { parts, ..view };
                let may_stand_in = freshness.on_error == OnError::Stale && view.adds_up(adds, &aggregate.metrics);
                if !missing.is_held || !may_stand_in {
                    return Err(failure);
                }
                let stale = view.answer(aggregate, wish, &mut journey, Standing::Stale);
                return stale.map_err(|_| {
                    tracing::warn!(error = %failure, "what was held is not there any more");
                    failure
                });
            }
            // What was put together with others' questions may have brought less than is wanted here.
            journey.alone |= round > 0;
        }
        self.whole(aggregate, Whole::Displaced, freshness, errand).await
    }

    /// Asks for whatever will not be fresh in a while, and waits for it; how many upstream requests that took.
    pub(super) async fn renew_figures(
        &self,
        query: &Query,
        ahead: Duration,
        errand: &Errand,
    ) -> Result<u32, ReportError> {
        let (came, adds) = (self.now(), Adds::shown(&query.columns));
        let mut journey = Journey::default();
        for _ in 0..ROUNDS {
            let wish = Wish {
                freshness: Freshness::default(),
                now: self.now() + ahead,
                came,
                whole: adds != Adds::Always,
                windows: self.0.series.windows,
            };
            let series = &self.0.series;
            match series.choose(&query.aggregate, adds, wish, query.asked_at, &journey) {
                Choice::Ready(..) => break,
                Choice::Whole(_) => {
                    let key = Key::Aggregates(query.aggregate.clone());
                    return Ok(journey.calls + self.renew_held(&key, ahead, errand).await?);
                }
                // Refused to readers, too.
                Choice::Ask(_, missing) if missing.calls.len() > MAX_CALLS => break,
                Choice::Ask(view, missing) => self.ask(&view, &missing, &mut journey, errand).await?,
            }
        }
        Ok(journey.calls)
    }

    /// Asks for everything that is missing, and waits for none of it.
    fn start(&self, view: &View, missing: &Missing, journey: &mut Journey, errand: &Errand) {
        let errand = self.refreshing(errand);
        for range in &missing.calls {
            let fetch = view.entry.series.query(*range, missing.metrics.clone());
            // It goes on by itself.
            let _ = self.join(&fetch, journey.alone, &errand);
            journey.asked.push(Asked {
                range: *range,
                metrics: fetch.metrics,
                calls: 0,
                outcome: Outcome::UnderWay,
            });
        }
    }

    /// Waits for everything that is missing, whoever asks for it.
    async fn ask(
        &self,
        view: &View,
        missing: &Missing,
        journey: &mut Journey,
        errand: &Errand,
    ) -> Result<(), ReportError> {
        let asked = missing.calls.iter().map(|range| {
            let fetch = view.entry.series.query(*range, missing.metrics.clone());
            self.join(&fetch, journey.alone, errand)
        });
        let asked: Vec<_> = asked.collect();
        let landings = asked.iter().map(|(landing, ..)| landing.clone());
        let Ok(landed) = timeout_at(errand.deadline(), join_all(landings)).await else {
            return Err(ReportError::Deadline);
        };
        let mut failure = None;
        for ((landed, (_, role, is_own)), range) in landed.into_iter().zip(asked).zip(&missing.calls) {
            journey.has_waited |= role == Role::Follower;
            let (calls, outcome) = match (&landed, role) {
                (Err(_), _) => (0, Outcome::Failed),
                (Ok(landed), Role::Leader) if landed.calls > 0 => (landed.calls, Outcome::Fetched),
                (Ok(_), Role::Leader | Role::Follower) => (0, Outcome::Shared),
            };
            journey.asked.push(Asked {
                range: *range,
                metrics: missing.metrics.clone(),
                calls,
                outcome,
            });
            match landed {
                Ok(landed) => {
                    if role == Role::Leader {
                        journey.calls += landed.calls;
                        journey.has_waited |= landed.calls == 0;
                    }
                    journey.landed.extend(landed.chunks.iter().cloned());
                }
                Err(error) if is_own => failure = Some(error),
                // What failed was not what this question asked for.
                Err(_) => journey.alone = true,
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Asks for one range of a series and holds what comes, in the task of a flight.
    async fn fetch_series(self, fetch: AggregateQuery, errand: Errand) -> Result<Arc<Landed>, ReportError> {
        let purges = self.0.series.purges();
        let slice = self.0.client.aggregates(&fetch, &errand).await?;
        let landed = self.0.series.land(&fetch, &slice, false, purges);
        landed.map(Arc::new).ok_or(ReportError::Internal)
    }

    /// Asks once for what answers all the members, and holds that for each of them.
    async fn fetch_for(
        self,
        fetch: AggregateQuery,
        members: &[AggregateQuery],
        errand: &Errand,
    ) -> Result<Vec<Option<Landed>>, ReportError> {
        let purges = self.0.series.purges();
        let slice = self.0.client.aggregates(&fetch, errand).await?;
        Ok(self.0.series.land_for(&fetch, &slice, members, purges))
    }
}

impl SeriesCache {
    /// Holds what a fetch brought for several questions, for each as if it had been asked alone; `None` for those it
    /// does not answer. The request is on the account of the first.
    fn land_for(
        &self,
        fetch: &AggregateQuery,
        slice: &Slice,
        members: &[AggregateQuery],
        purges: u64,
    ) -> Vec<Option<Landed>> {
        let Some(landed) = self.land(fetch, slice, false, purges) else {
            return members.iter().map(|_| None).collect();
        };
        let chunks: HashMap<ChunkKey, Arc<Chunk>> = landed.chunks.iter().cloned().collect();
        let mut calls = landed.calls;
        let mut land = |member: &AggregateQuery| {
            let series = Series::of(fetch)?;
            let mut brought = landed.chunks.clone();
            if Series::of(member)? != series {
                let entry = self.entry(&series);
                let lens = Lens::of(&series, member, gather::all_add(&member.metrics))?;
                let parts = self.parts(&entry, member.range, &chunks);
                let of_member = Slice {
                    rows: fold::rows(&series, &lens, &parts, member)?,
                    fetched_at: slice.fetched_at,
                    came_at: slice.came_at,
                    upstream_calls: 0,
                };
                brought.extend(self.land(member, &of_member, lens.adds, purges)?.chunks);
            }
            Some(Landed {
                chunks: brought,
                calls: std::mem::take(&mut calls),
            })
        };
        members.iter().map(&mut land).collect()
    }

    /// Holds what a fetch brought, unless something was dropped since `purges` was read before it; `None` if it did not
    /// ask for buckets. `is_sum` where it was added up from others.
    fn land(&self, fetch: &AggregateQuery, slice: &Slice, is_sum: bool, purges: u64) -> Option<Landed> {
        let series = Series::of(fetch)?;
        let entry = self.entry(&series);
        let chunks = series.chunks(fetch.range);
        let edges: Vec<_> = chunks.iter().map(|chunk| series.edges(*chunk)).collect();
        let mut rows: Vec<Vec<&SliceRow>> = vec![Vec::new(); chunks.len()];
        for row in &slice.rows {
            let index = chunks.partition_point(|chunk| chunk.start <= row.bucket.start);
            let place = index.checked_sub(1).filter(|index| {
                let edges = &edges[*index];
                let start = edges.binary_search(&row.bucket.start);
                start.is_ok_and(|start| edges.get(start + 1) == Some(&row.bucket.end))
            });
            if let Some(index) = place {
                rows[index].push(row);
            } else {
                entry.is_off_grid.store(true, Ordering::Relaxed);
                tracing::warn!(bucket = %row.bucket, "the upstream cuts buckets otherwise than foreseen");
                return Some(Landed {
                    calls: slice.upstream_calls,
                    chunks: Vec::new(),
                });
            }
        }
        let fetched = Fetched {
            range: fetch.range,
            at: slice.fetched_at,
            came_at: slice.came_at,
            metrics: &fetch.metrics,
            is_sum,
        };
        let settle = self.windows.settle_of(series.source);
        let dropped = self.purges.read().unwrap_or_else(PoisonError::into_inner);
        let landed = chunks.iter().zip(edges).zip(rows).map(|((chunk, edges), rows)| {
            let key = (entry.id, chunk.start);
            let held = if *dropped == purges {
                let (held, has_settled) = self.put(key, edges, fetched, &rows, settle);
                if has_settled {
                    self.keep(&series, *chunk, Arc::clone(&held));
                }
                held
            } else {
                Arc::new(Chunk::empty(edges).with(fetched, &rows, settle))
            };
            (key, held)
        });
        Some(Landed {
            chunks: landed.collect(),
            calls: slice.upstream_calls,
        })
    }

    /// Takes from disk what memory has not of a question's own series.
    async fn recall(&self, query: &AggregateQuery, asked_at: Timestamp) -> Vec<(ChunkKey, Arc<Chunk>)> {
        if !self.disk.is_used() {
            return Vec::new();
        }
        match Series::of(query) {
            Some(series) => {
                let entry = self.entry(&series);
                let chunks = self.not_in_memory(&entry, query, asked_at);
                self.recall_chunks(&entry, chunks).await
            }
            None => Vec::new(),
        }
    }

    /// Takes from disk what memory has not of other series that answer a question.
    async fn recall_others(
        &self,
        query: &AggregateQuery,
        adds: Adds,
        asked_at: Timestamp,
    ) -> Vec<(ChunkKey, Arc<Chunk>)> {
        if !self.is_listed.load(Ordering::Relaxed)
            && let Some(kept) = self.disk.questions().await
        {
            for (source, question) in kept {
                if let Some(series) = stored::series(source, &question) {
                    self.entry(&series);
                }
            }
            self.is_listed.store(true, Ordering::Relaxed);
        }
        let others = self.others(query, adds).into_iter();
        let others = others.map(|(entry, _)| {
            let chunks = self.not_in_memory(&entry, query, asked_at);
            (entry, chunks)
        });
        let others: Vec<_> = others
            .filter(|(_, chunks)| !chunks.is_empty())
            .take(MAX_RECALLED)
            .collect();
        let mut recalled = Vec::new();
        for (entry, chunks) in others {
            recalled.extend(self.recall_chunks(&entry, chunks).await);
        }
        recalled
    }

    /// The chunks of a series that a question is about and that are not in memory.
    fn not_in_memory(&self, entry: &Entry, query: &AggregateQuery, asked_at: Timestamp) -> Vec<Range> {
        let Some(range) = entry.series.whole_buckets(query.range, asked_at) else {
            return Vec::new();
        };
        let mut chunks = entry.series.chunks(range);
        chunks.retain(|chunk| {
            let key = (entry.id, chunk.start);
            !self.chunks.contains(&key) || self.unread.contains_key(&key)
        });
        chunks
    }

    async fn recall_chunks(&self, entry: &Entry, chunks: Vec<Range>) -> Vec<(ChunkKey, Arc<Chunk>)> {
        if chunks.is_empty() {
            return Vec::new();
        }
        let series = entry.series.clone();
        let keys = chunks.iter().map(|chunk| stored::key(&series, *chunk)).collect();
        let settle = self.windows.settle_of(series.source);
        let starts: Vec<_> = chunks.iter().map(|chunk| chunk.start).collect();
        let read = move |index: usize, kept: &[u8]| stored::decode(kept, &series, series.edges(chunks[index]), settle);
        let kept = self.disk.read(keys, read).await;
        let kept = starts.into_iter().zip(kept).filter_map(|(start, kept)| {
            let key = (entry.id, start);
            self.unread.invalidate(&key);
            let kept = Arc::new(kept?);
            self.chunks.change(key, |held| {
                // Something may have been fetched meanwhile.
                Op::Put(match held {
                    Some(held) => Arc::new(held.joined(&kept, settle)),
                    None => Arc::clone(&kept),
                })
            });
            Some((key, kept))
        });
        kept.collect()
    }

    /// Has what has settled of a chunk kept on disk.
    fn keep(&self, series: &Series, chunk: Range, held: Arc<Chunk>) {
        let (series, settle) = (series.clone(), self.windows.settle_of(series.source));
        self.disk.keep(stored::key(&series, chunk), move |before| {
            // Only part of what was kept before may be in memory.
            let before = before.and_then(|before| stored::decode(before, &series, Arc::clone(&held.edges), settle));
            match before {
                Some(before) => stored::encode(&held.joined(&before, settle), settle),
                None => stored::encode(&held, settle),
            }
        });
    }

    /// Adds what was fetched to what is held of a chunk, and says whether more of it has settled; nobody else's addition is
    /// lost.
    fn put(
        &self,
        key: ChunkKey,
        edges: Arc<[Timestamp]>,
        fetched: Fetched<'_>,
        rows: &[&SliceRow],
        settle: SignedDuration,
    ) -> (Arc<Chunk>, bool) {
        let mut made = None;
        self.chunks.change(key, |held| {
            let held = held.cloned();
            if held.is_none() && self.disk.is_used() {
                self.unread.insert(key, ());
            }
            let held = held.unwrap_or_else(|| Arc::new(Chunk::empty(edges)));
            let chunk = Arc::new(held.with(fetched, rows, settle));
            made = Some((Arc::clone(&chunk), chunk.settled(settle) > held.settled(settle)));
            Op::Put(chunk)
        });
        made.expect("moka calls the function once")
    }
}

impl SeriesCache {
    /// The ordered rows of a question, if they were made of the same before; of many, a turn to make them in is taken
    /// first. `None` if the held buckets do not make the question's own.
    pub(super) async fn ordered(
        &self,
        body: &Body,
        query: &Query,
        names: &NamesByLookup,
    ) -> Option<(Result<OrderedRows, ReportError>, Option<Turn>)> {
        let of = body.made_of(query);
        let chunks = body.generations();
        if let Some(rows) = self.known(&of, &chunks, names) {
            return Some((Ok(rows), None));
        }
        let mut turn = None;
        if body.takes_long() {
            turn = Some(Turn::wait().await);
            // Somebody may have had the same made meanwhile.
            if let Some(rows) = self.known(&of, &chunks, names) {
                return Some((Ok(rows), turn));
            }
        }
        let rows = if let Some(waited_for) = turn.take() {
            let (body, query, names) = (body.clone(), query.clone(), names.clone());
            match waited_for.once_more(move || body.ordered(&query, &names)).await {
                Ok((rows, kept)) => {
                    turn = Some(kept);
                    rows
                }
                Err(error) => {
                    tracing::error!(%error, "rows cannot be made");
                    Some(Err(ReportError::Internal))
                }
            }
        } else {
            body.ordered(query, names)
        };
        let rows = rows?.map(|rows| {
            let rows = OrderedRows::new(rows);
            let made = Made {
                chunks,
                names: names.clone(),
                rows: rows.clone(),
            };
            self.made.insert(of, Arc::new(made));
            rows
        });
        Some((rows, turn))
    }

    /// Rows that were made of this before.
    fn known(&self, of: &MadeOf, chunks: &[u64], names: &NamesByLookup) -> Option<OrderedRows> {
        let has_same_names = |made: &Made| {
            made.names.len() == names.len()
                && names.iter().all(|(lookup, names)| {
                    let known = made.names.get(lookup);
                    known.is_some_and(|known| Arc::ptr_eq(known, names))
                })
        };
        let made = self.made.get(of);
        let made = made.filter(|made| made.chunks == chunks && has_same_names(made))?;
        Some(made.rows.clone())
    }
}

impl Body {
    /// Whether its rows will take a while to be made.
    fn takes_long(&self) -> bool {
        /// So many are made while others wait.
        const A_FEW_ROWS: usize = 500;
        let rows = match self {
            Self::Held(view) => view.most_rows(),
            Self::Whole { rows, .. } => rows.rows.len(),
        };
        rows > A_FEW_ROWS
    }

    /// The rows of a question, in order; `None` if the held buckets do not make its own.
    fn ordered(&self, query: &Query, names: &NamesByLookup) -> Option<Result<Vec<Vec<Cell>>, ReportError>> {
        match self {
            Self::Held(view) => {
                let whole = view.whole(query);
                Some(rows::ordered(&whole, &view.rows(&whole.aggregate)?, names))
            }
            Self::Whole { rows, .. } => Some(rows::ordered(query, &rows.rows, names)),
        }
    }

    /// Of the chunks that are looked at.
    fn generations(&self) -> Vec<u64> {
        match self {
            Self::Held(view) => {
                let held = view.parts.iter().filter_map(|part| part.held.as_ref());
                held.map(|chunk| chunk.generation).collect()
            }
            Self::Whole { .. } => Vec::new(),
        }
    }

    fn made_of(&self, query: &Query) -> MadeOf {
        let (origin, range) = match self {
            Self::Held(view) => (Origin::Series(view.entry.id, view.lens.clone()), view.range),
            Self::Whole { rows, .. } => (Origin::Whole(rows.id), query.aggregate.range),
        };
        MadeOf {
            origin,
            aggregate: AggregateQuery {
                range,
                ..query.aggregate.clone()
            },
            columns: query.columns.clone(),
            order_by: query.order_by.clone(),
            limit: query.limit,
            fill: query.fill,
            only: query.only.clone(),
        }
    }
}

impl View {
    /// The question up to the end of its last bucket: so it is the same a moment later.
    fn whole(&self, query: &Query) -> Query {
        Query {
            aggregate: AggregateQuery {
                range: self.range,
                ..query.aggregate.clone()
            },
            ..query.clone()
        }
    }

    /// Whether what is held makes all that is wanted of it.
    fn adds_up(&self, adds: Adds, metrics: &[&'static Metric]) -> bool {
        !self.lens.adds || adds != Adds::AsTold || fold::told_adds(&self.lens, &self.parts, metrics)
    }

    /// How many rows there are, if every group is in every bucket.
    fn most_rows(&self) -> usize {
        let parts = self
            .parts
            .iter()
            .filter_map(|part| Some((part.held.as_ref()?, part.asked)));
        parts
            .map(|(chunk, asked)| chunk.groups.len() * chunk.buckets_in(asked).len())
            .sum()
    }

    /// What is held, as an answer; the view itself if something is missing.
    fn answer(
        self,
        query: &AggregateQuery,
        wish: Wish,
        journey: &mut Journey,
        standing: Standing,
    ) -> Result<Figures, Self> {
        let summary = plan::summary(&self.entry.series, query.range, &self.parts, &query.metrics, wish);
        match summary {
            Some(summary) => Ok(self.figures(query, summary, wish, journey, standing)),
            None => Err(self),
        }
    }

    fn figures(
        self,
        query: &AggregateQuery,
        held: Summary,
        wish: Wish,
        journey: &mut Journey,
        standing: Standing,
    ) -> Figures {
        self.entry.note_read(&query.metrics, wish.now);
        journey.figures(self, held, standing, wish.now)
    }

    /// Which buckets it looks at, and what is held of them.
    pub(super) fn account(&self, query: &AggregateQuery, windows: Windows) -> (Way, Vec<Stretch>) {
        let series = &self.entry.series;
        let way = Way::Buckets {
            granularity: series.granularity,
            time_zone: series.time_zone.clone(),
            group_by: series.group_by.clone(),
        };
        let stretches = plan::stretches(series, query.range, &self.parts, &query.metrics, windows);
        (way, stretches)
    }

    /// The rows of the question, the last bucket cut where the question ends; `None` if the held buckets do not make its
    /// own.
    pub(super) fn rows_of(&self, query: &AggregateQuery) -> Option<Vec<SliceRow>> {
        let whole = AggregateQuery {
            range: self.range,
            ..query.clone()
        };
        let mut rows = self.rows(&whole)?;
        for row in &mut rows {
            row.bucket.end = row.bucket.end.min(query.range.end);
        }
        Some(rows)
    }

    /// The rows of the question, up to the end of its last bucket; `None` if the held buckets do not make its own.
    fn rows(&self, query: &AggregateQuery) -> Option<Vec<SliceRow>> {
        fold::rows(&self.entry.series, &self.lens, &self.parts, query)
    }
}

impl Figures {
    /// The rows of what was asked whole.
    pub(super) fn into_rows(self) -> Result<(Vec<SliceRow>, Self), ReportError> {
        match &self.body {
            Body::Whole { rows, .. } => Ok((rows.rows.clone(), self)),
            Body::Held(_) => Err(ReportError::Internal),
        }
    }

    /// With the rows made of them.
    pub(super) fn answer(&self, rows: OrderedRows, turn: Option<Turn>, calls_for_names: u32) -> Answer<OrderedRows> {
        let mut provenance = self.provenance.clone();
        provenance.upstream_calls += calls_for_names;
        Answer {
            total: rows.total(),
            content: rows,
            turn,
            fresh_for: self.fresh_for,
            provenance,
        }
    }
}

impl Journey {
    fn figures(&mut self, view: View, summary: Summary, standing: Standing, now: Timestamp) -> Figures {
        let cache = match standing {
            Standing::Aging => CacheUse::Revalidating(summary.left.unsigned_abs()),
            Standing::Stale => CacheUse::Stale,
            Standing::Fresh if self.calls > 0 => CacheUse::Miss,
            Standing::Fresh if self.has_waited => CacheUse::Collapsed,
            Standing::Fresh => CacheUse::Hit,
        };
        if cache == CacheUse::Stale {
            tracing::warn!("what is held stands in for a failed fetch");
        }
        Figures {
            body: Body::Held(view),
            asked: std::mem::take(&mut self.asked),
            provenance: Provenance {
                as_of: summary.as_of,
                complete: summary.complete,
                settled_through: summary.settled_through,
                cache,
                upstream_calls: self.calls,
            },
            fresh_for: match standing {
                Standing::Fresh => summary.left.try_into().unwrap_or_default(),
                Standing::Aging | Standing::Stale => Duration::ZERO,
            },
            looked_at: now,
        }
    }
}
