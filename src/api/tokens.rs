//! Short-lived tokens that stand for a key: what an OAuth client gets for a key's name and the key.
//!
//! A token says whose it is and until when, and is signed (HMAC-SHA-256); nothing is kept of it here. It knows its key
//! by an id that only the signer can make of the key's digest, so it ends with the key, and with the secret it was
//! signed with. Replicas that share the secret take each other's tokens.

use std::{fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::links::Shared;
use crate::config::{AuthSettings, KeyDigest};

/// How every token begins, as every key begins otherwise; recognisable to secret scanners.
pub(super) const PREFIX: &str = "grt_";
/// The same of what links carry.
pub(super) const SHARE_PREFIX: &str = "grs_";

/// Seconds since the epoch, then the id of the key, then the signature of both.
const EXPIRY_BYTES: usize = 8;
const ID_BYTES: usize = 16;
const SIGNED_BYTES: usize = EXPIRY_BYTES + ID_BYTES;

/// Signs tokens and knows its own.
pub(super) struct Tokens {
    secret: [u8; 32],
    /// Whether the secret outlives the process.
    is_given: bool,
    lifetime: Duration,
}

/// What tokens know a key by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID_BYTES]);

impl KeyId {
    /// Where there are no keys.
    pub(super) const NOBODY: Self = Self([0; ID_BYTES]);
}

/// A token as it is given.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) lifetime: Duration,
}

impl Tokens {
    /// With the secret of the settings, or one made up.
    pub(super) fn new(settings: &AuthSettings) -> Self {
        let given = settings.token_secret.as_ref().map(|secret| {
            let secret = secret.current();
            Sha256::digest(secret.expose_secret()).into()
        });
        Self {
            is_given: given.is_some(),
            secret: given.unwrap_or_else(rand::random),
            lifetime: settings.token_lifetime,
        }
    }

    /// What tokens of this signer know the key by.
    pub(super) fn id_of(&self, key: &KeyDigest) -> KeyId {
        let signature = self.signer(b"id").chain_update(key.0).finalize().into_bytes();
        let (id, _) = signature.split_first_chunk().expect("a signature is longer than an id");
        KeyId(*id)
    }

    /// A token for a key, good from now on.
    pub(super) fn grant(&self, key: KeyId, now: Timestamp) -> Grant {
        let expires = now.as_second().saturating_add_unsigned(self.lifetime.as_secs());
        let mut token = [&expires.to_be_bytes()[..], &key.0].concat();
        let signature = self.signer(b"token").chain_update(&token).finalize().into_bytes();
        token.extend(signature);
        Grant {
            token: format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(token)),
            lifetime: self.lifetime,
        }
    }

    /// Whose token it is, if it is one of this signer's and has not expired.
    pub(super) fn open(&self, token: &[u8], now: Timestamp) -> Option<KeyId> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(token.strip_prefix(PREFIX.as_bytes())?)
            .ok()?;
        let (signed, signature) = bytes.split_at_checked(SIGNED_BYTES)?;
        let expected = self.signer(b"token").chain_update(signed);
        expected.verify_slice(signature).ok()?;
        let (expiry, id) = signed.split_first_chunk()?;
        let is_good = now.as_second() < i64::from_be_bytes(*expiry);
        is_good.then_some(KeyId(id.try_into().ok()?))
    }

    /// What a link carries that shows this under the key; `None` where it would not outlive the process.
    pub(super) fn share(&self, key: KeyId, shared: &Shared, expires: Timestamp) -> Option<String> {
        if !self.is_given {
            return None;
        }
        let shown = json!([shared.report, shared.arguments]).to_string();
        let mut token = [&expires.as_second().to_be_bytes()[..], &key.0, shown.as_bytes()].concat();
        let signature = self.signer(b"share").chain_update(&token).finalize().into_bytes();
        token.extend(signature);
        Some(format!("{SHARE_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(token)))
    }

    /// What a link shows and under which key, if it is one of this signer's and has not expired.
    pub(super) fn open_share(&self, token: &str, now: Timestamp) -> Option<(KeyId, Shared)> {
        const SIGNATURE_BYTES: usize = 32;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(SHARE_PREFIX)?).ok()?;
        let (signed, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let expected = self.signer(b"share").chain_update(signed);
        expected.verify_slice(signature).ok()?;
        let (expiry, rest) = signed.split_first_chunk()?;
        let (id, shown) = rest.split_first_chunk()?;
        let (report, arguments) = serde_json::from_slice(shown).ok()?;
        let is_good = now.as_second() < i64::from_be_bytes(*expiry);
        is_good.then_some((KeyId(*id), Shared { report, arguments }))
    }

    /// What is signed for one purpose is worth nothing for another.
    fn signer(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let signer = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length does");
        signer.chain_update(purpose)
    }
}

/// The secret is not printed.
impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tokens")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: u8) -> Tokens {
        Tokens {
            secret: [secret; 32],
            is_given: true,
            lifetime: Duration::from_mins(5),
        }
    }

    #[test]
    fn a_link_is_its_signers_until_it_expires() {
        let ours = tokens(1);
        let key = ours.id_of(&KeyDigest([7; 32]));
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let after = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        let shared = Shared {
            report: "queue-performance".to_owned(),
            arguments: vec![
                ("from".to_owned(), "last7d".to_owned()),
                ("queue".to_owned(), "Übersee".to_owned()),
            ],
        };
        let token = ours.share(key, &shared, after(60)).unwrap();
        assert_eq!(ours.open_share(&token, after(59)), Some((key, shared.clone())));
        assert_eq!(ours.open_share(&token, after(60)), None);
        assert_eq!(tokens(2).open_share(&token, start), None);
        // Neither stands for the other.
        assert_eq!(ours.open(token.replace(SHARE_PREFIX, PREFIX).as_bytes(), start), None);
        let grant = ours.grant(key, start).token.replace(PREFIX, SHARE_PREFIX);
        assert_eq!(ours.open_share(&grant, start), None);
        for (place, _) in token.char_indices().skip(SHARE_PREFIX.len()).step_by(3) {
            let mut forged = token.clone();
            let other = if forged[place..].starts_with('A') { "z" } else { "A" };
            forged.replace_range(place..=place, other);
            assert!(ours.open_share(&forged, start).is_none(), "{forged}");
        }
        for nonsense in ["", "grs_", "grs_AAAA", &token[4..]] {
            assert_eq!(ours.open_share(nonsense, start), None, "{nonsense}");
        }
        let fleeting = Tokens {
            is_given: false,
            ..tokens(1)
        };
        assert_eq!(fleeting.share(key, &shared, after(60)), None);
    }

    #[test]
    fn a_token_is_its_signers_until_it_expires() {
        let (ours, theirs) = (tokens(1), tokens(2));
        let key = ours.id_of(&KeyDigest([7; 32]));
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let grant = ours.grant(key, start);
        let after = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        let open = |tokens: &Tokens, token: &str, seconds| tokens.open(token.as_bytes(), after(seconds));
        assert_eq!(open(&ours, &grant.token, 0), Some(key));
        assert_eq!(
            open(&tokens(1), &grant.token, 299),
            Some(key),
            "a replica with the same secret"
        );
        assert_eq!(open(&ours, &grant.token, 300), None);
        assert_eq!(open(&theirs, &grant.token, 0), None);
        assert_ne!(key, ours.id_of(&KeyDigest([8; 32])));
        assert_ne!(key, theirs.id_of(&KeyDigest([7; 32])));
        for (place, _) in grant.token.char_indices().skip(PREFIX.len()) {
            let mut forged = grant.token.clone();
            // Not the neighbour in the alphabet: the last digit carries bits that mean nothing.
            let other = if forged[place..].starts_with('A') { "z" } else { "A" };
            forged.replace_range(place..=place, other);
            assert_eq!(open(&ours, &forged, 0), None, "{forged}");
        }
        for nonsense in ["", "grt_", "grt_AAAA", "grt_%", &grant.token[4..]] {
            assert_eq!(open(&ours, nonsense, 0), None, "{nonsense}");
        }
    }
}
