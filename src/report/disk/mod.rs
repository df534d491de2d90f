//! What outlives a restart: figures and conversations that have settled, in one file.
//!
//! Nothing depends on the file. Whatever is wrong with it (torn, cut, foreign, locked, full, not writable) is a warning in
//! the log and as if nothing had been kept: never a wrong answer, never a failed request, never a start refused. What is
//! read was written for exactly that key, of the same organisation and the same layout, and is as it was written
//! ([`record`]).
//!
//! Reading happens aside, for those whose question is not answered from memory. Writing is left to an owner
//! ([`DiskOwner`]), which puts together what has gathered and ends in order.

mod record;
mod store;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    record::Opened,
    store::{Entry, Remedy, Store},
};
use crate::{
    query::{Purge, Range, Source},
    telemetry,
};

/// Part of every key: raised when what is kept is laid out otherwise.
const LAYOUT: u32 = 1;

/// How long a file that cannot be used is left alone.
const LEFT_ALONE: Duration = Duration::from_mins(1);

/// Entries that wait to be written; beyond, they are not kept.
const WAITING: usize = 4096;
/// Entries written at once.
const AT_ONCE: usize = 64;

/// The name of the file where only its directory was given.
const FILE_NAME: &str = "genesys-reports.redb";

/// Where to keep things, and how much.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// The file, or the directory it is in.
    pub path: PathBuf,
    /// The most bytes of the file.
    pub bytes: u64,
    /// Whose figures these are: nobody else's are taken for them.
    pub organisation: Organisation,
}

/// Stands for an organisation and who we are in it, and gives neither away.
#[derive(Clone, Debug)]
pub struct Organisation(String);

impl Organisation {
    /// Of the upstream's address and the client's id.
    pub fn of(api_url: &str, client_id: &str) -> Self {
        let digest = Sha256::digest(format!("{api_url}\n{client_id}"));
        Self(BASE64_URL_SAFE_NO_PAD.encode(digest))
    }
}

impl fmt::Display for Organisation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is kept on disk, if anything. Cheap to clone.
#[derive(Clone, Default)]
pub struct Disk(Option<Arc<Kept>>);

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.as_ref().map(|kept| &kept.settings.path);
        formatter.debug_tuple("Disk").field(&path).finish()
    }
}

/// What is kept, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Figures of a family.
    Figures(Source),
    /// Single conversations.
    Conversations,
}

/// What an entry is for: a question in canonical form, and the stretch of time it is about.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) range: Range,
    /// The question in full but for the range, as a list of texts and lists.
    pub(super) question: Value,
}

/// Writes what is to be kept, until it is told to end. Without it, nothing is written.
pub struct DiskOwner {
    kept: Arc<Kept>,
    orders: mpsc::Receiver<Order>,
}

struct Kept {
    settings: DiskSettings,
    state: RwLock<State>,
    owner: mpsc::Sender<Order>,
}

enum State {
    /// Not opened before that instant.
    Closed(Instant),
    Open(Store),
    /// For good.
    Ended,
}

enum Order {
    Keep(Key, Encode),
    Remove(Purge, oneshot::Sender<()>),
}

/// From what is kept so far to what is to be kept.
type Encode = Box<dyn FnOnce(Option<&[u8]>) -> Option<Vec<u8>> + Send>;

/// What is wrong with the file, and what has been done about it.
#[derive(Debug, thiserror::Error)]
#[error("{reason}; {done}")]
struct Trouble {
    reason: String,
    done: &'static str,
}

impl Kind {
    /// What stands for it in the file.
    fn name(self) -> &'static str {
        match self {
            Self::Conversations => STARTED,
            Self::Figures(source) => source.name(),
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            STARTED => Some(Self::Conversations),
            _ => Source::named(name).map(Self::Figures),
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Conversations => Source::Conversations,
            Self::Figures(source) => source,
        }
    }
}

/// Of [`Kind::Conversations`]; no family is called that.
const STARTED: &str = "started";

/// Whether an entry is to be dropped; what cannot be told of it is better asked for again.
fn is_meant(purge: &Purge, kind: &str, start: i64, end: i64) -> bool {
    let [start, end] = [start, end].map(|second| jiff::Timestamp::from_second(second).ok());
    let range = start.zip(end).and_then(|(start, end)| Range::new(start, end));
    Kind::named(kind).is_none_or(|kind| purge.is_about(kind.source())) && range.is_none_or(|range| purge.touches(range))
}

impl Key {
    /// The same text for the same question of the same organisation, and for no other.
    fn text(&self, organisation: &Organisation) -> String {
        let range = [self.range.start, self.range.end].map(|instant| instant.to_string());
        serde_json::json!([LAYOUT, organisation.0, self.kind.name(), range, self.question]).to_string()
    }

    /// The same text for the same question, whoever asks it.
    pub(super) fn question_and_range(&self) -> Value {
        let range = [self.range.start, self.range.end].map(|instant| instant.to_string());
        serde_json::json!([LAYOUT, self.kind.name(), range, self.question])
    }

    /// The same but for the range, of what is looked for by other questions, too.
    fn question_text(&self, organisation: &Organisation) -> Option<String> {
        match self.kind {
            Kind::Figures(source) => {
                Some(serde_json::json!([LAYOUT, organisation.0, source.name(), self.question]).to_string())
            }
            Kind::Conversations => None,
        }
    }
}

/// The question of an organisation's figures again.
fn question_of(text: &str, organisation: &Organisation) -> Option<(Source, Value)> {
    let (layout, of, kind, question): (u32, String, String, Value) = serde_json::from_str(text).ok()?;
    let source = Source::named(&kind).filter(|_| layout == LAYOUT && of == organisation.0)?;
    Some((source, question))
}

impl Disk {
    /// Keeps things in a file, which is not opened before somebody needs it.
    pub fn new(settings: DiskSettings) -> (Self, DiskOwner) {
        let path = if settings.path.is_dir() {
            settings.path.join(FILE_NAME)
        } else {
            settings.path
        };
        let (owner, orders) = mpsc::channel(WAITING);
        let kept = Arc::new(Kept {
            settings: DiskSettings { path, ..settings },
            state: RwLock::new(State::Closed(Instant::now())),
            owner,
        });
        (Self(Some(Arc::clone(&kept))), DiskOwner { kept, orders })
    }

    pub(super) fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// What is kept for the keys, in their order. `read` makes sense of it, aside, and returns `None` where there is none.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        keys: Vec<Key>,
        read: impl Fn(usize, &[u8]) -> Option<T> + Send + 'static,
    ) -> Vec<Option<T>> {
        let nothing = || keys.iter().map(|_| None).collect();
        let Some(kept) = self.0.clone() else {
            return nothing();
        };
        let (now, mut found, nothing) = (Instant::now(), nothing(), nothing());
        let reading = move || {
            kept.with(now, |store| {
                for (index, key) in keys.iter().enumerate() {
                    let key = key.text(&kept.settings.organisation);
                    let entry = store.read(&key, |opened| match opened {
                        Opened::Kept(bytes) => read(index, bytes).ok_or("spoiled"),
                        Opened::Another => Err("miss"),
                        Opened::Spoiled => Err("spoiled"),
                    })?;
                    let outcome = match entry {
                        Some(Ok(value)) => {
                            found[index] = Some(value);
                            "hit"
                        }
                        Some(Err(outcome)) => outcome,
                        None => "miss",
                    };
                    metrics::counter!(telemetry::DISK_READS, "outcome" => outcome).increment(1);
                }
                Ok(())
            })
            .map(|_| found)
        };
        aside(reading).await.unwrap_or(nothing)
    }

    /// Of which questions about figures something may be kept, those written last first; `None` if that cannot be told now.
    pub(super) async fn questions(&self) -> Option<Vec<(Source, Value)>> {
        let kept = self.0.clone()?;
        let now = Instant::now();
        aside(move || {
            let questions = kept.with(now, Store::questions)?;
            Ok(questions.map(|questions| {
                let own = questions.iter();
                own.filter_map(|text| question_of(text, &kept.settings.organisation))
                    .collect()
            }))
        })
        .await?
    }

    /// Has something kept, in its turn. `encode` runs aside and is given what is kept for the key so far.
    pub(super) fn keep(&self, key: Key, encode: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>> + Send + 'static) {
        if let Some(kept) = &self.0
            && kept.owner.try_send(Order::Keep(key, Box::new(encode))).is_err()
        {
            metrics::counter!(telemetry::DISK_WRITES_SKIPPED).increment(1);
        }
    }

    /// Lets go of what is kept, and waits until it is gone.
    pub(super) async fn remove(&self, purge: Purge) {
        let Some(kept) = &self.0 else { return };
        let (done, is_done) = oneshot::channel();
        if kept.owner.send(Order::Remove(purge, done)).await.is_ok() {
            // Nobody answers if the owner has ended meanwhile.
            let _ = is_done.await;
        }
    }
}

impl DiskOwner {
    /// Writes until `stop`, then what is still waiting, and closes the file.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut orders = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.orders.is_closed() => {
                    self.orders.close();
                    continue;
                }
                count = self.orders.recv_many(&mut orders, AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                }
            }
            let (kept, orders, now) = (Arc::clone(&self.kept), std::mem::take(&mut orders), Instant::now());
            aside(move || kept.carry_out(orders, now)).await;
        }
        let kept = self.kept;
        aside(move || {
            kept.end();
            Ok(())
        })
        .await;
    }
}

/// Does what blocks where nobody waits for it, and tells what was wrong.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Trouble> + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(trouble)) => {
            tracing::warn!(%trouble, "what is kept on disk cannot be used");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a defect beside what is kept on disk");
            None
        }
    }
}

impl Kept {
    /// Works with the open file. `None` while it is left alone.
    fn with<T>(&self, now: Instant, work: impl FnOnce(&Store) -> Result<T, redb::Error>) -> Result<Option<T>, Trouble> {
        let state = self.opened(now)?;
        let State::Open(store) = &*state else {
            return Ok(None);
        };
        match guarded(|| work(store)) {
            Ok(done) => Ok(Some(done)),
            Err(failure) => {
                drop(state);
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                Err(self.close_after(&mut state, &failure, now))
            }
        }
    }

    fn opened(&self, now: Instant) -> Result<RwLockReadGuard<'_, State>, Trouble> {
        let read = || self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_due = |state: &State| matches!(state, State::Closed(until) if *until <= now);
        let state = read();
        if !is_due(&state) {
            return Ok(state);
        }
        drop(state);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if is_due(&state) {
            match guarded(|| Store::open(&self.settings.path, self.settings.bytes)) {
                Ok(store) => *state = State::Open(store),
                Err(failure) => return Err(self.close_after(&mut state, &failure, now)),
            }
        }
        drop(state);
        Ok(read())
    }

    /// Closes the file after a failure: for a while, or moved out of the way, to begin anew.
    fn close_after(&self, state: &mut State, failure: &redb::Error, now: Instant) -> Trouble {
        if matches!(state, State::Ended) {
            return Trouble {
                reason: failure.to_string(),
                done: "it is closed",
            };
        }
        // Also lets go of the lock.
        *state = State::Closed(now + LEFT_ALONE);
        let path = &self.settings.path;
        let mut done = "left alone for a while";
        if store::remedy(failure) == Remedy::Replace {
            let mut aside = path.clone().into_os_string();
            aside.push(".spoiled");
            if std::fs::rename(path, aside).is_ok() {
                *state = State::Closed(now);
                done = "moved aside, to begin anew";
            }
        }
        Trouble {
            reason: format!("{}: {failure}", path.display()),
            done,
        }
    }

    fn carry_out(&self, orders: Vec<Order>, now: Instant) -> Result<(), Trouble> {
        let is_overgrown = self.with(now, |store| {
            let mut batch: Vec<Entry> = Vec::new();
            let mut removed = Vec::new();
            for order in orders {
                match order {
                    Order::Keep(key, encode) => batch.extend(self.entry(store, &batch, &key, encode)?),
                    Order::Remove(purge, done) => {
                        // What was to be kept before it is meant too.
                        store.write(&std::mem::take(&mut batch))?;
                        store.remove(&purge)?;
                        removed.push(done);
                    }
                }
            }
            store.write(&batch)?;
            metrics::gauge!(telemetry::DISK_BYTES).set(store.bytes() as f64);
            for done in removed {
                // Whoever asked may have left.
                let _ = done.send(());
            }
            Ok(store.is_overgrown())
        })?;
        if is_overgrown == Some(true) {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if let State::Open(store) = &mut *state
                && let Err(failure) = guarded(|| store.compact())
            {
                return Err(self.close_after(&mut state, &failure, now));
            }
        }
        Ok(())
    }

    fn entry(&self, store: &Store, batch: &[Entry], key: &Key, encode: Encode) -> Result<Option<Entry>, redb::Error> {
        let text = key.text(&self.settings.organisation);
        let place = record::place(&text);
        let kept_of = |opened: Opened<'_>| match opened {
            Opened::Kept(kept) => Some(kept.to_vec()),
            Opened::Another | Opened::Spoiled => None,
        };
        let before = match batch.iter().rfind(|entry| entry.place == place) {
            Some(entry) => kept_of(record::open(&text, &entry.sealed)),
            None => store.read(&text, kept_of)?.flatten(),
        };
        let entry = encode(before.as_deref()).map(|kept| Entry {
            place,
            kind: key.kind,
            range: key.range,
            question: key.question_text(&self.settings.organisation),
            sealed: record::seal(&text, &kept),
        });
        Ok(entry)
    }

    fn end(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Ended;
    }
}

/// A file that is not what redb wrote may make it panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("reading it came to a panic".to_owned())))
}
