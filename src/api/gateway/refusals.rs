//! Failures in the shapes that programs on the upstream's own paths expect: its error body, and OAuth's.
//!
//! What the upstream refused is passed on in its own words and with its own status, our request id beside its ids. What
//! this service refuses is said with the codes the upstream has for such a thing.

use axum::{
    extract::Request,
    http::{StatusCode, header},
};
use serde_json::{Map, Value, json};

use super::{PREFIX, TOKEN};
use crate::{
    api::problem::{Problem, ProblemKind},
    upstream::error::whole_seconds,
};

/// How the failures of a path are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Dialect {
    /// As problem documents.
    Ours,
    /// As the upstream's error bodies.
    Upstreams {
        /// Whether the request came with a credential.
        is_known: bool,
    },
    /// As OAuth's (RFC 6749, 5.2).
    OAuth,
}

impl Dialect {
    /// That of the request's path.
    pub(in crate::api) fn of(request: &Request) -> Self {
        match request.uri().path() {
            TOKEN => Self::OAuth,
            path if path.starts_with(PREFIX) => Self::Upstreams {
                is_known: request.headers().contains_key(header::AUTHORIZATION),
            },
            _ => Self::Ours,
        }
    }

    /// The status and the body; `None` for a problem document.
    pub(in crate::api) fn document(self, problem: &Problem, request_id: &str) -> Option<(StatusCode, Value)> {
        match self {
            Self::Ours => None,
            Self::Upstreams { is_known } => Some(upstreams(problem, is_known, request_id)),
            Self::OAuth => Some(oauth(problem, request_id)),
        }
    }
}

fn upstreams(problem: &Problem, is_known: bool, request_id: &str) -> (StatusCode, Value) {
    if let Some((status, mut document)) = in_its_words(problem) {
        document.insert("requestId".to_owned(), request_id.into());
        return (status, document.into());
    }
    let status = problem.kind().status();
    let (code, message) = match problem.kind() {
        ProblemKind::Malformed | ProblemKind::Invalid | ProblemKind::UnsupportedGrant | ProblemKind::NotAcceptable => {
            ("bad.request", problem.sentence().to_owned())
        }
        ProblemKind::Unauthenticated if is_known => ("bad.credentials", "Invalid login credentials.".to_owned()),
        ProblemKind::Unauthenticated => (
            "authentication.required",
            "No authentication bearer token specified in authorization header.".to_owned(),
        ),
        ProblemKind::Forbidden => ("not.authorized", problem.sentence().to_owned()),
        ProblemKind::NotFound | ProblemKind::Gone => ("not.found", "The requested resource was not found.".to_owned()),
        ProblemKind::MethodNotAllowed => ("method.not.allowed", problem.sentence().to_owned()),
        ProblemKind::BodyTooLarge
        | ProblemKind::UriTooLong
        | ProblemKind::HeadersTooLarge
        | ProblemKind::AnswerTooLarge => ("request.entity.too.large", problem.sentence().to_owned()),
        ProblemKind::UnsupportedMediaType => ("unsupported.media.type", problem.sentence().to_owned()),
        ProblemKind::TooManyRequests => {
            let seconds = problem.wait().map_or(1, whole_seconds);
            let sentence = format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
            ("too.many.requests.retry.after", sentence)
        }
        ProblemKind::Overloaded
        | ProblemKind::NotReady
        | ProblemKind::UpstreamBudget
        | ProblemKind::UpstreamCircuitOpen
        | ProblemKind::UpstreamCredentials
        | ProblemKind::UpstreamPermission
        | ProblemKind::UpstreamRejected
        | ProblemKind::UpstreamUnavailable => ("service.unavailable", problem.sentence().to_owned()),
        ProblemKind::BodyTooSlow | ProblemKind::Deadline | ProblemKind::UpstreamTimeout => {
            ("request.timeout", problem.sentence().to_owned())
        }
        ProblemKind::Internal => ("internal.server.error", problem.sentence().to_owned()),
    };
    let correlation_id = problem.told().and_then(|told| told.correlation_id.as_deref());
    let document = json!({
        "message": message, "code": code, "status": status.as_u16(),
        "contextId": correlation_id.unwrap_or(request_id), "details": [], "errors": [], "requestId": request_id,
    });
    (status, document)
}

/// What the upstream refused, as it did. That it refuses this service's credentials is not the caller's to mend, and
/// would look as if it refused the caller's.
fn in_its_words(problem: &Problem) -> Option<(StatusCode, Map<String, Value>)> {
    match problem.kind() {
        ProblemKind::UpstreamPermission | ProblemKind::UpstreamRejected => {}
        _ => return None,
    }
    let told = problem.told()?;
    let status = StatusCode::from_u16(told.status?).ok()?;
    Some((status, serde_json::from_str(told.document.as_deref()?).ok()?))
}

fn oauth(problem: &Problem, request_id: &str) -> (StatusCode, Value) {
    let error = match problem.kind() {
        ProblemKind::Unauthenticated => "invalid_client",
        ProblemKind::UnsupportedGrant => "unsupported_grant_type",
        kind if kind.status().is_server_error() => "server_error",
        _ => "invalid_request",
    };
    // The vendor's has the description twice.
    let document = json!({
        "error": error, "description": problem.sentence(), "error_description": problem.sentence(),
        "requestId": request_id,
    });
    (problem.kind().status(), document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Told, UpstreamError};

    fn rejected(status: u16, document: Option<&str>) -> Problem {
        let told = Told {
            status: Some(status),
            code: Some("invalid.value".to_owned()),
            correlation_id: Some("c-1".to_owned()),
            document: document.map(Into::into),
        };
        let reason = "no".to_owned();
        UpstreamError::Rejected {
            reason,
            too_wide: false,
            told,
        }
        .into()
    }

    #[test]
    fn what_the_upstream_refused_is_said_in_its_words_and_ours_in_its_shape() {
        let theirs = r#"{"message":"Value [x]","code":"invalid.value","status":400,"contextId":"c-1"}"#;
        for (problem, is_known, status, code, context_id) in [
            (rejected(400, Some(theirs)), true, 400, "invalid.value", "c-1"),
            // A page of the edge, not the platform.
            (rejected(404, None), true, 502, "service.unavailable", "c-1"),
            (
                UpstreamError::Credentials(Told {
                    status: Some(401),
                    document: Some(theirs.into()),
                    ..Told::default()
                })
                .into(),
                true,
                502,
                "service.unavailable",
                "r-1",
            ),
            (
                Problem::new(ProblemKind::Unauthenticated),
                false,
                401,
                "authentication.required",
                "r-1",
            ),
            (
                Problem::new(ProblemKind::Unauthenticated),
                true,
                401,
                "bad.credentials",
                "r-1",
            ),
            (Problem::new(ProblemKind::NotFound), true, 404, "not.found", "r-1"),
            (
                Problem::new(ProblemKind::TooManyRequests),
                true,
                429,
                "too.many.requests.retry.after",
                "r-1",
            ),
        ] {
            let (found, document) = Dialect::Upstreams { is_known }.document(&problem, "r-1").unwrap();
            assert_eq!(found.as_u16(), status, "{document}");
            assert_eq!(document["status"], status, "{document}");
            assert_eq!(document["code"], code, "{document}");
            assert_eq!(document["contextId"], context_id, "{document}");
            assert_eq!(document["requestId"], "r-1", "{document}");
        }
    }
}
