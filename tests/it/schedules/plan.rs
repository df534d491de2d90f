//! What happens in a schedule: pure, all of it drawn from the seed.
//!
//! Calm and trouble alternate. In trouble some of the upstream's requests go wrong, in some of the ways the simulator
//! knows; all the while callers ask, alone and in crowds, patiently and not, in steps of nothing to hours.

use std::time::Duration;

use genesys_reports::simulator::{
    faults::{Effect, ErrorBody, Fault, Garbage, StatusAnswer},
    organisation::Injection,
};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::question::Question;

/// A schedule.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) setting: Setting,
    /// In order, each so long after the one before.
    pub(super) steps: Vec<(Duration, Step)>,
}

/// How the service and the platform are set up.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) start: Timestamp,
    pub(super) requests_per_minute: u32,
    pub(super) concurrency: u32,
    pub(super) page_concurrency: u32,
    pub(super) request_timeout: Duration,
    pub(super) memory_bytes: u32,
    pub(super) token_lifetime: Duration,
    pub(super) conversations_per_day: u32,
    pub(super) repeated_rows: bool,
    pub(super) short_pages: bool,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// So many callers ask the same at once.
    Ask(usize, Ask),
    /// From now on this goes wrong, below what goes wrong already.
    Trouble(Fault),
    /// Nothing goes wrong any more, and answers take this long.
    Calm(Duration),
    /// The platform ends every token.
    Revoke,
    /// Somebody sets the service's clock.
    SetClock(SignedDuration),
    /// Something is told late: a call of up to two days ago.
    Late(Injection),
}

/// What a caller wants.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) question: Question,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    /// Seconds.
    pub(super) max_stale: Option<u64>,
    pub(super) takes_stale: bool,
    /// Leaves when there is no answer by then.
    pub(super) patience: Option<Duration>,
    /// Names the tags of earlier answers to the same.
    pub(super) names_tags: bool,
}

/// Whole UTC days with data before the first.
pub(super) const DAYS: u32 = 3;

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let setting = Setting::any(&mut random);
        let mut steps = Vec::new();
        let mut now = setting.start;
        let sets_clock = random.random_bool(0.25);
        let mut is_calm = true;
        let count = random.random_range(25..50);
        for _ in 0..count {
            let pause = any_pause(&mut random);
            now += SignedDuration::try_from(pause).expect("hours");
            let step = match random.random_range(0..100) {
                0..12 => {
                    is_calm = false;
                    Step::Trouble(any_fault(&mut random, now))
                }
                12..20 if !is_calm => {
                    is_calm = true;
                    Step::Calm(any_latency(&mut random))
                }
                20..23 => Step::Revoke,
                23..26 if sets_clock => Step::SetClock(any_clock_step(&mut random)),
                26..32 => Step::Late(any_late_call(&mut random, now)),
                _ => {
                    let ask = Ask::any(&mut random, now);
                    // Streams are nobody else's: a crowd of them tells no more than a few.
                    let crowd = if ask.question.is_streamed() { 2 } else { 12 };
                    let callers = if random.random_bool(0.08) { crowd } else { 1 };
                    Step::Ask(callers, ask)
                }
            };
            steps.push((pause, step));
        }
        Self { setting, steps }
    }
}

impl Setting {
    fn any(random: &mut StdRng) -> Self {
        // A Thursday: people work on this day and the three before it.
        let midnight: Timestamp = "2023-11-30T00:00:00Z".parse().expect("an instant");
        let into_the_day = SignedDuration::from_millis(random.random_range(0..24 * 3_600_000));
        Self {
            start: midnight + into_the_day,
            requests_per_minute: pick(random, &[12, 40, 300]),
            concurrency: pick(random, &[2, 4, 16]),
            page_concurrency: pick(random, &[1, 2, 10]),
            request_timeout: Duration::from_secs(pick(random, &[3, 10, 30])),
            memory_bytes: pick(random, &[3 << 20, 256 << 20, 256 << 20]),
            token_lifetime: Duration::from_secs(pick(random, &[90, 3_600, 24 * 3_600])),
            // The days that are asked for together are then more than a page, or less.
            conversations_per_day: pick(random, &[32, 10, 10]),
            repeated_rows: random.random_bool(0.3),
            short_pages: random.random_bool(0.3),
        }
    }
}

impl Ask {
    fn any(random: &mut StdRng, now: Timestamp) -> Self {
        let sometimes =
            |random: &mut StdRng, chance: f64, values: &[u64]| random.random_bool(chance).then(|| pick(random, values));
        Self {
            question: Question::any(random, now),
            max_age: sometimes(random, 0.2, &[0, 5, 60, 3_600]),
            max_stale: sometimes(random, 0.15, &[0, 30, 600, 100_000]),
            takes_stale: random.random_bool(0.8),
            patience: sometimes(random, 0.15, &[1, 200, 1_500, 8_000]).map(Duration::from_millis),
            names_tags: random.random_bool(0.3),
        }
    }

    /// What it says beside the question.
    pub(super) fn wishes(&self) -> String {
        let seconds =
            |name: &str, value: Option<u64>| value.map(|value| format!("&{name}={value}")).unwrap_or_default();
        let on_error = if self.takes_stale { "" } else { "&on_error=fail" };
        let (max_age, max_stale) = (seconds("max_age", self.max_age), seconds("max_stale", self.max_stale));
        format!("{max_age}{max_stale}{on_error}")
    }

    /// The same by anybody who takes what there is.
    pub(super) fn plainly(question: Question) -> Self {
        Self {
            question,
            max_age: None,
            max_stale: None,
            takes_stale: true,
            patience: None,
            names_tags: false,
        }
    }
}

fn any_pause(random: &mut StdRng) -> Duration {
    let most_ms = match random.random_range(0..100) {
        0..30 => return Duration::ZERO,
        30..55 => 3_000,
        55..75 => 60_000,
        75..92 => 15 * 60_000,
        _ => 3 * 3_600_000,
    };
    Duration::from_millis(random.random_range(1..most_ms))
}

fn any_latency(random: &mut StdRng) -> Duration {
    Duration::from_millis(pick(random, &[0, 0, 40, 700, 2_000]))
}

fn any_clock_step(random: &mut StdRng) -> SignedDuration {
    let most_ms = pick(random, &[2_000, 90_000, 2 * 3_600_000]);
    SignedDuration::from_millis(random.random_range(-most_ms..most_ms))
}

/// A call whose time has not settled yet, all of it over.
fn any_late_call(random: &mut StdRng, now: Timestamp) -> Injection {
    let ago = random.random_range(1_800_000..40 * 3_600_000);
    Injection::Call {
        start: now - SignedDuration::from_millis(ago),
        queue: random.random_range(0..8),
        user: random.random_range(0..40),
        wait_ms: random.random_range(0..60_000),
        talk_ms: random.random_range(1_000..600_000),
        wrap_up_ms: random.random_range(1_000..120_000),
    }
}

fn any_fault(random: &mut StdRng, now: Timestamp) -> Fault {
    let fault = Fault::new(any_effect(random, now));
    let fault = match random.random_range(0..100) {
        0..15 => fault.on_login(),
        15..40 => fault.on_api(),
        40..60 => fault.on_path("/api/v2/analytics/conversations/aggregates"),
        60..75 => fault.on_path("/api/v2/analytics/conversations/details"),
        75..85 => {
            // A page that fails for good, whatever becomes of the others.
            let fault = fault.on_path("/api/v2/analytics/conversations/details");
            return fault.on_body("/paging/pageNumber", random.random_range(1..4));
        }
        85..90 => fault.on_path("/api/v2/analytics/queues"),
        90..95 => fault.on_path("/api/v2/routing"),
        _ => fault,
    };
    match random.random_range(0..100) {
        0..40 => fault.times(random.random_range(1..6)),
        40..55 => fault.nth(random.random_range(1..5)),
        55..85 => {
            let chance = pick(random, &[0.2, 0.5, 0.9]);
            let seed = random.random();
            fault.sometimes(chance, seed)
        }
        _ => fault,
    }
}

fn any_effect(random: &mut StdRng, now: Timestamp) -> Effect {
    match random.random_range(0..100) {
        0..25 => Effect::Status(any_refusal(random)),
        25..45 => Effect::Status(StatusAnswer {
            status: 429,
            retry_after: any_retry_after(random, now),
            ..StatusAnswer::default()
        }),
        45..55 => Effect::Delay {
            ms: random.random_range(1..40_000),
        },
        55..65 => Effect::Cut {
            after_bytes: random.random_range(0..5_000),
            chunked: random.random_bool(0.5),
        },
        65..75 => Effect::Reset {
            after_bytes: random.random_bool(0.5).then(|| random.random_range(0..5_000)),
        },
        75..87 => Effect::Garbage {
            kind: pick(
                random,
                &[
                    Garbage::Html,
                    Garbage::BrokenJson,
                    Garbage::WrongJson,
                    Garbage::TruncatedGzip,
                    Garbage::Empty,
                ],
            ),
        },
        87..94 => Effect::Trickle {
            bytes_per_second: pick(random, &[1, 200, 20_000]),
        },
        _ => Effect::BlackHole,
    }
}

fn any_refusal(random: &mut StdRng) -> StatusAnswer {
    StatusAnswer {
        status: pick(
            random,
            &[400, 401, 403, 404, 408, 500, 500, 502, 503, 503, 503, 504, 302, 599],
        ),
        retry_after: random
            .random_bool(0.2)
            .then(|| pick(random, &["1", "5", "120"]).to_owned()),
        body: pick(random, &[ErrorBody::Json, ErrorBody::Html, ErrorBody::Empty]),
        ..StatusAnswer::default()
    }
}

/// In every form there is, nonsense included.
fn any_retry_after(random: &mut StdRng, now: Timestamp) -> Option<String> {
    let date = |seconds: i64| {
        let at = now + SignedDuration::from_secs(seconds);
        Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
    };
    match random.random_range(0..9) {
        0..2 => Some(random.random_range(1..20).to_string()),
        2 => Some("0".to_owned()),
        3 => Some("61".to_owned()),
        4 => Some("99999".to_owned()),
        5 => date(random.random_range(1..90)),
        6 => date(-3_600),
        7 => Some("soon".to_owned()),
        _ => None,
    }
}

fn pick<T: Clone>(random: &mut StdRng, values: &[T]) -> T {
    values.choose(random).expect("there is something to choose").clone()
}
