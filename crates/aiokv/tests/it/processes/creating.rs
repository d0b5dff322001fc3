//! Creating the file: whoever comes second waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aiokv::{AioKv, Error, Options};
use pollster::block_on;

use super::{TEMPORARY, start_worker};
use crate::support::hooked_disk::{HookedDisk, Moment};
use crate::support::start::start;
use crate::support::state_file::{names, open, state_file};
use crate::support::worker::{self, Worker};

#[test]
fn processes_that_create_the_file_at_once_lose_nothing() {
    for _ in 0..20 {
        let (_directory, path) = state_file();
        let path = path.with_file_name("missing").join("state.json");
        let mut workers =
            ["a", "b", "c"].map(|key| start_worker("creating::set_once", &path, [key]));
        workers.iter_mut().for_each(|worker| worker.expect("ready"));
        workers.iter_mut().for_each(Worker::go_on);
        workers.iter_mut().for_each(Worker::finish);
        let mut entries = block_on(open(&path).get_all::<u64>()).unwrap();
        entries.sort();
        assert_eq!(entries, ["a", "b", "c"].map(|key| (key.to_owned(), 1)));
        assert_eq!(names(&path), ["state.json"]);
    }
}

#[test]
#[ignore = "a process of `processes_that_create_the_file_at_once_lose_nothing`"]
fn set_once() {
    let Some([path, key]) = worker::arguments() else { return };
    let kv = open(path.as_ref());
    worker::report("ready");
    worker::wait_for_parent();
    block_on(kv.set(&key, &1)).unwrap();
}

/// Starts a process that sets `b` and stops right before it renames its temporary file.
pub(super) fn start_stopping_writer(path: &Path) -> Worker {
    let mut writer = start_worker("creating::stop_before_the_rename", path, []);
    writer.expect("about to rename");
    assert!(names(path).contains(&TEMPORARY.to_owned()));
    writer
}

#[test]
#[ignore = "a process of the tests that stop a writer"]
fn stop_before_the_rename() {
    let Some([path]) = worker::arguments() else { return };
    let disk = HookedDisk::new(|moment| {
        if matches!(moment, Moment::BeforeRename | Moment::BeforeRenameNew) {
            worker::report("about to rename");
            worker::wait_for_parent();
        }
    });
    let kv = AioKv::with_storage(path, Options::default(), disk).unwrap();
    block_on(kv.set("b", &2)).unwrap();
}

#[test]
fn a_creator_waits_for_another_one() {
    let (_directory, path) = state_file();
    let mut writer = start_stopping_writer(&path);
    let timeout = Duration::from_millis(50);
    let impatient = AioKv::with_options(&path, Options::default().lock_timeout(timeout)).unwrap();
    let error = block_on(impatient.set("a", &1)).unwrap_err();
    assert!(
        matches!(error, Error::Locked { holder, .. } if holder == Some(writer.id())),
        "{error}"
    );
    let kv = open(&path);
    let change = start(kv.set("a", &1));
    assert_eq!(block_on(kv.get::<u64>("b")).unwrap(), None);
    writer.go_on();
    block_on(change).unwrap();
    writer.finish();
    let content = "{\n  \"b\": 2,\n  \"a\": 1\n}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
    assert_eq!(names(&path), ["state.json"]);
}
