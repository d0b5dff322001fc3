//! Builds the dict of a snapshot in steps, so that the event loop goes on in between.

use std::iter::Peekable;
use std::time::Instant;

use aiokv::binding::{Snapshot, SnapshotPart};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::codec::Codec;
use crate::disposal::dispose;

/// After how much text a step looks at the clock. A look costs about a tenth of a short entry.
pub(crate) const LOOK_BYTES: usize = 4096;

/// How many entries of a dict are freed between two looks at the clock.
const LOOK_ENTRIES: usize = 64;

/// A snapshot with more entries is large in any case.
pub(crate) const FEW: usize = 1024;

/// How much text is little: a dict of it is built in less than a step.
const LITTLE_BYTES: usize = 32 * 1024;

/// Whether the dict of a snapshot is built so fast that no steps are needed.
pub(crate) fn is_little(snapshot: &Snapshot) -> bool {
    let length = |entry: &aiokv::binding::Entry| entry.line().len();
    snapshot.len() <= FEW && snapshot.iter().map(length).sum::<usize>() <= LITTLE_BYTES
}

/// Drops a large snapshot of which no dict is needed. It may be the last holder of its entries, and
/// an event loop must not free all of them.
pub(crate) fn discard(snapshot: Snapshot) {
    dispose(snapshot);
}

/// Drops a snapshot, large or not.
pub(crate) fn drop_any(snapshot: Snapshot) {
    if snapshot.len() > FEW {
        discard(snapshot);
    }
}

/// Builds a dict at once, however large it is.
pub(crate) fn whole_dict(
    py: Python<'_>,
    codec: &Py<Codec>,
    snapshot: Snapshot,
) -> PyResult<Py<PyAny>> {
    let mut builder = DictBuilder::new(py, codec, snapshot);
    builder.step(py, None)?;
    Ok(builder.dict(py).into_any())
}

/// A dict that is being built.
///
/// One thing can take longer than a step: a dict that is full moves to a table of twice the size,
/// all at once, and CPython has no way to begin with a large one. For the 699,051st entry that
/// takes 28 ms on the machine where it was measured, and half of that for each size before.
pub(crate) struct DictBuilder {
    /// The entries that are not in the dict yet, except those at the start of the first part.
    /// `None` only while this is dropped.
    rest: Option<Peekable<Parts>>,
    /// How many entries of the first part are in the dict.
    done_in_part: usize,
    /// How many entries are not in the dict yet.
    left: usize,
    dict: Py<PyDict>,
    codec: Py<Codec>,
}

type Parts = Box<dyn Iterator<Item = SnapshotPart> + Send>;

impl DictBuilder {
    pub(crate) fn new(py: Python<'_>, codec: &Py<Codec>, snapshot: Snapshot) -> Self {
        let left = snapshot.len();
        let parts: Parts = Box::new(snapshot.into_parts());
        let dict = PyDict::new(py).unbind();
        let codec = codec.clone_ref(py);
        Self { rest: Some(parts.peekable()), done_in_part: 0, left, dict, codec }
    }

    /// The dict. It is complete once `step` has said so.
    pub(crate) fn dict(&self, py: Python<'_>) -> Py<PyDict> {
        self.dict.clone_ref(py)
    }

    /// Works until the deadline, or until the dict is complete if there is none. Returns whether
    /// the dict is complete.
    pub(crate) fn step(&mut self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<bool> {
        let (dict, codec) = (self.dict.bind(py), self.codec.get());
        let mut bytes = 0;
        while let Some(part) = self.rest.as_mut().and_then(Peekable::peek) {
            for entry in part.iter().skip(self.done_in_part) {
                dict.set_item(codec.shown_key(py, entry)?, codec.value(py, entry)?)?;
                self.done_in_part += 1;
                self.left -= 1;
                bytes += entry.line().len();
                if bytes >= LOOK_BYTES {
                    bytes = 0;
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Ok(false);
                    }
                }
            }
            self.rest.as_mut().and_then(Iterator::next);
            self.done_in_part = 0;
        }
        Ok(true)
    }
}

impl Drop for DictBuilder {
    /// If the dict is not complete, the coroutine that waited for it was cancelled.
    fn drop(&mut self) {
        if self.left > 0 {
            dispose(self.rest.take());
        }
    }
}

/// Empties a dict from its end until the deadline. Returns whether it is empty.
pub(crate) fn empty(dict: &Bound<'_, PyDict>, deadline: Instant) -> PyResult<bool> {
    loop {
        for _ in 0..LOOK_ENTRIES {
            if dict.is_empty() {
                return Ok(true);
            }
            dict.call_method0(intern!(dict.py(), "popitem"))?;
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}
