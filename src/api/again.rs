//! The same request, asked again: what was worked out for it is good as long as what the answer was made of is.
//!
//! Dashboards send the same few requests over and over. Within a minute such a request means the same, as `now` is the
//! minute that has begun; so whoever names no bound on the answer's age, and may see everything, is given what was written
//! for the one before, if that would be written again. Everything else takes the long way, which leads to the same answer.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    http::{HeaderMap, Method, Uri, header},
    response::Response,
};
use jiff::Timestamp;
use moka::sync::Cache;

use super::{
    auth::Caller,
    format::{Format, accepts_gzip},
    rows::{self, Given},
};
use crate::{
    definitions::Definition,
    report::{Reports, Seen, Written},
};

/// So many requests are known again; each takes less than a kilobyte.
const REQUESTS: u64 = 10_000;
/// Past its minute nobody sends the same request again.
const UNREAD: Duration = Duration::from_mins(2);

/// The requests of the last minute. Cheap to clone; every clone knows the same.
#[derive(Clone)]
pub struct Again(Cache<RequestKey, Arc<Remembered>>);

/// Everything that an answer depends on, besides what is held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey(Box<str>);

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

impl RequestKey {
    /// `None` of a request that is not looked for.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap, caller: &Caller, now: Timestamp) -> Option<Self> {
        let sees_everything = caller.restriction().is_none() && caller.shared().is_none();
        if !sees_everything || headers.contains_key(header::CACHE_CONTROL) {
            return None;
        }
        let mut accept = headers.get_all(header::ACCEPT).iter();
        let (accept, others) = (accept.next(), accept.next());
        let accept = accept.map_or(Some(""), |accept| accept.to_str().ok());
        let accept = accept.filter(|_| others.is_none())?;
        let gzip = accepts_gzip(headers);
        let minute = now.as_second().div_euclid(60);
        Some(Self(
            format!("{minute} {gzip} {} {accept}", uri.path_and_query()?).into(),
        ))
    }
}

impl Default for Again {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REQUESTS).time_to_idle(UNREAD).build())
    }
}

impl Again {
    /// What is to be known of the request from now on.
    pub(super) fn remember(&self, key: RequestKey, remembered: Remembered) {
        self.0.insert(key, Arc::new(remembered));
    }

    /// The answer, if the same was answered before, of the same report, and nothing has changed since.
    pub(super) async fn answer(
        &self,
        key: &RequestKey,
        definition: Option<&Arc<Definition>>,
        reports: &Reports,
        now: Timestamp,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let remembered = self.0.get(key)?;
        let is_same = match (&remembered.definition, definition) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let written = remembered.written.upgrade().filter(|_| is_same)?;
        let (provenance, fresh_for) = reports.again(&remembered.seen).await?;
        let given = Given {
            written: &written,
            format: remembered.format,
            filename: &remembered.filename,
            provenance: &provenance,
            fresh_for,
        };
        Some(rows::give(&given, None, None, now, method, headers))
    }
}
