//! Every conversation of a range, page by page, each once.
//!
//! The upstream answers by whole UTC days, a window of at most 31 at a time, and lets nobody page past
//! 100 000 results: longer ranges are cut at UTC midnights, so that windows never overlap. Where it takes less than 31 days,
//! as is told of questions without a filter, it says so, and the rest is asked for in shorter windows. Page 1 of a window
//! says about how many pages there are; the rest are asked for together, as far as `page_concurrency` allows,
//! and handed on in order. `totalHits` is approximate and a page may be short, so one page past the estimate is
//! asked for too: only an empty page, or a short one at or past `totalHits`, is the last.
//!
//! There is no snapshot: while pages are read, rows can come, go and move across page edges. Two signs betray it:
//! an id on two pages, and, for days recent enough to change, a page that reads differently when the sweep is over
//! (the first, the last, and the last one expected, which is read before those between). On a sign the window is swept again, until
//! a sweep brings nothing new among what earlier sweeps had reached.
//!
//! A window of very many pages that is long over is read by a job instead (`jobs`), if there is time for one:
//! it is cut where the jobs' data has settled, and the rest is read by pages. Either way it is the conversations that
//! started on its days, each once; where a job comes to nothing, pages go on from what it gave.
//!
//! Requests run in tasks of their own: a consumer that pauses stops no request half-way, and one that leaves stops
//! them all. At most `page_concurrency` pages, and the one asked for first, are held.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{Stream, future::try_join_all, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Answered, Asking, Client, Conversation, ConversationPage, Errand, Sent, Told, UpstreamError,
    jobs::{self, Customer, Job},
    wire,
    wire::DetailsPage,
};
use crate::query::{ConversationQuery, Filter, Range};

/// The most the upstream gives on a page.
const PAGE_SIZE: usize = 100;
/// The upstream refuses to page past 100 000 results.
const MOST_PAGES: usize = 100_000 / PAGE_SIZE;
/// The longest interval the upstream takes.
const WINDOW_DAYS: i64 = 31;
/// The longest it is told to take of some questions.
const SHORT_WINDOW_DAYS: i64 = 7;
/// Days that ended longer ago are not expected to change while they are read.
const MOVING: SignedDuration = SignedDuration::from_hours(48);
/// A window of this many pages, nearly half a minute of the request limit, is worth a job: a tenth of the requests, and a wait of some
/// seconds in which as many pages could be read.
const JOB_PAGES: usize = 120;
/// Sweeps of one window before giving up.
const MOST_SWEEPS: u32 = 3;

const DAY_SECONDS: i64 = 24 * 3600;

/// Reads every conversation that started on a UTC day touched by the range.
pub(super) fn conversations(
    client: Client,
    query: &ConversationQuery,
    first: Errand,
    rest: Errand,
) -> impl Stream<Item = Result<ConversationPage, UpstreamError>> + Send + 'static + use<> {
    let pager = Pager {
        source: Source {
            client,
            filter: Arc::new(query.filter.clone()),
            errand: first,
            sent: Sent::default(),
        },
        rest,
        expected: 0,
        windows: windows(query.range, WINDOW_DAYS),
        seen: Ids::default(),
        seen_until: None,
        sweep: None,
        jobs: Jobs::Untried,
        for_a_job: None,
        job: None,
    };
    stream::try_unfold(pager, async |mut pager| {
        // What comes too late for the whole is of no use to anybody.
        let rest = pager.rest.clone();
        let page = rest.in_time(pager.next()).await;
        let page = page.unwrap_or_else(|| Err(UpstreamError::Timeout(Told::default())))?;
        Ok(page.map(|page| (page, pager)))
    })
}

/// Where the reading of a range stands.
struct Pager {
    source: Source,
    /// For what comes after the first page; that one is asked for on the source's errand.
    rest: Errand,
    /// About how many conversations the windows opened so far hold.
    expected: usize,
    /// Still to be read, in order.
    windows: VecDeque<Range>,
    /// Ids of the window being read that have been handed on. Windows share no conversation, as each is told of only
    /// by the window it started in: a range of any length needs the memory of its busiest window.
    seen: Ids,
    /// Up to where the range has been read, or begun to be, by a job that came to nothing.
    seen_until: Option<Timestamp>,
    /// The window being read.
    sweep: Option<Sweep>,
    /// What is known of jobs.
    jobs: Jobs,
    /// The window that a job is to read.
    for_a_job: Option<Range>,
    /// The window that a job has read.
    job: Option<Job>,
}

/// What is known of the upstream's jobs.
#[derive(Clone, Copy, Debug)]
enum Jobs {
    Untried,
    /// Up to when the copy is complete that they read.
    Available(Timestamp),
    /// They do not serve: everything is read by pages.
    Failing,
}

impl Pager {
    /// One more page: of the window being read, or the first of the next window.
    async fn next(&mut self) -> Result<Option<ConversationPage>, UpstreamError> {
        loop {
            let page = if let Some(mut sweep) = self.sweep.take() {
                if let Some(page) = sweep.pages.next(&self.source).await? {
                    let kept = self.keep(&mut sweep, page);
                    self.sweep = Some(sweep);
                    Some(kept)
                } else {
                    self.close(sweep).await?
                }
            } else if let Some(window) = self.for_a_job.take() {
                self.begin_job(window).await;
                None
            } else if let Some(job) = self.job.take() {
                self.read_job(job).await
            } else if let Some(window) = self.windows.pop_front() {
                self.open(window).await?
            } else {
                return Ok(self.remaining_cost());
            };
            if page.is_some() {
                return Ok(page);
            }
        }
    }

    /// The first page of a window, unless the window must be cut.
    async fn open(&mut self, window: Range) -> Result<Option<ConversationPage>, UpstreamError> {
        let first = match self.source.page(window, 1).await {
            Err(UpstreamError::Rejected { too_wide: true, .. }) if halves(window).is_some() => {
                self.shorten(window);
                return Ok(None);
            }
            first => first?,
        };
        self.source.errand = self.rest.clone();
        let hits = first.value.total_hits.unwrap_or(0);
        let estimate = pages_estimated(hits);
        if let Some((old, recent)) = self.for_jobs(window, estimate).await {
            if let Some(recent) = recent {
                self.windows.push_front(recent);
            }
            self.forget(window);
            self.expected += part(hits, old, window);
            self.for_a_job = Some(old);
            // It is there already, while the job takes a while.
            return Ok(Some(self.hand_on(old, first)));
        }
        match halves(window) {
            // One page past the estimate must be within reach.
            Some((earlier, later)) if estimate >= MOST_PAGES => {
                self.windows.push_front(later);
                self.windows.push_front(earlier);
                Ok(None)
            }
            None if estimate > MOST_PAGES => Err(too_deep(&first)),
            _ => {
                self.forget(window);
                self.expected += hits;
                self.begin(Sweep::new(window, self.source.is_moving(window)), first)
                    .map(Some)
            }
        }
    }

    /// Forgets what was handed on before this window, unless a job began to read it.
    fn forget(&mut self, window: Range) {
        if self.seen_until.is_none_or(|until| until <= window.start) {
            self.seen.clear();
        }
    }

    /// The part of a window that a job should read, and the rest: when it is much, long over, and there is time.
    async fn for_jobs(&mut self, window: Range, estimate: usize) -> Option<(Range, Option<Range>)> {
        let left = self.rest.deadline().saturating_duration_since(Instant::now());
        if estimate < JOB_PAGES || left < jobs::WORTH_BEGINNING {
            return None;
        }
        if let Jobs::Untried = self.jobs {
            self.jobs = match self.source.customer().available().await {
                Ok(available) => Jobs::Available(available),
                Err(error) => {
                    tracing::warn!(%error, "jobs do not serve: reading page by page");
                    Jobs::Failing
                }
            };
        }
        let Jobs::Available(available) = self.jobs else {
            return None;
        };
        let (old, recent) = jobs::old_part(window, available)?;
        (part(estimate, old, window) >= JOB_PAGES).then_some((old, recent))
    }

    async fn begin_job(&mut self, window: Range) {
        match self.source.customer().have_done(window).await {
            Ok(job) => self.job = Some(job),
            Err(error) => self.do_without(window, &error),
        }
    }

    /// One more page of a job's results.
    async fn read_job(&mut self, mut job: Job) -> Option<ConversationPage> {
        match self.source.customer().read(&mut job).await {
            Ok(Some(Answered { value, sent_at })) => {
                let page = DetailsPage {
                    conversations: value.conversations,
                    total_hits: None,
                };
                let page = self.hand_on(job.window, Answered { value: page, sent_at });
                self.job = Some(job);
                Some(page)
            }
            Ok(None) => None,
            Err(error) => {
                self.do_without(job.window, &error);
                None
            }
        }
    }

    /// Goes on page by page where a job came to nothing; what it gave until then is not handed on again.
    fn do_without(&mut self, window: Range, error: &UpstreamError) {
        tracing::warn!(%error, "a job came to nothing: reading page by page");
        self.jobs = Jobs::Failing;
        self.seen_until = Some(window.end);
        self.windows.push_front(window);
    }

    /// The rows of a window that were not handed on before.
    fn hand_on(&mut self, window: Range, page: Answered<DetailsPage>) -> ConversationPage {
        let conversations = page.value.conversations.into_iter();
        let unseen = conversations
            .filter(|conversation| window.contains(conversation.start) && self.seen.insert(&conversation.id));
        ConversationPage {
            conversations: unseen.collect(),
            expected: self.expected,
            read_through: window.start,
            upstream_calls: self.source.sent.take(),
            fetched_at: page.sent_at,
        }
    }

    /// Cuts the window that was refused, and those that follow, to what may be taken.
    fn shorten(&mut self, window: Range) {
        let days = window.duration().as_secs() / DAY_SECONDS;
        let longest = if days > SHORT_WINDOW_DAYS {
            SHORT_WINDOW_DAYS
        } else {
            days / 2
        };
        tracing::debug!(days, longest, "the upstream takes shorter intervals only");
        let refused = std::iter::once(window).chain(std::mem::take(&mut self.windows));
        self.windows = refused.flat_map(|window| windows(window, longest)).collect();
    }

    /// What was sent after the last page for nothing new.
    fn remaining_cost(&self) -> Option<ConversationPage> {
        let page = self.nothing_new(Timestamp::MAX);
        (page.upstream_calls > 0).then_some(page)
    }

    /// That all is read to there, and what it cost.
    fn nothing_new(&self, read_through: Timestamp) -> ConversationPage {
        ConversationPage {
            conversations: Vec::new(),
            expected: self.expected,
            read_through,
            upstream_calls: self.source.sent.take(),
            fetched_at: self.source.client.now(),
        }
    }

    /// Takes the first page of a sweep.
    fn begin(&mut self, mut sweep: Sweep, first: Answered<DetailsPage>) -> Result<ConversationPage, UpstreamError> {
        sweep.pages.judge(1, &first)?;
        if sweep.moving {
            sweep.pages.ask_for_the_last_first(&self.source);
        }
        let page = self.keep(
            &mut sweep,
            Numbered {
                number: 1,
                answered: first,
            },
        );
        self.sweep = Some(sweep);
        Ok(page)
    }

    /// The rows of a page not handed on before.
    fn keep(&mut self, sweep: &mut Sweep, page: Numbered) -> ConversationPage {
        sweep.note(&page);
        let Answered { value, sent_at } = page.answered;
        let conversations = value.conversations.into_iter();
        let window = sweep.pages.window;
        let unseen = conversations.filter(|conversation| {
            let unseen = window.contains(conversation.start) && self.seen.insert(&conversation.id);
            sweep.news |= unseen
                && sweep
                    .earlier_reached
                    .is_some_and(|reached| conversation.start <= reached);
            unseen
        });
        ConversationPage {
            conversations: unseen.collect(),
            expected: self.expected,
            read_through: window.start,
            upstream_calls: self.source.sent.take(),
            fetched_at: sent_at,
        }
    }

    /// After the last page of a sweep: done with the window, or once more through it.
    async fn close(&mut self, sweep: Sweep) -> Result<Option<ConversationPage>, UpstreamError> {
        let moved = match sweep.number {
            1 => sweep.repeated || self.source.reads_differently(&sweep).await?,
            _ => sweep.news,
        };
        if !moved {
            // Of the last window, the end of all pages tells as much.
            return Ok((!self.windows.is_empty()).then(|| self.nothing_new(sweep.pages.window.end)));
        }
        if sweep.number == MOST_SWEEPS {
            return Err(UpstreamError::Unavailable {
                reason: "rows kept moving between pages while they were read".to_owned(),
                told: Told::default(),
                source: None,
            });
        }
        tracing::debug!(
            sweep = sweep.number,
            "rows moved between pages: reading the window again"
        );
        let first = self.source.page(sweep.pages.window, 1).await?;
        self.begin(sweep.next(), first).map(Some)
    }
}

/// One reading of a window from the first page to the last, and what it showed.
struct Sweep {
    /// Counts from 1.
    number: u32,
    /// Whether the window is recent enough to change.
    moving: bool,
    pages: Pages,
    /// The page each id was on.
    page_of: HashMap<Arc<str>, usize>,
    /// Whether an id was on two pages.
    repeated: bool,
    /// Whether rows turned up among what earlier sweeps had reached.
    news: bool,
    /// The latest start on any page.
    reached: Option<Timestamp>,
    /// The latest start on any page of earlier sweeps; what starts later came since and is no sign of movement.
    earlier_reached: Option<Timestamp>,
    /// The first page, the last expected and the last with rows, as they read: what to compare with in the end.
    marks: Vec<(usize, Vec<Arc<str>>)>,
}

impl Sweep {
    fn new(window: Range, moving: bool) -> Self {
        Self {
            number: 1,
            moving,
            pages: Pages::new(window),
            page_of: HashMap::new(),
            repeated: false,
            news: false,
            reached: None,
            earlier_reached: None,
            marks: Vec::new(),
        }
    }

    /// The sweep after this one.
    fn next(self) -> Self {
        Self {
            number: self.number + 1,
            earlier_reached: self.reached.max(self.earlier_reached),
            ..Self::new(self.pages.window, false)
        }
    }

    fn note(&mut self, page: &Numbered) {
        let rows = &page.answered.value.conversations;
        for row in rows {
            let before = self.page_of.insert(Arc::clone(&row.id), page.number);
            self.repeated |= before.is_some_and(|before| before != page.number);
        }
        self.reached = self.reached.max(rows.iter().map(|row| row.start).max());
        if self.moving && !rows.is_empty() {
            let stays = |number| number == 1 || Some(number) == self.pages.asked_first;
            self.marks.retain(|(number, _)| stays(*number));
            self.marks.push((page.number, ids(rows)));
        }
    }
}

fn ids(rows: &[Conversation]) -> Vec<Arc<str>> {
    rows.iter().map(|row| Arc::clone(&row.id)).collect()
}

/// The pages of one window in order, asked for ahead of their turn.
struct Pages {
    window: Range,
    /// Pages read.
    read: usize,
    /// Pages asked for, up to this one.
    asked: usize,
    /// Pages to ask for, as far as known.
    wanted: usize,
    total_hits: usize,
    ended: bool,
    /// Asked for and not read, in order, without the one asked for out of turn.
    ahead: VecDeque<Asking<DetailsPage>>,
    /// The number of the page asked for out of turn.
    asked_first: Option<usize>,
    out_of_turn: Option<Asking<DetailsPage>>,
    /// The page asked for out of turn, until its turn comes.
    read_first: Option<Answered<DetailsPage>>,
}

struct Numbered {
    number: usize,
    answered: Answered<DetailsPage>,
}

impl Pages {
    fn new(window: Range) -> Self {
        Self {
            window,
            read: 0,
            asked: 1,
            wanted: 1,
            total_hits: 0,
            ended: false,
            ahead: VecDeque::new(),
            asked_first: None,
            out_of_turn: None,
            read_first: None,
        }
    }

    async fn next(&mut self, source: &Source) -> Result<Option<Numbered>, UpstreamError> {
        if self.ended {
            return Ok(None);
        }
        self.read_out_of_turn(source).await?;
        self.ask_ahead(source);
        let number = self.read + 1;
        let answered = if let Some(answered) = self.read_first.take_if(|_| self.asked_first == Some(number)) {
            answered
        } else {
            let asking = self.ahead.pop_front();
            asking.expect("the next page is always asked for").await?
        };
        self.judge(number, &answered)?;
        Ok(Some(Numbered { number, answered }))
    }

    /// Decides from a page whether it is the last, and how many there may be.
    fn judge(&mut self, number: usize, page: &Answered<DetailsPage>) -> Result<(), UpstreamError> {
        let rows = page.value.conversations.len();
        self.read = number;
        self.total_hits = page.value.total_hits.unwrap_or(self.total_hits);
        let estimate = pages_estimated(self.total_hits);
        if number == 1 && estimate > 1 {
            self.wanted = (estimate + 1).min(MOST_PAGES);
        }
        let last_by_count = rows < PAGE_SIZE && (number - 1) * PAGE_SIZE + rows >= self.total_hits;
        if rows == 0 || (number == self.wanted && last_by_count) {
            self.ended = true;
            self.ahead.clear();
            self.out_of_turn = None;
            self.read_first = None;
        } else if number == self.wanted {
            if number == MOST_PAGES {
                return Err(too_deep(page));
            }
            self.wanted = (estimate + 1).clamp(number + 1, MOST_PAGES);
        }
        Ok(())
    }

    /// Asks for the last page expected before all others but the first: compared with a reading at the end, it
    /// shows what moved in between.
    fn ask_for_the_last_first(&mut self, source: &Source) {
        let last = self.wanted.saturating_sub(1);
        if !self.ended && last > 2 {
            self.asked_first = Some(last);
            self.out_of_turn = Some(source.page(self.window, last));
        }
    }

    /// Waits for the page asked for out of turn: rows that moved before it was read would show on none of the marks
    /// if other pages were read earlier. Where the estimate was too high, the page before it takes its place.
    async fn read_out_of_turn(&mut self, source: &Source) -> Result<(), UpstreamError> {
        while let (Some(asking), Some(number)) = (self.out_of_turn.take(), self.asked_first) {
            let answered = asking.await?;
            if answered.value.conversations.is_empty() && number > 2 {
                self.asked_first = Some(number - 1);
                self.out_of_turn = Some(source.page(self.window, number - 1));
            } else {
                self.read_first = Some(answered);
            }
        }
        Ok(())
    }

    fn ask_ahead(&mut self, source: &Source) {
        while self.asked < self.wanted && self.ahead.len() < source.client.page_concurrency() {
            self.asked += 1;
            if self.asked_first != Some(self.asked) {
                self.ahead.push_back(source.page(self.window, self.asked));
            }
        }
    }
}

/// Where pages come from.
struct Source {
    client: Client,
    filter: Arc<Filter>,
    errand: Errand,
    sent: Sent,
}

impl Source {
    fn customer(&self) -> Customer<'_> {
        Customer {
            client: &self.client,
            filter: &self.filter,
            errand: &self.errand,
            sent: &self.sent,
        }
    }

    fn page(&self, window: Range, number: usize) -> Asking<DetailsPage> {
        let call = wire::details(window, &self.filter, PAGE_SIZE, number);
        self.client.start(call, &self.errand, &self.sent, wire::read_details)
    }

    fn is_moving(&self, window: Range) -> bool {
        window.end > self.client.now().saturating_sub(MOVING).unwrap_or(Timestamp::MIN)
    }

    /// Reads the marks of a sweep again. Rows may have been added after what was there; any other change is movement.
    async fn reads_differently(&self, sweep: &Sweep) -> Result<bool, UpstreamError> {
        if sweep.pages.read < 2 {
            return Ok(false);
        }
        let marks = sweep.marks.iter();
        let again = try_join_all(marks.map(|(number, _)| self.page(sweep.pages.window, *number))).await?;
        let mut pairs = sweep.marks.iter().zip(&again);
        Ok(pairs.any(|((_, before), now)| !ids(&now.value.conversations).starts_with(before)))
    }
}

fn too_deep(page: &Answered<DetailsPage>) -> UpstreamError {
    let hits = page.value.total_hits.unwrap_or(0).max(MOST_PAGES * PAGE_SIZE);
    UpstreamError::Rejected {
        too_wide: false,
        reason: format!(
            "about {hits} conversations match within a day or a window that cannot be cut further, and it lets nobody \
             read past {}; narrow the filter",
            MOST_PAGES * PAGE_SIZE
        ),
        told: Told::default(),
    }
}

/// What about falls on that part of a window.
fn part(of: usize, part: Range, window: Range) -> usize {
    let days = |range: Range| usize::try_from(range.duration().as_secs() / DAY_SECONDS).unwrap_or(0);
    of * days(part) / days(window).max(1)
}

fn pages_estimated(total_hits: usize) -> usize {
    total_hits.div_ceil(PAGE_SIZE)
}

/// The whole UTC days a range touches, cut into windows of at most so many.
fn windows(range: Range, longest: i64) -> VecDeque<Range> {
    let first = range.start.as_second().div_euclid(DAY_SECONDS);
    let last = (range.end.as_nanosecond() - 1).div_euclid(i128::from(DAY_SECONDS) * 1_000_000_000);
    let past = i64::try_from(last).expect("a day number is small") + 1;
    (first..past)
        .step_by(usize::try_from(longest).expect("a small number"))
        .map(|day| days(day, past.min(day + longest)))
        .collect()
}

/// A window of several days as two, cut at a UTC midnight.
fn halves(window: Range) -> Option<(Range, Range)> {
    let first = window.start.as_second().div_euclid(DAY_SECONDS);
    let past = window.end.as_second().div_euclid(DAY_SECONDS);
    let middle = first + (past - first) / 2;
    (middle > first).then(|| (days(first, middle), days(middle, past)))
}

/// The range from one day to before another, as days since 1970.
fn days(first: i64, past: i64) -> Range {
    let midnight = |day: i64, out_of_range| Timestamp::from_second(day * DAY_SECONDS).unwrap_or(out_of_range);
    Range {
        start: midnight(first, Timestamp::MIN),
        end: midnight(past, Timestamp::MAX),
    }
}

/// Ids that have come: a window may have hundreds of thousands, and nearly all of them are UUIDs, which are numbers.
#[derive(Default)]
struct Ids {
    numbers: HashSet<u128>,
    others: HashSet<Arc<str>>,
}

impl Ids {
    /// Whether it is new.
    fn insert(&mut self, id: &Arc<str>) -> bool {
        const HYPHENATED: usize = 36;
        // Only what is written in one way may be taken for its number.
        let is_usual = id.len() == HYPHENATED && !id.contains(|char: char| char.is_ascii_uppercase());
        match Uuid::try_parse(id) {
            Ok(number) if is_usual => self.numbers.insert(number.as_u128()),
            _ => self.others.insert(Arc::clone(id)),
        }
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> Range {
        Range {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
        }
    }

    #[test]
    fn ids_are_the_same_if_they_are_written_the_same() {
        let mut ids = Ids::default();
        for (id, is_new) in [
            ("7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11", true),
            ("7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c11", false),
            ("7a0c5a3e-0a5c-4e0d-9d3f-2f8f2f6f1c12", true),
            ("7A0C5A3E-0A5C-4E0D-9D3F-2F8F2F6F1C11", true),
            ("7a0c5a3e0a5c4e0d9d3f2f8f2f6f1c11", true),
            ("c-1", true),
            ("c-1", false),
        ] {
            assert_eq!(ids.insert(&Arc::from(id)), is_new, "{id}");
        }
        ids.clear();
        assert!(ids.insert(&Arc::from("c-1")));
    }

    #[test]
    fn windows_are_whole_utc_days_that_cover_the_range_and_never_overlap() {
        for (start, end, expected) in [
            (
                "2026-03-02T10:00:00Z",
                "2026-03-02T11:00:00Z",
                &["2026-03-02", "2026-03-03"][..],
            ),
            (
                "2026-03-02T00:00:00Z",
                "2026-03-03T00:00:00Z",
                &["2026-03-02", "2026-03-03"],
            ),
            (
                "2026-03-02T00:00:00Z",
                "2026-03-03T00:00:00.001Z",
                &["2026-03-02", "2026-03-04"],
            ),
            (
                "2026-03-01T23:00:00-01:00",
                "2026-03-02T05:00:00Z",
                &["2026-03-02", "2026-03-03"],
            ),
            (
                "2026-01-01T00:00:00Z",
                "2026-02-01T00:00:00Z",
                &["2026-01-01", "2026-02-01"],
            ),
            (
                "2026-01-01T12:00:00Z",
                "2026-03-10T12:00:00Z",
                &["2026-01-01", "2026-02-01", "2026-03-04", "2026-03-11"],
            ),
            (
                "1969-12-31T12:00:00Z",
                "1970-01-01T12:00:00Z",
                &["1969-12-31", "1970-01-02"],
            ),
        ] {
            let edges: Vec<Timestamp> = expected
                .iter()
                .map(|day| format!("{day}T00:00:00Z").parse().unwrap())
                .collect();
            let expected: Vec<Range> = edges
                .windows(2)
                .map(|edge| Range {
                    start: edge[0],
                    end: edge[1],
                })
                .collect();
            assert_eq!(
                Vec::from(windows(range(start, end), WINDOW_DAYS)),
                expected,
                "{start}/{end}"
            );
        }
    }

    #[test]
    fn halves_meet_at_a_midnight_and_a_day_has_none() {
        let midnight = |day| format!("2026-03-{day:02}T00:00:00Z");
        for (first, middle, past) in [(1, 2, 3), (1, 2, 4), (1, 16, 32)] {
            let past = if past == 32 {
                "2026-04-01T00:00:00Z".to_owned()
            } else {
                midnight(past)
            };
            let expected = (
                range(&midnight(first), &midnight(middle)),
                range(&midnight(middle), &past),
            );
            assert_eq!(halves(range(&midnight(first), &past)), Some(expected));
        }
        assert_eq!(halves(range(&midnight(1), &midnight(2))), None);
    }
}
