//! What every test stands on.
#![allow(dead_code, reason = "a harness offers more than the tests of the day use")]

pub(crate) mod browser;
pub(crate) mod collector;
pub(crate) mod events;
pub(crate) mod platform;
pub(crate) mod processes;
pub(crate) mod provider;
pub(crate) mod schemas;
pub(crate) mod service;
pub(crate) mod watch;
