//! A day as bytes, to be kept on disk once it has settled, or for other replicas: its pieces as they are in memory.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::day::{Day, Outlasting, Piece};
use crate::{
    query::{Filter, Range},
    report::{
        Windows, disk,
        packed::{Pieces, put_count, put_text},
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
    day.is_settled(windows).then(|| encode_all(day))
}

/// Any day. Of one that nothing outlasts, nothing of that kind is said.
pub(super) fn encode_all(day: &Day) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_instant(&mut bytes, day.fetched_at);
    put_count(&mut bytes, day.pieces.len());
    for piece in &day.pieces {
        put_count(&mut bytes, piece.count);
        put_count(&mut bytes, piece.packed.len());
        bytes.extend_from_slice(&piece.packed);
    }
    if day.outlasting.is_empty() {
        return bytes;
    }
    put_count(&mut bytes, day.outlasting.len());
    for one in &day.outlasting {
        put_instant(&mut bytes, one.start);
        put_instant(&mut bytes, one.looked_at);
        bytes.push(u8::from(one.end.is_some()));
        if let Some(end) = one.end {
            put_instant(&mut bytes, end);
        }
        put_text(&mut bytes, &one.id);
    }
    bytes
}

/// A settled day again; `None` if it is not such a day.
pub(super) fn decode(bytes: &[u8], range: Range, windows: Windows) -> Option<Day> {
    decode_all(bytes, range).filter(|day| day.is_settled(windows))
}

/// Any day again; `None` if it is none. Everything in it is looked at, so that nothing can fail later.
pub(super) fn decode_all(bytes: &[u8], range: Range) -> Option<Day> {
    let mut pieces = Pieces(bytes);
    let fetched_at = instant(&mut pieces)?;
    let mut day = Day {
        range,
        fetched_at,
        pieces: Vec::new(),
        outlasting: Vec::new(),
    };
    let mut last = None;
    let mut unfinished = Vec::new();
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
            let is_sound = range.contains(line.start) && last < place;
            if !is_sound {
                return None;
            }
            last = place;
            unfinished.extend(line.is_unfinished.then(|| line.id.clone()));
            piece.bytes += line.document.len() as u64;
        }
        (piece.first, piece.last) = (lines.first()?.start, lines.last()?.start);
        day.pieces.push(piece);
    }
    if !pieces.is_at_end() {
        for _ in 0..pieces.count(12 + 12 + 1 + 4)? {
            let (start, looked_at) = (instant(&mut pieces)?, instant(&mut pieces)?);
            let end = match pieces.u8()? {
                0 => None,
                1 => Some(instant(&mut pieces)?),
                _ => return None,
            };
            let id = Arc::from(pieces.text()?);
            day.outlasting.push(Outlasting {
                start,
                id,
                end,
                looked_at,
            });
        }
    }
    // What runs on is looked at by itself.
    let runs_on: HashSet<&[u8]> = day.outlasting.iter().map(|one| one.id.as_bytes()).collect();
    let is_sound = day.outlasting.iter().all(|one| range.contains(one.start))
        && unfinished.iter().all(|id| runs_on.contains(&id[..]));
    (pieces.is_at_end() && is_sound).then_some(day)
}

fn instant(pieces: &mut Pieces<'_>) -> Option<Timestamp> {
    Timestamp::new(pieces.i64()?, pieces.i32()?).ok()
}

fn put_instant(into: &mut Vec<u8>, instant: Timestamp) {
    into.extend_from_slice(&instant.as_second().to_le_bytes());
    into.extend_from_slice(&instant.subsec_nanosecond().to_le_bytes());
}
