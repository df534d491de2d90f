//! From what is held to the rows of a question: exact, or not at all.
//!
//! A series can answer questions about other series: with longer buckets, fewer dimensions, and a filter on a dimension
//! it tells apart. [`Lens::of`] says whether and how; what has to be added up for it must be figures that add ([`Adds`]).

use std::collections::HashMap;

use super::{
    chunk::{self, Chunk, Group},
    gather,
    key::Series,
    plan::Part,
};
use crate::{
    query::{
        AggregateQuery, Column, ColumnValue, Dimension, Metric, Range, Source, Statistic,
        catalogue::{Combination, Rollup},
    },
    report::merge::combine,
    table::{SliceRow, Stats},
};

const MEDIA_TYPE: &str = "mediaType";
const AGENT: &str = "userId";

/// How a series is looked at to answer a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lens {
    /// By dimension of the question: its place among those of the series.
    kept: Vec<Kept>,
    /// Which groups of the series count.
    allowed: Vec<(Kept, Vec<String>)>,
    /// Whether figures are added up: over time, or over dimensions.
    pub(super) adds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kept {
    /// The dimension at that place.
    At(usize),
    /// The media type, which the upstream tells apart unasked.
    MediaType,
}

impl Lens {
    /// How that series answers the question; `None` if it does not, exactly.
    pub(super) fn of(series: &Series, query: &AggregateQuery, can_add: bool) -> Option<Self> {
        let is_of_family = series.source == query.source;
        let is_same_grid = query
            .granularity
            .is_none_or(|granularity| granularity == series.granularity && query.time_zone == series.time_zone);
        let adds_buckets = match query.granularity {
            None => true,
            Some(granularity) => granularity != series.granularity,
        };
        let is_coarser = query.granularity.is_none_or(|asked| {
            use crate::query::Granularity::{Day, Minutes, Month, Week};
            query.time_zone == series.time_zone
                && match (series.granularity, asked) {
                    (Minutes(short), Minutes(long)) => long % short == 0,
                    (Minutes(_), Day | Week | Month) | (Day, Week | Month) => true,
                    (from, to) => from == to,
                }
        });
        if !is_of_family || !(is_same_grid || is_coarser) {
            return None;
        }
        let place = |dimension: &Dimension| {
            let place = series.group_by.iter().position(|known| *known == dimension);
            let is_told_apart = dimension.upstream == MEDIA_TYPE && series.source.tells_media_types_apart();
            place.map(Kept::At).or(is_told_apart.then_some(Kept::MediaType))
        };
        let kept: Vec<Kept> = query
            .group_by
            .iter()
            .map(|dimension| place(dimension))
            .collect::<Option<_>>()?;
        let mut allowed = Vec::new();
        for (dimension, values) in &query.filter.clauses {
            match series.filter.clauses.get(dimension) {
                Some(same) if same == values => {}
                Some(wider) if !values.is_subset(wider) => return None,
                // Of several values an event carries, one is enough to pass: that cannot be told from its groups.
                _ if dimension.multi_valued => return None,
                _ => allowed.push((place(dimension)?, values.iter().cloned().collect())),
            }
        }
        let mut clauses = series.filter.clauses.keys();
        if !clauses.all(|dimension| query.filter.clauses.contains_key(dimension)) {
            return None;
        }
        let dropped: Vec<&Dimension> = (0..)
            .zip(&series.group_by)
            .filter(|(place, _)| !kept.contains(&Kept::At(*place)))
            .map(|(_, dimension)| *dimension)
            .collect();
        // The media type is folded away later in any case, as it is in what the upstream answers.
        let adds_groups = dropped.iter().any(|dimension| dimension.upstream != MEDIA_TYPE);
        let adds = adds_buckets || adds_groups;
        let overlaps = dropped.iter().any(|dimension| dimension.multi_valued);
        // Grouped by agent, the upstream leaves out what no agent was involved in.
        let loses = series.source == Source::Conversations
            && dropped
                .iter()
                .any(|dimension| dimension.upstream == AGENT && query.filter.values_of(AGENT).is_none());
        (!overlaps && !loses && (can_add || !adds)).then_some(Self { kept, allowed, adds })
    }

    fn see(&self, group: &Group) -> Option<Group> {
        let value = |kept: &Kept| match kept {
            Kept::At(place) => &group.values[*place],
            Kept::MediaType => &group.media_type,
        };
        let passes = |(kept, values): &(Kept, Vec<String>)| {
            let value = value(kept).as_deref();
            value.is_some_and(|value| values.iter().any(|allowed| allowed == value))
        };
        self.allowed.iter().all(passes).then(|| Group {
            values: self.kept.iter().map(|kept| value(kept).clone()).collect(),
            media_type: group.media_type.clone(),
        })
    }
}

/// Whether what is wanted of buckets makes that of a longer one, and of disjoint groups that of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adds {
    /// It does.
    Always,
    /// It does where nothing was told that does not add ([`told_adds`]): all that a metric carries is wanted, and hardly one
    /// carries all that it may.
    AsTold,
    /// It does not.
    Never,
}

impl Adds {
    /// Of what these columns show.
    pub(crate) fn shown(columns: &[Column]) -> Self {
        let adds = columns.iter().all(|column| match &column.value {
            ColumnValue::Metric(metric, statistic) => adds(metric, *statistic),
            ColumnValue::Kpi(kpi) => kpi.formula.parts().all(|part| adds(part.metric, part.statistic)),
            ColumnValue::Interval
            | ColumnValue::IntervalStart
            | ColumnValue::IntervalEnd
            | ColumnValue::Dimension(_)
            | ColumnValue::Name(_) => true,
        });
        if adds { Self::Always } else { Self::Never }
    }

    /// Of all that these metrics carry.
    pub(crate) fn told(metrics: &[&'static Metric]) -> Self {
        let mut statistics = metrics
            .iter()
            .flat_map(|metric| metric.statistics.iter().map(move |statistic| (metric, *statistic)));
        if statistics.all(|(metric, statistic)| adds(metric, statistic)) {
            Self::Always
        } else if gather::all_add(metrics) {
            Self::AsTold
        } else {
            Self::Never
        }
    }
}

fn adds(metric: &Metric, statistic: Statistic) -> bool {
    match metric.over_time(statistic) {
        Combination::Sum | Combination::Smallest | Combination::Largest | Combination::Recomputed => true,
        // Whether the upstream shows a goal that is not the same everywhere is not known.
        Combination::IfEqual | Combination::Never => false,
    }
}

/// Whether all that was told of these metrics adds: nothing that is lost when it is combined, and one goal for what is put
/// together. Which statistics a metric carries does not depend on how long a bucket is, nor on its groups; of one of which
/// nothing was told yet that is known only where nothing happened.
pub(super) fn told_adds(lens: &Lens, parts: &[Part], metrics: &[&'static Metric]) -> bool {
    metrics.iter().all(|metric| {
        let (mut is_told, mut is_held) = (false, true);
        let mut goals: HashMap<Group, Option<f64>> = HashMap::new();
        let all_add = parts.iter().all(|part| {
            let Some((chunk, column)) = part.held.as_deref().and_then(|held| Some((held, held.column(metric)?))) else {
                is_held = false;
                return true;
            };
            let buckets = chunk.buckets_in(part.asked);
            is_held &= buckets.clone().all(|index| column.fetched_at(index).is_some());
            let told = column.told();
            is_told |= told.is_some();
            let which = |stats: Option<Stats>| stats.map(|stats| stats.to_array().map(|value| value.is_some()));
            which(combine(metric, told.as_ref(), told.as_ref())) == which(told)
                && buckets.clone().all(|index| column.is_whole(index))
                && (metric.rollup != Rollup::Ratio || have_one_goal(lens, chunk, column, buckets, &mut goals))
        });
        all_add && (is_told || is_held)
    })
}

/// Whether these buckets have, in each group of the question, the goal they are known to have, or all the same.
fn have_one_goal(
    lens: &Lens,
    chunk: &Chunk,
    column: &chunk::Column,
    mut buckets: std::ops::Range<usize>,
    known: &mut HashMap<Group, Option<f64>>,
) -> bool {
    let mut goals = vec![None; chunk.groups.len()];
    let is_same_here = buckets.all(|index| {
        let mut cells = column.cells(index);
        cells.all(|(group, stats)| *goals[group as usize].get_or_insert(stats.target) == stats.target)
    });
    let mut goals = chunk.groups.iter().zip(goals);
    is_same_here
        && goals.all(|(group, goal)| match (lens.see(group), goal) {
            (Some(group), Some(goal)) => *known.entry(group).or_insert(goal) == goal,
            _ => true,
        })
}

/// The rows of the question, in order of buckets; rows of which nothing is known are none. `None` if the held buckets do
/// not make those of the question.
pub(super) fn rows(series: &Series, lens: &Lens, parts: &[Part], query: &AggregateQuery) -> Option<Vec<SliceRow>> {
    const NONE: u32 = u32::MAX;
    let mut rows: Vec<SliceRow> = Vec::new();
    let mut seen: Vec<Group> = Vec::new();
    let mut places: HashMap<Group, u32> = HashMap::new();
    // By place in `seen`: the row of that group in the bucket at hand.
    let mut at_hand: Vec<u32> = Vec::new();
    let mut targets = Targets::new(series, query);
    let mut target: Option<Range> = None;
    for part in parts {
        let chunk = part.held.as_deref()?;
        let groups = chunk.groups.iter().map(|group| {
            let Some(group) = lens.see(group) else {
                return NONE;
            };
            *places.entry(group).or_insert_with_key(|group| {
                seen.push(group.clone());
                u32::try_from(seen.len() - 1).unwrap_or(NONE)
            })
        });
        let groups: Vec<u32> = groups.collect();
        at_hand.resize(seen.len(), NONE);
        let columns: Vec<_> = query
            .metrics
            .iter()
            .map(|metric| chunk.column(metric))
            .collect::<Option<_>>()?;
        for index in chunk.buckets_in(part.asked) {
            let bucket = targets.of(chunk.bucket(index))?;
            if target != Some(bucket) {
                target = Some(bucket);
                at_hand.fill(NONE);
            }
            for (place, (column, metric)) in columns.iter().zip(&query.metrics).enumerate() {
                for (group, stats) in column.cells(index) {
                    let group = groups[group as usize] as usize;
                    let Some(at) = at_hand.get_mut(group) else {
                        continue;
                    };
                    if *at == NONE {
                        *at = u32::try_from(rows.len()).unwrap_or(NONE);
                        rows.push(SliceRow {
                            group: seen[group].values.clone(),
                            media_type: seen[group].media_type.clone(),
                            bucket,
                            metrics: vec![None; query.metrics.len()],
                        });
                    }
                    let known = &mut rows[*at as usize].metrics[place];
                    *known = combine(metric, known.as_ref(), Some(&stats));
                }
            }
        }
    }
    Some(rows)
}

/// The buckets of the question, in order, each asked for by the held ones it is made of.
struct Targets<'q> {
    range: Range,
    cut: Box<dyn Iterator<Item = Range> + 'q>,
    at_hand: Option<Range>,
    is_same: bool,
}

impl<'q> Targets<'q> {
    fn new(series: &Series, query: &'q AggregateQuery) -> Self {
        let is_same = query.granularity == Some(series.granularity);
        let cut: Box<dyn Iterator<Item = Range>> = match query.granularity {
            Some(granularity) if !is_same => Box::new(granularity.buckets(query.range, &query.time_zone)),
            _ => Box::new(std::iter::once(query.range)),
        };
        Self {
            range: query.range,
            cut,
            at_hand: None,
            is_same,
        }
    }

    /// The bucket of the question that one of the series lies in.
    fn of(&mut self, held: Range) -> Option<Range> {
        if self.is_same {
            return Range::new(held.start, held.end.min(self.range.end));
        }
        while self.at_hand.is_none_or(|bucket| bucket.end <= held.start) {
            self.at_hand = Some(self.cut.next()?);
        }
        // The last is cut where the question was asked, the held one may reach past that.
        let lies_in =
            |bucket: &Range| bucket.start <= held.start && (held.end <= bucket.end || bucket.end == self.range.end);
        self.at_hand.filter(lies_in)
    }
}

/// The families whose rows say their media type unasked, so that it can be filtered on here.
pub(super) fn tells_apart(source: Source, dimension: &Dimension, group_by: &[&'static Dimension]) -> bool {
    !dimension.multi_valued
        && (group_by.contains(&dimension) || dimension.upstream == MEDIA_TYPE && source.tells_media_types_apart())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{
        super::{chunk::Fetched, tests::asked},
        *,
    };
    use crate::query::catalogue::metric;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_772_323_200 + hour * 3600).unwrap()
    }

    fn count() -> Stats {
        Stats {
            count: Some(3.0),
            ..Stats::default()
        }
    }

    fn time() -> Stats {
        Stats {
            sum: Some(90.0),
            min: Some(20.0),
            max: Some(40.0),
            ..count()
        }
    }

    fn level(target: Option<f64>) -> Stats {
        Stats {
            numerator: Some(3.0),
            denominator: Some(4.0),
            ratio: Some(0.75),
            target,
            ..Stats::default()
        }
    }

    #[test]
    fn all_that_is_told_adds_where_nothing_is_lost_and_goals_are_the_same() {
        let hourly =
            "dateFrom=2026-03-01&dateTo=2026-03-01T04:00:00Z&interval=PT1H&groupBy=routing.queue.id&select=tHandle.sum";
        let series = Series::of(&asked(hourly, at(100)).aggregate).unwrap();
        let by_queue = asked(&hourly.replace("PT1H", "P1D"), at(100)).aggregate;
        let of_all = asked(&hourly.replace("&groupBy=routing.queue.id", ""), at(100)).aggregate;
        let percentile = Stats {
            p95: Some(40.0),
            ..time()
        };
        let (goal, other) = (level(Some(0.8)), level(Some(0.9)));
        // Metric; queue, hour and figures of four hours; whether it adds by queue and day, and of all by the hour.
        for (name, cells, expected) in [
            ("tHandle", vec![("a", 0, time()), ("b", 2, time())], (true, true)),
            ("tHandle", vec![("a", 0, time()), ("b", 2, percentile)], (false, false)),
            // Nothing happened.
            ("tHandle", vec![], (true, true)),
            (
                "oServiceLevel",
                vec![("a", 0, goal), ("a", 1, goal), ("b", 1, goal)],
                (true, true),
            ),
            (
                "oServiceLevel",
                vec![("a", 0, goal), ("a", 1, goal), ("b", 1, other)],
                (true, false),
            ),
            ("oServiceLevel", vec![("a", 0, goal), ("a", 1, other)], (false, false)),
            (
                "oServiceLevel",
                vec![("a", 0, goal), ("a", 1, level(None))],
                (false, false),
            ),
            (
                "oServiceLevel",
                vec![("a", 0, level(None)), ("b", 1, level(None))],
                (true, true),
            ),
            // What a counter is not known to carry.
            ("nOffered", vec![("a", 0, count())], (true, true)),
            ("nOffered", vec![("a", 0, time())], (false, false)),
        ] {
            let adds = |is_sum: bool, held: i64| {
                let cells = cells.iter().filter(|(_, hour, _)| *hour < held);
                let rows = cells.map(|(queue, hour, stats)| SliceRow {
                    group: vec![Some((*queue).into())],
                    media_type: None,
                    bucket: Range::new(at(*hour), at(hour + 1)).unwrap(),
                    metrics: vec![Some(*stats)],
                });
                let rows: Vec<_> = rows.collect();
                let fetched = Fetched {
                    range: Range::new(at(0), at(held)).unwrap(),
                    at: at(100),
                    came_at: at(100),
                    metrics: &[metric(name)],
                    is_sum,
                };
                let chunk = Chunk::empty((0..=4).map(at).collect());
                let chunk = chunk.with(
                    fetched,
                    &rows.iter().collect::<Vec<_>>(),
                    SignedDuration::from_hours(48),
                );
                let parts = [Part {
                    asked: Range::new(at(0), at(4)).unwrap(),
                    held: Some(chunk.into()),
                }];
                let of = |query| told_adds(&Lens::of(&series, query, true).unwrap(), &parts, &[metric(name)]);
                (of(&by_queue), of(&of_all))
            };
            assert_eq!(adds(false, 4), expected, "{name} {cells:?}");
            // What was added up here tells nothing of what did not add.
            assert_eq!(adds(true, 4), (false, false), "{name} {cells:?}");
            // Of what is missing it says as much as the rest, if that says anything.
            let is_told = !cells.is_empty();
            assert_eq!(
                adds(false, 3),
                (expected.0 && is_told, expected.1 && is_told),
                "{name} {cells:?}"
            );
        }
    }

    #[test]
    fn what_is_wanted_adds_by_its_statistics() {
        for (select, shown, told) in [
            ("conversation.offered", Adds::Always, Adds::Always),
            ("handle.time.max,handle.time.average", Adds::Always, Adds::AsTold),
            ("service.level,conversation.offered", Adds::Always, Adds::AsTold),
            ("media.type,handle.time.p95", Adds::Never, Adds::AsTold),
            ("media.type,service.goal", Adds::Never, Adds::Never),
            ("conversation.count,conversation.offered", Adds::Never, Adds::Never),
        ] {
            let query = asked(
                &format!("dateFrom=2026-03-01&dateTo=2026-03-02&select={select}"),
                at(100),
            );
            let found = (Adds::shown(&query.columns), Adds::told(&query.aggregate.metrics));
            assert_eq!(found, (shown, told), "{select}");
        }
    }
}
