//! What is missing of a range of days, and what it takes to have it. Pure.

use std::{collections::HashSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::day::Day;
use crate::{
    query::Range,
    report::{
        Freshness,
        freshness::{Verdict, Windows},
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Whole days, in order; each is one query of some pages.
    pub(super) sweeps: Vec<Range>,
    /// What is held is still good for everybody who named no bound on its age.
    pub(super) may_come_later: bool,
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
    fn verdict(&self, wish: Wish, waited_for: &HashSet<Timestamp>) -> Option<Verdict> {
        let dated = self.held.as_ref()?.dated(self.asked, wish.windows);
        Some(if waited_for.contains(&self.day.start) {
            // It is as fresh as can be.
            Verdict::Fresh(dated.lifetime().saturating_sub(dated.age(wish.now)))
        } else {
            dated.judge(wish.freshness, wish.now)
        })
    }
}

/// What is due; `None` if nothing is. `waited_for` tells the days that have just been asked for.
pub(super) fn missing(parts: &[Part], waited_for: &HashSet<Timestamp>, wish: Wish) -> Option<Missing> {
    let verdicts: Vec<_> = parts.iter().map(|part| part.verdict(wish, waited_for)).collect();
    let is_due = |verdict: &Option<Verdict>| !matches!(verdict, Some(Verdict::Fresh(_)));
    let mut sweeps: Vec<Range> = Vec::new();
    // Since the last day that is due.
    let mut held_between = 0;
    for (part, verdict) in parts.iter().zip(&verdicts) {
        if !is_due(verdict) {
            held_between += part.held.as_ref().map_or(0, |day| day.count());
            continue;
        }
        match sweeps.last_mut() {
            Some(last) if held_between <= BRIDGED => last.end = part.day.end,
            _ => sweeps.push(part.day),
        }
        held_between = 0;
    }
    let mut due = verdicts.iter().filter(|verdict| is_due(verdict));
    (!sweeps.is_empty()).then(|| Missing {
        sweeps,
        may_come_later: due.all(|verdict| matches!(verdict, Some(Verdict::Aging(_)))),
    })
}

/// What is known of the days, if all are held and good enough: fresh, or to stand in for a failure.
pub(super) fn summary(parts: &[Part], waited_for: &HashSet<Timestamp>, wish: Wish) -> Option<Summary> {
    let mut summary: Option<Summary> = None;
    for part in parts {
        if part.verdict(wish, waited_for)? == Verdict::Expired {
            return None;
        }
        let dated = part.held.as_ref()?.dated(part.asked, wish.windows);
        let left = dated.left(wish.now);
        summary = Some(match summary {
            None => Summary {
                as_of: dated.fetched_at,
                complete: dated.complete(),
                settled_through: dated.settled_through(),
                left,
            },
            Some(before) => Summary {
                as_of: before.as_of.min(dated.fetched_at),
                complete: before.complete && dated.complete(),
                // As far as there is no gap.
                settled_through: if before.settled_through == part.asked.start {
                    dated.settled_through()
                } else {
                    before.settled_through
                },
                left: before.left.min(left),
            },
        });
    }
    summary
}
