//! A program's own small state in one JSON file.

#[cfg(not(unix))]
compile_error!(
    "aiokv needs a Unix system: it relies on renaming over an open file and on advisory locks"
);

mod commit;
mod engine;
mod entry;
mod error;
mod finite;
mod operation;
mod options;
mod queue;
mod snapshot;
mod state;
mod state_file;
pub mod storage;
mod store;
mod text;
mod value;

pub use entry::{Entry, decode_key};
pub use error::{Corruption, Error, Result};
pub use operation::{Answer, Operation};
pub use options::Options;
pub use queue::{Waiter, Wake};
pub use state::{View, ViewPart};
pub use store::{AioKv, settle_all};
pub use text::MAX_DEPTH;
