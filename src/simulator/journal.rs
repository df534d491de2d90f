//! What was asked of the simulator, and what it did: the evidence tests count.
//!
//! A request is written down when it has arrived, so a count is right while answers are still under way.
//! Credentials are never written down: no headers but those of traces, and no secret field of a login form.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// The journal. Cheap to clone; every clone reads and writes the same pages.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Pages>>);

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts all requests from 1.
    pub number: u64,
    /// When it had arrived whole.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path without the query string.
    pub path: String,
    /// Query string, if there was one.
    pub query: Option<String>,
    /// The body: JSON as it is, a form as an object, null when there was none or it was neither.
    pub body: Value,
    /// What it says of what it is part of: the fields `traceparent`, `tracestate`, `baggage`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
    /// Which token it carried (or, for a login, was given), counted from 1 in the order of issue; `None`
    /// without a token this simulator has issued.
    pub token: Option<u64>,
    /// The `ININ-Correlation-Id` of the answer.
    pub correlation_id: String,
    /// The status answered; `None` while nothing was.
    pub status: Option<u16>,
    /// When that was, and so of when the answer is: its body may take longer.
    pub answered_at: Option<Timestamp>,
    /// `Retry-After` of the answer, as it stood there.
    pub retry_after: Option<String>,
    /// The fault that was played on it.
    pub fault: Option<String>,
    /// From arrival until the last byte was handed to the connection, or the caller left; `None` until then.
    #[serde(skip)]
    pub duration: Option<Duration>,
}

impl Entry {
    /// Whether it went to the login service rather than to the API.
    pub fn is_login(&self) -> bool {
        self.path.starts_with("/oauth/")
    }
}

impl Journal {
    /// All requests still held, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.pages().entries.iter().cloned().collect()
    }

    /// How many requests went to paths that begin so.
    pub fn count(&self, path_prefix: &str) -> usize {
        let pages = self.pages();
        let matching = pages.entries.iter().filter(|entry| entry.path.starts_with(path_prefix));
        matching.count()
    }

    /// How many requests were answered with this status.
    pub fn count_status(&self, status: u16) -> usize {
        let pages = self.pages();
        let matching = pages.entries.iter().filter(|entry| entry.status == Some(status));
        matching.count()
    }

    /// The most API requests that arrived within any span of this length (its start inclusive, its end not).
    /// Logins do not count: the platform limits what a token is used for, not how it is got.
    pub fn requests_in_any_window(&self, window: Duration) -> usize {
        let mut arrivals: Vec<_> = self
            .entries()
            .iter()
            .filter(|entry| !entry.is_login())
            .map(|entry| entry.at)
            .collect();
        arrivals.sort_unstable();
        let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
        let mut first = 0;
        let mut most = 0;
        for (last, &arrival) in arrivals.iter().enumerate() {
            while first <= last && arrival.duration_since(arrivals[first]) >= window {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }

    /// The most requests that were under way at the same time.
    pub fn most_simultaneous(&self) -> usize {
        self.pages().most_under_way
    }

    /// Requests under way now.
    pub fn under_way(&self) -> usize {
        self.pages().under_way
    }

    /// Forgets every entry and the highest counts; requests under way go on.
    pub fn clear(&self) {
        let mut pages = self.pages();
        pages.entries.clear();
        pages.most_under_way = pages.under_way;
    }

    /// An empty journal that keeps the newest `bound` entries, or all.
    pub(super) fn new(bound: Option<usize>) -> Self {
        Self(Arc::new(Mutex::new(Pages {
            bound,
            ..Pages::default()
        })))
    }

    /// Writes down a request that has arrived. It is under way until the ticket is dropped.
    pub(super) fn arrived(&self, entry: impl FnOnce(u64) -> Entry) -> Ticket {
        let mut pages = self.pages();
        pages.arrived += 1;
        pages.under_way += 1;
        pages.most_under_way = pages.most_under_way.max(pages.under_way);
        let number = pages.arrived;
        pages.entries.push_back(entry(number));
        if pages.bound.is_some_and(|bound| pages.entries.len() > bound) {
            pages.entries.pop_front();
        }
        Ticket {
            journal: self.clone(),
            number,
            arrived: Instant::now(),
        }
    }

    /// Notes what became of a request, unless its entry has been dropped meanwhile.
    pub(super) fn note(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut pages = self.pages();
        let found = pages.entries.binary_search_by_key(&number, |entry| entry.number);
        if let Some(entry) = found.ok().and_then(|index| pages.entries.get_mut(index)) {
            change(entry);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("writing to the journal does not panic")
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Ticket {
    journal: Journal,
    pub(super) number: u64,
    arrived: Instant,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.journal.pages().under_way -= 1;
        self.journal
            .note(self.number, |entry| entry.duration = Some(self.arrived.elapsed()));
    }
}

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Entry>,
    bound: Option<usize>,
    arrived: u64,
    under_way: usize,
    most_under_way: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: &str, path: &str) -> impl FnOnce(u64) -> Entry {
        let (at, path) = (at.parse().unwrap(), path.to_owned());
        move |number| Entry {
            number,
            at,
            method: "GET".to_owned(),
            path,
            query: None,
            body: Value::Null,
            context: BTreeMap::new(),
            token: None,
            correlation_id: String::new(),
            status: None,
            answered_at: None,
            retry_after: None,
            fault: None,
            duration: None,
        }
    }

    #[test]
    fn the_busiest_window_is_found_wherever_it_lies() {
        let journal = Journal::new(None);
        let arrivals = [
            "10:00:00",
            "10:00:30",
            "10:00:59.999",
            "10:01:00",
            "10:01:29",
            "10:05:00",
        ];
        for time in arrivals {
            journal.arrived(entry(&format!("2024-03-01T{time}Z"), "/api/v2/users"));
        }
        journal.arrived(entry("2024-03-01T10:00:30Z", "/oauth/token"));
        let cases = [(0, 0), (1, 2), (60, 4), (90, 5), (600, 6)];
        for (seconds, expected) in cases {
            assert_eq!(
                journal.requests_in_any_window(Duration::from_secs(seconds)),
                expected,
                "{seconds} s"
            );
        }
    }

    #[test]
    fn counts_what_is_under_way_and_keeps_the_newest() {
        let journal = Journal::new(Some(2));
        let first = journal.arrived(entry("2024-03-01T10:00:00Z", "/a"));
        let second = journal.arrived(entry("2024-03-01T10:00:00Z", "/b"));
        drop(first);
        let third = journal.arrived(entry("2024-03-01T10:00:00Z", "/b/c"));
        journal.note(1, |_| panic!("entry 1 is gone"));
        journal.note(3, |entry| entry.status = Some(200));
        assert_eq!((journal.under_way(), journal.most_simultaneous()), (2, 2));
        drop((second, third));
        assert_eq!((journal.under_way(), journal.most_simultaneous()), (0, 2));
        assert_eq!(
            (journal.count("/a"), journal.count("/b"), journal.count_status(200)),
            (0, 2, 1)
        );
        assert!(journal.entries().iter().all(|entry| entry.duration.is_some()));
    }
}
