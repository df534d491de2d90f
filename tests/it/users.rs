//! What users were, one by one: as it was, each once, and asked for as rarely as its age allows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::service::{Service, Setup};

const STATES: &str = "/v1/users/details";
const DETAILS: &str = "/api/v2/analytics/users/details/query";

async fn states(service: &Service, parameters: &str) -> Value {
    let answer = service.get(&format!("{STATES}?{parameters}")).await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    answer.json()
}

/// All pages.
async fn all(service: &Service, parameters: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut target = Some(format!("{STATES}?pageSize=1000&{parameters}"));
    while let Some(next) = target {
        let page = service.get(&next).await.json();
        found.extend(page["entities"].as_array().expect("rows").iter().cloned());
        target = page["nextUri"].as_str().map(str::to_owned);
    }
    found
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// The intervals asked for since the last time, by their days.
fn asked(service: &Service) -> Vec<String> {
    let journal = service.simulator.journal();
    let entries = journal.entries().into_iter().filter(|entry| entry.path == DETAILS);
    let intervals = entries.map(|entry| {
        let interval = entry.body["interval"].as_str().unwrap().to_owned();
        let (start, end) = interval.split_once('/').unwrap();
        format!("{}/{}", &start[5..10], &end[5..10])
    });
    let mut intervals: Vec<_> = intervals.collect();
    intervals.sort();
    journal.clear();
    intervals
}

/// Against the simulator's raw periods: every user's time in every state, and the aggregates of the same range.
#[tokio::test(start_paused = true)]
async fn the_time_of_states_adds_up_to_what_it_was() {
    let service = Service::start().await;
    let (from, to) = ("2023-11-20T07:30:00Z", "2023-12-01T11:00:00Z");
    let range = format!("dateFrom={from}&dateTo={to}");
    let rows = all(&service, &range).await;
    assert!(rows.len() > 1_000, "{}", rows.len());
    let mut told: BTreeMap<(String, String, String), f64> = BTreeMap::new();
    let mut known = std::collections::BTreeSet::new();
    for row in &rows {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (agent, state) = (text(&row["agent"]["id"]), &row["state"]);
        let time = state["time"].as_f64().unwrap();
        let (start, end) = (
            instant(&state["start"]),
            state["end"].as_str().map(|_| instant(&state["end"])),
        );
        assert!(
            known.insert((agent.clone(), text(&state["kind"]), start)),
            "{row} is told twice"
        );
        if let Some(end) = end {
            let duration = start.duration_until(end).as_millis() as f64;
            assert_eq!(state["duration"].as_f64(), Some(duration), "{row}");
            assert!(end <= to.parse().unwrap(), "{row}");
        } else {
            assert!(state["duration"].is_null(), "{row}");
        }
        assert_eq!(row["presence"]["id"].is_string(), state["kind"] == "presence", "{row}");
        *told
            .entry((agent, text(&state["kind"]), text(&state["name"])))
            .or_default() += time;
    }
    let mut expected: BTreeMap<(String, String, String), f64> = BTreeMap::new();
    let agents: std::collections::BTreeSet<&String> = told.keys().map(|(agent, ..)| agent).collect();
    assert!(agents.len() > 10);
    for agent in agents {
        let organisation = service.simulator.organisation();
        let [from, to]: [Timestamp; 2] = [from, to].map(|text| text.parse().unwrap());
        for period in organisation.user_periods(agent, from, to, service.clock.now()) {
            let time = period.start.duration_until(period.end).as_millis() as f64;
            for (kind, name) in [("presence", period.system_presence), ("routing", period.routing_status)] {
                *expected
                    .entry((agent.clone(), kind.to_owned(), name.to_owned()))
                    .or_default() += time;
            }
        }
    }
    assert!(told == expected);

    // The same time, added up by Genesys Cloud.
    let figures = service
        .get(&format!(
            "/v1/query?source=users&{range}&groupBy=agent.id&select=agent.id,presence.on.queue.time&pageSize=1000"
        ))
        .await
        .json();
    for row in figures["entities"].as_array().unwrap() {
        let agent = row["agent"]["id"].as_str().unwrap().to_owned();
        let on_queue = told.get(&(agent.clone(), "presence".to_owned(), "ON_QUEUE".to_owned()));
        let figure = row["presence"]["on"]["queue"]["time"].as_f64();
        assert_eq!(on_queue.copied(), figure, "{agent}");
    }
}

#[tokio::test(start_paused = true)]
async fn days_that_are_over_are_asked_for_once_and_today_again() {
    let service = Service::start().await;
    let range = "dateFrom=2023-11-22&dateTo=2023-12-02";
    let first = states(&service, range).await;
    assert_eq!(
        (&first["meta"]["cache"], &first["meta"]["upstreamCalls"]),
        (&json!("miss"), &json!(4))
    );
    assert_eq!(first["meta"]["complete"], json!(false));
    assert_eq!(asked(&service), ["11-22/11-29", "11-29/12-01", "12-01/12-02"]);
    // In every cut and format.
    for parameters in [
        "",
        "&kind=routing",
        "&page=2&pageSize=7",
        "&format=csv",
        "&format=parquet",
    ] {
        let answer = service.get(&format!("{STATES}?{range}{parameters}")).await;
        assert_eq!(answer.status, 200, "{parameters}");
        assert_eq!(asked(&service), Vec::<String>::new(), "{parameters}");
    }
    service.pass(60).await;
    assert_eq!(states(&service, range).await["meta"]["upstreamCalls"], json!(1));
    assert_eq!(asked(&service), ["12-01/12-02"]);
    service.pass(4000).await;
    states(&service, range).await;
    assert_eq!(asked(&service), ["11-29/12-01", "12-01/12-02"]);
    // Of some users, in one request what everybody's takes several for.
    let user = first["entities"][0]["agent"]["id"].as_str().unwrap();
    let own = all(
        &service,
        &format!("dateFrom=2023-11-01&dateTo=2023-11-20&filter=agent.id:{user}"),
    )
    .await;
    assert_eq!(asked(&service), ["11-01/11-20"]);
    assert!(!own.is_empty() && own.iter().all(|row| row["agent"]["id"] == user));
}

#[tokio::test(start_paused = true)]
async fn a_user_is_named_and_what_settled_is_complete() {
    let service = Service::start().await;
    let week = "dateFrom=2023-11-13&dateTo=2023-11-20";
    let everybody = all(&service, week).await;
    let name = everybody[0]["agent"]["name"].as_str().unwrap();
    let by_name = all(
        &service,
        &format!("{week}&filter=agent.name:{}", name.replace(' ', "%20")),
    )
    .await;
    let expected: Vec<&Value> = everybody.iter().filter(|row| row["agent"]["name"] == name).collect();
    assert!(by_name.iter().eq(expected));
    let mut names: Vec<&str> = everybody
        .iter()
        .map(|row| row["agent"]["name"].as_str().unwrap())
        .collect();
    names.dedup();
    assert!(names.is_sorted(), "{names:?}");
    let settled = states(&service, week).await;
    assert_eq!(
        (&settled["meta"]["complete"], &settled["meta"]["settledThrough"]),
        (&json!(true), &json!("2023-11-20T00:00:00.000Z"))
    );
    let answer = service.get(&format!("{STATES}?{week}&format=csv&kind=presence")).await;
    assert!(
        answer
            .header("content-disposition")
            .contains("user-details-2023-11-13-2023-11-19.csv")
    );
    let header =
        "agent.id,agent.name,state.kind,state.name,presence.id,state.start,state.end,state.duration,state.time";
    assert_eq!(answer.text().lines().next(), Some(header));
    assert!(answer.text().lines().skip(1).all(|line| line.contains(",presence,")));
}

#[tokio::test(start_paused = true)]
async fn wrong_questions_cost_nothing_and_the_future_has_no_states() {
    let service = Service::start().await;
    for parameters in [
        "",
        "dateFrom=2023-10-01&dateTo=2023-11-20",
        "dateFrom=yesterday&kind=presense",
        "dateFrom=yesterday&filter=routing.queue.id:x",
        "dateFrom=yesterday&groupBy=agent.id",
        "dateFrom=yesterday&pageSize=5000",
    ] {
        let answer = service.get(&format!("{STATES}?{parameters}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (422, "invalid"),
            "{parameters}"
        );
    }
    assert_eq!(service.upstream_calls(), 0);
    let future = states(&service, "dateFrom=2023-12-05&dateTo=2023-12-06").await;
    assert_eq!(
        (&future["total"], &future["meta"]["complete"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(service.simulator.journal().count(DETAILS), 0);
}

#[tokio::test(start_paused = true)]
async fn a_confined_key_is_refused() {
    let (setup, key) = Setup::new().key(
        r#""read""#,
        r#", filters={"routing.queue.id"=["7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11"]}"#,
    );
    let service = setup.start().await;
    let request = service.request(reqwest::Method::GET, &format!("{STATES}?dateFrom=yesterday"));
    let answer = service.send(request.bearer_auth(key)).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(
        answer.text().contains("not told apart by routing.queue.id"),
        "{}",
        answer.text()
    );
    assert_eq!(service.simulator.journal().count(DETAILS), 0);
}
