//! A thousand boards on the wall cost Genesys Cloud as much as one, and each is told what it needs to know: the figures,
//! that they are stale, that it is over.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use genesys_reports::simulator::faults::{Effect, Fault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{
    events::{Event, Listener},
    service::{Service, Setup},
    watch::Watch,
};

const ALL: &str = "/v1/live/queues";
const OBSERVATIONS: &str = "/api/v2/analytics/queues/observations/query";

/// Requests for observations so far.
fn observations(service: &Service) -> usize {
    let journal = service.simulator.journal();
    journal
        .entries()
        .iter()
        .filter(|entry| entry.path == OBSERVATIONS)
        .count()
}

/// The number an event's id ends with.
fn number(event: &Event) -> u64 {
    let (_, number) = event.id.rsplit_once('-').expect("an id ends with a number");
    number.parse().expect("a number")
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let resident = pages.split(' ').nth(1).expect("the second is what is resident");
    resident.parse::<u64>().expect("a number") * 4096
}

#[tokio::test(start_paused = true)]
async fn a_thousand_listeners_cost_one_request_a_tick_and_see_the_same_sequence_in_flat_memory() {
    const LISTENERS: usize = 1_000;
    const WARM_UP: u64 = 5;
    const EVENTS: u64 = 30;
    let service = Setup::new().start_watched(Watch::start_at("info")).await;
    let questions: [String; 5] = [
        ALL.to_owned(),
        format!("{ALL}?groupBy=media.type"),
        format!("{ALL}?filter=media.type:voice"),
        format!("{ALL}?filter=routing.queue.name:Support"),
        // Asked otherwise, and the same.
        format!("{ALL}?filter=routing.queue.name%3ASupport"),
    ];
    // The names, so that a question by name costs nothing.
    assert_eq!(service.get("/v1/lookups/queues").await.status, 200);
    let mut listeners = JoinSet::new();
    for index in 0..LISTENERS {
        let mut listener = Listener::open(&service, &questions[index % questions.len()]).await;
        listeners.spawn(async move {
            let mut seen = DefaultHasher::new();
            let mut first = None;
            let mut last = 0;
            while last < WARM_UP + EVENTS {
                let event = listener.next().await.expect("it goes on");
                assert_eq!(event.name, "queues");
                assert!(last == 0 || number(&event) == last + 1, "one after the other");
                last = number(&event);
                first = first.or(Some(last));
                event.hash(&mut seen);
            }
            // The last two are one.
            ((index % 5).min(3), first, seen.finish())
        });
    }
    // Between two ticks.
    service.pass(5 * WARM_UP - 3).await;
    let (before, calls_before, at) = (resident(), observations(&service), Instant::now());
    let mut sequences: BTreeMap<usize, Vec<(Option<u64>, u64)>> = BTreeMap::new();
    while let Some(listener) = listeners.join_next().await {
        let (question, first, seen) = listener.expect("no listener panics");
        sequences.entry(question).or_default().push((first, seen));
    }
    assert_eq!(at.elapsed().as_secs().div_ceil(5), EVENTS);
    assert_eq!((observations(&service) - calls_before) as u64, EVENTS);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after {EVENTS} events");
    for (question, mut sequences) in sequences {
        sequences.dedup();
        assert_eq!(sequences.len(), 1, "{question}: everybody sees the same");
        assert_eq!(sequences[0].0, Some(1), "from the first event on");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_says_what_a_snapshot_of_the_same_moment_says() {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 3_000;
    let service = setup.start().await;
    for question in [
        "",
        "?groupBy=media.type",
        "?filter=routing.queue.name:Support",
        "?pageSize=2&page=3",
    ] {
        let event = Listener::open(&service, &format!("{ALL}{question}"))
            .await
            .next()
            .await
            .unwrap();
        assert_eq!(event.name, "queues");
        let (event, now) = (
            event.data(),
            service.get(&format!("/v1/now/queues{question}")).await.json(),
        );
        assert_eq!(event["entities"], now["entities"], "{question}");
        assert_eq!(event["total"], now["total"], "{question}");
        assert_eq!(event["meta"]["asOf"], now["meta"]["asOf"], "{question}");
    }
    assert_eq!(observations(&service), 2, "all of them, and what was asked about one");
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_is_told_at_once_and_who_comes_back_what_it_missed() {
    let service = Service::start().await;
    let mut first = Listener::open(&service, ALL).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(first.next().await.unwrap());
    }
    service.pass(2).await;
    let at = Instant::now();
    assert_eq!(Listener::open(&service, ALL).await.next().await.as_ref(), seen.last());
    // A question that nobody asked so far, about what was observed anyway.
    let other = Listener::open(&service, &format!("{ALL}?groupBy=media.type"))
        .await
        .next()
        .await;
    assert_eq!(other.unwrap().data()["meta"]["asOf"], seen[2].data()["meta"]["asOf"]);
    // What it saw last is what it does not see again.
    let mut back = Listener::open_after(&service, ALL, &seen[0].id).await;
    assert_eq!(
        (back.next().await.as_ref(), back.next().await.as_ref()),
        (seen.get(1), seen.get(2))
    );
    assert_eq!(at.elapsed(), Duration::ZERO, "nobody waited");
    assert_eq!(back.next().await, first.next().await);
    assert_eq!(at.elapsed().as_secs(), 3, "for the next tick");
    // An id that means nothing, or nothing any more.
    for id in ["", "7", "0-0-0", "ffffffff-1-1"] {
        let event = Listener::open_after(&service, ALL, id).await.next().await.unwrap();
        assert_eq!(number(&event), 4, "{id}");
    }
    assert_eq!(observations(&service), 4);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_while_nobody_listens() {
    let service = Service::start().await;
    let mut listener = Listener::open(&service, ALL).await;
    let last = listener.next().await.unwrap();
    drop(listener);
    service.pass(30).await;
    assert_eq!(observations(&service), 1);
    // Who comes back within a minute comes back to the same sequence, and is told of the moment at once.
    let at = Instant::now();
    let event = Listener::open_after(&service, ALL, &last.id)
        .await
        .next()
        .await
        .unwrap();
    assert_eq!(
        (number(&event), at.elapsed(), observations(&service)),
        (2, Duration::ZERO, 2)
    );
    service.pass(120).await;
    let event = Listener::open_after(&service, ALL, &event.id)
        .await
        .next()
        .await
        .unwrap();
    assert_eq!((number(&event), observations(&service)), (1, 3), "another board");
    assert!(
        service
            .get("/metrics")
            .await
            .text()
            .contains("\ngenesys_reports_live_listeners 0\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_so_is_its_end() {
    let service = Service::start().await;
    let mut listener = Listener::open(&service, ALL).await;
    let good = listener.next().await.unwrap();
    service.fault(Fault::new(Effect::status(503)).on_path(OBSERVATIONS).times(3));
    let stale = listener.next().await.unwrap();
    assert_eq!((stale.name.as_str(), number(&stale)), ("stale", 2));
    let told = stale.data();
    assert_eq!(told["asOf"], good.data()["meta"]["asOf"]);
    assert_eq!(told["type"], "urn:genesys-reports:problem:upstream-unavailable");
    assert_eq!(told["upstream"]["status"], 503);
    assert!(told.get("requestId").is_none(), "it is nobody's request");
    // Who comes now is given what there is, and what it is worth.
    let mut late = Listener::open(&service, ALL).await;
    assert_eq!((late.next().await, late.next().await), (Some(good), Some(stale)));
    let recovered = listener.next().await.unwrap();
    assert_eq!((recovered.name.as_str(), number(&recovered)), ("queues", 3));
    assert_eq!(late.next().await, Some(recovered));
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_told_too_and_the_stream_is_never_silent() {
    let service = Setup::new().set("REPORTS_SERVER__LIVE_INTERVAL_S", "65").start().await;
    let mut listener = Listener::open(&service, ALL).await;
    let start = Instant::now();
    listener.next().await.unwrap();
    listener.next().await.unwrap();
    assert_eq!((start.elapsed().as_secs(), listener.comments), (65, 6));
    service.fault(Fault::new(Effect::BlackHole).on_path(OBSERVATIONS).times(3));
    let stale = listener.next().await.unwrap();
    assert_eq!(
        (stale.name.as_str(), &stale.data()["asOf"].is_string()),
        ("stale", &true)
    );
    assert!(start.elapsed().as_secs() < 3 * 65, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn listeners_have_places_of_their_own_and_no_more_than_these() {
    let setup = Setup::new()
        .set("REPORTS_SERVER__LIVE_LISTENERS", "2")
        .set("REPORTS_SERVER__MAX_CONCURRENCY", "1")
        .set("REPORTS_SERVER__QUEUE", "0");
    let service = setup.start().await;
    let (mut first, second) = (Listener::open(&service, ALL).await, Listener::open(&service, ALL).await);
    let third = service.get(ALL).await;
    assert_eq!((third.status.as_u16(), third.problem().as_str()), (503, "overloaded"));
    assert_eq!(third.header("retry-after"), "10");
    let query = "/v1/query?dateFrom=2023-11-30&dateTo=2023-12-01&select=conversation.count";
    assert_eq!(service.get(query).await.status, 200, "the one place is free");
    // A request's deadline is for its head.
    service.pass(300).await;
    let mut last = 0;
    while last < 40 {
        last = number(&first.next().await.expect("it goes on"));
    }
    drop(second);
    service.pass(1).await;
    assert!(Listener::open(&service, ALL).await.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_watched_is_refused_before_it_costs_anything() {
    let (setup, reader) = Setup::new().key("\"read\"", "");
    let (setup, watcher) = setup.key("\"live\"", "");
    let service = setup.start().await;
    let ask = async |key: &str, question: &str, accept: &str| {
        let request = service.request(reqwest::Method::GET, &format!("{ALL}{question}"));
        let request = request.header("x-api-key", key).header("accept", accept);
        service.send(request).await.status.as_u16()
    };
    for (key, question, accept, status) in [
        ("", "", "text/event-stream", 401),
        (&*reader, "", "text/event-stream", 403),
        (&*watcher, "?groupBy=agent.id", "*/*", 422),
        (&*watcher, "?format=csv", "*/*", 422),
        (&*watcher, "", "application/json", 406),
    ] {
        assert_eq!(ask(key, question, accept).await, status, "{question} {accept}");
    }
    let head = service
        .request(reqwest::Method::HEAD, ALL)
        .header("x-api-key", &watcher);
    let head = service.send(head).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-type")),
        (200, "text/event-stream")
    );
    assert_eq!(service.upstream_calls(), 0);
    let request = service.request(reqwest::Method::GET, ALL).header("x-api-key", &watcher);
    assert!(Listener::send(request).await.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_an_hour_and_whoever_comes_back_loses_nothing() {
    let service = Setup::new().set("REPORTS_SERVER__LIVE_INTERVAL_S", "50").start().await;
    let start = Instant::now();
    let mut listener = Listener::open(&service, ALL).await;
    let mut last = Event::default();
    let end = loop {
        let event = listener.next().await.expect("it says that it ends");
        if event.name == "end" {
            break event;
        }
        last = event;
    };
    assert_eq!(
        (start.elapsed().as_secs(), &end.data()["reason"]),
        (3600, &"renew".into())
    );
    assert_eq!((end.id.as_str(), listener.next().await), ("", None));
    let next = Listener::open_after(&service, ALL, &last.id)
        .await
        .next()
        .await
        .unwrap();
    assert_eq!(number(&next), number(&last) + 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_when_nothing_more_is_accepted() {
    let mut service = Service::start().await;
    let mut listener = Listener::open(&service, ALL).await;
    listener.next().await.unwrap();
    service.stop.cancel();
    let start = Instant::now();
    service.pass(1).await;
    assert!(
        Listener::open(&service, ALL).await.next().await.is_some(),
        "still served"
    );
    let mut events = Vec::new();
    while let Some(event) = listener.next().await {
        events.push(event);
    }
    let end = events.pop().expect("a last event");
    assert_eq!((end.name.as_str(), &end.data()["reason"]), ("end", &"stopping".into()));
    assert!(events.iter().all(|event| event.name == "queues"));
    assert!(service.finished().await, "everything was answered");
    assert_eq!(start.elapsed().as_secs(), 5, "a stream holds nothing up");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_dropped_and_holds_nobody_up() {
    let service = Service::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    // So that what the kernel takes for it is soon full.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(service.address).await.unwrap();
    let request = format!("GET {ALL} HTTP/1.1\r\nhost: x\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut quick = Listener::open(&service, ALL).await;
    let mut last = Event::default();
    for _ in 0..700 {
        last = quick.next().await.expect("it goes on");
    }
    assert_eq!(number(&last), 700);
    let mut received = Vec::new();
    let ended = timeout(Duration::from_mins(1), slow.read_to_end(&mut received)).await;
    assert!(ended.is_ok(), "it was hung up on");
    let received = String::from_utf8_lossy(&received);
    let events = received.matches("event: queues").count();
    assert!((1..700).contains(&events), "{events} were kept for it");
}
