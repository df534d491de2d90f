//! What may be asked: pure values.
//!
//! A [`QueryRequest`] is what a person wrote, in JSON or as query-string parameters; [`Query::parse`] turns
//! it into a [`Query`] that cannot be wrong, or into every [`Complaint`] at once; where filters say names instead
//! of ids, these are [resolved](naming) by listings that are handed in. Nothing below this module checks a name, a range or a combination again, and nothing here waits, reads a clock or touches a socket.

pub mod catalogue;
pub mod conversations;
pub mod filter;
pub mod interval;
pub mod listing;
pub mod moment;
pub mod naming;
pub mod now;
pub mod parse;
pub mod passed;
pub mod purge;
pub mod request;
pub mod restriction;
pub mod source;
pub mod states;
pub(crate) mod suggest;
pub mod users_now;

use jiff::Timestamp;

pub use catalogue::{Dimension, Kpi, Metric, Statistic};
pub use conversations::{ConversationQuery, ConversationRequest, Listing};
pub use filter::Filter;
pub use interval::{Granularity, Range, Zone};
pub use listing::{NamesQuery, NamesRequest};
pub use naming::{Named, NamesById, NamesByLookup};
pub use now::{NowQuery, NowRequest};
pub use parse::{Complaint, Limits};
pub use passed::{About, PassedQuestion};
pub use purge::{Purge, PurgeRequest};
pub use request::{FilterRequest, QueryRequest, in_a_list, listed};
pub use restriction::{Confine, NotPermitted, Permitted, Restriction, Seen, Sight};
pub use source::{Families, Source};
pub use states::{STATE_COLUMNS, StateKind, StatesQuery, StatesRequest};
pub use users_now::{USERS_NOW_COLUMNS, UsersNowQuery, UsersNowRequest};

/// A checked question: what to ask of the upstream, and how the caller wants the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The part that decides which numbers come back; the cache is keyed on this and nothing else.
    pub aggregate: AggregateQuery,
    /// The columns of the answer, in the order asked for.
    pub columns: Vec<Column>,
    /// Sort keys, most significant first; empty means by interval, then by group.
    pub order_by: Vec<OrderBy>,
    /// The most rows of the ordered answer, all pages together.
    pub limit: Option<u32>,
    /// Which rows of the ordered answer to show.
    pub page: Page,
    /// What to do about buckets in which nothing happened.
    pub fill: Fill,
    /// When it was asked, or the `now` it ends with: what ends there or later has not ended.
    pub asked_at: Timestamp,
    /// Which groups are shown, by dimension, beside those without a value; every one of a dimension that is not named.
    pub only: Filter,
}

/// A question for figures as the upstream gives them: unfolded, unordered, without names.
#[derive(Clone, Debug, PartialEq)]
pub struct FiguresQuery {
    /// Which figures.
    pub aggregate: AggregateQuery,
    /// Which groups are shown, as in [`Query::only`].
    pub only: Filter,
}

/// What the upstream is asked for: one aggregate query of one family.
///
/// Canonical: `group_by` and `metrics` are sorted and free of repeats, and so is the filter, so that two
/// requests that mean the same compare and hash equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateQuery {
    /// The family of aggregates.
    pub source: Source,
    /// The half-open range of metric emission times.
    pub range: Range,
    /// Bucket length; `None` is one bucket, the whole range.
    pub granularity: Option<Granularity>,
    /// The zone in which bucket edges fall.
    pub time_zone: Zone,
    /// The dimensions rows are grouped by, as asked; the upstream may add more (it adds `mediaType`).
    pub group_by: Vec<&'static Dimension>,
    /// The metrics wanted.
    pub metrics: Vec<&'static Metric>,
    /// Which events count.
    pub filter: Filter,
}

/// One column of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name as the caller wrote it (friendly or the upstream's own); dots nest in JSON.
    pub name: String,
    /// What fills it.
    pub value: ColumnValue,
}

/// What a column shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnValue {
    /// The bucket, as `start/end`.
    Interval,
    /// The instant at which the bucket starts.
    IntervalStart,
    /// The instant at which the bucket ends, not included.
    IntervalEnd,
    /// The id (or plain value) of a dimension that rows are grouped by.
    Dimension(&'static Dimension),
    /// The name behind a dimension's id, resolved through the look-ups.
    Name(&'static Dimension),
    /// One statistic of a metric.
    Metric(&'static Metric, Statistic),
    /// A figure put together from several.
    Kpi(&'static Kpi),
}

/// A sort key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderBy {
    /// Index into [`Query::columns`].
    pub column: usize,
    /// Largest first.
    pub descending: bool,
}

/// A page of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// 1-based.
    pub number: u32,
    /// Rows on a page.
    pub size: u32,
}

/// What stands for a bucket in which nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fill {
    /// As the upstream reports it: no row.
    #[default]
    None,
    /// A row of zeros for every group that occurs in the range (additive statistics only; the others stay empty).
    Zero,
}
