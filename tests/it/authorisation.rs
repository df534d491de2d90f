//! Who may do what: every operation the document lists, asked by everybody there can be, in every way it can be asked.
//!
//! What is allowed is read from the document, operation by operation, so that a new one is tested as soon as it is there.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    provider::{Provider, SigningKey, claims},
    service::{Service, Setup},
};

/// Somebody who asks.
struct Principal {
    name: &'static str,
    credential: Option<String>,
    scopes: &'static [&'static str],
    is_confined: bool,
    /// Whether what is left of its quota is told.
    has_quota: bool,
}

struct Stage {
    service: Service,
    principals: Vec<Principal>,
    /// One that the confined key sees.
    queue: String,
    operations: Vec<Operation>,
    _provider: Provider,
}

/// An operation of the document.
#[derive(Clone, Debug)]
struct Operation {
    method: Method,
    path: String,
    /// `None` where no credential is asked for.
    scope: Option<String>,
    is_question: bool,
}

const ID: &str = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11";
const DAY: &str = "2023-11-29T00:00:00.000Z/2023-11-30T00:00:00.000Z";

impl Stage {
    async fn set() -> Self {
        let queue = {
            let service = Service::start().await;
            let listed = service.get("/v1/lookups/queues").await.json();
            listed["entities"][0]["id"].as_str().unwrap().to_owned()
        };
        let signing = SigningKey::ed25519("key");
        let provider = Provider::start(&[&signing]);
        let mut setup = provider.setup().set("REPORTS_AUTH__TOKEN_SECRET", &"s".repeat(32));
        let mut principals = Vec::new();
        let mut add = |name, credential, scopes: &'static [&'static str], is_confined, has_quota| {
            principals.push(Principal {
                name,
                credential,
                scopes,
                is_confined,
                has_quota,
            });
        };
        add("nobody", None, &[], false, false);
        add("a stranger", Some("grk_wrong".to_owned()), &[], false, false);
        for (name, scopes) in [
            ("read", &["read"][..]),
            ("export", &["export"]),
            ("live", &["live"]),
            ("admin", &["admin"]),
            ("all", &["read", "export", "live", "admin"]),
        ] {
            let key;
            (setup, key) = with_key(setup, scopes, "");
            add(name, Some(key), scopes, false, true);
        }
        let confined: &[&str] = &["read", "export", "live"];
        let filters = format!(", filters={{\"routing.queue.id\"=[\"{queue}\"]}}");
        let (setup, key) = with_key(setup, confined, &filters);
        add("confined", Some(key), confined, true, true);
        let token = signing.sign(&claims("openid read live"));
        add("a token", Some(token), &["read", "live"], false, false);
        let expired = signing.sign(&json!({"exp": 1}));
        add("an expired token", Some(expired), &[], false, false);
        let service = setup.start().await;
        let document = service.get("/openapi.json").await.json();
        Self {
            operations: operations(&document),
            service,
            principals,
            queue,
            _provider: provider,
        }
    }

    /// Asks, and reads the head of the answer only: some last.
    async fn ask(&self, operation: &Operation, further: &str, principal: &Principal, fields: &[(&str, &str)]) -> Head {
        let (target, body) = self.concrete(operation);
        let glue = if target.contains('?') { "&" } else { "?" };
        let target = if further.is_empty() {
            target
        } else {
            format!("{target}{glue}{further}")
        };
        let mut request = self.service.request(operation.method.clone(), &target);
        if let Some(credential) = &principal.credential {
            request = request.bearer_auth(credential);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        Head {
            status: response.status(),
            fields: response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
                .collect(),
        }
    }

    /// A request that would be answered, were it allowed.
    fn concrete(&self, operation: &Operation) -> (String, Option<Value>) {
        let value = |name: &str| match name {
            "lookup" => "queues",
            "name" => "queue-performance",
            "queueId" => &self.queue,
            "mediaType" => "call",
            "namespaceName" => "platform.api",
            _ => ID,
        };
        let segments = operation.path.split('/').map(|segment| {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.map_or(segment, value)
        });
        let path = segments.collect::<Vec<_>>().join("/");
        let target = match (path.as_str(), operation.method == Method::GET) {
            ("/v1/query" | "/v1/conversations" | "/v1/users/details", true) => {
                format!("{path}?dateFrom=2023-11-29&dateTo=2023-11-30")
            }
            ("/api/v2/analytics/conversations/details", _) => format!("{path}?id={ID}"),
            _ => path.clone(),
        };
        let body = (operation.method == Method::POST).then(|| match path.as_str() {
            "/v1/query" | "/v1/conversations" => json!({"dateFrom": "2023-11-29", "dateTo": "2023-11-30"}),
            "/api/v2/analytics/queues/observations/query" => json!({
                "filter": {"type": "or", "predicates": [{"dimension": "queueId", "value": self.queue}]},
                "metrics": ["oWaiting"],
            }),
            path if path.ends_with("/links") => json!({"parameters": {}}),
            path if path.contains("/details/") => json!({"interval": DAY}),
            path if path.contains("/conversations/aggregates/") => json!({"interval": DAY, "metrics": ["nOffered"]}),
            _ => json!({}),
        });
        (target, body)
    }
}

fn with_key(setup: Setup, scopes: &[&str], further: &str) -> (Setup, String) {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    setup.key(&scopes.join(", "), &format!(", requests_per_minute=100000{further}"))
}

struct Head {
    status: StatusCode,
    fields: BTreeMap<String, String>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            let required = operation["security"].as_array();
            let scope = required.map(|alternatives| {
                let scopes: Vec<&Value> = alternatives
                    .iter()
                    .flat_map(|one| one.as_object().unwrap().values())
                    .collect();
                assert!(scopes.iter().all(|scope| *scope == scopes[0]), "{path}");
                scopes[0][0].as_str().expect("an operation lists its scope").to_owned()
            });
            Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                scope,
                is_question: operation["responses"].get("202").is_some()
                    && path.starts_with("/v1/")
                    && !path.contains("/jobs/"),
            }
        })
    });
    operations.collect()
}

/// What a confined key is refused although its scopes would do.
fn is_refused_when_confined(operation: &Operation) -> bool {
    const NARROWED: [&str; 18] = [
        "/api/v2/analytics/conversations/aggregates/query",
        "/api/v2/analytics/conversations/details",
        "/api/v2/analytics/conversations/details/jobs",
        "/api/v2/analytics/conversations/details/jobs/availability",
        "/api/v2/analytics/conversations/details/jobs/{jobId}",
        "/api/v2/analytics/conversations/details/jobs/{jobId}/results",
        "/api/v2/analytics/conversations/details/query",
        "/api/v2/analytics/conversations/{conversationId}/details",
        "/api/v2/analytics/queues/observations/query",
        "/api/v2/authorization/divisions",
        "/api/v2/authorization/divisions/query",
        "/api/v2/routing/queues",
        "/api/v2/routing/queues/divisionviews",
        "/api/v2/routing/queues/{queueId}",
        "/api/v2/routing/queues/{queueId}/estimatedwaittime",
        "/api/v2/routing/queues/{queueId}/mediatypes/{mediaType}/estimatedwaittime",
        "/api/v2/routing/queues/{queueId}/members",
        "/api/v2/routing/queues/{queueId}/wrapupcodes",
    ];
    // What users are is not told apart by queue.
    const OF_USERS: [&str; 5] = [
        "/v1/now/users",
        "/v1/reports/agent-states",
        "/v1/reports/agent-timeline",
        "/v1/reports/agents-now",
        "/v1/users/details",
    ];
    OF_USERS.contains(&operation.path.as_str())
        // To say that a job is needed no more tells nothing.
        || (operation.path.starts_with("/api/v2/")
            && operation.method != Method::DELETE
            && !NARROWED.contains(&operation.path.as_str()))
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_as_declared_for_everybody() {
    let stage = Stage::set().await;
    let open: Vec<&str> = stage
        .operations
        .iter()
        .filter(|operation| operation.scope.is_none())
        .map(|operation| operation.path.as_str())
        .collect();
    assert_eq!(
        open,
        [
            "/",
            "/health/live",
            "/health/ready",
            "/metrics",
            "/oauth/token",
            "/openapi.json"
        ],
        "what stands open"
    );
    let all = stage
        .principals
        .iter()
        .find(|principal| principal.name == "all")
        .unwrap();
    let mut cells = 0;
    let began = Instant::now();
    for operation in &stage.operations {
        // What is dropped between two rows is dropped for all.
        let Some(scope) = &operation.scope else {
            if operation.method == Method::GET {
                let head = stage.ask(operation, "", &stage.principals[0], &[]).await;
                assert_eq!(head.status, 200, "{operation:?}");
            }
            continue;
        };
        let exports = operation.path == "/v1/conversations" || operation.path == "/v1/reports/conversation-list";
        let mut ways: Vec<(&str, &str, &str)> = vec![("fresh", "", scope), ("cached", "", scope)];
        if operation.method == Method::GET && operation.path != "/v1/live/queues" {
            ways.push(("held by another", "", scope));
        }
        if operation.method == Method::GET && operation.is_question {
            ways.push(("as a job", "wait=0", scope));
        }
        if exports {
            ways.push(("export", "format=ndjson", "export"));
        }
        for (way, further, scope) in ways {
            let tag = if way == "held by another" {
                stage.ask(operation, "", all, &[]).await.fields.remove("etag")
            } else {
                None
            };
            let fields: Vec<(&str, &str)> = tag.iter().map(|tag| ("if-none-match", tag.as_str())).collect();
            for principal in &stage.principals {
                let what = format!("{} {} {way} by {}", operation.method, operation.path, principal.name);
                let head = stage.ask(operation, further, principal, &fields).await;
                let expected = if principal.scopes.is_empty() {
                    Some(401)
                } else if !principal.scopes.contains(&scope)
                    || (principal.is_confined && is_refused_when_confined(operation))
                    // Links are made with keys.
                    || (operation.path.ends_with("/links") && principal.name == "a token")
                {
                    Some(403)
                } else {
                    None
                };
                match expected {
                    Some(status) => assert_eq!(head.status.as_u16(), status, "{what}"),
                    None if operation.path.starts_with("/api/v2/") => {
                        // The simulated Genesys Cloud has not all of its paths.
                        assert!(![401, 403].contains(&head.status.as_u16()), "{what}: {}", head.status);
                    }
                    None if operation.path.contains("/jobs/") => assert_eq!(head.status, 404, "{what}"),
                    None => {
                        let good = [200, 201, 202, 304];
                        assert!(good.contains(&head.status.as_u16()), "{what}: {}", head.status);
                    }
                }
                if expected == Some(401) {
                    assert!(head.fields["www-authenticate"].starts_with("Bearer"), "{what}");
                }
                // What another key holds is not what a confined one would be given, unless it is everybody's.
                let is_everybodys = ["/v1/catalog", "/v1/reports", "/v1/reports/{name}/definition"];
                if principal.is_confined && head.status == 304 && operation.path.starts_with("/v1/") {
                    assert!(is_everybodys.contains(&operation.path.as_str()), "{what}");
                }
                assert_eq!(head.fields.contains_key("ratelimit"), principal.has_quota, "{what}");
                assert_eq!(
                    head.fields.contains_key("ratelimit-policy"),
                    principal.has_quota,
                    "{what}"
                );
                cells += 1;
            }
        }
    }
    assert!(cells > 2_000, "{cells}");
    // None of it made anybody wait for a limit.
    assert!(began.elapsed().as_secs() < 600, "{:?}", began.elapsed());
}
