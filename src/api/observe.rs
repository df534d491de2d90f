//! What is seen of a request from outside: its id, its log line, its figures, its span in a trace.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, Version, header, uri::Authority},
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tracing::{Instrument as _, Level, Value, field::display};

use super::sse;
use crate::{
    telemetry,
    traces::{self, Tracer},
};

/// Carries a request's id both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken over from a caller.
const REQUEST_ID_LENGTH: usize = 64;

/// A request's id: the caller's own when it is plain, else one made here.
#[derive(Clone, Debug, Default)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_plain(id) => Self(id.into()),
            _ => Self(uuid::Uuid::new_v4().to_string().into()),
        }
    }

    /// Sends it back.
    pub(super) fn tell(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(self.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=REQUEST_ID_LENGTH).contains(&id.len()) && id.bytes().all(plain)
}

/// Gives every request an id and sends it back.
pub async fn identify(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let id = RequestId::of(&request);
    request.extensions_mut().insert(id.clone());
    let mut response = next(request).await;
    id.tell(&mut response);
    response
}

/// How requests are traced.
#[derive(Clone)]
pub struct Tracing {
    /// Makes a span of each.
    pub tracer: Tracer,
    /// How callers reach the service: `http` or `https`.
    pub scheme: &'static str,
}

/// Puts everything logged underneath into the request's span, and everything done for it into its caller's trace.
pub async fn trace(how: &Tracing, mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let (method, route) = (method(&request), route(&request));
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        method,
        route = route.as_ref(),
        trace_id = tracing::field::Empty,
        span_id = tracing::field::Empty
    );
    if let Some(traced) = how.served(&request, method, &route) {
        span.record("trace_id", display(traced.parent().trace()));
        if let Some(id) = traced.id() {
            span.record("span_id", display(id));
        }
        request.extensions_mut().insert(traced.parent().clone());
        request
            .extensions_mut()
            .insert(Traced(Arc::new(Mutex::new(Some(traced)))));
    }
    next(request).instrument(span).await
}

/// The request's span in a trace, on its way to whoever sees the request's end.
#[derive(Clone)]
struct Traced(Arc<Mutex<Option<traces::Span>>>);

impl Traced {
    fn take(request: &mut Request) -> Option<traces::Span> {
        let Self(span) = request.extensions_mut().remove::<Self>()?;
        span.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Tracing {
    /// What is said of a request: never what its path and its parameters contain.
    pub(super) fn served(&self, request: &Request, method: &'static str, route: &str) -> Option<traces::Span> {
        // Machines that look every few seconds would be most of what is recorded.
        if is_routine(route) {
            return None;
        }
        let mut span = self.tracer.serve(request.headers())?;
        if !span.is_recorded() {
            return Some(span);
        }
        let called = if method == OTHER_METHOD { "HTTP" } else { method };
        if route == UNMATCHED {
            span.name(called);
        } else {
            span.name(format!("{called} {route}"));
            span.set("http.route", route.to_owned());
            span.set("url.path", route.to_owned());
        }
        span.set("http.request.method", method);
        span.set("url.scheme", self.scheme);
        if let Some(version) = protocol_version(request.version()) {
            span.set("network.protocol.version", version);
        }
        let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
        let host = host.and_then(|host| Authority::try_from(host).ok());
        if let Some(host) = host.as_ref().or(request.uri().authority()) {
            span.set("server.address", telemetry::capped(host.host()));
            if let Some(port) = host.port_u16() {
                span.set("server.port", i64::from(port));
            }
        }
        Some(span)
    }
}

fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// Counts and times a request, and writes its line in the access log.
pub async fn measure(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let traced = Traced::take(&mut request);
    let mut observed = Observed::begin(id, method(&request), route(&request), traced, Instant::now());
    let response = next(request).await;
    observed.answered(response.status());
    // Those who watch leave when they like; nothing is lost with them.
    let is_watched = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == sse::MEDIA_TYPE);
    if response.body().size_hint().exact().is_some() || is_watched {
        return response;
    }
    // A stream is worked on until its last byte.
    observed.answered = false;
    response.map(|body| Body::new(Streamed { body, observed }))
}

/// A request being worked on. Dropped before its answer, it says so: the caller left, or a shutdown cut it off.
pub(super) struct Observed {
    in_flight: metrics::Gauge,
    id: RequestId,
    method: &'static str,
    route: Arc<str>,
    since: Instant,
    /// Its span in a trace, which ends with this.
    traced: Option<traces::Span>,
    answered: bool,
}

/// An answer that is made while it is sent.
struct Streamed {
    body: Body,
    observed: Observed,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // Whoever makes the stream says why it broke off.
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.observed.answered = true;
        }
        if let (Poll::Ready(Some(Err(_))), Some(traced)) = (&frame, &mut self.observed.traced) {
            traced.failed("broken_off");
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.observed.answered |= self.body.is_end_stream();
    }
}

impl Observed {
    pub(super) fn begin(
        id: RequestId,
        method: &'static str,
        route: Arc<str>,
        traced: Option<traces::Span>,
        since: Instant,
    ) -> Self {
        let in_flight = metrics::gauge!(telemetry::HTTP_REQUESTS_IN_FLIGHT);
        in_flight.increment(1);
        Self {
            in_flight,
            id,
            method,
            route,
            since,
            traced,
            answered: false,
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.answered = true;
        let status = status.as_u16();
        if let Some(traced) = &mut self.traced {
            traced.answered(status);
        }
        let seconds = self.since.elapsed().as_secs_f64();
        metrics::histogram!(
            telemetry::HTTP_REQUEST_DURATION,
            "method" => self.method,
            "route" => Arc::clone(&self.route),
            "status" => status.to_string()
        )
        .record(seconds);
        let milliseconds = seconds * 1000.0;
        // One object, whether or not a span was begun for it; a span's fields would be written a second time.
        macro_rules! say {
            ($level:expr) => {
                tracing::event!(
                    parent: None,
                    $level,
                    request_id = self.id.as_str(),
                    method = self.method,
                    route = self.route.as_ref(),
                    status,
                    duration_ms = milliseconds,
                    trace_id = self.trace_id(),
                    span_id = self.span_id(),
                    "request answered"
                )
            };
        }
        if is_routine(&self.route) {
            say!(Level::DEBUG);
        } else {
            say!(Level::INFO);
        }
    }

    fn trace_id(&self) -> Option<impl Value> {
        self.traced.as_ref().map(|traced| display(traced.parent().trace()))
    }

    fn span_id(&self) -> Option<impl Value> {
        self.traced.as_ref().and_then(traces::Span::id).map(display)
    }

    fn abandoned(&mut self) {
        self.answered = true;
        if let Some(traced) = &mut self.traced {
            traced.failed("abandoned");
        }
        metrics::counter!(telemetry::HTTP_REQUESTS_ABANDONED, "route" => Arc::clone(&self.route)).increment(1);
        tracing::warn!(
            parent: None,
            request_id = self.id.as_str(),
            method = self.method,
            route = self.route.as_ref(),
            trace_id = self.trace_id(),
            span_id = self.span_id(),
            "request ended before its answer: its caller left, or a shutdown cut it off"
        );
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
        if !self.answered {
            self.abandoned();
        }
    }
}

/// Asked every few seconds by machines.
fn is_routine(route: &str) -> bool {
    matches!(route, "/health/live" | "/health/ready" | "/metrics")
}

/// What stands for the routes there are not.
const UNMATCHED: &str = "unmatched";
/// What stands for methods that callers make up.
const OTHER_METHOD: &str = "_OTHER";

/// The route's template, never the path: labels must stay few whatever is asked for.
fn route(request: &Request) -> Arc<str> {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or(UNMATCHED, MatchedPath::as_str)
        .into()
}

fn method(request: &Request) -> &'static str {
    match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => OTHER_METHOD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        for (id, plain) in [
            ("abc-123_X.y", true),
            ("", false),
            ("two words", false),
            ("\"quoted\"", false),
            ("a\u{7f}", false),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_plain(id), plain, "{id:?}");
        }
    }
}
