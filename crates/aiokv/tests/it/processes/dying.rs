//! Surviving the death of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aiokv::AioKv;
use pollster::block_on;

use super::creating::start_stopping_writer;
use super::{TEMPORARY, start_worker};
use crate::support::hooked_disk::{HookedDisk, Moment};
use crate::support::random::Random;
use crate::support::requests::{ask, group};
use crate::support::start::start;
use crate::support::state_file::{WAYS, journal_of, names, open, open_alone, options, state_file};
use crate::support::worker;

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
const WORKS: [&str; 8] = [
    "replace",
    "replace several keys",
    "begin a journal",
    "append",
    "append several keys",
    "mend a journal",
    "checkpoint",
    "clear",
];

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
    let mut worker = start_worker("dying::stop_before_a_call", &path, [work, &call.to_string()]);
    worker.expect("ready");
    let kv = open_alone(&path, options("append"));
    let read = || BTreeMap::<String, String>::from_iter(block_on(kv.get_all()).unwrap());
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
        "checkpoint" => before.clone(),
        "replace several keys" | "append several keys" => {
            let keys = ["one", "two", "three"].map(|key| (key.to_owned(), "1".to_owned()));
            let kept = before.clone().into_iter().filter(|(key, _)| key != "a");
            kept.chain(keys).collect()
        }
        _ => BTreeMap::from_iter(
            before.clone().into_iter().chain([("new".to_owned(), "1".to_owned())]),
        ),
    };
    let is_stopped = report == "about to call";
    assert!(found == after || (is_stopped && found == before), "{found:?}: {place}");
    block_on(kv.set("next", "2")).unwrap();
    let next = BTreeMap::from_iter(found.into_iter().chain([("next".to_owned(), "2".to_owned())]));
    assert_eq!(read(), next, "{place}");
    assert!(!names(&path).contains(&TEMPORARY.to_owned()), "{place}");
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
    let replaces = work.starts_with("replace");
    let way = if replaces { "replace" } else { "append" };
    let kv = AioKv::with_storage(path, options(way), disk).unwrap();
    block_on(kv.set("a", "0")).unwrap();
    if !replaces && work != "begin a journal" {
        block_on(kv.set("b", "0")).unwrap();
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
        "checkpoint" => block_on(kv.close()).unwrap(),
        "clear" => block_on(kv.clear()).unwrap(),
        "replace several keys" | "append several keys" => {
            let keys = [("one", "1"), ("two", "1"), ("three", "1")];
            drop(ask(&kv, &group(&keys, &["a"])).unwrap());
        }
        _ => block_on(kv.set("new", "1")).unwrap(),
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
fn every_acknowledged_change_survives_sigkill_during_checkpoints() {
    kill_writers(&["append and checkpoint"]);
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
        (name, start_worker("dying::count_for_ever", &path, [way, &name.to_string()]))
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

/// Checks that the file is valid and that the store holds what the killed writers asked for:
/// everything that was acknowledged, and at most the one change after that, which was not.
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
