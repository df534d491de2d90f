//! What replicas have of each other: chunks as they were fetched, settled or not, and one who asks for all.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use moka::ops::compute::Op;
use serde_json::json;

use super::{ChunkKey, Entry, Landed, SeriesCache, chunk::Chunk, key::Series, plan, stored};
use crate::{
    fleet::{self, Name},
    query::{AggregateQuery, Range},
    report::{Freshness, ReportError, Reports, freshness::Verdict, once},
    upstream::Errand,
};

impl Reports {
    /// Has a fetch done by one replica for all: looks what the others have left of it, and asks for it if that is nothing
    /// new. What is found may be less than was asked for; then the question is planned anew.
    pub(super) async fn fetch_once(
        self,
        fetch: AggregateQuery,
        errand: Errand,
        ask: impl Future<Output = Result<Arc<Landed>, ReportError>> + Send,
    ) -> Result<Arc<Landed>, ReportError> {
        let fleet = &self.0.settings.fleet;
        let Some(series) = Series::of(&fetch).filter(|_| fleet.is_used()) else {
            return ask.await;
        };
        let cache = &self.0.series;
        let entry = cache.entry(&series);
        let look = async { self.left_of_series(&entry, &fetch).await.map(Arc::new) };
        let leave = |landed: &Arc<Landed>| {
            let own = landed.chunks.iter().filter(|((id, _), _)| *id == entry.id);
            let entries = own.filter_map(|(_, chunk)| {
                Some(fleet::Entry {
                    name: name(&series, chunk.span()),
                    kept: stored::encode_all(chunk)?,
                    ttl: once::KEPT_FOR,
                })
            });
            entries.collect()
        };
        let what = json!(["asked", once::question(&fetch)]);
        once::once(fleet, what, errand.deadline(), look, ask, leave).await
    }

    /// What others have left of what a fetch asks for, held from now on; `None` if none of it is fresh and new here.
    async fn left_of_series(&self, entry: &Entry, fetch: &AggregateQuery) -> Option<Landed> {
        let cache = &self.0.series;
        let (series, purges) = (&entry.series, cache.purges());
        let settle = cache.windows.settle_of(series.source);
        let chunks = series.chunks(fetch.range);
        let names: Vec<_> = chunks.iter().map(|chunk| name(series, *chunk)).collect();
        let kept = self.0.settings.fleet.read(&names).await;
        let mut landed = Landed::default();
        let mut is_news = false;
        for (chunk, kept) in chunks.into_iter().zip(kept) {
            let decode = |kept: Vec<u8>| stored::decode(&kept, series, series.edges(chunk), settle);
            let Some(left) = kept.and_then(decode) else { continue };
            let key = (entry.id, chunk.start);
            let held = cache.chunks.get(&key);
            is_news |= cache.has_news(series, held.as_deref(), &left, fetch, self.now());
            landed
                .chunks
                .push((key, cache.hold_left(key, Arc::new(left), entry, purges)));
        }
        is_news.then_some(landed)
    }
}

/// What a chunk is kept by.
fn name(series: &Series, chunk: Range) -> Name {
    Name::of(json!(["chunk", stored::key(series, chunk).question_and_range()]).to_string())
}

impl SeriesCache {
    /// Whether some of what is asked for was fetched later than what is held, and is fresh.
    fn has_news(
        &self,
        series: &Series,
        held: Option<&Chunk>,
        left: &Chunk,
        fetch: &AggregateQuery,
        now: Timestamp,
    ) -> bool {
        fetch.metrics.iter().any(|metric| {
            let Some(column) = left.column(metric) else {
                return false;
            };
            let known = held.and_then(|held| held.column(metric));
            left.buckets_in(fetch.range).any(|bucket| {
                let fetched_at = column.fetched_at(bucket);
                let is_later = fetched_at > known.and_then(|known| known.fetched_at(bucket));
                is_later
                    && fetched_at.is_some_and(|fetched_at| {
                        let dated = plan::dated(series, left.bucket(bucket), fetched_at, self.windows);
                        matches!(dated.judge(Freshness::default(), now), Verdict::Fresh(_))
                    })
            })
        })
    }

    /// Holds a chunk that others have left, joined with what is held, unless something was dropped since `purges` was read.
    fn hold_left(&self, key: ChunkKey, left: Arc<Chunk>, entry: &Entry, purges: u64) -> Arc<Chunk> {
        let settle = self.windows.settle_of(entry.series.source);
        let dropped = self.purges.read().unwrap_or_else(PoisonError::into_inner);
        if *dropped != purges {
            return left;
        }
        let mut made = None;
        self.chunks.change(key, |held| {
            if held.is_none() && self.disk.is_used() {
                self.unread.insert(key, ());
            }
            let joined = match held {
                Some(held) => Arc::new(held.joined(&left, settle)),
                None => Arc::clone(&left),
            };
            made = Some(Arc::clone(&joined));
            Op::Put(joined)
        });
        made.unwrap_or(left)
    }
}
