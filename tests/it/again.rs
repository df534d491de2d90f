//! A request that is known again is answered as if it were looked into anew.

use std::collections::BTreeSet;

use genesys_reports::simulator::organisation::Injection;
use jiff::ToSpan as _;
use reqwest::Method;

use crate::support::{
    service::{Answer, Service, Setup},
    watch::Watch,
};

const QUESTIONS: [&str; 5] = [
    // Until this minute; a range that has settled; names; a file; the middle of the warm.
    "/v1/query?dateFrom=now-6h&interval=PT1H&groupBy=routing.queue.id&select=conversation.offered,handle.time.average",
    "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-27&interval=P1D&select=conversation.count",
    "/v1/query?dateFrom=now-2d/d&dateTo=now/d&interval=PT1H&select=routing.queue.name,conversation.offered",
    "/v1/query?dateFrom=today&interval=PT30M&select=conversation.offered&format=csv",
    "/v1/query?dateFrom=now-26h/h&dateTo=now-20h/h&interval=PT15M&select=conversation.offered&format=table",
];

struct Desk {
    service: Service,
    reader: String,
    admin: String,
}

impl Desk {
    async fn ask(&self, path: &str, directive: Option<&str>) -> Answer {
        let request = self.service.request(Method::GET, path).bearer_auth(&self.reader);
        let request = match directive {
            Some(directive) => request.header("cache-control", directive),
            None => request,
        };
        let answer = self.service.send(request).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    }

    /// A directive that nobody knows is passed over, and has the request looked into.
    async fn the_long_way(&self, path: &str) -> Answer {
        self.ask(path, Some("x-look")).await
    }

    /// Both ways, in either order, there is the same.
    async fn compare(&self, when: &str) {
        for (number, path) in QUESTIONS.into_iter().enumerate() {
            let (first, second) = if number % 2 == 0 {
                (self.ask(path, None).await, self.the_long_way(path).await)
            } else {
                (self.the_long_way(path).await, self.ask(path, None).await)
            };
            let told = |answer: &Answer| {
                [
                    "etag",
                    "x-data-as-of",
                    "x-data-complete",
                    "age",
                    "content-type",
                    "content-disposition",
                    "vary",
                ]
                .map(|name| answer.header(name).to_owned())
            };
            assert_eq!(told(&first), told(&second), "{when}: {path}");
            let is_fresh = |answer: &Answer| {
                let status = answer.header("cache-status");
                status.contains("; hit; ttl=") && !status.contains("ttl=-")
            };
            if is_fresh(&first) {
                for name in ["cache-status", "cache-control"] {
                    assert_eq!(first.header(name), second.header(name), "{when}: {path}");
                }
                assert_eq!(first.body, second.body, "{when}: {path}");
            }
            let held = self.service.request(Method::GET, path).bearer_auth(&self.reader);
            let held = self
                .service
                .send(held.header("if-none-match", first.header("etag")))
                .await;
            assert_eq!((held.status.as_u16(), held.body.len()), (304, 0), "{when}: {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_ways_lead_to_the_same_answer_whatever_happens_between() {
    let (setup, reader) = Setup::new().key("\"read\"", "");
    let (setup, admin) = setup.key("\"admin\"", "");
    let service = setup.start().await;
    let desk = Desk { service, reader, admin };
    let simulator = &desk.service.simulator;
    for (step, seconds) in [
        0,
        1,
        1,
        2,
        5,
        9,
        14,
        20,
        29,
        31,
        3,
        61,
        1,
        45,
        16,
        90,
        2,
        2,
        2,
        400,
        10,
        10,
        10,
        10,
        10,
        10,
        3600,
        1,
        59,
        30,
        30,
        30,
        4 * 3600,
        7,
        7,
        50_000,
        1,
        1,
    ]
    .into_iter()
    .enumerate()
    {
        desk.service.pass(seconds).await;
        desk.compare(&format!("step {step}")).await;
        match step % 4 {
            0 => {
                let call = Injection::Call {
                    start: desk.service.clock.now() - 40.minutes(),
                    queue: 0,
                    user: 0,
                    wait_ms: 5_000,
                    talk_ms: 60_000,
                    wrap_up_ms: 10_000,
                };
                simulator.organisation().inject(&call).unwrap();
            }
            1 => {
                let path = format!("{}&max_age=0", QUESTIONS[step % QUESTIONS.len()]);
                desk.ask(&path, None).await;
            }
            2 => {
                let purge = desk.service.request(Method::DELETE, "/v1/cache?source=conversations");
                let purge = desk.service.send(purge.bearer_auth(&desk.admin)).await;
                assert_eq!(purge.status, 200, "{}", purge.text());
            }
            _ => {}
        }
        desk.compare(&format!("after step {step}")).await;
    }
}

/// What one key may see is not what another is given, though they ask the same.
#[tokio::test(start_paused = true)]
async fn who_sees_less_is_not_given_what_others_were() {
    let queue = "00000000-0000-4000-8000-000000000000";
    let (setup, everything) = Setup::new().key("\"read\"", "");
    let (setup, nothing) = setup.key("\"read\"", &format!(", filters={{\"routing.queue.id\"=[\"{queue}\"]}}"));
    let service = setup.start().await;
    let ask = async |key: &str| {
        let request = service.request(Method::GET, QUESTIONS[1]).bearer_auth(key);
        service.send(request).await.json()["entities"].clone()
    };
    let [all, none] = [ask(&everything).await, ask(&nothing).await];
    assert_ne!(all, none);
    for _ in 0..2 {
        assert_eq!(
            [ask(&everything).await, ask(&nothing).await],
            [all.clone(), none.clone()]
        );
    }
}

/// By nothing beside the answer can anybody tell which way it came: not by its header fields, in the log, or in the metrics.
#[tokio::test(start_paused = true)]
async fn what_is_told_beside_the_answer_is_the_same_both_ways() {
    let (setup, key) = Setup::new()
        .set("REPORTS_SERVER__CORS_ORIGINS", "[\"https://page.example\"]")
        .key("\"read\"", ", requests_per_minute=1000");
    // At that level the log tells who was let in by the long way.
    let service = setup.start_watched(Watch::start_at("debug")).await;
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        let request = service.request(Method::GET, path).bearer_auth(&key);
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        service.send(request).await
    };
    let told = |answer: &Answer| -> BTreeSet<(String, String)> {
        let fields = answer.headers.iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let differ = ["date", "x-request-id", "ratelimit"];
        fields.filter(|(name, _)| !differ.contains(&&**name)).collect()
    };
    let count = async |route: &str| {
        let metrics = service.get("/metrics").await.text();
        let counted =
            format!("http_server_request_duration_seconds_count{{method=\"GET\",route=\"{route}\",status=\"200\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&counted));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let lines = |text: &str| service.log().lines().filter(|line| line.contains(text)).count();
    for (path, route) in [
        (QUESTIONS[1], "/v1/query"),
        (QUESTIONS[3], "/v1/query"),
        (
            "/v1/reports/queue-performance.csv?from=2023-11-20&to=2023-11-27",
            "/v1/reports/{name}",
        ),
    ] {
        ask(path, &[]).await;
        for fields in [
            &[][..],
            &[("origin", "https://page.example")],
            &[("origin", "https://other.example")],
            &[("x-request-id", "abc-1"), ("accept", "*/*")],
            &[("accept-encoding", "identity")],
        ] {
            let asked = format!("{path} {fields:?}");
            // As others are asked for otherwise, they are known by now.
            ask(path, fields).await;
            let (let_in, logged, counted) = (lines("authenticated"), lines("request answered"), count(route).await);
            let at_once = ask(path, fields).await;
            assert_eq!(lines("authenticated"), let_in, "{asked}");
            let otherwise = ask(path, &[fields, &[("cache-control", "x-look")]].concat()).await;
            assert_eq!(lines("authenticated"), let_in + 1, "{asked}");
            assert_eq!(
                (at_once.status.as_u16(), &at_once.body),
                (200, &otherwise.body),
                "{asked}"
            );
            assert_eq!(told(&at_once), told(&otherwise), "{asked}");
            let left = |answer: &Answer| -> u64 {
                let left = answer.header("ratelimit").split(['=', ';']).nth(2).unwrap();
                left.parse().unwrap()
            };
            assert_eq!(left(&at_once), left(&otherwise) + 1, "{asked}");
            assert_eq!(count(route).await, counted + 2, "{asked}");
            // Those of the metrics are not told at all, or told at a lower level.
            let log = service.log();
            let answered: Vec<_> = log
                .lines()
                .filter(|line| line.contains("request answered"))
                .skip(logged)
                .filter(|line| line.contains(&format!("route=\"{route}\"")))
                .collect();
            assert_eq!(answered.len(), 2, "{asked}: {answered:?}");
            for (line, answer) in answered.iter().zip([&at_once, &otherwise]) {
                let id = format!("request_id=\"{}\"", answer.header("x-request-id"));
                for part in [&*id, "method=\"GET\"", "status=200", "duration_ms="] {
                    assert!(line.contains(part), "{part}: {line}");
                }
            }
        }
    }
}
