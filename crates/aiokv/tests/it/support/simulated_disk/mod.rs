//! A disk that several processes share, that knows what was flushed and what was not, and asks
//! before every call what becomes of it.
//!
//! # What a process sees
//!
//! Files and directories behave as on Linux: inodes live on without a name while they are open,
//! renaming over a file is atomic, advisory locks belong to handles and end with them, and handles
//! end with their process. The change time of an inode moves at every write, rename, removal and
//! change of mode or owner; the clock counts calls, and a tick may be several calls long
//! ([`Features::calls_per_tick`]). A new name follows the umask 022.
//!
//! # What a loss of power leaves
//!
//! Only a flush makes anything durable, and only of the one thing that is flushed: of a file its
//! content, size, mode and owner, but not its name; of a directory its names, but not what those
//! stand for. Of what was not flushed,
//!
//! - any of the writes to a file are there and the others are not, of the last of them only the
//!   beginning or only the end may be there, the file may have been cut off or not where a program
//!   did that, and it may have its new size with NUL bytes where data is missing;
//! - mode and owner are those from before or those from after all changes;
//! - any of the changes to the names of a directory happened and the others did not, but each
//!   of them whole: after a rename there is the old state of both names or the new state of both;
//! - all of these independently of each other.
//!
//! Large numbers of states are sampled: writes are torn at up to 20 places, and of more than six
//! unflushed changes to one thing, or more states than the caller asks for, random ones are drawn.
//!
//! A flush that failed loses the unflushed writes, as Linux may: programs still see them, and a
//! second flush of the same file succeeds without writing them. Only another write to the same page
//! of 4096 bytes brings them to the disk after all. A directory whose
//! flush failed keeps its changes for the next flush. Nothing that was flushed is ever damaged.
//!
//! # What there is not
//!
//! No symbolic links, no hard links made by programs, no renames from one directory to another,
//! no permissions (every call is allowed; refusals are injected).

#![allow(dead_code, reason = "each test uses a part of it")]

mod call;
mod inode;
mod outsider;
mod process_disk;
mod survivors;
#[cfg(test)]
mod tests;
mod tree;

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use aiokv::binding::storage::Storage;

use crate::support::random::Random;

pub(crate) use call::{Action, Call, Director, ProcessId, Undirected, Verdict};
use process_disk::ProcessDisk;
use tree::Tree;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk(Arc<Mutex<Tree>>);

/// In what file systems differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// How many calls have the same time. Linux before 6.13 has ticks of some milliseconds.
    pub(crate) calls_per_tick: i64,
    /// The number of an inode is used again once nothing is left of the inode.
    pub(crate) reuses_inodes: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { calls_per_tick: 1, reuses_inodes: false }
    }
}

impl SimulatedDisk {
    /// A disk with an empty root directory.
    pub(crate) fn new(features: Features) -> Self {
        Self::with_tree(Tree::new(features))
    }

    fn with_tree(tree: Tree) -> Self {
        Self(Arc::new(Mutex::new(tree)))
    }

    /// The disk as a process has it.
    pub(crate) fn of_process(
        &self,
        process: ProcessId,
        director: Arc<dyn Director>,
    ) -> Arc<dyn Storage> {
        Arc::new(ProcessDisk { disk: self.clone(), process, director })
    }

    /// The time that the next change of a file gets, in seconds.
    pub(crate) fn now(&self) -> i64 {
        self.tree().now()
    }

    /// Closes everything that a process has open, as its end does.
    pub(crate) fn end_process(&self, process: ProcessId) {
        self.tree().close_all_of(process);
    }

    /// Loses power: all processes are gone, and of what was not flushed chance decides.
    pub(crate) fn lose_power(&self, random: &mut Random) {
        let mut tree = self.tree();
        *tree = tree.survivor(random);
    }

    /// The disks that a loss of power at this moment may leave, each once: all of them if there
    /// are at most `limit`, otherwise up to `limit` random ones.
    pub(crate) fn surviving_states(&self, limit: usize, seed: u64) -> Vec<Self> {
        let survivors = self.tree().survivors(limit, &mut Random(seed));
        survivors.into_iter().map(Self::with_tree).collect()
    }

    /// The disk that is left when every process is killed at this moment: everything they did
    /// happened, flushed or not, and their locks are gone.
    pub(crate) fn after_kill(&self) -> Self {
        let mut tree = self.tree().clone();
        tree.close_all();
        Self::with_tree(tree)
    }

    /// Every name with its inode, mode and content, a line each.
    pub(crate) fn listing(&self) -> String {
        self.tree().listing()
    }

    /// The names in a directory; none if there is no such directory.
    pub(crate) fn names(&self, directory: &Path) -> Vec<OsString> {
        self.tree().names(directory)
    }

    /// Whether a process holds any lock.
    pub(crate) fn holds_lock(&self, process: ProcessId) -> bool {
        self.tree().holds_lock(process)
    }

    /// Whether a process holds a lock of a file.
    pub(crate) fn is_locked(&self, path: &Path) -> bool {
        let tree = self.tree();
        tree.find(path).is_ok_and(|inode| !tree.locks(inode).is_empty())
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().expect("no call panics with the disk locked")
    }
}
