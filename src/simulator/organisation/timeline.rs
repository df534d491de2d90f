//! What each user did with the time: presence and routing status, without gap or overlap.
//!
//! A pure function of the seed and the calendar, as everything here, in two layers:
//!
//! - A **shift**, made from (seed, user, date in the office's zone): on weekdays, somewhere within 08:00 to 18:00,
//!   eight hours and a bit, mostly on queue, with breaks, a meal, now and then a meeting, a training or a walk; about
//!   one day in seventeen off. Who is inactive or deleted has none.
//! - What **conversations** demand of the user, which overrides the shift, because they were dealt out without looking
//!   at it: who talks through the break had none, who writes a mail at night worked at night.
//!
//! At any instant the first of these that applies decides:
//!
//! | what | presence | routing status |
//! | --- | --- | --- |
//! | between a session's answer and the end of its handling, alone or several at once | `ON_QUEUE` | `INTERACTING` |
//! | an alert ran out within the last minutes | `ON_QUEUE` | `NOT_RESPONDING` |
//! | on queue by the shift, on a call of one's own | `ON_QUEUE` | `COMMUNICATING` |
//! | on queue by the shift | `ON_QUEUE` | `IDLE` |
//! | on a call of one's own | `BUSY` | `OFF_QUEUE` |
//! | anything else of the shift | that | `OFF_QUEUE` |
//! | outside of shifts | `OFFLINE` | `OFF_QUEUE` |
//!
//! A handling that began is known to its end; whoever asks cuts at `now`. Late reports of wrap-ups change nothing
//! here: a status is told when it changes. The presence `IDLE` is not used.

use std::ops::Range;

use jiff::{Timestamp, civil::Date, civil::Weekday, tz::TimeZone};
use uuid::Uuid;

use super::Day;
use super::conversation::{Conversation, Purpose, SegmentKind, Session, words};
use super::dice::{Dice, scramble};
use super::directory::{Directory, UserState};
use super::generation::{HOUR, MINUTE, OFFICE_ZONE, SECOND};

words!(
    /// What a user is by the platform's own list.
    SystemPresence {
        Available = "AVAILABLE",
        Away = "AWAY",
        Break = "BREAK",
        Busy = "BUSY",
        Meal = "MEAL",
        Meeting = "MEETING",
        Offline = "OFFLINE",
        OnQueue = "ON_QUEUE",
        Training = "TRAINING",
    }
);

words!(
    /// What a user is to the distribution of conversations.
    RoutingStatus {
        Communicating = "COMMUNICATING",
        Idle = "IDLE",
        Interacting = "INTERACTING",
        NotResponding = "NOT_RESPONDING",
        OffQueue = "OFF_QUEUE",
    }
);

/// A stretch of one user's time in which nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// In milliseconds since the epoch.
    pub(super) span: Range<i64>,
    /// Position among the directory's presences.
    pub(super) presence: usize,
    pub(super) status: RoutingStatus,
}

/// How long before an instant a conversation may have ended that still shows in a user's status then.
pub(super) const LINGERING_MS: i64 = LONGEST_PAUSE_MS;

/// After an alert in vain, a user comes back within this time.
const LONGEST_PAUSE_MS: i64 = 5 * MINUTE;

/// The periods of the users that `wanted` takes, by their position in the directory, cut to `range`. The days are those
/// with conversations that were running then, or had ended within [`LINGERING_MS`].
pub(super) fn timelines(
    seed: u64,
    directory: &Directory,
    days: impl Iterator<Item = impl AsRef<Day>>,
    range: &Range<i64>,
    mut wanted: impl FnMut(usize) -> bool,
) -> Vec<(usize, Vec<Period>)> {
    if range.is_empty() {
        return Vec::new();
    }
    let mut demands: Vec<Demands> = Vec::new();
    demands.resize_with(directory.users.len(), Demands::default);
    for day in days {
        for conversation in &day.as_ref().conversations {
            for (position, session) in conversation.sessions.iter().enumerate() {
                if let Some(user) = session.user {
                    demands[usize::from(user)].note(conversation, position, session);
                }
            }
        }
    }
    let users = demands.into_iter().enumerate().filter(|(user, _)| wanted(*user));
    users
        .map(|(user, demands)| {
            let shifts = shifts(seed, directory, user, range);
            (user, periods(directory, range, &shifts, &demands.settled()))
        })
        .collect()
}

/// What conversations demand of one user.
#[derive(Default)]
struct Demands {
    handling: Vec<Range<i64>>,
    unresponsive: Vec<Range<i64>>,
    own_calls: Vec<Range<i64>>,
}

impl Demands {
    fn note(&mut self, conversation: &Conversation, position: usize, session: &Session) {
        let Some(end) = session.segments.iter().map(|segment| segment.end).max() else {
            return;
        };
        let answered = session
            .segments
            .iter()
            .find(|segment| segment.kind != SegmentKind::Alert);
        match (answered, session.purpose) {
            (None, _) => {
                let (random, _) = conversation.session_id(position).as_u64_pair();
                let spread = (LONGEST_PAUSE_MS - 10 * SECOND).unsigned_abs();
                let pause = 10 * SECOND + (scramble(random) % spread).cast_signed();
                self.unresponsive.push(end..end + pause);
            }
            (Some(first), Purpose::User) => self.own_calls.push(first.start..end),
            (Some(first), _) => self.handling.push(first.start..end),
        }
    }

    fn settled(self) -> Self {
        Self {
            handling: union(self.handling),
            unresponsive: union(self.unresponsive),
            own_calls: union(self.own_calls),
        }
    }
}

/// The same instants, as ranges in order that do not touch.
fn union(mut ranges: Vec<Range<i64>>) -> Vec<Range<i64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut union: Vec<Range<i64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match union.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => union.push(range),
        }
    }
    union
}

/// The one of some ranges in order that holds the instant.
fn holding(ranges: &[Range<i64>], instant: i64) -> bool {
    let next = ranges.partition_point(|range| range.start <= instant);
    next > 0 && instant < ranges[next - 1].end
}

fn periods(directory: &Directory, range: &Range<i64>, shifts: &[Piece], demands: &Demands) -> Vec<Period> {
    let on_queue = directory.presence(SystemPresence::OnQueue);
    let demanded = [&demands.handling, &demands.unresponsive, &demands.own_calls];
    let spans = demanded
        .into_iter()
        .flatten()
        .chain(shifts.iter().map(|piece| &piece.span));
    let mut edges: Vec<i64> = spans.flat_map(|span| [span.start, span.end]).collect();
    edges.retain(|edge| range.contains(edge));
    edges.extend([range.start, range.end]);
    edges.sort_unstable();
    edges.dedup();

    let mut periods: Vec<Period> = Vec::new();
    for pair in edges.windows(2) {
        let (at, until) = (pair[0], pair[1]);
        let by_shift = presence_by_shift(directory, shifts, at);
        let own_call = holding(&demands.own_calls, at);
        let (presence, status) = if holding(&demands.handling, at) {
            (on_queue, RoutingStatus::Interacting)
        } else if holding(&demands.unresponsive, at) {
            (on_queue, RoutingStatus::NotResponding)
        } else if by_shift == on_queue && own_call {
            (on_queue, RoutingStatus::Communicating)
        } else if by_shift == on_queue {
            (on_queue, RoutingStatus::Idle)
        } else if own_call {
            (directory.presence(SystemPresence::Busy), RoutingStatus::OffQueue)
        } else {
            (by_shift, RoutingStatus::OffQueue)
        };
        match periods.last_mut() {
            Some(last) if (last.presence, last.status) == (presence, status) => last.span.end = until,
            _ => periods.push(Period {
                span: at..until,
                presence,
                status,
            }),
        }
    }
    periods
}

/// A part of a shift.
struct Piece {
    span: Range<i64>,
    presence: usize,
}

fn presence_by_shift(directory: &Directory, shifts: &[Piece], instant: i64) -> usize {
    let next = shifts.partition_point(|piece| piece.span.start <= instant);
    let piece = next.checked_sub(1).map(|last| &shifts[last]);
    piece
        .filter(|piece| instant < piece.span.end)
        .map_or_else(|| directory.presence(SystemPresence::Offline), |piece| piece.presence)
}

/// The pieces of a user's shifts on the dates the range touches, in order.
fn shifts(seed: u64, directory: &Directory, user: usize, range: &Range<i64>) -> Vec<Piece> {
    let zone = TimeZone::get(OFFICE_ZONE).unwrap_or(TimeZone::UTC);
    let date = |instant: i64| Timestamp::from_millisecond(instant).map(|instant| zone.to_datetime(instant).date());
    let (Ok(first), Ok(last)) = (date(range.start), date(range.end - 1)) else {
        return Vec::new();
    };
    let mut pieces = Vec::new();
    let mut date = first;
    while directory.users[user].state == UserState::Active && date <= last {
        pieces.extend(shift(seed, directory, user, date, &zone));
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    pieces
}

/// A user's shift on one date; empty when they are off.
fn shift(seed: u64, directory: &Directory, user: usize, date: Date, zone: &TimeZone) -> Vec<Piece> {
    let opening = date.at(8, 0, 0, 0).to_zoned_datetime(zone.clone());
    let (Ok(opening), false) = (opening, matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)) else {
        return Vec::new();
    };
    let opening = opening.timestamp().as_millisecond();
    let number = opening / HOUR * 1_000 + i64::try_from(user).unwrap_or(0);
    let mut dice = Dice::new(seed, "shift", number);
    if dice.chance(0.06) {
        return Vec::new();
    }
    let late_by = if dice.chance(0.5) { 90 * MINUTE } else { 0 };
    let begin = opening + late_by + dice.between(0, 10 * MINUTE);
    let end = begin + 8 * HOUR + dice.between(0, 20 * MINUTE);

    // Each begins and lasts within its own part of the day, so that they never meet.
    let mut off_queue = Vec::new();
    let mut add = |from: i64, length: i64, presence: usize| {
        off_queue.push(Piece {
            span: from..from + length,
            presence,
        });
    };
    let presence = |presence: SystemPresence| directory.presence(presence);
    add(
        begin,
        dice.between(2 * MINUTE, 10 * MINUTE),
        presence(SystemPresence::Available),
    );
    let pause = begin + dice.between(105 * MINUTE, 135 * MINUTE);
    add(
        pause,
        dice.between(10 * MINUTE, 20 * MINUTE),
        presence(SystemPresence::Break),
    );
    let meal = begin + dice.between(225 * MINUTE, 260 * MINUTE);
    add(
        meal,
        dice.between(30 * MINUTE, 50 * MINUTE),
        presence(SystemPresence::Meal),
    );
    let other = begin + dice.between(320 * MINUTE, 340 * MINUTE);
    let long = dice.between(30 * MINUTE, 60 * MINUTE);
    match dice.weighted(&[50.0, 18.0, 8.0, 10.0, 14.0]) {
        0 => {}
        1 => add(other, long, presence(SystemPresence::Meeting)),
        2 => add(other, long, presence(SystemPresence::Meeting) + 1),
        3 => add(other, long, presence(SystemPresence::Training)),
        _ => add(other, long / 5, presence(SystemPresence::Away)),
    }
    let pause = begin + dice.between(405 * MINUTE, 425 * MINUTE);
    add(
        pause,
        dice.between(10 * MINUTE, 15 * MINUTE),
        presence(SystemPresence::Break),
    );
    let leaving = dice.between(2 * MINUTE, 8 * MINUTE);
    add(end - leaving, leaving, presence(SystemPresence::Available));

    let mut pieces = Vec::with_capacity(2 * off_queue.len());
    let mut until = begin;
    for piece in off_queue {
        if until < piece.span.start {
            pieces.push(Piece {
                span: until..piece.span.start,
                presence: presence(SystemPresence::OnQueue),
            });
        }
        until = piece.span.end;
        pieces.push(piece);
    }
    pieces
}

/// A stretch of one user's time, for oracles in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPeriod {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// The platform's presence, such as `ON_QUEUE`.
    pub system_presence: &'static str,
    /// The organisation's own presence.
    pub organization_presence_id: Uuid,
    /// The routing status, such as `IDLE`.
    pub routing_status: &'static str,
}
