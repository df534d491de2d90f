//! The service as its users meet it: over HTTP, against the simulated Genesys Cloud, in one binary.
//! The list of modules is the list of promises; how a test is set up stands in [`support`].
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]
#![allow(clippy::expect_used, reason = "a panic in a test is its failure")]

mod support;

mod again;
mod asynchronous;
mod authorisation;
mod browser;
mod buckets;
mod caching;
mod catalogue;
mod command_line;
mod conditional;
mod confined;
mod conformance;
mod connections;
mod cors;
mod days;
mod documents;
mod examples;
mod exports;
mod failures;
mod families;
mod fleet;
mod formats;
mod gateway;
mod gateway_pages;
mod harness;
mod held;
mod jobs;
mod jwt;
mod keys;
mod kpis;
mod limits;
mod links;
mod live;
mod login;
mod logs;
mod lookups;
mod monitoring;
mod now;
mod oracle;
mod page;
mod paging;
mod queries;
mod quota;
mod rate_limit;
mod reports;
mod restarts;
mod run;
mod schedules;
mod sdk;
mod shutdown;
mod smuggling;
mod ssrf;
mod token;
mod traces;
mod users;
mod users_now;
mod wall;
mod warm;
mod wire;
