//! The command line does what it says, says what is wrong, all of it, and tells scripts by its exit code.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use genesys_reports::{
    clock::Clock,
    config::{Settings, Sources},
    simulator::{Grants, Options, Simulator},
};
use insta::assert_snapshot;
use tokio::{net::TcpListener, process::Command, task::JoinSet};

use crate::support::service::Service;

/// Runs the binary with nothing in its environment but this.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the binary is built with the tests")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints text")
}

/// A simulated Genesys Cloud and the settings that lead there.
async fn simulator(permissions: Grants) -> (JoinSet<()>, [(&'static str, String); 4]) {
    let options = Options {
        days: 1,
        permissions,
        ..Options::new(Clock::system())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let settings = [
        ("GENESYS_API_URL", url.clone()),
        ("GENESYS_LOGIN_URL", url),
        ("GENESYS_CLIENT_ID", options.client_id.clone()),
        ("GENESYS_CLIENT_SECRET", options.client_secret.clone()),
    ];
    let simulator = Simulator::new(options);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { simulator.serve(listener, std::future::pending()).await });
    (tasks, settings)
}

async fn check(permissions: Grants, changed: Option<(&str, &str)>) -> (Option<i32>, String, String) {
    let (_tasks, mut settings) = simulator(permissions).await;
    if let Some((name, value)) = changed {
        let setting = settings.iter_mut().find(|(known, _)| *known == name);
        value.clone_into(&mut setting.expect("one of the four").1);
    }
    let environment: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = run(&["check"], &environment).await;
    let url = &settings[0].1;
    let printed = text(&output.stdout).replace(url.as_str(), "[url]");
    (output.status.code(), printed, text(&output.stderr))
}

#[tokio::test]
async fn check_shows_what_this_client_may_do() {
    let (code, table, complaint) = check(Grants::all(), None).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert_snapshot!(table, @r#"
    API [url]
    token from [url]/oauth/token

    access token                                                                  ok
    conversation aggregates      analytics:conversationAggregate:view             ok
    user aggregates              analytics:userAggregate:view                     ok
    flow aggregates              analytics:flowAggregate:view                     ok
    evaluation aggregates        analytics:evaluationAggregate:view               ok
    survey aggregates            analytics:surveyAggregate:view                   ok
    conversation details         analytics:conversationDetail:view                ok
    user details                 analytics:userDetail:view                        ok
    queue observations           analytics:queueObservation:view                  ok
    user observations            analytics:userObservation:view                   ok
    queues                       routing:queue:view                               ok
    users                                                                         ok
    wrap-up codes                routing:wrapupCode:view                          ok
    divisions                                                                     ok
    skills                       routing:skill:view                               ok
    languages                                                                     ok
    flows                        architect:flow:view                              ok
    action aggregates            integrations:action:view                         ok
    agent copilot aggregates     analytics:agentCopilotAggregate:view             ok
    agent utilization aggregates analytics:agentUtilizationAggregate:view         ok
    bot aggregates               analytics:botAggregate:view                      ok
    case aggregates              analytics:caseManagementAggregate:view           ok
    copilot aggregates           analytics:copilotsAggregate:view                 ok
    flow execution aggregates    analytics:flowExecutionAggregate:view            ok
    journey aggregates           analytics:journeyAggregate:view                  ok
    knowledge aggregates         analytics:knowledgeAggregate:view                ok
    rate limit aggregates        analytics:rateLimitAggregate:view                ok
    resolution aggregates        analytics:resolutionAggregate:view               ok
    summary aggregates           analytics:summaryAggregate:view                  ok
    work item aggregates         analytics:taskManagementAggregate:view           ok
    transcript aggregates        analytics:speechAndTextAnalyticsAggregates:view  ok
    "#);

    let lean = Grants::all()
        .without("analytics:flowAggregate:view")
        .without("analytics:evaluationAggregate:view")
        .without("analytics:surveyAggregate:view")
        .without("architect:flow:view");
    let (code, table, complaint) = check(lean, None).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let left_out: Vec<_> = table.lines().filter(|line| !line.ends_with(" ok")).skip(3).collect();
    assert_snapshot!(left_out.join("\n"), @r"
    flow aggregates              analytics:flowAggregate:view                     not permitted; optional
    evaluation aggregates        analytics:evaluationAggregate:view               not permitted; optional
    survey aggregates            analytics:surveyAggregate:view                   not permitted; optional
    flows                        architect:flow:view                              not permitted; optional
    ");

    let partly = Grants::all()
        .without("routing:queue:view")
        .without("analytics:surveyAggregate:view")
        .without("analytics:botAggregate:view")
        .without("analytics:conversationAggregate:view");
    let (code, table, complaint) = check(partly, None).await;
    assert_eq!(code, Some(1));
    assert_snapshot!(format!("{table}{complaint}"), @r#"
    API [url]
    token from [url]/oauth/token

    access token                                                                  ok
    conversation aggregates      analytics:conversationAggregate:view             FAILED: this service's OAuth client lacks a permission: analytics:conversationAggregate:view
    user aggregates              analytics:userAggregate:view                     ok
    flow aggregates              analytics:flowAggregate:view                     ok
    evaluation aggregates        analytics:evaluationAggregate:view               ok
    survey aggregates            analytics:surveyAggregate:view                   not permitted; optional
    conversation details         analytics:conversationDetail:view                ok
    user details                 analytics:userDetail:view                        ok
    queue observations           analytics:queueObservation:view                  ok
    user observations            analytics:userObservation:view                   ok
    queues                       routing:queue:view                               FAILED: this service's OAuth client lacks a permission: routing:queue:view
    users                                                                         ok
    wrap-up codes                routing:wrapupCode:view                          ok
    divisions                                                                     ok
    skills                       routing:skill:view                               ok
    languages                                                                     ok
    flows                        architect:flow:view                              ok
    action aggregates            integrations:action:view                         ok
    agent copilot aggregates     analytics:agentCopilotAggregate:view             ok
    agent utilization aggregates analytics:agentUtilizationAggregate:view         ok
    bot aggregates               analytics:botAggregate:view                      not permitted; optional
    case aggregates              analytics:caseManagementAggregate:view           ok
    copilot aggregates           analytics:copilotsAggregate:view                 ok
    flow execution aggregates    analytics:flowExecutionAggregate:view            ok
    journey aggregates           analytics:journeyAggregate:view                  ok
    knowledge aggregates         analytics:knowledgeAggregate:view                ok
    rate limit aggregates        analytics:rateLimitAggregate:view                ok
    resolution aggregates        analytics:resolutionAggregate:view               ok
    summary aggregates           analytics:summaryAggregate:view                  ok
    work item aggregates         analytics:taskManagementAggregate:view           ok
    transcript aggregates        analytics:speechAndTextAnalyticsAggregates:view  ok
    genesys-reports: 2 of 31 checks failed
    "#);
}

#[tokio::test]
async fn check_fails_with_a_wrong_secret_and_keeps_it() {
    let (code, table, complaint) = check(Grants::all(), Some(("GENESYS_CLIENT_SECRET", "wrong-canary"))).await;
    assert_eq!(code, Some(1));
    assert!(
        table.contains("FAILED: Genesys Cloud refuses this service's credentials"),
        "{table}"
    );
    assert!(!format!("{table}{complaint}").contains("wrong-canary"));
}

#[tokio::test]
async fn openapi_prints_the_document_that_is_checked_in() {
    let output = run(&["openapi"], &[]).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    assert!(output.status.success());
    assert!(
        output.stdout == fs::read(path).expect("it is checked in"),
        "openapi/openapi.json is out of date: `cargo run -- openapi > openapi/openapi.json`"
    );
}

#[tokio::test]
async fn healthcheck_tells_by_its_exit_code() {
    let service = Service::start().await;
    let ask = async |listen: &str| run(&["healthcheck"], &[("REPORTS_SERVER__LISTEN", listen)]).await;
    let alive = ask(&service.address.to_string()).await;
    assert_eq!((alive.status.code(), alive.stderr.len()), (Some(0), 0));
    // A service listening everywhere is asked where it is near.
    assert_eq!(
        ask(&format!("0.0.0.0:{}", service.address.port())).await.status.code(),
        Some(0)
    );

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dead = ask(&closed.to_string()).await;
    assert_eq!(dead.status.code(), Some(1));
    assert!(
        text(&dead.stderr).starts_with("genesys-reports: no answer"),
        "{}",
        text(&dead.stderr)
    );
    assert_eq!(ask("nowhere").await.status.code(), Some(2));
}

#[tokio::test]
async fn a_new_key_opens_the_service_that_was_given_its_settings() {
    let output = run(
        &[
            "keys",
            "new",
            "the \"grafana\" board",
            "--scope",
            "read",
            "--scope",
            "export",
        ],
        &[],
    )
    .await;
    assert!(output.status.success());
    let printed = text(&output.stdout);
    let (key, settings) = printed.split_once("\n\n").expect("the key, then the settings");
    let key = key.strip_prefix("key: ").expect("one line with the key");
    assert!(!settings.contains(key), "the key itself is shown once");

    let file = ScratchFile::new("keys.toml", settings);
    let (_tasks, organisation) = simulator(Grants::all()).await;
    let listen = free_address().await.to_string();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
        .args(["serve", "--config", file.path(), "--listen", &listen])
        .env_clear()
        .envs(organisation)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary is built with the tests");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{listen}{path}");
    while client.get(url("/health/live")).send().await.is_err() {
        assert!(serve.try_wait().unwrap().is_none(), "it serves");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let query = || client.get(url("/v1/query?dateFrom=yesterday"));
    assert_eq!(query().send().await.unwrap().status(), 401);
    assert_eq!(query().bearer_auth(key).send().await.unwrap().status(), 200);
    let export = client.get(url("/v1/conversations?dateFrom=yesterday&format=ndjson"));
    assert_eq!(export.bearer_auth(key).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_wrong_setting_is_reported_at_once_and_nothing_listens() {
    let file = ScratchFile::new(
        "wrong.toml",
        "[server]\nqueues = 5\nrequest_timeout_s = 0\ncors_origins = [\"dashboards.example\"]\n\
         [cache]\nmemory_bytes = \"much\"\n[[auth.keys]]\nname = \"a\"\nsha256 = \"12\"\n",
    );
    let environment = [
        ("GENESYS_REGION", "eu-west-11"),
        ("GENESYS_CLIENT_ID", "id"),
        ("REPORTS_UPSTREAM__CONCURRENCY", "many"),
        ("REPORTS_TELEMETRY__LOG_LEVEL", "genesys_reports=loud"),
        ("REPORTS_LISTEN", "127.0.0.1:1"),
    ];
    let output = run(
        &["serve", "--config", file.path(), "--listen", "everywhere"],
        &environment,
    )
    .await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    // Clap refuses what is no address by itself.
    assert!(text(&output.stderr).contains("everywhere"));

    let output = run(&["serve", "--config", file.path()], &environment).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert_snapshot!(text(&output.stderr).replace(file.path(), "[file]"), @r#"
    REPORTS_LISTEN (environment): no such setting; names are REPORTS_<SECTION>__<KEY>, such as REPORTS_SERVER__LISTEN
    server.cors_origins ([file]): `dashboards.example` is not an origin such as `https://dashboards.example.com`
    server.request_timeout_s ([file]): 0 is not between 1 and 600
    genesys.region (environment): `eu-west-11` is no region; did you mean `eu-west-1`?
    genesys.client_secret: is missing: set GENESYS_CLIENT_SECRET or GENESYS_CLIENT_SECRET_FILE
    upstream.concurrency (environment): expected usize, found text
    cache.memory_bytes ([file]): expected u64, found text
    auth.keys ([file]): `auth.keys`: must be the 64 hexadecimal digits of the key's SHA-256
    telemetry.log_level (environment): error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    server.queues ([file]): no such setting; did you mean `server.queue`?
    "#);
}

#[tokio::test]
async fn a_broken_report_is_told_with_the_other_settings_at_start() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broken-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("mine.toml"),
        "title = \"Mine\"\n[query]\ndateFrom = \"yesterdy\"\n",
    )
    .unwrap();
    let directory = folder.to_str().unwrap();
    let environment = [("REPORTS_REPORTS__DIR", directory), ("GENESYS_REGION", "eu-west-11")];
    let output = run(&["serve"], &environment).await;
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let told = text(&output.stderr);
    for problem in [
        "genesys.region",
        "reports.dir (environment): mine.toml: description: this is a text, and required",
    ] {
        assert!(told.contains(problem), "{told}");
    }
}

#[tokio::test]
async fn the_world_is_not_served_without_keys() {
    let (_tasks, organisation) = simulator(Grants::all()).await;
    let environment: Vec<_> = organisation
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let refused = run(&["serve", "--listen", "0.0.0.0:0"], &environment).await;
    assert_eq!(refused.status.code(), Some(2));
    assert_snapshot!(text(&refused.stderr), @r#"
    server.listen (command line): 0.0.0.0:0 is reachable from elsewhere and neither auth.keys nor auth.jwt are set: make a key with `keys new`, or say auth.anonymous = true
    "#);
    let demo = run(&["demo", "--listen", "0.0.0.0:0"], &[]).await;
    assert_eq!(demo.status.code(), Some(2), "not even made-up figures");
}

#[tokio::test]
async fn what_is_printed_of_a_key_is_what_settings_take() {
    let id = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11";
    let filter = format!("routing.queue.id={id}");
    let arguments = ["keys", "new", "a \"partner\"", "--scope", "live", "--filter", &filter];
    let printed = text(&run(&arguments, &[]).await.stdout);
    let (key, settings) = printed.split_once("\n\n").unwrap();
    assert!(key.starts_with("key: grk_"), "{key}");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), settings).unwrap();
    let needed =
        ["REGION", "CLIENT_ID", "CLIENT_SECRET"].map(|name| (format!("GENESYS_{name}"), "eu-west-1".to_owned()));
    let settings = Settings::load(&Sources {
        environment: needed.into(),
        file: Some(file.path().to_owned()),
        ..Sources::default()
    });
    let keys = settings.unwrap().auth.keys;
    assert_eq!((keys.len(), keys[0].name.as_str()), (1, "a \"partner\""));
    assert_eq!(
        keys[0].filters.filter().values_of("queueId"),
        Some(&[id.to_owned()].into())
    );
}

#[tokio::test]
async fn wrong_use_is_told_from_failure() {
    for arguments in [
        &["nonsense"][..],
        &[],
        &["serve", "--verbose"],
        &["keys", "new", "x", "--scope", "root"],
        &["keys", "new", "x", "--filter", "media.type=voice"],
    ] {
        assert_eq!(run(arguments, &[]).await.status.code(), Some(2), "{arguments:?}");
    }
    let missing = run(&["check", "--config", "/nowhere/settings.toml"], &[]).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("/nowhere/settings.toml"));
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["demo", "--listen", &address], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&format!("cannot listen on {address}")),
        "{}",
        text(&output.stderr)
    );
}

/// A file that is gone when the test ends.
struct ScratchFile(PathBuf);

impl ScratchFile {
    fn new(name: &str, text: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", uuid::Uuid::new_v4()));
        fs::write(&path, text).expect("the scratch folder takes it");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in text")
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    listener.local_addr().expect("it is bound")
}
