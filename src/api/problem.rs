//! Failures as callers see them: `application/problem+json` (RFC 9457) for every one.
//!
//! Handlers and layers return a [`Problem`]; [`render`] is the one place that writes it, because only there is
//! the request's id at hand. The same layer turns bare error answers of the framework (404, 405, a rejected
//! extractor) into problems, so that none leaves in another shape. Nothing the upstream wrote is repeated
//! here: [`Told`] carries all that may be. On the upstream's own paths failures are in its own shape instead, and so are
//! those of the token endpoint in OAuth's: `gateway::refusals`.

use std::{borrow::Cow, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{gateway::refusals::Dialect, observe::RequestId};
use crate::{
    query::{Complaint, NotPermitted},
    report::ReportError,
    upstream::{Told, UpstreamError, error::whole_seconds},
};

/// The media type of every failure.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, by what the caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The body is not JSON, or nested too deeply.
    Malformed,
    /// Well-formed, but not a request that makes sense.
    Invalid,
    /// A grant other than `client_credentials` is asked for.
    UnsupportedGrant,
    /// No credential, or a bad one.
    Unauthenticated,
    /// A good credential that may not do this.
    Forbidden,
    /// No such route.
    NotFound,
    /// There was something here, and it is not kept any more.
    Gone,
    /// The route does not know this method.
    MethodNotAllowed,
    /// No format the caller accepts.
    NotAcceptable,
    /// The body did not come in time.
    BodyTooSlow,
    /// The body is too large.
    BodyTooLarge,
    /// The URI is too long.
    UriTooLong,
    /// The body is of a media type that is not read here.
    UnsupportedMediaType,
    /// Too many header fields, or too large ones.
    HeadersTooLarge,
    /// This caller asks too often.
    TooManyRequests,
    /// The service has no place left, or is stopping.
    Overloaded,
    /// The service cannot serve now.
    NotReady,
    /// The answer was not ready in time.
    Deadline,
    /// The answer is larger than may be paged, or than its format takes.
    AnswerTooLarge,
    /// A defect of this service.
    Internal,
    /// The upstream refuses this service's credentials.
    UpstreamCredentials,
    /// The upstream lacks a grant for this service.
    UpstreamPermission,
    /// The upstream rejects the query.
    UpstreamRejected,
    /// The upstream is unreachable, fails or answers nonsense.
    UpstreamUnavailable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream request budget is spent.
    UpstreamBudget,
    /// The upstream has been failing and is left alone for now.
    UpstreamCircuitOpen,
}

impl ProblemKind {
    /// Status, the last part of `type`, and the title.
    const fn describe(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "The request cannot be read"),
            Self::Invalid => (422, "invalid", "The request does not make sense"),
            Self::UnsupportedGrant => (400, "unsupported-grant", "That grant is not given here"),
            Self::Unauthenticated => (401, "unauthenticated", "A credential is needed"),
            Self::Forbidden => (403, "forbidden", "This credential may not do that"),
            Self::NotFound => (404, "not-found", "There is nothing here"),
            Self::Gone => (410, "gone", "What was here is not kept any more"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "This route does not know that method"),
            Self::NotAcceptable => (406, "not-acceptable", "No acceptable format exists"),
            Self::BodyTooSlow => (408, "body-too-slow", "The request body did not come in time"),
            Self::BodyTooLarge => (413, "body-too-large", "The request body is too large"),
            Self::UriTooLong => (414, "uri-too-long", "The URI is too long"),
            Self::UnsupportedMediaType => (
                415,
                "unsupported-media-type",
                "The request body is of a type not read here",
            ),
            Self::HeadersTooLarge => (431, "headers-too-large", "The request's header fields are too large"),
            Self::TooManyRequests => (429, "quota-exceeded", "This caller asks too often"),
            Self::Overloaded => (503, "overloaded", "The service has no capacity left"),
            Self::NotReady => (503, "not-ready", "The service cannot serve now"),
            Self::Deadline => (504, "deadline", "The answer was not ready in time"),
            Self::AnswerTooLarge => (422, "answer-too-large", "The answer is too large"),
            Self::Internal => (500, "internal", "The service made a mistake"),
            Self::UpstreamCredentials => (
                502,
                "upstream-credentials",
                "Genesys Cloud refuses this service's credentials",
            ),
            Self::UpstreamPermission => (
                502,
                "upstream-permission",
                "This service lacks a permission in Genesys Cloud",
            ),
            Self::UpstreamRejected => (502, "upstream-rejected", "Genesys Cloud rejects the query"),
            Self::UpstreamUnavailable => (502, "upstream-unavailable", "Genesys Cloud is unavailable"),
            Self::UpstreamTimeout => (504, "upstream-timeout", "Genesys Cloud did not answer in time"),
            Self::UpstreamBudget => (503, "upstream-budget", "The upstream request budget is spent"),
            Self::UpstreamCircuitOpen => (
                503,
                "upstream-circuit-open",
                "Genesys Cloud is being left alone for a while",
            ),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.describe().0).expect("the table holds valid statuses")
    }

    /// For error answers of the framework, which carry nothing but a status.
    fn of_bare_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid,
            status if status.is_client_error() => Self::Malformed,
            _ => Self::Internal,
        }
    }
}

/// A failure on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    kind: ProblemKind,
    detail: Option<Cow<'static, str>>,
    complaints: Vec<Complaint>,
    reasons: Vec<String>,
    upstream: Option<Told>,
    retry_after: Option<Duration>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

/// A failure (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Which kind of problem; the same for every occurrence.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "urn:genesys-reports:problem:invalid")]
    pub kind: String,
    /// What the kind means.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<Cow<'static, str>>,
    /// The request, as the service's log knows it; also in `X-Request-Id`.
    pub request_id: String,
    /// Everything wrong with the request, all at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// Why the service cannot serve, when it is asked whether it is ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub reasons: Vec<String>,
    /// What Genesys Cloud said, if it was the one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub upstream: Option<UpstreamProblem>,
}

/// What is wrong with one place of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body; a query-string parameter is pointed to as if it stood in a body.
    #[schema(example = "/select/2")]
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
    /// The nearest thing that would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub suggestion: Option<String>,
}

/// What Genesys Cloud said about a failure.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamProblem {
    /// Its HTTP status, if it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<u16>,
    /// Its error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "missing.any.permissions")]
    pub code: Option<String>,
    /// What its support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correlation_id: Option<String>,
}

impl Problem {
    /// A problem of that kind, with nothing more to say.
    pub fn new(kind: ProblemKind) -> Self {
        Self(Box::new(Details {
            kind,
            detail: None,
            complaints: Vec::new(),
            reasons: Vec::new(),
            upstream: None,
            retry_after: None,
            header: None,
        }))
    }

    /// Everything that is wrong with a request.
    pub fn invalid(complaints: Vec<Complaint>) -> Self {
        let mut problem = Self::new(ProblemKind::Invalid);
        problem.0.complaints = complaints;
        problem
    }

    /// Adds what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds why the service cannot serve.
    #[must_use]
    pub fn reasons(mut self, reasons: Vec<String>) -> Self {
        self.0.reasons = reasons;
        self
    }

    /// Adds when to come back, in whole seconds, rounded up and never 0.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the header field its status calls for (`WWW-Authenticate`, `Accept`).
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    fn upstream(kind: ProblemKind, told: &Told) -> Self {
        let mut problem = Self::new(kind);
        // Nothing told: it was our own count, not the upstream, that refused.
        problem.0.upstream = Some(told.clone()).filter(|told| *told != Told::default());
        problem
    }

    /// What went wrong, for people at a terminal: every complaint on a line of its own.
    pub fn lines(&self) -> String {
        let (_, _, title) = self.0.kind.describe();
        if self.0.complaints.is_empty() {
            return self.0.detail.as_deref().unwrap_or(title).to_owned();
        }
        let line = |complaint: &Complaint| {
            let advice = complaint.suggestion.as_ref();
            let advice = advice.map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
            format!(
                "{}: {}{advice}",
                complaint.pointer.trim_start_matches('/'),
                complaint.detail
            )
        };
        self.0.complaints.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What kind it is.
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// What happened this time, or what the kind means.
    pub(super) fn sentence(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.0.kind.describe().2)
    }

    /// What the upstream said, if it was the one that failed.
    pub(super) fn told(&self) -> Option<&Told> {
        self.0.upstream.as_ref()
    }

    /// When to come back.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What is written of it.
    pub(super) fn document(&self, request_id: &str) -> ProblemDocument {
        let (status, slug, title) = self.0.kind.describe();
        let field_problem = |complaint: &Complaint| FieldProblem {
            pointer: complaint.pointer.clone(),
            detail: complaint.detail.clone(),
            suggestion: complaint.suggestion.clone(),
        };
        ProblemDocument {
            kind: format!("urn:genesys-reports:problem:{slug}"),
            title,
            status,
            detail: self.0.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self.0.complaints.iter().map(field_problem).collect(),
            reasons: self.0.reasons.clone(),
            upstream: self.0.upstream.as_ref().map(|told| UpstreamProblem {
                status: told.status,
                code: told.code.clone(),
                correlation_id: told.correlation_id.clone(),
            }),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Upstream(error) => Self::from(error),
            ReportError::Deadline => Self::new(ProblemKind::Deadline)
                .detail("the query goes on and its answer will be held for a while: ask again"),
            ReportError::TooLarge { limit_bytes } => Self::new(ProblemKind::AnswerTooLarge).detail(format!(
                "more than {limit_bytes} bytes of conversations match: narrow the range or the filter, or stream them \
                 with `format=ndjson`, `csv`, `arrow` or `parquet`"
            )),
            ReportError::TooManyRows { rows, limit } => Self::new(ProblemKind::AnswerTooLarge).detail(format!(
                "{rows} rows answer this, and {limit} is the most: ask for a shorter range, a longer interval or fewer \
                 groups, or leave out fill=zero"
            )),
            ReportError::TooManyCalls { calls, limit } => Self::new(ProblemKind::AnswerTooLarge).detail(format!(
                "this would take about {calls} requests to Genesys Cloud, and {limit} is the most for one answer: ask \
                 for a shorter range, a longer interval or fewer groups"
            )),
            ReportError::TooManyUsers { users, limit } => Self::new(ProblemKind::AnswerTooLarge).detail(format!(
                "there are about {users} users, and {limit} is the most that are asked about together: name some with \
                 `filter=agent.id:…` or `filter=agent.name:…`"
            )),
            ReportError::Internal => Self::new(ProblemKind::Internal),
        }
    }
}

impl From<NotPermitted> for Problem {
    fn from(NotPermitted(why): NotPermitted) -> Self {
        Self::new(ProblemKind::Forbidden).detail(why)
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        let detail = error.to_string();
        match error {
            UpstreamError::Credentials(told) => Self::upstream(ProblemKind::UpstreamCredentials, &told),
            UpstreamError::Permission { told, .. } => Self::upstream(ProblemKind::UpstreamPermission, &told),
            UpstreamError::Rejected { told, .. } => Self::upstream(ProblemKind::UpstreamRejected, &told),
            UpstreamError::Budget { retry_after, told } => {
                Self::upstream(ProblemKind::UpstreamBudget, &told).retry_after(retry_after)
            }
            UpstreamError::CircuitOpen { retry_after } => {
                Self::new(ProblemKind::UpstreamCircuitOpen).retry_after(retry_after)
            }
            UpstreamError::Memory => Self::new(ProblemKind::Overloaded).retry_after(Duration::from_secs(1)),
            UpstreamError::Unavailable { told, .. } => Self::upstream(ProblemKind::UpstreamUnavailable, &told),
            UpstreamError::Timeout(told) => Self::upstream(ProblemKind::UpstreamTimeout, &told),
        }
        .detail(detail)
    }
}

impl IntoResponse for Problem {
    /// An answer without a body, for [`render`] to fill.
    fn into_response(self) -> Response {
        let mut response = self.0.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of every failure that passes.
pub async fn render(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let dialect = Dialect::of(&request);
    let mut response = next(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response
        .extensions_mut()
        .remove::<Problem>()
        .unwrap_or_else(|| Problem::new(ProblemKind::of_bare_status(status)));
    log(&problem);
    write(&problem, dialect, request_id.as_str(), response)
}

/// Keeps what the framework said in header fields (`Allow`) and replaces the rest.
fn write(problem: &Problem, dialect: Dialect, request_id: &str, bare: Response) -> Response {
    let foreign = dialect.document(problem, request_id);
    let body = match &foreign {
        Some((_, document)) => serde_json::to_vec(document),
        None => serde_json::to_vec(&problem.document(request_id)),
    };
    let mut response = Response::new(body.expect("strings and numbers always serialize").into());
    let (status, media_type) = match foreign {
        Some((status, _)) => (status, "application/json"),
        None => (problem.0.kind.status(), MEDIA_TYPE),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(bare.into_parts().0.headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = problem.0.retry_after {
        headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
    }
    if let Some((name, value)) = &problem.0.header {
        headers.insert(name.clone(), value.clone());
    }
    response
}

/// Says once what somebody may have to act on; a caller's own mistakes are in the access log's status.
fn log(problem: &Problem) {
    let Details {
        kind, detail, upstream, ..
    } = &*problem.0;
    let (_, slug, title) = kind.describe();
    // Probes ask every few seconds; why the service is not ready was logged when it came about. Refusals are to cost
    // as little as can be, and are counted.
    if !kind.status().is_server_error() || matches!(kind, ProblemKind::NotReady | ProblemKind::Overloaded) {
        return;
    }
    let told = upstream.clone().unwrap_or_default();
    let detail = detail.as_deref().unwrap_or_default();
    match kind {
        ProblemKind::Internal | ProblemKind::UpstreamCredentials | ProblemKind::UpstreamPermission => tracing::error!(
            problem = slug,
            detail,
            upstream_status = told.status,
            upstream_code = told.code,
            correlation_id = told.correlation_id,
            "{title}"
        ),
        _ => tracing::warn!(
            problem = slug,
            detail,
            upstream_status = told.status,
            upstream_code = told.code,
            correlation_id = told.correlation_id,
            "{title}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            status: Some(403),
            code: Some("missing.any.permissions".to_owned()),
            correlation_id: Some("c-1".to_owned()),
            document: None,
        }
    }

    /// Failure, status, kind, seconds to wait: the contract's table.
    #[test]
    fn failures_become_the_statuses_of_the_contract() {
        let wait = Duration::from_millis(6100);
        for (error, status, slug, retry_after) in [
            (
                ReportError::from(UpstreamError::Credentials(told())),
                502,
                "upstream-credentials",
                None,
            ),
            (
                UpstreamError::Permission {
                    permissions: vec!["analytics:conversationDetail:view".to_owned()],
                    told: told(),
                }
                .into(),
                502,
                "upstream-permission",
                None,
            ),
            (
                UpstreamError::Rejected {
                    reason: "no".to_owned(),
                    too_wide: false,
                    told: told(),
                }
                .into(),
                502,
                "upstream-rejected",
                None,
            ),
            (
                UpstreamError::Budget {
                    retry_after: wait,
                    told: told(),
                }
                .into(),
                503,
                "upstream-budget",
                Some("7"),
            ),
            (
                UpstreamError::CircuitOpen {
                    retry_after: Duration::ZERO,
                }
                .into(),
                503,
                "upstream-circuit-open",
                Some("1"),
            ),
            (
                UpstreamError::Unavailable {
                    reason: "down".to_owned(),
                    told: told(),
                    source: None,
                }
                .into(),
                502,
                "upstream-unavailable",
                None,
            ),
            (UpstreamError::Memory.into(), 503, "overloaded", Some("1")),
            (UpstreamError::Timeout(told()).into(), 504, "upstream-timeout", None),
            (ReportError::Deadline, 504, "deadline", None),
            (ReportError::TooLarge { limit_bytes: 1 }, 422, "answer-too-large", None),
            (
                ReportError::TooManyRows { rows: 2, limit: 1 },
                422,
                "answer-too-large",
                None,
            ),
            (
                ReportError::TooManyCalls { calls: 13, limit: 12 },
                422,
                "answer-too-large",
                None,
            ),
            (
                ReportError::TooManyUsers {
                    users: 1_200,
                    limit: 1_000,
                },
                422,
                "answer-too-large",
                None,
            ),
            (ReportError::Internal, 500, "internal", None),
        ] {
            let problem = Problem::from(error);
            let document = problem.document("r-1");
            assert_eq!(document.status, status, "{problem:?}");
            assert_eq!(document.kind, format!("urn:genesys-reports:problem:{slug}"));
            let response = write(&problem, Dialect::Ours, "r-1", Response::default());
            assert_eq!(response.status().as_u16(), status);
            let header = response
                .headers()
                .get(header::RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!(header, retry_after, "{problem:?}");
        }
    }

    #[test]
    fn a_missing_permission_is_named_and_the_upstream_summarised() {
        let problem = Problem::from(UpstreamError::Permission {
            permissions: vec!["analytics:conversationDetail:view".to_owned()],
            told: told(),
        });
        let document = serde_json::to_value(problem.document("r-1")).unwrap();
        assert_eq!(
            document["upstream"],
            serde_json::json!({"status": 403, "code": "missing.any.permissions", "correlationId": "c-1"})
        );
        assert_eq!(document["requestId"], "r-1");
        assert!(
            document["detail"]
                .as_str()
                .unwrap()
                .contains("analytics:conversationDetail:view")
        );
    }

    #[test]
    fn what_the_framework_said_in_headers_is_kept() {
        let mut bare = StatusCode::METHOD_NOT_ALLOWED.into_response();
        bare.headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        bare.headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let problem = Problem::new(ProblemKind::of_bare_status(bare.status()));
        let response = write(&problem, Dialect::Ours, "r-1", bare);
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
    }
}
