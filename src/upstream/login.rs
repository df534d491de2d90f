//! A person's login: Authorization Code with PKCE (RFC 7636, RFC 8252), and what is kept of it.
//!
//! [`Login`] makes the address to open, exchanges the code that comes back, and ends it all; [`Kept`] is the file in between,
//! which only its owner can read. Its refresh token is good once, so whoever uses it holds the file's lock and writes the
//! next one before anybody else looks. The access token beside it spares a refresh to those who come within its life.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Told, UpstreamError, memory::Room, send, wire};
use crate::clock::Clock;

/// One exchange with the login service, from connecting to the last byte.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a person logs in, and as what.
#[derive(Clone, Debug)]
pub struct Login {
    /// The login page.
    pub authorize_url: String,
    /// Where codes become tokens.
    pub token_url: String,
    /// Base of the API, where tokens are ended.
    pub api_url: String,
    /// The OAuth client of people; it has no secret.
    pub client_id: String,
    /// Where what was granted is kept.
    pub kept: Kept,
}

/// A login under way: what only the one who began it knows.
pub struct Begun {
    /// The address to open in a browser.
    pub url: String,
    /// Comes back with the code, or somebody else's login did.
    pub state: String,
    redirect_uri: String,
    verifier: SecretString,
}

impl Login {
    /// Begins a login that comes back to `redirect_uri`.
    pub fn begin(&self, redirect_uri: &str) -> Begun {
        let random = || BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let (state, verifier) = (random(), random());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let question = wire::authorize_question(&self.client_id, redirect_uri, &state, &challenge);
        Begun {
            url: format!("{}?{question}", self.authorize_url),
            state,
            redirect_uri: redirect_uri.to_owned(),
            verifier: verifier.into(),
        }
    }

    /// Exchanges the code that came back, and keeps what is granted.
    pub async fn finish(&self, begun: &Begun, code: &str, clock: &Clock) -> Result<(), LoginError> {
        let verifier = begun.verifier.expose_secret();
        let form = wire::code_form(&self.client_id, &begun.redirect_uri, code, verifier);
        let http = send::http_client(&self.token_url, 1).map_err(LoginError::client)?;
        let request = http.post(&self.token_url).form(&form);
        let reply = send::send(request, ATTEMPT_TIMEOUT, Room::apart(), None).await;
        let reply = reply.map_err(|_| LoginError::Unreachable)?;
        if !reply.status.is_success() {
            return Err(LoginError::Refused(wire::told_by_login(&reply)));
        }
        let grant = wire::read_grant(&reply.body).map_err(|_| LoginError::Nonsense)?;
        let kept = self.kept.clone();
        let now = clock.now();
        let client_id = self.client_id.clone();
        aside(move || kept.lock()?.keep(client_id, &grant, now)).await
    }

    /// Ends the login: its tokens upstream, and the file. The file is gone whatever the login service says.
    pub async fn log_out(&self, clock: &Clock) -> Result<(), LoginError> {
        let kept = self.kept.clone();
        let mut locked = aside(move || kept.lock()).await?;
        let granted = locked.read()?;
        let ended = self.end(granted, clock.now()).await;
        locked.remove()?;
        ended
    }

    async fn end(&self, mut granted: Granted, now: Timestamp) -> Result<(), LoginError> {
        let http = send::http_client(&self.token_url, 1).map_err(LoginError::client)?;
        let ask = async |request| {
            let reply = send::send(request, ATTEMPT_TIMEOUT, Room::apart(), None).await;
            reply.map_err(|_| LoginError::Unreachable)
        };
        if granted.expires_at <= now {
            // Only a living token can be ended.
            let form = wire::refresh_form(&granted.client_id, granted.refresh_token.as_deref().unwrap_or_default());
            let reply = ask(http.post(&self.token_url).form(&form)).await?;
            if reply.status.is_client_error() {
                return Ok(());
            }
            granted.access_token = wire::read_grant(&reply.body)
                .map_err(|_| LoginError::Nonsense)?
                .access_token;
        }
        let api = send::http_client(&self.api_url, 1).map_err(LoginError::client)?;
        let request = api
            .delete(format!("{}{}", self.api_url, wire::OWN_TOKEN))
            .bearer_auth(&granted.access_token);
        let reply = ask(request).await?;
        match reply.status {
            // Ended already.
            StatusCode::UNAUTHORIZED => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(LoginError::Refused(wire::told(&reply))),
        }
    }
}

/// Why nobody is logged in, or out.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The login service cannot be reached, or not in time.
    #[error("the login service cannot be reached")]
    Unreachable,
    /// The login service refuses.
    #[error("the login service refuses: {}", .0.code.as_deref().unwrap_or("it does not say why"))]
    Refused(Told),
    /// The login service answers what nobody understands.
    #[error("the login service's answer makes no sense")]
    Nonsense,
    /// Nobody has logged in here.
    #[error("nobody is logged in: run `genesys-reports login`")]
    NotLoggedIn,
    /// The file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No HTTP client: an address is none, or the TLS library refuses.
    #[error("cannot ask the login service")]
    Client(#[source] reqwest::Error),
    /// A defect.
    #[error("internal error")]
    Internal,
}

impl LoginError {
    fn client(error: reqwest::Error) -> Self {
        Self::Client(error.without_url())
    }
}

impl From<LoginError> for UpstreamError {
    /// As those see it who ask for figures.
    fn from(error: LoginError) -> Self {
        let reason = match error {
            // Where it is kept concerns nobody else.
            LoginError::File { .. } => "what is kept of the login cannot be used".to_owned(),
            other => other.to_string(),
        };
        Self::Rejected {
            reason,
            too_wide: false,
            told: Told::default(),
        }
    }
}

/// Files and their locks make their thread wait.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoginError> + Send + 'static,
) -> Result<T, LoginError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(LoginError::Internal))
}

/// The file in which a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(pub PathBuf);

/// The file while nobody else uses it: other processes wait for their turn.
pub(super) struct Locked {
    path: PathBuf,
    _lock: File,
}

/// What was granted. Does not print.
#[derive(Deserialize, Serialize)]
pub(super) struct Granted {
    pub(super) client_id: String,
    pub(super) access_token: String,
    pub(super) expires_at: Timestamp,
    pub(super) refresh_token: Option<String>,
}

impl Kept {
    pub(super) fn lock(&self) -> Result<Locked, LoginError> {
        let path = self.0.clone();
        let lock = open_lock(&path).map_err(|source| LoginError::File {
            path: path.clone(),
            source,
        })?;
        Ok(Locked { path, _lock: lock })
    }
}

/// A lock of its own beside the file, which is replaced at every write.
fn open_lock(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

impl Locked {
    pub(super) fn read(&self) -> Result<Granted, LoginError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoginError::NotLoggedIn),
            Err(source) => return Err(self.failed(source)),
        };
        serde_json::from_slice(&text).map_err(|_| self.failed(io::Error::other("it is no kept login")))
    }

    /// Replaces what is kept. The file appears whole or not at all, and nobody else could ever read it.
    pub(super) fn keep(&mut self, client_id: String, grant: &wire::Grant, now: Timestamp) -> Result<(), LoginError> {
        let granted = Granted {
            client_id,
            access_token: grant.access_token.clone(),
            expires_at: now.saturating_add(grant.lifetime).unwrap_or(Timestamp::MAX),
            refresh_token: grant.refresh_token.clone(),
        };
        self.write(&granted).map_err(|source| self.failed(source))
    }

    fn write(&self, granted: &Granted) -> io::Result<()> {
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        // Temporary files are made for their owner only.
        let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        serde_json::to_writer(&mut file, granted)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn remove(&mut self) -> Result<(), LoginError> {
        fs::remove_file(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> LoginError {
        let path = self.path.clone();
        LoginError::File { path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept() -> (tempfile::TempDir, Kept) {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept(directory.path().join("state/login.json"));
        (directory, kept)
    }

    fn grant(access_token: &str) -> wire::Grant {
        wire::Grant {
            access_token: access_token.to_owned(),
            lifetime: Duration::from_mins(10),
            refresh_token: Some("refresh".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_is_its_owners_alone() {
        let (_directory, kept) = kept();
        let mut locked = kept.lock().unwrap();
        assert!(matches!(locked.read(), Err(LoginError::NotLoggedIn)));
        for token in ["one", "two"] {
            locked
                .keep("client".to_owned(), &grant(token), Timestamp::UNIX_EPOCH)
                .unwrap();
            let granted = locked.read().unwrap();
            assert_eq!(
                (granted.access_token.as_str(), granted.client_id.as_str()),
                (token, "client")
            );
            assert_eq!(granted.expires_at.as_second(), 600);
            assert_eq!(fs::metadata(&kept.0).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&kept.0, "{").unwrap();
        assert!(matches!(locked.read(), Err(LoginError::File { .. })));
        locked.remove().unwrap();
        assert!(matches!(locked.read(), Err(LoginError::NotLoggedIn)));
    }

    #[test]
    fn the_verifier_stays_here_and_its_digest_goes() {
        let login = Login {
            authorize_url: "https://login.example/oauth/authorize".to_owned(),
            token_url: "https://login.example/oauth/token".to_owned(),
            api_url: "https://api.example".to_owned(),
            client_id: "client".to_owned(),
            kept: kept().1,
        };
        let (begun, other) = (login.begin("http://127.0.0.1:1/callback"), login.begin("x"));
        let url = reqwest::Url::parse(&begun.url).unwrap();
        let field = |wanted: &str| {
            let found = url.query_pairs().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let verifier = begun.verifier.expose_secret();
        assert_eq!(
            field("code_challenge"),
            BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
        );
        assert_eq!(
            [
                field("response_type"),
                field("client_id"),
                field("redirect_uri"),
                field("code_challenge_method")
            ],
            ["code", "client", "http://127.0.0.1:1/callback", "S256"]
        );
        assert_eq!(field("state"), begun.state);
        assert!((43..=128).contains(&verifier.len()) && !begun.url.contains(verifier));
        assert!(begun.state != other.state && verifier != other.verifier.expose_secret());
    }
}
