//! A settled day as bytes to be kept on disk: its pieces as they are in memory.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::day::{Day, Piece};
use crate::{
    query::{Filter, Range},
    report::{
        Windows, disk,
        packed::{Pieces, put_count},
    },
};

/// What a day is kept by.
pub(super) fn key(filter: &Filter, day: Range) -> disk::Key {
    let clauses = filter.clauses.iter();
    let filter: Vec<_> = clauses
        .map(|(dimension, values)| json!([dimension.upstream, values]))
        .collect();
    disk::Key {
        kind: disk::Kind::Conversations,
        range: day,
        question: json!(["started", filter]),
    }
}

/// A day that has settled; `None` for any other.
pub(super) fn encode(day: &Day, windows: Windows) -> Option<Vec<u8>> {
    if !day.is_settled(windows) {
        return None;
    }
    let mut bytes = Vec::new();
    put_instant(&mut bytes, day.fetched_at);
    put_count(&mut bytes, day.pieces.len());
    for piece in &day.pieces {
        put_count(&mut bytes, piece.count);
        put_count(&mut bytes, piece.packed.len());
        bytes.extend_from_slice(&piece.packed);
    }
    Some(bytes)
}

/// The day again; `None` if it is not such a day. Everything in it is looked at, so that nothing can fail later.
pub(super) fn decode(bytes: &[u8], range: Range, windows: Windows) -> Option<Day> {
    let mut pieces = Pieces(bytes);
    let fetched_at = Timestamp::new(pieces.i64()?, pieces.i32()?).ok()?;
    let mut day = Day {
        range,
        fetched_at,
        pieces: Vec::new(),
        // All that outlasted it had settled, too.
        outlasting: Vec::new(),
    };
    let mut last = None;
    for _ in 0..pieces.count(8)? {
        let count = usize::try_from(pieces.u32()?).ok()?;
        let length = pieces.count(1)?;
        let mut piece = Piece {
            first: range.start,
            last: range.start,
            count,
            bytes: 0,
            packed: Bytes::copy_from_slice(pieces.bytes(length)?),
        };
        let lines = piece.lines()?;
        for line in &lines {
            let place = Some((line.start, line.id.clone()));
            let is_sound = range.contains(line.start) && !line.is_unfinished && last < place;
            if !is_sound {
                return None;
            }
            last = place;
            piece.bytes += line.document.len() as u64;
        }
        (piece.first, piece.last) = (lines.first()?.start, lines.last()?.start);
        day.pieces.push(piece);
    }
    (pieces.is_at_end() && day.is_settled(windows)).then_some(day)
}

fn put_instant(into: &mut Vec<u8>, instant: Timestamp) {
    into.extend_from_slice(&instant.as_second().to_le_bytes());
    into.extend_from_slice(&instant.subsec_nanosecond().to_le_bytes());
}
