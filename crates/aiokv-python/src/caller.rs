//! A thread that waits for an answer itself, with the GIL released, and looks for signals meanwhile.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aiokv::binding::{Operation, Outcome, Waiter, Wake};
use aiokv::{AioKv, Error};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::thread_state::without_gil;

/// How long a thread waits before it looks for a signal, such as that of Ctrl-C.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The thread that started an operation and waits for its answer.
pub(crate) struct Caller(pub(crate) mpsc::Sender<Result<Outcome, Error>>);

impl Waiter for Caller {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        // The receiver is gone if a signal ended the wait.
        let _ = self.0.send(answer);
        None
    }
}

/// Starts an operation and waits for its answer, with the GIL released. For use when the
/// interpreter is ending. `None` if the task that waits was cancelled meanwhile; the operation goes
/// on then.
///
/// # Errors
///
/// What a signal handler raises. The operation goes on then, too.
pub(crate) fn answer_now(
    py: Python<'_>,
    store: &AioKv,
    operation: Operation,
) -> PyResult<Option<Result<Outcome, Error>>> {
    let (sender, receiver) = mpsc::channel();
    if let Err(error) = store.submit(operation, Box::new(Caller(sender))) {
        return Ok(Some(Err(error)));
    }
    let receiver = Mutex::new(receiver);
    loop {
        if let Some(answer) = receive(py, &receiver)? {
            return Ok(Some(answer));
        }
        if is_cancelled(py)? {
            return Ok(None);
        }
    }
}

/// Waits for an answer for a while, with the GIL released. `None` if it did not come.
///
/// # Errors
///
/// What a signal handler raises. The answer can be waited for again then.
pub(crate) fn receive(
    py: Python<'_>,
    receiver: &Mutex<Receiver<Result<Outcome, Error>>>,
) -> PyResult<Option<Result<Outcome, Error>>> {
    let wait = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SLICE);
    match without_gil(py, wait) {
        Ok(answer) => Ok(Some(answer)),
        Err(RecvTimeoutError::Timeout) => py.check_signals().map(|()| None),
        Err(RecvTimeoutError::Disconnected) => {
            Err(PyRuntimeError::new_err("the operation was given up without an answer"))
        }
    }
}

/// Whether the running task was cancelled and does not know it yet. Since Python 3.11, that is what
/// `asyncio.run` makes of the first Ctrl-C.
fn is_cancelled(py: Python<'_>) -> PyResult<bool> {
    static CURRENT_TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let task = CURRENT_TASK.import(py, "asyncio", "current_task")?.call0()?;
    // asyncio's own attribute, which other kinds of tasks need not have.
    match task.getattr_opt(intern!(py, "_must_cancel"))? {
        Some(must_cancel) => must_cancel.is_truthy(),
        None => Ok(false),
    }
}
