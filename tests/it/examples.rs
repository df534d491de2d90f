//! The examples work: what they ask is answered, and what they read from the answers is there.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    command_line::text,
    run::Upstream,
    support::service::{Answer, Service},
};

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn ask(service: &Service, path: &str) -> Answer {
    let answer = service.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

#[tokio::test(start_paused = true)]
async fn every_panel_of_the_grafana_dashboard_finds_its_columns() {
    let service = Service::start().await;
    let dashboard: Value = serde_json::from_str(&example("grafana/dashboard.json")).unwrap();
    let queues = ask(&service, "/v1/lookups/queues").await.json();
    let ids = queues["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| queue["id"].as_str().unwrap());
    let ids = ids.collect::<Vec<_>>().join(",");
    let now = service.clock.now();
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let milliseconds = [(now - week), now].map(|instant| instant.as_millisecond().to_string());
    let day = (now - week).to_string()[..10].to_owned();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let targets = panels
        .map(|panel| &panel["targets"][0])
        .chain(variables.filter_map(|variable| variable["query"].get("infinityQuery")));
    let mut asked = 0;
    for target in targets {
        // As Grafana fills them in.
        let url = target["url"].as_str().unwrap();
        let url = url
            .replace("${__from:date:YYYY-MM-DD}", &day)
            .replace("${__from}", &milliseconds[0])
            .replace("${__to}", &milliseconds[1])
            .replace("${zone}", "Europe/Berlin")
            .replace("${queue:csv}", &ids);
        assert!(!url.contains('$'), "{url}");
        let answer = ask(&service, &url).await.json();
        let rows = answer[target["root_selector"].as_str().unwrap()].as_array().unwrap();
        assert!(!rows.is_empty(), "{url}");
        for column in target["columns"].as_array().unwrap() {
            let path = format!("/{}", column["selector"].as_str().unwrap().replace('.', "/"));
            let is_there = |row: &Value| row.pointer(&path).is_some_and(|cell| !cell.is_null());
            assert!(rows.iter().any(is_there), "{url} has no {path}");
        }
        asked += 1;
    }
    assert_eq!(asked, 5);
}

#[tokio::test(start_paused = true)]
async fn every_power_query_finds_its_columns() {
    let service = Service::start().await;
    for name in ["powerbi/queue-performance.pq", "excel/queue-performance.pq"] {
        let source = example(name);
        let quoted = |text: &str| text.split('"').nth(1).map(str::to_owned);
        let after = |start: &str| source.split_once(start).unwrap_or_else(|| panic!("{name}: {start}")).1;
        let path = quoted(after("RelativePath = ")).unwrap();
        let fields = after("Query = [").split_once(']').unwrap().0;
        // A day that stands in the workbook is written by the function `Day`.
        let fields = fields
            .replace("Day(Range[From", "\"2023-11-20\"")
            .replace("Day(Range[To", "\"2023-11-27\"");
        let pairs = fields.split(',').map(|field| {
            let (name, value) = field.split_once('=').unwrap_or_else(|| panic!("{field}"));
            format!("{}={}", name.trim(), quoted(value).unwrap_or_else(|| panic!("{field}")))
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        let answer = ask(&service, &format!("/{path}?{query}")).await.text();
        let header = answer.lines().next().unwrap();
        let columns: Vec<&str> = header.split(',').collect();
        assert!(answer.lines().count() > 1, "{name}: {query}");
        let typed = after("TransformColumnTypes(");
        let named = typed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("{\"")?.split('"').next());
        let mut read = 0;
        // `Start` is made of the bucket.
        for column in named.filter(|column| *column != "Start") {
            assert!(columns.contains(&column), "{name}: {column} is not among {header}");
            read += 1;
        }
        assert_eq!(read, 6, "{name}");
    }
}

#[tokio::test]
async fn the_warehouse_is_loaded_twice_and_doubles_nothing() {
    let upstream = Upstream::start().await;
    let warehouse = upstream.directory.path().join("warehouse");
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let load = async || {
        let mut command = Command::new("bash");
        command.arg(root.join("examples/warehouse/load.sh")).arg(&warehouse);
        command.envs(upstream.environment());
        command
            .env("PROGRAM", env!("CARGO_BIN_EXE_genesys-reports"))
            .env("DAYS", "3");
        let output = command.output().await.expect("bash starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let read = async || {
        let script = "import duckdb, json, sys\n\
             questions = [q for q in open(sys.argv[1]).read().split(';') if q.strip()]\n\
             print(json.dumps([duckdb.sql(q).fetchall() for q in questions], default=str))";
        let mut command = Command::new(root.join(".venv/bin/python"));
        command
            .args(["-c", script])
            .arg(root.join("examples/warehouse/queries.sql"))
            .current_dir(&warehouse);
        let output = command
            .output()
            .await
            .expect("Python starts: run ./test, which installs what the tests need");
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    load().await;
    let first = read().await;
    for answer in first.as_array().unwrap() {
        assert_ne!(answer, &json!([]), "{first}");
    }
    assert_eq!(first[0].as_array().unwrap().len(), 3, "a row a day: {first}");
    load().await;
    let second = read().await;
    // What happened on whole days before today stays; how long a conversation takes that still runs does not.
    assert_eq!(second[0], first[0]);
    let conversations = |answers: &Value| -> i64 {
        let rows = answers[1].as_array().unwrap().iter();
        rows.map(|row| row[1].as_i64().unwrap()).sum()
    };
    assert_eq!(conversations(&second), conversations(&first));
}
