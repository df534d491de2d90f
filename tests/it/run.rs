//! `run` writes what a caller over HTTP gets, whole or not at all, and replaces days without doubling them.

use std::{fs, path::Path, process::Stdio, time::Duration};

use genesys_reports::{
    clock::Clock,
    simulator::{
        Options, Simulator,
        faults::{Effect, Fault},
    },
};
use jiff::{ToSpan, tz::TimeZone};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, task::JoinSet};

use crate::command_line::{run, text};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

pub(crate) struct Upstream {
    simulator: Simulator,
    settings: Vec<(&'static str, String)>,
    pub(crate) directory: TempDir,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let options = Options {
            days: 10,
            conversations_per_day: 200,
            ..Options::new(Clock::system())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let settings = vec![
            ("GENESYS_API_URL", url.clone()),
            ("GENESYS_LOGIN_URL", url),
            ("GENESYS_CLIENT_ID", options.client_id.clone()),
            ("GENESYS_CLIENT_SECRET", options.client_secret.clone()),
        ];
        let simulator = Simulator::new(options);
        let mut tasks = JoinSet::new();
        let platform = simulator.clone();
        tasks.spawn(async move { platform.serve(listener, std::future::pending()).await });
        Self {
            simulator,
            settings,
            directory: TempDir::new().expect("there is room for files"),
            _tasks: tasks,
        }
    }

    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    /// Its exit code, standard output and standard error.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
        let output = run(&[&["run"], arguments].concat(), &self.environment()).await;
        (output.status.code(), output.stdout, text(&output.stderr))
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .expect("a plain name")
            .to_owned()
    }

    /// What is in the directory, files of directories included.
    fn files(&self) -> Vec<String> {
        fn gather(directory: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    gather(&path, found);
                } else {
                    found.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        let mut found = Vec::new();
        gather(self.directory.path(), &mut found);
        found.sort();
        let root = format!("{}/", self.directory.path().display());
        found.iter().map(|path| path.replace(&root, "")).collect()
    }
}

fn day(ago: i64) -> String {
    let today = TimeZone::UTC.to_datetime(Clock::system().now()).date();
    today.saturating_sub(ago.days()).to_string()
}

#[tokio::test]
async fn a_terminal_shows_how_far_it_has_come() {
    let upstream = Upstream::start().await;
    upstream.simulator.set_latency(Duration::from_millis(300));
    let (from, file) = (day(9), upstream.path("list.csv"));
    // Runs the command with a terminal as its standard error, and copies to standard output what that shows.
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"))
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_genesys-reports"),
            "run",
            "conversation-list",
        ])
        .args(["--from", &from, "--output", &file])
        .envs(upstream.environment())
        .env("TERM", "xterm")
        .output()
        .await
        .expect("./test has installed what the tests need");
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains('█') && shown.contains("% "), "{shown}");
    assert!(fs::read_to_string(&file).unwrap().lines().count() > 1000);
}

/// The answers of other people's software about Parquet files by day.
fn duckdb(question: &str) -> Value {
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let script = "import json, sys, duckdb\njson.dump(duckdb.sql(sys.argv[1]).fetchall(), sys.stdout, default=str)";
    let output = std::process::Command::new(interpreter)
        .args(["-c", script, question])
        .output()
        .expect("./test installs it");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_report_is_written_to_a_file_or_to_standard_output() {
    let upstream = Upstream::start().await;
    let (from, to) = (day(4), day(2));
    let range = ["--from", from.as_str(), "--to", to.as_str()];
    let report = [&["queue-performance"], range.as_slice()].concat();
    let (code, csv, told) = upstream.run(&report).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(
        csv.starts_with(b"routing.queue.id,routing.queue.name,conversation.offered"),
        "{}",
        text(&csv)
    );
    // Into a pipe goes one line, and nothing that moves.
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(" bytes, as of ") && !told.contains('\u{1b}'), "{told}");
    for (name, begins) in [
        ("a.csv", b"routing.queue.id".as_slice()),
        ("a.ndjson", b"{"),
        ("a.xlsx", b"PK"),
        ("a.parquet", b"PAR1"),
        ("a.arrow", b"\xff\xff\xff\xff"),
    ] {
        let path = upstream.path(name);
        let (code, out, told) = upstream.run(&[&report[..], &["--output", &path]].concat()).await;
        assert_eq!((code, out.len()), (Some(0), 0), "{told}");
        let written = fs::read(&path).unwrap();
        assert!(written.starts_with(begins), "{name}");
        if name == "a.csv" {
            assert_eq!(text(&written), text(&csv));
        }
    }
    let (code, lines, told) = upstream
        .run(&[&["conversation-list", "--format", "ndjson"], range.as_slice()].concat())
        .await;
    assert_eq!(code, Some(0), "{told}");
    assert!(text(&lines).lines().count() > 100);
}

#[tokio::test]
async fn a_query_is_read_from_a_file_and_its_range_can_be_said() {
    let upstream = Upstream::start().await;
    let path = upstream.path("query.json");
    let query = r#"{"dateFrom": "2020-01-01", "interval": "P1D", "select": ["conversation.offered"]}"#;
    fs::write(&path, query).unwrap();
    let (code, csv, told) = upstream
        .run(&["--query", &path, "--from", &day(5), "--to", &day(2)])
        .await;
    assert_eq!((code, text(&csv).lines().count()), (Some(0), 4), "{told}");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_and_costs_nothing() {
    let upstream = Upstream::start().await;
    let path = upstream.path("out.csv");
    for (arguments, expected) in [
        (
            &["queue-performance", "--from", "yesterdy", "--param", "meda=voice"][..],
            "did you mean `media`?",
        ),
        (
            &["queue-performance", "--from", "yesterdy", "--param", "meda=voice"],
            "/from: ",
        ),
        (&["queue-perfomance"], "did you mean `queue-performance`?"),
        (&["queue-performance", "--format", "json"], "there are csv, ndjson"),
        (
            &["queue-performance", "--format", "parquet", "--output", &path],
            "say one or the other",
        ),
        (&["queue-performance", "--query", "x.json"], "cannot be used with"),
        (&["--query", "/nowhere/x.json"], "/nowhere/x.json"),
        (
            &["queue-performance", "--append-partition", "/nowhere/x"],
            "ask for an interval of a day",
        ),
        (&["queues-now", "--append-partition", "/nowhere/x"], "shows this moment"),
        (&["agents-now", "--append-partition", "/nowhere/x"], "shows this moment"),
        (
            &[
                "conversation-list",
                "--append-partition",
                "/nowhere/x",
                "--from",
                "now-2h",
                "--to",
                "now",
            ],
            "whole days of UTC",
        ),
        (&[], "<REPORT>"),
    ] {
        let (code, out, told) = upstream.run(arguments).await;
        assert_eq!((code, out.len()), (Some(2), 0), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    assert_eq!(upstream.simulator.journal().entries().len(), 0);
    assert_eq!(upstream.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_leaves_the_file_as_it_was() {
    let upstream = Upstream::start().await;
    let path = upstream.path("out.ndjson");
    fs::write(&path, "before").unwrap();
    let list = [
        "conversation-list",
        "--from",
        &day(6),
        "--to",
        &day(1),
        "--output",
        &path,
    ];
    upstream.simulator.push_fault(
        Fault::new(Effect::status(400))
            .on_path("/api/v2/analytics/conversations/details/query")
            .times(1000),
    );
    let (code, _, told) = upstream.run(&list).await;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), upstream.files().len()),
        ("before", 1)
    );

    // Neither does a signal.
    upstream.simulator.clear_faults();
    upstream.simulator.set_latency(Duration::from_secs(5));
    upstream.simulator.journal().clear();
    let mut child = Command::new(env!("CARGO_BIN_EXE_genesys-reports"))
        .arg("run")
        .args(list)
        .env_clear()
        .envs(upstream.environment())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // From its first request on, it listens to signals.
    while upstream.simulator.journal().entries().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), upstream.files().len()),
        ("before", 1)
    );
}

#[tokio::test]
async fn days_are_replaced_and_never_doubled() {
    let upstream = Upstream::start().await;
    let directory = upstream.path("figures");
    let (from, to) = (day(6), day(3));
    let figures = [
        "queue-performance",
        "--param",
        "interval=PT1H",
        "--from",
        &from,
        "--to",
        &to,
        "--append-partition",
        &directory,
    ];
    let (code, _, told) = upstream.run(&figures).await;
    assert_eq!(code, Some(0), "{told}");
    // Three days are one question.
    assert_eq!(upstream.simulator.journal().count(AGGREGATES), 1);
    let expected: Vec<String> = [6, 5, 4]
        .map(|ago| format!("figures/date={}/part-0.parquet", day(ago)))
        .to_vec();
    assert_eq!(upstream.files(), expected);
    let read = format!("read_parquet('{directory}/*/*.parquet', hive_partitioning=true)");
    let totals = format!("select count(*), count(distinct date), sum(\"conversation.offered\") from {read}");
    let before = duckdb(&totals);
    let (rows, days) = (before[0][0].as_u64().unwrap(), before[0][1].as_u64().unwrap());
    assert!(rows > 50 && days == 3, "{before}");
    let whole = upstream
        .run(&[
            "queue-performance",
            "--param",
            "interval=PT1H",
            "--from",
            &from,
            "--to",
            &to,
        ])
        .await;
    assert_eq!(text(&whole.1).lines().count() as u64 - 1, rows);
    // Once more, over one day less and one more: what was there is replaced.
    let later = day(2);
    let again = figures.map(|argument| if argument == to { later.as_str() } else { argument });
    assert_eq!(upstream.run(&again).await.0, Some(0));
    let after = duckdb(&format!("{totals} where date < '{to}'"));
    assert_eq!(after, before);

    let directory = upstream.path("conversations");
    let list = [
        "conversation-list",
        "--from",
        &from,
        "--to",
        &to,
        "--append-partition",
        &directory,
    ];
    for _ in 0..2 {
        let (code, _, told) = upstream.run(&list).await;
        assert_eq!(code, Some(0), "{told}");
    }
    let read = format!("read_parquet('{directory}/*/*.parquet', hive_partitioning=true)");
    let found = duckdb(&format!(
        "select count(*), count(distinct \"conversation.id\"), count(distinct date) from {read}"
    ));
    assert_eq!((&found[0][0], found[0][2].as_u64()), (&found[0][1], Some(3)), "{found}");
    assert!(found[0][0].as_u64().unwrap() > 100);
}
