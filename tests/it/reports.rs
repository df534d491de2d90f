//! Named reports answer as the query they stand for, take their own parameters, and follow their files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::service::{Service, Setup};

/// Each report of figures, and the same asked as a query: what it selects, groups by and orders by.
const AS_QUERIES: [(&str, &str); 10] = [
    (
        "queue-performance",
        "groupBy=routing.queue.id&select=routing.queue.id,routing.queue.name,conversation.offered,conversation.answered,\
         conversation.abandoned,answer.time.average,handle.time.average,service.level&orderBy=-conversation.offered",
    ),
    (
        "agent-performance",
        "groupBy=agent.id&select=agent.id,agent.name,handle.time.count,handle.time.sum,handle.time.average,\
         talk.time.sum,hold.time.sum,acw.time.sum,conversation.transferred&orderBy=-handle.time.count",
    ),
    (
        "service-level-by-half-hour",
        "interval=PT30M&select=interval.start,conversation.offered,conversation.answered,conversation.over.sla,\
         service.level,answer.time.average",
    ),
    (
        "abandon-analysis",
        "interval=P1D&groupBy=routing.queue.id&select=interval,routing.queue.id,routing.queue.name,\
         conversation.offered,conversation.answered,conversation.abandoned,abandon.time.average,abandon.time.max,\
         answer.time.average",
    ),
    (
        "wrapup-breakdown",
        "groupBy=wrapup.code.id&select=wrapup.code.id,wrapup.code.name,handle.time.count,handle.time.sum,\
         handle.time.average,acw.time.average&orderBy=-handle.time.count",
    ),
    (
        "media-mix",
        "groupBy=media.type&select=media.type,conversation.count,conversation.offered,conversation.answered,\
         conversation.abandoned,handle.time.average&orderBy=-conversation.count",
    ),
    (
        "agent-states",
        "source=users&groupBy=agent.id&select=agent.id,agent.name,logged.in.time,presence.on.queue.time,\
         presence.available.time,presence.busy.time,presence.away.time,presence.break.time,presence.meal.time,\
         presence.meeting.time,presence.training.time,routing.interacting.time,routing.idle.time,\
         routing.not.responding.time,occupancy,utilization&orderBy=-logged.in.time",
    ),
    (
        "flow-outcomes",
        "source=flows&groupBy=flow.id&select=flow.id,flow.name,flow.count,flow.time.average,flow.disconnect.rate,\
         flow.exit.time.count,flow.outcome.count,flow.outcome.failed&orderBy=-flow.count",
    ),
    (
        "evaluation-scores",
        "source=evaluations&groupBy=agent.id&select=agent.id,agent.name,evaluation.count,\
         evaluation.score.total.average,evaluation.score.total.min,evaluation.score.total.max,\
         evaluation.score.critical.average&orderBy=-evaluation.count",
    ),
    (
        "survey-scores",
        "source=surveys&groupBy=routing.queue.id&select=routing.queue.id,routing.queue.name,survey.sent,\
         survey.responses.all,survey.response.rate,survey.score.total.average,survey.nps.score&orderBy=-survey.sent",
    ),
];

#[tokio::test(start_paused = true)]
async fn each_built_in_report_is_the_query_it_stands_for() {
    let service = Service::start().await;
    for (name, query) in AS_QUERIES {
        let range = "2023-11-20&to=2023-11-22&timeZone=Europe/Berlin";
        let report = service
            .get(&format!("/v1/reports/{name}?format=table&from={range}"))
            .await;
        assert_eq!(report.status, 200, "{name}: {}", report.text());
        let query =
            format!("/v1/query?format=table&timeZone=Europe/Berlin&dateFrom=2023-11-20&dateTo=2023-11-22&{query}");
        let (report, query) = (report.json(), service.get(&query).await.json());
        let width = query["columns"].as_array().unwrap().len();
        let first = |table: &Value| -> Vec<Vec<Value>> {
            let rows = table["rows"].as_array().unwrap().iter();
            rows.map(|row| row.as_array().unwrap()[..width].to_vec()).collect()
        };
        assert!(!first(&query).is_empty(), "{name}");
        assert_eq!(first(&report), first(&query), "{name}");
    }
    let lines = service
        .get("/v1/reports/conversation-list.ndjson?from=2023-11-20&to=2023-11-21")
        .await;
    let same = service
        .get("/v1/conversations?format=ndjson&dateFrom=2023-11-20&dateTo=2023-11-21")
        .await;
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(!lines.text().is_empty());
    assert_eq!(sorted(lines.text()), sorted(same.text()));
    let page = service
        .get("/v1/reports/conversation-list?from=2023-11-20&to=2023-11-21&pageSize=2")
        .await
        .json();
    assert_eq!(page["entities"].as_array().unwrap().len(), 2);
    assert!(
        page["nextUri"]
            .as_str()
            .unwrap()
            .starts_with("/v1/reports/conversation-list?")
    );

    for query in ["", "&groupBy=media.type", "&pageSize=1"] {
        let report = service
            .get(&format!(
                "/v1/reports/queues-now?format=table&queue=Support{query}&media=chat,voice"
            ))
            .await
            .json();
        let same = service
            .get(&format!(
                "/v1/now/queues?format=table&filter=routing.queue.name:Support&filter=media.type:chat,voice{query}"
            ))
            .await
            .json();
        assert!(!same["rows"].as_array().unwrap().is_empty(), "{same}");
        assert_eq!(
            (&report["columns"], &report["rows"]),
            (&same["columns"], &same["rows"]),
            "{query}"
        );
    }
    assert_eq!(
        service
            .get("/v1/reports/queues-now.csv")
            .await
            .header("content-disposition"),
        "attachment; filename=\"queues-now.csv\""
    );
}

#[tokio::test(start_paused = true)]
async fn reports_of_users_are_the_questions_they_stand_for() {
    let service = Service::start().await;
    for (report, question) in [
        ("agents-now?", "/v1/now/users?"),
        (
            "agents-now?presence=ON_QUEUE,BREAK&pageSize=3",
            "/v1/now/users?presence=ON_QUEUE,BREAK&pageSize=3",
        ),
        ("agents-now?routingStatus=IDLE", "/v1/now/users?routingStatus=IDLE"),
        (
            "agents-now?agent=Ada%20Abel",
            "/v1/now/users?filter=agent.name:Ada%20Abel",
        ),
        ("agent-timeline?", "/v1/users/details?dateFrom=yesterday"),
        (
            "agent-timeline?from=2023-11-20&to=2023-11-22&timeZone=Europe/Berlin&kind=routing&agent=Ada%20Abel",
            "/v1/users/details?dateFrom=2023-11-20&dateTo=2023-11-22&timeZone=Europe/Berlin&kind=routing\
             &filter=agent.name:Ada%20Abel",
        ),
    ] {
        let report = service.get(&format!("/v1/reports/{report}&format=table")).await.json();
        let same = service.get(&format!("{question}&format=table")).await.json();
        assert!(!same["rows"].as_array().unwrap().is_empty(), "{question}: {same}");
        assert_eq!(report["rows"], same["rows"], "{question}");
        // Titles are the report's own.
        let names = |table: &Value| -> Vec<Value> {
            let columns = table["columns"].as_array().unwrap().iter();
            columns.map(|column| column["name"].clone()).collect()
        };
        assert_eq!(names(&report), names(&same));
        let titles: Vec<&Value> = report["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| &column["title"])
            .collect();
        assert_eq!(titles[1], "Agent");
    }
    for (file, name) in [
        ("agents-now.csv", "agents-now.csv"),
        (
            "agent-timeline.csv?from=2023-11-20&to=2023-11-22",
            "agent-timeline-2023-11-20-2023-11-21.csv",
        ),
    ] {
        let answer = service.get(&format!("/v1/reports/{file}")).await;
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"{name}\"")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn derived_columns_and_titles_come_with_the_rows() {
    let service = Service::start().await;
    let answer = service
        .get("/v1/reports/abandon-analysis?from=2023-11-20&to=2023-11-22&explain=formula")
        .await
        .json();
    let columns = answer["meta"]["columns"].as_array().unwrap();
    let column = |name: &str| columns.iter().find(|column| column["name"] == name).unwrap().clone();
    assert_eq!(
        column("conversation.elsewhere"),
        json!({
            "name": "conversation.elsewhere", "title": "Neither answered nor abandoned", "type": "number", "unit": "count"
        })
    );
    assert_eq!(column("conversation.offered")["title"], "Offered");
    assert_eq!(column("abandon.rate")["title"], "Abandoned, share");
    let formulas = answer["meta"]["formulas"].as_array().unwrap();
    let formula = formulas
        .iter()
        .find(|formula| formula["name"] == "abandon.rate")
        .unwrap();
    assert_eq!(formula["formula"], "tAbandon.count / nOffered.count");
    let mut checked = 0;
    for entity in answer["entities"].as_array().unwrap() {
        let number = |name: &str| entity["conversation"][name].as_f64();
        if let (Some(offered), Some(answered), Some(abandoned)) =
            (number("offered"), number("answered"), number("abandoned"))
        {
            assert_eq!(number("elsewhere"), Some(offered - answered - abandoned), "{entity}");
            assert_eq!(
                entity["abandon"]["rate"].as_f64(),
                Some(abandoned / offered),
                "{entity}"
            );
            checked += 1;
        }
    }
    assert!(checked > 3);
    let csv = service
        .get("/v1/reports/queue-performance.csv?from=2023-11-20&to=2023-11-22")
        .await;
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"queue-performance-2023-11-20-2023-11-21.csv\""
    );
    assert!(
        csv.text()
            .starts_with("routing.queue.id,routing.queue.name,conversation.offered,")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_by_the_names_of_parameters_before_anything_is_asked() {
    let service = Service::start().await;
    for (path, expected) in [
        (
            "queue-performance?from=yesterdy&meda=voice",
            json!([["/meda", "media"], ["/from", "yesterday"]]),
        ),
        (
            "queue-performance?media=voise&page=x",
            json!([["/media", "voice"], ["/page", null]]),
        ),
        (
            "queue-performance.csv?format=json&from=x",
            json!([["/format", null], ["/from", null]]),
        ),
        ("conversation-list.pdf", json!([["/format", null]])),
        (
            "queue-performance?max_age=x&interval=P2D",
            json!([["/max_age", null], ["/interval", "P1D"]]),
        ),
    ] {
        let answer = service.get(&format!("/v1/reports/{path}")).await;
        assert_eq!(answer.status, 422, "{path}");
        let errors = answer.json()["errors"].clone();
        let errors: Vec<_> = errors
            .as_array()
            .unwrap()
            .iter()
            .map(|e| json!([e["pointer"], e["suggestion"]]))
            .collect();
        assert_eq!(json!(errors), expected, "{path}");
    }
    let unknown = service.get("/v1/reports/queue-perfomance").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.text().contains("did you mean `queue-performance`?"),
        "{}",
        unknown.text()
    );
    assert_eq!(service.upstream_calls(), 0);

    let named = service.get("/v1/reports/queue-performance?queue=Suport").await;
    assert_eq!(
        (named.status.as_u16(), &named.json()["errors"][0]["pointer"]),
        (422, &json!("/queue"))
    );
    assert_eq!(named.json()["errors"][0]["suggestion"], "Support");
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_shown_in_parts_and_as_its_file() {
    let service = Service::start().await;
    let parts = service.get("/v1/reports/queue-performance/definition").await.json();
    assert_eq!(parts["question"]["dateFrom"], json!({"parameter": "from"}));
    assert_eq!(parts["builtIn"], true);
    let file = service
        .get("/v1/reports/queue-performance/definition?format=toml")
        .await;
    assert_eq!(file.header("content-type"), "application/toml");
    assert!(file.text().starts_with("title = \"Queue performance\""));
    assert_eq!(service.get("/v1/reports/x/definition").await.status, 404);
    assert_eq!(
        service.get("/v1/reports/media-mix/definition?format=xml").await.status,
        422
    );
}

#[tokio::test(start_paused = true)]
async fn files_are_followed_and_a_broken_one_leaves_the_report_as_it_was() {
    const FILE: &str = "title = \"Offered\"\ndescription = \"What was offered.\"\n[query]\n\
        dateFrom = \"yesterday\"\nselect = [\"conversation.offered\"]\n";
    let folder = Folder::new();
    folder.write("offered.toml", FILE);
    let service = Setup::new()
        .set("REPORTS_REPORTS__DIR", folder.0.to_str().unwrap())
        .start()
        .await;
    let titles = async || -> Value {
        service.pass(5).await;
        let list = service.get("/v1/reports").await.json();
        let reports = list["reports"].as_array().unwrap().iter();
        let title = |name: &str| {
            reports
                .clone()
                .find(|report| report["name"] == name)
                .map(|report| report["title"].clone())
        };
        let problems: Vec<_> = list["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["file"].clone())
            .collect();
        json!([title("offered"), title("media-mix"), problems])
    };
    assert_eq!(titles().await, json!(["Offered", "Media types", []]));
    assert_eq!(service.get("/v1/reports/offered").await.status, 200);
    let document = service.get("/openapi.json").await.json();
    assert_eq!(document["paths"]["/v1/reports/offered"]["get"]["summary"], "Offered");

    folder.write("offered.toml", "title = ");
    assert_eq!(titles().await, json!(["Offered", "Media types", ["offered.toml"]]));
    assert!(
        service.log().contains("a report's file cannot be used"),
        "{}",
        service.log()
    );
    assert_eq!(service.get("/v1/reports/offered").await.status, 200);

    folder.write("offered.toml", &FILE.replacen("Offered", "Offered anew", 1));
    folder.write("media-mix.toml", &FILE.replacen("Offered", "Ours instead", 1));
    assert_eq!(titles().await, json!(["Offered anew", "Ours instead", []]));
    let document = service.get("/openapi.json").await.json();
    assert_eq!(
        document["paths"]["/v1/reports/media-mix"]["get"]["summary"],
        "Ours instead"
    );

    fs::remove_file(folder.0.join("offered.toml")).unwrap();
    fs::remove_file(folder.0.join("media-mix.toml")).unwrap();
    assert_eq!(titles().await, json!([null, "Media types", []]));
    assert_eq!(service.get("/v1/reports/offered").await.status, 404);
}

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reports-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).expect("the scratch folder takes it");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("the scratch folder takes it");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
