//! One observation of the queues a tick, however many watch, whatever they watch.
//!
//! Those who ask the same question share a board: its events are encoded once and kept in a [`Ring`]. While anybody
//! watches any board, a task asks the upstream, once a tick and about all the queues of all boards together, and writes
//! every board's part of it. Nothing is kept for a single listener: who falls behind the ring is dropped.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::ring::{Beginning, Next, Ring};
use crate::{
    api::{
        auth::Caller,
        page::Meta,
        problem::{Problem, ProblemKind, UpstreamProblem},
        sse,
    },
    encode,
    query::{NowQuery, Permitted},
    report::{Answer, Freshness, Observed, OnError, ReportError, Reports},
    telemetry,
    upstream::{Class, Errand},
};

/// The most different questions watched at once: each costs the encoding of an event a tick.
const BOARDS: usize = 200;
/// How long a board that nobody watches is kept, for those who come back.
const LINGER: Duration = Duration::from_mins(1);
/// How long one stream lasts: whoever comes back shows its credential again.
const LIFETIME: Duration = Duration::from_hours(1);
/// What a refused listener is told to wait.
const COME_BACK: Duration = Duration::from_secs(10);

/// The boards, and what keeps them up to date. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Feed(Arc<Hub>);

struct Hub {
    reports: Reports,
    tick: Duration,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
    /// Ids of another process mean nothing here.
    process: String,
    boards: Mutex<Boards>,
    /// Somebody watches again.
    watched: Notify,
}

#[derive(Default)]
struct Boards {
    by_question: HashMap<Permitted<NowQuery>, Board>,
    made: u64,
    /// What was observed last, for boards that are made before the next tick.
    last: Option<(Instant, Arc<Observed>)>,
    poller: Option<JoinHandle<()>>,
}

struct Board {
    ring: watch::Sender<Ring>,
    idle_since: Option<Instant>,
}

impl Board {
    fn is_watched(&self) -> bool {
        self.ring.receiver_count() > 0
    }
}

impl Feed {
    /// For so many listeners at most. Nothing runs until one comes; all end when `stopping` is cancelled.
    pub fn new(reports: Reports, tick: Duration, listeners: usize, stopping: CancellationToken) -> Self {
        Self(Arc::new(Hub {
            reports,
            tick,
            places: Arc::new(Semaphore::new(listeners)),
            stopping,
            process: format!("{:08x}", rand::random::<u32>()),
            boards: Mutex::default(),
            watched: Notify::new(),
        }))
    }

    /// A listener of that question, unless there are too many. It is told to come back when
    /// its credential is not what it was any more.
    pub(super) fn join(
        &self,
        query: Permitted<NowQuery>,
        last_seen: Option<&str>,
        caller: &Caller,
    ) -> Result<Listener, Problem> {
        let hub = &self.0;
        if hub.stopping.is_cancelled() {
            return Err(full("the service is stopping"));
        }
        let Ok(place) = Arc::clone(&hub.places).try_acquire_owned() else {
            return Err(full("as many listen already as may"));
        };
        let mut boards = hub.lock();
        let was_watched = boards.by_question.values().any(Board::is_watched);
        let ring = match boards.by_question.get(&query) {
            Some(board) => board.ring.subscribe(),
            None if boards.by_question.len() >= BOARDS => {
                return Err(full("as many different questions are watched already as may"));
            }
            None => boards.make(&hub.process, hub.tick, query)?,
        };
        // Ended also when it panicked: then this starts it again.
        if boards.poller.as_ref().is_none_or(JoinHandle::is_finished) {
            boards.poller = Some(tokio::spawn(poll(Arc::clone(hub))));
        } else if !was_watched {
            hub.watched.notify_one();
        }
        drop(boards);
        let Beginning { events, after } = ring.borrow().join(last_seen, 3 * hub.tick);
        let beginning = [sse::beginning(rand::random())];
        let lifetime = Instant::now() + LIFETIME;
        metrics::gauge!(telemetry::LIVE_LISTENERS).increment(1);
        Ok(Listener {
            beginning: beginning.into_iter().chain(events).collect(),
            ring,
            after,
            ends_at: caller.expires().map_or(lifetime, |expires| expires.min(lifetime)),
            ended: caller.ended().clone(),
            stopping: hub.stopping.clone(),
            has_ended: false,
            _place: place,
        })
    }
}

fn full(why: &'static str) -> Problem {
    Problem::new(ProblemKind::Overloaded).detail(why).retry_after(COME_BACK)
}

impl Boards {
    /// A new board, with the figures of the moment if they are at hand.
    fn make(
        &mut self,
        process: &str,
        tick: Duration,
        query: Permitted<NowQuery>,
    ) -> Result<watch::Receiver<Ring>, Problem> {
        self.made += 1;
        let mut ring = Ring::new(format!("{process}-{}", self.made));
        if let Some((at, observed)) = &self.last
            && at.elapsed() <= tick
            && observed.covers(&query)
        {
            tell(&mut ring, &observed.answer(&query)?);
        }
        let (ring, receiver) = watch::channel(ring);
        let board = Board { ring, idle_since: None };
        self.by_question.insert(query, board);
        Ok(receiver)
    }
}

/// Keeps the boards up to date for as long as there are any.
async fn poll(hub: Arc<Hub>) {
    let mut ticks = interval(hub.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = hub.stopping.cancelled() => return,
            () = hub.watched.notified() => ticks.reset(),
            _ = ticks.tick() => {}
        }
        let Some(watched) = hub.watched() else { return };
        if watched.is_empty() {
            continue;
        }
        let queries = watched.iter().map(|(query, _)| query);
        let freshness = Freshness {
            // What was asked for another reason a moment ago is as good.
            max_age: Some(hub.tick / 2),
            max_stale: None,
            on_error: OnError::Fail,
        };
        // Past this somebody has to be told; the request goes on, and the next tick waits for the same.
        let errand = Errand::of_the_service(Class::Interactive, Instant::now() + 2 * hub.tick);
        let outcome = tokio::select! {
            () = hub.stopping.cancelled() => return,
            outcome = hub.reports.observe(queries, freshness, &errand) => outcome,
        };
        hub.publish(&watched, outcome).await;
    }
}

impl Hub {
    /// The boards that are watched; `None`, and that is the end of polling, when there is no board left.
    fn watched(&self) -> Option<Vec<(Permitted<NowQuery>, watch::Sender<Ring>)>> {
        let mut boards = self.lock();
        for board in boards.by_question.values_mut() {
            board.idle_since = match board.idle_since {
                _ if board.is_watched() => None,
                None => Some(Instant::now()),
                since => since,
            };
        }
        let is_kept = |board: &Board| board.idle_since.is_none_or(|since| since.elapsed() < LINGER);
        boards.by_question.retain(|_, board| is_kept(board));
        if boards.by_question.is_empty() {
            boards.last = None;
            boards.poller = None;
            return None;
        }
        let watched = boards.by_question.iter().filter(|(_, board)| board.is_watched());
        Some(
            watched
                .map(|(query, board)| (query.clone(), board.ring.clone()))
                .collect(),
        )
    }

    /// Writes the next event of every board.
    async fn publish(
        &self,
        boards: &[(Permitted<NowQuery>, watch::Sender<Ring>)],
        outcome: Result<Observed, ReportError>,
    ) {
        let observed = match outcome {
            Ok(observed) => Arc::new(observed),
            Err(error) => {
                tracing::warn!(%error, "queues cannot be observed for those who watch");
                let problem = Problem::from(error);
                for (_, ring) in boards {
                    ring.send_modify(|ring| fail(ring, &problem));
                }
                return;
            }
        };
        self.lock().last = Some((Instant::now(), Arc::clone(&observed)));
        for (query, ring) in boards {
            match observed.answer(query) {
                Ok(answer) => ring.send_modify(|ring| tell(ring, &answer)),
                Err(error) => ring.send_modify(|ring| fail(ring, &Problem::from(error))),
            }
            // Encoding a large board takes a while.
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Boards> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event with figures.
fn tell(ring: &mut Ring, answer: &Answer) {
    let event = sse::event("queues", Some(&ring.next_id()), |data| {
        data.extend_from_slice(format!("{{\"total\":{},\"entities\":", answer.total).as_bytes());
        encode::json::write_entities(&answer.content, data);
        data.extend_from_slice(b",\"meta\":");
        write(&Meta::from(&answer.provenance), data);
        data.push(b'}');
    });
    ring.tell(event, answer.provenance.as_of);
}

/// An event that tells why there are no newer figures.
fn fail(ring: &mut Ring, problem: &Problem) {
    let document = problem.document("");
    let stale = Stale {
        as_of: ring.as_of().map(|as_of| format!("{as_of:.3}")),
        kind: document.kind,
        title: document.title,
        detail: document.detail.as_deref(),
        upstream: document.upstream.as_ref(),
    };
    let event = sse::event("stale", Some(&ring.next_id()), |data| write(&stale, data));
    ring.push(event);
}

/// Why there are no newer figures, in the words of a problem document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stale<'a> {
    /// When the figures were fetched that were told last; null when none were.
    as_of: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    detail: Option<&'a str>,
    upstream: Option<&'a UpstreamProblem>,
}

fn write(value: &impl Serialize, data: &mut Vec<u8>) {
    serde_json::to_writer(data, value).expect("strings and numbers always serialize");
}

/// Somebody who watches a board. Leaving is dropping it.
pub(super) struct Listener {
    /// What comes before the board's own events.
    beginning: VecDeque<Bytes>,
    ring: watch::Receiver<Ring>,
    /// The number of the event given last.
    after: u64,
    ends_at: Instant,
    /// The credential it came with is not what it was.
    ended: CancellationToken,
    stopping: CancellationToken,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// What it is sent, to its last event.
    pub(super) fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, async |mut listener| {
            let event = listener.next().await?;
            Some((event, listener))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(event) = self.beginning.pop_front() {
            return Some(event);
        }
        if self.has_ended {
            return None;
        }
        loop {
            let next = self.ring.borrow_and_update().after(self.after);
            match next {
                Next::Event(number, event) => {
                    self.after = number;
                    return Some(event);
                }
                Next::Lost => {
                    metrics::counter!(telemetry::LIVE_LISTENERS_DROPPED).increment(1);
                    return Some(self.end("too-slow"));
                }
                Next::Nothing => {}
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Some(self.end("stopping")),
                changed = self.ring.changed() => if changed.is_err() {
                    return Some(self.end("stopping"));
                },
                () = self.ended.cancelled() => return Some(self.end("renew")),
                () = sleep_until(self.ends_at) => return Some(self.end("renew")),
                () = sleep(sse::HEARTBEAT) => return Some(sse::COMMENT),
            }
        }
    }

    fn end(&mut self, reason: &str) -> Bytes {
        self.has_ended = true;
        sse::end(reason)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::LIVE_LISTENERS).decrement(1);
    }
}
