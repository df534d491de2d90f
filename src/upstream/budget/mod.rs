//! The request budget: how often, and how many at once, the upstream may be asked, and whose turn it is.
//!
//! At most so many requests are sent in any stretch of [`WINDOW`], whichever way the upstream lays its minutes: the
//! instants of past sends are kept, and the next one waits until enough of them are old. (A bucket that refills would
//! let a full bucket plus a minute's refill into one fixed minute.) How many, `limit` says; who is next, `schedule`
//! says; here are the waiting, the clock and the lock. A 429 closes a gate in front of everybody for what it asked.
//! Whoever cannot be served before their deadline is told at once when to come back.
//!
//! Of several replicas, each asks the others for leave to send (`allowance` says what it may send, [`Fleet`] asks), and
//! hears from them of a gate that is closed.

mod allowance;
mod limit;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

pub use self::limit::LimitSource;
use self::{
    allowance::Allowance,
    limit::Limit,
    schedule::{Next, Schedule, Waiter},
};
use super::{Class, Errand, Told, UpstreamError, meters};
use crate::fleet::Fleet;

/// The upstream counts by the minute; a second more covers the way there.
pub(super) const WINDOW: Duration = Duration::from_secs(61);

/// How often other replicas are told of this one, and heard of.
const IN_TOUCH: Duration = Duration::from_secs(1);
/// A gate that others tell of is another's if it is closed for so much longer than is known: what one tells comes back.
const GATE_SLACK: Duration = Duration::from_millis(100);

/// One for the whole service.
pub(super) struct Budget(Arc<Shared>);

struct Shared {
    /// Requests in flight, all classes together.
    concurrency: usize,
    state: Mutex<State>,
    /// Something changed for whoever keeps the time.
    changed: Notify,
    fleet: Fleet,
    /// What is asked of the fleet is asked one after the other.
    asking: tokio::sync::Mutex<()>,
}

struct State {
    limit: Limit,
    schedule: Schedule,
    in_flight: [usize; Class::ALL.len()],
    /// Where those who wait are told, by their number.
    waiting: HashMap<u64, oneshot::Sender<Verdict>>,
    next_ticket: u64,
    /// Whether a task keeps the time for those who wait.
    is_time_kept: bool,
}

/// What has to happen before there are more turns.
enum Pending {
    /// It has to be that late.
    At(Instant),
    /// Other replicas have to be asked for leave for so many.
    Leave(usize),
    /// Something else.
    Something,
}

/// A turn, or how long until there would be one.
type Verdict = Result<(), Duration>;

/// Leave to send one request. Nothing is spent yet; dropped, it goes to the next.
pub(super) struct Turn(Option<Leave>);

/// A request in flight; dropping it makes room for the next.
pub(super) struct InFlight {
    shared: Arc<Shared>,
    class: Class,
}

struct Leave {
    shared: Arc<Shared>,
    class: Class,
    caller: Arc<str>,
}

/// How the budget stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Requests a window may hold now.
    pub limit: usize,
    /// Requests that are allowed: more than `limit` while others spend of the same quota.
    pub allowed: usize,
    /// Who says so.
    pub source: LimitSource,
    /// Requests that could be sent right now.
    pub left: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// The most at once.
    pub concurrency: usize,
    /// How much longer the upstream asked us to stay away; zero when it did not.
    pub gate_closed_for: Duration,
    /// By class, the most urgent first.
    pub classes: [ClassQuota; Class::ALL.len()],
    /// By caller: everybody who sent in the last minute, or waits.
    pub callers: BTreeMap<Arc<str>, Use>,
}

/// How a class stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassQuota {
    /// Which.
    pub class: Class,
    /// Of the limit, what is kept for it.
    pub share: usize,
    /// What it used and wants.
    pub usage: Use,
}

/// What somebody used and wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Requests sent in the last minute.
    pub last_minute: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
}

impl Budget {
    /// `replicas` is how many share the limit at most, where there is a fleet.
    pub(super) fn new(
        requests_per_minute: u32,
        source: LimitSource,
        concurrency: usize,
        fleet: Fleet,
        replicas: usize,
    ) -> Self {
        let now = Instant::now();
        let mut limit = Limit::new(requests_per_minute, source, now);
        let allowance = fleet.is_used().then(|| Allowance::new(replicas));
        Self(Arc::new(Shared {
            concurrency: concurrency.max(1),
            state: Mutex::new(State {
                schedule: Schedule::new(limit.in_force(now), allowance, now),
                limit,
                in_flight: [0; Class::ALL.len()],
                waiting: HashMap::new(),
                next_ticket: 0,
                is_time_kept: false,
            }),
            changed: Notify::new(),
            fleet,
            asking: tokio::sync::Mutex::default(),
        }))
    }

    /// Stays in touch with other replicas, for as long as it is let.
    pub(super) async fn stay_in_touch(&self) {
        let mut moments = interval(IN_TOUCH);
        moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.fleet.is_used() {
            moments.tick().await;
            self.0.ask_fleet(0).await;
        }
    }

    /// Waits for a turn, or tells at once that none comes before the errand's deadline.
    pub(super) async fn turn(&self, errand: &Errand) -> Result<Turn, UpstreamError> {
        let arrived = Instant::now();
        let mut changes = errand.changes();
        let mut place = self.line_up(errand)?;
        loop {
            tokio::select! {
                biased;
                verdict = &mut place.told => match verdict {
                    Ok(Ok(())) => break,
                    Ok(Err(retry_after)) => return Err(spent(retry_after)),
                    Err(_) => return Err(UpstreamError::Timeout(Told::default())),
                },
                () = changes.next() => place.change(errand),
                () = sleep_until(errand.deadline()) => {
                    if errand.deadline() <= Instant::now() {
                        return Err(place.too_late());
                    }
                }
            }
        }
        let leave = place.take();
        metrics::histogram!(meters::BUDGET_WAIT, "class" => leave.class.name()).record(arrived.elapsed());
        Ok(Turn(Some(leave)))
    }

    /// Nobody sends for this long from now; a longer closure in force stands.
    pub(super) fn close_gate_for(&self, pause: Duration) {
        let now = Instant::now();
        let mut state = self.0.lock();
        if state.schedule.close_gate(now + pause) {
            state.tell_those_too_late(now);
            self.0.settle(&mut state, now);
        }
    }

    /// The upstream refused a request sent at `sent_at` for the quota of this service, and perhaps named what is allowed a
    /// minute.
    pub(super) fn refused(&self, sent_at: Instant, named: Option<u32>) {
        let now = Instant::now();
        let mut state = self.0.lock();
        if let Some(allowed) = named {
            state.limit.named(allowed, now);
        }
        // What is in flight is not answered, and may be refused as well.
        let unanswered = 1 + state.in_flight.iter().sum::<usize>();
        let answered = state.schedule.sends().count().saturating_sub(unanswered);
        if state.limit.refused(sent_at, answered, now) {
            let limit = state.limit.in_force(now);
            tracing::warn!(limit, "others spend of the same quota: asking less often");
        }
        state.tell_those_too_late(now);
        self.0.settle(&mut state, now);
    }

    /// The organisation's own figure.
    pub(super) fn learn(&self, requests_per_minute: u32) {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.limit.learn(requests_per_minute, now);
        self.0.settle(&mut state, now);
    }

    pub(super) fn quota(&self) -> Quota {
        const MINUTE: Duration = Duration::from_mins(1);
        let now = Instant::now();
        let mut state = self.0.lock();
        let (allowed, source) = state.limit.allowed();
        state.heed_limit(now);
        let limit = state.limit.in_force(now);
        let left = state.schedule.left(now);
        let mut classes = Class::ALL.map(|class| ClassQuota {
            class,
            share: schedule::share(class, limit),
            usage: Use::default(),
        });
        let mut callers: BTreeMap<Arc<str>, Use> = BTreeMap::new();
        for sent in state.schedule.sends().filter(|sent| sent.at + MINUTE > now) {
            classes[sent.class as usize].usage.last_minute += 1;
            callers.entry(Arc::clone(&sent.caller)).or_default().last_minute += 1;
        }
        for class in &mut classes {
            for (caller, waiting) in state.schedule.waiting_in(class.class) {
                class.usage.waiting += waiting;
                callers.entry(Arc::clone(caller)).or_default().waiting += waiting;
            }
        }
        Quota {
            limit,
            allowed,
            source,
            left,
            in_flight: state.in_flight.iter().sum(),
            concurrency: self.0.concurrency,
            gate_closed_for: state.schedule.gate().saturating_duration_since(now),
            classes,
            callers,
        }
    }

    /// Takes a place in the line, or tells that it is of no use.
    fn line_up(&self, errand: &Errand) -> Result<Place, UpstreamError> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let waiter = Waiter {
            ticket: state.next_ticket,
            class: errand.class(),
            caller: Arc::clone(errand.caller()),
            deadline: errand.deadline(),
        };
        if now >= waiter.deadline {
            return Err(UpstreamError::Timeout(Told::default()));
        }
        state.next_ticket += 1;
        let (tell, told) = oneshot::channel();
        state.waiting.insert(waiter.ticket, tell);
        state.schedule.join(waiter.clone());
        self.0.settle(&mut state, now);
        if state.waiting.contains_key(&waiter.ticket) {
            // This one, or others before whom it goes.
            if !state.schedule.is_plentiful(waiter.class, now) {
                state.tell_those_too_late(now);
            }
            if !std::mem::replace(&mut state.is_time_kept, true) {
                tokio::spawn(Arc::clone(&self.0).keep_time());
            }
        }
        Ok(Place {
            shared: Arc::clone(&self.0),
            waiter,
            told,
            is_taken: false,
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the turns there are, and has the time kept for the next.
    fn settle(&self, state: &mut State, now: Instant) {
        self.give_turns(state, now);
        if state.schedule.waiting() > 0 {
            self.changed.notify_one();
        }
    }

    /// Gives the turns there are; what has to happen before there are more.
    fn give_turns(&self, state: &mut State, now: Instant) -> Pending {
        state.heed_limit(now);
        loop {
            match state.schedule.next(now, self.open(state.in_flight)) {
                Next::Turn(waiter) => {
                    state.in_flight[waiter.class as usize] += 1;
                    if let Some(tell) = state.waiting.remove(&waiter.ticket) {
                        // Whoever leaves says so under the lock: it is still there.
                        let _ = tell.send(Ok(()));
                    }
                }
                Next::At(at) => return Pending::At(at),
                Next::Nobody => return Pending::Something,
                Next::NoLeave(frees_at) => {
                    let places = self.concurrency.saturating_sub(state.in_flight.iter().sum());
                    // No more at once than others can do without for a while.
                    let most = places.min((state.limit.in_force(now) / 20).max(1));
                    let asks_at = state
                        .schedule
                        .allowance()
                        .map_or(now, |allowance| allowance.asks_at(now));
                    if now < asks_at {
                        let frees_at = frees_at.filter(|frees_at| now < *frees_at);
                        return Pending::At(frees_at.map_or(asks_at, |frees_at| asks_at.min(frees_at)));
                    }
                    let wanted = state.schedule.would_send(now, self.open(state.in_flight), most);
                    return Pending::Leave(wanted.max(1));
                }
            }
        }
    }

    /// Asks other replicas for leave to send so many requests, and takes note of what they say.
    async fn ask_fleet(&self, wanted: usize) {
        let _one_at_a_time = self.asking.lock().await;
        if self.ask_fleet_once(wanted).await {
            self.ask_fleet_once(0).await;
        }
    }

    /// Whether the fleet's clock is only known now, so that nothing was promised.
    async fn ask_fleet_once(&self, wanted: usize) -> bool {
        let asked_at = Instant::now();
        let ask = {
            let mut state = self.lock();
            let limit = state.limit.in_force(asked_at);
            let gate = state.schedule.gate().saturating_duration_since(asked_at);
            let Some(allowance) = state.schedule.allowance() else {
                return false;
            };
            allowance.ask(limit, wanted, gate, asked_at)
        };
        let told = self.fleet.lease(&ask).await;
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(allowance) = state.schedule.allowance() {
            allowance.heard(&ask, told.as_ref(), asked_at, now);
        }
        if let Some(told) = told
            && now + told.gate > state.schedule.gate() + GATE_SLACK
            && state.schedule.close_gate(now + told.gate)
        {
            tracing::warn!(wait_ms = told.gate.as_millis(), "another replica was asked to wait");
            state.tell_those_too_late(now);
        }
        self.settle(&mut state, now);
        told.is_some() && ask.until == 0
    }

    /// In which classes a request may be sent besides those in flight. A quarter of the places is kept for those who wait
    /// for an answer.
    fn open(&self, in_flight: [usize; Class::ALL.len()]) -> [bool; Class::ALL.len()] {
        let all: usize = in_flight.iter().sum();
        let unattended = all - in_flight[Class::Interactive as usize];
        let most = (self.concurrency - self.concurrency.div_ceil(4)).max(1);
        Class::ALL.map(|class| all < self.concurrency && (class == Class::Interactive || unattended < most))
    }

    /// Gives turns when their time has come, for as long as somebody waits.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                let next = self.give_turns(&mut state, Instant::now());
                if state.schedule.waiting() == 0 {
                    state.is_time_kept = false;
                    return;
                }
                next
            };
            match next {
                Pending::Leave(wanted) => self.ask_fleet(wanted).await,
                Pending::At(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                Pending::Something => self.changed.notified().await,
            }
        }
    }
}

impl State {
    fn heed_limit(&mut self, now: Instant) {
        let limit = self.limit.in_force(now);
        self.schedule.set_limit(limit, now);
    }

    /// When somebody in the line has their turn.
    fn turn_at(&self, waiter: &Waiter, now: Instant) -> Option<Instant> {
        if self.schedule.is_plentiful(waiter.class, now) {
            return Some(now);
        }
        let mut future = self.schedule.foresee(now);
        future.find_map(|(other, at)| (other.ticket == waiter.ticket).then_some(at))
    }

    /// Who cannot be served in time, or cannot any more, need not wait to hear of it.
    fn tell_those_too_late(&mut self, now: Instant) {
        self.heed_limit(now);
        let future = self.schedule.foresee(now);
        let late: Vec<_> = future.filter(|(waiter, at)| waiter.deadline <= *at).collect();
        for (waiter, at) in late {
            self.schedule.leave(waiter.ticket);
            if let Some(tell) = self.waiting.remove(&waiter.ticket) {
                let _ = tell.send(Err(at - now));
            }
        }
    }

    /// Leaves the line; whether it was still there.
    fn leave(&mut self, ticket: u64) -> bool {
        self.waiting.remove(&ticket);
        self.schedule.leave(ticket).is_some()
    }
}

fn spent(retry_after: Duration) -> UpstreamError {
    UpstreamError::Budget {
        retry_after,
        told: Told::default(),
    }
}

impl Turn {
    /// Spends one request of the budget: the caller sends now. `None` if the gate has closed since the turn was given, or
    /// the leave of other replicas has ended.
    pub(super) fn spend(mut self) -> Option<InFlight> {
        let now = Instant::now();
        let leave = self.0.as_ref()?;
        let mut state = leave.shared.lock();
        if now < state.schedule.gate() {
            return None;
        }
        if !state.schedule.spend(leave.class, &leave.caller, now) {
            return None;
        }
        drop(state);
        let leave = self.0.take()?;
        metrics::counter!(meters::SPENT, "class" => leave.class.name()).increment(1);
        Some(InFlight {
            shared: leave.shared,
            class: leave.class,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave.give_back();
        }
    }
}

impl Leave {
    fn give_back(self) {
        let mut state = self.shared.lock();
        state.schedule.give_back(self.class, &self.caller);
        state.in_flight[self.class as usize] -= 1;
        self.shared.settle(&mut state, Instant::now());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_flight[self.class as usize] -= 1;
        self.shared.settle(&mut state, Instant::now());
    }
}

/// A place in the line, until a turn has come of it.
struct Place {
    shared: Arc<Shared>,
    waiter: Waiter,
    told: oneshot::Receiver<Verdict>,
    is_taken: bool,
}

impl Place {
    /// Others have joined the errand. Whoever has their turn already keeps it as it is.
    fn change(&mut self, errand: &Errand) {
        let mut state = self.shared.lock();
        if state.schedule.leave(self.waiter.ticket).is_some() {
            self.waiter.class = errand.class();
            self.waiter.deadline = errand.deadline();
            state.schedule.join(self.waiter.clone());
            let now = Instant::now();
            self.shared.settle(&mut state, now);
            if !state.schedule.is_plentiful(self.waiter.class, now) {
                state.tell_those_too_late(now);
            }
        }
    }

    /// The turn that was told of.
    fn take(mut self) -> Leave {
        self.is_taken = true;
        self.leave()
    }

    /// Why there was none in time.
    fn too_late(self) -> UpstreamError {
        let now = Instant::now();
        let state = self.shared.lock();
        let at = state.turn_at(&self.waiter, now);
        match at.map(|at| at.saturating_duration_since(now)) {
            // It may be a moment until other replicas leave some.
            None | Some(Duration::ZERO) if state.schedule.lacks_leave(now) => spent(IN_TOUCH),
            // There was quota enough: it was the upstream that kept every place busy.
            None | Some(Duration::ZERO) => UpstreamError::Timeout(Told::default()),
            Some(retry_after) => spent(retry_after),
        }
    }

    fn leave(&self) -> Leave {
        Leave {
            shared: Arc::clone(&self.shared),
            class: self.waiter.class,
            caller: Arc::clone(&self.waiter.caller),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.shared.lock();
        if state.leave(self.waiter.ticket) {
            // Those behind have come nearer.
            self.shared.settle(&mut state, Instant::now());
            return;
        }
        drop(state);
        if let Ok(Ok(())) = self.told.try_recv() {
            self.leave().give_back();
        }
    }
}
