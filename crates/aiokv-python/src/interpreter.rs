//! Refuses to load in a subinterpreter.
//!
//! Threads of the engine take the GIL through the calls that always mean the main interpreter, and
//! statics of this crate hold its objects. On Python 3.10 and 3.11 a subinterpreter could load the
//! module nevertheless, and at its end left the main interpreter without answers.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The number of the main interpreter.
const MAIN: i64 = 0;

/// # Errors
///
/// `ImportError` in any interpreter but the main one.
pub(crate) fn refuse_subinterpreters(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: `Python` proves that this thread holds the GIL of an interpreter, which is what the
    // first call asks for; it never returns null. The second takes any interpreter.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if number == MAIN {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "aiokv works in the main interpreter only, not in a subinterpreter: import it in the main \
         interpreter, or use a process instead of a subinterpreter",
    ))
}
