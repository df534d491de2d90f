//! Names in filters: `routing.queue.name:Support` means the id of the queue called that.
//!
//! What things are called is known upstream only, so a question is checked in two steps, both pure:
//! [`Query::parse`](super::Query::parse) gives a [`Named`] question, in which nothing can be wrong any more but
//! names; with the listings it asks for it is [`resolve`](Named::resolve)d to a question that speaks of ids.
//! A question that is wrong otherwise never costs a listing, and one that is right means the same, and is held
//! as the same, whether it was asked by names or by ids.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Complaint, Dimension, Filter, catalogue::Lookup, parse::Check};

/// What things are called, by their ids.
pub type NamesById = HashMap<Arc<str>, Arc<str>>;

/// Every listing needed.
pub type NamesByLookup = HashMap<Lookup, Arc<NamesById>>;

/// A checked question that may still say names where ids are meant.
#[derive(Clone, Debug)]
pub struct Named<Q> {
    /// Its filter holds the names where the ids belong.
    question: Q,
    clauses: Vec<NamedClause>,
    filter_of: fn(&mut Q) -> &mut Filter,
}

/// A filter's clause by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedClause {
    /// Where in the request's filter it stands.
    pub(super) index: usize,
    pub(super) dimension: &'static Dimension,
    pub(super) lookup: Lookup,
    pub(super) names: Vec<String>,
}

impl<Q> Named<Q> {
    pub(super) fn new(question: Q, clauses: Vec<NamedClause>, filter_of: fn(&mut Q) -> &mut Filter) -> Self {
        Self {
            question,
            clauses,
            filter_of,
        }
    }

    /// The same with something changed that has to do with neither filter nor names.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Q)) -> Self {
        change(&mut self.question);
        self
    }

    /// The question as it stands: right but for names in its filter.
    pub fn question(&self) -> &Q {
        &self.question
    }

    /// The listings its names stand in; none for a question that speaks of ids.
    pub fn lookups(&self) -> BTreeSet<Lookup> {
        self.clauses.iter().map(|clause| clause.lookup).collect()
    }

    /// The question in ids, or every name that means none or several. `names` holds the listings of
    /// [`lookups`](Self::lookups).
    pub fn resolve(mut self, names: &NamesByLookup) -> Result<Q, Vec<Complaint>> {
        let mut check = Check::default();
        for clause in &self.clauses {
            let ids = clause.ids(names.get(&clause.lookup).map(Arc::as_ref), &mut check);
            (self.filter_of)(&mut self.question)
                .clauses
                .insert(clause.dimension, ids);
        }
        if check.complaints.is_empty() {
            Ok(self.question)
        } else {
            Err(check.refuse())
        }
    }
}

/// How many things of the same name are told by their ids.
const MOST_TOLD: usize = 5;

impl NamedClause {
    fn ids(&self, names: Option<&NamesById>, check: &mut Check) -> BTreeSet<String> {
        let empty = NamesById::new();
        let names = names.unwrap_or(&empty);
        let mut ids = BTreeSet::new();
        for (place, name) in self.names.iter().enumerate() {
            let pointer = format!("/filter/{}/values/{place}", self.index);
            match called(name, names).as_slice() {
                [id] => {
                    ids.insert((*id).to_owned());
                }
                [] => {
                    let nearest = check.nearest(name, names.values());
                    check.advise(
                        pointer,
                        format!("no {} is called that", self.lookup.singular()),
                        nearest,
                    );
                }
                several => {
                    let told = several[..several.len().min(MOST_TOLD)].join(", ");
                    let (count, id) = (several.len(), self.dimension.name);
                    check.complain(
                        pointer,
                        format!(
                            "{count} {} are called that; filter on {id} instead: {told}",
                            self.lookup
                        ),
                    );
                }
            }
        }
        ids
    }
}

/// The ids of what is called exactly that or, where there is nothing, that but for the case of letters.
fn called<'n>(name: &str, names: &'n NamesById) -> Vec<&'n str> {
    let ids = |is_meant: &dyn Fn(&str) -> bool| {
        let meant = names.iter().filter(|(_, called)| is_meant(called));
        let mut ids: Vec<&str> = meant.map(|(id, _)| id.as_ref()).collect();
        ids.sort_unstable();
        ids
    };
    let exactly = ids(&|called| called == name);
    if !exactly.is_empty() {
        return exactly;
    }
    let name = name.to_lowercase();
    ids(&|called| called.to_lowercase() == name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::query::{ConversationQuery, ConversationRequest, Limits, Query, QueryRequest};

    fn parse(body: &Value) -> Result<Named<Query>, Vec<Complaint>> {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        QueryRequest::from_json(body).meaning(|request| Query::parse(&request, now, &Limits::default()))
    }

    fn named(filter: &Value) -> Result<Named<Query>, Vec<Complaint>> {
        parse(&json!({"dateFrom": "yesterday", "filter": filter}))
    }

    fn names() -> NamesByLookup {
        let listing = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            Arc::new(entries.map(|(id, name)| (Arc::from(*id), Arc::from(*name))).collect())
        };
        NamesByLookup::from([
            (
                Lookup::Queues,
                listing(&[
                    ("q1", "Support"),
                    ("q2", "Sales"),
                    ("q3", "sales"),
                    ("q4", "Übersee"),
                    ("q5", "VIP"),
                    ("q6", "vip"),
                ]),
            ),
            (Lookup::Users, listing(&[("u1", "Anna Ek"), ("u2", "Anna Ek")])),
        ])
    }

    #[test]
    fn names_become_ids_and_the_question_the_same_as_by_ids() {
        for (written, ids) in [
            (json!(["Support"]), json!(["q1"])),
            (json!(["support", "Support"]), json!(["q1"])),
            // Where both exist, the case of letters tells them apart.
            (json!(["Sales"]), json!(["q2"])),
            (json!(["sales", "SUPPORT"]), json!(["q1", "q3"])),
            (json!(["übersee"]), json!(["q4"])),
        ] {
            let by_name = named(&json!([{"dimension": "routing.queue.name", "values": written}])).unwrap();
            assert_eq!(by_name.lookups(), [Lookup::Queues].into());
            let by_id = named(&json!([{"dimension": "routing.queue.id", "values": ids}])).unwrap();
            assert_eq!(by_id.lookups(), BTreeSet::new());
            assert_eq!(
                by_name.resolve(&names()).unwrap(),
                by_id.resolve(&NamesByLookup::new()).unwrap(),
                "{written}"
            );
        }
    }

    #[test]
    fn names_of_nothing_and_of_several_things_are_told_all_at_once() {
        let filter = json!([
            {"dimension": "media.type", "values": ["voice"]},
            {"dimension": "routing.queue.name", "values": ["Suport", "Support", "Vip"]},
            {"dimension": "agent.name", "values": ["Anna Ek"]},
        ]);
        let complaints = named(&filter).unwrap().resolve(&names()).unwrap_err();
        let told: Vec<_> = complaints
            .iter()
            .map(|complaint| json!([complaint.pointer, complaint.detail, complaint.suggestion]))
            .collect();
        assert_eq!(
            json!(told),
            json!([
                ["/filter/1/values/0", "no queue is called that", "Support"],
                [
                    "/filter/1/values/2",
                    "2 queues are called that; filter on routing.queue.id instead: q5, q6",
                    null
                ],
                [
                    "/filter/2/values/0",
                    "2 users are called that; filter on agent.id instead: u1, u2",
                    null
                ],
            ])
        );
    }

    #[test]
    fn what_is_wrong_beside_names_is_told_before_they_are_looked_up() {
        for filter in [
            // Once by id and once by name, in either order.
            json!([{"dimension": "queueId", "values": ["q1"]}, {"dimension": "routing.queue.name", "values": ["Sales"]}]),
            json!([{"dimension": "routing.queue.name", "values": ["Sales"]}, {"dimension": "queueId", "values": ["q1"]}]),
            // Not of aggregates.
            json!([{"dimension": "media.type", "values": ["voice"]}, {"dimension": "flow.name", "values": ["Main"]}]),
        ] {
            let complaints = named(&filter).unwrap_err();
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert_eq!(complaints[0].pointer, "/filter/1/dimension");
        }
    }

    #[test]
    fn an_agent_by_name_is_an_agent() {
        let request = json!({
            "dateFrom": "yesterday", "select": ["conversation.offered"],
            "filter": [{"dimension": "agent.name", "values": ["Anna Ek"]}]
        });
        let complaints = parse(&request).unwrap_err();
        assert_eq!(complaints[0].pointer, "/select/0");
    }

    #[test]
    fn conversations_are_filtered_by_names_too() {
        let body =
            json!({"dateFrom": "yesterday", "filter": [{"dimension": "routing.queue.name", "values": ["Support"]}]});
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let named = ConversationRequest::from_json(&body)
            .meaning(|request| ConversationQuery::parse(&request, now, &Limits::default()));
        let (query, _) = named.unwrap().resolve(&names()).unwrap();
        assert_eq!(query.filter.values_of("queueId"), Some(&["q1".to_owned()].into()));
    }
}
