//! A believable Genesys Cloud for demos and tests: its login service and its API on one address.
//!
//! Written from the vendor's published behaviour, never from [`upstream`](crate::upstream), with which it
//! shares no types: two independent spellings check each other. It keeps calendar time by the
//! [`Clock`] it is given and waits by tokio's, runs wholly within the runtime that serves it, and starts no
//! threads, so that a test can pause time around client and simulator alike.
//!
//! # Playing with a running simulator
//!
//! Beside the platform's own addresses it answers a few that no Genesys Cloud has:
//!
//! | address | does |
//! | --- | --- |
//! | `GET /_simulator/journal` | what was asked, and what was answered; `DELETE` forgets it |
//! | `POST /_simulator/faults` | adds a fault script (see [`faults`]) in TOML, or in JSON if so declared |
//! | `GET /_simulator/faults` | the faults not yet played; `DELETE` takes all of them away |
//! | `DELETE /_simulator/tokens` | ends every token |

mod connection;
mod control;
mod errors;
pub mod faults;
mod http;
mod jobs;
pub mod journal;
mod login;
pub mod organisation;
pub mod person;
mod published;
mod rate;
pub mod refusal;
mod strict;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tokio::net::TcpListener;

use self::{
    errors::PlatformError,
    faults::{Fault, FaultScript, Faults},
    jobs::Jobs,
    journal::Journal,
    login::Logins,
    organisation::{Organisation, OrganisationOptions, Switches},
    person::People,
    rate::RateLimit,
};
use crate::clock::Clock;

/// A simulated Genesys Cloud. Cheap to clone; every clone is the same one.
#[derive(Clone)]
pub struct Simulator(Arc<Inner>);

/// What kind of Genesys Cloud it is. `Options { days: 3, ..Options::new(clock) }` changes what matters.
#[derive(Clone, Debug)]
pub struct Options {
    /// Calendar time: of tokens, of the request limit, and of what has happened so far.
    pub clock: Clock,
    /// Seed of the data, and of tokens and correlation ids.
    pub seed: u64,
    /// Whole UTC days with data before the day on which the simulator starts.
    pub days: u32,
    /// Conversations on a typical weekday.
    pub conversations_per_day: u32,
    /// Share of events that become visible late, 0 to 1.
    pub late_share: f64,
    /// What every answer takes at least.
    pub latency: Duration,
    /// Requests per token and minute.
    pub rate_limit: u32,
    /// Life of a token.
    pub token_lifetime: Duration,
    /// What a login announces as `expires_in` in place of the truth; null leaves it out.
    pub announced_lifetime: Option<serde_json::Value>,
    /// The OAuth client's id.
    pub client_id: String,
    /// The OAuth client's secret. Opens nothing but this simulator, so it may be printed.
    pub client_secret: String,
    /// What the OAuth client may do.
    pub permissions: Grants,
    /// Behaviours nobody has verified against the real platform.
    pub switches: Switches,
    /// Faults from the start.
    pub faults: FaultScript,
    /// Entries the journal keeps; `None` keeps all, which is for tests.
    pub journal_bound: Option<usize>,
}

impl Options {
    /// The platform's own defaults, over ninety days of a mid-sized contact centre.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            seed: 7,
            days: 90,
            conversations_per_day: 1_000,
            late_share: 0.02,
            latency: Duration::ZERO,
            rate_limit: 300,
            token_lifetime: Duration::from_hours(24),
            announced_lifetime: None,
            client_id: "simulated-client".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            permissions: Grants::all(),
            switches: Switches::default(),
            faults: FaultScript::default(),
            journal_bound: None,
        }
    }
}

/// What an OAuth client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Everything but these permissions.
    AllBut(BTreeSet<String>),
    /// These permissions only.
    Only(BTreeSet<String>),
}

impl Grants {
    /// Every permission.
    pub fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    /// These permissions only, such as `analytics:conversationDetail:view`.
    pub fn only<'a>(permissions: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Only(permissions.into_iter().map(str::to_owned).collect())
    }

    /// The same without this permission.
    #[must_use]
    pub fn without(mut self, permission: &str) -> Self {
        match &mut self {
            Self::AllBut(missing) => {
                missing.insert(permission.to_owned());
            }
            Self::Only(granted) => {
                granted.remove(permission);
            }
        }
        self
    }

    fn contains(&self, permission: &str) -> bool {
        match self {
            Self::AllBut(missing) => !missing.contains(permission),
            Self::Only(granted) => granted.contains(permission),
        }
    }

    fn satisfy(&self, needed: &published::Permissions) -> bool {
        let mut list = needed.list.iter();
        if needed.list.is_empty() || needed.all_needed() {
            return list.all(|permission| self.contains(permission));
        }
        list.any(|permission| self.contains(permission))
    }
}

struct Inner {
    announced_lifetime: Option<serde_json::Value>,
    clock: Clock,
    client_id: String,
    switches: Switches,
    organisation: Organisation,
    logins: Logins,
    people: People,
    jobs: Jobs,
    rate_limit: RateLimit,
    faults: Faults,
    journal: Journal,
    random: Mutex<Pcg64>,
    latency: Mutex<Duration>,
    permissions: Mutex<Grants>,
}

impl Simulator {
    /// Sets it up; nothing is served yet.
    pub fn new(options: Options) -> Self {
        let faults = Faults::default();
        faults.push(options.faults.faults);
        Self(Arc::new(Inner {
            organisation: Organisation::new(OrganisationOptions {
                seed: options.seed,
                start: first_instant(options.clock.now(), options.days),
                conversations_per_day: options.conversations_per_day,
                late_share: options.late_share,
            }),
            logins: Logins::new(options.client_id.clone(), options.client_secret, options.token_lifetime),
            people: People::default(),
            jobs: Jobs::default(),
            announced_lifetime: options.announced_lifetime,
            clock: options.clock,
            client_id: options.client_id,
            switches: options.switches,
            rate_limit: RateLimit::new(options.rate_limit),
            faults,
            journal: Journal::new(options.journal_bound),
            random: Mutex::new(Pcg64::seed_from_u64(options.seed)),
            latency: Mutex::new(options.latency),
            permissions: Mutex::new(options.permissions),
        }))
    }

    /// Its addresses, for calls without a network. Faults that end a connection end the body instead.
    pub fn router(&self) -> Router {
        http::router(self)
    }

    /// Answers on this listener until `shutdown` resolves; then gives requests under way five seconds.
    /// Dropping the future ends everything at once.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        connection::serve(listener, self.router(), shutdown).await;
    }

    /// What was asked of it.
    pub fn journal(&self) -> Journal {
        self.0.journal.clone()
    }

    /// The data behind the API.
    pub fn organisation(&self) -> &Organisation {
        &self.0.organisation
    }

    /// Ends every token issued so far.
    pub fn revoke_tokens(&self) {
        self.0.logins.revoke_all();
    }

    /// Every token issued so far, refresh tokens included: what to look for where no token may be.
    pub fn issued_tokens(&self) -> Vec<String> {
        let mut issued = self.0.logins.issued();
        issued.extend(self.0.people.refresh_tokens());
        issued
    }

    /// Changes the OAuth client's secret. Tokens got with the old one live on.
    pub fn set_secret(&self, client_secret: impl Into<String>) {
        self.0.logins.set_secret(client_secret.into());
    }

    /// Changes what every answer takes at least, from the next request on.
    pub fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock().expect(UNPOISONED) = latency;
    }

    /// Changes what the OAuth client may do, tokens already issued included.
    pub fn set_permissions(&self, permissions: Grants) {
        *self.0.permissions.lock().expect(UNPOISONED) = permissions;
    }

    /// Adds a fault below those already there.
    pub fn push_fault(&self, fault: Fault) {
        self.0.faults.push([fault]);
    }

    /// Adds faults below those already there.
    pub fn push_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.faults.push(faults);
    }

    /// Takes every fault away.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }

    /// The faults not played as often as ordered, or never although they could have been.
    pub fn unused_faults(&self) -> Vec<Fault> {
        self.0.faults.unused()
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn client_id(&self) -> &str {
        &self.0.client_id
    }

    fn switches(&self) -> &Switches {
        &self.0.switches
    }

    fn announced_lifetime(&self) -> Option<&serde_json::Value> {
        self.0.announced_lifetime.as_ref()
    }

    fn logins(&self) -> &Logins {
        &self.0.logins
    }

    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    fn people(&self) -> &People {
        &self.0.people
    }

    fn rate_limit(&self) -> &RateLimit {
        &self.0.rate_limit
    }

    fn faults(&self) -> &Faults {
        &self.0.faults
    }

    fn latency(&self) -> Duration {
        *self.0.latency.lock().expect(UNPOISONED)
    }

    fn check_permissions(&self, needed: &published::Permissions) -> Result<(), PlatformError> {
        let satisfied = self.0.permissions.lock().expect(UNPOISONED).satisfy(needed);
        if satisfied {
            Ok(())
        } else {
            Err(PlatformError::missing_permissions(needed))
        }
    }

    /// Random bytes that are the same in every run with the same seed and the same requests.
    fn random<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        self.0.random.lock().expect(UNPOISONED).fill_bytes(&mut bytes);
        bytes
    }

    fn next_id(&self) -> String {
        uuid::Builder::from_random_bytes(self.random()).into_uuid().to_string()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulator").finish_non_exhaustive()
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

fn first_instant(now: Timestamp, days: u32) -> Timestamp {
    let today = now.to_zoned_datetime(TimeZone::UTC).date();
    let first = today.saturating_sub(i64::from(days).days());
    let midnight = first.to_zoned_datetime(TimeZone::UTC);
    midnight.map_or(Timestamp::MIN, |midnight| midnight.timestamp())
}
