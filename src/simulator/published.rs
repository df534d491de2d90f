//! What the vendor publishes about its API: endpoints with their permissions, and request models. Read from
//! the checked-in `genesys/*.json`; nothing here is of our own making.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

/// The published endpoint under a method and path template, such as `GET` and `/api/v2/users`.
pub(super) fn endpoint(method: &str, path: &str) -> Option<&'static Endpoint> {
    let found = |endpoint: &&Endpoint| endpoint.method == method && endpoint.path == path;
    ENDPOINTS.endpoints.iter().chain(&ENDPOINTS.lookups).find(found)
}

/// The methods and paths of all endpoints of analytics.
pub(super) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    let endpoints = ENDPOINTS.endpoints.iter();
    endpoints.map(|endpoint| (endpoint.method.as_str(), endpoint.path.as_str()))
}

/// The published model of this name, as a JSON schema.
pub(super) fn model(name: &str) -> Option<&'static Schema> {
    MODELS.definitions.get(name)
}

/// One endpoint.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    method: String,
    path: String,
    /// Name of the body's model; `None` when the endpoint takes no body.
    pub(super) request_model: Option<String>,
    /// What the caller must be allowed to do.
    pub(super) permissions: Permissions,
}

/// Permissions an endpoint asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Permissions {
    mode: Mode,
    /// Names such as `analytics:conversationDetail:view`; empty when none is asked for.
    pub(super) list: Vec<String>,
}

impl Permissions {
    /// Whether every permission of the list is needed, rather than any one of them.
    pub(super) fn all_needed(&self) -> bool {
        self.mode == Mode::All
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Any,
    All,
    #[default]
    No,
}

/// The part of JSON schema that the published models use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    /// `#/definitions/<Model>`, alone when present.
    #[serde(rename = "$ref")]
    pub(super) reference: Option<String>,
    /// JSON type; absent beside a reference.
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
    /// `int32`, `int64`, `double`, `float`, `date-time`.
    pub(super) format: Option<String>,
    /// The values allowed.
    #[serde(rename = "enum")]
    pub(super) values: Option<Vec<String>>,
    /// Of an array's elements.
    pub(super) items: Option<Box<Schema>>,
    /// Of an object.
    #[serde(default)]
    pub(super) properties: HashMap<String, Schema>,
    /// Of a map's values.
    pub(super) additional_properties: Option<Box<Schema>>,
    /// Properties that must be there.
    #[serde(default)]
    pub(super) required: Vec<String>,
}

impl Schema {
    /// The model this schema refers to.
    pub(super) fn referred_model(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("#/definitions/")
    }
}

/// A JSON type.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<Endpoint>,
    lookups: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Models {
    definitions: HashMap<String, Schema>,
}

static ENDPOINTS: LazyLock<Endpoints> = LazyLock::new(|| {
    serde_json::from_str(include_str!("genesys/endpoints.json")).expect("the checked-in endpoints are readable")
});

static MODELS: LazyLock<Models> = LazyLock::new(|| {
    serde_json::from_str(include_str!("genesys/schemas.json")).expect("the checked-in models are readable")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_models_are_found_by_name() {
        let details = endpoint("POST", "/api/v2/analytics/conversations/details/query").unwrap();
        assert_eq!(details.request_model.as_deref(), Some("ConversationQuery"));
        assert!(!details.permissions.all_needed());
        assert_eq!(details.permissions.list[0], "analytics:conversationDetail:view");
        assert!(
            endpoint("GET", "/api/v2/routing/wrapupcodes")
                .unwrap()
                .permissions
                .all_needed()
        );
        assert!(endpoint("GET", "/api/v2/analytics/conversations/details/query").is_none());

        assert!(
            ENDPOINTS
                .endpoints
                .iter()
                .filter_map(|e| e.request_model.as_deref())
                .all(|name| { name.starts_with("array<") || model(name).is_some() })
        );
    }
}
