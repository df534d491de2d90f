//! The metrics of conversation aggregates. In the order of the upstream's names.

use super::{Metric, Rollup, Side, Statistic, Unit};

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
];

const fn counter(upstream: &'static str, name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        upstream,
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

    const fn of_queue(self) -> Self {
        Self {
            side: Side::Queue,
            ..self
        }
    }
}
