//! `POST users/observations/query`: in how many queues users are at this instant, and in how many of them they work.
//!
//! Nothing else is observed of users; what they are doing stands in their details. A user gives one group, with their
//! zeros. Where the platform's documents are silent:
//!
//! - a filter with at least one `userId` is required, as one on queues is of queue observations;
//! - who is not active is a member of no queue, and all members have joined it: so it is of queue observations, too;
//! - a user that does not exist is left out;
//! - what detail there would be is not known: a published observation has no field for a queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Switches;
use super::aggregates::strings;
use super::conversation::{Atom, Dimension};
use super::directory::{Directory, UserState};
use super::filter::{Filter, Predicate, Subject};
use crate::simulator::refusal::Refusal;

/// What a query asks for, read and checked.
pub(super) struct Question<'q> {
    filter: Filter,
    metrics: BTreeSet<&'q str>,
}

impl<'q> Question<'q> {
    /// Reads a body of the right shape, or says what the platform would refuse in it.
    pub(super) fn parse(body: &'q Value, switches: &Switches) -> Result<Self, Refusal> {
        let refusal = |sentence| Refusal::bad_request("general.bad.request", sentence);
        let filter = Filter::parse(&body["filter"], switches.values_ignore_case)?;
        if filter.predicates_on(Dimension::UserId) == 0 {
            return Err(refusal("A query of user observations must have a userId predicate."));
        }
        if strings(&body["detailMetrics"]).next().is_some() {
            return Err(refusal("This organisation does not detail user observations."));
        }
        let metrics: BTreeSet<_> = strings(&body["metrics"]).collect();
        if metrics.is_empty() {
            return Err(refusal("At least one metric must be requested."));
        }
        Ok(Self { filter, metrics })
    }

    /// The answer, by user.
    pub(super) fn answer(&self, directory: &Directory) -> Value {
        let users = (0..directory.users.len()).filter(|user| self.wants(*user, directory));
        let results = users.map(|user| {
            let queues = queues_of(user, directory);
            let data: Vec<_> = self
                .metrics
                .iter()
                .map(|metric| json!({ "metric": metric, "stats": { "count": queues } }))
                .collect();
            json!({ "group": { "userId": directory.users[user].id.to_string() }, "data": data })
        });
        json!({ "results": results.collect::<Vec<_>>() })
    }

    fn wants(&self, user: usize, directory: &Directory) -> bool {
        let id = [Atom::Id(directory.users[user].id)];
        self.filter
            .holds(&mut |predicate: &Predicate| match &predicate.subject {
                Subject::Dimension(Some(Dimension::UserId)) => predicate.meets(&id),
                Subject::Dimension(_) | Subject::Metric(_) => predicate.meets(&[]),
            })
    }
}

fn queues_of(user: usize, directory: &Directory) -> usize {
    let is_in = |members: &[u8]| members.iter().any(|member| usize::from(*member) == user);
    match directory.users[user].state {
        UserState::Active => directory.queues.iter().filter(|queue| is_in(&queue.members)).count(),
        UserState::Inactive | UserState::Deleted => 0,
    }
}
