//! How long a connection may keep the service waiting: for its first word, for the rest of a head, between two
//! requests, for taking what it asked for, and for leaving.
//!
//! [`Watched`] and [`UnderWay`] note what happens on a connection, [`Seen::verdict`] says what follows from it, and
//! when to look again. Of the protocol layer's own limits only those on HTTP/2's pings are used: its time for a head
//! runs between requests too, where a balancer that keeps connections open is no slow caller.
//!
//! How long a request's body may take is not decided here but in `limits`, which knows the request.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Bytes, http::Version};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// For a head, from its first byte; for the first one, from when the connection was accepted.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// For the first head of a connection beyond those that are served.
pub(super) const HEAD_IN_A_CROWD: Duration = Duration::from_secs(2);
/// Between an answer and the next request. Longer than the minute that balancers keep unused connections to us:
/// whoever closes first must not be the one who does not know what is on its way.
pub(super) const IDLE: Duration = Duration::from_secs(75);
/// For taking anything at all of what is waiting to be sent.
pub(super) const TAKING: Duration = Duration::from_secs(30);
/// For ending the connection when nothing is asked on it, once it has been told to.
const LEAVING: Duration = Duration::from_secs(1);
/// The same where an answer may still be on its way, from the last that was sent of it: HTTP/2 holds back what its
/// reader has no window for.
const LEAVING_WITH_AN_ANSWER: Duration = Duration::from_secs(10);
/// Writes up to this size are HTTP/2's own: pings, acknowledgements, farewells.
const SMALL_TALK_BYTES: usize = 64;

/// What was seen of a connection so far.
pub(super) struct Seen(Mutex<State>);

#[derive(Clone, Debug)]
struct State {
    /// Whether the connection is one too many.
    in_a_crowd: bool,
    /// What it has asked by; in HTTP/2 a byte that comes in need not begin a head.
    spoken: Option<Version>,
    /// Requests whose answer has not been handed on to its end.
    under_way: usize,
    /// When the head being read began; `None` between requests.
    head_since: Option<Instant>,
    /// Whether some of that head has come in.
    is_asking: bool,
    /// When last something of an answer was sent, or a request ended.
    quiet_since: Instant,
    /// Since when nothing is taken of what is waiting to be sent.
    stuck_since: Option<Instant>,
    /// Whether it shall end once what is under way is answered, and be told now.
    retires: bool,
    /// When it was told to end.
    leaves_since: Option<Instant>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; look again then, or when something happens on it.
    Until(Instant),
    /// It is told to end when what is under way is answered.
    Retire,
    /// It is cut off, for this reason.
    Cut(&'static str),
}

impl Seen {
    /// Of a connection accepted at that time.
    pub(super) fn new(accepted: Instant, in_a_crowd: bool) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            in_a_crowd,
            spoken: None,
            under_way: 0,
            head_since: Some(accepted),
            is_asking: false,
            quiet_since: accepted,
            stuck_since: None,
            retires: false,
            leaves_since: None,
        })))
    }

    /// What becomes of the connection, by what was seen of it.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        self.state().verdict(now)
    }

    /// It shall end once what is under way is answered.
    pub(super) fn retire(&self) {
        self.state().retires = true;
    }

    /// It has been told to end.
    pub(super) fn leaves(&self, now: Instant) {
        self.state().leaves_since.get_or_insert(now);
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn is_asking(&self) -> bool {
        self.state().is_asking
    }

    /// A request has come in; it is under way until what is returned is dropped.
    pub(super) fn asked(self: &Arc<Self>, version: Version) -> UnderWay {
        let mut state = self.state();
        state.spoken = Some(version);
        state.under_way += 1;
        state.head_since = None;
        state.is_asking = false;
        UnderWay(Arc::clone(self))
    }

    fn answered(&self, now: Instant) {
        let mut state = self.state();
        state.under_way -= 1;
        state.quiet_since = now;
    }

    fn read(&self, now: Instant) {
        let mut state = self.state();
        if state.under_way == 0 && state.spoken != Some(Version::HTTP_2) {
            state.head_since.get_or_insert(now);
            state.is_asking = true;
        }
    }

    fn wrote(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        if state.stuck_since.is_some() {
            state.stuck_since = Some(now);
        }
        if bytes > SMALL_TALK_BYTES {
            state.quiet_since = now;
        }
    }

    fn stuck(&self, now: Instant) {
        self.state().stuck_since.get_or_insert(now);
    }

    fn all_sent(&self) {
        self.state().stuck_since = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn verdict(&self, now: Instant) -> Verdict {
        let mut due = Due {
            now,
            // Whatever shortens the wait happens on the connection, and so is noticed.
            first: now + IDLE,
        };
        if let Some(since) = self.stuck_since
            && due.has_come(since + TAKING)
        {
            return Verdict::Cut("nothing of the answer is taken");
        }
        if self.retires && self.leaves_since.is_none() {
            return Verdict::Retire;
        }
        if self.under_way > 0 {
            return Verdict::Until(due.first);
        }
        if let Some(since) = self.head_since {
            let patience = if self.in_a_crowd { HEAD_IN_A_CROWD } else { HEAD };
            if due.has_come(since + patience) {
                return Verdict::Cut("no complete head");
            }
        } else if let Some(since) = self.leaves_since {
            let at = (since + LEAVING).max(self.quiet_since + LEAVING_WITH_AN_ANSWER);
            if self.stuck_since.is_none() && due.has_come(at) {
                return Verdict::Cut("told to end and did not");
            }
        } else if self.in_a_crowd || due.has_come(self.quiet_since + IDLE) {
            return Verdict::Retire;
        }
        Verdict::Until(due.first)
    }
}

/// The first of the instants asked about that has not come.
struct Due {
    now: Instant,
    first: Instant,
}

impl Due {
    fn has_come(&mut self, at: Instant) -> bool {
        self.first = self.first.min(at);
        at <= self.now
    }
}

/// A request is under way until this is dropped.
pub(super) struct UnderWay(Arc<Seen>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
    }
}

/// A connection's bytes, seen going by.
pub(super) struct Watched<S> {
    stream: S,
    seen: Arc<Seen>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, seen }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.seen.wrote(*bytes, Instant::now()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.seen.stuck(Instant::now()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.seen.read(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The protocol layer flushes when it has nothing more to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        match flushed {
            Poll::Ready(_) => self.seen.all_sent(),
            Poll::Pending => self.seen.stuck(Instant::now()),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        if shut.is_pending() {
            self.seen.stuck(Instant::now());
        }
        shut
    }
}

/// An answer's body, under way to its end.
pub(super) struct Answer {
    body: axum::body::Body,
    _under_way: UnderWay,
}

impl Answer {
    pub(super) fn new(body: axum::body::Body, under_way: UnderWay) -> Self {
        Self {
            body,
            _under_way: under_way,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change<'a> = &'a dyn Fn(&mut State);

    #[tokio::test(start_paused = true)]
    async fn what_is_seen_decides_how_long_is_waited() {
        use Verdict::{Cut, Retire, Until};
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let some = |seconds: u64| Some(at(seconds));
        let nothing = |_: &mut State| {};
        let head: Change = &|state| state.head_since = some(50);
        let busy: Change = &|state| state.under_way = 1;
        let stuck: Change = &|state| state.stuck_since = some(100);
        let crowd: Change = &|state| state.in_a_crowd = true;
        let retires: Change = &|state| state.retires = true;
        let told: Change = &|state| state.leaves_since = some(20);
        let told_late: Change = &|state| state.leaves_since = some(101);
        for (what, changes, now, expected) in [
            ("between requests", [&nothing as Change, &nothing], 74, Until(at(75))),
            ("too long between requests", [&nothing, &nothing], 75, Retire),
            ("a head that comes in", [head, &nothing], 59, Until(at(60))),
            ("a head that does not", [head, &nothing], 60, Cut("no complete head")),
            ("a head, and told to end", [head, told], 59, Until(at(60))),
            ("a head in a crowd", [head, crowd], 52, Cut("no complete head")),
            ("being answered", [busy, &nothing], 1000, Until(at(1075))),
            ("being answered in a crowd", [busy, crowd], 1000, Until(at(1075))),
            ("being answered, and told to end", [busy, told], 1000, Until(at(1075))),
            ("being answered for the last time", [busy, retires], 1000, Retire),
            ("an answer being taken", [busy, stuck], 129, Until(at(130))),
            (
                "an answer nobody takes",
                [busy, stuck],
                130,
                Cut("nothing of the answer is taken"),
            ),
            ("its rest, and told to end", [stuck, told_late], 129, Until(at(130))),
            ("told to end", [told, &nothing], 20, Until(at(21))),
            ("told to end twice", [told, retires], 20, Until(at(21))),
            (
                "told to end and did not",
                [told, &nothing],
                21,
                Cut("told to end and did not"),
            ),
            ("answered in a crowd", [crowd, &nothing], 0, Retire),
        ] {
            let mut state = State {
                in_a_crowd: false,
                spoken: Some(Version::HTTP_11),
                under_way: 0,
                head_since: None,
                is_asking: false,
                quiet_since: start,
                stuck_since: None,
                retires: false,
                leaves_since: None,
            };
            for change in changes {
                change(&mut state);
            }
            assert_eq!(state.verdict(at(now)), expected, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_do_not_keep_a_connection_and_answers_do() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let seen = Seen::new(start, false);
        assert_eq!(seen.verdict(at(0)), Verdict::Until(at(10)), "the first head");
        let request = seen.asked(Version::HTTP_2);
        drop(request);
        seen.read(at(40));
        seen.wrote(17, at(40));
        assert_eq!(seen.verdict(at(40)), Verdict::Until(at(75)));
        seen.wrote(1000, at(50));
        assert_eq!(seen.verdict(at(75)), Verdict::Until(at(125)));
        seen.stuck(at(60));
        seen.wrote(10, at(70));
        assert_eq!(seen.verdict(at(75)), Verdict::Until(at(100)), "it took something");
        seen.all_sent();
        assert_eq!(seen.verdict(at(125)), Verdict::Retire);
        seen.leaves(at(52));
        assert_eq!(
            seen.verdict(at(53)),
            Verdict::Until(at(60)),
            "an answer may be on its way"
        );
    }
}
