//! The service, a simulated Genesys Cloud behind it and a caller in front of it, in one runtime.
//!
//! With `#[tokio::test(start_paused = true)]` all three share paused time: waiting costs nothing and an outage of
//! thirty seconds is over at once. Sockets are real, addressed by number; nothing runs on a helper thread, since a
//! wait on another thread looks like idleness and lets the paused clock jump.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use genesys_reports::{
    app::App,
    clock::Clock,
    config::{Settings, Sources},
    simulator::{self, Simulator, faults::Fault},
};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::watch::Watch;

/// What a test wants different from an unremarkable afternoon.
pub(crate) struct Setup {
    /// Of the simulated Genesys Cloud.
    pub(crate) simulator: simulator::Options,
    environment: BTreeMap<String, String>,
}

impl Setup {
    /// Friday, 1 December 2023, noon: a month of data of a small contact centre, and no limit near.
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at("2023-12-01T12:00:00Z".parse::<Timestamp>().expect("an instant"));
        Self {
            simulator: simulator::Options {
                days: 31,
                conversations_per_day: 100,
                rate_limit: 100_000,
                client_secret: SECRET.to_owned(),
                ..simulator::Options::new(clock)
            },
            environment: BTreeMap::from([("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE".to_owned(), "100000".to_owned())]),
        }
    }

    /// Sets an environment variable, as an operator would.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts both and waits until the service listens.
    #[expect(clippy::unused_async, reason = "sockets and tasks need the runtime that awaits it")]
    pub(crate) async fn start(self) -> Service {
        let mut watch = Watch::start();
        watch.guard_secret(SECRET);
        let clock = self.simulator.clock.clone();
        let (client_id, mut environment) = (self.simulator.client_id.clone(), self.environment);
        let simulator = Simulator::new(self.simulator);
        let mut tasks = JoinSet::new();

        let (listener, upstream) = listen();
        let platform = simulator.clone();
        tasks.spawn(async move { platform.serve(listener, std::future::pending()).await });

        for (name, value) in [
            ("GENESYS_API_URL", format!("http://{upstream}")),
            ("GENESYS_LOGIN_URL", format!("http://{upstream}")),
            ("GENESYS_CLIENT_ID", client_id),
        ] {
            environment.entry(name.to_owned()).or_insert(value);
        }
        if !environment.contains_key("GENESYS_CLIENT_SECRET_FILE") {
            environment.insert("GENESYS_CLIENT_SECRET".to_owned(), SECRET.to_owned());
        }
        let settings = Settings::load(&Sources {
            environment,
            ..Sources::default()
        })
        .expect("the settings are right");
        let app = App::new(&settings, clock.clone()).expect("the service can be put together");
        let (listener, address) = listen();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let finished = tokio::spawn(app.serve(listener, stopped));

        Service {
            simulator,
            clock,
            address,
            stop,
            client: client(),
            watch,
            finished,
            _tasks: tasks,
        }
    }
}

/// Unique, so that it can be searched for wherever it must not be.
pub(crate) const SECRET: &str = "canary-7c1e5d0a-secret";

/// The running pair. Dropping it checks what no test may overlook.
pub(crate) struct Service {
    /// The Genesys Cloud behind the service: its journal, faults and data.
    pub(crate) simulator: Simulator,
    /// Calendar time as both see it.
    pub(crate) clock: Clock,
    /// Where the service listens.
    pub(crate) address: SocketAddr,
    /// Tells the service to stop, as a signal would.
    pub(crate) stop: CancellationToken,
    client: reqwest::Client,
    watch: Watch,
    finished: JoinHandle<bool>,
    /// The simulator; aborted when dropped.
    _tasks: JoinSet<()>,
}

impl Service {
    /// An unremarkable afternoon.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(reqwest::Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(reqwest::Method::POST, path);
        self.send(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    /// A request to be completed by the test.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request and reads the whole answer. Whatever fails must fail in the one documented shape.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the service answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the answer is whole");
        let answer = Answer { status, headers, body };
        if status.is_client_error() || status.is_server_error() {
            answer.assert_is_a_problem();
        }
        answer
    }

    /// Waits until the service has ended; whether everything was answered.
    pub(crate) async fn finished(&mut self) -> bool {
        (&mut self.finished).await.expect("the service does not panic")
    }

    /// Orders a fault of the upstream; a test in which it does not happen fails.
    pub(crate) fn fault(&self, fault: Fault) {
        self.simulator.push_fault(fault);
    }

    /// Requests the upstream API has seen, logins not counted.
    pub(crate) fn upstream_calls(&self) -> usize {
        self.simulator
            .journal()
            .entries()
            .iter()
            .filter(|entry| !entry.is_login())
            .count()
    }

    /// There will be error lines in the log that contain `text`.
    pub(crate) fn expect_error(&mut self, text: &str) {
        self.watch.expect_error(text);
    }

    /// What has been logged so far.
    pub(crate) fn log(&self) -> String {
        self.watch.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.finished.abort();
        if !std::thread::panicking() {
            let unused = self.simulator.unused_faults();
            assert!(unused.is_empty(), "faults were ordered that did not happen: {unused:?}");
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text; empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("headers are ASCII"))
    }

    #[track_caller]
    fn assert_is_a_problem(&self) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        if self.body.is_empty() {
            // The answer to a HEAD request.
            return;
        }
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        assert_eq!(problem["requestId"], self.header("x-request-id"), "{problem}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
    }
}

/// With room for a crowd: a connection beyond the backlog is tried again after a second of real time, during which
/// paused time runs away.
fn listen() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("sockets can be had");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(loopback).expect("a loopback port is free");
    let listener = socket.listen(2048).expect("a bound socket can listen");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        // Hours pass in no time here: a connection kept would be found closed by the service only in use.
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client without TLS material")
}
