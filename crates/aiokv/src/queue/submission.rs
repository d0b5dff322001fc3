//! An operation on its way to the writer, and how its answer gets back.

use std::sync::Arc;
use std::time::Instant;

use super::operation::{Operation, Outcome};
use crate::error::Error;
use crate::options::Options;

/// Takes the answer to one operation, on the thread that serves the file.
///
/// A thread that holds a lock which these methods take, such as Python's GIL, must not wait for the
/// engine: see the list of locks in `ARCHITECTURE.md`.
pub trait Waiter: Send {
    /// Takes the answer. If the waiters of a batch are to be woken together, returns what does it.
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>>;
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
    pub(crate) options: Arc<Options>,
    pub(crate) started: Instant,
    /// Set by the queue: a write that was submitted before may change what this operation sees.
    pub(super) after_write: bool,
}

impl Submission {
    pub(crate) fn new(
        operation: Operation,
        waiter: Box<dyn Waiter>,
        options: Arc<Options>,
        started: Instant,
    ) -> Self {
        Self { operation, waiter, options, started, after_write: false }
    }

    /// Whether it is a read that no earlier write can change.
    pub(crate) fn is_free_read(&self) -> bool {
        !self.after_write
            && matches!(
                self.operation,
                Operation::Read(_) | Operation::ReadPrefix(_) | Operation::Survey { .. }
            )
    }
}

/// Gives the answers, in the order of the operations, and then wakes those who wait.
pub(super) fn answer(batch: Vec<Submission>, answers: Vec<Result<Outcome, Error>>) {
    debug_assert_eq!(batch.len(), answers.len(), "every operation has one answer");
    let mut wakes: Vec<Arc<dyn Wake>> = Vec::new();
    for (submission, answer) in batch.into_iter().zip(answers) {
        if let Some(wake) = submission.waiter.answer(answer)
            && !wakes.iter().any(|other| Arc::ptr_eq(other, &wake))
        {
            wakes.push(wake);
        }
    }
    for wake in wakes {
        wake.wake();
    }
}
