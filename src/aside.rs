//! Work that takes a processor for longer than others may wait for it.
//!
//! Requests are answered by a few threads; while one of them computes for some milliseconds, everybody else waits,
//! probes included, and the limit on what is worked on sees nothing of it. Such work is put aside, to threads that get
//! what those leave of the processors. There are as many as there are processors, and no more: a hundred would leave
//! little to anybody, and keep the memory of a hundred.

use std::{
    cell::Cell,
    sync::{Arc, LazyLock},
    thread,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// Has the work done aside, when it is its turn. It fails only by a panic, or by the end of the process.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    Turn::wait().await.aside(work).await
}

/// One of the processors, for as long as this is kept. Whoever has one must not wait for another.
#[derive(Debug)]
pub struct Turn {
    _held: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for those who came before.
    pub async fn wait() -> Self {
        static PROCESSORS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
            let processors = thread::available_parallelism().map_or(1, usize::from);
            Arc::new(Semaphore::new(processors))
        });
        let turn = Arc::clone(&PROCESSORS).acquire_owned().await;
        Self {
            _held: turn.expect("the semaphore is never closed"),
        }
    }

    /// Has the work done aside, whoever still waits for it, and lets the next go on.
    pub async fn aside<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let (done, _) = self.once_more(work).await?;
        Ok(done)
    }

    /// The same of work after which there is more to do, for which the turn is kept.
    pub async fn once_more<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), JoinError> {
        spawn_blocking(move || {
            step_back();
            (work(), self)
        })
        .await
    }
}

/// Lets threads that answer requests go first from now on. What else uses threads of this kind reads a file or asks for
/// an address now and then, and computes nothing.
fn step_back() {
    /// As `nice` counts it: such a thread gets about a tenth of what another gets beside it.
    const PRIORITY: i32 = 10;
    thread_local! {
        static HAS_STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
    }
    if !HAS_STEPPED_BACK.replace(true) && cfg!(target_os = "linux") {
        // On Linux "this process" is the thread that asks; elsewhere it would be all of them.
        let _ = rustix::process::setpriority_process(None, PRIORITY);
    }
}
