//! The queue between the threads that start operations and the one that carries them out.
//!
//! The queue gives the order: an operation takes effect in the order in which it was submitted.
//! It also knows which keys have a write that is not decided yet, so that a read of any other key
//! need not wait.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::error::Error;
use crate::operation::{Answer, Operation, Target};
use crate::options::Options;

/// Takes the answer to one operation, on the writer's thread.
///
/// No lock of the engine is held while these methods run.
pub trait Waiter: Send {
    /// Takes the answer. If the waiters of a batch are to be woken together, returns what does it.
    fn answer(self: Box<Self>, answer: Result<Answer, Error>) -> Option<Arc<dyn Wake>>;
}

/// Wakes those who wait, once after all answers of a batch were given.
pub trait Wake: Send + Sync {
    /// Called once for each batch.
    fn wake(&self);
}

/// An operation on its way to the writer.
pub(crate) struct Submission {
    pub(crate) operation: Operation,
    pub(crate) waiter: Box<dyn Waiter>,
    pub(crate) fsync: bool,
    pub(crate) started: Instant,
    pub(crate) lock_timeout: Duration,
    /// Set by the queue: a write that was submitted before may change what this operation sees.
    pub(crate) after_write: bool,
}

impl Submission {
    pub(crate) fn new(operation: Operation, waiter: Box<dyn Waiter>, options: &Options) -> Self {
        Self {
            operation,
            waiter,
            fsync: options.fsync,
            started: Instant::now(),
            lock_timeout: options.lock_timeout,
            after_write: false,
        }
    }

    /// Whether it is a read that no earlier write can change.
    pub(crate) fn is_free(&self) -> bool {
        !self.after_write && !self.operation.is_write()
    }
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// The number of undecided writes, for a look without the lock.
    undecided: AtomicUsize,
    hasher: RandomState,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Submission>,
    /// How many undecided writes there are for the keys with this hash. Two keys with the same
    /// hash only make a read wait that need not.
    keys: HashMap<u64, usize>,
    /// How many undecided writes change every key.
    everything: usize,
    /// The writer sleeps until something arrives.
    writer_sleeps: bool,
    /// Nothing is accepted any more.
    closed: bool,
    /// Nobody is left who could submit anything.
    abandoned: bool,
}

impl Queue {
    /// Adds an operation, or gives it back if the queue was closed.
    pub(crate) fn push(&self, mut submission: Submission) -> Result<(), Submission> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(submission);
        }
        submission.after_write = match &submission.operation {
            Operation::Get(key) => inner.is_undecided(self.hasher.hash_one(&**key)),
            _ => self.undecided.load(Ordering::Relaxed) > 0,
        };
        match submission.operation.target() {
            Target::Nothing => {}
            Target::Key(key) => *inner.keys.entry(self.hasher.hash_one(&*key)).or_default() += 1,
            Target::Everything => inner.everything += 1,
        }
        if submission.operation.is_write() {
            self.undecided.fetch_add(1, Ordering::Release);
        }
        inner.waiting.push(submission);
        self.wake_writer(inner);
        Ok(())
    }

    /// Whether a write that is not decided yet may change this key.
    pub(crate) fn is_undecided(&self, key: &[u8]) -> bool {
        self.undecided.load(Ordering::Acquire) > 0
            && self.lock().is_undecided(self.hasher.hash_one(key))
    }

    /// Takes everything that waits, as one batch; waits for something if there is nothing.
    /// `None` once nothing will come any more.
    pub(crate) fn take(&self) -> Option<Vec<Submission>> {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.abandoned {
                return None;
            }
            inner.writer_sleeps = true;
            inner = self.arrived.wait(inner).expect(NOT_POISONED);
        }
        Some(std::mem::take(&mut inner.waiting))
    }

    /// Waits for at most `pause`, or until there is a read that no earlier write can change.
    pub(crate) fn wait_for_free(&self, pause: Duration) {
        let mut inner = self.lock();
        if !inner.waiting.iter().any(Submission::is_free) {
            inner.writer_sleeps = true;
            inner = self.arrived.wait_timeout(inner, pause).expect(NOT_POISONED).0;
            inner.writer_sleeps = false;
        }
    }

    /// Takes the reads that no earlier write can change.
    pub(crate) fn take_free(&self) -> Vec<Submission> {
        self.lock().waiting.extract_if(.., |submission| submission.is_free()).collect()
    }

    /// Marks the writes of a batch as decided: reads that start from now on need not wait for
    /// them.
    pub(crate) fn decide(&self, batch: &[Submission]) {
        let mut inner = self.lock();
        for submission in batch {
            match submission.operation.target() {
                Target::Nothing => continue,
                Target::Everything => inner.everything -= 1,
                Target::Key(key) => {
                    let hash = self.hasher.hash_one(&*key);
                    let count = inner.keys.get_mut(&hash).expect("counted when it was pushed");
                    *count -= 1;
                    if *count == 0 {
                        inner.keys.remove(&hash);
                    }
                }
            }
            self.undecided.fetch_sub(1, Ordering::Release);
        }
    }

    /// Says whether there is still somebody who could submit something.
    pub(crate) fn set_abandoned(&self, abandoned: bool) {
        let mut inner = self.lock();
        inner.abandoned = abandoned;
        self.wake_writer(inner);
    }

    /// Accepts nothing more and hands over what waits, before anybody is refused.
    pub(crate) fn close(&self, mut hand_over: impl FnMut(Submission)) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting.drain(..).for_each(&mut hand_over);
    }

    fn wake_writer(&self, mut inner: MutexGuard<'_, Inner>) {
        if std::mem::take(&mut inner.writer_sleeps) {
            drop(inner);
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect(NOT_POISONED)
    }
}

impl Inner {
    fn is_undecided(&self, hash: u64) -> bool {
        self.everything > 0 || self.keys.contains_key(&hash)
    }
}

const NOT_POISONED: &str = "nothing panics while the queue is locked";
