//! The circuit breaker. There is one for each host that is depended on: the API, the login service, Redis.
//!
//! After `FAILURES` failures in a row, whoever asks is refused at once. When the backoff has passed, one
//! request is let through as a probe; if it succeeds, all are let through again, and if it fails, the backoff
//! doubles, from one second to a minute. Only a host's own failures count (unreachable, 5xx, nonsense, too
//! slow): a refused query is an answer, and a caller who left says nothing about the host.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// The first pause, and the one returned to after a success.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between probes of the API.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Stands before every request. Cheap to clone; all clones are the same breaker.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    /// Of what, for the log.
    host: &'static str,
    longest_pause: Duration,
    circuit: Arc<Mutex<Circuit>>,
}

/// Whether requests are let through, for readiness and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All requests go through.
    Closed,
    /// None go through until the next probe is due.
    Open {
        /// When that is; zero when the next request will be the probe.
        probe_in: Duration,
    },
    /// One request is out to see whether the host is back.
    Probing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed { failures: u32, since: Option<Instant> },
    Open { probe_at: Instant, pause: Duration },
    Probing { pause: Duration },
}

impl Breaker {
    pub(crate) fn new(host: &'static str, longest_pause: Duration) -> Self {
        Self {
            host,
            longest_pause,
            circuit: Arc::new(Mutex::new(Circuit::Closed {
                failures: 0,
                since: None,
            })),
        }
    }

    /// Whether a request would be let through now; takes nothing. The error is the time until a probe is due.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        match self.state() {
            BreakerState::Closed
            | BreakerState::Open {
                probe_in: Duration::ZERO,
            } => Ok(()),
            BreakerState::Open { probe_in } => Err(probe_in),
            BreakerState::Probing => Err(SHORTEST_PAUSE),
        }
    }

    /// Lets one request through, or says when a probe is due.
    pub(crate) fn admit(&self) -> Result<Admission, Duration> {
        self.check()?;
        let mut circuit = self.lock();
        let probe = match *circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { pause, .. } => {
                *circuit = Circuit::Probing { pause };
                Some(pause)
            }
            Circuit::Probing { .. } => return Err(SHORTEST_PAUSE),
        };
        Ok(Admission {
            breaker: self.clone(),
            at: Instant::now(),
            probe,
        })
    }

    pub(crate) fn state(&self) -> BreakerState {
        match *self.lock() {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { probe_at, .. } => BreakerState::Open {
                probe_in: probe_at.saturating_duration_since(Instant::now()),
            },
            Circuit::Probing { .. } => BreakerState::Probing,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that was let through. Dropped without a verdict it proves nothing: a probe's place falls to the next.
#[derive(Debug)]
pub(crate) struct Admission {
    breaker: Breaker,
    at: Instant,
    /// The pause that led to this probe; `None` for an ordinary request.
    probe: Option<Duration>,
}

impl Admission {
    /// The host answered.
    pub(crate) fn succeeded(mut self) {
        let probe = self.probe.take();
        let mut circuit = self.breaker.lock();
        match *circuit {
            Circuit::Closed { since, .. } => *circuit = Circuit::Closed { failures: 0, since },
            Circuit::Probing { .. } if probe.is_some() => {
                *circuit = Circuit::Closed {
                    failures: 0,
                    since: Some(Instant::now()),
                };
                tracing::info!(host = self.breaker.host, "it is back: circuit closed");
            }
            // Sent before the circuit opened: only the probe may close it.
            Circuit::Open { .. } | Circuit::Probing { .. } => {}
        }
    }

    /// The host failed.
    pub(crate) fn failed(mut self) {
        let probe = self.probe.take();
        let mut circuit = self.breaker.lock();
        let pause = match *circuit {
            // Sent before the host was back: it says nothing about the host since.
            Circuit::Closed { since, .. } if since.is_some_and(|since| self.at < since) => return,
            Circuit::Closed { failures, since } if failures + 1 < FAILURES => {
                *circuit = Circuit::Closed {
                    failures: failures + 1,
                    since,
                };
                return;
            }
            Circuit::Closed { .. } => SHORTEST_PAUSE,
            Circuit::Probing { pause } if probe.is_some() => self.breaker.longest_pause.min(pause * 2),
            // Sent before the circuit opened: already known.
            Circuit::Open { .. } | Circuit::Probing { .. } => return,
        };
        *circuit = Circuit::Open {
            probe_at: Instant::now() + pause,
            pause,
        };
        tracing::warn!(
            host = self.breaker.host,
            pause_ms = pause.as_millis(),
            "it keeps failing: circuit open"
        );
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(pause) = self.probe.take() {
            let mut circuit = self.breaker.lock();
            if matches!(*circuit, Circuit::Probing { .. }) {
                *circuit = Circuit::Open {
                    probe_at: Instant::now(),
                    pause,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_a_success_starts_the_count_again() {
        let breaker = Breaker::new("API", LONGEST_PAUSE);
        fail(&breaker, 4);
        breaker.admit().unwrap().succeeded();
        fail(&breaker, 4);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.admit().unwrap_err(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_with_pauses_doubling_to_a_minute() {
        let breaker = Breaker::new("API", LONGEST_PAUSE);
        fail(&breaker, 5);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(pause);
            assert_eq!(breaker.check(), Err(pause));
            advance(pause.saturating_sub(Duration::from_millis(1))).await;
            assert!(breaker.admit().is_err());
            advance(Duration::from_millis(1)).await;
            let probe = breaker.admit().unwrap();
            assert_eq!(breaker.state(), BreakerState::Probing);
            assert!(breaker.admit().is_err(), "a second probe");
            probe.failed();
        }
        advance(Duration::from_mins(1)).await;
        breaker.admit().unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker, 5);
        assert_eq!(
            breaker.check(),
            Err(Duration::from_secs(1)),
            "the backoff starts afresh"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_leaves_gives_its_place_to_the_next() {
        let breaker = Breaker::new("API", LONGEST_PAUSE);
        fail(&breaker, 5);
        advance(Duration::from_secs(1)).await;
        drop(breaker.admit().unwrap());
        breaker.admit().unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_sent_before_it_opened_change_nothing() {
        let breaker = Breaker::new("API", LONGEST_PAUSE);
        let (early_success, early_failure) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        let slow: Vec<_> = (0..5).map(|_| breaker.admit().unwrap()).collect();
        fail(&breaker, 5);
        early_success.succeeded();
        early_failure.failed();
        assert_eq!(breaker.check(), Err(Duration::from_secs(1)));
        advance(Duration::from_secs(1)).await;
        breaker.admit().unwrap().succeeded();
        slow.into_iter().for_each(Admission::failed);
        assert_eq!(breaker.state(), BreakerState::Closed, "it has been back since");
        fail(&breaker, 5);
        assert_eq!(breaker.check(), Err(Duration::from_secs(1)));
    }
}
