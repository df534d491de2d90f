//! What users do: time is partitioned, work shows in it, and aggregates are sums over it.

use super::super::conversation::{Purpose, SegmentKind};
use super::*;

fn user_ids() -> Vec<String> {
    let everybody = listing(Listing::Users, &[("state", "any"), ("pageSize", "100")]).unwrap();
    let everybody = everybody["entities"].as_array().unwrap();
    everybody
        .iter()
        .map(|user| user["id"].as_str().unwrap().to_owned())
        .collect()
}

fn user_aggregates(body: &Value, now: Timestamp) -> Value {
    PUNCTUAL.user_aggregates(body, now, &Switches::default()).unwrap()
}

/// The sums of an answer by (userId, bucket, metric, qualifier).
fn sums(answer: &Value) -> BTreeMap<[String; 4], i64> {
    let mut sums = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for result in answer["results"].as_array().unwrap() {
        for bucket in result["data"].as_array().unwrap() {
            for metric in bucket["metrics"].as_array().unwrap() {
                let key = [
                    text(&result["group"]["userId"]),
                    text(&bucket["interval"]),
                    text(&metric["metric"]),
                    text(&metric["qualifier"]),
                ];
                let stats = metric["stats"].as_object().unwrap();
                assert_eq!(stats.len(), 1);
                assert_eq!(sums.insert(key, stats["sum"].as_i64().unwrap()), None);
            }
        }
    }
    sums
}

const STATUS_METRICS: [&str; 3] = ["tSystemPresence", "tOrganizationPresence", "tAgentRoutingStatus"];

fn overlap(start: Timestamp, end: Timestamp, from: Timestamp, until: Timestamp) -> i64 {
    end.min(until).as_millisecond() - start.max(from).as_millisecond()
}

/// What an answer must be, counted by hand from the periods.
fn expected_sums(ids: &[String], buckets: &[(Timestamp, Timestamp)], now: Timestamp) -> BTreeMap<[String; 4], i64> {
    let mut sums = BTreeMap::new();
    for id in ids {
        for (start, end) in buckets {
            for period in PUNCTUAL.user_periods(id, *start, *end, now) {
                let length = overlap(period.start, period.end, *start, *end);
                let organization_presence = period.organization_presence_id.to_string();
                let qualifiers = [period.system_presence, &organization_presence, period.routing_status];
                for (metric, qualifier) in STATUS_METRICS.into_iter().zip(qualifiers) {
                    let interval = format!("{start:.3}/{end:.3}");
                    let key = [id.clone(), interval, metric.to_owned(), qualifier.to_owned()];
                    *sums.entry(key).or_default() += length;
                }
            }
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn time_is_partitioned(day in 0_i64..30, minute in 0_i64..1_440, hours in 1_i64..100, seen in 0_i64..120) {
        let start = at(FROM) + SignedDuration::from_mins(day * 1_440 + minute);
        let (end, _) = interval(start, hours);
        let now = start + SignedDuration::from_hours(seen);
        for id in user_ids().iter().step_by(7) {
            let periods = PUNCTUAL.user_periods(id, start, end, now);
            let mut reached = start;
            for period in &periods {
                prop_assert_eq!(period.start, reached);
                prop_assert!(period.start < period.end);
                let on_queue = period.system_presence == "ON_QUEUE";
                prop_assert_eq!(on_queue, period.routing_status != "OFF_QUEUE", "{:?}", period);
                reached = period.end;
            }
            prop_assert_eq!(reached, end.min(now));
        }
    }

    #[test]
    fn a_slice_of_a_range_is_that_slice_of_the_whole(day in 0_i64..25, hour in 0_i64..24, hours in 1_i64..30) {
        let whole = (at(FROM), at("2025-04-30T00:00:00Z"));
        let start = at(FROM) + SignedDuration::from_hours(day * 24 + hour);
        let (end, _) = interval(start, hours);
        let fresh = organisation(0.3);
        for id in user_ids().iter().step_by(9) {
            let mut cut = PUNCTUAL.user_periods(id, whole.0, whole.1, at(HORIZON));
            cut.retain(|period| period.start < end && start < period.end);
            for period in &mut cut {
                (period.start, period.end) = (period.start.max(start), period.end.min(end));
            }
            prop_assert_eq!(fresh.user_periods(id, start, end, at(HORIZON)), cut);
        }
    }

    #[test]
    fn a_user_aggregate_is_a_sum_over_the_periods(day in 0_i64..25, hour in 0_i64..24, now_after in 0_i64..30) {
        let start = at(FROM) + SignedDuration::from_hours(day * 24 + hour);
        let (_, interval) = interval(start, 24);
        let now = start + SignedDuration::from_hours(now_after);
        let body = json!({
            "interval": interval, "granularity": "PT1H", "groupBy": ["userId"], "metrics": STATUS_METRICS,
        });
        let buckets: Vec<_> = (0..24)
            .map(|hour| start + SignedDuration::from_hours(hour))
            .map(|start| (start, start + SignedDuration::from_hours(1)))
            .collect();
        prop_assert_eq!(sums(&user_aggregates(&body, now)), expected_sums(&user_ids(), &buckets, now));
    }
}

#[test]
fn interacting_is_the_union_of_what_was_handled() {
    let (start, end) = (at("2025-03-31T00:00:00Z"), at("2025-04-05T00:00:00Z"));
    let mut handled: BTreeMap<u8, Vec<(i64, i64)>> = BTreeMap::new();
    for day in PUNCTUAL.days_emitting(start.as_millisecond(), end.as_millisecond()) {
        for session in day.conversations.iter().flat_map(|told| &told.sessions) {
            let ranges = handled.entry(session.user.unwrap_or(u8::MAX)).or_default();
            let work = session.segments.iter().filter(|one| one.kind != SegmentKind::Alert);
            let work = work.filter(|_| session.purpose == Purpose::Agent);
            ranges.extend(work.map(|one| (one.start, one.end)));
        }
    }
    let mut interacting = 0;
    for (user, id) in (0_u8..).zip(user_ids()) {
        let periods = PUNCTUAL.user_periods(&id, start, end, at(HORIZON));
        let ranges = &handled[&user];
        for period in periods {
            let (from, until) = (period.start.as_millisecond(), period.end.as_millisecond());
            // Nothing begins or ends inside a period but what another handling covers.
            for instant in [from, from.midpoint(until), until - 1] {
                let busy = ranges.iter().any(|(start, end)| (*start..*end).contains(&instant));
                assert_eq!(busy, period.routing_status == "INTERACTING", "{period:?}");
            }
            interacting += i64::from(period.routing_status == "INTERACTING");
        }
    }
    assert!(interacting > 300, "{interacting}");
}

#[test]
fn a_week_of_shifts_is_believable() {
    let body = json!({
        "interval": "2025-03-31T00:00:00+02:00/2025-04-07T00:00:00+02:00", "granularity": "P1D",
        "timeZone": "Europe/Berlin", "metrics": STATUS_METRICS,
    });
    let answer = user_aggregates(&body, at(HORIZON));
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    assert_eq!(answer["results"][0]["group"], json!({}));
    let days = answer["results"][0]["data"].as_array().unwrap();
    assert_eq!(days.len(), 7);
    let week = sums(&answer);
    let hours = |day: usize, qualifier: &str| {
        let bucket = days[day]["interval"].as_str().unwrap();
        let found = week.iter().filter(|(key, _)| key[1] == bucket && key[3] == qualifier);
        found.map(|(_, sum)| *sum as f64 / 3_600_000.0).sum::<f64>()
    };
    for day in 0..5 {
        // 37 people, of whom a few are off.
        assert!(
            (200.0..280.0).contains(&hours(day, "ON_QUEUE")),
            "{}",
            hours(day, "ON_QUEUE")
        );
        assert!((12.0..30.0).contains(&hours(day, "MEAL")), "{}", hours(day, "MEAL"));
        assert!(hours(day, "IDLE") > hours(day, "INTERACTING"));
    }
    for qualifier in [
        "AVAILABLE",
        "AWAY",
        "BREAK",
        "BUSY",
        "MEETING",
        "TRAINING",
        "COMMUNICATING",
        "NOT_RESPONDING",
    ] {
        assert!(
            (0..5).map(|day| hours(day, qualifier)).sum::<f64>() > 0.0,
            "{qualifier}"
        );
    }
    assert!(hours(6, "ON_QUEUE") < 24.0);
    assert_eq!(answer["systemToOrganizationMappings"].as_object().unwrap().len(), 9);
    assert_eq!(
        answer["systemToOrganizationMappings"]["MEETING"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_valid(
        include_str!("../../genesys/schemas.json"),
        "UserAggregateQueryResponse",
        &answer,
    );
}

#[test]
fn users_are_chosen_by_the_filter() {
    let ids = user_ids();
    let ask = |filter: Value| {
        let body = json!({
            "interval": "2025-03-31T00:00:00Z/2025-04-01T00:00:00Z", "groupBy": ["userId"],
            "metrics": ["tSystemPresence"], "filter": filter,
        });
        let answer = user_aggregates(&body, at(HORIZON));
        let results = answer["results"].as_array().unwrap().clone();
        results
            .into_iter()
            .map(|one| one["group"]["userId"].clone())
            .collect::<Vec<_>>()
    };
    let is = |id: &str| json!({"dimension": "userId", "value": id});
    assert_eq!(
        ask(json!({"type": "or", "predicates": [is(&ids[3]), is(&ids[20])]})).len(),
        2
    );
    assert_eq!(
        ask(json!({"type": "and", "predicates": [is(&ids[3]), is(&ids[20])]})),
        Vec::<Value>::new()
    );
    assert_eq!(
        ask(json!({"type": "or", "predicates": [is(&PUNCTUAL.directory.queues[0].id.to_string())]})).len(),
        0
    );
    assert_eq!(ask(json!(null)).len(), 40);
}

#[test]
fn what_user_aggregates_cannot_be_is_refused() {
    let day = "2025-03-31T00:00:00Z/2025-04-01T00:00:00Z";
    let many = vec![json!({"dimension": "userId", "value": "x"}); 101];
    let view = json!({"target": "tSystemPresence", "name": "v", "function": "rangeBound", "range": {"lt": 5}});
    for body in [
        json!({ "interval": day, "metrics": [] }),
        json!({ "interval": "x", "metrics": ["tSystemPresence"] }),
        json!({ "interval": day, "metrics": ["tSystemPresence"], "granularity": "PT" }),
        json!({ "interval": day, "metrics": ["tSystemPresence"], "views": [view] }),
        json!({ "interval": day, "metrics": ["tSystemPresence"], "filter": {"type": "or", "predicates": many} }),
    ] {
        let refusal = PUNCTUAL.user_aggregates(&body, at(HORIZON), &Switches::default());
        assert_eq!(refusal.unwrap_err().status, 400, "{body}");
    }
}

#[test]
fn before_the_beginning_and_after_now_nobody_does_anything() {
    for (interval, now) in [
        ("2025-02-01T00:00:00Z/2025-03-01T00:00:00Z", at(HORIZON)),
        ("2025-03-31T00:00:00Z/2025-04-01T00:00:00Z", at("2025-03-31T00:00:00Z")),
    ] {
        let body = json!({ "interval": interval, "metrics": ["tSystemPresence"] });
        assert_eq!(user_aggregates(&body, now)["results"], json!([]));
    }
}

/// Records of a question about two days in the middle of a week, by user: start, end (none while it lasts), what it is.
fn records(
    body: &Value,
    now: Timestamp,
    list: &str,
    field: &str,
) -> BTreeMap<String, Vec<(String, Option<String>, String)>> {
    let answer = PUNCTUAL.user_details(body, now, &Switches::default()).unwrap();
    let users = answer["userDetails"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    users
        .map(|user| {
            let records = user[list].as_array().into_iter().flatten();
            let records = records.map(|record| {
                (
                    text(&record["startTime"]).unwrap(),
                    text(&record["endTime"]),
                    text(&record[field]).unwrap(),
                )
            });
            (text(&user["userId"]).unwrap(), records.collect())
        })
        .collect()
}

#[test]
fn details_of_users_tell_whole_records_that_touch_the_interval() {
    let (start, end) = (
        "2025-04-01T09:00:00Z".parse::<Timestamp>().unwrap(),
        "2025-04-02T15:00:00Z".parse::<Timestamp>().unwrap(),
    );
    let now = "2025-04-02T12:00:00Z".parse::<Timestamp>().unwrap();
    let body = json!({
        "interval": format!("{start:.3}/{end:.3}"), "paging": {"pageSize": 100, "pageNumber": 1},
    });
    let (mut open, mut crossing) = (0, 0);
    for (list, field) in [
        ("primaryPresence", "systemPresence"),
        ("routingStatus", "routingStatus"),
    ] {
        let told = records(&body, now, list, field);
        assert!(told.len() > 5);
        for (user, records) in told {
            let began = records[0].0.parse::<Timestamp>().unwrap();
            assert!(began <= start, "{user} was something at the beginning");
            crossing += usize::from(began < start);
            for pair in records.windows(2) {
                assert_eq!(pair[0].1.as_ref(), Some(&pair[1].0), "without gap");
            }
            let periods = PUNCTUAL.user_periods(&user, start, end, now);
            for (began, ended, what) in &records {
                let began: Timestamp = began.parse().unwrap();
                let ended = ended.as_ref().map_or(now, |ended| ended.parse().unwrap());
                open += usize::from(ended == now);
                let inside = periods
                    .iter()
                    .filter(|period| began <= period.start && period.end <= ended);
                let seen: Vec<_> = inside
                    .map(|period| {
                        if list == "routingStatus" {
                            period.routing_status
                        } else {
                            period.system_presence
                        }
                    })
                    .collect();
                // An instant at the edge may leave no period of its own.
                assert!(seen.iter().all(|seen| seen == what), "{user} {began} {what} {seen:?}");
            }
        }
    }
    assert!(open > 0 && crossing > 0, "{open} {crossing}");
}

#[test]
fn filters_of_user_details_leave_the_records_they_hold_for() {
    let now = "2025-04-03T12:00:00Z".parse::<Timestamp>().unwrap();
    let with = |name: &str, dimension: &str, value: &str| {
        json!({
            "interval": "2025-03-31T00:00:00.000Z/2025-04-02T00:00:00.000Z", "paging": {"pageSize": 100, "pageNumber": 1},
            name: [{"type": "and", "predicates": [{"dimension": dimension, "value": value}]}],
        })
    };
    let meals = records(
        &with("presenceFilters", "systemPresence", "MEAL"),
        now,
        "primaryPresence",
        "systemPresence",
    );
    assert!(
        meals.len() > 5 && meals.values().flatten().all(|record| record.2 == "MEAL"),
        "{meals:?}"
    );
    let idle = records(
        &with("routingStatusFilters", "routingStatus", "IDLE"),
        now,
        "routingStatus",
        "routingStatus",
    );
    assert!(idle.values().flatten().all(|record| record.2 == "IDLE") && !idle.is_empty());
    let one = meals.keys().next().unwrap();
    let told = records(
        &with("userFilters", "userId", one),
        now,
        "primaryPresence",
        "systemPresence",
    );
    assert_eq!(told.keys().collect::<Vec<_>>(), [one]);
    let long = json!({"interval": "2025-03-10T00:00:00.000Z/2025-03-29T00:00:00.000Z"});
    assert!(
        PUNCTUAL.user_details(&long, now, &Switches::default()).is_err(),
        "seven days without a filter"
    );
}

fn of_users<'a>(ids: impl IntoIterator<Item = &'a String>, metrics: &[&str]) -> Value {
    let one = |id: &String| json!({"dimension": "userId", "value": id});
    let predicates: Vec<_> = ids.into_iter().map(one).collect();
    json!({ "filter": {"type": "or", "predicates": predicates}, "metrics": metrics })
}

/// A member of three queues is counted in each of them, and has three.
#[test]
fn users_are_in_as_many_queues_as_have_them_as_members() {
    let (ids, now) = (user_ids(), at("2025-04-01T08:30:00Z"));
    let body = of_users(&ids, &["oActiveQueues", "oMemberQueues"]);
    let told = PUNCTUAL.user_observations(&body, &Switches::default()).unwrap();
    assert_valid(
        include_str!("../../genesys/schemas.json"),
        "UserObservationQueryResponse",
        &told,
    );
    let results = told["results"].as_array().unwrap();
    let groups: Vec<_> = results
        .iter()
        .map(|result| result["group"]["userId"].as_str().unwrap())
        .collect();
    assert_eq!(groups.len(), ids.len());
    let count = |result: &Value, metric: &str| {
        let data = result["data"].as_array().unwrap().iter();
        let mut told = data.filter(|one| one["metric"] == metric);
        told.next().unwrap()["stats"]["count"].as_i64().unwrap()
    };
    let queue = |queue: &directory::Queue| json!({"dimension": "queueId", "value": queue.id.to_string()});
    let queues: Vec<_> = PUNCTUAL.directory.queues.iter().map(queue).collect();
    let of_queues = json!({
        "filter": {"type": "or", "predicates": queues},
        "metrics": ["oMemberUsers", "oActiveUsers"], "detailMetrics": ["oMemberUsers"],
    });
    let observed = PUNCTUAL
        .queue_observations(&of_queues, now, &Switches::default())
        .unwrap();
    let results_of_queues = observed["results"].as_array().unwrap();
    for (of_user, of_queue) in [("oMemberQueues", "oMemberUsers"), ("oActiveQueues", "oActiveUsers")] {
        let by_user: i64 = results.iter().map(|result| count(result, of_user)).sum();
        let by_queue: i64 = results_of_queues.iter().map(|result| count(result, of_queue)).sum();
        assert_eq!(by_user, by_queue);
    }
    // Nobody is left out of so short a list of members.
    let members = |result: &Value| -> Vec<String> {
        let data = result["data"].as_array().unwrap().iter();
        let told = data.flat_map(|one| one["observations"].as_array().cloned().unwrap_or_default());
        told.map(|one| one["userId"].as_str().unwrap().to_owned()).collect()
    };
    let members: Vec<String> = results_of_queues.iter().flat_map(members).collect();
    for result in results {
        let user = result["group"]["userId"].as_str().unwrap();
        let times = members.iter().filter(|member| *member == user).count();
        assert_eq!(count(result, "oMemberQueues"), i64::try_from(times).unwrap(), "{user}");
    }
    assert!(
        results.iter().any(|result| count(result, "oMemberQueues") == 0),
        "who has left"
    );
    let nobody = of_users(&["11111111-1111-4111-8111-111111111111".to_owned()], &["oMemberQueues"]);
    assert_eq!(
        PUNCTUAL.user_observations(&nobody, &Switches::default()).unwrap(),
        json!({ "results": [] })
    );
    let mut detailed = of_users(&ids, &["oMemberQueues"]);
    detailed["detailMetrics"] = json!(["oMemberQueues"]);
    for body in [of_users(&[], &["oMemberQueues"]), of_users(&ids, &[]), detailed] {
        let refusal = PUNCTUAL.user_observations(&body, &Switches::default()).unwrap_err();
        assert_eq!(refusal.status, 400, "{body}");
    }
}
