//! The service takes on what it can carry, refuses the rest at once, and stays answerable about itself.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::support::service::{Service, Setup};

/// One of thirty questions that share nothing.
fn question(day: usize) -> String {
    let (from, to) = (day + 1, day + 2);
    format!("/v1/query?dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}&select=conversation.count")
}

#[tokio::test(start_paused = true)]
async fn places_are_taken_then_the_queue_then_callers_are_refused_at_once() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "2")
        .set("REPORTS_SERVER__QUEUE", "3");
    let service = Arc::new(setup.start().await);
    service.simulator.set_latency(Duration::from_secs(4));
    let start = Instant::now();
    let asked: Vec<_> = (0..8)
        .map(|day| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let answer = service.get(&question(day)).await;
                (
                    answer.status.as_u16(),
                    answer.header("retry-after").to_owned(),
                    start.elapsed().as_secs(),
                )
            })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;

    // Full, and still there for those who ask how it is.
    for path in [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/docs/",
        "/",
    ] {
        let before = Instant::now();
        assert_eq!(service.get(path).await.status, 200, "{path}");
        assert_eq!(before.elapsed(), Duration::ZERO, "{path}");
    }
    let metrics = service.get("/metrics").await.text();
    assert!(!metrics.contains("http_server_requests_shed_total 0"), "{metrics}");
    assert!(metrics.contains("http_server_requests_shed_total"), "{metrics}");

    let mut seen = Vec::new();
    for asked in asked {
        seen.push(asked.await.unwrap());
    }
    seen.sort();
    let (served, refused): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(status, ..)| *status == 200);
    let refusal = (503, "1".to_owned(), 0);
    assert_eq!(refused, vec![refusal; 3], "at once");
    // The first pays for the login; two at a time from then on.
    let at: Vec<u64> = served.iter().map(|(.., at)| *at).collect();
    assert_eq!(at, [8, 8, 12, 12, 16]);
    assert_eq!(
        (
            service.upstream_calls(),
            service.simulator.journal().most_simultaneous()
        ),
        (5, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_the_place_back() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = setup.start().await;
    service.simulator.set_latency(Duration::from_secs(10));
    let impatient = service
        .request(reqwest::Method::GET, &question(1))
        .timeout(Duration::from_secs(2));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert_eq!(service.get(&question(2)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn slow_heads_and_silent_connections_are_closed() {
    let service = Service::start().await;
    for (name, first, drop) in [
        ("silent", "", ""),
        ("stops in the head", "GET /health/live HTTP/1.1\r\nhost:", ""),
        (
            "a byte at a time",
            "GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ",
            "x",
        ),
    ] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let start = Instant::now();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(count @ 1..) => received.extend_from_slice(&buffer[..count]),
                    _ => break,
                },
                () = sleep(Duration::from_secs(3)) => { let _ = stream.write_all(drop.as_bytes()).await; }
            }
        }
        let took = start.elapsed().as_secs();
        assert!((10..=12).contains(&took), "{name}: closed after {took} s");
        let received = String::from_utf8_lossy(&received);
        assert!(
            received.is_empty() || received.starts_with("HTTP/1.1 408"),
            "{name}: {received}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_has_the_requests_deadline() {
    let service = Service::start().await;
    let head = "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let start = Instant::now();
    let answer = service.send_raw(head).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (504, "deadline"));
    let took = start.elapsed().as_secs();
    assert!((30..=41).contains(&took), "closed after {took} s");
}

#[tokio::test(start_paused = true)]
async fn many_connections_that_say_nothing_keep_nobody_out() {
    let service = Service::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(service.address).await.unwrap());
    }
    assert_eq!(service.get(&question(1)).await.status, 200);
    service.pass(11).await;
    let metrics = service.get("/metrics").await.text();
    let open = metrics
        .lines()
        .find_map(|line| line.strip_prefix("http_server_connections "));
    let open: f64 = open.expect("it is counted").parse().unwrap();
    assert!(open < 10.0, "{open} connections are open");
}
