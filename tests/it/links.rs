//! A link shows one report, as it was shared, to whoever has it, for as long as its maker's key lasts.

use http::Method;
use serde_json::{Value, json};

use crate::support::service::{Answer, Service, Setup};

const SECRET: &str = "what links are signed with, long enough";

async fn make(service: &Service, key: &str, report: &str, body: &Value) -> Answer {
    let request = service.request(Method::POST, &format!("/v1/reports/{report}/links"));
    let request = request
        .header("x-api-key", key)
        .header("content-type", "application/json");
    service.send(request.body(body.to_string())).await
}

fn url(link: &Answer) -> String {
    assert_eq!(link.status, 201, "{}", link.text());
    let url = link.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(link.header("location"), url);
    url
}

#[tokio::test(start_paused = true)]
async fn a_link_shows_what_was_shared_in_every_format_and_nothing_else() {
    let (setup, key) = Setup::new()
        .set("REPORTS_AUTH__TOKEN_SECRET", SECRET)
        .key(r#""read""#, "");
    let service = setup.start().await;
    let parameters = json!({"from": "2023-11-27", "to": "2023-11-29", "queue": ["Support", "Sales"]});
    let link = make(&service, &key, "queue-performance", &json!({"parameters": parameters})).await;
    let shown = url(&link);
    assert_eq!(link.json()["expiresAt"], "2023-12-08T12:00:00.000Z");

    let own = "/v1/reports/queue-performance?from=2023-11-27&to=2023-11-29&queue=Support,Sales";
    let request = service.request(Method::GET, own).header("x-api-key", &key);
    let own = service.send(request).await.json();
    let followed = service.get(&shown).await;
    assert_eq!(followed.status, 200, "{}", followed.text());
    assert_eq!(followed.json()["entities"], own["entities"]);
    // Pages of it are reached by the link, too.
    let page = service.get(&format!("{shown}&pageSize=1&page=1")).await.json();
    let next = page["nextUri"].as_str().unwrap();
    assert_eq!(service.get(next).await.status, 200, "{next}");
    for format in ["csv", "table", "ndjson", "xlsx", "arrow", "parquet"] {
        let by_parameter = service.get(&format!("{shown}&format={format}")).await;
        let by_suffix = service
            .get(&shown.replace("queue-performance?", &format!("queue-performance.{format}?")))
            .await;
        assert_eq!(
            (by_parameter.status.as_u16(), by_suffix.status.as_u16()),
            (200, 200),
            "{format}"
        );
    }

    let token = shown.split_once('=').unwrap().1;
    for (path, status) in [
        // Its parameters are fixed.
        (format!("{shown}&from=2023-11-01"), 422),
        (format!("{shown}&queue=Billing"), 422),
        (format!("{shown}&wait=0"), 422),
        (
            format!("/v1/reports/queue-performance?share={token}&share={token}x"),
            200,
        ),
        // It is of that report.
        (format!("/v1/reports/agent-performance?share={token}"), 401),
        (format!("/v1/reports/queue-performance/definition?share={token}"), 401),
        (format!("/v1/reports?share={token}"), 401),
        (format!("/v1/query?dateFrom=today&share={token}"), 401),
        (format!("/v1/reports/queue-performance?share={token}x"), 401),
        ("/v1/reports/queue-performance?share=".to_owned(), 401),
        ("/v1/reports/queue-performance".to_owned(), 401),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    // It is no key, and with a key it is a parameter that nobody knows.
    let as_key = service.request(Method::GET, "/v1/catalog").bearer_auth(token);
    assert_eq!(service.send(as_key).await.status, 401);
    let with_key = service.request(Method::GET, &shown).header("x-api-key", &key);
    assert_eq!(service.send(with_key).await.status, 422);
    assert!(!service.log().contains(token));
}

#[tokio::test(start_paused = true)]
async fn a_link_ends() {
    let (setup, key) = Setup::new()
        .set("REPORTS_AUTH__TOKEN_SECRET", SECRET)
        .key(r#""read""#, "");
    let service = setup.start().await;
    let link = make(
        &service,
        &key,
        "queues-now",
        &json!({"parameters": {}, "expiresIn": 3_600}),
    )
    .await;
    let shown = url(&link);
    service.pass(3_599).await;
    assert_eq!(service.get(&shown).await.status, 200);
    service.pass(1).await;
    assert_eq!(service.get(&shown).await.status, 401);
    drop(service);

    // With the key, wherever the secret is the same.
    for (is_there, status) in [(true, 200), (false, 401)] {
        let (setup, key) = Setup::new()
            .set("REPORTS_AUTH__TOKEN_SECRET", SECRET)
            .key(r#""read""#, "");
        let first = setup.start().await;
        let shown = url(&make(&first, &key, "queues-now", &json!({"parameters": {}})).await);
        drop(first);
        let keys = if is_there { hash_of(&key) } else { hash_of("another") };
        let second = Setup::new()
            .set("REPORTS_AUTH__TOKEN_SECRET", SECRET)
            .set(
                "REPORTS_AUTH__KEYS",
                &format!("[{{name=\"renamed\", sha256=\"{keys}\", scopes=[\"read\"]}}]"),
            )
            .start()
            .await;
        assert_eq!(second.get(&shown).await.status, status);
    }
}

fn hash_of(key: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(key)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_a_link_sees_what_its_maker_may() {
    let queue = {
        let service = Service::start().await;
        let listed = service.get("/v1/lookups/queues").await.json();
        listed["entities"][0]["id"].as_str().unwrap().to_owned()
    };
    let setup = Setup::new().set("REPORTS_AUTH__TOKEN_SECRET", SECRET);
    let (setup, confined) = setup.key(
        r#""read""#,
        &format!(", requests_per_minute=3, filters={{\"routing.queue.id\"=[\"{queue}\"]}}"),
    );
    let service = setup.start().await;
    let shown = url(&make(&service, &confined, "queues-now", &json!({"parameters": {}})).await);
    let followed = service.get(&shown).await;
    let entities = followed.json()["entities"].as_array().unwrap().clone();
    assert_eq!(entities.len(), 1, "{}", followed.text());
    assert_eq!(entities[0]["routing"]["queue"]["id"], queue.as_str());
    // On its account, too.
    assert_eq!(followed.header("ratelimit"), "\"requests\";r=1;t=60");
    // What it may not, a link does not show.
    let list = url(&make(&service, &confined, "conversation-list", &json!({"parameters": {}})).await);
    service.pass(60).await;
    assert_eq!(service.get(&format!("{list}&format=ndjson")).await.status, 403);
    assert_eq!(service.get(&list).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn only_what_makes_sense_is_shared_and_by_keys_only() {
    let (setup, key) = Setup::new()
        .set("REPORTS_AUTH__TOKEN_SECRET", SECRET)
        .key(r#""read""#, "");
    let (setup, live) = setup.key(r#""live""#, "");
    let service = setup.start().await;
    let wrong = json!({"parameters": {"from": "soon", "frm": "x"}, "expires": 5});
    let answer = make(&service, &key, "queue-performance", &wrong).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let wrong = json!({"parameters": {"from": "soon", "frm": "x"}});
    let answer = make(&service, &key, "queue-performance", &wrong).await.json();
    let pointers: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/parameters/frm", "/parameters/from"]);
    assert_eq!(
        make(&service, &key, "nothing", &json!({"parameters": {}})).await.status,
        404
    );
    assert_eq!(
        make(&service, &live, "queues-now", &json!({"parameters": {}}))
            .await
            .status,
        403
    );
    drop(service);
    // Without a secret that lasts, or without keys, there are none.
    let (setup, key) = Setup::new().key(r#""read""#, "");
    let service = setup.start().await;
    let refused = make(&service, &key, "queues-now", &json!({"parameters": {}})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("auth.token_secret"), "{}", refused.text());
    drop(service);
    let service = Setup::new().set("REPORTS_AUTH__TOKEN_SECRET", SECRET).start().await;
    assert_eq!(
        make(&service, "none", "queues-now", &json!({"parameters": {}}))
            .await
            .status,
        403
    );
}
