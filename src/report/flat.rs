//! Conversations as rows: one row each, with the same columns whatever is in it.
//!
//! A conversation is a tree of participants, sessions and segments; a row says what a spreadsheet or a warehouse
//! asks of it as a whole. Where there can be several (queues, agents, wrap-up codes …), the cell holds all of
//! them, each once, in the order of their time, joined by `;`. Counts are 0 where there were none; a time is
//! empty where nothing was timed, so that means over rows are means over what happened.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::ReportError;
use crate::{
    query::{Zone, catalogue},
    table::{Cell, ColumnKind, LocalInstant, Table, TableColumn},
    upstream::document::{self, ConversationDocument, Participant, Segment, Session, Text},
};

/// The conversations, a row each, with their instants as the clocks of the zone showed them.
///
/// Fails on a document that cannot be read: what it says is not left out in silence.
pub fn conversation_rows(documents: &[Bytes], zone: &Zone) -> Result<Table, ReportError> {
    let rows = documents.iter().map(|document| {
        let document = document::read(document)?;
        let told = Told::new(&document, zone);
        Ok(COLUMNS.iter().map(|column| told.cell(column.what)).collect())
    });
    Ok(Table {
        columns: conversation_columns(),
        rows: rows.collect::<Result<_, ReportError>>()?,
    })
}

/// The columns of every conversation.
pub fn conversation_columns() -> Vec<TableColumn> {
    let column = |column: &FlatColumn| TableColumn {
        name: column.name.to_owned(),
        title: catalogue::in_words(column.name),
        kind: column.what.kind(),
    };
    COLUMNS.iter().map(column).collect()
}

/// Names, kinds and meanings of the columns, as a table in Markdown.
#[cfg(test)]
fn described() -> String {
    let mut text = "| column | holds | meaning |\n| --- | --- | --- |\n".to_owned();
    for column in COLUMNS {
        let holds = match (column.what, column.what.kind()) {
            (What::List(_), _) => "texts",
            (_, ColumnKind::Instant | ColumnKind::Interval) => "instant",
            (_, ColumnKind::Text) => "text",
            (_, ColumnKind::Count) => "count",
            (_, ColumnKind::Milliseconds) => "milliseconds",
            (_, ColumnKind::Ratio | ColumnKind::Quantity) => "number",
        };
        text.push_str("| `");
        text.extend([column.name, "` | ", holds, " | ", column.meaning, " |\n"]);
    }
    text
}

struct FlatColumn {
    name: &'static str,
    what: What,
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/exports.md is checked against it"))]
    meaning: &'static str,
}

/// What a column shows.
#[derive(Clone, Copy)]
enum What {
    Instant(Edge),
    /// From start to end.
    Duration,
    Text(One),
    /// Every distinct one, joined.
    List(Many),
    /// Times emitted by sessions, together.
    Time(&'static str),
    /// How many times that was emitted.
    Times(&'static str),
    /// Values emitted by sessions, together.
    Sum(&'static str),
    /// How many there are.
    Number(Many),
    Participants,
    Sessions,
    /// The worst of the conversation.
    Mos,
}

#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

#[derive(Clone, Copy)]
enum One {
    Id,
    Direction,
    Initiator,
    ExternalTag,
    Ani,
    Dnis,
    AddressFrom,
    AddressTo,
    ExternalContact,
    ExternalOrganization,
    Campaign,
    Disconnect,
    First(Many),
    Last(Many),
}

#[derive(Clone, Copy)]
enum Many {
    Divisions,
    MediaTypes,
    MessageTypes,
    Queues,
    Agents,
    WrapUpCodes,
    Flows,
    Skills,
    Languages,
}

const fn column(name: &'static str, what: What, meaning: &'static str) -> FlatColumn {
    FlatColumn { name, what, meaning }
}

/// The columns, in their order. Names are those of the catalogue where it has them; a friendly name that times
/// something (`talk.time`) is here the conversation's total.
static COLUMNS: &[FlatColumn] = &[
    column("conversation.id", What::Text(One::Id), "The conversation."),
    column("conversation.start", What::Instant(Edge::Start), "When it started."),
    column(
        "conversation.end",
        What::Instant(Edge::End),
        "When it ended; empty while it runs.",
    ),
    column(
        "conversation.duration",
        What::Duration,
        "From start to end; empty while it runs.",
    ),
    column(
        "conversation.direction",
        What::Text(One::Direction),
        "How it began: inbound or outbound.",
    ),
    column(
        "conversation.initiator",
        What::Text(One::Initiator),
        "The purpose of whoever began it.",
    ),
    column("media.type", What::List(Many::MediaTypes), "Media used."),
    column(
        "message.type",
        What::List(Many::MessageTypes),
        "Kinds of messaging used.",
    ),
    column("division.id", What::List(Many::Divisions), "Divisions it belongs to."),
    column(
        "external.tag",
        What::Text(One::ExternalTag),
        "The tag another system put on it.",
    ),
    column(
        "ani",
        What::Text(One::Ani),
        "The caller's number: of the customer's first call, else of the first.",
    ),
    column("dnis", What::Text(One::Dnis), "The number called, likewise."),
    column(
        "address.from",
        What::Text(One::AddressFrom),
        "Where a message came from, likewise.",
    ),
    column(
        "address.to",
        What::Text(One::AddressTo),
        "Where a message went, likewise.",
    ),
    column(
        "external.contact.id",
        What::Text(One::ExternalContact),
        "The customer, as an external contact.",
    ),
    column(
        "external.organization.id",
        What::Text(One::ExternalOrganization),
        "The customer's organisation.",
    ),
    column(
        "outbound.campaign.id",
        What::Text(One::Campaign),
        "The campaign that dialled.",
    ),
    column("flow.id", What::List(Many::Flows), "Flows it went through."),
    column("routing.queue.id", What::List(Many::Queues), "Queues it was in."),
    column(
        "routing.queue.first.id",
        What::Text(One::First(Many::Queues)),
        "The first of them.",
    ),
    column(
        "routing.queue.last.id",
        What::Text(One::Last(Many::Queues)),
        "The last of them to be entered.",
    ),
    column("skill.requested.id", What::List(Many::Skills), "Skills asked for."),
    column(
        "routing.language.id",
        What::List(Many::Languages),
        "Languages asked for.",
    ),
    column(
        "agent.id",
        What::List(Many::Agents),
        "Agents (or other users) who took part, alerted ones included.",
    ),
    column(
        "agent.first.id",
        What::Text(One::First(Many::Agents)),
        "The first of them.",
    ),
    column(
        "agent.last.id",
        What::Text(One::Last(Many::Agents)),
        "The last of them to join.",
    ),
    column("wrapup.code.id", What::List(Many::WrapUpCodes), "Wrap-up codes chosen."),
    column(
        "disconnect.type",
        What::Text(One::Disconnect),
        "How it ended for the customer: of the segment that ended last, of the customer's if one says.",
    ),
    column(
        "participant.count",
        What::Participants,
        "Participants, customers and systems included.",
    ),
    column("session.count", What::Sessions, "Sessions of all participants."),
    column(
        "agent.count",
        What::Number(Many::Agents),
        "Different agents who took part.",
    ),
    column(
        "conversation.offered",
        What::Sum("nOffered"),
        "Times offered to a queue.",
    ),
    column("conversation.answered", What::Times("tAnswered"), "Times answered."),
    column(
        "conversation.abandoned",
        What::Times("tAbandon"),
        "Times given up while waiting.",
    ),
    column(
        "conversation.handled",
        What::Times("tHandle"),
        "Times handled by an agent.",
    ),
    column(
        "conversation.over.sla",
        What::Sum("nOverSla"),
        "Times answered later than the service level allows.",
    ),
    column("conversation.transferred", What::Sum("nTransferred"), "Transfers."),
    column(
        "transfer.blind",
        What::Sum("nBlindTransferred"),
        "Transfers without consulting first.",
    ),
    column(
        "transfer.consult",
        What::Sum("nConsultTransferred"),
        "Transfers after consulting.",
    ),
    column("consult.count", What::Sum("nConsult"), "Consultations."),
    column("conversation.outbound", What::Sum("nOutbound"), "Outbound legs placed."),
    column(
        "outbound.connected",
        What::Sum("nOutboundConnected"),
        "Outbound legs that reached a customer.",
    ),
    column("error.count", What::Sum("nError"), "Sessions that ended in an error."),
    column("ivr.time", What::Time("tIvr"), "Time in the IVR."),
    column("acd.time", What::Time("tAcd"), "Time in queues, however it ended."),
    column("answer.time", What::Time("tAnswered"), "Time waited until answered."),
    column("abandon.time", What::Time("tAbandon"), "Time waited until given up."),
    column(
        "short.abandon.time",
        What::Time("tShortAbandon"),
        "Time waited until given up soon.",
    ),
    column(
        "flow.out.time",
        What::Time("tFlowOut"),
        "Time waited until leaving the queue for elsewhere.",
    ),
    column("alert.time", What::Time("tAlert"), "Time agents were alerted."),
    column(
        "not.responding.time",
        What::Time("tNotResponding"),
        "Time agents did not respond to an alert.",
    ),
    column(
        "contact.time",
        What::Time("tContacting"),
        "Time contacting the other party.",
    ),
    column("dial.time", What::Time("tDialing"), "Time dialling."),
    column("talk.time", What::Time("tTalkComplete"), "Talk of all agents."),
    column("hold.time", What::Time("tHeldComplete"), "Time on hold."),
    column("acw.time", What::Time("tAcw"), "After-call work."),
    column(
        "handle.time",
        What::Time("tHandle"),
        "Contacting, dialling, talk, hold and after-call work together.",
    ),
    column("park.time", What::Time("tParkComplete"), "Time parked."),
    column(
        "agent.response.time",
        What::Time("tAgentResponseTime"),
        "Time agents took to respond to messages.",
    ),
    column(
        "user.response.time",
        What::Time("tUserResponseTime"),
        "Time users took to respond to messages.",
    ),
    column(
        "callback.active.time",
        What::Time("tActiveCallbackComplete"),
        "Active time of callbacks.",
    ),
    column("voicemail.time", What::Time("tVoicemail"), "Time leaving a voicemail."),
    column("mos", What::Mos, "The worst mean opinion score of its audio, 1 to 5."),
];

impl What {
    const fn kind(self) -> ColumnKind {
        match self {
            Self::Instant(_) => ColumnKind::Instant,
            Self::Duration | Self::Time(_) => ColumnKind::Milliseconds,
            Self::Text(_) | Self::List(_) => ColumnKind::Text,
            Self::Times(_) | Self::Sum(_) | Self::Number(_) | Self::Participants | Self::Sessions => ColumnKind::Count,
            Self::Mos => ColumnKind::Quantity,
        }
    }
}

/// A conversation with its emissions added up and its segments in the order of their time.
struct Told<'d> {
    document: &'d ConversationDocument<'d>,
    zone: &'d Zone,
    /// Sum and number, by the metric's name.
    emitted: HashMap<&'d str, (f64, f64)>,
    /// By their start; what has none comes first.
    segments: Vec<(&'d Participant<'d>, &'d Session<'d>, &'d Segment<'d>)>,
}

impl<'d> Told<'d> {
    fn new(document: &'d ConversationDocument<'d>, zone: &'d Zone) -> Self {
        let mut told = Self {
            document,
            zone,
            emitted: HashMap::new(),
            segments: Vec::new(),
        };
        for (participant, session) in told.sessions() {
            for metric in session.metrics.iter().flatten() {
                if let (Some(name), Some(value)) = (&metric.name, metric.value) {
                    let (sum, number) = told.emitted.entry(&**name).or_default();
                    *sum += value;
                    *number += 1.0;
                }
            }
            let segments = session.segments.iter().flatten();
            told.segments
                .extend(segments.map(|segment| (participant, session, segment)));
        }
        told.segments.sort_by_key(|(_, _, segment)| segment.segment_start);
        told
    }

    fn sessions(&self) -> impl Iterator<Item = (&'d Participant<'d>, &'d Session<'d>)> + use<'d> {
        let participants = self.document.participants.iter().flatten();
        participants.flat_map(|participant| {
            let sessions = participant.sessions.iter().flatten();
            sessions.map(move |session| (participant, session))
        })
    }

    fn cell(&self, what: What) -> Cell {
        let number = |number: usize| Cell::Number(number as f64);
        match what {
            What::Instant(Edge::Start) => self.instant(self.document.conversation_start),
            What::Instant(Edge::End) => self
                .document
                .conversation_end
                .map_or(Cell::Empty, |end| self.instant(end)),
            What::Duration => self.document.conversation_end.map_or(Cell::Empty, |end| {
                let lasted = end.duration_since(self.document.conversation_start);
                Cell::Number(lasted.as_millis() as f64)
            }),
            What::Text(one) => self.one(one).map_or(Cell::Empty, |text| Cell::Text(text.into())),
            What::List(many) => match &self.many(many)[..] {
                [] => Cell::Empty,
                values => Cell::Text(values.join(";").into()),
            },
            What::Time(metric) => self
                .emitted
                .get(metric)
                .map_or(Cell::Empty, |(sum, _)| Cell::Number(*sum)),
            What::Times(metric) => Cell::Number(self.emitted.get(metric).map_or(0.0, |(_, times)| *times)),
            What::Sum(metric) => Cell::Number(self.emitted.get(metric).map_or(0.0, |(sum, _)| *sum)),
            What::Number(many) => number(self.many(many).len()),
            What::Participants => number(self.document.participants.iter().flatten().count()),
            What::Sessions => number(self.sessions().count()),
            What::Mos => self
                .document
                .media_stats_min_conversation_mos
                .map_or(Cell::Empty, Cell::Number),
        }
    }

    fn instant(&self, at: Timestamp) -> Cell {
        let offset = self.zone.offset_at(at);
        Cell::Instant(LocalInstant { at, offset })
    }

    fn one(&self, one: One) -> Option<&'d str> {
        let document = self.document;
        match one {
            One::Id => Some(&*document.conversation_id),
            One::Direction => document.originating_direction.as_deref(),
            One::Initiator => document.conversation_initiator.as_deref(),
            One::ExternalTag => document.external_tag.as_deref(),
            One::Ani => self.of_session(|session| session.ani.as_ref()),
            One::Dnis => self.of_session(|session| session.dnis.as_ref()),
            One::AddressFrom => self.of_session(|session| session.address_from.as_ref()),
            One::AddressTo => self.of_session(|session| session.address_to.as_ref()),
            One::Campaign => self.of_session(|session| session.outbound_campaign_id.as_ref()),
            One::ExternalContact => self.of_participant(|participant| participant.external_contact_id.as_ref()),
            One::ExternalOrganization => {
                self.of_participant(|participant| participant.external_organization_id.as_ref())
            }
            One::Disconnect => self.disconnect(),
            One::First(many) => self.many(many).first().copied(),
            // Not of the distinct ones: who was first may also be last.
            One::Last(many) => self.all(many).last(),
        }
    }

    /// Of the customer's first session that has one, else of the first of all.
    fn of_session(&self, value: impl Fn(&'d Session<'d>) -> Option<&'d Text<'d>>) -> Option<&'d str> {
        let found = |customers: bool| {
            let mut sessions = self
                .sessions()
                .filter(|(participant, _)| !customers || is_customer(participant));
            sessions.find_map(|(_, session)| value(session))
        };
        found(true).or_else(|| found(false)).map(|text| &**text)
    }

    fn of_participant(&self, value: impl Fn(&'d Participant<'d>) -> Option<&'d Text<'d>>) -> Option<&'d str> {
        let mut participants = self.document.participants.iter().flatten();
        participants.find_map(value).map(|text| &**text)
    }

    fn disconnect(&self) -> Option<&'d str> {
        let found = |customers: bool| {
            let segments = self.segments.iter();
            let said = segments
                .filter(|(participant, ..)| !customers || is_customer(participant))
                .filter_map(|(_, _, segment)| Some((segment.segment_end?, segment.disconnect_type.as_deref()?)));
            said.max_by_key(|(end, _)| *end).map(|(_, disconnect)| disconnect)
        };
        found(true).or_else(|| found(false))
    }

    /// Each once, in the order of their time.
    fn many(&self, many: Many) -> Vec<&'d str> {
        let mut values = Vec::new();
        for value in self.all(many) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// As often as they are said, in the order of their time.
    fn all(&self, many: Many) -> Box<dyn Iterator<Item = &'d str> + '_> {
        let segments = self.segments.iter();
        let sessions = self.segments.iter().map(|(_, session, _)| *session);
        match many {
            Many::Divisions => Box::new(self.document.division_ids.iter().flatten().map(|text| &**text)),
            Many::MediaTypes => Box::new(sessions.filter_map(|session| session.media_type.as_deref())),
            Many::MessageTypes => Box::new(sessions.filter_map(|session| session.message_type.as_deref())),
            Many::Flows => Box::new(sessions.filter_map(|session| session.flow.as_ref()?.flow_id.as_deref())),
            Many::Queues => Box::new(segments.filter_map(|(_, _, segment)| segment.queue_id.as_deref())),
            Many::WrapUpCodes => Box::new(segments.filter_map(|(_, _, segment)| segment.wrap_up_code.as_deref())),
            Many::Languages => {
                Box::new(segments.filter_map(|(_, _, segment)| segment.requested_language_id.as_deref()))
            }
            Many::Skills => Box::new(
                segments
                    .flat_map(|(_, _, segment)| segment.requested_routing_skill_ids.iter().flatten())
                    .map(|text| &**text),
            ),
            Many::Agents => Box::new(segments.filter_map(|(participant, ..)| {
                let took_part = matches!(participant.purpose.as_deref(), Some("agent" | "user"));
                participant.user_id.as_deref().filter(|_| took_part)
            })),
        }
    }
}

fn is_customer(participant: &Participant<'_>) -> bool {
    matches!(participant.purpose.as_deref(), Some("customer" | "external"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(document: &Value) -> HashMap<String, String> {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let table = conversation_rows(&[Bytes::from(document.to_string())], &zone).unwrap();
        let shown = |cell: &Cell| -> String {
            match cell {
                Cell::Empty => String::new(),
                Cell::Interval(range) => range.to_string(),
                Cell::Instant(instant) => instant.to_string(),
                Cell::Text(text) => text.to_string(),
                Cell::Number(number) => number.to_string(),
            }
        };
        let names = table.columns.iter().map(|column| column.name.clone());
        names.zip(table.rows[0].iter().map(shown)).collect()
    }

    /// A customer calls, waits, talks to Ann, is passed to Bob's queue, talks to Bob and to Ann again.
    fn transferred() -> Value {
        let at = |minute: u32| format!("2026-03-01T10:{minute:02}:00.000Z");
        let segment = |from: u32, to: u32, queue: &str, disconnect: Option<&str>| {
            json!({"segmentStart": at(from), "segmentEnd": at(to), "queueId": queue, "disconnectType": disconnect,
                "requestedRoutingSkillIds": ["s2", "s1"]})
        };
        let agent = |user: &str, segments: &[Value], metrics: Value| {
            json!({"purpose": "agent", "userId": user, "sessions": [
                {"mediaType": "voice", "segments": segments, "metrics": metrics}]})
        };
        json!({
            "conversationId": "c", "conversationStart": at(0), "conversationEnd": at(30),
            "originatingDirection": "inbound", "divisionIds": ["d1", "d2"],
            "mediaStatsMinConversationMos": 4.25,
            "participants": [
                agent("bob", &[segment(12, 20, "q2", None)], json!([
                    {"name": "tTalkComplete", "value": 480_000}, {"name": "tHandle", "value": 480_000}])),
                agent("ann", &[segment(2, 10, "q1", Some("transfer")), segment(20, 30, "q2", Some("peer"))], json!([
                    {"name": "tTalkComplete", "value": 1_080_000}, {"name": "nTransferred", "value": 1},
                    {"name": "tHandle", "value": 1_080_000}])),
                {"purpose": "acd", "sessions": [{"mediaType": "voice", "ani": "tel:+1", "segments": [
                    segment(0, 2, "q1", None)], "metrics": [{"name": "nOffered", "value": 1}]}]},
                {"purpose": "customer", "externalContactId": "e", "sessions": [
                    {"mediaType": "voice", "ani": "tel:+2", "segments": [
                        {"segmentStart": at(0), "segmentEnd": at(30), "disconnectType": "endpoint"}]}]},
            ],
        })
    }

    #[test]
    fn a_row_says_what_happened_in_the_order_of_time() {
        let row = shown(&transferred());
        for (name, expected) in [
            ("conversation.id", "c"),
            ("conversation.start", "2026-03-01T11:00:00.000+01:00"),
            ("conversation.duration", "1800000"),
            ("media.type", "voice"),
            ("division.id", "d1;d2"),
            ("routing.queue.id", "q1;q2"),
            ("routing.queue.first.id", "q1"),
            ("routing.queue.last.id", "q2"),
            ("agent.id", "ann;bob"),
            ("agent.first.id", "ann"),
            ("agent.last.id", "ann"),
            ("agent.count", "2"),
            ("skill.requested.id", "s2;s1"),
            ("ani", "tel:+2"),
            ("disconnect.type", "endpoint"),
            ("external.contact.id", "e"),
            ("participant.count", "4"),
            ("session.count", "4"),
            ("talk.time", "1560000"),
            ("conversation.handled", "2"),
            ("conversation.transferred", "1"),
            ("conversation.abandoned", "0"),
            ("abandon.time", ""),
            ("mos", "4.25"),
            ("external.tag", ""),
        ] {
            assert_eq!(row[name], expected, "{name}");
        }
    }

    #[test]
    fn the_least_a_document_says_makes_a_row() {
        let row = shown(&json!({"conversationId": "c", "conversationStart": "2026-03-01T10:00:00Z"}));
        assert_eq!(row["conversation.end"], "");
        assert_eq!(row["conversation.duration"], "");
        assert_eq!(
            (&*row["participant.count"], &*row["agent.id"], &*row["mos"]),
            ("0", "", "")
        );
    }

    #[test]
    fn a_document_that_cannot_be_read_is_an_error() {
        let zone = Zone::utc();
        let documents = [Bytes::from(transferred().to_string()), Bytes::from("{}")];
        assert!(conversation_rows(&documents, &zone).is_err());
        assert!(conversation_rows(&[], &zone).unwrap().rows.is_empty());
    }

    #[test]
    fn every_column_has_a_name_of_its_own_and_is_documented() {
        let mut names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exports.md");
        let documented = std::fs::read_to_string(path).unwrap();
        assert!(
            documented.contains(&described()),
            "docs/exports.md should have:\n{}",
            described()
        );
    }
}
