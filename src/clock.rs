//! Calendar time as a value.
//!
//! Whatever asks "what day is it" takes a [`Clock`]; whatever waits uses tokio's timers. Tests build the
//! clock with [`Clock::starting_at`], which follows tokio's (pausable) time, so that a simulated month
//! passes in no time and freshness is decided on the same axis as timeouts.

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the present instant. Cheap to clone; every clone tells the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Anchored { start: Timestamp, since: Instant },
}

impl Clock {
    /// The machine's own calendar time.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `start` now and advances with tokio's time from here on.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Source::Anchored {
            start,
            since: Instant::now(),
        })
    }

    /// The present instant.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's calendar"
    )]
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => Timestamp::now(),
            Source::Anchored { start, since } => {
                let elapsed = jiff::SignedDuration::try_from(since.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
                start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}
