//! The client over real loopback HTTP, on paused time, against small hand-written servers that count.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, future::join_all, pin_mut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::yield_now,
    time::{Instant, sleep},
};

use super::*;
use crate::query::{Filter, Range, Source, Zone, catalogue::metric};

const NOW: &str = "2026-03-10T12:00:00Z";
const SECRET: &str = "canary-secret-5up3r";
const TOKEN: &str = "canary-token";

// ---- the servers

/// What was asked of the server.
struct Asked {
    at: Instant,
    path: String,
    authorization: String,
    body: Value,
    /// How many came before, token requests and others counted apart.
    before: usize,
}

impl Asked {
    fn page(&self) -> usize {
        usize::try_from(self.body["paging"]["pageNumber"].as_u64().unwrap()).unwrap()
    }
}

/// What it answers, after how long.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    delay: Duration,
}

fn ok(body: &Value) -> Answer {
    answer(200, &body.to_string())
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: vec![("ININ-Correlation-Id", "c-1".to_owned())],
        body: body.to_owned(),
        delay: Duration::ZERO,
    }
}

fn granted(number: usize) -> Answer {
    ok(&json!({"access_token": format!("{TOKEN}-{number}"), "token_type": "BEARER", "expires_in": 86_399}))
}

impl Answer {
    fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

/// A server on loopback, API and login at once.
struct Stub {
    url: String,
    api: Arc<Mutex<Vec<Instant>>>,
    mints: Arc<Mutex<Vec<Instant>>>,
}

impl Stub {
    async fn start(
        login: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        api: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            api: Arc::default(),
            mints: Arc::default(),
        };
        let (api_log, mint_log) = (Arc::clone(&stub.api), Arc::clone(&stub.mints));
        let react = Arc::new(move |mut asked: Asked| {
            let is_mint = asked.path.starts_with("/oauth/token");
            if asked.path.ends_with("/details/jobs/availability") {
                // Nothing is old enough for a job: these tests are about pages.
                return ok(&json!({"dataAvailabilityDate": "2000-01-01T00:00:00.000Z"}));
            }
            let mut log = if is_mint { &mint_log } else { &api_log }.lock().unwrap();
            asked.before = log.len();
            log.push(asked.at);
            drop(log);
            if is_mint { login(&asked) } else { api(&asked) }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let react = Arc::clone(&react);
                let service = hyper::service::service_fn(move |request| serve(request, Arc::clone(&react)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        stub
    }

    /// One that grants tokens for a day.
    async fn granting(api: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(|asked| granted(asked.before), api).await
    }

    fn calls(&self) -> usize {
        self.api.lock().unwrap().len()
    }

    fn mints(&self) -> usize {
        self.mints.lock().unwrap().len()
    }

    fn settings(&self) -> Settings {
        Settings {
            api_url: self.url.clone(),
            token_url: format!("{}/oauth/token", self.url),
            credentials: Arc::new(|| Credentials::Client {
                client_id: "id".to_owned(),
                client_secret: SECRET.to_owned().into(),
            }),
            requests_per_minute: Some(100_000),
            concurrency: 1_000,
            page_concurrency: 8,
            attempt_timeout: Duration::from_secs(20),
            max_attempts: 3,
            memory_bytes: 256 << 20,
            fleet: Fleet::default(),
            replicas: 1,
            tracer: Tracer::default(),
        }
    }

    fn client(&self) -> Client {
        client(self.settings())
    }
}

fn client(settings: Settings) -> Client {
    Client::new(settings, Clock::starting_at(NOW.parse().unwrap())).unwrap()
}

async fn serve(
    request: http::Request<Incoming>,
    react: Arc<impl Fn(Asked) -> Answer>,
) -> Result<http::Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = react(Asked {
        at: Instant::now(),
        path: head.uri.to_string(),
        authorization: head.headers["authorization"].to_str().unwrap().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))),
        before: 0,
    });
    if !answer.delay.is_zero() {
        sleep(answer.delay).await;
    }
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body)).unwrap())
}

// ---- the questions

fn range(start: &str, end: &str) -> Range {
    Range {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    }
}

fn aggregate_query() -> AggregateQuery {
    AggregateQuery {
        source: Source::Conversations,
        range: range("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        granularity: None,
        time_zone: Zone::utc(),
        group_by: Vec::new(),
        metrics: vec![metric("nOffered")],
        filter: Filter::default(),
    }
}

async fn ask(client: &Client, seconds: u64) -> Result<Slice, UpstreamError> {
    client.aggregates(&aggregate_query(), &within(seconds)).await
}

fn within(seconds: u64) -> Errand {
    Errand::new(
        "caller",
        Class::Interactive,
        Instant::now() + Duration::from_secs(seconds),
    )
}

fn empty() -> Answer {
    ok(&json!({"results": []}))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

// ---- the token

#[tokio::test(start_paused = true)]
async fn however_many_wait_one_token_is_asked_for_as_the_login_service_wants_it() {
    let stub = Stub::start(
        |asked| {
            assert_eq!(asked.authorization, "Basic aWQ6Y2FuYXJ5LXNlY3JldC01dXAzcg==");
            assert_eq!(asked.body, "grant_type=client_credentials");
            granted(7).after(ms(500))
        },
        |asked| {
            assert_eq!(asked.authorization, format!("Bearer {TOKEN}-7"));
            empty()
        },
    )
    .await;
    let client = stub.client();
    // The first to ask leaves before there is an answer: the mint goes on without it.
    let hasty = ask(&client, 30);
    assert!(tokio::time::timeout(ms(100), hasty).await.is_err());
    let answers = join_all((0..500).map(|_| ask(&client, 30))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((stub.mints(), stub.calls()), (1, 500));
    assert!(matches!(client.health().token, TokenState::Valid(_)));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_behind_the_back_of_its_users_and_serves_while_that_fails() {
    let down = Arc::new(AtomicBool::new(false));
    let login_down = Arc::clone(&down);
    let stub = Stub::start(
        move |asked| {
            if login_down.load(Ordering::Relaxed) {
                return answer(503, "").after(ms(900));
            }
            let body = json!({"access_token": format!("t{}", asked.before), "expires_in": "3600"});
            ok(&body).after(ms(900))
        },
        |_| empty(),
    )
    .await;
    let client = Client::with_jitter(
        stub.settings(),
        Clock::starting_at(NOW.parse().unwrap()),
        Arc::new(|| 1.0),
    )
    .unwrap();
    ask(&client, 30).await.unwrap();
    down.store(true, Ordering::Relaxed);
    let started = Instant::now();
    // Renewal is due five minutes before the end; the login service is down for four minutes of that.
    while started.elapsed() < Duration::from_secs(3595) {
        down.store(started.elapsed() < Duration::from_mins(55 + 4), Ordering::Relaxed);
        let asked = Instant::now();
        ask(&client, 30).await.unwrap();
        assert!(asked.elapsed() < ms(100), "delayed by the renewal");
        sleep(ms(2_000)).await;
    }
    let mints = stub.mints.lock().unwrap().clone();
    assert!((20..=27).contains(&mints.len()), "{} mints", mints.len());
    assert!(mints[1] - started >= Duration::from_secs(3299), "renewed too early");
    assert!(
        mints
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= Duration::from_secs(10))
    );
    assert!(matches!(client.health().token, TokenState::Valid(life) if life > Duration::from_secs(3500)));
}

/// Fifty of them, each renewing when its own dice say so, and nobody waiting for it.
#[tokio::test(start_paused = true)]
async fn replicas_started_together_do_not_renew_together() {
    use rand::{RngExt, SeedableRng};
    let stub = Stub::start(
        |_| ok(&json!({"access_token": "t", "token_type": "bearer", "expires_in": 3600})).after(ms(900)),
        |_| empty(),
    )
    .await;
    let replicas: Vec<Client> = (0..50)
        .map(|seed| {
            let dice = Mutex::new(rand_pcg::Pcg64::seed_from_u64(seed));
            let jitter: Jitter = Arc::new(move || dice.lock().unwrap().random());
            Client::with_jitter(stub.settings(), Clock::starting_at(NOW.parse().unwrap()), jitter).unwrap()
        })
        .collect();
    assert!(
        join_all(replicas.iter().map(|replica| ask(replica, 30)))
            .await
            .iter()
            .all(Result::is_ok)
    );
    let granted = Instant::now();
    sleep(Duration::from_secs(3_295)).await;
    for second in 0..250 {
        let asked = Instant::now();
        let every_other = replicas.iter().skip(second % 2).step_by(2);
        assert!(
            join_all(every_other.map(|replica| ask(replica, 30)))
                .await
                .iter()
                .all(Result::is_ok)
        );
        assert!(asked.elapsed() < ms(100), "delayed by a renewal");
        tokio::time::sleep_until(asked + ms(1_000)).await;
    }
    let renewals: Vec<u64> = stub.mints.lock().unwrap()[50..]
        .iter()
        .map(|at| (*at - granted).as_secs())
        .collect();
    assert_eq!(renewals.len(), 50);
    for second in 0..=3_600 {
        let within = renewals.iter().filter(|at| **at == second).count();
        let is_due = (3_299..=3_542).contains(&second);
        assert!(within <= 5 && (within == 0 || is_due), "{within} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn silly_lifetimes_do_not_make_a_storm() {
    for expires_in in [json!("3600"), json!(0), json!(-5), json!(null), json!(1e18), json!(30)] {
        let announced = expires_in.clone();
        let stub = Stub::start(
            move |_| ok(&json!({"access_token": "t", "token_type": "bearer", "expires_in": announced})),
            |_| empty(),
        )
        .await;
        let client = stub.client();
        for _ in 0..600 {
            ask(&client, 30).await.unwrap();
            sleep(ms(100)).await;
        }
        let mints = stub.mints.lock().unwrap().clone();
        assert!(
            mints
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= Duration::from_secs(10)),
            "{expires_in}: {} mints in a minute",
            mints.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_replaced_once_and_every_call_replayed_once() {
    let stub = Stub::granting(|asked| {
        if asked.authorization.ends_with("-0") && asked.before > 0 {
            answer(401, r#"{"code": "bad.credentials"}"#).after(ms(50 + 3 * asked.before as u64))
        } else {
            empty().after(ms(20))
        }
    })
    .await;
    let client = stub.client();
    ask(&client, 30).await.unwrap();
    let answers = join_all((0..200).map(|_| ask(&client, 30))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((stub.mints(), stub.calls()), (2, 401));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_used_while_its_successor_is_awaited() {
    let stub = Stub::start(
        |asked| granted(asked.before).after(ms(500)),
        |asked| {
            if asked.authorization.ends_with("-0") && asked.before > 0 {
                answer(401, "")
            } else {
                empty()
            }
        },
    )
    .await;
    let client = stub.client();
    ask(&client, 30).await.unwrap();
    let answers = join_all((0..50_u64).map(async |number| {
        sleep(ms(5 * number)).await;
        ask(&client, 30).await
    }))
    .await;
    assert!(answers.iter().all(Result::is_ok));
    // Only the first of them meets the refusal.
    assert_eq!((stub.mints(), stub.calls()), (2, 1 + 1 + 50));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_every_token_is_not_drowned_in_them() {
    let stub = Stub::granting(|_| answer(401, r#"{"code": "bad.credentials", "contextId": "x"}"#)).await;
    let client = stub.client();
    for _ in 0..60 {
        let before = stub.calls();
        let Err(UpstreamError::Credentials(told)) = ask(&client, 30).await else {
            panic!("not refused");
        };
        assert_eq!((told.status, told.correlation_id.as_deref()), (Some(401), Some("c-1")));
        assert!(stub.calls() - before <= 2);
        sleep(ms(1_000)).await;
    }
    // The first, and one for every 30 seconds.
    assert_eq!(stub.mints(), 3);
}

/// Whatever becomes of the token meanwhile.
#[tokio::test(start_paused = true)]
async fn a_login_service_that_asks_to_wait_is_left_alone_although_the_token_is_refused() {
    let is_revoked = Arc::new(AtomicBool::new(false));
    let revoked = Arc::clone(&is_revoked);
    let stub = Stub::start(
        |asked| match asked.before {
            0 => ok(&json!({"access_token": TOKEN, "expires_in": 90})),
            1 => answer(429, "").with("Retry-After", "120"),
            number => granted(number),
        },
        move |asked| {
            let is_old = asked.authorization.ends_with(TOKEN);
            if is_old && revoked.load(Ordering::Relaxed) {
                answer(401, "")
            } else {
                empty()
            }
        },
    )
    .await;
    let client = stub.client();
    ask(&client, 30).await.unwrap();
    sleep(ms(50_000)).await;
    ask(&client, 30).await.unwrap();
    sleep(ms(1_000)).await;
    assert_eq!(stub.mints(), 2, "it was to be renewed");
    is_revoked.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        let Err(UpstreamError::Budget { retry_after, .. }) = ask(&client, 30).await else {
            panic!("there is no token");
        };
        assert!((ms(100_000)..ms(120_000)).contains(&retry_after), "{retry_after:?}");
        sleep(ms(1_000)).await;
    }
    assert_eq!(
        (stub.mints(), stub.calls()),
        (2, 3),
        "and the refused token is used no more"
    );
    sleep(ms(110_000)).await;
    ask(&client, 30).await.unwrap();
    assert_eq!(stub.mints(), 3);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_told_at_once_until_they_change() {
    let stub = Stub::start(
        |asked| {
            if asked.authorization == "Basic aWQ6bmV3" {
                granted(0)
            } else {
                answer(401, r#"{"error": "invalid_client", "description": "client not found"}"#)
            }
        },
        |_| empty(),
    )
    .await;
    let secret = Arc::new(Mutex::new(SECRET.to_owned()));
    let current = Arc::clone(&secret);
    let client = client(Settings {
        credentials: Arc::new(move || Credentials::Client {
            client_id: "id".to_owned(),
            client_secret: current.lock().unwrap().clone().into(),
        }),
        ..stub.settings()
    });
    for _ in 0..119 {
        let asked = Instant::now();
        let Err(UpstreamError::Credentials(told)) = ask(&client, 30).await else {
            panic!("not refused");
        };
        assert_eq!(told.code.as_deref(), Some("invalid_client"));
        assert!(asked.elapsed() < ms(10));
        sleep(ms(1_000)).await;
    }
    assert_eq!((stub.mints(), stub.calls()), (2, 0), "one a minute");
    assert_eq!(client.health().token, TokenState::Refused);
    "new".clone_into(&mut secret.lock().unwrap());
    ask(&client, 30).await.unwrap();
    assert_eq!(stub.mints(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_mint_is_shared_and_not_repeated_within_a_second() {
    let stub = Stub::start(|_| answer(503, "").after(ms(300)), |_| empty()).await;
    let client = client(Settings {
        max_attempts: 1,
        ..stub.settings()
    });
    let answers = join_all((0..100).map(|_| ask(&client, 30))).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(UpstreamError::Unavailable { .. })))
    );
    assert!(ask(&client, 30).await.is_err());
    assert_eq!(stub.mints(), 1);
    sleep(ms(1_000)).await;
    assert!(ask(&client, 30).await.is_err());
    assert_eq!((stub.mints(), stub.calls()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_login_service_that_recovers_is_asked_again_on_behalf_of_who_waits() {
    let stub = Stub::start(
        |asked| match asked.before {
            0 => answer(503, "<html>"),
            1 => answer(429, "").with("Retry-After", "4"),
            number => granted(number),
        },
        |_| empty(),
    )
    .await;
    let asked = Instant::now();
    ask(&stub.client(), 30).await.unwrap();
    assert_eq!(stub.mints(), 3);
    assert!(
        (ms(5_000)..ms(5_500)).contains(&asked.elapsed()),
        "{:?}",
        asked.elapsed()
    );
}

// ---- throttling, budget, breaker, deadlines

#[tokio::test(start_paused = true)]
async fn a_429_is_waited_out_exactly_by_everybody() {
    let message = r#"{"message": "Rate limit exceeded the maximum. Retry the request in [42] seconds", "code": "too.many.requests.retry.after"}"#;
    for (header, body, wait) in [
        (Some("7"), "", ms(7_000)),
        (Some("0"), "", ms(0)),
        (Some("Tue, 10 Mar 2026 12:00:09 GMT"), "", ms(9_000)),
        (Some("Tue, 10 Mar 2026 11:00:00 GMT"), "", ms(0)),
        (Some("whenever"), message, ms(42_000)),
        (None, message, ms(42_000)),
    ] {
        let stub = Stub::granting(move |asked| {
            if asked.before > 0 {
                return empty();
            }
            let refusal = answer(429, body);
            match header {
                Some(value) => refusal.with("Retry-After", value),
                None => refusal,
            }
        })
        .await;
        let client = stub.client();
        let asked = Instant::now();
        let (first, second) = tokio::join!(ask(&client, 60), async {
            sleep(ms(5)).await;
            ask(&client, 60).await
        });
        assert_eq!(first.unwrap().upstream_calls, 2);
        second.unwrap();
        let calls = stub.api.lock().unwrap().clone();
        assert_eq!(calls.len(), 3);
        for call in &calls[1..] {
            let waited = *call - asked;
            assert!((wait..wait + ms(10)).contains(&waited), "{header:?}: waited {waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_that_asks_for_more_than_there_is_time_for_is_told_at_once() {
    let stub = Stub::granting(|asked| {
        if asked.before == 0 {
            answer(429, r#"{"code": "too.many.requests.retry.after"}"#).with("Retry-After", "42")
        } else {
            empty()
        }
    })
    .await;
    let client = stub.client();
    let asked = Instant::now();
    for _ in 0..2 {
        let Err(UpstreamError::Budget { retry_after, .. }) = ask(&client, 30).await else {
            panic!("not told");
        };
        assert_eq!(retry_after.as_secs(), if stub.calls() == 1 { 42 } else { 0 });
    }
    assert!(asked.elapsed() < ms(10));
    assert_eq!(
        (stub.calls(), client.quota().gate_closed_for.as_secs_f64().ceil()),
        (1, 42.0)
    );
    sleep(ms(42_000)).await;
    ask(&client, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_minute_sees_more_requests_than_the_limit_retries_included() {
    let stub = Stub::granting(|asked| {
        if asked.before % 10 == 3 {
            answer(503, "")
        } else {
            empty().after(ms(70))
        }
    })
    .await;
    let client = client(Settings {
        requests_per_minute: Some(100),
        concurrency: 20,
        ..stub.settings()
    });
    let answers = join_all((0..350).map(|_| ask(&client, 600))).await;
    assert!(answers.iter().all(Result::is_ok));
    let calls = stub.api.lock().unwrap().clone();
    assert!(
        calls
            .windows(101)
            .all(|stretch| stretch[100] - stretch[0] >= Duration::from_mins(1))
    );
    assert_eq!(
        calls.len(),
        answers
            .iter()
            .map(|slice| slice.as_ref().unwrap().upstream_calls as usize)
            .sum::<usize>()
    );
}

/// Each is set to a third of what the platform allows by the minute of its clock, and for ten minutes more is wanted.
#[tokio::test(start_paused = true)]
async fn three_replicas_use_the_quota_they_share_and_are_never_refused() {
    const MINUTES: u64 = 10;
    const ALLOWED: usize = 60;
    let (start, minutes) = (Instant::now(), Arc::new(Mutex::new(HashMap::<u64, usize>::new())));
    let counted = Arc::clone(&minutes);
    let stub = Stub::granting(move |asked| {
        let mut minutes = counted.lock().unwrap();
        let count = minutes.entry((asked.at - start).as_secs() / 60).or_default();
        *count += 1;
        if *count > ALLOWED {
            answer(429, "").with("Retry-After", "60")
        } else {
            empty()
        }
    })
    .await;
    let replicas: Vec<Client> = (0..3)
        .map(|_| {
            client(Settings {
                requests_per_minute: Some(20),
                ..stub.settings()
            })
        })
        .collect();
    let pressing = replicas.iter().flat_map(|replica| {
        (0..8).map(move |_| async move {
            while start.elapsed() < Duration::from_mins(MINUTES) {
                ask(replica, 300).await.unwrap();
            }
        })
    });
    join_all(pressing).await;
    let minutes = minutes.lock().unwrap();
    assert!(minutes.values().all(|count| *count <= ALLOWED), "{minutes:?}");
    let used: usize = (0..MINUTES).filter_map(|minute| minutes.get(&minute)).sum();
    assert!(used as f64 >= 0.95 * MINUTES as f64 * ALLOWED as f64, "{minutes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_met_with_few_retries_and_then_with_an_open_circuit() {
    let stub = Stub::granting(|_| answer(503, "").after(ms(5))).await;
    let client = stub.client();
    let started = Instant::now();
    let mut open = 0;
    for _ in 0..6_000 {
        let asked = Instant::now();
        match ask(&client, 5).await {
            Err(UpstreamError::CircuitOpen { retry_after }) if asked.elapsed() < ms(5) => {
                assert!(retry_after <= Duration::from_mins(1));
                open += 1;
            }
            Err(_) => {}
            Ok(_) => panic!("answered"),
        }
        sleep(ms(10)).await;
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    assert!(open > 5_900, "{open} refused at once");
    assert!((stub.calls() as f64) < 20.0 * minutes, "{} calls", stub.calls());
    assert!(matches!(client.health().breaker, BreakerState::Open { .. }));
}

/// Four of five attempts fail, so that the circuit stays closed and only the budget of retries holds them back.
#[tokio::test(start_paused = true)]
async fn retries_stay_within_a_fifth_of_the_requests_and_ten_a_second() {
    let stub = Stub::granting(|asked| {
        if asked.before % 5 == 4 {
            empty()
        } else {
            answer(503, "")
        }
    })
    .await;
    let client = stub.client();
    ask(&client, 30).await.ok();
    let (before, seconds, each_second) = (stub.calls(), 20, 100);
    for _ in 0..seconds * each_second {
        let client = client.clone();
        tokio::spawn(async move { ask(&client, 30).await });
        sleep(ms(10)).await;
    }
    sleep(ms(10_000)).await;
    let (requests, attempts) = (seconds * each_second, stub.calls() - before);
    assert_eq!(client.health().breaker, BreakerState::Closed);
    let most = requests + requests / 5 + 10 * (seconds + 10);
    assert!(
        (requests + requests / 10..=most).contains(&attempts),
        "{attempts} attempts"
    );
}

/// A batch that fails together does not come back together.
#[tokio::test(start_paused = true)]
async fn retries_are_spread() {
    let stub = Stub::granting(|asked| {
        if asked.before % 2 == 0 && asked.before < 100 {
            answer(503, "")
        } else {
            empty()
        }
    })
    .await;
    let client = stub.client();
    let asked = Instant::now();
    join_all((0..100).map(|_| ask(&client, 30))).await;
    let calls = stub.api.lock().unwrap().clone();
    let retries: Vec<u128> = calls[100..].iter().map(|at| (*at - asked).as_millis()).collect();
    assert!(retries.len() >= 10, "{}", retries.len());
    for at in &retries {
        let together = retries.iter().filter(|other| *other == at).count();
        assert!(
            together * 5 <= retries.len().max(20),
            "{together} of {} at {at} ms",
            retries.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_good_probe_closes_the_circuit() {
    let healthy = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&healthy);
    let stub = Stub::granting(move |_| {
        if back.load(Ordering::Relaxed) {
            empty()
        } else {
            answer(502, "<html>")
        }
    })
    .await;
    let client = stub.client();
    while !matches!(ask(&client, 30).await, Err(UpstreamError::CircuitOpen { .. })) {}
    assert_eq!(stub.calls(), 5);
    healthy.store(true, Ordering::Relaxed);
    assert!(ask(&client, 30).await.is_err());
    sleep(ms(1_000)).await;
    ask(&client, 30).await.unwrap();
    assert_eq!(client.health().breaker, BreakerState::Closed);
    assert_eq!(stub.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn statuses_are_retried_as_the_policy_says_and_explained() {
    for (status, calls) in [
        (400, 1),
        (403, 1),
        (404, 1),
        (413, 1),
        (500, 2),
        (502, 3),
        (503, 3),
        (504, 3),
        (408, 3),
        (302, 1),
    ] {
        let stub = Stub::granting(move |_| {
            answer(
                status,
                r#"{"message": "secret host api.internal.example", "code": "some.code", "status": 1}"#,
            )
            .with("Location", "http://127.0.0.1:1/")
        })
        .await;
        let error = ask(&stub.client(), 30).await.unwrap_err();
        assert_eq!(stub.calls(), calls, "{status}");
        assert_eq!(error.told().unwrap().status, Some(status));
        assert_eq!(error.told().unwrap().correlation_id.as_deref(), Some("c-1"));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("internal") && !shown.contains("127.0.0.1"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline() {
    let stub = Stub::granting(|_| answer(503, "").after(ms(1_300))).await;
    let client = stub.client();
    let errand = within(3);
    let deadline = errand.deadline();
    let error = client.aggregates(&aggregate_query(), &errand).await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::Timeout(_) | UpstreamError::Unavailable { .. }),
        "{error:?}"
    );
    // What was sent before is let finish.
    assert!(Instant::now() <= deadline + ms(1_305));
    let calls = stub.calls();
    sleep(ms(10_000)).await;
    assert_eq!(stub.calls(), calls);
    assert!(stub.api.lock().unwrap().iter().all(|call| *call < deadline));
    assert!(matches!(
        client.aggregates(&aggregate_query(), &within(0)).await,
        Err(UpstreamError::Timeout(_))
    ));
}

/// The answer comes after the caller has left; it is paid for, so it is not thrown away.
#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_deadline_is_let_finish() {
    let stub = Stub::granting(|_| empty().after(ms(5_000))).await;
    let client = stub.client();
    let asked = Instant::now();
    assert_eq!(ask(&client, 1).await.unwrap().upstream_calls, 1);
    assert_eq!(asked.elapsed().as_secs(), 5);
}

/// Somebody with more time joins while it is tried again.
#[tokio::test(start_paused = true)]
async fn whoever_joins_an_errand_prolongs_it() {
    let stub = Stub::granting(|asked| {
        let failing = if asked.before < 2 { answer(503, "") } else { empty() };
        failing.after(ms(800))
    })
    .await;
    let client = stub.client();
    let errand = within(1);
    let later = async {
        sleep(ms(500)).await;
        errand.join(&within(30));
    };
    let query = aggregate_query();
    let (answered, ()) = tokio::join!(client.aggregates(&query, &errand), later);
    assert_eq!(answered.unwrap().upstream_calls, 3);
}

#[tokio::test(start_paused = true)]
async fn a_429_that_names_the_quota_lowers_it_and_one_that_names_another_limit_does_not() {
    let limit =
        |key: &str, value: u32| json!({"limit": {"key": key, "namespace": "platform.api", "value": value}}).to_string();
    for (body, allowed, in_force) in [
        (limit("client.credentials.token.rate.per.minute", 180), 180, 90),
        (limit("client.credentials.token.rate.per.minute", 600), 300, 150),
        (limit("details.jobs.rate.per.second", 1), 300, 300),
        (String::new(), 300, 150),
    ] {
        let refusal = body.clone();
        let stub = Stub::granting(move |asked| {
            if asked.before == 0 {
                answer(429, &refusal).with("Retry-After", "1")
            } else {
                empty()
            }
        })
        .await;
        let client = client(Settings {
            requests_per_minute: None,
            ..stub.settings()
        });
        ask(&client, 30).await.unwrap();
        let quota = client.quota();
        assert_eq!((quota.allowed, quota.limit), (allowed, in_force), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_organisations_own_limit_is_learned() {
    let stub = Stub::granting(|_| {
        ok(&json!({"entities": [
            {"key": "request.bytes.max", "namespace": "platform.api", "value": 512_000},
            {"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 450},
        ]}))
    })
    .await;
    let client = client(Settings {
        requests_per_minute: None,
        ..stub.settings()
    });
    let quota = client.quota();
    assert_eq!((quota.allowed, quota.source), (300, LimitSource::Default));
    client.learn_limit(&within(30)).await.unwrap();
    let quota = client.quota();
    assert_eq!(
        (quota.allowed, quota.limit, quota.source),
        (450, 450, LimitSource::Organisation)
    );
}

/// The login service is another host, with a circuit of its own.
#[tokio::test(start_paused = true)]
async fn a_login_service_that_keeps_failing_is_left_alone_with_pauses_up_to_ten_seconds() {
    let stub = Stub::start(|_| answer(503, ""), |_| empty()).await;
    let client = stub.client();
    let started = Instant::now();
    let mut refused = 0;
    while started.elapsed() < Duration::from_mins(10) {
        let asked = Instant::now();
        match ask(&client, 5).await {
            Err(UpstreamError::CircuitOpen { retry_after }) => {
                assert!(retry_after <= Duration::from_secs(10));
                refused += u32::from(asked.elapsed() < ms(5));
            }
            Err(_) => {}
            Ok(_) => panic!("answered"),
        }
        sleep(ms(500)).await;
    }
    assert!(refused > 1_000, "{refused} refused at once");
    // Five, then after 1, 2, 4, 8 and every 10 seconds.
    assert!((50..=75).contains(&stub.mints()), "{} mints", stub.mints());
    let health = client.health();
    assert!(matches!(health.login_breaker, BreakerState::Open { .. }));
    assert_eq!((health.breaker, stub.calls()), (BreakerState::Closed, 0));
}

/// However large the answers and however many at once, they take no more room than there is; who has no place is told.
#[tokio::test(start_paused = true)]
async fn answers_take_no_more_room_than_there_is() {
    let padding = " ".repeat(5 << 20);
    let stub = Stub::granting(move |_| {
        let mut large = empty();
        large.body = format!("{padding}{}", large.body);
        large.after(ms(100))
    })
    .await;
    let client = client(Settings {
        memory_bytes: 8 << 20,
        ..stub.settings()
    });
    let answers = join_all((0..40).map(|_| ask(&client, 30))).await;
    let told = answers
        .iter()
        .filter(|answer| matches!(answer, Err(UpstreamError::Memory)))
        .count();
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(told + served, 40);
    assert!(served >= 10 && told > 0, "{served} served");
    ask(&client, 30).await.unwrap();
}

// ---- faults of the connection

/// A server that reads a request, writes `bytes` a piece at a time, and closes or falls silent.
async fn raw_server(pieces: Vec<Vec<u8>>, pause: Duration, then_silent: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (pieces, counted) = (pieces.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                if read == 0 {
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                for piece in pieces {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                }
                if then_silent {
                    sleep(Duration::from_secs(100_000)).await;
                }
            });
        }
    });
    (url, requests)
}

fn gzip_cut_short() -> Vec<u8> {
    // The gzip of `{"results": []}`, without its last nine bytes.
    let zipped = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xab, 0x56, 0x2a, 0x4a, 0x2d, 0x2e,
    ];
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        zipped.len()
    )
    .into_bytes();
    bytes.extend(zipped);
    bytes
}

#[tokio::test(start_paused = true)]
async fn broken_answers_are_errors_within_the_attempts_allowed() {
    let login = Stub::granting(|_| empty()).await;
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    let trickle = std::iter::once(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec())
        .chain((0..1000).map(|_| b" ".to_vec()))
        .collect();
    for (what, pieces, pause, silent, sends) in [
        (
            "short body",
            text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"results\":"),
            ms(0),
            false,
            3,
        ),
        (
            "missing last chunk",
            text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nf\r\n{\"results\": []}\r\n"),
            ms(0),
            false,
            3,
        ),
        (
            "html",
            text("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"),
            ms(0),
            false,
            3,
        ),
        ("not http", text("SSH-2.0-OpenSSH_9.9\r\n\r\n"), ms(0), false, 3),
        ("cut gzip", vec![gzip_cut_short()], ms(0), false, 3),
        ("one byte a second", trickle, ms(1_000), false, 3),
        (
            "silence after the head",
            text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"),
            ms(0),
            true,
            3,
        ),
        ("black hole", Vec::new(), ms(0), true, 3),
        // One more, free of charge: it might have been a connection that idled too long.
        ("closed without a word", Vec::new(), ms(0), false, 4),
    ] {
        let (url, requests) = raw_server(pieces, pause, silent).await;
        let client = client(Settings {
            api_url: url,
            ..login.settings()
        });
        let asked = Instant::now();
        let error = ask(&client, 300).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Unavailable { .. } | UpstreamError::Timeout(_)),
            "{what}: {error:?}"
        );
        assert_eq!(requests.load(Ordering::Relaxed), sends, "{what}");
        assert!(
            asked.elapsed() < Duration::from_secs(3 * 20 + 1),
            "{what}: {:?}",
            asked.elapsed()
        );
        let shown = format!("{error:?}");
        assert!(!shown.contains("127.0.0.1"), "{what}: {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_upstream_is_unavailable() {
    let login = Stub::granting(|_| empty()).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let error = ask(
        &client(Settings {
            api_url,
            ..login.settings()
        }),
        30,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_holds_up_nobody() {
    let stub = Stub::granting(|_| empty().after(ms(100))).await;
    let client = client(Settings {
        requests_per_minute: Some(1),
        concurrency: 1,
        ..stub.settings()
    });
    ask(&client, 30).await.unwrap();
    let (query, errand) = (aggregate_query(), within(600));
    let stalled = client.aggregates(&query, &errand);
    pin_mut!(stalled);
    // First in line, and then never polled again.
    assert!(tokio::time::timeout(ms(10), &mut stalled).await.is_err());
    ask(&client, 300).await.unwrap();
    assert!(stalled.await.is_ok());
}

// ---- conversations

/// A list of conversations that can change while it is read.
struct Listing {
    ids: Mutex<Vec<usize>>,
    total_hits: Box<dyn Fn(usize) -> usize + Send + Sync>,
}

fn conversation(id: usize, day: &str) -> Value {
    let start: Timestamp = format!("{day}T00:00:00.000Z").parse().unwrap();
    let start = start + jiff::SignedDuration::from_millis(i64::try_from(id).unwrap());
    json!({"conversationId": format!("c{id:06}"), "conversationStart": format!("{start:.3}"), "participants": []})
}

impl Listing {
    fn of(count: usize) -> Arc<Self> {
        Self::estimated(count, |count| count)
    }

    fn estimated(count: usize, total_hits: impl Fn(usize) -> usize + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            // Even numbers, so that others can come in between.
            ids: Mutex::new((0..count).map(|number| 2 * number).collect()),
            total_hits: Box::new(total_hits),
        })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let ids = self.ids.lock().unwrap();
        let day = &asked.body["interval"].as_str().unwrap()[..10];
        let page: Vec<Value> = ids
            .chunks(100)
            .nth(asked.page() - 1)
            .unwrap_or_default()
            .iter()
            .map(|id| conversation(*id, day))
            .collect();
        let total_hits = (self.total_hits)(ids.len());
        if page.is_empty() {
            ok(&json!({"totalHits": total_hits}))
        } else {
            ok(&json!({"totalHits": total_hits, "conversations": page}))
        }
    }
}

const SETTLED: (&str, &str) = ("2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z");
const TODAY: (&str, &str) = ("2026-03-10T08:00:00Z", "2026-03-10T09:00:00Z");

fn conversation_query((start, end): (&str, &str)) -> ConversationQuery {
    ConversationQuery {
        range: range(start, end),
        filter: Filter::default(),
    }
}

/// Reads everything: ids in the order they came, and the calls accounted for.
async fn read_all(client: &Client, days: (&str, &str)) -> Result<(Vec<String>, usize), UpstreamError> {
    let pages: Vec<ConversationPage> = client
        .conversations(&conversation_query(days), within(600), within(600))
        .try_collect()
        .await?;
    let ids = pages
        .iter()
        .flat_map(|page| &page.conversations)
        .map(|conversation| conversation.id.to_string());
    Ok((
        ids.collect(),
        pages.iter().map(|page| page.upstream_calls as usize).sum(),
    ))
}

fn expected(listing: &Listing) -> BTreeSet<String> {
    listing
        .ids
        .lock()
        .unwrap()
        .iter()
        .map(|id| format!("c{id:06}"))
        .collect()
}

/// Reads a listing through a stub that reacts to every request; checks that each row that stayed came once.
async fn reads_each_once(
    listing: &Arc<Listing>,
    days: (&str, &str),
    react: impl Fn(&Listing, &Asked) + Send + Sync + 'static,
) -> Stub {
    let served = Arc::clone(listing);
    let before = expected(listing);
    let stub = Stub::granting(move |asked| {
        react(&served, asked);
        served.answer(asked)
    })
    .await;
    let (ids, calls) = read_all(&stub.client(), days).await.unwrap();
    let unique: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "doubled");
    let stayed: BTreeSet<String> = expected(listing).intersection(&before).cloned().collect();
    let missing: Vec<_> = stayed.difference(&unique).collect();
    assert!(missing.is_empty(), "lost {missing:?}");
    // A page no longer wanted may be given up between being counted and being sent.
    assert!(
        (stub.calls()..=stub.calls() + 1).contains(&calls),
        "{calls} of {}",
        stub.calls()
    );
    stub
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pages_are_read_together() {
    for page_concurrency in [1, 8, 9, 16] {
        let listing = Listing::of(10_000);
        let served = Arc::clone(&listing);
        let latency = ms(150);
        let in_flight = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let counted = Arc::clone(&in_flight);
        let stub = Stub::granting(move |asked| {
            let now = counted.0.fetch_add(1, Ordering::Relaxed) + 1;
            counted.1.fetch_max(now, Ordering::Relaxed);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                sleep(ms(149)).await;
                counted.0.fetch_sub(1, Ordering::Relaxed);
            });
            served.answer(asked).after(latency)
        })
        .await;
        let client = client(Settings {
            page_concurrency,
            ..stub.settings()
        });
        let asked = Instant::now();
        let (ids, _) = read_all(&client, SETTLED).await.unwrap();
        let most = latency.mul_f64(1.1) * (1 + 99_u32.div_ceil(u32::try_from(page_concurrency).unwrap()));
        assert!(asked.elapsed() <= most, "{:?} > {most:?}", asked.elapsed());
        assert!(in_flight.1.load(Ordering::Relaxed) <= page_concurrency);
        assert!(ids.is_sorted() && ids.len() == 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_found_whatever_total_hits_says() {
    for (rows, hits, calls) in [
        (0_usize, 0_usize, 1),
        (7, 7, 1),
        (7, 90, 2),
        (100, 100, 2),
        (101, 101, 3),
        (250, 250, 4),
        (250, 150, 4),
        (950, 100, 11),
        (950, 400, 11),
        (250, 2_000, 9),
        (0, 500, 1),
    ] {
        let listing = Listing::estimated(rows, move |_| hits);
        let stub = reads_each_once(&listing, SETTLED, |_, _| ()).await;
        assert!(
            stub.calls() <= calls,
            "{rows} rows, {hits} hits: {} calls",
            stub.calls()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_the_whole_day_oldest_first() {
    let listing = Listing::of(10);
    reads_each_once(&listing, SETTLED, |_, asked| {
        assert_eq!(asked.path, "/api/v2/analytics/conversations/details/query");
        assert_eq!(
            asked.body["interval"],
            "2026-02-01T00:00:00.000Z/2026-02-02T00:00:00.000Z"
        );
        assert_eq!(
            (&asked.body["order"], &asked.body["orderBy"]),
            (&json!("asc"), &json!("conversationStart"))
        );
        assert_eq!(asked.body["paging"]["pageSize"], 100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pages_that_repeat_and_shorten_rows_lose_none() {
    // Page 2 is short of a row that page 1 had already, as the platform does when it stores a row twice.
    let stub = Stub::granting(|asked| {
        let row = |id| conversation(id, "2026-02-01");
        let rows: Vec<Value> = match asked.page() {
            1 => (0..100).map(row).collect(),
            2 => (99..160).map(row).collect(),
            3 => (160..260).map(row).collect(),
            4 => (260..270).map(row).collect(),
            _ => Vec::new(),
        };
        ok(&json!({"conversations": rows, "totalHits": 280}))
    })
    .await;
    let (ids, calls) = read_all(&stub.client(), SETTLED).await.unwrap();
    assert_eq!(ids.len(), 270);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 270);
    // Swept twice for the row seen on two pages.
    assert_eq!(calls, stub.calls());
    assert!(stub.calls() <= 10);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_comes_late_to_a_settled_day_is_found_by_the_repetition_it_causes() {
    let listing = Listing::of(550);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| {
        if asked.before == 3 {
            served.ids.lock().unwrap().insert(50, 99);
        }
        served.answer(asked)
    })
    .await;
    let (ids, _) = read_all(&stub.client(), SETTLED).await.unwrap();
    assert_eq!(ids.len(), 551);
    assert!(ids.contains(&"c000099".to_owned()));
}

/// A row comes in, or one goes, after each possible number of requests: whatever is there all the time is read once.
#[tokio::test(start_paused = true)]
async fn rows_that_move_between_pages_are_neither_lost_nor_doubled() {
    for after in 1..8 {
        let listing = Listing::of(550);
        reads_each_once(&listing, TODAY, move |listing, asked| {
            if asked.before == after {
                listing.ids.lock().unwrap().insert(50, 99);
            }
        })
        .await;
        let listing = Listing::of(550);
        reads_each_once(&listing, TODAY, move |listing, asked| {
            // Never the first: page 1 alone is read before the page whose reading betrays it.
            if asked.before == after + 1 {
                listing.ids.lock().unwrap().remove(50);
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn conversations_that_start_meanwhile_are_no_movement() {
    let listing = Listing::of(550);
    let stub = reads_each_once(&listing, TODAY, |listing, asked| {
        if asked.before < 7 {
            listing.ids.lock().unwrap().push(10_000 + asked.before);
        }
    })
    .await;
    // Seven pages, and the first and the last once more.
    assert_eq!(stub.calls(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_settled_day_is_not_read_again() {
    let listing = Listing::of(550);
    let stub = reads_each_once(&listing, SETTLED, |_, _| ()).await;
    assert_eq!(stub.calls(), 7);
}

#[tokio::test(start_paused = true)]
async fn rows_that_never_stop_moving_are_an_error() {
    let listing = Listing::of(550);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| {
        served.ids.lock().unwrap().insert(10, 1 + 2 * asked.before);
        served.answer(asked)
    })
    .await;
    let error = read_all(&stub.client(), TODAY).await.unwrap_err();
    assert!(error.to_string().contains("kept moving"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn long_ranges_are_cut_into_windows_and_large_ones_halved() {
    // 40 000 conversations a day, of which the stub shows none: only the counts matter here.
    let stub = Stub::granting(|asked| {
        let (start, end) = asked.body["interval"].as_str().unwrap().split_once('/').unwrap();
        let days = end
            .parse::<Timestamp>()
            .unwrap()
            .duration_since(start.parse().unwrap())
            .as_hours()
            / 24;
        ok(&json!({"totalHits": 40_000 * days}))
    })
    .await;
    let client = stub.client();
    let query = conversation_query(("2025-12-01T00:00:00Z", "2026-01-04T00:00:00Z"));
    client
        .conversations(&query, within(600), within(600))
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    // 31 days and three: halved down to two days at most, a tree of 16 leaves for the first and two for the second.
    assert_eq!(stub.calls(), (16 + 15) + (2 + 1));

    let stub = Stub::granting(|_| ok(&json!({"totalHits": 100_001}))).await;
    let error = read_all(&stub.client(), SETTLED).await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Rejected { reason, .. } if reason.contains("100001")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_asks_for_nothing_more_and_a_slow_reader_for_no_more_than_it_may() {
    let listing = Listing::of(5_000);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| served.answer(asked).after(ms(100))).await;
    let client = stub.client();
    let pages = client.conversations(&conversation_query(SETTLED), within(600), within(600));
    let mut pages = Box::pin(pages);
    assert_eq!(stub.calls(), 0, "nothing before it is polled");
    pages.next().await.unwrap().unwrap();
    pages.next().await.unwrap().unwrap();
    sleep(ms(5_000)).await;
    assert!(stub.calls() <= 1 + 8 + 1, "{} calls ahead of the reader", stub.calls());
    drop(pages);
    let calls = stub.calls();
    sleep(ms(5_000)).await;
    assert_eq!(stub.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_for_good_ends_the_stream_with_the_error() {
    let listing = Listing::of(1_000);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| {
        if asked.page() == 7 {
            answer(503, "")
        } else {
            served.answer(asked)
        }
    })
    .await;
    let items: Vec<_> = stub
        .client()
        .conversations(&conversation_query(SETTLED), within(600), within(600))
        .collect()
        .await;
    assert!(items.last().unwrap().is_err());
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn no_page_is_asked_for_after_the_deadline() {
    let listing = Listing::of(10_000);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| served.answer(asked).after(ms(400))).await;
    let errand = within(3);
    let deadline = errand.deadline();
    let items: Vec<_> = stub
        .client()
        .conversations(&conversation_query(SETTLED), errand.clone(), errand)
        .collect()
        .await;
    assert!(matches!(items.last(), Some(Err(UpstreamError::Timeout(_)))));
    sleep(ms(5_000)).await;
    assert!(stub.api.lock().unwrap().iter().all(|call| *call < deadline));
}

// ---- names and check

#[tokio::test(start_paused = true)]
async fn a_listing_is_read_to_its_end_by_number() {
    let stub = Stub::granting(|asked| {
        assert!(
            asked
                .path
                .starts_with("/api/v2/routing/queues?pageSize=100&pageNumber="),
            "{}",
            asked.path
        );
        let number: usize = asked.path.rsplit('=').next().unwrap().parse().unwrap();
        let entities: Vec<Value> = (0..if number <= 4 { 100 } else { 3 })
            .map(|row| json!({"id": format!("{number}-{row}"), "name": format!("Queue {number}-{row}")}))
            .collect();
        // Three are announced; a fourth and a fifth came meanwhile. The pointer leads elsewhere.
        let mut body = json!({"entities": entities, "pageCount": 3});
        if number < 5 {
            body["nextUri"] = json!("http://evil.example/next");
        }
        ok(&body)
    })
    .await;
    let names = stub.client().names(Lookup::Queues, &within(30)).await.unwrap();
    assert_eq!((names.by_id.len(), names.upstream_calls, stub.calls()), (403, 5, 5));
    assert_eq!(names.by_id["5-2"].as_ref(), "Queue 5-2");
}

#[tokio::test(start_paused = true)]
async fn check_tells_what_this_client_may_do() {
    let stub = Stub::granting(|asked| {
        if asked.path.starts_with("/api/v2/routing/queues") {
            let message = "You must have at least one of the following permissions assigned: [routing:queue:view]";
            answer(
                403,
                &json!({"code": "missing.any.permissions", "message": message}).to_string(),
            )
        } else {
            ok(&json!({}))
        }
    })
    .await;
    let checked = stub.client().check(&within(30)).await;
    assert_eq!((checked.len(), stub.calls()), (31, 30));
    let failed: Vec<_> = checked.iter().filter(|checked| checked.outcome.is_err()).collect();
    let [queues] = &failed[..] else { panic!("{failed:?}") };
    assert!(
        matches!(&queues.outcome, Err(UpstreamError::Permission { permissions, .. }) if permissions == &["routing:queue:view"])
    );
    assert_eq!((queues.what, queues.permission), ("queues", "routing:queue:view"));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_page_says_when_it_was_asked_for() {
    let listing = Listing::of(3);
    let served = Arc::clone(&listing);
    let stub = Stub::granting(move |asked| served.answer(asked).after(ms(2_000))).await;
    let client = stub.client();
    yield_now().await;
    let page = Box::pin(client.conversations(&conversation_query(SETTLED), within(30), within(30)))
        .next()
        .await
        .unwrap()
        .unwrap();
    let late = page.fetched_at.duration_since(NOW.parse().unwrap());
    assert!(late < jiff::SignedDuration::from_millis(100), "{late:?}");
}

// ---- bounds and secrets

/// Sixty-six mebibytes of zeros in sixty-six kilobytes.
fn gzip_bomb() -> Vec<u8> {
    const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    // A deflate block whose every two zero bits repeat the last byte 258 times, so far a zero.
    const BLOCK_HEAD: [u8; 15] = [
        0xed, 0xc1, 0x31, 0x1, 0x0, 0x0, 0x0, 0xc2, 0xa0, 0xf5, 0x4f, 0x6d, 0x8, 0x5f, 0xa0,
    ];
    let body = [&GZIP_HEAD[..], &BLOCK_HEAD, &vec![0; 66 * 1024]].concat();
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000\r\n\r\n";
    [head.as_bytes(), &body].concat()
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_large_is_cut_off_while_it_unfolds() {
    let login = Stub::granting(|_| empty()).await;
    let (url, requests) = raw_server(vec![gzip_bomb()], ms(0), true).await;
    let client = client(Settings {
        api_url: url,
        ..login.settings()
    });
    let error = ask(&client, 30).await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Rejected { reason, .. } if reason.contains("larger")),
        "{error:?}"
    );
    assert_eq!(requests.load(Ordering::Relaxed), 1, "asking again would bring the same");
}

/// Everything written at the finest level, and everything told to callers.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_are_in_no_log_and_no_error() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stub = Stub::granting(|asked| match asked.before {
        0 => answer(401, &format!("{SECRET} {TOKEN}")),
        1 => answer(503, SECRET),
        2 => answer(429, SECRET).with("Retry-After", "1"),
        3 => empty(),
        _ => answer(400, &json!({"message": SECRET, "code": "bad.request"}).to_string()),
    })
    .await;
    let client = stub.client();
    ask(&client, 30).await.unwrap();
    let error = ask(&client, 30).await.unwrap_err();
    let refusing = Stub::start(
        |_| {
            answer(
                401,
                &json!({"error": "invalid_client", "description": SECRET}).to_string(),
            )
        },
        |_| empty(),
    )
    .await;
    let refused = ask(&refusing.client(), 30).await.unwrap_err();
    let told = format!("{error} {error:?} {refused} {refused:?} {:?}", client.health());
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("upstream"), "the log was not caught");
    for secret in [SECRET, TOKEN, "aWQ6Y2FuYXJ5"] {
        assert!(!log.contains(secret), "{secret} in the log");
        assert!(!told.contains(secret), "{secret} in an error");
    }
}

// ---- users as they are now

/// So many users, told a hundred at a time.
fn users_told(asked: &Asked, total: usize) -> Answer {
    if asked.path.ends_with("/observations/query") {
        let predicates = asked.body["filter"]["predicates"].as_array().unwrap();
        assert!(predicates.len() <= 100);
        let result = |predicate: &Value| {
            let data = json!([{"metric": "oMemberQueues", "stats": {"count": 2}}]);
            json!({"group": {"userId": predicate["value"]}, "data": data})
        };
        let results: Vec<Value> = predicates.iter().map(result).collect();
        return ok(&json!({ "results": results }));
    }
    let user = |number: usize| {
        let presence = json!([{"startTime": "2026-03-10T11:00:00.000Z", "systemPresence": "AWAY"}]);
        json!({"userId": format!("u{number:04}"), "primaryPresence": presence})
    };
    let page = (asked.page() - 1) * 100..(asked.page() * 100).min(total);
    ok(&json!({"totalHits": total, "userDetails": page.map(user).collect::<Vec<_>>()}))
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_by_the_hundred_unless_they_are_too_many() {
    let everybody = BTreeSet::new();
    // After a full page there is another look.
    for (total, calls) in [(0, 1), (1, 1 + 1), (100, 2 + 1), (250, 3 + 3)] {
        let stub = Stub::granting(move |asked| users_told(asked, total)).await;
        let told = stub
            .client()
            .users_now(&everybody, 250, &within(60))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((told.users.len(), told.upstream_calls as usize), (total, calls));
        assert_eq!(stub.calls(), calls);
        let is_whole = |user: &UserNow| user.presence.is_some() && user.member == Some(2.0);
        assert!(told.users.iter().all(is_whole));
    }
    let stub = Stub::granting(|asked| users_told(asked, 251)).await;
    let refused = stub.client().users_now(&everybody, 250, &within(60)).await.unwrap();
    assert_eq!(refused.unwrap_err(), TooManyUsers { users: 251 });
    assert_eq!(stub.calls(), 1, "the first page says how many there are");
}
