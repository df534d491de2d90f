//! Figures, counted by hand from raw events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use genesys_reports::simulator::organisation::{Event, Listing};
use jiff::{SignedDuration, Timestamp, ToSpan, ZonedDateTime, civil::Weekday};
use serde_json::Value;

use super::question::{Column, DIMENSIONS, Kind, Kpi, Metric, Question, Shows};
use crate::support::service::Service;

/// What is known about the organisation beside its events.
pub(super) struct Facts {
    /// By the dimension's upstream name, the values its events have.
    pub(super) values: HashMap<&'static str, Vec<String>>,
    /// By listing and id.
    names: HashMap<&'static str, HashMap<String, String>>,
    /// By queue, the share to be answered in time.
    goals: HashMap<String, f64>,
}

impl Facts {
    pub(super) fn of(service: &Service) -> Self {
        let now = service.clock.now();
        let events = service
            .simulator
            .organisation()
            .events(now - (7 * 24).hours(), now, now);
        let values_of = |upstream| {
            events
                .iter()
                .flat_map(|event| event.values(upstream))
                .collect::<BTreeSet<_>>()
        };
        let listed = |listing| {
            let params =
                [("pageSize", "100"), ("state", "any")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            let page = service.simulator.organisation().listing(listing, &params, "").unwrap();
            page["entities"].as_array().unwrap().clone()
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names = DIMENSIONS.iter().filter_map(|dimension| {
            let (name, listing) = dimension.named?;
            let entities = listed(listing);
            Some((
                name,
                entities
                    .iter()
                    .map(|one| (text(&one["id"]), text(&one["name"])))
                    .collect(),
            ))
        });
        let goal = |queue: &Value| {
            let settings = queue["mediaSettings"].as_object().unwrap().values().next().unwrap();
            (
                text(&queue["id"]),
                settings["serviceLevel"]["percentage"].as_f64().unwrap(),
            )
        };
        Self {
            values: DIMENSIONS
                .iter()
                .map(|dimension| (dimension.upstream, values_of(dimension.upstream).into_iter().collect()))
                .collect(),
            names: names.collect(),
            goals: listed(Listing::Queues).iter().map(goal).collect(),
        }
    }
}

/// Rows on the page asked for, and how many there are.
pub(super) struct Expected {
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) total: usize,
}

/// One value of a row; the order of variants is that of sorting, nothing last either way.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Number(f64),
    Nothing,
}

type Bucket = (Timestamp, Timestamp);
type Group = Vec<Option<String>>;

pub(super) fn answer(service: &Service, question: &Question, now: Timestamp, facts: &Facts) -> Expected {
    let (start, end) = question.range;
    let events = service.simulator.organisation().events(start, end, now);
    let mut counted = counted(question, &events, facts);
    if question.fill {
        let mut groups: BTreeSet<Group> = counted.keys().map(|(_, group)| group.clone()).collect();
        if question.groups.is_empty() {
            groups.insert(Vec::new());
        }
        for bucket in buckets(question) {
            for group in &groups {
                counted.entry((bucket, group.clone())).or_default();
            }
        }
    }
    let row = |((bucket, group), sums): (&(Bucket, Group), &Sums)| -> Vec<Cell> {
        question
            .columns
            .iter()
            .map(|column| cell(question, column, *bucket, group, sums, facts))
            .collect()
    };
    let mut rows: Vec<_> = counted.iter().map(row).collect();
    rows.sort_by(|one, other| {
        let by_key = |(column, descending): &(usize, bool)| one[*column].compare(&other[*column], *descending);
        question
            .order
            .iter()
            .map(by_key)
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.truncate(question.limit.unwrap_or(usize::MAX));
    let total = rows.len();
    let first = (question.page - 1) * question.page_size;
    Expected {
        rows: rows.into_iter().skip(first).take(question.page_size).collect(),
        total,
    }
}

/// Says at which cell the answer is wrong.
#[track_caller]
pub(super) fn compare(question: &Question, entities: &Value, expected: &[Vec<Cell>], context: &str) {
    let entities = entities.as_array().unwrap();
    assert_eq!(entities.len(), expected.len(), "rows of {context}");
    for (index, (entity, row)) in entities.iter().zip(expected).enumerate() {
        for (column, expected) in question.columns.iter().zip(row) {
            let value = column.name.split('.').fold(entity, |value, key| &value[key]);
            let given = match value {
                Value::String(text) => Cell::Text(text.clone()),
                Value::Number(number) => Cell::Number(number.as_f64().unwrap()),
                Value::Null => Cell::Nothing,
                other => panic!("{other} in {context}"),
            };
            assert_eq!(&given, expected, "row {index}, column {} of {context}", column.name);
        }
    }
}

/// What happened, by bucket and group; only where something that was asked for did.
fn counted(question: &Question, events: &[Event], facts: &Facts) -> BTreeMap<(Bucket, Group), Sums> {
    let metrics: Vec<&Metric> = question.columns.iter().filter_map(Column::metric).collect();
    let reads: HashSet<&str> = question.columns.iter().flat_map(Column::reads).copied().collect();
    let counts_conversations = metrics.iter().any(|metric| metric.kind == Kind::Distinct);
    // The upstream tells media types apart always: only within one is a conversation counted once, and only what
    // is there within one is there at all.
    let mut by_media: BTreeMap<(Bucket, Group, Vec<String>), Sums> = BTreeMap::new();
    for event in events.iter().filter(|event| passes(question, event)) {
        let counts = |metric: &&Metric| metric.counts() == event.metric;
        if !counts_conversations && !metrics.iter().any(counts) && !reads.contains(event.metric) {
            continue;
        }
        let bucket = bucket(question, event.emitted_at);
        for group in groups(question, event) {
            let sums = by_media.entry((bucket, group, event.values("mediaType"))).or_default();
            if counts_conversations {
                sums.conversations
                    .insert((event.values("mediaType"), event.conversation_id.clone()));
            }
            sums.values.entry(event.metric).or_default().push(event.value);
            if event.metric == "oServiceLevel" {
                sums.goals.push(facts.goals[&event.values("queueId")[0]]);
            }
        }
    }
    let mut whole: BTreeMap<(Bucket, Group), Sums> = BTreeMap::new();
    for ((bucket, group, _), sums) in by_media {
        let is_read = |event: &&str| sums.values.contains_key(event);
        if metrics.iter().any(|metric| sums.has(metric)) || reads.iter().any(is_read) {
            whole.entry((bucket, group)).or_default().add(sums);
        }
    }
    whole
}

fn passes(question: &Question, event: &Event) -> bool {
    question.filters.iter().all(|(dimension, wanted)| {
        event
            .values(dimension.upstream)
            .iter()
            .any(|value| wanted.contains(value))
    })
}

/// Every combination of the event's values.
fn groups(question: &Question, event: &Event) -> Vec<Group> {
    question.groups.iter().fold(vec![Vec::new()], |groups, dimension| {
        let mut values: Vec<_> = event.values(dimension.upstream).into_iter().map(Some).collect();
        if values.is_empty() {
            values.push(None);
        }
        groups
            .iter()
            .flat_map(|group| {
                values
                    .iter()
                    .map(|value| [&group[..], std::slice::from_ref(value)].concat())
            })
            .collect()
    })
}

/// The bucket an instant lies in, cut to the range.
fn bucket(question: &Question, instant: Timestamp) -> Bucket {
    let (start, end) = question.range;
    let Some(granularity) = question.granularity else {
        return question.range;
    };
    let local = instant.to_zoned_datetime(question.zone.clone());
    let midnight = |of: &ZonedDateTime| of.start_of_day().unwrap();
    let today = midnight(&local);
    let (from, until) = match granularity {
        "P1D" => (today.clone(), midnight(&today.tomorrow().unwrap())),
        "P1W" => {
            let since_monday = i64::from(local.weekday().since(Weekday::Monday));
            let monday = midnight(&today.checked_sub(since_monday.days()).unwrap());
            (monday.clone(), midnight(&monday.checked_add(7.days()).unwrap()))
        }
        "P1M" => {
            let first = midnight(&today.first_of_month().unwrap());
            (first.clone(), midnight(&first.checked_add(1.month()).unwrap()))
        }
        clock => {
            let length: SignedDuration = clock.parse().unwrap();
            let passed = instant.duration_since(today.timestamp()).as_millis() / length.as_millis();
            let from = today.timestamp() + length * i32::try_from(passed).unwrap();
            let tomorrow = midnight(&today.tomorrow().unwrap()).timestamp();
            let until = (from + length).min(tomorrow);
            return (from.max(start), until.min(end));
        }
    };
    (from.timestamp().max(start), until.timestamp().min(end))
}

/// All buckets of the range.
fn buckets(question: &Question) -> Vec<Bucket> {
    let mut buckets = vec![bucket(question, question.range.0)];
    while let Some((_, reached)) = buckets
        .last()
        .copied()
        .filter(|(_, reached)| *reached < question.range.1)
    {
        buckets.push(bucket(question, reached));
    }
    buckets
}

/// Counts and sums of what happened, zero where nothing did.
pub(super) struct Totals<'a>(&'a HashMap<&'static str, Vec<i64>>);

#[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
impl Totals<'_> {
    pub(super) fn count(&self, event: &str) -> f64 {
        self.0.get(event).map_or(0, Vec::len) as f64
    }

    pub(super) fn sum(&self, event: &str) -> f64 {
        self.0.get(event).map_or(0, |values| values.iter().sum()) as f64
    }
}

/// What happened in one bucket of one group.
#[derive(Default)]
struct Sums {
    /// By media type and id.
    conversations: HashSet<(Vec<String>, String)>,
    values: HashMap<&'static str, Vec<i64>>,
    /// Of the queues whose service level is counted.
    goals: Vec<f64>,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.conversations.extend(other.conversations);
        for (metric, values) in other.values {
            self.values.entry(metric).or_default().extend(values);
        }
        self.goals.extend(other.goals);
    }

    fn has(&self, metric: &Metric) -> bool {
        match metric.kind {
            Kind::Distinct => !self.conversations.is_empty(),
            Kind::Goal => self.goal().is_some(),
            _ => self.values.contains_key(metric.upstream),
        }
    }

    /// Nothing where nothing of it happened, unless zeros are filled in; nothing where it is divided by zero.
    fn kpi(&self, kpi: &Kpi, fill: bool) -> Cell {
        let happened = kpi.reads.iter().any(|event| self.values.contains_key(event));
        let figure = (kpi.figure)(&Totals(&self.values));
        if (happened || fill) && figure.is_finite() {
            Cell::Number(figure)
        } else {
            Cell::Nothing
        }
    }

    fn goal(&self) -> Option<f64> {
        self.goals
            .first()
            .copied()
            .filter(|first| self.goals.iter().all(|goal| goal.total_cmp(first).is_eq()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
fn cell(question: &Question, column: &Column, bucket: Bucket, group: &Group, sums: &Sums, facts: &Facts) -> Cell {
    let in_group = |dimension: &super::question::Dimension| {
        let place = question
            .groups
            .iter()
            .position(|group| group.upstream == dimension.upstream);
        group[place.unwrap()].clone()
    };
    let nothing = |text: Option<String>| text.map_or(Cell::Nothing, Cell::Text);
    let (metric, statistic) = match column.shows {
        Shows::Interval => return Cell::Text(format!("{:.3}/{:.3}", bucket.0, bucket.1)),
        Shows::Id(dimension) => return nothing(in_group(dimension)),
        Shows::Name(dimension) => {
            let names = &facts.names[dimension.named.unwrap().0];
            return nothing(in_group(dimension).map(|id| names.get(&id).cloned().unwrap_or(id)));
        }
        Shows::Figure(metric, statistic) => (metric, statistic),
        Shows::Kpi(kpi) => return sums.kpi(kpi, question.fill),
    };
    let values = sums.values.get(metric.counts());
    if values.is_none() && metric.kind != Kind::Distinct {
        let is_zero = question.fill && matches!(statistic, "count" | "sum" | "numerator" | "denominator");
        return if is_zero { Cell::Number(0.0) } else { Cell::Nothing };
    }
    let values = values.map_or(&[][..], Vec::as_slice);
    let (count, sum) = (values.len() as f64, values.iter().sum::<i64>() as f64);
    let number = match (metric.kind, statistic) {
        (Kind::Distinct, _) => match sums.conversations.len() {
            0 if !question.fill => None,
            count => Some(count as f64),
        },
        (Kind::Counter, _) | (_, "sum" | "numerator") => Some(sum),
        (_, "count" | "denominator") => Some(count),
        (_, "average" | "ratio") => Some(sum / count),
        (_, "min") => values.iter().min().map(|value| *value as f64),
        (_, "max") => values.iter().max().map(|value| *value as f64),
        (_, "target" | "current") => sums.goal(),
        // The simulator gives no percentiles.
        _ => None,
    };
    number.map_or(Cell::Nothing, Cell::Number)
}

impl Column {
    fn metric(&self) -> Option<&'static Metric> {
        match self.shows {
            Shows::Figure(metric, _) => Some(metric),
            Shows::Interval | Shows::Id(_) | Shows::Name(_) | Shows::Kpi(_) => None,
        }
    }

    /// The events a KPI is made of.
    fn reads(&self) -> &'static [&'static str] {
        match self.shows {
            Shows::Kpi(kpi) => kpi.reads,
            Shows::Interval | Shows::Id(_) | Shows::Name(_) | Shows::Figure(..) => &[],
        }
    }
}

impl Metric {
    /// The event it counts.
    fn counts(&self) -> &'static str {
        match self.kind {
            Kind::Goal => "oServiceLevel",
            _ => self.upstream,
        }
    }
}

impl Cell {
    fn compare(&self, other: &Self, descending: bool) -> std::cmp::Ordering {
        let order = match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (one, other) => return (*one == Self::Nothing).cmp(&(*other == Self::Nothing)),
        };
        if descending { order.reverse() } else { order }
    }
}
