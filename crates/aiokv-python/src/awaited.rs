//! What a coroutine awaits: a plain asyncio future of its own event loop.

use aiokv::Error;
use aiokv::binding::Outcome;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit};

use crate::codec::Codec;
use crate::dict_builder::whole_dict;
use crate::error::exception;
use crate::reply::{Answer, Reply};

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

    /// Resolves the future at once, however large the value is.
    pub(crate) fn resolve(self, py: Python<'_>) -> PyResult<()> {
        match self.convert(py) {
            (awaited, Answer::Value(value)) => awaited.resolve(py, value),
            (awaited, Answer::Dict(snapshot)) => {
                let dict = whole_dict(py, &awaited.codec, snapshot);
                awaited.resolve(py, dict)
            }
        }
    }
}
