//! Who asks, and what they may do: API keys, their scopes, their quota.
//!
//! Keys carry 256 random bits, so plain SHA-256 is what is kept of them; every digest is compared in constant
//! time. Without any key configured everybody may read, export and watch, and credentials are not looked at. A token of
//! `POST /oauth/token` stands for the key it was given for (`tokens`).

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{
    problem::{Problem, ProblemKind},
    tokens::{self, Grant, KeyId, Tokens},
};
use crate::{
    clock::Clock,
    config::{AuthSettings, KeyDigest, Scope},
    upstream::error::whole_seconds,
};

/// Carries a key where `Authorization` is taken.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What is left of the caller's quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The caller's quota.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

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
    keys: Vec<Key>,
    anonymous: bool,
    tokens: Tokens,
    clock: Clock,
}

#[derive(Debug)]
struct Key {
    digest: KeyDigest,
    /// What tokens know it by.
    id: KeyId,
    principal: Arc<Principal>,
    quota: Option<Quota>,
}

/// Who asks.
#[derive(Debug)]
pub struct Principal {
    /// The key's name, for the log; `None` for a caller without one.
    name: Option<String>,
    scopes: BTreeSet<Scope>,
}

/// The caller of a request, as a handler takes it.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Principal>);

impl Caller {
    /// What tells callers apart: the key's name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or("anonymous")
    }

    /// Refuses a caller whose key does not carry the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.scopes.contains(&scope) {
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
    pub fn new(settings: &AuthSettings, clock: Clock) -> Self {
        let tokens = Tokens::new(settings);
        let key = |key: &crate::config::KeySettings| Key {
            digest: key.sha256.clone(),
            id: tokens.id_of(&key.sha256),
            principal: Arc::new(Principal {
                name: Some(key.name.clone()),
                scopes: key.scopes.clone(),
            }),
            quota: key.requests_per_minute.map(Quota::new),
        };
        Self(Arc::new(Inner {
            keys: settings.keys.iter().map(key).collect(),
            anonymous: settings.anonymous || settings.keys.is_empty(),
            tokens,
            clock,
        }))
    }

    /// A token for a key, by its name and the key itself; for anybody where there are no keys.
    pub(super) fn grant(&self, name: &str, key: &str) -> Option<Grant> {
        let now = self.0.clock.now();
        if self.0.keys.is_empty() {
            return Some(self.0.tokens.grant(KeyId::NOBODY, now));
        }
        let key = self.key_of(key.as_bytes())?;
        (key.principal.name.as_deref() == Some(name)).then(|| self.0.tokens.grant(key.id, now))
    }

    /// Every key is compared, so that the time taken tells nothing.
    fn key_of(&self, presented: &[u8]) -> Option<&Key> {
        let digest = Sha256::digest(presented);
        let mut found = None;
        for key in &self.0.keys {
            if bool::from(key.digest.0.ct_eq(digest.as_slice())) {
                found = Some(key);
            }
        }
        found
    }

    /// The key a token was given for, if the token is good and the key still there.
    fn key_of_token(&self, token: &[u8]) -> Option<&Key> {
        let id = self.0.tokens.open(token, self.0.clock.now())?;
        self.0.keys.iter().find(|key| key.id == id)
    }

    /// Who a request's credential belongs to, and their quota.
    fn identify(&self, headers: &HeaderMap) -> Result<(Caller, Option<&Quota>), Problem> {
        match presented(headers) {
            Presented::Nothing if self.0.anonymous => Ok((anonymous(), None)),
            _ if self.0.keys.is_empty() => Ok((anonymous(), None)),
            Presented::Nothing | Presented::Unreadable => Err(unauthenticated()),
            Presented::Key(key) => {
                let found = if key.starts_with(tokens::PREFIX.as_bytes()) {
                    self.key_of_token(key)
                } else {
                    self.key_of(key)
                };
                let key = found.ok_or_else(unauthenticated)?;
                Ok((Caller(Arc::clone(&key.principal)), key.quota.as_ref()))
            }
        }
    }
}

fn anonymous() -> Caller {
    Caller(Arc::new(Principal {
        name: None,
        scopes: BTreeSet::from([Scope::Read, Scope::Export, Scope::Live]),
    }))
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
pub async fn authenticate(State(keys): State<Keys>, mut request: Request, next: Next) -> Response {
    let (caller, quota) = match keys.identify(request.headers()) {
        Ok(identified) => identified,
        Err(problem) => return problem.into_response(),
    };
    if let Some(name) = &caller.0.name {
        tracing::debug!(caller = name, "authenticated");
    }
    request.extensions_mut().insert(caller);
    let Some(quota) = quota else {
        return next.run(request).await;
    };
    let left = quota.take(Instant::now());
    let mut response = if left.refused {
        Problem::new(ProblemKind::TooManyRequests)
            .detail(format!("this key is good for {} requests a minute", quota.per_window))
            .retry_after(left.resets_in)
            .into_response()
    } else {
        next.run(request).await
    };
    left.tell(quota.per_window, response.headers_mut());
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
struct Left {
    refused: bool,
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
            refused,
            remaining: self.per_window - window.used,
            resets_in: window.ends - now,
        }
    }
}

impl Left {
    /// `RateLimit` and `RateLimit-Policy`, structured lists of one item each.
    fn tell(&self, per_window: u32, headers: &mut HeaderMap) {
        let policy = format!("\"requests\";q={per_window};w={}", WINDOW.as_secs());
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
    use crate::config::KeySettings;

    fn keys(anonymous: bool, secrets: &[(&str, Scope)]) -> Keys {
        let key = |(secret, scope): &(&str, Scope)| KeySettings {
            name: format!("for {secret}"),
            sha256: KeyDigest(Sha256::digest(secret).into()),
            scopes: BTreeSet::from([*scope]),
            requests_per_minute: None,
        };
        let settings = AuthSettings {
            keys: secrets.iter().map(key).collect(),
            anonymous,
            token_secret: None,
            token_lifetime: Duration::from_hours(1),
        };
        Keys::new(&settings, Clock::system())
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
                .map(|(caller, _)| caller.0.name.clone())
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
        assert!(anonymous().require(Scope::Admin).is_err());
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
