//! Single conversations by UTC day: what is held is the days they started on, and a question asks only for those missing.
//!
//! A conversation belongs to the day it started on, which is how the upstream answers, too. [`Reports::conversations`] and
//! [`Reports::conversation_stream`] both begin with what `plan` says of the days of their range; what is missing is read
//! in as few sweeps as can be, as days in a row are one query, and becomes days again (`day`). Of a day that is good but
//! for what runs on after it, only that is asked for, by its ids. Days that have settled are
//! kept on disk too (`stored`), and all are left for other replicas, of which one reads for all. A sweep that breaks off
//! makes no day.
//!
//! Pages for people are read in a task of its own, for everybody who waits ([`Flights`]). A stream reads by itself, hands
//! on what comes as it comes, and holds it by the way as far as that is little.

mod day;
mod plan;
mod stored;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    future::join_all,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use moka::{ops::compute::Op, sync::Cache};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use self::{
    day::{Builder, Day, days_of},
    plan::{Look, Missing, Part, Summary, WaitedFor, Wish},
};
use super::{
    Dropped, Freshness, HeldAnswer, HeldKind, OnError, ReportError, Reports, Windows,
    disk::Disk,
    flights::{Flights, Landing, Role},
    freshness::{Settling, Verdict},
    once,
};
use crate::{
    fleet::{Entry, Fleet, Mark, Name},
    query::{ConversationQuery, Filter, Listing, Permitted, Purge, Range, Sight, Source},
    table::{CacheUse, Provenance},
    upstream::{Class, ConversationPage, ConversationsById, Errand, UpstreamError, withheld},
};

/// How often a question is planned anew when what it waited for was not what it needed.
const ROUNDS: usize = 4;

/// How much smaller documents get when they are packed, at least.
const PACKED_TO_A: u64 = 8;

/// The days held, and what is being read.
pub(super) struct DayCache {
    days: Cache<DayKey, Arc<Day>>,
    capacity_bytes: u64,
    /// The most bytes of documents that are gathered for one question.
    listing_bytes: u64,
    pub(super) flights: Flights<Reading, Arc<Landed>>,
    windows: Windows,
    disk: Disk,
    fleet: Fleet,
}

/// Which conversations, and the midnight their day begins with.
type DayKey = (Arc<Filter>, Timestamp);

/// What is asked of the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    Days(Sweep),
    Outlasting {
        filter: Arc<Filter>,
        /// What is put into days of that filter.
        ids: Vec<Arc<str>>,
    },
}

/// Days that are read for a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sweep {
    filter: Arc<Filter>,
    /// Whole days.
    days: Range,
    /// What is asked of them: decides what is too much.
    asked: Range,
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Days that were read.
    days: Vec<Arc<Day>>,
    /// Days of which some conversations were read.
    looked_at: Vec<Arc<Day>>,
    /// Those conversations.
    ids: Vec<Arc<str>>,
    /// Days that another replica has left.
    left: Vec<Arc<Day>>,
    calls: u32,
}

/// What will land, who started it, and whether it is what was asked for.
type Joined = (Landing<Arc<Landed>>, Role, bool);

/// An answer to a [`ConversationQuery`]: of every conversation that started in the range, by start, then id, the page
/// asked for.
#[derive(Clone, Debug)]
pub struct Conversations {
    /// One JSON document each, as the upstream wrote it.
    pub documents: Vec<Bytes>,
    /// Conversations on all pages.
    pub total: u64,
    /// Where they came from.
    pub provenance: Provenance,
    /// How much longer it may be reused.
    pub fresh_for: std::time::Duration,
}

/// How good what is held has to be where nothing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtHand {
    /// Fresh.
    Fresh,
    /// Good enough to stand in for a failure.
    StandingIn,
}

/// What the upstream told of a listing on its first page, in an order of its own among those that started together; and
/// what it tells may move while it is read. So the pages that follow are made of whatever was not on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldBefore {
    /// When they started, by their ids.
    pub starts: HashMap<Vec<u8>, Timestamp>,
}

impl ToldBefore {
    /// The places of a page after the first, in its order, among all.
    fn places(listing: Listing, total: usize, told: &BTreeSet<usize>) -> Vec<usize> {
        let size = listing.page.size as usize;
        let skipped = (listing.page.number as usize).saturating_sub(2).saturating_mul(size);
        let in_order = (0..total).map(|place| if listing.newest_first { total - 1 - place } else { place });
        let untold = in_order.filter(|place| !told.contains(place));
        untold.skip(skipped).take(size).collect()
    }

    /// How many conversations there are, counting a place for all that the first page has room for, and those of a page
    /// after the first; `None` if a day is not as it was made.
    fn cut(&self, days: &day::Parts, listing: Listing) -> Option<(usize, Vec<Bytes>)> {
        let told = day::places_of(days, &self.starts)?;
        let mut places = Vec::new();
        let (total, documents) = day::cut(days, |total| {
            places = Self::places(listing, total, &told);
            let first = places.iter().min().copied().unwrap_or_default();
            first..places.iter().max().map_or(first, |last| last + 1)
        })?;
        let first = places.iter().min().copied().unwrap_or_default();
        let documents = places.iter().map(|place| documents.get(place - first).cloned());
        let untold = total - told.len();
        Some((listing.page.size as usize + untold, documents.collect::<Option<_>>()?))
    }
}

/// What happened on the way to an answer.
#[derive(Default)]
struct Journey {
    /// Days that were there, or came from disk or from a sweep, whether or not there is room to hold them.
    came: HashMap<Timestamp, Arc<Day>>,
    waited_for: WaitedFor,
    calls: u32,
    has_waited: bool,
    /// Sharing a sweep with others did not work out.
    alone: bool,
}

/// The days of a question, all there.
struct Found {
    parts: Vec<Part>,
    provenance: Provenance,
    fresh_for: std::time::Duration,
}

impl DayCache {
    pub(super) fn new(capacity_bytes: u64, listing_bytes: u64, windows: Windows, disk: Disk, fleet: Fleet) -> Self {
        const BOOKKEEPING: usize = 256;
        let weigh = |_: &DayKey, day: &Arc<Day>| (day.weight() + BOOKKEEPING).try_into().unwrap_or(u32::MAX);
        Self {
            days: Cache::builder().max_capacity(capacity_bytes).weigher(weigh).build(),
            capacity_bytes,
            listing_bytes,
            flights: Flights::new(),
            windows,
            disk,
            fleet,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.days.weighted_size()
    }

    /// The days of a range, with the youngest there is of them.
    fn parts(
        &self,
        filter: &Arc<Filter>,
        range: Range,
        came: &HashMap<Timestamp, Arc<Day>>,
        now: Timestamp,
    ) -> Vec<Part> {
        let days = days_of(range).into_iter();
        let parts = days.map(|(day, asked)| {
            let held = self.days.get(&(Arc::clone(filter), day.start));
            let came = came.get(&day.start).cloned();
            let held = held.into_iter().chain(came).min_by_key(|day| day.age(now));
            Part { day, asked, held }
        });
        parts.collect()
    }

    /// What is held, the latest days first.
    pub(super) fn inventory(&self) -> Vec<HeldAnswer> {
        self.days.run_pending_tasks();
        let mut days: Vec<_> = self.days.iter().map(|(_, day)| day.told(self.windows)).collect();
        days.sort_by_key(|day| std::cmp::Reverse(day.range.map(|range| range.start)));
        days
    }

    /// Drops what is meant, and lets nobody join what is under way.
    pub(super) fn purge(&self, purge: &Purge) -> Dropped {
        self.flights.forget();
        let mut dropped = Dropped::default();
        for (key, day) in &self.days {
            let told = day.told(self.windows);
            if told.is_meant(purge) {
                self.days.invalidate(&*key);
                dropped.answers += 1;
                dropped.bytes += told.bytes;
            }
        }
        self.days.run_pending_tasks();
        dropped
    }

    /// Holds a day, unless a younger one is held, and has it kept on disk once it has settled.
    fn hold(&self, filter: &Arc<Filter>, day: Day, now: Timestamp) -> Arc<Day> {
        let day = Arc::new(day);
        self.days
            .entry((Arc::clone(filter), day.range.start))
            .and_compute_with(|held| match held {
                Some(held) if held.value().age(now).0 < day.age(now).0 => Op::Nop,
                _ => Op::Put(Arc::clone(&day)),
            });
        self.keep(filter, &day);
        day
    }

    /// Puts what was told of conversations into the day that is held, or into the one that was when they were asked for;
    /// `None` if that is not as it was made.
    fn hold_told(
        &self,
        filter: &Arc<Filter>,
        asked_for: &Arc<Day>,
        told: &ConversationsById,
        now: Timestamp,
    ) -> Option<Arc<Day>> {
        let mut made = None;
        self.days
            .entry((Arc::clone(filter), asked_for.range.start))
            .and_compute_with(|held| {
                let held = held.map(|held| Arc::clone(held.value()));
                let held = held.filter(|held| held.age(now).0 <= asked_for.age(now).0);
                let latest = held.as_ref().unwrap_or(asked_for);
                made = latest.with(&told.by_id, told.fetched_at, now).map(Arc::new);
                made.clone().map_or(Op::Nop, Op::Put)
            });
        let day = made?;
        self.keep(filter, &day);
        Some(day)
    }

    /// Has a day kept on disk, if it has settled.
    fn keep(&self, filter: &Arc<Filter>, day: &Arc<Day>) {
        if self.disk.is_used() && day.is_settled(self.windows) {
            let (kept, windows) = (Arc::clone(day), self.windows);
            let key = stored::key(filter, day.range);
            self.disk.keep(key, move |_| stored::encode(&kept, windows));
        }
    }

    /// What another replica has left of some days.
    async fn left_by_others(&self, filter: &Filter, days: &[Range]) -> Vec<Day> {
        let names: Vec<_> = days.iter().map(|day| name(filter, *day)).collect();
        let kept = self.fleet.read(&names).await;
        let left = days.iter().zip(kept);
        left.filter_map(|(day, kept)| stored::decode_all(&kept?, *day))
            .collect()
    }

    /// Leaves days for other replicas.
    fn entries(filter: &Filter, days: &[Arc<Day>]) -> Vec<Entry> {
        let entries = days.iter().map(|day| Entry {
            name: name(filter, day.range),
            kept: stored::encode_all(day),
            ttl: once::KEPT_FOR,
        });
        entries.collect()
    }

    /// Takes from disk what memory has not of some days, or else from other replicas.
    async fn recall(&self, filter: &Arc<Filter>, mut days: Vec<Range>) -> Vec<Arc<Day>> {
        if !self.disk.is_used() && !self.fleet.is_used() {
            return Vec::new();
        }
        days.retain(|day| !self.days.contains_key(&(Arc::clone(filter), day.start)));
        if days.is_empty() {
            return Vec::new();
        }
        let windows = self.windows;
        let keys = days.iter().map(|day| stored::key(filter, *day)).collect();
        let ranges = days.clone();
        let kept = self
            .disk
            .read(keys, move |index, kept| stored::decode(kept, ranges[index], windows));
        let kept = kept.await.into_iter().flatten().map(Arc::new);
        let mut kept: Vec<_> = kept.collect();
        if self.fleet.is_used() {
            days.retain(|day| kept.iter().all(|kept| kept.range != *day));
            kept.extend(self.left_by_others(filter, &days).await.into_iter().map(Arc::new));
        }
        for day in &kept {
            let key = (Arc::clone(filter), day.range.start);
            self.days.entry(key).or_insert_with(|| Arc::clone(day));
        }
        kept
    }
}

impl Reports {
    /// Lists conversations that started in the range, one page of them.
    ///
    /// Pages of one question are cut from the same days for as long as those are fresh.
    pub async fn conversations(
        &self,
        question: &Permitted<(ConversationQuery, Listing)>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Conversations, ReportError> {
        self.conversations_after(question, None, freshness, errand).await
    }

    /// The same for who has been told of some of them by the upstream itself, on what was its first page: the pages that
    /// follow tell of the others, each once.
    pub async fn conversations_after(
        &self,
        question: &Permitted<(ConversationQuery, Listing)>,
        told: Option<ToldBefore>,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Conversations, ReportError> {
        let found = self.days(&question.0, freshness, errand).await?;
        self.listed(question, told, found).await
    }

    /// The same, if every day of the range is held and good enough: it asks nothing of the upstream.
    pub async fn conversations_at_hand(
        &self,
        question: &Permitted<(ConversationQuery, Listing)>,
        told: Option<ToldBefore>,
        freshness: Freshness,
        at_hand: AtHand,
    ) -> Result<Option<Conversations>, ReportError> {
        let query = &question.0;
        let filter = Arc::new(query.filter.clone());
        let journey = self.set_out(&filter, query.range).await;
        let wish = Wish {
            freshness,
            now: self.now(),
            windows: self.0.days.windows,
        };
        let parts = self.0.days.parts(&filter, query.range, &journey.came, wish.now);
        let summary = plan::summary(&parts, &journey.waited_for, wish);
        let is_fresh = plan::missing(&parts, &journey.waited_for, wish).is_none();
        let used = match at_hand {
            _ if is_fresh => None,
            AtHand::StandingIn if freshness.on_error == OnError::Stale => Some(CacheUse::Stale),
            AtHand::StandingIn | AtHand::Fresh => return Ok(None),
        };
        let Some(summary) = summary else {
            return Ok(None);
        };
        if used.is_some() {
            tracing::warn!("held days stand in for a failed fetch");
        }
        let found = journey.found(parts, summary, used);
        self.listed(question, told, found).await.map(Some)
    }

    /// The page asked for, cut from the days found.
    async fn listed(
        &self,
        question: &Permitted<(ConversationQuery, Listing)>,
        told: Option<ToldBefore>,
        found: Found,
    ) -> Result<Conversations, ReportError> {
        let (listing, sight) = (question.1, question.sight().clone());
        self.0.tally.count(found.provenance.cache);
        let days = found.parts.into_iter();
        let days: Vec<_> = days.filter_map(|part| Some((part.held?, part.asked))).collect();
        let limit_bytes = self.0.days.listing_bytes;
        if days.iter().map(|(day, part)| day.bytes_in(*part)).sum::<u64>() > limit_bytes {
            return Err(ReportError::TooLarge { limit_bytes });
        }
        let cut = tokio::task::spawn_blocking(move || {
            let (total, documents) = match told {
                None => {
                    let (total, mut documents) = day::cut(&days, |total| places(listing, total))?;
                    if listing.newest_first {
                        documents.reverse();
                    }
                    (total, documents)
                }
                Some(told) => told.cut(&days, listing)?,
            };
            let documents = seen_of(documents, &sight).ok()?;
            Some((total as u64, documents))
        });
        let Ok(Some((total, documents))) = cut.await else {
            tracing::error!("a day that is held cannot be taken apart");
            return Err(ReportError::Internal);
        };
        Ok(Conversations {
            documents,
            total,
            provenance: found.provenance,
            fresh_for: found.fresh_for,
        })
    }

    /// All days of a range: those held as far as they are fresh, the others from the upstream.
    async fn days(
        &self,
        query: &ConversationQuery,
        freshness: Freshness,
        errand: &Errand,
    ) -> Result<Found, ReportError> {
        let days = &self.0.days;
        let filter = Arc::new(query.filter.clone());
        let mut journey = self.set_out(&filter, query.range).await;
        for round in 1..=ROUNDS {
            let wish = Wish {
                freshness,
                now: self.now(),
                windows: days.windows,
            };
            let parts = days.parts(&filter, query.range, &journey.came, wish.now);
            // What is there now may be displaced while the rest is read.
            let there = parts
                .iter()
                .filter_map(|part| Some((part.day.start, part.held.clone()?)));
            journey.came.extend(there);
            let summary = plan::summary(&parts, &journey.waited_for, wish);
            let missing = match (plan::missing(&parts, &journey.waited_for, wish), summary) {
                (None, Some(summary)) => return Ok(journey.found(parts, summary, None)),
                (Some(missing), Some(summary)) if missing.may_come_later => {
                    // It goes on by itself.
                    let _ = self.join_missing(&filter, query.range, missing, &self.refreshing(errand), journey.alone);
                    let past = CacheUse::Revalidating(summary.left.unsigned_abs());
                    return Ok(journey.found(parts, summary, Some(past)));
                }
                (Some(missing), _) => missing,
                (None, None) => break,
            };
            journey.alone |= round == ROUNDS;
            let joined = self.join_missing(&filter, query.range, missing, errand, journey.alone);
            if let Err(failure) = journey.wait_for(joined, errand).await {
                // Some of it may have come, and others may have brought more.
                let parts = days.parts(&filter, query.range, &journey.came, wish.now);
                return match plan::summary(&parts, &journey.waited_for, wish) {
                    Some(summary) if freshness.on_error == OnError::Stale => {
                        tracing::warn!(error = %failure, "held days stand in for a failed fetch");
                        Ok(journey.found(parts, summary, Some(CacheUse::Stale)))
                    }
                    _ => Err(failure),
                };
            }
        }
        tracing::error!("days that were read are not there");
        Err(ReportError::Internal)
    }

    /// Begins with what disk and other replicas have of the days.
    async fn set_out(&self, filter: &Arc<Filter>, range: Range) -> Journey {
        let mut journey = Journey::default();
        let all = days_of(range).into_iter().map(|(day, _)| day).collect();
        let recalled = self.0.days.recall(filter, all).await.into_iter();
        journey.came.extend(recalled.map(|day| (day.range.start, day)));
        journey
    }

    /// Joins everything that is missing, or starts it.
    fn join_missing(
        &self,
        filter: &Arc<Filter>,
        range: Range,
        missing: Missing,
        errand: &Errand,
        alone: bool,
    ) -> Vec<Joined> {
        let sweeps = sweeps(filter, range, &missing.sweeps).into_iter();
        let sweeps = sweeps.map(|sweep| self.join_sweep(&sweep, errand, alone));
        let looks = Some(missing.looks).filter(|looks| !looks.is_empty());
        let looks = looks.map(|looks| self.join_looks(filter, looks, errand, alone));
        sweeps.chain(looks).collect()
    }

    /// Joins a sweep of some of the days, or starts this one.
    fn join_sweep(&self, sweep: &Sweep, errand: &Errand, alone: bool) -> Joined {
        let brings_some = |other: &Reading| match other {
            Reading::Days(other) => {
                other.filter == sweep.filter && other.days.start < sweep.days.end && sweep.days.start < other.days.end
            }
            Reading::Outlasting { .. } => false,
        };
        let read = |errand: Errand| self.clone().read_days_once(sweep.clone(), errand);
        self.join_reading(&Reading::Days(sweep.clone()), errand, alone, brings_some, read)
    }

    /// Joins what asks for some of the conversations, or asks for them.
    fn join_looks(&self, filter: &Arc<Filter>, looks: Vec<Look>, errand: &Errand, alone: bool) -> Joined {
        let ids: Vec<_> = looks.iter().flat_map(|look| &look.ids).cloned().collect();
        let days: Vec<_> = looks.iter().map(|look| look.day.range.start).collect();
        let brings_some = |other: &Reading| match other {
            Reading::Days(other) => other.filter == *filter && days.iter().any(|day| other.days.contains(*day)),
            Reading::Outlasting {
                filter: others,
                ids: other,
            } => others == filter && ids.iter().any(|id| other.contains(id)),
        };
        let reading = Reading::Outlasting {
            filter: Arc::clone(filter),
            ids: ids.clone(),
        };
        let read = |errand| self.clone().read_outlasting(Arc::clone(filter), looks, errand);
        self.join_reading(&reading, errand, alone, brings_some, read)
    }

    fn join_reading<F>(
        &self,
        reading: &Reading,
        errand: &Errand,
        alone: bool,
        brings_some: impl Fn(&Reading) -> bool,
        read: impl FnOnce(Errand) -> F,
    ) -> Joined
    where
        F: Future<Output = Result<Arc<Landed>, ReportError>> + Send + 'static,
    {
        let flights = &self.0.days.flights;
        if !alone
            && !flights.any(|other| other == reading)
            && let Some(landing) = flights.join_any(errand, brings_some)
        {
            return (landing, Role::Follower, false);
        }
        let (landing, role) = flights.join(reading, errand, read);
        (landing, role, true)
    }

    /// Has days read by one replica for all.
    async fn read_days_once(self, sweep: Sweep, errand: Errand) -> Result<Arc<Landed>, ReportError> {
        let fleet = &self.0.days.fleet;
        let days: Vec<_> = days_of(sweep.days).into_iter().map(|(day, _)| day).collect();
        let look = self.left_of_days(&sweep.filter, &days);
        let ask = self.clone().read_days(sweep.clone(), errand.clone());
        let leave = |landed: &Arc<Landed>| DayCache::entries(&sweep.filter, &landed.days);
        let first = days
            .first()
            .map(|day| stored::key(&sweep.filter, *day).question_and_range());
        let what = json!(["read", first, days.len()]);
        // Pages under way take room.
        Box::pin(once::once(fleet, what, errand.deadline(), look, ask, leave)).await
    }

    /// What others have left of days, held from now on; `None` if none of it is fresh and new here.
    async fn left_of_days(&self, filter: &Arc<Filter>, days: &[Range]) -> Option<Arc<Landed>> {
        let (cache, purges) = (&self.0.days, self.0.series.purges());
        let mut landed = Landed::default();
        for day in cache.left_by_others(filter, days).await {
            let held = cache.days.get(&(Arc::clone(filter), day.range.start));
            let now = self.now();
            let is_later = held.is_none_or(|held| day.age(now) < held.age(now));
            let verdict = day.dated(day.range, cache.windows).judge(Freshness::default(), now);
            if is_later && matches!(verdict, Verdict::Fresh(_)) {
                landed.left.push(self.hold(filter, day, purges));
            }
        }
        (!landed.left.is_empty()).then(|| Arc::new(landed))
    }

    /// Reads days and holds each as soon as it is whole. Runs in a flight, for whoever waits and for the cache.
    async fn read_days(self, sweep: Sweep, errand: Errand) -> Result<Arc<Landed>, ReportError> {
        let purges = self.0.series.purges();
        let query = ConversationQuery {
            range: sweep.days,
            filter: Filter::clone(&sweep.filter),
        };
        let mut pages = pin!(self.0.client.conversations(&query, errand.clone(), errand));
        let mut builder = Builder::new(sweep.days);
        let mut allowance = Allowance::new(sweep.asked, self.0.days.listing_bytes);
        let mut landed = Landed::default();
        let hold = |day| self.hold(&sweep.filter, day, purges);
        while let Some(page) = pages.next().await {
            let page = page?;
            landed.calls += page.upstream_calls;
            allowance.take(&page)?;
            landed.days.extend(builder.add(&page).into_iter().map(hold));
        }
        landed.days.extend(builder.finish().into_iter().map(hold));
        Ok(Arc::new(landed))
    }

    /// Asks for conversations that outlast their days and puts them there. Runs in a flight, as above.
    async fn read_outlasting(
        self,
        filter: Arc<Filter>,
        looks: Vec<Look>,
        errand: Errand,
    ) -> Result<Arc<Landed>, ReportError> {
        let purges = self.0.series.purges();
        let ids: Vec<_> = looks.iter().flat_map(|look| &look.ids).cloned().collect();
        let told = match self.0.client.conversations_by_id(&ids, &errand).await {
            Ok(told) => Some(told),
            Err(error @ UpstreamError::Rejected { .. }) => {
                tracing::warn!(%error, "conversations are not told by their ids: reading their days");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut landed = Landed {
            calls: told.as_ref().map_or(1, |told| told.upstream_calls),
            ..Landed::default()
        };
        for look in looks {
            let is_whole = |told: &&ConversationsById| look.ids.iter().all(|id| told.by_id.contains_key(id));
            let day = told.as_ref().filter(is_whole).and_then(|told| {
                if self.0.series.purges() == purges {
                    self.0.days.hold_told(&filter, &look.day, told, self.now())
                } else {
                    look.day.with(&told.by_id, told.fetched_at, self.now()).map(Arc::new)
                }
            });
            if let Some(day) = day {
                landed.looked_at.push(day);
                landed.ids.extend(look.ids);
                continue;
            }
            // What is not told of any more is gone, or is found in its day only.
            let sweep = Sweep {
                filter: Arc::clone(&filter),
                days: look.day.range,
                asked: look.asked,
            };
            let read = self.clone().read_days(sweep, errand.clone()).await?;
            landed.days.extend(read.days.iter().cloned());
            landed.calls += read.calls;
        }
        Ok(Arc::new(landed))
    }

    /// Holds a day, unless something was dropped since `purges` was read before it was asked for.
    fn hold(&self, filter: &Arc<Filter>, day: Day, purges: u64) -> Arc<Day> {
        if self.0.series.purges() == purges {
            self.0.days.hold(filter, day, self.now())
        } else {
            Arc::new(day)
        }
    }

    /// Streams the conversations that started in the range, one JSON document each: from days that are held and fresh, and
    /// as they come in.
    ///
    /// An error item is the last: what was streamed until then is not the whole. Little is gathered, so the range may be
    /// as long as the deadline allows. What cannot begin by `first_by` fails at once.
    pub fn conversation_stream(
        &self,
        question: &Permitted<(ConversationQuery, Listing)>,
        freshness: Freshness,
        errand: &Errand,
        whole_by: Instant,
        reached: &Reached,
    ) -> impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static {
        let ((query, _), sight) = (&**question, question.sight().clone());
        let streaming = Streaming {
            reports: self.clone(),
            filter: Arc::new(query.filter.clone()),
            range: query.range,
            left: query.range,
            reached: reached.clone(),
            freshness,
            first: errand.on_terms(Class::Export, errand.deadline()),
            rest: errand.on_terms(Class::Export, whole_by),
            runs: VecDeque::new(),
            current: None,
        };
        let documents = stream::try_unfold(streaming, async |mut streaming| {
            let documents = streaming.next().await?;
            Ok::<_, ReportError>(documents.map(|documents| (documents, streaming)))
        });
        documents
            .and_then(move |documents| std::future::ready(seen_of(documents, &sight)))
            .map_ok(|documents| stream::iter(documents).map(Ok))
            .try_flatten()
    }
}

/// What is seen of the documents.
fn seen_of(documents: Vec<Bytes>, sight: &Sight) -> Result<Vec<Bytes>, ReportError> {
    let Some(seen) = sight.seen() else {
        return Ok(documents);
    };
    let documents = documents.iter().map(|document| withheld::without(document, seen));
    Ok(documents.collect::<Result<_, _>>()?)
}

/// How far a stream has come through its range.
#[derive(Clone, Debug, Default)]
pub struct Reached(Arc<AtomicU32>);

impl Reached {
    /// Its share of the range, in thousandths.
    pub fn thousandths(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self, range: Range, at: Timestamp) {
        let [done, all] = [at.duration_since(range.start), range.duration()].map(|length| length.as_millis().max(0));
        let share = (done * 1000).checked_div(all).unwrap_or_default().min(1000);
        self.0.store(share.try_into().unwrap_or_default(), Ordering::Relaxed);
    }
}

/// Documents, and when the last of them started.
type Documents = (Option<Timestamp>, Vec<Bytes>);

/// Where a stream stands.
struct Streaming {
    reports: Reports,
    filter: Arc<Filter>,
    range: Range,
    reached: Reached,
    /// Not planned yet.
    left: Range,
    freshness: Freshness,
    /// For the first page, if it is the first of all.
    first: Errand,
    rest: Errand,
    runs: VecDeque<Run>,
    current: Option<BoxStream<'static, Result<Documents, ReportError>>>,
}

/// Days in a row that come the same way.
enum Run {
    Held(Arc<Day>, Range),
    Read(Sweep),
}

impl Streaming {
    /// Some more documents.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, ReportError> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some((last, documents)) = current.try_next().await? {
                    if let Some(last) = last {
                        self.reached.note(self.range, last);
                    }
                    return Ok(Some(documents));
                }
                self.current = None;
            } else if let Some(run) = self.runs.pop_front() {
                let run = match run {
                    Run::Held(day, part) => held_documents(day, part).boxed(),
                    Run::Read(sweep) => self.read(sweep).boxed(),
                };
                self.current = Some(run);
                // Whatever comes first, the rest has more time.
                self.first = self.rest.clone();
            } else if self.left.start < self.left.end {
                self.plan().await?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Decides how the next days come: all there are, unless that is too much to be taken from disk at once.
    async fn plan(&mut self) -> Result<(), ReportError> {
        let days = &self.reports.0.days;
        let mut planned = self.left;
        let mut came = HashMap::new();
        let mut bytes = 0;
        for (day, part) in days_of(planned) {
            for day in days.recall(&self.filter, vec![day]).await {
                bytes += day.weight() as u64;
                came.insert(day.range.start, day);
            }
            if bytes > days.capacity_bytes {
                planned.end = part.end;
                break;
            }
        }
        let wish = Wish {
            freshness: self.freshness,
            now: self.reports.now(),
            windows: days.windows,
        };
        let mut parts = days.parts(&self.filter, planned, &came, wish.now);
        let missing = plan::missing(&parts, &WaitedFor::default(), wish);
        let (missing, looks) = missing.map_or_else(Default::default, |missing| (missing.sweeps, missing.looks));
        let mut sweeps: VecDeque<Sweep> = sweeps(&self.filter, planned, &missing).into();
        if !looks.is_empty() {
            let (landing, ..) = self.reports.join_looks(&self.filter, looks, &self.first, true);
            let landed = timeout_at(self.first.deadline(), landing).await;
            let landed = landed.map_err(|_| ReportError::Deadline)??;
            for day in landed.days.iter().chain(&landed.looked_at) {
                came.insert(day.range.start, Arc::clone(day));
            }
            parts = days.parts(&self.filter, planned, &came, wish.now);
            self.first = self.rest.clone();
        }
        for part in parts {
            match sweeps.front() {
                Some(sweep) if sweep.days.start <= part.day.start => {
                    if part.day.end == sweep.days.end {
                        self.runs.extend(sweeps.pop_front().map(Run::Read));
                    }
                }
                _ => self.runs.extend(part.held.map(|day| Run::Held(day, part.asked))),
            }
        }
        self.left.start = planned.end;
        Ok(())
    }

    /// The documents of days as their pages come in.
    fn read(&self, sweep: Sweep) -> impl Stream<Item = Result<Documents, ReportError>> + Send + 'static {
        let query = ConversationQuery {
            range: sweep.days,
            filter: Filter::clone(&sweep.filter),
        };
        let client = &self.reports.0.client;
        let pages = client
            .conversations(&query, self.first.clone(), self.rest.clone())
            .boxed();
        let holding = Holding {
            reports: self.reports.clone(),
            purges: self.reports.0.series.purges(),
            began: self.reports.0.days.fleet.mark(),
            builder: Some(Builder::new(sweep.days)),
            came: Allowance::new(sweep.days, u64::MAX),
            held: 0,
            sweep,
        };
        stream::try_unfold((pages, holding), async |(mut pages, mut holding)| {
            let Some(page) = pages.try_next().await? else {
                let held = holding.finish();
                holding.leave(&held).await;
                return Ok(None);
            };
            let held = holding.take(&page);
            holding.leave(&held).await;
            let asked = holding.sweep.asked;
            let last = page.conversations.last().map(|conversation| conversation.start);
            let conversations = page.conversations.into_iter();
            let started = conversations.filter(|conversation| asked.contains(conversation.start));
            let documents = started.map(|conversation| conversation.document).collect();
            Ok(Some(((last, documents), (pages, holding))))
        })
    }
}

/// Holds by the way what a stream reads, as long as there is room for all of it.
struct Holding {
    reports: Reports,
    purges: u64,
    began: Mark,
    sweep: Sweep,
    builder: Option<Builder>,
    came: Allowance,
    /// Conversations of days that are whole.
    held: usize,
}

impl Holding {
    /// The days that are held now.
    fn take(&mut self, page: &ConversationPage) -> Vec<Arc<Day>> {
        // The days that are not whole yet are beside those that are held.
        let room = self.reports.0.days.capacity_bytes / 2;
        // Never more than there may be.
        let _ = self.came.take(page);
        let foreseen = self.came.bytes_foreseen(page.expected.saturating_sub(self.held)) / PACKED_TO_A;
        let Some(builder) = &mut self.builder else {
            return Vec::new();
        };
        if foreseen > room || builder.weight() as u64 > room {
            tracing::debug!(foreseen, room, "too much to be held beside a stream");
            self.builder = None;
            return Vec::new();
        }
        let whole = builder.add(page);
        self.held += whole.iter().map(Day::count).sum::<usize>();
        self.hold(whole)
    }

    /// The days that are held now.
    fn finish(&mut self) -> Vec<Arc<Day>> {
        let rest = self.builder.take().into_iter().flat_map(Builder::finish).collect();
        self.hold(rest)
    }

    fn hold(&self, days: Vec<Day>) -> Vec<Arc<Day>> {
        let days = days.into_iter();
        let held = days.map(|day| self.reports.hold(&self.sweep.filter, day, self.purges));
        held.collect()
    }

    /// Leaves days for other replicas.
    async fn leave(&self, days: &[Arc<Day>]) {
        let fleet = &self.reports.0.days.fleet;
        if fleet.is_used() && !days.is_empty() {
            let entries = DayCache::entries(&self.sweep.filter, days);
            fleet.write(entries, self.began).await;
        }
    }
}

/// The documents of a held day, a piece at a time.
fn held_documents(day: Arc<Day>, part: Range) -> impl Stream<Item = Result<Documents, ReportError>> + Send + 'static {
    let documents = (0..day.pieces.len()).map(move |index| {
        let piece = &day.pieces[index];
        let documents = piece.documents_in(part).ok_or_else(|| {
            tracing::error!("a day that is held cannot be taken apart");
            ReportError::Internal
        })?;
        Ok((Some(piece.last), documents))
    });
    stream::iter(documents)
}

/// What a day is kept by for other replicas.
fn name(filter: &Filter, day: Range) -> Name {
    Name::of(json!(["day", stored::key(filter, day).question_and_range()]).to_string())
}

/// Days that are missing of a question, to be read.
fn sweeps(filter: &Arc<Filter>, range: Range, missing: &[Range]) -> Vec<Sweep> {
    let sweeps = missing.iter().map(|days| Sweep {
        filter: Arc::clone(filter),
        days: *days,
        asked: Range {
            start: range.start.max(days.start),
            end: range.end.min(days.end),
        },
    });
    sweeps.collect()
}

/// The places of a page's conversations among all, which are held by start, the earliest first.
fn places(listing: Listing, total: usize) -> std::ops::Range<usize> {
    let size = listing.page.size as usize;
    let skipped = (listing.page.number as usize).saturating_sub(1).saturating_mul(size);
    let [from, until] = [skipped.min(total), skipped.saturating_add(size).min(total)];
    if listing.newest_first {
        total - until..total - from
    } else {
        from..until
    }
}

impl Journey {
    /// Waits for what was joined, whoever started it.
    async fn wait_for(&mut self, joined: Vec<Joined>, errand: &Errand) -> Result<(), ReportError> {
        let landings = joined.iter().map(|(landing, ..)| landing.clone());
        let Ok(landed) = timeout_at(errand.deadline(), join_all(landings)).await else {
            return Err(ReportError::Deadline);
        };
        let mut failure = None;
        for (landed, (_, role, is_own)) in landed.into_iter().zip(joined) {
            match landed {
                Ok(landed) => {
                    match role {
                        Role::Leader => self.calls += landed.calls,
                        Role::Follower => self.has_waited = true,
                    }
                    self.take(&landed);
                }
                Err(error) if is_own => failure = Some(error),
                // What failed was not what this question asked for.
                Err(_) => self.alone = true,
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn take(&mut self, landed: &Landed) {
        let read = landed.days.iter().map(|day| day.range.start);
        self.waited_for.days.extend(read);
        self.waited_for.conversations.extend(landed.ids.iter().cloned());
        for day in landed.days.iter().chain(&landed.looked_at).chain(&landed.left) {
            self.came.insert(day.range.start, Arc::clone(day));
        }
    }

    fn found(&self, parts: Vec<Part>, summary: Summary, used: Option<CacheUse>) -> Found {
        let cache = match used {
            Some(used) => used,
            None if self.calls > 0 => CacheUse::Miss,
            None if self.has_waited => CacheUse::Collapsed,
            None => CacheUse::Hit,
        };
        Found {
            parts,
            provenance: Provenance {
                as_of: summary.as_of,
                complete: summary.complete,
                settled_through: summary.settled_through,
                cache,
                upstream_calls: self.calls,
            },
            fresh_for: match used {
                Some(_) => std::time::Duration::ZERO,
                None => summary.left.try_into().unwrap_or_default(),
            },
        }
    }
}

impl Day {
    /// As part of what is held.
    fn told(&self, windows: Windows) -> HeldAnswer {
        let dates = self.outlasting_in(self.range, windows).map(|(_, dated)| dated);
        let dates = dates.chain([self.dated(self.range, windows)]);
        // The furthest from settling.
        let state = dates.map(|dated| dated.settling()).min();
        HeldAnswer {
            kind: HeldKind::Conversations,
            source: Some(Source::Conversations),
            range: Some(self.range),
            state: state.unwrap_or(Settling::Open),
            fetched_at: self.fetched_at,
            bytes: self.weight() as u64,
        }
    }
}

/// How much of a question has come, and how much is to be expected.
struct Allowance {
    asked: Range,
    limit_bytes: u64,
    conversations: usize,
    bytes: u64,
}

impl Allowance {
    fn new(asked: Range, limit_bytes: u64) -> Self {
        Self {
            asked,
            limit_bytes,
            conversations: 0,
            bytes: 0,
        }
    }

    /// Counts a page. Told as soon as it can be foreseen, as every further page would be read in vain; by twice the bound,
    /// as the foresight is rough.
    fn take(&mut self, page: &ConversationPage) -> Result<(), ReportError> {
        let conversations = page.conversations.iter();
        for conversation in conversations.filter(|conversation| self.asked.contains(conversation.start)) {
            self.conversations += 1;
            self.bytes += conversation.document.len() as u64;
        }
        let foreseen = self.bytes_foreseen(page.expected);
        if self.bytes > self.limit_bytes || foreseen > self.limit_bytes.saturating_mul(2) {
            return Err(ReportError::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// What it comes to if the conversations expected, which are those of whole UTC days, are like those that came.
    fn bytes_foreseen(&self, expected: usize) -> u64 {
        let whole_days = days_of(self.asked).into_iter();
        let whole_days: f64 = whole_days.map(|(day, _)| day.duration().as_secs_f64()).sum();
        let share = self.asked.duration().as_secs_f64() / whole_days;
        let mean = self.bytes as f64 / self.conversations.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rough figure; saturates"
        )]
        let foreseen = (mean * expected as f64 * share) as u64;
        foreseen
    }
}
