//! `/v1/cache`: what is held, and dropping it. For those who run the service.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{auth::Caller, params::QueryString, problem::Problem};
use crate::{
    clock::Clock,
    config::Scope,
    query::{Purge, PurgeRequest, Source},
    report::{Contents, Dropped, HeldAnswer, HeldKind, HeldSeries, Reports},
};

/// The most series and answers that are listed one by one; the totals count all of them.
const LISTED: usize = 500;

/// What the routes need.
#[derive(Clone)]
pub struct CacheApi {
    /// Holds it.
    pub reports: Reports,
    /// Tells what relative dates mean.
    pub clock: Clock,
}

/// Show what is held
///
/// Figures are held by bucket and metric, series by series: questions of one family, filter, grouping, interval and time
/// zone. Everything else is held answer by answer. Those read last come first, and no more than 500 of each are listed.
#[utoipa::path(
    get,
    path = "/v1/cache",
    operation_id = "getCache",
    tag = "Service",
    responses((status = 200, description = "What is held", body = CacheContents)),
)]
pub async fn get(State(api): State<CacheApi>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    Ok(momentary(CacheContents::of(&api.reports.contents().await)))
}

/// Drop what is held
///
/// All of it, or figures of one family, or what touches a range; what is dropped is fetched again when it is asked for.
/// What is being fetched at this moment is given to those who wait for it and not held.
#[utoipa::path(
    delete,
    path = "/v1/cache",
    operation_id = "deleteCache",
    tag = "Service",
    responses((status = 200, description = "What was dropped", body = CacheDropped)),
)]
pub async fn delete(
    State(api): State<CacheApi>,
    caller: Caller,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let purge = PurgeRequest::from_pairs(&query_string.pairs)
        .meaning(|request| Purge::parse(&request, api.clock.now()))
        .map_err(Problem::invalid)?;
    let dropped = api.reports.purge(&purge).await;
    tracing::info!(
        source = purge.source.map(Source::name),
        range = purge.range.map(tracing::field::display),
        buckets = dropped.buckets,
        answers = dropped.answers,
        "dropped what was held"
    );
    Ok(momentary(CacheDropped::from(dropped)))
}

/// Another a moment later.
fn momentary(document: impl Serialize) -> Response {
    let mut response = Json(document).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// What is held, and how it has been used since the service started.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheContents {
    memory: CacheMemory,
    /// How answers came about since the service started.
    answers: CacheAnswers,
    /// By family of figures.
    families: Vec<CacheFamily>,
    /// Series of buckets.
    series: Vec<CacheSeries>,
    /// What is held whole: totals and ranges that cannot be cut into buckets, conversations, names, queues.
    whole: Vec<CacheWhole>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheMemory {
    /// What everything held takes, as weighed for the bound.
    bytes: u64,
    /// The bound: `cache.memory_bytes`.
    limit_bytes: u64,
}

/// Answers by how the cache took part, as `meta.cache` says.
#[derive(Serialize, ToSchema)]
struct CacheAnswers {
    /// Held and fresh.
    hit: u64,
    /// Fetched for this caller.
    miss: u64,
    /// Fetched once for several callers.
    collapsed: u64,
    /// Held and just past their freshness, and fetched again meanwhile.
    revalidating: u64,
    /// Held and past their freshness, given because Genesys Cloud failed.
    stale: u64,
}

/// What is held of one family.
#[derive(Serialize, ToSchema)]
struct CacheFamily {
    #[schema(example = "conversations")]
    source: &'static str,
    /// How many series.
    series: usize,
    /// How many buckets, all series together.
    buckets: u64,
    /// What they take.
    bytes: u64,
}

/// What is held of a series.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheSeries {
    #[schema(example = "conversations")]
    source: &'static str,
    /// How long a bucket is.
    #[schema(example = "PT1H")]
    interval: String,
    /// In which days are cut.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    #[schema(example = json!(["routing.queue.id"]))]
    group_by: Vec<&'static str>,
    filter: Vec<CacheFilter>,
    /// From the first bucket that is held to the last; there may be gaps.
    #[schema(example = "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z")]
    range: String,
    /// Of how many buckets anything is held.
    buckets: u64,
    metrics: Vec<CacheMetric>,
    /// What it takes in memory.
    bytes: u64,
    /// Changes with every change of what is held, and only grows.
    generation: u64,
    /// When it was read last; null where it was only fetched along with others.
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<String>,
}

/// A clause of a filter.
#[derive(Serialize, ToSchema)]
struct CacheFilter {
    #[schema(example = "routing.queue.id")]
    dimension: &'static str,
    values: Vec<String>,
}

/// What is held of a metric: buckets, by how far they had settled when they were fetched.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheMetric {
    /// Genesys Cloud's name.
    #[schema(example = "nOffered")]
    metric: &'static str,
    /// Not over.
    open: u64,
    /// Over, and could still be corrected.
    warm: u64,
    /// Not asked for again.
    settled: u64,
    /// When the oldest of them was fetched …
    #[schema(format = DateTime)]
    oldest_fetch: String,
    /// … and when the newest.
    #[schema(format = DateTime)]
    newest_fetch: String,
}

/// An answer that is held whole.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheWhole {
    kind: CacheKind,
    /// The family of figures; null where it is of none.
    #[schema(example = "conversations")]
    source: Option<&'static str>,
    /// What it covers; null where that is no range.
    range: Option<String>,
    /// How far it had settled when it was fetched: `open`, `warm` or `settled`.
    #[schema(example = "settled")]
    state: &'static str,
    #[schema(format = DateTime)]
    fetched_at: String,
    /// What it takes in memory.
    bytes: u64,
}

/// `figures` that cannot be cut into buckets, `conversations`, `names`, queues as they are `now`, `states` of users, what
/// was `passed` on in Genesys Cloud's own words, or what it recorded of its `limits`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CacheKind {
    Figures,
    Conversations,
    Names,
    Now,
    States,
    Passed,
    Limits,
}

/// What was dropped.
#[derive(Serialize, ToSchema)]
struct CacheDropped {
    /// Buckets of series.
    buckets: u64,
    /// Answers that were held whole.
    answers: u64,
    /// What they took in memory.
    bytes: u64,
}

impl CacheContents {
    fn of(contents: &Contents) -> Self {
        let family = |source: Source| {
            let series = contents.series.iter().filter(|series| series.source == source);
            CacheFamily {
                source: source.name(),
                series: series.clone().count(),
                buckets: series.clone().map(|series| series.buckets).sum(),
                bytes: series.map(|series| series.bytes).sum(),
            }
        };
        Self {
            memory: CacheMemory {
                bytes: contents.bytes,
                limit_bytes: contents.limit_bytes,
            },
            answers: CacheAnswers {
                hit: contents.uses.hit,
                miss: contents.uses.miss,
                collapsed: contents.uses.collapsed,
                revalidating: contents.uses.revalidating,
                stale: contents.uses.stale,
            },
            families: Source::ALL
                .map(family)
                .into_iter()
                .filter(|family| family.series > 0)
                .collect(),
            series: contents.series.iter().take(LISTED).map(CacheSeries::from).collect(),
            whole: contents.answers.iter().take(LISTED).map(CacheWhole::from).collect(),
        }
    }
}

impl From<&HeldSeries> for CacheSeries {
    fn from(held: &HeldSeries) -> Self {
        let filter = held.filter.clauses.iter().map(|(dimension, values)| CacheFilter {
            dimension: dimension.name,
            values: values.iter().cloned().collect(),
        });
        let metrics = held.metrics.iter().map(|(metric, held)| CacheMetric {
            metric: metric.upstream,
            open: held.open,
            warm: held.warm,
            settled: held.settled,
            oldest_fetch: written(held.oldest),
            newest_fetch: written(held.newest),
        });
        Self {
            source: held.source.name(),
            interval: held.granularity.to_string(),
            time_zone: held.time_zone.name().to_owned(),
            group_by: held.group_by.iter().map(|dimension| dimension.name).collect(),
            filter: filter.collect(),
            range: held.range.to_string(),
            buckets: held.buckets,
            metrics: metrics.collect(),
            bytes: held.bytes,
            generation: held.generation,
            read_at: held.read_at.map(written),
        }
    }
}

impl From<&HeldAnswer> for CacheWhole {
    fn from(held: &HeldAnswer) -> Self {
        Self {
            kind: match held.kind {
                HeldKind::Figures => CacheKind::Figures,
                HeldKind::Conversations => CacheKind::Conversations,
                HeldKind::Names => CacheKind::Names,
                HeldKind::Now => CacheKind::Now,
                HeldKind::States => CacheKind::States,
                HeldKind::Passed => CacheKind::Passed,
                HeldKind::Limits => CacheKind::Limits,
            },
            source: held.source.map(Source::name),
            range: held.range.map(|range| range.to_string()),
            state: held.state.name(),
            fetched_at: written(held.fetched_at),
            bytes: held.bytes,
        }
    }
}

impl From<Dropped> for CacheDropped {
    fn from(dropped: Dropped) -> Self {
        let Dropped {
            buckets,
            answers,
            bytes,
        } = dropped;
        Self {
            buckets,
            answers,
            bytes,
        }
    }
}

fn written(instant: Timestamp) -> String {
    format!("{instant:.3}")
}
