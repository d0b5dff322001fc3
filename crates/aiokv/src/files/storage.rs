//! The only code that touches the file system: a narrow trait and the real disk.
//!
//! The trait says what a commit needs and no more, one method for one system call, so that a
//! simulated disk can stand in for the real one, stop at any call and let any call fail.
//! It decides nothing: what is called when is the business of [`crate::files::state_file`].

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
    futimens,
};
use rustix::io::Errno;

/// A place for files. Every method is one call to the operating system, with its errors.
pub trait Storage: Send + Sync + 'static {
    /// The target of a symbolic link; `InvalidInput` if `path` is something else.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// The path without symbolic links in it. The path must exist.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Opens an existing file. Does not wait for anything, such as the other end of a pipe.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// Creates a file for reading and writing; `AlreadyExists` if the name is taken. `mode` is
    /// subject to the umask.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>>;

    /// What the path names. Does not follow a symbolic link.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Renames a file over whatever the name `to` stands for.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file; `AlreadyExists` if the name `to` is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory, not its parents.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes names that were created, renamed or removed in the directory durable.
    fn flush_directory(&self, path: &Path) -> io::Result<()>;

    /// The process that holds the lock on a file, where the system tells.
    fn lock_holder(&self, file: &Metadata) -> Option<u32>;
}

/// An open file. Dropping it releases its lock.
pub trait File: Send + Sync {
    /// What the handle stands for, even if the name is gone or names another file by now.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Reads at most `buffer.len()` bytes from `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset` and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Gives the file an owner and a group, by their numbers.
    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()>;

    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Cuts the content off, or fills it up with NUL bytes, to this length.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Changes nothing but `changed` in the metadata, and `modified` where the owner of the file
    /// is somebody else.
    fn touch(&self) -> io::Result<()>;

    /// Makes the content and the metadata durable.
    fn flush(&self) -> io::Result<()>;

    /// Makes the content durable, and of the metadata only what it takes to read it.
    fn flush_content(&self) -> io::Result<()>;

    /// Takes the advisory lock, unless another handle holds it. Says whether it was taken.
    fn try_lock(&self) -> io::Result<bool>;

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

/// What the file system says of a file. Two equal values mean that nobody touched it in between:
/// the kernel changes `changed` at every write, rename and change of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The device of the file system.
    pub device: u64,
    /// The number of the file in its file system.
    pub inode: u64,
    /// How many names the file has; 0 once it was replaced or removed.
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
    /// Whether both describe the same file, changed or not.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether both describe the same file with the same content. Its name and its permissions
    /// may have changed.
    pub fn has_same_content(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.size, self.modified) == (other.size, other.modified)
    }

    /// Whether both allow the same to the same users.
    pub fn has_same_access(&self, other: &Self) -> bool {
        (self.owner, self.group, self.mode) == (other.owner, other.group, other.mode)
    }
}

/// The file system of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Disk;

impl Storage for Disk {
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(metadata_of(&rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can do it. A second name never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            outcome => Ok(outcome?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o777).create(path)
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    /// Linux lists every lock in `/proc/locks`, as `1: FLOCK ADVISORY WRITE pid major:minor:inode ...`.
    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        let device = file.device;
        let identity = format!(
            "{:02x}:{:02x}:{}",
            rustix::fs::major(device),
            rustix::fs::minor(device),
            file.inode
        );
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let mut lines = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.find_map(|fields| match fields[..] {
            [_, "FLOCK", _, _, process, place, ..] if place == identity => process.parse().ok(),
            _ => None,
        })
    }
}

struct DiskFile(fs::File);

impl File for DiskFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_of(&rustix::fs::fstat(&self.0)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_owner(&self, owner: u32, group: u32) -> io::Result<()> {
        std::os::unix::fs::fchown(&self.0, Some(owner), Some(group))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn touch(&self) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        // Whoever is not the owner may set both times or none.
        let touched = futimens(&self.0, &Timestamps { last_access: now, last_modification: keep });
        match touched {
            Err(Errno::PERM | Errno::ACCESS) => {
                Ok(futimens(&self.0, &Timestamps { last_access: now, last_modification: now })?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn flush_content(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    reason = "the types differ between systems"
)]
fn metadata_of(stat: &rustix::fs::Stat) -> Metadata {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    Metadata {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        size: stat.st_size as u64,
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        owner: stat.st_uid,
        group: stat.st_gid,
        mode: u32::from(stat.st_mode) & 0o7777,
        kind,
    }
}

/// Reads a file from `offset` to its end. `size` is how long it is, as far as is known.
pub(crate) fn read_from(file: &dyn File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    // One byte more than the size, to see the end without another round.
    let size = usize::try_from(size.saturating_sub(offset)).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut content = vec![0; size + 1];
    let mut length = 0;
    loop {
        if length == content.len() {
            content.resize(content.len() * 2, 0);
        }
        match file.read_at(&mut content[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(content)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
