//! A believable Genesys Cloud for demos and tests. Written from the vendor's published behaviour, never from
//! [`upstream`](crate::upstream), with which it shares no types: two independent spellings check each other.

pub mod refusal;

pub mod faults;

/// Placeholder.
#[derive(Clone)]
pub struct Simulator;

/// Placeholder.
#[derive(Clone, Debug)]
pub struct Options {
    /// Placeholder.
    pub clock: crate::clock::Clock,
    /// Placeholder.
    pub seed: u64,
    /// Placeholder.
    pub days: u32,
    /// Placeholder.
    pub latency: std::time::Duration,
    /// Placeholder.
    pub rate_limit: u32,
    /// Placeholder.
    pub client_id: String,
    /// Placeholder.
    pub client_secret: String,
    /// Placeholder.
    pub faults: faults::FaultScript,
    /// Placeholder.
    pub journal_bound: Option<usize>,
}

impl Options {
    /// Placeholder.
    pub fn new(clock: crate::clock::Clock) -> Self {
        Self {
            clock,
            seed: 7,
            days: 90,
            latency: std::time::Duration::ZERO,
            rate_limit: 300,
            client_id: "simulated-client".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            faults: faults::FaultScript::default(),
            journal_bound: None,
        }
    }
}

impl Simulator {
    /// Placeholder.
    pub fn new(_options: Options) -> Self {
        Self
    }

    /// Placeholder.
    pub async fn serve(&self, _listener: tokio::net::TcpListener, shutdown: impl Future<Output = ()>) {
        shutdown.await;
    }
}
