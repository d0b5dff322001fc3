//! What a person or another program does to files: it takes no locks, happens at once, is flushed,
//! and has a time of its own.

use std::path::Path;

use aiokv::binding::storage::Kind;

use super::SimulatedDisk;
use super::inode::Number;
use super::tree::Tree;

/// The name under which an outsider prepares a file.
const DRAFT: &str = "outsider.draft";

impl SimulatedDisk {
    /// The content of a file, if there is such a file.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let tree = self.tree();
        Some(tree.read(tree.find(path).ok()?, 0).ok()?.to_vec())
    }

    /// Writes a file in place, or creates it.
    pub(crate) fn write_in_place(&self, path: &Path, content: &[u8]) {
        self.edit(path, |tree| {
            let inode = tree.find(path).or_else(|_| tree.create(path, 0o666)).expect("a directory");
            tree.set_length(inode, 0).expect("a file");
            tree.write(inode, content, 0).expect("a file");
            Some(inode)
        });
    }

    /// Writes a file beside a file and gives it its name.
    pub(crate) fn replace(&self, path: &Path, content: &[u8]) {
        self.edit(path, |tree| {
            let draft = path.with_file_name(DRAFT);
            let inode = tree.create(&draft, 0o666).expect("a directory without such a name");
            tree.write(inode, content, 0).expect("a file");
            tree.rename(&draft, path, true).expect("both names are in one directory");
            Some(inode)
        });
    }

    /// Cuts a file off, in place.
    pub(crate) fn cut_off(&self, path: &Path, length: usize) {
        self.edit(path, |tree| {
            let inode = tree.find(path).ok()?;
            tree.set_length(inode, length as u64).expect("a file");
            Some(inode)
        });
    }

    /// Removes a file, if it is there.
    pub(crate) fn take_away(&self, path: &Path) {
        self.edit(path, |tree| {
            let _ = tree.remove(path);
            None
        });
    }

    /// Creates a directory.
    pub(crate) fn add_directory(&self, path: &Path) {
        self.edit(path, |tree| {
            tree.create_directory(path).expect("the name is free");
            None
        });
    }

    /// Whether there is such a directory.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        let tree = self.tree();
        tree.find(path).is_ok_and(|inode| tree.metadata(inode).kind == Kind::Directory)
    }

    fn edit(&self, path: &Path, change: impl FnOnce(&mut Tree) -> Option<Number>) {
        let mut tree = self.tree();
        tree.tick_visibly();
        let inode = change(&mut tree);
        let directories = path.ancestors().skip(1).filter_map(|it| tree.find(it).ok());
        let inodes: Vec<_> = inode.into_iter().chain(directories).collect();
        inodes.into_iter().for_each(|inode| tree.flush(inode));
        tree.tick_visibly();
    }
}
