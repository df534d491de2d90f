//! `/v1/quota`: what is left of the upstream's request budget, and who spends it.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, header},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{auth::Caller, problem::Problem};
use crate::{
    config::Scope,
    report::Reports,
    upstream::{Client, Errand, LimitUse, Quota, Use},
};

/// How long the upstream's own account is waited for: who asks for the quota wants to know what keeps others waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the route needs.
#[derive(Clone)]
pub struct QuotaApi {
    /// Counts what is sent upstream.
    pub client: Client,
    /// Holds the upstream's own account.
    pub reports: Reports,
}

/// What is left of the request budget
///
/// Genesys Cloud allows so many requests a minute for everybody together. How many, who says so, what is left of them,
/// who waits and who spent them in the last minute; and what Genesys Cloud itself recorded in the last hour, where this
/// service may read that. Callers are listed by name for the scope `admin`; others see themselves and the rest as one.
#[utoipa::path(
    get,
    path = "/v1/quota",
    operation_id = "getQuota",
    tag = "Service",
    responses((status = 200, description = "The budget as it stands", body = QuotaAnswer)),
)]
pub async fn get(
    State(api): State<QuotaApi>,
    caller: Caller,
    errand: Errand,
) -> Result<([(HeaderName, HeaderValue); 1], Json<QuotaAnswer>), Problem> {
    caller.require(Scope::Read)?;
    let deadline = errand.deadline().min(Instant::now() + PATIENCE);
    let recorded = api
        .reports
        .limit_history(&errand.on_terms(errand.class(), deadline))
        .await;
    let history = match recorded {
        Ok(recorded) => History {
            available: true,
            reason: None,
            records: recorded.iter().map(Record::from).collect(),
        },
        Err(error) => History {
            available: false,
            reason: Some(error.to_string()),
            records: Vec::new(),
        },
    };
    let sees = if caller.require(Scope::Admin).is_ok() {
        Sees::Everybody
    } else {
        Sees::Only(caller.name())
    };
    let answer = QuotaAnswer::new(&api.client.quota(), &sees, history);
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(answer)))
}

/// Whose use a caller is told of by name.
enum Sees<'a> {
    Everybody,
    Only(&'a str),
}

/// The request budget as it stands.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaAnswer {
    limit: Limit,
    /// Requests that could be sent right now.
    #[schema(example = 287)]
    left: usize,
    /// Requests in flight.
    in_flight: usize,
    /// The most in flight at once.
    concurrency: usize,
    /// Milliseconds for which Genesys Cloud asked to be left alone from now; 0 when it did not.
    gate_closed_for: u64,
    /// By urgency, the most urgent first.
    classes: Vec<ClassUse>,
    /// By caller.
    callers: Vec<CallerUse>,
    history: History,
}

/// How many requests a minute.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Limit {
    /// Requests a minute now.
    #[schema(example = 300)]
    requests_per_minute: usize,
    /// Requests a minute that are allowed.
    #[schema(example = 300)]
    allowed: usize,
    /// Who says so: the `setting`, the `organisation`'s own list of limits, a `refusal` of Genesys Cloud that named it, or
    /// nobody yet (`default`).
    #[schema(example = "organisation")]
    source: &'static str,
    /// Whether less than allowed is sent, since Genesys Cloud refuses sooner: others spend of the same quota.
    is_lowered: bool,
}

/// What a class of requests used and wants.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassUse {
    /// `interactive`: somebody waits. `refresh`: nobody waits. `export`: whole ranges, files and jobs.
    #[schema(example = "interactive")]
    class: &'static str,
    /// Requests a minute that are kept for it; what it does not use, others may borrow.
    share: usize,
    /// Requests sent in the last minute.
    last_minute: usize,
    /// Requests that wait for their turn.
    waiting: usize,
}

/// What a caller used and wants.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallerUse {
    /// The name of the key, `anonymous`, `genesys-reports` for the service itself, or `others`.
    #[schema(example = "grafana")]
    caller: String,
    /// Requests sent in the last minute.
    last_minute: usize,
    /// Requests that wait for their turn.
    waiting: usize,
}

/// What Genesys Cloud recorded of its limits in the last hour. It does so as it can, and tells of limits that were used to
/// nine tenths or more, by whatever application.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct History {
    /// Whether it could be read.
    available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// By minute, then by limit.
    records: Vec<Record>,
}

/// How close a limit was in a minute.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// `start/end`.
    #[schema(example = "2026-03-01T09:00:00.000Z/2026-03-01T09:01:00.000Z")]
    interval: String,
    /// What the limit belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "platform.api")]
    namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "client.credentials.token.rate.per.minute")]
    limit: Option<String>,
    /// What it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 300)]
    allowed: Option<f64>,
    /// The highest use recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 296)]
    highest: Option<f64>,
}

impl QuotaAnswer {
    fn new(quota: &Quota, sees: &Sees<'_>, history: History) -> Self {
        let mut callers = Vec::new();
        let mut others = Use::default();
        for (caller, usage) in &quota.callers {
            match sees {
                Sees::Only(name) if **caller != **name => {
                    others.last_minute += usage.last_minute;
                    others.waiting += usage.waiting;
                }
                Sees::Everybody | Sees::Only(_) => callers.push(CallerUse::new(caller, *usage)),
            }
        }
        if others != Use::default() {
            callers.push(CallerUse::new("others", others));
        }
        Self {
            limit: Limit {
                requests_per_minute: quota.limit,
                allowed: quota.allowed,
                source: quota.source.name(),
                is_lowered: quota.limit < quota.allowed,
            },
            left: quota.left,
            in_flight: quota.in_flight,
            concurrency: quota.concurrency,
            gate_closed_for: u64::try_from(quota.gate_closed_for.as_millis()).unwrap_or(u64::MAX),
            classes: quota
                .classes
                .iter()
                .map(|class| ClassUse {
                    class: class.class.name(),
                    share: class.share,
                    last_minute: class.usage.last_minute,
                    waiting: class.usage.waiting,
                })
                .collect(),
            callers,
            history,
        }
    }
}

impl CallerUse {
    fn new(caller: &str, usage: Use) -> Self {
        Self {
            caller: caller.to_owned(),
            last_minute: usage.last_minute,
            waiting: usage.waiting,
        }
    }
}

impl From<&LimitUse> for Record {
    fn from(recorded: &LimitUse) -> Self {
        Self {
            interval: format!("{}", recorded.interval),
            namespace: recorded.namespace.clone(),
            limit: recorded.limit.clone(),
            allowed: recorded.allowed,
            highest: recorded.highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::upstream::{Class, ClassQuota, LimitSource};

    fn answer(sees: &Sees<'_>) -> QuotaAnswer {
        let usage = |last_minute, waiting| Use { last_minute, waiting };
        let callers = [("alpha", usage(3, 0)), ("beta", usage(2, 1)), ("gamma", usage(0, 4))];
        let quota = Quota {
            limit: 150,
            allowed: 300,
            source: LimitSource::Organisation,
            left: 145,
            in_flight: 1,
            concurrency: 32,
            gate_closed_for: Duration::from_millis(1500),
            classes: Class::ALL.map(|class| ClassQuota {
                class,
                share: 1,
                usage: usage(5, 5),
            }),
            callers: callers
                .map(|(name, usage)| (Arc::from(name), usage))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        };
        let history = History {
            available: false,
            reason: None,
            records: Vec::new(),
        };
        QuotaAnswer::new(&quota, sees, history)
    }

    #[test]
    fn callers_see_themselves_and_the_rest_as_one() {
        let seen = |sees| {
            let callers = answer(&sees).callers.into_iter();
            callers
                .map(|one| (one.caller, one.last_minute, one.waiting))
                .collect::<Vec<_>>()
        };
        let named = |name: &str, last_minute, waiting| (name.to_owned(), last_minute, waiting);
        assert_eq!(
            seen(Sees::Everybody),
            [named("alpha", 3, 0), named("beta", 2, 1), named("gamma", 0, 4)]
        );
        assert_eq!(seen(Sees::Only("beta")), [named("beta", 2, 1), named("others", 3, 4)]);
        assert_eq!(seen(Sees::Only("delta")), [named("others", 5, 5)]);
    }

    #[test]
    fn less_than_allowed_is_said_to_be_less() {
        let limit = answer(&Sees::Everybody).limit;
        assert_eq!(
            (limit.requests_per_minute, limit.allowed, limit.source),
            (150, 300, "organisation")
        );
        assert!(limit.is_lowered);
    }
}
