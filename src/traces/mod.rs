//! Traces, by OpenTelemetry's libraries and conventions: what a request was spent on, told to a collector if one is set.
//!
//! A request is a span ([`Tracer::serve`]), and so is every attempt upstream that is made for it ([`Tracer::ask`]). In
//! between, a [`Parent`] travels with the request's errand: explicitly, because what is fetched for a request is fetched
//! in a task of its own. A span that is dropped is at its end. What is a span, and what is said of it, is decided here and
//! by those who make spans; all else is OpenTelemetry's.
//!
//! Spans are not those of the log: whether something is traced must not depend on the level of the log. Without a
//! collector nothing is recorded; what a caller says of its trace is handed on all the same.

mod context;
mod export;

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderMap;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanId, SpanKind, SpanRef, Status, TraceContextExt as _, TraceId, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{self as sdk, SdkTracer, SdkTracerProvider};
use serde::Deserialize;

pub use export::{Exporter, ExporterError, headers};

/// Makes spans. Cheap to clone. The default records nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<SdkTracer>);

/// Where spans are told, and which.
pub struct Settings {
    /// Base of the collector's OTLP over HTTP, without a trailing slash.
    pub endpoint: String,
    /// Further fields of every request to it, read anew each time: they may be credentials.
    pub headers: Arc<dyn Fn() -> HeaderMap + Send + Sync>,
    /// What the service is called there.
    pub service_name: String,
    /// Which traces are recorded.
    pub sampler: Sampler,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    name: SamplerName,
    share: f64,
}

/// The samplers, by the names OpenTelemetry gives them.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerName {
    /// Every trace.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share of all.
    #[serde(rename = "traceidratio")]
    Share,
    /// Those whose caller says so, and all that begin here.
    #[serde(rename = "parentbased_always_on")]
    AsToldOrAll,
    /// Those whose caller says so, and none that begins here.
    #[serde(rename = "parentbased_always_off")]
    AsToldOrNone,
    /// Those whose caller says so, and a share of those that begin here.
    #[serde(rename = "parentbased_traceidratio")]
    AsToldOrShare,
}

impl fmt::Debug for SamplerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AlwaysOn => "always_on",
            Self::AlwaysOff => "always_off",
            Self::Share => "traceidratio",
            Self::AsToldOrAll => "parentbased_always_on",
            Self::AsToldOrNone => "parentbased_always_off",
            Self::AsToldOrShare => "parentbased_traceidratio",
        })
    }
}

impl Sampler {
    /// The sampler of that name, with this share where it takes one.
    pub fn named(name: SamplerName, share: f64) -> Self {
        Self { name, share }
    }

    fn build(self) -> sdk::Sampler {
        use sdk::Sampler::{AlwaysOff, AlwaysOn, ParentBased, TraceIdRatioBased};
        match self.name {
            SamplerName::AlwaysOn => AlwaysOn,
            SamplerName::AlwaysOff => AlwaysOff,
            SamplerName::Share => TraceIdRatioBased(self.share),
            SamplerName::AsToldOrAll => ParentBased(Box::new(AlwaysOn)),
            SamplerName::AsToldOrNone => ParentBased(Box::new(AlwaysOff)),
            SamplerName::AsToldOrShare => ParentBased(Box::new(TraceIdRatioBased(self.share))),
        }
    }
}

impl Tracer {
    /// One that records, and what takes its spans to the collector.
    pub fn exporting(settings: Settings) -> Result<(Self, Exporter), ExporterError> {
        let (provider, exporter) = export::to_collector(settings)?;
        Ok((Self::over(&provider), exporter))
    }

    fn over(provider: &SdkTracerProvider) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
        Self(Some(provider.tracer_with_scope(scope.build())))
    }

    /// This service's part of a request that came in with these fields; `None` where nobody traces it.
    pub fn serve(&self, fields: &HeaderMap) -> Option<Span> {
        self.begin(SpanKind::Server, context::received(fields))
    }

    /// One request to another server, for that span or for nobody in particular; `None` where nobody traces it.
    pub fn ask(&self, parent: Option<&Parent>) -> Option<Span> {
        self.begin(SpanKind::Client, parent.map(|parent| parent.0.clone()))
    }

    fn begin(&self, kind: SpanKind, parent: Option<Context>) -> Option<Span> {
        let Some(tracer) = &self.0 else {
            let parent = Parent(parent?);
            return Some(Span {
                parent,
                recording: None,
            });
        };
        let is_server = kind == SpanKind::Server;
        let span = SpanBuilder::from_name("").with_kind(kind);
        let span = tracer.build_with_context(span, &parent.unwrap_or_default());
        let recording = span.is_recording().then(|| Recording {
            is_server,
            error: Some("abandoned".into()),
        });
        let parent = Parent(Context::new().with_span(span));
        Some(Span { parent, recording })
    }
}

/// A piece of work in a trace, until it is dropped. Dropped without a word about how it went, it was abandoned.
pub struct Span {
    parent: Parent,
    /// `None` where it is only handed on.
    recording: Option<Recording>,
}

struct Recording {
    is_server: bool,
    /// What it came to, if to nothing.
    error: Option<Cow<'static, str>>,
}

/// A span as those see it who work for it. Cheap to clone; every clone is the same span.
#[derive(Clone)]
pub struct Parent(Context);

impl Span {
    /// For those who work for it.
    pub fn parent(&self) -> &Parent {
        &self.parent
    }

    /// The fields of a request that is made in it.
    pub fn fields(&self) -> HeaderMap {
        context::fields(&self.parent.0)
    }

    /// Names it; `None` where it is not recorded.
    pub fn id(&self) -> Option<SpanId> {
        self.is_recorded().then(|| self.span().span_context().span_id())
    }

    /// Whether it will be exported; else what is said of it is lost, and need not be put together.
    pub fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// What it is called.
    pub fn name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.span().update_name(name);
    }

    /// Says something of it, once.
    pub fn set(&mut self, attribute: &'static str, value: impl Into<Value>) {
        self.span().set_attribute(KeyValue::new(attribute, value));
    }

    /// It was answered with this status. To whoever asked, a refusal is a failure; to whoever answers, it is not.
    pub fn answered(&mut self, status: u16) {
        let Some(recording) = &mut self.recording else { return };
        let bound = if recording.is_server { 500 } else { 400 };
        recording.error = (status >= bound).then(|| status.to_string().into());
        self.set("http.response.status_code", i64::from(status));
    }

    /// It came to nothing, for this reason: one of few.
    pub fn failed(&mut self, reason: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.recording {
            recording.error = Some(reason.into());
        }
    }

    fn span(&self) -> SpanRef<'_> {
        self.parent.0.span()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        if let Some(error) = recording.error {
            self.set("error.type", error);
            self.span().set_status(Status::error(""));
        }
        self.span().end();
    }
}

impl Parent {
    /// Names its trace.
    pub fn trace(&self) -> TraceId {
        self.0.span().span_context().trace_id()
    }

    /// It waits for what is done for the other.
    pub fn waits_for(&self, other: &Self) {
        let (own, other) = (self.0.span(), other.0.span());
        if own.span_context() != other.span_context() {
            own.add_link(other.span_context().clone(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(flags: &str) -> HeaderMap {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let fields = [("traceparent".parse().unwrap(), parent.parse().unwrap())];
        fields.into_iter().collect()
    }

    #[test]
    fn samplers_decide_as_their_names_say() {
        use SamplerName::{AlwaysOff, AlwaysOn, AsToldOrAll, AsToldOrNone, AsToldOrShare, Share};
        for (name, share, told_to, told_not_to, own) in [
            (AlwaysOn, 0.0, true, true, true),
            (AlwaysOff, 1.0, false, false, false),
            (Share, 1.0, true, true, true),
            (Share, 0.0, false, false, false),
            (AsToldOrAll, 0.0, true, false, true),
            (AsToldOrNone, 1.0, true, false, false),
            (AsToldOrShare, 1.0, true, false, true),
            (AsToldOrShare, 0.0, true, false, false),
        ] {
            let provider = SdkTracerProvider::builder().with_sampler(Sampler::named(name, share).build());
            let tracer = Tracer::over(&provider.build());
            let is_recorded = |fields: HeaderMap| {
                let span = tracer.serve(&fields).unwrap();
                let asked = tracer.ask(Some(span.parent())).unwrap();
                assert_eq!(asked.is_recorded(), span.is_recorded(), "as the request it is made for");
                span.is_recorded()
            };
            let found = [caller("01"), caller("00"), HeaderMap::new()].map(is_recorded);
            assert_eq!(found, [told_to, told_not_to, own], "{name:?} {share}");
            assert_eq!(tracer.ask(None).unwrap().is_recorded(), own, "{name:?} {share}");
            let read: SamplerName = serde_json::from_value(format!("{name:?}").into()).unwrap();
            assert_eq!(read, name, "it is printed as it is read");
        }
    }
}
