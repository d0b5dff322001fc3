//! A storage in memory: one directory of regular files, and nothing that fails or is lost.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use aiokv::storage::{Access, File, Kind, Metadata, Storage};

/// Files by their names. Clones are the same files, as other processes see them: a store cannot
/// tell that it shares them with a store on another clone.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Directory>>);

#[derive(Default)]
struct Directory {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    created: u64,
}

struct Content {
    bytes: Vec<u8>,
    metadata: Metadata,
    locked: bool,
}

/// An open file.
struct Handle {
    content: Arc<Mutex<Content>>,
    holds_lock: AtomicBool,
}

impl Memory {
    /// Every file with its content.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let file = |(path, content): (&PathBuf, &Arc<Mutex<Content>>)| {
            (path.clone(), lock(content).bytes.clone())
        };
        lock(&self.0).files.iter().map(file).collect()
    }

    /// Overwrites a file in place, or creates it, as an editor does.
    pub(crate) fn edit(&self, path: &Path, bytes: Vec<u8>) {
        let content = lock(&self.0).create(path);
        let mut content = lock(&content);
        content.bytes = bytes;
        content.written();
    }
}

impl Directory {
    /// The file of this name, which is made if there is none.
    fn create(&mut self, path: &Path) -> Arc<Mutex<Content>> {
        let Self { files, created } = self;
        let content = files.entry(path.to_owned()).or_insert_with(|| {
            *created += 1;
            let metadata = Metadata {
                device: 1,
                inode: *created,
                links: 1,
                size: 0,
                modified: (0, 0),
                changed: (0, 0),
                owner: 0,
                group: 0,
                mode: 0o644,
                kind: Kind::File,
            };
            Arc::new(Mutex::new(Content { bytes: Vec::new(), metadata, locked: false }))
        });
        Arc::clone(content)
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.files.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
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

impl Handle {
    fn boxed(content: Arc<Mutex<Content>>) -> Box<dyn File> {
        Box::new(Self { content, holds_lock: AtomicBool::new(false) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}

impl Storage for Memory {
    fn read_link(&self, _path: &Path) -> io::Result<PathBuf> {
        Err(ErrorKind::InvalidInput.into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        if path != Path::new("/") {
            lock(&self.0).find(path)?;
        }
        Ok(path.to_owned())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        lock(&self.0).find(path).map(Handle::boxed)
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn File>> {
        let mut directory = lock(&self.0);
        if directory.files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(Handle::boxed(directory.create(path)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let content = lock(&self.0).find(path)?;
        Ok(lock(&content).metadata)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut directory = lock(&self.0);
        let content = directory.unlink(from)?;
        lock(&content).touched();
        if let Some(replaced) = directory.files.insert(to.to_owned(), content) {
            let mut replaced = lock(&replaced);
            replaced.metadata.links = 0;
            replaced.touched();
        }
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut directory = lock(&self.0);
        if directory.files.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let content = directory.unlink(from)?;
        lock(&content).touched();
        directory.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let content = lock(&self.0).unlink(path)?;
        let mut content = lock(&content);
        content.metadata.links = 0;
        content.touched();
        Ok(())
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn flush_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_holder(&self, _file: &Metadata) -> Option<u32> {
        None
    }
}

impl File for Handle {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(lock(&self.content).metadata)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.content);
        let start = usize::try_from(offset).expect("fits in memory").min(content.bytes.len());
        let rest = &content.bytes[start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = lock(&self.content);
        let start = usize::try_from(offset).expect("fits in memory");
        let end = content.bytes.len().max(start + bytes.len());
        content.bytes.resize(end, 0);
        content.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        content.written();
        Ok(bytes.len())
    }

    fn set_owner(&self, _owner: u32, _group: u32) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mut content = lock(&self.content);
        content.metadata.mode = mode;
        content.touched();
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        content.bytes.resize(usize::try_from(length).expect("fits in memory"), 0);
        content.written();
        Ok(())
    }

    fn touch(&self) -> io::Result<()> {
        lock(&self.content).touched();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush_content(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut content = lock(&self.content);
        if content.locked && !self.holds_lock.load(Ordering::Acquire) {
            return Ok(false);
        }
        content.locked = true;
        self.holds_lock.store(true, Ordering::Release);
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut content = lock(&self.content);
        if self.holds_lock.swap(false, Ordering::AcqRel) {
            content.locked = false;
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}
