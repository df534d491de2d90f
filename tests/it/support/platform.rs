//! The simulated Genesys Cloud as its own customers see it, without this service: what to compare with.

use axum::{Router, body::Body};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::service::{SECRET, Service};

/// Logged in with a token of its own.
pub(crate) struct Platform {
    router: Router,
    token: String,
}

impl Platform {
    pub(crate) async fn log_in(service: &Service) -> Self {
        let router = service.simulator.router();
        let basic = BASE64_STANDARD.encode(format!("simulated-client:{SECRET}"));
        let request = Request::post("/oauth/token")
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("grant_type=client_credentials"));
        let (status, grant) = answer(&router, request.expect("a request")).await;
        assert_eq!(status, 200, "{grant}");
        let token = grant["access_token"].as_str().expect("a token").to_owned();
        Self { router, token }
    }

    /// Status and body of an answer.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Body::from(body));
        answer(&self.router, request.expect("a request")).await
    }
}

async fn answer(router: &Router, request: Request<Body>) -> (u16, Value) {
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    (
        status,
        serde_json::from_slice(&body).expect("the platform answers in JSON"),
    )
}
