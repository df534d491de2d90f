//! Calendar time as a value.
//!
//! Whatever asks "what day is it" takes a [`Clock`]; whatever waits uses tokio's timers. Tests build the
//! clock with [`Clock::starting_at`], which follows tokio's (pausable) time, so that a simulated month
//! passes in no time and freshness is decided on the same axis as timeouts.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the present instant. Cheap to clone; every clone tells the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Anchored {
        start: Timestamp,
        since: Instant,
        /// Milliseconds by which it has been set forward since; negative if back.
        stepped_ms: Arc<AtomicI64>,
    },
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
            stepped_ms: Arc::default(),
        })
    }

    /// Sets a clock made by [`starting_at`](Self::starting_at) forward, or back, as whoever looks after a machine may do at
    /// any moment. The machine's own clock is not ours to set.
    pub fn step(&self, by: SignedDuration) {
        if let Source::Anchored { stepped_ms, .. } = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(0);
            stepped_ms.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The present instant.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's calendar"
    )]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Anchored {
                start,
                since,
                stepped_ms,
            } => {
                let elapsed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
                let stepped = SignedDuration::from_millis(stepped_ms.load(Ordering::Relaxed));
                start
                    .saturating_add(elapsed.saturating_add(stepped))
                    .unwrap_or(Timestamp::MAX)
            }
        }
    }
}
