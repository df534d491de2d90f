//! What is kept in Redis, sealed: nobody reads it, changes it or puts something else in its place without being noticed.
//!
//! The key is derived from the client's secret, which every replica of an organisation has and nobody else: another
//! organisation's values, a cut one, one under another name or of another layout do not open. A changed secret is another
//! key: what was sealed before is lost, and asked for again.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// What a sealed value begins with, and the version of how it is laid out. The nonce follows, then what is sealed.
const MARK: &[u8; 4] = b"GRF1";
/// What the key is for: no other use of the secret gives the same.
const PURPOSE: &[&[u8]] = &[b"genesys-reports: values that replicas share"];
const KEY_BYTES: usize = 32;

/// Seals and opens, by the secret as it is now.
pub(super) struct Sealer {
    secret: Arc<dyn Fn() -> SecretString + Send + Sync>,
    current: Mutex<([u8; 32], Arc<RandomizedNonceKey>)>,
}

impl Sealer {
    pub(super) fn new(secret: Arc<dyn Fn() -> SecretString + Send + Sync>) -> Self {
        let current = secret();
        Self {
            current: Mutex::new((digest(&current), Arc::new(derived(&current)))),
            secret,
        }
    }

    /// Looks whether the secret has changed.
    pub(super) fn renew(&self) {
        let secret = (self.secret)();
        let digest = digest(&secret);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != digest {
            *current = (digest, Arc::new(derived(&secret)));
        }
    }

    pub(super) fn seal(&self, name: &str, kept: Vec<u8>) -> Vec<u8> {
        let mut sealed = kept;
        let nonce = self.key().seal_in_place_append_tag(Aad::from(name), &mut sealed);
        let nonce = nonce.expect("a value is no gigabytes");
        [MARK, &nonce.as_ref()[..], &sealed].concat()
    }

    /// What was sealed under that name; `None` if this is something else.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.strip_prefix(MARK)?.split_first_chunk::<NONCE_LEN>()?;
        let mut kept = sealed.to_vec();
        let nonce = Nonce::from(nonce);
        let length = self.key().open_in_place(nonce, Aad::from(name), &mut kept).ok()?.len();
        kept.truncate(length);
        Some(kept)
    }

    fn key(&self) -> Arc<RandomizedNonceKey> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// Tells secrets apart without keeping them.
fn digest(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret()).into()
}

fn derived(secret: &SecretString) -> RandomizedNonceKey {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            KEY_BYTES
        }
    }
    let mut key = [0; KEY_BYTES];
    let derived = Salt::new(HKDF_SHA256, &[]).extract(secret.expose_secret().as_bytes());
    derived
        .expand(PURPOSE, Length)
        .and_then(|okm| okm.fill(&mut key))
        .expect("the length is one HKDF gives");
    // This one withstands a nonce that comes twice, as can be when many replicas draw them.
    RandomizedNonceKey::new(&AES_256_GCM_SIV, &key).expect("the length is that of the cipher's key")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(secret: &'static str) -> Sealer {
        Sealer::new(Arc::new(move || secret.to_owned().into()))
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_under_its_name_and_secret_only(
            kept in prop::collection::vec(any::<u8>(), 0..200),
            name in ".{0,40}",
            other in ".{0,40}",
        ) {
            let sealer_of_one = sealer("one");
            let sealed = sealer_of_one.seal(&name, kept.clone());
            prop_assert_eq!(sealer_of_one.open(&name, &sealed), Some(kept));
            prop_assert_eq!(sealer("another").open(&name, &sealed), None);
            prop_assume!(name != other);
            prop_assert_eq!(sealer_of_one.open(&other, &sealed), None);
        }

        #[test]
        fn what_is_not_as_it_was_sealed_does_not_open(
            kept in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flipped in 1_u8..,
        ) {
            let sealer = sealer("one");
            let sealed = sealer.seal("name", kept);
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= flipped;
            prop_assert_eq!(sealer.open("name", &changed), None);
            prop_assert_eq!(sealer.open("name", &sealed[..at.index(sealed.len())]), None);
        }

        #[test]
        fn nonsense_does_not_open(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(sealer("one").open("name", &bytes), None);
            prop_assert_eq!(sealer("one").open("name", &[&MARK[..], &bytes].concat()), None);
        }
    }

    #[test]
    fn a_changed_secret_is_another_key_once_it_is_looked_at() {
        let secret = Arc::new(Mutex::new("one"));
        let read = Arc::clone(&secret);
        let sealer = Sealer::new(Arc::new(move || (*read.lock().unwrap()).to_owned().into()));
        let kept = sealer.seal("name", b"kept".to_vec());
        *secret.lock().unwrap() = "two";
        assert!(sealer.open("name", &kept).is_some());
        sealer.renew();
        assert_eq!(sealer.open("name", &kept), None);
    }
}
