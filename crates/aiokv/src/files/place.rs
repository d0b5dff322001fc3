//! Where a store is: the names of its files, and how they are looked up and opened.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::storage::{Access, File, Identity, Metadata, Storage};
use crate::error::{Error, Result};

/// The longest name that a file may have on the file systems in use, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The names of a store's files on a storage. All are in one directory.
pub(crate) struct Place {
    pub(crate) storage: Arc<dyn Storage>,
    /// `state.json`, without symbolic links.
    pub(crate) file: PathBuf,
    /// `state.json.journal`
    pub(crate) journal: PathBuf,
    /// `.state.json.aiokv-tmp`
    pub(crate) temporary: PathBuf,
    pub(crate) directory: PathBuf,
}

/// An open file, with the metadata that went with its content when that was read or written.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) file: Arc<dyn File>,
    pub(crate) metadata: Metadata,
    pub(crate) access: Access,
}

impl Place {
    /// Finds the file that `path` names. Neither the file nor its directory has to exist.
    pub(crate) fn resolve(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let file = storage.resolve(path).map_err(Error::io("find", path))?;
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(Error::io("use as a state file", path)(Errno::ISDIR.into()));
        };
        Ok(Self {
            journal: directory.join(derived(name, "", ".journal")),
            temporary: directory.join(derived(name, ".", ".aiokv-tmp")),
            directory: directory.to_owned(),
            storage,
            file,
        })
    }

    /// What a name stands for, if anything.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<Metadata>> {
        if_found(self.storage.metadata(path)).map_err(Error::io("look at", path))
    }

    /// Which file a name stands for, if it is any.
    pub(crate) fn identify(&self, path: &Path) -> Result<Option<Identity>> {
        if_found(self.storage.identity(path)).map_err(Error::io("look at", path))
    }

    /// Opens a file, if there is one.
    pub(crate) fn open(&self, path: &Path, access: Access) -> Result<Option<Handle>> {
        let action = match access {
            Access::Read => "read",
            Access::ReadWrite => "open for writing",
        };
        let opened = match self.storage.open(path, access) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io(action, path))?,
        };
        let metadata = opened.metadata().map_err(Error::io("look at", path))?;
        Ok(Some(Handle { file: opened.into(), metadata, access }))
    }
}

impl Handle {
    /// Whether the file is the same, unchanged, by what is known of it now.
    pub(crate) fn is_unchanged(&self, now: &Metadata) -> bool {
        self.metadata == *now
    }
}

fn if_found<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        looked => looked.map(Some),
    }
}

/// The name of another file of the store `name`. Where it would be too long, a hash stands for a
/// part of `name`, so that every name that can hold the file can hold the others.
fn derived(name: &OsStr, prefix: &str, suffix: &str) -> OsString {
    let mut derived = OsString::from(prefix);
    if prefix.len() + name.len() + suffix.len() <= NAME_BYTES_MAX {
        derived.push(name);
    } else {
        let hash = fnv_1a(name.as_encoded_bytes());
        let whole = name.to_string_lossy();
        let mut kept = NAME_BYTES_MAX / 2;
        while !whole.is_char_boundary(kept) {
            kept -= 1;
        }
        derived.push(format!("{}~{hash:016x}", &whole[..kept]));
    }
    derived.push(suffix);
    derived
}

/// The FNV-1a hash, which is the same in every process and version.
fn fnv_1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_can_hold_the_file_can_hold_the_others() {
        assert_eq!(derived(OsStr::new("state.json"), "", ".journal"), "state.json.journal");
        for length in 1..=NAME_BYTES_MAX {
            let names = ["n".repeat(length), "ä".repeat(length / 2)];
            for name in names.iter().filter(|name| !name.is_empty()) {
                for (prefix, suffix) in [("", ".journal"), (".", ".aiokv-tmp")] {
                    let derived = derived(OsStr::new(name), prefix, suffix);
                    assert!(derived.len() <= NAME_BYTES_MAX, "{derived:?}");
                }
            }
        }
    }

    #[test]
    fn long_names_that_differ_at_the_end_have_different_journals() {
        let journal = |last: char| {
            derived(
                OsStr::new(&format!("{}{last}", "n".repeat(NAME_BYTES_MAX - 1))),
                "",
                ".journal",
            )
        };
        assert_ne!(journal('a'), journal('b'));
    }
}
