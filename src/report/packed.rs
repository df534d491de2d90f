//! Bytes made small, and made whole again only if they are what they say.

/// Fast, as it is done on the way of an answer; higher levels save little on documents and figures.
const LEVEL: i32 = 1;

/// The bytes made small, with their number in front.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let count = u32::try_from(bytes.len()).expect("what is packed is some megabytes");
    let frame = zstd::bulk::compress(bytes, LEVEL).expect("zstd takes whatever bytes there are");
    [&count.to_le_bytes()[..], &frame].concat()
}

/// What was packed, if that is no more than `most_bytes`: a few bytes can say they were gigabytes.
pub(super) fn unpack(packed: &[u8], most_bytes: usize) -> Option<Vec<u8>> {
    let (count, frame) = packed.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if count > most_bytes {
        return None;
    }
    let bytes = zstd::bulk::decompress(frame, count).ok()?;
    (bytes.len() == count).then_some(bytes)
}

/// Takes what was written apart, piece by piece; `None` where there is less than expected.
pub(super) struct Pieces<'b>(pub(super) &'b [u8]);

impl<'b> Pieces<'b> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.chunk().map(i64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        self.chunk().map(f64::from_le_bytes)
    }

    /// The number of things that follow, each of that many bytes at least: never more than there can be.
    pub(super) fn count(&mut self, least_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(least_bytes)? <= self.0.len()).then_some(count)
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let count = self.count(1)?;
        std::str::from_utf8(self.bytes(count)?).ok()
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// A text as [`Pieces::text`] reads it.
pub(super) fn put_text(into: &mut Vec<u8>, text: &str) {
    put_count(into, text.len());
    into.extend_from_slice(text.as_bytes());
}

/// A number as [`Pieces::count`] reads it.
pub(super) fn put_count(into: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    into.extend_from_slice(&count.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let packed = pack(&bytes);
            prop_assert_eq!(unpack(&packed, bytes.len()), Some(bytes.clone()));
            if !bytes.is_empty() {
                prop_assert_eq!(unpack(&packed, bytes.len() - 1), None);
            }
        }

        #[test]
        fn nonsense_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let unpacked = unpack(&bytes, 1000);
            prop_assert!(unpacked.is_none_or(|unpacked| unpacked.len() <= 1000));
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        // 64 MiB of nothing in a few kilobytes, which says so or says that it is little.
        let bomb = pack(&vec![0; 64 << 20]);
        assert!(bomb.len() < 16 << 10, "{} bytes", bomb.len());
        assert_eq!(unpack(&bomb, 1 << 20), None);
        let lying = [&100_u32.to_le_bytes()[..], &bomb[4..]].concat();
        assert_eq!(unpack(&lying, 1 << 20), None);
    }
}
