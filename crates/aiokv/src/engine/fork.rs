//! `fork`: parent and child both go on working.
//!
//! A child has the memory of its parent but none of its threads. So that it finds nothing half
//! done, a fork waits until no thread of the pool is at work and holds all of them off until it is
//! over. The child then forgets every engine, and the next operation of each store starts a new
//! one.
//!
//! The functions here are the hooks of whatever forks; Python calls them around `os.fork`. All
//! three are to be called by the thread that forks, and no other thread may be inside a call of
//! this crate at the moment of the fork, which in Python the GIL ensures.

use std::cell::RefCell;
use std::sync::RwLockWriteGuard;

use super::{gate, notify, pool, registry};

thread_local! {
    static GATE: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits until no thread of the pool is at work and holds them back. The wait is as long as one
/// commit or one step of a checkpoint takes; a commit that waits for another process's lock does
/// not count.
///
/// The caller must not hold a lock that a waiter needs to take its answer, such as Python's GIL.
pub fn before() {
    GATE.set(Some(gate::close()));
}

/// Lets the threads of the parent go on.
pub fn after_in_parent() {
    GATE.take();
}

/// Forgets the engines of the parent, which have no threads in the child.
pub fn after_in_child() {
    gate::begin_generation();
    pool::forget();
    registry::forget();
    notify::forget();
    GATE.take();
}
