//! Which events count: a conjunction over dimensions of alternatives among values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Dimension;

/// For every dimension named, an event must carry one of the values listed. Canonical: sorted, no repeats. Where none is
/// listed, nothing passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Alternatives by dimension.
    pub clauses: BTreeMap<&'static Dimension, BTreeSet<String>>,
}

impl Filter {
    /// The alternatives of the dimension the upstream spells like that, if it is filtered on.
    pub fn values_of(&self, upstream: &str) -> Option<&BTreeSet<String>> {
        let mut clauses = self.clauses.iter();
        clauses.find_map(|(dimension, values)| (dimension.upstream == upstream).then_some(values))
    }

    /// Whether nothing can pass.
    pub fn is_of_nothing(&self) -> bool {
        self.clauses.values().any(BTreeSet::is_empty)
    }

    /// Whether a group is one of those named: for every dimension, it has one of the values listed, or none at all.
    pub fn shows(&self, group_by: &[&'static Dimension], group: &[Option<Arc<str>>]) -> bool {
        group_by.iter().zip(group).all(|(dimension, value)| {
            let values = self.clauses.get(dimension);
            values.is_none_or(|values| value.as_ref().is_none_or(|value| values.contains(&**value)))
        })
    }
}
