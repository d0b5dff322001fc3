//! What the store holds, in memory, and how a batch of operations alters it.
//!
//! A [`State`] is altered in one way only: a [`Draft`] tries out the operations of a batch and
//! writes down their changes in a [`Record`], and [`State::install`] applies that record. The same
//! record is what the writer appends to the journal and what a watcher is told, so the three cannot
//! differ. A draft that is dropped has changed nothing. What a batch costs follows its changes,
//! however much the state holds.
//!
//! Pure: no I/O, no locks, no clock. Which state is the newest, and what of it is on disk, is for
//! the writer to know.

mod draft;
mod index;
mod map;
mod record;
mod slots;
mod snapshot;
mod sorted;

pub(crate) use draft::{Draft, sum};
pub(crate) use map::State;
pub(crate) use record::{KeyChange, Record};
pub(crate) use snapshot::Loading;
pub use snapshot::{Snapshot, SnapshotPart};
