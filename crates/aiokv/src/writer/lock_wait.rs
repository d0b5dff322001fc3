//! Waiting in the kernel for the lock of the state file.
//!
//! A process that commits in a tight loop holds the lock most of the time, so another one that only
//! tries now and then seldom finds it free. The kernel, in contrast, wakes those who wait for it.
//! It has no time limit, so a thread of its own waits ([`LockWait::run`]), on a handle of its own,
//! and hands that over with the lock. A writer that has given up meanwhile cancels, and then the
//! thread releases the lock.

use std::sync::{Mutex, MutexGuard};

use crate::files::storage::Lock;
use crate::files::{Handle, LockedFile};

/// See the [module](self).
pub(crate) struct LockWait {
    handle: Handle,
    lock: Lock,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The thread waits.
    Waiting,
    /// The thread waits, but the writer has given up. It can resume.
    Cancelled,
    /// The handle has the lock, for the writer to take.
    Granted,
    /// No thread waits, and there is nothing to take.
    Over,
}

impl LockWait {
    pub(crate) fn new(handle: Handle, lock: Lock) -> Self {
        Self { handle, lock, state: Mutex::new(State::Waiting) }
    }

    /// Waits for the lock, for as long as it takes, and says whether the handle has it. To be
    /// followed by [`LockWait::hand_over`].
    pub(crate) fn run(&self) -> bool {
        self.handle.file.lock(self.lock).is_ok()
    }

    /// Offers the lock to the writer, if the thread got it.
    pub(crate) fn hand_over(&self, locked: bool) {
        let mut state = self.state();
        *state = match *state {
            State::Waiting if locked => State::Granted,
            _ => State::Over,
        };
        if locked && *state == State::Over {
            self.unlock();
        }
    }

    /// Whether a thread need not wait any more, or need not begin to.
    pub(crate) fn is_over(&self) -> bool {
        let mut state = self.state();
        if *state == State::Cancelled {
            *state = State::Over;
        }
        *state == State::Over
    }

    /// Whether the writer will hear of the lock.
    pub(super) fn is_waiting(&self) -> bool {
        *self.state() == State::Waiting
    }

    /// Takes the locked file, if it has been offered and is of this kind.
    pub(super) fn take(&self, lock: Lock) -> Option<LockedFile> {
        let mut state = self.state();
        if *state != State::Granted {
            return None;
        }
        *state = State::Over;
        let locked = LockedFile::new(self.handle.clone());
        (self.lock == lock).then_some(locked)
    }

    /// Lets the thread wait on for the writer, if it waits for this lock. Says whether there is
    /// no use for another thread: each writer has one at most.
    pub(super) fn resume(&self, lock: Lock) -> bool {
        let mut state = self.state();
        if *state == State::Cancelled && self.lock == lock {
            *state = State::Waiting;
        }
        *state != State::Over
    }

    /// Gives up for now. Says whether it is over: then there is no reason to keep the file open, which
    /// may be one that lost its name.
    pub(super) fn cancel(&self) -> bool {
        let mut state = self.state();
        match *state {
            State::Waiting => *state = State::Cancelled,
            State::Granted => {
                *state = State::Over;
                self.unlock();
            }
            State::Cancelled | State::Over => {}
        }
        *state == State::Over
    }

    /// Closes the file, in the child of a fork, where the thread does not exist.
    pub(crate) fn forget(&self) {
        self.handle.file.close_in_child();
    }

    fn unlock(&self) {
        // Cannot fail for a lock that is held.
        let _ = self.handle.file.unlock();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while this is locked")
    }
}
