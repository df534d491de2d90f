//! The page at `/`: choose a report, see a chart and a table, take the question elsewhere.
//!
//! Its sources stand in `src/page`; what is served is what `npm run build` made of them, checked in and compared by
//! `./test`. All of it comes from the binary, and the page asks the API as any other client would: it knows nothing
//! that a caller with the same key could not find out.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use bytes::Bytes;

use super::{
    conditional,
    problem::{Problem, ProblemKind},
};

/// What the page needs: its own script, styles, an icon that is none, and this service to talk to. The script sets
/// sizes of the chart's canvas through the object model, which needs no `unsafe-inline`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Kept, and asked about each time: script and page must be of one release.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

const PAGE: (&str, &str) = ("text/html; charset=utf-8", include_str!("../page/index.html"));
const SCRIPT: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("../page/dist/app.js"));
const STYLE: (&str, &str) = ("text/css; charset=utf-8", include_str!("../page/style.css"));

/// The front page
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getFrontPage",
    tag = "Service",
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")),
)]
pub async fn front(method: Method, headers: HeaderMap) -> Response {
    let mut response = file(&method, &headers, PAGE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// What the front page is made of.
pub async fn part(method: Method, headers: HeaderMap, Path(name): Path<String>) -> Result<Response, Problem> {
    match name.as_str() {
        "app.js" => Ok(file(&method, &headers, SCRIPT)),
        "style.css" => Ok(file(&method, &headers, STYLE)),
        _ => Err(Problem::new(ProblemKind::NotFound)),
    }
}

fn file(method: &Method, headers: &HeaderMap, (media_type, text): (&'static str, &'static str)) -> Response {
    let mut response = conditional::file(method, headers, media_type, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(header::CACHE_CONTROL, ASK_AGAIN);
    response
}
