//! The access token: one for the whole service, asked for as rarely as can be.
//!
//! - However many callers wait, one mint is under way, in a task of its own: callers may leave.
//! - A token is renewed in the background, by the first request that finds it within its margin of the end; it
//!   serves meanwhile, and as long as it lives if the renewal fails. An idle service renews nothing.
//! - A token refused by the API is replaced by generation: latecomers with the same complaint get the new one. A login
//!   service that has just failed or asked us to wait is not asked any sooner for that.
//! - Credentials refused by the login service stay refused for a minute, or until they change.
//! - Replicas share one token, of a client's own: whoever needs one looks whether another has left a better one, and only
//!   one at a time asks the login service. What a person's login may see is nobody else's.
//!
//! moka holds the token; its age is judged here, on tokio's clock. A mint outlives its callers by at most the attempt
//! timeout and ends with the runtime at shutdown, where nobody misses it. Mints are not charged to the request
//! budget: the upstream counts requests per token, and this is where tokens come from.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{HeaderValue, Method, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{sync::oneshot, time::Instant};

use super::{
    BreakerState, Credentials, Errand, Jitter, Told, UpstreamError,
    login::{self, Kept, LoginError},
    memory::Room,
    meters, retry, send,
    send::{Host, Lost},
    wire,
};
use crate::{
    breaker::Breaker,
    clock::Clock,
    fleet::{Entry, Fleet, Name},
    traces::{self, Tracer},
};

/// Between mints that succeed, whatever lifetimes are announced, and between attempts to renew a token that still serves;
/// the longest that a login service which keeps failing is left alone, since a token runs out meanwhile.
const FLOOR: Duration = Duration::from_secs(10);
/// After a failed mint with no token left; callers in between share its error.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// After the login service refused the credentials, unless they change.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_mins(1);
/// Between replacements of tokens the API refused.
const PAUSE_BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(30);

/// What the token is kept by that replicas share.
const SHARED: &str = "access token";

/// The access token and what is known about getting one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Minter>);

/// A token to send with a request. Does not print.
pub(super) struct Token {
    /// `Bearer …`, marked sensitive.
    pub(super) header: HeaderValue,
    /// Counts up with every mint.
    pub(super) generation: u64,
    renew_at: Instant,
    expires_at: Instant,
}

impl Token {
    fn is(&self, access_token: &str) -> bool {
        self.header.as_bytes().strip_prefix(b"Bearer ") == Some(access_token.as_bytes())
    }
}

/// How the token stands, for readiness and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// None was asked for yet.
    Unknown,
    /// One is held and serves for this long.
    Valid(Duration),
    /// None is held; the next request asks for one.
    Expired,
    /// None is held and the last mint failed.
    Failing,
    /// None is held and the login service refuses the credentials.
    Refused,
}

/// What tokens are asked for with.
pub(super) struct Parts {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    pub(super) attempt_timeout: Duration,
    pub(super) clock: Clock,
    pub(super) jitter: Jitter,
    pub(super) fleet: Fleet,
    pub(super) tracer: Tracer,
}

struct Minter {
    http: reqwest::Client,
    url: String,
    host: Host,
    credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    attempt_timeout: Duration,
    clock: Clock,
    jitter: Jitter,
    tracer: Tracer,
    held: moka::future::Cache<(), Arc<Token>>,
    state: Mutex<State>,
    /// Of the login service; that of the API is another.
    breaker: Breaker,
    fleet: Fleet,
}

/// A token that is wanted: by whose credentials, and for a request of which trace.
struct Wanted {
    credentials: Credentials,
    part_of: Option<traces::Parent>,
}

/// The token that replicas share.
#[derive(Serialize, Deserialize)]
struct SharedToken {
    access_token: String,
    expires_at: jiff::Timestamp,
}

/// Where minting stands. Tokens are in moka; this knows their generations and ages.
#[derive(Default)]
struct State {
    /// The mint under way.
    flight: Option<Flight>,
    /// Generation and end of the newest token put into moka.
    newest: Option<(u64, Instant)>,
    /// The API refused the tokens up to this generation.
    refused_up_to: u64,
    /// No mint starts before this.
    not_before: Option<Instant>,
    /// Why the last mint failed.
    failure: Option<UpstreamError>,
    /// The credentials the login service refuses.
    refused_credentials: Option<Fingerprint>,
    last_replacement: Option<Instant>,
}

/// Those who wait are served in the order they came.
type Flight = Shared<BoxFuture<'static, Result<Arc<Token>, UpstreamError>>>;
type Fingerprint = [u8; 32];

/// What to do for a caller who needs a token.
enum Step {
    Use(Arc<Token>),
    /// Serve the token, and renew it in the background.
    UseAndRenew(Arc<Token>),
    Join(Flight),
    Mint,
    Fail(UpstreamError),
    /// A mint ended between the look into moka and the look here.
    LookAgain,
}

impl Tokens {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(Minter {
            host: Host::of(&parts.url),
            http: parts.http,
            url: parts.url,
            credentials: parts.credentials,
            attempt_timeout: parts.attempt_timeout,
            clock: parts.clock,
            jitter: parts.jitter,
            tracer: parts.tracer,
            held: moka::future::Cache::builder().build(),
            state: Mutex::default(),
            breaker: Breaker::new("login service", FLOOR),
            fleet: parts.fleet,
        }))
    }

    /// Whether the login service is asked.
    pub(super) fn breaker(&self) -> BreakerState {
        self.0.breaker.state()
    }

    /// A token that is good as far as we know.
    pub(super) async fn current(&self, errand: &Errand) -> Result<Arc<Token>, UpstreamError> {
        loop {
            let held = self.0.held.get(&()).await;
            let flight = {
                let mut state = self.0.lock();
                match state.step(held, Instant::now(), || fingerprint(&(self.0.credentials)())) {
                    Step::Use(token) => return Ok(token),
                    Step::UseAndRenew(token) => {
                        // It goes on by itself.
                        drop(self.start_mint(&mut state, errand));
                        return Ok(token);
                    }
                    Step::Join(flight) => flight,
                    Step::Mint => self.start_mint(&mut state, errand),
                    Step::Fail(error) => return Err(error),
                    Step::LookAgain => continue,
                }
            };
            return landed(flight, errand).await;
        }
    }

    /// A token newer than the one of this generation, which the API refused; or its refusal, `error`, when tokens
    /// are being refused faster than they may be replaced; or why the login service may not be asked yet.
    pub(super) async fn replace(
        &self,
        generation: u64,
        error: UpstreamError,
        errand: &Errand,
    ) -> Result<(), UpstreamError> {
        let flight = {
            let mut state = self.0.lock();
            let now = Instant::now();
            if state.newest.is_some_and(|(newest, _)| newest > generation) {
                return Ok(());
            }
            match state.flight_under_way() {
                Some(flight) => flight,
                None if state
                    .last_replacement
                    .is_some_and(|last| now < last + PAUSE_BETWEEN_REPLACEMENTS) =>
                {
                    return Err(error);
                }
                None if state.failure.is_some() && !state.may_mint(now, || fingerprint(&(self.0.credentials)())) => {
                    tracing::warn!("access token refused before its end, and the login service may not be asked yet");
                    state.refused_up_to = generation;
                    return Err(state.shared_failure(now));
                }
                None => {
                    tracing::warn!("access token refused before its end: replacing it");
                    state.refused_up_to = generation;
                    state.last_replacement = Some(now);
                    self.start_mint(&mut state, errand)
                }
            }
        };
        landed(flight, errand).await.map(drop)
    }

    pub(super) fn state(&self) -> TokenState {
        let state = self.0.lock();
        let now = Instant::now();
        match state.newest {
            Some((generation, expires_at)) if generation > state.refused_up_to && now < expires_at => {
                TokenState::Valid(expires_at - now)
            }
            _ if state.refused_credentials.is_some() => TokenState::Refused,
            _ if state.failure.is_some() => TokenState::Failing,
            Some(_) => TokenState::Expired,
            None => TokenState::Unknown,
        }
    }

    fn start_mint(&self, state: &mut State, errand: &Errand) -> Flight {
        let (publish, published) = oneshot::channel();
        let died = || unavailable("asking for an access token failed inside this service", Told::default());
        let flight = published
            .map(move |outcome| outcome.unwrap_or_else(|_| Err(died())))
            .boxed()
            .shared();
        state.flight = Some(flight.clone());
        let (minter, part_of) = (Arc::clone(&self.0), errand.part_of().cloned());
        tokio::spawn(async move {
            let credentials = (minter.credentials)();
            let wanted = Wanted { credentials, part_of };
            let outcome = minter.obtain(&wanted).await;
            let outcome = minter.settle(outcome, &wanted.credentials).await;
            // Nobody may be waiting any more; the token is kept.
            let _ = publish.send(outcome);
        });
        flight
    }
}

async fn landed(flight: Flight, errand: &Errand) -> Result<Arc<Token>, UpstreamError> {
    let landed = errand.in_time(flight).await;
    landed.unwrap_or_else(|| Err(UpstreamError::Timeout(Told::default())))
}

impl State {
    fn step(&self, held: Option<Arc<Token>>, now: Instant, credentials: impl Fn() -> Fingerprint) -> Step {
        let held_generation = held.as_ref().map_or(0, |token| token.generation);
        if self.newest.is_some_and(|(newest, _)| held_generation < newest) {
            return Step::LookAgain;
        }
        let usable = held.filter(|token| token.generation > self.refused_up_to && now < token.expires_at);
        match (usable, self.flight_under_way()) {
            (Some(token), None) if now >= token.renew_at && self.may_mint(now, &credentials) => {
                Step::UseAndRenew(token)
            }
            (Some(token), _) => Step::Use(token),
            (None, Some(flight)) => Step::Join(flight),
            (None, None) if self.may_mint(now, &credentials) => Step::Mint,
            (None, None) => Step::Fail(self.shared_failure(now)),
        }
    }

    fn may_mint(&self, now: Instant, credentials: impl Fn() -> Fingerprint) -> bool {
        self.not_before.is_none_or(|not_before| now >= not_before)
            || self.refused_credentials.is_some_and(|refused| refused != credentials())
    }

    /// The mint under way, unless its task died.
    fn flight_under_way(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.peek().is_none())
    }

    fn shared_failure(&self, now: Instant) -> UpstreamError {
        let retry_after = self.not_before.unwrap_or(now).saturating_duration_since(now);
        match &self.failure {
            Some(UpstreamError::Budget { told, .. }) => UpstreamError::Budget {
                retry_after,
                told: told.clone(),
            },
            Some(UpstreamError::CircuitOpen { .. }) => UpstreamError::CircuitOpen { retry_after },
            Some(failure) => failure.clone(),
            None => unavailable("the login service gave no usable access token", Told::default()),
        }
    }
}

/// Why there is no new token.
enum MintFailure {
    /// Nothing will change until somebody changes something.
    Permanent(UpstreamError),
    /// 429: not before this much time has passed.
    Throttled(Duration, Told),
    /// It has failed repeatedly, and is not asked for this long.
    LeftAlone(Duration),
    Passing(UpstreamError),
}

impl Minter {
    /// A token that another replica has left, or else one of the login service, for all of them.
    async fn obtain(&self, wanted: &Wanted) -> Result<wire::Grant, MintFailure> {
        if !self.fleet.is_used() || matches!(wanted.credentials, Credentials::Login { .. }) {
            return self.mint(wanted).await;
        }
        if let Some(left) = self.left_by_another().await {
            return Ok(left);
        }
        let name = Name::lasting(SHARED);
        let Some(claim) = self.fleet.claim(&name, Instant::now() + self.attempt_timeout).await else {
            return self.mint(wanted).await;
        };
        let outcome = match self.left_by_another().await {
            Some(left) => Ok(left),
            None => claim.while_held(self.mint_for_all(wanted, name)).await,
        };
        claim.release().await;
        outcome
    }

    async fn mint_for_all(&self, wanted: &Wanted, name: Name) -> Result<wire::Grant, MintFailure> {
        let grant = self.mint(wanted).await?;
        let shared = SharedToken {
            access_token: grant.access_token.clone(),
            expires_at: self.clock.now() + grant.lifetime,
        };
        if let Ok(kept) = serde_json::to_vec(&shared) {
            let ttl = grant.lifetime;
            self.fleet
                .write(vec![Entry { name, kept, ttl }], self.fleet.mark())
                .await;
        }
        Ok(grant)
    }

    /// The token that another replica has left, if it is new here and does not end soon.
    async fn left_by_another(&self) -> Option<wire::Grant> {
        let kept = self.fleet.read(&[Name::lasting(SHARED)]).await.pop()??;
        let SharedToken {
            access_token,
            expires_at,
        } = serde_json::from_slice(&kept).ok()?;
        let lifetime = Duration::try_from(expires_at.duration_since(self.clock.now())).ok()?;
        let is_known = self.held.get(&()).await.is_some_and(|token| token.is(&access_token));
        if is_known || lifetime <= margin(lifetime, 1.0) || lifetime <= FLOOR {
            return None;
        }
        metrics::counter!(meters::TOKEN_MINTS, "outcome" => "shared").increment(1);
        Some(wire::Grant {
            access_token,
            lifetime,
            refresh_token: None,
        })
    }

    /// Asks the login service for a token, once, unless it has been failing.
    async fn mint(&self, wanted: &Wanted) -> Result<wire::Grant, MintFailure> {
        let admission = self.breaker.admit().map_err(MintFailure::LeftAlone)?;
        let part_of = wanted.part_of.as_ref();
        let outcome = match &wanted.credentials {
            Credentials::Client {
                client_id,
                client_secret,
            } => {
                let request = self.http.post(&self.url);
                let request = request.basic_auth(client_id, Some(client_secret.expose_secret()));
                self.ask(request.form(&wire::TOKEN_FORM), part_of).await
            }
            Credentials::Login { client_id, kept } => self.renew(client_id, kept, part_of).await,
        };
        match &outcome {
            Err(MintFailure::Passing(_)) => admission.failed(),
            Ok(_) | Err(MintFailure::Permanent(_) | MintFailure::Throttled(..) | MintFailure::LeftAlone(_)) => {
                admission.succeeded();
            }
        }
        metrics::counter!(meters::TOKEN_MINTS, "outcome" => label(&outcome)).increment(1);
        outcome
    }

    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
        part_of: Option<&traces::Parent>,
    ) -> Result<wire::Grant, MintFailure> {
        let mut span = self.tracer.ask(part_of);
        if let Some(span) = &mut span {
            self.host.describe(span, &Method::POST, self.host.path(), 0);
        }
        match send::send(request, self.attempt_timeout, Room::apart(), span).await {
            Ok(reply) => self.read(&reply),
            Err(lost) => Err(MintFailure::Passing(mint_lost(lost))),
        }
    }

    /// What is kept of a person's login: its access token if that is new to us and lives, else a new one for its refresh
    /// token, of which the next is kept before it is used.
    async fn renew(
        &self,
        client_id: &str,
        kept: &Kept,
        part_of: Option<&traces::Parent>,
    ) -> Result<wire::Grant, MintFailure> {
        let lock = kept.clone();
        let (mut locked, granted) = login::aside(move || {
            let locked = lock.lock()?;
            let granted = locked.read()?;
            Ok((locked, granted))
        })
        .await
        .map_err(not_logged_in)?;
        let is_known = self
            .held
            .get(&())
            .await
            .is_some_and(|token| token.is(&granted.access_token));
        let left = Duration::try_from(granted.expires_at.duration_since(self.clock.now())).unwrap_or_default();
        if !is_known && left > margin(left, 0.0) && left > FLOOR {
            return Ok(wire::Grant {
                access_token: granted.access_token,
                lifetime: left,
                refresh_token: None,
            });
        }
        let Some(refresh_token) = granted.refresh_token.filter(|_| granted.client_id == client_id) else {
            return Err(not_logged_in(LoginError::NotLoggedIn));
        };
        let form = wire::refresh_form(client_id, &refresh_token);
        let mut grant = self.ask(self.http.post(&self.url).form(&form), part_of).await?;
        // Not every login service gives another.
        grant.refresh_token.get_or_insert(refresh_token);
        let (client_id, now) = (client_id.to_owned(), self.clock.now());
        let grant = login::aside(move || {
            locked.keep(client_id, &grant, now)?;
            Ok(grant)
        });
        grant.await.map_err(not_logged_in)
    }

    fn read(&self, reply: &send::Reply) -> Result<wire::Grant, MintFailure> {
        let told = || wire::told_by_login(reply);
        match reply.status {
            status if status.is_success() => wire::read_grant(&reply.body).map_err(|nonsense| {
                MintFailure::Passing(UpstreamError::Unavailable {
                    reason: "the login service's answer makes no sense".to_owned(),
                    told: told(),
                    source: Some(Arc::new(nonsense)),
                })
            }),
            StatusCode::TOO_MANY_REQUESTS => {
                let asked = reply
                    .retry_after
                    .as_deref()
                    .and_then(|header| retry::retry_after(header, self.clock.now()));
                let asked = asked.or_else(|| wire::seconds_asked_for(&reply.body)).unwrap_or(FLOOR);
                Err(MintFailure::Throttled(
                    asked.clamp(PAUSE_AFTER_FAILURE, Duration::from_hours(1)),
                    told(),
                ))
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Err(MintFailure::Permanent(UpstreamError::Rejected {
                    reason: "there is no token endpoint at the login address configured".to_owned(),
                    too_wide: false,
                    told: told(),
                }))
            }
            StatusCode::REQUEST_TIMEOUT => Err(MintFailure::Passing(unavailable("the login service fails", told()))),
            // Codes differ between causes and versions; the status says whose fault it is.
            status if status.is_client_error() => Err(MintFailure::Permanent(UpstreamError::Credentials(told()))),
            _ => Err(MintFailure::Passing(unavailable("the login service fails", told()))),
        }
    }

    /// Keeps the outcome and says when the next mint may start.
    async fn settle(
        &self,
        outcome: Result<wire::Grant, MintFailure>,
        credentials: &Credentials,
    ) -> Result<Arc<Token>, UpstreamError> {
        match outcome {
            Ok(grant) => self.keep(&grant).await,
            Err(failure) => Err(self.remember(failure, credentials)),
        }
    }

    async fn keep(&self, grant: &wire::Grant) -> Result<Arc<Token>, UpstreamError> {
        let Ok(mut header) = HeaderValue::try_from(format!("Bearer {}", grant.access_token)) else {
            let error = unavailable("the login service's answer makes no sense", Told::default());
            return Err(self.settle_failure(error, PAUSE_AFTER_FAILURE, None));
        };
        header.set_sensitive(true);
        let now = Instant::now();
        let generation = self.lock().newest.map_or(0, |(newest, _)| newest) + 1;
        let token = Arc::new(Token {
            header,
            generation,
            renew_at: now + grant.lifetime - margin(grant.lifetime, (self.jitter)()),
            expires_at: now + grant.lifetime,
        });
        self.held.insert((), Arc::clone(&token)).await;
        let mut state = self.lock();
        state.newest = Some((generation, token.expires_at));
        state.not_before = Some(now + FLOOR);
        state.failure = None;
        state.refused_credentials = None;
        state.flight = None;
        Ok(token)
    }

    fn remember(&self, failure: MintFailure, credentials: &Credentials) -> UpstreamError {
        match failure {
            MintFailure::Permanent(error) => {
                tracing::error!(
                    code = error.told().and_then(|told| told.code.as_deref()),
                    "the login service refuses us"
                );
                self.settle_failure(error, PAUSE_AFTER_REFUSAL, Some(fingerprint(credentials)))
            }
            MintFailure::Throttled(retry_after, told) => {
                tracing::warn!(
                    retry_after_s = retry_after.as_secs(),
                    "the login service asks us to wait"
                );
                self.settle_failure(UpstreamError::Budget { retry_after, told }, retry_after, None)
            }
            MintFailure::LeftAlone(retry_after) => {
                self.settle_failure(UpstreamError::CircuitOpen { retry_after }, retry_after, None)
            }
            MintFailure::Passing(error) => self.settle_failure(error, PAUSE_AFTER_FAILURE, None),
        }
    }

    fn settle_failure(&self, error: UpstreamError, pause: Duration, refused: Option<Fingerprint>) -> UpstreamError {
        let now = Instant::now();
        let mut state = self.lock();
        let still_serving = state
            .newest
            .is_some_and(|(generation, end)| generation > state.refused_up_to && now < end);
        let pause = if still_serving {
            tracing::warn!("renewing the access token failed; the present one still serves");
            pause.max(FLOOR)
        } else {
            pause
        };
        state.not_before = Some(now + pause);
        state.failure = Some(error.clone());
        state.refused_credentials = refused;
        state.flight = None;
        error
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long before its end a token is renewed: a tenth of its life, between one and five minutes, spread so that
/// replicas started together do not renew together; never more than half its life.
fn margin(lifetime: Duration, jitter: f64) -> Duration {
    let least = Duration::from_mins(1);
    let most = (lifetime / 10).clamp(Duration::from_secs(90), Duration::from_mins(5));
    (least + most.saturating_sub(least).mul_f64(jitter)).min(lifetime / 2)
}

/// Tells credentials apart without keeping them.
fn fingerprint(credentials: &Credentials) -> Fingerprint {
    let mut digest = Sha256::new();
    match credentials {
        Credentials::Client {
            client_id,
            client_secret,
        } => {
            digest.update(client_id.as_bytes());
            digest.update([0]);
            digest.update(client_secret.expose_secret().as_bytes());
        }
        // Another login, or none any more, is another file.
        Credentials::Login { kept, .. } => digest.update(std::fs::read(&kept.0).unwrap_or_default()),
    }
    digest.finalize().into()
}

fn not_logged_in(error: LoginError) -> MintFailure {
    MintFailure::Permanent(error.into())
}

fn mint_lost(lost: Lost) -> UpstreamError {
    match lost.why {
        send::LostWhy::TooSlow => UpstreamError::Timeout(Told::default()),
        send::LostWhy::NotConnected
        | send::LostWhy::ClosedUnanswered
        | send::LostWhy::Cut
        | send::LostWhy::NoRoom
        | send::LostWhy::TooLarge => UpstreamError::Unavailable {
            reason: "the login service could not be reached".to_owned(),
            told: Told::default(),
            source: lost.source.map(|source| source as _),
        },
    }
}

fn unavailable(reason: &str, told: Told) -> UpstreamError {
    UpstreamError::Unavailable {
        reason: reason.to_owned(),
        told,
        source: None,
    }
}

fn label(outcome: &Result<wire::Grant, MintFailure>) -> &'static str {
    match outcome {
        Ok(_) => "granted",
        Err(MintFailure::Permanent(_)) => "refused",
        Err(MintFailure::Throttled(..)) => "throttled",
        Err(MintFailure::Passing(_) | MintFailure::LeftAlone(_)) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_tenth_of_life_within_bounds_and_spread() {
        for (lifetime, earliest, latest) in [
            (86_399, 300, 60),
            (3_600, 300, 60),
            (1_200, 120, 60),
            (300, 90, 60),
            (100, 50, 50),
            (10, 5, 5),
        ] {
            let lifetime = Duration::from_secs(lifetime);
            assert_eq!(margin(lifetime, 0.0), Duration::from_secs(latest), "{lifetime:?}");
            assert_eq!(margin(lifetime, 1.0), Duration::from_secs(earliest), "{lifetime:?}");
        }
    }
}
