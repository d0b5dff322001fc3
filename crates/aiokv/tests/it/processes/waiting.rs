//! Waiting for the lock of the file.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use aiokv::{AioKv, Error, Options};
use pollster::block_on;

use super::start_worker;
use crate::support::requests::{Request, submit};
use crate::support::start::start;
use crate::support::state_file::{journal_of, names, open, open_alone, options, state_file};
use crate::support::worker::{self, Worker};

/// Starts a process that holds a lock of the file.
fn start_lock_holder(path: &Path, kind: &str) -> Worker {
    let mut holder = start_worker("waiting::hold_the_lock", path, [kind]);
    holder.expect("locked");
    holder
}

#[test]
#[ignore = "a process of the tests of waiting"]
fn hold_the_lock() {
    let Some([path, kind]) = worker::arguments() else { return };
    let file = File::open(path).unwrap();
    match kind.as_str() {
        "shared" => file.lock_shared().unwrap(),
        _ => file.lock().unwrap(),
    }
    worker::report("locked");
    worker::wait_for_parent();
}

#[test]
fn a_change_gives_up_after_the_lock_timeout_and_says_who_holds_the_lock() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let mut holder = start_lock_holder(&path, "exclusive");
    let timeout = Duration::from_millis(50);
    let kv = AioKv::with_options(&path, Options::default().lock_timeout(timeout)).unwrap();
    for operation in [start(kv.set("a", &2)), start(kv.delete("a")), start(kv.clear())] {
        let error = block_on(operation).unwrap_err();
        let Error::Locked { path: locked, waited, holder: id } = &error else {
            panic!("{error}");
        };
        assert_eq!((locked, *waited, *id), (&path, timeout, Some(holder.id())));
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains(&format!("process {}", holder.id())), "{message}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 1}");
    holder.go_on();
    holder.finish();
    block_on(kv.set("a", &2)).unwrap();
    assert_eq!(names(&path), ["state.json"]);
}

#[test]
fn reads_of_an_unchanged_state_go_on_while_a_change_waits_for_the_lock() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1, \"b\": 2}").unwrap();
    let kv = open(&path);
    assert_eq!(block_on(kv.get("b")).unwrap(), Some(2));
    let mut holder = start_lock_holder(&path, "exclusive");
    let change = start(kv.set("a", &3));
    assert_eq!(block_on(kv.get("b")).unwrap(), Some(2));
    assert_eq!(block_on(kv.get::<u64>("c")).unwrap(), None);
    assert_eq!(block_on(open(&path).get("b")).unwrap(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 1, \"b\": 2}");
    // A read of the key that is being changed comes after the change.
    let read = start(kv.get("a"));
    holder.go_on();
    assert_eq!(block_on(read).unwrap(), Some(3));
    block_on(change).unwrap();
    holder.finish();
}

#[test]
fn a_read_that_has_to_look_at_the_file_waits_for_who_is_changing_it() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let knows_the_file = open_alone(&path, Options::default());
    assert_eq!(block_on(knows_the_file.get("a")).unwrap(), Some(1));
    let newcomer = open_alone(&path, Options::default());
    let mut holder = start_lock_holder(&path, "exclusive");
    fs::write(&path, "{\"a\": 22}").unwrap();
    let reads = [&knows_the_file, &newcomer].map(|kv| start(kv.get("a")));
    holder.go_on();
    assert_eq!(reads.map(|read| block_on(read).unwrap()), [Some(22); 2]);
    holder.finish();
}

#[test]
fn a_read_gives_up_after_the_lock_timeout_and_says_who_holds_the_lock() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let timeout = Duration::from_millis(50);
    let open = || open_alone(&path, Options::default().lock_timeout(timeout));
    let knows_the_file = open();
    assert_eq!(block_on(knows_the_file.get("a")).unwrap(), Some(1));
    let mut holder = start_lock_holder(&path, "exclusive");
    assert_eq!(block_on(knows_the_file.get("a")).unwrap(), Some(1));
    fs::write(&path, "{\"a\": 22}").unwrap();
    for kv in [knows_the_file.clone(), open()] {
        let outcomes = [
            block_on(kv.get::<u64>("a")).map(drop),
            block_on(kv.get_all::<u64>()).map(drop),
            block_on(kv.set("b", &1)),
        ];
        for error in outcomes.map(Result::unwrap_err) {
            assert!(
                matches!(error, Error::Locked { holder: id, .. } if id == Some(holder.id())),
                "{error}"
            );
        }
    }
    holder.go_on();
    holder.finish();
    assert_eq!(block_on(knows_the_file.get("a")).unwrap(), Some(22));
}

#[test]
fn reads_do_not_wait_for_each_other_but_a_change_waits_for_a_read() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let mut holder = start_lock_holder(&path, "shared");
    let kv = open(&path);
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(1));
    let impatient = open_alone(&path, Options::default().lock_timeout(Duration::ZERO));
    assert!(matches!(block_on(impatient.set("a", &2)), Err(Error::Locked { .. })));
    let change = start(kv.set("a", &3));
    holder.go_on();
    block_on(change).unwrap();
    holder.finish();
}

/// Closing waits for a checkpoint. An engine that every store had let go of ended as soon as another
/// process was in its way, and left the store that was being closed without an answer.
#[test]
fn closing_ends_well_although_everybody_has_let_go_of_the_store() {
    for _ in 0..10 {
        let (_directory, path) = state_file();
        let kv = open_alone(&path, options("append"));
        block_on(kv.set("a", &1)).unwrap();
        block_on(kv.set("b", &2)).unwrap();
        assert!(journal_of(&path).exists());
        let mut holder = start_lock_holder(&path, "exclusive");
        let closed = submit(&kv, &Request::Close).unwrap();
        drop(kv);
        holder.go_on();
        closed.recv().unwrap().unwrap();
        holder.finish();
        assert_eq!(names(&path), ["state.json"]);
    }
}

#[test]
fn a_killed_lock_holder_blocks_nobody() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let mut holder = start_lock_holder(&path, "exclusive");
    let kv = open(&path);
    let change = start(kv.set("a", &2));
    holder.kill();
    block_on(change).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
}
