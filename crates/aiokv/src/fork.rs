//! `fork`: parent and child both go on working.
//!
//! A child has the memory of its parent but none of its threads. So that it finds nothing half
//! done, a fork waits until no writer is inside a commit and holds them off until it is over. The
//! child then forgets every engine, and the next operation of each store starts a new one.
//!
//! The functions here are the hooks of whatever forks; Python calls them around `os.fork`. All
//! three are to be called by the thread that forks.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::{self, Paused};
use crate::opening::{self, Opening};

/// Held for reading by every writer at work, for writing by a thread that forks.
static WORK: RwLock<()> = RwLock::new(());

/// How many forks lie between this process and the first one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// What a thread that forks holds, in the reverse order of locking.
struct Held {
    opening: MutexGuard<'static, Opening>,
    engines: Paused,
    _work: RwLockWriteGuard<'static, ()>,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Waits until no commit is under way and holds back the next ones. The wait is as long as one
/// commit takes; a commit that waits for another process's lock does not count.
pub fn before() {
    let work = WORK.write().unwrap_or_else(PoisonError::into_inner);
    let engines = engine::pause();
    let opening = opening::pause();
    HELD.set(Some(Held { opening, engines, _work: work }));
}

/// Lets the commits of the parent go on.
pub fn after_in_parent() {
    HELD.take();
}

/// Forgets the engines of the parent, which have no threads in the child.
pub fn after_in_child() {
    if let Some(mut held) = HELD.take() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        held.opening.forget();
        held.engines.forget();
    }
}

/// Held by a writer while a fork would tear what it does.
pub(crate) fn work() -> RwLockReadGuard<'static, ()> {
    WORK.read().unwrap_or_else(PoisonError::into_inner)
}

/// The generation of this process. What carries another one is the parent's.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
