//! The harness refuses to overlook: what these tests provoke would fail any other.

use crate::support::watch::Watch;

#[test]
#[should_panic(expected = "logged an error: ERROR it::harness: the till is on fire till=3")]
fn an_unexpected_error_log() {
    let _watch = Watch::start();
    tracing::error!(till = 3, "the till is on fire");
}

#[test]
fn an_expected_error_log_is_none() {
    let mut watch = Watch::start();
    watch.expect_error("on fire");
    tracing::error!("the till is on fire");
    tracing::warn!("somebody smokes");
}

#[test]
#[should_panic(expected = "did not log the error expected: on fire")]
fn an_expected_error_log_that_does_not_come() {
    let mut watch = Watch::start();
    watch.expect_error("on fire");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a task panicked")]
async fn a_panic_in_a_task() {
    let _watch = Watch::start();
    tokio::spawn(async { panic!("nobody awaits me") });
    tokio::task::yield_now().await;
}

#[test]
#[should_panic(expected = "logged a secret")]
fn a_secret_in_the_log() {
    let mut watch = Watch::start();
    watch.guard_secret("hunter2");
    tracing::debug!(password = "hunter2", "logging in");
}
