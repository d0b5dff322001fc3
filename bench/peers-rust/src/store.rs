//! [`Store`]: what every contestant can do.

use std::error::Error;

/// Whatever went wrong: a benchmark can only stop.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A key and its text.
pub type Entry = (String, String);

/// An open store of text under text keys.
///
/// When a change returns, it survives what the name of its contestant says.
pub trait Store {
    /// The text of `key`, owned by the caller, or `None` if there is no such key. It is what was
    /// set last.
    ///
    /// # Errors
    ///
    /// Whatever the store reports.
    fn get(&self, key: &str) -> Result<Option<String>>;

    /// Sets the text of `key`.
    ///
    /// # Errors
    ///
    /// Whatever the store reports.
    fn set(&self, key: &str, text: &str) -> Result<()>;

    /// Sets everything in `entries` in the way that the store recommends for many changes. If a
    /// key is there several times, its last text counts.
    ///
    /// # Errors
    ///
    /// Whatever the store reports.
    fn set_at_once(&self, entries: &[Entry]) -> Result<()>;

    /// Closes the store in an orderly way, so that the next one to open it has nothing to repair.
    ///
    /// # Errors
    ///
    /// Whatever the store reports.
    fn close(self: Box<Self>) -> Result<()>;
}
