//! An HTTP reporting service in front of the Genesys Cloud Analytics API.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic in a unit test is its failure"))]

pub mod api;
pub mod app;
pub mod clock;
pub mod config;
pub mod encode;
pub mod query;
pub mod report;
pub mod simulator;
pub mod table;
pub mod telemetry;
pub mod upstream;
