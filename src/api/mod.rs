//! The only floor that knows HTTP: routes and layers, in order.
//!
//! Requests become the pure values of [`query`](crate::query); answers and failures become bytes. Nothing here
//! knows how an answer is found, and nothing below knows a status code.

pub mod auth;
pub mod conditional;
pub mod conversations;
pub mod format;
pub mod limits;
pub mod observe;
pub mod openapi;
pub mod page;
pub mod params;
pub mod problem;
pub mod query;
pub mod serve;
pub mod service;

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    auth::Keys,
    conversations::ConversationsApi,
    limits::Admission,
    problem::{Problem, ProblemKind},
    query::QueryApi,
    service::ServiceApi,
};

/// The parts the routes and layers are made of, each built once.
pub struct Parts {
    /// `/v1/query`
    pub query: QueryApi,
    /// `/v1/conversations`
    pub conversations: ConversationsApi,
    /// Health, metrics, documents.
    pub service: ServiceApi,
    /// Who may ask.
    pub keys: Keys,
    /// The places of the service.
    pub admission: Admission,
    /// From a request's head to its answer's head.
    pub request_timeout: Duration,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// Origins whose pages may read answers; `*` is any.
    pub cors_origins: Vec<String>,
}

/// Every route behind every layer, ready to serve.
pub fn router(parts: Parts) -> Router {
    // Read from the bottom up: a layer wraps what stands above it, so the last is the outermost.
    let guarded = Router::new()
        .merge(query_routes().split_for_parts().0.with_state(parts.query))
        .merge(
            conversation_routes()
                .split_for_parts()
                .0
                .with_state(parts.conversations),
        )
        // Innermost: the extractor that reads a body heeds it.
        .layer(DefaultBodyLimit::max(parts.max_body_bytes))
        // The places are taken last, when nothing else can refuse any more; refused at once when the queue is full.
        .route_layer(middleware::from_fn_with_state(parts.admission, limits::admit))
        // Outside of the places, so that waiting for one counts.
        .route_layer(middleware::from_fn_with_state(parts.request_timeout, limits::deadline))
        // Strangers and the over-eager are turned away before they can take a place. Routes only: that a method
        // does not exist is no secret.
        .route_layer(middleware::from_fn_with_state(parts.keys, auth::authenticate));
    // Health, metrics and documents answer whatever the load, and need no credential.
    let open = service_routes()
        .split_for_parts()
        .0
        .route("/docs", get(service::docs))
        .route("/docs/", get(service::docs_index))
        .route("/docs/{*path}", get(service::docs_path))
        .with_state(parts.service);
    guarded
        .merge(open)
        .fallback(|| async { Problem::new(ProblemKind::NotFound) })
        // Oversized heads are refused before anything looks into them.
        .layer(middleware::from_fn(limits::head))
        // A panic is one caller's 500 and nobody else's concern.
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            after_panic()
        }))
        // Outside of whatever may fail: one shape for every failure, that of a panic included.
        .layer(middleware::from_fn(problem::render))
        // Outside of failures, so that a page may read those too.
        .layer(cors(&parts.cors_origins))
        .layer(middleware::map_response(security_headers))
        // Outside of all that answers, so that everything is counted, timed and logged …
        .layer(middleware::from_fn(observe::measure))
        // … within the request's span …
        .layer(middleware::from_fn(observe::trace))
        // … under the request's id.
        .layer(middleware::from_fn(observe::identify))
}

/// The `OpenAPI` document of these routes.
pub fn document() -> Value {
    let mut routes = query_routes().into_openapi();
    routes.merge(conversation_routes().into_openapi());
    routes.merge(service_routes().into_openapi());
    openapi::document(routes)
}

fn query_routes() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(query::get, query::post))
}

fn conversation_routes() -> OpenApiRouter<ConversationsApi> {
    OpenApiRouter::new().routes(routes!(conversations::get, conversations::post))
}

fn service_routes() -> OpenApiRouter<ServiceApi> {
    OpenApiRouter::new()
        .routes(routes!(service::live))
        .routes(routes!(service::ready))
        .routes(routes!(service::metrics))
        .routes(routes!(service::document))
        .routes(routes!(service::front))
}

fn after_panic() -> Response {
    Problem::new(ProblemKind::Internal).into_response()
}

fn cors(origins: &[String]) -> CorsLayer {
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(AllowHeaders::list([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            auth::API_KEY,
            observe::REQUEST_ID,
        ]))
        .expose_headers(ExposeHeaders::list([
            header::AGE,
            header::ETAG,
            header::RETRY_AFTER,
            conditional::CACHE_STATUS,
            conditional::DATA_AS_OF,
            conditional::DATA_COMPLETE,
            observe::REQUEST_ID,
        ]))
        .max_age(Duration::from_hours(1))
}

/// What browsers are told about everything that is not a page; pages state a policy of their own.
async fn security_headers(mut response: Response) -> Response {
    const FIELDS: [(HeaderName, HeaderValue); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in FIELDS {
        headers.entry(name).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_document_is_the_one_served() {
        let checked_in = include_str!("../../openapi/openapi.json");
        assert!(
            openapi::pretty(&document()) == checked_in,
            "openapi/openapi.json is out of date: `cargo run -- openapi > openapi/openapi.json`"
        );
    }
}
