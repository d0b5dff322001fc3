//! What was found under a key, for operations that depend on it.

use aiokv::binding::{self, Change, Condition, Entry, Snapshot, Write};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::codec::Codec;
use crate::dict_builder::drop_any;
use crate::error::class_of;

/// An entry, or that there is none.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Found {
    pub(crate) codec: Py<Codec>,
    pub(crate) entry: Option<Entry>,
}

#[pymethods]
impl Found {
    /// The value, a new object on every call, or `default`.
    fn value(&self, py: Python<'_>, default: Py<PyAny>) -> PyResult<Py<PyAny>> {
        match &self.entry {
            Some(entry) => self.codec.get().value(py, entry).map(Bound::unbind),
            None => Ok(default),
        }
    }

    /// Whether both are the same text, or both nothing.
    fn is_like(&self, other: &Self) -> bool {
        self.text() == other.text()
    }

    /// How long before `now` the stored time is.
    fn age(&self, py: Python<'_>, now: f64) -> PyResult<Option<f64>> {
        let Some(entry) = &self.entry else { return Ok(None) };
        match binding::stored_time(entry.value_text()) {
            Some(time) => Ok(Some((now - time).max(0.0))),
            None => Err(self.no_time(py, "a time")),
        }
    }

    fn __bool__(&self) -> bool {
        self.entry.is_some()
    }
}

impl Found {
    pub(crate) fn text(&self) -> Option<&str> {
        self.entry.as_ref().map(Entry::value_text)
    }

    /// The condition that this is still what is there.
    pub(crate) fn condition(&self) -> Condition {
        self.text().map_or(Condition::Absent, |text| Condition::Exactly(text.into()))
    }

    /// The error about a value that is no time.
    pub(crate) fn no_time(&self, py: Python<'_>, expected: &str) -> PyErr {
        let Some(entry) = &self.entry else { return PyTypeError::new_err("there is no value") };
        let key = match self.codec.get().shown_key(py, entry).and_then(|key| key.repr()) {
            Ok(key) => key,
            Err(error) => return error,
        };
        let class = class_of(entry.value_text());
        PyTypeError::new_err(format!(
            "the value of {key} is not {expected} in seconds since 1970 but of the type {class}"
        ))
    }
}

/// The entries whose keys start with a prefix, for operations that depend on all of them.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Listing {
    pub(crate) codec: Py<Codec>,
    pub(crate) snapshot: Snapshot,
}

#[pymethods]
impl Listing {
    /// The keys, in the order of insertion.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let codec = self.codec.get();
        let keys = self.snapshot.iter().map(|entry| codec.shown_key(py, entry));
        PyList::new(py, keys.collect::<PyResult<Vec<_>>>()?)
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        drop_any(std::mem::take(&mut self.snapshot));
    }
}

/// A write that happens only if what was found is still there.
pub(crate) fn guarded(found: Option<&Found>, change: Change) -> Write {
    Write { condition: found.map_or(Condition::Anything, Found::condition), change }
}
