//! A 429 makes everybody wait, exactly as long as it asks, and nobody longer than their deadline.

use std::time::Duration;

use futures_util::future::join_all;
use genesys_reports::simulator::faults::{Effect, Fault};
use tokio::time::{Instant, sleep};

use crate::support::service::{Answer, Service, Setup};

async fn ask(service: &Service, day: u32) -> Answer {
    let path = format!(
        "/v1/query?dateFrom=2023-11-{day:02}&dateTo=2023-11-{:02}&select=conversation.count",
        day + 1
    );
    service.get(&path).await
}

/// Milliseconds between the first request of the API and the second.
fn pause(service: &Service) -> i128 {
    let entries = service.simulator.journal().entries();
    let sent: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_login())
        .map(|entry| entry.at)
        .collect();
    sent[1].duration_since(sent[0]).as_millis()
}

#[tokio::test(start_paused = true)]
async fn the_wait_asked_for_is_waited() {
    for (retry_after, least, most) in [
        ("7", 7_000, 7_010),
        // The clock of these tests starts at noon.
        ("Fri, 01 Dec 2023 12:00:09 GMT", 8_900, 9_010),
        ("Fri, 01 Dec 2023 11:00:00 GMT", 0, 10),
        ("0", 0, 10),
    ] {
        let service = Service::start().await;
        service.fault(Fault::new(Effect::status_retry_after(429, retry_after)).on_api().once());
        let answer = ask(&service, 10).await;
        assert_eq!(answer.status, 200, "{retry_after}: {}", answer.text());
        assert!(
            (least..=most).contains(&pause(&service)),
            "{retry_after}: {} ms",
            pause(&service)
        );
    }
}

/// What makes no sense is no reason to hurry without end or to wait for ever.
#[tokio::test(start_paused = true)]
async fn nonsense_is_waited_out_within_the_deadline() {
    for retry_after in ["soon", "-3", "1.5", "7 seconds"] {
        let service = Service::start().await;
        service.fault(Fault::new(Effect::status_retry_after(429, retry_after)).on_api().once());
        let asked = Instant::now();
        let answer = ask(&service, 10).await;
        assert!(
            [200, 503].contains(&answer.status.as_u16()),
            "{retry_after}: {}",
            answer.text()
        );
        assert!(
            asked.elapsed() <= Duration::from_secs(30),
            "{retry_after}: {:?}",
            asked.elapsed()
        );
    }
}

/// Longer than the caller can wait: told at once when to come back, and nobody calls until then.
#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_told_at_once() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status_retry_after(429, "99999")).on_api().once());
    let asked = Instant::now();
    let answer = ask(&service, 10).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(asked.elapsed() < Duration::from_millis(50), "{:?}", asked.elapsed());
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((30..=99_999).contains(&wait), "{wait}");

    sleep(Duration::from_secs(wait - 31)).await;
    let other = ask(&service, 11).await;
    assert_eq!(
        (other.status.as_u16(), service.upstream_calls()),
        (503, 1),
        "{}",
        other.text()
    );
    sleep(Duration::from_secs(32)).await;
    assert_eq!(ask(&service, 12).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn everybody_waits_whatever_they_ask() {
    let service = Service::start().await;
    service.fault(Fault::new(Effect::status_retry_after(429, "7")).on_api().once());
    let others = async {
        sleep(Duration::from_millis(500)).await;
        join_all((11..29).map(|day| ask(&service, day))).await
    };
    let (first, others) = tokio::join!(ask(&service, 10), others);
    assert!(first.status == 200 && others.iter().all(|answer| answer.status == 200));
    assert!(pause(&service) >= 7_000, "{} ms", pause(&service));
    assert_eq!(service.upstream_calls(), 20);
}

/// Others spend the same quota, so that the platform says no long before our own count does.
#[tokio::test(start_paused = true)]
async fn a_quota_shared_with_others_is_respected() {
    let mut setup = Setup::new().set("REPORTS_SERVER__REQUEST_TIMEOUT_S", "300");
    setup.simulator.rate_limit = 8;
    let service = setup.start().await;
    let answers = join_all((1..29).map(|day| ask(&service, day))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().find(|one| one.status != 200)
    );
    let entries = service.simulator.journal().entries();
    let refused = entries.iter().filter(|entry| entry.status == Some(429)).count();
    // Whoever was under way already is refused too; nobody calls after the first refusal before the minute is over.
    assert!(refused <= 4 * 32, "{refused}");
    for pair in entries
        .windows(2)
        .filter(|pair| pair[0].status == Some(429) && pair[1].status == Some(200))
    {
        assert!(pair[1].at.as_second() / 60 > pair[0].at.as_second() / 60, "{pair:?}");
    }
}
