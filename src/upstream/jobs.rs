//! Conversations of days long over, by a job of the upstream's: ten pages' worth for a request, at the price of a wait.
//!
//! A job reads a copy that is loaded once a night and tells up to when it is complete. What a conversation did after that is
//! silently missing from it, so only days are read that ended well before. It is asked for conversations that *started* on
//! its days, which is what the query of [`pages`](super::pages) answers; what only a job tells, the attributes of
//! participants, is left out, so that a document is the same whichever way it came.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::{
    Answered, Client, Errand, Sent, Told, UpstreamError,
    wire::{self, JobPage, JobState},
};
use crate::query::{Filter, Range};

/// How long before the copy's end a day must have ended: what a conversation still did until then is in the copy.
const SETTLED: SignedDuration = SignedDuration::from_hours(48);
/// How long a job may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// What is left to the deadline when a job may still be begun.
pub(super) const WORTH_BEGINNING: Duration = Duration::from_mins(2);
/// Between two looks at a job: longer each time, within these.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// Conversations on a page of results.
const PAGE_SIZE: usize = 1_000;
/// Empty pages in a row that still point to a next one, before that is taken for the end that it should not be.
const EMPTY_PAGES: usize = 3;

const DAY_SECONDS: i64 = 24 * 3600;

/// A window of whole days as what a job reads of it and the rest, given up to when the copy is complete.
pub(super) fn old_part(window: Range, available: Timestamp) -> Option<(Range, Option<Range>)> {
    let settled = available.saturating_sub(SETTLED).ok()?.as_second();
    let midnight = Timestamp::from_second(settled.div_euclid(DAY_SECONDS) * DAY_SECONDS).ok()?;
    if midnight <= window.start {
        return None;
    }
    if midnight >= window.end {
        return Some((window, None));
    }
    let part = |start, end| Range { start, end };
    Some((part(window.start, midnight), Some(part(midnight, window.end))))
}

/// Who asks for a job.
pub(super) struct Customer<'a> {
    pub(super) client: &'a Client,
    pub(super) filter: &'a Arc<Filter>,
    pub(super) errand: &'a Errand,
    pub(super) sent: &'a Sent,
}

impl Customer<'_> {
    /// Up to when the copy is complete that jobs read.
    pub(super) async fn available(&self) -> Result<Timestamp, UpstreamError> {
        let call = wire::details_availability();
        let asked = self
            .client
            .start(call, self.errand, self.sent, |body| wire::read_availability(body));
        Ok(asked.await?.value)
    }

    /// Has a job do the window, and waits until it is done.
    pub(super) async fn have_done(&self, window: Range) -> Result<Job, UpstreamError> {
        let call = wire::details_job(window, self.filter);
        let submitted = self
            .client
            .start(call, self.errand, self.sent, |body| wire::read_job_id(body));
        let id = submitted.await?.value;
        let give_up_at = self.errand.deadline().min(Instant::now() + PATIENCE);
        let mut pause = FIRST_LOOK;
        loop {
            if Instant::now() + pause >= give_up_at {
                self.cancel(&id).await;
                return Err(UpstreamError::Timeout(Told::default()));
            }
            sleep(pause).await;
            let call = wire::job_state(&id);
            let looked = self
                .client
                .start(call, self.errand, self.sent, |body| wire::read_job_state(body));
            match looked.await?.value {
                JobState::Done => break,
                JobState::Waiting => pause = (pause * 3 / 2).min(LONGEST_LOOK),
                JobState::Ended => return Err(unavailable("a job of its ended without a result")),
            }
        }
        Ok(Job {
            id,
            window,
            cursor: None,
            has_ended: false,
        })
    }

    /// Nobody waits for it any more; that it goes on if this fails is the upstream's own affair.
    async fn cancel(&self, id: &str) {
        let soon = self
            .errand
            .on_terms(self.errand.class(), Instant::now() + Duration::from_secs(5));
        let cancelled = self.client.start(wire::cancel_job(id), &soon, self.sent, |_| Ok(()));
        if let Err(error) = cancelled.await {
            tracing::debug!(%error, "a job that nobody waits for cannot be cancelled");
        }
    }

    /// The next page of a job's results.
    pub(super) async fn read(&self, job: &mut Job) -> Result<Option<Answered<JobPage>>, UpstreamError> {
        for _ in 0..EMPTY_PAGES {
            if job.has_ended {
                return Ok(None);
            }
            let call = wire::job_results(&job.id, job.cursor.as_deref(), PAGE_SIZE);
            let mut page = self
                .client
                .start(call, self.errand, self.sent, wire::read_job_page)
                .await?;
            if page.value.available.is_some_and(|available| available < job.window.end) {
                return Err(unavailable("the data its jobs read ends earlier than it said"));
            }
            job.cursor = page.value.cursor.take();
            job.has_ended = job.cursor.is_none();
            if !page.value.conversations.is_empty() {
                return Ok(Some(page));
            }
        }
        if job.has_ended {
            return Ok(None);
        }
        Err(unavailable("a job of its gives one empty page after the other"))
    }
}

/// A job that is done, and how far it has been read.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    /// Whole days.
    pub(super) window: Range,
    cursor: Option<String>,
    has_ended: bool,
}

fn unavailable(reason: &str) -> UpstreamError {
    UpstreamError::Unavailable {
        reason: reason.to_owned(),
        told: Told::default(),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_ended_well_before_the_copy_are_for_jobs() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let midnight = |day: &str| at(&format!("2026-03-{day}T00:00:00Z"));
        let range = |start, end| Range {
            start: midnight(start),
            end: midnight(end),
        };
        let window = range("05", "10");
        for (available, expected) in [
            ("2026-03-20T04:10:03Z", Some((window, None))),
            ("2026-03-12T00:00:00Z", Some((window, None))),
            (
                "2026-03-11T23:59:59Z",
                Some((range("05", "09"), Some(range("09", "10")))),
            ),
            (
                "2026-03-08T04:10:03Z",
                Some((range("05", "06"), Some(range("06", "10")))),
            ),
            ("2026-03-07T04:10:03Z", None),
            ("2026-03-01T04:10:03Z", None),
        ] {
            assert_eq!(old_part(window, at(available)), expected, "{available}");
        }
    }
}
