//! What the protocol needs of a place for files: a narrow trait with two implementations, the disk
//! (`files::disk`) and the simulated disk of the tests.
//!
//! Every method is one step that can fail, and that a process can die before or after. The trait
//! decides nothing; the order of the steps is the business of the modules beside this one and of
//! `writer`.

use std::io;
use std::path::{Path, PathBuf};

/// A place for files.
pub trait Storage: Send + Sync + 'static {
    /// The file that `path` names, without symbolic links. The file need not exist, nor its
    /// directory.
    ///
    /// A symbolic link to a missing file is followed. A symbolic link to a missing directory is an
    /// error that names the link, because nothing may be created behind it.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;

    /// Opens an existing regular file. A symbolic link or anything else that is not a regular file
    /// is an error. Does not wait for anything, such as the other end of a pipe.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// Creates a file for reading and writing; `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>>;

    /// What the name stands for. Does not follow a symbolic link.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Which file the name stands for. Does not follow a symbolic link.
    ///
    /// The times of a file that is appended to should not be asked for. Linux, since 6.13, notes at
    /// its next write that they were seen, and the flush then takes a third to two thirds longer.
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        Ok(self.metadata(path)?.identity())
    }

    /// Gives a file another name, which it takes from whatever has it. Both names are in the same
    /// directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name; `AlreadyExists` if the name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory, but not its parents.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Opens a directory to make durable what changes in it.
    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>>;

    /// The user as whom this process creates files.
    fn user(&self) -> u32;

    /// The process that holds the lock of a file, where the system tells.
    fn lock_holder(&self, file: &Metadata) -> Option<u32>;
}

/// An open directory.
pub trait Directory: Send + Sync {
    /// Makes durable which names the directory has and what they stand for. Succeeds where the
    /// file system has no such service, or does not let this user open the directory.
    fn flush(&self) -> io::Result<()>;
}

/// An open file. Dropping it releases its lock.
pub trait File: Send + Sync {
    /// What the handle stands for, even if the name is gone or names another file by now.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Whether the file still has a name. As [`Storage::identity`], it leaves the times alone.
    fn has_name(&self) -> io::Result<bool> {
        Ok(self.metadata()?.links > 0)
    }

    /// Reads at most `buffer.len()` bytes from `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset` and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Gives the file an owner, a group, or both, by their numbers.
    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()>;

    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Cuts the content off, or fills it up with NUL bytes, to this length.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Changes `changed` in the metadata, and nothing of the content.
    fn touch(&self) -> io::Result<()>;

    /// Makes the content and the metadata durable.
    fn flush(&self) -> io::Result<()>;

    /// Makes the content durable, and of the metadata only what it takes to read it.
    fn flush_content(&self) -> io::Result<()>;

    /// Takes the advisory lock, unless another handle excludes that. Says whether it was taken.
    /// The lock belongs to the handle; taking it again converts it.
    fn try_lock(&self, lock: Lock) -> io::Result<bool>;

    /// Takes the advisory lock, and waits until no other handle excludes that.
    fn lock(&self, lock: Lock) -> io::Result<()>;

    /// Closes the file in the child of a fork, in which a thread that does not exist there holds
    /// it. It is not used again, nor dropped.
    fn close_in_child(&self);

    /// Releases the advisory lock.
    fn unlock(&self) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// Who may read a file that is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// This user only.
    Private,
    /// Whoever the umask of the process allows.
    Umask,
}

/// A kind of advisory lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Any number of handles may have it at the same time.
    Shared,
    /// One handle has it, and no other handle has any lock of the file.
    Exclusive,
}

/// Tells one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device of the file system.
    pub device: u64,
    /// The number of the file in its file system.
    pub inode: u64,
}

/// What the file system says of a file. Two equal values of one handle mean that nobody changed
/// the file in between: `changed` moves at every write, rename and change of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The device of the file system.
    pub device: u64,
    /// The number of the file in its file system.
    pub inode: u64,
    /// How many names the file has.
    pub links: u64,
    /// The size in bytes.
    pub size: u64,
    /// When the content changed, in seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// When content, names or permissions changed, in seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
    /// The owner.
    pub owner: u32,
    /// The group.
    pub group: u32,
    /// The permission bits.
    pub mode: u32,
    /// What kind of file it is.
    pub kind: Kind,
}

/// The kinds of files that make a difference here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

impl Metadata {
    /// Which file it is.
    pub fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode }
    }

    /// Whether both describe the same file, changed or not.
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}
