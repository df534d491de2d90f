//! Text that is compressed once and sent with ends that differ: a gzip stream (RFC 1952) whose end is made anew.

use std::io::Write as _;

use flate2::{Compression, Crc, write::GzEncoder};

/// The beginning of a stream, and what its end depends on.
pub fn begin(text: &[u8]) -> (Vec<u8>, Crc) {
    const MEMORY: &str = "writing to memory does not fail";
    let mut check = Crc::new();
    check.update(text);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect(MEMORY);
    // Leaves off between two bytes, where another block can begin.
    encoder.flush().expect(MEMORY);
    (std::mem::take(encoder.get_mut()), check)
}

/// The rest of a stream, as it is: compressing some hundred bytes costs more than sending them.
pub fn end(beginning: &Crc, rest: &[u8]) -> Vec<u8> {
    const FRAME_BYTES: usize = 13;
    let mut check = Crc::new();
    check.combine(beginning);
    check.update(rest);
    let mut end = Vec::with_capacity(rest.len() + FRAME_BYTES);
    let mut rest = rest;
    loop {
        // A block that is stored begins with whether it is the last, its length, and the same inverted (RFC 1951, 3.2.4).
        let length = u16::try_from(rest.len()).unwrap_or(u16::MAX);
        let (block, later) = rest.split_at(length.into());
        end.push(u8::from(later.is_empty()));
        end.extend_from_slice(&length.to_le_bytes());
        end.extend_from_slice(&(!length).to_le_bytes());
        end.extend_from_slice(block);
        if later.is_empty() {
            break;
        }
        rest = later;
    }
    end.extend_from_slice(&check.sum().to_le_bytes());
    end.extend_from_slice(&check.amount().to_le_bytes());
    end
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read(stream: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(stream);
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member, and nothing behind it");
        text
    }

    proptest! {
        #[test]
        fn every_end_fits_its_beginning(text in vec(0..4_u8, 0..5000), ends in vec(vec(any::<u8>(), 0..300), 1..4)) {
            let (beginning, check) = begin(&text);
            for end in ends {
                let stream = [&beginning[..], &super::end(&check, &end)].concat();
                prop_assert_eq!(read(&stream), [&text[..], &end].concat());
            }
        }
    }

    #[test]
    fn an_end_may_be_longer_than_a_block() {
        let (beginning, check) = begin(b"rows");
        for length in [0, 1, 65_534, 65_535, 65_536, 200_000] {
            let rest = vec![b'm'; length];
            let stream = [&beginning[..], &end(&check, &rest)].concat();
            assert_eq!(read(&stream), [b"rows", &rest[..]].concat(), "{length}");
        }
    }
}
