//! The conversations that started on a UTC day: in order, and small.
//!
//! A day is some pieces of some hundred kilobytes, each packed by itself, so that a page or a stream takes apart no more
//! than it shows. Pages become days in a [`Builder`], a page at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range as Indices,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::{
    query::Range,
    report::{
        freshness::{Covers, Dated, Windows},
        packed::{Pieces, pack, put_count, unpack},
    },
    upstream::{Conversation, ConversationPage},
};

/// Documents are packed when they are about this many bytes.
const PIECE_BYTES: usize = 256 << 10;
/// The most bytes of a piece that is taken apart: one document can be longer than a piece should be.
const MOST_PIECE_BYTES: usize = 64 << 20;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// All conversations that started on a UTC day and pass a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Day {
    /// From midnight to midnight.
    pub(super) range: Range,
    /// When the first of the requests that brought it was sent.
    pub(super) fetched_at: Timestamp,
    /// By start, then id, within and among them.
    pub(super) pieces: Vec<Piece>,
    /// Those that ran on after the day, or that were running when it was read; by start, then id.
    pub(super) outlasting: Vec<Outlasting>,
}

/// A conversation that goes on after its day, of which more is to be told than when the day was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outlasting {
    pub(super) start: Timestamp,
    pub(super) id: Arc<str>,
    /// `None` while it ran.
    pub(super) end: Option<Timestamp>,
    /// When it was asked for: with the day, or by itself since then.
    pub(super) looked_at: Timestamp,
}

/// Some conversations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: usize,
    /// Of the documents, as they are.
    pub(super) bytes: u64,
    pub(super) packed: Bytes,
}

/// One conversation of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) start: Timestamp,
    pub(super) is_unfinished: bool,
    pub(super) id: Bytes,
    pub(super) document: Bytes,
}

impl Day {
    /// What is known of the age of a part of it, but for what outlasts it.
    pub(super) fn dated(&self, part: Range, windows: Windows) -> Dated {
        let covers = Covers::Figures {
            range: part,
            unfinished: false,
        };
        windows.dated(self.fetched_at, covers)
    }

    /// Those of a part that may change by themselves, each with what is known of its age: what was running when it was
    /// looked at, and, once the part has settled, what ended later than the part. Before that, it is read with the rest.
    pub(super) fn outlasting_in(
        &self,
        part: Range,
        windows: Windows,
    ) -> impl Iterator<Item = (&Outlasting, Dated)> + Clone {
        let is_settled = self.dated(part, windows).complete();
        let in_part = self.outlasting.iter().filter(move |one| part.contains(one.start));
        let apart = in_part.filter(move |one| one.end.is_none() || is_settled);
        apart.map(move |one| (one, one.dated(windows)))
    }

    /// Whether nothing of it will change.
    pub(super) fn is_settled(&self, windows: Windows) -> bool {
        let mut outlasting = self.outlasting_in(self.range, windows);
        self.dated(self.range, windows).complete() && outlasting.all(|(_, dated)| dated.complete())
    }

    /// How old it is, as [`Dated`] counts, and then how old what was told last of that which outlasts it.
    pub(super) fn age(&self, now: Timestamp) -> (Duration, Option<Duration>) {
        let age = |then: Timestamp| now.duration_since(then).unsigned_abs();
        let looks = self.outlasting.iter().map(|one| age(one.looked_at));
        (age(self.fetched_at), looks.min())
    }

    /// With what was told later, at `looked_at`, of conversations that outlast it; `None` if it is not as it was made. What
    /// passed a filter still does: its segments stay and others join them.
    pub(super) fn with(
        &self,
        told: &HashMap<Arc<str>, Conversation>,
        looked_at: Timestamp,
        now: Timestamp,
    ) -> Option<Self> {
        let later = |one: &Outlasting| {
            let told = told.get(&one.id).filter(|told| told.start == one.start);
            // What is from an instant still to come was told before the clock was set back.
            told.filter(|_| one.looked_at < looked_at || one.looked_at > now)
        };
        let mut day = self.clone();
        day.pieces.clear();
        for piece in &self.pieces {
            let touches = |one: &&Outlasting| (piece.first..=piece.last).contains(&one.start) && later(one).is_some();
            let changed: HashMap<&[u8], &Conversation> = self
                .outlasting
                .iter()
                .filter(touches)
                .filter_map(|one| Some((one.id.as_bytes(), later(one)?)))
                .collect();
            if changed.is_empty() {
                day.pieces.push(piece.clone());
                continue;
            }
            let mut lines = piece.lines()?;
            for line in &mut lines {
                if let Some(told) = changed.get(&*line.id) {
                    line.is_unfinished = told.end.is_none();
                    line.document = told.document.clone();
                }
            }
            day.pieces.extend(pieces(&lines));
        }
        for one in &mut day.outlasting {
            if let Some(told) = later(one) {
                (one.end, one.looked_at) = (told.end, looked_at);
            }
        }
        Some(day)
    }

    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.count).sum()
    }

    /// The bytes of the documents of a part, or a few more.
    pub(super) fn bytes_in(&self, part: Range) -> u64 {
        let pieces = self.pieces.iter().filter(|piece| piece.touches(part));
        pieces.map(|piece| piece.bytes).sum()
    }

    /// An estimate from above of what it keeps in memory.
    pub(super) fn weight(&self) -> usize {
        const ALLOCATION: usize = 64;
        let pieces = self
            .pieces
            .iter()
            .map(|piece| size_of::<Piece>() + piece.packed.len() + ALLOCATION);
        let outlasting = self.outlasting.iter();
        let outlasting = outlasting.map(|one| size_of::<Outlasting>() + one.id.len() + ALLOCATION);
        size_of::<Self>() + pieces.sum::<usize>() + outlasting.sum::<usize>() + ALLOCATION
    }
}

impl Outlasting {
    fn dated(&self, windows: Windows) -> Dated {
        let covers = Covers::Figures {
            range: Range {
                start: self.start,
                end: self.end.unwrap_or(self.start),
            },
            unfinished: self.end.is_none(),
        };
        windows.dated(self.looked_at, covers)
    }
}

impl Piece {
    /// Of lines in order.
    fn of(lines: &[Line]) -> Option<Self> {
        let (first, last) = (lines.first()?, lines.last()?);
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(&line.start.as_second().to_le_bytes());
            bytes.extend_from_slice(&line.start.subsec_nanosecond().to_le_bytes());
            bytes.push(u8::from(line.is_unfinished));
            for part in [&line.id, &line.document] {
                put_count(&mut bytes, part.len());
                bytes.extend_from_slice(part);
            }
        }
        Some(Self {
            first: first.start,
            last: last.start,
            count: lines.len(),
            bytes: lines.iter().map(|line| line.document.len() as u64).sum(),
            packed: pack(&bytes).into(),
        })
    }

    /// The lines; `None` if it is not as it was made.
    pub(super) fn lines(&self) -> Option<Vec<Line>> {
        let bytes = Bytes::from(unpack(&self.packed, MOST_PIECE_BYTES)?);
        let mut pieces = Pieces(&bytes);
        let mut lines = Vec::new();
        while !pieces.is_at_end() {
            let start = Timestamp::new(pieces.i64()?, pieces.i32()?).ok()?;
            let is_unfinished = pieces.u8()? == 1;
            let mut part = || {
                let count = pieces.count(1)?;
                pieces.bytes(count).map(|part| bytes.slice_ref(part))
            };
            let (id, document) = (part()?, part()?);
            lines.push(Line {
                start,
                is_unfinished,
                id,
                document,
            });
        }
        (lines.len() == self.count).then_some(lines)
    }

    fn touches(&self, part: Range) -> bool {
        self.first < part.end && part.start <= self.last
    }

    fn is_within(&self, part: Range) -> bool {
        part.contains(self.first) && part.contains(self.last)
    }

    /// The documents of a part.
    pub(super) fn documents_in(&self, part: Range) -> Option<Vec<Bytes>> {
        let lines = self.lines()?.into_iter();
        let within = lines.filter(|line| part.contains(line.start));
        Some(within.map(|line| line.document).collect())
    }
}

/// Lines in order as pieces of a good size.
fn pieces(lines: &[Line]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (index, line) in lines.iter().enumerate() {
        bytes += line.document.len();
        // Those that started together stay together, so that pieces do not overlap.
        let is_last_of_start = lines.get(index + 1).is_none_or(|next| next.start > line.start);
        if bytes >= PIECE_BYTES && is_last_of_start {
            pieces.extend(Piece::of(&lines[from..=index]));
            (from, bytes) = (index + 1, 0);
        }
    }
    pieces.extend(Piece::of(&lines[from..]));
    pieces
}

/// Days, each with the part of it that is meant, in order.
pub(super) type Parts = [(Arc<Day>, Range)];

/// How many conversations there are, and the documents of some of them by their places; `None` if a day is not as it was
/// made.
pub(super) fn cut(parts: &Parts, places: impl FnOnce(usize) -> Indices<usize>) -> Option<(usize, Vec<Bytes>)> {
    let touched = || {
        parts.iter().flat_map(|(day, part)| {
            let pieces = day.pieces.iter().filter(|piece| piece.touches(*part));
            pieces.map(|piece| (piece, *part))
        })
    };
    let count = |(piece, part): (&Piece, Range)| {
        if piece.is_within(part) {
            Some(piece.count)
        } else {
            Some(piece.documents_in(part)?.len())
        }
    };
    let counts = touched().map(count).collect::<Option<Vec<usize>>>()?;
    let total = counts.iter().sum();
    let places = places(total);
    let mut documents = Vec::with_capacity(places.len());
    let mut passed = 0;
    for ((piece, part), count) in touched().zip(counts) {
        let [from, until] = [places.start, places.end].map(|place| place.clamp(passed, passed + count) - passed);
        if from < until {
            documents.extend_from_slice(&piece.documents_in(part)?[from..until]);
        }
        passed += count;
    }
    Some((total, documents))
}

/// The places among all of those conversations that are known by their ids and when they started; `None` if a day is not
/// as it was made.
pub(super) fn places_of(parts: &Parts, known: &HashMap<Vec<u8>, Timestamp>) -> Option<BTreeSet<usize>> {
    let mut places = BTreeSet::new();
    let mut passed = 0;
    for (day, part) in parts {
        for piece in day.pieces.iter().filter(|piece| piece.touches(*part)) {
            let mut starts = known.values();
            let may_hold_some = starts.any(|start| (piece.first..=piece.last).contains(start));
            if !may_hold_some && piece.is_within(*part) {
                passed += piece.count;
                continue;
            }
            let lines = piece.lines()?.into_iter();
            for line in lines.filter(|line| part.contains(line.start)) {
                if known.contains_key(&line.id[..]) {
                    places.insert(passed);
                }
                passed += 1;
            }
        }
    }
    Some(places)
}

/// Makes days of pages as they come in.
pub(super) struct Builder {
    /// Whole days, read in order.
    range: Range,
    /// Everything before has been handed on.
    done_until: Timestamp,
    /// When the first request since then was sent.
    fetched_at: Option<Timestamp>,
    drafts: BTreeMap<Timestamp, Draft>,
}

/// A day that may not be whole yet.
#[derive(Default)]
struct Draft {
    pieces: Vec<Piece>,
    /// After all that is in the pieces.
    waiting: Vec<Line>,
    waiting_bytes: usize,
    /// What came too late for the pieces, as rows had moved.
    late: Vec<Line>,
    late_bytes: usize,
    outlasting: Vec<Outlasting>,
}

impl Builder {
    /// For whole days.
    pub(super) fn new(range: Range) -> Self {
        Self {
            range,
            done_until: range.start,
            fetched_at: None,
            drafts: BTreeMap::new(),
        }
    }

    /// Takes a page, and gives the days that are whole now.
    pub(super) fn add(&mut self, page: &ConversationPage) -> Vec<Day> {
        let done = self.done(page.read_through);
        self.fetched_at = Some(self.fetched_at.map_or(page.fetched_at, |at| at.min(page.fetched_at)));
        for conversation in &page.conversations {
            let draft = self.drafts.entry(midnight(conversation.start)).or_default();
            draft.add(conversation);
        }
        let reached = page.conversations.last().map(|conversation| conversation.start);
        for (midnight, draft) in &mut self.drafts {
            let is_passed = reached.is_some_and(|reached| *midnight + DAY <= reached);
            if is_passed || draft.waiting_bytes >= PIECE_BYTES {
                draft.flush(is_passed);
            }
        }
        done
    }

    /// The days that are whole once all has been read.
    pub(super) fn finish(mut self) -> Vec<Day> {
        self.done(self.range.end)
    }

    /// What it keeps in memory, about.
    pub(super) fn weight(&self) -> usize {
        let drafts = self.drafts.values().map(|draft| {
            let packed: usize = draft.pieces.iter().map(|piece| piece.packed.len()).sum();
            packed + draft.waiting_bytes + draft.late_bytes
        });
        drafts.sum()
    }

    fn done(&mut self, until: Timestamp) -> Vec<Day> {
        let mut days = Vec::new();
        // Without a page there is nothing to know.
        let Some(fetched_at) = self.fetched_at else {
            return days;
        };
        while self.done_until < until.min(self.range.end) {
            let range = Range {
                start: self.done_until,
                end: self.done_until + DAY,
            };
            let draft = self.drafts.remove(&range.start).unwrap_or_default();
            let (pieces, mut outlasting) = draft.finish();
            for one in &mut outlasting {
                one.looked_at = fetched_at;
            }
            days.push(Day {
                range,
                fetched_at,
                pieces,
                outlasting,
            });
            self.done_until = range.end;
        }
        if !days.is_empty() {
            self.fetched_at = None;
        }
        days
    }
}

impl Draft {
    fn add(&mut self, conversation: &Conversation) {
        let line = Line {
            start: conversation.start,
            is_unfinished: conversation.end.is_none(),
            id: Bytes::copy_from_slice(conversation.id.as_bytes()),
            document: conversation.document.clone(),
        };
        let midnight = midnight(conversation.start) + DAY;
        if conversation.end.is_none_or(|end| end > midnight) {
            self.outlasting.push(Outlasting {
                start: conversation.start,
                id: Arc::clone(&conversation.id),
                end: conversation.end,
                // The day's, once that is known.
                looked_at: Timestamp::MIN,
            });
        }
        if self.pieces.last().is_some_and(|piece| line.start <= piece.last) {
            self.late_bytes += line.document.len();
            self.late.push(Line {
                // Not the whole page for one document.
                document: Bytes::copy_from_slice(&line.document),
                ..line
            });
        } else {
            self.waiting_bytes += line.document.len();
            self.waiting.push(line);
        }
    }

    /// Packs what is waiting. What started last waits on for those that started with it, unless there can be none.
    fn flush(&mut self, is_all: bool) {
        self.waiting.sort_unstable_by(Line::order);
        let last = self.waiting.last().map(|line| line.start);
        let split = match last {
            Some(last) if !is_all => self.waiting.partition_point(|line| line.start < last),
            _ => self.waiting.len(),
        };
        self.pieces.extend(pieces(&self.waiting[..split]));
        self.waiting.drain(..split);
        self.waiting_bytes = self.waiting.iter().map(|line| line.document.len()).sum();
    }

    fn finish(mut self) -> (Vec<Piece>, Vec<Outlasting>) {
        self.flush(true);
        self.outlasting
            .sort_unstable_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        self.late.sort_unstable_by(Line::order);
        if self.late.is_empty() {
            return (self.pieces, self.outlasting);
        }
        let mut late = self.late.into_iter().peekable();
        let mut sound = Vec::new();
        let mut old = self.pieces.into_iter().peekable();
        while let Some(piece) = old.next() {
            let next = old.peek().map(|next| next.first);
            let is_before_next = |line: &Line| next.is_none_or(|next| line.start < next);
            let mut among = Vec::new();
            while let Some(line) = late.next_if(is_before_next) {
                among.push(line);
            }
            if among.is_empty() {
                sound.push(piece);
            } else {
                among.extend(piece.lines().expect("it was packed here"));
                among.sort_unstable_by(Line::order);
                sound.extend(pieces(&among));
            }
        }
        (sound, self.outlasting)
    }
}

impl Line {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.start, &self.id).cmp(&(other.start, &other.id))
    }
}

/// The UTC midnight before an instant.
pub(super) fn midnight(instant: Timestamp) -> Timestamp {
    let seconds = DAY.as_secs();
    let start = instant.as_second().div_euclid(seconds) * seconds;
    Timestamp::from_second(start).unwrap_or(Timestamp::MIN)
}

/// The UTC days a range touches, each with the part that lies in the range.
pub(super) fn days_of(range: Range) -> Vec<(Range, Range)> {
    let mut days = Vec::new();
    let mut start = midnight(range.start);
    while start < range.end {
        let day = Range {
            start,
            end: start.saturating_add(DAY).unwrap_or(Timestamp::MAX),
        };
        let part = Range {
            start: range.start.max(day.start),
            end: range.end.min(day.end),
        };
        days.push((day, part));
        start = day.end;
    }
    days
}
