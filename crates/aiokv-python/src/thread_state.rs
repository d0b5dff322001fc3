//! How threads that work for the engine use the interpreter: its own, which Python did not start,
//! and those of a program while they serve a store themselves, without the GIL.
//!
//! They may use it only while it runs, and it must neither end nor fork while they do. A thread that
//! takes the GIL too late does not get an error: the interpreter stops the thread for ever, or the
//! process.
//!
//! The gate between the two is a lock that a thread of the engine holds while it waits for the GIL.
//! So a thread that holds the GIL must never wait for that lock: it releases the GIL first.

use std::cell::{OnceCell, RefCell};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::{self, ThreadId};

use pyo3::ffi;
use pyo3::prelude::*;

/// Held for reading by a thread of the engine that uses the interpreter, for writing by a thread
/// that forks or ends it.
static USE: RwLock<()> = RwLock::new(());

/// The thread that ends the interpreter, once it is ending. Set while `USE` is held for writing.
static ENDED_BY: OnceLock<ThreadId> = OnceLock::new();

thread_local! {
    static KEPT: OnceCell<ThreadState> = const { OnceCell::new() };
    /// Held by a thread that forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Does something with Python on a thread of the engine, which must not hold the GIL. `None` if
/// the interpreter is ending.
pub(crate) fn while_running<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _use = USE.read().unwrap_or_else(PoisonError::into_inner);
    (!is_ending()).then(work)
}

/// Does something without the GIL, on a thread of the program. Does not return where the thread
/// could not take the GIL again.
pub(crate) fn without_gil<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> T) -> T {
    py.detach(|| {
        let done = work();
        stop_if_gone();
        done
    })
}

/// Raises what a signal handler raises, on a thread that is inside of `without_gil`.
pub(crate) fn check_signals() -> PyResult<()> {
    Python::try_attach(|py| py.check_signals()).unwrap_or_else(|| {
        stop_if_gone();
        Ok(())
    })
}

/// Stops this thread for ever if the interpreter is gone. Python does not wait for daemon threads. It
/// stops one that takes the GIL while the interpreter ends; after that, the state with which the
/// thread would take the GIL is freed. The thread that ends the interpreter goes on.
fn stop_if_gone() {
    // SAFETY: It can be called without the GIL, at any time.
    let is_gone = unsafe { ffi::Py_IsInitialized() } == 0;
    if is_gone && ENDED_BY.get() != Some(&thread::current().id()) {
        loop {
            thread::park();
        }
    }
}

/// Waits until no thread of the engine uses the interpreter, and holds off the next ones. The
/// caller must not hold the GIL.
pub(crate) fn before_fork() {
    FORKING.set(Some(USE.write().unwrap_or_else(PoisonError::into_inner)));
}

/// Lets threads use the interpreter again, in the parent and in the child.
pub(crate) fn after_fork() {
    FORKING.take();
}

/// From now on no thread of the engine uses the interpreter, which this thread ends. The caller
/// must not hold the GIL.
pub(crate) fn interpreter_ends() {
    let _use = USE.write().unwrap_or_else(PoisonError::into_inner);
    ENDED_BY.get_or_init(|| thread::current().id());
}

/// Whether the threads of the engine have stopped using the interpreter. Does not block.
pub(crate) fn is_ending() -> bool {
    ENDED_BY.get().is_some()
}

/// The Python state of a thread. Python gives a thread that it does not know a state whenever that
/// thread takes the GIL, and takes it away with the GIL. Making one costs more than everything else
/// that a writer does between the last flush of a commit and the answer, so it is made once and
/// kept until the thread ends.
struct ThreadState {
    outermost: ffi::PyGILState_STATE,
    detached: *mut ffi::PyThreadState,
}

/// Keeps the state of this thread until the thread ends, unless Python started the thread. For use
/// inside `while_running`.
pub(crate) fn keep() {
    // SAFETY: It can be called without the GIL, and returns null on a thread without a state.
    if !unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
        return;
    }
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
    /// Runs when the thread ends, after the thread has released every lock of the engine.
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
