//! How much a caller may send, how long it may take to, and how long it may wait: size limits, admission, the deadline.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Uri, Version, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    auth::Caller,
    problem::{Problem, ProblemKind},
};
use crate::{
    telemetry, traces,
    upstream::{Class, Errand},
};

/// The longest request target, in bytes.
pub const URI_BYTES: usize = 8 << 10;
/// The most header fields.
pub const HEADER_COUNT: usize = 100;
/// The most bytes of header names and values together.
pub const HEADER_BYTES: usize = 32 << 10;

/// What a refused caller is told to wait: a place is free again within about a request's time.
const COME_BACK: Duration = Duration::from_secs(1);

/// Whether a request is one that is refused: its head is too large, or it came by a connection too many.
pub fn is_refused(request: &Request) -> bool {
    request.extensions().get::<Crowded>().is_some() || oversize(request.uri(), request.headers()).is_some()
}

/// Refuses requests whose head is too large.
pub async fn head(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    match oversize(request.uri(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next(request).await,
    }
}

fn oversize(uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    let target_bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > URI_BYTES {
        return Some(Problem::new(ProblemKind::UriTooLong).detail(format!(
            "{target_bytes} bytes, and {URI_BYTES} are read: send the query as a POST body"
        )));
    }
    let header_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    (headers.len() > HEADER_COUNT || header_bytes > HEADER_BYTES).then(|| {
        Problem::new(ProblemKind::HeadersTooLarge).detail(format!(
            "{} fields of {header_bytes} bytes, and {HEADER_COUNT} of {HEADER_BYTES} are read",
            headers.len()
        ))
    })
}

/// Who heeds the deadline is let finish: what it says then (a held answer stands in) is worth more than that the time
/// is up. Both clocks strike at once, and under load in either order.
const LAST_WORD: Duration = Duration::from_millis(100);

/// The instant by which the answer's head must be on its way.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

impl<S: Send + Sync> FromRequestParts<S> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Absent only when a route was mounted outside the deadline layer.
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or(Problem::new(ProblemKind::Internal))
    }
}

/// What is done for the request: for its caller, until its deadline, in its trace. Somebody waits, unless the request's extensions
/// carry another [`Class`].
impl<S: Send + Sync> FromRequestParts<S> for Errand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Deadline(deadline) = Deadline::from_request_parts(parts, state).await?;
        let class = parts.extensions.get::<Class>().copied().unwrap_or(Class::Interactive);
        let part_of = parts.extensions.get::<traces::Parent>().cloned();
        Ok(Self::traced(caller.name(), class, deadline, part_of))
    }
}

/// How long a request may take for which nobody stays.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub Duration);

/// Sets the request's deadline and ends what has not ended by then, waiting for admission included.
pub async fn deadline(
    timeout: Duration,
    mut request: Request,
    next: impl AsyncFnOnce(Request, Deadline) -> Response,
) -> Response {
    let timeout = request
        .extensions()
        .get::<Patience>()
        .map_or(timeout, |patience| patience.0);
    let deadline = Deadline(Instant::now() + timeout);
    request.extensions_mut().insert(deadline);
    match tokio::time::timeout_at(deadline.0 + LAST_WORD, next(request, deadline)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(ProblemKind::Deadline).into_response(),
    }
}

/// Marks a request on a connection that is one too many. Of those, probes are answered and the rest is refused.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

/// Refuses what came in on a connection beyond those that are served.
pub async fn crowd(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    if request.extensions().get::<Crowded>().is_some() {
        return shed("there are too many connections").into_response();
    }
    next(request).await
}

/// How long a request's body may take to come in, from its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of bodies that are coming in or being worked on, all requests together.
const BODIES_BYTES: usize = 64 << 20;

/// What callers may send as bodies. One for the whole service; every clone shares the room.
#[derive(Clone, Debug)]
pub struct Bodies {
    max_bytes: usize,
    room: Arc<Semaphore>,
}

impl Bodies {
    /// Each up to `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            room: Arc::new(Semaphore::new(BODIES_BYTES)),
        }
    }

    async fn receive(&self, mut body: Body) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let too_large = || Problem::new(ProblemKind::BodyTooLarge);
        if body.size_hint().lower() > self.max_bytes as u64 {
            return Err(too_large());
        }
        let mut held = self.take_room(0)?;
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            let broke_off = |_| Problem::new(ProblemKind::Malformed).detail("the body broke off");
            let Ok(piece) = frame.map_err(broke_off)?.into_data() else {
                continue;
            };
            if received.len() + piece.len() > self.max_bytes {
                return Err(too_large());
            }
            held.merge(self.take_room(piece.len())?);
            received.extend_from_slice(&piece);
        }
        Ok((received.into(), held))
    }

    fn take_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let full = |_| shed("no more can be taken in at once");
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(full)
    }
}

/// Takes in a request's body, so that who sends it slowly takes no place meanwhile, and not for long.
pub async fn body(bodies: &Bodies, request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    if request.body().is_end_stream() {
        return next(request).await;
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIMEOUT, bodies.receive(body)).await {
        Ok(Ok((received, _held))) => next(Request::from_parts(parts, received.into())).await,
        Ok(Err(problem)) => problem.into_response(),
        Err(_elapsed) => {
            let mut response = Problem::new(ProblemKind::BodyTooSlow)
                .detail(format!("it has to come in within {} s", BODY_TIMEOUT.as_secs()))
                .into_response();
            // Where a connection is one request's at a time, what still comes of the body cannot be told from the next.
            if parts.version <= Version::HTTP_11 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            response
        }
    }
}

/// The places of the service: so many requests are worked on, so many more may wait, the next is refused.
///
/// One for the whole service; every clone shares the places.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Admission {
    /// `places` requests at once, `queue` more waiting.
    pub fn new(places: usize, queue: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            queue: Arc::new(Semaphore::new(queue)),
        }
    }

    async fn enter(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let Ok(_waiting) = self.queue.try_acquire() else {
            return Err(shed("every place and the queue are taken"));
        };
        match tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(shed("no place became free in time")),
        }
    }
}

/// Not logged beyond the access log: in an overload that would cost more than refusing does. The metrics count them.
fn shed(why: &'static str) -> Problem {
    metrics::counter!(telemetry::HTTP_REQUESTS_SHED).increment(1);
    Problem::new(ProblemKind::Overloaded).detail(why).retry_after(COME_BACK)
}

/// Lets a request in when there is a place, or after a wait in the queue; refuses it at once when that is full.
///
/// An answer of known length gives its place back with its head; a stream keeps it to its end, as it goes on
/// costing upstream calls.
pub async fn admit(
    admission: &Admission,
    Deadline(deadline): Deadline,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let place = match admission.enter(deadline).await {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let response = next(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held_until_the_body_is_dropped = &place;
            frame
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn heads_are_refused_just_past_their_limits() {
        let uri = |bytes: usize| Uri::try_from(format!("/{}", "x".repeat(bytes - 1))).unwrap();
        let fields = |count: usize, bytes: usize| {
            (0..count)
                .map(|index| {
                    let name = HeaderName::try_from(format!("x{index:03}")).unwrap();
                    let length = bytes / count - 4;
                    (name, HeaderValue::try_from("v".repeat(length)).unwrap())
                })
                .collect::<HeaderMap>()
        };
        for (uri, headers, expected) in [
            (uri(URI_BYTES), fields(10, 100), None),
            (uri(URI_BYTES + 1), fields(10, 100), Some(ProblemKind::UriTooLong)),
            (uri(10), fields(HEADER_COUNT, 1000), None),
            (
                uri(10),
                fields(HEADER_COUNT + 1, 1010),
                Some(ProblemKind::HeadersTooLarge),
            ),
            (uri(10), fields(1, HEADER_BYTES), None),
            (uri(10), fields(1, HEADER_BYTES + 1), Some(ProblemKind::HeadersTooLarge)),
        ] {
            assert_eq!(oversize(&uri, &headers).map(|problem| problem.kind()), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_one_waiting_and_the_third_is_refused_at_once() {
        let admission = Admission::new(1, 1);
        let deadline = Instant::now() + Duration::from_secs(30);
        let first = admission.enter(deadline).await.unwrap();

        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.enter(deadline).await.map(drop) }
        });
        tokio::task::yield_now().await;

        let before = Instant::now();
        assert_eq!(
            admission.enter(deadline).await.unwrap_err().kind(),
            ProblemKind::Overloaded
        );
        assert_eq!(Instant::now(), before, "a refusal does not wait");

        drop(first);
        waiting.await.unwrap().unwrap();
        drop(admission.enter(deadline).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let admission = Admission::new(1, 1);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(30);
        let _held = admission.enter(deadline).await.unwrap();
        assert_eq!(
            admission.enter(deadline).await.unwrap_err().kind(),
            ProblemKind::Overloaded
        );
        assert_eq!(Instant::now() - start, Duration::from_secs(30));
    }
}
