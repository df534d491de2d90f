//! The service takes on what it can carry, refuses the rest at once, and stays answerable about itself.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::service::Setup;

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
        .request(Method::GET, &question(1))
        .timeout(Duration::from_secs(2));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert_eq!(service.get(&question(2)).await.status, 200);
}

/// However many routes, connections and versions of HTTP they come by: the layers of one service count in one place.
#[tokio::test(start_paused = true)]
async fn the_places_are_shared_by_all_routes_and_connections() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "3")
        .set("REPORTS_SERVER__QUEUE", "2");
    let service = setup.start().await;
    // The login, and the names that are asked for by and by, are not what is counted here.
    assert_eq!(service.get("/v1/lookups/queues").await.status, 200);
    service.simulator.set_latency(Duration::from_secs(4));
    let multiplexed = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{}{path}", service.address);
    let body = r#"{"dateFrom":"2023-11-02","dateTo":"2023-11-03","select":["conversation.count"]}"#;
    let requests = [
        service.request(Method::GET, &question(4)),
        service
            .request(Method::POST, "/v1/query")
            .header("content-type", "application/json")
            .body(body),
        service.request(Method::GET, "/v1/conversations?dateFrom=2023-11-05&dateTo=2023-11-06"),
        service.request(
            Method::GET,
            "/v1/conversations?dateFrom=2023-11-07&dateTo=2023-11-08&format=ndjson",
        ),
        service.request(Method::GET, "/v1/now/queues"),
        service.request(Method::GET, "/v1/lookups/skills"),
        service.request(
            Method::GET,
            "/v1/reports/queue-performance?from=2023-11-09&to=2023-11-10",
        ),
        multiplexed.get(url(&question(10))),
        multiplexed.get(url(&question(11))),
        multiplexed.get(url("/v1/lookups/divisions")),
    ];
    let mut asked = JoinSet::new();
    for request in requests {
        asked.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let mut statuses = asked.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 5], vec![503; 5]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_given_up_and_takes_no_place_meanwhile() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = Arc::new(setup.start().await);
    let slow = tokio::spawn({
        let service = Arc::clone(&service);
        async move {
            let head = "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                        content-length: 100\r\n\r\n{";
            let start = Instant::now();
            let answer = service.send_raw(head).await;
            (
                answer.status.as_u16(),
                answer.problem(),
                answer.header("connection").to_owned(),
                start.elapsed().as_secs(),
            )
        }
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.get(&question(1)).await.status, 200);
    let expected = (408, "body-too-slow".to_owned(), "close".to_owned(), 10);
    assert_eq!(slow.await.unwrap(), expected);
}
