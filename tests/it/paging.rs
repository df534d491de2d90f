//! All pages of a listing: quickly, within the request limit, each conversation once, and all of them or none.

use std::{collections::BTreeSet, time::Duration};

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::{Injection, Switches},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{
    platform::Platform,
    service::{Answer, Service, Setup},
};

const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const MINUTE: Duration = Duration::from_mins(1);

/// Many conversations a day; `days` of them.
fn busy(conversations_per_day: u32, days: u32) -> Setup {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = conversations_per_day;
    setup.simulator.days = days;
    setup
}

fn lines_of(from: &str, to: &str) -> String {
    format!("/v1/conversations?format=ndjson&dateFrom={from}&dateTo={to}")
}

/// Panics if one is there twice.
#[track_caller]
fn ids(answer: &Answer) -> BTreeSet<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        let id = document["conversationId"].as_str().unwrap().to_owned();
        assert!(!ids.contains(&id), "{id} is there twice");
        ids.insert(id);
    }
    ids
}

fn started(service: &Service, from: &str, to: &str) -> BTreeSet<String> {
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    let organisation = service.simulator.organisation();
    let started = organisation.conversations_started(instant(from), instant(to), service.clock.now());
    started.into_iter().map(|(id, ..)| id).collect()
}

const TUESDAY: (&str, &str) = ("2023-11-28T00:00:00Z", "2023-11-29T00:00:00Z");
const TODAY: (&str, &str) = ("2023-12-01T00:00:00Z", "2023-12-02T00:00:00Z");

/// As any script would: page by page until one is empty.
async fn page_by_page(service: &Service) -> (usize, Duration) {
    let platform = Platform::log_in(service).await;
    let began = Instant::now();
    for page in 1.. {
        let interval = format!("{}/{}", TUESDAY.0, TUESDAY.1);
        let body = json!({ "interval": interval, "paging": { "pageSize": 100, "pageNumber": page } });
        let (status, answer) = platform.ask("POST", DETAILS, &body).await;
        assert_eq!(status, 200, "{answer}");
        if answer["conversations"].is_null() {
            return (page - 1, began.elapsed());
        }
    }
    unreachable!("pages are counted without end")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pages_come_six_times_faster_than_page_by_page() {
    let service = busy(8_600, 3).start().await;
    service.simulator.set_latency(Duration::from_millis(150));
    let (pages, slowly) = page_by_page(&service).await;
    assert!(pages >= 100, "{pages}");
    let began = Instant::now();
    let answer = service.get(&lines_of(TUESDAY.0, TUESDAY.1)).await;
    let quickly = began.elapsed();
    assert_eq!(ids(&answer), started(&service, TUESDAY.0, TUESDAY.1));
    assert!(
        quickly * 6 <= slowly,
        "{pages} pages: {slowly:?} page by page, {quickly:?} here"
    );
    assert!(service.simulator.journal().most_simultaneous() <= 10);
}

/// Paged by people, the same pages cost one sweep.
#[tokio::test(start_paused = true)]
async fn pages_for_people_are_cut_from_one_sweep() {
    let service = busy(1_000, 3).start().await;
    let path = format!(
        "/v1/conversations?dateFrom={}&dateTo={}&pageSize=300",
        TUESDAY.0, TUESDAY.1
    );
    let mut shown = BTreeSet::new();
    let mut next = Some(path);
    while let Some(path) = next {
        let answer = service.get(&path).await.json();
        for document in answer["entities"].as_array().unwrap() {
            assert!(shown.insert(document["conversationId"].as_str().unwrap().to_owned()));
        }
        next = answer["nextUri"].as_str().map(str::to_owned);
    }
    let expected = started(&service, TUESDAY.0, TUESDAY.1);
    assert_eq!(shown, expected);
    assert!(service.upstream_calls() <= expected.len().div_ceil(100) + 2);
}

#[tokio::test(start_paused = true)]
async fn the_request_limit_is_kept_when_it_binds() {
    let mut setup = busy(8_600, 3).set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "60");
    setup.simulator.rate_limit = 60;
    setup.simulator.latency = Duration::from_millis(150);
    let service = setup.start().await;
    let began = Instant::now();
    let answer = service.get(&lines_of(TUESDAY.0, TUESDAY.1)).await;
    assert_eq!(ids(&answer), started(&service, TUESDAY.0, TUESDAY.1));
    let journal = service.simulator.journal();
    let (busiest_minute, refused) = (journal.requests_in_any_window(MINUTE), journal.count_status(429));
    // A thirtieth is left to others.
    assert_eq!(refused, 0);
    assert!((57..=60).contains(&busiest_minute), "{busiest_minute}");
    let minutes = u32::try_from(service.upstream_calls().div_ceil(57)).unwrap();
    let slowest = (MINUTE + Duration::from_secs(1)) * minutes;
    assert!(began.elapsed() < slowest, "{:?} of {slowest:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whatever_the_upstream_says_of_totals_and_however_it_cuts_pages() {
    for seed in 1..=2 {
        for (repeated_rows, short_pages, approximate_total_hits) in [
            (false, false, false),
            (true, false, true),
            (false, true, true),
            (true, true, false),
            (true, true, true),
        ] {
            let mut setup = busy(600, 3);
            setup.simulator.seed = seed;
            setup.simulator.switches = Switches {
                repeated_rows,
                short_pages,
                approximate_total_hits,
                ..Switches::default()
            };
            let service = setup.start().await;
            for (from, to) in [TUESDAY, TODAY, ("2023-11-28T09:30:00Z", "2023-11-30T14:00:00Z")] {
                let answer = service.get(&lines_of(from, to)).await;
                let context = format!("seed {seed}, {repeated_rows} {short_pages} {approximate_total_hits}, {from}");
                assert_eq!(ids(&answer), started(&service, from, to), "{context}");
            }
        }
    }
}

/// While today's pages are read, a row comes or goes among those before them, and all others move.
#[tokio::test(start_paused = true)]
async fn rows_that_move_between_pages_are_neither_lost_nor_doubled() {
    for moment in [100, 200, 350, 500, 800, 1_100] {
        for is_removal in [true, false] {
            let mut setup = busy(2_500, 1);
            setup.simulator.latency = Duration::from_millis(150);
            let service = setup.start().await;
            service
                .get("/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count")
                .await;
            let (from, to) = TODAY;
            let before = started(&service, from, to);
            let change = async {
                sleep(Duration::from_millis(moment)).await;
                let injection = if is_removal {
                    removal(&service, 17)
                } else {
                    early_call()
                };
                service.simulator.organisation().inject(&injection).unwrap()
            };
            let path = lines_of(from, to);
            let (answer, changed) = tokio::join!(service.get(&path), change);
            let mut given = ids(&answer);
            let mut stable = before;
            // Whether it is told of depends on when its page was read.
            stable.remove(&changed);
            given.remove(&changed);
            // What started while the pages were read came after them.
            given.retain(|id| stable.contains(id) || !started(&service, from, "2023-12-01T12:00:00Z").contains(id));
            let lost: Vec<_> = stable.difference(&given).collect();
            assert!(
                lost.is_empty(),
                "after {moment} ms, removal {is_removal}: lost {lost:?}"
            );

            // As soon as what is held is due.
            sleep(Duration::from_secs(31)).await;
            let later = service.get(&lines_of(from, to)).await;
            assert_eq!(ids(&later), started(&service, from, to), "read again");
        }
    }
}

/// The `nth` conversation of today is deleted.
fn removal(service: &Service, nth: usize) -> Injection {
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    let organisation = service.simulator.organisation();
    let today = organisation.conversations_started(instant(TODAY.0), instant(TODAY.1), service.clock.now());
    let (conversation_id, started, _) = today[nth].clone();
    Injection::Removal {
        conversation_id,
        started,
    }
}

/// A call before most others of today.
fn early_call() -> Injection {
    Injection::Call {
        start: "2023-12-01T00:30:00Z".parse().unwrap(),
        queue: 0,
        user: 0,
        wait_ms: 5_000,
        talk_ms: 60_000,
        wrap_up_ms: 10_000,
    }
}

/// Page 7 never comes: an error, never a shorter answer, and nothing of it is kept.
#[tokio::test(start_paused = true)]
async fn a_page_that_never_comes_fails_the_whole() {
    let service = busy(3_300, 3).start().await;
    let broken = || Fault::new(Effect::status(503)).on_body("/paging/pageNumber", 7);
    let range = format!("dateFrom={}&dateTo={}", TUESDAY.0, TUESDAY.1);
    let expected = started(&service, TUESDAY.0, TUESDAY.1);
    assert!(expected.len() > 3_900, "{}", expected.len());

    service.fault(broken());
    let page = service.get(&format!("/v1/conversations?{range}")).await;
    assert_eq!(page.status, 502, "{}", page.text());
    sleep(Duration::from_secs(90)).await;

    let request = service.request(reqwest::Method::GET, &lines_of(TUESDAY.0, TUESDAY.1));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "the first page has come");
    let mut received = Vec::new();
    let broken_off = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken_off, "{} bytes look like the whole", received.len());
    let lines = String::from_utf8_lossy(&received).lines().count();
    assert!(lines <= 601, "{lines} lines before page 7");

    service.simulator.clear_faults();
    sleep(Duration::from_secs(90)).await;
    let page = service
        .get(&format!("/v1/conversations?{range}&pageSize=1"))
        .await
        .json();
    assert_eq!(
        (&page["total"], &page["meta"]["cache"]),
        (&json!(expected.len()), &json!("miss"))
    );
    assert_eq!(ids(&service.get(&lines_of(TUESDAY.0, TUESDAY.1)).await), expected);
}

#[tokio::test(start_paused = true)]
async fn ranges_longer_than_the_upstream_takes_are_cut() {
    let service = busy(30, 75).start().await;
    let (from, to) = ("2023-09-20T07:00:00Z", "2023-12-01T07:00:00Z");
    assert_eq!(
        ids(&service.get(&lines_of(from, to)).await),
        started(&service, from, to)
    );
    for entry in service
        .simulator
        .journal()
        .entries()
        .iter()
        .filter(|entry| entry.path == DETAILS)
    {
        let (start, end) = entry.body["interval"].as_str().unwrap().split_once('/').unwrap();
        let instant = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(instant(end).duration_since(instant(start)) <= SignedDuration::from_hours(31 * 24));
    }
}

/// More than can be held to be paged through is refused with advice, and the advice works.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_page_can_be_streamed() {
    let service = busy(1_000, 3)
        .set("REPORTS_CACHE__MEMORY_BYTES", "4000000")
        .start()
        .await;
    let (from, to) = TUESDAY;
    let refused = service
        .get(&format!("/v1/conversations?dateFrom={from}&dateTo={to}"))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:genesys-reports:problem:answer-too-large");
    assert!(
        problem["detail"].as_str().unwrap().contains("format=ndjson"),
        "{problem}"
    );
    let lines = service.get(&lines_of(from, to)).await;
    assert!(lines.body.len() > 2_000_000, "{} bytes", lines.body.len());
    assert_eq!(ids(&lines), started(&service, from, to));
}
