//! What memory holds: shared between the writer, which changes it, and threads that read it
//! without waiting.
//!
//! An event loop must not wait, so a reader takes the lock only if it is free. Under the lock it
//! looks at the metadata of open files, and does nothing else: the state that it reads is the one
//! that it looked for.

use std::io::ErrorKind;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::watchers::Watchers;
use crate::files::storage::Metadata;
use crate::files::{Handle, Place, Tail};
use crate::json::Entry;
use crate::state::{Record, Snapshot, State};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Memory {
    current: RwLock<Current>,
    /// Who is told when the state changes.
    pub(crate) watchers: Watchers,
}

#[derive(Default)]
struct Current {
    state: State,
    look: Look,
}

/// How to see without a lock of the state file that memory holds the newest state. The only
/// question is whether nothing has changed; any answer but a clear yes means that the writer has
/// to take the lock and read.
#[derive(Default)]
pub(crate) enum Look {
    /// The writer has to read.
    #[default]
    Impossible,
    /// The writer holds the exclusive lock and has read everything, so no other process can have
    /// changed anything.
    Locked,
    /// There is neither a state file nor a journal.
    NoFile(Arc<Place>),
    /// The open state file has the same metadata.
    File(Handle),
    /// The same, and nothing was appended to the journal.
    Journaled(Handle, Tail),
    /// The name stands for a file with the same metadata, which is not open.
    Named(Arc<Place>, Metadata),
}

impl Look {
    fn is_current(&self) -> bool {
        let unchanged =
            |handle: &Handle| handle.file.metadata().is_ok_and(|now| now == handle.metadata);
        match self {
            Self::Impossible => false,
            Self::Locked => true,
            Self::NoFile(place) => [&place.file, &place.journal].into_iter().all(|path| {
                let looked = place.storage.metadata(path);
                looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
            }),
            Self::File(file) => unchanged(file),
            Self::Journaled(file, tail) => unchanged(file) && tail.is_current(),
            Self::Named(place, metadata) => {
                place.storage.metadata(&place.file).is_ok_and(|now| now == *metadata)
            }
        }
    }
}

impl Memory {
    /// The entry of a key, or `None` if memory does not hold the newest state.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Entry>> {
        let current = self.current.try_read().ok()?;
        current.look.is_current().then(|| current.state.get(key).cloned())
    }

    /// Whether memory holds the newest state.
    pub(crate) fn is_current(&self) -> bool {
        self.read().look.is_current()
    }

    /// Does something with the state.
    pub(crate) fn with_state<T>(&self, work: impl FnOnce(&State) -> T) -> T {
        work(&self.read().state)
    }

    /// Every entry with the changes of a record.
    pub(crate) fn snapshot_with(&self, record: &Record) -> Snapshot {
        self.read().state.snapshot_with(record)
    }

    /// Sets how to look whether the state is the newest.
    pub(crate) fn set_look(&self, look: Look) {
        let old = std::mem::replace(&mut self.write().look, look);
        drop(old);
    }

    /// Makes recorded changes to the state. What they displace is dropped after the lock was
    /// released: it may be large.
    pub(crate) fn install(&self, record: Record, look: Look) {
        let mut guard = self.write();
        let (cleared, record) = guard.state.install(record);
        let old = std::mem::replace(&mut guard.look, look);
        drop(guard);
        if self.watchers.any() {
            self.watchers.add_changes(cleared.as_ref(), &record);
        }
        drop((cleared, record, old));
        self.compact();
    }

    /// Replaces everything.
    pub(crate) fn replace(&self, state: State, look: Look) {
        let mut guard = self.write();
        let old = std::mem::replace(&mut *guard, Current { state, look });
        drop(guard);
        if self.watchers.any() {
            self.with_state(|now| self.watchers.add_difference(&old.state, now));
        }
        drop(old);
    }

    /// Gives back the space of deleted entries, once they are the larger part. Only the writer
    /// changes the state, so it is the same before and after.
    fn compact(&self) {
        let compacted = self.read().state.compacted();
        if let Some(state) = compacted {
            let old = std::mem::replace(&mut self.write().state, state);
            drop(old);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().expect(NOT_POISONED)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "nothing panics while memory is locked";
