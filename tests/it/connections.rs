//! A connection may be kept, and may not keep anybody waiting: silence, slow heads and readers that do not read are
//! ended, too many connections are told so, and TLS is spoken where there is a certificate.

use std::{fs, time::Duration};

use reqwest::{Method, Version};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    command_line::{run, text},
    support::service::{Service, Setup, connect},
};

const DAY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";
/// Probes are answered and let go; this is for connections to be kept.
const HELD: &str =
    "GET /v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads what there is of one answer, whose end is known by this text.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut received = String::new();
    let mut buffer = [0; 4096];
    while !received.ends_with(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed after {received:?}");
        received.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    received
}

/// Seconds until the service closes the connection, while nothing is said on it but `drop`, every three seconds.
async fn seconds_until_closed(stream: &mut TcpStream, drop: &str) -> u64 {
    let start = Instant::now();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return start.elapsed().as_secs(),
                Ok(count) => panic!("it says {:?}", String::from_utf8_lossy(&buffer[..count])),
            },
            () = sleep(Duration::from_secs(3)) => { let _ = stream.write_all(drop.as_bytes()).await; }
        }
    }
}

async fn open_connections(service: &Service) -> f64 {
    let metrics = service.get("/metrics").await.text();
    let open = metrics
        .lines()
        .find_map(|line| line.strip_prefix("http_server_connections "));
    open.expect("it is counted").parse().unwrap()
}

// ── heads ──

#[tokio::test(start_paused = true)]
async fn slow_heads_and_silent_connections_are_closed() {
    let service = Service::start().await;
    for (name, first, drop) in [
        ("silent", "", ""),
        ("stops in the head", "GET /docs HTTP/1.1\r\nhost:", ""),
        ("a byte at a time", "GET /docs HTTP/1.1\r\nhost: x\r\nx-slow: ", "x"),
        ("stops in the preface of HTTP/2", "PRI * HTTP/2.0\r\n", ""),
    ] {
        let mut stream = connect(service.address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        assert_eq!(seconds_until_closed(&mut stream, drop).await, 10, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_outlasts_a_balancer_and_a_head_that_has_begun_does_not() {
    let service = Service::start().await;
    let mut stream = connect(service.address).await.unwrap();
    for wait in [0, 70, 74] {
        service.pass(wait).await;
        stream.write_all(HELD.as_bytes()).await.unwrap();
        read_until(&mut stream, "}").await;
    }
    assert_eq!(seconds_until_closed(&mut stream, "").await, 75, "nothing more is asked");

    let mut stream = connect(service.address).await.unwrap();
    stream.write_all(HELD.as_bytes()).await.unwrap();
    read_until(&mut stream, "}").await;
    service.pass(40).await;
    stream.write_all(b"GET /docs HT").await.unwrap();
    assert_eq!(
        seconds_until_closed(&mut stream, "x").await,
        10,
        "a head that does not come"
    );
}

#[tokio::test(start_paused = true)]
async fn many_connections_that_say_nothing_keep_nobody_out() {
    let service = Service::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect(service.address).await.unwrap());
    }
    assert_eq!(service.get(DAY).await.status, 200);
    service.pass(11).await;
    let open = open_connections(&service).await;
    assert!(open < 10.0, "{open} connections are open");
}

// ── readers ──

/// More than the kernel takes on for the reader.
async fn large_answer(service: &Service) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(service.address).await.unwrap();
    let request =
        "GET /v1/conversations?dateFrom=2023-11-20&dateTo=2023-12-01&format=ndjson HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_nothing_is_cut_off_and_gives_the_place_back() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = setup.start().await;
    let mut stream = large_answer(&service).await;
    service.pass(20).await;
    assert_eq!(service.get(DAY).await.status, 503, "a stream holds its place");
    service.pass(20).await;
    assert_eq!(service.get(DAY).await.status, 200);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest).await;
    let is_whole = ended.is_ok() && rest.ends_with(b"0\r\n\r\n");
    assert!(!is_whole, "never a shorter valid body");
    assert!(
        service.log().contains("/v1/conversations"),
        "the log names what was cut off"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_slowly_gets_everything() {
    // The paused clock leaps while the kernel moves bytes: nobody upstream is to be found slow for that.
    let setup = Setup::new().set("REPORTS_UPSTREAM__ATTEMPT_TIMEOUT_S", "300");
    let service = setup.start().await;
    let mut stream = large_answer(&service).await;
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let start = Instant::now();
    while !received.ends_with(b"\r\n0\r\n\r\n") {
        sleep(Duration::from_secs(1)).await;
        let mut taken = 0;
        // Whatever is there, up to so much in a second.
        while taken < (128 << 10)
            && let Ok(count) = timeout(Duration::ZERO, stream.read(&mut buffer)).await
        {
            let count = count.unwrap();
            assert!(count > 0, "cut off after {} bytes", received.len());
            received.extend_from_slice(&buffer[..count]);
            taken += count;
        }
    }
    assert!(start.elapsed() > Duration::from_mins(1), "{:?}", start.elapsed());
}

// ── too many ──

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_is_told_so_and_probes_are_answered() {
    let setup = Setup::new().set("REPORTS_SERVER__MAX_CONNECTIONS", "64");
    let service = setup.start().await;
    let mut kept = Vec::new();
    // The last thirty-two are for refusals.
    for _ in 0..32 {
        let mut stream = connect(service.address).await.unwrap();
        stream.write_all(HELD.as_bytes()).await.unwrap();
        assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
        kept.push(stream);
    }
    for _ in 0..3 {
        let refused = service.get(DAY).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem().as_str()),
            (503, "overloaded")
        );
        assert_eq!(
            (refused.header("retry-after"), refused.header("connection")),
            ("1", "close")
        );
    }
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let answer = service.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    }
    // Whoever takes such a place and says nothing loses it soon.
    let mut silent = connect(service.address).await.unwrap();
    assert_eq!(seconds_until_closed(&mut silent, "").await, 2);
    let multiplexed = multiplexed().build().unwrap();
    let refused = multiplexed.get(format!("http://{}{DAY}", service.address)).send().await;
    assert_eq!(refused.unwrap().status(), 503);

    // Beyond all of them, connections wait.
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(connect(service.address).await.unwrap());
    }
    sleep(Duration::from_millis(10)).await;
    let limit = service.get("/health/live");
    assert_eq!(limit.await.status, 200, "after those before it have lost their place");
    drop((kept, crowd));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(service.get(DAY).await.status, 200);
}

// ── HTTP/2 ──

fn multiplexed() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().http2_prior_knowledge()
}

#[tokio::test(start_paused = true)]
async fn many_requests_share_a_connection() {
    let service = Service::start().await;
    let client = multiplexed().build().unwrap();
    let url = format!("http://{}", service.address);
    let first = client.get(format!("{url}{DAY}")).send().await.unwrap();
    assert_eq!((first.status().as_u16(), first.version()), (200, Version::HTTP_2));
    let mut asked = tokio::task::JoinSet::new();
    for path in ["/v1/catalog", "/health/live", DAY].repeat(100) {
        let request = client.get(format!("{url}{path}"));
        asked.spawn(async move { request.send().await.unwrap().bytes().await.unwrap().len() });
    }
    assert!(asked.join_all().await.iter().all(|length| *length > 20));
    let open = open_connections(&service).await;
    assert!(
        (open - 2.0).abs() < f64::EPSILON,
        "{open}: this one and that of the metrics"
    );
    // Asked about, it answers; and yet nobody needs it.
    service.pass(60).await;
    assert!((open_connections(&service).await - 2.0).abs() < f64::EPSILON);
    service.pass(30).await;
    assert!((open_connections(&service).await - 1.0).abs() < f64::EPSILON);
    assert_eq!(client.get(format!("{url}{DAY}")).send().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_over_both_versions() {
    let service = Service::start().await;
    let client = multiplexed().build().unwrap();
    let url = format!("http://{}", service.address);
    let fits = " ".repeat((64 << 10) - 2) + "{}";
    for (request, status) in [
        (client.get(format!("{url}/{}", "x".repeat(8 << 10))), 414),
        (client.get(&url).header("x", "y".repeat(32 << 10)), 431),
        (
            (0..101).fold(client.get(&url), |request, index| {
                request.header(format!("x-{index}"), "x")
            }),
            431,
        ),
        (client.post(format!("{url}/v1/query")).body(fits.clone()), 422),
        (client.post(format!("{url}/v1/query")).body(fits + " "), 413),
        (client.post(format!("{url}/v1/query")).body("[".repeat(33)), 400),
    ] {
        let request = request.header("content-type", "application/json");
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    assert_eq!(service.upstream_calls(), 0);
}

// ── TLS ──

/// A certificate and its key, in files.
struct Files {
    directory: TempDir,
    certificate: String,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            certificate: String::new(),
        };
        files.renewed()
    }

    fn renewed(mut self) -> Self {
        let made = rcgen::generate_simple_self_signed(["reports.example".to_owned()]).unwrap();
        self.certificate = made.cert.pem();
        fs::write(self.path("certificate"), &self.certificate).unwrap();
        fs::write(self.path("key"), made.signing_key.serialize_pem()).unwrap();
        self
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    async fn serve(&self) -> Service {
        let setup = Setup::new()
            .set("REPORTS_SERVER__TLS_CERT", &self.path("certificate"))
            .set("REPORTS_SERVER__TLS_KEY", &self.path("key"));
        setup.start().await
    }

    /// A client that knows this certificate and no other.
    fn client(&self, service: &Service, protocol: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Client {
        let certificate = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate])
            .resolve("reports.example", service.address);
        let port = service.address.port();
        Client {
            client: protocol(builder).build().unwrap(),
            base: format!("https://reports.example:{port}"),
        }
    }
}

struct Client {
    client: reqwest::Client,
    base: String,
}

impl Client {
    async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.client.get(format!("{}{path}", self.base)).send().await
    }
}

#[tokio::test(start_paused = true)]
async fn tls_is_spoken_in_both_versions_and_nothing_else() {
    let files = Files::new();
    let service = files.serve().await;
    for (client, version) in [
        (files.client(&service, |builder| builder), Version::HTTP_2),
        (
            files.client(&service, reqwest::ClientBuilder::http1_only),
            Version::HTTP_11,
        ),
    ] {
        let answer = client.get(DAY).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert!(answer.bytes().await.unwrap().len() > 100);
    }
    let plain = service.exchange_raw(HELD, false).await;
    assert!(!plain.contains("HTTP"), "{plain}");
    let mut silent = connect(service.address).await.unwrap();
    assert_eq!(seconds_until_closed(&mut silent, "").await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let files = Files::new();
    let service = files.serve().await;
    let before = files.client(&service, |builder| builder);
    assert_eq!(before.get("/health/live").await.unwrap().status(), 200);
    let files = files.renewed();
    service.pass(6).await;
    let after = files.client(&service, |builder| builder);
    assert_eq!(after.get("/health/live").await.unwrap().status(), 200);
    assert_eq!(
        before.get("/health/live").await.unwrap().status(),
        200,
        "what is connected stays"
    );
}

#[tokio::test]
async fn the_health_check_speaks_tls_too() {
    let files = Files::new();
    let service = files.serve().await;
    let (listen, certificate, key) = (
        service.address.to_string(),
        files.path("certificate"),
        files.path("key"),
    );
    let settings = [
        ("REPORTS_SERVER__LISTEN", listen.as_str()),
        ("REPORTS_SERVER__TLS_CERT", &certificate),
        ("REPORTS_SERVER__TLS_KEY", &key),
    ];
    let output = run(&["healthcheck"], &settings).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(&["healthcheck"], &settings[..1]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

/// It is answered by whoever accepts connections, and so gets one answer: what else is asked belongs to others.
#[tokio::test(start_paused = true)]
async fn a_probe_is_answered_and_let_go() {
    let service = Service::start().await;
    for (path, status) in [("/health/live", 200), ("/health/ready", 200), ("/health/other", 404)] {
        let mut stream = connect(service.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.repeat(2).as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{answers}");
        assert!(answers.contains("connection: close"), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    }
}

/// What the other tests of requests do not see: a second request on the same connection after a refused first.
#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_cost_the_connection() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = setup.start().await;
    service.simulator.set_latency(Duration::from_secs(4));
    let busy = tokio::spawn(service.request(Method::GET, DAY).send());
    sleep(Duration::from_secs(1)).await;
    let mut stream = connect(service.address).await.unwrap();
    let request = format!("GET {DAY} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let refused = read_until(&mut stream, "}").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(busy.await.unwrap().unwrap().status(), 200);
    stream.write_all(request.as_bytes()).await.unwrap();
    let answered = read_until(&mut stream, "}").await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
}
