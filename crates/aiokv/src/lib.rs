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

mod commit;
mod engine;
mod entry;
mod error;
mod finite;
mod fold;
pub mod fork;
mod gate;
mod journal;
mod journal_file;
mod opening;
mod operation;
mod options;
mod queue;
mod refresh;
mod replacement;
mod snapshot;
mod state;
mod state_file;
pub mod storage;
mod store;
mod sync;
mod text;
mod value;

pub use entry::{Entry, decode_string};
pub use error::{Corruption, Error, Result};
pub use operation::{Answer, Operation};
pub use options::{Journal, Options};
pub use queue::{Waiter, Wake};
#[cfg(fuzzing)]
pub use snapshot::reencode;
pub use state::{View, ViewPart};
pub use store::{AioKv, settle_all};
pub use text::MAX_DEPTH;

/// The README's examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
