//! `start/end`, as the upstream takes it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::query::Range;

/// The range of two instants in whole milliseconds; `None` for anything else, which the upstream may yet understand.
pub(super) fn of(interval: &Value) -> Option<Range> {
    let (start, end) = interval.as_str()?.split_once('/')?;
    let instant = |text: &str| {
        let instant: Timestamp = text.parse().ok()?;
        (instant.subsec_nanosecond() % 1_000_000 == 0).then_some(instant)
    };
    Range::new(instant(start)?, instant(end)?)
}

/// From the beginning of the first UTC day it touches to the end of the last.
pub(super) fn whole_days(range: Range) -> Range {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let midnight = |instant: Timestamp| {
        let second = instant.as_second();
        Timestamp::from_second(second - second.rem_euclid(DAY.as_secs())).unwrap_or(instant)
    };
    let last = range
        .end
        .saturating_sub(SignedDuration::from_millis(1))
        .unwrap_or(range.end);
    let end = midnight(last).saturating_add(DAY).unwrap_or(Timestamp::MAX);
    Range {
        start: midnight(range.start),
        end,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn intervals_are_two_instants_and_days_are_whole() {
        for (text, range, days) in [
            (
                "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z",
                Some("2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z"),
                "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z",
            ),
            (
                "2026-03-01T23:30:00+01:00/2026-03-02T00:00:00.001Z",
                Some("2026-03-01T22:30:00.000Z/2026-03-02T00:00:00.001Z"),
                "2026-03-01T00:00:00.000Z/2026-03-03T00:00:00.000Z",
            ),
            ("2026-03-01T00:00:00Z/P1D", None, ""),
            ("2026-03-02T00:00:00Z/2026-03-01T00:00:00Z", None, ""),
            ("2026-03-01T00:00:00.0001Z/2026-03-02T00:00:00Z", None, ""),
            ("2026-03-01", None, ""),
        ] {
            let found = of(&json!(text));
            assert_eq!(found.map(|range| range.to_string()).as_deref(), range, "{text}");
            if let Some(found) = found {
                assert_eq!(whole_days(found).to_string(), days, "{text}");
            }
        }
        assert_eq!(of(&json!(7)), None);
    }
}
