//! From the text of a file to a [`Definition`], or to everything that is wrong with it, each with its place: the line
//! where it is no TOML, the path of the key where it makes no sense.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Definition, Derived, Kind, Parameter, Subject, bind::placeholder};
use crate::{
    query::{
        ColumnValue, Complaint, Limits, STATE_COLUMNS, USERS_NOW_COLUMNS,
        catalogue::{self, OBSERVATIONS, Observed, Shows, column},
        suggest,
    },
    table::ColumnKind,
};

const MEMBERS: &[&str] = &[
    "title",
    "description",
    "refresh",
    "parameters",
    "query",
    "conversations",
    "now",
    "states",
    "usersNow",
    "derived",
    "titles",
];
const OF_PARAMETER: &[&str] = &[
    "name",
    "type",
    "title",
    "description",
    "required",
    "default",
    "example",
    "multiple",
    "choices",
    "minimum",
    "maximum",
];
const OF_DERIVED: &[&str] = &["name", "title", "unit", "expression"];
const TYPES: &[&str] = &[
    "range-start",
    "range-end",
    "text",
    "choice",
    "queues",
    "agents",
    "timezone",
    "interval",
    "number",
];

/// What the service itself takes beside a report's parameters.
const RESERVED: &[&str] = &[
    "page",
    "pageSize",
    "format",
    "max_age",
    "max_stale",
    "on_error",
    "wait",
    "explain",
];

const MAX_PARAMETERS: usize = 50;
const MAX_DERIVED: usize = 50;

impl Definition {
    /// Reads a file and checks all of it: its question makes sense with every default, example and choice.
    pub fn parse(name: &str, text: &str, now: Timestamp) -> Result<Self, Vec<String>> {
        let file = text
            .parse::<toml::Table>()
            .map_err(|error| vec![place_of(&error, text)])?;
        let file = serde_json::to_value(file).map_err(|error| vec![error.to_string()])?;
        let mut check = Check::default();
        if !is_name(name) {
            check.problem(
                "",
                "a report is called by its file: lower-case words of letters and digits, with dashes between",
            );
        }
        let definition = check.definition(name, text, &file);
        let mut problems = check.problems;
        // Where more than what is made of the columns is wrong, the question would only be complained of again.
        let is_about_columns = |problem: &String| problem.starts_with("derived") || problem.starts_with("titles");
        if problems.iter().all(is_about_columns) {
            problems.extend(definition.try_out(now));
        }
        if problems.is_empty() {
            Ok(definition)
        } else {
            Err(problems)
        }
    }

    /// What is wrong with the question at its defaults, or at one of the choices.
    fn try_out(&self, now: Timestamp) -> Vec<String> {
        let limits = Limits::default();
        let told = |complaints: Vec<Complaint>, at: &str| -> Vec<String> {
            let told = complaints.into_iter().map(|complaint| {
                let place = self.place_of(&complaint.pointer);
                let advice = complaint
                    .suggestion
                    .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
                format!("{place}{at}: {}{advice}", complaint.detail)
            });
            told.collect()
        };
        if let Err(complaints) = self.bind_example(None, now, &limits) {
            return told(complaints, "");
        }
        let mut problems = Vec::new();
        for parameter in &self.parameters {
            let Kind::Choice(choices) = &parameter.kind else {
                continue;
            };
            for choice in choices {
                let value = Value::from(choice.as_str());
                let value = if parameter.is_list {
                    Value::from(vec![value])
                } else {
                    value
                };
                if let Err(complaints) = self.bind_example(Some((&parameter.name, &value)), now, &limits) {
                    problems.extend(told(complaints, &format!(" (at the choice `{choice}`)")));
                }
            }
        }
        problems
    }

    /// The path of the key a complaint is about.
    fn place_of(&self, pointer: &str) -> String {
        let parameter = self
            .parameters
            .iter()
            .position(|parameter| pointer == format!("/{}", parameter.name));
        if let Some(index) = parameter {
            return format!("parameters[{index}]");
        }
        let mut place = self.subject.table().to_owned();
        for part in pointer.split('/').skip(1) {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                let _ = write!(place, "[{part}]");
            } else {
                let _ = write!(place, ".{part}");
            }
        }
        place
    }
}

/// A mistake of syntax: its line, and what is wrong there.
fn place_of(error: &toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .map(|span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{place}{}", error.message().replace('\n', ", "))
}

fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= 64 && name.split('-').all(is_word)
}

fn is_parameter_name(name: &str) -> bool {
    let rest_is_right = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && rest_is_right
}

fn is_column_name(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.len() <= 128 && name.split('.').all(is_word)
}

/// Gathers problems while a file is read.
#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn problem(&mut self, place: &str, detail: impl AsRef<str>) {
        let detail = detail.as_ref();
        self.problems.push(if place.is_empty() {
            detail.to_owned()
        } else {
            format!("{place}: {detail}")
        });
    }

    fn definition(&mut self, name: &str, text: &str, file: &Value) -> Definition {
        let no_members = Map::new();
        let members = file.as_object().unwrap_or(&no_members);
        self.known_members("", members, MEMBERS);
        let parameters = self.parameters(members);
        let questions: Vec<_> = Subject::ALL
            .into_iter()
            .filter_map(|subject| Some((subject, members.get(subject.table())?)))
            .collect();
        let (subject, question) = if let [(subject, Value::Object(question))] = questions.as_slice() {
            (*subject, question.clone())
        } else {
            self.problem(
                "",
                "there is one table, `[query]`, `[conversations]`, `[now]`, `[states]` or `[usersNow]`: the question",
            );
            (Subject::Figures, Map::new())
        };
        let place = subject.table();
        if question.contains_key("page") {
            self.problem(&format!("{place}.page"), "the page is for the caller to choose");
        }
        let mut used = BTreeSet::new();
        for (key, value) in &question {
            self.placeholders(&format!("{place}.{key}"), value, &parameters, &mut used);
        }
        for (index, parameter) in parameters.iter().enumerate() {
            if !parameter.name.is_empty() && !used.contains(&parameter.name) {
                self.problem(
                    &format!("parameters[{index}]"),
                    format!("`{}` stands nowhere in the question", parameter.name),
                );
            }
        }
        let selected = match subject {
            Subject::Figures | Subject::Conversations => selected(&question),
            Subject::Now => observed(&question),
            Subject::States => STATE_COLUMNS.map(|(name, _)| name.to_owned()).to_vec(),
            Subject::UsersNow => USERS_NOW_COLUMNS.map(|(name, _)| name.to_owned()).to_vec(),
        };
        let refresh = self.flag("", members, "refresh");
        if refresh && matches!(subject, Subject::Conversations | Subject::States) {
            self.problem(
                "refresh",
                "figures and what is now are kept warm; conversations and states are asked for when they are read",
            );
        }
        let derived = self.derived(members, subject, &selected);
        let titles = self.titles(members, &selected, &derived);
        Definition {
            name: name.to_owned(),
            title: self.text("", members, "title"),
            description: self.text("", members, "description"),
            parameters,
            subject,
            question,
            derived,
            titles,
            refresh,
            source: text.to_owned(),
            is_built_in: false,
        }
    }

    fn known_members(&mut self, place: &str, members: &Map<String, Value>, known: &[&str]) {
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let advice =
                suggest::nearest(name, known).map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
            let place = if place.is_empty() {
                name.clone()
            } else {
                format!("{place}.{name}")
            };
            self.problem(&place, format!("there is no such key here{advice}"));
        }
    }

    /// A text that has to be there.
    fn text(&mut self, place: &str, members: &Map<String, Value>, name: &str) -> String {
        let text = members
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.trim().is_empty() && text.len() <= 2000);
        if text.is_none() {
            let place = if place.is_empty() {
                name.to_owned()
            } else {
                format!("{place}.{name}")
            };
            self.problem(&place, "this is a text, and required");
        }
        text.unwrap_or_default().to_owned()
    }

    /// The tables of a list of tables.
    fn tables<'f>(&mut self, members: &'f Map<String, Value>, name: &str, most: usize) -> Vec<&'f Map<String, Value>> {
        let Some(value) = members.get(name) else {
            return Vec::new();
        };
        let items = value.as_array().filter(|items| items.len() <= most);
        let tables: Option<Vec<_>> = items.and_then(|items| items.iter().map(Value::as_object).collect());
        tables.unwrap_or_else(|| {
            self.problem(name, format!("this is a list of tables, at most {most}: `[[{name}]]`"));
            Vec::new()
        })
    }

    fn parameters(&mut self, members: &Map<String, Value>) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (index, table) in self
            .tables(members, "parameters", MAX_PARAMETERS)
            .into_iter()
            .enumerate()
        {
            let place = format!("parameters[{index}]");
            self.known_members(&place, table, OF_PARAMETER);
            let parameter = self.parameter(&place, table);
            if parameters.iter().any(|other| other.name == parameter.name) {
                self.problem(&place, format!("there are two parameters called `{}`", parameter.name));
            }
            parameters.push(parameter);
        }
        parameters
    }

    fn parameter(&mut self, place: &str, table: &Map<String, Value>) -> Parameter {
        let name = self.text(place, table, "name");
        if !name.is_empty() && !is_parameter_name(&name) {
            self.problem(
                &format!("{place}.name"),
                "a name is letters, digits and underscores, and begins with a small letter",
            );
        } else if RESERVED.contains(&name.as_str()) {
            self.problem(
                &format!("{place}.name"),
                format!("every report takes `{name}` by itself"),
            );
        }
        let kind = self.kind(place, table);
        let is_required = self.flag(place, table, "required");
        let is_list = self.flag(place, table, "multiple") || kind.clause().is_some();
        if is_list && !matches!(kind, Kind::Text | Kind::Choice(_) | Kind::Queues | Kind::Agents) {
            self.problem(
                &format!("{place}.multiple"),
                "only text, choice, queues and agents can be several",
            );
        }
        let mut parameter = Parameter {
            title: self.text(place, table, "title"),
            description: table
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            name,
            kind,
            is_list,
            is_required,
            default: None,
            example: None,
        };
        parameter.default = self.value(place, "default", table, &parameter);
        parameter.example = self.value(place, "example", table, &parameter);
        match (is_required, &parameter.default, &parameter.example) {
            (true, Some(_), _) => self.problem(&format!("{place}.default"), "what is required has no default"),
            (true, None, None) => self.problem(
                &format!("{place}.example"),
                "what is required has an example, to be tried out",
            ),
            _ => {}
        }
        parameter
    }

    fn kind(&mut self, place: &str, table: &Map<String, Value>) -> Kind {
        let kind = self.text(place, table, "type");
        let whole = |name: &str| {
            table
                .get(name)
                .map(|value| value.as_u64().and_then(|number| u32::try_from(number).ok()))
        };
        match kind.as_str() {
            "range-start" => Kind::RangeStart,
            "range-end" => Kind::RangeEnd,
            "queues" => Kind::Queues,
            "agents" => Kind::Agents,
            "timezone" => Kind::TimeZone,
            "interval" => Kind::Interval,
            "number" => match (
                whole("minimum").unwrap_or(Some(1)),
                whole("maximum").unwrap_or(Some(u32::MAX)),
            ) {
                (Some(least), Some(most)) if least <= most => Kind::Number(least, most),
                _ => {
                    self.problem(
                        place,
                        "minimum and maximum are whole numbers, the first not above the second",
                    );
                    Kind::Number(0, u32::MAX)
                }
            },
            "choice" => {
                let choices = table.get("choices").and_then(Value::as_array);
                let choices: Option<Vec<String>> = choices.and_then(|choices| {
                    let is_choice = |text: &&str| !text.is_empty() && !text.contains(',');
                    choices
                        .iter()
                        .map(|choice| choice.as_str().filter(is_choice).map(str::to_owned))
                        .collect()
                });
                let choices = choices.filter(|choices| !choices.is_empty());
                if choices.is_none() {
                    self.problem(
                        &format!("{place}.choices"),
                        "this is a list of texts without commas, and required",
                    );
                }
                Kind::Choice(choices.unwrap_or_default())
            }
            other => {
                if !other.is_empty() && other != "text" {
                    let advice = suggest::nearest(other, TYPES)
                        .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
                    self.problem(
                        &format!("{place}.type"),
                        format!("there are {}{advice}", TYPES.join(", ")),
                    );
                }
                Kind::Text
            }
        }
    }

    fn flag(&mut self, place: &str, table: &Map<String, Value>, name: &str) -> bool {
        let flag = table.get(name).map(Value::as_bool);
        if flag == Some(None) {
            let place = if place.is_empty() {
                name.to_owned()
            } else {
                format!("{place}.{name}")
            };
            self.problem(&place, "this is true or false");
        }
        flag.flatten().unwrap_or_default()
    }

    /// A value the parameter takes.
    fn value(&mut self, place: &str, name: &str, table: &Map<String, Value>, parameter: &Parameter) -> Option<Value> {
        let value = table.get(name)?;
        let is_one = |value: &Value| match &parameter.kind {
            Kind::Number(least, most) => {
                let number = value.as_u64();
                number.is_some_and(|number| (u64::from(*least)..=u64::from(*most)).contains(&number))
            }
            Kind::Choice(choices) => value
                .as_str()
                .is_some_and(|text| choices.iter().any(|choice| choice == text)),
            Kind::RangeStart
            | Kind::RangeEnd
            | Kind::Text
            | Kind::Queues
            | Kind::Agents
            | Kind::TimeZone
            | Kind::Interval => value.is_string(),
        };
        let is_right = if parameter.is_list {
            value
                .as_array()
                .is_some_and(|items| !items.is_empty() && items.iter().all(is_one))
        } else {
            is_one(value)
        };
        if !is_right {
            let what = if parameter.is_list {
                "a list of what the parameter takes"
            } else {
                "not what the parameter takes"
            };
            let what = if parameter.is_list {
                format!("this is {what}")
            } else {
                format!("this is {what}: {}", parameter.kind.name())
            };
            self.problem(&format!("{place}.{name}"), what);
        }
        Some(value.clone()).filter(|_| is_right)
    }

    fn placeholders(&mut self, place: &str, value: &Value, parameters: &[Parameter], used: &mut BTreeSet<String>) {
        if let Some(name) = placeholder(value) {
            let known = parameters.iter().find(|parameter| parameter.name == name);
            if let Some(parameter) = known {
                let is_clause = place.ends_with(']')
                    && place.starts_with(&format!("{}.filter[", place.split('.').next().unwrap_or_default()))
                    && !place.contains("].");
                if parameter.kind.clause().is_some() != is_clause {
                    self.problem(
                        place,
                        "a parameter of queues or agents stands for a whole clause of the filter, and no other does",
                    );
                }
            } else {
                let names: Vec<_> = parameters.iter().map(|parameter| &parameter.name).collect();
                let advice = suggest::nearest(name, names)
                    .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
                self.problem(place, format!("there is no parameter `{name}`{advice}"));
            }
            used.insert(name.to_owned());
            return;
        }
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.placeholders(&format!("{place}[{index}]"), item, parameters, used);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.placeholders(&format!("{place}.{name}"), member, parameters, used);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn derived(&mut self, members: &Map<String, Value>, subject: Subject, selected: &[String]) -> Vec<Derived> {
        let mut derived: Vec<Derived> = Vec::new();
        for (index, table) in self.tables(members, "derived", MAX_DERIVED).into_iter().enumerate() {
            let place = format!("derived[{index}]");
            self.known_members(&place, table, OF_DERIVED);
            if subject == Subject::Conversations {
                self.problem(&place, "single conversations have no columns to work with");
                continue;
            }
            let name = self.text(&place, table, "name");
            let others = || selected.iter().chain(derived.iter().map(|other| &other.name));
            let is_beginning = |one: &str, other: &str| {
                one == other || other.strip_prefix(one).is_some_and(|rest| rest.starts_with('.'))
            };
            if !is_column_name(&name) {
                self.problem(
                    &format!("{place}.name"),
                    "a name is words of letters and digits, with dots between",
                );
            } else if let Some(other) = others().find(|other| is_beginning(other, &name) || is_beginning(&name, other))
            {
                self.problem(
                    &format!("{place}.name"),
                    format!("as dots nest, this cannot stand beside `{other}`"),
                );
            }
            let kind = match self.text(&place, table, "unit").as_str() {
                "count" => ColumnKind::Count,
                "milliseconds" => ColumnKind::Milliseconds,
                "" | "ratio" => ColumnKind::Ratio,
                _ => {
                    self.problem(&format!("{place}.unit"), "there are count, milliseconds and ratio");
                    ColumnKind::Ratio
                }
            };
            let title = self.text(&place, table, "title");
            let text = self.text(&place, table, "expression");
            let place = format!("{place}.expression");
            match Derived::new(name, title, kind, &text) {
                Ok(new) => {
                    for needed in &new.needs {
                        let is_derived = derived.iter().any(|other| other.name == *needed);
                        if !is_derived && let Err(detail) = is_number_of(needed, selected) {
                            self.problem(&place, detail);
                        }
                    }
                    derived.push(new);
                }
                Err(_) if text.is_empty() => {}
                Err(detail) => self.problem(&place, detail),
            }
        }
        derived
    }

    fn titles(
        &mut self,
        members: &Map<String, Value>,
        selected: &[String],
        derived: &[Derived],
    ) -> BTreeMap<String, String> {
        let mut titles = BTreeMap::new();
        let Some(table) = members.get("titles") else {
            return titles;
        };
        let Some(table) = table.as_object() else {
            self.problem("titles", "this is a table of titles by columns");
            return titles;
        };
        for (name, title) in table {
            let place = format!("titles.\"{name}\"");
            let known = || selected.iter().chain(derived.iter().map(|derived| &derived.name));
            if !known().any(|known| known == name) {
                let advice = suggest::nearest(name, known())
                    .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
                self.problem(&place, format!("the report has no such column{advice}"));
            }
            match title.as_str() {
                Some(title) => {
                    titles.insert(name.clone(), title.to_owned());
                }
                None => self.problem(&place, "this is a text; names with dots are quoted"),
            }
        }
        titles
    }
}

/// The columns that are there whatever the arguments; with `interval`, the bucket leads.
fn selected(question: &Map<String, Value>) -> Vec<String> {
    let selected = question.get("select").and_then(Value::as_array);
    let selected = selected
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let mut selected: Vec<String> = selected.collect();
    let has_bucket = selected
        .iter()
        .any(|name| catalogue::BUCKETS.iter().any(|(bucket, ..)| bucket == name));
    if question.contains_key("interval") && !has_bucket {
        selected.insert(0, "interval".to_owned());
    }
    selected
}

/// The columns of queues at this moment that are there whatever the arguments: per media type, agents have none.
fn observed(question: &Map<String, Value>) -> Vec<String> {
    let may_be_by_media_type = question.contains_key("groupBy");
    let figures = OBSERVATIONS
        .iter()
        .filter(|observation| !may_be_by_media_type || observation.of == Observed::Interactions)
        .map(|observation| observation.name);
    let queue = ["routing.queue.id", "routing.queue.name"].into_iter();
    queue.chain(figures).map(str::to_owned).collect()
}

/// Whether an expression can take the column.
fn is_number_of(name: &str, selected: &[String]) -> Result<(), String> {
    if !selected.iter().any(|known| known == name) {
        let advice =
            suggest::nearest(name, selected).map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
        return Err(format!("`{name}` is not selected{advice}"));
    }
    let is_since = OBSERVATIONS
        .iter()
        .any(|observation| observation.name == name && observation.shows == Shows::Since);
    let mut of_users = STATE_COLUMNS.iter().chain(&USERS_NOW_COLUMNS);
    let is_no_number = |(other, kind): &(&str, ColumnKind)| {
        *other == name && !matches!(kind, ColumnKind::Count | ColumnKind::Milliseconds)
    };
    if is_since || of_users.any(is_no_number) {
        return Err(format!("`{name}` is no number"));
    }
    match column(name) {
        Some(
            ColumnValue::Interval
            | ColumnValue::IntervalStart
            | ColumnValue::IntervalEnd
            | ColumnValue::Dimension(_)
            | ColumnValue::Name(_),
        ) => Err(format!("`{name}` is no number")),
        // What is unknown is complained of where it is selected.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = r#"
title = "Offered"
description = "What was offered."

[[parameters]]
name = "from"
type = "range-start"
title = "From"
default = "today"

[query]
dateFrom = { parameter = "from" }
select = ["conversation.offered", "conversation.answered"]

[[derived]]
name = "rate"
title = "Rate"
unit = "ratio"
expression = "{conversation.answered} / {conversation.offered}"
"#;

    fn problems(text: &str) -> Vec<String> {
        let now = "2026-06-17T21:30:59.500Z".parse().unwrap();
        Definition::parse("offered", text, now).err().unwrap_or_default()
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        assert_eq!(problems(RIGHT), Vec::<String>::new());
        for (right, wrong, expected) in [
            ("title = \"Offered\"", "title = ", "line 2: "),
            ("title = \"Offered\"\n", "", "title: this is a text, and required"),
            (
                "title = \"Offered\"",
                "titel = 1\ntitle = \"x\"",
                "titel: there is no such key here; did you mean `title`?",
            ),
            (
                "title = \"Offered\"",
                "refresh = \"yes\"\ntitle = \"x\"",
                "refresh: this is true or false",
            ),
            (
                "range-start",
                "range-strat",
                "parameters[0].type: there are range-start",
            ),
            (
                "default = \"today\"",
                "default = 7",
                "parameters[0].default: this is not what the parameter takes: range-start",
            ),
            ("default = \"today\"", "default = \"todayy\"", "parameters[0]: "),
            (
                "default = \"today\"",
                "required = true",
                "parameters[0].example: what is required has an example",
            ),
            (
                "{ parameter = \"from\" }",
                "{ parameter = \"form\" }",
                "query.dateFrom: there is no parameter `form`; did you mean `from`?",
            ),
            (
                "{ parameter = \"from\" }",
                "\"today\"",
                "parameters[0]: `from` stands nowhere in the question",
            ),
            (
                "\"conversation.offered\", ",
                "\"conversation.ofered\", ",
                "query.select[0]: there is no such metric or dimension; did you mean `conversation.offered`?",
            ),
            (
                "[query]",
                "[query]\npage = 2",
                "query.page: the page is for the caller to choose",
            ),
            ("[query]", "[query]\nselct = []", "query.selct: "),
            (
                "\"rate\"",
                "\"conversation.offered.rate\"",
                "derived[0].name: as dots nest, this cannot stand beside `conversation.offered`",
            ),
            ("} / {", "} / / {", "derived[0].expression: "),
            (
                "name = \"from\"",
                "name = \"format\"",
                "parameters[0].name: every report takes `format` by itself",
            ),
            (
                "unit = \"ratio\"",
                "unit = \"percent\"",
                "derived[0].unit: there are count, milliseconds and ratio",
            ),
        ] {
            let found = problems(&RIGHT.replacen(right, wrong, 1));
            assert!(
                found.iter().any(|problem| problem.contains(expected)),
                "{wrong}: {found:?}"
            );
        }
        let several = RIGHT
            .replace("range-start", "x")
            .replace("\"ratio\"", "\"x\"")
            .replace("title = \"Rate\"", "");
        assert!(problems(&several).len() >= 3, "{:?}", problems(&several));
    }

    #[test]
    fn what_is_kept_warm_says_so_and_listings_are_not() {
        let parse =
            |text: &str| Definition::parse("t", text, Timestamp::UNIX_EPOCH).map(|definition| definition.refresh);
        let refresh = |value: &str| RIGHT.replacen("title", &format!("refresh = {value}\ntitle"), 1);
        assert_eq!(parse(RIGHT), Ok(false));
        assert_eq!(parse(&refresh("true")), Ok(true));
        assert_eq!(parse(&refresh("false")), Ok(false));
        for listing in ["conversations", "states"] {
            let text =
                format!("title = \"T\"\ndescription = \"D\"\nrefresh = true\n[{listing}]\ndateFrom = \"today\"\n");
            let refused = parse(&text).unwrap_err();
            assert!(refused.len() == 1 && refused[0].starts_with("refresh: "), "{refused:?}");
        }
    }

    #[test]
    fn what_is_not_selected_is_there_as_it_is() {
        let file = |group_by: &str, needed: &str| {
            format!(
                "title = \"T\"\ndescription = \"D\"\n[now]\n{group_by}\n[[derived]]\nname = \"rate\"\ntitle = \"R\"\n\
                 unit = \"ratio\"\nexpression = \"{{waiting.count}} / {{{needed}}}\"\n"
            )
        };
        let now = Timestamp::UNIX_EPOCH;
        for (group_by, needed, expected) in [
            ("", "agents.member", None),
            (
                "",
                "waiting.longest.since",
                Some("`waiting.longest.since` is no number"),
            ),
            ("", "routing.queue.id", Some("`routing.queue.id` is no number")),
            (
                "groupBy = [\"media.type\"]",
                "agents.member",
                Some("`agents.member` is not selected"),
            ),
            ("groupBy = [\"media.type\"]", "waiting.longest.time", None),
            (
                "groupBy = [\"agent.id\"]",
                "waiting.longest.time",
                Some("now.groupBy[0]: "),
            ),
        ] {
            let read = Definition::parse("t", &file(group_by, needed), now);
            match (read, expected) {
                (Ok(_), None) => {}
                (Err(problems), Some(expected)) => {
                    assert!(
                        problems.len() == 1 && problems[0].contains(expected),
                        "{needed}: {problems:?}"
                    );
                }
                (read, _) => panic!("{group_by}, {needed}: {:?}", read.map(|_| ())),
            }
        }
        for (table, needed, is_right) in [
            ("[states]\ndateFrom = \"today\"", "state.duration", true),
            ("[states]\ndateFrom = \"today\"", "state.start", false),
            ("[usersNow]", "queues.member", true),
            ("[usersNow]", "presence.system", false),
            ("[usersNow]", "waiting.count", false),
        ] {
            let text = format!(
                "title = \"T\"\ndescription = \"D\"\n{table}\n[[derived]]\nname = \"rate\"\ntitle = \"R\"\n\
                 unit = \"ratio\"\nexpression = \"{{{needed}}} / 2\"\n"
            );
            let read = Definition::parse("t", &text, now).map(|_| ());
            assert_eq!(read.is_ok(), is_right, "{table} {needed}: {read:?}");
        }
        let both = "title = \"T\"\ndescription = \"D\"\n[now]\n[query]\n";
        assert!(Definition::parse("t", both, now).is_err());
    }
}
