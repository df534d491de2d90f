//! Whether and when to ask again: pure policy, from what went wrong to what to do.
//!
//! | what went wrong | what is done |
//! | --- | --- |
//! | 429 | the wait it asks for, exactly, if that ends before the deadline |
//! | 408, 502, 503, 504, no connection, cut, nonsense, too slow | backoff, up to the attempts allowed |
//! | 500 | backoff, once |
//! | closed before any byte of an answer | at once, once, free of charge; then as no connection |
//! | no token because the login service fails | backoff of at least a second |
//! | 401 | at once with a new token, once |
//! | anything else | never |

use std::time::Duration;

use jiff::Timestamp;

/// The first backoff's bound.
const SHORTEST: Duration = Duration::from_millis(100);
/// The bound of all backoffs.
const LONGEST: Duration = Duration::from_secs(5);
/// A failed mint is shared by whoever asks within this time.
const TOKEN_PAUSE: Duration = Duration::from_secs(1);
/// 429s of one request before it gives up whatever its deadline.
const MOST_THROTTLES: u32 = 10;
/// The longest a single `Retry-After` can silence the whole service.
const LONGEST_THROTTLE: Duration = Duration::from_hours(1);

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// 429, with the wait it asks for if that could be read.
    Throttled(Option<Duration>),
    /// Gone for now, with the wait it asks for, if any.
    Unavailable(Option<Duration>),
    /// 500.
    Broken,
    /// The connection closed before any byte of an answer, for the first time.
    Stale,
    /// The login service failed.
    NoToken,
    /// 401, with the generation of the token refused.
    TokenRefused(u64),
    /// Asking again would change nothing, or there is no time left.
    Final,
}

/// What went wrong so far with one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    failures: u32,
    breakages: u32,
    throttles: u32,
    pub(super) stale: bool,
    replayed: bool,
    /// How often it was sent.
    pub(super) sent: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait, then ask again, charged to the service's retry budget.
    Retry(Duration),
    /// Ask again now, free of charge.
    Again,
    /// Nobody asks for this long; then ask again.
    Hold(Duration),
    /// Nobody asks for this long; the caller cannot wait for it.
    HoldAndGiveUp(Duration),
    /// Replace the token of this generation, then ask again.
    NewToken(u64),
    /// Tell the caller.
    GiveUp,
}

/// Judges a failed attempt. `remaining` is the time to the caller's deadline, `jitter` lies in `[0, 1)`.
pub(super) fn judge(trouble: Trouble, tries: Tries, max_attempts: u32, remaining: Duration, jitter: f64) -> Verdict {
    let retry = |least: Duration| {
        let wait = backoff(tries.failures, jitter).max(least);
        if tries.failures + 1 < max_attempts && wait < remaining {
            Verdict::Retry(wait)
        } else {
            Verdict::GiveUp
        }
    };
    match trouble {
        Trouble::TokenRefused(generation) if !tries.replayed => Verdict::NewToken(generation),
        Trouble::TokenRefused(_) | Trouble::Final => Verdict::GiveUp,
        Trouble::Stale => Verdict::Again,
        Trouble::Broken if tries.breakages > 0 => Verdict::GiveUp,
        Trouble::Broken => retry(Duration::ZERO),
        Trouble::Unavailable(asked) => retry(asked.unwrap_or_default()),
        Trouble::NoToken => retry(TOKEN_PAUSE),
        Trouble::Throttled(asked) => {
            let wait = asked
                .unwrap_or_else(|| backoff(tries.throttles, jitter))
                .min(LONGEST_THROTTLE);
            if wait < remaining && tries.throttles + 1 < MOST_THROTTLES {
                Verdict::Hold(wait)
            } else {
                Verdict::HoldAndGiveUp(wait)
            }
        }
    }
}

impl Trouble {
    /// The label of metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Throttled(_) => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Broken => "broken",
            Self::Stale => "closed",
            Self::NoToken => "no_token",
            Self::TokenRefused(_) => "token_refused",
            Self::Final => "refused",
        }
    }
}

impl Tries {
    /// The tries after one more failed attempt.
    pub(super) fn and(mut self, trouble: Trouble) -> Self {
        self.sent += u32::from(trouble != Trouble::NoToken);
        match trouble {
            Trouble::Unavailable(_) | Trouble::NoToken => self.failures += 1,
            Trouble::Broken => {
                self.failures += 1;
                self.breakages += 1;
            }
            Trouble::Throttled(_) => self.throttles += 1,
            Trouble::Stale => self.stale = true,
            Trouble::TokenRefused(_) => self.replayed = true,
            Trouble::Final => {}
        }
        self
    }
}

/// Full jitter: anywhere between nothing and a bound that doubles from [`SHORTEST`] to [`LONGEST`].
fn backoff(failures: u32, jitter: f64) -> Duration {
    SHORTEST
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST)
        .mul_f64(jitter)
}

/// The wait `Retry-After` asks for: whole seconds or an HTTP date; a date that has passed means now.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time too; the policy bounds it.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(header).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn what_retry_after_asks_for() {
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        for (header, seconds) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999", Some(99_999)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Mon, 02 Mar 2026 10:00:42 GMT", Some(42)),
            ("Mon, 02 Mar 2026 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    /// The whole policy as one table, to be read in review.
    #[test]
    fn policy() {
        let second = Duration::from_secs(1);
        let mut table = String::new();
        for trouble in [
            Trouble::Throttled(Some(7 * second)),
            Trouble::Throttled(Some(Duration::ZERO)),
            Trouble::Throttled(Some(30 * second)),
            Trouble::Throttled(Some(99_999 * second)),
            Trouble::Throttled(None),
            Trouble::Unavailable(None),
            Trouble::Unavailable(Some(2 * second)),
            Trouble::Unavailable(Some(30 * second)),
            Trouble::Broken,
            Trouble::Stale,
            Trouble::NoToken,
            Trouble::TokenRefused(3),
            Trouble::Final,
        ] {
            let mut tries = Tries::default();
            let mut verdicts = Vec::new();
            for _ in 0..4 {
                verdicts.push(format!("{:?}", judge(trouble, tries, 4, 30 * second, 0.5)));
                tries = tries.and(trouble);
            }
            writeln!(table, "{trouble:?}: {}", verdicts.join(", ")).unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_wait_that_does_not_end_before_the_deadline_is_not_begun() {
        let ms = Duration::from_millis;
        for (remaining, verdict) in [(ms(50), Verdict::GiveUp), (ms(51), Verdict::Retry(ms(50)))] {
            let judged = judge(Trouble::Unavailable(None), Tries::default(), 3, remaining, 0.5);
            assert_eq!(judged, verdict);
        }
    }

    #[test]
    fn backoff_doubles_to_its_bound_and_jitter_spans_it() {
        for (failures, most) in [(0, 100), (1, 200), (5, 3200), (6, 5000), (40, 5000)] {
            assert_eq!(backoff(failures, 0.0), Duration::ZERO);
            assert_eq!(backoff(failures, 0.5), Duration::from_millis(most) / 2);
        }
    }
}
