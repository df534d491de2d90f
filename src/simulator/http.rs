//! The addresses of the simulated platform, and what every request passes on its way to an answer.
//!
//! Adding an endpoint is one row of [`ENDPOINTS`]; its permissions and request model come from what the
//! vendor publishes. All that is published of jobs is there already.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::SystemTime,
};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, get, on, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request};
use http_body::{Frame, SizeHint};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower_http::{CompressionLevel, compression::CompressionLayer};

use super::{
    Simulator, control,
    errors::{PlatformError, rate_limit_entity},
    faults, jobs,
    journal::{Entry, Journal, Ticket},
    login::{self, TokenNumber},
    organisation::{Listing, Organisation, Switches, rate_limits},
    person, published,
    refusal::Refusal,
    strict,
};

/// Login and API on one address.
///
/// Around every answer, outermost first: the journal, so that it sees what the caller sees; latency, which
/// even a failure takes; faults, which cut what really goes out, compressed or not; compression.
pub(super) fn router(simulator: &Simulator) -> Router {
    let platform = ENDPOINTS.iter().chain(&*JOBS).fold(Router::new(), |router, endpoint| {
        router.route(endpoint.path, endpoint.route())
    });
    platform
        .route("/oauth/token", post(login::token))
        .route("/oauth/authorize", get(person::page).post(person::decide))
        .fallback(nothing_here)
        .method_not_allowed_fallback(nothing_here)
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(simulator.clone(), faults::play))
        .layer(from_fn_with_state(simulator.clone(), take_time))
        .layer(from_fn_with_state(simulator.clone(), record))
        .merge(control::router())
        .with_state(simulator.clone())
}

/// Everything the API answers. Paths are spelled as the vendor publishes them.
static ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/api/v2/analytics/conversations/aggregates/query", |call| {
        analytics(call, Organisation::aggregates)
    }),
    endpoint("POST", "/api/v2/analytics/conversations/details/query", |call| {
        analytics(call, Organisation::details)
    }),
    endpoint("GET", "/api/v2/analytics/conversations/details", |call| {
        let query = call.uri.query().unwrap_or_default().as_bytes();
        let params: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        let organisation = call.simulator.organisation();
        let answer = organisation.details_by_id(&params, call.now)?;
        Ok(Answer::Json(answer))
    }),
    endpoint("POST", "/api/v2/analytics/users/aggregates/query", |call| {
        analytics(call, Organisation::user_aggregates)
    }),
    endpoint("POST", "/api/v2/analytics/users/details/query", |call| {
        analytics(call, Organisation::user_details)
    }),
    endpoint("POST", "/api/v2/analytics/queues/observations/query", |call| {
        analytics(call, Organisation::queue_observations)
    }),
    endpoint("POST", "/api/v2/analytics/users/observations/query", |call| {
        let (organisation, switches) = (call.simulator.organisation(), call.simulator.switches());
        Ok(Answer::Json(organisation.user_observations(&call.body, switches)?))
    }),
    endpoint("POST", "/api/v2/analytics/flows/aggregates/query", |call| {
        analytics(call, Organisation::flow_aggregates)
    }),
    endpoint("POST", "/api/v2/analytics/evaluations/aggregates/query", |call| {
        analytics(call, Organisation::evaluation_aggregates)
    }),
    endpoint("POST", "/api/v2/analytics/surveys/aggregates/query", |call| {
        analytics(call, Organisation::survey_aggregates)
    }),
    endpoint("POST", "/api/v2/analytics/actions/aggregates/query", family_aggregates),
    endpoint(
        "POST",
        "/api/v2/analytics/agentcopilots/aggregates/query",
        family_aggregates,
    ),
    endpoint(
        "POST",
        "/api/v2/analytics/agentutilizations/aggregates/query",
        family_aggregates,
    ),
    endpoint("POST", "/api/v2/analytics/bots/aggregates/query", family_aggregates),
    endpoint(
        "POST",
        "/api/v2/analytics/casemanagement/aggregates/query",
        family_aggregates,
    ),
    endpoint("POST", "/api/v2/analytics/copilots/aggregates/query", family_aggregates),
    endpoint(
        "POST",
        "/api/v2/analytics/flowexecutions/aggregates/query",
        family_aggregates,
    ),
    endpoint("POST", "/api/v2/analytics/journeys/aggregates/query", family_aggregates),
    endpoint(
        "POST",
        "/api/v2/analytics/knowledge/aggregates/query",
        family_aggregates,
    ),
    endpoint(
        "POST",
        "/api/v2/analytics/resolutions/aggregates/query",
        family_aggregates,
    ),
    endpoint(
        "POST",
        "/api/v2/analytics/summaries/aggregates/query",
        family_aggregates,
    ),
    endpoint(
        "POST",
        "/api/v2/analytics/taskmanagement/aggregates/query",
        family_aggregates,
    ),
    endpoint(
        "POST",
        "/api/v2/analytics/transcripts/aggregates/query",
        family_aggregates,
    ),
    endpoint("POST", "/api/v2/analytics/ratelimits/aggregates/query", rate_limits),
    endpoint("GET", "/api/v2/routing/queues", |call| listing(call, Listing::Queues)),
    endpoint("GET", "/api/v2/users", |call| listing(call, Listing::Users)),
    endpoint("GET", "/api/v2/routing/wrapupcodes", |call| {
        listing(call, Listing::WrapUpCodes)
    }),
    endpoint("GET", "/api/v2/authorization/divisions", |call| {
        listing(call, Listing::Divisions)
    }),
    endpoint("GET", "/api/v2/routing/skills", |call| listing(call, Listing::Skills)),
    endpoint("GET", "/api/v2/routing/languages", |call| {
        listing(call, Listing::Languages)
    }),
    endpoint("GET", "/api/v2/flows", |call| listing(call, Listing::Flows)),
    endpoint("GET", "/api/v2/date", |call| Ok(date(call))),
    endpoint("GET", "/api/v2/tokens/me", |call| Ok(token_info(call))),
    endpoint("HEAD", "/api/v2/tokens/me", |_| Ok(Answer::Empty)),
    endpoint("DELETE", "/api/v2/tokens/me", |call| Ok(log_out(call))),
    endpoint("GET", "/api/v2/organizations/limits/namespaces/{namespaceName}", limits),
];

/// Jobs: of the details of conversations and users, and of the aggregates of every family, as published.
static JOBS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
    let of_jobs =
        published::paths().filter(|(_, path)| path.starts_with("/api/v2/analytics/") && path.contains("/jobs"));
    let endpoint = |(method, path): (&'static str, &'static str)| {
        let answer: fn(&Call<'_>) -> Result<Answer, PlatformError> = match (method, path) {
            ("POST", _) => submit_job,
            ("DELETE", _) => cancel_job,
            (_, path) if path.ends_with("/availability") => |call| Ok(availability(call)),
            (_, path) if path.ends_with("/results") => job_results,
            _ => job_state,
        };
        Endpoint { method, path, answer }
    };
    of_jobs.map(endpoint).collect()
});

/// One method of one path.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    answer: fn(&Call<'_>) -> Result<Answer, PlatformError>,
}

const fn endpoint(
    method: &'static str,
    path: &'static str,
    answer: fn(&Call<'_>) -> Result<Answer, PlatformError>,
) -> Endpoint {
    Endpoint { method, path, answer }
}

impl Endpoint {
    fn route(&'static self) -> MethodRouter<Simulator> {
        let method = Method::from_bytes(self.method.as_bytes()).ok();
        let filter = method.and_then(|method| MethodFilter::try_from(method).ok());
        let handler =
            async |State(simulator): State<Simulator>, Extension(exchange): Extension<Exchange>, request: Request| {
                let answer = self
                    .admit(&simulator, &exchange, &request)
                    .and_then(|call| (self.answer)(&call));
                answer.map_or_else(
                    |error| error.into_response(&exchange.correlation_id),
                    Answer::into_response,
                )
            };
        on(filter.expect("the table names HTTP methods"), handler)
    }

    /// Everything that can be wrong with a request before its meaning matters. The caller is known before it is
    /// counted, counted before it is judged, and judged before its body is looked at.
    fn admit<'a>(
        &self,
        simulator: &'a Simulator,
        exchange: &Exchange,
        request: &'a Request,
    ) -> Result<Call<'a>, PlatformError> {
        let now = simulator.now();
        let token = simulator.logins().authenticate(request.headers(), now)?;
        let limit = simulator.rate_limit();
        let admitted = limit.admit(token, now);
        admitted.map_err(|seconds| PlatformError::too_many_requests(seconds, Some(limit.per_minute)))?;
        let published = published::endpoint(self.method, self.path);
        if let Some(published) = published {
            simulator.check_permissions(&published.permissions)?;
        }
        let model = published.and_then(|published| published.request_model.as_deref());
        let body = model
            .map(|model| read_body(model, exchange, request.headers()))
            .transpose()?;
        Ok(Call {
            simulator,
            uri: request.uri(),
            now,
            token,
            body: body.unwrap_or_default(),
        })
    }
}

fn read_body(model: &str, exchange: &Exchange, headers: &HeaderMap) -> Result<Value, PlatformError> {
    let body = exchange.body.as_ref().filter(|body| body.len() <= MAX_BODY_BYTES);
    let body = body.ok_or_else(|| PlatformError::too_large(MAX_BODY_BYTES))?;
    if !is_json(headers) {
        return Err(PlatformError::unsupported_media_type());
    }
    let body = serde_json::from_slice(body).map_err(|_| PlatformError::of_status(400))?;
    strict::check(model, &body)?;
    Ok(body)
}

/// `request.bytes.max` of an older limits page; analytics may have a higher one of its own.
const MAX_BODY_BYTES: usize = 512_000;

/// An admitted request.
struct Call<'a> {
    simulator: &'a Simulator,
    uri: &'a Uri,
    now: Timestamp,
    token: TokenNumber,
    body: Value,
}

impl Call<'_> {
    /// The job that is asked for.
    fn job(&self) -> jobs::Address<'_> {
        jobs::Address::of(self.uri.path())
    }
}

/// A question about what happened in the organisation.
type Question = fn(&Organisation, &Value, Timestamp, &Switches) -> Result<Value, Refusal>;

fn analytics(call: &Call<'_>, question: Question) -> Result<Answer, PlatformError> {
    let organisation = call.simulator.organisation();
    let answer = question(organisation, &call.body, call.now, call.simulator.switches())?;
    Ok(Answer::Json(answer))
}

fn submit_job(call: &Call<'_>) -> Result<Answer, PlatformError> {
    let (simulator, job) = (call.simulator, (call.uri.path(), call.simulator.next_id()));
    let (organisation, switches) = (simulator.organisation(), simulator.switches());
    let answer = simulator
        .jobs()
        .submit(job, &call.body, call.now, organisation, switches)?;
    Ok(Answer::Accepted(answer))
}

fn availability(call: &Call<'_>) -> Answer {
    let available = format!("{:.0}", jobs::available(call.now));
    Answer::Json(json!({ "dataAvailabilityDate": available }))
}

fn job_state(call: &Call<'_>) -> Result<Answer, PlatformError> {
    let (simulator, switches) = (call.simulator, call.simulator.switches());
    let (answer, is_at_work) = simulator.jobs().state(call.job(), call.now, switches)?;
    Ok(if is_at_work {
        Answer::Accepted(answer)
    } else {
        Answer::Json(answer)
    })
}

fn job_results(call: &Call<'_>) -> Result<Answer, PlatformError> {
    let (organisation, switches) = (call.simulator.organisation(), call.simulator.switches());
    let jobs = call.simulator.jobs();
    let answer = jobs.results(call.job(), call.uri, call.now, organisation, switches)?;
    Ok(Answer::Json(answer))
}

fn cancel_job(call: &Call<'_>) -> Result<Answer, PlatformError> {
    call.simulator.jobs().cancel(call.job(), call.now)?;
    Ok(Answer::NoContent)
}

fn family_aggregates(call: &Call<'_>) -> Result<Answer, PlatformError> {
    let family = call.uri.path().split('/').nth(4).unwrap_or_default();
    let organisation = call.simulator.organisation();
    let answer = organisation.family_aggregates(family, &call.body, call.now, call.simulator.switches())?;
    Ok(Answer::Json(answer))
}

fn listing(call: &Call<'_>, listing: Listing) -> Result<Answer, PlatformError> {
    let query = call.uri.query().unwrap_or_default().as_bytes();
    let params: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
    let answer = call
        .simulator
        .organisation()
        .listing(listing, &params, call.uri.path())?;
    Ok(Answer::Json(answer))
}

fn date(call: &Call<'_>) -> Answer {
    Answer::Json(json!({ "currentDate": format!("{:.3}", call.now) }))
}

fn token_info(call: &Call<'_>) -> Answer {
    let organisation = json!({ "id": ORGANISATION_ID, "name": "Simulated Organisation" });
    let client = json!({
        "id": call.simulator.client_id(), "name": "Simulated OAuth client",
        "authorizedGrantType": "CLIENT-CREDENTIALS", "organization": organisation,
    });
    Answer::Json(json!({
        "organization": organisation, "homeOrganization": organisation, "authorizedScope": [], "OAuthClient": client,
    }))
}

fn log_out(call: &Call<'_>) -> Answer {
    let ended = call.simulator.people().log_out(call.token);
    for token in ended.into_iter().chain([call.token]) {
        call.simulator.logins().revoke(token);
    }
    Answer::Empty
}

fn limits(call: &Call<'_>) -> Result<Answer, PlatformError> {
    if !call.uri.path().ends_with("/platform.api") {
        return Err(PlatformError::not_found());
    }
    let rate = rate_limit_entity(call.simulator.rate_limit().per_minute);
    let bytes = json!({ "key": "request.bytes.max", "namespace": "platform.api", "value": MAX_BODY_BYTES });
    Ok(Answer::Json(json!({ "entities": [rate, bytes] })))
}

fn rate_limits(call: &Call<'_>) -> Result<Answer, PlatformError> {
    let limit = call.simulator.rate_limit();
    let answer = rate_limits::answer(&call.body, &rate_limit_entity(limit.per_minute), &limit.recorded())?;
    Ok(Answer::Json(answer))
}

const ORGANISATION_ID: &str = "5a0c1d9e-6f3b-4c55-9a4e-0c6a1f2b7d10";

/// What an admitted request is answered with.
enum Answer {
    Json(Value),
    /// 202: it is not done yet.
    Accepted(Value),
    Empty,
    NoContent,
}

impl Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(body) => Json(body).into_response(),
            Self::Accepted(body) => (StatusCode::ACCEPTED, Json(body)).into_response(),
            Self::NoContent => StatusCode::NO_CONTENT.into_response(),
            Self::Empty => Response::default(),
        }
    }
}

/// The vendor's catalogue knows no such method and path.
async fn nothing_here(Extension(exchange): Extension<Exchange>) -> Response {
    PlatformError::not_found().into_response(&exchange.correlation_id)
}

async fn take_time(State(simulator): State<Simulator>, request: Request, next: Next) -> Response {
    let latency = simulator.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    next.run(request).await
}

/// What the layers and handlers of one request share.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// `ININ-Correlation-Id`, and `contextId` of an error body.
    pub(super) correlation_id: String,
    /// The whole request body; `None` when it is larger than anything that is read here.
    pub(super) body: Option<Bytes>,
    number: u64,
    journal: Journal,
}

impl Exchange {
    /// Writes in the journal that this fault was played.
    pub(super) fn note_fault(&self, name: &str) {
        self.journal
            .note(self.number, |entry| entry.fault = Some(name.to_owned()));
    }
}

/// Writes the request and its outcome in the journal, and puts on the answer what every answer carries.
async fn record(State(simulator): State<Simulator>, request: Request, next: Next) -> Response {
    let correlation_id = simulator.next_id();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BUFFERED_BYTES).await.ok();
    let ticket = simulator
        .journal()
        .arrived(|number| entry(number, &simulator, &parts, body.as_deref(), &correlation_id));
    let exchange = Exchange {
        correlation_id: correlation_id.clone(),
        body,
        number: ticket.number,
        journal: simulator.journal(),
    };
    let mut request = Request::from_parts(parts, Body::empty());
    request.extensions_mut().insert(exchange);
    let mut response = next.run(request).await;
    let given_token = response.extensions().get::<TokenNumber>().map(|token| token.0);
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    simulator.journal().note(ticket.number, |entry| {
        entry.status = Some(response.status().as_u16());
        entry.answered_at = Some(simulator.now());
        entry.retry_after = retry_after;
        entry.token = given_token.or(entry.token);
    });
    add_headers(response.headers_mut(), &correlation_id, simulator.now());
    response.map(|body| Body::new(Recorded { body, _ticket: ticket }))
}

/// Where reading a body stops. Far above what is allowed, so that a caller hears of that instead of a lost connection.
const MAX_BUFFERED_BYTES: usize = 16 * 1024 * 1024;

fn entry(
    number: u64,
    simulator: &Simulator,
    parts: &request::Parts,
    body: Option<&[u8]>,
    correlation_id: &str,
) -> Entry {
    Entry {
        number,
        at: simulator.now(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        body: readable_body(&parts.headers, body.unwrap_or_default()),
        context: context(&parts.headers),
        token: simulator.logins().recognise(&parts.headers).map(|token| token.0),
        correlation_id: correlation_id.to_owned(),
        status: None,
        answered_at: None,
        retry_after: None,
        fault: None,
        duration: None,
    }
}

fn context(headers: &HeaderMap) -> BTreeMap<String, String> {
    let fields = ["traceparent", "tracestate", "baggage"].into_iter();
    fields
        .filter_map(|name| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect()
}

fn readable_body(headers: &HeaderMap, body: &[u8]) -> Value {
    if is_json(headers) {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    if !has_media_type(headers, "application/x-www-form-urlencoded") {
        return Value::Null;
    }
    let fields = form_urlencoded::parse(body).into_owned();
    let harmless = fields.filter(|(name, _)| !SECRET_FIELDS.contains(&name.as_str()));
    harmless
        .map(|(name, value)| (name, Value::String(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

const SECRET_FIELDS: &[&str] = &[
    "client_secret",
    "password",
    "assertion",
    "refresh_token",
    "code",
    "code_verifier",
];

fn is_json(headers: &HeaderMap) -> bool {
    has_media_type(headers, "application/json")
}

fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(wanted)
}

fn add_headers(headers: &mut HeaderMap, correlation_id: &str, now: Timestamp) {
    let always = [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "0"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=600; includeSubDomains"),
    ];
    headers.extend(always.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if let Ok(id) = HeaderValue::try_from(correlation_id) {
        headers.insert("inin-correlation-id", id);
    }
    // The simulated date, so that a date in Retry-After can be measured against it.
    let date = SystemTime::try_from(now).map(httpdate::fmt_http_date);
    if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
        headers.insert(header::DATE, date);
    }
}

/// A body whose request is under way for as long as it is held.
struct Recorded {
    body: Body,
    _ticket: Ticket,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_part_of_the_vendors_catalogue() {
        let unpublished: Vec<_> = ENDPOINTS
            .iter()
            .filter(|endpoint| published::endpoint(endpoint.method, endpoint.path).is_none())
            .map(|endpoint| (endpoint.method, endpoint.path))
            .collect();
        // Known from the SDKs; the catalogue lists reading methods of look-ups only.
        assert_eq!(
            unpublished,
            [("HEAD", "/api/v2/tokens/me"), ("DELETE", "/api/v2/tokens/me")]
        );
    }

    #[test]
    fn a_journalled_login_holds_no_secret() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let body = b"grant_type=client_credentials&client_secret=hush";
        assert_eq!(
            readable_body(&headers, body),
            json!({ "grant_type": "client_credentials" })
        );
    }
}
