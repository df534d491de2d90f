//! An HTTP reporting service in front of the Genesys Cloud Analytics API: one access token, one request budget
//! and one cache for everybody who asks, and every answer says how fresh and how complete it is.
//!
//! # One request's journey
//!
//! `GET /v1/query?dateFrom=last7d&groupBy=routing.queue.id&select=routing.queue.name,service.level`
//!
//! 1. [`api::serve`] accepts the connection; [`api::Api`] answers at once what it has
//!    answered before (`api::again`). For everything else the layers, in their stated order, give the request an id, a
//!    deadline and a place, and refuse what is too large, too fast or not allowed.
//! 2. [`api::query`] reads the parameters into a [`query::QueryRequest`], and [`query::Query::parse`] turns that
//!    into a [`query::Query`] that cannot be wrong, or into every complaint at once. Nothing has been asked
//!    upstream so far.
//! 3. [`report::Reports::run`] looks for an answer that is held and fresh enough. If there is none, one fetch
//!    runs for everybody who asks the same, in a task of its own.
//! 4. [`upstream::Client::aggregates`] asks Genesys Cloud, past the guards in their stated order: circuit
//!    breaker, token, budget, one attempt at a time, retries by one policy.
//! 5. `report` holds what came, folds and orders it into the rows of a [`table::Table`], and says where they
//!    came from ([`table::Provenance`]).
//! 6. [`encode`] writes the rows as bytes; [`api::conditional`] adds `ETag`, `Age` and `Cache-Status`, or
//!    answers 304.
//!
//! Failures travel the same way back: [`upstream::UpstreamError`], [`report::ReportError`],
//! [`api::problem::Problem`], each phrased for whoever can act on it.
//!
//! # The rooms
//!
//! In the order a request visits them; each may use those after it, and none those before.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic in a unit test is its failure"))]

// Builds every part once and ends them in order.
pub mod app;

// One answer to a file: the command `run`.
pub mod run;

// A person logs in, in a browser: the command `login`.
pub mod login;

// The only floor that knows HTTP.
pub mod api;

// From a table to bytes.
pub mod encode;

// Reports kept warm just before their readers come.
pub mod warm;

// Named reports: a file and its arguments become a query.
pub mod definitions;

// A query in, an answer out, as rarely from the upstream as can be.
pub mod report;

// Genesys Cloud: guards, retries, pages, and its spelling.
pub mod upstream;

// Pure values, known to all of the above: what may be asked, and what is answered.
pub mod query;
pub mod table;

// What replicas have in common, by way of Redis.
pub mod fleet;

// Work that others should not have to wait for; hosts that keep failing are left alone.
pub mod aside;
pub mod breaker;

// Known to all: calendar time as a value; names of logs and metrics; settings, read once; the certificate they name.
pub mod clock;
pub mod config;
pub mod telemetry;
pub mod tls;

// What requests are spent on, by OpenTelemetry: known to all, too.
pub mod traces;

// What the targets of the fuzzer have in common.
#[cfg(test)]
mod fuzz;

// A believable Genesys Cloud for demos and tests. Shares nothing with `upstream`.
pub mod simulator;
