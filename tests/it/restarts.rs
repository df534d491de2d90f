//! A restart with a disk costs nothing that has settled, however the process ended and whatever became of its file.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use genesys_reports::{
    clock::Clock,
    simulator::{Options, Simulator},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::support::{
    processes::Process,
    service::{Answer, Service, Setup},
};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

async fn kept_at(path: &Path) -> Service {
    Setup::new()
        .set("REPORTS_CACHE__DISK_PATH", path.to_str().unwrap())
        .start()
        .await
}

async fn ask(service: &Service, parameters: &str) -> Answer {
    let answer = service.get(&format!("/v1/query?{parameters}")).await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    answer
}

fn intervals(service: &Service) -> Vec<String> {
    let entries = service.simulator.journal().entries();
    let asked = entries.iter().filter(|entry| entry.path == AGGREGATES);
    asked
        .map(|entry| entry.body["interval"].as_str().unwrap().to_owned())
        .collect()
}

const SETTLED: &[&str] = &[
    "dateFrom=now-30d/d&dateTo=now-3d/d&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered,aht",
    "dateFrom=now-30d/d&dateTo=now-3d/d&interval=P1D&groupBy=agent.id&select=handle.time.max&timeZone=Europe/Berlin",
    "dateFrom=now-20d/d&dateTo=now-10d/d&interval=PT30M&filter=media.type:chat&select=service.level,conversation.count",
    // A day in which nothing happened is known, too.
    "dateFrom=now-9d/d&dateTo=now-8d/d&interval=PT1H&filter=media.type:fax&select=conversation.offered",
];

#[tokio::test(start_paused = true)]
async fn settled_buckets_cost_nothing_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = kept_at(&directory.path().join("held.redb")).await;
    let mut first = Vec::new();
    for parameters in SETTLED {
        first.push(ask(&service, parameters).await.json());
    }
    assert!(intervals(&service).len() >= 3);
    for restart in 1..=2 {
        service.restart().await;
        for (parameters, first) in SETTLED.iter().zip(&first) {
            let again = ask(&service, parameters).await.json();
            let context = format!("restart {restart}: {parameters}");
            assert_eq!(
                (&again["entities"], &again["total"]),
                (&first["entities"], &first["total"]),
                "{context}"
            );
            for told in ["asOf", "complete", "settledThrough"] {
                assert_eq!(again["meta"][told], first["meta"][told], "{told} of {context}");
            }
            assert_eq!(again["meta"]["cache"], "hit", "{context}");
        }
        assert_eq!(intervals(&service), Vec::<String>::new(), "restart {restart}");
    }
}

/// What is kept of one series answers questions about others, as it does in memory.
#[tokio::test(start_paused = true)]
async fn what_is_kept_by_the_hour_answers_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = kept_at(directory.path()).await;
    let hourly =
        "dateFrom=now-20d/d&dateTo=now-3d/d&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered,aht";
    ask(&service, hourly).await;
    for parameters in [
        "dateFrom=now-20d/d&dateTo=now-3d/d&interval=P1D&select=conversation.offered",
        "dateFrom=now-15d/d&dateTo=now-5d/d&interval=P1D&groupBy=media.type&select=handle.time.sum",
        "dateFrom=now-10d/d&dateTo=now-3d/d&select=conversation.offered",
        "dateFrom=now-10d/d&dateTo=now-3d/d&interval=PT6H&filter=media.type:chat&select=aht",
    ] {
        service.restart().await;
        let folded = ask(&service, parameters).await.json();
        assert_eq!(
            (&folded["meta"]["cache"], intervals(&service)),
            (&json!("hit"), vec![]),
            "{parameters}"
        );
        let plain = ask(&Service::start().await, parameters).await.json();
        assert_eq!(folded["entities"], plain["entities"], "{parameters}");
        assert_eq!(
            folded["meta"]["settledThrough"], plain["meta"]["settledThrough"],
            "{parameters}"
        );
    }
    // What is not kept is asked for; a part is not taken for the whole.
    service.restart().await;
    ask(
        &service,
        "dateFrom=now-25d/d&dateTo=now-3d/d&interval=P1D&select=conversation.offered",
    )
    .await;
    assert_eq!(intervals(&service).len(), 1);
}

/// A whole dashboard: what it asks for after a restart is what had not settled.
#[tokio::test(start_paused = true)]
async fn a_dashboard_costs_its_tail() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = kept_at(directory.path()).await;
    let panels = crate::buckets::panels(&service).await;
    let look = async |service: &Service| {
        futures_util::future::join_all(panels.iter().map(|panel| ask(service, panel))).await;
    };
    look(&service).await;
    service.pass(60).await;
    look(&service).await;
    service.restart().await;
    look(&service).await;
    let asked = intervals(&service);
    assert!((1..=6).contains(&asked.len()), "{asked:?}");
    // It is noon of the first.
    assert!(
        asked.iter().all(|interval| interval.as_str() >= "2023-11-29"),
        "{asked:?}"
    );
}

/// Of a moving range, only what had not settled is asked for again.
#[tokio::test(start_paused = true)]
async fn a_moving_range_costs_its_tail() {
    for interval in ["PT1H", "P1D"] {
        let directory = tempfile::tempdir().unwrap();
        let mut service = kept_at(directory.path()).await;
        let moving = format!(
            "dateFrom=now-30d/d&interval={interval}&groupBy=routing.queue.id&select=conversation.offered,handle.time.sum"
        );
        ask(&service, &moving).await;
        service.restart().await;
        let again = ask(&service, &moving).await.json();
        let asked = intervals(&service);
        assert!(
            matches!(&asked[..], [one] if one.starts_with("2023-11-29")),
            "{interval}: {asked:?}"
        );
        let plain = Service::start().await;
        // As long as the first took to end.
        plain.pass(5).await;
        assert_eq!(
            again["entities"],
            ask(&plain, &moving).await.json()["entities"],
            "{interval}"
        );
        // A day later another day has settled, and is added to what was kept.
        service.pass(86_400).await;
        ask(&service, &moving).await;
        service.restart().await;
        ask(&service, &moving).await;
        let asked = intervals(&service);
        assert!(
            matches!(&asked[..], [one] if one.starts_with("2023-11-30")),
            "{interval}: {asked:?}"
        );
    }
}

/// Settled days are read once, ever; one in which something runs is none of them.
#[tokio::test(start_paused = true)]
async fn settled_days_cost_nothing_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = kept_at(directory.path()).await;
    let details = |service: &Service| {
        let entries = service.simulator.journal().entries();
        let asked = entries.iter().filter(|entry| entry.path.ends_with("/details/query"));
        let intervals = asked.map(|entry| entry.body["interval"].as_str().unwrap()[..10].to_owned());
        intervals.collect::<Vec<_>>()
    };
    // Calls end within the day; messages may run for weeks.
    let settled = "/v1/conversations?filter=media.type:voice&dateFrom=2023-11-05&dateTo=2023-11-29";
    let moving = "/v1/conversations?filter=media.type:voice&dateFrom=2023-11-10&dateTo=2023-12-02&pageSize=500&page=2";
    let lines =
        "/v1/conversations?filter=media.type:voice&dateFrom=2023-11-01&dateTo=2023-11-20T07:00:00Z&format=ndjson";
    let first = service.get(settled).await.json();
    let tail = service.get(moving).await.json();
    let streamed = service.get(lines).await.body;
    service.restart().await;
    let again = service.get(settled).await.json();
    assert_eq!(
        (&again["entities"], &again["total"]),
        (&first["entities"], &first["total"])
    );
    assert_eq!(
        (&again["meta"]["asOf"], &again["meta"]["cache"]),
        (&first["meta"]["asOf"], &json!("hit"))
    );
    assert_eq!(service.get(lines).await.body, streamed);
    assert_eq!(details(&service), Vec::<String>::new());
    let again = service.get(moving).await.json();
    assert_eq!(again["entities"], tail["entities"]);
    let asked = details(&service);
    assert!(
        !asked.is_empty() && asked.iter().all(|from| from == "2023-11-29"),
        "{asked:?}"
    );
    // A filter is another question.
    service.get(&settled.replace("voice", "chat")).await;
    assert!(details(&service).len() > asked.len());
}

/// Another metric of what is kept is asked for alone, and both are kept then.
#[tokio::test(start_paused = true)]
async fn metrics_join_those_kept_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = kept_at(directory.path()).await;
    let of = |metrics: &str| format!("dateFrom=now-9d/d&dateTo=now-4d/d&interval=PT1H&select={metrics}");
    ask(&service, &of("conversation.offered")).await;
    service.restart().await;
    ask(&service, &of("handle.time.sum")).await;
    service.restart().await;
    let both = of("conversation.offered,handle.time.sum");
    let kept = ask(&service, &both).await.json();
    assert_eq!(intervals(&service), Vec::<String>::new());
    let plain = ask(&Service::start().await, &both).await.json();
    assert_eq!(kept["entities"], plain["entities"]);
}

#[tokio::test(start_paused = true)]
async fn whatever_became_of_the_file_the_answer_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let mut service = kept_at(&path).await;
    let first = ask(&service, SETTLED[0]).await.json();
    for what in ["cut", "torn", "foreign", "empty", "gone", "a directory"] {
        service
            .restart_after(|| {
                let sound = fs::read(&path).unwrap();
                let half = sound.len() / 2;
                match what {
                    "cut" => fs::write(&path, &sound[..half]).unwrap(),
                    "torn" => fs::write(&path, [&sound[..half], &vec![0; sound.len() - half]].concat()).unwrap(),
                    "foreign" => fs::write(&path, "a letter").unwrap(),
                    "empty" => fs::write(&path, "").unwrap(),
                    _ => fs::remove_file(&path).unwrap(),
                }
                if what == "a directory" {
                    fs::create_dir(&path).unwrap();
                }
            })
            .await;
        let again = ask(&service, SETTLED[0]).await.json();
        assert_eq!(again["entities"], first["entities"], "{what}");
        if ["cut", "foreign"].contains(&what) {
            assert!(service.log().contains("cannot be used"), "{what}");
        }
        // And from then on it is kept as ever.
        service.restart().await;
        ask(&service, SETTLED[0]).await;
        assert_eq!(intervals(&service), Vec::<String>::new(), "{what}");
    }
}

/// Nothing is kept of another organisation, nor without a disk.
#[tokio::test(start_paused = true)]
async fn without_a_disk_nothing_outlives_a_restart() {
    let mut service = Service::start().await;
    ask(&service, SETTLED[0]).await;
    service.restart().await;
    ask(&service, SETTLED[0]).await;
    assert_eq!(intervals(&service).len(), 1);

    let directory = tempfile::tempdir().unwrap();
    let mut first = kept_at(directory.path()).await;
    ask(&first, SETTLED[0]).await;
    first.stop.cancel();
    first.finished().await;
    // Another address is another organisation.
    let others = kept_at(directory.path()).await;
    ask(&others, SETTLED[0]).await;
    assert_eq!(intervals(&others).len(), 1);
}

// ── the real process, in real time ──

/// Killed while it writes, again and again: what it answers afterwards is right.
#[tokio::test]
async fn a_process_that_was_killed_left_nothing_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("held.redb");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let mut options = Options::new(Clock::system());
    options.days = 40;
    options.conversations_per_day = 100;
    options.rate_limit = 100_000;
    let simulator = Simulator::new(options.clone());
    let journal = simulator.journal();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { simulator.serve(listener, std::future::pending()).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let question = |number: u32| {
        let interval = ["PT30M", "PT1H", "P1D"][(number % 3) as usize];
        json!({
            "dateFrom": format!("now-{}d/d", 4 + number % 30 + 5),
            "dateTo": format!("now-{}d/d", 4 + number % 30),
            "interval": interval,
            "pageSize": 1000,
            "groupBy": ["routing.queue.id"],
            "select": ["routing.queue.id", "conversation.offered", "handle.time.sum"],
        })
    };
    let ask = async |address: SocketAddr, number: u32| {
        let request = client.post(format!("http://{address}/v1/query"));
        let request = request.header("content-type", "application/json");
        let answer = request.body(question(number).to_string()).send().await?;
        let answer: Value = answer.json().await?;
        Ok::<_, reqwest::Error>(answer["entities"].clone())
    };
    let start = async |path: &Path| {
        let kept = [("REPORTS_CACHE__DISK_PATH", path.to_str().unwrap())];
        Process::start(&options, upstream, &kept).await
    };
    for round in 0..5 {
        let mut service = start(&path).await;
        let asked = (0..30).map(|number| ask(service.address, number));
        let asking = futures_util::future::join_all(asked);
        // Later every time: before the first answer, among them, after the last.
        tokio::select! {
            _ = asking => {}
            () = sleep(Duration::from_millis(40 * round * round)) => {}
        }
        service.process.kill().await.unwrap();
    }
    let service = start(&path).await;
    let plain = Process::start(&options, upstream, &[]).await;
    for number in 0..30 {
        let given = ask(service.address, number).await.unwrap();
        let expected = ask(plain.address, number).await.unwrap();
        assert!(
            expected.as_array().is_some_and(|rows| !rows.is_empty()),
            "question {number}"
        );
        assert_eq!(given, expected, "question {number}");
    }
    // What was asked for by itself outlives an orderly stop.
    let mut service = service;
    service.stop().await;
    let mut service = start(&path).await;
    journal.clear();
    for number in (0..30).step_by(3) {
        ask(service.address, number).await.unwrap();
    }
    assert_eq!(journal.count(AGGREGATES), 0);
    service.process.kill().await.unwrap();
}
