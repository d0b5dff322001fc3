//! A storage in memory: one directory of regular files, and nothing that fails or is lost.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use aiokv::binding::storage::{self, Access, File, Kind, Lock, Metadata, Storage, Visibility};

/// Files by their names, as one process sees them.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    directory: Arc<Mutex<Directory>>,
    process: Arc<Process>,
}

#[derive(Default)]
struct Process {
    killed: AtomicBool,
}

#[derive(Default)]
struct Directory {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    created: u64,
}

struct Content {
    bytes: Vec<u8>,
    metadata: Metadata,
    /// The locks that are held.
    locks: Vec<Held>,
}

struct Held {
    handle: u64,
    process: Arc<Process>,
    lock: Lock,
}

/// An open file.
struct Handle {
    number: u64,
    content: Arc<Mutex<Content>>,
    process: Arc<Process>,
}

struct OpenDirectory;

impl Memory {
    /// The same files as another process sees them.
    pub(crate) fn other_process(&self) -> Self {
        Self { directory: Arc::clone(&self.directory), process: Arc::default() }
    }

    /// Kills this process: its locks are released, and nothing that it does afterwards has any
    /// effect.
    pub(crate) fn kill(&self) {
        self.process.killed.store(true, Ordering::Relaxed);
    }

    /// Every file with its content.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let file = |(path, content): (&PathBuf, &Arc<Mutex<Content>>)| {
            (path.clone(), lock(content).bytes.clone())
        };
        lock(&self.directory).files.iter().map(file).collect()
    }

    /// The content of a file.
    pub(crate) fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let content = lock(&self.directory).find(path).ok()?;
        Some(lock(&content).bytes.clone())
    }

    /// Overwrites a file in place, or creates it, as an editor does.
    pub(crate) fn edit(&self, path: &Path, bytes: &[u8]) {
        let content = lock(&self.directory).create(path);
        let mut content = lock(&content);
        content.bytes = bytes.to_vec();
        content.written();
    }

    /// Puts a new file in the place of another one, if there is one, as another editor does.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) {
        self.unlink(path);
        self.edit(path, bytes);
    }

    /// Removes a file, if it is there.
    pub(crate) fn unlink(&self, path: &Path) {
        // It may be gone already.
        let _ = lock(&self.directory).unlink(path);
    }

    /// A dead process gets no answers.
    fn alive(&self) -> io::Result<MutexGuard<'_, Directory>> {
        self.process.alive()?;
        Ok(lock(&self.directory))
    }

    fn handle(&self, content: Arc<Mutex<Content>>) -> Box<dyn File> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Box::new(Handle { number, content, process: Arc::clone(&self.process) })
    }
}

/// What is known of something new.
fn metadata(inode: u64, kind: Kind) -> Metadata {
    let (modified, changed) = ((0, 0), (0, 0));
    let (device, links, size, owner, group) = (1, 1, 0, 0, 0);
    Metadata { device, inode, links, size, modified, changed, owner, group, mode: 0o644, kind }
}

impl Process {
    fn alive(&self) -> io::Result<()> {
        let killed = self.killed.load(Ordering::Relaxed);
        if killed { Err(io::Error::other("the process was killed")) } else { Ok(()) }
    }
}

impl Directory {
    /// The file of this name, which is made if there is none.
    fn create(&mut self, path: &Path) -> Arc<Mutex<Content>> {
        let Self { files, created } = self;
        let content = files.entry(path.to_owned()).or_insert_with(|| {
            *created += 1;
            let metadata = metadata(*created, Kind::File);
            Arc::new(Mutex::new(Content { bytes: Vec::new(), metadata, locks: Vec::new() }))
        });
        Arc::clone(content)
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.files.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let content = self.take(path)?;
        let mut content = lock(&content);
        content.metadata.links = 0;
        content.touched();
        Ok(())
    }

    fn take(&mut self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.files.remove(path).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Content {
    fn written(&mut self) {
        self.metadata.size = self.bytes.len() as u64;
        self.metadata.modified.0 += 1;
        self.touched();
    }

    fn touched(&mut self) {
        self.metadata.changed.0 += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}

impl Storage for Memory {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.process.alive()?;
        Ok(path.to_owned())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        let content = self.alive()?.find(path)?;
        Ok(self.handle(content))
    }

    fn create(&self, path: &Path, _visibility: Visibility) -> io::Result<Box<dyn File>> {
        let mut directory = self.alive()?;
        if directory.files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(self.handle(directory.create(path)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let directory = self.alive()?;
        if path.parent().is_none() {
            return Ok(metadata(0, Kind::Directory));
        }
        let content = directory.find(path)?;
        Ok(lock(&content).metadata)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut directory = self.alive()?;
        let content = directory.take(from)?;
        lock(&content).touched();
        // What had the name before, if anything had it.
        let _ = directory.unlink(to);
        directory.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.alive()?.files.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?.unlink(path)
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Err(ErrorKind::AlreadyExists.into())
    }

    fn open_directory(&self, _path: &Path) -> io::Result<Box<dyn storage::Directory>> {
        self.process.alive()?;
        Ok(Box::new(OpenDirectory))
    }

    fn user(&self) -> u32 {
        0
    }

    fn lock_holder(&self, _file: &Metadata) -> Option<u32> {
        None
    }
}

impl storage::Directory for OpenDirectory {
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Handle {
    /// A dead process gets no answers.
    fn alive(&self) -> io::Result<MutexGuard<'_, Content>> {
        self.process.alive()?;
        Ok(lock(&self.content))
    }
}

impl File for Handle {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.alive()?.metadata)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.alive()?;
        let start = usize::try_from(offset).expect("fits in memory").min(content.bytes.len());
        let rest = &content.bytes[start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.alive()?;
        let start = usize::try_from(offset).expect("fits in memory");
        let end = content.bytes.len().max(start + bytes.len());
        content.bytes.resize(end, 0);
        content.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        content.written();
        Ok(bytes.len())
    }

    fn set_owner(&self, _owner: Option<u32>, _group: Option<u32>) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mut content = self.alive()?;
        content.metadata.mode = mode;
        content.touched();
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut content = self.alive()?;
        content.bytes.resize(usize::try_from(length).expect("fits in memory"), 0);
        content.written();
        Ok(())
    }

    fn touch(&self) -> io::Result<()> {
        self.alive()?.touched();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.process.alive()
    }

    fn flush_content(&self) -> io::Result<()> {
        self.process.alive()
    }

    fn try_lock(&self, wanted: Lock) -> io::Result<bool> {
        let mut content = self.alive()?;
        content.locks.retain(|held| {
            held.handle != self.number && !held.process.killed.load(Ordering::Relaxed)
        });
        let excludes = |held: &Held| wanted == Lock::Exclusive || held.lock == Lock::Exclusive;
        if content.locks.iter().any(excludes) {
            return Ok(false);
        }
        let process = Arc::clone(&self.process);
        content.locks.push(Held { handle: self.number, process, lock: wanted });
        Ok(true)
    }

    fn lock(&self, wanted: Lock) -> io::Result<()> {
        let taken = self.try_lock(wanted)?;
        assert!(taken, "a store that is stepped has no thread to wait for a lock");
        Ok(())
    }

    fn close_in_child(&self) {
        unreachable!("nothing forks");
    }

    fn unlock(&self) -> io::Result<()> {
        self.alive()?.locks.retain(|held| held.handle != self.number);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}
