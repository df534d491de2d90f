//! What can be asked for: the tables of dimensions, metrics and KPIs, their names, and how each metric rolls up.
//!
//! One table serves validation, the query sent upstream, the merge and the public catalogue. Every entry has
//! a friendly dotted name and the upstream's own. Names of statistics follow the metric's: a metric with one
//! statistic is asked for by its bare name (`conversation.offered`, `nOffered`), any other by name and
//! statistic (`handle.time.average`, `tHandle.average`). No friendly name is the beginning of another, as
//! dots nest in JSON.
//!
//! The sets are those of the upstream's schema for conversation aggregates, plus the dimensions only its
//! details query filters on; a test compares them with that schema.

mod dimensions;
mod kpis;
mod metrics;
mod observations;

pub use dimensions::DIMENSIONS;
pub use kpis::{Explanation, Formula, KPIS, Kpi, Part, explanation};
pub use metrics::METRICS;
pub use observations::{OBSERVATIONS, Observation, Observed, Shows};

use std::{borrow::Cow, fmt};

use super::{ColumnValue, Families, Source};

/// The columns that say which bucket a row is about, and what each shows. The last two are the same in two columns,
/// for tools that cannot take `start/end` apart.
pub static BUCKETS: [(&str, ColumnValue, &str); 3] = [
    (
        "interval",
        ColumnValue::Interval,
        "The bucket, as start/end in UTC; the end is not included.",
    ),
    (
        "interval.start",
        ColumnValue::IntervalStart,
        "When the bucket starts, with the offset of the query's time zone.",
    ),
    (
        "interval.end",
        ColumnValue::IntervalEnd,
        "When the bucket ends, not included, with the offset of the query's time zone.",
    ),
];

/// What a column of that name shows, by its friendly name or the upstream's own.
pub fn column(name: &str) -> Option<ColumnValue> {
    if let Some((_, value, _)) = BUCKETS.iter().find(|(known, ..)| *known == name) {
        return Some(value.clone());
    }
    let of_dimension = DIMENSIONS
        .iter()
        .filter(|dimension| dimension.groupable != Families::NONE)
        .find_map(|dimension| {
            let is_name = dimension.named.is_some_and(|(named, _)| named == name);
            (dimension.goes_by(name))
                .then_some(ColumnValue::Dimension(dimension))
                .or(is_name.then_some(ColumnValue::Name(dimension)))
        });
    let of_metric = || {
        METRICS
            .iter()
            .find_map(|metric| Some(ColumnValue::Metric(metric, metric.statistic_named(name)?)))
    };
    let of_kpi = || {
        KPIS.iter().find_map(|kpi| {
            let is_name = (kpi.name == name).then_some(ColumnValue::Kpi(kpi));
            is_name.or_else(|| (kpi.abbreviation == Some(name)).then(|| kpi.column()))
        })
    };
    of_dimension.or_else(of_metric).or_else(of_kpi)
}

/// What people call a column of that name: `Handle time, average`, `Queue name`.
pub fn title(name: &str, value: &ColumnValue) -> String {
    let (name, statistic) = match value {
        ColumnValue::Metric(metric, statistic) => match metric.aliases.iter().find(|(_, aliased)| aliased == statistic)
        {
            Some((alias, _)) => (*alias, None),
            None => (metric.name, Some(*statistic).filter(|_| metric.statistics.len() > 1)),
        },
        ColumnValue::Dimension(dimension) => (dimension.name, None),
        ColumnValue::Name(dimension) => (dimension.named.map_or(name, |(named, _)| named), None),
        _ => (name, None),
    };
    let title = in_words(name);
    match statistic {
        Some(statistic) => format!("{title}, {}", statistic.suffix()),
        None => title,
    }
}

/// A friendly name as people would write it: `Queue name` of `routing.queue.name`.
pub fn in_words(name: &str) -> String {
    let words = name.strip_prefix("routing.").unwrap_or(name).replace(['.', '-'], " ");
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Every name [`column()`] knows, friendly ones first; some twice.
pub fn column_names() -> impl Iterator<Item = String> {
    let groupable = || {
        DIMENSIONS
            .iter()
            .filter(|dimension| dimension.groupable != Families::NONE)
    };
    let friendly = groupable().flat_map(|dimension| {
        let named = dimension.named.map(|(named, _)| named);
        [Some(dimension.name), named].into_iter().flatten().map(str::to_owned)
    });
    let statistics = || {
        METRICS
            .iter()
            .flat_map(|metric| metric.statistics.iter().map(move |&each| (metric, each)))
    };
    let friendly_statistics = statistics().map(|(metric, statistic)| metric.friendly(statistic));
    let plain_statistics = statistics().map(|(metric, statistic)| metric.spelled(metric.name, statistic));
    let upstream = groupable().map(|dimension| dimension.upstream.to_owned());
    let upstream_statistics = statistics().map(|(metric, statistic)| metric.spelled(&metric.qualified(), statistic));
    let buckets = BUCKETS.iter().map(|(name, ..)| (*name).to_owned());
    let kpis = KPIS.iter().flat_map(Kpi::columns).map(str::to_owned);
    buckets
        .chain(friendly)
        .chain(kpis)
        .chain(friendly_statistics)
        .chain(plain_statistics)
        .chain(upstream)
        .chain(upstream_statistics)
}

/// The dimension of that name, friendly or upstream.
pub fn dimension(name: &str) -> Option<&'static Dimension> {
    DIMENSIONS.iter().find(|dimension| dimension.goes_by(name))
}

/// The dimension whose ids stand for things of that friendly name (`routing.queue.name`).
pub fn dimension_named_by(name: &str) -> Option<&'static Dimension> {
    DIMENSIONS
        .iter()
        .find(|dimension| dimension.named.is_some_and(|(named, _)| named == name))
}

/// The dimension and the listing a filter on that name (`routing.queue.name`) is about.
pub fn lookup_of_names(name: &str) -> Option<(&'static Dimension, Lookup)> {
    let dimension = dimension_named_by(name)?;
    dimension.named.map(|(_, lookup)| (dimension, lookup))
}

/// The metric of that upstream name.
#[cfg(test)]
pub(crate) fn metric(upstream: &str) -> &'static Metric {
    let named = METRICS.iter().find(|metric| metric.upstream == upstream);
    named.expect("a test names a metric that exists")
}

/// A dimension of events.
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
    /// The families whose aggregates can be grouped by it.
    pub groupable: Families,
    /// The families whose aggregates can be filtered on it.
    pub filterable: Families,
    /// Where the details query filters on it; `None` where it cannot.
    pub details: Option<DetailsLevel>,
    /// What it is, in one sentence.
    pub meaning: &'static str,
}

impl Dimension {
    /// What it goes by: its friendly name, the upstream's own, and the friendly name of what its ids stand for.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = self.named.map(|(named, _)| named);
        [Some(self.name), Some(self.upstream), named].into_iter().flatten()
    }

    fn goes_by(&self, name: &str) -> bool {
        self.name == name || self.upstream == name
    }
}

/// Which of the details query's filter lists a dimension belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DetailsLevel {
    /// `conversationFilters`: a property of the whole conversation.
    Conversation,
    /// `segmentFilters`: a property of a segment, its session or participant. All predicates of one filter
    /// hold on the same segment.
    Segment,
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

impl Lookup {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Queues,
        Self::Users,
        Self::WrapUpCodes,
        Self::Divisions,
        Self::Skills,
        Self::Languages,
        Self::Flows,
    ];

    /// Its name, as in `/v1/lookups/wrapup-codes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Users => "users",
            Self::WrapUpCodes => "wrapup-codes",
            Self::Divisions => "divisions",
            Self::Skills => "skills",
            Self::Languages => "languages",
            Self::Flows => "flows",
        }
    }

    /// One of what it lists.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Queues => "queue",
            Self::Users => "user",
            Self::WrapUpCodes => "wrap-up code",
            Self::Divisions => "division",
            Self::Skills => "skill",
            Self::Languages => "language",
            Self::Flows => "flow",
        }
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A metric of one family of aggregates.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric {
    /// The family it belongs to.
    pub source: Source,
    /// The upstream's spelling, such as `tHandle`.
    pub upstream: &'static str,
    /// Which of the parts the upstream tells apart by a qualifier.
    pub qualifier: Qualifier,
    /// The friendly dotted name, such as `handle.time`; statistics are appended when there are several.
    pub name: &'static str,
    /// Further friendly names of single statistics, such as `conversation.answered` for a count.
    pub aliases: &'static [(&'static str, Statistic)],
    /// How its statistics combine over buckets and disjoint groups.
    pub rollup: Rollup,
    /// The unit of its sums and extremes.
    pub unit: Unit,
    /// The statistics it carries, and `Average` where it can be computed from them.
    pub statistics: &'static [Statistic],
    /// Where its events happen, which decides whether they can be told apart by agent.
    pub side: Side,
    /// What it counts or measures, in one sentence.
    pub meaning: &'static str,
}

impl Metric {
    /// The friendly name of one statistic, such as `handle.time.average` or `conversation.offered`.
    pub fn friendly(&self, statistic: Statistic) -> String {
        match self.aliases.iter().find(|(_, aliased)| *aliased == statistic) {
            Some((alias, _)) => (*alias).to_owned(),
            None => self.spelled(self.name, statistic),
        }
    }

    /// The unit of one statistic: counts are counts whatever the metric measures.
    pub fn unit_of(&self, statistic: Statistic) -> Unit {
        match statistic {
            Statistic::Count | Statistic::Numerator | Statistic::Denominator => Unit::Count,
            Statistic::Ratio | Statistic::Target => Unit::Ratio,
            Statistic::Sum
            | Statistic::Min
            | Statistic::Max
            | Statistic::Average
            | Statistic::Current
            | Statistic::P95
            | Statistic::P99 => self.unit,
        }
    }

    /// Every name of one statistic, the friendly one first.
    pub fn columns(&self, statistic: Statistic) -> Vec<String> {
        let aliases = self.aliases.iter().filter(|(_, aliased)| *aliased == statistic);
        let mut names: Vec<String> = aliases.map(|(alias, _)| (*alias).to_owned()).collect();
        let upstream = self.qualified();
        names.extend([self.spelled(self.name, statistic), self.spelled(&upstream, statistic)]);
        if self.statistics.len() == 1 {
            names.push(format!("{upstream}.{}", statistic.suffix()));
        }
        names
    }

    /// How the numbers of shorter buckets make that of a longer one.
    pub fn over_time(&self, statistic: Statistic) -> Combination {
        match self.rollup {
            Rollup::Distinct => Combination::Never,
            Rollup::Counter | Rollup::Timer | Rollup::Ratio | Rollup::None => self.over_media_types(statistic),
        }
    }

    /// How the numbers of media types make that of all. Distinct counts do not add over time, but over media types
    /// they do, by the contract's own exception.
    pub fn over_media_types(&self, statistic: Statistic) -> Combination {
        if self.rollup == Rollup::None {
            return Combination::Never;
        }
        match statistic {
            Statistic::Count | Statistic::Sum | Statistic::Numerator | Statistic::Denominator => Combination::Sum,
            Statistic::Min => Combination::Smallest,
            Statistic::Max => Combination::Largest,
            Statistic::Average | Statistic::Ratio => Combination::Recomputed,
            Statistic::Target => Combination::IfEqual,
            Statistic::Current | Statistic::P95 | Statistic::P99 => Combination::Never,
        }
    }

    /// What to know about a combination that is not what it seems.
    pub fn exception(&self) -> Option<&'static str> {
        match self.rollup {
            Rollup::Distinct if self.source.tells_media_types_apart() => Some(
                "Conversations are counted once per bucket, so buckets do not add. Genesys Cloud tells media types \
                 apart: without media.type among the groups their counts are added, and a conversation that used \
                 several media types counts once for each.",
            ),
            Rollup::Distinct => Some("Each is counted once per bucket, so buckets do not add."),
            Rollup::Counter | Rollup::Timer | Rollup::Ratio | Rollup::None => None,
        }
    }

    /// The upstream's spelling and, where it tells parts apart, the qualifier: `tSystemPresence:ON_QUEUE`.
    pub fn qualified(&self) -> Cow<'static, str> {
        match self.qualifier {
            Qualifier::None | Qualifier::Any => Cow::Borrowed(self.upstream),
            Qualifier::Is(part) => Cow::Owned(format!("{}:{part}", self.upstream)),
        }
    }

    fn statistic_named(&self, name: &str) -> Option<Statistic> {
        if let Some((_, statistic)) = self.aliases.iter().find(|(alias, _)| *alias == name) {
            return Some(*statistic);
        }
        let upstream = self.qualified();
        let rest = name
            .strip_prefix(self.name)
            .or_else(|| name.strip_prefix(upstream.as_ref()))?;
        match (rest.strip_prefix('.'), self.statistics) {
            (None, [only]) if rest.is_empty() => Some(*only),
            // The bare friendly name is the one spelling of a single statistic; the upstream's own takes both.
            (Some(suffix), [only]) if name.starts_with(upstream.as_ref()) && only.suffix() == suffix => Some(*only),
            (Some(suffix), [_, _, ..]) => self.statistics.iter().copied().find(|each| each.suffix() == suffix),
            _ => None,
        }
    }

    fn spelled(&self, name: &str, statistic: Statistic) -> String {
        match self.statistics {
            [_] => name.to_owned(),
            _ => format!("{name}.{}", statistic.suffix()),
        }
    }
}

/// Which of the parts the upstream tells apart by a qualifier a metric is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qualifier {
    /// There are no parts.
    None,
    /// The one of that name.
    Is(&'static str),
    /// All of them together.
    Any,
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

/// How numbers of disjoint parts make the number of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// They add.
    Sum,
    /// The smallest of them.
    Smallest,
    /// The largest of them.
    Largest,
    /// Not from one another, but from statistics that add.
    Recomputed,
    /// The same number, if all are equal; otherwise none.
    IfEqual,
    /// Not at all.
    Never,
}

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// A share between 0 and 1, or a goal in that unit.
    Ratio,
    /// The points of a form, as the form's authors gave them.
    Points,
}

/// Which participant of a conversation a metric's events belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The queue (or the flow before it): no agent is involved, so grouping by or filtering on an agent
    /// leaves nothing, silently.
    Queue,
    /// An agent, or anyone: can be asked for by agent.
    Any,
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
    /// The goal set upstream, beside the ratio it is for.
    Target,
    /// The value now: a gauge.
    Current,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}

impl Statistic {
    /// Its name after the metric's.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Average => "average",
            Self::Ratio => "ratio",
            Self::Numerator => "numerator",
            Self::Denominator => "denominator",
            Self::Target => "target",
            Self::Current => "current",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn upstream_enum(definition: &str, property: &str) -> BTreeSet<String> {
        let schemas: Value = serde_json::from_str(include_str!("../../simulator/genesys/schemas.json")).unwrap();
        let property = &schemas["definitions"][definition]["properties"][property];
        let names = property["enum"]
            .as_array()
            .or(property["items"]["enum"].as_array())
            .unwrap();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    fn dimensions(which: impl Fn(&Dimension) -> bool) -> BTreeSet<String> {
        DIMENSIONS
            .iter()
            .filter(|one| which(one))
            .map(|one| one.upstream.to_owned())
            .collect()
    }

    #[test]
    fn the_tables_hold_what_the_upstream_schema_holds() {
        for (source, definition, by_range, counts) in [
            (Source::Conversations, "Conversation", &[][..], [82, 83, 84]),
            (Source::Users, "User", &[], [3, 1, 1]),
            (Source::Flows, "Flow", &[], [9, 100, 101]),
            (
                Source::Evaluations,
                "Evaluation",
                &["conversationStart", "evaluationCreatedDate", "evaluationReleaseDate"],
                [5, 17, 17],
            ),
            (Source::Surveys, "Survey", &["surveyCreatedDate"], [19, 23, 23]),
            (Source::Actions, "Action", &[], [1, 8, 8]),
            (Source::AgentCopilots, "AgentCopilot", &[], [7, 25, 25]),
            (Source::AgentUtilizations, "AgentUtilization", &[], [3, 2, 2]),
            (Source::Bots, "Bot", &[], [13, 28, 28]),
            (Source::CaseManagement, "CaseManagement", &[], [10, 12, 12]),
            (Source::Copilots, "Copilot", &[], [4, 7, 7]),
            (Source::FlowExecutions, "FlowExecution", &[], [1, 4, 4]),
            (Source::Journeys, "Journey", &[], [22, 40, 40]),
            (Source::Knowledge, "Knowledge", &[], [15, 37, 37]),
            (Source::RateLimits, "RateLimit", &[], [1, 7, 7]),
            (Source::Resolutions, "Resolution", &["wrapUpDate"], [1, 7, 7]),
            (Source::Summaries, "Summary", &[], [3, 19, 21]),
            (Source::TaskManagement, "TaskManagement", &[], [32, 17, 17]),
            (
                Source::Transcripts,
                "Transcript",
                &["conversationDuration", "handleTime"],
                [11, 18, 19],
            ),
        ] {
            let of_source = METRICS.iter().filter(|metric| metric.source == source);
            let metrics: BTreeSet<_> = of_source.map(|metric| metric.upstream.to_owned()).collect();
            let groupable = dimensions(|dimension| dimension.groupable.contain(source));
            let mut filterable = dimensions(|dimension| dimension.filterable.contain(source));
            assert_eq!([metrics.len(), groupable.len(), filterable.len()], counts);
            assert_eq!(
                metrics,
                upstream_enum(&format!("{definition}AggregationQuery"), "metrics")
            );
            assert_eq!(
                groupable,
                upstream_enum(&format!("{definition}AggregationQuery"), "groupBy")
            );
            filterable.extend(by_range.iter().map(|name| (*name).to_owned()));
            let filtered_on = format!("{definition}AggregateQueryPredicate");
            assert_eq!(filterable, upstream_enum(&filtered_on, "dimension"));
        }

        let observed: BTreeSet<_> = OBSERVATIONS.iter().map(|one| one.upstream.to_owned()).collect();
        assert_eq!(observed, upstream_enum("QueueObservationQuery", "metrics"));

        for (level, predicate, by_range) in [
            (
                DetailsLevel::Conversation,
                "ConversationDetailQueryPredicate",
                &["conversationStart", "conversationEnd", "mediaStatsMinConversationMos"][..],
            ),
            (
                DetailsLevel::Segment,
                "SegmentDetailQueryPredicate",
                &[
                    "callbackScheduledTime",
                    "detectedSpeechEnd",
                    "detectedSpeechStart",
                    "segmentEnd",
                ][..],
            ),
        ] {
            let mut held = dimensions(|dimension| dimension.details == Some(level));
            held.extend(by_range.iter().map(|name| (*name).to_owned()));
            assert_eq!(held, upstream_enum(predicate, "dimension"));
        }
    }

    #[test]
    fn every_name_means_one_thing() {
        let mut meanings: BTreeMap<String, ColumnValue> = BTreeMap::new();
        for name in column_names() {
            let meaning = column(&name).unwrap_or_else(|| panic!("{name} is listed but unknown"));
            if let Some(other) = meanings.insert(name.clone(), meaning.clone()) {
                assert_eq!(other, meaning, "{name}");
            }
        }
        for metric in METRICS {
            for &statistic in metric.statistics {
                let expected = Some(ColumnValue::Metric(metric, statistic));
                assert_eq!(column(&metric.friendly(statistic)), expected);
                assert_eq!(
                    column(&format!("{}.{}", metric.qualified(), statistic.suffix())),
                    expected
                );
            }
        }
        for dimension in DIMENSIONS {
            let same_name = |other: &&Dimension| other.goes_by(dimension.name) || other.goes_by(dimension.upstream);
            assert_eq!(DIMENSIONS.iter().filter(same_name).count(), 1, "{}", dimension.name);
        }
    }

    #[test]
    fn no_friendly_name_is_the_beginning_of_another() {
        // All that can be columns, and all that could ever be: dimensions of the details query included.
        let names: BTreeSet<String> = column_names()
            .chain(DIMENSIONS.iter().map(|dimension| dimension.name.to_owned()))
            .chain(
                DIMENSIONS
                    .iter()
                    .filter_map(|dimension| Some(dimension.named?.0.to_owned())),
            )
            .collect();
        // The bucket is the exception: whole or in parts, and a query that selects both is refused.
        for name in names.iter().filter(|name| *name != "interval") {
            let inside = format!("{name}.");
            let longer: Vec<_> = names.iter().filter(|other| other.starts_with(&inside)).collect();
            assert!(longer.is_empty(), "{name} would hold {longer:?}");
        }
    }

    #[test]
    fn the_names_of_the_contract_are_known() {
        for (name, upstream, statistic) in [
            ("conversation.count", "nConversations", Statistic::Count),
            ("conversation.offered", "nOffered", Statistic::Count),
            ("conversation.answered", "tAnswered", Statistic::Count),
            ("conversation.abandoned", "tAbandon", Statistic::Count),
            ("service.level", "oServiceLevel", Statistic::Ratio),
            ("oServiceLevel.ratio", "oServiceLevel", Statistic::Ratio),
            ("service.goal", "oServiceTarget", Statistic::Current),
            ("handle.time.average", "tHandle", Statistic::Average),
            ("tHandle.average", "tHandle", Statistic::Average),
            ("tHandle.sum", "tHandle", Statistic::Sum),
            ("talk.time.max", "tTalkComplete", Statistic::Max),
            ("hold.time.min", "tHeldComplete", Statistic::Min),
            ("acw.time.average", "tAcw", Statistic::Average),
            ("wait.time.p95", "tWait", Statistic::P95),
            ("answer.time.average", "tAnswered", Statistic::Average),
            ("nOffered", "nOffered", Statistic::Count),
            ("nOffered.count", "nOffered", Statistic::Count),
        ] {
            let Some(ColumnValue::Metric(metric, found)) = column(name) else {
                panic!("{name} is no metric")
            };
            assert_eq!((metric.upstream, found), (upstream, statistic), "{name}");
        }
        for (name, upstream) in [
            ("routing.queue.name", "queueId"),
            ("agent.name", "userId"),
            ("wrapup.code.name", "wrapUpCode"),
            ("division.name", "divisionId"),
        ] {
            assert_eq!(column(name), dimension(upstream).map(ColumnValue::Name), "{name}");
        }
        for (name, upstream) in [
            ("media.type", "mediaType"),
            ("agent.id", "userId"),
            ("queueId", "queueId"),
        ] {
            assert_eq!(column(name), dimension(upstream).map(ColumnValue::Dimension), "{name}");
        }
        for unknown in [
            "",
            "tHandle",
            "handle.time",
            "nOffered.sum",
            "conversation.offered.count",
            "segment.type",
            "service",
        ] {
            assert_eq!(column(unknown), None, "{unknown}");
        }
    }
}
