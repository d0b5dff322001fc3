//! Where the walk is inside the value, and that it comes to an end.

use std::cell::Cell;
use std::iter::successors;

use aiokv::MAX_DEPTH;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::refusal::type_name;

/// A container on the way from the root of the value down to where the walk is, or a value on this
/// way of which `default` makes something else.
pub(super) struct Level<'a, 'py> {
    container: &'a Bound<'py, PyAny>,
    parent: Option<&'a Level<'a, 'py>>,
    depth: usize,
    conversions: usize,
    /// Where in the container the walk is.
    pub(super) at: Cell<Step>,
}

/// A step into a container.
#[derive(Clone, Copy)]
pub(super) enum Step {
    None,
    Index(usize),
    /// The key whose JSON text is between these positions of what was written.
    Key(usize, usize),
}

impl<'a, 'py> Level<'a, 'py> {
    /// Steps down into `container`, unless that leads in a circle or too deep.
    pub(super) fn enter(
        container: &'a Bound<'py, PyAny>,
        parent: Option<&'a Level<'a, 'py>>,
    ) -> PyResult<Self> {
        let level = Self::below(container, parent)?;
        let depth = level.depth + 1;
        if depth > MAX_DEPTH {
            return Err(PyValueError::new_err(format!(
                "lists and dicts are nested more than {MAX_DEPTH} deep"
            )));
        }
        Ok(Self { depth, ..level })
    }

    /// Goes on with what `default` makes of `value`, unless that leads in a circle or never ends.
    pub(super) fn convert(
        value: &'a Bound<'py, PyAny>,
        parent: Option<&'a Level<'a, 'py>>,
    ) -> PyResult<Self> {
        let level = Self::below(value, parent)?;
        let conversions = level.conversions + 1;
        if conversions > MAX_DEPTH {
            return Err(PyValueError::new_err(format!(
                "`default` returns something that JSON does not have, again and again: {}",
                type_name(value)
            )));
        }
        Ok(Self { conversions, ..level })
    }

    fn below(
        container: &'a Bound<'py, PyAny>,
        parent: Option<&'a Level<'a, 'py>>,
    ) -> PyResult<Self> {
        if successors(parent, |level| level.parent).any(|level| level.container.is(container)) {
            return Err(PyValueError::new_err(format!(
                "this {} contains itself",
                type_name(container)
            )));
        }
        let depth = parent.map_or(0, |level| level.depth);
        let conversions = parent.map_or(0, |level| level.conversions);
        Ok(Self { container, parent, depth, conversions, at: Cell::new(Step::None) })
    }

    /// The steps from the root to this container, as in `.history[3]`. `json` is what was written.
    pub(super) fn steps(&self, json: &[u8]) -> String {
        let mut steps: Vec<_> = successors(self.parent, |level| level.parent)
            .map(|level| match level.at.get() {
                Step::None => String::new(),
                Step::Index(index) => format!("[{index}]"),
                Step::Key(start, end) => key_step(as_text(&json[start..end])),
            })
            .collect();
        steps.reverse();
        steps.concat()
    }
}

/// The step to the entry under a key with the JSON text `key`: `.name` or `["any text"]`.
pub(super) fn key_step(key: &str) -> String {
    let name = key.trim_matches('"');
    let is_identifier = name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|other| other.is_alphanumeric() || other == '_');
    if is_identifier { format!(".{name}") } else { format!("[{key}]") }
}

/// JSON text that was written, as text.
pub(super) fn as_text(json: &[u8]) -> &str {
    str::from_utf8(json).expect("only whole characters are written")
}
