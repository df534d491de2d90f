//! Why the upstream gave no answer, by what the caller may do next. Cheap to clone: every waiter of a
//! shared fetch gets the same one.

use std::{fmt, sync::Arc, time::Duration};

/// What the upstream said about a failure, as far as it may be repeated to callers: never its raw text,
/// its hosts or a token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The machine-readable code, such as `missing.any.permissions`.
    pub code: Option<String>,
    /// What the vendor's support asks for (`ININ-Correlation-Id` or the body's `contextId`).
    pub correlation_id: Option<String>,
    /// Its refusal of a question in its own words, a JSON object of the vendor's published fields; for those who speak
    /// its language, and nobody else.
    pub document: Option<Arc<str>>,
}

/// Without the upstream's own words, which may repeat what was asked.
impl fmt::Debug for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Told")
            .field("status", &self.status)
            .field("code", &self.code)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

/// Why a fetch failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The login service refuses our client id or secret, or a fresh token is refused: fix the credentials.
    #[error("Genesys Cloud refuses this service's credentials")]
    Credentials(Told),
    /// The OAuth client's roles lack a permission: have it granted.
    #[error("this service's OAuth client lacks a permission: {}", permissions.join(" or "))]
    Permission {
        /// The permissions named, any of which would do.
        permissions: Vec<String>,
        /// What the upstream said.
        told: Told,
    },
    /// The upstream rejects the query itself (400, 404, 409, 413, 415): the query or this service is wrong.
    #[error("Genesys Cloud rejects the query: {reason}")]
    Rejected {
        /// Our own summary of why, fit for callers.
        reason: String,
        /// Whether a shorter interval would be taken.
        too_wide: bool,
        /// What the upstream said.
        told: Told,
    },
    /// The request budget, here or upstream (429), is spent past the caller's deadline: come back later.
    #[error("the upstream request budget is spent; it frees in {} s", whole_seconds(*retry_after))]
    Budget {
        /// When a request could be sent again.
        retry_after: Duration,
        /// What the upstream said, if it was the upstream that said so.
        told: Told,
    },
    /// The upstream has failed repeatedly and is left alone for now: come back later.
    #[error("Genesys Cloud has been failing and is being left alone for {} s", whole_seconds(*retry_after))]
    CircuitOpen {
        /// When the next probe is due.
        retry_after: Duration,
    },
    /// There is no room for another answer: too much is being fetched at once. Come back in a moment.
    #[error("there is no room for the answer: too much is being fetched at once")]
    Memory,
    /// The upstream is unreachable, fails (5xx) or answers nonsense, after every retry allowed.
    #[error("Genesys Cloud is unavailable: {reason}")]
    Unavailable {
        /// Our own summary of why, fit for callers.
        reason: String,
        /// What the upstream said.
        told: Told,
        /// The error underneath, for the log.
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The deadline passed while waiting for the upstream.
    #[error("Genesys Cloud did not answer in time")]
    Timeout(Told),
}

impl UpstreamError {
    /// What the upstream said, where it said something.
    pub fn told(&self) -> Option<&Told> {
        match self {
            Self::Credentials(told)
            | Self::Permission { told, .. }
            | Self::Rejected { told, .. }
            | Self::Budget { told, .. }
            | Self::Unavailable { told, .. }
            | Self::Timeout(told) => Some(told),
            Self::CircuitOpen { .. } | Self::Memory => None,
        }
    }

    /// How long to wait before asking again makes sense, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Budget { retry_after, .. } | Self::CircuitOpen { retry_after } => Some(*retry_after),
            // About as long as an answer takes to be passed on.
            Self::Memory => Some(Duration::from_secs(1)),
            Self::Credentials(_)
            | Self::Permission { .. }
            | Self::Rejected { .. }
            | Self::Unavailable { .. }
            | Self::Timeout(_) => None,
        }
    }

    /// The same, for a 429 whose wait was decided since.
    pub(super) fn come_back_in(self, wait: Duration) -> Self {
        match self {
            Self::Budget { told, .. } => Self::Budget {
                retry_after: wait,
                told,
            },
            other => other,
        }
    }
}

/// Rounded up, at least 1: nobody should come back too early.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
