//! Ids and names: listed for the variables of dashboards, and names taken in filters in place of ids.

use serde_json::{Value, json};

use crate::support::service::Service;

#[tokio::test(start_paused = true)]
async fn names_are_listed_in_order_and_asked_of_genesys_cloud_once() {
    let service = Service::start().await;
    let first = service.get("/v1/lookups/queues").await;
    assert_eq!(first.status, 200, "{}", first.text());
    let answer = first.json();
    assert_eq!(
        names(&answer),
        [
            "Billing",
            "IT Help Desk",
            "Key Accounts",
            "Order Desk",
            "Returns",
            "Sales",
            "Support",
            "Technical Support"
        ]
    );
    assert_eq!(
        (&answer["page"], &answer["pageSize"], &answer["total"]),
        (&json!(1), &json!(100), &json!(8))
    );
    assert_eq!(answer["meta"]["cache"], "miss");
    assert_eq!(first.header("x-data-complete"), "true");

    let again = service.get("/v1/lookups/queues?search=support").await.json();
    assert_eq!(names(&again), ["Support", "Technical Support"]);
    assert_eq!(again["meta"]["cache"], "hit");
    assert_eq!(service.upstream_calls(), 1);
    let held = service
        .request(reqwest::Method::GET, "/v1/lookups/queues?page=1&pageSize=3")
        .header("if-none-match", "\"other\"");
    let page = service.send(held).await;
    assert_eq!(names(&page.json()), ["Billing", "IT Help Desk", "Key Accounts"]);
    assert_eq!(page.json()["nextUri"], "/v1/lookups/queues?pageSize=3&page=2");

    // The same figures' columns come from the same listing.
    let query = "/v1/query?dateFrom=yesterday&select=routing.queue.name,conversation.count";
    assert_eq!(service.get(query).await.status, 200);
    assert_eq!(service.upstream_calls(), 2, "one for the names, one for the figures");
}

#[tokio::test(start_paused = true)]
async fn every_lookup_answers_in_every_format() {
    let service = Service::start().await;
    for lookup in [
        "queues",
        "users",
        "wrapup-codes",
        "divisions",
        "skills",
        "languages",
        "flows",
    ] {
        let answer = service.get(&format!("/v1/lookups/{lookup}")).await.json();
        let entities = answer["entities"].as_array().unwrap();
        assert!(!entities.is_empty(), "{lookup}");
        let csv = service.get(&format!("/v1/lookups/{lookup}?format=csv")).await;
        assert_eq!(
            csv.header("content-disposition"),
            format!("attachment; filename=\"{lookup}.csv\"")
        );
        let records: Vec<_> = entities
            .iter()
            .map(|entity| format!("{},{}", text(&entity["id"]), text(&entity["name"])))
            .collect();
        assert_eq!(csv.text(), format!("id,name\r\n{}\r\n", records.join("\r\n")));
        let ndjson = service.get(&format!("/v1/lookups/{lookup}?format=ndjson")).await;
        let lines: Vec<_> = entities.iter().map(Value::to_string).collect();
        assert_eq!(ndjson.text(), format!("{}\n", lines.join("\n")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_listed_is_told() {
    let service = Service::start().await;
    let unknown = service.get("/v1/lookups/cues").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("queues, users"), "{}", unknown.text());
    let wrong = service.get("/v1/lookups/queues?serch=a&pageSize=5000&format=pdf").await;
    assert_eq!(wrong.status, 422);
    let pointers: Vec<_> = wrong.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(json!(pointers), json!(["/format", "/serch", "/pageSize"]));
    assert_eq!(service.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_filter_takes_names_and_shares_what_is_held_by_ids() {
    let service = Service::start().await;
    let ids = service.get("/v1/lookups/queues?search=sales").await.json();
    let id = text(&ids["entities"][0]["id"]).to_owned();
    let by_id = service
        .get(&format!(
            "/v1/query?dateFrom=yesterday&groupBy=media.type&filter=routing.queue.id:{id}"
        ))
        .await
        .json();
    assert!(by_id["total"].as_u64().unwrap() > 0);
    let before = service.upstream_calls();
    for name in ["Sales", "sales"] {
        let by_name = service
            .get(&format!(
                "/v1/query?dateFrom=yesterday&groupBy=media.type&filter=routing.queue.name:{name}"
            ))
            .await
            .json();
        assert_eq!(by_name["entities"], by_id["entities"]);
        assert_eq!(by_name["meta"]["cache"], "hit");
    }
    let body = json!({
        "dateFrom": "yesterday", "groupBy": ["media.type"],
        "filter": [{"dimension": "routing.queue.name", "values": ["Sales"]}]
    });
    let posted = service.post("/v1/query", &body).await.json();
    assert_eq!(posted["entities"], by_id["entities"]);
    assert_eq!(service.upstream_calls(), before, "the question is the same");
}

#[tokio::test(start_paused = true)]
async fn conversations_are_found_by_name_as_by_id() {
    let service = Service::start().await;
    let by_name = service
        .get("/v1/conversations?dateFrom=yesterday&filter=routing.queue.name:Returns")
        .await
        .json();
    assert!(by_name["total"].as_u64().unwrap() > 0);
    assert!(by_name["meta"]["upstreamCalls"].as_u64().unwrap() > 1, "the names, too");
    let ids = service.get("/v1/lookups/queues?search=returns").await.json();
    let id = text(&ids["entities"][0]["id"]);
    let by_id = service
        .get(&format!(
            "/v1/conversations?dateFrom=yesterday&filter=routing.queue.id:{id}"
        ))
        .await
        .json();
    assert_eq!(by_id["entities"], by_name["entities"]);
    assert_eq!(by_id["meta"]["cache"], "hit");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_is_refused_with_the_nearest_and_costs_no_figures() {
    let service = Service::start().await;
    let body = json!({
        "dateFrom": "yesterday",
        "filter": [
            {"dimension": "media.type", "values": ["voice"]},
            {"dimension": "routing.queue.name", "values": ["Billing", "Suport"]}
        ]
    });
    let refused = service.post("/v1/query", &body).await;
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.json()["errors"],
        json!([{
            "pointer": "/filter/1/values/1", "detail": "no queue is called that", "suggestion": "Support"
        }])
    );
    assert_eq!(service.upstream_calls(), 1, "the listing");
    assert_eq!(service.simulator.journal().count("/api/v2/analytics/"), 0);

    // What is wrong otherwise is told before a name is looked up.
    let wrong = service
        .get("/v1/query?dateFrom=yesterday&interval=PT7M&filter=agent.name:Nobody")
        .await;
    assert_eq!(wrong.status, 422);
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/interval");
    assert_eq!(service.upstream_calls(), 1);
}

fn names(answer: &Value) -> Vec<&str> {
    let entities = answer["entities"].as_array().unwrap();
    entities.iter().map(|entity| text(&entity["name"])).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
