//! Whole ranges of conversations as rows: the same in every format, read back by other people's software.

use std::time::Duration;

use genesys_reports::simulator::faults::{Effect, Fault};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    formats::{columnar, duckdb, python, workbook},
    support::service::{Answer, Service, Setup, connect},
};

const RANGE: &str = "dateFrom=2023-11-20&dateTo=2023-11-27&timeZone=Europe/Berlin";

fn path(format: &str) -> String {
    format!("/v1/conversations?{RANGE}&format={format}")
}

/// Records as Python's csv module reads them, each an object.
fn records(answer: &Answer) -> Vec<Value> {
    let read = python(
        "import csv, io, json, sys\n\
         rows = csv.DictReader(io.StringIO(sys.stdin.buffer.read().decode('utf-8'), newline=''), strict=True)\n\
         json.dump([row for row in rows], sys.stdout)",
        answer,
    );
    read.as_array().unwrap().clone()
}

fn number(record: &Value, name: &str) -> f64 {
    let text = record[name].as_str().unwrap();
    if text.is_empty() { 0.0 } else { text.parse().unwrap() }
}

#[tokio::test(start_paused = true)]
async fn rows_say_what_the_documents_say() {
    let service = Service::start().await;
    let lines = service.get(&path("ndjson")).await;
    let documents: Vec<Value> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(documents.len() > 400, "{}", documents.len());
    let csv = service.get(&path("csv")).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"conversations-2023-11-20-2023-11-26.csv\""
    );
    let records = records(&csv);
    assert_eq!(records.len(), documents.len());
    let every = |document: &Value, of: &str| -> Vec<Value> {
        let participants = document["participants"].as_array().unwrap().iter();
        let sessions = participants.flat_map(|participant| participant["sessions"].as_array().unwrap());
        let lists = sessions.filter_map(|session| session[of].as_array());
        lists.flatten().cloned().collect()
    };
    for (record, document) in records.iter().zip(&documents) {
        assert_eq!(record["conversation.id"], document["conversationId"]);
        assert_eq!(record["conversation.direction"], document["originatingDirection"]);
        for (name, metric) in [
            ("handle.time", "tHandle"),
            ("talk.time", "tTalkComplete"),
            ("acw.time", "tAcw"),
            ("acd.time", "tAcd"),
            ("conversation.offered", "nOffered"),
            ("conversation.transferred", "nTransferred"),
        ] {
            let metrics = every(document, "metrics");
            let emitted = metrics.iter().filter(|emitted| emitted["name"] == metric);
            let expected: f64 = emitted.map(|emitted| emitted["value"].as_f64().unwrap()).sum();
            assert!((number(record, name) - expected).abs() < 0.5, "{name} of {document}");
        }
        for segment in every(document, "segments") {
            if let Some(queue) = segment["queueId"].as_str() {
                assert!(record["routing.queue.id"].as_str().unwrap().contains(queue));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_format_of_rows_holds_the_same() {
    let service = Service::start().await;
    let csv = service.get(&path("csv")).await;
    let records = records(&csv);
    let header = csv.text().lines().next().unwrap().to_owned();
    let names: Vec<&str> = header.split(',').collect();
    let handled: f64 = records.iter().map(|record| number(record, "handle.time")).sum();
    for format in ["arrow", "parquet"] {
        let answer = service.get(&path(format)).await;
        let read = columnar(format, &answer);
        let fields = read["fields"].as_array().unwrap();
        let of = |name: &str| fields.iter().find(|field| field[0] == name).unwrap().clone();
        assert_eq!(
            fields
                .iter()
                .map(|field| field[0].as_str().unwrap())
                .collect::<Vec<_>>(),
            names
        );
        assert_eq!(of("conversation.start")[1], "timestamp[ms, tz=Europe/Berlin]");
        assert_eq!(of("agent.id")[1], "string");
        assert_eq!(of("handle.time"), json!(["handle.time", "double", "milliseconds"]));
        assert_eq!(of("participant.count"), json!(["participant.count", "int64", "count"]));
        assert_eq!(of("mos"), json!(["mos", "double", null]));
        let rows = read["rows"].as_array().unwrap();
        assert_eq!(rows.len(), records.len(), "{format}");
        for (row, record) in rows.iter().zip(&records) {
            for ((cell, name), field) in row.as_array().unwrap().iter().zip(&names).zip(fields) {
                let expected = record[*name].as_str().unwrap();
                match cell {
                    Value::Null => assert_eq!(expected, "", "{name}"),
                    Value::Number(number) => assert_eq!(number.as_f64(), expected.parse().ok(), "{name}"),
                    // CSV puts an apostrophe in front of what could start a formula.
                    text if field[1] == "string" => {
                        assert_eq!(text.as_str().unwrap(), expected.trim_start_matches('\''));
                    }
                    // pyarrow leaves out milliseconds that are none.
                    text => assert_eq!(text.as_str().unwrap()[..19], expected[..19], "{name}"),
                }
            }
        }

        let nothing = service.get(&format!("{}&filter=ani:nobody", path(format))).await;
        let nothing = columnar(format, &nothing);
        assert_eq!((&nothing["fields"], &nothing["rows"]), (&read["fields"], &json!([])));
    }
    let nothing = service.get(&format!("{}&filter=ani:nobody", path("csv"))).await;
    assert_eq!(nothing.text(), format!("{header}\r\n"));

    let found = duckdb(
        "select count(*), count(distinct \"conversation.id\"), sum(\"handle.time\") from read_parquet(FILE)",
        &service.get(&path("parquet")).await,
    );
    assert_eq!(found[0][0], records.len());
    assert_eq!(found[0][1], records.len());
    assert_eq!(found[0][2].as_f64(), Some(handled));
    let found = duckdb(
        "select count(*), count(distinct conversationId) from read_json(FILE, format = 'newline_delimited')",
        &service.get(&path("ndjson")).await,
    );
    assert_eq!(found, json!([[records.len(), records.len()]]));
}

/// Tables and workbooks are made of the snapshot that pages are cut from.
#[tokio::test(start_paused = true)]
async fn tables_and_workbooks_hold_the_same_rows() {
    let service = Service::start().await;
    let records = records(&service.get(&path("csv")).await);
    let table = service.get(&path("table")).await.json();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &table["total"]), (records.len(), &json!(records.len())));
    let columns = table["columns"].as_array().unwrap();
    for (row, record) in rows.iter().zip(&records) {
        for (cell, column) in row.as_array().unwrap().iter().zip(columns) {
            let expected = record[column["name"].as_str().unwrap()].as_str().unwrap();
            match cell {
                Value::Null => assert_eq!(expected, "", "{column}"),
                Value::Number(number) => assert_eq!(number.as_f64(), expected.parse().ok(), "{column}"),
                text => assert_eq!(text.as_str().unwrap(), expected.trim_start_matches('\''), "{column}"),
            }
        }
    }
    let xlsx = service.get(&path("xlsx")).await;
    assert_eq!(
        xlsx.header("content-disposition"),
        "attachment; filename=\"conversations-2023-11-20-2023-11-26.xlsx\""
    );
    let read = workbook(&xlsx);
    assert_eq!(
        (&read["frozen"], &read["header"][0]),
        (&json!("A2"), &json!("conversation.id"))
    );
    let cells = read["rows"].as_array().unwrap();
    assert_eq!(cells.len(), rows.len());
    for (cells, row) in cells.iter().zip(rows) {
        assert_eq!((&cells[0][1], &cells[1][0]), (&row[0], &json!("datetime")));
    }
}

/// A page, and an order, are kept in every format.
#[tokio::test(start_paused = true)]
async fn pages_and_orders_are_those_of_the_listing() {
    let service = Service::start().await;
    let page = |format: &str| {
        format!("/v1/conversations?{RANGE}&format={format}&orderBy=-conversation.start&pageSize=7&page=2")
    };
    let json = service.get(&page("json")).await.json();
    let ids: Vec<&Value> = json["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["conversationId"])
        .collect();
    assert_eq!(ids.len(), 7);
    let table = service.get(&page("table")).await.json();
    assert_eq!((&table["total"], &table["page"]), (&json["total"], &json!(2)));
    let shown = |rows: &Value| {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row[0].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&table["rows"]).iter().collect::<Vec<_>>(), ids);
    let csv = records(&service.get(&page("csv")).await);
    assert_eq!(
        csv.iter().map(|record| &record["conversation.id"]).collect::<Vec<_>>(),
        ids
    );
    let parquet = columnar("parquet", &service.get(&page("parquet")).await);
    assert_eq!(shown(&parquet["rows"]).iter().collect::<Vec<_>>(), ids);
    let lines = service.get(&page("ndjson")).await.text();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|one| &one["conversationId"]).collect::<Vec<_>>(), ids);
    let latest = service
        .get(&format!("{}&orderBy=-conversation.start", path("csv")))
        .await;
    let latest: Vec<Value> = records(&latest)
        .into_iter()
        .map(|record| record["conversation.id"].clone())
        .collect();
    let mut earliest: Vec<Value> = records(&service.get(&path("csv")).await)
        .into_iter()
        .map(|record| record["conversation.id"].clone())
        .collect();
    earliest.reverse();
    assert_eq!(latest, earliest);
}

/// Five conversations were on the pages before; whatever the format, nobody takes them for the whole.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_visibly_broken_in_every_format() {
    for format in ["ndjson", "csv", "arrow", "parquet"] {
        let service = Service::start().await;
        service.fault(Fault::new(Effect::status(503)).on_body("/paging/pageNumber", 3));
        let mut response = service
            .request(reqwest::Method::GET, &path(format))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{format}: the first page has come");
        let mut received = Vec::new();
        let broken_off = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken_off, "{format}: {} bytes look like the whole", received.len());
        assert!(!received.is_empty(), "{format}");
        // A Parquet file begins with the four bytes it ends with.
        assert!(!received[4..].ends_with(b"PAR1"), "{format}: a footer");
    }
}

/// On the wire: the end that the framing calls for is missing, and what came before came as soon as it was there.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_after_a_thousand_rows_has_no_end_and_began_with_the_first_page() {
    for format in ["ndjson", "csv"] {
        let mut setup = Setup::new();
        setup.simulator.conversations_per_day = 1500;
        setup.simulator.days = 2;
        let service = setup.start().await;
        assert_eq!(service.get("/v1/lookups/queues").await.status, 200, "there is a token");
        let latency = Duration::from_secs(2);
        service.simulator.set_latency(latency);
        service.fault(
            Fault::new(Effect::status(503))
                .on_path("/api/v2/analytics/conversations/details/query")
                .on_body("/paging/pageNumber", 12),
        );
        let mut stream = connect(service.address).await.unwrap();
        let request = format!(
            "GET /v1/conversations?dateFrom=2023-11-30&dateTo=2023-12-01&format={format} HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut received = vec![0; 64 << 10];
        let first = stream.read(&mut received).await.unwrap();
        assert!(
            start.elapsed() < latency + Duration::from_millis(200),
            "{:?}",
            start.elapsed()
        );
        received.truncate(first);
        let _ = stream.read_to_end(&mut received).await;
        let received = String::from_utf8_lossy(&received);
        let rows = match format {
            "csv" => received.lines().filter(|line| line.matches(',').count() > 10).count() - 1,
            _ => received.matches("\"conversationId\":").count(),
        };
        assert!(rows >= 1000, "{format}: {rows} rows");
        assert!(!received.ends_with("0\r\n\r\n"), "{format}: it looks like the whole");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_at_once_is_answered_with_its_failure() {
    for format in ["csv", "arrow", "parquet"] {
        let service = Service::start().await;
        service.fault(Fault::new(Effect::status(503)).on_body("/paging/pageNumber", 1));
        let answer = service.get(&path(format)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (502, "upstream-unavailable")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whole_ranges_are_for_those_who_may_take_data_away() {
    let (setup, reader) = Setup::new().key("\"read\"", "");
    let (setup, exporter) = setup.key("\"read\", \"export\"", "");
    let service = setup.start().await;
    for (key, format, status) in [
        (&reader, "json", 200),
        (&reader, "csv", 403),
        (&reader, "arrow", 403),
        (&reader, "parquet", 403),
        (&reader, "xlsx", 403),
        (&reader, "table", 403),
        (&reader, "table&pageSize=5", 200),
        (&exporter, "parquet", 200),
        (&exporter, "xlsx", 200),
    ] {
        let request = service.request(reqwest::Method::GET, &path(format)).bearer_auth(key);
        assert_eq!(service.send(request).await.status, status, "{format}");
    }
}

/// As separate processes, so that the memory is the service's alone; the same script measures a million.
#[test]
fn memory_does_not_grow_with_the_range() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new(root.join(".venv/bin/python"))
        .arg(root.join("tests/tools/export-million"))
        .arg(env!("CARGO_BIN_EXE_genesys-reports"))
        .args(["--conversations", "20000", "--formats", "ndjson,csv,parquet"])
        .output()
        .expect("./test has installed what the tests need");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
}
