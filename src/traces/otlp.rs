//! Spans as collectors read them: the messages of OTLP (`opentelemetry.proto.trace.v1` and what it is made of), as far as
//! they are used here. A test reads them with the messages that OpenTelemetry publishes.

use jiff::Timestamp;
use prost::Message;

use super::{Context, Finished, Kind, Value};

/// Spans of this service, to be posted.
pub(super) fn encode(resource: &Resource, spans: Vec<Finished>) -> Vec<u8> {
    let request = Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(Scope {
                    name: env!("CARGO_PKG_NAME").to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                spans: spans.into_iter().map(Span::from).collect(),
            }],
        }],
    };
    request.encode_to_vec()
}

/// How many spans the collector says it has not taken, although it answered well.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let partial_success = Answer::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

/// What tells spans: this service, and which replica of it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

impl Resource {
    pub(super) fn new(service_name: String) -> Self {
        let attributes = [
            ("service.name", service_name),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", uuid::Uuid::new_v4().to_string()),
            ("telemetry.sdk.language", "rust".to_owned()),
            ("telemetry.sdk.name", env!("CARGO_PKG_NAME").to_owned()),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Self {
            attributes: attributes.map(|(name, text)| KeyValue::new(name, text.into())).into(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 3")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;
const STATUS_ERROR: i32 = 2;
/// Beside the flags of the trace: that it is known whether the parent is another program's, and that it is.
const REMOTE_IS_KNOWN: u32 = 1 << 8;
const IS_REMOTE: u32 = 1 << 9;

impl From<Finished> for Span {
    fn from(span: Finished) -> Self {
        let remote = if span.parent_is_remote { IS_REMOTE } else { 0 };
        Self {
            trace_id: span.context.trace.bytes().into(),
            id: span.context.span.bytes().into(),
            trace_state: state(&span.context),
            parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.bytes().into()),
            name: span.name.into_owned(),
            kind: match span.kind {
                Kind::Server => KIND_SERVER,
                Kind::Client => KIND_CLIENT,
            },
            start_time_unix_nano: nanoseconds(span.began_at),
            // A clock may be set back meanwhile.
            end_time_unix_nano: nanoseconds(span.ended_at.max(span.began_at)),
            attributes: span
                .attributes
                .into_iter()
                .map(|(name, value)| KeyValue::new(name, value))
                .collect(),
            links: span.links.iter().map(Link::from).collect(),
            status: span.has_failed.then_some(Status { code: STATUS_ERROR }),
            flags: u32::from(span.context.flags()) | REMOTE_IS_KNOWN | remote,
        }
    }
}

impl From<&Context> for Link {
    fn from(to: &Context) -> Self {
        Self {
            trace_id: to.trace.bytes().into(),
            span_id: to.span.bytes().into(),
            trace_state: state(to),
            flags: u32::from(to.flags()) | REMOTE_IS_KNOWN,
        }
    }
}

impl KeyValue {
    fn new(key: &str, value: Value) -> Self {
        let value = match value {
            Value::Text(text) => OneValue::Text(text.into_owned()),
            Value::Number(number) => OneValue::Number(number),
        };
        Self {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }
}

fn state(context: &Context) -> String {
    context.state().map(ToString::to_string).unwrap_or_default()
}

fn nanoseconds(instant: Timestamp) -> u64 {
    u64::try_from(instant.as_nanosecond()).unwrap_or(0)
}
