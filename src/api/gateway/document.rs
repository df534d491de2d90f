//! The upstream's own paths in the `OpenAPI` document: that they are here, and what of them may be said. What their bodies
//! and answers look like is the vendor's to document.

use serde_json::{Map, Value, json};

use super::{
    PATHS, TOKEN,
    paths::{Kind, Path},
};
use crate::api::openapi;

/// The tag of these operations.
pub(in crate::api) const TAG: &str = "Drop-in";

/// By path and method.
pub(in crate::api) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for path in PATHS.iter() {
        let method = path.method.as_str().to_ascii_lowercase();
        let item = paths.entry(path.template).or_insert_with(|| json!({}));
        item[&method] = operation(path, &method);
    }
    paths.insert(TOKEN.to_owned(), json!({"post": token()}));
    paths
}

/// The shape of failures here.
pub(in crate::api) fn failure() -> Value {
    json!({
        "type": "object",
        "description": "A failure as Genesys Cloud tells it: its own, or this service's in its shape",
        "required": ["message", "code", "status", "contextId", "requestId"],
        "properties": {
            "message": {"type": "string"},
            "code": {"type": "string", "example": "not.found"},
            "status": {"type": "integer"},
            "contextId": {"type": "string", "description": "What the vendor's support asks for"},
            "requestId": {"type": "string", "description": "The request, as this service's log knows it"},
        },
    })
}

/// What the operations have in common, to be referred to: `responses` and `requestBodies`.
pub(in crate::api) fn common() -> [(&'static str, Value); 2] {
    let json = |schema: Value| json!({"application/json": {"schema": schema}});
    let failure = json(json!({"$ref": "#/components/schemas/UpstreamFailure"}));
    [
        (
            "responses",
            json!({
                "Upstream": {"description": "As Genesys Cloud answers", "content": json(json!({}))},
                "UpstreamFailure": {"description": "A failure in Genesys Cloud's shape", "content": failure},
            }),
        ),
        (
            "requestBodies",
            json!({"Upstream": {
                "description": "As Genesys Cloud takes it", "required": true, "content": json(json!({"type": "object"})),
            }}),
        ),
    ]
}

fn operation(path: &Path, method: &str) -> Value {
    let name = path.template.trim_start_matches(super::PREFIX).replace(['/', '-'], "_");
    let segments = path.template.split('/');
    let in_path = segments
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_path: Vec<Value> = in_path.collect();
    let mut operation = json!({
        "operationId": format!("{method}_{}", name.replace(['{', '}'], "")),
        "tags": [TAG],
        "summary": summary(path.kind),
        "security": openapi::security("read"),
        "responses": {"default": {"$ref": "#/components/responses/UpstreamFailure"}},
    });
    let statuses = match (path.kind, method) {
        (Kind::Job, _) => &["202"][..],
        (Kind::JobState, "delete") => &["204"],
        (Kind::JobState, _) => &["200", "202"],
        _ => &["200"],
    };
    for status in statuses {
        operation["responses"][status] = match *status {
            "204" => json!({"description": "Needed no more"}),
            _ => json!({"$ref": "#/components/responses/Upstream"}),
        };
    }
    if !in_path.is_empty() {
        operation["parameters"] = in_path.into();
    }
    if !path.parameters.is_empty() {
        operation["description"] = format!("Takes {} in the query string.", path.parameters.join(", ")).into();
    }
    if method == "post" {
        operation["requestBody"] = json!({"$ref": "#/components/requestBodies/Upstream"});
    }
    operation
}

fn summary(kind: Kind) -> &'static str {
    match kind {
        Kind::Figures(_) => "Aggregates, from what is held by bucket where that is exact",
        Kind::Details => "Conversations of the days of an interval, from those that are held where that is exact",
        Kind::Records => "Records of an interval, held by the age of their dates",
        Kind::Job => "A job, for an hour the same one for all who ask the same",
        Kind::JobState => "How a job stands",
        Kind::JobResults => "What a job brought, page by page",
        Kind::Now => "How things are now, good for five seconds",
        Kind::Names => "Names and settings, good for an hour",
    }
}

fn token() -> Value {
    let form = json!({
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            "client_id": {"type": "string", "description": "The name of a key, unless in `Authorization: Basic`"},
            "client_secret": {"type": "string", "description": "The key, unless in `Authorization: Basic`"},
        },
    });
    let grant = json!({
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {
            "access_token": {"type": "string"},
            "token_type": {"type": "string", "enum": ["bearer"]},
            "expires_in": {"type": "integer", "description": "Seconds"},
        },
    });
    let failure = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    });
    let of = |description: &str, schema: Value| json!({"description": description, "content": {"application/json": {"schema": schema}}});
    json!({
        "operationId": "postOauthToken",
        "tags": [TAG],
        "summary": "Log in with a key",
        "description": "The name of a key and the key, as an OAuth client's id and secret, for a short-lived token that \
            is good wherever the key is.",
        "requestBody": {"required": true, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {"200": of("A token", grant), "default": of("A failure as OAuth tells it", failure)},
    })
}
