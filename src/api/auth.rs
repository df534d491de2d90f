//! Who asks, and what they may do: API keys, their scopes, their quota.
//!
//! Keys carry 256 random bits, so plain SHA-256 is what is kept of them; every digest is compared in constant
//! time. Without any key configured everybody may read, export and watch, and credentials are not looked at. A token of
//! `POST /oauth/token` stands for the key it was given for (`tokens`); one of an identity provider says itself who asks
//! (`jwt`). Keys are read again when they change.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    jwt::{self, Claims, Jwt, Refused},
    links::{self, Shared},
    problem::{Problem, ProblemKind},
    tokens::{self, Grant, KeyId, Tokens},
};
use crate::{
    clock::Clock,
    config::{AuthSettings, KeyDigest, KeySettings, KeySource, OF_LINK, OF_PROVIDER, Scope},
    query::Restriction,
    upstream::error::whole_seconds,
};

/// Carries a key where `Authorization` is taken.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What is left of the caller's quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The caller's quota.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How often it is looked whether the keys are others.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The length of a quota's window.
const WINDOW: Duration = Duration::from_mins(1);

/// Makes a key, recognisable to secret scanners, and what is kept of it.
pub fn new_key() -> (String, String) {
    let key = format!("grk_{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let digest = Sha256::digest(key.as_bytes());
    let hex = digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    (key, hex)
}

/// Who may ask. Cheap to clone; every clone counts against the same quotas.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: RwLock<Arc<KeySet>>,
    /// Whether callers without a key are served although there are keys.
    anonymous: bool,
    tokens: Tokens,
    /// Whose tokens are taken beside keys.
    jwt: Option<Jwt>,
    clock: Clock,
}

/// The keys at a time.
#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<Arc<Key>>,
    /// The caller without a key, if there may be one.
    anonymous: Option<Caller>,
}

#[derive(Debug)]
pub(super) struct Key {
    settings: KeySettings,
    /// What tokens know it by.
    id: KeyId,
    caller: Caller,
    quota: Option<Quota>,
}

/// Who asks. Equal ones have the same key and may do and see the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key's name, for the log; `None` for a caller without one.
    name: Option<String>,
    /// The key itself, as it is known: names can be given anew, and a provider's are not ours.
    key: Option<KeyDigest>,
    scopes: BTreeSet<Scope>,
    restriction: Restriction,
}

/// The caller of a request, as a handler takes it.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Arc<Principal>,
    /// Cancelled once it may not do any more what it could.
    ended: CancellationToken,
    /// When its credential expires, if it does.
    expires: Option<Instant>,
    /// What it follows a link to.
    shared: Option<Arc<Shared>>,
}

/// Who a credential belongs to, and the key, if it is one.
pub(super) type Known = (Caller, Option<Arc<Key>>);

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal
    }
}

impl Eq for Caller {}

impl Caller {
    fn new(principal: Principal) -> Self {
        Self {
            principal: Arc::new(principal),
            ended: CancellationToken::new(),
            expires: None,
            shared: None,
        }
    }

    /// Whoever a provider's token is of.
    fn of_token(claims: Claims, now: Timestamp) -> Self {
        let good_for = claims.expires.saturating_sub(now.as_second()).max(0).unsigned_abs();
        Self {
            expires: Instant::now().checked_add(Duration::from_secs(good_for)),
            ..Self::new(Principal {
                name: Some(format!("{OF_PROVIDER}{}", claims.subject)),
                key: None,
                scopes: claims.scopes,
                restriction: claims.restriction,
            })
        }
    }

    /// What tells callers apart: the key's name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.principal.name.as_deref().unwrap_or("anonymous")
    }

    /// Whether nothing is kept from the caller.
    pub fn sees_everything(&self) -> bool {
        self.restriction().is_none() && self.shared.is_none()
    }

    /// What the caller may see.
    pub fn restriction(&self) -> &Restriction {
        &self.principal.restriction
    }

    /// What a link shows that it follows: this, and nothing else.
    pub fn shared(&self) -> Option<&Shared> {
        self.shared.as_deref()
    }

    /// Cancelled once its key is gone, or may do or see something else: what goes on for long has to begin anew.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// When what goes on for long has to begin anew at the latest.
    pub fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Refuses a caller whose key does not carry the scope. Who runs the service sees everything there is in it.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if scope == Scope::Admin && !self.principal.restriction.is_none() {
            return Err(Problem::new(ProblemKind::Forbidden)
                .detail("a key that is confined to some queues or divisions may not"));
        }
        if self.principal.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Forbidden)
            .detail(format!("this needs a key with the scope `{scope:?}`").to_lowercase()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Absent only when a route was mounted outside the authentication layer: refuse rather than serve.
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

impl Keys {
    /// The keys as configured.
    pub fn new(settings: &AuthSettings, clock: Clock) -> Result<Self, reqwest::Error> {
        let tokens = Tokens::new(settings);
        let jwt = settings.jwt.clone().map(Jwt::new).transpose()?;
        let is_open = settings.anonymous || (settings.keys.is_empty() && jwt.is_none());
        let current = KeySet::new(&settings.keys, is_open, &tokens, &KeySet::default());
        Ok(Self(Arc::new(Inner {
            current: RwLock::new(Arc::new(current)),
            anonymous: settings.anonymous,
            tokens,
            jwt,
            clock,
        })))
    }

    /// Reads the keys again whenever what they come from has changed, for as long as it is polled.
    pub async fn keep_current(self, source: KeySource) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut seen = source.texts();
        loop {
            ticks.tick().await;
            let found = source.texts();
            if found == seen {
                continue;
            }
            seen = found;
            match source.read() {
                Ok(keys) => self.replace(&keys),
                Err(problems) => tracing::warn!(%problems, "the keys cannot be read again; the old ones stay"),
            }
        }
    }

    /// Takes these keys in place of those there are. A key that is as it was keeps its quota; whatever goes on for another
    /// one ends.
    fn replace(&self, keys: &[KeySettings]) {
        let before = self.current();
        let is_open = self.0.anonymous || (keys.is_empty() && self.0.jwt.is_none());
        if is_open && before.anonymous.is_none() {
            tracing::warn!("there are no keys any more, which would let everybody in; the old ones stay");
            return;
        }
        let after = Arc::new(KeySet::new(keys, is_open, &self.0.tokens, &before));
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        before.end_all_but(&after);
        tracing::info!(keys = keys.len(), "the keys were read again");
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A token for a key, by its name and the key itself; for anybody where there are no keys.
    pub(super) fn grant(&self, name: &str, key: &str) -> Option<Grant> {
        let (now, current) = (self.0.clock.now(), self.current());
        if current.keys.is_empty() && current.anonymous.is_some() {
            return Some(self.0.tokens.grant(KeyId::NOBODY, now));
        }
        let key = current.key_of(key.as_bytes())?;
        (key.settings.name == name).then(|| self.0.tokens.grant(key.id, now))
    }

    /// What a link carries that shows this, on behalf of the caller's key.
    pub(super) fn share(&self, caller: &Caller, shared: &Shared, expires: Timestamp) -> Result<String, Problem> {
        let refused = |why: &'static str| Problem::new(ProblemKind::Forbidden).detail(why);
        let current = self.current();
        let mut keys = current.keys.iter();
        let key = keys.find(|key| caller.principal.key.as_ref() == Some(&key.settings.sha256));
        let key = key.ok_or_else(|| refused("a link shows what a key may see: make one with a key"))?;
        let token = self.0.tokens.share(key.id, shared, expires);
        token.ok_or_else(|| refused("links are signed with auth.token_secret, which is not set"))
    }

    /// Who follows a link; `None` where the request is no such.
    fn follower(&self, request: &Request) -> Option<Result<Known, Problem>> {
        let file = request.uri().path().strip_prefix("/v1/reports/")?;
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_reading || !matches!(presented(request.headers()), Presented::Nothing) {
            return None;
        }
        let query = request.uri().query()?.as_bytes();
        let (_, token) = form_urlencoded::parse(query).find(|(name, _)| name == links::SHARE)?;
        let found = self.0.tokens.open_share(&token, self.0.clock.now());
        // The report's name and perhaps a format.
        let found = found.filter(|(_, shared)| file.split('.').next() == Some(shared.report.as_str()));
        let current = self.current();
        let found = found.and_then(|(id, shared)| {
            let key = current.keys.iter().find(|key| key.id == id)?;
            Some((key.follower(shared), Some(Arc::clone(key))))
        });
        Some(found.ok_or_else(|| unauthenticated().detail("this link has expired, or its maker's key is gone")))
    }

    /// Who a request's credential belongs to, and the key, if it is one.
    pub(super) async fn known(&self, headers: &HeaderMap) -> Result<Known, Problem> {
        let (Some(jwt), Presented::Key(token)) = (&self.0.jwt, presented(headers)) else {
            return self.identify(headers);
        };
        if !jwt::is_one(token) {
            return self.identify(headers);
        }
        let now = self.0.clock.now();
        // Seldom needed, and larger than all the rest.
        match Box::pin(jwt.verify(token, now)).await {
            Ok(claims) => Ok((Caller::of_token(claims, now), None)),
            Err(Refused::Token(why)) => {
                tracing::debug!(why, "a token is refused");
                Err(unauthenticated())
            }
            Err(Refused::NoKeys) => Err(Problem::new(ProblemKind::NotReady)
                .detail("the identity provider's keys cannot be had")
                .retry_after(jwt::COOLDOWN)),
        }
    }

    /// The same of a key, or of a token for one.
    fn identify(&self, headers: &HeaderMap) -> Result<Known, Problem> {
        let current = self.current();
        match (presented(headers), &current.anonymous) {
            (Presented::Nothing, Some(anonymous)) => Ok((anonymous.clone(), None)),
            // There is nothing it could be.
            (_, Some(anonymous)) if current.keys.is_empty() => Ok((anonymous.clone(), None)),
            (Presented::Nothing | Presented::Unreadable, _) => Err(unauthenticated()),
            (Presented::Key(key), _) => {
                let found = if key.starts_with(tokens::PREFIX.as_bytes()) {
                    let id = self.0.tokens.open(key, self.0.clock.now());
                    current.keys.iter().find(|key| Some(key.id) == id)
                } else {
                    current.key_of(key)
                };
                let key = found.ok_or_else(unauthenticated)?;
                Ok((key.caller.clone(), Some(Arc::clone(key))))
            }
        }
    }
}

impl Key {
    /// Counts a request, if they are counted.
    pub(super) fn take(&self, now: Instant) -> Option<Left> {
        self.quota.as_ref().map(|quota| quota.take(now))
    }

    /// Whoever follows a link that was made with it.
    fn follower(&self, shared: Shared) -> Caller {
        let Principal {
            scopes, restriction, ..
        } = &*self.caller.principal;
        let may = scopes & &BTreeSet::from([Scope::Read, Scope::Export]);
        Caller {
            ended: self.caller.ended.clone(),
            shared: Some(Arc::new(shared)),
            ..Caller::new(Principal {
                name: Some(format!("{OF_LINK}{}", self.settings.name)),
                key: None,
                scopes: may,
                restriction: restriction.clone(),
            })
        }
    }
}

impl KeySet {
    /// A set of keys, those taken over that are as they were `before`.
    fn new(settings: &[KeySettings], is_open: bool, tokens: &Tokens, before: &Self) -> Self {
        let key = |settings: &KeySettings| {
            let known = before.keys.iter().find(|key| key.settings == *settings);
            known.cloned().unwrap_or_else(|| {
                Arc::new(Key {
                    id: tokens.id_of(&settings.sha256),
                    caller: Caller::new(Principal {
                        name: Some(settings.name.clone()),
                        key: Some(settings.sha256.clone()),
                        scopes: settings.scopes.clone(),
                        restriction: settings.filters.clone(),
                    }),
                    quota: settings.requests_per_minute.map(Quota::new),
                    settings: settings.clone(),
                })
            })
        };
        Self {
            keys: settings.iter().map(key).collect(),
            anonymous: is_open.then(|| before.anonymous.clone().unwrap_or_else(anonymous_caller)),
        }
    }

    /// Every key is compared, so that the time taken tells nothing.
    fn key_of(&self, presented: &[u8]) -> Option<&Arc<Key>> {
        let digest = Sha256::digest(presented);
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.settings.sha256.0.ct_eq(digest.as_slice())) {
                found = Some(key);
            }
        }
        found
    }

    /// Ends what goes on for whoever is not in the other set.
    fn end_all_but(&self, other: &Self) {
        let stays = |key: &&Arc<Key>| other.keys.iter().any(|other| Arc::ptr_eq(key, other));
        for key in self.keys.iter().filter(|key| !stays(key)) {
            key.caller.ended.cancel();
        }
        if let (Some(anonymous), None) = (&self.anonymous, &other.anonymous) {
            anonymous.ended.cancel();
        }
    }
}

fn anonymous_caller() -> Caller {
    Caller::new(Principal {
        name: None,
        key: None,
        scopes: BTreeSet::from([Scope::Read, Scope::Export, Scope::Live]),
        restriction: Restriction::default(),
    })
}

fn unauthenticated() -> Problem {
    Problem::new(ProblemKind::Unauthenticated)
        .detail("send a key as `Authorization: Bearer …` or `X-API-Key: …`")
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"genesys-reports\""),
        )
}

enum Presented<'a> {
    Nothing,
    Key(&'a [u8]),
    Unreadable,
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let bytes = value.as_bytes();
        return match bytes.split_at_checked("Bearer ".len()) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => Presented::Key(key.trim_ascii()),
            _ => Presented::Unreadable,
        };
    }
    headers
        .get(API_KEY)
        .map_or(Presented::Nothing, |key| Presented::Key(key.as_bytes()))
}

/// Lets in who may ask at all, holds them to their quota, and tells them what is left of it.
pub async fn authenticate(
    keys: &Keys,
    mut request: Request,
    next: impl AsyncFnOnce(Request, Caller) -> Response,
) -> Response {
    let known = match keys.follower(&request) {
        Some(follower) => follower,
        None => keys.known(request.headers()).await,
    };
    let (caller, key) = match known {
        Ok(known) => known,
        Err(problem) => return problem.into_response(),
    };
    if let Some(name) = &caller.principal.name {
        tracing::debug!(caller = name, "authenticated");
    }
    request.extensions_mut().insert(caller.clone());
    let Some(left) = key.and_then(|key| key.take(Instant::now())) else {
        return next(request, caller).await;
    };
    let mut response = if left.refused {
        Problem::new(ProblemKind::TooManyRequests)
            .detail(format!("this key is good for {} requests a minute", left.per_window))
            .retry_after(left.resets_in)
            .into_response()
    } else {
        next(request, caller).await
    };
    left.tell(response.headers_mut());
    response
}

/// So many requests in every window; a window starts with its first request.
#[derive(Debug)]
struct Quota {
    per_window: u32,
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: Instant,
    used: u32,
}

/// What a request leaves of its quota.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    per_window: u32,
    pub(super) refused: bool,
    remaining: u32,
    resets_in: Duration,
}

impl Quota {
    fn new(per_window: u32) -> Self {
        Self {
            per_window,
            window: Mutex::new(None),
        }
    }

    fn take(&self, now: Instant) -> Left {
        let mut slot = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = slot.filter(|window| now < window.ends).unwrap_or(Window {
            ends: now + WINDOW,
            used: 0,
        });
        let refused = window.used >= self.per_window;
        if !refused {
            window.used += 1;
        }
        *slot = Some(window);
        Left {
            per_window: self.per_window,
            refused,
            remaining: self.per_window - window.used,
            resets_in: window.ends - now,
        }
    }
}

impl Left {
    /// `RateLimit` and `RateLimit-Policy`, structured lists of one item each.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let policy = format!("\"requests\";q={};w={}", self.per_window, WINDOW.as_secs());
        let limit = format!("\"requests\";r={};t={}", self.remaining, whole_seconds(self.resets_in));
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(anonymous: bool, secrets: &[(&str, Scope)]) -> Keys {
        let key = |(secret, scope): &(&str, Scope)| KeySettings {
            name: format!("for {secret}"),
            sha256: KeyDigest(Sha256::digest(secret).into()),
            scopes: BTreeSet::from([*scope]),
            requests_per_minute: None,
            filters: Restriction::default(),
        };
        let settings = AuthSettings {
            keys: secrets.iter().map(key).collect(),
            key_source: KeySource::default(),
            anonymous,
            token_secret: None,
            token_lifetime: Duration::from_hours(1),
            jwt: None,
        };
        Keys::new(&settings, Clock::system()).unwrap()
    }

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn credentials_are_told_apart() {
        let none = HeaderMap::new();
        let bearer = with(header::AUTHORIZATION, "Bearer alpha");
        let lower = with(header::AUTHORIZATION, "bearer beta");
        let api_key = with(API_KEY, "beta");
        let wrong = with(API_KEY, "gamma");
        let basic = with(header::AUTHORIZATION, "Basic YTpi");
        let empty = with(header::AUTHORIZATION, "Bearer ");

        let two = [("alpha", Scope::Read), ("beta", Scope::Export)];
        for (anonymous, configured, headers, expected) in [
            (false, &two[..], &none, Err(())),
            (false, &two[..], &bearer, Ok(Some("for alpha"))),
            (false, &two[..], &lower, Ok(Some("for beta"))),
            (false, &two[..], &api_key, Ok(Some("for beta"))),
            (false, &two[..], &wrong, Err(())),
            (false, &two[..], &basic, Err(())),
            (false, &two[..], &empty, Err(())),
            (true, &two[..], &none, Ok(None)),
            (true, &two[..], &wrong, Err(())),
            (false, &[], &none, Ok(None)),
            (false, &[], &wrong, Ok(None)),
        ] {
            let keys = keys(anonymous, configured);
            let found = keys
                .identify(headers)
                .map(|(caller, _)| caller.principal.name.clone())
                .map_err(|_| ());
            assert_eq!(
                found,
                expected.map(|name| name.map(str::to_owned)),
                "{headers:?} {anonymous}"
            );
        }
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say() {
        let keys = keys(false, &[("alpha", Scope::Read)]);
        let (caller, _) = keys.identify(&with(API_KEY, "alpha")).unwrap();
        assert!(caller.require(Scope::Read).is_ok());
        assert_eq!(
            caller.require(Scope::Export).unwrap_err().kind(),
            ProblemKind::Forbidden
        );
        assert!(anonymous_caller().require(Scope::Admin).is_err());
    }

    #[test]
    fn keys_that_stay_keep_their_quota_and_the_others_end() {
        let key = |secret: &str, requests_per_minute| KeySettings {
            name: secret.to_owned(),
            sha256: KeyDigest(Sha256::digest(secret).into()),
            scopes: BTreeSet::from([Scope::Read]),
            requests_per_minute,
            filters: Restriction::default(),
        };
        let keys = keys(false, &[("x", Scope::Read)]);
        keys.replace(&[key("alpha", Some(2)), key("beta", None), key("gamma", None)]);
        let of = |secret| keys.identify(&with(API_KEY, secret));
        assert!(of("x").is_err());
        let found = ["alpha", "beta", "gamma"].map(|secret| of(secret).unwrap());
        let now = Instant::now();
        let take = |key: &Option<Arc<Key>>| key.as_ref().unwrap().quota.as_ref().unwrap().take(now).remaining;
        assert_eq!(take(&found[0].1), 1);
        let mut more = key("gamma", None);
        more.scopes.insert(Scope::Export);
        keys.replace(&[key("alpha", Some(2)), more]);
        assert_eq!(take(&of("alpha").unwrap().1), 0, "what was used is used");
        let ended = found.each_ref().map(|(caller, _)| caller.ended().is_cancelled());
        assert_eq!(ended, [false, true, true], "gone, or may do something else");
        assert!(of("beta").is_err());
        assert!(of("gamma").unwrap().0.require(Scope::Export).is_ok());
        // Nobody is let in by a file that was emptied.
        keys.replace(&[]);
        assert!(of("alpha").is_ok() && keys.identify(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_first_key_shuts_out_who_has_none() {
        let keys = keys(false, &[]);
        let (anonymous, _) = keys.identify(&HeaderMap::new()).unwrap();
        keys.replace(&[KeySettings {
            name: "alpha".to_owned(),
            sha256: KeyDigest(Sha256::digest("alpha").into()),
            scopes: BTreeSet::from([Scope::Read]),
            requests_per_minute: None,
            filters: Restriction::default(),
        }]);
        assert!(keys.identify(&HeaderMap::new()).is_err() && anonymous.ended().is_cancelled());
    }

    #[test]
    fn a_new_key_is_found_by_its_digest() {
        let (key, hex) = new_key();
        let digest = KeyDigest::try_from(hex).unwrap();
        assert_eq!(digest.0, <[u8; 32]>::from(Sha256::digest(&key)));
        assert_eq!(key.len(), 4 + 43);
        assert_ne!(new_key().0, key);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_counts_within_its_window() {
        let quota = Quota::new(2);
        let start = Instant::now();
        let at = |seconds: u64| quota.take(start + Duration::from_secs(seconds));
        let left = |refused, remaining, seconds| Left {
            per_window: 2,
            refused,
            remaining,
            resets_in: Duration::from_secs(seconds),
        };
        assert_eq!(at(0), left(false, 1, 60));
        assert_eq!(at(10), left(false, 0, 50));
        assert_eq!(at(20), left(true, 0, 40));
        assert_eq!(at(59), left(true, 0, 1));
        assert_eq!(at(60), left(false, 1, 60));
    }
}
