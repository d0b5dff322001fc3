//! Options with which nothing happens at a time that a test does not choose.

use aiokv::{Journal, Options};

/// Appends to the journal, which becomes part of the file only when the store is closed.
pub(crate) fn appending() -> Options {
    Options::default().journal(Journal::Always).journal_threshold(u64::MAX).checkpoint_pace(0)
}

/// Appends to the journal, and brings the file up to date as soon as there is nothing else to do.
pub(crate) fn checkpointing_at_once() -> Options {
    Options::default().journal(Journal::Always).checkpoint_pace(u64::MAX)
}
