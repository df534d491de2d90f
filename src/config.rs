//! Settings: the only reader of the environment and of settings files.
//!
//! Flags win over the environment, the environment over the TOML file, the file over the defaults. Every
//! problem is found before anything listens, and all are reported together. What a setting is called stands
//! here once, at the place that reads it: a name nobody asked for is an unknown one.

pub mod reference;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Toml},
    value::{Dict, Map, Value},
};
use http::HeaderMap;
use jiff::SignedDuration;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

use self::reference::Bounds;
use crate::{
    clock::Clock,
    definitions::{Library, library::FileProblem},
    fleet::Address,
    query::Restriction,
    report::Windows,
    telemetry::LogFormat,
    tls::{self, Identity},
    traces::{self, Sampler, SamplerName},
    upstream::{
        self,
        login::{Kept, Login},
        regions,
    },
};

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The HTTP server.
    pub server: ServerSettings,
    /// The organisation and who we are there.
    pub genesys: GenesysSettings,
    /// How hard the upstream may be pressed.
    pub upstream: UpstreamSettings,
    /// What may be held.
    pub cache: CacheSettings,
    /// Who may ask.
    pub auth: AuthSettings,
    /// What can be asked for by name.
    pub reports: ReportFiles,
    /// Logs.
    pub telemetry: TelemetrySettings,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// From a request's head to its answer's head, queueing included.
    pub request_timeout: Duration,
    /// From a streaming request's head to its last byte.
    pub stream_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Requests worked on at once.
    pub max_concurrency: usize,
    /// Requests that may wait for one of those places; one more is refused at once.
    pub queue: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How long to go on accepting after a stop signal, while readiness already says no.
    pub drain: Duration,
    /// From a stop signal to the end at the latest, whatever is still under way.
    pub grace: Duration,
    /// The certificate shown to callers; without one, plain HTTP is spoken.
    pub identity: Option<Identity>,
    /// Origins whose pages may read answers in a browser; `*` is any.
    pub cors_origins: Vec<String>,
    /// Streams of live figures at once.
    pub live_listeners: usize,
    /// Between two observations for those who watch.
    pub live_interval: Duration,
}

/// The organisation: `GENESYS_*` variables, or `[genesys]` in the file.
#[derive(Clone, Debug)]
pub struct GenesysSettings {
    /// Base of the API, without a trailing slash.
    pub api_url: String,
    /// The token endpoint.
    pub token_url: String,
    /// The login page of people.
    pub authorize_url: String,
    /// OAuth client id.
    pub client_id: Secret,
    /// How we log in.
    pub grant: Grant,
    /// Whether `serve` may answer everybody by what one person may see.
    pub login_may_serve: bool,
}

/// How we log in.
#[derive(Clone, Debug)]
pub enum Grant {
    /// Client credentials: as the OAuth client itself, with its secret.
    Client(Secret),
    /// As the person who has logged in, by what is kept of that.
    Login(Kept),
}

/// What `genesys.grant` may say.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GrantName {
    Client,
    Login,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Requests a minute, all endpoints together; `None` is what the organisation is allowed.
    pub requests_per_minute: Option<u32>,
    /// Requests in flight.
    pub concurrency: usize,
    /// Pages of one query in flight.
    pub page_concurrency: usize,
    /// One attempt, from connecting to the last byte.
    pub attempt_timeout: Duration,
    /// Attempts of one request, the first included.
    pub max_attempts: u32,
    /// Bytes of upstream answers being read or not yet passed on.
    pub memory_bytes: u64,
    /// Replicas that share the requests a minute, at most, where they meet in Redis.
    pub replicas: usize,
}

/// `[cache]`
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes of answers held in memory.
    pub memory_bytes: u64,
    /// The file that keeps what has settled, or its directory; nothing outlives a restart without.
    pub disk_path: Option<PathBuf>,
    /// The most bytes of that file.
    pub disk_bytes: u64,
    /// Where replicas meet; this is the only one without.
    pub redis: Option<Address>,
    /// When figures settle, and how long they may stand in for a failure.
    pub windows: Windows,
}

/// `[auth]`
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// The API keys.
    pub keys: Vec<KeySettings>,
    /// Where they came from.
    pub key_source: KeySource,
    /// Whether a request without a credential is served although keys are set, or although the listener is
    /// reachable from elsewhere.
    pub anonymous: bool,
    /// What the tokens of `POST /oauth/token` are signed with; without it, by what nobody knows and a restart forgets.
    pub token_secret: Option<Secret>,
    /// How long such a token is good.
    pub token_lifetime: Duration,
    /// Whose tokens are taken beside keys.
    pub jwt: Option<JwtSettings>,
}

/// `[auth.jwt]`
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// The provider, as `iss` names it.
    pub issuer: String,
    /// Who a token is for, as `aud` names it: one of these.
    pub audience: Vec<String>,
    /// Where the provider publishes its keys.
    pub jwks_url: String,
    /// The claim that says what a token's subject is confined to; every token must have it then.
    pub filters_claim: Option<String>,
}

/// Where API keys come from, to be read again when that changes.
#[derive(Clone, Default)]
pub struct KeySource {
    sources: Sources,
    /// The settings file and `auth.keys_file`, as far as there are such.
    files: Vec<PathBuf>,
}

/// A text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(several) => several,
        }
    }
}

/// What stands in `auth.keys_file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    keys: Vec<KeySettings>,
}

/// One `[[auth.keys]]`, as `keys new` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// Who the key was given to; appears in logs.
    pub name: String,
    /// Hex of the key's SHA-256.
    pub sha256: KeyDigest,
    /// What it may do.
    #[serde(default = "default_scopes")]
    pub scopes: BTreeSet<Scope>,
    /// Requests a minute; unlimited when absent.
    pub requests_per_minute: Option<u32>,
    /// The queues and divisions it is confined to; none where it sees everything.
    #[serde(default)]
    pub filters: Restriction,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask queries and read pages.
    Read,
    /// Stream whole ranges.
    Export,
    /// Watch live figures.
    Live,
    /// Change what the service holds.
    Admin,
}

impl Scope {
    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "export" => Some(Self::Export),
            "live" => Some(Self::Live),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// SHA-256 of an API key. Not printed: with a digest at hand, guesses at a weak key could be tried elsewhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyDigest(pub [u8; 32]);

/// `[reports]`
#[derive(Clone, Debug)]
pub struct ReportFiles {
    /// The built-in definitions and those of `reports.dir`.
    pub library: Library,
}

/// `[telemetry]`
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filter directives: `info`, `info,genesys_reports=debug`.
    pub log_level: String,
    /// Where traces are told; nowhere without.
    pub traces: Option<TraceSettings>,
}

/// What `[telemetry]` says of traces.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Base of the collector, without a trailing slash.
    pub endpoint: String,
    /// Further fields of every request to it, as a list; often credentials.
    pub headers: Option<Secret>,
    /// What the service is called there.
    pub service_name: String,
    /// Which traces are recorded.
    pub sampler: Sampler,
}

impl TraceSettings {
    /// The further fields as they are now. What a file has become that makes no sense is none.
    pub fn headers(&self) -> HeaderMap {
        let list = self.headers.as_ref().map(Secret::current);
        list.and_then(|list| traces::headers(list.expose_secret()).ok())
            .unwrap_or_default()
    }
}

/// A secret, given in place or by a file that is read again whenever the secret is needed.
#[derive(Clone)]
pub struct Secret {
    file: Option<PathBuf>,
    last_good: Arc<Mutex<SecretString>>,
}

/// Where settings come from, highest precedence first. Reading the process's own environment is the caller's
/// one line, so that tests need not change theirs.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Settings given as flags, by dotted name.
    pub flags: Vec<(&'static str, String)>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The settings file; `REPORTS_CONFIG` when `None`.
    pub file: Option<PathBuf>,
}

impl Sources {
    fn settings_file(&self) -> Option<PathBuf> {
        let named = || self.environment.get("REPORTS_CONFIG").map(PathBuf::from);
        self.file.clone().or_else(named)
    }
}

/// Every problem found in the settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl Settings {
    /// Reads and checks everything.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let mut reader = Reader::new(sources);
        let settings = Self::read(&mut reader, sources);
        reader.refuse_open_listener(&settings);
        reader.refuse_less_than_one_each(&settings);
        reader.refuse_unknown_names();
        reader.finish(settings)
    }

    fn read(reader: &mut Reader, sources: &Sources) -> Self {
        Self {
            server: ServerSettings::read(reader),
            genesys: GenesysSettings::read(reader),
            upstream: UpstreamSettings::read(reader),
            cache: CacheSettings {
                memory_bytes: reader.number("cache.memory_bytes", 256 << 20, (1 << 20)..=(1 << 40)),
                disk_path: reader.optional("cache.disk_path"),
                disk_bytes: reader.number("cache.disk_bytes", 1 << 30, (1 << 20)..=(1 << 44)),
                redis: CacheSettings::read_redis(reader),
                windows: CacheSettings::read_windows(reader),
            },
            auth: AuthSettings::read(reader, sources),
            reports: ReportFiles::read(reader),
            telemetry: TelemetrySettings::read(reader),
        }
    }
}

/// How `serve` is reached, for a health check that needs nothing else to be right.
pub fn server_settings(sources: &Sources) -> Result<ServerSettings, Problems> {
    let mut reader = Reader::new(sources);
    let server = ServerSettings::read(&mut reader);
    reader.finish(server)
}

/// The process's own environment; names and values that are not UTF-8 cannot be settings.
pub fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl CacheSettings {
    fn read_redis(reader: &mut Reader) -> Option<Address> {
        let url = reader.optional_secret("cache.redis_url", "cache.redis_url_file")?;
        match Address::parse(url.current().expose_secret()) {
            Ok(address) => Some(address),
            Err(detail) => {
                reader.problem("cache.redis_url", detail);
                None
            }
        }
    }

    fn read_windows(reader: &mut Reader) -> Windows {
        const LONGEST_HOURS: i64 = 90 * 24;
        const LONGEST_SECONDS: u64 = 30 * 24 * 3600;
        let default = Windows::default();
        let mut hours = |name, default: SignedDuration| {
            SignedDuration::from_hours(reader.number(name, default.as_hours(), 1..=LONGEST_HOURS))
        };
        let settle = hours("cache.settle_hours", default.settle);
        let settle_late = hours("cache.settle_late_hours", default.settle_late);
        let mut seconds = |name, default: Duration| reader.seconds(name, default.as_secs(), 0..=LONGEST_SECONDS);
        Windows {
            settle,
            settle_late,
            stale_open: seconds("cache.stale_open_s", default.stale_open),
            stale_closed: seconds("cache.stale_closed_s", default.stale_closed),
        }
    }
}

impl ServerSettings {
    fn read(reader: &mut Reader) -> Self {
        let cors_origins = reader.value("server.cors_origins", Vec::<String>::new());
        for origin in &cors_origins {
            if origin != "*" && !is_origin(origin) {
                reader.problem(
                    "server.cors_origins",
                    format!("`{origin}` is not an origin such as `https://dashboards.example.com`"),
                );
            }
        }
        let drain = reader.seconds("server.drain_s", 5, 0..=300);
        let grace = reader.seconds("server.grace_s", 25, 1..=3600);
        if grace <= drain {
            reader.problem(
                "server.grace_s",
                format!(
                    "{} s leave nothing to finish requests after server.drain_s of {} s",
                    grace.as_secs(),
                    drain.as_secs()
                ),
            );
        }
        Self {
            listen: reader.value("server.listen", SocketAddr::from(([127, 0, 0, 1], 8080))),
            request_timeout: reader.seconds("server.request_timeout_s", 30, 1..=600),
            stream_timeout: reader.seconds("server.stream_timeout_s", 900, 1..=86_400),
            max_connections: reader.number("server.max_connections", 10_000, 64..=1_000_000),
            max_concurrency: reader.number("server.max_concurrency", 512, 1..=100_000),
            queue: reader.number("server.queue", 256, 0..=100_000),
            max_body_bytes: reader.number("server.max_body_bytes", 64 << 10, 1024..=(16 << 20)),
            drain,
            grace,
            identity: Self::read_identity(reader),
            cors_origins,
            live_listeners: reader.number("server.live_listeners", 2_000, 0..=100_000),
            live_interval: reader.seconds("server.live_interval_s", 5, 5..=300),
        }
    }

    fn read_identity(reader: &mut Reader) -> Option<Identity> {
        const CERTIFICATE: &str = "server.tls_cert";
        const KEY: &str = "server.tls_key";
        let certificate = reader.optional::<PathBuf>(CERTIFICATE);
        let key = reader.optional::<PathBuf>(KEY);
        match (certificate, key) {
            (None, None) => None,
            (Some(_), None) => {
                reader.problem(CERTIFICATE, format!("needs {KEY} beside it"));
                None
            }
            (None, Some(_)) => {
                reader.problem(KEY, format!("needs {CERTIFICATE} beside it"));
                None
            }
            (Some(certificate), Some(key)) => match Identity::open(certificate.clone(), key.clone()) {
                Ok(identity) => Some(identity),
                Err(problems) => {
                    for problem in problems {
                        let (name, path) = match problem.file {
                            tls::File::Certificate => (CERTIFICATE, &certificate),
                            tls::File::Key => (KEY, &key),
                        };
                        reader.problem(name, format!("{}: {}", path.display(), problem.detail));
                    }
                    None
                }
            },
        }
    }
}

fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.has_host() && url.origin().ascii_serialization() == text)
}

impl GenesysSettings {
    fn read(reader: &mut Reader) -> Self {
        let (api_url, login_url) = Self::read_urls(reader);
        let token_path = reader.value("genesys.token_path", "/oauth/token".to_owned());
        if !token_path.starts_with('/') {
            reader.problem("genesys.token_path", "must start with `/`");
        }
        let file = reader.login_file();
        let grant = match reader.value("genesys.grant", GrantName::Client) {
            GrantName::Client => Grant::Client(reader.secret("genesys.client_secret", "GENESYS_CLIENT_SECRET")),
            GrantName::Login => {
                // The client of people has none; one that is set anyway belongs to the other grant.
                reader
                    .asked
                    .extend(["genesys.client_secret", "genesys.client_secret_file"]);
                Grant::Login(Kept(file))
            }
        };
        Self {
            api_url,
            token_url: format!("{login_url}{token_path}"),
            authorize_url: format!("{login_url}/oauth/authorize"),
            client_id: reader.secret("genesys.client_id", "GENESYS_CLIENT_ID"),
            grant,
            login_may_serve: reader.value("genesys.login_may_serve", false),
        }
    }

    fn read_urls(reader: &mut Reader) -> (String, String) {
        let region = reader.optional::<String>("genesys.region");
        let api_url = reader.optional::<String>("genesys.api_url");
        let login_url = reader.optional::<String>("genesys.login_url");
        match (region, api_url, login_url) {
            (None, Some(api), Some(login)) => (
                reader.base_url("genesys.api_url", &api),
                reader.base_url("genesys.login_url", &login),
            ),
            (Some(region), None, None) => regions::urls(&region).unwrap_or_else(|unknown| {
                reader.problem(
                    "genesys.region",
                    format!("`{region}` is no region; did you mean `{}`?", unknown.nearest),
                );
                Default::default()
            }),
            (None, None, None) => {
                reader.problem(
                    "genesys.region",
                    "is missing: set GENESYS_REGION (`eu-west-1`, `mypurecloud.ie`), or both GENESYS_API_URL and \
                     GENESYS_LOGIN_URL"
                        .to_owned(),
                );
                Default::default()
            }
            (Some(_), _, _) => {
                reader.problem(
                    "genesys.region",
                    "is set together with GENESYS_API_URL or GENESYS_LOGIN_URL: say one or the other".to_owned(),
                );
                Default::default()
            }
            (None, _, _) => {
                reader.problem(
                    "genesys.api_url",
                    "GENESYS_API_URL and GENESYS_LOGIN_URL go together: one of them is missing".to_owned(),
                );
                Default::default()
            }
        }
    }

    /// Reads the credentials as they are now.
    pub fn credentials(&self) -> Arc<dyn Fn() -> upstream::Credentials + Send + Sync> {
        let (client_id, grant) = (self.client_id.clone(), self.grant.clone());
        Arc::new(move || {
            let client_id = client_id.current().expose_secret().to_owned();
            match &grant {
                Grant::Client(secret) => upstream::Credentials::Client {
                    client_id,
                    client_secret: secret.current(),
                },
                Grant::Login(kept) => upstream::Credentials::Login {
                    client_id,
                    kept: kept.clone(),
                },
            }
        })
    }

    /// How a person logs in; `None` where we log in by client credentials.
    pub fn login(&self) -> Option<Login> {
        let Grant::Login(kept) = &self.grant else { return None };
        Some(Login {
            authorize_url: self.authorize_url.clone(),
            token_url: self.token_url.clone(),
            api_url: self.api_url.clone(),
            client_id: self.client_id.current().expose_secret().to_owned(),
            kept: kept.clone(),
        })
    }

    /// Refuses to serve by a person's login, unless that was said.
    pub fn may_serve(&self) -> Result<(), Problems> {
        match self.grant {
            Grant::Login(_) if !self.login_may_serve => Err(Problems(vec![
                "genesys.grant: `login` is for a person who explores: everybody who asks would be answered by what one \
                 person may see, and by nothing once that login ends. Use client credentials, or say \
                 genesys.login_may_serve = true"
                    .to_owned(),
            ])),
            Grant::Login(_) | Grant::Client(_) => Ok(()),
        }
    }
}

impl UpstreamSettings {
    fn read(reader: &mut Reader) -> Self {
        Self {
            requests_per_minute: reader.optional_number("upstream.requests_per_minute", 1..=100_000),
            concurrency: reader.number("upstream.concurrency", 32, 1..=1000),
            page_concurrency: reader.number("upstream.page_concurrency", 10, 1..=100),
            attempt_timeout: reader.seconds("upstream.attempt_timeout_s", 15, 1..=300),
            max_attempts: reader.number("upstream.max_attempts", 3, 1..=10),
            memory_bytes: reader.number("upstream.memory_bytes", 256 << 20, 8 << 20..=1 << 40),
            replicas: reader.number("upstream.replicas", 3, 1..=1000),
        }
    }
}

/// How the names of a provider's subjects begin, so that none is the name of a key.
pub const OF_PROVIDER: &str = "jwt:";
/// The same of those who follow a link.
pub const OF_LINK: &str = "link:";

/// What callers without a key, the service itself and the rest of the callers are told of as.
const RESERVED: [&str; 3] = ["anonymous", "genesys-reports", "others"];

impl AuthSettings {
    fn read(reader: &mut Reader, sources: &Sources) -> Self {
        let (keys, keys_file) = Self::read_keys(reader);
        Self {
            keys,
            key_source: KeySource {
                sources: sources.clone(),
                files: sources.settings_file().into_iter().chain(keys_file).collect(),
            },
            anonymous: reader.value("auth.anonymous", false),
            token_secret: Self::read_token_secret(reader),
            // As long as Genesys Cloud lets its own be.
            token_lifetime: reader.seconds("auth.token_lifetime_s", 3600, 300..=172_800),
            jwt: Self::read_jwt(reader),
        }
    }

    /// All three, or none.
    fn read_jwt(reader: &mut Reader) -> Option<JwtSettings> {
        const NAMES: [&str; 3] = ["auth.jwt.issuer", "auth.jwt.audience", "auth.jwt.jwks_url"];
        let issuer = reader.optional::<String>(NAMES[0]);
        let audience = reader.optional::<OneOrMore>(NAMES[1]).map(OneOrMore::into_vec);
        let jwks_url = reader.optional::<String>(NAMES[2]);
        let filters_claim = reader.optional::<String>("auth.jwt.filters_claim");
        let is_there = [issuer.is_some(), audience.is_some(), jwks_url.is_some()];
        if is_there == [false; 3] && filters_claim.is_none() {
            return None;
        }
        for (name, _) in NAMES.into_iter().zip(is_there).filter(|(_, is_there)| !is_there) {
            reader.problem(name, "is missing: `issuer`, `audience` and `jwks_url` go together");
        }
        if let Some(complaint) = jwks_url.as_deref().and_then(not_secure) {
            reader.problem(NAMES[2], complaint);
        }
        if audience.as_ref().is_some_and(Vec::is_empty) {
            reader.problem(NAMES[1], "names nobody");
        }
        Some(JwtSettings {
            issuer: issuer?,
            audience: audience?,
            jwks_url: jwks_url?,
            filters_claim,
        })
    }

    /// The keys in place and those of the file, which may be another one than the settings'.
    fn read_keys(reader: &mut Reader) -> (Vec<KeySettings>, Option<PathBuf>) {
        let mut keys = reader.value("auth.keys", Vec::<KeySettings>::new());
        let file = reader.optional::<PathBuf>("auth.keys_file");
        if let Some(path) = &file {
            let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
            // Only what is wrong, not the line it stands in.
            let read =
                read.and_then(|text| toml::from_str::<KeyFile>(&text).map_err(|error| error.message().to_owned()));
            match read {
                Ok(read) => keys.extend(read.keys),
                Err(reason) => reader.problem("auth.keys_file", format!("{}: {reason}", path.display())),
            }
        }
        let mut names = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for key in &keys {
            if !names.insert(&key.name) {
                reader.problem("auth.keys", format!("two keys are named `{}`", key.name));
            }
            if !digests.insert(key.sha256.0) {
                reader.problem("auth.keys", format!("`{}`: another name has the same key", key.name));
            }
            if RESERVED.contains(&key.name.as_str())
                || [OF_PROVIDER, OF_LINK].iter().any(|kind| key.name.starts_with(kind))
            {
                reader.problem("auth.keys", format!("`{}`: this name stands for others", key.name));
            }
            if key.scopes.contains(&Scope::Admin) && !key.filters.is_none() {
                reader.problem(
                    "auth.keys",
                    format!(
                        "`{}`: the scope `admin` sees everything: a key with filters cannot have it",
                        key.name
                    ),
                );
            }
            if key.requests_per_minute == Some(0) {
                reader.problem(
                    "auth.keys",
                    format!("`{}`: requests_per_minute must be at least 1", key.name),
                );
            }
        }
        (keys, file)
    }
}

impl KeySource {
    /// The keys as they stand there now, or everything that is wrong with them.
    pub fn read(&self) -> Result<Vec<KeySettings>, Problems> {
        let mut reader = Reader::new(&self.sources);
        let (keys, _) = AuthSettings::read_keys(&mut reader);
        reader.finish(keys)
    }

    /// What stands in the files, to tell whether that has changed; what cannot be read is like nothing.
    pub fn texts(&self) -> Vec<Vec<u8>> {
        self.files
            .iter()
            .map(|path| std::fs::read(path).unwrap_or_default())
            .collect()
    }
}

/// The environment holds secrets.
impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("KeySource").field(&self.files).finish()
    }
}

impl AuthSettings {
    fn read_token_secret(reader: &mut Reader) -> Option<Secret> {
        const LEAST: usize = 32;
        let secret = reader.optional_secret("auth.token_secret", "auth.token_secret_file")?;
        if secret.current().expose_secret().len() < LEAST {
            reader.problem("auth.token_secret", format!("is shorter than {LEAST} characters"));
        }
        Some(secret)
    }
}

impl ReportFiles {
    fn read(reader: &mut Reader) -> Self {
        // Whether a definition makes sense does not hang on the hour.
        let now = Clock::system().now();
        let directory = reader.optional::<PathBuf>("reports.dir");
        let library = Library::open(directory, now).unwrap_or_else(|problems| {
            for FileProblem { file, detail } in problems {
                let place = if file.is_empty() { file } else { format!("{file}: ") };
                reader.problem("reports.dir", format!("{place}{detail}"));
            }
            Library::of_built_in(now)
        });
        Self { library }
    }
}

impl TelemetrySettings {
    fn read(reader: &mut Reader) -> Self {
        let log_level = reader.value("telemetry.log_level", "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log_level) {
            reader.problem("telemetry.log_level", error.to_string());
        }
        Self {
            log_format: reader.value("telemetry.log_format", LogFormat::Text),
            log_level,
            traces: TraceSettings::read(reader),
        }
    }
}

impl TraceSettings {
    fn read(reader: &mut Reader) -> Option<Self> {
        const ENDPOINT: &str = "telemetry.otlp_endpoint";
        const HEADERS: &str = "telemetry.otlp_headers";
        let endpoint = reader.optional::<String>(ENDPOINT);
        let headers = reader.optional_secret(HEADERS, "telemetry.otlp_headers_file");
        let service_name = reader.value("telemetry.service_name", env!("CARGO_PKG_NAME").to_owned());
        let sampler = reader.value("telemetry.traces_sampler", SamplerName::AsToldOrAll);
        let share = reader.number("telemetry.traces_sampler_arg", 1.0, 0.0..=1.0);
        let endpoint = endpoint?;
        match Url::parse(&endpoint) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                reader.problem(
                    ENDPOINT,
                    format!("must not carry credentials: they belong into `{HEADERS}`"),
                );
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                reader.problem(ENDPOINT, "must not carry a query or a fragment");
            }
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                reader.problem(ENDPOINT, format!("`{}` is neither http nor https", url.scheme()));
            }
            // Spans tell no secret; these fields may.
            Ok(url) if headers.is_some() && url.scheme() == "http" && !is_loopback(&url) => {
                reader.problem(ENDPOINT, format!("must be https where `{HEADERS}` are sent along"));
            }
            Ok(_) => {}
            Err(error) => reader.problem(ENDPOINT, format!("is not a URL: {error}")),
        }
        if let Some(Err(detail)) = headers
            .as_ref()
            .map(|list| traces::headers(list.current().expose_secret()))
        {
            reader.problem(HEADERS, detail);
        }
        Some(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            headers,
            service_name,
            sampler: Sampler::named(sampler, share),
        })
    }
}

fn default_scopes() -> BTreeSet<Scope> {
    BTreeSet::from([Scope::Read])
}

impl TryFrom<String> for KeyDigest {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "must be the 64 hexadecimal digits of the key's SHA-256";
        let mut digest = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(WRONG);
        }
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyDigest(…)")
    }
}

impl Secret {
    fn given(value: String) -> Self {
        Self {
            file: None,
            last_good: Arc::new(Mutex::new(value.into())),
        }
    }

    /// The secret as it is now. When its file has become unreadable or empty, what it said last.
    pub fn current(&self) -> SecretString {
        let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.file {
            match read_secret_file(path) {
                Ok(secret) => *last_good = secret,
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "a secret's file cannot be read; using what it said before");
                }
            }
        }
        last_good.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(formatter, "Secret(from {})", path.display()),
            None => formatter.write_str("Secret(…)"),
        }
    }
}

fn read_secret_file(path: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the file is empty".to_owned()),
        secret => Ok(secret.to_owned().into()),
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// Takes settings one by one, remembering what was asked for and what was wrong.
struct Reader {
    figment: Figment,
    /// Where programs keep what outlives them, if the environment says.
    state_home: Option<PathBuf>,
    asked: BTreeSet<&'static str>,
    bounds: BTreeMap<&'static str, Bounds>,
    problems: Vec<String>,
}

impl Reader {
    fn new(sources: &Sources) -> Self {
        let mut problems = Vec::new();
        let mut figment = Figment::new();
        if let Some(path) = sources.settings_file() {
            match std::fs::read_to_string(&path) {
                Ok(text) => match Toml::string(&text).data() {
                    Ok(data) => {
                        let layer = Layer::new(path.display().to_string(), flatten_profiles(data));
                        figment = figment.merge(layer);
                    }
                    Err(error) => problems.push(format!("{}: {error}", path.display())),
                },
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        let (environment, malformed) = environment_layer(&sources.environment);
        problems.extend(malformed);
        let mut flags = Dict::new();
        for (name, value) in &sources.flags {
            insert(&mut flags, name, Value::from(value.clone()));
        }
        Self {
            figment: figment
                .merge(Layer::new("environment".to_owned(), environment))
                .merge(Layer::new("command line".to_owned(), flags)),
            state_home: state_home(&sources.environment),
            asked: BTreeSet::new(),
            bounds: BTreeMap::new(),
            problems,
        }
    }

    /// Where a login is kept.
    fn login_file(&mut self) -> PathBuf {
        let default = self
            .state_home
            .take()
            .unwrap_or_else(|| PathBuf::from("."))
            .join("genesys-reports/login.json");
        self.value("genesys.login_file", default)
    }

    fn problem(&mut self, name: &str, detail: impl fmt::Display) {
        let origin = self
            .figment
            .find_metadata(name)
            .map_or_else(String::new, |found| format!(" ({})", found.name));
        self.problems.push(format!("{name}{origin}: {detail}"));
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        self.asked.insert(name);
        if !self.figment.contains(name) {
            return None;
        }
        match self.figment.extract_inner_lossy(name) {
            Ok(value) => Some(value),
            Err(error) => {
                for one in error {
                    let place = one.path.get(name.split('.').count()..).unwrap_or_default().join(".");
                    let at = if place.is_empty() {
                        place
                    } else {
                        format!("`{place}`: ")
                    };
                    self.problem(name, format!("{at}{}", explain(&one.kind)));
                }
                None
            }
        }
    }

    fn value<T: DeserializeOwned + fmt::Debug>(&mut self, name: &'static str, default: T) -> T {
        self.bounds.entry(name).or_default().default = Some(format!("{default:?}"));
        self.optional(name).unwrap_or(default)
    }

    fn number<T>(&mut self, name: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: DeserializeOwned + PartialOrd + fmt::Display + fmt::Debug + Copy,
    {
        self.allow(name, &allowed);
        let number = self.value(name, default);
        self.check(name, &number, &allowed);
        number
    }

    fn optional_number<T>(&mut self, name: &'static str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: DeserializeOwned + PartialOrd + fmt::Display + Copy,
    {
        self.allow(name, &allowed);
        let number = self.optional(name)?;
        self.check(name, &number, &allowed);
        Some(number)
    }

    fn allow(&mut self, name: &'static str, allowed: &RangeInclusive<impl fmt::Display>) {
        let allowed = format!("{}, {}", allowed.start(), allowed.end());
        self.bounds.entry(name).or_default().allowed = Some(allowed);
    }

    fn check<T: PartialOrd + fmt::Display>(&mut self, name: &'static str, number: &T, allowed: &RangeInclusive<T>) {
        if !allowed.contains(number) {
            self.problem(
                name,
                format!("{number} is not between {} and {}", allowed.start(), allowed.end()),
            );
        }
    }

    fn seconds(&mut self, name: &'static str, default: u64, allowed: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, default, allowed))
    }

    /// `name`, or the file that `name` with `_file` appended points to.
    fn secret(&mut self, name: &'static str, variable: &str) -> Secret {
        let file_name = match name {
            "genesys.client_id" => "genesys.client_id_file",
            _ => "genesys.client_secret_file",
        };
        self.optional_secret(name, file_name).unwrap_or_else(|| {
            self.problem(name, format!("is missing: set {variable} or {variable}_FILE"));
            Secret::given(String::new())
        })
    }

    /// The same of a secret that need not be there. What is wrong with it is reported, and it is empty.
    fn optional_secret(&mut self, name: &'static str, file_name: &'static str) -> Option<Secret> {
        let given = self.optional::<String>(name);
        let file = self.optional::<PathBuf>(file_name);
        match (given, file) {
            (None, None) => return None,
            (Some(value), None) => return Some(Secret::given(value)),
            (None, Some(path)) => match read_secret_file(&path) {
                Ok(secret) => {
                    return Some(Secret {
                        file: Some(path),
                        last_good: Arc::new(Mutex::new(secret)),
                    });
                }
                Err(reason) => self.problem(file_name, format!("{}: {reason}", path.display())),
            },
            (Some(_), Some(_)) => self.problem(name, format!("is given both in place and by `{file_name}`: say one")),
        }
        Some(Secret::given(String::new()))
    }

    /// An https URL without query or fragment; http for loopback only. Returned without its trailing slash.
    fn base_url(&mut self, name: &'static str, text: &str) -> String {
        let has_more = Url::parse(text).is_ok_and(|url| url.query().is_some() || url.fragment().is_some());
        let complaint = match not_secure(text) {
            None if has_more => Some("must not carry a query or a fragment".to_owned()),
            complaint => complaint,
        };
        if let Some(detail) = complaint {
            self.problem(name, detail);
        }
        text.trim_end_matches('/').to_owned()
    }

    fn refuse_open_listener(&mut self, settings: &Settings) {
        let AuthSettings {
            keys, anonymous, jwt, ..
        } = &settings.auth;
        if !settings.server.listen.ip().is_loopback() && keys.is_empty() && jwt.is_none() && !anonymous {
            self.problem(
                "server.listen",
                format!(
                    "{} is reachable from elsewhere and neither auth.keys nor auth.jwt are set: make a key with `keys \
                     new`, or say auth.anonymous = true",
                    settings.server.listen
                ),
            );
        }
    }

    /// A replica that cannot reach the others needs a share.
    fn refuse_less_than_one_each(&mut self, settings: &Settings) {
        let upstream = &settings.upstream;
        let share = upstream
            .requests_per_minute
            .map(|limit| u64::from(limit) / upstream.replicas as u64);
        if settings.cache.redis.is_some() && share == Some(0) {
            self.problem(
                "upstream.replicas",
                format!(
                    "{} replicas cannot share fewer requests than they are (upstream.requests_per_minute)",
                    upstream.replicas
                ),
            );
        }
    }

    fn refuse_unknown_names(&mut self) {
        let Ok(data) = self.figment.data() else { return };
        let mut names = Vec::new();
        flatten("", &flatten_profiles(data), &mut names);
        for name in names {
            if !self.asked.contains(name.as_str()) {
                let nearest = self
                    .asked
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name)));
                let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
                self.problem(&name, format!("no such setting{hint}"));
            }
        }
    }

    fn finish<T>(self, read: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            Ok(read)
        } else {
            Err(Problems(self.problems))
        }
    }
}

/// What is wrong with an address that secrets or trust depend on: https, or http on loopback.
fn not_secure(text: &str) -> Option<String> {
    match Url::parse(text) {
        Err(error) => Some(format!("is not a URL: {error}")),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("must not carry credentials".to_owned())
        }
        Ok(url) => match url.scheme() {
            "https" => None,
            "http" if is_loopback(&url) => None,
            "http" => Some("plain http is for loopback addresses only: use https".to_owned()),
            other => Some(format!("`{other}` is not https")),
        },
    }
}

fn is_loopback(url: &Url) -> bool {
    // The brackets of an IPv6 host are part of `host_str`.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What was wrong, without repeating the value: it may be a secret.
fn explain(kind: &figment::error::Kind) -> String {
    use figment::error::Kind;
    match kind {
        Kind::InvalidType(actual, expected) => format!("expected {expected}, found {}", type_of(actual)),
        Kind::InvalidValue(_, expected) => format!("expected {expected}"),
        Kind::UnknownField(name, known) | Kind::UnknownVariant(name, known) => {
            let nearest = known
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
            format!("`{name}` is not known here{hint}")
        }
        other => other.to_string(),
    }
}

fn type_of(actual: &figment::error::Actual) -> &'static str {
    use figment::error::Actual;
    match actual {
        Actual::Bool(_) => "a yes or no",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// One source of settings under a name people recognise in a complaint.
struct Layer {
    name: String,
    settings: Dict,
}

impl Layer {
    fn new(name: String, settings: Dict) -> Self {
        Self { name, settings }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.settings.clone())]))
    }
}

fn flatten_profiles(data: Map<Profile, Dict>) -> Dict {
    data.into_values().flatten().collect()
}

fn flatten(prefix: &str, settings: &Dict, names: &mut Vec<String>) {
    for (key, value) in settings {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Dict(_, inner) => flatten(&name, inner, names),
            _ => names.push(name),
        }
    }
}

fn insert(settings: &mut Dict, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            settings.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = settings
                .entry(section.to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The names under which settings are known elsewhere, and those of ours that begin otherwise, which win.
const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp_headers"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
    ("OTEL_TRACES_SAMPLER", "telemetry.traces_sampler"),
    ("OTEL_TRACES_SAMPLER_ARG", "telemetry.traces_sampler_arg"),
    ("GENESYSCLOUD_REGION", "genesys.region"),
    ("GENESYSCLOUD_OAUTHCLIENT_ID", "genesys.client_id"),
    ("GENESYSCLOUD_OAUTHCLIENT_ID_FILE", "genesys.client_id_file"),
    ("GENESYSCLOUD_OAUTHCLIENT_SECRET", "genesys.client_secret"),
    ("GENESYSCLOUD_OAUTHCLIENT_SECRET_FILE", "genesys.client_secret_file"),
    ("GENESYS_REGION", "genesys.region"),
    ("GENESYS_API_URL", "genesys.api_url"),
    ("GENESYS_LOGIN_URL", "genesys.login_url"),
    ("GENESYS_TOKEN_PATH", "genesys.token_path"),
    ("GENESYS_CLIENT_ID", "genesys.client_id"),
    ("GENESYS_CLIENT_ID_FILE", "genesys.client_id_file"),
    ("GENESYS_CLIENT_SECRET", "genesys.client_secret"),
    ("GENESYS_CLIENT_SECRET_FILE", "genesys.client_secret_file"),
    ("GENESYS_GRANT", "genesys.grant"),
    ("GENESYS_LOGIN_FILE", "genesys.login_file"),
];

fn state_home(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let directory = |name: &str| {
        environment
            .get(name)
            .filter(|path| path.starts_with('/'))
            .map(PathBuf::from)
    };
    directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")))
}

/// Settings from `REPORTS_<SECTION>__<KEY>` and the variables of other names, and what cannot be one.
fn environment_layer(environment: &BTreeMap<String, String>) -> (Dict, Vec<String>) {
    let mut settings = Dict::new();
    let mut problems = Vec::new();
    for (variable, name) in OTHER_VARIABLES {
        // Compose files pass on unset variables as empty ones.
        if let Some(value) = environment.get(*variable).filter(|value| !value.is_empty()) {
            insert(&mut settings, name, Value::from(value.clone()));
        }
    }
    for (variable, text) in environment {
        let Some(rest) = variable.strip_prefix("REPORTS_") else {
            continue;
        };
        if rest == "CONFIG" {
            continue;
        }
        match rest.to_ascii_lowercase().split_once("__") {
            Some((section, key)) if !section.is_empty() && !key.is_empty() && !key.contains('.') => {
                let name = format!("{section}.{}", key.replace("__", "."));
                insert(&mut settings, &name, environment_value(text));
            }
            _ => problems.push(format!(
                "{variable} (environment): no such setting; names are REPORTS_<SECTION>__<KEY>, such as \
                 REPORTS_SERVER__LISTEN"
            )),
        }
    }
    (settings, problems)
}

/// Lists and tables are written as in TOML; everything else stays text until its type is known.
fn environment_value(text: &str) -> Value {
    if !text.starts_with(['[', '{']) {
        return Value::from(text);
    }
    let Ok(value) = text.parse();
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    /// What every start needs, and these beside it.
    fn sources(environment: &[(&str, &str)]) -> Sources {
        let needed = [
            ("GENESYS_REGION", "eu-west-1"),
            ("GENESYS_CLIENT_ID", "id-1"),
            ("GENESYS_CLIENT_SECRET", "secret-1"),
        ];
        let all = needed.iter().chain(environment);
        Sources {
            environment: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Sources::default()
        }
    }

    fn with_file(text: &str, environment: &[(&str, &str)]) -> Sources {
        let path = std::env::temp_dir().join(format!("genesys-reports-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Sources {
            file: Some(path),
            ..sources(environment)
        }
    }

    fn problems(sources: &Sources) -> Vec<String> {
        Settings::load(sources).unwrap_err().0
    }

    #[test]
    fn defaults_stand_in_one_spot() {
        let settings = Settings::load(&sources(&[])).unwrap();
        assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.server.request_timeout, Duration::from_secs(30));
        assert_eq!(settings.genesys.api_url, "https://api.mypurecloud.ie");
        assert_eq!(settings.genesys.token_url, "https://login.mypurecloud.ie/oauth/token");
        assert_eq!(
            settings.genesys.authorize_url,
            "https://login.mypurecloud.ie/oauth/authorize"
        );
        let upstream::Credentials::Client {
            client_id,
            client_secret,
        } = settings.genesys.credentials()()
        else {
            panic!("the client's own")
        };
        assert_eq!(client_id, "id-1");
        assert_eq!(client_secret.expose_secret(), "secret-1");
        assert!(settings.genesys.may_serve().is_ok());
    }

    #[test]
    fn every_setting_is_read() {
        let settings = Settings::load(&sources(&[
            ("REPORTS_SERVER__LISTEN", "[::1]:9"),
            ("REPORTS_SERVER__REQUEST_TIMEOUT_S", "11"),
            ("REPORTS_SERVER__STREAM_TIMEOUT_S", "12"),
            ("REPORTS_SERVER__MAX_CONNECTIONS", "130"),
            ("REPORTS_SERVER__MAX_CONCURRENCY", "13"),
            ("REPORTS_SERVER__QUEUE", "14"),
            ("REPORTS_SERVER__MAX_BODY_BYTES", "15000"),
            ("REPORTS_SERVER__DRAIN_S", "16"),
            ("REPORTS_SERVER__GRACE_S", "17"),
            (
                "REPORTS_SERVER__CORS_ORIGINS",
                "[\"https://a.example\", \"http://b.example:81\"]",
            ),
            ("REPORTS_SERVER__LIVE_LISTENERS", "17"),
            ("REPORTS_SERVER__LIVE_INTERVAL_S", "18"),
            ("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "21"),
            ("REPORTS_UPSTREAM__CONCURRENCY", "22"),
            ("REPORTS_UPSTREAM__PAGE_CONCURRENCY", "23"),
            ("REPORTS_UPSTREAM__ATTEMPT_TIMEOUT_S", "24"),
            ("REPORTS_UPSTREAM__MAX_ATTEMPTS", "5"),
            ("REPORTS_UPSTREAM__MEMORY_BYTES", "25000000"),
            ("REPORTS_CACHE__MEMORY_BYTES", "31000000"),
            ("REPORTS_CACHE__DISK_PATH", "/var/lib/reports"),
            ("REPORTS_CACHE__DISK_BYTES", "32000000"),
            ("REPORTS_CACHE__SETTLE_HOURS", "33"),
            ("REPORTS_CACHE__REDIS_URL", "redis://127.0.0.1:6379/2"),
            ("REPORTS_UPSTREAM__REPLICAS", "7"),
            ("REPORTS_CACHE__SETTLE_LATE_HOURS", "34"),
            ("REPORTS_CACHE__STALE_OPEN_S", "35"),
            ("REPORTS_CACHE__STALE_CLOSED_S", "36"),
            ("REPORTS_AUTH__ANONYMOUS", "true"),
            (
                "REPORTS_AUTH__KEYS",
                &format!(
                    "[{{name=\"a\", sha256=\"{DIGEST}\", scopes=[\"read\", \"export\"], requests_per_minute=41}}]"
                ),
            ),
            ("REPORTS_TELEMETRY__LOG_FORMAT", "json"),
            ("REPORTS_TELEMETRY__LOG_LEVEL", "warn"),
            ("REPORTS_TELEMETRY__OTLP_ENDPOINT", "https://collector.example/otlp/"),
            ("REPORTS_TELEMETRY__OTLP_HEADERS", "x-key=canary"),
            ("REPORTS_TELEMETRY__SERVICE_NAME", "reports-emea"),
            ("REPORTS_TELEMETRY__TRACES_SAMPLER", "parentbased_traceidratio"),
            ("REPORTS_TELEMETRY__TRACES_SAMPLER_ARG", "0.25"),
            ("GENESYS_TOKEN_PATH", "/front/token"),
        ]))
        .unwrap();
        let server = &settings.server;
        assert_eq!(server.listen.to_string(), "[::1]:9");
        assert_eq!(server.request_timeout.as_secs(), 11);
        assert_eq!(server.stream_timeout.as_secs(), 12);
        assert_eq!((server.max_concurrency, server.queue), (13, 14));
        assert_eq!(server.max_body_bytes, 15_000);
        assert_eq!(server.max_connections, 130);
        assert_eq!((server.drain.as_secs(), server.grace.as_secs()), (16, 17));
        assert_eq!(server.cors_origins, ["https://a.example", "http://b.example:81"]);
        assert_eq!((server.live_listeners, server.live_interval.as_secs()), (17, 18));
        let upstream = &settings.upstream;
        assert_eq!((upstream.requests_per_minute, upstream.concurrency), (Some(21), 22));
        assert_eq!((upstream.page_concurrency, upstream.max_attempts), (23, 5));
        assert_eq!(upstream.memory_bytes, 25_000_000);
        assert_eq!(upstream.attempt_timeout.as_secs(), 24);
        let cache = &settings.cache;
        assert_eq!((cache.memory_bytes, cache.disk_bytes), (31_000_000, 32_000_000));
        assert_eq!(cache.disk_path.as_deref(), Some(Path::new("/var/lib/reports")));
        assert!(cache.redis.is_some());
        assert_eq!(upstream.replicas, 7);
        let windows = &cache.windows;
        assert_eq!((windows.settle.as_hours(), windows.settle_late.as_hours()), (33, 34));
        assert_eq!((windows.stale_open.as_secs(), windows.stale_closed.as_secs()), (35, 36));
        assert!(settings.auth.anonymous);
        let key = &settings.auth.keys[0];
        assert_eq!((key.name.as_str(), key.requests_per_minute), ("a", Some(41)));
        assert_eq!(key.scopes, BTreeSet::from([Scope::Read, Scope::Export]));
        assert_eq!(settings.telemetry.log_format, LogFormat::Json);
        assert_eq!(settings.telemetry.log_level, "warn");
        let traces = settings.telemetry.traces.unwrap();
        assert_eq!(traces.endpoint, "https://collector.example/otlp");
        assert_eq!(traces.headers()["x-key"], "canary");
        assert!(!format!("{traces:?}").contains("canary"));
        assert_eq!(traces.service_name, "reports-emea");
        assert_eq!(traces.sampler, Sampler::named(SamplerName::AsToldOrShare, 0.25));
        assert_eq!(settings.genesys.token_url, "https://login.mypurecloud.ie/front/token");
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let mut sources = with_file(
            "[server]\nlisten = \"127.0.0.1:1\"\nqueue = 1\ndrain_s = 1",
            &[
                ("REPORTS_SERVER__LISTEN", "127.0.0.1:2"),
                ("REPORTS_SERVER__QUEUE", "2"),
            ],
        );
        sources.flags = vec![("server.listen", "127.0.0.1:3".to_owned())];
        let server = Settings::load(&sources).unwrap().server;
        assert_eq!((server.listen.port(), server.queue, server.drain.as_secs()), (3, 2, 1));
    }

    #[test]
    fn the_file_may_be_named_by_the_environment() {
        let file = with_file("[server]\nqueue = 7", &[]).file.unwrap();
        let sources = sources(&[("REPORTS_CONFIG", file.to_str().unwrap())]);
        assert_eq!(Settings::load(&sources).unwrap().server.queue, 7);
    }

    #[test]
    fn keys_stand_in_the_file_as_they_are_printed() {
        let text = format!("[[auth.keys]]\nname = \"wallboard\"\nsha256 = \"{DIGEST}\"\nscopes = [\"read\"]\n");
        let settings = Settings::load(&with_file(&text, &[])).unwrap();
        assert_eq!(settings.auth.keys[0].sha256.0[0], 0x9f);
    }

    #[test]
    fn keys_are_read_again_from_where_they_came_from() {
        let digests = [DIGEST, &DIGEST.replace('9', "8"), &DIGEST.replace('9', "7")].map(str::to_owned);
        let key = |name: &str, digest: &str| format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        std::fs::write(&path, key("b", &digests[1])).unwrap();
        let text = key("a", &digests[0]).replace("[[keys]]", "[[auth.keys]]");
        let sources = with_file(&text, &[("REPORTS_AUTH__KEYS_FILE", path.to_str().unwrap())]);
        let source = Settings::load(&sources).unwrap().auth.key_source;
        let names = || {
            let keys = source.read().map_err(|problems| problems.to_string())?;
            Ok::<_, String>(keys.into_iter().map(|key| key.name).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names().as_deref(), Ok("a b"));
        let before = source.texts();
        std::fs::write(&path, key("c", &digests[2])).unwrap();
        assert_eq!(names().as_deref(), Ok("a c"));
        assert_ne!(source.texts(), before);
        for (text, complaint) in [
            (key("a", &digests[1]), "two keys are named `a`"),
            (key("b", &digests[0]), "`b`: another name has the same key"),
            (
                key("anonymous", &digests[1]),
                "`anonymous`: this name stands for others",
            ),
            (key("b", "12"), "64 hexadecimal digits"),
            ("[[key]]\nname = \"b\"".to_owned(), "unknown field"),
            ("keys = [".to_owned(), "auth.keys_file"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let found = names().unwrap_err();
            assert!(
                found.contains(complaint) && !found.contains(&digests[1][..8]),
                "{text}: {found}"
            );
        }
        let printed = format!("{source:?}");
        assert!(
            printed.contains("keys.toml") && !printed.contains("secret-1"),
            "{printed}"
        );
    }

    #[test]
    fn tokens_of_a_provider_need_three_settings() {
        let all = [
            ("REPORTS_AUTH__JWT__ISSUER", "https://id.example"),
            ("REPORTS_AUTH__JWT__AUDIENCE", "reports"),
            ("REPORTS_AUTH__JWT__JWKS_URL", "https://id.example/keys?app=1"),
            ("REPORTS_SERVER__LISTEN", "0.0.0.0:1"),
        ];
        let jwt = Settings::load(&sources(&all)).unwrap().auth.jwt.unwrap();
        assert_eq!((jwt.audience, jwt.filters_claim), (vec!["reports".to_owned()], None));
        let text = "[auth.jwt]\nissuer = \"a\"\naudience = [\"b\", \"c\"]\njwks_url = \"http://127.0.0.1:1/k\"\n";
        let jwt = Settings::load(&with_file(&format!("{text}filters_claim = \"seen\""), &[]))
            .unwrap()
            .auth
            .jwt
            .unwrap();
        assert_eq!((jwt.audience.len(), jwt.filters_claim.as_deref()), (2, Some("seen")));
        assert!(Settings::load(&sources(&[])).unwrap().auth.jwt.is_none());
        for (name, value, complaint) in [
            (
                "REPORTS_AUTH__JWT__JWKS_URL",
                "http://id.example/keys",
                "plain http is for loopback",
            ),
            (
                "REPORTS_AUTH__JWT__JWKS_URL",
                "",
                "auth.jwt.jwks_url (environment): is not a URL",
            ),
            ("REPORTS_AUTH__JWT__AUDIENCE", "[]", "names nobody"),
            ("REPORTS_AUTH__JWT__ISUER", "x", "did you mean `auth.jwt.issuer`?"),
        ] {
            let found = problems(&sources(&[&all[..], &[(name, value)]].concat()));
            assert!(found.iter().any(|found| found.contains(complaint)), "{found:?}");
        }
        let found = problems(&sources(&[("REPORTS_AUTH__JWT__FILTERS_CLAIM", "seen")]));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_key_may_be_confined() {
        let load = |further: &str| {
            let key = format!("[{{name=\"a\", sha256=\"{DIGEST}\", {further}}}]");
            Settings::load(&sources(&[("REPORTS_AUTH__KEYS", &key)]))
                .map(|settings| settings.auth.keys[0].filters.clone())
        };
        let id = "7A0C5A3E-0A5C-4E0D-9D3F-2F8F2F6F1C11";
        let filters = load(&format!("filters={{\"routing.queue.id\"=[\"{id}\"]}}")).unwrap();
        assert_eq!(
            filters.filter().values_of("queueId"),
            Some(&BTreeSet::from([id.to_lowercase()]))
        );
        assert!(load("scopes=[\"read\"]").unwrap().is_none());
        for (further, complaint) in [
            (
                format!("scopes=[\"admin\"], filters={{\"division.id\"=[\"{id}\"]}}"),
                "cannot have it",
            ),
            ("filters={\"media.type\"=[\"voice\"]}".to_owned(), "`division.id`"),
            (
                "filters={\"division.id\"=[\"Sales\"]}".to_owned(),
                "`Sales` is not an id",
            ),
        ] {
            let found = load(&further).unwrap_err().to_string();
            assert!(found.contains(complaint), "{further}: {found}");
        }
    }

    #[test]
    fn all_problems_are_reported_together() {
        let sources = Sources {
            environment: [
                ("REPORTS_SERVER__LISTEN", "nowhere"),
                ("REPORTS_SERVER__QUEUE", "many"),
                ("REPORTS_SERVER__LISTN", "127.0.0.1:1"),
                ("REPORTS_NOPE", "1"),
                ("REPORTS_UPSTREAM__MAX_ATTEMPTS", "0"),
                ("REPORTS_TELEMETRY__LOG_LEVEL", "a=b=c"),
                ("REPORTS_AUTH__KEYS", "[{name=\"a\", sha256=\"x\", scope=[]}]"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Sources::default()
        };
        let found = problems(&sources).join("\n");
        for expected in [
            "server.listen (environment): ",
            "server.queue (environment): ",
            "server.listn (environment): no such setting; did you mean `server.listen`?",
            "REPORTS_NOPE (environment): no such setting",
            "upstream.max_attempts (environment): 0 is not between 1 and 10",
            "telemetry.log_level (environment): ",
            "auth.keys (environment): ",
            "genesys.region: is missing",
            "genesys.client_id: is missing: set GENESYS_CLIENT_ID or GENESYS_CLIENT_ID_FILE",
            "genesys.client_secret: is missing",
        ] {
            assert!(found.contains(expected), "{expected}\n---\n{found}");
        }
        assert_eq!(found.lines().count(), 10, "{found}");
    }

    #[test]
    fn unknown_names_in_the_file_are_errors_too() {
        let found = problems(&with_file("[server]\nque = 1\n[sevrer]\nqueue = 1\n", &[]));
        assert!(
            found[0].contains("server.que (") && found[0].contains("did you mean `server.queue`?"),
            "{found:?}"
        );
        assert!(
            found[1].contains("sevrer.queue") && found[1].contains("did you mean `server.queue`?"),
            "{found:?}"
        );
    }

    #[test]
    fn the_organisation_is_found_by_region_domain_or_urls() {
        let load = |pairs: &[(&str, &str)]| {
            let mut sources = sources(pairs);
            sources
                .environment
                .retain(|name, _| name != "GENESYS_REGION" || pairs.iter().any(|(given, _)| given == name));
            Settings::load(&sources)
                .map(|settings| settings.genesys.api_url)
                .map_err(|problems| problems.0.join("\n"))
        };
        for (pairs, expected) in [
            (
                &[("GENESYS_REGION", "mypurecloud.de")][..],
                Ok("https://api.mypurecloud.de"),
            ),
            (
                &[("GENESYSCLOUD_REGION", "eu-central-1")],
                Ok("https://api.mypurecloud.de"),
            ),
            (
                &[("GENESYS_REGION", "eu-west-1"), ("GENESYSCLOUD_REGION", "eu-central-1")],
                Ok("https://api.mypurecloud.ie"),
            ),
            (
                &[
                    ("GENESYS_API_URL", "http://127.0.0.1:9090/"),
                    ("GENESYS_LOGIN_URL", "http://[::1]:9090"),
                ],
                Ok("http://127.0.0.1:9090"),
            ),
            (&[("GENESYS_REGION", "eu-wst-1")], Err("did you mean `eu-west-1`?")),
            (&[("GENESYS_API_URL", "https://a.example")], Err("go together")),
            (
                &[
                    ("GENESYS_REGION", "eu-west-1"),
                    ("GENESYS_API_URL", "https://a.example"),
                ],
                Err("say one or the other"),
            ),
            (
                &[
                    ("GENESYS_API_URL", "http://a.example"),
                    ("GENESYS_LOGIN_URL", "https://a.example"),
                ],
                Err("genesys.api_url (environment): plain http is for loopback"),
            ),
            (
                &[
                    ("GENESYS_API_URL", "http://127.0.0.1.a.example"),
                    ("GENESYS_LOGIN_URL", "https://u:p@a.example"),
                ],
                Err("must not carry credentials"),
            ),
            (
                &[
                    ("GENESYS_API_URL", "file:///etc"),
                    ("GENESYS_LOGIN_URL", "https://a.example?x=1"),
                ],
                Err("`file` is not https"),
            ),
        ] {
            match (load(pairs), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{pairs:?}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{pairs:?}: {found}"),
                (found, _) => panic!("{pairs:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn listening_beyond_loopback_needs_keys_or_a_word() {
        let listen = ("REPORTS_SERVER__LISTEN", "0.0.0.0:8080");
        let found = problems(&sources(&[listen]));
        assert!(found[0].contains("reachable from elsewhere"), "{found:?}");
        assert!(Settings::load(&sources(&[listen, ("REPORTS_AUTH__ANONYMOUS", "true")])).is_ok());
        let keys = format!("[{{name=\"a\", sha256=\"{DIGEST}\"}}]");
        assert!(Settings::load(&sources(&[listen, ("REPORTS_AUTH__KEYS", &keys)])).is_ok());
    }

    #[test]
    fn tls_takes_a_certificate_and_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path("cert"), made.cert.pem()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        let load = |cert: &str, key: &str| {
            let pairs = [("REPORTS_SERVER__TLS_CERT", cert), ("REPORTS_SERVER__TLS_KEY", key)];
            let given: Vec<_> = pairs.into_iter().filter(|(_, path)| !path.is_empty()).collect();
            Settings::load(&sources(&given)).map(|settings| settings.server.identity.is_some())
        };
        let (cert, key, missing) = (path("cert"), path("key"), path("missing"));
        assert_eq!(load("", ""), Ok(false));
        assert_eq!(load(&cert, &key), Ok(true));
        for (cert, key, expected) in [
            (
                cert.as_str(),
                "",
                &["server.tls_cert (environment): needs server.tls_key beside it"][..],
            ),
            (
                "",
                &key,
                &["server.tls_key (environment): needs server.tls_cert beside it"],
            ),
            (
                &missing,
                &cert,
                &["server.tls_cert (environment): ", "server.tls_key (environment): "],
            ),
        ] {
            let found = load(cert, key).unwrap_err().0;
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}");
            }
        }
    }

    #[test]
    fn where_replicas_meet_may_carry_a_password_and_must_leave_each_a_share() {
        let url = "rediss://reports:canary-password@redis.internal:6380/1";
        let path = std::env::temp_dir().join(format!("genesys-reports-{}.redis", uuid::Uuid::new_v4()));
        std::fs::write(&path, format!("{url}\n")).unwrap();
        let file = ("REPORTS_CACHE__REDIS_URL_FILE", path.to_str().unwrap());
        let settings = Settings::load(&sources(&[file])).unwrap();
        assert!(settings.cache.redis.is_some());
        assert!(!format!("{settings:?}").contains("canary"));
        let wrong = [
            ("REPORTS_CACHE__REDIS_URL", "http://canary-password@redis"),
            ("REPORTS_UPSTREAM__REQUESTS_PER_MINUTE", "2"),
        ];
        let found = problems(&sources(&wrong)).join("\n");
        assert!(
            found.starts_with("cache.redis_url (environment): ") && !found.contains("canary"),
            "{found}"
        );
        let few = [("REPORTS_CACHE__REDIS_URL", url), wrong[1]];
        let found = problems(&sources(&few)).join("\n");
        assert!(
            found.starts_with("upstream.replicas: 3 replicas cannot share"),
            "{found}"
        );
    }

    #[test]
    fn traces_are_set_by_the_names_others_know_and_told_to_whom_they_may_be() {
        assert!(Settings::load(&sources(&[])).unwrap().telemetry.traces.is_none());
        let known = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_SERVICE_NAME", "reports"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ];
        let traces = Settings::load(&sources(&known)).unwrap().telemetry.traces.unwrap();
        assert_eq!(
            (traces.endpoint.as_str(), traces.service_name.as_str()),
            ("http://collector:4318", "reports")
        );
        assert_eq!(traces.sampler, Sampler::named(SamplerName::AlwaysOff, 0.5));
        assert!(traces.headers().is_empty());
        for (name, value, complaint) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector:4318",
                "is neither http nor https",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "https://a:canary@b",
                "must not carry credentials",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "https://b/?key=canary",
                "must not carry a query",
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary", "must be https where"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "canary", "number 1 is not"),
            ("OTEL_TRACES_SAMPLER", "xray", "`xray` is not known here"),
            ("OTEL_TRACES_SAMPLER_ARG", "2", "2 is not between 0 and 1"),
        ] {
            let found = problems(&sources(&[&known[..], &[(name, value)]].concat())).join("\n");
            assert!(
                found.contains(complaint) && !found.contains("canary"),
                "{name}={value}: {found}"
            );
        }
    }

    #[test]
    fn a_secret_file_is_read_again_when_it_changes() {
        let path = std::env::temp_dir().join(format!("genesys-reports-{}.secret", uuid::Uuid::new_v4()));
        std::fs::write(&path, "one\n").unwrap();
        let mut sources = sources(&[("GENESYS_CLIENT_SECRET_FILE", path.to_str().unwrap())]);
        assert!(problems(&sources)[0].contains("both in place and by `genesys.client_secret_file`"));
        sources.environment.remove("GENESYS_CLIENT_SECRET");
        let read = Settings::load(&sources).unwrap().genesys.credentials();
        let current = || match read() {
            upstream::Credentials::Client { client_secret, .. } => client_secret.expose_secret().to_owned(),
            upstream::Credentials::Login { .. } => panic!("nobody logged in"),
        };
        assert_eq!(current(), "one");
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(current(), "two");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(current(), "two", "what it said last");
        assert!(problems(&sources)[0].contains("genesys.client_secret_file"));
    }

    #[test]
    fn a_person_s_login_needs_no_secret_and_serves_nobody_else_unless_told_to() {
        let person = |pairs: &[(&str, &str)]| {
            let mut sources = sources(pairs);
            sources.environment.remove("GENESYS_CLIENT_SECRET");
            sources
                .environment
                .insert("GENESYS_GRANT".to_owned(), "login".to_owned());
            Settings::load(&sources).unwrap().genesys
        };
        for (pairs, file) in [
            (
                &[("HOME", "/home/ada")][..],
                "/home/ada/.local/state/genesys-reports/login.json",
            ),
            (
                &[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/state")],
                "/state/genesys-reports/login.json",
            ),
            (&[("HOME", "/home/ada"), ("GENESYS_LOGIN_FILE", "/kept")], "/kept"),
            (&[], "./genesys-reports/login.json"),
        ] {
            let upstream::Credentials::Login { client_id, kept } = person(pairs).credentials()() else {
                panic!("a person's")
            };
            assert_eq!((client_id.as_str(), kept), ("id-1", Kept(PathBuf::from(file))));
            assert!(person(pairs).may_serve().unwrap_err().0[0].contains("client credentials"));
        }
        assert!(
            person(&[("REPORTS_GENESYS__LOGIN_MAY_SERVE", "true")])
                .may_serve()
                .is_ok()
        );
        let found = problems(&sources(&[("GENESYS_GRANT", "password")]));
        assert!(found[0].contains("genesys.grant (environment)"), "{found:?}");
    }

    #[test]
    fn secrets_do_not_print() {
        let mut loud = sources(&[("GENESYS_CLIENT_SECRET", "canary-value")]);
        let keys = format!("[{{name=\"a\", sha256=\"{DIGEST}\"}}]");
        loud.environment.insert("REPORTS_AUTH__KEYS".to_owned(), keys);
        let printed = format!("{:?}", Settings::load(&loud).unwrap());
        assert!(
            !printed.contains("canary") && !printed.contains(DIGEST) && !printed.contains("159"),
            "{printed}"
        );

        // Nor in a complaint about them.
        let in_file = with_file("[genesys]\nclient_secret = 90210\n", &[("GENESYS_CLIENT_SECRET", "")]);
        let complaints = problems(&in_file).join("\n");
        assert!(
            complaints.contains("client_secret") && !complaints.contains("90210"),
            "{complaints}"
        );
    }

    #[test]
    fn only_origins_are_origins() {
        for (text, expected) in [
            ("https://a.example", true),
            ("http://127.0.0.1:3000", true),
            ("https://a.example/", false),
            ("https://a.example/path", false),
            ("a.example", false),
            ("null", false),
        ] {
            assert_eq!(is_origin(text), expected, "{text}");
        }
    }

    #[test]
    fn where_to_listen_can_be_known_without_the_rest() {
        let only_listen = Sources {
            environment: [("REPORTS_SERVER__LISTEN".to_owned(), "0.0.0.0:81".to_owned())].into(),
            ..Sources::default()
        };
        assert_eq!(server_settings(&only_listen).unwrap().listen.port(), 81);
    }
}
