//! Faults to order: which requests go wrong, and how.
//!
//! A script is a list, consulted from the top for every request; the first fault that is due is played, and
//! the ones below it do not see that request. In a file (TOML, or the same in JSON):
//!
//! ```toml
//! [[faults]]                       # the third details query finds the platform overloaded
//! when = { method = "POST", path = "/api/v2/analytics/conversations/details", nth = 3 }
//! then = { do = "status", status = 503, retry_after = "7" }
//!
//! [[faults]]                       # two logins are reset before an answer
//! when = { target = "login", count = 2 }
//! then = { do = "reset" }
//!
//! [[faults]]                       # page 7 never comes
//! when = { body = { "/paging/pageNumber" = 7 } }
//! then = { do = "black-hole" }
//!
//! [[faults]]                       # one answer in ten comes in drops
//! when = { target = "api", probability = 0.1, seed = 4 }
//! then = { do = "trickle", bytes_per_second = 100 }
//! ```
//!
//! Faults stand before authentication and the request limit, as the platform's edge does: a request that a
//! fault answers is neither checked nor counted there.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Simulator, connection::Wire, errors::PlatformError, http::Exchange};

/// Plays the fault that is due on a request, or lets the request pass.
pub(super) async fn play(
    State(simulator): State<Simulator>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
    next: Next,
) -> Response {
    let body = exchange.body.as_deref().unwrap_or_default();
    let due = simulator
        .faults()
        .due(request.method().as_str(), request.uri().path(), body);
    let Some(effect) = due else {
        return next.run(request).await;
    };
    exchange.note_fault(effect.name());
    let wire = request.extensions().get::<Wire>().cloned();
    match effect {
        Effect::Status(answer) => answer.into_response(&exchange.correlation_id),
        Effect::Garbage { kind } => kind.into_response(),
        Effect::BlackHole => std::future::pending().await,
        Effect::Reset { after_bytes: None } => reset_before_answer(wire),
        Effect::Reset {
            after_bytes: Some(bytes),
        } => stop_within(next.run(request).await, bytes, false, true, wire).await,
        Effect::Cut { after_bytes, chunked } => {
            stop_within(next.run(request).await, after_bytes, chunked, false, wire).await
        }
        Effect::Trickle { bytes_per_second } => trickle(next.run(request).await, bytes_per_second).await,
        Effect::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            next.run(request).await
        }
    }
}

/// One fault: on which requests, and what happens to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    pub then: Effect,
}

impl Fault {
    /// Does this to every request, until narrowed.
    pub fn new(then: Effect) -> Self {
        Self {
            when: When::default(),
            then,
        }
    }

    /// Only on requests to the login service.
    #[must_use]
    pub fn on_login(mut self) -> Self {
        self.when.target = Some(Target::Login);
        self
    }

    /// Only on requests to the API.
    #[must_use]
    pub fn on_api(mut self) -> Self {
        self.when.target = Some(Target::Api);
        self
    }

    /// Only on paths that begin so.
    #[must_use]
    pub fn on_path(mut self, prefix: impl Into<String>) -> Self {
        self.when.path = Some(prefix.into());
        self
    }

    /// Only with this method.
    #[must_use]
    pub fn on_method(mut self, method: impl Into<String>) -> Self {
        self.when.method = Some(method.into());
        self
    }

    /// Only when the JSON body has this value at this pointer, such as 7 at `/paging/pageNumber`.
    #[must_use]
    pub fn on_body(mut self, pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        self.when.body.insert(pointer.into(), value.into());
        self
    }

    /// From the `nth` matching request on, counted from 1; once, unless [`times`](Self::times) says otherwise.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.when.nth = Some(nth);
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.when.count = Some(count);
        self
    }

    /// Once, on the first matching request.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// On a matching request with this probability, drawn from this seed.
    #[must_use]
    pub fn sometimes(mut self, probability: f64, seed: u64) -> Self {
        self.when.probability = Some(probability);
        self.when.seed = seed;
        self
    }
}

/// Which requests a fault is for. What is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The login service or the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Values of the JSON body, by JSON pointer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub body: BTreeMap<String, Value>,
    /// The first matching request it happens to, counted from 1. Without `count`: the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// How many times it happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Chance that it happens to a matching request, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// What the chance is drawn from.
    pub seed: u64,
}

/// One of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Paths under `/oauth/`.
    Login,
    /// Every other path.
    Api,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// Another answer takes the place of the real one.
    Status(StatusAnswer),
    /// The real answer, later. What it says is decided after the delay.
    Delay {
        /// How much later.
        ms: u64,
    },
    /// The real answer stops in its body and the connection closes.
    Cut {
        /// Bytes of the body that arrive.
        after_bytes: usize,
        /// Whether the body is sent in chunks, so that the last one goes missing, rather than under a
        /// `Content-Length` longer than what arrives.
        #[serde(default)]
        chunked: bool,
    },
    /// The connection is reset.
    Reset {
        /// Bytes of the real answer's body that are sent first; left out, not a byte of an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_bytes: Option<usize>,
    },
    /// A 200 with something useless in it.
    Garbage {
        /// What.
        kind: Garbage,
    },
    /// The real answer, its body slowly.
    Trickle {
        /// How slowly.
        bytes_per_second: u32,
    },
    /// No answer, ever; the connection stays open.
    BlackHole,
}

/// An answer that takes the place of the real one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusAnswer {
    /// HTTP status.
    pub status: u16,
    /// Code of the error body; the platform's usual one for the status when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Value of `Retry-After`, sent as it stands: seconds, a date, or nonsense; an empty text takes away the
    /// one a 429 has by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// Kind of body.
    #[serde(default)]
    pub body: ErrorBody,
}

/// What an error is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorBody {
    /// The platform's error body.
    #[default]
    Json,
    /// A page, as proxies and edges send it.
    Html,
    /// Nothing.
    Empty,
}

/// Useless things under a status of 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Garbage {
    /// A page in place of JSON.
    Html,
    /// JSON that ends too early, in a body of the declared length.
    BrokenJson,
    /// Sound JSON that is nothing the endpoint would say.
    WrongJson,
    /// A compressed body that ends too early.
    TruncatedGzip,
    /// No body.
    Empty,
}

impl Effect {
    /// A status with the platform's own error body.
    pub fn status(status: u16) -> Self {
        Self::Status(StatusAnswer {
            status,
            ..StatusAnswer::default()
        })
    }

    /// A status with the platform's own error body and this `Retry-After`.
    pub fn status_retry_after(status: u16, retry_after: impl Into<String>) -> Self {
        Self::Status(StatusAnswer {
            status,
            retry_after: Some(retry_after.into()),
            ..StatusAnswer::default()
        })
    }

    /// The word for it in a script and in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Delay { .. } => "delay",
            Self::Cut { .. } => "cut",
            Self::Reset { .. } => "reset",
            Self::Garbage { .. } => "garbage",
            Self::Trickle { .. } => "trickle",
            Self::BlackHole => "black-hole",
        }
    }
}

/// Faults in the order in which they are consulted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultScript {
    /// The faults.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// Why a fault script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not TOML, or not a script.
    #[error("the fault script is not understood: {0}")]
    Toml(#[from] toml::de::Error),
    /// Not JSON, or not a script.
    #[error("the fault script is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// A script that makes no sense; every problem with the number of its fault.
    #[error("the fault script makes no sense: {}", .0.join("; "))]
    Senseless(Vec<String>),
}

impl FaultScript {
    /// Reads a script in TOML.
    pub fn from_toml_str(text: &str) -> Result<Self, ScriptError> {
        toml::from_str::<Self>(text)?.checked()
    }

    /// Reads a script in JSON.
    pub fn from_json_str(text: &str) -> Result<Self, ScriptError> {
        serde_json::from_str::<Self>(text)?.checked()
    }

    fn checked(self) -> Result<Self, ScriptError> {
        let numbered = self.faults.iter().zip(1..);
        let problems: Vec<_> = numbered
            .flat_map(|(fault, number)| {
                problems_of(fault)
                    .into_iter()
                    .map(move |problem| format!("fault {number}: {problem}"))
            })
            .collect();
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(ScriptError::Senseless(problems))
        }
    }
}

impl From<Vec<Fault>> for FaultScript {
    fn from(faults: Vec<Fault>) -> Self {
        Self { faults }
    }
}

fn problems_of(fault: &Fault) -> Vec<&'static str> {
    let When {
        path, nth, probability, ..
    } = &fault.when;
    let checks = [
        (
            path.as_ref().is_some_and(|path| !path.starts_with('/')),
            "`path` must begin with a slash",
        ),
        (*nth == Some(0), "`nth` counts from 1"),
        (
            probability.is_some_and(|chance| !(0.0..=1.0).contains(&chance)),
            "`probability` must lie between 0 and 1",
        ),
        (
            matches!(&fault.then, Effect::Status(answer) if !(200..=599).contains(&answer.status)),
            "`status` must lie between 200 and 599",
        ),
        (
            matches!(&fault.then, Effect::Trickle { bytes_per_second: 0 }),
            "`bytes_per_second` must be 1 or more",
        ),
    ];
    checks
        .into_iter()
        .filter_map(|(wrong, problem)| wrong.then_some(problem))
        .collect()
}

/// The faults of a running simulator, and how often each has been played.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    /// Adds faults below those already there.
    pub(super) fn push(&self, faults: impl IntoIterator<Item = Fault>) {
        self.armed().extend(faults.into_iter().map(Armed::new));
    }

    /// Takes every fault away.
    pub(super) fn clear(&self) {
        self.armed().clear();
    }

    /// The faults not played as often as they were to be, or never although they could have been.
    pub(super) fn unused(&self) -> Vec<Fault> {
        let armed = self.armed();
        let unused = armed
            .iter()
            .filter(|armed| armed.played < armed.fault.when.most().unwrap_or(1));
        unused.map(|armed| armed.fault.clone()).collect()
    }

    fn due(&self, method: &str, path: &str, body: &[u8]) -> Option<Effect> {
        let mut armed = self.armed();
        armed
            .iter_mut()
            .find_map(|armed| armed.is_due(method, path, body).then(|| armed.fault.then.clone()))
    }

    fn armed(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().expect("choosing a fault does not panic")
    }
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    matched: u64,
    played: u64,
    chance: Pcg32,
}

impl Armed {
    fn new(fault: Fault) -> Self {
        let chance = Pcg32::seed_from_u64(fault.when.seed);
        Self {
            fault,
            matched: 0,
            played: 0,
            chance,
        }
    }

    fn is_due(&mut self, method: &str, path: &str, body: &[u8]) -> bool {
        let when = &self.fault.when;
        if !when.matches(method, path, body) || when.most().is_some_and(|most| self.played >= most) {
            return false;
        }
        self.matched += 1;
        let due = self.matched >= when.nth.unwrap_or(1)
            && when
                .probability
                .is_none_or(|chance| self.chance.random_bool(chance.clamp(0.0, 1.0)));
        self.played += u64::from(due);
        due
    }
}

impl When {
    fn matches(&self, method: &str, path: &str, body: &[u8]) -> bool {
        let target = if path.starts_with("/oauth/") {
            Target::Login
        } else {
            Target::Api
        };
        self.target.is_none_or(|wanted| wanted == target)
            && self
                .method
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|prefix| path.starts_with(prefix))
            && self.body_matches(body)
    }

    fn body_matches(&self, body: &[u8]) -> bool {
        if self.body.is_empty() {
            return true;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut wanted = self.body.iter();
        wanted.all(|(pointer, value)| body.pointer(pointer) == Some(value))
    }

    /// How often it may be played; `None` for always.
    fn most(&self) -> Option<u64> {
        self.count.or(self.nth.map(|_| 1))
    }
}

impl StatusAnswer {
    fn into_response(self, correlation_id: &str) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self.body {
            ErrorBody::Json => {
                let error = PlatformError::of_status(self.status);
                let error = self.code.into_iter().fold(error, PlatformError::with_code);
                error.into_response(correlation_id)
            }
            ErrorBody::Html => (status, html(status)).into_response(),
            ErrorBody::Empty => status.into_response(),
        };
        if let Some(retry_after) = self.retry_after {
            response.headers_mut().remove(header::RETRY_AFTER);
            let value = HeaderValue::try_from(retry_after)
                .ok()
                .filter(|value| !value.is_empty());
            response
                .headers_mut()
                .extend(value.map(|value| (header::RETRY_AFTER, value)));
        }
        response
    }
}

impl Garbage {
    fn into_response(self) -> Response {
        let json = (header::CONTENT_TYPE, "application/json");
        match self {
            Self::Html => html(StatusCode::OK).into_response(),
            Self::BrokenJson => ([json], r#"{"results":[{"group":{"mediaType":"#).into_response(),
            Self::WrongJson => ([json], r#"["nothing", {"of": "the kind"}]"#).into_response(),
            Self::TruncatedGzip => ([json, (header::CONTENT_ENCODING, "gzip")], GZIP_BEGINNING).into_response(),
            Self::Empty => ([json], Body::empty()).into_response(),
        }
    }
}

/// A gzip header, the header of a stored block that announces 200 bytes, and a few of them.
const GZIP_BEGINNING: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\xc8\x00\x37\xff{\"results\":[";

fn html(status: StatusCode) -> impl IntoResponse {
    let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
    ([(header::CONTENT_TYPE, "text/html")], page)
}

/// Without a connection of ours underneath, a body that fails at once is the closest to it.
fn reset_before_answer(wire: Option<Wire>) -> Response {
    if let Some(wire) = &wire {
        wire.reset_now();
    }
    Response::new(Body::new(Broken {
        beginning: None,
        reset: true,
        wire,
    }))
}

/// The response, its body stopping after so many bytes.
async fn stop_within(
    response: Response,
    after_bytes: usize,
    chunked: bool,
    reset: bool,
    wire: Option<Wire>,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = collected(body).await;
    // One byte more than will ever come, even when the body is shorter than the fault expects.
    let declared = whole.len().max(after_bytes.saturating_add(1));
    parts.headers.remove(header::CONTENT_LENGTH);
    if !chunked {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(declared));
    }
    let beginning = Some(whole.slice(..after_bytes.min(whole.len())));
    Response::from_parts(parts, Body::new(Broken { beginning, reset, wire }))
}

/// The response, its body at most ten pieces a second.
async fn trickle(response: Response, bytes_per_second: u32) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = collected(body).await;
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let piece = (bytes_per_second / 10).max(1);
    let pause = Duration::from_secs_f64(f64::from(piece) / f64::from(bytes_per_second.max(1)));
    let pieces = stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let next = rest.split_to(rest.len().min(piece as usize));
        Some((Ok::<_, io::Error>(next), rest))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

async fn collected(body: Body) -> Bytes {
    body.collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default()
}

/// A body that begins well and never comes to its end.
struct Broken {
    beginning: Option<Bytes>,
    reset: bool,
    wire: Option<Wire>,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(beginning) = self.beginning.take() {
            return Poll::Ready(Some(Ok(Frame::data(beginning))));
        }
        let Some(wire) = &self.wire else {
            return Poll::Ready(Some(Err(io::Error::other("a fault ends this body"))));
        };
        // Pending makes hyper flush what it has, and the flush is where the connection ends: no wake-up is needed.
        wire.end_when_flushed(self.reset);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> FaultScript {
        FaultScript::from_toml_str(text).unwrap()
    }

    #[test]
    fn scripts_read_alike_in_toml_and_json() {
        let toml = script(
            r#"
            [[faults]]
            when = { method = "POST", path = "/api/v2/analytics", nth = 3 }
            then = { do = "status", status = 503, retry_after = "7", body = "html" }
            [[faults]]
            when = { target = "login", count = 2 }
            then = { do = "reset" }
            [[faults]]
            then = { do = "cut", after_bytes = 10, chunked = true }
            [[faults]]
            then = { do = "garbage", kind = "truncated-gzip" }
            [[faults]]
            when = { body = { "/paging/pageNumber" = 7 } }
            then = { do = "reset", after_bytes = 9 }
            [[faults]]
            when = { target = "api", probability = 0.1, seed = 4 }
            then = { do = "black-hole" }
            "#,
        );
        let status = StatusAnswer {
            status: 503,
            code: None,
            retry_after: Some("7".to_owned()),
            body: ErrorBody::Html,
        };
        let built = FaultScript::from(vec![
            Fault::new(Effect::Status(status))
                .on_method("POST")
                .on_path("/api/v2/analytics")
                .nth(3),
            Fault::new(Effect::Reset { after_bytes: None }).on_login().times(2),
            Fault::new(Effect::Cut {
                after_bytes: 10,
                chunked: true,
            }),
            Fault::new(Effect::Garbage {
                kind: Garbage::TruncatedGzip,
            }),
            Fault::new(Effect::Reset { after_bytes: Some(9) }).on_body("/paging/pageNumber", 7),
            Fault::new(Effect::BlackHole).on_api().sometimes(0.1, 4),
        ]);
        assert_eq!(toml, built);
        let json = serde_json::to_string(&built).unwrap();
        assert_eq!(FaultScript::from_json_str(&json).unwrap(), built);
    }

    #[test]
    fn a_wrong_script_says_where_and_what() {
        let cases = [
            ("[[faults]]\nthen = { do = \"staus\" }", "unknown variant `staus`"),
            (
                "[[faults]]\nthen = { do = \"delay\", seconds = 3 }",
                "unknown field `seconds`",
            ),
            (
                "[[faults]]\nwhen = { paht = \"/\" }\nthen = { do = \"reset\" }",
                "unknown field `paht`",
            ),
            ("[[faults]]\nwhen = {}", "missing field `then`"),
            ("[[fault]]", "unknown field `fault`"),
            (
                "[[faults]]\nwhen = { path = \"api\", nth = 0 }\nthen = { do = \"reset\" }\n[[faults]]\n\
                 when = { probability = 7 }\nthen = { do = \"status\", status = 12 }",
                "fault 1: `path` must begin with a slash; fault 1: `nth` counts from 1; fault 2: `probability` must lie \
                 between 0 and 1; fault 2: `status` must lie between 200 and 599",
            ),
            (
                "[[faults]]\nthen = { do = \"trickle\", bytes_per_second = 0 }",
                "fault 1: `bytes_per_second` must be 1 or more",
            ),
        ];
        for (text, expected) in cases {
            let error = FaultScript::from_toml_str(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn faults_are_played_when_they_are_due() {
        let path = "/api/v2/users";
        let reset = || Fault::new(Effect::Reset { after_bytes: None });
        let cases = [
            (reset(), "xxxx"),
            (reset().once(), "x..."),
            (reset().times(2), "xx.."),
            (reset().nth(3), "..x."),
            (reset().nth(2).times(2), ".xx."),
            (reset().on_path("/api/v2/users"), "xxxx"),
            (reset().on_path("/api/v2/flows"), "...."),
            (reset().on_login(), "...."),
            (reset().on_api().on_method("get"), "xxxx"),
            (reset().on_method("POST"), "...."),
            (reset().sometimes(0.0, 1), "...."),
            (reset().sometimes(1.0, 1), "xxxx"),
        ];
        for (fault, expected) in cases {
            let faults = Faults::default();
            faults.push([fault.clone()]);
            let played: String = (0..4)
                .map(|_| {
                    if faults.due("GET", path, b"").is_some() {
                        'x'
                    } else {
                        '.'
                    }
                })
                .collect();
            assert_eq!(played, expected, "{fault:?}");
            assert_eq!(faults.unused().is_empty(), expected.contains('x'), "{fault:?}");
        }
    }

    #[test]
    fn an_earlier_fault_hides_the_request_from_later_ones() {
        let faults = Faults::default();
        faults.push([
            Fault::new(Effect::status(503)).once(),
            Fault::new(Effect::status(429)).times(2),
        ]);
        let played: Vec<_> = (0..4).map(|_| faults.due("GET", "/api/v2/users", b"")).collect();
        let expected = [
            Some(Effect::status(503)),
            Some(Effect::status(429)),
            Some(Effect::status(429)),
            None,
        ];
        assert_eq!(played, expected);

        faults.push([Fault::new(Effect::status(500)).times(2)]);
        assert!(faults.due("GET", "/api/v2/users", b"").is_some());
        assert_eq!(faults.unused(), [Fault::new(Effect::status(500)).times(2)]);
        faults.clear();
        assert!(faults.unused().is_empty());
    }

    #[test]
    fn a_fault_can_wait_for_a_page() {
        let faults = Faults::default();
        faults.push([Fault::new(Effect::BlackHole).on_body("/paging/pageNumber", 7)]);
        let cases = [
            (r#"{ "paging": { "pageSize": 100, "pageNumber": 7 } }"#, true),
            (r#"{ "paging": { "pageNumber": 70 } }"#, false),
            (r#"{ "paging": 7 }"#, false),
            ("", false),
        ];
        for (body, expected) in cases {
            let due = faults.due("POST", "/api/v2/users", body.as_bytes());
            assert_eq!(due.is_some(), expected, "{body}");
        }
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let played = |seed| {
            let faults = Faults::default();
            faults.push([Fault::new(Effect::BlackHole).sometimes(0.5, seed)]);
            (0..64)
                .map(|_| faults.due("GET", "/", b"").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(played(1), played(1));
        assert_ne!(played(1), played(2));
        assert!((16..48).contains(&played(1).iter().filter(|played| **played).count()));
    }
}
