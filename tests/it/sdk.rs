//! The vendor's own SDKs, told by their gateway setting to ask this service: the same objects as from Genesys Cloud
//! itself, and a program that runs again costs nothing there.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::service::{SECRET, Setup};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program and reads what it got.
///
/// Time stands still meanwhile: paused time does not move while the runtime waits for a blocking task.
async fn got(
    interpreter: PathBuf,
    program: &'static str,
    address: std::net::SocketAddr,
    id: &str,
    secret: &str,
    what: Option<&str>,
) -> Value {
    let mut command = std::process::Command::new(&interpreter);
    command
        .arg(root().join("tests/tools/sdk").join(program))
        .args([
            address.ip().to_string(),
            address.port().to_string(),
            id.to_owned(),
            secret.to_owned(),
        ])
        .args(what)
        // Whatever settings of these SDKs whoever runs the tests has.
        .env("HOME", env!("CARGO_TARGET_TMPDIR"));
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic");
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{}: {error}: run ./test, which installs what the tests need",
            interpreter.display()
        )
    });
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in what {program} says"))
}

/// Groups and their metrics come in no particular order.
fn in_order(mut got: Value) -> Value {
    for answer in ["aggregates", "userAggregates", "observations"] {
        let results = got[answer]["results"].as_array_mut().expect("results");
        for data in results.iter_mut().filter_map(|result| result["data"].as_array_mut()) {
            for metrics in data.iter_mut().filter_map(|data| data["metrics"].as_array_mut()) {
                metrics.sort_by_key(ToString::to_string);
            }
            data.sort_by_key(ToString::to_string);
        }
        results.sort_by_key(|result| result["group"].to_string());
    }
    got
}

async fn is_a_drop_in(interpreter: PathBuf, program: &'static str) {
    let mut setup = Setup::new();
    // What it tells of hits is approximate, and here it is exact: to be compared, it has to be so there, too.
    let switches = &mut setup.simulator.switches;
    (switches.short_pages, switches.approximate_total_hits) = (false, false);
    let (setup, key) = setup.key(r#""read""#, "");
    let service = setup.start().await;
    let run =
        async |address, id: &str, secret: &str| got(interpreter.clone(), program, address, id, secret, None).await;

    let direct = run(service.upstream, "simulated-client", SECRET).await;
    assert!(direct["details"].as_array().expect("conversations").len() > 100);
    assert_eq!(direct["refusal"]["status"], 400);
    let before = service.simulator.journal().entries().len();
    let first = run(service.address, "test-0", &key).await;
    let after = service.simulator.journal().entries().len();
    assert!(after > before);
    assert_eq!(in_order(first), in_order(direct.clone()));
    let second = run(service.address, "test-0", &key).await;
    assert_eq!(in_order(second), in_order(direct));
    assert_eq!(
        service.simulator.journal().entries().len(),
        after,
        "it costs nothing the second time"
    );
}

/// A long range by a job. Time has to pass for it to be done: some seconds whenever somebody looks there.
async fn is_a_drop_in_for_jobs(interpreter: PathBuf, program: &'static str) {
    let (setup, key) = Setup::new().key(r#""read""#, "");
    let service = setup.start().await;
    let run = async |address, id: &str, secret: &str| {
        let mut looked = 0;
        let mut got = std::pin::pin!(got(interpreter.clone(), program, address, id, secret, Some("job")));
        loop {
            let moment = tokio::task::spawn_blocking(|| std::thread::sleep(std::time::Duration::from_millis(20)));
            tokio::select! {
                got = &mut got => return got,
                _ = moment => {}
            }
            let journal = service.simulator.journal().entries();
            let looks = journal
                .iter()
                .filter(|entry| entry.method == "GET" && entry.path.contains("/jobs/"))
                .count();
            if looks > looked {
                looked = looks;
                tokio::time::advance(std::time::Duration::from_secs(6)).await;
            }
        }
    };
    let direct = run(service.upstream, "simulated-client", SECRET).await;
    assert!(direct.as_array().expect("conversations").len() > 1000);
    assert_eq!(run(service.address, "test-0", &key).await, direct);
    let before = service.simulator.journal().entries().len();
    assert_eq!(run(service.address, "test-0", &key).await, direct);
    assert_eq!(
        service.simulator.journal().entries().len(),
        before,
        "it costs nothing the second time"
    );
}

#[tokio::test(start_paused = true)]
async fn the_python_sdk_has_jobs_done() {
    is_a_drop_in_for_jobs(root().join(".venv/bin/python"), "program.py").await;
}

#[tokio::test(start_paused = true)]
async fn the_javascript_sdk_has_jobs_done() {
    is_a_drop_in_for_jobs("node".into(), "program.js").await;
}

#[tokio::test(start_paused = true)]
async fn the_python_sdk_needs_one_setting_changed() {
    is_a_drop_in(root().join(".venv/bin/python"), "program.py").await;
}

#[tokio::test(start_paused = true)]
async fn the_javascript_sdk_needs_one_setting_changed() {
    is_a_drop_in("node".into(), "program.js").await;
}
