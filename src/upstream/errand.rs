//! On whose account the upstream is asked, how urgently, until when, and as part of which trace.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::traces;

/// How urgent a request to the upstream is; the most urgent comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody waits for the answer.
    Interactive,
    /// Nobody waits: what is held is brought up to date before it is asked for.
    Refresh,
    /// Whole ranges, files and jobs: long, and in no hurry.
    Export,
}

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Refresh, Self::Export];

    /// Its name in answers, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Refresh => "refresh",
            Self::Export => "export",
        }
    }
}

/// Who has the upstream asked, how urgently, and until when it makes sense to begin. Made where a request comes in,
/// passed down to the budget; everything done for the request is done on the same errand.
///
/// Clones are one errand. What several wait for is done on one of its own ([`Errand::apart`]), on the account and in the
/// trace of whoever came first, as urgently as the most urgent of them wants it and for as long as one of them waits.
#[derive(Clone)]
pub struct Errand(Arc<Inner>);

struct Inner {
    caller: Arc<str>,
    /// The span of the request it is done for; `None` where nobody traces it, or it is done for no request.
    part_of: Option<traces::Parent>,
    terms: watch::Sender<Terms>,
    /// Done along with this one, on the same terms at least.
    along: Mutex<Vec<Errand>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    class: Class,
    deadline: Instant,
}

impl Errand {
    /// On the account of `caller`: the name of a key, `anonymous`, or whatever tells callers apart.
    pub fn new(caller: impl Into<Arc<str>>, class: Class, deadline: Instant) -> Self {
        Self::traced(caller, class, deadline, None)
    }

    /// The same for a request that is traced.
    pub fn traced(
        caller: impl Into<Arc<str>>,
        class: Class,
        deadline: Instant,
        part_of: Option<traces::Parent>,
    ) -> Self {
        Self(Arc::new(Inner {
            caller: caller.into(),
            part_of,
            terms: watch::Sender::new(Terms { class, deadline }),
            along: Mutex::default(),
        }))
    }

    /// What the service does of its own accord.
    pub fn of_the_service(class: Class, deadline: Instant) -> Self {
        Self::new("genesys-reports", class, deadline)
    }

    /// On whose account.
    pub fn caller(&self) -> &Arc<str> {
        &self.0.caller
    }

    /// The span that it is part of.
    pub fn part_of(&self) -> Option<&traces::Parent> {
        self.0.part_of.as_ref()
    }

    /// How urgently.
    pub fn class(&self) -> Class {
        self.0.terms.borrow().class
    }

    /// Nothing is sent from then on. May move to later while others join.
    pub fn deadline(&self) -> Instant {
        self.0.terms.borrow().deadline
    }

    /// Another errand on the same account, for the same request.
    #[must_use]
    pub fn on_terms(&self, class: Class, deadline: Instant) -> Self {
        Self::traced(Arc::clone(&self.0.caller), class, deadline, self.0.part_of.clone())
    }

    /// One of its own on the same account and terms, for others to join.
    #[must_use]
    pub fn apart(&self) -> Self {
        self.on_terms(self.class(), self.deadline())
    }

    /// Somebody else waits for this, too.
    pub fn join(&self, other: &Self) {
        if let (Some(theirs), Some(own)) = (&other.0.part_of, &self.0.part_of) {
            theirs.waits_for(own);
        }
        let theirs = *other.0.terms.borrow();
        self.0.terms.send_if_modified(|terms| {
            let joint = Terms {
                class: terms.class.min(theirs.class),
                deadline: terms.deadline.max(theirs.deadline),
            };
            std::mem::replace(terms, joint) != joint
        });
        let along = self.0.along.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for errand in along {
            errand.join(other);
        }
    }

    /// From now on this one is done by doing `errand`, which whoever joins this one joins as well.
    pub fn goes_along_with(&self, errand: &Self) {
        let mut along = self.0.along.lock().unwrap_or_else(PoisonError::into_inner);
        along.push(errand.clone());
        drop(along);
        errand.join(self);
    }

    /// Tells of changes of terms from now on.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.0.terms.subscribe())
    }

    /// What comes of the future before the deadline, wherever that moves meanwhile.
    pub(super) async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            let deadline = self.deadline();
            match timeout_at(deadline, &mut future).await {
                Ok(output) => return Some(output),
                Err(_) if self.deadline() > deadline => {}
                Err(_) => return None,
            }
        }
    }
}

/// Tells when the terms of an errand have changed.
pub(super) struct Changes(watch::Receiver<Terms>);

impl Changes {
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left to change them.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = *self.0.terms.borrow();
        formatter
            .debug_struct("Errand")
            .field("caller", &self.0.caller)
            .field("class", &terms.class)
            .field("deadline", &terms.deadline)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_joins_may_hurry_and_prolong_but_never_the_contrary() {
        let now = Instant::now();
        let errand = Errand::new("first", Class::Refresh, now + 10 * SECOND);
        let mut changes = errand.changes();
        errand.join(&Errand::new("second", Class::Export, now + 5 * SECOND));
        assert_eq!((errand.class(), errand.deadline()), (Class::Refresh, now + 10 * SECOND));
        errand.join(&Errand::new("third", Class::Interactive, now + 20 * SECOND));
        changes.next().await;
        assert_eq!(
            (errand.class(), errand.deadline()),
            (Class::Interactive, now + 20 * SECOND)
        );
        assert_eq!(&**errand.caller(), "first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_along_with_others_follows_whoever_joins_later() {
        let now = Instant::now();
        let [own, others] = ["own", "others"].map(|caller| Errand::new(caller, Class::Export, now + SECOND));
        own.goes_along_with(&others);
        own.join(&Errand::new("late", Class::Interactive, now + 3 * SECOND));
        assert_eq!(
            (others.class(), others.deadline()),
            (Class::Interactive, now + 3 * SECOND)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_while_it_is_waited_for_is_heeded() {
        let now = Instant::now();
        let errand = Errand::new("first", Class::Interactive, now + SECOND);
        let later = async {
            sleep(SECOND / 2).await;
            errand.join(&Errand::new("second", Class::Interactive, now + 3 * SECOND));
        };
        let (slow, ()) = tokio::join!(errand.in_time(sleep(2 * SECOND)), later);
        assert_eq!((slow, now.elapsed()), (Some(()), 2 * SECOND));
        assert_eq!(errand.in_time(sleep(2 * SECOND)).await, None);
        assert_eq!(now.elapsed(), 3 * SECOND);
    }
}
