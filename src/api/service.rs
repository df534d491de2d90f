//! About the service itself: health, metrics, its documents.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{
    openapi::Served,
    problem::{Problem, ProblemKind},
};
use crate::{
    fleet::{Fleet, FleetState},
    report::Reports,
    telemetry,
    upstream::{self, BreakerState, Client, TokenState},
};

/// What Swagger UI needs: its own scripts, inline styles and pictures, and this service to talk to.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What the routes need.
#[derive(Clone)]
pub struct ServiceApi {
    /// What stands between us and the upstream, looked at but not called.
    pub client: Client,
    /// What is held and being fetched.
    pub reports: Reports,
    /// Other replicas, not asked either.
    pub fleet: Fleet,
    /// Cancelled once the service is stopping.
    pub draining: CancellationToken,
    /// The process's metrics.
    pub metrics: PrometheusHandle,
    /// The `OpenAPI` document.
    pub document: Served,
}

/// Whether the service is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`.
    status: &'static str,
    /// What is not as it should be.
    reasons: Vec<String>,
}

/// Whether the process is up
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "getLiveness",
    tag = "Service",
    responses((status = 200, description = "It is", body = Health)),
)]
pub async fn live() -> Json<Health> {
    Json(Health {
        status: "live",
        reasons: Vec::new(),
    })
}

/// Whether the service could serve now
///
/// What it knows itself: a probe never asks Genesys Cloud.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReadiness",
    tag = "Service",
    responses((status = 200, description = "It could; `reasons` says what is not at its best", body = Health)),
)]
pub async fn ready(State(api): State<ServiceApi>) -> Result<Json<Health>, Problem> {
    let (is_ready, reasons) = readiness(api.draining.is_cancelled(), &api.client.health(), api.fleet.state());
    if !is_ready {
        return Err(Problem::new(ProblemKind::NotReady).reasons(reasons));
    }
    Ok(Json(Health {
        status: "ready",
        reasons,
    }))
}

/// Whether the service can serve, and what is not at its best. An open breaker is no reason to be taken out of
/// rotation: what is held can still be served, and every replica sees the same upstream and the same Redis.
fn readiness(is_draining: bool, upstream: &upstream::Health, fleet: FleetState) -> (bool, Vec<String>) {
    let (can_ask, token) = match upstream.token {
        TokenState::Unknown | TokenState::Valid(_) | TokenState::Expired => (true, None),
        TokenState::Failing => (false, Some("no access token can be had from Genesys Cloud")),
        TokenState::Refused => (false, Some("Genesys Cloud refuses this service's credentials")),
    };
    let breaker = match upstream.breaker {
        BreakerState::Closed => None,
        BreakerState::Open { .. } => Some("Genesys Cloud has been failing and is being left alone"),
        BreakerState::Probing => Some("Genesys Cloud has been failing and is being tried again"),
    };
    let login = match upstream.login_breaker {
        BreakerState::Closed => None,
        BreakerState::Open { .. } => Some("the login service has been failing and is being left alone"),
        BreakerState::Probing => Some("the login service has been failing and is being tried again"),
    };
    let apart = match fleet {
        FleetState::Alone | FleetState::Together => None,
        FleetState::Apart => Some("Redis has been failing and is being left alone: this replica goes on by itself"),
    };
    let stopping = is_draining.then_some("the service is stopping");
    let reasons = [stopping, token, breaker, login, apart]
        .into_iter()
        .flatten()
        .map(str::to_owned);
    (can_ask && !is_draining, reasons.collect())
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "Service",
    responses((status = 200, description = "The text exposition format", body = String, content_type = "text/plain")),
)]
pub async fn metrics(State(api): State<ServiceApi>) -> Response {
    api.gauge();
    let mut response = api.metrics.render().into_response();
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

impl ServiceApi {
    /// Brings up to date what is a state rather than an event.
    fn gauge(&self) {
        let load = self.reports.load();
        let upstream = self.client.health();
        let quota = self.client.quota();
        let is_apart = self.fleet.state() == FleetState::Apart;
        metrics::gauge!(telemetry::FLEET_APART).set(f64::from(u8::from(is_apart)));
        metrics::gauge!(telemetry::HELD_BYTES).set(load.held_bytes as f64);
        metrics::gauge!(telemetry::FETCHES_UNDER_WAY).set(load.fetches_under_way as f64);
        metrics::gauge!(telemetry::UPSTREAM_BUDGET_LEFT).set(quota.left as f64);
        metrics::gauge!(telemetry::UPSTREAM_BUDGET_LIMIT).set(quota.limit as f64);
        metrics::gauge!(telemetry::UPSTREAM_IN_FLIGHT).set(quota.in_flight as f64);
        metrics::gauge!(telemetry::UPSTREAM_GATE_CLOSED).set(quota.gate_closed_for.as_secs_f64());
        for class in quota.classes {
            metrics::gauge!(telemetry::UPSTREAM_WAITING, "class" => class.class.name()).set(class.usage.waiting as f64);
        }
        for (host, breaker) in [("api", upstream.breaker), ("login", upstream.login_breaker)] {
            let is_left_alone = matches!(breaker, BreakerState::Open { .. });
            metrics::gauge!(telemetry::UPSTREAM_LEFT_ALONE, "host" => host).set(f64::from(u8::from(is_left_alone)));
        }
    }
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "Service",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")),
)]
pub async fn document(State(api): State<ServiceApi>) -> Response {
    Json(&*api.document.current().await).into_response()
}

/// The way to the documentation, for those who leave out the last slash.
pub async fn docs() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The documentation's first page: Swagger UI's own, and fit for phones.
pub async fn docs_index() -> Response {
    page(
        "text/html; charset=utf-8",
        DOCS_POLICY,
        include_str!("docs.html").into(),
    )
}

/// A file of the documentation.
pub async fn docs_path(Path(path): Path<String>) -> Result<Response, Problem> {
    docs_file(&path)
}

/// Swagger UI, from the binary: nothing is fetched from elsewhere, nothing about it is sent elsewhere.
fn docs_file(path: &str) -> Result<Response, Problem> {
    let config = utoipa_swagger_ui::Config::new(["/openapi.json"])
        .display_request_duration(true)
        .validator_url("none");
    match utoipa_swagger_ui::serve(path, Arc::new(config)) {
        Ok(Some(file)) => {
            let mut response = page(&file.content_type, DOCS_POLICY, file.bytes.into_owned().into());
            if file.gzpipped {
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            Ok(response)
        }
        Ok(None) => Err(Problem::new(ProblemKind::NotFound)),
        Err(error) => {
            tracing::error!(%error, "Swagger UI cannot be served");
            Err(Problem::new(ProblemKind::Internal))
        }
    }
}

fn page(media_type: &str, policy: &'static str, body: axum::body::Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(media_type) {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn readiness_is_what_is_known_here() {
        let valid = TokenState::Valid(Duration::from_mins(1));
        let open = BreakerState::Open {
            probe_in: Duration::from_secs(1),
        };
        for (draining, token, breaker, ready, reasons) in [
            (false, TokenState::Unknown, BreakerState::Closed, true, 0),
            (false, valid, BreakerState::Closed, true, 0),
            (false, TokenState::Expired, BreakerState::Closed, true, 0),
            (false, TokenState::Refused, BreakerState::Closed, false, 1),
            (false, TokenState::Failing, open, false, 2),
            (false, valid, open, true, 1),
            (false, valid, BreakerState::Probing, true, 1),
            (true, valid, BreakerState::Closed, false, 1),
        ] {
            let health = upstream::Health {
                token,
                breaker,
                login_breaker: BreakerState::Closed,
            };
            let (is_ready, why) = readiness(draining, &health, FleetState::Together);
            assert_eq!((is_ready, why.len()), (ready, reasons), "{health:?} {why:?}");
            let (is_ready, why) = readiness(draining, &health, FleetState::Apart);
            assert_eq!((is_ready, why.len()), (ready, reasons + 1), "{health:?} {why:?}");
        }
    }
}
