//! A reporting query answers by `POST` and by `GET`, with names, and with the numbers of the data behind it.

use serde_json::json;

use crate::support::service::Service;

#[tokio::test(start_paused = true)]
async fn the_contracts_example_answers_alike_by_post_and_by_get() {
    let service = Service::start().await;
    let body = json!({
        "dateFrom": "2023-11-01T00:00:00.000Z", "dateTo": "2023-11-30T23:59:59.999Z",
        "interval": "PT1H", "timeZone": "Europe/Berlin",
        "groupBy": ["routing.queue.id"],
        "select": ["routing.queue.id", "routing.queue.name", "conversation.count"],
        "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}],
        "orderBy": ["-conversation.count"], "page": 1, "pageSize": 100
    });
    let by_post = service.post("/v1/query", &body).await;
    let by_get = service
        .get(
            "/v1/query?dateFrom=2023-11-01T00:00:00.000Z&dateTo=2023-11-30T23:59:59.999Z&interval=PT1H\
             &timeZone=Europe/Berlin&groupBy=routing.queue.id\
             &select=routing.queue.id,routing.queue.name&select=conversation.count\
             &filter=media.type:voice,chat&orderBy=-conversation.count&page=1&pageSize=100",
        )
        .await;
    assert_eq!(
        (by_post.status.as_u16(), by_get.status.as_u16()),
        (200, 200),
        "{}",
        by_get.text()
    );
    let (posted, got) = (by_post.json(), by_get.json());
    assert_eq!(posted["entities"], got["entities"]);
    assert_eq!(posted["entities"].as_array().unwrap().len(), 100);
    assert_eq!(
        (&posted["meta"]["cache"], &got["meta"]["cache"]),
        (&json!("miss"), &json!("hit"))
    );
    assert_eq!(service.upstream_calls(), 2, "one for the figures, one for the names");
}
