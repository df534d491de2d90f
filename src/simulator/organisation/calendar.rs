//! Intervals, granularities and the buckets they cut, spelled as the platform spells them.

use std::ops::Range;

use jiff::{Span, Timestamp, ToSpan as _, ZonedDateTime, civil::Weekday, tz::TimeZone};

use crate::simulator::refusal::Refusal;

/// The edges of the buckets over `interval`: bucket `i` is `[edges[i], edges[i + 1])`. All in milliseconds since the
/// epoch.
///
/// Without granularity the interval is one bucket. Edges lie on the zone's own hours, days, weeks (from Monday) and
/// months, the first and the last bucket cut to the interval; with `from_start` they are counted from its start
/// instead. On the grid, buckets shorter than a day start anew at each midnight and last their exact time.
pub(super) fn edges(
    interval: &Range<i64>,
    granularity: Option<Granularity>,
    zone: &TimeZone,
    from_start: bool,
    limit: usize,
) -> Result<Vec<i64>, Refusal> {
    let mut edges = vec![interval.start];
    if let Some(granularity) = granularity {
        let start = zoned(interval.start, zone).map_err(|_| invalid_date())?;
        let mut day = if from_start {
            start
        } else {
            grid_start(granularity, &start).map_err(|_| invalid_date())?
        };
        loop {
            let next = granularity.after(&day, from_start).map_err(|_| invalid_date())?;
            let (from, until) = (day.timestamp().as_millisecond(), next.timestamp().as_millisecond());
            let within = granularity.exact_ms().unwrap_or(until - from);
            let inside = (from..until.min(interval.end)).step_by(usize::try_from(within).unwrap_or(usize::MAX));
            edges.extend(inside.filter(|edge| *edge > interval.start).take(limit + 1));
            if edges.len() > limit {
                return Err(too_many(limit));
            }
            if until >= interval.end {
                break;
            }
            day = next;
        }
    }
    edges.push(interval.end);
    Ok(edges)
}

fn too_many(limit: usize) -> Refusal {
    Refusal::bad_request(
        "general.bad.request",
        format!("The query would return more than {limit} intervals. Use a coarser granularity."),
    )
}

/// The grid's last edge at or before `start`; for exact buckets its midnight.
fn grid_start(granularity: Granularity, start: &ZonedDateTime) -> Result<ZonedDateTime, jiff::Error> {
    let day = start.start_of_day()?;
    match granularity {
        Granularity::Exact(_) | Granularity::Days(_) => Ok(day),
        Granularity::Weeks(_) => {
            let since_monday = i64::from(start.weekday().since(Weekday::Monday));
            day.checked_sub(since_monday.days())?.start_of_day()
        }
        Granularity::Months(_) => day.first_of_month()?.start_of_day(),
    }
}

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granularity {
    /// Milliseconds, less than a day.
    Exact(i64),
    Days(i32),
    Weeks(i32),
    Months(i32),
}

impl Granularity {
    /// Reads `PTnS`, `PTnM`, `PTnH`, `PnD`, `PnW` or `PnM`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        const DAY_MS: i64 = 86_400_000;
        let span = text.strip_prefix('P').and_then(|_| text.parse::<Span>().ok());
        let granularity = span.and_then(|span| {
            let exact = (i64::from(span.get_hours()) * 60 + span.get_minutes()) * 60 + span.get_seconds();
            match (exact * 1_000, span.get_months(), span.get_weeks(), span.get_days()) {
                (exact @ 1..DAY_MS, 0, 0, 0) => Some(Self::Exact(exact)),
                (exact @ DAY_MS.., 0, 0, 0) if exact % DAY_MS == 0 => {
                    i32::try_from(exact / DAY_MS).ok().map(Self::Days)
                }
                (0, 0, 0, days @ 1..) => Some(Self::Days(days)),
                (0, 0, weeks @ 1.., 0) => Some(Self::Weeks(weeks)),
                (0, months @ 1.., 0, 0) => Some(Self::Months(months)),
                _ => None,
            }
        });
        granularity.ok_or_else(|| {
            let sentence = format!(
                "Value [{text}] is not valid for field type [Period]. Allowable values are: ISO-8601 durations"
            );
            Refusal::bad_request("invalid.value", sentence)
        })
    }

    fn exact_ms(self) -> Option<i64> {
        match self {
            Self::Exact(exact) => Some(exact),
            Self::Days(_) | Self::Weeks(_) | Self::Months(_) => None,
        }
    }

    /// One calendar step on: for exact buckets the next midnight, where their count starts anew (or, counted from
    /// the interval's start, simply far away).
    fn after(self, day: &ZonedDateTime, from_start: bool) -> Result<ZonedDateTime, jiff::Error> {
        let next = match self {
            Self::Exact(exact) if from_start => return day.checked_add((exact * 10_000).milliseconds()),
            Self::Exact(_) => day.tomorrow()?,
            Self::Days(days) => day.checked_add(days.days())?,
            Self::Weeks(weeks) => day.checked_add(weeks.weeks())?,
            Self::Months(months) => day.checked_add(months.months())?,
        };
        // A day that begins at one o'clock, because its midnight is skipped, must not shift those after it.
        if from_start { Ok(next) } else { next.start_of_day() }
    }
}

/// Reads `start/end`: two ISO-8601 instants, each with `Z` or an offset, the end after the start.
pub(super) fn interval(text: &str) -> Result<Range<i64>, Refusal> {
    let (start, end) = text.split_once('/').ok_or_else(invalid_date)?;
    let (start, end) = (
        instant(start).ok_or_else(invalid_date)?,
        instant(end).ok_or_else(invalid_date)?,
    );
    if start >= end {
        let sentence = format!("The start of the interval must be before its end: {text}");
        return Err(Refusal::bad_request("general.bad.request", sentence));
    }
    Ok(start..end)
}

/// Reads one ISO-8601 instant with `T` and `Z` or an offset.
pub(super) fn instant(text: &str) -> Option<i64> {
    let plain = text.as_bytes().get(10) == Some(&b'T') && !text.contains('[');
    let instant: Option<Timestamp> = plain.then(|| text.parse().ok()).flatten();
    instant.map(Timestamp::as_millisecond)
}

/// The zone of that IANA name; UTC when none was given.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, Refusal> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    TimeZone::get(name).map_err(|_| {
        let sentence =
            format!("Value [{name}] is not valid for field type [TimeZone]. Allowable values are: IANA time zones");
        Refusal::bad_request("invalid.value", sentence)
    })
}

/// `yyyy-MM-ddTHH:mm:ss.SSSZ`, as the platform prints instants.
pub(super) fn iso(instant: i64) -> String {
    match Timestamp::from_millisecond(instant) {
        Ok(instant) => format!("{instant:.3}"),
        Err(_) => String::new(),
    }
}

/// The refusal of what is no date.
pub(super) fn invalid_date() -> Refusal {
    Refusal::bad_request(
        "invalid.date",
        "Dates must be specified as ISO-8601 strings. For example: yyyy-MM-ddTHH:mm:ss.SSSZ",
    )
}

fn zoned(instant: i64, zone: &TimeZone) -> Result<ZonedDateTime, jiff::Error> {
    Timestamp::from_millisecond(instant).map(|instant| instant.to_zoned_datetime(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(text: &str, granularity: &str, zone_name: &str, from_start: bool) -> Vec<String> {
        let interval = interval(text).unwrap();
        let granularity = Granularity::parse(granularity).unwrap();
        let zone = zone(Some(zone_name)).unwrap();
        let edges = edges(&interval, Some(granularity), &zone, from_start, 1_000_000).unwrap();
        edges.into_iter().map(iso).collect()
    }

    fn hours(edges: &[String]) -> Vec<i64> {
        let instants: Vec<_> = edges.iter().map(|edge| instant(edge).unwrap()).collect();
        instants
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 3_600_000)
            .collect()
    }

    #[test]
    fn days_follow_the_clock_changes() {
        let spring = buckets(
            "2025-03-29T00:00:00+01:00/2025-04-01T00:00:00+02:00",
            "P1D",
            "Europe/Berlin",
            false,
        );
        assert_eq!(hours(&spring), [24, 23, 24]);
        let autumn = buckets(
            "2025-10-25T00:00:00+02:00/2025-10-28T00:00:00+01:00",
            "P1D",
            "Europe/Berlin",
            false,
        );
        assert_eq!(hours(&autumn), [24, 25, 24]);
    }

    #[test]
    fn a_skipped_midnight_shifts_no_later_day() {
        assert_eq!(
            buckets("2025-03-28T22:00:00Z/2025-04-01T21:00:00Z", "P1D", "Asia/Beirut", false),
            ["03-28T22", "03-29T22", "03-30T21", "03-31T21", "04-01T21"].map(|hour| format!("2025-{hour}:00:00.000Z"))
        );
    }

    #[test]
    fn the_hours_of_a_long_day_are_25() {
        let hourly = buckets(
            "2025-10-26T00:00:00+02:00/2025-10-27T00:00:00+01:00",
            "PT1H",
            "Europe/Berlin",
            false,
        );
        assert_eq!(hours(&hourly), [1; 25]);
        let sixths = buckets(
            "2025-10-26T00:00:00+02:00/2025-10-27T00:00:00+01:00",
            "PT6H",
            "Europe/Berlin",
            false,
        );
        assert_eq!(hours(&sixths), [6, 6, 6, 6, 1]);
    }

    #[test]
    fn the_first_and_last_bucket_are_cut_to_the_interval() {
        assert_eq!(
            buckets("2025-03-12T10:20:00Z/2025-03-12T11:40:00Z", "PT30M", "UTC", false),
            ["10:20", "10:30", "11:00", "11:30", "11:40"].map(|time| format!("2025-03-12T{time}:00.000Z"))
        );
        assert_eq!(
            buckets("2025-03-12T10:20:00Z/2025-03-12T11:40:00Z", "PT30M", "UTC", true),
            ["10:20", "10:50", "11:20", "11:40"].map(|time| format!("2025-03-12T{time}:00.000Z"))
        );
        assert_eq!(
            buckets("2025-03-12T00:00:00Z/2025-03-19T00:00:00Z", "P1W", "UTC", false),
            ["12", "17", "19"].map(|day| format!("2025-03-{day}T00:00:00.000Z"))
        );
        assert_eq!(
            buckets("2025-01-31T00:00:00Z/2025-03-02T00:00:00Z", "P1M", "UTC", false),
            ["01-31", "02-01", "03-01", "03-02"].map(|day| format!("2025-{day}T00:00:00.000Z"))
        );
    }

    #[test]
    fn half_hour_zones_cut_on_their_own_hours() {
        let hourly = buckets(
            "2025-03-12T10:00:00Z/2025-03-12T12:00:00Z",
            "PT1H",
            "Asia/Kolkata",
            false,
        );
        assert_eq!(
            hourly,
            ["10:00", "10:30", "11:30", "12:00"].map(|time| format!("2025-03-12T{time}:00.000Z"))
        );
    }

    #[test]
    fn too_fine_a_granularity_is_refused() {
        let interval = interval("2025-03-12T00:00:00Z/2025-03-13T00:00:00Z").unwrap();
        assert!(
            edges(
                &interval,
                Some(Granularity::Exact(3_600_000)),
                &TimeZone::UTC,
                false,
                24
            )
            .is_ok()
        );
        assert!(
            edges(
                &interval,
                Some(Granularity::Exact(3_600_000)),
                &TimeZone::UTC,
                false,
                23
            )
            .is_err()
        );
    }

    #[test]
    fn bad_spellings_are_refused() {
        let codes = [
            ("2025-03-12T00:00:00Z", "invalid.date"),
            ("2025-03-12/2025-03-13", "invalid.date"),
            ("2025-03-12T00:00:00/2025-03-13T00:00:00", "invalid.date"),
            ("2025-03-12T00:00:00Z/P1D", "invalid.date"),
            ("2025-03-13T00:00:00Z/2025-03-12T00:00:00Z", "general.bad.request"),
            ("2025-03-13T00:00:00Z/2025-03-13T00:00:00Z", "general.bad.request"),
        ];
        for (text, code) in codes {
            assert_eq!(interval(text).unwrap_err().code, code, "{text}");
        }
        for text in ["", "1 hour", "PT0S", "P1Y", "P1DT1H", "-PT1H", "P", "PT25H"] {
            assert!(Granularity::parse(text).is_err(), "{text}");
        }
        assert_eq!(Granularity::parse("PT24H").unwrap(), Granularity::Days(1));
    }
}
