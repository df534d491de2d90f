//! A wall of dashboards: whoever refreshes which panel when, on Genesys Cloud's own paths and on ours, what is open of them
//! all is asked for at once.

use std::{collections::BTreeMap, time::Duration};

use genesys_reports::simulator::{journal::Entry, organisation::Switches};
use jiff::{SignedDuration, Timestamp, ToSpan, Unit, tz::TimeZone};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::support::service::{Service, Setup};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";
const VIEWERS: usize = 4;
const MINUTES: usize = 4;

/// Interval, groups, metrics.
type Panel = (Option<&'static str>, &'static [&'static str], &'static [&'static str]);

/// Those of `benches/performance/dashboards.py`.
const PANELS: [Panel; 12] = [
    (Some("PT1H"), &["queueId"], &["nOffered", "tAnswered", "tAbandon"]),
    (Some("PT1H"), &["queueId"], &["tHandle"]),
    (Some("PT1H"), &["queueId"], &["oServiceLevel"]),
    (Some("PT1H"), &["queueId"], &["tTalk", "tHeld", "tAcw"]),
    (Some("P1D"), &["queueId"], &["nOffered", "tAnswered"]),
    (Some("P1D"), &["queueId"], &["tHandle", "tAcw"]),
    (Some("P1D"), &["mediaType"], &["nOffered"]),
    (Some("P1D"), &[], &["tAbandon"]),
    (Some("PT1H"), &[], &["nOffered"]),
    (
        None,
        &["queueId"],
        &["nOffered", "tAnswered", "tAbandon", "oServiceLevel"],
    ),
    (None, &[], &["tHandle"]),
    (Some("PT1H"), &["queueId"], &["nTransferred", "tAnswered"]),
];

/// The last thirty days up to the minute.
fn question((granularity, group_by, metrics): Panel, now: Timestamp) -> Value {
    let now = now.to_zoned_datetime(TimeZone::UTC);
    let minute = now.round(
        jiff::ZonedDateTimeRound::new()
            .smallest(Unit::Minute)
            .mode(jiff::RoundMode::Floor),
    );
    let until = minute.unwrap().checked_add(1.minute()).unwrap();
    let from = until.checked_sub(30.days()).unwrap().start_of_day().unwrap();
    let mut asked = json!({
        "interval": format!("{:.3}/{:.3}", from.timestamp(), until.timestamp()),
        "metrics": metrics,
        "groupBy": group_by,
    });
    if let Some(granularity) = granularity {
        asked["granularity"] = granularity.into();
    }
    asked
}

/// One metric's figures by group and bucket; of its statistics those named.
fn figures(answer: &Value, metric: &str, statistics: &[&str]) -> BTreeMap<(String, String), Vec<f64>> {
    let results = answer["results"].as_array().unwrap().iter();
    let buckets = results.flat_map(|result| {
        let data = result["data"].as_array().unwrap().iter();
        data.map(|bucket| (result["group"].to_string(), bucket))
    });
    let figures = buckets.filter_map(|(group, bucket)| {
        let mut metrics = bucket["metrics"].as_array().unwrap().iter();
        let stats = &metrics.find(|known| known["metric"] == metric)?["stats"];
        let figures: Option<Vec<f64>> = statistics.iter().map(|name| stats[name].as_f64()).collect();
        Some(((group, bucket["interval"].to_string()), figures?))
    });
    figures.collect()
}

/// Every figure is what Genesys Cloud said of it at one of the moments it was asked for that metric lately.
fn check(service: &Service, asked: &Value, answer: &Value, statistics_of: fn(&str) -> &'static [&'static str]) {
    let (now, journal) = (service.clock.now(), service.simulator.journal().entries());
    for metric in asked["metrics"].as_array().unwrap() {
        let asked_for =
            |entry: &&Entry| entry.path == AGGREGATES && entry.body["metrics"].as_array().unwrap().contains(metric);
        let moments = journal.iter().filter(asked_for).filter_map(|entry| entry.answered_at);
        let mut lately = moments.filter(|at| now.duration_since(*at) <= SignedDuration::from_secs(46));
        let name = metric.as_str().unwrap();
        let found = figures(answer, name, statistics_of(name));
        let mut alone = asked.clone();
        alone["metrics"] = json!([metric]);
        let is_told = lately.any(|at| {
            let organisation = service.simulator.organisation();
            let told = organisation.aggregates(&alone, at, &Switches::default()).unwrap();
            figures(&told, name, statistics_of(name)) == found
        });
        assert!(is_told, "{name} of {asked} at {now}: {answer}");
        assert!(!found.is_empty(), "{name} of {asked}");
    }
}

/// Every viewer refreshes every panel once a minute, at a moment of its own; how many requests upstream were sent in each
/// of the minutes.
async fn watched(
    statistics: fn(&str) -> &'static [&'static str],
    ask: impl AsyncFn(&Service, &Value) -> Value,
) -> Vec<usize> {
    let mut setup = Setup::new();
    // What happened in an hour that is over is known then: only what is open moves.
    setup.simulator.late_share = 0.0;
    setup.simulator.latency = Duration::from_millis(150);
    let service = setup.start().await;
    let mut random = StdRng::seed_from_u64(7);
    let offsets = (0..VIEWERS).flat_map(|_| PANELS);
    let offsets: Vec<(u64, Panel)> = offsets.map(|panel| (random.random_range(0..60_000), panel)).collect();
    let minutes = (0..MINUTES as u64).flat_map(|minute| {
        let moments = offsets.iter();
        moments.map(move |(offset, panel)| (60_000 * minute + offset, *panel))
    });
    let mut moments: Vec<(u64, Panel)> = minutes.collect();
    moments.sort_unstable();
    let (began, started) = (Instant::now(), service.clock.now());
    for (moment, panel) in moments {
        tokio::time::sleep_until(began + Duration::from_millis(moment)).await;
        let asked = question(panel, service.clock.now());
        let answer = ask(&service, &asked).await;
        check(&service, &asked, &answer, statistics);
    }
    let mut requests = vec![0; MINUTES];
    for entry in service.simulator.journal().entries() {
        let passed = entry.at.duration_since(started).as_mins();
        requests[usize::try_from(passed).unwrap()] += usize::from(entry.path == AGGREGATES);
    }
    println!("requests a minute: {requests:?}");
    requests
}

#[tokio::test(start_paused = true)]
async fn panels_on_the_upstreams_own_path_cost_what_one_series_does() {
    let requests = watched(all_statistics, async |service, asked| {
        let answer = service.post(AGGREGATES, asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    });
    let requests = requests.await;
    assert!(is_one_for_all(&requests), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn panels_on_our_own_path_cost_what_one_series_does() {
    let requests = watched(statistics, async |service, asked| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let texts = |values: &Value| -> Vec<String> { values.as_array().unwrap().iter().map(text).collect() };
        // Genesys Cloud tells it unasked.
        let mut groups = texts(&asked["groupBy"]);
        groups.retain(|name| name != "mediaType");
        groups.push("mediaType".to_owned());
        let metrics = texts(&asked["metrics"]);
        let columns = metrics.iter().flat_map(|metric| {
            let statistics = statistics(metric).iter();
            statistics.map(move |statistic| format!("{metric}.{statistic}"))
        });
        let select: Vec<_> = groups
            .iter()
            .cloned()
            .chain(columns)
            .chain(["interval".to_owned()])
            .collect();
        let (from, to) = asked["interval"].as_str().unwrap().split_once('/').unwrap();
        let body = json!({"dateFrom": from, "dateTo": to, "interval": asked["granularity"], "groupBy": groups, "select": select});
        let answer = service.post("/v1/query?format=ndjson", &body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let results = answer.text();
        let results = results.lines().map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let values = groups.iter().map(|name| (name.clone(), row[name].clone()));
            let group: Map<String, Value> = values.filter(|(_, value)| !value.is_null()).collect();
            let metrics = metrics.iter().map(|name| json!({"metric": name, "stats": row[name]}));
            json!({"group": group, "data": [{"interval": row["interval"], "metrics": metrics.collect::<Vec<_>>()}]})
        });
        json!({ "results": results.collect::<Vec<_>>() })
    });
    let requests = requests.await;
    assert!(is_one_for_all(&requests), "{requests:?}");
}

/// One for each thirty seconds, once all of it is held.
fn is_one_for_all(requests: &[usize]) -> bool {
    requests[0] <= PANELS.len() && requests[1..].iter().all(|cost| *cost <= 2)
}

/// Those a metric carries, the goal among them.
fn all_statistics(metric: &str) -> &'static [&'static str] {
    match metric {
        "oServiceLevel" => &["ratio", "numerator", "denominator", "target"],
        _ => statistics(metric),
    }
}

/// Those that add.
fn statistics(metric: &str) -> &'static [&'static str] {
    match &metric[..1] {
        "n" => &["count"],
        "t" => &["count", "sum", "min", "max"],
        _ => &["ratio", "numerator", "denominator"],
    }
}
