//! What the benches measure: planning and merging by themselves, without an upstream. Nothing else comes in by this door.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Choice, Journey, SeriesCache, View, Wish, fold::Adds};
use crate::{
    query::{AggregateQuery, NamesByLookup, Query},
    report::{Disk, Freshness, Windows, rows},
    table::{Slice, SliceRow, Table},
};

/// Figures that are held.
pub struct Workbench(SeriesCache);

impl Workbench {
    /// With room for this much.
    pub fn new(capacity_bytes: u64) -> Self {
        Self(SeriesCache::new(capacity_bytes, Windows::default(), Disk::default()))
    }

    /// Holds what a question brought.
    pub fn hold(&self, query: &AggregateQuery, slice: &Slice) {
        let landed = self.0.land(query, slice, false, self.0.purges());
        landed.expect("the question asks for buckets");
    }

    /// How many bytes are held.
    pub fn held_bytes(&self) -> u64 {
        self.0.chunks.settle();
        self.0.chunks.bytes()
    }

    /// How many requests a question takes, and, where that is none, how fresh its answer is.
    pub fn plan(&self, query: &Query, now: Timestamp) -> (usize, Option<Timestamp>) {
        match self.choose(query, now) {
            Choice::Ready(_, held) => (0, Some(held.as_of)),
            Choice::Ask(_, missing) => (missing.calls.len(), None),
            Choice::Whole(_) => (1, None),
        }
    }

    /// The figures of a question, made of what is held of its own or another series.
    pub fn merge(&self, query: &Query, now: Timestamp) -> Vec<SliceRow> {
        self.view(query, now).rows(&query.aggregate).expect("buckets fit")
    }

    /// The page of a question, made of what is held.
    pub fn page(&self, query: &Query, now: Timestamp) -> Table {
        let merged = self.merge(query, now);
        let ordered = rows::ordered(query, &merged, &NamesByLookup::new()).expect("there are not too many");
        rows::shown(query, &ordered)
    }

    fn view(&self, query: &Query, now: Timestamp) -> View {
        match self.choose(query, now) {
            Choice::Ready(view, _) => view,
            Choice::Ask(..) | Choice::Whole(_) => panic!("it is not held"),
        }
    }

    fn choose(&self, query: &Query, now: Timestamp) -> Choice {
        let journey = Journey {
            landed: HashMap::new(),
            ..Journey::default()
        };
        let adds = Adds::shown(&query.columns);
        let wish = wish(query, now);
        self.0.choose(&query.aggregate, adds, wish, query.asked_at, &journey)
    }
}

fn wish(query: &Query, now: Timestamp) -> Wish {
    Wish {
        freshness: Freshness::default(),
        now,
        came: now,
        whole: Adds::shown(&query.columns) != Adds::Always,
        windows: Windows::default(),
    }
}
