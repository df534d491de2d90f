//! A stop loses nothing: first balancers are told, then nothing more is accepted, then what runs is finished, and
//! only what never ends is cut off.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use genesys_reports::simulator::faults::{Effect, Fault};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::support::service::{Service, Setup, connect};

const DAY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";

fn question(day: usize) -> String {
    let (from, to) = (day + 1, day + 2);
    format!("/v1/query?dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}&select=conversation.count")
}

#[tokio::test(start_paused = true)]
async fn readiness_says_no_first_and_everybody_is_answered_meanwhile() {
    let mut service = Service::start().await;
    assert_eq!(service.get("/health/ready").await.status, 200);
    let silent = connect(service.address).await.unwrap();
    let start = Instant::now();
    service.stop.cancel();
    tokio::task::yield_now().await;

    let ready = service.get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), ready.problem().as_str()), (503, "not-ready"));
    assert_eq!(ready.json()["reasons"][0], "the service is stopping");
    assert_eq!(service.get("/health/live").await.status, 200, "alive all the same");
    for wait in [0, 2, 2] {
        service.pass(wait).await;
        let answer = service.get(DAY).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    }
    assert!(service.finished().await, "everything was answered");
    assert_eq!(
        start.elapsed().as_secs(),
        5,
        "nobody waits for a connection that says nothing"
    );
    drop(silent);
    assert!(connect(service.address).await.is_err(), "nothing more is accepted");
    assert!(service.log().contains("stopped; everything was answered"));
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_finished() {
    let mut service = Setup::new().set("REPORTS_SERVER__DRAIN_S", "0").start().await;
    // One for the token, one for the figures.
    service.simulator.set_latency(Duration::from_secs(6));
    let clients: Vec<_> = (0..28)
        .map(|day| service.request(reqwest::Method::GET, &question(day)))
        .chain([service.request(
            reqwest::Method::GET,
            "/v1/conversations?dateFrom=2023-11-30&dateTo=2023-12-01&format=ndjson",
        )])
        .map(|request| {
            tokio::spawn(async move {
                let response = request.send().await.expect("an answer");
                (
                    response.status().as_u16(),
                    response.bytes().await.expect("a whole body").len(),
                )
            })
        })
        .collect();
    service.pass(1).await;
    let start = Instant::now();
    service.stop.cancel();
    service.pass(1).await;
    assert!(connect(service.address).await.is_err(), "nothing more is accepted");
    assert!(service.finished().await);
    assert!(start.elapsed() > Duration::from_secs(10), "{:?}", start.elapsed());
    for client in clients {
        let (status, length) = client.await.unwrap();
        assert_eq!(status, 200);
        assert!(length > 100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_cut_off_visibly() {
    let mut service = Setup::new().set("REPORTS_SERVER__DRAIN_S", "3").start().await;
    service.expect_error("stopped; requests still under way were cut off");
    service.fault(
        Fault::new(Effect::BlackHole)
            .on_path("/api/v2/analytics/conversations/details/query")
            .on_body("/paging/pageNumber", 4),
    );
    let stream = "/v1/conversations?dateFrom=2023-11-20&dateTo=2023-11-30&format=ndjson";
    let mut response = service.request(reqwest::Method::GET, stream).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let reader = tokio::spawn(async move {
        loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    service.pass(1).await;
    let start = Instant::now();
    service.stop.cancel();
    assert!(!service.finished().await, "it says that something was cut off");
    assert_eq!(start.elapsed().as_secs(), 25);
    assert!(reader.await.unwrap().is_err(), "never a shorter valid body");
    let named = "route=\"/v1/conversations\"";
    let log = service.log();
    assert!(
        log.lines()
            .any(|line| line.contains("ended before its answer") && line.contains(named)),
        "{log}"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_connections_delay_the_end_by_less_than_a_second() {
    let mut service = Service::start().await;
    let silent = connect(service.address).await.unwrap();
    let mut kept = connect(service.address).await.unwrap();
    assert!(ask(&mut kept, DAY).await.unwrap().starts_with("HTTP/1.1 200"));
    let multiplexed = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let live = format!("http://{}/health/live", service.address);
    assert_eq!(multiplexed.get(&live).send().await.unwrap().status(), 200);
    service.pass(20).await;
    let start = Instant::now();
    service.stop.cancel();
    assert!(service.finished().await);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    drop((silent, kept));
}

/// A request may be on its way on a kept connection when nothing more is accepted, or have come in in part.
#[tokio::test(start_paused = true)]
async fn what_has_begun_to_come_in_is_answered() {
    let mut service = Service::start().await;
    let (mut late, mut in_part, mut with_body) = (
        connect(service.address).await.unwrap(),
        connect(service.address).await.unwrap(),
        connect(service.address).await.unwrap(),
    );
    for stream in [&mut late, &mut in_part, &mut with_body] {
        ask(stream, DAY).await.unwrap();
    }
    let body = format!(
        "{:16384}",
        r#"{"dateFrom":"2023-11-30","dateTo":"2023-12-01","select":["conversation.count"]}"#
    );
    service.stop.cancel();
    sleep(Duration::from_secs(4)).await;
    in_part
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let head = "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 16384\r\n\r\n";
    with_body.write_all(head.as_bytes()).await.unwrap();
    with_body.write_all(&body.as_bytes()[..8192]).await.unwrap();
    sleep(Duration::from_millis(1300)).await;
    assert!(connect(service.address).await.is_err(), "nothing more is accepted");
    let answer = ask(&mut late, DAY).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    sleep(Duration::from_secs(2)).await;
    in_part.write_all(b"\r\n").await.unwrap();
    with_body.write_all(&body.as_bytes()[8192..]).await.unwrap();
    for stream in [&mut in_part, &mut with_body] {
        let answer = read_answer(stream).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
    }
    assert!(service.finished().await);
}

#[tokio::test(start_paused = true)]
async fn multiplexed_requests_move_on_and_none_fails() {
    let mut service = Service::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("http://{}{DAY}", service.address);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    service.stop.cancel();
    for _ in 0..48 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    }
    assert!(service.finished().await);
}

/// Asks on a connection that is kept and reads the answer.
async fn ask(stream: &mut TcpStream, path: &str) -> Result<String, String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    read_answer(stream).await
}

/// Reads one answer of known length.
async fn read_answer(stream: &mut TcpStream) -> Result<String, String> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("no length")?.parse().map_err(|_| "no length")?;
            if body.len() >= length {
                return Ok(text.into_owned());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(format!("closed after {} bytes", received.len())),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) => return Err(error.to_string()),
        }
    }
}

// ── the real process, in real time ──

/// Five hundred requests a second on kept connections, fifty bodies half sent, idle connections and five that watch
/// beside them.
#[tokio::test]
async fn no_request_fails_when_the_process_is_told_to_stop_under_load() {
    let mut demo = Demo::start("3").await;
    let address = demo.address;
    let first = ask(&mut connect(address).await.unwrap(), YESTERDAY).await.unwrap();
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(address).await.unwrap();
        ask(&mut stream, YESTERDAY).await.unwrap();
        idle.push(stream);
    }
    let (told, stopping) = tokio::sync::watch::channel(None);
    let callers: Vec<_> = (0..50)
        .map(|_| tokio::spawn(ask_ten_times_a_second(address, stopping.clone())))
        .collect();
    let bodies: Vec<_> = (0..50)
        .map(|_| tokio::spawn(send_a_body_in_two_parts(address, stopping.clone())))
        .collect();
    let watching: Vec<_> = (0..5).map(|_| tokio::spawn(watch_to_the_end(address))).collect();
    sleep(Duration::from_secs(2)).await;
    demo.signal().await;
    told.send(Some(Instant::now())).unwrap();
    // The drain time is what balancers need to see this, and this is how soon they could.
    sleep(Duration::from_millis(100)).await;
    let ready = ask(&mut connect(address).await.unwrap(), "/health/ready")
        .await
        .unwrap();
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");

    let (mut asked, mut asked_to_close) = (0, 0);
    for caller in callers {
        let (answers, closes) = caller.await.unwrap();
        asked += answers;
        asked_to_close += closes;
    }
    for body in bodies {
        let answer = body.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for watching in watching {
        let events = watching.await.unwrap();
        let (_, last) = events.rsplit_once("event: ").expect("events");
        assert!(last.starts_with("end\n") && last.ends_with("\r\n0\r\n\r\n"), "{last}");
    }
    // At the asked rate there are some 2,250; how many a busy machine manages is not the point.
    assert!(
        asked > 500 && asked_to_close > 50,
        "{asked} answers, {asked_to_close} last ones"
    );
    let status = timeout(Duration::from_secs(20), demo.process.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(status.code(), Some(0));
    drop(idle);
}

/// Until shortly before the drain is over; how many answers came, and how many of them asked for the connection's end.
async fn ask_ten_times_a_second(address: SocketAddr, stopping: Stopping) -> (usize, usize) {
    const UNTIL_SHORTLY_BEFORE_THE_END: Duration = Duration::from_millis(2500);
    let (mut asked, mut asked_to_close) = (0, 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut kept = None;
    while stopping
        .borrow()
        .is_none_or(|since| since.elapsed() < UNTIL_SHORTLY_BEFORE_THE_END)
    {
        ticks.tick().await;
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(address).await.expect("it accepts until the drain is over"),
        };
        let answer = ask(&mut stream, YESTERDAY).await.expect("no request fails");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        asked += 1;
        if answer.contains("connection: close") {
            asked_to_close += 1;
        } else {
            kept = Some(stream);
        }
    }
    (asked, asked_to_close)
}

async fn send_a_body_in_two_parts(address: SocketAddr, mut stopping: Stopping) -> String {
    let body = format!(
        "{:16384}",
        r#"{"dateFrom":"yesterday","select":["conversation.count"]}"#
    );
    let head = "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 16384\r\n\r\n";
    let mut stream = connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..8192]).await.unwrap();
    stopping.wait_for(Option::is_some).await.unwrap();
    stream.write_all(&body.as_bytes()[8192..]).await.unwrap();
    read_answer(&mut stream).await.expect("a body in flight is answered")
}

async fn watch_to_the_end(address: SocketAddr) -> String {
    let mut stream = connect(address).await.unwrap();
    let request = "GET /v1/live/queues HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut events = Vec::new();
    stream.read_to_end(&mut events).await.expect("it ends in order");
    String::from_utf8_lossy(&events).into_owned()
}

/// When the process was told to stop.
type Stopping = tokio::sync::watch::Receiver<Option<Instant>>;

const YESTERDAY: &str = "/v1/query?dateFrom=yesterday&select=conversation.count";

#[tokio::test]
async fn what_never_ends_is_cut_off_at_the_grace_and_named() {
    // A Genesys Cloud that accepts and says nothing.
    let black_hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", black_hole.local_addr().unwrap());
    let mut process = Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env_clear()
        .envs([
            ("GENESYS_API_URL", url.as_str()),
            ("GENESYS_LOGIN_URL", &url),
            ("GENESYS_CLIENT_ID", "id"),
            ("GENESYS_CLIENT_SECRET", "secret"),
            ("REPORTS_SERVER__REQUEST_TIMEOUT_S", "600"),
            ("REPORTS_UPSTREAM__ATTEMPT_TIMEOUT_S", "300"),
            ("REPORTS_SERVER__DRAIN_S", "0"),
            ("REPORTS_SERVER__GRACE_S", "2"),
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary is built with the tests");
    let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    let line = log.next_line().await.expect("text").expect("it says where it listens");
    let address = line.split("listen=").nth(1).and_then(|rest| rest.split(' ').next());
    let address: SocketAddr = address.expect("an address").parse().expect("an address");
    let caller = tokio::spawn(async move { ask(&mut connect(address).await.unwrap(), DAY).await });
    let (_upstream, _) = black_hole.accept().await.unwrap();
    signal(&process).await;
    let status = timeout(Duration::from_secs(20), process.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(status.code(), Some(1), "not in order");
    assert!(caller.await.unwrap().is_err(), "it cannot be taken for an answer");
    let mut rest = String::new();
    while let Some(line) = log.next_line().await.unwrap() {
        rest.push_str(&line);
        rest.push('\n');
    }
    assert!(rest.contains("route=\"/v1/query\""), "{rest}");
    assert!(rest.contains("requests still under way were cut off"), "{rest}");
}

#[tokio::test]
async fn a_signal_ends_the_process_in_order() {
    let mut demo = Demo::start("5").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("http://{}{path}", demo.address)).send().await;
    assert_eq!(get("/health/ready").await.unwrap().status(), 200);
    let asking: Vec<_> = (0..20)
        .map(|day| {
            let url = format!(
                "http://{}/v1/query?dateFrom=now-{}d/d&dateTo=now-{day}d/d&interval=PT1H&groupBy=queueId",
                demo.address,
                day + 3
            );
            tokio::spawn(client.get(url).send())
        })
        .collect();
    demo.signal().await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(get("/health/ready").await.unwrap().status(), 503);
    let query = get("/v1/query?dateFrom=yesterday").await.unwrap();
    assert_eq!(
        (query.status().as_u16(), query.headers()["connection"].as_bytes()),
        (200, &b"close"[..])
    );
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap().status(), 200);
    }
    let status = timeout(Duration::from_secs(20), demo.process.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut demo = Demo::start("20").await;
    demo.signal().await;
    sleep(Duration::from_millis(300)).await;
    assert!(demo.process.try_wait().unwrap().is_none(), "it drains");
    let start = Instant::now();
    demo.signal().await;
    let status = timeout(Duration::from_secs(5), demo.process.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(1), "not in order");
}

/// `genesys-reports demo` as a process of its own.
struct Demo {
    process: Child,
    address: SocketAddr,
}

impl Demo {
    async fn start(drain_s: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .env_clear()
            .env("REPORTS_SERVER__DRAIN_S", drain_s)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary is built with the tests");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines
                .next_line()
                .await
                .expect("text")
                .expect("it says where it listens");
            if let Some(url) = line.trim().strip_prefix("service     http://") {
                break url.trim_end_matches('/').parse().expect("an address");
            }
        };
        Self { process, address }
    }

    async fn signal(&self) {
        signal(&self.process).await;
    }
}

async fn signal(process: &Child) {
    let id = process.id().expect("it runs");
    let kill = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -TERM {id}"))
        .status()
        .await;
    assert!(kill.expect("there is a shell").success());
}
