//! A person logs in, in a real browser, and what is granted stays with that person.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use fantoccini::Locator;
use genesys_reports::{
    clock::Clock,
    simulator::{Options, Simulator, person},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

use crate::{
    command_line::{run, text},
    support::browser::{Browser, with_browser},
};

/// A simulated Genesys Cloud, and a directory for one person.
struct Place {
    simulator: Simulator,
    environment: Vec<(&'static str, String)>,
    kept: PathBuf,
    _directory: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Place {
    async fn new() -> Self {
        let simulator = Simulator::new(Options {
            days: 1,
            ..Options::new(Clock::system())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let served = simulator.clone();
        tasks.spawn(async move { served.serve(listener, std::future::pending()).await });
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("genesys-reports/login.json");
        Self {
            simulator,
            environment: vec![
                ("GENESYS_API_URL", url.clone()),
                ("GENESYS_LOGIN_URL", url),
                ("GENESYS_CLIENT_ID", person::CLIENT_ID.to_owned()),
                ("GENESYS_GRANT", "login".to_owned()),
                ("XDG_STATE_HOME", directory.path().display().to_string()),
            ],
            kept,
            _directory: directory,
            _tasks: tasks,
        }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        run(arguments, &environment).await
    }

    /// Starts `login`; the address it shows.
    async fn log_in(&self) -> (Child, BufReader<tokio::process::ChildStdout>, String) {
        let mut process = Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
            .args(["login", "--port", "0"])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary is built with the tests");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        loop {
            let mut line = String::new();
            assert!(
                output.read_line(&mut line).await.expect("text") > 0,
                "it shows an address"
            );
            if let Some(url) = line.trim().strip_prefix("http://") {
                let url = format!("http://{url}");
                return (process, output, url);
            }
        }
    }
}

async fn press(browser: &Browser, button: &str) -> String {
    let button = browser.client.find(Locator::Id(button)).await.expect("the login page");
    button.click().await.expect("it can be pressed");
    let wait = browser.client.wait().at_most(Duration::from_secs(15));
    let outcome = wait
        .for_element(Locator::Id("outcome"))
        .await
        .expect("the browser comes back");
    outcome.text().await.expect("a text")
}

async fn ended(mut process: Child) -> (Option<i32>, String) {
    let status = timeout(Duration::from_secs(20), process.wait())
        .await
        .expect("it ends")
        .unwrap();
    let mut complaint = String::new();
    process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .await
        .unwrap();
    (status.code(), complaint)
}

#[tokio::test]
async fn a_person_logs_in_in_the_browser_explores_and_logs_out() {
    let place = Place::new().await;
    let nobody = place.run(&["check"]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        text(&nobody.stdout).contains("nobody is logged in: run `genesys-reports login`"),
        "{nobody:?}"
    );

    let (process, mut output, url) = place.log_in().await;
    with_browser(async |browser| {
        // Another's login does not come back here.
        let callback = reqwest::Url::parse(&url).unwrap();
        let (_, callback) = callback.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap();
        let forged = reqwest::get(format!("{callback}?code=stolen&state=guessed"))
            .await
            .unwrap();
        assert_eq!(forged.status(), 400);

        browser.client.goto(&url).await.expect("the login page opens");
        assert_eq!(
            press(browser, "allow").await,
            "You are logged in. This window can be closed."
        );
    })
    .await;
    let mut printed = String::new();
    output.read_to_string(&mut printed).await.unwrap();
    assert_eq!(ended(process).await, (Some(0), String::new()));
    assert!(printed.contains("logged in; kept in "), "{printed}");
    let mode = std::fs::metadata(&place.kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner's alone");
    let granted = std::fs::read_to_string(&place.kept).unwrap();
    assert!(!printed.contains("token") && granted.contains("refresh_token"));

    // It serves while it lives; an old one is refreshed, and what comes of that is kept.
    let logins = || {
        place
            .simulator
            .journal()
            .entries()
            .iter()
            .filter(|entry| entry.path == "/oauth/token")
            .count()
    };
    assert_eq!(place.run(&["check"]).await.status.code(), Some(0));
    assert_eq!(logins(), 1, "the code's");
    let mut old: serde_json::Value = serde_json::from_str(&granted).unwrap();
    old["expires_at"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&place.kept, old.to_string()).unwrap();
    for _ in 0..2 {
        assert_eq!(place.run(&["check"]).await.status.code(), Some(0));
        assert_eq!(logins(), 2, "refreshed once");
    }
    assert_ne!(std::fs::read_to_string(&place.kept).unwrap(), granted);

    // Everybody else is to be served by client credentials.
    let serve = place.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(serve.status.code(), Some(2));
    assert!(text(&serve.stderr).contains("genesys.login_may_serve"), "{serve:?}");

    let stolen = std::fs::read_to_string(&place.kept).unwrap();
    let out = place.run(&["login", "--logout"]).await;
    assert_eq!(
        (out.status.code(), text(&out.stdout).as_str()),
        (Some(0), "logged out\n"),
        "{out:?}"
    );
    assert!(!place.kept.exists());
    // Whoever kept a copy has nothing.
    std::fs::write(&place.kept, stolen).unwrap();
    assert_eq!(place.run(&["check"]).await.status.code(), Some(1));
    std::fs::remove_file(&place.kept).unwrap();
    let again = place.run(&["login", "--logout"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nobody is logged in"), "{again:?}");
}

#[tokio::test]
async fn who_cancels_is_not_logged_in() {
    let place = Place::new().await;
    let (process, _output, url) = place.log_in().await;
    with_browser(async |browser| {
        browser.client.goto(&url).await.expect("the login page opens");
        assert_eq!(
            press(browser, "deny").await,
            "You are not logged in. The terminal says why."
        );
    })
    .await;
    let (code, complaint) = ended(process).await;
    assert_eq!(code, Some(1));
    assert!(
        complaint.contains("the login was refused: access_denied"),
        "{complaint}"
    );
    assert!(!place.kept.exists());
}
