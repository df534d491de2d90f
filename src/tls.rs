//! The certificate the service shows to its callers, where it speaks TLS itself.
//!
//! Read from two files, and again when they change: certificates are renewed under a running service. Files that
//! cannot be used later on leave the certificate that is shown as it is; at the start they are a problem of the
//! settings.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is spoken inside, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with its chain and key; every clone is the same one.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    certificate: PathBuf,
    key: PathBuf,
    shown: RwLock<Arc<CertifiedKey>>,
}

/// What is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// Which of them.
    pub file: File,
    /// What is wrong; nothing of its content.
    pub detail: String,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The certificate and its chain, PEM.
    Certificate,
    /// The private key, PEM.
    Key,
}

impl Identity {
    /// Reads both files; whatever is wrong is said at once.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, Vec<FileProblem>> {
        let shown = certified(&fs::read(&certificate), &fs::read(&key))?;
        Ok(Self(Arc::new(Parts {
            certificate,
            key,
            shown: RwLock::new(Arc::new(shown)),
        })))
    }

    /// How connections are made secure with it.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows the versions of TLS that are safe")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Arc::new(config)
    }

    /// Looks at the files every few seconds, for as long as it is polled.
    pub async fn keep_current(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut seen = self.digest();
        loop {
            ticks.tick().await;
            let found = self.digest();
            if found != seen {
                self.read_again();
                seen = found;
            }
        }
    }

    fn read_again(&self) {
        let Parts {
            certificate,
            key,
            shown,
        } = &*self.0;
        match certified(&fs::read(certificate), &fs::read(key)) {
            Ok(fresh) => {
                *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!("the certificate was read again");
            }
            // Two files are not written at once: this may be said between them.
            Err(problems) => {
                for FileProblem { file, detail } in problems {
                    let path = if file == File::Key { key } else { certificate };
                    tracing::warn!(path = %path.display(), detail, "a new certificate cannot be used; the old one stays");
                }
            }
        }
    }

    /// Tells whether the files are other ones; what cannot be read is like nothing.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for path in [&self.0.certificate, &self.0.key] {
            let content = fs::read(path).unwrap_or_default();
            digest.update(content.len().to_le_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |path: &Path| path.display().to_string();
        write!(formatter, "Identity({}, {})", at(&self.0.certificate), at(&self.0.key))
    }
}

/// The same as the upstream client's, so that one library of ciphers is in the binary.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

type Read = std::io::Result<Vec<u8>>;

fn certified(certificate: &Read, key: &Read) -> Result<CertifiedKey, Vec<FileProblem>> {
    let problem = |file: File| move |detail: String| FileProblem { file, detail };
    let chain = chain(certificate).map_err(problem(File::Certificate));
    let key = private_key(key).map_err(problem(File::Key));
    match (chain, key) {
        (Ok(chain), Ok(key)) => CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            let (file, detail) = match error {
                rustls::Error::InconsistentKeys(_) => (File::Key, "is not the key of the certificate".to_owned()),
                rustls::Error::InvalidCertificate(error) => (File::Certificate, error.to_string()),
                error => (File::Key, error.to_string()),
            };
            vec![FileProblem { file, detail }]
        }),
        (chain, key) => Err([chain.err(), key.err()].into_iter().flatten().collect()),
    }
}

fn chain(content: &Read) -> Result<Vec<CertificateDer<'static>>, String> {
    let content = content.as_ref().map_err(ToString::to_string)?;
    let chain = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err("there is no certificate (PEM) in it".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}

fn private_key(content: &Read) -> Result<PrivateKeyDer<'static>, String> {
    let content = content.as_ref().map_err(ToString::to_string)?;
    PrivateKeyDer::from_pem_slice(content).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => "there is no private key (PEM) in it".to_owned(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of its own and its key, as files.
    fn files() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn both_files_are_judged_and_neither_is_told() {
        let (certificate, key) = files();
        let (_, other_key) = files();
        for (certificate, key, expected) in [
            (certificate.as_str(), key.as_str(), &[][..]),
            (
                &certificate,
                &other_key,
                &[(File::Key, "is not the key of the certificate")],
            ),
            (
                &key,
                &key,
                &[(File::Certificate, "there is no certificate (PEM) in it")],
            ),
            (
                "",
                &certificate,
                &[
                    (File::Certificate, "there is no certificate (PEM) in it"),
                    (File::Key, "there is no private key (PEM) in it"),
                ],
            ),
        ] {
            let found = certified(&Ok(certificate.into()), &Ok(key.into())).map(drop);
            let problems: Vec<_> = found.err().unwrap_or_default();
            let problems: Vec<_> = problems.iter().map(|one| (one.file, one.detail.as_str())).collect();
            assert_eq!(problems, expected);
        }
        let missing = Identity::open("/nowhere/a".into(), "/nowhere/b".into()).unwrap_err();
        assert_eq!(missing.len(), 2);
        assert!(missing[0].detail.contains("No such file"), "{missing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let write = |(certificate, key): &(String, String)| {
            fs::write(path("certificate"), certificate).unwrap();
            fs::write(path("key"), key).unwrap();
        };
        let der = |(certificate, _): &(String, String)| CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let (old, new) = (files(), files());
        write(&old);
        let identity = Identity::open(path("certificate"), path("key")).unwrap();
        let shown = || identity.0.shown.read().unwrap().cert[0].clone();
        let _looking = tokio::spawn(identity.clone().keep_current());
        assert_eq!(shown(), der(&old));
        fs::write(path("certificate"), &new.0).unwrap();
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(shown(), der(&old), "its key is still the old one's");
        write(&new);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(shown(), der(&new));
        write(&("nonsense".to_owned(), String::new()));
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(shown(), der(&new));
    }
}
