//! Work that takes a processor for longer than others may wait for it.
//!
//! Requests are answered by a few threads; while one of them computes for some milliseconds, everybody else waits,
//! probes included, and the limit on what is worked on sees nothing of it. Such work is put aside, to threads that get
//! what those leave of the processors.

use std::cell::Cell;

use tokio::task::{JoinError, spawn_blocking};

/// Has the work done aside. It fails only by a panic, or by the end of the process.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    spawn_blocking(|| {
        step_back();
        work()
    })
    .await
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
