//! `POST users/details/query` and the rows of `users/details/jobs`: what users were, record by record.
//!
//! A record that overlaps the interval is told whole, though no farther than [`AROUND_MS`] to either side of it, and
//! without an end while it lasts. A filter on presences or routing statuses leaves the records it holds for. Whether the
//! platform, too, leaves out users of whom nothing is left, is not documented; nor is what it counts as hits: users here.

use std::ops::Range;

use serde_json::{Value, json};

use super::Switches;
use super::calendar::{self, iso};
use super::conversation::{Atom, Dimension};
use super::details::paging;
use super::directory::Directory;
use super::filter::{Filter, Predicate, Subject};
use super::generation::DAY_MS;
use super::timeline::Period;
use crate::simulator::refusal::Refusal;

/// The platform takes so many days without a filter, and with one.
const MAX_DAYS: i64 = 7;
const MAX_FILTERED_DAYS: i64 = 31;
/// No shift is this far from the next.
const AROUND_MS: i64 = 14 * DAY_MS;

/// What is asked for, read and checked.
pub(super) struct Question {
    interval: Range<i64>,
    users: Vec<Filter>,
    presences: Vec<Filter>,
    statuses: Vec<Filter>,
    is_descending: bool,
    page_size: usize,
    page_number: usize,
}

impl Question {
    /// Reads the body of a query.
    pub(super) fn parse(body: &Value, switches: &Switches) -> Result<Self, Refusal> {
        let question = Self::of_job(body, switches)?;
        let filters = [&question.users, &question.presences, &question.statuses];
        let is_filtered = !filters.into_iter().flatten().all(Filter::is_empty);
        let limit = if is_filtered { MAX_FILTERED_DAYS } else { MAX_DAYS };
        if question.interval.end - question.interval.start > limit * DAY_MS {
            let sentence = format!("The search interval must not exceed {limit} days.");
            return Err(Refusal::bad_request("general.bad.request", sentence));
        }
        Ok(question)
    }

    /// Reads the body of a job, whose interval has no bound that is known.
    pub(super) fn of_job(body: &Value, switches: &Switches) -> Result<Self, Refusal> {
        let list = |name: &str| body[name].as_array().map_or(&[][..], Vec::as_slice);
        if ["presenceAggregations", "routingStatusAggregations"]
            .into_iter()
            .any(|name| !list(name).is_empty())
        {
            let sentence = "This organisation does not aggregate user details.".to_owned();
            return Err(Refusal::bad_request("general.bad.request", sentence));
        }
        let filters = |name: &str| {
            let filters = list(name).iter();
            filters
                .map(|filter| Filter::parse(filter, switches.values_ignore_case))
                .collect::<Result<_, _>>()
        };
        let (page_size, page_number) = paging(&body["paging"], switches)?;
        Ok(Self {
            interval: calendar::interval(body["interval"].as_str().unwrap_or_default())?,
            users: filters("userFilters")?,
            presences: filters("presenceFilters")?,
            statuses: filters("routingStatusFilters")?,
            is_descending: body["order"].as_str() == Some("desc"),
            page_size,
            page_number,
        })
    }

    /// The time in which records are looked for.
    pub(super) fn range(&self) -> Range<i64> {
        self.interval.start - AROUND_MS..self.interval.end + AROUND_MS
    }

    /// Whether the user at this position in the directory is asked for.
    pub(super) fn wants(&self, user: usize, directory: &Directory) -> bool {
        let id = Atom::Id(directory.users[user].id);
        self.users
            .iter()
            .all(|filter| holds(filter, &[(Dimension::UserId, id)]))
    }

    /// Those of the users, by what they did around the interval up to `now`, of whom there is a record in it.
    pub(super) fn rows(&self, timelines: &[(usize, Vec<Period>)], directory: &Directory, now: i64) -> Vec<Value> {
        let mut rows: Vec<_> = timelines
            .iter()
            .filter_map(|(user, periods)| self.row(*user, periods, directory, now))
            .collect();
        if self.is_descending {
            rows.reverse();
        }
        rows
    }

    /// A page of them.
    pub(super) fn answer(&self, rows: &[Value]) -> Value {
        let mut answer = json!({ "totalHits": rows.len() });
        let first = self.page_size * (self.page_number - 1);
        let page: Vec<_> = rows.iter().skip(first).take(self.page_size).collect();
        if !page.is_empty() {
            answer["userDetails"] = json!(page);
        }
        answer
    }

    fn row(&self, user: usize, periods: &[Period], directory: &Directory, now: i64) -> Option<Value> {
        // Who was never there has no records.
        if periods.len() < 2 {
            return None;
        }
        let record = |span: &Range<i64>| {
            let mut record = json!({ "startTime": iso(span.start) });
            if span.end < now {
                record["endTime"] = json!(iso(span.end));
            }
            record
        };
        let presences = self
            .records(periods, |period| period.presence)
            .into_iter()
            .filter_map(|(span, presence)| {
                let presence = &directory.presences[presence];
                let values = [
                    (Dimension::SystemPresence, Atom::Text(presence.system.word())),
                    (Dimension::OrganizationPresenceId, Atom::Id(presence.id)),
                ];
                let mut record = record(&span);
                record["systemPresence"] = json!(presence.system.word());
                record["organizationPresenceId"] = json!(presence.id.to_string());
                self.presences
                    .iter()
                    .all(|filter| holds(filter, &values))
                    .then_some(record)
            });
        let statuses = self
            .records(periods, |period| period.status)
            .into_iter()
            .filter_map(|(span, status)| {
                let values = [(Dimension::RoutingStatus, Atom::Text(status.word()))];
                let mut record = record(&span);
                record["routingStatus"] = json!(status.word());
                self.statuses
                    .iter()
                    .all(|filter| holds(filter, &values))
                    .then_some(record)
            });
        let (presences, statuses): (Vec<_>, Vec<_>) = (presences.collect(), statuses.collect());
        let mut row = json!({ "userId": directory.users[user].id.to_string() });
        if presences.is_empty() && statuses.is_empty() {
            return None;
        }
        if !presences.is_empty() {
            row["primaryPresence"] = presences.into();
        }
        if !statuses.is_empty() {
            row["routingStatus"] = statuses.into();
        }
        Some(row)
    }

    /// The stretches of one thing that overlap the interval.
    fn records<T: PartialEq>(&self, periods: &[Period], of: impl Fn(&Period) -> T) -> Vec<(Range<i64>, T)> {
        let same = periods.chunk_by(|one, next| of(one) == of(next));
        same.map(|same| (same[0].span.start..same[same.len() - 1].span.end, of(&same[0])))
            .filter(|(span, _)| span.start < self.interval.end && self.interval.start < span.end)
            .collect()
    }
}

fn holds(filter: &Filter, values: &[(Dimension, Atom<'_>)]) -> bool {
    filter.holds(&mut |predicate: &Predicate| {
        let found = match predicate.subject {
            Subject::Dimension(Some(dimension)) => values.iter().find(|(known, _)| *known == dimension),
            Subject::Dimension(None) | Subject::Metric(_) => None,
        };
        predicate.meets(found.map_or(&[], |(_, value)| std::slice::from_ref(value)))
    })
}
