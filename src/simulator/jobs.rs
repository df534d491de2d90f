//! Jobs about conversation details: submitted, looked after, read by cursor, for some days.
//!
//! A job reads a copy of the data that is loaded once a night: what happened since is silently missing from its results.

use std::{
    collections::HashMap,
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
    rows: Arc<JobRows>,
    submitted_at: Timestamp,
    available: Timestamp,
    is_cancelled: bool,
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
    /// Takes a job, if its body is one.
    pub(super) fn submit(
        &self,
        id: String,
        body: &Value,
        now: Timestamp,
        organisation: &Organisation,
        switches: &Switches,
    ) -> Result<Value, PlatformError> {
        let available = available(now);
        let job = Job {
            rows: Arc::new(organisation.details_job(body, available, switches)?),
            submitted_at: now,
            available,
            is_cancelled: false,
        };
        let answer = json!({ "jobId": id });
        self.jobs().insert(id, job);
        Ok(answer)
    }

    /// Its state, and whether it is still at work.
    pub(super) fn state(&self, id: &str, now: Timestamp, switches: &Switches) -> Result<(Value, bool), PlatformError> {
        let job = self.find(id, now)?;
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
        id: &str,
        uri: &Uri,
        now: Timestamp,
        organisation: &Organisation,
        switches: &Switches,
    ) -> Result<Value, PlatformError> {
        let job = self.find(id, now)?;
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
        let page_size = match field("pageSize") {
            None => PAGE_SIZE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=MAX_PAGE_SIZE).contains(size))
                .ok_or_else(|| PlatformError::of_status(400))?,
        };
        let first = match field("cursor") {
            None => 0,
            Some(cursor) => place(id, &cursor).ok_or_else(|| PlatformError::of_status(400))?,
        };
        let rows = first..first + page_size;
        let (conversations, more) = organisation.job_page(&job.rows, rows.clone());
        let mut answer = json!({ "dataAvailabilityDate": format!("{:.0}", job.available) });
        if !conversations.is_empty() {
            answer["conversations"] = conversations.into();
        }
        if more {
            answer["cursor"] = json!(BASE64_URL_SAFE_NO_PAD.encode(format!("{id} {}", rows.end)));
        }
        Ok(answer)
    }

    /// Ends a job.
    pub(super) fn cancel(&self, id: &str, now: Timestamp) -> Result<(), PlatformError> {
        self.find(id, now)?;
        if let Some(job) = self.jobs().get_mut(id) {
            job.is_cancelled = true;
        }
        Ok(())
    }

    fn find(&self, id: &str, now: Timestamp) -> Result<Job, PlatformError> {
        let job = self.jobs().get(id).cloned();
        job.filter(|job| now < job.submitted_at + KEPT)
            .ok_or_else(PlatformError::not_found)
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
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
