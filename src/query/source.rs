//! The families of figures, each with its own endpoint, metrics and dimensions.

/// The family a query is about (the contract's `source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Conversation aggregates.
    Conversations,
    /// How long users were in which presence and routing status.
    Users,
    /// Flow aggregates: bots, menus and other Architect flows.
    Flows,
    /// Quality evaluations.
    Evaluations,
    /// Customer surveys.
    Surveys,
    /// Data actions of integrations.
    Actions,
    /// What is suggested to agents.
    AgentCopilots,
    /// How much of what agents can take is taken.
    AgentUtilizations,
    /// Sessions with bots.
    Bots,
    /// Cases.
    CaseManagement,
    /// Copilots of other users.
    Copilots,
    /// Flows executed, those without an interaction included.
    FlowExecutions,
    /// Journeys of customers on the web.
    Journeys,
    /// Searches and documents of knowledge bases.
    Knowledge,
    /// How far limits of the platform were used up.
    RateLimits,
    /// Conversations after which nobody had to come back.
    Resolutions,
    /// Summaries of conversations.
    Summaries,
    /// Work items.
    TaskManagement,
    /// Speech and text analytics.
    Transcripts,
}

impl Source {
    /// All there are.
    pub const ALL: [Self; 19] = [
        Self::Conversations,
        Self::Users,
        Self::Flows,
        Self::Evaluations,
        Self::Surveys,
        Self::Actions,
        Self::AgentCopilots,
        Self::AgentUtilizations,
        Self::Bots,
        Self::CaseManagement,
        Self::Copilots,
        Self::FlowExecutions,
        Self::Journeys,
        Self::Knowledge,
        Self::RateLimits,
        Self::Resolutions,
        Self::Summaries,
        Self::TaskManagement,
        Self::Transcripts,
    ];

    /// Its name, as in `source=users`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Users => "users",
            Self::Flows => "flows",
            Self::Evaluations => "evaluations",
            Self::Surveys => "surveys",
            Self::Actions => "actions",
            Self::AgentCopilots => "agentcopilots",
            Self::AgentUtilizations => "agentutilizations",
            Self::Bots => "bots",
            Self::CaseManagement => "casemanagement",
            Self::Copilots => "copilots",
            Self::FlowExecutions => "flowexecutions",
            Self::Journeys => "journeys",
            Self::Knowledge => "knowledge",
            Self::RateLimits => "ratelimits",
            Self::Resolutions => "resolutions",
            Self::Summaries => "summaries",
            Self::TaskManagement => "taskmanagement",
            Self::Transcripts => "transcripts",
        }
    }

    /// The family of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// What is counted when nothing is selected.
    pub const fn default_metric(self) -> &'static str {
        match self {
            Self::Conversations => "conversation.count",
            Self::Users => "presence.on.queue.time",
            Self::Flows => "flow.count",
            Self::Evaluations => "evaluation.count",
            Self::Surveys => "survey.sent",
            Self::Actions => "action.execution.time.count",
            Self::AgentCopilots => "agent.copilot.suggestions.article",
            Self::AgentUtilizations => "agent.utilization.percentage.count",
            Self::Bots => "bot.session.count",
            Self::CaseManagement => "case.opened",
            Self::Copilots => "copilot.messages",
            Self::FlowExecutions => "flow.executions",
            Self::Journeys => "journey.sessions.count",
            Self::Knowledge => "knowledge.searches.count",
            Self::RateLimits => "limit.usage.count",
            Self::Resolutions => "resolution.contacts.avoided",
            Self::Summaries => "summary.count",
            Self::TaskManagement => "workitem.created",
            Self::Transcripts => "transcript.conversations",
        }
    }

    /// Whether the upstream may tell rows apart by media type unasked, so that they are folded again.
    pub const fn tells_media_types_apart(self) -> bool {
        matches!(self, Self::Conversations | Self::Flows)
    }
}

/// A set of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Families(u32);

impl Families {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// These and that one.
    #[must_use]
    pub const fn with(self, source: Source) -> Self {
        Self(self.0 | 1 << source as u8)
    }

    /// These without that one.
    #[must_use]
    pub const fn without(self, source: Source) -> Self {
        Self(self.0 & !(1 << source as u8))
    }

    /// Whether it is one of them.
    pub const fn contain(self, source: Source) -> bool {
        self.0 & 1 << source as u8 != 0
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Source> {
        Source::ALL.into_iter().filter(move |source| self.contain(*source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let some = Families::NONE
            .with(Source::Flows)
            .with(Source::Surveys)
            .with(Source::Users);
        let some = some.without(Source::Users).without(Source::Evaluations);
        assert_eq!(some.each().collect::<Vec<_>>(), [Source::Flows, Source::Surveys]);
    }

    #[test]
    fn every_family_goes_by_its_name() {
        for source in Source::ALL {
            assert_eq!(Source::named(source.name()), Some(source));
        }
        assert_eq!(Source::named("agents"), None);
    }
}
