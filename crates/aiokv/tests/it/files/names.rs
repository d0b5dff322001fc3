//! Which names a store may have, and where nothing can be created.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use aiokv::{AioKv, Error, Journal, Options};
use pollster::block_on;

use crate::support::state_file::{names, open_alone, state_file};

/// The names of the journal and of the temporary file are longer than that of the file, and the
/// longest ones were too long for the file system: the first write of such a store failed or, with
/// a journal, the second.
#[test]
fn every_name_that_can_hold_the_file_can_hold_a_store() {
    let (directory, _) = state_file();
    let ways = [Journal::Always, Journal::Never];
    for name in (1..=255).map(|length| "n".repeat(length)).chain((1..=127).map(|it| "ä".repeat(it)))
    {
        let path = directory.path().join(&name);
        for journal in ways {
            let options = Options::default().journal(journal).fsync(false).checkpoint_pace(0);
            let kv = open_alone(&path, options);
            for number in 0..3 {
                block_on(kv.set("a", &number)).unwrap();
            }
            let others = names(&path).into_iter().filter(|other| *other != name).count();
            assert_eq!(others, usize::from(journal == Journal::Always), "{name}");
            block_on(kv.close()).unwrap();
            assert_eq!(block_on(kv.get("a")).unwrap(), Some(2), "{name}");
            assert_eq!(names(&path), [&*name]);
            block_on(kv.clear()).unwrap();
        }
    }
}

#[test]
fn long_names_that_differ_only_at_the_end_are_different_stores() {
    let (directory, _) = state_file();
    let options = || Options::default().journal(Journal::Always).checkpoint_pace(0);
    let stores = ["a", "b"].map(|end| {
        let kv = open_alone(&directory.path().join("n".repeat(254) + end), options());
        block_on(kv.set("end", end)).unwrap();
        block_on(kv.set("end", end)).unwrap();
        kv
    });
    assert_eq!(names(&directory.path().join("any")).len(), 4);
    for (kv, end) in stores.iter().zip(["a", "b"]) {
        assert_eq!(block_on(kv.get("end")).unwrap(), Some(end.to_owned()));
    }
}

fn require_refused(path: &Path) -> String {
    let kv = AioKv::new(path).unwrap();
    let error = block_on(kv.set("a", &1)).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(block_on(kv.set("a", &1)).unwrap_err().to_string(), error.to_string());
    error.to_string()
}

/// Below `/proc`, creating a directory answers that there is no such directory, although its parent
/// is there. So the parent was created again and again, for ever.
#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_cannot_be_created_is_an_error_at_once() {
    for path in ["/proc/aiokv/state.json", "/proc/aiokv/one/two/state.json"] {
        let message = require_refused(Path::new(path));
        assert!(message.contains("/proc/aiokv"), "{message}");
        assert_eq!(block_on(AioKv::new(path).unwrap().get::<u64>("a")).unwrap(), None);
    }
}

/// A disk that is not mounted leaves a link into nothing. The directory behind it was created, and
/// hid what was on the disk once that was there again.
#[test]
fn nothing_is_created_behind_a_dangling_link_to_a_directory() {
    let (directory, _) = state_file();
    let missing = directory.path().join("missing");
    let link = directory.path().join("link");
    symlink(&missing, &link).unwrap();
    let relative = directory.path().join("relative");
    symlink("missing/deeper", &relative).unwrap();
    let file = directory.path().join("file.json");
    symlink(missing.join("state.json"), &file).unwrap();
    let cases: [(PathBuf, &Path); 4] = [
        (link.join("state.json"), &link),
        (link.join("one/two/state.json"), &link),
        (relative.join("state.json"), &relative),
        (file.clone(), &file),
    ];
    for (path, named) in cases {
        let message = require_refused(&path);
        assert!(message.contains(&format!("`{}`", named.display())), "{message}");
        let error = block_on(AioKv::new(&path).unwrap().get::<u64>("a")).unwrap_err();
        assert!(
            matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound),
            "{error}"
        );
        assert!(!missing.exists());
    }
    // Once it is there, it is used.
    fs::create_dir_all(missing.join("deeper")).unwrap();
    let kv = AioKv::new(link.join("one/two/state.json")).unwrap();
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!(names(&missing.join("one/two/state.json")), ["state.json"]);
    block_on(AioKv::new(&file).unwrap().set("a", &1)).unwrap();
    assert!(missing.join("state.json").exists());
    assert!(file.is_symlink());
}

/// A link to a file that is missing in a directory that is there is followed.
#[test]
fn a_link_stays_a_link_and_its_target_is_replaced() {
    for journal in [Journal::Always, Journal::Never] {
        let (_directory, target) = state_file();
        let (_other_directory, link) = state_file();
        symlink(&target, &link).unwrap();
        let kv = open_alone(&link, Options::default().journal(journal).checkpoint_pace(0));
        for number in 0..3 {
            block_on(kv.set("a", &number)).unwrap();
            assert_eq!(names(&link), ["state.json"], "everything is beside the target");
        }
        block_on(kv.close()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(names(&target), ["state.json"]);
        assert_eq!(block_on(open_alone(&target, Options::default()).get("a")).unwrap(), Some(2));
    }
}
