//! Where one request ends and the next begins is never a matter of opinion: what a proxy in front could read otherwise is
//! refused and the connection closed, and what is taken is read as it is everywhere.

use crate::support::{processes::Nginx, service::Service};

/// Would be answered by 404, if it were taken for a request of its own.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";

fn head(fields: &str) -> String {
    format!("POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}\r\n")
}

/// The statuses of the answers, in order.
fn statuses(received: &str) -> Vec<u16> {
    let answers = received.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].parse().unwrap()).collect()
}

/// Requests whose end may be a matter of opinion, each with another one in it or behind it. The first three are right.
fn corpus() -> Vec<(&'static str, String)> {
    let length = HIDDEN.len();
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    vec![
        (
            "a length",
            format!("{}{HIDDEN}", head(&format!("content-length: {length}\r\n"))),
        ),
        ("chunks", format!("{}{chunked}", head("transfer-encoding: chunked\r\n"))),
        (
            "chunks with an extension",
            format!(
                "{}{length:x};a=b\r\n{HIDDEN}\r\n0\r\n\r\n",
                head("transfer-encoding: chunked\r\n")
            ),
        ),
        (
            "two lengths",
            format!(
                "{}{HIDDEN}",
                head(&format!("content-length: 0\r\ncontent-length: {length}\r\n"))
            ),
        ),
        (
            "two lengths in one",
            format!("{}{HIDDEN}", head(&format!("content-length: 0, {length}\r\n"))),
        ),
        (
            "a length with a sign",
            format!("{}{HIDDEN}", head(&format!("content-length: +{length}\r\n"))),
        ),
        (
            "a length in hex",
            format!("{}{HIDDEN}", head("content-length: 0x20\r\n")),
        ),
        (
            "a negative length",
            format!("{}{HIDDEN}", head("content-length: -1\r\n")),
        ),
        (
            "a length beyond numbers",
            format!("{}{HIDDEN}", head("content-length: 99999999999999999999\r\n")),
        ),
        (
            "a coding nobody knows",
            format!("{}{chunked}", head("transfer-encoding: xchunked\r\n")),
        ),
        (
            "chunks that are not the last coding",
            format!("{}{chunked}", head("transfer-encoding: chunked, identity\r\n")),
        ),
        (
            "a space before the colon",
            format!("{}{chunked}", head("transfer-encoding : chunked\r\n")),
        ),
        (
            "a field in two lines",
            format!("{}{chunked}", head("transfer-encoding:\r\n chunked\r\n")),
        ),
        ("no name", format!("{}{HIDDEN}", head(": chunked\r\n"))),
        ("a zero in a field", format!("{}{HIDDEN}", head("x: a\0b\r\n"))),
        (
            "a bare return in a field",
            format!("{}{HIDDEN}", head("x: a\rcontent-length: 5\r\n")),
        ),
        (
            "a chunk whose length is none",
            format!("{}zz\r\n{HIDDEN}\r\n0\r\n\r\n", head("transfer-encoding: chunked\r\n")),
        ),
        (
            "a chunk longer than numbers",
            format!(
                "{}fffffffffffffffff\r\n{HIDDEN}\r\n",
                head("transfer-encoding: chunked\r\n")
            ),
        ),
        (
            "a version of its own",
            format!("GET /hidden HTTP/1.9\r\nhost: x\r\n\r\n{HIDDEN}"),
        ),
        (
            "two spaces",
            format!("GET  /health/live HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}"),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn nobody_hides_a_request_in_another() {
    let service = Service::start().await;
    // What is refused is refused before its body is looked at; what is taken is a body that is no JSON.
    for (what, request) in corpus() {
        let received = service.exchange_raw(request, false).await;
        assert_eq!(statuses(&received), [400], "{what}: {received}");
    }
}

/// Both a length and chunks: the chunks count, as the standard has it (RFC 9112, 6.3), whatever the length says.
#[tokio::test(start_paused = true)]
async fn chunks_count_where_a_length_says_otherwise() {
    let service = Service::start().await;
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    ] {
        let request = format!("{}0\r\n\r\n{HIDDEN}", head(fields));
        let received = service.exchange_raw(request, false).await;
        let statuses = statuses(&received);
        assert_eq!(statuses.first(), Some(&400), "{received}");
        // By the length, the request hidden behind is none; by the chunks, it is one of its own: never half of it.
        assert!(statuses.len() == 1 || statuses == [400, 404], "{received}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_are_answered_in_their_order() {
    let service = Service::start().await;
    let catalog = "GET /v1/catalog HTTP/1.1\r\nhost: x\r\naccept: application/json\r\n\r\n";
    let received = service.exchange_raw([catalog, HIDDEN, catalog].concat(), false).await;
    assert_eq!(statuses(&received), [200, 404, 200]);
    // A target that names a host means the path of it, here.
    let absolute = "GET http://elsewhere.example/v1/catalog HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&service.exchange_raw(absolute, false).await), [200]);
    assert_eq!(service.upstream_calls(), 0);
}

/// The same behind a proxy that keeps connections to the service for whoever comes next: each request is refused by one of
/// them, or it is the same request to both.
#[tokio::test]
async fn a_proxy_in_front_and_the_service_are_of_one_opinion() {
    let service = Service::start().await;
    let nginx = Nginx::start(service.address).await;
    // Tells where the proxy thinks that the request before it has ended.
    let last = "GET /v1/catalog HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let both = [
        (
            "a length and chunks",
            format!(
                "{}0\r\n\r\n{HIDDEN}",
                head("content-length: 5\r\ntransfer-encoding: chunked\r\n")
            ),
        ),
        (
            "chunks and a length",
            format!(
                "{}0\r\n\r\n{HIDDEN}",
                head("transfer-encoding: chunked\r\ncontent-length: 5\r\n")
            ),
        ),
        (
            "a good request",
            format!("GET /v1/catalog HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}"),
        ),
    ];
    let (mut forwarded, mut refused) = (0, 0);
    for (what, request) in corpus().into_iter().chain(both) {
        for address in nginx.addresses {
            let before = answered(&service).await;
            let received = nginx.exchange(address, &[&request, last].concat()).await;
            // What the service answers bears an id of the request.
            let answers: Vec<_> = received.split("HTTP/1.1 ").skip(1).collect();
            let of_service = answers
                .iter()
                .filter(|answer| answer.to_lowercase().contains("x-request-id: "))
                .count();
            // The look at the figures is a request, too.
            let seen = answered(&service).await - before - 1;
            assert_eq!(
                of_service, seen,
                "{what}: the service saw another number of requests: {received}"
            );
            forwarded += seen;
            refused += answers.len() - of_service;
            // Nobody's answer waits for whoever comes next.
            let next = nginx.exchange(address, last).await;
            assert_eq!(statuses(&next), [200], "{what}: {next}");
            assert!(next.contains("\"metrics\""), "{what}: {next}");
        }
    }
    assert!(forwarded > 10 && refused > 10, "both were tried: {forwarded} {refused}");
}

/// Requests the service has answered.
async fn answered(service: &Service) -> usize {
    let metrics = service.get("/metrics").await.text();
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    counts
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap())
        .sum()
}
