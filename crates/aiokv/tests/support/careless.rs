//! A storage that leaves out one thing that the engine relies on, to see that somebody notices.

use std::io;
use std::path::{Path, PathBuf};

use aiokv::storage::{Access, File, Metadata, Storage};

use crate::simulated_disk::SimulatedDisk;

/// The simulated disk, but for what is left out.
pub(crate) struct CarelessDisk {
    pub(crate) disk: SimulatedDisk,
    pub(crate) left_out: LeftOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Flushing a file does nothing.
    FileFlush,
    /// Flushing a directory does nothing.
    DirectoryFlush,
    /// A file is copied over the old one and flushed, instead of being renamed.
    AtomicRename,
}

impl CarelessDisk {
    fn handle(&self, file: Box<dyn File>) -> Box<dyn File> {
        match self.left_out {
            LeftOut::FileFlush => Box::new(UnflushedFile(file)),
            LeftOut::DirectoryFlush | LeftOut::AtomicRename => file,
        }
    }

    fn copy_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.disk.open(from, Access::Read)?;
        let Metadata { size, mode, .. } = source.metadata()?;
        let mut content = vec![0; usize::try_from(size).expect("a small file")];
        source.read_at(&mut content, 0)?;
        self.disk.remove(to)?;
        let target = self.disk.create(to, mode)?;
        target.write_at(&content, 0)?;
        target.flush()?;
        self.disk.remove(from)
    }
}

impl Storage for CarelessDisk {
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.canonicalize(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(self.handle(self.disk.open(path, access)?))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        Ok(self.handle(self.disk.create(path, mode)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.left_out {
            LeftOut::AtomicRename => self.copy_over(from, to),
            LeftOut::FileFlush | LeftOut::DirectoryFlush => self.disk.rename(from, to),
        }
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.create_directory(path)
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        match self.left_out {
            LeftOut::DirectoryFlush => Ok(()),
            LeftOut::FileFlush | LeftOut::AtomicRename => self.disk.flush_directory(path),
        }
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.disk.lock_holder(file)
    }
}

struct UnflushedFile(Box<dyn File>);

impl File for UnflushedFile {
    fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        self.0.set_owner(owner, group)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode(mode)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn touch(&self) -> io::Result<()> {
        self.0.touch()
    }

    fn flush_content(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}
