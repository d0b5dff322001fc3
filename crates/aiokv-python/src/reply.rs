//! What an answer of the engine is in Python.

use aiokv::binding::{Entry, Outcome, Snapshot};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{IntoPyObjectExt, PyClass, PyTraverseError, PyVisit};

use crate::codec::Codec;
use crate::dict_builder::drop_any;
use crate::entries::{Changes, Entries};
use crate::found::{Found, Listing};

/// What a store is asked for.
pub(crate) enum Reply {
    /// None.
    Nothing,
    /// The value that was read, or this.
    Value(Py<PyAny>),
    /// What was read, as a `Found`.
    Found,
    /// The value before the write, or this.
    Before(Py<PyAny>),
    /// The value after the write.
    After,
    /// The value that is there, whether it was written or found.
    Either,
    /// Whether the condition held.
    Met,
    /// None if the condition held, otherwise what is there.
    Unmet,
    /// How many keys were there before the write.
    Deleted,
    /// The dict of a snapshot.
    Dict,
    /// The number of entries.
    Count,
    /// `Entries`.
    Entries,
    /// A list of `Found` and one of `Listing`.
    Survey,
    /// `Changes`.
    Changes,
    /// What this makes, once the work is done.
    Made(Make),
}

/// Makes an object of Python. Holds none itself: the garbage collector would not see it.
pub(crate) type Make = Box<dyn Fn(Python<'_>, &Py<Codec>) -> PyResult<Py<PyAny>> + Send + Sync>;

/// What an answer comes to.
pub(crate) enum Answer {
    Value(PyResult<Py<PyAny>>),
    /// The dict of a snapshot, which is to be built.
    Dict(Snapshot),
}

impl Reply {
    /// Converts an answer. Costs as much as the value is large.
    pub(crate) fn convert(&self, py: Python<'_>, codec: &Py<Codec>, outcome: Outcome) -> Answer {
        match (self, outcome) {
            (Self::Dict, Outcome::Snapshot(snapshot)) => Answer::Dict(snapshot),
            (_, outcome) => Answer::Value(self.value(py, codec, outcome)),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Value(default) | Self::Before(default) => visit.call(default),
            _ => Ok(()),
        }
    }

    fn value(&self, py: Python<'_>, codec: &Py<Codec>, outcome: Outcome) -> PyResult<Py<PyAny>> {
        let value = |entry: &Entry| codec.get().value(py, entry).map(Bound::unbind);
        let found = |entry: Option<Entry>| Found { codec: codec.clone_ref(py), entry };
        let one = |entries: Box<[Option<Entry>]>| entries.into_iter().next().flatten();
        match (self, outcome) {
            (Self::Nothing | Self::Unmet, Outcome::Done | Outcome::Written(_)) => Ok(py.None()),
            (Self::Value(default), Outcome::Read(entries)) => match one(entries) {
                Some(entry) => value(&entry),
                None => Ok(default.clone_ref(py)),
            },
            (Self::Found, Outcome::Read(entries)) => object(py, found(one(entries))),
            (Self::Before(default), Outcome::Written(written)) => match &written[0].before {
                Some(entry) => value(entry),
                None => Ok(default.clone_ref(py)),
            },
            (Self::After | Self::Either, Outcome::Written(written)) => match &written[0].after {
                Some(entry) => value(entry),
                None => Ok(py.None()),
            },
            (Self::Either, Outcome::Unmet { found: Some(entry), .. }) => value(&entry),
            (Self::Met, outcome @ (Outcome::Written(_) | Outcome::Unmet { .. })) => {
                (!matches!(outcome, Outcome::Unmet { .. })).into_py_any(py)
            }
            (Self::Unmet, Outcome::Unmet { found: entry, .. }) => object(py, found(entry)),
            (Self::Deleted, Outcome::Written(written)) => {
                written.iter().filter(|it| it.before.is_some()).count().into_py_any(py)
            }
            (Self::Count, Outcome::Snapshot(snapshot)) => {
                let count = snapshot.len();
                drop_any(snapshot);
                count.into_py_any(py)
            }
            (Self::Entries, Outcome::Snapshot(snapshot)) => {
                object(py, Entries::of_snapshot(codec.clone_ref(py), snapshot))
            }
            (Self::Entries, Outcome::Read(entries)) => {
                object(py, Entries::of_found(codec.clone_ref(py), entries))
            }
            (Self::Survey, Outcome::Surveyed { entries, listings }) => {
                let entries = entries.into_iter().map(|entry| Py::new(py, found(entry)));
                let listing = |snapshot| Listing { codec: codec.clone_ref(py), snapshot };
                let listings = listings.into_iter().map(|it| Py::new(py, listing(it)));
                let entries = entries.collect::<PyResult<Vec<_>>>()?;
                (entries, listings.collect::<PyResult<Vec<_>>>()?).into_py_any(py)
            }
            (Self::Changes, Outcome::Changes(changes)) => {
                object(py, Changes::new(codec.clone_ref(py), changes))
            }
            (Self::Made(make), Outcome::Done) => make(py, codec),
            _ => Err(PyRuntimeError::new_err("the engine gave an answer to another question")),
        }
    }
}

fn object<T>(py: Python<'_>, value: T) -> PyResult<Py<PyAny>>
where
    T: PyClass + Into<PyClassInitializer<T>>,
{
    Py::new(py, value).map(Py::into_any)
}
