//! What the disk writes down about the calls that were made.

use std::path::PathBuf;

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) action: Action,
    pub(crate) subject: Subject,
    /// It failed because that was planned.
    pub(crate) faulty: bool,
}

/// The calls there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    ReadLink,
    Canonicalize,
    Open,
    Create,
    Look,
    Rename,
    RenameNew,
    Remove,
    CreateDirectory,
    FlushDirectory,
    LookAtHandle,
    Read,
    Write,
    SetOwner,
    SetMode,
    SetLength,
    Touch,
    Flush,
    FlushContent,
    Lock,
    Unlock,
}

impl Action {
    /// Whether it may change anything but locks.
    pub(crate) fn changes_the_disk(self) -> bool {
        match self {
            Self::ReadLink | Self::Canonicalize | Self::Open | Self::Look => false,
            Self::LookAtHandle | Self::Read | Self::Lock | Self::Unlock => false,
            Self::Create | Self::CreateDirectory | Self::Write | Self::SetOwner => true,
            Self::SetMode | Self::Rename | Self::RenameNew | Self::Remove => true,
            Self::SetLength | Self::Flush | Self::FlushContent | Self::FlushDirectory => true,
            Self::Touch => true,
        }
    }

    pub(crate) fn flushes_a_file(self) -> bool {
        matches!(self, Self::Flush | Self::FlushContent)
    }
}

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Path(PathBuf),
    Inode(u64),
}
