//! What is held of a series for a stretch of time: buckets × metrics, by columns.
//!
//! A chunk is never changed: what a fetch brings makes a new one ([`Chunk::with`]), so that readers need no lock. For
//! every bucket and metric it knows when it was fetched, whether or not anything happened: covered but empty is a state
//! of its own. Figures are kept as the upstream gave them, without the fields a metric does not carry.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    query::{Metric, Range},
    table::{SliceRow, Stats},
};

/// Buckets × metrics of one series.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// No other chunk has the same: what was made from it is good for as long as it is there.
    pub(super) generation: u64,
    /// Bucket `i` is from edge `i` to edge `i + 1`.
    pub(super) edges: Arc<[Timestamp]>,
    /// The groups that occur, in no particular order.
    pub(super) groups: Vec<Group>,
    columns: Vec<Column>,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    /// Values of the series' dimensions, in their order.
    pub(super) values: Vec<Option<Arc<str>>>,
    /// What the upstream tells apart unasked.
    pub(super) media_type: Option<Arc<str>>,
}

/// One metric's figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) metric: &'static Metric,
    /// By bucket: when its figures were asked for; `None` where they are missing.
    fetched_at: Vec<Option<Timestamp>>,
    /// By bucket: whether its figures were added up here, so that those that do not add are not among them.
    is_sum: Vec<bool>,
    /// The cells of bucket `i` are those from `starts[i]` to `starts[i + 1]`.
    pub(super) starts: Vec<u32>,
    /// By cell: whose figures they are.
    pub(super) groups: Vec<u32>,
    /// Which statistics there are, by their places in [`Stats::to_array`].
    pub(super) present: u16,
    /// By cell, as many as are present; not a number where there is none.
    pub(super) values: Vec<f64>,
    /// How many buckets, from the first on, were all fetched after their figures had settled.
    pub(super) settled: usize,
}

/// What one fetch brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched<'a> {
    pub(super) range: Range,
    pub(super) at: Timestamp,
    pub(super) came_at: Timestamp,
    pub(super) metrics: &'a [&'static Metric],
    /// Whether the figures were added up from others.
    pub(super) is_sum: bool,
}

pub(super) const FIELDS: usize = Stats::NAMES.len();

fn presence(fields: &[Option<f64>; FIELDS]) -> u16 {
    let places = fields.iter().enumerate().filter(|(_, value)| value.is_some());
    places.fold(0, |present, (place, _)| present | 1 << place)
}

fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Chunk {
    /// Nothing is held yet of these buckets.
    pub(super) fn empty(edges: Arc<[Timestamp]>) -> Self {
        Self {
            generation: next_generation(),
            edges,
            groups: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> usize {
        self.edges.len() - 1
    }

    pub(super) fn bucket(&self, index: usize) -> Range {
        Range {
            start: self.edges[index],
            end: self.edges[index + 1],
        }
    }

    /// From the start of the first bucket to the end of the last.
    pub(super) fn span(&self) -> Range {
        Range {
            start: self.edges[0],
            end: self.edges[self.buckets()],
        }
    }

    /// From the first bucket of which anything is held to the last.
    pub(super) fn covered(&self) -> Option<Range> {
        let mut held = (0..self.buckets()).filter(|bucket| self.holds(*bucket));
        let first = held.next()?;
        let last = held.next_back().unwrap_or(first);
        Range::new(self.edges[first], self.edges[last + 1])
    }

    /// Of how many buckets anything is held.
    pub(super) fn held_buckets(&self) -> u64 {
        (0..self.buckets()).filter(|bucket| self.holds(*bucket)).count() as u64
    }

    fn holds(&self, bucket: usize) -> bool {
        self.columns.iter().any(|column| column.fetched_at[bucket].is_some())
    }

    /// Which buckets begin in a range.
    pub(super) fn buckets_in(&self, range: Range) -> std::ops::Range<usize> {
        let starts = &self.edges[..self.buckets()];
        let before = |instant| starts.partition_point(|start| *start < instant);
        before(range.start)..before(range.end)
    }

    /// The column of a metric, if any of it was fetched.
    pub(super) fn column(&self, metric: &Metric) -> Option<&Column> {
        self.columns.iter().find(|column| column.metric == metric)
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter()
    }

    /// With what a fetch brought: `rows` holds those of each bucket covered. A bucket that was fetched later already
    /// keeps what it has; later than now is before the clock was set back.
    pub(super) fn with(&self, fetched: Fetched<'_>, rows: &[&SliceRow], settle: SignedDuration) -> Self {
        let mut groups = self.groups.clone();
        let mut places: HashMap<Group, u32> = (0..)
            .zip(&groups)
            .map(|(place, group)| (group.clone(), place))
            .collect();
        // By bucket: the rows, and whose they are.
        let mut brought: Vec<Vec<(u32, &SliceRow)>> = vec![Vec::new(); self.buckets()];
        for row in rows {
            let group = Group {
                values: row.group.clone(),
                media_type: row.media_type.clone(),
            };
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let place = *places.entry(group).or_insert_with_key(|group| {
                groups.push(group.clone());
                next
            });
            let bucket = self.edges.partition_point(|edge| *edge <= row.bucket.start) - 1;
            brought[bucket].push((place, row));
        }
        let covered = self.buckets_in(fetched.range);
        let mut columns = self.columns.clone();
        for (index, metric) in fetched.metrics.iter().enumerate() {
            let cells = |bucket: usize| {
                let rows = brought[bucket].iter();
                rows.filter_map(move |(group, row)| Some((*group, row.metrics[index]?.to_array())))
            };
            let held = self.column(metric);
            let mut column = Column::of(metric, held.map_or(0, |held| held.present));
            for bucket in 0..self.buckets() {
                for (_, fields) in cells(bucket) {
                    column.present |= presence(&fields);
                }
            }
            for bucket in 0..self.buckets() {
                let held_at = held.and_then(|held| held.fetched_at[bucket]);
                let is_newer = held_at.is_none_or(|held_at| held_at <= fetched.at || held_at > fetched.came_at);
                if covered.contains(&bucket) && is_newer {
                    column.push_bucket(Some(fetched.at), fetched.is_sum, cells(bucket));
                } else {
                    let cells = held.into_iter().flat_map(|held| held.cells(bucket));
                    let is_sum = held.is_some_and(|held| held.is_sum[bucket]);
                    column.push_bucket(held_at, is_sum, cells.map(|(group, stats)| (group, stats.to_array())));
                }
            }
            column.note_settled(&self.edges, settle);
            match columns.iter_mut().find(|known| known.metric == *metric) {
                Some(known) => *known = column,
                None => columns.push(column),
            }
        }
        Self {
            generation: next_generation(),
            edges: Arc::clone(&self.edges),
            groups,
            columns,
        }
    }

    /// Without what is held of the buckets that touch a range; `None` if nothing is left.
    pub(super) fn without(&self, range: Range) -> Option<Self> {
        let is_dropped = |bucket: usize| {
            let bucket = self.bucket(bucket);
            bucket.start < range.end && range.start < bucket.end
        };
        let columns = self.columns.iter().filter_map(|held| {
            let mut column = Column::of(held.metric, held.present);
            for bucket in 0..self.buckets() {
                let (fetched_at, is_sum) = (held.fetched_at[bucket], held.is_sum[bucket]);
                let cells = held.cells(bucket).map(|(group, stats)| (group, stats.to_array()));
                if is_dropped(bucket) {
                    column.push_bucket(None, false, std::iter::empty());
                } else {
                    column.push_bucket(fetched_at, is_sum, cells);
                }
            }
            column.fetched_at.iter().any(Option::is_some).then_some(column)
        });
        let columns: Vec<_> = columns.collect();
        (!columns.is_empty()).then(|| Self {
            generation: next_generation(),
            edges: Arc::clone(&self.edges),
            groups: self.groups.clone(),
            columns,
        })
    }

    /// With what another knows of the same buckets, where that was fetched later.
    pub(super) fn joined(&self, other: &Self, settle: SignedDuration) -> Self {
        let mut groups = self.groups.clone();
        let mut places: HashMap<&Group, u32> = (0..).zip(&self.groups).map(|(place, group)| (group, place)).collect();
        let place_of = |group| {
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            *places.entry(group).or_insert_with_key(|group| {
                groups.push(Group::clone(group));
                next
            })
        };
        // By place there: the place here.
        let places_of_other: Vec<u32> = other.groups.iter().map(place_of).collect();
        let only_there = other
            .columns
            .iter()
            .filter(|column| self.column(column.metric).is_none());
        let columns = self.columns.iter().chain(only_there).map(|known| {
            let [here, there] = [self, other].map(|chunk| chunk.column(known.metric));
            let present = [here, there].into_iter().flatten();
            let present = present.fold(0, |present, column| present | column.present);
            let mut column = Column::of(known.metric, present);
            for bucket in 0..self.buckets() {
                let at = |column: Option<&Column>| column.and_then(|column| column.fetched_at[bucket]);
                let is_later = at(there) > at(here);
                let from = if is_later { there } else { here };
                let cells = from.into_iter().flat_map(|from| from.cells(bucket));
                let cells = cells.map(|(group, stats)| {
                    let place = if is_later {
                        places_of_other[group as usize]
                    } else {
                        group
                    };
                    (place, stats.to_array())
                });
                let is_sum = from.is_some_and(|from| from.is_sum[bucket]);
                column.push_bucket(at(from), is_sum, cells);
            }
            column.note_settled(&self.edges, settle);
            column
        });
        let columns = columns.collect();
        Self {
            generation: next_generation(),
            edges: Arc::clone(&self.edges),
            groups,
            columns,
        }
    }

    /// Adds the column of a metric; `None` if there is one, or it is of other buckets.
    pub(super) fn push_column(&mut self, column: Column) -> Option<()> {
        let is_new = self.column(column.metric).is_none() && column.fetched_at.len() == self.buckets();
        is_new.then(|| self.columns.push(column))
    }

    /// How many figures of a bucket have settled, of all metrics.
    pub(super) fn settled(&self, settle: SignedDuration) -> usize {
        let columns = self.columns.iter();
        let settled = columns.map(|column| {
            let buckets = 0..self.buckets();
            buckets
                .filter(|bucket| column.has_settled(*bucket, self.edges[bucket + 1], settle))
                .count()
        });
        settled.sum()
    }

    /// An estimate from above of what it keeps in memory.
    pub(super) fn weight(&self) -> usize {
        const ALLOCATION: usize = 32;
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len() + ALLOCATION) + 16;
        let groups = self.groups.iter();
        let groups = groups.map(|group| {
            let texts: usize = group.values.iter().chain([&group.media_type]).map(text).sum();
            texts + size_of::<Group>() + ALLOCATION
        });
        let columns = self.columns.iter();
        let columns = columns.map(|column| {
            size_of::<Column>()
                + 4 * ALLOCATION
                + column.fetched_at.len() * (size_of::<Option<Timestamp>>() + size_of::<bool>())
                + (column.starts.len() + column.groups.len()) * size_of::<u32>()
                + column.values.len() * size_of::<f64>()
        });
        size_of::<Self>() + size_of_val(&*self.edges) + groups.sum::<usize>() + columns.sum::<usize>()
    }
}

impl Column {
    /// Of no bucket yet.
    pub(super) fn of(metric: &'static Metric, present: u16) -> Self {
        Self {
            metric,
            fetched_at: Vec::new(),
            is_sum: Vec::new(),
            starts: vec![0],
            groups: Vec::new(),
            present,
            values: Vec::new(),
            settled: 0,
        }
    }

    fn push_bucket(
        &mut self,
        fetched_at: Option<Timestamp>,
        is_sum: bool,
        cells: impl Iterator<Item = (u32, [Option<f64>; FIELDS])>,
    ) {
        for (group, fields) in cells {
            self.groups.push(group);
            let present = self.present;
            let kept = (0..FIELDS).filter(|place| present & 1 << place != 0);
            self.values.extend(kept.map(|place| fields[place].unwrap_or(f64::NAN)));
        }
        self.end_bucket(fetched_at, is_sum);
    }

    /// The cells added since the last bucket are the next one's.
    pub(super) fn end_bucket(&mut self, fetched_at: Option<Timestamp>, is_sum: bool) {
        self.fetched_at.push(fetched_at);
        self.is_sum.push(is_sum);
        self.starts.push(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
    }

    /// Notes how much has settled, once all buckets are there.
    pub(super) fn note_settled(&mut self, edges: &[Timestamp], settle: SignedDuration) {
        let ends = edges[1..].iter().enumerate();
        let settled = ends.take_while(|(bucket, end)| self.has_settled(*bucket, **end, settle));
        self.settled = settled.count();
    }

    /// Whether a bucket that ended then was fetched after its figures had settled.
    pub(super) fn has_settled(&self, bucket: usize, end: Timestamp, settle: SignedDuration) -> bool {
        self.fetched_at[bucket].is_some_and(|at| at.duration_since(end) >= settle)
    }

    /// When a bucket's figures were asked for.
    pub(super) fn fetched_at(&self, bucket: usize) -> Option<Timestamp> {
        self.fetched_at[bucket]
    }

    /// Whether all a metric carries is known of a bucket, not only what adds.
    pub(super) fn is_whole(&self, bucket: usize) -> bool {
        !self.is_sum[bucket]
    }

    /// One of each statistic that was told of it; `None` if nothing was.
    pub(super) fn told(&self) -> Option<Stats> {
        let one = |place: usize| (self.present & 1 << place != 0).then_some(1.0);
        (self.present != 0).then(|| Stats::from_array(std::array::from_fn(one)))
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// A bucket's figures, each with the place of its group.
    pub(super) fn cells(&self, bucket: usize) -> impl Iterator<Item = (u32, Stats)> + '_ {
        let width = self.present.count_ones() as usize;
        let cells = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        cells.map(move |cell| {
            let mut values = self.values[cell * width..(cell + 1) * width].iter();
            let mut fields = [None; FIELDS];
            for (place, field) in fields.iter_mut().enumerate() {
                if self.present & 1 << place != 0 {
                    *field = values.next().copied().filter(|value| !value.is_nan());
                }
            }
            (self.groups[cell], Stats::from_array(fields))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::catalogue::metric;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_772_323_200 + hour * 3600).unwrap()
    }

    fn range(start: i64, end: i64) -> Range {
        Range::new(at(start), at(end)).unwrap()
    }

    /// Four hours.
    fn empty() -> Chunk {
        Chunk::empty((0..=4).map(at).collect())
    }

    fn row(queue: &str, hour: i64, count: f64) -> SliceRow {
        SliceRow {
            group: vec![Some(queue.into())],
            media_type: None,
            bucket: range(hour, hour + 1),
            metrics: vec![Some(Stats {
                count: Some(count),
                ..Stats::default()
            })],
        }
    }

    fn fetched(chunk: &Chunk, hours: Range, when: i64, rows: &[SliceRow]) -> Chunk {
        fetched_until(chunk, hours, (when, 100), rows)
    }

    /// Asked for at one instant, and here at another.
    fn fetched_until(chunk: &Chunk, hours: Range, (when, came): (i64, i64), rows: &[SliceRow]) -> Chunk {
        let fetched = Fetched {
            range: hours,
            at: at(when),
            came_at: at(came),
            metrics: &[metric("nOffered")],
            is_sum: false,
        };
        chunk.with(
            fetched,
            &rows.iter().collect::<Vec<_>>(),
            SignedDuration::from_hours(48),
        )
    }

    /// When it was fetched, in hours, and the counts by queue.
    type Bucket = (Option<i64>, Vec<(String, f64)>);

    fn held(chunk: &Chunk) -> Vec<Bucket> {
        let column = chunk.column(metric("nOffered")).unwrap();
        let bucket = |bucket: usize| {
            let when = column
                .fetched_at(bucket)
                .map(|when| when.duration_since(at(0)).as_hours());
            let cells = column.cells(bucket).map(|(group, stats)| {
                let queue = chunk.groups[group as usize].values[0].as_deref().unwrap();
                (queue.to_owned(), stats.count.unwrap())
            });
            (when, cells.collect())
        };
        (0..chunk.buckets()).map(bucket).collect()
    }

    #[test]
    fn the_latest_fetch_of_a_bucket_wins() {
        let first = fetched(&empty(), range(0, 3), 5, &[row("a", 0, 1.0), row("b", 2, 2.0)]);
        assert_eq!(
            held(&first),
            [
                (Some(5), vec![("a".to_owned(), 1.0)]),
                // Nothing happened, which is known.
                (Some(5), vec![]),
                (Some(5), vec![("b".to_owned(), 2.0)]),
                (None, vec![]),
            ]
        );
        let later = fetched(&first, range(2, 4), 6, &[row("a", 2, 3.0), row("c", 3, 4.0)]);
        let expected = [
            (Some(5), vec![("a".to_owned(), 1.0)]),
            (Some(5), vec![]),
            (Some(6), vec![("a".to_owned(), 3.0)]),
            (Some(6), vec![("c".to_owned(), 4.0)]),
        ];
        assert_eq!(held(&later), expected);
        // What was asked for earlier and comes later changes nothing.
        let late = fetched(&later, range(0, 4), 4, &[row("d", 1, 9.0)]);
        assert_eq!(held(&late), expected);
        assert!(first.generation < later.generation && later.generation < late.generation);
        // A bucket from an instant still to come is from before the clock was set back.
        let set_back = fetched_until(&later, range(2, 4), (4, 5), &[row("e", 2, 5.0)]);
        let anew = [(Some(4), vec![("e".to_owned(), 5.0)]), (Some(4), vec![])];
        assert_eq!(held(&set_back), [&expected[..2], &anew].concat());
    }

    #[test]
    fn it_has_settled_as_far_as_every_bucket_was_fetched_late_enough() {
        let settled = |chunk: &Chunk| chunk.column(metric("nOffered")).unwrap().settled;
        let all_but_one = fetched(&empty(), range(0, 3), 52, &[]);
        assert_eq!(settled(&all_but_one), 3);
        assert_eq!(settled(&fetched(&all_but_one, range(3, 4), 51, &[])), 3);
        assert_eq!(settled(&fetched(&all_but_one, range(3, 4), 52, &[])), 4);
        assert_eq!(settled(&fetched(&empty(), range(1, 4), 60, &[])), 0);
    }

    #[test]
    fn what_is_dropped_is_missing_and_the_rest_is_not() {
        let rows = [row("a", 0, 1.0), row("b", 1, 2.0), row("c", 3, 3.0)];
        let chunk = fetched(&empty(), range(0, 4), 60, &rows);
        assert_eq!((chunk.covered(), chunk.held_buckets()), (Some(range(0, 4)), 4));
        let half_an_hour = SignedDuration::from_mins(30);
        let touched = Range::new(at(1) + half_an_hour, at(2) + half_an_hour).unwrap();
        let left = chunk.without(touched).unwrap();
        assert_eq!(
            held(&left),
            [
                (Some(60), vec![("a".to_owned(), 1.0)]),
                (None, vec![]),
                (None, vec![]),
                (Some(60), vec![("c".to_owned(), 3.0)]),
            ]
        );
        assert_eq!((left.covered(), left.held_buckets()), (Some(range(0, 4)), 2));
        assert!(left.generation > chunk.generation && left.weight() < chunk.weight());
        assert_eq!(left.column(metric("nOffered")).unwrap().settled, 0);
        assert!(chunk.without(range(0, 4)).is_none());
    }
}
