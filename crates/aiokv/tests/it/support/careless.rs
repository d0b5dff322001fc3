//! A storage that leaves out one thing that the protocol of the disk relies on, to see that a test
//! notices.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use aiokv::binding::storage::{Access, Directory, File, Lock, Metadata, Storage, Visibility};

/// What a process does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// The journal gets its name before others are told, by touching the file, to look for it.
    TouchBeforeJournal,
    /// After locking, the name of the file is not compared with the file that was locked.
    ComparingTheName,
    /// Nothing at the known end of the journal counts as nothing new.
    SomethingAtTheEnd,
    /// Lines are appended without looking whether the known end is still there.
    CheckingTheEnd,
    /// The lines of one operation do not belong together.
    Groups,
    /// The lock is held until what was appended is flushed.
    LockUntilFlushed,
    /// What was appended is flushed.
    AppendFlush,
    /// A new file is flushed before it gets its name.
    FileFlush,
    /// A directory is flushed after a name in it changed.
    DirectoryFlush,
    /// A directory is flushed after the journal got its name.
    JournalNameFlush,
    /// A file takes the place of another one at once: it is copied over the old one and flushed.
    AtomicRename,
    /// The journal says that the state file is about to be replaced.
    CheckpointLine,
}

/// The storage of a process without one thing.
pub(crate) fn careless(storage: Arc<dyn Storage>, left_out: LeftOut) -> Arc<dyn Storage> {
    Arc::new(CarelessDisk {
        storage,
        process: Arc::new(Process { left_out, memory: Mutex::default() }),
    })
}

struct CarelessDisk {
    storage: Arc<dyn Storage>,
    process: Arc<Process>,
}

struct Process {
    left_out: LeftOut,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The handle of the state file that was opened last.
    opened: Option<Weak<dyn File>>,
    /// The handle that has the exclusive lock of the state file.
    locked: Option<Weak<dyn File>>,
    /// The handle of the state file that is to be touched later.
    untouched: Option<Weak<dyn File>>,
    /// The journal got its name, and no directory was flushed since.
    renamed_journal: bool,
}

impl Process {
    fn leaves_out(&self, what: LeftOut) -> bool {
        self.left_out == what
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while this is locked")
    }
}

impl CarelessDisk {
    fn handle(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        let file: Arc<dyn File> = file.into();
        let (is_file, is_journal) = (is_file(path), is_journal(path));
        if is_file {
            self.process.memory().opened = Some(Arc::downgrade(&file));
        }
        let known = Mutex::default();
        Box::new(CarelessFile {
            file,
            is_file,
            is_journal,
            process: Arc::clone(&self.process),
            known,
        })
    }

    fn copy_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.storage.open(from, Access::Read)?;
        let mut content = vec![0; usize::try_from(source.metadata()?.size).expect("a small file")];
        source.read_at(&mut content, 0)?;
        match self.storage.remove(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let target = self.storage.create(to, Visibility::Umask)?;
        target.write_at(&content, 0)?;
        target.flush()?;
        self.storage.remove(from)
    }
}

fn is_file(path: &Path) -> bool {
    path.ends_with("state.json")
}

fn is_journal(path: &Path) -> bool {
    path.ends_with("state.json.journal")
}

impl Storage for CarelessDisk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.storage.resolve(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(self.handle(path, self.storage.open(path, access)?))
    }

    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>> {
        Ok(self.handle(path, self.storage.create(path, visibility)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        if self.process.leaves_out(LeftOut::ComparingTheName) && is_file(path) {
            let opened = self.process.memory().opened.as_ref().and_then(Weak::upgrade);
            if let Some(opened) = opened {
                return opened.metadata();
            }
        }
        self.storage.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.process.leaves_out(LeftOut::AtomicRename) {
            return self.copy_over(from, to);
        }
        self.storage.rename(from, to)?;
        self.process.memory().renamed_journal = is_journal(to);
        if is_journal(to) {
            let untouched = self.process.memory().untouched.take();
            if let Some(file) = untouched.and_then(|file| file.upgrade()) {
                file.touch()?;
            }
        }
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.storage.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.storage.create_directory(path)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let directory = self.storage.open_directory(path)?;
        Ok(Box::new(CarelessDirectory { directory, process: Arc::clone(&self.process) }))
    }

    fn user(&self) -> u32 {
        self.storage.user()
    }

    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        self.storage.lock_holder(file)
    }
}

struct CarelessDirectory {
    directory: Box<dyn Directory>,
    process: Arc<Process>,
}

impl Directory for CarelessDirectory {
    fn flush(&self) -> io::Result<()> {
        let renamed_journal = std::mem::take(&mut self.process.memory().renamed_journal);
        match self.process.left_out {
            LeftOut::DirectoryFlush => Ok(()),
            LeftOut::JournalNameFlush if renamed_journal => Ok(()),
            _ => self.directory.flush(),
        }
    }
}

struct CarelessFile {
    file: Arc<dyn File>,
    is_file: bool,
    is_journal: bool,
    process: Arc<Process>,
    /// The lines that were read or written.
    known: Mutex<Vec<u8>>,
}

impl CarelessFile {
    fn leaves_out(&self, what: LeftOut) -> bool {
        self.process.leaves_out(what)
    }

    fn known(&self) -> MutexGuard<'_, Vec<u8>> {
        self.known.lock().expect("nothing panics while this is locked")
    }

    /// Remembers lines from an offset on, but not what is reserved behind them.
    fn remember(&self, bytes: &[u8], offset: usize) {
        let filling = bytes.iter().rev().take_while(|byte| **byte == b'\n').count();
        let end = bytes.len() - filling.saturating_sub(1);
        let mut known = self.known();
        if filling < bytes.len() && offset <= known.len() {
            known.truncate(offset);
            known.extend(&bytes[..end]);
        }
    }

    fn read_known(&self, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset as u64)?;
        let known = self.known().get(offset..).unwrap_or_default().to_vec();
        let count = known.len().min(buffer.len());
        if read > count {
            self.remember(&buffer[..read], offset);
        }
        buffer[..count].copy_from_slice(&known[..count]);
        Ok(read.max(count))
    }

    fn is_to_be_touched(&self) -> bool {
        let untouched = self.process.memory().untouched.clone();
        untouched.is_some_and(|file| std::ptr::addr_eq(file.as_ptr(), Arc::as_ptr(&self.file)))
    }
}

impl File for CarelessFile {
    fn metadata(&self) -> io::Result<Metadata> {
        let metadata = self.file.metadata()?;
        let (seconds, nanoseconds) = metadata.changed;
        let later = i64::from(self.is_to_be_touched());
        Ok(Metadata { changed: (seconds, nanoseconds + later), ..metadata })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.is_journal && self.leaves_out(LeftOut::CheckingTheEnd) {
            return self.read_known(buffer, usize::try_from(offset).expect("a small file"));
        }
        let read = self.file.read_at(buffer, offset)?;
        let looks = self.is_journal && buffer.len() <= 2;
        if looks && self.leaves_out(LeftOut::SomethingAtTheEnd) {
            buffer[read..].fill(b'\n');
            return Ok(buffer.len());
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.leaves_out(LeftOut::Groups) {
            return self.file.write_at(&without_groups(bytes), offset);
        }
        // A line has a checksum, two numbers, and what it is about.
        let announces = bytes.split(|byte| *byte == b' ').nth(3) == Some(b"=");
        if announces && self.leaves_out(LeftOut::CheckpointLine) {
            return Ok(bytes.len());
        }
        let written = self.file.write_at(bytes, offset)?;
        if self.is_journal {
            self.remember(&bytes[..written], usize::try_from(offset).expect("a small file"));
        }
        Ok(written)
    }

    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.file.set_owner(owner, group)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.known().truncate(usize::try_from(length).expect("a small file"));
        self.file.set_length(length)
    }

    fn touch(&self) -> io::Result<()> {
        if self.leaves_out(LeftOut::TouchBeforeJournal) {
            self.process.memory().untouched = Some(Arc::downgrade(&self.file));
            return Ok(());
        }
        self.file.touch()
    }

    fn flush(&self) -> io::Result<()> {
        if self.leaves_out(LeftOut::FileFlush) { Ok(()) } else { self.file.flush() }
    }

    fn flush_content(&self) -> io::Result<()> {
        if self.leaves_out(LeftOut::AppendFlush) {
            return Ok(());
        }
        if self.is_journal && self.leaves_out(LeftOut::LockUntilFlushed) {
            let locked = self.process.memory().locked.take();
            if let Some(file) = locked.and_then(|file| file.upgrade()) {
                file.unlock()?;
            }
        }
        self.file.flush_content()
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        let taken = self.file.try_lock(lock)?;
        if taken && self.is_file && lock == Lock::Exclusive {
            self.process.memory().locked = Some(Arc::downgrade(&self.file));
        }
        Ok(taken)
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

/// The lines of a journal with `&+` and `&-` as `+` and `-`, and the right checksums. Their length
/// stays, because the number of a line gets a zero in front.
fn without_groups(bytes: &[u8]) -> Vec<u8> {
    let changed = |line: &[u8]| -> Option<Vec<u8>> {
        let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (_, text) = text.split_once(' ')?;
        let mut fields = text.splitn(4, ' ');
        let (number, durable, sign) = (fields.next()?, fields.next()?, fields.next()?);
        let text = format!("0{number} {durable} {} {}", sign.strip_prefix('&')?, fields.next()?);
        Some(format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes())
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(|line| changed(line).unwrap_or_else(|| line.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_becomes_lines_of_the_same_length() {
        let line = |text: &str| format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
        let [single, group] = [line("2 1 + \"a\": 1"), line("3 1 &- \"b\"")];
        let changed = without_groups((single.clone() + &group + "\n\n").as_bytes());
        assert_eq!(String::from_utf8(changed).unwrap(), single + &line("03 1 - \"b\"") + "\n\n");
        assert_eq!(without_groups(b"{\"a\": 1}\n"), b"{\"a\": 1}\n");
    }
}
