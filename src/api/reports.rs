//! `/v1/reports`: queries with a name. What a report is stands in [`definitions`](crate::definitions); here its
//! parameters are taken out of the query string, and the question they make is answered as any other.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    again::Place,
    auth::{Caller, Keys},
    conditional,
    conversations::{self, ConversationsApi},
    format::Format,
    links::SHARE,
    now::NowApi,
    params::{Delivery, Offered, QueryString, pointer},
    problem::{Problem, ProblemKind},
    query::{self, QueryApi},
    rows,
    users::UsersApi,
};
use crate::{
    config::Scope,
    definitions::{Bound, Definition, Kind, Library, Parameter, Shelf, Subject, bind::PAGING},
    query::{Complaint, suggest},
    table::ColumnKind,
    upstream::Errand,
    warm::Warm,
};

/// What the routes need.
#[derive(Clone)]
pub struct ReportsApi {
    /// The definitions.
    pub library: Library,
    /// Answers those of figures.
    pub query: QueryApi,
    /// Answers those of conversations.
    pub conversations: ConversationsApi,
    /// Answers those of queues at this moment.
    pub now: NowApi,
    /// Answers those of users.
    pub users: UsersApi,
    /// Make links, and know them again.
    pub keys: Keys,
    /// Is told what is read of what is to be kept warm.
    pub warm: Warm,
}

/// List the reports
///
/// Those that came with the service and those of its directory, each with its parameters; and what is wrong with files
/// of the directory that are not used, or not as they are now.
#[utoipa::path(
    get,
    path = "/v1/reports",
    operation_id = "getReports",
    tag = "Reports",
    responses((status = 200, description = "The reports", body = ReportList)),
)]
pub async fn list(
    State(api): State<ReportsApi>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let content_type = Format::negotiate(&headers, Format::OF_ONE_DOCUMENT)?.content_type();
    let document = ReportList::new(&*api.shelf().await);
    Ok(conditional::document(&method, &headers, content_type, json(&document)))
}

/// Ask for a report
#[utoipa::path(
    get,
    path = "/v1/reports/{name}",
    operation_id = "getReport",
    tag = "Reports",
    responses((status = 200, description = "The rows")),
)]
pub async fn get(
    State(api): State<ReportsApi>,
    Path(file): Path<String>,
    caller: Caller,
    errand: Errand,
    parts: Parts,
) -> Result<Response, Problem> {
    let (name, suffix) = parted(&file);
    let definition = find(&*api.shelf().await, name)?;
    if definition.subject != Subject::Conversations {
        caller.require(Scope::Read)?;
    }
    let place = Place::of(&parts);
    let (method, headers) = (&parts.method, &parts.headers);
    let query_string = QueryString::of(&parts.uri);
    let (now, limits) = (api.query.clock.now(), &api.query.limits);
    let bind = |arguments: &[(String, String)]| definition.bind(arguments, now, limits);
    let (mut delivering, mut disagreement) = with_suffix(&query_string, suffix);
    if caller.shared().is_some() {
        delivering.pairs.retain(|(name, _)| name != SHARE);
    }
    let taken = Delivery::take(&delivering, headers, definition.subject.offered());
    let (delivery, mut arguments) =
        taken.map_err(|error| error.with(|rest| together(disagreement.clone(), bind(rest).err())))?;
    if let Some(shared) = caller.shared() {
        disagreement.extend(fixed(&arguments));
        arguments.extend(shared.arguments.iter().cloned());
    }
    let (bound, places) = match bind(&arguments) {
        Ok(bound) if disagreement.is_empty() => bound,
        bound => return Err(Problem::invalid(together(disagreement, bound.err()))),
    };
    let read = definition.refresh.then(|| (definition.name.clone(), arguments.clone()));
    let path = format!("/v1/reports/{file}");
    let is_paged = arguments.iter().any(|(name, _)| PAGING.contains(&name.as_str()));
    let asked = rows::Asked {
        path: &path,
        definition: Some(&definition),
        places,
        query: (),
        is_paged,
        get_form: query_string.pairs,
    };
    let answer = match bound {
        Bound::Figures { query, .. } => {
            let asked = query::Asked {
                path: &path,
                // Of what is to be kept warm every reading counts.
                place: place.map(|place| place.noting(read.clone())),
                definition: Some(&definition),
                places: asked.places,
                query: *query,
                is_paged,
                get_form: Some(asked.get_form),
            };
            api.query
                .answer(asked, delivery, &caller, &errand, method, headers)
                .await
        }
        Bound::Conversations { time_zone, question } => {
            caller.require(conversations::scope_of(delivery.format, is_paged))?;
            let asked = conversations::Asked {
                path: &path,
                name: &definition.name,
                places: asked.places,
                question: *question,
                is_paged,
                time_zone,
                get_form: Some(asked.get_form),
            };
            api.conversations
                .answer(asked, delivery, &caller, &errand, method, headers)
                .await
        }
        Bound::Now(query) => {
            let asked = asked.about(*query);
            api.now.answer(asked, delivery, &caller, &errand, method, headers).await
        }
        Bound::States(query) => {
            let asked = asked.about(*query);
            api.users
                .answer_details(asked, delivery, &caller, &errand, method, headers)
                .await
        }
        Bound::UsersNow(query) => {
            let asked = asked.about(*query);
            api.users
                .answer_now(asked, delivery, &caller, &errand, method, headers)
                .await
        }
    };
    if let (Ok(_), Some((name, arguments))) = (&answer, read) {
        api.warm.note(&name, arguments, caller.restriction().clone());
    }
    answer
}

fn together(complaints: Vec<Complaint>, further: Option<Vec<Complaint>>) -> Vec<Complaint> {
    [complaints, further.unwrap_or_default()].concat()
}

/// What is wrong with arguments beside those of a link.
fn fixed(arguments: &[(String, String)]) -> impl Iterator<Item = Complaint> {
    let others = arguments.iter().filter(|(name, _)| !PAGING.contains(&name.as_str()));
    others.take(20).map(|(name, _)| {
        let name: String = name.chars().take(64).collect();
        Complaint::at(pointer(&name), "what a link shows is fixed")
    })
}

/// Show how a report is defined
///
/// In parts as JSON, or as the TOML file it was read from: the place to start from for a report of one's own.
#[utoipa::path(
    get,
    path = "/v1/reports/{name}/definition",
    operation_id = "getReportDefinition",
    tag = "Reports",
    responses((status = 200, description = "The definition", content(
        (ReportDefinition = "application/json"),
        (String = "application/toml"),
    ))),
)]
pub async fn definition(
    State(api): State<ReportsApi>,
    Path(name): Path<String>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    query_string: QueryString,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let definition = find(&*api.shelf().await, &name)?;
    if wants_toml(&query_string, &headers)? {
        let text = Bytes::from(definition.source.clone());
        let mut response = conditional::document(&method, &headers, TOML, text);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(TOML));
        return Ok(response);
    }
    let document = json(&ReportDefinition::from(&*definition));
    Ok(conditional::document(
        &method,
        &headers,
        Format::Json.content_type(),
        document,
    ))
}

const TOML: &str = "application/toml";

fn wants_toml(query: &QueryString, headers: &HeaderMap) -> Result<bool, Problem> {
    match query.pairs.as_slice() {
        [] => {}
        [(name, value)] if name == "format" && (value == "json" || value == "toml") => return Ok(value == "toml"),
        pairs => {
            let complaint = |(name, _): &(String, String)| match name.as_str() {
                "format" => Complaint::at("/format", "must be `json` or `toml`, once"),
                name => Complaint::at(
                    format!(
                        "/{}",
                        name.chars()
                            .take(64)
                            .collect::<String>()
                            .replace('~', "~0")
                            .replace('/', "~1")
                    ),
                    "there is no such parameter here; there is format",
                ),
            };
            return Err(Problem::invalid(pairs.iter().take(20).map(complaint).collect()));
        }
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let names_toml = accept.split(',').any(|range| {
        range
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case(TOML)
    });
    if names_toml {
        return Ok(true);
    }
    Format::negotiate(headers, Format::OF_ONE_DOCUMENT).map(|_| false)
}

impl ReportsApi {
    async fn shelf(&self) -> Arc<Shelf> {
        self.library.current(self.query.clock.now()).await
    }
}

impl Subject {
    /// What a caller may choose from.
    fn offered(self) -> Offered {
        match self {
            Self::Figures => Offered::explained(Format::OF_ROWS),
            Self::Conversations | Self::Now | Self::States | Self::UsersNow => Format::OF_ROWS.into(),
        }
    }
}

/// A report's name, and the format in its address: names have no dots.
fn parted(file: &str) -> (&str, Option<&str>) {
    match file.split_once('.') {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (file, None),
    }
}

/// The report of that name, or the name that was meant.
pub fn find(shelf: &Shelf, name: &str) -> Result<Arc<Definition>, Problem> {
    shelf.definitions.get(name).cloned().ok_or_else(|| {
        let nearest = suggest::nearest(name, shelf.definitions.keys());
        let advice = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
        Problem::new(ProblemKind::NotFound).detail(format!(
            "there is no such report{advice}; all are listed at /v1/reports"
        ))
    })
}

/// The query string as if the format in the address stood there, and whether it says otherwise.
fn with_suffix(query: &QueryString, suffix: Option<&str>) -> (QueryString, Vec<Complaint>) {
    let Some(suffix) = suffix else {
        return (query.clone(), Vec::new());
    };
    let mut pairs = query.pairs.clone();
    let mut complaints = Vec::new();
    if pairs.iter().any(|(name, value)| name == "format" && value != suffix) {
        complaints.push(Complaint::at(
            "/format",
            format!("the address ends in .{suffix}: say one or the other"),
        ));
    }
    pairs.retain(|(name, _)| name != "format");
    pairs.push(("format".to_owned(), suffix.to_owned()));
    (QueryString { pairs }, complaints)
}

fn json(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document)
        .expect("strings and flags always serialize")
        .into()
}

/// Every report.
#[derive(Serialize, ToSchema)]
pub(super) struct ReportList {
    /// By name.
    reports: Vec<ReportEntry>,
    /// What is wrong with files of the directory: they are not used, or as they were before.
    problems: Vec<ReportProblem>,
}

/// A report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReportEntry {
    #[schema(example = "queue-performance")]
    name: String,
    #[schema(example = "Queue performance")]
    title: String,
    description: String,
    /// What a row of it is: `figures` of a group, or one of `conversations`, `queues`, `states` (of users) or `users`.
    #[schema(example = "figures")]
    lists: &'static str,
    /// Whether it came with the service.
    built_in: bool,
    /// Where to ask for it.
    #[schema(example = "/v1/reports/queue-performance")]
    url: String,
    /// How it is defined.
    definition_url: String,
    /// The formats it can be had in.
    formats: Vec<&'static str>,
    /// Whether it is kept warm while somebody reads it.
    refresh: bool,
    /// What may be varied.
    parameters: Vec<ReportParameter>,
}

/// What may be varied.
#[derive(Serialize, ToSchema)]
struct ReportParameter {
    #[schema(example = "from")]
    name: String,
    title: String,
    description: String,
    /// What it takes.
    #[serde(rename = "type")]
    #[schema(example = "range-start")]
    kind: &'static str,
    /// Whether it takes a list, by commas or repeated.
    multiple: bool,
    required: bool,
    /// What stands for it when it is left out.
    #[schema(value_type = serde_json::Value)]
    default: Option<Value>,
    #[schema(value_type = serde_json::Value)]
    example: Option<Value>,
    /// What there is to choose from.
    choices: Option<Vec<String>>,
}

/// What is wrong with a file.
#[derive(Serialize, ToSchema)]
struct ReportProblem {
    /// Its name; empty where it is the directory.
    file: String,
    /// What is wrong, and where in it.
    detail: String,
}

/// A report in parts.
#[derive(Serialize, ToSchema)]
pub(super) struct ReportDefinition {
    #[serde(flatten)]
    entry: ReportEntry,
    /// The question, with placeholders where parameters stand: `{"parameter": "from"}`. Otherwise it is asked
    /// as at `/v1/query`, `/v1/conversations`, `/v1/users/details`, `/v1/now/queues` or `/v1/now/users`.
    #[schema(value_type = Object)]
    question: serde_json::Map<String, Value>,
    /// Columns worked out from the others of a row.
    derived: Vec<ReportColumn>,
    /// Titles of columns that are not the usual ones.
    titles: std::collections::BTreeMap<String, String>,
}

/// A column worked out from the others of a row.
#[derive(Serialize, ToSchema)]
struct ReportColumn {
    name: String,
    title: String,
    #[schema(example = "ratio")]
    unit: &'static str,
    #[schema(example = "{conversation.abandoned} / {conversation.offered}")]
    expression: String,
}

impl ReportList {
    fn new(shelf: &Shelf) -> Self {
        let problems = shelf.problems.iter().map(|problem| ReportProblem {
            file: problem.file.clone(),
            detail: problem.detail.clone(),
        });
        Self {
            reports: shelf
                .definitions
                .values()
                .map(|definition| ReportEntry::from(&**definition))
                .collect(),
            problems: problems.collect(),
        }
    }
}

impl From<&Definition> for ReportEntry {
    fn from(definition: &Definition) -> Self {
        let url = format!("/v1/reports/{}", definition.name);
        Self {
            name: definition.name.clone(),
            title: definition.title.clone(),
            description: definition.description.clone(),
            lists: definition.subject.lists(),
            built_in: definition.is_built_in,
            definition_url: format!("{url}/definition"),
            url,
            formats: Format::OF_ROWS.iter().map(|format| format.name()).collect(),
            refresh: definition.refresh,
            parameters: definition.parameters.iter().map(ReportParameter::from).collect(),
        }
    }
}

impl From<&Parameter> for ReportParameter {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            title: parameter.title.clone(),
            description: parameter.description.clone(),
            kind: parameter.kind.name(),
            multiple: parameter.is_list,
            required: parameter.is_required,
            default: parameter.default.clone(),
            example: parameter.example.clone(),
            choices: match &parameter.kind {
                Kind::Choice(choices) => Some(choices.clone()),
                _ => None,
            },
        }
    }
}

impl From<&Definition> for ReportDefinition {
    fn from(definition: &Definition) -> Self {
        let derived = definition.derived.iter().map(|derived| ReportColumn {
            name: derived.name.clone(),
            title: derived.title.clone(),
            unit: match derived.kind {
                ColumnKind::Milliseconds => "milliseconds",
                ColumnKind::Ratio => "ratio",
                _ => "count",
            },
            expression: derived.text.clone(),
        });
        Self {
            entry: ReportEntry::from(definition),
            question: definition.question.clone(),
            derived: derived.collect(),
            titles: definition.titles.clone(),
        }
    }
}
