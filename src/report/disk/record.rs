//! An entry as it lies on disk: its key in full, what is kept, and a checksum over both.

use sha2::{Digest as _, Sha256};

/// What an entry begins with, and the version of how it is laid out.
const MARK: &[u8; 4] = b"GRE1";
const CHECKSUM_BYTES: usize = 32;

/// Where an entry lies: few bytes that stand for its key. Two keys may share a place; the entry tells whose it is.
pub(super) type Place = [u8; 16];

/// The place of a key.
pub(super) fn place(key: &str) -> Place {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let mut place = Place::default();
    place.copy_from_slice(&digest[..16]);
    place
}

/// An entry of a key and what is kept for it.
pub(super) fn seal(key: &str, kept: &[u8]) -> Vec<u8> {
    let key_bytes = u32::try_from(key.len()).expect("a question is not gigabytes long");
    let mut entry = Vec::with_capacity(MARK.len() + 4 + key.len() + kept.len() + CHECKSUM_BYTES);
    entry.extend_from_slice(MARK);
    entry.extend_from_slice(&key_bytes.to_le_bytes());
    entry.extend_from_slice(key.as_bytes());
    entry.extend_from_slice(kept);
    let checksum = Sha256::digest(&entry);
    entry.extend_from_slice(&checksum);
    entry
}

/// What an entry tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened<'e> {
    /// What was kept for the key.
    Kept(&'e [u8]),
    /// It is another key's.
    Another,
    /// It is not as it was written.
    Spoiled,
}

/// What an entry holds for a key.
pub(super) fn open<'e>(key: &str, entry: &'e [u8]) -> Opened<'e> {
    let Some((sealed, checksum)) = entry.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Opened::Spoiled;
    };
    if Sha256::digest(sealed).as_slice() != checksum {
        return Opened::Spoiled;
    }
    let Some((key_bytes, rest)) = sealed.strip_prefix(MARK).and_then(|rest| rest.split_first_chunk::<4>()) else {
        return Opened::Spoiled;
    };
    let key_bytes = u32::from_le_bytes(*key_bytes) as usize;
    match rest.split_at_checked(key_bytes) {
        Some((of, kept)) if of == key.as_bytes() => Opened::Kept(kept),
        Some(_) => Opened::Another,
        None => Opened::Spoiled,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_gives_back_what_was_kept_to_its_key_only(
            key in ".{0,40}",
            other in ".{0,40}",
            kept in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let entry = seal(&key, &kept);
            prop_assert_eq!(open(&key, &entry), Opened::Kept(&kept));
            prop_assume!(key != other);
            prop_assert_eq!(open(&other, &entry), Opened::Another);
        }

        #[test]
        fn what_is_not_as_it_was_written_is_noticed(
            kept in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flipped in 1_u8..,
            cut in any::<prop::sample::Index>(),
        ) {
            let entry = seal("key", &kept);
            let mut changed = entry.clone();
            changed[at.index(entry.len())] ^= flipped;
            prop_assert_eq!(open("key", &changed), Opened::Spoiled);
            prop_assert_eq!(open("key", &entry[..cut.index(entry.len())]), Opened::Spoiled);
        }
    }

    #[test]
    fn a_checksum_over_nonsense_makes_no_sense_of_it() {
        for sealed in [&b""[..], b"GRE1", b"GRE1\xff\xff\xff\xffkey", b"OTHR\x03\0\0\0keykept"] {
            let entry = [sealed, Sha256::digest(sealed).as_slice()].concat();
            assert_eq!(open("key", &entry), Opened::Spoiled, "{sealed:?}");
        }
    }
}
