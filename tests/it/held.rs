//! What is held can be seen, and dropped, by those who run the service.

use std::time::Duration;

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::service::{Answer, Service, Setup};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";
const USERS: &str = "/api/v2/analytics/users/aggregates/query";

const HOURLY: &str = "/v1/query?dateFrom=2023-11-28&dateTo=2023-12-01T12:00:00Z&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered,handle.time.average";
const DAILY: &str = "/v1/query?dateFrom=2023-11-01&dateTo=2023-11-11&interval=P1D&filter=media.type:voice,chat&select=conversation.count";
const PRESENCE: &str = "/v1/query?source=users&dateFrom=2023-11-20&dateTo=2023-11-22&interval=P1D&groupBy=agent.id&select=presence.on.queue.time";
const TOTAL: &str = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-22&select=conversation.count";
const CONVERSATIONS: &str = "/v1/conversations?dateFrom=2023-11-20&dateTo=2023-11-21";

struct Keys {
    reader: String,
    admin: String,
}

async fn start() -> (Service, Keys) {
    let (setup, reader) = Setup::new().key("\"read\", \"export\"", "");
    let (setup, admin) = setup.key("\"admin\"", "");
    (setup.start().await, Keys { reader, admin })
}

impl Keys {
    async fn send(&self, service: &Service, method: Method, path: &str, key: &str) -> Answer {
        let request = service.request(method, path).bearer_auth(key);
        service.send(request).await
    }

    async fn read(&self, service: &Service, path: &str) -> Value {
        let answer = self.send(service, Method::GET, path, &self.reader).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn contents(&self, service: &Service) -> Value {
        let answer = self.send(service, Method::GET, "/v1/cache", &self.admin).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("cache-control"),
                answer.header("etag")
            ),
            (200, "no-store", ""),
            "{}",
            answer.text()
        );
        answer.json()
    }

    async fn drop(&self, service: &Service, parameters: &str) -> Value {
        let path = format!("/v1/cache{parameters}");
        let answer = self.send(service, Method::DELETE, &path, &self.admin).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }
}

fn queries(service: &Service) -> usize {
    service.simulator.journal().count(AGGREGATES) + service.simulator.journal().count(USERS)
}

#[tokio::test(start_paused = true)]
async fn only_who_runs_the_service_sees_and_drops_what_is_held() {
    let (service, keys) = start().await;
    keys.read(&service, HOURLY).await;
    for method in [Method::GET, Method::DELETE] {
        let nobody = service.send(service.request(method.clone(), "/v1/cache")).await;
        assert_eq!(nobody.problem(), "unauthenticated", "{method}");
        let reader = keys.send(&service, method.clone(), "/v1/cache", &keys.reader).await;
        assert_eq!(
            (reader.problem(), &reader.json()["detail"]),
            (
                "forbidden".to_owned(),
                &json!("this needs a key with the scope `admin`")
            ),
            "{method}"
        );
    }
    assert_eq!(
        keys.contents(&service).await["series"][0]["buckets"],
        84,
        "nothing was dropped"
    );
    // Without any key configured everybody may read, and nobody may do this.
    let open = Service::start().await;
    for method in [Method::GET, Method::DELETE] {
        let answer = open.send(open.request(method.clone(), "/v1/cache")).await;
        assert_eq!(answer.problem(), "forbidden", "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_shown() {
    let (service, keys) = start().await;
    let empty = keys.contents(&service).await;
    assert_eq!(
        empty,
        json!({
            "memory": {"bytes": 0, "limitBytes": 268_435_456},
            "answers": {"hit": 0, "miss": 0, "collapsed": 0, "revalidating": 0, "stale": 0},
            "families": [], "series": [], "whole": []
        })
    );
    for path in [
        HOURLY,
        DAILY,
        HOURLY,
        PRESENCE,
        TOTAL,
        CONVERSATIONS,
        "/v1/lookups/queues",
        "/v1/now/queues",
    ] {
        keys.read(&service, path).await;
        service.pass(1).await;
    }
    service.pass(60).await;
    keys.read(&service, HOURLY).await;
    service.pass(1).await;
    let contents = keys.contents(&service).await;
    assert_eq!(
        contents["answers"],
        json!({"hit": 1, "miss": 7, "collapsed": 0, "revalidating": 1, "stale": 0})
    );
    let told = |family: &Value| {
        (
            family["source"].clone(),
            family["series"].clone(),
            family["buckets"].clone(),
        )
    };
    let families: Vec<_> = contents["families"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        families,
        [
            (json!("conversations"), json!(2), json!(94)),
            (json!("users"), json!(1), json!(2))
        ]
    );
    let series = &contents["series"];
    assert_eq!(series.as_array().unwrap().len(), 3);
    // The one read last comes first.
    let hourly = &series[0];
    for (name, expected) in [
        ("source", json!("conversations")),
        ("interval", json!("PT1H")),
        ("timeZone", json!("UTC")),
        ("groupBy", json!(["routing.queue.id"])),
        ("filter", json!([])),
        ("range", json!("2023-11-28T00:00:00.000Z/2023-12-01T12:00:00.000Z")),
        ("buckets", json!(84)),
        ("readAt", json!("2023-12-01T12:01:08.000Z")),
    ] {
        assert_eq!(hourly[name], expected, "{name} of {hourly}");
    }
    // Two days have settled; of the last hour the figures are younger.
    assert_eq!(
        hourly["metrics"][0],
        json!({
            "metric": "nOffered", "open": 0, "warm": 48, "settled": 36,
            "oldestFetch": "2023-12-01T12:00:00.000Z", "newestFetch": "2023-12-01T12:01:08.000Z"
        })
    );
    assert_eq!(hourly["metrics"].as_array().unwrap().len(), 2);
    let daily = series
        .as_array()
        .unwrap()
        .iter()
        .find(|series| series["interval"] == "P1D" && series["source"] == "conversations")
        .unwrap();
    assert_eq!(
        daily["filter"],
        json!([{"dimension": "media.type", "values": ["chat", "voice"]}])
    );
    assert!(daily["generation"].as_u64() < hourly["generation"].as_u64());
    let bytes = |of: &Value| {
        of.as_array()
            .unwrap()
            .iter()
            .map(|held| held["bytes"].as_u64().unwrap())
            .sum::<u64>()
    };
    let whole = contents["whole"].as_array().unwrap();
    let kinds: Vec<_> = whole.iter().map(|held| held["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["now", "names", "conversations", "figures"]);
    assert_eq!(
        (&whole[3]["range"], &whole[3]["state"], &whole[3]["source"]),
        (
            &json!("2023-11-20T00:00:00.000Z/2023-11-22T00:00:00.000Z"),
            &json!("settled"),
            &json!("conversations")
        )
    );
    // What was made of it to be shown is counted, too.
    let memory = contents["memory"]["bytes"].as_u64().unwrap();
    assert!(memory >= bytes(series) + bytes(&contents["whole"]), "{contents}");
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_asked_for_again_and_nothing_else() {
    // what is dropped, buckets, answers, requests of each question afterwards
    for (parameters, buckets, answers, [hourly, daily, presence, total, listing]) in [
        ("", 96, 3, [1, 1, 1, 1, 1]),
        ("?source=users", 2, 0, [0, 0, 1, 0, 0]),
        ("?source=conversations", 94, 2, [1, 1, 0, 1, 1]),
        ("?source=flows", 0, 0, [0, 0, 0, 0, 0]),
        ("?dateFrom=2023-11-28&dateTo=2023-11-29", 24, 0, [1, 0, 0, 0, 0]),
        (
            "?dateFrom=2023-11-21T12:00:00Z&dateTo=2023-11-22",
            1,
            1,
            [0, 0, 1, 1, 0],
        ),
        (
            "?dateFrom=2023-11-20&dateTo=2023-11-21&source=conversations",
            0,
            2,
            [0, 0, 0, 1, 1],
        ),
        (
            "?dateFrom=2023-11-05&dateTo=2023-11-06T01:00:00%2B01:00",
            1,
            0,
            [0, 1, 0, 0, 0],
        ),
    ] {
        let (service, keys) = start().await;
        let questions = [HOURLY, DAILY, PRESENCE, TOTAL, CONVERSATIONS];
        for path in questions {
            keys.read(&service, path).await;
        }
        keys.read(&service, "/v1/lookups/queues").await;
        let dropped = keys.drop(&service, parameters).await;
        assert_eq!(
            (&dropped["buckets"], &dropped["answers"]),
            (&json!(buckets), &json!(answers)),
            "{parameters}: {dropped}"
        );
        assert_eq!(
            dropped["bytes"].as_u64().unwrap() > 0,
            buckets + answers > 0,
            "{parameters}: {dropped}"
        );
        for (path, cost) in questions.into_iter().zip([hourly, daily, presence, total, listing]) {
            let answer = keys.read(&service, path).await;
            let is_fetched = answer["meta"]["upstreamCalls"].as_u64().unwrap() > 0;
            assert_eq!(is_fetched, cost > 0, "{parameters}: {path}");
        }
        if parameters.is_empty() {
            let contents = keys.contents(&service).await;
            assert_eq!(contents["families"][0]["buckets"], 94, "{contents}");
        }
    }
    let (service, keys) = start().await;
    for (parameters, pointer) in [
        ("?source=agents", "/source"),
        ("?dateTo=now", "/dateFrom"),
        ("?series=1", "/series"),
    ] {
        let path = format!("/v1/cache{parameters}");
        let refused = keys.send(&service, Method::DELETE, &path, &keys.admin).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{parameters}"
        );
    }
}

/// What is being fetched was asked for before: those who waited are given it, and it is not held.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_while_something_is_dropped_is_not_held() {
    for path in [HOURLY, TOTAL] {
        let (service, keys) = start().await;
        keys.read(&service, DAILY).await;
        service.simulator.set_latency(Duration::from_secs(2));
        let before = queries(&service);
        let after = async {
            service.pass(1).await;
            keys.drop(&service, "").await;
            keys.read(&service, path).await
        };
        let (waited, after) = join(keys.read(&service, path), after).await;
        assert_eq!(waited["entities"], after["entities"], "{path}");
        assert_eq!(after["meta"]["cache"], "miss", "{path}");
        assert_eq!(queries(&service) - before, 2, "{path}");
        let held = keys.read(&service, path).await;
        assert_eq!(
            (&held["meta"]["cache"], &held["meta"]["asOf"]),
            (&json!("hit"), &after["meta"]["asOf"]),
            "{path}"
        );
    }
}

/// However much is asked for, what is held stays within the bound.
#[tokio::test(start_paused = true)]
async fn what_is_held_stays_within_its_bound() {
    const BOUND: u64 = 4 << 20;
    let (setup, reader) = Setup::new()
        .set("REPORTS_CACHE__MEMORY_BYTES", &BOUND.to_string())
        .key("\"read\"", "");
    let (setup, admin) = setup.key("\"admin\"", "");
    let (service, keys) = (setup.start().await, Keys { reader, admin });
    let mut asked = 0;
    for interval in ["PT15M", "PT30M", "PT1H"] {
        for group in [
            "routing.queue.id",
            "agent.id",
            "routing.queue.id,agent.id",
            "wrapup.code.id",
        ] {
            for figure in ["handle.time.average", "talk.time.average", "conversation.count"] {
                let path = format!(
                    "/v1/query?dateFrom=2023-11-01&dateTo=2023-11-29&interval={interval}&groupBy={group}&select={figure}"
                );
                keys.read(&service, &path).await;
                asked += 1;
                let memory = keys.contents(&service).await["memory"]["bytes"].as_u64().unwrap();
                assert!(memory <= BOUND + BOUND / 10, "{memory} bytes after {asked} questions");
            }
        }
    }
    assert!(queries(&service) >= asked / 2, "it was more than there is room for");
}
