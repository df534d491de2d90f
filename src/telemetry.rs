//! The one home of log, span and metric names.
//!
//! Logs go to standard error, as JSON lines or as text. Nothing here sees a secret: their types do not print.
//! What a caller controls passes through [`capped`] before it is logged.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stderr, Write as _},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Seconds from a request's head to its answer's head; labels `method`, `route`, `status`.
pub const HTTP_REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Requests being worked on, streams to their last byte.
pub const HTTP_REQUESTS_IN_FLIGHT: &str = "http_server_requests_in_flight";
/// Requests refused because every place and the queue were taken.
pub const HTTP_REQUESTS_SHED: &str = "http_server_requests_shed_total";
/// Requests whose caller left, or that a shutdown cut off, before the end of their answer; label `route`.
pub const HTTP_REQUESTS_ABANDONED: &str = "http_server_requests_abandoned_total";
/// Streams of live figures.
pub const LIVE_LISTENERS: &str = "genesys_reports_live_listeners";
/// Streams of live figures that were ended because what they were sent was not read in time.
pub const LIVE_LISTENERS_DROPPED: &str = "genesys_reports_live_listeners_dropped_total";
/// Open connections.
pub const HTTP_CONNECTIONS: &str = "http_server_connections";

/// Bytes of answers held in memory.
pub const HELD_BYTES: &str = "genesys_reports_held_bytes";
/// Bytes of the entries kept on disk.
pub const DISK_BYTES: &str = "genesys_reports_disk_bytes";
/// Entries looked for on disk; label `outcome`: `hit`, `miss`, `spoiled`.
pub const DISK_READS: &str = "genesys_reports_disk_reads_total";
/// Entries not kept on disk because too many waited to be written.
pub const DISK_WRITES_SKIPPED: &str = "genesys_reports_disk_writes_skipped_total";
/// Values looked for at other replicas; label `outcome`: `hit`, `miss`, `spoiled`.
pub const FLEET_READS: &str = "genesys_reports_fleet_reads_total";
/// Operations of Redis; labels `operation`: `read`, `write`, `claim`, `hold`, `lease`, `drops`, and `outcome`: `done`,
/// `failed`, `too_slow`, `nonsense`, `left_alone`.
pub const FLEET_OPERATIONS: &str = "genesys_reports_fleet_operations_total";
/// 1 while Redis is left alone after repeated failures and this replica goes on by itself, else 0.
pub const FLEET_APART: &str = "genesys_reports_fleet_apart";
/// Fetches from the upstream under way, however many requests wait for each.
pub const FETCHES_UNDER_WAY: &str = "genesys_reports_fetches_under_way";
/// Requests that could be sent upstream right now, by our own count.
pub const UPSTREAM_BUDGET_LEFT: &str = "genesys_reports_upstream_budget_left";
/// Requests a minute may hold now.
pub const UPSTREAM_BUDGET_LIMIT: &str = "genesys_reports_upstream_budget_limit";
/// Requests that wait for their turn, by `class`.
pub const UPSTREAM_WAITING: &str = "genesys_reports_upstream_waiting";
/// Requests in flight.
pub const UPSTREAM_IN_FLIGHT: &str = "genesys_reports_upstream_in_flight";
/// Seconds the upstream asked us to stay away from now; 0 when it did not.
pub const UPSTREAM_GATE_CLOSED: &str = "genesys_reports_upstream_gate_closed_seconds";
/// 1 while a host of the upstream (label `host`: `api`, `login`) is left alone after repeated failures, else 0.
pub const UPSTREAM_LEFT_ALONE: &str = "genesys_reports_upstream_left_alone";

/// Spans of traces; label `outcome`: `exported`, or how they were lost: `no_room` (too many waited), `failed` (the collector
/// did not take them), `left_alone` (it has kept failing), `refused` (by its answer).
pub const SPANS: &str = "genesys_reports_spans_total";

/// The upper edges of the duration histogram, in seconds (OpenTelemetry's for HTTP servers).
const DURATION_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// How long a line may wait until it is written, and how many bytes of them.
const LOG_DELAY: Duration = Duration::from_millis(50);
const LOG_BUFFER: usize = 64 << 10;

/// The longest text of a caller that a log line carries, in characters.
const CAP: usize = 256;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The log on its way to standard error: to be dropped last of all, so that nothing of it is lost.
#[must_use]
#[derive(Debug)]
pub struct Log(Arc<Lines>);

/// Lines that are written out together, every so often: so they cost a tenth of what they cost one by one.
#[derive(Debug)]
struct Lines(Mutex<BufWriter<Stderr>>);

impl Log {
    fn begin() -> Self {
        let out = BufWriter::with_capacity(LOG_BUFFER, io::stderr());
        let lines = Arc::new(Lines(Mutex::new(out)));
        let log = Self(Arc::clone(&lines));
        thread::spawn(move || {
            loop {
                thread::sleep(LOG_DELAY);
                // There is nobody to tell that the log cannot be written.
                let _ = lines.out().flush();
            }
        });
        log
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.0.out().flush();
    }
}

impl Lines {
    fn out(&self) -> MutexGuard<'_, BufWriter<Stderr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out().write(bytes)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.out().write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out().flush()
    }
}

/// Sends log lines to standard error from now on, panics included. A second call changes nothing.
pub fn start_logging(format: LogFormat, level: &str) -> Log {
    let log = Log::begin();
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Arc::clone(&log.0))
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        // The list says what is said of the innermost.
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_current_span(false))
            .try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    log
}

/// A panic is a line like any other, so that whoever reads the log as JSON sees it too.
fn log_panic(panic: &std::panic::PanicHookInfo) {
    let message = panic.payload_as_str().map(capped).unwrap_or_default();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(message_of_panic = message, place, "a task panicked");
}

/// The process's metrics. The `metrics` macros record into one process-wide recorder by their nature, so it
/// is installed once, by whoever asks first.
pub fn metrics() -> Result<PrometheusHandle, MetricsError> {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    Ok(match metrics::set_global_recorder(recorder) {
        Ok(()) => {
            describe();
            INSTALLED.get_or_init(|| handle).clone()
        }
        // Another thread was first; its handle is the one that sees the figures.
        Err(_) => INSTALLED.wait().clone(),
    })
}

/// Why metrics cannot be recorded.
pub type MetricsError = BuildError;

fn describe() {
    metrics::describe_histogram!(
        HTTP_REQUEST_DURATION,
        metrics::Unit::Seconds,
        "From a request's head to its answer's head"
    );
    metrics::describe_gauge!(HTTP_REQUESTS_IN_FLIGHT, "Requests being worked on");
    metrics::describe_counter!(
        HTTP_REQUESTS_SHED,
        "Requests refused because every place and the queue were taken"
    );
    metrics::describe_counter!(
        HTTP_REQUESTS_ABANDONED,
        "Requests that ended before their answer: the caller left, or a shutdown cut them off"
    );
    metrics::describe_gauge!(HTTP_CONNECTIONS, "Open connections");
    metrics::describe_gauge!(LIVE_LISTENERS, "Streams of live figures");
    metrics::describe_counter!(
        LIVE_LISTENERS_DROPPED,
        "Streams of live figures ended because they were not read in time"
    );
    metrics::describe_gauge!(HELD_BYTES, metrics::Unit::Bytes, "Answers held in memory");
    metrics::describe_gauge!(DISK_BYTES, metrics::Unit::Bytes, "Entries kept on disk");
    metrics::describe_counter!(DISK_READS, "Entries looked for on disk");
    metrics::describe_counter!(DISK_WRITES_SKIPPED, "Entries not kept on disk because too many waited");
    metrics::describe_counter!(FLEET_READS, "Values looked for at other replicas");
    metrics::describe_counter!(FLEET_OPERATIONS, "Operations of Redis");
    metrics::describe_gauge!(
        FLEET_APART,
        "1 while Redis is left alone and this replica goes on by itself"
    );
    metrics::describe_counter!(SPANS, "Spans of traces, exported or lost");
    metrics::describe_gauge!(FETCHES_UNDER_WAY, "Fetches from the upstream under way");
    metrics::describe_gauge!(UPSTREAM_BUDGET_LEFT, "Requests that could be sent upstream right now");
    metrics::describe_gauge!(
        UPSTREAM_LEFT_ALONE,
        "1 while the upstream is left alone after repeated failures"
    );
}

/// Text a caller controls, made fit for a log line: bounded, without control characters or marks that reorder
/// what is read.
pub fn capped(text: &str) -> String {
    let is_harmless = |character: &char| {
        !character.is_control()
            && !matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_harmless).take(CAP).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_text_is_bounded_and_plain() {
        for (text, expected) in [
            ("plain", "plain"),
            ("two\nlines\r\n", "twolines"),
            ("\u{1b}[31mred", "[31mred"),
            ("a\u{202e}b\u{2066}c", "abc"),
        ] {
            assert_eq!(capped(text), expected, "{text:?}");
        }
        assert_eq!(capped(&"é".repeat(5000)).chars().count(), CAP);
    }

    #[test]
    fn metrics_are_installed_once_for_everybody() {
        let (first, second) = (metrics().unwrap(), metrics().unwrap());
        metrics::counter!("probe_total").increment(3);
        assert!(first.render().contains("probe_total 3"), "{}", first.render());
        assert!(second.render().contains("probe_total 3"));
    }
}
