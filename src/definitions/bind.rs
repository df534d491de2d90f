//! A definition and its arguments become a question.
//!
//! A placeholder is a table with the one key `parameter`, anywhere in the question: `dateFrom = { parameter = "from" }`.
//! The argument takes its place as a value, never as text inside another text; a list takes the place of an element of
//! a list; a parameter of the type `queues` or `agents` takes the place of a whole clause of the filter. Without an argument
//! and a default, the field, the element or the clause is left out.
//!
//! What is wrong with the question is complained of at the parameter it came by.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Definition, Kind, Parameter, Subject};
use crate::query::{
    Complaint, ConversationQuery, ConversationRequest, Limits, Listing, Named, NowQuery, NowRequest, Query,
    QueryRequest, StatesQuery, StatesRequest, UsersNowQuery, UsersNowRequest, Zone, listed, suggest,
};

/// What a placeholder is known by.
const PARAMETER: &str = "parameter";

/// The parameters every report takes, which choose a page.
pub const PAGING: [&str; 2] = ["page", "pageSize"];

/// A definition with its arguments: a question as callers ask it, checked.
#[derive(Clone, Debug)]
pub enum Bound {
    /// Of figures.
    Figures {
        /// The question as asked.
        request: Box<QueryRequest>,
        /// What it means.
        query: Box<Named<Query>>,
    },
    /// Of conversations.
    Conversations {
        /// Where rows show their instants.
        time_zone: Zone,
        /// What it means.
        question: Box<Named<(ConversationQuery, Listing)>>,
    },
    /// Of queues at this moment.
    Now(Box<Named<NowQuery>>),
    /// Of what users were.
    States(Box<Named<StatesQuery>>),
    /// Of users at this moment.
    UsersNow(Box<Named<UsersNowQuery>>),
}

/// Which parameter stands where in a question.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(String, String)>);

impl Definition {
    /// The question with these arguments, or everything that is wrong with them.
    pub fn bind(
        &self,
        arguments: &[(String, String)],
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Bound, Places), Vec<Complaint>> {
        let mut read = Arguments::default();
        read.take(self, arguments);
        self.bind_values(read, now, limits)
    }

    /// The same with every parameter at its default, or else its example, but for one.
    pub(super) fn bind_example(
        &self,
        chosen: Option<(&str, &Value)>,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Bound, Places), Vec<Complaint>> {
        let mut read = Arguments::default();
        for parameter in &self.parameters {
            let chosen = chosen
                .filter(|(name, _)| *name == parameter.name)
                .map(|(_, value)| value);
            if let Some(value) = chosen.or(parameter.default.as_ref()).or(parameter.example.as_ref()) {
                match parameter.placed(value.clone()) {
                    Ok(value) => {
                        read.values.insert(parameter.name.clone(), value);
                    }
                    Err(detail) => read
                        .complaints
                        .push(Complaint::at(format!("/{}", parameter.name), detail)),
                }
            }
        }
        self.bind_values(read, now, limits)
    }

    fn bind_values(&self, read: Arguments, now: Timestamp, limits: &Limits) -> Result<(Bound, Places), Vec<Complaint>> {
        let Arguments {
            values,
            paging,
            mut complaints,
        } = read;
        let mut places = Places::default();
        let mut question = Map::new();
        // What the caller says of the page takes the definition's place, and the blame.
        for (name, template) in self.question.iter().filter(|(name, _)| !paging.contains_key(*name)) {
            if let Some(value) = fill(template, &format!("/{name}"), &values, &mut places) {
                question.insert(name.clone(), value);
            }
        }
        question.extend(paging);
        let question = Value::Object(question);
        let bound = match self.subject {
            Subject::Figures => QueryRequest::from_json(&question).meaning(|request| {
                let query = Box::new(Query::parse(&request, now, limits)?);
                let request = Box::new(request);
                Ok(Bound::Figures { request, query })
            }),
            Subject::Conversations => ConversationRequest::from_json(&question).meaning(|request| {
                let question = Box::new(ConversationQuery::parse(&request, now, limits)?);
                Ok(Bound::Conversations {
                    time_zone: request.zone(),
                    question,
                })
            }),
            Subject::Now => NowRequest::from_json(&question)
                .meaning(|request| Ok(Bound::Now(Box::new(NowQuery::parse(&request, limits)?)))),
            Subject::States => StatesRequest::from_json(&question)
                .meaning(|request| Ok(Bound::States(Box::new(StatesQuery::parse(&request, now, limits)?)))),
            Subject::UsersNow => UsersNowRequest::from_json(&question)
                .meaning(|request| Ok(Bound::UsersNow(Box::new(UsersNowQuery::parse(&request, limits)?)))),
        };
        match bound {
            Ok(bound) if complaints.is_empty() => Ok((bound, places)),
            bound => {
                let mut further = places.blame(bound.err().unwrap_or_default());
                further.retain(|complaint| complaints.iter().all(|known| known.pointer != complaint.pointer));
                complaints.append(&mut further);
                Err(complaints)
            }
        }
    }
}

impl Places {
    /// The complaints, about the parameters that brought in what is wrong.
    pub fn blame(&self, complaints: Vec<Complaint>) -> Vec<Complaint> {
        let blamed = |mut complaint: Complaint| {
            let within = |place: &str| {
                let rest = complaint.pointer.strip_prefix(place);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if let Some((_, name)) = self.0.iter().find(|(place, _)| within(place)) {
                complaint.pointer = format!("/{name}");
            }
            complaint
        };
        complaints.into_iter().map(blamed).collect()
    }

    fn add(&mut self, place: &str, name: &str) {
        self.0.push((place.to_owned(), name.to_owned()));
    }
}

/// Which parameter a value is the placeholder of.
pub(super) fn placeholder(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(PARAMETER)?.as_str()
}

/// The value with arguments in place of placeholders; `None` when it stands for an argument that is not there.
fn fill(template: &Value, pointer: &str, values: &BTreeMap<String, Value>, places: &mut Places) -> Option<Value> {
    if let Some(name) = placeholder(template) {
        let value = values.get(name)?;
        places.add(pointer, name);
        return Some(value.clone());
    }
    match template {
        Value::Array(items) => {
            let mut filled = Vec::new();
            for item in items {
                let before = filled.len();
                let at = |index: usize| format!("{pointer}/{index}");
                match (placeholder(item), fill(item, &at(before), values, places)) {
                    (Some(name), Some(Value::Array(several))) => {
                        filled.extend(several);
                        for index in before..filled.len() {
                            places.add(&at(index), name);
                        }
                    }
                    (_, Some(value)) => filled.push(value),
                    (_, None) => {}
                }
            }
            // A list of nothing but what is not there is not there.
            (items.is_empty() || !filled.is_empty()).then_some(Value::Array(filled))
        }
        Value::Object(members) => {
            let mut filled = Map::new();
            for (name, member) in members {
                // A clause without its values, or a part of anything, is none.
                let value = fill(member, &format!("{pointer}/{name}"), values, places)?;
                filled.insert(name.clone(), value);
            }
            Some(Value::Object(filled))
        }
        other => Some(other.clone()),
    }
}

/// Arguments as they stand in the question.
#[derive(Default)]
struct Arguments {
    values: BTreeMap<String, Value>,
    paging: Map<String, Value>,
    complaints: Vec<Complaint>,
}

/// The most unknown parameters complained of one by one.
const MAX_UNKNOWN: usize = 20;

impl Arguments {
    fn take(&mut self, definition: &Definition, arguments: &[(String, String)]) {
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let known: Vec<&str> = definition
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .chain(PAGING)
            .collect();
        let mut unknown = 0;
        for (name, text) in arguments {
            if known.contains(&name.as_str()) {
                given.entry(name).or_default().push(text);
            } else if unknown < MAX_UNKNOWN {
                unknown += 1;
                let shown: String = name.chars().take(64).collect();
                self.complaints.push(Complaint {
                    suggestion: suggest::nearest(name, &known),
                    ..Complaint::at(
                        format!("/{}", shown.replace('~', "~0").replace('/', "~1")),
                        format!("this report has no such parameter; there are {}", known.join(", ")),
                    )
                });
            }
        }
        for parameter in &definition.parameters {
            let value = match given.get(parameter.name.as_str()).map(|texts| parameter.read(texts)) {
                Some(Ok(value)) => Some(value),
                Some(Err((detail, suggestion))) => {
                    let pointer = format!("/{}", parameter.name);
                    self.complaints.push(Complaint {
                        suggestion,
                        ..Complaint::at(pointer, detail)
                    });
                    // So that the rest can still be checked.
                    parameter.default.clone().or_else(|| parameter.example.clone())
                }
                None if parameter.is_required => {
                    self.complaints.push(Complaint::at(
                        format!("/{}", parameter.name),
                        "this parameter is required",
                    ));
                    parameter.example.clone()
                }
                None => parameter.default.clone(),
            };
            let value = value
                .map(|value| parameter.placed(value))
                .transpose()
                .unwrap_or_else(|detail| {
                    self.complaints
                        .push(Complaint::at(format!("/{}", parameter.name), detail));
                    None
                });
            self.values.extend(value.map(|value| (parameter.name.clone(), value)));
        }
        for name in PAGING {
            match given.get(name).map(Vec::as_slice) {
                None => {}
                Some([text]) if text.parse::<u32>().is_ok() => {
                    self.paging
                        .insert(name.to_owned(), json!(text.parse::<u32>().unwrap_or_default()));
                }
                Some([_]) => self
                    .complaints
                    .push(Complaint::at(format!("/{name}"), "this is a whole number, 1 or more")),
                Some(_) => self
                    .complaints
                    .push(Complaint::at(format!("/{name}"), "this parameter is given once")),
            }
        }
    }
}

/// What is wrong with an argument, and what would have been right.
type NoArgument = (String, Option<String>);

impl Parameter {
    /// The argument given by these texts.
    fn read(&self, texts: &[&str]) -> Result<Value, NoArgument> {
        if self.is_list {
            let items = texts.iter().flat_map(|text| listed(text));
            return items
                .map(|text| self.read_one(&text))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array);
        }
        match texts {
            [text] => self.read_one(text),
            _ => Err(("this parameter is given once".to_owned(), None)),
        }
    }

    fn read_one(&self, text: &str) -> Result<Value, NoArgument> {
        match &self.kind {
            Kind::Choice(choices) if !choices.iter().any(|choice| choice == text) => {
                let detail = format!("there is only {}", choices.join(", "));
                Err((detail, suggest::nearest(text, choices)))
            }
            Kind::Number(least, most) => {
                let number = text
                    .parse::<u32>()
                    .ok()
                    .filter(|number| (least..=most).contains(&number));
                number
                    .map(Value::from)
                    .ok_or_else(|| (format!("this is a whole number from {least} to {most}"), None))
            }
            // What these mean, the question's own check says.
            Kind::RangeStart
            | Kind::RangeEnd
            | Kind::Text
            | Kind::Choice(_)
            | Kind::Queues
            | Kind::Agents
            | Kind::TimeZone
            | Kind::Interval => Ok(Value::from(text)),
        }
    }

    /// The value as it stands in the question: queues and agents are a clause of the filter, by ids or by names.
    pub(super) fn placed(&self, value: Value) -> Result<Value, String> {
        let Some([by_id, by_name]) = self.kind.clause() else {
            return Ok(value);
        };
        let Value::Array(named) = &value else {
            return Err(format!("this is a list of {}", self.kind.name()));
        };
        let ids = named
            .iter()
            .filter(|one| one.as_str().is_some_and(|text| Uuid::try_parse(text).is_ok()))
            .count();
        match ids {
            0 => Ok(json!({"dimension": by_name, "values": named})),
            all if all == named.len() => Ok(json!({"dimension": by_id, "values": named})),
            _ => Err("these are names and ids: say one or the other".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
title = "T"
description = "D"
[[parameters]]
name = "from"
type = "range-start"
title = "From"
required = true
example = "today"
[[parameters]]
name = "media"
type = "choice"
title = "Media"
choices = ["voice", "chat"]
multiple = true
[[parameters]]
name = "queue"
type = "queues"
title = "Queues"
[[parameters]]
name = "size"
type = "number"
title = "Size"
maximum = 10
default = 5
[query]
dateFrom = { parameter = "from" }
select = ["conversation.offered"]
pageSize = { parameter = "size" }
filter = [{ parameter = "queue" }, { dimension = "media.type", values = { parameter = "media" } }]
"#;

    fn bind(arguments: &str) -> Result<Value, Vec<(String, Option<String>)>> {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        let definition = Definition::parse("t", FILE, now).unwrap();
        let arguments: Vec<_> = form_urlencoded::parse(arguments.as_bytes()).into_owned().collect();
        match definition.bind(&arguments, now, &Limits::default()) {
            Ok((Bound::Figures { request, .. }, _)) => Ok(serde_json::to_value(request).unwrap()),
            Ok(_) => panic!("it is of figures"),
            Err(complaints) => Err(complaints.into_iter().map(|c| (c.pointer, c.suggestion)).collect()),
        }
    }

    #[test]
    fn arguments_take_their_places_as_values() {
        let id = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11";
        for (arguments, size, filter) in [
            ("from=today", 5, json!(null)),
            ("from=today&page=2&pageSize=7", 7, json!(null)),
            ("from=today&size=9", 9, json!(null)),
            (
                "from=today&media=voice,chat",
                5,
                json!([{"dimension": "media.type", "values": ["voice", "chat"]}]),
            ),
            (
                "from=today&media=voice&media=chat&queue=Sales,%22%7D,%22A,%20B%22",
                5,
                json!([
                    {"dimension": "routing.queue.name", "values": ["Sales", "\"}", "A, B"]},
                    {"dimension": "media.type", "values": ["voice", "chat"]},
                ]),
            ),
            (
                &format!("from=today&queue={id}"),
                5,
                json!([{"dimension": "routing.queue.id", "values": [id]}]),
            ),
        ] {
            let request = bind(arguments).unwrap();
            assert_eq!(
                (&request["pageSize"], &request["filter"]),
                (&json!(size), &filter),
                "{arguments}"
            );
        }
    }

    #[test]
    fn every_wrong_argument_is_told_by_its_name() {
        for (arguments, expected) in [
            ("", json!([["/from", null]])),
            ("from=yesterdy", json!([["/from", "yesterday"]])),
            ("from=today&from=today", json!([["/from", null]])),
            ("from=today&meda=voice", json!([["/meda", "media"]])),
            ("from=today&size=11", json!([["/size", null]])),
            ("from=today&pageSize=0", json!([["/pageSize", "1"]])),
            (
                "from=today&page=x&media=voise",
                json!([["/media", "voice"], ["/page", null]]),
            ),
            (
                "from=x&dateFrom=1&size=0",
                json!([["/dateFrom", null], ["/size", null], ["/from", null]]),
            ),
            (
                "from=today&queue=Sales,7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11",
                json!([["/queue", null]]),
            ),
        ] {
            assert_eq!(json!(bind(arguments).unwrap_err()), expected, "{arguments}");
        }
    }
}
