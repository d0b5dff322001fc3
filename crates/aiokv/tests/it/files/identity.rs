//! The name decides which file is meant, and every edit of it is seen.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aiokv::Error;
use aiokv::binding::Disk;
use aiokv::binding::storage::{Access, Storage};
use pollster::block_on;

use crate::support::options::appending;
use crate::support::state_file::{journal_of, names, open, open_alone, options, state_file};

/// A store looked at the file that it had open, and saw whether that had lost its last name. Moved
/// away it had not, so the store went on answering from a backup.
#[test]
fn a_file_that_was_moved_away_is_no_more_the_file() {
    let (_directory, path) = state_file();
    let backup = path.with_file_name("backup.json");
    let kv = open(&path);
    block_on(kv.set("a", &1)).unwrap();
    fs::rename(&path, &backup).unwrap();
    assert_eq!(block_on(kv.get::<u64>("a")).unwrap(), None);
    fs::write(&path, "{\"a\": 2}").unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
    fs::write(&backup, "{\"a\": 3}").unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
    block_on(kv.set("b", &4)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 2,\n  \"b\": 4\n}\n");
    assert_eq!(fs::read_to_string(&backup).unwrap(), "{\"a\": 3}");
}

#[test]
fn the_narrow_looks_say_the_same_as_all_the_metadata() {
    let (_directory, path) = state_file();
    fs::write(&path, "{}").unwrap();
    let link = path.with_file_name("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let file = Disk.open(&path, Access::Read).unwrap();
    for path in [&path, &link] {
        assert_eq!(Disk.identity(path).unwrap(), Disk.metadata(path).unwrap().identity());
    }
    assert_eq!(Disk.identity(&path).unwrap(), file.metadata().unwrap().identity());
    assert_ne!(Disk.identity(&path).unwrap(), Disk.identity(&link).unwrap());
    assert!(file.has_name().unwrap());
    fs::remove_file(&path).unwrap();
    assert!(!file.has_name().unwrap());
    assert_eq!(Disk.identity(&path).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

/// With a second name, made by `ln` or `cp -al`, the file that was replaced had one left, and
/// reads went on seeing it.
#[test]
fn a_file_with_a_second_name_is_the_file_until_it_is_replaced() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        let backup = path.with_file_name("backup.json");
        let kv = open_alone(&path, options(way));
        let other = open_alone(&path, options("replace"));
        block_on(kv.set("a", &1)).unwrap();
        fs::hard_link(&path, &backup).unwrap();
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
        block_on(other.set("a", &2)).unwrap();
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
        fs::write(&backup, "{\"a\": 3}").unwrap();
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
        block_on(kv.set("b", &4)).unwrap();
        block_on(kv.close()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 2,\n  \"b\": 4\n}\n");
        assert_eq!(fs::read_to_string(&backup).unwrap(), "{\"a\": 3}");
    }
}

/// The link was made after the file had been looked at, and then the file was replaced by one
/// that an editor wrote.
#[test]
fn a_file_that_is_replaced_right_after_it_got_a_second_name_is_read_again() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
    fs::hard_link(&path, path.with_file_name("backup.json")).unwrap();
    let new = path.with_file_name("new.json");
    fs::write(&new, "{\"a\": 2}").unwrap();
    fs::rename(new, &path).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
}

/// Writes to a file and gives it back its time of modification, as `rsync -t` and `touch -r` do.
fn edit_without_a_trace(path: &Path, content: &str) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), content.len() as u64);
    fs::write(path, content).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    let changed = |metadata: &fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
    loop {
        // Where the clock of the file system ticks slowly, the change has to come a tick later.
        file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
        let after = fs::metadata(path).unwrap();
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        if changed(&after) != changed(&before) {
            return;
        }
    }
}

/// Size and time of modification said that nothing had changed, so what was edited was neither seen
/// nor kept.
#[test]
fn an_edit_that_leaves_size_and_time_as_they_were_is_seen_and_kept() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        fs::write(&path, "{\"a\": 1}").unwrap();
        let kv = open_alone(&path, options(way));
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
        edit_without_a_trace(&path, "{\"a\": 2}");
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
        edit_without_a_trace(&path, "{\"a\": 3}");
        block_on(kv.set("b", &4)).unwrap();
        block_on(kv.close()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 3,\n  \"b\": 4\n}\n");
    }
}

#[test]
fn such_an_edit_beside_a_journal_is_an_error_that_says_what_to_do() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let kv = open_alone(&path, appending());
    block_on(kv.set("b", &2)).unwrap();
    let journal = fs::read(journal_of(&path)).unwrap();
    edit_without_a_trace(&path, "{\"a\": 9}");
    let errors = [
        block_on(kv.get::<u64>("a")).unwrap_err(),
        block_on(kv.set("b", &3)).unwrap_err(),
        block_on(kv.checkpoint()).unwrap_err(),
        block_on(kv.close()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        let message = error.to_string();
        // Whoever edits the file needs to know how to do it the next time.
        let remedy = format!("run `aiokv checkpoint {}` before you edit the file", path.display());
        assert!(message.contains(&remedy), "{message}");
        assert!(message.contains("remove the journal"), "{message}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 9}");
    assert_eq!(fs::read(journal_of(&path)).unwrap(), journal);
    edit_without_a_trace(&path, "{\"a\": 1}");
    block_on(kv.set("b", &3)).unwrap();
    block_on(kv.close()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 1,\n  \"b\": 3\n}\n");
    assert_eq!(names(&path), ["state.json"]);
}
