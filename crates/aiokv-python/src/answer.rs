//! How an answer of the writer's thread reaches the coroutine that waits for it.
//!
//! The coroutine awaits a plain asyncio future of its own event loop. The writer's thread only
//! collects the answers of a batch; it takes the GIL once for all of them and wakes each loop
//! once, with one `call_soon_threadsafe`. The loop converts values and resolves the futures.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aiokv::{Answer, Error, Waiter, Wake};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::decode::decode;
use crate::error::exception;
use crate::thread_state::{self, while_running};
use crate::view::ViewBuilder;

/// An asyncio future of the running loop, and the waiter that will resolve it.
pub(crate) struct Awaited {
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
    /// The result of a `get` that finds nothing.
    default: Option<Py<PyAny>>,
}

impl Awaited {
    /// Creates a future of the running loop.
    ///
    /// # Errors
    ///
    /// `RuntimeError` if no loop is running in this thread.
    pub(crate) fn new(py: Python<'_>, default: Option<Py<PyAny>>) -> PyResult<Self> {
        static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        Ok(Self { event_loop: event_loop.unbind(), future: future.unbind(), default })
    }

    /// The future, for the coroutine to await.
    pub(crate) fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.future.clone_ref(py)
    }

    /// Resolves the future, unless the coroutine was cancelled meanwhile.
    fn resolve(&self, py: Python<'_>, answer: Result<Answer, Error>) -> PyResult<()> {
        let future = self.future.bind(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        let result = match answer {
            Ok(answer) => self.result(py, answer),
            Err(error) => Err(exception(py, &error)),
        };
        match result {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
            Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
        };
        Ok(())
    }

    fn result(&self, py: Python<'_>, answer: Answer) -> PyResult<Py<PyAny>> {
        match (answer, &self.default) {
            (Answer::Entry(Some(entry)), _) => decode(py, entry.value_text()).map(Bound::unbind),
            (Answer::Entry(None), Some(default)) => Ok(default.clone_ref(py)),
            (Answer::View(view), _) => Ok(Py::new(py, ViewBuilder::new(py, view))?.into_any()),
            (Answer::Entry(None) | Answer::Done, _) => Ok(py.None()),
        }
    }
}

impl Waiter for Awaited {
    fn answer(self: Box<Self>, answer: Result<Answer, Error>) -> Option<Arc<dyn Wake>> {
        static OUTBOX_WAKE: LazyLock<Arc<dyn Wake>> = LazyLock::new(|| Arc::new(WakeLoops));
        OUTBOX.lock().unwrap_or_else(PoisonError::into_inner).push((*self, answer));
        Some(Arc::clone(&OUTBOX_WAKE))
    }
}

/// The answers that their loops have not been told of.
static OUTBOX: Mutex<Vec<Answered>> = Mutex::new(Vec::new());

type Answered = (Awaited, Result<Answer, Error>);

/// Drops the answers without freeing what they hold, which may not be possible any more.
pub(crate) fn forget_outbox() {
    std::mem::forget(take_outbox());
}

fn take_outbox() -> Vec<Answered> {
    std::mem::take(&mut *OUTBOX.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Hands the outbox to the event loops.
struct WakeLoops;

impl Wake for WakeLoops {
    fn wake(&self) {
        let woken = while_running(|| {
            thread_state::keep();
            Python::attach(wake_loops);
        });
        if woken.is_none() {
            forget_outbox();
        }
    }
}

fn wake_loops(py: Python<'_>) {
    let mut loops: Vec<(Py<PyAny>, Vec<Answered>)> = Vec::new();
    for (awaited, answer) in take_outbox() {
        let event_loop = &awaited.event_loop;
        match loops.iter_mut().rev().find(|(other, _)| other.is(event_loop)) {
            Some((_, answers)) => answers.push((awaited, answer)),
            None => loops.push((event_loop.clone_ref(py), vec![(awaited, answer)])),
        }
    }
    for (event_loop, answers) in loops {
        let answers = Answers(Mutex::new(answers));
        let method = intern!(py, "call_soon_threadsafe");
        // A closed loop refuses. Nobody waits there any more.
        let _ = event_loop.call_method1(py, method, (answers,));
    }
}

/// What one event loop is told of one batch: called by the loop, it resolves the futures.
#[pyclass(frozen, module = "aiokv._aiokv")]
struct Answers(Mutex<Vec<Answered>>);

#[pymethods]
impl Answers {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let answers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let resolve = |(awaited, answer): Answered| awaited.resolve(py, answer);
        // All of them, even if one fails: nobody else would resolve the rest.
        let outcomes: Vec<_> = answers.into_iter().map(resolve).collect();
        outcomes.into_iter().collect()
    }
}
