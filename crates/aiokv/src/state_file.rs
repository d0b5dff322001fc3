//! How the file is found, locked, looked at, read, replaced and removed.
//!
//! Guarantees: the name of the file never stands for an incomplete content; two processes never
//! replace it at the same time; what [`StateFile::replace`] and [`StateFile::remove`] report as
//! done has been flushed, if that was asked for. When to call them is decided in
//! [`crate::commit`].
//!
//! Two names are used: that of the file and one temporary name beside it, `.NAME.aiokv-tmp`. Both
//! files carry the advisory lock of the process that works on them. The lock of the file excludes
//! other writers. The lock of the temporary file excludes other creators while there is no file,
//! and tells a temporary file at work from one that a killed process left behind.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::storage::{Access, File, Kind, Metadata, Storage};

/// The permission bits of a new file, before the umask.
const MODE_NEW: u32 = 0o666;
/// The permission bits of a replacement until it gets those of the file it replaces.
const MODE_PRIVATE: u32 = 0o600;
/// How many symbolic links may lead to the file; Linux has the same limit.
const LINKS_MAX: usize = 40;

/// The name of a file and how to work on it.
pub(crate) struct StateFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    temporary: PathBuf,
    directory: PathBuf,
    /// Whether the names of the directories that lead to the file are known to be durable.
    parents_durable: AtomicBool,
}

/// One content of the file, and how to see whether it is still the newest.
#[derive(Clone)]
pub(crate) enum Version {
    /// Nothing is known: the file has to be read.
    Unknown,
    /// There is no file.
    Missing,
    /// This file.
    Present(OpenFile),
}

/// An open file, with the metadata that went with its content when that was read or written.
#[derive(Clone)]
pub(crate) struct OpenFile {
    file: Arc<dyn File>,
    metadata: Metadata,
    access: Access,
}

/// The outcome of an attempt to lock the file.
pub(crate) enum Lock {
    /// The lock was taken.
    Taken(LockedFile),
    /// There is no file to lock.
    Missing,
    /// Another process holds the lock of this file.
    Busy(Metadata),
}

/// The file while its lock is held: no other process replaces it. Dropping releases the lock.
pub(crate) struct LockedFile(OpenFile);

/// Why a new content did not become the file.
pub(crate) enum Failure {
    /// Another process is creating the file; this is its temporary file.
    Busy(Metadata),
    /// Another process created the file. Start again on top of that.
    Raced,
    /// Something failed. The file is what it was.
    Unchanged(Error),
    /// The change happened, but it may not survive a loss of power.
    NotDurable(Error),
}

impl StateFile {
    /// Finds the file that `path` names, through symbolic links, the last of which may dangle.
    /// Neither the file nor its directory has to exist.
    pub(crate) fn resolve(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let resolved = resolve(&*storage, path, LINKS_MAX).map_err(Error::io("find", path))?;
        let (Some(directory), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            return Err(Error::io("use as a state file", path)(Errno::ISDIR.into()));
        };
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(".aiokv-tmp");
        Ok(Self {
            temporary: directory.join(temporary),
            directory: directory.to_owned(),
            path: resolved,
            storage,
            parents_durable: AtomicBool::new(false),
        })
    }

    /// The file itself, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `version` is still the newest content: one look at metadata, no reading.
    pub(crate) fn is_current(&self, version: &Version) -> bool {
        match version {
            Version::Unknown => false,
            Version::Missing => {
                let looked = self.storage.metadata(&self.path);
                looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
            }
            Version::Present(open) => open.file.metadata().is_ok_and(|now| now == open.metadata),
        }
    }

    /// Opens and reads the file without its lock: it is only ever replaced, so it is complete.
    pub(crate) fn read(&self) -> Result<(Vec<u8>, Version)> {
        match self.open(Access::Read)? {
            Some(open) => Ok((self.content(&open)?, Version::Present(open))),
            None => Ok((Vec::new(), Version::Missing)),
        }
    }

    /// Reads the content of a locked file.
    pub(crate) fn read_locked(&self, locked: &LockedFile) -> Result<(Vec<u8>, Version)> {
        Ok((self.content(&locked.0)?, locked.version()))
    }

    /// Tries to take the lock of the file, on the handle of `known` if that is still the file.
    ///
    /// The file is opened for writing, so a file that this process may not write is not locked,
    /// let alone replaced.
    pub(crate) fn try_lock(&self, known: &Version) -> Result<Lock> {
        let mut candidate = match known {
            Version::Present(open) if open.access == Access::ReadWrite => Some(open.clone()),
            _ => None,
        };
        loop {
            let reused = candidate.is_some();
            let opened = match candidate.take() {
                Some(open) => Some(open),
                None => self.open(Access::ReadWrite)?,
            };
            let Some(open) = opened else {
                self.look_at_name()?;
                return Ok(Lock::Missing);
            };
            if !open.file.try_lock().map_err(Error::io("lock", &self.path))? {
                return Ok(Lock::Busy(open.metadata));
            }
            // The lock counts only if nobody replaced or removed the file in the meantime. A
            // handle from before is good only if nothing at all changed, permissions included.
            let mut locked = LockedFile(open);
            match self.look_at_name()? {
                Some(named) if named == locked.0.metadata => return Ok(Lock::Taken(locked)),
                Some(named) if named.is_same_file(&locked.0.metadata) && !reused => {
                    locked.0.metadata = named;
                    return Ok(Lock::Taken(locked));
                }
                _ => {}
            }
        }
    }

    /// What the name stands for, if anything. Links were followed when the file was found; one
    /// that is there now would be replaced, and what it leads to would be read.
    fn look_at_name(&self) -> Result<Option<Metadata>> {
        match self.storage.metadata(&self.path) {
            Ok(named) if named.kind == Kind::Link => {
                let problem = "it became a symbolic link; close the store to follow it";
                Err(Error::io("lock", &self.path)(io::Error::other(problem)))
            }
            Ok(named) => Ok(Some(named)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", &self.path)(error)),
        }
    }

    /// Makes `content` the file: in place of `old`, or as a new file that replaces nothing.
    ///
    /// The replacement gets the permission bits of `old` and, where allowed, its owner. Returns
    /// it with its lock held, so that nobody else replaces it before the caller knows of it. On a
    /// failure no temporary file is left.
    pub(crate) fn replace(
        &self,
        old: Option<&LockedFile>,
        content: &[u8],
        flush: bool,
    ) -> Result<LockedFile, Failure> {
        let mode = if old.is_some() { MODE_PRIVATE } else { MODE_NEW };
        let mut new = self.create_temporary(mode, flush)?;
        let renamed = self.fill(&mut new, old, content, flush).and_then(|()| match old {
            Some(_) => self.storage.rename(&self.temporary, &self.path),
            None => self.storage.rename_new(&self.temporary, &self.path),
        });
        if let Err(error) = renamed {
            // The temporary file is ours alone; if it cannot be removed, the next writer does it.
            let _ = self.storage.remove(&self.temporary);
            return Err(match error.kind() {
                ErrorKind::AlreadyExists if old.is_none() => Failure::Raced,
                _ => Failure::Unchanged(Error::io("replace", &self.path)(error)),
            });
        }
        if flush {
            self.flush_names().map_err(Failure::NotDurable)?;
        }
        // The rename changed the metadata. If anything else did, or if this look fails, the next
        // look sees a difference and the file is read again.
        if let Ok(now) = new.0.file.metadata() {
            let then = &new.0.metadata;
            if (now.size, now.modified) == (then.size, then.modified) {
                new.0.metadata = now;
            }
        }
        Ok(new)
    }

    /// Removes the file, and a temporary file that a killed process left behind.
    pub(crate) fn remove(&self, old: Option<&LockedFile>, flush: bool) -> Result<(), Failure> {
        if let Lock::Taken(_left_behind) = self.lock_temporary().map_err(Failure::Unchanged)? {
            let removed = self.storage.remove(&self.temporary);
            removed.map_err(Error::io("remove", &self.temporary)).map_err(Failure::Unchanged)?;
        }
        if old.is_some() {
            let removed = self.storage.remove(&self.path);
            removed.map_err(Error::io("remove", &self.path)).map_err(Failure::Unchanged)?;
        }
        if flush {
            self.flush(&Version::Missing).map_err(Failure::NotDurable)?;
        }
        Ok(())
    }

    /// Makes durable what is there, whoever wrote it.
    pub(crate) fn flush(&self, version: &Version) -> Result<()> {
        if let Version::Present(open) = version {
            open.file.flush().map_err(Error::io("flush", &self.path))?;
        }
        match self.flush_names() {
            // Without a directory there is nothing to lose.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// The process that holds the lock of `file`, where the system tells.
    pub(crate) fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.storage.lock_holder(file)
    }

    fn open(&self, access: Access) -> Result<Option<OpenFile>> {
        let action = match access {
            Access::Read => "read",
            Access::ReadWrite => "open for writing",
        };
        loop {
            match open_regular(&*self.storage, &self.path, access) {
                // Replaced since it was opened: its metadata will not tell of another change.
                Ok(open) if open.metadata.links == 0 => {}
                Ok(open) => return Ok(Some(open)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io(action, &self.path)(error)),
            }
        }
    }

    fn content(&self, open: &OpenFile) -> Result<Vec<u8>> {
        read_all(&*open.file, open.metadata.size).map_err(Error::io("read", &self.path))
    }

    /// Creates the temporary file and locks it. One that a killed process left is removed first.
    fn create_temporary(&self, mode: u32, flush: bool) -> Result<LockedFile, Failure> {
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
                        return Ok(LockedFile(OpenFile { file, metadata, access }));
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

    /// Takes the lock of the temporary file, if there is one.
    fn lock_temporary(&self) -> Result<Lock> {
        let cannot_open = Error::io("open", &self.temporary);
        match self.storage.metadata(&self.temporary) {
            Ok(named) if named.kind == Kind::File => {}
            Ok(_) => return Err(cannot_open(io::Error::other("it is not a regular file"))),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Lock::Missing),
            Err(error) => return Err(cannot_open(error)),
        }
        let open = match open_regular(&*self.storage, &self.temporary, Access::ReadWrite) {
            Ok(open) => open,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Lock::Missing),
            Err(error) => return Err(cannot_open(error)),
        };
        if !open.file.try_lock().map_err(Error::io("lock", &self.temporary))? {
            return Ok(Lock::Busy(open.metadata));
        }
        let locked = LockedFile(open);
        match self.storage.metadata(&self.temporary) {
            Ok(named) if named.is_same_file(&locked.0.metadata) => Ok(Lock::Taken(locked)),
            Ok(_) => Ok(Lock::Missing),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Lock::Missing),
            Err(error) => Err(cannot_open(error)),
        }
    }

    /// Gives the temporary file its owner, permissions and content, in this order, and flushes it.
    fn fill(
        &self,
        new: &mut LockedFile,
        old: Option<&LockedFile>,
        content: &[u8],
        flush: bool,
    ) -> io::Result<()> {
        let OpenFile { file, metadata, .. } = &mut new.0;
        if let Some(LockedFile(OpenFile { metadata: old, .. })) = old {
            if (old.owner, old.group) != (metadata.owner, metadata.group) {
                match file.set_owner(old.owner, old.group) {
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                    outcome => outcome?,
                }
            }
            file.set_mode(old.mode)?;
        }
        write_all(&**file, content, 0)?;
        if flush {
            file.flush()?;
        }
        *metadata = file.metadata()?;
        Ok(())
    }

    /// Makes the name of the file durable, and once those of the directories that lead to it: a
    /// process that created them may have died before it could.
    fn flush_names(&self) -> Result<()> {
        let flush = |directory: &Path| {
            let flushed = self.storage.flush_directory(directory);
            flushed.map_err(Error::io("flush", directory))
        };
        flush(&self.directory)?;
        if !self.parents_durable.load(Ordering::Relaxed) {
            for parent in self.directory.ancestors().skip(1) {
                match flush(parent) {
                    // Not to be opened by us, so hardly created by one of us.
                    Err(Error::Io { source, .. })
                        if source.kind() == ErrorKind::PermissionDenied => {}
                    outcome => outcome?,
                }
            }
            self.parents_durable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl LockedFile {
    /// The content that the file had when it was locked or written.
    pub(crate) fn version(&self) -> Version {
        Version::Present(self.0.clone())
    }

    /// Whether the file still has the content of `version`.
    pub(crate) fn has(&self, version: &Version) -> bool {
        matches!(version, Version::Present(open) if open.metadata == self.0.metadata)
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held; the kernel would release it with the last handle.
        let _ = self.0.file.unlock();
    }
}

fn open_regular(storage: &dyn Storage, path: &Path, access: Access) -> io::Result<OpenFile> {
    let file: Arc<dyn File> = storage.open(path, access)?.into();
    let metadata = file.metadata()?;
    match metadata.kind {
        Kind::File => Ok(OpenFile { file, metadata, access }),
        Kind::Directory => Err(Errno::ISDIR.into()),
        Kind::Link | Kind::Other => {
            Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
        }
    }
}

fn resolve(storage: &dyn Storage, path: &Path, links_left: usize) -> io::Result<PathBuf> {
    match storage.canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::NotFound.into());
    };
    let directory = resolve(storage, directory, links_left)?;
    let path = directory.join(name);
    match storage.read_link(&path) {
        Ok(_) if links_left == 0 => Err(Errno::LOOP.into()),
        Ok(target) => resolve(storage, &directory.join(target), links_left - 1),
        // No link, or nothing there: the file is to be created here.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            Ok(path)
        }
        Err(error) => Err(error),
    }
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

fn read_all(file: &dyn File, size: u64) -> io::Result<Vec<u8>> {
    // One byte more than the size, to see the end without another round.
    let size = usize::try_from(size).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut content = vec![0; size + 1];
    let mut length = 0;
    loop {
        if length == content.len() {
            content.resize(content.len() * 2, 0);
        }
        match file.read_at(&mut content[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(content)
}

fn write_all(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
