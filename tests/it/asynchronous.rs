//! Nobody has to stay for an answer that takes long: it is asked for once, kept for a while, and its caller's alone.

use std::time::Duration;

use genesys_reports::simulator::faults::{Effect, Fault};
use http::HeaderValue;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{
    events::Listener,
    service::{Answer, Service, Setup},
};

const DAY: &str = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-21&select=conversation.count";
const EXPORT: &str = "/v1/conversations?dateFrom=2023-11-20&dateTo=2023-11-24&format=ndjson";

async fn prefer(service: &Service, path: &str, preference: &'static str) -> Answer {
    let request = service.request(Method::GET, path);
    let request = request.header("prefer", HeaderValue::from_static(preference));
    service.send(request).await
}

/// A service whose every answer takes longer than anybody here waits: a login and a question are eight seconds.
async fn slow() -> Service {
    let service = Service::start().await;
    service.simulator.set_latency(Duration::from_secs(4));
    service
}

#[tokio::test(start_paused = true)]
async fn who_waits_long_enough_notices_nothing() {
    let service = Service::start().await;
    let told = service.get(DAY).await;
    for (answer, applied) in [
        (service.get(&format!("{DAY}&wait=20")).await, ""),
        (
            prefer(&service, DAY, "respond-async, wait=20").await,
            "respond-async, wait=20",
        ),
        (prefer(&service, DAY, "handling=strict").await, ""),
    ] {
        assert_eq!(
            (answer.status.as_u16(), answer.header("etag")),
            (200, told.header("etag"))
        );
        assert_eq!(answer.json()["entities"], told.json()["entities"]);
        assert_eq!(answer.header("preference-applied"), applied);
    }
    let wrong = service.get(&format!("{DAY}&wait=long")).await;
    assert_eq!(
        (wrong.status.as_u16(), &wrong.json()["errors"][0]["pointer"]),
        (422, &"/wait".into())
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_question_later_is_answered_and_costs_nothing_more() {
    let service = slow().await;
    let start = Instant::now();
    let accepted = prefer(&service, DAY, "respond-async, wait=2").await;
    assert_eq!((accepted.status.as_u16(), start.elapsed().as_secs()), (202, 2));
    assert_eq!(accepted.header("preference-applied"), "respond-async, wait=2");
    assert_eq!(
        (accepted.header("retry-after"), accepted.header("cache-control")),
        ("2", "no-store")
    );
    let job = accepted.header("location").to_owned();
    assert_eq!(job, format!("/v1/jobs/{}", accepted.json()["id"].as_str().unwrap()));
    let running = service.get(&job).await;
    assert_eq!(
        (running.status.as_u16(), &running.json()["state"]),
        (200, &"running".into())
    );
    assert_eq!(service.get(&format!("{job}/result")).await.status, 202);
    // By the other spelling it is the same question, and finds the same job.
    assert_eq!(service.get(&format!("{DAY}&wait=1")).await.header("location"), job);
    service.pass(10).await;
    let done = service.get(&job).await.json();
    assert_eq!((&done["state"], done["finishedAt"].is_string()), (&"done".into(), true));
    let at = Instant::now();
    let answer = service.get(&format!("{DAY}&wait=5")).await;
    assert_eq!((answer.status.as_u16(), at.elapsed()), (200, Duration::ZERO));
    assert_eq!(answer.json()["entities"].as_array().unwrap().len(), 1);
    let result = service.get(&format!("{job}/result")).await;
    assert_eq!((result.status.as_u16(), &result.body), (200, &answer.body));
    assert_eq!(service.upstream_calls(), 1);
    // What is given is not given for ever.
    service.pass(15 * 60).await;
    assert_eq!(service.get(&format!("{job}/result")).await.status, 410);
    assert_eq!(service.get(&job).await.json()["state"], "gone");
    service.pass(60 * 60).await;
    assert_eq!(service.get(&job).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_export_tells_how_it_goes_and_is_kept_whole() {
    let service = Service::start().await;
    let direct = service.get(EXPORT).await;
    // What was fetched a moment ago satisfies everybody.
    service.pass(5).await;
    service.simulator.set_latency(Duration::from_secs(3));
    let accepted = service.get(&format!("{EXPORT}&max_age=0&wait=0")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let job = accepted.json();
    let mut listener = Listener::open(&service, job["eventsUri"].as_str().unwrap()).await;
    let mut events = Vec::new();
    while let Some(event) = listener.next().await {
        events.push((event.name.clone(), event.data()["bytes"].as_u64().unwrap()));
    }
    let (last, bytes) = events.pop().expect("a last event");
    assert_eq!(last, "done");
    assert!(
        !events.is_empty() && events.iter().all(|(name, _)| name == "progress"),
        "{events:?}"
    );
    let result = service.get(job["resultUri"].as_str().unwrap()).await;
    assert_eq!((result.body.len() as u64, &result.body), (bytes, &direct.body));
    assert_eq!(result.header("content-type"), direct.header("content-type"));
}

#[tokio::test(start_paused = true)]
async fn a_job_is_its_caller_s_alone_and_ends_when_it_says_so() {
    let (setup, owner) = Setup::new().key("\"read\", \"export\"", "");
    let (setup, stranger) = setup.key("\"read\", \"export\"", "");
    let service = setup.start().await;
    service.simulator.set_latency(Duration::from_secs(4));
    let ask = async |method: Method, path: &str, key: &str| {
        service
            .send(service.request(method, path).header("x-api-key", key))
            .await
    };
    let job = ask(Method::GET, &format!("{EXPORT}&wait=0"), &owner).await.json();
    let theirs = ask(Method::GET, &format!("{EXPORT}&wait=0"), &stranger).await.json();
    assert_ne!(job["id"], theirs["id"]);
    let uri = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for (method, path) in [
        (Method::GET, uri.clone()),
        (Method::GET, format!("{uri}/events")),
        (Method::GET, format!("{uri}/result")),
        (Method::DELETE, uri.clone()),
    ] {
        let refused = ask(method.clone(), &path, &stranger).await;
        let nothing = ask(method, &path.replace(&uri, "/v1/jobs/none"), &owner).await;
        assert_eq!(
            (refused.status.as_u16(), refused.problem().as_str()),
            (404, "not-found"),
            "{path}"
        );
        assert_eq!(refused.json()["detail"], nothing.json()["detail"], "{path}");
    }
    assert_eq!(ask(Method::DELETE, &uri, &owner).await.status, 204);
    assert_eq!(ask(Method::GET, &uri, &owner).await.status, 404);
    assert_eq!(
        ask(
            Method::DELETE,
            &format!("/v1/jobs/{}", theirs["id"].as_str().unwrap()),
            &stranger
        )
        .await
        .status,
        204
    );
    service.pass(1).await;
    let calls = service.upstream_calls();
    service.pass(120).await;
    assert_eq!(service.upstream_calls(), calls, "nobody wants it any more");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_kept_as_a_failure() {
    let service = slow().await;
    service.fault(Fault::new(Effect::status(503)).on_path("/api/v2/analytics").times(3));
    let job = service.get(&format!("{DAY}&wait=0")).await.json();
    service.pass(60).await;
    assert_eq!(
        service
            .get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap()))
            .await
            .json()["state"],
        "failed"
    );
    let result = service.get(job["resultUri"].as_str().unwrap()).await;
    assert_eq!(
        (result.status.as_u16(), result.problem().as_str()),
        (502, "upstream-unavailable")
    );
    let again = service.get(&format!("{DAY}&wait=0")).await;
    assert_eq!(again.status, 502, "told once to the same question");
    assert_eq!(
        service.get(&format!("{DAY}&wait=20")).await.status,
        200,
        "then asked anew"
    );
}

/// Of a job that its caller never heard of, nothing is kept.
#[tokio::test(start_paused = true)]
async fn any_number_of_answers_in_time_leave_room_for_more() {
    let service = Service::start().await;
    for size in 1..=250 {
        let answer = service.get(&format!("{DAY}&wait=20&pageSize={size}")).await;
        assert_eq!(answer.status, 200, "{size}: {}", answer.text());
    }
}

/// There may be two hundred jobs at once: what was given may have to go before its time.
#[tokio::test(start_paused = true)]
async fn answers_that_were_given_make_room_for_jobs_and_those_that_wait_do_not() {
    let service = slow().await;
    let question = |number: usize| {
        let (month, day, hour) = (8 + number / 24 / 25, 1 + number / 24 % 25, number % 24);
        let from = format!("2023-{month:02}-{day:02}T{hour:02}:00:00Z");
        format!("/v1/query?dateFrom={from}&dateTo=2023-11-21&select=conversation.count&wait=0")
    };
    let mut jobs = Vec::new();
    for number in 0..200 {
        let answer = service.get(&question(number)).await;
        assert_eq!(answer.status, 202, "{number}: {}", answer.text());
        jobs.push(answer.json());
        if number % 20 == 0 {
            // A minute's budget is not spent at once.
            service.pass(10).await;
        }
    }
    service.pass(60).await;
    let refused = service.get(&question(200)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (503, "overloaded"),
        "nobody has read anything"
    );
    assert_eq!(service.get(&question(7)).await.status, 200);
    assert_eq!(service.get(&question(200)).await.status, 202);
    let status = async |number: usize| {
        let uri = jobs[number]["resultUri"].as_str().expect("it has one");
        service.get(uri).await.status.as_u16()
    };
    assert_eq!((status(7).await, status(6).await), (404, 200));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_to_those_who_follow() {
    let mut service = slow().await;
    service.simulator.set_latency(Duration::from_mins(1));
    let job: Value = service.get(&format!("{DAY}&wait=0")).await.json();
    let mut listener = Listener::open(&service, job["eventsUri"].as_str().unwrap()).await;
    assert_eq!(listener.next().await.unwrap().name, "progress");
    service.stop.cancel();
    let start = Instant::now();
    assert_eq!(listener.next().await.unwrap().name, "failed");
    assert_eq!(listener.next().await, None);
    assert!(service.finished().await, "everything was answered");
    assert_eq!(start.elapsed().as_secs(), 5, "a job holds nothing up");
}
