//! Large results, built in steps so that the event loop goes on in between.

use std::iter::Peekable;
use std::thread;
use std::time::{Duration, Instant};

use aiokv::{View, ViewPart};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::decode::decode;

/// How long one step may take.
const STEP: Duration = Duration::from_millis(1);

/// After how much text a step looks at the clock. A look costs about a tenth of a short entry.
const LOOK_BYTES: usize = 4096;

/// Builds the dict of a view.
///
/// One thing can take longer than a step: a dict that is full moves to a table of twice the size,
/// all at once, and CPython has no way to begin with a large one. For the 699,051st entry that
/// takes 28 ms on the machine where it was measured, and half of that for each size before.
#[pyclass(module = "aiokv._aiokv")]
pub(crate) struct ViewBuilder {
    /// What is not in the dict yet, but for the start of the first part. `None` when the dict is
    /// complete.
    rest: Option<Peekable<Parts>>,
    /// How many entries of the first part are in the dict.
    done: usize,
    dict: Py<PyDict>,
}

type Parts = Box<dyn Iterator<Item = ViewPart> + Send + Sync>;

impl ViewBuilder {
    pub(crate) fn new(py: Python<'_>, view: View) -> Self {
        let parts: Parts = Box::new(view.into_parts());
        Self { rest: Some(parts.peekable()), done: 0, dict: PyDict::new(py).unbind() }
    }
}

#[pymethods]
impl ViewBuilder {
    /// Works for about a millisecond. Returns the dict once it is complete, and None before.
    fn step(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
        let started = Instant::now();
        let dict = self.dict.bind(py);
        let mut bytes = 0;
        while let Some(part) = self.rest.as_mut().and_then(Peekable::peek) {
            for entry in part.iter().skip(self.done) {
                dict.set_item(decode(py, entry.key_text())?, decode(py, entry.value_text())?)?;
                self.done += 1;
                bytes += entry.line().len();
                if bytes >= LOOK_BYTES {
                    bytes = 0;
                    if started.elapsed() >= STEP {
                        return Ok(None);
                    }
                }
            }
            self.rest.as_mut().and_then(Iterator::next);
            self.done = 0;
        }
        self.rest = None;
        Ok(Some(self.dict.clone_ref(py)))
    }
}

impl Drop for ViewBuilder {
    /// If the dict is not complete, whoever waited for it has given up. If the store has changed
    /// since, nobody else holds the rest, and an event loop is not the place to free all of it.
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            // If no thread can be started, it is freed here after all.
            let _ = thread::Builder::new().spawn(move || drop(rest));
        }
    }
}
