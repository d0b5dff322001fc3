//! A state file in a directory of its own, and a store on it.

use std::path::{Path, PathBuf};

use aiokv::AioKv;
use tempfile::TempDir;

/// A path at which there is nothing yet. The directory is removed with the first value.
pub(crate) fn state_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.json");
    (directory, path)
}

pub(crate) fn open(path: &Path) -> AioKv {
    AioKv::new(path).expect("the path is absolute")
}
