//! What is held, for those who run the service: how much of which series, and how far it has settled. And how it is
//! dropped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, atomic::Ordering},
};

use jiff::Timestamp;
use moka::ops::compute::Op;

use super::{
    Entry, SeriesCache,
    chunk::Chunk,
    chunks::{ChunkKey, weigh},
    plan,
};
use crate::{
    query::{Dimension, Filter, Granularity, Metric, Purge, Range, Source, Zone},
    report::{Dropped, Windows, freshness::Settling},
};

/// What is held of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldSeries {
    /// Its family.
    pub source: Source,
    /// How long its buckets are.
    pub granularity: Granularity,
    /// In which days are cut.
    pub time_zone: Zone,
    /// What its rows are grouped by.
    pub group_by: Vec<&'static Dimension>,
    /// Which events count.
    pub filter: Filter,
    /// From the first bucket that is held to the last.
    pub range: Range,
    /// Of how many buckets anything is held.
    pub buckets: u64,
    /// By metric.
    pub metrics: BTreeMap<&'static Metric, HeldMetric>,
    /// What it takes in memory, as weighed for the bound.
    pub bytes: u64,
    /// No two states of what is held have the same, and a later one has a greater.
    pub generation: u64,
    /// When it was read last.
    pub read_at: Option<Timestamp>,
}

/// What is held of a metric of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldMetric {
    /// Buckets that had not ended when they were fetched.
    pub open: u64,
    /// Buckets that had, and could still be corrected.
    pub warm: u64,
    /// Buckets that had settled.
    pub settled: u64,
    /// When the oldest of them was fetched …
    pub oldest: Timestamp,
    /// … and when the newest.
    pub newest: Timestamp,
}

impl SeriesCache {
    /// What is held, those read last first.
    pub(in crate::report) fn inventory(&self) -> Vec<HeldSeries> {
        self.chunks.settle();
        self.made.run_pending_tasks();
        let entries = self.entries();
        let mut held: HashMap<u64, HeldSeries> = HashMap::new();
        for (key, chunk) in self.chunks.iter() {
            let Some(entry) = entries.get(&key.0) else { continue };
            let series = &entry.series;
            let Some(range) = chunk.covered() else { continue };
            let known = held.entry(key.0).or_insert_with(|| HeldSeries {
                source: series.source,
                granularity: series.granularity,
                time_zone: series.time_zone.clone(),
                group_by: series.group_by.clone(),
                filter: series.filter.clone(),
                range,
                buckets: 0,
                metrics: BTreeMap::new(),
                bytes: 0,
                generation: 0,
                read_at: entry.last_read(),
            });
            known.range.start = known.range.start.min(range.start);
            known.range.end = known.range.end.max(range.end);
            known.buckets += chunk.held_buckets();
            known.bytes += u64::from(weigh(&chunk));
            known.generation = known.generation.max(chunk.generation);
            known.count(entry, &chunk, self.windows);
        }
        let mut held: Vec<_> = held.into_values().collect();
        held.sort_by_key(|series| std::cmp::Reverse((series.read_at, series.generation)));
        held
    }

    /// Drops what is meant, and lets what is under way be held by nobody: it was asked for before.
    pub(in crate::report) fn purge(&self, purge: &Purge) -> Dropped {
        let mut purges = self.purges.write().unwrap_or_else(PoisonError::into_inner);
        *purges += 1;
        self.flights.forget();
        let entries = self.entries();
        for entry in entries.values().filter(|entry| purge.is_about(entry.series.source)) {
            entry.is_off_grid.store(false, Ordering::Relaxed);
        }
        let mut dropped = Dropped::default();
        for (key, chunk) in self.chunks.iter() {
            // What nobody knows the series of can never be read.
            let entry = entries.get(&key.0);
            let is_meant = entry.is_none_or(|entry| purge.is_about(entry.series.source));
            if !is_meant || !purge.touches(chunk.span()) {
                continue;
            }
            dropped += self.drop_from(&key, purge.range.filter(|_| entry.is_some()));
        }
        // Made of what is not there any more; that too of which no chunk was left to be dropped.
        self.made.invalidate_all();
        self.chunks.note_change();
        self.chunks.settle();
        self.made.run_pending_tasks();
        dropped
    }

    /// Drops a range of a chunk, or all of it.
    fn drop_from(&self, key: &ChunkKey, range: Option<Range>) -> Dropped {
        let mut dropped = Dropped::default();
        self.chunks.change(*key, |held| {
            let Some(held) = held else {
                return Op::Nop;
            };
            let left = range.and_then(|range| held.without(range)).map(Arc::new);
            let weight = |chunk: &Chunk| u64::from(weigh(chunk));
            dropped.bytes = weight(held).saturating_sub(left.as_deref().map_or(0, weight));
            dropped.buckets = held.held_buckets() - left.as_deref().map_or(0, Chunk::held_buckets);
            left.map_or(Op::Remove, Op::Put)
        });
        dropped
    }

    fn entries(&self) -> HashMap<u64, Arc<Entry>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = known.by_series.values();
        entries.map(|entry| (entry.id, Arc::clone(entry))).collect()
    }
}

impl HeldSeries {
    fn count(&mut self, entry: &Entry, chunk: &Chunk, windows: Windows) {
        for column in chunk.columns() {
            for bucket in 0..chunk.buckets() {
                let Some(fetched_at) = column.fetched_at(bucket) else {
                    continue;
                };
                let held = self.metrics.entry(column.metric).or_insert(HeldMetric {
                    open: 0,
                    warm: 0,
                    settled: 0,
                    oldest: fetched_at,
                    newest: fetched_at,
                });
                held.oldest = held.oldest.min(fetched_at);
                held.newest = held.newest.max(fetched_at);
                match plan::dated(&entry.series, chunk.bucket(bucket), fetched_at, windows).settling() {
                    Settling::Open => held.open += 1,
                    Settling::Warm => held.warm += 1,
                    Settling::Settled => held.settled += 1,
                }
            }
        }
    }
}
