//! A storage that leaves out one thing that the engine relies on, to see that somebody notices.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aiokv::storage::{Access, File, Metadata, Storage};

use crate::simulated_disk::SimulatedDisk;

/// The simulated disk, but for what is left out.
pub(crate) struct CarelessDisk {
    disk: SimulatedDisk,
    left_out: LeftOut,
    /// The last rename gave a journal its name.
    renamed_journal: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Flushing a file does nothing.
    FileFlush,
    /// Flushing a directory does nothing.
    DirectoryFlush,
    /// A file is copied over the old one and flushed, instead of being renamed.
    AtomicRename,
    /// Flushing the content of a journal does nothing.
    AppendFlush,
    /// Flushing the directory does nothing after a journal got its name.
    JournalNameFlush,
    /// The line is missing that announces that the file is about to be replaced.
    FoldLine,
}

impl CarelessDisk {
    pub(crate) fn new(disk: SimulatedDisk, left_out: LeftOut) -> Self {
        Self { disk, left_out, renamed_journal: AtomicBool::new(false) }
    }

    fn handle(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(CarelessFile { file, journal: is_journal(path), left_out: self.left_out })
    }

    fn copy_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.disk.open(from, Access::Read)?;
        let Metadata { size, mode, .. } = source.metadata()?;
        let mut content = vec![0; usize::try_from(size).expect("a small file")];
        source.read_at(&mut content, 0)?;
        match self.disk.remove(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let target = self.disk.create(to, mode)?;
        target.write_at(&content, 0)?;
        target.flush()?;
        self.disk.remove(from)
    }
}

fn is_journal(path: &Path) -> bool {
    path.to_string_lossy().contains(".journal")
}

impl Storage for CarelessDisk {
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.canonicalize(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(self.handle(path, self.disk.open(path, access)?))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        Ok(self.handle(path, self.disk.create(path, mode)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.renamed_journal.store(is_journal(to), Ordering::Relaxed);
        match self.left_out {
            LeftOut::AtomicRename => self.copy_over(from, to),
            _ => self.disk.rename(from, to),
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
        let renamed_journal = self.renamed_journal.swap(false, Ordering::Relaxed);
        match self.left_out {
            LeftOut::DirectoryFlush => Ok(()),
            LeftOut::JournalNameFlush if renamed_journal => Ok(()),
            _ => self.disk.flush_directory(path),
        }
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.disk.lock_holder(file)
    }
}

struct CarelessFile {
    file: Box<dyn File>,
    journal: bool,
    left_out: LeftOut,
}

impl File for CarelessFile {
    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let announces_fold = bytes.split(|byte| *byte == b' ').nth(3) == Some(b"=");
        match self.left_out {
            LeftOut::FoldLine if self.journal && announces_fold => Ok(bytes.len()),
            _ => self.file.write_at(bytes, offset),
        }
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
        match self.left_out {
            LeftOut::FileFlush => Ok(()),
            LeftOut::AppendFlush if self.journal => Ok(()),
            _ => self.file.flush_content(),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self.left_out {
            LeftOut::FileFlush => Ok(()),
            _ => self.file.flush(),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
