//! Instants as people write them: ISO dates and times, `now-1d/d`, `yesterday`.
//!
//! Everything here resolves in the zone of the query. What the words mean:
//!
//! - `now` is the present minute, rounded down: whoever asks within the same minute asks the same question. A range that
//!   ends with it ends with whatever has happened when it is looked up.
//!   It takes any number of steps: `-7d` or `+6h` moves by calendar units (`s m h d w M y`; days and longer
//!   keep the time of day over clock changes), `/d` goes back to the start of the day (`/w`: Monday).
//! - A named range (`today`, `yesterday`, `this-week`, `last-month`, …; `last7d`, `last24h`, … reach back from
//!   `now`) stands for its start in `dateFrom` and for its end in `dateTo`; alone in `dateFrom`, for both.
//! - An ISO date is the start of that day; a date and time without offset is the zone's.
//! - Thirteen digits are milliseconds since 1970, as dashboards fill them in for the range they show.
//! - The end `23:59:59.999` means the next full second, as ranges are half-open.

use jiff::{
    RoundMode, SignedDuration, Span, Timestamp, Unit, ZonedDateTime, ZonedDateTimeRound,
    civil::{Date, DateTime},
};

use super::{Range, Zone};

/// Which end of a range a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first instant.
    Start,
    /// The first instant past it.
    End,
}

/// Why a text is no instant, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAMoment {
    /// What is wrong.
    pub detail: String,
    /// What would have been right, when that can be guessed.
    pub suggestion: Option<String>,
}

/// The names of ranges, for suggestions and documents; `last7d` stands for all of its kind.
pub const RANGE_NAMES: [&str; 14] = [
    "today",
    "yesterday",
    "tomorrow",
    "this-week",
    "last-week",
    "this-month",
    "last-month",
    "this-year",
    "last-year",
    "last24h",
    "last7d",
    "last30d",
    "last90d",
    "last12M",
];

/// The longest text looked at.
const MAX_LENGTH: usize = 64;

/// Both ends of a range as written. Without an end, a named range is itself and anything else reaches to `now`.
pub fn range(from: &str, to: Option<&str>, now: Timestamp, zone: &Zone) -> [Result<Timestamp, NotAMoment>; 2] {
    let end = match to {
        Some(to) => moment(to, Edge::End, now, zone),
        None if named_range(from, now, zone).is_some() => moment(from, Edge::End, now, zone),
        None => moment("now", Edge::End, now, zone),
    };
    [moment(from, Edge::Start, now, zone), end]
}

/// Whether a range as written ends with the present: at `now`, or as a `last7d` does.
pub fn ends_now(from: &str, to: Option<&str>) -> bool {
    let ends_a_span = |name: &str| name.starts_with("last") && !name.starts_with("last-");
    match to {
        Some(to) => to == "now" || ends_a_span(to),
        None => {
            ends_a_span(from) || !from.starts_with(|first: char| first.is_ascii_alphabetic()) || from.starts_with("now")
        }
    }
}

/// One end of a range as written.
pub fn moment(text: &str, edge: Edge, now: Timestamp, zone: &Zone) -> Result<Timestamp, NotAMoment> {
    if text.len() > MAX_LENGTH {
        return Err(not_a_moment("this is too long for a date", None));
    }
    let instant = match named_range(text, now, zone) {
        Some(range) => match edge {
            Edge::Start => range.start,
            Edge::End => range.end,
        },
        None => match text.strip_prefix("now") {
            Some(steps) => relative(steps, now, zone)?,
            None => absolute(text, edge, zone)?,
        },
    };
    if instant < EARLIEST || instant > LATEST {
        return Err(not_a_moment("dates lie between 1970 and 2200", None));
    }
    Ok(instant)
}

const EARLIEST: Timestamp = Timestamp::constant(0, 0);
/// 2200-01-01T00:00:00Z: within what every encoding and the upstream's own spelling can hold.
const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0);

/// The range of that name, if it is one.
fn named_range(name: &str, now: Timestamp, zone: &Zone) -> Option<Range> {
    let now = present_minute(now, zone);
    let (floor, unit, offset) = match name {
        "today" => ('d', Span::new().days(1), 0),
        "yesterday" => ('d', Span::new().days(1), -1),
        "tomorrow" => ('d', Span::new().days(1), 1),
        "this-week" => ('w', Span::new().weeks(1), 0),
        "last-week" => ('w', Span::new().weeks(1), -1),
        "this-month" => ('M', Span::new().months(1), 0),
        "last-month" => ('M', Span::new().months(1), -1),
        "this-year" => ('y', Span::new().years(1), 0),
        "last-year" => ('y', Span::new().years(1), -1),
        _ => {
            let (span, rest) = span_of(name.strip_prefix("last")?)?;
            let start = now.checked_sub(span).ok().filter(|_| rest.is_empty())?;
            return Range::new(start.timestamp(), now.timestamp());
        }
    };
    // Floored again after moving, as midnight may not exist where one lands.
    let edge = |steps: i64| {
        round_down(
            &round_down(&now, floor)?
                .checked_add(unit.checked_mul(steps).ok()?)
                .ok()?,
            floor,
        )
    };
    Range::new(edge(offset)?.timestamp(), edge(offset + 1)?.timestamp())
}

/// `now` and its steps.
fn relative(steps: &str, now: Timestamp, zone: &Zone) -> Result<Timestamp, NotAMoment> {
    let wrong = || {
        let detail = "after now come steps such as -7d, +6h or /d (units s m h d w M y; m are minutes, M months)";
        not_a_moment(detail, Some("now-7d"))
    };
    let mut instant = present_minute(now, zone);
    let mut rest = steps;
    while let Some(step) = rest.chars().next() {
        rest = &rest[step.len_utf8()..];
        let moved = match step {
            '/' => {
                let unit = rest.chars().next().ok_or_else(wrong)?;
                rest = &rest[unit.len_utf8()..];
                round_down(&instant, unit)
            }
            // A plus sign in a URL that was not encoded arrives as a space.
            '-' | '+' | ' ' => {
                let (span, after) = span_of(rest).ok_or_else(wrong)?;
                rest = after;
                let span = if step == '-' { span.negate() } else { span };
                instant.checked_add(span).ok()
            }
            _ => None,
        };
        instant = moved.ok_or_else(wrong)?;
    }
    Ok(instant.timestamp())
}

/// A count and unit at the start of a text, and what follows it.
fn span_of(text: &str) -> Option<(Span, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u16 = text[..digits].parse().ok()?;
    let unit = text[digits..].chars().next()?;
    let span = match unit {
        's' => Span::new().seconds(count),
        'm' => Span::new().minutes(count),
        'h' => Span::new().hours(count),
        'd' => Span::new().days(count),
        'w' => Span::new().weeks(count),
        'M' => Span::new().months(count),
        // The calendar holds fewer than ten thousand years.
        'y' if count < 10_000 => Span::new().years(count),
        _ => return None,
    };
    Some((span, &text[digits + unit.len_utf8()..]))
}

/// The start of the second, minute, hour, day, week, month or year around an instant.
fn round_down(instant: &ZonedDateTime, unit: char) -> Option<ZonedDateTime> {
    let floor = |unit| {
        instant
            .round(ZonedDateTimeRound::new().smallest(unit).mode(RoundMode::Floor))
            .ok()
    };
    match unit {
        's' => floor(Unit::Second),
        'm' => floor(Unit::Minute),
        'h' => floor(Unit::Hour),
        'd' => instant.start_of_day().ok(),
        'w' => {
            let past_monday = Span::new().days(instant.weekday().to_monday_zero_offset());
            instant.checked_sub(past_monday).ok()?.start_of_day().ok()
        }
        'M' => instant.first_of_month().ok()?.start_of_day().ok(),
        'y' => instant.first_of_year().ok()?.start_of_day().ok(),
        _ => None,
    }
}

fn present_minute(now: Timestamp, zone: &Zone) -> ZonedDateTime {
    let second = now.as_second();
    let minute = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(now);
    minute.to_zoned_datetime(zone.rules().clone())
}

/// Digits of milliseconds since 1970, from 2001 to 2286.
const EPOCH_DIGITS: usize = 13;

/// An ISO date, or date and time, with or without an offset; or milliseconds since 1970.
fn absolute(text: &str, edge: Edge, zone: &Zone) -> Result<Timestamp, NotAMoment> {
    let allowed = |byte: u8| byte.is_ascii_digit() || b"-:.+TZtz ".contains(&byte);
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let instant = if text.len() == EPOCH_DIGITS && is_number {
        text.parse()
            .ok()
            .and_then(|millisecond| Timestamp::from_millisecond(millisecond).ok())
    } else if text.bytes().all(allowed) && text.as_bytes().get(4) == Some(&b'-') {
        let with_offset = text.parse::<Timestamp>().ok();
        let local = || {
            text.parse::<DateTime>()
                .ok()
                .and_then(|local| zone.rules().to_timestamp(local).ok())
        };
        let date = || text.parse::<Date>().ok().and_then(|date| zone.start_of_day(date));
        with_offset.or_else(local).or_else(date)
    } else {
        None
    };
    let instant = instant.ok_or_else(|| unreadable(text))?;
    whole_millisecond(instant, edge).ok_or_else(|| unreadable(text))
}

fn unreadable(text: &str) -> NotAMoment {
    let detail = "this is neither an ISO date and time, nor relative (now-7d), nor the name of a range";
    let suggestion = match text.rsplit_once(' ') {
        // Seconds since 1970.
        None if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) => Some(format!("{text}000")),
        // `+01:00` in a URL that was not encoded.
        Some((time, offset)) if time.contains('T') && offset.len() == 5 => Some(format!("{time}%2B{offset}")),
        _ => super::suggest::nearest(text, RANGE_NAMES),
    };
    NotAMoment {
        detail: detail.to_owned(),
        suggestion,
    }
}

/// Starts lose what is finer than a millisecond, ends gain it; an end of `:59.999` is the next full second.
fn whole_millisecond(instant: Timestamp, edge: Edge) -> Option<Timestamp> {
    let down = Timestamp::from_millisecond(instant.as_nanosecond().div_euclid(1_000_000).try_into().ok()?).ok()?;
    let millisecond = SignedDuration::from_millis(1);
    match edge {
        Edge::Start => Some(down),
        Edge::End => {
            let full_second_follows = down.as_millisecond().rem_euclid(60_000) == 59_999;
            if full_second_follows || down < instant {
                down.checked_add(millisecond).ok()
            } else {
                Some(down)
            }
        }
    }
}

fn not_a_moment(detail: &str, suggestion: Option<&str>) -> NotAMoment {
    NotAMoment {
        detail: detail.to_owned(),
        suggestion: suggestion.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday, 23:30:59.5 in Berlin (summer time), while it is Thursday already in Auckland.
    const NOW: &str = "2026-06-17T21:30:59.500Z";

    fn at(text: &str, edge: Edge, zone: &str) -> Result<String, NotAMoment> {
        let zone = Zone::named(zone).unwrap();
        moment(text, edge, NOW.parse().unwrap(), &zone).map(|instant| format!("{instant:.3}"))
    }

    #[test]
    fn moments_as_starts() {
        for (text, zone, expected) in [
            ("now", "UTC", "2026-06-17T21:30:00.000Z"),
            ("now-15m", "UTC", "2026-06-17T21:15:00.000Z"),
            ("now-90s", "UTC", "2026-06-17T21:28:30.000Z"),
            ("now/h", "UTC", "2026-06-17T21:00:00.000Z"),
            ("now/h", "Asia/Kolkata", "2026-06-17T21:30:00.000Z"),
            ("now-1d/d", "Europe/Berlin", "2026-06-15T22:00:00.000Z"),
            ("now/d", "Pacific/Auckland", "2026-06-17T12:00:00.000Z"),
            ("now/d-1d+6h", "Europe/Berlin", "2026-06-16T04:00:00.000Z"),
            ("now/d 6h", "Europe/Berlin", "2026-06-17T04:00:00.000Z"),
            ("now/w", "Europe/Berlin", "2026-06-14T22:00:00.000Z"),
            ("now-1M/M", "Europe/Berlin", "2026-04-30T22:00:00.000Z"),
            ("now/y", "Europe/Berlin", "2025-12-31T23:00:00.000Z"),
            // Over the change of 29 March: the same time of day, so 23:30 Berlin winter time.
            ("now-90d", "Europe/Berlin", "2026-03-19T22:30:00.000Z"),
            ("now-4M", "Europe/Berlin", "2026-02-17T22:30:00.000Z"),
            ("today", "Europe/Berlin", "2026-06-16T22:00:00.000Z"),
            ("today", "Pacific/Auckland", "2026-06-17T12:00:00.000Z"),
            ("last-month", "UTC", "2026-05-01T00:00:00.000Z"),
            ("2023-11-01T00:00:00.000Z", "Europe/Berlin", "2023-11-01T00:00:00.000Z"),
            ("2023-11-01T00:00:00+01:00", "UTC", "2023-10-31T23:00:00.000Z"),
            ("2023-11-01T00:00", "Europe/Berlin", "2023-10-31T23:00:00.000Z"),
            ("2023-11-01", "America/New_York", "2023-11-01T04:00:00.000Z"),
            ("2023-11-01T08:00:00.1239Z", "UTC", "2023-11-01T08:00:00.123Z"),
            ("1700000000123", "Europe/Berlin", "2023-11-14T22:13:20.123Z"),
            // Does not exist in Berlin: as many clocks would, read by the offset before the change.
            ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00.000Z"),
            ("2023-11-30T23:59:59.999Z", "UTC", "2023-11-30T23:59:59.999Z"),
        ] {
            assert_eq!(at(text, Edge::Start, zone).as_deref(), Ok(expected), "{text} {zone}");
        }
    }

    #[test]
    fn moments_as_ends() {
        for (text, zone, expected) in [
            ("2023-11-30T23:59:59.999Z", "UTC", "2023-12-01T00:00:00.000Z"),
            ("2023-11-30T23:59:59.999", "Europe/Berlin", "2023-11-30T23:00:00.000Z"),
            ("2023-11-30T23:59:59.999999Z", "UTC", "2023-12-01T00:00:00.000Z"),
            ("2023-11-30T11:59:59.999+05:30", "UTC", "2023-11-30T06:30:00.000Z"),
            ("2023-11-30T23:59:59.998Z", "UTC", "2023-11-30T23:59:59.998Z"),
            ("2023-11-30T23:59:59.9981Z", "UTC", "2023-11-30T23:59:59.999Z"),
            ("2023-11-30T23:59:59Z", "UTC", "2023-11-30T23:59:59.000Z"),
            ("2023-11-30T23:59:30.999Z", "UTC", "2023-11-30T23:59:30.999Z"),
            ("2023-11-30", "UTC", "2023-11-30T00:00:00.000Z"),
            // 23:59:59.999, as a dashboard says the end of a day.
            ("1701388799999", "UTC", "2023-12-01T00:00:00.000Z"),
            ("yesterday", "Europe/Berlin", "2026-06-16T22:00:00.000Z"),
        ] {
            assert_eq!(at(text, Edge::End, zone).as_deref(), Ok(expected), "{text} {zone}");
        }
    }

    #[test]
    fn ranges_without_an_end() {
        for (text, zone, expected) in [
            (
                "today",
                "Europe/Berlin",
                "2026-06-16T22:00:00.000Z/2026-06-17T22:00:00.000Z",
            ),
            ("yesterday", "UTC", "2026-06-16T00:00:00.000Z/2026-06-17T00:00:00.000Z"),
            ("tomorrow", "UTC", "2026-06-18T00:00:00.000Z/2026-06-19T00:00:00.000Z"),
            ("this-week", "UTC", "2026-06-15T00:00:00.000Z/2026-06-22T00:00:00.000Z"),
            (
                "last-week",
                "Europe/Berlin",
                "2026-06-07T22:00:00.000Z/2026-06-14T22:00:00.000Z",
            ),
            ("this-month", "UTC", "2026-06-01T00:00:00.000Z/2026-07-01T00:00:00.000Z"),
            (
                "last-month",
                "Europe/Berlin",
                "2026-04-30T22:00:00.000Z/2026-05-31T22:00:00.000Z",
            ),
            (
                "this-year",
                "Europe/Berlin",
                "2025-12-31T23:00:00.000Z/2026-12-31T23:00:00.000Z",
            ),
            ("last-year", "UTC", "2025-01-01T00:00:00.000Z/2026-01-01T00:00:00.000Z"),
            ("last7d", "UTC", "2026-06-10T21:30:00.000Z/2026-06-17T21:30:00.000Z"),
            ("last30d", "UTC", "2026-05-18T21:30:00.000Z/2026-06-17T21:30:00.000Z"),
            ("last24h", "UTC", "2026-06-16T21:30:00.000Z/2026-06-17T21:30:00.000Z"),
            ("now-1h", "UTC", "2026-06-17T20:30:00.000Z/2026-06-17T21:30:00.000Z"),
            ("2026-06-17", "UTC", "2026-06-17T00:00:00.000Z/2026-06-17T21:30:00.000Z"),
        ] {
            let zone = Zone::named(zone).unwrap();
            let [start, end] = range(text, None, NOW.parse().unwrap(), &zone).map(Result::unwrap);
            assert_eq!(Range::new(start, end).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn the_day_of_a_clock_change_is_whole() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (now, hours) in [
            ("2026-03-29T12:00Z", 23),
            ("2026-10-25T12:00Z", 25),
            ("2026-07-01T12:00Z", 24),
        ] {
            let [start, end] = range("today", None, now.parse().unwrap(), &berlin).map(Result::unwrap);
            assert_eq!(start.duration_until(end).as_hours(), hours, "{now}");
        }
        // In Cairo, 24 April 2026 begins at 01:00, as the clocks skip its midnight.
        let cairo = Zone::named("Africa/Cairo").unwrap();
        let [start, _] = range("yesterday", None, "2026-04-25T12:00Z".parse().unwrap(), &cairo).map(Result::unwrap);
        assert_eq!(start.to_string(), "2026-04-23T22:00:00Z");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (text, suggestion) in [
            ("", None),
            ("yesterdy", Some("yesterday")),
            ("Today", Some("today")),
            ("last_week", Some("last-week")),
            ("now-7x", Some("now-7d")),
            ("now-", Some("now-7d")),
            ("now/", Some("now-7d")),
            ("now-70000d", Some("now-7d")),
            ("now-65000y", Some("now-7d")),
            ("nowhere", Some("now-7d")),
            ("now-1dé", Some("now-7d")),
            ("lasté", Some("last7d")),
            ("2023-13-01", None),
            ("2023-02-30T00:00:00Z", None),
            ("01.11.2023", None),
            ("2023-11-01T00:00:00 01:00", Some("2023-11-01T00:00:00%2B01:00")),
            ("2023-11-01T00:00:00Z[Europe/Berlin]", None),
            ("1700000000", Some("1700000000000")),
            ("17000000000001", None),
            ("1969-12-31T00:00:00Z", None),
            ("9999-12-31T23:59:59.999Z", None),
            (
                "2023-11-01T00:00:00.000000000000000000000000000000000000000000000000Z",
                None,
            ),
        ] {
            let error = at(text, Edge::End, "UTC").unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}");
        }
    }
}
