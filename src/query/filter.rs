//! Which events count: a conjunction over dimensions of alternatives among values.

use std::collections::{BTreeMap, BTreeSet};

use super::Dimension;

/// For every dimension named, an event must carry one of the values listed. Canonical: sorted, no repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Alternatives by dimension; never an empty set.
    pub clauses: BTreeMap<&'static Dimension, BTreeSet<String>>,
}
