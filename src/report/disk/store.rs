//! The file: entries by their keys' places, and the turns in which they were written, so that the oldest leave first.
//!
//! Everything here blocks. redb makes a batch of entries appear whole or not at all, whatever happens in between, and its
//! pages are checked when the file is opened; the entries check themselves ([`record`]).

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
    TableHandle as _,
};

use super::{
    Kind, is_meant,
    record::{self, Opened, Place},
};
use crate::query::{Purge, Range};

/// By place: the turn an entry was written in, and the entry.
const ENTRIES: TableDefinition<&Place, (u64, &[u8])> = TableDefinition::new("entries");
/// By turn: the place of the entry, the bytes it takes, its kind, and its range in seconds since 1970.
const WRITTEN: TableDefinition<u64, Written<'static>> = TableDefinition::new("written");

/// Of which questions there may be entries: each with the turn of the latest that was written.
const QUESTIONS: TableDefinition<&str, u64> = TableDefinition::new("questions");
/// The most of them; those written longest ago are forgotten first. Their entries stay.
const MOST_QUESTIONS: u64 = 1000;

type Written<'w> = (&'w Place, u64, &'w str, i64, i64);

/// Pages of the file kept in memory: what is read is held elsewhere.
const PAGES_BYTES: usize = 4 << 20;

/// An entry to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) range: Range,
    /// Its key but for the range, if it is to be found by that.
    pub(super) question: Option<String>,
    pub(super) sealed: Vec<u8>,
}

/// The open file. Nobody else has it open.
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    /// The most bytes of the file.
    most_bytes: u64,
    /// What its entries take.
    bytes: Mutex<u64>,
}

/// What to do about a file that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It may be usable later.
    Wait,
    /// It is not what was written: out of the way with it.
    Replace,
}

impl Store {
    /// Opens the file, or makes it: readable by its owner only, as it holds what customers said and did.
    pub(super) fn open(path: &Path, most_bytes: u64) -> Result<Self, redb::Error> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        drop(options.open(path)?);
        let database = redb::Builder::new()
            .set_cache_size(PAGES_BYTES)
            .set_check_integrity_on_open(true)
            .create(path)?;
        let transaction = database.begin_write()?;
        let mut tables = transaction.list_tables()?;
        if let Some(foreign) =
            tables.find(|table| ![ENTRIES.name(), WRITTEN.name(), QUESTIONS.name()].contains(&table.name()))
        {
            let detail = format!("it has a table `{}` of somebody else's", foreign.name());
            return Err(redb::Error::Corrupted(detail));
        }
        drop(tables);
        transaction.open_table(ENTRIES)?;
        transaction.open_table(QUESTIONS)?;
        let mut bytes = 0;
        for written in transaction.open_table(WRITTEN)?.iter()? {
            bytes += written?.1.value().1;
        }
        transaction.commit()?;
        Ok(Self {
            database,
            path: path.to_owned(),
            most_bytes,
            bytes: Mutex::new(bytes),
        })
    }

    /// Hands what is kept for a key to `take`.
    pub(super) fn read<T>(&self, key: &str, take: impl FnOnce(Opened<'_>) -> T) -> Result<Option<T>, redb::Error> {
        let entries = self.database.begin_read()?.open_table(ENTRIES)?;
        let entry = entries.get(&record::place(key))?;
        Ok(entry.map(|entry| take(record::open(key, entry.value().1))))
    }

    /// Of which questions there may be entries, those written last first.
    pub(super) fn questions(&self) -> Result<Vec<String>, redb::Error> {
        let questions = self.database.begin_read()?.open_table(QUESTIONS)?;
        let mut found = Vec::new();
        for entry in questions.iter()? {
            let (question, turn) = entry?;
            found.push((turn.value(), question.value().to_owned()));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, question)| question).collect())
    }

    /// Writes entries, in place of those of the same keys, and lets the oldest go beyond the bound.
    pub(super) fn write(&self, batch: &[Entry]) -> Result<(), redb::Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = *bytes;
        let transaction = self.database.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut written = transaction.open_table(WRITTEN)?;
            let mut questions = transaction.open_table(QUESTIONS)?;
            let mut turn = written.last()?.map_or(0, |(turn, _)| turn.value() + 1);
            for entry in batch {
                let takes = taken(entry.sealed.len());
                if takes > self.entries_bytes() / 4 {
                    continue;
                }
                let before = entries.insert(&entry.place, (turn, entry.sealed.as_slice()))?;
                let before = before.map(|before| before.value().0);
                if let Some(before) = before.map(|before| written.remove(before)).transpose()?.flatten() {
                    left -= before.value().1;
                }
                let [start, end] = [entry.range.start, entry.range.end].map(Timestamp::as_second);
                written.insert(turn, (&entry.place, takes, entry.kind.name(), start, end))?;
                if let Some(question) = &entry.question {
                    questions.insert(question.as_str(), turn)?;
                }
                left += takes;
                turn += 1;
            }
            forget_oldest(&mut questions)?;
            while left > self.entries_bytes()
                && let Some((_, oldest)) = written.pop_first()?
            {
                let (place, takes, ..) = oldest.value();
                entries.remove(place)?;
                left -= takes;
            }
        }
        transaction.commit()?;
        *bytes = left;
        Ok(())
    }

    /// Lets entries go.
    pub(super) fn remove(&self, purge: &Purge) -> Result<(), redb::Error> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = *bytes;
        let transaction = self.database.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut written = transaction.open_table(WRITTEN)?;
            if purge.source.is_none() && purge.range.is_none() {
                transaction.open_table(QUESTIONS)?.retain(|_, _| false)?;
            }
            let mut failure = None;
            written.retain(|_, (place, takes, kind, start, end)| {
                if !is_meant(purge, kind, start, end) {
                    return true;
                }
                left -= takes;
                failure = failure.take().or(entries.remove(place).map(drop).err());
                false
            })?;
            failure.map_or(Ok(()), Err)?;
        }
        transaction.commit()?;
        *bytes = left;
        Ok(())
    }

    /// Whether the file has outgrown its bound.
    pub(super) fn is_overgrown(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() > self.most_bytes)
    }

    /// Gives back what the file has too much. Nobody may be reading.
    pub(super) fn compact(&mut self) -> Result<(), redb::Error> {
        self.database.compact()?;
        if self.is_overgrown() {
            self.remove(&Purge {
                source: None,
                range: None,
            })?;
            self.database.compact()?;
        }
        Ok(())
    }

    /// What its entries take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that entries may take: redb doubles a file that is full, and keeps a while what was replaced.
    fn entries_bytes(&self) -> u64 {
        self.most_bytes / 2
    }
}

fn forget_oldest(questions: &mut Table<'_, &'static str, u64>) -> Result<(), redb::Error> {
    let beyond = questions.len()?.saturating_sub(MOST_QUESTIONS);
    if beyond == 0 {
        return Ok(());
    }
    let mut turns = Vec::new();
    for entry in questions.iter()? {
        turns.push(entry?.1.value());
    }
    turns.sort_unstable();
    let kept_from = usize::try_from(beyond)
        .ok()
        .and_then(|beyond| turns.get(beyond))
        .copied();
    questions.retain(|_, turn| kept_from.is_none_or(|kept_from| turn >= kept_from))?;
    Ok(())
}

/// The bytes of the file an entry takes: redb gives long values a power of two of pages of their own.
fn taken(entry_bytes: usize) -> u64 {
    const BESIDE: u64 = 256;
    let bytes = entry_bytes as u64 + BESIDE;
    if bytes > 2048 { bytes.next_power_of_two() } else { bytes }
}

/// What can be done about a failure of the file.
pub(super) fn remedy(error: &redb::Error) -> Remedy {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => Remedy::Replace,
        redb::Error::Io(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Remedy::Replace
        }
        _ => Remedy::Wait,
    }
}
