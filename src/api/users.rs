//! `/v1/users/details` and `/v1/now/users`: what users were, one by one, and what they are.

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
    query::{Complaint, Limits, Named, StatesQuery, StatesRequest, UsersNowQuery, UsersNowRequest, Zone},
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
    let parse =
        |pairs: &[(String, String)]| StatesRequest::from_pairs(pairs).meaning(|request| api.parse_details(&request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (is_paged, query) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked {
        path: "/v1/users/details",
        definition: None,
        places: Places::default(),
        query,
        is_paged,
        get_form: query_string.pairs,
    };
    api.answer_details(asked, delivery, &caller, &errand, &method, &headers)
        .await
}

/// Observe users
///
/// What everybody is now: a row per user, by name. `presence.system` is the presence as Genesys Cloud knows it and
/// `presence.id` the organisation's own; `….since` says since when and `….time` for how long. `queues.member` counts the
/// queues a user is a member of, `queues.active` those of them that they have joined. However many ask, Genesys Cloud is
/// asked at most once in five seconds for the same users.
#[utoipa::path(
    get,
    path = "/v1/now/users",
    operation_id = "getUsersNow",
    tag = "Now",
    responses((status = 200, description = "The users", content(
        (UsersNow = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn now(
    State(api): State<UsersApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parse =
        |pairs: &[(String, String)]| UsersNowRequest::from_pairs(pairs).meaning(|request| api.parse_now(&request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (is_paged, query) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked {
        path: "/v1/now/users",
        definition: None,
        places: Places::default(),
        query,
        is_paged,
        get_form: query_string.pairs,
    };
    api.answer_now(asked, delivery, &caller, &errand, &method, &headers)
        .await
}

impl UsersApi {
    /// The question, and whether it names a page.
    fn parse_details(&self, request: &StatesRequest) -> Result<(bool, Named<StatesQuery>), Vec<Complaint>> {
        let is_paged = request.page.is_some() || request.page_size.is_some();
        let query = StatesQuery::parse(request, self.clock.now(), &self.limits)?;
        Ok((is_paged, query))
    }

    /// The question, and whether it names a page.
    fn parse_now(&self, request: &UsersNowRequest) -> Result<(bool, Named<UsersNowQuery>), Vec<Complaint>> {
        let is_paged = request.page.is_some() || request.page_size.is_some();
        Ok((is_paged, UsersNowQuery::parse(request, &self.limits)?))
    }

    /// Answers a question about what users were, that of a report as any other.
    pub(super) async fn answer_details(
        &self,
        asked: Asked<'_, Named<StatesQuery>>,
        delivery: Delivery,
        caller: &Caller,
        errand: &Errand,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (name, is_of_everything) = (asked.name("user-details"), asked.is_of_everything(delivery.format));
        let (mut question, asked) = asked.parted();
        if is_of_everything {
            question = question.with(|query| query.page = EVERYTHING);
        }
        let freshness = delivery.freshness;
        let (query, calls) =
            lookups::resolve(&self.reports, question, &asked.places, caller, freshness, errand).await?;
        let mut answer = self.reports.user_states(&query, freshness, errand).await?;
        answer.provenance.upstream_calls += calls;
        let [first, last] = query.range.days(&query.time_zone);
        let rows = asked.rows(
            answer,
            query.page,
            format!("{name}-{first}-{last}"),
            query.time_zone.clone(),
        );
        rows.respond(delivery.format, self.clock.now(), method, headers).await
    }

    /// Answers a question about what users are, that of a report as any other.
    pub(super) async fn answer_now(
        &self,
        asked: Asked<'_, Named<UsersNowQuery>>,
        delivery: Delivery,
        caller: &Caller,
        errand: &Errand,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (filename, is_of_everything) = (asked.name("users-now"), asked.is_of_everything(delivery.format));
        let (mut question, asked) = asked.parted();
        if is_of_everything {
            question = question.with(|query| query.page = EVERYTHING);
        }
        let freshness = delivery.freshness;
        let (query, calls) =
            lookups::resolve(&self.reports, question, &asked.places, caller, freshness, errand).await?;
        let mut answer = self.reports.users_now(&query, freshness, errand).await?;
        answer.provenance.upstream_calls += calls;
        let rows = asked.rows(answer, query.page, filename, Zone::utc());
        rows.respond(delivery.format, self.clock.now(), method, headers).await
    }
}

/// A page of users.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct UsersNow {
    #[serde(flatten)]
    head: PageHead,
    /// One object a user, by name. Who is named in the filter has one, whatever is known of them; of everybody, those have
    /// one of whom Genesys Cloud knows a state.
    #[schema(example = json!([{"agent": {"id": "…", "name": "Ann Example"}, "presence": {"system": "ON_QUEUE", "id": "…", "since": "2026-03-01T09:00:00.000+00:00", "time": 2_700_000}, "routing": {"status": "IDLE", "since": "2026-03-01T09:40:00.000+00:00", "time": 300_000}, "queues": {"member": 3, "active": 3}}]))]
    #[schema(value_type = Vec<Object>)]
    entities: (),
    meta: Meta,
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
