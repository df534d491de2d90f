//! What is held, for those who run the service: how much of what, how it has been used, and dropping it.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{HeldAnswer, HeldSeries, Reports};
use crate::{query::Purge, table::CacheUse};

/// How often it is asked what other replicas have dropped.
const IN_TOUCH: Duration = Duration::from_secs(1);

/// Everything that is held.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Figures by bucket, the series read last first.
    pub series: Vec<HeldSeries>,
    /// What is held whole, days of conversations among it, the youngest first.
    pub answers: Vec<HeldAnswer>,
    /// What all of it takes in memory, as weighed for the bound.
    pub bytes: u64,
    /// The bound.
    pub limit_bytes: u64,
    /// How answers came about since the start.
    pub uses: Uses,
}

/// How many answers came about which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Held and fresh.
    pub hit: u64,
    /// Fetched for their caller.
    pub miss: u64,
    /// Fetched once for several callers.
    pub collapsed: u64,
    /// Held and just past their freshness, and asked for again.
    pub revalidating: u64,
    /// Held and past their freshness, in place of a failure.
    pub stale: u64,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Buckets of series.
    pub buckets: u64,
    /// Answers that were held whole.
    pub answers: u64,
    /// What they took in memory.
    pub bytes: u64,
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.buckets += other.buckets;
        self.answers += other.answers;
        self.bytes += other.bytes;
    }
}

impl Reports {
    /// What is held at this moment.
    pub async fn contents(&self) -> Contents {
        let mut answers = [self.0.held.inventory().await, self.0.days.inventory()].concat();
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.fetched_at));
        Contents {
            series: self.0.series.inventory(),
            answers,
            // Last, as looking brings it up to date.
            bytes: self.held_bytes(),
            limit_bytes: self.0.settings.memory_bytes,
            uses: self.0.tally.uses(),
        }
    }

    /// Drops what is meant, of what is on disk too, and has other replicas do the same within a second or two. What is under way lands for those who wait for it, is joined by nobody
    /// any more, and is not held: it was asked for before.
    pub async fn purge(&self, purge: &Purge) -> Dropped {
        let fleet = &self.0.settings.fleet;
        if fleet.is_used() {
            // From now on nothing is found there that was fetched before.
            for others in fleet.exchange_drops(Some(purge.to_text())).await {
                self.purge_here(&Purge::from_text(&others)).await;
            }
        }
        self.purge_here(purge).await
    }

    /// Drops what other replicas drop, for as long as it is let.
    pub async fn follow_purges(self) {
        let mut moments = interval(IN_TOUCH);
        moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.settings.fleet.is_used() {
            moments.tick().await;
            for others in self.0.settings.fleet.exchange_drops(None).await {
                let dropped = self.purge_here(&Purge::from_text(&others)).await;
                tracing::info!(
                    buckets = dropped.buckets,
                    answers = dropped.answers,
                    "dropped what another replica was told to drop"
                );
            }
        }
    }

    async fn purge_here(&self, purge: &Purge) -> Dropped {
        let mut dropped = self.drop_from_memory(purge).await;
        let disk = &self.0.settings.disk;
        if disk.is_used() {
            disk.remove(*purge).await;
            // Somebody may have found it there meanwhile.
            dropped += self.drop_from_memory(purge).await;
        }
        dropped
    }

    async fn drop_from_memory(&self, purge: &Purge) -> Dropped {
        let mut dropped = self.0.series.purge(purge);
        self.0.flights.forget();
        dropped += self.0.held.purge(purge).await;
        dropped += self.0.days.purge(purge);
        // Nothing finds it any more.
        self.0.written.clear();
        dropped
    }
}

/// Counts how answers come about.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hit: AtomicU64,
    miss: AtomicU64,
    collapsed: AtomicU64,
    revalidating: AtomicU64,
    stale: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, used: CacheUse) {
        let counter = match used {
            CacheUse::Hit => &self.hit,
            CacheUse::Miss => &self.miss,
            CacheUse::Collapsed => &self.collapsed,
            CacheUse::Revalidating(_) => &self.revalidating,
            CacheUse::Stale => &self.stale,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn uses(&self) -> Uses {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Uses {
            hit: read(&self.hit),
            miss: read(&self.miss),
            collapsed: read(&self.collapsed),
            revalidating: read(&self.revalidating),
            stale: read(&self.stale),
        }
    }
}
