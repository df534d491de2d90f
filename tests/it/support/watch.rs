//! Notices what no test may overlook: log lines that ask somebody to act, panics in tasks, secrets in the log.
//!
//! Everything is noticed per thread. That is enough because a test, the service and the simulator share one
//! runtime of one thread, and it keeps tests apart when several share a process.

use std::{
    cell::RefCell,
    io::Write,
    sync::{Arc, Mutex, Once},
};

use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt};

/// Watches this thread until dropped; then panics about what was not expected.
pub(crate) struct Watch {
    everything: Buffer,
    errors: Buffer,
    expected_errors: Vec<String>,
    tolerated_errors: Vec<String>,
    secrets: Vec<String>,
    _subscriber: DefaultGuard,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn start() -> Self {
        Self::start_at("debug,genesys_reports=trace")
    }

    /// Starts watching with what these filter directives let through.
    pub(crate) fn start_at(directives: &str) -> Self {
        notice_panics();
        let (everything, errors) = (Buffer::default(), Buffer::default());
        let subscriber = tracing_subscriber::registry()
            .with(lines(&everything).with_filter(EnvFilter::new(directives)))
            .with(lines(&errors).with_filter(LevelFilter::ERROR));
        Self {
            everything,
            errors,
            expected_errors: Vec::new(),
            tolerated_errors: Vec::new(),
            secrets: Vec::new(),
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }

    /// There will be error lines that contain `text`, at least one; they are no failure.
    pub(crate) fn expect_error(&mut self, text: &str) {
        self.expected_errors.push(text.to_owned());
    }

    /// There may be error lines that contain `text`.
    pub(crate) fn tolerate_error(&mut self, text: &str) {
        self.tolerated_errors.push(text.to_owned());
    }

    /// No log line may contain `secret`.
    pub(crate) fn guard_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// What has been logged so far.
    pub(crate) fn log(&self) -> String {
        self.everything.text()
    }

    fn complaints(&self) -> Vec<String> {
        let (log, errors) = (self.everything.text(), self.errors.text());
        let known = || self.expected_errors.iter().chain(&self.tolerated_errors);
        let is_expected = |line: &str| known().any(|expected| line.contains(expected));
        let unexpected = errors
            .lines()
            .filter(|line| !is_expected(line))
            .map(|line| format!("logged an error: {line}"));
        let missing = self
            .expected_errors
            .iter()
            .filter(|expected| !errors.contains(*expected));
        let missing = missing.map(|expected| format!("did not log the error expected: {expected}"));
        let leaks = self
            .secrets
            .iter()
            .filter(|secret| log.contains(*secret))
            .map(|_| "logged a secret".to_owned());
        let panics = PANICS
            .take()
            .into_iter()
            .map(|panic| format!("a task panicked: {panic}"));
        unexpected.chain(missing).chain(leaks).chain(panics).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was logged:\n{}", self.log());
            return;
        }
        let complaints = self.complaints();
        assert!(
            complaints.is_empty(),
            "{}\nwhat was logged:\n{}",
            complaints.join("\n"),
            self.log()
        );
    }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Remembers panics by thread, beside printing them as before.
fn notice_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            print(panic);
        }));
    });
    PANICS.take();
}

fn lines<S>(buffer: &Buffer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let buffer = buffer.clone();
    fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_writer(move || buffer.clone())
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("writing lines does not panic")).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("writing lines does not panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
