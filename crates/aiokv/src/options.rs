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

    /// How a change gets to disk. By default that depends on the size of the file.
    pub journal: Journal,

    /// The size of the file in bytes above which [`Journal::Auto`] uses the journal. Replacing a
    /// file of up to 1 MiB, the default, costs little more than the flush that either way needs.
    pub journal_threshold: u64,

    /// How long nothing must have been written before the journal is folded into the file. The
    /// default of 1 s keeps folding out of a burst of changes and is what people wait before they
    /// look into the file.
    pub fold_idle: Duration,

    /// How long after a change the journal is folded into the file at the latest, however much
    /// is being written. By default 5 s.
    pub fold_delay_max: Duration,
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
    /// Every change replaces the file. A journal that is there is folded into it.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: true,
            lock_timeout: Duration::from_secs(10),
            journal: Journal::Auto,
            journal_threshold: 1 << 20,
            fold_idle: Duration::from_secs(1),
            fold_delay_max: Duration::from_secs(5),
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

    /// Sets [`Options::fold_idle`].
    pub fn fold_idle(mut self, fold_idle: Duration) -> Self {
        self.fold_idle = fold_idle;
        self
    }

    /// Sets [`Options::fold_delay_max`].
    pub fn fold_delay_max(mut self, fold_delay_max: Duration) -> Self {
        self.fold_delay_max = fold_delay_max;
        self
    }
}
