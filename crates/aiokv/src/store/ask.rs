//! How an operation of a store gets to the engine, and how its answer comes back.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::AioKv;
use crate::engine::{self, Handle};
use crate::error::{Error, Result};
use crate::queue::{Operation, Outcome, Submission, Waiter, Wake};

/// How often a thread that waits for an answer asks whether to wait any longer.
const GO_ON_EVERY: Duration = Duration::from_millis(50);

impl AioKv {
    /// Carries an operation out.
    pub(super) async fn ask(&self, operation: Operation) -> Result<Outcome> {
        if self.is_blocking {
            return self.ask_here(operation);
        }
        let (sender, receiver) = oneshot::channel();
        self.submit(operation, Box::new(Future(sender)))?;
        receiver.await.unwrap_or_else(|_| Err(self.writer_gone()))
    }

    /// Puts an operation in the queue, to be answered to `waiter`. Does not block. A successful
    /// [`Operation::Close`] lets go of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no thread can be started. The waiter is dropped then.
    #[doc(hidden)]
    pub fn submit(&self, operation: Operation, waiter: Box<dyn Waiter>) -> Result<()> {
        self.with_handle(|handle| handle.submit(self.submission(operation, waiter)))
    }

    /// Carries an operation out while this thread waits, on this thread if no other one is at work
    /// on the file. The thread must not hold a lock that a waiter needs to take its answer, such as
    /// Python's GIL; so it may be in here while another thread wants to fork, which waits until it
    /// holds no lock of its own.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    #[doc(hidden)]
    pub fn ask_here(&self, operation: Operation) -> Result<Outcome> {
        let answer = self.start_here(operation)?;
        answer.recv().unwrap_or_else(|_| Err(self.writer_gone()))
    }

    /// As [`AioKv::ask_here`], but asks `go_on` now and then whether to wait any longer. `None` if
    /// not; the operation goes on then.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    #[doc(hidden)]
    pub fn ask_here_while(
        &self,
        operation: Operation,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<Outcome>> {
        let answer = self.start_here(operation)?;
        loop {
            match answer.recv_timeout(GO_ON_EVERY) {
                Ok(answer) => return answer.map(Some),
                Err(oneshot::RecvTimeoutError::Timeout) if go_on() => {}
                Err(oneshot::RecvTimeoutError::Timeout) => return Ok(None),
                Err(oneshot::RecvTimeoutError::Disconnected) => return Err(self.writer_gone()),
            }
        }
    }

    /// Starts an operation, and carries it out on this thread if it can be done at once.
    fn start_here(&self, operation: Operation) -> Result<oneshot::Receiver<Result<Outcome>>> {
        let (sender, receiver) = oneshot::channel();
        let is_answered = || receiver.has_message() || receiver.is_closed();
        let submission = self.submission(operation, Box::new(Future(sender)));
        let handle = {
            let _work = engine::work();
            self.with_handle(|handle| Ok(handle.another()))?
        };
        let served = handle.submit_and_serve(submission, is_answered);
        let work = engine::work();
        drop(handle);
        drop(work);
        served?;
        Ok(receiver)
    }

    fn submission(&self, operation: Operation, waiter: Box<dyn Waiter>) -> Submission {
        let waiter: Box<dyn Waiter> = match operation {
            Operation::Close => {
                let shared = Arc::clone(&self.shared);
                Box::new(AfterSuccess(move || shared.let_go(), waiter))
            }
            _ => waiter,
        };
        Submission::new(operation, waiter, Arc::clone(&self.shared.options), Instant::now())
    }

    /// Does something with the handle, which is opened if there is none.
    pub(super) fn with_handle<T>(&self, work: impl FnOnce(&Handle) -> Result<T>) -> Result<T> {
        {
            let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(handle) = handle.as_ref().filter(|handle| handle.is_of_this_process()) {
                return work(handle);
            }
        }
        let mut handle = self.shared.handle.write().unwrap_or_else(PoisonError::into_inner);
        let opened = match handle.take().filter(Handle::is_of_this_process) {
            // Another thread was faster.
            Some(opened) => opened,
            None => Handle::open(&self.shared.storage, &self.shared.path),
        };
        work(handle.insert(opened))
    }

    pub(super) fn writer_gone(&self) -> Error {
        Error::WriterGone { path: self.shared.path.clone() }
    }
}

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
struct AfterSuccess<F>(F, Box<dyn Waiter>);

impl<F: FnOnce() + Send> Waiter for AfterSuccess<F> {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        let Self(then, waiter) = *self;
        if answer.is_ok() {
            then();
        }
        waiter.answer(answer)
    }
}
