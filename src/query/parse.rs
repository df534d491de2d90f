//! From what was written to what is meant: every complaint at once, each with its place.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AggregateQuery, Column, ColumnValue, Dimension, Families, Fill, Filter, Granularity, Metric, OrderBy, Page, Query,
    QueryRequest, Range, Source, Statistic, Zone,
    catalogue::{self, Combination, Side},
    moment::{self, NotAMoment},
    naming::{Named, NamedClause},
    request::FilterRequest,
    suggest,
};

impl Query {
    /// Checks what was written and says what it means, or everything that is wrong with it.
    ///
    /// Filled in where the request is silent: `dateTo` is `now` (or the end of the range named in
    /// `dateFrom`), `timeZone` is UTC, `groupBy` is every dimension that is selected (or whose name is),
    /// `select` is the groups and `conversation.count`. With an `interval`, the column of that name is added
    /// in front unless it (or `interval.start`, `interval.end`) is selected. To group by a dimension without
    /// selecting it is allowed.
    ///
    /// What is left to do is to resolve the names in its filter, if there are any.
    pub fn parse(request: &QueryRequest, now: Timestamp, limits: &Limits) -> Result<Named<Self>, Vec<Complaint>> {
        let mut check = Check::default();

        let source = check.source(request.source.as_deref());
        let time_zone = check.time_zone(request.time_zone.as_deref());
        let written = check.range(&request.date_from, request.date_to.as_deref(), now, &time_zone, limits);
        let granularity = request.interval.as_deref().and_then(|text| check.granularity(text));
        let is_expanded = check.expands(request.align.as_deref());
        let range = match (written, granularity) {
            (Some(range), Some(granularity)) if is_expanded => granularity.around(range, &time_zone).or(written),
            _ => written,
        };
        if let (Some(range), Some(granularity)) = (range, granularity) {
            check.bucket_count(range, granularity, &time_zone, limits);
        }

        let asked_groups = request.group_by.as_deref().map(|names| check.groups(names, source));
        let (filter, by_name) = check.filter(&request.filter, |dimension| aggregates_filter_on(dimension, source));
        let columns = match &request.select {
            Some(names) => check.columns(names, source),
            None => default_columns(
                request.group_by.as_deref().unwrap_or_default(),
                asked_groups.as_ref(),
                source,
            ),
        };
        let group_by = asked_groups.clone().unwrap_or_else(|| dimensions_of(&columns));
        if let Some(groups) = &asked_groups {
            check.columns_are_grouped(&columns, groups);
        }
        check.columns_fit_together(&columns, &group_by, &filter, source);
        let columns = with_interval(columns, granularity.is_some());

        let order_by = check.order_by(&request.order_by, &columns);
        let limit = check.limit(request.limit);
        let page = check.page(request.page, request.page_size, limits.page_size);
        let fill = check.fill(request.fill.as_deref());

        match range {
            Some(range) if check.complaints.is_empty() => {
                let ends_now = moment::ends_now(&request.date_from, request.date_to.as_deref());
                let query = Self {
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
                    limit,
                    page,
                    fill,
                    // `now` is the present minute, and means whatever has happened by the time it is looked up.
                    asked_at: if ends_now { now.min(range.end) } else { now },
                    only: Filter::default(),
                };
                Ok(Named::new(query, by_name, |query| &mut query.aggregate.filter))
            }
            _ => Err(check.refuse()),
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
const MAX_LIMIT: u32 = 250_000;
const MAX_PAGE: u32 = 1_000_000;
const DEFAULT_PAGE_SIZE: u32 = 100;

/// A column and where in the request it was asked for.
#[derive(Clone, Debug)]
struct Placed {
    pointer: String,
    column: Column,
}

impl Placed {
    /// The statistics it is made of: those of a KPI's formula, or its own.
    fn statistics(&self) -> Vec<(&'static Metric, Statistic)> {
        match self.column.value {
            ColumnValue::Metric(metric, statistic) => vec![(metric, statistic)],
            ColumnValue::Kpi(kpi) => kpi.formula.parts().map(|part| (part.metric, part.statistic)).collect(),
            ColumnValue::Interval
            | ColumnValue::IntervalStart
            | ColumnValue::IntervalEnd
            | ColumnValue::Dimension(_)
            | ColumnValue::Name(_) => Vec::new(),
        }
    }

    fn dimension(&self) -> Option<&'static Dimension> {
        match self.column.value {
            ColumnValue::Dimension(dimension) | ColumnValue::Name(dimension) => Some(dimension),
            ColumnValue::Interval
            | ColumnValue::IntervalStart
            | ColumnValue::IntervalEnd
            | ColumnValue::Metric(..)
            | ColumnValue::Kpi(_) => None,
        }
    }

    fn is_bucket(&self) -> bool {
        match self.column.value {
            ColumnValue::Interval | ColumnValue::IntervalStart | ColumnValue::IntervalEnd => true,
            ColumnValue::Dimension(_) | ColumnValue::Name(_) | ColumnValue::Metric(..) | ColumnValue::Kpi(_) => false,
        }
    }
}

fn dimensions_of(columns: &[Placed]) -> BTreeSet<&'static Dimension> {
    columns.iter().filter_map(Placed::dimension).collect()
}

fn metrics_of(columns: &[Placed]) -> Vec<&'static Metric> {
    let metrics: BTreeSet<_> = columns
        .iter()
        .flat_map(Placed::statistics)
        .map(|(metric, _)| metric)
        .collect();
    metrics.into_iter().collect()
}

/// The groups as they were written, and the family's plainest figure of each.
fn default_columns(names: &[String], groups: Option<&BTreeSet<&'static Dimension>>, source: Source) -> Vec<Placed> {
    let mut columns: Vec<Placed> = Vec::new();
    let mut add = |name: &str, value: ColumnValue| {
        // A group that is named twice is one group.
        if columns.iter().all(|placed| placed.column.value != value) {
            let name = name.to_owned();
            columns.push(Placed {
                pointer: "/select".to_owned(),
                column: Column { name, value },
            });
        }
    };
    for name in names {
        // What is no group has been complained of.
        if let Some(value @ ColumnValue::Dimension(dimension)) = catalogue::column(name)
            && groups.is_some_and(|groups| groups.contains(dimension))
        {
            add(name, value);
        }
    }
    if let Some(value) = catalogue::column(source.default_metric()) {
        add(source.default_metric(), value);
    }
    columns
}

fn with_interval(mut columns: Vec<Placed>, bucketed: bool) -> Vec<Placed> {
    let selected = columns.iter().any(Placed::is_bucket);
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

fn aggregates_filter_on(dimension: &Dimension, source: Source) -> Result<(), &'static str> {
    if dimension.filterable.contain(source) {
        Ok(())
    } else if dimension.filterable == Families::NONE {
        Err("only single conversations can be filtered on this, not aggregates")
    } else {
        Err("figures of this source cannot be filtered on this dimension")
    }
}

/// The most complaints about one request; who made more mistakes than that has a program to mend.
pub(super) const MAX_COMPLAINTS: usize = 200;
const MAX_SEARCHES: usize = 16;

/// Gathers complaints while the parts of a request are read.
#[derive(Default)]
pub(super) struct Check {
    pub(super) complaints: Vec<Complaint>,
    searches: usize,
}

impl Check {
    /// The complaints, as far as they can be of use.
    pub(super) fn refuse(mut self) -> Vec<Complaint> {
        self.complaints.truncate(MAX_COMPLAINTS);
        self.complaints
    }

    /// The nearest known name, for the first few mistakes: each search goes through a thousand names.
    pub(super) fn nearest<N: AsRef<str>>(&mut self, name: &str, known: impl IntoIterator<Item = N>) -> Option<String> {
        self.searches += 1;
        (self.searches <= MAX_SEARCHES)
            .then(|| suggest::nearest(name, known))
            .flatten()
    }

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
            let nearest = self.nearest(name, Zone::names());
            self.advise("/timeZone", "there is no such IANA time zone", nearest);
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
        let fits = |granularity: &Granularity| {
            granularity.buckets_at_most(range) <= most
                || granularity.buckets(range, zone).take(most + 1).count() <= most
        };
        if !fits(&granularity) {
            let coarser = std::iter::successors(granularity.coarser(), |granularity| granularity.coarser()).find(fits);
            self.advise(
                "/interval",
                format!("this cuts the range into more than {most} buckets"),
                coarser.map(|granularity| granularity.to_string()),
            );
        }
    }

    fn groups(&mut self, names: &[String], source: Source) -> BTreeSet<&'static Dimension> {
        let names = self.bounded("/groupBy", names, MAX_GROUPS);
        let mut groups = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/groupBy/{index}");
            match catalogue::column(name) {
                Some(ColumnValue::Dimension(dimension) | ColumnValue::Name(dimension))
                    if !dimension.groupable.contain(source) =>
                {
                    self.complain(pointer, "figures of this source cannot be grouped by this dimension");
                }
                Some(ColumnValue::Dimension(dimension)) => {
                    groups.insert(dimension);
                }
                Some(ColumnValue::Name(dimension)) => {
                    self.advise(pointer, "groups are made by id", dimension.name.to_owned());
                    groups.insert(dimension);
                }
                Some(ColumnValue::Interval | ColumnValue::IntervalStart | ColumnValue::IntervalEnd) => {
                    self.complain(
                        pointer,
                        "rows are always told apart by bucket; its length is the field interval",
                    );
                }
                Some(ColumnValue::Metric(..) | ColumnValue::Kpi(_)) => {
                    self.complain(pointer, "this is a metric; groups are made by dimension");
                }
                None => {
                    let known = catalogue::DIMENSIONS
                        .iter()
                        .filter(|dimension| dimension.groupable.contain(source));
                    let known = known.flat_map(|dimension| [dimension.name, dimension.upstream]);
                    self.unknown_dimension(pointer, name, known, "aggregates cannot be grouped by this dimension");
                }
            }
        }
        groups
    }

    fn columns(&mut self, names: &[String], source: Source) -> Vec<Placed> {
        if names.is_empty() {
            self.advise(
                "/select",
                "select at least one metric",
                source.default_metric().to_owned(),
            );
        }
        let names = self.bounded("/select", names, MAX_COLUMNS);
        let mut columns = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/select/{index}");
            if let Some(value) = catalogue::column(name) {
                if let Some(why_not) = foreign_to(source, &value) {
                    self.complain(pointer, why_not);
                    continue;
                }
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
                    .find(|statistic| **statistic == Statistic::Average);
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
                let nearest = self.nearest(name, catalogue::column_names());
                self.advise(pointer, "there is no such metric or dimension", nearest);
            }
        }
        let complete = columns.len() == names.len();
        if complete && !names.is_empty() && columns.iter().all(|placed: &Placed| placed.statistics().is_empty()) {
            self.advise(
                "/select",
                "select at least one metric",
                source.default_metric().to_owned(),
            );
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
    fn columns_fit_together(
        &mut self,
        columns: &[Placed],
        groups: &BTreeSet<&'static Dimension>,
        filter: &Filter,
        source: Source,
    ) {
        let grouped_by = |upstream: &str| groups.iter().any(|dimension| dimension.upstream == upstream);
        let by_agent = grouped_by("userId") || filter.values_of("userId").is_some();
        let one_media_type = !source.tells_media_types_apart()
            || grouped_by("mediaType")
            || filter.values_of("mediaType").is_some_and(|values| values.len() == 1);

        for (index, placed) in columns.iter().enumerate() {
            let Placed { pointer, column } = placed;
            let statistics = placed.statistics();
            if by_agent && statistics.iter().any(|(metric, _)| metric.side == Side::Queue) {
                self.complain(
                    pointer,
                    "this figure belongs to the queue and no agent is involved: grouped by or filtered on agent.id it \
                     would always be empty",
                );
            }
            let cannot_fold =
                |(metric, statistic): &(&Metric, _)| metric.over_media_types(*statistic) == Combination::Never;
            if !one_media_type && statistics.iter().any(cannot_fold) {
                self.advise(
                    pointer,
                    "this figure cannot be put together exactly from those of several media types: add media.type to \
                     groupBy, or filter on one media type",
                    "media.type".to_owned(),
                );
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

    /// Reads a filter on the dimensions allowed, and which of its clauses hold names in place of ids.
    pub(super) fn filter(
        &mut self,
        clauses: &[FilterRequest],
        allowed: impl Fn(&Dimension) -> Result<(), &'static str>,
    ) -> (Filter, Vec<NamedClause>) {
        let clauses = self.bounded("/filter", clauses, MAX_FILTERS);
        let mut filter = Filter::default();
        let mut by_name = Vec::new();
        for (index, clause) in clauses.iter().enumerate() {
            let pointer = format!("/filter/{index}/dimension");
            let values = self.filter_values(&format!("/filter/{index}/values"), &clause.values);
            let name = clause.dimension.as_str();
            let lookup = catalogue::lookup_of_names(name);
            let dimension = lookup.map(|(dimension, _)| dimension).or(catalogue::dimension(name));
            let Some(dimension) = dimension else {
                let known = catalogue::DIMENSIONS
                    .iter()
                    .filter(|dimension| allowed(dimension).is_ok());
                let known = known.flat_map(Dimension::names);
                self.unknown_dimension(pointer, name, known, "this dimension cannot be filtered on");
                continue;
            };
            match allowed(dimension) {
                Err(why) => self.complain(pointer, why),
                Ok(()) if filter.clauses.contains_key(dimension) => {
                    self.complain(
                        pointer,
                        "this dimension is filtered on already: list all its values there, as ids or as names",
                    );
                }
                Ok(()) => {
                    filter.clauses.insert(dimension, values);
                    by_name.extend(lookup.map(|(dimension, lookup)| NamedClause {
                        index,
                        dimension,
                        lookup,
                        names: clause.values.clone(),
                    }));
                }
            }
        }
        (filter, by_name)
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
                    let nearest = self.nearest(name, selected);
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

    fn limit(&mut self, limit: Option<u32>) -> Option<u32> {
        let wrong = limit.filter(|limit| !(1..=MAX_LIMIT).contains(limit));
        if let Some(wrong) = wrong {
            self.advise(
                "/limit",
                format!("an answer has 1 to {MAX_LIMIT} rows"),
                wrong.clamp(1, MAX_LIMIT).to_string(),
            );
        }
        limit
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

    /// Conversations where the name is unknown, so that the rest can still be checked.
    pub(super) fn source(&mut self, name: Option<&str>) -> Source {
        let Some(name) = name else {
            return Source::Conversations;
        };
        Source::named(name).unwrap_or_else(|| {
            let nearest = self.nearest(name, Source::ALL.map(Source::name));
            self.advise("/source", "there is no such family of figures", nearest);
            Source::Conversations
        })
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

    /// Whether the range is to begin and end with the buckets it touches.
    fn expands(&mut self, name: Option<&str>) -> bool {
        match name {
            None | Some("exact") => false,
            Some("expand") => true,
            Some(other) => {
                self.advise(
                    "/align",
                    "align is exact or expand",
                    suggest::nearest(other, ["exact", "expand"]),
                );
                false
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
            let nearest = self.nearest(name, known);
            self.advise(pointer, "there is no such dimension", nearest);
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

/// Why a column cannot be asked of that family, if it cannot.
fn foreign_to(source: Source, value: &ColumnValue) -> Option<String> {
    match value {
        ColumnValue::Interval | ColumnValue::IntervalStart | ColumnValue::IntervalEnd => None,
        ColumnValue::Dimension(dimension) | ColumnValue::Name(dimension) => (!dimension.groupable.contain(source))
            .then(|| format!("this dimension tells no figures of source={} apart", source.name())),
        ColumnValue::Metric(metric, _) => (metric.source != source).then(|| {
            let own = metric.source.name();
            format!("this metric is of source={own}, the query of source={}", source.name())
        }),
        ColumnValue::Kpi(kpi) => (kpi.source() != source).then(|| {
            let own = kpi.source().name();
            format!("this KPI is of source={own}, the query of source={}", source.name())
        }),
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

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use serde_json::{Value, json};

    use super::*;
    use crate::query::NamesByLookup;

    const NOW: &str = "2026-06-17T21:30:59.500Z";

    fn parse(body: &Value) -> Result<Query, Vec<Complaint>> {
        let mut body = body.clone();
        body.as_object_mut()
            .unwrap()
            .entry("dateFrom")
            .or_insert(json!("yesterday"));
        let request = QueryRequest::from_json(&body).shape().unwrap();
        let named = Query::parse(&request, NOW.parse().unwrap(), &Limits::default())?;
        named.resolve(&NamesByLookup::new())
    }

    fn names<'a>(dimensions: impl IntoIterator<Item = &'a &'static Dimension>) -> Vec<&'static str> {
        dimensions.into_iter().map(|dimension| dimension.upstream).collect()
    }

    fn columns(query: &Query) -> Vec<&str> {
        query.columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn the_contract_s_example() {
        let query = parse(&json!({
            "dateFrom": "2023-11-01T00:00:00.000Z", "dateTo": "2023-11-30T23:59:59.999Z",
            "interval": "PT1H", "timeZone": "Europe/Berlin",
            "groupBy": ["routing.queue.id"],
            "select": ["routing.queue.id", "routing.queue.name", "conversation.count"],
            "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}],
            "orderBy": ["-conversation.count"], "page": 1, "pageSize": 100
        }))
        .unwrap();
        let AggregateQuery {
            source,
            range,
            granularity,
            time_zone,
            group_by,
            metrics,
            filter,
        } = &query.aggregate;
        assert_eq!(*source, Source::Conversations);
        assert_eq!(range.to_string(), "2023-11-01T00:00:00.000Z/2023-12-01T00:00:00.000Z");
        assert_eq!(*granularity, Some(Granularity::Minutes(60)));
        assert_eq!(time_zone.name(), "Europe/Berlin");
        assert_eq!(names(group_by), ["queueId"]);
        assert_eq!(
            metrics.iter().map(|metric| metric.upstream).collect::<Vec<_>>(),
            ["nConversations"]
        );
        assert_eq!(names(filter.clauses.keys()), ["mediaType"]);
        assert_eq!(
            filter.values_of("mediaType").unwrap(),
            &["chat", "voice"].map(String::from).into()
        );
        assert_eq!(
            columns(&query),
            [
                "interval",
                "routing.queue.id",
                "routing.queue.name",
                "conversation.count"
            ]
        );
        let by_count = OrderBy {
            column: 3,
            descending: true,
        };
        assert_eq!(query.order_by, [by_count]);
        assert_eq!(query.page, Page { number: 1, size: 100 });
        assert_eq!(query.fill, Fill::None);
    }

    #[test]
    fn an_expanded_range_begins_and_ends_with_the_buckets_it_touches() {
        for (align, interval, from, to, expected) in [
            (
                "expand",
                Some("PT1H"),
                "2026-02-28T10:07:33.123Z",
                "2026-02-28T12:00:00.001Z",
                "2026-02-28T10:00:00Z/2026-02-28T13:00:00Z",
            ),
            (
                "expand",
                Some("PT1H"),
                "2026-02-28T10:00:00Z",
                "2026-02-28T12:00:00Z",
                "2026-02-28T10:00:00Z/2026-02-28T12:00:00Z",
            ),
            (
                "expand",
                Some("P1D"),
                "2026-02-28T10:00:00Z",
                "2026-02-28T12:00:00Z",
                "2026-02-27T23:00:00Z/2026-02-28T23:00:00Z",
            ),
            // A day of 23 hours.
            (
                "expand",
                Some("P1D"),
                "2026-03-29T10:00:00Z",
                "2026-03-29T10:00:01Z",
                "2026-03-28T23:00:00Z/2026-03-29T22:00:00Z",
            ),
            (
                "exact",
                Some("PT1H"),
                "2026-02-28T10:07:33.123Z",
                "2026-02-28T12:00:00.001Z",
                "2026-02-28T10:07:33.123Z/2026-02-28T12:00:00.001Z",
            ),
            (
                "expand",
                None,
                "2026-02-28T10:07:33.123Z",
                "2026-02-28T12:00:00.001Z",
                "2026-02-28T10:07:33.123Z/2026-02-28T12:00:00.001Z",
            ),
        ] {
            let body = json!({"dateFrom": from, "dateTo": to, "interval": interval, "align": align, "timeZone": "Europe/Berlin"});
            let (start, end) = expected.split_once('/').unwrap();
            let range = parse(&body).unwrap().aggregate.range;
            assert_eq!(
                (range.start, range.end),
                (start.parse().unwrap(), end.parse().unwrap()),
                "{align} {interval:?} {from}"
            );
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (body, expected_columns, expected_groups) in [
            (json!({}), vec!["conversation.count"], vec![]),
            (
                json!({"interval": "P1D"}),
                vec!["interval", "conversation.count"],
                vec![],
            ),
            (
                json!({"groupBy": ["queueId", "media.type", "routing.queue.id"]}),
                vec!["queueId", "media.type", "conversation.count"],
                vec!["mediaType", "queueId"],
            ),
            (
                json!({"select": ["routing.queue.name", "nOffered"]}),
                vec!["routing.queue.name", "nOffered"],
                vec!["queueId"],
            ),
            (
                json!({"select": ["nOffered"], "groupBy": ["queueId"]}),
                vec!["nOffered"],
                vec!["queueId"],
            ),
            (
                json!({"select": ["nOffered", "interval"], "interval": "PT1H"}),
                vec!["nOffered", "interval"],
                vec![],
            ),
            (
                json!({"select": ["nOffered", "interval"]}),
                vec!["nOffered", "interval"],
                vec![],
            ),
            (
                json!({"select": ["interval.start", "interval.end", "nOffered"], "interval": "PT1H"}),
                vec!["interval.start", "interval.end", "nOffered"],
                vec![],
            ),
        ] {
            let query = parse(&body).unwrap();
            assert_eq!(columns(&query), expected_columns, "{body}");
            assert_eq!(names(&query.aggregate.group_by), expected_groups, "{body}");
            assert_eq!(query.aggregate.time_zone, Zone::utc());
            assert_eq!(query.page, Page { number: 1, size: 100 });
        }
    }

    #[test]
    fn a_kpi_asks_for_its_parts_once() {
        let query = parse(&json!({
            "select": ["abandon.net.rate", "conversation.offered", "aht", "tHandle.max"],
            "orderBy": ["-handle.time.average", "abandon.net.rate"]
        }))
        .unwrap();
        let metrics: Vec<_> = query.aggregate.metrics.iter().map(|metric| metric.upstream).collect();
        assert_eq!(metrics, ["nOffered", "tAbandon", "tHandle", "tShortAbandon"]);
        let keys: Vec<_> = query.order_by.iter().map(|key| (key.column, key.descending)).collect();
        assert_eq!(keys, [(2, true), (0, false)]);
    }

    #[test]
    fn names_of_both_kinds_order_rows() {
        let query = parse(&json!({
            "select": ["queueId", "tHandle.average", "conversation.offered"],
            "orderBy": ["-handle.time.average", "routing.queue.id", "nOffered"]
        }))
        .unwrap();
        let keys: Vec<_> = query.order_by.iter().map(|key| (key.column, key.descending)).collect();
        assert_eq!(keys, [(1, true), (0, false), (2, false)]);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn wrong_requests_are_refused_with_advice() {
        let many = |count: usize| vec!["queueId"; count];
        for (body, pointer, suggestion) in [
            (json!({"dateFrom": "yesterdy"}), "/dateFrom", Some("yesterday")),
            (json!({"dateTo": "now-1dd"}), "/dateTo", Some("now-7d")),
            (json!({"dateFrom": "now", "dateTo": "now-1d"}), "/dateTo", None),
            (json!({"dateFrom": "now", "dateTo": "now"}), "/dateTo", None),
            (json!({"dateFrom": "now+1d"}), "/dateFrom", None),
            (json!({"dateFrom": "now-401d"}), "/dateFrom", None),
            (json!({"timeZone": "Europe/Berln"}), "/timeZone", Some("Europe/Berlin")),
            (json!({"timeZone": ""}), "/timeZone", None),
            (json!({"interval": "PT7M"}), "/interval", Some("PT6M")),
            (json!({"interval": ""}), "/interval", None),
            (
                json!({"dateFrom": "last30d", "interval": "PT1M"}),
                "/interval",
                Some("PT5M"),
            ),
            (
                json!({"dateFrom": "now-400d", "interval": "PT1M"}),
                "/interval",
                Some("PT30M"),
            ),
            (json!({"source": "conversation"}), "/source", Some("conversations")),
            (json!({"fill": "zeros"}), "/fill", Some("zero")),
            (json!({"align": "expanded"}), "/align", Some("expand")),
            (json!({"limit": 0}), "/limit", Some("1")),
            (json!({"limit": 250_001}), "/limit", Some("250000")),
            (json!({"page": 0}), "/page", None),
            (json!({"page": 1_000_001}), "/page", None),
            (json!({"pageSize": 0}), "/pageSize", Some("1")),
            (json!({"pageSize": 1001}), "/pageSize", Some("1000")),
            (json!({"groupBy": ["queue.id"]}), "/groupBy/0", Some("routing.queue.id")),
            (json!({"groupBy": ["queueid"]}), "/groupBy/0", Some("queueId")),
            (json!({"groupBy": ["agent.name"]}), "/groupBy/0", Some("agent.id")),
            (json!({"groupBy": ["interval"]}), "/groupBy/0", None),
            (json!({"groupBy": ["nOffered"]}), "/groupBy/0", None),
            (json!({"groupBy": ["canonicalExternalContactId"]}), "/groupBy/0", None),
            (json!({"groupBy": ["segment.type"]}), "/groupBy/0", None),
            (json!({"groupBy": many(21)}), "/groupBy", None),
            (json!({"select": []}), "/select", Some("conversation.count")),
            (json!({"select": ["queueId"]}), "/select", Some("conversation.count")),
            (
                json!({"select": ["conversation.cuont"]}),
                "/select/0",
                Some("conversation.count"),
            ),
            (json!({"select": ["tHandel.sum"]}), "/select/0", Some("tHandle.sum")),
            (
                json!({"select": ["handle.time"]}),
                "/select/0",
                Some("handle.time.average"),
            ),
            (json!({"select": ["oServiceLevel"]}), "/select/0", Some("service.level")),
            (json!({"select": ["nOffered", "segmentType"]}), "/select/1", None),
            (json!({"select": ["nOffered", "nOffered"]}), "/select/1", None),
            (json!({"select": ["nOffered", "nOffered.count"]}), "/select/1", None),
            (json!({"select": ["nOffered.count", "nOffered"]}), "/select/1", None),
            (
                json!({"select": ["nOffered", "queueId"], "groupBy": []}),
                "/select/1",
                Some("routing.queue.id"),
            ),
            (
                json!({"select": ["nOffered", "routing.queue.name"], "groupBy": ["media.type"]}),
                "/select/1",
                Some("routing.queue.id"),
            ),
            (json!({"select": many(101)}), "/select", None),
            // Of the queue, not of an agent: it would be empty without saying so.
            (json!({"select": ["agent.id", "nOffered"]}), "/select/1", None),
            (
                json!({"select": ["service.level"], "filter": [{"dimension": "agent.id", "values": ["a"]}]}),
                "/select/0",
                None,
            ),
            (json!({"select": ["agent.id", "answer.rate"]}), "/select/1", None),
            (json!({"groupBy": ["abandon.rate"]}), "/groupBy/0", None),
            (json!({"select": ["abandn.rate"]}), "/select/0", Some("abandon.rate")),
            (
                json!({"select": ["abandon.rate"], "orderBy": ["aht"]}),
                "/orderBy/0",
                None,
            ),
            // Not to be put together from the media types the upstream tells apart.
            (json!({"select": ["handle.time.p95"]}), "/select/0", Some("media.type")),
            (json!({"select": ["service.goal"]}), "/select/0", Some("media.type")),
            (
                json!({
                    "select": ["handle.time.p99"],
                    "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}]
                }),
                "/select/0",
                Some("media.type"),
            ),
            (
                json!({"filter": [{"dimension": "media", "values": ["voice"]}]}),
                "/filter/0/dimension",
                Some("media.type"),
            ),
            (
                json!({"filter": [{"dimension": "queue.name", "values": ["Support"]}]}),
                "/filter/0/dimension",
                Some("routing.queue.name"),
            ),
            (
                json!({"select": ["interval", "interval.start", "nOffered"]}),
                "/select/1",
                None,
            ),
            (json!({"groupBy": ["interval.start"]}), "/groupBy/0", None),
            (
                json!({"filter": [{"dimension": "segment.type", "values": ["ivr"]}]}),
                "/filter/0/dimension",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": ["1"]}, {"dimension": "ani", "values": ["2"]}]}),
                "/filter/1/dimension",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": []}]}),
                "/filter/0/values",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": many(201)}]}),
                "/filter/0/values",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": ["1", ""]}]}),
                "/filter/0/values/1",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": ["1\n2"]}]}),
                "/filter/0/values/0",
                None,
            ),
            (
                json!({"filter": [{"dimension": "ani", "values": ["é".repeat(257)]}]}),
                "/filter/0/values/0",
                None,
            ),
            (json!({"orderBy": ["nOffered"]}), "/orderBy/0", None),
            (
                json!({"orderBy": ["-conversation.cont"]}),
                "/orderBy/0",
                Some("-conversation.count"),
            ),
            (
                json!({"orderBy": ["conversation.count", "-nConversations"]}),
                "/orderBy/1",
                None,
            ),
        ] {
            let complaints = parse(&body).unwrap_err();
            let [
                Complaint {
                    pointer: at,
                    suggestion: advice,
                    ..
                },
            ] = complaints.as_slice()
            else {
                panic!("{body}: {complaints:?}")
            };
            assert_eq!((at.as_str(), advice.as_deref()), (pointer, suggestion), "{body}");
        }
    }

    #[test]
    fn the_longest_allowed_is_allowed() {
        for body in [
            json!({"dateFrom": "now-400d"}),
            json!({"dateFrom": "now-400d", "interval": "PT30M"}),
            json!({"dateFrom": "now-300d", "timeZone": "Europe/Berlin", "interval": "P1D"}),
            json!({"pageSize": 1000, "page": 1_000_000, "limit": 250_000}),
            json!({"select": ["agent.id", "transfer.rate", "over.sla.rate", "aht"]}),
            json!({"filter": [{"dimension": "ani", "values": ["é".repeat(256)]}]}),
            json!({"select": ["media.type", "handle.time.p95", "service.goal"]}),
            json!({"select": ["handle.time.p95"], "filter": [{"dimension": "media.type", "values": ["voice"]}]}),
            json!({"select": ["agent.name", "handle.time.average", "conversation.answered", "conversation.count"]}),
        ] {
            assert!(parse(&body).is_ok(), "{body}: {:?}", parse(&body));
        }
    }

    #[test]
    fn mistakes_by_the_thousand_are_not_all_repeated() {
        let clause = |dimension: &Dimension| json!({"dimension": dimension.name, "values": vec![""; 200]});
        let filter: Vec<_> = catalogue::DIMENSIONS[..50].iter().map(clause).collect();
        assert_eq!(parse(&json!({"filter": filter})).unwrap_err().len(), MAX_COMPLAINTS);
        let body = json!({"dateFrom": "today", "select": vec![1; 10_000]});
        assert_eq!(
            QueryRequest::from_json(&body).shape().unwrap_err().len(),
            MAX_COMPLAINTS
        );
    }

    #[test]
    fn every_family_has_figures_of_its_own() {
        let query = parse(&json!({"source": "users", "groupBy": ["agent.id"]})).unwrap();
        assert_eq!(columns(&query), ["agent.id", "presence.on.queue.time"]);
        assert_eq!(query.aggregate.source, Source::Users);
        for (body, pointer, detail) in [
            (
                json!({"source": "users", "select": ["conversation.offered"]}),
                "/select/0",
                "this metric is of source=conversations, the query of source=users",
            ),
            (
                json!({"select": ["nOffered", "presence.meal.time"]}),
                "/select/1",
                "this metric is of source=users, the query of source=conversations",
            ),
            (
                json!({"source": "evaluations", "select": ["survey.type", "evaluation.count"]}),
                "/select/0",
                "this dimension tells no figures of source=evaluations apart",
            ),
            (
                json!({"source": "users", "groupBy": ["routing.queue.id"]}),
                "/groupBy/0",
                "figures of this source cannot be grouped by this dimension",
            ),
            (
                json!({"source": "users", "filter": [{"dimension": "routing.queue.name", "values": ["Support"]}]}),
                "/filter/0/dimension",
                "figures of this source cannot be filtered on this dimension",
            ),
        ] {
            let complaints = parse(&body).unwrap_err();
            let told: Vec<_> = complaints
                .iter()
                .map(|told| (told.pointer.as_str(), told.detail.as_str()))
                .collect();
            assert_eq!(told, [(pointer, detail)], "{body}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let complaints = parse(&json!({
            "dateFrom": "soon", "dateTo": "later", "interval": "P2D", "timeZone": "Mars/Olympus",
            "groupBy": ["queue"], "select": ["conversation.cuont", "nOffered", "agent.id"],
            "filter": [{"dimension": "colour", "values": []}],
            "orderBy": ["-conversation.count", "nothing"], "limit": 0, "page": 0, "pageSize": 5000,
            "source": "weather", "fill": "ones"
        }))
        .unwrap_err();
        let pointers: Vec<_> = complaints.iter().map(|complaint| complaint.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/source",
                "/timeZone",
                "/dateFrom",
                "/dateTo",
                "/interval",
                "/groupBy/0",
                "/filter/0/values",
                "/filter/0/dimension",
                "/select/0",
                "/select/2",
                "/orderBy/1",
                "/limit",
                "/page",
                "/pageSize",
                "/fill",
            ]
        );
    }

    /// A request of known names in any order, with repeats where they mean nothing.
    fn requests() -> impl Strategy<Value = QueryRequest> {
        let metrics = vec![
            "conversation.count",
            "tHandle.sum",
            "talk.time.average",
            "nTransferred",
            "acw.time.max",
        ];
        let groups = vec!["routing.queue.id", "media.type", "userId", "division.id"];
        let values = vec!["a", "b", "c", "d"];
        let clause = subsequence(values, 1..=4).prop_shuffle();
        (
            subsequence(metrics, 1..=5).prop_shuffle(),
            subsequence(groups, 0..=4).prop_shuffle(),
            proptest::collection::vec(clause, 2),
            any::<bool>(),
        )
            .prop_map(|(metrics, groups, clauses, swapped)| {
                let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
                let dimensions = if swapped {
                    ["ani", "purpose"]
                } else {
                    ["purpose", "ani"]
                };
                let clause = |(dimension, values): (&str, &Vec<&str>)| FilterRequest {
                    dimension: dimension.to_owned(),
                    values: owned(values),
                };
                QueryRequest {
                    date_from: "yesterday".to_owned(),
                    group_by: Some(owned(&groups)),
                    select: Some(owned(&metrics)),
                    filter: dimensions.into_iter().zip(&clauses).map(clause).collect(),
                    ..QueryRequest::default()
                }
            })
    }

    proptest! {
        #[test]
        fn what_means_the_same_is_the_same(mut request in requests()) {
            let now = NOW.parse().unwrap();
            let parse = |request: &QueryRequest| {
                let named = Query::parse(request, now, &Limits::default()).unwrap();
                named.resolve(&NamesByLookup::new()).unwrap().aggregate
            };
            let one = parse(&request);
            prop_assert!(one.group_by.is_sorted() && one.metrics.is_sorted());

            request.filter.reverse();
            for list in [request.select.as_mut(), request.group_by.as_mut()].into_iter().flatten() {
                list.reverse();
            }
            for clause in &mut request.filter {
                clause.values.reverse();
                clause.values.extend(clause.values.first().cloned());
            }
            let first_group = request.group_by.as_ref().and_then(|groups| groups.first().cloned());
            request.group_by.as_mut().unwrap().extend(first_group);
            prop_assert_eq!(&one, &parse(&request));

            // Said again in the words of the checked query, it is the same query.
            request.group_by = Some(one.group_by.iter().map(|dimension| dimension.upstream.to_owned()).collect());
            request.filter = one.filter.clauses.iter().map(|(dimension, values)| FilterRequest {
                dimension: dimension.name.to_owned(),
                values: values.iter().cloned().collect(),
            }).collect();
            request.date_from = one.range.start.to_string();
            request.date_to = Some(one.range.end.to_string());
            prop_assert_eq!(&one, &parse(&request));
        }

        #[test]
        fn no_text_makes_it_panic(
            texts in proptest::collection::vec(".{0,40}|(now|last|P|PT|-)[-+/0-9smhdwMyTDHW.é ]{0,12}|[a-z.]{0,12}", 13),
            numbers in any::<(u32, u32, u32)>(),
        ) {
            let text = |index: usize| texts[index].clone();
            let request = QueryRequest {
                date_from: text(0),
                date_to: Some(text(1)),
                interval: Some(text(2)),
                time_zone: Some(text(3)),
                group_by: Some(vec![text(4)]),
                select: Some(vec![text(5), text(6)]),
                filter: vec![FilterRequest { dimension: text(7), values: vec![text(8)] }],
                order_by: vec![text(9)],
                limit: Some(numbers.2),
                page: Some(numbers.0),
                page_size: Some(numbers.1),
                source: Some(text(10)),
                fill: Some(text(11)),
                align: Some(text(12)),
            };
            let _ = Query::parse(&request, NOW.parse().unwrap(), &Limits::default());
        }
    }
}
