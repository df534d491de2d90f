//! The metrics of all families: those of conversations first. Within a family in the order of the upstream's names.

use super::{Metric, Qualifier, Rollup, Side, Statistic, Unit};
use crate::query::Source;

/// Every metric.
///
/// Those that count (`n…`) carry a count, those that time (`t…`) count, sum and extremes, both as seen on
/// real data. Message counts (`o…Count`, `oMessageTurn`) carry the same as timers; what an unknown `o…`
/// carries is not documented, and it is never combined.
pub static METRICS: &[Metric] = &[
    counter("nAgentDeclined", "conversation.declined", "Times an agent declined."),
    counter(
        "nAlertExpired",
        "alert.expired",
        "Alerts that ended without the agent answering.",
    ),
    counter(
        "nBlindTransferred",
        "transfer.blind",
        "Transfers without consulting first.",
    ),
    counter(
        "nBotInteractions",
        "bot.interactions",
        "Interactions that went through a bot.",
    ),
    counter("nCallbackAttempts", "callback.attempted", "Attempts to call back."),
    counter(
        "nCallbackOverSla",
        "callback.over.sla",
        "Callbacks later than the service level allows.",
    ),
    counter("nCallbackScheduled", "callback.scheduled", "Callbacks scheduled."),
    counter(
        "nCfcOffered",
        "callback.first.offered",
        "Customer-first callbacks offered.",
    )
    .of_queue(),
    counter("nCobrowseSessions", "cobrowse.sessions", "Co-browsing sessions."),
    counter(
        "nConnected",
        "conversation.connected",
        "Connected legs, which is not the same as conversations answered.",
    ),
    counter(
        "nConsult",
        "consult.count",
        "Consultations with another agent or queue.",
    ),
    counter("nConsultTransferred", "transfer.consult", "Transfers after consulting."),
    Metric {
        rollup: Rollup::Distinct,
        ..counter(
            "nConversations",
            "conversation.count",
            "Distinct conversations; folded over media types, one counts once per media type it used.",
        )
    },
    counter("nError", "error.count", "Sessions that ended in an error."),
    counter(
        "nOffered",
        "conversation.offered",
        "Conversations offered to a queue: answered, abandoned or flowed out.",
    )
    .of_queue(),
    counter(
        "nOutbound",
        "conversation.outbound",
        "Outbound conversations placed on behalf of a queue.",
    ),
    counter(
        "nOutboundAbandoned",
        "outbound.abandoned",
        "Campaign calls answered by a customer who found no agent.",
    ),
    counter("nOutboundAttempted", "outbound.attempted", "Campaign calls attempted."),
    counter(
        "nOutboundConnected",
        "outbound.connected",
        "Campaign calls that reached a customer.",
    ),
    counter(
        "nOverSla",
        "conversation.over.sla",
        "Conversations answered later than the service level allows.",
    ),
    counter(
        "nStateTransitionError",
        "error.state.transition",
        "Errors in the state of a conversation.",
    ),
    counter(
        "nTakeover",
        "conversation.takeover",
        "Conversations taken over by another agent.",
    ),
    counter(
        "nTransferred",
        "conversation.transferred",
        "Conversations transferred, blind or after consulting.",
    ),
    measure(
        "oAudioMessageCount",
        "message.audio.count",
        "Audio messages of a session.",
    ),
    ratio(
        "oCallbackServiceLevel",
        "callback.service",
        &[("callback.service.level", Statistic::Ratio)],
        "Share of callbacks connected within the service level's time.",
    ),
    measure(
        "oExternalAudioMessageCount",
        "message.external.audio.count",
        "Audio messages a customer sent.",
    ),
    measure(
        "oExternalMediaCount",
        "message.external.media.count",
        "Media items a customer sent.",
    ),
    measure("oMediaCount", "message.media.count", "Media items of a session."),
    measure("oMessageCount", "message.count", "Messages of a session."),
    measure(
        "oMessageSegmentCount",
        "message.segment.count",
        "Message segments (as SMS are billed) of a session.",
    ),
    measure("oMessageTurn", "message.turn", "Turns taken in a messaging session."),
    ratio(
        "oServiceLevel",
        "service",
        &[("service.level", Statistic::Ratio)],
        "Share of conversations answered within the service level's time, by the organisation's own rules.",
    )
    .of_queue(),
    Metric {
        unit: Unit::Ratio,
        statistics: &[Statistic::Current],
        rollup: Rollup::None,
        ..counter(
            "oServiceTarget",
            "service.goal",
            "The service level the queue is set to reach.",
        )
        .of_queue()
    },
    Metric {
        rollup: Rollup::None,
        ..measure(
            "oSkillExpressionApplications",
            "skill.expression.applications",
            "Times a skill expression was applied.",
        )
    },
    timer(
        "tAbandon",
        "abandon.time",
        "Time waited by customers who gave up; its count is the abandoned conversations.",
    )
    .also(&[("conversation.abandoned", Statistic::Count)])
    .of_queue(),
    timer("tAcd", "acd.time", "Time spent in queues.").of_queue(),
    timer(
        "tActiveCallback",
        "callback.active.piece.time",
        "Active time of a callback, by piece.",
    ),
    timer(
        "tActiveCallbackComplete",
        "callback.active.time",
        "Active time of a callback, per interaction.",
    ),
    timer("tAcw", "acw.time", "After-call work, per interaction."),
    timer(
        "tAgentResponseTime",
        "agent.response.time",
        "Time agents took to respond to a message.",
    ),
    timer("tAgentVideoConnected", "agent.video.time", "Time agents had video."),
    timer(
        "tAlert",
        "alert.time",
        "Time an agent was alerted before answering or not.",
    ),
    timer(
        "tAnswered",
        "answer.time",
        "Time until answered (its average is the speed of answer); its count is the answered conversations.",
    )
    .also(&[("conversation.answered", Statistic::Count)]),
    timer(
        "tAverageAgentResponseTime",
        "agent.average.response.time",
        "Average response time of agents in a conversation: each conversation weighs the same.",
    ),
    timer(
        "tAverageCustomerResponseTime",
        "customer.average.response.time",
        "Average response time of customers in a conversation: each conversation weighs the same.",
    ),
    timer("tBarging", "barge.time", "Time a supervisor barged in."),
    timer(
        "tCallbackAbandon",
        "callback.abandon.time",
        "Time until a callback was given up.",
    ),
    timer(
        "tCallbackConnect",
        "callback.connect.time",
        "Time until a callback connected.",
    ),
    timer(
        "tCallbackNotReached",
        "callback.unreached.time",
        "Time until a callback was found not to reach anyone.",
    ),
    timer(
        "tCallbackVirtualWait",
        "callback.wait.time",
        "Time a callback waited in the customer's place.",
    ),
    timer(
        "tCfcAbandon",
        "callback.first.abandon.time",
        "Time until a customer-first callback was abandoned.",
    )
    .of_queue(),
    timer(
        "tCfcAcd",
        "callback.first.acd.time",
        "Time customer-first callbacks spent in queues.",
    )
    .of_queue(),
    timer(
        "tCfcAnswered",
        "callback.first.answer.time",
        "Time until a customer-first callback was answered.",
    ),
    timer(
        "tCfcFlowOut",
        "callback.first.flow.out.time",
        "Time until a customer-first callback flowed out.",
    )
    .of_queue(),
    timer("tCoaching", "coach.piece.time", "Time coached, by piece."),
    timer("tCoachingComplete", "coach.time", "Time coached, per interaction."),
    timer("tConnected", "connected.time", "Time until connected."),
    timer(
        "tContacting",
        "contact.time",
        "Time contacting the other party before dialling ends.",
    ),
    timer("tDialing", "dial.time", "Time dialling."),
    timer(
        "tFirstConnect",
        "first.connect.time",
        "Time until the first connection.",
    ),
    timer("tFirstDial", "first.dial.time", "Time until first dialled."),
    timer(
        "tFirstEngagement",
        "first.engagement.time",
        "Time until an agent first engaged.",
    ),
    timer(
        "tFirstResponse",
        "first.response.time",
        "Time until the first response.",
    ),
    timer(
        "tFlowOut",
        "flow.out.time",
        "Time waited by conversations that left the queue for elsewhere; its count is how many.",
    )
    .also(&[("conversation.flow.out", Statistic::Count)])
    .of_queue(),
    timer(
        "tHandle",
        "handle.time",
        "Contacting, dialling, talk, hold and after-call work together, per interaction.",
    )
    .also(&[("conversation.handled", Statistic::Count)]),
    timer("tHeld", "hold.piece.time", "Time on hold, by piece."),
    timer("tHeldComplete", "hold.time", "Time on hold, per interaction."),
    timer("tIvr", "ivr.time", "Time in the IVR.").of_queue(),
    timer("tMonitoring", "monitor.piece.time", "Time monitored, by piece."),
    timer(
        "tMonitoringComplete",
        "monitor.time",
        "Time monitored, per interaction.",
    ),
    timer(
        "tNotResponding",
        "not.responding.time",
        "Time an agent did not respond to an alert.",
    ),
    timer("tPark", "park.piece.time", "Time parked, by piece."),
    timer("tParkComplete", "park.time", "Time parked, per interaction."),
    timer(
        "tScreenMonitoring",
        "screen.monitor.time",
        "Time a screen was monitored.",
    ),
    timer(
        "tShortAbandon",
        "short.abandon.time",
        "Time waited by customers who gave up soon: a subset of abandoned.",
    )
    .also(&[("conversation.short.abandoned", Statistic::Count)])
    .of_queue(),
    timer("tSnippetRecord", "snippet.record.time", "Time a snippet was recorded."),
    timer(
        "tTalk",
        "talk.piece.time",
        "Talk, by piece: a call with two holds gives three.",
    ),
    timer("tTalkComplete", "talk.time", "Talk, per interaction."),
    timer("tTransmitting", "transmit.time", "Time spent transmitting."),
    timer(
        "tUserResponseTime",
        "user.response.time",
        "Time users took to respond to a message.",
    ),
    timer("tVoicemail", "voicemail.time", "Time leaving a voicemail."),
    timer("tWait", "wait.time", "Time waited in a queue, however it ended.").of_queue(),
    // ---- users: sums only; the parts of a bucket that a user spent in each state
    status(
        "tAgentRoutingStatus",
        Qualifier::Any,
        "routing.status.time",
        "Time in any routing status.",
    ),
    status(
        "tAgentRoutingStatus",
        Qualifier::Is("COMMUNICATING"),
        "routing.communicating.time",
        "Time on a call outside of queues while on queue.",
    ),
    status(
        "tAgentRoutingStatus",
        Qualifier::Is("IDLE"),
        "routing.idle.time",
        "Time on queue, waiting for an interaction.",
    ),
    status(
        "tAgentRoutingStatus",
        Qualifier::Is("INTERACTING"),
        "routing.interacting.time",
        "Time on queue with an interaction, after-call work included.",
    ),
    status(
        "tAgentRoutingStatus",
        Qualifier::Is("NOT_RESPONDING"),
        "routing.not.responding.time",
        "Time on queue after an alert was not answered.",
    ),
    status(
        "tAgentRoutingStatus",
        Qualifier::Is("OFF_QUEUE"),
        "routing.off.queue.time",
        "Time off queue.",
    ),
    status(
        "tOrganizationPresence",
        Qualifier::Any,
        "presence.organization.time",
        "Time in any of the organisation's own presences, which are not told apart here.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Any,
        "presence.time",
        "Time in any presence: with OFFLINE, all of it.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("AVAILABLE"),
        "presence.available.time",
        "Time available, off queue.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("AWAY"),
        "presence.away.time",
        "Time away.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("BREAK"),
        "presence.break.time",
        "Time on a break.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("BUSY"),
        "presence.busy.time",
        "Time busy.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("IDLE"),
        "presence.idle.time",
        "Time without activity at the computer, off queue.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("MEAL"),
        "presence.meal.time",
        "Time at a meal.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("MEETING"),
        "presence.meeting.time",
        "Time in a meeting.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("OFFLINE"),
        "presence.offline.time",
        "Time logged out.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("ON_QUEUE"),
        "presence.on.queue.time",
        "Time on queue.",
    ),
    status(
        "tSystemPresence",
        Qualifier::Is("TRAINING"),
        "presence.training.time",
        "Time in training.",
    ),
    // ---- flows
    counter("nFlow", "flow.count", "Flows entered.").of_flows(),
    counter("nFlowMilestone", "flow.milestone.count", "Milestones reached.").of_flows(),
    counter(
        "nFlowOutcome",
        "flow.outcome.count",
        "Outcomes reached, whether they succeeded or failed.",
    )
    .of_flows(),
    counter("nFlowOutcomeFailed", "flow.outcome.failed", "Outcomes that failed.").of_flows(),
    Metric {
        rollup: Rollup::None,
        ..measure(
            "oFlowMilestone",
            "flow.milestone.order",
            "Milestones as they were reached.",
        )
        .of_flows()
    },
    timer("tFlow", "flow.time", "Time in flows.").of_flows(),
    timer(
        "tFlowDisconnect",
        "flow.disconnect.time",
        "Time in flows that ended by a disconnect; its count is how many.",
    )
    .of_flows(),
    timer(
        "tFlowExit",
        "flow.exit.time",
        "Time in flows that were left for elsewhere; its count is how many.",
    )
    .of_flows(),
    timer(
        "tFlowOutcome",
        "flow.outcome.time",
        "Time from the start of an outcome to its end.",
    )
    .of_flows(),
    // ---- evaluations
    counter("nEvaluations", "evaluation.count", "Evaluations.").of(Source::Evaluations),
    counter("nEvaluationsDeleted", "evaluation.deleted", "Evaluations deleted.").of(Source::Evaluations),
    counter(
        "nEvaluationsRescored",
        "evaluation.rescores",
        "Evaluations scored again.",
    )
    .of(Source::Evaluations),
    score(
        "oTotalCriticalScore",
        "evaluation.score.critical",
        "The score of an evaluation's critical questions.",
    )
    .of(Source::Evaluations),
    score("oTotalScore", "evaluation.score.total", "The score of an evaluation.").of(Source::Evaluations),
    // ---- surveys
    counter("nSurveyErrors", "survey.errors", "Surveys that failed.").of(Source::Surveys),
    counter(
        "nSurveyFullResponses",
        "survey.responses.full",
        "Surveys answered wholly.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyNpsDetractors",
        "survey.nps.detractors",
        "Customers who would not recommend: 0 to 6.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyNpsPromoters",
        "survey.nps.promoters",
        "Customers who would recommend: 9 or 10.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyNpsResponses",
        "survey.nps.responses",
        "Answers to the question whether the customer would recommend.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyPartialResponses",
        "survey.responses.partial",
        "Surveys answered in part.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyQuestionGroupResponses",
        "survey.question.group.responses",
        "Groups of questions answered.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyQuestionResponses",
        "survey.question.responses",
        "Questions answered.",
    )
    .of(Source::Surveys),
    counter(
        "nSurveyResponses",
        "survey.responses.all",
        "Surveys answered, wholly or in part.",
    )
    .of(Source::Surveys),
    counter("nSurveysAbandoned", "survey.abandoned", "Surveys begun and left.").of(Source::Surveys),
    counter("nSurveysDeleted", "survey.deleted", "Surveys deleted.").of(Source::Surveys),
    counter("nSurveysExpired", "survey.expired", "Surveys that expired unanswered.").of(Source::Surveys),
    counter("nSurveysSent", "survey.sent", "Surveys sent.").of(Source::Surveys),
    counter("nSurveysStarted", "survey.started", "Surveys begun.").of(Source::Surveys),
    counter("nVoiceSurveys", "survey.voice", "Surveys by voice.").of(Source::Surveys),
    counter("nWebSurveys", "survey.web", "Surveys on the web.").of(Source::Surveys),
    score(
        "oSurveyQuestionGroupScore",
        "survey.question.group.score",
        "The score of a group of questions.",
    )
    .of(Source::Surveys),
    score(
        "oSurveyQuestionScore",
        "survey.question.score",
        "The score of a question.",
    )
    .of(Source::Surveys),
    score("oSurveyTotalScore", "survey.score.total", "The score of a survey.").of(Source::Surveys),
    // ---- actions; like those of bots, cases, executions and journeys, they know of no agent
    timer(
        "tTotalExecution",
        "action.execution.time",
        "Time data actions took to run.",
    )
    .of(Source::Actions)
    .of_queue(),
    // ---- agentcopilots
    counter(
        "nCannedResponseSuggestions",
        "agent.copilot.suggestions.canned",
        "Canned responses suggested to agents.",
    )
    .of(Source::AgentCopilots),
    distinct(
        "nDistinctConversations",
        "agent.copilot.conversations",
        "Distinct conversations in which something was suggested.",
    )
    .of(Source::AgentCopilots),
    distinct(
        "nDistinctSuggestions",
        "agent.copilot.suggestions.distinct",
        "Distinct suggestions.",
    )
    .of(Source::AgentCopilots),
    counter(
        "nKnowledgeAnswerSuggestions",
        "agent.copilot.suggestions.answer",
        "Answers from knowledge suggested to agents.",
    )
    .of(Source::AgentCopilots),
    counter(
        "nKnowledgeArticleSuggestions",
        "agent.copilot.suggestions.article",
        "Articles of knowledge suggested to agents.",
    )
    .of(Source::AgentCopilots),
    counter(
        "nKnowledgeSearchSuggestions",
        "agent.copilot.suggestions.search",
        "Searches in knowledge suggested to agents.",
    )
    .of(Source::AgentCopilots),
    counter(
        "nScriptSuggestions",
        "agent.copilot.suggestions.script",
        "Script pages suggested to agents.",
    )
    .of(Source::AgentCopilots),
    // ---- agentutilizations
    unknown(
        "oAgentAvailableUtilization",
        "agent.utilization.available",
        "Room agents have left for further interactions.",
    )
    .of(Source::AgentUtilizations),
    unknown(
        "oAgentMaxUtilization",
        "agent.utilization.most",
        "Interactions agents can have at once.",
    )
    .of(Source::AgentUtilizations),
    unknown(
        "oAgentUtilizationPercentage",
        "agent.utilization.percentage",
        "Share of that which is taken.",
    )
    .of(Source::AgentUtilizations),
    // ---- bots
    counter(
        "nBotSessionTurns",
        "bot.session.turns",
        "Turns taken in sessions with bots.",
    )
    .of(Source::Bots)
    .of_queue(),
    distinct("nBotSessions", "bot.session.count", "Sessions with bots.")
        .of(Source::Bots)
        .of_queue(),
    unknown("oBotIntent", "bot.intent.recognised", "Intents bots recognised.")
        .of(Source::Bots)
        .of_queue(),
    unknown(
        "oBotSessionCollection",
        "bot.session.collection",
        "Sessions in which a bot collected something.",
    )
    .of(Source::Bots)
    .of_queue(),
    unknown(
        "oBotSessionCollectionSelfServed",
        "bot.session.collected.alone",
        "Those of them that needed no agent.",
    )
    .of(Source::Bots)
    .of_queue(),
    unknown(
        "oBotSessionQuery",
        "bot.session.query",
        "Sessions in which a bot was asked something.",
    )
    .of(Source::Bots)
    .of_queue(),
    unknown(
        "oBotSessionQuerySelfServed",
        "bot.session.answered.alone",
        "Those of them that needed no agent.",
    )
    .of(Source::Bots)
    .of_queue(),
    unknown("oBotSessionTurn", "bot.session.turn", "Turns of a session with a bot.")
        .of(Source::Bots)
        .of_queue(),
    unknown("oBotSlot", "bot.slot.filled", "Slots bots filled.")
        .of(Source::Bots)
        .of_queue(),
    timer(
        "tBotDisconnect",
        "bot.disconnect.time",
        "Time in sessions that ended by a disconnect; its count is how many.",
    )
    .of(Source::Bots)
    .of_queue(),
    timer(
        "tBotExit",
        "bot.exit.time",
        "Time in sessions that were left for elsewhere; its count is how many.",
    )
    .of(Source::Bots)
    .of_queue(),
    timer(
        "tBotRecognitionFailure",
        "bot.failure.time",
        "Time in sessions that ended because nothing was understood; its count is how many.",
    )
    .of(Source::Bots)
    .of_queue(),
    timer("tBotSession", "bot.session.time", "Time in sessions with bots.")
        .of(Source::Bots)
        .of_queue(),
    // ---- casemanagement
    counter(
        "nCaseAssociationsCreated",
        "case.associations",
        "Things associated with cases.",
    )
    .of(Source::CaseManagement)
    .of_queue(),
    counter("nCasesDeleted", "case.deleted", "Cases deleted.")
        .of(Source::CaseManagement)
        .of_queue(),
    counter("nCasesOpened", "case.opened", "Cases opened.")
        .of(Source::CaseManagement)
        .of_queue(),
    counter(
        "nCasesOverSla",
        "case.over.sla",
        "Cases resolved later than the service level allows.",
    )
    .of(Source::CaseManagement)
    .of_queue(),
    counter("nCasesPurged", "case.purged", "Cases purged.")
        .of(Source::CaseManagement)
        .of_queue(),
    counter("nCasesStatusChanged", "case.changes", "Changes of a case's status.")
        .of(Source::CaseManagement)
        .of_queue(),
    counter("nCasesTerminated", "case.terminated", "Cases terminated.")
        .of(Source::CaseManagement)
        .of_queue(),
    ratio(
        "oCasesServiceLevel",
        "case.service",
        &[("case.service.level", Statistic::Ratio)],
        "Share of cases resolved within the service level's time.",
    )
    .of(Source::CaseManagement)
    .of_queue(),
    timer(
        "tCasesResolved",
        "case.resolution.time",
        "Time from opening cases to resolving them.",
    )
    .of(Source::CaseManagement)
    .of_queue(),
    timer("tCasesStatus", "case.status.time", "Time cases were in a status.")
        .of(Source::CaseManagement)
        .of_queue(),
    // ---- copilots
    counter(
        "nCopilotMessages",
        "copilot.messages",
        "Messages exchanged with copilots.",
    )
    .of(Source::Copilots),
    distinct("nCopilotSessions", "copilot.sessions", "Sessions with copilots.").of(Source::Copilots),
    counter("nCopilotToolInvocations", "copilot.invocations", "Tools copilots used.").of(Source::Copilots),
    distinct("nCopilotUsers", "copilot.users", "Distinct users of copilots.").of(Source::Copilots),
    // ---- flowexecutions
    counter(
        "nFlowExecutions",
        "flow.executions",
        "Flows executed, those without an interaction included.",
    )
    .of(Source::FlowExecutions)
    .of_queue(),
    // ---- journeys
    distinct(
        "nDistinctJourneyActions",
        "journey.actions.distinct",
        "Distinct actions.",
    )
    .of(Source::Journeys)
    .of_queue(),
    distinct(
        "nDistinctJourneySessions",
        "journey.sessions.distinct",
        "Distinct sessions.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nJourneyActionsBlocked",
        "journey.actions.blocked",
        "Actions that were blocked.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nJourneyOutcomesAchieved",
        "journey.outcomes.achieved",
        "Outcomes customers achieved.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nJourneyOutcomesAttributed",
        "journey.outcomes.attributed",
        "Outcomes attributed to a touchpoint.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nJourneySegmentsAssigned",
        "journey.segments.assigned",
        "Assignments of customers to segments.",
    )
    .of(Source::Journeys)
    .of_queue(),
    distinct("nJourneySessions", "journey.sessions.count", "Sessions of customers.")
        .of(Source::Journeys)
        .of_queue(),
    counter(
        "nWebActionsAbandoned",
        "web.actions.abandoned",
        "Web actions accepted and left.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsAccepted",
        "web.actions.accepted",
        "Web actions customers accepted.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsEngaged",
        "web.actions.engaged",
        "Web actions customers engaged with.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter("nWebActionsErrored", "web.actions.errored", "Web actions that failed.")
        .of(Source::Journeys)
        .of_queue(),
    counter(
        "nWebActionsFrequencyCapReached",
        "web.actions.capped",
        "Web actions not offered, as they had been offered often enough.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsIgnored",
        "web.actions.ignored",
        "Web actions customers ignored.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter("nWebActionsOffered", "web.actions.offered", "Web actions offered.")
        .of(Source::Journeys)
        .of_queue(),
    counter(
        "nWebActionsOfferedOutsideSchedule",
        "web.actions.unscheduled",
        "Web actions offered outside of their schedule.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsQualified",
        "web.actions.qualified",
        "Web actions a customer qualified for.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsQualifiedOutsideSchedule",
        "web.actions.qualified-unscheduled",
        "Web actions a customer qualified for outside of their schedule.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter(
        "nWebActionsRejected",
        "web.actions.rejected",
        "Web actions customers rejected.",
    )
    .of(Source::Journeys)
    .of_queue(),
    counter("nWebActionsStarted", "web.actions.started", "Web actions started.")
        .of(Source::Journeys)
        .of_queue(),
    counter(
        "nWebActionsTimedout",
        "web.actions.timedout",
        "Web actions that timed out.",
    )
    .of(Source::Journeys)
    .of_queue(),
    unknown(
        "oJourneyOutcomeTouchpointValue",
        "journey.touchpoint.value",
        "The part of an outcome's value that is attributed to a touchpoint.",
    )
    .of(Source::Journeys)
    .of_queue(),
    unknown(
        "oJourneyOutcomeValue",
        "journey.outcome.value",
        "The value of an outcome.",
    )
    .of(Source::Journeys)
    .of_queue(),
    // ---- knowledge
    distinct(
        "nDistinctKnowledgeSessions",
        "knowledge.sessions.distinct",
        "Distinct sessions.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeDocumentCopied",
        "knowledge.documents.copied",
        "Documents copied.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeDocumentFeedback",
        "knowledge.documents.rated",
        "Documents that got feedback.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeDocumentPresented",
        "knowledge.documents.presented",
        "Documents presented.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeDocumentSurfaced",
        "knowledge.documents.surfaced",
        "Documents surfaced.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeDocumentViewed",
        "knowledge.documents.viewed",
        "Documents viewed.",
    )
    .of(Source::Knowledge),
    counter("nKnowledgeSearch", "knowledge.searches.count", "Searches.").of(Source::Knowledge),
    counter(
        "nKnowledgeSearchAnswered",
        "knowledge.searches.answered",
        "Searches that found something.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeSearchFeedback",
        "knowledge.searches.rated",
        "Searches that got feedback.",
    )
    .of(Source::Knowledge),
    counter(
        "nKnowledgeSearchUnanswered",
        "knowledge.searches.unanswered",
        "Searches that found nothing.",
    )
    .of(Source::Knowledge),
    distinct("nKnowledgeSessions", "knowledge.sessions.count", "Sessions.").of(Source::Knowledge),
    counter(
        "nKnowledgeV3Search",
        "knowledge.searches.second",
        "Searches of the newer kind (nKnowledgeV3Search).",
    )
    .of(Source::Knowledge),
    unknown(
        "oKnowledgeDocumentQuery",
        "knowledge.queries.document",
        "Queries for a document.",
    )
    .of(Source::Knowledge),
    unknown(
        "oKnowledgeDocumentQuerySelfServed",
        "knowledge.queries.alone",
        "Those of them that needed no agent.",
    )
    .of(Source::Knowledge),
    unknown(
        "oKnowledgeSearch",
        "knowledge.queries.search",
        "Searches as they were made.",
    )
    .of(Source::Knowledge),
    // ---- ratelimits
    unknown(
        "oRateLimitRecorded",
        "limit.usage",
        "How much of a limit was used, recorded from nine tenths of it on.",
    )
    .of(Source::RateLimits),
    // ---- resolutions
    counter(
        "nNextContactAvoided",
        "resolution.contacts.avoided",
        "Conversations after which the customer did not have to come back.",
    )
    .of(Source::Resolutions),
    // ---- summaries
    distinct("nConversationSummaries", "summary.count", "Summaries of conversations.").of(Source::Summaries),
    counter(
        "nConversationSummaryEngagements",
        "summary.engagements",
        "Times somebody worked with a summary.",
    )
    .of(Source::Summaries),
    timer("tConversationSummary", "summary.time", "Time it took to summarise.").of(Source::Summaries),
    // ---- taskmanagement
    counter(
        "nWorkitemsAcdCancelled",
        "workitem.acd.cancelled",
        "Work items taken out of their queue.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsAcdExpired",
        "workitem.acd.expired",
        "Work items that expired in their queue.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsAcdStarted",
        "workitem.acd.started",
        "Work items put into a queue.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsAgentTransferred",
        "workitem.transferred.agent",
        "Work items transferred to an agent.",
    )
    .of(Source::TaskManagement),
    counter("nWorkitemsCreated", "workitem.created", "Work items created.").of(Source::TaskManagement),
    counter("nWorkitemsDeclined", "workitem.declined", "Work items agents declined.").of(Source::TaskManagement),
    counter("nWorkitemsDeleted", "workitem.deleted", "Work items deleted.").of(Source::TaskManagement),
    counter(
        "nWorkitemsDisconnected",
        "workitem.disconnected",
        "Work items disconnected.",
    )
    .of(Source::TaskManagement),
    counter("nWorkitemsOffered", "workitem.offered", "Work items offered to agents.").of(Source::TaskManagement),
    counter(
        "nWorkitemsOverSla",
        "workitem.over.sla",
        "Work items answered later than the service level allows.",
    )
    .of(Source::TaskManagement),
    counter("nWorkitemsPurged", "workitem.purged", "Work items purged.").of(Source::TaskManagement),
    counter(
        "nWorkitemsQueueTransferred",
        "workitem.transferred.queue",
        "Work items transferred to a queue.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsStatusChanged",
        "workitem.changes",
        "Changes of a work item's status.",
    )
    .of(Source::TaskManagement),
    counter("nWorkitemsTerminated", "workitem.terminated", "Work items terminated.").of(Source::TaskManagement),
    counter(
        "nWorkitemsTimedout",
        "workitem.timedout",
        "Work items agents did not take in time.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsTransferred",
        "workitem.transferred.all",
        "Work items transferred.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsWrapupAdded",
        "workitem.wrapup.added",
        "Wrap-up codes put on work items.",
    )
    .of(Source::TaskManagement),
    counter(
        "nWorkitemsWrapupRemoved",
        "workitem.wrapup.removed",
        "Wrap-up codes taken off work items.",
    )
    .of(Source::TaskManagement),
    ratio(
        "oWorkitemsServiceLevel",
        "workitem.service",
        &[("workitem.service.level", Statistic::Ratio)],
        "Share of work items answered within the service level's time.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsAgentFocusComplete",
        "workitem.focus.agent.time",
        "Time an agent had work items in focus, per work item.",
    )
    .of(Source::TaskManagement),
    timer("tWorkitemsAlert", "workitem.alert.time", "Time agents were alerted.").of(Source::TaskManagement),
    timer(
        "tWorkitemsAnswered",
        "workitem.answer.time",
        "Time until work items were answered.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsDirectAnswered",
        "workitem.answer.direct.time",
        "Time until work items given directly were answered.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsFocus",
        "workitem.focus.piece.time",
        "Time in focus, by piece.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsFocusComplete",
        "workitem.focus.time",
        "Time in focus, per work item.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsHandled",
        "workitem.handle.time",
        "Time work items were handled.",
    )
    .of(Source::TaskManagement),
    timer("tWorkitemsHeld", "workitem.hold.piece.time", "Time on hold, by piece.").of(Source::TaskManagement),
    timer(
        "tWorkitemsHeldComplete",
        "workitem.hold.time",
        "Time on hold, per work item.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsNotResponding",
        "workitem.not.responding.time",
        "Time agents did not respond to an alert.",
    )
    .of(Source::TaskManagement),
    timer("tWorkitemsParked", "workitem.park.time", "Time parked.").of(Source::TaskManagement),
    timer(
        "tWorkitemsQueueAnswered",
        "workitem.answer.queue.time",
        "Time until work items of queues were answered.",
    )
    .of(Source::TaskManagement),
    timer(
        "tWorkitemsStatus",
        "workitem.status.time",
        "Time work items were in a status.",
    )
    .of(Source::TaskManagement),
    // ---- transcripts
    distinct(
        "nSpeechTextAnalyzedConversations",
        "transcript.conversations",
        "Distinct conversations that were analysed.",
    )
    .of(Source::Transcripts),
    counter(
        "nTopicCommunications",
        "transcript.topics",
        "Communications in which a topic was found.",
    )
    .of(Source::Transcripts),
    unknown(
        "oCustomerSentiment",
        "transcript.sentiment.customer",
        "Sentiment of customers, from -100 to 100.",
    )
    .of(Source::Transcripts),
    unknown(
        "oOverTalkSpeechInstances",
        "transcript.overtalk.instances",
        "Times both spoke at once.",
    )
    .of(Source::Transcripts),
    unknown(
        "oSentimentScore",
        "transcript.sentiment.score",
        "Sentiment, from -100 to 100.",
    )
    .of(Source::Transcripts),
    timer("tAgentSpeech", "transcript.agent.time", "Time agents spoke.").of(Source::Transcripts),
    timer("tCustomerSpeech", "transcript.customer.time", "Time customers spoke.").of(Source::Transcripts),
    timer(
        "tOtherAudio",
        "transcript.audio.other.time",
        "Time of music and recorded voices.",
    )
    .of(Source::Transcripts),
    timer(
        "tOverTalkSpeech",
        "transcript.overtalk.time",
        "Time both spoke at once.",
    )
    .of(Source::Transcripts),
    timer("tSilence", "transcript.silence.time", "Time nobody spoke.").of(Source::Transcripts),
    timer("tTotalSpeechAndSilence", "transcript.time", "Time altogether.").of(Source::Transcripts),
];

const fn counter(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        source: Source::Conversations,
        upstream,
        qualifier: Qualifier::None,
        name,
        aliases: &[],
        rollup: Rollup::Counter,
        unit: Unit::Count,
        statistics: &[Statistic::Count],
        side: Side::Any,
        meaning,
    }
}

const fn timer(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        rollup: Rollup::Timer,
        unit: Unit::Milliseconds,
        statistics: &[
            Statistic::Count,
            Statistic::Sum,
            Statistic::Average,
            Statistic::Min,
            Statistic::Max,
            Statistic::P95,
            Statistic::P99,
        ],
        ..counter(upstream, name, meaning)
    }
}

const fn measure(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        rollup: Rollup::Timer,
        statistics: &[
            Statistic::Count,
            Statistic::Sum,
            Statistic::Average,
            Statistic::Min,
            Statistic::Max,
        ],
        ..counter(upstream, name, meaning)
    }
}

/// Time of users in one state.
const fn status(upstream: &'static str, qualifier: Qualifier, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        qualifier,
        rollup: Rollup::Timer,
        unit: Unit::Milliseconds,
        statistics: &[Statistic::Sum],
        ..counter(upstream, name, meaning).of(Source::Users)
    }
}

/// Each is counted once in a bucket, so that buckets do not add.
const fn distinct(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        rollup: Rollup::Distinct,
        ..counter(upstream, name, meaning)
    }
}

/// What it carries, and whether that adds, is not documented.
const fn unknown(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        rollup: Rollup::None,
        unit: Unit::Points,
        ..measure(upstream, name, meaning)
    }
}

const fn score(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        unit: Unit::Points,
        ..measure(upstream, name, meaning)
    }
}

const fn ratio(
    upstream: &'static str,
    name: &'static str,
    aliases: &'static [(&'static str, Statistic)],
    meaning: &'static str,
) -> Metric {
    Metric {
        aliases,
        rollup: Rollup::Ratio,
        unit: Unit::Ratio,
        statistics: &[
            Statistic::Ratio,
            Statistic::Numerator,
            Statistic::Denominator,
            Statistic::Target,
        ],
        ..counter(upstream, name, meaning)
    }
}

impl Metric {
    const fn also(self, aliases: &'static [(&'static str, Statistic)]) -> Self {
        Self { aliases, ..self }
    }

    const fn of(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Flows run before an agent is involved.
    const fn of_flows(self) -> Self {
        self.of(Source::Flows).of_queue()
    }

    const fn of_queue(self) -> Self {
        Self {
            side: Side::Queue,
            ..self
        }
    }
}
