//! What cannot be stored: the error, the place that it is about, and what to store instead.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{CastError, intern};

/// An error on its way from the place it is about up to the root of the value.
pub(super) struct Refusal {
    error: PyErr,
    /// The steps of the place, the innermost first.
    steps: Vec<String>,
}

impl From<PyErr> for Box<Refusal> {
    fn from(error: PyErr) -> Self {
        Box::new(Refusal { error, steps: Vec::new() })
    }
}

impl From<CastError<'_, '_>> for Box<Refusal> {
    fn from(error: CastError<'_, '_>) -> Self {
        PyErr::from(error).into()
    }
}

impl Refusal {
    /// The same refusal, seen from the container that `step` leads out of.
    pub(super) fn inside(mut self: Box<Self>, step: String) -> Box<Self> {
        self.steps.push(step);
        self
    }

    /// The error for the caller, with the place in front of its message. `root` is what the value
    /// is called.
    pub(super) fn into_error(self, py: Python<'_>, root: &str) -> PyErr {
        let class = self.error.get_type(py);
        let takes_a_message = class.is(py.get_type::<PyTypeError>())
            || class.is(py.get_type::<PyValueError>())
            || class.is(py.get_type::<PyRuntimeError>());
        if !takes_a_message {
            // Other classes come from the user's own code and may be made of anything.
            return self.error;
        }
        let mut message = String::from(root);
        message.extend(self.steps.into_iter().rev());
        message.push_str(": ");
        message.push_str(&self.error.value(py).to_string());
        let error = PyErr::from_type(class, message);
        if self.error.traceback(py).is_some() {
            // It was raised in Python code: keep the lines that lead there.
            error.set_cause(py, Some(self.error));
        }
        error
    }
}

/// The error about a value of a type that JSON does not have.
pub(super) fn refuse_type(value: &Bound<'_, PyAny>) -> PyErr {
    let mut message = format!("{} has no JSON form", type_name(value));
    let advice = value.get_type().mro().iter().find_map(|class| {
        let name = class.cast::<PyType>().ok()?.fully_qualified_name().ok()?;
        what_to_store_instead(name.to_str().ok()?)
    });
    let is_dataclass =
        || value.get_type().hasattr(intern!(value.py(), "__dataclass_fields__")).unwrap_or(false);
    let advice = advice.or_else(|| is_dataclass().then_some("`dataclasses.asdict(value)`"));
    if let Some(advice) = advice {
        message.push_str("; store ");
        message.push_str(advice);
        message.push_str(" instead");
    }
    PyTypeError::new_err(message)
}

/// Advice for the types that people try to store most.
fn what_to_store_instead(class: &str) -> Option<&'static str> {
    Some(match class {
        "datetime.datetime" => "`value.isoformat()` or `value.timestamp()`",
        "datetime.date" | "datetime.time" => "`value.isoformat()`",
        "datetime.timedelta" => "`value.total_seconds()`",
        "set" | "frozenset" | "collections.deque" | "range" | "generator" | "dict_keys"
        | "dict_values" => "`list(value)`",
        "bytes" | "bytearray" => "`value.decode()` or `base64.b64encode(value).decode()`",
        "decimal.Decimal" => "`str(value)` or `float(value)`",
        "uuid.UUID" | "pathlib.PurePath" | "pathlib._local.PurePath" => "`str(value)`",
        "enum.Enum" => "`value.value` or `value.name`",
        "coroutine" => "what `await` returns",
        "pydantic.main.BaseModel" => "`value.model_dump(mode=\"json\")`",
        "numpy.generic" => "`value.item()`",
        "numpy.ndarray" => "`value.tolist()`",
        _ => return None,
    })
}

/// What a type is called in messages.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    match value.get_type().fully_qualified_name() {
        Ok(name) => name.to_string(),
        // A class can have anything for a module and still deserves to be refused as what it is.
        Err(_) => String::from("this object"),
    }
}
