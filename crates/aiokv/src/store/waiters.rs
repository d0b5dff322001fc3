//! Who takes the answers of operations.

use std::sync::Arc;

use crate::error::Result;
use crate::queue::{Outcome, Waiter, Wake};

/// Answers a Rust future, which has a waker of its own.
pub(super) struct Future(pub(super) oneshot::Sender<Result<Outcome>>);

impl Waiter for Future {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        // If the future was dropped, the operation happened all the same.
        let _ = self.0.send(answer);
        None
    }
}

/// Does something after a success, before another waiter is answered.
pub(super) struct AfterSuccess<F>(pub(super) F, pub(super) Box<dyn Waiter>);

impl<F: FnOnce() + Send> Waiter for AfterSuccess<F> {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        let Self(then, waiter) = *self;
        if answer.is_ok() {
            then();
        }
        waiter.answer(answer)
    }
}
