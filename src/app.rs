//! The composition root: builds each part once, owns what runs in the background, and ends it in order.

use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        self,
        auth::Keys,
        cache::CacheApi,
        catalog::CatalogApi,
        conversations::ConversationsApi,
        gateway::GatewayApi,
        limits::{Admission, Bodies},
        live::{Feed, LiveApi},
        lookups::LookupsApi,
        now::NowApi,
        query::QueryApi,
        reports::ReportsApi,
        serve::{Doors, Stop},
        service::ServiceApi,
    },
    clock::Clock,
    config::Settings,
    query::Limits,
    report::{ReportSettings, Reports},
    telemetry,
    upstream::{self, Client},
    warm::Warm,
};

/// How often the metrics' histograms are brought up to date; without it they grow until somebody reads them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The most bytes of one conversation listing that is paged through; beyond it, streams are for.
const LISTING_BYTES: u64 = 64 << 20;

/// The service, built and not yet listening.
pub struct App {
    router: Router,
    reports: Reports,
    warm: Warm,
    doors: Doors,
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
    /// No metrics.
    #[error("cannot record metrics")]
    Metrics(#[from] telemetry::MetricsError),
}

impl App {
    /// Builds every part; sends nothing, listens nowhere.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        let client = client(settings, clock.clone())?;
        let report_settings = ReportSettings {
            memory_bytes: settings.cache.memory_bytes,
            // What cannot be held would be fetched again for every page of it.
            listing_bytes: LISTING_BYTES.min(settings.cache.memory_bytes / 2),
            refresh_timeout: settings.server.request_timeout,
        };
        let reports = Reports::new(client.clone(), clock.clone(), report_settings);
        let stop = Stop::default();
        let metrics = telemetry::metrics()?;
        let server = &settings.server;
        let library = settings.reports.library.clone();
        let query = QueryApi {
            reports: reports.clone(),
            clock: clock.clone(),
            limits: Limits::default(),
        };
        let conversations = ConversationsApi {
            reports: reports.clone(),
            clock: clock.clone(),
            limits: Limits::default(),
            stream_timeout: server.stream_timeout,
        };
        let now = NowApi {
            reports: reports.clone(),
            clock: clock.clone(),
            limits: Limits::default(),
        };
        let warm = Warm::new(reports.clone(), library.clone(), clock.clone());
        let router = api::router(api::Parts {
            named: ReportsApi {
                warm: warm.clone(),
                library: library.clone(),
                query: query.clone(),
                conversations: conversations.clone(),
                now: now.clone(),
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
            cache: CacheApi {
                reports: reports.clone(),
                clock: clock.clone(),
            },
            gateway: GatewayApi {
                reports: reports.clone(),
                clock: clock.clone(),
            },
            service: ServiceApi {
                client,
                reports: reports.clone(),
                draining: stop.draining.clone(),
                metrics: metrics.clone(),
                document: api::openapi::Served::new(library, clock.clone()),
            },
            guards: api::Guards {
                keys: Keys::new(&settings.auth, clock),
                request_timeout: server.request_timeout,
                admission: Admission::new(server.max_concurrency, server.queue),
                bodies: Bodies::new(server.max_body_bytes),
            },
            cors_origins: server.cors_origins.clone(),
        });
        Ok(Self {
            router,
            reports,
            warm,
            doors: Doors {
                max_connections: server.max_connections,
                identity: server.identity.clone(),
            },
            drain: server.drain,
            grace: server.grace,
            stop,
            metrics,
        })
    }

    /// The routes, to be called in this process and not over HTTP.
    pub fn into_router(self) -> Router {
        self.router
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
        background.spawn(end(stop, self.stop.clone(), self.drain, self.grace));
        let finished = api::serve::serve(listener, self.router, self.doors, self.stop).await;
        // Nobody is left to wait for what is still being fetched.
        self.reports.stop();
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

/// The upstream client as the settings want it.
pub fn client(settings: &Settings, clock: Clock) -> Result<Client, reqwest::Error> {
    let upstream = &settings.upstream;
    let settings = upstream::Settings {
        api_url: settings.genesys.api_url.clone(),
        token_url: settings.genesys.token_url.clone(),
        credentials: settings.genesys.credentials(),
        requests_per_minute: upstream.requests_per_minute,
        concurrency: upstream.concurrency,
        page_concurrency: upstream.page_concurrency,
        attempt_timeout: upstream.attempt_timeout,
        max_attempts: upstream.max_attempts,
    };
    Client::new(settings, clock)
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

async fn keep_metrics_up(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
