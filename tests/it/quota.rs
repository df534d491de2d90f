//! The upstream's request budget is shared: told to whoever asks, kept for those who wait, and used up when it is wanted.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use genesys_reports::simulator::{
    Grants,
    faults::{Effect, Fault},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::service::{Answer, Service, Setup};

const RATE_LIMITS: &str = "/api/v2/analytics/ratelimits/aggregates/query";

/// Questions nobody has asked before, each of a day and an hour of its own.
fn question(number: usize) -> String {
    let (day, hour) = (1 + number / 23, number % 23);
    format!(
        "/v1/query?dateFrom=2023-11-{day:02}T{hour:02}:00:00Z&dateTo=2023-11-{day:02}T{:02}:00:00Z&select=conversation.count",
        hour + 1
    )
}

async fn ask(service: &Service, number: usize) -> Answer {
    service.get(&question(number)).await
}

async fn as_key(service: &Service, key: &str, path: &str) -> Answer {
    let request = service.request(reqwest::Method::GET, path);
    service.send(request.header("x-api-key", key)).await
}

async fn quota(service: &Service) -> Value {
    let answer = service.get("/v1/quota").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

fn asked_for_history(service: &Service) -> usize {
    let entries = service.simulator.journal().entries();
    entries.iter().filter(|entry| entry.path == RATE_LIMITS).count()
}

/// No setting says how often Genesys Cloud may be asked: the organisation itself is asked, once.
#[tokio::test(start_paused = true)]
async fn the_organisations_own_limit_is_in_force() {
    let mut setup = Setup::new().without("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE");
    setup.simulator.rate_limit = 450;
    let service = setup.start().await;
    service.pass(1).await;
    let told = quota(&service).await;
    assert_eq!(
        told["limit"],
        json!({ "requestsPerMinute": 450, "allowed": 450, "source": "organisation", "isLowered": false })
    );
    // That was one request, and what the platform recorded was another.
    assert_eq!(told["left"], 448);
    let listed = |class: &Value| (class["class"].clone(), class["lastMinute"].clone());
    let classes: Vec<_> = told["classes"].as_array().unwrap().iter().map(listed).collect();
    assert_eq!(
        classes,
        [
            (json!("interactive"), json!(1)),
            (json!("refresh"), json!(1)),
            (json!("export"), json!(0))
        ]
    );
}

/// Where the organisation does not tell, what the vendor documents is assumed; a setting is not questioned.
#[tokio::test(start_paused = true)]
async fn a_setting_or_the_documented_limit_is_in_force_where_the_organisation_says_nothing() {
    let service = Setup::new()
        .without("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE")
        .start()
        .await;
    service.fault(Fault::new(Effect::status(403)).on_path("/api/v2/organizations"));
    service.pass(1).await;
    let limit = quota(&service).await["limit"].clone();
    assert_eq!(
        (&limit["requestsPerMinute"], &limit["source"]),
        (&json!(300), &json!("default"))
    );

    let service = Setup::new()
        .set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "120")
        .start()
        .await;
    service.pass(1).await;
    assert_eq!(service.upstream_calls(), 0, "nobody is asked");
    let limit = quota(&service).await["limit"].clone();
    assert_eq!(
        (&limit["requestsPerMinute"], &limit["source"]),
        (&json!(120), &json!("setting"))
    );
}

#[tokio::test(start_paused = true)]
async fn callers_see_themselves_and_administrators_everybody() {
    let (setup, reader) = Setup::new().key("\"read\"", "");
    let (setup, admin) = setup.key("\"read\", \"admin\"", "");
    let (setup, exporter) = setup.key("\"export\"", "");
    let service = setup.start().await;
    for number in 0..3 {
        assert_eq!(as_key(&service, &reader, &question(number)).await.status, 200);
    }
    let seen = |answer: &Answer| {
        let told = answer.json();
        let callers = told["callers"].as_array().unwrap().iter();
        let seen = callers.map(|one| {
            (
                one["caller"].as_str().unwrap().to_owned(),
                one["lastMinute"].as_u64().unwrap(),
            )
        });
        seen.collect::<Vec<_>>()
    };
    let by_admin = as_key(&service, &admin, "/v1/quota").await;
    assert_eq!(
        seen(&by_admin),
        [("test-0".to_owned(), 3), ("test-1".to_owned(), 1)],
        "what was recorded upstream was asked for, too"
    );
    let by_reader = as_key(&service, &reader, "/v1/quota").await;
    assert_eq!(seen(&by_reader), [("test-0".to_owned(), 3), ("others".to_owned(), 1)]);
    assert_eq!(as_key(&service, &exporter, "/v1/quota").await.status, 403);
}

/// The platform's own account is asked for once a minute at most, and without the permission that is said.
#[tokio::test(start_paused = true)]
async fn the_platforms_own_account_is_told_where_that_is_permitted() {
    let mut setup = Setup::new();
    setup.simulator.rate_limit = 20;
    let service = setup.start().await;
    assert_eq!(
        quota(&service).await["history"],
        json!({ "available": true, "records": [] })
    );
    for number in 0..18 {
        assert_eq!(ask(&service, number).await.status, 200);
    }
    service.pass(125).await;
    for _ in 0..5 {
        let history = quota(&service).await["history"].clone();
        assert_eq!(
            history["records"],
            json!([{
                "interval": "2023-12-01T12:00:00.000Z/2023-12-01T12:01:00.000Z", "namespace": "platform.api",
                "limit": "client.credentials.token.rate.per.minute", "allowed": 20.0, "highest": 19.0,
            }]),
            "{history}"
        );
    }
    assert_eq!(asked_for_history(&service), 2);

    let mut setup = Setup::new();
    setup.simulator.permissions = Grants::all().without("analytics:rateLimitAggregate:view");
    let service = setup.start().await;
    for _ in 0..5 {
        let history = quota(&service).await["history"].clone();
        assert_eq!(history["available"], false);
        let reason = history["reason"].as_str().unwrap();
        assert!(reason.contains("analytics:rateLimitAggregate:view"), "{reason}");
        service.pass(5).await;
    }
    assert_eq!(asked_for_history(&service), 1);
}

/// Whatever keeps everybody waiting does not keep those who ask why.
#[tokio::test(start_paused = true)]
async fn the_quota_is_told_while_everybody_waits() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status_retry_after(429, "20")).on_api().once());
    let waiting = async { ask(&service, 1).await };
    let asking = async {
        sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        let told = quota(&service).await;
        assert!(asked.elapsed() < Duration::from_millis(50), "{:?}", asked.elapsed());
        assert_eq!(told["history"]["available"], false);
        let closed_for = told["gateClosedFor"].as_u64().unwrap();
        assert!((18_900..=19_000).contains(&closed_for), "{closed_for}");
        assert_eq!(told["classes"][0]["waiting"], 1);
        assert_eq!(told["limit"]["isLowered"], true);
    };
    let (answer, ()) = tokio::join!(waiting, asking);
    assert_eq!(answer.status, 200);
}

/// The simulated platform counts by the minute of the clock; for ten minutes more is wanted than it allows.
#[tokio::test(start_paused = true)]
async fn a_backlog_uses_the_quota_and_is_never_refused_upstream() {
    const MINUTES: u64 = 10;
    let mut setup = Setup::new().set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "60");
    setup.simulator.rate_limit = 60;
    let service = setup.start().await;
    let end = Instant::now() + Duration::from_secs(60 * MINUTES);
    let next = AtomicUsize::new(0);
    let pressing = (0..16).map(async |_| {
        while Instant::now() < end {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Whoever is told at once that it takes longer than they can wait comes back when told to.
            loop {
                let answer = ask(&service, number).await;
                if answer.status == 200 {
                    break;
                }
                assert_eq!(answer.problem(), "upstream-budget");
                sleep(Duration::from_secs(answer.header("retry-after").parse().unwrap())).await;
            }
        }
    });
    join_all(pressing).await;
    let journal = service.simulator.journal();
    assert_eq!(journal.count_status(429), 0);
    let used = service.upstream_calls() as f64 / (60 * MINUTES) as f64;
    assert!(used >= 0.95, "{used}");
}

/// An export of many pages, and people who look at dashboards meanwhile.
#[tokio::test(start_paused = true)]
async fn an_export_delays_nobody_who_waits_for_an_answer() {
    let mut setup = Setup::new().set("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "60");
    setup.simulator.rate_limit = 60;
    setup.simulator.conversations_per_day = 2_000;
    let service = setup.start().await;
    let exporting = async {
        let stream = "/v1/conversations?format=ndjson&dateFrom=2023-11-20&dateTo=2023-11-28";
        let answer = service.get(stream).await;
        assert_eq!(answer.status, 200);
        answer.text().lines().count()
    };
    let looking = async {
        for minute in 0..3 {
            sleep(Duration::from_secs(53)).await;
            let asked = Instant::now();
            let panels = join_all((0..5).map(|panel| ask(&service, 5 * minute + panel))).await;
            assert!(panels.iter().all(|answer| answer.status == 200));
            // One a second comes free at 60 a minute.
            assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        }
    };
    let (lines, ()) = tokio::join!(exporting, looking);
    assert!(lines > 10_000, "{lines}");
    assert_eq!(service.simulator.journal().count_status(429), 0);
}
