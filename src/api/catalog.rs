//! `/v1/catalog`: what can be asked for, from the tables that validate it.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{auth::Caller, conditional, format::Format, problem::Problem};
use crate::{
    config::Scope,
    query::{
        Dimension, Families, Kpi, Metric, Source, Statistic,
        catalogue::{
            self, Combination, DetailsLevel, Lookup, Observation, Observed, Qualifier, Rollup, Shows, Side, Unit,
        },
    },
};

/// What the route needs.
#[derive(Clone, Debug)]
pub struct CatalogApi {
    /// The document, written once.
    document: Bytes,
}

impl Default for CatalogApi {
    fn default() -> Self {
        let document = serde_json::to_vec(&Catalog::new()).expect("strings and flags always serialize");
        Self {
            document: document.into(),
        }
    }
}

/// List what can be asked for
///
/// Every metric, with its statistics and the names to select each by; every KPI, with its formula; every dimension,
/// with what can be done with it. Figures are combined (over time, and over the media types that Genesys Cloud tells apart) only where that is
/// exact; what `never` combines is asked of Genesys Cloud for the whole, or refused.
#[utoipa::path(
    get,
    path = "/v1/catalog",
    operation_id = "getCatalog",
    tag = "Queries",
    responses((status = 200, description = "Metrics, KPIs and dimensions", body = Catalog)),
)]
pub async fn get(
    State(api): State<CatalogApi>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let content_type = Format::negotiate(&headers, Format::OF_ONE_DOCUMENT)?.content_type();
    Ok(conditional::document(&method, &headers, content_type, api.document))
}

/// What can be asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Catalog {
    /// The columns that say which bucket of time a row is about.
    buckets: Vec<CatalogBucket>,
    /// What is counted and measured.
    metrics: Vec<CatalogMetric>,
    /// What is worked out of statistics that add, after they have been added up.
    kpis: Vec<CatalogKpi>,
    /// What it is told apart by.
    dimensions: Vec<CatalogDimension>,
    /// What can be observed of queues at this moment, by `/v1/now/queues`.
    observations: Vec<CatalogObservation>,
}

/// One figure of a queue, as it is now; it has no past.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "name": "agents.routing.idle", "upstream": "oUserRoutingStatuses", "qualifier": "IDLE", "byMediaType": false,
    "unit": "count", "meaning": "Agents who wait for an interaction."
}))]
struct CatalogObservation {
    /// The friendly name.
    name: &'static str,
    /// Genesys Cloud's own name.
    upstream: &'static str,
    /// Which of the parts that Genesys Cloud tells apart under that name; null where there are none or it is all.
    qualifier: Option<&'static str>,
    /// Whether it can be told apart by media type: interactions can, agents cannot.
    by_media_type: bool,
    /// What it is a number of; null for an instant.
    unit: Option<CatalogUnit>,
    /// What it counts or measures.
    meaning: &'static str,
}

/// A column that says which bucket a row is about.
#[derive(Serialize, ToSchema)]
struct CatalogBucket {
    #[schema(example = "interval.start")]
    name: &'static str,
    meaning: &'static str,
}

/// A metric of one family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "name": "handle.time", "upstream": "tHandle", "source": "conversations", "qualifier": null,
    "meaning": "Contacting, dialling, talk, hold and after-call work together, per interaction.",
    "rollup": "timer", "exception": null, "byAgent": true,
    "statistics": [{
        "statistic": "average", "unit": "milliseconds", "columns": ["handle.time.average", "tHandle.average"],
        "overTime": "recomputed", "overMediaTypes": "recomputed"
    }]
}))]
struct CatalogMetric {
    /// The friendly name; its statistics are selected by the names in `columns`.
    name: &'static str,
    /// Genesys Cloud's own name.
    upstream: &'static str,
    /// The family of figures it belongs to.
    #[schema(example = "conversations")]
    source: &'static str,
    /// Which of the parts that Genesys Cloud tells apart under that name; null where there are none or it is all.
    qualifier: Option<&'static str>,
    /// What it counts or measures.
    meaning: &'static str,
    /// How its statistics combine, all together.
    rollup: CatalogRollup,
    /// What to know about a combination that is not what it seems.
    exception: Option<&'static str>,
    /// Whether it can be grouped by or filtered on an agent. What belongs to the queue cannot: no agent is involved.
    by_agent: bool,
    /// The numbers it carries.
    statistics: Vec<CatalogStatistic>,
}

/// One number of a metric.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CatalogStatistic {
    /// Which.
    #[schema(example = "average")]
    statistic: &'static str,
    /// What it is a number of.
    unit: CatalogUnit,
    /// The names it is selected by, the friendly one first.
    columns: Vec<String>,
    /// How the numbers of buckets make the number of a longer one.
    over_time: CatalogCombination,
    /// How the numbers of media types make the number of all. Where it is `never`, `media.type` has to be among the
    /// groups or the filter on one media type.
    over_media_types: CatalogCombination,
}

/// A figure worked out of statistics that add. Where it is a metric's own figure it has that column's name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "name": "abandon.rate", "columns": ["abandon.rate"], "source": "conversations", "version": 1,
    "formula": "tAbandon.count / nOffered.count",
    "parts": [
        {"metric": "tAbandon", "statistic": "count", "column": "conversation.abandoned"},
        {"metric": "nOffered", "statistic": "count", "column": "conversation.offered"}
    ],
    "unit": "ratio", "meaning": "Abandon rate: share of the conversations offered that were given up.",
    "differs": null, "byAgent": false
}))]
struct CatalogKpi {
    /// The friendly name.
    name: &'static str,
    /// The names it is selected by: the friendly one and, if it has one, its abbreviation.
    columns: Vec<&'static str>,
    /// The family of figures it belongs to.
    source: &'static str,
    /// Which formula of that name this is: it is raised when the formula changes.
    #[schema(minimum = 1)]
    version: u32,
    /// How it is worked out. What is divided by nothing is empty.
    formula: String,
    /// What it is worked out of.
    parts: Vec<CatalogPart>,
    /// What it is a number of.
    unit: CatalogUnit,
    /// What it says.
    meaning: &'static str,
    /// How Genesys Cloud itself is known to define a figure of that name otherwise.
    differs: Option<&'static str>,
    /// Whether it can be grouped by or filtered on an agent: not if a part belongs to the queue.
    by_agent: bool,
}

/// A statistic a KPI is worked out of.
#[derive(Serialize, ToSchema)]
struct CatalogPart {
    /// Genesys Cloud's own name of the metric.
    metric: Cow<'static, str>,
    statistic: &'static str,
    /// The name it is selected by itself.
    column: String,
}

/// A dimension.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "name": "routing.queue.id", "upstream": "queueId", "meaning": "The queue.", "groupable": ["conversations", "flows", "evaluations", "surveys"],
    "filterable": ["conversations", "flows", "evaluations", "surveys"], "detailsLevel": "segment", "multiValued": false,
    "named": {"name": "routing.queue.name", "lookup": "queues", "uri": "/v1/lookups/queues"}
}))]
struct CatalogDimension {
    /// The friendly name.
    name: &'static str,
    /// Genesys Cloud's own name.
    upstream: &'static str,
    /// What it is.
    meaning: &'static str,
    /// The families of figures that can be selected and grouped by it.
    groupable: Vec<&'static str>,
    /// The families of figures that can be filtered on it.
    filterable: Vec<&'static str>,
    /// Where single conversations can be filtered on it: a property of the whole `conversation`, or of a `segment`,
    /// which then has to match all such filters; null where they cannot.
    details_level: Option<CatalogLevel>,
    /// Whether one event can carry several values, so that groups overlap and do not add up to the whole.
    multi_valued: bool,
    /// What its ids stand for, where that has a name.
    named: Option<CatalogNames>,
}

/// Where the names of ids come from.
#[derive(Serialize, ToSchema)]
struct CatalogNames {
    /// The name to select and to filter by.
    #[schema(example = "routing.queue.name")]
    name: &'static str,
    /// The listing.
    #[schema(example = "queues")]
    lookup: &'static str,
    /// Where it is.
    #[schema(example = "/v1/lookups/queues")]
    uri: String,
}

/// How a metric's statistics combine: a `counter` adds; a `timer` adds counts and sums, takes extremes of extremes
/// and recomputes the average; a `ratio` adds numerators and denominators and recomputes the ratio; a `distinct`
/// count adds over nothing, and what is `none` is never combined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CatalogRollup {
    Counter,
    Timer,
    Ratio,
    Distinct,
    None,
}

/// What a number is a number of. A ratio is a share: 0.25 is a quarter; points are those of a form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatalogUnit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// A share, or a goal in that unit.
    Ratio,
    /// Points of a form.
    Points,
}

/// How numbers make one: their `sum`, the `smallest`, the `largest`, `recomputed` from numbers that add, the same
/// number `if-equal`, or `never`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum CatalogCombination {
    Sum,
    Smallest,
    Largest,
    Recomputed,
    IfEqual,
    Never,
}

/// What a filter on single conversations is about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CatalogLevel {
    Conversation,
    Segment,
}

impl Catalog {
    fn new() -> Self {
        Self {
            buckets: catalogue::BUCKETS
                .iter()
                .map(|(name, _, meaning)| CatalogBucket { name, meaning })
                .collect(),
            metrics: catalogue::METRICS.iter().map(CatalogMetric::new).collect(),
            kpis: catalogue::KPIS.iter().map(CatalogKpi::new).collect(),
            dimensions: catalogue::DIMENSIONS.iter().map(CatalogDimension::new).collect(),
            observations: catalogue::OBSERVATIONS.iter().map(CatalogObservation::new).collect(),
        }
    }
}

impl CatalogObservation {
    fn new(observation: &Observation) -> Self {
        Self {
            name: observation.name,
            upstream: observation.upstream,
            qualifier: observation.qualifier,
            by_media_type: match observation.of {
                Observed::Interactions => true,
                Observed::Agents => false,
            },
            unit: match observation.shows {
                Shows::Count => Some(CatalogUnit::Count),
                Shows::Lasting => Some(CatalogUnit::Milliseconds),
                Shows::Since => None,
            },
            meaning: observation.meaning,
        }
    }
}

impl CatalogMetric {
    fn new(metric: &Metric) -> Self {
        let statistics = metric.statistics.iter();
        Self {
            name: metric.name,
            upstream: metric.upstream,
            source: metric.source.name(),
            qualifier: match metric.qualifier {
                Qualifier::Is(part) => Some(part),
                Qualifier::None | Qualifier::Any => None,
            },
            meaning: metric.meaning,
            rollup: match metric.rollup {
                Rollup::Counter => CatalogRollup::Counter,
                Rollup::Timer => CatalogRollup::Timer,
                Rollup::Ratio => CatalogRollup::Ratio,
                Rollup::Distinct => CatalogRollup::Distinct,
                Rollup::None => CatalogRollup::None,
            },
            exception: metric.exception(),
            by_agent: match metric.side {
                Side::Any => true,
                Side::Queue => false,
            },
            statistics: statistics
                .map(|&statistic| CatalogStatistic::new(metric, statistic))
                .collect(),
        }
    }
}

impl CatalogStatistic {
    fn new(metric: &Metric, statistic: Statistic) -> Self {
        Self {
            statistic: statistic.suffix(),
            unit: metric.unit_of(statistic).into(),
            columns: metric.columns(statistic),
            over_time: metric.over_time(statistic).into(),
            over_media_types: metric.over_media_types(statistic).into(),
        }
    }
}

impl CatalogKpi {
    fn new(kpi: &Kpi) -> Self {
        let mut parts: Vec<CatalogPart> = Vec::new();
        for part in kpi.formula.parts() {
            let column = part.metric.friendly(part.statistic);
            if parts.iter().all(|earlier| earlier.column != column) {
                parts.push(CatalogPart {
                    metric: part.metric.qualified(),
                    statistic: part.statistic.suffix(),
                    column,
                });
            }
        }
        Self {
            name: kpi.name,
            columns: kpi.columns().collect(),
            source: kpi.source().name(),
            version: kpi.version,
            formula: kpi.formula.to_string(),
            parts,
            unit: kpi.formula.unit().into(),
            meaning: kpi.meaning,
            differs: kpi.differs,
            by_agent: kpi.by_agent(),
        }
    }
}

impl CatalogDimension {
    fn new(dimension: &Dimension) -> Self {
        let names = |(name, lookup): (&'static str, Lookup)| CatalogNames {
            name,
            lookup: lookup.name(),
            uri: format!("/v1/lookups/{lookup}"),
        };
        Self {
            name: dimension.name,
            upstream: dimension.upstream,
            meaning: dimension.meaning,
            groupable: names_of(dimension.groupable),
            filterable: names_of(dimension.filterable),
            details_level: dimension.details.map(|level| match level {
                DetailsLevel::Conversation => CatalogLevel::Conversation,
                DetailsLevel::Segment => CatalogLevel::Segment,
            }),
            multi_valued: dimension.multi_valued,
            named: dimension.named.map(names),
        }
    }
}

fn names_of(families: Families) -> Vec<&'static str> {
    families.each().map(Source::name).collect()
}

impl From<Unit> for CatalogUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Count => Self::Count,
            Unit::Milliseconds => Self::Milliseconds,
            Unit::Ratio => Self::Ratio,
            Unit::Points => Self::Points,
        }
    }
}

impl From<Combination> for CatalogCombination {
    fn from(combination: Combination) -> Self {
        match combination {
            Combination::Sum => Self::Sum,
            Combination::Smallest => Self::Smallest,
            Combination::Largest => Self::Largest,
            Combination::Recomputed => Self::Recomputed,
            Combination::IfEqual => Self::IfEqual,
            Combination::Never => Self::Never,
        }
    }
}
