//! Questions in the upstream's own words, which are passed on as they are.

use bytes::Bytes;
use http::Method;

use super::{Range, Source};

/// A question in the upstream's own words. Canonical: two that mean the same compare equal, as far as that can be seen
/// without knowing what the words mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PassedQuestion {
    /// The path with the names of its parameters in place of their values: the label of logs and metrics.
    pub template: &'static str,
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// JSON, keys in order.
    pub body: Option<Bytes>,
    /// What the answer is about, which says how long it stays good.
    pub about: About,
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// How things are at this moment.
    Now,
    /// What things are called and how they are set up.
    Names,
    /// A job, or what it brought: good for as long as others may share it.
    Job,
    /// How a job stands.
    JobState,
    /// What happened in a range.
    Happened(Range),
    /// Figures of a family in a range.
    Figures(Source, Range),
    /// The conversations of the days of a range.
    Conversations(Range),
}
