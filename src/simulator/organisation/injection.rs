//! Changes to what happened, for tests: late arrivals, rows that appear between two pages, deletions.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::conversation::{Conversation, Direction, Disconnect, Emission, Media, Metric, Purpose, SegmentKind};
use super::dice::Dice;
use super::generation::{DAY_MS, Draft};
use super::{Day, Organisation};

/// A change, in force from the moment it is made.
#[derive(Clone, Debug)]
pub enum Injection {
    /// An answered inbound voice call, wrapped up without a code.
    Call {
        /// When the caller enters the queue.
        start: Timestamp,
        /// Position of the queue in the organisation, 0 to 7.
        queue: u8,
        /// Position of the user in the organisation, 0 to 39.
        user: u8,
        /// How long the caller waits, in milliseconds.
        wait_ms: i64,
        /// How long they talk, in milliseconds.
        talk_ms: i64,
        /// How long the agent's paperwork takes, in milliseconds.
        wrap_up_ms: i64,
    },
    /// One more metric event of an existing conversation, on its last agent session (or else its last session).
    /// It must be emitted within three days of the conversation's start.
    Event {
        /// The conversation.
        conversation_id: String,
        /// When that conversation started.
        started: Timestamp,
        /// The metric's platform name.
        metric: String,
        /// Milliseconds for timers, 1 for counters.
        value: i64,
        /// The instant it counts at.
        emitted_at: Timestamp,
    },
    /// The conversation is deleted.
    Removal {
        /// The conversation.
        conversation_id: String,
        /// When that conversation started.
        started: Timestamp,
    },
}

impl Organisation {
    /// Changes what happened; the id of the conversation concerned, or none when there is no such conversation,
    /// metric, queue, user or day.
    pub fn inject(&self, injection: &Injection) -> Option<String> {
        let started = match injection {
            Injection::Call { start: started, .. }
            | Injection::Event { started, .. }
            | Injection::Removal { started, .. } => started.as_millisecond(),
        };
        let number = started.div_euclid(DAY_MS);
        let mut conversations = self.day(number)?.conversations.clone();
        let existing = |id: &str| {
            let id = Uuid::try_parse(id).ok()?;
            conversations.iter().position(|conversation| conversation.id == id)
        };
        let id = match injection {
            Injection::Call { .. } => {
                let call = self.call(injection, conversations.len())?;
                let id = call.id;
                conversations.push(call);
                conversations.sort_by_key(|conversation| (conversation.start, conversation.id));
                id
            }
            Injection::Event {
                conversation_id,
                metric,
                value,
                emitted_at,
                ..
            } => {
                let position = existing(conversation_id)?;
                let conversation = &mut conversations[position];
                let emission = Emission {
                    at: emitted_at.as_millisecond(),
                    value: *value,
                    metric: Metric::parse(metric)?,
                };
                add(conversation, emission)?;
                conversation.id
            }
            Injection::Removal { conversation_id, .. } => {
                let position = existing(conversation_id)?;
                conversations.remove(position).id
            }
        };
        self.days().changed.insert(number, Arc::new(Day { conversations }));
        Some(id.to_string())
    }

    fn call(&self, injection: &Injection, ordinal: usize) -> Option<Conversation> {
        let Injection::Call {
            start,
            queue,
            user,
            wait_ms,
            talk_ms,
            wrap_up_ms,
        } = injection
        else {
            return None;
        };
        let goal_ms = self.directory.queues.get(usize::from(*queue))?.goal_ms(Media::Voice);
        self.directory.users.get(usize::from(*user))?;
        let start = start.as_millisecond();
        let (answered, ended) = (start + wait_ms, start + wait_ms + talk_ms);
        let draft = |purpose| Draft::new(purpose, Media::Voice, Direction::Inbound);

        let mut customer = draft(Purpose::Customer);
        customer.emit(Metric::NConnected, start, 1);
        customer.segment(SegmentKind::Interact, start, ended, Some(Disconnect::Endpoint));
        customer.emit(Metric::TConnected, ended, ended - start);

        let mut acd = draft(Purpose::Acd);
        acd.session.queue = Some(*queue);
        acd.emit(Metric::NOffered, start, 1);
        acd.segment(SegmentKind::Interact, start, answered, Some(Disconnect::Transfer));
        acd.emit(Metric::TAcd, answered, *wait_ms);
        acd.emit(Metric::TWait, answered, *wait_ms);
        let in_time = *wait_ms <= goal_ms;
        if !in_time {
            acd.emit(Metric::NOverSla, answered, 1);
        }
        acd.emit(Metric::OServiceLevel, answered, i64::from(in_time));

        let mut agent = draft(Purpose::Agent);
        agent.session.queue = Some(*queue);
        agent.session.user = Some(*user);
        agent.emit(Metric::TAnswered, answered, *wait_ms);
        agent.segment(SegmentKind::Interact, answered, ended, Some(Disconnect::Peer));
        agent.segment(SegmentKind::Wrapup, ended, ended + wrap_up_ms, None);
        agent.complete(ended + wrap_up_ms);

        Some(Conversation {
            id: Dice::new(
                self.options.seed,
                "injected",
                start ^ i64::try_from(ordinal).unwrap_or(0),
            )
            .id(),
            start,
            originating: Direction::Inbound,
            customer: 0,
            stretched: false,
            sessions: [customer, acd, agent].map(Draft::done).into(),
        })
    }
}

fn add(conversation: &mut Conversation, emission: Emission) -> Option<()> {
    let agents = |session: &super::conversation::Session| matches!(session.purpose, Purpose::Agent | Purpose::User);
    let last = conversation.sessions.len().checked_sub(1)?;
    let position = conversation.sessions.iter().rposition(agents).unwrap_or(last);
    let session = &mut conversation.sessions[position];
    let mut emissions = std::mem::take(&mut session.emissions).into_vec();
    emissions.push(emission);
    emissions.sort_by_key(|emission| (emission.at, emission.metric));
    session.emissions = emissions.into_boxed_slice();
    Some(())
}
