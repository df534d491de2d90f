//! Ranges, zones and buckets: half-open instants, calendar arithmetic by the zone, never "add 24 hours".
//!
//! How people write instants (`now-7d`, `yesterday`, ISO dates) is [`moment`](super::moment)'s business; this
//! module only knows the instants themselves.

use std::{fmt, iter, str::FromStr};

use jiff::{
    SignedDuration, Timestamp,
    civil::Date,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};

/// A half-open range of instants, `start` included and `end` not, in whole milliseconds; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant past the end.
    pub end: Timestamp,
}

impl Range {
    /// The range from `start` up to `end`, unless that is empty or backwards.
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }

    /// How much time passes between start and end.
    pub fn duration(&self) -> SignedDuration {
        self.start.duration_until(self.end)
    }

    /// The first and the last calendar day it touches in a zone.
    pub fn days(&self, zone: &Zone) -> [Date; 2] {
        let last = self.end - SignedDuration::from_millis(1);
        [zone.date_at(self.start), zone.date_at(last)]
    }
}

/// As the upstream and our own answers print it: `2026-11-01T00:00:00.000Z/2026-11-02T00:00:00.000Z`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}/{:.3}", self.start, self.end)
    }
}

/// An IANA time zone, equal and hashed by its name.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The zone of that IANA name, if the bundled database has it. Letter case does not matter.
    pub fn named(name: &str) -> Option<Self> {
        // Not the machine's own: the same question has the same answer everywhere, and no file is read for it.
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        if zone.is_unknown() {
            return None;
        }
        let name = zone.iana_name()?.to_owned();
        Some(Self { name, zone })
    }

    /// Every name that [`named`](Self::named) knows.
    pub fn names() -> Vec<String> {
        let database = TimeZoneDatabase::bundled();
        database.available().map(|name| name.as_str().to_owned()).collect()
    }

    /// The IANA name, as the upstream takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules behind the name.
    pub fn rules(&self) -> &TimeZone {
        &self.zone
    }

    /// The first instant of a calendar day, which is not midnight where a clock change skips midnight.
    pub fn start_of_day(&self, date: Date) -> Option<Timestamp> {
        self.zone.to_timestamp(date.at(0, 0, 0, 0)).ok()
    }

    /// How far the zone's clocks are from UTC at an instant.
    pub fn offset_at(&self, instant: Timestamp) -> Offset {
        self.zone.to_offset(instant)
    }

    fn date_at(&self, instant: Timestamp) -> Date {
        self.zone.to_datetime(instant).date()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl std::hash::Hash for Zone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The length of a bucket, as the upstream takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// `PTnM` or `PTnH`, in minutes; divides a day evenly, 1 to 720.
    Minutes(u16),
    /// `P1D`: a calendar day of the zone (23, 24 or 25 hours).
    Day,
    /// `P1W`: Monday to Monday in the zone.
    Week,
    /// `P1M`: a calendar month of the zone.
    Month,
}

const MINUTES_PER_DAY: u16 = 24 * 60;

impl Granularity {
    /// Cuts a range into buckets whose edges fall where clocks and calendars of the zone say, in order.
    ///
    /// The buckets partition the range: the first starts and the last ends with it, however short that makes
    /// them. A day of 23 or 25 hours is one bucket of `P1D`. Buckets shorter than a day are counted from each
    /// local midnight in time that passes, and the last of a day ends with it: a day of 25 hours has 25 of `PT1H`
    /// and a third one, an hour long, of `PT12H`.
    ///
    /// How the upstream cuts days with a clock change is not documented. What it reports is passed on as it is;
    /// this only foretells the buckets it does not report.
    pub fn buckets(self, range: Range, zone: &Zone) -> impl Iterator<Item = Range> {
        let edge_after = move |start: Timestamp| {
            (start < range.end).then(|| {
                let end = self.edge_after(start, zone).unwrap_or(range.end).min(range.end);
                Range { start, end }
            })
        };
        iter::successors(edge_after(range.start), move |bucket| edge_after(bucket.end))
    }

    /// The whole bucket an instant lies in; `None` at the ends of the calendar.
    pub fn bucket_at(self, instant: Timestamp, zone: &Zone) -> Option<Range> {
        let date = zone.date_at(instant);
        let start = match self {
            Self::Minutes(minutes) => {
                let midnight = zone.start_of_day(date)?.as_second();
                let step = i64::from(minutes) * 60;
                let begun = (instant.as_second() - midnight).div_euclid(step);
                Timestamp::from_second(midnight + begun * step).ok()?
            }
            Self::Day => zone.start_of_day(date)?,
            Self::Week => zone.start_of_day(
                date.tomorrow()
                    .ok()?
                    .nth_weekday(-1, jiff::civil::Weekday::Monday)
                    .ok()?,
            )?,
            Self::Month => zone.start_of_day(date.first_of_month())?,
        };
        Range::new(start, self.edge_after(instant, zone)?)
    }

    /// The buckets a range touches, as one range; `None` at the ends of the calendar.
    pub fn around(self, range: Range, zone: &Zone) -> Option<Range> {
        let first = self.bucket_at(range.start, zone)?;
        let last = self.bucket_at(range.end, zone)?;
        let end = if last.start == range.end { range.end } else { last.end };
        Range::new(first.start, end)
    }

    /// As many buckets as a range can be cut into, whatever the zone: each day may begin and end with a shorter one.
    pub fn buckets_at_most(self, range: Range) -> usize {
        let seconds = range.end.as_second() - range.start.as_second();
        let days = seconds / (24 * 3600) + 3;
        let buckets = match self {
            Self::Minutes(minutes) => seconds / (i64::from(minutes) * 60) + 2 * days,
            Self::Day | Self::Week | Self::Month => days,
        };
        usize::try_from(buckets).unwrap_or(usize::MAX)
    }

    /// The first bucket edge after an instant; `None` at the end of the calendar.
    fn edge_after(self, instant: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let date = zone.date_at(instant);
        match self {
            Self::Minutes(minutes) => {
                let (midnight, next) = (zone.start_of_day(date)?, zone.start_of_day(date.tomorrow().ok()?)?);
                let step = i64::from(minutes) * 60;
                let buckets_begun = (instant.as_second() - midnight.as_second()).div_euclid(step) + 1;
                let edge = Timestamp::from_second(midnight.as_second() + buckets_begun * step).ok()?;
                Some(edge.min(next))
            }
            Self::Day => zone.start_of_day(date.tomorrow().ok()?),
            Self::Week => zone.start_of_day(date.nth_weekday(1, jiff::civil::Weekday::Monday).ok()?),
            Self::Month => zone.start_of_day(date.last_of_month().tomorrow().ok()?),
        }
    }

    /// The next longer granularity that is a round figure, for advice; `None` past a month.
    pub fn coarser(self) -> Option<Self> {
        const ROUND: [u16; 6] = [5, 15, 30, 60, 6 * 60, 12 * 60];
        match self {
            Self::Minutes(minutes) => {
                let longer = ROUND.into_iter().find(|&round| round > minutes);
                Some(longer.map_or(Self::Day, Self::Minutes))
            }
            Self::Day => Some(Self::Week),
            Self::Week => Some(Self::Month),
            Self::Month => None,
        }
    }

    /// The granularity that somebody who wrote `text` most likely wants.
    pub fn nearest(text: &str) -> Option<Self> {
        let text = text.trim();
        let span: jiff::Span = text.parse().or_else(|_| format!("1 {text}").parse()).ok()?;
        let days = i64::from(span.get_days()) + 7 * i64::from(span.get_weeks());
        let minutes = i64::from(span.get_hours()) * 60 + span.get_minutes() + (span.get_seconds() + 59) / 60;
        Some(match (span.get_years(), span.get_months(), days, minutes) {
            (0, 0, 0, ..=0) => return None,
            (0, 0, 0, minutes @ 1..=1079) => (1..=720)
                .filter(|divisor| MINUTES_PER_DAY.is_multiple_of(*divisor))
                .min_by_key(|divisor| (i64::from(*divisor) - minutes).abs())
                .map(Self::Minutes)?,
            (0, 0, ..=3, _) => Self::Day,
            (0, 0, ..=20, _) => Self::Week,
            _ => Self::Month,
        })
    }
}

/// That text is no granularity this service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bucket is PTnM or PTnH dividing a day evenly (PT1M to PT12H), P1D, P1W or P1M")]
pub struct NotAGranularity;

impl FromStr for Granularity {
    type Err = NotAGranularity;

    fn from_str(text: &str) -> Result<Self, NotAGranularity> {
        match text {
            "P1D" => return Ok(Self::Day),
            "P1W" => return Ok(Self::Week),
            "P1M" => return Ok(Self::Month),
            _ => {}
        }
        let time = text.strip_prefix("PT").ok_or(NotAGranularity)?;
        let (digits, scale) = match time.strip_suffix('M') {
            Some(digits) => (digits, 1),
            None => (time.strip_suffix('H').ok_or(NotAGranularity)?, 60),
        };
        if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAGranularity);
        }
        let minutes = digits.parse::<u16>().ok().and_then(|count| count.checked_mul(scale));
        minutes
            .filter(|&minutes| minutes <= MINUTES_PER_DAY / 2 && MINUTES_PER_DAY.is_multiple_of(minutes))
            .map(Self::Minutes)
            .ok_or(NotAGranularity)
    }
}

/// As the upstream takes it, in whole hours where that is possible: `PT30M`, `PT1H`, `P1D`.
impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(minutes) if minutes.is_multiple_of(60) => write!(f, "PT{}H", minutes / 60),
            Self::Minutes(minutes) => write!(f, "PT{minutes}M"),
            Self::Day => f.write_str("P1D"),
            Self::Week => f.write_str("P1W"),
            Self::Month => f.write_str("P1M"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Range {
        let (start, end) = text.split_once('/').unwrap();
        Range::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
    }

    fn hours(granularity: Granularity, range: Range, zone: &str) -> Vec<f64> {
        let zone = Zone::named(zone).unwrap();
        granularity
            .buckets(range, &zone)
            .map(|bucket| bucket.duration().as_secs_f64() / 3600.0)
            .collect()
    }

    proptest! {
        #[test]
        fn the_bucket_at_an_instant_is_the_one_that_is_cut_there(
            second in 1_690_000_000i64..1_790_000_000,
            granularity in prop::sample::select(vec!["PT15M", "PT1H", "PT2H", "PT12H", "P1D", "P1W", "P1M"]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo"]),
        ) {
            let (granularity, zone) = (granularity.parse::<Granularity>().unwrap(), Zone::named(zone).unwrap());
            let instant = Timestamp::from_second(second).unwrap();
            let bucket = granularity.bucket_at(instant, &zone).unwrap();
            prop_assert!(bucket.contains(instant));
            // Cut from far before, the bucket is the same one.
            let from_before = Range::new(bucket.start - SignedDuration::from_hours(24 * 40), bucket.end).unwrap();
            prop_assert_eq!(granularity.buckets(from_before, &zone).last(), Some(bucket));
        }
    }

    #[test]
    fn days_are_as_long_as_their_clocks_make_them() {
        let cases = [
            (
                "Europe/Berlin",
                "2026-03-27T23:00Z/2026-03-30T22:00Z",
                vec![24.0, 23.0, 24.0],
            ),
            (
                "Europe/Berlin",
                "2026-10-23T22:00Z/2026-10-26T23:00Z",
                vec![24.0, 25.0, 24.0],
            ),
            (
                "America/New_York",
                "2026-03-07T05:00Z/2026-03-10T04:00Z",
                vec![24.0, 23.0, 24.0],
            ),
            (
                "America/New_York",
                "2026-10-31T04:00Z/2026-11-03T05:00Z",
                vec![24.0, 25.0, 24.0],
            ),
            (
                "Australia/Lord_Howe",
                "2026-04-03T13:00Z/2026-04-06T13:30Z",
                vec![24.0, 24.5, 24.0],
            ),
            (
                "Australia/Lord_Howe",
                "2026-10-02T13:30Z/2026-10-05T13:00Z",
                vec![24.0, 23.5, 24.0],
            ),
            // Midnight itself is skipped: the day begins at 01:00.
            (
                "Africa/Cairo",
                "2026-04-22T22:00Z/2026-04-25T21:00Z",
                vec![24.0, 23.0, 24.0],
            ),
            ("UTC", "2026-03-28T06:00Z/2026-03-30T07:00Z", vec![18.0, 24.0, 7.0]),
        ];
        for (zone, days, expected) in cases {
            assert_eq!(hours(Granularity::Day, range(days), zone), expected, "{zone} {days}");
        }
    }

    #[test]
    fn buckets_shorter_than_a_day_are_counted_from_its_midnight() {
        let (forward, back) = (
            "2026-03-28T23:00Z/2026-03-29T22:00Z",
            "2026-10-24T22:00Z/2026-10-25T23:00Z",
        );
        let cases = [
            ("PT1H", "Europe/Berlin", forward, vec![1.0; 23]),
            ("PT1H", "Europe/Berlin", back, vec![1.0; 25]),
            ("PT12H", "Europe/Berlin", forward, vec![12.0, 11.0]),
            ("PT12H", "Europe/Berlin", back, vec![12.0, 12.0, 1.0]),
            ("PT6H", "Europe/Berlin", forward, vec![6.0, 6.0, 6.0, 5.0]),
            (
                "PT2H",
                "Europe/Berlin",
                "2026-03-28T23:00Z/2026-03-29T06:00Z",
                vec![2.0, 2.0, 2.0, 1.0],
            ),
            (
                "PT2H",
                "Europe/Berlin",
                "2026-10-24T22:00Z/2026-10-25T05:00Z",
                vec![2.0, 2.0, 2.0, 1.0],
            ),
            (
                "PT1H",
                "Asia/Kolkata",
                "2026-03-28T18:00Z/2026-03-28T20:00Z",
                vec![0.5, 1.0, 0.5],
            ),
            (
                "PT1H",
                "Australia/Lord_Howe",
                "2026-04-04T13:00Z/2026-04-04T16:30Z",
                vec![1.0, 1.0, 1.0, 0.5],
            ),
            (
                "PT1H",
                "Australia/Lord_Howe",
                "2026-10-03T14:30Z/2026-10-03T17:00Z",
                vec![1.0, 1.0, 0.5],
            ),
            (
                "PT30M",
                "UTC",
                "2026-03-28T18:10Z/2026-03-28T19:00Z",
                vec![1.0 / 3.0, 0.5],
            ),
        ];
        for (granularity, zone, times, expected) in cases {
            let actual = hours(granularity.parse().unwrap(), range(times), zone);
            assert_eq!(actual, expected, "{granularity} {zone} {times}");
        }
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let cases = [
            (
                Granularity::Week,
                "2026-03-18T12:00Z/2026-04-01T00:00Z",
                vec!["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"],
            ),
            (
                Granularity::Month,
                "2026-02-10T00:00Z/2026-04-10T00:00Z",
                vec!["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"],
            ),
        ];
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (granularity, times, expected) in cases {
            let starts: Vec<_> = granularity
                .buckets(range(times), &berlin)
                .skip(1)
                .map(|b| b.start.to_string())
                .collect();
            assert_eq!(starts, expected);
        }
    }

    #[test]
    fn granularities_are_read_and_printed() {
        for (text, printed) in [
            ("PT1M", "PT1M"),
            ("PT15M", "PT15M"),
            ("PT60M", "PT1H"),
            ("PT90M", "PT90M"),
            ("PT12H", "PT12H"),
            ("P1D", "P1D"),
            ("P1W", "P1W"),
            ("P1M", "P1M"),
        ] {
            assert_eq!(text.parse::<Granularity>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn other_lengths_are_refused_with_the_nearest_one() {
        for (text, nearest) in [
            ("PT7M", Some("PT6M")),
            ("PT24H", Some("P1D")),
            ("PT5H", Some("PT288M")),
            ("P7D", Some("P1W")),
            ("P2D", Some("P1D")),
            ("P3M", Some("P1M")),
            ("P1Y", Some("P1M")),
            ("PT30S", Some("PT1M")),
            ("1h", Some("PT1H")),
            ("hour", Some("PT1H")),
            ("day", Some("P1D")),
            ("pt15m", Some("PT15M")),
            ("PT0M", None),
            ("PT-5M", None),
            ("PT+5M", None),
            ("PT015M", Some("PT15M")),
            ("", None),
            ("often", None),
            ("PT99999999999999999999M", None),
        ] {
            assert!(text.parse::<Granularity>().is_err(), "{text}");
            let actual = Granularity::nearest(text).map(|granularity| granularity.to_string());
            assert_eq!(actual.as_deref(), nearest, "{text}");
        }
    }

    #[test]
    fn zones_go_by_their_proper_name() {
        assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(Zone::named("UTC").unwrap(), Zone::utc());
        for unknown in ["", "Europe/Atlantis", "Etc/Unknown", "../../etc/passwd", "+02:00"] {
            assert!(Zone::named(unknown).is_none(), "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn buckets_partition_the_range(
            start in 0_i64..4_000_000_000_000,
            length in 1_i64..8_000_000_000,
            granularity in prop::sample::select(vec!["PT7M", "PT15M", "PT1H", "PT2H", "PT8H", "P1D", "P1W", "P1M"]),
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Sao_Paulo",
                "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia", "America/Havana",
            ]),
        ) {
            let granularity = granularity.parse().unwrap_or(Granularity::Minutes(6));
            let zone = Zone::named(zone).unwrap();
            let instant = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
            let range = Range::new(instant(start), instant(start + length)).unwrap();
            let mut reached = range.start;
            let count = granularity.buckets(range, &zone).count();
            prop_assert!(count <= granularity.buckets_at_most(range));
            for bucket in granularity.buckets(range, &zone) {
                prop_assert_eq!(bucket.start, reached);
                prop_assert!(bucket.start < bucket.end);
                reached = bucket.end;
                if bucket.end < range.end {
                    // An edge does not depend on where the range around it starts.
                    let before = bucket.end.checked_sub(SignedDuration::from_millis(1)).unwrap();
                    prop_assert_eq!(granularity.edge_after(before, &zone), Some(bucket.end));
                }
            }
            prop_assert_eq!(reached, range.end);
        }
    }
}
