//! `/v1/now`: queues as they are at this moment.

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use utoipa::ToSchema;

use super::{
    auth::Caller,
    format::Format,
    lookups,
    page::{Meta, PageHead},
    params::{Delivery, QueryString},
    problem::Problem,
    rows::{Asked, EVERYTHING, TableAnswer},
};
use crate::{
    clock::Clock,
    config::Scope,
    definitions::Places,
    query::{Complaint, Limits, Named, NowQuery, NowRequest, Zone},
    report::Reports,
    upstream::Errand,
};

/// What the routes need.
#[derive(Clone)]
pub struct NowApi {
    /// Asks, and holds the answer for a few seconds.
    pub reports: Reports,
    /// Tells how old an answer is.
    pub clock: Clock,
    /// How long a page may be.
    pub limits: Limits,
}

/// Observe queues
///
/// What waits, what is being handled and who is there, now: a row per queue, or per queue and media type. However many
/// ask, Genesys Cloud is asked at most once in five seconds for the same queues.
#[utoipa::path(
    get,
    path = "/v1/now/queues",
    operation_id = "getQueuesNow",
    tag = "Now",
    responses((status = 200, description = "The queues", content(
        (QueuesNow = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn queues(
    State(api): State<NowApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parse = |pairs: &[(String, String)]| NowRequest::from_pairs(pairs).meaning(|request| api.parse(&request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (is_paged, query) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked {
        path: "/v1/now/queues",
        definition: None,
        places: Places::default(),
        query,
        is_paged,
        get_form: query_string.pairs,
    };
    api.answer(asked, delivery, &caller, &errand, &method, &headers).await
}

impl NowApi {
    /// The question, and whether it names a page.
    pub(super) fn parse(&self, request: &NowRequest) -> Result<(bool, Named<NowQuery>), Vec<Complaint>> {
        let is_paged = request.page.is_some() || request.page_size.is_some();
        Ok((is_paged, NowQuery::parse(request, &self.limits)?))
    }

    /// Answers a question, that of a report as any other.
    pub(super) async fn answer(
        &self,
        asked: Asked<'_, Named<NowQuery>>,
        delivery: Delivery,
        caller: &Caller,
        errand: &Errand,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (filename, is_of_everything) = (asked.name("queues-now"), asked.is_of_everything(delivery.format));
        let (mut question, asked) = asked.parted();
        if is_of_everything {
            question = question.with(|query| query.page = EVERYTHING);
        }
        let freshness = delivery.freshness;
        let (query, calls) =
            lookups::resolve(&self.reports, question, &asked.places, caller, freshness, errand).await?;
        let mut answer = self.reports.queues_now(&query, delivery.freshness, errand).await?;
        answer.provenance.upstream_calls += calls;
        let rows = asked.rows(answer, query.page, filename, Zone::utc());
        rows.respond(delivery.format, self.clock.now(), method, headers).await
    }
}

/// A page of queues.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct QueuesNow {
    #[serde(flatten)]
    head: PageHead,
    /// One object a queue (and media type, if asked for), by name, nested at the dots of the names that the catalogue
    /// lists under `observations`.
    #[schema(example = json!([{"routing": {"queue": {"id": "…", "name": "Support"}}, "waiting": {"count": 3, "longest": {"since": "2026-03-01T09:00:00.000+00:00", "time": 45_000}}, "agents": {"on": {"queue": 12}}}]))]
    #[schema(value_type = Vec<Object>)]
    entities: (),
    meta: Meta,
}
