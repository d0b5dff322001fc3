//! One batch, from the queue to the disk.
//!
//! The writer of a file takes what waits in the queue as one batch, commits it and answers. It
//! owns everything that only it uses (`&mut self`): what is on disk, the files, the schedule of
//! checkpoints. It never blocks for another process: a step does what can be done now and says
//! when the next one makes sense, so one thread can serve many files, and a test can play several
//! processes in any order.
//!
//! - [`owned`], [`serve`], [`waiting`]: the writer, its steps, and how it waits for a lock;
//! - [`commit`], [`append`], [`clear`]: a batch with changes: lock, refresh, evaluate, append or replace,
//!   install;
//! - [`refresh`]: memory is made to agree with the disk, under a lock;
//! - [`checkpoint`]: the state file is brought up to date with its journal, in steps;
//! - [`schedule`]: when that happens;
//! - [`copy`]: a copy of the store in another file;
//! - [`recover`]: what can be read of damaged files, in another file;
//! - [`watchers`]: who is told of changes;
//! - [`on_disk`], [`memory`]: what is on disk, and what memory holds of it.
//!
//! What serves a batch is this type. A server could stand in its place: operations and outcomes
//! are data ([`crate::queue::operation`]), and nothing outside of this folder knows about files.

mod append;
mod checkpoint;
mod clear;
mod commit;
mod copy;
mod lock_wait;
mod memory;
mod on_disk;
mod owned;
mod recover;
mod refresh;
mod schedule;
mod serve;
mod waiting;
mod watchers;

use std::time::{Duration, Instant};

pub(crate) use copy::Copy;
pub(crate) use lock_wait::LockWait;
pub(crate) use memory::{Look, Memory};
pub(crate) use owned::Writer;
pub(crate) use recover::Rescue;
pub use recover::{Recovered, RecoveredJournal, Sources};
pub(crate) use watchers::Watcher;

/// What a step led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something is left to do: the next step makes sense at once.
    Again,
    /// Another process holds a lock: the next step makes sense after this pause, or when something
    /// arrives in the queue.
    Retry(Duration),
    /// The next step makes sense when something arrives in the queue, or then.
    Idle(Option<Instant>),
}
