//! The engine's errors as the built-in exceptions that fit.

use aiokv::{Corruption, Damaged, Error};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// `json.JSONDecodeError` for a damaged file; for a call that the system refused, the `OSError` with
/// `errno` and `filename` (`TimeoutError` for a lock that another process held for too long);
/// `TypeError` for arithmetic on a value that is not a number; `ValueError` for a value that cannot
/// be stored.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::Io { action, path, source } => {
            let problem = source.to_string();
            let problem = problem.split(" (os error ").next().unwrap_or_default();
            let text = format!("cannot {action}: {problem}");
            PyOSError::new_err((error.errno(), text, path.clone().into_os_string()))
        }
        Error::Locked { path, .. } => {
            PyOSError::new_err((error.errno(), error.to_string(), path.clone().into_os_string()))
        }
        Error::Corrupt(corruption) => corrupt(py, corruption).unwrap_or_else(|error| error),
        Error::NotANumber { key, found } => PyTypeError::new_err(format!(
            "the value of {key:?} is not a number but of the type {}: {found}",
            class_of(found)
        )),
        Error::Refused { .. } | Error::Type { .. } => PyValueError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}

fn corrupt(py: Python<'_>, corruption: &Corruption) -> PyResult<PyErr> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.import(py, "aiokv._errors", "CorruptFileError")?;
    let error = match &corruption.place {
        Some(Damaged { excerpt, excerpt_offset, line, column, .. }) => {
            class.call1((corruption.message(), excerpt, excerpt_offset, line, column))?
        }
        None => class.call1((corruption.message(),))?,
    };
    Ok(PyErr::from_value(error))
}

/// The Python class of what a JSON text stands for.
pub(crate) fn class_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "str",
        Some(b'[') => "list",
        Some(b'{') => "dict",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "NoneType",
        _ if text.contains(['.', 'e', 'E', 'N', 'I']) => "float",
        _ => "int",
    }
}
