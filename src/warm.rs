//! Reports marked `refresh` are kept warm just before their readers come.
//!
//! A report that is read for the second time has a habit: it will be read again after as long as has passed between the
//! two. Just before that, whatever would not be fresh then is asked for, in the lowest class of the budget. What is fresh
//! until then costs nothing, and after one such look there is no other until the report is read again: a reader who stays
//! away costs one look, and a report that nobody reads none.
//!
//! `Habits` is pure: when to look at what. `Warm::run` is the one task that looks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    clock::Clock,
    definitions::{Bound, Library},
    query::{Limits, Restriction},
    report::{ReportError, Reports},
};

/// How long before its reader a report is looked at: longer than a request to Genesys Cloud takes, as a rule.
const AHEAD: Duration = Duration::from_secs(5);

/// The longest habit: what is read once a day is, at that time of day.
const LONGEST: Duration = Duration::from_hours(25);

/// Reads closer together than this are those of one moment, and no habit.
const MOMENT: Duration = Duration::from_secs(1);

/// The most reports, each with its arguments, that habits are known of.
const MAX_HABITS: usize = 1_000;

/// Keeps reports warm. Cheap to clone.
#[derive(Clone)]
pub struct Warm(Arc<Parts>);

struct Parts {
    reports: Reports,
    library: Library,
    clock: Clock,
    habits: Mutex<Habits>,
    /// A report was read.
    read: Notify,
}

/// A report by its name, what it was asked with, and what its reader may see.
type Asked = (String, Vec<(String, String)>, Restriction);

impl Warm {
    /// Nothing is known yet, and nothing runs.
    pub fn new(reports: Reports, library: Library, clock: Clock) -> Self {
        Self(Arc::new(Parts {
            reports,
            library,
            clock,
            habits: Mutex::default(),
            read: Notify::new(),
        }))
    }

    /// A report that is to be kept warm was read.
    pub fn note(&self, name: &str, mut arguments: Vec<(String, String)>, restriction: Restriction) {
        arguments.sort_unstable();
        let mut habits = self.0.habits.lock().unwrap_or_else(PoisonError::into_inner);
        habits.note((name.to_owned(), arguments, restriction), Instant::now());
        drop(habits);
        self.0.read.notify_one();
    }

    /// Looks at reports just before their readers come, for as long as it is polled.
    pub async fn run(self) {
        let mut looks = JoinSet::new();
        loop {
            let (due, next) = self.due();
            for asked in due {
                looks.spawn(self.clone().look(asked));
            }
            tokio::select! {
                () = reached(next) => {}
                () = self.0.read.notified() => {}
                Some(_) = looks.join_next() => {}
            }
        }
    }

    fn due(&self) -> (Vec<Asked>, Option<Instant>) {
        let mut habits = self.0.habits.lock().unwrap_or_else(PoisonError::into_inner);
        (habits.take_due(Instant::now()), habits.next())
    }

    /// Asks for what would not be fresh when the reader comes.
    async fn look(self, (name, arguments, restriction): Asked) {
        let now = self.0.clock.now();
        let library = self.0.library.current(now).await;
        // It may have changed since, and what it was asked with may mean nothing any more: then nobody asks like that.
        let Some(definition) = library.definitions.get(&name).filter(|definition| definition.refresh) else {
            return;
        };
        let then = now + SignedDuration::try_from(AHEAD).unwrap_or_default();
        let Ok((bound, _)) = definition.bind(&arguments, then, &Limits::default()) else {
            return;
        };
        match self.renew(bound, &restriction).await {
            Ok(0) => {}
            Ok(calls) => tracing::debug!(report = name, calls, "kept warm"),
            Err(error) => tracing::info!(report = name, %error, "could not be kept warm"),
        }
    }

    async fn renew(&self, bound: Bound, restriction: &Restriction) -> Result<u32, ReportError> {
        // A second more, so that what is fresh to the second when the reader comes is not held to be enough.
        let ahead = AHEAD + Duration::from_secs(1);
        match bound {
            Bound::Figures { query, .. } => self.0.reports.renew(*query, restriction, ahead).await,
            Bound::Now(query) => self.0.reports.renew_now(*query, restriction, ahead).await,
            Bound::UsersNow(query) => self.0.reports.renew_users_now(*query, restriction, ahead).await,
            // Refused when the file is read.
            Bound::Conversations { .. } | Bound::States(_) => Ok(0),
        }
    }
}

async fn reached(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// When which report is read.
#[derive(Debug, Default)]
struct Habits(HashMap<Asked, Habit>);

#[derive(Debug)]
struct Habit {
    last_read: Instant,
    /// When to look at it before it is read again; `None` until that is known, and once it has been looked at.
    due: Option<Instant>,
}

impl Habits {
    fn note(&mut self, asked: Asked, now: Instant) {
        if let Some(habit) = self.0.get_mut(&asked) {
            let pause = now.duration_since(habit.last_read);
            if pause < MOMENT {
                return;
            }
            habit.last_read = now;
            habit.due = (pause <= LONGEST).then(|| now + pause.saturating_sub(AHEAD));
            return;
        }
        if self.0.len() >= MAX_HABITS {
            let oldest = self.0.iter().min_by_key(|(_, habit)| habit.last_read);
            if let Some(oldest) = oldest.map(|(asked, _)| asked.clone()) {
                self.0.remove(&oldest);
            }
        }
        let habit = Habit {
            last_read: now,
            due: None,
        };
        self.0.insert(asked, habit);
    }

    /// What is to be looked at now; not again before it is read again.
    fn take_due(&mut self, now: Instant) -> Vec<Asked> {
        let due = self
            .0
            .iter_mut()
            .filter(|(_, habit)| habit.due.is_some_and(|due| due <= now));
        let due = due.map(|(asked, habit)| {
            habit.due = None;
            asked.clone()
        });
        due.collect()
    }

    /// When there is something to be looked at next.
    fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|habit| habit.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> Asked {
        (name.to_owned(), Vec::new(), Restriction::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_is_looked_at_before_it_is_read_again_and_once() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut habits = Habits::default();
        habits.note(report("a"), at(0));
        assert_eq!(habits.next(), None, "read once is no habit");
        habits.note(report("a"), start + Duration::from_millis(900));
        assert_eq!(habits.next(), None, "the same moment");
        habits.note(report("a"), at(60));
        assert_eq!(habits.next(), Some(at(115)));
        assert!(habits.take_due(at(114)).is_empty());
        assert_eq!(habits.take_due(at(115)), [report("a")]);
        assert_eq!(habits.next(), None, "not again before it is read again");
        habits.note(report("a"), at(120));
        assert_eq!(habits.next(), Some(at(175)));
        // Read early, it will be read early again.
        habits.note(report("a"), at(130));
        assert_eq!(habits.next(), Some(at(135)));
        // Read more often than it could be looked at before.
        habits.note(report("a"), at(133));
        assert_eq!(habits.take_due(at(133)), [report("a")]);
        // After a long while it is as if it had never been read.
        habits.note(report("a"), at(133 + 25 * 3600 + 1));
        assert_eq!(habits.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_the_one_read_longest_ago_is_forgotten() {
        let start = Instant::now();
        let mut habits = Habits::default();
        for number in 0..=MAX_HABITS {
            habits.note(report(&number.to_string()), start + Duration::from_secs(number as u64));
        }
        assert_eq!(habits.0.len(), MAX_HABITS);
        assert!(!habits.0.contains_key(&report("0")) && habits.0.contains_key(&report("1")));
    }
}
