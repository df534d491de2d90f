//! The service does what its OpenAPI document says, and nothing else, whatever it is sent.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::service::Service;

/// `tests/schemathesis.toml` says what is sent, for how long, and what is not a failure.
#[tokio::test]
async fn a_fuzzer_that_has_read_the_document_finds_nothing() {
    let service = Service::start().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fuzzer = root.join(".venv/bin/schemathesis");
    let status = Command::new(&fuzzer)
        .arg("--config-file")
        .arg(root.join("tests/schemathesis.toml"))
        .args(["run", "--no-color"])
        .arg(format!("http://{}/openapi.json", service.address))
        // It leaves its notes where it runs.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run ./test, which installs what the tests need",
                fuzzer.display()
            )
        });
    assert!(status.success(), "the fuzzer found what it reports above ({status})");
}
