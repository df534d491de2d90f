//! Server-sent events (WHATWG HTML, 9.2), as bytes that are written once and shared by everybody who listens.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use futures_util::{Stream, StreamExt as _};

use super::{format, problem::Problem};

/// How long a stream may be silent: a line that means nothing keeps what stands between from closing it.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a stream of events is called.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// A line that means nothing.
pub const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Where a listener says which event it has seen last.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How soon a listener whose connection ended comes back, in milliseconds: not all at the same moment.
const COME_BACK_MS: std::ops::Range<f64> = 1000.0..4000.0;

/// One event. What is written as its data has to be one line, as JSON without line breaks is.
pub fn event(name: &str, id: Option<&str>, write_data: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut event = Vec::new();
    if let Some(id) = id {
        event.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    event.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    write_data(&mut event);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// The last event of a stream: why it ends.
pub fn end(reason: &str) -> Bytes {
    event("end", None, |data| {
        data.extend_from_slice(format!("{{\"reason\":\"{reason}\"}}").as_bytes());
    })
}

/// What a stream begins with, so that its head is sent at once. `jitter` is evenly spread over `[0, 1)`.
pub fn beginning(jitter: f64) -> Bytes {
    let come_back = COME_BACK_MS.start + jitter * (COME_BACK_MS.end - COME_BACK_MS.start);
    format!("retry: {come_back:.0}\n\n").into()
}

/// Refuses a caller who takes no events.
pub fn require(headers: &HeaderMap) -> Result<(), Problem> {
    format::accepts(headers, "text", "event-stream")
}

/// A response of these events.
pub fn response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    response.headers_mut().extend([
        (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Asks nginx not to gather what should be read at once.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ]);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_as_browsers_read_them() {
        for (event, expected) in [
            (
                event("queues", Some("a-1"), |data| data.extend_from_slice(b"{}")),
                "id: a-1\nevent: queues\ndata: {}\n\n",
            ),
            (end("stopping"), "event: end\ndata: {\"reason\":\"stopping\"}\n\n"),
            (beginning(0.0), "retry: 1000\n\n"),
            (beginning(0.5), "retry: 2500\n\n"),
        ] {
            assert_eq!(event, expected.as_bytes());
        }
    }
}
