//! What another user puts beside the file, in a directory such as `/tmp`: it neither changes what
//! the store holds nor receives what it writes.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use aiokv::Error;
use pollster::block_on;
use tempfile::TempDir;

use crate::support::state_file::{journal_of, names, open_alone, options, state_file};
use crate::support::worker::{OTHER_GROUP, UNPRIVILEGED, is_root};

const CONTENT: &str = "{\"a\": 1}";

/// A file, and elsewhere a journal that continues it.
fn file_and_a_journal_for_it() -> (TempDir, PathBuf, Vec<u8>) {
    let (directory, path) = state_file();
    fs::write(&path, CONTENT).unwrap();
    let kv = open_alone(&path, options("append"));
    block_on(kv.set("planted", &1)).unwrap();
    let journal = fs::read(journal_of(&path)).unwrap();
    drop(kv);
    let (fresh, fresh_path) = state_file();
    fs::write(&fresh_path, CONTENT).unwrap();
    drop(directory);
    (fresh, fresh_path, journal)
}

/// Checks that the journal at this path is refused, whatever the store is asked for, and that
/// nothing changes until the user has removed it.
fn require_refused(path: &Path) {
    let journal = journal_of(path);
    let before = fs::read(&journal).unwrap();
    for way in ["replace", "append"] {
        let kv = open_alone(path, options(way));
        let outcomes = [
            block_on(kv.get::<u64>("a")).map(drop),
            block_on(kv.get_all::<u64>()).map(drop),
            block_on(kv.set("a", &2)),
            block_on(kv.delete("a")),
            block_on(kv.checkpoint()),
            // It needs no readable file, but the journal may be sound and of a user whose changes
            // were refused by mistake. If only the file went, it would be a journal without one.
            block_on(kv.clear()),
        ];
        for outcome in outcomes {
            let Err(Error::Io { path: refused, source, .. }) = &outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!((source.kind(), refused), (ErrorKind::PermissionDenied, &journal));
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains("remove it"), "{message}");
        }
    }
    assert_eq!(fs::read_to_string(path).unwrap(), CONTENT);
    assert_eq!(fs::read(&journal).unwrap(), before);
    fs::remove_file(&journal).unwrap();
    let kv = open_alone(path, options("append"));
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
    block_on(kv.set("a", &2)).unwrap();
    block_on(kv.close()).unwrap();
    assert_eq!(names(path), ["state.json"]);
}

#[test]
fn a_journal_that_is_a_link_is_refused() {
    let (_directory, path, journal) = file_and_a_journal_for_it();
    let (other_directory, _) = state_file();
    let planted = other_directory.path().join("planted");
    fs::write(&planted, &journal).unwrap();
    symlink(&planted, journal_of(&path)).unwrap();
    require_refused(&path);
    assert_eq!(fs::read(&planted).unwrap(), journal);
}

#[test]
fn a_journal_of_another_user_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a file to somebody else");
        return;
    }
    let (_directory, path, journal) = file_and_a_journal_for_it();
    fs::write(journal_of(&path), journal).unwrap();
    chown(journal_of(&path), Some(UNPRIVILEGED), None).unwrap();
    require_refused(&path);
}

#[test]
fn a_journal_that_more_users_may_write_than_the_file_is_refused() {
    for mode in [0o664, 0o646, 0o622] {
        let (_directory, path, journal) = file_and_a_journal_for_it();
        fs::write(journal_of(&path), journal).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(journal_of(&path), Permissions::from_mode(mode)).unwrap();
        require_refused(&path);
    }
}

#[test]
fn a_journal_that_another_group_may_write_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a file to any group");
        return;
    }
    let (_directory, path, journal) = file_and_a_journal_for_it();
    fs::write(journal_of(&path), journal).unwrap();
    for file in [&path, &journal_of(&path)] {
        fs::set_permissions(file, Permissions::from_mode(0o664)).unwrap();
    }
    chown(journal_of(&path), None, Some(OTHER_GROUP)).unwrap();
    require_refused(&path);
}

/// A journal that is as open as its file is the journal of that file.
#[test]
fn a_journal_that_the_same_users_may_write_is_used() {
    let (_directory, path, journal) = file_and_a_journal_for_it();
    fs::write(journal_of(&path), journal).unwrap();
    for file in [&path, &journal_of(&path)] {
        fs::set_permissions(file, Permissions::from_mode(0o664)).unwrap();
    }
    let kv = open_alone(&path, options("append"));
    assert_eq!(block_on(kv.get("planted")).unwrap(), Some(1));
}

/// The temporary file was recognized by its name alone. A hard link of the state file under that
/// name was locked whenever the file was, so every write took it for the work of another process.
#[test]
fn what_bears_the_name_of_the_temporary_file_does_not_block_writes() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        fs::write(&path, CONTENT).unwrap();
        let temporary = path.with_file_name(".state.json.aiokv-tmp");
        let (other_directory, _) = state_file();
        let target = other_directory.path().join("target");
        fs::write(&target, "keep me").unwrap();
        let kv = open_alone(&path, options(way));
        let plants: [&dyn Fn(); 4] = [
            &|| fs::hard_link(&path, &temporary).unwrap(),
            &|| symlink(&target, &temporary).unwrap(),
            &|| symlink(other_directory.path().join("missing"), &temporary).unwrap(),
            &|| fs::write(&temporary, "left by somebody").unwrap(),
        ];
        for (number, plant) in plants.into_iter().enumerate() {
            plant();
            block_on(kv.set("a", &number)).unwrap();
            block_on(kv.checkpoint()).unwrap();
            assert_eq!(names(&path), ["state.json"]);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{{\n  \"a\": {number}\n}}\n"));
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "keep me");
        assert_eq!(names(&target), ["target"]);
    }
}
