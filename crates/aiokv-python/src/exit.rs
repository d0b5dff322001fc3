//! The end of the interpreter.
//!
//! `finish` is an exit handler. Exit handlers run in the reverse order of their registration, so a
//! handler that a program registered before it imported aiokv runs after `finish`. By then no
//! thread of the engine may use the interpreter any more, and the thread that starts an operation
//! waits for the answer itself.

use aiokv::binding::drain_all;
use pyo3::prelude::*;

use crate::caller::SLICE;
use crate::{outbox, thread_state};

/// Waits, at the end of the interpreter, until every operation that was started is decided and the
/// files are up to date.
///
/// Raises what a signal handler raises, such as `KeyboardInterrupt`; then it waits no longer.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>) -> PyResult<()> {
    let mut drain = drain_all();
    let drained = loop {
        let is_done;
        (is_done, drain) = py.detach(move || (drain.wait(SLICE), drain));
        if is_done {
            break Ok(());
        }
        if let Err(interrupt) = py.check_signals() {
            break Err(interrupt);
        }
    };
    py.detach(thread_state::interpreter_ends);
    // Operations are decided before their loops are told. A loop that goes on in a later exit
    // handler still gets its answers.
    outbox::wake_loops(py);
    drained
}
