//! A collector of traces, that reads what it is sent by the messages OpenTelemetry publishes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::service::{Setup, listen};

/// A running collector. Dropped, it is gone.
pub(crate) struct Collector {
    /// Base of its address.
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    reaction: Reaction,
    requests: usize,
    heads: String,
    received: Vec<u8>,
    resources: Vec<BTreeMap<String, String>>,
    spans: Vec<v1::Span>,
}

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Reaction {
    /// Takes it.
    #[default]
    Takes,
    /// Takes all but so many, and says so.
    Rejects(i64),
    /// Answers with this status.
    Fails(u16),
    /// Never answers.
    Hangs,
}

/// A span, as it is convenient to look at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where there is none.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) is_server: bool,
    pub(crate) has_failed: bool,
    pub(crate) seconds: f64,
    pub(crate) state: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The spans it is linked to.
    pub(crate) links: Vec<String>,
}

impl Span {
    /// What is said of it; empty where nothing is.
    pub(crate) fn says(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let (listener, address) = listen();
        let state = Arc::default();
        Self {
            endpoint: format!("http://{address}"),
            serving: tokio::spawn(serve(listener, Arc::clone(&state))),
            state,
        }
    }

    /// A service that tells it of every request.
    pub(crate) fn setup(&self) -> Setup {
        Setup::new().set("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint)
    }

    /// It does this from now on.
    pub(crate) fn reacts(&self, reaction: Reaction) {
        self.state.lock().unwrap().reaction = reaction;
    }

    /// How often it was sent something.
    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// The heads of the requests to it.
    pub(crate) fn heads(&self) -> String {
        self.state.lock().unwrap().heads.clone()
    }

    /// All it was sent, whether it took it or not.
    pub(crate) fn text(&self) -> String {
        let state = self.state.lock().unwrap();
        format!("{}{}", state.heads, String::from_utf8_lossy(&state.received))
    }

    /// What told it spans.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.state.lock().unwrap().resources.clone()
    }

    /// The spans it took, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().spans.iter().map(convenient).collect()
    }

    /// Those of requests to the service.
    pub(crate) fn served(&self) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.is_server).collect()
    }

    /// Those of requests to the upstream API.
    pub(crate) fn asked(&self) -> Vec<Span> {
        let is_of_api = |span: &Span| !span.is_server && span.says("url.template").starts_with("/api/");
        self.spans().into_iter().filter(is_of_api).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&state)));
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert_eq!(field("content-type"), "application/x-protobuf");
    let mut body = vec![0; field("content-length").parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("a message of OTLP");
    assert_eq!(request.encode_to_vec(), body, "nothing in it is unknown");
    let reaction = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        state.heads.push_str(&head);
        state.received.extend_from_slice(&body);
        let takes = matches!(state.reaction, Reaction::Takes | Reaction::Rejects(_));
        for resource_spans in request.resource_spans.into_iter().filter(|_| takes) {
            let resource = resource_spans.resource.expect("a resource");
            state.resources.push(texts(&resource.attributes));
            let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            state.spans.extend(spans);
        }
        state.reaction
    };
    let partial_success = match reaction {
        Reaction::Hangs => std::future::pending().await,
        Reaction::Rejects(rejected_spans) => Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: "too many".to_owned(),
        }),
        Reaction::Takes | Reaction::Fails(_) => None,
    };
    let status = if let Reaction::Fails(status) = reaction {
        status
    } else {
        200
    };
    let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    // Wherever that location leads: nobody is to follow.
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nlocation: /v1/traces\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(&[head.as_bytes(), &answer].concat()).await.ok()
}

fn convenient(span: &v1::Span) -> Span {
    use v1::{span::SpanKind, status::StatusCode};
    let nanoseconds = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano);
    let is_server = match span.kind() {
        SpanKind::Server => true,
        SpanKind::Client => false,
        other => panic!("nothing here is {other:?}"),
    };
    Span {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        is_server,
        has_failed: span
            .status
            .as_ref()
            .is_some_and(|status| status.code() == StatusCode::Error),
        seconds: nanoseconds.expect("it ends after it began") as f64 / 1e9,
        state: span.trace_state.clone(),
        attributes: texts(&span.attributes),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("nothing here is {other:?}"),
    };
    let pairs = attributes.iter();
    let texts: BTreeMap<_, _> = pairs.map(|pair| (pair.key.clone(), text(&pair.value))).collect();
    assert_eq!(texts.len(), attributes.len(), "everything is said once");
    texts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes it");
        text
    })
}
