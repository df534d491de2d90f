//! Where the service connects to is said by its settings and by nobody else. A listener stands where addresses in requests,
//! in answers and in redirects lead, however they are spelt, and must never accept a connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body};
use genesys_reports::config::{Settings, Sources};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower::ServiceExt as _;

use crate::support::service::{SECRET, Service, Setup, listen};

/// Stands where nobody may be led to, on loopback of both kinds.
struct Trap {
    port: u16,
    speaks_v6: bool,
    accepted: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Trap {
    async fn set() -> Self {
        let (listener, address) = listen();
        let v6 = TcpListener::bind(format!("[::1]:{}", address.port())).await.ok();
        let accepted = Arc::<AtomicUsize>::default();
        let mut listening = JoinSet::new();
        let speaks_v6 = v6.is_some();
        for listener in [Some(listener), v6].into_iter().flatten() {
            let accepted = Arc::clone(&accepted);
            listening.spawn(async move {
                while listener.accept().await.is_ok() {
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            port: address.port(),
            speaks_v6,
            accepted,
            _listening: listening,
        }
    }

    /// Addresses that lead here, however a URL may spell them.
    fn addresses(&self) -> Vec<String> {
        let port = self.port;
        let mut hosts = vec![
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "api.mypurecloud.ie@127.0.0.1",
            "api.mypurecloud.ie:443@127.0.0.1",
            "127.0.0.1%2f@127.0.0.1",
        ];
        if self.speaks_v6 {
            hosts.push("[::1]");
        }
        let urls = hosts
            .into_iter()
            .map(|host| format!("http://{host}:{port}/api/v2/users?pageNumber=2"));
        urls.collect()
    }

    /// Those, and what only means them beside another address.
    fn spellings(&self) -> Vec<String> {
        let port = self.port;
        let relative = [
            "//127.0.0.1",
            "\\\\127.0.0.1",
            "/\\127.0.0.1",
            "@127.0.0.1",
            ".127.0.0.1",
            "http:127.0.0.1",
            "http:/127.0.0.1",
        ];
        let relative = relative.into_iter().map(|start| format!("{start}:{port}/api/v2/users"));
        self.addresses().into_iter().chain(relative).collect()
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// The trap works: whoever follows one of those addresses is seen.
#[tokio::test]
async fn whoever_is_led_there_is_seen() {
    let trap = Trap::set().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (seen, address) in trap.addresses().into_iter().enumerate() {
        // It hangs up, or never answers: that somebody came is what counts.
        let asked = tokio::spawn(client.get(&address).send());
        while trap.accepted() == seen {
            assert!(!asked.is_finished() || trap.accepted() > seen, "{address}");
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert_eq!(trap.accepted(), seen + 1, "{address}");
    }
}

/// A Genesys Cloud that has fallen into wrong hands, in front of a simulated one.
struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    behind: OnceLock<Router>,
    hostility: Mutex<Hostility>,
    /// The hosts it was asked as.
    hosts: Mutex<Vec<String>>,
    led_on: AtomicUsize,
}

#[derive(Clone, Default)]
enum Hostility {
    #[default]
    None,
    /// Answers whatever begins so with this status and location.
    Redirects(&'static str, u16, String),
    /// Writes these into whatever could be taken for an address, or for the way to the next page.
    Leads(Vec<String>),
}

impl Front {
    fn start() -> Self {
        let (listener, address) = listen();
        let shared = Arc::<Shared>::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            serving,
        }
    }

    /// A service that takes it for Genesys Cloud.
    async fn service(&self) -> Service {
        let url = format!("http://{}", self.address);
        let setup = Setup::new().set("GENESYS_API_URL", &url).set("GENESYS_LOGIN_URL", &url);
        let service = setup.start().await;
        assert!(self.shared.behind.set(service.simulator.router()).is_ok());
        service
    }

    fn turns(&self, hostility: Hostility) {
        *self.shared.hostility.lock().unwrap() = hostility;
    }

    /// How often it led somebody on, or tried to.
    fn led_on(&self) -> usize {
        self.shared.led_on.load(Ordering::Relaxed)
    }

    fn hosts(&self) -> Vec<String> {
        self.shared.hosts.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, std::convert::Infallible>(shared.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

impl Shared {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        self.hosts.lock().unwrap().push(host.unwrap_or_default().to_owned());
        let hostility = self.hostility.lock().unwrap().clone();
        if let Hostility::Redirects(prefix, status, location) = &hostility
            && request.uri().path().starts_with(prefix)
        {
            self.led_on.fetch_add(1, Ordering::Relaxed);
            let redirect = Response::builder().status(*status).header(header::LOCATION, location);
            return redirect.body(Body::empty()).unwrap();
        }
        // What is to be changed must be readable.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
        let behind = self.behind.get().expect("the simulator is there").clone();
        let Ok(response) = behind.oneshot(request.map(Body::new)).await;
        let Hostility::Leads(targets) = &hostility else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let Ok(mut document) = serde_json::from_slice::<Value>(&body) else {
            return Response::from_parts(parts, Body::from(body));
        };
        self.lead(&mut document, targets);
        let first = HeaderValue::from_str(&targets[0]).unwrap();
        for name in [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH] {
            parts.headers.insert(name, first.clone());
        }
        parts
            .headers
            .insert(header::LINK, format!("<{}>; rel=\"next\"", targets[0]).parse().unwrap());
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(document.to_string()))
    }

    /// All of them in turn.
    fn lead(&self, document: &mut Value, targets: &[String]) {
        let next = || {
            let number = self.led_on.fetch_add(1, Ordering::Relaxed);
            json!(targets[number % targets.len()])
        };
        match document {
            Value::Array(items) => items.iter_mut().for_each(|item| self.lead(item, targets)),
            Value::Object(fields) => {
                for name in [
                    "nextUri",
                    "previousUri",
                    "selfUri",
                    "resultsUri",
                    "uri",
                    "url",
                    "href",
                    "location",
                    "downloadUrl",
                ] {
                    fields.insert(name.to_owned(), next());
                }
                if fields.contains_key("cursor") {
                    fields.insert("cursor".to_owned(), next());
                }
                let nested = ["conversations", "entities", "results"];
                for (_, value) in fields.iter_mut().filter(|(name, _)| nested.contains(&name.as_str())) {
                    self.lead(value, targets);
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_of_the_upstream_lead_nowhere() {
    let (trap, front) = (Trap::set().await, Front::start());
    let service = front.service().await;
    // Of today, so that it is asked anew after a minute.
    let question = "/v1/query?dateFrom=2023-12-01&dateTo=2023-12-02&select=conversation.count&on_error=fail";
    assert_eq!(service.get(question).await.status, 200);
    let spellings = trap.spellings();
    for (number, status) in (300..=308)
        .cycle()
        .take(spellings.len().next_multiple_of(9))
        .enumerate()
    {
        service.pass(60).await;
        let target = spellings[number % spellings.len()].clone();
        let before = front.led_on();
        front.turns(Hostility::Redirects("/api/", status, target.clone()));
        let failed = service.get(question).await;
        assert_eq!(
            (failed.status.as_u16(), front.led_on() - before),
            (502, 1),
            "{status} {target}"
        );
    }

    // The login is where credentials would go along.
    service.simulator.revoke_tokens();
    for (number, status) in (300..=308).enumerate() {
        service.pass(120).await;
        let before = front.led_on();
        front.turns(Hostility::Redirects("/oauth/", status, spellings[number].clone()));
        let failed = service.get(question).await;
        assert!(failed.status.is_server_error(), "{status}");
        assert!(front.led_on() > before, "{status}");
    }
    assert_eq!(trap.accepted(), 0);
    let own = front.address.to_string();
    assert!(front.hosts().iter().all(|host| *host == own));
}

#[tokio::test(start_paused = true)]
async fn addresses_in_answers_lead_nowhere() {
    let (trap, front) = (Trap::set().await, Front::start());
    let service = front.service().await;
    front.turns(Hostility::Leads(trap.spellings()));
    for path in [
        "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-21&select=routing.queue.name,conversation.count",
        "/v1/conversations?dateFrom=2023-11-28&dateTo=2023-11-30&pageSize=50",
        "/v1/conversations?dateFrom=2023-11-02&dateTo=2023-11-06&format=ndjson",
        "/v1/lookups/queues",
        "/v1/lookups/users",
        "/v1/lookups/wrapup-codes",
        "/v1/lookups/divisions",
        "/v1/lookups/skills",
        "/v1/lookups/flows",
        "/v1/now/queues",
        "/v1/now/users",
        "/v1/quota",
        "/api/v2/routing/queues?pageSize=25&pageNumber=1",
        "/api/v2/users",
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let job = json!({"interval": "2023-11-02T00:00:00Z/2023-11-04T00:00:00Z"});
    let jobs = "/api/v2/analytics/conversations/details/jobs";
    let job = service.post(jobs, &job).await.json()["jobId"]
        .as_str()
        .unwrap()
        .to_owned();
    service.pass(60).await;
    let first = service.get(&format!("{jobs}/{job}/results?pageSize=10")).await;
    let cursor = encoded(first.json()["cursor"].as_str().unwrap());
    let next = service
        .get(&format!("{jobs}/{job}/results?pageSize=10&cursor={cursor}"))
        .await;
    // Genesys Cloud is asked for it, as a parameter, and refuses what is no cursor of its own.
    assert_eq!(next.status, 400, "{next:?}");
    assert!(front.led_on() > 1_000, "{}", front.led_on());
    assert_eq!(trap.accepted(), 0);
    let own = front.address.to_string();
    assert!(front.hosts().iter().all(|host| *host == own));
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test(start_paused = true)]
async fn addresses_of_callers_lead_nowhere() {
    let (trap, front) = (Trap::set().await, Front::start());
    let service = front.service().await;
    let query = "/v1/query?dateFrom=2023-11-20&dateTo=2023-11-21&select=conversation.count";
    let parameters = [
        "region",
        "host",
        "url",
        "uri",
        "nextUri",
        "cursor",
        "callback",
        "callbackUrl",
        "upstream",
        "api_url",
        "share",
        "filter",
        "timeZone",
        "source",
        "dateFrom",
        "groupBy",
        "format",
    ];
    let paths = [
        "/v1/jobs/",
        "/v1/reports/",
        "/v1/lookups/",
        "/api/v2/",
        "/api/v2/users/",
        "/api/v2/routing/queues/",
        "/api/v2/analytics/conversations/details/jobs/",
        "/page/",
        "/docs/",
    ];
    let fields = [
        "host",
        "x-forwarded-host",
        "x-forwarded-for",
        "x-forwarded-server",
        "x-real-ip",
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "referer",
        "origin",
        "via",
        "x-request-id",
        "traceparent",
    ];
    for target in trap.spellings() {
        let escaped = encoded(&target);
        for name in parameters {
            service.get(&format!("{query}&{name}={escaped}")).await;
            service.get(&format!("/api/v2/users?{name}={escaped}")).await;
        }
        for path in paths {
            service.get(&format!("{path}{escaped}")).await;
            service.get(&format!("{path}{escaped}/results?cursor={escaped}")).await;
        }
        for name in fields {
            let request = service.request(Method::GET, query).header(name, &target);
            service.send(request).await;
        }
        for body in [
            json!({"interval": "2023-11-20T00:00:00Z/2023-11-21T00:00:00Z", "callbackUrl": target, "cursor": target}),
            json!({"interval": target, "metrics": [target], "nextUri": target}),
        ] {
            service
                .post("/api/v2/analytics/conversations/details/jobs", &body)
                .await;
            service
                .post("/api/v2/analytics/conversations/aggregates/query", &body)
                .await;
            service.post("/v1/query", &body).await;
        }
    }
    let there = format!("127.0.0.1:{}", trap.port);
    for line in [
        format!("GET http://{there}/v1/catalog HTTP/1.1"),
        format!("GET http://{there}/api/v2/users HTTP/1.1"),
        format!("CONNECT {there} HTTP/1.1"),
        format!("GET //{there}/v1/catalog HTTP/1.1"),
        format!("GET @{there}/v1/catalog HTTP/1.1"),
    ] {
        service
            .exchange_raw(format!("{line}\r\nhost: {there}\r\nconnection: close\r\n\r\n"), false)
            .await;
    }
    assert_eq!(trap.accepted(), 0);
    let own = front.address.to_string();
    assert!(front.hosts().iter().all(|host| *host == own), "{:?}", front.hosts());
    assert!(!front.hosts().is_empty());
}

/// A region is a name from a table; an address is https, or this machine.
#[tokio::test]
async fn regions_are_no_addresses() {
    let settings = |pairs: &[(&str, &str)]| {
        let credentials = [("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", SECRET)];
        let pairs = pairs.iter().chain(&credentials);
        Settings::load(&Sources {
            environment: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Sources::default()
        })
    };
    assert!(settings(&[("GENESYS_REGION", "mypurecloud.ie")]).is_ok());
    let trap = Trap::set().await;
    let wrong = [
        "127.0.0.1",
        "2130706433",
        "[::1]",
        "mypurecloud.ie@127.0.0.1",
        "mypurecloud.ie.evil.example",
        "mypurecloud.ie/..",
        "evil.example#mypurecloud.ie",
    ];
    for region in wrong.map(str::to_owned).into_iter().chain(trap.spellings()) {
        assert!(settings(&[("GENESYS_REGION", &region)]).is_err(), "{region}");
    }
    for url in [
        "http://10.0.0.1",
        "http://169.254.169.254",
        "http://[::ffff:10.0.0.1]",
        "http://167772161",
        "http://127.0.0.1@10.0.0.1",
        "http://localhost.evil.example",
        "https://user@api.mypurecloud.ie",
        "https://api.mypurecloud.ie?x=1",
        "file:///etc/passwd",
        "gopher://127.0.0.1",
        "//127.0.0.1",
        "unix:/run/x",
    ] {
        assert!(
            settings(&[("GENESYS_API_URL", url), ("GENESYS_LOGIN_URL", url)]).is_err(),
            "{url}"
        );
    }
}
