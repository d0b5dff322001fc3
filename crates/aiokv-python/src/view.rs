//! Large results, built in steps so that the event loop goes on in between.

use std::time::{Duration, Instant};

use aiokv::{View, ViewPart};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::decode::decode;

/// How long one step may take. A step ends after the part of the view that exceeds it.
const STEP: Duration = Duration::from_millis(1);

/// Builds the dict of a view.
#[pyclass(module = "aiokv._aiokv")]
pub(crate) struct ViewBuilder {
    parts: Box<dyn Iterator<Item = ViewPart> + Send + Sync>,
    dict: Py<PyDict>,
}

impl ViewBuilder {
    pub(crate) fn new(py: Python<'_>, view: View) -> Self {
        Self { parts: Box::new(view.into_parts()), dict: PyDict::new(py).unbind() }
    }
}

#[pymethods]
impl ViewBuilder {
    /// Works for about a millisecond. Returns the dict once it is complete, and None before.
    fn step(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
        let started = Instant::now();
        let dict = self.dict.bind(py);
        for part in &mut self.parts {
            for entry in part.iter() {
                dict.set_item(decode(py, entry.key_text())?, decode(py, entry.value_text())?)?;
            }
            if started.elapsed() >= STEP {
                return Ok(None);
            }
        }
        Ok(Some(self.dict.clone_ref(py)))
    }
}
