//! What queues look like at one instant.

use super::*;

fn observe(body: &Value, now: &str) -> Value {
    PUNCTUAL
        .queue_observations(body, at(now), &Switches::default())
        .unwrap()
}

const METRICS: [&str; 11] = [
    "oActiveUsers",
    "oAlerting",
    "oInteracting",
    "oLongestInteracting",
    "oLongestWaiting",
    "oMemberUsers",
    "oOffQueueUsers",
    "oOnQueueUsers",
    "oUserPresences",
    "oUserRoutingStatuses",
    "oWaiting",
];

fn all_queues() -> Value {
    let one = |queue: &directory::Queue| json!({"dimension": "queueId", "value": queue.id.to_string()});
    let queues: Vec<_> = PUNCTUAL.directory.queues.iter().map(one).collect();
    json!({ "type": "or", "predicates": queues })
}

/// The sum over all data of a metric, and of those with one qualifier.
fn total(answer: &Value, metric: &str, qualifier: Option<&str>) -> i64 {
    let results = answer["results"].as_array().unwrap().iter();
    let data = results.flat_map(|result| result["data"].as_array().unwrap());
    let those =
        data.filter(|one| one["metric"] == metric && (qualifier.is_none() || one["qualifier"].as_str() == qualifier));
    those.map(|one| one["stats"]["count"].as_i64().unwrap()).sum()
}

#[test]
fn waiting_is_who_entered_and_has_not_left() {
    for now in [
        "2025-04-01T08:30:00Z",
        "2025-04-01T13:45:10Z",
        "2025-04-06T12:00:00Z",
        "2025-04-03T23:00:00Z",
    ] {
        let answer = observe(&json!({ "filter": all_queues(), "metrics": ["oWaiting"] }), now);
        let expected = waiting(at(now));
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 8 * 5);
        for result in results {
            let group = json!({ "mediaType": result["group"]["mediaType"], "queueId": result["group"]["queueId"] });
            let expected = expected.get(&group.to_string()).copied().unwrap_or(0.0);
            assert_eq!(
                result["data"][0]["stats"]["count"].as_f64().unwrap(),
                expected,
                "{group} {now}"
            );
        }
    }
}

#[test]
fn users_and_conversations_agree() {
    let (mut interacting, mut alerting) = (0, 0);
    for minute in 0..40 {
        let now = at("2025-04-01T08:00:00Z") + SignedDuration::from_mins(minute * 7);
        let body = json!({ "filter": all_queues(), "metrics": METRICS, "detailMetrics": ["oInteracting", "oUserRoutingStatuses"] });
        let answer = observe(&body, &now.to_string());
        let members = total(&answer, "oMemberUsers", None);
        assert_eq!(members, total(&answer, "oActiveUsers", None));
        assert_eq!(members, total(&answer, "oUserRoutingStatuses", None));
        assert_eq!(members, total(&answer, "oUserPresences", None));
        assert_eq!(
            members,
            total(&answer, "oOnQueueUsers", None) + total(&answer, "oOffQueueUsers", None)
        );
        assert_eq!(
            total(&answer, "oUserRoutingStatuses", Some("OFF_QUEUE")),
            total(&answer, "oOffQueueUsers", None)
        );
        alerting += total(&answer, "oAlerting", None);
        for result in answer["results"].as_array().unwrap() {
            let data = result["data"].as_array().unwrap();
            let find = |metric: &str| data.iter().find(|one| one["metric"] == metric);
            let Some(talking) = find("oInteracting") else { continue };
            let observations = talking["observations"].as_array().map_or(&[][..], Vec::as_slice);
            assert_eq!(talking["stats"]["count"], observations.len());
            for observation in observations {
                let id = observation["userId"].as_str().unwrap();
                let period = PUNCTUAL.user_periods(id, now, now + SignedDuration::from_millis(1), at(HORIZON));
                assert_eq!(period[0].routing_status, "INTERACTING");
                interacting += 1;
            }
            let first = observations
                .first()
                .map(|one| at(one["observationDate"].as_str().unwrap()).as_millisecond());
            let longest = find("oLongestInteracting");
            assert_eq!(
                longest.and_then(|one| one["stats"]["calculatedMetricValue"].as_i64()),
                first
            );
        }
    }
    assert!(interacting > 50 && alerting > 0, "{interacting} {alerting}");
}

#[test]
fn a_users_observation_dates_from_the_last_change() {
    // A Monday morning: whoever is off has been since Friday or longer.
    let now = "2025-04-07T03:30:00Z";
    let body = json!({ "filter": all_queues(), "metrics": ["oMemberUsers"], "detailMetrics": ["oOffQueueUsers"] });
    let answer = observe(&body, now);
    let mut checked = 0;
    for result in answer["results"].as_array().unwrap() {
        for data in result["data"].as_array().unwrap() {
            for observation in data["observations"].as_array().map_or(&[][..], Vec::as_slice) {
                let since = at(observation["observationDate"].as_str().unwrap());
                let id = observation["userId"].as_str().unwrap();
                let periods =
                    PUNCTUAL.user_periods(id, at(EARLIEST), at(now) + SignedDuration::from_millis(1), at(HORIZON));
                assert_eq!(periods.last().unwrap().start, since);
                checked += 1;
            }
        }
    }
    assert!(checked > 100);
}

#[test]
fn the_filter_chooses_queues_and_media() {
    let id = PUNCTUAL.directory.queues[2].id.to_string();
    let queue = json!({"type": "or", "predicates": [{"dimension": "queueId", "value": id}]});
    let voice = json!({"type": "or", "predicates": [{"dimension": "mediaType", "value": "voice"}]});
    let groups = |filter: Value| {
        let answer = observe(&json!({ "filter": filter, "metrics": METRICS }), "2025-04-01T08:30:00Z");
        let results = answer["results"].as_array().unwrap().clone();
        results
            .into_iter()
            .map(|result| result["group"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(groups(queue.clone()).len(), 6);
    assert_eq!(
        groups(json!({"type": "and", "clauses": [queue, voice]})),
        [json!({"queueId": id}), json!({"queueId": id, "mediaType": "voice"})]
    );
    assert_eq!(
        groups(json!({"type": "or", "predicates": [{"dimension": "queueId", "value": "nowhere"}]})),
        Vec::<Value>::new()
    );
    for body in [
        json!({ "filter": {"type": "or", "predicates": [{"dimension": "mediaType", "value": "voice"}]}, "metrics": METRICS }),
        json!({ "filter": all_queues(), "metrics": [] }),
    ] {
        let refusal = PUNCTUAL.queue_observations(&body, at(HORIZON), &Switches::default());
        assert_eq!(refusal.unwrap_err().status, 400, "{body}");
    }
}

#[test]
fn observations_have_the_platforms_shape() {
    let details: Vec<_> = METRICS
        .iter()
        .filter(|metric| !metric.starts_with("oLongest"))
        .collect();
    let body = json!({ "filter": all_queues(), "metrics": METRICS, "detailMetrics": details });
    let answer = observe(&body, "2025-04-01T08:30:00Z");
    assert_valid(
        include_str!("../../genesys/schemas.json"),
        "QueueObservationQueryResponse",
        &answer,
    );
    assert!(answer["systemToOrganizationMappings"]["ON_QUEUE"].is_array());
}

#[test]
fn long_lists_are_cut_in_the_middle() {
    let busy = Organisation::new(OrganisationOptions {
        conversations_per_day: 30_000,
        ..PUNCTUAL.options.clone()
    });
    let body = json!({ "filter": all_queues(), "metrics": [], "detailMetrics": ["oWaiting"] });
    let answer = busy
        .queue_observations(&body, at("2025-04-01T15:00:00Z"), &Switches::default())
        .unwrap();
    let data: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["data"][0])
        .collect();
    let cut: Vec<_> = data.iter().filter(|one| one["truncated"] == true).collect();
    assert!(!cut.is_empty());
    for one in cut {
        assert!(one["stats"]["count"].as_i64().unwrap() > 100);
        assert_eq!(one["observations"].as_array().unwrap().len(), 100);
    }
}
