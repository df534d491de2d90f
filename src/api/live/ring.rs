//! The last few events of a board, for all who watch it: each reads at its own pace, and who falls behind what is kept
//! has lost the thread.

use std::{collections::VecDeque, time::Duration};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

/// Events kept: a listener may be that far behind, and may come back after that many.
const EVENTS: usize = 12;
/// And no more than these bytes of them, but for the newest two.
const EVENT_BYTES: usize = 256 << 10;

/// The last events of a board, numbered from 1 without gaps.
#[derive(Debug)]
pub(super) struct Ring {
    /// What its events' ids begin with.
    name: String,
    events: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the newest event; 0 before the first.
    newest: u64,
    newest_at: Instant,
    figures: Option<Figures>,
}

/// The newest event with figures. Those after it tell of failures.
#[derive(Clone, Debug)]
struct Figures {
    number: u64,
    event: Bytes,
    as_of: Timestamp,
}

/// What a listener reads next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The event of that number.
    Event(u64, Bytes),
    /// There is none yet.
    Nothing,
    /// It is not kept any more.
    Lost,
}

/// Where a listener begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// What it is given first.
    pub(super) events: Vec<Bytes>,
    /// The number of the event it goes on after.
    pub(super) after: u64,
}

impl Ring {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            events: VecDeque::new(),
            bytes: 0,
            newest: 0,
            newest_at: Instant::now(),
            figures: None,
        }
    }

    /// The id of the event that is written next.
    pub(super) fn next_id(&self) -> String {
        format!("{}-{}", self.name, self.newest + 1)
    }

    /// When the figures were fetched that were told last.
    pub(super) fn as_of(&self) -> Option<Timestamp> {
        self.figures.as_ref().map(|figures| figures.as_of)
    }

    /// Adds figures, as of when they were fetched.
    pub(super) fn tell(&mut self, event: Bytes, as_of: Timestamp) {
        self.figures = Some(Figures {
            number: self.newest + 1,
            event: event.clone(),
            as_of,
        });
        self.push(event);
    }

    /// Adds an event without figures.
    pub(super) fn push(&mut self, event: Bytes) {
        self.newest += 1;
        self.newest_at = Instant::now();
        self.bytes += event.len();
        self.events.push_back(event);
        while self.events.len() > EVENTS || (self.bytes > EVENT_BYTES && self.events.len() > 2) {
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |event| event.len());
        }
    }

    pub(super) fn after(&self, number: u64) -> Next {
        let behind = usize::try_from(self.newest.saturating_sub(number)).unwrap_or(usize::MAX);
        if behind == 0 {
            return Next::Nothing;
        }
        let place = self.events.len().checked_sub(behind);
        match place.and_then(|place| self.events.get(place)) {
            Some(event) => Next::Event(number + 1, event.clone()),
            None => Next::Lost,
        }
    }

    /// Where a listener begins who says which event it saw last, if any. What it missed it is given, if that is still
    /// kept; else the figures of the moment, unless they are older than `recent`, and whether they are stale.
    pub(super) fn join(&self, last_seen: Option<&str>, recent: Duration) -> Beginning {
        let seen = last_seen
            .and_then(|id| id.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok())
            .filter(|number| *number <= self.newest && self.after(*number) != Next::Lost);
        if let Some(after) = seen {
            return Beginning {
                events: Vec::new(),
                after,
            };
        }
        let mut events = Vec::new();
        if self.newest_at.elapsed() <= recent {
            let figures = self.figures.as_ref();
            events.extend(figures.map(|figures| figures.event.clone()));
            if figures.is_none_or(|figures| figures.number < self.newest) {
                events.extend(self.events.back().cloned());
            }
        }
        Beginning {
            events,
            after: self.newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECENT: Duration = Duration::from_secs(15);

    fn text(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn ring(numbers: u64) -> Ring {
        let mut ring = Ring::new("x".to_owned());
        for number in 1..=numbers {
            assert_eq!(ring.next_id(), format!("x-{number}"));
            ring.tell(text(&number.to_string()), Timestamp::UNIX_EPOCH);
        }
        ring
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_reads_the_same_sequence_until_it_is_lost() {
        let ring = ring(20);
        for (after, expected) in [
            (20, Next::Nothing),
            (99, Next::Nothing),
            (19, Next::Event(20, text("20"))),
            (8, Next::Event(9, text("9"))),
            (7, Next::Lost),
            (0, Next::Lost),
        ] {
            assert_eq!(ring.after(after), expected, "after {after}");
        }
        assert_eq!(Ring::new(String::new()).after(0), Next::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn large_events_are_kept_in_smaller_numbers() {
        let mut ring = Ring::new("x".to_owned());
        for (bytes, kept) in [
            (100, 1),
            (EVENT_BYTES, 2),
            (EVENT_BYTES, 2),
            (100, 2),
            (100, 2),
            (100, 3),
        ] {
            ring.push(Bytes::from(vec![b' '; bytes]));
            assert_eq!(ring.events.len(), kept);
            assert_eq!(ring.bytes, ring.events.iter().map(Bytes::len).sum::<usize>());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_begins_with_the_moment_or_with_what_it_missed() {
        let mut ring = ring(20);
        let begin = |ring: &Ring, last_seen: Option<&str>| {
            let Beginning { events, after } = ring.join(last_seen, RECENT);
            let events: Vec<_> = events
                .iter()
                .map(|event| String::from_utf8_lossy(event).into_owned())
                .collect();
            (events.join(","), after)
        };
        let now = ("20".to_owned(), 20);
        for (last_seen, expected) in [
            (None, now.clone()),
            (Some("x-20"), (String::new(), 20)),
            (Some("x-12"), (String::new(), 12)),
            // Not kept, not of this board, not yet, no id at all.
            (Some("x-2"), now.clone()),
            (Some("y-12"), now.clone()),
            (Some("x-21"), now.clone()),
            (Some(""), now.clone()),
        ] {
            assert_eq!(begin(&ring, last_seen), expected, "{last_seen:?}");
        }
        // However long a failure lasts, the last figures are not forgotten.
        for failure in 1..=20 {
            ring.push(text(&format!("stale {failure}")));
        }
        assert_eq!(begin(&ring, None), ("20,stale 20".to_owned(), 40));
        tokio::time::advance(RECENT + Duration::from_millis(1)).await;
        assert_eq!(begin(&ring, None), (String::new(), 40), "nobody has been looking");
    }
}
