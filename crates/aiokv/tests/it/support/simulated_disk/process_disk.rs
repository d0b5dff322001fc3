//! The disk as one process has it: every call asks the [`Director`] before it happens.

use std::fmt::{self, Debug};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aiokv::binding::storage::{
    Access, Directory, File, Identity, Lock, Metadata, Storage, Visibility,
};

use rustix::io::Errno;

use super::SimulatedDisk;
use super::call::{Action, Call, Director, ProcessId, Verdict};
use super::inode::{Handle, Number};
use super::tree::{Tree, USER};

#[derive(Clone)]
pub(super) struct ProcessDisk {
    pub(super) disk: SimulatedDisk,
    pub(super) process: ProcessId,
    pub(super) director: Arc<dyn Director>,
}

impl ProcessDisk {
    /// Makes a call: waits for its turn, and fails if the director says so.
    fn call<T: Debug>(
        &self,
        (action, path, inode): (Action, &Path, Option<Number>),
        work: impl FnOnce(&mut Tree, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let call = Call { process: self.process, action, path, inode };
        let verdict = self.director.before(&call);
        if verdict == Verdict::Gone {
            return Err(Errno::IO.into());
        }
        let mut tree = self.disk.tree();
        tree.tick();
        let outcome = match verdict {
            Verdict::Fail(errno) => {
                if let Some(inode) = inode.filter(|_| action.flushes_a_file()) {
                    tree.lose_unflushed(inode);
                }
                Err(errno.into())
            }
            verdict => work(&mut tree, verdict),
        };
        drop(tree);
        if self.director.is_curious() {
            self.director.after(&call, &outcome);
        }
        outcome
    }

    fn call_on<T: Debug>(
        &self,
        action: Action,
        path: &Path,
        work: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call((action, path, None), |tree, _| work(tree))
    }

    fn handle(&self, path: &Path, (inode, handle): (Number, Handle)) -> OpenFile {
        OpenFile { disk: self.clone(), path: path.to_owned(), inode, handle }
    }
}

impl Storage for ProcessDisk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.call_on(Action::Resolve, path, |_| Ok(path.to_owned()))
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn File>> {
        let opened = self.call_on(Action::Open, path, |tree| {
            let inode = tree.find(path)?;
            Ok((inode, tree.open(self.process, inode)))
        });
        Ok(Box::new(self.handle(path, opened?)))
    }

    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>> {
        let mode = match visibility {
            Visibility::Private => 0o600,
            Visibility::Umask => 0o666,
        };
        let created = self.call_on(Action::Create, path, |tree| {
            let inode = tree.create(path, mode)?;
            Ok((inode, tree.open(self.process, inode)))
        });
        Ok(Box::new(self.handle(path, created?)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(self.call_on(Action::Look, path, |tree| Ok(Brief(tree.metadata(tree.find(path)?))))?.0)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.call_on(Action::Identify, path, |tree| Ok(tree.metadata(tree.find(path)?).identity()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_on(Action::Rename, to, |tree| tree.rename(from, to, true))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_on(Action::RenameNew, to, |tree| tree.rename(from, to, false))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call_on(Action::Remove, path, |tree| tree.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call_on(Action::CreateDirectory, path, |tree| tree.create_directory(path))
    }

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        let opened = self.call_on(Action::OpenDirectory, path, |tree| {
            let inode = tree.find(path)?;
            Ok((inode, tree.open(self.process, inode)))
        });
        Ok(Box::new(self.handle(path, opened?)))
    }

    fn user(&self) -> u32 {
        USER
    }

    /// The simulated system does not tell.
    fn lock_holder(&self, _file: &Metadata) -> Option<u32> {
        None
    }
}

/// An open file or directory.
struct OpenFile {
    disk: ProcessDisk,
    path: PathBuf,
    inode: Number,
    handle: Handle,
}

impl OpenFile {
    fn call<T: Debug>(
        &self,
        action: Action,
        work: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.call((action, &self.path, Some(self.inode)), |tree, _| work(tree))
    }
}

/// What was read or written.
struct Moved {
    offset: u64,
    count: usize,
    /// The bytes, for the curious.
    text: String,
}

impl Debug for Moved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{} \"{}\"", self.offset, self.count, self.text)
    }
}

impl OpenFile {
    fn moved(&self, offset: u64, bytes: &[u8]) -> Moved {
        let is_curious = self.disk.director.is_curious();
        let text = if is_curious { spelled(bytes) } else { String::new() };
        Moved { offset, count: bytes.len(), text }
    }
}

/// Bytes for people: without the line feeds that reserve space.
pub(super) fn spelled(bytes: &[u8]) -> String {
    spell(bytes).replace(&"x".repeat(50), "x..")
}

fn spell(bytes: &[u8]) -> String {
    let filling = bytes.iter().rev().take_while(|&&byte| byte == b'\n').count();
    match filling {
        0..4 => bytes.escape_ascii().to_string(),
        _ => format!("{}{filling} LF", bytes[..bytes.len() - filling].escape_ascii()),
    }
}

/// Metadata for people.
struct Brief(Metadata);

impl Debug for Brief {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { inode, links, size, modified, changed, mode, .. } = self.0;
        let (modified, changed) = (modified.0, changed.0);
        write!(formatter, "#{inode} x{links} {size} bytes, m {modified}, c {changed}, {mode:o}")
    }
}

/// How many of `length` bytes are read or written.
fn granted(verdict: Verdict, length: usize) -> usize {
    if verdict == Verdict::Short { length.div_ceil(2) } else { length }
}

impl Directory for OpenFile {
    fn flush(&self) -> io::Result<()> {
        self.call(Action::FlushDirectory, |tree| {
            tree.flush(self.inode);
            Ok(())
        })
    }
}

impl File for OpenFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.call(Action::LookAtHandle, |tree| Ok(Brief(tree.metadata(self.inode))))?.0)
    }

    fn has_name(&self) -> io::Result<bool> {
        self.call(Action::LookForName, |tree| Ok(tree.metadata(self.inode).links > 0))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.disk.call((Action::Read, &self.path, Some(self.inode)), |tree, verdict| {
            let available = tree.read(self.inode, offset)?;
            let count = granted(verdict, buffer.len().min(available.len()));
            buffer[..count].copy_from_slice(&available[..count]);
            Ok(self.moved(offset, &buffer[..count]))
        });
        Ok(read?.count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let written =
            self.disk.call((Action::Write, &self.path, Some(self.inode)), |tree, verdict| {
                let bytes = &bytes[..granted(verdict, bytes.len())];
                tree.write(self.inode, bytes, offset)?;
                Ok(self.moved(offset, bytes))
            });
        Ok(written?.count)
    }

    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.call(Action::SetOwner, |tree| {
            tree.set_owner(self.inode, owner, group);
            Ok(())
        })
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.call(Action::SetMode, |tree| {
            tree.set_mode(self.inode, mode);
            Ok(())
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.call(Action::SetLength, |tree| tree.set_length(self.inode, length))
    }

    fn touch(&self) -> io::Result<()> {
        self.call(Action::Touch, |tree| {
            tree.touch(self.inode);
            Ok(())
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.call(Action::Flush, |tree| {
            tree.flush(self.inode);
            Ok(())
        })
    }

    fn flush_content(&self) -> io::Result<()> {
        self.call(Action::FlushContent, |tree| {
            tree.flush_content(self.inode);
            Ok(())
        })
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        let tried = self
            .call(Action::Lock, |tree| Ok((lock, tree.try_lock(self.inode, self.handle, lock))));
        Ok(tried?.1)
    }

    /// Every attempt is a call of its own.
    fn lock(&self, lock: Lock) -> io::Result<()> {
        while !self.try_lock(lock)? {
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    /// There are no forks.
    fn close_in_child(&self) {}

    fn unlock(&self) -> io::Result<()> {
        self.call(Action::Unlock, |tree| {
            tree.unlock(self.inode, self.handle);
            Ok(())
        })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.disk.disk.tree().close(self.handle);
    }
}
