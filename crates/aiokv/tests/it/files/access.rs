//! Who may read and write the file, and its journal.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use aiokv::{AioKv, Error};
use pollster::block_on;

use crate::support::state_file::{journal_of, names, open_alone, options, state_file};
use crate::support::worker::{self, OTHER_GROUP, UNPRIVILEGED, Worker, is_root};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Runs an ignored test of this module as a user who may not do everything. If that is not possible
/// here, says so.
fn run_unprivileged<const COUNT: usize>(test: &str, path: &Path, arguments: [&str; COUNT]) {
    let directory = path.parent().unwrap();
    if is_root() {
        chown(directory, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    }
    let arguments = [&[path.to_str().unwrap()], &arguments[..]].concat();
    match Worker::start_unprivileged(&format!("files::access::{test}"), &arguments) {
        Some(mut worker) => {
            worker.expect("done");
            worker.finish();
        }
        None => eprintln!("skipped {test}: it needs `setpriv` and a directory that all may enter"),
    }
}

fn require_refused(outcome: aiokv::Result<()>, path: &Path) {
    match outcome {
        Err(Error::Io { path: refused, source, .. }) => {
            assert_eq!((source.kind(), &*refused), (ErrorKind::PermissionDenied, path));
        }
        other => panic!("{other:?}"),
    }
}

/// The directory allows to replace the file, so a file that was made read-only was replaced; later
/// it was refused only as long as the store had not got the file open for writing.
#[test]
fn a_file_that_may_not_be_written_is_not_replaced() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        run_unprivileged("write_to_a_read_only_file", &path, [way]);
    }
}

#[test]
#[ignore = "a process of `a_file_that_may_not_be_written_is_not_replaced`"]
fn write_to_a_read_only_file() {
    let Some([path, way]) = worker::arguments() else { return };
    let path = Path::new(&path);
    // With a store that has written the file before, and with one that has not.
    for knows_the_file in [true, false] {
        let kv = open_alone(path, options(&way));
        if knows_the_file {
            block_on(kv.set("a", &1)).unwrap();
            block_on(kv.checkpoint()).unwrap();
        }
        let before = fs::read(path).unwrap();
        for mode in [0o444, 0o400] {
            set_mode(path, mode);
            for _ in 0..3 {
                require_refused(block_on(kv.set("a", &2)), path);
                assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
                require_refused(block_on(kv.delete("a")), path);
            }
            assert_eq!(fs::read(path).unwrap(), before);
            assert_eq!(names(path), ["state.json"]);
        }
        set_mode(path, 0o644);
        block_on(kv.set("a", &1)).unwrap();
        block_on(kv.close()).unwrap();
    }
    worker::report("done");
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_and_stays() {
    let (_directory, path) = state_file();
    run_unprivileged("read_a_secret_file", &path, []);
}

#[test]
#[ignore = "a process of `a_file_that_may_not_be_read_is_an_error_and_stays`"]
fn read_a_secret_file() {
    let Some([path]) = worker::arguments() else { return };
    let path = Path::new(&path);
    fs::write(path, "{\"a\": 1}").unwrap();
    set_mode(path, 0);
    let kv = AioKv::new(path).unwrap();
    for _ in 0..2 {
        require_refused(block_on(kv.get::<u64>("a")).map(drop), path);
        require_refused(block_on(kv.set("a", &2)), path);
    }
    set_mode(path, 0o600);
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
    worker::report("done");
}

/// Owner and group were set together, so where the owner could not be kept, the group was lost too,
/// and with it the access of those who share the file.
#[test]
fn the_group_is_kept_where_the_owner_cannot_be() {
    if !is_root() {
        eprintln!("skipped: only root can give a file to somebody else");
        return;
    }
    for mode in [0o660, 0o664, 0o670] {
        let (_directory, path) = state_file();
        fs::write(&path, "{\"a\": 1}").unwrap();
        chown(&path, Some(0), Some(OTHER_GROUP)).unwrap();
        set_mode(&path, mode);
        // The process is a member of that group.
        let expected = [UNPRIVILEGED, OTHER_GROUP, mode].map(|number| number.to_string());
        run_unprivileged("change_the_file_of_another", &path, expected.each_ref().map(|it| &**it));
    }
}

/// A group that could not be kept left its bits to the group of the process, and made of its
/// members others.
#[test]
fn where_the_group_cannot_be_kept_nobody_may_read_more_than_before() {
    if !is_root() {
        eprintln!("skipped: only root can give a file to somebody else");
        return;
    }
    // Members of the new group were others before; members of the old one are others now.
    for (before, after) in [(0o666, 0o666), (0o676, 0o666), (0o646, 0o644), (0o606, 0o600)] {
        let (_directory, path) = state_file();
        fs::write(&path, "{\"a\": 1}").unwrap();
        chown(&path, Some(0), Some(0)).unwrap();
        set_mode(&path, before);
        let expected = [UNPRIVILEGED, UNPRIVILEGED, after].map(|number| number.to_string());
        run_unprivileged("change_the_file_of_another", &path, expected.each_ref().map(|it| &**it));
    }
}

#[test]
#[ignore = "a process of the tests of owner and group"]
fn change_the_file_of_another() {
    let Some([path, owner, group, expected_mode]) = worker::arguments() else { return };
    let path = Path::new(&path);
    let kv = AioKv::new(path).unwrap();
    block_on(kv.set("a", &2)).unwrap();
    let metadata = fs::metadata(path).unwrap();
    let found = [metadata.uid(), metadata.gid(), mode(path)].map(|number| number.to_string());
    assert_eq!(found, [owner, group, expected_mode]);
    worker::report("done");
}

#[test]
fn mode_owner_and_group_stay_when_the_file_is_replaced() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        fs::write(&path, "{\"a\": 1}").unwrap();
        if is_root() {
            chown(&path, Some(UNPRIVILEGED), Some(OTHER_GROUP)).unwrap();
        }
        set_mode(&path, 0o640);
        let before = fs::metadata(&path).unwrap();
        let kv = open_alone(&path, options(way));
        block_on(kv.set("a", &2)).unwrap();
        let journal = Some(journal_of(&path)).filter(|journal| journal.exists());
        assert_eq!(journal.is_some(), way == "append");
        for path in [Some(&path), journal.as_ref()].into_iter().flatten() {
            let after = fs::metadata(path).unwrap();
            assert_eq!(
                (after.mode(), after.uid(), after.gid()),
                (before.mode(), before.uid(), before.gid())
            );
        }
        block_on(kv.close()).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
    }
}

/// `chmod 600` hid the file, but not the changes in the journal beside it, for as long as that was
/// appended to.
#[test]
fn the_journal_follows_the_permissions_of_the_file_with_the_next_change() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    set_mode(&path, 0o644);
    let kv = open_alone(&path, options("append"));
    let other = open_alone(&path, options("append"));
    block_on(kv.set("a", &2)).unwrap();
    assert_eq!(block_on(other.get("a")).unwrap(), Some(2));
    for (number, new_mode) in [0o600, 0o640, 0o604, 0o600].into_iter().enumerate() {
        set_mode(&path, new_mode);
        // The one that made the journal, and one that only read it.
        let kv = if number % 2 == 0 { &kv } else { &other };
        block_on(kv.set("b", &number)).unwrap();
        assert_eq!(mode(&path), new_mode);
        assert_eq!(mode(&journal_of(&path)), new_mode);
    }
    if is_root() {
        chown(&path, Some(UNPRIVILEGED), Some(OTHER_GROUP)).unwrap();
        block_on(kv.set("b", &9)).unwrap();
        let journal = fs::metadata(journal_of(&path)).unwrap();
        assert_eq!((journal.uid(), journal.gid()), (UNPRIVILEGED, OTHER_GROUP));
    }
    block_on(kv.close()).unwrap();
    block_on(other.close()).unwrap();
    assert_eq!(names(&path), ["state.json"]);
    assert_eq!(mode(&path), 0o600);
}
