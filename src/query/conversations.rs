//! What may be asked about single conversations.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Complaint, Dimension, Filter, Limits, Named, Page, Range, Zone,
    parse::Check,
    request::{Fields, FilterRequest, Kind, Reader, Written, body_of},
    suggest,
};

/// A question about conversations: those that started in a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "dateFrom": "now-1d/d", "dateTo": "now/d", "timeZone": "Europe/Berlin",
    "filter": [{"dimension": "media.type", "values": ["voice"]}],
    "orderBy": ["-conversation.start"], "page": 1, "pageSize": 25
}))]
pub struct ConversationRequest {
    /// Where the range begins: an ISO date or date and time (without offset, in `timeZone`), relative
    /// (`now-7d`, `now-1d/d`), or a named range (`today`, `yesterday`, `last7d`), which then needs no `dateTo`.
    #[schema(max_length = 64, examples("now-1d/d", "yesterday", "2023-11-01T00:00:00.000Z"))]
    pub date_from: String,
    /// Where the range ends, not included; `…:59.999` means the next full second. By default `now`, or the
    /// end of a range named in `dateFrom`.
    #[schema(max_length = 64, examples("now/d", "2023-11-30T23:59:59.999Z"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_to: Option<String>,
    /// The IANA time zone in which dates without offset are read; by default UTC.
    #[schema(max_length = 64, examples("Europe/Berlin", "UTC"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Which conversations: every dimension named must have one of its values, those of a segment all in the
    /// same segment.
    #[schema(max_items = 50, nullable)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// `conversation.start` (the default) or `-conversation.start` for the latest first.
    #[schema(max_items = 1, nullable, examples(json!(["-conversation.start"])))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<String>,
    /// Which page of conversations, from 1.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Conversations on a page.
    #[schema(minimum = 1, maximum = 500, default = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
}

const FIELDS: &Fields = &[
    ("dateFrom", Kind::RequiredText),
    ("dateTo", Kind::Text),
    ("timeZone", Kind::Text),
    ("filter", Kind::Filters),
    ("orderBy", Kind::Texts),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
];

impl ConversationRequest {
    /// The zone of a request that has been checked; UTC where it is silent.
    pub fn zone(&self) -> Zone {
        self.time_zone
            .as_deref()
            .and_then(Zone::named)
            .unwrap_or_else(Zone::utc)
    }

    /// Reads a JSON body.
    pub fn from_json(body: &Value) -> Written<Self> {
        Reader::open(body, FIELDS).finish(Self::read)
    }

    /// Reads decoded query-string parameters.
    pub fn from_pairs(pairs: &[(String, String)]) -> Written<Self> {
        let (body, complaints) = body_of(pairs, FIELDS);
        Reader::open(&body, FIELDS).after(complaints).finish(Self::read)
    }

    fn read(reader: &mut Reader) -> Self {
        Self {
            date_from: reader.text("dateFrom").unwrap_or_default(),
            date_to: reader.text("dateTo"),
            time_zone: reader.text("timeZone"),
            filter: reader.filters("filter"),
            order_by: reader.texts("orderBy").unwrap_or_default(),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
        }
    }
}

/// A checked question about conversations: exactly those that *started* in the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConversationQuery {
    /// The half-open range of conversation starts.
    pub range: Range,
    /// Which conversations count, by dimensions that have a `details` level.
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

impl ConversationQuery {
    /// Checks what was written and says what it means, or everything that is wrong with it. What is left to do is
    /// to resolve the names in its filter, if there are any.
    pub fn parse(
        request: &ConversationRequest,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Named<(Self, Listing)>, Vec<Complaint>> {
        let mut check = Check::default();
        let zone = check.time_zone(request.time_zone.as_deref());
        let range = check.range(&request.date_from, request.date_to.as_deref(), now, &zone, limits);
        let (filter, by_name) = check.filter(&request.filter, details_filter_on);
        let newest_first = newest_first(&mut check, &request.order_by);
        let page = check.page(request.page, request.page_size, limits.conversation_page_size);
        match range {
            Some(range) if check.complaints.is_empty() => {
                let question = (Self { range, filter }, Listing { newest_first, page });
                Ok(Named::new(question, by_name, |(query, _)| &mut query.filter))
            }
            _ => Err(check.refuse()),
        }
    }
}

fn details_filter_on(dimension: &Dimension) -> Result<(), &'static str> {
    if dimension.details.is_some() {
        Ok(())
    } else {
        Err("aggregates can be filtered on this, single conversations cannot")
    }
}

fn newest_first(check: &mut Check, order_by: &[String]) -> bool {
    match check.bounded("/orderBy", order_by, 1) {
        [] => false,
        [key, ..] => match key.as_str() {
            "conversation.start" | "conversationStart" => false,
            "-conversation.start" | "-conversationStart" => true,
            other => {
                let nearest = suggest::nearest(other, ["conversation.start", "-conversation.start"]);
                check.advise("/orderBy/0", "conversations are ordered by conversation.start", nearest);
                false
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    fn parse(body: &Value) -> Result<(ConversationQuery, Listing), Vec<Complaint>> {
        let request = ConversationRequest::from_json(body).shape()?;
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let named = ConversationQuery::parse(&request, now, &Limits::default())?;
        named.resolve(&crate::query::NamesByLookup::new())
    }

    #[test]
    fn a_listing_as_people_ask_for_it() {
        let query = "dateFrom=yesterday&timeZone=Europe/Berlin&filter=queueId:b,a&filter=division.id:d&filter=segment.type:ivr\
            &orderBy=-conversation.start&page=2&pageSize=25";
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let request = ConversationRequest::from_pairs(&pairs).shape().unwrap();
        let (query, listing) = parse(&serde_json::to_value(&request).unwrap()).unwrap();
        assert_eq!(
            query.range.to_string(),
            "2026-06-15T22:00:00.000Z/2026-06-16T22:00:00.000Z"
        );
        assert_eq!(
            query.filter.values_of("queueId").unwrap(),
            &["a", "b"].map(String::from).into()
        );
        assert_eq!(query.filter.clauses.len(), 3);
        let page = Page { number: 2, size: 25 };
        assert_eq!(
            listing,
            Listing {
                newest_first: true,
                page
            }
        );

        let (_, listing) = parse(&json!({"dateFrom": "today"})).unwrap();
        let page = Page { number: 1, size: 100 };
        assert_eq!(
            listing,
            Listing {
                newest_first: false,
                page
            }
        );
    }

    #[test]
    fn wrong_requests_are_refused_with_advice() {
        for (body, pointer, suggestion) in [
            (json!({}), "/dateFrom", None),
            (json!({"dateFrom": "today", "select": ["nOffered"]}), "/select", None),
            (json!({"dateFrom": "today", "pageSize": 501}), "/pageSize", Some("500")),
            (
                json!({"dateFrom": "today", "orderBy": ["conversation.strat"]}),
                "/orderBy/0",
                Some("conversation.start"),
            ),
            (
                json!({"dateFrom": "today", "orderBy": ["conversation.start", "x"]}),
                "/orderBy",
                None,
            ),
            // The details query does not know it, though aggregates do.
            (
                json!({"dateFrom": "today", "filter": [{"dimension": "sessionId", "values": ["s"]}]}),
                "/filter/0/dimension",
                None,
            ),
            (
                json!({"dateFrom": "today", "filter": [{"dimension": "segmentTyp", "values": ["s"]}]}),
                "/filter/0/dimension",
                Some("segmentType"),
            ),
        ] {
            let complaints = parse(&body).unwrap_err();
            let [
                Complaint {
                    pointer: at,
                    suggestion: advice,
                    ..
                },
            ] = complaints.as_slice()
            else {
                panic!("{body}: {complaints:?}")
            };
            assert_eq!((at.as_str(), advice.as_deref()), (pointer, suggestion), "{body}");
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(ConversationRequest::schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["dateFrom"]));
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
        assert!(parse(&schema["example"]).is_ok());
    }
}
