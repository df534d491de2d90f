//! An answer says where it came from and how long it is good for, and is not sent to those who hold it already.

use reqwest::Method;
use serde_json::json;

use crate::support::service::{Answer, Service};

/// Yesterday's conversations: fresh for an hour.
const DAY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";
/// Until now: fresh for half a minute.
const TODAY: &str = "/v1/query?dateFrom=today&select=conversation.count";

const PROVENANCE: [&str; 7] = [
    "etag",
    "age",
    "cache-control",
    "cache-status",
    "vary",
    "x-data-as-of",
    "x-data-complete",
];

async fn get_with(service: &Service, path: &str, name: &str, value: &str) -> Answer {
    service
        .send(service.request(Method::GET, path).header(name, value))
        .await
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_not_sent_again() {
    let service = Service::start().await;
    let fetched = service.get(DAY).await;
    let tag = fetched.header("etag").to_owned();
    let opaque = tag.strip_prefix("W/").expect("a weak tag");
    service.pass(100).await;
    let held = service.get(DAY).await;
    assert_eq!(
        held.header("etag"),
        tag,
        "whoever fetched it holds what others are given"
    );

    let same = [
        tag.clone(),
        opaque.to_owned(),
        "*".to_owned(),
        format!("\"x\", {tag}"),
        format!("W/\"a,b\",{opaque}"),
    ];
    for list in same {
        let answer = get_with(&service, DAY, "if-none-match", &list).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{list}");
        for name in PROVENANCE {
            assert_eq!(answer.header(name), held.header(name), "{name} of {list}");
        }
        assert_eq!(
            (answer.header("content-type"), answer.header("content-length")),
            ("", ""),
            "{list}"
        );
    }
    for list in ["\"x\"", "W/\"x\"", "x", "\"", ""] {
        let answer = get_with(&service, DAY, "if-none-match", list).await;
        assert_eq!(answer.status, 200, "{list}");
        assert_eq!(answer.body, held.body, "{list}");
    }
    assert_eq!(service.upstream_calls(), 1);
}

/// What stands before what tells how an answer came about.
fn figures(answer: &Answer) -> String {
    let text = answer.text();
    text.split(",\"meta\":").next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn held_figures_are_the_same_in_every_form_and_change_when_they_do() {
    let service = Service::start().await;
    let question = "dateFrom=now-3d/d&dateTo=now&interval=PT1H&groupBy=routing.queue.id&select=routing.queue.id,conversation.offered";
    let forms: Vec<String> = [
        "",
        "&format=table",
        "&format=csv",
        "&format=ndjson",
        "&page=2&pageSize=7",
        "&page=3&pageSize=7",
    ]
    .iter()
    .map(|form| format!("/v1/query?{question}{form}"))
    .chain(["/v1/reports/queue-performance?from=now-3d/d&to=now&interval=PT1H".to_owned()])
    .collect();
    let mut before = Vec::new();
    for form in &forms {
        let [first, second] = [service.get(form).await, service.get(form).await];
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200), "{form}");
        assert_eq!(
            (figures(&first), first.header("etag")),
            (figures(&second), second.header("etag")),
            "{form}"
        );
        assert_eq!(first.header("content-length"), first.body.len().to_string(), "{form}");
        assert_eq!(second.header("content-length"), second.body.len().to_string(), "{form}");
        assert!(!before.contains(&figures(&first)), "{form} is like another");
        before.push(figures(&first));
    }
    service.pass(3600).await;
    for (form, before) in forms.iter().zip(&before).filter(|(form, _)| !form.contains("page=")) {
        assert_ne!(&figures(&service.get(form).await), before, "{form}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_figures_other_formats_and_other_fetches_have_other_tags() {
    let service = Service::start().await;
    let tag = async |path: &str| service.get(path).await.header("etag").to_owned();
    let first = tag(TODAY).await;
    let others = [
        tag(DAY).await,
        tag(&format!("{TODAY}&format=ndjson")).await,
        tag(&format!("{TODAY}&groupBy=routing.queue.id")).await,
        tag(&format!("{TODAY}&pageSize=7")).await,
        tag("/v1/conversations?dateFrom=2023-11-30&dateTo=2023-12-01").await,
    ];
    assert!(
        others.iter().all(|other| *other != first && !other.is_empty()),
        "{first} {others:?}"
    );
    service.pass(46).await;
    let answer = get_with(&service, TODAY, "if-none-match", &first).await;
    assert_eq!(answer.status, 200, "fetched anew: it says so");
    assert_ne!(answer.header("etag"), first);
}

#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body_and_a_post_has_no_conditions() {
    let service = Service::start().await;
    service.get(DAY).await;
    let get = service.get(DAY).await;
    let head = service.send(service.request(Method::HEAD, DAY)).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for name in PROVENANCE.into_iter().chain(["content-type", "content-length"]) {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(get.header("content-length"), get.body.len().to_string());
    let conditional = service
        .request(Method::HEAD, DAY)
        .header("if-none-match", get.header("etag"));
    assert_eq!(service.send(conditional).await.status, 304);
    let refused = service
        .send(service.request(Method::HEAD, "/v1/query?dateFrom=x"))
        .await;
    assert_eq!((refused.status.as_u16(), refused.body.len()), (422, 0));

    let query = json!({"dateFrom": "2023-11-30", "dateTo": "2023-12-01", "select": ["conversation.count"]});
    let posted = service.post("/v1/query", &query).await;
    assert_eq!(posted.json()["meta"]["cache"], "hit");
    let again = service
        .request(Method::POST, "/v1/query")
        .header("content-type", "application/json")
        .header("if-none-match", posted.header("etag"))
        .body(query.to_string());
    assert_eq!(service.send(again).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn age_and_what_is_left() {
    let service = Service::start().await;
    for (wait, path, age, cache_control, cache_status) in [
        (0, DAY, "0", "private, max-age=3600", "genesys-reports; fwd=miss"),
        (
            600,
            DAY,
            "600",
            "private, max-age=3600",
            "genesys-reports; hit; ttl=3000",
        ),
        (
            3000,
            DAY,
            "3600",
            "private, max-age=3600",
            "genesys-reports; hit; ttl=0",
        ),
        // Past its time, it is given once more while it is asked for again.
        (1, DAY, "3601", "private, max-age=0", "genesys-reports; hit; ttl=-1"),
        (1, DAY, "1", "private, max-age=3600", "genesys-reports; hit; ttl=3599"),
        (3660, DAY, "0", "private, max-age=3600", "genesys-reports; fwd=miss"),
        (0, TODAY, "0", "private, max-age=30", "genesys-reports; fwd=miss"),
    ] {
        service.pass(wait).await;
        let now = service.clock.now();
        let answer = service.get(path).await;
        if cache_status.ends_with("miss") {
            assert_eq!(answer.header("x-data-as-of"), format!("{now:.3}"), "{path}");
        }
        assert_eq!(
            (
                answer.header("age"),
                answer.header("cache-control"),
                answer.header("cache-status")
            ),
            (age, cache_control, cache_status),
            "{path} after {wait} s more"
        );
        assert_eq!(answer.json()["meta"]["asOf"], answer.header("x-data-as-of"));
        assert_eq!(
            answer.json()["meta"]["complete"].to_string(),
            answer.header("x-data-complete")
        );
        assert_eq!(
            answer
                .header("vary")
                .to_ascii_lowercase()
                .matches("authorization")
                .count(),
            1
        );
    }
    let vary = |answer: &Answer| {
        let fields = answer.headers.get_all("vary").iter();
        fields
            .map(|value| value.to_str().unwrap().to_lowercase())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let varies = vary(&service.get(DAY).await);
    for field in ["accept", "authorization", "x-api-key", "origin"] {
        assert!(varies.contains(field), "{field} decides, too: {varies}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_want_it_fresher() {
    let service = Service::start().await;
    service.get(DAY).await;
    let mut calls = 1;
    // seconds passed, what is asked for, how, whether what is held will do
    for (wait, parameter, directive, holds) in [
        (600, "", "", true),
        (0, "&max_age=601", "", true),
        (0, "", "max-age=601, max-stale=5", true),
        (0, "&max_age=600", "no-cache", true),
        (1, "&max_age=600", "", false),
        (60, "", "max-age=59", false),
        (60, "", "no-cache", false),
        (60, "&max_age=0", "", false),
        // However eagerly it is asked for: not more than every other second.
        (2, "&max_age=0", "no-cache", true),
        (1, "", "max-age=0", false),
        (5, "&max_age=31536000", "", true),
        (0, "", "no-store, min-fresh=9, max-age=soon", true),
        // A wish for something older than is good is not granted.
        (3601, "&max_age=31536000", "", false),
    ] {
        service.pass(wait).await;
        calls += usize::from(!holds);
        let answer = get_with(&service, &format!("{DAY}{parameter}"), "cache-control", directive).await;
        let expected = if holds { "hit" } else { "miss" };
        assert_eq!(answer.json()["meta"]["cache"], expected, "{parameter} {directive}");
        assert_eq!(service.upstream_calls(), calls, "{parameter} {directive}");
    }
}
