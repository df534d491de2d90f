//! What is missing of a range of days, and what it takes to have it. Pure.

use std::{collections::HashSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::day::{Day, Outlasting};
use crate::{
    query::Range,
    report::{
        Freshness,
        freshness::{Dated, Verdict, Windows},
    },
};

/// Held days between two that are due come along if they hold no more conversations than this: about half a page costs
/// less than a request of their own for those behind them.
const BRIDGED: usize = 50;

/// A day that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// From midnight to midnight.
    pub(super) day: Range,
    /// What is asked of it.
    pub(super) asked: Range,
    pub(super) held: Option<Arc<Day>>,
}

/// For whom, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) freshness: Freshness,
    pub(super) now: Timestamp,
    pub(super) windows: Windows,
}

/// What must be asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    /// Whole days, in order; each is one query of some pages.
    pub(super) sweeps: Vec<Range>,
    /// Days of which only some conversations are asked for, by their ids. Those of all days go into the same requests, and
    /// a request brings as many as a page: it never takes more of them than to read the days.
    pub(super) looks: Vec<Look>,
    /// What is held is still good for everybody who named no bound on its age.
    pub(super) may_come_later: bool,
}

/// Conversations that outlast a day.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) day: Arc<Day>,
    /// What is asked of the day.
    pub(super) asked: Range,
    pub(super) ids: Vec<Arc<str>>,
}

/// What has just been asked for: it is as fresh as can be.
#[derive(Debug, Default)]
pub(super) struct WaitedFor {
    /// Days, by their midnights.
    pub(super) days: HashSet<Timestamp>,
    /// Conversations that were asked for by themselves.
    pub(super) conversations: HashSet<Arc<str>>,
}

/// What is known of held days together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) as_of: Timestamp,
    pub(super) complete: bool,
    pub(super) settled_through: Timestamp,
    /// How much longer all of it is good for everybody; negative by how long some has not been.
    pub(super) left: SignedDuration,
}

impl Part {
    /// How good the day is, but for what outlasts it; `None` if it is not held.
    fn verdict(&self, wish: Wish, waited_for: &WaitedFor) -> Option<Verdict> {
        let dated = self.held.as_ref()?.dated(self.asked, wish.windows);
        let has_come = waited_for.days.contains(&self.day.start);
        Some(judge(&dated, has_come, wish))
    }

    /// What outlasts the day and may change by itself, each with how good it is.
    fn outlasting(&self, wish: Wish, waited_for: &WaitedFor) -> impl Iterator<Item = (&Outlasting, Verdict)> {
        let days = self.held.iter();
        let outlasting = days.flat_map(move |day| day.outlasting_in(self.asked, wish.windows));
        outlasting.map(move |(one, dated)| {
            let has_come = waited_for.days.contains(&self.day.start) || waited_for.conversations.contains(&one.id);
            (one, judge(&dated, has_come, wish))
        })
    }
}

fn judge(dated: &Dated, has_come: bool, wish: Wish) -> Verdict {
    if has_come {
        // It is as fresh as can be.
        Verdict::Fresh(dated.lifetime().saturating_sub(dated.age(wish.now)))
    } else {
        dated.judge(wish.freshness, wish.now)
    }
}

/// What is due; `None` if nothing is.
pub(super) fn missing(parts: &[Part], waited_for: &WaitedFor, wish: Wish) -> Option<Missing> {
    let is_due = |verdict: &Verdict| !matches!(verdict, Verdict::Fresh(_));
    let is_aging = |verdict: &Verdict| matches!(verdict, Verdict::Aging(_));
    let mut missing = Missing {
        sweeps: Vec::new(),
        looks: Vec::new(),
        may_come_later: true,
    };
    // Since the last day that is due.
    let mut held_between = 0;
    for part in parts {
        let verdict = part.verdict(wish, waited_for).unwrap_or(Verdict::Expired);
        if is_due(&verdict) {
            missing.may_come_later &= is_aging(&verdict);
            match missing.sweeps.last_mut() {
                Some(last) if held_between <= BRIDGED => last.end = part.day.end,
                _ => missing.sweeps.push(part.day),
            }
            held_between = 0;
            continue;
        }
        let Some(day) = &part.held else { continue };
        held_between += day.count();
        let outlasting = part.outlasting(wish, waited_for);
        let (ids, verdicts): (Vec<_>, Vec<_>) = outlasting
            .filter(|(_, verdict)| is_due(verdict))
            .map(|(one, verdict)| (Arc::clone(&one.id), verdict))
            .unzip();
        if !ids.is_empty() {
            missing.may_come_later &= verdicts.iter().all(is_aging);
            missing.looks.push(Look {
                day: Arc::clone(day),
                asked: part.asked,
                ids,
            });
        }
    }
    // Read along with the days on both sides.
    let is_read = |look: &Look| {
        let mut sweeps = missing.sweeps.iter();
        sweeps.any(|sweep| sweep.contains(look.day.range.start))
    };
    missing.looks.retain(|look| !is_read(look));
    (!missing.sweeps.is_empty() || !missing.looks.is_empty()).then_some(missing)
}

/// What is known of the days, if all are held and good enough: fresh, or to stand in for a failure.
pub(super) fn summary(parts: &[Part], waited_for: &WaitedFor, wish: Wish) -> Option<Summary> {
    let mut summary: Option<Summary> = None;
    for part in parts {
        let mut outlasting = part.outlasting(wish, waited_for);
        let is_expired = part.verdict(wish, waited_for)? == Verdict::Expired;
        if is_expired || outlasting.any(|(_, verdict)| verdict == Verdict::Expired) {
            return None;
        }
        let known = known(part.held.as_ref()?, part.asked, wish);
        summary = Some(match summary {
            None => known,
            Some(before) => Summary {
                as_of: before.as_of.min(known.as_of),
                complete: before.complete && known.complete,
                // As far as there is no gap.
                settled_through: if before.settled_through == part.asked.start {
                    known.settled_through
                } else {
                    before.settled_through
                },
                left: before.left.min(known.left),
            },
        });
    }
    summary
}

/// What is known of a part of a day.
fn known(day: &Day, part: Range, wish: Wish) -> Summary {
    let dated = day.dated(part, wish.windows);
    let mut known = Summary {
        as_of: dated.fetched_at,
        complete: dated.complete(),
        settled_through: dated.settled_through(),
        left: dated.left(wish.now),
    };
    for (one, dated) in day.outlasting_in(part, wish.windows) {
        known.as_of = known.as_of.min(dated.fetched_at);
        known.left = known.left.min(dated.left(wish.now));
        if !dated.complete() {
            known.complete = false;
            known.settled_through = known.settled_through.min(one.start);
        }
    }
    known
}
