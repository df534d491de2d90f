//! Takes spans to a collector, in batches, by OTLP over HTTP.
//!
//! Nothing here can hold up or fail a request: spans wait in a queue of bounded length, and what the collector does not
//! take is lost and counted. It is not sent again: a trace is worth less than the memory that a collector which is down
//! would take. A collector that keeps failing is left alone for a while, and that it fails is told once a minute.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Finished, Settings, otlp};
use crate::{
    breaker::{Breaker, LONGEST_PAUSE},
    telemetry,
};

/// The most spans of one request.
const BATCH: usize = 512;
/// How long the first of a batch waits for others.
const MOMENT: Duration = Duration::from_secs(5);
/// How long the collector may take for one.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The most bytes read of its answer.
const ANSWER_BYTES: usize = 64 << 10;
/// Between two lines in the log that say that it fails.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Takes what has ended to the collector.
pub struct Exporter {
    finished: mpsc::Receiver<Finished>,
    http: reqwest::Client,
    url: String,
    headers: Arc<dyn Fn() -> HeaderMap + Send + Sync>,
    resource: otlp::Resource,
    breaker: Breaker,
    told_at: Option<Instant>,
}

impl Exporter {
    /// Exports until `stop` is cancelled, and then what still waits.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while stop.run_until_cancelled(self.gather(&mut batch)).await == Some(true) {
            self.export(std::mem::take(&mut batch)).await;
        }
        self.finished.close();
        while !batch.is_empty() || self.finished.recv_many(&mut batch, BATCH).await > 0 {
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    pub(super) fn new(settings: Settings, finished: mpsc::Receiver<Finished>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("genesys-reports/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self {
            finished,
            http,
            url: format!("{}/v1/traces", settings.endpoint),
            headers: settings.headers,
            resource: otlp::Resource::new(settings.service_name),
            breaker: Breaker::new("collector of traces", LONGEST_PAUSE),
            told_at: None,
        })
    }

    /// Waits for a span, and a moment for more. What has come stays in `batch` if this is given up. Whether more may come.
    async fn gather(&mut self, batch: &mut Vec<Finished>) -> bool {
        if batch.is_empty() && self.finished.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let until = Instant::now() + MOMENT;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(until, self.finished.recv_many(batch, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    async fn export(&mut self, batch: Vec<Finished>) {
        let spans = batch.len() as u64;
        let count = |outcome: &'static str, spans: u64| {
            metrics::counter!(telemetry::SPANS, "outcome" => outcome).increment(spans);
        };
        let Ok(admission) = self.breaker.admit() else {
            return count("left_alone", spans);
        };
        let body = otlp::encode(&self.resource, batch);
        match timeout(TIMEOUT, self.post(body))
            .await
            .unwrap_or(Err(NotTaken::TooSlow))
        {
            Ok(answer) => {
                admission.succeeded();
                let rejected = otlp::rejected(&answer).min(spans);
                count("exported", spans - rejected);
                count("refused", rejected);
            }
            Err(why) => {
                admission.failed();
                count("failed", spans);
                self.tell(&why);
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<Bytes, NotTaken> {
        let request = self
            .http
            .post(&self.url)
            .headers((self.headers)())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let lost = |error: reqwest::Error| NotTaken::Lost(error.without_url());
        let mut response = request.send().await.map_err(lost)?;
        if !response.status().is_success() {
            return Err(NotTaken::Refused(response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if answer.len() + chunk.len() > ANSWER_BYTES {
                // Whatever it says there, it has taken them.
                return Ok(Bytes::new());
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer.into())
    }

    fn tell(&mut self, why: &NotTaken) {
        if self.told_at.is_some_and(|told_at| told_at.elapsed() < TOLD_EVERY) {
            return;
        }
        self.told_at = Some(Instant::now());
        let cause = why.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%why, cause, "traces are lost: the collector does not take them");
    }
}

/// Why a batch is lost.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("it answers {0}")]
    Refused(u16),
    #[error("it cannot be reached, or breaks off")]
    Lost(#[source] reqwest::Error),
    #[error("it takes too long")]
    TooSlow,
}

/// The fields of a list `name=value,name=value`, whose values may be percent-encoded. What is wrong is said without
/// repeating a value: it may be a credential.
pub fn headers(list: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (member, number) in list.split(',').zip(1..) {
        if member.trim().is_empty() {
            continue;
        }
        let (name, value) = member
            .split_once('=')
            .ok_or_else(|| format!("number {number} is not `name=value`"))?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| format!("number {number} has no name of a field"))?;
        let value = decoded(value.trim()).and_then(|value| HeaderValue::try_from(value).ok());
        let mut value = value.ok_or_else(|| format!("the value of `{name}` cannot stand in a field"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Bytes of what may be percent-encoded.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_a_list_and_no_value_is_repeated() {
        for (list, expected) in [
            ("", Ok(vec![])),
            ("x-key=canary", Ok(vec![("x-key", "canary")])),
            (
                "Authorization=Basic%20Y2FuYXJ5PQ==, x=a+b,",
                Ok(vec![("authorization", "Basic Y2FuYXJ5PQ=="), ("x", "a+b")]),
            ),
            ("x-key", Err("number 1 is not `name=value`")),
            ("a=1, x key=canary", Err("number 2 has no name of a field")),
            ("x-key=canary%0a", Err("the value of `x-key` cannot stand in a field")),
            ("x-key=canary%4", Err("the value of `x-key` cannot stand in a field")),
            ("x-key=canary%+1", Err("the value of `x-key` cannot stand in a field")),
        ] {
            let found = headers(list).map(|headers| {
                assert!(!format!("{headers:?}").contains("canary"), "credentials do not print");
                let pairs = headers.iter();
                pairs
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect::<Vec<_>>()
            });
            let expected = expected.map(|pairs: Vec<(&str, &str)>| {
                let pairs = pairs.into_iter();
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            });
            assert_eq!(found, expected.map_err(str::to_owned), "{list}");
        }
    }
}
