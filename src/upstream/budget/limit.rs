//! How many requests a window may hold: what the upstream allows as far as is known, and less while it refuses sooner,
//! since other applications spend of the same quota.
//!
//! | what happens | requests a window |
//! | --- | --- |
//! | a 429 | nine tenths of what was answered in the window before it, but not less than half of what was in force |
//! | a window without one | a twentieth of what is allowed more, up to what is allowed |
//!
//! Requests sent before the limit was lowered and refused after it say nothing new.

use tokio::time::Instant;

use super::WINDOW;

/// What says how many requests are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// Nobody: what the upstream documents.
    Default,
    /// The setting `upstream.requests_per_minute`.
    Setting,
    /// The organisation's own list of limits.
    Organisation,
    /// A 429, which named the limit it enforces.
    Refusal,
}

impl LimitSource {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Setting => "setting",
            Self::Organisation => "organisation",
            Self::Refusal => "refusal",
        }
    }
}

/// The limit and what is known about it.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    allowed: usize,
    source: LimitSource,
    in_force: usize,
    /// When it was last lowered, or raised.
    since: Instant,
    lowered_at: Option<Instant>,
}

impl Limit {
    pub(super) fn new(allowed: u32, source: LimitSource, now: Instant) -> Self {
        let allowed = count(allowed);
        Self {
            allowed,
            source,
            in_force: allowed,
            since: now,
            lowered_at: None,
        }
    }

    /// What is allowed, and who says so.
    pub(super) fn allowed(&self) -> (usize, LimitSource) {
        (self.allowed, self.source)
    }

    /// Requests a window may hold now.
    pub(super) fn in_force(&mut self, now: Instant) -> usize {
        while self.in_force < self.allowed && self.since + WINDOW <= now {
            self.in_force = regained(self.allowed, self.in_force);
            self.since += WINDOW;
        }
        self.in_force
    }

    /// A request sent at `sent_at` was refused, after `answered` others of its window were not. Whether that lowers the
    /// limit.
    pub(super) fn refused(&mut self, sent_at: Instant, answered: usize, now: Instant) -> bool {
        if self.lowered_at.is_some_and(|lowered_at| sent_at <= lowered_at) {
            return false;
        }
        let before = self.in_force(now);
        self.in_force = lowered(self.allowed, before, answered);
        self.since = now;
        self.lowered_at = Some(now);
        self.in_force < before
    }

    /// The organisation's figure, where no setting was made.
    pub(super) fn learn(&mut self, allowed: u32, now: Instant) {
        let was_lowered = self.in_force(now) < self.allowed;
        self.allowed = count(allowed);
        self.source = LimitSource::Organisation;
        if !was_lowered || self.in_force > self.allowed {
            self.in_force = self.allowed;
        }
    }

    /// A refusal names what is allowed: less than was known.
    pub(super) fn named(&mut self, allowed: u32, now: Instant) {
        if count(allowed) < self.allowed {
            self.in_force = self.in_force(now).min(count(allowed));
            self.allowed = count(allowed);
            self.source = LimitSource::Refusal;
        }
    }
}

fn count(allowed: u32) -> usize {
    usize::try_from(allowed).unwrap_or(usize::MAX).max(1)
}

/// After a refusal. A single one may have reasons of its own, so that it does not cost more than half.
fn lowered(allowed: usize, in_force: usize, answered: usize) -> usize {
    (answered / 10 * 9 + answered % 10 * 9 / 10)
        .max(in_force / 2)
        .max(step(allowed))
        .min(in_force)
}

/// After a window without refusals.
fn regained(allowed: usize, in_force: usize) -> usize {
    allowed.min(in_force + step(allowed))
}

fn step(allowed: usize) -> usize {
    (allowed / 20).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lowers_it_to_what_was_answered_and_not_by_more_than_half() {
        for (allowed, in_force, answered, expected) in [
            (300, 300, 299, 269),
            (300, 300, 200, 180),
            (300, 300, 100, 150),
            (300, 300, 0, 150),
            (300, 150, 100, 90),
            (300, 90, 300, 90),
            (300, 20, 0, 15),
            (300, 15, 0, 15),
            (10, 10, 3, 5),
            (1, 1, 0, 1),
        ] {
            assert_eq!(
                lowered(allowed, in_force, answered),
                expected,
                "{allowed} {in_force} {answered}"
            );
        }
    }

    #[test]
    fn it_comes_back_by_a_twentieth() {
        for (allowed, in_force, expected) in [(300, 150, 165), (300, 290, 300), (300, 300, 300), (10, 5, 6), (1, 1, 1)]
        {
            assert_eq!(regained(allowed, in_force), expected, "{allowed} {in_force}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_one_burst_count_once_and_quiet_windows_bring_it_back() {
        let start = Instant::now();
        let mut limit = Limit::new(300, LimitSource::Default, start);
        assert!(limit.refused(start, 100, start));
        assert!(!limit.refused(start, 90, start), "sent before it was lowered");
        assert_eq!(limit.in_force(start), 150);
        let later = start + 2 * WINDOW;
        assert_eq!(limit.in_force(later), 180);
        assert!(limit.refused(later, 170, later));
        assert_eq!(limit.in_force(later), 153);
        assert_eq!(limit.in_force(later + 20 * WINDOW), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_named_or_learned_is_what_is_allowed() {
        let start = Instant::now();
        let mut limit = Limit::new(300, LimitSource::Default, start);
        limit.learn(600, start);
        assert_eq!(
            (limit.in_force(start), limit.allowed()),
            (600, (600, LimitSource::Organisation))
        );
        limit.named(900, start);
        assert_eq!(
            limit.allowed(),
            (600, LimitSource::Organisation),
            "no more than is known"
        );
        limit.named(180, start);
        assert_eq!(
            (limit.in_force(start), limit.allowed()),
            (180, (180, LimitSource::Refusal))
        );
        assert!(limit.refused(start, 0, start));
        limit.learn(600, start);
        assert_eq!(limit.in_force(start), 90, "others still spend of it");
    }
}
