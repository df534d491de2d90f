//! What is said of watching the service: every figure that alerts and the dashboard ask for is one the service has, with
//! these labels and no others, and every alert has its place in the runbook.

use std::{collections::BTreeSet, fs, path::PathBuf};

use genesys_reports::simulator::faults::{Effect, Fault};
use serde_json::Value;

use crate::support::{
    collector::Collector,
    service::{Service, Setup},
};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of metrics in a text, without what Prometheus adds to those of histograms.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words
        .filter(|word| word.starts_with("genesys_reports_") || word.starts_with("http_server_"))
        .map(|word| {
            let of_histogram = ["_bucket", "_count", "_sum"]
                .into_iter()
                .find_map(|end| word.strip_suffix(end));
            of_histogram
                .filter(|name| name.ends_with("_seconds"))
                .unwrap_or(word)
                .to_owned()
        })
        .collect()
}

fn known() -> BTreeSet<String> {
    metrics(&(file("src/telemetry.rs") + &file("src/upstream/meters.rs")))
}

#[test]
fn alerts_and_the_dashboard_ask_for_what_there_is() {
    let known = known();
    for name in ["examples/monitoring/alerts.yaml", "examples/monitoring/dashboard.json"] {
        let asked = metrics(&file(name));
        assert!(asked.len() > 5, "{name}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&file("examples/monitoring/dashboard.json")).expect("JSON");
    for panel in dashboard["panels"].as_array().expect("panels") {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(
            targets
                .iter()
                .all(|target| target["expr"].as_str().is_some_and(|expr| !expr.is_empty()))
        );
    }
}

#[test]
fn every_alert_stands_in_the_runbook() {
    let (alerts, runbook) = (file("examples/monitoring/alerts.yaml"), file("docs/operations.md"));
    let alerts: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5);
    for alert in &alerts {
        assert!(runbook.contains(&format!("### {alert}\n")), "{alert} is not explained");
    }
    let explained = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    for alert in explained {
        assert!(alerts.contains(&alert), "there is no alert {alert}");
    }
}

/// Labels are few and known: who watches the service builds on them, and every new one multiplies what is kept.
#[tokio::test(start_paused = true)]
async fn figures_and_their_labels() {
    let collector = Collector::start();
    let (setup, key) = collector
        .setup()
        .key("\"read\", \"export\", \"admin\"", ", requests_per_minute=60");
    let directory = tempfile::tempdir().unwrap();
    let service = setup.set("REPORTS_CACHE__DISK_PATH", directory.path().to_str().unwrap());
    let service = Setup::start(service).await;
    let ask = async |path: &str| {
        service
            .send(service.request(reqwest::Method::GET, path).bearer_auth(&key))
            .await
    };
    service.fault(Fault::new(Effect::status_retry_after(429, "1")).on_api().once());
    for path in [
        "/v1/query?dateFrom=2023-11-01&dateTo=2023-11-02&select=conversation.count",
        "/v1/query?dateFrom=2023-11-01&dateTo=2023-11-02&select=conversation.count",
        "/v1/query?dateFrom=nonsense",
        "/v1/conversations?dateFrom=2023-11-01&dateTo=2023-11-02",
        "/v1/now/queues",
        "/v1/reports",
        "/nowhere",
    ] {
        ask(path).await;
    }
    service.pass(10).await;
    insta::assert_snapshot!(names_and_labels(&service).await);
}

/// A line for each figure: its name and the names of its labels.
async fn names_and_labels(service: &Service) -> String {
    let metrics = service.get("/metrics").await.text();
    let lines = metrics
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let figures = lines.map(|line| {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        // No value holds a comma followed by a name and an equals sign.
        let labels: Vec<_> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once("=\"")?.0))
            .collect();
        format!("{name}: {}", labels.join(" "))
            .trim_end_matches(": ")
            .to_owned()
    });
    let figures: BTreeSet<_> = figures.collect();
    figures.into_iter().collect::<Vec<_>>().join("\n")
}
