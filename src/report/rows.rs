//! From what the upstream said to the rows the caller reads: columns, empty buckets, order, page.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::merge::fold_media_types;
use crate::{
    query::{
        AggregateQuery, ColumnValue, Fill, Metric, Page, Query, Range, Statistic,
        catalogue::{Lookup, Rollup},
    },
    table::{Cell, ColumnKind, SliceRow, Stats, Table, TableColumn},
};

/// Names by id, for every look-up the query's columns need.
pub(super) type NamesByLookup = HashMap<Lookup, Arc<HashMap<Arc<str>, Arc<str>>>>;

/// The page of rows the query asks for, and how many rows there are in all.
pub(super) fn table(query: &Query, rows: &[SliceRow], names: &NamesByLookup) -> (Table, u64) {
    let mut rows = fold_media_types(&query.aggregate, rows);
    if query.fill == Fill::Zero {
        fill_with_zeros(&query.aggregate, &mut rows);
    }
    rows.sort_unstable_by(|a, b| (a.bucket, &a.group).cmp(&(b.bucket, &b.group)));
    let mut rows: Vec<Vec<Cell>> = rows.iter().map(|row| cells(query, row, names)).collect();
    // Stable: rows equal in every key stay in order of bucket and group.
    rows.sort_by(|a, b| compare(query, a, b));
    let total = rows.len() as u64;
    let table = Table {
        columns: columns(query),
        rows: page(query.page, rows),
    };
    (table, total)
}

fn columns(query: &Query) -> Vec<TableColumn> {
    let kind = |value: &ColumnValue| match value {
        ColumnValue::Interval => ColumnKind::Interval,
        ColumnValue::Dimension(_) | ColumnValue::Name(_) => ColumnKind::Text,
        ColumnValue::Metric(metric, statistic) => kind_of(metric, *statistic),
    };
    let column = |column: &crate::query::Column| TableColumn {
        name: column.name.clone(),
        kind: kind(&column.value),
    };
    query.columns.iter().map(column).collect()
}

fn kind_of(metric: &Metric, statistic: Statistic) -> ColumnKind {
    match statistic {
        Statistic::Count | Statistic::Numerator | Statistic::Denominator => ColumnKind::Count,
        Statistic::Ratio | Statistic::Target => ColumnKind::Ratio,
        Statistic::Sum | Statistic::Min | Statistic::Max | Statistic::Average | Statistic::P95 | Statistic::P99 => {
            if metric.rollup == Rollup::Timer && metric.upstream.starts_with('t') {
                ColumnKind::Milliseconds
            } else {
                ColumnKind::Number
            }
        }
    }
}

fn cells(query: &Query, row: &SliceRow, names: &NamesByLookup) -> Vec<Cell> {
    let in_group = |wanted| {
        let place = query
            .aggregate
            .group_by
            .iter()
            .position(|dimension| *dimension == wanted)?;
        row.group[place].clone()
    };
    let of_metric = |wanted, statistic| {
        let place = query.aggregate.metrics.iter().position(|metric| *metric == wanted)?;
        row.metrics[place]?.get(statistic)
    };
    let cell = |value: &ColumnValue| match value {
        ColumnValue::Interval => Cell::Interval(row.bucket),
        ColumnValue::Dimension(dimension) => in_group(*dimension).map_or(Cell::Empty, Cell::Text),
        ColumnValue::Name(dimension) => in_group(*dimension).map_or(Cell::Empty, |id| {
            let known = dimension.named.and_then(|(_, lookup)| names.get(&lookup)?.get(&id));
            // What was deleted upstream keeps its rows but not its name: its id stands in.
            Cell::Text(known.cloned().unwrap_or(id))
        }),
        ColumnValue::Metric(metric, statistic) => of_metric(*metric, *statistic).map_or(Cell::Empty, Cell::Number),
    };
    query.columns.iter().map(|column| cell(&column.value)).collect()
}

/// Adds a row of zeros for every group and bucket without one, and zeros where a row lacks an additive metric.
fn fill_with_zeros(query: &AggregateQuery, rows: &mut Vec<SliceRow>) {
    for row in rows.iter_mut() {
        for (metric, stats) in query.metrics.iter().zip(&mut row.metrics) {
            *stats = stats.or_else(|| zero(metric));
        }
    }
    let mut groups: HashSet<_> = rows
        .iter()
        .map(|row| (row.group.clone(), row.media_type.clone()))
        .collect();
    if query.group_by.is_empty() {
        groups.insert((Vec::new(), None));
    }
    let present: HashSet<_> = rows.iter().map(|row| (row.group.clone(), row.bucket)).collect();
    for bucket in buckets(query) {
        for (group, media_type) in &groups {
            if !present.contains(&(group.clone(), bucket)) {
                rows.push(SliceRow {
                    group: group.clone(),
                    media_type: media_type.clone(),
                    bucket,
                    metrics: query.metrics.iter().map(|metric| zero(metric)).collect(),
                });
            }
        }
    }
}

fn buckets(query: &AggregateQuery) -> Vec<Range> {
    match query.granularity {
        None => vec![query.range],
        Some(granularity) => granularity.buckets(query.range, &query.time_zone).collect(),
    }
}

/// What a metric says when nothing happened; an average, an extreme or a ratio of nothing is nothing.
fn zero(metric: &Metric) -> Option<Stats> {
    let nothing = Some(0.0);
    match metric.rollup {
        Rollup::Counter | Rollup::Distinct => Some(Stats {
            count: nothing,
            ..Stats::default()
        }),
        Rollup::Timer => Some(Stats {
            count: nothing,
            sum: nothing,
            ..Stats::default()
        }),
        Rollup::Ratio => Some(Stats {
            numerator: nothing,
            denominator: nothing,
            ..Stats::default()
        }),
        Rollup::None => None,
    }
}

fn compare(query: &Query, a: &[Cell], b: &[Cell]) -> Ordering {
    let by_key = query.order_by.iter().map(|key| {
        let (a, b) = (&a[key.column], &b[key.column]);
        match (a, b) {
            // Nothing comes last, whichever way the column is sorted.
            (Cell::Empty, Cell::Empty) => Ordering::Equal,
            (Cell::Empty, _) => Ordering::Greater,
            (_, Cell::Empty) => Ordering::Less,
            _ if key.descending => rank(b, a),
            _ => rank(a, b),
        }
    });
    by_key.fold(Ordering::Equal, Ordering::then)
}

fn rank(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => a.total_cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Interval(a), Cell::Interval(b)) => a.cmp(b),
        // A column holds one kind.
        _ => Ordering::Equal,
    }
}

fn page(page: Page, rows: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let size = page.size as usize;
    let before = (page.number as usize - 1).saturating_mul(size);
    rows.into_iter().skip(before).take(size).collect()
}
