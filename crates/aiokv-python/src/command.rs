//! The command `aiokv`, for those who installed the package.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command on arguments of which the first is its name, and returns the exit status.
///
/// Uses the standard streams of the process, not those of Python.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| aiokv_cli::run(arguments))
}
