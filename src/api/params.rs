//! From a request's parts to what a handler wants: the fields of the question, and how to deliver the answer.
//!
//! The question itself is parsed in [`query`](crate::query); here it is only found (in the body or in the query
//! string) and parted from `format`, `max_age`, `max_stale` and `on_error`, which every route takes alike, and from
//! `explain`, which some take.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{
    format::Format,
    problem::{Problem, ProblemKind},
};
use crate::{
    query::Complaint,
    report::{Freshness, OnError},
};

/// How deeply a body may nest.
const JSON_DEPTH: usize = 32;

/// The longest freshness that can be asked for: a year, in seconds.
pub const MAX_SECONDS: u64 = 31_536_000;

/// What stands in the query string.
#[derive(Clone, Debug)]
pub struct QueryString {
    /// Every parameter as it stands there.
    pub pairs: Vec<(String, String)>,
}

impl QueryString {
    /// That of a target.
    pub fn of(target: &Uri) -> Self {
        let text = target.query().unwrap_or_default();
        Self {
            pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryString {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.uri))
    }
}

/// How to deliver an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The format.
    pub format: Format,
    /// How fresh.
    pub freshness: Freshness,
    /// What to explain beside the answer.
    pub explain: Option<Explain>,
}

/// What can be explained beside an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explain {
    /// How the columns that are worked out come about.
    Formula,
    /// How the answer came about: what was held, what was asked for.
    Plan,
}

impl Explain {
    /// All there are, as `explain=` takes them.
    pub const NAMES: [&str; 2] = ["formula", "1"];

    fn named(name: &str) -> Option<Self> {
        match name {
            "formula" => Some(Self::Formula),
            "1" => Some(Self::Plan),
            _ => None,
        }
    }

    /// Only these formats have a place for it.
    fn fits(format: Format) -> bool {
        matches!(format, Format::Json | Format::Table)
    }
}

/// What a route offers to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    formats: &'static [Format],
    explains: bool,
}

impl Offered {
    /// Formats, and explanations beside those that have a place for them.
    pub fn explained(formats: &'static [Format]) -> Self {
        Self {
            formats,
            explains: true,
        }
    }
}

impl From<&'static [Format]> for Offered {
    fn from(formats: &'static [Format]) -> Self {
        Self {
            formats,
            explains: false,
        }
    }
}

impl Delivery {
    /// Takes its own parameters out of the query string, the rest of its wishes from header fields, and gives
    /// back the parameters it does not know. The format is one of those offered.
    pub fn take(
        query: &QueryString,
        headers: &HeaderMap,
        offered: impl Into<Offered>,
    ) -> Result<(Self, Vec<(String, String)>), DeliveryError> {
        let offered = offered.into();
        let mut taken = Taken::default();
        let mut rest = Vec::new();
        for (name, value) in &query.pairs {
            if !taken.take(name, value, offered) {
                rest.push((name.clone(), value.clone()));
            }
        }
        let format = match taken.format {
            Some(format) => Ok(format),
            None => Format::negotiate(headers, offered.formats),
        };
        if taken.explain.is_some() && format.as_ref().is_ok_and(|format| !Explain::fits(*format)) {
            taken
                .complaints
                .push(Complaint::at("/explain", "needs `format=json` or `format=table`"));
        }
        if !taken.complaints.is_empty() {
            return Err(DeliveryError::Complaints(taken.complaints, rest));
        }
        let format = format.map_err(DeliveryError::NotAcceptable)?;
        let directives = freshness_of(headers);
        let freshness = Freshness {
            max_age: taken.max_age.or(directives.max_age),
            max_stale: taken.max_stale.or(directives.max_stale),
            on_error: taken.on_error.unwrap_or_default(),
        };
        let delivery = Self {
            format,
            freshness,
            explain: taken.explain,
        };
        Ok((delivery, rest))
    }
}

/// Why it cannot be told how to deliver.
#[derive(Debug)]
pub enum DeliveryError {
    /// Parameters with bad values, and the parameters that are not about delivery.
    Complaints(Vec<Complaint>, Vec<(String, String)>),
    /// Nothing acceptable exists.
    NotAcceptable(Problem),
}

impl DeliveryError {
    /// The failure, with what else is wrong with the request found by looking at the remaining parameters.
    pub fn with(self, others: impl FnOnce(&[(String, String)]) -> Vec<Complaint>) -> Problem {
        match self {
            Self::Complaints(mut complaints, rest) => {
                complaints.extend(others(&rest));
                Problem::invalid(complaints)
            }
            Self::NotAcceptable(problem) => problem,
        }
    }
}

/// How to deliver the answer to a question that came as a body. Only parameters about that may stand beside it;
/// what is wrong with either is complained about together.
pub fn beside_body<T>(
    query: &QueryString,
    headers: &HeaderMap,
    offered: impl Into<Offered>,
    parsed: Result<T, Vec<Complaint>>,
) -> Result<(Delivery, T), Problem> {
    let (delivery, rest) = match Delivery::take(query, headers, offered) {
        Ok(taken) => taken,
        Err(error) => return Err(error.with(|rest| [misplaced(rest), parsed.err().unwrap_or_default()].concat())),
    };
    match (parsed, misplaced(&rest)) {
        (Ok(question), misplaced) if misplaced.is_empty() => Ok((delivery, question)),
        (parsed, misplaced) => Err(Problem::invalid([misplaced, parsed.err().unwrap_or_default()].concat())),
    }
}

/// The most unknown parameters complained about one by one; more examples help nobody.
const MISPLACED: usize = 20;

fn misplaced(rest: &[(String, String)]) -> Vec<Complaint> {
    let complaint = |(name, _): &(String, String)| Complaint {
        pointer: pointer(&name.chars().take(64).collect::<String>()),
        detail: "no such parameter beside a body: the question stands in the body".to_owned(),
        suggestion: None,
    };
    rest.iter().take(MISPLACED).map(complaint).collect()
}

/// What has been taken so far, and what was wrong with it.
#[derive(Default)]
struct Taken {
    format: Option<Format>,
    max_age: Option<Duration>,
    max_stale: Option<Duration>,
    on_error: Option<OnError>,
    explain: Option<Explain>,
    complaints: Vec<Complaint>,
}

impl Taken {
    /// Whether the parameter is one about delivery.
    fn take(&mut self, name: &str, value: &str, offered: Offered) -> bool {
        let formats = offered.formats;
        let outcome = match name {
            "format" => put(&mut self.format, Format::named(value, formats), || {
                let names: Vec<_> = formats.iter().map(|format| format!("`{}`", format.name())).collect();
                match names.as_slice() {
                    [others @ .., last] if !others.is_empty() => format!("must be {} or {last}", others.join(", ")),
                    names => format!("must be {}", names.concat()),
                }
            }),
            "max_age" => put(&mut self.max_age, parse_seconds(value), || SECONDS.to_owned()),
            "max_stale" => put(&mut self.max_stale, parse_seconds(value), || SECONDS.to_owned()),
            "on_error" => {
                let on_error = match value {
                    "stale" => Some(OnError::Stale),
                    "fail" => Some(OnError::Fail),
                    _ => None,
                };
                put(&mut self.on_error, on_error, || "must be `stale` or `fail`".to_owned())
            }
            "explain" if offered.explains => put(&mut self.explain, Explain::named(value), || {
                "must be `1` or `formula`".to_owned()
            }),
            _ => return false,
        };
        if let Err(detail) = outcome {
            self.complaints.push(Complaint {
                pointer: pointer(name),
                detail,
                suggestion: None,
            });
        }
        true
    }
}

const SECONDS: &str = "must be whole seconds, from 0 to 31536000";

fn put<T>(slot: &mut Option<T>, parsed: Option<T>, expected: impl FnOnce() -> String) -> Result<(), String> {
    let value = parsed.ok_or_else(expected)?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("is given more than once".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Option<Duration> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS)?;
    Some(Duration::from_secs(seconds))
}

/// A JSON pointer to a top-level field.
pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The request's `Cache-Control`: `max-age`, `no-cache` (as `max-age=0`), `max-stale`. Other directives and
/// malformed ones are passed over, as RFC 9111 (5.2) wants.
pub(super) fn freshness_of(headers: &HeaderMap) -> Freshness {
    let mut freshness = Freshness::default();
    let fields = headers.get_all(header::CACHE_CONTROL).iter();
    for directive in fields
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = parse_seconds(argument.trim().trim_matches('"')).filter(|_| !argument.is_empty());
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" => freshness.max_age = Some(Duration::ZERO),
            "max-age" => freshness.max_age = seconds.into_iter().chain(freshness.max_age).min(),
            "max-stale" => freshness.max_stale = seconds,
            _ => {}
        }
    }
    freshness
}

/// A JSON body.
#[derive(Clone, Debug)]
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .detail("send the query as `Content-Type: application/json`")
                .header(header::ACCEPT, HeaderValue::from_static("application/json")));
        }
        // How much may be sent was judged when it was taken in.
        let body = request.into_body().collect().await;
        let body = body.map_err(|_| Problem::new(ProblemKind::Malformed).detail("the body broke off"))?;
        parse_json(&body.to_bytes()).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse_json(body: &[u8]) -> Result<Value, Problem> {
    if depth(body) > JSON_DEPTH {
        return Err(Problem::new(ProblemKind::Malformed).detail(format!("JSON may nest {JSON_DEPTH} levels deep")));
    }
    serde_json::from_slice(body).map_err(|error| {
        // The parser's own words name a place, not a value.
        Problem::new(ProblemKind::Malformed).detail(format!("the body is not JSON: {error}"))
    })
}

/// How deeply brackets nest outside of strings, malformed text included.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> QueryString {
        QueryString {
            pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect(),
        }
    }

    fn cache_control(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(text))])
    }

    #[test]
    fn delivery_takes_its_own_and_leaves_the_rest() {
        let query = query("select=a&format=ndjson&max_age=60&page=2&on_error=fail&max_stale=5");
        let (delivery, rest) = Delivery::take(&query, &HeaderMap::new(), Format::OF_ROWS).unwrap();
        assert_eq!(delivery.format, Format::Ndjson);
        assert_eq!(
            delivery.freshness,
            Freshness {
                max_age: Some(Duration::from_mins(1)),
                max_stale: Some(Duration::from_secs(5)),
                on_error: OnError::Fail,
            }
        );
        assert_eq!(
            rest,
            [
                ("select".to_owned(), "a".to_owned()),
                ("page".to_owned(), "2".to_owned())
            ]
        );
    }

    #[test]
    fn every_bad_value_is_complained_about() {
        let query = query("format=xml&max_age=-1&max_stale=1.5&on_error=&max_age=1&max_age=2&x=1");
        let error = Delivery::take(&query, &HeaderMap::new(), Format::OF_ROWS).unwrap_err();
        let DeliveryError::Complaints(complaints, rest) = error else {
            panic!("{error:?}")
        };
        let pointers: Vec<&str> = complaints.iter().map(|complaint| complaint.pointer.as_str()).collect();
        assert_eq!(pointers, ["/format", "/max_age", "/max_stale", "/on_error", "/max_age"]);
        assert_eq!(rest.len(), 1);
    }

    #[test]
    fn explanations_are_for_routes_and_formats_that_have_a_place_for_them() {
        let rows = Offered::explained(Format::OF_ROWS);
        for (text, expected) in [
            ("", Ok(None)),
            ("explain=formula", Ok(Some(Explain::Formula))),
            ("explain=formula&format=table", Ok(Some(Explain::Formula))),
            ("explain=formula&format=csv", Err("/explain")),
            ("explain=formula&format=xml", Err("/format")),
            ("explain=1", Ok(Some(Explain::Plan))),
            ("explain=1&format=parquet", Err("/explain")),
            ("explain=true", Err("/explain")),
            ("explain=", Err("/explain")),
            ("explain=formula&explain=formula", Err("/explain")),
        ] {
            let found = match Delivery::take(&query(text), &HeaderMap::new(), rows) {
                Ok((delivery, _)) => Ok(delivery.explain),
                Err(DeliveryError::Complaints(complaints, _)) => {
                    Err(complaints.into_iter().map(|each| each.pointer).collect::<Vec<_>>())
                }
                Err(other) => panic!("{text}: {other:?}"),
            };
            let expected = expected.map_err(|pointer| vec![pointer.to_owned()]);
            assert_eq!(found, expected, "{text}");
        }
        let csv = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/csv"))]);
        assert!(Delivery::take(&query("explain=formula"), &csv, rows).is_err());
        // Elsewhere it is a parameter like any other nobody knows.
        let (delivery, rest) = Delivery::take(&query("explain=formula"), &HeaderMap::new(), Format::OF_ROWS).unwrap();
        assert_eq!((delivery.explain, rest.len()), (None, 1));
    }

    #[test]
    fn cache_control_directives_are_heard() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, max_age, max_stale) in [
            ("max-age=60", seconds(60), None),
            ("no-cache", seconds(0), None),
            ("no-cache, max-age=60", seconds(0), None),
            ("no-cache, max-age=soon", seconds(0), None),
            ("Max-Age=\"7\" , max-stale=9", seconds(7), seconds(9)),
            ("max-stale", None, None),
            ("only-if-cached, no-transform", None, None),
            ("max-age=soon", None, None),
            ("max-age=", None, None),
            ("max-age=99999999999999999999", None, None),
            ("", None, None),
        ] {
            let found = freshness_of(&cache_control(text));
            assert_eq!((found.max_age, found.max_stale), (max_age, max_stale), "{text}");
        }
    }

    #[test]
    fn a_parameter_wins_over_a_directive() {
        let (delivery, _) = Delivery::take(
            &query("max_age=60"),
            &cache_control("no-cache, max-stale=3"),
            Format::OF_ROWS,
        )
        .unwrap();
        assert_eq!(delivery.freshness.max_age, Some(Duration::from_mins(1)));
        assert_eq!(delivery.freshness.max_stale, Some(Duration::from_secs(3)));
    }

    #[test]
    fn json_is_read_to_its_depth() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, good) in [
            ("{}".to_owned(), true),
            (nested(32), true),
            (nested(33), false),
            (format!("\"{}\"", "[".repeat(99)), true),
            (format!("\"\\\"{}\"", "[".repeat(99)), true),
            ("{\"a\":".to_owned(), false),
            (String::new(), false),
            ("{} {}".to_owned(), false),
            ("\u{feff}{}".to_owned(), false),
        ] {
            match parse_json(text.as_bytes()) {
                Ok(_) => assert!(good, "{text}"),
                Err(problem) => {
                    assert!(!good, "{text}");
                    assert_eq!(problem.kind(), ProblemKind::Malformed, "{text}");
                }
            }
        }
    }

    #[test]
    fn only_json_is_json() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(is_json(&headers), expected, "{text}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
