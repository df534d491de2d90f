//! From what the upstream said to the rows the caller reads: columns, KPIs, empty buckets, order, limit, page.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{ReportError, merge::fold_media_types};
use crate::{
    query::{
        AggregateQuery, ColumnValue, Fill, Metric, NamesById, NamesByLookup, NamesQuery, Page, Query, Range, Statistic,
        catalogue::{self, Rollup, Unit},
    },
    table::{Cell, ColumnKind, LocalInstant, SliceRow, Stats, Table, TableColumn},
};

/// The most rows of one answer, all pages together: what is made in memory to be ordered and cut.
pub const MAX_ROWS: u64 = 250_000;

/// The page of ordered rows the query asks for. Rows may have been made for a range that ends later, with the last bucket:
/// that is shown as far as it was asked for.
pub(super) fn shown(query: &Query, rows: &[Vec<Cell>]) -> Table {
    let end = query.aggregate.range.end;
    let clipped = |row: &Vec<Cell>| {
        let mut row = row.clone();
        for (cell, column) in row.iter_mut().zip(&query.columns) {
            match (cell, &column.value) {
                (Cell::Interval(bucket), _) => bucket.end = bucket.end.min(end),
                (Cell::Instant(instant), ColumnValue::IntervalEnd) if instant.at > end => {
                    *instant = local(query, end);
                }
                _ => {}
            }
        }
        row
    };
    Table {
        columns: columns(query),
        rows: page(query.page, rows.iter().collect())
            .into_iter()
            .map(clipped)
            .collect(),
    }
}

fn local(query: &Query, at: Timestamp) -> LocalInstant {
    let offset = query.aggregate.time_zone.offset_at(at);
    LocalInstant { at, offset }
}

/// All rows of the answer, in their order.
pub(super) fn ordered(query: &Query, rows: &[SliceRow], names: &NamesByLookup) -> Result<Vec<Vec<Cell>>, ReportError> {
    let mut rows = fold_media_types(&query.aggregate, rows);
    rows.retain(|row| query.only.shows(&query.aggregate.group_by, &row.group));
    bounded(rows.len())?;
    if query.fill == Fill::Zero {
        fill_with_zeros(&query.aggregate, &mut rows)?;
    }
    rows.sort_unstable_by(|a, b| (a.bucket, &a.group).cmp(&(b.bucket, &b.group)));
    let mut rows: Vec<Vec<Cell>> = rows.iter().map(|row| cells(query, row, names)).collect();
    // Stable: rows equal in every key stay in order of bucket and group.
    rows.sort_by(|a, b| compare(query, a, b));
    if let Some(limit) = query.limit {
        rows.truncate(limit as usize);
    }
    Ok(rows)
}

/// The page of ids and names the query asks for, and how many it finds in all.
pub(super) fn names(query: &NamesQuery, names: &NamesById) -> (Table, u64) {
    let mut found: Vec<_> = names.iter().filter(|(_, name)| query.finds(name)).collect();
    found.sort_unstable_by(|(id, name), (other_id, other)| (name, id).cmp(&(other, other_id)));
    let total = found.len() as u64;
    let cells = |(id, name): (&Arc<str>, &Arc<str>)| vec![Cell::Text(Arc::clone(id)), Cell::Text(Arc::clone(name))];
    let column = |name: &str, title: &str| TableColumn {
        name: name.to_owned(),
        title: title.to_owned(),
        kind: ColumnKind::Text,
    };
    let table = Table {
        columns: vec![column("id", "Id"), column("name", "Name")],
        rows: page(query.page, found).into_iter().map(cells).collect(),
    };
    (table, total)
}

fn bounded(rows: usize) -> Result<(), ReportError> {
    let rows = rows as u64;
    if rows > MAX_ROWS {
        return Err(ReportError::TooManyRows { rows, limit: MAX_ROWS });
    }
    Ok(())
}

fn columns(query: &Query) -> Vec<TableColumn> {
    let kind = |value: &ColumnValue| match value {
        ColumnValue::Interval => ColumnKind::Interval,
        ColumnValue::IntervalStart | ColumnValue::IntervalEnd => ColumnKind::Instant,
        ColumnValue::Dimension(_) | ColumnValue::Name(_) => ColumnKind::Text,
        // What is counted is whole; the sums, extremes and means of a measure need not be.
        ColumnValue::Metric(metric, statistic) if metric.unit == Unit::Count && !counts(*statistic) => {
            ColumnKind::Quantity
        }
        ColumnValue::Metric(metric, statistic) => kind_of(metric.unit_of(*statistic)),
        ColumnValue::Kpi(kpi) => kind_of(kpi.formula.unit()),
    };
    let column = |column: &crate::query::Column| TableColumn {
        name: column.name.clone(),
        title: catalogue::title(&column.name, &column.value),
        kind: kind(&column.value),
    };
    query.columns.iter().map(column).collect()
}

fn kind_of(unit: Unit) -> ColumnKind {
    match unit {
        Unit::Count => ColumnKind::Count,
        Unit::Milliseconds => ColumnKind::Milliseconds,
        Unit::Ratio => ColumnKind::Ratio,
        Unit::Points => ColumnKind::Quantity,
    }
}

const fn counts(statistic: Statistic) -> bool {
    matches!(
        statistic,
        Statistic::Count | Statistic::Numerator | Statistic::Denominator
    )
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
    let of_metric = |wanted: &Metric, statistic: Statistic| {
        let place = query.aggregate.metrics.iter().position(|metric| *metric == wanted)?;
        row.metrics[place]?.get(statistic)
    };
    let instant = |at| Cell::Instant(local(query, at));
    let cell = |value: &ColumnValue| match value {
        ColumnValue::Interval => Cell::Interval(row.bucket),
        ColumnValue::IntervalStart => instant(row.bucket.start),
        ColumnValue::IntervalEnd => instant(row.bucket.end),
        ColumnValue::Dimension(dimension) => in_group(*dimension).map_or(Cell::Empty, Cell::Text),
        ColumnValue::Name(dimension) => in_group(*dimension).map_or(Cell::Empty, |id| {
            let known = dimension.named.and_then(|(_, lookup)| names.get(&lookup)?.get(&id));
            // What was deleted upstream keeps its rows but not its name: its id stands in.
            Cell::Text(known.cloned().unwrap_or(id))
        }),
        ColumnValue::Metric(metric, statistic) => of_metric(metric, *statistic).map_or(Cell::Empty, Cell::Number),
        // Of a row that is whole: folded, and asked for by its own bucket.
        ColumnValue::Kpi(kpi) => {
            let figure = kpi.formula.value(|part| of_metric(part.metric, part.statistic));
            figure.map_or(Cell::Empty, Cell::Number)
        }
    };
    query.columns.iter().map(|column| cell(&column.value)).collect()
}

/// Adds a row of zeros for every group and bucket without one, and zeros where a row lacks an additive metric.
fn fill_with_zeros(query: &AggregateQuery, rows: &mut Vec<SliceRow>) -> Result<(), ReportError> {
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
    let buckets = buckets(query, rows.iter().map(|row| row.bucket).collect());
    bounded(buckets.len().saturating_mul(groups.len()))?;
    let present: HashSet<_> = rows.iter().map(|row| (row.group.clone(), row.bucket)).collect();
    for bucket in buckets {
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
    Ok(())
}

/// The buckets of the whole range: those the upstream reported, and between them those we expect, cut where the
/// upstream's lie otherwise (it does not say how it cuts days with a clock change). They partition the range.
fn buckets(query: &AggregateQuery, reported: BTreeSet<Range>) -> Vec<Range> {
    let gap = |start, end| Range::new(start, end).map(|gap| expected_buckets(query, gap));
    let mut reached = query.range.start;
    let mut buckets = Vec::new();
    for bucket in reported {
        buckets.extend(gap(reached, bucket.start).into_iter().flatten());
        reached = reached.max(bucket.end);
        buckets.push(bucket);
    }
    buckets.extend(gap(reached, query.range.end).into_iter().flatten());
    buckets
}

fn expected_buckets(query: &AggregateQuery, range: Range) -> Vec<Range> {
    match query.granularity {
        None => vec![range],
        Some(granularity) => granularity.buckets(range, &query.time_zone).collect(),
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
        (Cell::Instant(a), Cell::Instant(b)) => a.at.cmp(&b.at),
        // A column holds one kind.
        _ => Ordering::Equal,
    }
}

pub(super) fn page<R>(page: Page, rows: Vec<R>) -> Vec<R> {
    let size = page.size as usize;
    let before = (page.number as usize - 1).saturating_mul(size);
    rows.into_iter().skip(before).take(size).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn table(query: &Query, rows: &[SliceRow], names: &NamesByLookup) -> Result<(Table, u64), ReportError> {
        let ordered = ordered(query, rows, names)?;
        Ok((shown(query, &ordered), ordered.len() as u64))
    }
    use crate::query::{
        Limits, QueryRequest, Source,
        catalogue::{Formula, KPIS, Lookup, column},
    };

    /// Two hours in two buckets, grouped and measured as told, all columns selected.
    pub(in crate::report) fn query(group_by: &[&str], metrics: &[&str]) -> Query {
        query_of(Source::Conversations, group_by, metrics)
    }

    fn query_of(source: Source, group_by: &[&str], metrics: &[&str]) -> Query {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let request = QueryRequest {
            date_from: "2026-03-01T00:00:00Z".to_owned(),
            date_to: Some("2026-03-01T02:00:00Z".to_owned()),
            interval: Some("PT1H".to_owned()),
            source: Some(source.name().to_owned()),
            group_by: Some(owned(group_by)),
            select: Some(owned(&[group_by, metrics].concat())),
            ..QueryRequest::default()
        };
        let named = Query::parse(&request, Timestamp::UNIX_EPOCH, &Limits::default()).unwrap();
        named.resolve(&NamesByLookup::new()).unwrap()
    }

    pub(in crate::report) fn group(values: &[&str]) -> Vec<Option<Arc<str>>> {
        values.iter().map(|value| Some(Arc::from(*value))).collect()
    }

    fn bucket(hour: i64) -> Range {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let at = |hour: i64| start + jiff::SignedDuration::from_hours(hour);
        Range::new(at(hour), at(hour + 1)).unwrap()
    }

    /// A row of one metric in the given hour.
    pub(in crate::report) fn row(values: &[&str], media: Option<&str>, hour: i64, stats: Option<Stats>) -> SliceRow {
        SliceRow {
            group: group(values),
            media_type: media.map(Arc::from),
            bucket: bucket(hour),
            metrics: vec![stats],
        }
    }

    fn count(count: f64) -> Stats {
        Stats {
            count: Some(count),
            ..Stats::default()
        }
    }

    fn printed(table: &Table) -> Vec<String> {
        let cell = |cell: &Cell| match cell {
            Cell::Empty => "-".to_owned(),
            Cell::Interval(range) => range.start.strftime("%H").to_string(),
            Cell::Instant(instant) => instant.to_string(),
            Cell::Text(text) => text.to_string(),
            Cell::Number(number) => number.to_string(),
        };
        table
            .rows
            .iter()
            .map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" "))
            .collect()
    }

    fn rows() -> Vec<SliceRow> {
        vec![
            row(&["b"], Some("voice"), 1, Some(count(1.0))),
            row(&["b"], Some("voice"), 0, Some(count(2.0))),
            row(&["a"], Some("voice"), 0, Some(count(2.0))),
            row(&["a"], Some("chat"), 0, Some(count(5.0))),
            row(&["a"], Some("chat"), 1, None),
        ]
    }

    #[test]
    fn rows_come_in_order_of_bucket_and_group_unless_asked_otherwise() {
        let mut query = query(&["queueId"], &["nOffered"]);
        let table_of = |query: &Query| printed(&table(query, &rows(), &NamesByLookup::new()).unwrap().0);
        assert_eq!(table_of(&query), ["00 a 7", "00 b 2", "01 a -", "01 b 1"]);
        for (column, descending, expected) in [
            (2, true, ["00 a 7", "00 b 2", "01 b 1", "01 a -"]),
            (2, false, ["01 b 1", "00 b 2", "00 a 7", "01 a -"]),
            (1, true, ["00 b 2", "01 b 1", "00 a 7", "01 a -"]),
            (0, true, ["01 a -", "01 b 1", "00 a 7", "00 b 2"]),
        ] {
            query.order_by = vec![crate::query::OrderBy { column, descending }];
            assert_eq!(table_of(&query), expected, "by column {column}");
        }
    }

    #[test]
    fn a_page_is_cut_after_ordering_and_the_total_counts_all() {
        let mut query = query(&["queueId"], &["nOffered"]);
        for (number, size, expected) in [
            (1, 3, vec!["00 a 7", "00 b 2", "01 a -"]),
            (2, 3, vec!["01 b 1"]),
            (3, 3, vec![]),
            (1_000_000, 1000, vec![]),
        ] {
            query.page = Page { number, size };
            let (table, total) = table(&query, &rows(), &NamesByLookup::new()).unwrap();
            assert_eq!(
                (printed(&table), total),
                (expected.iter().map(ToString::to_string).collect(), 4)
            );
        }
    }

    #[test]
    fn a_limit_keeps_the_first_of_the_ordered_rows_whatever_the_pages() {
        let mut query = query(&["queueId"], &["nOffered"]);
        query.order_by = vec![crate::query::OrderBy {
            column: 2,
            descending: true,
        }];
        for (limit, number, expected, expected_total) in [
            (2, 1, vec!["00 a 7", "00 b 2"], 2),
            (3, 1, vec!["00 a 7", "00 b 2"], 3),
            (3, 2, vec!["01 b 1"], 3),
            (9, 2, vec!["01 b 1", "01 a -"], 4),
        ] {
            query.limit = Some(limit);
            query.page = Page { number, size: 2 };
            let (table, total) = table(&query, &rows(), &NamesByLookup::new()).unwrap();
            assert_eq!(
                (printed(&table), total),
                (expected.iter().map(ToString::to_string).collect(), expected_total),
                "page {number} within {limit}"
            );
        }
        query.fill = Fill::Zero;
        query.limit = Some(3);
        query.page = Page { number: 1, size: 9 };
        query.order_by[0].descending = false;
        let (table, _) = table(&query, &rows()[..3], &NamesByLookup::new()).unwrap();
        assert_eq!(
            printed(&table),
            ["01 a 0", "01 b 1", "00 a 2"],
            "zeros are filled in before"
        );
    }

    /// A KPI and its version; what two media types brought, statistic by statistic; the figure worked out by hand.
    type KpiCase = (&'static str, u32, [&'static [(&'static str, f64)]; 2], Option<f64>);

    #[rustfmt::skip]
    const KPI_CASES: &[KpiCase] = &[
        ("conversation.offered", 1, [&[("nOffered", 30.0)], &[("nOffered", 10.0)]], Some(40.0)),
        ("conversation.answered", 1, [&[("tAnswered.count", 20.0)], &[("tAnswered.count", 5.0)]], Some(25.0)),
        ("conversation.abandoned", 1, [&[("tAbandon.count", 6.0)], &[("tAbandon.count", 2.0)]], Some(8.0)),
        ("conversation.short.abandoned", 1, [&[("tShortAbandon.count", 3.0)], &[("tShortAbandon.count", 1.0)]], Some(4.0)),
        ("conversation.flow.out", 1, [&[("tFlowOut.count", 4.0)], &[("tFlowOut.count", 3.0)]], Some(7.0)),
        ("conversation.over.sla", 1, [&[("nOverSla", 5.0)], &[]], Some(5.0)),
        // 25 of 40, not the mean of 2/3 and 1/2.
        ("answer.rate", 1, [&[("tAnswered.count", 20.0), ("nOffered", 30.0)], &[("tAnswered.count", 5.0), ("nOffered", 10.0)]], Some(0.625)),
        ("abandon.rate", 1, [&[("tAbandon.count", 6.0), ("nOffered", 30.0)], &[("tAbandon.count", 2.0), ("nOffered", 10.0)]], Some(0.2)),
        // None gave up: none is reported, and that is a share.
        ("abandon.rate", 1, [&[("nOffered", 30.0)], &[("nOffered", 10.0)]], Some(0.0)),
        // They were offered in the bucket before.
        ("abandon.rate", 1, [&[("tAbandon.count", 6.0)], &[]], None),
        ("short.abandon.rate", 1, [&[("tShortAbandon.count", 3.0), ("nOffered", 30.0)], &[("tShortAbandon.count", 1.0), ("nOffered", 10.0)]], Some(0.1)),
        ("abandon.net.count", 1, [&[("tAbandon.count", 6.0), ("tShortAbandon.count", 2.0)], &[("tAbandon.count", 2.0)]], Some(6.0)),
        ("abandon.net.rate", 1, [&[("tAbandon.count", 6.0), ("tShortAbandon.count", 4.0), ("nOffered", 30.0)], &[("tAbandon.count", 7.0), ("nOffered", 10.0)]], Some(0.25)),
        // All that was offered was given up soon.
        ("abandon.net.rate", 1, [&[("tAbandon.count", 3.0), ("tShortAbandon.count", 3.0), ("nOffered", 3.0)], &[]], None),
        ("flow.out.rate", 1, [&[("tFlowOut.count", 4.0), ("nOffered", 30.0)], &[("nOffered", 10.0)]], Some(0.1)),
        ("over.sla.rate", 1, [&[("nOverSla", 5.0), ("tAnswered.count", 20.0)], &[("tAnswered.count", 5.0)]], Some(0.2)),
        // 91 of 104, not the mean of 1/4 and 90/100.
        ("service.level", 1, [&[("oServiceLevel.numerator", 1.0), ("oServiceLevel.denominator", 4.0)], &[("oServiceLevel.numerator", 90.0), ("oServiceLevel.denominator", 100.0)]], Some(0.875)),
        ("service.level", 1, [&[("oServiceLevel.numerator", 0.0), ("oServiceLevel.denominator", 0.0)], &[("oServiceLevel.numerator", 0.0), ("oServiceLevel.denominator", 0.0)]], None),
        // 1000 by 5, not the mean of 200 and 800 / 3.
        ("answer.time.average", 1, [&[("tAnswered.sum", 400.0), ("tAnswered.count", 2.0)], &[("tAnswered.sum", 600.0), ("tAnswered.count", 3.0)]], Some(200.0)),
        ("handle.time.average", 1, [&[("tHandle.sum", 100.0), ("tHandle.count", 1.0)], &[("tHandle.sum", 500.0), ("tHandle.count", 4.0)]], Some(120.0)),
        ("talk.time.average", 1, [&[("tTalkComplete.sum", 90.0), ("tTalkComplete.count", 1.0)], &[("tTalkComplete.sum", 10.0), ("tTalkComplete.count", 4.0)]], Some(20.0)),
        ("acw.time.average", 1, [&[("tAcw.sum", 30.0), ("tAcw.count", 1.0)], &[("tAcw.sum", 50.0), ("tAcw.count", 3.0)]], Some(20.0)),
        ("hold.time.average", 1, [&[("tHeldComplete.sum", 7.0), ("tHeldComplete.count", 2.0)], &[]], Some(3.5)),
        ("hold.share", 1, [&[("tHeldComplete.sum", 7.0), ("tHandle.sum", 100.0)], &[("tHandle.sum", 40.0)]], Some(0.05)),
        ("transfer.rate", 1, [&[("nTransferred", 4.0), ("tHandle.count", 30.0)], &[("tHandle.count", 10.0)]], Some(0.1)),
        ("blind.transfer.rate", 1, [&[("nBlindTransferred", 3.0), ("tHandle.count", 30.0)], &[("tHandle.count", 30.0)]], Some(0.05)),
        ("consult.transfer.rate", 1, [&[("nConsultTransferred", 1.0), ("tHandle.count", 30.0)], &[("tHandle.count", 10.0)]], Some(0.025)),
        ("callback.attempted", 1, [&[("nCallbackAttempts", 4.0)], &[]], Some(4.0)),
        ("callback.connect.time.count", 1, [&[("tCallbackConnect.count", 3.0)], &[]], Some(3.0)),
        ("callback.abandon.time.count", 1, [&[("tCallbackAbandon.count", 2.0)], &[]], Some(2.0)),
        ("callback.service.level", 1, [&[("oCallbackServiceLevel.numerator", 1.0), ("oCallbackServiceLevel.denominator", 4.0)], &[("oCallbackServiceLevel.numerator", 2.0), ("oCallbackServiceLevel.denominator", 4.0)]], Some(0.375)),
        ("outbound.connect.rate", 1, [&[("nOutboundConnected", 25.0), ("nOutboundAttempted", 100.0)], &[]], Some(0.25)),
        // An hour: a quarter of it offline, half on queue.
        ("logged.in.time", 1, [&[("presence.time", 3_600.0), ("presence.offline.time", 900.0)], &[]], Some(2_700.0)),
        ("off.queue.time", 1, [&[("presence.time", 3_600.0), ("presence.offline.time", 900.0), ("presence.on.queue.time", 1_800.0)], &[]], Some(900.0)),
        ("occupancy", 1, [&[("routing.interacting.time", 1_350.0), ("presence.on.queue.time", 1_800.0)], &[]], Some(0.75)),
        ("occupancy", 1, [&[("presence.time", 3_600.0), ("presence.offline.time", 3_600.0)], &[]], None),
        ("utilization", 1, [&[("presence.on.queue.time", 1_350.0), ("presence.time", 3_600.0), ("presence.offline.time", 900.0)], &[]], Some(0.5)),
        ("idle.share", 1, [&[("routing.idle.time", 450.0), ("presence.on.queue.time", 1_800.0)], &[]], Some(0.25)),
        ("not.responding.share", 1, [&[("routing.not.responding.time", 90.0), ("presence.on.queue.time", 1_800.0)], &[]], Some(0.05)),
        ("flow.disconnect.rate", 1, [&[("tFlowDisconnect.count", 5.0), ("nFlow", 20.0)], &[("nFlow", 20.0)]], Some(0.125)),
        ("survey.response.rate", 1, [&[("nSurveyResponses", 5.0), ("nSurveysSent", 20.0)], &[]], Some(0.25)),
        ("survey.nps.score", 1, [&[("nSurveyNpsPromoters", 5.0), ("nSurveyNpsDetractors", 10.0), ("nSurveyNpsResponses", 20.0)], &[]], Some(-0.25)),
    ];

    #[test]
    fn every_kpi_is_what_was_worked_out_by_hand() {
        let with_a_case: BTreeSet<_> = KPI_CASES.iter().map(|(name, version, ..)| (*name, *version)).collect();
        let all: BTreeSet<_> = KPIS.iter().map(|kpi| (kpi.name, kpi.version)).collect();
        assert_eq!(with_a_case, all, "each version of a KPI has a case");
        for (name, _, media_types, expected) in KPI_CASES {
            let source = KPIS.iter().find(|kpi| kpi.name == *name).unwrap().source();
            let query = query_of(source, &[], &[name]);
            let media_types = media_types.iter().zip(["voice", "chat"]);
            let rows: Vec<SliceRow> = media_types
                .map(|(figures, media)| SliceRow {
                    metrics: query
                        .aggregate
                        .metrics
                        .iter()
                        .map(|metric| stats(metric, figures))
                        .collect(),
                    ..row(&[], Some(media), 0, None)
                })
                .collect();
            let (table, _) = table(&query, &rows, &NamesByLookup::new()).unwrap();
            let expected = expected.map_or(Cell::Empty, Cell::Number);
            assert_eq!(table.rows[0][1], expected, "{name} of {rows:?}");
        }
    }

    #[test]
    fn a_quotient_of_nothing_is_nothing_and_a_total_of_zeros_is_zero() {
        for kpi in KPIS.iter().filter(|kpi| kpi.source() == Source::Conversations) {
            let mut query = query(&[], &[kpi.name, "nConversations"]);
            let conversations = |metric: &&Metric| (metric.upstream == "nConversations").then(|| count(1.0));
            let rows = [SliceRow {
                metrics: query.aggregate.metrics.iter().map(conversations).collect(),
                ..row(&[], Some("voice"), 0, None)
            }];
            let cells = |query: &Query| table(query, &rows, &NamesByLookup::new()).unwrap().0.rows;
            assert_eq!(cells(&query)[0][1], Cell::Empty, "{}", kpi.name);
            query.fill = Fill::Zero;
            let zero = match kpi.formula {
                Formula::Total(_) => Cell::Number(0.0),
                Formula::Quotient(..) => Cell::Empty,
            };
            let filled: Vec<_> = cells(&query).into_iter().map(|row| row[1].clone()).collect();
            assert_eq!(filled, [zero.clone(), zero], "{}", kpi.name);
        }
    }

    /// The statistics of one metric among figures named `tHandle.sum` and the like.
    fn stats(metric: &Metric, figures: &[(&str, f64)]) -> Option<Stats> {
        let mut stats = None::<Stats>;
        for (name, value) in figures {
            let Some(ColumnValue::Metric(of, statistic)) = column(name) else {
                panic!("{name} is no statistic")
            };
            if of != metric {
                continue;
            }
            let stats = stats.get_or_insert_default();
            let place = match statistic {
                Statistic::Count => &mut stats.count,
                Statistic::Sum => &mut stats.sum,
                Statistic::Numerator => &mut stats.numerator,
                Statistic::Denominator => &mut stats.denominator,
                other => panic!("{other:?} does not add"),
            };
            *place = Some(*value);
        }
        stats
    }

    #[test]
    fn zeros_fill_every_group_that_occurs_and_the_whole_when_nothing_is_grouped() {
        let mut grouped = query(&["queueId"], &["nOffered"]);
        grouped.fill = Fill::Zero;
        let sparse = [
            row(&["a"], Some("voice"), 0, Some(count(2.0))),
            row(&["b"], Some("voice"), 1, None),
        ];
        let (filled, total) = table(&grouped, &sparse, &NamesByLookup::new()).unwrap();
        assert_eq!(printed(&filled), ["00 a 2", "00 b 0", "01 a 0", "01 b 0"]);
        assert_eq!(total, 4);

        let mut whole = query(&[], &["nOffered", "tHandle.average", "oServiceLevel.denominator"]);
        whole.fill = Fill::Zero;
        let (filled, _) = table(&whole, &[], &NamesByLookup::new()).unwrap();
        assert_eq!(printed(&filled), ["00 0 - 0", "01 0 - 0"]);
    }

    #[test]
    fn more_rows_than_are_made_are_refused_before_they_are_made() {
        let mut filled = query(&["queueId"], &["nOffered"]);
        filled.fill = Fill::Zero;
        let groups = |how_many: u64| -> Vec<SliceRow> {
            let name = |number: u64| row(&[&number.to_string()], None, 0, Some(count(0.0)));
            (0..how_many).map(name).collect()
        };
        // Two buckets each.
        let (table_of, limit) = (
            |groups_count| table(&filled, &groups(groups_count), &NamesByLookup::new()).map(|(_, total)| total),
            MAX_ROWS / 2,
        );
        assert!(matches!(table_of(limit), Ok(MAX_ROWS)));
        let Err(ReportError::TooManyRows { rows, .. }) = table_of(limit + 1) else {
            panic!("made")
        };
        assert_eq!(rows, MAX_ROWS + 2);
    }

    #[test]
    fn the_edges_of_buckets_carry_the_offset_of_the_zone() {
        let mut query = query(&["queueId"], &["nOffered"]);
        query.aggregate.time_zone = crate::query::Zone::named("America/St_Johns").unwrap();
        query.columns[0].value = ColumnValue::IntervalStart;
        query.columns[1].value = ColumnValue::IntervalEnd;
        let rows = [row(&["a"], None, 1, Some(count(1.0)))];
        let (table, _) = table(&query, &rows, &NamesByLookup::new()).unwrap();
        assert_eq!(
            printed(&table),
            ["2026-02-28T21:30:00.000-03:30 2026-02-28T22:30:00.000-03:30 1"]
        );
    }

    #[test]
    fn buckets_cut_otherwise_than_expected_are_filled_around() {
        let mut whole = query(&[], &["nOffered"]);
        whole.fill = Fill::Zero;
        let mut odd = row(&[], None, 0, Some(count(2.0)));
        let at = |minutes: i64| odd.bucket.start + jiff::SignedDuration::from_mins(minutes);
        odd.bucket = Range::new(at(30), at(90)).unwrap();
        let (filled, _) = table(&whole, &[odd.clone()], &NamesByLookup::new()).unwrap();
        let shown = |row: &Vec<Cell>| match row.as_slice() {
            [Cell::Interval(bucket), Cell::Number(number)] => {
                (odd.bucket.start.duration_until(bucket.end).as_mins(), *number)
            }
            other => panic!("{other:?}"),
        };
        let shown: Vec<_> = filled.rows.iter().map(shown).collect();
        assert_eq!(shown, [(0, 0.0), (60, 2.0), (90, 0.0)]);
    }

    #[test]
    fn a_name_shows_and_the_id_stands_in_for_what_was_deleted() {
        let mut query = query(&["queueId"], &["nOffered"]);
        let queue = query.aggregate.group_by[0];
        query.columns[1].value = ColumnValue::Name(queue);
        let known = NamesById::from([(Arc::from("a"), Arc::from("Support"))]);
        let names = NamesByLookup::from([(Lookup::Queues, Arc::new(known))]);
        let rows = [
            row(&["a"], None, 0, Some(count(1.0))),
            row(&["gone"], None, 0, Some(count(2.0))),
        ];
        assert_eq!(
            printed(&table(&query, &rows, &names).unwrap().0),
            ["00 Support 1", "00 gone 2"]
        );
    }
}
