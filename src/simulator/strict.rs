//! Refuses request bodies the real platform would refuse: a field it does not know, a value outside an
//! enumeration, a wrong JSON type, something required left out.
//!
//! Works on the published models alone. What the values *mean* (intervals, page sizes, combinations) is the
//! organisation's to judge.

use serde_json::Value;

use super::{
    errors::{MALFORMED, PlatformError},
    published::{self, Kind, Schema},
    refusal::Refusal,
};

/// Checks a body against the published request model, and complains about the first thing that is wrong.
pub(super) fn check(model: &str, body: &Value) -> Result<(), Complaint> {
    check_model(model, body, "")
}

/// What is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The platform's answer.
    pub(super) refusal: Refusal,
    /// The place in the body, such as `filter.predicates[0].dimension`.
    pub(super) field: String,
}

impl From<Complaint> for PlatformError {
    fn from(complaint: Complaint) -> Self {
        Self::from(complaint.refusal).about(&complaint.field)
    }
}

fn check_model(name: &str, value: &Value, at: &str) -> Result<(), Complaint> {
    let Some(schema) = published::model(name) else {
        return Ok(());
    };
    let Some(fields) = value.as_object() else {
        return Err(malformed(at));
    };
    for (field, value) in fields {
        let at = join(at, field);
        let property = schema.properties.get(field).ok_or_else(|| malformed(&at))?;
        check_value(property, name, field, value, &at)?;
    }
    let is_missing = |field: &str| fields.get(field).is_none_or(Value::is_null);
    for field in &schema.required {
        if is_missing(field) {
            return Err(missing(schema, name, field, at));
        }
    }
    if let Some(field) = subject_of_predicate(name, schema, value).filter(|field| is_missing(field)) {
        return Err(missing(schema, name, field, at));
    }
    Ok(())
}

fn check_value(schema: &Schema, model: &str, field: &str, value: &Value, at: &str) -> Result<(), Complaint> {
    // The platform's JSON binding takes null for "not given", wherever it stands.
    if value.is_null() {
        return Ok(());
    }
    if let Some(model) = schema.referred_model() {
        return check_model(model, value, at);
    }
    match (schema.kind, value) {
        (Some(Kind::Array), Value::Array(elements)) => {
            let Some(items) = &schema.items else { return Ok(()) };
            let mut numbered = elements.iter().enumerate();
            numbered
                .try_for_each(|(number, element)| check_value(items, model, field, element, &format!("{at}[{number}]")))
        }
        (Some(Kind::Object), Value::Object(entries)) => {
            let Some(values) = &schema.additional_properties else {
                return Ok(());
            };
            let mut entries = entries.iter();
            entries.try_for_each(|(key, value)| check_value(values, model, field, value, &join(at, key)))
        }
        (Some(Kind::String), Value::String(text)) => check_text(schema, model, field, text, at),
        (Some(Kind::Integer), Value::Number(number)) if fits(number, schema.format.as_deref()) => Ok(()),
        (Some(Kind::Number), Value::Number(_)) | (Some(Kind::Boolean), Value::Bool(_)) | (None, _) => Ok(()),
        _ => Err(malformed(at)),
    }
}

fn check_text(schema: &Schema, model: &str, field: &str, text: &str, at: &str) -> Result<(), Complaint> {
    if let Some(allowed) = &schema.values
        && !allowed.iter().any(|value| value == text)
    {
        return Err(invalid_value(text, allowed, model, field, at));
    }
    if schema.format.as_deref() == Some("date-time") && text.parse::<jiff::Timestamp>().is_err() {
        let message = "Dates must be specified as ISO-8601 strings. For example: yyyy-MM-ddTHH:mm:ss.SSSZ";
        return Err(complain("invalid.date", message.to_owned(), at));
    }
    Ok(())
}

/// The field a predicate is about, which it may not leave out although no model says "required".
fn subject_of_predicate<'a>(model: &str, schema: &Schema, value: &'a Value) -> Option<&'a str> {
    if !model.ends_with("QueryPredicate") {
        return None;
    }
    let subject = value["type"].as_str().unwrap_or("dimension");
    schema.properties.contains_key(subject).then_some(subject)
}

/// An absent value of an enumeration is answered as if it were the empty text; anything else as malformed.
fn missing(schema: &Schema, model: &str, field: &str, at: &str) -> Complaint {
    let at = join(at, field);
    match schema
        .properties
        .get(field)
        .and_then(|property| property.values.as_ref())
    {
        Some(allowed) => invalid_value("", allowed, model, field, &at),
        None => malformed(&at),
    }
}

fn invalid_value(value: &str, allowed: &[String], model: &str, field: &str, at: &str) -> Complaint {
    let message = format!(
        "Value [{value}] is not valid for field type [{}]. Allowable values are: {}",
        type_name(model, field),
        allowed.join(", ")
    );
    complain("invalid.value", message, at)
}

fn malformed(at: &str) -> Complaint {
    complain("bad.request", MALFORMED.to_owned(), at)
}

fn complain(code: &'static str, message: String, at: &str) -> Complaint {
    Complaint {
        refusal: Refusal::bad_request(code, message),
        field: at.to_owned(),
    }
}

/// The Java-like name under which the platform speaks of a field's type. `QueryFilterType` and the
/// `<Family>AggregateDimension` pattern have been seen; the others follow that pattern and are guesses.
fn type_name(model: &str, field: &str) -> String {
    let family = FAMILY_SUFFIXES
        .iter()
        .find_map(|(suffix, kind)| Some(format!("{}{kind}", model.strip_suffix(suffix)?)));
    match (field, family) {
        ("type", _) if model.ends_with("QueryFilter") || model.ends_with("QueryClause") => "QueryFilterType".to_owned(),
        ("type", _) if model.ends_with("QueryPredicate") => "QueryPredicateType".to_owned(),
        ("operator", _) => "QueryOperator".to_owned(),
        ("dimension" | "groupBy", Some(family)) => format!("{family}Dimension"),
        ("metric" | "metrics" | "detailMetrics" | "target" | "name", Some(family)) => format!("{family}Metric"),
        _ => format!("{model}{}", capitalised(field)),
    }
}

/// Endings of model names that belong to one family, and what the family's enumerations are called by.
const FAMILY_SUFFIXES: &[(&str, &str)] = &[
    ("AsyncAggregationQuery", "Aggregate"),
    ("AggregationQuery", "Aggregate"),
    ("AggregationView", "Aggregate"),
    ("AggregationSort", "Aggregate"),
    ("QueryPredicate", ""),
    ("ObservationQuery", "Observation"),
];

fn capitalised(field: &str) -> String {
    let mut characters = field.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn fits(number: &serde_json::Number, format: Option<&str>) -> bool {
    let Some(number) = number.as_i64() else { return false };
    format != Some("int32") || i32::try_from(number).is_ok()
}

fn join(at: &str, field: &str) -> String {
    if at.is_empty() {
        return field.to_owned();
    }
    format!("{at}.{field}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    macro_rules! sample {
        ($path:literal) => {
            serde_json::from_str::<Value>(include_str!(concat!("genesys/samples/", $path))).unwrap()
        };
    }

    #[test]
    fn the_published_requests_are_accepted() {
        let accepted = [
            (
                "ConversationQuery",
                sample!("conversation-details/request-abandoned-in-queue.json"),
            ),
            (
                "ConversationQuery",
                sample!("conversation-details/request-acd-voice.json"),
            ),
            (
                "ConversationAggregationQuery",
                sample!("conversation-aggregates/request-queue-voice-service-level.json"),
            ),
            (
                "ConversationAggregationQuery",
                sample!("conversation-aggregates/request-agent-scorecard.json"),
            ),
            (
                "ConversationAggregationQuery",
                sample!("composed/conversation-aggregates-request-views.json"),
            ),
            (
                "ConversationActivityQuery",
                sample!("composed/conversation-activity-request.json"),
            ),
            (
                "AsyncConversationQuery",
                sample!("composed/conversation-details-job/1-submit-request.json"),
            ),
            (
                "UserAggregationQuery",
                sample!("composed/user-aggregates-request-pt30m.json"),
            ),
            ("UserDetailsQuery", sample!("user-details/request-all-users.json")),
            ("UserObservationQuery", sample!("user-observations/request.json")),
            ("QueueObservationQuery", sample!("queue-observations/request.json")),
            ("FlowAggregationQuery", sample!("flow-aggregates/request.json")),
        ];
        for (model, body) in accepted {
            assert_eq!(check(model, &body), Ok(()), "{model}: {body}");
        }
    }

    #[test]
    fn plausible_requests_are_refused() {
        let refused = [
            (
                "ConversationQuery",
                sample!("invalid-requests/details-wrong-filter-dimension.json"),
                "invalid.value",
                "conversationFilters[0].predicates[0].dimension",
            ),
            (
                "UserAggregationQuery",
                sample!("invalid-requests/user-aggregates-conversation-metrics.json"),
                "invalid.value",
                "filter.predicates[0].dimension",
            ),
            (
                "UserDetailsQuery",
                sample!("invalid-requests/user-details-orderBy.json"),
                "bad.request",
                "orderBy",
            ),
        ];
        for (model, body, code, field) in refused {
            let complaint = check(model, &body).unwrap_err();
            assert_eq!(
                (complaint.refusal.status, complaint.refusal.code),
                (400, code),
                "{model}"
            );
            assert_eq!(complaint.field, field, "{model}");
        }
    }

    #[test]
    fn the_observed_messages_come_out_word_for_word() {
        let filter_type = sample!("errors/400-invalid.value-filter-type.json");
        let user_dimension = sample!("errors/400-invalid.value-user-dimension.json");
        let cases = [
            (json!({ "interval": "i", "metrics": [], "filter": {} }), filter_type),
            (
                json!({ "interval": "i", "metrics": [], "filter": { "type": "and", "predicates": [{ "value": "x" }] } }),
                user_dimension,
            ),
        ];
        for (body, observed) in cases {
            let refusal = check("UserAggregationQuery", &body).unwrap_err().refusal;
            assert_eq!(json!(refusal.message), observed["message"]);
            assert_eq!(json!(refusal.code), observed["code"]);
        }
    }

    #[test]
    fn each_kind_of_mistake_has_its_answer() {
        let cases = [
            (json!([]), "bad.request", ""),
            (json!({ "metrics": ["nOffered"] }), "bad.request", "interval"),
            (json!({ "interval": 7, "metrics": [] }), "bad.request", "interval"),
            (json!({ "interval": null, "metrics": [] }), "bad.request", "interval"),
            (
                json!({ "interval": "i", "metrics": "nOffered" }),
                "bad.request",
                "metrics",
            ),
            (
                json!({ "interval": "i", "metrics": ["nOffered", "nope"] }),
                "invalid.value",
                "metrics[1]",
            ),
            (
                json!({ "interval": "i", "metrics": [], "groupBy": ["mediatype"] }),
                "invalid.value",
                "groupBy[0]",
            ),
            (
                json!({ "interval": "i", "metrics": [], "limit": 1.5 }),
                "bad.request",
                "limit",
            ),
            (
                json!({ "interval": "i", "metrics": [], "limit": 3_000_000_000_u64 }),
                "bad.request",
                "limit",
            ),
            (
                json!({ "interval": "i", "metrics": [], "dateFrom": "2024-01-01" }),
                "bad.request",
                "dateFrom",
            ),
            (
                json!({ "interval": "i", "metrics": [], "filter": { "type": "or", "predicates": [
                    { "dimension": "queueId", "value": 5 }] } }),
                "bad.request",
                "filter.predicates[0].value",
            ),
            (
                json!({ "interval": "i", "metrics": [], "filter": { "type": "or", "clauses": [
                    { "type": "xor", "predicates": [] }] } }),
                "invalid.value",
                "filter.clauses[0].type",
            ),
        ];
        for (body, code, field) in cases {
            let complaint = check("ConversationAggregationQuery", &body).unwrap_err();
            assert_eq!(
                (complaint.refusal.code, complaint.field.as_str()),
                (code, field),
                "{body}"
            );
        }
    }

    #[test]
    fn types_are_called_as_the_platform_calls_them() {
        let cases = [
            ("UserAggregateQueryFilter", "type", "QueryFilterType"),
            ("ConversationAggregateQueryClause", "type", "QueryFilterType"),
            ("UserAggregateQueryPredicate", "dimension", "UserAggregateDimension"),
            ("UserAggregationQuery", "groupBy", "UserAggregateDimension"),
            ("ConversationAggregationQuery", "metrics", "ConversationAggregateMetric"),
            ("SegmentDetailQueryPredicate", "dimension", "SegmentDetailDimension"),
            ("ConversationQuery", "orderBy", "ConversationQueryOrderBy"),
        ];
        for (model, field, name) in cases {
            assert_eq!(type_name(model, field), name);
        }
    }
}
