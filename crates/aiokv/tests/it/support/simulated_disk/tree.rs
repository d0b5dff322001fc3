//! Inodes and their names: what each call does when nothing goes wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};

use aiokv::binding::storage::{Kind, Lock, Metadata};
use rustix::io::Errno;

use super::Features;
use super::call::ProcessId;
use super::inode::{Attributes, Body, Change, Content, Entries, Handle, Inode, Number};
use super::process_disk::spelled;

pub(super) const ROOT: Number = 1;
const UMASK: u32 = 0o022;
/// The owner and the group of what the program creates.
pub(super) const USER: u32 = 1000;

#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) inodes: BTreeMap<Number, Inode>,
    pub(super) newest: Number,
    /// Counts calls; the time of the simulated clock are its ticks, which may be several calls long.
    pub(super) clock: i64,
    pub(super) features: Features,
    /// What the open handles stand for, and whose they are.
    pub(super) handles: BTreeMap<Handle, (ProcessId, Number)>,
    pub(super) newest_handle: Handle,
}

impl Tree {
    /// An empty root directory.
    pub(super) fn new(features: Features) -> Self {
        let attributes = Attributes { mode: 0o755, owner: 0, group: 0 };
        let root = Inode::new(attributes, Body::Directory(Entries::default()), 0);
        Self {
            inodes: BTreeMap::from([(ROOT, root)]),
            newest: ROOT,
            clock: 0,
            features,
            handles: BTreeMap::new(),
            newest_handle: 0,
        }
    }

    /// Lets a moment pass.
    pub(super) fn tick(&mut self) {
        self.clock += 1;
    }

    /// Lets time pass until the times of files differ from those before.
    pub(super) fn tick_visibly(&mut self) {
        self.clock += self.features.calls_per_tick;
    }

    /// Opens an inode for a process.
    pub(super) fn open(&mut self, process: ProcessId, inode: Number) -> Handle {
        self.newest_handle += 1;
        self.handles.insert(self.newest_handle, (process, inode));
        self.inode_mut(inode).handles += 1;
        self.newest_handle
    }

    /// Closes a handle and releases its lock. A handle that was closed already stays so.
    pub(super) fn close(&mut self, handle: Handle) {
        if let Some((_, inode)) = self.handles.remove(&handle) {
            self.unlock(inode, handle);
            self.inode_mut(inode).handles -= 1;
        }
    }

    /// Closes what a process has open.
    pub(super) fn close_all_of(&mut self, process: ProcessId) {
        let its = |(&handle, &(of, _)): (&Handle, &(ProcessId, Number))| {
            (of == process).then_some(handle)
        };
        let handles: Vec<_> = self.handles.iter().filter_map(its).collect();
        handles.into_iter().for_each(|handle| self.close(handle));
    }

    pub(super) fn close_all(&mut self) {
        let handles: Vec<_> = self.handles.keys().copied().collect();
        handles.into_iter().for_each(|handle| self.close(handle));
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Number> {
        let mut found = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                found = self.entries(found)?.get(name).ok_or(Errno::NOENT)?;
            }
        }
        Ok(found)
    }

    pub(super) fn names(&self, directory: &Path) -> Vec<OsString> {
        let entries = self.find(directory).and_then(|directory| self.entries(directory));
        entries.map_or(Vec::new(), |entries| entries.now().keys().cloned().collect())
    }

    pub(super) fn create(&mut self, path: &Path, mode: u32) -> io::Result<Number> {
        self.add(path, mode, Body::File(Content::default()))
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, 0o777, Body::Directory(Entries::default())).map(drop)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let (directory, old_name) = self.place(from)?;
        let (directory_to, new_name) = self.place(to)?;
        if directory != directory_to {
            return Err(Errno::XDEV.into());
        }
        let inode = self.entries(directory)?.get(&old_name).ok_or(Errno::NOENT)?;
        match self.entries(directory)?.get(&new_name) {
            Some(_) if !replace => return Err(Errno::EXIST.into()),
            Some(replaced) => self.touched(replaced).links -= 1,
            None => {}
        }
        self.touched(inode);
        self.change(directory, vec![(old_name, None), (new_name, Some(inode))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        let inode = self.entries(directory)?.get(&name).ok_or(Errno::NOENT)?;
        if self.entries(inode).is_ok() {
            return Err(Errno::ISDIR.into());
        }
        self.touched(inode).links -= 1;
        self.change(directory, vec![(name, None)]);
        Ok(())
    }

    pub(super) fn metadata(&self, inode: Number) -> Metadata {
        let Inode { attributes, body, links, modified, changed, .. } = self.inode(inode);
        let (kind, size) = match body {
            Body::File(content) => (Kind::File, content.now().len()),
            Body::Directory(entries) => (Kind::Directory, entries.now().len()),
        };
        Metadata {
            device: 1,
            inode,
            links: *links,
            size: size as u64,
            modified: (*modified, 0),
            changed: (*changed, 0),
            owner: attributes.owner,
            group: attributes.group,
            mode: attributes.mode,
            kind,
        }
    }

    pub(super) fn read(&self, inode: Number, offset: u64) -> io::Result<&[u8]> {
        let Body::File(content) = &self.inode(inode).body else {
            return Err(Errno::ISDIR.into());
        };
        let offset = usize::try_from(offset).expect("an offset in memory");
        Ok(content.now().get(offset..).unwrap_or_default())
    }

    pub(super) fn write(&mut self, inode: Number, bytes: &[u8], offset: u64) -> io::Result<()> {
        let inode = self.touched(inode);
        let Body::File(content) = &mut inode.body else {
            return Err(Errno::ISDIR.into());
        };
        content.write(bytes, usize::try_from(offset).expect("an offset in memory"));
        inode.modified = inode.changed;
        Ok(())
    }

    pub(super) fn set_length(&mut self, inode: Number, length: u64) -> io::Result<()> {
        let inode = self.touched(inode);
        let Body::File(content) = &mut inode.body else {
            return Err(Errno::ISDIR.into());
        };
        content.set_length(usize::try_from(length).expect("a length in memory"));
        inode.modified = inode.changed;
        Ok(())
    }

    pub(super) fn touch(&mut self, inode: Number) {
        self.touched(inode);
    }

    pub(super) fn set_mode(&mut self, inode: Number, mode: u32) {
        self.touched(inode).attributes.mode = mode;
    }

    pub(super) fn set_owner(&mut self, inode: Number, owner: Option<u32>, group: Option<u32>) {
        let attributes = &mut self.touched(inode).attributes;
        attributes.owner = owner.unwrap_or(attributes.owner);
        attributes.group = group.unwrap_or(attributes.group);
    }

    pub(super) fn flush(&mut self, inode: Number) {
        self.inode_mut(inode).flush();
    }

    pub(super) fn flush_content(&mut self, inode: Number) {
        if let Body::File(content) = &mut self.inode_mut(inode).body {
            content.flush();
        }
    }

    pub(super) fn lose_unflushed(&mut self, inode: Number) {
        if let Body::File(content) = &mut self.inode_mut(inode).body {
            content.lose_unflushed();
        }
    }

    /// As Linux does it: a conversion first gives up the lock that is there, and that stays so if
    /// the other lock cannot be had.
    pub(super) fn try_lock(&mut self, inode: Number, handle: Handle, lock: Lock) -> bool {
        let locks = &mut self.inode_mut(inode).locks;
        if locks.contains(&(handle, lock)) {
            return true;
        }
        locks.retain(|(holder, _)| *holder != handle);
        let excludes = |other: Lock| lock == Lock::Exclusive || other == Lock::Exclusive;
        let is_free = !locks.iter().any(|(_, other)| excludes(*other));
        if is_free {
            locks.push((handle, lock));
        }
        is_free
    }

    pub(super) fn unlock(&mut self, inode: Number, handle: Handle) {
        self.inode_mut(inode).locks.retain(|(holder, _)| *holder != handle);
    }

    pub(super) fn holds_lock(&self, process: ProcessId) -> bool {
        let is_locked = |(handle, &(of, inode)): (&Handle, &(ProcessId, Number))| {
            of == process && self.locks(inode).iter().any(|(holder, _)| holder == handle)
        };
        self.handles.iter().any(is_locked)
    }

    pub(super) fn locks(&self, inode: Number) -> &[(Handle, Lock)] {
        &self.inode(inode).locks
    }

    /// Every name with what it stands for, a line each.
    pub(super) fn listing(&self) -> String {
        let mut listing = String::new();
        for (path, number) in self.paths() {
            let Inode { attributes, body, .. } = self.inode(number);
            let path = path.display();
            let written = match body {
                Body::Directory(_) => writeln!(listing, "{path}/"),
                Body::File(content) => {
                    let content = spelled(content.now());
                    writeln!(listing, "{path}#{number} {:o} \"{content}\"", attributes.mode)
                }
            };
            written.expect("a string takes everything");
        }
        listing
    }

    fn paths(&self) -> Vec<(PathBuf, Number)> {
        let mut paths = vec![(PathBuf::from("/"), ROOT)];
        let mut next = 0;
        while let Some((path, number)) = paths.get(next).cloned() {
            if let Ok(entries) = self.entries(number) {
                paths.extend(entries.now().iter().map(|(name, inode)| (path.join(name), *inode)));
            }
            next += 1;
        }
        paths
    }

    fn add(&mut self, path: &Path, mode: u32, body: Body) -> io::Result<Number> {
        let (directory, name) = self.place(path)?;
        if self.entries(directory)?.get(&name).is_some() {
            return Err(Errno::EXIST.into());
        }
        let number = self.free_number();
        let attributes = Attributes { mode: mode & !UMASK, owner: USER, group: USER };
        self.inodes.insert(number, Inode::new(attributes, body, self.now()));
        self.touched(number).links += 1;
        self.change(directory, vec![(name, Some(number))]);
        Ok(number)
    }

    /// Forgets the inodes without a name and a handle, and finds a number for another one.
    fn free_number(&mut self) -> Number {
        let kept = self.kept();
        self.inodes
            .retain(|number, inode| inode.links > 0 || inode.handles > 0 || kept.contains(number));
        let first = if self.features.reuses_inodes { ROOT + 1 } else { self.newest + 1 };
        let free = (first..).find(|number| !self.inodes.contains_key(number));
        let free = free.expect("there are enough numbers");
        self.newest = self.newest.max(free);
        free
    }

    pub(super) fn now(&self) -> i64 {
        self.clock / self.features.calls_per_tick
    }

    /// The directory that a path lies in and its name there.
    fn place(&self, path: &Path) -> io::Result<(Number, OsString)> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::BUSY.into());
        };
        let directory = self.find(directory)?;
        self.entries(directory)?;
        Ok((directory, name.to_owned()))
    }

    fn entries(&self, inode: Number) -> io::Result<&Entries> {
        match &self.inode(inode).body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn change(&mut self, directory: Number, change: Change) {
        let directory = self.touched(directory);
        directory.modified = directory.changed;
        if let Body::Directory(entries) = &mut directory.body {
            entries.change(change);
        }
    }

    /// An inode that changes now.
    fn touched(&mut self, inode: Number) -> &mut Inode {
        let now = self.now();
        let inode = self.inode_mut(inode);
        inode.changed = now;
        inode
    }

    pub(super) fn inode(&self, number: Number) -> &Inode {
        self.inodes.get(&number).expect("inodes with a name or a handle are kept")
    }

    fn inode_mut(&mut self, number: Number) -> &mut Inode {
        self.inodes.get_mut(&number).expect("inodes with a name or a handle are kept")
    }
}
