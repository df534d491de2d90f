//! Which events count: a conjunction over dimensions of alternatives among values.

use std::collections::{BTreeMap, BTreeSet};

use super::Dimension;

/// For every dimension named, an event must carry one of the values listed. Canonical: sorted, no repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Alternatives by dimension; never an empty set.
    pub clauses: BTreeMap<&'static Dimension, BTreeSet<String>>,
}

impl Filter {
    /// The alternatives of the dimension the upstream spells like that, if it is filtered on.
    pub fn values_of(&self, upstream: &str) -> Option<&BTreeSet<String>> {
        let mut clauses = self.clauses.iter();
        clauses.find_map(|(dimension, values)| (dimension.upstream == upstream).then_some(values))
    }
}
