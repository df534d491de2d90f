//! What may be asked about single conversations.

use super::{Filter, Range};

/// What a person wrote to ask for conversations.
#[derive(Clone, Debug, Default)]
pub struct ConversationRequest {}

/// A checked question about conversations: exactly those that *started* in the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConversationQuery {
    /// The half-open range of conversation starts.
    pub range: Range,
    /// Which conversations count.
    pub filter: Filter,
}

impl ConversationQuery {
    /// Every conversation that started in the range.
    pub fn whole(range: Range) -> Self {
        Self {
            range,
            filter: Filter::default(),
        }
    }
}
