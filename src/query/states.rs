//! What may be asked about the states of users, one by one: who was in which presence and routing status, from when to when.

use std::collections::BTreeSet;

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
use crate::table::ColumnKind;

/// A question about the states of users: those that were in a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "dateFrom": "now-1d/d", "dateTo": "now/d", "timeZone": "Europe/Berlin",
    "filter": [{"dimension": "agent.id", "values": ["7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11"]}],
    "kind": "presence", "page": 1, "pageSize": 100
}))]
pub struct StatesRequest {
    /// Where the range begins: an ISO date or date and time (without offset, in `timeZone`), relative
    /// (`now-7d`, `now-1d/d`), or a named range (`today`, `yesterday`, `last7d`), which then needs no `dateTo`.
    #[schema(max_length = 64, examples("now-1d/d", "yesterday", "2023-11-01T00:00:00.000Z"))]
    pub date_from: String,
    /// Where the range ends, not included; `…:59.999` means the next full second. By default `now`, or the
    /// end of a range named in `dateFrom`. A range spans at most 31 days.
    #[schema(max_length = 64, examples("now/d", "2023-11-30T23:59:59.999Z"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_to: Option<String>,
    /// The IANA time zone in which dates without offset are read and instants are shown; by default UTC.
    #[schema(max_length = 64, examples("Europe/Berlin", "UTC"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Of whom, by `agent.id` or `agent.name`; of everybody where it is silent.
    #[schema(max_items = 1, nullable)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// `presence` or `routing`; both where it is silent.
    #[schema(max_length = 64, examples("presence"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
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
    ("dateFrom", Kind::RequiredText),
    ("dateTo", Kind::Text),
    ("timeZone", Kind::Text),
    ("filter", Kind::Filters),
    ("kind", Kind::Text),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
];

/// The columns of an answer, whatever is asked.
pub const STATE_COLUMNS: [(&str, ColumnKind); 9] = [
    ("agent.id", ColumnKind::Text),
    ("agent.name", ColumnKind::Text),
    ("state.kind", ColumnKind::Text),
    ("state.name", ColumnKind::Text),
    ("presence.id", ColumnKind::Text),
    ("state.start", ColumnKind::Instant),
    ("state.end", ColumnKind::Instant),
    ("state.duration", ColumnKind::Milliseconds),
    ("state.time", ColumnKind::Milliseconds),
];

/// The longest range, in days: what the upstream takes of questions about some users.
const LONGEST_DAYS: u32 = 31;

const USER: &str = "userId";

impl StatesRequest {
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
            date_from: reader.text("dateFrom").unwrap_or_default(),
            date_to: reader.text("dateTo"),
            time_zone: reader.text("timeZone"),
            filter: reader.filters("filter"),
            kind: reader.text("kind"),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
        }
    }
}

/// What a state is a state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateKind {
    /// What the user shows to colleagues: available, busy, on queue, …
    Presence,
    /// What the user does while on queue: idle, interacting, …
    Routing,
}

impl StateKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Presence, Self::Routing];

    /// Its name in questions and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Routing => "routing",
        }
    }
}

/// A checked question about the states of users that were in a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatesQuery {
    /// The half-open range.
    pub range: Range,
    filter: Filter,
    kind: Option<StateKind>,
    /// Where instants are shown.
    pub time_zone: Zone,
    /// Which of the rows, by user, kind and start.
    pub page: Page,
}

impl StatesQuery {
    /// Checks what was written, or says everything that is wrong with it. What is left to do is to resolve the names of
    /// users, if there are any.
    pub fn parse(request: &StatesRequest, now: Timestamp, limits: &Limits) -> Result<Named<Self>, Vec<Complaint>> {
        let mut check = Check::default();
        let time_zone = check.time_zone(request.time_zone.as_deref());
        let limits = Limits {
            range_days: LONGEST_DAYS.min(limits.range_days),
            ..*limits
        };
        let to = request.date_to.as_deref();
        let range = check.range(&request.date_from, to, now, &time_zone, &limits);
        let (filter, by_name) = check.filter(&request.filter, states_filter_on);
        let kind = kind(&mut check, request.kind.as_deref());
        let page = check.page(request.page, request.page_size, limits.page_size);
        match range {
            Some(range) if check.complaints.is_empty() => {
                let query = Self {
                    range,
                    filter,
                    kind,
                    time_zone,
                    page,
                };
                Ok(Named::new(query, by_name, |query| &mut query.filter))
            }
            _ => Err(check.refuse()),
        }
    }

    /// The ids of the users asked about; `None` for all there are.
    pub fn users(&self) -> Option<&BTreeSet<String>> {
        self.filter.values_of(USER)
    }

    /// Whether states of that kind are asked about.
    pub fn is_about(&self, kind: StateKind) -> bool {
        self.kind.is_none_or(|asked| asked == kind)
    }
}

fn states_filter_on(dimension: &Dimension) -> Result<(), &'static str> {
    match dimension.upstream {
        USER => Ok(()),
        _ => Err("states are filtered on agent.id and agent.name"),
    }
}

fn kind(check: &mut Check, name: Option<&str>) -> Option<StateKind> {
    let name = name?;
    let kind = StateKind::ALL.into_iter().find(|kind| kind.name() == name);
    if kind.is_none() {
        let nearest = suggest::nearest(name, StateKind::ALL.map(StateKind::name));
        check.advise("/kind", "must be `presence` or `routing`", nearest);
    }
    kind
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;
    use crate::query::NamesByLookup;

    fn parse(text: &str) -> Result<StatesQuery, Vec<Complaint>> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let parse = |request: StatesRequest| StatesQuery::parse(&request, now, &Limits::default());
        let named = StatesRequest::from_pairs(&pairs).meaning(parse)?;
        named.resolve(&NamesByLookup::new())
    }

    #[test]
    fn users_and_kinds_are_chosen() {
        let all = parse("dateFrom=yesterday").unwrap();
        assert!(all.users().is_none() && StateKind::ALL.into_iter().all(|kind| all.is_about(kind)));
        let some = parse("dateFrom=last7d&filter=agent.id:a,b&kind=routing&page=2&pageSize=7").unwrap();
        assert_eq!(some.users().unwrap().len(), 2);
        assert!(some.is_about(StateKind::Routing) && !some.is_about(StateKind::Presence));
        assert_eq!(some.page, Page { number: 2, size: 7 });
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, pointer, suggestion) in [
            ("kind=presence", "/dateFrom", None),
            ("dateFrom=now-32d/d", "/dateFrom", None),
            ("dateFrom=today&page=0", "/page", None),
            ("dateFrom=today&filter=queueId:x", "/filter/0/dimension", None),
            ("dateFrom=today&kind=presense", "/kind", Some("presence")),
            ("dateFrom=today&orderBy=x", "/orderBy", None),
        ] {
            let complaints = parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].pointer, pointer, "{text}");
            if suggestion.is_some() {
                assert_eq!(complaints[0].suggestion.as_deref(), suggestion, "{text}");
            }
        }
        assert!(parse("dateFrom=now-31d/d&dateTo=now/d").is_ok());
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(StatesRequest::schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), FIELDS.len());
        assert!(FIELDS.iter().all(|(name, _)| properties.contains_key(*name)));
    }
}
