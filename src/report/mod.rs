//! A [`Query`] in, an [`Answer`] out, as rarely from the upstream as can be.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

use crate::{
    clock::Clock,
    query::{ConversationQuery, Query},
    table::{Provenance, Table},
    upstream::{Client, UpstreamError},
};

/// Answers reporting queries, from what is held or from the upstream. Cheap to clone.
#[derive(Clone)]
pub struct Reports {}

/// How much may be held, and for how long.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// Bytes of answers held in memory.
    pub memory_bytes: u64,
    /// Bytes of one conversation listing that may be gathered before it is refused as too large for paging.
    pub listing_bytes: u64,
}

/// How fresh an answer the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Not older than this; `None` leaves it to the age of the data.
    pub max_age: Option<Duration>,
    /// If the upstream fails, a held answer may be past its freshness by this much; `None` is the service's bound.
    pub max_stale: Option<Duration>,
    /// What to do when the upstream fails.
    pub on_error: OnError,
}

/// What to answer when the upstream fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// A held answer within its bound, marked as stale; the failure otherwise.
    #[default]
    Stale,
    /// The failure.
    Fail,
}

/// An answer to a [`Query`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The rows of the page asked for.
    pub table: Table,
    /// Rows in all pages.
    pub total: u64,
    /// Where it came from.
    pub provenance: Provenance,
    /// How much longer it may be reused; becomes `Cache-Control: max-age`.
    pub fresh_for: Duration,
}

/// An answer to a [`ConversationQuery`]: every conversation that started in the range, by start, then id.
#[derive(Clone, Debug)]
pub struct Conversations {
    /// One JSON document each, as the upstream wrote it.
    pub documents: Arc<[Bytes]>,
    /// Where they came from.
    pub provenance: Provenance,
    /// How much longer it may be reused.
    pub fresh_for: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReportError {
    /// The upstream gave none.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The caller's deadline passed; the fetch goes on and its answer will be held.
    #[error("the answer was not ready in time")]
    Deadline,
    /// More conversations than can be paged: narrow the range or stream them as NDJSON.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The bound.
        limit_bytes: u64,
    },
    /// A defect of this service; the log has it.
    #[error("internal error")]
    Internal,
}

impl Reports {
    /// Puts the parts together; nothing runs until a query comes.
    pub fn new(_client: Client, _clock: Clock, _settings: ReportSettings) -> Self {
        Self {}
    }

    /// Answers a query before `deadline`.
    pub async fn run(&self, _query: &Query, _freshness: Freshness, _deadline: Instant) -> Result<Answer, ReportError> {
        Err(ReportError::Internal)
    }

    /// Lists the conversations that started in the range, all of them, in one consistent snapshot.
    pub async fn conversations(
        &self,
        _query: &ConversationQuery,
        _freshness: Freshness,
        _deadline: Instant,
    ) -> Result<Conversations, ReportError> {
        Err(ReportError::Internal)
    }

    /// Streams the conversations that started in the range as they come in, one JSON document each.
    ///
    /// An error item is the last: what was streamed until then is not the whole.
    pub fn conversation_stream(
        &self,
        _query: &ConversationQuery,
        _deadline: Instant,
    ) -> impl Stream<Item = Result<Bytes, ReportError>> + Send + 'static {
        futures_util::stream::empty()
    }
}
