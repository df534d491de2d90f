//! The vendor's published models as a judge of what goes over the wire, in both directions.
//!
//! A third spelling beside the client's and the simulator's: where those two agree on a mistake, this one does
//! not. Unknown properties are forbidden here although the vendor's definitions leave them open, because a
//! misspelt optional field is otherwise a field nobody sent.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Panics with every complaint if `value` is not what the vendor calls `model`.
#[track_caller]
pub(crate) fn assert_valid(model: &str, value: &Value) {
    let complaints = complaints(model, value);
    assert!(
        complaints.is_empty(),
        "not a {model}:\n  {}\nin {value:#}",
        complaints.join("\n  ")
    );
}

/// What is wrong with `value` as a `model`, one sentence per place; empty if nothing is.
pub(crate) fn complaints(model: &str, value: &Value) -> Vec<String> {
    validator(model)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The models of one endpoint's bodies, as the vendor names them; `None` where it has no such body.
pub(crate) struct Endpoint {
    pub(crate) request: Option<String>,
    pub(crate) response: Option<String>,
}

/// The endpoint that serves `method` on `path` (without query string), if the vendor publishes one.
pub(crate) fn endpoint(method: &str, path: &str) -> Option<Endpoint> {
    static ENDPOINTS: LazyLock<Value> =
        LazyLock::new(|| parse(include_str!("../../../src/simulator/genesys/endpoints.json")));
    ["endpoints", "lookups"]
        .iter()
        .flat_map(|list| ENDPOINTS[list].as_array().expect("both lists are there"))
        .find(|endpoint| endpoint["method"] == method && same_path(endpoint["path"].as_str().unwrap_or_default(), path))
        .map(|endpoint| {
            let model = |field: &str| endpoint[field].as_str().map(str::to_owned);
            Endpoint {
                request: model("requestModel"),
                response: model("responseModel"),
            }
        })
}

/// Whether `path` fits a template whose placeholders are whole segments in braces.
fn same_path(template: &str, path: &str) -> bool {
    let (mut templates, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), segments.next()) {
            (None, None) => return true,
            (Some(template), Some(segment)) if template == segment || template.starts_with('{') => {}
            _ => return false,
        }
    }
}

fn validator(model: &str) -> Arc<Validator> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().expect("no test panics while holding it");
    let validator = compiled
        .entry(model.to_owned())
        .or_insert_with(|| Arc::new(compile(model)));
    Arc::clone(validator)
}

fn compile(model: &str) -> Validator {
    assert!(DEFINITIONS.get(model).is_some(), "the vendor has no model {model}");
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": format!("#/definitions/{model}"),
        "definitions": *DEFINITIONS,
    });
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the checked-in definitions are a schema")
}

/// Every model of the analytics and look-up endpoints, closed to unknown properties.
static DEFINITIONS: LazyLock<Value> = LazyLock::new(|| {
    let mut all = serde_json::Map::new();
    // Look-ups first: of the few models in both files, the analytics one is kept.
    for file in [
        include_str!("../../../src/simulator/genesys/schemas-lookups.json"),
        include_str!("../../../src/simulator/genesys/schemas.json"),
    ] {
        let Value::Object(mut file) = parse(file) else {
            unreachable!("a schema file is an object")
        };
        let Some(Value::Object(definitions)) = file.remove("definitions") else {
            unreachable!("a schema file has definitions")
        };
        all.extend(definitions);
    }
    let mut all = Value::Object(all);
    all.as_object_mut()
        .into_iter()
        .flat_map(|all| all.values_mut())
        .for_each(forbid_unknown);
    all
});

/// Forbids properties beyond those listed, at every depth. Definitions without a list are maps and stay open.
fn forbid_unknown(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    if schema.contains_key("properties") && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(forbid_unknown);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            forbid_unknown(inner);
        }
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the checked-in file is JSON")
}
