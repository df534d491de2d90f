//! Names of the metrics this module reports. Labels come from closed sets: endpoints, outcomes, reasons.

/// Requests sent, by `endpoint` and `outcome`.
pub const REQUESTS: &str = "genesys_reports_upstream_requests_total";
/// Seconds from sending a request to the last byte of its answer, by `endpoint`.
pub const REQUEST_DURATION: &str = "genesys_reports_upstream_request_duration_seconds";
/// Requests sent again, by `endpoint` and `reason`.
pub const RETRIES: &str = "genesys_reports_upstream_retries_total";
/// Access tokens asked for, by `outcome`.
pub const TOKEN_MINTS: &str = "genesys_reports_upstream_token_mints_total";
/// Requests of the budget spent, by `class`.
pub const SPENT: &str = "genesys_reports_upstream_spent_total";
/// Seconds waited for a turn to send, by `class`.
pub const BUDGET_WAIT: &str = "genesys_reports_upstream_budget_wait_seconds";
