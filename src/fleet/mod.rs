//! What replicas of one organisation have in common, by way of Redis or Valkey: what was fetched, the access token, the
//! request budget, who asks for what, and that something was dropped.
//!
//! Nothing depends on it. Every operation is bounded in time and behind a circuit breaker of its own (`link`), and whatever
//! is wrong (absent, slow, failing over, read-only, full of foreign data) is as if nothing were there: a miss, a metric and
//! a replica that goes on by itself. Values are sealed (`seal`): what does not open under its name is a miss, too. Locks are
//! advice: who finds one taken waits for a while, and then asks all the same.
//!
//! What is shared and for how long others decide; here nothing is known of figures, tokens or the upstream.

pub(crate) mod budget;
mod link;
mod seal;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use redis::Script;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, interval, sleep};

use self::{
    budget::{Ask, Leased},
    link::Link,
    seal::Sealer,
};
use crate::{breaker::BreakerState, telemetry};

pub use link::Address;

/// Part of every key: raised when what is kept is laid out or named otherwise.
const LAYOUT: u32 = 1;

/// How long one operation may take. Nothing that is held waits for any; what has to be fetched waits for a few.
const BOUND: Duration = Duration::from_millis(250);

/// Longer values are kept in parts of this many bytes, each an operation of its own: what is bounded is the time of one.
const PART_BYTES: usize = 512 << 10;
/// The most parts of a value; what is longer is not shared.
const MOST_PARTS: usize = 64;
/// What a value of one part begins with, and what stands in place of a longer one, with the number of its parts.
const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;

/// How long a lock outlasts a holder that says nothing more.
const CLAIMED_FOR: Duration = Duration::from_secs(3);
/// How often a holder says that it is still at it.
const STILL_AT_IT: Duration = Duration::from_secs(1);
/// How soon one who waits looks again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// How often it is looked whether the secret has changed.
const SECRET_KNOWN_FOR: Duration = Duration::from_secs(10);

/// Before anything is known of what was dropped.
const UNKNOWN: u64 = u64::MAX;
/// Of so many drops it is known what was meant; who has missed more drops everything.
const DROPS_KNOWN: u64 = 100;

/// Where replicas meet, and as whom.
pub struct FleetSettings {
    /// Redis or Valkey.
    pub address: Address,
    /// Stands for the organisation and who we are in it: nobody else's values are taken for ours.
    pub organisation: String,
    /// What values are sealed by; asked for again now and then, so that a changed file takes effect.
    pub secret: Arc<dyn Fn() -> SecretString + Send + Sync>,
}

/// What this replica has in common with others, if anything. Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Fleet(Option<Arc<Member>>);

struct Member {
    link: Link,
    sealer: Sealer,
    /// What all keys begin with. The part in braces has a cluster keep them in one place.
    prefix: String,
    /// Tells this process from all others.
    id: String,
    /// How often something was dropped everywhere: part of the key of every value, so that what was fetched before is not
    /// found any more.
    drops: AtomicU64,
    /// What is to be dropped everywhere and was not told yet.
    untold: Mutex<Vec<String>>,
}

/// How it stands, for readiness and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetState {
    /// There is no fleet: this is the only replica.
    Alone,
    /// Redis answers as far as is known.
    Together,
    /// Redis has been failing, and this replica goes on by itself.
    Apart,
}

/// What a value is kept by: a text that says what it is, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    text: String,
    /// Whether it outlasts that something is dropped.
    is_lasting: bool,
}

/// What was known to have been dropped at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// A value to be kept.
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) kept: Vec<u8>,
    pub(crate) ttl: Duration,
}

impl Name {
    /// Of something fetched, which can be dropped.
    pub(crate) fn of(text: String) -> Self {
        Self {
            text,
            is_lasting: false,
        }
    }

    /// Of something that is not touched when what was fetched is dropped.
    pub(crate) fn lasting(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_lasting: true,
        }
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Few bytes that stand for it, and give nothing away.
    fn place(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.text))
    }
}

impl Fleet {
    /// Joins replicas that meet at the same place; sends nothing yet.
    pub fn new(settings: FleetSettings) -> Self {
        Self(Some(Arc::new(Member {
            link: Link::new(settings.address),
            sealer: Sealer::new(settings.secret),
            prefix: format!("genesys-reports:{LAYOUT}:{{{}}}:", settings.organisation),
            id: format!("{:016x}", rand::random::<u64>()),
            drops: AtomicU64::new(UNKNOWN),
            untold: Mutex::default(),
        })))
    }

    pub(crate) fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// How it stands; asks nobody.
    pub fn state(&self) -> FleetState {
        match self.0.as_ref().map(|member| member.link.state()) {
            None => FleetState::Alone,
            Some(BreakerState::Closed) => FleetState::Together,
            Some(BreakerState::Open { .. } | BreakerState::Probing) => FleetState::Apart,
        }
    }

    /// Follows a secret that changes, for as long as it is let.
    pub async fn follow_secret(self) {
        let Some(member) = self.0 else { return };
        let mut looks = interval(SECRET_KNOWN_FOR);
        loop {
            looks.tick().await;
            member.sealer.renew();
        }
    }

    /// What is kept under the names, in their order.
    pub(crate) async fn read(&self, names: &[Name]) -> Vec<Option<Vec<u8>>> {
        let found = match &self.0 {
            Some(member) if !names.is_empty() => member.read(names).await,
            _ => None,
        };
        found.unwrap_or_else(|| names.iter().map(|_| None).collect())
    }

    /// What is known to have been dropped at this moment.
    pub(crate) fn mark(&self) -> Mark {
        Mark(
            self.0
                .as_ref()
                .map_or(UNKNOWN, |member| member.drops.load(Ordering::Relaxed)),
        )
    }

    /// Keeps values, in place of those of the same names; but none that can be dropped where something was dropped since
    /// the mark was made, before they were fetched.
    pub(crate) async fn write(&self, entries: Vec<Entry>, made: Mark) {
        if let Some(member) = &self.0 {
            // Whoever misses them asks again.
            let _ = member.write(entries, made).await;
        }
    }

    /// Claims something for this replica as soon as nobody else has it. `None` if that cannot be told, or not by the
    /// deadline: then everybody is on their own.
    pub(crate) async fn claim(&self, name: &Name, deadline: Instant) -> Option<Claim> {
        let member = self.0.as_ref()?;
        let claim = Claim {
            member: Arc::clone(member),
            key: member.key("claim", &name.place()),
            token: format!("{:016x}", rand::random::<u64>()),
        };
        let mut pause = LOOK_AGAIN.0;
        while !claim.take().await? {
            if Instant::now() + pause >= deadline {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK_AGAIN.1);
        }
        Some(claim)
    }

    /// Asks for leave to send requests.
    pub(crate) async fn lease(&self, ask: &Ask) -> Option<Leased> {
        let member = self.0.as_ref()?;
        budget::lease(&member.link, &member.prefix, &member.id, ask).await
    }

    /// Has something dropped everywhere, now or as soon as that can be told; and what others have dropped since this was
    /// asked last, an empty text for everything there is.
    pub(crate) async fn exchange_drops(&self, told: Option<String>) -> Vec<String> {
        let Some(member) = &self.0 else { return Vec::new() };
        if let Some(told) = told {
            let mut untold = member.untold.lock().unwrap_or_else(PoisonError::into_inner);
            untold.push(told);
        }
        member.exchange_drops().await.unwrap_or_default()
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Fleet").field(&self.state()).finish()
    }
}

/// Hears of what was dropped, and tells what is to be dropped.
///
/// `KEYS`: a hash of what was dropped by its number, and the `latest` number. `ARGV`: the number known so far, or -1; how
/// many are remembered; what to add. Returns the number known from now on, then what is new.
const DROPS: &str = r"
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local known, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
-- What is forgotten here is remembered there.
local latest = math.max(tonumber(redis.call('HGET', KEYS[1], 'latest') or 0) or 0, known)
local told = { 0 }
if known >= 0 then
    for number = math.max(known + 1, latest - limit), latest do
        table.insert(told, redis.call('HGET', KEYS[1], number) or '')
    end
end
for index = 3, #ARGV do
    latest = latest + 1
    redis.call('HSET', KEYS[1], latest, ARGV[index])
    redis.call('HDEL', KEYS[1], latest - limit)
end
redis.call('HSET', KEYS[1], 'latest', latest)
told[1] = latest
return told
";

impl Member {
    fn key(&self, kind: &str, place: &str) -> String {
        format!("{}{kind}:{place}", self.prefix)
    }

    /// The key of a value, and what it is sealed under; `None` if it is not known what was dropped.
    async fn located(&self, name: &Name) -> Option<(String, String)> {
        if name.is_lasting {
            return Some((self.key("lasting", &name.place()), name.text.clone()));
        }
        let has_untold = || !self.untold.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if self.drops.load(Ordering::Relaxed) == UNKNOWN || has_untold() {
            // At first nothing is held here that others have dropped; what is untold is still to be dropped there.
            self.exchange_drops().await?;
        }
        let drops = self.drops.load(Ordering::Relaxed);
        let key = self.key("value", &format!("{drops}:{}", name.place()));
        Some((key, format!("{drops} {}", name.text)))
    }

    async fn read(&self, names: &[Name]) -> Option<Vec<Option<Vec<u8>>>> {
        let mut located = Vec::with_capacity(names.len());
        for name in names {
            located.push(self.located(name).await?);
        }
        let mut request = redis::pipe();
        for (key, _) in &located {
            // Longer than it can be is not read, whatever it is.
            request.cmd("GETRANGE").arg(key).arg(0).arg(PART_BYTES);
        }
        let first = self.link.read(BOUND, request.ignore_errors()).await?;
        let mut found = Vec::with_capacity(names.len());
        for ((key, text), first) in located.iter().zip(first) {
            let sealed = match first.as_deref().map(<[u8]>::split_first) {
                Some(None) => {
                    count_read("miss");
                    found.push(None);
                    continue;
                }
                Some(Some((&WHOLE, sealed))) => Some(sealed.to_vec()),
                Some(Some((&IN_PARTS, parts))) => self.read_parts(key, parts).await,
                Some(Some(_)) | None => None,
            };
            let kept = sealed.and_then(|sealed| self.sealer.open(text, &sealed));
            count_read(if kept.is_some() { "hit" } else { "spoiled" });
            found.push(kept);
        }
        Some(found)
    }

    async fn read_parts(&self, key: &str, parts: &[u8]) -> Option<Vec<u8>> {
        let parts = u32::from_le_bytes(parts.try_into().ok()?) as usize;
        let mut sealed = Vec::new();
        for part in 0..Some(parts).filter(|parts| *parts <= MOST_PARTS)? {
            let mut request = redis::pipe();
            request
                .cmd("GETRANGE")
                .arg(format!("{key}:{part}"))
                .arg(0)
                .arg(PART_BYTES);
            let part = self.link.read(BOUND, request.ignore_errors()).await?;
            sealed.extend_from_slice(part.first()?.as_ref()?);
        }
        Some(sealed)
    }

    /// Several at once, as far as they are small.
    async fn write(&self, entries: Vec<Entry>, made: Mark) -> Option<()> {
        let (mut request, mut bytes) = (redis::pipe(), 0);
        for entry in entries {
            let (key, text) = self.located(&entry.name).await?;
            let is_out_of_date = made.0 != UNKNOWN && made.0 != self.drops.load(Ordering::Relaxed);
            if is_out_of_date && !entry.name.is_lasting {
                continue;
            }
            let sealed = self.sealer.seal(&text, entry.kept);
            let Some(parts) = parts(&key, &sealed) else { continue };
            for (key, value) in parts {
                if bytes + value.len() > PART_BYTES && bytes > 0 {
                    self.link.run::<()>("write", BOUND, &request).await?;
                    (request, bytes) = (redis::pipe(), 0);
                }
                bytes += value.len();
                let set = request.cmd("SET").arg(key).arg(value);
                set.arg("PX").arg(millis(entry.ttl).max(1)).ignore();
            }
        }
        if bytes > 0 {
            self.link.run::<()>("write", BOUND, &request).await?;
        }
        Some(())
    }

    async fn exchange_drops(&self) -> Option<Vec<String>> {
        let known = self.drops.load(Ordering::Relaxed);
        let untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let script = Script::new(DROPS);
        let mut request = script.key(self.key("drops", ""));
        request.arg(i64::try_from(known).unwrap_or(-1)).arg(DROPS_KNOWN);
        for what in &untold {
            request.arg(what);
        }
        let told: Vec<redis::Value> = self.link.invoke("drops", BOUND, &request).await?;
        let mut told = told.into_iter();
        let latest: u64 = told.next().and_then(|latest| redis::from_redis_value(latest).ok())?;
        let news = told.map(|what| redis::from_redis_value(what).unwrap_or_default());
        let mut left = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have told it at the same time: then it is dropped twice.
        let told = untold.len().min(left.len());
        left.drain(..told);
        drop(left);
        let _ = self.drops.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
            (known == UNKNOWN || known < latest).then_some(latest)
        });
        Some(news.collect())
    }
}

/// A value as it is kept: whole, or in parts of their own and then, when all of them are there, their number. `None` if it
/// is too long. Parts of two writers do not open together.
fn parts(key: &str, sealed: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    if sealed.len() < PART_BYTES {
        return Some(vec![(key.to_owned(), [&[WHOLE][..], sealed].concat())]);
    }
    let chunks = sealed.chunks(PART_BYTES);
    if chunks.len() > MOST_PARTS {
        return None;
    }
    let count = u32::try_from(chunks.len()).ok()?;
    let parts = chunks.enumerate();
    let mut kept: Vec<_> = parts
        .map(|(part, bytes)| (format!("{key}:{part}"), bytes.to_vec()))
        .collect();
    kept.push((key.to_owned(), [&[IN_PARTS][..], &count.to_le_bytes()].concat()));
    Some(kept)
}

fn count_read(outcome: &'static str) {
    metrics::counter!(telemetry::FLEET_READS, "outcome" => outcome).increment(1);
}

/// Something that this replica does for all, until it is released, or a while after nothing is heard of it.
pub(crate) struct Claim {
    member: Arc<Member>,
    key: String,
    token: String,
}

/// Takes a lock that nobody has. One that lasts longer than a lock does is none.
///
/// `KEYS`: the lock. `ARGV`: the holder's token; milliseconds. Returns whether it is the holder's.
const TAKE: &str = r"
local lasts = redis.call('PTTL', KEYS[1])
if lasts >= 0 and lasts <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Sets the time a lock lasts if it is still the holder's, or lets go of it.
///
/// `KEYS`: the lock. `ARGV`: the holder's token; milliseconds, 0 to let go.
const HOLD: &str = r"
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

impl Claim {
    /// Whether it is ours now; `None` if that cannot be told.
    async fn take(&self) -> Option<bool> {
        let script = Script::new(TAKE);
        let mut request = script.key(&self.key);
        request.arg(&self.token).arg(millis(CLAIMED_FOR));
        let taken: i64 = self.member.link.invoke("claim", BOUND, &request).await?;
        Some(taken == 1)
    }

    /// Does something while nobody else is to do it.
    pub(crate) async fn while_held<T>(&self, work: impl Future<Output = T>) -> T {
        let still_at_it = async {
            loop {
                sleep(STILL_AT_IT).await;
                // If it has passed to others, both do it.
                self.hold(CLAIMED_FOR).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = still_at_it => unreachable!("it goes on for ever"),
        }
    }

    /// Lets others have it.
    pub(crate) async fn release(self) {
        self.hold(Duration::ZERO).await;
    }

    async fn hold(&self, lasts: Duration) {
        let script = Script::new(HOLD);
        let mut request = script.key(&self.key);
        request.arg(&self.token).arg(millis(lasts));
        let _: Option<i64> = self.member.link.invoke("hold", BOUND, &request).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_kept_in_parts_and_what_is_too_long_is_not_kept() {
        for (length, expected) in [
            (0, Some(1)),
            (PART_BYTES - 1, Some(1)),
            (PART_BYTES, Some(2)),
            (PART_BYTES + 1, Some(3)),
            (PART_BYTES * MOST_PARTS, Some(MOST_PARTS + 1)),
            (PART_BYTES * MOST_PARTS + 1, None),
        ] {
            let kept = parts("key", &vec![7; length]);
            assert_eq!(kept.as_ref().map(Vec::len), expected, "{length}");
            let bytes = |kept: &[(String, Vec<u8>)]| kept.iter().map(|(_, bytes)| bytes.len()).max();
            assert!(kept.is_none_or(|kept| bytes(&kept) <= Some(PART_BYTES)), "{length}");
        }
    }
}
