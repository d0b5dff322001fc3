//! Files that other programs and older versions left behind open for ever: each `NAME.before.json`
//! in `tests/format/`, and in `tests/format/journal/` with the journal beside it, is loaded and one
//! key is set, which must give `NAME.after.json`, byte for byte. The key `last_command` is new in
//! some of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use aiokv::{AioKv, Options};
use pollster::block_on;

use crate::support::options::appending;
use crate::support::state_file::{journal_of, names, state_file};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format")
}

/// The names of the files in a directory, without `.before.json`.
fn golden_names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".before.json")?.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn files_that_were_left_behind_are_rewritten_without_loss() {
    let golden = directory();
    let names = golden_names(&golden);
    assert!(names.len() >= 17, "files are missing: {names:?}");
    for name in names {
        let (_directory, path) = state_file();
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

#[test]
fn journals_that_were_left_behind_open_for_ever() {
    let golden = directory().join("journal");
    let journals = golden_names(&golden);
    assert!(journals.len() >= 12, "files are missing: {journals:?}");
    for name in journals {
        for options in [Options::default(), appending()] {
            let (_directory, path) = state_file();
            copy_with_journal(&name, &path);
            let kv = AioKv::with_options(&path, options).unwrap();
            block_on(kv.set("last_command", "pong")).unwrap();
            block_on(kv.close()).unwrap();
            let found = fs::read_to_string(&path).unwrap();
            let expected = fs::read_to_string(golden.join(format!("{name}.after.json"))).unwrap();
            assert_eq!(found, expected, "{name}");
            assert_eq!(names(&path), ["state.json"], "{name}");
        }
    }
}

#[test]
fn what_was_dropped_is_logged() {
    for name in ["torn", "torn_group"] {
        let (_directory, path) = state_file();
        copy_with_journal(name, &path);
        collect_log();
        block_on(AioKv::new(&path).unwrap().entry("a")).unwrap();
        let journal = format!("`{}`", journal_of(&path).display());
        let log = LOG.lock().unwrap();
        let about_it = log.iter().filter(|message| message.contains(&journal));
        let about_it = Vec::from_iter(about_it);
        assert_eq!(about_it.len(), 1, "{about_it:?}");
        assert!(about_it[0].contains("after the line with the number 2"), "{about_it:?}");
    }
}

/// Puts a checked-in file and its journal at this path.
fn copy_with_journal(name: &str, path: &Path) {
    let golden = directory().join("journal");
    fs::copy(golden.join(format!("{name}.before.json")), path).unwrap();
    fs::copy(golden.join(format!("{name}.journal")), journal_of(path)).unwrap();
}

/// What was logged since [`collect_log`], by all tests.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn collect_log() {
    struct Collector;
    impl log::Log for Collector {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }

        fn log(&self, record: &log::Record) {
            LOG.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}
