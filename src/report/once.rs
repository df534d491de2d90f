//! What is asked for once in a fleet: one replica asks, the others find what it brought.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fleet::{Entry, Fleet, Name},
    query::AggregateQuery,
};

/// How long what was fetched is kept for other replicas. Whether it may still be given they judge by its age.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(24);

/// Looks whether another replica has left something, once nobody else is at it; else asks, and leaves it for others.
///
/// Without a fleet, or where it cannot be reached, that is only asking. Who finds others at it waits until they are done,
/// or say nothing for a few seconds, and until `deadline` at most.
pub(super) async fn once<T, E>(
    fleet: &Fleet,
    what: Value,
    deadline: Instant,
    look: impl Future<Output = Option<T>>,
    ask: impl Future<Output = Result<T, E>>,
    leave: impl FnOnce(&T) -> Vec<Entry>,
) -> Result<T, E> {
    let Some(claim) = fleet.claim(&Name::of(what.to_string()), deadline).await else {
        return ask.await;
    };
    if let Some(left) = look.await {
        claim.release().await;
        return Ok(left);
    }
    let before = fleet.mark();
    let outcome = claim.while_held(ask).await;
    if let Ok(brought) = &outcome {
        fleet.write(leave(brought), before).await;
    }
    claim.release().await;
    outcome
}

/// A question to the upstream: the same for the same question, and for no other.
pub(super) fn question(query: &AggregateQuery) -> Value {
    let metrics = query.metrics.iter();
    let metrics: Vec<_> = metrics.map(|metric| (metric.upstream, metric.qualified())).collect();
    let group_by: Vec<_> = query.group_by.iter().map(|dimension| dimension.upstream).collect();
    let clauses = query.filter.clauses.iter();
    let filter: Vec<_> = clauses
        .map(|(dimension, values)| json!([dimension.upstream, values]))
        .collect();
    let range = [query.range.start, query.range.end].map(|instant| instant.to_string());
    json!([
        query.source.name(),
        range,
        query.granularity.map(|granularity| granularity.to_string()),
        query.time_zone.name(),
        group_by,
        metrics,
        filter,
    ])
}
