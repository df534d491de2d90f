//! The numbers are right: for random questions the service answers what counting the simulator's raw events by
//! hand gives.
//!
//! [`question`] makes the questions, [`figures`], [`listing`] and [`others`] count; none knows the service's own code nor the
//! simulator's aggregates. What a bucket, a group, a metric is stands here a third time. `ORACLE_CASES` asks for more
//! questions a test than the default, `ORACLE_SEED` for those of a run that failed (it prints its seed).

mod figures;
mod listing;
mod others;
mod question;

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use jiff::{Timestamp, ToSpan};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::support::service::{Answer, Service, Setup};
use genesys_reports::{clock::Clock, simulator};

use self::question::Question;

/// Data over the ends of summer time in Berlin, New York and on Lord Howe Island.
#[tokio::test(start_paused = true)]
async fn figures_over_the_autumn() {
    figures_are_right("2023-11-20T09:17:23.456Z", 60).await;
}

/// Data over the beginnings.
#[tokio::test(start_paused = true)]
async fn figures_over_the_spring() {
    figures_are_right("2024-04-12T22:41:02.018Z", 45).await;
}

#[tokio::test(start_paused = true)]
async fn conversations_over_the_autumn() {
    let (service, mut random) = start("2023-11-20T09:17:23.456Z", 60).await;
    for case in 0..cases(40) {
        let wanted = listing::Wanted::any(&mut random, service.clock.now(), 60);
        let context = format!("case {case}: {wanted:?}");
        listing::check(&service, &wanted, &mut random, &context).await;
        let pause = random.random_range(0..3_600);
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn kpis_of_flows_surveys_and_users() {
    let (service, mut random) = start("2023-11-20T09:17:23.456Z", 60).await;
    let mut rows = 0;
    for case in 0..cases(60) {
        rows += others::check(&service, &mut random, 60, case).await;
        let pause = random.random_range(0..3_600);
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    assert!(rows > 100, "{rows}");
}

/// All of them are among the questions.
#[tokio::test(start_paused = true)]
async fn every_kpi_is_counted_by_hand() {
    let catalog = Service::start().await.get("/v1/catalog").await.json();
    let kpis = catalog["kpis"].as_array().unwrap().iter();
    let listed: BTreeSet<&str> = kpis
        .flat_map(|kpi| kpi["columns"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    let counted = question::KPIS.iter().map(|kpi| kpi.name);
    assert_eq!(listed, counted.chain(others::kpis().map(|kpi| kpi.name)).collect());
}

async fn figures_are_right(now: &str, days: u32) {
    let (service, mut random) = start(now, days).await;
    let facts = figures::Facts::of(&service);
    for case in 0..cases(200) {
        let question = Question::any(&mut random, service.clock.now(), days, &facts);
        let (before, answer) = (service.clock.now(), ask(&service, &question, &mut random).await);
        let context = format!("case {case}: {}\n{}", question.body, answer.text());
        assert_eq!(answer.status, 200, "{context}");
        let answer = answer.json();
        let as_of: Timestamp = answer["meta"]["asOf"].as_str().unwrap().parse().unwrap();
        let is_recent = answer["meta"]["cache"] == "hit" || as_of >= before;
        assert!(is_recent && as_of <= service.clock.now(), "{context}");
        let expected = figures::answer(&service, &question, as_of, &facts);
        assert_eq!(answer["total"], expected.total, "{context}");
        figures::compare(&question, &answer["entities"], &expected.rows, &context);
        // Late wrap-ups arrive, the open hour grows.
        if random.random_bool(0.3) {
            let pause = random.random_range(0..7_200);
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }
}

async fn start(now: &str, days: u32) -> (Service, StdRng) {
    let seed = setting("ORACLE_SEED").unwrap_or_else(rand::random::<u32>);
    eprintln!("ORACLE_SEED={seed}");
    let mut setup = Setup::new();
    setup.simulator = simulator::Options {
        clock: Clock::starting_at(now.parse().unwrap()),
        seed: u64::from(seed),
        days,
        conversations_per_day: 60,
        late_share: 0.2,
        ..setup.simulator
    };
    (setup.start().await, StdRng::seed_from_u64(seed.into()))
}

fn cases(default: u32) -> u32 {
    setting("ORACLE_CASES").unwrap_or(default)
}

#[expect(clippy::disallowed_methods, reason = "a setting of these tests, not of the service")]
fn setting<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// By `POST` or, as often, by `GET`.
async fn ask(service: &Service, question: &Question, random: &mut StdRng) -> Answer {
    if random.random_bool(0.5) {
        return service.post("/v1/query", &question.body).await;
    }
    service
        .get(&format!("/v1/query?{}", query_string(&question.body)))
        .await
}

/// The body as query-string parameters.
fn query_string(body: &Value) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, value) in body.as_object().unwrap() {
        match value {
            Value::Array(clauses) if name == "filter" => {
                for clause in clauses {
                    let values: Vec<_> = clause["values"].as_array().unwrap().iter().map(text).collect();
                    let dimension = text(&clause["dimension"]);
                    pairs.append_pair(name, &format!("{dimension}:{}", values.join(",")));
                }
            }
            Value::Array(values) if values.is_empty() => {}
            Value::Array(values) => {
                pairs.append_pair(name, &values.iter().map(text).collect::<Vec<_>>().join(","));
            }
            value => {
                pairs.append_pair(name, &text(value));
            }
        }
    }
    pairs.finish()
}

/// A range within or around the data, as likely as not with an edge where it hurts.
fn any_range(random: &mut StdRng, now: Timestamp, days: u32) -> (Timestamp, Timestamp) {
    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600 * SECOND;
    let first = now - (i64::from(days) * 24).hours();
    let length = match random.random_range(0..4) {
        0 => random.random_range(1..600 * 60 * SECOND),
        1 => random.random_range(1..48) * HOUR,
        2 => random.random_range(1..14) * 24 * HOUR,
        _ => random.random_range(24 * HOUR..60 * 24 * HOUR),
    };
    let middle = match random.random_range(0..10) {
        0..=3 => CLOCK_CHANGES[random.random_range(0..CLOCK_CHANGES.len())]
            .parse::<Timestamp>()
            .unwrap()
            .as_millisecond(),
        4..=5 => now.as_millisecond(),
        _ => random.random_range(first.as_millisecond()..now.as_millisecond()),
    };
    let start = middle - random.random_range(0..=length);
    let mut aligned = |instant: i64| match random.random_range(0..3) {
        0 => instant,
        1 => instant - instant.rem_euclid(HOUR),
        _ => instant - instant.rem_euclid(60 * SECOND),
    };
    let (start, end) = (aligned(start), aligned(start + length));
    let end = end.max(start + 1);
    // An end of `:59.999` is read as the next full second: such an end cannot be asked for.
    let end = if end.rem_euclid(60_000) == 59_999 { end + 1 } else { end };
    let instant = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
    (instant(start), instant(end))
}

/// Ends and beginnings of summer time in Berlin, New York and on Lord Howe Island.
const CLOCK_CHANGES: [&str; 6] = [
    "2023-10-29T01:00:00Z",
    "2023-11-05T06:00:00Z",
    "2023-09-30T15:30:00Z",
    "2024-03-31T01:00:00Z",
    "2024-03-10T07:00:00Z",
    "2024-04-06T15:00:00Z",
];
