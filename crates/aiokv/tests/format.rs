//! Files that other programs and older versions left behind open for ever: each `NAME.before.json`
//! in `tests/format/` is loaded and one key is set, which must give `NAME.after.json`, byte for
//! byte. The key `last_command` is new in some of them.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use aiokv::AioKv;
use pollster::block_on;

/// The names of the files, without `.before.json`.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".before.json")?.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn files_that_were_left_behind_are_rewritten_without_loss() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/format");
    let names = names(&golden);
    assert!(names.len() >= 17, "files are missing: {names:?}");
    for name in names {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        fs::copy(golden.join(format!("{name}.before.json")), &path).unwrap();
        let kv = AioKv::new(&path).unwrap();
        // What was written once is in our own layout and does not change any more.
        for _ in 0..2 {
            block_on(kv.set("last_command", "pong")).unwrap();
            block_on(kv.close()).unwrap();
            let found = String::from_utf8(fs::read(&path).unwrap()).unwrap();
            let expected = fs::read_to_string(golden.join(format!("{name}.after.json"))).unwrap();
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(block_on(kv.get("last_command")).unwrap(), Some("pong".to_owned()), "{name}");
    }
}
