//! `POST conversations/details/query`: conversations that started on a UTC day touched by the interval; the rows of
//! `…/details/jobs`, which are those active in it; and `GET conversations/details`, which are those named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::calendar::{self, iso};
use super::conversation::{
    About, Atom, Conversation, Dimension, FLOW_ENTRY_TYPE, FLOW_LANGUAGE, FLOW_TRANSFER_TYPE, FLOW_VERSION, Media,
    Metric, Place, Purpose, SERVICE_ADDRESS, SERVICE_NUMBER, Segment, SegmentKind, Session, participant_name,
};
use super::dice::scramble;
use super::directory::Directory;
use super::filter::{Filter, Predicate, Subject};
use super::generation::DAY_MS;
use super::{Day, Switches};
use crate::simulator::refusal::Refusal;

/// What a query asks for, read and checked.
pub(super) struct Question<'q> {
    interval: Range<i64>,
    conversation_filters: Vec<Filter>,
    segment_filters: Vec<Filter>,
    /// Asks about evaluations, surveys or resolutions, of which details here tell none.
    unanswerable: bool,
    order_by: &'q str,
    order: &'q str,
    page_size: usize,
    page_number: usize,
    aggregations: &'q [Value],
    /// Whether a job wants only what started on the interval's days.
    of_start_day: bool,
}

/// How long before an interval a conversation that is active in it may have begun, in days.
const LONGEST_DAYS: i64 = 7;

impl<'q> Question<'q> {
    /// Reads a body of the right shape, or says what the platform would refuse in it.
    pub(super) fn parse(body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let question = Self::of_job(body, switches)?;
        question.refuse_long_intervals(switches)?;
        Ok(question)
    }

    /// Reads the body of a job, whose interval has no bound that is known.
    pub(super) fn of_job(body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let filters = |name: &str| {
            list(&body[name])
                .iter()
                .map(|filter| Filter::parse(filter, switches.values_ignore_case))
        };
        let (page_size, page_number) = paging(&body["paging"], switches)?;
        let others = ["evaluationFilters", "surveyFilters", "resolutionFilters"];
        Ok(Self {
            interval: calendar::interval(body["interval"].as_str().unwrap_or_default())?,
            conversation_filters: filters("conversationFilters").collect::<Result<_, _>>()?,
            segment_filters: filters("segmentFilters").collect::<Result<_, _>>()?,
            unanswerable: others.iter().any(|name| !list(&body[name]).is_empty()),
            order_by: body["orderBy"].as_str().unwrap_or("conversationStart"),
            order: body["order"].as_str().unwrap_or("asc"),
            page_size,
            page_number,
            aggregations: list(&body["aggregations"]),
            of_start_day: body["startOfDayIntervalMatching"].as_bool().unwrap_or(false),
        })
    }

    fn refuse_long_intervals(&self, switches: &Switches) -> Result<(), Refusal> {
        let filters = self.conversation_filters.iter().chain(&self.segment_filters);
        let unfiltered = filters.clone().all(Filter::is_empty) && !self.unanswerable;
        let limit = switches
            .max_unfiltered_details_interval_days
            .filter(|_| unfiltered)
            .unwrap_or(switches.max_details_interval_days);
        if self.interval.end - self.interval.start > limit * DAY_MS {
            let sentence = format!("The search interval must not exceed {limit} days.");
            return Err(Refusal::bad_request("general.bad.request", sentence));
        }
        Ok(())
    }

    /// The UTC days the interval touches, counted from the epoch.
    pub(super) fn days(&self) -> RangeInclusive<i64> {
        self.interval.start.div_euclid(DAY_MS)..=(self.interval.end - 1).div_euclid(DAY_MS)
    }

    /// The UTC days on which a conversation that is active in the interval may have started.
    pub(super) fn days_active(&self) -> RangeInclusive<i64> {
        let (first, last) = self.days().into_inner();
        first - if self.of_start_day { 0 } else { LONGEST_DAYS }..=last
    }

    /// The rows of a job, out of the conversations of those days.
    pub(super) fn rows(&self, days: Vec<Arc<Day>>, directory: &Directory, as_of: i64) -> JobRows {
        let is_active = |conversation: &Conversation| {
            conversation.start < self.interval.end
                && conversation.end(as_of).is_none_or(|end| end >= self.interval.start)
        };
        let mut rows = Vec::new();
        for (day, conversations) in days.iter().map(|day| &day.conversations).enumerate() {
            let active = conversations.iter().enumerate();
            let seen = active.filter(|(_, one)| is_active(one)).map(|(place, conversation)| {
                let seen = Seen {
                    conversation,
                    directory,
                    now: as_of,
                };
                (seen, (day, place))
            });
            rows.extend(seen.filter(|(seen, _)| self.matches(seen)));
        }
        self.sort(&mut rows, |(seen, _)| seen);
        let places = rows.into_iter().map(|(_, place)| place).collect();
        JobRows { days, places, as_of }
    }

    /// The page asked for, out of the conversations of those days.
    pub(super) fn answer(&self, days: &[Arc<Day>], directory: &Directory, now: i64, switches: &Switches) -> Value {
        let conversations = days.iter().flat_map(|day| &day.conversations);
        let mut rows: Vec<_> = conversations
            .map(|conversation| Seen {
                conversation,
                directory,
                now,
            })
            .filter(|seen| self.matches(seen))
            .collect();
        self.sort(&mut rows, |seen| seen);
        let (page, total) = self.page(rows.len(), switches);
        let mut answer = Map::new();
        if !page.is_empty() {
            answer.insert("conversations".to_owned(), rows[page].iter().map(Seen::json).collect());
        }
        if !self.aggregations.is_empty() {
            let results = self
                .aggregations
                .iter()
                .map(|aggregation| aggregate(aggregation, &rows));
            answer.insert("aggregations".to_owned(), results.collect());
        }
        answer.insert("totalHits".to_owned(), total.into());
        answer.into()
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
        seen.conversation.start <= seen.now
            && !self.unanswerable
            && self.conversation_filters.iter().all(|filter| seen.passes(filter))
            && self.segment_filters.iter().all(|filter| seen.has_segment(filter))
    }

    fn sort<'s, T>(&self, rows: &mut [T], seen: impl Fn(&T) -> &Seen<'s>) {
        rows.sort_by_cached_key(|row| {
            let seen = seen(row);
            let told = seen.conversation;
            let key = match self.order_by {
                _ if self.order == "unordered" => scramble(told.id.as_u64_pair().1).cast_signed(),
                // What is still running sorts as if it ended last.
                "conversationEnd" => told.end(seen.now).unwrap_or(i64::MAX),
                "segmentEnd" => seen.last_segment_end().unwrap_or(i64::MAX),
                _ => told.start,
            };
            (key, told.id)
        });
        if self.order == "desc" {
            rows.reverse();
        }
    }

    /// Which rows are on the page asked for, and how many rows the platform says there are.
    fn page(&self, rows: usize, switches: &Switches) -> (Range<usize>, usize) {
        let salt = scramble(self.interval.start.cast_unsigned() ^ scramble(rows as u64));
        let odd = |page: usize, kind: u64| scramble(salt ^ scramble(page as u64 ^ (kind << 32))).is_multiple_of(5);
        let (mut asked, mut listed, mut next) = (rows..rows, 0, 0);
        for page in 1.. {
            let repeated = switches.repeated_rows && next > 0 && odd(page, 1);
            let short = switches.short_pages && self.page_size > 1 && odd(page, 2);
            let first = next - usize::from(repeated);
            next = rows.min(first + self.page_size - usize::from(short));
            if page == self.page_number {
                asked = first..next;
            }
            if next >= rows {
                listed += next - first;
                break;
            }
            listed += self.page_size;
        }
        let approximate = switches.approximate_total_hits && listed > self.page_size;
        let total = if approximate {
            about(listed, salt).max(self.page_size + 1)
        } else {
            listed
        };
        (asked, total)
    }
}

/// The most conversations that are told by their ids at once.
const IDS_AT_ONCE: usize = 100;

/// The ids of a request for conversations by their ids: a list with commas, the parameter repeated, or both.
pub(super) fn wanted(params: &[(String, String)]) -> Result<BTreeSet<Uuid>, Refusal> {
    let refusal = |sentence: String| Refusal::bad_request("invalid.value", sentence);
    let named = params.iter().filter(|(name, _)| name == "id");
    let texts: Vec<&str> = named.flat_map(|(_, value)| value.split(',')).collect();
    if texts.len() > IDS_AT_ONCE {
        return Err(refusal(format!("No more than {IDS_AT_ONCE} ids may be given.")));
    }
    let ids = texts.into_iter().map(|text| {
        Uuid::try_parse(text).map_err(|_| refusal(format!("Value [{text}] is not valid for field type [UUID].")))
    });
    ids.collect()
}

/// Those of the conversations wanted that the days have and that have begun.
pub(super) fn by_id(
    mut wanted: BTreeSet<Uuid>,
    mut days: impl Iterator<Item = Arc<Day>>,
    directory: &Directory,
    now: i64,
) -> Value {
    let mut told = Vec::new();
    while !wanted.is_empty()
        && let Some(day) = days.next()
    {
        for conversation in &day.conversations {
            if conversation.start <= now && wanted.remove(&conversation.id) {
                let seen = Seen {
                    conversation,
                    directory,
                    now,
                };
                told.push(seen.json());
            }
        }
    }
    json!({ "conversations": told })
}

/// The number, off by up to one per cent.
fn about(number: usize, salt: u64) -> usize {
    let hundredths = usize::try_from(scramble(salt) % 201).unwrap_or(100);
    number * (9_900 + hundredths) / 10_000
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The page's size and number: 1 of 25 unless told.
/// How many on a page, and which page, counted from one.
pub(super) fn paging(paging: &Value, switches: &Switches) -> Result<(usize, usize), Refusal> {
    let refusal = |sentence: String| Refusal::bad_request("general.bad.request", sentence);
    let number = |name: &str, default: u64| match &paging[name] {
        Value::Null => Ok(default),
        given => given
            .as_u64()
            .filter(|given| *given > 0)
            .ok_or_else(|| refusal(format!("The {name} must be greater than zero."))),
    };
    let (size, page) = (number("pageSize", 25)?, number("pageNumber", 1)?);
    if size > switches.max_page_size {
        return Err(refusal(format!(
            "The pageSize may not exceed {}.",
            switches.max_page_size
        )));
    }
    if size.saturating_mul(page) > switches.max_pagination_depth {
        let limit = switches.max_pagination_depth;
        let tip = "Tip: narrow the interval or add filters to get fewer results.";
        return Err(refusal(format!("Pagination may not exceed {limit} results. {tip}")));
    }
    let narrow = |number: u64| usize::try_from(number).map_err(|_| refusal("The paging is too large.".to_owned()));
    Ok((narrow(size)?, narrow(page)?))
}

/// What a job found, in order: put together once, as it is read page by page.
pub struct JobRows {
    days: Vec<Arc<Day>>,
    /// Day, and place among its conversations.
    places: Vec<(usize, usize)>,
    as_of: i64,
}

impl JobRows {
    /// Those of them, and whether there are more.
    pub(super) fn page(&self, directory: &Directory, wanted: Range<usize>) -> (Vec<Value>, bool) {
        let past = wanted.end.min(self.places.len());
        let shown = self.places[wanted.start.min(past)..past].iter().map(|(day, place)| {
            let seen = Seen {
                conversation: &self.days[*day].conversations[*place],
                directory,
                now: self.as_of,
            };
            seen.json_of_job()
        });
        (shown.collect(), past < self.places.len())
    }
}

impl fmt::Debug for JobRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("JobRows").field(&self.places.len()).finish()
    }
}

/// A conversation as far as it can be seen.
struct Seen<'a> {
    conversation: &'a Conversation,
    directory: &'a Directory,
    now: i64,
}

impl<'a> Seen<'a> {
    fn passes(&self, filter: &Filter) -> bool {
        filter.holds(&mut |predicate: &Predicate| match &predicate.subject {
            Subject::Metric(metric) => predicate.meets_number(self.metric_values(metric).into_iter()),
            Subject::Dimension(None) => predicate.meets(&[]),
            Subject::Dimension(Some(dimension)) => predicate.meets(&self.conversation_values(*dimension)),
        })
    }

    /// Whether one and the same segment passes.
    fn has_segment(&self, filter: &Filter) -> bool {
        self.segments().any(|(position, segment)| {
            filter.holds(&mut |predicate: &Predicate| match &predicate.subject {
                Subject::Metric(_) => {
                    let over = (segment.end <= self.now).then_some(segment.end - segment.start);
                    predicate.meets_number(over.into_iter())
                }
                Subject::Dimension(None) => predicate.meets(&[]),
                Subject::Dimension(Some(dimension)) => {
                    predicate.meets(&self.segment_values(*dimension, position, segment))
                }
            })
        })
    }

    /// The segments that can be seen, each with its session's position.
    fn segments(&self) -> impl Iterator<Item = (usize, &'a Segment)> {
        let now = self.now;
        let sessions = self.conversation.sessions.iter().enumerate();
        sessions.flat_map(move |(position, session)| {
            let shown = session
                .segments
                .iter()
                .filter(move |segment| session.shows(segment, now));
            shown.map(move |segment| (position, segment))
        })
    }

    fn last_segment_end(&self) -> Option<i64> {
        self.segments()
            .map(|(_, segment)| segment.end)
            .filter(|end| *end <= self.now)
            .max()
    }

    fn conversation_values(&self, dimension: Dimension) -> Vec<Atom<'a>> {
        match dimension {
            Dimension::ConversationEnd => self.conversation.end(self.now).map(Atom::Instant).into_iter().collect(),
            Dimension::DivisionId => self.divisions().into_iter().collect(),
            _ => self.values(dimension, 0, None),
        }
    }

    fn segment_values(&self, dimension: Dimension, position: usize, segment: &Segment) -> Vec<Atom<'a>> {
        match dimension {
            Dimension::DisconnectType | Dimension::SegmentEnd | Dimension::WrapUpCode if segment.end > self.now => {
                Vec::new()
            }
            _ => self.values(dimension, position, Some(segment)),
        }
    }

    fn values(&self, dimension: Dimension, session: usize, segment: Option<&Segment>) -> Vec<Atom<'a>> {
        let place = Place {
            session,
            segment,
            about: match segment {
                Some(segment) if segment.kind == SegmentKind::Wrapup => About::WrapUp,
                _ => About::Session,
            },
        };
        let mut values = Vec::new();
        self.conversation.values(dimension, place, self.directory, &mut values);
        values
    }

    fn metric_values(&self, metric: &str) -> Vec<i64> {
        if metric == "tConversationDuration" {
            let duration = self.conversation.end(self.now).map(|end| end - self.conversation.start);
            return duration.into_iter().collect();
        }
        let wanted = Metric::parse(metric).filter(|metric| metric.in_details());
        let emissions = self
            .conversation
            .sessions
            .iter()
            .flat_map(|session| self.emissions(session));
        emissions
            .filter(|(metric, ..)| Some(*metric) == wanted)
            .map(|(_, _, value)| value)
            .collect()
    }

    /// The metric events of a session that can be seen: metric, instant, value.
    fn emissions(&self, session: &'a Session) -> impl Iterator<Item = (Metric, i64, i64)> {
        let now = self.now;
        let seen = move |emission: &&super::conversation::Emission| {
            emission.metric.in_details() && session.visible_at(emission) <= now
        };
        session
            .emissions
            .iter()
            .filter(seen)
            .map(|emission| (emission.metric, emission.at, emission.value))
    }

    fn divisions(&self) -> BTreeSet<Atom<'a>> {
        let sessions: BTreeSet<usize> = self.segments().map(|(position, _)| position).collect();
        let division = |position: usize| self.conversation.sessions[position].division(self.directory);
        let divisions = sessions.into_iter().map(|position| usize::from(division(position)));
        divisions
            .map(|division| Atom::Id(self.directory.divisions[division].id))
            .collect()
    }

    /// As jobs tell it: with the attributes of participants.
    fn json_of_job(&self) -> Value {
        let mut json = self.json();
        for participant in json["participants"].as_array_mut().into_iter().flatten() {
            if participant["purpose"] == "customer" {
                participant["attributes"] = json!({ "Intent": "billing", "accountTier": "gold" });
            }
        }
        json
    }

    fn json(&self) -> Value {
        let told = self.conversation;
        let divisions: Vec<_> = self.divisions().iter().map(ToString::to_string).collect();
        let first = |dimension| self.values(dimension, 0, None).first().map(ToString::to_string);
        let mut json = Json::default();
        json.set("conversationId", told.id.to_string());
        json.set("conversationStart", iso(told.start));
        json.set_some("conversationEnd", told.end(self.now).map(iso));
        json.set_some("conversationInitiator", first(Dimension::ConversationInitiator));
        json.set("customerParticipation", true);
        json.set("originatingDirection", told.originating.word());
        json.set("divisionIds", divisions);
        if told.sessions[0].media == Media::Voice {
            let (_, random) = told.id.as_u64_pair();
            json.set("mediaStatsMinConversationMos", 4.0 + (random % 900) as f64 / 1_000.0);
            json.set("mediaStatsMinConversationRFactor", 80.0 + (random % 131) as f64 / 10.0);
        }
        let participants = (0..told.sessions.len()).filter_map(|position| self.participant(position));
        json.set("participants", participants.collect::<Vec<_>>());
        json.0.into()
    }

    /// A participant with its one session; none before its first segment begins.
    fn participant(&self, position: usize) -> Option<Value> {
        let told = self.conversation;
        let session = &told.sessions[position];
        let segments: Vec<_> = session
            .segments
            .iter()
            .filter(|segment| session.shows(segment, self.now))
            .map(|segment| self.segment(session, segment))
            .collect();
        if segments.is_empty() {
            return None;
        }
        let user = session
            .user
            .map(|user| self.directory.users[usize::from(user)].id.to_string());
        let contact = self.values(Dimension::ExternalContactId, position, None);
        let mut json = Json::default();
        json.set("participantId", told.participant_id(position).to_string());
        let name = participant_name(session, told.customer, self.directory);
        json.set_some("participantName", name);
        json.set("purpose", session.purpose.word());
        json.set_some("userId", user);
        json.set_some("externalContactId", contact.first().map(ToString::to_string));
        json.set("sessions", vec![self.session(position, session, segments)]);
        Some(json.0.into())
    }

    fn session(&self, position: usize, session: &'a Session, segments: Vec<Value>) -> Value {
        let told = self.conversation;
        let customer = &self.directory.customers[usize::from(told.customer)];
        let mut json = Json::default();
        json.set("sessionId", told.session_id(position).to_string());
        json.set("mediaType", session.media.word());
        json.set("direction", session.direction.word());
        json.set("provider", session.media.provider());
        if session.purpose != Purpose::Customer {
            let other = told
                .sessions
                .iter()
                .position(|session| session.purpose == Purpose::Customer);
            json.set_some("peerId", other.map(|other| told.session_id(other).to_string()));
        }
        match session.media {
            Media::Voice => {
                json.set("ani", customer.phone.as_str());
                json.set("dnis", SERVICE_NUMBER);
                json.set("sessionDnis", SERVICE_NUMBER);
                json.set("recording", true);
            }
            Media::Email => {
                json.set("addressFrom", customer.email.as_str());
                json.set("addressTo", SERVICE_ADDRESS);
            }
            Media::Message => json.set("messageType", "webmessaging"),
            Media::Callback => {
                json.set("callbackNumbers", vec![customer.phone.as_str()]);
                json.set("callbackUserName", customer.name.as_str());
            }
            Media::Chat => {}
        }
        if !self.values(Dimension::UsedRouting, position, None).is_empty() {
            json.set("requestedRoutings", vec!["Standard"]);
            json.set("usedRouting", "Standard");
        }
        let over = session.segments.iter().all(|segment| segment.end <= self.now);
        json.set_some("flowOutType", session.flow_out.filter(|_| over));
        if let Some(flow) = session.flow {
            json.set("flow", self.flow(session, flow, over));
        }
        json.set("segments", segments);
        let metrics: Vec<_> = self
            .emissions(session)
            .map(|(metric, at, value)| json!({ "name": metric.word(), "value": value, "emitDate": iso(at) }))
            .collect();
        json.set_some("metrics", (!metrics.is_empty()).then_some(metrics));
        json.0.into()
    }

    fn flow(&self, session: &Session, flow: u8, over: bool) -> Value {
        let flow = &self.directory.flows[usize::from(flow)];
        let mut json = Json::default();
        json.set("flowId", flow.id.to_string());
        json.set("flowName", flow.name);
        json.set("flowType", flow.kind);
        json.set("flowVersion", FLOW_VERSION);
        json.set("entryReason", SERVICE_NUMBER);
        json.set("entryType", FLOW_ENTRY_TYPE);
        json.set("startingLanguage", FLOW_LANGUAGE);
        if over {
            let left = session.emitted(Metric::TFlowExit);
            json.set("endingLanguage", FLOW_LANGUAGE);
            json.set("exitReason", session.exit_reason());
            json.set_some("transferType", left.then_some(FLOW_TRANSFER_TYPE));
        }
        json.0.into()
    }

    fn segment(&self, session: &Session, segment: &Segment) -> Value {
        let over = segment.end <= self.now;
        let directory = self.directory;
        let mut json = Json::default();
        json.set("segmentStart", iso(segment.start));
        json.set_some("segmentEnd", over.then(|| iso(segment.end)));
        json.set("segmentType", segment.kind.word());
        json.set("conference", false);
        let queue = session
            .queue
            .map(|queue| directory.queues[usize::from(queue)].id.to_string());
        json.set_some("queueId", queue);
        let disconnect = segment.disconnect.filter(|_| over);
        json.set_some("disconnectType", disconnect.map(super::conversation::Disconnect::word));
        let skills: Vec<_> = (0..8)
            .filter(|index| session.skills & (1 << index) != 0)
            .map(|index: usize| directory.skills[index].id.to_string())
            .collect();
        json.set_some("requestedRoutingSkillIds", (!skills.is_empty()).then_some(skills));
        let language = session
            .language
            .map(|language| directory.languages[usize::from(language)].id.to_string());
        json.set_some("requestedLanguageId", language);
        let wrap_up = session.wrap_up.filter(|_| over && segment.kind == SegmentKind::Wrapup);
        let code = wrap_up.map(|code| directory.wrap_up_codes[usize::from(code)].id.to_string());
        json.set_some("wrapUpCode", code);
        json.0.into()
    }
}

/// A JSON object in the making; what is absent is left out, never null.
#[derive(Default)]
struct Json(Map<String, Value>);

impl Json {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn set_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }
}

/// Counts beside the page: how many conversations have each value of a dimension, or a metric within each range.
fn aggregate(aggregation: &Value, rows: &[Seen<'_>]) -> Value {
    let mut json = Json::default();
    for name in ["type", "dimension", "metric"] {
        json.set_some(name, aggregation.get(name).cloned());
    }
    let (count, results) = match aggregation["type"].as_str() {
        Some("numericRange") => ranges(aggregation, rows),
        _ => terms(aggregation, rows),
    };
    json.set("count", count);
    json.set("results", results);
    json.0.into()
}

fn terms(aggregation: &Value, rows: &[Seen<'_>]) -> (usize, Vec<Value>) {
    let dimension = aggregation["dimension"].as_str().and_then(Dimension::parse);
    let size = aggregation["size"]
        .as_u64()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(10);
    let (mut counted, mut counts) = (0, BTreeMap::<String, usize>::new());
    for seen in rows {
        let values: BTreeSet<_> = dimension
            .map(|dimension| seen.all_values(dimension))
            .unwrap_or_default();
        counted += usize::from(!values.is_empty());
        for value in values {
            *counts.entry(value.to_string()).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(size);
    let results = counts
        .into_iter()
        .map(|(value, count)| json!({ "value": value, "count": count }));
    (counted, results.collect())
}

fn ranges(aggregation: &Value, rows: &[Seen<'_>]) -> (usize, Vec<Value>) {
    let metric = aggregation["metric"].as_str().unwrap_or_default();
    let values: Vec<Vec<i64>> = rows.iter().map(|seen| seen.all_metric_values(metric)).collect();
    let counted = values.iter().filter(|values| !values.is_empty()).count();
    let within = |range: &Value| {
        let (gte, lt) = (range["gte"].as_f64(), range["lt"].as_f64());
        let inside = |value: &i64| {
            let value = *value as f64;
            gte.is_none_or(|bound| value >= bound) && lt.is_none_or(|bound| value < bound)
        };
        let count = values.iter().filter(|values| values.iter().any(inside)).count();
        let mut json = Json::default();
        json.set("count", count);
        json.set_some("gte", range.get("gte").cloned());
        json.set_some("lt", range.get("lt").cloned());
        Value::from(json.0)
    };
    (counted, list(&aggregation["ranges"]).iter().map(within).collect())
}

impl<'a> Seen<'a> {
    /// The conversation's values and those of all its segments.
    fn all_values(&self, dimension: Dimension) -> BTreeSet<Atom<'a>> {
        match dimension {
            Dimension::ConversationEnd | Dimension::DivisionId => {
                self.conversation_values(dimension).into_iter().collect()
            }
            _ => self
                .segments()
                .flat_map(|(position, segment)| self.segment_values(dimension, position, segment))
                .collect(),
        }
    }

    fn all_metric_values(&self, metric: &str) -> Vec<i64> {
        if metric == "tSegmentDuration" {
            let over = self.segments().filter(|(_, segment)| segment.end <= self.now);
            return over.map(|(_, segment)| segment.end - segment.start).collect();
        }
        self.metric_values(metric)
    }
}
