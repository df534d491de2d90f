//! What every setting is for: `genesys-reports settings` prints it, and docs/settings.md is that.
//!
//! Names, defaults and bounds are those the settings are read with; only what each is for stands here.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{OTHER_VARIABLES, Reader, Settings, Sources};

/// By section, in the order in which they are told.
const ABOUT: &[(&str, &str)] = &[
    (
        "genesys.region",
        "AWS region (`eu-west-1`) or domain (`mypurecloud.ie`) of the organisation",
    ),
    (
        "genesys.api_url",
        "in place of the region, with `login_url`; plain http for loopback only",
    ),
    ("genesys.login_url", "in place of the region, with `api_url`"),
    ("genesys.token_path", "where below the login URL tokens are given"),
    ("genesys.client_id", "the OAuth client"),
    (
        "genesys.client_id_file",
        "a file it is read from, again whenever needed",
    ),
    ("genesys.client_secret", "its secret"),
    (
        "genesys.client_secret_file",
        "a file it is read from, again whenever needed",
    ),
    (
        "genesys.grant",
        "`client`, or `login` to ask as [the person who has logged in](login.md)",
    ),
    ("genesys.login_file", "where that login is kept"),
    (
        "genesys.login_may_serve",
        "let `serve` answer everybody by what that person may see",
    ),
    (
        "server.listen",
        "where to listen; beyond loopback only with `auth.keys`, `auth.jwt` or `auth.anonymous`",
    ),
    (
        "server.request_timeout_s",
        "from a request's head to its answer's head, queueing included",
    ),
    (
        "server.stream_timeout_s",
        "from a streaming request's head to its last byte",
    ),
    (
        "server.max_connections",
        "connections at once; the last 32 of them get health, metrics and documents, and a 503 for all else",
    ),
    ("server.max_concurrency", "requests worked on at once"),
    ("server.queue", "requests that wait for that; more are refused at once"),
    ("server.max_body_bytes", "the largest request body"),
    (
        "server.drain_s",
        "how long to go on accepting after a stop signal, while readiness already says no",
    ),
    (
        "server.grace_s",
        "from a stop signal to the end at the latest, drain included: what is still under way then is cut off",
    ),
    (
        "server.tls_cert",
        "certificate chain (PEM): the service speaks TLS itself, and reads it again when it changes",
    ),
    ("server.tls_key", "its key (PEM)"),
    (
        "server.cors_origins",
        "origins whose pages may read answers in a browser; `*` is any",
    ),
    ("server.live_listeners", "[streams of live figures](live.md) at once"),
    ("server.live_interval_s", "how often each is told"),
    (
        "upstream.requests_per_minute",
        "the budget, all endpoints together, in place of the organisation's own limit (or 300); [budget.md](budget.md) says how it is shared",
    ),
    (
        "upstream.replicas",
        "how many replicas there are at most, where they share the budget by way of `cache.redis_url`",
    ),
    ("upstream.concurrency", "requests in flight"),
    ("upstream.page_concurrency", "pages of one query in flight"),
    (
        "upstream.attempt_timeout_s",
        "one attempt, from connecting to the last byte",
    ),
    ("upstream.max_attempts", "attempts of one request"),
    (
        "upstream.memory_bytes",
        "answers being read or not yet passed on, all fetches together",
    ),
    (
        "cache.memory_bytes",
        "what is held in memory; [caching.md](caching.md) says what that is",
    ),
    (
        "cache.disk_path",
        "a file, or a directory for it, that keeps [what has settled](caching.md#on-disk) over a restart",
    ),
    ("cache.disk_bytes", "how large that file may become"),
    (
        "cache.redis_url",
        "where [several replicas](scaling.md) meet: `redis://…`, `rediss://…` (TLS), a cluster or sentinels",
    ),
    ("cache.redis_url_file", "a file it is read from"),
    (
        "cache.settle_hours",
        "how long after a bucket's end its figures may still change",
    ),
    (
        "cache.settle_late_hours",
        "the same of [evaluations, surveys and the like](caching.md#by-bucket)",
    ),
    (
        "cache.stale_open_s",
        "how long past its freshness an answer about what has not ended stands in for a failure",
    ),
    ("cache.stale_closed_s", "the same of what has ended"),
    (
        "auth.keys",
        "API keys: `name`, `sha256`, `scopes`, `requests_per_minute` (no limit), [`filters`](security.md#confined-keys) (sees everything); read again when the file changes",
    ),
    (
        "auth.keys_file",
        "a TOML file of further keys, as `[[keys]]`; read again when it changes",
    ),
    (
        "auth.jwt.issuer",
        "an [identity provider](security.md#an-identity-provider) whose tokens are taken: `iss`",
    ),
    ("auth.jwt.audience", "who they are for: `aud`, one or a list"),
    ("auth.jwt.jwks_url", "where its keys are"),
    (
        "auth.jwt.filters_claim",
        "the claim that says what a token's subject is confined to; without it, to nothing",
    ),
    (
        "auth.anonymous",
        "serve requests without a key, although keys are set or strangers can reach the service",
    ),
    (
        "auth.token_secret",
        "what tokens of `POST /oauth/token` and links to reports are signed with, 32 characters or more; made up at start where none is set",
    ),
    ("auth.token_secret_file", "a file it is read from"),
    ("auth.token_lifetime_s", "how long such a token is good"),
    (
        "reports.dir",
        "a directory of [report files](reports.md), looked at again every few seconds",
    ),
    ("telemetry.log_format", "`text`, or `json` for machines"),
    ("telemetry.log_level", "`tracing` filter directives"),
    (
        "telemetry.otlp_endpoint",
        "where [traces](operations.md#traces) are told: an OpenTelemetry collector's address for OTLP over HTTP, such as `http://127.0.0.1:4318`; nowhere without",
    ),
    (
        "telemetry.otlp_headers",
        "further fields of every request to it: `name=value,name=value`, percent-encoded",
    ),
    (
        "telemetry.otlp_headers_file",
        "a file they are read from, again whenever needed",
    ),
    ("telemetry.service_name", "what the service is called there"),
    (
        "telemetry.traces_sampler",
        "which traces are recorded: `parentbased_always_on`, `parentbased_always_off`, `parentbased_traceidratio`, `always_on`, `always_off`, `traceidratio`",
    ),
    (
        "telemetry.traces_sampler_arg",
        "the share of them, for the samplers that take one",
    ),
];

/// A setting's default and what it may be, as they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) default: Option<String>,
    pub(super) allowed: Option<String>,
}

/// All settings as a document in Markdown.
pub fn document() -> String {
    let reader = read();
    let mut document = String::from(INTRODUCTION);
    let mut section = "";
    for (name, about) in ABOUT {
        let (of, _) = name.split_once('.').expect("a section and a name");
        if of != section {
            section = of;
            let _ = write!(
                document,
                "\n## `[{section}]`\n\n| setting | in the environment | default | from, to | what |\n| --- | --- | --- | --- | --- |\n"
            );
        }
        let bounds = reader.bounds.get(name).cloned().unwrap_or_default();
        let code = |text: Option<String>| text.map_or_else(String::new, |text| format!("`{text}`"));
        let _ = writeln!(
            document,
            "| `{name}` | `{}` | {} | {} | {about} |",
            variable(name),
            code(bounds.default.as_deref().map(plain)),
            bounds.allowed.unwrap_or_default()
        );
    }
    document
}

/// All of them have been read, and none was set. That some must be is no matter here.
fn read() -> Reader {
    let sources = Sources {
        environment: BTreeMap::from([("HOME".to_owned(), "/home/you".to_owned())]),
        ..Sources::default()
    };
    let mut reader = Reader::new(&sources);
    Settings::read(&mut reader, &sources);
    reader
}

/// As it is written in a settings file, but for quotes.
fn plain(default: &str) -> String {
    let text = default.trim_matches('"');
    if text.chars().all(char::is_alphabetic) {
        text.to_lowercase()
    } else {
        text.to_owned()
    }
}

const INTRODUCTION: &str = "\
# Settings

Printed by `genesys-reports settings`. A flag wins over the environment, the environment over the TOML file (`--config` or
`REPORTS_CONFIG`), the file over the default. Lists and tables are written in the environment as in TOML. All problems are
reported together, before anything listens; an unknown name is a problem. `…_s` are seconds, `…_bytes` bytes. The four
`genesys.client_…`, and `genesys.region`, are also known by the names that the ecosystem uses:
`GENESYSCLOUD_OAUTHCLIENT_ID`, `GENESYSCLOUD_OAUTHCLIENT_SECRET`, `GENESYSCLOUD_REGION`. Those of traces are also known by
OpenTelemetry's: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
`OTEL_TRACES_SAMPLER_ARG`.
";

fn variable(name: &str) -> String {
    let mut known = OTHER_VARIABLES.iter();
    let own = known.find(|(variable, known)| *known == name && variable.starts_with("GENESYS_"));
    own.map_or_else(
        || format!("REPORTS_{}", name.to_ascii_uppercase().replace('.', "__")),
        |(variable, _)| (*variable).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_is_told_of() {
        let reader = read();
        let told: BTreeSet<&str> = ABOUT.iter().map(|(name, _)| *name).collect();
        assert_eq!(told, reader.asked);
        assert_eq!(told.len(), ABOUT.len());
    }

    #[test]
    fn the_document_is_what_is_printed() {
        let printed = document();
        assert!(
            include_str!("../../docs/settings.md") == printed,
            "make it anew: genesys-reports settings > docs/settings.md"
        );
    }
}
