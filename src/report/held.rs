//! What has been fetched, in memory, bounded by its bytes. Whether it may still be given is not decided here.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use jiff::Timestamp;
use moka::future::Cache;

use super::{
    Dropped,
    freshness::{Covers, Dated, Settling},
    states::Window,
};
use crate::{
    query::{About, AggregateQuery, NamesById, PassedQuestion, Purge, Range, Source, catalogue::Lookup},
    table::SliceRow,
    upstream::{LimitUse, ObservedRow, UserNow, UserState},
};

/// What was asked of the upstream, canonically; nothing of how a caller wants to see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// An aggregate query.
    Aggregates(AggregateQuery),
    /// A listing of names.
    Names(Lookup),
    /// Queues as they are now.
    QueuesNow(BTreeSet<Arc<str>>),
    /// What users were in a window of days.
    States(Window),
    /// What users are now: those named, or everybody where nobody is.
    UsersNow(BTreeSet<String>),
    /// A question in the upstream's own words.
    Passed(PassedQuestion),
    /// How close the organisation came to its limits.
    LimitHistory,
}

/// What one fetch brought.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) dated: Dated,
    /// Whether it tells of something that may go on by itself, as the upstream wrote it.
    pub(super) is_unfinished: bool,
    /// Whether another replica has asked for it.
    pub(super) is_left_by_another: bool,
    pub(super) upstream_calls: u32,
    pub(super) payload: Payload,
}

#[derive(Debug)]
pub(super) enum Payload {
    Slice(Arc<WholeRows>),
    Names(Arc<Listed>),
    Observed(Vec<ObservedRow>),
    States(Arc<[UserState]>),
    Users(Vec<UserNow>),
    /// As the upstream wrote it.
    Passed(Bytes),
    LimitHistory(Arc<[LimitUse]>),
}

/// A whole listing.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) names: Arc<NamesById>,
    /// The division by id, of what is in one.
    pub(super) divisions: NamesById,
}

/// The rows of an answer to a whole question.
#[derive(Debug)]
pub(super) struct WholeRows {
    /// Tells them from all others.
    pub(super) id: u64,
    pub(super) rows: Vec<SliceRow>,
}

impl WholeRows {
    pub(super) fn new(rows: Vec<SliceRow>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            rows,
        }
    }
}

/// The answers held. moka bounds their bytes; it never expires one.
pub(super) struct HeldAnswers(Cache<Key, Arc<Held>>);

impl HeldAnswers {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let weigh = |key: &Key, held: &Arc<Held>| (key.weight() + held.weight()).try_into().unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(capacity_bytes).weigher(weigh).build())
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Arc<Held>> {
        self.0.get(key).await
    }

    pub(super) async fn insert(&self, key: Key, held: Arc<Held>) {
        self.0.insert(key, held).await;
    }

    pub(super) async fn remove(&self, key: &Key) {
        self.0.invalidate(key).await;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }

    /// What is held, the youngest first.
    pub(super) async fn inventory(&self) -> Vec<HeldAnswer> {
        self.0.run_pending_tasks().await;
        let mut answers: Vec<_> = self.0.iter().map(|(key, held)| HeldAnswer::of(&key, &held)).collect();
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.fetched_at));
        answers
    }

    /// Drops what is meant.
    pub(super) async fn purge(&self, purge: &Purge) -> Dropped {
        let mut dropped = Dropped::default();
        for (key, held) in &self.0 {
            if HeldAnswer::of(&key, &held).is_meant(purge) {
                self.remove(&key).await;
                dropped.answers += 1;
                dropped.bytes += held.weight();
            }
        }
        self.0.run_pending_tasks().await;
        dropped
    }
}

/// An answer that is held whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAnswer {
    /// What it is.
    pub kind: HeldKind,
    /// The family of what it tells, if it is of one.
    pub source: Option<Source>,
    /// What it covers, if that is a range.
    pub range: Option<Range>,
    /// How far it was from settling when it was fetched.
    pub state: Settling,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// What it takes in memory, as weighed for the bound.
    pub bytes: u64,
}

/// What an answer that is held whole tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldKind {
    /// Figures of a question that cannot be cut into buckets.
    Figures,
    /// Conversations.
    Conversations,
    /// What things are called.
    Names,
    /// How queues or users were at a moment.
    Now,
    /// What users were, one by one.
    States,
    /// What the upstream answers to a question in its own words.
    Passed,
    /// How close the organisation came to its limits.
    Limits,
}

impl HeldAnswer {
    fn of(key: &Key, held: &Held) -> Self {
        let (kind, source) = match key {
            Key::Aggregates(query) => (HeldKind::Figures, Some(query.source)),
            Key::Names(_) => (HeldKind::Names, None),
            Key::QueuesNow(_) | Key::UsersNow(_) => (HeldKind::Now, None),
            Key::States(_) => (HeldKind::States, Some(Source::Users)),
            Key::Passed(question) => {
                let source = match question.about {
                    About::Figures(source, _) => Some(source),
                    About::Conversations(_) => Some(Source::Conversations),
                    About::Now | About::Names | About::Job | About::JobState | About::Happened(_) => None,
                };
                (HeldKind::Passed, source)
            }
            Key::LimitHistory => (HeldKind::Limits, None),
        };
        let range = match held.dated.covers {
            Covers::Figures { range, .. } | Covers::Aggregates(_, range) => Some(range),
            Covers::Names | Covers::Now | Covers::Job | Covers::LimitHistory => None,
        };
        Self {
            kind,
            source,
            range,
            state: held.dated.settling(),
            fetched_at: held.dated.fetched_at,
            bytes: held.weight(),
        }
    }

    /// Whether it is to be dropped: what is of no family or no range goes only with all of them.
    pub(super) fn is_meant(&self, purge: &Purge) -> bool {
        let is_of_family = self
            .source
            .map_or(purge.source.is_none(), |source| purge.is_about(source));
        let is_in_range = self.range.map_or(purge.range.is_none(), |range| purge.touches(range));
        is_of_family && is_in_range
    }
}

impl Key {
    /// Beyond what is reckoned for every key.
    fn weight(&self) -> u64 {
        match self {
            Self::Passed(question) => (question.target.len() + question.body.as_ref().map_or(0, Bytes::len)) as u64,
            Self::States(Window { users, .. }) | Self::UsersNow(users) => {
                users.iter().map(|user| user.len() as u64).sum()
            }
            Self::Aggregates(_) | Self::Names(_) | Self::QueuesNow(_) | Self::LimitHistory => 0,
        }
    }
}

impl Held {
    /// An estimate from above of what it keeps in memory, key and bookkeeping included.
    fn weight(&self) -> u64 {
        const BOOKKEEPING: usize = 1024;
        /// An allocation's header and rounding.
        const ALLOCATION: usize = 32;
        let payload: usize = match &self.payload {
            Payload::Slice(whole) => whole.rows.iter().map(row_weight).sum(),
            Payload::Names(listed) => listed
                .names
                .iter()
                .chain(&listed.divisions)
                .map(|(id, name)| id.len() + name.len() + 2 * (size_of::<Arc<str>>() + ALLOCATION))
                .sum(),
            Payload::LimitHistory(uses) => uses.len() * (size_of::<LimitUse>() + 128),
            Payload::Observed(rows) => {
                let each = |row: &ObservedRow| size_of::<ObservedRow>() + row.queue.len() + size_of_val(&*row.values);
                rows.iter().map(each).sum()
            }
            // Words and ids are shared.
            Payload::States(states) => size_of_val(&**states),
            Payload::Users(users) => {
                let each = |user: &UserNow| size_of::<UserNow>() + user.user.len() + ALLOCATION;
                users.iter().map(each).sum()
            }
            Payload::Passed(body) => body.len(),
        };
        (BOOKKEEPING + payload) as u64
    }
}

fn row_weight(row: &SliceRow) -> usize {
    // Group values are shared between rows by the parser at best; counted in full here.
    let texts: usize = row.group.iter().flatten().map(|text| text.len()).sum();
    size_of::<SliceRow>()
        + row.group.len() * size_of::<Option<Arc<str>>>()
        + row.metrics.len() * size_of::<Option<crate::table::Stats>>()
        + texts
}
