//! A program's own small state in one JSON file.
//!
//! ```
//! use aiokv::AioKv;
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("state.json");
//! # pollster::block_on(async {
//! let kv = AioKv::new(&path)?;
//! kv.set("last_command", "ping").await?;
//! kv.set("seen", &[1001, 1002]).await?;
//!
//! assert_eq!(kv.get("last_command").await?, Some("ping".to_owned()));
//! assert_eq!(
//!     std::fs::read_to_string(&path).unwrap(),
//!     "{\n  \"last_command\": \"ping\",\n  \"seen\": [1001, 1002]\n}\n"
//! );
//! # Ok::<(), aiokv::Error>(())
//! # }).unwrap();
//! ```
//!
//! When `set` returns, the change is on disk: it survives the death of the process and, unless
//! [`Options::fsync`] was turned off, a loss of power. Any number of tasks, threads and processes
//! may use one file; operations on it take effect one at a time, in the order in which they were
//! started. The futures need no particular async runtime.
//!
//! The file is always one complete JSON object with one entry a line. [`AioKv`] is where to start.

#[cfg(not(unix))]
compile_error!("aiokv needs a Unix system: it locks files and replaces them while they are open");

#[doc(hidden)]
pub mod binding;
pub mod blocking;
mod engine;
mod error;
mod files;
mod format;
mod json;
mod options;
mod queue;
mod state;
mod store;
mod writer;

pub use error::{Corruption, Damaged, Error, Result};
pub use json::text::MAX_DEPTH;
pub use options::{Journal, Options};
pub use store::{AioKv, Edit, Items, Transaction, Watch, WatchedChange};

/// The README's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
