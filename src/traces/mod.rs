//! Traces, by OpenTelemetry's conventions: what a request was spent on, told to a collector if one is set.
//!
//! A request is a span ([`Tracer::serve`]), and so is every attempt upstream that is made for it ([`Tracer::ask`]). In
//! between, a [`Parent`] travels with the request's errand: explicitly, because what is fetched for a request is fetched
//! in a task of its own. A span that is dropped is at its end.
//!
//! Spans are not those of the log: whether something is traced must not depend on the level of the log. Without a
//! collector nothing is recorded; what a caller says of its trace is handed on all the same.

mod context;
mod export;
mod otlp;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc::{self, error::TrySendError};

pub use context::{Context, SpanId, TraceId};
pub use export::{Exporter, headers};

use crate::{clock::Clock, telemetry};

/// Makes spans. Cheap to clone. The default records nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

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
    /// What is decided for those that callers began.
    pub of_callers: Decision,
    /// What is decided for those that begin here.
    pub of_ours: Decision,
}

/// Whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// As its caller says.
    AsTold,
    /// This share of them, from none (0) to all (1), by their ids: everybody with the same share records the same.
    Share(f64),
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
        let (of_callers, of_ours) = match name {
            SamplerName::AlwaysOn => (Decision::Share(1.0), 1.0),
            SamplerName::AlwaysOff => (Decision::Share(0.0), 0.0),
            SamplerName::Share => (Decision::Share(share), share),
            SamplerName::AsToldOrAll => (Decision::AsTold, 1.0),
            SamplerName::AsToldOrNone => (Decision::AsTold, 0.0),
            SamplerName::AsToldOrShare => (Decision::AsTold, share),
        };
        Self {
            of_callers,
            of_ours: Decision::Share(of_ours),
        }
    }

    fn takes(self, caller: Option<&Context>, trace: TraceId) -> bool {
        let decision = if caller.is_some() {
            self.of_callers
        } else {
            self.of_ours
        };
        match decision {
            Decision::AsTold => caller.is_some_and(Context::is_sampled),
            Decision::Share(share) => is_within(share, trace),
        }
    }
}

/// By the last 63 bits of the id, which are random.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of 2^63 is a whole number from 0 to 2^63"
)]
fn is_within(share: f64, trace: TraceId) -> bool {
    const ALL: f64 = 9_223_372_036_854_775_808.0;
    (u128::from_be_bytes(trace.bytes()) as u64) >> 1 < (share * ALL) as u64
}

/// What spans are recorded with.
struct Recorder {
    sampler: Sampler,
    clock: Clock,
    finished: mpsc::Sender<Finished>,
}

/// The most spans that wait to be exported; of more, the newest are lost.
const WAITING: usize = 2_048;

/// The most spans that one is linked to.
const LINKS: usize = 32;

impl Tracer {
    /// One that records, and what takes its spans to the collector.
    pub fn exporting(settings: Settings, clock: Clock) -> Result<(Self, Exporter), reqwest::Error> {
        let (finished, to_export) = mpsc::channel(WAITING);
        let recorder = Recorder {
            sampler: settings.sampler,
            clock,
            finished,
        };
        let exporter = Exporter::new(settings, to_export)?;
        Ok((Self(Some(Arc::new(recorder))), exporter))
    }

    /// This service's part of a request that came in so; `None` where nobody traces it.
    pub fn serve(&self, caller: Option<Context>) -> Option<Span> {
        let Some(recorder) = &self.0 else {
            return caller.map(Span::passing);
        };
        let trace = caller.as_ref().map_or_else(TraceId::new, |caller| caller.trace);
        let is_recorded = recorder.sampler.takes(caller.as_ref(), trace);
        let parent = caller.as_ref().map(|caller| (caller.span, true));
        let context = match caller {
            Some(caller) => caller.next().sampled(is_recorded),
            None => Context::beginning(trace, is_recorded),
        };
        Some(Span::new(recorder, Kind::Server, context, parent))
    }

    /// One request to another server, for that span or for nobody in particular; `None` where nobody traces it.
    pub fn ask(&self, parent: Option<&Parent>) -> Option<Span> {
        let Some(recorder) = &self.0 else {
            return parent.map(|parent| Span::passing(parent.0.context.next()));
        };
        let (context, parent) = if let Some(parent) = parent {
            (parent.0.context.next(), Some((parent.0.context.span, false)))
        } else {
            let trace = TraceId::new();
            let is_recorded = recorder.sampler.takes(None, trace);
            (Context::beginning(trace, is_recorded), None)
        };
        Some(Span::new(recorder, Kind::Client, context, parent))
    }
}

/// A piece of work in a trace, until it is dropped. Dropped without a word about how it went, it was abandoned.
pub struct Span {
    parent: Parent,
    /// `None` where it is only handed on.
    recording: Option<Recording>,
}

/// A span as those see it who work for it. Cheap to clone; every clone is the same span.
#[derive(Clone)]
pub struct Parent(Arc<Shared>);

struct Shared {
    context: Context,
    /// What this span waited for that was done for another.
    links: Mutex<Vec<Context>>,
}

struct Recording {
    recorder: Arc<Recorder>,
    span: Finished,
    is_told_of: bool,
}

impl Span {
    /// Is handed on, and not recorded here.
    fn passing(context: Context) -> Self {
        Self {
            parent: Parent::new(context),
            recording: None,
        }
    }

    fn new(recorder: &Arc<Recorder>, kind: Kind, context: Context, parent: Option<(SpanId, bool)>) -> Self {
        let recording = context.is_sampled().then(|| Recording {
            recorder: Arc::clone(recorder),
            span: Finished {
                context: context.clone(),
                parent: parent.map(|(parent, _)| parent),
                parent_is_remote: parent.is_some_and(|(_, is_remote)| is_remote),
                kind,
                name: Cow::Borrowed(""),
                began_at: recorder.clock.now(),
                ended_at: Timestamp::UNIX_EPOCH,
                attributes: Vec::new(),
                links: Vec::new(),
                has_failed: false,
            },
            is_told_of: false,
        });
        Self {
            parent: Parent::new(context),
            recording,
        }
    }

    /// For those who work for it.
    pub fn parent(&self) -> &Parent {
        &self.parent
    }

    /// As it is told to others.
    pub fn context(&self) -> &Context {
        &self.parent.0.context
    }

    /// Whether it will be exported; else what is said of it is lost, and need not be put together.
    pub fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// What it is called.
    pub fn name(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.recording {
            recording.span.name = name.into();
        }
    }

    /// Says something of it.
    pub fn set(&mut self, attribute: &'static str, value: impl Into<Value>) {
        if let Some(recording) = &mut self.recording {
            recording.span.attributes.push((attribute, value.into()));
        }
    }

    /// It was answered with this status. To whoever asked, a refusal is a failure; to whoever answers, it is not.
    pub fn answered(&mut self, status: u16) {
        let Some(recording) = &mut self.recording else { return };
        recording.is_told_of = true;
        let bound = match recording.span.kind {
            Kind::Server => 500,
            Kind::Client => 400,
        };
        self.set("http.response.status_code", i64::from(status));
        if status >= bound {
            self.failed(status.to_string());
        }
    }

    /// It came to nothing, for this reason: one of few.
    pub fn failed(&mut self, reason: impl Into<Cow<'static, str>>) {
        let Some(recording) = &mut self.recording else { return };
        recording.is_told_of = true;
        recording.span.has_failed = true;
        recording.span.attributes.retain(|(name, _)| *name != "error.type");
        let reason: Cow<'static, str> = reason.into();
        self.set("error.type", reason);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.recording.as_ref().is_some_and(|recording| !recording.is_told_of) {
            self.failed("abandoned");
        }
        let Some(Recording { recorder, mut span, .. }) = self.recording.take() else {
            return;
        };
        span.ended_at = recorder.clock.now();
        span.links = std::mem::take(&mut *self.parent.0.links.lock().unwrap_or_else(PoisonError::into_inner));
        // Whoever is traced never waits for that.
        let outcome = match recorder.finished.try_send(span) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "no_room",
            Err(TrySendError::Closed(_)) => "stopped",
        };
        metrics::counter!(telemetry::SPANS, "outcome" => outcome).increment(1);
    }
}

impl Parent {
    fn new(context: Context) -> Self {
        Self(Arc::new(Shared {
            context,
            links: Mutex::default(),
        }))
    }

    /// It waits for what is done for the other.
    pub fn waits_for(&self, other: &Self) {
        let (own, others) = (&self.0.context, &other.0.context);
        if own.span == others.span {
            return;
        }
        let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() < LINKS && !links.contains(others) {
            links.push(others.clone());
        }
    }
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Which side of a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Server,
    Client,
}

/// A span that has ended.
#[derive(Clone, Debug)]
struct Finished {
    context: Context,
    parent: Option<SpanId>,
    /// Whether that is another program's.
    parent_is_remote: bool,
    kind: Kind,
    name: Cow<'static, str>,
    began_at: Timestamp,
    ended_at: Timestamp,
    attributes: Vec<(&'static str, Value)>,
    links: Vec<Context>,
    has_failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(flags: &str) -> Context {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let fields = [("traceparent".parse().unwrap(), parent.parse().unwrap())];
        Context::received(&fields.into_iter().collect()).unwrap()
    }

    fn tracer(sampler: Sampler) -> (Tracer, mpsc::Receiver<Finished>) {
        let (finished, to_export) = mpsc::channel(4);
        let recorder = Recorder {
            sampler,
            clock: Clock::system(),
            finished,
        };
        (Tracer(Some(Arc::new(recorder))), to_export)
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
            let (tracer, _finished) = tracer(Sampler::named(name, share));
            let is_recorded = |caller| {
                let span = tracer.serve(caller).unwrap();
                assert_eq!(span.is_recorded(), span.context().is_sampled());
                let asked = tracer.ask(Some(span.parent())).unwrap();
                assert_eq!(asked.is_recorded(), span.is_recorded(), "as the request it is made for");
                span.is_recorded()
            };
            let found = (
                is_recorded(Some(caller("01"))),
                is_recorded(Some(caller("00"))),
                is_recorded(None),
            );
            assert_eq!(found, (told_to, told_not_to, own), "{name:?} {share}");
            let read: SamplerName = serde_json::from_value(format!("{name:?}").into()).unwrap();
            assert_eq!(read, name, "it is printed as it is read");
            assert_eq!(tracer.ask(None).unwrap().is_recorded(), own, "{name:?} {share}");
        }
    }

    #[test]
    fn a_share_is_about_that_share_and_the_same_for_everybody() {
        let ids: Vec<_> = (0..4_000).map(|_| TraceId::new()).collect();
        let taken = |share| ids.iter().filter(|id| is_within(share, **id)).count();
        // Four standard deviations of a quarter of 4000 are 110.
        assert!((890..=1110).contains(&taken(0.25)), "{}", taken(0.25));
        assert_eq!((taken(0.0), taken(1.0)), (0, 4_000));
        assert!(ids.iter().all(|id| !is_within(0.25, *id) || is_within(0.5, *id)));
    }

    #[test]
    fn without_a_collector_a_trace_is_handed_on_and_none_is_begun() {
        let tracer = Tracer::default();
        assert!(tracer.serve(None).is_none() && tracer.ask(None).is_none());
        let caller = caller("01");
        let served = tracer.serve(Some(caller.clone())).unwrap();
        assert!(!served.is_recorded());
        let asked = tracer.ask(Some(served.parent())).unwrap();
        assert_eq!(asked.context().trace, caller.trace);
        assert_ne!(asked.context().span, caller.span);
        assert!(asked.context().is_sampled(), "others may record it");
    }

    #[test]
    fn a_span_says_how_it_ended() {
        let (tracer, mut finished) = tracer(Sampler::named(SamplerName::AlwaysOn, 1.0));
        let mut error_of = |end: &dyn Fn(&mut Span), is_client: bool| {
            let mut span = if is_client {
                tracer.ask(None)
            } else {
                tracer.serve(None)
            }
            .unwrap();
            end(&mut span);
            drop(span);
            let span = finished.try_recv().unwrap();
            assert!(span.ended_at >= span.began_at);
            let errors: Vec<_> = span
                .attributes
                .iter()
                .filter(|(name, _)| *name == "error.type")
                .collect();
            assert_eq!(errors.len(), usize::from(span.has_failed));
            errors.first().map(|(_, value)| value.clone())
        };
        let text = |text: &'static str| Some(Value::from(text));
        assert_eq!(error_of(&|span| span.answered(200), false), None);
        assert_eq!(error_of(&|span| span.answered(404), false), None);
        assert_eq!(error_of(&|span| span.answered(503), false), text("503"));
        assert_eq!(error_of(&|span| span.answered(404), true), text("404"));
        assert_eq!(error_of(&|span| span.failed("timeout"), true), text("timeout"));
        assert_eq!(error_of(&|_| (), false), text("abandoned"));
        let answered_in_part = |span: &mut Span| {
            span.answered(500);
            span.failed("abandoned");
        };
        assert_eq!(error_of(&answered_in_part, false), text("abandoned"));
    }

    #[test]
    fn links_are_few_and_to_others() {
        let (tracer, mut finished) = tracer(Sampler::named(SamplerName::AlwaysOn, 1.0));
        let span = tracer.serve(None).unwrap();
        let others: Vec<_> = (0..40).map(|_| Parent::new(caller("01").next())).collect();
        span.parent().waits_for(span.parent());
        for other in others.iter().chain(&others) {
            span.parent().waits_for(other);
        }
        drop(span);
        assert_eq!(finished.try_recv().unwrap().links.len(), LINKS);
    }

    #[test]
    fn what_there_is_no_room_for_is_lost_and_nobody_waits() {
        let (tracer, mut finished) = tracer(Sampler::named(SamplerName::AlwaysOn, 1.0));
        for _ in 0..10 {
            drop(tracer.serve(None));
        }
        finished.close();
        assert_eq!(std::iter::from_fn(|| finished.try_recv().ok()).count(), 4);
        drop(tracer.serve(None));
    }
}
