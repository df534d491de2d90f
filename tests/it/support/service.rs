//! The service, a simulated Genesys Cloud behind it and a caller in front of it, in one runtime.
//!
//! With `#[tokio::test(start_paused = true)]` all three share paused time: waiting costs nothing and an outage of
//! thirty seconds is over at once. Sockets are real, addressed by number; nothing runs on a helper thread, since a
//! wait on another thread looks like idleness and lets the paused clock jump.

use std::{collections::BTreeMap, fmt::Write as _, io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use genesys_reports::{
    api::auth::new_key,
    app::App,
    clock::Clock,
    config::{Settings, Sources},
    simulator::{self, Simulator, faults::Fault},
};
use http::{HeaderMap, HeaderName, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::watch::Watch;

/// What a test wants different from an unremarkable afternoon.
pub(crate) struct Setup {
    /// Of the simulated Genesys Cloud.
    pub(crate) simulator: simulator::Options,
    environment: BTreeMap<String, String>,
    keys: Vec<String>,
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
            keys: Vec::new(),
        }
    }

    /// Makes an API key with these scopes and further settings (TOML, each after a comma).
    pub(crate) fn key(mut self, scopes: &str, further: &str) -> (Self, String) {
        let (key, sha256) = new_key();
        let name = format!("test-{}", self.keys.len());
        self.keys.push(format!(
            "{{name=\"{name}\", sha256=\"{sha256}\", scopes=[{scopes}]{further}}}"
        ));
        let keys = format!("[{}]", self.keys.join(", "));
        (self.set("REPORTS_AUTH__KEYS", &keys), key)
    }

    /// Sets an environment variable, as an operator would.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves a variable to its default.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Starts both and waits until the service listens.
    pub(crate) async fn start(self) -> Service {
        self.start_watched(Watch::start()).await
    }

    /// The same with the whole log of every crate.
    #[expect(clippy::unused_async, reason = "sockets and tasks need the runtime that awaits it")]
    pub(crate) async fn start_watched(self, mut watch: Watch) -> Service {
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
        let (address, stop, finished) = serve(&settings, &clock);
        Service {
            simulator,
            clock,
            address,
            upstream,
            stop,
            settings,
            client: client(),
            watch,
            finished,
            _tasks: tasks,
        }
    }
}

fn serve(settings: &Settings, clock: &Clock) -> (SocketAddr, CancellationToken, JoinHandle<bool>) {
    let app = App::new(settings, clock.clone()).expect("the service can be put together");
    let (listener, address) = listen();
    let stop = CancellationToken::new();
    let finished = tokio::spawn(app.serve(listener, stop.clone()));
    (address, stop, finished)
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
    /// Where the simulator listens.
    pub(crate) upstream: SocketAddr,
    /// Tells the service to stop, as a signal would.
    pub(crate) stop: CancellationToken,
    settings: Settings,
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

    /// Sends a request and reads the whole answer. Whatever fails must fail in the one documented shape, and no
    /// answer may give away a credential or the upstream's address.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let mut response = request.send().await.expect("the service answers");
        let path = response.url().path().to_owned();
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = in_real_time(response.chunk()).await.expect("the answer is whole") {
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        self.checked(&path, Answer { status, headers, body })
    }

    /// Sends these bytes and reads the answer until the service closes the connection: for what no client would send.
    pub(crate) async fn send_raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let path = path_of(request.as_ref());
        self.checked(&path, Answer::parse(&self.exchange_raw(request, false).await))
    }

    /// Sends these bytes and hangs up; reads what is still said.
    pub(crate) async fn send_raw_and_hang_up(&self, request: impl AsRef<[u8]>) -> Answer {
        let path = path_of(request.as_ref());
        self.checked(&path, Answer::parse(&self.exchange_raw(request, true).await))
    }

    /// Sends these bytes and reads until the connection ends.
    pub(crate) async fn exchange_raw(&self, request: impl AsRef<[u8]>, hangs_up: bool) -> String {
        let mut stream = connect(self.address).await.expect("the service listens");
        // It may refuse before it has read everything.
        let _ = stream.write_all(request.as_ref()).await;
        if hangs_up {
            let _ = stream.shutdown().await;
        }
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
        String::from_utf8_lossy(&received).into_owned()
    }

    #[track_caller]
    fn checked(&self, path: &str, answer: Answer) -> Answer {
        if answer.status.is_client_error() || answer.status.is_server_error() {
            match path {
                "/oauth/token" => answer.assert_is_an_oauth_failure(),
                path if path.starts_with("/api/v2/") => answer.assert_is_the_upstreams_failure(),
                _ => answer.assert_is_a_problem(),
            }
        }
        let whole = format!("{:?} {}", answer.headers, answer.text());
        let secrets = self.simulator.issued_tokens().into_iter();
        for secret in secrets.chain([SECRET.to_owned(), self.upstream.to_string()]) {
            assert!(!whole.contains(&secret), "an answer tells {secret}: {whole}");
        }
        answer
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Waits until the service has ended; whether everything was answered.
    pub(crate) async fn finished(&mut self) -> bool {
        (&mut self.finished).await.expect("the service does not panic")
    }

    /// Stops the service in order and starts it anew before the same Genesys Cloud, which forgets who asked.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|| ()).await;
    }

    /// The same; something happens while it is down.
    pub(crate) async fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        self.stop.cancel();
        assert!(self.finished().await, "everything is answered");
        meanwhile();
        (self.address, self.stop, self.finished) = serve(&self.settings, &self.clock);
        self.simulator.journal().clear();
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
        for token in self.simulator.issued_tokens() {
            self.watch.guard_secret(&token);
        }
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

    /// A failure as it crossed the wire: status, header fields, body, for a snapshot. What every failure has alike and
    /// what differs from run to run is checked, then left out.
    #[track_caller]
    pub(crate) fn failure(&self) -> String {
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
        let mut text = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            if !COMMON_FIELDS.contains(&name.as_str()) {
                writeln!(text, "{name}: {}", value.to_str().expect("headers are ASCII")).expect("memory takes it");
            }
        }
        let mut problem = self.json();
        hide(&mut problem, "/requestId");
        hide(&mut problem, "/upstream/correlationId");
        write!(text, "\n{problem:#}").expect("memory takes it");
        text
    }

    /// The last part of a problem's type.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        let problem = self.json();
        let kind = problem["type"].as_str().expect("a problem has a type");
        let slug = kind.strip_prefix("urn:genesys-reports:problem:");
        slug.expect("problems have one family of types").to_owned()
    }

    fn parse(received: &str) -> Self {
        let (head, body) = received.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let fields = lines.map(|line| line.split_once(": ").expect("a field has a name and a value"));
        Self {
            status: status.and_then(|status| status.parse().ok()).expect("a status"),
            headers: fields
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
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

    /// The shape in which programs on the upstream's own paths expect a failure.
    #[track_caller]
    fn assert_is_the_upstreams_failure(&self) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        if self.body.is_empty() {
            return;
        }
        let failure = self.json();
        assert_eq!(failure["status"], self.status.as_u16(), "{failure}");
        assert_eq!(failure["requestId"], self.header("x-request-id"), "{failure}");
        for field in ["message", "code", "contextId"] {
            assert!(failure[field].is_string(), "{field} in {failure}");
        }
        assert!(
            failure["details"].is_array() && failure["errors"].is_array(),
            "{failure}"
        );
    }

    #[track_caller]
    fn assert_is_an_oauth_failure(&self) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let failure = self.json();
        assert!(failure["error"].is_string(), "{failure}");
        assert_eq!(failure["error_description"], failure["description"], "{failure}");
        assert_eq!(failure["requestId"], self.header("x-request-id"), "{failure}");
    }
}

/// Waits for something on its way, and lets the paused clock stand meanwhile, for a moment. The kernel may put off an
/// acknowledgement by 40 ms, and a busy machine by more, which looks like idleness: the clock would jump over a writer's
/// patience with its reader.
async fn in_real_time<T>(coming: impl Future<Output = T>) -> T {
    const MOMENT: Duration = Duration::from_millis(150);
    let (came, waits) = std::sync::mpsc::channel::<()>();
    // The clock stands while a blocking task runs.
    tokio::task::spawn_blocking(move || waits.recv_timeout(MOMENT));
    let thing = coming.await;
    drop(came);
    thing
}

/// The path of a request as it is sent.
fn path_of(request: &[u8]) -> String {
    let line = String::from_utf8_lossy(request);
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

const COMMON_FIELDS: [&str; 9] = [
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "referrer-policy",
    "vary",
    "x-content-type-options",
    "x-request-id",
];

/// Replaces an id by the word for it.
#[track_caller]
fn hide(document: &mut Value, pointer: &str) {
    if let Some(value) = document.pointer_mut(pointer) {
        let id = value.as_str().expect("an id is a text");
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{pointer} is {id}");
        *value = Value::from("[uuid]");
    }
}

/// With room for a crowd: a connection beyond the backlog is tried again after a second of real time, during which
/// paused time runs away.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("sockets can be had");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(loopback).expect("a loopback port is free");
    let listener = socket.listen(2048).expect("a bound socket can listen");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

/// A connection that sends what it is given at once: what the kernel holds back until an acknowledgement comes looks like
/// idleness, and the paused clock jumps.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        // Bodies as they are sent: what asks for compressed ones reads them itself.
        .no_gzip()
        // Hours pass in no time here: a connection kept would be found closed by the service only in use.
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client without TLS material")
}
