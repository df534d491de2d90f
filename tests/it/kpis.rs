//! KPIs are worked out after everything has been added up, and say how; a limit cuts the ordered answer.

use axum::{Router, routing};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::service::{Service, Setup};

const WEEK: &str = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-27&timeZone=Europe/Berlin";

#[tokio::test(start_paused = true)]
async fn the_average_of_a_week_is_no_average_of_days() {
    // Somebody gives up on every day.
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 2_000;
    let service = setup.start().await;
    let select =
        "select=aht,handle.time.sum,handle.time.count,abandon.rate,conversation.abandoned,conversation.offered";
    let rows = async |question: String| service.get(&question).await.json()["entities"].clone();
    let week = rows(format!("{WEEK}&{select}")).await;
    let days = rows(format!("{WEEK}&{select}&interval=P1D")).await;
    let number = |row: &Value, pointer: &str| row.pointer(pointer).and_then(Value::as_f64).unwrap();
    let days = days.as_array().unwrap();
    assert_eq!(days.len(), 7);
    for (kpi, dividend, divisor) in [
        ("/aht", "/handle/time/sum", "/handle/time/count"),
        ("/abandon/rate", "/conversation/abandoned", "/conversation/offered"),
    ] {
        let summed = |part: &str| days.iter().map(|day| number(day, part)).sum::<f64>();
        let of_week = number(&week[0], kpi);
        assert!(
            of_week.total_cmp(&(summed(dividend) / summed(divisor))).is_eq(),
            "{kpi}"
        );
        let mean_of_days = summed(kpi) / 7.0;
        assert!(
            (of_week - mean_of_days).abs() > of_week * 1e-6,
            "{kpi}: {of_week}, {mean_of_days}"
        );
    }
}

/// An answer of Genesys Cloud itself, of a real queue's week, and its figures by a pocket calculator.
#[tokio::test(start_paused = true)]
async fn figures_of_a_real_week_are_those_of_a_pocket_calculator() {
    const SAMPLE: &str = include_str!(
        "../../src/simulator/genesys/samples/conversation-aggregates/response-queue-voice-service-level.json"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = routing::post(async || ([("content-type", "application/json")], SAMPLE));
    let platform = Router::new().route("/api/v2/analytics/conversations/aggregates/query", answer);
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answers = TowerToHyperService::new(platform.clone());
            let connection = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { connection.serve_connection(TokioIo::new(stream), answers).await });
        }
    });
    let service = Setup::new()
        .set("GENESYS_API_URL", &format!("http://{address}"))
        .start()
        .await;
    let figures = [
        ("conversation.offered", 877.0),
        ("conversation.answered", 787.0),
        ("conversation.abandoned", 83.0),
        ("conversation.short.abandoned", 7.0),
        ("conversation.flow.out", 7.0),
        ("conversation.over.sla", 373.0),
        ("answer.rate", 787.0 / 877.0),
        ("abandon.rate", 83.0 / 877.0),
        ("short.abandon.rate", 7.0 / 877.0),
        ("abandon.net.count", 76.0),
        ("abandon.net.rate", 76.0 / 870.0),
        ("flow.out.rate", 7.0 / 877.0),
        ("over.sla.rate", 373.0 / 787.0),
        ("service.level", 414.0 / 870.0),
        ("asa", 40_279_740.0 / 787.0),
        ("aht", 131_580_101.0 / 817.0),
        ("att", 118_231_081.0 / 795.0),
        ("acw.time.average", 13_049_044.0 / 816.0),
        ("hold.time.average", 1_584.0),
        ("hold.share", 1_584.0 / 131_580_101.0),
        ("transfer.rate", 634.0 / 817.0),
        ("blind.transfer.rate", 634.0 / 817.0),
        ("consult.transfer.rate", 0.0),
    ];
    let columns: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
    let answer = service
        .get(&format!(
            "/v1/query?dateFrom=2025-01-25T21:00Z&dateTo=2025-02-01T21:00Z&groupBy=queueId&filter=media.type:voice\
             &select=queueId,{}&format=table",
            columns.join(",")
        ))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows = answer.json()["rows"].as_array().unwrap().clone();
    let queue = rows
        .iter()
        .find(|row| row[0] == "20730bb5-b3e0-48d2-ab89-6b6d30b22ce2")
        .unwrap();
    for ((name, expected), cell) in figures.iter().zip(&queue.as_array().unwrap()[1..]) {
        assert_eq!(cell.as_f64(), Some(*expected), "{name}");
    }
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_how_what_is_worked_out_comes_about() {
    let service = Service::start().await;
    let select = [
        "routing.queue.id",
        "aht",
        "wait.time.average",
        "nOffered",
        "abandon.net.rate",
        "tWait.max",
    ];
    let formula = |name: &str, formula: &str, unit: &str, differs: Value| json!({"name": name, "formula": formula, "version": 1, "unit": unit, "differs": differs});
    let expected = json!([
        formula("aht", "tHandle.sum / tHandle.count", "milliseconds", Value::Null),
        formula(
            "wait.time.average",
            "tWait.sum / tWait.count",
            "milliseconds",
            Value::Null
        ),
        formula("nOffered", "nOffered.count", "count", Value::Null),
        formula(
            "abandon.net.rate",
            "(tAbandon.count - tShortAbandon.count) / (nOffered.count - tShortAbandon.count)",
            "ratio",
            json!("Abandon % in Genesys Cloud is Abandoned / Offered: it includes short abandons."),
        ),
    ]);
    let body = json!({"dateFrom": "2023-11-20", "dateTo": "2023-11-27", "timeZone": "Europe/Berlin", "select": select});
    for format in ["json", "table"] {
        let answer = service
            .post(&format!("/v1/query?explain=formula&format={format}"), &body)
            .await;
        assert_eq!(answer.json()["meta"]["formulas"], expected, "{format}");
    }
    let by_get = service
        .get(&format!("{WEEK}&select={}&explain=formula", select.join(",")))
        .await
        .json();
    assert_eq!(by_get["meta"]["formulas"], expected);
    assert!(by_get["firstUri"].as_str().unwrap().contains("explain=formula"));
    let unasked = service.post("/v1/query", &body).await.json();
    assert_eq!(unasked["meta"].get("formulas"), None);
    assert_eq!(unasked["entities"], by_get["entities"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_explained_is_refused_beside_everything_else() {
    let service = Service::start().await;
    let pointers = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    };
    for (question, expected) in [
        (
            format!("{WEEK}&select=aht&explain=formula&format=csv"),
            vec!["/explain"],
        ),
        (
            format!("{WEEK}&select=aht&explain=formula&format=ndjson"),
            vec!["/explain"],
        ),
        (format!("{WEEK}&select=aht&explain=2"), vec!["/explain"]),
        (format!("{WEEK}&select=aht&explain=1&format=csv"), vec!["/explain"]),
        (
            format!("{WEEK}&select=abandn.rate&explain=why&limit=0"),
            vec!["/explain", "/select/0", "/limit"],
        ),
        (
            "/v1/conversations?dateFrom=yesterday&explain=formula".to_owned(),
            vec!["/explain"],
        ),
        ("/v1/lookups/queues?explain=formula".to_owned(), vec!["/explain"]),
    ] {
        let answer = service.get(&question).await;
        assert_eq!(
            (answer.status.as_u16(), pointers(&answer.json())),
            (422, expected.into_iter().map(str::to_owned).collect()),
            "{question}"
        );
    }
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_the_top_of_the_whole_answer_in_every_format() {
    let service = Service::start().await;
    let question = format!(
        "{WEEK}&groupBy=routing.queue.id&select=routing.queue.id,conversation.offered,abandon.rate&orderBy=-abandon.rate,routing.queue.id"
    );
    let all = service.get(&question).await.json();
    let entities = all["entities"].as_array().unwrap();
    assert!(entities.len() > 5);
    let page = service
        .get(&format!("{question}&limit=5&pageSize=3&page=2"))
        .await
        .json();
    assert_eq!(page["entities"], json!(entities[3..5]));
    assert_eq!(
        (&page["total"], &page["nextUri"], &page["meta"]["cache"]),
        (&json!(5), &Value::Null, &json!("hit"))
    );
    let lines = service.get(&format!("{question}&limit=5&format=ndjson")).await.text();
    assert_eq!(lines.lines().count(), 5);
    let csv = service.get(&format!("{question}&limit=5&format=csv")).await.text();
    assert_eq!(csv.lines().count(), 6);
    let table = service.get(&format!("{question}&limit=5&format=table")).await.json();
    assert_eq!(
        table["columns"][2],
        json!({"name": "abandon.rate", "title": "Abandon rate", "type": "number", "unit": "ratio"})
    );
    assert_eq!(table["rows"][0][2], entities[0]["abandon"]["rate"]);
    let body = json!({"dateFrom": "2023-11-20", "dateTo": "2023-11-27", "select": ["aht"], "limit": 250_001});
    let refused = service.post("/v1/query", &body).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]),
        (422, &json!("/limit"))
    );
}
