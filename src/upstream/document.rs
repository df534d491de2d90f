//! What the document of a conversation says, as far as [rows](crate::report) tell of it.
//!
//! Read once, borrowing from the document's bytes: a range has a million of them. Members that are absent or null
//! are both nothing; members not named here are passed over.

use std::{borrow::Cow, ops::Deref};

use jiff::Timestamp;
use serde::Deserialize;

use super::{Told, UpstreamError, wire};

/// Reads a document.
pub fn read(document: &[u8]) -> Result<ConversationDocument<'_>, UpstreamError> {
    wire::parse(document).map_err(|nonsense| UpstreamError::Unavailable {
        reason: "its description of a conversation cannot be read".to_owned(),
        told: Told::default(),
        source: Some(std::sync::Arc::new(nonsense)),
    })
}

/// `AnalyticsConversation`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct ConversationDocument<'a> {
    #[serde(borrow)]
    pub conversation_id: Text<'a>,
    pub conversation_start: Timestamp,
    pub conversation_end: Option<Timestamp>,
    #[serde(borrow)]
    pub conversation_initiator: Option<Text<'a>>,
    #[serde(borrow)]
    pub originating_direction: Option<Text<'a>>,
    #[serde(borrow)]
    pub external_tag: Option<Text<'a>>,
    #[serde(borrow)]
    pub division_ids: Option<Vec<Text<'a>>>,
    pub media_stats_min_conversation_mos: Option<f64>,
    #[serde(borrow)]
    pub participants: Option<Vec<Participant<'a>>>,
}

/// `AnalyticsParticipant`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct Participant<'a> {
    #[serde(borrow)]
    pub purpose: Option<Text<'a>>,
    #[serde(borrow)]
    pub user_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub external_contact_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub external_organization_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub sessions: Option<Vec<Session<'a>>>,
}

/// `AnalyticsSession`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct Session<'a> {
    #[serde(borrow)]
    pub media_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub message_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub ani: Option<Text<'a>>,
    #[serde(borrow)]
    pub dnis: Option<Text<'a>>,
    #[serde(borrow)]
    pub address_from: Option<Text<'a>>,
    #[serde(borrow)]
    pub address_to: Option<Text<'a>>,
    #[serde(borrow)]
    pub outbound_campaign_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub flow: Option<Flow<'a>>,
    #[serde(borrow)]
    pub metrics: Option<Vec<Measured<'a>>>,
    #[serde(borrow)]
    pub segments: Option<Vec<Segment<'a>>>,
}

/// `AnalyticsFlow`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct Flow<'a> {
    #[serde(borrow)]
    pub flow_id: Option<Text<'a>>,
}

/// `AnalyticsSessionMetric`: milliseconds of what is a time, 1 of what is counted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct Measured<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    pub value: Option<f64>,
}

/// `AnalyticsConversationSegment`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members are the vendor's, under the vendor's names")]
pub struct Segment<'a> {
    pub segment_start: Option<Timestamp>,
    pub segment_end: Option<Timestamp>,
    #[serde(borrow)]
    pub disconnect_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub queue_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub wrap_up_code: Option<Text<'a>>,
    #[serde(borrow)]
    pub requested_language_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub requested_routing_skill_ids: Option<Vec<Text<'a>>>,
}

/// A text of the document; owned only if it was written with escapes. (A type of its own because serde borrows a
/// `Cow` in no other place than a member of its own.)
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_or_null_is_nothing_and_texts_are_unescaped() {
        let document = br#"{"conversationId":"a\"b","conversationStart":"2026-03-01T00:00:00.000Z","unknown":{},
            "conversationEnd":null,"participants":[{"sessions":[{"metrics":[{"name":"tTalk","value":12}]}]}]}"#;
        let read = read(document).unwrap();
        assert_eq!(&*read.conversation_id, "a\"b");
        assert!(read.conversation_end.is_none() && read.external_tag.is_none());
        let participant = &read.participants.unwrap()[0];
        let metric = &participant.sessions.as_ref().unwrap()[0].metrics.as_ref().unwrap()[0];
        assert_eq!((metric.name.as_deref(), metric.value), (Some("tTalk"), Some(12.0)));
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for document in [
            &b"{}"[..],
            b"[]",
            b"{\"conversationId\":1}",
            b"{\"conversationId\":\"a\",\"conversationStart\":\"yesterday\"}",
            b"{\"conversationId\":\"a\",\"conversationStart\":\"2026-03-01T00:00:00Z\",\"divisionIds\":\"one\"}",
        ] {
            assert!(read(document).is_err(), "{}", String::from_utf8_lossy(document));
        }
    }
}
