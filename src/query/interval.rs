//! Ranges, zones and buckets: half-open instants, calendar arithmetic by the zone, never "add 24 hours".

use jiff::{Timestamp, tz::TimeZone};

/// A half-open range of instants, `start` included and `end` not, in whole milliseconds; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant past the end.
    pub end: Timestamp,
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

    /// The zone of that IANA name, if the bundled database has it.
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        let name = zone.iana_name().unwrap_or("UTC").to_owned();
        Some(Self { name, zone })
    }

    /// The IANA name, as the upstream takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules behind the name.
    pub fn rules(&self) -> &TimeZone {
        &self.zone
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
    /// `PTnM` or `PTnH`, in minutes; divides a day evenly.
    Minutes(u16),
    /// `P1D`: a calendar day of the zone (23, 24 or 25 hours).
    Day,
    /// `P1W`: Monday to Monday in the zone.
    Week,
    /// `P1M`: a calendar month of the zone.
    Month,
}

impl Range {
    /// Whether the instant lies inside.
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }
}

impl Granularity {
    /// temporary
    pub fn buckets(self, range: Range, _zone: &Zone) -> impl Iterator<Item = Range> {
        std::iter::once(range)
    }
}
