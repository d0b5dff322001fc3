//! What the writer knows to be on disk, as one value.
//!
//! The writer of a file owns it. It changes only while this process holds a lock of the state
//! file, so at that moment it is the truth; later it is what has to be compared.

use std::sync::Arc;

use super::memory::Look;
use crate::files::{Handle, OpenJournal, Place};
use crate::format::journal::Digest;

/// See the [module](self).
#[derive(Clone, Default)]
pub(crate) enum OnDisk {
    /// Nothing is known. Everything has to be read.
    #[default]
    Unknown,
    /// There was neither a state file nor a journal: the store was empty.
    Missing,
    /// The state file held the state by itself.
    File {
        file: Handle,
        content: Digest,
        /// Whether content and name are known to be durable.
        durable: bool,
    },
    /// The state file and its journal together held the state. A state file with a journal is
    /// durable, because a journal is only created for a durable one.
    Journaled { file: Handle, content: Digest, journal: Box<OpenJournal> },
}

impl OnDisk {
    /// The state file as it was.
    pub(crate) fn file(&self) -> Option<&Handle> {
        match self {
            Self::File { file, .. } | Self::Journaled { file, .. } => Some(file),
            Self::Unknown | Self::Missing => None,
        }
    }

    /// The state file as it was, to take note of how it is now.
    pub(crate) fn file_mut(&mut self) -> Option<&mut Handle> {
        match self {
            Self::File { file, .. } | Self::Journaled { file, .. } => Some(file),
            Self::Unknown | Self::Missing => None,
        }
    }

    /// The content of the state file.
    pub(crate) fn content(&self) -> Option<Digest> {
        match self {
            Self::File { content, .. } | Self::Journaled { content, .. } => Some(*content),
            Self::Unknown | Self::Missing => None,
        }
    }

    pub(crate) fn journal(&self) -> Option<&OpenJournal> {
        match self {
            Self::Journaled { journal, .. } => Some(journal),
            _ => None,
        }
    }

    pub(crate) fn journal_mut(&mut self) -> Option<&mut OpenJournal> {
        match self {
            Self::Journaled { journal, .. } => Some(journal),
            _ => None,
        }
    }

    /// How to see without a lock that nothing has changed since.
    pub(crate) fn look(&self, place: &Arc<Place>) -> Look {
        match self {
            Self::Unknown => Look::Impossible,
            Self::Missing => Look::NoFile(Arc::clone(place)),
            Self::File { file, .. } => Look::File(file.clone()),
            Self::Journaled { file, journal, .. } => Look::Journaled(file.clone(), journal.tail()),
        }
    }
}
