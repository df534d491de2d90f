//! Who asks, as an identity provider says: JSON Web Tokens (RFC 7519), signed with keys the provider publishes.
//!
//! What a token must be is decided by [`Claims::read`], which is pure: our algorithms only, and never another than the key
//! is for; issuer, audience and expiry stated and right. What cannot be understood is refused, not passed over. Times are
//! judged by the service's own clock, a little leniently, as clocks differ.
//!
//! The provider's keys are fetched when a token names one that is not known, at most once in [`COOLDOWN`] however many
//! tokens do, and now and then otherwise, so that a key that was withdrawn is forgotten. While they cannot be had, those
//! that are known are good for [`KEPT`].

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    config::{JwtSettings, Scope},
    query::Restriction,
};

/// No token is longer: those of providers that put every group of a person into it are half as long.
const MAX_BYTES: usize = 16 << 10;
/// How far the provider's clock and ours may be apart.
const LEEWAY_SECONDS: i64 = 30;
/// Between two attempts to fetch the keys, at least.
pub(super) const COOLDOWN: Duration = Duration::from_secs(10);
/// After this, keys are fetched again when one of them is used.
const FRESH: Duration = Duration::from_mins(10);
/// How long keys are good that cannot be fetched again.
const KEPT: Duration = Duration::from_hours(24);
/// How long fetching them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest set of keys that is read, in bytes, and the most keys of it.
const MAX_SET_BYTES: usize = 256 << 10;
const MAX_KEYS: usize = 100;
/// The longest names of keys and of people (`OpenID` Connect Core, 2).
const MAX_NAME_CHARS: usize = 255;

/// Knows the tokens of one provider. Cheap to clone.
#[derive(Clone)]
pub(super) struct Jwt(Arc<Inner>);

struct Inner {
    settings: JwtSettings,
    client: reqwest::Client,
    keys: Mutex<Keys>,
    /// Held by whoever fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Keys {
    by_name: HashMap<String, Key>,
    fetched_at: Option<Instant>,
    attempted_at: Option<Instant>,
}

/// A key and the one algorithm it is for.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Who a token is of, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// `sub`.
    pub(super) subject: String,
    /// Those of `scope` that there are here.
    pub(super) scopes: BTreeSet<Scope>,
    /// What the subject is confined to.
    pub(super) restriction: Restriction,
    /// Seconds since the epoch.
    pub(super) expires: i64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is wrong; what is wrong with it, for the log.
    Token(&'static str),
    /// The provider's keys cannot be had.
    NoKeys,
}

/// Whether a credential is such a token, as far as can be seen: three parts, the first a JSON object.
pub(super) fn is_one(credential: &[u8]) -> bool {
    credential.starts_with(b"ey") && credential.split(|byte| *byte == b'.').count() == 3
}

impl Jwt {
    /// Fetches nothing yet.
    pub(super) fn new(settings: JwtSettings) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("genesys-reports/", env!("CARGO_PKG_VERSION")))
            // Where keys come from is a setting, not what an answer says.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self(Arc::new(Inner {
            settings,
            client,
            keys: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        })))
    }

    /// Whose token it is, if it is good now.
    pub(super) async fn verify(&self, token: &[u8], now: Timestamp) -> Result<Claims, Refused> {
        let token = std::str::from_utf8(token).map_err(|_| Refused::Token("no text"))?;
        let header = Header::read(token)?;
        let key = self.key(&header.kid).await?;
        if header.alg != key.algorithm {
            return Err(Refused::Token("signed otherwise than its key is for"));
        }
        let mut validation = Validation::new(key.algorithm);
        // Judged by our own clock, below.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation);
        let claims = claims.map_err(|_| Refused::Token("not signed by the provider"))?.claims;
        Claims::read(&claims, &self.0.settings, now)
    }

    async fn key(&self, name: &str) -> Result<Key, Refused> {
        if let Some((key, is_fresh)) = self.known(name) {
            if !is_fresh && self.may_attempt() {
                // It goes on by itself.
                let this = self.clone();
                tokio::spawn(async move { this.fetch().await });
            }
            return Ok(key);
        }
        self.fetch().await;
        match self.known(name) {
            Some((key, _)) => Ok(key),
            None if self.keys().fetched_at.is_none() => Err(Refused::NoKeys),
            None => Err(Refused::Token("signed with a key the provider does not have")),
        }
    }

    /// The key, and whether it was fetched lately.
    fn known(&self, name: &str) -> Option<(Key, bool)> {
        let keys = self.keys();
        let age = keys.fetched_at?.elapsed();
        let key = keys.by_name.get(name).filter(|_| age < KEPT)?;
        Some((key.clone(), age < FRESH))
    }

    fn may_attempt(&self) -> bool {
        let attempted_at = self.keys().attempted_at;
        attempted_at.is_none_or(|at| at.elapsed() >= COOLDOWN)
    }

    /// Fetches the keys unless that was tried a moment ago, whatever came of it.
    async fn fetch(&self) {
        let _fetching = self.0.fetching.lock().await;
        if !self.may_attempt() {
            return;
        }
        self.keys().attempted_at = Some(Instant::now());
        match self.read_keys().await {
            Ok(by_name) => {
                tracing::debug!(keys = by_name.len(), "the identity provider's keys were fetched");
                let mut keys = self.keys();
                keys.by_name = by_name;
                keys.fetched_at = Some(Instant::now());
            }
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "the identity provider's keys cannot be fetched; those known stay for a day"
                );
            }
        }
    }

    async fn read_keys(&self) -> Result<HashMap<String, Key>, String> {
        let told = |error: reqwest::Error| error.without_url().to_string();
        let mut response = self
            .0
            .client
            .get(&self.0.settings.jwks_url)
            .send()
            .await
            .map_err(told)?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_SET_BYTES {
                return Err("its answer is too large".to_owned());
            }
        }
        keys_of(&body)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Jwt").field(&self.0.settings).finish()
    }
}

/// What is said of a token before it is known whose it is.
#[derive(Debug)]
struct Header {
    alg: Algorithm,
    kid: String,
}

impl Header {
    fn read(token: &str) -> Result<Self, Refused> {
        if token.len() > MAX_BYTES {
            return Err(Refused::Token("too long"));
        }
        let first = token.split('.').next().unwrap_or_default();
        let header = BASE64_URL_SAFE_NO_PAD
            .decode(first)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok())
            .ok_or(Refused::Token("no token"))?;
        // Whatever must be understood is not understood here.
        if header.contains_key("crit") {
            return Err(Refused::Token("it has a critical extension"));
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let alg = match text("alg") {
            Some("RS256") => Algorithm::RS256,
            Some("ES256") => Algorithm::ES256,
            Some("EdDSA") => Algorithm::EdDSA,
            _ => return Err(Refused::Token("signed in a way that is not taken")),
        };
        let kid = text("kid").filter(|kid| !kid.is_empty() && kid.chars().count() <= MAX_NAME_CHARS);
        let kid = kid.ok_or(Refused::Token("it does not name its key"))?.to_owned();
        Ok(Self { alg, kid })
    }
}

impl Claims {
    /// Checks what is claimed.
    fn read(claims: &Map<String, Value>, settings: &JwtSettings, now: Timestamp) -> Result<Self, Refused> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // Whole seconds: whatever else a provider writes there is not guessed at.
        let instant = |name: &str| claims.get(name).map(Value::as_i64);
        if text("iss") != Some(settings.issuer.as_str()) {
            return Err(Refused::Token("another issuer's"));
        }
        let is_for_us = match claims.get("aud") {
            Some(Value::String(audience)) => settings.audience.contains(audience),
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(Value::as_str)
                .any(|audience| settings.audience.iter().any(|ours| ours == audience)),
            _ => false,
        };
        if !is_for_us {
            return Err(Refused::Token("for another audience"));
        }
        let now = now.as_second();
        let Some(Some(expires)) = instant("exp") else {
            return Err(Refused::Token("it does not say when it expires"));
        };
        if expires.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(Refused::Token("expired"));
        }
        match instant("nbf") {
            None => {}
            Some(Some(begins)) if begins.saturating_sub(LEEWAY_SECONDS) <= now => {}
            Some(_) => return Err(Refused::Token("not good yet")),
        }
        let subject = text("sub").filter(|subject| !subject.is_empty() && subject.chars().count() <= MAX_NAME_CHARS);
        let subject = subject.ok_or(Refused::Token("it does not say whose it is"))?.to_owned();
        let scopes = text("scope")
            .unwrap_or_default()
            .split(' ')
            .filter_map(Scope::named)
            .collect();
        Ok(Self {
            subject,
            scopes,
            restriction: Self::restriction(claims, settings)?,
            expires,
        })
    }

    /// Where a claim says what its subject is confined to, every token must have it: none is not everything.
    fn restriction(claims: &Map<String, Value>, settings: &JwtSettings) -> Result<Restriction, Refused> {
        let Some(name) = &settings.filters_claim else {
            return Ok(Restriction::default());
        };
        let claim = claims
            .get(name)
            .ok_or(Refused::Token("it does not say what its subject may see"))?;
        Restriction::deserialize(claim).map_err(|_| Refused::Token("what its subject may see is not understood"))
    }
}

/// A set of keys as it is published (RFC 7517).
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct PublishedKey {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys that can be used here, by name. Others may stand beside them.
fn keys_of(body: &[u8]) -> Result<HashMap<String, Key>, String> {
    let published: Published = serde_json::from_slice(body).map_err(|_| "its answer is no set of keys".to_owned())?;
    let mut by_name = HashMap::new();
    for key in published.keys.into_iter().take(MAX_KEYS) {
        let Ok(key) = PublishedKey::deserialize(key) else {
            continue;
        };
        if let Some(usable) = key.usable() {
            by_name.entry(key.kid).or_insert(usable);
        }
    }
    Ok(by_name)
}

impl PublishedKey {
    /// Shorter ones are not secure (RFC 7518, 3.3).
    const LEAST_RSA_BYTES: usize = 256;

    /// The key, if it is for signatures and of a kind that is taken.
    fn usable(&self) -> Option<Key> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let is_for = |names: &[&str]| self.alg.as_deref().is_none_or(|alg| names.contains(&alg));
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) if is_for(&["RS256"]) => {
                let modulus = self.n.as_ref()?;
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(modulus).ok()?;
                let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
                if significant < Self::LEAST_RSA_BYTES {
                    return None;
                }
                (
                    Algorithm::RS256,
                    DecodingKey::from_rsa_components(modulus, self.e.as_ref()?),
                )
            }
            ("EC", Some("P-256")) if is_for(&["ES256"]) => (
                Algorithm::ES256,
                DecodingKey::from_ec_components(self.x.as_ref()?, self.y.as_ref()?),
            ),
            ("OKP", Some("Ed25519")) if is_for(&["EdDSA", "Ed25519"]) => {
                (Algorithm::EdDSA, DecodingKey::from_ed_components(self.x.as_ref()?))
            }
            _ => return None,
        };
        Some(Key {
            algorithm,
            key: key.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUEUE: &str = "7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11";

    fn settings(filters_claim: Option<&str>) -> JwtSettings {
        JwtSettings {
            issuer: "https://id.example".to_owned(),
            audience: vec!["reports".to_owned(), "other".to_owned()],
            jwks_url: "https://id.example/keys".to_owned(),
            filters_claim: filters_claim.map(str::to_owned),
        }
    }

    fn read(changes: &Value, filters_claim: Option<&str>) -> Result<Claims, Refused> {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "reports", "sub": "anna", "exp": 1_700_000_600_u64, "scope": "read live"
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        Claims::read(claims.as_object().unwrap(), &settings(filters_claim), now)
    }

    #[test]
    fn claims_are_right_or_refused() {
        for (changes, is_good) in [
            (json!({}), true),
            (json!({"aud": ["x", "other"]}), true),
            (json!({"aud": "another"}), false),
            (json!({"aud": ["x"]}), false),
            (json!({"aud": []}), false),
            (json!({"aud": 5}), false),
            (json!({"aud": null}), false),
            (json!({"iss": "https://id.example/"}), false),
            (json!({"iss": ["https://id.example"]}), false),
            (json!({"iss": null}), false),
            (json!({"exp": null}), false),
            (json!({"exp": "1700000600"}), false),
            (json!({"exp": 1_700_000_600.5}), false),
            (json!({"exp": 1e300}), false),
            (json!({"exp": -1}), false),
            (json!({"exp": i64::MIN}), false),
            (json!({"exp": i64::MAX}), true),
            (json!({"exp": 1_699_999_969_u64}), false),
            (json!({"exp": 1_699_999_971_u64}), true),
            (json!({"nbf": 1_700_000_030_u64}), true),
            (json!({"nbf": 1_700_000_031_u64}), false),
            (json!({"nbf": "1"}), false),
            (json!({"nbf": 1e300}), false),
            (json!({"nbf": i64::MIN}), true),
            (json!({"sub": null}), false),
            (json!({"sub": ""}), false),
            (json!({"sub": "x".repeat(256)}), false),
        ] {
            let read = read(&changes, None);
            assert_eq!(read.is_ok(), is_good, "{changes}: {read:?}");
        }
    }

    #[test]
    fn scopes_and_restrictions_are_claimed() {
        let scopes = |scope: Value| read(&json!({"scope": scope}), None).unwrap().scopes;
        assert_eq!(scopes(json!("openid read export")), [Scope::Read, Scope::Export].into());
        assert_eq!(scopes(json!("READ")), [].into());
        assert_eq!(scopes(json!(["read"])), [].into());
        assert_eq!(scopes(Value::Null), [].into());
        let confined = |claim: Value| read(&json!({"seen": claim}), Some("seen"));
        let restriction = confined(json!({"routing.queue.id": [QUEUE]})).unwrap().restriction;
        assert_eq!(restriction.filter().values_of("queueId").unwrap().len(), 1);
        assert!(confined(json!({})).unwrap().restriction.is_none());
        for wrong in [
            Value::Null,
            json!([]),
            json!("all"),
            json!({"routing.queue.id": "x"}),
            json!({"media.type": ["voice"]}),
        ] {
            assert!(confined(wrong.clone()).is_err(), "{wrong}");
        }
        // Where no claim is named, none is looked at.
        assert!(read(&json!({"seen": "all"}), None).unwrap().restriction.is_none());
    }

    #[test]
    fn headers_are_understood_or_refused() {
        let header = |header: &Value| {
            let token = format!("{}.e30.", BASE64_URL_SAFE_NO_PAD.encode(header.to_string()));
            Header::read(&token).map(|header| header.alg)
        };
        for (written, expected) in [
            (json!({"alg": "RS256", "kid": "a"}), Some(Algorithm::RS256)),
            (
                json!({"alg": "ES256", "kid": "a", "typ": "at+jwt"}),
                Some(Algorithm::ES256),
            ),
            (json!({"alg": "EdDSA", "kid": "a"}), Some(Algorithm::EdDSA)),
            (json!({"alg": "none", "kid": "a"}), None),
            (json!({"alg": "HS256", "kid": "a"}), None),
            (json!({"alg": "RS512", "kid": "a"}), None),
            (json!({"alg": "rs256", "kid": "a"}), None),
            (json!({"kid": "a"}), None),
            (json!({"alg": "RS256"}), None),
            (json!({"alg": "RS256", "kid": 5}), None),
            (json!({"alg": "RS256", "kid": "x".repeat(256)}), None),
            (json!({"alg": "RS256", "kid": "a", "crit": ["exp"], "exp": 1}), None),
            (json!({"alg": "RS256", "kid": "a", "crit": []}), None),
            (json!([]), None),
        ] {
            assert_eq!(header(&written).ok(), expected, "{written}");
        }
        for odd in ["", "..", "e30", "%.%.%", &"e".repeat(MAX_BYTES + 1)] {
            assert!(Header::read(odd).is_err());
        }
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let x = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        let modulus = |bytes: usize| BASE64_URL_SAFE_NO_PAD.encode(vec![0xff_u8; bytes]);
        let body = json!({"keys": [
            {"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": x},
            {"kid": "ed", "kty": "RSA", "n": modulus(256), "e": "AQAB"},
            {"kid": "rsa", "kty": "RSA", "n": modulus(256), "e": "AQAB", "use": "sig", "alg": "RS256"},
            {"kid": "short", "kty": "RSA", "n": modulus(255), "e": "AQAB"},
            {"kid": "padded", "kty": "RSA", "n": BASE64_URL_SAFE_NO_PAD.encode([&[0; 100][..], &[0xff; 200]].concat()), "e": "AQAB"},
            {"kid": "hidden", "kty": "RSA", "n": modulus(256), "e": "AQAB", "use": "enc"},
            {"kid": "other", "kty": "RSA", "n": modulus(256), "e": "AQAB", "alg": "RS512"},
            {"kid": "shared", "kty": "oct", "k": "c2VjcmV0"},
            {"kid": "curve", "kty": "EC", "crv": "P-384", "x": x, "y": x},
            {"kid": "ec", "kty": "EC", "crv": "P-256", "x": x, "y": x},
            {"kty": "OKP", "crv": "Ed25519", "x": x},
            "nonsense",
        ]});
        let keys = keys_of(body.to_string().as_bytes()).unwrap();
        let found: std::collections::BTreeMap<_, _> =
            keys.iter().map(|(name, key)| (name.as_str(), key.algorithm)).collect();
        assert_eq!(
            found,
            [
                ("ec", Algorithm::ES256),
                ("ed", Algorithm::EdDSA),
                ("rsa", Algorithm::RS256)
            ]
            .into()
        );
        for odd in ["", "[]", "{}", "{\"keys\": 5}"] {
            assert!(keys_of(odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(keys_of(b"{\"keys\": []}").unwrap().is_empty());
    }

    #[test]
    fn tokens_are_told_from_keys() {
        assert!(is_one(b"eyJh.e30.c2ln"));
        for other in [
            &b"grk_abc"[..],
            b"grt_abc",
            b"eyJh",
            b"eyJh.e30",
            b"a.b.c",
            b"eyJh.e30.c.d.e",
        ] {
            assert!(!is_one(other), "{}", String::from_utf8_lossy(other));
        }
    }
}
