//! Watching without futures.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use aiokv::Error;
use aiokv::blocking::{AioKv, Watch};
use pollster::block_on;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::{DEADLINE, replace, shown};
use crate::support::state_file::{open_alone, options, state_file};

fn next(watch: &mut Watch<Value>) -> String {
    shown(&watch.next_timeout(DEADLINE).unwrap().expect("it should have been told"))
}

#[test]
fn the_changes_come_one_after_the_other() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let changes = kv.namespace(["n"]).unwrap().watch::<Value>("a").unwrap();
    kv.set_many([("n:a1", 1), ("n:b", 2), ("n:a2", 3)]).unwrap();
    let told = Vec::from_iter(changes.take(2).map(|change| shown(&change.unwrap())));
    assert_eq!(told, ["a1: none -> 1", "a2: none -> 3"]);
}

#[test]
fn a_thread_that_waits_is_woken() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let mut forever = kv.watch::<Value>("").unwrap();
    let mut for_a_while = kv.watch::<Value>("").unwrap();
    let waiting = [
        thread::spawn(move || shown(&forever.next().unwrap().unwrap())),
        thread::spawn(move || next(&mut for_a_while)),
    ];
    kv.set("a", &1).unwrap();
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), "a: none -> 1");
    }
}

#[test]
fn another_process_makes_the_changes() {
    let (_directory, path) = state_file();
    let mut watch = AioKv::new(&path).unwrap().watch("").unwrap();
    let other = open_alone(&path, options("append"));
    for round in 1..=3 {
        block_on(other.set("a", &round)).unwrap();
        let old = if round == 1 { "none".to_owned() } else { (round - 1).to_string() };
        assert_eq!(next(&mut watch), format!("a: {old} -> {round}"));
    }
}

#[test]
fn without_a_change_the_wait_ends_in_time_and_costs_nothing() {
    let (_directory, path) = state_file();
    let mut watch = AioKv::new(&path).unwrap().watch::<Value>("").unwrap();
    let timeout = Duration::from_millis(300);
    let processor_time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap()
    };
    let (started, used) = (Instant::now(), processor_time());
    assert!(watch.next_timeout(timeout).unwrap().is_none());
    let (elapsed, used) = (started.elapsed(), processor_time() - used);
    assert!(elapsed >= timeout, "{elapsed:?}");
    assert!(used < timeout / 20, "{used:?}");
}

#[test]
fn what_comes_after_a_wait_that_ended_is_told() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let mut watch = kv.watch("").unwrap();
    assert!(watch.next_timeout(Duration::ZERO).unwrap().is_none());
    kv.set("a", &1).unwrap();
    // It is there already.
    assert_eq!(shown(&watch.next_timeout(Duration::ZERO).unwrap().unwrap()), "a: none -> 1");
}

#[test]
fn damage_is_an_error_and_the_changes_go_on() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1}"#).unwrap();
    let mut watch = AioKv::new(&path).unwrap().watch::<Value>("").unwrap();
    replace(&path, "{");
    assert!(matches!(watch.next().unwrap(), Err(Error::Corrupt(_))));
    replace(&path, r#"{"a": 2}"#);
    assert_eq!(next(&mut watch), "a: 1 -> 2");
}
