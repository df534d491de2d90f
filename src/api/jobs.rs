//! Long questions: a caller need not stay for the answer.
//!
//! [`respond`] stands before the routes that answer questions. Where a caller says how long it wants to wait (`wait=`, or
//! `Prefer: respond-async`, RFC 7240), the question is asked in a task of its own, with more time than a request has. Who is
//! answered in time notices nothing; else the answer is 202 and where the job is to be found, and the same question asked
//! again by the same caller finds it, too. What a job brings is kept in memory for a while, as it would have been sent.
//!
//! A job is its caller's alone: for others it does not exist. Jobs do not outlive the process, and say so.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::{
    auth::Caller,
    limits::Patience,
    page::in_milliseconds,
    problem::{Problem, ProblemKind},
    rows::TableAnswer,
    sse,
};
use crate::{clock::Clock, config::Scope, query::Complaint, upstream::Class};

/// What a caller prefers (RFC 7240).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Which preference was heeded.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest anybody waits before being told of a job, in seconds.
pub const MAX_WAIT: u64 = 600;
/// How long what a job brought is kept, and how long after that it is remembered that there was one.
const KEPT: Duration = Duration::from_mins(15);
const REMEMBERED: Duration = Duration::from_hours(1);
/// Jobs at once, done ones included.
const JOBS: usize = 200;
/// The most that all jobs together may hold, in units of [`UNIT`] bytes.
const ROOM: usize = (256 << 20) / UNIT;
const UNIT: usize = 4096;
/// How long anybody waits at least.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How soon it is worth looking at a job again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Between two events of progress, at least.
const PROGRESS: Duration = Duration::from_secs(1);

/// The jobs there are. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// How long a job may take.
    patience: Duration,
    stopping: CancellationToken,
    room: Arc<Semaphore>,
    jobs: Mutex<HashMap<Arc<str>, Job>>,
}

/// One job, as everybody holds it who has to do with it.
#[derive(Clone)]
struct Job {
    id: Arc<str>,
    question: Question,
    created_at: Timestamp,
    stand: watch::Sender<Stand>,
    task: AbortHandle,
    /// Whether the same question, asked again, still finds it.
    is_awaited: bool,
    /// Whether somebody knows where it is.
    is_told_of: bool,
}

/// Who asks what: equal questions are one job.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    /// With what they may see, so that what one key brought is never another's of the same name.
    caller: Caller,
    target: String,
    /// What decides about the answer beside the address.
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// How a job stands.
#[derive(Clone)]
enum Stand {
    /// At work, with so many bytes of the answer there.
    Running(u64),
    Done(Timestamp, Arc<Brought>),
    Cancelled(Timestamp),
    /// What it brought is not kept any more.
    Gone(Timestamp),
}

/// What a job brought, good or bad.
struct Brought {
    status: StatusCode,
    headers: HeaderMap,
    /// A failure, to be written for whoever asks.
    problem: Option<Problem>,
    body: Vec<Bytes>,
    bytes: u64,
    /// Held as long as this is.
    room: Option<OwnedSemaphorePermit>,
}

/// Answers in the time a caller wants to wait, or says where the answer will be.
pub async fn respond(jobs: &Jobs, caller: Caller, request: Request, next: Next) -> Response {
    // Who follows a link could not come back for a job.
    if caller.shared().is_some() {
        return next.run(request).await;
    }
    let wish = match Wish::of(&request) {
        Ok(Some(wish)) => wish,
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let (request, question) = wish.question(&caller, request);
    let job = match jobs.find_or_begin(question, request, next) {
        Ok(job) => job,
        Err(problem) => return problem.into_response(),
    };
    let mut stand = job.stand.subscribe();
    // What is wrong with a question, and what is held, is told at once.
    let done = timeout(
        wish.wait.max(AT_ONCE),
        stand.wait_for(|stand| !matches!(stand, Stand::Running(_))),
    )
    .await;
    let is_done = done.is_ok_and(|done| done.is_ok());
    let mut response = if !is_done && jobs.is_told_of(&job.id) {
        job.accepted()
    } else {
        let stand = job.stand.borrow().clone();
        match stand {
            Stand::Done(_, brought) => {
                jobs.is_delivered(&job.id);
                brought.response()
            }
            Stand::Cancelled(_) | Stand::Gone(_) => gone().into_response(),
            Stand::Running(_) => job.accepted(),
        }
    };
    if wish.is_preference {
        let applied = format!("respond-async, wait={}", wish.wait.as_secs());
        if let Ok(applied) = HeaderValue::try_from(applied) {
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
    }
    response
}

/// How long a caller wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    wait: Duration,
    /// Said by `Prefer`, not by a parameter.
    is_preference: bool,
}

impl Wish {
    /// What the request says of waiting, if it is for a route that can wait.
    fn of(request: &Request) -> Result<Option<Self>, Problem> {
        if request.method() != Method::GET || !is_question(request.uri().path()) {
            return Ok(None);
        }
        let query = request.uri().query().unwrap_or_default();
        // Most do not say so, which is seen without taking them apart.
        let query = if query.contains("wait") || query.contains('%') {
            query
        } else {
            ""
        };
        let mut waits = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "wait");
        if let Some((_, text)) = waits.next() {
            let seconds = seconds(&text).filter(|_| waits.next().is_none());
            let wait = seconds.ok_or_else(|| {
                let complaint = format!("must be whole seconds, from 0 to {MAX_WAIT}, and given once");
                Problem::invalid(vec![Complaint::at("/wait", &complaint)])
            })?;
            let is_preference = false;
            return Ok(Some(Self { wait, is_preference }));
        }
        Ok(Self::preferred(request.headers()))
    }

    fn preferred(headers: &HeaderMap) -> Option<Self> {
        let fields = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let preferences: Vec<(&str, &str)> = fields
            .flat_map(|field| field.split(','))
            .map(|preference| preference.split(';').next().unwrap_or_default())
            .map(|preference| preference.split_once('=').unwrap_or((preference, "")))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        // Only the first of several counts.
        let first = |wanted: &str| preferences.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        first("respond-async")?;
        let wait = first("wait").and_then(|(_, value)| seconds(value));
        Some(Self {
            wait: wait.unwrap_or_default(),
            is_preference: true,
        })
    }

    /// The request without what is said of waiting, and what makes it the same as another.
    fn question(&self, caller: &Caller, mut request: Request) -> (Request, Question) {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default().as_bytes();
        let others = form_urlencoded::parse(query).filter(|(name, _)| self.is_preference || name != "wait");
        let others = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .finish();
        let target = if others.is_empty() {
            uri.path().to_owned()
        } else {
            format!("{}?{others}", uri.path())
        };
        if let Ok(uri) = Uri::try_from(&target) {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        headers.remove(PREFER);
        // Whoever comes for it later may hold something else.
        headers.remove(header::IF_NONE_MATCH);
        // Who takes the answer may not be who asked.
        headers.remove(header::ACCEPT_ENCODING);
        let decide = [header::ACCEPT, header::CACHE_CONTROL];
        let fields = decide.iter().flat_map(|name| {
            let values = headers.get_all(name).iter();
            values.map(|value| (name.clone(), value.clone())).collect::<Vec<_>>()
        });
        let question = Question {
            caller: caller.clone(),
            fields: fields.collect(),
            target,
        };
        (request, question)
    }
}

/// Whether the route answers questions that may take long.
pub(super) fn is_question(path: &str) -> bool {
    let report = path.strip_prefix("/v1/reports/");
    matches!(path, "/v1/query" | "/v1/conversations") || report.is_some_and(|name| !name.contains('/'))
}

fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| is_number && *seconds <= MAX_WAIT)?;
    Some(Duration::from_secs(seconds))
}

fn gone() -> Problem {
    Problem::new(ProblemKind::Gone).detail("this job was ended, or what it brought is not kept any more: ask again")
}

impl Jobs {
    /// A job may take so long; all end when `stopping` is cancelled.
    pub fn new(clock: Clock, patience: Duration, stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            clock,
            patience,
            stopping,
            room: Arc::new(Semaphore::new(ROOM)),
            jobs: Mutex::default(),
        }))
    }

    fn find_or_begin(&self, question: Question, mut request: Request, next: Next) -> Result<Job, Problem> {
        let mut jobs = self.lock();
        let held = jobs.values().find(|job| job.is_awaited && job.question == question);
        if let Some(job) = held {
            return Ok(job.clone());
        }
        let at_hand = jobs
            .values()
            .filter(|job| !matches!(*job.stand.borrow(), Stand::Gone(_)));
        if at_hand.count() >= JOBS && !forget_one(&mut jobs) {
            let full = Problem::new(ProblemKind::Overloaded).detail("there are as many jobs as there may be");
            return Err(full.retry_after(LOOK_AGAIN));
        }
        let id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        request.extensions_mut().insert(Patience(self.0.patience));
        request.extensions_mut().insert(Class::Export);
        let stand = watch::Sender::new(Stand::Running(0));
        let task = tokio::spawn(
            self.clone()
                .work(Arc::clone(&id), stand.clone(), request, next)
                .in_current_span(),
        );
        let job = Job {
            id: Arc::clone(&id),
            question,
            created_at: self.0.clock.now(),
            stand,
            task: task.abort_handle(),
            is_awaited: true,
            is_told_of: false,
        };
        jobs.insert(id, job.clone());
        Ok(job)
    }

    /// A job's life: it asks, keeps what comes, and is forgotten.
    async fn work(self, id: Arc<str>, stand: watch::Sender<Stand>, request: Request, next: Next) {
        let brought = tokio::select! {
            brought = self.bring(&stand, request, next) => brought,
            () = self.0.stopping.cancelled() => Brought::failed(
                Problem::new(ProblemKind::NotReady).detail("the service stopped before this was done: ask again"),
            ),
        };
        stand.send_replace(Stand::Done(self.0.clock.now(), Arc::new(brought)));
        let forgets = async {
            sleep(KEPT).await;
            stand.send_replace(Stand::Gone(self.0.clock.now()));
            sleep(REMEMBERED).await;
            self.lock().remove(&id);
        };
        tokio::select! {
            () = forgets => {}
            () = self.0.stopping.cancelled() => {}
        }
    }

    async fn bring(&self, stand: &watch::Sender<Stand>, request: Request, next: Next) -> Brought {
        let (mut parts, mut body) = next.run(request).await.into_parts();
        let mut brought = Brought {
            status: parts.status,
            headers: parts.headers,
            problem: parts.extensions.remove(),
            body: Vec::new(),
            bytes: 0,
            room: None,
        };
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let broken = Problem::new(ProblemKind::UpstreamUnavailable);
                return Brought::failed(broken.detail("the answer broke off before it was whole: ask again"));
            };
            let Ok(piece) = frame.into_data() else { continue };
            brought.bytes += piece.len() as u64;
            let units = u32::try_from(piece.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
            let Ok(room) = Arc::clone(&self.0.room).try_acquire_many_owned(units) else {
                return Brought::failed(
                    Problem::new(ProblemKind::AnswerTooLarge)
                        .detail("there is no room to keep the answer: ask for less, or stay for the stream"),
                );
            };
            match &mut brought.room {
                Some(held) => held.merge(room),
                none => *none = Some(room),
            }
            brought.body.push(piece);
            stand.send_replace(Stand::Running(brought.bytes));
        }
        brought
    }

    /// The job of that id, to its owner.
    fn owned(&self, caller: &Caller, id: &str) -> Result<Job, Problem> {
        caller.require(Scope::Read)?;
        let job = self.lock().get(id).cloned();
        job.filter(|job| job.question.caller == *caller)
            .ok_or_else(|| Problem::new(ProblemKind::NotFound).detail("there is no such job"))
    }

    /// Somebody is about to be told where it is. If not, it was delivered at this moment, and is no more.
    fn is_told_of(&self, id: &str) -> bool {
        let mut jobs = self.lock();
        let job = jobs.get_mut(id);
        job.map(|job| job.is_told_of = true).is_some()
    }

    /// Once given, an answer is not given again to the same question: the next time it is asked anew. Of a job that nobody
    /// knows of nothing is kept: whoever says how long they wait, and is always answered in time, would else fill the room.
    fn is_delivered(&self, id: &str) {
        let mut jobs = self.lock();
        let Some(job) = jobs.get_mut(id) else { return };
        job.is_awaited = false;
        if !job.is_told_of {
            job.task.abort();
            jobs.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Job>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for another job by forgetting the first of those whose answer was given; whether there was one.
fn forget_one(jobs: &mut HashMap<Arc<str>, Job>) -> bool {
    let is_given = |job: &&Job| !job.is_awaited && matches!(*job.stand.borrow(), Stand::Done(..));
    let first = jobs.values().filter(is_given).min_by_key(|job| job.created_at);
    let Some(job) = first.map(|job| Arc::clone(&job.id)).and_then(|id| jobs.remove(&id)) else {
        return false;
    };
    job.task.abort();
    true
}

impl Job {
    /// Where its answer will be.
    fn accepted(&self) -> Response {
        let mut response = (StatusCode::ACCEPTED, Json(JobAnswer::of(self))).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::try_from(format!("/v1/jobs/{}", self.id)) {
            headers.insert(header::LOCATION, location);
        }
        headers.insert(header::RETRY_AFTER, LOOK_AGAIN.as_secs().into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Brought {
    fn failed(problem: Problem) -> Self {
        Self {
            status: problem.kind().status(),
            headers: HeaderMap::new(),
            problem: Some(problem),
            body: Vec::new(),
            bytes: 0,
            room: None,
        }
    }

    /// As it would have been sent at once.
    fn response(self: Arc<Self>) -> Response {
        if let Some(problem) = &self.problem {
            return problem.clone().into_response();
        }
        let (status, headers) = (self.status, self.headers.clone());
        let body = match self.body.as_slice() {
            [] => Body::empty(),
            [whole] => Body::from(whole.clone()),
            _ => {
                let pieces = stream::unfold((self, 0), async |(brought, next)| {
                    let piece = brought.body.get(next)?.clone();
                    Some((Ok::<_, std::convert::Infallible>(piece), (brought, next + 1)))
                });
                Body::from_stream(pieces)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub struct JobAnswer {
    /// Its id.
    pub id: String,
    /// `running`, `done`, `failed`, `cancelled` or `gone` (what it brought is not kept any more).
    #[schema(example = "running")]
    pub state: &'static str,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "in_milliseconds")]
    pub created_at: Timestamp,
    /// When it was done, or ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "perhaps_in_milliseconds")]
    pub finished_at: Option<Timestamp>,
    /// Until when what it brought is kept.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "perhaps_in_milliseconds")]
    pub expires_at: Option<Timestamp>,
    /// Bytes of the answer so far.
    pub bytes: u64,
    /// Where it is told how the job goes, as server-sent events.
    pub events_uri: String,
    /// Where the answer is, once there is one.
    pub result_uri: String,
}

/// One event of a job.
#[derive(Debug, ToSchema)]
pub struct JobEvent {
    /// `progress`, or how it ended: `done`, `failed`, `cancelled` or `gone`.
    #[schema(example = "progress")]
    pub event: &'static str,
    /// The job, as JSON.
    #[schema(content_media_type = "application/json")]
    pub data: String,
}

#[expect(clippy::ref_option, reason = "serde hands it over like that")]
fn perhaps_in_milliseconds<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => in_milliseconds(instant, serializer),
        None => serializer.serialize_none(),
    }
}

impl JobAnswer {
    fn of(job: &Job) -> Self {
        let (state, finished_at, bytes) = match &*job.stand.borrow() {
            Stand::Running(bytes) => ("running", None, *bytes),
            Stand::Done(at, brought) if brought.problem.is_some() => ("failed", Some(*at), 0),
            Stand::Done(at, brought) => ("done", Some(*at), brought.bytes),
            Stand::Cancelled(at) => ("cancelled", Some(*at), 0),
            Stand::Gone(at) => ("gone", Some(*at), 0),
        };
        let kept = SignedDuration::try_from(KEPT).unwrap_or(SignedDuration::ZERO);
        Self {
            id: job.id.to_string(),
            state,
            created_at: job.created_at,
            finished_at,
            expires_at: finished_at
                .filter(|_| matches!(state, "done" | "failed"))
                .map(|at| at + kept),
            bytes,
            events_uri: format!("/v1/jobs/{}/events", job.id),
            result_uri: format!("/v1/jobs/{}/result", job.id),
        }
    }
}

/// Look at a job
///
/// Of a question that was answered with 202. A job is its caller's: for others there is none.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "getJob",
    tag = "Jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "How it stands", body = JobAnswer)),
)]
pub async fn get(State(jobs): State<Jobs>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let job = jobs.owned(&caller, &id)?;
    let mut response = Json(JobAnswer::of(&job)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(*job.stand.borrow(), Stand::Running(_)) {
        headers.insert(header::RETRY_AFTER, LOOK_AGAIN.as_secs().into());
    }
    Ok(response)
}

/// Follow a job
///
/// Its state as server-sent events, whenever there is news: `progress`, then `done`, `failed`, `cancelled` or `gone`, which is
/// the last.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "followJob",
    tag = "Jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "Events, to the job's end", body = JobEvent, content_type = "text/event-stream")),
)]
pub async fn events(
    State(jobs): State<Jobs>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sse::require(&headers)?;
    let job = jobs.owned(&caller, &id)?;
    Ok(sse::response(progress(job)))
}

fn progress(job: Job) -> impl Stream<Item = Bytes> + Send + 'static {
    let news = job.stand.subscribe();
    stream::unfold(Some((job, news, true)), async |following| {
        let (job, mut news, is_first) = following?;
        if !is_first {
            match timeout(sse::HEARTBEAT, news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((sse::COMMENT, Some((job, news, false)))),
            }
            // What came meanwhile is told by one event.
            if matches!(*news.borrow(), Stand::Running(_)) {
                let _ = timeout(PROGRESS, news.wait_for(|stand| !matches!(stand, Stand::Running(_)))).await;
            }
        }
        news.mark_unchanged();
        let answer = JobAnswer::of(&job);
        let is_running = answer.state == "running";
        let name = if is_running { "progress" } else { answer.state };
        let event = sse::event(name, None, |data| {
            serde_json::to_writer(data, &answer).expect("strings and numbers always serialize");
        });
        Some((event, is_running.then_some((job, news, false))))
    })
}

/// Read what a job brought
///
/// The answer as it would have been given at once, for fifteen minutes; 202 while the job is at work.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/result",
    operation_id = "getJobResult",
    tag = "Jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The answer, in the format it was asked for", content(
            (Object = "application/json"),
            (TableAnswer = "application/vnd.genesys-reports.table+json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 202, description = "It is not there yet", body = JobAnswer),
    ),
)]
pub async fn result(State(jobs): State<Jobs>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let job = jobs.owned(&caller, &id)?;
    let stand = job.stand.borrow().clone();
    match stand {
        Stand::Running(_) => Ok(job.accepted()),
        Stand::Done(_, brought) => Ok(brought.response()),
        Stand::Cancelled(_) | Stand::Gone(_) => Err(gone()),
    }
}

/// End a job
///
/// What it was doing ends, and what it brought is forgotten.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    operation_id = "cancelJob",
    tag = "Jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 204, description = "It is ended")),
)]
pub async fn delete(State(jobs): State<Jobs>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let job = jobs.owned(&caller, &id)?;
    job.task.abort();
    jobs.lock().remove(&job.id);
    job.stand.send_replace(Stand::Cancelled(jobs.0.clock.now()));
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(target: &str, prefer: &[&'static str]) -> Result<Option<(u64, bool)>, ProblemKind> {
        let mut request = Request::get(target);
        for field in prefer {
            request = request.header(PREFER, *field);
        }
        let wish = Wish::of(&request.body(Body::empty()).unwrap());
        wish.map(|wish| wish.map(|wish| (wish.wait.as_secs(), wish.is_preference)))
            .map_err(|problem| problem.kind())
    }

    #[test]
    fn how_long_a_caller_waits_is_a_parameter_or_a_preference() {
        let invalid = Err(ProblemKind::Invalid);
        for (target, prefer, expected) in [
            ("/v1/query?select=a", &[][..], Ok(None)),
            ("/v1/query?select=a&wait=5", &[], Ok(Some((5, false)))),
            (
                "/v1/conversations?wait=0",
                &["wait=9, respond-async"],
                Ok(Some((0, false))),
            ),
            (
                "/v1/reports/queue-performance.csv?wait=600",
                &[],
                Ok(Some((600, false))),
            ),
            ("/v1/query?wait=601", &[], invalid),
            ("/v1/query?wait=", &[], invalid),
            ("/v1/query?wait=+5", &[], invalid),
            ("/v1/query?wait=1&wait=2", &[], invalid),
            ("/v1/query", &["respond-async"], Ok(Some((0, true)))),
            ("/v1/query", &["respond-async, wait=10"], Ok(Some((10, true)))),
            ("/v1/query", &["Respond-Async; x=1", "WAIT=\"7\""], Ok(Some((7, true)))),
            ("/v1/query", &["wait=3, respond-async, wait=8"], Ok(Some((3, true)))),
            ("/v1/query", &["respond-async, wait=soon"], Ok(Some((0, true)))),
            ("/v1/query", &["wait=10"], Ok(None)),
            ("/v1/query", &["return=minimal"], Ok(None)),
            // Nothing there takes long.
            ("/v1/catalog?wait=5", &["respond-async"], Ok(None)),
            ("/v1/reports/x/definition?wait=5", &[], Ok(None)),
        ] {
            assert_eq!(wish(target, prefer), expected, "{target} {prefer:?}");
        }
    }
}
