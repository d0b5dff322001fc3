//! Several processes on one file: waiting for each other, seeing each other's changes and
//! surviving each other's deaths.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

#[path = "support/hooked_disk.rs"]
mod hooked_disk;
#[path = "support/random.rs"]
mod random;
#[path = "support/start.rs"]
mod start;
#[path = "support/state_file.rs"]
mod state_file;
#[path = "support/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aiokv::{AioKv, Error, Options};
use hooked_disk::{HookedDisk, Moment};
use pollster::block_on;
use random::Random;
use start::start;
use state_file::{WAYS, journal_of, names, open, open_alone, options, state_file};
use worker::Worker;

fn start_worker<const COUNT: usize>(test: &str, path: &Path, arguments: [&str; COUNT]) -> Worker {
    Worker::start(test, &[&[path.to_str().unwrap()], &arguments[..]].concat())
}

const TEMPORARY: &str = ".state.json.aiokv-tmp";
const JOURNAL_TEMPORARY: &str = ".state.json.journal.aiokv-tmp";

// --- Waiting for the lock ---

/// Starts a process that holds the lock of the file.
fn start_lock_holder(path: &Path) -> Worker {
    let mut holder = start_worker("hold_the_lock", path, []);
    holder.expect("locked");
    holder
}

#[test]
#[ignore = "a process of the tests of waiting"]
fn hold_the_lock() {
    let Some([path]) = worker::arguments() else { return };
    let file = File::open(path).unwrap();
    file.lock().unwrap();
    worker::report("locked");
    worker::wait_for_parent();
}

#[test]
fn a_change_gives_up_after_the_lock_timeout_and_says_who_holds_the_lock() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let mut holder = start_lock_holder(&path);
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
fn reads_go_on_while_a_change_waits_for_the_lock() {
    for is_loaded in [false, true] {
        let (_directory, path) = state_file();
        fs::write(&path, "{\"a\": 1, \"b\": 2}").unwrap();
        let kv = open(&path);
        if is_loaded {
            assert_eq!(block_on(kv.get("b")).unwrap(), Some(2));
        }
        let mut holder = start_lock_holder(&path);
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
}

/// Closing waits until the journal is folded. An engine that everybody had let go of ended as soon
/// as another process was in its way, and left whoever was closing without an answer.
#[test]
fn closing_ends_well_although_everybody_has_let_go_of_the_store() {
    for _ in 0..10 {
        let (_directory, path) = state_file();
        let kv = open_alone(&path, options("append"));
        block_on(kv.set("a", &1)).unwrap();
        block_on(kv.set("b", &2)).unwrap();
        assert!(journal_of(&path).exists());
        let mut holder = start_lock_holder(&path);
        let closed = start(kv.close());
        kv.let_go();
        holder.go_on();
        block_on(closed).unwrap();
        holder.finish();
        assert_eq!(names(&path), ["state.json"]);
    }
}

#[test]
fn a_killed_lock_holder_blocks_nobody() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let mut holder = start_lock_holder(&path);
    let kv = open(&path);
    let change = start(kv.set("a", &2));
    holder.kill();
    block_on(change).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
}

// --- Seeing the changes of others ---

#[test]
fn an_acknowledged_change_of_another_process_is_seen_by_the_next_read() {
    const ROUNDS: u64 = 20;
    for (way, others_way) in WAYS.into_iter().flat_map(|way| WAYS.map(|other| (way, other))) {
        let (_directory, path) = state_file();
        let mut worker = start_worker("count_up", &path, [others_way, &ROUNDS.to_string()]);
        let kv = open_alone(&path, options(way));
        for round in 0..ROUNDS {
            worker.go_on();
            worker.expect(&format!("set {round}"));
            assert_eq!(block_on(kv.get("worker")).unwrap(), Some(round));
            block_on(kv.set("parent", &round)).unwrap();
        }
        worker.finish();
        assert_eq!(block_on(kv.get("parent")).unwrap(), Some(ROUNDS - 1));
        block_on(kv.close()).unwrap();
        assert_eq!(names(&path), ["state.json"], "{way} and {others_way}");
    }
}

#[test]
#[ignore = "a process of `an_acknowledged_change_of_another_process_is_seen_by_the_next_read`"]
fn count_up() {
    let Some([path, way, rounds]) = worker::arguments() else { return };
    let kv = open_alone(path.as_ref(), options(&way));
    for round in 0..rounds.parse::<u64>().unwrap() {
        worker::wait_for_parent();
        let before = round.checked_sub(1);
        assert_eq!(block_on(kv.get("parent")).unwrap(), before);
        block_on(kv.set("worker", &round)).unwrap();
        worker::report(format!("set {round}"));
    }
    block_on(kv.close()).unwrap();
}

#[test]
fn a_change_of_another_process_is_read_without_reading_everything_again() {
    const PAGE_BYTES: u64 = 4096;
    let (_directory, path) = state_file();
    let state = BTreeMap::from_iter((0..10_000).map(|number| (format!("key {number}"), number)));
    fs::write(&path, serde_json::to_vec(&state).unwrap()).unwrap();
    let file_bytes = fs::metadata(&path).unwrap().len();
    let kv = open_alone(&path, options("append"));
    let disk = HookedDisk::new(|_| {});
    let reader = AioKv::with_storage(&path, options("append"), disk.clone()).unwrap();
    let read = || {
        let before = disk.bytes_read();
        let value: Option<u64> = block_on(reader.get("new")).unwrap();
        (value, disk.bytes_read() - before)
    };
    assert_eq!(read(), (None, file_bytes));
    block_on(kv.set("new", &0)).unwrap();
    for round in 1..100_u64 {
        block_on(kv.set("new", &round)).unwrap();
        let (value, bytes) = read();
        assert_eq!(value, Some(round));
        assert!(bytes <= 2 * PAGE_BYTES, "{bytes} bytes of a change");
        let (value, bytes) = read();
        assert_eq!(value, Some(round));
        assert!(bytes <= 1, "{bytes} bytes without a change");
    }
    // This folds the journal.
    block_on(kv.close()).unwrap();
    assert_eq!(names(&path), ["state.json"]);
    let (value, bytes) = read();
    assert_eq!(value, Some(99));
    assert!(bytes <= 2 * PAGE_BYTES, "{bytes} bytes after a fold");
}

#[test]
fn an_edit_is_seen_by_the_next_read_and_is_the_base_of_the_next_change() {
    let edit_in_place = |path: &Path, content: &str| fs::write(path, content).unwrap();
    let replace = |path: &Path, content: &str| {
        let new = path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, path).unwrap();
    };
    for edit in [edit_in_place, replace] {
        let (_directory, path) = state_file();
        let kv = open(&path);
        block_on(kv.set("a", &1)).unwrap();
        edit(&path, "{\"a\": 22, \"b\": 3}");
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(22));
        edit(&path, "{\"a\": 333, \"b\": 3}");
        block_on(kv.set("c", &4)).unwrap();
        let content = "{\n  \"a\": 333,\n  \"b\": 3,\n  \"c\": 4\n}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_removed_file_is_an_empty_store() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set("a", &1)).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(block_on(kv.get::<u64>("a")).unwrap(), None);
    block_on(kv.set("a", &1)).unwrap();
    fs::remove_file(&path).unwrap();
    block_on(kv.set("b", &2)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"b\": 2\n}\n");
}

// --- Creating the file ---

#[test]
fn processes_that_create_the_file_at_once_lose_nothing() {
    for _ in 0..20 {
        let (_directory, path) = state_file();
        let path = path.with_file_name("missing").join("state.json");
        let mut workers = ["a", "b", "c"].map(|key| start_worker("set_once", &path, [key]));
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
fn start_stopping_writer(path: &Path) -> Worker {
    let mut writer = start_worker("stop_before_the_rename", path, []);
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

// --- Surviving the death of others ---

#[test]
fn the_temporary_file_of_a_killed_process_is_removed_by_the_next_writer() {
    for before in [None, Some("{\"a\": 0}")] {
        let (_directory, path) = state_file();
        if let Some(content) = before {
            fs::write(&path, content).unwrap();
        }
        let mut writer = start_stopping_writer(&path);
        let kv = open(&path);
        let change = start(kv.set("a", &1));
        writer.kill();
        block_on(change).unwrap();
        assert_eq!(names(&path), ["state.json"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"a\": 1\n}\n");
    }
}

#[test]
fn clearing_removes_the_temporary_file_of_a_killed_process() {
    let (_directory, path) = state_file();
    start_stopping_writer(&path).kill();
    block_on(open(&path).clear()).unwrap();
    assert_eq!(names(&path), Vec::<String>::new());
}

/// Every change that a process can make to what is on disk.
const WORKS: [&str; 6] =
    ["replace", "begin a journal", "append", "mend a journal", "fold", "clear"];

#[test]
fn a_process_that_is_killed_at_any_call_leaves_everything_or_nothing_of_what_it_did() {
    let mut count = 0;
    for work in WORKS {
        for is_loaded in [false, true] {
            let mut call = 0;
            while kill_before_call(call, work, is_loaded) {
                call += 1;
            }
            assert!(call > 3, "{work} took {call} calls");
            count += call;
        }
    }
    println!("killed at {count} calls");
}

/// Kills a process before a call that it makes, and goes on in this one, which knows the file
/// already or opens it only then. Says whether there was such a call.
fn kill_before_call(call: usize, work: &str, is_loaded: bool) -> bool {
    let place = format!("{work}, killed before call {call}, is_loaded: {is_loaded}");
    let (_directory, path) = state_file();
    let mut worker = start_worker("stop_before_a_call", &path, [work, &call.to_string()]);
    worker.expect("ready");
    let kv = open_alone(&path, options("append"));
    let read = || BTreeMap::<String, u64>::from_iter(block_on(kv.get_all()).unwrap());
    let before = read();
    if !is_loaded {
        block_on(kv.close()).unwrap();
    }
    worker.go_on();
    let report = worker.report().unwrap();
    worker.kill();
    let found = read();
    let after = match work {
        "clear" => BTreeMap::new(),
        "fold" => before.clone(),
        _ => BTreeMap::from_iter(before.clone().into_iter().chain([("new".to_owned(), 1)])),
    };
    let is_stopped = report == "about to call";
    assert!(found == after || (is_stopped && found == before), "{found:?}: {place}");
    block_on(kv.set("next", &2)).unwrap();
    let next = BTreeMap::from_iter(found.into_iter().chain([("next".to_owned(), 2)]));
    assert_eq!(read(), next, "{place}");
    assert!(!names(&path).contains(&JOURNAL_TEMPORARY.to_owned()), "{place}");
    block_on(kv.close()).unwrap();
    assert_eq!(names(&path), ["state.json"], "{place}");
    assert_eq!(read(), next, "{place}");
    is_stopped
}

#[test]
#[ignore = "a process of the test of being killed at any call"]
fn stop_before_a_call() {
    let Some([path, work, call]) = worker::arguments() else { return };
    let path = Path::new(&path);
    let call: usize = call.parse().unwrap();
    let calls = AtomicUsize::new(0);
    let is_counting = Arc::new(AtomicBool::new(false));
    let disk = {
        let is_counting = Arc::clone(&is_counting);
        HookedDisk::new(move |moment| {
            if moment == Moment::BeforeCall
                && is_counting.load(Ordering::SeqCst)
                && calls.fetch_add(1, Ordering::SeqCst) == call
            {
                worker::report("about to call");
                worker::wait_for_parent();
            }
        })
    };
    let way = if work == "replace" { work.as_str() } else { "append" };
    let kv = AioKv::with_storage(path, options(way), disk).unwrap();
    block_on(kv.set("a", &0)).unwrap();
    if !["replace", "begin a journal"].contains(&work.as_str()) {
        block_on(kv.set("b", &0)).unwrap();
        assert!(journal_of(path).exists());
    }
    if work == "mend a journal" {
        let journal = fs::read(journal_of(path)).unwrap();
        let torn = [journal.trim_ascii_end(), b"\n1b2c3d4e 9 0 + \"t"].concat();
        fs::write(journal_of(path), torn).unwrap();
    }
    worker::report("ready");
    worker::wait_for_parent();
    is_counting.store(true, Ordering::SeqCst);
    match work.as_str() {
        "fold" => block_on(kv.close()).unwrap(),
        "clear" => block_on(kv.clear()).unwrap(),
        _ => block_on(kv.set("new", &1)).unwrap(),
    }
    worker::report("done");
    worker::wait_for_parent();
}

#[test]
fn every_acknowledged_change_survives_sigkill() {
    kill_writers(&["replace"]);
}

#[test]
fn every_acknowledged_change_in_the_journal_survives_sigkill() {
    kill_writers(&["append"]);
}

#[test]
fn every_acknowledged_change_survives_sigkill_while_the_journal_is_folded() {
    kill_writers(&["append and fold"]);
}

#[test]
fn every_acknowledged_change_survives_sigkill_of_processes_that_write_in_different_ways() {
    kill_writers(&WAYS);
}

/// Keeps some processes writing, each in its way, and kills one after the other.
fn kill_writers(ways: &[&str]) {
    const ROUNDS: u64 = 100;
    const WRITERS: u64 = 4;
    let (_directory, path) = state_file();
    let start = |name: u64| {
        let way = ways[name as usize % ways.len()];
        (name, start_worker("count_for_ever", &path, [way, &name.to_string()]))
    };
    let mut writers: Vec<_> = (0..WRITERS).map(start).collect();
    let mut random = Random(1);
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let victim = random.below(WRITERS) as usize;
        let (name, mut writer) = std::mem::replace(&mut writers[victim], start(WRITERS + round));
        let heard = (0..random.below(4)).map(|_| writer.report().unwrap()).last();
        // Any moment of the next change.
        for _ in 0..random.below(100_000) {
            std::hint::spin_loop();
        }
        writer.kill();
        let last = std::iter::from_fn(|| writer.report()).last().or(heard);
        acknowledged.insert(name, last.map_or(0, |number| number.parse().unwrap()));
        assert_complete(&path, &acknowledged);
    }
    writers.clear();
    assert_complete(&path, &acknowledged);
    let changes: u64 = acknowledged.values().sum();
    println!("killed {ROUNDS} processes after {changes} acknowledged changes");
    assert!(changes > ROUNDS);
    let last = open_alone(&path, options(ways[0]));
    block_on(last.set("last", &1)).unwrap();
    block_on(last.close()).unwrap();
    assert_eq!(names(&path), ["state.json"]);
}

/// Checks that the file is valid and that the store holds what the killed writers asked for: everything that was
/// acknowledged, and at most the one change after that, of which nobody heard.
fn assert_complete(path: &Path, acknowledged: &BTreeMap<u64, u64>) {
    if path.exists() {
        serde_json::from_slice::<BTreeMap<String, u64>>(&fs::read(path).unwrap()).unwrap();
    }
    let mut found = BTreeMap::<u64, Vec<u64>>::new();
    for (key, number) in block_on(open_alone(path, options("append")).get_all()).unwrap() {
        let name = key.split_once(' ').unwrap().0.parse().unwrap();
        found.entry(name).or_default().push(number);
    }
    for (name, acknowledged) in acknowledged {
        let numbers = found.remove(name).unwrap_or_default();
        let last = numbers.len() as u64;
        assert_eq!(numbers, Vec::from_iter(1..=last), "of writer {name}");
        assert!((*acknowledged..=acknowledged + 1).contains(&last), "{acknowledged} {last}");
    }
}

#[test]
#[ignore = "a process of the tests that kill writers"]
fn count_for_ever() {
    let Some([path, way, name]) = worker::arguments() else { return };
    let kv = open_alone(path.as_ref(), options(&way));
    for number in 1_u64.. {
        block_on(kv.set(&format!("{name} {number}"), &number)).unwrap();
        worker::report(number);
    }
}
