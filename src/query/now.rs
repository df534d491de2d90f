//! What may be asked about queues at this moment.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Complaint, Confine, Dimension, Filter, Limits, Named, NotPermitted, Page, Seen, catalogue,
    parse::Check,
    request::{Fields, FilterRequest, Kind, Reader, Written, body_of},
    suggest,
};

/// Which queues, and how their figures are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"filter": [{"dimension": "routing.queue.name", "values": ["Support"]}], "groupBy": ["media.type"]}))]
pub struct NowRequest {
    /// Which queues, by `routing.queue.id` or `routing.queue.name`, and which of their media, by `media.type`; all where
    /// it is silent.
    #[schema(max_items = 2, nullable)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// `media.type` gives a row per queue and media type, with figures of interactions only. Rows are per queue anyway.
    #[schema(max_items = 2, nullable, examples(json!(["media.type"])))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// Which page of rows, from 1.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Rows on a page.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
}

const FIELDS: &Fields = &[
    ("filter", Kind::Filters),
    ("groupBy", Kind::Texts),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
];

const QUEUE: &str = "queueId";
const MEDIA_TYPE: &str = "mediaType";

impl NowRequest {
    /// Reads a JSON body.
    pub fn from_json(body: &Value) -> Written<Self> {
        Reader::open(body, FIELDS).finish(Self::read)
    }

    /// Reads decoded query-string parameters, or says everything that is wrong with them.
    pub fn from_pairs(pairs: &[(String, String)]) -> Written<Self> {
        let (body, complaints) = body_of(pairs, FIELDS);
        Reader::open(&body, FIELDS).after(complaints).finish(Self::read)
    }

    fn read(reader: &mut Reader) -> Self {
        Self {
            filter: reader.filters("filter"),
            group_by: reader.texts("groupBy").unwrap_or_default(),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
        }
    }
}

/// A checked question about queues at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NowQuery {
    filter: Filter,
    /// A row per queue and media type.
    pub by_media_type: bool,
    /// Which of the rows, by queue and media type.
    pub page: Page,
}

impl NowQuery {
    /// Checks what was written, or says everything that is wrong with it. What is left to do is to resolve the names of
    /// queues, if there are any.
    pub fn parse(request: &NowRequest, limits: &Limits) -> Result<Named<Self>, Vec<Complaint>> {
        let mut check = Check::default();
        let (filter, by_name) = check.filter(&request.filter, observations_filter_on);
        let mut by_media_type = false;
        for (index, name) in request.group_by.iter().enumerate() {
            match name.as_str() {
                "media.type" | MEDIA_TYPE => by_media_type = true,
                "routing.queue.id" | QUEUE => {}
                other => check.advise(
                    format!("/groupBy/{index}"),
                    "observations are grouped by routing.queue.id and media.type",
                    suggest::nearest(other, ["media.type", "routing.queue.id"]),
                ),
            }
        }
        let page = check.page(request.page, request.page_size, limits.page_size);
        if !check.complaints.is_empty() {
            return Err(check.refuse());
        }
        let query = Self {
            filter,
            by_media_type,
            page,
        };
        Ok(Named::new(query, by_name, |query| &mut query.filter))
    }

    /// The ids of the queues asked about; `None` for all there are.
    pub fn queues(&self) -> Option<&BTreeSet<String>> {
        self.filter.values_of(QUEUE)
    }

    /// Whether interactions of that media type are asked about.
    pub fn is_about(&self, media_type: &str) -> bool {
        let media_types = self.filter.values_of(MEDIA_TYPE);
        media_types.is_none_or(|media_types| media_types.contains(media_type))
    }
}

/// Queues are observed one by one, so those of a division are named each.
impl Confine for NowQuery {
    type Question = Self;

    fn whole(self) -> Self {
        self
    }

    fn confined(mut self, seen: &Seen) -> Result<Self, NotPermitted> {
        let queue = catalogue::dimension(QUEUE).expect("queues are a dimension");
        let own = self
            .filter
            .clauses
            .entry(queue)
            .or_insert_with(|| seen.queues().clone());
        own.retain(|queue| seen.queues().contains(queue));
        Ok(self)
    }
}

fn observations_filter_on(dimension: &Dimension) -> Result<(), &'static str> {
    match dimension.upstream {
        QUEUE | MEDIA_TYPE => Ok(()),
        _ => Err("observations are filtered on routing.queue.id, routing.queue.name and media.type"),
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::query::NamesByLookup;

    fn parse(text: &str) -> Result<NowQuery, Vec<Complaint>> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let named = NowRequest::from_pairs(&pairs).meaning(|request| NowQuery::parse(&request, &Limits::default()))?;
        named.resolve(&NamesByLookup::new())
    }

    #[test]
    fn queues_and_media_types_are_chosen() {
        let all = parse("").unwrap();
        assert_eq!(
            (all.queues(), all.is_about("voice"), all.by_media_type),
            (None, true, false)
        );
        let some = parse("filter=routing.queue.id:a,b&filter=media.type:chat&groupBy=media.type").unwrap();
        assert_eq!(some.queues().unwrap().len(), 2);
        assert_eq!(
            (some.is_about("voice"), some.is_about("chat"), some.by_media_type),
            (false, true, true)
        );
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, pointer) in [
            ("page=0", "/page"),
            ("filter=agent.id:x", "/filter/0/dimension"),
            ("groupBy=agent.id", "/groupBy/0"),
            ("dateFrom=today", "/dateFrom"),
        ] {
            let complaints = parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].pointer, pointer, "{text}");
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(NowRequest::schema()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
    }
}
