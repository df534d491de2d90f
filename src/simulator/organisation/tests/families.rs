//! Flows, evaluations and surveys: what adds up, that slices are slices, and that answers have the platform's shape.

use super::super::assessments::{self, Assessment};
use super::super::consequences;
use super::super::conversation::Family;
use super::*;

type Ask = fn(&Organisation, &Value, Timestamp, &Switches) -> Result<Value, Refusal>;

const FLOWS: (Ask, &[&str], &str) = (
    Organisation::flow_aggregates,
    &[
        "nFlow",
        "nFlowMilestone",
        "nFlowOutcome",
        "nFlowOutcomeFailed",
        "oFlowMilestone",
        "tFlow",
        "tFlowDisconnect",
        "tFlowExit",
        "tFlowOutcome",
    ],
    "FlowAggregateQueryResponse",
);
const EVALUATIONS: (Ask, &[&str], &str) = (
    Organisation::evaluation_aggregates,
    &[
        "nEvaluations",
        "nEvaluationsDeleted",
        "nEvaluationsRescored",
        "oTotalCriticalScore",
        "oTotalScore",
    ],
    "EvaluationAggregateQueryResponse",
);
const SURVEYS: (Ask, &[&str], &str) = (
    Organisation::survey_aggregates,
    &[
        "nSurveyFullResponses",
        "nSurveyNpsDetractors",
        "nSurveyNpsPromoters",
        "nSurveyNpsResponses",
        "nSurveyPartialResponses",
        "nSurveyResponses",
        "nSurveysAbandoned",
        "nSurveysExpired",
        "nSurveysSent",
        "nSurveysStarted",
        "nWebSurveys",
        "oSurveyTotalScore",
    ],
    "SurveyAggregateQueryResponse",
);

const FORTNIGHT: &str = "2025-03-20T00:00:00Z/2025-04-03T00:00:00Z";

fn ask(family: Ask, body: &Value) -> Value {
    family(&PUNCTUAL, body, at(HORIZON), &Switches::default()).unwrap()
}

fn whole(answer: &Value) -> BTreeMap<String, f64> {
    numbers(answer).remove("{}").unwrap_or_default()
}

#[test]
fn flows_end_in_one_of_two_ways() {
    let body = json!({ "interval": FORTNIGHT, "metrics": FLOWS.1 });
    let all = whole(&ask(FLOWS.0, &body));
    assert!(all["nFlow.count"] > 500.0);
    assert_eq!(
        all["tFlow.count"],
        all["tFlowExit.count"] + all["tFlowDisconnect.count"]
    );
    assert_eq!(all["tFlow.sum"], all["tFlowExit.sum"] + all["tFlowDisconnect.sum"]);
    assert_eq!(all["nFlowOutcome.count"], all["tFlowOutcome.count"]);
    assert!(all["nFlowOutcomeFailed.count"] < all["nFlowOutcome.count"] / 2.0);
    assert!(all["nFlowMilestone.count"] < all["nFlow.count"]);
    let by_value = json!({ "interval": FORTNIGHT, "metrics": FLOWS.1, "groupBy": ["flowOutcomeValue"] });
    let by_value = numbers(&ask(FLOWS.0, &by_value));
    assert_eq!(by_value["{}"]["nFlow.count"], all["nFlow.count"]);
    let failures = &by_value["{\"flowOutcomeValue\":\"FAILURE\"}"];
    assert_eq!(failures["nFlowOutcomeFailed.count"], all["nFlowOutcomeFailed.count"]);
    assert_eq!(failures["nFlowOutcome.count"], all["nFlowOutcomeFailed.count"]);
    let by_end = json!({ "interval": FORTNIGHT, "metrics": ["tFlow", "tFlowExit"], "groupBy": ["exitReason"] });
    let by_end = numbers(&ask(FLOWS.0, &by_end));
    assert_eq!(
        by_end["{\"exitReason\":\"TRANSFER\"}"]["tFlow.count"],
        all["tFlowExit.count"]
    );
    assert_eq!(
        by_end["{\"exitReason\":\"DISCONNECT\"}"]["tFlow.count"],
        all["tFlowDisconnect.count"]
    );
}

#[test]
fn flows_are_grouped_and_filtered_by_what_they_are() {
    let body = json!({
        "interval": FORTNIGHT, "metrics": ["nFlow"], "groupBy": ["flowId", "flowName", "flowType"],
        "filter": {"type": "and", "predicates": [{"dimension": "flowType", "value": "INBOUNDCALL"}]},
    });
    let answer = ask(FLOWS.0, &body);
    let listed = listing(Listing::Flows, &[]).unwrap();
    let listed = listed["entities"].as_array().unwrap();
    let groups: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["group"])
        .collect();
    assert_eq!(groups.len(), 2);
    for group in groups {
        let flow = listed.iter().find(|flow| flow["id"] == group["flowId"]).unwrap();
        assert_eq!(flow["name"], group["flowName"]);
        assert_eq!(group.as_object().unwrap().len(), 3);
    }
    let sums = numbers(&answer)
        .into_values()
        .map(|one| one["nFlow.count"])
        .sum::<f64>();
    assert_eq!(
        sums,
        whole(&ask(FLOWS.0, &json!({ "interval": FORTNIGHT, "metrics": ["nFlow"] })))["nFlow.count"]
    );
}

#[test]
fn days_of_a_fortnight_are_the_days_asked_alone() {
    let fresh = organisation(0.0);
    for (family, metrics, _) in [FLOWS, EVALUATIONS, SURVEYS] {
        let body =
            json!({ "interval": FORTNIGHT, "granularity": "P1D", "metrics": metrics, "groupBy": ["divisionId"] });
        let whole = ask(family, &body);
        for day in ["2025-03-20T00:00:00Z", "2025-03-25T00:00:00Z", "2025-04-02T00:00:00Z"] {
            let (end, interval) = interval(at(day), 24);
            let body = json!({ "interval": interval, "metrics": metrics, "groupBy": ["divisionId"] });
            let alone = family(&fresh, &body, at(HORIZON), &Switches::default()).unwrap();
            let printed = format!("{:.3}/{end:.3}", at(day));
            let mut compared = 0;
            for result in whole["results"].as_array().unwrap() {
                let mut buckets = result["data"].as_array().unwrap().iter();
                let Some(bucket) = buckets.find(|bucket| bucket["interval"] == *printed) else {
                    continue;
                };
                let results = alone["results"].as_array().unwrap();
                let same = results.iter().find(|one| one["group"] == result["group"]).unwrap();
                assert_eq!(&same["data"][0], bucket);
                compared += 1;
            }
            assert_eq!(compared, alone["results"].as_array().unwrap().len());
            assert!(compared > 0);
        }
    }
}

/// All evaluations, or surveys, of conversations that started in those days.
fn assessments_of(assess: impl Fn(&Conversation) -> Option<Assessment>) -> Vec<(i64, i64, Assessment)> {
    let (start, end) = (
        at(EARLIEST).as_millisecond(),
        at("2025-04-20T00:00:00Z").as_millisecond(),
    );
    let mut found = Vec::new();
    for day in PUNCTUAL.days_emitting(start, end) {
        for told in &day.conversations {
            let ended = told.end(i64::MAX).unwrap();
            found.extend(assess(told).map(|assessment| (told.start, ended, assessment)));
        }
    }
    found
}

/// The instant that decides, given the conversation's start.
type TimeOf = fn(i64, &Assessment) -> Option<i64>;

#[test]
fn evaluations_count_by_the_time_asked_for() {
    let made = assessments_of(|told| assessments::evaluation(7, &PUNCTUAL.directory, told));
    let fortnight = at("2025-03-20T00:00:00Z").as_millisecond()..at("2025-04-03T00:00:00Z").as_millisecond();
    let cases: [(&str, TimeOf); 4] = [
        ("eventTime", |_, one| Some(one.events[0].emission.at)),
        ("conversationStart", |start, _| Some(start)),
        ("evaluationCreatedDate", |_, one| Some(one.created)),
        ("evaluationReleaseDate", |_, one| one.released),
    ];
    for (dimension, time) in cases {
        let those = made
            .iter()
            .filter(|(start, _, one)| time(*start, one).is_some_and(|at| fortnight.contains(&at)));
        let scores: Vec<_> = those.map(|(_, _, one)| one.events[1].emission.value).collect();
        let body = json!({
            "interval": FORTNIGHT, "metrics": ["nEvaluations", "oTotalScore"], "alternateTimeDimension": dimension,
        });
        let told = whole(&ask(EVALUATIONS.0, &body));
        assert!(scores.len() > 50, "{dimension}: {}", scores.len());
        assert_eq!(told["nEvaluations.count"], scores.len() as f64, "{dimension}");
        assert_eq!(told["oTotalScore.sum"], scores.iter().sum::<i64>() as f64);
        assert_eq!(told["oTotalScore.min"], *scores.iter().min().unwrap() as f64);
        assert_eq!(told["oTotalScore.max"], *scores.iter().max().unwrap() as f64);
    }
    let by_release = json!({ "interval": FORTNIGHT, "metrics": ["nEvaluations"], "groupBy": ["released"] });
    assert_eq!(numbers(&ask(EVALUATIONS.0, &by_release)).len(), 2);
    let unknown = json!({ "interval": FORTNIGHT, "metrics": ["nEvaluations"], "alternateTimeDimension": "wrapUpDate" });
    assert_eq!(
        PUNCTUAL
            .evaluation_aggregates(&unknown, at(HORIZON), &Switches::default())
            .unwrap_err()
            .status,
        400
    );
}

#[test]
fn surveys_are_sent_answered_and_scored_in_proportion() {
    let all = whole(&ask(SURVEYS.0, &json!({ "interval": FORTNIGHT, "metrics": SURVEYS.1 })));
    assert!(all["nSurveysSent.count"] > all["nSurveysStarted.count"]);
    assert_eq!(all["nSurveysSent.count"], all["nWebSurveys.count"]);
    let answered = all["nSurveyFullResponses.count"] + all["nSurveyPartialResponses.count"];
    assert_eq!(all["nSurveyResponses.count"], answered);
    assert_eq!(all["nSurveyNpsResponses.count"], all["nSurveyFullResponses.count"]);
    assert_eq!(all["oSurveyTotalScore.count"], all["nSurveyFullResponses.count"]);
    let passive = json!({
        "interval": FORTNIGHT, "metrics": ["nSurveyNpsResponses"],
        "filter": {"type": "or", "predicates": [
            {"dimension": "surveyPromoterScore", "value": "7"}, {"dimension": "surveyPromoterScore", "value": "8"}]},
    });
    let passive = whole(&ask(SURVEYS.0, &passive))["nSurveyNpsResponses.count"];
    let outspoken = all["nSurveyNpsPromoters.count"] + all["nSurveyNpsDetractors.count"];
    assert_eq!(all["nSurveyNpsResponses.count"], outspoken + passive);

    let made = assessments_of(|told| assessments::survey(7, told));
    let fortnight = at("2025-03-20T00:00:00Z").as_millisecond()..at("2025-04-03T00:00:00Z").as_millisecond();
    let sent_then = made.iter().filter(|(_, _, one)| fortnight.contains(&one.created));
    let events = sent_then.flat_map(|(_, _, one)| &one.events);
    let started = events
        .filter(|event| event.emission.metric.word() == "nSurveysStarted")
        .count();
    let body = json!({
        "interval": FORTNIGHT, "metrics": ["nSurveysStarted"], "alternateTimeDimension": "surveyCreatedDate",
    });
    assert_eq!(whole(&ask(SURVEYS.0, &body))["nSurveysStarted.count"], started as f64);
}

#[test]
fn nothing_is_assessed_before_the_end_or_past_the_days_looked_back() {
    let latest = assessments::ASSESSED_DAYS * DAY_MS;
    let evaluations = assessments_of(|told| assessments::evaluation(7, &PUNCTUAL.directory, told));
    let surveys = assessments_of(|told| assessments::survey(7, told));
    assert!(evaluations.len() > 200 && surveys.len() > 400);
    for (_, ended, one) in evaluations.iter().chain(&surveys) {
        for event in &one.events {
            assert!((*ended..ended + latest).contains(&event.emission.at));
        }
    }
}

#[test]
fn what_is_thought_is_seen_once_it_happened() {
    let body =
        json!({ "interval": FORTNIGHT, "metrics": ["nEvaluations"], "alternateTimeDimension": "conversationStart" });
    let seen = |now: &str| {
        let answer = PUNCTUAL
            .evaluation_aggregates(&body, at(now), &Switches::default())
            .unwrap();
        whole(&answer).get("nEvaluations.count").copied().unwrap_or(0.0)
    };
    let moments = [
        "2025-03-20T00:00:00Z",
        "2025-03-28T00:00:00Z",
        "2025-04-03T00:00:00Z",
        "2025-04-20T00:00:00Z",
    ];
    let seen = moments.map(seen);
    assert!(seen[0] < seen[1] && seen[1] < seen[2] && seen[2] < seen[3], "{seen:?}");
}

#[test]
fn the_families_have_the_platforms_shape() {
    let grouped = [
        (
            FLOWS,
            json!([
                "flowId",
                "flowOutcomeId",
                "flowMilestoneId",
                "flowVersion",
                "transferType",
                "mediaType"
            ]),
        ),
        (
            EVALUATIONS,
            json!([
                "evaluatorId",
                "formId",
                "userId",
                "queueId",
                "released",
                "rescored",
                "contextId"
            ]),
        ),
        (
            SURVEYS,
            json!([
                "surveyFormId",
                "surveyStatus",
                "surveyPromoterScore",
                "userId",
                "wrapUpCode",
                "externalContactId"
            ]),
        ),
    ];
    for ((family, metrics, definition), group_by) in grouped {
        let body = json!({ "interval": FORTNIGHT, "granularity": "P1W", "metrics": metrics, "groupBy": group_by });
        let answer = ask(family, &body);
        assert_valid(include_str!("../../genesys/schemas.json"), definition, &answer);
        for dimension in group_by.as_array().unwrap() {
            let mut results = answer["results"].as_array().unwrap().iter();
            assert!(
                results.any(|one| one["group"].get(dimension.as_str().unwrap()).is_some()),
                "{dimension}"
            );
        }
    }
}

#[test]
fn conversation_aggregates_know_nothing_of_them() {
    let body = json!({ "interval": FORTNIGHT, "metrics": ["nConversations"], "groupBy": ["conversationId"] });
    let groups = numbers(&aggregates(&body));
    let known: BTreeSet<_> = PUNCTUAL
        .events(at("2025-03-20T00:00:00Z"), at("2025-04-03T00:00:00Z"), at(HORIZON))
        .into_iter()
        .map(|event| (event.conversation_id.clone(), event.values("mediaType")))
        .collect();
    assert_eq!(groups.len(), known.len());
}

/// Family, model, what is emitted, and what that can be told apart by.
type Consequences = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

#[rustfmt::skip]
const CONSEQUENCES: &[Consequences] = &[
    ("actions", "Action", &["tTotalExecution"], &["actionId", "responseStatus"]),
    ("agentcopilots", "AgentCopilot", &["nCannedResponseSuggestions", "nDistinctConversations", "nDistinctSuggestions", "nKnowledgeAnswerSuggestions", "nKnowledgeArticleSuggestions", "nKnowledgeSearchSuggestions", "nScriptSuggestions"], &["suggestionType", "userId", "queueId"]),
    ("agentutilizations", "AgentUtilization", &["oAgentAvailableUtilization", "oAgentMaxUtilization", "oAgentUtilizationPercentage"], &["userId", "mediaType"]),
    ("bots", "Bot", &["nBotSessionTurns", "nBotSessions", "oBotIntent", "oBotSessionTurn", "tBotDisconnect", "tBotExit", "tBotRecognitionFailure", "tBotSession"], &["botId", "botResult", "mediaType"]),
    ("casemanagement", "CaseManagement", &["nCaseAssociationsCreated", "nCasesOpened", "nCasesOverSla", "nCasesStatusChanged", "nCasesTerminated", "oCasesServiceLevel", "tCasesResolved", "tCasesStatus"], &["status", "priority", "divisionId"]),
    ("copilots", "Copilot", &["nCopilotMessages", "nCopilotSessions", "nCopilotToolInvocations", "nCopilotUsers"], &["toolType", "userId"]),
    ("flowexecutions", "FlowExecution", &["nFlowExecutions"], &["flowId", "divisionId"]),
    ("journeys", "Journey", &["nDistinctJourneyActions", "nDistinctJourneySessions", "nJourneyOutcomesAchieved", "nJourneySegmentsAssigned", "nJourneySessions", "nWebActionsAccepted", "nWebActionsEngaged", "nWebActionsIgnored", "nWebActionsOffered", "nWebActionsQualified", "nWebActionsRejected", "nWebActionsStarted", "nWebActionsTimedout", "oJourneyOutcomeValue"], &["journeyDeviceCategory", "journeyActionMapId", "journeyOutcomeId"]),
    ("knowledge", "Knowledge", &["nDistinctKnowledgeSessions", "nKnowledgeDocumentFeedback", "nKnowledgeDocumentPresented", "nKnowledgeDocumentViewed", "nKnowledgeSearch", "nKnowledgeSearchAnswered", "nKnowledgeSearchUnanswered", "nKnowledgeSessions", "oKnowledgeSearch"], &["knowledgeBaseDocumentId", "queueId"]),
    ("ratelimits", "RateLimit", &["oRateLimitRecorded"], &["namespace", "limitName"]),
    ("resolutions", "Resolution", &["nNextContactAvoided"], &["queueId", "userId"]),
    ("summaries", "Summary", &["nConversationSummaries", "nConversationSummaryEngagements", "tConversationSummary"], &["queueId", "copied"]),
    ("taskmanagement", "TaskManagement", &["nWorkitemsAcdStarted", "nWorkitemsCreated", "nWorkitemsOffered", "nWorkitemsOverSla", "nWorkitemsStatusChanged", "nWorkitemsTerminated", "oWorkitemsServiceLevel", "tWorkitemsAnswered", "tWorkitemsFocus", "tWorkitemsFocusComplete", "tWorkitemsHandled", "tWorkitemsQueueAnswered"], &["statusCategory", "typeId", "queueId"]),
    ("transcripts", "Transcript", &["nSpeechTextAnalyzedConversations", "nTopicCommunications", "oCustomerSentiment", "oOverTalkSpeechInstances", "oSentimentScore", "tAgentSpeech", "tCustomerSpeech", "tOtherAudio", "tOverTalkSpeech", "tSilence", "tTotalSpeechAndSilence"], &["topicId", "queueId", "channel"]),
];

#[test]
fn what_else_comes_of_conversations_has_the_platforms_shape_and_adds_up() {
    for (family, model, metrics, group_by) in CONSEQUENCES {
        let ask = |body: &Value| {
            let answer = PUNCTUAL.family_aggregates(family, body, at(HORIZON), &Switches::default());
            answer.unwrap_or_else(|refusal| panic!("{family}: {refusal:?}"))
        };
        let all = whole(&ask(&json!({ "interval": FORTNIGHT, "metrics": metrics })));
        for metric in *metrics {
            let there = all.keys().any(|name| name.starts_with(&format!("{metric}.")));
            assert!(there, "{metric} in {all:?}");
        }
        let grouped = json!({ "interval": FORTNIGHT, "granularity": "P1W", "metrics": metrics, "groupBy": group_by });
        let grouped = ask(&grouped);
        let definition = format!("{model}AggregateQueryResponse");
        assert_valid(include_str!("../../genesys/schemas.json"), &definition, &grouped);
        for dimension in *group_by {
            let mut results = grouped["results"].as_array().unwrap().iter();
            assert!(
                results.any(|one| one["group"].get(*dimension).is_some()),
                "{family} by {dimension}"
            );
        }
        // Days are slices of the whole.
        let mut days: BTreeMap<String, f64> = BTreeMap::new();
        for day in 20..34 {
            let date = |day: u32| match day {
                ..=31 => format!("2025-03-{day:02}T00:00:00Z"),
                _ => format!("2025-04-{:02}T00:00:00Z", day - 31),
            };
            let body = json!({ "interval": format!("{}/{}", date(day), date(day + 1)), "metrics": metrics });
            for (name, value) in whole(&ask(&body)) {
                if matches!(name.rsplit_once('.'), Some((_, "count" | "sum"))) {
                    *days.entry(name).or_default() += value;
                }
            }
        }
        for (name, value) in days {
            assert_eq!(all[&name], value, "{family}: {name}");
        }
    }
    assert!(
        PUNCTUAL
            .family_aggregates("nonsense", &json!({}), at(HORIZON), &Switches::default())
            .is_err()
    );
}

#[test]
fn what_else_comes_of_a_conversation_comes_after_it_began_and_within_the_days_looked_back() {
    let latest = assessments::ASSESSED_DAYS * DAY_MS;
    for (family, ..) in CONSEQUENCES {
        let family = Family::parse(family).unwrap();
        let made = assessments_of(|told| consequences::of(family, 7, told));
        assert!(!made.is_empty(), "{family:?}");
        for (started, ended, one) in &made {
            for event in &one.events {
                assert!((*started..ended + latest).contains(&event.emission.at), "{family:?}");
            }
        }
    }
}
