//! What a person wrote: the contract's query, unchecked.

/// The fields of a reporting query, as JSON body or query-string parameters.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {}
