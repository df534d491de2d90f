//! The header fields that tell where an answer came from, and the 304 that spares sending it again.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http_body::{Frame, SizeHint};
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

/// About as many header fields as an answer has.
const FIELDS: usize = 20;

/// How long a document of this service's own may be reused.
const A_DAY: HeaderValue = HeaderValue::from_static("private, max-age=86400");

/// An answer ready to be sent.
pub struct Representation<'a> {
    /// What it is written in.
    pub content_type: &'static str,
    /// The answer itself.
    pub answer: Bytes,
    /// Whether it is compressed, by gzip.
    pub compressed: bool,
    /// Its [entity tag](entity_tag).
    pub tag: &'a str,
    /// The end of the body, which says how the answer came about, unless the answer has it.
    pub rest: Bytes,
    /// Where it came from.
    pub provenance: &'a Provenance,
    /// How much longer it may be reused.
    pub fresh_for: Duration,
}

/// How long ago the oldest part of an answer was fetched, in seconds.
pub fn age(provenance: &Provenance, now: Timestamp) -> u64 {
    now.duration_since(provenance.as_of).as_secs().max(0).unsigned_abs()
}

/// Where an answer came from and how much longer it may be reused, as header fields.
fn describe(provenance: &Provenance, fresh_for: Duration, now: Timestamp, headers: &mut HeaderMap) {
    let age = age(provenance, now);
    let is_stale = matches!(provenance.cache, CacheUse::Stale | CacheUse::Revalidating(_));
    // `max-age` counts from when the data was fetched, and `Age` says how long ago that is: what a cache has
    // left is the difference, which is what we promise.
    let max_age = if is_stale {
        0
    } else {
        age.saturating_add(fresh_for.as_secs())
    };
    let cache_status = match provenance.cache {
        CacheUse::Hit => format!("genesys-reports; hit; ttl={}", fresh_for.as_secs()),
        CacheUse::Revalidating(past) => format!("genesys-reports; hit; ttl=-{}", whole_seconds(past)),
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

/// Never less than it is: what is past is past by a second at least.
fn whole_seconds(past: Duration) -> u64 {
    past.as_secs() + u64::from(past.subsec_nanos() > 0)
}

/// A whole answer: 304 when the caller holds it already, 200 otherwise.
///
/// Conditions are heard on GET and HEAD; a POST here asks a question and has no stored representation that a
/// condition could be about.
pub fn answer(
    method: &Method,
    request_headers: &HeaderMap,
    representation: Representation<'_>,
    now: Timestamp,
) -> Response {
    let fields = representation.fields(now);
    representation.respond(method, request_headers, fields)
}

impl Representation<'_> {
    /// The header fields of the whole answer. They are the same within a second of its [age] and of what is left of its
    /// freshness.
    pub fn fields(&self, now: Timestamp) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(FIELDS);
        describe(self.provenance, self.fresh_for, now, &mut fields);
        if self.compressed {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        represent(self.content_type, self.tag, &mut fields);
        fields
    }

    /// The answer with these header fields, or 304.
    pub fn respond(self, method: &Method, request_headers: &HeaderMap, fields: HeaderMap) -> Response {
        let body = Pieces([self.answer, self.rest]);
        unless_held(method, request_headers, self.tag, fields, Body::new(body))
    }
}

/// The same of a document that comes from nowhere but this service and changes when the service does.
pub fn document(method: &Method, request_headers: &HeaderMap, content_type: &'static str, body: Bytes) -> Response {
    let digest = Sha256::digest(&body);
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..TAG_BYTES]));
    let mut fields = HeaderMap::from_iter([(header::CACHE_CONTROL, A_DAY)]);
    represent(content_type, &tag, &mut fields);
    unless_held(method, request_headers, &tag, fields, body.into())
}

/// The same of a file of a page, which may be sent compressed: its tag is weak.
pub fn file(method: &Method, request_headers: &HeaderMap, content_type: &'static str, body: Bytes) -> Response {
    let digest = Sha256::digest(&body);
    let tag = format!("W/\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..TAG_BYTES]));
    let mut fields = HeaderMap::new();
    represent(content_type, &tag, &mut fields);
    unless_held(method, request_headers, &tag, fields, body.into())
}

/// What a body is, and which.
fn represent(content_type: &'static str, tag: &str, fields: &mut HeaderMap) {
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::ETAG, HeaderValue::try_from(tag).expect("quoted base64"));
}

fn unless_held(method: &Method, request_headers: &HeaderMap, tag: &str, mut fields: HeaderMap, body: Body) -> Response {
    let is_conditional = matches!(*method, Method::GET | Method::HEAD);
    let is_held = is_conditional && none_match_says_held(request_headers, tag);
    let mut response = if is_held {
        Response::default()
    } else {
        Response::new(body)
    };
    if is_held {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        fields.remove(header::CONTENT_TYPE);
        fields.remove(header::CONTENT_ENCODING);
    }
    *response.headers_mut() = fields;
    response
}

/// Equal figures of the same fetch, equal tag. Weak, because a body also says whether it was held or fetched and
/// what it cost: by that alone, whoever fetched it would be sent it a second time.
pub fn entity_tag(answer: &[u8], provenance: &Provenance) -> String {
    let mut digest = Sha256::new();
    digest.update(provenance.as_of.as_nanosecond().to_be_bytes());
    digest.update(answer);
    let digest = digest.finalize();
    format!("W/\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..TAG_BYTES]))
}

/// Two pieces of bytes as one body; none of them is copied.
struct Pieces([Bytes; 2]);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Whether `If-None-Match` names the tag, compared weakly (RFC 9110, 13.1.2).
fn none_match_says_held(headers: &HeaderMap, tag: &str) -> bool {
    let tag = tag.trim_start_matches("W/");
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
    use proptest::prelude::*;

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
            assert_eq!(none_match_says_held(&request(list), "W/\"a\""), held, "{list}");
        }
        assert!(!none_match_says_held(&HeaderMap::new(), "W/\"a\""));
    }

    #[test]
    fn what_is_held_is_not_sent_again_and_anything_else_is() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let respond = |method: Method, headers: &HeaderMap, body: &'static str, cache: CacheUse, age_s: i64| {
            let provenance = Provenance {
                as_of: now - jiff::SignedDuration::from_secs(age_s),
                complete: true,
                settled_through: now,
                cache,
                upstream_calls: 0,
            };
            let representation = Representation {
                compressed: false,
                content_type: "application/json",
                tag: &entity_tag(&body.as_bytes()[..2], &provenance),
                answer: Bytes::from(&body[..2]),
                rest: Bytes::from(&body[2..]),
                provenance: &provenance,
                fresh_for: Duration::from_secs(20),
            };
            answer(&method, headers, representation, now)
        };
        let first = respond(Method::GET, &HeaderMap::new(), "{}", CacheUse::Miss, 7);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(first.status(), 200);

        let held = respond(Method::GET, &request(&tag), "{} from memory", CacheUse::Hit, 7);
        assert_eq!(held.status(), 304);
        assert_eq!(held.headers()[header::ETAG], tag.as_str());
        assert_eq!(held.headers()[header::AGE], "7");
        assert!(!held.headers().contains_key(header::CONTENT_TYPE));

        for (method, body, age_s) in [(Method::GET, "[]", 7), (Method::GET, "{}", 6), (Method::POST, "{}", 7)] {
            let other = respond(method, &request(&tag), body, CacheUse::Hit, age_s);
            assert_eq!(other.status(), 200, "{body} {age_s}");
        }
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
                CacheUse::Revalidating(Duration::from_millis(14_001)),
                44,
                0,
                "44",
                "private, max-age=0",
                "genesys-reports; hit; ttl=-15",
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

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// Whatever an answer's age and freshness, an independent reader of structured fields understands what is said.
        #[test]
        fn fuzz_cache_status(
            as_of_ms in -300_000_000_000_000..250_000_000_000_000_i64,
            since_ms in any::<i32>(),
            fresh_for in any::<(u64, u32)>(),
            past in any::<(u32, u32)>(),
            which in 0..5_usize,
        ) {
            let past = Duration::new(past.0.into(), past.1 % 1_000_000_000);
            let cache = [CacheUse::Hit, CacheUse::Miss, CacheUse::Collapsed, CacheUse::Stale, CacheUse::Revalidating(past)][which];
            let as_of = Timestamp::from_millisecond(as_of_ms).unwrap();
            let fresh_for = Duration::new(fresh_for.0 % 999_999_999_999_999, fresh_for.1 % 1_000_000_000);
            let provenance = Provenance { as_of, complete: false, settled_through: as_of, cache, upstream_calls: 0 };
            let now = as_of.saturating_add(jiff::SignedDuration::from_millis(since_ms.into())).unwrap();
            let mut headers = HeaderMap::new();
            describe(&provenance, fresh_for, now, &mut headers);
            let status = sfv::Parser::new(headers[CACHE_STATUS].as_bytes()).parse::<sfv::List>().unwrap();
            let [sfv::ListEntry::Item(entry)] = &status[..] else { panic!("one cache: {status:?}") };
            prop_assert_eq!(entry.bare_item.as_token().map(sfv::TokenRef::as_str), Some("genesys-reports"));
            let parameter = |name: &str| entry.params.get(name);
            // RFC 9211: an answer was held or it was forwarded, and `ttl` is what is left of it.
            prop_assert_ne!(parameter("hit").is_some(), parameter("fwd").is_some());
            let ttl = parameter("ttl").map(|ttl| ttl.as_integer().unwrap());
            let ttl = ttl.map(|ttl| i64::from(ttl).signum());
            prop_assert_eq!(ttl.is_some(), parameter("hit").is_some());
            if let CacheUse::Revalidating(past) = cache {
                prop_assert_eq!(ttl, Some(if past.is_zero() { 0 } else { -1 }));
            }
            let age: u64 = headers[header::AGE].to_str().unwrap().parse().unwrap();
            let max_age = headers[header::CACHE_CONTROL].to_str().unwrap().strip_prefix("private, max-age=").unwrap();
            let max_age: u64 = max_age.parse().unwrap();
            // What is left is never more than what is promised.
            prop_assert!(max_age.saturating_sub(age) <= fresh_for.as_secs());
            prop_assert!(headers[DATA_AS_OF].to_str().unwrap().parse::<Timestamp>().is_ok());
        }
    }
}
