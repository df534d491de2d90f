//! The dimensions of all families: those of conversations in the order of their friendly names' first words, then
//! those only the details query filters on, then those of other families only.

use super::{
    DetailsLevel::{Conversation, Segment},
    Dimension, Families, Lookup,
};
use crate::query::Source;

/// Every dimension: what aggregates of a family group by and filter on, and what the details query filters on.
///
/// Not among them are dates and measures (`conversationStart`, `segmentEnd`, `mediaStatsMinConversationMos`,
/// `surveyCreatedDate`, …), which are matched by ranges, not by values.
pub static DIMENSIONS: &[Dimension] = &[
    aggregate(
        "addressFrom",
        "address.from",
        "The address a message or call came from.",
    )
    .details(Segment),
    aggregate("addressTo", "address.to", "The address a message or call went to.").details(Segment),
    aggregate(
        "destinationAddress",
        "address.destination",
        "An address that was dialled or written to.",
    )
    .many()
    .details(Segment),
    aggregate(
        "agentAssistantId",
        "agent.assistant.id",
        "The agent assistant at work in the session.",
    )
    .details(Segment),
    aggregate("userId", "agent.id", "The agent (or other user) who took part.")
        .named("agent.name", Lookup::Users)
        .details(Segment)
        .of(Source::Users)
        .of(Source::Evaluations)
        .of(Source::Surveys),
    aggregate(
        "agentOwned",
        "agent.owned",
        "Whether the callback belongs to one agent: true or false.",
    )
    .details(Segment),
    aggregate(
        "proposedAgentId",
        "agent.proposed.id",
        "An agent whom predictive routing proposed.",
    )
    .many()
    .named("agent.proposed.name", Lookup::Users),
    aggregate("agentRank", "agent.rank", "The rank of a proposed agent.").many(),
    aggregate(
        "agentScore",
        "agent.score",
        "The score of an agent considered by routing.",
    )
    .many(),
    aggregate("scoredAgentId", "agent.scored.id", "An agent whom routing scored.")
        .many()
        .named("agent.scored.name", Lookup::Users)
        .details(Segment),
    aggregate(
        "selectedAgentId",
        "agent.selected.id",
        "The agent whom routing selected.",
    )
    .named("agent.selected.name", Lookup::Users),
    aggregate(
        "selectedAgentRank",
        "agent.selected.rank",
        "The rank of the agent whom routing selected.",
    ),
    aggregate("ani", "ani", "The caller's number (automatic number identification).").details(Segment),
    aggregate(
        "assignerId",
        "assigner.id",
        "The user who assigned the conversation by hand.",
    )
    .named("assigner.name", Lookup::Users),
    aggregate(
        "authenticated",
        "customer.authenticated",
        "Whether the customer was authenticated: true or false.",
    )
    .details(Segment),
    aggregate("conversationId", "conversation.id", "The conversation.")
        .details(Conversation)
        .of(Source::Evaluations)
        .of(Source::Surveys),
    aggregate(
        "conversationInitiator",
        "conversation.initiator",
        "The purpose of whoever began the conversation.",
    )
    .details(Conversation),
    aggregate(
        "originatingDirection",
        "conversation.direction",
        "The direction of the first contact: inbound or outbound.",
    )
    .details(Conversation),
    aggregate(
        "originatingSocialMediaPublic",
        "conversation.public",
        "Whether it began in public on social media: true or false.",
    )
    .details(Conversation)
    .not_of(Source::Flows),
    aggregate(
        "selfServed",
        "conversation.self.served",
        "Whether no human agent was needed: true or false.",
    ),
    aggregate(
        "customerParticipation",
        "customer.participation",
        "Whether a customer took part: true or false.",
    )
    .details(Conversation),
    aggregate(
        "deliveryStatus",
        "delivery.status",
        "What became of a message: Sent, DeliverySuccess, Failed and others.",
    )
    .details(Segment),
    aggregate(
        "extendedDeliveryStatus",
        "delivery.extended",
        "What became of a message, in the carrier's words.",
    )
    .details(Segment),
    aggregate(
        "direction",
        "direction",
        "The direction of the session: inbound or outbound.",
    )
    .details(Segment),
    aggregate(
        "disconnectType",
        "disconnect.type",
        "How the session ended: peer, client, transfer and others.",
    )
    .details(Segment),
    aggregate("divisionId", "division.id", "A division the conversation belongs to.")
        .many()
        .named("division.name", Lookup::Divisions)
        .details(Conversation)
        .of(Source::Evaluations)
        .of(Source::Surveys),
    aggregate("dnis", "dnis", "The number that was called.").details(Segment),
    aggregate("edgeId", "edge.id", "The edge that carried the call.").details(Segment),
    aggregate("errorCode", "error.code", "The error that ended the session.").details(Segment),
    aggregate(
        "externalContactId",
        "external.contact.id",
        "The customer, as an external contact.",
    )
    .details(Segment)
    .of(Source::Surveys),
    aggregate(
        "canonicalExternalContactId",
        "external.contact.canonical.id",
        "The customer, as the external contact others were merged into.",
    )
    .only_filterable()
    .details(Segment),
    aggregate(
        "externalOrganizationId",
        "external.organization.id",
        "The customer's organisation.",
    )
    .details(Segment),
    aggregate(
        "externalTag",
        "external.tag",
        "The tag another system put on the conversation.",
    )
    .details(Conversation),
    aggregate("flaggedReason", "flagged.reason", "Why a participant was flagged.").details(Segment),
    aggregate("flowInType", "flow.in.type", "How the conversation came into the flow."),
    aggregate(
        "flowOutType",
        "flow.out.type",
        "How the conversation left the queue or flow unanswered.",
    )
    .details(Segment),
    aggregate(
        "groupId",
        "group.id",
        "A group of agents the conversation was offered to.",
    )
    .many()
    .details(Segment),
    aggregate("interactionType", "interaction.type", "The type of interaction."),
    aggregate(
        "journeyActionId",
        "journey.action.id",
        "The web action that led to the conversation.",
    )
    .details(Segment),
    aggregate(
        "journeyActionMapId",
        "journey.map.id",
        "The action map that led to the conversation.",
    )
    .details(Segment),
    aggregate(
        "journeyActionMapVersion",
        "journey.map.version",
        "The version of that action map.",
    ),
    aggregate(
        "journeyCustomerId",
        "journey.customer.id",
        "The customer, as journeys know them.",
    )
    .details(Segment),
    aggregate(
        "journeyCustomerIdType",
        "journey.customer.type",
        "What kind of id that is, such as a cookie.",
    )
    .details(Segment),
    aggregate(
        "journeyCustomerSessionId",
        "journey.session.id",
        "The customer's web session.",
    )
    .details(Segment),
    aggregate(
        "journeyCustomerSessionIdType",
        "journey.session.type",
        "What kind of web session that is.",
    ),
    aggregate(
        "knowledgeBaseId",
        "knowledge.base.id",
        "A knowledge base that was consulted.",
    )
    .many(),
    aggregate(
        "convertedFrom",
        "media.converted.from",
        "The media type the session was converted from.",
    ),
    aggregate(
        "convertedTo",
        "media.converted.to",
        "The media type the session was converted to.",
    ),
    aggregate(
        "mediaCount",
        "media.count",
        "How many media items the session's messages carried.",
    )
    .details(Segment),
    aggregate(
        "externalMediaCount",
        "media.external.count",
        "How many media items the customer sent.",
    ),
    aggregate(
        "mediaType",
        "media.type",
        "voice, chat, email, message, callback and others; the upstream adds it to every group.",
    )
    .details(Segment)
    .of(Source::Evaluations)
    .of(Source::Surveys),
    aggregate("videoPresent", "media.video", "Whether there was video: true or false."),
    aggregate(
        "messageType",
        "message.type",
        "The messaging platform: sms, whatsapp, webmessaging and others.",
    )
    .details(Segment),
    aggregate("outboundCampaignId", "outbound.campaign.id", "The outbound campaign.").details(Segment),
    aggregate(
        "outboundContactId",
        "outbound.contact.id",
        "The contact of an outbound campaign.",
    )
    .details(Segment),
    aggregate(
        "outboundContactListId",
        "outbound.list.id",
        "The contact list of an outbound campaign.",
    )
    .details(Segment),
    aggregate(
        "participantName",
        "participant.name",
        "The participant's name, as shown to agents.",
    )
    .details(Segment),
    aggregate(
        "purpose",
        "participant.purpose",
        "What the participant is: customer, acd, agent, ivr and others.",
    )
    .details(Segment),
    aggregate("remote", "party.remote", "The other party's name or address.").details(Segment),
    aggregate("provider", "provider", "The system that carried the session.").details(Segment),
    aggregate(
        "activeRouting",
        "routing.active",
        "The routing method that was trying to place the conversation.",
    ),
    aggregate(
        "agentBullseyeRing",
        "routing.bullseye.ring",
        "The bullseye ring of the agent.",
    ),
    aggregate(
        "eligibleAgentCount",
        "routing.eligible.agents",
        "How many agents were eligible.",
    )
    .many(),
    aggregate("requestedLanguageId", "routing.language.id", "The language asked for.")
        .named("routing.language.name", Lookup::Languages)
        .details(Segment)
        .of(Source::Surveys),
    aggregate("routingPriority", "routing.priority", "The priority in the queue."),
    aggregate(
        "firstQueue",
        "routing.queue.first",
        "Whether this was the conversation's first queue: true or false.",
    ),
    aggregate("queueId", "routing.queue.id", "The queue.")
        .named("routing.queue.name", Lookup::Queues)
        .details(Segment)
        .of(Source::Evaluations)
        .of(Source::Surveys),
    aggregate(
        "requestedRouting",
        "routing.requested",
        "A routing method asked for: Standard, Bullseye, Predictive and others.",
    )
    .many()
    .details(Segment),
    aggregate(
        "routingRing",
        "routing.ring",
        "The bullseye ring the conversation reached.",
    ),
    aggregate("routingRule", "routing.rule.id", "The routing rule that was applied."),
    aggregate(
        "routingRuleType",
        "routing.rule.type",
        "The type of the routing rule that was applied.",
    ),
    aggregate(
        "usedRouting",
        "routing.used",
        "The routing method that placed the conversation.",
    )
    .details(Segment),
    aggregate(
        "waitingInteractionCount",
        "routing.waiting.interactions",
        "How many interactions were waiting.",
    )
    .many(),
    aggregate("sessionDnis", "session.dnis", "The number called, of this session.").details(Segment),
    aggregate("sessionId", "session.id", "The session: one participant on one medium."),
    aggregate("peerId", "session.peer.id", "The session at the other end."),
    aggregate("roomId", "session.room.id", "The room of a chat or conference."),
    aggregate("activeSkillId", "skill.active.id", "A skill in force when routed.")
        .many()
        .named("skill.active.name", Lookup::Skills),
    aggregate(
        "skillExpressionId",
        "skill.expression.id",
        "The skill expression that was applied.",
    )
    .details(Segment),
    aggregate(
        "removedSkillId",
        "skill.removed.id",
        "A skill dropped to find an agent.",
    )
    .many()
    .named("skill.removed.name", Lookup::Skills),
    aggregate("requestedRoutingSkillId", "skill.requested.id", "A skill asked for.")
        .many()
        .named("skill.requested.name", Lookup::Skills)
        .details(Segment)
        .of(Source::Surveys),
    aggregate("stationId", "station.id", "The station (phone) of the agent."),
    aggregate("teamId", "team.id", "The agent's team.")
        .details(Segment)
        .of(Source::Evaluations)
        .of(Source::Surveys),
    aggregate("wrapUpCode", "wrapup.code.id", "The wrap-up code the agent chose.")
        .named("wrapup.code.name", Lookup::WrapUpCodes)
        .details(Segment)
        .of(Source::Surveys),
    details(
        Conversation,
        "accessAttribute",
        "access.attribute",
        "An attribute that governs access to the conversation.",
    )
    .many(),
    details(Segment, "callbackNumber", "callback.number", "A number to call back.").many(),
    details(
        Segment,
        "cleared",
        "session.cleared",
        "Whether the session was cleared: true or false.",
    ),
    details(
        Segment,
        "conference",
        "segment.conference",
        "Whether the segment was a conference: true or false.",
    ),
    details(
        Segment,
        "bargedParticipantId",
        "participant.barged.id",
        "The participant who was barged in on.",
    ),
    details(
        Segment,
        "coachedParticipantId",
        "participant.coached.id",
        "The participant who was coached.",
    ),
    details(
        Segment,
        "monitoredParticipantId",
        "participant.monitored.id",
        "The participant who was monitored.",
    ),
    details(
        Segment,
        "deliveryPushed",
        "delivery.pushed",
        "Whether delivery was pushed: true or false.",
    ),
    details(
        Segment,
        "destinationConversationId",
        "destination.conversation.id",
        "The conversation this one went on in.",
    ),
    details(
        Segment,
        "engagementSource",
        "engagement.source",
        "What the customer clicked or came through.",
    ),
    details(Segment, "exitReason", "flow.exit.reason", "Why the flow ended.").of(Source::Flows),
    details(Segment, "flowId", "flow.id", "The flow.")
        .named("flow.name", Lookup::Flows)
        .of(Source::Flows),
    details(Segment, "flowName", "flow.title", "The flow's name when it ran.").of(Source::Flows),
    details(
        Segment,
        "flowOutcomeId",
        "flow.outcome.id",
        "An outcome the flow reported.",
    )
    .many()
    .of(Source::Flows),
    details(
        Segment,
        "flowOutcome",
        "flow.outcome.name",
        "The name of an outcome the flow reported.",
    )
    .many()
    .of(Source::Flows),
    details(
        Segment,
        "flowOutcomeValue",
        "flow.outcome.value",
        "Success or failure of an outcome.",
    )
    .many()
    .of(Source::Flows),
    details(Segment, "flowVersion", "flow.version", "The flow's version.").of(Source::Flows),
    details(
        Segment,
        "transferTargetAddress",
        "flow.transfer.address",
        "The address the flow transferred to.",
    )
    .of(Source::Flows),
    details(
        Segment,
        "transferTargetName",
        "flow.transfer.name",
        "The name of what the flow transferred to.",
    )
    .of(Source::Flows),
    details(
        Segment,
        "transferType",
        "flow.transfer.type",
        "How the flow transferred.",
    )
    .of(Source::Flows),
    details(
        Segment,
        "protocolCallId",
        "protocol.call.id",
        "The call's id in the telephony protocol.",
    ),
    details(
        Segment,
        "recording",
        "session.recorded",
        "Whether the session was recorded: true or false.",
    ),
    details(
        Segment,
        "remoteNameDisplayable",
        "party.displayable",
        "The other party's name, as it may be shown.",
    ),
    details(
        Segment,
        "screenMonitoredUserId",
        "agent.screen.monitored.id",
        "The agent whose screen was monitored.",
    )
    .named("agent.screen.monitored.name", Lookup::Users),
    details(
        Segment,
        "screenRecording",
        "participant.screen.recorded",
        "Whether the screen was recorded: true or false.",
    ),
    details(Segment, "scriptId", "script.id", "The script shown to the agent."),
    details(
        Segment,
        "segmentType",
        "segment.type",
        "What went on: interact, hold, wrapup, alert, ivr and others.",
    ),
    details(
        Segment,
        "sipResponseCode",
        "sip.response.code",
        "A SIP response code of the segment.",
    )
    .many(),
    details(
        Segment,
        "snippetRecording",
        "session.snippet.recorded",
        "Whether a snippet was recorded: true or false.",
    ),
    details(Segment, "subject", "segment.subject", "The subject of an e-mail."),
    details(Segment, "wrapUpNote", "wrapup.note", "The agent's note at wrap-up."),
    only(
        Source::Flows,
        "entryReason",
        "flow.entry.reason",
        "What brought the interaction to the flow, such as the address dialled.",
    ),
    only(
        Source::Flows,
        "entryType",
        "flow.entry.type",
        "How the interaction came to the flow.",
    ),
    only(
        Source::Flows,
        "endingLanguage",
        "flow.language.ending",
        "The language a flow ended in.",
    ),
    only(
        Source::Flows,
        "startingLanguage",
        "flow.language.starting",
        "The language a flow started in.",
    ),
    only(
        Source::Flows,
        "flowMilestoneId",
        "flow.milestone.id",
        "A milestone reached in a flow.",
    )
    .many(),
    only(
        Source::Flows,
        "recognitionFailureReason",
        "flow.recognition.failure",
        "Why speech or text was not recognised.",
    ),
    only(Source::Flows, "flowSubType", "flow.subtype", "The subtype of a flow."),
    only(
        Source::Flows,
        "flowType",
        "flow.type",
        "The type of a flow, such as inboundcall.",
    ),
    only(
        Source::Evaluations,
        "assigneeApplicable",
        "evaluation.assignee.applicable",
        "Whether the evaluation is assigned to somebody: true or false.",
    ),
    only(
        Source::Evaluations,
        "assigneeId",
        "evaluation.assignee.id",
        "The user the evaluation is assigned to.",
    )
    .named("evaluation.assignee.name", Lookup::Users),
    only(
        Source::Evaluations,
        "calibrationId",
        "evaluation.calibration.id",
        "The calibration the evaluation is part of.",
    ),
    only(
        Source::Evaluations,
        "evaluationContextId",
        "evaluation.context.id",
        "The evaluation, whatever its version.",
    ),
    only(
        Source::Evaluations,
        "evaluatorId",
        "evaluation.evaluator.id",
        "The user who evaluated.",
    )
    .named("evaluation.evaluator.name", Lookup::Users),
    only(
        Source::Evaluations,
        "contextId",
        "evaluation.form.context.id",
        "The evaluation form, whatever its version (contextId).",
    ),
    only(
        Source::Evaluations,
        "formId",
        "evaluation.form.id",
        "The version of the evaluation form.",
    ),
    only(Source::Evaluations, "evaluationId", "evaluation.id", "The evaluation."),
    only(
        Source::Evaluations,
        "released",
        "evaluation.released",
        "Whether the agent can see the evaluation: true or false.",
    ),
    only(
        Source::Evaluations,
        "rescored",
        "evaluation.rescored",
        "Whether the evaluation was scored again: true or false.",
    ),
    only(
        Source::Evaluations,
        "systemSubmitted",
        "evaluation.system.submitted",
        "Whether the system submitted the evaluation: true or false.",
    ),
    only(
        Source::Surveys,
        "surveyAnswerId",
        "survey.answer.id",
        "The answer chosen.",
    ),
    only(
        Source::Surveys,
        "surveyErrorReason",
        "survey.error.reason",
        "Why a survey failed.",
    ),
    only(
        Source::Surveys,
        "surveyFormContextId",
        "survey.form.context.id",
        "The survey form, whatever its version.",
    ),
    only(
        Source::Surveys,
        "surveyFormId",
        "survey.form.id",
        "The version of the survey form.",
    ),
    only(
        Source::Surveys,
        "surveyFormName",
        "survey.form.name",
        "The name of the survey form.",
    ),
    only(Source::Surveys, "surveyId", "survey.id", "The survey."),
    only(
        Source::Surveys,
        "surveyPartialResponse",
        "survey.partial",
        "Whether only a part was answered: true or false.",
    ),
    only(
        Source::Surveys,
        "surveyPromoterScore",
        "survey.promoter.score",
        "How likely the customer recommends: 0 to 10.",
    ),
    only(
        Source::Surveys,
        "surveyQuestionGroupId",
        "survey.question.group.id",
        "The group of questions.",
    ),
    only(
        Source::Surveys,
        "surveyQuestionId",
        "survey.question.id",
        "The question.",
    ),
    only(
        Source::Surveys,
        "surveyStatus",
        "survey.status.current",
        "The status of the survey.",
    ),
    only(
        Source::Surveys,
        "surveyPreviousStatus",
        "survey.status.previous",
        "The status the survey had before.",
    ),
    only(
        Source::Surveys,
        "surveyType",
        "survey.type",
        "How the survey was made: Voice or Web.",
    ),
];

/// Of conversations and of flows, which share most dimensions.
const fn aggregate(upstream: &'static str, name: &'static str, meaning: &'static str) -> Dimension {
    let families = Families::NONE.with(Source::Conversations).with(Source::Flows);
    Dimension {
        name,
        upstream,
        named: None,
        multi_valued: false,
        groupable: families,
        filterable: families,
        details: None,
        meaning,
    }
}

/// Of one family.
const fn only(source: Source, upstream: &'static str, name: &'static str, meaning: &'static str) -> Dimension {
    let families = Families::NONE.with(source);
    Dimension {
        groupable: families,
        filterable: families,
        ..aggregate(upstream, name, meaning)
    }
}

/// Of the details query.
const fn details(
    level: super::DetailsLevel,
    upstream: &'static str,
    name: &'static str,
    meaning: &'static str,
) -> Dimension {
    Dimension {
        groupable: Families::NONE,
        filterable: Families::NONE,
        ..aggregate(upstream, name, meaning).details(level)
    }
}

impl Dimension {
    const fn named(self, name: &'static str, lookup: Lookup) -> Self {
        Self {
            named: Some((name, lookup)),
            ..self
        }
    }

    const fn many(self) -> Self {
        Self {
            multi_valued: true,
            ..self
        }
    }

    /// Also of this family.
    const fn of(self, source: Source) -> Self {
        Self {
            groupable: self.groupable.with(source),
            filterable: self.filterable.with(source),
            ..self
        }
    }

    const fn not_of(self, source: Source) -> Self {
        Self {
            groupable: self.groupable.without(source),
            filterable: self.filterable.without(source),
            ..self
        }
    }

    const fn only_filterable(self) -> Self {
        Self {
            groupable: Families::NONE,
            ..self
        }
    }

    const fn details(self, level: super::DetailsLevel) -> Self {
        Self {
            details: Some(level),
            ..self
        }
    }
}
