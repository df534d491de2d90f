//! What may be asked about single conversations.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Complaint, Dimension, Filter, Limits, Page, Range,
    parse::Check,
    request::{Fields, FilterRequest, Kind, Reader, body_of},
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
    #[schema(max_items = 50)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// `conversation.start` (the default) or `-conversation.start` for the latest first.
    #[schema(max_items = 1, examples(json!(["-conversation.start"])))]
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
    /// Reads a JSON body, or says everything that is wrong with its shape.
    pub fn from_json(body: &Value) -> Result<Self, Vec<Complaint>> {
        Reader::open(body, FIELDS).finish(Self::read)
    }

    /// Reads decoded query-string parameters, or says everything that is wrong with them.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, Vec<Complaint>> {
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
    /// Which conversations count, by dimensions that have a [`details`](Dimension::details) level.
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
    /// Checks what was written and says what it means, or everything that is wrong with it.
    pub fn parse(
        request: &ConversationRequest,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Self, Listing), Vec<Complaint>> {
        let mut check = Check::default();
        let zone = check.time_zone(request.time_zone.as_deref());
        let range = check.range(&request.date_from, request.date_to.as_deref(), now, &zone, limits);
        let filter = check.filter(&request.filter, details_filter_on);
        let newest_first = newest_first(&mut check, &request.order_by);
        let page = check.page(request.page, request.page_size, limits.conversation_page_size);
        match range {
            Some(range) if check.complaints.is_empty() => Ok((Self { range, filter }, Listing { newest_first, page })),
            _ => Err(check.complaints),
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
