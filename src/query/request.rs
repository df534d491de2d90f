//! What a person wrote: the contract's query, its shape checked and nothing else.
//!
//! A JSON body and query-string parameters become the same [`QueryRequest`], and complaints about either use
//! the same pointers. What the words mean is [`parse`](super::parse)'s business.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Complaint, catalogue, parse::MAX_COMPLAINTS, suggest};

/// A reporting query: aggregates by time bucket and dimension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "dateFrom": "now-7d/d", "dateTo": "now/d", "interval": "P1D", "timeZone": "Europe/Berlin",
    "groupBy": ["routing.queue.id"],
    "select": ["routing.queue.id", "routing.queue.name", "conversation.count"],
    "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}],
    "orderBy": ["-conversation.count"], "page": 1, "pageSize": 100
}))]
pub struct QueryRequest {
    /// Where the range begins: an ISO date or date and time (without offset, in `timeZone`), relative
    /// (`now-7d`, `now-1d/d`), or a named range (`today`, `yesterday`, `last7d`, `this-month`), which then
    /// needs no `dateTo`.
    #[schema(max_length = 64, examples("now-7d/d", "yesterday", "2023-11-01T00:00:00.000Z"))]
    pub date_from: String,
    /// Where the range ends, not included; `…:59.999` means the next full second. By default `now`, or the
    /// end of a range named in `dateFrom`.
    #[schema(max_length = 64, examples("now/d", "2023-11-30T23:59:59.999Z"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_to: Option<String>,
    /// The length of a bucket; by default one bucket, the whole range. `PTnM` and `PTnH` divide a day evenly.
    #[schema(pattern = "^(PT[1-9][0-9]{0,3}[MH]|P1[DWM])$", examples("PT1H", "P1D"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The IANA time zone in which buckets are cut and dates without offset are read; by default UTC.
    #[schema(max_length = 64, examples("Europe/Berlin", "UTC"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The dimensions rows are grouped by; by default those selected.
    #[schema(max_items = 20, examples(json!(["routing.queue.id"])))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<Vec<String>>,
    /// The columns of the answer, in order; by default the groups and `conversation.count`. With `interval`,
    /// the column `interval` leads unless it is placed here.
    #[schema(min_items = 1, max_items = 100, examples(json!(["routing.queue.name", "conversation.count"])))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<String>>,
    /// Which events count: every dimension named must have one of its values.
    #[schema(max_items = 50, nullable)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<FilterRequest>,
    /// Selected columns to sort by, most significant first, `-` before the name for largest first; by default
    /// by interval, then by group.
    #[schema(max_items = 20, nullable, examples(json!(["-conversation.count"])))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<String>,
    /// The most rows of the ordered answer, all pages together: with `orderBy`, the top so many. `total` counts
    /// within.
    #[schema(minimum = 1, maximum = 250_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Which page of rows, from 1.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Rows on a page.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// The family of figures: `conversations` (the default), `users`, `flows`, `evaluations`, `surveys`, `transcripts`,
    /// `bots`, `knowledge` and the others of Genesys Cloud, by the names its paths have for them.
    #[schema(max_length = 64, examples("conversations"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What to do about buckets in which nothing happened: `none` (the default) leaves them out, `zero` adds
    /// rows of zeros for every group that occurs.
    #[schema(max_length = 64, examples("zero"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<String>,
    /// Where the range begins and ends: `exact` (the default) as written; `expand` with the buckets it touches, so that a
    /// dashboard whose range moves by the second asks about buckets that are held. Without `interval` there are none to
    /// heed.
    #[schema(max_length = 64, examples("expand"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub align: Option<String>,
}

/// A dimension and the values of it that count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"dimension": "media.type", "values": ["voice", "chat"]}))]
pub struct FilterRequest {
    /// The dimension, by its friendly name or the upstream's own; or `routing.queue.name`, `agent.name` and the
    /// like, to list names instead of ids.
    #[schema(max_length = 128, examples("media.type"))]
    pub dimension: String,
    /// The values that count, as text.
    #[schema(min_items = 1, max_items = 200, examples(json!(["voice", "chat"])))]
    pub values: Vec<String>,
}

/// What a field of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, required.
    RequiredText,
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// A list of texts; in a query string, commas or repeated parameters.
    Texts,
    /// A list of [`FilterRequest`]s; in a query string, `dimension:value,value`.
    Filters,
}

/// The fields of a kind of request.
pub(super) type Fields = [(&'static str, Kind)];

/// How many unknown fields are named: each costs a search for the nearest name, and who sends hundreds
/// needs no more examples.
const MAX_UNKNOWN: usize = 20;

const NOT_A_NUMBER: &str = "this is a whole number, 1 or more";

const FIELDS: &Fields = &[
    ("dateFrom", Kind::RequiredText),
    ("dateTo", Kind::Text),
    ("interval", Kind::Text),
    ("timeZone", Kind::Text),
    ("groupBy", Kind::Texts),
    ("select", Kind::Texts),
    ("filter", Kind::Filters),
    ("orderBy", Kind::Texts),
    ("limit", Kind::Number),
    ("page", Kind::Number),
    ("pageSize", Kind::Number),
    ("source", Kind::Text),
    ("fill", Kind::Text),
    ("align", Kind::Text),
];

impl QueryRequest {
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
            interval: reader.text("interval"),
            time_zone: reader.text("timeZone"),
            group_by: reader.texts("groupBy"),
            select: reader.texts("select"),
            filter: reader.filters("filter"),
            order_by: reader.texts("orderBy").unwrap_or_default(),
            limit: reader.number("limit"),
            page: reader.number("page"),
            page_size: reader.number("pageSize"),
            source: reader.text("source"),
            fill: reader.text("fill"),
            align: reader.text("align"),
        }
    }
}

/// What was written: the request as far as it could be read, and everything that is wrong with its shape.
#[derive(Debug)]
pub struct Written<T> {
    request: T,
    complaints: Vec<Complaint>,
}

impl<T> Written<T> {
    /// What it means, or everything that is wrong with it: with its shape and, as far as it could be read, its meaning.
    pub fn meaning<U>(self, parse: impl FnOnce(T) -> Result<U, Vec<Complaint>>) -> Result<U, Vec<Complaint>> {
        let Self {
            request,
            mut complaints,
        } = self;
        if complaints.is_empty() {
            return parse(request);
        }
        if complaints.iter().any(|complaint| complaint.pointer.is_empty()) {
            // Nothing could be read.
            return Err(complaints);
        }
        // What could not be read, or stands under a name nobody knows, is not also wrong, and neither is what is
        // judged by it.
        let unread: Vec<String> = complaints
            .iter()
            .flat_map(|known| [Some(field_of(&known.pointer).to_owned()), known.suggestion.clone()])
            .flatten()
            .collect();
        let mut further = parse(request).err().unwrap_or_default();
        further.retain(|found| {
            let field = field_of(&found.pointer);
            let spoils = |unread: &String| unread == field || judged_by(unread).contains(&field);
            !unread.iter().any(spoils)
        });
        complaints.append(&mut further);
        complaints.truncate(MAX_COMPLAINTS);
        Err(complaints)
    }

    /// The request, or everything that is wrong with its shape.
    #[cfg(test)]
    pub(super) fn shape(self) -> Result<T, Vec<Complaint>> {
        self.meaning(Ok)
    }
}

/// The field of a request a pointer is into.
fn field_of(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap_or_default()
}

/// The fields that cannot be judged where that one could not be read.
fn judged_by(field: &str) -> &'static [&'static str] {
    match field {
        "source" => &["groupBy", "select", "filter", "orderBy"],
        // Whether a column is grouped by, and whether one media type is meant.
        "groupBy" => &["select", "orderBy"],
        "filter" => &["select"],
        "select" => &["orderBy"],
        _ => &[],
    }
}

/// Walks a JSON object by the names and kinds of its fields and remembers what was wrong.
pub(super) struct Reader<'a> {
    fields: Option<&'a Map<String, Value>>,
    complaints: Vec<Complaint>,
}

impl<'a> Reader<'a> {
    /// Complains at once of what is no object, of unknown fields and of missing ones.
    pub(super) fn open(body: &'a Value, known: &Fields) -> Self {
        let Some(fields) = body.as_object() else {
            return Self {
                fields: None,
                complaints: vec![Complaint::at("", "the request is a JSON object")],
            };
        };
        let mut complaints = unknown_members(fields, "", &known.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        complaints.extend(known.iter().filter_map(|(name, kind)| {
            let missing = *kind == Kind::RequiredText && fields.get(*name).is_none_or(Value::is_null);
            missing.then(|| Complaint::at(format!("/{name}"), "this field is required"))
        }));
        Self {
            fields: Some(fields),
            complaints,
        }
    }

    /// Puts earlier complaints first.
    pub(super) fn after(mut self, mut earlier: Vec<Complaint>) -> Self {
        // A parameter that was refused is not also missing.
        self.complaints
            .retain(|complaint| earlier.iter().all(|other| other.pointer != complaint.pointer));
        earlier.append(&mut self.complaints);
        self.complaints = earlier;
        self
    }

    /// What was read, and what was wrong.
    pub(super) fn finish<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> Written<T> {
        let request = read(&mut self);
        self.complaints.truncate(MAX_COMPLAINTS);
        Written {
            request,
            complaints: self.complaints,
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.field(name)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.complain(format!("/{name}"), "this is text");
        }
        text
    }

    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        let value = self.field(name)?;
        // JSON does not tell 1 from 1.0.
        let number = value.as_f64().filter(|number| number.fract() == 0.0);
        let whole = number.and_then(|number| format!("{number:.0}").parse().ok());
        if whole.is_none() {
            self.complain(format!("/{name}"), NOT_A_NUMBER);
        }
        whole
    }

    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.field(name)?;
        Some(self.texts_in(value, &format!("/{name}")))
    }

    pub(super) fn filters(&mut self, name: &str) -> Vec<FilterRequest> {
        let Some(value) = self.field(name) else {
            return Vec::new();
        };
        let Some(clauses) = value.as_array() else {
            self.complain(
                format!("/{name}"),
                "this is a list of objects with dimension and values",
            );
            return Vec::new();
        };
        let clauses = clauses.iter().enumerate();
        clauses
            .map(|(index, clause)| self.filter(clause, &format!("/{name}/{index}")))
            .collect()
    }

    fn filter(&mut self, clause: &'a Value, pointer: &str) -> FilterRequest {
        let Some(members) = clause.as_object() else {
            self.complain(pointer, "this is an object with dimension and values");
            return FilterRequest::default();
        };
        self.complaints
            .extend(unknown_members(members, pointer, &["dimension", "values"]));
        let dimension = members.get("dimension").and_then(Value::as_str);
        if dimension.is_none() {
            self.complain(format!("{pointer}/dimension"), "this is text and required");
        }
        let values_pointer = format!("{pointer}/values");
        let values = if let Some(values) = members.get("values") {
            self.texts_in(values, &values_pointer)
        } else {
            self.complain(values_pointer, "this field is required");
            Vec::new()
        };
        FilterRequest {
            dimension: dimension.unwrap_or_default().to_owned(),
            values,
        }
    }

    fn texts_in(&mut self, value: &Value, pointer: &str) -> Vec<String> {
        let Some(items) = value.as_array() else {
            self.complaints.push(Complaint {
                suggestion: value.as_str().map(|text| json!([text]).to_string()),
                ..Complaint::at(pointer, "this is a list of texts")
            });
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                Value::Number(_) | Value::Bool(_) => self.complaints.push(Complaint {
                    suggestion: Some(format!("\"{item}\"")),
                    ..Complaint::at(format!("{pointer}/{index}"), "this is written as text")
                }),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    self.complain(format!("{pointer}/{index}"), "this is text");
                }
            }
        }
        texts
    }

    /// A field that is there and not `null`, which means the same as leaving it out.
    fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    fn complain(&mut self, pointer: impl Into<String>, detail: &str) {
        self.complaints.push(Complaint::at(pointer, detail));
    }
}

fn unknown_members(members: &Map<String, Value>, pointer: &str, known: &[&'static str]) -> Vec<Complaint> {
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    let unknown = unknown
        .take(MAX_UNKNOWN)
        .map(|name| unknown_field(pointer, name, known));
    unknown.collect()
}

fn unknown_field(pointer: &str, name: &str, known: &[&'static str]) -> Complaint {
    let shown: String = name.chars().take(64).collect();
    Complaint {
        suggestion: suggest::nearest(name, known),
        ..Complaint::at(
            format!("{pointer}/{}", shown.replace('~', "~0").replace('/', "~1")),
            format!("this field is unknown; there are {}", known.join(", ")),
        )
    }
}

/// The JSON body that says the same as query-string parameters, and what could not be said.
pub(super) fn body_of(pairs: &[(String, String)], known: &Fields) -> (Value, Vec<Complaint>) {
    let mut body = Map::new();
    let mut complaints = Vec::new();
    for (name, text) in pairs {
        let scalar = match known.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind) {
            Some(Kind::RequiredText | Kind::Text) => json!(text),
            Some(Kind::Number) => {
                let Ok(number) = text.parse::<u32>() else {
                    complaints.push(Complaint::at(format!("/{name}"), NOT_A_NUMBER));
                    continue;
                };
                json!(number)
            }
            Some(Kind::Texts) => {
                list_in(&mut body, name).extend(listed(text).into_iter().map(Value::from));
                continue;
            }
            Some(Kind::Filters) => {
                add_filter(list_in(&mut body, name), name, text, &mut complaints);
                continue;
            }
            None => {
                if complaints.len() < MAX_UNKNOWN {
                    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                    let filter = known.iter().find(|(_, kind)| *kind == Kind::Filters);
                    let meant = filter.and_then(|(field, _)| as_filter(field, name, text));
                    let unknown = unknown_field("", name, &names);
                    complaints.push(Complaint {
                        suggestion: meant.or(unknown.suggestion),
                        ..unknown
                    });
                }
                continue;
            }
        };
        if body.insert(name.clone(), scalar).is_some() {
            complaints.push(Complaint::at(format!("/{name}"), "this parameter is given once"));
        }
    }
    (Value::Object(body), complaints)
}

fn list_in<'b>(body: &'b mut Map<String, Value>, name: &str) -> &'b mut Vec<Value> {
    let list = body.entry(name).or_insert_with(|| json!([]));
    list.as_array_mut().expect("a list parameter only ever becomes a list")
}

/// What a parameter that is the name of a dimension would be as a filter: `filter=routing.queue.name:Support` of
/// `queue=Support`.
fn as_filter(field: &str, name: &str, text: &str) -> Option<String> {
    let short = match name {
        "queue" | "queues" => Some("routing.queue.name"),
        "agent" | "agents" | "user" | "users" => Some("agent.name"),
        "media" => Some("media.type"),
        _ => None,
    };
    let dimension = short.or_else(|| {
        let known = catalogue::dimension(name).map(|_| name);
        known.or_else(|| catalogue::dimension_named_by(name).map(|_| name))
    })?;
    let value: String = text.chars().take(64).collect();
    Some(format!("{field}={dimension}:{value}"))
}

/// The items of a list in a query string, between commas. One in double quotes may hold commas, and quotes twice; what
/// only begins with one is as it stands.
pub fn listed(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (item, after) = quoted(text).unwrap_or_else(|| {
            let (item, after) = text
                .split_once(',')
                .map_or((text, None), |(item, after)| (item, Some(after)));
            (item.to_owned(), after)
        });
        items.push(item);
        rest = after;
    }
    items
}

/// The item in quotes a list begins with, and the list after it.
fn quoted(text: &str) -> Option<(String, Option<&str>)> {
    let mut item = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let (before, after) = rest.split_once('"')?;
        item.push_str(before);
        rest = match (after.strip_prefix('"'), after.strip_prefix(',')) {
            (Some(after), _) => {
                item.push('"');
                after
            }
            (None, Some(after)) => return Some((item, Some(after))),
            (None, None) if after.is_empty() => return Some((item, None)),
            (None, None) => return None,
        };
    }
}

/// The list as it stands in a query string: what [`listed`] reads.
pub fn in_a_list<'t>(items: impl IntoIterator<Item = &'t str>) -> String {
    let item = |item: &str| {
        if item.contains(',') || item.starts_with('"') {
            format!("\"{}\"", item.replace('"', "\"\""))
        } else {
            item.to_owned()
        }
    };
    items.into_iter().map(item).collect::<Vec<_>>().join(",")
}

/// Adds `dimension:value,value`; repeating a dimension lists further values of it.
fn add_filter(clauses: &mut Vec<Value>, name: &str, text: &str, complaints: &mut Vec<Complaint>) {
    let Some((dimension, values)) = text.split_once(':') else {
        complaints.push(Complaint {
            suggestion: Some("media.type:voice,chat".to_owned()),
            ..Complaint::at(
                format!("/{name}/{}", clauses.len()),
                "a filter is dimension:value,value",
            )
        });
        return;
    };
    let values = listed(values).into_iter().map(Value::from);
    match clauses.iter_mut().find(|clause| clause["dimension"] == dimension) {
        Some(clause) => {
            let held = clause["values"].as_array_mut().expect("put there below");
            held.extend(values);
        }
        None => clauses.push(json!({"dimension": dimension, "values": values.collect::<Vec<_>>()})),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use utoipa::PartialSchema;

    use super::{
        super::{Limits, Query},
        *,
    };

    fn pairs(query: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    fn complaints(result: Result<QueryRequest, Vec<Complaint>>) -> Vec<(String, Option<String>)> {
        let complaints = result.unwrap_err().into_iter();
        complaints
            .map(|complaint| (complaint.pointer, complaint.suggestion))
            .collect()
    }

    #[test]
    fn a_body_and_a_query_string_say_the_same() {
        let body = json!({
            "dateFrom": "2023-11-01T00:00:00.000Z", "dateTo": "2023-11-30T23:59:59.999Z",
            "interval": "PT1H", "timeZone": "Europe/Berlin",
            "groupBy": ["routing.queue.id"],
            "select": ["routing.queue.id", "routing.queue.name", "conversation.count"],
            "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}],
            "orderBy": ["-conversation.count"], "page": 1, "pageSize": 100
        });
        let query = "dateFrom=2023-11-01T00:00:00.000Z&dateTo=2023-11-30T23:59:59.999Z&interval=PT1H\
            &timeZone=Europe/Berlin&groupBy=routing.queue.id&select=routing.queue.id,routing.queue.name\
            &select=conversation.count&filter=media.type:voice,chat&orderBy=-conversation.count&page=1&pageSize=100";
        let request = QueryRequest::from_json(&body).shape().unwrap();
        assert_eq!(QueryRequest::from_pairs(&pairs(query)).shape().unwrap(), request);
        assert_eq!(serde_json::to_value(&request).unwrap(), body);
    }

    #[test]
    fn filters_in_a_query_string() {
        for (query, expected) in [
            (
                "filter=media.type:voice&filter=media.type:chat,email",
                json!([["media.type", ["voice", "chat", "email"]]]),
            ),
            (
                "filter=ani:sip:anna@example.org",
                json!([["ani", ["sip:anna@example.org"]]]),
            ),
            ("filter=ani:1&filter=dnis:2", json!([["ani", ["1"]], ["dnis", ["2"]]])),
            ("filter=ani:", json!([["ani", [""]]])),
            (
                "filter=routing.queue.name:%22Sales,%20EMEA%22,Support",
                json!([["routing.queue.name", ["Sales, EMEA", "Support"]]]),
            ),
        ] {
            let request = QueryRequest::from_pairs(&pairs(&format!("dateFrom=today&{query}")))
                .shape()
                .unwrap();
            let filter: Vec<_> = request
                .filter
                .iter()
                .map(|clause| json!([clause.dimension, clause.values]))
                .collect();
            assert_eq!(json!(filter), expected, "{query}");
        }
    }

    #[test]
    fn lists_in_a_query_string() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            ("a,,", &["a", "", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#"c,"a,b""#, &["c", "a,b"]),
            (r#""say ""hi"", please""#, &[r#"say "hi", please"#]),
            (r#""","#, &["", ""]),
            // Only what is whole in quotes is in quotes.
            (r#"5" screen,b"#, &[r#"5" screen"#, "b"]),
            (r#""a" b,c"#, &[r#""a" b"#, "c"]),
            (r#""a,b"#, &[r#""a"#, "b"]),
            (r#"""#, &[r#"""#]),
        ] {
            assert_eq!(listed(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(items in proptest::collection::vec("[a,\" é]{0,6}", 1..5)) {
            prop_assert_eq!(listed(&in_a_list(items.iter().map(String::as_str))), items);
        }
    }

    /// As far as what is wrong can be told apart from what only follows from it.
    #[test]
    fn what_is_wrong_otherwise_is_told_beside_the_shape() {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        for (query, expected) in [
            (
                "dateFrom=yesterdy&serch=1&select=abandn.rate&pageSize=x&interval=P2D",
                json!(["/serch", "/pageSize", "/dateFrom", "/interval", "/select/0"]),
            ),
            (
                "dateFrom=x&filter=voice&page=0",
                json!(["/filter/0", "/dateFrom", "/page"]),
            ),
            // The one media type may have been meant by what could not be read.
            ("dateFrom=today&filter=voice&select=tHandle.p95", json!(["/filter/0"])),
            ("dateFrom=today&selct=aht&orderBy=aht", json!(["/selct"])),
            ("dateFrom=today&sourse=users&select=occupancy", json!(["/sourse"])),
            ("dateFrom=x&dateFrom=y&fill=ones", json!(["/dateFrom", "/fill"])),
        ] {
            let found = QueryRequest::from_pairs(&pairs(query))
                .meaning(|request| Query::parse(&request, now, &Limits::default()).map(drop))
                .unwrap_err();
            let pointers: Vec<_> = found.iter().map(|complaint| complaint.pointer.as_str()).collect();
            assert_eq!(json!(pointers), expected, "{query}");
        }
    }

    #[test]
    fn bodies_of_the_wrong_shape() {
        for (body, expected) in [
            (json!([]), json!([["", null]])),
            (json!(null), json!([["", null]])),
            (json!({}), json!([["/dateFrom", null]])),
            (json!({"dateFrom": null}), json!([["/dateFrom", null]])),
            (json!({"dateFrom": 7}), json!([["/dateFrom", null]])),
            (
                json!({"datefrom": "today"}),
                json!([["/datefrom", "dateFrom"], ["/dateFrom", null]]),
            ),
            (json!({"dateFrom": "today", "~/": 1}), json!([["/~0~1", null]])),
            (
                json!({"dateFrom": "today", "select": "nOffered", "groupBy": {}, "orderBy": [[]]}),
                json!([["/groupBy", null], ["/select", "[\"nOffered\"]"], ["/orderBy/0", null]]),
            ),
            (
                json!({"dateFrom": "today", "filter": [7, {"dimension": "ani", "value": ["1"]}, {"values": [true]}]}),
                json!([
                    ["/filter/0", null],
                    ["/filter/1/value", "values"],
                    ["/filter/1/values", null],
                    ["/filter/2/dimension", null],
                    ["/filter/2/values/0", "\"true\""],
                ]),
            ),
            (
                json!({"dateFrom": "today", "page": "1", "pageSize": 1.5}),
                json!([["/page", null], ["/pageSize", null]]),
            ),
            (
                json!({"dateFrom": "today", "page": -1, "pageSize": 1e18}),
                json!([["/page", null], ["/pageSize", null]]),
            ),
        ] {
            assert_eq!(
                json!(complaints(QueryRequest::from_json(&body).shape())),
                expected,
                "{body}"
            );
        }
        let whole = QueryRequest::from_json(&json!({"dateFrom": "today", "page": 2.0, "select": null}))
            .shape()
            .unwrap();
        assert_eq!((whole.page, whole.select), (Some(2), None));
    }

    #[test]
    fn parameters_of_the_wrong_shape() {
        for (query, expected) in [
            ("", json!([["/dateFrom", null]])),
            ("dateFrom=a&dateFrom=b", json!([["/dateFrom", null]])),
            (
                "dateFrom=a&page=x&pageSize=-1",
                json!([["/page", null], ["/pageSize", null]]),
            ),
            ("dateFrom=a&page=1&page=2", json!([["/page", null]])),
            ("dateFrom=a&groupby=b", json!([["/groupby", "groupBy"]])),
            (
                "dateFrom=a&filter=voice",
                json!([["/filter/0", "media.type:voice,chat"]]),
            ),
            (
                "dateFrom=a&queue=Support&media.type=voice,chat",
                json!([
                    ["/queue", "filter=routing.queue.name:Support"],
                    ["/media.type", "filter=media.type:voice,chat"],
                ]),
            ),
            (
                "dateFrom=a&agent.name=Anna&queueId=7",
                json!([
                    ["/agent.name", "filter=agent.name:Anna"],
                    ["/queueId", "filter=queueId:7"]
                ]),
            ),
        ] {
            assert_eq!(
                json!(complaints(QueryRequest::from_pairs(&pairs(query)).shape())),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = serde_json::to_value(QueryRequest::schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["dateFrom"]));
        let properties = schema["properties"].as_object().unwrap();
        let known: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(properties.len(), known.len());
        assert!(known.iter().all(|name| properties.contains_key(*name)));
        assert!(QueryRequest::from_json(&schema["example"]).shape().is_ok());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn what_the_schema_forbids_is_refused() {
        let document = json!({
            "$ref": "#/components/schemas/QueryRequest",
            "components": {"schemas": {
                "QueryRequest": QueryRequest::schema(),
                "FilterRequest": FilterRequest::schema(),
            }},
        });
        let schema = jsonschema::validator_for(&document).unwrap();
        let filter = |filter: Value| json!({"dateFrom": "today", "filter": filter});
        let cases = [
            (
                "dateFrom",
                vec![json!(null), json!(1), json!("x".repeat(65)), json!(["today"])],
            ),
            ("dateTo", vec![json!(null), json!(1), json!("x".repeat(65))]),
            (
                "interval",
                vec![
                    json!(null),
                    json!(""),
                    json!("PT1S"),
                    json!("pt1h"),
                    json!("PT01H"),
                    json!("P1D "),
                ],
            ),
            ("timeZone", vec![json!(null), json!(false), json!("x".repeat(65))]),
            (
                "groupBy",
                vec![
                    json!(null),
                    json!([]),
                    json!("queueId"),
                    json!([null]),
                    json!(vec!["queueId"; 21]),
                ],
            ),
            (
                "select",
                vec![
                    json!(null),
                    json!([]),
                    json!({}),
                    json!([1]),
                    json!(vec!["queueId"; 101]),
                ],
            ),
            ("filter", vec![json!(null), json!([]), json!({}), json!([null])]),
            (
                "orderBy",
                vec![
                    json!(null),
                    json!([]),
                    json!(0),
                    json!([0]),
                    json!(vec!["conversation.count"; 21]),
                ],
            ),
            (
                "page",
                vec![
                    json!(null),
                    json!(0),
                    json!(1),
                    json!(1.0),
                    json!(1.5),
                    json!("1"),
                    json!(1_000_001),
                    json!(-1),
                ],
            ),
            (
                "limit",
                vec![json!(null), json!(0), json!(250_000), json!(250_001), json!("1")],
            ),
            (
                "pageSize",
                vec![json!(null), json!(0), json!(1000), json!(1001), json!(1e30)],
            ),
            ("source", vec![json!(null), json!("conversations"), json!(1)]),
            ("fill", vec![json!(null), json!("zero"), json!([])]),
            ("align", vec![json!(null), json!("expand"), json!(1)]),
            ("unknown", vec![json!(null)]),
        ];
        let bodies = cases.into_iter().flat_map(|(name, values)| {
            let body = move |value| {
                let mut body = json!({"dateFrom": "today"});
                body[name] = value;
                body
            };
            values.into_iter().map(body)
        });
        let filters = [
            json!([{"dimension": "ani", "values": ["1"]}]),
            json!([{"dimension": "ani", "values": []}]),
            json!([{"dimension": "ani", "values": null}]),
            json!([{"dimension": "ani", "values": [1]}]),
            json!([{"dimension": "ani", "values": vec!["1"; 201]}]),
            json!([{"dimension": null, "values": ["1"]}]),
            json!([{"dimension": "ani"}]),
            json!([{"dimension": "ani", "values": ["1"], "type": "or"}]),
            json!(vec![json!({"dimension": "ani", "values": ["1"]}); 51]),
        ];
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        for body in bodies.chain(filters.map(filter)) {
            let accepted = QueryRequest::from_json(&body)
                .shape()
                .and_then(|request| Query::parse(&request, now, &Limits::default()).map(drop))
                .is_ok();
            assert_eq!(accepted, schema.is_valid(&body), "{body}");
        }
    }

    fn bodies() -> Vec<Vec<u8>> {
        let bodies = [
            json!({
                "dateFrom": "2023-11-01T00:00:00.000Z", "dateTo": "2023-11-30T23:59:59.999Z",
                "interval": "PT1H", "timeZone": "Europe/Berlin", "groupBy": ["routing.queue.id"],
                "select": ["routing.queue.id", "routing.queue.name", "conversation.count"],
                "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}],
                "orderBy": ["-conversation.count"], "page": 1, "pageSize": 100
            }),
            json!({"dateFrom": "last7d", "source": "users", "select": ["agent.name", "occupancy"], "fill": "zero"}),
            json!({"dateFrom": "now-1M/M", "dateTo": "now/M", "interval": "P1D", "align": "expand", "limit": 5,
                "select": ["tHandle.sum", "service.level", "handle.time.average"], "groupBy": ["media.type", "direction"]}),
        ];
        bodies.iter().map(|body| body.to_string().into_bytes()).collect()
    }

    fn query_strings() -> Vec<Vec<u8>> {
        let queries = [
            "dateFrom=2023-11-01T00:00:00.000Z&dateTo=2023-11-30T23:59:59.999Z&interval=PT1H&timeZone=Europe/Berlin\
                &groupBy=routing.queue.id&select=routing.queue.id,routing.queue.name&select=conversation.count\
                &filter=media.type:voice,chat&orderBy=-conversation.count&page=1&pageSize=100",
            "dateFrom=last7d&source=users&select=agent.name,occupancy&fill=zero&filter=routing.queue.name:%22Sales,%20EMEA%22",
            "dateFrom=now-1M/M&dateTo=now/M&interval=P1D&align=expand&limit=5&select=tHandle.sum,service.level",
        ];
        queries.iter().map(|query| query.as_bytes().to_vec()).collect()
    }

    /// What is said of a question is said to its place; a question that is taken is one, however often and in whichever
    /// form it is asked.
    fn judge(written: impl Fn() -> Written<QueryRequest>) -> Result<(), TestCaseError> {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let parse =
            |request: &QueryRequest| Query::parse(request, now, &Limits::default()).map(|named| format!("{named:?}"));
        let meaning = written().meaning(|request| parse(&request));
        if let Err(complaints) = &meaning {
            prop_assert!(!complaints.is_empty());
            for complaint in complaints {
                prop_assert!(
                    complaint.pointer.is_empty() || complaint.pointer.starts_with('/'),
                    "{:?}",
                    complaint
                );
                prop_assert!(!complaint.detail.is_empty());
            }
        }
        let Ok(request) = written().shape() else {
            prop_assert!(meaning.is_err(), "what cannot be read means nothing");
            return Ok(());
        };
        prop_assert_eq!(&meaning, &parse(&request));
        let again = QueryRequest::from_json(&serde_json::to_value(&request).unwrap()).shape();
        prop_assert_eq!(again.unwrap(), request, "written anew it is the same");
        Ok(())
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        #[test]
        fn fuzz_bodies(bytes in crate::fuzz::changed(bodies())) {
            if let Ok(body) = serde_json::from_slice::<Value>(&bytes) {
                judge(|| QueryRequest::from_json(&body))?;
            }
        }

        #[test]
        fn fuzz_query_strings(bytes in crate::fuzz::changed(query_strings())) {
            let pairs: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
            judge(|| QueryRequest::from_pairs(&pairs))?;
        }
    }
}
