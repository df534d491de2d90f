//! Every failure has one shape, a status by consequence, and nothing in it that is not ours to tell.
//!
//! The rows of the contract's table, in its order. A mistake of the caller costs no upstream call; what the
//! upstream is tried for, and how often, is counted. A panic in a handler cannot be provoked from outside; that it
//! is one caller's 500 is tested beside the layers, and that a fetch survives one, beside the flights.
#![expect(clippy::too_many_lines, reason = "whole responses stand in the tests, to be read")]

use std::{fmt::Write as _, sync::Arc, time::Duration};

use genesys_reports::simulator::{
    Grants,
    faults::{Effect, Fault, Garbage},
};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::service::{Answer, Service, Setup};

/// Yesterday's conversations: one upstream call, fresh for an hour, good for a day more if the upstream fails.
const DAY: &str = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";
/// The day before: another question.
const DAY_BEFORE: &str = "/v1/query?dateFrom=2023-11-29&dateTo=2023-11-30&select=conversation.count";
const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";
const DETAILS: &str = "/api/v2/analytics/conversations/details/query";

// ── malformed · does not make sense: before any upstream call ──

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read() {
    let service = Service::start().await;
    assert_snapshot!(post(&service, "{\"dateFrom\": \"2023").await.failure(), @r#"
    400 Bad Request

    {
      "detail": "the body is not JSON: EOF while parsing a string at line 1 column 18",
      "requestId": "[uuid]",
      "status": 400,
      "title": "The request cannot be read",
      "type": "urn:genesys-reports:problem:malformed"
    }
    "#);
    let deep = format!("{{\"dateFrom\": {}{}}}", "[".repeat(32), "]".repeat(32));
    assert_snapshot!(post(&service, deep).await.failure(), @r#"
    400 Bad Request

    {
      "detail": "JSON may nest 32 levels deep",
      "requestId": "[uuid]",
      "status": 400,
      "title": "The request cannot be read",
      "type": "urn:genesys-reports:problem:malformed"
    }
    "#);
    for body in ["", "[", "nonsense", "{} {}", "\u{feff}{}", "{\"a\": \"\u{0}\"}"] {
        assert_eq!(post(&service, body).await.problem(), "malformed", "{body:?}");
    }
    let torn =
        "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"da";
    let torn = service.send_raw_and_hang_up(torn).await;
    assert_eq!((torn.status.as_u16(), torn.problem().as_str()), (400, "malformed"));
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn unknown_names_are_all_named_with_what_was_meant() {
    let service = Service::start().await;
    let query = json!({
        "dateFrom": "yestreday", "timeZone": "Europe/Berlni", "interval": "PT1X",
        "select": ["routing.queue.id", "conversation.cuont", "agent.nmae"],
        "filter": [{"dimension": "media.tpye", "values": ["voice"]}],
        "orderBy": ["-conversation.count"], "source": "conversation", "fill": "zeros", "pageSizes": 10
    });
    let answer = service.post("/v1/query", &query).await;
    assert_snapshot!(answer.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "this field is unknown; there are dateFrom, dateTo, interval, timeZone, groupBy, select, filter, orderBy, limit, page, pageSize, source, fill, align",
          "pointer": "/pageSizes",
          "suggestion": "pageSize"
        },
        {
          "detail": "there is no such family of figures",
          "pointer": "/source",
          "suggestion": "conversations"
        },
        {
          "detail": "there is no such IANA time zone",
          "pointer": "/timeZone",
          "suggestion": "Europe/Berlin"
        },
        {
          "detail": "this is neither an ISO date and time, nor relative (now-7d), nor the name of a range",
          "pointer": "/dateFrom",
          "suggestion": "yesterday"
        },
        {
          "detail": "a bucket is PTnM or PTnH dividing a day evenly (PT1M to PT12H), P1D, P1W or P1M",
          "pointer": "/interval"
        },
        {
          "detail": "there is no such dimension",
          "pointer": "/filter/0/dimension",
          "suggestion": "media.type"
        },
        {
          "detail": "there is no such metric or dimension",
          "pointer": "/select/1",
          "suggestion": "conversation.count"
        },
        {
          "detail": "there is no such metric or dimension",
          "pointer": "/select/2",
          "suggestion": "agent.name"
        },
        {
          "detail": "fill is none or zero",
          "pointer": "/fill",
          "suggestion": "zero"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);

    let by_get = service
        .get("/v1/query?dateFrom=yestreday&select=conversation.cuont&filter=media.tpye:voice&format=xml&max_age=soon&on_error=maybe")
        .await;
    assert_snapshot!(by_get.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "must be `json`, `table`, `ndjson`, `csv`, `xlsx`, `arrow` or `parquet`",
          "pointer": "/format"
        },
        {
          "detail": "must be whole seconds, from 0 to 31536000",
          "pointer": "/max_age"
        },
        {
          "detail": "must be `stale` or `fail`",
          "pointer": "/on_error"
        },
        {
          "detail": "this is neither an ISO date and time, nor relative (now-7d), nor the name of a range",
          "pointer": "/dateFrom",
          "suggestion": "yesterday"
        },
        {
          "detail": "there is no such dimension",
          "pointer": "/filter/0/dimension",
          "suggestion": "media.type"
        },
        {
          "detail": "there is no such metric or dimension",
          "pointer": "/select/0",
          "suggestion": "conversation.count"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn ranges_and_combinations_that_make_no_sense() {
    let service = Service::start().await;
    let empty = json!({"dateFrom": "2023-11-30", "dateTo": "2023-11-29", "page": 0, "pageSize": 100_000});
    assert_snapshot!(service.post("/v1/query", &empty).await.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "the range is empty: it goes from 2023-11-30T00:00:00.000Z up to 2023-11-29T00:00:00.000Z, and ends are not included",
          "pointer": "/dateTo"
        },
        {
          "detail": "pages are numbered from 1 to 1000000",
          "pointer": "/page"
        },
        {
          "detail": "a page has 1 to 1000 rows",
          "pointer": "/pageSize",
          "suggestion": "1000"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    let wide = json!({"dateFrom": "2020-01-01", "dateTo": "2023-12-01"});
    assert_snapshot!(service.post("/v1/query", &wide).await.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "the range is too wide: it may span 400 days",
          "pointer": "/dateFrom"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    let fine = json!({"dateFrom": "2023-01-01", "dateTo": "2023-12-01", "interval": "PT1M"});
    assert_snapshot!(service.post("/v1/query", &fine).await.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "this cuts the range into more than 20000 buckets",
          "pointer": "/interval",
          "suggestion": "PT30M"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    let ungrouped = json!({
        "dateFrom": "2023-11-30", "dateTo": "2023-12-01", "groupBy": ["routing.queue.id"],
        "select": ["routing.queue.id", "agent.name", "conversation.count"], "orderBy": ["service.level"]
    });
    assert_snapshot!(service.post("/v1/query", &ungrouped).await.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "this column needs its dimension in groupBy",
          "pointer": "/select/1",
          "suggestion": "agent.id"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    let beside_a_body = service
        .post("/v1/query?dateFrom=today", &json!({"dateFrom": "today"}))
        .await;
    assert_snapshot!(beside_a_body.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "no such parameter beside a body: the question stands in the body",
          "pointer": "/dateFrom"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    let conversations = service
        .get("/v1/conversations?dateFrom=2023-11-30&dateTo=2023-11-29&filter=medium:voice&orderBy=agent&pageSize=9999")
        .await;
    assert_snapshot!(conversations.failure(), @r#"
    422 Unprocessable Entity

    {
      "errors": [
        {
          "detail": "the range is empty: it goes from 2023-11-30T00:00:00.000Z up to 2023-11-29T00:00:00.000Z, and ends are not included",
          "pointer": "/dateTo"
        },
        {
          "detail": "there is no such dimension",
          "pointer": "/filter/0/dimension"
        },
        {
          "detail": "conversations are ordered by conversation.start",
          "pointer": "/orderBy/0"
        },
        {
          "detail": "a page has 1 to 500 rows",
          "pointer": "/pageSize",
          "suggestion": "500"
        }
      ],
      "requestId": "[uuid]",
      "status": 422,
      "title": "The request does not make sense",
      "type": "urn:genesys-reports:problem:invalid"
    }
    "#);
    assert_eq!(service.upstream_calls(), 0);
}

// ── no or bad credential · not allowed ──

#[tokio::test(start_paused = true)]
async fn callers_without_a_good_key() {
    let (setup, key) = Setup::new().key("\"read\"", "");
    let service = setup.start().await;
    assert_snapshot!(service.get(DAY).await.failure(), @r#"
    401 Unauthorized
    www-authenticate: Bearer realm="genesys-reports"

    {
      "detail": "send a key as `Authorization: Bearer …` or `X-API-Key: …`",
      "requestId": "[uuid]",
      "status": 401,
      "title": "A credential is needed",
      "type": "urn:genesys-reports:problem:unauthenticated"
    }
    "#);

    let with = async |name: &str, value: &str, path: &str| {
        service
            .send(service.request(Method::GET, path).header(name, value))
            .await
    };
    let unknown = format!("Bearer {key}x");
    for (name, value) in [
        ("authorization", unknown.as_str()),
        ("authorization", "Basic dXNlcjpwYXNz"),
        ("authorization", "Bearer "),
        ("x-api-key", "guess"),
    ] {
        let answer = with(name, value, DAY).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (401, "unauthenticated"),
            "{value}"
        );
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{value}");
    }
    let stream = "/v1/conversations?dateFrom=yesterday&format=ndjson";
    assert_snapshot!(with("x-api-key", &key, stream).await.failure(), @r#"
    403 Forbidden

    {
      "detail": "this needs a key with the scope `export`",
      "requestId": "[uuid]",
      "status": 403,
      "title": "This credential may not do that",
      "type": "urn:genesys-reports:problem:forbidden"
    }
    "#);
    assert_eq!(service.upstream_calls(), 0);
    assert_eq!(with("x-api-key", &key, DAY).await.status, 200);
    assert_eq!(with("authorization", &format!("bearer {key}"), DAY).await.status, 200);
}

// ── too large · wrong media type · nothing acceptable ──

#[tokio::test(start_paused = true)]
async fn requests_that_are_too_large() {
    let service = Service::start().await;
    let fits = " ".repeat((64 << 10) - 2) + "{}";
    assert_eq!(
        post(&service, fits.clone()).await.status,
        422,
        "read, and found to lack everything"
    );
    assert_snapshot!(post(&service, fits + " ").await.failure(), @r#"
    413 Payload Too Large

    {
      "requestId": "[uuid]",
      "status": 413,
      "title": "The request body is too large",
      "type": "urn:genesys-reports:problem:body-too-large"
    }
    "#);
    let chunked = "POST /v1/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n"
        .to_owned()
        + &format!("10000\r\n{}\r\n", " ".repeat(1 << 16)).repeat(2)
        + "0\r\n\r\n";
    let chunked = service.send_raw(chunked).await;
    assert_eq!(chunked.status, 413, "an unannounced length is no way around");

    let long = format!("{DAY}&x={}", "x".repeat(8 << 10));
    assert_snapshot!(service.get(&long).await.failure(), @r#"
    414 URI Too Long

    {
      "detail": "8268 bytes, and 8192 are read: send the query as a POST body",
      "requestId": "[uuid]",
      "status": 414,
      "title": "The URI is too long",
      "type": "urn:genesys-reports:problem:uri-too-long"
    }
    "#);
    let wide = service.request(Method::GET, DAY).header("x-wide", "x".repeat(32 << 10));
    assert_snapshot!(service.send(wide).await.failure(), @r#"
    431 Request Header Fields Too Large

    {
      "detail": "3 fields of 32802 bytes, and 100 of 32768 are read",
      "requestId": "[uuid]",
      "status": 431,
      "title": "The request's header fields are too large",
      "type": "urn:genesys-reports:problem:headers-too-large"
    }
    "#);
    let many = (0..101).fold(service.request(Method::GET, DAY), |request, index| {
        request.header(format!("x-{index}"), "x")
    });
    assert_eq!(service.send(many).await.status, 431);
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn media_types_that_are_not_spoken_here() {
    let service = Service::start().await;
    let form = service
        .request(Method::POST, "/v1/query")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("dateFrom=today");
    assert_snapshot!(service.send(form).await.failure(), @r#"
    415 Unsupported Media Type
    accept: application/json

    {
      "detail": "send the query as `Content-Type: application/json`",
      "requestId": "[uuid]",
      "status": 415,
      "title": "The request body is of a type not read here",
      "type": "urn:genesys-reports:problem:unsupported-media-type"
    }
    "#);
    let picture = service
        .request(Method::GET, DAY)
        .header("accept", "image/png, text/html;q=0.5");
    assert_snapshot!(service.send(picture).await.failure(), @r#"
    406 Not Acceptable

    {
      "detail": "what exists: application/json, application/vnd.genesys-reports.table+json, application/x-ndjson, text/csv, application/vnd.openxmlformats-officedocument.spreadsheetml.sheet, application/vnd.apache.arrow.stream, application/vnd.apache.parquet",
      "requestId": "[uuid]",
      "status": 406,
      "title": "No acceptable format exists",
      "type": "urn:genesys-reports:problem:not-acceptable"
    }
    "#);
    assert_eq!(service.upstream_calls(), 0);
}

// ── this caller too fast ──

#[tokio::test(start_paused = true)]
async fn a_caller_that_asks_too_often() {
    let (setup, eager) = Setup::new().key("\"read\"", ", requests_per_minute=2");
    let (setup, patient) = setup.key("\"read\"", "");
    let service = setup.start().await;
    let ask = async |key: &str| service.send(service.request(Method::GET, DAY).bearer_auth(key)).await;
    let first = ask(&eager).await;
    assert_eq!(
        (
            first.status.as_u16(),
            first.header("ratelimit"),
            first.header("ratelimit-policy")
        ),
        (200, "\"requests\";r=1;t=60", "\"requests\";q=2;w=60")
    );
    service.pass(20).await;
    assert_eq!(ask(&eager).await.status, 200);
    assert_snapshot!(ask(&eager).await.failure(), @r#"
    429 Too Many Requests
    ratelimit-policy: "requests";q=2;w=60
    ratelimit: "requests";r=0;t=40
    retry-after: 40

    {
      "detail": "this key is good for 2 requests a minute",
      "requestId": "[uuid]",
      "status": 429,
      "title": "This caller asks too often",
      "type": "urn:genesys-reports:problem:quota-exceeded"
    }
    "#);
    assert_eq!(ask(&patient).await.status, 200, "only this caller");
    service.pass(40).await;
    assert_eq!(ask(&eager).await.status, 200, "when told to come back, it may");
    assert_eq!(service.upstream_calls(), 1);
}

// ── overloaded here · budget spent past the deadline · circuit open: at once ──

#[tokio::test(start_paused = true)]
async fn no_place_left() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = Arc::new(setup.start().await);
    service.simulator.set_latency(Duration::from_secs(5));
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.get(DAY).await.status }
    });
    service.pass(1).await;
    let (refused, took) = timed(service.get(DAY_BEFORE)).await;
    assert_snapshot!(refused.failure(), @r#"
    503 Service Unavailable
    retry-after: 1

    {
      "detail": "every place and the queue are taken",
      "requestId": "[uuid]",
      "status": 503,
      "title": "The service has no capacity left",
      "type": "urn:genesys-reports:problem:overloaded"
    }
    "#);
    assert_eq!(took, Duration::ZERO);
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(service.upstream_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn budget_spent_past_the_deadline() {
    let service = Setup::new()
        .set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "1")
        .start()
        .await;
    assert_eq!(service.get(DAY).await.status, 200);
    let (refused, took) = timed(service.get(DAY_BEFORE)).await;
    assert_snapshot!(refused.failure(), @r#"
    503 Service Unavailable
    retry-after: 61

    {
      "detail": "the upstream request budget is spent; it frees in 61 s",
      "requestId": "[uuid]",
      "status": 503,
      "title": "The upstream request budget is spent",
      "type": "urn:genesys-reports:problem:upstream-budget"
    }
    "#);
    assert_eq!((took, service.upstream_calls()), (Duration::ZERO, 1));
    service.pass(61).await;
    assert_eq!(
        service.get(DAY_BEFORE).await.status,
        200,
        "when told to come back, it may"
    );
}

#[tokio::test(start_paused = true)]
async fn the_upstream_asks_to_wait_past_the_deadline() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status_retry_after(429, "45")).on_api().once());
    let (refused, took) = timed(service.get(DAY)).await;
    assert_snapshot!(refused.failure(), @r#"
    503 Service Unavailable
    retry-after: 45

    {
      "detail": "the upstream request budget is spent; it frees in 45 s",
      "requestId": "[uuid]",
      "status": 503,
      "title": "The upstream request budget is spent",
      "type": "urn:genesys-reports:problem:upstream-budget",
      "upstream": {
        "code": "too.many.requests.retry.after",
        "correlationId": "[uuid]",
        "status": 429
      }
    }
    "#);
    assert_eq!(took, Duration::ZERO);

    service.pass(5).await;
    let (refused, took) = timed(service.get(DAY_BEFORE)).await;
    assert_eq!(
        (refused.problem().as_str(), refused.header("retry-after")),
        ("upstream-budget", "40")
    );
    assert_eq!((took, service.upstream_calls()), (Duration::ZERO, 1), "everybody waits");
    service.pass(40).await;
    assert_eq!(service.get(DAY_BEFORE).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn circuit_open() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status(503)).on_api().times(5));
    assert_eq!(service.get(DAY).await.problem(), "upstream-unavailable");
    assert_eq!(service.get(DAY_BEFORE).await.problem(), "upstream-circuit-open");
    let (refused, took) = timed(service.get("/v1/query?dateFrom=2023-11-01&dateTo=2023-11-02")).await;
    assert_snapshot!(refused.failure(), @r#"
    503 Service Unavailable
    retry-after: 1

    {
      "detail": "Genesys Cloud has been failing and is being left alone for 1 s",
      "requestId": "[uuid]",
      "status": 503,
      "title": "Genesys Cloud is being left alone for a while",
      "type": "urn:genesys-reports:problem:upstream-circuit-open"
    }
    "#);
    assert_eq!((took, service.upstream_calls()), (Duration::ZERO, 5));
    let ready = service.get("/health/ready").await;
    assert_eq!(
        (ready.status.as_u16(), ready.json()["reasons"].as_array().unwrap().len()),
        (200, 1)
    );
    // The pause before the probe, and the time a failure answers for itself.
    service.pass(3).await;
    assert_eq!(service.get(DAY).await.status, 200, "the probe closes it");
}

/// What is known about a host that keeps failing is told to those who watch; the process is well.
#[tokio::test(start_paused = true)]
async fn an_open_circuit_shows_in_readiness_and_metrics_and_never_in_liveness() {
    let service = Service::start().await;
    let left_alone = async |host: &str| {
        let metrics = service.get("/metrics").await.text();
        let name = format!("genesys_reports_upstream_left_alone{{host=\"{host}\"}} ");
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.expect("it is told of every host")
    };
    assert_eq!(
        (left_alone("api").await, left_alone("login").await),
        ("0".into(), "0".into())
    );

    service.fault(Fault::new(Effect::status(503)).on_api().times(5));
    service.get(DAY).await;
    service.get(DAY_BEFORE).await;
    let ready = service.get("/health/ready").await;
    assert_eq!(ready.status, 200, "what is held can still be served");
    assert!(
        ready.text().contains("Genesys Cloud has been failing"),
        "{}",
        ready.text()
    );
    assert_eq!(
        (left_alone("api").await, left_alone("login").await),
        ("1".into(), "0".into())
    );
    let live = service.get("/health/live").await;
    assert_eq!(
        (live.status.as_u16(), live.json()["reasons"].clone()),
        (200, serde_json::json!([]))
    );

    service.pass(3).await;
    assert_eq!(service.get(DAY).await.status, 200);
    assert_eq!(
        service.get("/health/ready").await.json()["reasons"],
        serde_json::json!([])
    );
    assert_eq!(left_alone("api").await, "0");
}

/// With keys required and the upstream down, whoever asks how it is needs no key, and learns nothing about where it runs.
#[tokio::test(start_paused = true)]
async fn probes_need_no_key_and_tell_neither_versions_nor_hosts() {
    let (setup, key) = Setup::new().key("\"read\"", "");
    let service = setup.start().await;
    service.fault(Fault::new(Effect::Reset { after_bytes: None }).on_api());
    for day in [DAY, DAY_BEFORE] {
        let request = service.request(Method::GET, day).header("x-api-key", &key);
        assert!(service.send(request).await.status.is_server_error());
    }
    let upstream = service.simulator.journal().entries().len();
    assert!(upstream > 0, "it was asked");
    for path in ["/health/live", "/health/ready"] {
        let asked = Instant::now();
        let answer = service.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), asked.elapsed()),
            (200, Duration::ZERO),
            "{path}"
        );
        let told = format!("{:?} {}", answer.headers, answer.text()).to_lowercase();
        for secret in [
            env!("CARGO_PKG_VERSION"),
            "127.0.0.1",
            "localhost",
            "server\":",
            "http:",
        ] {
            assert!(!told.contains(secret), "{path}: {secret} in {told}");
        }
    }
    let ready = service.get("/health/ready").await.json();
    assert_ne!(ready["reasons"], serde_json::json!([]), "what is known here is told");
    assert_eq!(
        service.simulator.journal().entries().len(),
        upstream,
        "and nobody is asked"
    );
}

/// Connections of requests that never got an answer are given up; none of them is in the way of those that come after.
#[tokio::test(start_paused = true)]
async fn a_black_hole_does_not_fill_the_pool() {
    let service = Setup::new().set("REPORTS_UPSTREAM__CONCURRENCY", "8").start().await;
    service.fault(Fault::new(Effect::BlackHole).on_path(AGGREGATES));
    let day = |number: usize| {
        format!(
            "/v1/query?dateFrom=2023-11-{:02}T{:02}:00:00Z&dateTo=2023-11-{0:02}T{:02}:00:00Z",
            1 + number / 20,
            number % 20,
            number % 20 + 1
        )
    };
    let lost = futures_util::future::join_all((0..40).map(async |number| service.get(&day(number)).await)).await;
    assert!(lost.iter().all(|answer| answer.status.is_server_error()));
    service.simulator.clear_faults();
    service.pass(120).await;
    let calls = service.upstream_calls();
    for number in 100..300 {
        assert_eq!(service.get(&day(number)).await.status, 200, "{number}");
    }
    assert_eq!(service.upstream_calls() - calls, 200);
}

// ── refused credentials · missing permission · rejected query ──

#[tokio::test(start_paused = true)]
async fn the_login_service_refuses_our_credentials() {
    let mut service = Service::start().await;
    service.expect_error("the login service refuses us");
    service.expect_error("Genesys Cloud refuses this service's credentials");
    service.simulator.set_secret("changed");
    assert_snapshot!(service.get(DAY).await.failure(), @r#"
    502 Bad Gateway

    {
      "detail": "Genesys Cloud refuses this service's credentials",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud refuses this service's credentials",
      "type": "urn:genesys-reports:problem:upstream-credentials",
      "upstream": {
        "code": "invalid_client",
        "correlationId": "[uuid]",
        "status": 401
      }
    }
    "#);
    assert_snapshot!(service.get("/health/ready").await.failure(), @r#"
    503 Service Unavailable
    connection: close

    {
      "reasons": [
        "Genesys Cloud refuses this service's credentials"
      ],
      "requestId": "[uuid]",
      "status": 503,
      "title": "The service cannot serve now",
      "type": "urn:genesys-reports:problem:not-ready"
    }
    "#);
    let (_, took) = timed(service.get(DAY_BEFORE)).await;
    assert_eq!(
        (took, service.simulator.journal().count("/oauth/")),
        (Duration::ZERO, 1),
        "asked once a minute"
    );
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_api_refuses_a_new_token() {
    let mut service = Service::start().await;
    service.expect_error("Genesys Cloud refuses this service's credentials");
    service.fault(Fault::new(Effect::status(401)).on_api().times(2));
    assert_snapshot!(service.get(DAY).await.failure(), @r#"
    502 Bad Gateway

    {
      "detail": "Genesys Cloud refuses this service's credentials",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud refuses this service's credentials",
      "type": "urn:genesys-reports:problem:upstream-credentials",
      "upstream": {
        "code": "bad.credentials",
        "correlationId": "[uuid]",
        "status": 401
      }
    }
    "#);
    assert_eq!(
        (service.upstream_calls(), service.simulator.journal().count("/oauth/")),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_permission_is_missing() {
    let mut service = Service::start().await;
    service.expect_error("This service lacks a permission in Genesys Cloud");
    service
        .simulator
        .set_permissions(Grants::all().without("analytics:conversationAggregate:view"));
    assert_snapshot!(service.get(DAY).await.failure(), @r#"
    502 Bad Gateway

    {
      "detail": "this service's OAuth client lacks a permission: analytics:conversationAggregate:view",
      "requestId": "[uuid]",
      "status": 502,
      "title": "This service lacks a permission in Genesys Cloud",
      "type": "urn:genesys-reports:problem:upstream-permission",
      "upstream": {
        "code": "missing.any.permissions",
        "correlationId": "[uuid]",
        "status": 403
      }
    }
    "#);
    assert_eq!(service.upstream_calls(), 1);

    service
        .simulator
        .set_permissions(Grants::all().without("routing:queue:view"));
    let names = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=routing.queue.name,conversation.count";
    let answer = service.get(names).await;
    assert_eq!(answer.problem(), "upstream-permission");
    assert!(answer.text().contains("routing:queue:view"), "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn the_upstream_rejects_the_query() {
    for status in [400, 404, 413] {
        let service = Service::start().await;
        service.fault(Fault::new(Effect::status(status)).on_path(AGGREGATES));
        let answer = service.get(DAY).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (502, "upstream-rejected"),
            "{status}"
        );
        if status == 400 {
            assert_snapshot!(answer.failure(), @r#"
            502 Bad Gateway

            {
              "detail": "Genesys Cloud rejects the query: it does not understand the query",
              "requestId": "[uuid]",
              "status": 502,
              "title": "Genesys Cloud rejects the query",
              "type": "urn:genesys-reports:problem:upstream-rejected",
              "upstream": {
                "code": "bad.request",
                "correlationId": "[uuid]",
                "status": 400
              }
            }
            "#);
        }
        assert_eq!(service.upstream_calls(), 1, "{status}");
    }
}

// ── unavailable or talking nonsense · too slow ──

#[tokio::test(start_paused = true)]
async fn the_upstream_is_unavailable_or_talks_nonsense() {
    let mut seen = String::new();
    for (name, effect) in [
        ("500", Effect::status(500)),
        ("502", Effect::status(502)),
        ("503", Effect::status(503)),
        ("reset", Effect::Reset { after_bytes: None }),
        ("reset within", Effect::Reset { after_bytes: Some(20) }),
        (
            "short of its length",
            Effect::Cut {
                after_bytes: 20,
                chunked: false,
            },
        ),
        (
            "without its last chunk",
            Effect::Cut {
                after_bytes: 20,
                chunked: true,
            },
        ),
        ("a page", Effect::Garbage { kind: Garbage::Html }),
        (
            "broken JSON",
            Effect::Garbage {
                kind: Garbage::BrokenJson,
            },
        ),
        (
            "wrong JSON",
            Effect::Garbage {
                kind: Garbage::WrongJson,
            },
        ),
        (
            "truncated gzip",
            Effect::Garbage {
                kind: Garbage::TruncatedGzip,
            },
        ),
        ("nothing", Effect::Garbage { kind: Garbage::Empty }),
    ] {
        let service = Service::start().await;
        service.fault(Fault::new(effect).on_path(AGGREGATES));
        let answer = service.get(DAY).await;
        let calls = service.upstream_calls();
        writeln!(seen, "── {name}, asked {calls} times\n{}", answer.failure()).expect("memory takes it");
        service.simulator.clear_faults();
        service.pass(3).await;
        assert_eq!(service.get(DAY).await.status, 200, "{name}: nothing of it was kept");
    }
    assert_snapshot!(seen, @r#"
    ── 500, asked 2 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: it failed inside",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "code": "internal.server.error",
        "correlationId": "[uuid]",
        "status": 500
      }
    }
    ── 502, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: it is overloaded or down",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "code": "internal.server.error",
        "correlationId": "[uuid]",
        "status": 502
      }
    }
    ── 503, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: it is overloaded or down",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "code": "service.unavailable",
        "correlationId": "[uuid]",
        "status": 503
      }
    }
    ── reset, asked 4 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: it closes the connection",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable"
    }
    ── reset within, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer broke off",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]"
      }
    }
    ── short of its length, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer broke off",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]"
      }
    }
    ── without its last chunk, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer broke off",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]"
      }
    }
    ── a page, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer makes no sense",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]",
        "status": 200
      }
    }
    ── broken JSON, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer makes no sense",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]",
        "status": 200
      }
    }
    ── wrong JSON, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer makes no sense",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]",
        "status": 200
      }
    }
    ── truncated gzip, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer broke off",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]"
      }
    }
    ── nothing, asked 3 times
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: its answer makes no sense",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable",
      "upstream": {
        "correlationId": "[uuid]",
        "status": 200
      }
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_cannot_be_reached() {
    // Nobody listens on the discard port of the loopback.
    let service = Setup::new().set("GENESYS_API_URL", "http://127.0.0.1:9").start().await;
    assert_snapshot!(service.get(DAY).await.failure(), @r#"
    502 Bad Gateway

    {
      "detail": "Genesys Cloud is unavailable: it cannot be reached",
      "requestId": "[uuid]",
      "status": 502,
      "title": "Genesys Cloud is unavailable",
      "type": "urn:genesys-reports:problem:upstream-unavailable"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_too_slow_for_the_caller() {
    for effect in [
        Effect::BlackHole,
        Effect::Trickle { bytes_per_second: 1 },
        Effect::Delay { ms: 16_000 },
    ] {
        let service = Service::start().await;
        let name = effect.name();
        service.fault(Fault::new(effect).on_path(AGGREGATES));
        let (answer, took) = timed(service.get(DAY)).await;
        assert_eq!(answer.status, 504, "{name}");
        assert_eq!(took.as_secs(), 30, "{name}: the deadline is the caller's");
        assert!(service.upstream_calls() <= 3, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_too_slow_for_every_attempt() {
    let service = Setup::new()
        .set("REPORTS_SERVER__REQUEST_TIMEOUT_S", "60")
        .start()
        .await;
    service.fault(Fault::new(Effect::BlackHole).on_path(AGGREGATES));
    let (answer, took) = timed(service.get(DAY)).await;
    assert_snapshot!(answer.failure(), @r#"
    504 Gateway Timeout

    {
      "detail": "Genesys Cloud did not answer in time",
      "requestId": "[uuid]",
      "status": 504,
      "title": "Genesys Cloud did not answer in time",
      "type": "urn:genesys-reports:problem:upstream-timeout"
    }
    "#);
    assert_eq!(
        (took.as_secs(), service.upstream_calls()),
        (45, 3),
        "three attempts of fifteen seconds"
    );
}

// ── on_error ──

#[tokio::test(start_paused = true)]
async fn a_held_answer_stands_in_within_its_bound() {
    let service = Service::start().await;
    let fetched = Instant::now();
    let until = |seconds| tokio::time::sleep_until(fetched + Duration::from_secs(seconds));
    let fresh = service.get(DAY).await;
    service.fault(Fault::new(Effect::status(503)).on_api());

    until(3661).await;
    let stale = service.get(DAY).await;
    assert_eq!(stale.status, 200);
    let told = |name| stale.header(name).to_owned();
    assert_eq!(told("age"), "3661");
    assert_eq!(
        told("cache-status"),
        "genesys-reports; fwd=stale; detail=upstream-failed"
    );
    assert_eq!(told("cache-control"), "private, max-age=0");
    assert_eq!(stale.json()["meta"]["cache"], "stale");
    assert_eq!(stale.json()["entities"], fresh.json()["entities"]);
    assert_eq!(stale.json()["meta"]["asOf"], fresh.json()["meta"]["asOf"]);

    let fails = service.get(&format!("{DAY}&on_error=fail")).await;
    assert_eq!(
        fails.problem(),
        "upstream-unavailable",
        "who prefers the failure gets it"
    );
    until(3720).await;
    let bounded = service.get(&format!("{DAY}&max_stale=60")).await;
    assert_eq!(bounded.status.as_u16() / 100, 5, "past the caller's own bound");
    assert_eq!(service.get(&format!("{DAY}&max_stale=600")).await.status, 200);

    until(25 * 3600).await;
    assert_eq!(service.get(DAY).await.status, 200, "to the second");
    until(25 * 3600 + 1).await;
    assert_eq!(service.get(DAY).await.status.as_u16() / 100, 5, "and not beyond");
    service.simulator.clear_faults();
    service.pass(120).await;
    assert_eq!(service.get(DAY).await.json()["meta"]["cache"], "miss");
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_stands_in_for_one_that_does_not_come() {
    let service = Service::start().await;
    service.get(DAY).await;
    service.pass(3661).await;
    service.fault(Fault::new(Effect::BlackHole).on_api());
    let (stale, took) = timed(service.get(DAY)).await;
    assert_eq!((stale.status.as_u16(), took.as_secs()), (200, 30));
    assert_eq!(stale.json()["meta"]["cache"], "stale");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_ends_visibly_broken() {
    let service = Service::start().await;
    let stream = "/v1/conversations?dateFrom=2023-11-20&dateTo=2023-11-30&format=ndjson";
    service.fault(
        Fault::new(Effect::status(503))
            .on_path(DETAILS)
            .on_body("/paging/pageNumber", 3),
    );
    let mut response = service.request(Method::GET, stream).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let end = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            end => break end.map(drop),
        }
    };
    assert!(end.is_err(), "never a shorter valid body");
    service.simulator.clear_faults();

    service.pass(60).await;
    service.fault(
        Fault::new(Effect::status(400))
            .on_path(DETAILS)
            .on_body("/paging/pageNumber", 1),
    );
    assert_eq!(
        service.get(stream).await.problem(),
        "upstream-rejected",
        "nothing sent yet, so it can be said"
    );
}

// ── what is not there ──

#[tokio::test(start_paused = true)]
async fn routes_and_methods_that_do_not_exist() {
    let service = Service::start().await;
    assert_snapshot!(service.get("/v1/nothing").await.failure(), @r#"
    404 Not Found

    {
      "requestId": "[uuid]",
      "status": 404,
      "title": "There is nothing here",
      "type": "urn:genesys-reports:problem:not-found"
    }
    "#);
    assert_snapshot!(service.send(service.request(Method::DELETE, "/v1/query")).await.failure(), @r#"
    405 Method Not Allowed
    allow: GET,HEAD,POST

    {
      "requestId": "[uuid]",
      "status": 405,
      "title": "This route does not know that method",
      "type": "urn:genesys-reports:problem:method-not-allowed"
    }
    "#);
    for (method, path, status) in [
        (Method::GET, "//", 404),
        (Method::GET, "/v1/query/", 404),
        (Method::GET, "/docs/../etc/passwd", 404),
        (Method::GET, "/docs/%2e%2e%2fCargo.toml", 404),
        (Method::PATCH, "/nowhere", 404),
        (Method::POST, "/health/live", 405),
        (Method::PUT, "/v1/conversations", 405),
        (Method::from_bytes(b"BREW").unwrap(), "/v1/query", 405),
    ] {
        let answer = service.send(service.request(method.clone(), path)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("allow").is_empty(), status == 404, "{method} {path}");
    }
    assert_eq!(service.upstream_calls(), 0);
}

/// What is not HTTP is refused by the protocol layer, which has no words: a bare status, and the connection ends.
#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_refused_without_words() {
    let service = Service::start().await;
    let many_fields = "x-many: x\r\n".repeat(300);
    let cases = [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET /v1/query HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nbad field: x\r\n\r\n".to_owned(), "400"),
        (
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_owned(),
            "400",
        ),
        (
            "POST /v1/query HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\nx".to_owned(),
            "400",
        ),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), "414"),
        (format!("GET / HTTP/1.1\r\n{many_fields}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(200_000)), "431"),
    ];
    for (request, status) in cases {
        let received = service.exchange_raw(&request, false).await;
        let what = format!("{:.60}", request.escape_debug().to_string());
        assert!(
            received.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {received:.100}"
        );
        assert!(received.ends_with("\r\n\r\n"), "{what}: {received}");
    }
    assert_eq!(service.upstream_calls(), 0);
}

async fn post(service: &Service, body: impl Into<reqwest::Body>) -> Answer {
    let request = service.request(Method::POST, "/v1/query");
    service
        .send(request.header("content-type", "application/json").body(body))
        .await
}

/// An answer, and how long it took on the paused clock.
async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let before = Instant::now();
    (answer.await, before.elapsed())
}
