//! What is a state file and what is not: every file in `tests/parsing/` is opened and changed.
//!
//! A name that begins with `y_` says that the file is loaded, as Python's `json` loads it. One with
//! `n_` is damaged, for Python's `json` too or because it holds something else than an object. One
//! with `i_` may be either: there the limits and the encodings of parsers differ.

use std::fs;
use std::path::{Path, PathBuf};

use aiokv::binding::Entry;
use aiokv::{AioKv, Error, Options, Result};
use pollster::block_on;

/// The entries as they are spelled, because Rust has no value for some of them.
fn entries(kv: &AioKv) -> Result<Vec<String>> {
    let snapshot = block_on(kv.snapshot(""))?;
    Ok(snapshot.iter().map(|entry| entry.line().to_owned()).collect())
}

fn open(path: &Path) -> AioKv {
    AioKv::with_options(path, Options::default().fsync(false)).unwrap()
}

/// Loads the file, sets a key that it does not have, and loads what was written.
fn assert_accepted(path: &Path) {
    let mut expected = entries(&open(path)).unwrap();
    block_on(open(path).set("our own key", &1)).unwrap();
    expected.push(Entry::new("\"our own key\"", "1").line().to_owned());
    assert_eq!(entries(&open(path)).unwrap(), expected);
    let written = fs::read_to_string(path).unwrap();
    assert_eq!(written, format!("{{\n  {}\n}}\n", expected.join(",\n  ")));
}

/// Reads and changes are refused, and the file stays as it is until it is cleared.
fn assert_rejected(path: &Path) {
    let content = fs::read(path).unwrap();
    let kv = open(path);
    assert!(matches!(entries(&kv), Err(Error::Corrupt(_))));
    assert!(matches!(block_on(kv.set("our own key", &1)), Err(Error::Corrupt(_))));
    assert_eq!(fs::read(path).unwrap(), content);
    block_on(kv.clear()).unwrap();
    assert_eq!(entries(&kv).unwrap(), Vec::<String>::new());
}

#[test]
fn every_file_is_accepted_or_rejected_as_its_name_says() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parsing");
    let mut counts = [0; 3];
    let mut surprises = Vec::new();
    for case in fs::read_dir(corpus).unwrap() {
        let case = case.unwrap();
        let name = case.file_name().into_string().unwrap();
        let Some(kind) = ["y_", "n_", "i_"].into_iter().position(|kind| name.starts_with(kind))
        else {
            assert_eq!(name, ".gitattributes");
            continue;
        };
        counts[kind] += 1;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        fs::copy(case.path(), &path).unwrap();
        println!("{name}");
        let is_accepted = entries(&open(&path)).is_ok();
        if is_accepted {
            assert_accepted(&path);
        } else {
            assert_rejected(&path);
        }
        if name.starts_with(if is_accepted { "n_" } else { "y_" }) {
            surprises.push(name);
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
    assert!(
        counts[0] >= 68 && counts[1] >= 170 && counts[2] >= 10,
        "files are missing: {counts:?}"
    );
}
