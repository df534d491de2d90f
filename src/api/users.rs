//! `/v1/users/details`: what users were, one by one.

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
    rows::{EVERYTHING, Rows, TableAnswer},
};
use crate::{
    clock::Clock,
    config::Scope,
    definitions::Places,
    query::{Complaint, Limits, Named, StatesQuery, StatesRequest},
    report::Reports,
    upstream::Errand,
};

/// What the routes need.
#[derive(Clone)]
pub struct UsersApi {
    /// Asks, and holds what was told.
    pub reports: Reports,
    /// Tells what "today" is.
    pub clock: Clock,
    /// How long a page may be.
    pub limits: Limits,
}

/// List the states of users
///
/// A row for every presence and routing status that a user was in at some time of the range: by user's name, kind and
/// start. `state.start` may lie before the range; `state.end` and `state.duration` are empty where it had not ended by the
/// range's end; `state.time` is what of it lies in the range, which adds up.
#[utoipa::path(
    get,
    path = "/v1/users/details",
    operation_id = "getUserDetails",
    tag = "Users",
    responses((status = 200, description = "The states", content(
        (StatesAnswer = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn details(
    State(api): State<UsersApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parse = |pairs: &[(String, String)]| StatesRequest::from_pairs(pairs).meaning(|request| api.parse(&request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (is_paged, mut question) = parse(&question).map_err(Problem::invalid)?;
    if !delivery.format.is_paged() && !is_paged {
        question = question.with(|query| query.page = EVERYTHING);
    }
    let freshness = delivery.freshness;
    let places = Places::default();
    let (query, calls) = lookups::resolve(&api.reports, question, &places, &caller, freshness, &errand).await?;
    let mut answer = api.reports.user_states(&query, freshness, &errand).await?;
    answer.provenance.upstream_calls += calls;
    let [first, last] = query.range.days(&query.time_zone);
    let rows = Rows {
        answer: answer.map(|table| move || table),
        kept: None,
        page: query.page,
        path: "/v1/users/details",
        question: Some(&query_string.pairs),
        formulas: None,
        plan: None,
        filename: format!("user-details-{first}-{last}"),
        time_zone: query.time_zone.clone(),
    };
    rows.respond(delivery.format, api.clock.now(), &method, &headers).await
}

impl UsersApi {
    /// The question, and whether it names a page.
    fn parse(&self, request: &StatesRequest) -> Result<(bool, Named<StatesQuery>), Vec<Complaint>> {
        let is_paged = request.page.is_some() || request.page_size.is_some();
        let query = StatesQuery::parse(request, self.clock.now(), &self.limits)?;
        Ok((is_paged, query))
    }
}

/// A page of states.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct StatesAnswer {
    #[serde(flatten)]
    head: PageHead,
    /// One object a state, by user's name, kind and start. `presence.id` is the organisation's own presence.
    #[schema(example = json!([{"agent": {"id": "…", "name": "Ann Example"}, "state": {"kind": "presence", "name": "ON_QUEUE", "start": "2026-03-01T09:00:00.000+00:00", "end": "2026-03-01T11:30:00.000+00:00", "duration": 9_000_000, "time": 9_000_000}, "presence": {"id": "…"}}]))]
    #[schema(value_type = Vec<Object>)]
    entities: (),
    meta: Meta,
}
