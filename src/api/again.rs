//! The same request, asked again: what was worked out for it is good as long as what the answer was made of is.
//!
//! Dashboards send the same few requests over and over. Within a minute such a request means the same, as `now` is the
//! minute that has begun; so whoever names no bound on the answer's age, and may see everything, is given what was written
//! for the one before, if that would be written again. It is given before any layer and any route, which is where most of
//! its time would go. Everything else takes the long way, which leads to the same answer.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Bytes, HttpBody as _},
    extract::{MatchedPath, Request},
    http::{self, HeaderMap, HeaderValue, Method, header, request::Parts, uri::PathAndQuery},
    response::Response,
};
use jiff::Timestamp;
use moka::sync::Cache;
use serde_json::json;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;

use super::{
    auth::{Caller, Keys, Known},
    conditional,
    format::{Format, accepts_gzip},
    jobs::PREFER,
    limits,
    observe::{Observed, RequestId, Tracing},
    rows::{self, Given},
    secure, vary,
};
use crate::{
    clock::Clock,
    config::Scope,
    definitions::{Definition, Library},
    query::Restriction,
    report::{Reports, Seen, Written},
    table::Provenance,
    warm::Warm,
};

/// So many requests are known again; each takes a few kilobytes.
const REQUESTS: u64 = 5_000;
/// Past its minute nobody sends the same request again.
const UNREAD: Duration = Duration::from_mins(2);

/// The requests of the last minute. Cheap to clone; every clone knows the same.
#[derive(Clone)]
pub struct Again(Cache<RequestKey, Arc<Entry>>);

/// Everything that an answer depends on, besides what is held and who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestKey {
    minute: i64,
    target: PathAndQuery,
    accept: Option<HeaderValue>,
    gzip: bool,
}

/// What was worked out for a request.
pub(super) struct Remembered {
    /// How to know the answer again.
    pub(super) seen: Seen,
    /// As it was written, for as long as that is held.
    pub(super) written: Weak<Written>,
    pub(super) format: Format,
    /// What the file is called, without its ending.
    pub(super) filename: String,
    /// The report asked for, as it was then.
    pub(super) definition: Option<Arc<Definition>>,
}

/// Where a request is to be remembered once it is answered, if it may be known again.
#[derive(Debug)]
pub struct Place {
    key: RequestKey,
    route: Arc<str>,
    read: Option<Read>,
}

/// A report that is to be kept warm, and what it was asked with.
type Read = (String, Vec<(String, String)>);

/// What is remembered of a request.
struct Entry {
    route: Arc<str>,
    read: Option<Read>,
    /// The second in which that was noted last.
    noted: AtomicI64,
    remembered: Remembered,
    /// The end that the body has when it is given again.
    rest: Bytes,
    /// The header fields as they were told last.
    told: Mutex<Option<Told>>,
}

/// Header fields, which are the same for a second.
#[derive(Clone)]
struct Told {
    age: u64,
    fresh_for: u64,
    fields: HeaderMap,
}

impl RequestKey {
    /// `None` of a request that is not looked for.
    fn of(request: &Request, now: Timestamp) -> Option<Self> {
        let headers = request.headers();
        let is_plain = request.method() == Method::GET
            && request.body().is_end_stream()
            && !limits::is_refused(request)
            && !headers.contains_key(header::CACHE_CONTROL)
            && !headers.contains_key(PREFER);
        if !is_plain {
            return None;
        }
        let mut accept = headers.get_all(header::ACCEPT).iter();
        let (accept, others) = (accept.next(), accept.next());
        Some(Self {
            minute: now.as_second().div_euclid(60),
            target: request.uri().path_and_query().filter(|_| others.is_none())?.clone(),
            accept: accept.cloned(),
            gzip: accepts_gzip(headers),
        })
    }

    /// The same, which keeps nothing else of the request in memory.
    fn alone(&self) -> Option<Self> {
        let accept = self.accept.as_ref().map(HeaderValue::as_bytes);
        Some(Self {
            target: self.target.as_str().parse().ok()?,
            accept: accept.map(HeaderValue::from_bytes).transpose().ok()?,
            ..*self
        })
    }
}

impl Place {
    /// Of a request that [`AtOnce`] has marked, and whose caller may see everything.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let known = &parts.extensions;
        known.get().filter(|caller: &&Caller| caller.sees_everything())?;
        Some(Self {
            key: known.get::<RequestKey>()?.alone()?,
            route: known.get::<MatchedPath>()?.as_str().into(),
            read: None,
        })
    }

    /// The same, and what is noted each time.
    pub(super) fn noting(self, read: Option<Read>) -> Self {
        Self { read, ..self }
    }

    /// What an answer is called among replicas: equal where it would be written the same, compressed or not.
    pub(super) fn name(&self, definition: Option<&str>) -> String {
        let RequestKey {
            minute,
            target,
            accept,
            gzip: _,
        } = &self.key;
        let accept = accept.as_ref().map(HeaderValue::as_bytes);
        json!([minute, target.as_str(), accept, definition]).to_string()
    }
}

impl Default for Again {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REQUESTS).time_to_idle(UNREAD).build())
    }
}

impl Again {
    /// What is to be known of the request from now on.
    pub(super) fn remember(&self, place: Place, remembered: Remembered) {
        let Some(written) = remembered.written.upgrade() else {
            return;
        };
        let rest = rows::rest(&written, remembered.format, None, None, remembered.seen.provenance());
        let entry = Entry {
            route: place.route,
            read: place.read,
            noted: AtomicI64::new(i64::MIN),
            remembered,
            rest,
            told: Mutex::default(),
        };
        self.0.insert(place.key, Arc::new(entry));
    }
}

/// Answers requests that are known again.
pub struct AtOnce {
    /// Knows them.
    pub again: Again,
    /// Who may ask.
    pub keys: Keys,
    /// Knows what is still held, and fresh.
    pub reports: Reports,
    /// The reports as they are defined now.
    pub library: Library,
    /// Hears of those that are to be kept warm.
    pub warm: Warm,
    /// Tells the minute.
    pub clock: Clock,
    /// How requests are traced.
    pub tracing: Tracing,
    /// Whose pages may read answers.
    pub cors: CorsLayer,
}

/// An answer that may be given again, and to whom.
struct Judged {
    known: Known,
    written: Arc<Written>,
    provenance: Provenance,
    fresh_for: Duration,
}

impl AtOnce {
    /// The answer, if the same was answered before and nothing has changed since; else the request is marked, so that
    /// whoever answers it finds its [`Place`].
    pub async fn answer(&self, request: &mut Request) -> Option<Response> {
        let (since, now) = (Instant::now(), self.clock.now());
        let key = RequestKey::of(request, now)?;
        let entry = self.again.0.get(&key);
        if let Some(entry) = entry
            && let Some(judged) = self.judge(&entry, now, request.headers()).await
            && let Some(answer) = self.give(&entry, judged, now, since, request).await
        {
            return Some(answer);
        }
        request.extensions_mut().insert(key);
        None
    }

    /// Whether the caller may have it, and it would be written again.
    async fn judge(&self, entry: &Entry, now: Timestamp, headers: &HeaderMap) -> Option<Judged> {
        // What a link is for is part of its address, and nothing that was answered to one is remembered.
        let known = self.keys.known(headers).await.ok()?;
        let may_have_it = known.0.sees_everything() && known.0.require(Scope::Read).is_ok();
        let Remembered {
            seen,
            written,
            definition,
            ..
        } = &entry.remembered;
        if let Some(definition) = definition {
            let current = self
                .library
                .current(now)
                .await
                .definitions
                .get(&definition.name)
                .cloned();
            current.filter(|current| Arc::ptr_eq(current, definition))?;
        }
        let written = written.upgrade().filter(|_| may_have_it)?;
        let (provenance, fresh_for) = self.reports.again(seen).await?;
        Some(Judged {
            known,
            written,
            provenance,
            fresh_for,
        })
    }

    /// Unless the caller has asked too often.
    async fn give(
        &self,
        entry: &Entry,
        judged: Judged,
        now: Timestamp,
        since: Instant,
        request: &mut Request,
    ) -> Option<Response> {
        let quota = judged.known.1.and_then(|key| key.take(since));
        if quota.as_ref().is_some_and(|left| left.refused) {
            return None;
        }
        self.reports.count_hit();
        if let Some((name, arguments)) = &entry.read
            && entry.noted.swap(now.as_second(), Ordering::Relaxed) != now.as_second()
        {
            self.warm.note(name, arguments.clone(), Restriction::default());
        }
        let id = RequestId::of(request);
        let traced = self.tracing.served(request, "GET", &entry.route);
        let mut observed = Observed::begin(id.clone(), "GET", Arc::clone(&entry.route), traced, since);
        let given = Given {
            written: &judged.written,
            format: entry.remembered.format,
            filename: &entry.remembered.filename,
            rest: entry.rest.clone(),
            provenance: &judged.provenance,
            fresh_for: judged.fresh_for,
        };
        let fields = self.fields(entry, &given, now, request.headers()).await;
        let mut response = given.respond(&Method::GET, request.headers(), fields);
        if let Some(left) = quota {
            left.tell(response.headers_mut());
        }
        id.tell(&mut response);
        observed.answered(response.status());
        Some(response)
    }

    /// The header fields of the whole answer, as every layer would have them.
    async fn fields(&self, entry: &Entry, given: &Given<'_>, now: Timestamp, headers: &HeaderMap) -> HeaderMap {
        let origin = headers.get(header::ORIGIN);
        let (age, fresh_for) = (conditional::age(given.provenance, now), given.fresh_for.as_secs());
        let told = entry.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(told) = told
            && origin.is_none()
            && (told.age, told.fresh_for) == (age, fresh_for)
        {
            return told.fields;
        }
        let mut fields = given.fields(now);
        vary(&mut fields);
        let mut asked = http::Request::new(());
        asked
            .headers_mut()
            .extend(origin.map(|origin| (header::ORIGIN, origin.clone())));
        let answers = service_fn(async |_| Ok::<_, Infallible>(http::Response::new(())));
        let Ok(shared) = self.cors.layer(answers).oneshot(asked).await;
        for (name, value) in shared.headers() {
            fields.append(name, value.clone());
        }
        secure(&mut fields);
        if origin.is_none() {
            let told = Told {
                age,
                fresh_for,
                fields: fields.clone(),
            };
            *entry.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
        fields
    }
}
