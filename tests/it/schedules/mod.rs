//! Nothing breaks it: whatever goes wrong upstream, every answer is right or a told failure, and Genesys Cloud is asked no
//! more than was promised.
//!
//! A seed makes a random schedule ([`plan`]) of what callers ask and what goes wrong, over simulated hours: refusals,
//! delays, cuts, resets, garbage, trickles and silence, waits asked for in every form, tokens revoked, data told late, a
//! clock that is set. It is played ([`stage`]) by the service and the simulated Genesys Cloud in one runtime on paused
//! time, and then judged ([`judge`]) by the simulator's journal and raw records ([`truth`]).
//!
//! A seed that fails is named, with everything that does not hold. The same seed plays the same schedule to the same trace:
//!
//! ```sh
//! SCHEDULE_SEED=17 cargo nextest run --no-capture -E 'test(/schedules::one_seed/)'   # with the log, if it fails
//! SCHEDULE_SEEDS=100000 cargo nextest run --profile long -E 'test(/schedules::/)'    # hours instead of a minute
//! ```

mod judge;
mod plan;
mod question;
mod stage;
mod trace;
mod truth;

use std::str::FromStr;

use tokio::runtime::{Builder, Runtime};

use self::{
    plan::Plan,
    stage::{Evidence, play},
};
use crate::support::watch::Watch;

/// So many schedules a run, in as many parts as there are tests: the runner plays parts at the same time.
const SEEDS: u64 = 1_000;
const PARTS: u64 = 8;

#[test]
fn the_first_part() {
    part(0);
}

#[test]
fn the_second_part() {
    part(1);
}

#[test]
fn the_third_part() {
    part(2);
}

#[test]
fn the_fourth_part() {
    part(3);
}

#[test]
fn the_fifth_part() {
    part(4);
}

#[test]
fn the_sixth_part() {
    part(5);
}

#[test]
fn the_seventh_part() {
    part(6);
}

#[test]
fn the_eighth_part() {
    part(7);
}

/// The one that is asked for, with the whole log.
#[test]
fn one_seed() {
    let seed = setting("SCHEDULE_SEED").unwrap_or(1);
    let mut watch = Watch::start_at("debug");
    tolerate(&mut watch);
    let (plan, evidence) = played(seed);
    let complaints = judge::complaints(&plan, &evidence);
    if setting::<u64>("SCHEDULE_SEED").is_some() {
        eprintln!("{plan:#?}\n{}", trace::of(&evidence).join("\n"));
    }
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
}

/// What makes a failing seed worth printing.
#[test]
fn the_same_seed_plays_to_the_same_trace() {
    let mut watch = Watch::start_at("error");
    tolerate(&mut watch);
    for seed in 1..=20 {
        let [first, second] = [seed, seed].map(|seed| trace::of(&played(seed).1));
        let same = first
            .iter()
            .zip(&second)
            .take_while(|(one, other)| one == other)
            .count();
        assert_eq!(
            first[same..],
            second[same..],
            "seed {seed} after {:?}",
            first[..same].last()
        );
    }
}

fn part(number: u64) {
    let mut watch = Watch::start_at("error");
    tolerate(&mut watch);
    let seeds = setting("SCHEDULE_SEEDS").unwrap_or(SEEDS);
    let mut failed = Vec::new();
    for seed in (1..=seeds).filter(|seed| seed % PARTS == number) {
        let (plan, evidence) = played(seed);
        let complaints = judge::complaints(&plan, &evidence);
        if let Some(first) = complaints.first() {
            failed.push(seed);
            eprintln!(
                "SCHEDULE_SEED={seed}: {} complaints, the first: {first}\n",
                complaints.len()
            );
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed, see above: {failed:?}",
        failed.len()
    );
}

/// What the service logs as an error when the upstream refuses it, as it does at times here.
fn tolerate(watch: &mut Watch) {
    for error in [
        "the login service refuses us",
        "Genesys Cloud refuses",
        "lacks a permission",
    ] {
        watch.tolerate_error(error);
    }
}

fn played(seed: u64) -> (Plan, Evidence) {
    let plan = Plan::of(seed);
    let evidence = runtime().block_on(play(seed, &plan));
    (plan, evidence)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    builder.build().expect("a runtime")
}

#[expect(clippy::disallowed_methods, reason = "a setting of these tests, not of the service")]
fn setting<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
