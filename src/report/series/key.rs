//! What a series is: an aggregate query without its range and its metrics, and the grid its buckets lie on.

use std::sync::Arc;

use jiff::Timestamp;

use crate::query::{AggregateQuery, Dimension, Filter, Granularity, Metric, Range, Source, Zone};

/// Every question that differs only in range and metrics is about the same series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    pub(super) source: Source,
    pub(super) granularity: Granularity,
    pub(super) time_zone: Zone,
    pub(super) group_by: Vec<&'static Dimension>,
    pub(super) filter: Filter,
}

impl Series {
    /// The series a question is about; `None` if it asks for no buckets.
    pub(super) fn of(query: &AggregateQuery) -> Option<Self> {
        Some(Self {
            source: query.source,
            granularity: query.granularity?,
            time_zone: query.time_zone.clone(),
            group_by: query.group_by.clone(),
            filter: query.filter.clone(),
        })
    }

    /// A question about it.
    pub(super) fn query(&self, range: Range, mut metrics: Vec<&'static Metric>) -> AggregateQuery {
        metrics.sort_unstable();
        AggregateQuery {
            source: self.source,
            range,
            granularity: Some(self.granularity),
            time_zone: self.time_zone.clone(),
            group_by: self.group_by.clone(),
            metrics,
            filter: self.filter.clone(),
        }
    }

    /// The range in whole buckets: it must begin on an edge, and end on one unless its end had not come when it was
    /// asked for. Then it ends with the bucket it lies in, as nothing has happened in the rest of it.
    pub(super) fn whole_buckets(&self, range: Range, asked_at: Timestamp) -> Option<Range> {
        let bucket_at = |instant| self.granularity.bucket_at(instant, &self.time_zone);
        if bucket_at(range.start)?.start != range.start {
            return None;
        }
        let last = bucket_at(range.end)?;
        let end = match last.start == range.end {
            true => range.end,
            false if range.end >= asked_at => last.end,
            false => return None,
        };
        Range::new(range.start, end)
    }

    /// The stretch of time that is held, replaced and dropped together, in which an instant lies.
    pub(super) fn chunk_at(&self, instant: Timestamp) -> Option<Range> {
        let length = match self.granularity {
            Granularity::Minutes(_) => Granularity::Day,
            Granularity::Day => Granularity::Month,
            long @ (Granularity::Week | Granularity::Month) => long,
        };
        length.bucket_at(instant, &self.time_zone)
    }

    /// The chunks a range of whole buckets touches, in order.
    pub(super) fn chunks(&self, range: Range) -> Vec<Range> {
        let mut chunks = Vec::new();
        let mut next = range.start;
        while next < range.end
            && let Some(chunk) = self.chunk_at(next)
        {
            chunks.push(chunk);
            next = chunk.end;
        }
        chunks
    }

    /// The edges of a chunk's buckets.
    pub(super) fn edges(&self, chunk: Range) -> Arc<[Timestamp]> {
        let buckets = self.granularity.buckets(chunk, &self.time_zone);
        buckets.map(|bucket| bucket.start).chain([chunk.end]).collect()
    }

    /// How many buckets a range has, roughly.
    pub(super) fn buckets_in(&self, range: Range) -> f64 {
        const MINUTE: f64 = 60.0;
        let length = match self.granularity {
            Granularity::Minutes(minutes) => f64::from(minutes) * MINUTE,
            Granularity::Day => 24.0 * 60.0 * MINUTE,
            Granularity::Week => 7.0 * 24.0 * 60.0 * MINUTE,
            Granularity::Month => 30.0 * 24.0 * 60.0 * MINUTE,
        };
        (range.duration().as_secs_f64() / length).ceil()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        query::catalogue::metric,
        report::series::{gather, tests::asked},
    };

    /// Figures of a question are looked for under its series, and by range and metric within. What changes them and is in
    /// neither would be answered with those of another question.
    #[test]
    fn whatever_changes_the_figures_is_in_the_key() {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        let query = |parameters: &str| {
            let parameters = format!(
                "dateFrom=2026-03-01&dateTo=2026-03-08&{parameters}&page=2&orderBy=-conversation.offered&limit=3&fill=zero"
            );
            asked(&parameters, now).aggregate
        };
        let base = query("interval=PT1H&groupBy=routing.queue.id&filter=media.type:voice&select=conversation.offered");
        // A field that is added here has to be decided about.
        let AggregateQuery {
            source: _,
            range: _,
            granularity: _,
            time_zone: _,
            group_by: _,
            metrics: _,
            filter: _,
        } = &base;
        let with = |change: fn(&mut AggregateQuery)| {
            let mut other = base.clone();
            change(&mut other);
            other
        };
        let others = [
            with(|query| query.source = Source::Flows),
            with(|query| query.granularity = Some(Granularity::Minutes(30))),
            with(|query| query.granularity = Some(Granularity::Day)),
            with(|query| query.time_zone = Zone::named("Europe/Berlin").unwrap()),
            with(|query| query.group_by.clear()),
            query(
                "interval=PT1H&groupBy=routing.queue.id,conversation.direction&filter=media.type:voice&select=conversation.offered",
            ),
            with(|query| query.filter.clauses.clear()),
            query("interval=PT1H&groupBy=routing.queue.id&filter=media.type:voice,chat&select=conversation.offered"),
            query("interval=PT1H&groupBy=routing.queue.id&filter=media.type:chat&select=conversation.offered"),
            query(
                "interval=PT1H&groupBy=routing.queue.id&filter=conversation.direction:inbound&select=conversation.offered",
            ),
        ];
        for other in &others {
            assert_ne!(Series::of(other), Series::of(&base), "{other:?}");
            assert!(
                !gather::covers(other, &base) && !gather::covers(&base, other),
                "{other:?}"
            );
        }
        let longer = with(|query| query.range.end += jiff::SignedDuration::from_hours(1));
        let more = with(|query| query.metrics.push(metric("tHandle")));
        for wider in [longer, more] {
            assert_eq!(Series::of(&wider), Series::of(&base));
            assert!(
                gather::covers(&wider, &base) && !gather::covers(&base, &wider),
                "{wider:?}"
            );
        }
        // How rows are shown changes none.
        let shown = asked(
            "dateFrom=2026-03-01&dateTo=2026-03-08&interval=PT1H&groupBy=queueId&filter=mediaType:voice&select=queueId,nOffered",
            now,
        );
        assert_eq!(shown.aggregate, base);
    }
}
