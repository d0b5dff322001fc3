//! The hooks that the package registers with `os.register_at_fork`.

use aiokv::binding::fork;
use pyo3::prelude::*;

use crate::{disposal, outbox, thread_state};

/// Waits until no commit is under way and no thread of the engine uses Python.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    // Without the GIL, which those threads need to finish.
    py.detach(|| {
        disposal::before_fork();
        fork::before();
        thread_state::before_fork();
    });
}

/// Lets the commits of the parent go on.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    thread_state::after_fork();
    fork::after_in_parent();
    disposal::after_fork_in_parent();
}

/// Starts anew in the child. The operations that the parent waits for stay the parent's.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    thread_state::after_fork();
    outbox::forget();
    fork::after_in_child();
    disposal::after_fork_in_child();
}
