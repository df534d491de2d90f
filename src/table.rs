//! The answer: what the upstream said ([`Slice`]) and what the caller reads ([`Table`]), each with how fresh
//! and how complete it is.

use std::{fmt, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::Offset};
use serde::Deserialize;

use crate::query::{Range, Statistic};

/// What one aggregate query brought back, in the upstream's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// One entry per group and bucket that had data, in no particular order.
    pub rows: Vec<SliceRow>,
    /// When the request that brought it was sent.
    pub fetched_at: Timestamp,
    /// When it was here.
    pub came_at: Timestamp,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// The statistics of one group in one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceRow {
    /// Values of the query's `group_by`, in its order; `None` where the events carry no such dimension.
    pub group: Vec<Option<Arc<str>>>,
    /// The media type, which the upstream adds to every conversation group whether asked or not.
    pub media_type: Option<Arc<str>>,
    /// The bucket, cut to the range.
    pub bucket: Range,
    /// Statistics of the query's `metrics`, in its order; `None` where nothing happened.
    pub metrics: Vec<Option<Stats>>,
}

/// The statistics of one metric. The upstream leaves out what a metric does not carry.
///
/// Counts are whole; sums and extremes are milliseconds for timers. All are the doubles of the upstream's
/// own schema, exact for whole numbers up to 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Stats {
    /// How many.
    pub count: Option<f64>,
    /// Their sum.
    pub sum: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// `numerator / denominator`, as the upstream gave it.
    pub ratio: Option<f64>,
    /// What counts as good.
    pub numerator: Option<f64>,
    /// Out of how many.
    pub denominator: Option<f64>,
    /// The goal.
    pub target: Option<f64>,
    /// The value of a gauge.
    pub current: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

impl Stats {
    /// What the statistics are called, in the order of [`to_array`](Self::to_array).
    pub const NAMES: [&'static str; 11] = [
        "count",
        "sum",
        "min",
        "max",
        "ratio",
        "numerator",
        "denominator",
        "target",
        "current",
        "p95",
        "p99",
    ];

    /// All of them, in the order of [`NAMES`](Self::NAMES).
    pub fn to_array(self) -> [Option<f64>; 11] {
        let Self {
            count,
            sum,
            min,
            max,
            ratio,
            numerator,
            denominator,
            target,
            current,
            p95,
            p99,
        } = self;
        [
            count,
            sum,
            min,
            max,
            ratio,
            numerator,
            denominator,
            target,
            current,
            p95,
            p99,
        ]
    }

    /// The statistics of [`to_array`](Self::to_array).
    pub fn from_array(
        [
            count,
            sum,
            min,
            max,
            ratio,
            numerator,
            denominator,
            target,
            current,
            p95,
            p99,
        ]: [Option<f64>; 11],
    ) -> Self {
        Self {
            count,
            sum,
            min,
            max,
            ratio,
            numerator,
            denominator,
            target,
            current,
            p95,
            p99,
        }
    }
}

/// Typed columns and rows, ready to be encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns, in the order of every row's cells.
    pub columns: Vec<TableColumn>,
    /// The rows, ordered.
    pub rows: Vec<Vec<Cell>>,
}

/// A column's name, title and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// The name as asked for; dots nest in JSON.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What its cells hold.
    pub kind: ColumnKind,
}

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A bucket.
    Interval,
    /// The instant at which a bucket starts or ends.
    Instant,
    /// An id, a name or another text.
    Text,
    /// A whole number: a count.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// A share between 0 and 1, or a goal in that unit.
    Ratio,
    /// A number that may have a fraction and has no unit: a score, a mean of counts.
    Quantity,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing: the dimension is absent, or the statistic has no value (an average of none).
    Empty,
    /// A bucket.
    Interval(Range),
    /// An instant.
    Instant(LocalInstant),
    /// Text.
    Text(Arc<str>),
    /// A number; printed without a fraction when whole.
    Number(f64),
}

/// An instant, and how far from UTC the clocks were then in the zone of the query.
///
/// Displayed as RFC 3339 in milliseconds with that offset: `2023-11-01T00:00:00.000+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalInstant {
    /// The instant.
    pub at: Timestamp,
    /// The offset of the clocks; decides how the instant is written, not which it is.
    pub offset: Offset,
}

impl fmt::Display for LocalInstant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}", self.at.display_with_offset(self.offset))
    }
}

/// Where an answer came from and how far it can be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// When the oldest part was fetched.
    pub as_of: Timestamp,
    /// Whether every bucket asked for has ended and its figures have settled.
    pub complete: bool,
    /// The instant up to which figures no longer change.
    pub settled_through: Timestamp,
    /// How the cache took part.
    pub cache: CacheUse,
    /// Upstream requests this answer cost; 0 when it was held.
    pub upstream_calls: u32,
}

/// How the cache took part in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// Held and fresh.
    Hit,
    /// Not held: fetched for this caller.
    Miss,
    /// Not held: fetched once for several callers.
    Collapsed,
    /// Held and past its freshness by this little, and being fetched again.
    Revalidating(Duration),
    /// Held but past its freshness, served because the upstream failed.
    Stale,
}

impl Stats {
    /// The statistic asked for, where the metric carries it. An average of nothing is nothing.
    pub fn get(&self, statistic: Statistic) -> Option<f64> {
        match statistic {
            Statistic::Count => self.count,
            Statistic::Sum => self.sum,
            Statistic::Min => self.min,
            Statistic::Max => self.max,
            Statistic::Average => match (self.sum, self.count) {
                (Some(sum), Some(count)) if count > 0.0 => Some(sum / count),
                _ => None,
            },
            Statistic::Ratio => self.ratio,
            Statistic::Numerator => self.numerator,
            Statistic::Denominator => self.denominator,
            Statistic::Target => self.target,
            Statistic::Current => self.current,
            Statistic::P95 => self.p95,
            Statistic::P99 => self.p99,
        }
    }
}
