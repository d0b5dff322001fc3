//! How an answer of a writer's thread reaches the coroutine that waits for it.
//!
//! The coroutine awaits a plain asyncio future of its own event loop. The writer's thread collects
//! the answers of a batch in the outbox. It then takes the GIL once for all of them, and puts each
//! into the inbox of its event loop; see [`crate::inbox`].

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aiokv::binding::{Outcome, Snapshot, Waiter, Wake};
use aiokv::{AioKv, Error, binding::Operation};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::decode::decode;
use crate::error::exception;
use crate::thread_state::{self, while_running};
use crate::{exit, inbox};

/// An asyncio future of the running loop, and what it takes to resolve it.
pub(crate) struct Awaited {
    pub(crate) event_loop: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
    /// The result of a `get` that finds nothing.
    pub(crate) default: Option<Py<PyAny>>,
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
    default: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let awaited = Awaited::new(py, default)?;
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

impl Awaited {
    fn new(py: Python<'_>, default: Option<Py<PyAny>>) -> PyResult<Self> {
        static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        Ok(Self { event_loop: event_loop.unbind(), future: future.unbind(), default })
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
}

/// What an answer is for the coroutine.
pub(crate) enum Answer {
    Value(PyResult<Py<PyAny>>),
    /// The dict of a snapshot, which is to be built.
    Dict(Snapshot),
}

impl Answered {
    /// Converts the answer. Costs as much as the value is large.
    pub(crate) fn convert(self, py: Python<'_>) -> (Awaited, Answer) {
        let Self { awaited, answer } = self;
        let value = match answer {
            Ok(Outcome::Snapshot(snapshot)) => return (awaited, Answer::Dict(snapshot)),
            Ok(Outcome::Read(entries)) => match (&*entries, &awaited.default) {
                ([Some(entry)], _) => decode(py, entry.value_text()).map(Bound::unbind),
                (_, Some(default)) => Ok(default.clone_ref(py)),
                (_, None) => Ok(py.None()),
            },
            Ok(Outcome::Written(_) | Outcome::Done) => Ok(py.None()),
            Ok(Outcome::Unmet { .. }) => {
                Err(PyRuntimeError::new_err("a write without a condition was refused"))
            }
            Err(error) => Err(exception(py, &error)),
        };
        (awaited, Answer::Value(value))
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
