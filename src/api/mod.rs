//! The only floor that knows HTTP: routes and layers, in order.
//!
//! Requests become the pure values of [`query`](crate::query); answers and failures become bytes. Nothing here
//! knows how an answer is found, and nothing below knows a status code.

pub mod again;
pub mod auth;
pub mod cache;
pub mod catalog;
pub mod conditional;
pub mod conversations;
pub mod format;
pub mod front;
pub mod gateway;
pub mod jobs;
mod jwt;
pub mod limits;
pub mod links;
pub mod live;
pub mod lookups;
pub mod now;
pub mod observe;
pub mod openapi;
pub mod page;
pub mod params;
pub mod problem;
pub mod query;
pub mod quota;
pub mod reports;
pub mod rows;
pub mod serve;
pub mod service;
pub mod sse;
mod tokens;
pub mod users;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use crate::definitions::Shelf;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::FutureExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_http::{
    compression::CompressionLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    again::AtOnce,
    auth::Keys,
    cache::CacheApi,
    catalog::CatalogApi,
    conversations::ConversationsApi,
    gateway::GatewayApi,
    jobs::Jobs,
    limits::{Admission, Bodies},
    live::LiveApi,
    lookups::LookupsApi,
    now::NowApi,
    observe::Tracing,
    problem::{Problem, ProblemKind},
    query::QueryApi,
    quota::QuotaApi,
    reports::ReportsApi,
    service::ServiceApi,
    users::UsersApi,
};

/// The parts the routes and layers are made of, each built once.
pub struct Parts {
    /// `/v1/query`
    pub query: QueryApi,
    /// `/v1/conversations`
    pub conversations: ConversationsApi,
    /// `/v1/reports`
    pub named: ReportsApi,
    /// `/v1/catalog`
    pub catalog: CatalogApi,
    /// `/v1/now`
    pub now: NowApi,
    /// `/v1/live`
    pub live: LiveApi,
    /// `/v1/lookups`
    pub lookups: LookupsApi,
    /// `/v1/users` and `/v1/now/users`
    pub users: UsersApi,
    /// `/v1/cache`
    pub cache: CacheApi,
    /// The upstream's own paths.
    pub gateway: GatewayApi,
    /// `/v1/quota`
    pub quota: QuotaApi,
    /// Health, metrics, documents.
    pub service: ServiceApi,
    /// What stands before the routes that cost something.
    pub guards: Guards,
    /// Origins whose pages may read answers; `*` is any.
    pub cors_origins: Vec<String>,
    /// How requests are traced.
    pub tracing: Tracing,
}

/// What a request has to pass.
pub struct Guards {
    /// Who may ask.
    pub keys: Keys,
    /// From a request's head to its answer's head.
    pub request_timeout: Duration,
    /// The places of the service.
    pub admission: Admission,
    /// What may be sent as a body.
    pub bodies: Bodies,
    /// What is done for those who do not stay for the answer; `/v1/jobs`.
    pub jobs: Jobs,
}

/// The service as its callers see it. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Api {
    at_once: Option<Arc<AtOnce>>,
    routes: Router,
}

impl Api {
    /// Every route behind every layer, ready to serve.
    pub fn new(parts: Parts) -> Self {
        let at_once = AtOnce {
            again: parts.query.again.clone(),
            keys: parts.guards.keys.clone(),
            reports: parts.query.reports.clone(),
            library: parts.named.library.clone(),
            warm: parts.named.warm.clone(),
            clock: parts.query.clock.clone(),
            tracing: parts.tracing.clone(),
            cors: cors(&parts.cors_origins),
        };
        Self {
            at_once: Some(Arc::new(at_once)),
            routes: router(parts),
        }
    }

    /// Answers a request: at once, if the same was answered before and would be answered the same; else by its route.
    pub async fn answer(&self, mut request: Request) -> Response {
        if let Some(at_once) = &self.at_once {
            // A panic there is no reason not to try here.
            let answer = AssertUnwindSafe(at_once.answer(&mut request)).catch_unwind().await;
            if let Ok(Some(answer)) = answer {
                return answer;
            }
        }
        // Small, so that what is answered at once is moved about less.
        let Ok(answer) = Box::pin(self.routes.clone().oneshot(request)).await;
        answer
    }
}

/// Nothing that was answered is known again.
#[cfg(test)]
impl From<Router> for Api {
    fn from(routes: Router) -> Self {
        Self { at_once: None, routes }
    }
}

/// Every route behind every layer.
fn router(parts: Parts) -> Router {
    let guarded = Router::new()
        .merge(query_routes().split_for_parts().0.with_state(parts.query))
        .merge(
            conversation_routes()
                .split_for_parts()
                .0
                .with_state(parts.conversations),
        )
        .merge(now_routes().split_for_parts().0.with_state(parts.now))
        .merge(lookup_routes().split_for_parts().0.with_state(parts.lookups))
        .merge(user_routes().split_for_parts().0.with_state(parts.users))
        .merge(cache_routes().split_for_parts().0.with_state(parts.cache))
        .merge(quota_routes().split_for_parts().0.with_state(parts.quota))
        .merge(report_routes().split_for_parts().0.with_state(parts.named))
        .merge(catalog_routes().split_for_parts().0.with_state(parts.catalog))
        .merge(gateway::routes().with_state(parts.gateway));
    // They last as long as somebody watches, and have places of their own.
    let watched = live_routes()
        .split_for_parts()
        .0
        .with_state(parts.live)
        .merge(job_routes().split_for_parts().0.with_state(parts.guards.jobs.clone()));
    // Asks for credentials of its own.
    let tokens = Router::new()
        .route(gateway::TOKEN, post(gateway::token::post))
        .route_layer(middleware::from_fn_with_state(
            Bodies::new(gateway::token::MAX_BODY_BYTES),
            asking_for_a_token,
        ))
        .with_state(parts.guards.keys.clone());
    // Health, metrics and documents answer whatever the load, and need no credential.
    let open = service_routes()
        .split_for_parts()
        .0
        .route("/page/{name}", get(front::part))
        .route("/docs", get(service::docs))
        .route("/docs/", get(service::docs_index))
        .route("/docs/{*path}", get(service::docs_path))
        // Documents and scripts shrink to a third.
        .layer(CompressionLayer::new())
        .with_state(parts.service);
    let router: Router = wrap(
        guard(guarded, watched, parts.guards).merge(tokens).merge(open),
        &parts.cors_origins,
        parts.tracing,
    );
    // Builds every layer now; without it some are built anew for each request.
    router.with_state(())
}

/// Puts what must be passed before the routes that cost something, and before those that are watched.
///
/// Routes only: that a method does not exist is no secret. Few layers, each of which calls what it is made of: every layer
/// of axum's is allocated for every request, with all that is beneath it.
fn guard(routes: Router, watched: Router, guards: Guards) -> Router {
    let guards = Arc::new(guards);
    routes
        .route_layer(middleware::from_fn_with_state(Arc::clone(&guards), in_a_place))
        .merge(watched.route_layer(middleware::from_fn_with_state(Arc::clone(&guards), in_time)))
        .route_layer(middleware::from_fn_with_state(guards, known))
}

/// Lets in who may ask, and hands on who does not stay for the answer.
async fn known(State(guards): State<Arc<Guards>>, request: Request, next: Next) -> Response {
    // Before all that costs anything. Routes that stand open answer on crowded connections too.
    let mut response = limits::crowd(request, async |request| {
        // Strangers and the over-eager are turned away before they can take a place.
        auth::authenticate(&guards.keys, request, async |request, caller| {
            // Before the time a request may take begins: who does not stay gives it more.
            jobs::respond(&guards.jobs, caller, request, next).await
        })
        .await
    })
    .await;
    vary(response.headers_mut());
    response
}

/// Takes in what is sent for a token.
async fn asking_for_a_token(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    limits::crowd(request, async |request| {
        limits::body(&bodies, request, async |request| next.run(request).await).await
    })
    .await
}

/// Works on a request in its time, in a place of the service.
async fn in_a_place(State(guards): State<Arc<Guards>>, request: Request, next: Next) -> Response {
    // Waiting for a place counts.
    limits::deadline(guards.request_timeout, request, async |request, deadline| {
        // Outside of the places, so that a body that comes slowly takes none.
        limits::body(&guards.bodies, request, async |request| {
            // Last, when nothing else can refuse any more; refused at once when the queue is full.
            limits::admit(&guards.admission, deadline, request, async |request| {
                next.run(request).await
            })
            .await
        })
        .await
    })
    .await
}

/// Begins what lasts as long as somebody watches: in its time, in no place.
async fn in_time(State(guards): State<Arc<Guards>>, request: Request, next: Next) -> Response {
    limits::deadline(guards.request_timeout, request, async |request, _| {
        next.run(request).await
    })
    .await
}

/// Puts what every request passes before every route, and before none.
fn wrap(routes: Router, cors_origins: &[String], tracing: Tracing) -> Router {
    routes
        .fallback(|| async { Problem::new(ProblemKind::NotFound) })
        .layer(middleware::from_fn(answered))
        // Outside of failures, so that a page may read those too.
        .layer(cors(cors_origins))
        .layer(middleware::from_fn_with_state(tracing, observed))
}

/// Has every request answered, and every failure in one shape, that of a panic included.
async fn answered(request: Request, next: Next) -> Response {
    problem::render(request, async |request| {
        let asked = async {
            // Oversized heads are refused before anything looks into them.
            limits::head(request, async |request| next.run(request).await).await
        };
        // A panic is one caller's 500 and nobody else's concern.
        let asked = AssertUnwindSafe(asked).catch_unwind().await;
        asked.unwrap_or_else(|_| Problem::new(ProblemKind::Internal).into_response())
    })
    .await
}

/// Sees a request from outside: under its id, within its span, it is counted, timed and logged.
async fn observed(State(tracing): State<Tracing>, request: Request, next: Next) -> Response {
    observe::identify(request, async |request| {
        observe::trace(&tracing, request, async |request| {
            observe::measure(request, async |request| {
                let mut response = next.run(request).await;
                secure(response.headers_mut());
                response
            })
            .await
        })
        .await
    })
    .await
}

/// The `OpenAPI` document of these routes, each report an operation of its own.
pub fn document(shelf: &Shelf) -> Value {
    let mut routes = query_routes().into_openapi();
    routes.merge(conversation_routes().into_openapi());
    routes.merge(now_routes().into_openapi());
    routes.merge(live_routes().into_openapi());
    routes.merge(job_routes().into_openapi());
    routes.merge(lookup_routes().into_openapi());
    routes.merge(user_routes().into_openapi());
    routes.merge(cache_routes().into_openapi());
    routes.merge(report_routes().into_openapi());
    routes.merge(catalog_routes().into_openapi());
    routes.merge(quota_routes().into_openapi());
    routes.merge(service_routes().into_openapi());
    openapi::document(routes, shelf)
}

fn query_routes() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(query::get, query::post))
}

fn conversation_routes() -> OpenApiRouter<ConversationsApi> {
    OpenApiRouter::new().routes(routes!(conversations::get, conversations::post))
}

fn now_routes() -> OpenApiRouter<NowApi> {
    OpenApiRouter::new().routes(routes!(now::queues))
}

fn live_routes() -> OpenApiRouter<LiveApi> {
    OpenApiRouter::new().routes(routes!(live::queues))
}

fn job_routes() -> OpenApiRouter<Jobs> {
    OpenApiRouter::new()
        .routes(routes!(jobs::get, jobs::delete))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::result))
}

fn lookup_routes() -> OpenApiRouter<LookupsApi> {
    OpenApiRouter::new().routes(routes!(lookups::get))
}

fn user_routes() -> OpenApiRouter<UsersApi> {
    OpenApiRouter::new()
        .routes(routes!(users::details))
        .routes(routes!(users::now))
}

fn cache_routes() -> OpenApiRouter<CacheApi> {
    OpenApiRouter::new().routes(routes!(cache::get, cache::delete))
}

fn report_routes() -> OpenApiRouter<ReportsApi> {
    OpenApiRouter::new()
        .routes(routes!(reports::list))
        .routes(routes!(reports::get))
        .routes(routes!(reports::definition))
        .routes(routes!(links::post))
}

fn quota_routes() -> OpenApiRouter<QuotaApi> {
    OpenApiRouter::new().routes(routes!(quota::get))
}

fn catalog_routes() -> OpenApiRouter<CatalogApi> {
    OpenApiRouter::new().routes(routes!(catalog::get))
}

fn service_routes() -> OpenApiRouter<ServiceApi> {
    OpenApiRouter::new()
        .routes(routes!(service::live))
        .routes(routes!(service::ready))
        .routes(routes!(service::metrics))
        .routes(routes!(service::document))
        .routes(routes!(front::front))
}

/// Without origins it still answers preflights, with nothing allowed, and says that the origin matters.
fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::list([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            auth::API_KEY,
            jobs::PREFER,
            sse::LAST_EVENT_ID,
            observe::REQUEST_ID,
            // A page that is traced says of which trace its requests are part.
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            // What the vendor's SDK says of itself.
            HeaderName::from_static("purecloud-sdk"),
        ]))
        .expose_headers(ExposeHeaders::list([
            header::AGE,
            header::CONTENT_DISPOSITION,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            auth::RATE_LIMIT,
            auth::RATE_LIMIT_POLICY,
            conditional::CACHE_STATUS,
            conditional::DATA_AS_OF,
            conditional::DATA_COMPLETE,
            jobs::PREFERENCE_APPLIED,
            observe::REQUEST_ID,
        ]))
        .max_age(Duration::from_hours(1))
}

/// The request fields that decide about an answer, and so must be equal for a cache to reuse it.
fn vary(headers: &mut HeaderMap) {
    let fields = HeaderValue::from_static("accept, accept-encoding, authorization, x-api-key");
    headers.append(header::VARY, fields);
}

/// What browsers are told about everything that is not a page; pages state a policy of their own.
fn secure(headers: &mut HeaderMap) {
    const FIELDS: [(HeaderName, HeaderValue); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
    ];
    for (name, value) in FIELDS {
        headers.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::StatusCode};
    use http_body_util::BodyExt as _;

    use crate::{clock::Clock, config::AuthSettings, traces::Tracer};

    #[test]
    fn the_checked_in_document_is_the_one_served() {
        let checked_in = include_str!("../../openapi/openapi.json");
        assert!(
            openapi::pretty(&document(&Shelf::built_in("2026-03-01T00:00:00Z".parse().unwrap()))) == checked_in,
            "openapi/openapi.json is out of date: `cargo run -- openapi > openapi/openapi.json`"
        );
    }

    /// The layers around routes that show what they do.
    fn layers(places: usize) -> Router {
        let guards = Guards {
            keys: Keys::new(
                &AuthSettings {
                    keys: Vec::new(),
                    key_source: crate::config::KeySource::default(),
                    anonymous: false,
                    token_secret: None,
                    token_lifetime: Duration::from_hours(1),
                    jwt: None,
                },
                Clock::system(),
            )
            .unwrap(),
            request_timeout: Duration::from_secs(30),
            admission: Admission::new(places, 0),
            bodies: Bodies::new(1024),
            jobs: Jobs::new(
                Clock::system(),
                Duration::from_mins(1),
                tokio_util::sync::CancellationToken::new(),
            ),
        };
        let routes = Router::new()
            .route("/v1/ok", get(|| async { "answer" }))
            .route(
                "/v1/json",
                post(|params::JsonBody(body): params::JsonBody| async move { body.to_string() }),
            )
            .route("/v1/panic", get(panics))
            .route("/v1/never", get(std::future::pending::<()>))
            .route("/v1/bare", get(|| async { StatusCode::IM_A_TEAPOT }));
        let watched = Router::new().route("/v1/watched", get(|| async { "seen" }));
        wrap(
            guard(routes, watched, guards),
            &["https://page.example".to_owned()],
            Tracing {
                tracer: Tracer::default(),
                scheme: "http",
            },
        )
    }

    async fn panics() {
        panic!("private")
    }

    fn request(method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path)
    }

    async fn ask(router: &Router, request: Request) -> (StatusCode, HeaderMap, String) {
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_a_problem_with_the_requests_id() {
        let router = layers(1);
        let json = "application/json";
        for (request, status) in [
            (request("GET", "/nowhere").body(Body::empty()), 404),
            (request("DELETE", "/v1/ok").body(Body::empty()), 405),
            (request("GET", "/v1/panic").body(Body::empty()), 500),
            (request("GET", "/v1/never").body(Body::empty()), 504),
            (request("GET", "/v1/bare").body(Body::empty()), 400),
            (
                request("GET", &format!("/{}", "x".repeat(limits::URI_BYTES))).body(Body::empty()),
                414,
            ),
            (
                request("GET", "/v1/ok")
                    .header("x", "y".repeat(limits::HEADER_BYTES))
                    .body(Body::empty()),
                431,
            ),
            (request("POST", "/v1/json").body(Body::from("{}")), 415),
            (
                request("POST", "/v1/json")
                    .header("content-type", json)
                    .body(Body::from("{")),
                400,
            ),
            (
                request("POST", "/v1/json")
                    .header("content-type", json)
                    .body(Body::from(" ".repeat(1025))),
                413,
            ),
        ] {
            let request = request.unwrap();
            let what = format!("{} {:.20}", request.method(), request.uri().path());
            let (found, headers, body) = ask(&router, request).await;
            assert_eq!(found.as_u16(), status, "{what}");
            assert_eq!(headers[header::CONTENT_TYPE], problem::MEDIA_TYPE, "{what}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status, "{what}");
            assert_eq!(
                problem["requestId"],
                headers[observe::REQUEST_ID].to_str().unwrap(),
                "{what}"
            );
            assert!(!body.contains("private"), "{body}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{what}");
        }
    }

    #[tokio::test]
    async fn a_wrong_method_is_told_the_right_ones() {
        let (_, headers, _) = ask(&layers(1), request("DELETE", "/v1/ok").body(Body::empty()).unwrap()).await;
        assert_eq!(headers[header::ALLOW], "GET,HEAD");
    }

    #[tokio::test]
    async fn head_is_get_without_the_body() {
        let get = ask(&layers(1), request("GET", "/v1/ok").body(Body::empty()).unwrap()).await;
        let head = ask(&layers(1), request("HEAD", "/v1/ok").body(Body::empty()).unwrap()).await;
        assert_eq!((get.2.as_str(), head.2.as_str()), ("answer", ""));
        for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::VARY] {
            assert_eq!(get.1.get(&name), head.1.get(&name), "{name}");
        }
        assert_eq!(head.1[header::CONTENT_LENGTH], "6");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_service_refuses_at_once() {
        let router = layers(1);
        let waiting = tokio::spawn({
            let router = router.clone();
            async move {
                ask(&router, request("GET", "/v1/never").body(Body::empty()).unwrap())
                    .await
                    .0
            }
        });
        tokio::task::yield_now().await;
        let before = tokio::time::Instant::now();
        let (status, headers, _) = ask(&router, request("GET", "/v1/ok").body(Body::empty()).unwrap()).await;
        assert_eq!(
            (status.as_u16(), headers[header::RETRY_AFTER].as_bytes()),
            (503, &b"1"[..])
        );
        assert_eq!(tokio::time::Instant::now(), before);
        assert_eq!(waiting.await.unwrap(), 504);
        let (status, ..) = ask(&router, request("GET", "/v1/ok").body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200, "the place is free again");
    }

    #[tokio::test]
    async fn only_listed_origins_may_read_answers() {
        for (origin, allowed) in [
            ("https://page.example", true),
            ("https://page.example.evil", false),
            ("http://page.example", false),
            ("null", false),
        ] {
            let asked = request("GET", "/v1/ok")
                .header("origin", origin)
                .body(Body::empty())
                .unwrap();
            let (_, headers, _) = ask(&layers(1), asked).await;
            assert_eq!(
                headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                allowed,
                "{origin}"
            );
            let vary: Vec<_> = headers.get_all(header::VARY).iter().collect();
            assert!(
                vary.iter().any(|value| value.as_bytes().starts_with(b"origin")),
                "{vary:?}"
            );
        }
    }
}
