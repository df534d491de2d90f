//! The stage a plan is played on: service, simulated Genesys Cloud and callers in one runtime on paused time.
//!
//! Callers call the service's routes in this process: what stands between a socket and the routes is other tests'. Between
//! the service and the platform the sockets are real, since that is where faults reach below HTTP. The service and the
//! platform keep calendar time by a clock each, so that one can be set without the other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use genesys_reports::{
    api::Api,
    app::App,
    clock::Clock,
    config::{Settings, Sources},
    simulator::{self, Simulator, journal::Entry, organisation::Switches},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    plan::{Ask, DAYS, Plan, Setting, Step},
    question::Question,
    truth::Truth,
};
use crate::support::service::{SECRET, listen};

/// All that came of a plan.
pub(super) struct Evidence {
    pub(super) answers: Vec<Answer>,
    /// Answers to questions of every kind once everything was well again.
    pub(super) recovered: Vec<Answer>,
    pub(super) journal: Vec<Entry>,
    pub(super) truth: Truth,
    pub(super) service_clock: ServiceClock,
    pub(super) rest: Rest,
}

/// What is left when nobody asks any more.
#[derive(Debug)]
pub(super) struct Rest {
    /// Requests sent to the platform although nobody asked.
    pub(super) unasked: usize,
    /// Tasks that did not run before anybody asked.
    pub(super) tasks: usize,
    /// Requests the platform was still busy with.
    pub(super) under_way: usize,
    /// Fetches the service itself counts.
    pub(super) fetches: String,
    /// The most requests at once, of more that could have been.
    pub(super) simultaneous: usize,
}

/// What one caller asked, and what came of it.
#[derive(Debug)]
pub(super) struct Answer {
    /// Callers are numbered in the order they ask.
    pub(super) number: usize,
    pub(super) ask: Ask,
    pub(super) asked_at: Timestamp,
    /// When the caller knew: had the answer's last byte, or left.
    pub(super) known_at: Timestamp,
    pub(super) outcome: Outcome,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The caller left.
    Left,
    /// An answer.
    Came {
        status: StatusCode,
        headers: HeaderMap,
        head_at: Timestamp,
        /// For a 304, what the caller had been given with the tag.
        body: Bytes,
        /// Whether the body came to its end.
        is_whole: bool,
    },
}

/// How far the service's clock is ahead of the platform's, by when.
#[derive(Debug, Default)]
pub(super) struct ServiceClock(Vec<(Timestamp, i64)>);

impl ServiceClock {
    /// What the service's clock showed then, in milliseconds.
    pub(super) fn label(&self, at: Timestamp) -> i64 {
        let steps = self.0.iter().take_while(|(when, _)| *when <= at);
        at.as_millisecond() + steps.map(|(_, by)| by).sum::<i64>()
    }

    /// Whether it was ever set.
    pub(super) fn was_set(&self) -> bool {
        !self.0.is_empty()
    }
}

/// The longest the upstream can silence the service, and a little.
const LONG_SILENCE: Duration = Duration::from_secs(3_700);
/// After which the whole budget is there again.
const BUDGET_WINDOW: Duration = Duration::from_secs(61);

/// Plays a plan.
pub(super) async fn play(seed: u64, plan: &Plan) -> Evidence {
    let stage = Stage::set(seed, &plan.setting);
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let mut service_clock = ServiceClock::default();
    let mut injected = HashMap::new();
    let mut callers = JoinSet::new();
    let mut number = 0;
    let mut next = Instant::now();
    for (pause, step) in &plan.steps {
        next += *pause;
        sleep_until(next).await;
        match step {
            Step::Ask(count, ask) => {
                for _ in 0..*count {
                    number += 1;
                    callers.spawn(stage.clone().ask(number, ask.clone()));
                }
            }
            Step::Trouble(fault) => stage.simulator.push_fault(fault.clone()),
            Step::Calm(latency) => {
                stage.simulator.clear_faults();
                stage.simulator.set_latency(*latency);
            }
            Step::Revoke => stage.simulator.revoke_tokens(),
            Step::SetClock(by) => {
                stage.service_clock.step(*by);
                let by = i64::try_from(by.as_millis()).expect("hours");
                service_clock.0.push((stage.clock.now(), by));
            }
            Step::Late(injection) => {
                let id = stage.simulator.organisation().inject(injection);
                injected.insert(id.expect("there is such a day, queue and user"), stage.clock.now());
            }
        }
    }
    // They come in the order they were answered.
    let mut answers = callers.join_all().await;
    answers.sort_by_key(|answer| answer.number);

    stage.simulator.clear_faults();
    stage.simulator.set_latency(Duration::ZERO);
    sleep(LONG_SILENCE).await;
    let mut recovered = Vec::new();
    for question in Question::every_kind(stage.clock.now()) {
        number += 1;
        recovered.push(stage.clone().ask(number, Ask::plainly(question)).await);
        sleep(BUDGET_WINDOW).await;
    }
    let rest = stage.come_to_rest(tasks_before).await;
    Evidence {
        answers,
        recovered,
        journal: stage.simulator.journal().entries(),
        truth: Truth::of(
            stage.simulator.clone(),
            plan.setting.start,
            stage.clock.now(),
            &injected,
        ),
        service_clock,
        rest,
    }
}

#[derive(Clone)]
struct Stage {
    api: Api,
    simulator: Simulator,
    /// The platform's, and that of callers.
    clock: Clock,
    service_clock: Clock,
    /// By target, what callers were given with which tag.
    tags: Arc<Mutex<HashMap<String, BTreeMap<String, Bytes>>>>,
    _platform: Arc<JoinSet<()>>,
}

impl Stage {
    fn set(seed: u64, setting: &Setting) -> Self {
        let clock = Clock::starting_at(setting.start);
        let service_clock = Clock::starting_at(setting.start);
        let simulator = Simulator::new(simulator::Options {
            seed: 7,
            days: DAYS,
            conversations_per_day: setting.conversations_per_day,
            late_share: 0.3,
            rate_limit: setting.requests_per_minute,
            token_lifetime: setting.token_lifetime,
            client_secret: SECRET.to_owned(),
            switches: Switches {
                repeated_rows: setting.repeated_rows,
                short_pages: setting.short_pages,
                ..Switches::default()
            },
            ..simulator::Options::new(clock.clone())
        });
        let (listener, upstream) = listen();
        let platform = simulator.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { platform.serve(listener, std::future::pending()).await });
        let settings = Settings::load(&Sources {
            environment: environment(setting, &format!("http://{upstream}")),
            ..Sources::default()
        })
        .expect("the settings are right");
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let jitter = move || random.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        let app = App::with_jitter(&settings, service_clock.clone(), Arc::new(jitter));
        Self {
            api: app.expect("the service can be put together").into_api(),
            simulator,
            clock,
            service_clock,
            tags: Arc::default(),
            _platform: Arc::new(tasks),
        }
    }

    async fn ask(self, number: usize, ask: Ask) -> Answer {
        let asked_at = self.clock.now();
        let exchange = self.exchange(&ask);
        let outcome = match ask.patience {
            Some(patience) => timeout(patience, exchange).await.unwrap_or(Outcome::Left),
            None => exchange.await,
        };
        Answer {
            number,
            asked_at,
            known_at: self.clock.now(),
            outcome,
            ask,
        }
    }

    async fn exchange(&self, ask: &Ask) -> Outcome {
        let target = ask.question.target();
        let mut request = Request::get(format!("{target}{}", ask.wishes()));
        if ask.names_tags {
            let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
            let tags = tags.get(&target).into_iter().flat_map(BTreeMap::keys);
            let tags: Vec<&str> = tags.map(String::as_str).collect();
            if !tags.is_empty() {
                request = request.header("if-none-match", tags.join(", "));
            }
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.api.answer(request).await;
        let (head_at, (parts, body)) = (self.clock.now(), response.into_parts());
        let (mut body, is_whole) = read(body).await;
        if let Some(tag) = parts.headers.get("etag") {
            let tag = tag.to_str().expect("tags are ASCII").to_owned();
            let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
            let known = tags.entry(target).or_default();
            if parts.status == StatusCode::NOT_MODIFIED {
                body = known.get(&tag).cloned().unwrap_or_default();
            } else {
                known.insert(tag, body.clone());
            }
        }
        Outcome::Came {
            status: parts.status,
            headers: parts.headers,
            head_at,
            body,
            is_whole,
        }
    }

    /// Waits until nothing can be under way any more and looks what is. Before that, whether every place for requests in
    /// flight is free again: more than there are places ask at once.
    async fn come_to_rest(&self, tasks_before: usize) -> Rest {
        let journal = self.simulator.journal();
        // Past the lifetime of names.
        sleep(LONG_SILENCE).await;
        self.simulator.set_latency(Duration::from_millis(200));
        let before: Vec<Entry> = journal.entries();
        let lookups = ["queues", "wrapup-codes", "divisions", "skills", "flows", "users"];
        let mut callers = JoinSet::new();
        for (number, lookup) in lookups.into_iter().enumerate() {
            callers.spawn(self.clone().ask(number, Ask::plainly(Question::Names(lookup))));
        }
        callers.join_all().await;
        let simultaneous = most_at_once(&journal.entries()[before.len()..]);
        let seen = journal.entries().len();
        sleep(2 * LONG_SILENCE).await;
        Rest {
            unasked: journal.entries().len() - seen,
            tasks: Handle::current().metrics().num_alive_tasks() - tasks_before,
            under_way: journal.under_way(),
            fetches: self.metric("genesys_reports_fetches_under_way").await,
            simultaneous,
        }
    }

    async fn metric(&self, name: &str) -> String {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let response = self.api.answer(request).await;
        let (text, _) = read(response.into_body()).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }
}

fn most_at_once(entries: &[Entry]) -> usize {
    let ends = |entry: &Entry| {
        entry.at.as_millisecond() + i64::try_from(entry.duration.unwrap_or_default().as_millis()).expect("short")
    };
    let api: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_login()).collect();
    let at_once = |moment: i64| {
        let under_way = api
            .iter()
            .filter(|entry| entry.at.as_millisecond() <= moment && moment < ends(entry));
        under_way.count()
    };
    api.iter()
        .map(|entry| at_once(entry.at.as_millisecond()))
        .max()
        .unwrap_or(0)
}

/// What comes of a body, and whether that is all of it.
async fn read(mut body: Body) -> (Bytes, bool) {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => whole.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => return (whole.into(), false),
        }
    }
    (whole.into(), true)
}

fn environment(setting: &Setting, upstream: &str) -> BTreeMap<String, String> {
    [
        ("GENESYS_API_URL", upstream.to_owned()),
        ("GENESYS_LOGIN_URL", upstream.to_owned()),
        ("GENESYS_CLIENT_ID", "simulated-client".to_owned()),
        ("GENESYS_CLIENT_SECRET", SECRET.to_owned()),
        (
            "REPORTS_UPSTREAM__REQUESTS_PER_MINUTE",
            setting.requests_per_minute.to_string(),
        ),
        ("REPORTS_UPSTREAM__CONCURRENCY", setting.concurrency.to_string()),
        (
            "REPORTS_UPSTREAM__PAGE_CONCURRENCY",
            setting.page_concurrency.to_string(),
        ),
        ("REPORTS_UPSTREAM__MAX_ATTEMPTS", MAX_ATTEMPTS.to_string()),
        (
            "REPORTS_SERVER__REQUEST_TIMEOUT_S",
            setting.request_timeout.as_secs().to_string(),
        ),
        ("REPORTS_CACHE__MEMORY_BYTES", setting.memory_bytes.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Attempts of one request, the first included.
pub(super) const MAX_ATTEMPTS: usize = 3;
