//! The temporary file, in which a new state file or a new journal is written before it gets its
//! name.
//!
//! There is one name for it, and one rule: **the name may be given away or removed only by the
//! process that holds the lock of the file that it stands for.** A process that creates the file
//! takes its lock first and keeps it until the file has its final name. So a temporary file whose
//! lock can be taken was left behind by a process that died, and is removed. While there is no
//! state file, the lock of the temporary file also excludes other creators.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::access::take_over;
use super::directories::Directories;
use super::io::write_all;
use super::place::{Handle, Place};
use super::storage::{Access, File, Kind, Lock, Metadata, Visibility};
use super::{Failure, LockedFile};
use crate::error::{Error, Result};
use crate::format::journal::Digest;

/// How often creating the file is tried again while other processes create and remove theirs.
const ATTEMPTS_MAX: usize = 100;

/// The temporary file of this process, locked. Dropping removes it.
pub(crate) struct Temporary {
    place: Arc<Place>,
    file: Arc<dyn File>,
    metadata: Metadata,
    bytes: u64,
    hasher: crc32fast::Hasher,
    /// It has its final name.
    placed: bool,
}

/// The outcome of an attempt to create the temporary file.
pub(crate) enum Creation {
    /// It is there and locked by this process.
    Created(Temporary),
    /// Another process is at work on one.
    Busy(Metadata),
}

impl Temporary {
    /// Creates the file, to take the place of a file like `old` or, without one, of nothing.
    /// Creates missing directories too, `durably` if told so.
    pub(crate) fn create(
        place: &Arc<Place>,
        directories: &Directories,
        old: Option<&Metadata>,
        durably: bool,
    ) -> Result<Creation> {
        let cannot = |error| Error::io("create", &place.temporary)(error);
        let visibility = if old.is_some() { Visibility::Private } else { Visibility::Umask };
        let mut directory_created = false;
        for _ in 0..ATTEMPTS_MAX {
            match place.storage.create(&place.temporary, visibility) {
                Ok(file) => {
                    if let Some(created) = Self::claim(place, file.into()).map_err(cannot)? {
                        if let Some(old) = old {
                            take_over(&*created.file, &created.metadata, old).map_err(cannot)?;
                        }
                        return Ok(Creation::Created(created));
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if let Some(busy) = remove_left_behind(place)? {
                        return Ok(Creation::Busy(busy));
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !directory_created => {
                    directories.create(durably)?;
                    directory_created = true;
                }
                Err(error) => return Err(cannot(error)),
            }
        }
        Err(cannot(io::Error::other("other processes create and remove it all the time")))
    }

    /// Locks a file that was just created. `None` if another process took it for one that was left
    /// behind, which is possible until the lock is held.
    fn claim(place: &Arc<Place>, file: Arc<dyn File>) -> io::Result<Option<Self>> {
        let locked = file.try_lock(Lock::Exclusive).and_then(|taken| {
            let metadata = file.metadata()?;
            let named = place.storage.metadata(&place.temporary);
            let is_named = named.is_ok_and(|named| named.is_same_file(&metadata));
            Ok((taken && is_named).then_some(metadata))
        });
        match locked {
            Ok(Some(metadata)) => Ok(Some(Self {
                place: Arc::clone(place),
                file,
                metadata,
                bytes: 0,
                hasher: crc32fast::Hasher::new(),
                placed: false,
            })),
            Ok(None) => Ok(None),
            // The name may stand for the file of another process by now. The next writer removes
            // what was left behind.
            Err(error) => Err(error),
        }
    }

    /// Adds to the content.
    pub(crate) fn write(&mut self, piece: &str) -> io::Result<()> {
        write_all(&*self.file, piece.as_bytes(), self.bytes)?;
        self.bytes += piece.len() as u64;
        self.hasher.update(piece.as_bytes());
        Ok(())
    }

    /// Flushes the content written so far, so that less is left for the end.
    pub(crate) fn flush_content(&self) -> io::Result<()> {
        self.file.flush_content()
    }

    /// Makes the whole file durable.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }

    /// The content written so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, checksum: self.hasher.clone().finalize() }
    }

    /// Makes this file the state file, in the place of `old` or of nothing. The lock goes on as
    /// that of the state file.
    pub(crate) fn become_state_file(
        mut self,
        old: Option<&LockedFile>,
        directories: &mut Directories,
        flush: bool,
    ) -> Result<LockedFile, Failure> {
        let place = Arc::clone(&self.place);
        let cannot = Error::io("replace", &place.file);
        // Whatever can fail comes before the rename.
        if flush {
            directories.flush_parents().map_err(Failure::Unchanged)?;
        }
        let directory = directories.open().map_err(Failure::Unchanged)?;
        self.require_name().map_err(Failure::Unchanged)?;
        let renamed = match old {
            Some(_) => place.storage.rename(&place.temporary, &place.file),
            None => place.storage.rename_new(&place.temporary, &place.file),
        };
        renamed.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists if old.is_none() => Failure::Raced,
            _ => Failure::Unchanged(cannot(error)),
        })?;
        self.placed = true;
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(Error::io("look at", &place.file));
        let handle =
            |metadata| Handle { file: Arc::clone(&self.file), metadata, access: Access::ReadWrite };
        let locked = match metadata {
            Ok(metadata) => LockedFile::new(handle(metadata)),
            Err(error) => {
                return Err(Failure::unknown(error, LockedFile::new(handle(self.metadata))));
            }
        };
        match if flush { directories.flush(&directory) } else { Ok(()) } {
            Ok(()) => Ok(locked),
            Err(error) => Err(Failure::unknown(error, locked)),
        }
    }

    /// Makes this file the journal, in the place of an old one if there is one, and makes that
    /// durable. The caller holds the lock of the state file.
    pub(crate) fn become_journal(
        mut self,
        directories: &mut Directories,
    ) -> Result<Handle, Failure> {
        let place = Arc::clone(&self.place);
        directories.flush_parents().map_err(Failure::Unchanged)?;
        let directory = directories.open().map_err(Failure::Unchanged)?;
        self.require_name().map_err(Failure::Unchanged)?;
        let renamed = place.storage.rename(&place.temporary, &place.journal);
        renamed.map_err(|error| Failure::Unchanged(Error::io("create", &place.journal)(error)))?;
        self.placed = true;
        let looked = self.file.metadata().map_err(Error::io("look at", &place.journal));
        let metadata = looked.map_err(|error| Failure::Unknown(error, None))?;
        directories.flush(&directory).map_err(|error| Failure::Unknown(error, None))?;
        // The lock of the state file guards the journal.
        let _ = self.file.unlock();
        Ok(Handle { file: Arc::clone(&self.file), metadata, access: Access::ReadWrite })
    }

    /// Closes the file without removing or unlocking it, in the child of a fork: both belong to
    /// the parent.
    pub(crate) fn forget(mut self) {
        self.placed = true;
    }

    /// Looks that the name still stands for this file, which another program may have removed.
    fn require_name(&self) -> Result<()> {
        match self.place.look(&self.place.temporary)? {
            Some(named) if named.is_same_file(&self.metadata) => Ok(()),
            _ => {
                let problem = io::Error::other("another program removed it");
                Err(Error::io("rename", &self.place.temporary)(problem))
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // If it cannot be removed, the next writer does it.
            if self.require_name().is_ok() {
                let _ = self.place.storage.remove(&self.place.temporary);
            }
            let _ = self.file.unlock();
        }
    }
}

/// Removes the temporary file of a process that died. If a process is at work on it, returns its
/// metadata.
pub(crate) fn remove_left_behind(place: &Place) -> Result<Option<Metadata>> {
    let Some(named) = place.look(&place.temporary)? else { return Ok(None) };
    let remove = || match place.storage.remove(&place.temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", &place.temporary)(error))
        }
        _ => Ok(None),
    };
    // No process of ours makes it anything else than a file of its own with one name: a link to
    // the state file, for one, would be locked whenever the state file is.
    if named.kind != Kind::File || named.links > 1 {
        return remove();
    }
    let Some(handle) = place.open(&place.temporary, Access::Read)? else { return Ok(None) };
    let taken = handle.file.try_lock(Lock::Exclusive);
    if !taken.map_err(Error::io("lock", &place.temporary))? {
        return Ok(Some(handle.metadata));
    }
    let removed = match place.look(&place.temporary)? {
        Some(named) if named.is_same_file(&handle.metadata) => remove(),
        _ => Ok(None),
    };
    let _ = handle.file.unlock();
    removed
}
