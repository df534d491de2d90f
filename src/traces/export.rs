//! Takes spans to a collector, by OpenTelemetry's batches and its OTLP over HTTP, with our client and on our terms.
//!
//! Nothing here can hold up or fail a request: spans wait in a queue of bounded length, and what the collector does not
//! take is lost and counted. It is not sent again: a trace is worth less than the memory that a collector which is down
//! would take. A collector that keeps failing is left alone for a while, and that it fails is told once a minute.
//!
//! The library's worker runs as a task that has an owner, on tokio's clock. Whatever the library would read from the
//! environment by itself is set.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::TelemetryResourceDetector,
    runtime::{Runtime, RuntimeChannel, Tokio},
    trace::{
        BatchConfigBuilder, SdkTracerProvider, Span, SpanData, SpanExporter, SpanLimits, SpanProcessor,
        span_processor_with_async_runtime::BatchSpanProcessor,
    },
};
use prost::Message as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::{
    breaker::{Breaker, LONGEST_PAUSE},
    telemetry,
};

/// The most spans that wait to be exported; of more, the newest are lost.
const WAITING: usize = 2_048;
/// The most spans that one is linked to.
const LINKS: u32 = 32;
/// The most spans of one request.
const BATCH: usize = 512;
/// Between two requests, if there are no more spans than that. At the end, nobody waits longer for the last ones to be sent.
const MOMENT: Duration = Duration::from_secs(1);
/// How long the collector may take for one.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The most bytes read of its answer.
const ANSWER_BYTES: usize = 64 << 10;
/// Between two lines in the log that say that it fails.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Takes what has ended to the collector.
pub struct Exporter {
    worker: BoxFuture<'static, ()>,
    waiting: watch::Receiver<usize>,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// No HTTP client: the TLS library refuses.
    #[error("cannot build the client")]
    Client(#[from] reqwest::Error),
    /// The library refuses.
    #[error("cannot build the exporter")]
    Library(#[from] ExporterBuildError),
}

impl Exporter {
    /// Exports until `stop` is cancelled, and then what still waits.
    pub async fn run(self, stop: CancellationToken) {
        let Self { worker, mut waiting } = self;
        let the_last = async {
            stop.cancelled().await;
            let _ = waiting.wait_for(|waiting| *waiting == 0).await;
        };
        tokio::select! {
            () = worker => {}
            () = the_last => {}
        }
    }
}

/// What records spans, and what takes them to the collector of the settings.
pub(super) fn to_collector(settings: Settings) -> Result<(SdkTracerProvider, Exporter), ExporterError> {
    let waiting = watch::Sender::new(0);
    let post = Post::new(settings.headers)?;
    let rejected = Arc::clone(&post.rejected);
    let otlp = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(post)
        .with_endpoint(format!("{}/v1/traces", settings.endpoint))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(TIMEOUT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    let counted = Counted {
        otlp,
        rejected,
        waiting: waiting.clone(),
        breaker: Breaker::new("collector of traces", LONGEST_PAUSE),
    };
    let batches = BatchConfigBuilder::default()
        // Room for whatever `Bounded` lets in, and for the resource, which goes the same way.
        .with_max_queue_size(WAITING + 1)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(MOMENT)
        // Later than the client gives up, who says why.
        .with_max_export_timeout(2 * TIMEOUT)
        .with_max_concurrent_exports(1);
    let owned = Owned::default();
    let batches = BatchSpanProcessor::builder(counted, owned.clone()).with_batch_config(batches.build());
    let bounded = Bounded {
        batches: batches.build(),
        waiting,
    };
    let waiting = bounded.waiting.subscribe();
    let worker = owned.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let worker = worker.expect("the library starts its worker at once");
    let provider = SdkTracerProvider::builder()
        .with_sampler(settings.sampler.build())
        .with_span_limits(SpanLimits {
            max_links_per_span: LINKS,
            ..SpanLimits::default()
        })
        .with_resource(resource(settings.service_name))
        .with_span_processor(bounded);
    Ok((provider.build(), Exporter { worker, waiting }))
}

/// What tells spans: this service, and which replica of it.
fn resource(service_name: String) -> Resource {
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(service_name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()))
        .build()
}

fn count(outcome: &'static str, spans: u64) {
    metrics::counter!(telemetry::SPANS, "outcome" => outcome).increment(spans);
}

/// Lets the library start its worker, which then is a future that somebody has to run.
#[derive(Clone, Default)]
struct Owned(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Runtime for Owned {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, worker: F) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(worker));
    }

    fn delay(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        sleep(duration)
    }
}

impl RuntimeChannel for Owned {
    type Receiver<T: fmt::Debug + Send> = <Tokio as RuntimeChannel>::Receiver<T>;
    type Sender<T: fmt::Debug + Send> = <Tokio as RuntimeChannel>::Sender<T>;

    fn batch_message_channel<T: fmt::Debug + Send>(&self, capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        Tokio.batch_message_channel(capacity)
    }
}

/// Lets no more spans wait than there is room for, and says how many do: of its own queue, the library tells neither.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor<Owned>,
    waiting: watch::Sender<usize>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    /// Whoever is traced never waits for that.
    fn on_end(&self, span: SpanData) {
        let has_room = self.waiting.send_if_modified(|waiting| {
            let has_room = *waiting < WAITING;
            *waiting += usize::from(has_room);
            has_room
        });
        if has_room {
            self.batches.on_end(span);
        } else {
            count("no_room", 1);
        }
    }

    // The library would block its thread, which may be the one its worker needs. `Exporter::run` sees to the end.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Says what has become of each batch.
#[derive(Debug)]
struct Counted {
    otlp: opentelemetry_otlp::SpanExporter,
    rejected: Arc<AtomicU64>,
    waiting: watch::Sender<usize>,
    breaker: Breaker,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (length, spans) = (batch.len(), batch.len() as u64);
        if let Ok(admission) = self.breaker.admit() {
            if self.otlp.export(batch).await.is_ok() {
                admission.succeeded();
                let rejected = self.rejected.swap(0, Ordering::Relaxed).min(spans);
                count("exported", spans - rejected);
                count("refused", rejected);
            } else {
                admission.failed();
                count("failed", spans);
            }
        } else {
            count("left_alone", spans);
        }
        self.waiting.send_modify(|waiting| *waiting -= length);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

/// Posts to the collector.
struct Post {
    http: reqwest::Client,
    headers: Arc<dyn Fn() -> HeaderMap + Send + Sync>,
    /// Spans of the last batch that the collector says it has not taken, although it answered well.
    rejected: Arc<AtomicU64>,
    told_at: Mutex<Option<Instant>>,
}

impl fmt::Debug for Post {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Post").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.post(request).await {
            Ok(answer) => {
                let answered = ExportTraceServiceResponse::decode(answer.clone()).unwrap_or_default();
                let rejected = answered.partial_success.map_or(0, |partial| partial.rejected_spans);
                self.rejected
                    .store(u64::try_from(rejected).unwrap_or(0), Ordering::Relaxed);
                Ok(Response::new(answer))
            }
            Err(why) => {
                self.tell(&why);
                Err(why)
            }
        }
    }
}

impl Post {
    fn new(headers: Arc<dyn Fn() -> HeaderMap + Send + Sync>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("genesys-reports/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            headers,
            rejected: Arc::default(),
            told_at: Mutex::default(),
        })
    }

    async fn post(&self, request: Request<Bytes>) -> Result<Bytes, HttpError> {
        // What the library says in further fields is what it has found in the environment.
        let (parts, body) = request.into_parts();
        let request = self
            .http
            .post(parts.uri.to_string())
            .headers((self.headers)())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let mut response = request.send().await.map_err(lost)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status().as_u16()).into());
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if answer.len() + chunk.len() > ANSWER_BYTES {
                // Whatever it says there, it has taken them.
                return Ok(Bytes::new());
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer.into())
    }

    fn tell(&self, why: &HttpError) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|told_at| told_at.elapsed() >= TOLD_EVERY) {
            *told_at = Some(Instant::now());
            tracing::warn!(%why, "traces are lost: the collector does not take them");
        }
    }
}

fn lost(error: reqwest::Error) -> HttpError {
    if error.is_timeout() && !error.is_connect() {
        return "it takes too long".into();
    }
    let error = error.without_url();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("it cannot be reached, or breaks off: {error}: {cause}").into()
}

/// The fields of a list `name=value,name=value`, whose values may be percent-encoded. What is wrong is said without
/// repeating a value: it may be a credential.
pub fn headers(list: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (member, number) in list.split(',').zip(1..) {
        if member.trim().is_empty() {
            continue;
        }
        let (name, value) = member
            .split_once('=')
            .ok_or_else(|| format!("number {number} is not `name=value`"))?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| format!("number {number} has no name of a field"))?;
        let value = decoded(value.trim()).and_then(|value| HeaderValue::try_from(value).ok());
        let mut value = value.ok_or_else(|| format!("the value of `{name}` cannot stand in a field"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Bytes of what may be percent-encoded.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{Sampler, SamplerName, Tracer};

    /// Neither does whoever lets go of both, in whichever order, wait for the worker that nobody runs any more.
    #[test]
    fn what_there_is_no_room_for_is_lost_and_nobody_waits() {
        for tracer_goes_first in [true, false] {
            let settings = Settings {
                endpoint: "http://127.0.0.1:4318".to_owned(),
                headers: Arc::new(HeaderMap::new),
                service_name: "reports".to_owned(),
                sampler: Sampler::named(SamplerName::AlwaysOn, 1.0),
            };
            let (tracer, exporter) = Tracer::exporting(settings).unwrap();
            for _ in 0..WAITING + 10 {
                drop(tracer.ask(None));
            }
            assert_eq!(*exporter.waiting.borrow(), WAITING);
            let exporter = (!tracer_goes_first).then_some(exporter);
            drop(tracer);
            drop(exporter);
        }
    }

    #[test]
    fn fields_are_a_list_and_no_value_is_repeated() {
        for (list, expected) in [
            ("", Ok(vec![])),
            ("x-key=canary", Ok(vec![("x-key", "canary")])),
            (
                "Authorization=Basic%20Y2FuYXJ5PQ==, x=a+b,",
                Ok(vec![("authorization", "Basic Y2FuYXJ5PQ=="), ("x", "a+b")]),
            ),
            ("x-key", Err("number 1 is not `name=value`")),
            ("a=1, x key=canary", Err("number 2 has no name of a field")),
            ("x-key=canary%0a", Err("the value of `x-key` cannot stand in a field")),
            ("x-key=canary%4", Err("the value of `x-key` cannot stand in a field")),
            ("x-key=canary%+1", Err("the value of `x-key` cannot stand in a field")),
        ] {
            let found = headers(list).map(|headers| {
                assert!(!format!("{headers:?}").contains("canary"), "credentials do not print");
                let pairs = headers.iter();
                pairs
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect::<Vec<_>>()
            });
            let expected = expected.map(|pairs: Vec<(&str, &str)>| {
                let pairs = pairs.into_iter();
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            });
            assert_eq!(found, expected.map_err(str::to_owned), "{list}");
        }
    }
}
