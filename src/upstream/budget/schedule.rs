//! Whose turn it is: pure, from who waits and what was sent to who is next and when.
//!
//! - At most `limit` requests are sent in any stretch of [`WINDOW`].
//! - Each class has a share of them, and each caller of it an equal part. Within their part, requests are sent at once.
//! - Whatever is beyond that is borrowed, as evenly as lets it go on until places come free: what nobody else needs is
//!   used, and is there again, little by little, when somebody needs it.
//! - Callers within their part go before borrowers, classes within their share before the others, the more urgent before
//!   the less. Within a class, callers take turns, whoever has how many waiting.
//! - One caller, and the classes in which nobody waits for an answer, leave a thirtieth to others.
//! - Of several replicas, each sends what it has leave for ([`Allowance`]). Whose turn it is, each says for its own callers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{super::Class, WINDOW, allowance::Allowance};

/// The sends of the last window, who waits, and how many requests a window may hold.
#[derive(Clone)]
pub(super) struct Schedule {
    limit: usize,
    /// Where there are several replicas: what this one may send of the limit of all.
    allowance: Option<Allowance>,
    /// The limit of all.
    limit_of_all: usize,
    /// Oldest first.
    sends: VecDeque<Sent>,
    /// Turns given that are neither spent nor given back: they count as sent.
    turns: Vec<(Class, Arc<str>)>,
    by_class: [Spent; Class::ALL.len()],
    /// When the next request may borrow.
    next_borrowed: Instant,
    /// Nobody sends before this instant.
    gate: Instant,
    line: [Callers; Class::ALL.len()],
    waiting: usize,
}

/// Requests of a class that count, turns included.
#[derive(Clone, Default)]
struct Spent {
    all: usize,
    by_caller: HashMap<Arc<str>, usize>,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) class: Class,
    pub(super) caller: Arc<str>,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    /// Its number; counts up.
    pub(super) ticket: u64,
    pub(super) class: Class,
    pub(super) caller: Arc<str>,
    pub(super) deadline: Instant,
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Next {
    /// It is this one's.
    Turn(Waiter),
    /// Nobody's before this instant.
    At(Instant),
    /// Nobody's before something else happens.
    Nobody,
    /// It would be somebody's, if there were leave to send: the others have to be asked, or there is some then.
    NoLeave(Option<Instant>),
}

/// The requests of a class that wait, by caller, the caller whose turn it is first.
#[derive(Clone, Default)]
struct Callers(VecDeque<(Arc<str>, VecDeque<Waiter>)>);

/// Of a limit, what a class may use whatever the others do.
pub(super) fn share(class: Class, limit: usize) -> usize {
    let of_others = if limit < 3 { 0 } else { (limit * 3 / 20).max(1) };
    match class {
        Class::Interactive => limit - 2 * of_others,
        Class::Refresh | Class::Export => of_others,
    }
}

/// Of a limit, what one caller may use, or those for whom nobody waits.
fn most_of_one(limit: usize) -> usize {
    limit - limit / 30
}

impl Schedule {
    pub(super) fn new(limit: usize, allowance: Option<Allowance>, now: Instant) -> Self {
        Self {
            limit,
            allowance,
            limit_of_all: limit,
            sends: VecDeque::new(),
            turns: Vec::new(),
            by_class: Default::default(),
            next_borrowed: now,
            gate: now,
            line: Default::default(),
            waiting: 0,
        }
    }

    /// Takes whoever is next out of the line, if it is their turn. `open` says of each class whether it may send at all.
    pub(super) fn next(&mut self, now: Instant, open: [bool; Class::ALL.len()]) -> Next {
        self.forget(now);
        if self.waiting == 0 {
            return Next::Nobody;
        }
        if now < self.gate {
            return Next::At(self.gate);
        }
        let place_frees = self
            .sends
            .front()
            .map_or(Next::Nobody, |sent| Next::At(sent.at + WINDOW));
        if self.used() >= self.limit {
            return match &self.allowance {
                // Others may have left what this one has not.
                Some(allowance) if self.used() < self.limit_of_all => Next::NoLeave(allowance.frees_at()),
                _ => place_frees,
            };
        }
        let open: Vec<Class> = Class::ALL.into_iter().filter(|class| open[*class as usize]).collect();
        let first = |is_meant: &dyn Fn(Class, &Arc<str>) -> bool| {
            let mut classes = open.iter();
            classes.find_map(|class| Some((*class, self.next_caller(*class, |caller| is_meant(*class, caller))?)))
        };
        let at_once = first(&|class, caller| self.is_within_share(class) && self.is_within_part(class, caller))
            .or_else(|| first(&|class, caller| self.is_within_part(class, caller)));
        if let Some((class, place)) = at_once {
            if let Some(no_leave) = self.no_leave(now) {
                return no_leave;
            }
            return self.take(class, place).map_or(place_frees, Next::Turn);
        }
        let borrower = first(&|class, _| self.is_within_share(class)).or_else(|| first(&|_, _| true));
        let Some((class, place)) = borrower else {
            return place_frees;
        };
        if now < self.next_borrowed {
            return Next::At(self.next_borrowed);
        }
        if let Some(no_leave) = self.no_leave(now) {
            return no_leave;
        }
        // Who looks a little late is not held up for it.
        let (spacing, late) = (self.pace(now), now.saturating_duration_since(self.next_borrowed));
        self.next_borrowed = now + spacing.checked_sub(late).unwrap_or(spacing);
        self.take(class, place).map_or(place_frees, Next::Turn)
    }

    /// When everybody who waits now has their turn, if nobody else comes and every turn is spent at once. Those for whom
    /// that is too late are told so, and take nothing.
    pub(super) fn foresee(&self, now: Instant) -> impl Iterator<Item = (Waiter, Instant)> + use<> {
        let mut future = self.clone();
        future.allowance = None;
        for (class, caller) in self.turns.clone() {
            future.spend(class, &caller, now);
        }
        let mut at = now;
        std::iter::from_fn(move || {
            loop {
                match future.next(at, [true; Class::ALL.len()]) {
                    Next::Turn(waiter) if waiter.deadline <= at => {
                        future.give_back(waiter.class, &waiter.caller);
                        return Some((waiter, at));
                    }
                    Next::Turn(waiter) => {
                        future.spend(waiter.class, &waiter.caller, at);
                        return Some((waiter, at));
                    }
                    Next::At(later) => at = later,
                    Next::Nobody | Next::NoLeave(_) => return None,
                }
            }
        })
    }

    /// Whether this one has its turn now as far as the quota is concerned, with all before it.
    pub(super) fn is_plentiful(&self, class: Class, now: Instant) -> bool {
        let is_within = |used: usize, most: usize| used + self.waiting <= most;
        now >= self.gate
            && is_within(self.used(), most_of_one(self.limit))
            && is_within(self.by_class[class as usize].all, share(class, self.limit))
    }

    /// Lines up.
    pub(super) fn join(&mut self, waiter: Waiter) {
        self.waiting += 1;
        self.line[waiter.class as usize].push(waiter);
    }

    /// Leaves the line; `None` if it is not there any more.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let left = self.line.iter_mut().find_map(|callers| callers.remove(ticket));
        self.waiting -= usize::from(left.is_some());
        left
    }

    /// A turn that was given is spent, if there still is leave to send; whether it is.
    pub(super) fn spend(&mut self, class: Class, caller: &Arc<str>, now: Instant) -> bool {
        let limit = self.limit_of_all;
        if self
            .allowance
            .as_mut()
            .is_some_and(|allowance| !allowance.spend(limit, now))
        {
            return false;
        }
        self.end_turn(class, caller);
        self.sends.push_back(Sent {
            at: now,
            class,
            caller: Arc::clone(caller),
        });
        true
    }

    /// A turn that was given is not spent.
    pub(super) fn give_back(&mut self, class: Class, caller: &Arc<str>) {
        self.end_turn(class, caller);
        self.discount(class, caller);
    }

    /// Nobody sends before this; whether that is later than was known.
    pub(super) fn close_gate(&mut self, until: Instant) -> bool {
        let is_later = until > self.gate;
        self.gate = self.gate.max(until);
        is_later
    }

    /// Until when the gate is closed.
    pub(super) fn gate(&self) -> Instant {
        self.gate
    }

    pub(super) fn set_limit(&mut self, limit: usize, now: Instant) {
        self.forget(now);
        self.limit_of_all = limit;
        let window = |allowance: &Allowance| allowance.window(limit, self.sends.len(), now);
        self.limit = self.allowance.as_ref().map_or(limit, window);
    }

    /// What this replica may send of the limit of all, where there are several.
    pub(super) fn allowance(&mut self) -> Option<&mut Allowance> {
        self.allowance.as_mut()
    }

    /// How many would have their turn now if there were leave for all of them; of no more than `most`.
    pub(super) fn would_send(&self, now: Instant, open: [bool; Class::ALL.len()], most: usize) -> usize {
        let mut future = self.clone();
        future.allowance = None;
        (0..most)
            .take_while(|_| matches!(future.next(now, open), Next::Turn(_)))
            .count()
    }

    /// Whether there is quota for more than there is leave for.
    pub(super) fn lacks_leave(&self, now: Instant) -> bool {
        self.no_leave(now).is_some()
    }

    /// What to say instead of giving a turn, if there is no leave for one more.
    fn no_leave(&self, now: Instant) -> Option<Next> {
        let allowance = self.allowance.as_ref()?;
        let has_leave = self.turns.len() < allowance.left(self.limit_of_all, now);
        (!has_leave).then(|| Next::NoLeave(allowance.frees_at()))
    }

    /// Requests that could be sent right now, all classes together.
    pub(super) fn left(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.limit.saturating_sub(self.used())
    }

    pub(super) fn sends(&self) -> impl Iterator<Item = &Sent> {
        self.sends.iter()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of each caller wait in a class.
    pub(super) fn waiting_in(&self, class: Class) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.line[class as usize]
            .0
            .iter()
            .map(|(caller, waiters)| (caller, waiters.len()))
    }

    fn used(&self) -> usize {
        self.sends.len() + self.turns.len()
    }

    fn is_within_share(&self, class: Class) -> bool {
        self.by_class[class as usize].all < share(class, self.limit)
    }

    /// Whether a caller has not had an equal part of the share of a class.
    fn is_within_part(&self, class: Class, caller: &Arc<str>) -> bool {
        let spent = &self.by_class[class as usize].by_caller;
        let waiting = self.line[class as usize].0.iter();
        let callers = spent.len() + waiting.filter(|(caller, _)| !spent.contains_key(caller)).count();
        let used = spent.get(caller).copied().unwrap_or(0);
        used * callers < share(class, self.limit)
    }

    /// The time between requests that borrow, so that they can go on at it for a window, whenever places come free.
    ///
    /// Until the `n`th of the sends is old enough, those left now and `n` more can be sent; half of those left are for
    /// others, if there are any. The log is looked at in some places, not in all: a long one changes little from one to
    /// the next.
    fn pace(&self, now: Instant) -> Duration {
        const PLACES: usize = 32;
        let evenly = |stretch: Duration, places: usize| stretch / u32::try_from(places).unwrap_or(u32::MAX).max(1);
        let left = self.limit.saturating_sub(self.used()) / if self.has_company() { 2 } else { 1 };
        let step = (self.sends.len() / PLACES).max(1);
        let old_enough = self.sends.iter().enumerate().step_by(step);
        let paces =
            old_enough.map(|(freed, sent)| evenly((sent.at + WINDOW).saturating_duration_since(now), left + freed));
        paces.fold(evenly(WINDOW, self.limit), Duration::max)
    }

    /// Whether more than one caller sent in the last window, or waits.
    fn has_company(&self) -> bool {
        let sent = self.by_class.iter().flat_map(|spent| spent.by_caller.keys());
        let waiting = self
            .line
            .iter()
            .flat_map(|callers| callers.0.iter().map(|(caller, _)| caller));
        let mut callers = sent.chain(waiting);
        let first = callers.next();
        callers.any(|caller| Some(caller) != first)
    }

    fn forget(&mut self, now: Instant) {
        while let Some(sent) = self.sends.pop_front_if(|sent| sent.at + WINDOW <= now) {
            self.discount(sent.class, &sent.caller);
        }
    }

    fn end_turn(&mut self, class: Class, caller: &Arc<str>) {
        let mut turns = self.turns.iter();
        if let Some(place) = turns.position(|turn| turn.0 == class && turn.1 == *caller) {
            self.turns.swap_remove(place);
        }
    }

    fn discount(&mut self, class: Class, caller: &Arc<str>) {
        let spent = &mut self.by_class[class as usize];
        spent.all -= 1;
        if let Some(count) = spent.by_caller.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                spent.by_caller.remove(caller);
            }
        }
    }

    /// The place in the line of the caller of a class whose turn it is, among those meant, if any may send.
    fn next_caller(&self, class: Class, is_meant: impl Fn(&Arc<str>) -> bool) -> Option<usize> {
        let most = most_of_one(self.limit);
        let unattended = [Class::Refresh, Class::Export].map(|class| self.by_class[class as usize].all);
        if class != Class::Interactive && unattended.iter().sum::<usize>() >= most {
            return None;
        }
        let used = |caller: &Arc<str>| -> usize {
            let by_class = self.by_class.iter();
            by_class.filter_map(|spent| spent.by_caller.get(caller)).sum()
        };
        let mut callers = self.line[class as usize].0.iter();
        callers.position(|(caller, _)| is_meant(caller) && used(caller) < most)
    }

    fn take(&mut self, class: Class, place: usize) -> Option<Waiter> {
        let waiter = self.line[class as usize].take(place)?;
        self.waiting -= 1;
        self.turns.push((class, Arc::clone(&waiter.caller)));
        let spent = &mut self.by_class[class as usize];
        spent.all += 1;
        *spent.by_caller.entry(Arc::clone(&waiter.caller)).or_default() += 1;
        Some(waiter)
    }
}

impl Callers {
    fn push(&mut self, waiter: Waiter) {
        if let Some((_, waiters)) = self.0.iter_mut().find(|(caller, _)| *caller == waiter.caller) {
            // By number: who comes from another class keeps the order.
            let place = waiters.partition_point(|other| other.ticket < waiter.ticket);
            waiters.insert(place, waiter);
        } else {
            self.0.push_back((Arc::clone(&waiter.caller), VecDeque::from([waiter])));
        }
    }

    /// The next request of the caller at this place, who goes to the end.
    fn take(&mut self, place: usize) -> Option<Waiter> {
        let (caller, mut waiters) = self.0.remove(place)?;
        let waiter = waiters.pop_front();
        if !waiters.is_empty() {
            self.0.push_back((caller, waiters));
        }
        waiter
    }

    fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let found = self.0.iter().enumerate().find_map(|(place, (_, waiters))| {
            let index = waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
            Some((place, index))
        });
        let (place, index) = found?;
        let waiter = self.0[place].1.remove(index);
        if self.0[place].1.is_empty() {
            self.0.remove(place);
        }
        waiter
    }
}
