//! `POST /oauth/token`: a key's name and the key, as an OAuth client's id and secret, for a short-lived token.

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::api::{
    auth::Keys,
    problem::{Problem, ProblemKind},
};

/// Far above what the form needs.
pub(in crate::api) const MAX_BODY_BYTES: usize = 16 << 10;

/// The one grant there is: others need a person.
const CLIENT_CREDENTIALS: &str = "client_credentials";

/// Gives a token (RFC 6749, 4.4). Credentials stand in `Authorization: Basic` or in the form.
pub(in crate::api) async fn post(
    State(keys): State<Keys>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    if !is_form(&headers) {
        return Err(Problem::new(ProblemKind::UnsupportedMediaType)
            .detail("send the form as `Content-Type: application/x-www-form-urlencoded`"));
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    // Some programs say which grant in the query string, and the upstream listens.
    let query: Vec<(String, String)> = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .filter(|(name, _)| name == "grant_type")
        .collect();
    let grant_type = field(&form, "grant_type")?.or(field(&query, "grant_type")?);
    match grant_type {
        Some(CLIENT_CREDENTIALS) => {}
        Some(_) => {
            return Err(Problem::new(ProblemKind::UnsupportedGrant)
                .detail(format!("only grant_type={CLIENT_CREDENTIALS} is given here")));
        }
        None => return Err(malformed("grant_type is missing")),
    }
    let in_form = match (field(&form, "client_id")?, field(&form, "client_secret")?) {
        (Some(name), Some(key)) => Some((name.to_owned(), key.to_owned())),
        _ => None,
    };
    let grant = match (headers.get(header::AUTHORIZATION), in_form) {
        (Some(_), Some(_)) => {
            return Err(malformed(
                "credentials stand in the header field and in the form: send one",
            ));
        }
        (Some(value), None) => basic(value).and_then(|(name, key)| keys.grant(&name, &key)),
        (None, Some((name, key))) => keys.grant(&name, &key),
        (None, None) => None,
    };
    let grant = grant.ok_or_else(refused)?;
    let answer = json!({
        "access_token": grant.token, "token_type": "bearer", "expires_in": grant.lifetime.as_secs(),
    });
    let no_store = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    Ok((no_store, Json(answer)).into_response())
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn field<'f>(form: &'f [(String, String)], name: &str) -> Result<Option<&'f str>, Problem> {
    let mut values = form
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_str());
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(malformed("a field is there more than once")),
    }
}

/// Id and secret, as they are: that each be form-encoded first (RFC 6749, 2.3.1) is what neither the upstream nor its
/// SDKs do.
fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, key) = text.split_once(':')?;
    Some((name.to_owned(), key.to_owned()))
}

fn malformed(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::Malformed).detail(detail)
}

/// Whether the name or the key is wrong is not said.
fn refused() -> Problem {
    Problem::new(ProblemKind::Unauthenticated)
        .detail("client_id and client_secret are the name of a key and the key")
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"genesys-reports\""),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_a_name_and_a_key() {
        let encoded = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (value, expected) in [
            (encoded("wallboard:grk_x"), Some(("wallboard", "grk_x"))),
            (encoded("name:with:colons"), Some(("name", "with:colons"))),
            (encoded("none"), None),
            (encoded("a:b").replace("Basic", "basic"), Some(("a", "b"))),
            ("Bearer grk_x".to_owned(), None),
            ("Basic %%%".to_owned(), None),
            ("Basic".to_owned(), None),
        ] {
            let found = basic(&HeaderValue::try_from(&value).unwrap());
            let found = found.as_ref().map(|(name, key)| (name.as_str(), key.as_str()));
            assert_eq!(found, expected, "{value}");
        }
    }
}
