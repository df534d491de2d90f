//! The chunks in memory, within their bytes, and how often something about them changed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use moka::{ops::compute::Op, sync::Cache};

use super::{BOOKKEEPING, chunk::Chunk};

/// A series' number, and where the chunk starts.
pub(super) type ChunkKey = (u64, Timestamp);

/// What is held by bucket.
pub(super) struct Chunks {
    held: Cache<ChunkKey, Arc<Chunk>>,
    changes: AtomicU64,
}

/// What a chunk takes of the bound.
pub(super) fn weigh(chunk: &Chunk) -> u32 {
    (chunk.weight() + BOOKKEEPING).try_into().unwrap_or(u32::MAX)
}

impl Chunks {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let held = Cache::builder()
            .max_capacity(capacity_bytes)
            .weigher(|_: &ChunkKey, chunk: &Arc<Chunk>| weigh(chunk));
        Self {
            held: held.build(),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, key: &ChunkKey) -> Option<Arc<Chunk>> {
        self.held.get(key)
    }

    pub(super) fn contains(&self, key: &ChunkKey) -> bool {
        self.held.contains_key(key)
    }

    /// Has what is held replaced or dropped, while nobody else does.
    pub(super) fn change(&self, key: ChunkKey, change: impl FnOnce(Option<&Arc<Chunk>>) -> Op<Arc<Chunk>>) {
        self.held
            .entry(key)
            .and_compute_with(|held| change(held.as_ref().map(moka::Entry::value)));
        self.note_change();
    }

    /// Whoever relies on what was held has to look again.
    pub(super) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How often something was replaced or dropped. What had to leave for others is not counted: it was not wrong.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Arc<ChunkKey>, Arc<Chunk>)> {
        self.held.iter()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.weighted_size()
    }

    /// Lets what should have left leave.
    pub(super) fn settle(&self) {
        self.held.run_pending_tasks();
    }
}
