//! The same rows in every format, read back by other people's software.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::service::{Answer, Service};

/// Rows of every kind of column: bucket, its edges, id, name, count, milliseconds, share.
const QUESTION: &str = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-27&timeZone=Europe/Berlin&interval=P1D\
    &groupBy=routing.queue.id&select=interval.start,interval.end,routing.queue.id,routing.queue.name,\
    conversation.count,handle.time.average,service.level";

#[tokio::test(start_paused = true)]
async fn every_format_holds_the_same_rows() {
    let service = Service::start().await;
    let table = service.get(&format!("{QUESTION}&format=table")).await.json();
    assert_eq!(
        table["columns"],
        json!([
            {"name": "interval.start", "title": "Interval start", "type": "instant", "unit": null},
            {"name": "interval.end", "title": "Interval end", "type": "instant", "unit": null},
            {"name": "routing.queue.id", "title": "Queue id", "type": "text", "unit": null},
            {"name": "routing.queue.name", "title": "Queue name", "type": "text", "unit": null},
            {"name": "conversation.count", "title": "Conversation count", "type": "number", "unit": "count"},
            {"name": "handle.time.average", "title": "Handle time, average", "type": "number", "unit": "milliseconds"},
            {"name": "service.level", "title": "Service level", "type": "number", "unit": "ratio"},
        ])
    );
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.len() > 40, "{}", rows.len());
    assert_eq!(table["total"], rows.len());
    assert_eq!(rows[0][0], "2023-11-20T00:00:00.000+01:00");
    assert_eq!(rows[0][1], "2023-11-21T00:00:00.000+01:00");

    let json = service.get(&format!("{QUESTION}&pageSize=1000")).await.json();
    let entities: Vec<Value> = rows.iter().map(entity).collect();
    assert_eq!(json["entities"], json!(entities));

    let ndjson = service.get(&format!("{QUESTION}&format=ndjson")).await.text();
    let lines: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, entities);

    let csv = service.get(&format!("{QUESTION}&format=csv")).await;
    let read = python(
        "import csv, io, json, sys\n\
         rows = csv.DictReader(io.StringIO(sys.stdin.buffer.read().decode('utf-8'), newline=''), strict=True)\n\
         json.dump([list(row.items()) for row in rows], sys.stdout)",
        &csv,
    );
    let names: Vec<&Value> = table["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    let fields = |row: &Value| -> Value {
        let cells = names.iter().zip(row.as_array().unwrap());
        cells.map(|(name, cell)| json!([name, as_field(cell)])).collect()
    };
    assert_eq!(read, rows.iter().map(fields).collect::<Value>());
    assert_eq!(service.upstream_calls(), 2, "one for the figures, one for the names");
}

/// What is sent is one gzip stream, whoever made its end; what is in it is what others get as it is.
#[tokio::test(start_paused = true)]
async fn who_asks_for_gzip_gets_the_same_in_fewer_bytes() {
    const DECOMPRESSED: &str = "import json, sys, zlib\n\
         stream = zlib.decompressobj(31)\n\
         text = stream.decompress(sys.stdin.buffer.read())\n\
         assert stream.eof and not stream.unused_data\n\
         json.dump(list(text), sys.stdout)";
    let service = Service::start().await;
    let get = async |method: Method, path: &str| {
        let request = service.request(method, path);
        service.send(request.header("accept-encoding", "br, gzip;q=0.8")).await
    };
    let calls = {
        service.get(QUESTION).await;
        service.upstream_calls()
    };
    for format in ["json&pageSize=1000&explain=formula", "table", "ndjson", "csv", "arrow"] {
        let path = format!("{QUESTION}&format={format}");
        let plain = service.get(&path).await;
        assert_eq!(plain.header("content-encoding"), "", "{format}");
        for _ in 0..2 {
            let compressed = get(Method::GET, &path).await;
            assert_eq!(compressed.header("content-encoding"), "gzip", "{format}");
            assert_eq!(compressed.header("etag"), plain.header("etag"), "{format}");
            assert!(compressed.header("vary").contains("accept-encoding"), "{format}");
            assert!(
                compressed.body.len() * 2 < plain.body.len(),
                "{format}: {} of {}",
                compressed.body.len(),
                plain.body.len()
            );
            assert!(
                python(DECOMPRESSED, &compressed) == json!(plain.body.to_vec()),
                "{format}"
            );
            let head = get(Method::HEAD, &path).await;
            assert_eq!(
                (head.header("content-length"), head.header("content-encoding")),
                (compressed.header("content-length"), "gzip"),
                "{format}"
            );
        }
        let request = service.request(Method::GET, &path).header("accept-encoding", "gzip");
        let held = service
            .send(request.header("if-none-match", plain.header("etag")))
            .await;
        assert_eq!(
            (held.status.as_u16(), held.body.len(), held.header("content-encoding")),
            (304, 0, ""),
            "{format}"
        );
    }
    for format in ["xlsx", "parquet", "csv&limit=1"] {
        let answer = get(Method::GET, &format!("{QUESTION}&format={format}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-encoding")),
            (200, ""),
            "{format}"
        );
    }
    let later = get(Method::GET, &format!("{QUESTION}&format=csv&wait=5")).await;
    assert_eq!(
        later.header("content-encoding"),
        "",
        "whoever takes it may not be who asked"
    );
    assert_eq!(service.upstream_calls(), calls);
}

/// pyarrow reads them; `DuckDB`, which knows nothing of Arrow, finds the same in the Parquet file.
#[tokio::test(start_paused = true)]
async fn arrow_and_parquet_have_the_same_rows_with_types_units_and_provenance() {
    let service = Service::start().await;
    let table = service.get(&format!("{QUESTION}&format=table")).await.json();
    let expected: Vec<Value> = table["rows"].as_array().unwrap().iter().map(typed).collect();
    let fields = json!([
        ["interval.start", "timestamp[ms, tz=Europe/Berlin]", null],
        ["interval.end", "timestamp[ms, tz=Europe/Berlin]", null],
        ["routing.queue.id", "string", null],
        ["routing.queue.name", "string", null],
        ["conversation.count", "int64", "count"],
        ["handle.time.average", "double", "milliseconds"],
        ["service.level", "double", "ratio"],
    ]);
    for (format, extension) in [("arrow", "arrows"), ("parquet", "parquet")] {
        let answer = service.get(&format!("{QUESTION}&format={format}")).await;
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"conversations-2023-11-20-2023-11-26.{extension}\"")
        );
        let read = columnar(format, &answer);
        assert_eq!(read["fields"], fields, "{format}");
        assert_eq!(read["rows"], json!(expected), "{format}");
        let about = &read["about"];
        assert_eq!(about["asOf"], answer.header("x-data-as-of"), "{format}");
        assert_eq!(about["complete"], answer.header("x-data-complete"), "{format}");
        assert_eq!(about["settledThrough"], table["meta"]["settledThrough"], "{format}");

        let nothing = service
            .get(&format!("{QUESTION}&filter=ani:nobody&format={format}"))
            .await;
        let nothing = columnar(format, &nothing);
        assert_eq!(
            (&nothing["fields"], &nothing["rows"]),
            (&fields, &json!([])),
            "{format}"
        );

        let bucket = "/v1/query?dateFrom=yesterday&interval=P1D&select=interval,conversation.count";
        let bucket = service.get(&format!("{bucket}&format={format}")).await;
        assert_eq!(
            columnar(format, &bucket)["rows"][0].as_array().unwrap()[..2],
            [json!("2023-11-30T00:00:00+00:00"), json!("2023-12-01T00:00:00+00:00")],
            "{format}"
        );
    }
    let parquet = service.get(&format!("{QUESTION}&format=parquet")).await;
    let sums = duckdb(
        "select count(*), sum(\"conversation.count\"), epoch_ms(min(\"interval.start\")) from read_parquet(FILE)",
        &parquet,
    );
    let count: u64 = expected.iter().filter_map(|row| row[4].as_u64()).sum();
    assert_eq!(sums, json!([[expected.len(), count, 1_700_434_800_000_u64]]));
}

/// Names come as files too: they have no instants, and an id is a text.
#[tokio::test(start_paused = true)]
async fn lookups_come_as_arrow_and_parquet_too() {
    let service = Service::start().await;
    let table = service.get("/v1/lookups/queues?format=table").await.json();
    for format in ["arrow", "parquet"] {
        let answer = service.get(&format!("/v1/lookups/queues?format={format}")).await;
        let read = columnar(format, &answer);
        assert_eq!(
            read["fields"],
            json!([["id", "string", null], ["name", "string", null]])
        );
        assert_eq!(read["rows"], table["rows"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workbook_has_a_header_that_stays_and_typed_cells() {
    let service = Service::start().await;
    let rows = service.get(&format!("{QUESTION}&format=table")).await.json()["rows"].clone();
    let xlsx = service.get(&format!("{QUESTION}&format=xlsx")).await;
    assert_eq!(
        xlsx.header("content-disposition"),
        "attachment; filename=\"conversations-2023-11-20-2023-11-26.xlsx\""
    );
    let read = workbook(&xlsx);
    assert_eq!(read["frozen"], "A2");
    assert_eq!(read["bold"], json!(vec![true; 7]));
    assert_eq!(read["created"], "2023-12-01T12:00:00");
    assert_eq!(
        read["header"],
        json!([
            "interval.start",
            "interval.end",
            "routing.queue.id",
            "routing.queue.name",
            "conversation.count",
            "handle.time.average",
            "service.level"
        ])
    );
    assert_eq!(read["rows"].as_array().unwrap().len(), rows.as_array().unwrap().len());
    for (row, expected) in read["rows"].as_array().unwrap().iter().zip(rows.as_array().unwrap()) {
        // What clocks showed in Berlin; a workbook knows no offset.
        for edge in [0, 1] {
            let shown = expected[edge].as_str().unwrap().replace(".000+01:00", "");
            assert_eq!(row[edge], json!(["datetime", shown]));
        }
        for place in 2..7 {
            let (cell, expected) = (&row[place], &expected[place]);
            match (cell[0].as_str().unwrap(), expected.as_f64()) {
                ("int" | "float", Some(number)) if place >= 4 => {
                    let read = cell[1].as_f64().unwrap();
                    assert!((read - number).abs() <= number.abs() * 1e-12, "{cell} is not {number}");
                }
                ("str", None) if place < 4 => assert_eq!(&cell[1], expected),
                ("NoneType", None) => assert!(expected.is_null()),
                _ => panic!("{cell} is not {expected}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_nothing_matches_the_schema_is_the_same() {
    let service = Service::start().await;
    let nothing = format!("{QUESTION}&filter=ani:nobody");
    let header = "interval.start,interval.end,routing.queue.id,routing.queue.name,conversation.count,\
                  handle.time.average,service.level\r\n";
    assert_eq!(service.get(&format!("{nothing}&format=csv")).await.text(), header);
    assert_eq!(service.get(&format!("{nothing}&format=ndjson")).await.text(), "");
    let xlsx = workbook(&service.get(&format!("{nothing}&format=xlsx")).await);
    assert_eq!(xlsx["header"].as_array().unwrap().len(), 7);
    assert_eq!((&xlsx["rows"], &xlsx["frozen"]), (&json!([]), &json!("A2")));
    let empty = service.get(&format!("{nothing}&format=table")).await.json();
    let full = service.get(&format!("{QUESTION}&format=table")).await.json();
    assert_eq!((&empty["columns"], &empty["rows"]), (&full["columns"], &json!([])));
    assert_eq!(service.get(&nothing).await.json()["entities"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_format_is_chosen_by_accept_and_by_parameter() {
    const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    const ARROW: &str = "application/vnd.apache.arrow.stream";
    const PARQUET: &str = "application/vnd.apache.parquet";
    const TABLE: &str = "application/vnd.genesys-reports.table+json";
    let service = Service::start().await;
    let question = "/v1/query?dateFrom=yesterday";
    // From now on it is held, and the answer says so.
    service.get(question).await;
    for (accept, format, expected) in [
        ("*/*", "", "application/json"),
        ("text/csv", "", "text/csv; charset=utf-8; header=present"),
        (
            "text/csv;q=0.9, application/json;q=0.8",
            "",
            "text/csv; charset=utf-8; header=present",
        ),
        (XLSX, "", XLSX),
        (ARROW, "", ARROW),
        (PARQUET, "", PARQUET),
        (TABLE, "", TABLE),
        ("application/x-ndjson", "", "application/x-ndjson"),
        ("text/html", "&format=xlsx", XLSX),
        ("text/csv", "&format=json", "application/json"),
    ] {
        let request = service.request(Method::GET, &format!("{question}{format}"));
        let answer = service.send(request.header("accept", accept)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, expected),
            "{accept} {format}"
        );
        let is_file = [XLSX, ARROW, PARQUET].contains(&expected) || expected.starts_with("text/csv");
        assert_eq!(answer.headers.contains_key("content-disposition"), is_file);
        let held = service
            .request(Method::GET, &format!("{question}{format}"))
            .header("accept", accept)
            .header("if-none-match", answer.header("etag"));
        assert_eq!(service.send(held).await.status, 304, "{accept} {format}");
    }
    for (path, accept, exists) in [
        (question, "text/html", "text/csv"),
        ("/v1/conversations?dateFrom=yesterday", "application/pdf", XLSX),
        ("/v1/catalog", XLSX, "application/json"),
    ] {
        let request = service.request(Method::GET, path).header("accept", accept);
        let answer = service.send(request).await;
        assert_eq!(answer.status, 406);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("application/json") && detail.contains(exists),
            "{detail}"
        );
        assert!(!detail.contains(accept), "{detail}");
    }
    let wrong = service.get("/v1/conversations?dateFrom=yesterday&format=pdf").await;
    assert_eq!(wrong.status, 422);
    assert_eq!(
        wrong.json()["errors"][0]["detail"],
        "must be `json`, `table`, `ndjson`, `csv`, `xlsx`, `arrow` or `parquet`"
    );
}

#[tokio::test(start_paused = true)]
async fn machines_get_all_rows_unless_they_ask_for_a_page() {
    let service = Service::start().await;
    let question = "/v1/query?dateFrom=2023-11-01&dateTo=2023-12-01&interval=PT1H&groupBy=media.type\
                    &fill=zero&orderBy=-conversation.count,interval";
    let page = service.get(question).await.json();
    let total = page["total"].as_u64().unwrap();
    assert!(total > 1000, "more than the largest page: {total}");
    assert_eq!(page["entities"].as_array().unwrap().len(), 100);
    let lines = |answer: &Answer| answer.text().lines().count() as u64;
    for (format, head) in [("csv", 1), ("ndjson", 0)] {
        let all = service.get(&format!("{question}&format={format}")).await;
        assert_eq!(lines(&all), total + head, "{format}");
        let second = service
            .get(&format!("{question}&format={format}&page=2&pageSize=7"))
            .await;
        assert_eq!(lines(&second), 7 + head, "{format}");
    }
    let table = service.get(&format!("{question}&format=table")).await.json();
    assert_eq!(table["rows"].as_array().unwrap().len() as u64, total);
    assert_eq!((&table["pageSize"], &table["nextUri"]), (&json!(total), &json!(null)));
    let workbook = workbook(&service.get(&format!("{question}&format=xlsx")).await);
    assert_eq!(workbook["rows"].as_array().unwrap().len() as u64, total);
}

#[tokio::test(start_paused = true)]
async fn more_rows_than_are_made_are_refused_with_advice() {
    let service = Service::start().await;
    // 10,080 minutes for each of forty agents and then some.
    let answer = service
        .get(
            "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-27&interval=PT1M&groupBy=agent.id,wrapUpCode\
             &fill=zero&format=csv",
        )
        .await;
    assert_eq!(answer.status, 422, "{:.200}", answer.text());
    assert_eq!(answer.json()["type"], "urn:genesys-reports:problem:answer-too-large");
    assert!(answer.json()["detail"].as_str().unwrap().contains("250000 is the most"));
}

/// A row of the table as the object JSON makes of it.
fn entity(row: &Value) -> Value {
    json!({
        "interval": {"start": row[0], "end": row[1]},
        "routing": {"queue": {"id": row[2], "name": row[3]}},
        "conversation": {"count": row[4]},
        "handle": {"time": {"average": row[5]}},
        "service": {"level": row[6]},
    })
}

fn as_field(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A row of a table as pyarrow reads it, which leaves out milliseconds that are none.
fn typed(row: &Value) -> Value {
    let cells = row.as_array().unwrap().iter();
    let typed = cells.map(|cell| match cell.as_str() {
        Some(text) => json!(text.replace(".000+", "+")),
        None => cell.clone(),
    });
    typed.collect()
}

/// What pyarrow finds: name, type and unit of every field, what the file says of itself, and the rows.
pub(crate) fn columnar(format: &str, answer: &Answer) -> Value {
    let open = match format {
        "arrow" => "pyarrow.ipc.open_stream(body).read_all()",
        _ => "pyarrow.parquet.read_table(pyarrow.BufferReader(body))",
    };
    let script = "import json, sys, pyarrow, pyarrow.ipc, pyarrow.parquet\n\
         body = sys.stdin.buffer.read()\n\
         table = OPEN\n\
         table.validate(full=True)\n\
         text = lambda pairs: {key.decode(): value.decode() for key, value in (pairs or {}).items()}\n\
         shown = lambda value: value.isoformat() if hasattr(value, 'isoformat') else (\n\
         int(value) if isinstance(value, float) and value.is_integer() else value)\n\
         json.dump({\n\
         'fields': [[field.name, str(field.type), text(field.metadata).get('unit')] for field in table.schema],\n\
         'about': text(table.schema.metadata),\n\
         'rows': [[shown(value) for value in row.values()] for row in table.to_pylist()],\n\
         }, sys.stdout)";
    python(&script.replace("OPEN", open), answer)
}

/// What `DuckDB` answers when asked about the body as a file.
pub(crate) fn duckdb(question: &str, answer: &Answer) -> Value {
    let script = "import json, sys, tempfile, duckdb\n\
         file = tempfile.NamedTemporaryFile()\n\
         file.write(sys.stdin.buffer.read())\n\
         file.flush()\n\
         found = duckdb.sql('''QUESTION'''.replace('FILE', repr(file.name))).fetchall()\n\
         json.dump(found, sys.stdout, default=int)";
    python(&script.replace("QUESTION", question), answer)
}

/// What openpyxl finds: the header, the rows as pairs of type and value, and how the sheet looks.
pub(crate) fn workbook(answer: &Answer) -> Value {
    python(
        "import io, json, sys, openpyxl\n\
         book = openpyxl.load_workbook(io.BytesIO(sys.stdin.buffer.read()))\n\
         sheet = book.active\n\
         shown = lambda value: value.isoformat() if hasattr(value, 'isoformat') else value\n\
         head, *rows = sheet.iter_rows()\n\
         assert book.sheetnames == [sheet.title]\n\
         assert all(cell.data_type != 'f' for row in rows for cell in row)\n\
         json.dump({\n\
         'header': [cell.value for cell in head],\n\
         'bold': [cell.font.bold for cell in head],\n\
         'frozen': sheet.freeze_panes,\n\
         'created': book.properties.created.isoformat(),\n\
         'rows': [[[type(cell.value).__name__, shown(cell.value)] for cell in row] for row in rows],\n\
         }, sys.stdout)",
        answer,
    )
}

/// Runs a script over the body of an answer; what it prints is JSON.
pub(crate) fn python(script: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    // All has been said by then: pyarrow's threads can abort an interpreter that takes itself apart.
    let script = format!("{script}\nimport os, sys; sys.stdout.flush(); os._exit(0)");
    let mut child = Command::new(&interpreter)
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run ./test, which installs what the tests need",
                interpreter.display()
            )
        });
    child.stdin.take().unwrap().write_all(&answer.body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} fails");
    serde_json::from_slice(&output.stdout).unwrap()
}
