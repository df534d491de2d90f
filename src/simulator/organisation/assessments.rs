//! What is thought of conversations afterwards: evaluations by team leads, surveys of customers.
//!
//! Each is a pure function of the seed and the conversation, and about the last agent who talked in it for a queue.
//!
//! - About one such conversation in eight is **evaluated**: begun within two days after its end, submitted within three
//!   more. Most evaluations are released as they are submitted, the others never; some are rescored within a day. Scores
//!   are emitted once, with the submission.
//! - About one in four that the customer began gets a **survey** within the hour. Less than half are opened, most of
//!   those are finished, and what is not opened expires after a week. A full response has a promoter score (9 and 10
//!   promote, 0 to 6 detract) and a total score; a partial one has neither.
//!
//! Aggregates go by the instant of the event unless `alternateTimeDimension` asks for another; an evaluation that is not
//! released has no `evaluationReleaseDate` and is in no such answer. An event is seen from when it happened on, whatever
//! the time dimension.

use uuid::Uuid;

use super::conversation::{
    About, Atom, Conversation, Dimension, Direction, Emission, Metric, Place, Purpose, SegmentKind, Session,
};
use super::dice::Dice;
use super::directory::{Directory, UserState};
use super::generation::{DAY_MS, HOUR, MINUTE, SECOND};

/// How many days after a conversation's last event it can still be assessed.
pub(super) const ASSESSED_DAYS: i64 = 8;

/// An evaluation or a survey.
pub(super) struct Assessment {
    /// Position of the session it is about.
    pub(super) session: usize,
    /// When it was begun or sent, in milliseconds since the epoch.
    pub(super) created: i64,
    pub(super) released: Option<i64>,
    /// What all its events have for dimensions of its own.
    pub(super) own: Vec<(Dimension, Atom<'static>)>,
    pub(super) events: Vec<Event>,
}

/// Something that happened to it.
pub(super) struct Event {
    pub(super) emission: Emission,
    /// What this event has for dimensions of its own.
    own: Vec<(Dimension, Atom<'static>)>,
}

impl Assessment {
    /// Nothing of it has happened yet.
    pub(super) fn begun(session: usize, created: i64) -> Self {
        Self {
            session,
            created,
            released: None,
            own: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Something happens to it.
    pub(super) fn emit(&mut self, metric: Metric, at: i64, value: i64, own: &[(Dimension, Atom<'static>)]) {
        self.events.push(Event {
            emission: Emission { at, value, metric },
            own: own.to_vec(),
        });
    }

    /// Appends what an event has for a dimension: nothing, one value or several.
    pub(super) fn values<'d>(
        &self,
        event: &Event,
        dimension: Dimension,
        conversation: &Conversation,
        directory: &'d Directory,
        values: &mut Vec<Atom<'d>>,
    ) {
        let own = event.own.iter().chain(&self.own).find(|(one, _)| *one == dimension);
        if let Some((_, value)) = own {
            values.push(*value);
            return;
        }
        let customer = |session: &Session| session.purpose == Purpose::Customer;
        let place = Place {
            session: match dimension {
                Dimension::ExternalContactId => conversation.sessions.iter().position(customer).unwrap_or(0),
                _ => self.session,
            },
            segment: None,
            about: About::WrapUp,
        };
        conversation.values(dimension, place, directory, values);
    }
}

/// The conversation's evaluation, if it gets one.
pub(super) fn evaluation(seed: u64, directory: &Directory, conversation: &Conversation) -> Option<Assessment> {
    let (session, end) = last_talk(conversation)?;
    let mut dice = dice(seed, "evaluation", conversation);
    if !dice.chance(0.12) {
        return None;
    }
    let created = end + dice.between(HOUR, 48 * HOUR);
    let submitted = created + dice.between(10 * MINUTE, 72 * HOUR);
    let released = dice.chance(0.85);
    let form = dice.between(0, 2);
    let form_id = |kind: &str| Atom::Id(Dice::new(seed, kind, form).id());
    let truth = |true_or_false: bool| Atom::Text(if true_or_false { "true" } else { "false" });
    let mut own = vec![
        (Dimension::EvaluationId, Atom::Id(dice.id())),
        (Dimension::FormId, form_id("evaluation form")),
        (Dimension::ContextId, form_id("evaluation context")),
        (Dimension::EvaluationContextId, form_id("evaluation context")),
        (Dimension::Released, truth(released)),
        (Dimension::SystemSubmitted, truth(false)),
    ];
    let agent = conversation.sessions[session].user;
    own.extend(evaluator(directory, agent).map(|evaluator| (Dimension::EvaluatorId, Atom::Id(evaluator))));
    let mut events = Vec::new();
    let mut emit = |metric: Metric, at: i64, value: i64, rescored: bool| {
        events.push(Event {
            emission: Emission { at, value, metric },
            own: vec![(Dimension::Rescored, truth(rescored))],
        });
    };
    emit(Metric::NEvaluations, submitted, 1, false);
    emit(Metric::OTotalScore, submitted, 100 - dice.skewed(0, 51, 2), false);
    emit(
        Metric::OTotalCriticalScore,
        submitted,
        100 - dice.skewed(0, 41, 3),
        false,
    );
    if dice.chance(0.06) {
        emit(
            Metric::NEvaluationsRescored,
            submitted + dice.between(HOUR, 24 * HOUR),
            1,
            true,
        );
    }
    Some(Assessment {
        session,
        created,
        released: released.then_some(submitted),
        own,
        events,
    })
}

/// The team lead of the agent's division; where it has none, that of another.
fn evaluator(directory: &Directory, agent: Option<u8>) -> Option<Uuid> {
    let division = agent.map(|agent| directory.users[usize::from(agent)].division);
    let leads = || {
        let leads = directory.users.iter().filter(|user| user.title == "Team Lead");
        leads.filter(|user| user.state == UserState::Active)
    };
    let own = leads().find(|user| Some(user.division) == division);
    own.or_else(|| leads().next()).map(|user| user.id)
}

/// The survey the conversation's customer gets, if so.
pub(super) fn survey(seed: u64, conversation: &Conversation) -> Option<Assessment> {
    let (session, end) = last_talk(conversation)?;
    let mut dice = dice(seed, "survey", conversation);
    if conversation.originating != Direction::Inbound || !dice.chance(0.25) {
        return None;
    }
    let form_id = |kind: &str| Atom::Id(Dice::new(seed, kind, 0).id());
    let own = vec![
        (Dimension::SurveyId, Atom::Id(dice.id())),
        (Dimension::SurveyFormId, form_id("survey form")),
        (Dimension::SurveyFormContextId, form_id("survey context")),
        (Dimension::SurveyFormName, Atom::Text("After the contact")),
        (Dimension::SurveyType, Atom::Text("Web")),
    ];
    let sent = end + dice.between(MINUTE, HOUR);
    let mut events = Vec::new();
    let mut emit = |metric: Metric, at: i64, value: i64, own: &[(Dimension, Atom<'static>)]| {
        events.push(Event {
            emission: Emission { at, value, metric },
            own: own.to_vec(),
        });
    };
    let status = |status: &'static str| (Dimension::SurveyStatus, Atom::Text(status));
    emit(Metric::NSurveysSent, sent, 1, &[status("Sent")]);
    emit(Metric::NWebSurveys, sent, 1, &[status("Sent")]);
    if dice.chance(0.45) {
        let opened = sent + dice.skewed(2 * MINUTE, 60 * HOUR, 3);
        emit(Metric::NSurveysStarted, opened, 1, &[status("InProgress")]);
        let done = opened + dice.between(30 * SECOND, 10 * MINUTE);
        match dice.weighted(&[15.0, 13.0, 72.0]) {
            0 => emit(Metric::NSurveysAbandoned, done, 1, &[status("Abandoned")]),
            1 => {
                let partial = [
                    status("Finished"),
                    (Dimension::SurveyPartialResponse, Atom::Text("true")),
                ];
                emit(Metric::NSurveyResponses, done, 1, &partial);
                emit(Metric::NSurveyPartialResponses, done, 1, &partial);
            }
            _ => {
                let score = dice.weighted(&PROMOTER_WEIGHTS);
                let full = [
                    status("Finished"),
                    (Dimension::SurveyPartialResponse, Atom::Text("false")),
                    (Dimension::SurveyPromoterScore, Atom::Text(PROMOTER_SCORES[score])),
                ];
                emit(Metric::NSurveyResponses, done, 1, &full);
                emit(Metric::NSurveyFullResponses, done, 1, &full);
                emit(Metric::NSurveyNpsResponses, done, 1, &full);
                match score {
                    9.. => emit(Metric::NSurveyNpsPromoters, done, 1, &full),
                    7 | 8 => {}
                    _ => emit(Metric::NSurveyNpsDetractors, done, 1, &full),
                }
                let total = i64::try_from(score).unwrap_or(0) * 9 + dice.between(0, 11);
                emit(Metric::OSurveyTotalScore, done, total, &full);
            }
        }
    } else {
        emit(Metric::NSurveysExpired, sent + 7 * DAY_MS, 1, &[status("Expired")]);
    }
    Some(Assessment {
        session,
        created: sent,
        released: None,
        own,
        events,
    })
}

const PROMOTER_SCORES: [&str; 11] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
const PROMOTER_WEIGHTS: [f64; 11] = [3.0, 1.0, 1.0, 2.0, 2.0, 5.0, 6.0, 12.0, 22.0, 24.0, 22.0];

/// The last session in which an agent talked for a queue, and when the conversation was over.
pub(super) fn last_talk(conversation: &Conversation) -> Option<(usize, i64)> {
    let talked = |session: &Session| {
        let mut segments = session.segments.iter();
        let agent = session.purpose == Purpose::Agent && session.queue.is_some() && session.user.is_some();
        agent && segments.any(|segment| segment.kind == SegmentKind::Interact)
    };
    let session = conversation.sessions.iter().rposition(talked)?;
    let segments = conversation.sessions.iter().flat_map(|session| &session.segments);
    Some((session, segments.map(|segment| segment.end).max()?))
}

pub(super) fn dice(seed: u64, purpose: &str, conversation: &Conversation) -> Dice {
    let (high, _) = conversation.id.as_u64_pair();
    Dice::new(seed, purpose, high.cast_signed())
}
