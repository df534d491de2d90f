//! An answer that was given, known again: as long as what it was made of is held, and fresh, it is the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Adds, Body, Choice, Entry, Figures, Freshness, Journey, Key, Reports, SeriesCache, Wish, chunks::ChunkKey,
};
use crate::{
    query::{Metric, Query},
    table::{CacheUse, Provenance},
};

/// More often than anything ever changes.
const NEVER: u64 = u64::MAX;

/// What figures were made of, and until when they are fresh.
pub(crate) struct Seen {
    entry: Arc<Entry>,
    metrics: Vec<&'static Metric>,
    /// Each with its generation.
    chunks: Vec<(ChunkKey, u64)>,
    /// How often something had changed when they were last looked at.
    changes: AtomicU64,
    /// The second in which it was last noted that the metrics are read.
    noted: AtomicI64,
    provenance: Provenance,
    from: Timestamp,
    fresh_for: Duration,
}

impl Seen {
    /// The figures, as they were given then; `None` of those that are not held by bucket, or are not fresh.
    pub(crate) fn of(figures: &Figures, metrics: &[&'static Metric]) -> Option<Self> {
        let Body::Held(view) = &figures.body else { return None };
        let chunks = view.parts.iter().map(|part| {
            let chunk = part.held.as_ref()?;
            Some(((view.entry.id, chunk.span().start), chunk.generation))
        });
        Some(Self {
            entry: Arc::clone(&view.entry),
            metrics: metrics.to_vec(),
            chunks: chunks.collect::<Option<_>>()?,
            changes: AtomicU64::new(NEVER),
            noted: AtomicI64::new(i64::MIN),
            provenance: Provenance {
                cache: CacheUse::Hit,
                upstream_calls: 0,
                ..figures.provenance.clone()
            },
            from: figures.looked_at,
            fresh_for: figures.fresh_for,
        })
    }

    /// Where the figures come from when they are given again.
    pub(crate) fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

impl Reports {
    /// Whether what a question needs of figures is held, and fresh where it is held by bucket.
    pub(crate) fn is_at_hand(&self, query: &Query) -> bool {
        let (series, now) = (&self.0.series, self.now());
        let adds = Adds::shown(&query.columns);
        let wish = Wish {
            freshness: Freshness::default(),
            now,
            came: now,
            whole: adds != Adds::Always,
            windows: series.windows,
        };
        let choice = series.choose(&query.aggregate, adds, wish, query.asked_at, &Journey::default());
        match choice {
            Choice::Ready(..) => true,
            Choice::Ask(..) => false,
            Choice::Whole(_) => self.0.held.contains(&Key::Aggregates(query.aggregate.clone())),
        }
    }
}

impl SeriesCache {
    /// How often something that is held was replaced or dropped.
    pub(crate) fn changes(&self) -> u64 {
        self.chunks.changes()
    }

    /// Where the figures come from if they are asked for now, and how much longer they are fresh; `None` if that has to be
    /// looked into.
    pub(crate) fn again(&self, seen: &Seen, now: Timestamp) -> Option<(Provenance, Duration)> {
        // A clock that was set back knows nothing of ages.
        let passed = Duration::try_from(now.duration_since(seen.from)).ok()?;
        // What has settled stays fresh.
        let fresh_for = if seen.provenance.complete {
            seen.fresh_for
        } else {
            seen.fresh_for.checked_sub(passed)?
        };
        let is_held = |(key, generation): &(ChunkKey, u64)| {
            let held = self.chunks.get(key);
            held.is_some_and(|chunk| chunk.generation == *generation)
        };
        // Counted before they are looked at: what changes meanwhile is seen the next time.
        let changes = self.chunks.changes();
        if seen.changes.load(Ordering::Relaxed) != changes {
            seen.chunks.iter().all(is_held).then_some(())?;
            seen.changes.store(changes, Ordering::Relaxed);
        }
        if seen.noted.swap(now.as_second(), Ordering::Relaxed) != now.as_second() {
            seen.entry.note_read(&seen.metrics, now);
        }
        Some((seen.provenance.clone(), fresh_for))
    }
}
