//! What a principal may see, and questions narrowed to it.
//!
//! A [`Restriction`] is what a key is set up with: queues, divisions, or both. With the listing of queues at hand it
//! becomes a [`Sight`], which knows both of everything: the queues of a division, the divisions of a queue. Only a sight
//! makes a question [`Permitted`], and only permitted questions are answered below `api`. So what may be seen is part of a
//! question before the question is the key of anything that is held, under way or written.
//!
//! A question's own filter and the restriction must both hold; where they contradict, nothing matches, and nothing is
//! asked for. A question that cannot be narrowed exactly is [`NotPermitted`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

use serde::Deserialize;
use uuid::Uuid;

use super::{
    AggregateQuery, ConversationQuery, Dimension, FiguresQuery, Filter, Listing, NamesById, NamesQuery, Query, Source,
    StatesQuery, UsersNowQuery,
    catalogue::{self, Lookup},
};

/// The upstream's names of the dimensions that keys are confined by.
const QUEUE: &str = "queueId";
const DIVISION: &str = "divisionId";

/// The queues and divisions a principal is confined to; none where it may see everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<String>>")]
pub struct Restriction(Filter);

/// Where divisions and queues stand to each other is known, too: what a restriction comes to. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sight(Option<Arc<Seen>>);

/// What is seen by somebody who does not see everything.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    forced: Filter,
    queues: BTreeSet<String>,
    divisions: BTreeSet<String>,
}

/// A question narrowed to what may be seen of its answer; made by [`Sight::confine`] only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permitted<Q> {
    question: Q,
    sight: Sight,
}

/// A question that cannot be narrowed exactly, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPermitted(pub String);

/// What can be narrowed.
pub trait Confine {
    /// What it is once it has been.
    type Question;

    /// For who sees everything.
    fn whole(self) -> Self::Question;

    /// For who sees that much.
    fn confined(self, seen: &Seen) -> Result<Self::Question, NotPermitted>;
}

impl Restriction {
    /// Whether everything may be seen.
    pub fn is_none(&self) -> bool {
        self.0.clauses.is_empty()
    }

    /// The values of each dimension that is named.
    pub fn filter(&self) -> &Filter {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, Vec<String>>> for Restriction {
    type Error = String;

    /// As it is written in settings: ids by `routing.queue.id` and `division.id`.
    fn try_from(written: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut filter = Filter::default();
        let mut wrong = Vec::new();
        for (name, ids) in written {
            let dimension = catalogue::dimension(&name).filter(|known| matches!(known.upstream, QUEUE | DIVISION));
            let Some(dimension) = dimension else {
                wrong.push(format!(
                    "`{name}`: keys are confined by `routing.queue.id` and `division.id`"
                ));
                continue;
            };
            if ids.is_empty() {
                wrong.push(format!("`{name}`: list at least one id"));
            }
            let mut values = BTreeSet::new();
            for id in ids {
                match Uuid::try_parse(&id) {
                    // As the upstream writes them.
                    Ok(id) => {
                        values.insert(id.hyphenated().to_string());
                    }
                    Err(_) => wrong.push(format!("`{name}`: `{id}` is not an id")),
                }
            }
            if filter.clauses.insert(dimension, values).is_some() {
                wrong.push(format!("`{name}`: stands there twice, by two of its names"));
            }
        }
        if wrong.is_empty() {
            Ok(Self(filter))
        } else {
            Err(wrong.join("; "))
        }
    }
}

impl Sight {
    /// That of the service itself, and of whoever is not confined.
    pub fn of_everything() -> Self {
        Self(None)
    }

    /// What a restriction comes to. `divisions_of_queues` says of every queue there is the division it is in.
    pub fn of(restriction: &Restriction, divisions_of_queues: &NamesById) -> Self {
        if restriction.is_none() {
            return Self(None);
        }
        let forced = restriction.filter();
        let (queues, divisions) = (forced.values_of(QUEUE), forced.values_of(DIVISION));
        let listed = || {
            divisions_of_queues
                .iter()
                .map(|(queue, division)| (&**queue, &**division))
        };
        let seen = match (queues, divisions) {
            // A queue that was deleted keeps its figures and is in no listing any more.
            (Some(queues), None) => (
                queues.clone(),
                listed()
                    .filter(|(queue, _)| queues.contains(*queue))
                    .map(|(_, division)| division.to_owned())
                    .collect(),
            ),
            (queues, divisions) => {
                let is_seen = |(queue, division): &(&str, &str)| {
                    queues.is_none_or(|queues| queues.contains(*queue))
                        && divisions.is_none_or(|divisions| divisions.contains(*division))
                };
                let in_divisions = listed().filter(is_seen).map(|(queue, _)| queue.to_owned());
                (in_divisions.collect(), divisions.cloned().unwrap_or_default())
            }
        };
        Self(Some(Arc::new(Seen {
            forced: forced.clone(),
            queues: seen.0,
            divisions: seen.1,
        })))
    }

    /// What is seen; `None` for everything.
    pub fn seen(&self) -> Option<&Seen> {
        self.0.as_deref()
    }

    /// The question narrowed to what is seen.
    pub fn confine<Q: Confine>(&self, question: Q) -> Result<Permitted<Q::Question>, NotPermitted> {
        let question = match self.seen() {
            None => question.whole(),
            Some(seen) => question.confined(seen)?,
        };
        Ok(Permitted {
            question,
            sight: self.clone(),
        })
    }
}

impl Seen {
    /// What an event must carry, dimension by dimension.
    pub fn forced(&self) -> &Filter {
        &self.forced
    }

    /// The queues that are seen.
    pub fn queues(&self) -> &BTreeSet<String> {
        &self.queues
    }

    /// The divisions that are seen.
    pub fn divisions(&self) -> &BTreeSet<String> {
        &self.divisions
    }

    /// Whether a listing says of everything in it whether it is seen.
    pub fn may_list(&self, lookup: Lookup) -> Result<(), NotPermitted> {
        let is_by_division = self.forced.values_of(DIVISION).is_some();
        match lookup {
            Lookup::Queues | Lookup::Divisions => Ok(()),
            Lookup::Users | Lookup::WrapUpCodes | Lookup::Flows if is_by_division => Ok(()),
            Lookup::Users | Lookup::WrapUpCodes | Lookup::Flows | Lookup::Skills | Lookup::Languages => {
                Err(NotPermitted(format!(
                    "{lookup} are not told apart by {}, which this key is confined by",
                    self.confined_by()
                )))
            }
        }
    }

    /// What is seen of a listing that [may be](Self::may_list) seen. `divisions` says of what is in it the division.
    pub fn listed(&self, lookup: Lookup, names: &NamesById, divisions: &NamesById) -> NamesById {
        let is_seen = |id: &str| match lookup {
            Lookup::Queues => self.queues.contains(id),
            Lookup::Divisions => self.divisions.contains(id),
            _ => {
                let division = self.may_list(lookup).ok().and_then(|()| divisions.get(id));
                // What belongs to all divisions is everybody's.
                division.is_some_and(|division| &**division == "*" || self.divisions.contains(&**division))
            }
        };
        let listed = names.iter().filter(|(id, _)| is_seen(id));
        listed.map(|(id, name)| (Arc::clone(id), Arc::clone(name))).collect()
    }

    /// Both filters: for every dimension the values that pass either, which may be none.
    fn narrow(&self, filter: &mut Filter) {
        for (dimension, forced) in &self.forced.clauses {
            let own = filter.clauses.entry(dimension).or_insert_with(|| forced.clone());
            own.retain(|value| forced.contains(value));
        }
    }

    /// Narrows figures; which groups of them may be shown.
    fn narrow_figures(&self, figures: &mut AggregateQuery) -> Result<Filter, NotPermitted> {
        self.figures_of(figures.source)?;
        self.narrow(&mut figures.filter);
        Ok(self.groups(&figures.group_by))
    }

    fn figures_of(&self, source: Source) -> Result<(), NotPermitted> {
        let mut forced = self.forced.clauses.keys();
        match forced.find(|dimension| !dimension.filterable.contain(source)) {
            None => Ok(()),
            Some(dimension) => Err(NotPermitted(format!(
                "figures of source={} are not told apart by {}, which this key is confined by",
                source.name(),
                dimension.name
            ))),
        }
    }

    /// Which groups may be shown, where that is not said by the filter: an event that passes it may carry other values of
    /// a dimension of which it carries several, and those of other dimensions.
    fn groups(&self, group_by: &[&'static Dimension]) -> Filter {
        let clauses = group_by.iter().filter_map(|dimension| {
            let values = match dimension.upstream {
                QUEUE => &self.queues,
                DIVISION => &self.divisions,
                _ => return None,
            };
            let is_filtered = self.forced.clauses.contains_key(dimension) && !dimension.multi_valued;
            (!is_filtered).then(|| (*dimension, values.clone()))
        });
        Filter {
            clauses: clauses.collect(),
        }
    }

    fn no_states(&self) -> NotPermitted {
        NotPermitted(format!(
            "states of users are not told apart by {}, which this key is confined by",
            self.confined_by()
        ))
    }

    fn confined_by(&self) -> String {
        let names = self.forced.clauses.keys().map(|dimension| dimension.name);
        names.collect::<Vec<_>>().join(" and ")
    }
}

impl<Q> Permitted<Q> {
    /// What may be seen of the answer.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }
}

impl<Q> Deref for Permitted<Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        &self.question
    }
}

impl Confine for Query {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(mut self, seen: &Seen) -> Result<Self, NotPermitted> {
        self.only = seen.narrow_figures(&mut self.aggregate)?;
        Ok(self)
    }
}

impl Confine for FiguresQuery {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(mut self, seen: &Seen) -> Result<Self, NotPermitted> {
        self.only = seen.narrow_figures(&mut self.aggregate)?;
        Ok(self)
    }
}

/// What is found is narrowed here; what the documents tell of others is left out of them when they are given.
impl Confine for (ConversationQuery, Listing) {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(mut self, seen: &Seen) -> Result<Self, NotPermitted> {
        seen.narrow(&mut self.0.filter);
        Ok(self)
    }
}

/// Neither queue nor division is told of what a user was.
impl Confine for StatesQuery {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(self, seen: &Seen) -> Result<Self, NotPermitted> {
        Err(seen.no_states())
    }
}

impl Confine for UsersNowQuery {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(self, seen: &Seen) -> Result<Self, NotPermitted> {
        Err(seen.no_states())
    }
}

impl Confine for (Lookup, NamesQuery) {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(self, seen: &Seen) -> Result<Self, NotPermitted> {
        seen.may_list(self.0)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::query::{
        ConversationRequest, Limits, NamesByLookup, NowQuery, NowRequest, QueryRequest, request::Written,
    };

    /// Ids end with the letter they are written by here.
    fn id(letter: &str) -> String {
        format!("00000000-0000-4000-8000-00000000000{letter}")
    }

    fn ids(letters: &str) -> Vec<String> {
        letters.chars().map(|letter| id(&letter.to_string())).collect()
    }

    /// Queues a and b are in division d, queue c in e.
    fn divisions_of_queues() -> NamesById {
        let pairs = [("a", "d"), ("b", "d"), ("c", "e")];
        let pairs = pairs.map(|(queue, division)| (Arc::from(id(queue)), Arc::from(id(division))));
        pairs.into_iter().collect()
    }

    fn restriction(written: &[(&str, &str)]) -> Restriction {
        let written = written.iter().map(|(name, letters)| ((*name).to_owned(), ids(letters)));
        Restriction::try_from(written.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn sight(written: &[(&str, &str)]) -> Sight {
        Sight::of(&restriction(written), &divisions_of_queues())
    }

    fn letters(values: &BTreeSet<String>) -> String {
        values.iter().filter_map(|id| id.chars().last()).collect()
    }

    #[test]
    fn queues_tell_their_divisions_and_divisions_their_queues() {
        for (written, queues, divisions) in [
            (&[("routing.queue.id", "ac")][..], "ac", "de"),
            (&[("queueId", "a")], "a", "d"),
            // In no listing any more.
            (&[("routing.queue.id", "af")], "af", "d"),
            (&[("division.id", "d")], "ab", "d"),
            (&[("division.id", "f")], "", "f"),
            (&[("routing.queue.id", "ac"), ("division.id", "d")], "a", "d"),
        ] {
            let sight = sight(written);
            let seen = sight.seen().unwrap();
            assert_eq!(
                (letters(&seen.queues).as_str(), letters(&seen.divisions).as_str()),
                (queues, divisions),
                "{written:?}"
            );
        }
        assert_eq!(sight(&[]), Sight::of_everything());
    }

    #[test]
    fn only_ids_of_queues_and_divisions_confine() {
        for (name, values, complaint) in [
            ("media.type", &["voice"][..], "`routing.queue.id` and `division.id`"),
            (
                "routing.queue.name",
                &["Support"],
                "`routing.queue.id` and `division.id`",
            ),
            ("routing.queue.id", &["Support"], "`Support` is not an id"),
            ("routing.queue.id", &[], "at least one"),
        ] {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let wrong = Restriction::try_from(BTreeMap::from([(name.to_owned(), values)])).unwrap_err();
            assert!(wrong.contains(complaint), "{wrong}");
        }
        let twice = BTreeMap::from(["queueId", "routing.queue.id"].map(|name| (name.to_owned(), ids("a"))));
        assert!(Restriction::try_from(twice).unwrap_err().contains("twice"));
        // However it is written.
        let loud = BTreeMap::from([("queueId".to_owned(), vec![id("a").to_uppercase()])]);
        assert_eq!(Restriction::try_from(loud).unwrap(), restriction(&[("queueId", "a")]));
    }

    fn parsed<R>(written: Written<R>) -> R {
        written.shape().unwrap()
    }

    fn query(source: &str, group_by: &Value, queues: Option<&str>) -> Query {
        let mut body = json!({"dateFrom": "yesterday", "source": source, "groupBy": group_by});
        if let Some(queues) = queues {
            body["filter"] = json!([{"dimension": "routing.queue.id", "values": ids(queues)}]);
        }
        let request = parsed(QueryRequest::from_json(&body));
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let named = Query::parse(&request, now, &Limits::default()).unwrap();
        named.resolve(&NamesByLookup::new()).unwrap()
    }

    #[test]
    fn a_filter_and_a_restriction_both_hold() {
        let none = json!([]);
        for (own, expected) in [(None, "ac"), (Some("ab"), "a"), (Some("b"), "")] {
            let sight = sight(&[("routing.queue.id", "ac")]);
            let narrowed = sight.confine(query("conversations", &none, own)).unwrap();
            assert_eq!(
                letters(narrowed.aggregate.filter.values_of(QUEUE).unwrap()),
                expected,
                "{own:?}"
            );
        }
        // Who sees everything asks what everybody asks.
        let whole = query("conversations", &none, Some("ab"));
        let narrowed = Sight::of_everything().confine(whole.clone()).unwrap();
        assert_eq!(*narrowed, whole);
        // By a restriction or by hand, it is the same question, and held as the same.
        let narrowed = sight(&[("routing.queue.id", "ab")])
            .confine(query("conversations", &none, None))
            .unwrap();
        assert_eq!(*narrowed, whole);
    }

    #[test]
    fn groups_of_others_are_not_shown() {
        let both = json!(["routing.queue.id", "division.id", "media.type"]);
        for (written, shown) in [
            (&[("routing.queue.id", "a")][..], vec![("divisionId", "d")]),
            (&[("division.id", "d")], vec![("divisionId", "d"), ("queueId", "ab")]),
        ] {
            let narrowed = sight(written).confine(query("conversations", &both, None)).unwrap();
            let clauses = narrowed.only.clauses.iter();
            let only: Vec<_> = clauses
                .map(|(dimension, values)| (dimension.upstream, letters(values)))
                .collect();
            let shown: Vec<_> = shown
                .into_iter()
                .map(|(name, letters)| (name, letters.to_owned()))
                .collect();
            assert_eq!(only, shown, "{written:?}");
        }
    }

    #[test]
    fn what_a_family_does_not_tell_apart_is_refused() {
        for (source, written, is_permitted) in [
            ("users", "routing.queue.id", false),
            ("flows", "routing.queue.id", true),
            ("surveys", "routing.queue.id", true),
            ("surveys", "division.id", true),
            ("knowledge", "division.id", false),
        ] {
            let sight = sight(&[(written, "a")]);
            let request = query(source, &json!([]), None);
            let narrowed = sight.confine(request);
            assert_eq!(narrowed.is_ok(), is_permitted, "{source} {written}");
            if let Err(NotPermitted(why)) = narrowed {
                assert!(why.contains(source) && why.contains(written), "{why}");
            }
        }
    }

    #[test]
    fn conversations_and_queues_are_narrowed_too() {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let request = parsed(ConversationRequest::from_json(&json!({"dateFrom": "yesterday"})));
        let named = ConversationQuery::parse(&request, now, &Limits::default()).unwrap();
        let question = named.resolve(&NamesByLookup::new()).unwrap();
        let narrowed = sight(&[("division.id", "d")]).confine(question).unwrap();
        assert_eq!(letters(narrowed.0.filter.values_of(DIVISION).unwrap()), "d");
        for (own, queues) in [("", "ab"), ("bc", "b"), ("c", "")] {
            let mut body = json!({});
            if !own.is_empty() {
                body["filter"] = json!([{"dimension": "queueId", "values": ids(own)}]);
            }
            let named = NowQuery::parse(&parsed(NowRequest::from_json(&body)), &Limits::default()).unwrap();
            let question = named.resolve(&NamesByLookup::new()).unwrap();
            let narrowed = sight(&[("division.id", "d")]).confine(question).unwrap();
            assert_eq!(letters(narrowed.queues().unwrap()), queues, "{own}");
        }
    }

    #[test]
    fn listings_show_what_is_seen_or_are_refused() {
        let names = |letters: &str| -> NamesById {
            let ids = ids(letters).into_iter();
            ids.map(|id| (Arc::from(id.as_str()), Arc::from("name"))).collect()
        };
        let mut divisions = divisions_of_queues();
        divisions.insert(Arc::from(id("f")), Arc::from("*"));
        for (written, lookup, listed) in [
            (&[("routing.queue.id", "a")][..], Lookup::Queues, Some("a")),
            (&[("routing.queue.id", "a")], Lookup::Divisions, Some("d")),
            (&[("routing.queue.id", "a")], Lookup::Users, None),
            (&[("routing.queue.id", "a")], Lookup::Skills, None),
            (&[("division.id", "d")], Lookup::Queues, Some("ab")),
            (&[("division.id", "d")], Lookup::Divisions, Some("d")),
            (&[("division.id", "d")], Lookup::Users, Some("abf")),
            (&[("division.id", "e")], Lookup::WrapUpCodes, Some("cf")),
            (&[("division.id", "d")], Lookup::Languages, None),
        ] {
            let sight = sight(written);
            let seen = sight.seen().unwrap();
            assert_eq!(seen.may_list(lookup).is_ok(), listed.is_some(), "{written:?} {lookup}");
            let found = seen.listed(lookup, &names("abcdef"), &divisions);
            let found: BTreeSet<String> = found.keys().map(ToString::to_string).collect();
            assert_eq!(letters(&found), listed.unwrap_or_default(), "{written:?} {lookup}");
        }
    }
}
