//! The composition root: builds each part once, owns what runs in the background, and ends it in order.

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    api::{
        self, Api,
        again::Again,
        auth::Keys,
        cache::CacheApi,
        catalog::CatalogApi,
        conversations::ConversationsApi,
        gateway::GatewayApi,
        jobs::Jobs,
        limits::{Admission, Bodies},
        live::{Feed, LiveApi},
        lookups::LookupsApi,
        now::NowApi,
        observe::Tracing,
        query::QueryApi,
        quota::QuotaApi,
        reports::ReportsApi,
        serve::{Doors, Stop},
        service::ServiceApi,
        users::UsersApi,
    },
    clock::Clock,
    config::{KeySource, Settings},
    fleet::{Fleet, FleetSettings},
    query::Limits,
    report::{Disk, DiskOwner, DiskSettings, Organisation, ReportSettings, Reports},
    telemetry,
    traces::{self, Exporter, Tracer},
    upstream::{self, Class, Client, Errand, Jitter},
    warm::Warm,
};

/// How long what has settled may still be written to disk, and spans be taken to their collector, after the last request.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How often the metrics' histograms are brought up to date; without it they grow until somebody reads them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How long the organisation's limit is taken to be what it was.
const LIMIT_KNOWN_FOR: Duration = Duration::from_hours(24);
/// How long to leave it at that when it cannot be had.
const LIMIT_PAUSE: Duration = Duration::from_mins(10);
/// How long it may take to be told.
const LIMIT_TIMEOUT: Duration = Duration::from_mins(1);

/// The most bytes of one conversation listing that is paged through; beyond it, streams are for.
const LISTING_BYTES: u64 = 64 << 20;

/// The service, built and not yet listening.
pub struct App {
    api: Api,
    reports: Reports,
    warm: Warm,
    disk_owner: Option<DiskOwner>,
    exporter: Option<Exporter>,
    fleet: Fleet,
    client: Client,
    doors: Doors,
    /// Read again when they change.
    keys: (Keys, KeySource),
    /// Whether it is asked how often the upstream may be asked, as no setting says so.
    learns_limit: bool,
    drain: Duration,
    grace: Duration,
    stop: Stop,
    metrics: PrometheusHandle,
}

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No HTTP client: the TLS library refuses.
    #[error("cannot build the upstream client")]
    Client(#[from] reqwest::Error),
    /// No exporter of traces.
    #[error("cannot export traces")]
    Traces(#[from] traces::ExporterError),
    /// No metrics.
    #[error("cannot record metrics")]
    Metrics(#[from] telemetry::MetricsError),
}

impl App {
    /// Builds every part; sends nothing, listens nowhere.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        Self::with_jitter(settings, clock, upstream::chance())
    }

    /// The same with a given source of jitter, the only chance there is in what the service does.
    pub fn with_jitter(settings: &Settings, clock: Clock, jitter: Jitter) -> Result<Self, BuildError> {
        let fleet = fleet(settings);
        let (tracer, exporter) = traces(settings)?;
        let upstream = upstream_settings(settings, fleet.clone(), tracer.clone());
        let client = Client::with_jitter(upstream, clock.clone(), jitter)?;
        let (disk, disk_owner) = disk(settings).unzip();
        let report_settings = report_settings(settings, disk.unwrap_or_default(), fleet.clone());
        let reports = Reports::new(client.clone(), clock.clone(), report_settings);
        let stop = Stop::default();
        let metrics = telemetry::metrics()?;
        let server = &settings.server;
        let library = settings.reports.library.clone();
        let (query, conversations, now, users) = questions(&reports, &clock, server.stream_timeout);
        let warm = Warm::new(reports.clone(), library.clone(), clock.clone());
        let keys = Keys::new(&settings.auth, clock.clone())?;
        let api = Api::new(api::Parts {
            named: ReportsApi {
                warm: warm.clone(),
                keys: keys.clone(),
                library: library.clone(),
                query: query.clone(),
                conversations: conversations.clone(),
                now: now.clone(),
                users: users.clone(),
            },
            query,
            conversations,
            catalog: CatalogApi::default(),
            live: LiveApi {
                now: now.clone(),
                feed: Feed::new(
                    reports.clone(),
                    server.live_interval,
                    server.live_listeners,
                    stop.closing.clone(),
                ),
            },
            now,
            lookups: LookupsApi {
                reports: reports.clone(),
                clock: clock.clone(),
                limits: Limits::default(),
            },
            users,
            cache: CacheApi {
                reports: reports.clone(),
                clock: clock.clone(),
            },
            gateway: GatewayApi {
                reports: reports.clone(),
                clock: clock.clone(),
            },
            quota: QuotaApi {
                client: client.clone(),
                reports: reports.clone(),
            },
            service: ServiceApi {
                client: client.clone(),
                reports: reports.clone(),
                fleet: fleet.clone(),
                draining: stop.draining.clone(),
                metrics: metrics.clone(),
                document: api::openapi::Served::new(library, clock.clone()),
            },
            guards: api::Guards {
                keys: keys.clone(),
                request_timeout: server.request_timeout,
                admission: Admission::new(server.max_concurrency, server.queue),
                bodies: Bodies::new(server.max_body_bytes),
                jobs: Jobs::new(clock, server.stream_timeout, stop.closing.clone()),
            },
            cors_origins: server.cors_origins.clone(),
            tracing: Tracing {
                tracer,
                scheme: if server.identity.is_some() { "https" } else { "http" },
            },
        });
        Ok(Self {
            api,
            reports,
            warm,
            disk_owner,
            exporter,
            fleet,
            client,
            doors: Doors {
                max_connections: server.max_connections,
                identity: server.identity.clone(),
            },
            keys: (keys, settings.auth.key_source.clone()),
            learns_limit: settings.upstream.requests_per_minute.is_none(),
            drain: server.drain,
            grace: server.grace,
            stop,
            metrics,
        })
    }

    /// The service, to be called in this process and not over HTTP.
    pub fn into_api(self) -> Api {
        self.api
    }

    /// Serves until `stop` is cancelled and the end has been orderly, or overlong.
    ///
    /// The order of the end: readiness says no, so that balancers look elsewhere; for the drain time requests are
    /// still accepted and answered, with `Connection: close`; then nothing more is accepted, those who watch are told
    /// to come back elsewhere, and what is under way is finished; what is not finished within the grace, counted from
    /// the beginning, is cut off, visibly. Returns whether nothing was.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> bool {
        let mut background = JoinSet::new();
        background.spawn(keep_metrics_up(self.metrics));
        let (warm, draining) = (self.warm, self.stop.draining.clone());
        // Nothing is kept for readers who are sent elsewhere.
        background.spawn(async move {
            draining.run_until_cancelled(warm.run()).await;
        });
        if let Some(identity) = self.doors.identity.clone() {
            background.spawn(identity.keep_current());
        }
        let (keys, source) = self.keys;
        background.spawn(keys.keep_current(source));
        background.spawn(self.fleet.follow_secret());
        background.spawn(self.reports.clone().follow_purges());
        background.spawn(self.client.clone().stay_in_touch());
        if self.learns_limit {
            background.spawn(keep_limit_known(self.client));
        }
        background.spawn(end(stop, self.stop.clone(), self.drain, self.grace));
        let written = CancellationToken::new();
        let disk = self.disk_owner.map(|owner| tokio::spawn(owner.run(written.clone())));
        let exporter = self
            .exporter
            .map(|exporter| tokio::spawn(exporter.run(written.clone())));
        let exporter = exporter.map(AbortOnDropHandle::new);
        let finished = api::serve::serve(listener, self.api, self.doors, self.stop).await;
        // Nobody is left to wait for what is still being fetched.
        self.reports.stop();
        written.cancel();
        let until = Instant::now() + LAST_WRITES;
        if !is_over(disk, until).await {
            tracing::warn!("the disk is slow: what was still to be written is not kept");
        }
        if !is_over(exporter, until).await {
            tracing::warn!("the collector of traces is slow: the last spans are lost");
        }
        background.shutdown().await;
        if finished {
            tracing::info!("stopped; everything was answered");
        } else {
            tracing::error!(
                grace_s = self.grace.as_secs(),
                "stopped; requests still under way were cut off"
            );
        }
        finished
    }
}

/// Whether a task, if there is one, ends by then.
async fn is_over(task: Option<impl Future>, until: Instant) -> bool {
    match task {
        Some(task) => tokio::time::timeout_at(until, task).await.is_ok(),
        None => true,
    }
}

/// What makes spans, and what takes them to a collector if one is set.
fn traces(settings: &Settings) -> Result<(Tracer, Option<Exporter>), traces::ExporterError> {
    let Some(told) = settings.telemetry.traces.clone() else {
        return Ok((Tracer::default(), None));
    };
    let settings = traces::Settings {
        endpoint: told.endpoint.clone(),
        service_name: told.service_name.clone(),
        sampler: told.sampler,
        headers: Arc::new(move || told.headers()),
    };
    let (tracer, exporter) = Tracer::exporting(settings)?;
    Ok((tracer, Some(exporter)))
}

/// What answers questions, by name or not.
fn questions(
    reports: &Reports,
    clock: &Clock,
    stream_timeout: Duration,
) -> (QueryApi, ConversationsApi, NowApi, UsersApi) {
    let query = QueryApi {
        reports: reports.clone(),
        clock: clock.clone(),
        limits: Limits::default(),
        again: Again::default(),
    };
    let conversations = ConversationsApi {
        reports: reports.clone(),
        clock: clock.clone(),
        limits: Limits::default(),
        stream_timeout,
    };
    let now = NowApi {
        reports: reports.clone(),
        clock: clock.clone(),
        limits: Limits::default(),
    };
    let users = UsersApi {
        reports: reports.clone(),
        clock: clock.clone(),
        limits: Limits::default(),
    };
    (query, conversations, now, users)
}

/// What outlives a restart, if anything is to: nothing of what only one person may see.
fn disk(settings: &Settings) -> Option<(Disk, DiskOwner)> {
    let path = settings.cache.disk_path.clone()?;
    let upstream::Credentials::Client { client_id, .. } = settings.genesys.credentials()() else {
        tracing::warn!("nothing is kept on disk of what a person's own login may see");
        return None;
    };
    Some(Disk::new(DiskSettings {
        path,
        bytes: settings.cache.disk_bytes,
        organisation: Organisation::of(&settings.genesys.api_url, &client_id),
    }))
}

fn report_settings(settings: &Settings, disk: Disk, fleet: Fleet) -> ReportSettings {
    ReportSettings {
        memory_bytes: settings.cache.memory_bytes,
        // What cannot be held would be fetched again for every page of it.
        listing_bytes: LISTING_BYTES.min(settings.cache.memory_bytes / 2),
        refresh_timeout: settings.server.request_timeout,
        windows: settings.cache.windows,
        disk,
        fleet,
    }
}

/// Other replicas, if there are any: nothing of what only one person may see is left for them.
fn fleet(settings: &Settings) -> Fleet {
    let Some(address) = settings.cache.redis.clone() else {
        return Fleet::default();
    };
    let credentials = settings.genesys.credentials();
    let upstream::Credentials::Client { client_id, .. } = credentials() else {
        tracing::warn!("nothing is shared with other replicas of what a person's own login may see");
        return Fleet::default();
    };
    Fleet::new(FleetSettings {
        address,
        organisation: Organisation::of(&settings.genesys.api_url, &client_id).to_string(),
        secret: Arc::new(move || match credentials() {
            upstream::Credentials::Client { client_secret, .. } => client_secret,
            upstream::Credentials::Login { .. } => SecretString::default(),
        }),
    })
}

/// The upstream client as the settings want it, of a service that is alone.
pub fn client(settings: &Settings, clock: Clock) -> Result<Client, reqwest::Error> {
    Client::new(upstream_settings(settings, Fleet::default(), Tracer::default()), clock)
}

fn upstream_settings(settings: &Settings, fleet: Fleet, tracer: Tracer) -> upstream::Settings {
    let upstream = &settings.upstream;
    upstream::Settings {
        api_url: settings.genesys.api_url.clone(),
        token_url: settings.genesys.token_url.clone(),
        credentials: settings.genesys.credentials(),
        requests_per_minute: upstream.requests_per_minute,
        concurrency: upstream.concurrency,
        page_concurrency: upstream.page_concurrency,
        attempt_timeout: upstream.attempt_timeout,
        max_attempts: upstream.max_attempts,
        memory_bytes: upstream.memory_bytes,
        fleet,
        replicas: upstream.replicas,
        tracer,
    }
}

/// Takes the service from one stage of its end to the next.
async fn end(signal: CancellationToken, stop: Stop, drain: Duration, grace: Duration) {
    signal.cancelled().await;
    let began = Instant::now();
    tracing::info!(
        drain_s = drain.as_secs(),
        grace_s = grace.as_secs(),
        "stopping: readiness says no, requests are still answered"
    );
    stop.draining.cancel();
    tokio::time::sleep_until(began + drain).await;
    stop.closing.cancel();
    tokio::time::sleep_until(began + grace).await;
    stop.cutting.cancel();
}

/// Asks for the organisation's limit at the start and now and then, as it can be raised.
async fn keep_limit_known(client: Client) {
    loop {
        let errand = Errand::of_the_service(Class::Refresh, Instant::now() + LIMIT_TIMEOUT);
        let pause = match client.learn_limit(&errand).await {
            Ok(()) => LIMIT_KNOWN_FOR,
            Err(error) => {
                tracing::info!(%error, "the organisation's limit is not known");
                LIMIT_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn keep_metrics_up(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
