//! What can be observed of queues at this moment. Observations have no past: they are not queried by range, and never
//! combined over time.

/// One figure of a queue, as it is now.
#[derive(Debug, PartialEq, Eq)]
pub struct Observation {
    /// The friendly dotted name.
    pub name: &'static str,
    /// The upstream's spelling.
    pub upstream: &'static str,
    /// Which of the parts the upstream tells apart by a qualifier: a routing status, or a system presence; `None` adds
    /// them up.
    pub qualifier: Option<&'static str>,
    /// Whom it counts.
    pub of: Observed,
    /// What it says.
    pub shows: Shows,
    /// What it counts or measures, in one sentence.
    pub meaning: &'static str,
}

/// What a queue is observed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Its interactions, which are told apart by media type; disjoint queues add up.
    Interactions,
    /// Its agents, who are not; an agent of several queues counts in each.
    Agents,
}

/// What an observation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// How many.
    Count,
    /// Since when the one that has lasted longest does.
    Since,
    /// How long it has lasted at the time of the observation, in milliseconds.
    Lasting,
}

/// Every observation; their set of upstream names is that of the upstream's schema.
pub static OBSERVATIONS: &[Observation] = &[
    interactions(
        "oWaiting",
        "waiting.count",
        Shows::Count,
        "Interactions that wait for an agent.",
    ),
    interactions(
        "oLongestWaiting",
        "waiting.longest.since",
        Shows::Since,
        "Since when the longest waiting has waited.",
    ),
    interactions(
        "oLongestWaiting",
        "waiting.longest.time",
        Shows::Lasting,
        "How long the longest waiting has waited.",
    ),
    interactions(
        "oAlerting",
        "alerting.count",
        Shows::Count,
        "Interactions that alert an agent.",
    ),
    interactions(
        "oInteracting",
        "interacting.count",
        Shows::Count,
        "Interactions with an agent.",
    ),
    interactions(
        "oLongestInteracting",
        "interacting.longest.since",
        Shows::Since,
        "Since when the longest interaction lasts.",
    ),
    interactions(
        "oLongestInteracting",
        "interacting.longest.time",
        Shows::Lasting,
        "How long the longest interaction has lasted.",
    ),
    agents("oMemberUsers", None, "agents.member", "Members of the queue."),
    agents(
        "oActiveUsers",
        None,
        "agents.active",
        "Members who have joined the queue.",
    ),
    agents(
        "oOnQueueUsers",
        None,
        "agents.on.queue",
        "Members who have joined and are on queue.",
    ),
    agents(
        "oOffQueueUsers",
        None,
        "agents.off.queue",
        "Members who have joined and are off queue.",
    ),
    agents(
        "oUserRoutingStatuses",
        Some("COMMUNICATING"),
        "agents.routing.communicating",
        "Agents on a call outside of queues.",
    ),
    agents(
        "oUserRoutingStatuses",
        Some("IDLE"),
        "agents.routing.idle",
        "Agents who wait for an interaction.",
    ),
    agents(
        "oUserRoutingStatuses",
        Some("INTERACTING"),
        "agents.routing.interacting",
        "Agents with an interaction.",
    ),
    agents(
        "oUserRoutingStatuses",
        Some("NOT_RESPONDING"),
        "agents.routing.not.responding",
        "Agents who did not answer an alert.",
    ),
    agents(
        "oUserRoutingStatuses",
        Some("OFF_QUEUE"),
        "agents.routing.off.queue",
        "Agents off queue.",
    ),
    agents(
        "oUserPresences",
        Some("AVAILABLE"),
        "agents.presence.available",
        "Agents who are available, off queue.",
    ),
    agents(
        "oUserPresences",
        Some("AWAY"),
        "agents.presence.away",
        "Agents who are away.",
    ),
    agents(
        "oUserPresences",
        Some("BREAK"),
        "agents.presence.break",
        "Agents on a break.",
    ),
    agents(
        "oUserPresences",
        Some("BUSY"),
        "agents.presence.busy",
        "Agents who are busy.",
    ),
    agents(
        "oUserPresences",
        Some("IDLE"),
        "agents.presence.idle",
        "Agents without activity at the computer.",
    ),
    agents(
        "oUserPresences",
        Some("MEAL"),
        "agents.presence.meal",
        "Agents at a meal.",
    ),
    agents(
        "oUserPresences",
        Some("MEETING"),
        "agents.presence.meeting",
        "Agents in a meeting.",
    ),
    agents(
        "oUserPresences",
        Some("OFFLINE"),
        "agents.presence.offline",
        "Agents who are logged out.",
    ),
    agents(
        "oUserPresences",
        Some("ON_QUEUE"),
        "agents.presence.on.queue",
        "Agents on queue, by presence.",
    ),
    agents(
        "oUserPresences",
        Some("TRAINING"),
        "agents.presence.training",
        "Agents in training.",
    ),
];

const fn interactions(upstream: &'static str, name: &'static str, shows: Shows, meaning: &'static str) -> Observation {
    Observation {
        name,
        upstream,
        qualifier: None,
        of: Observed::Interactions,
        shows,
        meaning,
    }
}

const fn agents(
    upstream: &'static str,
    qualifier: Option<&'static str>,
    name: &'static str,
    meaning: &'static str,
) -> Observation {
    Observation {
        qualifier,
        of: Observed::Agents,
        ..interactions(upstream, name, Shows::Count, meaning)
    }
}
