//! The files of a store: the only code that knows names, locks and flushes.
//!
//! Guarantees: the name of the state file and that of the journal never stand for an incomplete
//! file; both change only while this process holds the exclusive lock of the state file; what is
//! reported as durable was flushed; after a failure no temporary file of this process is left.
//!
//! The modules here carry out single steps. In which order, and what memory makes of them, is the
//! business of [`crate::writer`]. What the files say is the business of [`crate::format`].

mod access;
mod directories;
mod disk;
mod io;
mod journal_file;
mod place;
mod state_file;
pub mod storage;
mod temporary;

pub(crate) use directories::Directories;
pub use disk::Disk;
pub(crate) use journal_file::{JournalFile, OpenJournal, Tail};
pub(crate) use place::{Handle, Place};
pub(crate) use state_file::{LockedFile, Locking, StateFile};
pub(crate) use temporary::{Creation, Temporary, remove_left_behind};

use crate::error::Error;
use storage::Metadata;

/// Why a step that should change something on disk did not succeed.
pub(crate) enum Failure {
    /// Another process holds the lock of the file with this metadata.
    Busy(Metadata),
    /// Another process created the file meanwhile.
    Raced,
    /// Something failed, and the file and its journal hold what they held before.
    Unchanged(Error),
    /// Something failed, and what the disk holds has to be read again. The lock of the file that
    /// has the name by now is held until memory knows.
    Unknown(
        Error,
        #[expect(dead_code, reason = "it is there to be dropped later")] Option<Box<LockedFile>>,
    ),
}

impl Failure {
    /// A failure after which the disk has to be read again, with the lock that is held.
    pub(crate) fn unknown(error: Error, locked: LockedFile) -> Self {
        Self::Unknown(error, Some(Box::new(locked)))
    }

    /// The same failure after something has changed.
    pub(crate) fn after_change(self, locked: LockedFile) -> Self {
        match self {
            Self::Unchanged(error) | Self::Unknown(error, _) => Self::unknown(error, locked),
            failure => failure,
        }
    }
}

/// A step that fails before it changes anything.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Unchanged(error)
    }
}
