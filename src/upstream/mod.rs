//! Genesys Cloud, as the rest of the service sees it: a question in, an answer or a reason out.
//!
//! Guards stand in this order, outermost first: breaker · budget · token · send · retry. Only `wire.rs`
//! knows the upstream's spelling; nothing above this module knows its status codes.

pub mod error;
pub mod regions;

pub use error::{Told, UpstreamError};

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    clock::Clock,
    query::{AggregateQuery, ConversationQuery, catalogue::Lookup},
    table::Slice,
};

/// Asks Genesys Cloud. One for the whole service; cheap to clone.
#[derive(Clone)]
pub struct Client {}

/// Where the upstream is, who we are there, and how hard we may press.
pub struct Settings {
    /// Base of the API, such as `https://api.mypurecloud.ie`.
    pub api_url: String,
    /// The token endpoint, such as `https://login.mypurecloud.ie/oauth/token`.
    pub token_url: String,
    /// OAuth client id and secret.
    pub credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    /// Requests a minute, all endpoints together.
    pub requests_per_minute: u32,
    /// Requests in flight.
    pub concurrency: usize,
    /// Pages of one query in flight.
    pub page_concurrency: usize,
    /// One attempt, from connecting to the last byte.
    pub attempt_timeout: Duration,
    /// Attempts of one request, the first included.
    pub max_attempts: u32,
}

/// An OAuth client's id and secret; read again before every mint, so that a changed secret file takes effect.
pub struct Credentials {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: secrecy::SecretString,
}

/// A page's worth of conversations not seen before in the same query.
#[derive(Clone, Debug)]
pub struct ConversationPage {
    /// The documents, as the upstream wrote them.
    pub conversations: Vec<Conversation>,
    /// Requests it took, retries included.
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
    /// The whole document.
    pub document: Bytes,
}

/// Names by id.
#[derive(Clone, Debug)]
pub struct Names {
    /// Name by id.
    pub by_id: HashMap<Arc<str>, Arc<str>>,
    /// Requests it took, retries included.
    pub upstream_calls: u32,
    /// When the request that brought it was sent.
    pub fetched_at: Timestamp,
}

impl Client {
    /// Builds the HTTP clients; sends nothing.
    pub fn new(_settings: Settings, _clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(Self {})
    }

    /// Runs one aggregate query.
    pub async fn aggregates(&self, _query: &AggregateQuery, _deadline: Instant) -> Result<Slice, UpstreamError> {
        Err(UpstreamError::Timeout(Told::default()))
    }

    /// Reads every conversation that started on a UTC day touched by the range, page by page, each once.
    pub fn conversations(
        &self,
        _query: &ConversationQuery,
        _deadline: Instant,
    ) -> impl Stream<Item = Result<ConversationPage, UpstreamError>> + Send + 'static {
        futures_util::stream::empty()
    }

    /// Reads a whole listing.
    pub async fn names(&self, _lookup: Lookup, _deadline: Instant) -> Result<Names, UpstreamError> {
        Err(UpstreamError::Timeout(Told::default()))
    }
}

/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// None was asked for yet.
    Unknown,
    /// One is held and serves for this long.
    Valid(Duration),
    /// None is held; the next request asks for one.
    Expired,
    /// None is held and the last mint failed.
    Failing,
    /// None is held and the login service refuses the credentials.
    Refused,
}

/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All requests go through.
    Closed,
    /// None go through until the next probe is due.
    Open {
        /// When that is; zero when the next request will be the probe.
        probe_in: Duration,
    },
    /// One request is out to see whether the upstream is back.
    Probing,
}

/// Placeholder.
pub struct Checked {
    /// What was tried.
    pub what: &'static str,
    /// The permission the vendor documents for it; empty where none is needed.
    pub permission: &'static str,
    /// How it went.
    pub outcome: Result<(), UpstreamError>,
}

/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The access token.
    pub token: TokenState,
    /// Whether requests are let through.
    pub breaker: BreakerState,
    /// Requests that could be sent right now, by our own count.
    pub budget_left: usize,
    /// How much longer the upstream asked us to stay away; zero when it did not.
    pub gate_closed_for: Duration,
}

impl Client {
    /// Placeholder.
    pub fn health(&self) -> Health {
        Health {
            token: TokenState::Unknown,
            breaker: BreakerState::Closed,
            budget_left: 0,
            gate_closed_for: Duration::ZERO,
        }
    }

    /// Placeholder.
    pub async fn check(&self, _deadline: Instant) -> Vec<Checked> {
        Vec::new()
    }
}
