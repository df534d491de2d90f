//! Three replicas that meet in a Redis cost Genesys Cloud as much as one, and whatever becomes of the Redis, of one of
//! them, or of what is kept there, fails no request.
//!
//! All are processes of their own, in real time; the simulator is this process's.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use genesys_reports::{
    api::auth::new_key,
    clock::Clock,
    simulator::{Options, Simulator, journal::Journal},
};
use http::StatusCode;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::support::processes::{Process, Redis};

const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";
const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const OBSERVATIONS: &str = "/api/v2/analytics/queues/observations/query";
const QUEUES: &str = "/api/v2/routing/queues";

/// Replicas that meet in a Redis, in front of one Genesys Cloud.
struct Replicas {
    redis: Redis,
    simulator: Simulator,
    journal: Journal,
    options: Options,
    upstream: SocketAddr,
    processes: Vec<Process>,
    client: reqwest::Client,
    settings: Vec<(String, String)>,
    _tasks: JoinSet<()>,
}

/// What came back, and how long it took.
struct Answer {
    status: StatusCode,
    body: Value,
    took: Duration,
}

impl Replicas {
    async fn start(count: usize, redis: Redis, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let mut options = Options::new(Clock::system());
        options.days = 40;
        options.conversations_per_day = 50;
        options.rate_limit = 100_000;
        let simulator = Simulator::new(options.clone());
        let (platform, mut tasks) = (simulator.clone(), JoinSet::new());
        tasks.spawn(async move { platform.serve(listener, std::future::pending()).await });
        let mut settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings.push(("REPORTS_CACHE__REDIS_URL".to_owned(), redis.url.clone()));
        let mut replicas = Self {
            redis,
            journal: simulator.journal(),
            simulator,
            options,
            upstream,
            processes: Vec::new(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            settings,
            _tasks: tasks,
        };
        for _ in 0..count {
            replicas.add().await;
        }
        replicas
    }

    /// Starts one more.
    async fn add(&mut self) {
        let settings = self.settings.iter();
        let settings: Vec<_> = settings.map(|(name, value)| (&**name, &**value)).collect();
        let replica = Process::start(&self.options, self.upstream, &settings).await;
        self.processes.push(replica);
    }

    async fn get(&self, replica: usize, target: &str) -> Answer {
        self.try_get(replica, target).await.expect("the replica answers")
    }

    async fn try_get(&self, replica: usize, target: &str) -> Result<Answer, reqwest::Error> {
        let asked = Instant::now();
        let url = format!("http://{}{target}", self.processes[replica].address);
        let response = self.client.get(url).send().await?;
        let (status, body) = (response.status(), response.bytes().await?);
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            took: asked.elapsed(),
        })
    }

    /// A metric of a replica; 0 where it is not told.
    async fn metric(&self, replica: usize, line: &str) -> f64 {
        let url = format!("http://{}/metrics", self.processes[replica].address);
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line));
        value.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    /// Waits until a replica finds its Redis well, and tells how long that took.
    async fn recovered(&self, replica: usize) -> Duration {
        let began = Instant::now();
        let done = "genesys_reports_fleet_operations_total{operation=\"lease\",outcome=\"done\"}";
        let before = self.metric(replica, done).await;
        // One that was sent before Redis was left alone may be done while it still is.
        let is_apart = async || self.metric(replica, "genesys_reports_fleet_apart ").await > 0.0;
        while self.metric(replica, done).await <= before || is_apart().await {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not recover");
            sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    }

    /// Waits until all of them are in touch.
    async fn are_together(&self) {
        for replica in 0..self.processes.len() {
            self.recovered(replica).await;
        }
    }
}

/// A question about a day, hour by hour, by queue; nobody has asked for the same metric and filter.
fn question(number: usize) -> String {
    let (day, queue) = (3 + number % 30, number / 30);
    format!(
        "/v1/query?dateFrom=now-{}d/d&dateTo=now-{day}d/d&interval=PT1H&groupBy=routing.queue.id\
         &select=interval,routing.queue.id,conversation.offered&filter=routing.queue.id:{queue:08x}-0000-4000-8000-000000000000",
        day + 1
    )
}

const WEEK: &str = "/v1/query?dateFrom=now-7d/d&dateTo=now&interval=PT1H&groupBy=routing.queue.id\
     &select=interval,routing.queue.name,conversation.offered,handle.time.sum&pageSize=1000";

#[tokio::test]
async fn a_crowd_spread_over_three_replicas_costs_one_request_and_one_token() {
    let fleet = Replicas::start(3, Redis::start().await, &[]).await;
    fleet.are_together().await;
    fleet.simulator.set_latency(Duration::from_millis(300));
    let answers = join_all((0..300).map(|number| fleet.get(number % 3, WEEK))).await;
    let entities = &answers[0].body["entities"];
    assert!(entities.as_array().is_some_and(|rows| !rows.is_empty()));
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(&answer.body["entities"], entities);
    }
    let logins = |journal: &Journal| journal.entries().iter().filter(|entry| entry.is_login()).count();
    assert_eq!(fleet.journal.count(AGGREGATES), 1);
    assert_eq!(fleet.journal.count(QUEUES), 1);
    assert_eq!(logins(&fleet.journal), 1);

    let days = "/v1/conversations?dateFrom=now-6d/d&dateTo=now-3d/d&pageSize=5";
    let answers = join_all((0..30).map(|number| fleet.get(number % 3, days))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(
        answers
            .iter()
            .all(|answer| answer.body["entities"] == answers[0].body["entities"])
    );
    let read_once = fleet.journal.count(DETAILS);
    assert!(read_once > 0);

    // What each held was enough for parts of it, too; and one that comes later finds all of it.
    let mut fleet = fleet;
    fleet.add().await;
    fleet.journal.clear();
    for replica in 0..4 {
        let part = WEEK.replace("now-7d/d&dateTo=now&", "now-5d/d&dateTo=now-2d/d&");
        for target in [&*part, "/v1/conversations?dateFrom=now-5d/d&dateTo=now-4d/d"] {
            assert_eq!(fleet.get(replica, target).await.status, 200);
        }
    }
    assert_eq!(fleet.journal.entries().len(), 0, "{:?}", fleet.journal.entries());

    // Refused by the API, the token is replaced once.
    fleet.simulator.revoke_tokens();
    let answers = join_all((0..40).map(|number| {
        let target = question(number);
        let fleet = &fleet;
        async move { fleet.get(number % 4, &target).await }
    }));
    assert!(answers.await.iter().all(|answer| answer.status == 200));
    assert_eq!(logins(&fleet.journal), 1);
    for key in fleet.redis.keys().await {
        assert!(key.starts_with("genesys-reports:1:{"), "{key}");
    }
}

#[tokio::test]
async fn they_meet_in_a_cluster_and_by_way_of_sentinels_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut redis = Redis::start().await;
    let _sentinel = redis.watched(directory.path()).await;
    for redis in [Redis::cluster(directory.path()).await, redis] {
        let fleet = Replicas::start(2, redis, &[]).await;
        fleet.are_together().await;
        for replica in 0..2 {
            assert_eq!(fleet.get(replica, WEEK).await.status, 200);
        }
        assert_eq!(fleet.journal.count(AGGREGATES), 1, "{}", fleet.redis.url);
    }
}

/// It was asking for all when it was killed: the others ask themselves, a few seconds later.
#[tokio::test]
async fn a_replica_that_is_killed_keeps_nobody_waiting_for_long() {
    let mut fleet = Replicas::start(3, Redis::start().await, &[]).await;
    fleet.are_together().await;
    // The names, so that one request is all there is to ask.
    fleet.get(0, "/v1/lookups/queues").await;
    fleet.simulator.set_latency(Duration::from_secs(1));
    fleet.journal.clear();
    let mut first = fleet.processes.remove(0);
    let url = format!("http://{}{WEEK}", first.address);
    let client = fleet.client.clone();
    let cut_off = tokio::spawn(async move { client.get(url).send().await });
    sleep(Duration::from_millis(500)).await;
    let others = async { tokio::join!(fleet.get(0, WEEK), fleet.get(1, WEEK)) };
    let kill = async {
        sleep(Duration::from_millis(200)).await;
        first.process.kill().await.unwrap();
    };
    let ((second, third), ()) = tokio::join!(others, kill);
    assert!(cut_off.await.unwrap().is_err());
    for answer in [&second, &third] {
        assert_eq!(answer.status, 200);
        assert!(answer.took < Duration::from_secs(6), "{:?}", answer.took);
    }
    assert_eq!(second.body["entities"], third.body["entities"]);
    assert_eq!(
        fleet.journal.count(AGGREGATES),
        2,
        "the one that was killed, and one of the others"
    );
}

#[tokio::test]
async fn what_is_dropped_is_dropped_everywhere_and_one_observes_for_all() {
    let (key, sha256) = new_key();
    let keys = format!("[{{name=\"a\", sha256=\"{sha256}\", scopes=[\"read\", \"live\", \"admin\"]}}]");
    let settings = [("REPORTS_AUTH__KEYS", &*keys), ("REPORTS_AUTH__ANONYMOUS", "true")];
    let fleet = Replicas::start(3, Redis::start().await, &settings).await;
    fleet.are_together().await;
    let settled = WEEK.replace("dateTo=now&", "dateTo=now-3d/d&");
    for replica in 0..3 {
        assert_eq!(fleet.get(replica, &settled).await.status, 200);
    }
    assert_eq!(fleet.journal.count(AGGREGATES), 1);
    let purge = fleet
        .client
        .delete(format!("http://{}/v1/cache", fleet.processes[0].address));
    assert_eq!(purge.bearer_auth(&key).send().await.unwrap().status(), 200);
    sleep(Duration::from_secs(2)).await;
    for replica in [2, 1, 0] {
        assert_eq!(fleet.get(replica, &settled).await.status, 200);
    }
    assert_eq!(fleet.journal.count(AGGREGATES), 2, "once more, for all");

    // Boards at every replica.
    let boards = (0..3).map(|replica| {
        let url = format!("http://{}/v1/live/queues", fleet.processes[replica].address);
        fleet.client.get(url).bearer_auth(&key).send()
    });
    let boards = join_all(boards).await;
    let events = AtomicUsize::new(0);
    let watch = boards.into_iter().map(|board| {
        let mut bytes = board.unwrap().bytes_stream();
        let events = &events;
        async move {
            while let Some(bytes) = bytes.next().await {
                events.fetch_add(
                    String::from_utf8_lossy(&bytes.unwrap())
                        .matches("event: queues")
                        .count(),
                    Ordering::Relaxed,
                );
            }
        }
    });
    let _ = timeout(Duration::from_secs(16), join_all(watch)).await;
    let (events, observed) = (events.load(Ordering::Relaxed), fleet.journal.count(OBSERVATIONS));
    assert!(events >= 9, "{events} events");
    assert!(
        (3..=5).contains(&observed),
        "{observed} observations for {events} events"
    );
}

/// Who has not got what an answer is made of gives what another has written of it.
#[tokio::test]
async fn an_answer_is_written_once_for_all_who_are_asked_within_the_minute() {
    let (key, sha256) = new_key();
    let keys = format!("[{{name=\"a\", sha256=\"{sha256}\", scopes=[\"read\", \"admin\"]}}]");
    let settings = [("REPORTS_AUTH__KEYS", &*keys), ("REPORTS_AUTH__ANONYMOUS", "true")];
    let fleet = Replicas::start(2, Redis::start().await, &settings).await;
    fleet.are_together().await;
    let url = |replica: usize, target: &str| format!("http://{}{target}", fleet.processes[replica].address);
    let ask = async |replica: usize, target: &str| {
        let answer = fleet.client.get(url(replica, target)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let told = ["etag", "x-data-as-of", "content-type"].map(field);
        let status = field("cache-status");
        let text = answer.text().await.unwrap();
        // Where it came from differs.
        let rows = text.split("\"meta\"").next().unwrap().to_owned();
        (told, rows, status)
    };
    let held = async |replica: usize| {
        let contents = fleet.client.get(url(replica, "/v1/cache")).bearer_auth(&key);
        let contents: Value = contents.send().await.unwrap().json().await.unwrap();
        let listed = ["series", "whole"].map(|what| contents[what].as_array().unwrap().len());
        listed.iter().sum::<usize>()
    };
    // By hour, as files, and what is asked whole.
    let forms = ["", "&format=csv", "&format=parquet"].map(|form| format!("{WEEK}{form}&limit=50"));
    let total = "/v1/query?dateFrom=now-7d/d&dateTo=now-3d/d&select=conversation.count";
    for target in forms.into_iter().chain([total.to_owned()]) {
        // All of it in one minute.
        let into_the_minute = Clock::system().now().as_second() % 60;
        if into_the_minute > 50 {
            sleep(Duration::from_secs(61 - into_the_minute.unsigned_abs())).await;
        }
        let first = ask(0, &target).await;
        // It is left when the caller has its answer already.
        sleep(Duration::from_millis(300)).await;
        let second = ask(1, &target).await;
        assert_eq!((&second.0, &second.1), (&first.0, &first.1), "{target}");
        assert!(second.2.contains("; hit; ttl="), "{}", second.2);
        let third = ask(1, &target).await;
        assert_eq!((&third.0, &third.1), (&first.0, &first.1), "{target}");
        assert!(held(0).await > 0);
        assert_eq!(held(1).await, 0, "nothing else was taken for it");
    }
    assert_eq!(fleet.journal.count(AGGREGATES), 2);
    fleet.journal.clear();

    // What was dropped is not given by anybody.
    let target = format!("{WEEK}&limit=50");
    ask(1, &target).await;
    let purge = fleet.client.delete(url(0, "/v1/cache")).bearer_auth(&key);
    assert_eq!(purge.send().await.unwrap().status(), 200);
    sleep(Duration::from_secs(2)).await;
    ask(1, &target).await;
    assert_eq!(fleet.journal.count(AGGREGATES), 1);
    assert!(held(1).await > 0);
}

/// While it is broken, requests are answered little later than with it; and it is used again within five seconds.
#[tokio::test]
async fn a_redis_that_is_out_of_order_fails_no_request_and_is_used_again_within_five_seconds() {
    const ASKED: usize = 40;
    let mut fleet = Replicas::start(1, Redis::absent().await, &[]).await;
    let mut next = 0;
    let mut ask = async |fleet: &Replicas, what: &str| {
        let began = Instant::now();
        for number in next..next + ASKED {
            let answer = fleet.get(0, &question(number)).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        }
        next += ASKED;
        let ready = fleet.get(0, "/health/ready").await;
        assert_eq!(ready.status, 200, "{what}: {}", ready.body);
        began.elapsed()
    };
    let mut took = Vec::new();
    for broken in ["absent", "killed", "hanging", "read-only"] {
        match broken {
            "absent" => {}
            "hanging" => fleet.redis.signal("STOP").await,
            // As after a failover, to whom nobody tells that another is the primary now.
            "read-only" => drop(fleet.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await),
            _ => fleet.redis.kill().await,
        }
        took.push((broken, ask(&fleet, broken).await));
        match broken {
            "hanging" => fleet.redis.signal("CONT").await,
            "read-only" => drop(fleet.redis.ask(&["REPLICAOF", "NO", "ONE"]).await),
            _ => fleet.redis.come_back().await,
        }
        let recovered = fleet.recovered(0).await;
        assert!(
            recovered < Duration::from_secs(5),
            "{broken}: recovered after {recovered:?}"
        );
        let ready = fleet.get(0, "/health/ready").await;
        assert_eq!(ready.body["reasons"], Value::Array(Vec::new()), "{broken}");
    }
    let well = ask(&fleet, "well").await;
    let added = Duration::from_millis(50) * u32::try_from(ASKED).unwrap();
    for (broken, took) in took {
        assert!(took < well + added, "{broken}: {took:?}, {well:?} when it is well");
    }
    assert_eq!(fleet.journal.count(AGGREGATES), next, "each is asked for once");
}

/// What is kept there is not what was written: it is asked for again, and what is right takes its place.
#[tokio::test]
async fn a_redis_full_of_nonsense_is_as_good_as_an_empty_one() {
    const ASKED: usize = 5;
    let damages = [
        ("wrong types", "redis.call('DEL', key) redis.call('SADD', key, 'a')"),
        (
            "cut",
            "if kind == 'string' then redis.call('SET', key, string.sub(value, 1, math.floor(#value / 2))) end",
        ),
        (
            "another layout",
            "redis.call('SET', key, string.char(0) .. 'GRF9' .. string.rep('x', 100))",
        ),
        (
            "a bomb",
            "redis.call('SET', key, string.char(1, 255, 255, 255, 127) .. string.rep(string.char(0), 16384))",
        ),
        (
            "somebody else's",
            "redis.call('DEL', key) redis.call('HSET', key, 'since', 'x', 'taken', 'y', 'latest', 'z', 'gate', 'w')",
        ),
    ];
    let mut fleet = Replicas::start(1, Redis::start().await, &[]).await;
    fleet.are_together().await;
    let questions: Vec<_> = (0..ASKED).map(question).collect();
    let mut expected = Vec::new();
    for target in &questions {
        expected.push(fleet.get(0, target).await.body["entities"].clone());
    }
    for (what, damage) in damages {
        let script = format!(
            "for _, key in ipairs(redis.call('KEYS', '*')) do local kind = redis.call('TYPE', key).ok \
             local value = kind == 'string' and redis.call('GET', key) {damage} end"
        );
        fleet.redis.ask(&["EVAL", &script, "0"]).await;
        // One that holds nothing itself finds nothing there, either; the next finds what that one has left.
        for calls in [ASKED, 0] {
            fleet.add().await;
            fleet.journal.clear();
            for (target, expected) in questions.iter().zip(&expected) {
                let answer = fleet.get(1, target).await;
                assert_eq!(answer.status, 200, "{what}: {}", answer.body);
                assert_eq!(&answer.body["entities"], expected, "{what}");
            }
            assert_eq!(fleet.journal.count(AGGREGATES), calls, "{what}");
            if calls > 0 {
                let spoiled = fleet.metric(1, "genesys_reports_fleet_reads_total{outcome=\"spoiled\"}");
                assert!(spoiled.await > 0.0, "{what}");
            }
            assert!(fleet.recovered(1).await < Duration::from_secs(5), "{what}");
            fleet.processes.pop();
        }
    }
}

/// Three replicas want more than there is for two minutes, while a replica and the Redis are killed and come back.
#[tokio::test]
async fn the_fleet_never_exceeds_its_budget_by_one_call_in_any_minute() {
    const LIMIT: usize = 60;
    let limit = LIMIT.to_string();
    let settings = [("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", &*limit)];
    let mut fleet = Replicas::start(3, Redis::start().await, &settings).await;
    fleet.are_together().await;
    let began = Instant::now();
    let asked = AtomicUsize::new(0);
    let used = |fleet: &Replicas| fleet.journal.entries().iter().filter(|entry| !entry.is_login()).count();
    // Each caller asks on, whatever it is told.
    let press = async |fleet: &Replicas, until: u64| {
        let until = Duration::from_secs(until);
        let callers = (0..24).map(|caller| {
            let asked = &asked;
            async move {
                while began.elapsed() < until {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    let target = question(number);
                    let left = until.saturating_sub(began.elapsed());
                    let get = fleet.try_get(caller % fleet.processes.len(), &target);
                    match timeout(left, get).await {
                        Ok(Ok(answer)) if answer.status == 200 => {}
                        Ok(Ok(answer)) => {
                            // Too many want it: there is no turn in time.
                            assert!(matches!(answer.status.as_u16(), 503 | 504), "{}", answer.body);
                            sleep(Duration::from_secs(1)).await;
                        }
                        Ok(Err(_)) => sleep(Duration::from_millis(500)).await,
                        Err(_) => {}
                    }
                }
            }
        });
        stream::iter(callers).buffer_unordered(24).collect::<Vec<_>>().await;
    };
    // The first minute, in which nobody knows what was sent before: an even share for each.
    press(&fleet, 75).await;
    let in_first = used(&fleet);
    assert!(in_first >= LIMIT * 9 / 10, "{in_first} in the first minute");
    // One is killed and comes back, and knows nothing of what it has sent.
    let mut killed = fleet.processes.remove(0);
    killed.process.kill().await.unwrap();
    fleet.add().await;
    press(&fleet, 100).await;
    fleet.redis.kill().await;
    press(&fleet, 110).await;
    fleet.redis.come_back().await;
    press(&fleet, 200).await;
    assert!(fleet.recovered(0).await < Duration::from_secs(5));
    let most = fleet.journal.requests_in_any_window(Duration::from_mins(1));
    assert!(most <= LIMIT, "{most} in a minute");
    let all = used(&fleet);
    assert!(all >= LIMIT * 2, "{all} in 200 s");
}
