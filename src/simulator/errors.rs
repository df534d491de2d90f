//! The platform's error body (`ErrorBody`) and the sentences it uses, for everything the HTTP side refuses
//! itself. What the organisation refuses arrives as a [`Refusal`] and is dressed here the same way.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{published::Permissions, refusal::Refusal};

/// An error as the platform answers it, still without the correlation id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlatformError {
    status: u16,
    retry_after_s: Option<u64>,
    body: Value,
}

impl PlatformError {
    /// The response: the error body with this correlation id as its `contextId`.
    pub(super) fn into_response(mut self, correlation_id: &str) -> Response {
        self.body["contextId"] = correlation_id.into();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The platform's usual error for a status, in its own words where they are known.
    pub(super) fn of_status(status: u16) -> Self {
        let (code, message) = match status {
            400 => ("bad.request", MALFORMED),
            401 => ("bad.credentials", "Invalid login credentials."),
            403 => (
                "not.authorized",
                "You are not authorized to perform the requested action.",
            ),
            404 => ("not.found", "The requested resource was not found."),
            408 => ("client.timeout", "The client did not send the request in time."),
            409 => ("general.conflict", "The request conflicts with the current state."),
            415 => (
                "unsupported.media.type",
                "Unsupported Media Type - Unsupported or incorrect media type, such as an incorrect Content-Type value \
                 in the header.",
            ),
            429 => return Self::too_many_requests(60, None),
            503 => (
                "service.unavailable",
                "Service Unavailable - The server is currently unavailable (because it is overloaded or down for \
                 maintenance).",
            ),
            504 => ("request.timeout", "The request timed out."),
            _ => (
                "internal.server.error",
                "The server encountered an unexpected condition which prevented it from fulfilling the request.",
            ),
        };
        Self::new(status, code, message)
    }

    /// 401: no bearer token.
    pub(super) fn authentication_required() -> Self {
        Self::new(
            401,
            "authentication.required",
            "No authentication bearer token specified in authorization header.",
        )
    }

    /// 401: a bearer token that is wrong, expired or revoked.
    pub(super) fn bad_credentials() -> Self {
        Self::of_status(401)
    }

    /// 403, naming what would be needed: any one of several permissions, or all of them.
    pub(super) fn missing_permissions(needed: &Permissions) -> Self {
        let list = needed.list.join(", ");
        if needed.all_needed() {
            let message = format!(
                "Unable to perform the requested action. You are missing the following permission(s): [{list}]"
            );
            return Self::new(403, "missing.permissions", message);
        }
        let message = format!(
            "Unable to perform the requested action. You must have at least one of the following permissions \
             assigned: [{list}]"
        );
        Self::new(403, "missing.any.permissions", message)
    }

    /// 404: no such path, or nothing behind it.
    pub(super) fn not_found() -> Self {
        Self::of_status(404)
    }

    /// 413: the body has more than `limit` bytes.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("The request is over the size limit. Maximum bytes: {limit}");
        Self::new(413, "request.entity.too.large", message)
    }

    /// 415: the body is not said to be JSON.
    pub(super) fn unsupported_media_type() -> Self {
        Self::of_status(415)
    }

    /// 429 with the seconds to wait in the header and in the message; `per_minute` names the limit that was hit.
    pub(super) fn too_many_requests(seconds: u64, per_minute: Option<u32>) -> Self {
        let message = format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        let mut error = Self::new(429, "too.many.requests.retry.after", message);
        error.retry_after_s = Some(seconds);
        if let Some(per_minute) = per_minute {
            error.body["limit"] = rate_limit_entity(per_minute);
        }
        error
    }

    /// Names the field of the request body the refusal is about.
    pub(super) fn about(mut self, field: &str) -> Self {
        self.body["details"] = json!([{ "errorCode": self.body["code"], "fieldName": field }]);
        self
    }

    /// The same error under another code.
    pub(super) fn with_code(mut self, code: String) -> Self {
        self.body["code"] = code.into();
        self
    }

    fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            retry_after_s: None,
            body: json!({ "message": message, "code": code, "status": status, "details": [], "errors": [] }),
        }
    }
}

impl From<Refusal> for PlatformError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status, refusal.code, refusal.message)
    }
}

/// What a client-credentials token is limited to, as the limits endpoint and the 429 name it.
pub(super) fn rate_limit_entity(per_minute: u32) -> Value {
    json!({ "key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": per_minute })
}

/// The sentence of `bad.request`.
pub(super) const MALFORMED: &str = "The request could not be understood by the server due to malformed syntax.";
