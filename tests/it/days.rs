//! A day of conversations is read once it has settled, days in a row at once, and whoever reads them reads for all.

use std::time::Duration;

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::Injection,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::service::{Service, Setup};

const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const BY_ID: &str = "/api/v2/analytics/conversations/details";

fn small(conversations_per_day: u32) -> Setup {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = conversations_per_day;
    setup
}

/// What was asked of the upstream since the last time: from the first midnight to the last, or how many by their ids.
fn asked(service: &Service) -> Vec<String> {
    let journal = service.simulator.journal();
    let entries = journal.entries().into_iter();
    let entries = entries.filter(|entry| [DETAILS, BY_ID].contains(&&*entry.path));
    let intervals = entries.map(|entry| {
        if entry.path == BY_ID {
            let ids = entry.query.unwrap().split(',').count();
            return format!("{ids} by id");
        }
        let interval = entry.body["interval"].as_str().unwrap().to_owned();
        let (start, end) = interval.split_once('/').unwrap();
        format!("{}/{}", &start[5..10], &end[5..10])
    });
    let mut intervals: Vec<_> = intervals.collect();
    // However many pages.
    intervals.sort();
    intervals.dedup();
    journal.clear();
    intervals
}

async fn page(service: &Service, parameters: &str) -> Value {
    let answer = service.get(&format!("/v1/conversations?{parameters}")).await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    answer.json()
}

async fn lines(service: &Service, parameters: &str) -> Vec<Value> {
    let answer = service
        .get(&format!("/v1/conversations?format=ndjson&{parameters}"))
        .await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    let text = answer.text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Started in the range, by the simulator's own account.
fn started(service: &Service, from: &str, to: &str) -> Vec<String> {
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    let organisation = service.simulator.organisation();
    let started = organisation.conversations_started(instant(from), instant(to), service.clock.now());
    let mut started: Vec<_> = started.into_iter().map(|(id, start, _)| (start, id)).collect();
    started.sort();
    started.into_iter().map(|(_, id)| id).collect()
}

fn ids(documents: &[Value]) -> Vec<&str> {
    documents
        .iter()
        .map(|document| document["conversationId"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn nearly_empty_days_are_one_request() {
    let service = small(2).start().await;
    let month = page(&service, "dateFrom=2023-11-01&dateTo=2023-12-01&pageSize=500").await;
    assert_eq!(service.simulator.journal().count(DETAILS), 1);
    assert_eq!(asked(&service), ["11-01/12-01"]);
    assert_eq!(
        ids(month["entities"].as_array().unwrap()),
        started(&service, "2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z")
    );
    // Held, in every cut; and days without a conversation are known to have none.
    for parameters in [
        "dateFrom=2023-11-01&dateTo=2023-11-28",
        "dateFrom=2023-11-04&dateTo=2023-11-05",
        "dateFrom=2023-11-04T10:00:00Z&dateTo=2023-11-06T11:30:00Z",
        "dateFrom=2023-11-01&dateTo=2023-11-28&orderBy=-conversation.start&pageSize=7&page=2",
    ] {
        let held = page(&service, parameters).await;
        assert_eq!(
            (&held["meta"]["cache"], asked(&service)),
            (&json!("hit"), vec![]),
            "{parameters}"
        );
        let plain = page(&small(2).start().await, parameters).await;
        assert_eq!(
            (&held["entities"], &held["total"], &held["nextUri"]),
            (&plain["entities"], &plain["total"], &plain["nextUri"]),
            "{parameters}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_missing_days_are_asked_for() {
    let service = small(150).start().await;
    let week = |from: u32, to: u32| format!("dateFrom=2023-11-{from:02}&dateTo=2023-11-{to:02}");
    page(&service, &week(13, 16)).await;
    asked(&service);
    page(&service, &week(11, 19)).await;
    assert_eq!(asked(&service), ["11-11/11-13", "11-16/11-19"]);
    // Of a filter, nothing is known yet.
    let voice = format!("{}&filter=media.type:voice", week(11, 19));
    let first = page(&service, &voice).await;
    assert!(!asked(&service).is_empty());
    let again = page(&service, &voice).await;
    assert_eq!((&again["entities"], asked(&service)), (&first["entities"], vec![]));
}

/// Day after day, a range that moves costs the days that had not settled.
#[tokio::test(start_paused = true)]
async fn a_moving_range_costs_what_has_not_settled() {
    let service = small(10).start().await;
    // Calls end within the day; messages may run for weeks.
    let moving = "dateFrom=now-20d/d&filter=media.type:voice&pageSize=1";
    page(&service, moving).await;
    assert_eq!(asked(&service), ["11-11/12-02"]);
    for (seconds, expected) in [
        (20, Vec::new()),
        (60, vec!["12-01/12-02"]),
        // What ended less than 48 hours before it was read is read again after an hour.
        (3_600, vec!["11-29/12-02"]),
        (86_400, vec!["11-29/12-03"]),
        (86_400, vec!["11-30/12-04"]),
    ] {
        sleep(Duration::from_secs(seconds)).await;
        page(&service, moving).await;
        assert_eq!(asked(&service), expected, "after {seconds} s");
    }
}

/// A stream and pages use the same days, whichever came first.
#[tokio::test(start_paused = true)]
async fn a_stream_holds_what_it_brings_and_gives_what_is_held() {
    let service = small(120).start().await;
    let range = "dateFrom=2023-11-10T06:00:00Z&dateTo=2023-11-20T18:00:00Z";
    let expected = started(&service, "2023-11-10T06:00:00Z", "2023-11-20T18:00:00Z");
    let streamed = lines(&service, range).await;
    assert_eq!(ids(&streamed), expected);
    assert!(!asked(&service).is_empty());
    // The whole of the days that were touched.
    let held = page(&service, "dateFrom=2023-11-10&dateTo=2023-11-21&pageSize=500").await;
    assert_eq!((&held["meta"]["cache"], asked(&service)), (&json!("hit"), vec![]));
    assert_eq!(ids(&lines(&service, range).await), expected);
    let answer = service.get(&format!("/v1/conversations?format=csv&{range}")).await;
    assert_eq!(answer.text().lines().count(), expected.len() + 1);
    assert_eq!(asked(&service), Vec::<String>::new());
    // Days held in the middle, new ones before and after.
    let longer = lines(&service, "dateFrom=2023-11-08&dateTo=2023-11-23").await;
    assert_eq!(
        ids(&longer),
        started(&service, "2023-11-08T00:00:00Z", "2023-11-23T00:00:00Z")
    );
    assert_eq!(asked(&service), ["11-08/11-10", "11-21/11-23"]);
}

/// Whoever wants days that are being read waits for them, and asks for the rest.
#[tokio::test(start_paused = true)]
async fn overlapping_questions_share_what_is_under_way() {
    let service = small(60).start().await;
    service.simulator.set_latency(Duration::from_secs(1));
    let questions = [
        "dateFrom=2023-11-10&dateTo=2023-11-20&pageSize=500",
        "dateFrom=2023-11-12&dateTo=2023-11-14&pageSize=500",
        "dateFrom=2023-11-15&dateTo=2023-11-23&pageSize=500",
        "dateFrom=2023-11-10&dateTo=2023-11-20&pageSize=3&page=4",
    ];
    let given = futures_util::future::join_all(questions.map(|question| page(&service, question))).await;
    let calls = service.simulator.journal().count(DETAILS) as u64;
    let paid = given
        .iter()
        .map(|given| given["meta"]["upstreamCalls"].as_u64().unwrap());
    assert_eq!(paid.sum::<u64>(), calls);
    // Whoever came first: every day once.
    let mut reached = "11-10".to_owned();
    for interval in asked(&service) {
        let (start, end) = interval.split_once('/').unwrap();
        assert_eq!(start, reached, "{interval}");
        end.clone_into(&mut reached);
    }
    assert_eq!(reached, "11-23");
    for (question, given) in questions.iter().zip(given) {
        let plain = page(&small(60).start().await, question).await;
        assert_eq!(given["entities"], plain["entities"], "{question}");
    }
}

/// Of a sweep that breaks off, only windows that had been read through are held.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_breaks_off_makes_no_day() {
    let mut setup = small(40);
    setup.simulator.days = 75;
    let service = setup.start().await;
    let long = "dateFrom=2023-09-20&dateTo=2023-11-20";
    let late =
        || Fault::new(Effect::status(503)).on_body("/interval", "2023-10-21T00:00:00.000Z/2023-11-20T00:00:00.000Z");
    for format in ["json", "ndjson"] {
        service.fault(late());
        let request = service.request(
            reqwest::Method::GET,
            &format!("/v1/conversations?{long}&format={format}"),
        );
        match request.send().await.unwrap() {
            failed if format == "json" => assert_eq!(failed.status(), 502),
            broken => assert!(broken.bytes().await.is_err()),
        }
        service.simulator.clear_faults();
        sleep(Duration::from_mins(2)).await;
        asked(&service);
    }
    // The first window was whole.
    page(&service, "dateFrom=2023-09-20&dateTo=2023-10-21").await;
    assert_eq!(asked(&service), Vec::<String>::new());
    let rest = page(&service, "dateFrom=2023-10-20&dateTo=2023-11-20&pageSize=1").await;
    assert_eq!(asked(&service), ["10-21/11-20"]);
    let expected = started(&service, "2023-10-20T00:00:00Z", "2023-11-20T00:00:00Z").len();
    assert_eq!(rest["total"], json!(expected));
}

/// Calls of some hours, each of which began at 13:00 of a day of November; their ids.
fn long_calls(service: &Service, calls: &[(u32, i64)]) -> Vec<String> {
    let calls = calls.iter().map(|(day, hours)| {
        let call = Injection::Call {
            start: format!("2023-11-{day:02}T13:00:00Z").parse().unwrap(),
            queue: 0,
            user: 0,
            wait_ms: 5_000,
            talk_ms: hours * 3_600_000,
            wrap_up_ms: 0,
        };
        service.simulator.organisation().inject(&call).unwrap()
    });
    calls.collect()
}

/// When a conversation ended, as an answer tells it; null while it runs.
fn end_of(answer: &Value, id: &str) -> Value {
    let entities = answer["entities"].as_array().unwrap().clone();
    let found = entities
        .into_iter()
        .find(|entity| entity["conversationId"] == json!(id));
    found.unwrap()["conversationEnd"].clone()
}

/// A call of three days, of which nobody knows the end before it has come: it is looked at by itself, and its day is not
/// read again.
#[tokio::test(start_paused = true)]
async fn what_runs_is_looked_at_until_it_has_ended_and_settled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let setup = small(10).set("REPORTS_CACHE__DISK_PATH", path.to_str().unwrap());
    let mut service = setup.start().await;
    let [call] = &long_calls(&service, &[(28, 72)])[..] else {
        panic!("one call")
    };
    let afternoon = "dateFrom=2023-11-28T12:00:00Z&dateTo=2023-11-28T18:00:00Z&filter=media.type:voice&pageSize=500";
    let morning = "dateFrom=2023-11-28T00:00:00Z&dateTo=2023-11-28T12:00:00Z&filter=media.type:voice";
    let first = page(&service, afternoon).await;
    assert_eq!(
        (
            &first["meta"]["complete"],
            &first["meta"]["settledThrough"],
            end_of(&first, call)
        ),
        (&json!(false), &json!("2023-11-28T13:00:00.000Z"), Value::Null)
    );
    assert_eq!(asked(&service), ["11-28/11-29"]);
    sleep(Duration::from_mins(2)).await;
    let before = page(&service, morning).await;
    assert_eq!(before["meta"]["complete"], json!(true));
    assert_eq!(asked(&service), Vec::<String>::new(), "it did not start in the morning");
    // Time, what is asked for, whether all has settled, and when the call ended.
    let ended = json!("2023-12-01T13:00:05.000Z");
    for (minutes, expected, complete, end) in [
        (0, vec!["1 by id"], false, &Value::Null),
        (2 * 60, vec!["1 by id"], false, &ended),
        // It may still be corrected, and is looked at again after a tenth of the time since.
        (1, vec![], false, &ended),
        (60, vec!["1 by id"], false, &ended),
        (48 * 60, vec!["1 by id"], true, &ended),
        (10 * 24 * 60, vec![], true, &ended),
    ] {
        sleep(Duration::from_mins(minutes)).await;
        let given = page(&service, afternoon).await;
        assert_eq!(asked(&service), expected, "after {minutes} min");
        let meta = &given["meta"];
        assert_eq!((&meta["complete"], &end_of(&given, call)), (&json!(complete), end));
        assert_eq!(meta["asOf"], first["meta"]["asOf"], "the rest is as old as before");
        let settled_through = if complete { "18" } else { "13" };
        assert_eq!(
            meta["settledThrough"],
            json!(format!("2023-11-28T{settled_through}:00:00.000Z"))
        );
        assert_eq!(meta["upstreamCalls"], json!(expected.len()));
        let entities = given["entities"].as_array().unwrap();
        assert_eq!(ids(entities), ids(first["entities"].as_array().unwrap()));
        for entity in entities.iter().filter(|entity| entity["conversationId"] != json!(call)) {
            assert!(
                first["entities"].as_array().unwrap().contains(entity),
                "nothing else has changed"
            );
        }
    }
    // By then its day is on disk.
    service.restart().await;
    let kept = page(&service, afternoon).await;
    assert_eq!((asked(&service), &end_of(&kept, call)), (vec![], &ended));
}

/// What runs of many days is asked for at once, whoever asks, by pages and by streams.
#[tokio::test(start_paused = true)]
async fn what_runs_of_many_days_is_one_request() {
    let service = small(100).start().await;
    let calls: Vec<_> = (15..=28).map(|day| (day, 24 * 30)).collect();
    let calls = long_calls(&service, &calls);
    let range = "dateFrom=2023-11-14&dateTo=2023-11-29&filter=media.type:voice";
    page(&service, range).await;
    asked(&service);
    sleep(Duration::from_mins(1)).await;
    service.simulator.set_latency(Duration::from_secs(1));
    let pages: Vec<String> = (1..=20)
        .map(|number| format!("{range}&pageSize=10&page={number}"))
        .collect();
    let given = futures_util::future::join_all(pages.iter().map(|parameters| page(&service, parameters))).await;
    assert_eq!(service.simulator.journal().count(BY_ID), 1);
    let paid = given
        .iter()
        .map(|given| given["meta"]["upstreamCalls"].as_u64().unwrap());
    assert_eq!(paid.sum::<u64>(), 1);
    assert_eq!(asked(&service), [format!("{} by id", calls.len())]);
    sleep(Duration::from_mins(1)).await;
    let streamed = lines(&service, range).await;
    assert_eq!(asked(&service), [format!("{} by id", calls.len())]);
    assert!(calls.iter().all(|call| ids(&streamed).contains(&call.as_str())));
    assert_eq!(page(&service, range).await["meta"]["cache"], "hit");
    // Behind those who named no bound on its age.
    sleep(Duration::from_secs(35)).await;
    assert_eq!(page(&service, range).await["meta"]["cache"], "revalidating");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&service), [format!("{} by id", calls.len())]);
    let whole = page(
        &small(100).start().await,
        "dateFrom=2023-11-14&dateTo=2023-11-15&filter=media.type:voice",
    )
    .await;
    let part = page(
        &service,
        "dateFrom=2023-11-14&dateTo=2023-11-15&filter=media.type:voice",
    )
    .await;
    assert_eq!((&part["entities"], asked(&service)), (&whole["entities"], vec![]));
}

/// More than one request may name are several; and what is not told of by its id is found in its day, or is gone.
#[tokio::test(start_paused = true)]
async fn what_is_not_told_by_its_id_is_read_with_its_day() {
    let service = small(10).start().await;
    let mut calls = long_calls(&service, &[(20, 24 * 30); 130]);
    let day = "dateFrom=2023-11-20&dateTo=2023-11-21&filter=media.type:voice&pageSize=500";
    let first = page(&service, day).await;
    asked(&service);
    sleep(Duration::from_mins(1)).await;
    page(&service, day).await;
    assert_eq!(asked(&service), ["100 by id", "30 by id"]);
    let removed = Injection::Removal {
        conversation_id: calls.pop().unwrap(),
        started: "2023-11-20T13:00:00Z".parse().unwrap(),
    };
    service.simulator.organisation().inject(&removed).unwrap();
    sleep(Duration::from_mins(1)).await;
    let without = page(&service, day).await;
    assert_eq!(asked(&service), ["100 by id", "11-20/11-21", "30 by id"]);
    assert_eq!(without["total"].as_u64().unwrap(), first["total"].as_u64().unwrap() - 1);
    // A refusal is no failure of the question, as its days can be read.
    sleep(Duration::from_mins(1)).await;
    service.fault(Fault::new(Effect::status(400)).on_path(BY_ID).on_method("GET"));
    let read = page(&service, day).await;
    assert_eq!(
        (&read["entities"], &read["meta"]["cache"]),
        (&without["entities"], &json!("miss"))
    );
    assert!(asked(&service).contains(&"11-20/11-21".to_owned()));
    assert!(service.log().contains("conversations are not told by their ids"));
    service.simulator.clear_faults();
    // While nothing comes, what was told before stands in: for as long as what runs may.
    service.fault(Fault::new(Effect::status(503)).on_api());
    sleep(Duration::from_mins(1)).await;
    let stale = page(&service, day).await;
    assert_eq!(
        (&stale["entities"], &stale["meta"]["cache"]),
        (&without["entities"], &json!("stale"))
    );
    sleep(Duration::from_mins(5)).await;
    assert_ne!(service.get(&format!("/v1/conversations?{day}")).await.status, 200);
    service.simulator.clear_faults();
}

/// What turns up late is there as soon as the day has been read again, and held days stand in while that fails.
#[tokio::test(start_paused = true)]
async fn late_conversations_turn_up_and_failures_are_stood_in_for() {
    let service = small(10).start().await;
    let yesterday = "dateFrom=2023-11-29&dateTo=2023-12-01&pageSize=500";
    let before = page(&service, yesterday).await;
    let call = Injection::Call {
        start: "2023-11-30T13:00:00Z".parse().unwrap(),
        queue: 0,
        user: 0,
        wait_ms: 5_000,
        talk_ms: 60_000,
        wrap_up_ms: 0,
    };
    service.simulator.organisation().inject(&call).unwrap();
    sleep(Duration::from_mins(50)).await;
    assert_eq!(page(&service, yesterday).await["entities"], before["entities"]);
    sleep(Duration::from_mins(20)).await;
    service.fault(Fault::new(Effect::status(503)).on_path(DETAILS));
    let stale = page(&service, yesterday).await;
    assert_eq!(
        (&stale["meta"]["cache"], &stale["entities"]),
        (&json!("stale"), &before["entities"])
    );
    assert_eq!(stale["meta"]["asOf"], before["meta"]["asOf"]);
    service.simulator.clear_faults();
    sleep(Duration::from_mins(2)).await;
    let after = page(&service, yesterday).await;
    assert_eq!(after["total"].as_u64().unwrap(), before["total"].as_u64().unwrap() + 1);
}
