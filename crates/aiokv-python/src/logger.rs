//! Hands the log records of the engine to Python's `logging`.

use log::{LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use pyo3_log::{Caching, Logger};

use crate::thread_state::while_running;

/// Makes Python's `logging` the logger of the engine. Imports `logging`.
#[pyfunction]
pub(crate) fn log_to_python(py: Python<'_>) -> PyResult<()> {
    let logger = Logger::new(py, Caching::Nothing)?;
    // Fails only if this process has a logger already, which goes on getting the records.
    if log::set_boxed_logger(Box::new(WhileRunning(logger))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
    Ok(())
}

/// Logs while the interpreter runs. The engine logs only on threads that do not hold the GIL: see
/// `thread_state`.
struct WhileRunning(Logger);

impl Log for WhileRunning {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        while_running(|| self.0.enabled(metadata)).unwrap_or(false)
    }

    fn log(&self, record: &Record<'_>) {
        while_running(|| self.0.log(record));
    }

    fn flush(&self) {
        while_running(|| self.0.flush());
    }
}
