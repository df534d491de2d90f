//! The service does what its OpenAPI document says, and nothing else, whatever it is sent.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::service::Setup;
use genesys_reports::api::auth::new_key;

/// `tests/schemathesis.toml` says what is sent, for how long, and what is not a failure.
#[tokio::test]
async fn a_fuzzer_that_has_read_the_document_finds_nothing() {
    // With a key required, it also tries without one and with wrong ones.
    let (key, sha256) = new_key();
    let keys = format!(r#"[{{name="fuzzer", sha256="{sha256}", scopes=["read", "export", "live", "admin"]}}]"#);
    let service = Setup::new()
        .set("REPORTS_AUTH__KEYS", &keys)
        .set("REPORTS_AUTH__TOKEN_SECRET", "what links are signed with, long enough")
        .start()
        .await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fuzzer = root.join(".venv/bin/schemathesis");
    let status = Command::new(&fuzzer)
        .arg("--config-file")
        .arg(root.join("tests/schemathesis.toml"))
        .args(["run", "--no-color"])
        .arg(format!("http://{}/openapi.json", service.address))
        .env("REPORTS_FUZZER_KEY", key)
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
