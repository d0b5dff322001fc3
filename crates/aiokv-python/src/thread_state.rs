//! How the writers' threads, which Python did not start, use the interpreter.
//!
//! They may touch it only while it runs, and it must not end or fork while they do. A thread that
//! takes the GIL too late does not get an error: the interpreter ends the thread, and with it the
//! process.

use std::cell::{OnceCell, RefCell};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use pyo3::ffi;

/// Whether the interpreter is ending. Held for reading by a thread that uses it, for writing by
/// one that forks.
static ENDING: RwLock<bool> = RwLock::new(false);

thread_local! {
    static KEPT: OnceCell<ThreadState> = const { OnceCell::new() };
    /// Held by a thread that forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, bool>>> = const { RefCell::new(None) };
}

/// Does something with Python on a thread of the engine, which must not hold the GIL. `None` if
/// the interpreter is ending.
pub(crate) fn while_running<T>(work: impl FnOnce() -> T) -> Option<T> {
    let ending = ENDING.read().unwrap_or_else(PoisonError::into_inner);
    (!*ending).then(work)
}

/// Waits until no thread uses the interpreter and holds off the next ones. The caller must not
/// hold the GIL, which those threads need.
pub(crate) fn before_fork() {
    FORKING.set(Some(ENDING.write().unwrap_or_else(PoisonError::into_inner)));
}

/// Lets threads use the interpreter again, in the parent and in the child.
pub(crate) fn after_fork() {
    FORKING.take();
}

/// From now on no thread uses the interpreter. The caller must not hold the GIL.
pub(crate) fn interpreter_ends() {
    *ENDING.write().unwrap_or_else(PoisonError::into_inner) = true;
}

/// The Python state of a thread. A thread that Python does not know gets one whenever it takes the
/// GIL, and loses it with the GIL. Making one costs more than everything else that a writer does
/// between the last flush of a commit and the answer, so it is made once and kept.
struct ThreadState {
    outermost: ffi::PyGILState_STATE,
    detached: *mut ffi::PyThreadState,
}

/// Keeps the state of this thread until the thread ends. For use inside `while_running`.
pub(crate) fn keep() {
    KEPT.with(|kept| {
        kept.get_or_init(|| {
            // SAFETY: The interpreter is running. The outermost `Ensure` creates the state; it is
            // released when the thread ends. `SaveThread` gives the GIL back, and inner pairs of
            // `Ensure` and `Release` leave the state as they find it.
            unsafe {
                let outermost = ffi::PyGILState_Ensure();
                ThreadState { outermost, detached: ffi::PyEval_SaveThread() }
            }
        });
    });
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        // An interpreter that ends frees the state itself.
        while_running(|| {
            // SAFETY: The interpreter is running, and both values come from this thread.
            unsafe {
                ffi::PyEval_RestoreThread(self.detached);
                ffi::PyGILState_Release(self.outermost);
            }
        });
    }
}
