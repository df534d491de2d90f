//! `POST users/aggregates/query`: time spent in each presence and routing status, inside each bucket.
//!
//! Everybody has a status at every instant since the organisation began, so all buckets up to now have data; what is
//! still to come has none. Without `groupBy` there is one group over all users the filter leaves.
//!
//! The platform takes a hundred users per query. It also restricts the granularity, in a way that is not documented;
//! that is not imitated.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::Switches;
use super::aggregates::{Buckets, strings};
use super::conversation::{Atom, Dimension};
use super::directory::Directory;
use super::filter::{Filter, Predicate, Subject};
use super::timeline::{Period, SystemPresence};
use crate::simulator::refusal::Refusal;

/// The platform takes this many users in a filter.
const USERS_AT_MOST: usize = 100;

/// What a query asks for, read and checked.
pub(super) struct Question<'q> {
    buckets: Buckets,
    by_user: bool,
    filter: Filter,
    metrics: Vec<&'q str>,
}

impl<'q> Question<'q> {
    /// Reads a body of the right shape, or says what the platform would refuse in it.
    pub(super) fn parse(body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let refusal = |sentence: String| Refusal::bad_request("general.bad.request", sentence);
        let mut metrics: Vec<&str> = Vec::new();
        for name in strings(&body["metrics"]) {
            if !metrics.contains(&name) {
                metrics.push(name);
            }
        }
        if metrics.is_empty() {
            return Err(refusal("At least one metric must be requested.".to_owned()));
        }
        if body["views"].as_array().is_some_and(|views| !views.is_empty()) {
            return Err(refusal("Views are not supported for status metrics.".to_owned()));
        }
        let filter = Filter::parse(&body["filter"], switches.values_ignore_case)?;
        if filter.predicates_on(Dimension::UserId) > USERS_AT_MOST {
            let sentence = format!("A query may not have more than {USERS_AT_MOST} userId predicates.");
            return Err(refusal(sentence));
        }
        Ok(Self {
            buckets: Buckets::parse(body, switches)?,
            by_user: strings(&body["groupBy"]).next().is_some(),
            filter,
            metrics,
        })
    }

    /// The instants asked for, in milliseconds since the epoch.
    pub(super) fn interval(&self) -> &Range<i64> {
        &self.buckets.interval
    }

    /// Whether the user at this position in the directory is asked for.
    pub(super) fn wants(&self, user: usize, directory: &Directory) -> bool {
        let id = [Atom::Id(directory.users[user].id)];
        self.filter
            .holds(&mut |predicate: &Predicate| match &predicate.subject {
                Subject::Dimension(Some(Dimension::UserId)) => predicate.meets(&id),
                Subject::Dimension(_) | Subject::Metric(_) => predicate.meets(&[]),
            })
    }

    /// The answer, given the periods of the users asked for.
    pub(super) fn answer(
        &self,
        timelines: &[(usize, Vec<Period>)],
        directory: &Directory,
        switches: &Switches,
    ) -> Value {
        let mut groups: BTreeMap<Option<usize>, BTreeMap<usize, Sums>> = BTreeMap::new();
        let mut presences = BTreeSet::new();
        for (user, periods) in timelines {
            let group = groups.entry(self.by_user.then_some(*user)).or_default();
            for period in periods {
                presences.insert(directory.presences[period.presence].system);
                let mut at = period.span.start;
                while at < period.span.end {
                    let bucket = self.buckets.holding(at);
                    let until = self.buckets.edges[bucket + 1].min(period.span.end);
                    let sums = group.entry(bucket).or_default();
                    for (position, metric) in self.metrics.iter().enumerate() {
                        let key = (position, qualifier(metric, period, directory));
                        *sums.entry(key).or_default() += until - at;
                    }
                    at = until;
                }
            }
        }
        let results: Vec<_> = groups
            .into_iter()
            .filter(|(_, buckets)| !buckets.is_empty())
            .map(|(user, buckets)| {
                let data: Vec<_> = buckets
                    .into_iter()
                    .map(|(bucket, sums)| self.bucket(bucket, sums))
                    .collect();
                let group = user.map(|user| json!({ "userId": directory.users[user].id.to_string() }));
                json!({ "group": group.unwrap_or_else(|| json!({})), "data": data })
            })
            .collect();
        if results.is_empty() && switches.empty_aggregates_without_results {
            return json!({});
        }
        json!({ "systemToOrganizationMappings": directory.presence_mappings(&presences), "results": results })
    }

    fn bucket(&self, bucket: usize, sums: Sums) -> Value {
        let metrics = sums.into_iter().map(|((metric, qualifier), sum)| {
            json!({ "metric": self.metrics[metric], "qualifier": qualifier, "stats": { "sum": sum } })
        });
        json!({ "interval": self.buckets.printed(bucket), "metrics": metrics.collect::<Vec<_>>() })
    }
}

/// Milliseconds by the metric's position and its qualifier.
type Sums = BTreeMap<(usize, String), i64>;

fn qualifier(metric: &str, period: &Period, directory: &Directory) -> String {
    let presence = &directory.presences[period.presence];
    match metric {
        "tSystemPresence" => presence.system.word().to_owned(),
        "tOrganizationPresence" => presence.id.to_string(),
        _ => period.status.word().to_owned(),
    }
}

impl Directory {
    /// The organisation's presences under each of these system presences.
    pub(super) fn presence_mappings(&self, presences: &BTreeSet<SystemPresence>) -> Map<String, Value> {
        let ids = |system| {
            let own = self.presences.iter().filter(move |presence| presence.system == system);
            own.map(|presence| presence.id.to_string()).collect::<Vec<_>>()
        };
        presences
            .iter()
            .map(|system| (system.word().to_owned(), ids(*system).into()))
            .collect()
    }
}
