//! The upstream's own paths: the same answers as from Genesys Cloud itself, at a fraction of the requests, and nothing of
//! either side given away to the other.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use genesys_reports::{
    api::auth::new_key,
    query::{
        Source,
        catalogue::{METRICS, Qualifier, Rollup},
    },
    simulator::faults::{Effect, Fault, Garbage},
};
use serde_json::{Value, json};

use crate::support::{
    platform::Platform,
    service::{Answer, Service, Setup},
};

const FIGURES: &str = "/api/v2/analytics/conversations/aggregates/query";
const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const OBSERVATIONS: &str = "/api/v2/analytics/queues/observations/query";

/// Groups in one order, as theirs means nothing; metrics too.
fn in_order(mut answer: Value) -> Value {
    let by = |field: &'static str| move |one: &Value| one[field].to_string();
    if let Some(results) = answer["results"].as_array_mut() {
        results.sort_by_key(by("group"));
        for data in results.iter_mut().filter_map(|result| result["data"].as_array_mut()) {
            for metrics in data.iter_mut().filter_map(|data| data["metrics"].as_array_mut()) {
                metrics.sort_by_key(|metric| format!("{}{}", metric["metric"], metric["qualifier"]));
            }
        }
    }
    answer
}

async fn queues(platform: &Platform) -> Vec<Value> {
    let (_, queues) = platform.ask("GET", "/api/v2/routing/queues", &Value::Null).await;
    let queues = queues["entities"].as_array().expect("queues").iter();
    queues.map(|queue| queue["id"].clone()).collect()
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "the questions stand in the test, to be read")]
async fn the_same_question_has_the_same_answer_as_there_and_costs_nothing_the_second_time() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    let queues = queues(&platform).await;
    let week = "2023-11-20T00:00:00.000Z/2023-11-27T00:00:00.000Z";
    let is = |dimension: &str, value: &Value| json!({"type": "dimension", "dimension": dimension, "value": value});
    let of_queues = json!({"type": "or", "predicates": [is("queueId", &queues[0]), is("queueId", &queues[1])]});
    let figures = |more: Value| {
        let mut body = json!({"interval": week, "metrics": ["nOffered", "tHandle", "oServiceLevel", "nConversations"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let view = json!({"target": "tHandle", "name": "long", "function": "rangeBound", "range": {"gte": 60_000}});
    for (method, path, body) in [
        (
            "POST",
            FIGURES,
            figures(json!({"granularity": "PT1H", "groupBy": ["queueId"]})),
        ),
        (
            "POST",
            FIGURES,
            figures(json!({"granularity": "P1D", "timeZone": "Europe/Berlin"})),
        ),
        (
            "POST",
            FIGURES,
            figures(json!({"groupBy": ["queueId", "mediaType"], "filter": of_queues})),
        ),
        (
            "POST",
            FIGURES,
            figures(json!({"groupBy": ["requestedRoutingSkillId"], "granularity": "P1D"})),
        ),
        // What the query model does not express.
        ("POST", FIGURES, figures(json!({"granularity": "P1D", "views": [view]}))),
        (
            "POST",
            FIGURES,
            figures(json!({"groupBy": ["requestedRoutingSkillId"], "flattenMultivaluedDimensions": true})),
        ),
        (
            "POST",
            FIGURES,
            figures(json!({"groupBy": ["queueId"], "queryType": "topN", "limit": 2,
                "sortMetric": {"name": "nOffered", "function": "count"}})),
        ),
        (
            "POST",
            "/api/v2/analytics/users/aggregates/query",
            json!({"interval": week, "granularity": "P1D", "groupBy": ["userId"],
                "metrics": ["tSystemPresence", "tOrganizationPresence", "tAgentRoutingStatus"]}),
        ),
        (
            "POST",
            "/api/v2/analytics/flows/aggregates/query",
            json!({"interval": week, "groupBy": ["flowId"], "metrics": ["nFlow", "tFlow"]}),
        ),
        (
            "POST",
            "/api/v2/analytics/surveys/aggregates/query",
            json!({"interval": "2023-11-06T00:00:00Z/2023-11-13T00:00:00Z", "metrics": ["nSurveysSent", "oSurveyTotalScore"],
                "alternateTimeDimension": "surveyCreatedDate"}),
        ),
        (
            "POST",
            DETAILS,
            json!({"interval": "2023-11-20T10:00:00.000Z/2023-11-20T11:00:00.000Z", "order": "asc",
                "orderBy": "segmentStart", "paging": {"pageSize": 25, "pageNumber": 2},
                "segmentFilters": [{"type": "and", "predicates": [is("mediaType", &json!("voice"))]}]}),
        ),
        (
            "POST",
            DETAILS,
            json!({"interval": week, "orderBy": "segmentEnd", "paging": {"pageSize": 100, "pageNumber": 900}}),
        ),
        (
            "POST",
            OBSERVATIONS,
            json!({"filter": of_queues, "metrics": ["oWaiting", "oInteracting", "oUserPresences"]}),
        ),
        ("GET", "/api/v2/routing/queues?pageSize=3&pageNumber=2", Value::Null),
        ("GET", "/api/v2/users?pageSize=100&state=any", Value::Null),
        ("GET", "/api/v2/flows", Value::Null),
        ("GET", "/api/v2/authorization/divisions", Value::Null),
    ] {
        let (status, expected) = platform.ask(method, path, &body).await;
        assert_eq!(status, 200, "{expected}");
        for (time, used, calls) in [
            ("first", "genesys-reports; fwd=miss", 1),
            ("second", "genesys-reports; hit", 0),
        ] {
            let before = service.upstream_calls();
            let answer = match method {
                "GET" => service.get(path).await,
                _ => service.post(path, &body).await,
            };
            let what = format!("{method} {path} {body}, the {time} time");
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            assert_eq!(answer.header("content-type"), "application/json", "{what}");
            assert_eq!(in_order(answer.json()), in_order(expected.clone()), "{what}");
            assert!(answer.header("cache-status").starts_with(used), "{what}: {answer:?}");
            assert_eq!(service.upstream_calls() - before, calls, "{what}");
            for field in ["etag", "age", "x-data-as-of", "x-data-complete", "x-request-id"] {
                assert!(!answer.header(field).is_empty(), "{field} of {what}");
            }
        }
    }
}

/// Whoever asks in whichever words: figures by bucket are held once.
#[tokio::test(start_paused = true)]
async fn figures_are_shared_with_the_queries_of_everybody_else() {
    let service = Service::start().await;
    let ours = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-25&interval=P1D&groupBy=routing.queue.id\
                &select=routing.queue.id,conversation.offered";
    assert_eq!(service.get(ours).await.status, 200);
    let before = service.upstream_calls();
    let theirs = json!({"interval": "2023-11-21T00:00:00.000Z/2023-11-24T00:00:00.000Z", "granularity": "P1D",
        "groupBy": ["queueId"], "metrics": ["nOffered"]});
    let answer = service.post(FIGURES, &theirs).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(service.upstream_calls(), before);
    let platform = Platform::log_in(&service).await;
    let (_, expected) = platform.ask("POST", FIGURES, &theirs).await;
    assert_eq!(in_order(answer.json()), in_order(expected));

    // One more day costs that day, and not the whole.
    let more = json!({"interval": "2023-11-21T00:00:00.000Z/2023-11-26T00:00:00.000Z", "granularity": "P1D",
        "groupBy": ["queueId"], "metrics": ["nOffered"]});
    service.post(FIGURES, &more).await;
    let entries = service.simulator.journal().entries();
    let last = entries
        .iter()
        .rfind(|entry| entry.path == FIGURES && entry.body != theirs);
    assert_eq!(
        last.expect("it was asked").body["interval"],
        "2023-11-25T00:00:00.000Z/2023-11-26T00:00:00.000Z"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_over_ends_where_the_question_does() {
    let service = Service::start().await;
    let body = json!({"interval": "2023-12-01T08:00:00.000Z/2023-12-01T12:10:00.000Z", "granularity": "PT1H",
        "metrics": ["nOffered", "tAnswered"], "groupBy": ["queueId"]});
    let answer = service.post(FIGURES, &body).await.json();
    let platform = Platform::log_in(&service).await;
    let (_, expected) = platform.ask("POST", FIGURES, &body).await;
    assert_eq!(in_order(answer), in_order(expected));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_asks_at_once_costs_one_request() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    let queue = &queues(&platform).await[0];
    let before = service.upstream_calls();
    let asked = (0..20).map(async |number| {
        // Blanks and the order of fields mean nothing.
        let text = match number % 2 {
            0 => format!(r#"{{"metrics":["oWaiting"],"filter":{{"type":"and","predicates":[{{"dimension":"queueId","value":{queue}}}]}}}}"#),
            _ => format!(r#"{{ "filter": {{ "predicates": [{{"value": {queue}, "dimension": "queueId"}}], "type": "and" }}, "metrics": ["oWaiting"] }}"#),
        };
        let request = service.request(reqwest::Method::POST, OBSERVATIONS);
        service.send(request.header("content-type", "application/json").body(text)).await
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.body == answers[0].body)
    );
    assert_eq!(service.upstream_calls() - before, 1);
    // Good for five seconds, and a moment longer while it is asked for again.
    service.pass(8).await;
    let request = json!({"metrics": ["oWaiting"], "filter": {"type": "and", "predicates": [{"dimension": "queueId", "value": queue}]}});
    assert!(
        service
            .post(OBSERVATIONS, &request)
            .await
            .header("cache-status")
            .contains("fwd=miss")
    );
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_refusals_are_told_in_its_own_words() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    for (method, path, body) in [
        (
            "POST",
            FIGURES,
            json!({"interval": "2023-11-20T00:00:00Z/2023-11-21T00:00:00Z", "metrics": ["nNonsense"]}),
        ),
        ("POST", FIGURES, json!({"metrics": ["nOffered"]})),
        (
            "POST",
            DETAILS,
            json!({"interval": "2023-10-01T00:00:00.000Z/2023-11-30T00:00:00.000Z"}),
        ),
        ("POST", DETAILS, json!({"interval": "yesterday"})),
    ] {
        let (status, mut expected) = platform.ask(method, path, &body).await;
        assert_eq!(status, 400, "{expected}");
        let before = service.upstream_calls();
        for _ in 0..3 {
            let answer = service.post(path, &body).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            let mut told = answer.json();
            assert_eq!(told["requestId"], answer.header("x-request-id"));
            for (document, field) in [(&mut told, "requestId"), (&mut expected, "requestId")] {
                document.as_object_mut().unwrap().remove(field);
            }
            assert_ne!(told["contextId"], expected["contextId"], "another request's");
            told["contextId"] = expected["contextId"].clone();
            assert_eq!(told, expected);
        }
        assert_eq!(
            service.upstream_calls() - before,
            1,
            "asking again is answered from here for a minute"
        );
    }
}

/// Fault, how often it is met, status, code, what the log says at level error.
#[tokio::test(start_paused = true)]
async fn failures_take_the_upstreams_shape_too() {
    for (effect, times, status, code, error) in [
        (
            Effect::status(403),
            1,
            403,
            "not.authorized",
            Some("lacks a permission"),
        ),
        (Effect::status(503), 3, 502, "service.unavailable", None),
        (Effect::status(504), 3, 504, "request.timeout", None),
        (
            Effect::Garbage { kind: Garbage::Html },
            3,
            502,
            "service.unavailable",
            None,
        ),
    ] {
        let mut service = Service::start().await;
        if let Some(error) = error {
            service.expect_error(error);
        }
        service.fault(Fault::new(effect).on_path("/api/v2/users").times(times));
        let answer = service.get("/api/v2/users").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json()["code"], code, "{}", answer.text());
        assert!(!answer.text().contains('<'), "{}", answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_limit_is_told_with_when_to_come_back() {
    let service = Service::start().await;
    let throttled = Effect::status_retry_after(429, "300");
    service.fault(Fault::new(throttled).on_path("/api/v2/users").once());
    let answer = service.get("/api/v2/users").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "300"));
    assert_eq!(answer.json()["code"], "service.unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_stands_in_for_a_failure() {
    let service = Service::start().await;
    let first = service.get("/api/v2/routing/skills").await;
    service.pass(2 * 3600).await;
    service.fault(
        Fault::new(Effect::status(503))
            .on_path("/api/v2/routing/skills")
            .times(3),
    );
    let second = service.get("/api/v2/routing/skills").await;
    assert_eq!((second.status.as_u16(), &second.body), (200, &first.body));
    assert_eq!(
        second.header("cache-status"),
        "genesys-reports; fwd=stale; detail=upstream-failed"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_is_not_found_and_not_asked() {
    let service = Service::start().await;
    let nothing = json!({});
    for path in [
        "/api/v2/tokens/me",
        "/api/v2/users/me",
        "/api/v2/oauth/clients",
        "/api/v2/conversations",
        "/api/v2/analytics/dataextraction/downloads/metadata",
        "/api/v2/analytics/reporting/exports",
        "/api/v2/",
        "/api/v2/nonsense",
        "/api/v2/routing/queues/../../tokens/me",
        "/api/v2/routing/queues/%2e%2e%2f%2e%2e%2ftokens%2fme",
        "/api/v2/routing/queues/a%3Fb",
        "/api/v2/routing/queues/%ff",
        "/api/v2/routing/queues//",
    ] {
        let answer = service
            .send_raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (404, &json!("not.found")),
            "{path}"
        );
    }
    for (method, path) in [
        (reqwest::Method::POST, "/api/v2/users"),
        (
            reqwest::Method::DELETE,
            "/api/v2/routing/queues/7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11",
        ),
        (reqwest::Method::PUT, "/api/v2/analytics/dataretention/settings"),
        (reqwest::Method::GET, FIGURES),
    ] {
        let answer = service.send(service.request(method.clone(), path)).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(!answer.header("allow").is_empty());
    }
    let unknown = service.get("/api/v2/users?pageSize=1&access_token=x").await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json()["code"]),
        (400, &json!("bad.request"))
    );
    for (path, body) in [
        (FIGURES, json!([])),
        (FIGURES, Value::Null),
        ("/api/v2/analytics/nonsense", nothing),
    ] {
        assert!(service.post(path, &body).await.status.is_client_error());
    }
    assert_eq!(service.simulator.journal().entries().len(), 0, "no login either");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_caller_goes_on_and_nothing_of_the_upstream_comes_back() {
    let (setup, key) = Setup::new().key(r#""read""#, "");
    let service = setup.start().await;
    let request = service.request(reqwest::Method::GET, "/api/v2/users?pageSize=1");
    let answer = service
        .send(
            request
                .header("authorization", format!("Bearer {key}"))
                .header("cookie", "session=caller")
                .header("x-forwarded-host", "elsewhere.example")
                .header("inin-correlation-id", "of-the-caller"),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let entry = service.simulator.journal().entries().pop().unwrap();
    assert!(entry.token.is_some(), "a token of this service's own");
    assert_ne!(entry.correlation_id, "of-the-caller");
    for field in [
        "inin-correlation-id",
        "strict-transport-security",
        "pragma",
        "expires",
        "set-cookie",
        "server",
        "via",
    ] {
        assert_eq!(answer.header(field), "", "{field}");
    }
    assert_eq!(answer.header("cache-control"), "private, max-age=3600");
}

#[tokio::test(start_paused = true)]
async fn keys_scopes_and_quotas_hold_here_too() {
    let (setup, key) = Setup::new().key(r#""live""#, "");
    let (setup, few) = setup.key(r#""read""#, ", requests_per_minute=1");
    let service = setup.start().await;
    let ask = async |credential: Option<&str>| {
        let request = service.request(reqwest::Method::GET, "/api/v2/routing/skills");
        let request = credential.map_or(service.request(reqwest::Method::GET, "/api/v2/routing/skills"), |key| {
            request.header("authorization", format!("Bearer {key}"))
        });
        service.send(request).await
    };
    for (credential, status, code) in [
        (None, 401, "authentication.required"),
        (Some("nonsense"), 401, "bad.credentials"),
        (Some("grt_nonsense"), 401, "bad.credentials"),
        (Some(key.as_str()), 403, "not.authorized"),
    ] {
        let answer = ask(credential).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (status, Some(code)),
            "{credential:?}"
        );
    }
    assert_eq!(ask(Some(&few)).await.status, 200);
    let answer = ask(Some(&few)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "60"));
    assert_eq!(
        answer.json()["message"],
        "Rate limit exceeded the maximum. Retry the request in [60] seconds"
    );
}

async fn log_in(service: &Service, name: &str, key: &str) -> Answer {
    let basic = BASE64_STANDARD.encode(format!("{name}:{key}"));
    let request = service.request(reqwest::Method::POST, "/oauth/token");
    let request = request.header("authorization", format!("Basic {basic}"));
    service
        .send(request.form(&[("grant_type", "client_credentials")]))
        .await
}

async fn with_token(service: &Service, token: &str) -> Answer {
    let request = service.request(reqwest::Method::GET, "/api/v2/routing/skills");
    service
        .send(request.header("authorization", format!("Bearer {token}")))
        .await
}

fn token_of(answer: &Answer) -> String {
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_key_logs_in_and_its_token_is_good_until_it_expires() {
    let (setup, key) = Setup::new().key(r#""read""#, "");
    let service = setup.set("REPORTS_AUTH__TOKEN_LIFETIME_S", "600").start().await;
    let answer = log_in(&service, "test-0", &key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = token_of(&answer);
    assert_eq!(
        answer.json(),
        json!({"access_token": token, "token_type": "bearer", "expires_in": 600})
    );
    assert!(!token.contains(&key[4..]));
    assert_eq!(with_token(&service, &token).await.status, 200);
    service.pass(599).await;
    assert_eq!(with_token(&service, &token).await.status, 200);
    service.pass(1).await;
    let expired = with_token(&service, &token).await;
    assert_eq!(
        (expired.status.as_u16(), &expired.json()["code"]),
        (401, &json!("bad.credentials"))
    );
    // Elsewhere it is a credential of the key as well.
    let again = token_of(&log_in(&service, "test-0", &key).await);
    let request = service
        .request(reqwest::Method::GET, "/v1/lookups/skills")
        .header("x-api-key", again);
    assert_eq!(service.send(request).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_at_replicas_that_share_the_secret_and_have_the_key() {
    let secret = "a secret that the replicas share, long enough";
    let (key, sha256) = new_key();
    let keys = format!(r#"[{{name="one", sha256="{sha256}", scopes=["read"]}}]"#);
    let start = async |keys: &str, secret: Option<&str>| {
        let setup = Setup::new().set("REPORTS_AUTH__KEYS", keys);
        secret
            .map_or(setup, |secret| {
                Setup::new()
                    .set("REPORTS_AUTH__KEYS", keys)
                    .set("REPORTS_AUTH__TOKEN_SECRET", secret)
            })
            .start()
            .await
    };
    let token = {
        let first = start(&keys, Some(secret)).await;
        token_of(&log_in(&first, "one", &key).await)
    };
    let (_, other) = new_key();
    let renewed = format!(r#"[{{name="one", sha256="{other}", scopes=["read"]}}]"#);
    for (keys, secret, status) in [
        (&keys, Some(secret), 200),
        (&keys, None, 401),
        (&keys, Some("another secret, as long as the first was"), 401),
        // The key was replaced: what was given for it ends with it.
        (&renewed, Some(secret), 401),
    ] {
        let replica = start(keys, secret).await;
        assert_eq!(with_token(&replica, &token).await.status, status, "{secret:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_wrong_is_refused_as_oauth_does() {
    let (setup, key) = Setup::new().key(r#""read""#, "");
    let service = setup.start().await;
    for (name, secret) in [("test-0", "wrong"), ("other", key.as_str()), ("", "")] {
        let answer = log_in(&service, name, secret).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]),
            (401, &json!("invalid_client")),
            "{name}"
        );
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"genesys-reports\"");
    }
    let post = async |query: &str, form: &[(&str, &str)]| {
        let request = service.request(reqwest::Method::POST, &format!("/oauth/token{query}"));
        service.send(request.form(form)).await
    };
    let (id, secret) = (("client_id", "test-0"), ("client_secret", key.as_str()));
    let grant = ("grant_type", "client_credentials");
    for (query, form, status, error) in [
        ("", &[grant, id, secret][..], 200, None),
        ("?grant_type=client_credentials", &[id, secret], 200, None),
        ("", &[id, secret], 400, Some("invalid_request")),
        ("", &[grant, grant, id, secret], 400, Some("invalid_request")),
        (
            "",
            &[("grant_type", "password"), id, secret],
            400,
            Some("unsupported_grant_type"),
        ),
        ("", &[grant, id], 401, Some("invalid_client")),
        ("", &[grant], 401, Some("invalid_client")),
    ] {
        let answer = post(query, form).await;
        assert_eq!(answer.status, status, "{form:?}: {}", answer.text());
        assert_eq!(answer.json()["error"].as_str(), error, "{form:?}");
    }
    let both = service
        .request(reqwest::Method::POST, "/oauth/token")
        .basic_auth("test-0", Some(&key))
        .form(&[grant, id, secret]);
    assert_eq!(service.send(both).await.status, 400);
    let json = service
        .post("/oauth/token", &json!({"grant_type": "client_credentials"}))
        .await;
    assert_eq!(json.status, 415);
    let large = post("", &[("grant_type", &"x".repeat(20_000))]).await;
    assert_eq!(large.status, 413);
    assert_eq!(service.get("/oauth/token").await.status, 405);
    assert_eq!(service.simulator.journal().entries().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_keys_anybody_logs_in() {
    let service = Service::start().await;
    let token = token_of(&log_in(&service, "anything", "at all").await);
    assert_eq!(with_token(&service, &token).await.status, 200);
}

/// By bucket where that is exact, passed on where it is not: every family, in its own words and by its name.
#[tokio::test(start_paused = true)]
async fn every_family_of_figures_is_answered() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    for source in Source::ALL {
        let path = format!("/api/v2/analytics/{}/aggregates/query", source.name());
        let metrics = |is_meant: fn(Rollup, Qualifier) -> bool| {
            let metrics = METRICS.iter().filter(|metric| metric.source == source);
            let metrics = metrics.filter(|metric| is_meant(metric.rollup, metric.qualifier));
            metrics
                .map(|metric| metric.upstream)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let held = metrics(|rollup, qualifier| rollup != Rollup::None && qualifier == Qualifier::None);
        for metrics in [held, metrics(|_, _| true)] {
            if metrics.is_empty() {
                continue;
            }
            let body = json!({"interval": "2023-11-06T00:00:00.000Z/2023-11-13T00:00:00.000Z", "granularity": "P1D",
                "metrics": metrics});
            let (status, expected) = platform.ask("POST", &path, &body).await;
            assert_eq!(status, 200, "{path} {expected}");
            // Limits that nobody came near are not told of.
            if !path.contains("/ratelimits/") {
                assert_ne!(expected["results"], json!([]), "{path}");
            }
            let answer = service.post(&path, &body).await;
            assert_eq!(answer.status, 200, "{path} {}", answer.text());
            assert_eq!(in_order(answer.json()), in_order(expected), "{path}");
            let before = service.upstream_calls();
            assert_eq!(service.post(&path, &body).await.body, answer.body);
            assert_eq!(service.upstream_calls(), before, "{path}");
        }
        let ours = format!(
            "/v1/query?source={}&dateFrom=2023-11-06&dateTo=2023-11-13&interval=P1D",
            source.name()
        );
        let answer = service.get(&ours).await;
        assert_eq!(answer.status, 200, "{ours} {}", answer.text());
        let is_told_of_nothing = source.name() == "ratelimits";
        let total = answer.json()["total"].as_u64();
        assert!(total > Some(0) || is_told_of_nothing, "{ours} {}", answer.text());
    }
}

const JOBS: &str = "/api/v2/analytics/conversations/details/jobs";

/// Asks for a job, waits for it and reads it to the end: its id, and the ids of what it brought.
async fn done(service: &Service, body: &Value) -> (String, Vec<String>) {
    let begun = service.post(JOBS, body).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["jobId"].as_str().expect("an id").to_owned();
    for look in 0.. {
        let state = service.get(&format!("{JOBS}/{id}")).await;
        match state.json()["state"].as_str() {
            Some("FULFILLED") => {
                assert_eq!(state.status, 200);
                break;
            }
            Some("QUEUED" | "PENDING") => assert_eq!(state.status, 202),
            other => return (format!("{other:?}"), Vec::new()),
        }
        assert!(look < 10, "it is not done");
        service.pass(5).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("{JOBS}/{id}/results?pageSize=100{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let conversations = page["conversations"].as_array().into_iter().flatten();
        found.extend(conversations.map(|one| one["conversationId"].as_str().expect("an id").to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (id, found),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_done_once_for_all_who_ask_the_same_within_an_hour() {
    let service = Service::start().await;
    let week = json!({"interval": "2023-11-06T00:00:00.000Z/2023-11-13T00:00:00.000Z"});
    let (first, found) = done(&service, &week).await;
    assert!(found.len() > 300, "{}", found.len());
    let calls = service.upstream_calls();
    assert_eq!(done(&service, &week).await, (first.clone(), found.clone()));
    let dismissed = service
        .send(service.request(reqwest::Method::DELETE, &format!("{JOBS}/{first}")))
        .await;
    assert_eq!(dismissed.status, 204);
    assert_eq!(
        done(&service, &week).await,
        (first.clone(), found.clone()),
        "others may still need it"
    );
    assert_eq!(service.upstream_calls(), calls);

    let other = json!({"interval": "2023-11-06T00:00:00.000Z/2023-11-07T00:00:00.000Z"});
    assert_ne!(done(&service, &other).await.0, first);
    service.pass(3700).await;
    let (later, found_later) = done(&service, &week).await;
    assert_ne!(later, first);
    assert_eq!(found_later, found);
}

#[tokio::test(start_paused = true)]
async fn a_job_about_aggregates_brings_what_the_query_does_page_by_page() {
    let service = Service::start().await;
    let question = json!({
        "interval": "2023-11-06T00:00:00.000Z/2023-11-13T00:00:00.000Z", "granularity": "P1D",
        "groupBy": ["queueId", "mediaType"], "metrics": ["nOffered", "tHandle"],
    });
    let path = "/api/v2/analytics/conversations/aggregates";
    let asked = service.post(&format!("{path}/query"), &question).await.json();
    let in_order = |mut groups: Vec<Value>| {
        groups.sort_by_key(|group| group["group"].to_string());
        groups
    };
    let expected = in_order(asked["results"].as_array().expect("results").clone());
    assert!(expected.len() > 5, "{asked}");
    let mut paged = question.clone();
    paged["pageSize"] = json!(2);
    let (first, found) = all_of_job(&service, &format!("{path}/jobs"), &paged, "results").await;
    assert!(
        in_order(found.clone()) == expected,
        "{} groups of {}",
        found.len(),
        expected.len()
    );
    let calls = service.upstream_calls();
    let again = all_of_job(&service, &format!("{path}/jobs"), &paged, "results").await;
    assert_eq!((again, service.upstream_calls()), ((first.clone(), found), calls));
    // They are of the moment it was begun.
    service.pass(61).await;
    let later = all_of_job(&service, &format!("{path}/jobs"), &paged, "results").await;
    assert_ne!(later.0, first);
}

#[tokio::test(start_paused = true)]
async fn details_of_users_are_the_same_by_query_and_by_job() {
    let service = Service::start().await;
    let question = json!({"interval": "2023-11-20T00:00:00.000Z/2023-11-22T00:00:00.000Z"});
    let mut page = question.clone();
    page["paging"] = json!({"pageSize": 100, "pageNumber": 1});
    let asked = service
        .post("/api/v2/analytics/users/details/query", &page)
        .await
        .json();
    let expected = asked["userDetails"].as_array().expect("users");
    assert!(expected.len() > 3, "{asked}");
    assert_eq!(asked["totalHits"], expected.len());
    let jobs = "/api/v2/analytics/users/details/jobs";
    assert_eq!(all_of_job(&service, jobs, &question, "userDetails").await.1, *expected);
}

/// A job of any kind, begun, waited for and read to the end: its id, and what it brought under that name.
async fn all_of_job(service: &Service, jobs: &str, question: &Value, name: &str) -> (String, Vec<Value>) {
    let begun = service.post(jobs, question).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["jobId"].as_str().expect("an id").to_owned();
    while service.get(&format!("{jobs}/{id}")).await.json()["state"] != "FULFILLED" {
        service.pass(3).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("{jobs}/{id}/results{cursor}")).await.json();
        found.extend(page[name].as_array().into_iter().flatten().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return (id, found),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_came_to_nothing_is_nobody_elses() {
    let mut setup = Setup::new();
    setup.simulator.switches.failing_jobs = true;
    let service = setup.start().await;
    let week = json!({"interval": "2023-11-06T00:00:00.000Z/2023-11-13T00:00:00.000Z"});
    assert_eq!(done(&service, &week).await.0, r#"Some("FAILED")"#);
    let submitted = || {
        service
            .simulator
            .journal()
            .entries()
            .iter()
            .filter(|entry| entry.method == "POST" && entry.path == JOBS)
            .count()
    };
    assert_eq!(submitted(), 1);
    service.pass(5).await;
    assert_eq!(done(&service, &week).await.0, r#"Some("FAILED")"#);
    assert_eq!(submitted(), 2, "it is tried again");
    let unknown = service
        .get(&format!("{JOBS}/7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11"))
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.json()["code"].as_str()),
        (404, Some("not.found"))
    );
}
