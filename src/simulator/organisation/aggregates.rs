//! `POST <family>/aggregates/query` of all families but users: sums over metric events by the
//! instant they were emitted, or by another instant of evaluations and surveys.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::assessments::{self, ASSESSED_DAYS, Assessment};
use super::calendar::{self, Granularity, iso};
use super::consequences;
use super::conversation::{Atom, Conversation, Dimension, Emission, Family, Metric, Place};
use super::directory::Directory;
use super::filter::{Filter, Predicate, Subject};
use super::generation::Shape;
use super::{Day, Switches};
use crate::simulator::refusal::Refusal;

/// A plain bound on what one answer may hold in memory, far above any sensible query.
const BUCKETS_AT_MOST: usize = 1_000_000;
/// The platform takes this many views.
const VIEWS_AT_MOST: usize = 10;

/// What a query asks for, read and checked.
pub(super) struct Question<'q> {
    family: Family,
    time: Time,
    pub(super) buckets: Buckets,
    /// Without the dimensions for which nothing here has a value.
    group_by: Vec<Dimension>,
    flatten: bool,
    filter: Filter,
    columns: Vec<Column<'q>>,
    /// By the metric's position: which columns its events count in.
    columns_of: Vec<Vec<usize>>,
    ranking: Option<Ranking>,
}

/// The instant that decides whether an event is in the interval, and in which bucket.
#[derive(Clone, Copy)]
enum Time {
    Event,
    ConversationStart,
    Created,
    Released,
}

impl Time {
    fn parse(name: Option<&str>) -> Result<Self, Refusal> {
        match name {
            None | Some("eventTime") => Ok(Self::Event),
            Some("conversationStart") => Ok(Self::ConversationStart),
            Some("evaluationCreatedDate" | "surveyCreatedDate") => Ok(Self::Created),
            Some("evaluationReleaseDate") => Ok(Self::Released),
            Some(name) => {
                let sentence = format!("The alternateTimeDimension [{name}] is not supported.");
                Err(Refusal::bad_request("general.bad.request", sentence))
            }
        }
    }
}

/// One number wanted: a metric or a view of one.
struct Column<'q> {
    name: &'q str,
    metric: Metric,
    view: Option<View>,
    /// Wanted for ranking only.
    hidden: bool,
}

/// Only values inside these bounds count.
struct View {
    gte: Option<f64>,
    lt: Option<f64>,
}

/// topN and bottomN.
struct Ranking {
    column: usize,
    function: String,
    descending: bool,
    limit: usize,
}

impl<'q> Question<'q> {
    /// Reads a body of the right shape, or says what the platform would refuse in it.
    pub(super) fn parse(family: Family, body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let mut group_by: Vec<_> = strings(&body["groupBy"]).filter_map(Dimension::parse).collect();
        let add_media_type = family == Family::Conversations && switches.media_type_in_every_group;
        if add_media_type && !group_by.contains(&Dimension::MediaType) {
            group_by.push(Dimension::MediaType);
        }
        let mut columns = columns(body)?;
        let ranking = ranking(body, &mut columns)?;
        Ok(Self {
            family,
            time: Time::parse(body["alternateTimeDimension"].as_str())?,
            buckets: Buckets::parse(body, switches)?,
            group_by,
            flatten: body["flattenMultivaluedDimensions"].as_bool().unwrap_or(false),
            filter: Filter::parse(&body["filter"], switches.values_ignore_case)?,
            columns_of: columns_of(&columns),
            columns,
            ranking,
        })
    }

    /// How many days before the interval a conversation may have emitted its last event and still count.
    pub(super) fn days_looked_back(&self) -> i64 {
        match self.family {
            Family::Conversations | Family::Flows => 0,
            _ => ASSESSED_DAYS,
        }
    }

    /// The answer over days that include all that can have emitted anything in the interval.
    pub(super) fn answer(
        &self,
        days: impl Iterator<Item = impl AsRef<Day>>,
        shape: &Shape<'_>,
        now: i64,
        switches: &Switches,
    ) -> Value {
        let mut table = Table::default();
        for day in days {
            for conversation in &day.as_ref().conversations {
                let (seed, directory) = (shape.seed, shape.directory);
                let assessment = match self.family {
                    Family::Conversations | Family::Flows => {
                        self.count(conversation, directory, now, &mut table);
                        None
                    }
                    Family::Evaluations => assessments::evaluation(seed, directory, conversation),
                    Family::Surveys => assessments::survey(seed, conversation),
                    family => consequences::of(family, seed, conversation),
                };
                if let Some(assessment) = assessment {
                    self.count_assessment(conversation, &assessment, directory, now, &mut table);
                }
            }
        }
        let results = self.results(table);
        if results.is_empty() && switches.empty_aggregates_without_results {
            return json!({});
        }
        json!({ "results": results })
    }

    /// Adds what a conversation emitted to the table.
    fn count<'d>(&self, conversation: &Conversation, directory: &'d Directory, now: i64, table: &mut Table<'d>) {
        for (position, session) in conversation.sessions.iter().enumerate() {
            // All of a session's events about the same share their groups.
            let mut groups: [Option<Vec<usize>>; 5] = [const { None }; 5];
            let target = session
                .queue
                .map(|queue| directory.queues[usize::from(queue)].percentage);
            for emission in &session.emissions {
                let inside = self.buckets.interval.contains(&emission.at) && session.visible_at(emission) <= now;
                if !inside || !self.wants(emission.metric) {
                    continue;
                }
                let about = emission.metric.about();
                let place = Place {
                    session: position,
                    segment: None,
                    about,
                };
                let groups = groups[about as usize].get_or_insert_with(|| {
                    let values_of = |dimension, values: &mut Vec<Atom<'d>>| {
                        conversation.values(dimension, place, directory, values);
                    };
                    self.groups(&values_of, table)
                });
                let bucket = self.buckets.holding(emission.at);
                for group in groups.iter() {
                    let group = &mut table.groups[*group];
                    self.add(
                        conversation.id,
                        emission,
                        target,
                        group.buckets.entry(bucket).or_default(),
                    );
                    if self.ranking.is_some() {
                        self.add(conversation.id, emission, target, &mut group.whole);
                    }
                }
            }
        }
    }

    /// Adds what happened to an evaluation or a survey to the table.
    fn count_assessment<'d>(
        &self,
        conversation: &Conversation,
        assessment: &Assessment,
        directory: &'d Directory,
        now: i64,
        table: &mut Table<'d>,
    ) {
        for event in &assessment.events {
            let at = match self.time {
                Time::Event => Some(event.emission.at),
                Time::ConversationStart => Some(conversation.start),
                Time::Created => Some(assessment.created),
                Time::Released => assessment.released,
            };
            let inside = at.filter(|at| self.buckets.interval.contains(at) && event.emission.at <= now);
            let Some(at) = inside.filter(|_| self.wants(event.emission.metric)) else {
                continue;
            };
            let values_of = |dimension, values: &mut Vec<Atom<'d>>| {
                assessment.values(event, dimension, conversation, directory, values);
            };
            let bucket = self.buckets.holding(at);
            for group in self.groups(&values_of, table) {
                let cell = table.groups[group].buckets.entry(bucket).or_default();
                self.add(conversation.id, &event.emission, None, cell);
            }
        }
    }

    /// Whether any column counts such an event. `nConversations` counts all of its family.
    fn wants(&self, metric: Metric) -> bool {
        let counted = !self.columns_of(Metric::NConversations).is_empty() || !self.columns_of(metric).is_empty();
        counted && metric.family() == self.family
    }

    /// Adds one event to the columns it counts in.
    fn add(&self, conversation: Uuid, emission: &Emission, target: Option<f64>, cell: &mut Cell) {
        for column in self.columns_of(Metric::NConversations) {
            cell.column(*column).add_conversation(conversation);
        }
        for column in self.columns_of(emission.metric) {
            let view = self.columns[*column].view.as_ref();
            if view.is_none_or(|view| view.contains(emission.value)) {
                cell.column(*column).add(emission.value, target);
            }
        }
    }

    fn columns_of(&self, metric: Metric) -> &[usize] {
        self.columns_of.get(metric as usize).map_or(&[], Vec::as_slice)
    }

    /// The groups an event with these values counts in: none when the filter turns it away, several when a dimension
    /// has several values.
    fn groups<'d>(&self, values_of: &dyn Fn(Dimension, &mut Vec<Atom<'d>>), table: &mut Table<'d>) -> Vec<usize> {
        let mut values = Vec::new();
        let passes = self.filter.holds(&mut |predicate: &Predicate| {
            values.clear();
            match &predicate.subject {
                Subject::Dimension(Some(dimension)) => values_of(*dimension, &mut values),
                Subject::Dimension(None) | Subject::Metric(_) => {}
            }
            predicate.meets(&values)
        });
        if !passes {
            return Vec::new();
        }
        let mut keys: Vec<Key<'d>> = vec![Vec::with_capacity(self.group_by.len())];
        for dimension in &self.group_by {
            let mut values = Vec::new();
            values_of(*dimension, &mut values);
            keys = match (values.as_slice(), self.flatten) {
                ([], _) => extended(&keys, &[vec![]]),
                (_, true) => extended(&keys, &[values]),
                (_, false) => extended(&keys, &values.iter().map(|value| vec![*value]).collect::<Vec<_>>()),
            };
        }
        keys.into_iter().map(|key| table.group(key)).collect()
    }

    fn results(&self, mut table: Table<'_>) -> Vec<Value> {
        if let Some(ranking) = &self.ranking {
            ranking.keep_best(&mut table.groups);
        }
        let results = table.groups.iter().filter_map(|group| {
            let data: Vec<_> = group
                .buckets
                .iter()
                .filter_map(|(bucket, cell)| self.bucket(*bucket, cell))
                .collect();
            (!data.is_empty()).then(|| json!({ "group": self.group(&group.key), "data": data }))
        });
        results.collect()
    }

    fn group(&self, key: &Key<'_>) -> Map<String, Value> {
        let present = self.group_by.iter().zip(key).filter(|(_, values)| !values.is_empty());
        let printed = present.map(|(dimension, values)| {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            (dimension.word().to_owned(), values.join(",").into())
        });
        printed.collect()
    }

    /// One bucket of one group; none when nothing that was asked for happened in it.
    fn bucket(&self, bucket: usize, cell: &Cell) -> Option<Value> {
        let (mut metrics, mut views) = (Vec::new(), Vec::new());
        for (column, sum) in &cell.0 {
            let column = &self.columns[*column];
            let stats = (!column.hidden).then(|| sum.stats(column.metric)).flatten();
            match (stats, &column.view) {
                (Some(stats), Some(_)) => views.push(json!({ "name": column.name, "stats": stats })),
                (Some(stats), None) => metrics.push(json!({ "metric": column.name, "stats": stats })),
                (None, _) => {}
            }
        }
        if metrics.is_empty() && views.is_empty() {
            return None;
        }
        let mut data = Map::new();
        let interval = self.buckets.printed(bucket);
        data.insert("interval".to_owned(), interval.into());
        data.insert("metrics".to_owned(), metrics.into());
        if !views.is_empty() {
            data.insert("views".to_owned(), views.into());
        }
        Some(data.into())
    }
}

/// The interval asked for, cut into buckets.
pub(super) struct Buckets {
    /// In milliseconds since the epoch.
    pub(super) interval: Range<i64>,
    /// Bucket `i` is `[edges[i], edges[i + 1])`.
    pub(super) edges: Vec<i64>,
}

impl Buckets {
    pub(super) fn parse(body: &Value, switches: &Switches) -> Result<Self, Refusal> {
        let interval = calendar::interval(body["interval"].as_str().unwrap_or_default())?;
        let granularity = body["granularity"].as_str().map(Granularity::parse).transpose()?;
        let zone = calendar::zone(body["timeZone"].as_str())?;
        let limit = switches
            .max_aggregate_buckets
            .unwrap_or(BUCKETS_AT_MOST)
            .min(BUCKETS_AT_MOST);
        let edges = calendar::edges(&interval, granularity, &zone, switches.buckets_from_start, limit)?;
        Ok(Self { interval, edges })
    }

    /// The bucket that holds an instant of the interval.
    pub(super) fn holding(&self, instant: i64) -> usize {
        self.edges.partition_point(|edge| *edge <= instant) - 1
    }

    /// The bucket as the platform prints it.
    pub(super) fn printed(&self, bucket: usize) -> String {
        format!("{}/{}", iso(self.edges[bucket]), iso(self.edges[bucket + 1]))
    }
}

pub(super) fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The metrics and views asked for. A metric that the platform knows and nobody here emits has no column.
fn columns(body: &Value) -> Result<Vec<Column<'_>>, Refusal> {
    let refusal = |sentence: String| Err(Refusal::bad_request("general.bad.request", sentence));
    let mut columns: Vec<Column<'_>> = Vec::new();
    for name in strings(&body["metrics"]) {
        let known = Metric::parse(name).filter(|_| columns.iter().all(|column| column.name != name));
        columns.extend(known.map(|metric| Column {
            name,
            metric,
            view: None,
            hidden: false,
        }));
    }
    if strings(&body["metrics"]).next().is_none() {
        return refusal("At least one metric must be requested.".to_owned());
    }
    let views = body["views"].as_array().map_or(&[][..], Vec::as_slice);
    if views.len() > VIEWS_AT_MOST {
        return refusal(format!("A query may not have more than {VIEWS_AT_MOST} views."));
    }
    for view in views {
        let (name, target) = (
            view["name"].as_str().unwrap_or_default(),
            view["target"].as_str().unwrap_or_default(),
        );
        let (gte, lt) = (view["range"]["gte"].as_f64(), view["range"]["lt"].as_f64());
        if !target.starts_with('t') {
            return refusal(format!("View [{name}] must target a timer metric, not [{target}]."));
        }
        if gte.is_none() && lt.is_none() {
            return refusal(format!("View [{name}] must have a range with gte, lt or both."));
        }
        if Metric::parse(name).is_some() || columns.iter().any(|column| column.name == name) {
            return refusal(format!(
                "View name [{name}] must differ from every metric and every other view."
            ));
        }
        columns.extend(Metric::parse(target).map(|metric| Column {
            name,
            metric,
            view: Some(View { gte, lt }),
            hidden: false,
        }));
    }
    Ok(columns)
}

/// topN and bottomN; the metric ranked by is counted even when it was not asked for.
fn ranking<'q>(body: &'q Value, columns: &mut Vec<Column<'q>>) -> Result<Option<Ranking>, Refusal> {
    let descending = match body["queryType"].as_str() {
        Some("topN") => true,
        Some("bottomN") => false,
        _ => return Ok(None),
    };
    let sort = &body["sortMetric"];
    let (Some(name), Some(function)) = (sort["name"].as_str(), sort["function"].as_str()) else {
        let sentence = "A topN or bottomN query must have a sortMetric.";
        return Err(Refusal::bad_request("general.bad.request", sentence));
    };
    let limit = body["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let existing = columns
        .iter()
        .position(|column| column.name == name && column.view.is_none());
    let column = match (existing, Metric::parse(name)) {
        (Some(column), _) => column,
        (None, Some(metric)) => {
            columns.push(Column {
                name,
                metric,
                view: None,
                hidden: true,
            });
            columns.len() - 1
        }
        // Nobody emits it, so nothing ranks.
        (None, None) => usize::MAX,
    };
    Ok(Some(Ranking {
        column,
        function: function.to_owned(),
        descending,
        limit: limit.unwrap_or(usize::MAX),
    }))
}

fn columns_of(columns: &[Column<'_>]) -> Vec<Vec<usize>> {
    let mut columns_of: Vec<Vec<usize>> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let emitted = match column.metric {
            // The goal is read off the events it is the goal of.
            Metric::OServiceTarget => Metric::OServiceLevel,
            metric => metric,
        };
        columns_of.resize(columns_of.len().max(emitted as usize + 1), Vec::new());
        columns_of[emitted as usize].push(index);
    }
    columns_of
}

impl View {
    fn contains(&self, value: i64) -> bool {
        let value = value as f64;
        self.gte.is_none_or(|bound| value >= bound) && self.lt.is_none_or(|bound| value < bound)
    }
}

impl Ranking {
    fn keep_best(&self, groups: &mut Vec<Group<'_>>) {
        let rank = |group: &Group<'_>| {
            let sums = group.whole.0.iter().find(|(column, _)| *column == self.column);
            sums.map(|(_, sum)| sum.function(&self.function))
        };
        groups.retain(|group| rank(group).is_some());
        groups.sort_by(|one, other| {
            let (one_rank, other_rank) = (rank(one).unwrap_or(0.0), rank(other).unwrap_or(0.0));
            let ascending = one_rank.total_cmp(&other_rank);
            let order = if self.descending {
                ascending.reverse()
            } else {
                ascending
            };
            order.then_with(|| one.key.cmp(&other.key))
        });
        groups.truncate(self.limit);
    }
}

/// A group's values, in the order of `groupBy`: none, one, or several to be joined.
type Key<'d> = Vec<Vec<Atom<'d>>>;

/// Each key continued by each of the choices.
fn extended<'d>(keys: &[Key<'d>], choices: &[Vec<Atom<'d>>]) -> Vec<Key<'d>> {
    let continued = |key: &Key<'d>, choice: &Vec<Atom<'d>>| {
        let mut key = key.clone();
        key.push(choice.clone());
        key
    };
    keys.iter()
        .flat_map(|key| choices.iter().map(move |choice| continued(key, choice)))
        .collect()
}

#[derive(Default)]
struct Table<'d> {
    positions: HashMap<Key<'d>, usize>,
    groups: Vec<Group<'d>>,
}

struct Group<'d> {
    key: Key<'d>,
    /// By the bucket's position.
    buckets: BTreeMap<usize, Cell>,
    /// Over all buckets, for ranking.
    whole: Cell,
}

/// What has been counted in one bucket of one group: of most cells, few columns.
#[derive(Default)]
struct Cell(Vec<(usize, Sum)>);

impl Cell {
    fn column(&mut self, column: usize) -> &mut Sum {
        let position = self.0.partition_point(|(one, _)| *one < column);
        if self.0.get(position).is_none_or(|(one, _)| *one != column) {
            self.0.insert(position, (column, Sum::default()));
        }
        &mut self.0[position].1
    }
}

impl<'d> Table<'d> {
    fn group(&mut self, key: Key<'d>) -> usize {
        if let Some(position) = self.positions.get(&key) {
            return *position;
        }
        let position = self.groups.len();
        self.groups.push(Group {
            key: key.clone(),
            buckets: BTreeMap::new(),
            whole: Cell::default(),
        });
        self.positions.insert(key, position);
        position
    }
}

/// What has been counted of one column in one cell.
#[derive(Clone, Default)]
struct Sum {
    count: i64,
    total: i64,
    min: i64,
    max: i64,
    target: Target,
    /// The conversation counted last: a conversation's events come one after the other.
    conversation: Option<Uuid>,
}

/// The goal of the queues counted, as long as they agree on it.
#[derive(Clone, Copy, Default, PartialEq)]
enum Target {
    #[default]
    None,
    Same(f64),
    Mixed,
}

impl Sum {
    fn add(&mut self, value: i64, target: Option<f64>) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        self.total += value;
        if let Some(target) = target {
            self.target = match self.target {
                Target::None => Target::Same(target),
                same if same == Target::Same(target) => same,
                _ => Target::Mixed,
            };
        }
    }

    fn add_conversation(&mut self, conversation: Uuid) {
        if self.conversation != Some(conversation) {
            self.conversation = Some(conversation);
            self.add(1, None);
        }
    }

    fn stats(&self, metric: Metric) -> Option<Value> {
        let target = match self.target {
            Target::Same(target) => Some(target),
            Target::None | Target::Mixed => None,
        };
        match metric {
            Metric::OServiceTarget => target.map(|target| json!({ "current": target })),
            Metric::OServiceLevel | Metric::OWorkitemsServiceLevel | Metric::OCasesServiceLevel => {
                let ratio = self.total as f64 / self.count as f64;
                let mut stats = json!({ "ratio": ratio, "numerator": self.total, "denominator": self.count });
                if let Some(target) = target {
                    stats["target"] = target.into();
                }
                Some(stats)
            }
            counter if counter.word().starts_with('n') => Some(json!({ "count": self.total })),
            _ => Some(json!({ "max": self.max, "min": self.min, "count": self.count, "sum": self.total })),
        }
    }

    fn function(&self, function: &str) -> f64 {
        match function {
            "average" => self.total as f64 / self.count as f64,
            "count" => self.count as f64,
            "max" => self.max as f64,
            "min" => self.min as f64,
            _ => self.total as f64,
        }
    }
}
