//! A simulated organisation: what happened in it, and what the platform would answer about that.
//!
//! Everything follows from the seed. What happened on a UTC day is a pure function of (seed, day), made when first
//! asked for and kept while there is room, so that any slice of a range equals that slice of the whole and a process
//! started tomorrow remembers the same yesterday. `now` only decides how much of it can be seen yet.
//!
//! Bodies are expected to have the schema's shape already; what a schema cannot decide is refused here.

mod aggregates;
mod assessments;
mod calendar;
mod consequences;
mod conversation;
mod details;
mod dice;
mod directory;
mod filter;
mod generation;
mod injection;
mod listings;
mod queue_observations;
pub(super) mod rate_limits;
mod timeline;
mod user_aggregates;
mod user_details;
mod user_observations;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::refusal::Refusal;
use conversation::{About, Conversation, Dimension, Family, Place};
use directory::Directory;
use generation::{DAY_MS, LONGEST_DAYS, STRETCHED_DAYS};

pub use details::JobRows;
pub use injection::Injection;
pub use listings::Listing;
pub use timeline::UserPeriod;

/// A deterministic organisation with everything that ever happened in it.
pub struct Organisation {
    options: OrganisationOptions,
    directory: Arc<Directory>,
    days: Mutex<Days>,
}

/// What an organisation is made from.
#[derive(Clone, Debug)]
pub struct OrganisationOptions {
    /// Decides everything that happens.
    pub seed: u64,
    /// The first instant with data; counts from its UTC midnight.
    pub start: Timestamp,
    /// How many conversations start on a day, on average over a week.
    pub conversations_per_day: u32,
    /// The share, 0.0 to 1.0, of conversations whose wrap-up is seen only up to 48 hours after it was done.
    pub late_share: f64,
}

/// The answers on which the platform's documents are silent, contradictory or unverified, and its limits.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent behaviour of the platform"
)]
pub struct Switches {
    /// Every aggregate group tells its `mediaType`, asked for or not.
    pub media_type_in_every_group: bool,
    /// An aggregate without data is `{}` instead of `{"results": []}`.
    pub empty_aggregates_without_results: bool,
    /// Buckets are counted from the interval's start instead of lying on the zone's hours and days.
    pub buckets_from_start: bool,
    /// An aggregate over more buckets than this is refused.
    pub max_aggregate_buckets: Option<usize>,
    /// Larger pages of details are refused.
    pub max_page_size: u64,
    /// Details over more days than this are refused.
    pub max_details_interval_days: i64,
    /// Details over more days than this are refused when the query has no filter.
    pub max_unfiltered_details_interval_days: Option<i64>,
    /// Details past this many rows (page size times page number) are refused.
    pub max_pagination_depth: u64,
    /// `totalHits` is off by up to one per cent once there is more than one page.
    pub approximate_total_hits: bool,
    /// Now and then a page of details begins with the last row of the page before.
    pub repeated_rows: bool,
    /// Now and then a page of details is one row short although more follow.
    pub short_pages: bool,
    /// Filter values match in either case.
    pub values_ignore_case: bool,
    /// Jobs end in failure.
    pub failing_jobs: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            media_type_in_every_group: true,
            empty_aggregates_without_results: false,
            buckets_from_start: false,
            max_aggregate_buckets: None,
            max_page_size: 100,
            max_details_interval_days: 31,
            max_unfiltered_details_interval_days: None,
            max_pagination_depth: 100_000,
            approximate_total_hits: true,
            repeated_rows: false,
            short_pages: false,
            values_ignore_case: false,
            failing_jobs: false,
        }
    }
}

impl Organisation {
    /// The organisation those options describe. Cheap: its days are made when asked for.
    pub fn new(options: OrganisationOptions) -> Self {
        Self::remembering(options, REMEMBERED_CONVERSATIONS)
    }

    fn remembering(options: OrganisationOptions, conversations: usize) -> Self {
        Self {
            directory: Arc::new(Directory::new(options.seed)),
            days: Mutex::new(Days::with_room_for(conversations)),
            options,
        }
    }

    /// `POST /api/v2/analytics/conversations/aggregates/query`.
    pub fn aggregates(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        self.aggregates_of(Family::Conversations, body, now, switches)
    }

    /// `POST /api/v2/analytics/flows/aggregates/query`.
    pub fn flow_aggregates(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        self.aggregates_of(Family::Flows, body, now, switches)
    }

    /// `POST /api/v2/analytics/evaluations/aggregates/query`.
    pub fn evaluation_aggregates(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        self.aggregates_of(Family::Evaluations, body, now, switches)
    }

    /// `POST /api/v2/analytics/surveys/aggregates/query`.
    pub fn survey_aggregates(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        self.aggregates_of(Family::Surveys, body, now, switches)
    }

    /// `POST /api/v2/analytics/<family>/aggregates/query` of the families that count what else comes of conversations.
    pub fn family_aggregates(
        &self,
        family: &str,
        body: &Value,
        now: Timestamp,
        switches: &Switches,
    ) -> Result<Value, Refusal> {
        let family = Family::parse(family);
        let family = family.ok_or_else(|| Refusal::bad_request("bad.request", "There is no such family."))?;
        self.aggregates_of(family, body, now, switches)
    }

    fn aggregates_of(
        &self,
        family: Family,
        body: &Value,
        now: Timestamp,
        switches: &Switches,
    ) -> Result<Value, Refusal> {
        let question = aggregates::Question::parse(family, body, switches)?;
        let now = now.as_millisecond();
        let Range { start, end } = question.buckets.interval;
        let start = start - question.days_looked_back() * DAY_MS;
        let days = self.days_emitting(start, end.min(now + 1));
        Ok(question.answer(days, &self.shape(), now, switches))
    }

    /// `POST /api/v2/analytics/conversations/details/query`.
    pub fn details(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        let question = details::Question::parse(body, switches)?;
        let days: Vec<_> = question.days().filter_map(|day| self.day(day)).collect();
        Ok(question.answer(&days, &self.directory, now.as_millisecond(), switches))
    }

    /// `GET /api/v2/analytics/conversations/details?id=…`: those there are, in no particular order.
    pub fn details_by_id(&self, params: &[(String, String)], now: Timestamp) -> Result<Value, Refusal> {
        let wanted = details::wanted(params)?;
        let today = now.as_millisecond().div_euclid(DAY_MS);
        let recent = (today - LONGEST_DAYS..=today).rev().filter_map(|day| self.day(day));
        let stretched = (self.first_day()..today - LONGEST_DAYS).filter_map(|day| self.stretched(day));
        // What ended long ago is looked for last, as the days before have to be made for it.
        let others = (self.first_day()..today - LONGEST_DAYS)
            .rev()
            .filter_map(|day| self.day(day));
        let days = recent.chain(stretched).chain(others);
        Ok(details::by_id(wanted, days, &self.directory, now.as_millisecond()))
    }

    /// The rows of a job of `POST /api/v2/analytics/conversations/details/jobs` over data as of an instant: conversations active in the interval, or with `startOfDayIntervalMatching` those that also
    /// started on its days. With what participants are known by, which no query tells.
    pub fn details_job(&self, body: &Value, as_of: Timestamp, switches: &Switches) -> Result<JobRows, Refusal> {
        let question = details::Question::of_job(body, switches)?;
        let days = question.days_active().filter_map(|day| self.day(day)).collect();
        Ok(question.rows(days, &self.directory, as_of.as_millisecond()))
    }

    /// Some of a job's rows, and whether there are more.
    pub fn job_page(&self, rows: &JobRows, wanted: Range<usize>) -> (Vec<Value>, bool) {
        rows.page(&self.directory, wanted)
    }

    /// `POST /api/v2/analytics/users/aggregates/query`.
    pub fn user_aggregates(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        let question = user_aggregates::Question::parse(body, switches)?;
        let timelines = self.timelines(question.interval().clone(), now, |user| {
            question.wants(user, &self.directory)
        });
        Ok(question.answer(&timelines, &self.directory, switches))
    }

    /// `POST /api/v2/analytics/users/details/query`.
    pub fn user_details(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        let question = user_details::Question::parse(body, switches)?;
        Ok(question.answer(&self.user_rows(&question, now)))
    }

    /// The rows of a job of `POST /api/v2/analytics/users/details/jobs` over data as of an instant, by user.
    pub fn user_details_job(&self, body: &Value, as_of: Timestamp, switches: &Switches) -> Result<Vec<Value>, Refusal> {
        let question = user_details::Question::of_job(body, switches)?;
        Ok(self.user_rows(&question, as_of))
    }

    fn user_rows(&self, question: &user_details::Question, now: Timestamp) -> Vec<Value> {
        let timelines = self.timelines(question.range(), now, |user| question.wants(user, &self.directory));
        question.rows(&timelines, &self.directory, now.as_millisecond())
    }

    /// `POST /api/v2/analytics/queues/observations/query`.
    pub fn queue_observations(&self, body: &Value, now: Timestamp, switches: &Switches) -> Result<Value, Refusal> {
        let question = queue_observations::Question::parse(body, switches)?;
        let queues = question.queues(&self.directory);
        let serves = |user: usize| {
            let mut members = queues.iter().flat_map(|queue| &self.directory.queues[*queue].members);
            members.any(|member| usize::from(*member) == user)
        };
        let users = self.users_now(now, question.wants_users_in_detail(), serves);
        let now = now.as_millisecond();
        Ok(question.answer(self.days_emitting(now, now + 1), &users, &self.directory, now))
    }

    /// `POST /api/v2/analytics/users/observations/query`. Members never change, so that it is the same at any time.
    pub fn user_observations(&self, body: &Value, switches: &Switches) -> Result<Value, Refusal> {
        let question = user_observations::Question::parse(body, switches)?;
        Ok(question.answer(&self.directory))
    }

    /// What the users that `wanted` takes are at `now`: the period that holds it, cut after it. With `since` it begins
    /// where it really began; otherwise it may be cut before as well.
    fn users_now(
        &self,
        now: Timestamp,
        since: bool,
        wanted: impl Fn(usize) -> bool,
    ) -> BTreeMap<usize, timeline::Period> {
        let next = timestamp(now.as_millisecond() + 1);
        let beginning = self.first_day() * DAY_MS;
        let mut days_back = 0;
        loop {
            let start = (now.as_millisecond() - days_back * DAY_MS).max(beginning);
            let timelines = self.timelines(start..next.as_millisecond(), next, &wanted);
            let last = timelines
                .into_iter()
                .filter_map(|(user, mut periods)| Some((user, periods.pop()?)));
            let users: BTreeMap<_, _> = last.collect();
            let cut = users.values().any(|period| period.span.start == start);
            if !since || !cut || start == beginning {
                return users;
            }
            days_back = days_back * 2 + 4;
        }
    }

    /// One page of a listing such as `GET /api/v2/routing/queues`, with `path` in its links.
    pub fn listing(&self, listing: Listing, params: &[(String, String)], path: &str) -> Result<Value, Refusal> {
        listings::page(&self.directory, listing, params, path)
    }

    /// The metric events of the conversation family emitted in `[start, end)` and visible at `now`: what aggregates
    /// are sums of. `oServiceLevel` appears with value 1 for answered in time and 0 for the rest of its denominator;
    /// `tWait` appears once for everything that left a queue; `nConversations` and `oServiceTarget` never.
    pub fn events(&self, start: Timestamp, end: Timestamp, now: Timestamp) -> Vec<Event> {
        self.events_of(Family::Conversations, start, end, now)
    }

    /// The metric events of the flow family, likewise.
    pub fn flow_events(&self, start: Timestamp, end: Timestamp, now: Timestamp) -> Vec<Event> {
        self.events_of(Family::Flows, start, end, now)
    }

    /// What happened to surveys in `[start, end)`, as far as it can be seen at `now`. Of dimensions they have those of the
    /// conversation they are about, and none of their own.
    pub fn survey_events(&self, start: Timestamp, end: Timestamp, now: Timestamp) -> Vec<Event> {
        let (start, end, now) = (start.as_millisecond(), end.as_millisecond(), now.as_millisecond());
        let mut events = Vec::new();
        for day in self.days_emitting(start - assessments::ASSESSED_DAYS * DAY_MS, end) {
            for (conversation, told) in day.conversations.iter().enumerate() {
                let Some(survey) = assessments::survey(self.options.seed, told) else {
                    continue;
                };
                let emissions = survey.events.iter().map(|event| &event.emission);
                let seen = emissions.filter(|emission| (start..end).contains(&emission.at) && emission.at <= now);
                events.extend(seen.map(|emission| Event {
                    metric: emission.metric.word(),
                    value: emission.value,
                    emitted_at: timestamp(emission.at),
                    visible_at: timestamp(emission.at),
                    conversation_id: told.id.to_string(),
                    about: About::WrapUp,
                    place: (Arc::clone(&day), conversation, survey.session),
                    directory: Arc::clone(&self.directory),
                }));
            }
        }
        events
    }

    fn events_of(&self, family: Family, start: Timestamp, end: Timestamp, now: Timestamp) -> Vec<Event> {
        let (start, end, now) = (start.as_millisecond(), end.as_millisecond(), now.as_millisecond());
        let mut events = Vec::new();
        for day in self.days_emitting(start, end) {
            for (conversation, told) in day.conversations.iter().enumerate() {
                for (session, part) in told.sessions.iter().enumerate() {
                    let seen = part.emissions.iter().filter(|emission| {
                        let inside = (start..end).contains(&emission.at) && part.visible_at(emission) <= now;
                        inside && emission.metric.family() == family
                    });
                    events.extend(seen.map(|emission| Event {
                        metric: emission.metric.word(),
                        value: emission.value,
                        emitted_at: timestamp(emission.at),
                        visible_at: timestamp(part.visible_at(emission)),
                        conversation_id: told.id.to_string(),
                        about: emission.metric.about(),
                        place: (Arc::clone(&day), conversation, session),
                        directory: Arc::clone(&self.directory),
                    }));
                }
            }
        }
        events
    }

    /// What the user did in `[start, end)` as far as can be seen at `now`, in order and without gap: what user
    /// aggregates are sums of. Empty when there is no such user.
    pub fn user_periods(&self, user_id: &str, start: Timestamp, end: Timestamp, now: Timestamp) -> Vec<UserPeriod> {
        let id = Uuid::try_parse(user_id).ok();
        let range = start.as_millisecond()..end.as_millisecond();
        let timelines = self.timelines(range, now, |user| Some(self.directory.users[user].id) == id);
        let periods = timelines.into_iter().flat_map(|(_, periods)| periods);
        periods
            .map(|period| UserPeriod {
                start: timestamp(period.span.start),
                end: timestamp(period.span.end),
                system_presence: self.directory.presences[period.presence].system.word(),
                organization_presence_id: self.directory.presences[period.presence].id,
                routing_status: period.status.word(),
            })
            .collect()
    }

    /// The conversations that started in `[start, end)` and can be seen at `now`, in order of their start: id, start,
    /// and end unless still running.
    pub fn conversations_started(
        &self,
        start: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Vec<(String, Timestamp, Option<Timestamp>)> {
        let (start, end, now) = (start.as_millisecond(), end.as_millisecond(), now.as_millisecond());
        let days = (start.div_euclid(DAY_MS)..=(end - 1).div_euclid(DAY_MS)).filter_map(|day| self.day(day));
        let mut started = Vec::new();
        for day in days {
            let seen = day
                .conversations
                .iter()
                .filter(|told| (start..end).contains(&told.start) && told.start <= now);
            started.extend(seen.map(|told| (told.id.to_string(), timestamp(told.start), told.end(now).map(timestamp))));
        }
        started
    }

    /// What the users that `wanted` takes did in the range, from the organisation's beginning and before `now`.
    fn timelines(
        &self,
        range: Range<i64>,
        now: Timestamp,
        wanted: impl FnMut(usize) -> bool,
    ) -> Vec<(usize, Vec<timeline::Period>)> {
        let range = range.start.max(self.first_day() * DAY_MS)..range.end.min(now.as_millisecond());
        if range.is_empty() {
            return Vec::new();
        }
        let days = self.days_emitting(range.start - timeline::LINGERING_MS, range.end);
        timeline::timelines(self.options.seed, &self.directory, days, &range, wanted)
    }

    /// The days whose conversations can have emitted something in `[start, end)`, earliest first.
    fn days_emitting(&self, start: i64, end: i64) -> impl Iterator<Item = Arc<Day>> {
        let (first, last) = (start.div_euclid(DAY_MS), (end - 1).div_euclid(DAY_MS));
        let far = (first - STRETCHED_DAYS..first - LONGEST_DAYS).filter_map(|day| self.stretched(day));
        let near = (first - LONGEST_DAYS..=last).filter_map(|day| self.day(day));
        far.chain(near)
    }

    /// What started on that day (counted from the epoch); none before there is data.
    fn day(&self, number: i64) -> Option<Arc<Day>> {
        if number < self.first_day() {
            return None;
        }
        if let Some(day) = self.days().get(number) {
            return Some(day);
        }
        let day = Arc::new(Day {
            conversations: generation::conversations_of(&self.shape(), number),
        });
        self.days().keep(number, &day);
        Some(day)
    }

    /// The part of a day that can still matter weeks later.
    fn stretched(&self, number: i64) -> Option<Arc<Day>> {
        if number < self.first_day() {
            return None;
        }
        let conversations: Vec<_> = match self.days().get(number) {
            Some(day) => day
                .conversations
                .iter()
                .filter(|told| told.stretched)
                .cloned()
                .collect(),
            None => generation::stretched_of(&self.shape(), number).into_iter().collect(),
        };
        (!conversations.is_empty()).then(|| Arc::new(Day { conversations }))
    }

    fn first_day(&self) -> i64 {
        self.options.start.as_millisecond().div_euclid(DAY_MS)
    }

    fn shape(&self) -> generation::Shape<'_> {
        generation::Shape {
            seed: self.options.seed,
            directory: &self.directory,
            conversations_per_day: self.options.conversations_per_day,
            late_share: self.options.late_share,
        }
    }

    fn days(&self) -> MutexGuard<'_, Days> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Organisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Organisation")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A metric event, for oracles in tests.
pub struct Event {
    /// The platform's name of the metric.
    pub metric: &'static str,
    /// Milliseconds for timers, 1 for counters.
    pub value: i64,
    /// When it was emitted: what an aggregate's interval is about.
    pub emitted_at: Timestamp,
    /// Since when it can be seen.
    pub visible_at: Timestamp,
    /// The conversation it belongs to.
    pub conversation_id: String,
    about: About,
    place: (Arc<Day>, usize, usize),
    directory: Arc<Directory>,
}

impl Event {
    /// The event's values for a dimension by its platform name: none, one or several.
    pub fn values(&self, dimension: &str) -> Vec<String> {
        let (day, conversation, session) = &self.place;
        let place = Place {
            session: *session,
            segment: None,
            about: self.about,
        };
        let mut values = Vec::new();
        if let Some(dimension) = Dimension::parse(dimension) {
            day.conversations[*conversation].values(dimension, place, &self.directory, &mut values);
        }
        values.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}={} of {}",
            self.emitted_at, self.metric, self.value, self.conversation_id
        )
    }
}

/// What started on one UTC day, in order of (start, id).
struct Day {
    conversations: Vec<Conversation>,
}

impl AsRef<Day> for Day {
    fn as_ref(&self) -> &Day {
        self
    }
}

/// Days made so far: the least recently asked for are forgotten first, those changed by a test never.
struct Days {
    /// Each with the number of the use it was last asked for in.
    made: HashMap<i64, (Arc<Day>, u64)>,
    changed: HashMap<i64, Arc<Day>>,
    /// How many conversations `made` holds, and may hold.
    conversations: usize,
    room: usize,
    uses: u64,
}

/// How many conversations are remembered, at about 1.3 kilobytes each.
const REMEMBERED_CONVERSATIONS: usize = 150_000;

impl Days {
    fn with_room_for(conversations: usize) -> Self {
        Self {
            made: HashMap::new(),
            changed: HashMap::new(),
            conversations: 0,
            room: conversations,
            uses: 0,
        }
    }

    fn get(&mut self, number: i64) -> Option<Arc<Day>> {
        if let Some(day) = self.changed.get(&number) {
            return Some(Arc::clone(day));
        }
        self.uses += 1;
        let (day, used) = self.made.get_mut(&number)?;
        *used = self.uses;
        Some(Arc::clone(day))
    }

    fn keep(&mut self, number: i64, day: &Arc<Day>) {
        self.uses += 1;
        self.conversations += day.conversations.len();
        if let Some((before, _)) = self.made.insert(number, (Arc::clone(day), self.uses)) {
            self.conversations -= before.conversations.len();
        }
        while self.conversations > self.room && self.made.len() > 1 {
            let oldest = self
                .made
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(number, _)| *number);
            let Some((forgotten, _)) = oldest.and_then(|oldest| self.made.remove(&oldest)) else {
                break;
            };
            self.conversations -= forgotten.conversations.len();
        }
    }
}

fn timestamp(instant: i64) -> Timestamp {
    Timestamp::from_millisecond(instant).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
