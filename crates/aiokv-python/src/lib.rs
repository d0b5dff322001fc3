//! The Python binding: arguments, conversion and awaiting. The store itself is the crate `aiokv`;
//! the class that people import is in `python/aiokv`.

mod answer;
mod decode;
mod encode;
mod error;
mod fork;
mod logger;
mod store;
mod thread_state;
mod view;

/// The native part of the package `aiokv`. Private; use the package.
#[pyo3::pymodule]
mod _aiokv {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use super::store::{Store, finish};
    #[pymodule_export]
    use super::view::ViewBuilder;

    #[pymodule_export]
    const MAX_DEPTH: usize = aiokv::MAX_DEPTH;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("Pending", module.py().get_type::<super::store::Pending>())?;
        super::logger::install(module.py())
    }
}
