//! What callers ask: a few dozen questions, so that what is held matters.

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

/// A question, with its instants resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Figures(Figures),
    Conversations(Conversations),
    /// The names of queues or wrap-up codes.
    Names(&'static str),
    /// Queues as they are.
    Now,
}

/// Figures of a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Figures {
    pub(super) range: Span,
    /// How long a bucket is, in minutes; one bucket otherwise.
    pub(super) minutes: Option<i64>,
    pub(super) group: Option<Group>,
    pub(super) columns: &'static [Column],
}

/// What figures are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Queue,
    QueueByName,
    Media,
}

/// A figure: its name here, the event it is made of, and what is made of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) event: &'static str,
    pub(super) made: Made,
}

/// What is made of the values of an event. All of them grow when something more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Made {
    Count,
    Sum,
    Max,
}

/// Conversations that started in a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Conversations {
    pub(super) range: Span,
    pub(super) shown: Shown,
}

/// How conversations are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shown {
    Page {
        number: usize,
        size: usize,
        newest_first: bool,
    },
    /// All of them, as lines.
    Streamed,
}

/// From one instant to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

const fn column(name: &'static str, event: &'static str, made: Made) -> Column {
    Column { name, event, made }
}

const OFFERED: Column = column("conversation.offered", "nOffered", Made::Count);
const HANDLED: Column = column("handle.time.count", "tHandle", Made::Count);
const HANDLE_TIME: Column = column("handle.time.sum", "tHandle", Made::Sum);
const LONGEST_HANDLE: Column = column("handle.time.max", "tHandle", Made::Max);
const TALK_TIME: Column = column("talk.time.sum", "tTalkComplete", Made::Sum);

static COLUMNS: &[&[Column]] = &[
    &[OFFERED],
    &[OFFERED, HANDLED, HANDLE_TIME],
    &[HANDLE_TIME, LONGEST_HANDLE],
    &[TALK_TIME],
];

impl Question {
    pub(super) fn any(random: &mut StdRng, now: Timestamp) -> Self {
        match random.random_range(0..100) {
            0..68 => Self::Figures(Figures::any(random, now)),
            68..86 => Self::Conversations(Conversations::any(random, now)),
            86..94 => Self::Names(["queues", "wrapup-codes"].choose(random).expect("two")),
            _ => Self::Now,
        }
    }

    /// One of every kind, all about today.
    pub(super) fn every_kind(now: Timestamp) -> Vec<Self> {
        let range = Span::days(now, 1, 1);
        let figures = Figures {
            range,
            minutes: Some(60),
            group: Some(Group::Queue),
            columns: COLUMNS[1],
        };
        let total = Figures {
            minutes: None,
            group: None,
            ..figures.clone()
        };
        let first_page = Shown::Page {
            number: 1,
            size: 500,
            newest_first: false,
        };
        let shown = [first_page, Shown::Streamed].map(|shown| Self::Conversations(Conversations { range, shown }));
        let mut all = vec![
            Self::Figures(figures),
            Self::Figures(total),
            Self::Names("queues"),
            Self::Now,
        ];
        all.extend(shown);
        all
    }

    /// The way there.
    pub(super) fn target(&self) -> String {
        match self {
            Self::Figures(figures) => figures.target(),
            Self::Conversations(conversations) => conversations.target(),
            Self::Names(lookup) => format!("/v1/lookups/{lookup}?pageSize=1000"),
            Self::Now => "/v1/now/queues?pageSize=1000".to_owned(),
        }
    }

    /// Where the upstream is asked about it.
    pub(super) fn upstream_path(&self) -> &'static str {
        match self {
            Self::Figures(_) => "/api/v2/analytics/conversations/aggregates/query",
            Self::Conversations(_) => "/api/v2/analytics/conversations/details/query",
            Self::Names("queues") => "/api/v2/routing/queues",
            Self::Names(_) => "/api/v2/routing/wrapupcodes",
            Self::Now => "/api/v2/analytics/queues/observations/query",
        }
    }

    /// Whether it comes without saying of when it is.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(
            self,
            Self::Conversations(Conversations {
                shown: Shown::Streamed,
                ..
            })
        )
    }
}

impl Figures {
    fn any(random: &mut StdRng, now: Timestamp) -> Self {
        let (range, minutes) = match random.random_range(0..8) {
            0..2 => (Span::days(now, 0, 1), Some(60)),
            2 => (Span::days(now, 0, 1), None),
            3 => (Span::days(now, 1, 1), Some(24 * 60)),
            4 => (Span::days(now, 2, 3), Some(24 * 60)),
            5 => (Span::days(now, 3, 2), Some(60)),
            6 => (Span::hours(now, 3), Some(15)),
            _ => {
                let end = now - SignedDuration::from_millis(now.as_millisecond().rem_euclid(1_000));
                let start = end - SignedDuration::from_mins(37);
                (Span { start, end }, None)
            }
        };
        Self {
            range,
            minutes,
            group: *[None, Some(Group::Queue), Some(Group::QueueByName), Some(Group::Media)]
                .choose(random)
                .expect("four"),
            columns: COLUMNS.choose(random).expect("several"),
        }
    }

    fn target(&self) -> String {
        let mut columns: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        columns.extend(self.group.map(Group::column));
        if self.group == Some(Group::QueueByName) {
            columns.push("routing.queue.name");
        }
        let interval = self.minutes.map(|minutes| match minutes {
            1_440 => "&interval=P1D".to_owned(),
            60 => "&interval=PT1H".to_owned(),
            minutes => format!("&interval=PT{minutes}M"),
        });
        format!(
            "/v1/query?{}&select={}{}&pageSize=1000",
            self.range.parameters(),
            columns.join(","),
            interval.unwrap_or_default()
        )
    }

    /// Where the bucket of an instant in the range starts and ends. Days and hours are those of UTC.
    pub(super) fn bucket(&self, instant: i64) -> (i64, i64) {
        let (start, end) = (self.range.start.as_millisecond(), self.range.end.as_millisecond());
        let Some(minutes) = self.minutes else {
            return (start, end);
        };
        let length = minutes * 60_000;
        let from = instant - instant.rem_euclid(length);
        (from.max(start), (from + length).min(end))
    }
}

impl Group {
    /// The column that tells the group.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Queue | Self::QueueByName => "routing.queue.id",
            Self::Media => "media.type",
        }
    }
}

impl Conversations {
    fn any(random: &mut StdRng, now: Timestamp) -> Self {
        let range = match random.random_range(0..5) {
            0 => Span::days(now, 0, 1),
            // More than a page.
            1..3 => Span::days(now, 3, 4),
            3 => Span::days(now, 3, 2),
            _ => Span::hours(now, 5),
        };
        let shown = if random.random_bool(0.4) {
            Shown::Streamed
        } else {
            Shown::Page {
                number: random.random_range(1..4),
                size: *[20, 100, 500].choose(random).expect("three"),
                newest_first: random.random_bool(0.3),
            }
        };
        Self { range, shown }
    }

    fn target(&self) -> String {
        let shown = match self.shown {
            Shown::Page {
                number,
                size,
                newest_first,
            } => {
                let order = if newest_first {
                    "&orderBy=-conversation.start"
                } else {
                    ""
                };
                format!("page={number}&pageSize={size}{order}")
            }
            Shown::Streamed => "format=ndjson".to_owned(),
        };
        format!("/v1/conversations?{}&{shown}", self.range.parameters())
    }
}

const DAY_MS: i64 = 24 * 3_600_000;

impl Span {
    /// So many days, the first of them so many before today.
    fn days(now: Timestamp, back: i64, count: i64) -> Self {
        let today = now.as_millisecond().div_euclid(DAY_MS);
        let midnight = |day: i64| Timestamp::from_millisecond(day * DAY_MS).expect("an instant");
        Self {
            start: midnight(today - back),
            end: midnight(today - back + count),
        }
    }

    /// So many hours, the last of them the present one.
    fn hours(now: Timestamp, count: i64) -> Self {
        const HOUR_MS: i64 = 3_600_000;
        let past = (now.as_millisecond().div_euclid(HOUR_MS) + 1) * HOUR_MS;
        let instant = |millisecond: i64| Timestamp::from_millisecond(millisecond).expect("an instant");
        Self {
            start: instant(past - count * HOUR_MS),
            end: instant(past),
        }
    }

    /// Its days of UTC, the first and the last as far as they belong to it.
    pub(super) fn by_day(self) -> impl Iterator<Item = Self> {
        let first = self.start.as_millisecond().div_euclid(DAY_MS);
        let past = (self.end.as_millisecond() - 1).div_euclid(DAY_MS) + 1;
        let midnight = |day: i64| Timestamp::from_millisecond(day * DAY_MS).expect("an instant");
        (first..past).map(move |day| Self {
            start: midnight(day).max(self.start),
            end: midnight(day + 1).min(self.end),
        })
    }

    /// Its quarters of an hour, in milliseconds: no bucket here is shorter.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        const LENGTH: i64 = 15 * 60_000;
        let (start, end) = (self.start.as_millisecond(), self.end.as_millisecond());
        let first = start.div_euclid(LENGTH);
        let past = (end - 1).div_euclid(LENGTH) + 1;
        (first..past).map(move |piece| ((piece * LENGTH).max(start), ((piece + 1) * LENGTH).min(end)))
    }

    fn parameters(&self) -> String {
        format!("dateFrom={:.3}&dateTo={:.3}", self.start, self.end)
    }
}
