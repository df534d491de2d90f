//! Details of conversations in the upstream's own words, as a listing of the query model, and a page of it back in those
//! words.
//!
//! [`question`] takes what the model expresses exactly: the conversations of whole UTC days, by start, and conditions that
//! are one of some values for each of some dimensions, those of a segment all in one filter, as the upstream asks that
//! much of one and the same segment. Anything else (counts beside the page, another order, conditions on evaluations or
//! metrics, pages that the upstream would refuse) is none, and is passed on as it is.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{figures, interval};
use crate::{
    query::{ConversationQuery, Filter, Listing, Page, catalogue::DetailsLevel},
    report::{Conversations, ToldBefore},
};

/// The page that is meant where none is named.
const UNNAMED: Paging = Paging {
    page_size: 25,
    page_number: 1,
};
/// The most conversations on a page.
const MOST_ON_A_PAGE: u32 = 100;
/// How deep pages go.
const MOST_PAGED: u32 = 100_000;
/// The longest interval.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The most conversations whose days are fetched for somebody who turns a page: fifty requests, which fit into the time a
/// request has. Whoever reads more of them than that is better served by an export, and gets page after page meanwhile.
const WORTH_THE_DAYS: u64 = 5_000;

/// The question, if the model expresses it exactly.
pub(super) fn question(body: &Value) -> Option<(ConversationQuery, Listing)> {
    let body = Body::deserialize(body).ok()?;
    let others = [
        &body.evaluation_filters,
        &body.survey_filters,
        &body.resolution_filters,
        &body.aggregations,
    ];
    let is_plain =
        others.into_iter().flatten().all(Vec::is_empty) && body.order_by.is_none_or(|by| by == "conversationStart");
    if !is_plain {
        return None;
    }
    let newest_first = match body.order {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return None,
    };
    let range = interval::of(&Value::from(body.interval)).filter(|range| range.duration() <= LONGEST)?;
    let page = body.paging.unwrap_or(UNNAMED).page()?;
    let segment_filters = body.segment_filters.unwrap_or_default();
    if segment_filters.len() > 1 {
        // Each may be met by another segment.
        return None;
    }
    let of_conversations = body.conversation_filters.unwrap_or_default();
    let clauses = of_conversations
        .iter()
        .map(|filter| of_level(filter, DetailsLevel::Conversation))
        .chain(
            segment_filters
                .iter()
                .map(|filter| of_level(filter, DetailsLevel::Segment)),
        )
        .collect::<Option<Vec<_>>>()?;
    let clauses = clauses.into_iter().try_fold(figures::Clauses::new(), figures::and)?;
    let query = ConversationQuery {
        range: interval::whole_days(range),
        filter: Filter { clauses },
    };
    Some((query, Listing { newest_first, page }))
}

/// Of the fields that may be there, these are known; another one makes it another question.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'b> {
    interval: &'b str,
    order: Option<&'b str>,
    order_by: Option<&'b str>,
    paging: Option<Paging>,
    conversation_filters: Option<Vec<Value>>,
    segment_filters: Option<Vec<Value>>,
    evaluation_filters: Option<Vec<Value>>,
    survey_filters: Option<Vec<Value>>,
    resolution_filters: Option<Vec<Value>>,
    aggregations: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Paging {
    page_size: u32,
    page_number: u32,
}

impl Paging {
    /// The page, if the upstream has such pages.
    fn page(self) -> Option<Page> {
        let Self {
            page_size: size,
            page_number: number,
        } = self;
        let is_there = (1..=MOST_ON_A_PAGE).contains(&size) && number > 0 && size.saturating_mul(number) <= MOST_PAGED;
        is_there.then_some(Page { number, size })
    }
}

/// A filter's clauses, if they all stand in the list they belong to.
fn of_level(filter: &Value, level: DetailsLevel) -> Option<figures::Clauses> {
    let clauses = figures::clauses(filter)?;
    let all = clauses.keys().all(|dimension| dimension.details == Some(level));
    all.then_some(clauses)
}

/// What the upstream told on a first page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// By its own account, about.
    total_hits: u64,
    page: ToldBefore,
}

/// Reads a first page; `None` if it is none.
pub(super) fn told(page: &[u8]) -> Option<Told> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        conversations: Option<Vec<Head>>,
        total_hits: Option<u64>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        conversation_id: String,
        conversation_start: Timestamp,
    }
    let answer: Answer = serde_json::from_slice(page).ok()?;
    let heads = answer.conversations.unwrap_or_default().into_iter();
    let starts = heads.map(|head| (head.conversation_id.into_bytes(), head.conversation_start));
    Some(Told {
        total_hits: answer.total_hits?,
        page: ToldBefore {
            starts: starts.collect(),
        },
    })
}

impl Told {
    /// Whether the days are fetched for who reads on.
    pub(super) fn is_worth_the_days(&self) -> bool {
        self.total_hits <= WORTH_THE_DAYS
    }

    /// What the pages that follow need not tell; `None` if no page follows.
    pub(super) fn before(&self) -> Option<ToldBefore> {
        let more_follow = self.total_hits > self.page.starts.len() as u64;
        more_follow.then(|| self.page.clone())
    }
}

/// The page in the upstream's words. One that is empty lists none, which is not an empty list.
pub(super) fn document(found: &Conversations) -> Bytes {
    let mut body = Vec::from(b"{");
    for (index, document) in found.documents.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"\"conversations\":[" } else { b"," });
        body.extend_from_slice(document);
    }
    if !found.documents.is_empty() {
        body.extend_from_slice(b"],");
    }
    body.extend_from_slice(format!("\"totalHits\":{}}}", found.total).as_bytes());
    body.into()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use serde_json::json;

    use super::*;
    use crate::table::{CacheUse, Provenance};

    const MORNING: &str = "2026-03-01T08:00:00.000Z/2026-03-02T12:00:00.000Z";

    fn is(dimension: &str, value: &str) -> Value {
        json!({"type": "and", "predicates": [{"dimension": dimension, "value": value}]})
    }

    fn asked(more: &Value) -> Option<(ConversationQuery, Listing)> {
        let mut body = json!({"interval": MORNING});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question(&body)
    }

    #[test]
    fn whole_days_are_listed_by_start() {
        for (more, newest_first, number, size) in [
            (json!({}), false, 1, 25),
            (json!({"order": "asc", "orderBy": "conversationStart"}), false, 1, 25),
            (
                json!({"order": "desc", "paging": {"pageSize": 100, "pageNumber": 1000}}),
                true,
                1000,
                100,
            ),
            (
                json!({"conversationFilters": [], "aggregations": null, "surveyFilters": []}),
                false,
                1,
                25,
            ),
        ] {
            let (query, listing) = asked(&more).unwrap();
            assert_eq!(
                query.range.to_string(),
                "2026-03-01T00:00:00.000Z/2026-03-03T00:00:00.000Z"
            );
            assert_eq!(query.filter, Filter::default());
            let page = Page { number, size };
            assert_eq!(listing, Listing { newest_first, page }, "{more}");
        }
    }

    #[test]
    fn conditions_are_taken_that_the_model_has() {
        let both = json!({"type": "and", "predicates": [
            {"dimension": "mediaType", "value": "voice"}, {"dimension": "queueId", "value": "a"}]});
        for (conversation_filters, segment_filters, expected) in [
            (json!([]), json!([both]), Some("mediaType=voice & queueId=a")),
            (json!([is("divisionId", "d")]), json!(null), Some("divisionId=d")),
            (
                json!([is("divisionId", "d"), is("originatingDirection", "inbound")]),
                json!([is("queueId", "a")]),
                Some("divisionId=d & originatingDirection=inbound & queueId=a"),
            ),
            (
                json!([is("divisionId", "d"), is("divisionId", "d")]),
                json!([]),
                Some("divisionId=d"),
            ),
            // Both at once, which is more than one of them.
            (json!([is("divisionId", "d"), is("divisionId", "e")]), json!([]), None),
            // Each by any segment.
            (json!([]), json!([is("mediaType", "voice"), is("queueId", "a")]), None),
            // In the wrong list.
            (json!([is("queueId", "a")]), json!([]), None),
            (json!([]), json!([is("divisionId", "d")]), None),
            // What only aggregates are filtered on.
            (json!([]), json!([is("sessionId", "s")]), None),
            (json!([]), json!([{"type": "and", "predicates": []}]), None),
            (
                json!([{"type": "and", "predicates": [{"type": "metric", "metric": "tTalk", "range": {"gte": 1}}]}]),
                json!([]),
                None,
            ),
            (
                json!([{"type": "and", "predicates": [{"dimension": "conversationEnd", "operator": "notExists"}]}]),
                json!([]),
                None,
            ),
        ] {
            let found = asked(&json!({"conversationFilters": conversation_filters, "segmentFilters": segment_filters}));
            let found = found.map(|(query, _)| {
                let clauses = query.filter.clauses.iter().map(|(dimension, values)| {
                    let values: Vec<_> = values.iter().map(String::as_str).collect();
                    format!("{}={}", dimension.upstream, values.join("|"))
                });
                let mut clauses: Vec<_> = clauses.collect();
                clauses.sort();
                clauses.join(" & ")
            });
            assert_eq!(found.as_deref(), expected, "{conversation_filters} {segment_filters}");
        }
    }

    #[test]
    fn what_the_model_does_not_express_is_passed_on() {
        for more in [
            json!({"order": "unordered"}),
            json!({"orderBy": "segmentStart"}),
            json!({"paging": {"pageSize": 101, "pageNumber": 1}}),
            json!({"paging": {"pageSize": 100, "pageNumber": 1001}}),
            json!({"paging": {"pageSize": 0, "pageNumber": 1}}),
            json!({"paging": {"pageSize": 25, "pageNumber": 0}}),
            json!({"paging": {"pageSize": 25, "pageNumber": -1}}),
            json!({"paging": {"pageSize": 25}}),
            json!({"aggregations": [{"type": "termFrequency", "dimension": "mediaType"}]}),
            json!({"surveyFilters": [is("surveyStatus", "Finished")]}),
            json!({"interval": "2026-03-01T00:00:00.000Z/P1D"}),
            json!({"interval": "2026-03-01T00:00:00.000Z/2026-04-01T00:00:00.001Z"}),
            json!({"limit": 5}),
        ] {
            assert!(asked(&more).is_none(), "{more}");
        }
        assert!(question(&json!({})).is_none() && question(&json!([])).is_none());
    }

    #[test]
    fn a_page_is_written_as_the_upstream_writes_it() {
        let page = |documents: &[&'static str]| {
            let found = Conversations {
                documents: documents
                    .iter()
                    .map(|document| Bytes::from_static(document.as_bytes()))
                    .collect(),
                total: 7,
                provenance: Provenance {
                    as_of: Timestamp::UNIX_EPOCH,
                    complete: true,
                    settled_through: Timestamp::UNIX_EPOCH,
                    cache: CacheUse::Hit,
                    upstream_calls: 0,
                },
                fresh_for: Duration::ZERO,
            };
            String::from_utf8(document(&found).to_vec()).unwrap()
        };
        assert_eq!(page(&[]), r#"{"totalHits":7}"#);
        assert_eq!(
            page(&[r#"{"a":1.10}"#]),
            r#"{"conversations":[{"a":1.10}],"totalHits":7}"#
        );
        assert_eq!(page(&["{}", "{}"]), r#"{"conversations":[{},{}],"totalHits":7}"#);
    }

    #[test]
    fn a_first_page_says_whether_there_is_more_and_how_much() {
        let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        let one = r#"{"conversationId": "a", "conversationStart": "2026-03-01T08:00:00.000Z", "more": {}}"#;
        let before = ToldBefore {
            starts: HashMap::from([(b"a".to_vec(), start)]),
        };
        for (page, expected) in [
            (
                format!(r#"{{"conversations": [{one}], "totalHits": 5000}}"#),
                Some((true, Some(&before))),
            ),
            (
                format!(r#"{{"conversations": [{one}], "totalHits": 5001}}"#),
                Some((false, Some(&before))),
            ),
            (
                format!(r#"{{"conversations": [{one}], "totalHits": 1}}"#),
                Some((true, None)),
            ),
            (r#"{"totalHits": 0}"#.to_owned(), Some((true, None))),
            (format!(r#"{{"conversations": [{one}]}}"#), None),
            (r#"{"conversations": [{}], "totalHits": 1}"#.to_owned(), None),
            ("{".to_owned(), None),
        ] {
            let told = told(page.as_bytes());
            let found = told.as_ref().map(|told| (told.is_worth_the_days(), told.before()));
            let expected = expected.map(|(is_worth, before)| (is_worth, before.cloned()));
            assert_eq!(found, expected, "{page}");
        }
    }
}
