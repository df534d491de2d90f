//! Aggregates in the upstream's own words, as a question of the query model, and the figures back in those words.
//!
//! [`question`] takes what the model expresses exactly. Anything else (views, rankings, another time dimension, flattened
//! values, conditions that are not one of some values for each of some dimensions, whatever the catalogue does not know)
//! is none, and is passed on as it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::interval;
use crate::{
    query::{
        AggregateQuery, Dimension, Filter, Metric, Source, Zone,
        catalogue::{DIMENSIONS, METRICS, Qualifier, Rollup},
    },
    table::{SliceRow, Stats},
};

/// The dimension by which the upstream tells rows apart unasked.
const MEDIA_TYPE: &str = "mediaType";

/// The question, if the model expresses it exactly.
pub(super) fn question(source: Source, body: &Value) -> Option<AggregateQuery> {
    let body = Body::deserialize(body).ok()?;
    let is_plain = body.views.is_none_or(|views| views.is_empty())
        && !body.flatten_multivalued_dimensions.unwrap_or(false)
        && body.alternate_time_dimension.is_none_or(|time| time == "eventTime")
        && body.query_type.is_none_or(|kind| kind == "groupBy")
        && body.sort_metric.is_none()
        && body.limit.is_none();
    if !is_plain {
        return None;
    }
    let range = interval::of(&Value::from(body.interval))?;
    let dimensions = body.group_by.unwrap_or_default().into_iter();
    let group_by: BTreeSet<_> = dimensions
        .map(|name| dimension(name).filter(|dimension| dimension.groupable.contain(source)))
        .collect::<Option<_>>()?;
    let metrics: BTreeSet<_> = body
        .metrics
        .into_iter()
        .map(|name| metric(source, name))
        .collect::<Option<_>>()?;
    if metrics.is_empty() {
        return None;
    }
    Some(AggregateQuery {
        source,
        range,
        granularity: body.granularity.map(str::parse).transpose().ok()?,
        time_zone: body.time_zone.map_or(Some(Zone::utc()), Zone::named)?,
        group_by: group_by.into_iter().collect(),
        metrics: metrics.into_iter().collect(),
        filter: body
            .filter
            .map_or(Some(Filter::default()), |filter| filter.read(source))?,
    })
}

/// The dimension of that name.
pub(super) fn dimension(upstream: &str) -> Option<&'static Dimension> {
    DIMENSIONS.iter().find(|dimension| dimension.upstream == upstream)
}

/// A metric whose figures are held as they come. Of states of users, whose parts bear the organisation's own ids beside a
/// table of them, that cannot be said; nor of what the upstream tells of that is not known.
fn metric(source: Source, upstream: &str) -> Option<&'static Metric> {
    let mut known = METRICS.iter().filter(|metric| metric.source == source);
    let metric = known.find(|metric| metric.upstream == upstream)?;
    let is_held_whole = metric.qualifier == Qualifier::None && metric.rollup != Rollup::None;
    is_held_whole.then_some(metric)
}

/// Of the fields that may be there, these are known; another one makes it another question.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'b> {
    interval: &'b str,
    granularity: Option<&'b str>,
    time_zone: Option<&'b str>,
    #[serde(borrow)]
    group_by: Option<Vec<&'b str>>,
    #[serde(borrow)]
    filter: Option<FilterBody<'b>>,
    #[serde(borrow)]
    metrics: Vec<&'b str>,
    flatten_multivalued_dimensions: Option<bool>,
    views: Option<Vec<Value>>,
    alternate_time_dimension: Option<&'b str>,
    query_type: Option<&'b str>,
    sort_metric: Option<Value>,
    limit: Option<Value>,
}

/// A filter, or a clause of one, which has no clauses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterBody<'b> {
    r#type: &'b str,
    #[serde(borrow)]
    clauses: Option<Vec<FilterBody<'b>>>,
    #[serde(borrow)]
    predicates: Option<Vec<Predicate<'b>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Predicate<'b> {
    r#type: Option<&'b str>,
    dimension: &'b str,
    operator: Option<&'b str>,
    value: &'b str,
    property_type: Option<Value>,
    property: Option<Value>,
    metric: Option<Value>,
    range: Option<Value>,
}

/// For every dimension, the values of which it must carry one.
pub(super) type Clauses = BTreeMap<&'static Dimension, BTreeSet<String>>;

/// A filter in the upstream's words, if it is one of some values for each of some dimensions.
pub(super) fn clauses(filter: &Value) -> Option<Clauses> {
    FilterBody::deserialize(filter).ok()?.clauses()
}

/// A filter in the upstream's words: one of these values.
pub(super) fn any_of(dimension: &Dimension, values: &BTreeSet<String>) -> Value {
    let predicates = values.iter().map(
        |value| json!({"type": "dimension", "dimension": dimension.upstream, "operator": "matches", "value": value}),
    );
    json!({"type": "or", "predicates": predicates.collect::<Vec<_>>()})
}

impl FilterBody<'_> {
    fn read(&self, source: Source) -> Option<Filter> {
        let clauses = self.clauses()?;
        let all = clauses.keys().all(|dimension| dimension.filterable.contain(source));
        all.then_some(Filter { clauses })
    }

    fn clauses(&self) -> Option<Clauses> {
        let predicates = self.predicates.iter().flatten().map(Predicate::clauses);
        let clauses = self.clauses.iter().flatten().map(Self::clauses);
        let parts: Vec<Clauses> = predicates.chain(clauses).collect::<Option<_>>()?;
        match (self.r#type, parts.len()) {
            (_, 0) => None,
            ("and", _) => parts.into_iter().try_fold(Clauses::new(), and),
            ("or", 1) => parts.into_iter().next(),
            ("or", _) => parts
                .into_iter()
                .map(Some)
                .reduce(|left, right| or(left?, right?))
                .flatten(),
            _ => None,
        }
    }
}

/// Both. Twice the same dimension would have to carry one of either, which is more than one of some.
pub(super) fn and(mut left: Clauses, right: Clauses) -> Option<Clauses> {
    for (dimension, values) in right {
        let known = left.entry(dimension).or_insert_with(|| values.clone());
        if *known != values {
            return None;
        }
    }
    Some(left)
}

/// Either, if both are about one and the same dimension.
fn or(left: Clauses, right: Clauses) -> Option<Clauses> {
    let is_one = left.len() == 1 && left.keys().eq(right.keys());
    is_one.then(|| {
        let values = |clauses: Clauses| clauses.into_iter().next();
        let (left, right) = (values(left)?, values(right)?);
        Some(Clauses::from([(left.0, left.1.into_iter().chain(right.1).collect())]))
    })?
}

impl Predicate<'_> {
    fn clauses(&self) -> Option<Clauses> {
        let is_match = self.r#type.is_none_or(|kind| kind == "dimension")
            && self.operator.is_none_or(|operator| operator == "matches")
            && [&self.property_type, &self.property, &self.metric, &self.range]
                .iter()
                .all(|other| other.is_none());
        let values = BTreeSet::from([self.value.to_owned()]);
        is_match.then(|| Some(Clauses::from([(dimension(self.dimension)?, values)])))?
    }
}

/// The figures in the upstream's words: by group, then by bucket.
pub(super) fn document(query: &AggregateQuery, rows: &[SliceRow]) -> Bytes {
    let mut results: BTreeMap<BTreeMap<&str, &str>, Vec<&SliceRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metrics.iter().any(Option::is_some)) {
        let values = query.group_by.iter().zip(&row.group);
        let values = values.filter_map(|(dimension, value)| Some((dimension.upstream, value.as_deref()?)));
        let media_type = row.media_type.as_deref().map(|media_type| (MEDIA_TYPE, media_type));
        results.entry(values.chain(media_type).collect()).or_default().push(row);
    }
    let results = results.into_iter().map(|(group, mut rows)| {
        rows.sort_unstable_by_key(|row| row.bucket);
        let data: Vec<Value> = rows.into_iter().map(|row| bucket(query, row)).collect();
        object([
            (
                "group",
                object(group.into_iter().map(|(name, value)| (name, value.into()))),
            ),
            ("data", data.into()),
        ])
    });
    let results: Vec<Value> = results.collect();
    Bytes::from(object([("results", results.into())]).to_string())
}

fn bucket(query: &AggregateQuery, row: &SliceRow) -> Value {
    let metrics = query.metrics.iter().zip(&row.metrics).filter_map(|(metric, stats)| {
        let stats = statistics((*stats)?);
        Some(object([("metric", metric.upstream.into()), ("stats", stats)]))
    });
    let metrics: Vec<Value> = metrics.collect();
    object([("interval", row.bucket.to_string().into()), ("metrics", metrics.into())])
}

fn statistics(stats: Stats) -> Value {
    let statistics = Stats::NAMES.into_iter().zip(stats.to_array());
    let there = statistics.filter_map(|(name, value)| {
        let is_share = matches!(name, "ratio" | "target");
        Some((name, if is_share { value?.into() } else { number(value?) }))
    });
    object(there)
}

/// Without a fraction when whole, as the upstream prints all but shares.
fn number(value: f64) -> Value {
    /// Whole numbers up to here are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and in bounds")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn object<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::query::Range;

    const DAY: &str = "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z";

    /// The filter in words, or nothing.
    fn filter(filter: &Value) -> Option<String> {
        let body = json!({"interval": DAY, "metrics": ["nOffered"], "filter": filter});
        let query = question(Source::Conversations, &body)?;
        let clauses = query.filter.clauses.iter().map(|(dimension, values)| {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            format!("{}={}", dimension.upstream, values.join("|"))
        });
        Some(clauses.collect::<Vec<_>>().join(" & "))
    }

    #[test]
    fn conditions_are_taken_that_are_one_of_some_values_for_each_dimension() {
        let is = |dimension: &str, value: &str| json!({"dimension": dimension, "value": value});
        let of = |kind: &str, predicates: Vec<Value>| json!({"type": kind, "predicates": predicates});
        let (a, b, voice) = (is("queueId", "a"), is("queueId", "b"), is("mediaType", "voice"));
        for (asked, expected) in [
            (Value::Null, Some("")),
            (of("and", vec![a.clone()]), Some("queueId=a")),
            (of("or", vec![b.clone(), a.clone(), a.clone()]), Some("queueId=a|b")),
            (
                of("and", vec![a.clone(), voice.clone()]),
                Some("mediaType=voice & queueId=a"),
            ),
            (
                json!({"type": "and", "predicates": [voice], "clauses": [of("or", vec![a.clone(), b.clone()])]}),
                Some("mediaType=voice & queueId=a|b"),
            ),
            (
                json!({"type": "or", "clauses": [of("or", vec![a.clone()]), of("and", vec![b.clone()])]}),
                Some("queueId=a|b"),
            ),
            (
                json!({"type": "and", "predicates": [{"type": "dimension", "dimension": "queueId", "operator": "matches", "value": "a", "range": null}]}),
                Some("queueId=a"),
            ),
            (of("and", vec![a.clone(), b.clone()]), None),
            (of("or", vec![a.clone(), voice.clone()]), None),
            (
                json!({"type": "or", "clauses": [of("and", vec![a.clone(), voice]), of("or", vec![b])]}),
                None,
            ),
            (of("and", vec![]), None),
            (of("xor", vec![a]), None),
            (
                of("and", vec![json!({"dimension": "queueId", "operator": "exists"})]),
                None,
            ),
            (
                of(
                    "and",
                    vec![json!({"dimension": "queueId", "operator": "notExists", "value": "a"})],
                ),
                None,
            ),
            (
                of(
                    "and",
                    vec![json!({"type": "metric", "metric": "tTalk", "range": {"gte": 1}})],
                ),
                None,
            ),
            (of("and", vec![is("nonsense", "a")]), None),
        ] {
            assert_eq!(filter(&asked).as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn what_the_model_does_not_express_is_passed_on() {
        let asked = |more: Value| {
            let mut body = json!({"interval": DAY, "metrics": ["nOffered", "tTalk"], "granularity": "PT30M",
                "timeZone": "Europe/Berlin", "groupBy": ["queueId", "mediaType"]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            question(Source::Conversations, &body).is_some()
        };
        for (more, taken) in [
            (json!({}), true),
            (
                json!({"views": [], "queryType": "groupBy", "flattenMultivaluedDimensions": false}),
                true,
            ),
            (
                json!({"alternateTimeDimension": "eventTime", "granularity": null}),
                true,
            ),
            (json!({"groupBy": []}), true),
            (json!({"granularity": "P1W"}), true),
            (json!({"views": [{"target": "tTalk"}]}), false),
            (json!({"flattenMultivaluedDimensions": true}), false),
            (json!({"alternateTimeDimension": "conversationStart"}), false),
            (json!({"queryType": "topN", "limit": 3}), false),
            (json!({"limit": 3}), false),
            (json!({"sortMetric": {"name": "tTalk"}}), false),
            (json!({"having": {}}), false),
            (json!({"granularity": "PT7M"}), false),
            (json!({"timeZone": "Mars/Olympus"}), false),
            (json!({"groupBy": ["canonicalExternalContactId"]}), false),
            (json!({"groupBy": ["nonsense"]}), false),
            (json!({"metrics": []}), false),
            (json!({"metrics": ["nNonsense"]}), false),
            (json!({"metrics": ["oSkillExpressionApplications"]}), false),
            (json!({"interval": "2026-03-01T00:00:00Z/P1D"}), false),
        ] {
            assert_eq!(asked(more.clone()), taken, "{more}");
        }
        let status = json!({"interval": DAY, "metrics": ["tSystemPresence"]});
        assert!(question(Source::Users, &status).is_none());
    }

    #[test]
    fn figures_are_written_as_the_upstream_writes_them() {
        let body = json!({"interval": DAY, "metrics": ["tTalk", "nOffered"], "groupBy": ["queueId"]});
        let query = question(Source::Conversations, &body).unwrap();
        let bucket = |from: &str, to: &str| {
            let at = |hour: &str| format!("2026-03-01T{hour}:00:00Z").parse().unwrap();
            Range::new(at(from), at(to)).unwrap()
        };
        let row = |queue: Option<&str>, media_type: &str, bucket, metrics| SliceRow {
            group: vec![queue.map(Arc::from)],
            media_type: Some(media_type.into()),
            bucket,
            metrics,
        };
        let offered = |count: f64| {
            Some(Stats {
                count: Some(count),
                ..Stats::default()
            })
        };
        let talk = Stats {
            sum: Some(1500.5),
            max: Some(1000.0),
            ..offered(2.0).unwrap()
        };
        let rows = [
            row(Some("b"), "voice", bucket("01", "02"), vec![None, offered(1.0)]),
            row(None, "voice", bucket("00", "01"), vec![offered(3.0), None]),
            row(Some("b"), "voice", bucket("00", "01"), vec![offered(2.0), Some(talk)]),
            row(Some("b"), "chat", bucket("00", "01"), vec![None, None]),
        ];
        assert_eq!(
            query.metrics.iter().map(|metric| metric.upstream).collect::<Vec<_>>(),
            ["nOffered", "tTalk"]
        );
        let written: Value = serde_json::from_slice(&document(&query, &rows)).unwrap();
        assert_eq!(
            written,
            json!({"results": [
                {"group": {"mediaType": "voice"}, "data": [
                    {"interval": "2026-03-01T00:00:00.000Z/2026-03-01T01:00:00.000Z",
                     "metrics": [{"metric": "nOffered", "stats": {"count": 3}}]}]},
                {"group": {"mediaType": "voice", "queueId": "b"}, "data": [
                    {"interval": "2026-03-01T00:00:00.000Z/2026-03-01T01:00:00.000Z", "metrics": [
                        {"metric": "nOffered", "stats": {"count": 2}},
                        {"metric": "tTalk", "stats": {"count": 2, "max": 1000, "sum": 1500.5}}]},
                    {"interval": "2026-03-01T01:00:00.000Z/2026-03-01T02:00:00.000Z",
                     "metrics": [{"metric": "tTalk", "stats": {"count": 1}}]}]},
            ]})
        );
    }
}
