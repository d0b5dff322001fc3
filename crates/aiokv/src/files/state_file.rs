//! How the file is found, locked, looked at, read and removed. How it is replaced stands in
//! [`crate::files::replacement`].
//!
//! Guarantees: the name of the file never stands for an incomplete content; two processes never
//! replace it at the same time; what is reported as done has been flushed, if that was asked for.
//! When to call what is decided in [`crate::writer::commit`].
//!
//! Two names are used: that of the file and one temporary name beside it, `.NAME.aiokv-tmp`. Both
//! files carry the advisory lock of the process that works on them. The lock of the file excludes
//! other writers, of the journal too. The lock of the temporary file excludes other creators while
//! there is no file, and others who replace it, and tells a temporary file at work from one that a
//! killed process left behind.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::files::journal_file::JournalFile;
use crate::files::storage::{Access, File, Kind, Metadata, Storage, read_from};
use crate::format::journal::Imprint;

/// How many symbolic links may lead to the file; Linux has the same limit.
const LINKS_MAX: usize = 40;

/// The name of a file and how to work on it.
pub(crate) struct StateFile {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) path: PathBuf,
    pub(crate) temporary: PathBuf,
    pub(crate) directory: PathBuf,
    /// The journal beside it.
    pub(crate) journal: JournalFile,
    /// Whether the names of the directories that lead to the file are known to be durable.
    parents_durable: AtomicBool,
    /// Whether what killed processes had left behind when the file was found was removed.
    tidy: AtomicBool,
}

/// One content of the file, and how to see whether it is still the newest.
#[derive(Clone, Default)]
pub(crate) enum Version {
    /// Nothing is known: the file has to be read.
    #[default]
    Unknown,
    /// There is no file.
    Missing,
    /// This file.
    Present(OpenFile),
}

/// An open file, with the metadata that went with its content when that was read or written.
#[derive(Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) metadata: Metadata,
    pub(crate) access: Access,
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
pub(crate) struct LockedFile(pub(crate) OpenFile);

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

impl Version {
    /// Whether metadata of now tells of the same file with the same content.
    pub(crate) fn has_same_content(&self, now: &Metadata) -> bool {
        matches!(self, Self::Present(open) if open.metadata.has_same_content(now))
    }

    /// Whether this is the file with that imprint.
    pub(crate) fn is(&self, imprint: Imprint, bytes: u64) -> bool {
        let matches = |it: &Metadata| Imprint::of(it) == imprint && it.size == bytes;
        matches!(self, Self::Present(open) if matches(&open.metadata))
    }
}

impl StateFile {
    /// Finds the file that `path` names, through symbolic links, the last of which may dangle.
    /// Neither the file nor its directory has to exist.
    pub(crate) fn resolve(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let resolved = resolve(&*storage, path, LINKS_MAX).map_err(Error::io("find", path))?;
        let (Some(directory), Some(name)) = (resolved.parent(), resolved.file_name()) else {
            return Err(Error::io("use as a state file", path)(Errno::ISDIR.into()));
        };
        let mut journal = name.to_owned();
        journal.push(".journal");
        Ok(Self {
            temporary: directory.join(temporary_name(name)),
            directory: directory.to_owned(),
            journal: JournalFile::new(&storage, directory, &journal),
            path: resolved,
            storage,
            parents_durable: AtomicBool::new(false),
            tidy: AtomicBool::new(false),
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

    /// Opens the file without reading it.
    pub(crate) fn open_new(&self) -> Result<Version> {
        Ok(self.open(Access::Read)?.map_or(Version::Missing, Version::Present))
    }

    /// Reads the content of a locked file.
    pub(crate) fn read_locked(&self, locked: &LockedFile) -> Result<(Vec<u8>, Version)> {
        Ok((self.content(&locked.0)?, locked.version()))
    }

    /// Takes the lock of a file that was opened for reading, if nobody has it and the file still
    /// has its name.
    pub(crate) fn lock_to_read(&self, version: &Version) -> Result<Option<LockedFile>> {
        let Version::Present(open) = version else { return Ok(None) };
        if !open.file.try_lock().map_err(Error::io("lock", &self.path))? {
            return Ok(None);
        }
        let locked = LockedFile(open.clone());
        Ok(self.look(version).is_some().then_some(locked))
    }

    /// What a version is like now, if it still has a name.
    pub(crate) fn look(&self, version: &Version) -> Option<Metadata> {
        match version {
            Version::Present(open) => open.file.metadata().ok().filter(|now| now.links > 0),
            Version::Unknown | Version::Missing => None,
        }
    }

    /// Makes everybody who knows the file look at it again, although its content did not change:
    /// they would not notice a new journal otherwise.
    pub(crate) fn announce(&self, locked: &mut LockedFile) -> Result<()> {
        let OpenFile { file, metadata, .. } = &mut locked.0;
        let failed = |error| Error::io("touch", &self.path)(error);
        loop {
            file.touch().map_err(failed)?;
            let now = file.metadata().map_err(failed)?;
            // Kernels before 6.13 have a clock that stands still for up to 10 ms.
            if now.changed != metadata.changed {
                *metadata = now;
                return Ok(());
            }
            thread::yield_now();
        }
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
    pub(crate) fn look_at_name(&self) -> Result<Option<Metadata>> {
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

    /// Removes the file, the journal, and what a killed process left behind, and flushes that.
    pub(crate) fn remove(&self, old: Option<&LockedFile>, flush: bool) -> Result<(), Failure> {
        self.remove_left_behind(old).map_err(Failure::Unchanged)?;
        if !self.journal.exists().map_err(Failure::Unchanged)? {
            return self.remove_name(old, flush);
        }
        // Whoever has the temporary file is alone while there is no file: the lock of a file that
        // is gone keeps nobody from creating another one, and its journal.
        let guard = self.begin(old, flush)?;
        let removed = self.remove_name(old, flush).and_then(|()| {
            // While there is no file, this was done before.
            let removed = old.map_or(Ok(()), |_| self.journal.remove(flush));
            removed.map_err(Failure::NotDurable)
        });
        self.discard(guard);
        removed
    }

    fn remove_name(&self, old: Option<&LockedFile>, flush: bool) -> Result<(), Failure> {
        if old.is_some() {
            let removed = self.storage.remove(&self.path);
            removed.map_err(Error::io("remove", &self.path)).map_err(Failure::Unchanged)?;
        }
        if flush {
            self.flush(&Version::Missing).map_err(Failure::NotDurable)?;
        }
        Ok(())
    }

    /// Removes, the first time, the temporary files that killed processes had left behind.
    pub(crate) fn tidy(&self, locked: &LockedFile) -> Result<()> {
        if !self.tidy.load(Ordering::Relaxed) {
            self.remove_left_behind(Some(locked))?;
            self.tidy.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the temporary files of a process that was killed. The one of the journal belongs to
    /// whoever has the lock of the file.
    pub(crate) fn remove_left_behind(&self, locked: Option<&LockedFile>) -> Result<()> {
        if let Lock::Taken(_left_behind) = self.lock_temporary()? {
            let removed = self.storage.remove(&self.temporary);
            removed.map_err(Error::io("remove", &self.temporary))?;
        }
        locked.map_or(Ok(()), |_| self.journal.remove_left_behind())
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
        read_from(&*open.file, 0, open.metadata.size).map_err(Error::io("read", &self.path))
    }

    /// Takes the lock of the temporary file, if there is one.
    pub(crate) fn lock_temporary(&self) -> Result<Lock> {
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

    /// Makes the name of the file durable, and once those of the directories that lead to it: a
    /// process that created them may have died before it could.
    pub(crate) fn flush_names(&self) -> Result<()> {
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
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The content that the file had when it was locked or written.
    pub(crate) fn version(&self) -> Version {
        Version::Present(self.0.clone())
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held; the kernel would release it with the last handle.
        let _ = self.0.file.unlock();
    }
}

/// The name of the temporary file of `name`.
pub(crate) fn temporary_name(name: &OsStr) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".aiokv-tmp");
    temporary
}

/// Opens a file, unless it is something else than a regular file.
pub(crate) fn open_regular(
    storage: &dyn Storage,
    path: &Path,
    access: Access,
) -> io::Result<OpenFile> {
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
