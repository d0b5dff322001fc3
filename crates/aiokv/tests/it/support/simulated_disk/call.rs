//! The calls that processes make on the disk, and who is asked before each of them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::inode::Number;

/// The number of a process. No two processes of a disk have the same.
pub(crate) type ProcessId = u32;

/// The calls there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Action {
    Resolve,
    Open,
    OpenDirectory,
    Create,
    Look,
    Identify,
    Rename,
    RenameNew,
    Remove,
    CreateDirectory,
    FlushDirectory,
    LookAtHandle,
    LookForName,
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
            Self::Resolve | Self::Open | Self::OpenDirectory | Self::Look => false,
            Self::Identify | Self::LookAtHandle | Self::LookForName => false,
            Self::Read | Self::Lock | Self::Unlock => false,
            Self::Create | Self::CreateDirectory | Self::Write | Self::SetOwner => true,
            Self::SetMode | Self::Rename | Self::RenameNew | Self::Remove => true,
            Self::SetLength | Self::Flush | Self::FlushContent | Self::FlushDirectory => true,
            Self::Touch => true,
        }
    }

    /// Whether it asks for metadata.
    pub(crate) fn looks(self) -> bool {
        matches!(self, Self::Look | Self::Identify | Self::LookAtHandle | Self::LookForName)
    }

    pub(crate) fn flushes_a_file(self) -> bool {
        matches!(self, Self::Flush | Self::FlushContent)
    }
}

/// A call that a process is about to make.
#[derive(Debug, Clone)]
pub(crate) struct Call<'call> {
    pub(crate) process: ProcessId,
    pub(crate) action: Action,
    /// The name that the call is about, or the one with which the handle was opened.
    pub(crate) path: &'call Path,
    /// The inode of the handle.
    pub(crate) inode: Option<Number>,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).display();
        write!(formatter, "{:?} {name}", self.action)?;
        match self.inode {
            Some(inode) => write!(formatter, "#{inode}"),
            None => Ok(()),
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The disk does it.
    Do,
    /// It fails and changes nothing, but a failed flush of a file loses what was not flushed.
    Fail(Errno),
    /// If it reads or writes, it does half of what it was asked for.
    Short,
    /// It fails and changes nothing at all, because its process is no more.
    Gone,
}

/// Is asked before every call of every process. It decides when the call happens, by returning
/// late, and may end the process, by a panic.
pub(crate) trait Director: Send + Sync {
    /// Decides what becomes of a call.
    fn before(&self, call: &Call<'_>) -> Verdict;

    /// Whether it is curious about what comes out of calls.
    fn is_curious(&self) -> bool {
        false
    }

    /// Is told what came out, if it is curious.
    fn after(&self, _call: &Call<'_>, _outcome: &dyn fmt::Debug) {}
}

/// Lets every call happen at once.
pub(crate) struct Undirected;

impl Director for Undirected {
    fn before(&self, _call: &Call<'_>) -> Verdict {
        Verdict::Do
    }
}

impl Undirected {
    pub(crate) fn shared() -> Arc<dyn Director> {
        Arc::new(Self)
    }
}
