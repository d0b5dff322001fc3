//! The file system of a Unix machine.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::StatxFlags;
use rustix::fs::{
    AtFlags, CWD, FileType, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
    futimens,
};
use rustix::io::Errno;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::storage::Identity;
use super::storage::{Access, Directory, File, Kind, Lock, Metadata, Storage, Visibility};

/// How many symbolic links may lead to the file; Linux has the same limit.
const LINKS_MAX: usize = 40;

/// How often the list of all locks is read to find one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOCK_LIST_READS_MAX: usize = 5;

/// The file system of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Disk;

impl Storage for Disk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        require_trusted_links(path, LINKS_MAX)?;
        resolve_file(path, LINKS_MAX)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        // Without `NONBLOCK`, opening a pipe waits for its other end.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .custom_flags(flags.bits().cast_signed())
            .open(path);
        let file =
            opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
                // What `NOFOLLOW` answers for a link, and opening for a socket or a device of nobody.
                Some(Errno::LOOP | Errno::MLINK | Errno::NXIO) => not_regular(),
                _ => error,
            })?;
        let file = DiskFile(beside_standard_streams(file)?);
        match file.metadata()?.kind {
            Kind::File => Ok(Box::new(file)),
            Kind::Directory => Err(Errno::ISDIR.into()),
            Kind::Link | Kind::Other => Err(not_regular()),
        }
    }

    fn create(&self, path: &Path, visibility: Visibility) -> io::Result<Box<dyn File>> {
        let mode = match visibility {
            Visibility::Private => 0o600,
            Visibility::Umask => 0o666,
        };
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)?;
        Ok(Box::new(DiskFile(beside_standard_streams(file)?)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(metadata_of(&rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO) {
            Ok(found) => Ok(Identity {
                device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
                inode: found.stx_ino,
            }),
            Err(error) if lacks_statx(error) => Ok(self.metadata(path)?.identity()),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can do it. A second name never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(from, to)?;
                match fs::remove_file(from) {
                    // Another process may take the old name for one that was left behind.
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    removed => removed,
                }
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

    fn open_directory(&self, path: &Path) -> io::Result<Box<dyn Directory>> {
        match fs::File::open(path) {
            Ok(file) => Ok(Box::new(DiskDirectory(Some(file)))),
            // A directory may let users enter it and create files, but not open it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Ok(Box::new(DiskDirectory(None)))
            }
            Err(error) => Err(error),
        }
    }

    fn user(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn lock_holder(&self, file: &Metadata) -> Option<u32> {
        // `/proc/locks` lists every lock, as `1: FLOCK ADVISORY WRITE pid major:minor:inode ...`.
        let device = file.device;
        let identity = format!(
            "{:02x}:{:02x}:{}",
            rustix::fs::major(device),
            rustix::fs::minor(device),
            file.inode
        );
        let find = |locks: &str| {
            let mut lines = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.find_map(|fields| match fields[..] {
                [_, "FLOCK", _, _, process, place, ..] if place == identity => process.parse().ok(),
                _ => None,
            })
        };
        // The list is read in pieces, and a line may be passed over while locks come and go.
        (0..LOCK_LIST_READS_MAX).find_map(|_| find(&fs::read_to_string("/proc/locks").ok()?))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn lock_holder(&self, _file: &Metadata) -> Option<u32> {
        None
    }
}

/// `None` stands for a directory that this user may not open.
struct DiskDirectory(Option<fs::File>);

impl Directory for DiskDirectory {
    fn flush(&self) -> io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let flushed = file.sync_all();
        match flushed.as_ref().err().and_then(io::Error::raw_os_error) {
            // What autofs, CIFS, 9p and kernfs answer, which have nothing to flush.
            Some(number)
                if [Errno::INVAL, Errno::NOTSUP].contains(&Errno::from_raw_os_error(number)) =>
            {
                Ok(())
            }
            _ => flushed,
        }
    }
}

struct DiskFile(fs::File);

impl File for DiskFile {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_of(&rustix::fs::fstat(&self.0)?))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn has_name(&self) -> io::Result<bool> {
        match rustix::fs::statx(&self.0, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
            Ok(found) => Ok(found.stx_nlink > 0),
            Err(error) if lacks_statx(error) => Ok(self.metadata()?.links > 0),
            Err(error) => Err(error.into()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        std::os::unix::fs::fchown(&self.0, owner, group)
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
        // A user who is not the owner may set both times or none.
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

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        let taken = match lock {
            Lock::Shared => self.0.try_lock_shared(),
            Lock::Exclusive => self.0.try_lock(),
        };
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock(&self, lock: Lock) -> io::Result<()> {
        loop {
            let taken = match lock {
                Lock::Shared => self.0.lock_shared(),
                Lock::Exclusive => self.0.lock(),
            };
            match taken {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                taken => return taken,
            }
        }
    }

    fn close_in_child(&self) {
        // There is nothing to do about an error.
        let _ = nix::unistd::close(self.0.as_raw_fd());
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

/// An open file under a number that no standard stream has. In a process that was started without
/// these, what is printed would otherwise be written into the file.
fn beside_standard_streams(file: fs::File) -> io::Result<fs::File> {
    const LOWEST: RawFd = 3;
    if file.as_raw_fd() >= LOWEST {
        return Ok(file);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&file, LOWEST)?.into())
}

/// Whether the system has no `statx`, or a sandbox forbids it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lacks_statx(error: Errno) -> bool {
    matches!(error, Errno::NOSYS | Errno::PERM)
}

fn not_regular() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")
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

/// The file that `path` names. Its last component may be a link to a missing file.
fn resolve_file(path: &Path, links_left: usize) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::NotFound.into());
    };
    let directory = resolve_directory(directory)?;
    let path = directory.join(name);
    match fs::read_link(&path) {
        Ok(_) if links_left == 0 => Err(Errno::LOOP.into()),
        Ok(target) => {
            let target = directory.join(target);
            if !target.parent().is_some_and(Path::is_dir) {
                return Err(dangling(&path));
            }
            resolve_file(&target, links_left - 1)
        }
        // No link, or nothing there: the file is to be created here.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            Ok(path)
        }
        Err(error) => Err(error),
    }
}

/// The directory that `path` names, which need not exist. A link to a missing one is an error.
fn resolve_directory(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => return Err(dangling(path)),
        // Another process has created it since.
        Ok(_) => return fs::canonicalize(path),
        Err(_) => {}
    }
    let parent = path.parent().ok_or(ErrorKind::NotFound)?;
    // `..` after a missing directory names nothing yet.
    let name: &OsStr = path.file_name().ok_or(ErrorKind::NotFound)?;
    Ok(resolve_directory(parent)?.join(name))
}

/// Refuses a path that leads through a symbolic link which another user put into a directory like
/// `/tmp`. That is the kernel's rule too (`protected_symlinks`), but it does not apply when a
/// program reads links.
fn require_trusted_links(path: &Path, links_left: usize) -> io::Result<()> {
    let mut parts: Vec<_> = path.ancestors().collect();
    parts.reverse();
    for part in parts {
        let Ok(link) = fs::symlink_metadata(part) else { return Ok(()) };
        let (true, Some(directory)) = (link.is_symlink(), part.parent()) else { continue };
        let directory_is = fs::metadata(directory)?;
        let anyone_may_add = directory_is.mode() & 0o1002 == 0o1002;
        let trusted = [rustix::process::geteuid().as_raw(), directory_is.uid()];
        if anyone_may_add && !trusted.contains(&link.uid()) {
            let problem = format!("`{}` is a symbolic link of another user", part.display());
            return Err(io::Error::new(ErrorKind::PermissionDenied, problem));
        }
        if links_left > 0 {
            require_trusted_links(&directory.join(fs::read_link(part)?), links_left - 1)?;
        }
    }
    Ok(())
}

fn dangling(link: &Path) -> io::Error {
    let problem = format!(
        "`{}` is a symbolic link into a directory that does not exist; create that directory, or \
         mount the disk that has it",
        link.display()
    );
    io::Error::new(ErrorKind::NotFound, problem)
}
