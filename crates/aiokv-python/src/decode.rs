//! JSON text to Python objects.
//!
//! The objects are those of `json.loads`, built by jiter, which is several times faster. What
//! jiter does not take goes to `json.loads` itself: lone surrogates, and integers so long that
//! the interpreter's own limit decides.

use jiter::{FloatMode, PartialMode, PythonParse, StringCacheMode};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

const PARSE: PythonParse = PythonParse {
    allow_inf_nan: true,
    cache_mode: StringCacheMode::Keys,
    partial_mode: PartialMode::Off,
    catch_duplicate_keys: false,
    float_mode: FloatMode::Float,
};

/// Builds what `json.loads(text)` returns: new objects on every call.
///
/// `text` is one JSON value, in which `NaN`, `Infinity` and `-Infinity` may stand for numbers.
/// Objects become `dict` (the last of several equal keys counts), arrays `list`, strings `str`,
/// and numbers `int` or, with a fraction or an exponent, `float`.
///
/// # Errors
///
/// Those of `json.loads`: `json.JSONDecodeError` (a `ValueError`) when `text` is not JSON, and
/// `ValueError` for an integer with more digits than `sys.set_int_max_str_digits` allows.
pub(crate) fn decode<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

    match PARSE.python_parse(py, text.as_bytes()) {
        Ok(value) => Ok(value),
        Err(_) => LOADS.import(py, "json", "loads")?.call1((text,)),
    }
}
