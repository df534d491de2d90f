//! Jobs: submitted, looked after, read by cursor, for some days.
//!
//! A job about details reads a copy of the data that is loaded once a night: what happened since is silently missing from
//! its results. One about aggregates brings what the query would have when it was submitted.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Uri;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use serde_json::{Value, json};

use super::{
    errors::PlatformError,
    organisation::{JobRows, Organisation, Switches},
};

/// How long a job waits in line, and how long it has taken when it is done.
const QUEUED: SignedDuration = SignedDuration::from_secs(2);
const DONE: SignedDuration = SignedDuration::from_secs(7);
/// How long its results can be read. A guess: the vendor tells the date, not the rule.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Rows on a page of results unless told otherwise, and at most.
const PAGE_SIZE: usize = 1_000;
const MAX_PAGE_SIZE: usize = 10_000;
/// Groups on a page of aggregates unless told otherwise: few, so that programs learn to turn pages. A guess.
const AGGREGATES_PAGE_SIZE: usize = 100;
/// When the nightly load is done, and what it reaches to, in UTC.
const LOADED_AT: SignedDuration = SignedDuration::from_mins(5 * 60);
const LOADED_TO: SignedDuration = SignedDuration::from_secs(4 * 3600 + 10 * 60 + 3);

/// The instant up to which the copy is complete.
pub(super) fn available(now: Timestamp) -> Timestamp {
    let load_of = |day: jiff::civil::Date| {
        let midnight = day.to_zoned_datetime(TimeZone::UTC);
        midnight.map_or(Timestamp::MIN, |midnight| midnight.timestamp())
    };
    let today = now.to_zoned_datetime(TimeZone::UTC).date();
    let midnight = load_of(today);
    if now.duration_since(midnight) >= LOADED_AT {
        midnight + LOADED_TO
    } else {
        load_of(today.saturating_sub(1.days())) + LOADED_TO
    }
}

/// The jobs there are.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<HashMap<String, Job>>);

#[derive(Clone, Debug)]
struct Job {
    /// The path of its kind.
    path: String,
    rows: Rows,
    page_size: usize,
    submitted_at: Timestamp,
    is_cancelled: bool,
}

/// What a job found.
#[derive(Clone, Debug)]
enum Rows {
    /// Conversations of the copy that is complete up to then.
    Conversations(Arc<JobRows>, Timestamp),
    /// Users, likewise.
    Users(Arc<Vec<Value>>, Timestamp),
    /// The answer of the query.
    Aggregates(Arc<Value>),
}

impl Rows {
    /// Some of them in the shape of their kind, and whether there are more.
    fn page(&self, rows: Range<usize>, organisation: &Organisation) -> (Value, bool) {
        let some = |all: &[Value]| {
            (
                all.iter().skip(rows.start).take(rows.len()).cloned().collect(),
                rows.end < all.len(),
            )
        };
        let (mut answer, name, (page, more)): (Value, _, (Vec<Value>, bool)) = match self {
            Self::Conversations(all, available) => {
                (copied(*available), "conversations", organisation.job_page(all, rows))
            }
            Self::Users(all, available) => (copied(*available), "userDetails", some(all)),
            Self::Aggregates(answer) => {
                let mut rest = Value::clone(answer);
                rest.as_object_mut().and_then(|rest| rest.remove("results"));
                let all = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
                (rest, "results", some(all))
            }
        };
        if !page.is_empty() {
            answer[name] = page.into();
        }
        (answer, more)
    }
}

fn copied(available: Timestamp) -> Value {
    json!({ "dataAvailabilityDate": format!("{available:.0}") })
}

impl Job {
    fn state(&self, now: Timestamp, switches: &Switches) -> &'static str {
        let age = now.duration_since(self.submitted_at);
        match () {
            () if self.is_cancelled => "CANCELLED",
            () if age < QUEUED => "QUEUED",
            () if age < DONE => "PENDING",
            () if switches.failing_jobs => "FAILED",
            () => "FULFILLED",
        }
    }
}

impl Jobs {
    /// Takes a job of a path, `/api/v2/analytics/<family>/aggregates/jobs` or `…/details/jobs`, if its body is one.
    pub(super) fn submit(
        &self,
        (path, id): (&str, String),
        body: &Value,
        now: Timestamp,
        organisation: &Organisation,
        switches: &Switches,
    ) -> Result<Value, PlatformError> {
        let copy = available(now);
        let mut page_size = PAGE_SIZE;
        let family = path.split('/').nth(4).unwrap_or_default();
        let rows = match (family, path.contains("/details/")) {
            ("users", true) => Rows::Users(organisation.user_details_job(body, copy, switches)?.into(), copy),
            (_, true) => Rows::Conversations(organisation.details_job(body, copy, switches)?.into(), copy),
            (_, false) => {
                page_size = size_of_page(body["pageSize"].as_u64(), AGGREGATES_PAGE_SIZE)?;
                let answer = match family {
                    "users" => organisation.user_aggregates(body, now, switches)?,
                    family => organisation.family_aggregates(family, body, now, switches)?,
                };
                Rows::Aggregates(answer.into())
            }
        };
        let job = Job {
            path: path.to_owned(),
            rows,
            page_size,
            submitted_at: now,
            is_cancelled: false,
        };
        let answer = json!({ "jobId": id });
        self.jobs().insert(id, job);
        Ok(answer)
    }

    /// Its state, and whether it is still at work.
    pub(super) fn state(
        &self,
        address: Address<'_>,
        now: Timestamp,
        switches: &Switches,
    ) -> Result<(Value, bool), PlatformError> {
        let job = self.find(address, now)?;
        let state = job.state(now, switches);
        let seconds = |at: Timestamp| format!("{at:.0}");
        let mut answer = json!({
            "state": state, "submissionDate": seconds(job.submitted_at), "expirationDate": seconds(job.submitted_at + KEPT),
        });
        match state {
            "FULFILLED" => answer["completionDate"] = json!(seconds(job.submitted_at + DONE)),
            "FAILED" => answer["errorMessage"] = json!("The job could not be completed."),
            _ => {}
        }
        Ok((answer, matches!(state, "QUEUED" | "PENDING")))
    }

    /// A page of its results.
    pub(super) fn results(
        &self,
        address: Address<'_>,
        uri: &Uri,
        now: Timestamp,
        organisation: &Organisation,
        switches: &Switches,
    ) -> Result<Value, PlatformError> {
        let (job, id) = (self.find(address, now)?, address.id);
        if job.state(now, switches) != "FULFILLED" {
            return Err(PlatformError::of_status(400));
        }
        let query = uri.query().unwrap_or_default().as_bytes();
        let field = |wanted: &str| {
            let mut fields = form_urlencoded::parse(query);
            fields
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned())
        };
        let page_size = match field("pageSize").map(|text| text.parse()) {
            None => job.page_size,
            Some(size) => size_of_page(Some(size.unwrap_or(0)), PAGE_SIZE)?,
        };
        let first = match field("cursor") {
            None => 0,
            Some(cursor) => place(id, &cursor).ok_or_else(|| PlatformError::of_status(400))?,
        };
        let rows = first..first + page_size;
        let (mut answer, more) = job.rows.page(rows.clone(), organisation);
        if more {
            answer["cursor"] = json!(BASE64_URL_SAFE_NO_PAD.encode(format!("{id} {}", rows.end)));
        }
        Ok(answer)
    }

    /// Ends a job.
    pub(super) fn cancel(&self, address: Address<'_>, now: Timestamp) -> Result<(), PlatformError> {
        self.find(address, now)?;
        if let Some(job) = self.jobs().get_mut(address.id) {
            job.is_cancelled = true;
        }
        Ok(())
    }

    fn find(&self, address: Address<'_>, now: Timestamp) -> Result<Job, PlatformError> {
        let job = self.jobs().get(address.id).cloned();
        job.filter(|job| job.path == address.path && now < job.submitted_at + KEPT)
            .ok_or_else(PlatformError::not_found)
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// Where a job is asked for: the path of its kind, and its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    path: &'a str,
    id: &'a str,
}

impl<'a> Address<'a> {
    /// That of a path `<path of its kind>/<id>`, which may go on.
    pub(super) fn of(path: &'a str) -> Self {
        const JOBS: &str = "/jobs/";
        let (before, after) = path.split_once(JOBS).unwrap_or((path, ""));
        Self {
            path: path.get(..before.len() + JOBS.len() - 1).unwrap_or(path),
            id: after.split('/').next().unwrap_or_default(),
        }
    }
}

fn size_of_page(asked: Option<u64>, default: usize) -> Result<usize, PlatformError> {
    let Some(asked) = asked else { return Ok(default) };
    let asked = usize::try_from(asked)
        .ok()
        .filter(|size| (1..=MAX_PAGE_SIZE).contains(size));
    asked.ok_or_else(|| PlatformError::of_status(400))
}

/// Where the cursor of that job points.
fn place(id: &str, cursor: &str) -> Option<usize> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix(id)?.strip_prefix(' ')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_of_last_night_or_the_night_before() {
        for (now, expected) in [
            ("2023-12-01T12:00:00Z", "2023-12-01T04:10:03Z"),
            ("2023-12-01T05:00:00Z", "2023-12-01T04:10:03Z"),
            ("2023-12-01T04:59:59Z", "2023-11-30T04:10:03Z"),
            ("2023-12-01T00:00:00Z", "2023-11-30T04:10:03Z"),
        ] {
            let found = available(now.parse().unwrap());
            assert_eq!(found, expected.parse::<Timestamp>().unwrap(), "{now}");
        }
    }
}
