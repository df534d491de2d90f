//! Traces: a caller's goes on upstream, one span for the request and one for each attempt, told to a collector that can
//! neither hold up nor fail a request. Nothing secret and nothing that callers make up is told.

use std::{collections::BTreeSet, time::Duration};

use genesys_reports::simulator::{
    faults::{Effect, Fault},
    journal::Entry,
};
use reqwest::Method;
use tokio::time::Instant;

use crate::support::{
    collector::{Collector, Reaction},
    service::{Answer, SECRET, Service, Setup, listen},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const AGGREGATES: &str = "/api/v2/analytics/conversations/aggregates/query";

/// A question that has not been asked before, of a day of November.
fn question(day: usize) -> String {
    format!(
        "/v1/query?dateFrom=2023-11-{day:02}&dateTo=2023-11-{:02}&select=conversation.count",
        day + 1
    )
}

async fn ask(service: &Service, day: usize, fields: &[(&str, &str)]) -> Answer {
    let request = service.request(Method::GET, &question(day));
    let request = fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    service.send(request).await
}

fn asked(service: &Service) -> Vec<Entry> {
    let entries = service.simulator.journal().entries().into_iter();
    entries.filter(|entry| !entry.is_login()).collect()
}

/// Trace, span and flags of what was said to the upstream.
fn said(entry: &Entry) -> Option<(String, String, String)> {
    let mut parts = entry.context.get("traceparent")?.split('-').map(str::to_owned);
    assert_eq!(parts.next().as_deref(), Some("00"));
    let said = (parts.next()?, parts.next()?, parts.next()?);
    assert_eq!(
        (said.0.len(), said.1.len(), said.2.len(), parts.next()),
        (32, 16, 2, None)
    );
    Some(said)
}

fn parent(version: &str, trace: &str, span: &str, flags: &str) -> String {
    format!("{version}-{trace}-{span}-{flags}")
}

/// What arrives, and whether it is gone on with.
fn table() -> Vec<(&'static str, Vec<String>, bool)> {
    let (trace, span) = (TRACE, SPAN);
    vec![
        ("recorded", vec![parent("00", trace, span, "01")], true),
        ("not recorded", vec![parent("00", trace, span, "00")], true),
        ("a version to come", vec![parent("7a", trace, span, "01")], true),
        ("more of it", vec![parent("7a", trace, span, "01-more")], true),
        ("nothing", vec![], false),
        ("empty", vec![String::new()], false),
        ("no trace", vec![parent("00", &"0".repeat(32), span, "01")], false),
        ("no span", vec![parent("00", trace, &"0".repeat(16), "01")], false),
        ("capitals", vec![parent("00", &trace.to_uppercase(), span, "01")], false),
        (
            "capitals in the span",
            vec![parent("00", trace, &span.to_uppercase(), "01")],
            false,
        ),
        ("no version", vec![parent("ff", trace, span, "01")], false),
        ("more than there is", vec![parent("00", trace, span, "01-more")], false),
        ("too short", vec![parent("00", trace, span, "0")], false),
        ("no hex", vec![parent("00", trace, span, "0x")], false),
        (
            "two",
            vec![parent("00", trace, span, "01"), parent("00", trace, span, "01")],
            false,
        ),
        (
            "two in one",
            vec![[parent("00", trace, span, "01"), parent("00", trace, span, "01")].join(",")],
            false,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_callers_trace_goes_on_upstream_and_none_is_made_up() {
    let service = Service::start().await;
    for (day, (what, parents, goes_on)) in table().into_iter().enumerate() {
        let mut fields: Vec<_> = parents.iter().map(|parent| ("traceparent", parent.as_str())).collect();
        fields.extend([("tracestate", "vendor=1"), ("baggage", "canary=1")]);
        assert_eq!(ask(&service, day + 1, &fields).await.status, 200, "{what}");
        let entry = asked(&service).pop().unwrap();
        let told = said(&entry);
        assert_eq!(told.is_some(), goes_on, "{what}: {:?}", entry.context);
        if let Some((trace, span, flags)) = told {
            assert_eq!(trace, TRACE, "{what}");
            assert_eq!(span, SPAN, "{what}: there is no span of ours");
            assert_eq!(parents[0].split('-').nth(3), Some(flags.as_str()), "{what}");
        }
        assert_eq!(entry.context.contains_key("tracestate"), goes_on, "{what}");
        assert!(!entry.context.contains_key("baggage"), "{what}");
    }
    assert_eq!(asked(&service).len(), table().len());
}

#[tokio::test(start_paused = true)]
async fn what_tracing_systems_remember_goes_on_within_bounds() {
    let service = Service::start().await;
    let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
    let long = |bytes: usize| format!("a={},b={}", "x".repeat(254), "y".repeat(bytes - 259));
    let (most, too_many, longest, too_long) = (many(32), many(33), long(512), long(513));
    for (day, (states, expected)) in [
        (vec!["a=1"], Some("a=1")),
        (vec!["a=1, b=2", "c=3"], Some("a=1,b=2,c=3")),
        (vec![most.as_str()], Some(most.as_str())),
        (vec![too_many.as_str()], Some(most.as_str())),
        (vec![longest.as_str()], Some(longest.as_str())),
        (vec![too_long.as_str()], None),
        (vec!["a=1,a=2"], Some("a=1,a=2")),
        (vec!["A=1"], None),
        (vec!["a"], None),
        (vec![""], None),
    ]
    .into_iter()
    .enumerate()
    {
        let parent = parent("00", TRACE, SPAN, "01");
        let mut fields = vec![("traceparent", parent.as_str())];
        fields.extend(states.iter().map(|state| ("tracestate", *state)));
        ask(&service, day + 1, &fields).await;
        let entry = asked(&service).pop().unwrap();
        assert_eq!(
            entry.context.get("tracestate").map(String::as_str),
            expected,
            "{states:?}"
        );
        assert_eq!(
            said(&entry).unwrap().0,
            TRACE,
            "whatever is wrong with it, the trace goes on"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_a_span_of_its_callers_trace_or_of_a_new_one() {
    let collector = Collector::start();
    let service = collector.setup().start().await;
    let rows = table();
    for (day, (_, parents, _)) in rows.iter().enumerate() {
        let mut fields: Vec<_> = parents.iter().map(|parent| ("traceparent", parent.as_str())).collect();
        fields.push(("tracestate", "vendor=1"));
        ask(&service, day + 1, &fields).await;
    }
    service.pass(10).await;
    let mut served = collector.served().into_iter();
    let mut traces = BTreeSet::new();
    for ((what, _, goes_on), entry) in rows.iter().zip(asked(&service)) {
        let (trace, _, flags) = said(&entry).expect("everything is traced");
        if *what == "not recorded" {
            // Its caller says so, and the upstream is told so.
            assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
            continue;
        }
        let span = served.next().unwrap();
        assert_eq!(span.trace, trace, "{what}");
        assert_eq!(span.trace == TRACE, *goes_on, "{what}");
        assert_eq!(span.parent, if *goes_on { SPAN } else { "" }, "{what}");
        assert_eq!(span.state, if *goes_on { "vendor=1" } else { "" }, "{what}");
        assert!(*goes_on || traces.insert(trace), "{what}: a trace of its own");
    }
    assert!(served.next().is_none());
    let resources = collector.resources();
    assert!(
        resources
            .iter()
            .all(|resource| resource["service.name"] == "genesys-reports")
    );
    let instances: BTreeSet<_> = resources
        .iter()
        .map(|resource| &resource["service.instance.id"])
        .collect();
    assert_eq!(instances.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_a_span_of_its_own() {
    let collector = Collector::start();
    let service = collector.setup().start().await;
    service.fault(Fault::new(Effect::status(503)).on_path(AGGREGATES).times(2));
    let told = parent("00", TRACE, SPAN, "01");
    assert_eq!(ask(&service, 1, &[("traceparent", &told)]).await.status, 200);
    service.pass(10).await;

    let (spans, requests) = (collector.spans(), collector.served());
    assert_eq!(
        spans.len(),
        1 + 3 + 1,
        "the request, its attempts, the login: {spans:?}"
    );
    let [server] = &requests[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_str(), server.has_failed), ("GET /v1/query", false));
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, SPAN));
    let port = service.address.port().to_string();
    for (attribute, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/v1/query"),
        ("url.path", "/v1/query"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
    ] {
        assert_eq!(server.says(attribute), value, "{attribute}");
    }

    let (attempts, port) = (collector.asked(), service.upstream.port().to_string());
    for (span, (status, resent, error)) in
        attempts
            .iter()
            .zip([("503", "", "503"), ("503", "1", "503"), ("200", "2", "")])
    {
        assert_eq!(span.name, format!("POST {AGGREGATES}"));
        assert_eq!((span.trace.as_str(), &span.parent), (TRACE, &server.id));
        assert_eq!(span.has_failed, !error.is_empty());
        for (attribute, value) in [
            ("http.request.method", "POST"),
            ("http.request.resend_count", resent),
            ("http.response.status_code", status),
            ("error.type", error),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("url.template", AGGREGATES),
        ] {
            assert_eq!(span.says(attribute), value, "{attribute}");
        }
        assert!(span.seconds <= server.seconds);
    }
    let told: Vec<_> = asked(&service).iter().map(|entry| said(entry).unwrap().1).collect();
    let ids: Vec<_> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
    assert_eq!(
        (told, ids.len()),
        (ids, 3),
        "the upstream is told of the attempt, not of the request"
    );
    let login = spans.iter().find(|span| span.name == "POST /oauth/token").unwrap();
    assert_eq!((login.trace.as_str(), &login.parent), (TRACE, &server.id));

    // What is held is asked of nobody.
    ask(&service, 1, &[]).await;
    service.pass(10).await;
    assert_eq!((collector.served().len(), collector.asked().len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_anothers_fetch_is_linked_to_it() {
    let collector = Collector::start();
    let mut setup = collector.setup();
    setup.simulator.latency = Duration::from_secs(1);
    let service = setup.start().await;
    let fields = |first: char| parent("00", &first.to_string().repeat(32), SPAN, "01");
    let (one, other) = (fields('a'), fields('b'));
    let (one, other) = ([("traceparent", one.as_str())], [("traceparent", other.as_str())]);
    let later = async {
        service.pass(1).await;
        ask(&service, 1, &other).await
    };
    let _both = tokio::join!(ask(&service, 1, &one), later);
    service.pass(10).await;
    let (served, attempts) = (collector.served(), collector.asked());
    let of = |first: char| served.iter().find(|span| span.trace.starts_with(first)).unwrap();
    let [attempt] = &attempts[..] else {
        panic!("{:?}", collector.spans())
    };
    assert_eq!((&attempt.trace, &attempt.parent), (&of('a').trace, &of('a').id));
    assert_eq!((&of('a').links, &of('b').links), (&vec![], &vec![of('a').id.clone()]));
}

#[tokio::test(start_paused = true)]
async fn what_fails_says_why() {
    let collector = Collector::start();
    let service = collector
        .setup()
        .set("REPORTS_UPSTREAM__MAX_ATTEMPTS", "1")
        .set("REPORTS_UPSTREAM__ATTEMPT_TIMEOUT_S", "5")
        .start()
        .await;
    ask(&service, 1, &[]).await;
    service.fault(Fault::new(Effect::BlackHole).on_path(AGGREGATES).once());
    assert_eq!(ask(&service, 2, &[]).await.status, 504);
    service.get("/v1/query?dateFrom=nonsense").await;
    service.get("/v1/made-up/by-callers").await;
    let brewed = service.request(Method::from_bytes(b"BREW").unwrap(), "/v1/catalog");
    service.send(brewed).await;
    service.get("/health/live").await;
    // A caller who does not stay.
    service.fault(Fault::new(Effect::BlackHole).on_path(AGGREGATES).once());
    let gone = service
        .request(Method::GET, &question(3))
        .timeout(Duration::from_secs(1));
    assert!(gone.send().await.is_err());
    service.pass(20).await;
    let told = |spans: Vec<crate::support::collector::Span>| -> Vec<(String, String, String)> {
        let spans = spans.into_iter();
        spans
            .map(|span| {
                assert_eq!(span.has_failed, !span.says("error.type").is_empty(), "{span:?}");
                let (status, error) = (span.says("http.response.status_code"), span.says("error.type"));
                (span.name.clone(), status.to_owned(), error.to_owned())
            })
            .collect()
    };
    let row = |name: &str, status: &str, error: &str| (name.to_owned(), status.to_owned(), error.to_owned());
    let mut served = told(collector.served());
    served.sort();
    let mut expected = vec![
        row("GET /v1/query", "200", ""),
        row("GET /v1/query", "504", "504"),
        row("GET /v1/query", "422", ""),
        row("GET", "404", ""),
        row("HTTP /v1/catalog", "405", ""),
        row("GET /v1/query", "", "abandoned"),
    ];
    expected.sort();
    assert_eq!(served, expected, "and none of a probe");
    let name = format!("POST {AGGREGATES}");
    assert_eq!(
        told(collector.asked()),
        [
            row(&name, "200", ""),
            row(&name, "", "timeout"),
            row(&name, "", "timeout")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_a_setting() {
    let told = parent("00", TRACE, SPAN, "01");
    for (sampler, share, of_caller, of_ours) in [
        ("always_on", "0", 1, 1),
        ("always_off", "1", 0, 0),
        ("parentbased_always_off", "1", 1, 0),
        ("parentbased_traceidratio", "0", 1, 0),
        ("traceidratio", "1", 1, 1),
    ] {
        let collector = Collector::start();
        let setup = collector.setup().set("OTEL_TRACES_SAMPLER", sampler);
        let setup = setup
            .set("OTEL_TRACES_SAMPLER_ARG", share)
            .set("OTEL_SERVICE_NAME", "mine");
        let service = setup.set("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b").start().await;
        ask(&service, 1, &[("traceparent", &told)]).await;
        ask(&service, 2, &[]).await;
        service.pass(10).await;
        let (callers, ours): (Vec<_>, Vec<_>) = collector.served().into_iter().partition(|span| span.trace == TRACE);
        assert_eq!((callers.len(), ours.len()), (of_caller, of_ours), "{sampler}");
        assert!(
            collector
                .resources()
                .iter()
                .all(|resource| resource["service.name"] == "mine")
        );
        let is_sent = collector.heads().contains("x-tenant: a b\r\n");
        assert_eq!(is_sent, collector.requests() > 0);
        // Nobody else is to record what is not.
        for entry in asked(&service) {
            let (trace, _, flags) = said(&entry).unwrap();
            let is_recorded = if trace == TRACE { of_caller } else { of_ours };
            assert_eq!(
                u8::from_str_radix(&flags, 16).unwrap() & 1,
                u8::try_from(is_recorded).unwrap(),
                "{sampler}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lines_in_the_log_name_the_trace() {
    let service = Service::start().await;
    service.fault(
        Fault::new(Effect::status_retry_after(429, "1"))
            .on_path(AGGREGATES)
            .once(),
    );
    let told = parent("00", TRACE, SPAN, "01");
    ask(&service, 1, &[("traceparent", &told)]).await;
    let log = service.log();
    // The request's own, and one of what fetches for it in a task of its own.
    for text in ["request answered", "upstream asks us to wait"] {
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        assert!(line.contains(&format!("trace_id={TRACE}")), "{line}");
        assert!(!line.contains("span_id="), "there is no span of ours: {line}");
    }

    let collector = Collector::start();
    let service = collector.setup().start().await;
    ask(&service, 1, &[]).await;
    service.pass(10).await;
    let span = collector.served().remove(0);
    let log = service.log();
    let line = log.lines().find(|line| line.contains("request answered")).unwrap();
    for name in [format!("trace_id={}", span.trace), format!("span_id={}", span.id)] {
        assert!(line.contains(&name), "{line}");
    }
}

/// Whatever the collector does, requests are answered as ever, and what is lost is counted and told.
#[tokio::test(start_paused = true)]
async fn a_collector_that_fails_costs_nobody_anything() {
    let (closed, nobody) = listen();
    drop(closed);
    for (reaction, told) in [
        (None, "it cannot be reached"),
        (Some(Reaction::Fails(500)), "it answers 500"),
        (Some(Reaction::Fails(307)), "it answers 307"),
        (Some(Reaction::Hangs), "it takes too long"),
    ] {
        let collector = Collector::start();
        collector.reacts(reaction.unwrap_or_default());
        let setup = match reaction {
            Some(_) => collector.setup(),
            None => Setup::new().set("REPORTS_TELEMETRY__OTLP_ENDPOINT", &format!("http://{nobody}")),
        };
        let mut service = setup.start().await;
        ask(&service, 1, &[]).await;
        let lost = lost(&service).await;
        for _ in 0..40 {
            service.pass(10).await;
            let began = Instant::now();
            assert_eq!(service.get("/v1/catalog").await.status, 200);
            assert!(began.elapsed() < Duration::from_millis(100), "{reaction:?}");
        }
        let lost_now = self::lost(&service).await;
        assert!(lost_now >= lost + 30, "{reaction:?}: {lost} {lost_now}");
        let log = service.log();
        let lines = log.lines().filter(|line| line.contains("traces are lost"));
        let lines: Vec<_> = lines.filter(|line| line.contains(told)).collect();
        // In seven minutes.
        assert!((1..=8).contains(&lines.len()), "{reaction:?}: {lines:?}");
        let circuits = log.lines().filter(|line| line.contains("circuit open")).count();
        assert!(circuits <= 15, "{reaction:?}: {circuits}");
        if reaction.is_some() {
            assert!(collector.requests() < 30, "it is left alone: {}", collector.requests());
        }
        // It holds up the end by no more than what the last writes may take.
        let began = Instant::now();
        service.stop.cancel();
        assert!(service.finished().await, "{reaction:?}");
        assert!(
            began.elapsed() <= Duration::from_secs(5 + 5 + 1),
            "{reaction:?}: {:?}",
            began.elapsed()
        );
    }
}

/// Spans that did not reach the collector.
async fn lost(service: &Service) -> u64 {
    let metrics = service.get("/metrics").await.text();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("genesys_reports_spans_total{"));
    let lost = lines.filter(|line| !line.contains("outcome=\"exported\""));
    lost.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_comes_back_is_told_again() {
    let collector = Collector::start();
    let service = collector.setup().start().await;
    collector.reacts(Reaction::Fails(503));
    for _ in 0..10 {
        service.get("/v1/catalog").await;
        service.pass(10).await;
    }
    assert!(collector.spans().is_empty());
    collector.reacts(Reaction::Rejects(1));
    service.pass(60).await;
    let before = lost(&service).await;
    service.get("/v1/catalog").await;
    service.pass(10).await;
    assert_eq!(
        lost(&service).await,
        before + 1,
        "what it says it has not taken is lost"
    );
    collector.reacts(Reaction::Takes);
    service.get("/v1/catalog").await;
    service.pass(10).await;
    assert_eq!(collector.served().len(), 2);
    assert_eq!(lost(&service).await, before + 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_spans_are_told_before_the_end() {
    let collector = Collector::start();
    let mut service = collector.setup().start().await;
    ask(&service, 1, &[]).await;
    service.stop.cancel();
    assert!(service.finished().await);
    assert_eq!((collector.served().len(), collector.asked().len()), (1, 1));
}

/// Neither credentials nor what callers write, in paths and parameters, in names or values.
#[tokio::test(start_paused = true)]
async fn nothing_secret_and_nothing_made_up_is_told() {
    let collector = Collector::start();
    let (setup, key) = collector.setup().key("\"read\", \"export\"", "");
    let mut service = setup
        .set("OTEL_EXPORTER_OTLP_HEADERS", "x-key=sent-to-it-alone")
        .start()
        .await;
    service.expect_error("Genesys Cloud refuses this service's credentials");
    service.expect_error("the login service refuses us");
    let ask = async |path: &str, key: &str| service.send(service.request(Method::GET, path).bearer_auth(key)).await;
    ask(&question(1), &key).await;
    ask(&question(2), "canary-guess").await;
    ask(
        "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&filter=media.type:canary-filter",
        &key,
    )
    .await;
    ask("/v1/canary-path", &key).await;
    ask("/v1/jobs/canary-job", &key).await;
    ask(
        "/v1/conversations?dateFrom=2023-11-30&dateTo=2023-12-01&format=ndjson",
        &key,
    )
    .await;
    ask(&format!("/api/v2/conversations/{TRACE}"), &key).await;
    let host = service
        .request(Method::GET, "/v1/catalog?canary-parameter=1")
        .header("user-agent", "canary-agent");
    service.send(host.bearer_auth(&key)).await;
    service.simulator.set_secret("changed");
    service.simulator.revoke_tokens();
    service.pass(60).await;
    ask(&question(3), &key).await;
    service.pass(10).await;
    let told = collector.text();
    assert!(
        collector.served().len() > 8 && told.contains("GET /v1/jobs/{id}"),
        "{:?}",
        collector.spans()
    );
    let tokens = service.simulator.issued_tokens();
    assert!(!tokens.is_empty());
    let secrets = [SECRET, &key, "canary", "simulated-client"];
    for secret in secrets.into_iter().chain(tokens.iter().map(String::as_str)) {
        assert!(!told.contains(secret), "{secret} is told");
    }
    assert!(!service.log().contains("sent-to-it-alone"));
}

/// Ten thousand names that callers make up are no new series.
#[tokio::test(start_paused = true)]
async fn ten_thousand_random_paths_are_no_new_series() {
    let service = Service::start().await;
    let series = async || {
        let metrics = service.get("/metrics").await.text();
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        series.map(|(series, _)| series.to_owned()).collect::<BTreeSet<_>>()
    };
    // A hundred in a row, so that what is answered finds room in the socket.
    let wander = async || {
        let requests = (0..100).map(|_| {
            let (method, path) = (["GET", "POST", "BREW"][rand::random_range(0..3)], rand::random::<u64>());
            let room = ["v1/query", "v1/jobs", "api/v2", "docs", "page", ""][rand::random_range(0..6)];
            format!("{method} /{room}/{path} HTTP/1.1\r\nhost: {path}.example\r\nuser-agent: {path}\r\n\r\n")
        });
        let last = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned();
        let requests: String = requests.chain([last]).collect();
        let answered = service.exchange_raw(requests, false).await;
        assert_eq!(answered.matches("HTTP/1.1 ").count(), 101);
    };
    series().await;
    // Until all there can be has been.
    for _ in 0..5 {
        wander().await;
    }
    let before = series().await;
    for _ in 0..100 {
        wander().await;
    }
    assert_eq!(series().await, before);
}
