//! How an answer of a writer's thread reaches the coroutine that waits for it.
//!
//! The coroutine awaits a plain asyncio future of its own event loop. The writer's thread collects
//! the answers of a batch in the outbox. It then takes the GIL once for all of them, and puts each
//! into the inbox of its event loop; see [`crate::inbox`].

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use aiokv::binding::{Outcome, Waiter, Wake};
use aiokv::{AioKv, Error, binding::Operation};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit};

use crate::codec::Codec;
use crate::error::exception;
use crate::reply::{Answer, Reply};
use crate::thread_state::{self, while_running};
use crate::{exit, inbox};

/// An asyncio future of the running loop, and what it takes to resolve it.
pub(crate) struct Awaited {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
    pub(crate) codec: Py<Codec>,
    reply: Reply,
}

/// An answer that its future has not got yet.
pub(crate) struct Answered {
    pub(crate) awaited: Awaited,
    pub(crate) answer: Result<Outcome, Error>,
}

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
        if let Some(answer) = exit::answer_now(py, store, operation)? {
            inbox::resolve_whole(py, Answered { awaited, answer })?;
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
    let answer = py.detach(|| {
        store.ask_here_while(operation, || {
            interrupt = Python::attach(|py| py.check_signals()).err();
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
        let answer = py.detach(work);
        inbox::resolve_whole(py, Answered { awaited, answer })?;
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
        Ok(Answer::Dict(snapshot)) => inbox::whole_dict(py, codec, snapshot),
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

impl Awaited {
    pub(crate) fn new(py: Python<'_>, codec: &Py<Codec>, reply: Reply) -> PyResult<Self> {
        static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?.unbind();
        Ok(Self { event_loop: event_loop.unbind(), future, codec: codec.clone_ref(py), reply })
    }

    /// Resolves the future, which must not be done.
    pub(crate) fn resolve(&self, py: Python<'_>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
        let future = self.future.bind(py);
        match result {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
            Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
        };
        Ok(())
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.future)?;
        visit.call(&self.codec)?;
        self.reply.traverse(visit)
    }
}

impl Answered {
    /// Converts the answer. Costs as much as the value is large.
    pub(crate) fn convert(self, py: Python<'_>) -> (Awaited, Answer) {
        let Self { awaited, answer } = self;
        let answer = match answer {
            Ok(outcome) => awaited.reply.convert(py, &awaited.codec, outcome),
            Err(error) => Answer::Value(Err(exception(py, &error))),
        };
        (awaited, answer)
    }
}

impl Waiter for Awaited {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        static WAKE: LazyLock<Arc<dyn Wake>> = LazyLock::new(|| Arc::new(WakeLoops));
        outbox().push(Answered { awaited: *self, answer });
        Some(Arc::clone(&WAKE))
    }
}

/// The answers that are in no inbox yet.
static OUTBOX: Mutex<Vec<Answered>> = Mutex::new(Vec::new());

fn outbox() -> std::sync::MutexGuard<'static, Vec<Answered>> {
    OUTBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the answers without freeing what they hold, which belongs to another process.
pub(crate) fn forget_outbox() {
    std::mem::forget(std::mem::take(&mut *outbox()));
}

/// Puts the answers of the outbox into the inboxes of their event loops.
pub(crate) fn wake_loops(py: Python<'_>) {
    let answers = std::mem::take(&mut *outbox());
    inbox::post(py, answers);
}

/// Wakes the event loops from a thread of the engine.
struct WakeLoops;

impl Wake for WakeLoops {
    fn wake(&self) {
        // When the interpreter is ending, the answers stay in the outbox.
        while_running(|| {
            thread_state::keep();
            Python::attach(wake_loops);
        });
    }
}
