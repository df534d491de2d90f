//! What may be asked about single conversations.

use super::{Filter, Page, Range};

/// What a person wrote to ask for conversations.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationRequest {
    /// Which page.
    pub page: Option<u32>,
    /// Conversations on a page.
    pub page_size: Option<u32>,
}

/// A checked question about conversations: exactly those that *started* in the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConversationQuery {
    /// The half-open range of conversation starts.
    pub range: Range,
    /// Which conversations count.
    pub filter: Filter,
}

/// How the conversations found are shown; what is found does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The latest start first.
    pub newest_first: bool,
    /// Which of them.
    pub page: Page,
}

impl ConversationRequest {
    /// Placeholder.
    pub fn from_json(_body: &serde_json::Value) -> Result<Self, Vec<super::Complaint>> {
        Ok(Self::default())
    }

    /// Placeholder.
    pub fn from_pairs(_pairs: &[(String, String)]) -> Result<Self, Vec<super::Complaint>> {
        Ok(Self::default())
    }
}

impl ConversationQuery {
    /// Placeholder.
    pub fn parse(
        _: &ConversationRequest,
        _: jiff::Timestamp,
        _: &super::Limits,
    ) -> Result<(Self, Listing), Vec<super::Complaint>> {
        Err(Vec::new())
    }
}
