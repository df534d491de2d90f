//! KPIs of flows, surveys and users, counted by hand from raw events and periods.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;

use super::any_range;
use crate::support::service::Service;

/// A KPI, and what it is by counts of events or milliseconds in states, by name. What is divided by zero is no number.
pub(super) struct Kpi {
    pub(super) name: &'static str,
    /// What it is made of.
    reads: &'static [&'static str],
    figure: fn(&Totals) -> f64,
}

/// A family of figures, and what its rows are told apart by.
struct Family {
    source: &'static str,
    group: &'static str,
    kpis: &'static [Kpi],
    totals: fn(&Service, Bucket, Timestamp) -> BTreeMap<Option<String>, Totals>,
}

type Bucket = (Timestamp, Timestamp);

/// By name of event or state.
#[derive(Default)]
pub(super) struct Totals(BTreeMap<String, f64>);

impl Totals {
    fn add(&mut self, name: impl Into<String>, much: f64) {
        *self.0.entry(name.into()).or_default() += much;
    }

    fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

const FAMILIES: &[Family] = &[
    Family {
        source: "flows",
        group: "flow.id",
        kpis: FLOWS,
        totals: |service, (start, end), now| {
            let events = service.simulator.organisation().flow_events(start, end, now);
            counted(&events, "flowId")
        },
    },
    Family {
        source: "surveys",
        group: "routing.queue.id",
        kpis: SURVEYS,
        totals: |service, (start, end), now| {
            let events = service.simulator.organisation().survey_events(start, end, now);
            counted(&events, "queueId")
        },
    },
    Family {
        source: "users",
        group: "agent.id",
        kpis: USERS,
        totals: |service, (start, end), now| {
            let organisation = service.simulator.organisation();
            let users = [("pageSize", "100"), ("state", "any")].map(|(name, value)| (name.into(), value.into()));
            let users = organisation
                .listing(genesys_reports::simulator::organisation::Listing::Users, &users, "")
                .unwrap();
            let users = users["entities"].as_array().unwrap().iter();
            users
                .map(|user| {
                    let id = user["id"].as_str().unwrap();
                    let mut totals = Totals::default();
                    for period in organisation.user_periods(id, start, end, now) {
                        let spent = period.start.duration_until(period.end).as_millis() as f64;
                        totals.add("any presence", spent);
                        totals.add(period.system_presence, spent);
                        totals.add(format!("status {}", period.routing_status), spent);
                    }
                    (Some(id.to_owned()), totals)
                })
                .collect()
        },
    },
];

const FLOWS: &[Kpi] = &[kpi("flow.disconnect.rate", &["tFlowDisconnect", "nFlow"], |of| {
    of.of("tFlowDisconnect") / of.of("nFlow")
})];

const SURVEYS: &[Kpi] = &[
    kpi("survey.response.rate", &["nSurveyResponses", "nSurveysSent"], |of| {
        of.of("nSurveyResponses") / of.of("nSurveysSent")
    }),
    kpi(
        "survey.nps.score",
        &["nSurveyNpsPromoters", "nSurveyNpsDetractors", "nSurveyNpsResponses"],
        |of| (of.of("nSurveyNpsPromoters") - of.of("nSurveyNpsDetractors")) / of.of("nSurveyNpsResponses"),
    ),
];

const USERS: &[Kpi] = &[
    kpi("logged.in.time", &["any presence"], logged_in),
    kpi("off.queue.time", &["any presence"], |of| {
        logged_in(of) - of.of("ON_QUEUE")
    }),
    kpi("utilization", &["any presence"], |of| of.of("ON_QUEUE") / logged_in(of)),
    kpi("occupancy", &["any presence"], |of| {
        of.of("status INTERACTING") / of.of("ON_QUEUE")
    }),
    kpi("idle.share", &["any presence"], |of| {
        of.of("status IDLE") / of.of("ON_QUEUE")
    }),
    kpi("not.responding.share", &["any presence"], |of| {
        of.of("status NOT_RESPONDING") / of.of("ON_QUEUE")
    }),
];

const fn kpi(name: &'static str, reads: &'static [&'static str], figure: fn(&Totals) -> f64) -> Kpi {
    Kpi { name, reads, figure }
}

fn logged_in(of: &Totals) -> f64 {
    of.of("any presence") - of.of("OFFLINE")
}

/// Every KPI there is here.
pub(super) fn kpis() -> impl Iterator<Item = &'static Kpi> {
    FAMILIES.iter().flat_map(|family| family.kpis)
}

fn counted(
    events: &[genesys_reports::simulator::organisation::Event],
    dimension: &str,
) -> BTreeMap<Option<String>, Totals> {
    let mut groups: BTreeMap<Option<String>, Totals> = BTreeMap::new();
    for event in events {
        let group = event.values(dimension).into_iter().next();
        groups.entry(group).or_default().add(event.metric, 1.0);
    }
    groups
}

/// Asks one family for its KPIs over a random range, whole or by day, and counts.
pub(super) async fn check(service: &Service, random: &mut StdRng, days: u32, case: u32) -> usize {
    let family = FAMILIES.choose(random).unwrap();
    let (start, end) = any_range(random, service.clock.now(), days);
    let zone = *["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
        .choose(random)
        .unwrap();
    let by_day = random.random_bool(0.5);
    let names: Vec<&str> = family.kpis.iter().map(|kpi| kpi.name).collect();
    let interval = if by_day { "&interval=P1D" } else { "" };
    let question = format!(
        "/v1/query?source={}&dateFrom={start:.3}&dateTo={end:.3}&timeZone={zone}{interval}&select=interval,{},{}\
         &format=ndjson",
        family.source,
        family.group,
        names.join(",")
    );
    let answer = service.get(&question).await;
    let context = format!("case {case}: {question}\n{}", answer.text());
    assert_eq!(answer.status, 200, "{context}");
    let as_of: Timestamp = answer.header("x-data-as-of").parse().unwrap();
    let rows: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let zone = TimeZone::get(zone).unwrap();
    let buckets = if by_day {
        by_days((start, end), &zone)
    } else {
        vec![(start, end)]
    };
    let mut expected = 0;
    for bucket in buckets {
        for (group, totals) in (family.totals)(service, bucket, as_of) {
            let happened = |kpi: &Kpi| kpi.reads.iter().any(|name| totals.0.contains_key(*name));
            let interval = format!("{:.3}/{:.3}", bucket.0, bucket.1);
            let is_meant = |row: &&Value| {
                row["interval"] == interval.as_str() && leaf(row, family.group).as_str() == group.as_deref()
            };
            let row = rows.iter().find(is_meant);
            assert_eq!(
                row.is_some(),
                family.kpis.iter().any(happened),
                "{interval} {group:?} of {context}"
            );
            let Some(row) = row else { continue };
            expected += 1;
            for kpi in family.kpis {
                let figure = (kpi.figure)(&totals);
                let figure = (happened(kpi) && figure.is_finite()).then_some(figure);
                assert_eq!(
                    leaf(row, kpi.name).as_f64(),
                    figure,
                    "{} of {row} in {context}",
                    kpi.name
                );
            }
        }
    }
    assert_eq!(rows.len(), expected, "{context}");
    expected
}

/// The calendar days of a range, the first and the last cut to it.
fn by_days((start, end): Bucket, zone: &TimeZone) -> Vec<Bucket> {
    let mut days = Vec::new();
    let mut from = start;
    while from < end {
        let today = from.to_zoned_datetime(zone.clone());
        let midnight = today.tomorrow().unwrap().start_of_day().unwrap().timestamp();
        days.push((from, midnight.min(end)));
        from = midnight;
    }
    days
}

fn leaf<'v>(row: &'v Value, name: &str) -> &'v Value {
    name.split('.').fold(row, |value, part| &value[part])
}
