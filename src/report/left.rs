//! Answers as they were written, left for other replicas: one that is asked the same within the minute, and has not got
//! what it was made of, need not take all of that from Redis to write the same once more.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{Basis, Reports, Seen, Written};
use crate::{
    fleet::{Entry, Mark, Name},
    query::{Permitted, Query},
    table::{CacheUse, Provenance},
};

/// As long as a request means the same.
const LEFT_FOR: Duration = Duration::from_mins(1);
/// What is longer is made of its parts as quickly.
const MOST_BYTES: usize = 256 << 10;
/// Raised when what is left is laid out otherwise.
const LAYOUT: u32 = 1;

/// An answer that another replica has left.
pub struct Left {
    /// As it was written; not compressed, and held by nobody.
    pub written: Arc<Written>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// How much longer it is fresh.
    pub fresh_for: Duration,
    /// What it is known by, when the same is asked again.
    pub seen: Seen,
}

/// What an answer that was left is known by: it is the answer until it is not fresh, or something is held that was not.
#[derive(Debug)]
pub(super) struct SeenLeft {
    told: Told,
    provenance: Provenance,
    changes: u64,
}

/// What is told of an answer, before its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    as_of: Timestamp,
    settled_through: Timestamp,
    complete: bool,
    /// When it was fresh for so long.
    at: Timestamp,
    fresh_for: Duration,
    tag: Box<str>,
    columns: Option<Box<RawValue>>,
}

impl SeenLeft {
    pub(super) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    pub(super) fn again(&self, changes: u64, now: Timestamp) -> Option<(Provenance, Duration)> {
        let fresh_for = self.told.fresh_for(now).filter(|_| changes == self.changes)?;
        Some((self.provenance.clone(), fresh_for))
    }
}

impl Told {
    /// How much longer the answer is fresh, if it is; what has settled stays so.
    fn fresh_for(&self, now: Timestamp) -> Option<Duration> {
        if self.complete {
            return Some(self.fresh_for);
        }
        let passed = Duration::try_from(now.duration_since(self.at)).ok()?;
        self.fresh_for.checked_sub(passed)
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            as_of: self.as_of,
            complete: self.complete,
            settled_through: self.settled_through,
            cache: CacheUse::Hit,
            upstream_calls: 0,
        }
    }
}

impl Reports {
    /// Whether there are other replicas to leave something to.
    pub fn has_others(&self) -> bool {
        self.0.settings.fleet.is_used()
    }

    /// What is known to have been dropped so far.
    pub fn mark(&self) -> Mark {
        self.0.settings.fleet.mark()
    }

    /// What another replica has written for this, if that is fresh, and what it is made of is not at hand here.
    pub async fn left_written(&self, what: &str, query: &Permitted<Query>) -> Option<Left> {
        if self.is_at_hand(query) {
            return None;
        }
        let changes = self.0.series.changes();
        let kept = self.0.settings.fleet.read(&[self.name(what)]).await.pop()??;
        let (told, answer) = decode(&kept)?;
        let (provenance, fresh_for) = (told.provenance(), told.fresh_for(self.now())?);
        let written = Written {
            answer: answer.to_vec().into(),
            tag: told.tag.clone(),
            columns: told.columns.clone(),
            compressed: None,
        };
        self.count_hit();
        Some(Left {
            written: Arc::new(written),
            provenance: provenance.clone(),
            fresh_for,
            seen: Seen(Basis::Left(SeenLeft {
                told,
                provenance,
                changes,
            })),
        })
    }

    /// Leaves an answer that can be known again for other replicas, in its own time, unless something was dropped since the
    /// mark was made. It was asked for `at` that moment, and is fresh for so long from then on, if not longer.
    pub fn leave_written(
        &self,
        what: &str,
        written: &Written,
        provenance: &Provenance,
        fresh_for: Duration,
        (mark, at): (Mark, Timestamp),
    ) {
        if written.answer.len() > MOST_BYTES {
            return;
        }
        let told = Told {
            as_of: provenance.as_of,
            settled_through: provenance.settled_through,
            complete: provenance.complete,
            at,
            fresh_for,
            tag: written.tag.clone(),
            columns: written.columns.clone(),
        };
        let entry = Entry {
            name: self.name(what),
            kept: encode(&told, &written.answer),
            ttl: LEFT_FOR,
        };
        let fleet = self.0.settings.fleet.clone();
        tokio::spawn(async move { fleet.write(vec![entry], mark).await });
    }

    /// Another version writes otherwise, and who has other windows judges freshness otherwise.
    fn name(&self, what: &str) -> Name {
        let windows = format!("{:?}", self.0.settings.windows);
        Name::of(json!(["answer", LAYOUT, env!("CARGO_PKG_VERSION"), windows, what]).to_string())
    }
}

/// The length of what is told, that, and the answer.
fn encode(told: &Told, answer: &[u8]) -> Vec<u8> {
    let told = serde_json::to_vec(told).expect("writing to memory does not fail");
    let length = u32::try_from(told.len()).expect("it is some hundred bytes");
    [&length.to_le_bytes(), &told[..], answer].concat()
}

fn decode(kept: &[u8]) -> Option<(Told, &[u8])> {
    let (length, rest) = kept.split_first_chunk()?;
    let (told, answer) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((serde_json::from_slice(told).ok()?, answer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(complete: bool) -> Told {
        Told {
            as_of: "2026-03-01T12:00:00.123456789Z".parse().unwrap(),
            settled_through: "2026-03-01T00:00:00Z".parse().unwrap(),
            complete,
            at: "2026-03-01T12:00:05Z".parse().unwrap(),
            fresh_for: Duration::from_secs(25),
            tag: "W/\"a\"".into(),
            columns: Some(RawValue::from_string("[{\"name\":\"ü\"}]".to_owned()).unwrap()),
        }
    }

    #[test]
    fn what_was_left_is_read_as_it_was() {
        let kept = encode(&told(false), b"{\"entities\":[]}");
        let (back, answer) = decode(&kept).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", told(false)));
        assert_eq!(answer, b"{\"entities\":[]}");
    }

    #[test]
    fn it_is_fresh_until_it_is_not_or_something_changed() {
        for (complete, now, changes, left) in [
            (false, "2026-03-01T12:00:05Z", 7, Some(25)),
            (false, "2026-03-01T12:00:30Z", 7, Some(0)),
            (false, "2026-03-01T12:00:31Z", 7, None),
            (true, "2026-03-01T12:00:31Z", 7, Some(25)),
            (true, "2026-03-01T12:00:31Z", 8, None),
            // A clock that is behind knows nothing of ages.
            (false, "2026-03-01T12:00:04Z", 7, None),
        ] {
            let seen = SeenLeft {
                told: told(complete),
                provenance: told(complete).provenance(),
                changes: 7,
            };
            let again = seen.again(changes, now.parse().unwrap());
            assert_eq!(
                again.map(|(_, fresh_for)| fresh_for.as_secs()),
                left,
                "{complete} {now} {changes}"
            );
        }
    }

    proptest! {
        #![proptest_config(crate::fuzz::cases())]

        /// Whatever stands there, it is read or it is not.
        #[test]
        fn fuzz_left(kept in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
            let _ = decode(&kept);
            let whole = encode(&told(false), &kept);
            prop_assert!(decode(&whole).is_some_and(|(_, answer)| answer == kept));
            let _ = decode(&whole[..cut.index(whole.len())]);
        }
    }
}
