//! From what was written to what is meant: every complaint at once, each with its place.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AggregateQuery, Column, ColumnValue, Dimension, Fill, Filter, Granularity, Metric, OrderBy, Page, Query,
    QueryRequest, Range, Source, Zone,
    catalogue::{self, Side},
    moment::{self, NotAMoment},
    request::FilterRequest,
    suggest,
};

impl Query {
    /// Checks what was written and says what it means, or everything that is wrong with it.
    ///
    /// Filled in where the request is silent: `dateTo` is `now` (or the end of the range named in
    /// `dateFrom`), `timeZone` is UTC, `groupBy` is every dimension that is selected (or whose name is),
    /// `select` is the groups and `conversation.count`. With an `interval`, the column of that name is added
    /// in front unless it is selected. To group by a dimension without selecting it is allowed.
    pub fn parse(request: &QueryRequest, now: Timestamp, limits: &Limits) -> Result<Self, Vec<Complaint>> {
        let mut check = Check::default();

        let time_zone = check.time_zone(request.time_zone.as_deref());
        let range = check.range(&request.date_from, request.date_to.as_deref(), now, &time_zone, limits);
        let granularity = request.interval.as_deref().and_then(|text| check.granularity(text));
        if let (Some(range), Some(granularity)) = (range, granularity) {
            check.bucket_count(range, granularity, &time_zone, limits);
        }

        let asked_groups = request.group_by.as_deref().map(|names| check.groups(names));
        let filter = check.filter(&request.filter, aggregates_filter_on);
        let columns = match &request.select {
            Some(names) => check.columns(names),
            None => default_columns(request.group_by.as_deref().unwrap_or_default()),
        };
        let group_by = asked_groups.clone().unwrap_or_else(|| dimensions_of(&columns));
        if let Some(groups) = &asked_groups {
            check.columns_are_grouped(&columns, groups);
        }
        check.columns_fit_together(&columns, &group_by, &filter);
        let columns = with_interval(columns, granularity.is_some());

        let order_by = check.order_by(&request.order_by, &columns);
        let page = check.page(request.page, request.page_size, limits.page_size);
        let source = check.source(request.source.as_deref());
        let fill = check.fill(request.fill.as_deref());

        match range {
            Some(range) if check.complaints.is_empty() => Ok(Self {
                aggregate: AggregateQuery {
                    source,
                    range,
                    granularity,
                    time_zone,
                    metrics: metrics_of(&columns),
                    group_by: group_by.into_iter().collect(),
                    filter,
                },
                columns: columns.into_iter().map(|placed| placed.column).collect(),
                order_by,
                page,
                fill,
            }),
            _ => Err(check.complaints),
        }
    }
}

/// What is wrong with one place of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Complaint {
    /// JSON pointer into the request body (`/select/2`); the query-string form uses the same pointers.
    #[schema(examples("/select/2"))]
    pub pointer: String,
    /// What is wrong, for the person who wrote it.
    pub detail: String,
    /// The nearest thing that would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Complaint {
    /// A complaint without a suggestion.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
            suggestion: None,
        }
    }
}

/// The bounds a request is held to before it may cost anything upstream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest range, in days.
    pub range_days: u32,
    /// The most buckets of one answer.
    pub buckets: u32,
    /// The most rows of one page.
    pub page_size: u32,
    /// The most conversations of one page: their documents are large.
    pub conversation_page_size: u32,
}

impl Default for Limits {
    /// A year and a month to compare it with; two weeks by the minute; pages a person can still scroll.
    fn default() -> Self {
        Self {
            range_days: 400,
            buckets: 20_000,
            page_size: 1000,
            conversation_page_size: 500,
        }
    }
}

// Bounds on lists and texts; the request's OpenAPI schema states the same figures.
const MAX_COLUMNS: usize = 100;
const MAX_GROUPS: usize = 20;
const MAX_FILTERS: usize = 50;
const MAX_FILTER_VALUES: usize = 200;
const MAX_FILTER_VALUE_CHARS: usize = 256;
const MAX_ORDER_BY: usize = 20;
const MAX_PAGE: u32 = 1_000_000;
const DEFAULT_PAGE_SIZE: u32 = 100;

/// A column and where in the request it was asked for.
#[derive(Clone, Debug)]
struct Placed {
    pointer: String,
    column: Column,
}

impl Placed {
    fn metric(&self) -> Option<(&'static Metric, super::Statistic)> {
        match self.column.value {
            ColumnValue::Metric(metric, statistic) => Some((metric, statistic)),
            ColumnValue::Interval | ColumnValue::Dimension(_) | ColumnValue::Name(_) => None,
        }
    }

    fn dimension(&self) -> Option<&'static Dimension> {
        match self.column.value {
            ColumnValue::Dimension(dimension) | ColumnValue::Name(dimension) => Some(dimension),
            ColumnValue::Interval | ColumnValue::Metric(..) => None,
        }
    }
}

fn dimensions_of(columns: &[Placed]) -> BTreeSet<&'static Dimension> {
    columns.iter().filter_map(Placed::dimension).collect()
}

fn metrics_of(columns: &[Placed]) -> Vec<&'static Metric> {
    let metrics: BTreeSet<_> = columns
        .iter()
        .filter_map(Placed::metric)
        .map(|(metric, _)| metric)
        .collect();
    metrics.into_iter().collect()
}

/// The groups as they were written, and how many conversations each had.
fn default_columns(groups: &[String]) -> Vec<Placed> {
    let names = groups.iter().map(String::as_str).chain(["conversation.count"]);
    let mut columns: Vec<Placed> = Vec::new();
    for name in names {
        // Groups that are unknown have been complained of; one that repeats is one group.
        if let Some(value) = catalogue::column(name)
            && !columns.iter().any(|placed| placed.column.value == value)
        {
            let name = name.to_owned();
            columns.push(Placed {
                pointer: "/select".to_owned(),
                column: Column { name, value },
            });
        }
    }
    columns
}

fn with_interval(mut columns: Vec<Placed>, bucketed: bool) -> Vec<Placed> {
    let selected = columns
        .iter()
        .any(|placed| placed.column.value == ColumnValue::Interval);
    if bucketed && !selected {
        let column = Column {
            name: "interval".to_owned(),
            value: ColumnValue::Interval,
        };
        columns.insert(
            0,
            Placed {
                pointer: "/interval".to_owned(),
                column,
            },
        );
    }
    columns
}

fn aggregates_filter_on(dimension: &Dimension) -> Result<(), &'static str> {
    if dimension.filterable {
        Ok(())
    } else {
        Err("only single conversations can be filtered on this, not aggregates")
    }
}

/// Gathers complaints while the parts of a request are read.
#[derive(Default)]
pub(super) struct Check {
    pub(super) complaints: Vec<Complaint>,
}

impl Check {
    pub(super) fn complain(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.complaints.push(Complaint::at(pointer, detail));
    }

    pub(super) fn advise(
        &mut self,
        pointer: impl Into<String>,
        detail: impl Into<String>,
        suggestion: impl Into<Option<String>>,
    ) {
        self.complaints.push(Complaint {
            suggestion: suggestion.into(),
            ..Complaint::at(pointer, detail)
        });
    }

    /// UTC where the name is unknown, so that the rest can still be checked.
    pub(super) fn time_zone(&mut self, name: Option<&str>) -> Zone {
        let Some(name) = name else {
            return Zone::utc();
        };
        let zone = Some(name).filter(|name| name.len() <= 64).and_then(Zone::named);
        zone.unwrap_or_else(|| {
            let known = jiff::tz::db().available().map(|known| known.as_str().to_owned());
            self.advise(
                "/timeZone",
                "there is no such IANA time zone",
                suggest::nearest(name, known),
            );
            Zone::utc()
        })
    }

    pub(super) fn range(
        &mut self,
        from: &str,
        to: Option<&str>,
        now: Timestamp,
        zone: &Zone,
        limits: &Limits,
    ) -> Option<Range> {
        let [start, end] = moment::range(from, to, now, zone);
        let start = self.moment("/dateFrom", start);
        let end = self.moment("/dateTo", end);
        let (start, end) = (start?, end?);
        let Some(range) = Range::new(start, end) else {
            let pointer = if to.is_some() { "/dateTo" } else { "/dateFrom" };
            self.complain(
                pointer,
                format!("the range is empty: it goes from {start:.3} up to {end:.3}, and ends are not included"),
            );
            return None;
        };
        // A day more or less by the clock where daylight saving begins or ends within.
        let longest = SignedDuration::from_hours(i64::from(limits.range_days) * 24 + 1);
        if range.duration() > longest {
            self.complain(
                "/dateFrom",
                format!("the range is too wide: it may span {} days", limits.range_days),
            );
            return None;
        }
        Some(range)
    }

    fn moment(&mut self, pointer: &str, moment: Result<Timestamp, NotAMoment>) -> Option<Timestamp> {
        moment
            .map_err(|wrong| self.advise(pointer, wrong.detail, wrong.suggestion))
            .ok()
    }

    fn granularity(&mut self, text: &str) -> Option<Granularity> {
        let granularity = text.parse();
        let wrong = |why: super::interval::NotAGranularity| {
            let nearest = Granularity::nearest(text).map(|granularity| granularity.to_string());
            self.advise("/interval", why.to_string(), nearest);
        };
        granularity.map_err(wrong).ok()
    }

    fn bucket_count(&mut self, range: Range, granularity: Granularity, zone: &Zone, limits: &Limits) {
        let most = limits.buckets as usize;
        let fits = |granularity: &Granularity| granularity.buckets(range, zone).take(most + 1).count() <= most;
        if !fits(&granularity) {
            let coarser = std::iter::successors(granularity.coarser(), |granularity| granularity.coarser()).find(fits);
            self.advise(
                "/interval",
                format!("this cuts the range into more than {most} buckets"),
                coarser.map(|granularity| granularity.to_string()),
            );
        }
    }

    fn groups(&mut self, names: &[String]) -> BTreeSet<&'static Dimension> {
        let names = self.bounded("/groupBy", names, MAX_GROUPS);
        let mut groups = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/groupBy/{index}");
            match catalogue::column(name) {
                Some(ColumnValue::Dimension(dimension)) => {
                    groups.insert(dimension);
                }
                Some(ColumnValue::Name(dimension)) => {
                    self.advise(pointer, "groups are made by id", dimension.name.to_owned());
                    groups.insert(dimension);
                }
                Some(ColumnValue::Interval) => {
                    self.complain(
                        pointer,
                        "rows are always told apart by bucket; its length is the field interval",
                    );
                }
                Some(ColumnValue::Metric(..)) => {
                    self.complain(pointer, "this is a metric; groups are made by dimension")
                }
                None => {
                    let known = catalogue::DIMENSIONS.iter().filter(|dimension| dimension.groupable);
                    let known = known.flat_map(|dimension| [dimension.name, dimension.upstream]);
                    self.unknown_dimension(pointer, name, known, "aggregates cannot be grouped by this dimension");
                }
            }
        }
        groups
    }

    fn columns(&mut self, names: &[String]) -> Vec<Placed> {
        if names.is_empty() {
            self.advise("/select", "select at least one metric", "conversation.count".to_owned());
        }
        let names = self.bounded("/select", names, MAX_COLUMNS);
        let mut columns = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/select/{index}");
            if let Some(value) = catalogue::column(name) {
                let name = name.clone();
                columns.push(Placed {
                    pointer,
                    column: Column { name, value },
                });
            } else if let Some(metric) = metric_without_statistic(name) {
                let statistics: Vec<_> = metric.statistics.iter().map(|statistic| statistic.suffix()).collect();
                let usual = metric
                    .statistics
                    .iter()
                    .find(|statistic| **statistic == super::Statistic::Average);
                self.advise(
                    pointer,
                    format!("this metric has several statistics: {}", statistics.join(", ")),
                    usual.or(metric.statistics.first()).map(|usual| metric.friendly(*usual)),
                );
            } else if catalogue::dimension(name).is_some() {
                self.complain(
                    pointer,
                    "this dimension can be filtered on but is no column of aggregates",
                );
            } else {
                self.advise(
                    pointer,
                    "there is no such metric or dimension",
                    suggest::nearest(name, catalogue::column_names()),
                );
            }
        }
        let complete = columns.len() == names.len();
        if complete && !names.is_empty() && !columns.iter().any(|placed: &Placed| placed.metric().is_some()) {
            self.advise("/select", "select at least one metric", "conversation.count".to_owned());
        }
        columns
    }

    fn columns_are_grouped(&mut self, columns: &[Placed], groups: &BTreeSet<&'static Dimension>) {
        for placed in columns {
            if let Some(dimension) = placed.dimension().filter(|dimension| !groups.contains(dimension)) {
                self.advise(
                    &placed.pointer,
                    "this column needs its dimension in groupBy",
                    dimension.name.to_owned(),
                );
            }
        }
    }

    /// Refuses what would come back empty, inexact or impossible to write down.
    fn columns_fit_together(&mut self, columns: &[Placed], groups: &BTreeSet<&'static Dimension>, filter: &Filter) {
        let grouped_by = |upstream: &str| groups.iter().any(|dimension| dimension.upstream == upstream);
        let by_agent = grouped_by("userId") || filter.values_of("userId").is_some();
        let one_media_type =
            grouped_by("mediaType") || filter.values_of("mediaType").is_some_and(|values| values.len() == 1);

        for (index, placed) in columns.iter().enumerate() {
            let Placed { pointer, column } = placed;
            if let Some((metric, statistic)) = placed.metric() {
                if by_agent && metric.side == Side::Queue {
                    self.complain(
                        pointer,
                        "this metric belongs to the queue and no agent is involved: grouped by or filtered on \
                         agent.id it would always be empty",
                    );
                }
                if !one_media_type && !metric.folds_over_media_types(statistic) {
                    self.advise(
                        pointer,
                        "this figure cannot be put together exactly from those of several media types: add \
                         media.type to groupBy, or filter on one media type",
                        "media.type".to_owned(),
                    );
                }
            }
            for earlier in &columns[..index] {
                if earlier.column.name == column.name {
                    self.complain(pointer, "this column is selected already");
                    break;
                }
                if nests(&earlier.column.name, &column.name) || nests(&column.name, &earlier.column.name) {
                    self.complain(
                        pointer,
                        format!(
                            "dots nest, so this column and {} cannot stand side by side",
                            earlier.column.name
                        ),
                    );
                }
            }
        }
    }

    /// Reads a filter on the dimensions allowed.
    pub(super) fn filter(
        &mut self,
        clauses: &[FilterRequest],
        allowed: impl Fn(&Dimension) -> Result<(), &'static str>,
    ) -> Filter {
        let clauses = self.bounded("/filter", clauses, MAX_FILTERS);
        let mut filter = Filter::default();
        for (index, clause) in clauses.iter().enumerate() {
            let pointer = format!("/filter/{index}/dimension");
            let values = self.filter_values(&format!("/filter/{index}/values"), &clause.values);
            let name = clause.dimension.as_str();
            if let Some(dimension) = catalogue::dimension(name) {
                match allowed(dimension) {
                    Err(why) => self.complain(pointer, why),
                    Ok(()) if filter.clauses.contains_key(dimension) => {
                        self.complain(
                            pointer,
                            "this dimension is filtered on already: list all its values there",
                        );
                    }
                    Ok(()) => {
                        filter.clauses.insert(dimension, values);
                    }
                }
            } else if let Some(dimension) = catalogue::dimension_named_by(name) {
                self.advise(pointer, "filters take ids", dimension.name.to_owned());
            } else {
                let known = catalogue::DIMENSIONS
                    .iter()
                    .filter(|dimension| allowed(dimension).is_ok());
                let known = known.flat_map(|dimension| [dimension.name, dimension.upstream]);
                self.unknown_dimension(pointer, name, known, "this dimension cannot be filtered on");
            }
        }
        filter
    }

    fn filter_values(&mut self, pointer: &str, values: &[String]) -> BTreeSet<String> {
        if values.is_empty() {
            self.complain(pointer, "list at least one value");
        }
        let values = self.bounded(pointer, values, MAX_FILTER_VALUES);
        for (index, value) in values.iter().enumerate() {
            let pointer = || format!("{pointer}/{index}");
            if value.is_empty() {
                self.complain(pointer(), "a value is not empty");
            } else if value.chars().nth(MAX_FILTER_VALUE_CHARS).is_some() {
                self.complain(
                    pointer(),
                    format!("a value has at most {MAX_FILTER_VALUE_CHARS} characters"),
                );
            } else if value.chars().any(char::is_control) {
                self.complain(pointer(), "a value has no control characters");
            }
        }
        values.iter().cloned().collect()
    }

    fn order_by(&mut self, keys: &[String], columns: &[Placed]) -> Vec<OrderBy> {
        let select_was_refused = self
            .complaints
            .iter()
            .any(|complaint| complaint.pointer.starts_with("/select"));
        let keys = self.bounded("/orderBy", keys, MAX_ORDER_BY);
        let mut order_by: Vec<OrderBy> = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let pointer = format!("/orderBy/{index}");
            let (sign, name) = match key.strip_prefix('-') {
                Some(name) => ("-", name),
                None => ("", key.as_str()),
            };
            let value = catalogue::column(name);
            let by_name = columns.iter().position(|placed| placed.column.name == name);
            let by_value = || {
                columns
                    .iter()
                    .position(|placed| Some(&placed.column.value) == value.as_ref())
            };
            match by_name.or_else(by_value) {
                Some(column) if order_by.iter().any(|earlier| earlier.column == column) => {
                    self.complain(pointer, "rows are ordered by this column already");
                }
                Some(column) => order_by.push(OrderBy {
                    column,
                    descending: !sign.is_empty(),
                }),
                None if value.is_some() && select_was_refused => {}
                None => {
                    let selected = columns.iter().map(|placed| &placed.column.name);
                    let nearest = suggest::nearest(name, selected);
                    self.advise(
                        pointer,
                        "rows are ordered by columns that are selected, with - before the name for largest first",
                        nearest.map(|nearest| format!("{sign}{nearest}")),
                    );
                }
            }
        }
        order_by
    }

    pub(super) fn page(&mut self, number: Option<u32>, size: Option<u32>, most: u32) -> Page {
        let number = number.unwrap_or(1);
        if !(1..=MAX_PAGE).contains(&number) {
            self.complain("/page", format!("pages are numbered from 1 to {MAX_PAGE}"));
        }
        let size = size.unwrap_or(DEFAULT_PAGE_SIZE.min(most));
        if !(1..=most).contains(&size) {
            self.advise(
                "/pageSize",
                format!("a page has 1 to {most} rows"),
                size.clamp(1, most).to_string(),
            );
        }
        Page { number, size }
    }

    fn source(&mut self, name: Option<&str>) -> Source {
        match name {
            None | Some("conversations") => {}
            Some(_) => self.advise(
                "/source",
                "there is no such family of figures",
                "conversations".to_owned(),
            ),
        }
        Source::Conversations
    }

    fn fill(&mut self, name: Option<&str>) -> Fill {
        match name {
            None | Some("none") => Fill::None,
            Some("zero") => Fill::Zero,
            Some(other) => {
                self.advise(
                    "/fill",
                    "fill is none or zero",
                    suggest::nearest(other, ["none", "zero"]),
                );
                Fill::None
            }
        }
    }

    fn unknown_dimension(
        &mut self,
        pointer: String,
        name: &str,
        known: impl Iterator<Item = &'static str>,
        why_not: &str,
    ) {
        if catalogue::dimension(name).is_some() {
            self.complain(pointer, why_not);
        } else {
            self.advise(pointer, "there is no such dimension", suggest::nearest(name, known));
        }
    }

    /// The list, if it is not too long; otherwise nothing of it is looked at.
    pub(super) fn bounded<'a, T>(&mut self, pointer: &str, list: &'a [T], most: usize) -> &'a [T] {
        if list.len() > most {
            self.complain(pointer, format!("this list has at most {most} entries"));
            return &[];
        }
        list
    }
}

fn metric_without_statistic(name: &str) -> Option<&'static Metric> {
    catalogue::METRICS
        .iter()
        .find(|metric| metric.name == name || metric.upstream == name)
}

/// Whether `outer` would have to hold both a value and `inner` in JSON.
fn nests(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}
