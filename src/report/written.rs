//! Rows as they were written: for as long as the same rows are held, whoever asks for them in the same form is given the
//! same bytes.
//!
//! Rows tell themselves from all others by a number ([`OrderedRows::id`]), which changes with the buckets they are made of;
//! so nothing here is ever out of date, and what can no more be asked for is the first to be displaced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::Crc;
use moka::sync::Cache;
use serde_json::value::RawValue;

use super::rows;
use crate::{
    query::Query,
    table::{Cell, Table},
};

/// All rows of a question, in order, before a page of them is laid out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OrderedRows {
    id: u64,
    rows: Arc<Vec<Vec<Cell>>>,
}

impl OrderedRows {
    pub(super) fn new(rows: Vec<Vec<Cell>>) -> Self {
        Self {
            id: Self::next_id(),
            rows: Arc::new(rows),
        }
    }

    fn next_id() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells them from all other rows, as long as the process runs.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The page of them that the query asks for.
    pub fn table(&self, query: &Query) -> Table {
        rows::shown(query, &self.rows)
    }
}

/// What was written, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrittenKey {
    /// The rows' [id](OrderedRows::id).
    pub rows: u64,
    /// Everything else that the bytes depend on: format, page, addresses of other pages.
    pub form: Box<str>,
    /// Whether they are compressed.
    pub compressed: bool,
}

/// The answers held as they were written. moka bounds their bytes.
pub struct WrittenAnswers(Cache<WrittenKey, Arc<Written>>);

/// An answer as it was written, but for what differs from one caller to the next.
#[derive(Debug)]
pub struct Written {
    /// The answer, compressed or not.
    pub answer: Bytes,
    /// Its entity tag.
    pub tag: Box<str>,
    /// What is told of its columns, where that stands behind the answer.
    pub columns: Option<Box<RawValue>>,
    /// Of a compressed answer: what the end of its stream depends on.
    pub compressed: Option<Crc>,
}

/// Longer than anybody waits between two looks at the same figures.
const UNREAD: Duration = Duration::from_mins(15);

impl WrittenAnswers {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        const BOOKKEEPING: usize = 256;
        let weigh = |key: &WrittenKey, written: &Arc<Written>| {
            let columns = written.columns.as_ref().map_or(0, |columns| columns.get().len());
            let bytes = key.form.len() + written.answer.len() + columns + BOOKKEEPING;
            bytes.try_into().unwrap_or(u32::MAX)
        };
        let answers = Cache::builder().max_capacity(capacity_bytes).weigher(weigh);
        Self(answers.time_to_idle(UNREAD).build())
    }

    /// What was written from these rows in this form.
    pub fn get(&self, key: &WrittenKey) -> Option<Arc<Written>> {
        self.0.get(key)
    }

    /// Holds what was not written of rows that are held, for those who have it.
    pub fn hold(&self, written: Arc<Written>) {
        let key = WrittenKey {
            rows: OrderedRows::next_id(),
            form: Box::default(),
            compressed: false,
        };
        self.insert(key, written);
    }

    /// Holds what was written.
    pub fn insert(&self, key: WrittenKey, written: Arc<Written>) {
        self.0.insert(key, written);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }

    /// Drops everything: cheap to have again.
    pub(super) fn clear(&self) {
        self.0.invalidate_all();
    }
}
