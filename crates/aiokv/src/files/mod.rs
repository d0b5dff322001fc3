//! The only code that knows names, locks and flushes.

pub(crate) mod journal_file;
pub(crate) mod replacement;
pub(crate) mod state_file;
pub mod storage;
