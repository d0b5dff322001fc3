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

    /// How long an operation waits for another process that holds the lock of the file, before it
    /// fails with [`Error::Locked`](crate::Error::Locked). Reads wait only if the file or its
    /// journal has changed. A commit takes milliseconds, so the
    /// default of 10 s passes only if something is wrong.
    pub lock_timeout: Duration,

    /// How a change gets to disk. By default that depends on the size of the file.
    pub journal: Journal,

    /// The size of the file in bytes above which [`Journal::Auto`] uses the journal. Replacing a
    /// file of up to 64 KiB, the default, costs little more than the flush that either way needs.
    pub journal_threshold: u64,

    /// How many bytes a second checkpoints may write on average. A checkpoint brings the file up
    /// to date with its journal by writing all of it, so the pace decides how long the file alone
    /// may lag behind: with the default of 64 KiB/s about a second at 64 KiB, 16 s at 1 MiB and
    /// 13 min at 50 MiB. A journal that has outgrown its file is not made to wait.
    ///
    /// `u64::MAX` stands for at once; 0 for only when the journal has outgrown the file, or when
    /// the store is closed.
    pub checkpoint_pace: u64,
}

/// How a change gets to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Journal {
    /// The file is replaced while it is small; above [`Options::journal_threshold`] changes are
    /// appended to the journal.
    #[default]
    Auto,
    /// Changes are appended to the journal whatever the size of the file. The first change of a
    /// store without a file creates the file.
    Always,
    /// Every change replaces the file. A journal that is there is removed once the new file holds
    /// its changes.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: true,
            lock_timeout: Duration::from_secs(10),
            journal: Journal::Auto,
            journal_threshold: 64 << 10,
            checkpoint_pace: 64 << 10,
        }
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

    /// Sets [`Options::journal`].
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = journal;
        self
    }

    /// Sets [`Options::journal_threshold`].
    pub fn journal_threshold(mut self, bytes: u64) -> Self {
        self.journal_threshold = bytes;
        self
    }

    /// Sets [`Options::checkpoint_pace`].
    pub fn checkpoint_pace(mut self, bytes_per_second: u64) -> Self {
        self.checkpoint_pace = bytes_per_second;
        self
    }
}
