//! What there was to see at an instant, counted by hand from the simulator's raw records.
//!
//! More is told as time goes by and nothing is taken back, so that figures only grow: an answer made of parts that were
//! fetched between two instants lies between what there was to see at the first and at the second.

use std::collections::{BTreeMap, HashMap};

use genesys_reports::simulator::{
    Simulator,
    organisation::{Listing, Organisation, Switches},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    plan::DAYS,
    question::{Figures, Group, Made, Span},
};

/// Everything that was ever told.
pub(super) struct Truth {
    platform: Simulator,
    /// In the order of `at`.
    events: Vec<Told>,
    /// By start, then id.
    conversations: Vec<Conversation>,
    /// Names by id, by lookup.
    pub(super) names: HashMap<&'static str, BTreeMap<String, String>>,
}

struct Told {
    /// The instant it counts at, in milliseconds as all here.
    at: i64,
    event: &'static str,
    value: i64,
    queue: Option<String>,
    media: String,
    visible: Visible,
}

/// A conversation, and since when it can be seen.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) start: i64,
    visible: Visible,
}

/// Since when something can be seen: perhaps, as far as the order of what happens in the same millisecond decides, and
/// surely.
#[derive(Clone, Copy, Debug)]
struct Visible {
    perhaps: i64,
    surely: i64,
}

/// Whether something that changes at the very instant counts as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Surely,
    Perhaps,
}

impl Visible {
    fn since(instant: i64, injected: Option<&Timestamp>) -> Self {
        let injected = injected.map_or(i64::MIN, |at| at.as_millisecond());
        Self {
            perhaps: instant.max(injected),
            surely: instant.max(injected.saturating_add(1)),
        }
    }

    fn is(self, at: i64, seen: Seen) -> bool {
        match seen {
            Seen::Surely => self.surely <= at,
            Seen::Perhaps => self.perhaps <= at,
        }
    }
}

/// By group, the figures of a bucket; nothing where nothing happened.
pub(super) type Rows = BTreeMap<Option<String>, Vec<Option<i64>>>;

impl Truth {
    /// `injected` tells when what was added on the way was added, by conversation.
    pub(super) fn of(
        platform: Simulator,
        start: Timestamp,
        end: Timestamp,
        injected: &HashMap<String, Timestamp>,
    ) -> Self {
        let organisation = platform.organisation();
        let first = start - SignedDuration::from_hours(24 * (i64::from(DAYS) + 1));
        // Past the latest of what is late.
        let after_all = end + SignedDuration::from_hours(24 * 9);
        let mut events: Vec<Told> = organisation
            .events(first, end, after_all)
            .iter()
            .map(|event| Told {
                at: event.emitted_at.as_millisecond(),
                event: event.metric,
                value: event.value,
                queue: event.values("queueId").pop(),
                media: event.values("mediaType").pop().expect("every event has a medium"),
                visible: Visible::since(event.visible_at.as_millisecond(), injected.get(&event.conversation_id)),
            })
            .collect();
        events.sort_by_key(|event| event.at);
        let conversations = organisation.conversations_started(first, end, after_all);
        let conversations = conversations.into_iter().map(|(id, start, _)| Conversation {
            visible: Visible::since(start.as_millisecond(), injected.get(&id)),
            start: start.as_millisecond(),
            id,
        });
        let mut conversations: Vec<_> = conversations.collect();
        conversations.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
        let names = [("queues", Listing::Queues), ("wrapup-codes", Listing::WrapUpCodes)];
        Self {
            events,
            conversations,
            names: names
                .map(|(lookup, listing)| (lookup, names_of(organisation, listing)))
                .into(),
            platform,
        }
    }

    /// What there is to see of a bucket at an instant.
    pub(super) fn rows(&self, figures: &Figures, (from, until): (i64, i64), at: i64, seen: Seen) -> Rows {
        let first = self.events.partition_point(|event| event.at < from);
        let past = self.events.partition_point(|event| event.at < until);
        let mut rows = Rows::new();
        for told in &self.events[first..past] {
            let is_asked = figures.columns.iter().any(|column| column.event == told.event);
            if !is_asked || !told.visible.is(at, seen) {
                continue;
            }
            let group = match figures.group {
                None => None,
                Some(Group::Queue | Group::QueueByName) => told.queue.clone(),
                Some(Group::Media) => Some(told.media.clone()),
            };
            let row = rows.entry(group).or_insert_with(|| vec![None; figures.columns.len()]);
            for (cell, column) in row.iter_mut().zip(figures.columns) {
                if column.event == told.event {
                    let before = cell.unwrap_or(0);
                    *cell = Some(match column.made {
                        Made::Count => before + 1,
                        Made::Sum => before + told.value,
                        Made::Max => before.max(told.value),
                    });
                }
            }
        }
        rows
    }

    /// Conversations of a range that can be seen at an instant, by start, then id.
    pub(super) fn conversations(&self, range: Span, at: i64, seen: Seen) -> impl Iterator<Item = &Conversation> {
        let (start, end) = (range.start.as_millisecond(), range.end.as_millisecond());
        self.conversations
            .iter()
            .filter(move |one| (start..end).contains(&one.start) && one.visible.is(at, seen))
    }

    /// By conversation of a range, its end as it is told at an instant.
    pub(super) fn ends(&self, range: Span, at: i64) -> HashMap<String, Option<i64>> {
        let at = Timestamp::from_millisecond(at).expect("an instant");
        let started = self
            .platform
            .organisation()
            .conversations_started(range.start, range.end, at);
        let ends = started
            .into_iter()
            .map(|(id, _, end)| (id, end.map(Timestamp::as_millisecond)));
        ends.collect()
    }

    /// How many interactions of each queue waited, and how many were with an agent, as an answer of the platform to this
    /// body would have told at an instant.
    pub(super) fn observed(&self, body: &Value, at: i64) -> BTreeMap<String, [u64; 2]> {
        let at = Timestamp::from_millisecond(at).expect("an instant");
        let answer = self
            .platform
            .organisation()
            .queue_observations(body, at, &Switches::default());
        let answer = answer.expect("it was answered then");
        let mut observed = BTreeMap::<String, [u64; 2]>::new();
        for result in answer["results"].as_array().expect("a list") {
            let queue = result["group"]["queueId"].as_str().expect("an id").to_owned();
            let counts = observed.entry(queue).or_default();
            for datum in result["data"].as_array().expect("a list") {
                let place = ["oWaiting", "oInteracting"]
                    .iter()
                    .position(|metric| datum["metric"] == *metric);
                if let Some(place) = place {
                    counts[place] += datum["stats"]["count"].as_u64().expect("a count");
                }
            }
        }
        observed
    }
}

fn names_of(organisation: &Organisation, listing: Listing) -> BTreeMap<String, String> {
    let params = [("pageSize", "100"), ("state", "any")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let page = organisation.listing(listing, &params, "").expect("a page");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let entities = page["entities"].as_array().expect("a list").iter();
    entities.map(|one| (text(&one["id"]), text(&one["name"]))).collect()
}
