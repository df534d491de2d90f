//! The platform's request limit: so many requests per token and minute.
//!
//! A fixed window, as the vendor's old headers showed it: the count starts over with every minute of the
//! clock, and a refused request is told how long that is away. Minutes in which nine tenths of it or more were used are
//! recorded, for an hour and more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use jiff::Timestamp;

use super::{login::TokenNumber, organisation::rate_limits::Recorded};

/// Minutes kept: a day.
const MINUTES_RECORDED: usize = 1440;

/// Counts requests by token.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Requests one token may make in one minute.
    pub(super) per_minute: u32,
    windows: Mutex<HashMap<TokenNumber, Window>>,
    /// The most requests of one token, by minute.
    recorded: Mutex<BTreeMap<i64, u32>>,
}

/// One token's current minute, counted from the epoch, and the requests made in it.
#[derive(Clone, Copy, Debug)]
struct Window {
    minute: i64,
    requests: u32,
}

impl RateLimit {
    /// A limit of so many requests per token and minute.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            windows: Mutex::default(),
            recorded: Mutex::default(),
        }
    }

    /// Counts a request, or says in how many whole seconds the next window opens (1 to 60).
    pub(super) fn admit(&self, token: TokenNumber, now: Timestamp) -> Result<(), u64> {
        let (minute, elapsed_ms) = (
            now.as_millisecond().div_euclid(60_000),
            now.as_millisecond().rem_euclid(60_000),
        );
        let mut windows = self.windows.lock().expect("counting does not panic");
        let window = windows.entry(token).or_insert(Window { minute, requests: 0 });
        if window.minute != minute {
            *window = Window { minute, requests: 0 };
        }
        if window.requests >= self.per_minute {
            return Err((60_000 - elapsed_ms).unsigned_abs().div_ceil(1_000));
        }
        window.requests += 1;
        if u64::from(window.requests) * 10 >= u64::from(self.per_minute) * 9 {
            let mut recorded = self.recorded.lock().expect("counting does not panic");
            let most = recorded.entry(minute).or_default();
            *most = window.requests.max(*most);
            if recorded.len() > MINUTES_RECORDED {
                recorded.pop_first();
            }
        }
        Ok(())
    }

    /// The minutes in which the limit came close.
    pub(super) fn recorded(&self) -> Vec<Recorded> {
        let recorded = self.recorded.lock().expect("counting does not panic");
        let recorded = recorded.iter().map(|(minute, requests)| Recorded {
            at: minute * 60_000,
            requests: *requests,
        });
        recorded.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_that_come_close_are_recorded() {
        let limit = RateLimit::new(10);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (minute, requests) in [("10:00", 8), ("10:01", 9), ("10:02", 12)] {
            for _ in 0..requests {
                let _ = limit.admit(TokenNumber(1), at(&format!("2024-03-01T{minute}:30Z")));
            }
        }
        let start = at("2024-03-01T10:00:00Z").as_millisecond();
        let recorded = limit
            .recorded()
            .into_iter()
            .map(|one| ((one.at - start) / 60_000, one.requests));
        assert_eq!(recorded.collect::<Vec<_>>(), [(1, 9), (2, 10)]);
    }

    #[test]
    fn each_token_has_its_count_per_clock_minute() {
        let limit = RateLimit::new(2);
        let (first, second) = (TokenNumber(1), TokenNumber(2));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let steps = [
            (first, "2024-03-01T10:00:17.250Z", Ok(())),
            (first, "2024-03-01T10:00:17.250Z", Ok(())),
            (first, "2024-03-01T10:00:17.250Z", Err(43)),
            (second, "2024-03-01T10:00:18Z", Ok(())),
            (first, "2024-03-01T10:00:59.999Z", Err(1)),
            (first, "2024-03-01T10:01:00Z", Ok(())),
            (first, "2024-03-01T10:01:00Z", Ok(())),
            (first, "2024-03-01T10:01:00Z", Err(60)),
        ];
        for (token, now, expected) in steps {
            assert_eq!(limit.admit(token, at(now)), expected, "{token:?} at {now}");
        }
    }
}
