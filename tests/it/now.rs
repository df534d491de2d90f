//! Queues as they are at this moment: true, cheap, and in every format.

use serde_json::{Value, json};

use crate::support::service::{Service, Setup};
use genesys_reports::simulator::organisation::Switches;

const ALL: &str = "/v1/now/queues";

#[tokio::test(start_paused = true)]
async fn everybody_who_looks_within_five_seconds_costs_one_request() {
    let service = Service::start().await;
    let first = service.get(ALL).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(
        first.json()["meta"]["upstreamCalls"],
        2,
        "the names, once an hour, and the queues"
    );
    for viewer in 0..20 {
        // However they want to see it.
        let ways = [
            "",
            "?groupBy=media.type",
            "?filter=media.type:voice&format=csv",
            "?format=table",
        ];
        let answer = service.get(&format!("{ALL}{}", ways[viewer % ways.len()])).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(service.upstream_calls(), 2);
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(service.get(ALL).await.json()["meta"]["cache"], "miss");
    assert_eq!(service.upstream_calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_of_the_queue() {
    let mut setup = Setup::new();
    setup.simulator.conversations_per_day = 3_000;
    let service = setup.start().await;
    let answer = service.get(ALL).await.json();
    assert_eq!(answer["total"], 8);
    let mut interactions = 0.0;
    for queue in answer["entities"].as_array().unwrap() {
        let (id, name) = (&queue["routing"]["queue"]["id"], &queue["routing"]["queue"]["name"]);
        let one = service
            .get(&format!(
                "{ALL}?filter=routing.queue.name:{}",
                name.as_str().unwrap().replace(' ', "%20")
            ))
            .await;
        assert_eq!(one.json()["entities"], json!([queue]), "asked by name");
        let body = json!({
            "filter": {"type": "and", "predicates": [{"dimension": "queueId", "value": id}]},
            "metrics": ["oWaiting", "oInteracting", "oLongestInteracting", "oMemberUsers", "oUserRoutingStatuses"],
        });
        let (organisation, now) = (service.simulator.organisation(), service.clock.now());
        let raw = organisation
            .queue_observations(&body, now, &Switches::default())
            .unwrap();
        let told = |metric: &str, qualifier: Option<&str>, stat: &str| -> Vec<f64> {
            let results = raw["results"].as_array().unwrap().iter();
            let data = results.flat_map(|result| result["data"].as_array().unwrap());
            data.filter(|one| one["metric"] == metric && qualifier.is_none_or(|wanted| one["qualifier"] == wanted))
                .filter_map(|one| one["stats"][stat].as_f64())
                .collect()
        };
        let sum = |values: Vec<f64>| Some(values.iter().sum::<f64>());
        assert_eq!(number(&queue["waiting"]["count"]), sum(told("oWaiting", None, "count")));
        assert_eq!(
            number(&queue["interacting"]["count"]),
            sum(told("oInteracting", None, "count"))
        );
        assert_eq!(
            number(&queue["agents"]["member"]),
            sum(told("oMemberUsers", None, "count"))
        );
        assert_eq!(
            number(&queue["agents"]["routing"]["idle"]),
            sum(told("oUserRoutingStatuses", Some("IDLE"), "count"))
        );
        let longest = told("oLongestInteracting", None, "calculatedMetricValue");
        let earliest = longest.into_iter().reduce(f64::min);
        let since = queue["interacting"]["longest"]["since"].as_str();
        let since = since.map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64);
        assert_eq!(since, earliest);
        interactions += number(&queue["interacting"]["count"]).unwrap();
    }
    assert!(interactions > 0.0, "a Friday noon");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_observed_is_refused_before_it_costs_anything() {
    let service = Service::start().await;
    for (question, pointer) in [
        ("?dateFrom=today", "/dateFrom"),
        ("?filter=agent.id:x", "/filter/0/dimension"),
        ("?groupBy=agent.id", "/groupBy/0"),
        ("?format=xml", "/format"),
    ] {
        let answer = service.get(&format!("{ALL}{question}")).await;
        assert_eq!(answer.status, 422, "{question}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{question}");
    }
    assert_eq!(service.upstream_calls(), 0);
    let unknown = service.get(&format!("{ALL}?filter=routing.queue.name:Suport")).await;
    assert_eq!(unknown.status, 422);
    assert_eq!(unknown.json()["errors"][0]["suggestion"], "Support");
}

/// Nothing is none.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or(Some(0.0))
}
