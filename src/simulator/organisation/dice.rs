//! Numbers drawn from a seed, the same on every machine and in every release.
//!
//! `rand`'s own distributions may change their output between releases; a simulated organisation must not. So only
//! the generator's documented 64-bit output is used, with integer arithmetic and products of exact doubles on top.

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use uuid::Uuid;

/// A stream of draws.
pub(super) struct Dice(Pcg64Mcg);

impl Dice {
    /// The stream that belongs to this seed, purpose and number (a day, an index): unrelated to every other one.
    pub(super) fn new(seed: u64, purpose: &str, number: i64) -> Self {
        let mut state = scramble(seed);
        for byte in purpose.bytes() {
            state = scramble(state ^ u64::from(byte));
        }
        Self(Pcg64Mcg::seed_from_u64(scramble(state ^ number.cast_unsigned())))
    }

    /// A fraction in `[0, 1)`.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with that probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A whole number in `[low, high)`; `low` when the range is empty.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.skewed(low, high, 1)
    }

    /// A whole number in `[low, high)`, the smaller the likelier: the fraction is raised to `power`.
    pub(super) fn skewed(&mut self, low: i64, high: i64, power: u8) -> i64 {
        let fraction = self.fraction();
        let bent = (1..power).fold(fraction, |product, _| product * fraction);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "spans are below 2^53 and the product is below the span"
        )]
        let offset = (bent * (high - low).max(0) as f64) as i64;
        low + offset
    }

    /// An index into `weights`, each as likely as its weight.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.fraction() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// A random-looking (version 4) id.
    pub(super) fn id(&mut self) -> Uuid {
        let bits = (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// `SplitMix64`'s finaliser: neighbouring inputs give unrelated outputs.
pub(super) fn scramble(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_never_change() {
        let draws = |seed, purpose, number| {
            let mut dice = Dice::new(seed, purpose, number);
            [(); 4].map(|()| dice.between(0, 1_000))
        };
        // Written down once: a new release of a dependency must not rewrite the organisation's past.
        assert_eq!(draws(7, "day", 20_000), [676, 725, 856, 225]);
        assert_eq!(draws(7, "day", 20_001), [325, 706, 10, 335]);
        assert_eq!(draws(8, "day", 20_000), [751, 673, 759, 923]);
        assert_eq!(draws(7, "queue", 20_000), [120, 402, 493, 694]);
    }

    #[test]
    fn draws_stay_inside_their_bounds() {
        let mut dice = Dice::new(1, "bounds", 0);
        for _ in 0..10_000 {
            assert!((5..9).contains(&dice.between(5, 9)));
            assert!((5..9).contains(&dice.skewed(5, 9, 7)));
            assert!(dice.weighted(&[0.0, 1.0, 0.0]) == 1);
        }
        assert_eq!(dice.between(5, 5), 5);
    }
}
