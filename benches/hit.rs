//! What a hit takes of the heap and of the processor: the whole service, without a socket.
//!
//! `cargo bench --bench hit`; `./bench` puts the figures into docs/performance.md. A key is asked for, requests are counted
//! and traced. The answers are about 1 KB, 22 KB and 1 MB.

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
};
use divan::{AllocProfiler, Bencher};
use genesys_reports::{
    api::{Api, auth::new_key},
    app::App,
    clock::Clock,
    config::{Settings, Sources},
    simulator::{Options, Simulator},
};
use http_body_util::BodyExt as _;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

struct Bench {
    runtime: Runtime,
    api: Api,
    key: String,
}

impl Bench {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Clock::starting_at("2026-03-02T12:00:00Z".parse().expect("an instant"));
        let (key, sha256) = new_key();
        let api = runtime.block_on(async {
            let options = Options {
                days: 35,
                conversations_per_day: 400,
                rate_limit: 100_000,
                client_secret: "bench".to_owned(),
                ..Options::new(clock.clone())
            };
            let client_id = options.client_id.clone();
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let upstream = format!("http://{}", listener.local_addr().expect("it is bound"));
            tokio::spawn(async move { Simulator::new(options).serve(listener, std::future::pending()).await });
            let keys = format!("[{{name=\"bench\", sha256=\"{sha256}\", scopes=[\"read\"]}}]");
            let environment = [
                ("GENESYS_API_URL", upstream.clone()),
                ("GENESYS_LOGIN_URL", upstream),
                ("GENESYS_CLIENT_ID", client_id),
                ("GENESYS_CLIENT_SECRET", "bench".to_owned()),
                ("REPORTS_AUTH__KEYS", keys),
            ];
            let sources = Sources {
                environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value))),
                ..Sources::default()
            };
            let settings = Settings::load(&sources).expect("the settings are right");
            App::new(&settings, clock).expect("it can be put together").into_api()
        });
        Self { runtime, api, key }
    }

    /// The bytes of an answer of that many rows.
    fn ask(&self, rows: usize) -> Bytes {
        let target = format!(
            "/v1/query?dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id\
             &select=interval,routing.queue.id,conversation.count,conversation.offered,handle.time.average\
             &format=ndjson&limit={rows}"
        );
        let request = Request::get(target)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Body::empty())
            .expect("a request");
        self.runtime.block_on(async {
            let answer = self.api.answer(request).await;
            assert_eq!(answer.status(), StatusCode::OK);
            answer.into_body().collect().await.expect("a body").to_bytes()
        })
    }
}

#[divan::bench(args = [5, 125, 5600])]
fn of_rows(bencher: Bencher, rows: usize) {
    let bench = Bench::new();
    let first = bench.ask(rows);
    assert_eq!(bench.ask(rows), first);
    bencher.bench_local(|| bench.ask(rows));
}
