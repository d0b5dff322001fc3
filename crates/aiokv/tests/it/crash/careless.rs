//! A storage that leaves out one thing that the engine relies on, to see that somebody notices.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aiokv::binding::storage::{Access, Directory, File, Lock, Metadata, Storage, Visibility};

/// A disk, but for what is left out.
pub(super) struct CarelessDisk {
    disk: Arc<dyn Storage>,
    left_out: LeftOut,
    /// The last rename gave a journal its name.
    renamed_journal: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// Flushing a file does nothing.
    FileFlush,
    /// Flushing a directory does nothing.
    DirectoryFlush,
    /// A file is copied over the old one and flushed, instead of being renamed.
    AtomicRename,
    /// Flushing the content of a file, as after appending to a journal, does nothing.
    AppendFlush,
    /// Flushing the directory does nothing after a journal got its name.
    JournalNameFlush,
    /// The line is missing that announces that the file is about to be replaced.
    CheckpointLine,
}

impl CarelessDisk {
    pub(super) fn new(disk: Arc<dyn Storage>, left_out: LeftOut) -> Self {
        Self { disk, left_out, renamed_journal: Arc::default() }
    }

    fn handle(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(CarelessFile { file, left_out: self.left_out })
    }

    fn copy_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.disk.open(from, Access::Read)?;
        let mut content = vec![0; usize::try_from(source.metadata()?.size).expect("a small file")];
        source.read_at(&mut content, 0)?;
        match self.disk.remove(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let target = self.disk.create(to, Visibility::Umask)?;
        target.write_at(&content, 0)?;
        target.flush()?;
        self.disk.remove(from)
    }
}

impl Storage for CarelessDisk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.resolve(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(self.handle(self.disk.open(path, access)?))
    }

    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>> {
        Ok(self.handle(self.disk.create(path, visibility)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_journal = to.to_string_lossy().ends_with(".journal");
        self.renamed_journal.store(is_journal, Ordering::Relaxed);
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

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let directory = self.disk.open_directory(path)?;
        let renamed_journal = Arc::clone(&self.renamed_journal);
        Ok(Box::new(CarelessDirectory { directory, left_out: self.left_out, renamed_journal }))
    }

    fn user(&self) -> u32 {
        self.disk.user()
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.disk.lock_holder(file)
    }
}

struct CarelessDirectory {
    directory: Box<dyn Directory>,
    left_out: LeftOut,
    renamed_journal: Arc<AtomicBool>,
}

impl Directory for CarelessDirectory {
    fn flush(&self) -> io::Result<()> {
        let renamed_journal = self.renamed_journal.swap(false, Ordering::Relaxed);
        match self.left_out {
            LeftOut::DirectoryFlush => Ok(()),
            LeftOut::JournalNameFlush if renamed_journal => Ok(()),
            _ => self.directory.flush(),
        }
    }
}

struct CarelessFile {
    file: Box<dyn File>,
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
        // A line has a checksum, two numbers, and what it is about.
        let announces_checkpoint = bytes.split(|byte| *byte == b' ').nth(3) == Some(b"=");
        match self.left_out {
            LeftOut::CheckpointLine if announces_checkpoint => Ok(bytes.len()),
            _ => self.file.write_at(bytes, offset),
        }
    }

    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
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
            LeftOut::FileFlush | LeftOut::AppendFlush => Ok(()),
            _ => self.file.flush_content(),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self.left_out {
            LeftOut::FileFlush => Ok(()),
            _ => self.file.flush(),
        }
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        self.file.try_lock(lock)
    }

    fn lock(&self, lock: Lock) -> io::Result<()> {
        self.file.lock(lock)
    }

    fn close_in_child(&self) {
        self.file.close_in_child();
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
