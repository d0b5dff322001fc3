//! The Python state of the writers' threads, kept for as long as they live.
//!
//! A thread that Python does not know gets such a state whenever it takes the GIL, and loses it
//! with the GIL. Making one costs more than everything else that the writer does between the last
//! flush of a commit and the answer, so a writer makes it once.

use std::cell::{OnceCell, RefCell};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use pyo3::ffi;

/// Whether the interpreter is ending, so that no thread may give its state back any more. Held
/// for reading while a thread does so.
static ENDING: RwLock<bool> = RwLock::new(false);

thread_local! {
    static KEPT: OnceCell<ThreadState> = const { OnceCell::new() };
    /// Held by a thread that forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, bool>>> = const { RefCell::new(None) };
}

struct ThreadState {
    outermost: ffi::PyGILState_STATE,
    detached: *mut ffi::PyThreadState,
}

/// Keeps the state of this thread until the thread ends. The thread must not hold the GIL.
pub(crate) fn keep() {
    KEPT.with(|kept| {
        kept.get_or_init(|| {
            // SAFETY: The interpreter is running, because it waits for the writers before it ends.
            // The outermost `Ensure` creates the state; it is released when the thread ends.
            // `SaveThread` gives the GIL back, and inner pairs of `Ensure` and `Release` leave the
            // state as they find it.
            unsafe {
                let outermost = ffi::PyGILState_Ensure();
                ThreadState { outermost, detached: ffi::PyEval_SaveThread() }
            }
        });
    });
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        let ending = ENDING.read().unwrap_or_else(PoisonError::into_inner);
        if !*ending {
            // SAFETY: Both values come from this thread, and the interpreter cannot end before
            // `ending` is released.
            unsafe {
                ffi::PyEval_RestoreThread(self.detached);
                ffi::PyGILState_Release(self.outermost);
            }
        }
    }
}

/// Waits until no thread is giving its state back, and holds back the next ones: the child would
/// find them in the middle of it for ever. The caller must not hold the GIL.
pub(crate) fn before_fork() {
    FORKING.set(Some(ENDING.write().unwrap_or_else(PoisonError::into_inner)));
}

/// Lets threads give their states back, in the parent and in the child.
pub(crate) fn after_fork() {
    FORKING.take();
}

/// From now on no thread gives its state back. The caller must not hold the GIL, which a thread
/// that does so at the moment needs.
pub(crate) fn interpreter_ends() {
    *ENDING.write().unwrap_or_else(PoisonError::into_inner) = true;
}
