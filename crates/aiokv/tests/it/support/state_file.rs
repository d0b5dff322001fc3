//! A state file in a directory of its own, and stores on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aiokv::binding::Disk;
use aiokv::{AioKv, Journal, Options};
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

/// A store that shares nothing with the other stores of this process, as if it were in another
/// one.
pub(crate) fn open_alone(path: &Path, options: Options) -> AioKv {
    AioKv::with_storage(path, options, Arc::new(Disk)).expect("the path is absolute")
}

/// The ways in which a store can write, as arguments of a worker.
pub(crate) const WAYS: [&str; 5] =
    ["replace", "replace while small", "append", "append until outgrown", "append and checkpoint"];

pub(crate) fn options(way: &str) -> Options {
    let never_due = Options::default().checkpoint_pace(0);
    let append = never_due.clone().journal(Journal::Always);
    match way {
        "replace" => never_due.journal(Journal::Never),
        // With more than one entry the file is not small any more.
        "replace while small" => never_due.journal(Journal::Auto).journal_threshold(20),
        "append" => append,
        // There is a checkpoint once the journal is larger than the file, after a few changes.
        "append until outgrown" => append.journal_threshold(0),
        "append and checkpoint" => append.checkpoint_pace(u64::MAX),
        _ => unreachable!("there is no way {way:?}"),
    }
}

/// The journal of the file.
pub(crate) fn journal_of(path: &Path) -> PathBuf {
    path.with_extension("json.journal")
}

/// The names in the directory of the file.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = Vec::from_iter(names);
    names.sort();
    names
}

/// Waits for something that the engine does on its own, such as a checkpoint.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::yield_now();
    }
}
