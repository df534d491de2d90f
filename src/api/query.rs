//! `/v1/query`: a reporting query as a body or as query-string parameters, one path for both.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use utoipa::ToSchema;

use super::{
    auth::Caller,
    conditional::{self, Representation},
    format::Format,
    limits::Deadline,
    page::{self, Meta, PageHead},
    params::{Delivery, JsonBody, QueryString, beside_body},
    problem::Problem,
};
use crate::{
    clock::Clock,
    config::Scope,
    encode,
    query::{Complaint, Limits, Page, Query, QueryRequest},
    report::{Answer, Reports},
};

/// What the routes need.
#[derive(Clone)]
pub struct QueryApi {
    /// Answers queries.
    pub reports: Reports,
    /// Tells what "today" is.
    pub clock: Clock,
    /// What may be asked.
    pub limits: Limits,
}

/// Ask a reporting query by query-string parameters
///
/// For clients that can do one GET and nothing else. Lists are commas or repeated parameters; a filter is
/// `filter=media.type:voice,chat`. Ranges are half-open; instants may be relative (`now-7d/d`) and resolve in
/// `timeZone`.
#[utoipa::path(
    get,
    path = "/v1/query",
    operation_id = "getQuery",
    tag = "Queries",
    responses((status = 200, description = "The rows", content(
        (QueryAnswer = "application/json"),
        (String = "application/x-ndjson"),
    ))),
)]
pub async fn get(
    State(api): State<QueryApi>,
    caller: Caller,
    deadline: Deadline,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parse = |pairs: &[(String, String)]| QueryRequest::from_pairs(pairs).meaning(|request| api.parse(request));
    let (delivery, question) = Delivery::take(&query_string, &headers)
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (request, query) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked::new(&request, query, Some(query_string.pairs));
    api.answer(asked, delivery, deadline, &method, &headers).await
}

/// Ask a reporting query by a JSON body
///
/// Buckets of time by dimensions: `interval` cuts the range, `groupBy` names the dimensions, `select` the
/// columns. Friendly names (`routing.queue.id`, `conversation.count`) and Genesys Cloud's own (`queueId`,
/// `tHandle.sum`) both work.
#[utoipa::path(
    post,
    path = "/v1/query",
    operation_id = "postQuery",
    tag = "Queries",
    request_body(content = QueryRequest, content_type = "application/json"),
    responses((status = 200, description = "The rows", content(
        (QueryAnswer = "application/json"),
        (String = "application/x-ndjson"),
    ))),
)]
pub async fn post(
    State(api): State<QueryApi>,
    caller: Caller,
    deadline: Deadline,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parsed = QueryRequest::from_json(&body).meaning(|request| api.parse(request));
    let (delivery, (request, query)) = beside_body(&query_string, &headers, parsed)?;
    let get_form = page::get_form(&request).map(|question| [question, query_string.pairs].concat());
    let asked = Asked::new(&request, query, get_form);
    api.answer(asked, delivery, deadline, &method, &headers).await
}

/// A question, whichever way it came.
struct Asked {
    query: Query,
    /// Whether the caller named a page.
    is_paged: bool,
    /// The question as parameters, where that can be written.
    get_form: Option<Vec<(String, String)>>,
}

impl Asked {
    fn new(request: &QueryRequest, query: Query, get_form: Option<Vec<(String, String)>>) -> Self {
        Self {
            query,
            is_paged: request.page.is_some() || request.page_size.is_some(),
            get_form,
        }
    }
}

impl QueryApi {
    fn parse(&self, request: QueryRequest) -> Result<(QueryRequest, Query), Vec<Complaint>> {
        let query = Query::parse(&request, self.clock.now(), &self.limits)?;
        Ok((request, query))
    }

    async fn answer(
        &self,
        mut asked: Asked,
        delivery: Delivery,
        Deadline(deadline): Deadline,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        if delivery.format == Format::Ndjson && !asked.is_paged {
            // A machine that reads lines wants them all: pages are for people.
            asked.query.page = Page {
                number: 1,
                size: u32::MAX,
            };
        }
        let answer = self.reports.run(&asked.query, delivery.freshness, deadline).await?;
        let (body, answer_bytes) = match delivery.format {
            Format::Json => json(&asked, &answer),
            Format::Ndjson => ndjson(&answer),
        };
        let representation = Representation {
            media_type: delivery.format.media_type(),
            body,
            answer_bytes,
            provenance: &answer.provenance,
            fresh_for: answer.fresh_for,
        };
        Ok(conditional::answer(method, headers, representation, self.clock.now()))
    }
}

fn json(asked: &Asked, answer: &Answer) -> (Bytes, usize) {
    let head = PageHead::new("/v1/query", asked.get_form.as_deref(), asked.query.page, answer.total);
    page::document(&head, &answer.provenance, |body| {
        encode::json::write_entities(&answer.table, body);
    })
}

fn ndjson(answer: &Answer) -> (Bytes, usize) {
    let mut body = Vec::new();
    encode::ndjson::write_lines(&answer.table, &mut body);
    let answer_bytes = body.len();
    (body.into(), answer_bytes)
}

/// A page of rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: answers are written straight to bytes")]
pub(super) struct QueryAnswer {
    #[serde(flatten)]
    head: PageHead,
    /// One object a row, nested at the dots of the selected names; `interval` is `start/end`. Times are in
    /// milliseconds.
    #[schema(example = json!([{"interval": "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z", "routing": {"queue": {"id": "…", "name": "Support"}}, "conversation": {"count": 145}}]))]
    #[schema(value_type = Vec<Object>)]
    entities: (),
    meta: Meta,
}
