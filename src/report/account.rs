//! How an answer came about: what of it was held and how old that was, what was asked for, at what cost.

use jiff::Timestamp;

use super::freshness::{Dated, Settling};
use crate::query::{Dimension, Granularity, Metric, Range, Zone};

/// How an answer came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Which way.
    pub way: Way,
    /// What the figures are made of, in order.
    pub used: Vec<Stretch>,
    /// What was asked for on the way, by this question or along with others.
    pub asked: Vec<Asked>,
    /// Upstream requests for names, of columns or in filters.
    pub calls_for_names: u32,
}

/// Which way figures came.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// From the buckets that are held of a series: of the question's own, or of another that answers it.
    Buckets {
        /// How long the buckets are.
        granularity: Granularity,
        /// In which days are cut.
        time_zone: Zone,
        /// What they are grouped by.
        group_by: Vec<&'static Dimension>,
    },
    /// In one answer to the whole question.
    Whole(Whole),
}

/// Why a question is asked whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It asks for one bucket, the whole range.
    Total,
    /// It does so of figures that buckets do not add up to.
    DoesNotAdd,
    /// Its range does not begin or end with a bucket.
    Unaligned,
    /// The upstream cuts its buckets otherwise than foreseen.
    OffGrid,
    /// What was fetched did not last until it could be read.
    Displaced,
}

impl Whole {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::DoesNotAdd => "doesNotAdd",
            Self::Unaligned => "unaligned",
            Self::OffGrid => "offGrid",
            Self::Displaced => "displaced",
        }
    }

    /// In a few words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Total => "it has no interval, and nothing held adds up to it",
            Self::DoesNotAdd => {
                "it has no interval, and buckets do not add up to distinct counts, percentiles and goals"
            }
            Self::Unaligned => "its range does not begin and end with a bucket",
            Self::OffGrid => "Genesys Cloud cuts these buckets otherwise than foreseen",
            Self::Displaced => "what was fetched was displaced before it could be read",
        }
    }
}

/// Adjacent buckets in the same state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// From the start of the first to the end of the last.
    pub range: Range,
    /// How far they were from settling when they were fetched.
    pub state: Settling,
    /// When the oldest figure of them was fetched.
    pub fetched_at: Timestamp,
}

impl Stretch {
    /// What one fetch covers.
    pub(super) fn of(range: Range, dated: &Dated) -> Self {
        Self {
            range,
            state: dated.settling(),
            fetched_at: dated.fetched_at,
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The range.
    pub range: Range,
    /// The figures.
    pub metrics: Vec<&'static Metric>,
    /// Upstream requests on this question's account.
    pub calls: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked for this question.
    Fetched,
    /// It was asked for another question, or for several at once.
    Shared,
    /// It is being asked; the answer did not wait.
    UnderWay,
    /// It failed.
    Failed,
}

impl Outcome {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Shared => "shared",
            Self::UnderWay => "underWay",
            Self::Failed => "failed",
        }
    }
}
