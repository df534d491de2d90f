//! A person logs in on this machine: the command `login`.
//!
//! The browser comes back to a listener of our own on the loopback interface (RFC 8252, 7.3), which takes the one login
//! that was begun here and nothing else, tells the person how it went, and is gone.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

use crate::{
    clock::Clock,
    upstream::login::{Begun, Login, LoginError},
};

/// Where the browser comes back to.
pub const CALLBACK: &str = "/callback";

/// How long a person may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long the last answer may take to be read.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The person, or the login page, said no.
    #[error("the login was refused: {0}")]
    Denied(String),
    /// Nobody came back.
    #[error("nobody logged in within {} minutes", PATIENCE.as_secs() / 60)]
    TooLate,
    /// The code that came back could not be exchanged, or what it gave not be kept.
    #[error(transparent)]
    Login(#[from] LoginError),
}

/// Waits until the person who was shown the address of `begun` has come back.
pub async fn wait(login: Login, begun: Begun, listener: TcpListener, clock: Clock) -> Result<(), Failure> {
    let (outcomes, mut outcome) = mpsc::channel(1);
    let desk = Arc::new(Desk {
        login,
        begun,
        clock,
        outcomes,
    });
    let mut connections = JoinSet::new();
    let came_back = async {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let desk = Arc::clone(&desk);
                    let service = service_fn(move |request| {
                        let desk = Arc::clone(&desk);
                        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
                    });
                    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
                    // How a connection ends is the browser's affair.
                    connections.spawn(async move { drop(connection.await) });
                }
                Some(outcome) = outcome.recv() => return outcome,
            }
        }
    };
    let outcome = timeout(PATIENCE, came_back).await.unwrap_or(Err(Failure::TooLate));
    let _ = timeout(LAST_ANSWER, async { while connections.join_next().await.is_some() {} }).await;
    outcome
}

/// Where the browser is received.
struct Desk {
    login: Login,
    begun: Begun,
    clock: Clock,
    outcomes: mpsc::Sender<Result<(), Failure>>,
}

/// What the browser came back with.
#[derive(Debug, PartialEq, Eq)]
enum Returned {
    Code(String),
    Denied(String),
    /// Of no login that was begun here.
    Foreign,
}

impl Desk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET || request.uri().path() != CALLBACK {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        let outcome = match returned(request.uri().query().unwrap_or_default(), &self.begun.state) {
            Returned::Foreign => {
                return page(
                    StatusCode::BAD_REQUEST,
                    "This is not the login that was begun here. Use the address that the terminal shows.",
                );
            }
            Returned::Denied(why) => Err(Failure::Denied(why)),
            Returned::Code(code) => {
                let finished = self.login.finish(&self.begun, &code, &self.clock).await;
                finished.map_err(Failure::from)
            }
        };
        let answer = match &outcome {
            Ok(()) => page(StatusCode::OK, "You are logged in. This window can be closed."),
            Err(_) => page(StatusCode::BAD_REQUEST, "You are not logged in. The terminal says why."),
        };
        // A second answer is of no interest.
        let _ = self.outcomes.try_send(outcome);
        answer
    }
}

fn returned(query: &str, state: &str) -> Returned {
    let field = |wanted: &str| {
        let mut fields = form_urlencoded::parse(query.as_bytes());
        fields
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    if field("state").as_deref() != Some(state) {
        return Returned::Foreign;
    }
    match (field("code"), field("error")) {
        (Some(code), None) => Returned::Code(code),
        (_, Some(error)) => Returned::Denied(crate::telemetry::capped(&error)),
        (None, None) => Returned::Foreign,
    }
}

/// A page for a person. The address it stands at holds a code, so it goes nowhere else and is not kept.
fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let body = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>genesys-reports</title><p id=outcome>{text}</p></html>"
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().extend(
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            ),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value))),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_login_that_was_begun_here_comes_back() {
        for (query, expected) in [
            ("code=c&state=s", Returned::Code("c".to_owned())),
            ("state=s&code=c%20d", Returned::Code("c d".to_owned())),
            ("code=c&state=other", Returned::Foreign),
            ("code=c", Returned::Foreign),
            ("state=s", Returned::Foreign),
            ("", Returned::Foreign),
            (
                "error=access_denied&state=s",
                Returned::Denied("access_denied".to_owned()),
            ),
            ("error=a&code=c&state=s", Returned::Denied("a".to_owned())),
            ("error=access_denied", Returned::Foreign),
        ] {
            assert_eq!(returned(query, "s"), expected, "{query}");
        }
    }
}
