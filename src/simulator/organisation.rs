//! A stand-in with the organisation's signatures, so that the HTTP side compiles on its own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::refusal::Refusal;

/// What an organisation is made from.
#[derive(Clone, Debug)]
pub struct OrganisationOptions {
    /// Seed of everything that looks random.
    pub seed: u64,
    /// First instant with data: a midnight in UTC.
    pub start: Timestamp,
    /// Conversations on a typical weekday.
    pub conversations_per_day: u32,
    /// Share of events that become visible late, 0 to 1.
    pub late_share: f64,
}

/// Behaviours nobody has verified against the real platform.
#[derive(Clone, Debug, Default)]
pub struct Switches {}

/// The listings of ids and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `/api/v2/routing/queues`
    Queues,
    /// `/api/v2/users`
    Users,
    /// `/api/v2/routing/wrapupcodes`
    WrapUpCodes,
    /// `/api/v2/authorization/divisions`
    Divisions,
    /// `/api/v2/routing/skills`
    Skills,
    /// `/api/v2/routing/languages`
    Languages,
    /// `/api/v2/flows`
    Flows,
}

/// The organisation's data.
pub struct Organisation {
    _options: OrganisationOptions,
}

impl Organisation {
    /// Makes the organisation.
    pub fn new(options: OrganisationOptions) -> Self {
        Self { _options: options }
    }

    /// Answers an aggregate query.
    pub fn aggregates(&self, _body: &Value, _now: Timestamp, _switches: &Switches) -> Result<Value, Refusal> {
        Ok(json!({ "results": [] }))
    }

    /// Answers a details query.
    pub fn details(&self, _body: &Value, _now: Timestamp, _switches: &Switches) -> Result<Value, Refusal> {
        Ok(json!({ "totalHits": 0 }))
    }

    /// Answers a listing.
    pub fn listing(&self, _listing: Listing, _params: &[(String, String)], path: &str) -> Result<Value, Refusal> {
        Ok(json!({ "entities": [], "pageSize": 25, "pageNumber": 1, "total": 0, "pageCount": 0, "selfUri": path }))
    }
}
