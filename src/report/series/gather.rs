//! One request for several questions that come together.
//!
//! A question that nobody else is near leaves at once. One that comes while others of its kind are under way waits for a
//! moment, so that those right behind it come along: they are asked for as one where they differ in metrics only, or in
//! the values of one filter. What is under way already is waited for, not asked for again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};

use super::{Landed, fold};
use crate::{
    query::{
        AggregateQuery, Dimension, Filter, Granularity, Metric, Range, Source, Zone,
        catalogue::{Rollup, Side},
    },
    report::{
        ReportError, Reports,
        flights::{Landing, Role},
    },
    upstream::UpstreamError,
};

/// How long those who come together are waited for.
const MOMENT: Duration = Duration::from_millis(10);
/// The most values of a filter that several questions are put together in: what the upstream takes for users.
const MAX_VALUES: usize = 100;

/// Questions of a kind that wait for others of it.
#[derive(Default)]
pub(super) struct Gathering(Mutex<HashMap<Class, Batch>>);

/// What questions must have in common to be asked as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
    source: Source,
    granularity: Option<Granularity>,
    time_zone: Zone,
    group_by: Vec<&'static Dimension>,
}

struct Batch {
    members: Arc<Mutex<Vec<AggregateQuery>>>,
    outcomes: Shared<BoxFuture<'static, Arc<Outcomes>>>,
}

type Outcomes = HashMap<AggregateQuery, Result<Arc<Landed>, ReportError>>;

impl Class {
    fn of(query: &AggregateQuery) -> Self {
        Self {
            source: query.source,
            granularity: query.granularity,
            time_zone: query.time_zone.clone(),
            group_by: query.group_by.clone(),
        }
    }
}

fn is_same_series(a: &AggregateQuery, b: &AggregateQuery) -> bool {
    Class::of(a) == Class::of(b) && a.filter == b.filter
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
    pub(super) fn join(&self, fetch: &AggregateQuery, alone: bool) -> (Landing<Arc<Landed>>, Role, bool) {
        let flights = &self.0.series.flights;
        let brings_some = |other: &AggregateQuery| {
            is_same_series(other, fetch)
                && overlap(other.range, fetch.range)
                && other.metrics.iter().any(|metric| fetch.metrics.contains(metric))
        };
        if !alone
            && !flights.any(|other| other == fetch)
            && let Some(landing) = flights.under_way(brings_some)
        {
            return (landing, Role::Follower, false);
        }
        let class = Class::of(fetch);
        let has_company = !alone && flights.any(|other| other != fetch && Class::of(other) == class);
        let (landing, role) = flights.join(fetch, || {
            let (reports, fetch) = (self.clone(), fetch.clone());
            if has_company {
                reports.gather(class, fetch).boxed()
            } else {
                reports.fetch_series(fetch).boxed()
            }
        });
        (landing, role, true)
    }

    /// Waits a moment for others, asks, and gives this one what it wanted.
    fn gather(
        self,
        class: Class,
        fetch: AggregateQuery,
    ) -> impl Future<Output = Result<Arc<Landed>, ReportError>> + Send + 'static {
        let outcomes = {
            let gathering = &self.0.series.gathering;
            let mut batches = gathering.0.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = batches.entry(class.clone()).or_insert_with(|| {
                let members: Arc<Mutex<Vec<AggregateQuery>>> = Arc::default();
                let outcomes = self.clone().leave(class, Arc::clone(&members)).boxed().shared();
                Batch { members, outcomes }
            });
            let mut members = batch.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.push(fetch.clone());
            batch.outcomes.clone()
        };
        async move {
            let outcomes = outcomes.await;
            outcomes.get(&fetch).cloned().unwrap_or(Err(ReportError::Internal))
        }
    }

    async fn leave(self, class: Class, members: Arc<Mutex<Vec<AggregateQuery>>>) -> Arc<Outcomes> {
        tokio::time::sleep(MOMENT).await;
        {
            let mut batches = self.0.series.gathering.0.lock().unwrap_or_else(PoisonError::into_inner);
            batches.remove(&class);
        }
        let members = std::mem::take(&mut *members.lock().unwrap_or_else(PoisonError::into_inner));
        let asked = fuse(members)
            .into_iter()
            .map(|(fetch, members)| self.clone().settle(fetch, members));
        Arc::new(join_all(asked).await.into_iter().flatten().collect())
    }

    /// Asks once for several; the request is on the account of the first.
    async fn settle(
        self,
        fetch: AggregateQuery,
        members: Vec<AggregateQuery>,
    ) -> Vec<(AggregateQuery, Result<Arc<Landed>, ReportError>)> {
        let landed = self.clone().fetch_series(fetch).await;
        let is_refused = matches!(landed, Err(ReportError::Upstream(UpstreamError::Rejected { .. })));
        if is_refused && members.len() > 1 {
            // Perhaps only together.
            let alone = members.into_iter().map(|member| {
                let reports = self.clone();
                async move { (member.clone(), reports.fetch_series(member).await) }
            });
            return join_all(alone).await;
        }
        let shared = landed.as_ref().ok().map(|landed| {
            Arc::new(Landed {
                chunks: landed.chunks.clone(),
                calls: 0,
            })
        });
        let mut members = members.into_iter();
        let first = members.next().map(|first| (first, landed.clone()));
        let others = members.map(|member| {
            let outcome = shared.clone().map_or_else(|| landed.clone(), Ok);
            (member, outcome)
        });
        first.into_iter().chain(others).collect()
    }
}

/// Questions put together, each with those it answers. All are of one class.
pub(super) fn fuse(questions: Vec<AggregateQuery>) -> Vec<(AggregateQuery, Vec<AggregateQuery>)> {
    let mut by_filter: BTreeMap<BTreeMap<&'static Dimension, BTreeSet<String>>, Vec<AggregateQuery>> = BTreeMap::new();
    for question in questions {
        by_filter
            .entry(question.filter.clauses.clone())
            .or_default()
            .push(question);
    }
    let mut fused: Vec<(AggregateQuery, Vec<AggregateQuery>)> = Vec::new();
    for (_, members) in by_filter {
        for member in members {
            let near = fused
                .iter_mut()
                .find(|(known, _)| known.filter == member.filter && overlap(known.range, member.range));
            match near {
                Some((known, members)) => {
                    known.range.start = known.range.start.min(member.range.start);
                    known.range.end = known.range.end.max(member.range.end);
                    add_metrics(known, &member.metrics);
                    members.push(member);
                }
                None => fused.push((member.clone(), vec![member])),
            }
        }
    }
    let mut wider: Vec<(AggregateQuery, Vec<AggregateQuery>)> = Vec::new();
    for (question, mut members) in fused {
        let together = wider.iter_mut().find_map(|(known, members)| {
            let wide = widened(known, &question)?;
            Some((known, members, wide))
        });
        match together {
            Some((known, known_members, wide)) => {
                *known = wide;
                known_members.append(&mut members);
            }
            None => wider.push((question, members)),
        }
    }
    wider
}

fn add_metrics(query: &mut AggregateQuery, metrics: &[&'static Metric]) {
    query.metrics.extend(metrics);
    query.metrics.sort_unstable();
    query.metrics.dedup();
}

/// One question that holds the answers of two that differ in the values of one filter only.
fn widened(a: &AggregateQuery, b: &AggregateQuery) -> Option<AggregateQuery> {
    if a.range != b.range || !a.filter.clauses.keys().eq(b.filter.clauses.keys()) {
        return None;
    }
    let clauses = a.filter.clauses.iter().zip(b.filter.clauses.values());
    let mut different = clauses
        .filter(|((_, a), b)| a != b)
        .map(|((dimension, _), _)| *dimension);
    let dimension = different.next().filter(|_| different.next().is_none())?;
    // Whether the two agree on a dimension they are grouped by is for their class to say; `a` may have been widened.
    let told_apart = fold::tells_apart(a.source, dimension, &b.group_by);
    let mut wide = a.clone();
    add_metrics(&mut wide, &b.metrics);
    if !told_apart {
        let adds = |metric: &Metric| {
            let is_lost = dimension.upstream == "userId" && metric.side == Side::Queue;
            matches!(metric.rollup, Rollup::Counter | Rollup::Timer | Rollup::Ratio) && !is_lost
        };
        let is_groupable = dimension.groupable.contain(a.source) && !dimension.multi_valued;
        if !is_groupable || !wide.metrics.iter().all(|metric| adds(metric)) {
            return None;
        }
        wide.group_by.push(dimension);
        wide.group_by.sort_unstable();
        wide.group_by.dedup();
    }
    let values: BTreeSet<String> = a.filter.clauses[dimension]
        .union(&b.filter.clauses[dimension])
        .cloned()
        .collect();
    if values.len() > MAX_VALUES {
        return None;
    }
    let mut clauses = a.filter.clauses.clone();
    clauses.insert(dimension, values);
    wide.filter = Filter { clauses };
    Some(wide)
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
