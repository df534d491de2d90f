//! Figures of users, flows, evaluations and surveys: asked by `source`, told as they were.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::support::service::Service;

/// By agent and by day, over the end of summer time, against the simulator's raw periods.
#[tokio::test(start_paused = true)]
async fn the_states_of_users_are_told_as_they_were() {
    let service = Service::start().await;
    let answer = service
        .get(
            "/v1/query?source=users&dateFrom=2023-11-20&dateTo=2023-12-02&interval=P1D&timeZone=America/New_York\
             &groupBy=agent.id&select=agent.id,presence.on.queue.time,presence.meal.time,presence.time,\
             routing.interacting.time,tAgentRoutingStatus:IDLE,occupancy,utilization,idle.share,not.responding.share,\
             logged.in.time,off.queue.time&pageSize=1000",
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let asked_at: Timestamp = answer["meta"]["asOf"].as_str().unwrap().parse().unwrap();
    let rows = answer["entities"].as_array().unwrap();
    assert_eq!(answer["total"], rows.len());
    assert!(rows.len() > 50);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for row in rows {
        let (start, end) = row["interval"].as_str().unwrap().split_once('/').unwrap();
        let (start, end): (Timestamp, Timestamp) = (start.parse().unwrap(), end.parse().unwrap());
        let agent = row["agent"]["id"].as_str().unwrap();
        let periods = service
            .simulator
            .organisation()
            .user_periods(agent, start, end, asked_at);
        let spent = |is_meant: &dyn Fn(&str, &str) -> bool| -> f64 {
            let meant = periods
                .iter()
                .filter(|period| is_meant(period.system_presence, period.routing_status));
            meant
                .map(|period| period.start.duration_until(period.end).as_millis() as f64)
                .sum()
        };
        for (shown, expected) in [
            (
                &row["presence"]["on"]["queue"]["time"],
                spent(&|presence, _| presence == "ON_QUEUE"),
            ),
            (
                &row["presence"]["meal"]["time"],
                spent(&|presence, _| presence == "MEAL"),
            ),
            (&row["presence"]["time"], spent(&|_, _| true)),
            (
                &row["routing"]["interacting"]["time"],
                spent(&|_, status| status == "INTERACTING"),
            ),
            (&row["tAgentRoutingStatus:IDLE"], spent(&|_, status| status == "IDLE")),
        ] {
            assert_eq!(shown.as_f64().or(Some(0.0)), Some(expected), "{row}");
        }
        let [on_queue, logged_in, interacting, idle, not_responding] = [
            spent(&|presence, _| presence == "ON_QUEUE"),
            spent(&|presence, _| presence != "OFFLINE"),
            spent(&|_, status| status == "INTERACTING"),
            spent(&|_, status| status == "IDLE"),
            spent(&|_, status| status == "NOT_RESPONDING"),
        ];
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        for (shown, expected) in [
            (&row["occupancy"], share(interacting, on_queue)),
            (&row["utilization"], share(on_queue, logged_in)),
            (&row["idle"]["share"], share(idle, on_queue)),
            (&row["not"]["responding"]["share"], share(not_responding, on_queue)),
            (&row["logged"]["in"]["time"], Some(logged_in)),
            (&row["off"]["queue"]["time"], Some(logged_in - on_queue)),
        ] {
            assert_eq!(shown.as_f64(), expected, "{row}");
        }
        *seen.entry(agent).or_default() += 1;
    }
    let zone = TimeZone::get("America/New_York").unwrap();
    let today = zone.to_datetime(asked_at).date();
    let days = today.since(jiff::civil::date(2023, 11, 20)).unwrap().get_days() + 1;
    assert!(
        seen.values().all(|count| i32::try_from(*count) == Ok(days)),
        "offline is a state as well: {seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn flows_evaluations_and_surveys_answer_by_their_own_endpoints() {
    let service = Service::start().await;
    for (source, select) in [
        ("flows", "flow.name,flow.count,flow.time.average"),
        (
            "evaluations",
            "routing.queue.name,evaluation.count,evaluation.score.total.average",
        ),
        (
            "surveys",
            "routing.queue.name,survey.sent,survey.responses.all,survey.score.total.average",
        ),
    ] {
        let question = format!("/v1/query?source={source}&dateFrom=last30d&select={select}&pageSize=1000");
        let answer = service.get(&question).await;
        assert_eq!(answer.status, 200, "{source}: {}", answer.text());
        let answer = answer.json();
        let rows = answer["entities"].as_array().unwrap();
        assert!(!rows.is_empty(), "{source}");
        assert!(
            rows.iter()
                .all(|row| leaf(row, select.split(',').nth(1).unwrap()) > 0.0),
            "{answer}"
        );
        let file = service.get(&format!("{question}&format=csv")).await;
        assert!(
            file.header("content-disposition").contains(&format!("\"{source}-2023")),
            "{source}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_figure_of_another_family_is_refused_and_says_whose_it_is() {
    let service = Service::start().await;
    let answer = service
        .get("/v1/query?source=users&dateFrom=today&select=conversation.offered")
        .await;
    assert_eq!(answer.status, 422);
    let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("source=conversations"), "{detail}");
    assert_eq!(service.upstream_calls(), 0);
}

fn leaf(row: &Value, name: &str) -> f64 {
    name.split('.')
        .fold(row, |value, part| &value[part])
        .as_f64()
        .unwrap_or_default()
}
