//! One fetch for everybody who wants the same thing now.
//!
//! A flight runs in a task of its own: callers wait on it, may give up, and never cancel it for the others.
//! What it brings is held by whoever started it (see [`Flights::join`]'s `fetch`); this module only makes
//! callers meet. A failed flight lingers for a moment, so that a crowd that retries at once does not start a
//! new chain of attempts.

use std::{
    collections::HashMap,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{sync::oneshot, task};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::ReportError;
use crate::{traces, upstream::Errand};

type Outcome<V> = Result<V, ReportError>;
pub(super) type Landing<V> = Shared<BoxFuture<'static, Outcome<V>>>;

/// The fetches under way, by what they fetch.
pub(super) struct Flights<K, V> {
    under_way: Arc<Mutex<HashMap<K, Flight<V>>>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

struct Flight<V> {
    landing: Landing<V>,
    errand: Errand,
    task: task::Id,
}

/// What a fetch logs names the trace of the request that began it. It is not within that request's span, which it may
/// outlive.
fn log_span(errand: &Errand) -> tracing::Span {
    let traced = errand.part_of().map(traces::Parent::trace);
    traced.map_or_else(
        tracing::Span::none,
        |trace| tracing::info_span!(parent: None, "fetch", trace_id = %trace),
    )
}

/// Whether a caller started the flight or found it under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Started it: its cost is this caller's.
    Leader,
    /// Found it under way, or found its failure.
    Follower,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self {
            under_way: Arc::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Waits for what `fetch` brings, or for what the flight already under way for `key` brings.
    ///
    /// `fetch` runs to its end whoever leaves, on an errand of its own that everybody joins; a panic inside is
    /// [`ReportError::Internal`] for those waiting.
    pub(super) fn join<F>(&self, key: &K, errand: &Errand, fetch: impl FnOnce(Errand) -> F) -> (Landing<V>, Role)
    where
        F: Future<Output = Outcome<V>> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = under_way.get(key) {
            flight.errand.join(errand);
            return (flight.landing.clone(), Role::Follower);
        }
        let (publish, published) = oneshot::channel();
        let landing = published
            .map(|outcome| outcome.unwrap_or(Err(ReportError::Internal)))
            .boxed()
            .shared();
        let errand = errand.apart();
        let fetch = AssertUnwindSafe(fetch(errand.clone())).catch_unwind();
        let (table, key_of_task) = (Arc::clone(&self.under_way), key.clone());
        let flight = async move {
            let outcome = fetch.await.unwrap_or_else(|_| {
                tracing::error!("a fetch panicked");
                Err(ReportError::Internal)
            });
            let lingers = outcome.as_ref().err().map(ReportError::lingers);
            if let Err(failure) = &outcome
                && is_awaited_by_nobody(&table, &key_of_task)
            {
                tracing::warn!(error = %failure, "a fetch that nobody waits for failed");
            }
            // Nobody may be waiting any more; the fetch itself has kept what it brought.
            let _ = publish.send(outcome);
            if let Some(lingers) = lingers.filter(|lingers| !lingers.is_zero()) {
                tokio::time::sleep(lingers).await;
            }
            let mut under_way = table.lock().unwrap_or_else(PoisonError::into_inner);
            // Forgotten, it may have left its place to another.
            if under_way.get(&key_of_task).map(|flight| flight.task) == task::try_id() {
                under_way.remove(&key_of_task);
            }
        };
        let stopping = self.stopping.clone();
        let task = async move { stopping.run_until_cancelled(flight).await };
        let task = self.tasks.spawn(task.instrument(log_span(&errand)));
        let flight = Flight {
            landing: landing.clone(),
            errand,
            task: task.id(),
        };
        under_way.insert(key.clone(), flight);
        (landing, Role::Leader)
    }

    /// Whether one that has not landed yet is of that kind.
    pub(super) fn any(&self, is_meant: impl Fn(&K) -> bool) -> bool {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        found(&under_way, is_meant).is_some()
    }

    /// What one of that kind brings that has not landed yet.
    pub(super) fn join_any(&self, errand: &Errand, is_meant: impl Fn(&K) -> bool) -> Option<Landing<V>> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = found(&under_way, is_meant)?;
        flight.errand.join(errand);
        Some(flight.landing.clone())
    }

    /// Flights under way, lingering failures included.
    pub(super) fn len(&self) -> usize {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets nobody join what is under way: those who come now want something newer. It lands for those who wait.
    pub(super) fn forget(&self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.clear();
    }

    /// Stops every fetch; those waiting get [`ReportError::Internal`]. For the end of the process, after
    /// requests have been drained.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        self.forget();
    }
}

fn found<K, V: Clone>(under_way: &HashMap<K, Flight<V>>, is_meant: impl Fn(&K) -> bool) -> Option<&Flight<V>> {
    let mut flights = under_way.iter();
    let flight = flights.find(|(key, flight)| flight.landing.peek().is_none() && is_meant(key));
    flight.map(|(_, flight)| flight)
}

fn is_awaited_by_nobody<K: Eq + Hash, V>(under_way: &Mutex<HashMap<K, Flight<V>>>, key: &K) -> bool
where
    V: Clone,
{
    let under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
    // The table's own is one.
    let landing = under_way.get(key).map(|flight| &flight.landing);
    landing.is_some_and(|landing| landing.strong_count() == Some(1))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::upstream::Class;

    fn errand() -> Errand {
        Errand::new("caller", Class::Interactive, Instant::now() + Duration::from_secs(30))
    }

    fn counted(
        calls: &Arc<AtomicU32>,
        seconds: u64,
        outcome: Outcome<u32>,
    ) -> impl Future<Output = Outcome<u32>> + use<> {
        let calls = Arc::clone(calls);
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(seconds)).await;
            outcome
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_callers_share_one_fetch_and_one_of_them_led_it() {
        let (flights, calls) = (Flights::new(), Arc::default());
        let joined: Vec<_> = (0..1000)
            .map(|_| flights.join(&"key", &errand(), |_| counted(&calls, 2, Ok(7))))
            .collect();
        let leaders = joined.iter().filter(|(_, role)| *role == Role::Leader).count();
        for (landing, _) in joined {
            assert_eq!(landing.await.unwrap(), 7);
        }
        assert_eq!((leaders, calls.load(Ordering::Relaxed)), (1, 1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_does_not_stop_the_fetch_for_others() {
        let (flights, calls) = (Flights::new(), Arc::default());
        let (impatient, _) = flights.join(&"key", &errand(), |_| counted(&calls, 5, Ok(7)));
        assert!(timeout(Duration::from_secs(1), impatient).await.is_err());
        let (patient, role) = flights.join(&"key", &errand(), |_| counted(&calls, 5, Ok(8)));
        assert_eq!((patient.await.unwrap(), role), (7, Role::Follower));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_answers_for_two_seconds_and_then_one_new_fetch_starts() {
        let (flights, calls) = (Flights::new(), Arc::default());
        let fail = |_| counted(&calls, 1, Err(ReportError::Deadline));
        assert!(flights.join(&"key", &errand(), fail).0.await.is_err());
        let failed_at = Instant::now();
        while failed_at.elapsed() < ReportError::Deadline.lingers() {
            assert!(flights.join(&"key", &errand(), fail).0.await.is_err());
            assert_eq!(calls.load(Ordering::Relaxed), 1);
            sleep(Duration::from_millis(500)).await;
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(
            flights
                .join(&"key", &errand(), |_| counted(&calls, 1, Ok(9)))
                .0
                .await
                .unwrap(),
            9
        );
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_at_once_and_other_keys_are_unaffected() {
        let flights: Flights<&str, u32> = Flights::new();
        let (broken, _) = flights.join(&"broken", &errand(), |_| async { panic!("a defect") });
        let (sound, _) = flights.join(&"sound", &errand(), |_| async { Ok(1) });
        assert!(matches!(broken.await, Err(ReportError::Internal)));
        assert_eq!(sound.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_lands_for_those_who_wait_and_nobody_joins_it() {
        let (flights, calls) = (Flights::new(), Arc::default());
        let (before, _) = flights.join(&"key", &errand(), |_| counted(&calls, 2, Ok(7)));
        flights.forget();
        let (after, role) = flights.join(&"key", &errand(), |_| counted(&calls, 4, Ok(8)));
        assert_eq!((before.await.unwrap(), role), (7, Role::Leader));
        sleep(Duration::from_millis(1)).await;
        // The first to end leaves the place to the second.
        let (joined, role) = flights.join(&"key", &errand(), |_| counted(&calls, 1, Ok(9)));
        assert_eq!((joined.await.unwrap(), role), (8, Role::Follower));
        assert_eq!(after.await.unwrap(), 8);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_tells_those_who_wait() {
        let (flights, calls) = (Flights::new(), Arc::default());
        let (landing, _) = flights.join(&"key", &errand(), |_| counted(&calls, 60, Ok(7)));
        let (forgotten, _) = flights.join(&"forgotten", &errand(), |_| counted(&calls, 60, Ok(7)));
        flights.forget();
        flights.stop();
        assert!(matches!(landing.await, Err(ReportError::Internal)));
        assert!(matches!(forgotten.await, Err(ReportError::Internal)));
        assert_eq!(flights.len(), 0);
    }
}
