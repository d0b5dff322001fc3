//! Who serves which file: one engine per file, the pool of threads that serves them all, and what
//! happens around a fork.
//!
//! Guarantees: the operations on one path are carried out in the order in which they were
//! submitted, by one thread at a time; threads, open files and memory do not grow with the number
//! of stores beyond the limits of [`pool`]; an engine lives as long as a [`Handle`] to it, and
//! then until everything is answered.
//!
//! Which locks there are, and their order, is in `ARCHITECTURE.md`.

pub mod fork;
mod gate;
mod machine;
mod notify;
mod ordered;
mod pool;
mod registry;
mod served;
mod turns;

pub(crate) use gate::work;
pub(crate) use pool::submit_to_ending;
pub(crate) use registry::{Handle, Watching, all};
pub(crate) use turns::Turn;
