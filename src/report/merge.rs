//! Combining statistics, exactly or not at all.

use std::collections::HashMap;

use crate::{
    query::{AggregateQuery, Metric, catalogue::Rollup},
    table::{SliceRow, Stats},
};

/// The upstream's name of the dimension it adds to every conversation group.
const MEDIA_TYPE: &str = "mediaType";

/// Folds rows over the media type when it was not asked for: one row per group and bucket.
///
/// A row that stands alone is passed on untouched, percentiles included. Parsing refuses metrics that cannot be
/// folded unless the media type is grouped by or pinned, so nothing exact is lost here.
pub(super) fn fold_media_types(query: &AggregateQuery, rows: &[SliceRow]) -> Vec<SliceRow> {
    if query.group_by.iter().any(|dimension| dimension.upstream == MEDIA_TYPE) {
        return rows.to_vec();
    }
    let mut folded: Vec<SliceRow> = Vec::with_capacity(rows.len());
    let mut places = HashMap::with_capacity(rows.len());
    for row in rows {
        let place = *places.entry((&row.group, row.bucket)).or_insert(folded.len());
        match folded.get_mut(place) {
            None => folded.push(SliceRow {
                media_type: None,
                ..row.clone()
            }),
            Some(sum) => {
                for ((metric, left), right) in query.metrics.iter().zip(&mut sum.metrics).zip(&row.metrics) {
                    *left = combine(metric, left.as_ref(), right.as_ref());
                }
            }
        }
    }
    folded
}

/// The statistics of two disjoint parts together; what is absent in one part adds nothing.
pub(super) fn combine(metric: &Metric, left: Option<&Stats>, right: Option<&Stats>) -> Option<Stats> {
    let (left, right) = match (left, right) {
        (None, one) | (one, None) => return one.copied(),
        (Some(left), Some(right)) => (left, right),
    };
    let both = |pick: fn(&Stats) -> Option<f64>, join: fn(f64, f64) -> f64| match (pick(left), pick(right)) {
        (Some(left), Some(right)) => Some(join(left, right)),
        (one, None) | (None, one) => one,
    };
    let add = |a, b| a + b;
    Some(match metric.rollup {
        Rollup::Counter | Rollup::Distinct => Stats {
            count: both(|s| s.count, add),
            ..Stats::default()
        },
        Rollup::Timer => Stats {
            count: both(|s| s.count, add),
            sum: both(|s| s.sum, add),
            min: both(|s| s.min, f64::min),
            max: both(|s| s.max, f64::max),
            ..Stats::default()
        },
        Rollup::Ratio => {
            let (numerator, denominator) = (both(|s| s.numerator, add), both(|s| s.denominator, add));
            Stats {
                numerator,
                denominator,
                ratio: match (numerator, denominator) {
                    (Some(numerator), Some(denominator)) if denominator > 0.0 => Some(numerator / denominator),
                    _ => None,
                },
                target: if left.target == right.target { left.target } else { None },
                ..Stats::default()
            }
        }
        Rollup::None => Stats::default(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::query::catalogue::metric;

    fn timer(count: f64, sum: f64, min: f64, max: f64) -> Stats {
        Stats {
            count: Some(count),
            sum: Some(sum),
            min: Some(min),
            max: Some(max),
            ..Stats::default()
        }
    }

    fn level(numerator: f64, denominator: f64, target: f64) -> Stats {
        Stats {
            numerator: Some(numerator),
            denominator: Some(denominator),
            ratio: Some(numerator / denominator),
            target: Some(target),
            ..Stats::default()
        }
    }

    fn count(count: f64) -> Stats {
        Stats {
            count: Some(count),
            ..Stats::default()
        }
    }

    #[test]
    fn parts_combine_by_the_kind_of_metric() {
        let with_percentile = Stats {
            p95: Some(9.0),
            ..timer(1.0, 9.0, 9.0, 9.0)
        };
        for (name, left, right, whole) in [
            ("nOffered", count(2.0), count(3.0), count(5.0)),
            ("nConversations", count(2.0), count(3.0), count(5.0)),
            (
                "tHandle",
                timer(2.0, 10.0, 3.0, 7.0),
                timer(1.0, 9.0, 9.0, 9.0),
                timer(3.0, 19.0, 3.0, 9.0),
            ),
            (
                "tHandle",
                timer(2.0, 10.0, 3.0, 7.0),
                with_percentile,
                timer(3.0, 19.0, 3.0, 9.0),
            ),
            // 1 of 2 and 90 of 100 is 91 of 102, not the mean of the ratios.
            (
                "oServiceLevel",
                level(1.0, 2.0, 0.8),
                level(90.0, 100.0, 0.8),
                level(91.0, 102.0, 0.8),
            ),
            (
                "oServiceLevel",
                level(1.0, 2.0, 0.8),
                level(90.0, 100.0, 0.9),
                Stats {
                    target: None,
                    ..level(91.0, 102.0, 0.8)
                },
            ),
        ] {
            assert_eq!(combine(metric(name), Some(&left), Some(&right)), Some(whole), "{name}");
            assert_eq!(combine(metric(name), None, Some(&right)), Some(right), "{name}");
            assert_eq!(combine(metric(name), Some(&left), None), Some(left), "{name}");
        }
        let nothing = level(0.0, 0.0, 0.8);
        assert_eq!(
            combine(metric("oServiceLevel"), Some(&nothing), Some(&nothing))
                .unwrap()
                .ratio,
            None
        );
    }

    #[test]
    fn media_types_fold_only_when_they_were_not_asked_for() {
        use crate::report::rows::tests::{group, query, row};

        let rows = [
            row(&["q1"], Some("voice"), 0, Some(count(2.0))),
            row(&["q1"], Some("chat"), 0, Some(count(3.0))),
            row(&["q1"], Some("chat"), 1, None),
            row(&["q2"], Some("email"), 0, Some(count(4.0))),
        ];
        let folded = fold_media_types(&query(&["queueId"], &["nOffered"]).aggregate, &rows);
        let seen: Vec<_> = folded.iter().map(|row| (row.group.clone(), row.metrics[0])).collect();
        assert_eq!(
            seen,
            [
                (group(&["q1"]), Some(count(5.0))),
                (group(&["q1"]), None),
                (group(&["q2"]), Some(count(4.0)))
            ]
        );
        assert!(folded.iter().all(|row| row.media_type.is_none()));

        let by_media: Vec<_> = rows
            .into_iter()
            .map(|mut row| {
                row.group.insert(0, row.media_type.as_ref().map(Arc::clone));
                row
            })
            .collect();
        let asked = query(&["mediaType", "queueId"], &["nOffered"]);
        assert_eq!(fold_media_types(&asked.aggregate, &by_media), by_media);
    }

    /// Rows of a few groups, media types and hours, so that many meet; whole numbers, which add exactly in any order.
    fn any_rows() -> impl Strategy<Value = Vec<SliceRow>> {
        use crate::report::rows::tests::row;

        let number = || proptest::option::of((0..1_000_u32).prop_map(f64::from));
        let stats = (number(), number(), number(), number()).prop_map(|(count, sum, min, max)| {
            [
                Stats {
                    count,
                    ..Stats::default()
                },
                Stats {
                    count,
                    sum,
                    min,
                    max,
                    ..Stats::default()
                },
                Stats {
                    numerator: count,
                    denominator: sum,
                    ratio: count
                        .zip(sum)
                        .and_then(|(count, sum)| (sum > 0.0).then_some(count / sum)),
                    target: min,
                    ..Stats::default()
                },
            ]
        });
        let cell = (
            0..3_usize,
            proptest::option::of(0..3_usize),
            0..2_i64,
            proptest::option::of(stats),
            any::<bool>(),
        );
        let rows = proptest::collection::vec(cell, 0..24);
        rows.prop_map(|cells| {
            let rows = cells.into_iter().map(|(queue, media, hour, stats, is_partly_there)| {
                let media = media.map(|media| ["voice", "chat", "email"][media]);
                let mut row = row(&[["a", "b", "c"][queue]], media, hour, None);
                row.metrics = (0..3)
                    .map(|metric| {
                        stats
                            .filter(|_| metric > 0 || is_partly_there)
                            .map(|stats| stats[metric])
                    })
                    .collect();
                row
            });
            rows.collect()
        })
    }

    /// Folded rows in an order of their own.
    fn sorted(mut rows: Vec<SliceRow>) -> Vec<SliceRow> {
        rows.sort_by_key(|row| format!("{:?} {:?}", row.group, row.bucket));
        rows
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        #[test]
        fn fuzz_folding(rows in any_rows(), order in any::<u64>(), cut in any::<proptest::sample::Index>()) {
            let mut query = crate::report::rows::tests::query(&["queueId"], &["nOffered"]).aggregate;
            query.metrics = ["nOffered", "tHandle", "oServiceLevel"].map(metric).to_vec();
            let folded = sorted(fold_media_types(&query, &rows));

            // One row for each group and bucket, and none is lost.
            let mut places: Vec<_> = rows.iter().map(|row| format!("{:?} {:?}", row.group, row.bucket)).collect();
            places.sort();
            places.dedup();
            prop_assert_eq!(folded.len(), places.len());
            let total = |rows: &[SliceRow], pick: fn(&Stats) -> Option<f64>| {
                rows.iter().flat_map(|row| &row.metrics).flatten().filter_map(pick).sum::<f64>().to_bits()
            };
            let picks: [fn(&Stats) -> Option<f64>; 4] =
                [|stats| stats.count, |stats| stats.sum, |stats| stats.numerator, |stats| stats.denominator];
            for pick in picks {
                prop_assert_eq!(total(&folded, pick), total(&rows, pick));
            }

            // In whatever order they come, …
            let mut shuffled = rows.clone();
            shuffled.sort_by_cached_key(|row| {
                use std::hash::BuildHasher as _;
                let state = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
                state.hash_one((order, format!("{row:?}")))
            });
            prop_assert_eq!(&sorted(without_targets(fold_media_types(&query, &shuffled))), &without_targets(folded.clone()));
            // … folded twice, …
            prop_assert_eq!(&sorted(fold_media_types(&query, &folded)), &folded);
            // … or in parts.
            let (left, right) = rows.split_at(cut.index(rows.len() + 1));
            let parts = [fold_media_types(&query, left), fold_media_types(&query, right)].concat();
            prop_assert_eq!(&sorted(without_targets(fold_media_types(&query, &parts))), &without_targets(folded));
        }
    }

    /// A goal that differs between parts is none, and one that is none differs from all.
    fn without_targets(mut rows: Vec<SliceRow>) -> Vec<SliceRow> {
        for stats in rows.iter_mut().flat_map(|row| &mut row.metrics).flatten() {
            stats.target = None;
        }
        rows
    }
}
