//! What one of several replicas may send: what it has promised the others to keep to, what it has leave for, and its even
//! share where nothing of that holds. Pure.
//!
//! | how it stands | requests a window it may send by itself | leases |
//! | --- | --- | --- |
//! | the others were not asked yet, or have answered and took no promise yet | none | |
//! | it has promised something that holds | what it has promised: a quarter of its even share, or what it had sent | as many as there are left, one send each |
//! | no promise holds any more, and the others cannot be reached, or Redis has only just begun to count | its even share: the limit by the number of replicas | none |
//!
//! A promise holds until the instant it was made for, whether or not the others can be reached: they count on it. It is
//! made anew every second while they can, and only right after they were heard: whether one was taken that was not
//! answered nobody knows. Leases are taken when somebody waits, and spent first, as they are good for a
//! second only.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::WINDOW;
use crate::fleet::budget::{self as fleet, Ask, Leased};

/// For how long beyond a window a promise is made: so long after the last one was renewed, the others count on nothing.
const AHEAD: Duration = Duration::from_secs(10);

/// Of the leases of a window, those that come free within a third of it are counted on: who waits has that much time, too.
const SOON: usize = 3;

/// How a replica stands with the others.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// How many there are at most, or were when there were more.
    replicas: usize,
    /// How many it takes from the setting.
    set: usize,
    /// Whether its even share is its own where no promise holds.
    has_share: bool,
    /// Whether the others answered when they were asked last.
    was_heard: bool,
    promise: Option<Promise>,
    /// What it had promised before it asked last.
    before: Option<Promise>,
    /// When it sent by itself in the last window, the oldest first.
    own: VecDeque<Instant>,
    /// The end of each lease that is not spent, the first to end first.
    leases: VecDeque<Instant>,
    /// Leases the others had left when they were asked last, and their part of those that come free soon.
    expected: usize,
    /// Asking before this is of no use.
    ask_again: Option<Instant>,
    /// The fleet's clock, in milliseconds, and the latest instant it was then.
    clock: Option<(i64, Instant)>,
}

/// At most so many requests a window are sent by itself, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    most: usize,
    until: Instant,
}

impl Allowance {
    pub(super) fn new(replicas: usize) -> Self {
        let replicas = replicas.max(1);
        Self {
            replicas,
            set: replicas,
            has_share: false,
            was_heard: false,
            promise: None,
            before: None,
            own: VecDeque::new(),
            leases: VecDeque::new(),
            expected: 0,
            ask_again: None,
            clock: None,
        }
    }

    /// How many sends there is leave for right now.
    pub(super) fn left(&self, limit: usize, now: Instant) -> usize {
        let leases = self.leases.iter().filter(|end| now < **end).count();
        leases + self.own_most(limit, now).saturating_sub(self.own_used(now))
    }

    /// How many requests its window may hold, of which `used` are sent, if those who wait for leases get them.
    pub(super) fn window(&self, limit: usize, used: usize, now: Instant) -> usize {
        limit.min(used + self.left(limit, now) + self.expected)
    }

    /// Takes leave for one send, if there is any.
    pub(super) fn spend(&mut self, limit: usize, now: Instant) -> bool {
        self.forget(now);
        if self.leases.pop_front().is_some() {
            return true;
        }
        let has_own = self.own.len() < self.own_most(limit, now);
        if has_own {
            self.own.push_back(now);
        }
        has_own
    }

    /// When one more may be sent without asking, if that is known.
    pub(super) fn frees_at(&self) -> Option<Instant> {
        self.own.front().map(|sent| *sent + WINDOW)
    }

    /// When it makes sense to ask for leases; an instant that has passed is now.
    pub(super) fn asks_at(&self, now: Instant) -> Instant {
        self.ask_again.unwrap_or(now)
    }

    /// What to ask of the others. From now on it keeps to what it promises thereby, heard or not.
    pub(super) fn ask(&mut self, limit: usize, wanted: usize, gate: Duration, now: Instant) -> Ask {
        self.forget(now);
        let promise = (self.share(limit) / 4).max(self.own.len());
        self.before = self.promise;
        let clock = self.clock.filter(|_| self.was_heard);
        let until = clock.map_or(0, |(clock, at)| {
            let ahead = now.saturating_duration_since(at) + fleet::WINDOW + AHEAD;
            // Perhaps only one of the two is heard.
            let most = self.holding(now).map_or(promise, |held| held.most.min(promise));
            let until = now + fleet::WINDOW + AHEAD;
            self.promise = Some(Promise { most, until });
            clock + i64::try_from(ahead.as_millis()).unwrap_or_default()
        });
        Ask {
            limit,
            replicas: self.set,
            promise,
            until,
            wanted,
            gate,
        }
    }

    /// What the others say to what was asked at `asked_at`; nothing if they cannot be reached.
    pub(super) fn heard(&mut self, ask: &Ask, told: Option<&Leased>, asked_at: Instant, now: Instant) {
        self.was_heard = told.is_some();
        let Some(told) = told else {
            self.has_share = true;
            self.expected = 0;
            self.ask_again = Some(now + Duration::from_secs(1));
            return;
        };
        self.clock = Some((told.now, now));
        self.replicas = self.set.max(told.replicas);
        if let Some(most) = told.promised {
            let ends_in = Duration::from_millis(u64::try_from(ask.until - told.now).unwrap_or_default());
            self.promise = Some(Promise {
                most,
                until: now + ends_in,
            });
            self.has_share = false;
        } else if ask.until > 0 {
            // Nothing is leased yet, as nobody knows what was sent before.
            self.has_share = true;
            self.promise = self.before;
        }
        self.leases
            .extend(std::iter::repeat_n(asked_at + fleet::LEASE, told.granted));
        self.expected = told.left + told.taken / SOON / self.replicas;
        let is_short = told.granted < ask.wanted;
        // Of what only a promise or a share gives back it is not known when.
        let frees_in = Some(told.frees_in).filter(|frees_in| !frees_in.is_zero());
        let pause = frees_in.unwrap_or(Duration::from_millis(250));
        self.ask_again = is_short.then(|| now + pause.clamp(Duration::from_millis(20), Duration::from_secs(1)));
    }

    fn forget(&mut self, now: Instant) {
        while self.own.pop_front_if(|sent| *sent + WINDOW <= now).is_some() {}
        while self.leases.pop_front_if(|end| *end <= now).is_some() {}
    }

    fn own_used(&self, now: Instant) -> usize {
        self.own.iter().filter(|sent| **sent + WINDOW > now).count()
    }

    fn own_most(&self, limit: usize, now: Instant) -> usize {
        match self.holding(now) {
            Some(promise) => promise.most,
            None if self.has_share => self.share(limit),
            None => 0,
        }
    }

    fn holding(&self, now: Instant) -> Option<Promise> {
        self.promise.filter(|promise| now < promise.until)
    }

    fn share(&self, limit: usize) -> usize {
        limit / self.replicas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 300;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A replica of three, and the fleet's clock.
    struct Replica {
        allowance: Allowance,
        start: Instant,
    }

    impl Replica {
        fn new() -> Self {
            Self {
                allowance: Allowance::new(3),
                start: Instant::now(),
            }
        }

        /// Asks for so many, and hears that so many were granted and are left.
        fn asks(&mut self, at: u64, wanted: usize, told: Option<(usize, usize)>) -> Ask {
            let now = self.start + seconds(at);
            let ask = self.allowance.ask(LIMIT, wanted, Duration::ZERO, now);
            let leased = told.map(|(granted, left)| Leased {
                now: 1_000 * i64::try_from(at).unwrap(),
                promised: (ask.until > 0).then_some(ask.promise),
                granted,
                left,
                taken: 0,
                frees_in: seconds(3),
                gate: Duration::ZERO,
                replicas: 3,
            });
            self.allowance.heard(&ask, leased.as_ref(), now, now);
            ask
        }

        /// The fleet counts no promise yet.
        fn is_told_to_wait(&mut self, at: u64) {
            let now = self.start + seconds(at);
            let ask = self.allowance.ask(LIMIT, 0, Duration::ZERO, now);
            let leased = Leased {
                now: 1_000 * i64::try_from(at).unwrap(),
                promised: None,
                granted: 0,
                left: 0,
                taken: 0,
                frees_in: seconds(60),
                gate: Duration::ZERO,
                replicas: 0,
            };
            self.allowance.heard(&ask, Some(&leased), now, now);
        }

        fn left(&self, at: u64) -> usize {
            self.allowance.left(LIMIT, self.start + seconds(at))
        }

        fn spends(&mut self, at: u64, count: usize) -> usize {
            let now = self.start + seconds(at);
            (0..count).filter(|_| self.allowance.spend(LIMIT, now)).count()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_asked_sends_nothing_and_who_is_alone_its_even_share() {
        let mut replica = Replica::new();
        assert_eq!(replica.left(0), 0);
        replica.asks(0, 1, None);
        assert_eq!(replica.left(0), 100);
        assert_eq!(replica.spends(0, 150), 100);
        assert_eq!((replica.left(60), replica.left(61)), (0, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_promise_is_kept_to_until_it_ends_whoever_is_heard() {
        let mut replica = Replica::new();
        let first = replica.asks(0, 0, Some((0, 200)));
        assert_eq!((first.until, replica.left(0)), (0, 0), "the clock is not known yet");
        let second = replica.asks(1, 0, Some((0, 200)));
        assert_eq!((second.promise, second.until, replica.left(1)), (25, 73_000, 25));
        // Nobody is heard any more.
        for at in 2..73 {
            assert_eq!(replica.asks(at, 0, None).until > 0, at == 2, "{at}");
        }
        // Whether the promise made at 2 was taken is not known: it holds until 74.
        assert_eq!((replica.left(73), replica.left(74)), (25, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_by_itself_is_promised_too() {
        let mut replica = Replica::new();
        replica.asks(0, 0, None);
        assert_eq!(replica.spends(0, 80), 80);
        replica.asks(1, 0, Some((0, 0)));
        let promises = [2, 30, 61, 62].map(|at| replica.asks(at, 0, Some((0, 0))).promise);
        assert_eq!(promises, [80, 80, 25, 25]);
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_spent_first_and_last_a_second() {
        let mut replica = Replica::new();
        replica.asks(0, 0, Some((0, 200)));
        replica.asks(0, 0, Some((0, 200)));
        replica.asks(5, 10, Some((10, 190)));
        assert_eq!((replica.left(5), replica.spends(5, 4), replica.left(5)), (35, 4, 31));
        assert_eq!(replica.left(6), 25, "the others have ended");
        assert_eq!(replica.spends(6, 100), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn until_leases_are_given_everybody_has_an_even_share_or_what_was_promised_before() {
        let mut fresh = Replica::new();
        fresh.is_told_to_wait(0);
        fresh.is_told_to_wait(1);
        assert_eq!(fresh.left(1), 100);

        let mut bound = Replica::new();
        bound.asks(0, 0, Some((0, 200)));
        bound.asks(1, 0, Some((0, 200)));
        bound.is_told_to_wait(5);
        assert_eq!((bound.left(5), bound.left(72), bound.left(73)), (25, 25, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_let_hope_for_what_others_have_left() {
        let mut replica = Replica::new();
        replica.asks(0, 0, Some((0, 200)));
        replica.asks(1, 0, Some((0, 200)));
        let now = replica.start + seconds(1);
        assert_eq!(replica.allowance.window(LIMIT, 10, now), 235);
        assert_eq!(replica.allowance.asks_at(now), now);
        replica.asks(1, 4, Some((1, 0)));
        assert_eq!(replica.allowance.window(LIMIT, 10, now), 36);
        assert_eq!(
            replica.allowance.asks_at(now),
            now + seconds(1),
            "some were not granted"
        );
        replica.asks(2, 4, None);
        assert_eq!(replica.allowance.window(LIMIT, 300, now), LIMIT);
    }
}
