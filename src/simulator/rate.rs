//! The platform's request limit: so many requests per token and minute.
//!
//! A fixed window, as the vendor's old headers showed it: the count starts over with every minute of the
//! clock, and a refused request is told how long that is away.

use std::{collections::HashMap, sync::Mutex};

use jiff::Timestamp;

use super::login::TokenNumber;

/// Counts requests by token.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Requests one token may make in one minute.
    pub(super) per_minute: u32,
    windows: Mutex<HashMap<TokenNumber, Window>>,
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
