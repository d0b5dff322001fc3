//! Asking the engine for something: in the background, on the calling thread, or on one of its own.

use std::sync::{Mutex, PoisonError};
use std::thread;

use aiokv::binding::{Operation, Outcome, Waiter};
use aiokv::{AioKv, Error};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::awaited::{Answered, Awaited};
use crate::caller::answer_now;
use crate::codec::Codec;
use crate::dict_builder::whole_dict;
use crate::error::exception;
use crate::reply::{Answer, Reply};
use crate::thread_state::{self, check_signals, without_gil};

/// Starts an operation. Returns an asyncio future of the answer.
///
/// # Errors
///
/// `RuntimeError` if no loop is running in this thread; the exception that fits if the engine
/// refuses the operation.
pub(crate) fn submit(
    py: Python<'_>,
    store: &AioKv,
    operation: Operation,
    codec: &Py<Codec>,
    reply: Reply,
) -> PyResult<Py<PyAny>> {
    let awaited = Awaited::new(py, codec, reply)?;
    let future = awaited.future.clone_ref(py);
    if thread_state::is_ending() {
        // A task that was cancelled learns it when it awaits the future.
        if let Some(answer) = answer_now(py, store, operation)? {
            Answered { awaited, answer }.resolve(py)?;
        }
    } else {
        store.submit(operation, Box::new(awaited)).map_err(|error| exception(py, &error))?;
    }
    Ok(future)
}

/// Carries out an operation on this thread, which waits without the GIL. Returns something that can
/// be awaited, and is done.
///
/// # Errors
///
/// What a signal handler raises. The operation goes on then.
pub(crate) fn carry_out(
    py: Python<'_>,
    store: &AioKv,
    operation: Operation,
    codec: &Py<Codec>,
    reply: &Reply,
) -> PyResult<Py<PyAny>> {
    let mut interrupt = None;
    let answer = without_gil(py, || {
        store.ask_here_while(operation, || {
            interrupt = check_signals().err();
            interrupt.is_none()
        })
    });
    match (interrupt, answer.transpose()) {
        (Some(interrupt), _) => Err(interrupt),
        (None, Some(answer)) => done(py, codec, reply, answer),
        (None, None) => Err(PyRuntimeError::new_err("the wait ended without an answer")),
    }
}

/// Does something that blocks on a thread of its own. Returns an asyncio future of the answer.
///
/// # Errors
///
/// `OSError` if there is no thread.
pub(crate) fn on_thread(
    py: Python<'_>,
    codec: &Py<Codec>,
    reply: Reply,
    work: impl FnOnce() -> Result<Outcome, Error> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    let awaited = Awaited::new(py, codec, reply)?;
    let future = awaited.future.clone_ref(py);
    if thread_state::is_ending() {
        let answer = without_gil(py, work);
        Answered { awaited, answer }.resolve(py)?;
    } else {
        thread::Builder::new().name("aiokv-task".to_owned()).spawn(move || {
            if let Some(wake) = Box::new(awaited).answer(work()) {
                wake.wake();
            }
        })?;
    }
    Ok(future)
}

/// Something that can be awaited and has its answer already.
pub(crate) fn done(
    py: Python<'_>,
    codec: &Py<Codec>,
    reply: &Reply,
    answer: Result<Outcome, Error>,
) -> PyResult<Py<PyAny>> {
    let value = match answer.map(|outcome| reply.convert(py, codec, outcome)) {
        Ok(Answer::Value(value)) => value,
        Ok(Answer::Dict(snapshot)) => whole_dict(py, codec, snapshot),
        Err(error) => Err(exception(py, &error)),
    };
    Py::new(py, Done(Mutex::new(Some(value)))).map(Py::into_any)
}

/// What a coroutine that is not to wait awaits.
#[pyclass(frozen, module = "aiokv._aiokv")]
struct Done(Mutex<Option<PyResult<Py<PyAny>>>>);

#[pymethods]
impl Done {
    fn __await__(done: PyRef<'_, Self>) -> PyRef<'_, Self> {
        done
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(value)) => Err(PyStopIteration::new_err((value,))),
            Some(Err(error)) => Err(error),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock().as_deref() {
            Ok(Some(Ok(value))) => visit.call(value),
            _ => Ok(()),
        }
    }
}
