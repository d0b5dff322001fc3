//! `fork`: parent and child both go on working.
//!
//! A child has the memory of its parent but none of its threads. So that it finds nothing half
//! done, a fork waits until no writer is inside a commit and holds them off until it is over. The
//! child then forgets every engine, and the next operation of each store starts a new one.
//!
//! The functions here are the hooks of whatever forks; Python calls them around `os.fork`. All
//! three are to be called by the thread that forks.

use std::cell::RefCell;
use std::sync::{MutexGuard, RwLockWriteGuard};

use crate::engine::{self, Paused};
use crate::gate;
use crate::opening::{self, Opening};

/// What a thread that forks holds, in the reverse order of locking.
struct Held {
    opening: MutexGuard<'static, Opening>,
    engines: Paused,
    _gate: RwLockWriteGuard<'static, ()>,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Waits until no commit is under way and holds back the next ones. The wait is as long as one
/// commit takes; a commit that waits for another process's lock does not count.
pub fn before() {
    let gate = gate::close();
    let engines = engine::pause();
    let opening = opening::pause();
    HELD.set(Some(Held { opening, engines, _gate: gate }));
}

/// Lets the commits of the parent go on.
pub fn after_in_parent() {
    HELD.take();
}

/// Forgets the engines of the parent, which have no threads in the child.
pub fn after_in_child() {
    if let Some(mut held) = HELD.take() {
        gate::begin_generation();
        held.opening.forget();
        held.engines.forget();
    }
}
