//! The `OpenAPI` document: what the routes say of themselves, and what all of them have in common.
//!
//! Routes describe their question and their good answer beside their handlers. The failures, the header fields
//! and the credentials are the layers' doing and stand here, once. The GET forms are derived from the schemas of
//! the bodies, so that the two cannot part ways.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{
    format::Format,
    gateway, jobs,
    problem::{FieldProblem, MEDIA_TYPE, ProblemDocument, UpstreamProblem},
};
use crate::{
    clock::Clock,
    definitions::{Definition, Kind, Library, Parameter, Shelf, Subject, bind::PAGING},
    query::{
        ConversationRequest, NamesRequest, NowRequest, PurgeRequest, QueryRequest, StatesRequest, UsersNowRequest,
        catalogue::Lookup,
    },
};

/// What no route says of itself.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "genesys-reports",
        description = "Reporting answers from Genesys Cloud, with how fresh and how complete they are.\n\n\
            Every failure is `application/problem+json` (RFC 9457). Times are milliseconds unless a name says \
            otherwise; ranges are half-open.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "Queries", description = "Aggregates by time bucket and dimension"),
        (name = "Conversations", description = "Single conversations"),
        (name = "Users", description = "What users were, one by one"),
        (name = "Now", description = "Queues and users as they are at this moment"),
        (name = "Jobs", description = "Answers that take longer than their caller stays"),
        (name = "Reports", description = "Queries with a name, and parameters of their own"),
        (name = "Lookups", description = "Ids and names"),
        (name = "Drop-in", description = "Genesys Cloud's own paths, for programs that speak to it"),
        (name = "Service", description = "About this service itself"),
    ),
    components(schemas(ProblemDocument, FieldProblem, UpstreamProblem)),
)]
pub struct Common;

/// The document as it is served: with the reports of the directory as they are now.
#[derive(Clone)]
pub struct Served(Arc<Parts>);

struct Parts {
    library: Library,
    clock: Clock,
    last: Mutex<Option<(Arc<Shelf>, Arc<Value>)>>,
}

impl Served {
    /// Of these reports.
    pub fn new(library: Library, clock: Clock) -> Self {
        let last = Mutex::new(None);
        Self(Arc::new(Parts { library, clock, last }))
    }

    /// The document now; written anew only when the reports have changed.
    pub async fn current(&self) -> Arc<Value> {
        let reports = self.0.library.current(self.0.clock.now()).await;
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, document)) = &*last
            && Arc::ptr_eq(of, &reports)
        {
            return Arc::clone(document);
        }
        let document = Arc::new(super::document(&reports));
        *last = Some((reports, Arc::clone(&document)));
        document
    }
}

/// The whole document of these routes.
pub fn document(routes: utoipa::openapi::OpenApi, shelf: &Shelf) -> Value {
    let mut document = serde_json::to_value(Common::openapi().merge_from(routes)).expect("the document is JSON");
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key made by `genesys-reports keys new`, or a token of the identity provider; operations list the scope it takes"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key, where `Authorization` is taken"},
    });
    let Some(paths) = document["paths"].as_object_mut() else {
        return document;
    };
    let any_report = paths.remove(ANY_REPORT);
    for (path, item) in &mut *paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            describe(path, method, formats_of(path), operation);
        }
    }
    if any_report.is_some() {
        for definition in shelf.definitions.values() {
            let (path, mut operation) = report(definition, paths);
            describe(&path, "get", Some(Format::OF_ROWS), &mut operation);
            if let (Subject::Figures, Some(parameters)) = (definition.subject, operation["parameters"].as_array_mut()) {
                parameters.push(explain_parameter());
            }
            paths.insert(path, json!({"get": operation}));
        }
    }
    paths.extend(gateway::document::paths());
    document["components"]["schemas"]["UpstreamFailure"] = gateway::document::failure();
    for (kind, common) in gateway::document::common() {
        document["components"][kind] = common;
    }
    document
}

/// Each report stands in the document by itself, with its own parameters.
const ANY_REPORT: &str = "/v1/reports/{name}";
const LINKS: &str = "/v1/reports/{name}/links";
const DEFINITION: &str = "/v1/reports/{name}/definition";

/// The operation of a report: answered as the question it is would be, asked by its own parameters.
fn report(definition: &Definition, paths: &Map<String, Value>) -> (String, Value) {
    let (like, page) = match definition.subject {
        Subject::Figures => ("/v1/query", get_form(&schema_of::<QueryRequest>())),
        Subject::Conversations => ("/v1/conversations", get_form(&schema_of::<ConversationRequest>())),
        Subject::Now => ("/v1/now/queues", get_form(&schema_of::<NowRequest>())),
        Subject::States => ("/v1/users/details", get_form(&schema_of::<StatesRequest>())),
        Subject::UsersNow => ("/v1/now/users", get_form(&schema_of::<UsersNowRequest>())),
    };
    let answer = &paths.get(like).unwrap_or(&Value::Null)["get"]["responses"]["200"];
    let is_paging = |parameter: &Value| PAGING.iter().any(|name| parameter["name"] == *name);
    let parameters = definition.parameters.iter().map(report_parameter);
    let parameters: Vec<Value> = parameters.chain(page.into_iter().filter(is_paging)).collect();
    let operation = json!({
        "operationId": format!("report_{}", definition.name.replace('-', "_")),
        "tags": ["Reports"],
        "summary": definition.title,
        "description": definition.description,
        "parameters": parameters,
        "responses": {"200": {"description": answer["description"], "content": answer["content"]}},
    });
    (format!("/v1/reports/{}", definition.name), operation)
}

fn report_parameter(parameter: &Parameter) -> Value {
    let mut schema = match &parameter.kind {
        Kind::RangeStart | Kind::RangeEnd | Kind::TimeZone => json!({"type": "string", "maxLength": 64}),
        Kind::Text | Kind::Queues | Kind::Agents => json!({"type": "string", "maxLength": 256}),
        Kind::Choice(choices) => json!({"type": "string", "enum": choices}),
        Kind::Interval => schema_of::<QueryRequest>()["properties"]["interval"].clone(),
        Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
    };
    if let Some(kind) = without_null(&schema["type"]) {
        schema = json!({"type": kind, "pattern": schema["pattern"]});
    }
    if parameter.is_list {
        schema = json!({"type": "array", "items": schema, "minItems": 1});
    }
    schema["title"] = parameter.title.as_str().into();
    if let Some(default) = &parameter.default {
        schema["default"] = default.clone();
    }
    let mut described = json!({
        "name": parameter.name, "in": "query", "required": parameter.is_required, "schema": schema,
        "description": if parameter.description.is_empty() { &parameter.title } else { &parameter.description },
    });
    if parameter.is_list {
        described["explode"] = false.into();
    }
    // What is prefilled in forms: a default shows itself.
    if let Some(example) = parameter.example.as_ref().filter(|_| parameter.is_required) {
        described["example"] = example.clone();
    }
    described
}

/// A key, by either field, that carries the scope. (What a requirement lists for other schemes than OAuth's are the roles
/// it takes.)
pub(super) fn security(scope: &str) -> Value {
    json!([{"bearer": [scope]}, {"apiKey": [scope]}])
}

/// The document as it is checked in and printed.
pub fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a JSON value serializes");
    text.push('\n');
    text
}

fn describe(path: &str, method: &str, formats: Option<&'static [Format]>, operation: &mut Value) {
    let is_guarded = path.starts_with("/v1/");
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    if is_guarded {
        operation["security"] = security(match path {
            CACHE => "admin",
            LIVE => "live",
            _ => "read",
        });
        match (path, method) {
            ("/v1/query", "get") => parameters.extend(get_form(&schema_of::<QueryRequest>())),
            ("/v1/conversations", "get") => parameters.extend(get_form(&schema_of::<ConversationRequest>())),
            (DEFINITION, "get") => parameters = definition_parameters(),
            (LOOKUP, "get") => {
                parameters.clear();
                parameters.push(lookup_parameter());
                parameters.extend(get_form(&schema_of::<NamesRequest>()));
            }
            ("/v1/now/queues", "get") => parameters.extend(get_form(&schema_of::<NowRequest>())),
            ("/v1/now/users", "get") => parameters.extend(get_form(&schema_of::<UsersNowRequest>())),
            ("/v1/users/details", "get") => parameters.extend(get_form(&schema_of::<StatesRequest>())),
            (LIVE, "get") => {
                parameters.extend(get_form(&schema_of::<NowRequest>()));
                parameters.push(json!({
                    "name": "Last-Event-ID", "in": "header", "schema": {"type": "string"},
                    "description": "The id of the event seen last: what came after it is sent, if it is still kept",
                }));
            }
            (CACHE, "delete") => parameters.extend(get_form(&schema_of::<PurgeRequest>())),
            _ => {}
        }
        if let Some(offered) = formats {
            parameters.extend(delivery_parameters(offered));
        }
        if path == "/v1/query" {
            parameters.push(explain_parameter());
        }
        if method == "get" && jobs::is_question(path) {
            parameters.extend(waiting_parameters());
            operation["responses"]["202"] = json!({
                "description": "The answer takes longer than the caller waits: `Location` says where it will be",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}},
            });
        }
        if is_conditional(path, method) {
            parameters.push(json!({
                "name": "If-None-Match", "in": "header", "schema": {"type": "string"},
                "description": "Entity tags already held: 304 when one is still right",
            }));
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    add_failures(path, method, is_guarded, &mut operation["responses"]);
    add_headers(
        formats,
        is_conditional(path, method),
        is_guarded,
        &mut operation["responses"],
    );
}

/// Whether the answer is a document that a caller may hold already: not what is another a moment later.
fn is_conditional(path: &str, method: &str) -> bool {
    path.starts_with("/v1/") && method == "get" && !matches!(path, CACHE | LIVE | QUOTA) && !path.starts_with(JOBS)
}

fn waiting_parameters() -> [Value; 2] {
    [
        json!({
            "name": "wait", "in": "query", "required": false,
            "schema": {"type": "integer", "minimum": 0, "maximum": jobs::MAX_WAIT},
            "description": "How many seconds to wait for the answer; then 202, and the same question later is answered",
        }),
        json!({
            "name": "Prefer", "in": "header", "schema": {"type": "string"}, "example": "respond-async, wait=10",
            "description": "The same as a preference (RFC 7240)",
        }),
    ]
}

fn definition_parameters() -> Vec<Value> {
    vec![
        json!({
            "name": "name", "in": "path", "required": true, "example": "queue-performance",
            "schema": {"type": "string"}, "description": "Of which report",
        }),
        json!({
            "name": "format", "in": "query", "required": false, "schema": {"type": "string", "enum": ["json", "toml"]},
            "description": "The definition in parts, or the file it was read from; wins over `Accept`",
        }),
    ]
}

fn schema_of<T: utoipa::ToSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema is JSON")
}

/// The fields of a body as query-string parameters: lists by commas, a filter as `dimension:value,value`.
fn get_form(body: &Value) -> Vec<Value> {
    let required = body["required"].as_array().cloned().unwrap_or_default();
    let fields = body["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, field)| {
            let mut schema = field.clone();
            let example = body["example"].get(name).cloned();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            if let Some(kind) = without_null(&schema["type"]) {
                schema["type"] = kind;
            }
            let mut parameter = json!({
                "name": name, "in": "query", "required": required.contains(&json!(name)), "description": description,
            });
            if name == "filter" {
                schema = json!({
                    "type": "array", "maxItems": schema["maxItems"],
                    "items": {"type": "string", "pattern": "^[^:,]+:.+$"},
                });
                parameter["example"] = filter_example(&body["example"]["filter"]);
                parameter["explode"] = true.into();
            } else if let Some(example) = example {
                parameter["example"] = example;
            }
            if schema["type"] == "array" && name != "filter" {
                parameter["explode"] = false.into();
            }
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("examples");
                schema.retain(|_, value| !value.is_null());
            }
            parameter["schema"] = schema;
            parameter
        })
        .collect()
}

/// A parameter that is left out has no value to be null.
fn without_null(kind: &Value) -> Option<Value> {
    let kinds = kind.as_array()?;
    kinds.iter().find(|kind| *kind != "null").cloned()
}

fn filter_example(filters: &Value) -> Value {
    let text = |filter: &Value| {
        let values = filter["values"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(",");
        Some(format!("{}:{values}", filter["dimension"].as_str()?))
    };
    filters.as_array().into_iter().flatten().filter_map(text).collect()
}

const CACHE: &str = "/v1/cache";
const QUOTA: &str = "/v1/quota";
const LOOKUP: &str = "/v1/lookups/{lookup}";
/// A stream, which is not asked for again but listened to.
const LIVE: &str = "/v1/live/queues";
/// Another a moment later, too.
const JOBS: &str = "/v1/jobs/";

/// The formats to choose from, on routes whose answers come from Genesys Cloud.
fn formats_of(path: &str) -> Option<&'static [Format]> {
    match path {
        "/v1/catalog" | "/v1/reports" | QUOTA | DEFINITION | LINKS | LIVE | CACHE => None,
        path if path.starts_with(JOBS) => None,
        _ => Some(Format::OF_ROWS),
    }
}

fn lookup_parameter() -> Value {
    json!({
        "name": "lookup", "in": "path", "required": true, "example": Lookup::Queues.name(),
        "schema": {"type": "string", "enum": Lookup::ALL.map(Lookup::name)}, "description": "Of what",
    })
}

fn delivery_parameters(offered: &[Format]) -> [Value; 4] {
    let seconds = json!({"type": "integer", "minimum": 0, "maximum": super::params::MAX_SECONDS});
    let formats: Vec<_> = offered.iter().map(|format| format.name()).collect();
    [
        json!({
            "name": "format", "in": "query", "required": false, "schema": {"type": "string", "enum": formats},
            "description": "The format of the answer; wins over `Accept`",
        }),
        json!({
            "name": "max_age", "in": "query", "required": false, "schema": seconds,
            "description": "The answer may be at most this many seconds old; by default the age of the data decides",
        }),
        json!({
            "name": "max_stale", "in": "query", "required": false, "schema": seconds,
            "description": "If Genesys Cloud fails, a held answer may be past its freshness by this many seconds",
        }),
        json!({
            "name": "on_error", "in": "query", "required": false,
            "schema": {"type": "string", "enum": ["stale", "fail"], "default": "stale"},
            "description": "If Genesys Cloud fails: a held answer, marked as stale, or the failure",
        }),
    ]
}

fn explain_parameter() -> Value {
    json!({
        "name": "explain", "in": "query", "required": false,
        "schema": {"type": "string", "enum": super::params::Explain::NAMES},
        "description": "`1` adds to `meta` how the answer came about: what was held, what was asked for, at what cost; \
            `formula` how each column that is worked out comes about. With `format=json` or `format=table` only",
    })
}

fn add_failures(path: &str, method: &str, is_guarded: bool, responses: &mut Value) {
    let failure = |description: &str| {
        json!({
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        })
    };
    let mut add = |status: &str, description: &str| responses[status] = failure(description);
    add("405", "This route does not know that method");
    add("414", "The URI is too long");
    add("431", "The header fields are too large");
    add("500", "A defect of this service; the log has it under `requestId`");
    if path == LOOKUP {
        add("404", "There is no such lookup");
    }
    if path == DEFINITION || path == LINKS {
        add("404", "There is no such report");
    }
    if path.starts_with(JOBS) {
        add("404", "There is no such job, or it is another caller's");
    }
    if path.starts_with(JOBS) && path.ends_with("/result") {
        add("410", "What the job brought is not kept any more, or it was ended");
    }
    if path == "/health/ready" {
        add("503", "The service cannot serve now; `reasons` says why");
    }
    if !is_guarded {
        return;
    }
    add("401", "No credential, or a bad one");
    add("403", "The key lacks the scope this needs");
    add("406", "None of the acceptable formats exists");
    add(
        "422",
        "The question does not make sense; `errors` lists everything wrong with it",
    );
    add("429", "This key asks too often");
    add(
        "502",
        "Genesys Cloud refuses this service, rejects the query, or is unavailable",
    );
    add(
        "503",
        "No capacity left, the upstream request budget is spent, or Genesys Cloud is being left alone",
    );
    add("504", "The answer was not ready in time");
    if method == "post" {
        add("400", "The body is not JSON, or nests too deeply");
        add("408", "The body did not come in time");
        add("413", "The body is too large");
        add("415", "The body is not `application/json`");
    }
}

fn add_headers(formats: Option<&[Format]>, is_conditional: bool, is_guarded: bool, responses: &mut Value) {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let seconds = |description: &str| json!({"description": description, "schema": {"type": "integer", "minimum": 0}});
    let provenance = json!({
        "ETag": text("Names these figures as of their fetch (RFC 9110)"),
        "Age": seconds("Seconds since the oldest part was fetched"),
        "Cache-Control": text("How long the answer may be reused, by this caller only"),
        "Cache-Status": text("How the cache took part (RFC 9211)"),
        "Vary": text("What decided about the choice of this answer"),
        "Content-Encoding": text("`gzip`, where the request allows it and the answer is worth it"),
        "Content-Disposition": text("What to call the file, of formats that are files"),
        "X-Data-As-Of": json!({"description": "When the oldest part was fetched", "schema": {"type": "string", "format": "date-time"}}),
        "X-Data-Complete": json!({"description": "Whether every figure has settled", "schema": {"type": "string", "enum": ["true", "false"]}}),
    });
    if is_conditional {
        responses["304"] = json!({"description": "The caller holds the answer already"});
    }
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        let mut headers = json!({"X-Request-Id": text("The request, as the service's log knows it")});
        let mut add = |name: &str, header: Value| headers[name] = header;
        match status.as_str() {
            "200" | "304" if is_guarded => {
                // What does not come from Genesys Cloud has no age.
                let is_ours = |name: &str| match name {
                    "ETag" => is_conditional,
                    name => matches!(name, "Cache-Control" | "Vary"),
                };
                let provenance = provenance.as_object().into_iter().flatten();
                for (name, header) in provenance.filter(|(name, _)| formats.is_some() || is_ours(name)) {
                    add(name, header.clone());
                }
            }
            "401" => add("WWW-Authenticate", text("How to authenticate")),
            "405" => add("Allow", text("The methods the route knows")),
            "415" => add("Accept", text("The media types read here")),
            "202" => {
                add("Location", text("The job"));
                add("Retry-After", seconds("Seconds to wait before looking"));
                add("Preference-Applied", text("The preference that was heeded"));
            }
            "429" | "503" => add("Retry-After", seconds("Seconds to wait before asking again")),
            _ => {}
        }
        if is_guarded && (status == "200" || status == "429") {
            add("RateLimit", text("What is left of the key's quota, if it has one"));
            add("RateLimit-Policy", text("The key's quota, if it has one"));
        }
        response["headers"] = headers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_get_form_says_what_the_body_says() {
        let body = json!({
            "required": ["dateFrom"],
            "example": {"dateFrom": "now-7d/d", "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}]},
            "properties": {
                "dateFrom": {"type": "string", "description": "From", "maxLength": 64},
                "page": {"type": ["integer", "null"], "minimum": 1},
                "select": {"type": ["array", "null"], "items": {"type": "string"}},
                "filter": {"type": "array", "maxItems": 50, "items": {"$ref": "#/x"}},
            }
        });
        let form = get_form(&body);
        let named = |name: &str| form.iter().find(|parameter| parameter["name"] == name).unwrap().clone();
        assert_eq!(
            named("dateFrom"),
            json!({"name": "dateFrom", "in": "query", "required": true, "description": "From", "example": "now-7d/d",
                "schema": {"type": "string", "maxLength": 64}})
        );
        assert_eq!(named("page")["schema"], json!({"type": "integer", "minimum": 1}));
        assert_eq!(named("select")["explode"], false);
        assert_eq!(named("filter")["example"], json!(["media.type:voice,chat"]));
        assert_eq!(named("filter")["schema"]["maxItems"], 50);
    }
}
