//! How the file is replaced: a temporary file is filled, flushed and renamed over it.
//!
//! Guarantees: the replacement has the permission bits of the file and, where allowed, its owner,
//! before it has content; nobody else works on the temporary file; after a failure there is none.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::files::state_file::{Failure, Lock, LockedFile, OpenFile, StateFile};
use crate::files::storage::{Access, File, Metadata, Storage, write_all};
use crate::format::journal::{Digest, Imprint};

/// The permission bits of a new file, before the umask.
const MODE_NEW: u32 = 0o666;
/// The permission bits of a replacement until it gets those of the file it replaces.
pub(crate) const MODE_PRIVATE: u32 = 0o600;

/// A new content of the file, in the temporary file, whose lock it holds. To be given to
/// [`StateFile::finish`] or [`StateFile::discard`].
pub(crate) struct Replacement {
    open: OpenFile,
    bytes: u64,
    hasher: crc32fast::Hasher,
    flush: bool,
}

impl Replacement {
    /// Adds to the content.
    pub(crate) fn write(&mut self, piece: &str) -> io::Result<()> {
        write_all(&*self.open.file, piece.as_bytes(), self.bytes)?;
        self.bytes += piece.len() as u64;
        self.hasher.update(piece.as_bytes());
        Ok(())
    }

    /// Flushes what was written so far, so that less is left for the end.
    pub(crate) fn flush_early(&self) -> io::Result<()> {
        self.open.file.flush_content()
    }

    /// Ends the content and flushes it.
    pub(crate) fn complete(&mut self) -> io::Result<()> {
        if self.flush {
            self.open.file.flush()?;
        }
        self.open.metadata = self.open.file.metadata()?;
        Ok(())
    }

    /// The content as it is so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, checksum: self.hasher.clone().finalize() }
    }

    /// Whether it is flushed before it becomes the file.
    pub(crate) fn is_durable(&self) -> bool {
        self.flush
    }

    /// The file, once it is complete.
    pub(crate) fn imprint(&self) -> Imprint {
        Imprint::of(&self.open.metadata)
    }
}

impl StateFile {
    /// Creates a replacement of `old`, or of nothing. With `flush`, it is to be durable before it
    /// becomes the file.
    pub(crate) fn begin(
        &self,
        old: Option<&LockedFile>,
        flush: bool,
    ) -> Result<Replacement, Failure> {
        let mode = if old.is_some() { MODE_PRIVATE } else { MODE_NEW };
        let open = self.create_temporary(mode, flush)?;
        let prepared = match old {
            Some(old) => self.prepare(&open, old).map_err(Failure::Unchanged),
            None => self.remove_journal_without_file(flush),
        };
        let hasher = crc32fast::Hasher::new();
        let replacement = Replacement { open, bytes: 0, hasher, flush };
        match prepared {
            Ok(()) => Ok(replacement),
            Err(failure) => {
                self.discard(replacement);
                Err(failure)
            }
        }
    }

    /// Makes a complete replacement the file: in place of `old`, or as a new file that replaces
    /// nothing. Returns it with its lock held, so that nobody else replaces it before the caller
    /// knows of it.
    pub(crate) fn finish(
        &self,
        replacement: Replacement,
        old: Option<&LockedFile>,
    ) -> Result<LockedFile, Failure> {
        let renamed = match old {
            Some(_) => self.storage.rename(&self.temporary, &self.path),
            None => self.storage.rename_new(&self.temporary, &self.path),
        };
        if let Err(error) = renamed {
            self.discard(replacement);
            return Err(match error.kind() {
                ErrorKind::AlreadyExists if old.is_none() => Failure::Raced,
                _ => Failure::Unchanged(Error::io("replace", &self.path)(error)),
            });
        }
        let flush = replacement.flush;
        let mut new = LockedFile(replacement.open);
        if flush {
            self.flush_names().map_err(Failure::NotDurable)?;
        }
        // The rename changed the metadata. If anything else did, or if this look fails, the next
        // look sees a difference and the file is read again.
        if let Ok(now) = new.0.file.metadata()
            && new.0.metadata.has_same_content(&now)
        {
            new.0.metadata = now;
        }
        Ok(new)
    }

    /// Gives up a replacement.
    pub(crate) fn discard(&self, replacement: Replacement) {
        // It is ours alone; if it cannot be removed, the next writer does it.
        let _ = self.storage.remove(&self.temporary);
        drop(LockedFile(replacement.open));
    }

    /// Gives a replacement the permission bits and the owner of what it replaces. A process that
    /// was killed may have left the temporary file of a journal.
    fn prepare(&self, replacement: &OpenFile, old: &LockedFile) -> Result<()> {
        self.journal.remove_left_behind()?;
        let taken = take_after(&*replacement.file, &replacement.metadata, &old.0.metadata);
        taken.map_err(Error::io("replace", &self.path))
    }

    /// While there is no file, a journal is what is left of a removal that was interrupted, or of
    /// what is being removed now. Nobody creates a file while this process has the temporary one.
    fn remove_journal_without_file(&self, flush: bool) -> Result<(), Failure> {
        if !self.journal.exists().map_err(Failure::Unchanged)? {
            return Ok(());
        }
        if self.look_at_name().map_err(Failure::Unchanged)?.is_some() {
            return Err(Failure::Raced);
        }
        self.journal.remove(flush).map_err(Failure::Unchanged)
    }

    /// Creates the temporary file and locks it. One that a killed process left is removed first.
    fn create_temporary(&self, mode: u32, flush: bool) -> Result<OpenFile, Failure> {
        let cannot_create = |error| Failure::Unchanged(Error::io("create", &self.temporary)(error));
        loop {
            match self.storage.create(&self.temporary, mode) {
                Ok(file) => {
                    let file: Arc<dyn File> = file.into();
                    let created = match self.claim(&file) {
                        Ok(created) => created,
                        Err(error) => {
                            let _ = self.storage.remove(&self.temporary);
                            return Err(cannot_create(error));
                        }
                    };
                    if let Some(metadata) = created {
                        let access = Access::ReadWrite;
                        return Ok(OpenFile { file, metadata, access });
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    match self.lock_temporary().map_err(Failure::Unchanged)? {
                        Lock::Busy(metadata) => return Err(Failure::Busy(metadata)),
                        Lock::Missing => {}
                        Lock::Taken(_left_behind) => {
                            self.storage.remove(&self.temporary).map_err(cannot_create)?;
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create_directories(&*self.storage, &self.directory, flush)
                        .map_err(Error::io("create", &self.directory))
                        .map_err(Failure::Unchanged)?;
                }
                Err(error) => return Err(cannot_create(error)),
            }
        }
    }

    /// Locks a temporary file that was just created. `None` if another process took it for one
    /// that was left behind, which is possible until the lock is held.
    fn claim(&self, file: &Arc<dyn File>) -> io::Result<Option<Metadata>> {
        let taken = file.try_lock()?;
        let metadata = file.metadata()?;
        Ok((taken && metadata.links > 0).then_some(metadata))
    }
}

/// Gives a file the permission bits of another one and, where allowed, its owner.
pub(crate) fn take_after(file: &dyn File, is: &Metadata, other: &Metadata) -> io::Result<()> {
    if (other.owner, other.group) != (is.owner, is.group) {
        match file.set_owner(other.owner, other.group) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            outcome => outcome?,
        }
    }
    file.set_mode(other.mode)
}

/// Creates a directory and its missing parents.
fn create_directories(storage: &dyn Storage, path: &Path, flush: bool) -> io::Result<()> {
    match storage.create_directory(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            create_directories(storage, parent, flush)?;
            return create_directories(storage, path, flush);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        outcome => outcome?,
    }
    match path.parent() {
        Some(parent) if flush => storage.flush_directory(parent),
        _ => Ok(()),
    }
}
