//! `POST /v1/reports/{name}/links`: an address that shows one report, with fixed parameters and for a time, to whoever has
//! it.
//!
//! The address carries what it shows, signed like the tokens of `POST /oauth/token`; nothing of it is kept here. Whoever
//! has it sees what its maker's key may see at that moment, and nothing once that key is gone.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    auth::Caller,
    page::in_milliseconds,
    params::JsonBody,
    problem::Problem,
    reports::{ReportsApi, find},
};
use crate::{
    config::Scope,
    definitions::bind::PAGING,
    query::{Complaint, in_a_list},
};

/// The parameter that carries what a link shows.
pub const SHARE: &str = "share";

/// Seconds a link is good for, unless it is said otherwise, and at the most.
const WEEK: u64 = 7 * 24 * 3600;
const LONGEST: u64 = 90 * 24 * 3600;
/// An address has room for that.
const MAX_ARGUMENT_BYTES: usize = 2 << 10;

/// Parameters of a report.
type Arguments = Vec<(String, String)>;

/// What a link shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Which report.
    pub report: String,
    /// With which parameters.
    pub arguments: Arguments,
}

/// A link to be made.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: requests are read by hand, to complain of everything at once"
)]
#[schema(example = json!({"parameters": {"from": "last7d"}, "expiresIn": 604_800}))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LinkRequest {
    /// The report's parameters; lists as lists. The page and the format are chosen by who follows the link.
    #[schema(value_type = Object)]
    parameters: (),
    /// Seconds until it shows nothing any more; by default a week.
    #[schema(minimum = 60, maximum = 7_776_000, default = 604_800)]
    expires_in: Option<u64>,
}

/// A link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    /// Where the report is. Whoever has this sees it: no key is asked for.
    #[schema(example = "/v1/reports/queue-performance?share=grs_…")]
    url: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "in_milliseconds")]
    expires_at: Timestamp,
}

/// Share a report
///
/// Makes an address that shows this report with these parameters to whoever has it, in any format, without a key. It shows
/// what the key that made it may see, until it expires or that key is gone.
#[utoipa::path(
    post,
    path = "/v1/reports/{name}/links",
    operation_id = "postReportLink",
    tag = "Reports",
    params(("name" = String, Path, description = "Of which report", example = "queue-performance")),
    request_body(content = LinkRequest, content_type = "application/json"),
    responses((status = 201, description = "The link; `Location` is its address", body = Link)),
)]
pub async fn post(
    State(api): State<ReportsApi>,
    Path(name): Path<String>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let (now, limits) = (api.query.clock.now(), &api.query.limits);
    let definition = find(&*api.library.current(now).await, &name)?;
    let (arguments, seconds) = read(&body).map_err(Problem::invalid)?;
    // What makes no sense now is not shared.
    definition.bind(&arguments, now, limits).map_err(|complaints| {
        let within = |complaint: Complaint| Complaint {
            pointer: format!("/parameters{}", complaint.pointer),
            ..complaint
        };
        Problem::invalid(complaints.into_iter().map(within).collect())
    })?;
    let expires_at = now + SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default());
    let shared = Shared {
        report: definition.name.clone(),
        arguments,
    };
    let token = api.keys.share(&caller, &shared, expires_at)?;
    let url = format!("/v1/reports/{name}?{SHARE}={token}");
    let location = HeaderValue::try_from(&url).map_err(|_| Problem::new(super::problem::ProblemKind::Internal))?;
    let fields = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::CREATED, fields, Json(Link { url, expires_at })).into_response())
}

/// The parameters as a query string would say them, and for how many seconds; or everything that is wrong.
fn read(body: &Value) -> Result<(Arguments, u64), Vec<Complaint>> {
    let mut complaints = Vec::new();
    let Some(members) = body.as_object() else {
        return Err(vec![Complaint::at("", "must be an object")]);
    };
    for name in members
        .keys()
        .filter(|name| !["parameters", "expiresIn"].contains(&name.as_str()))
    {
        let name: String = name.chars().take(64).collect();
        complaints.push(Complaint::at(
            format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            "there is no such field; there are parameters and expiresIn",
        ));
    }
    let seconds = match members.get("expiresIn") {
        None | Some(Value::Null) => Some(WEEK),
        Some(seconds) => seconds.as_u64().filter(|seconds| (60..=LONGEST).contains(seconds)),
    };
    if seconds.is_none() {
        complaints.push(Complaint::at(
            "/expiresIn",
            format!("must be whole seconds, from 60 to {LONGEST}"),
        ));
    }
    let mut arguments = Arguments::new();
    match members.get("parameters") {
        Some(Value::Object(parameters)) => {
            for (name, value) in parameters {
                if PAGING.contains(&name.as_str()) {
                    complaints.push(Complaint::at(
                        format!("/parameters/{name}"),
                        "the page is chosen by who follows the link",
                    ));
                    continue;
                }
                match texts(value) {
                    Some(texts) => arguments.extend(texts.into_iter().map(|text| (name.clone(), text))),
                    None => complaints.push(Complaint::at(
                        format!("/parameters/{}", name.replace('~', "~0").replace('/', "~1")),
                        "must be a text, a number, or a list of those",
                    )),
                }
            }
        }
        _ => complaints.push(Complaint::at("/parameters", "must be an object")),
    }
    let bytes: usize = arguments.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_ARGUMENT_BYTES {
        complaints.push(Complaint::at(
            "/parameters",
            format!("an address has room for {MAX_ARGUMENT_BYTES} bytes of parameters"),
        ));
    }
    complaints.truncate(20);
    match seconds {
        Some(seconds) if complaints.is_empty() => Ok((arguments, seconds)),
        _ => Err(complaints),
    }
}

/// Commas part a list in a query string, so that each of its texts is given by itself.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Array(several) => {
            let one = |value: &Value| match value {
                Value::String(text) => Some(in_a_list([text.as_str()])),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            several.iter().map(one).collect()
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_those_of_a_query_string() {
        let (arguments, seconds) = read(&json!({
            "parameters": {"from": "last7d", "limit": 5, "queue": ["Support", "Sales"]}, "expiresIn": 60
        }))
        .unwrap();
        let written: Vec<_> = arguments
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(written, ["from=last7d", "limit=5", "queue=Support", "queue=Sales"]);
        assert_eq!(seconds, 60);
        assert_eq!(read(&json!({"parameters": {}})).unwrap(), (Vec::new(), WEEK));
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        for (body, pointers) in [
            (json!([]), &[""][..]),
            (
                json!({"parameter": {}, "expiresIn": 59}),
                &["/parameter", "/expiresIn", "/parameters"],
            ),
            (json!({"expiresIn": 7_776_001}), &["/expiresIn", "/parameters"]),
            (
                json!({"parameters": {"page": 2, "from": {}}}),
                &["/parameters/from", "/parameters/page"],
            ),
            (json!({"parameters": "from=x"}), &["/parameters"]),
            (json!({"parameters": {"queue": "x".repeat(3_000)}}), &["/parameters"]),
        ] {
            let complaints = read(&body).unwrap_err();
            let found: Vec<_> = complaints.iter().map(|complaint| complaint.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{body}");
        }
    }
}
