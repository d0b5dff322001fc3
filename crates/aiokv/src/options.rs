//! The options of a store and their defaults.

use std::time::Duration;

/// How a store works on its file.
///
/// Stores with different options may share a file: every operation is carried out with the
/// options of the store it was started on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Whether a change is flushed to disk before it is acknowledged, so that it survives a loss
    /// of power and not only the death of the process. On by default: state is rarely written
    /// often enough for the cost of a flush to matter, and nobody expects to lose what was
    /// acknowledged.
    pub fsync: bool,

    /// How long a change waits for another process that holds the lock of the file, before it
    /// fails with [`Error::Locked`](crate::Error::Locked). A commit takes milliseconds, so the
    /// default of 10 s passes only if something is wrong.
    pub lock_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: true, lock_timeout: Duration::from_secs(10) }
    }
}

impl Options {
    /// Sets [`Options::fsync`].
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Sets [`Options::lock_timeout`].
    pub fn lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
        self
    }
}
