//! Options with which nothing happens at a time that a test does not choose.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use aiokv::{Journal, Options};

/// Appends to the journal and folds it only when the store is closed.
pub(crate) fn appending() -> Options {
    Options::default()
        .journal(Journal::Always)
        .journal_threshold(u64::MAX)
        .fold_idle(Duration::MAX)
        .fold_delay_max(Duration::MAX)
}

/// Appends to the journal and folds it as soon as there is nothing else to do.
pub(crate) fn folding_at_once() -> Options {
    Options::default().journal(Journal::Always).fold_idle(Duration::ZERO)
}
