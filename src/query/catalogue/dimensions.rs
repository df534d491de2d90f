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
    .details(Segment)
    .of(Source::Transcripts),
    aggregate("addressTo", "address.to", "The address a message or call went to.")
        .details(Segment)
        .of(Source::Transcripts),
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
    .details(Segment)
    .of(Source::AgentCopilots)
    .of(Source::Knowledge),
    aggregate("userId", "agent.id", "The agent (or other user) who took part.")
        .named("agent.name", Lookup::Users)
        .details(Segment)
        .of(Source::Users)
        .of(Source::Evaluations)
        .of(Source::Surveys)
        .of(Source::AgentCopilots)
        .of(Source::AgentUtilizations)
        .of(Source::Copilots)
        .of(Source::Knowledge)
        .of(Source::RateLimits)
        .of(Source::Resolutions)
        .of(Source::Summaries)
        .of(Source::TaskManagement)
        .of(Source::Transcripts),
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
    aggregate("ani", "ani", "The caller's number (automatic number identification).")
        .details(Segment)
        .of(Source::Transcripts),
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
        .of(Source::Surveys)
        .of(Source::AgentCopilots)
        .of(Source::Bots)
        .of(Source::CaseManagement)
        .of(Source::Knowledge)
        .of(Source::Resolutions)
        .of(Source::Summaries)
        .of(Source::Transcripts),
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
    )
    .of(Source::Bots)
    .of(Source::Knowledge),
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
    .details(Segment)
    .of(Source::Transcripts),
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
        .of(Source::Surveys)
        .of(Source::CaseManagement)
        .of(Source::Copilots)
        .of(Source::FlowExecutions)
        .of(Source::TaskManagement)
        .of(Source::Transcripts),
    aggregate("dnis", "dnis", "The number that was called.")
        .details(Segment)
        .of(Source::Transcripts),
    aggregate("edgeId", "edge.id", "The edge that carried the call.").details(Segment),
    aggregate("errorCode", "error.code", "The error that ended the session.").details(Segment),
    aggregate(
        "externalContactId",
        "external.contact.id",
        "The customer, as an external contact.",
    )
    .details(Segment)
    .of(Source::Surveys)
    .of(Source::AgentCopilots)
    .of(Source::Bots)
    .of(Source::Knowledge)
    .of(Source::Resolutions),
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
    .details(Conversation)
    .of(Source::TaskManagement),
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
    .details(Segment)
    .of(Source::Journeys),
    aggregate(
        "journeyActionMapId",
        "journey.map.id",
        "The action map that led to the conversation.",
    )
    .details(Segment)
    .of(Source::Journeys),
    aggregate(
        "journeyActionMapVersion",
        "journey.map.version",
        "The version of that action map.",
    )
    .of(Source::Journeys),
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
    .many()
    .of(Source::Bots)
    .of(Source::Knowledge),
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
    .of(Source::Surveys)
    .of(Source::AgentCopilots)
    .of(Source::AgentUtilizations)
    .of(Source::Bots)
    .of(Source::Knowledge)
    .of(Source::Resolutions)
    .of(Source::Summaries)
    .of(Source::Transcripts),
    aggregate("videoPresent", "media.video", "Whether there was video: true or false."),
    aggregate(
        "messageType",
        "message.type",
        "The messaging platform: sms, whatsapp, webmessaging and others.",
    )
    .details(Segment)
    .of(Source::Bots)
    .of(Source::Knowledge)
    .of(Source::Summaries)
    .of(Source::Transcripts),
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
        .of(Source::Surveys)
        .of(Source::TaskManagement),
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
        .of(Source::Surveys)
        .of(Source::AgentCopilots)
        .of(Source::Knowledge)
        .of(Source::Resolutions)
        .of(Source::Summaries)
        .of(Source::TaskManagement)
        .of(Source::Transcripts),
    aggregate(
        "requestedRouting",
        "routing.requested",
        "A routing method asked for: Standard, Bullseye, Predictive and others.",
    )
    .many()
    .details(Segment)
    .of(Source::Resolutions)
    .of(Source::TaskManagement),
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
    .details(Segment)
    .of(Source::Resolutions)
    .of(Source::TaskManagement),
    aggregate(
        "waitingInteractionCount",
        "routing.waiting.interactions",
        "How many interactions were waiting.",
    )
    .many(),
    aggregate("sessionDnis", "session.dnis", "The number called, of this session.").details(Segment),
    aggregate("sessionId", "session.id", "The session: one participant on one medium.")
        .of(Source::Copilots)
        .of(Source::Knowledge),
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
        .of(Source::Surveys)
        .of(Source::TaskManagement),
    aggregate("stationId", "station.id", "The station (phone) of the agent."),
    aggregate("teamId", "team.id", "The agent's team.")
        .details(Segment)
        .of(Source::Evaluations)
        .of(Source::Surveys)
        .of(Source::Transcripts),
    aggregate("wrapUpCode", "wrapup.code.id", "The wrap-up code the agent chose.")
        .named("wrapup.code.name", Lookup::WrapUpCodes)
        .details(Segment)
        .of(Source::Surveys)
        .of(Source::TaskManagement)
        .of(Source::Transcripts),
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
        .of(Source::Flows)
        .of(Source::FlowExecutions)
        .of(Source::Transcripts),
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
    details(Segment, "flowVersion", "flow.version", "The flow's version.")
        .of(Source::Flows)
        .of(Source::FlowExecutions)
        .of(Source::Transcripts),
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
    details(Segment, "scriptId", "script.id", "The script shown to the agent.").of(Source::AgentCopilots),
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
    .named("evaluation.assignee.name", Lookup::Users)
    .of(Source::TaskManagement),
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
    // ---- families beside those of interactions and their quality
    only(
        Source::Actions,
        "actionCategory",
        "action.category",
        "The category of the data action.",
    ),
    only(Source::Actions, "actionId", "action.id", "The data action."),
    only(
        Source::Actions,
        "actionName",
        "action.title",
        "The name of the data action when it ran.",
    ),
    only(Source::Copilots, "agentId", "copilot.agent.id", "The copilot's agent."),
    only(
        Source::Knowledge,
        "answerGenerationEnabled",
        "knowledge.generation",
        "Whether answers were generated: true or false.",
    ),
    only(
        Source::Knowledge,
        "appDeploymentId",
        "knowledge.app.deployment.id",
        "The deployment of the application that asked.",
    ),
    only(
        Source::Knowledge,
        "appType",
        "knowledge.app.type",
        "The kind of application that asked.",
    ),
    only(
        Source::Bots,
        "askActionId",
        "bot.ask.id",
        "The action by which a bot asked.",
    ),
    only(
        Source::Bots,
        "askActionResult",
        "bot.ask.result",
        "What came of a bot's question.",
    ),
    only(Source::Bots, "askActionType", "bot.ask.type", "What a bot asked for."),
    only(
        Source::CaseManagement,
        "associationType",
        "case.association.type",
        "What kind of thing is associated with the case.",
    ),
    only(
        Source::Bots,
        "botFinalIntent",
        "bot.intent.final",
        "The intent a session ended with.",
    ),
    only(
        Source::Knowledge,
        "botFlowId",
        "knowledge.bot.flow.id",
        "The bot flow that asked.",
    ),
    only(
        Source::Bots,
        "botFlowSubType",
        "bot.flow.subtype",
        "The subtype of the bot's flow.",
    ),
    only(
        Source::Bots,
        "botFlowType",
        "bot.flow.type",
        "The type of the bot's flow.",
    ),
    only(Source::Bots, "botId", "bot.id", "The bot."),
    only(
        Source::Bots,
        "botIntent",
        "bot.intent.name",
        "An intent the bot recognised.",
    ),
    only(Source::Bots, "botName", "bot.title", "The name of the bot when it ran."),
    only(
        Source::Bots,
        "botProduct",
        "bot.product",
        "The product the bot is made with.",
    ),
    only(Source::Bots, "botProvider", "bot.provider", "Who provides the bot."),
    only(
        Source::Bots,
        "botRecognitionFailureReason",
        "bot.failure.reason",
        "Why the bot did not understand.",
    ),
    only(
        Source::Bots,
        "botResult",
        "bot.result",
        "How a session with a bot ended.",
    ),
    only(
        Source::Bots,
        "botSessionId",
        "bot.session.id",
        "The session with the bot.",
    ),
    only(Source::Bots, "botSlot", "bot.slot.name", "A slot the bot filled."),
    only(
        Source::Bots,
        "botSlotMechanism",
        "bot.slot.mechanism",
        "How a slot was filled.",
    ),
    only(Source::Bots, "botVersion", "bot.version", "The version of the bot."),
    only(
        Source::AgentCopilots,
        "cannedResponseId",
        "canned.response.id",
        "The canned response.",
    ),
    only(
        Source::AgentCopilots,
        "cannedResponseLibraryId",
        "canned.response.library.id",
        "The library it is from.",
    ),
    only(Source::CaseManagement, "caseId", "case.id", "The case.").of(Source::TaskManagement),
    only(
        Source::CaseManagement,
        "caseplanId",
        "case.plan.id",
        "The plan of the case.",
    ),
    only(
        Source::Transcripts,
        "categoryId",
        "transcript.category.id",
        "A category the conversation falls into.",
    )
    .many(),
    only(
        Source::Transcripts,
        "channel",
        "transcript.channel",
        "Who spoke: the customer or the agent.",
    ),
    only(
        Source::AgentCopilots,
        "chunkCount",
        "agent.copilot.chunks",
        "Of how many parts the suggestion was made.",
    ),
    only(
        Source::Journeys,
        "containsAllCondition",
        "journey.condition.contains.all",
        "Values of a condition that all have to be contained.",
    ),
    only(
        Source::Journeys,
        "containsAnyCondition",
        "journey.condition.contains.any",
        "Values of a condition of which one has to be contained.",
    ),
    only(
        Source::Knowledge,
        "conversationChannelType",
        "knowledge.channel",
        "The channel of the conversation.",
    ),
    only(
        Source::Summaries,
        "copied",
        "summary.copied",
        "Whether the summary was copied: true or false.",
    ),
    only(
        Source::Actions,
        "correlationId",
        "upstream.correlation.id",
        "The request, as Genesys Cloud knows it.",
    )
    .of(Source::RateLimits),
    only(
        Source::CaseManagement,
        "customerIntentId",
        "case.intent.id",
        "What the customer wants.",
    ),
    only(
        Source::Knowledge,
        "documentEngagementType",
        "knowledge.document.engagement",
        "How somebody engaged with the document.",
    ),
    only(
        Source::Summaries,
        "editedField",
        "summary.edited",
        "Which part of the summary was edited.",
    ),
    only(
        Source::Journeys,
        "endsWithCondition",
        "journey.condition.ends",
        "Values of a condition on the end.",
    ),
    only(
        Source::AgentCopilots,
        "engagementType",
        "agent.copilot.engagement",
        "How the agent engaged with the suggestion.",
    ),
    only(
        Source::RateLimits,
        "entityId",
        "limit.entity.id",
        "What the limit is of.",
    ),
    only(
        Source::Journeys,
        "equalCondition",
        "journey.condition.equal",
        "Values of a condition on equality.",
    ),
    only(Source::Actions, "errorType", "error.type", "What kind of error it was.").of(Source::Summaries),
    only(
        Source::Knowledge,
        "feedbackCategory",
        "knowledge.feedback.category",
        "The category of the feedback.",
    ),
    only(
        Source::Knowledge,
        "feedbackId",
        "knowledge.feedback.id",
        "The feedback.",
    ),
    only(
        Source::AgentCopilots,
        "feedbackRating",
        "feedback.rating",
        "How the suggestion or the document was rated.",
    )
    .of(Source::Knowledge),
    only(
        Source::Knowledge,
        "feedbackRatingType",
        "knowledge.feedback.rating.type",
        "The kind of rating.",
    ),
    only(
        Source::Knowledge,
        "feedbackRatingValue",
        "knowledge.feedback.rating.value",
        "The value of the rating.",
    ),
    only(
        Source::Knowledge,
        "feedbackReason",
        "knowledge.feedback.reason",
        "The reason of the rating.",
    ),
    only(
        Source::Knowledge,
        "feedbackType",
        "knowledge.feedback.type",
        "What the feedback is about.",
    ),
    only(
        Source::FlowExecutions,
        "flowObjectId",
        "flow.object.id",
        "The object the flow ran for.",
    ),
    only(
        Source::AgentCopilots,
        "hasAnswerHighlight",
        "agent.copilot.highlighted",
        "Whether the answer was highlighted: true or false.",
    ),
    only(
        Source::Knowledge,
        "hasComment",
        "knowledge.feedback.commented",
        "Whether there is a comment: true or false.",
    ),
    only(
        Source::AgentCopilots,
        "hasGeneratedAnswer",
        "agent.copilot.generated",
        "Whether the answer was generated: true or false.",
    ),
    only(
        Source::Knowledge,
        "hasRetrievedReferences",
        "knowledge.references",
        "Whether references were retrieved: true or false.",
    ),
    only(
        Source::Knowledge,
        "hasSearch",
        "knowledge.searched",
        "Whether there was a search: true or false.",
    ),
    only(Source::Actions, "integrationId", "integration.id", "The integration."),
    only(
        Source::Actions,
        "integrationName",
        "integration.title",
        "The name of the integration.",
    ),
    only(
        Source::Bots,
        "intermediateIntentName",
        "bot.intent.intermediate",
        "An intent on the way to the final one.",
    ),
    only(
        Source::Journeys,
        "journeyActionMediaType",
        "journey.action.media",
        "The medium of the action.",
    ),
    only(
        Source::Journeys,
        "journeyActionTargetId",
        "journey.action.target.id",
        "Where the action leads.",
    ),
    only(
        Source::Journeys,
        "journeyActionTemplateId",
        "journey.action.template.id",
        "The template of the action.",
    ),
    only(
        Source::Journeys,
        "journeyBlockingActionMapId",
        "journey.blocking.map.id",
        "The action map that blocked the action.",
    ),
    only(
        Source::Journeys,
        "journeyBlockingEmergencyScheduleGroupId",
        "journey.blocking.emergency.id",
        "The emergency group that blocked the action.",
    ),
    only(
        Source::Journeys,
        "journeyBlockingReason",
        "journey.blocking.reason",
        "Why the action was blocked.",
    ),
    only(
        Source::Journeys,
        "journeyBlockingScheduleGroupId",
        "journey.blocking.schedule.id",
        "The schedule group that blocked the action.",
    ),
    only(
        Source::Journeys,
        "journeyDeviceCategory",
        "journey.device.category",
        "The category of the customer's device.",
    ),
    only(
        Source::Journeys,
        "journeyDeviceType",
        "journey.device.type",
        "The type of the customer's device.",
    ),
    only(
        Source::Journeys,
        "journeyFrequencyCapReason",
        "journey.cap.reason",
        "Why the action was not offered once more.",
    ),
    only(
        Source::Journeys,
        "journeyIpGeolocationCountry",
        "journey.country",
        "The country the customer's address belongs to.",
    ),
    only(
        Source::Journeys,
        "journeyOutcomeId",
        "journey.outcome.id",
        "The outcome.",
    ),
    only(
        Source::Journeys,
        "journeySegmentAssignmentState",
        "journey.segment.state",
        "The state of the assignment.",
    ),
    only(
        Source::Journeys,
        "journeySegmentId",
        "journey.segment.id",
        "The segment.",
    ),
    only(
        Source::Journeys,
        "journeySessionId",
        "journey.visit.id",
        "The session (journeySessionId).",
    ),
    only(
        Source::Journeys,
        "journeySessionSegmentId",
        "journey.visit.segment.id",
        "A segment the session belongs to.",
    )
    .many(),
    only(
        Source::Journeys,
        "journeySessionType",
        "journey.visit.type",
        "The type of the session.",
    ),
    only(
        Source::AgentCopilots,
        "knowledgeBaseDocumentId",
        "knowledge.document.id",
        "The document.",
    )
    .of(Source::Knowledge),
    only(
        Source::Knowledge,
        "knowledgeBaseDocumentVariationId",
        "knowledge.document.variation.id",
        "The variation of the document.",
    ),
    only(
        Source::AgentCopilots,
        "knowledgeBaseDocumentVersionId",
        "knowledge.document.version.id",
        "The version of the document.",
    )
    .of(Source::Knowledge),
    only(
        Source::AgentCopilots,
        "knowledgeSettingId",
        "knowledge.setting.id",
        "The setting by which knowledge was searched.",
    )
    .of(Source::Knowledge),
    only(
        Source::Summaries,
        "language",
        "summary.language",
        "The language of the summary.",
    ),
    only(
        Source::Bots,
        "languageCode",
        "session.language",
        "The language of the session.",
    )
    .of(Source::Knowledge),
    only(
        Source::Bots,
        "lastActionId",
        "bot.action.last.id",
        "The action a session ended with.",
    ),
    only(
        Source::Bots,
        "lastInputActionId",
        "bot.action.input.id",
        "The action that last asked for input.",
    ),
    only(Source::RateLimits, "limitName", "limit.title", "The limit."),
    only(Source::RateLimits, "max", "limit.most", "How much the limit allows."),
    only(
        Source::AgentCopilots,
        "messageId",
        "agent.copilot.message.id",
        "The message the suggestion is about.",
    ),
    only(
        Source::RateLimits,
        "namespace",
        "limit.namespace",
        "The namespace of the limit.",
    ),
    only(
        Source::Journeys,
        "notContainsAllCondition",
        "journey.condition.lacks.all",
        "Values of a condition that must not all be contained.",
    ),
    only(
        Source::Journeys,
        "notContainsAnyCondition",
        "journey.condition.lacks.any",
        "Values of a condition of which none may be contained.",
    ),
    only(
        Source::Journeys,
        "notEqualCondition",
        "journey.condition.unequal",
        "Values of a condition on being unequal.",
    ),
    only(
        Source::CaseManagement,
        "ownerId",
        "case.owner.id",
        "The owner of the case.",
    )
    .named("case.owner.name", Lookup::Users),
    only(
        Source::Summaries,
        "presented",
        "summary.presented",
        "Whether the summary was presented: true or false.",
    ),
    only(
        Source::Knowledge,
        "presentedDocumentsCount",
        "knowledge.documents.found",
        "How many documents were presented.",
    ),
    only(
        Source::Bots,
        "previewMode",
        "bot.preview",
        "Whether the session was a preview: true or false.",
    ),
    only(
        Source::CaseManagement,
        "priority",
        "case.priority",
        "The priority of the case.",
    ),
    only(
        Source::Knowledge,
        "queryType",
        "knowledge.query.type",
        "How knowledge was asked.",
    ),
    only(
        Source::Knowledge,
        "queryTypeV3",
        "knowledge.query.second",
        "How knowledge was asked, of the newer kind.",
    ),
    only(
        Source::TaskManagement,
        "reporterId",
        "workitem.reporter.id",
        "Who reported the work item.",
    )
    .named("workitem.reporter.name", Lookup::Users),
    only(
        Source::Actions,
        "responseStatus",
        "action.response.status",
        "The status the data action got.",
    ),
    only(
        Source::Transcripts,
        "resultsBy",
        "transcript.by",
        "Whose part of the transcript the figures are about.",
    )
    .only_filterable(),
    only(
        Source::AgentCopilots,
        "scriptPageId",
        "script.page.id",
        "The page of the script.",
    ),
    only(Source::AgentCopilots, "searchId", "knowledge.search.id", "The search.").of(Source::Knowledge),
    only(
        Source::Knowledge,
        "searchQuery",
        "knowledge.search.text",
        "What was searched for.",
    ),
    only(
        Source::CaseManagement,
        "stageId",
        "case.stage.id",
        "The stage of the case.",
    ),
    only(
        Source::Journeys,
        "startsWithCondition",
        "journey.condition.starts",
        "Values of a condition on the beginning.",
    ),
    only(
        Source::AgentCopilots,
        "state",
        "agent.copilot.state",
        "The state of the suggestion.",
    ),
    only(
        Source::CaseManagement,
        "status",
        "case.status.current",
        "The status of the case.",
    ),
    only(
        Source::TaskManagement,
        "statusCategory",
        "workitem.status.category",
        "The category of the work item's status.",
    ),
    only(
        Source::TaskManagement,
        "statusId",
        "workitem.status.id",
        "The status of the work item.",
    ),
    only(
        Source::CaseManagement,
        "stepId",
        "case.step.id",
        "The step of the case.",
    ),
    only(
        Source::AgentCopilots,
        "suggestionId",
        "agent.copilot.suggestion.id",
        "The suggestion.",
    ),
    only(
        Source::AgentCopilots,
        "suggestionType",
        "agent.copilot.suggestion.type",
        "The kind of suggestion.",
    ),
    only(
        Source::Summaries,
        "summaryGenerated",
        "summary.generated",
        "Whether a summary was generated: true or false.",
    ),
    only(Source::Summaries, "summaryId", "summary.id", "The summary."),
    only(
        Source::Summaries,
        "summaryRating",
        "summary.rating",
        "How the summary was rated.",
    ),
    only(
        Source::Knowledge,
        "surfacingMethod",
        "knowledge.document.surfacing",
        "How the document was surfaced.",
    ),
    only(
        Source::RateLimits,
        "timeUnit",
        "limit.unit",
        "The time the limit is for.",
    ),
    only(Source::Copilots, "toolId", "copilot.tool.id", "The tool."),
    only(
        Source::Copilots,
        "toolStatus",
        "copilot.tool.status",
        "How the tool fared.",
    ),
    only(Source::Copilots, "toolType", "copilot.tool.type", "The kind of tool."),
    only(
        Source::Transcripts,
        "topicId",
        "transcript.topic.id",
        "A topic found in the communication.",
    )
    .many(),
    only(
        Source::Journeys,
        "touchpointActionMapId",
        "touchpoint.map.id",
        "The action map of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointAgentId",
        "touchpoint.agent.id",
        "The agent of the touchpoint.",
    )
    .named("touchpoint.agent.name", Lookup::Users),
    only(
        Source::Journeys,
        "touchpointAttributionScope",
        "touchpoint.scope",
        "The scope of the attribution.",
    ),
    only(
        Source::Journeys,
        "touchpointChannelMessageType",
        "touchpoint.channel.message",
        "The messaging platform of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointChannelPlatform",
        "touchpoint.channel.platform",
        "The platform of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointChannelType",
        "touchpoint.channel.type",
        "The channel of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointConversationId",
        "touchpoint.conversation.id",
        "The conversation of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointInteractionType",
        "touchpoint.interaction.type",
        "The type of interaction of the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointQueueId",
        "touchpoint.queue.id",
        "The queue of the touchpoint.",
    )
    .named("touchpoint.queue.name", Lookup::Queues),
    only(
        Source::Journeys,
        "touchpointRequestedRouting",
        "touchpoint.routing.requested",
        "The routing method asked for at the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointUsedRouting",
        "touchpoint.routing.used",
        "The routing method used at the touchpoint.",
    ),
    only(
        Source::Journeys,
        "touchpointWrapupCode",
        "touchpoint.wrapup.id",
        "The wrap-up code of the touchpoint.",
    )
    .named("touchpoint.wrapup.name", Lookup::WrapUpCodes),
    only(
        Source::Summaries,
        "triggerSourceId",
        "summary.trigger.id",
        "What made the summary be made.",
    ),
    only(
        Source::Summaries,
        "triggerSourceOutcome",
        "summary.trigger.outcome",
        "What came of that.",
    ),
    only(
        Source::Summaries,
        "triggerSourceType",
        "summary.trigger.type",
        "What kind of thing made the summary be made.",
    ),
    only(Source::AgentCopilots, "triggerType", "trigger.type", "What set it off.").filterable_in(Source::Summaries),
    only(
        Source::TaskManagement,
        "typeId",
        "workitem.type.id",
        "The type of the work item.",
    ),
    only(
        Source::AgentCopilots,
        "utteranceId",
        "agent.copilot.utterance.id",
        "The utterance the suggestion is about.",
    ),
    only(
        Source::TaskManagement,
        "workbinId",
        "workitem.bin.id",
        "The bin the work item lies in.",
    ),
    only(Source::CaseManagement, "workitemId", "workitem.id", "The work item.").of(Source::TaskManagement),
    only(
        Source::Summaries,
        "wrapUpCodeRating",
        "summary.wrapup.rating",
        "How suggested wrap-up codes were rated.",
    ),
    only(
        Source::Summaries,
        "wrapUpCodeSuggestionSelected",
        "summary.wrapup.selected",
        "Whether a suggested wrap-up code was selected: true or false.",
    ),
    only(
        Source::Summaries,
        "wrapupCodesGenerated",
        "summary.wrapup.generated",
        "Whether wrap-up codes were generated: true or false.",
    ),
    only(
        Source::Summaries,
        "wrapupCodesSupported",
        "summary.wrapup.supported",
        "Whether wrap-up codes are supported: true or false.",
    )
    .only_filterable(),
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

    /// Of this family, to be filtered on only.
    const fn filterable_in(self, source: Source) -> Self {
        Self {
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
