//! The Python binding: arguments, conversion and awaiting. The store itself is the crate `aiokv`;
//! the class that people import is in `python/aiokv`.

mod ask;
mod awaited;
mod caller;
mod codec;
mod command;
mod decode;
mod dict_builder;
mod disposal;
mod encode;
mod entries;
mod error;
mod exit;
mod fork;
mod found;
mod inbox;
mod interpreter;
mod logger;
mod outbox;
mod reply;
mod store;
mod thread_state;
mod watch;

use pyo3::prelude::*;

/// The native part of the package `aiokv`. Private; use the package.
#[pymodule]
fn _aiokv(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // Before any class: what this crate makes once per process belongs to one interpreter.
    interpreter::refuse_subinterpreters(py)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MAX_DEPTH", aiokv::MAX_DEPTH)?;
    module.add_class::<store::Store>()?;
    module.add_class::<found::Found>()?;
    module.add_class::<found::Listing>()?;
    module.add_class::<entries::Entries>()?;
    module.add_class::<entries::Changes>()?;
    module.add_class::<watch::Watcher>()?;
    module.add("Pending", py.get_type::<store::Pending>())?;
    module.add_function(wrap_pyfunction!(exit::finish, module)?)?;
    module.add_function(wrap_pyfunction!(fork::before_fork, module)?)?;
    module.add_function(wrap_pyfunction!(fork::after_fork_in_parent, module)?)?;
    module.add_function(wrap_pyfunction!(fork::after_fork_in_child, module)?)?;
    module.add_function(wrap_pyfunction!(logger::log_to_python, module)?)?;
    module.add_function(wrap_pyfunction!(command::run_command, module)?)
}
