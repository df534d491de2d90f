//! Asked as rarely as can be: one fetch for everybody who wants the same, held for as long as the age of its data
//! allows, and a held answer in place of a failure.

use std::{collections::BTreeMap, time::Duration};

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::Injection,
};
use jiff::ToSpan;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::service::{Answer, Service, Setup};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

fn by_queue() -> Value {
    json!({
        "dateFrom": "2023-11-20", "dateTo": "2023-11-27", "interval": "P1D",
        "select": ["routing.queue.name", "conversation.offered", "handle.time.average"],
    })
}

/// Calls offered in a range.
fn offered(from: &str, to: &str) -> Value {
    json!({ "dateFrom": from, "dateTo": to, "select": ["conversation.offered"] })
}

fn count(answer: &Answer) -> u64 {
    let answer = answer.json();
    answer["entities"][0]["conversation"]["offered"].as_u64().unwrap()
}

fn logins(service: &Service) -> usize {
    service.simulator.journal().count("/oauth/")
}

fn queries(service: &Service) -> usize {
    service.simulator.journal().count(AGGREGATES)
}

#[tokio::test(start_paused = true)]
async fn twenty_identical_requests_cost_one() {
    let service = Service::start().await;
    let first = service.post("/v1/query", &by_queue()).await.json();
    assert_eq!(
        (&first["meta"]["cache"], &first["meta"]["upstreamCalls"]),
        (&json!("miss"), &json!(2))
    );
    for _ in 1..20 {
        let again = service.post("/v1/query", &by_queue()).await.json();
        assert_eq!(again["entities"], first["entities"]);
        assert_eq!(
            (&again["meta"]["cache"], &again["meta"]["upstreamCalls"]),
            (&json!("hit"), &json!(0))
        );
    }
    assert_eq!(
        (logins(&service), queries(&service), service.upstream_calls()),
        (1, 1, 2)
    );
}

/// What is fetched does not depend on how the rows are shown.
#[tokio::test(start_paused = true)]
async fn order_page_format_and_spelling_cost_nothing_more() {
    let service = Service::start().await;
    let first = service.post("/v1/query", &by_queue()).await;
    for (name, value) in [
        ("orderBy", json!(["-conversation.offered"])),
        ("page", json!(2)),
        ("pageSize", json!(3)),
        ("fill", json!("zero")),
        ("select", json!(["tHandle.average", "nOffered", "queueId"])),
        (
            "select",
            json!(["conversation.offered", "handle.time.max", "routing.queue.id"]),
        ),
        ("dateTo", json!("2023-11-26T23:59:59.999Z")),
        ("dateFrom", json!("2023-11-20T01:00:00+01:00")),
    ] {
        let mut body = by_queue();
        body[name] = value;
        let answer = service.post("/v1/query?format=json", &body).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("cache-status").starts_with("genesys-reports; hit")
            ),
            (200, true),
            "{body}"
        );
    }
    let lines = service.post("/v1/query?format=ndjson", &by_queue()).await.text();
    assert_eq!(lines.lines().count() as u64, first.json()["total"].as_u64().unwrap());
    service
        .get("/v1/query?dateFrom=2023-11-20&dateTo=2023-11-27&interval=P1D&select=queueId,nOffered,tHandle.sum")
        .await;
    assert_eq!((logins(&service), service.upstream_calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_share_one_fetch() {
    let service = with_room_for_a_thousand().await;
    service.get("/v1/lookups/queues").await;
    let before = (logins(&service), queries(&service), service.upstream_calls());
    service.simulator.set_latency(Duration::from_secs(2));
    let asked = Instant::now();
    let body = by_queue();
    let answers = futures_util::future::join_all((0..1_000).map(|_| service.post("/v1/query", &body))).await;
    assert!(asked.elapsed() <= Duration::from_millis(2_250), "{:?}", asked.elapsed());
    let mut roles: BTreeMap<String, usize> = BTreeMap::new();
    let first = answers[0].json()["entities"].clone();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["entities"], first);
        *roles
            .entry(answer["meta"]["cache"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(
        roles,
        BTreeMap::from([("miss".to_owned(), 1), ("collapsed".to_owned(), 999)])
    );
    let (logins_before, queries_before, calls_before) = before;
    assert_eq!(
        (logins(&service), queries(&service), service.upstream_calls()),
        (logins_before, queries_before + 1, calls_before + 1)
    );
}

async fn with_room_for_a_thousand() -> Service {
    let setup = Setup::new().set("REPORTS_SERVER__MAX_CONCURRENCY", "1000");
    setup.start().await
}

/// The same for single conversations, which take several pages.
#[tokio::test(start_paused = true)]
async fn two_hundred_listings_share_one_sweep() {
    let service = Service::start().await;
    let path = "/v1/conversations?dateFrom=2023-11-20&dateTo=2023-11-27";
    let alone = service.get(path).await.json()["meta"]["upstreamCalls"]
        .as_u64()
        .unwrap();
    let other = "/v1/conversations?dateFrom=2023-11-13&dateTo=2023-11-20";
    let before = service.upstream_calls() as u64;
    let answers = futures_util::future::join_all((0..200).map(|page| {
        let path = format!("{other}&pageSize=7&page={}", page % 30 + 1);
        async { service.get(&{ path }).await }
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let cost = service.upstream_calls() as u64 - before;
    assert!(
        (alone.saturating_sub(2)..=alone + 2).contains(&cost),
        "{cost} calls for 200 listings, {alone} for one"
    );
}

/// Open for 30 s, warm for a tenth of the time since the end, settled for 30 days; to the second. For half of that again,
/// and a minute at most, nobody waits for what is newer.
#[tokio::test(start_paused = true)]
async fn an_answer_is_held_by_the_age_of_its_data() {
    const DAY: u64 = 24 * 3_600;
    for (from, to, fresh_for, given_for) in [
        ("2023-12-01", "2023-12-02", 30, 15),
        ("2023-12-01", "2023-12-01T11:59:00Z", 60, 30),
        ("2023-12-01", "2023-12-01T10:20:00Z", 600, 60),
        ("2023-11-30", "2023-12-01T00:00:00Z", 3_600, 60),
        ("2023-11-28", "2023-11-29T12:00:01Z", 3_600, 60),
        ("2023-11-28", "2023-11-29T12:00:00Z", 30 * DAY, 60),
    ] {
        let service = Service::start().await;
        let body = offered(from, to);
        let first = service.post("/v1/query", &body).await;
        assert_eq!(
            first.header("cache-control"),
            format!("private, max-age={fresh_for}"),
            "{body}"
        );
        assert_eq!(first.json()["meta"]["complete"], fresh_for == 30 * DAY, "{body}");
        sleep(Duration::from_secs(fresh_for)).await;
        let held = service.post("/v1/query", &body).await;
        assert_eq!(held.json()["meta"]["cache"], "hit", "{body}");
        assert_eq!(
            (held.header("age"), queries(&service)),
            (fresh_for.to_string().as_str(), 1),
            "{body}"
        );
        sleep(Duration::from_secs(given_for + 1)).await;
        let fetched = service.post("/v1/query", &body).await;
        // What has settled is asked for once, ever.
        let expected = if fresh_for == 30 * DAY { ("hit", 1) } else { ("miss", 2) };
        let fetched = fetched.json();
        assert_eq!(
            (fetched["meta"]["cache"].as_str().unwrap(), queries(&service)),
            expected,
            "{body}"
        );
    }
}

/// Late data is seen once the answer that lacks it has had its time, and at once by who asks for something younger.
#[tokio::test(start_paused = true)]
async fn late_data_is_followed() {
    let service = Service::start().await;
    let (open, warm, settled) = (
        offered("2023-12-01", "2023-12-02"),
        offered("2023-11-30", "2023-12-01"),
        offered("2023-11-20", "2023-11-21"),
    );
    let ask = async |body: &Value| count(&service.post("/v1/query", body).await);
    let before = [ask(&open).await, ask(&warm).await, ask(&settled).await];
    for start in ["2023-12-01T08:00:00Z", "2023-11-30T08:00:00Z", "2023-11-20T08:00:00Z"] {
        let call = Injection::Call {
            start: start.parse().unwrap(),
            queue: 0,
            user: 0,
            wait_ms: 5_000,
            talk_ms: 60_000,
            wrap_up_ms: 10_000,
        };
        service.simulator.organisation().inject(&call).unwrap();
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        [ask(&open).await, ask(&warm).await, ask(&settled).await],
        before,
        "held"
    );
    let younger = service.post("/v1/query?max_age=29", &warm).await;
    assert_eq!(count(&younger), before[1] + 1, "younger was asked for");
    let younger = service
        .request(reqwest::Method::POST, "/v1/query")
        .header("cache-control", "no-cache");
    let younger = younger
        .header("content-type", "application/json")
        .body(settled.to_string());
    assert_eq!(
        count(&service.send(younger).await),
        before[2] + 1,
        "something new was asked for"
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&open).await, before[0], "30 s are over, and it is asked for again");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&open).await, before[0] + 1, "it has come");
}

/// `max_age=0` is no way past the request budget.
#[tokio::test(start_paused = true)]
async fn nobody_makes_us_ask_twice_within_two_seconds() {
    let service = Service::start().await;
    for (after, calls) in [(0, 1), (2, 1), (1, 2), (2, 2)] {
        sleep(Duration::from_secs(after)).await;
        let answer = service
            .post("/v1/query?max_age=0", &offered("2023-12-01", "2023-12-02"))
            .await;
        assert_eq!((answer.status.as_u16(), queries(&service)), (200, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_answers_everybody_for_two_seconds() {
    let service = with_room_for_a_thousand().await;
    let body = offered("2023-11-20", "2023-11-21");
    service.fault(Fault::new(Effect::status(503)).on_path(AGGREGATES).times(3));
    let answers = futures_util::future::join_all((0..1_000).map(|_| service.post("/v1/query", &body))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 502),
        "{}",
        answers[0].text()
    );
    assert_eq!(queries(&service), 3, "one chain of attempts");
    sleep(Duration::from_millis(1_900)).await;
    assert_eq!(service.post("/v1/query", &body).await.status, 502);
    assert_eq!(queries(&service), 3, "no new chain");
    sleep(Duration::from_millis(200)).await;
    let answers = futures_util::future::join_all((0..1_000).map(|_| service.post("/v1/query", &body))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{}",
        answers[0].text()
    );
    assert_eq!(queries(&service), 4, "exactly one");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_cancels_nothing() {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_secs(5));
    let body = offered("2023-11-20", "2023-11-21");
    let left = tokio::time::timeout(Duration::from_secs(6), service.post("/v1/query", &body)).await;
    assert!(left.is_err(), "the login and the query take ten seconds");
    assert_eq!(queries(&service), 1);
    sleep(Duration::from_secs(5)).await;
    let held = service.post("/v1/query", &body).await;
    assert_eq!(
        (held.json()["meta"]["cache"].as_str(), queries(&service)),
        (Some("hit"), 1)
    );
}

/// A crowd that comes just after an answer's time waits for nothing, and costs one fetch: of figures by bucket and whole,
/// of conversations, of names and of this moment.
#[tokio::test(start_paused = true)]
async fn what_is_just_past_its_time_is_given_while_one_fetch_goes_on() {
    for (path, fresh_for, given_for) in [
        (
            "/v1/query?dateFrom=today&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered",
            30,
            15,
        ),
        (
            "/v1/query?dateFrom=2023-12-01&dateTo=2023-12-02&select=conversation.offered",
            30,
            15,
        ),
        (
            "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&interval=P1D&select=handle.time.average",
            3_600,
            60,
        ),
        ("/v1/conversations?dateFrom=2023-12-01&dateTo=2023-12-02", 30, 15),
        ("/v1/lookups/queues", 3_600, 60),
        ("/v1/now/queues", 5, 2),
        ("/v1/now/users", 5, 2),
    ] {
        for past in [1, given_for, given_for + 1] {
            let service = Service::start().await;
            let first = service.get(path).await.json();
            let alone = service.upstream_calls();
            // The names stay.
            let again = if path.starts_with("/v1/now/") { alone - 1 } else { alone };
            service.simulator.set_latency(Duration::from_secs(2));
            service.pass(fresh_for + past).await;
            assert_eq!(service.upstream_calls(), alone, "{path}: no refresh without a request");
            let asked = Instant::now();
            let answers = futures_util::future::join_all((0..100).map(|_| service.get(path))).await;
            let (took, waits) = (asked.elapsed(), past > given_for);
            assert_eq!(waits, took > Duration::from_millis(5), "{path}: {took:?}");
            for answer in answers.iter().filter(|_| !waits) {
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                assert_eq!(
                    answer.header("cache-status"),
                    format!("genesys-reports; hit; ttl=-{past}"),
                    "{path}"
                );
                assert_eq!(answer.header("cache-control"), "private, max-age=0", "{path}");
                assert_eq!(answer.header("age"), (fresh_for + past).to_string(), "{path}");
                let answer = answer.json();
                assert_eq!(answer["entities"], first["entities"], "{path}");
                assert_eq!(
                    (&answer["meta"]["cache"], &answer["meta"]["upstreamCalls"]),
                    (&json!("revalidating"), &json!(0)),
                    "{path}"
                );
            }
            service.pass(60).await;
            assert_eq!(service.upstream_calls(), alone + again, "{path}: one fetch");
            service.pass(3_600).await;
            assert_eq!(
                service.upstream_calls(),
                alone + again,
                "{path}: no refresh without a request"
            );
        }
    }
}

/// Who names a bound on the age, or wants to hear of failures, is given nothing that is past it.
#[tokio::test(start_paused = true)]
async fn what_is_past_its_time_is_for_those_who_named_no_bound() {
    for (parameters, cache) in [
        ("", "revalidating"),
        ("&max_stale=3", "revalidating"),
        ("&max_stale=2", "miss"),
        ("&max_age=30", "miss"),
        ("&max_age=60", "miss"),
        ("&on_error=fail", "miss"),
    ] {
        let service = Service::start().await;
        let path = "/v1/query?dateFrom=2023-12-01&dateTo=2023-12-02&interval=PT1H&select=conversation.offered";
        service.get(path).await;
        service.pass(33).await;
        let answer = service.get(&format!("{path}{parameters}")).await.json();
        assert_eq!(answer["meta"]["cache"], cache, "{parameters}");
    }
}

/// What is given while a fetch goes on that fails is no newer for that: its time runs out, to the second.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_renews_nothing() {
    for path in [
        "/v1/query?dateFrom=today&interval=PT1H&select=conversation.offered",
        "/v1/query?dateFrom=2023-12-01&dateTo=2023-12-02&select=conversation.offered",
    ] {
        let service = Service::start().await;
        let first = service.get(path).await;
        let fetched = Instant::now();
        service.fault(Fault::new(Effect::status(503)).on_api());
        for (age, cache) in [
            (30, "hit"),
            (31, "revalidating"),
            (38, "revalidating"),
            (45, "revalidating"),
            (46, "stale"),
            (330, "stale"),
            (331, ""),
        ] {
            tokio::time::sleep_until(fetched + Duration::from_secs(age)).await;
            let answer = service.get(path).await;
            if cache.is_empty() {
                assert!(
                    [502, 503].contains(&answer.status.as_u16()),
                    "at {age} s: {}",
                    answer.text()
                );
                continue;
            }
            assert_eq!(answer.status, 200, "at {age} s: {}", answer.text());
            assert_eq!(answer.json()["meta"]["cache"], cache, "at {age} s");
            assert_eq!(
                answer.json()["meta"]["asOf"],
                first.json()["meta"]["asOf"],
                "at {age} s"
            );
        }
        assert!(
            service.log().contains("a fetch that nobody waits for failed"),
            "{}",
            service.log()
        );
    }
}

/// Nobody can wait for what takes five seconds; it is asked for once, goes on without them, and is there afterwards.
#[tokio::test(start_paused = true)]
async fn whoever_cannot_wait_is_told_in_time_and_the_fetch_goes_on() {
    let service = Setup::new().set("REPORTS_SERVER__REQUEST_TIMEOUT_S", "1").start().await;
    service
        .get("/v1/query?dateFrom=2023-11-01&dateTo=2023-11-02&select=conversation.count")
        .await;
    service.simulator.set_latency(Duration::from_secs(5));
    let body = offered("2023-11-20", "2023-11-21");
    let before = queries(&service);
    let impatient = |after: u64| {
        let (service, body) = (&service, &body);
        async move {
            sleep(Duration::from_millis(after)).await;
            let asked = Instant::now();
            let answer = service.post("/v1/query", body).await;
            (answer.status.as_u16(), answer.problem(), asked.elapsed())
        }
    };
    let (leader, follower) = tokio::join!(impatient(0), impatient(500));
    for (status, problem, took) in [leader, follower] {
        assert_eq!((status, problem.as_str()), (504, "deadline"));
        assert!((950..=1_050).contains(&took.as_millis()), "{took:?}");
    }
    sleep(Duration::from_millis(3_600)).await;
    let held = service.post("/v1/query", &body).await;
    assert_eq!(
        (held.json()["meta"]["cache"].as_str(), queries(&service) - before),
        (Some("hit"), 1)
    );
}

/// While the upstream is down a held answer stands in, marked as stale, for five minutes past its time.
#[tokio::test(start_paused = true)]
async fn a_held_answer_stands_in_for_a_failure_to_the_second() {
    let service = Service::start().await;
    let body = offered("2023-12-01", "2023-12-02");
    let first = service.post("/v1/query", &body).await;
    service.fault(Fault::new(Effect::status(503)).on_api());
    let fetched = Instant::now();
    let after = |seconds| tokio::time::sleep_until(fetched + Duration::from_secs(seconds));
    for age in [46, 131, 330] {
        after(age).await;
        let stale = service.post("/v1/query", &body).await;
        assert_eq!(stale.status, 200, "at {age} s: {}", stale.text());
        assert_eq!(stale.json()["entities"], first.json()["entities"]);
        assert_eq!(stale.json()["meta"]["cache"], "stale");
        assert!(
            stale.header("cache-status").starts_with("genesys-reports; fwd=stale"),
            "{stale:?}"
        );
        let shown: u64 = stale.header("age").parse().unwrap();
        assert!((age..age + 5).contains(&shown), "the attempts took {shown} s");
        let failing = service.post("/v1/query?on_error=fail", &body).await;
        assert!([502, 503].contains(&failing.status.as_u16()), "{}", failing.text());
    }
    // The last attempts may have taken a moment.
    after(332).await;
    let failing = service.post("/v1/query", &body).await;
    assert!(
        [502, 503].contains(&failing.status.as_u16()),
        "past the bound: {}",
        failing.text()
    );

    service.simulator.clear_faults();
    // The breaker leaves the upstream alone for up to a minute.
    sleep(Duration::from_secs(62)).await;
    let recovered = service.post("/v1/query", &body).await;
    assert_eq!(recovered.json()["meta"]["cache"], "miss");
    let now = service.clock.now();
    let as_of: jiff::Timestamp = recovered.json()["meta"]["asOf"].as_str().unwrap().parse().unwrap();
    assert!(as_of >= now - 1.second());
}

/// An operator who knows when figures settle says so.
#[tokio::test(start_paused = true)]
async fn figures_settle_after_the_windows_that_are_set() {
    let set = |setup: Setup| {
        let setup = setup.set("REPORTS_CACHE__SETTLE_HOURS", "3");
        setup.set("REPORTS_CACHE__SETTLE_LATE_HOURS", "20")
    };
    // It is noon of the first.
    for (source, metric, until, by_default, as_set) in [
        ("conversations", "nOffered", "2023-12-01T09:00:00Z", false, true),
        ("conversations", "nOffered", "2023-12-01T10:00:00Z", false, false),
        ("evaluations", "nEvaluations", "2023-11-30T16:00:00Z", false, true),
        ("evaluations", "nEvaluations", "2023-11-30T17:00:00Z", false, false),
        ("evaluations", "nEvaluations", "2023-11-24T12:00:00Z", true, true),
    ] {
        for (is_set, is_settled) in [(false, by_default), (true, as_set)] {
            let setup = Setup::new();
            let service = if is_set { set(setup) } else { setup }.start().await;
            let path =
                format!("/v1/query?source={source}&dateFrom=2023-11-24&dateTo={until}&interval=PT1H&select={metric}");
            let first = service.get(&path).await;
            assert_eq!(first.status, 200, "{path}: {}", first.text());
            let meta = &first.json()["meta"];
            assert_eq!(meta["complete"], is_settled, "{path}");
            let settled_through: jiff::Timestamp = meta["settledThrough"].as_str().unwrap().parse().unwrap();
            let end: jiff::Timestamp = until.parse().unwrap();
            assert_eq!(settled_through == end, is_settled, "{path}: {settled_through}");
            service.simulator.journal().clear();
            service.pass(2 * 3_600).await;
            service.get(&path).await;
            assert_eq!(service.upstream_calls(), usize::from(!is_settled), "{path}");
        }
    }
}

/// Whoever would rather hear of a failure than see what is old sets that, too.
#[tokio::test(start_paused = true)]
async fn answers_stand_in_for_as_long_as_is_set() {
    for (to, lasts, bound) in [("2023-12-02", 30, 40), ("2023-12-01T00:00:00Z", 3_600, 100)] {
        for interval in ["", "&interval=PT1H"] {
            let setup = Setup::new().set("REPORTS_CACHE__STALE_OPEN_S", "40");
            let service = setup.set("REPORTS_CACHE__STALE_CLOSED_S", "100").start().await;
            let path = format!("/v1/query?dateFrom=2023-11-30&dateTo={to}{interval}&select=conversation.offered");
            service.get(&path).await;
            let fetched = Instant::now();
            service.fault(Fault::new(Effect::status(503)).on_api());
            for (age, cache) in [(lasts + bound, "stale"), (lasts + bound + 1, "")] {
                tokio::time::sleep_until(fetched + Duration::from_secs(age)).await;
                let answer = service.get(&path).await;
                match cache {
                    "" => assert_ne!(answer.status, 200, "{path} after {age} s"),
                    _ => assert_eq!(answer.json()["meta"]["cache"], cache, "{path} after {age} s"),
                }
            }
        }
    }
}
