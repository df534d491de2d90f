//! What happened in one conversation: sessions, their segments and the metric events they emitted.
//!
//! These are the simulator's records, kept small because months of them are scanned per query; JSON is made from
//! them in [`details`](super::details), sums in [`aggregates`](super::aggregates). All instants are milliseconds
//! since the epoch, all durations milliseconds. One session stands for one participant.

use uuid::Uuid;

use super::dice::scramble;
use super::directory::{Directory, HOME};

/// A conversation from first to last instant, as it will have been when it is over.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) id: Uuid,
    /// The earliest segment's start.
    pub(super) start: i64,
    pub(super) originating: Direction,
    /// Index of the customer.
    pub(super) customer: u16,
    /// Whether it may last for weeks, so that it has to be looked for far before the range asked.
    pub(super) stretched: bool,
    pub(super) sessions: Box<[Session]>,
}

/// One participant's part.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) purpose: Purpose,
    pub(super) media: Media,
    pub(super) direction: Direction,
    pub(super) queue: Option<u8>,
    pub(super) user: Option<u8>,
    pub(super) flow: Option<u8>,
    pub(super) wrap_up: Option<u8>,
    pub(super) language: Option<u8>,
    /// Requested skills, one bit per index.
    pub(super) skills: u8,
    /// The call left the queue for this flow's target.
    pub(super) flow_out: Option<&'static str>,
    /// How long after its emission the wrap-up becomes visible.
    pub(super) late_by: u32,
    pub(super) segments: Box<[Segment]>,
    pub(super) emissions: Box<[Emission]>,
}

/// A stretch of a session.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) kind: SegmentKind,
    pub(super) disconnect: Option<Disconnect>,
}

/// A metric event, stamped when it was emitted.
#[derive(Clone, Debug)]
pub(super) struct Emission {
    pub(super) at: i64,
    pub(super) value: i64,
    pub(super) metric: Metric,
}

impl Session {
    /// When the event can first be seen.
    pub(super) fn visible_at(&self, emission: &Emission) -> i64 {
        let delay = if emission.metric.after_wrap_up() {
            self.late_by
        } else {
            0
        };
        emission.at + i64::from(delay)
    }

    /// Whether the segment can be seen at `now`: it has begun and, when its report is late, that has arrived.
    pub(super) fn shows(&self, segment: &Segment, now: i64) -> bool {
        segment.start <= now && !self.withholds(segment, now)
    }

    /// Whether the segment is over but its report is still under way.
    fn withholds(&self, segment: &Segment, now: i64) -> bool {
        segment.kind == SegmentKind::Wrapup && self.late_by > 0 && now < segment.end + i64::from(self.late_by)
    }

    /// Whether there is such an event.
    pub(super) fn emitted(&self, metric: Metric) -> bool {
        self.emissions.iter().any(|emission| emission.metric == metric)
    }

    /// How the session's flow ended.
    pub(super) fn exit_reason(&self) -> &'static str {
        if self.emitted(Metric::TFlowExit) {
            "TRANSFER"
        } else {
            "DISCONNECT"
        }
    }

    /// The division the session belongs to.
    pub(super) fn division(&self, directory: &Directory) -> u8 {
        match (self.queue, self.user) {
            (Some(queue), _) => directory.queues[usize::from(queue)].division,
            (None, Some(user)) => directory.users[usize::from(user)].division,
            (None, None) => HOME,
        }
    }
}

impl Conversation {
    /// When it ended as far as can be seen at `now`; none while it runs.
    pub(super) fn end(&self, now: i64) -> Option<i64> {
        let segments = self.sessions.iter().flat_map(|session| {
            let known = |segment: &&Segment| !session.withholds(segment, now);
            session.segments.iter().filter(known)
        });
        segments.map(|segment| segment.end).max().filter(|end| *end <= now)
    }

    /// The id of the session at that position.
    pub(super) fn session_id(&self, session: usize) -> Uuid {
        self.derived_id(session, 0x5E55)
    }

    /// The id of the participant at that position.
    pub(super) fn participant_id(&self, session: usize) -> Uuid {
        self.derived_id(session, 0x9A27)
    }

    /// What the session's flow has for a dimension; nothing for those of evaluations and surveys, which know them
    /// themselves, and for the conversation's end, which depends on when one looks.
    fn flow_value<'d>(
        &self,
        dimension: Dimension,
        session: &Session,
        about: About,
        directory: &'d Directory,
    ) -> Option<Atom<'d>> {
        let flow = session.flow.map(|flow| &directory.flows[usize::from(flow)])?;
        let text = |text: &'static str| Some(Atom::Text(text));
        match (dimension, about) {
            (Dimension::FlowId, _) => Some(Atom::Id(flow.id)),
            (Dimension::FlowName, _) => text(flow.name),
            (Dimension::FlowType, _) => text(flow.kind),
            (Dimension::FlowVersion, _) => text(FLOW_VERSION),
            (Dimension::EntryType, _) => text(FLOW_ENTRY_TYPE),
            (Dimension::EntryReason, _) => text(SERVICE_NUMBER),
            (Dimension::StartingLanguage, _) | (Dimension::EndingLanguage, About::FlowEnd) => text(FLOW_LANGUAGE),
            (Dimension::ExitReason, About::FlowEnd) => text(session.exit_reason()),
            (Dimension::TransferType, About::FlowEnd) if session.emitted(Metric::TFlowExit) => text(FLOW_TRANSFER_TYPE),
            (Dimension::FlowOutcomeId, About::FlowOutcome) => {
                Some(Atom::Id(directory.flow_outcomes[self.flow_outcome(directory)]))
            }
            (Dimension::FlowOutcomeValue, About::FlowOutcome) => {
                let failed = session.emitted(Metric::NFlowOutcomeFailed);
                text(if failed { "FAILURE" } else { "SUCCESS" })
            }
            (Dimension::FlowMilestoneId, About::FlowMilestone) => Some(Atom::Id(directory.flow_milestone)),
            _ => None,
        }
    }

    /// Position of the outcome its flow is after.
    fn flow_outcome(&self, directory: &Directory) -> usize {
        let (_, random) = self.id.as_u64_pair();
        usize::try_from(random).unwrap_or(0) % directory.flow_outcomes.len()
    }

    fn derived_id(&self, position: usize, purpose: u64) -> Uuid {
        let (high, low) = self.id.as_u64_pair();
        let salt = purpose ^ (u64::try_from(position).unwrap_or(0) << 32);
        let (high, low) = (scramble(high ^ salt), scramble(low ^ scramble(salt)));
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// Appends to `values` what the event or segment in `place` has for `dimension`: nothing, one value or several.
    pub(super) fn values<'d>(
        &self,
        dimension: Dimension,
        place: Place<'_>,
        directory: &'d Directory,
        values: &mut Vec<Atom<'d>>,
    ) {
        let session = &self.sessions[place.session];
        let customer = &directory.customers[usize::from(self.customer)];
        let routed = session.queue.is_some() && session.direction == Direction::Inbound;
        let value = match dimension {
            Dimension::ConversationId => Some(Atom::Id(self.id)),
            Dimension::SessionId => Some(Atom::Id(self.session_id(place.session))),
            Dimension::OriginatingDirection => Some(Atom::Text(self.originating.word())),
            Dimension::ConversationInitiator => Some(Atom::Text(match self.originating {
                Direction::Inbound => Purpose::Customer.word(),
                Direction::Outbound => Purpose::Agent.word(),
            })),
            Dimension::CustomerParticipation => Some(Atom::Text("true")),
            Dimension::MediaType => Some(Atom::Text(session.media.word())),
            Dimension::Direction => Some(Atom::Text(session.direction.word())),
            Dimension::Purpose => Some(Atom::Text(session.purpose.word())),
            Dimension::Provider => Some(Atom::Text(session.media.provider())),
            Dimension::InteractionType => {
                let routed = self.sessions.iter().any(|session| session.queue.is_some());
                Some(Atom::Text(if routed { "contactcenter" } else { "enterprise" }))
            }
            Dimension::QueueId => session
                .queue
                .map(|queue| Atom::Id(directory.queues[usize::from(queue)].id)),
            Dimension::UserId => session.user.map(|user| Atom::Id(directory.users[usize::from(user)].id)),
            Dimension::DivisionId => Some(Atom::Id(
                directory.divisions[usize::from(session.division(directory))].id,
            )),
            Dimension::WrapUpCode => session
                .wrap_up
                .filter(|_| place.about == About::WrapUp)
                .map(|code| Atom::Id(directory.wrap_up_codes[usize::from(code)].id)),
            Dimension::RequestedLanguageId => session
                .language
                .map(|language| Atom::Id(directory.languages[usize::from(language)].id)),
            Dimension::RequestedRoutingSkillId => {
                let asked = |(index, _): &(usize, _)| session.skills & (1 << index) != 0;
                let skills = directory.skills.iter().enumerate().filter(asked);
                values.extend(skills.map(|(_, skill)| Atom::Id(skill.id)));
                None
            }
            Dimension::RequestedRouting | Dimension::UsedRouting => routed.then_some(Atom::Text("Standard")),
            Dimension::MessageType => (session.media == Media::Message).then_some(Atom::Text("webmessaging")),
            Dimension::FlowOutType => session.flow_out.map(Atom::Text),
            Dimension::ExternalContactId => {
                (session.purpose == Purpose::Customer).then_some(Atom::Id(customer.contact_id))
            }
            Dimension::Ani => (session.media == Media::Voice).then_some(Atom::Text(&customer.phone)),
            Dimension::Dnis => (session.media == Media::Voice).then_some(Atom::Text(SERVICE_NUMBER)),
            Dimension::AddressFrom => (session.media == Media::Email).then_some(Atom::Text(&customer.email)),
            Dimension::AddressTo => (session.media == Media::Email).then_some(Atom::Text(SERVICE_ADDRESS)),
            Dimension::CallbackNumber => (session.media == Media::Callback).then_some(Atom::Text(&customer.phone)),
            Dimension::ParticipantName => participant_name(session, self.customer, directory).map(Atom::Text),
            Dimension::DisconnectType => place
                .segment
                .and_then(|segment| segment.disconnect)
                .map(|disconnect| Atom::Text(disconnect.word())),
            Dimension::SegmentType => place.segment.map(|segment| Atom::Text(segment.kind.word())),
            Dimension::SegmentStart => place.segment.map(|segment| Atom::Instant(segment.start)),
            Dimension::SegmentEnd => place.segment.map(|segment| Atom::Instant(segment.end)),
            Dimension::Conference => place.segment.map(|_| Atom::Text("false")),
            Dimension::ConversationStart => Some(Atom::Instant(self.start)),
            _ => self.flow_value(dimension, session, place.about, directory),
        };
        values.extend(value);
    }
}

/// What all flows have in common.
pub(super) const FLOW_VERSION: &str = "28.0";
pub(super) const FLOW_ENTRY_TYPE: &str = "dnis";
pub(super) const FLOW_LANGUAGE: &str = "en-us";
pub(super) const FLOW_TRANSFER_TYPE: &str = "ACD";

/// The organisation's telephone number and e-mail address.
pub(super) const SERVICE_NUMBER: &str = "tel:+493023125999";
pub(super) const SERVICE_ADDRESS: &str = "service@example.com";

/// What the participant is called, where it has a name in the data (agents have only their id).
pub(super) fn participant_name<'d>(session: &Session, customer: u16, directory: &'d Directory) -> Option<&'d str> {
    match session.purpose {
        Purpose::Customer => Some(&directory.customers[usize::from(customer)].name),
        Purpose::Acd => session.queue.map(|queue| directory.queues[usize::from(queue)].name),
        Purpose::Ivr => session.flow.map(|flow| directory.flows[usize::from(flow)].name),
        Purpose::Agent | Purpose::User | Purpose::Voicemail => None,
    }
}

/// Where in a conversation a value is asked for.
#[derive(Clone, Copy)]
pub(super) struct Place<'c> {
    /// Position of the session.
    pub(super) session: usize,
    /// The segment, when segments are being filtered rather than events.
    pub(super) segment: Option<&'c Segment>,
    pub(super) about: About,
}

/// What an event or segment is about besides its session: some dimensions have values only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Session,
    /// The wrap-up code is known.
    WrapUp,
    /// How the flow ended is known.
    FlowEnd,
    FlowOutcome,
    FlowMilestone,
}

/// A dimension's value, borrowed where it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Atom<'d> {
    Text(&'d str),
    Id(Uuid),
    Instant(i64),
}

impl std::fmt::Display for Atom<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Id(id) => write!(f, "{id}"),
            Self::Instant(instant) => f.write_str(&super::calendar::iso(*instant)),
        }
    }
}

/// Declares an enum together with the platform's spelling of each variant.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(super) enum $name { $($variant),+ }

        impl $name {
            /// The platform's spelling.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
    ($(#[$meta:meta])* parsed $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        words!($(#[$meta])* $name { $($variant = $word),+ });

        impl $name {
            /// The variant spelled so.
            pub(super) fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

pub(super) use words;

words!(Direction { Inbound = "inbound", Outbound = "outbound" });

words!(Media {
    Voice = "voice",
    Chat = "chat",
    Email = "email",
    Message = "message",
    Callback = "callback",
});

impl Media {
    /// Every medium of the organisation.
    pub(super) const ALL: [Self; 5] = [Self::Voice, Self::Chat, Self::Email, Self::Message, Self::Callback];

    /// The platform's name of the component that carries the medium.
    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::Voice => "Edge",
            Self::Chat => "Webchat Provider",
            Self::Email => "PureCloud Email",
            Self::Message => "PureCloud Messaging",
            Self::Callback => "PureCloud Callback",
        }
    }
}

words!(Purpose {
    Customer = "customer",
    Ivr = "ivr",
    Acd = "acd",
    Agent = "agent",
    User = "user",
    Voicemail = "voicemail",
});

words!(SegmentKind {
    System = "system",
    Ivr = "ivr",
    Interact = "interact",
    Hold = "hold",
    Alert = "alert",
    Contacting = "contacting",
    Dialing = "dialing",
    Wrapup = "wrapup",
    Voicemail = "voicemail",
});

words!(Disconnect {
    Peer = "peer",
    Endpoint = "endpoint",
    Client = "client",
    Transfer = "transfer",
    ConsultTransfer = "consultTransfer",
    NoAnswerTransfer = "noAnswerTransfer",
    Uncallable = "uncallable",
});

words!(
    /// The metrics this organisation emits. `tWait`, `oServiceLevel` (value 1 when answered in time, else 0) are
    /// emitted too, though the platform shows them in aggregates only; `nConversations` and `oServiceTarget` are
    /// never emitted but computed from the others.
    parsed Metric {
        NAlertExpired = "nAlertExpired",
        NBlindTransferred = "nBlindTransferred",
        NBotSessionTurns = "nBotSessionTurns",
        NBotSessions = "nBotSessions",
        NCannedResponseSuggestions = "nCannedResponseSuggestions",
        NCaseAssociationsCreated = "nCaseAssociationsCreated",
        NCasesOpened = "nCasesOpened",
        NCasesOverSla = "nCasesOverSla",
        NCasesStatusChanged = "nCasesStatusChanged",
        NCasesTerminated = "nCasesTerminated",
        NConnected = "nConnected",
        NConsult = "nConsult",
        NConsultTransferred = "nConsultTransferred",
        NConversationSummaries = "nConversationSummaries",
        NConversationSummaryEngagements = "nConversationSummaryEngagements",
        NConversations = "nConversations",
        NCopilotMessages = "nCopilotMessages",
        NCopilotSessions = "nCopilotSessions",
        NCopilotToolInvocations = "nCopilotToolInvocations",
        NCopilotUsers = "nCopilotUsers",
        NDistinctConversations = "nDistinctConversations",
        NDistinctJourneyActions = "nDistinctJourneyActions",
        NDistinctJourneySessions = "nDistinctJourneySessions",
        NDistinctKnowledgeSessions = "nDistinctKnowledgeSessions",
        NDistinctSuggestions = "nDistinctSuggestions",
        NError = "nError",
        NEvaluations = "nEvaluations",
        NEvaluationsRescored = "nEvaluationsRescored",
        NFlow = "nFlow",
        NFlowExecutions = "nFlowExecutions",
        NFlowMilestone = "nFlowMilestone",
        NFlowOutcome = "nFlowOutcome",
        NFlowOutcomeFailed = "nFlowOutcomeFailed",
        NJourneyOutcomesAchieved = "nJourneyOutcomesAchieved",
        NJourneySegmentsAssigned = "nJourneySegmentsAssigned",
        NJourneySessions = "nJourneySessions",
        NKnowledgeAnswerSuggestions = "nKnowledgeAnswerSuggestions",
        NKnowledgeArticleSuggestions = "nKnowledgeArticleSuggestions",
        NKnowledgeDocumentFeedback = "nKnowledgeDocumentFeedback",
        NKnowledgeDocumentPresented = "nKnowledgeDocumentPresented",
        NKnowledgeDocumentViewed = "nKnowledgeDocumentViewed",
        NKnowledgeSearch = "nKnowledgeSearch",
        NKnowledgeSearchAnswered = "nKnowledgeSearchAnswered",
        NKnowledgeSearchSuggestions = "nKnowledgeSearchSuggestions",
        NKnowledgeSearchUnanswered = "nKnowledgeSearchUnanswered",
        NKnowledgeSessions = "nKnowledgeSessions",
        NNextContactAvoided = "nNextContactAvoided",
        NOffered = "nOffered",
        NOutbound = "nOutbound",
        NOutboundAttempted = "nOutboundAttempted",
        NOutboundConnected = "nOutboundConnected",
        NOverSla = "nOverSla",
        NScriptSuggestions = "nScriptSuggestions",
        NSpeechTextAnalyzedConversations = "nSpeechTextAnalyzedConversations",
        NSurveyFullResponses = "nSurveyFullResponses",
        NSurveyNpsDetractors = "nSurveyNpsDetractors",
        NSurveyNpsPromoters = "nSurveyNpsPromoters",
        NSurveyNpsResponses = "nSurveyNpsResponses",
        NSurveyPartialResponses = "nSurveyPartialResponses",
        NSurveyResponses = "nSurveyResponses",
        NSurveysAbandoned = "nSurveysAbandoned",
        NSurveysExpired = "nSurveysExpired",
        NSurveysSent = "nSurveysSent",
        NSurveysStarted = "nSurveysStarted",
        NTopicCommunications = "nTopicCommunications",
        NTransferred = "nTransferred",
        NWebActionsAccepted = "nWebActionsAccepted",
        NWebActionsEngaged = "nWebActionsEngaged",
        NWebActionsIgnored = "nWebActionsIgnored",
        NWebActionsOffered = "nWebActionsOffered",
        NWebActionsQualified = "nWebActionsQualified",
        NWebActionsRejected = "nWebActionsRejected",
        NWebActionsStarted = "nWebActionsStarted",
        NWebActionsTimedout = "nWebActionsTimedout",
        NWebSurveys = "nWebSurveys",
        NWorkitemsAcdStarted = "nWorkitemsAcdStarted",
        NWorkitemsCreated = "nWorkitemsCreated",
        NWorkitemsOffered = "nWorkitemsOffered",
        NWorkitemsOverSla = "nWorkitemsOverSla",
        NWorkitemsStatusChanged = "nWorkitemsStatusChanged",
        NWorkitemsTerminated = "nWorkitemsTerminated",
        OAgentAvailableUtilization = "oAgentAvailableUtilization",
        OAgentMaxUtilization = "oAgentMaxUtilization",
        OAgentUtilizationPercentage = "oAgentUtilizationPercentage",
        OBotIntent = "oBotIntent",
        OBotSessionTurn = "oBotSessionTurn",
        OCasesServiceLevel = "oCasesServiceLevel",
        OCustomerSentiment = "oCustomerSentiment",
        OJourneyOutcomeValue = "oJourneyOutcomeValue",
        OKnowledgeSearch = "oKnowledgeSearch",
        OMessageTurn = "oMessageTurn",
        OOverTalkSpeechInstances = "oOverTalkSpeechInstances",
        ORateLimitRecorded = "oRateLimitRecorded",
        OSentimentScore = "oSentimentScore",
        OServiceLevel = "oServiceLevel",
        OServiceTarget = "oServiceTarget",
        OSurveyTotalScore = "oSurveyTotalScore",
        OTotalCriticalScore = "oTotalCriticalScore",
        OTotalScore = "oTotalScore",
        OWorkitemsServiceLevel = "oWorkitemsServiceLevel",
        TAbandon = "tAbandon",
        TAcd = "tAcd",
        TActiveCallback = "tActiveCallback",
        TActiveCallbackComplete = "tActiveCallbackComplete",
        TAcw = "tAcw",
        TAgentResponseTime = "tAgentResponseTime",
        TAgentSpeech = "tAgentSpeech",
        TAlert = "tAlert",
        TAnswered = "tAnswered",
        TBotDisconnect = "tBotDisconnect",
        TBotExit = "tBotExit",
        TBotRecognitionFailure = "tBotRecognitionFailure",
        TBotSession = "tBotSession",
        TCasesResolved = "tCasesResolved",
        TCasesStatus = "tCasesStatus",
        TConnected = "tConnected",
        TContacting = "tContacting",
        TConversationSummary = "tConversationSummary",
        TCustomerSpeech = "tCustomerSpeech",
        TDialing = "tDialing",
        TFlow = "tFlow",
        TFlowDisconnect = "tFlowDisconnect",
        TFlowExit = "tFlowExit",
        TFlowOut = "tFlowOut",
        TFlowOutcome = "tFlowOutcome",
        THandle = "tHandle",
        THeld = "tHeld",
        THeldComplete = "tHeldComplete",
        TIvr = "tIvr",
        TNotResponding = "tNotResponding",
        TOtherAudio = "tOtherAudio",
        TOverTalkSpeech = "tOverTalkSpeech",
        TShortAbandon = "tShortAbandon",
        TSilence = "tSilence",
        TTalk = "tTalk",
        TTalkComplete = "tTalkComplete",
        TTotalExecution = "tTotalExecution",
        TTotalSpeechAndSilence = "tTotalSpeechAndSilence",
        TVoicemail = "tVoicemail",
        TWait = "tWait",
        TWorkitemsAnswered = "tWorkitemsAnswered",
        TWorkitemsFocus = "tWorkitemsFocus",
        TWorkitemsFocusComplete = "tWorkitemsFocusComplete",
        TWorkitemsHandled = "tWorkitemsHandled",
        TWorkitemsQueueAnswered = "tWorkitemsQueueAnswered",
    }
);

impl Metric {
    /// Whether it is emitted when the wrap-up is done, and so carries its code and comes as late as it.
    pub(super) fn after_wrap_up(self) -> bool {
        matches!(self, Self::TAcw | Self::THandle)
    }

    /// Whose aggregates count it.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub(super) fn family(self) -> Family {
        match self {
            Self::NFlow
            | Self::NFlowMilestone
            | Self::NFlowOutcome
            | Self::NFlowOutcomeFailed
            | Self::TFlow
            | Self::TFlowDisconnect
            | Self::TFlowExit
            | Self::TFlowOutcome => Family::Flows,
            Self::NEvaluations | Self::NEvaluationsRescored | Self::OTotalCriticalScore | Self::OTotalScore => {
                Family::Evaluations
            }
            Self::NSurveyFullResponses
            | Self::NSurveyNpsDetractors
            | Self::NSurveyNpsPromoters
            | Self::NSurveyNpsResponses
            | Self::NSurveyPartialResponses
            | Self::NSurveyResponses
            | Self::NSurveysAbandoned
            | Self::NSurveysExpired
            | Self::NSurveysSent
            | Self::NSurveysStarted
            | Self::NWebSurveys
            | Self::OSurveyTotalScore => Family::Surveys,
            Self::NBotSessionTurns
            | Self::NBotSessions
            | Self::OBotIntent
            | Self::OBotSessionTurn
            | Self::TBotDisconnect
            | Self::TBotExit
            | Self::TBotRecognitionFailure
            | Self::TBotSession => Family::Bots,
            Self::NCannedResponseSuggestions
            | Self::NDistinctConversations
            | Self::NDistinctSuggestions
            | Self::NKnowledgeAnswerSuggestions
            | Self::NKnowledgeArticleSuggestions
            | Self::NKnowledgeSearchSuggestions
            | Self::NScriptSuggestions => Family::AgentCopilots,
            Self::NCaseAssociationsCreated
            | Self::NCasesOpened
            | Self::NCasesOverSla
            | Self::NCasesStatusChanged
            | Self::NCasesTerminated
            | Self::OCasesServiceLevel
            | Self::TCasesResolved
            | Self::TCasesStatus => Family::CaseManagement,
            Self::NConversationSummaries | Self::NConversationSummaryEngagements | Self::TConversationSummary => {
                Family::Summaries
            }
            Self::NCopilotMessages | Self::NCopilotSessions | Self::NCopilotToolInvocations | Self::NCopilotUsers => {
                Family::Copilots
            }
            Self::NDistinctJourneyActions
            | Self::NDistinctJourneySessions
            | Self::NJourneyOutcomesAchieved
            | Self::NJourneySegmentsAssigned
            | Self::NJourneySessions
            | Self::NWebActionsAccepted
            | Self::NWebActionsEngaged
            | Self::NWebActionsIgnored
            | Self::NWebActionsOffered
            | Self::NWebActionsQualified
            | Self::NWebActionsRejected
            | Self::NWebActionsStarted
            | Self::NWebActionsTimedout
            | Self::OJourneyOutcomeValue => Family::Journeys,
            Self::NDistinctKnowledgeSessions
            | Self::NKnowledgeDocumentFeedback
            | Self::NKnowledgeDocumentPresented
            | Self::NKnowledgeDocumentViewed
            | Self::NKnowledgeSearch
            | Self::NKnowledgeSearchAnswered
            | Self::NKnowledgeSearchUnanswered
            | Self::NKnowledgeSessions
            | Self::OKnowledgeSearch => Family::Knowledge,
            Self::NFlowExecutions => Family::FlowExecutions,
            Self::NNextContactAvoided => Family::Resolutions,
            Self::NSpeechTextAnalyzedConversations
            | Self::NTopicCommunications
            | Self::OCustomerSentiment
            | Self::OOverTalkSpeechInstances
            | Self::OSentimentScore
            | Self::TAgentSpeech
            | Self::TCustomerSpeech
            | Self::TOtherAudio
            | Self::TOverTalkSpeech
            | Self::TSilence
            | Self::TTotalSpeechAndSilence => Family::Transcripts,
            Self::NWorkitemsAcdStarted
            | Self::NWorkitemsCreated
            | Self::NWorkitemsOffered
            | Self::NWorkitemsOverSla
            | Self::NWorkitemsStatusChanged
            | Self::NWorkitemsTerminated
            | Self::OWorkitemsServiceLevel
            | Self::TWorkitemsAnswered
            | Self::TWorkitemsFocus
            | Self::TWorkitemsFocusComplete
            | Self::TWorkitemsHandled
            | Self::TWorkitemsQueueAnswered => Family::TaskManagement,
            Self::OAgentAvailableUtilization | Self::OAgentMaxUtilization | Self::OAgentUtilizationPercentage => {
                Family::AgentUtilizations
            }
            Self::ORateLimitRecorded => Family::RateLimits,
            Self::TTotalExecution => Family::Actions,
            _ => Family::Conversations,
        }
    }

    /// What its events are about besides their session.
    pub(super) fn about(self) -> About {
        match self {
            Self::NFlowMilestone => About::FlowMilestone,
            Self::NFlowOutcome | Self::NFlowOutcomeFailed | Self::TFlowOutcome => About::FlowOutcome,
            Self::TFlow | Self::TFlowDisconnect | Self::TFlowExit => About::FlowEnd,
            metric if metric.after_wrap_up() => About::WrapUp,
            _ => About::Session,
        }
    }

    /// Whether conversation details show it among a session's metrics. Those of outcomes and milestones are shown in
    /// flow aggregates only, as are the outcomes themselves.
    pub(super) fn in_details(self) -> bool {
        let flows = matches!(self.about(), About::FlowOutcome | About::FlowMilestone);
        !flows && !matches!(self, Self::TWait | Self::OServiceLevel)
    }
}

words!(
    /// A family of aggregates: each counts metrics of its own.
    parsed Family {
        Conversations = "conversations",
        Flows = "flows",
        Evaluations = "evaluations",
        Surveys = "surveys",
        Actions = "actions",
        AgentCopilots = "agentcopilots",
        AgentUtilizations = "agentutilizations",
        Bots = "bots",
        CaseManagement = "casemanagement",
        Copilots = "copilots",
        FlowExecutions = "flowexecutions",
        Journeys = "journeys",
        Knowledge = "knowledge",
        RateLimits = "ratelimits",
        Resolutions = "resolutions",
        Summaries = "summaries",
        TaskManagement = "taskmanagement",
        Transcripts = "transcripts",
    }
);

words!(
    /// The dimensions for which this organisation has values; others are known to the platform and empty here.
    parsed Dimension {
        ActionCategory = "actionCategory",
        ActionId = "actionId",
        ActionName = "actionName",
        AddressFrom = "addressFrom",
        AddressTo = "addressTo",
        AgentAssistantId = "agentAssistantId",
        AgentId = "agentId",
        Ani = "ani",
        AppType = "appType",
        AssociationType = "associationType",
        BotFinalIntent = "botFinalIntent",
        BotId = "botId",
        BotIntent = "botIntent",
        BotName = "botName",
        BotProduct = "botProduct",
        BotProvider = "botProvider",
        BotResult = "botResult",
        BotSessionId = "botSessionId",
        BotVersion = "botVersion",
        CallbackNumber = "callbackNumber",
        CaseId = "caseId",
        CaseplanId = "caseplanId",
        Channel = "channel",
        Conference = "conference",
        ContextId = "contextId",
        ConversationEnd = "conversationEnd",
        ConversationId = "conversationId",
        ConversationInitiator = "conversationInitiator",
        ConversationStart = "conversationStart",
        Copied = "copied",
        CustomerParticipation = "customerParticipation",
        Direction = "direction",
        DisconnectType = "disconnectType",
        DivisionId = "divisionId",
        Dnis = "dnis",
        EndingLanguage = "endingLanguage",
        EngagementType = "engagementType",
        EntryReason = "entryReason",
        EntryType = "entryType",
        ErrorType = "errorType",
        EvaluationContextId = "evaluationContextId",
        EvaluationId = "evaluationId",
        EvaluatorId = "evaluatorId",
        ExitReason = "exitReason",
        ExternalContactId = "externalContactId",
        FeedbackRating = "feedbackRating",
        FlowId = "flowId",
        FlowMilestoneId = "flowMilestoneId",
        FlowName = "flowName",
        FlowOutType = "flowOutType",
        FlowOutcomeId = "flowOutcomeId",
        FlowOutcomeValue = "flowOutcomeValue",
        FlowType = "flowType",
        FlowVersion = "flowVersion",
        FormId = "formId",
        IntegrationId = "integrationId",
        IntegrationName = "integrationName",
        InteractionType = "interactionType",
        JourneyActionId = "journeyActionId",
        JourneyActionMapId = "journeyActionMapId",
        JourneyActionMediaType = "journeyActionMediaType",
        JourneyDeviceCategory = "journeyDeviceCategory",
        JourneyIpGeolocationCountry = "journeyIpGeolocationCountry",
        JourneyOutcomeId = "journeyOutcomeId",
        JourneySegmentId = "journeySegmentId",
        JourneySessionId = "journeySessionId",
        JourneySessionType = "journeySessionType",
        KnowledgeBaseDocumentId = "knowledgeBaseDocumentId",
        KnowledgeBaseId = "knowledgeBaseId",
        Language = "language",
        LanguageCode = "languageCode",
        LimitName = "limitName",
        Max = "max",
        MediaType = "mediaType",
        MessageType = "messageType",
        Namespace = "namespace",
        OrganizationPresenceId = "organizationPresenceId",
        OriginatingDirection = "originatingDirection",
        ParticipantName = "participantName",
        Presented = "presented",
        Priority = "priority",
        Provider = "provider",
        Purpose = "purpose",
        QueryType = "queryType",
        QueueId = "queueId",
        Released = "released",
        RequestedLanguageId = "requestedLanguageId",
        RequestedRouting = "requestedRouting",
        RequestedRoutingSkillId = "requestedRoutingSkillId",
        Rescored = "rescored",
        ResponseStatus = "responseStatus",
        RoutingStatus = "routingStatus",
        SearchId = "searchId",
        SegmentEnd = "segmentEnd",
        SegmentStart = "segmentStart",
        SegmentType = "segmentType",
        SessionId = "sessionId",
        StartingLanguage = "startingLanguage",
        State = "state",
        Status = "status",
        StatusCategory = "statusCategory",
        SuggestionId = "suggestionId",
        SuggestionType = "suggestionType",
        SummaryGenerated = "summaryGenerated",
        SummaryId = "summaryId",
        SurveyFormContextId = "surveyFormContextId",
        SurveyFormId = "surveyFormId",
        SurveyFormName = "surveyFormName",
        SurveyId = "surveyId",
        SurveyPartialResponse = "surveyPartialResponse",
        SurveyPromoterScore = "surveyPromoterScore",
        SurveyStatus = "surveyStatus",
        SurveyType = "surveyType",
        SystemPresence = "systemPresence",
        SystemSubmitted = "systemSubmitted",
        TimeUnit = "timeUnit",
        ToolId = "toolId",
        ToolStatus = "toolStatus",
        ToolType = "toolType",
        TopicId = "topicId",
        TransferType = "transferType",
        TypeId = "typeId",
        UsedRouting = "usedRouting",
        UserId = "userId",
        WorkbinId = "workbinId",
        WorkitemId = "workitemId",
        WrapUpCode = "wrapUpCode",
    }
);
