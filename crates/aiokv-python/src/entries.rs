//! Entries that become Python objects when they are asked for, so that an event loop can go on in
//! between.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec;

use aiokv::binding::{Changed, Entry, Snapshot, SnapshotPart};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::codec::Codec;
use crate::dict_builder::{FEW, LOOK_BYTES};
use crate::disposal::dispose;

/// How long a step takes.
const STEP: Duration = Duration::from_millis(1);

/// Entries in some order, each of which is taken once.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Entries {
    codec: Py<Codec>,
    /// Locked only with the GIL, and not while Python code runs.
    rest: Mutex<Rest>,
}

struct Rest {
    part: vec::IntoIter<Entry>,
    parts: Box<dyn Iterator<Item = SnapshotPart> + Send>,
    left: usize,
}

impl Entries {
    pub(crate) fn of_snapshot(codec: Py<Codec>, snapshot: Snapshot) -> Self {
        let left = snapshot.len();
        let parts = Box::new(snapshot.into_parts());
        Self { codec, rest: Mutex::new(Rest { part: Vec::new().into_iter(), parts, left }) }
    }

    pub(crate) fn of_found(codec: Py<Codec>, entries: Box<[Option<Entry>]>) -> Self {
        let found = Vec::from_iter(entries.into_iter().flatten());
        let left = found.len();
        let rest = Rest { part: found.into_iter(), parts: Box::new(std::iter::empty()), left };
        Self { codec, rest: Mutex::new(rest) }
    }

    /// Takes entries for about as long as a step may take.
    fn step(&self, mut take: impl FnMut(&Codec, &Entry) -> PyResult<()>) -> PyResult<()> {
        let deadline = Instant::now() + STEP;
        let mut bytes = 0;
        loop {
            let Some(entry) = self.rest().next() else { return Ok(()) };
            take(self.codec.get(), &entry)?;
            bytes += entry.line().len();
            if bytes >= LOOK_BYTES {
                bytes = 0;
                if Instant::now() >= deadline {
                    return Ok(());
                }
            }
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.part.next() {
                self.left -= 1;
                return Some(entry);
            }
            self.part = self.parts.next()?.iter().cloned().collect::<Vec<_>>().into_iter();
        }
    }
}

#[pymethods]
impl Entries {
    /// Adds some of the keys to a list.
    fn move_keys(&self, keys: &Bound<'_, PyList>) -> PyResult<()> {
        let py = keys.py();
        self.step(|codec, entry| keys.append(codec.shown_key(py, entry)?))
    }

    /// Adds some of the entries to a dict.
    fn move_items(&self, items: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = items.py();
        self.step(|codec, entry| {
            items.set_item(codec.shown_key(py, entry)?, codec.value(py, entry)?)
        })
    }

    /// How many are left.
    fn __len__(&self) -> usize {
        self.rest().left
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        let rest = self.rest.get_mut().unwrap_or_else(PoisonError::into_inner);
        if rest.left >= FEW {
            dispose(std::mem::replace(&mut rest.parts, Box::new(std::iter::empty())));
        }
    }
}

/// Changes that a watcher was told of, each of which is taken once.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Changes {
    codec: Py<Codec>,
    rest: Mutex<vec::IntoIter<Changed>>,
}

impl Changes {
    pub(crate) fn new(codec: Py<Codec>, changes: Box<[Changed]>) -> Self {
        Self { codec, rest: Mutex::new(Vec::from(changes).into_iter()) }
    }
}

/// A key, its old value and its new one.
type Told<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

#[pymethods]
impl Changes {
    fn __iter__(changes: PyRef<'_, Self>) -> PyRef<'_, Self> {
        changes
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Told<'py>>> {
        let changed = self.rest.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(Changed { key, before, after }) = changed else { return Ok(None) };
        let codec = self.codec.get();
        let value = |entry: Option<Entry>| match entry {
            Some(entry) => codec.value(py, &entry),
            None => Ok(py.None().into_bound(py)),
        };
        Ok(Some((codec.shown(py, &key)?, value(before)?, value(after)?)))
    }
}
