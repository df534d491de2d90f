//! A settled bucket is asked for once, a moving range costs its tail, and one question's answer is part of another's.

use std::time::Duration;

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::Injection,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::service::{Answer, Service, Setup};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

fn queries(service: &Service) -> usize {
    service.simulator.journal().count(AGGREGATES)
}

async fn ask(service: &Service, parameters: &str) -> Answer {
    let answer = service.get(&format!("/v1/query?{parameters}")).await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    answer
}

const BY_QUEUE: &str = "dateFrom=now-30d/d&dateTo=now/h&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered,handle.time.average";

#[tokio::test(start_paused = true)]
async fn what_is_held_by_the_hour_answers_what_it_holds() {
    let service = Service::start().await;
    ask(&service, BY_QUEUE).await;
    let queues = service.get("/v1/lookups/queues").await.json();
    let queue = queues["entities"][1]["id"].as_str().unwrap().to_owned();
    for parameters in [
        // Fewer metrics, fewer dimensions, longer buckets, less time, some of its rows.
        "dateFrom=now-30d/d&dateTo=now/h&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered",
        "dateFrom=now-30d/d&dateTo=now/h&interval=PT1H&select=conversation.offered,handle.time.max",
        "dateFrom=now-30d/d&dateTo=now/d&interval=P1D&select=handle.time.average,handle.time.min",
        "dateFrom=now-21d/d&dateTo=now/d&interval=P1D&groupBy=routing.queue.id,media.type&select=handle.time.sum",
        "dateFrom=2023-11-06&dateTo=2023-11-27&interval=P1W&select=conversation.offered",
        "dateFrom=2023-11-02&dateTo=2023-12-01&interval=P1M&select=conversation.offered",
        "dateFrom=now-7d/h&dateTo=now-3h/h&interval=PT6H&select=conversation.offered&fill=zero",
        "dateFrom=now-7d/h&dateTo=now-3h/h&select=conversation.offered",
        "dateFrom=now-7d/d&dateTo=now/d&interval=PT1H&filter=media.type:chat&select=conversation.offered",
        &format!("dateFrom=now-7d/d&dateTo=now/d&interval=P1D&filter=routing.queue.id:{queue}&select=aht"),
        &format!("dateFrom=now-7d/d&dateTo=now/d&filter=routing.queue.id:{queue}&select=conversation.offered"),
    ] {
        let answer = ask(&service, parameters).await.json();
        assert_eq!(
            (
                &answer["meta"]["cache"],
                &answer["meta"]["upstreamCalls"],
                queries(&service)
            ),
            (&json!("hit"), &json!(0), 1),
            "{parameters}"
        );
        let plain = ask(&Service::start().await, parameters).await.json();
        assert!(plain["total"].as_u64().unwrap() > 0, "{parameters}");
        assert_eq!(answer["entities"], plain["entities"], "{parameters}");
        assert_eq!(answer["total"], plain["total"], "{parameters}");
    }
}

/// What does not add is asked for, and so is what is not held.
#[tokio::test(start_paused = true)]
async fn what_is_held_answers_nothing_else() {
    let service = Service::start().await;
    let held = "dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id,agent.id&select=conversation.count,handle.time.average,handle.time.count";
    ask(&service, held).await;
    for (asked, parameters) in [
        // A distinct count adds neither over time nor over queues.
        "dateFrom=now-30d/d&dateTo=now/d&interval=P1D&groupBy=routing.queue.id,agent.id&select=conversation.count",
        "dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=agent.id&select=conversation.count",
        // Grouped by agent, what no agent was involved in is left out.
        "dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id&select=handle.time.average",
        // Half an hour is no whole hour, and neither is an hour of another zone.
        "dateFrom=now-30d/d&dateTo=now/d&interval=PT30M&groupBy=routing.queue.id,agent.id&select=handle.time.average",
        "dateFrom=2023-11-20&dateTo=2023-11-21&interval=P1D&timeZone=Asia/Kolkata&groupBy=agent.id&select=handle.time.average",
        // Another dimension, another metric, another day.
        "dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id,agent.id,conversation.direction&select=handle.time.average",
        "dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id,agent.id&select=talk.time.average",
        "dateFrom=now-31d/d&dateTo=now-2d/d&interval=PT1H&groupBy=routing.queue.id,agent.id&select=handle.time.average",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&service, parameters).await.json();
        assert_eq!(
            (&answer["meta"]["cache"], queries(&service)),
            (&json!("miss"), asked + 2),
            "{parameters}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_moving_range_costs_one_request_whenever_its_tail_is_due() {
    let service = Service::start().await;
    let moving = "dateFrom=now-30d/h&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered";
    let first = ask(&service, moving).await.json();
    assert_eq!((queries(&service), &first["meta"]["complete"]), (1, &json!(false)));
    for (seconds, calls) in [(20, 1), (11, 1), (60, 2), (3_600, 3), (86_400, 4)] {
        sleep(Duration::from_secs(seconds)).await;
        ask(&service, moving).await;
        assert_eq!(queries(&service), calls, "after {seconds} s");
    }
    let asked = service.simulator.journal().entries();
    let asked = asked.iter().filter(|entry| entry.path == AGGREGATES);
    let from: Vec<&str> = asked.map(|entry| entry.body["interval"].as_str().unwrap()).collect();
    assert!(
        from[1..].iter().all(|interval| *interval >= "2023-11-29"),
        "only what had not settled: {from:?}"
    );
    // Of the same series for another metric, all is missing; for both, nothing.
    ask(&service, &moving.replace("conversation.offered", "handle.time.average")).await;
    assert_eq!(queries(&service), 5);
    ask(
        &service,
        &moving.replace("conversation.offered", "handle.time.average,conversation.offered"),
    )
    .await;
    assert_eq!(queries(&service), 5);
    // And from then on they are kept fresh together.
    sleep(Duration::from_mins(1)).await;
    ask(&service, moving).await;
    ask(&service, &moving.replace("conversation.offered", "handle.time.average")).await;
    assert_eq!(queries(&service), 6);
}

/// Dashboards fill in the range they show to the millisecond, and it moves with every refresh.
#[tokio::test(start_paused = true)]
async fn a_dashboards_own_range_is_held_when_it_is_expanded() {
    let service = Service::start().await;
    let refresh = async || {
        let now = service.clock.now();
        let (from, to) = (now.as_millisecond() - 7 * 24 * 3_600_000, now.as_millisecond());
        let range = format!("dateFrom={from}&dateTo={to}&interval=PT1H&align=expand");
        ask(
            &service,
            &format!("{range}&groupBy=routing.queue.id&select=conversation.offered"),
        )
        .await
    };
    let first = refresh().await.json();
    assert!(first["total"].as_u64().unwrap() > 100, "{first}");
    for _ in 0..60 {
        service.pass(30).await;
        refresh().await;
    }
    let asked = service.simulator.journal().entries();
    let asked = asked.iter().filter(|entry| entry.path == AGGREGATES);
    let from: Vec<&str> = asked.map(|entry| entry.body["interval"].as_str().unwrap()).collect();
    assert!(from.len() <= 61, "at most one a refresh: {}", from.len());
    assert!(
        from[1..].iter().all(|interval| *interval >= "2023-11-29"),
        "only what had not settled: {from:?}"
    );
}

/// A gap before and one behind are asked for at once: requests are what is scarce.
#[tokio::test(start_paused = true)]
async fn gaps_are_covered_by_one_request() {
    let service = Service::start().await;
    let week = |from: &str, to: &str| format!("dateFrom={from}&dateTo={to}&interval=P1D&select=conversation.offered");
    ask(&service, &week("2023-11-13", "2023-11-20")).await;
    let longer = ask(&service, &week("2023-11-06", "2023-11-27")).await.json();
    assert_eq!((queries(&service), &longer["total"]), (2, &json!(21)));
    ask(&service, &week("2023-11-08", "2023-11-25")).await;
    assert_eq!(queries(&service), 2);
}

/// Nothing happened before the data begin, which has to be asked once.
#[tokio::test(start_paused = true)]
async fn what_is_empty_is_asked_for_once() {
    let service = Service::start().await;
    let empty =
        "dateFrom=2023-10-01&dateTo=2023-10-11&interval=P1D&groupBy=routing.queue.id&select=conversation.offered";
    for parameters in [
        empty,
        empty,
        "dateFrom=2023-10-03&dateTo=2023-10-05&interval=P1D&select=conversation.offered",
    ] {
        let answer = ask(&service, parameters).await.json();
        assert_eq!(
            (&answer["entities"], &answer["total"]),
            (&json!([]), &json!(0)),
            "{parameters}"
        );
    }
    assert_eq!(queries(&service), 1);
}

/// Pages of a range of which a part was held are those of the whole, and `limit` cuts what has been put together.
#[tokio::test(start_paused = true)]
async fn pages_over_what_was_held_and_what_came_are_those_of_the_whole() {
    let service = Service::start().await;
    let days = |from: u8, to: u8| {
        format!(
            "dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}&interval=P1D&groupBy=routing.queue.id\
             &select=routing.queue.id,conversation.offered&orderBy=-conversation.offered"
        )
    };
    ask(&service, &days(15, 18)).await;
    ask(&service, &days(20, 22)).await;
    let question = days(13, 27);
    let whole = ask(&Service::start().await, &format!("{question}&pageSize=1000"))
        .await
        .json();
    let whole = whole["entities"].as_array().unwrap();
    let mut pages: Vec<Value> = Vec::new();
    for page in 1..=whole.len().div_ceil(7) {
        let answer = ask(&service, &format!("{question}&pageSize=7&page={page}"))
            .await
            .json();
        pages.extend(answer["entities"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(&pages, whole);
    let first = ask(&service, &format!("{question}&limit=5")).await.json();
    assert_eq!(first["entities"].as_array().unwrap(), &whole[..5]);
    assert_eq!(queries(&service), 3);
}

/// Half a day by the hour is no day, and a day of two queues none of all.
#[tokio::test(start_paused = true)]
async fn a_part_is_never_taken_for_the_whole() {
    let service = Service::start().await;
    let queues = service.get("/v1/lookups/queues").await.json();
    let queue = queues["entities"][0]["id"].as_str().unwrap();
    ask(
        &service,
        "dateFrom=2023-11-20&dateTo=2023-11-20T12:00:00Z&interval=PT1H&select=conversation.offered",
    )
    .await;
    ask(
        &service,
        &format!("dateFrom=2023-11-20&dateTo=2023-11-22&interval=P1D&filter=routing.queue.id:{queue}&select=conversation.offered"),
    )
    .await;
    let days = "dateFrom=2023-11-20&dateTo=2023-11-22&interval=P1D&select=conversation.offered";
    let answer = ask(&service, days).await.json();
    assert_eq!((&answer["meta"]["cache"], queries(&service)), (&json!("miss"), 3));
    let plain = ask(&Service::start().await, days).await.json();
    assert_eq!(answer["entities"], plain["entities"]);
}

/// Whoever leaves, and whenever: those who come after get what they asked for, and it was asked for once or twice.
#[tokio::test(start_paused = true)]
async fn callers_who_leave_at_any_moment_stop_nothing() {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_millis(300));
    let metrics = [
        "conversation.offered",
        "handle.time.average",
        "service.level",
        "talk.time.max",
    ];
    for (moment, day) in [0, 1, 5, 9, 10, 11, 12, 100, 299, 300, 301, 310, 311, 320]
        .into_iter()
        .zip(1..)
    {
        let panels = metrics.map(|metric| {
            format!(
                "/v1/query?dateFrom=2023-11-{day:02}&dateTo=2023-11-{:02}&interval=PT1H&select={metric}",
                day + 1
            )
        });
        let before = queries(&service);
        let leaving = panels
            .iter()
            .map(|panel| tokio::time::timeout(Duration::from_millis(moment), service.get(panel)));
        futures_util::future::join_all(leaving).await;
        let staying = futures_util::future::join_all(panels.iter().map(|panel| service.get(panel))).await;
        assert!(staying.iter().all(|answer| answer.status == 200), "after {moment} ms");
        let asked = queries(&service) - before;
        assert!((1..=4).contains(&asked), "after {moment} ms: {asked}");
        let again = futures_util::future::join_all(panels.iter().map(|panel| service.get(panel))).await;
        assert!(
            again.iter().all(|answer| answer.json()["meta"]["cache"] == "hit"),
            "after {moment} ms"
        );
    }
}

/// Dashboards ask all their panels at the same moment.
#[tokio::test(start_paused = true)]
async fn questions_that_come_together_leave_together() {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_millis(300));
    let queues = service.get("/v1/lookups/queues").await.json();
    let queues: Vec<&str> = queues["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| queue["id"].as_str().unwrap())
        .collect();
    let together = async |panels: Vec<String>| {
        let before = queries(&service);
        let answers = futures_util::future::join_all(panels.iter().map(|panel| ask(&service, panel))).await;
        let calls = queries(&service) - before;
        for (panel, answer) in panels.iter().zip(answers) {
            let plain = ask(&Service::start().await, panel).await.json();
            assert_eq!(answer.json()["entities"], plain["entities"], "{panel}");
        }
        calls
    };
    let metrics = [
        "conversation.offered",
        "handle.time.average",
        "talk.time.max",
        "acw.time.average",
        "service.level",
    ];
    let by_metric = metrics.map(|metric| format!("dateFrom=2023-11-20&dateTo=2023-11-27&interval=P1D&select={metric}"));
    // The first finds nobody and leaves at once; the rest leave together.
    assert_eq!(together(by_metric.to_vec()).await, 2);
    let by_queue = queues.iter().take(6);
    let by_queue = by_queue.map(|queue| {
        format!("dateFrom=2023-11-06&dateTo=2023-11-13&interval=P1D&filter=routing.queue.id:{queue}&select=conversation.offered")
    });
    assert_eq!(together(by_queue.collect()).await, 2);
    // Nobody waits for company who is alone.
    let asked = tokio::time::Instant::now();
    ask(
        &service,
        "dateFrom=2023-11-01&dateTo=2023-11-02&interval=P1D&select=conversation.offered",
    )
    .await;
    assert!(asked.elapsed() < Duration::from_millis(305), "{:?}", asked.elapsed());
}

/// Overlapping ranges share what is under way, and a caller who leaves stops nothing.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_waited_for() {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_secs(1));
    let range = |from: u8, to: u8| {
        format!("/v1/query?dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}&interval=P1D&select=conversation.offered")
    };
    let (long, left) = (range(6, 20), range(13, 24));
    let leaves = tokio::time::timeout(Duration::from_millis(500), service.get(&long));
    assert!(leaves.await.is_err());
    let (within, beyond) = (range(8, 15), left);
    let (within, beyond) = futures_util::future::join(service.get(&within), service.get(&beyond)).await;
    assert_eq!(
        (within.json()["total"].clone(), beyond.json()["total"].clone()),
        (json!(7), json!(11))
    );
    assert_eq!(
        (&within.json()["meta"]["cache"], queries(&service)),
        (&json!("collapsed"), 2)
    );
}

#[tokio::test(start_paused = true)]
async fn late_corrections_are_seen_within_the_settle_window() {
    let service = Service::start().await;
    let moving = "dateFrom=now-7d/d&dateTo=now%2B1d/d&interval=PT1H&select=conversation.offered";
    let offered = async |parameters: &str| -> f64 {
        let answer = ask(&service, &format!("{parameters}&pageSize=1000")).await.json();
        let rows = answer["entities"].as_array().unwrap().clone();
        rows.iter()
            .filter_map(|row: &Value| row["conversation"]["offered"].as_f64())
            .sum()
    };
    let mut expected = offered(moving).await;
    for (hours_late, seen_after) in [(1, 6 * 60), (12, 3_600), (47, 3_600)] {
        let start = service.clock.now() - jiff::SignedDuration::from_hours(hours_late);
        let call = Injection::Call {
            start,
            queue: 0,
            user: 0,
            wait_ms: 5_000,
            talk_ms: 60_000,
            wrap_up_ms: 10_000,
        };
        service.simulator.organisation().inject(&call).unwrap();
        expected += 1.0;
        // For a minute past its time it may still be given, while it is asked for again.
        sleep(Duration::from_secs(seen_after + 61)).await;
        let found = offered(moving).await;
        let fresh = offered(&format!("{moving}&max_age=0")).await;
        // Whatever else has happened meanwhile is not ours to count.
        assert!(
            (found - fresh).abs() < 0.5 && found >= expected,
            "{hours_late} h late: {found}, {fresh}"
        );
        expected = found;
    }
}

/// `explain=1` shows what an answer is made of, what was asked for on the way, and why it was not put together.
#[tokio::test(start_paused = true)]
async fn an_answer_explains_itself() {
    let service = Service::start().await;
    let plan = async |parameters: &str| {
        let plain = ask(&service, parameters).await;
        assert!(plain.json()["meta"].get("plan").is_none(), "{parameters}");
        let answer = ask(&service, &format!("{parameters}&explain=1")).await;
        assert_eq!(plain.json()["entities"], answer.json()["entities"], "{parameters}");
        answer.json()["meta"]["plan"].clone()
    };
    let hourly = "dateFrom=2023-11-20&interval=PT1H&timeZone=Europe/Berlin&groupBy=routing.queue.id&select=routing.queue.name,conversation.offered";
    let cold = ask(&service, &format!("{hourly}&explain=1")).await.json();
    assert_eq!(
        cold["meta"]["plan"],
        json!({
            "series": {"interval": "PT1H", "timeZone": "Europe/Berlin", "groupBy": ["routing.queue.id"]},
            "whole": null,
            "used": [
                {"interval": "2023-11-19T23:00:00.000Z/2023-11-29T12:00:00.000Z", "state": "settled", "fetchedAt": "2023-12-01T12:00:00.000Z"},
                {"interval": "2023-11-29T12:00:00.000Z/2023-12-01T12:00:00.000Z", "state": "warm", "fetchedAt": "2023-12-01T12:00:00.000Z"}
            ],
            "asked": [{
                "interval": "2023-11-19T23:00:00.000Z/2023-12-01T12:00:00.000Z",
                "metrics": ["nOffered"], "outcome": "fetched", "calls": 1
            }],
            "callsForNames": 1
        })
    );
    assert_eq!(cold["meta"]["upstreamCalls"], 2);
    let held = plan(hourly).await;
    assert_eq!(
        (&held["asked"], &held["used"]),
        (&json!([]), &cold["meta"]["plan"]["used"])
    );
    // Another length, from the same buckets.
    let daily =
        plan("dateFrom=2023-11-20&dateTo=2023-11-27&interval=P1D&timeZone=Europe/Berlin&select=conversation.offered")
            .await;
    assert_eq!(
        (&daily["series"]["interval"], &daily["asked"]),
        (&json!("PT1H"), &json!([]))
    );
    // What is asked whole says why.
    for (parameters, reason) in [
        (
            "dateFrom=2023-11-01&dateTo=2023-11-08&select=conversation.offered",
            "total",
        ),
        (
            "dateFrom=2023-11-20&dateTo=2023-11-27&timeZone=Europe/Berlin&select=conversation.count",
            "doesNotAdd",
        ),
        (
            "dateFrom=2023-11-20T00:30:00Z&dateTo=2023-11-21&interval=PT1H&select=conversation.offered",
            "unaligned",
        ),
        ("dateFrom=now-13d&interval=P1D&select=conversation.offered", "unaligned"),
    ] {
        let plan = plan(parameters).await;
        assert_eq!(plan["whole"]["reason"], reason, "{parameters}");
        assert!(
            plan["whole"]["detail"].is_string() && plan["series"].is_null(),
            "{plan}"
        );
        assert_eq!(plan["used"].as_array().unwrap().len(), 1, "{plan}");
    }
    // What is under way, and what has failed.
    let outcome = async |waited: u64| {
        service.pass(waited).await;
        let answer = ask(&service, &format!("{hourly}&explain=1")).await.json();
        let asked = answer["meta"]["plan"]["asked"].as_array().unwrap().clone();
        asked
            .iter()
            .map(|asked| (asked["outcome"].as_str().unwrap().to_owned(), asked["calls"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(outcome(61).await, [("fetched".to_owned(), json!(1))], "a new hour");
    assert_eq!(outcome(31).await, [("underWay".to_owned(), json!(0))]);
    service.fault(Fault::new(Effect::status(503)).on_path(AGGREGATES));
    assert_eq!(outcome(46).await, [("failed".to_owned(), json!(0))]);
    service.simulator.clear_faults();
    // A report explains itself like any other question; a file has no place for it.
    let report = service.get("/v1/reports/queue-performance?explain=1").await.json();
    assert_eq!(report["meta"]["plan"]["asked"][0]["outcome"], "fetched", "{report}");
    let file = service.get(&format!("/v1/query?{hourly}&explain=1&format=csv")).await;
    assert_eq!(
        (file.status.as_u16(), &file.json()["errors"][0]["pointer"]),
        (422, &json!("/explain"))
    );
}

/// The panels of a dashboard over the last thirty days.
pub(crate) async fn panels(service: &Service) -> [String; 12] {
    let hourly = "dateFrom=now-30d/h&interval=PT1H";
    let daily = "dateFrom=now-30d/d&interval=P1D";
    let queues = service.get("/v1/lookups/queues").await.json();
    let queue = |index: usize| queues["entities"][index]["id"].as_str().unwrap();
    [
        format!("{hourly}&groupBy=routing.queue.id&select=conversation.offered,conversation.answered"),
        format!("{hourly}&groupBy=routing.queue.id&select=handle.time.average"),
        format!("{hourly}&groupBy=routing.queue.id&select=service.level"),
        format!("{hourly}&select=conversation.offered,abandon.rate"),
        format!("{hourly}&groupBy=media.type&select=conversation.offered"),
        format!(
            "{hourly}&filter=routing.queue.id:{}&select=service.level,conversation.offered",
            queue(0)
        ),
        format!(
            "{hourly}&filter=routing.queue.id:{}&select=service.level,conversation.offered",
            queue(1)
        ),
        format!("{daily}&select=conversation.offered,handle.time.average"),
        format!("{daily}&groupBy=routing.queue.id&select=routing.queue.name,conversation.offered"),
        "dateFrom=now/d&select=conversation.offered,conversation.answered".to_owned(),
        "dateFrom=now/d&groupBy=routing.queue.id&select=service.level".to_owned(),
        "dateFrom=now-7d/d&filter=media.type:chat&select=handle.time.average".to_owned(),
    ]
}

/// Twenty people look at a dashboard of twelve panels over the last thirty days for an hour.
#[tokio::test(start_paused = true)]
async fn a_dashboard_costs_three_requests_a_refresh_however_many_look() {
    const VIEWERS: usize = 20;
    const REFRESHES: usize = 60;
    let mut setup = Setup::new();
    setup.simulator.rate_limit = 300;
    let service = setup.set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "300").start().await;
    let panels = panels(&service).await;
    let mut costs = Vec::new();
    for _ in 0..REFRESHES {
        let before = service.upstream_calls();
        let viewers = (0..VIEWERS).map(async |_| {
            futures_util::future::join_all(panels.iter().map(|panel| ask(&service, panel))).await;
        });
        futures_util::future::join_all(viewers).await;
        costs.push(service.upstream_calls() - before);
        sleep(Duration::from_mins(1)).await;
    }
    println!("requests a refresh: {costs:?}");
    // The first fills the cache; whoever comes to an empty one is told apart by what is under way already.
    assert!(costs[0] <= panels.len() / 2, "{costs:?}");
    assert!(costs[1..].iter().all(|cost| *cost <= 3), "{costs:?}");
    assert_eq!(service.simulator.journal().count_status(429), 0);
}

/// A question that would take too many requests is told so, with about how many, and takes none.
#[tokio::test(start_paused = true)]
async fn what_would_cost_too_much_is_refused_with_the_estimate() {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 1_500;
    let service = setup.start().await;
    let timers = [
        "Handle",
        "Talk",
        "TalkComplete",
        "Acw",
        "Held",
        "HeldComplete",
        "Answered",
        "Alert",
    ];
    let counters = "nConnected,nTransferred,nBlindTransferred,nConsultTransferred,nConsult,nError,nOutbound";
    let statistics = timers.map(|timer| format!("t{timer}.sum,t{timer}.max"));
    let columns = format!("{counters},{}", statistics.join(","));
    let wide = |from: &str| {
        format!(
            "/v1/query?dateFrom={from}&dateTo=2023-11-30&interval=PT30M&groupBy=agent.id,routing.queue.id&select={columns}"
        )
    };
    // How many rows there are is known from what is held.
    let day = service.get(&wide("2023-11-29")).await;
    assert_eq!(day.status, 200, "{}", day.text());
    service.simulator.journal().clear();
    let refused = service.get(&wide("2022-11-01")).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:genesys-reports:problem:answer-too-large");
    let detail = problem["detail"].as_str().unwrap();
    let estimate = detail.strip_prefix("this would take about ").unwrap();
    let (estimate, rest) = estimate.split_once(' ').unwrap();
    assert!(
        rest.starts_with("requests to Genesys Cloud, and 12 is the most for one answer"),
        "{detail}"
    );
    assert!((13..394).contains(&estimate.parse::<u32>().unwrap()), "{detail}");
    assert_eq!(service.upstream_calls(), 0);
    let narrower = service.get(&wide("2023-11-28")).await;
    assert_eq!(
        (narrower.status.as_u16(), service.upstream_calls()),
        (200, 1),
        "{}",
        narrower.text()
    );
}
