//! A stop loses nothing: first balancers are told, then nothing more is accepted, then what runs is finished, and
//! only what never ends is cut off.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use genesys_reports::simulator::faults::{Effect, Fault};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::support::service::{Service, Setup};

const DAY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";

fn question(day: usize) -> String {
    let (from, to) = (day + 1, day + 2);
    format!("/v1/query?dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}&select=conversation.count")
}

#[tokio::test(start_paused = true)]
async fn readiness_says_no_first_and_everybody_is_answered_meanwhile() {
    let mut service = Service::start().await;
    assert_eq!(service.get("/health/ready").await.status, 200);
    let silent = TcpStream::connect(service.address).await.unwrap();
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
    assert!(
        TcpStream::connect(service.address).await.is_err(),
        "nothing more is accepted"
    );
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
    assert!(
        TcpStream::connect(service.address).await.is_err(),
        "nothing more is accepted"
    );
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
    assert_eq!(start.elapsed().as_secs(), 3 + 25);
    assert!(reader.await.unwrap().is_err(), "never a shorter valid body");
}

// ── the real process, in real time ──

#[tokio::test]
async fn a_signal_ends_the_process_in_order() {
    let mut demo = Demo::start("1").await;
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
    let mut demo = Demo::start("60").await;
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
        let id = self.process.id().expect("it runs");
        let kill = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -TERM {id}"))
            .status()
            .await;
        assert!(kill.expect("there is a shell").success());
    }
}
