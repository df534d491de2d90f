//! Genesys Cloud, as the rest of the service sees it: a question in, an answer or a reason out.
//!
//! `Client::ask` is the way of every request; `Client::attempt` says the order of the guards in front of each
//! attempt. Only `wire.rs` knows the upstream's spelling; nothing above this module knows its status codes. What an
//! answer is good for, and for how long, is decided above; nothing is cached here but the token.

mod budget;
pub mod document;
mod errand;
pub mod error;
mod jobs;
pub mod login;
mod memory;
pub mod meters;
mod names;
mod pages;
pub mod regions;
mod retry;
mod send;
mod states;
#[cfg(test)]
mod tests;
mod token;
mod users_now;
mod wire;
pub mod withheld;

pub use crate::breaker::BreakerState;
pub use budget::{ClassQuota, LimitSource, Quota, Use};
pub use errand::{Class, Errand};
pub use error::{Told, UpstreamError};
pub(crate) use send::ANSWER_BYTES;
pub use token::TokenState;

use std::{
    collections::{BTreeSet, HashMap},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future::Either, stream};
use http::{StatusCode, header};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tower::retry::budget::{Budget as _, TpsBudget};
use tracing::Instrument;

use self::{
    budget::Budget,
    memory::Memory,
    retry::{Tries, Trouble, Verdict},
    send::{Host, Lost, LostWhy, Reply},
    token::Tokens,
    wire::{Call, Endpoint, Nonsense, Spent},
};
use crate::{
    breaker::{self, Breaker},
    clock::Clock,
    fleet::Fleet,
    query::{AggregateQuery, ConversationQuery, PassedQuestion, Range, StateKind, catalogue::Lookup},
    table::Slice,
    traces::Tracer,
};

/// Asks Genesys Cloud. One for the whole service; cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl Client {
    /// Runs one aggregate query. Nothing is asked for what nothing can match.
    pub async fn aggregates(&self, query: &AggregateQuery, errand: &Errand) -> Result<Slice, UpstreamError> {
        if query.filter.is_of_nothing() {
            return Ok(Slice {
                rows: Vec::new(),
                fetched_at: self.now(),
                came_at: self.now(),
                upstream_calls: 0,
            });
        }
        let call = wire::aggregates(query);
        let query = query.clone();
        let sent = Sent::default();
        let answered = self
            .start(call, errand, &sent, move |body| wire::read_aggregates(body, &query))
            .await?;
        Ok(Slice {
            rows: answered.value,
            fetched_at: answered.sent_at,
            came_at: self.now(),
            upstream_calls: sent.take(),
        })
    }

    /// Reads every conversation that started on a UTC day touched by the range, page by page, each once: a superset
    /// of the range, as the upstream answers by whole UTC days. Clipping is the caller's.
    ///
    /// Pages come oldest first; what is only found by reading a second time, because rows moved, comes after. A page can
    /// be empty and still tell its cost. An error is the last item. Nothing is asked for before the stream is
    /// polled or after it is dropped. Whoever cannot be given the
    /// first page by the deadline of `first` is told at once; the others are asked for on the errand `rest`. Nothing is
    /// asked for what nothing can match.
    pub fn conversations(
        &self,
        query: &ConversationQuery,
        first: Errand,
        rest: Errand,
    ) -> impl Stream<Item = Result<ConversationPage, UpstreamError>> + Send + 'static + use<> {
        if query.filter.is_of_nothing() {
            let nothing = ConversationPage {
                conversations: Vec::new(),
                expected: 0,
                read_through: query.range.start,
                upstream_calls: 0,
                fetched_at: self.now(),
            };
            return Either::Left(stream::iter([Ok(nothing)]));
        }
        Either::Right(pages::conversations(self.clone(), query, first, rest))
    }

    /// Reads conversations by their ids, as many at once as one request may name. Those that there are none of are left
    /// out.
    pub async fn conversations_by_id(
        &self,
        ids: &[Arc<str>],
        errand: &Errand,
    ) -> Result<ConversationsById, UpstreamError> {
        let sent = Sent::default();
        let calls: Vec<Call> = ids
            .chunks(wire::CONVERSATIONS_AT_ONCE)
            .map(wire::details_by_id)
            .collect();
        let asked = stream::iter(calls)
            .map(|call| self.start(call, errand, &sent, wire::read_details))
            .buffered(self.page_concurrency());
        let answered: Vec<Answered<_>> = asked.try_collect().await?;
        let fetched_at = answered.iter().map(|answered| answered.sent_at).min();
        let told = answered.into_iter().flat_map(|answered| answered.value.conversations);
        Ok(ConversationsById {
            by_id: told.map(|told| (Arc::clone(&told.id), told)).collect(),
            fetched_at: fetched_at.unwrap_or_else(|| self.now()),
            upstream_calls: sent.take(),
        })
    }

    /// Reads a whole listing.
    pub async fn names(&self, lookup: Lookup, errand: &Errand) -> Result<Names, UpstreamError> {
        names::read(self, lookup, errand).await
    }

    /// Reads what users were in a range: all of them, or those named. A record that overlaps the range is told whole.
    pub async fn user_states(
        &self,
        range: Range,
        users: &BTreeSet<String>,
        errand: &Errand,
    ) -> Result<UserStates, UpstreamError> {
        states::read(self, range, users, errand).await
    }

    /// Reads what users are now: those named, or everybody the upstream knows a state of, unless they are more than `most`.
    pub async fn users_now(
        &self,
        users: &BTreeSet<String>,
        most: usize,
        errand: &Errand,
    ) -> Result<Result<UsersNow, TooManyUsers>, UpstreamError> {
        users_now::read(self, users, most, errand).await
    }

    /// Observes queues as they are now, as many at once as one request may name.
    pub async fn queue_observations(
        &self,
        queues: &BTreeSet<Arc<str>>,
        errand: &Errand,
    ) -> Result<Observations, UpstreamError> {
        let queues: Vec<&str> = queues.iter().map(AsRef::as_ref).collect();
        let asked = queues.chunks(wire::QUEUES_AT_ONCE).map(async |queues| {
            let sent = Sent::default();
            let call = wire::queue_observations(queues);
            let answered = self
                .start(call, errand, &sent, |body| wire::read_observations(body))
                .await?;
            Ok::<_, UpstreamError>((answered, sent.take()))
        });
        let mut observations = Observations::default();
        for (answered, calls) in futures_util::future::try_join_all(asked).await? {
            observations.rows.extend(answered.value);
            observations.upstream_calls += calls;
            let sent_at = answered.sent_at;
            observations.fetched_at = Some(observations.fetched_at.map_or(sent_at, |oldest| oldest.min(sent_at)));
        }
        Ok(observations)
    }

    /// Asks a question in the upstream's own words.
    pub async fn passed(&self, question: &PassedQuestion, errand: &Errand) -> Result<Passed, UpstreamError> {
        let (call, about) = (wire::passed(question), question.about);
        let sent = Sent::default();
        let read = move |body: &Bytes| Ok((body.clone(), wire::read_passed(body, about)?));
        let answered = self.start(call, errand, &sent, read).await?;
        let (body, unfinished) = answered.value;
        Ok(Passed {
            body,
            unfinished,
            fetched_at: answered.sent_at,
            upstream_calls: sent.take(),
        })
    }

    /// Tries what this client may do, at the cost of one small request per endpoint, one after the other.
    pub async fn check(&self, errand: &Errand) -> Vec<Checked> {
        let mut checked = vec![Checked {
            what: "access token",
            permission: "",
            is_needed: true,
            outcome: self.0.tokens.current(errand).await.map(drop),
        }];
        for endpoint in Endpoint::ALL.into_iter().chain(Endpoint::further()) {
            let answered = self
                .start(wire::probe(endpoint, self.now()), errand, &Sent::default(), |_| Ok(()))
                .await;
            checked.push(Checked {
                what: endpoint.label(),
                permission: endpoint.permission(),
                is_needed: endpoint.is_needed(),
                outcome: answered.map(drop),
            });
        }
        checked
    }

    /// How things stand, as far as is known here; asks nobody.
    pub fn health(&self) -> Health {
        Health {
            token: self.0.tokens.state(),
            breaker: self.0.breaker.state(),
            login_breaker: self.0.tokens.breaker(),
        }
    }

    /// What is left of the request budget, and who spends it; asks nobody.
    pub fn quota(&self) -> Quota {
        self.0.budget.quota()
    }

    /// Asks how close the organisation came to its limits in the last hour.
    pub async fn limit_history(&self, errand: &Errand) -> Result<Vec<LimitUse>, UpstreamError> {
        let call = wire::rate_limit_aggregates(self.now());
        let answered = self
            .start(call, errand, &Sent::default(), |body| {
                wire::read_rate_limit_aggregates(body)
            })
            .await?;
        Ok(answered.value)
    }

    /// Asks how many requests a minute the organisation is allowed, where no setting says so.
    pub async fn learn_limit(&self, errand: &Errand) -> Result<(), UpstreamError> {
        let call = wire::limits();
        let answered = self
            .start(call, errand, &Sent::default(), |body| wire::read_limits(body))
            .await?;
        if let Some(requests_per_minute) = answered.value {
            tracing::info!(requests_per_minute, "the organisation's limit");
            self.0.budget.learn(requests_per_minute);
        }
        Ok(())
    }

    /// Keeps other replicas told of this one, for as long as it is let: what they may send depends on it.
    pub async fn stay_in_touch(self) {
        self.0.budget.stay_in_touch().await;
    }

    /// Builds the HTTP clients; sends nothing.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, reqwest::Error> {
        Self::with_jitter(settings, clock, chance())
    }

    /// The same with a given source of jitter, evenly spread over `[0, 1)`.
    pub fn with_jitter(settings: Settings, clock: Clock, jitter: Jitter) -> Result<Self, reqwest::Error> {
        let http = send::http_client(&settings.api_url, settings.concurrency)?;
        let login = send::http_client(&settings.token_url, 1)?;
        Ok(Self(Arc::new(Inner {
            http,
            host: Host::of(&settings.api_url),
            api_url: settings.api_url.trim_end_matches('/').to_owned(),
            tokens: Tokens::new(token::Parts {
                http: login,
                url: settings.token_url,
                credentials: settings.credentials,
                attempt_timeout: settings.attempt_timeout,
                clock: clock.clone(),
                jitter: Arc::clone(&jitter),
                fleet: settings.fleet.clone(),
                tracer: settings.tracer.clone(),
            }),
            tracer: settings.tracer,
            budget: {
                let (limit, source) = match settings.requests_per_minute {
                    Some(setting) => (setting, LimitSource::Setting),
                    None => (REQUESTS_PER_MINUTE, LimitSource::Default),
                };
                Budget::new(limit, source, settings.concurrency, settings.fleet, settings.replicas)
            },
            breaker: Breaker::new("API", breaker::LONGEST_PAUSE),
            memory: Memory::new(settings.memory_bytes),
            retry_budget: TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND, RETRY_SHARE),
            page_concurrency: settings.page_concurrency.max(1),
            attempt_timeout: settings.attempt_timeout,
            max_attempts: settings.max_attempts,
            clock,
            jitter,
        })))
    }

    /// Asks in a task of its own, which ends when the handle is dropped. A caller who holds an unfinished request without
    /// polling it would otherwise hold up everybody behind it in line.
    fn start<T: Send + 'static>(
        &self,
        call: Call,
        errand: &Errand,
        sent: &Sent,
        read: impl Fn(&Bytes) -> Result<T, Nonsense> + Send + Sync + 'static,
    ) -> Asking<T> {
        let (client, errand, sent) = (self.clone(), errand.clone(), sent.clone());
        let task = async move { client.ask(&call, &errand, &sent, &read).await };
        Asking(AbortOnDropHandle::new(tokio::spawn(task.in_current_span())))
    }

    /// Asks until there is an answer, a reason that asking again would not change, or no time left.
    async fn ask<T>(
        &self,
        call: &Call,
        errand: &Errand,
        sent: &Sent,
        read: &(impl Fn(&Bytes) -> Result<T, Nonsense> + Sync),
    ) -> Result<Answered<T>, UpstreamError> {
        let endpoint = call.endpoint.label();
        let mut tries = Tries::default();
        self.0.retry_budget.deposit();
        loop {
            let span = tracing::debug_span!("upstream_attempt", endpoint, ?tries);
            let failure = match self.attempt(call, errand, tries, sent, read).instrument(span).await {
                Ok(answered) => return Ok(answered),
                Err(failure) => failure,
            };
            let remaining = errand.deadline().saturating_duration_since(Instant::now());
            let verdict = retry::judge(
                failure.trouble,
                tries,
                self.0.max_attempts,
                remaining,
                (self.0.jitter)(),
            );
            tries = tries.and(failure.trouble);
            match verdict {
                Verdict::GiveUp => return Err(failure.error),
                Verdict::Again => {}
                Verdict::NewToken(generation) => {
                    let replaced = self.0.tokens.replace(generation, failure.error, errand).await;
                    if let Err(refused @ UpstreamError::Credentials(_)) = replaced {
                        return Err(refused);
                    }
                    // Whatever else keeps the new token away, the next attempt finds out and judges.
                }
                // Without a token nothing was sent, so trying again costs the upstream nothing.
                Verdict::Retry(_) if failure.trouble != Trouble::NoToken && !self.0.retry_budget.withdraw() => {
                    tracing::warn!(endpoint, "retry budget of the service spent: not asking again");
                    return Err(failure.error);
                }
                Verdict::Retry(wait) => sleep(wait).await,
                // The gate makes this request wait, too.
                Verdict::Hold(wait) => self.close_gate(endpoint, wait),
                Verdict::HoldAndGiveUp(wait) => {
                    self.close_gate(endpoint, wait);
                    return Err(failure.error.come_back_in(wait));
                }
            }
            metrics::counter!(meters::RETRIES, "endpoint" => endpoint, "reason" => failure.trouble.label())
                .increment(1);
        }
    }

    /// One attempt, past the guards in this order:
    ///
    /// 1. the breaker, so that nobody waits in line for a request that would not be sent;
    /// 2. the token, so that nobody takes a turn without one;
    /// 3. the budget, which may take a while;
    /// 4. the token and the breaker once more, as they may have changed meanwhile;
    /// 5. room for the answer;
    /// 6. only now is a request of the budget spent, at the instant it is sent.
    ///
    /// No request is sent after the errand's deadline. One that was sent is let finish: it is paid for, and what it brings
    /// is held for whoever asks next.
    async fn attempt<T>(
        &self,
        call: &Call,
        errand: &Errand,
        tries: Tries,
        sent: &Sent,
        read: &(impl Fn(&Bytes) -> Result<T, Nonsense> + Sync),
    ) -> Result<Answered<T>, Failure> {
        let inner = &*self.0;
        inner.breaker.check().map_err(Failure::circuit_open)?;
        inner.tokens.current(errand).await.map_err(Failure::no_token)?;
        let (token, admission, room, in_flight) = loop {
            let turn = inner.budget.turn(errand).await.map_err(Failure::last)?;
            let token = inner.tokens.current(errand).await.map_err(Failure::no_token)?;
            let admission = inner.breaker.admit().map_err(Failure::circuit_open)?;
            let room = inner.memory.room(errand).await.map_err(Failure::last)?;
            // Else the gate has closed meanwhile.
            if let Some(in_flight) = turn.spend() {
                break (token, admission, room, in_flight);
            }
        };

        sent.add_one();
        let sent_at = self.now();
        let started = Instant::now();
        let mut span = inner.tracer.ask(errand.part_of());
        if let Some(span) = &mut span {
            inner
                .host
                .describe(span, &call.method, call.endpoint.path(), tries.sent);
        }
        let outcome = send::send(inner.request(call, &token), inner.attempt_timeout, room, span).await;
        drop(in_flight);
        let endpoint = call.endpoint.label();
        metrics::histogram!(meters::REQUEST_DURATION, "endpoint" => endpoint).record(started.elapsed());

        let outcome = match outcome {
            Ok(reply) if reply.status.is_success() => {
                read(&reply.body).map_err(|nonsense| Failure::nonsense(&reply, nonsense))
            }
            Ok(reply) => Err(Failure::refused(&reply, call.endpoint, token.generation, self.now())),
            Err(lost) => Err(Failure::lost(lost, tries)),
        };
        let label = outcome.as_ref().map_or_else(Failure::label, |_| "answered");
        metrics::counter!(meters::REQUESTS, "endpoint" => endpoint, "outcome" => label).increment(1);
        match &outcome {
            Ok(_) => admission.succeeded(),
            Err(failure) => {
                failure.tell(admission);
                if let Some(Spent::Quota(named)) = failure.spent {
                    inner.budget.refused(started, named);
                }
            }
        }
        outcome.map(|value| Answered { value, sent_at })
    }

    fn close_gate(&self, endpoint: &'static str, wait: Duration) {
        tracing::warn!(endpoint, wait_ms = wait.as_millis(), "upstream asks us to wait");
        self.0.budget.close_gate_for(wait);
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn page_concurrency(&self) -> usize {
        self.0.page_concurrency
    }
}

/// Where the upstream is, who we are there, and how hard we may press.
pub struct Settings {
    /// Base of the API, such as `https://api.mypurecloud.ie`. Plain http for loopback only.
    pub api_url: String,
    /// The token endpoint, such as `https://login.mypurecloud.ie/oauth/token`.
    pub token_url: String,
    /// OAuth client id and secret.
    pub credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    /// Requests a minute, all endpoints together; `None` is what the organisation is allowed.
    pub requests_per_minute: Option<u32>,
    /// Requests in flight.
    pub concurrency: usize,
    /// Pages of one query in flight.
    pub page_concurrency: usize,
    /// Bytes of answers being read or not yet passed on, all fetches together.
    pub memory_bytes: u64,
    /// One attempt, from connecting to the last byte.
    pub attempt_timeout: Duration,
    /// Attempts of one request, the first included.
    pub max_attempts: u32,
    /// Replicas that share the access token and the requests a minute.
    pub fleet: Fleet,
    /// How many of them there are at most.
    pub replicas: usize,
    /// Makes a span of every attempt.
    pub tracer: Tracer,
}

/// Who we are; asked for again before every mint, so that a changed file takes effect.
pub enum Credentials {
    /// An OAuth client that acts for itself.
    Client {
        /// Client id.
        client_id: String,
        /// Client secret.
        client_secret: secrecy::SecretString,
    },
    /// A person who has logged in.
    Login {
        /// The id of the OAuth client that people log in with.
        client_id: String,
        /// What is kept of the login.
        kept: login::Kept,
    },
}

/// A source of numbers evenly spread over `[0, 1)`.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Jitter that nobody foresees.
pub fn chance() -> Jitter {
    Arc::new(rand::random::<f64>)
}

/// What users were in a range.
#[derive(Clone, Debug)]
pub struct UserStates {
    /// By user, kind and start, each once.
    pub states: Vec<UserState>,
    /// When the first of the requests that brought them was sent.
    pub fetched_at: Timestamp,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// What a user was for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// The user's id.
    pub user: Arc<str>,
    /// What it is a state of.
    pub kind: StateKind,
    /// The system presence or the routing status, in the upstream's words.
    pub status: Arc<str>,
    /// Of presences: the organisation's own, by its id.
    pub presence: Option<Arc<str>>,
    /// Since when.
    pub start: Timestamp,
    /// Until when; `None` while it lasts.
    pub end: Option<Timestamp>,
}

/// Users as they were when they were asked about.
#[derive(Clone, Debug)]
pub struct UsersNow {
    /// By their ids.
    pub users: Vec<UserNow>,
    /// When the first of the requests that brought it was sent.
    pub fetched_at: Timestamp,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// What a user is.
#[derive(Clone, Debug, PartialEq)]
pub struct UserNow {
    /// The user's id.
    pub user: Arc<str>,
    /// What the user shows to colleagues.
    pub presence: Option<StateNow>,
    /// What the user does while on queue.
    pub routing: Option<StateNow>,
    /// How many queues they are a member of.
    pub member: Option<f64>,
    /// How many of them they have joined.
    pub active: Option<f64>,
}

/// A state that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateNow {
    /// The system presence or the routing status, in the upstream's words.
    pub status: Arc<str>,
    /// Of presences: the organisation's own, by its id.
    pub presence: Option<Arc<str>>,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
}

/// More users than may be asked about at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyUsers {
    /// How many there are, about.
    pub users: usize,
}

/// Queues as they were when they were asked about.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// One per queue with the figures of its agents, one per queue and media type with those of its interactions.
    pub rows: Vec<ObservedRow>,
    /// When the first request that brought them was sent; `None` when no queue was asked about.
    pub fetched_at: Option<Timestamp>,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// The figures of a queue, or of one media type in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedRow {
    /// Its id.
    pub queue: Arc<str>,
    /// The media type; `None` for the figures of agents.
    pub media_type: Option<Arc<str>>,
    /// In the order of [`OBSERVATIONS`](crate::query::catalogue::OBSERVATIONS), as the upstream gives them: counts, and
    /// instants in milliseconds since the epoch. `None` where it says nothing.
    pub values: Vec<Option<f64>>,
}

/// An answer in the upstream's own words.
#[derive(Clone, Debug)]
pub struct Passed {
    /// JSON.
    pub body: Bytes,
    /// Whether it lists a conversation that still runs.
    pub unfinished: bool,
    /// When the request that brought it was sent.
    pub fetched_at: Timestamp,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// How close the organisation came to a limit, by the upstream's own account.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitUse {
    /// When.
    pub interval: Range,
    /// What the limit belongs to, such as `platform.api`.
    pub namespace: Option<String>,
    /// Its name, such as `client.credentials.token.rate.per.minute`.
    pub limit: Option<String>,
    /// What it allows.
    pub allowed: Option<f64>,
    /// The highest use recorded.
    pub highest: Option<f64>,
    /// How often it was recorded.
    pub records: Option<f64>,
}

/// A page's worth of conversations not seen before in the same query.
#[derive(Clone, Debug)]
pub struct ConversationPage {
    /// The documents, as the upstream wrote them.
    pub conversations: Vec<Conversation>,
    /// About how many conversations are to be expected of the range, as far as it has been looked into: what the
    /// upstream said of the windows opened so far. Counts whole UTC days.
    pub expected: usize,
    /// All that started before this, in the range's days, has come.
    pub read_through: Timestamp,
    /// Requests sent since the page before, retries and pages asked for ahead included: they add up over the stream.
    pub upstream_calls: u32,
    /// When the request that brought it was sent.
    pub fetched_at: Timestamp,
}

/// One conversation as the upstream wrote it, and the two fields this service needs.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// `conversationId`.
    pub id: Arc<str>,
    /// `conversationStart`.
    pub start: Timestamp,
    /// `conversationEnd`; `None` while it runs.
    pub end: Option<Timestamp>,
    /// The whole document, on one line.
    pub document: Bytes,
}

/// Conversations that were asked for by their ids.
#[derive(Clone, Debug)]
pub struct ConversationsById {
    /// Those that there are.
    pub by_id: HashMap<Arc<str>, Conversation>,
    /// When the first of the requests that brought them was sent.
    pub fetched_at: Timestamp,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
}

/// Names by id.
#[derive(Clone, Debug)]
pub struct Names {
    /// Name by id.
    pub by_id: HashMap<Arc<str>, Arc<str>>,
    /// The id of the division by id, of what is in one; `*` stands for all divisions.
    pub divisions: HashMap<Arc<str>, Arc<str>>,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
    /// When the first of the requests that brought it was sent.
    pub fetched_at: Timestamp,
}

/// Whether this client may do one of the things the service needs.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What was tried.
    pub what: &'static str,
    /// The permission the vendor documents for it; empty where none is needed.
    pub permission: &'static str,
    /// Whether the service is of little use without it.
    pub is_needed: bool,
    /// How it went.
    pub outcome: Result<(), UpstreamError>,
}

impl Checked {
    /// Whether it is merely not granted, and not needed either.
    pub fn is_left_out(&self) -> bool {
        !self.is_needed && matches!(self.outcome, Err(UpstreamError::Permission { .. }))
    }
}

/// How things stand between this service and the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The access token.
    pub token: TokenState,
    /// Whether requests are let through.
    pub breaker: BreakerState,
    /// Whether the login service is asked for tokens.
    pub login_breaker: BreakerState,
}

/// What the vendor documents for a token of client credentials, and what is assumed until the organisation's own figure
/// is known.
const REQUESTS_PER_MINUTE: u32 = 300;

/// How long a request counts towards the retries it allows.
const RETRY_WINDOW: Duration = Duration::from_secs(10);
/// Retries allowed however few requests there are.
const RETRIES_PER_SECOND: u32 = 10;
/// Retries allowed per request, over the whole service.
const RETRY_SHARE: f32 = 0.2;

struct Inner {
    http: reqwest::Client,
    api_url: String,
    host: Host,
    tokens: Tokens,
    budget: Budget,
    breaker: Breaker,
    memory: Memory,
    retry_budget: TpsBudget,
    page_concurrency: usize,
    attempt_timeout: Duration,
    max_attempts: u32,
    clock: Clock,
    jitter: Jitter,
    tracer: Tracer,
}

impl Inner {
    fn request(&self, call: &Call, token: &token::Token) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(call.method.clone(), format!("{}{}", self.api_url, call.path))
            .header(header::AUTHORIZATION, token.header.clone())
            .header(header::ACCEPT, "application/json");
        match &call.body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone()),
            None => request,
        }
    }
}

/// Requests sent for one purpose, by however many tasks: what an answer cost.
#[derive(Clone, Default)]
struct Sent(Arc<AtomicU32>);

impl Sent {
    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Those not taken before.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// What was asked for.
struct Answered<T> {
    value: T,
    /// When the request that was answered was sent.
    sent_at: Timestamp,
}

/// A request under way. Dropping it ends it.
struct Asking<T>(AbortOnDropHandle<Result<Answered<T>, UpstreamError>>);

impl<T> Future for Asking<T> {
    type Output = Result<Answered<T>, UpstreamError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(outcome) => outcome,
            Err(ended) => match ended.try_into_panic() {
                // A defect: it belongs to whoever asked.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(UpstreamError::Unavailable {
                    reason: "this service is shutting down".to_owned(),
                    told: Told::default(),
                    source: None,
                }),
            },
        })
    }
}

/// An attempt without an answer: what to make of it, and what to tell if it was the last.
struct Failure {
    trouble: Trouble,
    error: UpstreamError,
    /// Where it was a 429: for what.
    spent: Option<Spent>,
}

impl Failure {
    fn last(error: UpstreamError) -> Self {
        Self {
            trouble: Trouble::Final,
            error,
            spent: None,
        }
    }

    fn circuit_open(retry_after: Duration) -> Self {
        Self::last(UpstreamError::CircuitOpen { retry_after })
    }

    fn no_token(error: UpstreamError) -> Self {
        let trouble = match &error {
            UpstreamError::Unavailable { .. } | UpstreamError::Timeout(_) => Trouble::NoToken,
            // It was the login service that said so: the gate of the API stays open.
            UpstreamError::Budget { retry_after, .. } => Trouble::Unavailable(Some(*retry_after)),
            UpstreamError::Credentials(_)
            | UpstreamError::Permission { .. }
            | UpstreamError::Rejected { .. }
            | UpstreamError::Memory
            | UpstreamError::CircuitOpen { .. } => Trouble::Final,
        };
        Self {
            trouble,
            error,
            spent: None,
        }
    }

    fn nonsense(reply: &Reply, nonsense: Nonsense) -> Self {
        Self {
            trouble: Trouble::Unavailable(None),
            error: UpstreamError::Unavailable {
                reason: "its answer makes no sense".to_owned(),
                told: Told {
                    status: Some(reply.status.as_u16()),
                    correlation_id: reply.correlation_id.clone(),
                    ..Told::default()
                },
                source: Some(Arc::new(nonsense)),
            },
            spent: None,
        }
    }

    fn refused(reply: &Reply, endpoint: Endpoint, generation: u64, now: Timestamp) -> Self {
        let told = || wire::told(reply);
        let asked = || {
            reply
                .retry_after
                .as_deref()
                .and_then(|header| retry::retry_after(header, now))
        };
        let unavailable = |reason: &str| UpstreamError::Unavailable {
            reason: reason.to_owned(),
            told: told(),
            source: None,
        };
        let (trouble, error) = match reply.status {
            StatusCode::UNAUTHORIZED => (Trouble::TokenRefused(generation), wire::refused(reply, endpoint)),
            StatusCode::TOO_MANY_REQUESTS => (
                Trouble::Throttled(asked().or_else(|| wire::seconds_asked_for(&reply.body))),
                UpstreamError::Budget {
                    retry_after: Duration::ZERO,
                    told: told(),
                },
            ),
            StatusCode::REQUEST_TIMEOUT => (
                Trouble::Unavailable(None),
                unavailable("the query did not reach it in time"),
            ),
            StatusCode::INTERNAL_SERVER_ERROR => (Trouble::Broken, unavailable("it failed inside")),
            StatusCode::GATEWAY_TIMEOUT => (Trouble::Unavailable(asked()), UpstreamError::Timeout(told())),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
                (Trouble::Unavailable(asked()), unavailable("it is overloaded or down"))
            }
            status if status.is_client_error() => (Trouble::Final, wire::refused(reply, endpoint)),
            _ => (
                Trouble::Final,
                unavailable("it answers with a status that makes no sense here"),
            ),
        };
        let is_throttled = matches!(trouble, Trouble::Throttled(_));
        Self {
            trouble,
            error,
            spent: is_throttled.then(|| wire::spent(&reply.body)),
        }
    }

    fn lost(lost: Lost, tries: Tries) -> Self {
        let told = Told {
            correlation_id: lost.correlation_id,
            ..Told::default()
        };
        let (trouble, reason) = match lost.why {
            LostWhy::NotConnected => (Trouble::Unavailable(None), "it cannot be reached"),
            LostWhy::ClosedUnanswered if !tries.stale => (Trouble::Stale, "it closes the connection"),
            LostWhy::ClosedUnanswered => (Trouble::Unavailable(None), "it closes the connection"),
            LostWhy::Cut => (Trouble::Unavailable(None), "its answer broke off"),
            LostWhy::TooSlow => {
                return Self {
                    trouble: Trouble::Unavailable(None),
                    error: UpstreamError::Timeout(told),
                    spent: None,
                };
            }
            LostWhy::NoRoom => return Self::last(UpstreamError::Memory),
            LostWhy::TooLarge => {
                return Self::last(UpstreamError::Rejected {
                    reason: "its answer is larger than this service takes; narrow the query".to_owned(),
                    too_wide: false,
                    told,
                });
            }
        };
        Self {
            trouble,
            error: UpstreamError::Unavailable {
                reason: reason.to_owned(),
                told,
                source: lost.source.map(|source| source as _),
            },
            spent: None,
        }
    }

    /// The label of metrics.
    fn label(&self) -> &'static str {
        match (self.trouble, &self.error) {
            (Trouble::Final, UpstreamError::Memory) => "no_room",
            (trouble, _) => trouble.label(),
        }
    }

    /// Tells the breaker what this says about the upstream: a refusal is an answer; an idle connection that closed says
    /// nothing.
    fn tell(&self, admission: breaker::Admission) {
        match &self.trouble {
            Trouble::Unavailable(_) | Trouble::Broken => admission.failed(),
            Trouble::Stale | Trouble::NoToken => drop(admission),
            Trouble::Throttled(_) | Trouble::TokenRefused(_) | Trouble::Final => admission.succeeded(),
        }
    }
}
