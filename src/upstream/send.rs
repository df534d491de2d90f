//! One attempt over HTTP: a request out, a whole reply or the reason there is none back.
//!
//! Everything that could hang or swell is bounded: connecting, silence between bytes, the whole attempt, and the
//! bytes of the reply, counted after decompression. Redirects are not followed (they could carry the token
//! elsewhere), proxies named by the environment are not used, and `http` is for loopback only. What a status
//! means is not decided here.

use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header::RETRY_AFTER};
use tokio::time::timeout;

use super::memory::Room;
use crate::traces::Span;

/// The most bytes of one answer. A page of a hundred conversations is about one or two million bytes.
pub(crate) const ANSWER_BYTES: usize = 64 << 20;
/// The most bytes read of an answer that is not a success.
const REFUSAL_BYTES: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest silence between two reads.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Below any server's keep-alive, so that it is we who close idle connections.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

static CORRELATION_ID: HeaderName = HeaderName::from_static("inin-correlation-id");

/// Sends a request and reads the whole reply within the attempt timeout, into the room that is there. Where it is traced,
/// the other side is told of its span, which ends with it.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    attempt_timeout: Duration,
    room: Room,
    span: Option<Span>,
) -> Result<Reply, Lost> {
    let request = match &span {
        Some(span) => request.headers(span.fields()),
        None => request,
    };
    let outcome = timeout(attempt_timeout, exchange(request, room))
        .await
        .unwrap_or_else(|_| Err(Lost::from(LostWhy::TooSlow)));
    if let Some(mut span) = span {
        match &outcome {
            Ok(reply) => span.answered(reply.status.as_u16()),
            Err(lost) => span.failed(lost.why.label()),
        }
    }
    outcome
}

/// A whole reply.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// The vendor's correlation id, if it may be repeated.
    pub(super) correlation_id: Option<String>,
    /// `Retry-After` as it came.
    pub(super) retry_after: Option<String>,
    /// Decompressed.
    pub(super) body: Bytes,
}

/// Why there is no whole reply.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) why: LostWhy,
    /// The vendor's correlation id, if the answer got that far.
    pub(super) correlation_id: Option<String>,
    /// For the log; carries no URL.
    pub(super) source: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostWhy {
    /// No connection.
    NotConnected,
    /// The connection closed before any byte of an answer, as an idle one does when the other side is quicker.
    ClosedUnanswered,
    /// The answer broke off, or was not HTTP.
    Cut,
    /// The attempt took too long.
    TooSlow,
    /// There is no room for the rest of the answer.
    NoRoom,
    /// The answer is larger than [`ANSWER_BYTES`].
    TooLarge,
}

impl LostWhy {
    /// What spans say of it.
    fn label(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::ClosedUnanswered => "closed",
            Self::Cut => "cut",
            Self::TooSlow => "timeout",
            Self::NoRoom => "no_room",
            Self::TooLarge => "too_large",
        }
    }
}

/// The server that is asked, as spans name it.
pub(super) struct Host {
    scheme: String,
    address: String,
    port: Option<u16>,
    path: String,
}

impl Host {
    /// The one of that URL.
    pub(super) fn of(url: &str) -> Self {
        let url = reqwest::Url::parse(url).ok();
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        Self {
            scheme: text(url.as_ref().map(reqwest::Url::scheme)),
            address: text(url.as_ref().and_then(reqwest::Url::host_str)),
            port: url.as_ref().and_then(reqwest::Url::port_or_known_default),
            path: text(url.as_ref().map(reqwest::Url::path)),
        }
    }

    /// The path of its URL.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Says what is asked of it: by the template of the path, never with ids or parameters.
    pub(super) fn describe(&self, span: &mut Span, method: &Method, template: &str, resent: u32) {
        if !span.is_recorded() {
            return;
        }
        span.name(format!("{method} {template}"));
        span.set("http.request.method", method.to_string());
        span.set("url.template", template.to_owned());
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        span.set(
            "url.full",
            format!("{}://{}{port}{template}", self.scheme, self.address),
        );
        span.set("server.address", self.address.clone());
        if let Some(port) = self.port {
            span.set("server.port", i64::from(port));
        }
        if resent > 0 {
            span.set("http.request.resend_count", i64::from(resent));
        }
    }
}

/// An HTTP client with the bounds above, for the host of `base_url`.
pub(super) fn http_client(base_url: &str, concurrency: usize) -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("genesys-reports/", env!("CARGO_PKG_VERSION")))
        // One connection a request: a dead one harms one request, and is noticed by its timeouts.
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .https_only(!is_loopback(base_url))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(concurrency)
        .build()?;
    // Says now what would otherwise fail every request: a base that is no URL.
    client.get(base_url).build().map_err(reqwest::Error::without_url)?;
    Ok(client)
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn exchange(request: reqwest::RequestBuilder, room: Room) -> Result<Reply, Lost> {
    let mut response = request.send().await.map_err(unanswered)?;
    let status = response.status();
    let header = |headers: &HeaderMap, name: &HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let correlation_id = header(response.headers(), &CORRELATION_ID).and_then(|id| super::wire::repeatable(&id));
    let retry_after = header(response.headers(), &RETRY_AFTER);
    let body = if status.is_success() {
        read_body(&mut response, room).await.map_err(|lost| Lost {
            correlation_id: correlation_id.clone(),
            ..lost
        })?
    } else {
        read_what_comes(&mut response).await
    };
    Ok(Reply {
        status,
        correlation_id,
        retry_after,
        body,
    })
}

async fn read_body(response: &mut reqwest::Response, mut room: Room) -> Result<Bytes, Lost> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(Lost::from(LostWhy::TooLarge));
        }
        if !room.grow_to(body.len() + chunk.len()) {
            return Err(Lost::from(LostWhy::NoRoom));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(room.hold(body))
}

/// The start of a refusal; its status says enough when the rest is missing.
async fn read_what_comes(response: &mut reqwest::Response) -> Bytes {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > REFUSAL_BYTES {
            body.truncate(REFUSAL_BYTES);
            break;
        }
    }
    Bytes::from(body)
}

fn unanswered(error: reqwest::Error) -> Lost {
    let why = if error.is_connect() {
        LostWhy::NotConnected
    } else if error.is_timeout() {
        LostWhy::TooSlow
    } else if closed(&error) {
        LostWhy::ClosedUnanswered
    } else {
        LostWhy::Cut
    };
    Lost {
        why,
        correlation_id: None,
        source: Some(Arc::new(error.without_url())),
    }
}

fn cut(error: reqwest::Error) -> Lost {
    Lost {
        why: if error.is_timeout() {
            LostWhy::TooSlow
        } else {
            LostWhy::Cut
        },
        correlation_id: None,
        source: Some(Arc::new(error.without_url())),
    }
}

fn closed(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = error.source();
    while let Some(error) = cause {
        let by_hyper = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled());
        let by_socket = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            )
        });
        if by_hyper || by_socket {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<LostWhy> for Lost {
    fn from(why: LostWhy) -> Self {
        Self {
            why,
            correlation_id: None,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (url, loopback) in [
            ("http://127.0.0.1:9090", true),
            ("http://[::1]:9090/", true),
            ("http://localhost:9090", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://127.0.0.1@evil.example", false),
            ("http://10.0.0.1", false),
            ("https://api.mypurecloud.ie", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }
}
