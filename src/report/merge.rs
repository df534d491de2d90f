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
fn combine(metric: &Metric, left: Option<&Stats>, right: Option<&Stats>) -> Option<Stats> {
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
