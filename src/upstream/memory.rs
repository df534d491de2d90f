//! Room for the answers of the upstream: a bound on the bytes of all fetches together.
//!
//! A request is sent when there is room for an answer of [`USUAL`] size, as long as half of all room is not set aside in
//! this way. What its answer needs beyond that is taken as it comes in, and if there is none, that answer is given up: better one caller who is told so than a process that is
//! killed. The room of an answer is free again when the last of its bytes is let go, however far they were passed on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Errand, UpstreamError};

/// What is set aside for an answer before it comes: a page of a hundred conversations.
const USUAL: usize = 2 << 20;
/// Bytes are counted in pieces of this size, so that their number fits a semaphore's.
const PIECE: usize = 1 << 10;

/// The room of all fetches. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    /// Answers that may come in at once.
    coming: Arc<Semaphore>,
    /// Pieces set aside for an answer before it comes.
    usual: u32,
}

/// Room for one answer.
pub(super) struct Room {
    free: Arc<Semaphore>,
    taken: OwnedSemaphorePermit,
    _coming: OwnedSemaphorePermit,
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        let pieces = usize::try_from(bytes).unwrap_or(usize::MAX) / PIECE;
        let pieces = pieces.clamp(1, u32::MAX as usize);
        let usual = pieces.min(USUAL / PIECE);
        Self {
            free: Arc::new(Semaphore::new(pieces)),
            coming: Arc::new(Semaphore::new((pieces / 2 / usual).max(1))),
            usual: u32::try_from(usual).unwrap_or(u32::MAX),
        }
    }

    /// Waits for room for a usual answer.
    pub(super) async fn room(&self, errand: &Errand) -> Result<Room, UpstreamError> {
        const OPEN: &str = "the semaphore is never closed";
        let room = async {
            let coming = Arc::clone(&self.coming).acquire_owned().await.expect(OPEN);
            let taken = Arc::clone(&self.free).acquire_many_owned(self.usual).await;
            Room {
                free: Arc::clone(&self.free),
                taken: taken.expect(OPEN),
                _coming: coming,
            }
        };
        errand.in_time(room).await.ok_or(UpstreamError::Memory)
    }

    /// Bytes not set aside.
    #[cfg(test)]
    fn free_bytes(&self) -> usize {
        self.free.available_permits() * PIECE
    }
}

impl Room {
    /// Room for an answer of usual size apart from that of all fetches: for the few that are not fetches.
    pub(super) fn apart() -> Self {
        const FREE: &str = "nobody else has any of it";
        let memory = Memory::new(USUAL as u64);
        Self {
            taken: Arc::clone(&memory.free)
                .try_acquire_many_owned(memory.usual)
                .expect(FREE),
            _coming: memory.coming.try_acquire_owned().expect(FREE),
            free: memory.free,
        }
    }

    /// Takes what is missing to so many bytes; whether there was enough.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.div_ceil(PIECE).saturating_sub(self.taken.num_permits());
        let Ok(missing) = u32::try_from(missing) else {
            return false;
        };
        match Arc::clone(&self.free).try_acquire_many_owned(missing) {
            Ok(more) => {
                self.taken.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// The bytes, which keep their room and no more until the last of them is let go.
    pub(super) fn hold(mut self, bytes: Vec<u8>) -> Bytes {
        let spare = self.taken.num_permits().saturating_sub(bytes.len().div_ceil(PIECE));
        drop(self.taken.split(spare));
        Bytes::from_owner(Held {
            bytes,
            _taken: self.taken,
        })
    }
}

struct Held {
    bytes: Vec<u8>,
    _taken: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::upstream::Class;

    fn errand(seconds: u64) -> Errand {
        Errand::new(
            "caller",
            Class::Interactive,
            Instant::now() + Duration::from_secs(seconds),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_keeps_what_it_needs_until_its_last_byte_is_let_go() {
        let memory = Memory::new(8 << 20);
        let mut room = memory.room(&errand(1)).await.unwrap();
        assert_eq!(memory.free_bytes(), 6 << 20);
        assert!(room.grow_to(3 << 20));
        assert_eq!(memory.free_bytes(), 5 << 20);
        let body = room.hold(vec![0; 1500]);
        assert_eq!(memory.free_bytes(), (8 << 20) - 2048);
        let slice = body.slice(10..20);
        drop(body);
        assert_eq!(memory.free_bytes(), (8 << 20) - 2048);
        drop(slice);
        assert_eq!(memory.free_bytes(), 8 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_refused_and_the_next_waits_for_room() {
        let memory = Memory::new(8 << 20);
        let mut large = memory.room(&errand(1)).await.unwrap();
        let other = memory.room(&errand(1)).await.unwrap();
        assert!(!large.grow_to((6 << 20) + 1), "the rest is set aside for another");
        let asked = Instant::now();
        assert!(matches!(memory.room(&errand(1)).await, Err(UpstreamError::Memory)));
        assert_eq!(asked.elapsed(), Duration::from_secs(1));
        drop(other);
        assert!(large.grow_to(8 << 20));
        assert!(!large.grow_to((8 << 20) + 1));
    }
}
