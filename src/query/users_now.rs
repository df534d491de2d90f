//! What may be asked about users at this moment.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Complaint, Dimension, Filter, Limits, Named, Page,
    parse::Check,
    request::{Fields, FilterRequest, Kind, Reader, Written, body_of},
    suggest,
};
use crate::table::ColumnKind;

/// Which users, and which of them are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "filter": [{"dimension": "agent.id", "values": ["7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11"]}],
    "presence": ["ON_QUEUE", "AVAILABLE"], "page": 1, "pageSize": 100
}))]
pub struct UsersNowRequest {
    /// Which users, by `agent.id` or `agent.name`; everybody where it is silent.
    #[schema(max_items = 1, nullable)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// Only those in one of these presences: `AVAILABLE`, `AWAY`, `BREAK`, `BUSY`, `IDLE`, `MEAL`, `MEETING`, `OFFLINE`,
    /// `ON_QUEUE` or `TRAINING`.
    #[schema(max_items = 10, nullable, examples(json!(["ON_QUEUE"])))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub presence: Vec<String>,
    /// Only those in one of these routing statuses: `COMMUNICATING`, `IDLE`, `INTERACTING`, `NOT_RESPONDING` or `OFF_QUEUE`.
    #[schema(max_items = 5, nullable, examples(json!(["IDLE", "INTERACTING"])))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routing_status: Vec<String>,
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
    ("presence", Kind::Texts),
    ("routingStatus", Kind::Texts),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
];

/// The columns of an answer, whatever is asked.
pub const USERS_NOW_COLUMNS: [(&str, ColumnKind); 11] = [
    ("agent.id", ColumnKind::Text),
    ("agent.name", ColumnKind::Text),
    ("presence.system", ColumnKind::Text),
    ("presence.id", ColumnKind::Text),
    ("presence.since", ColumnKind::Instant),
    ("presence.time", ColumnKind::Milliseconds),
    ("routing.status", ColumnKind::Text),
    ("routing.since", ColumnKind::Instant),
    ("routing.time", ColumnKind::Milliseconds),
    ("queues.member", ColumnKind::Count),
    ("queues.active", ColumnKind::Count),
];

/// The system presences, in the upstream's words.
const PRESENCES: [&str; 10] = [
    "AVAILABLE",
    "AWAY",
    "BREAK",
    "BUSY",
    "IDLE",
    "MEAL",
    "MEETING",
    "OFFLINE",
    "ON_QUEUE",
    "TRAINING",
];

/// The routing statuses, in the upstream's words.
const ROUTING_STATUSES: [&str; 5] = ["COMMUNICATING", "IDLE", "INTERACTING", "NOT_RESPONDING", "OFF_QUEUE"];

const USER: &str = "userId";

impl UsersNowRequest {
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
            presence: reader.texts("presence").unwrap_or_default(),
            routing_status: reader.texts("routingStatus").unwrap_or_default(),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
        }
    }
}

/// A checked question about users at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UsersNowQuery {
    filter: Filter,
    /// Those shown; empty where all are.
    presences: BTreeSet<&'static str>,
    routing_statuses: BTreeSet<&'static str>,
    /// Which of the rows, by user's name.
    pub page: Page,
}

impl UsersNowQuery {
    /// Checks what was written, or says everything that is wrong with it. What is left to do is to resolve the names of
    /// users, if there are any.
    pub fn parse(request: &UsersNowRequest, limits: &Limits) -> Result<Named<Self>, Vec<Complaint>> {
        let mut check = Check::default();
        let (filter, by_name) = check.filter(&request.filter, users_filter_on);
        let presences = words(&mut check, "presence", &request.presence, &PRESENCES);
        let routing_statuses = words(&mut check, "routingStatus", &request.routing_status, &ROUTING_STATUSES);
        let page = check.page(request.page, request.page_size, limits.page_size);
        if !check.complaints.is_empty() {
            return Err(check.refuse());
        }
        let query = Self {
            filter,
            presences,
            routing_statuses,
            page,
        };
        Ok(Named::new(query, by_name, |query| &mut query.filter))
    }

    /// The ids of the users asked about; `None` for all there are.
    pub fn users(&self) -> Option<&BTreeSet<String>> {
        self.filter.values_of(USER)
    }

    /// Whether a user is shown who is in that presence and that routing status, as far as they are known.
    pub fn shows(&self, presence: Option<&str>, routing_status: Option<&str>) -> bool {
        let is_among = |asked: &BTreeSet<&'static str>, is: Option<&str>| {
            asked.is_empty() || is.is_some_and(|is| asked.contains(is))
        };
        is_among(&self.presences, presence) && is_among(&self.routing_statuses, routing_status)
    }
}

fn users_filter_on(dimension: &Dimension) -> Result<(), &'static str> {
    match dimension.upstream {
        USER => Ok(()),
        _ => Err("users are filtered on agent.id and agent.name"),
    }
}

/// Those of the known words that were written.
fn words(check: &mut Check, field: &str, written: &[String], known: &[&'static str]) -> BTreeSet<&'static str> {
    let mut words = BTreeSet::new();
    for (index, word) in written.iter().enumerate() {
        if let Some(known) = known.iter().find(|known| *known == word) {
            words.insert(*known);
            continue;
        }
        check.advise(
            format!("/{field}/{index}"),
            format!("there are {}", known.join(", ")),
            suggest::nearest(word, known),
        );
    }
    words
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::query::NamesByLookup;

    fn parse(text: &str) -> Result<UsersNowQuery, Vec<Complaint>> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let named = UsersNowRequest::from_pairs(&pairs)
            .meaning(|request| UsersNowQuery::parse(&request, &Limits::default()))?;
        named.resolve(&NamesByLookup::new())
    }

    #[test]
    fn users_and_what_they_are_in_are_chosen() {
        let all = parse("").unwrap();
        assert!(all.users().is_none() && all.shows(None, None) && all.shows(Some("AWAY"), Some("OFF_QUEUE")));
        let some = parse("filter=agent.id:a,b&presence=ON_QUEUE,BUSY&routingStatus=IDLE&page=2&pageSize=7").unwrap();
        assert_eq!(some.users().unwrap().len(), 2);
        assert_eq!(some.page, Page { number: 2, size: 7 });
        for (presence, status, is_shown) in [
            (Some("ON_QUEUE"), Some("IDLE"), true),
            (Some("BUSY"), Some("IDLE"), true),
            (Some("ON_QUEUE"), Some("INTERACTING"), false),
            (Some("AWAY"), Some("IDLE"), false),
            (Some("ON_QUEUE"), None, false),
            (None, None, false),
        ] {
            assert_eq!(some.shows(presence, status), is_shown, "{presence:?} {status:?}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, pointer, suggestion) in [
            ("page=0", "/page", None),
            ("filter=routing.queue.id:x", "/filter/0/dimension", None),
            ("presence=ON_QUEUE,ONQUEUE", "/presence/1", Some("ON_QUEUE")),
            ("routingStatus=idle", "/routingStatus/0", Some("IDLE")),
            ("dateFrom=today", "/dateFrom", None),
        ] {
            let complaints = parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].pointer, pointer, "{text}");
            if suggestion.is_some() {
                assert_eq!(complaints[0].suggestion.as_deref(), suggestion, "{text}");
            }
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(UsersNowRequest::schema()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
        for (field, words) in [("presence", &PRESENCES[..]), ("routingStatus", &ROUTING_STATUSES)] {
            let told = properties[field]["description"].as_str().unwrap();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
    }

    /// The words are those of the vendor's published models.
    #[test]
    fn the_words_are_the_upstreams() {
        let models: Value = serde_json::from_str(include_str!("../simulator/genesys/schemas.json")).unwrap();
        for (model, property, words) in [
            ("AnalyticsUserPresenceRecord", "systemPresence", &PRESENCES[..]),
            ("AnalyticsRoutingStatusRecord", "routingStatus", &ROUTING_STATUSES),
        ] {
            assert_eq!(
                models["definitions"][model]["properties"][property]["enum"],
                serde_json::json!(words)
            );
        }
    }
}
