//! Bytes that were right, changed: what whatever takes bytes of others apart is tried with.
//!
//! Random bytes are refused at the first look; what comes from a right example by a few changes gets further. Each target
//! stands beside what it tries, under a name that begins with `fuzz_`, and says what must hold whatever comes: not only
//! that nothing panics. How to run them for long stands in docs/security.md.

use proptest::{collection::vec, prelude::*, sample::Index};

/// Cases of a target: some seconds' worth, and as many times more as the environment wants.
pub(crate) fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.saturating_mul(8),
        ..default
    }
}

/// One of the examples after up to eight changes.
pub(crate) fn changed(examples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let others = examples.clone();
    (proptest::sample::select(examples), vec(any_change(), 0..=8)).prop_map(move |(mut bytes, changes)| {
        for change in changes {
            change.apply(&mut bytes, &others);
            bytes.truncate(MOST_BYTES);
        }
        bytes
    })
}

/// Examples are some kilobytes; what repeats itself is not to become megabytes.
const MOST_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    Insert(Index, Vec<u8>),
    /// A part of another example.
    Splice(Index, Index, Index, Index),
    /// A number in place of the digits there.
    Number(Index, &'static str),
    /// Four or eight bytes as a length.
    Length(Index, u64, bool),
}

/// What means something in the texts that are taken apart here.
const WORDS: [&str; 30] = [
    "\"", "\\", "\\u0000", "\\ud800", "{", "}", "[", "]", ",", ":", "null", "true", "=", "&", "%", "%00", "+", ";",
    "/", "-", "..", "now", "P1D", "PT0S", "T24:00", "\u{202e}", "é", "🙂", "\0", "\r\n",
];

/// Where numbers go wrong.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "18446744073709551616",
    "1e308",
    "1e999",
    "0.1",
];

const LENGTHS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

fn any_change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let word = proptest::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        at().prop_map(Change::Cut),
        (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        (at(), at(), 1..200_usize).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        (at(), prop_oneof![word, vec(any::<u8>(), 1..4)]).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), at(), at(), at()).prop_map(|(of, from, to, at)| Change::Splice(of, from, to, at)),
        (at(), proptest::sample::select(NUMBERS.to_vec())).prop_map(|(at, number)| Change::Number(at, number)),
        (at(), proptest::sample::select(LENGTHS.to_vec()), any::<bool>())
            .prop_map(|(at, length, is_long)| Change::Length(at, length, is_long)),
    ]
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>, examples: &[Vec<u8>]) {
        // Where something can be put in, the end included.
        let place = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
        let between = |from: Index, to: Index, bytes: &[u8]| {
            let (from, to) = (place(from, bytes), place(to, bytes));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, to) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            Self::Flip(..) | Self::Set(..) => {}
            Self::Cut(at) => bytes.truncate(place(at, bytes)),
            Self::Remove(from, to) => drop(bytes.drain(between(from, to, bytes))),
            Self::Repeat(from, to, times) => {
                let part = between(from, to, bytes);
                let times = times.min(MOST_BYTES / part.len().max(1));
                let repeated = bytes[part.clone()].repeat(times);
                bytes.splice(part.end..part.end, repeated);
            }
            Self::Insert(at, inserted) => {
                let at = place(at, bytes);
                bytes.splice(at..at, inserted);
            }
            Self::Splice(of, from, to, at) => {
                let other = &examples[of.index(examples.len())];
                let part = other[between(from, to, other)].to_vec();
                let at = place(at, bytes);
                bytes.splice(at..at, part);
            }
            Self::Number(at, number) => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let starts: Vec<_> = (0..bytes.len())
                    .filter(|&at| is_digit(&bytes[at]) && (at == 0 || !is_digit(&bytes[at - 1])))
                    .collect();
                if !starts.is_empty() {
                    let start = starts[at.index(starts.len())];
                    let digits = bytes[start..].iter().take_while(|byte| is_digit(byte)).count();
                    bytes.splice(start..start + digits, number.bytes());
                }
            }
            Self::Length(at, length, is_long) => {
                let length = &length.to_le_bytes()[..if is_long { 8 } else { 4 }];
                if bytes.len() >= length.len() {
                    let at = at.index(bytes.len() - length.len() + 1);
                    bytes[at..at + length.len()].copy_from_slice(length);
                }
            }
        }
    }
}
