//! Long ranges are stitched from jobs and queries, and nobody can tell: each conversation that started in the range, once,
//! as it is.

use std::collections::BTreeMap;

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    organisation::Switches,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{
    service::{Service, Setup},
    watch::Watch,
};

const JOBS: &str = "/api/v2/analytics/conversations/details/jobs";
const QUERY: &str = "/api/v2/analytics/conversations/details/query";

/// Two months of a contact centre of this size.
async fn start(conversations_per_day: u32, switches: Switches) -> Service {
    let mut setup = Setup::new();
    setup.simulator.days = 62;
    setup.simulator.conversations_per_day = conversations_per_day;
    setup.simulator.late_share = 0.2;
    setup.simulator.switches = switches;
    setup.start_watched(Watch::start_at("warn,genesys_reports=info")).await
}

fn export(from: &str, to: &str) -> String {
    format!("/v1/conversations?dateFrom={from}&dateTo={to}&format=ndjson")
}

/// The conversations of an export, by id.
fn told(text: &str) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    for line in text.lines() {
        let document: Value = serde_json::from_str(line).expect("a document a line");
        let id = document["conversationId"].as_str().expect("an id").to_owned();
        assert!(told.insert(id, document).is_none(), "twice: {line}");
    }
    told
}

/// What the organisation knows of those that started in the range, day by day.
fn known(service: &Service, from: &str, to: &str) -> BTreeMap<String, Value> {
    let (from, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
    let switches = Switches {
        max_page_size: 100_000,
        ..Switches::default()
    };
    let mut known = BTreeMap::new();
    let mut day = from;
    while day < to {
        let next = (day + SignedDuration::from_hours(24)).min(to);
        let body =
            json!({ "interval": format!("{day:.3}/{next:.3}"), "paging": {"pageSize": 100_000, "pageNumber": 1} });
        let answer = service
            .simulator
            .organisation()
            .details(&body, service.clock.now(), &switches);
        for document in answer.unwrap()["conversations"].as_array().into_iter().flatten() {
            let start: Timestamp = document["conversationStart"].as_str().unwrap().parse().unwrap();
            if (day..next).contains(&start) {
                known.insert(
                    document["conversationId"].as_str().unwrap().to_owned(),
                    document.clone(),
                );
            }
        }
        day = next;
    }
    known
}

/// Requests of that method to addresses that begin and end so.
fn asked(service: &Service, method: &str, begin: &str, end: &str) -> usize {
    let entries = service.simulator.journal().entries();
    let is_meant = |path: &str| path.starts_with(begin) && path.ends_with(end);
    entries
        .iter()
        .filter(|entry| entry.method == method && is_meant(&entry.path))
        .count()
}

#[track_caller]
fn assert_same(told: &BTreeMap<String, Value>, known: &BTreeMap<String, Value>) {
    assert_eq!(told.len(), known.len());
    for ((told_id, told), (known_id, known)) in told.iter().zip(known) {
        assert_eq!((told_id, told), (known_id, known));
    }
}

#[tokio::test(start_paused = true)]
async fn sixty_days_are_stitched_without_loss_or_repeats() {
    let service = start(500, Switches::default()).await;
    let (from, to) = ("2023-10-02T09:30:00Z", "2023-12-01T10:00:00Z");
    let answer = service.get(&export(from, to)).await;
    assert_eq!(answer.status, 200);
    let told = told(&answer.text());
    assert!(told.len() > 10_000, "{}", told.len());
    assert_same(&told, &known(&service, from, to));
    assert_eq!(asked(&service, "POST", JOBS, "/jobs"), 2, "a window each");
    assert_eq!(asked(&service, "GET", JOBS, "/availability"), 1);
    assert!(asked(&service, "POST", QUERY, "") > 5, "the last days");
    let calls = service.upstream_calls();
    assert!(
        calls < told.len() / 250,
        "{calls} requests for {} conversations",
        told.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_to_nothing_is_not_missed() {
    let (from, to) = ("2023-10-02T00:00:00Z", "2023-11-02T00:00:00Z");
    let failing = Switches {
        failing_jobs: true,
        ..Switches::default()
    };
    for (switches, fault, read) in [
        (failing, None, 0),
        (
            Switches::default(),
            Some(Fault::new(Effect::status(403)).on_path(JOBS).times(1)),
            0,
        ),
        // After its first page: what came before is asking, submitting and looking three times.
        (
            Switches::default(),
            Some(Fault::new(Effect::status(404)).on_path(JOBS).nth(7)),
            2,
        ),
    ] {
        let service = start(400, switches).await;
        if let Some(fault) = fault {
            service.fault(fault);
        }
        let told = told(&service.get(&export(from, to)).await.text());
        assert_same(&told, &known(&service, from, to));
        assert_eq!(asked(&service, "GET", JOBS, "/results"), read);
        assert!(service.log().contains("reading page by page"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_pages_do_well_is_not_for_jobs() {
    let service = start(400, Switches::default()).await;
    for (from, to) in [
        // Few, and recent.
        ("2023-11-01T00:00:00Z", "2023-11-08T00:00:00Z"),
        ("2023-11-28T00:00:00Z", "2023-12-01T00:00:00Z"),
    ] {
        assert_eq!(service.get(&export(from, to)).await.status, 200);
    }
    // Somebody waits for a page.
    let page = "/v1/conversations?dateFrom=2023-10-02&dateTo=2023-11-02&pageSize=10";
    let _ = service.get(page).await;
    assert_eq!(asked(&service, "POST", JOBS, "/jobs"), 0);
}
