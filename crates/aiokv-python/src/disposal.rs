//! Frees, on one thread of its own, what may take long to free.
//!
//! A snapshot that is dropped can be the last holder of a whole state. An event loop must not wait
//! until all of it is freed. However much is handed over, there is at most one thread for it, which
//! ends when nothing is left.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is to be freed. Locked only for the moment of adding or taking something, by a thread that
/// holds the GIL or `FREEING`. A thread that forks holds both.
static DISPOSAL: Mutex<Disposal> = Mutex::new(Disposal { waiting: Vec::new(), has_thread: false });

/// Held by the thread while it frees something, and by a thread that forks. A thread that holds the
/// GIL must not lock it.
static FREEING: Mutex<()> = Mutex::new(());

thread_local! {
    /// `FREEING`, held by a thread that forks.
    static FORKING: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

struct Disposal {
    waiting: Vec<Garbage>,
    has_thread: bool,
}

/// It must not hold Python objects.
type Garbage = Box<dyn Any + Send>;

/// Frees something soon, on another thread. If no thread can be started, it stays until the next
/// call. The caller must hold the GIL.
pub(crate) fn dispose(garbage: impl Any + Send) {
    let mut disposal = lock(&DISPOSAL);
    disposal.waiting.push(Box::new(garbage));
    if !disposal.has_thread {
        let thread = thread::Builder::new().name("aiokv-dispose".to_owned());
        disposal.has_thread = thread.spawn(free_everything).is_ok();
    }
}

/// Waits until nothing is being freed, and holds off what comes next. The caller must not hold the
/// GIL.
pub(crate) fn before_fork() {
    FORKING.set(Some(lock(&FREEING)));
}

/// Goes on freeing.
pub(crate) fn after_fork_in_parent() {
    FORKING.take();
}

/// The child has what is to be freed, but not the thread that frees it.
pub(crate) fn after_fork_in_child() {
    lock(&DISPOSAL).has_thread = false;
    FORKING.take();
}

fn free_everything() {
    loop {
        let freeing = lock(&FREEING);
        let mut disposal = lock(&DISPOSAL);
        let waiting = std::mem::take(&mut disposal.waiting);
        if waiting.is_empty() {
            disposal.has_thread = false;
            return;
        }
        drop(disposal);
        drop(waiting);
        drop(freeing);
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
