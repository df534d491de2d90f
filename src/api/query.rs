//! `/v1/query`: a reporting query as a body or as query-string parameters, one path for both.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Method, request::Parts},
    response::Response,
};
use jiff::Timestamp;
use utoipa::ToSchema;

use super::{
    again::{Again, Place, Remembered},
    auth::Caller,
    format::{Format, accepts_gzip},
    lookups,
    page::{self, ColumnFormula, Meta, PageHead, Plan},
    params::{Delivery, Explain, JsonBody, Offered, QueryString, beside_body},
    problem::Problem,
    rows::{self, EVERYTHING, Given, Kept, Rows, Sent, TableAnswer},
};
use crate::{
    clock::Clock,
    config::Scope,
    definitions::{Definition, Places},
    query::{AggregateQuery, Complaint, Limits, Named, Query, QueryRequest},
    report::{Freshness, Left, OrderedRows, Reports, Written},
    upstream::Errand,
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
    /// Knows requests again.
    pub again: Again,
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
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn get(
    State(api): State<QueryApi>,
    caller: Caller,
    errand: Errand,
    parts: Parts,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let (query_string, headers) = (QueryString::of(&parts.uri), &parts.headers);
    let parse = |pairs: &[(String, String)]| QueryRequest::from_pairs(pairs).meaning(|request| api.parse(request));
    let (delivery, question) = Delivery::take(&query_string, headers, Offered::explained(Format::OF_ROWS))
        .map_err(|error| error.with(|question| parse(question).err().unwrap_or_default()))?;
    let (request, query) = parse(&question).map_err(Problem::invalid)?;
    let asked = Asked {
        place: Place::of(&parts),
        ..Asked::new(&request, query, Some(query_string.pairs))
    };
    api.answer(asked, delivery, &caller, &errand, &parts.method, headers)
        .await
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
        (TableAnswer = "application/vnd.genesys-reports.table+json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))),
)]
pub async fn post(
    State(api): State<QueryApi>,
    caller: Caller,
    errand: Errand,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let parsed = QueryRequest::from_json(&body).meaning(|request| api.parse(request));
    let offered = Offered::explained(Format::OF_ROWS);
    let (delivery, (request, query)) = beside_body(&query_string, &headers, offered, parsed)?;
    let get_form = page::get_form(&request).map(|question| [question, query_string.pairs].concat());
    let asked = Asked::new(&request, query, get_form);
    api.answer(asked, delivery, &caller, &errand, &method, &headers).await
}

/// A question, whichever way it came.
pub(super) struct Asked<'a> {
    /// The route, to be asked for other pages.
    pub(super) path: &'a str,
    /// Where the request is remembered, if it may be known again.
    pub(super) place: Option<Place>,
    /// The report asked for, where it has a name.
    pub(super) definition: Option<&'a Arc<Definition>>,
    /// Which of its parameters stands where.
    pub(super) places: Places,
    pub(super) query: Named<Query>,
    /// Whether the caller named a page.
    pub(super) is_paged: bool,
    /// The question as parameters, where that can be written.
    pub(super) get_form: Option<Vec<(String, String)>>,
}

impl Asked<'_> {
    fn new(request: &QueryRequest, query: Named<Query>, get_form: Option<Vec<(String, String)>>) -> Self {
        Self {
            path: "/v1/query",
            place: None,
            definition: None,
            places: Places::default(),
            query,
            is_paged: request.page.is_some() || request.page_size.is_some(),
            get_form,
        }
    }
}

impl QueryApi {
    fn parse(&self, request: QueryRequest) -> Result<(QueryRequest, Named<Query>), Vec<Complaint>> {
        let query = Query::parse(&request, self.clock.now(), &self.limits)?;
        Ok((request, query))
    }

    /// Answers a question, that of a report as any other.
    pub(super) async fn answer(
        &self,
        asked: Asked<'_>,
        delivery: Delivery,
        caller: &Caller,
        errand: &Errand,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let mut question = asked.query;
        if !delivery.format.is_paged() && !asked.is_paged {
            question = question.with(|query| query.page = EVERYTHING);
        }
        let freshness = delivery.freshness;
        let may_be_known =
            question.lookups().is_empty() && delivery.explain.is_none() && freshness == Freshness::default();
        let place = asked.place.filter(|_| may_be_known);
        let (query, calls) =
            lookups::resolve(&self.reports, question, &asked.places, caller, freshness, errand).await?;
        let filename = filename(asked.definition.map(|definition| &**definition), &query.aggregate);
        // Taken before anything is looked for: what is dropped after it is not left for others.
        let before = (self.reports.mark(), self.clock.now());
        let name = place.as_ref().filter(|_| self.reports.has_others());
        let name = name.map(|place| place.name(asked.definition.map(|definition| &*definition.source)));
        if let Some(name) = &name
            && let Some(left) = self.reports.left_written(name, &query).await
            && let Some(place) = place
        {
            let (response, written) =
                pass_on(&left, delivery.format, &filename, self.clock.now(), method, headers).await?;
            self.reports.written().hold(Arc::clone(&written));
            let remembered = Remembered {
                seen: left.seen,
                written: Arc::downgrade(&written),
                format: delivery.format,
                filename,
                definition: asked.definition.cloned(),
            };
            self.again.remember(place, remembered);
            return Ok(response);
        }
        let query = Arc::new(query);
        let (mut answer, seen, account) = match delivery.explain {
            Some(Explain::Plan) => {
                let (answer, mut account) = self.reports.explained(&query, freshness, errand).await?;
                account.calls_for_names += calls;
                (answer, None, Some(account))
            }
            Some(Explain::Formula) | None => {
                let (answer, seen) = self.reports.run(&query, freshness, errand).await?;
                (answer, seen, None)
            }
        };
        answer.provenance.upstream_calls += calls;
        // The last bucket is shown as far as the question goes.
        let (end, source) = (
            query.aggregate.range.end,
            asked.definition.map(|definition| &definition.source),
        );
        let kept = Kept {
            answers: self.reports.written(),
            rows: answer.content.id(),
            further: format!("{end} {source:?}"),
        };
        let table = {
            let (query, definition) = (Arc::clone(&query), asked.definition.cloned());
            move |ordered: OrderedRows| {
                let mut table = ordered.table(&query);
                if let Some(definition) = definition {
                    definition.finish(&mut table);
                }
                table
            }
        };
        let rows = Rows {
            answer: answer.map(|ordered| move || table(ordered)),
            kept: Some(kept),
            page: query.page,
            path: asked.path,
            question: asked.get_form.as_deref(),
            formulas: (delivery.explain == Some(Explain::Formula)).then(|| ColumnFormula::of(&query.columns)),
            plan: account.map(Plan::from),
            filename: filename.clone(),
            time_zone: query.aggregate.time_zone.clone(),
        };
        let (provenance, fresh_for) = (rows.answer.provenance.clone(), rows.answer.fresh_for);
        let (response, sent) = rows
            .respond_with_written(delivery.format, self.clock.now(), method, headers)
            .await?;
        if let (Some(place), Some(seen)) = (place, seen) {
            if let (Some(name), Some(plain)) = (name, sent.plain) {
                self.reports
                    .leave_written(&name, &plain, &provenance, fresh_for, before);
            }
            let remembered = Remembered {
                seen,
                written: Arc::downgrade(&sent.written),
                format: delivery.format,
                filename,
                definition: asked.definition.cloned(),
            };
            self.again.remember(place, remembered);
        }
        Ok(response)
    }
}

/// What another replica has left, on its way out; and as it is sent.
async fn pass_on(
    left: &Left,
    format: Format,
    filename: &str,
    now: Timestamp,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Response, Arc<Written>), Problem> {
    let plain = Arc::clone(&left.written);
    let sent = if format.compresses() && accepts_gzip(headers) {
        Sent::compressed(plain).await?
    } else {
        Sent::as_is(plain)
    };
    let given = Given {
        written: &sent.written,
        format,
        filename,
        rest: rows::rest(&sent.written, format, None, None, &left.provenance),
        provenance: &left.provenance,
        fresh_for: left.fresh_for,
    };
    let response = given.respond(method, headers, given.fields(now));
    Ok((response, sent.written))
}

/// The report or the family, and the days as they are where the range is cut: `conversations-2023-11-01-2023-11-30`.
fn filename(definition: Option<&Definition>, query: &AggregateQuery) -> String {
    let name = definition.map_or(query.source.name(), |definition| definition.name.as_str());
    let [first, last] = query.range.days(&query.time_zone);
    format!("{name}-{first}-{last}")
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
