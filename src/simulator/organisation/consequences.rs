//! What else comes of conversations: suggestions, sessions with bots, searches, summaries, work items and the like, each
//! counted by a family of its own.
//!
//! Each is a pure function of the seed and the conversation, happens between its beginning and a week after its end, and
//! has the dimensions of one of its sessions beside its own. How often, and how long it takes, is made up to be believed.

use uuid::Uuid;

use super::assessments::{Assessment, dice, last_talk};
use super::conversation::{Atom, Conversation, Dimension, Direction, Family, Media, Metric, SegmentKind};
use super::dice::Dice;
use super::generation::{HOUR, MINUTE, SECOND};

/// What a family counts of the conversation, if anything.
pub(super) fn of(family: Family, seed: u64, conversation: &Conversation) -> Option<Assessment> {
    let dice = dice(seed, family.word(), conversation);
    let tale = match family {
        Family::Actions => with_flow(dice, conversation)?.actions(seed),
        Family::AgentCopilots => after_talk(dice, conversation, 0.4)?.suggestions(seed),
        Family::AgentUtilizations => after_talk(dice, conversation, 1.0)?.utilization(),
        Family::Bots => with_bot(dice, conversation)?.bot(seed),
        Family::CaseManagement => after_talk(dice, conversation, 0.06)?.case(seed),
        Family::Copilots => after_talk(dice, conversation, 0.1)?.copilot(seed),
        Family::FlowExecutions => with_flow(dice, conversation)?.execution(),
        Family::Journeys => with_bot(dice, conversation)?.journey(seed),
        Family::Knowledge => after_talk(dice, conversation, 0.3)?.searches(seed),
        Family::RateLimits => after_talk(dice, conversation, 0.01)?.limit(),
        Family::Resolutions => after_talk(dice, conversation, 0.8)?.resolution(),
        Family::Summaries => after_talk(dice, conversation, 0.35)?.summary(),
        Family::TaskManagement => after_talk(dice, conversation, 0.15)?.work_item(seed),
        Family::Transcripts => after_talk(dice, conversation, 0.6)?.transcript(seed, conversation)?,
        Family::Conversations | Family::Flows | Family::Evaluations | Family::Surveys => return None,
    };
    Some(tale.told)
}

/// What happened, while it is being told.
struct Tale {
    dice: Dice,
    /// When it may begin, and when the conversation was over.
    start: i64,
    end: i64,
    told: Assessment,
}

/// About the last agent who talked, with this probability.
fn after_talk(mut dice: Dice, conversation: &Conversation, probability: f64) -> Option<Tale> {
    let (session, end) = last_talk(conversation)?;
    let start = conversation.sessions[session].segments.first()?.start;
    dice.chance(probability).then(|| Tale::new(dice, session, start, end))
}

/// About the flow it went through.
fn with_flow(dice: Dice, conversation: &Conversation) -> Option<Tale> {
    let session = conversation
        .sessions
        .iter()
        .position(|session| session.flow.is_some())?;
    let segments = &conversation.sessions[session].segments;
    Some(Tale::new(dice, session, segments.first()?.start, segments.last()?.end))
}

/// About the customer who wrote.
fn with_bot(mut dice: Dice, conversation: &Conversation) -> Option<Tale> {
    let first = conversation.sessions.first()?;
    let writes = matches!(first.media, Media::Chat | Media::Message);
    let begins = writes && conversation.originating == Direction::Inbound;
    (begins && dice.chance(0.7)).then(|| Tale::new(dice, 0, conversation.start, conversation.start + 10 * MINUTE))
}

/// One of a few things of that kind.
fn one_of(seed: u64, kind: &str, number: i64) -> Atom<'static> {
    Atom::Id(Dice::new(seed, kind, number).id())
}

const fn text(text: &'static str) -> Atom<'static> {
    Atom::Text(text)
}

impl Tale {
    fn new(dice: Dice, session: usize, start: i64, end: i64) -> Self {
        Self {
            dice,
            start,
            end,
            told: Assessment::begun(session, start),
        }
    }

    /// Known of everything that happens.
    fn with(mut self, own: impl IntoIterator<Item = (Dimension, Atom<'static>)>) -> Self {
        self.told.own.extend(own);
        self
    }

    fn emit(&mut self, metric: Metric, at: i64, value: i64, own: &[(Dimension, Atom<'static>)]) {
        self.told.emit(metric, at, value, own);
    }

    fn id(&mut self) -> Uuid {
        self.dice.id()
    }

    /// An instant of the talk.
    fn meanwhile(&mut self) -> i64 {
        self.dice.between(self.start, self.end.max(self.start + 1))
    }

    fn actions(mut self, seed: u64) -> Self {
        const NAMES: [&str; 3] = ["Find customer", "Get open orders", "Create ticket"];
        for _ in 0..=self.dice.between(0, 3) {
            let action = self.dice.between(0, 3);
            let failed = self.dice.chance(0.03);
            let mut own = vec![
                (Dimension::ActionId, one_of(seed, "action", action)),
                (Dimension::ActionName, text(NAMES[usize::try_from(action).unwrap_or(0)])),
                (Dimension::ActionCategory, text("Web Services Data Actions")),
                (Dimension::IntegrationId, one_of(seed, "integration", 0)),
                (Dimension::IntegrationName, text("Customer records")),
                (Dimension::ResponseStatus, text(if failed { "500" } else { "200" })),
            ];
            if failed {
                own.push((Dimension::ErrorType, text("SERVER_ERROR")));
            }
            let at = self.meanwhile();
            let took = self.dice.skewed(60, 4 * SECOND, 4);
            self.emit(Metric::TTotalExecution, at, took, &own);
        }
        self
    }

    fn suggestions(mut self, seed: u64) -> Self {
        const KINDS: [(Metric, &str); 5] = [
            (Metric::NKnowledgeArticleSuggestions, "KnowledgeArticle"),
            (Metric::NKnowledgeAnswerSuggestions, "KnowledgeAnswer"),
            (Metric::NKnowledgeSearchSuggestions, "KnowledgeSearch"),
            (Metric::NCannedResponseSuggestions, "CannedResponse"),
            (Metric::NScriptSuggestions, "Script"),
        ];
        self = self.with([(Dimension::AgentAssistantId, one_of(seed, "assistant", 0))]);
        for number in 0..self.dice.between(1, 6) {
            let (metric, kind) = KINDS[self.dice.weighted(&[40.0, 25.0, 15.0, 15.0, 5.0])];
            let engagement = ["NoEngagement", "Viewed", "Copied"][self.dice.weighted(&[60.0, 30.0, 10.0])];
            let own = [
                (Dimension::SuggestionId, Atom::Id(self.id())),
                (Dimension::SuggestionType, text(kind)),
                (Dimension::EngagementType, text(engagement)),
                (Dimension::State, text("Suggested")),
            ];
            let at = self.meanwhile();
            self.emit(metric, at, 1, &own);
            self.emit(Metric::NDistinctSuggestions, at, 1, &own);
            if number == 0 {
                self.emit(Metric::NDistinctConversations, at, 1, &own);
            }
        }
        self
    }

    fn utilization(mut self) -> Self {
        let most = self.dice.between(1, 5);
        let taken = self.dice.between(1, most + 1);
        let at = self.start;
        self.emit(Metric::OAgentMaxUtilization, at, most, &[]);
        self.emit(Metric::OAgentAvailableUtilization, at, most - taken, &[]);
        self.emit(Metric::OAgentUtilizationPercentage, at, 100 * taken / most, &[]);
        self
    }

    fn bot(mut self, seed: u64) -> Self {
        const INTENTS: [&str; 4] = ["OrderStatus", "ReturnGoods", "OpeningHours", "TalkToSomebody"];
        let intent = text(INTENTS[self.dice.weighted(&[40.0, 20.0, 15.0, 25.0])]);
        let (end, result) = [
            (Metric::TBotExit, "Exit"),
            (Metric::TBotDisconnect, "CustomerDisconnect"),
            (Metric::TBotRecognitionFailure, "RecognitionFailure"),
        ][self.dice.weighted(&[80.0, 14.0, 6.0])];
        let session = self.id();
        self = self.with([
            (Dimension::BotId, one_of(seed, "bot", 0)),
            (Dimension::BotName, text("Greeter")),
            (Dimension::BotVersion, text("5.0")),
            (Dimension::BotProduct, text("DigitalBotFlow")),
            (Dimension::BotProvider, text("GENESYS")),
            (Dimension::BotSessionId, Atom::Id(session)),
            (Dimension::LanguageCode, text("en-us")),
            (Dimension::BotResult, text(result)),
            (Dimension::BotFinalIntent, intent),
        ]);
        let turns = self.dice.skewed(2, 12, 2);
        let took = turns * self.dice.between(5 * SECOND, 20 * SECOND);
        let (start, over) = (self.start, self.start + took);
        for turn in 1..=turns {
            self.emit(Metric::NBotSessionTurns, start + took * turn / turns, 1, &[]);
            self.emit(Metric::OBotSessionTurn, start + took * turn / turns, 1, &[]);
        }
        self.emit(
            Metric::OBotIntent,
            start + took / turns,
            1,
            &[(Dimension::BotIntent, intent)],
        );
        self.emit(Metric::NBotSessions, over, 1, &[]);
        self.emit(Metric::TBotSession, over, took, &[]);
        self.emit(end, over, took, &[]);
        self
    }

    fn case(mut self, seed: u64) -> Self {
        let (case, plan, opened) = (self.id(), one_of(seed, "case plan", 0), self.end);
        let priority = ["1", "2", "3"][self.dice.weighted(&[10.0, 30.0, 60.0])];
        self = self.with([
            (Dimension::CaseId, Atom::Id(case)),
            (Dimension::CaseplanId, plan),
            (Dimension::Priority, text(priority)),
        ]);
        let status = |status: &'static str| [(Dimension::Status, text(status))];
        self.emit(Metric::NCasesOpened, opened, 1, &status("New"));
        self.emit(
            Metric::NCaseAssociationsCreated,
            opened,
            1,
            &[(Dimension::AssociationType, text("Conversation"))],
        );
        let took_up = self.dice.skewed(5 * MINUTE, 24 * HOUR, 2);
        self.emit(Metric::NCasesStatusChanged, opened + took_up, 1, &status("InProgress"));
        self.emit(Metric::TCasesStatus, opened + took_up, took_up, &status("New"));
        let took = took_up + self.dice.skewed(HOUR, 96 * HOUR, 2);
        let in_time = took < 48 * HOUR;
        self.emit(Metric::NCasesTerminated, opened + took, 1, &status("Closed"));
        self.emit(
            Metric::TCasesStatus,
            opened + took,
            took - took_up,
            &status("InProgress"),
        );
        self.emit(Metric::TCasesResolved, opened + took, took, &status("Closed"));
        self.emit(
            Metric::OCasesServiceLevel,
            opened + took,
            i64::from(in_time),
            &status("Closed"),
        );
        if !in_time {
            self.emit(Metric::NCasesOverSla, opened + took, 1, &status("Closed"));
        }
        self
    }

    fn copilot(mut self, seed: u64) -> Self {
        self = self.with([(Dimension::AgentId, one_of(seed, "copilot", 0))]);
        let at = self.end;
        self.emit(Metric::NCopilotSessions, at, 1, &[]);
        self.emit(Metric::NCopilotUsers, at, 1, &[]);
        for message in 0..self.dice.between(2, 9) {
            self.emit(Metric::NCopilotMessages, at + message * 20 * SECOND, 1, &[]);
            if self.dice.chance(0.3) {
                let tool = [
                    (Dimension::ToolId, one_of(seed, "tool", 0)),
                    (Dimension::ToolType, text("Report")),
                    (Dimension::ToolStatus, text("Success")),
                ];
                self.emit(Metric::NCopilotToolInvocations, at + message * 20 * SECOND, 1, &tool);
            }
        }
        self
    }

    fn execution(mut self) -> Self {
        let at = self.start;
        self.emit(Metric::NFlowExecutions, at, 1, &[]);
        self
    }

    fn journey(mut self, seed: u64) -> Self {
        let (visit, map) = (self.id(), self.dice.between(0, 3));
        let device = ["desktop", "mobile", "tablet"][self.dice.weighted(&[50.0, 42.0, 8.0])];
        self = self.with([
            (Dimension::JourneySessionId, Atom::Id(visit)),
            (Dimension::JourneySessionType, text("web")),
            (Dimension::JourneyDeviceCategory, text(device)),
            (Dimension::JourneyIpGeolocationCountry, text("Germany")),
        ]);
        let at = self.start;
        self.emit(Metric::NJourneySessions, at, 1, &[]);
        self.emit(Metric::NDistinctJourneySessions, at, 1, &[]);
        let segment = self.dice.between(0, 4);
        self.emit(
            Metric::NJourneySegmentsAssigned,
            at,
            1,
            &[(Dimension::JourneySegmentId, one_of(seed, "segment", segment))],
        );
        let action = [
            (Dimension::JourneyActionMapId, one_of(seed, "action map", map)),
            (Dimension::JourneyActionId, Atom::Id(self.id())),
            (Dimension::JourneyActionMediaType, text("webchat")),
        ];
        for metric in [
            Metric::NDistinctJourneyActions,
            Metric::NWebActionsQualified,
            Metric::NWebActionsOffered,
        ] {
            self.emit(metric, at + 10 * SECOND, 1, &action);
        }
        let came = self.dice.weighted(&[70.0, 8.0, 12.0, 10.0]);
        match came {
            0 => {
                self.emit(Metric::NWebActionsAccepted, at + 30 * SECOND, 1, &action);
                self.emit(Metric::NWebActionsStarted, at + 31 * SECOND, 1, &action);
                self.emit(Metric::NWebActionsEngaged, at + MINUTE, 1, &action);
            }
            1 => self.emit(Metric::NWebActionsRejected, at + 30 * SECOND, 1, &action),
            2 => self.emit(Metric::NWebActionsIgnored, at + 5 * MINUTE, 1, &action),
            _ => self.emit(Metric::NWebActionsTimedout, at + 10 * MINUTE, 1, &action),
        }
        if came == 0 && self.dice.chance(0.3) {
            let outcome = [(Dimension::JourneyOutcomeId, one_of(seed, "journey outcome", 0))];
            let worth = self.dice.between(5, 200);
            self.emit(Metric::NJourneyOutcomesAchieved, at + 20 * MINUTE, 1, &outcome);
            self.emit(Metric::OJourneyOutcomeValue, at + 20 * MINUTE, worth, &outcome);
        }
        self
    }

    fn searches(mut self, seed: u64) -> Self {
        self = self.with([
            (Dimension::KnowledgeBaseId, one_of(seed, "knowledge base", 0)),
            (Dimension::AppType, text("Assistant")),
            (Dimension::LanguageCode, text("en-us")),
        ]);
        let at = self.start;
        self.emit(Metric::NKnowledgeSessions, at, 1, &[]);
        self.emit(Metric::NDistinctKnowledgeSessions, at, 1, &[]);
        for _ in 0..self.dice.between(1, 4) {
            let search = [
                (Dimension::SearchId, Atom::Id(self.id())),
                (Dimension::QueryType, text("ManualSearch")),
            ];
            let at = self.meanwhile();
            self.emit(Metric::NKnowledgeSearch, at, 1, &search);
            self.emit(Metric::OKnowledgeSearch, at, 1, &search);
            if self.dice.chance(0.15) {
                self.emit(Metric::NKnowledgeSearchUnanswered, at, 1, &search);
                continue;
            }
            self.emit(Metric::NKnowledgeSearchAnswered, at, 1, &search);
            let number = self.dice.between(0, 40);
            let document = [
                search[0],
                (Dimension::KnowledgeBaseDocumentId, one_of(seed, "document", number)),
            ];
            self.emit(Metric::NKnowledgeDocumentPresented, at, 1, &document);
            if self.dice.chance(0.5) {
                self.emit(Metric::NKnowledgeDocumentViewed, at + 3 * SECOND, 1, &document);
            }
            if self.dice.chance(0.08) {
                let rating = [document[0], document[1], (Dimension::FeedbackRating, text("Positive"))];
                self.emit(Metric::NKnowledgeDocumentFeedback, at + 20 * SECOND, 1, &rating);
            }
        }
        self
    }

    fn limit(mut self) -> Self {
        let own = [
            (Dimension::Namespace, text("platform.api")),
            (Dimension::LimitName, text("client.credentials.token.rate.per.minute")),
            (Dimension::Max, text("300")),
            (Dimension::TimeUnit, text("MINUTES")),
        ];
        let (at, used) = (self.start, self.dice.between(270, 301));
        self.emit(Metric::ORateLimitRecorded, at, used, &own);
        self
    }

    fn resolution(mut self) -> Self {
        let at = self.end + 72 * HOUR;
        self.emit(Metric::NNextContactAvoided, at, 1, &[]);
        self
    }

    fn summary(mut self) -> Self {
        let summary = self.id();
        self = self.with([
            (Dimension::SummaryId, Atom::Id(summary)),
            (Dimension::Language, text("en-us")),
            (Dimension::SummaryGenerated, text("true")),
            (Dimension::Presented, text("true")),
        ]);
        let took = self.dice.skewed(700, 6 * SECOND, 2);
        let at = self.end;
        self.emit(Metric::NConversationSummaries, at, 1, &[]);
        self.emit(Metric::TConversationSummary, at, took, &[]);
        if self.dice.chance(0.4) {
            let copied = [(Dimension::Copied, text("true"))];
            self.emit(Metric::NConversationSummaryEngagements, at + 30 * SECOND, 1, &copied);
        }
        self
    }

    fn work_item(mut self, seed: u64) -> Self {
        let (item, kind) = (self.id(), self.dice.between(0, 3));
        self = self.with([
            (Dimension::WorkitemId, Atom::Id(item)),
            (Dimension::TypeId, one_of(seed, "work type", kind)),
            (Dimension::WorkbinId, one_of(seed, "work bin", 0)),
        ]);
        let category = |category: &'static str| [(Dimension::StatusCategory, text(category))];
        let created = self.end;
        for metric in [
            Metric::NWorkitemsCreated,
            Metric::NWorkitemsAcdStarted,
            Metric::NWorkitemsOffered,
        ] {
            self.emit(metric, created, 1, &category("Open"));
        }
        let waited = self.dice.skewed(2 * MINUTE, 24 * HOUR, 3);
        let in_time = waited < 4 * HOUR;
        let answered = created + waited;
        for metric in [Metric::TWorkitemsAnswered, Metric::TWorkitemsQueueAnswered] {
            self.emit(metric, answered, waited, &category("InProgress"));
        }
        self.emit(
            Metric::OWorkitemsServiceLevel,
            answered,
            i64::from(in_time),
            &category("InProgress"),
        );
        if !in_time {
            self.emit(Metric::NWorkitemsOverSla, answered, 1, &category("InProgress"));
        }
        self.emit(Metric::NWorkitemsStatusChanged, answered, 1, &category("InProgress"));
        let worked = self.dice.skewed(MINUTE, 2 * HOUR, 3);
        let done = answered + worked;
        for metric in [
            Metric::TWorkitemsHandled,
            Metric::TWorkitemsFocus,
            Metric::TWorkitemsFocusComplete,
        ] {
            self.emit(metric, done, worked, &category("Closed"));
        }
        self.emit(Metric::NWorkitemsTerminated, done, 1, &category("Closed"));
        self
    }

    fn transcript(mut self, seed: u64, conversation: &Conversation) -> Option<Self> {
        let session = &conversation.sessions[self.told.session];
        let talk = session
            .segments
            .iter()
            .filter(|segment| segment.kind == SegmentKind::Interact);
        let talked: i64 = talk.map(|segment| segment.end - segment.start).sum();
        if session.media != Media::Voice || talked == 0 {
            return None;
        }
        let at = self.end + self.dice.between(5 * MINUTE, HOUR);
        let (agent, customer) = (self.dice.between(35, 50), self.dice.between(25, 40));
        let other = self.dice.between(0, 5);
        let of = |hundredths: i64| talked * hundredths / 100;
        let silence = talked - of(agent) - of(customer) - of(other);
        let sentiment = self.dice.between(-60, 90);
        self.emit(Metric::NSpeechTextAnalyzedConversations, at, 1, &[]);
        self.emit(
            Metric::TAgentSpeech,
            at,
            of(agent),
            &[(Dimension::Channel, text("internal"))],
        );
        self.emit(
            Metric::TCustomerSpeech,
            at,
            of(customer),
            &[(Dimension::Channel, text("external"))],
        );
        self.emit(Metric::TOtherAudio, at, of(other), &[]);
        self.emit(Metric::TSilence, at, silence, &[]);
        self.emit(Metric::TTotalSpeechAndSilence, at, talked, &[]);
        self.emit(Metric::OSentimentScore, at, sentiment, &[]);
        self.emit(Metric::OCustomerSentiment, at, sentiment, &[]);
        let overlaps = self.dice.skewed(0, 6, 2);
        if overlaps > 0 {
            self.emit(Metric::OOverTalkSpeechInstances, at, overlaps, &[]);
            self.emit(Metric::TOverTalkSpeech, at, overlaps * 800, &[]);
        }
        for _ in 0..self.dice.between(0, 3) {
            let topic = self.dice.between(0, 8);
            let topic = [(Dimension::TopicId, one_of(seed, "topic", topic))];
            self.emit(Metric::NTopicCommunications, at, 1, &topic);
        }
        Some(self)
    }
}
