//! The disk, with something that happens at chosen moments: what another process might do there.
//!
//! It also counts what is read, and writes in two parts, so that there is a moment between them. It
//! flushes nothing, because no test here loses power.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aiokv::binding::Disk;
use aiokv::binding::storage::{Access, Directory, File, Lock, Metadata, Storage, Visibility};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before a call, whatever it is, once the file was found. Before that, nothing else begins in
    /// the same process, so another one could not be played.
    BeforeCall,
    /// After an attempt to open a file, before anything is done with it.
    Opened,
    /// After a temporary file was created, before anything is done with it.
    Created,
    /// After the first bytes of a longer read, before the others.
    HalfRead,
    BeforeRename,
    BeforeRenameNew,
    /// After the lock of a file was released.
    Unlocked,
}

/// How much of a read comes before [`Moment::HalfRead`].
const FIRST_BYTES: usize = 100;

type Hook = Arc<dyn Fn(Moment) + Send + Sync>;

pub(crate) struct HookedDisk {
    hook: Hook,
    bytes_read: Arc<AtomicU64>,
}

impl HookedDisk {
    pub(crate) fn new(hook: impl Fn(Moment) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { hook: Arc::new(hook), bytes_read: Arc::default() })
    }

    /// How much was read from all files so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::SeqCst)
    }

    /// The disk, on which a call is about to be made.
    fn disk(&self) -> Disk {
        (self.hook)(Moment::BeforeCall);
        Disk
    }

    fn hooked(&self, file: Box<dyn File>) -> Box<dyn File> {
        let (hook, bytes_read) = (Arc::clone(&self.hook), Arc::clone(&self.bytes_read));
        Box::new(HookedFile { file, hook, bytes_read, is_half_written: AtomicBool::new(false) })
    }
}

impl Storage for HookedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let opened = self.disk().open(path, access);
        (self.hook)(Moment::Opened);
        Ok(self.hooked(opened?))
    }

    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>> {
        let created = self.disk().create(path, visibility);
        (self.hook)(Moment::Created);
        Ok(self.hooked(created?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.hook)(Moment::BeforeRename);
        self.disk().rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.hook)(Moment::BeforeRenameNew);
        self.disk().rename_new(from, to)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Disk.resolve(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk().metadata(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.disk().create_directory(path)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        self.disk().open_directory(path)?;
        Ok(Box::new(HookedDirectory(Arc::clone(&self.hook))))
    }

    fn user(&self) -> u32 {
        Disk.user()
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.disk().lock_holder(file)
    }
}

struct HookedDirectory(Hook);

impl Directory for HookedDirectory {
    fn flush(&self) -> io::Result<()> {
        (self.0)(Moment::BeforeCall);
        Ok(())
    }
}

struct HookedFile {
    file: Box<dyn File>,
    hook: Hook,
    bytes_read: Arc<AtomicU64>,
    /// The first part of something was written; the next write is the second part.
    is_half_written: AtomicBool,
}

impl HookedFile {
    /// The file, on which a call is about to be made.
    fn file(&self) -> &dyn File {
        (self.hook)(Moment::BeforeCall);
        &*self.file
    }
}

impl File for HookedFile {
    fn unlock(&self) -> io::Result<()> {
        let unlocked = self.file().unlock();
        (self.hook)(Moment::Unlocked);
        unlocked
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.file().metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (first, others) = buffer.split_at_mut(buffer.len().min(FIRST_BYTES));
        let mut count = self.file().read_at(first, offset)?;
        if count == FIRST_BYTES {
            (self.hook)(Moment::HalfRead);
            count += self.file().read_at(others, offset + count as u64)?;
        }
        self.bytes_read.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let is_second_part = self.is_half_written.swap(false, Ordering::SeqCst);
        // Behind the text may be reserved space, of which a part is as good as the whole.
        let half = bytes.trim_ascii_end().len() / 2;
        if is_second_part || half == 0 {
            return self.file().write_at(bytes, offset);
        }
        self.is_half_written.store(true, Ordering::SeqCst);
        self.file().write_at(&bytes[..half], offset)
    }

    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.file().set_owner(owner, group)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file().set_mode(mode)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file().set_length(length)
    }

    fn touch(&self) -> io::Result<()> {
        self.file().touch()
    }

    fn flush_content(&self) -> io::Result<()> {
        self.file();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.file();
        Ok(())
    }

    fn lock(&self, lock: Lock) -> io::Result<()> {
        self.file().lock(lock)
    }

    fn close_in_child(&self) {
        self.file.close_in_child();
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        self.file().try_lock(lock)
    }
}
