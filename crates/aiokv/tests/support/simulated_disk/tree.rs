//! Inodes and their names: what each call does when nothing goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};

use aiokv::storage::{Kind, Metadata};
use rustix::io::Errno;

use crate::random::Random;

use super::inode::{Attributes, Body, Change, Content, Entries, Inode, Number};

const ROOT: Number = 1;
const UMASK: u32 = 0o022;
/// The owner and the group of what the program creates.
const USER: u32 = 1000;

#[derive(Debug, Clone)]
pub(super) struct Tree {
    inodes: BTreeMap<Number, Inode>,
    newest: Number,
    clock: i64,
}

impl Tree {
    /// An empty root directory.
    pub(super) fn new() -> Self {
        let attributes = Attributes { mode: 0o755, owner: 0, group: 0 };
        let root = Inode::new(attributes, Body::Directory(Entries::default()), 0);
        Self { inodes: BTreeMap::from([(ROOT, root)]), newest: ROOT, clock: 0 }
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

    pub(super) fn set_owner(&mut self, inode: Number, owner: u32, group: u32) {
        let attributes = &mut self.touched(inode).attributes;
        (attributes.owner, attributes.group) = (owner, group);
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

    pub(super) fn try_lock(&mut self, inode: Number, handle: u64) -> bool {
        *self.inode_mut(inode).lock.get_or_insert(handle) == handle
    }

    pub(super) fn unlock(&mut self, inode: Number, handle: u64) {
        self.inode_mut(inode).lock.take_if(|holder| *holder == handle);
    }

    pub(super) fn is_locked(&self, inode: Number) -> bool {
        self.inode(inode).lock.is_some()
    }

    pub(super) fn has_locks(&self) -> bool {
        self.inodes.values().any(|inode| inode.lock.is_some())
    }

    pub(super) fn release_all_locks(&mut self) {
        self.inodes.values_mut().for_each(|inode| inode.lock = None);
    }

    /// The trees that a loss of power may leave, each once: all of them if there are at most
    /// `limit` combinations of what may be left of each inode, otherwise as many random ones.
    pub(super) fn survivors(&self, limit: usize, random: &mut Random) -> Vec<Self> {
        let mut numbers = BTreeSet::from([ROOT]);
        for inode in self.inodes.values() {
            if let Body::Directory(entries) = &inode.body {
                numbers.extend(entries.ever_named());
            }
        }
        let choices = numbers.iter().map(|&number| (number, self.inode(number).survivors(random)));
        let choices: BTreeMap<_, _> = choices.collect();
        let product = |product: usize, of: &Vec<Inode>| product.checked_mul(of.len());
        let count = choices.values().try_fold(1, product).filter(|count| *count <= limit);
        let mut seen = BTreeSet::new();
        let mut survivors = Vec::new();
        for index in 0..count.unwrap_or(limit) {
            // All of them: the digits of the index choose. Too many: chance does.
            let mut rest = index;
            let choose = |(&number, of): (&Number, &Vec<Inode>)| {
                let mut drawn = || random.below(of.len() as u64) as usize;
                let digit = if count.is_some() { rest % of.len() } else { drawn() };
                rest /= of.len();
                (number, digit)
            };
            let chosen: BTreeMap<_, _> = choices.iter().map(choose).collect();
            let inode = |number: Number| &choices[&number][chosen[&number]];
            let links = links(inode);
            let named: Vec<_> = links.keys().map(|number| (*number, chosen[number])).collect();
            if seen.insert(named) {
                let survivor = |(number, links)| (number, inode(number).with_links(links));
                survivors.push(Self { inodes: links.into_iter().map(survivor).collect(), ..*self });
            }
        }
        survivors
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
                    let content = content.now().escape_ascii();
                    writeln!(listing, "{path} {:o} \"{content}\"", attributes.mode)
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
        self.newest += 1;
        let attributes = Attributes { mode: mode & !UMASK, owner: USER, group: USER };
        self.inodes.insert(self.newest, Inode::new(attributes, body, self.clock));
        self.touched(self.newest).links += 1;
        self.change(directory, vec![(name, Some(self.newest))]);
        Ok(self.newest)
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
        self.clock += 1;
        let now = self.clock;
        let inode = self.inode_mut(inode);
        inode.changed = now;
        inode
    }

    fn inode(&self, number: Number) -> &Inode {
        self.inodes.get(&number).expect("inodes with a name or a handle are kept")
    }

    fn inode_mut(&mut self, number: Number) -> &mut Inode {
        self.inodes.get_mut(&number).expect("inodes with a name or a handle are kept")
    }
}

/// The inodes that have a name, with the number of their names.
fn links<'inode>(inode: impl Fn(Number) -> &'inode Inode) -> BTreeMap<Number, u64> {
    let mut links = BTreeMap::from([(ROOT, 1)]);
    let mut unvisited = vec![ROOT];
    while let Some(number) = unvisited.pop() {
        if let Body::Directory(entries) = &inode(number).body {
            for &named in entries.now().values() {
                *links.entry(named).or_default() += 1;
                unvisited.push(named);
            }
        }
    }
    links
}
