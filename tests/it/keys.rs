//! Keys come and go while the service runs.

use std::time::Duration;

use genesys_reports::api::auth::new_key;
use http::Method;
use serde_json::json;

use crate::support::{
    events::Listener,
    service::{Service, Setup},
};

/// More than it takes until a file is looked at again.
const A_LOOK: u64 = 6;

async fn status(service: &Service, key: &str) -> u16 {
    let request = service.request(Method::GET, "/v1/catalog").header("x-api-key", key);
    service.send(request).await.status.as_u16()
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_again_when_their_file_changes_and_stay_when_it_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let entry = |name: &str, sha256: &str, further: &str| {
        format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\nscopes = [\"read\", \"live\"]\n{further}\n")
    };
    let [(first, of_first), (second, of_second)] = [new_key(), new_key()];
    std::fs::write(&path, entry("first", &of_first, "requests_per_minute = 100")).unwrap();
    let service = Setup::new()
        .set("REPORTS_AUTH__KEYS_FILE", path.to_str().unwrap())
        .start()
        .await;
    assert_eq!(
        (status(&service, &first).await, status(&service, &second).await),
        (200, 401)
    );

    // What is broken is told in the log, without what stands in it, and changes nothing.
    std::fs::write(
        &path,
        format!(
            "{}[[keys]]\nname = \"first\"\nsha256 = \"{of_second}\"\n",
            entry("first", &of_first, "")
        ),
    )
    .unwrap();
    service.pass(A_LOOK).await;
    assert_eq!(
        (status(&service, &first).await, status(&service, &second).await),
        (200, 401)
    );
    std::fs::write(&path, "keys = [").unwrap();
    service.pass(A_LOOK).await;
    assert_eq!(status(&service, &first).await, 200);
    let log = service.log();
    assert!(
        log.contains("two keys are named `first`") && log.contains("the old ones stay"),
        "{log}"
    );
    assert!(!log.contains(&of_second[..12]), "{log}");
    std::fs::write(&path, "").unwrap();
    service.pass(A_LOOK).await;
    let nobody = service.request(Method::GET, "/v1/catalog");
    assert_eq!(
        service.send(nobody).await.status,
        401,
        "nobody is let in by an empty file"
    );

    let request = service
        .request(Method::GET, "/v1/live/queues")
        .header("x-api-key", &first);
    let mut board = Listener::send(request).await;
    board.next().await.unwrap();
    std::fs::write(&path, entry("second", &of_second, "")).unwrap();
    service.pass(A_LOOK).await;
    assert_eq!(
        (status(&service, &first).await, status(&service, &second).await),
        (401, 200)
    );
    let mut last = board.next().await.unwrap();
    while let Some(event) = board.next().await {
        last = event;
    }
    assert_eq!((last.name.as_str(), &last.data()["reason"]), ("end", &json!("renew")));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_confined_later_sees_less_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let (key, sha256) = new_key();
    let entry = |further: &str| format!("[[keys]]\nname = \"one\"\nsha256 = \"{sha256}\"\n{further}\n");
    std::fs::write(&path, entry("")).unwrap();
    let service = Setup::new()
        .set("REPORTS_AUTH__KEYS_FILE", path.to_str().unwrap())
        .start()
        .await;
    let ask = async |path: &str| {
        service
            .send(service.request(Method::GET, path).header("x-api-key", &key))
            .await
    };
    let queues = ask("/v1/lookups/queues").await.json();
    let queue = queues["entities"][0]["id"].as_str().unwrap();
    service.simulator.set_latency(Duration::from_secs(1));
    let job = ask("/v1/query?dateFrom=yesterday&interval=PT1H&groupBy=routing.queue.id&wait=0").await;
    assert_eq!(job.status, 202, "{}", job.text());
    let job = job.header("location").to_owned();
    assert_eq!(ask(&job).await.status, 200);
    std::fs::write(
        &path,
        entry(&format!("filters = {{ \"routing.queue.id\" = [\"{queue}\"] }}")),
    )
    .unwrap();
    service.pass(A_LOOK).await;
    assert_eq!(ask("/v1/lookups/queues").await.json()["total"], 1);
    assert_eq!(
        ask(&job).await.status,
        404,
        "what it began when it saw more is not its any more"
    );
}
