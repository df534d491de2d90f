//! The upstream's spelling: what is sent, and what comes back. The only file that knows either.
//!
//! Unknown fields are ignored (the vendor adds some without notice). What is needed and missing makes the whole
//! answer [`Nonsense`]: a smaller answer is never made out of a damaged one. Conversations stay the bytes they
//! came as; only their id and times are read.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Conversation, LimitUse, ObservedRow, Told, UpstreamError, UserState, send::Reply};
use crate::{
    query::{
        About, AggregateQuery, Filter, Granularity, Metric, PassedQuestion, Range, Source, StateKind,
        catalogue::{Lookup, OBSERVATIONS, Qualifier, Shows},
    },
    table::{SliceRow, Stats},
};

/// A request, but for the host and the token.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<Bytes>,
}

/// What is asked for; the label of logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Aggregates(Source),
    Details,
    /// Used where it can be: not among [`Endpoint::ALL`].
    DetailsById,
    DetailsJobs,
    UserDetails,
    QueueObservations,
    UserObservations,
    Listing(Lookup),
    /// What is passed on as it is, by its path template.
    Passed(&'static str),
    Limits,
}

/// An answer that does not say what an answer must. The words are ours: nothing of the answer is repeated.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Nonsense(String);

impl Endpoint {
    /// Every endpoint used, cheapest question first.
    pub(super) const ALL: [Self; 16] = [
        Self::Aggregates(Source::Conversations),
        Self::Aggregates(Source::Users),
        Self::Aggregates(Source::Flows),
        Self::Aggregates(Source::Evaluations),
        Self::Aggregates(Source::Surveys),
        Self::Details,
        Self::UserDetails,
        Self::QueueObservations,
        Self::UserObservations,
        Self::Listing(Lookup::Queues),
        Self::Listing(Lookup::Users),
        Self::Listing(Lookup::WrapUpCodes),
        Self::Listing(Lookup::Divisions),
        Self::Listing(Lookup::Skills),
        Self::Listing(Lookup::Languages),
        Self::Listing(Lookup::Flows),
    ];

    /// The families of figures that are asked about only if a caller names them.
    pub(super) fn further() -> impl Iterator<Item = Self> {
        let families = Source::ALL.into_iter().map(Self::Aggregates);
        families.filter(|family| !Self::ALL.contains(family))
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Aggregates(Source::Conversations) => "conversation aggregates",
            Self::Aggregates(Source::Users) => "user aggregates",
            Self::Aggregates(Source::Flows) => "flow aggregates",
            Self::Aggregates(Source::Evaluations) => "evaluation aggregates",
            Self::Aggregates(Source::Surveys) => "survey aggregates",
            Self::Aggregates(Source::Actions) => "action aggregates",
            Self::Aggregates(Source::AgentCopilots) => "agent copilot aggregates",
            Self::Aggregates(Source::AgentUtilizations) => "agent utilization aggregates",
            Self::Aggregates(Source::Bots) => "bot aggregates",
            Self::Aggregates(Source::CaseManagement) => "case aggregates",
            Self::Aggregates(Source::Copilots) => "copilot aggregates",
            Self::Aggregates(Source::FlowExecutions) => "flow execution aggregates",
            Self::Aggregates(Source::Journeys) => "journey aggregates",
            Self::Aggregates(Source::Knowledge) => "knowledge aggregates",
            Self::Aggregates(Source::RateLimits) => "rate limit aggregates",
            Self::Aggregates(Source::Resolutions) => "resolution aggregates",
            Self::Aggregates(Source::Summaries) => "summary aggregates",
            Self::Aggregates(Source::TaskManagement) => "work item aggregates",
            Self::Aggregates(Source::Transcripts) => "transcript aggregates",
            Self::Details => "conversation details",
            Self::DetailsById => "conversations by id",
            Self::DetailsJobs => "conversation details jobs",
            Self::UserDetails => "user details",
            Self::QueueObservations => "queue observations",
            Self::UserObservations => "user observations",
            Self::Listing(Lookup::Queues) => "queues",
            Self::Listing(Lookup::Users) => "users",
            Self::Listing(Lookup::WrapUpCodes) => "wrap-up codes",
            Self::Listing(Lookup::Divisions) => "divisions",
            Self::Listing(Lookup::Skills) => "skills",
            Self::Listing(Lookup::Languages) => "languages",
            Self::Listing(Lookup::Flows) => "flows",
            Self::Passed(template) => template,
            Self::Limits => "limits",
        }
    }

    /// The permission the vendor documents for it; empty where none is stated.
    pub(super) fn permission(self) -> &'static str {
        match self {
            Self::Aggregates(Source::Conversations) => "analytics:conversationAggregate:view",
            Self::Aggregates(Source::Users) => "analytics:userAggregate:view",
            Self::Aggregates(Source::Flows) => "analytics:flowAggregate:view",
            Self::Aggregates(Source::Evaluations) => "analytics:evaluationAggregate:view",
            Self::Aggregates(Source::Surveys) => "analytics:surveyAggregate:view",
            Self::Aggregates(Source::Actions) => "integrations:action:view",
            Self::Aggregates(Source::AgentCopilots) => "analytics:agentCopilotAggregate:view",
            Self::Aggregates(Source::AgentUtilizations) => "analytics:agentUtilizationAggregate:view",
            Self::Aggregates(Source::Bots) => "analytics:botAggregate:view",
            Self::Aggregates(Source::CaseManagement) => "analytics:caseManagementAggregate:view",
            Self::Aggregates(Source::Copilots) => "analytics:copilotsAggregate:view",
            Self::Aggregates(Source::FlowExecutions) => "analytics:flowExecutionAggregate:view",
            Self::Aggregates(Source::Journeys) => "analytics:journeyAggregate:view",
            Self::Aggregates(Source::Knowledge) => "analytics:knowledgeAggregate:view",
            Self::Aggregates(Source::RateLimits) => "analytics:rateLimitAggregate:view",
            Self::Aggregates(Source::Resolutions) => "analytics:resolutionAggregate:view",
            Self::Aggregates(Source::Summaries) => "analytics:summaryAggregate:view",
            Self::Aggregates(Source::TaskManagement) => "analytics:taskManagementAggregate:view",
            Self::Aggregates(Source::Transcripts) => "analytics:speechAndTextAnalyticsAggregates:view",
            Self::Details | Self::DetailsById | Self::DetailsJobs => "analytics:conversationDetail:view",
            Self::UserDetails => "analytics:userDetail:view",
            Self::QueueObservations => "analytics:queueObservation:view",
            Self::UserObservations => "analytics:userObservation:view",
            Self::Listing(Lookup::Queues) => "routing:queue:view",
            Self::Listing(Lookup::WrapUpCodes) => "routing:wrapupCode:view",
            Self::Listing(Lookup::Skills) => "routing:skill:view",
            Self::Listing(Lookup::Flows) => "architect:flow:view",
            Self::Listing(Lookup::Users | Lookup::Divisions | Lookup::Languages) | Self::Limits | Self::Passed(_) => "",
        }
    }

    /// Whether the service is of little use without it. An organisation that runs no flows, evaluations or surveys
    /// grants nothing for them, and misses nothing.
    pub(super) fn is_needed(self) -> bool {
        match self {
            Self::Aggregates(source) => matches!(source, Source::Conversations | Source::Users),
            Self::Listing(lookup) => lookup != Lookup::Flows,
            Self::Details | Self::QueueObservations => true,
            Self::DetailsById
            | Self::DetailsJobs
            | Self::UserDetails
            | Self::UserObservations
            | Self::Limits
            | Self::Passed(_) => false,
        }
    }

    /// The path, as a template where ids stand in it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Aggregates(Source::Conversations) => "/api/v2/analytics/conversations/aggregates/query",
            Self::Aggregates(Source::Users) => "/api/v2/analytics/users/aggregates/query",
            Self::Aggregates(Source::Flows) => "/api/v2/analytics/flows/aggregates/query",
            Self::Aggregates(Source::Evaluations) => "/api/v2/analytics/evaluations/aggregates/query",
            Self::Aggregates(Source::Surveys) => "/api/v2/analytics/surveys/aggregates/query",
            Self::Aggregates(Source::Actions) => "/api/v2/analytics/actions/aggregates/query",
            Self::Aggregates(Source::AgentCopilots) => "/api/v2/analytics/agentcopilots/aggregates/query",
            Self::Aggregates(Source::AgentUtilizations) => "/api/v2/analytics/agentutilizations/aggregates/query",
            Self::Aggregates(Source::Bots) => "/api/v2/analytics/bots/aggregates/query",
            Self::Aggregates(Source::CaseManagement) => "/api/v2/analytics/casemanagement/aggregates/query",
            Self::Aggregates(Source::Copilots) => "/api/v2/analytics/copilots/aggregates/query",
            Self::Aggregates(Source::FlowExecutions) => "/api/v2/analytics/flowexecutions/aggregates/query",
            Self::Aggregates(Source::Journeys) => "/api/v2/analytics/journeys/aggregates/query",
            Self::Aggregates(Source::Knowledge) => "/api/v2/analytics/knowledge/aggregates/query",
            Self::Aggregates(Source::RateLimits) => "/api/v2/analytics/ratelimits/aggregates/query",
            Self::Aggregates(Source::Resolutions) => "/api/v2/analytics/resolutions/aggregates/query",
            Self::Aggregates(Source::Summaries) => "/api/v2/analytics/summaries/aggregates/query",
            Self::Aggregates(Source::TaskManagement) => "/api/v2/analytics/taskmanagement/aggregates/query",
            Self::Aggregates(Source::Transcripts) => "/api/v2/analytics/transcripts/aggregates/query",
            Self::Details => "/api/v2/analytics/conversations/details/query",
            Self::DetailsById => "/api/v2/analytics/conversations/details",
            Self::DetailsJobs => "/api/v2/analytics/conversations/details/jobs",
            Self::UserDetails => "/api/v2/analytics/users/details/query",
            Self::QueueObservations => "/api/v2/analytics/queues/observations/query",
            Self::UserObservations => "/api/v2/analytics/users/observations/query",
            Self::Listing(Lookup::Queues) => "/api/v2/routing/queues",
            Self::Listing(Lookup::Users) => "/api/v2/users",
            Self::Listing(Lookup::WrapUpCodes) => "/api/v2/routing/wrapupcodes",
            Self::Listing(Lookup::Divisions) => "/api/v2/authorization/divisions",
            Self::Listing(Lookup::Skills) => "/api/v2/routing/skills",
            Self::Listing(Lookup::Languages) => "/api/v2/routing/languages",
            Self::Listing(Lookup::Flows) => "/api/v2/flows",
            Self::Passed(template) => template,
            Self::Limits => "/api/v2/organizations/limits/namespaces/platform.api",
        }
    }
}

// ---- what is passed on as it is

/// A question in the upstream's own words.
pub(super) fn passed(question: &PassedQuestion) -> Call {
    Call {
        endpoint: Endpoint::Passed(question.template),
        method: question.method.clone(),
        path: question.target.clone(),
        body: question.body.clone(),
    }
}

/// Checks that the answer is JSON, and says whether it lists conversations of which one still runs.
pub(super) fn read_passed(body: &[u8], about: About) -> Result<bool, Nonsense> {
    if about == About::JobState {
        return Ok(parse::<JobAnswer<'_>>(body)?.state.as_deref() != Some("FULFILLED"));
    }
    if !matches!(about, About::Conversations(_)) {
        return parse::<serde::de::IgnoredAny>(body).map(|_| false);
    }
    let answer: DetailsAnswer<'_> = parse(body)?;
    let heads = answer.conversations.unwrap_or_default().into_iter();
    let heads: Vec<ConversationHead<'_>> = heads
        .map(|document| parse(document.get().as_bytes()))
        .collect::<Result<_, _>>()?;
    Ok(heads.iter().any(|head| head.end.is_none()))
}

/// The cheapest question an endpoint can be asked.
pub(super) fn probe(endpoint: Endpoint, now: Timestamp) -> Call {
    let minute = || {
        interval(Range {
            start: now
                .saturating_sub(jiff::SignedDuration::from_mins(1))
                .unwrap_or(Timestamp::MIN),
            end: now,
        })
    };
    match endpoint {
        Endpoint::Aggregates(source) => post(
            endpoint,
            &AggregateBody {
                interval: minute(),
                granularity: None,
                time_zone: "UTC",
                group_by: Vec::new(),
                filter: None,
                metrics: vec![match source {
                    Source::Conversations => "nConnected",
                    Source::Users => "tSystemPresence",
                    Source::Flows => "nFlow",
                    Source::Evaluations => "nEvaluations",
                    Source::Surveys => "nSurveysSent",
                    Source::Actions => "tTotalExecution",
                    Source::AgentCopilots => "nKnowledgeArticleSuggestions",
                    Source::AgentUtilizations => "oAgentUtilizationPercentage",
                    Source::Bots => "nBotSessions",
                    Source::CaseManagement => "nCasesOpened",
                    Source::Copilots => "nCopilotMessages",
                    Source::FlowExecutions => "nFlowExecutions",
                    Source::Journeys => "nJourneySessions",
                    Source::Knowledge => "nKnowledgeSearch",
                    Source::RateLimits => "oRateLimitRecorded",
                    Source::Resolutions => "nNextContactAvoided",
                    Source::Summaries => "nConversationSummaries",
                    Source::TaskManagement => "nWorkitemsCreated",
                    Source::Transcripts => "nSpeechTextAnalyzedConversations",
                }],
            },
        ),
        Endpoint::Details => post(endpoint, &DetailsBody::new(minute(), &Filter::default(), 1, 1)),
        Endpoint::DetailsById => details_by_id(&["00000000-0000-0000-0000-000000000000".into()]),
        Endpoint::DetailsJobs => details_availability(),
        Endpoint::UserDetails => post(endpoint, &UserDetailsBody::new(minute(), &[], 1, 1)),
        // What does not exist is observed as nothing.
        Endpoint::QueueObservations => queue_observations(&["00000000-0000-0000-0000-000000000000"]),
        Endpoint::UserObservations => user_observations(&["00000000-0000-0000-0000-000000000000"]),
        Endpoint::Listing(lookup) => listing(lookup, 1, 1),
        Endpoint::Passed(template) => Call {
            endpoint,
            method: Method::GET,
            path: template.to_owned(),
            body: None,
        },
        Endpoint::Limits => limits(),
    }
}

// ---- aggregates

/// An aggregate query.
pub(super) fn aggregates(query: &AggregateQuery) -> Call {
    // Parts of a metric are asked for together.
    let metrics: BTreeSet<_> = query.metrics.iter().map(|metric| metric.upstream).collect();
    post(
        Endpoint::Aggregates(query.source),
        &AggregateBody {
            interval: interval(query.range),
            granularity: query.granularity.map(granularity),
            time_zone: query.time_zone.name(),
            group_by: query.group_by.iter().map(|dimension| dimension.upstream).collect(),
            filter: (!query.filter.clauses.is_empty()).then(|| FilterBody::all_of(&query.filter, |_| true)),
            metrics: metrics.into_iter().collect(),
        },
    )
}

/// The rows of an aggregate answer, groups and metrics in the query's order.
pub(super) fn read_aggregates(body: &[u8], query: &AggregateQuery) -> Result<Vec<SliceRow>, Nonsense> {
    let answer: AggregateAnswer<'_> = parse(body)?;
    let mut rows = Vec::new();
    for result in answer.results.unwrap_or_default() {
        let value = |dimension: &str| {
            result
                .group
                .get(dimension)
                .and_then(|value| value.as_deref())
                .map(Arc::from)
        };
        let group: Vec<Option<Arc<str>>> = query
            .group_by
            .iter()
            .map(|dimension| value(dimension.upstream))
            .collect();
        let media_type = value("mediaType");
        for bucket in result.data.unwrap_or_default() {
            rows.push(SliceRow {
                group: group.clone(),
                media_type: media_type.clone(),
                bucket: read_bucket(&bucket.interval, query.range)?,
                metrics: read_metrics(&bucket.metrics.unwrap_or_default(), &query.metrics)?,
            });
        }
    }
    Ok(rows)
}

fn read_interval(text: &str) -> Result<Range, Nonsense> {
    let instants = text
        .split_once('/')
        .and_then(|(start, end)| Some((start.parse::<Timestamp>().ok()?, end.parse::<Timestamp>().ok()?)));
    let (start, end) = instants.ok_or_else(|| Nonsense("a bucket's interval is not two instants".to_owned()))?;
    Ok(Range { start, end })
}

fn read_bucket(text: &str, range: Range) -> Result<Range, Nonsense> {
    let interval = read_interval(text)?;
    let bucket = Range {
        start: interval.start.max(range.start),
        end: interval.end.min(range.end),
    };
    if bucket.start < bucket.end {
        Ok(bucket)
    } else {
        Err(Nonsense("a bucket lies outside the interval asked for".to_owned()))
    }
}

/// The statistics of the metrics wanted. What comes twice in one bucket could not be told apart, unless it is the parts
/// of a metric that are wanted together: those add.
fn read_metrics(came: &[MetricAnswer<'_>], wanted: &[&'static Metric]) -> Result<Vec<Option<Stats>>, Nonsense> {
    let mut read: Vec<Option<Stats>> = vec![None; wanted.len()];
    for metric in came {
        for (wanted, read) in wanted.iter().zip(&mut read) {
            let is_wanted = wanted.upstream == metric.metric
                && match wanted.qualifier {
                    // A qualifier means nothing for these.
                    Qualifier::None | Qualifier::Any => true,
                    Qualifier::Is(part) => metric.qualifier.as_deref() == Some(part),
                };
            if !is_wanted {
                continue;
            }
            let stats = metric.stats;
            *read = Some(match (*read, wanted.qualifier) {
                (None, _) => stats,
                (Some(sum), Qualifier::Any) => together(&sum, &stats),
                (Some(_), Qualifier::None | Qualifier::Is(_)) => {
                    return Err(Nonsense("a metric comes twice in one bucket".to_owned()));
                }
            });
        }
    }
    Ok(read)
}

/// The parts of a metric carry sums and nothing else that would add.
fn together(left: &Stats, right: &Stats) -> Stats {
    Stats {
        sum: left.sum.zip(right.sum).map(|(left, right)| left + right),
        ..Stats::default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregateBody<'a> {
    interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    granularity: Option<String>,
    time_zone: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterBody<'a>>,
    metrics: Vec<&'a str>,
}

#[derive(Deserialize)]
struct AggregateAnswer<'a> {
    #[serde(borrow)]
    results: Option<Vec<ResultAnswer<'a>>>,
}

#[derive(Deserialize)]
struct ResultAnswer<'a> {
    #[serde(borrow, default)]
    group: HashMap<Cow<'a, str>, Option<Cow<'a, str>>>,
    #[serde(borrow)]
    data: Option<Vec<BucketAnswer<'a>>>,
}

#[derive(Deserialize)]
struct BucketAnswer<'a> {
    #[serde(borrow)]
    interval: Cow<'a, str>,
    #[serde(borrow)]
    metrics: Option<Vec<MetricAnswer<'a>>>,
}

#[derive(Deserialize)]
struct MetricAnswer<'a> {
    #[serde(borrow)]
    metric: Cow<'a, str>,
    #[serde(borrow)]
    qualifier: Option<Cow<'a, str>>,
    stats: Stats,
}

// ---- queue observations

/// How many queues one request names. The upstream's own bound is not documented; its user aggregates take 100.
pub(super) const QUEUES_AT_ONCE: usize = 100;

/// All figures of those queues, now.
pub(super) fn queue_observations(queues: &[&str]) -> Call {
    let metrics: BTreeSet<_> = OBSERVATIONS.iter().map(|observation| observation.upstream).collect();
    let predicates = queues.iter().map(|queue| PredicateBody::new("queueId", queue));
    post(
        Endpoint::QueueObservations,
        &ObservationBody {
            filter: ClauseBody {
                r#type: "or",
                predicates: predicates.collect(),
            },
            metrics: metrics.into_iter().collect(),
        },
    )
}

#[derive(Serialize)]
struct ObservationBody<'a> {
    filter: ClauseBody<'a>,
    metrics: Vec<&'a str>,
}

/// The rows of an observation. Presences come by the organisation's own ids, beside a table of what each is a kind of.
pub(super) fn read_observations(body: &[u8]) -> Result<Vec<ObservedRow>, Nonsense> {
    let answer: ObservationAnswer<'_> = parse(body)?;
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    for (system, organization) in &answer.system_to_organization_mappings {
        kinds.extend(organization.iter().map(|id| (id.as_ref(), system.as_ref())));
    }
    let mut rows = Vec::new();
    for result in answer.results.unwrap_or_default() {
        let value = |dimension: &str| {
            result
                .group
                .get(dimension)
                .and_then(|value| value.as_deref())
                .map(Arc::from)
        };
        let Some(queue) = value("queueId") else {
            return Err(Nonsense("an observation without a queue".to_owned()));
        };
        let mut values: Vec<Option<f64>> = vec![None; OBSERVATIONS.len()];
        for metric in result.data.unwrap_or_default() {
            let qualifier = metric.qualifier.as_deref().unwrap_or_default();
            let qualifier = kinds.get(qualifier).copied().unwrap_or(qualifier);
            for (observation, value) in OBSERVATIONS.iter().zip(&mut values) {
                let is_it = observation.upstream == metric.metric
                    && observation.qualifier.is_none_or(|wanted| wanted == qualifier);
                if !is_it {
                    continue;
                }
                let came = match observation.shows {
                    Shows::Count => metric.stats.count,
                    Shows::Since | Shows::Lasting => metric.stats.calculated_metric_value,
                };
                // Several presences of the organisation may be of one kind.
                *value = value.map_or(came, |sum| Some(sum + came.unwrap_or_default()));
            }
        }
        rows.push(ObservedRow {
            queue,
            media_type: value("mediaType"),
            values,
        });
    }
    Ok(rows)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObservationAnswer<'a> {
    #[serde(borrow, default)]
    system_to_organization_mappings: HashMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    results: Option<Vec<ObservedAnswer<'a>>>,
}

#[derive(Deserialize)]
struct ObservedAnswer<'a> {
    #[serde(borrow, default)]
    group: HashMap<Cow<'a, str>, Option<Cow<'a, str>>>,
    #[serde(borrow)]
    data: Option<Vec<ObservedMetric<'a>>>,
}

#[derive(Deserialize)]
struct ObservedMetric<'a> {
    #[serde(borrow)]
    metric: Cow<'a, str>,
    #[serde(borrow)]
    qualifier: Option<Cow<'a, str>>,
    stats: ObservedStats,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObservedStats {
    count: Option<f64>,
    calculated_metric_value: Option<f64>,
}

// ---- conversation details

/// One page of the conversations that started on the UTC days of `window`, oldest first. Pages count from 1.
pub(super) fn details(window: Range, filter: &Filter, page_size: usize, page: usize) -> Call {
    post(
        Endpoint::Details,
        &DetailsBody::new(interval(window), filter, page_size, page),
    )
}

/// The most conversations that may be named in one request.
pub(super) const CONVERSATIONS_AT_ONCE: usize = 100;

/// Conversations by their ids.
pub(super) fn details_by_id(ids: &[Arc<str>]) -> Call {
    let ids: Vec<String> = ids
        .iter()
        .map(|id| form_urlencoded::byte_serialize(id.as_bytes()).collect())
        .collect();
    let endpoint = Endpoint::DetailsById;
    Call {
        endpoint,
        method: Method::GET,
        path: format!("{}?id={}", endpoint.path(), ids.join(",")),
        body: None,
    }
}

/// A page as it came.
pub(super) struct DetailsPage {
    pub(super) conversations: Vec<Conversation>,
    /// Conversations on all pages, approximately.
    pub(super) total_hits: Option<usize>,
}

/// The conversations of a page. Each document fits on one line.
pub(super) fn read_details(body: &Bytes) -> Result<DetailsPage, Nonsense> {
    let answer: DetailsAnswer<'_> = parse(body)?;
    let conversations = answer.conversations.unwrap_or_default();
    Ok(DetailsPage {
        conversations: conversations
            .into_iter()
            .map(read_conversation)
            .collect::<Result<_, _>>()?,
        total_hits: answer.total_hits,
    })
}

fn read_conversation(document: &RawValue) -> Result<Conversation, Nonsense> {
    let text = document.get().as_bytes();
    let head: ConversationHead<'_> = parse(text)?;
    let instant = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| Nonsense("a conversation's time is not an instant".to_owned()))
    };
    Ok(Conversation {
        id: Arc::from(&*head.id),
        start: instant(&head.start)?,
        end: head.end.as_deref().map(instant).transpose()?,
        // Not a part of the body: that would keep its whole page, and the room of its fetch, for as long as one document.
        document: on_one_line(Bytes::copy_from_slice(text)),
    })
}

/// Line breaks of a JSON text stand between its tokens (inside strings they are escaped), where a blank does as well.
fn on_one_line(document: Bytes) -> Bytes {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if document.iter().any(is_break) {
        document
            .iter()
            .map(|byte| if is_break(byte) { b' ' } else { *byte })
            .collect()
    } else {
        document
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsBody<'a> {
    interval: String,
    order: &'static str,
    order_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_of_day_interval_matching: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conversation_filters: Vec<FilterBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segment_filters: Vec<FilterBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    page_size: usize,
    page_number: usize,
}

impl<'a> DetailsBody<'a> {
    fn new(interval: String, filter: &'a Filter, page_size: usize, page_number: usize) -> Self {
        Self {
            paging: Some(Paging { page_size, page_number }),
            ..Self::whole(interval, filter)
        }
    }

    fn whole(interval: String, filter: &'a Filter) -> Self {
        let part = |of_conversation: bool| {
            let filter = FilterBody::all_of(filter, |name| {
                CONVERSATION_DIMENSIONS.contains(&name) == of_conversation
            });
            if filter.clauses.is_empty() {
                Vec::new()
            } else {
                vec![filter]
            }
        };
        Self {
            interval,
            order: "asc",
            order_by: "conversationStart",
            paging: None,
            start_of_day_interval_matching: None,
            conversation_filters: part(true),
            // One entry: all of it must hold on the same segment.
            segment_filters: part(false),
        }
    }
}

/// The dimensions of `conversationFilters` ([vendor's SDK models]); all others are a segment's.
///
/// [vendor's SDK models]: https://github.com/MyPureCloud/platform-client-sdk-python
const CONVERSATION_DIMENSIONS: [&str; 11] = [
    "accessAttribute",
    "conversationEnd",
    "conversationId",
    "conversationInitiator",
    "conversationStart",
    "customerParticipation",
    "divisionId",
    "externalTag",
    "mediaStatsMinConversationMos",
    "originatingDirection",
    "originatingSocialMediaPublic",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DetailsAnswer<'a> {
    #[serde(borrow)]
    conversations: Option<Vec<&'a RawValue>>,
    total_hits: Option<usize>,
}

#[derive(Deserialize)]
struct ConversationHead<'a> {
    #[serde(borrow, rename = "conversationId")]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "conversationStart")]
    start: Cow<'a, str>,
    #[serde(borrow, rename = "conversationEnd")]
    end: Option<Cow<'a, str>>,
}

// ---- user details

/// How many users one request names. The upstream's own bound is not documented; its user aggregates take 100.
pub(super) const USERS_AT_ONCE: usize = 100;

/// One page of users with what they were in a range; of everybody if nobody is named. Pages count from 1.
pub(super) fn user_details(range: Range, users: &[&str], page_size: usize, page: usize) -> Call {
    post(
        Endpoint::UserDetails,
        &UserDetailsBody::new(interval(range), users, page_size, page),
    )
}

/// A page as it came.
pub(super) struct StatesPage {
    pub(super) states: Vec<UserState>,
    /// How many users it is of.
    pub(super) users: usize,
    /// Users on all pages, approximately.
    pub(super) total_hits: Option<usize>,
}

/// What the users of a page were.
pub(super) fn read_user_details(body: &[u8]) -> Result<StatesPage, Nonsense> {
    let answer: UserDetailsAnswer<'_> = parse(body)?;
    let users = answer.user_details.unwrap_or_default();
    let mut states = Vec::new();
    // There are few words, and many records.
    let mut known: HashMap<&str, Arc<str>> = HashMap::new();
    for told in &users {
        let user: Arc<str> = Arc::from(&*told.user_id);
        let presences = told.primary_presence.iter().flatten();
        let statuses = told.routing_status.iter().flatten();
        let records = presences
            .map(|record| (StateKind::Presence, record.system_presence.as_deref(), record))
            .chain(statuses.map(|record| (StateKind::Routing, record.routing_status.as_deref(), record)));
        for (kind, name, record) in records {
            let name = name.ok_or_else(|| Nonsense("a user's state has no name".to_owned()))?;
            let mut word = |text| Arc::clone(known.entry(text).or_insert_with(|| Arc::from(text)));
            states.push(UserState {
                user: Arc::clone(&user),
                kind,
                status: word(name),
                presence: record.organization_presence_id.as_deref().map(&mut word),
                start: record.start_time,
                end: record.end_time,
            });
        }
    }
    Ok(StatesPage {
        states,
        users: users.len(),
        total_hits: answer.total_hits,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserDetailsBody<'a> {
    interval: String,
    order: &'static str,
    paging: Paging,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_filters: Vec<ClauseBody<'a>>,
}

impl<'a> UserDetailsBody<'a> {
    fn new(interval: String, users: &[&'a str], page_size: usize, page_number: usize) -> Self {
        let predicates = users.iter().copied().map(|user| PredicateBody::new("userId", user));
        let filter = (!users.is_empty()).then(|| ClauseBody {
            r#type: "or",
            predicates: predicates.collect(),
        });
        Self {
            interval,
            order: "asc",
            paging: Paging { page_size, page_number },
            user_filters: filter.into_iter().collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserDetailsAnswer<'a> {
    #[serde(borrow)]
    user_details: Option<Vec<UserDetailAnswer<'a>>>,
    total_hits: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserDetailAnswer<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    primary_presence: Option<Vec<StateAnswer<'a>>>,
    #[serde(borrow)]
    routing_status: Option<Vec<StateAnswer<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateAnswer<'a> {
    start_time: Timestamp,
    end_time: Option<Timestamp>,
    #[serde(borrow)]
    system_presence: Option<Cow<'a, str>>,
    #[serde(borrow)]
    organization_presence_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    routing_status: Option<Cow<'a, str>>,
}

// ---- user observations

/// In how many queues a user is, and in how many of them they work.
const MEMBER: &str = "oMemberQueues";
const ACTIVE: &str = "oActiveQueues";

/// In how many queues those users are.
pub(super) fn user_observations(users: &[&str]) -> Call {
    let predicates = users.iter().map(|user| PredicateBody::new("userId", user));
    post(
        Endpoint::UserObservations,
        &ObservationBody {
            filter: ClauseBody {
                r#type: "or",
                predicates: predicates.collect(),
            },
            metrics: vec![ACTIVE, MEMBER],
        },
    )
}

/// In how many queues a user is.
#[derive(Debug, PartialEq)]
pub(super) struct UserQueues {
    pub(super) user: Arc<str>,
    pub(super) member: Option<f64>,
    pub(super) active: Option<f64>,
}

/// What an observation tells of each user.
pub(super) fn read_user_observations(body: &[u8]) -> Result<Vec<UserQueues>, Nonsense> {
    let answer: ObservationAnswer<'_> = parse(body)?;
    let read = |result: ObservedAnswer<'_>| {
        let user = result.group.get("userId").and_then(|user| user.as_deref());
        let user = user.ok_or_else(|| Nonsense("an observation without a user".to_owned()))?;
        let data = result.data.unwrap_or_default();
        let count = |name| {
            let told = data.iter().find(|told| told.metric == name)?;
            told.stats.count
        };
        Ok(UserQueues {
            user: Arc::from(user),
            member: count(MEMBER),
            active: count(ACTIVE),
        })
    };
    answer.results.unwrap_or_default().into_iter().map(read).collect()
}

// ---- jobs about conversation details

/// Up to when the data is complete that jobs read.
pub(super) fn details_availability() -> Call {
    on_job(Method::GET, "/availability")
}

/// The instant up to which jobs know everything.
pub(super) fn read_availability(body: &[u8]) -> Result<Timestamp, Nonsense> {
    let answer: AvailabilityAnswer<'_> = parse(body)?;
    let date = answer.data_availability_date.as_deref().map(str::parse);
    date.and_then(Result::ok)
        .ok_or_else(|| Nonsense("it does not say up to when its data is complete".to_owned()))
}

/// A job of the conversations that started on the UTC days of `window`, oldest first.
pub(super) fn details_job(window: Range, filter: &Filter) -> Call {
    post(
        Endpoint::DetailsJobs,
        &DetailsBody {
            // Else it is of all that were going on then, whenever they started.
            start_of_day_interval_matching: Some(true),
            ..DetailsBody::whole(interval(window), filter)
        },
    )
}

/// The id of a job that was taken. It becomes part of addresses, so it is nothing but an id.
pub(super) fn read_job_id(body: &[u8]) -> Result<String, Nonsense> {
    let answer: JobAnswer<'_> = parse(body)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let id = answer
        .job_id
        .filter(|id| (1..=100).contains(&id.len()) && id.bytes().all(plain));
    id.map(Cow::into_owned)
        .ok_or_else(|| Nonsense("a job has no id".to_owned()))
}

/// How a job stands.
pub(super) fn job_state(id: &str) -> Call {
    on_job(Method::GET, &format!("/{id}"))
}

/// Ends a job.
pub(super) fn cancel_job(id: &str) -> Call {
    on_job(Method::DELETE, &format!("/{id}"))
}

/// How a job stands, by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobState {
    /// Look again.
    Waiting,
    /// Read it.
    Done,
    /// There is nothing to be read.
    Ended,
}

/// How a job stands; what nobody knows yet is waited for.
pub(super) fn read_job_state(body: &[u8]) -> Result<JobState, Nonsense> {
    let answer: JobAnswer<'_> = parse(body)?;
    match answer.state.as_deref() {
        Some("FULFILLED") => Ok(JobState::Done),
        Some("FAILED" | "CANCELLED" | "EXPIRED") => Ok(JobState::Ended),
        Some(_) => Ok(JobState::Waiting),
        None => Err(Nonsense("a job has no state".to_owned())),
    }
}

/// A page of a job's results: the first, or the one the page before points to.
pub(super) fn job_results(id: &str, cursor: Option<&str>, page_size: usize) -> Call {
    let mut question = form_urlencoded::Serializer::new(String::new());
    question.append_pair("pageSize", &page_size.to_string());
    if let Some(cursor) = cursor {
        question.append_pair("cursor", cursor);
    }
    on_job(Method::GET, &format!("/{id}/results?{}", question.finish()))
}

fn on_job(method: Method, rest: &str) -> Call {
    let endpoint = Endpoint::DetailsJobs;
    Call {
        endpoint,
        method,
        path: format!("{}{rest}", endpoint.path()),
        body: None,
    }
}

/// A page of results as it came, but for what no query tells.
pub(super) struct JobPage {
    pub(super) conversations: Vec<Conversation>,
    /// Where the next page is; `None` on the last.
    pub(super) cursor: Option<String>,
    /// Up to when the data is complete that was read.
    pub(super) available: Option<Timestamp>,
}

/// The conversations of a page, without the attributes of participants.
pub(super) fn read_job_page(body: &Bytes) -> Result<JobPage, Nonsense> {
    let answer: JobResultsAnswer<'_> = parse(body)?;
    let conversations = answer.conversations.unwrap_or_default().into_iter();
    let conversations = conversations.map(|document| {
        let mut conversation = read_conversation(document)?;
        if let Some(without) = without_attributes(&conversation.document)? {
            conversation.document = without;
        }
        Ok(conversation)
    });
    Ok(JobPage {
        conversations: conversations.collect::<Result<_, Nonsense>>()?,
        cursor: answer.cursor.filter(|cursor| !cursor.is_empty()),
        available: answer
            .data_availability_date
            .as_deref()
            .and_then(|date| date.parse().ok()),
    })
}

/// The document with participants as a query tells them; `None` where it is that already.
fn without_attributes(document: &Bytes) -> Result<Option<Bytes>, Nonsense> {
    const NAME: &[u8] = b"\"attributes\"";
    if !document.windows(NAME.len()).any(|window| window == NAME) {
        return Ok(None);
    }
    let mut conversation: Members<'_> = parse(document)?;
    let Some((_, participants)) = conversation.0.iter_mut().find(|(name, _)| name == "participants") else {
        return Ok(None);
    };
    let mut told: Vec<Members<'_>> = parse(participants.get().as_bytes())?;
    for participant in &mut told {
        participant.0.retain(|(name, _)| name != "attributes");
    }
    let written =
        serde_json::value::to_raw_value(&told).map_err(|_| Nonsense("participants cannot be read".to_owned()))?;
    *participants = &written;
    let document = serde_json::to_vec(&conversation);
    document
        .map(|document| Some(document.into()))
        .map_err(|_| Nonsense("a conversation cannot be read".to_owned()))
}

/// An object's members as they stand there, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AvailabilityAnswer<'a> {
    #[serde(borrow)]
    data_availability_date: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobAnswer<'a> {
    #[serde(borrow)]
    job_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobResultsAnswer<'a> {
    #[serde(borrow)]
    conversations: Option<Vec<&'a RawValue>>,
    cursor: Option<String>,
    #[serde(borrow)]
    data_availability_date: Option<Cow<'a, str>>,
}

// ---- listings

/// One page of a listing. Pages count from 1.
pub(super) fn listing(lookup: Lookup, page_size: usize, page: usize) -> Call {
    let endpoint = Endpoint::Listing(lookup);
    // Without it the inactive and the deleted, who have a history, would have no name.
    let state = if lookup == Lookup::Users { "&state=any" } else { "" };
    Call {
        endpoint,
        method: Method::GET,
        path: format!("{}?pageSize={page_size}&pageNumber={page}{state}", endpoint.path()),
        body: None,
    }
}

/// A page of a listing.
pub(super) struct ListingPage {
    /// Id and name of those that have a name.
    pub(super) names: Vec<(Arc<str>, Arc<str>)>,
    /// Id, and that of the division it is in, of those that are in one; `*` is all of them.
    pub(super) divisions: Vec<(Arc<str>, Arc<str>)>,
    /// Whether it holds nothing at all.
    pub(super) empty: bool,
    /// How many pages there are, where the listing says so.
    pub(super) page_count: Option<usize>,
    /// Whether it points to a next page. The pointer itself is never followed.
    pub(super) more: bool,
}

/// The names on a page of a listing.
pub(super) fn read_listing(body: &[u8]) -> Result<ListingPage, Nonsense> {
    let answer: ListingAnswer<'_> = parse(body)?;
    let Some(entities) = answer.entities else {
        return Err(Nonsense("a listing has no entities".to_owned()));
    };
    Ok(ListingPage {
        empty: entities.is_empty(),
        divisions: entities
            .iter()
            .filter_map(|entity| Some((Arc::from(&*entity.id), Arc::from(&*entity.division.as_ref()?.id))))
            .collect(),
        names: entities
            .into_iter()
            .filter_map(|entity| Some((Arc::from(&*entity.id), Arc::from(&*entity.name?))))
            .collect(),
        page_count: answer.page_count,
        more: answer.next_uri.is_some(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListingAnswer<'a> {
    #[serde(borrow)]
    entities: Option<Vec<EntityAnswer<'a>>>,
    page_count: Option<usize>,
    next_uri: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct EntityAnswer<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    division: Option<DivisionAnswer<'a>>,
}

#[derive(Deserialize)]
struct DivisionAnswer<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

// ---- limits

/// The limit that is counted for a token of client credentials, in requests a minute.
const TOKEN_LIMIT: &str = "client.credentials.token.rate.per.minute";
const TOKEN_LIMIT_NAMESPACE: &str = "platform.api";

/// The organisation's limits, those of the API as a whole.
pub(super) fn limits() -> Call {
    Call {
        endpoint: Endpoint::Limits,
        method: Method::GET,
        path: Endpoint::Limits.path().to_owned(),
        body: None,
    }
}

/// The requests a minute that are allowed, if the listing says so.
pub(super) fn read_limits(body: &[u8]) -> Result<Option<u32>, Nonsense> {
    let answer: LimitsAnswer = parse(body)?;
    let limits = answer.entities.unwrap_or_default();
    Ok(limits.iter().find_map(LimitAnswer::of_token))
}

/// What a 429 says is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// The quota of this service's token, and what that is a minute if it is said. An answer that names no limit is taken
    /// at its status.
    Quota(Option<u32>),
    /// Another limit, which says nothing about the quota.
    Other,
}

/// What a 429 names.
pub(super) fn spent(body: &[u8]) -> Spent {
    match Refusal::read(body).limit {
        None => Spent::Quota(None),
        Some(limit) if limit.key.as_deref() == Some(TOKEN_LIMIT) => Spent::Quota(limit.of_token()),
        Some(_) => Spent::Other,
    }
}

/// How close the organisation came to its limits in the last hour, by minute. It tells of limits used to nine tenths.
pub(super) fn rate_limit_aggregates(now: Timestamp) -> Call {
    post(
        Endpoint::Aggregates(Source::RateLimits),
        &AggregateBody {
            interval: interval(Range {
                start: now
                    .saturating_sub(jiff::SignedDuration::from_hours(1))
                    .unwrap_or(Timestamp::MIN),
                end: now,
            }),
            granularity: Some("PT1M".to_owned()),
            time_zone: "UTC",
            group_by: vec!["namespace", "limitName", "max"],
            filter: None,
            metrics: vec!["oRateLimitRecorded"],
        },
    )
}

/// What was recorded of limits.
pub(super) fn read_rate_limit_aggregates(body: &[u8]) -> Result<Vec<LimitUse>, Nonsense> {
    let answer: AggregateAnswer<'_> = parse(body)?;
    let mut uses = Vec::new();
    for result in answer.results.unwrap_or_default() {
        let text = |dimension: &str| Some(result.group.get(dimension)?.as_deref()?.to_owned());
        for data in result.data.unwrap_or_default() {
            let stats = data.metrics.iter().flatten().map(|metric| &metric.stats).next();
            uses.push(LimitUse {
                interval: read_interval(&data.interval)?,
                namespace: text("namespace").and_then(|text| repeatable(&text)),
                limit: text("limitName").and_then(|text| repeatable(&text)),
                allowed: text("max").and_then(|text| text.parse().ok()),
                highest: stats.and_then(|stats| stats.max),
                records: stats.and_then(|stats| stats.count),
            });
        }
    }
    uses.sort_by(|a, b| (a.interval.start, &a.namespace, &a.limit).cmp(&(b.interval.start, &b.namespace, &b.limit)));
    Ok(uses)
}

#[derive(Deserialize)]
struct LimitsAnswer {
    entities: Option<Vec<LimitAnswer>>,
}

/// `Limit`.
#[derive(Deserialize)]
struct LimitAnswer {
    key: Option<String>,
    namespace: Option<String>,
    value: Option<f64>,
}

impl LimitAnswer {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; casting saturates"
    )]
    fn of_token(&self) -> Option<u32> {
        let is_other = self
            .namespace
            .as_deref()
            .is_some_and(|name| name != TOKEN_LIMIT_NAMESPACE);
        let value = self.value.filter(|value| *value >= 1.0)?;
        (self.key.as_deref() == Some(TOKEN_LIMIT) && !is_other).then_some(value as u32)
    }
}

// ---- the token

/// The form that asks for a token; id and secret go into the `Authorization` header.
pub(super) const TOKEN_FORM: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// The form that asks for a token by a person's login.
pub(super) fn refresh_form<'a>(client_id: &'a str, refresh_token: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", refresh_token),
    ]
}

/// The form that exchanges the code a person's login gave.
pub(super) fn code_form<'a>(
    client_id: &'a str,
    redirect_uri: &'a str,
    code: &'a str,
    verifier: &'a str,
) -> [(&'static str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("code", code),
        ("code_verifier", verifier),
    ]
}

/// What the address of the login page asks for.
pub(super) fn authorize_question(client_id: &str, redirect_uri: &str, state: &str, challenge: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("state", state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ])
        .finish()
}

/// The token a request is sent with, which `DELETE` ends.
pub(super) const OWN_TOKEN: &str = "/api/v2/tokens/me";

/// What the login service grants.
pub(super) struct Grant {
    pub(super) access_token: String,
    /// From now, as announced, within reason.
    pub(super) lifetime: Duration,
    /// To people only; good once.
    pub(super) refresh_token: Option<String>,
}

/// The grant in a successful answer of the login service.
pub(super) fn read_grant(body: &[u8]) -> Result<Grant, Nonsense> {
    let answer: GrantAnswer = parse(body)?;
    let bearer = answer.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer {
        return Err(Nonsense("the token is not a bearer token".to_owned()));
    }
    Ok(Grant {
        access_token: answer.access_token,
        lifetime: lifetime(answer.expires_in.as_ref()),
        refresh_token: answer.refresh_token,
    })
}

/// Seconds as a number or a string. The vendor's range is five minutes to 48 hours; shorter is believed down to ten
/// seconds (nobody mints more often than that), and what is missing or no number counts as the vendor's shortest.
fn lifetime(announced: Option<&serde_json::Value>) -> Duration {
    let seconds = match announced {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds: &f64| !seconds.is_nan()).unwrap_or(300.0);
    Duration::from_secs_f64(seconds.clamp(10.0, 48.0 * 3600.0))
}

/// The OAuth error code (`invalid_client`) of a refused mint, or the platform's.
pub(super) fn told_by_login(reply: &Reply) -> Told {
    let oauth = serde_json::from_slice::<OauthRefusal>(&reply.body)
        .ok()
        .and_then(|refusal| refusal.error);
    let told = told(reply);
    Told {
        code: oauth.as_deref().and_then(repeatable).or(told.code),
        ..told
    }
}

#[derive(Deserialize)]
struct GrantAnswer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct OauthRefusal {
    error: Option<String>,
}

// ---- refusals

/// What an answer that is not a success says, as far as it may be repeated.
pub(super) fn told(reply: &Reply) -> Told {
    let refusal = Refusal::read(&reply.body);
    Told {
        status: Some(reply.status.as_u16()),
        code: refusal.code.as_deref().and_then(repeatable),
        correlation_id: reply
            .correlation_id
            .clone()
            .or_else(|| refusal.context_id.as_deref().and_then(repeatable)),
        document: None,
    }
}

/// The published fields of an error body. What else stands in one is nobody's business.
const REFUSAL_FIELDS: [&str; 11] = [
    "code",
    "contextId",
    "details",
    "entityId",
    "entityName",
    "errors",
    "limit",
    "message",
    "messageParams",
    "messageWithParams",
    "status",
];

/// The upstream's error body, if it is one.
fn refusal_document(body: &[u8]) -> Option<Arc<str>> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    fields.retain(|name, _| REFUSAL_FIELDS.contains(&name.as_str()));
    let is_one = fields.contains_key("message") || fields.contains_key("code");
    is_one.then(|| serde_json::Value::from(fields).to_string().into())
}

/// Why the upstream refused, in our words. For statuses that are the question's fault, not the upstream's.
pub(super) fn refused(reply: &Reply, endpoint: Endpoint) -> UpstreamError {
    let told = Told {
        document: refusal_document(&reply.body),
        ..told(reply)
    };
    let refusal = Refusal::read(&reply.body);
    match reply.status {
        StatusCode::UNAUTHORIZED => UpstreamError::Credentials(told),
        StatusCode::FORBIDDEN => UpstreamError::Permission {
            permissions: permissions(&refusal, endpoint),
            told,
        },
        status => UpstreamError::Rejected {
            reason: reason(status, &refusal).into_owned(),
            too_wide: status == StatusCode::BAD_REQUEST && refusal.is_of_the_interval(),
            told,
        },
    }
}

/// The seconds a 429's sentence asks for: `Retry the request in [42] seconds`. The older sentence names the
/// maximum first and the window last; waiting the window is right too.
pub(super) fn seconds_asked_for(body: &[u8]) -> Option<Duration> {
    let message = Refusal::read(body).message?;
    let (before, _) = message.rsplit_once(']')?;
    let (_, number) = before.rsplit_once('[')?;
    number.trim().parse().ok().map(Duration::from_secs)
}

/// The text, if it is nothing but an identifier of reasonable length: such as a code, an id, a permission.
pub(super) fn repeatable(text: &str) -> Option<String> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | ':');
    ((1..=100).contains(&text.len()) && text.chars().all(plain)).then(|| text.to_owned())
}

/// The permissions named in the sentence (`… permissions assigned: [a:b:c, d:e:f]`), any of which would do; or
/// the one the endpoint is documented to need.
fn permissions(refusal: &Refusal, endpoint: Endpoint) -> Vec<String> {
    let message = refusal.message.as_deref().unwrap_or_default();
    let listed = message
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(message.split_once(':').map_or("", |(_, rest)| rest), |(list, _)| list);
    let named: Vec<String> = listed
        .split([',', ' '])
        .filter(|word| word.contains(':'))
        .filter_map(repeatable)
        .collect();
    if named.is_empty() {
        let documented = endpoint.permission();
        let known = if documented.is_empty() {
            endpoint.label()
        } else {
            documented
        };
        vec![known.to_owned()]
    } else if refusal.code.as_deref() == Some("missing.permissions") {
        // This code means that all of them are needed.
        vec![named.join(" and ")]
    } else {
        named
    }
}

fn reason(status: StatusCode, refusal: &Refusal) -> Cow<'static, str> {
    let message = refusal.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let code = refusal.code.as_deref().unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND => "it does not know what was asked for".into(),
        StatusCode::CONFLICT => "it is in conflict with something else under way".into(),
        StatusCode::PAYLOAD_TOO_LARGE => "the query is larger than it accepts; name fewer values".into(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "it does not take the query's content type".into(),
        _ if message.contains("pagination may not exceed") => {
            "there are more results than it lets anyone page through; narrow the range or the filter".into()
        }
        _ if refusal.is_of_the_interval() => {
            "the interval is longer than it accepts for this query; narrow the range".into()
        }
        _ if code == "invalid.date" => "it does not take one of the dates".into(),
        _ if code == "invalid.value" => match field_type(refusal) {
            Some(field) => format!("it does not know one of the values given as {field}").into(),
            None => "it does not know one of the values".into(),
        },
        _ if code == "bad.request" => "it does not understand the query".into(),
        _ => "it gives no reason that this service knows".into(),
    }
}

/// The type named by `Value [x] is not valid for field type [ConversationMetric]. …`.
fn field_type(refusal: &Refusal) -> Option<String> {
    let (_, rest) = refusal.message.as_deref()?.split_once("field type [")?;
    repeatable(rest.split_once(']')?.0)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    message: Option<String>,
    code: Option<String>,
    context_id: Option<String>,
    limit: Option<LimitAnswer>,
}

impl Refusal {
    /// Whatever can be made of it: HTML, an empty body or half a body say nothing.
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Whether it says that the interval is too long: its code for that is not known, its words are.
    fn is_of_the_interval(&self) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_ascii_lowercase();
        message.contains("interval") && (message.contains("exceed") || message.contains("days"))
    }
}

// ---- what all of them share

#[derive(Serialize)]
struct FilterBody<'a> {
    r#type: &'static str,
    clauses: Vec<ClauseBody<'a>>,
}

#[derive(Serialize)]
struct ClauseBody<'a> {
    r#type: &'static str,
    predicates: Vec<PredicateBody<'a>>,
}

#[derive(Serialize)]
struct PredicateBody<'a> {
    r#type: &'static str,
    dimension: &'static str,
    operator: &'static str,
    value: &'a str,
}

impl<'a> PredicateBody<'a> {
    fn new(dimension: &'static str, value: &'a str) -> Self {
        Self {
            r#type: "dimension",
            dimension,
            operator: "matches",
            value,
        }
    }
}

impl<'a> FilterBody<'a> {
    /// The clauses of the dimensions chosen: one of the values for every one of the dimensions.
    fn all_of(filter: &'a Filter, chosen: impl Fn(&str) -> bool) -> Self {
        let clause = |dimension: &'static str, values: &'a BTreeSet<String>| ClauseBody {
            r#type: "or",
            predicates: values
                .iter()
                .map(|value| PredicateBody::new(dimension, value))
                .collect(),
        };
        Self {
            r#type: "and",
            clauses: filter
                .clauses
                .iter()
                .filter(|(dimension, _)| chosen(dimension.upstream))
                .map(|(dimension, values)| clause(dimension.upstream, values))
                .collect(),
        }
    }
}

fn post(endpoint: Endpoint, body: &impl Serialize) -> Call {
    let body = serde_json::to_vec(body).expect("strings and numbers always serialise");
    Call {
        endpoint,
        method: Method::POST,
        path: endpoint.path().to_owned(),
        body: Some(body.into()),
    }
}

fn interval(range: Range) -> String {
    const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    format!(
        "{}/{}",
        MILLISECONDS.timestamp_to_string(&range.start),
        MILLISECONDS.timestamp_to_string(&range.end)
    )
}

fn granularity(granularity: Granularity) -> String {
    match granularity {
        Granularity::Minutes(minutes) if minutes % 60 == 0 => format!("PT{}H", minutes / 60),
        Granularity::Minutes(minutes) => format!("PT{minutes}M"),
        Granularity::Day => "P1D".to_owned(),
        Granularity::Week => "P1W".to_owned(),
        Granularity::Month => "P1M".to_owned(),
    }
}

/// The parser's own message may quote the text; its kind and place do not.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Nonsense> {
    serde_json::from_slice(body).map_err(|error| {
        Nonsense(format!(
            "{:?} error in the answer's JSON at line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::query::{
        ColumnValue, Dimension, Zone,
        catalogue::{column, dimension, metric},
    };

    fn named(upstream: &str) -> &'static Dimension {
        dimension(upstream).unwrap()
    }

    fn filter(clauses: &[(&'static Dimension, &[&str])]) -> Filter {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Filter {
            clauses: clauses
                .iter()
                .map(|(dimension, named)| (*dimension, values(named)))
                .collect(),
        }
    }

    fn range(start: &str, end: &str) -> Range {
        Range {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
        }
    }

    fn query() -> AggregateQuery {
        AggregateQuery {
            source: Source::Conversations,
            range: range("2025-03-10T00:00:00Z", "2025-03-11T00:00:00.5Z"),
            granularity: Some(Granularity::Minutes(30)),
            time_zone: Zone::named("Europe/Berlin").unwrap(),
            group_by: vec![named("queueId")],
            metrics: vec![metric("nOffered"), metric("tHandle")],
            filter: Filter::default(),
        }
    }

    fn sent(call: &Call) -> Value {
        serde_json::from_slice(call.body.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn an_aggregate_query_as_sent() {
        let query = AggregateQuery {
            filter: filter(&[(named("queueId"), &["q1", "q2"]), (named("mediaType"), &["voice"])]),
            ..query()
        };
        insta::assert_json_snapshot!(sent(&aggregates(&query)));
    }

    #[test]
    fn a_plain_aggregate_query_leaves_out_what_it_does_not_need() {
        let query = AggregateQuery {
            granularity: None,
            group_by: Vec::new(),
            ..query()
        };
        let expected = json!({
            "interval": "2025-03-10T00:00:00.000Z/2025-03-11T00:00:00.500Z",
            "timeZone": "Europe/Berlin",
            "metrics": ["nOffered", "tHandle"],
        });
        assert_eq!(sent(&aggregates(&query)), expected);
    }

    #[test]
    fn granularities() {
        for (length, expected) in [
            (Granularity::Minutes(15), "PT15M"),
            (Granularity::Minutes(60), "PT1H"),
            (Granularity::Minutes(90), "PT90M"),
            (Granularity::Minutes(720), "PT12H"),
            (Granularity::Day, "P1D"),
            (Granularity::Week, "P1W"),
            (Granularity::Month, "P1M"),
        ] {
            assert_eq!(granularity(length), expected);
        }
    }

    /// What belongs to the conversation and what must hold on one segment go to different filters.
    #[test]
    fn a_details_query_as_sent() {
        let filter = filter(&[
            (named("divisionId"), &["d"]),
            (named("queueId"), &["q1", "q2"]),
            (named("mediaType"), &["voice"]),
        ]);
        let day = range("2025-03-10T00:00:00Z", "2025-03-11T00:00:00Z");
        insta::assert_json_snapshot!(sent(&details(day, &filter, 100, 7)));
        let unfiltered = sent(&details(day, &Filter::default(), 100, 7));
        assert!(unfiltered.get("segmentFilters").is_none() && unfiltered.get("conversationFilters").is_none());
    }

    #[test]
    fn conversations_are_named_in_one_parameter() {
        let call = details_by_id(&["a".into(), "b&c,d".into()]);
        assert_eq!(
            (call.method, call.path.as_str(), call.body),
            (
                Method::GET,
                "/api/v2/analytics/conversations/details?id=a,b%26c%2Cd",
                None
            )
        );
    }

    #[test]
    fn users_are_listed_whatever_their_state() {
        assert_eq!(
            listing(Lookup::Users, 100, 2).path,
            "/api/v2/users?pageSize=100&pageNumber=2&state=any"
        );
        assert_eq!(
            listing(Lookup::Queues, 100, 2).path,
            "/api/v2/routing/queues?pageSize=100&pageNumber=2"
        );
    }

    fn aggregate_answer(data: &Value) -> Value {
        json!({"results": [{"group": {"mediaType": "voice", "queueId": "q1"}, "data": data}]})
    }

    #[test]
    fn an_aggregate_answer_is_put_into_the_querys_order() {
        let answer = json!({"future": 1, "results": [
            {"group": {"mediaType": "voice", "queueId": "q1", "future": "x"}, "data": [{
                "interval": "2025-03-09T23:30:00.000Z/2025-03-10T00:30:00.000Z",
                "metrics": [
                    {"metric": "tHandle", "qualifier": "", "stats": {"max": 7, "min": 2.5, "count": 2, "sum": 9.5, "future": 1}},
                    {"metric": "nOther", "stats": {"count": 1}},
                    {"metric": "nOffered", "stats": {"count": 5_097_600_919_i64}},
                ],
            }]},
            {"group": {"mediaType": "chat"}, "data": [{"interval": "2025-03-10T01:00:00Z/2025-03-10T01:30:00Z", "metrics": []}]},
        ]});
        let rows = read_aggregates(answer.to_string().as_bytes(), &query()).unwrap();
        let [first, second] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(first.group, [Some("q1".into())]);
        assert_eq!(first.media_type.as_deref(), Some("voice"));
        assert_eq!(
            first.bucket,
            range("2025-03-10T00:00:00Z", "2025-03-10T00:30:00Z"),
            "cut to the range"
        );
        let offered = first.metrics[0].unwrap();
        assert_eq!((offered.count, offered.sum), (Some(5_097_600_919.0), None));
        let handle = first.metrics[1].unwrap();
        assert_eq!((handle.min, handle.max, handle.sum), (Some(2.5), Some(7.0), Some(9.5)));
        assert_eq!(second.group, [None]);
        assert_eq!(second.metrics, [None, None]);
    }

    /// The upstream tells the states of users apart by a qualifier beside the metric's name.
    #[test]
    fn the_states_of_users_are_told_apart_by_qualifier() {
        let mut query = query();
        query.source = Source::Users;
        query.group_by.clear();
        let states = [
            "tAgentRoutingStatus:IDLE",
            "tSystemPresence",
            "tSystemPresence:ON_QUEUE",
            "tSystemPresence:MEAL",
        ];
        let metric = |name: &str| match column(name) {
            Some(ColumnValue::Metric(metric, _)) => metric,
            other => panic!("{name}: {other:?}"),
        };
        query.metrics = states.map(metric).to_vec();
        let call = aggregates(&query);
        assert_eq!(call.path, "/api/v2/analytics/users/aggregates/query");
        assert_eq!(
            sent(&call)["metrics"],
            json!(["tAgentRoutingStatus", "tSystemPresence"])
        );

        let state = |metric: &str, qualifier: &str, sum: i64| json!({"metric": metric, "qualifier": qualifier, "stats": {"sum": sum}});
        let answer = |metrics: Value| {
            json!({"systemToOrganizationMappings": {"OFFLINE": ["x"]}, "results": [{"group": {"userId": "u"}, "data": [{
                "interval": "2025-03-10T00:00:00.000Z/2025-03-10T00:30:00.000Z", "metrics": metrics,
            }]}]})
            .to_string()
        };
        let came = answer(json!([
            state("tSystemPresence", "ON_QUEUE", 5),
            state("tSystemPresence", "AWAY", 7),
            state("tAgentRoutingStatus", "IDLE", 3),
            state("tOrganizationPresence", "uuid", 12),
        ]));
        let rows = read_aggregates(came.as_bytes(), &query).unwrap();
        let sums = rows[0].metrics.iter().map(|stats| stats.and_then(|stats| stats.sum));
        assert_eq!(sums.collect::<Vec<_>>(), [Some(3.0), Some(12.0), Some(5.0), None]);

        let twice = answer(json!([
            state("tSystemPresence", "ON_QUEUE", 5),
            state("tSystemPresence", "ON_QUEUE", 5)
        ]));
        assert!(read_aggregates(twice.as_bytes(), &query).is_err());
    }

    /// The published answer for one queue: agents without a media type, interactions with one.
    #[test]
    fn queues_are_observed_with_their_agents_and_their_interactions() {
        let call = queue_observations(&["q1", "q2"]);
        assert_eq!(call.path, "/api/v2/analytics/queues/observations/query");
        assert_eq!(sent(&call)["filter"]["type"], "or");
        assert_eq!(sent(&call)["filter"]["predicates"][1]["value"], "q2");

        let published = include_bytes!("../simulator/genesys/samples/queue-observations/response-one-queue.json");
        let rows = read_observations(published).unwrap();
        let value = |row: &ObservedRow, name: &str| {
            let place = OBSERVATIONS.iter().position(|observation| observation.name == name);
            row.values[place.unwrap()]
        };
        assert_eq!(rows[0].media_type, None);
        for (name, expected) in [
            ("agents.member", Some(23.0)),
            ("agents.on.queue", Some(4.0)),
            ("agents.off.queue", Some(19.0)),
            ("agents.routing.off.queue", Some(19.0)),
            ("agents.routing.interacting", None),
            ("agents.presence.offline", None),
            ("waiting.count", None),
        ] {
            assert_eq!(value(&rows[0], name), expected, "{name}");
        }
        let voice = rows
            .iter()
            .find(|row| row.media_type.as_deref() == Some("voice"))
            .unwrap();
        assert_eq!(
            (value(voice, "waiting.count"), value(voice, "waiting.longest.since")),
            (Some(0.0), None)
        );
    }

    /// The published request and its answer.
    #[test]
    fn users_are_observed_in_their_queues() {
        let call = user_observations(&["u1", "u2"]);
        assert_eq!(call.path, "/api/v2/analytics/users/observations/query");
        assert_eq!(sent(&call)["filter"]["type"], "or");
        assert_eq!(sent(&call)["filter"]["predicates"][1]["value"], "u2");
        let published = include_str!("../simulator/genesys/samples/user-observations/request.json");
        let published: Value = serde_json::from_str(published).unwrap();
        assert_eq!(sent(&call)["metrics"], published["metrics"]);

        let published = include_bytes!("../simulator/genesys/samples/user-observations/response.json");
        let expected = UserQueues {
            user: "f6590bd5-0e08-47d4-ab9b-45be260997ef".into(),
            member: Some(1.0),
            active: Some(1.0),
        };
        assert_eq!(read_user_observations(published).unwrap(), [expected]);
        let silent = read_user_observations(br#"{"results": [{"group": {"userId": "u"}}]}"#).unwrap();
        assert_eq!((silent[0].member, silent[0].active), (None, None));
        for damaged in [r#"{"results": [{"group": {"queueId": "q"}, "data": []}]}"#, "[]", ""] {
            assert!(read_user_observations(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    /// Presences come by ids of the organisation's own; several can be of one kind.
    #[test]
    fn presences_are_told_by_their_kind() {
        let presence =
            |id: &str, count: u32| json!({"metric": "oUserPresences", "qualifier": id, "stats": {"count": count}});
        let answer = json!({
            "systemToOrganizationMappings": {"BREAK": ["smoke", "coffee"], "AVAILABLE": ["here"]},
            "results": [{"group": {"queueId": "q"}, "data": [
                presence("smoke", 2), presence("here", 5), presence("coffee", 1), presence("unknown", 7),
            ]}],
        });
        let rows = read_observations(answer.to_string().as_bytes()).unwrap();
        let told: Vec<_> = OBSERVATIONS
            .iter()
            .zip(&rows[0].values)
            .filter_map(|(observation, value)| value.map(|value| (observation.name, value)))
            .collect();
        assert_eq!(
            told,
            [("agents.presence.available", 5.0), ("agents.presence.break", 3.0)]
        );

        for damaged in [
            r#"{"results": [{"group": {"mediaType": "voice"}, "data": []}]}"#,
            "[]",
            "",
        ] {
            assert!(read_observations(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn no_rows_have_two_spellings() {
        for body in [r#"{"results": []}"#, "{}", r#"{"results": null}"#] {
            assert_eq!(read_aggregates(body.as_bytes(), &query()).unwrap(), [], "{body}");
        }
    }

    /// Never a smaller answer: what is damaged fails as a whole.
    #[test]
    fn a_damaged_aggregate_answer_is_nonsense() {
        let stats = json!([{"metric": "nOffered", "stats": {"count": 1}}]);
        let inside = "2025-03-10T00:00:00.000Z/2025-03-10T00:30:00.000Z";
        for data in [
            json!([{"metrics": stats}]),
            json!([{"interval": "2025-03-10T00:00:00.000Z", "metrics": stats}]),
            json!([{"interval": "yesterday/today", "metrics": stats}]),
            json!([{"interval": "2025-03-12T00:00:00.000Z/2025-03-12T00:30:00.000Z", "metrics": stats}]),
            json!([{"interval": inside, "metrics": [{"metric": "nOffered"}]}]),
            json!([{"interval": inside, "metrics": [{"metric": "nOffered", "stats": {"count": "many"}}]}]),
            json!([{"interval": inside, "metrics": [{"stats": {"count": 1}}]}]),
            json!([{"interval": inside, "metrics": [stats[0], stats[0]]}]),
            json!("none"),
        ] {
            let answer = aggregate_answer(&data).to_string();
            assert!(read_aggregates(answer.as_bytes(), &query()).is_err(), "{answer}");
        }
        for body in ["", "<html>", "[]", r#"{"results": [{"#] {
            assert!(read_aggregates(body.as_bytes(), &query()).is_err(), "{body}");
        }
    }

    #[test]
    fn conversations_keep_their_bytes_and_fit_on_a_line() {
        let body = Bytes::from(
            "{\"totalHits\": 2, \"conversations\": [\n {\"conversationId\":\"a\",\"n\":1.10,\"conversationStart\":\"2025-03-10T00:00:00.001Z\"},\n \
             {\"conversationId\":\"b\",\r\n\"t\":\"x\\ny\",\"conversationStart\":\"2025-03-10T01:00:00Z\",\"conversationEnd\":\"2025-03-10T02:00:00+01:00\"}]}",
        );
        let page = read_details(&body).unwrap();
        assert_eq!(page.total_hits, Some(2));
        let [first, second] = &page.conversations[..] else {
            panic!()
        };
        assert_eq!(
            (&*first.id, first.start.as_millisecond() % 1000, first.end),
            ("a", 1, None)
        );
        assert_eq!(
            first.document,
            r#"{"conversationId":"a","n":1.10,"conversationStart":"2025-03-10T00:00:00.001Z"}"#
        );
        assert_eq!(second.end, Some("2025-03-10T01:00:00Z".parse().unwrap()));
        assert!(!second.document.contains(&b'\n') && second.document.windows(2).any(|pair| pair == br"\n"));
    }

    #[test]
    fn what_users_were_is_asked_and_read() {
        let day = Range {
            start: "2025-03-10T00:00:00Z".parse().unwrap(),
            end: "2025-03-11T00:00:00Z".parse().unwrap(),
        };
        let body = |users: &[&str]| {
            let call = user_details(day, users, 100, 2);
            assert_eq!(call.path, "/api/v2/analytics/users/details/query");
            serde_json::from_slice::<Value>(&call.body.unwrap()).unwrap()
        };
        let mut expected = json!({"interval": "2025-03-10T00:00:00.000Z/2025-03-11T00:00:00.000Z", "order": "asc",
            "paging": {"pageSize": 100, "pageNumber": 2}});
        assert_eq!(body(&[]), expected);
        expected["userFilters"] = json!([{"type": "or", "predicates": [
            {"type": "dimension", "dimension": "userId", "operator": "matches", "value": "u"}]}]);
        assert_eq!(body(&["u"]), expected);

        let page = read_user_details(
            br#"{"totalHits": 7, "userDetails": [
                {"userId": "u", "primaryPresence": [
                    {"startTime": "2025-03-10T08:00:00.000Z", "endTime": "2025-03-10T09:00:00.000Z",
                     "systemPresence": "AVAILABLE", "organizationPresenceId": "p"}],
                 "routingStatus": [{"startTime": "2025-03-10T09:00:00.000Z", "routingStatus": "IDLE", "new": 1}]},
                {"userId": "v"}]}"#,
        )
        .unwrap();
        assert_eq!((page.users, page.total_hits), (2, Some(7)));
        let at = |text: &str| text.parse().unwrap();
        let (eight, nine) = (at("2025-03-10T08:00:00Z"), at("2025-03-10T09:00:00Z"));
        let state = |kind, status: &str, presence: Option<&str>, start, end| UserState {
            user: "u".into(),
            kind,
            status: status.into(),
            presence: presence.map(Arc::from),
            start,
            end,
        };
        let expected = [
            state(StateKind::Presence, "AVAILABLE", Some("p"), eight, Some(nine)),
            state(StateKind::Routing, "IDLE", None, nine, None),
        ];
        assert_eq!(page.states, expected);
        for body in [
            r#"{"userDetails": [{"primaryPresence": []}]}"#,
            r#"{"userDetails": [{"userId": "u", "routingStatus": [{"startTime": "2025-03-10T09:00:00.000Z"}]}]}"#,
            r#"{"userDetails": [{"userId": "u", "routingStatus": [{"routingStatus": "IDLE"}]}]}"#,
            r#"{"userDetails": [{"userId": "u", "routingStatus": [{"startTime": "soon", "routingStatus": "IDLE"}]}]}"#,
        ] {
            assert!(read_user_details(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(read_user_details(br#"{"totalHits": 7}"#).unwrap().users, 0);
    }

    #[test]
    fn pages_without_conversations_and_damaged_ones() {
        for body in [r#"{"totalHits": 7}"#, r#"{"totalHits": 7, "conversations": []}"#] {
            let page = read_details(&Bytes::from(body)).unwrap();
            assert_eq!((page.conversations.len(), page.total_hits), (0, Some(7)));
        }
        for body in [
            "",
            "null",
            r#"{"conversations": [{"conversationStart": "2025-03-10T00:00:00Z"}]}"#,
            r#"{"conversations": [{"conversationId": "a"}]}"#,
            r#"{"conversations": [{"conversationId": "a", "conversationStart": "soon"}]}"#,
            r#"{"conversations": [{"conversationId": "a", "conversationStart": "2025-03-10T00:00:00Z", "conversationEnd": "x"}]}"#,
        ] {
            assert!(read_details(&Bytes::from(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn a_listing_gives_names_and_whether_there_is_more() {
        let body = json!({"entities": [{"id": "1", "name": "One"}, {"id": "2", "name": null}, {"id": "3"}], "pageCount": 2, "nextUri": "/x"});
        let page = read_listing(body.to_string().as_bytes()).unwrap();
        assert_eq!(page.names, [("1".into(), "One".into())]);
        assert_eq!((page.empty, page.page_count, page.more), (false, Some(2), true));
        let last = read_listing(br#"{"entities": [], "nextUri": null}"#).unwrap();
        assert_eq!((last.empty, last.page_count, last.more), (true, None, false));
        assert!(read_listing(b"{}").is_err());
    }

    #[test]
    fn lifetimes_within_reason() {
        for (announced, seconds) in [
            (json!(86_399), 86_399),
            (json!("3600"), 3_600),
            (json!(0), 10),
            (json!(-5), 10),
            (json!(1e18), 172_800),
            (json!(30), 30),
            (json!("soon"), 300),
            (json!("NaN"), 300),
            (json!(null), 300),
        ] {
            let grant = read_grant(
                json!({"access_token": "t", "token_type": "Bearer", "expires_in": announced})
                    .to_string()
                    .as_bytes(),
            );
            assert_eq!(grant.unwrap().lifetime, Duration::from_secs(seconds), "{announced}");
        }
        assert_eq!(
            read_grant(br#"{"access_token": "t"}"#).unwrap().lifetime,
            Duration::from_mins(5)
        );
        assert!(read_grant(br#"{"access_token": "t", "token_type": "mac"}"#).is_err());
        assert!(read_grant(br#"{"token_type": "bearer"}"#).is_err());
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            correlation_id: None,
            retry_after: None,
            body: Bytes::from(body.to_owned()),
        }
    }

    /// What is told for the vendor's own bodies, and for bodies that are none. Nothing in it is the vendor's text.
    #[test]
    fn refusals_in_our_words() {
        use std::fmt::Write;

        let mut table = String::new();
        for (status, body) in [
            (
                400,
                r#"{"message":"Value [x<script>] is not valid for field type [ConversationMetric]. Allowable values are: a, b","code":"invalid.value","contextId":"c-1"}"#,
            ),
            (
                400,
                r#"{"message":"Pagination may not exceed 100000 results. Tip: ...","code":"pagination.limit.exceeded"}"#,
            ),
            (
                400,
                r#"{"message":"The search interval may not exceed 31 days","code":"invalid.interval"}"#,
            ),
            (
                400,
                r#"{"message":"Dates must be specified as ISO-8601 strings.","code":"invalid.date"}"#,
            ),
            (
                400,
                r#"{"message":"The request could not be understood","code":"bad.request"}"#,
            ),
            (
                400,
                r#"{"message":"see https://api.internal.example/","code":"see https://api.internal.example/"}"#,
            ),
            (400, "<html>"),
            (401, r#"{"code":"bad.credentials"}"#),
            (
                403,
                r#"{"message":"You must have at least one of the following permissions assigned: [analytics:conversationDetail:view, analytics:agentConversationDetail:view]","code":"missing.any.permissions"}"#,
            ),
            (
                403,
                r#"{"message":"You are missing the following permission(s): a:b:c, d:e:f","code":"missing.permissions"}"#,
            ),
            (
                403,
                r#"{"message":"You are not authorized to perform the requested action.","code":"not.authorized"}"#,
            ),
            (404, r#"{"code":"not.found"}"#),
            (409, r#"{"code":"general.conflict"}"#),
            (413, r#"{"code":"request.entity.too.large"}"#),
            (415, r#"{"code":"unsupported.media.type"}"#),
            (418, ""),
        ] {
            let error = refused(&reply(status, body), Endpoint::Aggregates(Source::Conversations));
            let told = error.told().unwrap();
            writeln!(table, "{status}: {error} [{:?} {:?}]", told.code, told.correlation_id).unwrap();
        }
        assert!(!table.contains("internal.example") && !table.contains("script"));
        insta::assert_snapshot!(table);
    }

    #[test]
    fn the_seconds_in_a_429s_sentence() {
        for (message, seconds) in [
            (
                "Rate limit exceeded the maximum. Retry the request in [42] seconds",
                Some(42),
            ),
            (
                "Rate limit exceeded the maximum [300] requests within [60] seconds",
                Some(60),
            ),
            ("Slow down", None),
            ("in [a while]", None),
        ] {
            let body = json!({"message": message}).to_string();
            assert_eq!(
                seconds_asked_for(body.as_bytes()),
                seconds.map(Duration::from_secs),
                "{message}"
            );
        }
        assert_eq!(seconds_asked_for(b"<html>"), None);
    }

    fn answers() -> Vec<Vec<u8>> {
        let aggregates = json!({"results": [
            {"group": {"mediaType": "voice", "queueId": "q1"}, "data": [
                {"interval": "2025-03-10T00:00:00.000Z/2025-03-10T00:30:00.000Z", "metrics": [
                    {"metric": "tHandle", "qualifier": "", "stats": {"max": 7, "min": 2.5, "count": 2, "sum": 9.5}},
                    {"metric": "nOffered", "stats": {"count": 5_097_600_919_i64}},
                ]},
                {"interval": "2025-03-10T00:30:00.000Z/2025-03-10T01:00:00.000Z", "metrics": []},
            ]},
            {"group": {"mediaType": "chat"}, "data": [{"interval": "2025-03-10T01:00:00Z/2025-03-10T01:30:00Z", "metrics": []}]},
        ]});
        let details = json!({"conversations": [
            {"conversationId": "a", "conversationStart": "2025-03-10T01:00:00.000Z", "participants": [{"purpose": "customer"}]},
            {"conversationId": "b", "conversationStart": "2025-03-10T02:00:00.000Z", "conversationEnd": "2025-03-10T02:05:00.000Z"},
        ], "totalHits": 2, "cursor": "x", "dataAvailabilityDate": "2025-03-10T01:00:00.000Z"});
        let queues =
            json!({"entities": [{"id": "a", "name": "Sales", "division": {"id": "d"}}], "pageCount": 2, "total": 3});
        let refusal = json!({"message": "Rate limit exceeded [30]", "code": "too.many.requests", "status": 429});
        let documents = [aggregates, details, queues, refusal];
        documents
            .iter()
            .map(|document| document.to_string().into_bytes())
            .collect()
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// What is taken for an answer is an answer to the question, and no larger than its bytes.
        #[test]
        fn fuzz_answers(bytes in crate::fuzz::changed(answers())) {
            let query = query();
            for row in read_aggregates(&bytes, &query).unwrap_or_default() {
                prop_assert_eq!((row.group.len(), row.metrics.len()), (query.group_by.len(), query.metrics.len()));
                prop_assert!(query.range.start <= row.bucket.start && row.bucket.end <= query.range.end);
                prop_assert!(row.bucket.start < row.bucket.end);
                let figures = row.metrics.iter().flatten().flat_map(|stats| stats.to_array()).flatten();
                prop_assert!(figures.into_iter().all(f64::is_finite));
            }
            let body = Bytes::from(bytes);
            if let Ok(page) = read_details(&body) {
                let documents: usize = page.conversations.iter().map(|one| one.document.len()).sum();
                prop_assert!(documents <= body.len());
                for one in page.conversations {
                    prop_assert!(!one.document.contains(&b'\n'), "a line is a document");
                    // Half a character in an escape is JSON (RFC 8259, 8.2) that not every reader makes a text of.
                    let document: ConversationHead<'_> = serde_json::from_slice(&one.document).unwrap();
                    prop_assert_eq!(&document.id, &*one.id);
                }
            }
            let _ = (read_job_page(&body), seconds_asked_for(&body), spent(&body));
        }
    }
}
