//! The engine's errors as the built-in exceptions that fit.

use aiokv::Error;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// `json.JSONDecodeError` for a damaged file; for what the system refused, the `OSError` with
/// `errno` and `filename` (`TimeoutError` for a lock that was not to be had); `ValueError` for a
/// value that cannot be stored.
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
        Error::Corrupt(corruption) => {
            static DECODE_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let arguments = (corruption.message(), &corruption.content, corruption.offset);
            DECODE_ERROR
                .import(py, "json", "JSONDecodeError")
                .and_then(|class| class.call1(arguments))
                .map_or_else(|error| error, PyErr::from_value)
        }
        Error::Refused { .. } | Error::Type { .. } => PyValueError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}
