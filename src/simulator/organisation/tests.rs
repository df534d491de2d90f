//! The organisation as a whole: what adds up, that slices are slices, and that answers have the platform's shape.

#![expect(
    clippy::float_cmp,
    reason = "what is compared are whole numbers, or the same division done twice"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

mod families;
mod queues;
mod users;

const EARLIEST: &str = "2025-03-01T00:00:00Z";
/// A few days before the clocks in Berlin change.
const FROM: &str = "2025-03-27T00:00:00Z";
const HORIZON: &str = "2026-01-01T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn organisation(late_share: f64) -> Organisation {
    Organisation::new(OrganisationOptions {
        seed: 7,
        start: at(EARLIEST),
        conversations_per_day: 120,
        late_share,
    })
}

/// One organisation for all tests that do not change it.
static PUNCTUAL: LazyLock<Organisation> = LazyLock::new(|| organisation(0.0));

const ALL_METRICS: &[&str] = &[
    "nAlertExpired",
    "nBlindTransferred",
    "nConnected",
    "nConsult",
    "nConsultTransferred",
    "nConversations",
    "nError",
    "nOffered",
    "nOutbound",
    "nOutboundAttempted",
    "nOutboundConnected",
    "nOverSla",
    "nTransferred",
    "oMessageTurn",
    "oServiceLevel",
    "oServiceTarget",
    "tAbandon",
    "tAcd",
    "tActiveCallback",
    "tActiveCallbackComplete",
    "tAcw",
    "tAgentResponseTime",
    "tAlert",
    "tAnswered",
    "tConnected",
    "tContacting",
    "tDialing",
    "tFlowOut",
    "tHandle",
    "tHeld",
    "tHeldComplete",
    "tIvr",
    "tNotResponding",
    "tShortAbandon",
    "tTalk",
    "tTalkComplete",
    "tVoicemail",
    "tWait",
];

fn exact() -> Switches {
    Switches {
        approximate_total_hits: false,
        ..Switches::default()
    }
}

fn aggregates(body: &Value) -> Value {
    PUNCTUAL.aggregates(body, at(HORIZON), &Switches::default()).unwrap()
}

/// `metric.statistic` of each group, by the group's values.
fn numbers(answer: &Value) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut groups = BTreeMap::new();
    for result in answer["results"].as_array().unwrap() {
        let mut numbers = BTreeMap::new();
        for metric in result["data"][0]["metrics"].as_array().unwrap() {
            for (statistic, value) in metric["stats"].as_object().unwrap() {
                let name = format!("{}.{statistic}", metric["metric"].as_str().unwrap());
                numbers.insert(name, value.as_f64().unwrap());
            }
        }
        groups.insert(result["group"].to_string(), numbers);
    }
    groups
}

fn interval(start: Timestamp, hours: i64) -> (Timestamp, String) {
    let end = start + SignedDuration::from_hours(hours);
    (end, format!("{start}/{end}"))
}

/// How many conversations of each queue and medium were waiting at an instant: entered and not yet left.
fn waiting(instant: Timestamp) -> BTreeMap<String, f64> {
    let mut waiting = BTreeMap::new();
    for event in PUNCTUAL.events(at(EARLIEST), instant, at(HORIZON)) {
        let change = match event.metric {
            "nOffered" => 1.0,
            "tWait" => -1.0,
            _ => continue,
        };
        let group = json!({ "mediaType": event.values("mediaType")[0], "queueId": event.values("queueId")[0] });
        *waiting.entry(group.to_string()).or_insert(0.0) += change;
    }
    waiting
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_identities_hold_for_every_slice(day in 0_i64..30, hour in 0_i64..24, hours in 1_i64..200) {
        let start = at(FROM) + SignedDuration::from_hours(day * 24 + hour);
        let (end, interval) = interval(start, hours);
        let (before, after) = (waiting(start), waiting(end));
        let answer = aggregates(&json!({ "interval": interval, "groupBy": ["queueId"], "metrics": ALL_METRICS }));
        for (group, numbers) in numbers(&answer) {
            let number = |name: &str| numbers.get(name).copied().unwrap_or(0.0);
            let queued = after.get(&group).unwrap_or(&0.0) - before.get(&group).unwrap_or(&0.0);
            let left = number("tAnswered.count") + number("tAbandon.count") + number("tFlowOut.count");
            prop_assert_eq!(number("nOffered.count"), left + queued);
            prop_assert_eq!(number("tWait.count"), left);
            let waited = number("tAnswered.sum") + number("tAbandon.sum") + number("tFlowOut.sum");
            prop_assert_eq!(number("tWait.sum"), waited);
            prop_assert_eq!(number("oServiceLevel.numerator"), number("tAnswered.count") - number("nOverSla.count"));
            prop_assert_eq!(number("oServiceLevel.denominator"), number("tAnswered.count") + number("tAbandon.count"));
            if let Some(ratio) = numbers.get("oServiceLevel.ratio") {
                prop_assert_eq!(*ratio, number("oServiceLevel.numerator") / number("oServiceLevel.denominator"));
                prop_assert!(numbers.contains_key("oServiceLevel.target"), "{}", group);
            }
            prop_assert!(number("tShortAbandon.count") <= number("tAbandon.count"));
        }
    }

    #[test]
    fn an_aggregate_is_a_sum_over_the_events(
        day in 0_i64..20,
        hours in 1_i64..100,
        group in prop::sample::subsequence(vec!["queueId", "userId", "wrapUpCode", "direction", "purpose"], 0..3),
        wanted in prop::sample::select(vec!["voice", "email", "callback"]),
    ) {
        let start = at(FROM) + SignedDuration::from_hours(day * 24);
        let (end, interval) = interval(start, hours);
        let now = start + SignedDuration::from_hours(hours / 2 + 1);
        let body = json!({
            "interval": interval,
            "groupBy": group,
            "metrics": ["nOffered", "tTalk", "tAcw", "nConversations"],
            "filter": {"type": "and", "predicates": [{"dimension": "mediaType", "value": wanted}]},
        });
        let answer = PUNCTUAL.aggregates(&body, now, &Switches::default()).unwrap();
        let mut expected = BTreeMap::<String, (BTreeSet<String>, BTreeMap<&str, (f64, f64)>)>::new();
        for event in PUNCTUAL.events(start, end, now) {
            if event.values("mediaType") != [wanted] {
                continue;
            }
            let mut key = serde_json::Map::new();
            for dimension in group.iter().copied().chain(["mediaType"]) {
                key.extend(event.values(dimension).into_iter().map(|value| (dimension.to_owned(), value.into())));
            }
            let (conversations, sums) = expected.entry(Value::from(key).to_string()).or_default();
            conversations.insert(event.conversation_id.clone());
            let sum = sums.entry(event.metric).or_default();
            *sum = (sum.0 + 1.0, sum.1 + event.value as f64);
        }
        let actual = numbers(&answer);
        prop_assert_eq!(actual.len(), expected.len());
        for (group, (conversations, sums)) in expected {
            let number = |name: &str| actual[&group].get(name).copied().unwrap_or(0.0);
            let sum = |metric: &str| sums.get(metric).copied().unwrap_or_default();
            prop_assert_eq!(number("nConversations.count"), conversations.len() as f64);
            prop_assert_eq!(number("nOffered.count"), sum("nOffered").0);
            prop_assert_eq!((number("tTalk.count"), number("tTalk.sum")), sum("tTalk"));
            prop_assert_eq!((number("tAcw.count"), number("tAcw.sum")), sum("tAcw"));
        }
    }
}

#[test]
fn what_leaves_a_queue_is_answered_abandoned_or_flowed_out_at_that_instant() {
    let mut left = BTreeMap::<_, Vec<&str>>::new();
    for event in PUNCTUAL.events(at(FROM), at("2025-04-10T00:00:00Z"), at(HORIZON)) {
        if [
            "tWait",
            "tAcd",
            "tAnswered",
            "tAbandon",
            "tFlowOut",
            "oServiceLevel",
            "nOverSla",
        ]
        .contains(&event.metric)
        {
            let queue = event.values("queueId").remove(0);
            let key = (event.conversation_id, queue, event.emitted_at);
            left.entry(key).or_default().push(event.metric);
        }
    }
    assert!(left.len() > 1_000);
    for (key, mut metrics) in left {
        metrics.sort_unstable();
        let possible = [
            &["oServiceLevel", "tAcd", "tAnswered", "tWait"][..],
            &["nOverSla", "oServiceLevel", "tAcd", "tAnswered", "tWait"],
            &["oServiceLevel", "tAbandon", "tAcd", "tWait"],
            &["tAcd", "tFlowOut", "tWait"],
        ];
        assert!(possible.contains(&metrics.as_slice()), "{key:?} {metrics:?}");
    }
}

#[test]
fn an_agent_sessions_times_make_up_its_handle_time() {
    let mut sessions = BTreeMap::<String, BTreeMap<&str, i64>>::new();
    // Past everything that started in the days looked at.
    let until = at(FROM) + SignedDuration::from_hours(90 * 24);
    for event in PUNCTUAL.events(at(EARLIEST), until, at(HORIZON)) {
        let session = event.values("sessionId").remove(0);
        *sessions.entry(session).or_default().entry(event.metric).or_default() += event.value;
    }
    let handled: Vec<_> = sessions.values().filter(|sums| sums.contains_key("tHandle")).collect();
    assert!(handled.len() > 5_000);
    for sums in handled {
        let sum = |metric: &str| sums.get(metric).copied().unwrap_or(0);
        let parts = ["tContacting", "tDialing", "tTalkComplete", "tHeldComplete", "tAcw"];
        assert_eq!(sum("tHandle"), parts.into_iter().map(sum).sum::<i64>());
        assert_eq!(sum("tTalkComplete"), sum("tTalk"));
        assert_eq!(sum("tHeldComplete"), sum("tHeld"));
    }
}

#[test]
fn hours_of_a_month_are_the_hours_asked_alone() {
    let month = aggregates(&json!({
        "interval": "2025-03-15T00:00:00Z/2025-04-14T00:00:00Z",
        "granularity": "PT1H", "timeZone": "Europe/Berlin", "groupBy": ["queueId"], "metrics": ALL_METRICS,
    }));
    let mut compared = 0;
    for hour in [
        "2025-03-18T09:00:00Z",
        "2025-03-30T00:00:00Z",
        "2025-03-30T01:00:00Z",
        "2025-04-02T22:00:00Z",
    ] {
        let (end, interval) = interval(at(hour), 1);
        // A process that starts anew remembers the same.
        let fresh = organisation(0.0);
        let body = json!({ "interval": interval, "groupBy": ["queueId"], "metrics": ALL_METRICS });
        let alone = fresh.aggregates(&body, at(HORIZON), &Switches::default()).unwrap();
        let printed = format!("{:.3}/{end:.3}", at(hour));
        for result in alone["results"].as_array().unwrap() {
            let whole = month["results"].as_array().unwrap();
            let whole = whole.iter().find(|other| other["group"] == result["group"]).unwrap();
            let bucket = whole["data"]
                .as_array()
                .unwrap()
                .iter()
                .find(|bucket| bucket["interval"] == *printed);
            assert_eq!(bucket.unwrap(), &result["data"][0]);
            compared += 1;
        }
    }
    assert!(compared > 5);
}

#[test]
fn the_days_of_a_clock_change_have_23_and_25_hours() {
    for (interval, hours) in [
        ("2025-03-29T23:00:00Z/2025-03-30T22:00:00Z", 23),
        ("2025-10-25T22:00:00Z/2025-10-26T23:00:00Z", 25),
    ] {
        let ask = |granularity: &str| {
            let body = json!({
                "interval": interval, "granularity": granularity, "timeZone": "Europe/Berlin", "metrics": ["nOffered"],
            });
            let answer = aggregates(&body);
            let data = answer["results"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|one| one["data"].as_array().unwrap());
            data.cloned().collect::<Vec<_>>()
        };
        let count = |data: &[Value]| {
            data.iter()
                .map(|one| one["metrics"][0]["stats"]["count"].as_i64().unwrap())
                .sum::<i64>()
        };
        let (day, hourly) = (ask("P1D"), ask("PT1H"));
        let expected = Value::from(interval.replace('Z', ".000Z"));
        assert!(day.iter().all(|bucket| bucket["interval"] == expected));
        assert_eq!(count(&day), count(&hourly));
        let buckets: BTreeSet<_> = hourly
            .iter()
            .map(|bucket| bucket["interval"].as_str().unwrap())
            .collect();
        assert!(buckets.len() <= hours);
    }
}

#[test]
fn user_groups_have_nothing_of_the_queues_side() {
    let answer = aggregates(&json!({
        "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z",
        "groupBy": ["userId"],
        "metrics": ["nOffered", "tWait", "tAbandon", "oServiceLevel", "tHandle"],
    }));
    let (mut with_user, mut without) = (0, 0);
    for result in answer["results"].as_array().unwrap() {
        let metrics = result["data"][0]["metrics"].as_array().unwrap();
        if result["group"].get("userId").is_some() {
            assert_eq!(metrics.len(), 1);
            assert_eq!(metrics[0]["metric"], "tHandle");
            with_user += 1;
        } else {
            assert!(metrics.iter().all(|metric| metric["metric"] != "tHandle"));
            without += 1;
        }
    }
    assert!(with_user > 50 && without == 5);
}

#[test]
fn several_skills_multiply_rows_unless_joined() {
    let ask = |flatten: bool| {
        let answer = aggregates(&json!({
            "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z",
            "groupBy": ["requestedRoutingSkillId"], "metrics": ["nOffered"], "flattenMultivaluedDimensions": flatten,
        }));
        numbers(&answer)
    };
    let total = |groups: &BTreeMap<String, BTreeMap<String, f64>>| {
        groups.values().map(|numbers| numbers["nOffered.count"]).sum::<f64>()
    };
    let (multiplied, joined) = (ask(false), ask(true));
    assert!(total(&multiplied) > total(&joined));
    assert!(
        joined
            .keys()
            .any(|group| group.contains(',') && group.matches('-').count() == 8)
    );
    let whole = aggregates(&json!({
        "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z", "metrics": ["nOffered"],
    }));
    assert_eq!(total(&joined), total(&numbers(&whole)));
}

#[test]
fn views_and_rankings() {
    let answer = aggregates(&json!({
        "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z",
        "groupBy": ["queueId"], "metrics": ["tAnswered"],
        "views": [{"target": "tAnswered", "name": "quick", "function": "rangeBound", "range": {"lt": 20_000}}],
        "queryType": "topN", "limit": 3, "sortMetric": {"name": "nOffered", "function": "count"},
    }));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let all = aggregates(&json!({
        "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z", "groupBy": ["queueId"], "metrics": ["nOffered"],
    }));
    let most = numbers(&all)
        .into_values()
        .map(|numbers| numbers["nOffered.count"])
        .fold(0.0, f64::max);
    assert_eq!(numbers(&all)[&results[0]["group"].to_string()]["nOffered.count"], most);
    for result in results {
        let data = &result["data"][0];
        assert_eq!(data["metrics"].as_array().unwrap().len(), 1);
        let view = &data["views"][0];
        assert_eq!(view["name"], "quick");
        assert!(view["stats"]["max"].as_i64().unwrap() < 20_000);
        assert!(view["stats"]["count"].as_i64() <= data["metrics"][0]["stats"]["count"].as_i64());
    }
}

#[test]
fn late_wrap_ups_appear_within_two_days() {
    let late = organisation(0.5);
    let (start, end) = (at("2025-03-17T00:00:00Z"), at("2025-03-18T00:00:00Z"));
    let seen = |now: Timestamp| {
        late.events(start, end, now)
            .into_iter()
            .filter(|event| event.metric == "tAcw")
            .count()
    };
    let all = PUNCTUAL
        .events(start, end, end)
        .into_iter()
        .filter(|event| event.metric == "tAcw")
        .count();
    assert!(seen(end) < all * 3 / 4, "{} of {all}", seen(end));
    assert!(seen(end + SignedDuration::from_hours(20)) > seen(end));
    assert_eq!(seen(end + SignedDuration::from_hours(48)), all);
    // Whatever is not late is there at once, and lateness changes nothing else.
    let talk = |one: &Organisation| {
        one.events(start, end, end)
            .into_iter()
            .filter(|e| e.metric == "tTalk")
            .count()
    };
    assert_eq!(talk(&late), talk(&PUNCTUAL));
}

#[test]
fn the_organisation_is_believable() {
    let (start, end) = (at("2025-03-17T00:00:00Z"), at("2025-03-24T00:00:00Z"));
    let week = PUNCTUAL.conversations_started(start, end, at(HORIZON));
    assert!((700..980).contains(&week.len()), "{}", week.len());
    let weekend = week
        .iter()
        .filter(|(_, started, _)| *started >= at("2025-03-22T00:00:00Z"))
        .count();
    assert!(weekend * 6 < week.len());
    let ids: BTreeSet<_> = week.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), week.len());
    let overnight = week
        .iter()
        .filter(|(_, started, ended)| ended.unwrap().as_millisecond() / DAY_MS != started.as_millisecond() / DAY_MS);
    assert!(overnight.count() > 5);
    for (id, started, ended) in &week {
        assert_eq!(id, &id.to_lowercase());
        assert!(ended.unwrap() > *started);
    }
    let seen: BTreeSet<_> = PUNCTUAL
        .events(start, end, at(HORIZON))
        .iter()
        .map(|event| event.metric)
        .collect();
    for metric in ALL_METRICS
        .iter()
        .filter(|metric| !["nConversations", "oServiceTarget"].contains(metric))
    {
        assert!(seen.contains(metric), "{metric}");
    }
}

#[test]
fn waits_can_pass_32_bits_and_are_found_by_any_slice() {
    let (start, end) = (at("2025-03-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    let waits: Vec<_> = PUNCTUAL
        .events(start, end, end)
        .into_iter()
        .filter(|event| event.metric == "tWait")
        .collect();
    let longest = waits.iter().max_by_key(|event| event.value).unwrap();
    assert!(longest.value > i64::from(u32::MAX));
    let (_, interval) = interval(longest.emitted_at, 1);
    let answer = organisation(0.0).aggregates(&json!({ "interval": interval, "metrics": ["tWait"] }), end, &exact());
    let answer = numbers(&answer.unwrap());
    assert!(
        answer
            .values()
            .any(|numbers| numbers["tWait.max"] == longest.value as f64)
    );
}

#[test]
fn nobody_outlasts_the_days_looked_back() {
    for day in at(FROM).as_millisecond() / DAY_MS..at(HORIZON).as_millisecond() / DAY_MS {
        let told = generation::conversations_of(&PUNCTUAL.shape(), day);
        for one in told {
            let last = one
                .sessions
                .iter()
                .flat_map(|session| &session.emissions)
                .map(|emission| emission.at)
                .max();
            let bound = if one.stretched { STRETCHED_DAYS } else { LONGEST_DAYS };
            assert!(last.unwrap() < (day + bound + 1) * DAY_MS);
            assert!(one.start >= day * DAY_MS && one.start < (day + 1) * DAY_MS);
            let first = one
                .sessions
                .iter()
                .flat_map(|session| &session.segments)
                .map(|segment| segment.start)
                .min();
            assert_eq!(first, Some(one.start));
            assert!(
                one.sessions
                    .iter()
                    .flat_map(|session| &session.segments)
                    .all(|one| one.start <= one.end)
            );
        }
    }
}

/// By their ids, conversations are told as in a list, a hundred at once.
#[test]
fn conversations_are_told_by_their_ids() {
    let now = "2025-03-27T11:00:00Z";
    let list = |interval: &str| {
        let body = json!({ "interval": interval, "paging": { "pageSize": 100 } });
        details(&body, now, &exact())["conversations"]
            .as_array()
            .unwrap()
            .clone()
    };
    let mut listed = list("2025-03-27T00:00:00Z/2025-03-28T00:00:00Z");
    listed.truncate(50);
    listed.extend(list("2025-03-12T00:00:00Z/2025-03-13T00:00:00Z").into_iter().take(50));
    let id = |document: &Value| document["conversationId"].as_str().unwrap().to_owned();
    let ids: Vec<String> = listed.iter().map(id).collect();
    assert_eq!(ids.len(), 100);
    let ask = |ids: &[String], now| {
        PUNCTUAL.details_by_id(
            &ids.iter().map(|id| ("id".to_owned(), id.clone())).collect::<Vec<_>>(),
            at(now),
        )
    };
    let by_id = |documents: &[Value]| -> BTreeMap<String, Value> {
        documents
            .iter()
            .map(|document| (id(document), document.clone()))
            .collect()
    };
    for given in [
        vec![ids.join(",")],
        ids.clone(),
        vec![ids[..7].join(","), ids[7..].join(",")],
    ] {
        let told = ask(&given, now).unwrap();
        assert_eq!(by_id(told["conversations"].as_array().unwrap()), by_id(&listed));
    }
    // What there is not, or not yet, is left out.
    let nobody = Uuid::nil().to_string();
    let told = ask(&[nobody.clone(), ids[0].clone()], now).unwrap();
    assert_eq!(told["conversations"], json!([listed[0]]));
    assert_eq!(
        ask(&ids[..1], "2025-03-26T23:00:00Z").unwrap(),
        json!({ "conversations": [] })
    );
    for refused in [
        [ids.clone(), vec![nobody]].concat(),
        vec!["7".to_owned()],
        vec![String::new()],
    ] {
        assert_eq!(ask(&refused, now).unwrap_err().status, 400, "{refused:?}");
    }
}

fn details(body: &Value, now: &str, switches: &Switches) -> Value {
    PUNCTUAL.details(body, at(now), switches).unwrap()
}

/// All rows of a query, page by page until one has none.
fn all_rows(mut body: Value, now: &str, switches: &Switches) -> Vec<Value> {
    let mut rows = Vec::new();
    for page in 1.. {
        body["paging"] = json!({ "pageSize": 100, "pageNumber": page });
        let answer = details(&body, now, switches);
        match answer.get("conversations") {
            Some(more) => rows.extend(more.as_array().unwrap().iter().cloned()),
            None => return rows,
        }
    }
    rows
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["conversationId"].as_str().unwrap()).collect()
}

#[test]
fn an_hour_of_details_is_its_whole_utc_day() {
    let rows = all_rows(
        json!({ "interval": "2025-03-18T10:00:00Z/2025-03-18T11:00:00Z" }),
        HORIZON,
        &exact(),
    );
    let (start, end) = (at("2025-03-18T00:00:00Z"), at("2025-03-19T00:00:00Z"));
    let expected = PUNCTUAL.conversations_started(start, end, at(HORIZON));
    assert_eq!(
        ids(&rows),
        expected.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>()
    );
    // An interval that ends at midnight does not touch the next day; the month's rows of that day are the same.
    let month = all_rows(
        json!({ "interval": "2025-03-10T00:00:00Z/2025-03-31T00:00:00Z" }),
        HORIZON,
        &exact(),
    );
    let of_day: Vec<_> = month
        .into_iter()
        .filter(|row| row["conversationStart"].as_str().unwrap().starts_with("2025-03-18"))
        .collect();
    assert_eq!(of_day, rows);
}

/// Whether a row shows nothing from after that instant, and its end exactly when all of it is over.
fn shows_only_what_happened(row: &Value, now: &str) {
    let segments = row.every("segments");
    assert!(
        row.every("metrics")
            .iter()
            .all(|metric| metric["emitDate"].as_str().unwrap() <= now)
    );
    assert!(
        segments
            .iter()
            .all(|segment| segment["segmentStart"].as_str().unwrap() <= now)
    );
    let open = segments.iter().filter(|segment| segment.get("segmentEnd").is_none());
    assert!(open.clone().all(|segment| segment.get("disconnectType").is_none()));
    if let Some(end) = row.get("conversationEnd") {
        assert_eq!(open.count(), 0);
        let last = segments
            .iter()
            .filter_map(|segment| segment["segmentEnd"].as_str())
            .max();
        assert_eq!(last, end.as_str());
    }
}

#[test]
fn running_conversations_have_no_end() {
    let now = "2025-03-18T10:07:00.000Z";
    let body = json!({ "interval": "2025-03-18T00:00:00Z/2025-03-19T00:00:00Z" });
    let rows = all_rows(body.clone(), now, &exact());
    for row in &rows {
        shows_only_what_happened(row, now);
    }
    let running = rows.iter().filter(|row| row.get("conversationEnd").is_none()).count();
    assert!(running > 0 && running < rows.len());
    let mut ended = body;
    ended["conversationFilters"] = json!([
        {"type": "and", "predicates": [{"dimension": "conversationEnd", "operator": "exists"}]}
    ]);
    assert_eq!(all_rows(ended, now, &exact()).len(), rows.len() - running);
}

#[test]
fn a_late_wrap_up_is_missing_from_details_until_it_arrives() {
    let late = organisation(1.0);
    let body = json!({
        "interval": "2025-03-18T00:00:00Z/2025-03-19T00:00:00Z", "paging": {"pageSize": 100, "pageNumber": 1},
    });
    let wrap_ups = |now: &str| {
        let answer = late.details(&body, at(now), &exact()).unwrap();
        let rows = answer["conversations"].as_array().unwrap().clone();
        for row in &rows {
            shows_only_what_happened(row, now);
        }
        let segments = rows.iter().flat_map(|row| row.every("segments"));
        segments.filter(|segment| segment["segmentType"] == "wrapup").count()
    };
    let (evening, next_day, settled) = (
        wrap_ups("2025-03-18T23:00:00.000Z"),
        wrap_ups("2025-03-19T23:00:00.000Z"),
        wrap_ups(HORIZON),
    );
    assert!(
        evening < next_day && next_day < settled,
        "{evening} {next_day} {settled}"
    );
}

trait Every {
    /// The entries of that list of every session of a row.
    fn every(&self, list: &str) -> Vec<Value>;
}

impl Every for Value {
    fn every(&self, list: &str) -> Vec<Value> {
        let participants = self["participants"].as_array().unwrap().iter();
        let sessions = participants.flat_map(|participant| participant["sessions"].as_array().unwrap());
        sessions
            .flat_map(|session| session[list].as_array().cloned().unwrap_or_default())
            .collect()
    }
}

#[test]
fn one_segment_meets_all_predicates_of_a_filter() {
    let sample = include_str!("../genesys/samples/conversation-details/request-abandoned-in-queue.json");
    let mut body: Value = serde_json::from_str(sample).unwrap();
    body["interval"] = "2025-03-10T00:00:00Z/2025-03-17T00:00:00Z".into();
    let abandoned = ids(&all_rows(body, HORIZON, &exact()))
        .into_iter()
        .map(str::to_owned)
        .collect::<BTreeSet<_>>();
    let everything = all_rows(
        json!({ "interval": "2025-03-10T00:00:00Z/2025-03-17T00:00:00Z" }),
        HORIZON,
        &exact(),
    );
    let by_metric: BTreeSet<_> = everything
        .iter()
        .filter(|row| {
            let voice = row["participants"][0]["sessions"][0]["mediaType"] == "voice";
            voice && row.every("metrics").iter().any(|metric| metric["name"] == "tAbandon")
        })
        .map(|row| row["conversationId"].as_str().unwrap().to_owned())
        .collect();
    assert!(!abandoned.is_empty());
    assert_eq!(abandoned, by_metric);
}

#[test]
fn a_page_past_the_end_has_no_conversations() {
    let body = |page: u64| {
        json!({
            "interval": "2025-03-18T00:00:00Z/2025-03-19T00:00:00Z",
            "paging": { "pageSize": 100, "pageNumber": page },
        })
    };
    let first = details(&body(1), HORIZON, &exact());
    let total = first["totalHits"].as_u64().unwrap();
    assert!(total > 100 && total < 200);
    let second = details(&body(2), HORIZON, &exact());
    assert_eq!(second["conversations"].as_array().unwrap().len() as u64, total - 100);
    assert_eq!(details(&body(3), HORIZON, &exact()), json!({ "totalHits": total }));
    let none = json!({ "interval": "2020-01-01T00:00:00Z/2020-01-02T00:00:00Z" });
    assert_eq!(details(&none, HORIZON, &exact()), json!({ "totalHits": 0 }));
}

#[test]
fn total_hits_is_about_right_and_steady() {
    for days in 2..20 {
        let body = json!({ "interval": interval(at("2025-03-10T00:00:00Z"), days * 24).1 });
        let exactly = details(&body, HORIZON, &exact())["totalHits"].as_f64().unwrap();
        let about = details(&body, HORIZON, &Switches::default());
        assert_eq!(about, details(&body, HORIZON, &Switches::default()));
        let about = about["totalHits"].as_f64().unwrap();
        assert!((about - exactly).abs() <= exactly / 100.0 + 1.0);
    }
    let few = json!({ "interval": "2025-03-16T00:00:00Z/2025-03-17T00:00:00Z" });
    let rows = all_rows(few.clone(), HORIZON, &exact()).len();
    assert!(rows <= 25, "a Sunday has {rows}");
    assert_eq!(details(&few, HORIZON, &Switches::default())["totalHits"], rows);
}

#[test]
fn restless_pages_repeat_and_fall_short_but_lose_nothing() {
    let restless = Switches {
        repeated_rows: true,
        short_pages: true,
        ..exact()
    };
    let body = json!({ "interval": "2025-03-01T00:00:00Z/2025-04-01T00:00:00Z" });
    let (calm, rows) = (
        all_rows(body.clone(), HORIZON, &exact()),
        all_rows(body, HORIZON, &restless),
    );
    assert!(rows.len() > calm.len());
    let mut unique = ids(&rows);
    unique.dedup();
    assert_eq!(unique, ids(&calm));
}

#[test]
fn order_can_be_chosen() {
    for (order_by, order) in [
        ("conversationStart", "desc"),
        ("conversationEnd", "asc"),
        ("segmentEnd", "desc"),
    ] {
        let body = json!({
            "interval": "2025-03-17T00:00:00Z/2025-03-19T00:00:00Z", "orderBy": order_by, "order": order,
        });
        let rows = all_rows(body, HORIZON, &exact());
        let field = if order_by == "conversationStart" {
            order_by
        } else {
            "conversationEnd"
        };
        let mut keys: Vec<_> = rows.iter().map(|row| row[field].as_str().unwrap()).collect();
        if order == "desc" {
            keys.reverse();
        }
        assert!(keys.is_sorted(), "{order_by} {order}");
    }
}

#[test]
fn counts_beside_the_page() {
    let answer = details(
        &json!({
            "interval": "2025-03-17T00:00:00Z/2025-03-19T00:00:00Z",
            "aggregations": [
                {"type": "termFrequency", "dimension": "mediaType", "size": 10},
                {"type": "numericRange", "metric": "tHandle", "ranges": [{"lt": 60_000}, {"gte": 60_000}]},
            ],
        }),
        HORIZON,
        &exact(),
    );
    let counts = |index: usize| {
        let results = answer["aggregations"][index]["results"].as_array().unwrap();
        results
            .iter()
            .map(|one| one["count"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(0).iter().sum::<u64>(), answer["totalHits"].as_u64().unwrap());
    assert!(counts(1).iter().all(|count| *count > 0));
}

#[test]
fn what_no_schema_can_refuse_is_refused() {
    let details = |body: Value, switches: &Switches| PUNCTUAL.details(&body, at(HORIZON), switches).unwrap_err();
    let day = "2025-03-18T00:00:00Z/2025-03-19T00:00:00Z";
    let week_unfiltered = Switches {
        max_unfiltered_details_interval_days: Some(7),
        ..Switches::default()
    };
    let cases = [
        (json!({ "interval": "yesterday" }), Switches::default(), "ISO-8601"),
        (
            json!({ "interval": "2025-03-01T00:00:00Z/2025-04-01T00:00:01Z" }),
            Switches::default(),
            "31 days",
        ),
        (
            json!({ "interval": "2025-03-01T00:00:00Z/2025-03-09T00:00:00Z" }),
            week_unfiltered,
            "7 days",
        ),
        (
            json!({ "interval": day, "paging": {"pageSize": 101, "pageNumber": 1} }),
            Switches::default(),
            "100",
        ),
        (
            json!({ "interval": day, "paging": {"pageSize": 0, "pageNumber": 1} }),
            Switches::default(),
            "zero",
        ),
        (
            json!({ "interval": day, "paging": {"pageSize": 100, "pageNumber": 1001} }),
            Switches::default(),
            "100000 results",
        ),
    ];
    for (body, switches, part) in cases {
        let refusal = details(body, &switches);
        assert_eq!(refusal.status, 400);
        assert!(refusal.message.contains(part), "{}", refusal.message);
    }
    let view = |name: &str, target: &str, range: Value| {
        json!({
            "interval": day, "metrics": ["tTalk"],
            "views": [{"target": target, "name": name, "function": "rangeBound", "range": range}],
        })
    };
    let aggregates = [
        json!({ "interval": "x/y", "metrics": ["tTalk"] }),
        json!({ "interval": day, "metrics": [] }),
        json!({ "interval": day, "metrics": ["tTalk"], "granularity": "hour" }),
        json!({ "interval": day, "metrics": ["tTalk"], "timeZone": "Europe/Atlantis" }),
        json!({ "interval": day, "metrics": ["tTalk"], "queryType": "topN" }),
        view("short", "nOffered", json!({ "lt": 5 })),
        view("short", "tTalk", json!({})),
        view("tTalk", "tTalk", json!({ "lt": 5 })),
    ];
    for body in aggregates {
        assert!(
            PUNCTUAL.aggregates(&body, at(HORIZON), &Switches::default()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn changes_are_seen_at_once() {
    let changed = organisation(0.0);
    let start = at("2025-03-18T10:00:00Z");
    let body = json!({ "interval": "2025-03-18T10:00:00Z/2025-03-18T12:00:00Z", "metrics": ["nOffered", "tHandle"] });
    let sums = || {
        let answer = changed.aggregates(&body, at(HORIZON), &Switches::default()).unwrap();
        let voice = numbers(&answer).remove("{\"mediaType\":\"voice\"}").unwrap();
        (voice["nOffered.count"], voice["tHandle.sum"])
    };
    let (offered, handled) = sums();
    let call = Injection::Call {
        start,
        queue: 0,
        user: 3,
        wait_ms: 9_000,
        talk_ms: 60_000,
        wrap_up_ms: 5_000,
    };
    let id = changed.inject(&call).unwrap();
    assert_eq!(sums(), (offered + 1.0, handled + 65_000.0));
    let event = Injection::Event {
        conversation_id: id.clone(),
        started: start,
        metric: "tHandle".to_owned(),
        value: 1_000,
        emitted_at: start + SignedDuration::from_hours(1),
    };
    changed.inject(&event).unwrap();
    assert_eq!(sums(), (offered + 1.0, handled + 66_000.0));
    let removal = Injection::Removal {
        conversation_id: id,
        started: start,
    };
    changed.inject(&removal).unwrap();
    assert_eq!(sums(), (offered, handled));
    assert_eq!(changed.inject(&removal), None);
}

#[test]
fn forgotten_days_come_back_the_same() {
    let forgetful = Organisation::remembering(PUNCTUAL.options.clone(), 300);
    let body = json!({ "interval": "2025-03-10T00:00:00Z/2025-03-20T00:00:00Z", "metrics": ALL_METRICS });
    for _ in 0..2 {
        let answer = forgetful.aggregates(&body, at(HORIZON), &Switches::default()).unwrap();
        assert_eq!(answer, aggregates(&body));
        assert!(forgetful.days().conversations <= 300);
    }
}

fn listing(listing: Listing, query: &[(&str, &str)]) -> Result<Value, Refusal> {
    let params: Vec<_> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    PUNCTUAL.listing(listing, &params, "/api/v2/things")
}

#[test]
fn listings_page_and_filter() {
    let users = listing(Listing::Users, &[]).unwrap();
    assert_eq!(users["total"], 37);
    assert_eq!(users["entities"].as_array().unwrap().len(), 25);
    assert_eq!(users["pageCount"], 2);
    assert_eq!(users["nextUri"], "/api/v2/things?pageSize=25&pageNumber=2");
    let last = listing(Listing::Users, &[("pageNumber", "2")]).unwrap();
    assert_eq!(last["entities"].as_array().unwrap().len(), 12);
    assert!(last.get("nextUri").is_none());
    assert_eq!(
        listing(Listing::Users, &[("pageNumber", "3")]).unwrap()["entities"],
        json!([])
    );
    assert_eq!(listing(Listing::Users, &[("state", "any")]).unwrap()["total"], 40);
    assert_eq!(listing(Listing::Users, &[("state", "deleted")]).unwrap()["total"], 2);
    let ids = [0, 5].map(|index| users["entities"][index]["id"].as_str().unwrap().to_owned());
    let query = [("id", ids[0].as_str()), ("id", ids[1].as_str()), ("id", "nobody")];
    assert_eq!(listing(Listing::Users, &query).unwrap()["total"], 2);
    assert_eq!(listing(Listing::WrapUpCodes, &[]).unwrap()["total"], 12);
    assert_eq!(listing(Listing::Queues, &[("name", "sup")]).unwrap()["total"], 2);
    for bad in [
        ("pageSize", "0"),
        ("pageSize", "5000"),
        ("pageNumber", "x"),
        ("state", "asleep"),
    ] {
        assert_eq!(listing(Listing::Users, &[bad]).unwrap_err().status, 400);
    }
}

/// The definition with that name, refusing unknown properties everywhere.
fn strict(schemas: &str, definition: &str) -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(schemas).unwrap();
    for definition in schema["definitions"].as_object_mut().unwrap().values_mut() {
        if definition.get("properties").is_some() && definition.get("additionalProperties").is_none() {
            definition["additionalProperties"] = false.into();
        }
    }
    schema["$ref"] = format!("#/definitions/{definition}").into();
    jsonschema::draft7::new(&schema).unwrap()
}

fn assert_valid(schemas: &str, definition: &str, answer: &Value) {
    let validator = strict(schemas, definition);
    let problems: Vec<_> = validator
        .iter_errors(answer)
        .map(|problem| format!("{}: {problem}", problem.instance_path()))
        .take(5)
        .collect();
    assert_eq!(problems, [""; 0], "{definition}");
}

#[test]
fn answers_have_the_platforms_shape() {
    let (analytics, lookups) = (
        include_str!("../genesys/schemas.json"),
        include_str!("../genesys/schemas-lookups.json"),
    );
    let misspelt = json!({ "results": [{ "data": [{ "metrics": [{ "metrik": "tTalk" }] }] }] });
    assert!(!strict(analytics, "ConversationAggregateQueryResponse").is_valid(&misspelt));
    let aggregated = aggregates(&json!({
        "interval": "2025-03-17T00:00:00Z/2025-03-24T00:00:00Z", "granularity": "P1D", "metrics": ALL_METRICS,
        "groupBy": ["queueId", "userId", "wrapUpCode", "requestedRoutingSkillId", "divisionId"],
        "views": [{"target": "tTalk", "name": "short", "function": "rangeBound", "range": {"lt": 20_000}}],
    }));
    assert_valid(analytics, "ConversationAggregateQueryResponse", &aggregated);
    let rows = all_rows(
        json!({ "interval": "2025-03-17T00:00:00Z/2025-03-19T00:00:00Z" }),
        "2025-03-18T12:00:00Z",
        &exact(),
    );
    assert_valid(
        analytics,
        "AnalyticsConversationQueryResponse",
        &json!({ "conversations": rows, "totalHits": 1 }),
    );
    let counted = details(
        &json!({
            "interval": "2025-03-17T00:00:00Z/2025-03-19T00:00:00Z",
            "aggregations": [
                {"type": "termFrequency", "dimension": "queueId"},
                {"type": "numericRange", "metric": "tTalk", "ranges": [{"gte": 1, "lt": 60_000}]},
            ],
        }),
        HORIZON,
        &exact(),
    );
    assert_valid(analytics, "AnalyticsConversationQueryResponse", &counted);
    let listings = [
        (Listing::Queues, "QueueEntityListing"),
        (Listing::Users, "UserEntityListing"),
        (Listing::WrapUpCodes, "WrapupCodeEntityListing"),
        (Listing::Divisions, "AuthzDivisionEntityListing"),
        (Listing::Skills, "SkillEntityListing"),
        (Listing::Languages, "LanguageEntityListing"),
        (Listing::Flows, "FlowEntityListing"),
    ];
    for (kind, definition) in listings {
        assert_valid(lookups, definition, &listing(kind, &[("pageSize", "100")]).unwrap());
    }
}
