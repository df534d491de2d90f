//! The header fields that tell where an answer came from, and the 304 that spares sending it again.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::table::{CacheUse, Provenance};

/// When the oldest part of the answer was fetched.
pub const DATA_AS_OF: HeaderName = HeaderName::from_static("x-data-as-of");
/// Whether every figure has settled.
pub const DATA_COMPLETE: HeaderName = HeaderName::from_static("x-data-complete");
/// How the cache took part (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Bytes of the digest in an entity tag: enough that two different bodies never meet.
const TAG_BYTES: usize = 16;

/// Where an answer came from and how much longer it may be reused, as header fields.
pub fn describe(provenance: &Provenance, fresh_for: Duration, now: Timestamp, headers: &mut HeaderMap) {
    let age = now.duration_since(provenance.as_of).as_secs().max(0).unsigned_abs();
    let is_stale = provenance.cache == CacheUse::Stale;
    // `max-age` counts from when the data was fetched, and `Age` says how long ago that is: what a cache has
    // left is the difference, which is what we promise.
    let max_age = if is_stale {
        0
    } else {
        age.saturating_add(fresh_for.as_secs())
    };
    let cache_status = match provenance.cache {
        CacheUse::Hit => format!("genesys-reports; hit; ttl={}", fresh_for.as_secs()),
        CacheUse::Miss => "genesys-reports; fwd=miss".to_owned(),
        CacheUse::Collapsed => "genesys-reports; fwd=miss; collapsed".to_owned(),
        CacheUse::Stale => "genesys-reports; fwd=stale; detail=upstream-failed".to_owned(),
    };
    for (name, text) in [
        (header::AGE, age.to_string()),
        (header::CACHE_CONTROL, format!("private, max-age={max_age}")),
        (CACHE_STATUS, cache_status),
        (DATA_AS_OF, format!("{:.3}", provenance.as_of)),
        (DATA_COMPLETE, provenance.complete.to_string()),
    ] {
        headers.insert(
            name,
            HeaderValue::try_from(text).expect("digits, letters and punctuation"),
        );
    }
}

/// A whole answer: 304 when the caller holds these very bytes already, 200 otherwise.
///
/// Conditions are heard on GET and HEAD; a POST here asks a question and has no stored representation that a
/// condition could be about.
pub fn answer(
    method: &Method,
    request_headers: &HeaderMap,
    media_type: &'static str,
    body: Bytes,
    describe: impl FnOnce(&mut HeaderMap),
) -> Response {
    let tag = entity_tag(&body);
    let is_conditional = matches!(*method, Method::GET | Method::HEAD);
    let is_held = is_conditional && none_match_says_held(request_headers, &tag);
    let mut response = if is_held {
        Response::default()
    } else {
        Response::new(body.into())
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("quoted base64"));
    describe(headers);
    if is_held {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    response
}

/// A strong tag: equal bytes, equal tag, on every replica.
fn entity_tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..TAG_BYTES]))
}

/// Whether `If-None-Match` names the tag, compared weakly (RFC 9110, 13.1.2).
fn none_match_says_held(headers: &HeaderMap, tag: &str) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter();
    fields
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.trim() == "*" || tags(list).any(|listed| listed == tag))
}

/// The opaque tags of a list, quotes included. Tags may hold commas, so the list cannot be split at them; it
/// ends where it stops being one.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let start = start.strip_prefix("W/").unwrap_or(start);
        let length = start.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = start.split_at(length);
        rest = after;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(if_none_match: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(if_none_match).unwrap())])
    }

    #[test]
    fn a_tag_is_found_in_every_legal_spelling_of_the_list() {
        for (list, held) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\",W/\"a\" ", true),
            (", ,\"a\"", true),
            ("\"x,y\", \"a\"", true),
            ("*", true),
            (" * ", true),
            ("\"b\"", false),
            ("a", false),
            ("\"a", false),
            ("w/\"a\"", false),
            ("\"A\"", false),
            ("\"b\" junk, \"a\"", false),
            ("", false),
        ] {
            assert_eq!(none_match_says_held(&request(list), "\"a\""), held, "{list}");
        }
        assert!(!none_match_says_held(&HeaderMap::new(), "\"a\""));
    }

    #[test]
    fn held_bytes_are_not_sent_again_and_other_bytes_are() {
        let respond = |method: Method, headers: &HeaderMap, body: &'static str| {
            answer(&method, headers, "application/json", Bytes::from(body), |headers| {
                headers.insert(header::AGE, HeaderValue::from_static("7"));
            })
        };
        let first = respond(Method::GET, &HeaderMap::new(), "{}");
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(first.status(), 200);

        let held = respond(Method::GET, &request(&tag), "{}");
        assert_eq!(held.status(), 304);
        assert_eq!(held.headers()[header::ETAG], tag.as_str());
        assert_eq!(held.headers()[header::AGE], "7");
        assert!(!held.headers().contains_key(header::CONTENT_TYPE));

        assert_eq!(respond(Method::GET, &request(&tag), "[]").status(), 200);
        assert_eq!(respond(Method::POST, &request(&tag), "{}").status(), 200);
    }

    #[test]
    fn provenance_is_told() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (cache, age_s, fresh_s, age, cache_control, cache_status) in [
            (
                CacheUse::Hit,
                100,
                20,
                "100",
                "private, max-age=120",
                "genesys-reports; hit; ttl=20",
            ),
            (
                CacheUse::Miss,
                0,
                60,
                "0",
                "private, max-age=60",
                "genesys-reports; fwd=miss",
            ),
            (
                CacheUse::Collapsed,
                1,
                60,
                "1",
                "private, max-age=61",
                "genesys-reports; fwd=miss; collapsed",
            ),
            (
                CacheUse::Stale,
                900,
                0,
                "900",
                "private, max-age=0",
                "genesys-reports; fwd=stale; detail=upstream-failed",
            ),
            // A clock that stepped back is no reason for a negative age.
            (
                CacheUse::Hit,
                -5,
                20,
                "0",
                "private, max-age=20",
                "genesys-reports; hit; ttl=20",
            ),
        ] {
            let provenance = Provenance {
                as_of: now - jiff::SignedDuration::from_secs(age_s),
                complete: true,
                settled_through: now,
                cache,
                upstream_calls: 0,
            };
            let mut headers = HeaderMap::new();
            describe(&provenance, Duration::from_secs(fresh_s), now, &mut headers);
            assert_eq!(headers[header::AGE], age);
            assert_eq!(headers[header::CACHE_CONTROL], cache_control);
            assert_eq!(headers[CACHE_STATUS], cache_status);
            assert_eq!(headers[DATA_COMPLETE], "true");
        }
    }
}
