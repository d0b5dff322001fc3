//! The command `aiokv`, for those who installed the package.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;

/// Runs the command on arguments of which the first is its name, and returns the exit status.
///
/// Uses the standard streams of the process, not those of Python.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    // A program that Python is a part of may not know its own interpreter.
    let interpreter: Option<PathBuf> = py.import("sys")?.getattr("executable")?.extract()?;
    let interpreter = interpreter.filter(|it| !it.as_os_str().is_empty());
    Ok(py.detach(|| match interpreter {
        Some(interpreter) => aiokv_cli::run_in_python(interpreter, arguments),
        None => aiokv_cli::run(arguments),
    }))
}
