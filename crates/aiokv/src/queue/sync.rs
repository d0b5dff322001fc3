//! The locks and atomics of the queue: those of the standard library or, in a build with
//! `--cfg shuttle`, their doubles from shuttle, which runs a test under many schedules.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
