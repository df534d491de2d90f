//! An answer that was given, known again: as long as what it was made of is held, and fresh, it is the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{Body, Entry, Figures, SeriesCache, chunks::ChunkKey};
use crate::{
    query::Metric,
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
    provenance: Provenance,
    from: Timestamp,
    fresh_for: Duration,
}

impl Seen {
    /// The figures, as they were given then; `None` of those that are not held by bucket, or are not fresh.
    pub(crate) fn of(figures: &Figures, metrics: &[&'static Metric]) -> Option<Self> {
        let Body::Held(view) = &figures.body else { return None };
        let is_fresh = matches!(
            figures.provenance.cache,
            CacheUse::Hit | CacheUse::Miss | CacheUse::Collapsed
        );
        let chunks = view.parts.iter().map(|part| {
            let chunk = part.held.as_ref()?;
            Some(((view.entry.id, chunk.span().start), chunk.generation))
        });
        Some(Self {
            entry: Arc::clone(&view.entry),
            metrics: metrics.to_vec(),
            chunks: chunks.collect::<Option<_>>()?,
            changes: AtomicU64::new(NEVER),
            provenance: Provenance {
                cache: CacheUse::Hit,
                upstream_calls: 0,
                ..figures.provenance.clone()
            },
            from: figures.looked_at,
            fresh_for: figures.fresh_for,
        })
        .filter(|_| is_fresh)
    }
}

impl SeriesCache {
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
        seen.entry.note_read(&seen.metrics, now);
        Some((seen.provenance.clone(), fresh_for))
    }
}
