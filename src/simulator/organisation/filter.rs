//! Filter trees as the platform takes them: predicates and clauses of predicates, two levels at most.

use serde_json::Value;
use uuid::Uuid;

use super::calendar;
use super::conversation::{Atom, Dimension};
use crate::simulator::refusal::Refusal;

/// A filter: its predicates and its clauses, all or any of which must hold.
pub(super) struct Filter {
    all: bool,
    predicates: Vec<Predicate>,
    clauses: Vec<Filter>,
}

impl Filter {
    /// Reads a filter or a clause; absent means that everything passes.
    pub(super) fn parse(filter: &Value, ignore_case: bool) -> Result<Self, Refusal> {
        let list = |name: &str| filter[name].as_array().map_or(&[][..], Vec::as_slice);
        let predicates = list("predicates")
            .iter()
            .map(|predicate| Predicate::parse(predicate, ignore_case));
        let clauses = list("clauses").iter().map(|clause| Self::parse(clause, ignore_case));
        Ok(Self {
            all: filter["type"].as_str() != Some("or"),
            predicates: predicates.collect::<Result<_, _>>()?,
            clauses: clauses.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the tree holds, given how to judge one predicate. An empty filter always does.
    pub(super) fn holds(&self, judge: &mut impl FnMut(&Predicate) -> bool) -> bool {
        if self.predicates.is_empty() && self.clauses.is_empty() {
            return true;
        }
        if self.all {
            return self.predicates.iter().all(&mut *judge) && self.clauses.iter().all(|clause| clause.holds(judge));
        }
        self.predicates.iter().any(&mut *judge) || self.clauses.iter().any(|clause| clause.holds(judge))
    }

    /// How many predicates, wherever they stand, are about the dimension.
    pub(super) fn predicates_on(&self, dimension: Dimension) -> usize {
        let about =
            |predicate: &&Predicate| matches!(predicate.subject, Subject::Dimension(Some(one)) if one == dimension);
        let within: usize = self.clauses.iter().map(|clause| clause.predicates_on(dimension)).sum();
        self.predicates.iter().filter(about).count() + within
    }

    /// Whether nothing is asked of anything.
    pub(super) fn is_empty(&self) -> bool {
        self.predicates.is_empty() && self.clauses.iter().all(Self::is_empty)
    }
}

/// One condition on a dimension or a metric.
pub(super) struct Predicate {
    pub(super) subject: Subject,
    condition: Condition,
}

/// What a predicate looks at.
pub(super) enum Subject {
    /// A dimension; none for one that has no values in this organisation.
    Dimension(Option<Dimension>),
    /// A metric by its platform name.
    Metric(String),
}

enum Condition {
    Exists,
    NotExists,
    Matches(Wanted),
    Within(Bounds),
}

/// A value to match, read once in each way it can be meant.
struct Wanted {
    text: String,
    id: Option<Uuid>,
    instant: Option<i64>,
    interval: Option<std::ops::Range<i64>>,
    ignore_case: bool,
}

#[derive(Default)]
struct Bounds {
    gt: Option<f64>,
    gte: Option<f64>,
    lt: Option<f64>,
    lte: Option<f64>,
}

impl Predicate {
    fn parse(predicate: &Value, ignore_case: bool) -> Result<Self, Refusal> {
        let refusal = |sentence: &str| Refusal::bad_request("general.bad.request", sentence);
        let subject = match predicate["type"].as_str() {
            Some("metric") => {
                let metric = predicate["metric"].as_str();
                Subject::Metric(
                    metric
                        .ok_or_else(|| refusal("A metric predicate must have a metric."))?
                        .to_owned(),
                )
            }
            // Properties are attributes of participants, which nobody here has.
            Some("property") => Subject::Dimension(None),
            _ => {
                let dimension = predicate["dimension"].as_str();
                let dimension = dimension.ok_or_else(|| refusal("A dimension predicate must have a dimension."))?;
                Subject::Dimension(Dimension::parse(dimension))
            }
        };
        let condition = match (
            predicate["operator"].as_str(),
            predicate["value"].as_str(),
            &predicate["range"],
        ) {
            (Some("exists"), ..) => Condition::Exists,
            (Some("notExists"), ..) => Condition::NotExists,
            (_, _, Value::Object(range)) => {
                let bound = |name: &str| range.get(name).and_then(Value::as_f64);
                Condition::Within(Bounds {
                    gt: bound("gt"),
                    gte: bound("gte"),
                    lt: bound("lt"),
                    lte: bound("lte"),
                })
            }
            (_, Some(value), _) => Condition::Matches(Wanted::new(value, ignore_case)),
            _ => return Err(refusal("A predicate that matches must have a value or a range.")),
        };
        Ok(Self { subject, condition })
    }

    /// Whether one of a dimension's values meets the condition.
    pub(super) fn meets(&self, values: &[Atom<'_>]) -> bool {
        match &self.condition {
            Condition::Exists => !values.is_empty(),
            Condition::NotExists => values.is_empty(),
            Condition::Matches(wanted) => values.iter().any(|value| wanted.is(value)),
            Condition::Within(bounds) => values.iter().any(|value| match value {
                Atom::Instant(instant) => bounds.contain(*instant as f64),
                Atom::Text(text) => text.parse().is_ok_and(|number| bounds.contain(number)),
                Atom::Id(_) => false,
            }),
        }
    }

    /// Whether one of a metric's values meets the condition.
    pub(super) fn meets_number(&self, mut values: impl Iterator<Item = i64>) -> bool {
        match &self.condition {
            Condition::Exists => values.next().is_some(),
            Condition::NotExists => values.next().is_none(),
            Condition::Matches(wanted) => wanted
                .text
                .parse::<i64>()
                .is_ok_and(|wanted| values.any(|value| value == wanted)),
            Condition::Within(bounds) => values.any(|value| bounds.contain(value as f64)),
        }
    }
}

impl Wanted {
    fn new(text: &str, ignore_case: bool) -> Self {
        Self {
            text: text.to_owned(),
            id: Uuid::try_parse(text).ok(),
            instant: calendar::instant(text),
            interval: calendar::interval(text).ok(),
            ignore_case,
        }
    }

    fn is(&self, value: &Atom<'_>) -> bool {
        match value {
            Atom::Text(text) if self.ignore_case => text.eq_ignore_ascii_case(&self.text),
            Atom::Text(text) => *text == self.text,
            Atom::Id(id) => self.id == Some(*id),
            Atom::Instant(instant) => {
                let inside = self
                    .interval
                    .as_ref()
                    .is_some_and(|interval| interval.contains(instant));
                inside || self.instant == Some(*instant)
            }
        }
    }
}

impl Bounds {
    fn contain(&self, value: f64) -> bool {
        self.gt.is_none_or(|bound| value > bound)
            && self.gte.is_none_or(|bound| value >= bound)
            && self.lt.is_none_or(|bound| value < bound)
            && self.lte.is_none_or(|bound| value <= bound)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn predicates_and_clauses_combine_by_the_type() {
        let predicate = |value: &str| json!({"dimension": "mediaType", "value": value});
        let holds = |filter: Value, media: &'static str| {
            let filter = Filter::parse(&filter, false).unwrap();
            filter.holds(&mut |predicate: &Predicate| predicate.meets(&[Atom::Text(media)]))
        };
        let either = json!({"type": "or", "predicates": [predicate("voice"), predicate("chat")]});
        assert!(holds(either.clone(), "voice") && holds(either.clone(), "chat") && !holds(either.clone(), "email"));
        let both = json!({"type": "and", "predicates": [predicate("voice")], "clauses": [either]});
        assert!(holds(both.clone(), "voice") && !holds(both, "chat"));
        assert!(holds(json!({"type": "or"}), "voice"));
        let absent = json!({"type": "and", "predicates": [{"dimension": "mediaType", "operator": "notExists"}]});
        assert!(!holds(absent, "voice"));
    }

    #[test]
    fn a_predicate_needs_its_parts() {
        for predicate in [
            json!({"value": "x"}),
            json!({"type": "metric"}),
            json!({"dimension": "queueId"}),
        ] {
            let filter = json!({"type": "and", "predicates": [predicate]});
            assert_eq!(
                Filter::parse(&filter, false).err().unwrap().code,
                "general.bad.request",
                "{filter}"
            );
        }
    }
}
