//! Pages of conversations on the upstream's own path: page by page what Genesys Cloud gives itself, from the days that are
//! held for everybody.

use std::collections::BTreeSet;

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::Injection,
};
use serde_json::{Value, json};

use crate::support::{
    platform::Platform,
    service::{Answer, Service, Setup},
};

const DETAILS: &str = "/api/v2/analytics/conversations/details/query";

fn page_of(body: &Value, size: u32, number: u32) -> Value {
    let mut body = body.clone();
    body["paging"] = json!({"pageSize": size, "pageNumber": number});
    body
}

fn with(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Where Genesys Cloud counts exactly and cuts its pages evenly, so that page by page can be compared.
fn even() -> Setup {
    let mut setup = Setup::new();
    let switches = &mut setup.simulator.switches;
    (
        switches.short_pages,
        switches.repeated_rows,
        switches.approximate_total_hits,
    ) = (false, false, false);
    setup
}

/// As programs read: page after page, until one lists none; with that one.
async fn read(service: &Service, body: &Value, size: u32) -> Vec<Answer> {
    let mut pages = Vec::new();
    for number in 1.. {
        let answer = service.post(DETAILS, &page_of(body, size, number)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let is_last = answer.json().get("conversations").is_none();
        pages.push(answer);
        if is_last {
            break;
        }
    }
    pages
}

fn ids(pages: &[Answer]) -> Vec<String> {
    let pages = pages.iter().map(Answer::json);
    let conversations = pages.flat_map(|page| page["conversations"].as_array().cloned().unwrap_or_default());
    conversations
        .map(|one| one["conversationId"].as_str().unwrap().to_owned())
        .collect()
}

/// The ids of all pages by the platform's own account.
async fn ids_there(platform: &Platform, body: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 1.. {
        let (status, page) = platform.ask("POST", DETAILS, &page_of(body, 100, number)).await;
        assert_eq!(status, 200, "{page}");
        let Some(conversations) = page["conversations"].as_array() else {
            break;
        };
        ids.extend(
            conversations
                .iter()
                .map(|one| one["conversationId"].as_str().unwrap().to_owned()),
        );
    }
    ids
}

fn is(dimension: &str, value: &Value) -> Value {
    json!({"type": "dimension", "dimension": dimension, "operator": "matches", "value": value})
}

/// The interval of the month that has settled.
const WEEK: &str = "2023-11-13T00:00:00.000Z/2023-11-20T00:00:00.000Z";

#[tokio::test(start_paused = true)]
async fn every_page_is_the_one_there_and_reading_again_costs_nothing() {
    let service = even().start().await;
    let platform = Platform::log_in(&service).await;
    let (_, queues) = platform.ask("GET", "/api/v2/routing/queues", &Value::Null).await;
    let of_queue = json!({"type": "and", "predicates":
        [is("mediaType", &json!("voice")), is("queueId", &queues["entities"][0]["id"])]});
    let inbound = json!({"type": "or", "predicates": [is("originatingDirection", &json!("inbound"))]});
    for (body, size) in [
        // An hour means its day.
        (
            json!({"interval": "2023-11-14T10:00:00.000Z/2023-11-14T11:00:00.000Z"}),
            25,
        ),
        (
            json!({"interval": "2023-11-14T22:00:00+01:00/2023-11-16T01:00:00.000Z", "order": "desc",
                "orderBy": "conversationStart"}),
            40,
        ),
        (
            json!({"interval": WEEK, "order": "asc", "segmentFilters": [of_queue], "conversationFilters": [inbound]}),
            7,
        ),
        (
            json!({"interval": WEEK, "segmentFilters": [{"type": "or", "predicates": [is("mediaType", &json!("chat"))]}]}),
            100,
        ),
        // Nothing at all.
        (
            json!({"interval": WEEK, "conversationFilters": [{"type": "and", "predicates": [is("externalTag", &json!("none"))]}]}),
            25,
        ),
    ] {
        let first = read(&service, &body, size).await;
        for (place, answer) in first.iter().enumerate() {
            let number = u32::try_from(place).unwrap() + 1;
            let (_, expected) = platform.ask("POST", DETAILS, &page_of(&body, size, number)).await;
            assert!(answer.json() == expected, "page {number} of {body}");
            for field in ["etag", "age", "x-data-as-of", "x-data-complete", "cache-status"] {
                assert!(!answer.header(field).is_empty(), "{field} of page {number} of {body}");
            }
        }
        let calls = service.upstream_calls();
        let second = read(&service, &body, size).await;
        assert_eq!(service.upstream_calls(), calls, "{body}");
        assert_eq!(ids(&second), ids(&first), "{body}");
        for answer in &second {
            assert!(
                answer.header("cache-status").starts_with("genesys-reports; hit"),
                "{body}"
            );
        }
        if first.len() == 1 {
            continue;
        }
        // In whatever pages.
        let others = read(&service, &body, 100).await;
        assert_eq!(ids(&others), ids(&first), "{body}");
        assert_eq!(service.upstream_calls(), calls, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_page_alone_is_one_request_and_who_turns_it_has_the_days_fetched() {
    let service = even().start().await;
    let body = json!({"interval": WEEK});
    let first = page_of(&body, 25, 1);
    for _ in 0..3 {
        assert_eq!(service.post(DETAILS, &first).await.status, 200);
    }
    assert_eq!(service.upstream_calls(), 1);
    let second = service.post(DETAILS, &page_of(&body, 25, 2)).await;
    assert!(second.header("cache-status").contains("fwd=miss"), "{second:?}");
    let calls = service.upstream_calls();
    // Some 700 conversations are 28 pages of 25, and 8 of the most there can be.
    assert!((9..=12).contains(&calls), "{calls}");
    let pages = read(&service, &body, 25).await;
    assert!(pages.len() > 25, "{}", pages.len());
    assert_eq!(service.upstream_calls(), calls);
    // The days are everybody's.
    let listed = service
        .get("/v1/conversations?dateFrom=2023-11-13&dateTo=2023-11-20&pageSize=1")
        .await
        .json();
    assert_eq!(
        (&listed["meta"]["cache"], service.upstream_calls()),
        (&json!("hit"), calls)
    );
    assert_eq!(listed["total"], pages[0].json()["totalHits"]);
}

#[tokio::test(start_paused = true)]
async fn days_that_an_export_fetched_are_not_asked_for_again() {
    let service = Service::start().await;
    let export = service
        .get("/v1/conversations?dateFrom=2023-11-06&dateTo=2023-11-20&format=ndjson")
        .await;
    assert_eq!(export.status, 200);
    let exported = export.text();
    let exported: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    service.simulator.journal().clear();
    for order in ["asc", "desc"] {
        let pages = read(&service, &json!({"interval": WEEK, "order": order}), 100).await;
        let mut found: Vec<Value> = pages
            .iter()
            .flat_map(|page| page.json()["conversations"].as_array().cloned().unwrap_or_default())
            .collect();
        if order == "desc" {
            found.reverse();
        }
        let expected: Vec<&Value> = exported
            .iter()
            .filter(|one| one["conversationStart"].as_str().unwrap() >= "2023-11-13")
            .collect();
        assert!(found.iter().eq(expected), "{order}");
    }
    assert_eq!(service.upstream_calls(), 0);
}

/// What begins, ends or comes late while programs read again and again.
#[tokio::test(start_paused = true)]
async fn days_that_may_change_are_looked_at_again() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    let body = json!({"interval": "2023-11-29T00:00:00.000Z/2023-12-02T00:00:00.000Z"});
    let before = ids(&read(&service, &body, 50).await);
    assert_eq!(before, ids_there(&platform, &body).await);
    let late = Injection::Call {
        start: "2023-11-30T09:00:00Z".parse().unwrap(),
        queue: 0,
        user: 0,
        wait_ms: 5_000,
        talk_ms: 60_000,
        wrap_up_ms: 0,
    };
    let late = service.simulator.organisation().inject(&late).unwrap();
    service.pass(2 * 3600).await;
    let after = read(&service, &body, 50).await;
    assert!(ids(&after).contains(&late) && !before.contains(&late));
    assert_eq!(ids(&after), ids_there(&platform, &body).await);
    assert_eq!(after[1].header("x-data-complete"), "false");
}

/// The upstream's pages may be short, repeat rows and tell about how many there are; what is given is each once, whichever
/// page the days begin with.
#[tokio::test(start_paused = true)]
async fn pages_that_follow_lose_nothing_and_repeat_nothing() {
    for size in [1, 10, 25, 99] {
        let mut setup = Setup::new();
        setup.simulator.conversations_per_day = 20;
        setup.simulator.switches.short_pages = true;
        setup.simulator.switches.repeated_rows = true;
        setup.simulator.switches.approximate_total_hits = true;
        let service = setup.start().await;
        let body = json!({"interval": WEEK});
        let found = ids(&read(&service, &body, size).await);
        let organisation = service.simulator.organisation();
        let [start, end] = ["2023-11-13T00:00:00Z", "2023-11-20T00:00:00Z"].map(|text| text.parse().unwrap());
        let started = organisation.conversations_started(start, end, service.clock.now());
        let expected: BTreeSet<String> = started.into_iter().map(|(id, ..)| id).collect();
        assert_eq!(found.len(), expected.len(), "pages of {size}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "pages of {size}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_model_does_not_express_is_passed_on_page_by_page() {
    let service = Service::start().await;
    let platform = Platform::log_in(&service).await;
    let voice = json!({"type": "and", "predicates": [is("mediaType", &json!("voice"))]});
    let agent = json!({"type": "and", "predicates": [is("purpose", &json!("agent"))]});
    let long = json!({"type": "metric", "metric": "tTalk", "range": {"gte": 60_000}});
    for more in [
        json!({"order": "unordered"}),
        json!({"orderBy": "conversationEnd"}),
        json!({"segmentFilters": [voice, agent]}),
        json!({"conversationFilters": [{"type": "and", "predicates": [long]}]}),
        json!({"aggregations": [{"type": "termFrequency", "dimension": "mediaType", "size": 5}]}),
    ] {
        let body = with(&json!({"interval": WEEK}), &more);
        for number in 1..=3 {
            let page = page_of(&body, 25, number);
            let before = service.upstream_calls();
            let answer = service.post(DETAILS, &page).await;
            assert_eq!(service.upstream_calls() - before, 1, "{page}");
            let (_, expected) = platform.ask("POST", DETAILS, &page).await;
            assert!(answer.json() == expected, "{page}: {}", answer.status);
        }
    }
}

/// Days are not fetched where that would be much more than the caller means.
#[tokio::test(start_paused = true)]
async fn pages_are_passed_on_of_very_many_conversations_and_where_an_age_is_named() {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 3_000;
    let service = setup.start().await;
    let two_days = json!({"interval": "2023-11-14T00:00:00.000Z/2023-11-16T00:00:00.000Z"});
    for number in 1..=3 {
        assert_eq!(
            service.post(DETAILS, &page_of(&two_days, 100, number)).await.status,
            200
        );
        assert_eq!(service.upstream_calls(), number as usize);
    }
    let service = Service::start().await;
    for number in 1..=3 {
        let request = service
            .request(reqwest::Method::POST, DETAILS)
            .header("content-type", "application/json")
            .header("cache-control", "max-age=5")
            .body(page_of(&two_days, 25, number).to_string());
        assert_eq!(service.send(request).await.status, 200);
        assert_eq!(service.upstream_calls(), number as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_on_the_way_to_the_days_is_told_and_mended_by_asking_again() {
    let service = Service::start().await;
    let body = json!({"interval": WEEK});
    assert_eq!(service.post(DETAILS, &page_of(&body, 25, 1)).await.status, 200);
    service.fault(
        Fault::new(Effect::status(503))
            .on_body("/paging/pageSize", 100)
            .times(3),
    );
    let failed = service.post(DETAILS, &page_of(&body, 25, 2)).await;
    assert_eq!(failed.status, 502, "{}", failed.text());
    service.simulator.clear_faults();
    service.pass(60).await;
    let platform = Platform::log_in(&service).await;
    assert_eq!(ids(&read(&service, &body, 25).await), ids_there(&platform, &body).await);
}

/// What may have changed meanwhile is given as it was, on every page, while Genesys Cloud cannot be asked.
#[tokio::test(start_paused = true)]
async fn held_days_stand_in_for_pages_that_cannot_be_had() {
    let service = Service::start().await;
    let listed = service
        .get("/v1/conversations?dateFrom=2023-11-29&dateTo=2023-12-01&pageSize=500&filter=media.type:voice")
        .await
        .json();
    service.pass(3 * 3600).await;
    service.fault(Fault::new(Effect::status(503)).on_path(DETAILS));
    // Calls: what runs on is not held to stand in for long.
    let voice = json!({"type": "and", "predicates": [is("mediaType", &json!("voice"))]});
    let body = json!({"interval": "2023-11-29T00:00:00.000Z/2023-12-01T00:00:00.000Z", "segmentFilters": [voice]});
    let pages = read(&service, &body, 50).await;
    for page in &pages {
        assert!(page.header("cache-status").contains("fwd=stale"), "{page:?}");
    }
    let expected = listed["entities"].as_array().unwrap().iter();
    let expected: Vec<_> = expected
        .map(|one| one["conversationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids(&pages), expected);
    service.simulator.clear_faults();
}

/// A confined key's pages are those that were passed on before there were days, document by document.
#[tokio::test(start_paused = true)]
async fn a_confined_key_sees_page_by_page_what_it_is_passed_on() {
    let queue = {
        let service = Service::start().await;
        let listed = service.get("/v1/lookups/queues").await.json();
        listed["entities"][0]["id"].as_str().unwrap().to_owned()
    };
    let filters = format!(", filters={{\"routing.queue.id\"=[\"{queue}\"]}}");
    let (setup, key) = even().key(r#""read""#, &filters);
    let service = setup.start().await;
    let ask = async |body: &Value, fields: &[(&str, &str)]| {
        let mut request = service
            .request(reqwest::Method::POST, DETAILS)
            .bearer_auth(&key)
            .header("content-type", "application/json")
            .body(body.to_string());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = service.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    let voice = json!({"type": "and", "predicates": [is("mediaType", &json!("voice"))]});
    let inbound = json!({"type": "and", "predicates": [is("originatingDirection", &json!("inbound"))]});
    for (more, comes_from_days) in [
        (json!({}), true),
        (json!({"order": "desc", "conversationFilters": [inbound]}), true),
        // By a segment of its own, whichever the queue is in.
        (json!({"segmentFilters": [voice]}), false),
    ] {
        let body = with(&json!({"interval": WEEK}), &more);
        let mut count = 0;
        for number in 1..=4 {
            let page = page_of(&body, 10, number);
            service.pass(3).await;
            let passed_on = ask(&page, &[("cache-control", "max-age=0")]).await.json();
            service.pass(3).await;
            let before = service.upstream_calls();
            let given = ask(&page, &[]).await.json();
            assert!(given == passed_on, "{page}");
            if number > 2 {
                assert_eq!(service.upstream_calls() - before, 0, "{page}");
            }
            let text = given.to_string();
            count += given["conversations"].as_array().map_or(0, Vec::len);
            assert!(text.contains(&queue));
        }
        assert_eq!(count, 40);
        let again = page_of(&body, 13, 2);
        let before = service.upstream_calls();
        ask(&again, &[]).await;
        // Of other pages nothing is held but the days.
        assert_eq!(service.upstream_calls() == before, comes_from_days, "{body}");
    }
}
