//! What the writer of a file owns: everything that only it uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::lock_wait::LockWait;
use super::memory::{Look, Memory};
use super::on_disk::OnDisk;
use super::schedule::Schedule;
use crate::files::storage::{Lock, Storage};
use crate::files::{Directories, Handle, JournalFile, Place, StateFile, Temporary};
use crate::format::journal::Position;
use crate::format::json_file::Encoder;
use crate::queue::{Queue, Submission};

/// Carries out the operations on one file.
pub(crate) struct Writer {
    pub(super) storage: Arc<dyn Storage>,
    /// The path of the file as it was given.
    pub(super) path: PathBuf,
    pub(super) queue: Arc<Queue>,
    pub(super) memory: Arc<Memory>,
    /// `None` until the path was resolved.
    pub(super) files: Option<Files>,
    pub(super) disk: OnDisk,
    /// What was taken from the queue and is not answered yet, in order.
    pub(super) waiting: Vec<Submission>,
    /// The time of this step.
    pub(super) now: Instant,
    /// The operations that wait until the state file covers what came before them.
    pub(super) draining: Vec<Draining>,
    pub(super) schedule: Schedule,
    /// The checkpoint under way.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Since when every attempt found the lock taken.
    pub(super) busy_since: Option<Instant>,
    /// The lock of the state file that the last attempt found taken.
    pub(super) busy_lock: Option<Lock>,
    /// The thread that waits for the lock.
    pub(super) lock_wait: Option<Arc<LockWait>>,
}

/// The files of the store.
pub(super) struct Files {
    pub(super) place: Arc<Place>,
    pub(super) state: StateFile,
    pub(super) journal: JournalFile,
    pub(super) directories: Directories,
}

/// An operation that waits for a checkpoint.
pub(super) struct Draining {
    pub(super) submission: Submission,
    /// See [`Schedule::is_covered`].
    pub(super) request: u64,
}

/// A new state file that is being written.
pub(super) struct Checkpoint {
    pub(super) temporary: Temporary,
    pub(super) pieces: Encoder,
    /// What it is based on.
    pub(super) file: Handle,
    /// The last line that it holds.
    pub(super) through: Position,
    /// What it covers; see [`super::schedule::Schedule::begin`].
    pub(super) covers: u64,
}

impl Checkpoint {
    /// Closes the file and leaves it to the parent, in the child of a fork.
    pub(super) fn forget(self) {
        self.temporary.forget();
    }
}

impl Writer {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        path: PathBuf,
        queue: Arc<Queue>,
        memory: Arc<Memory>,
    ) -> Self {
        memory.set_look(Look::Impossible);
        Self {
            storage,
            path,
            queue,
            memory,
            files: None,
            disk: OnDisk::Unknown,
            waiting: Vec::new(),
            now: Instant::now(),
            draining: Vec::new(),
            schedule: Schedule::default(),
            checkpoint: None,
            busy_since: None,
            busy_lock: None,
            lock_wait: None,
        }
    }

    pub(super) fn files(&mut self) -> &mut Files {
        self.files.as_mut().expect("every step finds the files first")
    }

    /// Memory may not hold the newest state any more.
    pub(super) fn forget(&mut self) {
        self.disk = OnDisk::Unknown;
        self.memory.set_look(Look::Impossible);
    }

    /// Tells those who read without a lock how to look at what is on disk now.
    pub(super) fn publish(&self) {
        self.memory.set_look(self.look());
    }

    pub(super) fn look(&self) -> Look {
        match &self.files {
            Some(files) => self.disk.look(&files.place),
            None => Look::Impossible,
        }
    }
}
