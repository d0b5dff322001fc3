//! What can be read of a damaged state file and of a damaged journal, and what is lost. Pure.
//!
//! Guarantees: every entry that is reported stands in the file, whole, and was an entry of the
//! store; nothing is completed or guessed. An entry whose damage left valid JSON cannot be told
//! from one that was stored.

mod journal;
mod loss;
mod state_file;

pub(crate) use journal::salvage_journal;
pub use loss::Loss;
pub(crate) use state_file::salvage_file;
