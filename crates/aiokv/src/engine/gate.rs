//! The gate between the writers at work and a thread that forks: never both at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held for reading by every thread of the pool at work, for writing by a thread that forks.
static WORK: RwLock<()> = RwLock::new(());

/// How many forks lie between this process and the first one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Held by a writer while a fork would tear what it does.
pub(crate) fn work() -> RwLockReadGuard<'static, ()> {
    WORK.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no writer is at work, and holds back all of them.
pub(crate) fn close() -> RwLockWriteGuard<'static, ()> {
    WORK.write().unwrap_or_else(PoisonError::into_inner)
}

/// The generation of this process. What carries another one is the parent's.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Begins a new generation, in the child of a fork.
pub(crate) fn begin_generation() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
