//! The hooks that the package registers with `os.register_at_fork`.

use pyo3::prelude::*;

use crate::{answer, thread_state};

/// Waits until no commit is under way and no thread of the engine uses Python.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    // They need the GIL to finish.
    py.detach(|| {
        aiokv::fork::before();
        thread_state::before_fork();
    });
}

/// Lets the commits of the parent go on.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    thread_state::after_fork();
    aiokv::fork::after_in_parent();
}

/// Starts anew in the child. What the parent waits for is the parent's.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    thread_state::after_fork();
    answer::forget_outbox();
    aiokv::fork::after_in_child();
}
