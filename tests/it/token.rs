//! One access token for everybody, asked for as rarely as can be, and nobody hears of its renewal.

use std::{path::PathBuf, time::Duration};

use futures_util::future::join_all;
use genesys_reports::simulator::faults::{Effect, Fault};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::service::{Answer, SECRET, Service, Setup};

/// A question nobody has asked before.
async fn ask(service: &Service, number: i64) -> Answer {
    let start: Timestamp = "2023-11-10T00:00:00Z".parse().unwrap();
    let end = start + jiff::SignedDuration::from_secs(86_400 + number);
    let path = format!("/v1/query?dateFrom={start}&dateTo={end}&select=conversation.count");
    service.get(&path).await
}

fn logins(service: &Service) -> Vec<Timestamp> {
    let entries = service.simulator.journal().entries();
    entries
        .iter()
        .filter(|entry| entry.is_login())
        .map(|entry| entry.at)
        .collect()
}

#[track_caller]
fn assert_apart(instants: &[Timestamp], seconds: i64) {
    for pair in instants.windows(2) {
        assert!(
            pair[1].duration_since(pair[0]).as_millis() >= i128::from(seconds * 1_000),
            "{instants:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_under_five_hundred_requests_asks_once() {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_millis(200));
    let answers = join_all((0..500).map(|number| ask(&service, number))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(logins(&service).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_mint_is_shared_and_not_repeated_within_a_second() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status(503)).on_login().times(2));
    let answers = join_all((0..100).map(|number| ask(&service, number))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "the third mint came in time"
    );
    assert_eq!(logins(&service).len(), 3);
    assert_apart(&logins(&service), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_revoked_under_two_hundred_queries_is_replaced_once() {
    let service = Service::start().await;
    ask(&service, 1_000).await;
    service.simulator.set_latency(Duration::from_millis(150));
    let revoke = async {
        sleep(Duration::from_millis(75)).await;
        service.simulator.revoke_tokens();
    };
    let (answers, ()) = tokio::join!(join_all((0..200).map(|number| ask(&service, number))), revoke);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(logins(&service).len(), 2);
    assert!(service.upstream_calls() <= 1 + 2 * 200, "each is replayed once at most");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_never_accepted_costs_two_calls_a_request() {
    let mut service = Service::start().await;
    service.expect_error("Genesys Cloud refuses this service's credentials");
    service.fault(Fault::new(Effect::status(401)).on_api());
    for number in 0..60 {
        let before = service.upstream_calls();
        let answer = ask(&service, number).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(service.upstream_calls() - before <= 2);
        sleep(Duration::from_secs(1)).await;
    }
    assert_apart(&logins(&service)[1..], 30);
}

/// The login service is down for four minutes, just when the token is due to be renewed.
#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_login_service_that_is_down_while_the_token_lives() {
    let mut setup = Setup::new();
    setup.simulator.token_lifetime = Duration::from_hours(1);
    let service = setup.start().await;
    ask(&service, -1).await;
    sleep(Duration::from_secs(3_600 - 301)).await;
    service.fault(Fault::new(Effect::status(503)).on_login());
    let attempted = logins(&service).len();
    for number in 0..350 {
        if number == 285 {
            service.simulator.clear_faults();
        }
        let answer = ask(&service, number).await;
        assert_eq!(answer.status, 200, "second {number}: {}", answer.text());
        sleep(Duration::from_secs(1)).await;
    }
    let logins = logins(&service);
    assert!(logins.len() > attempted + 2, "{logins:?}");
    assert_apart(&logins, 10);
}

/// A wrong secret: said at once and at most once a minute to the login service; a new secret file ends it.
#[tokio::test(start_paused = true)]
async fn refused_credentials_fail_fast_until_the_secret_file_changes() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("secret-{}", std::process::id()));
    std::fs::write(&file, "an-old-secret").unwrap();
    let mut service = Setup::new()
        .set("GENESYS_CLIENT_SECRET_FILE", file.to_str().unwrap())
        .start()
        .await;
    service.expect_error("the login service refuses us");
    service.expect_error("Genesys Cloud refuses this service's credentials");
    for number in 0..180 {
        let asked = Instant::now();
        let answer = ask(&service, number).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(asked.elapsed() < Duration::from_millis(10));
        assert!(!answer.text().contains("an-old-secret"));
        sleep(Duration::from_secs(1)).await;
    }
    assert_apart(&logins(&service), 60);
    let ready = service.get("/health/ready").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.json()["reasons"].to_string().contains("credentials"),
        "{}",
        ready.text()
    );

    std::fs::write(&file, SECRET).unwrap();
    let answer = ask(&service, 1_000).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(service.get("/health/ready").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn odd_lifetimes_are_survived() {
    let odd: [Value; 9] = [
        json!("3600"),
        json!(0),
        json!(-5),
        Value::Null,
        json!(1e18),
        json!(30),
        json!("soon"),
        json!([]),
        json!(0.5),
    ];
    for announced in odd {
        let mut setup = Setup::new();
        setup.simulator.announced_lifetime = Some(announced.clone());
        let service = setup.start().await;
        for number in 0..120 {
            let answer = ask(&service, number).await;
            assert_eq!(answer.status, 200, "{announced}: {}", answer.text());
            sleep(Duration::from_secs(1)).await;
        }
        assert_apart(&logins(&service), 10);
    }
}
