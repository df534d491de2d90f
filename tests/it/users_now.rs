//! Users as they are at this moment: what their details end with, in as many queues as observe them, and cheap.

use std::collections::{BTreeMap, BTreeSet};

use genesys_reports::simulator::{
    Grants,
    faults::{Effect, Fault},
};
use serde_json::{Value, json};

use crate::support::service::{Service, Setup};

const ALL: &str = "/v1/now/users";
const DETAILS: &str = "/api/v2/analytics/users/details/query";
const OBSERVATIONS: &str = "/api/v2/analytics/users/observations/query";

async fn entities(service: &Service, target: &str) -> Vec<Value> {
    let answer = service.get(target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()["entities"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Of the same instant: presence and routing status are the rows of today's details that have not ended.
#[tokio::test(start_paused = true)]
async fn what_a_user_is_is_what_their_details_end_with() {
    let service = Service::start().await;
    let answer = service.get(&format!("{ALL}?pageSize=1000")).await.json();
    let now: jiff::Timestamp = text(&answer["meta"]["asOf"]).parse().unwrap();
    let users = answer["entities"].as_array().unwrap();
    let states = entities(&service, "/v1/users/details?dateFrom=now/d&dateTo=now&pageSize=1000").await;
    let mut lasting: BTreeMap<(String, String), Value> = BTreeMap::new();
    for state in states.iter().filter(|row| row["state"]["end"].is_null()) {
        let key = (text(&state["agent"]["id"]), text(&state["state"]["kind"]));
        assert!(lasting.insert(key, state.clone()).is_none(), "{state} is not alone");
    }
    assert!(users.len() > 20);
    assert_eq!(lasting.len(), 2 * users.len());
    let mut seen = BTreeSet::new();
    for user in users {
        let id = text(&user["agent"]["id"]);
        for (kind, what, place) in [("presence", "system", "presence"), ("routing", "status", "routing")] {
            let row = &lasting[&(id.clone(), kind.to_owned())];
            assert_eq!(user["agent"], row["agent"]);
            assert_eq!(user[place][what], row["state"]["name"], "{user}");
            assert_eq!(user[place]["since"], row["state"]["start"], "{user}");
            let since: jiff::Timestamp = text(&row["state"]["start"]).parse().unwrap();
            let lasts = since.duration_until(now).as_millis() as f64;
            assert_eq!(user[place]["time"].as_f64(), Some(lasts), "{user}");
            seen.insert(text(&user[place][what]));
        }
        assert_eq!(
            user["presence"]["id"],
            lasting[&(id, "presence".to_owned())]["presence"]["id"]
        );
    }
    assert!(
        seen.contains("ON_QUEUE") && seen.contains("INTERACTING"),
        "a Friday noon: {seen:?}"
    );
    let names: Vec<String> = users.iter().map(|user| text(&user["agent"]["name"])).collect();
    assert!(names.is_sorted());
}

/// A member of several queues is counted by each.
#[tokio::test(start_paused = true)]
async fn users_and_queues_agree_on_members() {
    let service = Service::start().await;
    let users = entities(&service, &format!("{ALL}?pageSize=1000")).await;
    let queues = entities(&service, "/v1/now/queues").await;
    let sum = |rows: &[Value], pointer: &str| -> u64 {
        let counts = rows.iter().map(|row| row.pointer(pointer).and_then(Value::as_u64));
        counts.map(|count| count.expect(pointer)).sum()
    };
    let members = sum(&users, "/queues/member");
    assert!(members > 20);
    assert_eq!(members, sum(&queues, "/agents/member"));
    assert_eq!(sum(&users, "/queues/active"), sum(&queues, "/agents/active"));
}

#[tokio::test(start_paused = true)]
async fn everybody_who_looks_within_five_seconds_costs_two_requests() {
    let service = Service::start().await;
    let first = service.get(ALL).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(
        first.json()["meta"]["upstreamCalls"],
        3,
        "the names, once an hour; the states and the queues"
    );
    let crowd = (0..20).map(|viewer| {
        // However they want to see it.
        let ways = [
            "",
            "?presence=ON_QUEUE",
            "?routingStatus=IDLE&format=csv",
            "?format=table",
            "?pageSize=3&page=2",
        ];
        let service = &service;
        async move { service.get(&format!("{ALL}{}", ways[viewer % ways.len()])).await }
    });
    for answer in futures_util::future::join_all(crowd).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(service.upstream_calls(), 3);
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let crowd = (0..20).map(|_| service.get(ALL));
    for answer in futures_util::future::join_all(crowd).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(service.upstream_calls(), 5, "one fetch for all who come at once");

    let of_one = entities(&service, ALL).await[0].clone();
    let id = text(&of_one["agent"]["id"]);
    service.simulator.journal().clear();
    assert_eq!(
        entities(&service, &format!("{ALL}?filter=agent.id:{id}")).await.len(),
        1
    );
    for entry in service.simulator.journal().entries() {
        let filter = if entry.path == DETAILS {
            &entry.body["userFilters"][0]
        } else {
            &entry.body["filter"]
        };
        let named: Vec<_> = filter["predicates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["value"])
            .collect();
        assert_eq!(named, [&json!(id)], "{}", entry.path);
    }
    let journal = service.simulator.journal();
    assert_eq!((journal.count(DETAILS), journal.count(OBSERVATIONS)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn users_and_what_they_are_in_are_chosen() {
    let service = Service::start().await;
    let all = entities(&service, &format!("{ALL}?pageSize=1000")).await;
    let is_in = |user: &Value, pointer: &str, words: &[&str]| {
        words.contains(&user.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
    };
    for (parameters, pointer, words) in [
        ("presence=ON_QUEUE", "/presence/system", &["ON_QUEUE"][..]),
        ("presence=BREAK,OFFLINE", "/presence/system", &["BREAK", "OFFLINE"]),
        (
            "routingStatus=IDLE&routingStatus=INTERACTING",
            "/routing/status",
            &["IDLE", "INTERACTING"],
        ),
    ] {
        let shown = entities(&service, &format!("{ALL}?pageSize=1000&{parameters}")).await;
        let expected: Vec<&Value> = all.iter().filter(|user| is_in(user, pointer, words)).collect();
        assert!(!shown.is_empty() && shown.len() < all.len(), "{parameters}");
        assert!(shown.iter().eq(expected), "{parameters}");
    }
    let name = text(&all[3]["agent"]["name"]);
    let by_name = format!("{ALL}?filter=agent.name:{}", name.replace(' ', "%20"));
    let same: Vec<&Value> = all.iter().filter(|user| user["agent"]["name"] == *name).collect();
    assert!(entities(&service, &by_name).await.iter().eq(same));
    // Who is named has a row, whatever is known.
    let nobody = "11111111-1111-4111-8111-111111111111";
    let told = entities(&service, &format!("{ALL}?filter=agent.id:{nobody}")).await;
    assert_eq!((told.len(), &told[0]["agent"]["id"]), (1, &json!(nobody)));
    assert!(
        told[0]["presence"]["system"].is_null() && told[0]["queues"]["member"].is_null(),
        "{}",
        told[0]
    );

    let page = service.get(&format!("{ALL}?pageSize=5&page=2")).await.json();
    assert_eq!(page["total"], all.len());
    assert_eq!(page["entities"].as_array().unwrap()[..], all[5..10]);
    let csv = service.get(&format!("{ALL}?format=csv")).await;
    assert!(csv.header("content-disposition").contains("users-now.csv"));
    assert_eq!(
        csv.text().lines().next(),
        Some(
            "agent.id,agent.name,presence.system,presence.id,presence.since,presence.time,routing.status,\
             routing.since,routing.time,queues.member,queues.active"
        )
    );
    assert_eq!(csv.text().lines().count(), 1 + all.len());
    for format in ["table", "ndjson", "xlsx", "arrow", "parquet"] {
        assert_eq!(
            service.get(&format!("{ALL}?format={format}")).await.status,
            200,
            "{format}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_observed_is_refused_before_it_costs_anything() {
    let service = Service::start().await;
    for (question, pointer) in [
        ("?dateFrom=today", "/dateFrom"),
        ("?filter=routing.queue.id:x", "/filter/0/dimension"),
        ("?presence=ONQUEUE", "/presence/0"),
        ("?routingStatus=BUSY", "/routingStatus/0"),
        ("?groupBy=agent.id", "/groupBy"),
        ("?format=xml", "/format"),
    ] {
        let answer = service.get(&format!("{ALL}{question}")).await;
        assert_eq!(answer.status, 422, "{question}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{question}");
    }
    let many: Vec<String> = (0..201).map(|number| format!("u{number}")).collect();
    let answer = service.get(&format!("{ALL}?filter=agent.id:{}", many.join(","))).await;
    assert_eq!(answer.status, 422, "more than a filter takes");
    assert_eq!(service.upstream_calls(), 0);
    let unknown = service.get(&format!("{ALL}?filter=agent.name:Nobody%20Atall")).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem().as_str()), (422, "invalid"));
}

/// Two hundred, as many as a filter takes, are asked about a hundred at a time.
#[tokio::test(start_paused = true)]
async fn a_request_names_a_hundred_users() {
    let service = Service::start().await;
    let many: Vec<String> = (0..200)
        .map(|number| format!("11111111-1111-4111-8111-{number:012}"))
        .collect();
    let named = entities(
        &service,
        &format!("{ALL}?pageSize=1000&filter=agent.id:{}", many.join(",")),
    )
    .await;
    assert_eq!(named.len(), 200);
    for path in [DETAILS, OBSERVATIONS] {
        let mut asked: Vec<String> = Vec::new();
        let entries = service.simulator.journal().entries();
        for entry in entries.iter().filter(|entry| entry.path == path) {
            let filter = if path == DETAILS {
                &entry.body["userFilters"][0]
            } else {
                &entry.body["filter"]
            };
            let predicates = filter["predicates"].as_array().unwrap();
            assert_eq!(predicates.len(), 100, "{path}");
            asked.extend(predicates.iter().map(|one| text(&one["value"])));
        }
        asked.sort();
        assert_eq!(asked, many, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_stood_in_for_or_told() {
    let service = Service::start().await;
    let before = entities(&service, ALL).await;
    service.pass(20).await;
    service.fault(Fault::new(Effect::status(503)).on_path(OBSERVATIONS).times(3));
    let stale = service.get(ALL).await;
    assert_eq!(stale.json()["meta"]["cache"], "stale", "{}", stale.text());
    assert_eq!(stale.json()["entities"].as_array().unwrap(), &before);
    service.pass(20).await;

    let mut service = Service::start().await;
    service.expect_error("This service lacks a permission in Genesys Cloud");
    let grants = Grants::all().without("analytics:userObservation:view");
    service.simulator.set_permissions(grants);
    let refused = service.get(ALL).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (502, "upstream-permission")
    );
    assert!(
        refused.text().contains("analytics:userObservation:view"),
        "{}",
        refused.text()
    );
}

#[tokio::test(start_paused = true)]
async fn a_confined_key_is_refused() {
    for (dimension, id) in [
        ("routing.queue.id", "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11"),
        ("division.id", "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c12"),
    ] {
        let (setup, key) = Setup::new().key(r#""read""#, &format!(", filters={{\"{dimension}\"=[\"{id}\"]}}"));
        let service = setup.start().await;
        for path in [ALL, "/v1/reports/agents-now", "/v1/reports/agent-timeline"] {
            let request = service.request(reqwest::Method::GET, path);
            let answer = service.send(request.bearer_auth(&key)).await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
            let why = format!("not told apart by {dimension}");
            assert!(answer.text().contains(&why), "{path}: {}", answer.text());
        }
        let journal = service.simulator.journal();
        assert_eq!((journal.count(DETAILS), journal.count(OBSERVATIONS)), (0, 0));
    }
}
