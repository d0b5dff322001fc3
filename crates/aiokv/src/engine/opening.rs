//! The order of operations while it is not known yet which file a path names.
//!
//! Two stores may spell the path of one file in different ways. Until the second path has been
//! resolved, which takes file-system calls and so happens on the thread of its engine, nobody can
//! say whether their operations are on one file. So whatever is started meanwhile, on any store,
//! waits here, and goes on in the order in which it was started once all paths are resolved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::engine::gate;
use crate::engine::registry::Handle;
use crate::queue::order::Submission;

static OPENING: Mutex<Opening> = Mutex::new(Opening { unresolved: 0, held: Vec::new() });

/// Whether any path is unresolved, for a look without the lock.
static ANY: AtomicBool = AtomicBool::new(false);

struct Opening {
    /// How many engines do not know their file yet.
    unresolved: usize,
    held: Vec<(Handle, Submission)>,
}

/// Whether a path is being resolved, so that nothing can be answered at once.
pub(crate) fn any() -> bool {
    ANY.load(Ordering::Acquire)
}

/// Exists while an engine resolves its path.
pub(crate) struct Unresolved(());

impl Unresolved {
    pub(crate) fn begin() -> Self {
        lock().unresolved += 1;
        ANY.store(true, Ordering::Release);
        Self(())
    }
}

impl Drop for Unresolved {
    fn drop(&mut self) {
        let _work = gate::work();
        let mut opening = lock();
        opening.unresolved -= 1;
        if opening.unresolved > 0 {
            return;
        }
        let submit = |(handle, submission): (Handle, Submission)| {
            if let Err(submission) = handle.submit_now(submission) {
                handle.refuse(submission);
            }
            handle
        };
        let handles: Vec<_> = opening.held.drain(..).map(submit).collect();
        ANY.store(false, Ordering::Release);
        drop(opening);
        // Dropping a handle locks the registry, which comes before this in the order of locks.
        drop(handles);
    }
}

/// Queues an operation, now or when all paths are resolved; gives it back if the engine is gone.
pub(crate) fn submit(handle: &Handle, submission: Submission) -> Result<(), Submission> {
    if any() {
        let second = handle.second();
        let mut opening = lock();
        if opening.unresolved > 0 {
            opening.held.push((second, submission));
            return Ok(());
        }
    }
    handle.submit_now(submission)
}

/// Forgets what is held, in the child of a fork: it belongs to the parent.
pub(crate) fn forget() {
    let mut opening = lock();
    opening.unresolved = 0;
    std::mem::forget(std::mem::take(&mut opening.held));
    ANY.store(false, Ordering::Release);
}

fn lock() -> MutexGuard<'static, Opening> {
    OPENING.lock().expect("nothing panics while this is locked")
}
