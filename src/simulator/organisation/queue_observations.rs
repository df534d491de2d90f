//! `POST queues/observations/query`: what is going on in queues at this instant.
//!
//! A queue gives one group of its users and one per medium of its conversations, the latter with their zeros. Where
//! the platform's documents are silent:
//!
//! - a conversation waits from when it enters the queue until it leaves it, so also while it alerts an agent; it is
//!   interacted with while an agent talks to the customer or has them on hold, not during the paperwork;
//! - members are the queue's active users, and all of them have joined it;
//! - predicates on `mediaType` choose among the media and leave the group of users alone, who serve them all;
//! - the longest ones are left out where there are none;
//! - detail is given for every metric in `detailMetrics`, also one that is not in `metrics`;
//! - an observation of a user dates from when their presence or routing status last changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::aggregates::strings;
use super::calendar::iso;
use super::conversation::{About, Atom, Conversation, Dimension, Media, Place, Purpose, SegmentKind};
use super::directory::{Directory, UserState};
use super::filter::{Filter, Predicate, Subject};
use super::timeline::{Period, SystemPresence};
use super::{Day, Switches};
use crate::simulator::refusal::Refusal;

/// The platform gives at most this many observations per metric: the oldest half and the newest.
const OBSERVATIONS_AT_MOST: usize = 100;

/// What a query asks for, read and checked.
pub(super) struct Question<'q> {
    filter: Filter,
    metrics: BTreeSet<&'q str>,
    detail_metrics: BTreeSet<&'q str>,
}

impl<'q> Question<'q> {
    /// Reads a body of the right shape, or says what the platform would refuse in it.
    pub(super) fn parse(body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let refusal = |sentence| Refusal::bad_request("general.bad.request", sentence);
        let filter = Filter::parse(&body["filter"], switches.values_ignore_case)?;
        if filter.predicates_on(Dimension::QueueId) == 0 {
            return Err(refusal("A query of queue observations must have a queueId predicate."));
        }
        let detail_metrics: BTreeSet<_> = strings(&body["detailMetrics"]).collect();
        let metrics: BTreeSet<_> = strings(&body["metrics"])
            .chain(detail_metrics.iter().copied())
            .collect();
        if metrics.is_empty() {
            return Err(refusal("At least one metric must be requested."));
        }
        Ok(Self {
            filter,
            metrics,
            detail_metrics,
        })
    }

    /// Whether it must be known since when users have been what they are.
    pub(super) fn wants_users_in_detail(&self) -> bool {
        self.detail_metrics
            .iter()
            .any(|metric| metric.ends_with("Users") || metric.starts_with("oUser"))
    }

    /// The positions of the queues asked for.
    pub(super) fn queues(&self, directory: &Directory) -> Vec<usize> {
        let asked = |queue: &usize| {
            let mut media = Media::ALL.map(Some).into_iter().chain([None]);
            media.any(|media| self.passes(*queue, media, directory))
        };
        (0..directory.queues.len()).filter(asked).collect()
    }

    /// The answer, given the days of the conversations under way and what every user is right now.
    pub(super) fn answer(
        &self,
        days: impl Iterator<Item = impl AsRef<Day>>,
        users: &BTreeMap<usize, Period>,
        directory: &Directory,
        now: i64,
    ) -> Value {
        let mut in_queues: BTreeMap<(usize, Media), Vec<Observed>> = BTreeMap::new();
        for day in days {
            for conversation in &day.as_ref().conversations {
                observe(conversation, directory, now, &mut in_queues);
            }
        }
        let (mut results, mut presences) = (Vec::new(), BTreeSet::new());
        for queue in self.queues(directory) {
            let id = directory.queues[queue].id.to_string();
            if self.passes(queue, None, directory) {
                let data = self.users(queue, users, directory, &mut presences);
                if !data.is_empty() {
                    results.push(json!({ "group": { "queueId": id }, "data": data }));
                }
            }
            for media in Media::ALL {
                if self.passes(queue, Some(media), directory) {
                    let observed = in_queues.remove(&(queue, media)).unwrap_or_default();
                    let data = self.conversations(observed);
                    if !data.is_empty() {
                        let group = json!({ "queueId": id, "mediaType": media.word() });
                        results.push(json!({ "group": group, "data": data }));
                    }
                }
            }
        }
        json!({ "systemToOrganizationMappings": directory.presence_mappings(&presences), "results": results })
    }

    /// Whether the filter leaves a queue's group of that medium, or of its users.
    fn passes(&self, queue: usize, media: Option<Media>, directory: &Directory) -> bool {
        let id = [Atom::Id(directory.queues[queue].id)];
        self.filter
            .holds(&mut |predicate: &Predicate| match (&predicate.subject, media) {
                (Subject::Dimension(Some(Dimension::QueueId)), _) => predicate.meets(&id),
                (Subject::Dimension(Some(Dimension::MediaType)), Some(media)) => {
                    predicate.meets(&[Atom::Text(media.word())])
                }
                (Subject::Dimension(Some(Dimension::MediaType)), None) => true,
                (Subject::Dimension(_) | Subject::Metric(_), _) => predicate.meets(&[]),
            })
    }

    /// The metrics of one queue and medium.
    fn conversations(&self, mut observed: Vec<Observed>) -> Vec<Value> {
        observed.sort_by_key(|one| one.since);
        let of = |state: State| {
            observed
                .iter()
                .filter(move |one| one.state == state)
                .collect::<Vec<_>>()
        };
        let mut data = Vec::new();
        for metric in &self.metrics {
            let (state, longest) = match *metric {
                "oWaiting" => (State::Waiting, false),
                "oAlerting" => (State::Alerting, false),
                "oInteracting" => (State::Interacting, false),
                "oLongestWaiting" => (State::Waiting, true),
                "oLongestInteracting" => (State::Interacting, true),
                _ => continue,
            };
            let those = of(state);
            if longest {
                let since = those.first().map(|one| one.since);
                data.extend(
                    since.map(|since| json!({ "metric": metric, "stats": { "calculatedMetricValue": since } })),
                );
                continue;
            }
            let mut told = json!({ "metric": metric, "stats": { "count": those.len() } });
            let observations = those.into_iter().map(|one| one.observation.clone()).collect();
            self.add_observations(metric, &mut told, observations);
            data.push(told);
        }
        data
    }

    /// The metrics of a queue's members.
    fn users(
        &self,
        queue: usize,
        users: &BTreeMap<usize, Period>,
        directory: &Directory,
        presences: &mut BTreeSet<SystemPresence>,
    ) -> Vec<Value> {
        let members = directory.queues[queue].members.iter().map(|user| usize::from(*user));
        let members: Vec<_> = members
            .filter(|user| directory.users[*user].state == UserState::Active)
            .filter_map(|user| Some((user, users.get(&user)?)))
            .collect();
        let mut data = Vec::new();
        for metric in &self.metrics {
            let mut counted: BTreeMap<Option<String>, Vec<(usize, &Period)>> = BTreeMap::new();
            for (user, period) in &members {
                let presence = &directory.presences[period.presence];
                let on_queue = presence.system == SystemPresence::OnQueue;
                let qualifier = match *metric {
                    "oMemberUsers" | "oActiveUsers" => None,
                    "oUserRoutingStatuses" => Some(period.status.word().to_owned()),
                    "oOnQueueUsers" if on_queue => Some(period.status.word().to_owned()),
                    "oOffQueueUsers" if !on_queue => Some(presence.id.to_string()),
                    "oUserPresences" => Some(presence.id.to_string()),
                    _ => continue,
                };
                if qualifier.as_deref() == Some(&*presence.id.to_string()) {
                    presences.insert(presence.system);
                }
                counted.entry(qualifier).or_default().push((*user, period));
            }
            for (qualifier, mut users) in counted {
                users.sort_by_key(|(user, period)| (period.span.start, *user));
                let mut told = json!({ "metric": metric, "stats": { "count": users.len() } });
                if let Some(qualifier) = qualifier {
                    told["qualifier"] = qualifier.into();
                }
                let observation = |(user, period): (usize, &Period)| {
                    let id = directory.users[user].id.to_string();
                    json!({ "observationDate": iso(period.span.start), "userId": id })
                };
                self.add_observations(metric, &mut told, users.into_iter().map(observation).collect());
                data.push(told);
            }
        }
        data
    }

    fn add_observations(&self, metric: &str, told: &mut Value, mut observations: Vec<Value>) {
        if !self.detail_metrics.contains(metric) || observations.is_empty() {
            return;
        }
        if observations.len() > OBSERVATIONS_AT_MOST {
            let half = OBSERVATIONS_AT_MOST / 2;
            observations.drain(half..observations.len() - half);
            told["truncated"] = true.into();
        }
        told["observations"] = observations.into();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Alerting,
    Interacting,
}

/// A session in a queue right now.
struct Observed {
    state: State,
    /// In milliseconds since the epoch.
    since: i64,
    observation: Value,
}

/// Adds what a conversation is in queues at `now`.
fn observe(
    conversation: &Conversation,
    directory: &Directory,
    now: i64,
    in_queues: &mut BTreeMap<(usize, Media), Vec<Observed>>,
) {
    for (position, session) in conversation.sessions.iter().enumerate() {
        let Some(queue) = session.queue else { continue };
        let current = session
            .segments
            .iter()
            .find(|segment| (segment.start..segment.end).contains(&now));
        let Some(current) = current else { continue };
        let work = [SegmentKind::Interact, SegmentKind::Hold];
        let (state, since) = match (session.purpose, current.kind) {
            (Purpose::Acd, SegmentKind::Interact) => (State::Waiting, current.start),
            (Purpose::Agent, SegmentKind::Alert) => (State::Alerting, current.start),
            (Purpose::Agent, kind) if work.contains(&kind) => {
                let first = session.segments.iter().find(|segment| work.contains(&segment.kind));
                (State::Interacting, first.map_or(current.start, |segment| segment.start))
            }
            _ => continue,
        };
        let key = (usize::from(queue), session.media);
        in_queues.entry(key).or_default().push(Observed {
            state,
            since,
            observation: observation(conversation, position, directory, since),
        });
    }
}

fn observation(conversation: &Conversation, session: usize, directory: &Directory, since: i64) -> Value {
    let place = Place {
        session,
        segment: None,
        about: About::Session,
    };
    let values = |dimension| {
        let mut values = Vec::new();
        conversation.values(dimension, place, directory, &mut values);
        values.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut told = Map::new();
    told.insert("observationDate".to_owned(), iso(since).into());
    let single = [
        ("conversationId", Dimension::ConversationId),
        ("sessionId", Dimension::SessionId),
        ("direction", Dimension::Direction),
        ("userId", Dimension::UserId),
        ("requestedLanguageId", Dimension::RequestedLanguageId),
        ("ani", Dimension::Ani),
        ("dnis", Dimension::Dnis),
        ("addressFrom", Dimension::AddressFrom),
        ("addressTo", Dimension::AddressTo),
    ];
    for (name, dimension) in single {
        told.extend(values(dimension).pop().map(|value| (name.to_owned(), value.into())));
    }
    let several = [
        ("requestedRoutings", Dimension::RequestedRouting),
        ("requestedRoutingSkillIds", Dimension::RequestedRoutingSkillId),
    ];
    for (name, dimension) in several {
        let values = values(dimension);
        if !values.is_empty() {
            told.insert(name.to_owned(), values.into());
        }
    }
    told.insert(
        "participantName".to_owned(),
        directory.customers[usize::from(conversation.customer)]
            .name
            .as_str()
            .into(),
    );
    told.into()
}
