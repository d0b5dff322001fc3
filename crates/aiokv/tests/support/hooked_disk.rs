//! The disk, with something that happens at chosen moments: what another process might do there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aiokv::storage::{Access, Disk, File, Metadata, Storage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After an attempt to open a file, before anything is done with it.
    Opened,
    BeforeRename,
    BeforeRenameNew,
    /// After the lock of a file was released.
    Unlocked,
}

type Hook = Arc<dyn Fn(Moment) + Send + Sync>;

pub(crate) struct HookedDisk(Hook);

impl HookedDisk {
    pub(crate) fn new(hook: impl Fn(Moment) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Arc::new(hook)))
    }

    fn hooked(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(HookedFile { file, hook: Arc::clone(&self.0) })
    }
}

impl Storage for HookedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let opened = Disk.open(path, access);
        (self.0)(Moment::Opened);
        Ok(self.hooked(opened?))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        Ok(self.hooked(Disk.create(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)(Moment::BeforeRename);
        Disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)(Moment::BeforeRenameNew);
        Disk.rename_new(from, to)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        Disk.read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Disk.canonicalize(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Disk.metadata(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        Disk.create_directory(path)
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        Disk.flush_directory(path)
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        Disk.lock_holder(file)
    }
}

struct HookedFile {
    file: Box<dyn File>,
    hook: Hook,
}

impl File for HookedFile {
    fn unlock(&self) -> io::Result<()> {
        let unlocked = self.file.unlock();
        (self.hook)(Moment::Unlocked);
        unlocked
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        self.file.set_owner(owner, group)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn touch(&self) -> io::Result<()> {
        self.file.touch()
    }

    fn flush_content(&self) -> io::Result<()> {
        self.file.flush_content()
    }

    fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
