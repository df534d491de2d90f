//! `POST ratelimits/aggregates/query`: how close the organisation came to its limits.
//!
//! Of the simulated limits there is one, that of a token; what is recorded of it stands in [`rate`](super::super::rate).
//! Where the platform's documents are silent: a record is the count of a minute, and belongs to the bucket in which the
//! minute starts. Filters are not simulated.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    aggregates::strings,
    calendar::{Granularity, edges, interval, iso, zone},
};
use crate::simulator::refusal::Refusal;

/// More buckets than any test asks for.
const BUCKETS_AT_MOST: usize = 10_000;

/// A minute in which the limit came close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Recorded {
    /// Its start, in milliseconds since the epoch.
    pub(in crate::simulator) at: i64,
    /// Requests counted.
    pub(in crate::simulator) requests: u32,
}

/// The answer to a body of the right shape. `limit` is what the 429 names.
pub(in crate::simulator) fn answer(body: &Value, limit: &Value, recorded: &[Recorded]) -> Result<Value, Refusal> {
    let refusal = |sentence| Refusal::bad_request("general.bad.request", sentence);
    if !body["filter"].is_null() {
        return Err(refusal("Filters of rate limits are not simulated."));
    }
    let asked = interval(body["interval"].as_str().unwrap_or_default())?;
    let granularity = body["granularity"].as_str().map(Granularity::parse).transpose()?;
    let zone = zone(body["timeZone"].as_str())?;
    let edges = edges(&asked, granularity, &zone, false, BUCKETS_AT_MOST)?;
    let mut buckets: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for record in recorded.iter().filter(|record| asked.contains(&record.at)) {
        let bucket = edges.partition_point(|edge| *edge <= record.at) - 1;
        buckets.entry(bucket).or_default().push(record.requests);
    }
    let data: Vec<Value> = buckets
        .iter()
        .map(|(bucket, counts)| {
            let stats = json!({
                "count": counts.len(), "sum": counts.iter().sum::<u32>(),
                "min": counts.iter().min(), "max": counts.iter().max(),
            });
            json!({
                "interval": format!("{}/{}", iso(edges[*bucket]), iso(edges[bucket + 1])),
                "metrics": [{ "metric": "oRateLimitRecorded", "stats": stats }],
            })
        })
        .collect();
    let group: Map<String, Value> = strings(&body["groupBy"])
        .filter_map(|dimension| {
            let value = match dimension {
                "limitName" => limit["key"].clone(),
                "namespace" => limit["namespace"].clone(),
                "max" => limit["value"].to_string().into(),
                "timeUnit" => "minute".into(),
                _ => return None,
            };
            Some((dimension.to_owned(), value))
        })
        .collect();
    let results = if data.is_empty() {
        Vec::new()
    } else {
        vec![json!({ "group": group, "data": data })]
    };
    Ok(json!({ "results": results }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_gathered_in_buckets() {
        let limit = json!({ "key": "a.limit", "namespace": "platform.api", "value": 300 });
        let minute = |minute: i64, requests| Recorded {
            at: 1_772_359_200_000 + minute * 60_000,
            requests,
        };
        let recorded = [minute(0, 290), minute(4, 300), minute(5, 280), minute(60, 300)];
        let body = json!({
            "interval": "2026-03-01T10:00:00.000Z/2026-03-01T11:00:00.000Z", "granularity": "PT5M",
            "groupBy": ["limitName", "max"], "metrics": ["oRateLimitRecorded"],
        });
        let found = answer(&body, &limit, &recorded).unwrap();
        let group = &found["results"][0]["group"];
        assert_eq!(*group, json!({ "limitName": "a.limit", "max": "300" }));
        let data = found["results"][0]["data"].as_array().unwrap();
        assert_eq!(data.len(), 2);
        assert_eq!(data[0]["interval"], "2026-03-01T10:00:00.000Z/2026-03-01T10:05:00.000Z");
        assert_eq!(
            data[0]["metrics"][0]["stats"],
            json!({ "count": 2, "sum": 590, "min": 290, "max": 300 })
        );
        assert_eq!(answer(&body, &limit, &[]).unwrap(), json!({ "results": [] }));
    }
}
