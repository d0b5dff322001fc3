//! The state file: how it is locked, read, touched and removed. How it is replaced stands in
//! [`super::temporary`].
//!
//! The name decides which file is meant: after a lock was taken, the name must still stand for the
//! locked file.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;

use memchr::memchr;

use super::access::is_same;
use super::io::{goes_on_after_nuls, read_while};
use super::place::{Handle, Place};
use super::storage::{Access, Kind, Lock, Metadata};
use crate::error::{Error, Result};

/// How often the lock is tried again on a file that was replaced in the moment of locking.
const ATTEMPTS_MAX: usize = 20;

/// How often the file is touched until its change time moves. Kernels before 6.13 have a clock
/// that stands still for up to 10 ms, in which a few thousand attempts have room.
const TOUCHES_MAX: usize = 30_000;

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct StateFile(Arc<Place>);

/// The state file while this process holds its lock. Dropping releases the lock.
pub(crate) struct LockedFile(Handle);

/// The outcome of an attempt to lock the state file.
pub(crate) enum Locking {
    /// The lock was taken.
    Taken(LockedFile),
    /// There is no file to lock.
    Missing,
    /// Another process has a lock of this file that excludes ours.
    Busy(Metadata),
}

impl StateFile {
    pub(crate) fn new(place: &Arc<Place>) -> Self {
        Self(Arc::clone(place))
    }

    /// Tries to take a lock of the file, on the handle of `known` if that is the file as it is.
    ///
    /// For the exclusive lock the file is opened for writing, so a file that this process may not
    /// write is not locked, let alone replaced. Access is checked when a file is opened, and every
    /// change of access changes the metadata, so a handle of before is good only if nothing at all
    /// changed.
    pub(crate) fn lock(&self, known: Option<&Handle>, lock: Lock) -> Result<Locking> {
        let place = &*self.0;
        let access = access_for(lock);
        let suffices = |known: &&Handle| lock == Lock::Shared || known.access == access;
        let mut candidate = known.filter(suffices).cloned();
        let mut busy = None;
        for _ in 0..ATTEMPTS_MAX {
            let is_known = candidate.is_some();
            let opened = match candidate.take() {
                Some(known) => Some(known),
                None => self.open(access)?,
            };
            let Some(handle) = opened else { return Ok(Locking::Missing) };
            if !handle.file.try_lock(lock).map_err(Error::io("lock", &place.file))? {
                if !is_known {
                    return Ok(Locking::Busy(handle.metadata));
                }
                // The lock that is busy may be that of a file that lost the name.
                busy = Some(handle.metadata);
                match self.look()? {
                    Some(named) if named.is_same_file(&handle.metadata) => break,
                    _ => continue,
                }
            }
            let mut locked = LockedFile(handle);
            match self.look()? {
                Some(named) if is_known && named == locked.0.metadata => {
                    return Ok(Locking::Taken(locked));
                }
                Some(named) if !is_known && named.is_same_file(&locked.0.metadata) => {
                    locked.0.metadata = named;
                    return Ok(Locking::Taken(locked));
                }
                named => busy = named.or(busy),
            }
        }
        match busy {
            Some(metadata) => Ok(Locking::Busy(metadata)),
            None => Ok(Locking::Missing),
        }
    }

    /// Accepts a lock that was waited for, if the name still stands for the locked file.
    pub(crate) fn accept(&self, mut locked: LockedFile) -> Result<Option<LockedFile>> {
        let named = self.look()?.filter(|named| {
            // Access is checked when a file is opened.
            named.is_same_file(&locked.0.metadata) && is_same(named, &locked.0.metadata)
        });
        Ok(named.map(|named| {
            locked.0.metadata = named;
            locked
        }))
    }

    /// Opens the file to wait for its lock.
    pub(crate) fn open_to_wait(&self, lock: Lock) -> Result<Option<Handle>> {
        self.open(access_for(lock))
    }

    /// What the name stands for, if anything. Symbolic links were followed when the store was
    /// opened; a link that is there now is not followed.
    pub(crate) fn look(&self) -> Result<Option<Metadata>> {
        let named = self.0.look(&self.0.file)?;
        match named {
            Some(Metadata { kind: Kind::Link, .. }) => Err(self.became_a_link()),
            named => Ok(named),
        }
    }

    fn open(&self, access: Access) -> Result<Option<Handle>> {
        let opened = self.0.open(&self.0.file, access);
        match opened {
            Err(Error::Io { ref source, .. }) if source.kind() == ErrorKind::InvalidInput => {
                // A better message for a link.
                self.look().and(opened)
            }
            opened => opened,
        }
    }

    fn became_a_link(&self) -> Error {
        let problem = "it became a symbolic link; close the store to follow it";
        Error::io("lock", &self.0.file)(io::Error::other(problem))
    }

    /// Reads the content. Stops behind a NUL byte, which is in no JSON text: a file of NULs may be
    /// larger than memory.
    pub(crate) fn read(&self, locked: &LockedFile) -> Result<Vec<u8>> {
        let Handle { file, metadata, .. } = &locked.0;
        let content = read_while(&**file, 0, metadata.size, |chunk| memchr(0, chunk).is_none());
        content.map_err(Error::io("read", &self.0.file))
    }

    /// Reads the content behind NUL bytes too, as long as there are not too many of them one after
    /// the other.
    pub(crate) fn read_damaged(&self, locked: &LockedFile) -> Result<Vec<u8>> {
        let Handle { file, metadata, .. } = &locked.0;
        let content = read_while(&**file, 0, metadata.size, goes_on_after_nuls());
        content.map_err(Error::io("read", &self.0.file))
    }

    /// Makes every process that knows the file look at it again, though its content stays what it
    /// is: they would not notice a new journal otherwise. Says whether it succeeded, which it does
    /// not where the change time stands still.
    pub(crate) fn touch(&self, locked: &mut LockedFile) -> Result<bool> {
        let failed = |error| Error::io("touch", &self.0.file)(error);
        let Handle { file, metadata, .. } = &mut locked.0;
        for _ in 0..TOUCHES_MAX {
            file.touch().map_err(failed)?;
            let now = file.metadata().map_err(failed)?;
            if now.changed != metadata.changed {
                *metadata = now;
                return Ok(true);
            }
            thread::yield_now();
        }
        Ok(false)
    }

    /// Makes the content durable, whichever process wrote it.
    pub(crate) fn flush(&self, locked: &LockedFile) -> Result<()> {
        locked.0.file.flush().map_err(Error::io("flush", &self.0.file))
    }

    /// Removes the file.
    pub(crate) fn remove(&self, _locked: &LockedFile) -> Result<()> {
        self.0.storage.remove(&self.0.file).map_err(Error::io("remove", &self.0.file))
    }
}

fn access_for(lock: Lock) -> Access {
    match lock {
        Lock::Shared => Access::Read,
        Lock::Exclusive => Access::ReadWrite,
    }
}

impl LockedFile {
    /// A file whose lock this process holds.
    pub(crate) fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// The file as it was when it was locked or written.
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held; the kernel would release it with the last handle.
        let _ = self.0.file.unlock();
    }
}
