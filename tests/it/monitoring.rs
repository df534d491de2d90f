//! What is said of watching the service: every figure that alerts and the dashboard ask for is one the service has, and
//! every alert has its place in the runbook.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

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
