//! Reports marked `refresh` are kept warm just before their readers come, and only while they come.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep_until};

use crate::support::service::{Service, Setup};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

/// A report of today, by the hour, of one figure.
fn report(figure: &str, refresh: &str) -> String {
    format!(
        "title = \"Today\"\ndescription = \"Of today.\"\n{refresh}\n\
         [[parameters]]\nname = \"zone\"\ntype = \"timezone\"\ntitle = \"Zone\"\ndefault = \"UTC\"\n\
         [query]\ndateFrom = \"today\"\ndateTo = \"now\"\ninterval = \"PT1H\"\ntimeZone = {{ parameter = \"zone\" }}\n\
         groupBy = [\"routing.queue.id\"]\nselect = [\"routing.queue.name\", \"{figure}\"]\n"
    )
}

async fn start(directory: &Path) -> Service {
    for (name, figure, refresh) in [
        ("warm", "conversation.offered", "refresh = true"),
        ("cold", "conversation.offered", ""),
        ("handled", "handle.time.average", "refresh = true"),
        ("answered", "conversation.answered", "refresh = true"),
        ("level", "service.level", "refresh = true"),
    ] {
        std::fs::write(directory.join(format!("{name}.toml")), report(figure, refresh)).unwrap();
    }
    for (name, question) in [("now", "[now]"), ("users-now", "[usersNow]")] {
        let now = format!("title = \"Now\"\ndescription = \"Of now.\"\nrefresh = true\n{question}\n");
        std::fs::write(directory.join(format!("{name}.toml")), now).unwrap();
    }
    Setup::new()
        .set("REPORTS_REPORTS__DIR", directory.to_str().unwrap())
        .start()
        .await
}

fn queries(service: &Service) -> usize {
    service.simulator.journal().count(AGGREGATES)
}

/// How the cache takes part when a report is read at these seconds.
async fn read(service: &Service, path: &str, seconds: &[u64]) -> Vec<String> {
    let start = Instant::now();
    let mut given = Vec::new();
    for second in seconds {
        sleep_until(start + Duration::from_secs(*second)).await;
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        given.push(answer.json()["meta"]["cache"].as_str().unwrap().to_owned());
    }
    given
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_again_and_again_finds_it_warm() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path()).await;
    // Read for the second time, it has a habit; from the third on its reader waits for nothing.
    let given = read(&service, "/v1/reports/warm", &[0, 60, 120, 180, 240]).await;
    assert_eq!(given, ["miss", "miss", "hit", "hit", "hit"]);
    assert_eq!(queries(&service), 5, "as often as it was read");
    // Its reader stays away: one look in vain, and none from then on.
    service.pass(60).await;
    assert_eq!(queries(&service), 6);
    service.pass(24 * 3_600).await;
    assert_eq!(queries(&service), 6);

    // Without the mark nobody looks ahead.
    let service = start(directory.path()).await;
    let given = read(&service, "/v1/reports/cold", &[0, 60, 120, 180]).await;
    assert_eq!(given, ["miss", "miss", "miss", "miss"]);
    service.pass(3_600).await;
    assert_eq!(queries(&service), 4);
}

/// What is fresh until its reader comes costs nothing.
#[tokio::test(start_paused = true)]
async fn what_is_still_fresh_then_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path()).await;
    // The hour is not over: fresh for half a minute.
    service.pass(60).await;
    let given = read(&service, "/v1/reports/warm", &[0, 10, 20, 30, 40, 50, 60]).await;
    assert_eq!(given, ["miss", "hit", "hit", "hit", "hit", "hit", "hit"]);
    assert!(queries(&service) <= 4, "{}", queries(&service));
    // Each with its own arguments.
    let before = queries(&service);
    read(&service, "/v1/reports/warm?zone=Asia/Kolkata", &[0]).await;
    service.pass(3_600).await;
    assert!(queries(&service) <= before + 2, "read once, it has no habit");
}

/// The panels of a dashboard are looked at together, and asked for together.
#[tokio::test(start_paused = true)]
async fn panels_of_one_moment_cost_one_or_two_requests() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path()).await;
    let panels = ["warm", "handled", "answered", "level"].map(|name| format!("/v1/reports/{name}"));
    for round in 0..5 {
        let before = queries(&service);
        let answers = join_all(panels.iter().map(|panel| service.get(panel))).await;
        for answer in answers {
            let expected = if round < 2 {
                ["miss", "collapsed"]
            } else {
                ["hit", "hit"]
            };
            let answer = answer.json();
            let cache = answer["meta"]["cache"].as_str().unwrap();
            assert!(expected.contains(&cache), "round {round}: {cache}");
        }
        service.pass(60).await;
        assert!(queries(&service) - before <= 4, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn queues_and_users_as_they_are_now_are_kept_warm_too() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path()).await;
    for report in ["/v1/reports/now", "/v1/reports/users-now"] {
        let given = read(&service, report, &[0, 20, 40, 60]).await;
        assert_eq!(given, ["miss", "miss", "hit", "hit"], "{report}");
    }
}

/// Once the service is told to stop, nobody's report is looked at any more.
#[tokio::test(start_paused = true)]
async fn it_ends_with_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = start(directory.path()).await;
    read(&service, "/v1/reports/warm", &[0, 60]).await;
    let before = queries(&service);
    service.stop.cancel();
    assert!(service.finished().await);
    service.pass(3_600).await;
    assert_eq!(queries(&service), before);
}

#[tokio::test(start_paused = true)]
async fn a_report_says_whether_it_is_kept_warm() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path()).await;
    let list = service.get("/v1/reports").await.json();
    let reports = list["reports"].as_array().unwrap();
    let refresh = |name: &str| reports.iter().find(|report| report["name"] == name).unwrap()["refresh"].clone();
    assert_eq!(
        [refresh("warm"), refresh("cold"), refresh("queue-performance")],
        [json!(true), json!(false), json!(false)]
    );
}
