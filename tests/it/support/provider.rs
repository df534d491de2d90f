//! An identity provider: it publishes its keys, and signs tokens with them or with others.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::service::{Setup, listen};

/// Who it says it is.
pub(crate) const ISSUER: &str = "https://id.example";
/// Whom its tokens are for.
pub(crate) const AUDIENCE: &str = "reports";

/// A running provider.
pub(crate) struct Provider {
    published: Published,
    /// Where its keys are.
    pub(crate) jwks_url: String,
    serving: JoinHandle<()>,
}

type Published = Arc<Mutex<(u16, Value, usize)>>;

/// A key of a provider.
pub(crate) struct SigningKey {
    name: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
    /// As it is published, for who mistakes it for a shared secret.
    pub(crate) public_bytes: Vec<u8>,
}

impl Provider {
    /// It publishes these.
    pub(crate) fn start(keys: &[&SigningKey]) -> Self {
        let (listener, address) = listen();
        let published = Published::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&published)));
        let provider = Self {
            published,
            jwks_url: format!("http://{address}/keys"),
            serving,
        };
        provider.publish(keys);
        provider
    }

    /// It publishes these instead.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public.clone()).collect();
        let mut published = self.published.lock().unwrap();
        (published.0, published.1) = (200, json!({"keys": keys}));
    }

    /// It answers with this from now on.
    pub(crate) fn fail(&self, status: u16) {
        self.published.lock().unwrap().0 = status;
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.published.lock().unwrap().2
    }

    /// A service that takes its tokens.
    pub(crate) fn setup(&self) -> Setup {
        Setup::new()
            .set("REPORTS_AUTH__JWT__ISSUER", ISSUER)
            .set("REPORTS_AUTH__JWT__AUDIENCE", AUDIENCE)
            .set("REPORTS_AUTH__JWT__JWKS_URL", &self.jwks_url)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers whatever is asked with the keys, one request a connection.
async fn serve(listener: TcpListener, published: Published) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let published = Arc::clone(&published);
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let (status, body) = {
                let mut published = published.lock().unwrap();
                published.2 += 1;
                (published.0, published.1.to_string())
            };
            // Wherever that location leads: nobody is to follow.
            let answer = format!(
                "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nlocation: /keys\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

impl SigningKey {
    /// The quickest to make.
    pub(crate) fn ed25519(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).expect("keys can be made");
        let public = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key_raw())});
        Self::new(
            name,
            Algorithm::EdDSA,
            &pair,
            EncodingKey::from_ed_der(pair.serialized_der()),
            public,
        )
    }

    pub(crate) fn p256(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("keys can be made");
        // A point: 4, x, y.
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let public = json!({"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y), "alg": "ES256"});
        Self::new(
            name,
            Algorithm::ES256,
            &pair,
            EncodingKey::from_ec_der(pair.serialized_der()),
            public,
        )
    }

    pub(crate) fn rsa(name: &str) -> Self {
        /// What PKCS #8 puts before the key itself.
        const WRAPPING: usize = 26;
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("keys can be made");
        // A sequence of two integers: 30 82 .. .., 02 82 01 01 00 modulus, 02 03 exponent.
        let public = pair.public_key_raw();
        let (modulus, exponent) = (&public[9..9 + 256], &public[public.len() - 3..]);
        let public = json!({"kty": "RSA", "n": encoded(modulus), "e": encoded(exponent), "use": "sig"});
        let private = EncodingKey::from_rsa_der(&pair.serialized_der()[WRAPPING..]);
        Self::new(name, Algorithm::RS256, &pair, private, public)
    }

    fn new(name: &str, algorithm: Algorithm, pair: &KeyPair, private: EncodingKey, mut public: Value) -> Self {
        public["kid"] = json!(name);
        Self {
            name: name.to_owned(),
            algorithm,
            private,
            public,
            public_bytes: pair.public_key_raw().to_vec(),
        }
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.name.clone()),
            ..Header::new(self.algorithm)
        };
        encode(&header, claims, &self.private).expect("it can be signed")
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims of somebody who may read, for an hour from when the clocks of these tests start.
pub(crate) fn claims(scope: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "scope": scope, "exp": noon() + 3_600})
}

/// When the clocks of these tests start, in seconds since the epoch.
pub(crate) fn noon() -> i64 {
    "2023-12-01T12:00:00Z"
        .parse::<jiff::Timestamp>()
        .expect("an instant")
        .as_second()
}
