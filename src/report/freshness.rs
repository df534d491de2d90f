//! How long an answer stays good, by the age of the data in it and not by one time-to-live.
//!
//! | the range, when it was fetched | state | fresh for | may stand in for a failure for |
//! | --- | --- | --- | --- |
//! | has not ended | open | 30 s | 5 min more, as set |
//! | ended less than the settle window before | warm | a tenth of the time since its end, 1 min to 1 h | 24 h more, as set |
//! | ended longer ago | settled | as long as it is held; readers may keep it for 30 days | |
//! | none: queues and users as they are now | | 5 s | 1 min more |
//! | none: how close the organisation came to its limits | | 1 min | 1 h more |
//! | none: a job of the upstream's, and what it brought | | 1 h | |
//! | none: a listing of names | | 1 h | 7 days more: an old name is better than no row |
//!
//! Just past its freshness, by half of its lifetime and at most a minute, an answer is still given to those who named no
//! bound on its age, while it is asked for again: a crowd of readers waits for nothing.
//!
//! The settle window is how long after a range's end its figures still move: after-call work and late events reach the
//! upstream for up to two days, what is filled in about a conversation for a week.
//!
//! | figures of | settle after, unless set otherwise ([`Windows`]) |
//! | --- | --- |
//! | conversations, users, flows, and what comes of them at once | 48 h |
//! | evaluations, surveys, resolutions, transcripts, cases, work items | 7 days |

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Freshness, OnError};
use crate::query::{Range, Source};

/// What of it can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How long after the end of a range what happened in it may still change, single conversations included.
    pub settle: SignedDuration,
    /// The same of what is filled in about a conversation later.
    pub settle_late: SignedDuration,
    /// How long past its freshness what had not ended may stand in for a failure.
    pub stale_open: Duration,
    /// The same of what had ended.
    pub stale_closed: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            settle: SignedDuration::from_hours(48),
            settle_late: SignedDuration::from_hours(7 * 24),
            stale_open: Duration::from_mins(5),
            stale_closed: Duration::from_hours(24),
        }
    }
}

impl Windows {
    /// How long after the end of a bucket its figures may still change.
    pub(super) const fn settle_of(&self, source: Source) -> SignedDuration {
        match source {
            Source::Conversations
            | Source::Users
            | Source::Flows
            | Source::Actions
            | Source::AgentCopilots
            | Source::AgentUtilizations
            | Source::Bots
            | Source::Copilots
            | Source::FlowExecutions
            | Source::Journeys
            | Source::Knowledge
            | Source::RateLimits
            | Source::Summaries => self.settle,
            Source::Evaluations
            | Source::Surveys
            | Source::CaseManagement
            | Source::Resolutions
            | Source::TaskManagement
            | Source::Transcripts => self.settle_late,
        }
    }

    /// What is known of an answer's age.
    pub(super) const fn dated(self, fetched_at: Timestamp, covers: Covers) -> Dated {
        Dated {
            fetched_at,
            covers,
            windows: self,
        }
    }
}

const OPEN_FOR: Duration = Duration::from_secs(30);
const WARM_AT_LEAST: Duration = Duration::from_mins(1);
const WARM_AT_MOST: Duration = Duration::from_hours(1);
const SETTLED_FOR: Duration = Duration::from_hours(30 * 24);
const NAMES_FOR: Duration = Duration::from_hours(1);
const NOW_FOR: Duration = Duration::from_secs(5);
const JOB_FOR: Duration = Duration::from_hours(1);
const LIMIT_HISTORY_FOR: Duration = Duration::from_mins(1);
const STALE_LIMIT_HISTORY: Duration = Duration::from_hours(1);
const STALE_NOW: Duration = Duration::from_mins(1);
const STALE_NAMES: Duration = Duration::from_hours(7 * 24);

/// How long past its freshness an answer is still given while it is asked for again: half of its lifetime, and no longer
/// than this.
const REVALIDATING_AT_MOST: Duration = Duration::from_mins(1);

/// An answer younger than this satisfies every caller, whatever age they ask for: asking for `max_age=0`
/// must not become a way past the request budget.
const ALWAYS_FRESH: Duration = Duration::from_secs(2);

/// What is known of an answer's age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated {
    /// When the request that brought it was sent.
    pub(super) fetched_at: Timestamp,
    /// What it covers.
    pub(super) covers: Covers,
    /// What it is judged by.
    windows: Windows,
}

/// What an answer covers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Covers {
    /// What happened in a range.
    Figures {
        /// The range it answers for.
        range: Range,
        /// Whether it holds something unfinished (a conversation without an end), however old the range is.
        unfinished: bool,
    },
    /// Figures of a family in a range.
    Aggregates(Source, Range),
    /// What things are called; belongs to no range.
    Names,
    /// How things are at the moment they are asked for.
    Now,
    /// How close the organisation came to its limits.
    LimitHistory,
    /// What a job of the upstream's is called, or what it brought.
    Job,
}

/// Whether a held answer may be given, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Good for everybody for this much longer.
    Fresh(Duration),
    /// Past its freshness by this little: good for those who named no bound, if it is asked for again at once.
    Aging(Duration),
    /// Only if the upstream fails.
    Stale,
    /// Not even then.
    Expired,
}

/// How far figures were from settling when they were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Settling {
    /// What they are about had not ended.
    Open,
    /// It had, and they could still be corrected.
    Warm,
    /// They change no more.
    Settled,
}

impl Settling {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Warm => "warm",
            Self::Settled => "settled",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Warm(Duration),
    Settled,
    Names,
    Now,
    LimitHistory,
    Job,
}

impl Dated {
    /// Judges a held answer for a caller's wish.
    pub(super) fn judge(&self, wish: Freshness, now: Timestamp) -> Verdict {
        let age = self.age(now);
        let lifetime = self.lifetime();
        if self.state() == State::Settled && wish.max_age.is_none() {
            // Asking again would bring the same.
            return Verdict::Fresh(lifetime);
        }
        let wanted = wish.max_age.map_or(lifetime, |age| age.max(ALWAYS_FRESH).min(lifetime));
        if age <= wanted {
            return Verdict::Fresh(lifetime.saturating_sub(age));
        }
        let past = REVALIDATING_AT_MOST.min(lifetime / 2);
        let past = wish.max_stale.map_or(past, |asked| asked.min(past));
        if wish.max_age.is_none() && wish.on_error == OnError::Stale && age <= lifetime + past {
            return Verdict::Aging(age.saturating_sub(lifetime));
        }
        let bound = match self.state() {
            State::Open => self.windows.stale_open,
            State::Warm(_) | State::Settled => self.windows.stale_closed,
            State::Names => STALE_NAMES,
            State::Now => STALE_NOW,
            State::LimitHistory => STALE_LIMIT_HISTORY,
            // It may be gone upstream.
            State::Job => Duration::ZERO,
        };
        if age <= lifetime + wish.max_stale.map_or(bound, |asked| asked.min(bound)) {
            Verdict::Stale
        } else {
            Verdict::Expired
        }
    }

    /// How much longer it is good for everybody; negative by how long it has not been.
    pub(super) fn left(&self, now: Timestamp) -> SignedDuration {
        let signed = |length: Duration| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
        let lifetime = signed(self.lifetime());
        match self.state() {
            State::Settled => lifetime,
            _ => lifetime.saturating_sub(signed(self.age(now))),
        }
    }

    /// How long it stays fresh, counted from when it was fetched.
    pub(super) fn lifetime(&self) -> Duration {
        match self.state() {
            State::Open => OPEN_FOR,
            State::Warm(since_end) => (since_end / 10).clamp(WARM_AT_LEAST, WARM_AT_MOST),
            State::Settled => SETTLED_FOR,
            State::Names => NAMES_FOR,
            State::Now => NOW_FOR,
            State::LimitHistory => LIMIT_HISTORY_FOR,
            State::Job => JOB_FOR,
        }
    }

    /// How far its figures were from settling when it was fetched.
    pub(super) fn settling(&self) -> Settling {
        match self.state() {
            State::Open | State::Now | State::LimitHistory => Settling::Open,
            State::Warm(_) => Settling::Warm,
            State::Settled | State::Names | State::Job => Settling::Settled,
        }
    }

    /// How old it is. What is from an instant still to come was fetched before the clock was set back, and how long before
    /// nobody knows: it counts as old as it is ahead.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        now.duration_since(self.fetched_at).unsigned_abs()
    }

    /// Whether its figures have settled.
    pub(super) fn complete(&self) -> bool {
        // Names and observations have nothing that settles: they are whole when they are there.
        matches!(
            self.state(),
            State::Settled | State::Names | State::Now | State::LimitHistory | State::Job
        )
    }

    /// The instant up to which its figures no longer change, within its range.
    pub(super) fn settled_through(&self) -> Timestamp {
        let settled = |range: Range, window: SignedDuration| (self.fetched_at - window).clamp(range.start, range.end);
        match self.covers {
            // When what is unfinished began is not known.
            Covers::Figures {
                range,
                unfinished: true,
            } => range.start,
            Covers::Figures { range, .. } => settled(range, self.windows.settle),
            Covers::Aggregates(source, range) => settled(range, self.windows.settle_of(source)),
            Covers::Names | Covers::Now | Covers::LimitHistory | Covers::Job => self.fetched_at,
        }
    }

    fn state(&self) -> State {
        let (range, unfinished, window) = match self.covers {
            Covers::Figures { range, unfinished } => (range, unfinished, self.windows.settle),
            Covers::Aggregates(source, range) => (range, false, self.windows.settle_of(source)),
            Covers::Names => return State::Names,
            Covers::Now => return State::Now,
            Covers::LimitHistory => return State::LimitHistory,
            Covers::Job => return State::Job,
        };
        let since_end = self.fetched_at.duration_since(range.end);
        match Duration::try_from(since_end) {
            Err(_) => State::Open,
            Ok(_) if unfinished => State::Open,
            Ok(_) if since_end >= window => State::Settled,
            Ok(since_end) => State::Warm(since_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const DAY: Range = Range {
        start: Timestamp::constant(1_772_323_200, 0),
        end: Timestamp::constant(1_772_409_600, 0),
    };

    fn dated(fetched_at: &str) -> Dated {
        let covers = Covers::Figures {
            range: DAY,
            unfinished: false,
        };
        Windows::default().dated(at(fetched_at), covers)
    }

    #[test]
    fn lifetime_follows_the_age_of_the_data() {
        for (fetched_at, seconds, complete, settled_through) in [
            ("2026-03-01T12:00:00Z", 30, false, "2026-03-01T00:00:00Z"),
            ("2026-03-02T00:00:00Z", 60, false, "2026-03-01T00:00:00Z"),
            ("2026-03-02T00:20:00Z", 120, false, "2026-03-01T00:00:00Z"),
            ("2026-03-03T12:00:00Z", HOUR, false, "2026-03-01T12:00:00Z"),
            ("2026-03-03T23:59:59Z", HOUR, false, "2026-03-01T23:59:59Z"),
            ("2026-03-04T00:00:00Z", 30 * 24 * HOUR, true, "2026-03-02T00:00:00Z"),
            ("2026-04-04T00:00:00Z", 30 * 24 * HOUR, true, "2026-03-02T00:00:00Z"),
        ] {
            let dated = dated(fetched_at);
            assert_eq!(dated.lifetime(), Duration::from_secs(seconds), "{fetched_at}");
            assert_eq!(dated.complete(), complete, "{fetched_at}");
            assert_eq!(dated.settled_through(), at(settled_through), "{fetched_at}");
        }
    }

    #[test]
    fn the_documented_windows_are_those_that_hold() {
        let page = include_str!("../../docs/caching.md");
        let (_, table) = page.split_once("| figures of | settle after |").unwrap();
        let mut documented = Vec::new();
        for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let window: jiff::Span = cells[2].parse().unwrap();
            let hours = i64::from(window.get_hours()) + 24 * i64::from(window.get_days());
            documented.extend(cells[1].split(", ").map(|name| (Source::named(name).unwrap(), hours)));
        }
        let held = Source::ALL.map(|source| (source, Windows::default().settle_of(source).as_hours()));
        documented.sort_unstable();
        assert_eq!(documented, held);
    }

    #[test]
    fn something_unfinished_stays_open_however_old() {
        let dated = Dated {
            covers: Covers::Figures {
                range: DAY,
                unfinished: true,
            },
            ..dated("2026-04-04T00:00:00Z")
        };
        assert_eq!((dated.lifetime(), dated.complete()), (OPEN_FOR, false));
        assert_eq!(dated.settled_through(), DAY.start, "it may have begun with the day");
    }

    #[test]
    fn the_windows_that_are_set_are_those_that_hold() {
        let set = Windows {
            settle: SignedDuration::from_hours(3),
            settle_late: SignedDuration::from_hours(5),
            stale_open: Duration::from_secs(7),
            stale_closed: Duration::from_secs(9),
        };
        let figures = Covers::Figures {
            range: DAY,
            unfinished: false,
        };
        let (calls, surveys) = (
            Covers::Aggregates(Source::Conversations, DAY),
            Covers::Aggregates(Source::Surveys, DAY),
        );
        for (covers, settles) in [
            (figures, "2026-03-02T03:00:00Z"),
            (calls, "2026-03-02T03:00:00Z"),
            (surveys, "2026-03-02T05:00:00Z"),
        ] {
            let moment = SignedDuration::from_secs(1);
            let [before, after] = [at(settles) - moment, at(settles)].map(|then| set.dated(then, covers));
            assert_eq!((before.complete(), after.complete()), (false, true), "{covers:?}");
            assert_eq!(before.settled_through(), DAY.end - moment, "{covers:?}");
            assert_eq!(after.settled_through(), DAY.end, "{covers:?}");
        }
        for (fetched_at, bound) in [("2026-03-01T12:00:00Z", 7), ("2026-03-02T00:00:00Z", 9)] {
            let dated = set.dated(at(fetched_at), figures);
            let expires = dated.fetched_at + dated.lifetime() + Duration::from_secs(bound);
            let judged = |now| {
                let wish = Freshness {
                    on_error: OnError::Fail,
                    ..Freshness::default()
                };
                dated.judge(wish, now)
            };
            assert_eq!(judged(expires), Verdict::Stale, "{fetched_at}");
            assert_eq!(
                judged(expires + Duration::from_secs(1)),
                Verdict::Expired,
                "{fetched_at}"
            );
        }
    }

    #[test]
    fn a_held_answer_is_fresh_then_stale_then_expired() {
        let seconds = Duration::from_secs;
        let wish = Freshness::default();
        let strict = Freshness {
            max_age: Some(seconds(0)),
            ..wish
        };
        let failing = Freshness {
            on_error: OnError::Fail,
            ..wish
        };
        let bounded = Freshness {
            max_stale: Some(seconds(10)),
            ..wish
        };
        for (wish, now, verdict) in [
            (wish, "2026-03-01T12:00:00Z", Verdict::Fresh(seconds(30))),
            (wish, "2026-03-01T12:00:30Z", Verdict::Fresh(seconds(0))),
            (wish, "2026-03-01T12:00:31Z", Verdict::Aging(seconds(1))),
            (wish, "2026-03-01T12:00:45Z", Verdict::Aging(seconds(15))),
            (wish, "2026-03-01T12:00:46Z", Verdict::Stale),
            (failing, "2026-03-01T12:00:31Z", Verdict::Stale),
            (wish, "2026-03-01T12:05:30Z", Verdict::Stale),
            (wish, "2026-03-01T12:05:31Z", Verdict::Expired),
            // A clock that was set back.
            (wish, "2026-03-01T11:59:50Z", Verdict::Fresh(seconds(20))),
            (wish, "2026-03-01T11:59:00Z", Verdict::Stale),
            (wish, "2026-03-01T11:54:29Z", Verdict::Expired),
            (strict, "2026-03-01T12:00:02Z", Verdict::Fresh(seconds(28))),
            (strict, "2026-03-01T12:00:03Z", Verdict::Stale),
            (bounded, "2026-03-01T12:00:40Z", Verdict::Aging(seconds(10))),
            (bounded, "2026-03-01T12:00:41Z", Verdict::Expired),
        ] {
            let judged = dated("2026-03-01T12:00:00Z").judge(wish, at(now));
            assert_eq!(judged, verdict, "{wish:?} at {now}");
        }
    }
}
