//! Nothing secret is told: not in a log line of any crate at the highest level, not in an answer, not in a metric;
//! and what callers make up neither forges log lines nor multiplies metrics.

use std::collections::BTreeSet;

use genesys_reports::simulator::{
    Grants,
    faults::{Effect, Fault, Garbage},
};
use reqwest::Method;
use serde_json::json;

use crate::support::{
    service::{Answer, SECRET, Service, Setup},
    watch::Watch,
};

const QUERY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=routing.queue.name,conversation.count";

/// Every way a credential travels, with the whole log of every crate watched by the harness, which fails on a leak.
#[tokio::test(start_paused = true)]
async fn credentials_are_told_nowhere() {
    let signs = "canary-5b1f-what-tokens-are-signed-with";
    let (setup, key) = Setup::new()
        .set("REPORTS_AUTH__TOKEN_SECRET", signs)
        .key("\"read\", \"export\"", "");
    let mut watch = Watch::start_at("trace");
    watch.guard_secret(&key);
    watch.guard_secret(signs);
    let guess = "canary-guess-8f2d";
    watch.guard_secret(guess);
    let mut service = setup.start_watched(watch).await;
    service.expect_error("This service lacks a permission in Genesys Cloud");
    service.expect_error("Genesys Cloud refuses this service's credentials");
    service.expect_error("the login service refuses us");

    let with = |path: &str, key: &str| service.request(Method::GET, path).bearer_auth(key);
    let mut answers = Vec::new();
    let mut ask = async |request| answers.push(service.send(request).await);
    ask(with(QUERY, &key)).await;
    ask(with(QUERY, guess)).await;
    ask(service.request(Method::GET, QUERY).header("x-api-key", guess)).await;
    ask(service
        .request(Method::GET, QUERY)
        .header("authorization", format!("Basic {guess}")))
    .await;
    let body = json!({"dateFrom": "today", "select": ["nothing"]}).to_string();
    let invalid = service
        .request(Method::POST, "/v1/query")
        .header("content-type", "application/json");
    ask(invalid.bearer_auth(&key).body(body)).await;
    ask(with(
        "/v1/conversations?dateFrom=2023-11-30&dateTo=2023-12-01&format=ndjson",
        &key,
    ))
    .await;

    // What stands for a key is as secret as a key; a link's is told to who makes it only.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "test-0"),
        ("client_secret", &key),
    ];
    let granted = service.request(Method::POST, "/oauth/token").form(&form);
    let granted = service.send(granted).await.json();
    let token = granted["access_token"].as_str().unwrap().to_owned();
    let link = service
        .request(Method::POST, "/v1/reports/queues-now/links")
        .header("content-type", "application/json");
    let link = service
        .send(link.bearer_auth(&token).body("{\"parameters\": {}}"))
        .await
        .json();
    let shown = link["url"].as_str().unwrap();
    let shared = shown.split_once('=').unwrap().1.to_owned();
    ask(with(QUERY, &token)).await;
    ask(with(QUERY, &shared)).await;
    ask(service.request(Method::GET, &format!("/v1/reports/queues-now?share={shared}x"))).await;

    // What goes wrong upstream is where credentials like to surface.
    for (day, effect) in [
        Effect::status(401),
        Effect::status(503),
        Effect::Garbage { kind: Garbage::Html },
        Effect::Reset { after_bytes: None },
        Effect::BlackHole,
    ]
    .into_iter()
    .enumerate()
    {
        service.fault(Fault::new(effect).on_api().once());
        let path = format!("/v1/query?dateFrom=2023-11-{}&dateTo=2023-11-20", day + 10);
        ask(with(&path, &key)).await;
    }
    service.simulator.set_permissions(Grants::only([]));
    ask(with("/v1/query?dateFrom=2023-11-01&dateTo=2023-11-02", &key)).await;
    service.simulator.set_secret("changed");
    service.simulator.revoke_tokens();
    service.pass(60).await;
    ask(with("/v1/query?dateFrom=2023-11-02&dateTo=2023-11-03", &key)).await;
    for path in ["/metrics", "/health/ready", "/openapi.json", "/"] {
        ask(service.request(Method::GET, path)).await;
    }

    let statuses: BTreeSet<u16> = answers.iter().map(|answer: &Answer| answer.status.as_u16()).collect();
    assert_eq!(
        statuses,
        BTreeSet::from([200, 401, 422, 502, 503]),
        "all of it was provoked"
    );
    assert!(service.simulator.issued_tokens().len() > 1);
    for answer in &answers {
        let whole = format!("{:?} {}", answer.headers, answer.text());
        for secret in [SECRET, &key, guess, signs, &token, &shared, "simulated-client"] {
            assert!(!whole.contains(secret), "an answer tells {secret}: {whole}");
        }
    }
    let log = service.log();
    assert!(log.contains("TRACE"), "the log was whole");
    for secret in [&token, &shared] {
        let at = log.lines().find(|line| line.contains(secret.as_str()));
        // What the caller itself sends is in the log of its own HTTP client, in this process.
        assert!(at.is_none_or(|line| !line.contains("genesys_reports")), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_neither_forge_nor_flood_log_lines() {
    let service = Service::start().await;
    let forged = "x%0aERROR%20forged%1b[31m%e2%80%ae";
    service.get(&format!("/v1/{forged}")).await;
    service
        .get(&format!("/v1/query?dateFrom={forged}&{forged}={forged}"))
        .await;
    service
        .post(
            "/v1/query",
            &json!({"dateFrom": "x\nERROR forged\u{1b}[31m\u{202e}", "\nERROR forged": 1}),
        )
        .await;
    let id = service
        .request(Method::GET, "/health/live")
        .header("x-request-id", "two words forged");
    let answer = service.send(id).await;
    assert!(!answer.header("x-request-id").contains("forged"));
    let id = service
        .request(Method::GET, "/health/live")
        .header("x-request-id", "abc-1");
    assert_eq!(service.send(id).await.header("x-request-id"), "abc-1");
    let log = service.log();
    assert!(!log.lines().any(|line| line.trim_start().starts_with("ERROR")), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "{log}");
    assert!(log.lines().all(|line| line.len() < 2000), "{log}");
}

#[tokio::test(start_paused = true)]
async fn random_requests_do_not_multiply_metrics() {
    let service = Service::start().await;
    let series = async || {
        let metrics = service.get("/metrics").await.text();
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, _)| series.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let wander = async |round: usize| {
        for step in 0..50 {
            let path = format!(
                "/{}/{round}-{step}",
                ["v1", "docs", "api", "v1/query", "health"][step % 5]
            );
            service.get(&path).await;
            let method = Method::from_bytes(format!("BREW{round}{step}").as_bytes()).unwrap();
            service.send(service.request(method, &path)).await;
            let header = service.request(Method::GET, &format!("/v1/query?x{round}{step}=1"));
            service
                .send(
                    header
                        .header("user-agent", &path)
                        .header("host", format!("{round}.example")),
                )
                .await;
        }
    };
    service.get("/metrics").await;
    wander(0).await;
    let before = series().await;
    wander(1).await;
    let after = series().await;
    assert_eq!(after, before, "new names are no new series");
    for series in &after {
        let routes: Vec<_> = series
            .split("route=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        for route in routes {
            assert!(ROUTES.contains(&route), "{route} is no route: {series}");
        }
    }
}

/// Templates, never paths.
const ROUTES: [&str; 11] = [
    "/",
    "/docs",
    "/docs/",
    "/docs/{*path}",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/v1/conversations",
    "/v1/query",
    "unmatched",
];
