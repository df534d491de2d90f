//! `/v1/lookups`: ids and names, for the variables of dashboards; and names in filters, turned into ids by them.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    auth::Caller,
    format::Format,
    page::{Meta, PageHead},
    params::{Delivery, QueryString},
    problem::{Problem, ProblemKind},
    rows::{EVERYTHING, Rows, TableAnswer},
};
use crate::{
    clock::Clock,
    config::Scope,
    definitions::Places,
    query::{Complaint, Confine, Limits, Named, NamesQuery, NamesRequest, Permitted, Zone, catalogue::Lookup},
    report::{Freshness, Reports},
    upstream::Errand,
};

/// What the routes need.
#[derive(Clone)]
pub struct LookupsApi {
    /// Holds the listings.
    pub reports: Reports,
    /// Tells how old an answer is.
    pub clock: Clock,
    /// How long a page may be.
    pub limits: Limits,
}

/// List ids and names
///
/// Of queues, users, wrap-up codes, divisions, skills, languages or flows: by name, then by id. They are asked of
/// Genesys Cloud at most once an hour unless `max_age` says otherwise.
#[utoipa::path(
    get,
    path = "/v1/lookups/{lookup}",
    operation_id = "getLookup",
    tag = "Lookups",
    responses((status = 200, description = "The ids and names", content(
        (NamesAnswer = "application/json"),
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn get(
    State(api): State<LookupsApi>,
    Path(lookup): Path<String>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let lookup = named(&lookup)?;
    let parse = |pairs: &[(String, String)]| NamesRequest::from_pairs(pairs).meaning(|request| api.parse(&request));
    let (delivery, question) = Delivery::take(&query_string, &headers, Format::OF_ROWS)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (is_paged, mut query) = parse(&question).map_err(Problem::invalid)?;
    if !delivery.format.is_paged() && !is_paged {
        query.page = EVERYTHING;
    }
    let (sight, calls) = api
        .reports
        .sight(caller.restriction(), delivery.freshness, &errand)
        .await?;
    let question = sight.confine((lookup, query))?;
    let page = question.1.page;
    let mut answer = api.reports.names(&question, delivery.freshness, &errand).await?;
    answer.provenance.upstream_calls += calls;
    let rows = Rows {
        answer: answer.map(|table| move || table),
        kept: None,
        page,
        path: &format!("/v1/lookups/{lookup}"),
        question: Some(&query_string.pairs),
        formulas: None,
        plan: None,
        filename: lookup.name().to_owned(),
        // There are no instants among names.
        time_zone: Zone::utc(),
    };
    rows.respond(delivery.format, api.clock.now(), &method, &headers).await
}

impl LookupsApi {
    /// The question, and whether it names a page.
    fn parse(&self, request: &NamesRequest) -> Result<(bool, NamesQuery), Vec<Complaint>> {
        let is_paged = request.page.is_some() || request.page_size.is_some();
        Ok((is_paged, NamesQuery::parse(request, &self.limits)?))
    }
}

fn named(name: &str) -> Result<Lookup, Problem> {
    let found = Lookup::ALL.into_iter().find(|lookup| lookup.name() == name);
    found.ok_or_else(|| {
        let names = Lookup::ALL.map(Lookup::name).join(", ");
        Problem::new(ProblemKind::NotFound).detail(format!("there are lookups of {names}"))
    })
}

/// The question in ids, whichever names it was asked by, narrowed to what its caller may see, and how many upstream
/// requests it took to know them. Names that mean nothing of what the caller may see are complained of where they were
/// written.
pub async fn resolve<Q: Confine>(
    reports: &Reports,
    question: Named<Q>,
    places: &Places,
    caller: &Caller,
    freshness: Freshness,
    errand: &Errand,
) -> Result<(Permitted<Q::Question>, u32), Problem> {
    let (sight, calls_for_sight) = reports.sight(caller.restriction(), freshness, errand).await?;
    let lookups = question.lookups();
    for lookup in &lookups {
        sight.seen().map_or(Ok(()), |seen| seen.may_list(*lookup))?;
    }
    let (names, calls) = reports.names_seen(lookups, &sight, freshness, errand).await?;
    let question = question
        .resolve(&names)
        .map_err(|complaints| Problem::invalid(places.blame(complaints)))?;
    Ok((sight.confine(question)?, calls_for_sight + calls))
}

/// A page of ids and names.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct NamesAnswer {
    #[serde(flatten)]
    head: PageHead,
    /// By name, then by id.
    entities: Vec<NamedEntity>,
    meta: Meta,
}

/// A thing and what it is called.
#[derive(Serialize, ToSchema)]
struct NamedEntity {
    /// What figures and filters know it by.
    #[schema(example = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11")]
    id: String,
    /// What people call it.
    #[schema(example = "Support")]
    name: String,
}
