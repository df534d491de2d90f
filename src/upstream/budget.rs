//! The request budget: how often, and how many at once, the upstream may be asked.
//!
//! At most `requests_per_minute` requests are sent in any stretch of [`WINDOW`], whichever way the upstream
//! lays its minutes: the instants of past sends are kept, and the next one waits until enough of them are old.
//! (A bucket that refills would let a full bucket plus a minute's refill into one fixed minute.) A 429 closes a
//! gate in front of everybody for what it asked. Waiting is first come, first served, and whoever cannot be
//! served before the deadline is told at once when to come back.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

use super::{Errand, Told, UpstreamError, meters};

/// The upstream counts by the minute; a second more covers the way there.
pub(super) const WINDOW: Duration = Duration::from_secs(61);

/// One for the whole service.
pub(super) struct Budget {
    limit: usize,
    /// Instants of the sends of the last [`WINDOW`], oldest first.
    sends: Mutex<VecDeque<Instant>>,
    /// Nobody sends before this instant.
    gate: watch::Sender<Instant>,
    in_flight: Arc<Semaphore>,
    /// Held by whoever is first in line.
    line: Arc<tokio::sync::Mutex<()>>,
    waiting: Arc<AtomicUsize>,
}

/// It is the holder's turn to send: nobody else can until this is spent or dropped. Nothing is spent yet.
pub(super) struct Turn<'budget> {
    budget: &'budget Budget,
    in_flight: OwnedSemaphorePermit,
    _first_in_line: OwnedMutexGuard<()>,
    _waiting: Waiting,
}

/// A request in flight; dropping it makes room for the next.
pub(super) struct InFlight {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(requests_per_minute: u32, concurrency: usize) -> Self {
        Self {
            limit: usize::try_from(requests_per_minute).unwrap_or(usize::MAX).max(1),
            sends: Mutex::default(),
            gate: watch::Sender::new(Instant::now()),
            in_flight: Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            line: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// Waits in line for a turn, or tells at once that none comes before the errand's deadline.
    pub(super) async fn turn(&self, errand: &Errand) -> Result<Turn<'_>, UpstreamError> {
        let arrived = Instant::now();
        let waiting = Waiting::join(&self.waiting);
        let mut gate = self.gate.subscribe();
        self.in_time(waiting.ahead, errand.deadline())?;

        let mut line = pin!(async {
            let permit = Arc::clone(&self.in_flight).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            (permit, Arc::clone(&self.line).lock_owned().await)
        });
        let (in_flight, first_in_line) = loop {
            tokio::select! {
                biased;
                place = &mut line => break place,
                () = sleep_until(errand.deadline()) => { self.in_time(0, errand.deadline())?; }
                _ = gate.changed() => { self.in_time(0, errand.deadline())?; }
            }
        };
        loop {
            let next = self.in_time(0, errand.deadline())?;
            if next <= Instant::now() {
                break;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                _ = gate.changed() => {}
            }
        }
        metrics::histogram!(meters::BUDGET_WAIT).record(arrived.elapsed());
        Ok(Turn {
            budget: self,
            in_flight,
            _first_in_line: first_in_line,
            _waiting: waiting,
        })
    }

    /// Nobody sends for this long from now; a longer closure in force stands.
    pub(super) fn close_gate_for(&self, pause: Duration) {
        let until = Instant::now() + pause;
        self.gate.send_if_modified(|gate| {
            let later = until > *gate;
            if later {
                *gate = until;
            }
            later
        });
    }

    /// How much longer the gate is closed; zero when it is open.
    pub(super) fn gate_closed_for(&self) -> Duration {
        self.gate.borrow().saturating_duration_since(Instant::now())
    }

    /// Requests that could be sent right now.
    pub(super) fn left(&self) -> usize {
        self.limit.saturating_sub(self.recent_sends(Instant::now()).len())
    }

    /// When somebody with `ahead` others before them can send, if that is before the deadline.
    fn in_time(&self, ahead: usize, deadline: Instant) -> Result<Instant, UpstreamError> {
        let now = Instant::now();
        if now >= deadline {
            return Err(UpstreamError::Timeout(Told::default()));
        }
        let at = earliest(&self.recent_sends(now), self.limit, ahead, now).max(*self.gate.borrow());
        if at >= deadline {
            return Err(UpstreamError::Budget {
                retry_after: at - now,
                told: Told::default(),
            });
        }
        Ok(at)
    }

    fn recent_sends(&self, now: Instant) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        while sends.front().is_some_and(|sent| *sent + WINDOW <= now) {
            sends.pop_front();
        }
        sends
    }
}

impl Turn<'_> {
    /// Spends one request of the budget: the caller sends now.
    pub(super) fn spend(self) -> InFlight {
        let now = Instant::now();
        self.budget.recent_sends(now).push_back(now);
        InFlight {
            _permit: self.in_flight,
        }
    }
}

/// When a request with `ahead` others before it can be sent at the earliest, given the sends of the last window.
///
/// Each send frees its place one window later. The free places go to the first in line now and free again one
/// window from now, so the times at which places free repeat with the window.
fn earliest(sends: &VecDeque<Instant>, limit: usize, ahead: usize, now: Instant) -> Instant {
    let free = limit.saturating_sub(sends.len());
    let Some(short) = ahead.checked_sub(free) else {
        return now;
    };
    let freed_by = sends.get(short % limit).copied().unwrap_or(now);
    let windows = u32::try_from(1 + short / limit).unwrap_or(u32::MAX);
    freed_by + WINDOW.saturating_mul(windows)
}

/// A place in the count of those waiting.
struct Waiting {
    count: Arc<AtomicUsize>,
    ahead: usize,
}

impl Waiting {
    fn join(count: &Arc<AtomicUsize>) -> Self {
        Self {
            count: Arc::clone(count),
            ahead: count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::advance};

    use super::*;
    use crate::upstream::Class;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn errand(deadline: Instant) -> Errand {
        Errand::new("caller", Class::Interactive, deadline)
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_send_follows_from_the_log_and_the_line() {
        let now = Instant::now() + seconds(1000);
        let sent = |ago: &[u64]| ago.iter().map(|ago| now - seconds(*ago)).collect::<VecDeque<_>>();
        for (ago, limit, ahead, wait) in [
            (&[][..], 2, 0, 0),
            (&[], 2, 1, 0),
            (&[], 2, 2, 61),
            (&[], 2, 4, 122),
            (&[30], 2, 0, 0),
            (&[30], 2, 1, 31),
            (&[30], 2, 2, 61),
            (&[60, 30], 2, 0, 1),
            (&[60, 30], 2, 1, 31),
            (&[60, 30], 2, 2, 62),
            (&[60], 1, 3, 1 + 3 * 61),
        ] {
            assert_eq!(
                earliest(&sent(ago), limit, ahead, now),
                now + seconds(wait),
                "{ago:?} {limit} {ahead}"
            );
        }
    }

    /// However requests come, no stretch of a window holds more than the limit, and none waits longer than it must.
    #[tokio::test(start_paused = true)]
    async fn no_window_holds_more_than_the_limit() {
        let budget = Arc::new(Budget::new(10, 3));
        let started = Instant::now();
        let mut senders = JoinSet::new();
        for number in 0..95_u64 {
            let budget = Arc::clone(&budget);
            senders.spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 397 % 20_000)).await;
                let turn = budget.turn(&errand(started + seconds(3600))).await.unwrap();
                let in_flight = turn.spend();
                let sent = Instant::now();
                tokio::time::sleep(Duration::from_millis(number * 31 % 500)).await;
                drop(in_flight);
                sent
            });
        }
        let mut sends = senders.join_all().await;
        sends.sort();
        for stretch in sends.windows(11) {
            assert!(
                stretch[10] - stretch[0] >= WINDOW,
                "11 sends within {:?}",
                stretch[10] - stretch[0]
            );
        }
        // 95 requests at 10 a window: the last goes out in the tenth window.
        assert!(*sends.last().unwrap() - started < WINDOW * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_be_served_in_time_is_told_at_once() {
        let budget = Budget::new(1, 1);
        let deadline = Instant::now() + seconds(60);
        drop(budget.turn(&errand(deadline)).await.unwrap().spend());
        let asked = Instant::now();
        let Err(UpstreamError::Budget { retry_after, .. }) = budget.turn(&errand(deadline)).await else {
            panic!("a second request within the window");
        };
        assert_eq!((retry_after, asked.elapsed()), (WINDOW, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_gate_is_told_to_those_already_waiting() {
        let budget = Arc::new(Budget::new(1, 1));
        let deadline = Instant::now() + seconds(100);
        drop(budget.turn(&errand(deadline)).await.unwrap().spend());
        let waiting = [(); 2].map(|()| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.turn(&errand(Instant::now() + seconds(130))).await.map(drop) })
        });
        tokio::task::yield_now().await;
        budget.close_gate_for(seconds(200));
        let told = Instant::now();
        for waiter in waiting {
            assert!(matches!(
                waiter.await.unwrap(),
                Err(UpstreamError::Budget { retry_after, .. }) if retry_after == seconds(200)
            ));
        }
        assert_eq!(told.elapsed(), Duration::ZERO);
        assert_eq!(budget.gate_closed_for(), seconds(200));
        advance(seconds(200)).await;
        let reopened = Instant::now();
        drop(budget.turn(&errand(reopened + seconds(1))).await.unwrap());
        assert_eq!(reopened.elapsed(), Duration::ZERO, "open for exactly what was asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_not_spent_costs_nothing() {
        let budget = Budget::new(1, 1);
        let deadline = Instant::now() + seconds(1);
        drop(budget.turn(&errand(deadline)).await.unwrap());
        assert_eq!(budget.left(), 1);
        drop(budget.turn(&errand(deadline)).await.unwrap().spend());
        assert_eq!(budget.left(), 0);
    }
}
