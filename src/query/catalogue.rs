//! What can be asked for: the table of dimensions and metrics, and how each metric rolls up.

/// A dimension of conversation events.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dimension {
    /// The friendly dotted name of its value, such as `routing.queue.id` or `media.type`.
    pub name: &'static str,
    /// The upstream's spelling, such as `queueId`.
    pub upstream: &'static str,
    /// The friendly name of what its id stands for (`routing.queue.name`) and where names come from.
    pub named: Option<(&'static str, Lookup)>,
    /// Whether one event can carry several values, so that groups overlap.
    pub multi_valued: bool,
    /// What it is, in one sentence.
    pub meaning: &'static str,
}

/// The listings ids are resolved through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookup {
    /// `/api/v2/routing/queues`
    Queues,
    /// `/api/v2/users`
    Users,
    /// `/api/v2/routing/wrapupcodes`
    WrapUpCodes,
    /// `/api/v2/authorization/divisions`
    Divisions,
    /// `/api/v2/routing/skills`
    Skills,
    /// `/api/v2/routing/languages`
    Languages,
    /// `/api/v2/flows`
    Flows,
}

/// A metric of conversation aggregates.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric {
    /// The upstream's spelling, such as `tHandle`.
    pub upstream: &'static str,
    /// How its statistics combine over buckets and disjoint groups.
    pub rollup: Rollup,
    /// What it counts or measures, in one sentence.
    pub meaning: &'static str,
}

/// How a metric's statistics combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rollup {
    /// Counts add.
    Counter,
    /// Counts and sums add; extremes are extremes of extremes; the average is recomputed.
    Timer,
    /// Numerators and denominators add, the ratio is recomputed; the target survives only when equal.
    Ratio,
    /// A distinct count: adds over media types only (and then counts once per media type), never over time.
    Distinct,
    /// Never combined: the whole is asked for instead.
    None,
}

/// One number of a metric's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statistic {
    /// How many.
    Count,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// `sum / count`, computed here.
    Average,
    /// `numerator / denominator`.
    Ratio,
    /// What counts as good.
    Numerator,
    /// Out of how many.
    Denominator,
    /// The goal set upstream.
    Target,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}
