//! One request for several questions that come together.
//!
//! A question that nobody else is near leaves at once. One that comes while others of its kind are under way waits for a
//! moment, so that those right behind it come along: they are asked for as one where one question answers them all, by
//! more metrics, shorter buckets, more dimensions or wider filters. What is under way already is waited for, not asked
//! for again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};

use super::{Landed, fold, fold::Lens, key::Series, plan};
use crate::{
    query::{AggregateQuery, Dimension, Filter, Metric, Range, Source, Zone, catalogue::Rollup},
    report::{
        ReportError, Reports,
        flights::{Landing, Role},
    },
    upstream::{Errand, UpstreamError},
};

/// How long those who come together are waited for.
const MOMENT: Duration = Duration::from_millis(10);
/// The most rows that questions are put together for, as far as can be foreseen.
const MAX_ROWS: f64 = 60_000.0;
/// The most values of a filter that several questions are put together in: what the upstream takes for users.
const MAX_VALUES: usize = 100;

/// Questions of a kind that wait for others of it.
#[derive(Default)]
pub(super) struct Gathering(Mutex<HashMap<Class, Batch>>);

/// What questions must have in common to be asked as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
    source: Source,
    time_zone: Zone,
}

struct Batch {
    members: Members,
    outcomes: Shared<BoxFuture<'static, Arc<Outcomes>>>,
}

/// Who waits, each on an errand of its own.
type Members = Arc<Mutex<Vec<(AggregateQuery, Errand)>>>;
type Outcomes = HashMap<AggregateQuery, Result<Arc<Landed>, ReportError>>;

impl Class {
    fn of(query: &AggregateQuery) -> Self {
        Self {
            source: query.source,
            time_zone: query.time_zone.clone(),
        }
    }
}

fn is_same_series(a: &AggregateQuery, b: &AggregateQuery) -> bool {
    Class::of(a) == Class::of(b) && a.granularity == b.granularity && a.group_by == b.group_by && a.filter == b.filter
}

fn overlap(a: Range, b: Range) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whether what `other` brings is all that `fetch` asks for.
pub(super) fn covers(other: &AggregateQuery, fetch: &AggregateQuery) -> bool {
    let is_within = other.range.start <= fetch.range.start && fetch.range.end <= other.range.end;
    is_within && is_same_series(other, fetch) && fetch.metrics.iter().all(|metric| other.metrics.contains(metric))
}

impl Reports {
    /// Joins what is under way, or starts it: what will land, who started it, and whether it is what was asked for.
    pub(super) fn join(
        &self,
        fetch: &AggregateQuery,
        alone: bool,
        errand: &Errand,
    ) -> (Landing<Arc<Landed>>, Role, bool) {
        let flights = &self.0.series.flights;
        let brings_some = |other: &AggregateQuery| {
            is_same_series(other, fetch)
                && overlap(other.range, fetch.range)
                && other.metrics.iter().any(|metric| fetch.metrics.contains(metric))
        };
        if !alone
            && !flights.any(|other| other == fetch)
            && let Some(landing) = flights.join_any(errand, brings_some)
        {
            return (landing, Role::Follower, false);
        }
        let class = Class::of(fetch);
        let has_company = !alone && flights.any(|other| other != fetch && Class::of(other) == class);
        let (landing, role) = flights.join(fetch, errand, |errand| {
            let (reports, asking) = (self.clone(), self.clone());
            let (fetch, asked, on) = (fetch.clone(), fetch.clone(), errand.clone());
            let ask = async move {
                if has_company {
                    asking.gather(class, asked, on).await
                } else {
                    asking.fetch_series(asked, on).await
                }
            };
            reports.fetch_once(fetch, errand, ask)
        });
        (landing, role, true)
    }

    /// Waits a moment for others, asks, and gives this one what it wanted.
    fn gather(
        self,
        class: Class,
        fetch: AggregateQuery,
        errand: Errand,
    ) -> impl Future<Output = Result<Arc<Landed>, ReportError>> + Send + 'static {
        let outcomes = {
            let gathering = &self.0.series.gathering;
            let mut batches = gathering.0.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = batches.entry(class.clone()).or_insert_with(|| {
                let members = Members::default();
                let outcomes = self.clone().leave(class, Arc::clone(&members)).boxed().shared();
                Batch { members, outcomes }
            });
            let mut members = batch.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.push((fetch.clone(), errand));
            batch.outcomes.clone()
        };
        async move {
            let outcomes = outcomes.await;
            outcomes.get(&fetch).cloned().unwrap_or(Err(ReportError::Internal))
        }
    }

    async fn leave(self, class: Class, members: Members) -> Arc<Outcomes> {
        tokio::time::sleep(MOMENT).await;
        {
            let mut batches = self.0.series.gathering.0.lock().unwrap_or_else(PoisonError::into_inner);
            batches.remove(&class);
        }
        let members = std::mem::take(&mut *members.lock().unwrap_or_else(PoisonError::into_inner));
        let (questions, errands): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let errands: HashMap<_, _> = questions.iter().cloned().zip(errands).collect();
        let asked = fuse(questions).into_iter().map(|(fetch, members)| {
            let members = members.into_iter().filter_map(|member| {
                let errand = errands.get(&member)?.clone();
                Some((member, errand))
            });
            self.clone().settle(fetch, members.collect())
        });
        Arc::new(join_all(asked).await.into_iter().flatten().collect())
    }

    /// Asks once for several, on the account of the first.
    async fn settle(
        self,
        fetch: AggregateQuery,
        members: Vec<(AggregateQuery, Errand)>,
    ) -> Vec<(AggregateQuery, Result<Arc<Landed>, ReportError>)> {
        let (members, errands): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let landed = match errands.first().map(Errand::apart) {
            Some(joint) => {
                for errand in &errands {
                    errand.goes_along_with(&joint);
                }
                self.clone().fetch_for(fetch, &members, &joint).await
            }
            None => return Vec::new(),
        };
        let is_refused = matches!(landed, Err(ReportError::Upstream(UpstreamError::Rejected { .. })));
        let landed = match landed {
            // Perhaps only together.
            Err(_) if is_refused && members.len() > 1 => members.iter().map(|_| None).collect(),
            Err(failure) => {
                return members
                    .into_iter()
                    .map(|member| (member, Err(failure.clone())))
                    .collect();
            }
            Ok(landed) => landed,
        };
        let outcomes = members
            .into_iter()
            .zip(errands)
            .zip(landed)
            .map(|((member, errand), landed)| {
                let reports = self.clone();
                async move {
                    let outcome = match landed {
                        Some(landed) => Ok(Arc::new(landed)),
                        None => reports.fetch_series(member.clone(), errand).await,
                    };
                    (member, outcome)
                }
            });
        join_all(outcomes).await
    }
}

/// Whether what these metrics carry of parts makes that of the whole, but for goals and percentiles.
pub(super) fn all_add(metrics: &[&'static Metric]) -> bool {
    metrics
        .iter()
        .all(|metric| matches!(metric.rollup, Rollup::Counter | Rollup::Timer | Rollup::Ratio))
}

/// Questions put together, each with those it answers. All are of one class.
pub(super) fn fuse(questions: Vec<AggregateQuery>) -> Vec<(AggregateQuery, Vec<AggregateQuery>)> {
    let mut fused: Vec<(AggregateQuery, Vec<AggregateQuery>)> = Vec::new();
    for question in questions {
        let wider = fused.iter_mut().find_map(|(known, members)| {
            let wide = widened(known, members, &question)?;
            Some((known, members, wide))
        });
        match wider {
            Some((known, members, wide)) => {
                *known = wide;
                members.push(question);
            }
            None => fused.push((question.clone(), vec![question])),
        }
    }
    fused
}

/// One question that answers what `known` does and one more; `None` if there is none, or it would bring too much.
fn widened(known: &AggregateQuery, members: &[AggregateQuery], one: &AggregateQuery) -> Option<AggregateQuery> {
    if !overlap(known.range, one.range) {
        return None;
    }
    let mut wide = known.clone();
    // Of two lengths of which one divides the other, the shorter; the lens says whether it does.
    wide.granularity = known.granularity.min(one.granularity);
    wide.range.start = known.range.start.min(one.range.start);
    wide.range.end = known.range.end.max(one.range.end);
    wide.metrics.extend(&one.metrics);
    wide.metrics.sort_unstable();
    wide.metrics.dedup();
    wide.group_by.extend(&one.group_by);
    let mut clauses = BTreeMap::new();
    let filters = [&known.filter.clauses, &one.filter.clauses];
    for dimension in filters.iter().flat_map(|clauses| clauses.keys()) {
        let [known, one] = filters.map(|clauses| clauses.get(dimension));
        if known != one && !fold::tells_apart(wide.source, dimension, &wide.group_by) {
            wide.group_by.push(dimension);
        }
        if let (Some(known), Some(one)) = (known, one) {
            let values: BTreeSet<String> = known.union(one).cloned().collect();
            clauses.insert(*dimension, values);
        }
    }
    wide.filter = Filter { clauses };
    wide.group_by.sort_unstable();
    wide.group_by.dedup();
    let series = Series::of(&wide)?;
    let is_groupable = |dimension: &&Dimension| dimension.groupable.contain(wide.source);
    let has_few_values = |values: &BTreeSet<String>| values.len() <= MAX_VALUES;
    let is_possible = wide.group_by.iter().all(is_groupable) && wide.filter.clauses.values().all(has_few_values);
    let answers = |member: &AggregateQuery| Lens::of(&series, member, all_add(&member.metrics)).is_some();
    let is_same_series = is_same_series(&wide, known) && is_same_series(known, one);
    let is_little = is_same_series || plan::rows_guessed(&series, wide.range) <= MAX_ROWS;
    (is_possible && is_little && members.iter().chain([one]).all(answers)).then_some(wide)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those that may leave together.
    pub(in crate::report::series) fn by_class(questions: Vec<AggregateQuery>) -> Vec<Vec<AggregateQuery>> {
        let mut classes: HashMap<Class, Vec<AggregateQuery>> = HashMap::new();
        for question in questions {
            classes.entry(Class::of(&question)).or_default().push(question);
        }
        classes.into_values().collect()
    }
}
