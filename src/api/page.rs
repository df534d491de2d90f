//! A page of an answer as JSON: where it stands in the whole, its entities, where they came from.

use std::collections::BTreeSet;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::{catalog::CatalogUnit, limits, rows::TableAnswerColumn};
use crate::{
    encode,
    query::{Column, Page, catalogue, in_a_list},
    report::{Account, Way},
    table::{CacheUse, Provenance, Table, TableColumn},
};

/// Where a page stands in the whole answer. The URIs are relative to this service and ask for the other pages
/// in the GET form, whichever form the question came in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageHead {
    /// This page, from 1.
    #[schema(minimum = 1)]
    pub page: u32,
    /// Entities on a full page.
    #[schema(minimum = 1)]
    pub page_size: u32,
    /// Entities on all pages.
    pub total: u64,
    /// The first page; the URIs are null when the question is too long for one.
    pub first_uri: Option<String>,
    /// The page before, if there is one.
    pub previous_uri: Option<String>,
    /// The page after, if there is one.
    pub next_uri: Option<String>,
    /// The last page.
    pub last_uri: Option<String>,
}

/// Where an answer came from and how far it can be trusted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// When the oldest part was fetched from Genesys Cloud.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "in_milliseconds")]
    pub as_of: Timestamp,
    /// Whether every bucket asked for has ended and its figures have settled.
    pub complete: bool,
    /// The instant up to which figures no longer change.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "in_milliseconds")]
    pub settled_through: Timestamp,
    /// How the cache took part.
    #[schema(value_type = CacheParticipation)]
    pub cache: &'static str,
    /// Requests to Genesys Cloud this answer cost.
    pub upstream_calls: u32,
    /// With `explain=formula`: how each selected column that is worked out comes about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub formulas: Option<Vec<ColumnFormula>>,
    /// With `explain=1`: how the answer came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub plan: Option<Plan>,
    /// What the entities hold, of answers that are rows and columns: the names to find it by, titles, types and units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<TableAnswerColumn>, required = false, nullable = false)]
    pub columns: Option<Box<RawValue>>,
}

/// How the figures of a column are worked out, after their parts have been added up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "abandon.rate", "formula": "tAbandon.count / nOffered.count", "version": 1, "unit": "ratio", "differs": null
}))]
pub struct ColumnFormula {
    /// The column, by the name it was asked for.
    pub name: String,
    /// The formula, in Genesys Cloud's names of metrics and statistics.
    pub formula: String,
    /// Which formula of that name this is: it is raised when the formula changes.
    #[schema(minimum = 1)]
    pub version: u32,
    /// What the figure is a number of.
    pub unit: CatalogUnit,
    /// How Genesys Cloud itself is known to define a figure of that name otherwise.
    pub differs: Option<&'static str>,
}

impl ColumnFormula {
    /// Those of the columns that are worked out.
    pub fn of(columns: &[Column]) -> Vec<Self> {
        let formula = |column: &Column| {
            let explanation = catalogue::explanation(&column.value)?;
            Some(Self {
                name: column.name.clone(),
                formula: explanation.formula,
                version: explanation.version,
                unit: explanation.unit.into(),
                differs: explanation.differs,
            })
        };
        columns.iter().filter_map(formula).collect()
    }
}

/// How an answer came about: which buckets it is made of, and what was asked of Genesys Cloud for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The buckets that the figures were taken from; null where the question was asked whole.
    #[schema(nullable)]
    pub series: Option<PlanSeries>,
    /// Why the question was asked whole, where it was.
    #[schema(nullable)]
    pub whole: Option<PlanWhole>,
    /// What the figures are made of, in order: adjacent buckets in the same state together.
    pub used: Vec<PlanStretch>,
    /// What was asked for on the way; empty where all was held.
    pub asked: Vec<PlanRequest>,
    /// Requests to Genesys Cloud for names, of columns or in filters.
    pub calls_for_names: u32,
}

/// Buckets that figures were taken from: the question's own, or finer ones that make them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSeries {
    /// How long they are.
    #[schema(example = "PT1H")]
    pub interval: String,
    /// In which days are cut.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// What they are grouped by.
    #[schema(example = json!(["routing.queue.id"]))]
    pub group_by: Vec<&'static str>,
}

/// Why a question was asked whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanWhole {
    /// `total`, `doesNotAdd`, `unaligned`, `offGrid` or `displaced`.
    #[schema(example = "unaligned")]
    pub reason: &'static str,
    /// The same in a few words.
    #[schema(example = "its range does not begin and end with a bucket")]
    pub detail: &'static str,
}

/// Adjacent buckets in the same state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStretch {
    /// From the start of the first to the end of the last.
    #[schema(example = "2026-03-01T00:00:00.000Z/2026-03-02T00:00:00.000Z")]
    pub interval: String,
    /// `open` (not over when it was fetched), `warm` (over, and may still be corrected) or `settled`.
    #[schema(example = "settled")]
    pub state: &'static str,
    /// When the oldest figure of them was fetched.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "in_milliseconds")]
    pub fetched_at: Timestamp,
}

/// What was asked of Genesys Cloud.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRequest {
    /// The range.
    pub interval: String,
    /// The figures, as Genesys Cloud names them.
    #[schema(example = json!(["nOffered"]))]
    pub metrics: Vec<&'static str>,
    /// `fetched` (for this question), `shared` (for others too), `underWay` (the answer did not wait for it) or `failed`.
    #[schema(example = "fetched")]
    pub outcome: &'static str,
    /// Requests it took, where they are on this question's account.
    pub calls: u32,
}

impl From<Account> for Plan {
    fn from(account: Account) -> Self {
        let (series, whole) = match account.way {
            Way::Whole(why) => {
                let whole = PlanWhole {
                    reason: why.name(),
                    detail: why.reason(),
                };
                (None, Some(whole))
            }
            Way::Buckets {
                granularity,
                time_zone,
                group_by,
            } => {
                let series = PlanSeries {
                    interval: granularity.to_string(),
                    time_zone: time_zone.name().to_owned(),
                    group_by: group_by.iter().map(|dimension| dimension.name).collect(),
                };
                (Some(series), None)
            }
        };
        let used = account.used.iter().map(|stretch| PlanStretch {
            interval: stretch.range.to_string(),
            state: stretch.state.name(),
            fetched_at: stretch.fetched_at,
        });
        let asked = account.asked.iter().map(|asked| PlanRequest {
            interval: asked.range.to_string(),
            metrics: asked.metrics.iter().map(|metric| metric.upstream).collect(),
            outcome: asked.outcome.name(),
            calls: asked.calls,
        });
        Self {
            series,
            whole,
            used: used.collect(),
            asked: asked.collect(),
            calls_for_names: account.calls_for_names,
        }
    }
}

/// An instant as answers tell it.
pub fn in_milliseconds<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{instant:.3}"))
}

/// How the cache took part: `hit` (held and fresh), `miss` (fetched for this caller), `collapsed` (fetched once
/// for several callers), `revalidating` (held, just past its freshness, and being fetched again), `stale` (held, past
/// its freshness, and Genesys Cloud failed).
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used: the values are written by `Meta`")]
enum CacheParticipation {
    Hit,
    Miss,
    Collapsed,
    Revalidating,
    Stale,
}

impl From<&Provenance> for Meta {
    fn from(provenance: &Provenance) -> Self {
        Self {
            as_of: provenance.as_of,
            complete: provenance.complete,
            settled_through: provenance.settled_through,
            cache: match provenance.cache {
                CacheUse::Hit => "hit",
                CacheUse::Miss => "miss",
                CacheUse::Collapsed => "collapsed",
                CacheUse::Revalidating(_) => "revalidating",
                CacheUse::Stale => "stale",
            },
            upstream_calls: provenance.upstream_calls,
            formulas: None,
            plan: None,
            columns: None,
        }
    }
}

impl PageHead {
    /// The place of a page, reached by asking `path` with these parameters for another `page`; without
    /// parameters there is no such way.
    pub fn new(path: &str, question: Option<&[(String, String)]>, page: Page, total: u64) -> Self {
        let last = u32::try_from(total.div_ceil(u64::from(page.size.max(1))))
            .unwrap_or(u32::MAX)
            .max(1);
        let uri = |number| page_uri(path, question?, number);
        Self {
            page: page.number,
            page_size: page.size,
            total,
            first_uri: uri(1),
            previous_uri: (page.number > 1).then(|| uri(last.min(page.number - 1))).flatten(),
            next_uri: (page.number < last).then(|| uri(page.number + 1)).flatten(),
            last_uri: uri(last),
        }
    }
}

/// `None` when it would be refused as too long.
fn page_uri(path: &str, question: &[(String, String)], number: u32) -> Option<String> {
    let others = question.iter().filter(|(name, _)| name != "page");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("page", &number.to_string())
        .finish();
    let uri = format!("{path}?{query}");
    (uri.len() <= limits::URI_BYTES).then_some(uri)
}

/// The whole document: the head's fields, `entities` as `write_entities` appends them, and `meta`; and how many of its
/// bytes come before `meta`.
pub fn document(head: &PageHead, meta: impl Into<Meta>, write_entities: impl FnOnce(&mut Vec<u8>)) -> (Bytes, usize) {
    let mut body = entities(head, write_entities);
    let answer_bytes = body.len();
    write_meta(&meta.into(), &mut body);
    (body.into(), answer_bytes)
}

/// A document up to where [`write_meta`] goes on: the head's fields, and `entities` as `write_entities` appends them.
pub fn entities(head: &PageHead, write_entities: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = begun(head);
    body.extend_from_slice(b"\"entities\":");
    write_entities(&mut body);
    body
}

/// The same of a table: `columns` and `rows` take the place of `entities`.
pub fn table(head: &PageHead, table: &Table) -> Vec<u8> {
    let mut body = begun(head);
    body.extend_from_slice(b"\"columns\":");
    encode::table::write_columns(&table.columns, &mut body);
    body.extend_from_slice(b",\"rows\":");
    encode::table::write_rows(table, &mut body);
    body
}

fn begun(head: &PageHead) -> Vec<u8> {
    let mut body = serde_json::to_vec(head).expect("strings and numbers always serialize");
    body.pop();
    body.push(b',');
    body
}

/// The rest of a document.
pub fn write_meta(meta: &Meta, body: &mut Vec<u8>) {
    body.extend_from_slice(b",\"meta\":");
    serde_json::to_writer(&mut *body, meta).expect("writing to memory does not fail");
    body.push(b'}');
}

/// What `meta` tells of the columns.
pub fn columns(columns: &[TableColumn]) -> Box<RawValue> {
    let mut text = Vec::new();
    encode::table::write_columns(columns, &mut text);
    serde_json::from_slice(&text).expect("the encoder writes JSON")
}

/// The GET form of a question that came as a body: the same fields, lists as commas, a filter as
/// `dimension:value,value`. `None` when it has none, because a dimension is filtered twice.
pub fn get_form(question: &impl Serialize) -> Option<Vec<(String, String)>> {
    let fields = serde_json::to_value(question).ok()?;
    let mut pairs = Vec::new();
    let mut dimensions = BTreeSet::new();
    for (name, value) in fields.as_object()? {
        match value {
            Value::Null => {}
            Value::Array(filters) if name == "filter" => {
                for filter in filters {
                    let dimension = filter["dimension"].as_str()?;
                    if !dimensions.insert(dimension.to_owned()) {
                        return None;
                    }
                    let values = comma_list(filter["values"].as_array()?)?;
                    pairs.push((name.clone(), format!("{dimension}:{values}")));
                }
            }
            Value::Array(items) => pairs.push((name.clone(), comma_list(items)?)),
            Value::String(text) => pairs.push((name.clone(), text.clone())),
            other => pairs.push((name.clone(), other.to_string())),
        }
    }
    Some(pairs)
}

fn comma_list(items: &[Value]) -> Option<String> {
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    Some(in_a_list(texts?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(text: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    #[test]
    fn pages_know_their_neighbours() {
        // number, size, total → previous, next, last
        for (number, size, total, previous, next, last) in [
            (1, 10, 0, None, None, 1),
            (1, 10, 10, None, None, 1),
            (1, 10, 11, None, Some(2), 2),
            (2, 10, 11, Some(1), None, 2),
            (2, 10, 21, Some(1), Some(3), 3),
            (9, 10, 21, Some(3), None, 3),
        ] {
            let head = PageHead::new(
                "/v1/query",
                Some(&pairs("select=a,b&page=7")),
                Page { number, size },
                total,
            );
            let uri = |page: u32| Some(format!("/v1/query?select=a%2Cb&page={page}"));
            let found = (head.first_uri, head.previous_uri, head.next_uri, head.last_uri);
            assert_eq!(
                found,
                (uri(1), previous.and_then(uri), next.and_then(uri), uri(last)),
                "page {number} of {total} by {size}"
            );
        }
    }

    #[test]
    fn a_uri_that_would_be_refused_is_not_offered() {
        let question = [("filter".to_owned(), "x".repeat(limits::URI_BYTES))];
        let head = PageHead::new("/v1/query", Some(&question), Page { number: 1, size: 1 }, 5);
        assert_eq!((head.first_uri, head.next_uri, head.last_uri), (None, None, None));
    }

    #[test]
    fn a_body_has_a_get_form() {
        let body = json!({
            "dateFrom": "now-7d/d",
            "interval": null,
            "groupBy": ["routing.queue.id", "media.type"],
            "filter": [{"dimension": "media.type", "values": ["voice", "chat"]}, {"dimension": "queueId", "values": ["q"]}],
            "page": 2
        });
        let mut found = get_form(&body).unwrap();
        found.sort();
        assert_eq!(
            found,
            pairs(
                "dateFrom=now-7d/d&filter=media.type:voice,chat&filter=queueId:q&groupBy=routing.queue.id,media.type&page=2"
            )
        );
        let commas = json!({"filter": [{"dimension": "routing.queue.name", "values": ["Sales, EMEA", "Support"]}]});
        assert_eq!(
            get_form(&commas).unwrap(),
            pairs("filter=routing.queue.name:%22Sales,%20EMEA%22,Support")
        );
        let without =
            json!({"filter": [{"dimension": "queueId", "values": ["a"]}, {"dimension": "queueId", "values": ["b"]}]});
        assert_eq!(get_form(&without), None);
    }

    #[test]
    fn the_document_is_json_with_every_field() {
        let head = PageHead::new("/v1/query", Some(&[]), Page { number: 1, size: 2 }, 3);
        let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let provenance = Provenance {
            as_of: at,
            complete: false,
            settled_through: at,
            cache: CacheUse::Miss,
            upstream_calls: 1,
        };
        let (body, answer_bytes) = document(&head, &provenance, |body| body.extend_from_slice(b"[{},{}]"));
        assert!(body[..answer_bytes].ends_with(b"\"entities\":[{},{}]"));
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({
                "page": 1, "pageSize": 2, "total": 3,
                "firstUri": "/v1/query?page=1", "previousUri": null,
                "nextUri": "/v1/query?page=2", "lastUri": "/v1/query?page=2",
                "entities": [{}, {}],
                "meta": {
                    "asOf": "2026-03-01T12:00:00.000Z", "complete": false, "settledThrough": "2026-03-01T12:00:00.000Z",
                    "cache": "miss", "upstreamCalls": 1
                }
            })
        );
    }
}
