//! A real Chromium, driven through chromedriver, for as long as one test needs it.

use std::{panic::AssertUnwindSafe, path::PathBuf, process::Stdio, time::Duration};

use fantoccini::{Client, ClientBuilder};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Longer than a page takes on a busy machine, shorter than the patience of whoever waits for the test.
const PATIENCE: Duration = Duration::from_mins(1);

/// Opens a browser, runs `test` with it and closes it, also when the test panics or takes too long.
pub(crate) async fn with_browser(test: impl AsyncFnOnce(&Browser)) {
    let (driver, url) = start_driver().await;
    let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}", std::process::id()));
    let browser = Browser {
        client: connect(&url, &profile).await,
        driver_url: url,
    };
    let outcome = timeout(PATIENCE, AssertUnwindSafe(test(&browser)).catch_unwind()).await;
    // Closing the session is what ends Chromium: killing chromedriver alone would leave it behind.
    let closed = browser.client.close().await;
    stop(driver).await;
    let _ = std::fs::remove_dir_all(&profile);
    match outcome {
        Err(elapsed) => panic!("the browser test took more than {PATIENCE:?}: {elapsed}"),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Ok(Ok(())) => closed.expect("the browser closes"),
    }
}

/// A browser with one empty tab.
pub(crate) struct Browser {
    /// What drives it.
    pub(crate) client: Client,
    driver_url: String,
}

impl Browser {
    /// What the page wrote to its console as an error: failed loads, refused scripts, uncaught exceptions.
    pub(crate) async fn console_errors(&self) -> Vec<String> {
        let session = self
            .client
            .session_id()
            .await
            .expect("the session lives")
            .expect("the session has an id");
        // Not in the WebDriver standard, hence not in fantoccini: chromedriver's own command.
        let response = reqwest::Client::new()
            .post(format!("{}/session/{session}/se/log", self.driver_url))
            .body(json!({ "type": "browser" }).to_string())
            .send()
            .await
            .expect("chromedriver answers");
        let body: Value = serde_json::from_slice(&response.bytes().await.expect("chromedriver answers")).expect("JSON");
        let entries = body["value"]
            .as_array()
            .unwrap_or_else(|| panic!("no log entries in {body}"));
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The addresses of everything the page has loaded, itself included.
    pub(crate) async fn loaded(&self) -> Vec<String> {
        let script =
            "return performance.getEntries().filter(e => /^(navigation|resource)$/.test(e.entryType)).map(e => e.name)";
        let names = self.client.execute(script, Vec::new()).await.expect("the script runs");
        serde_json::from_value(names).expect("a list of addresses")
    }
}

async fn start_driver() -> (Child, String) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("chromedriver does not start ({error}): run ./test, which installs what the tests need")
        });
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
    let port = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.expect("chromedriver writes text") {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return port.trim_end_matches('.').to_owned();
            }
        }
        panic!("chromedriver ended before it listened")
    });
    let port = port.await.expect("chromedriver says where it listens");
    // The pipe stays open in a task that ends with the process: a full or closed one would stop chromedriver.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (driver, format!("http://127.0.0.1:{port}"))
}

async fn connect(driver_url: &str, profile: &std::path::Path) -> Client {
    let options = json!({
        "args": [
            "--headless=new",
            // Chromium refuses its sandbox to root, which is who runs tests in containers.
            "--no-sandbox",
            "--disable-gpu",
            // Containers give /dev/shm 64 MB.
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,1600",
            format!("--user-data-dir={}", profile.display()),
        ]
    });
    let Value::Object(capabilities) = json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
    }) else {
        unreachable!("an object was written")
    };
    let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
    timeout(PATIENCE, builder.capabilities(capabilities).connect(driver_url))
        .await
        .expect("chromedriver starts a session in time")
        .unwrap_or_else(|error| {
            panic!("chromedriver starts no Chromium ({error}): run ./test, which installs what the tests need")
        })
}

async fn stop(mut driver: Child) {
    driver.start_kill().expect("chromedriver can be killed");
    driver.wait().await.expect("chromedriver ends");
}
