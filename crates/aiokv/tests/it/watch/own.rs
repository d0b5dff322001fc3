//! Changes of this process.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aiokv::{Error, Watch, WatchedChange};
use pollster::block_on;

use super::next;
use crate::support::start::start;
use crate::support::state_file::{open, open_alone, options, state_file};

/// The next change, if it was told already.
fn told(watch: &mut Watch) -> Option<String> {
    let next = pin!(watch.next::<serde_json::Value>());
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(change) => Some(super::shown(&change.unwrap())),
        Poll::Pending => None,
    }
}

#[test]
fn a_change_is_told_before_it_is_acknowledged() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("a: none -> 1"));
    block_on(kv.increment("a", 4)).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("a: 1 -> 5"));
    block_on(kv.delete("a")).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("a: 5 -> none"));
    block_on(kv.delete("a")).unwrap();
    assert_eq!(told(&mut watch), None);
}

#[test]
fn who_waits_is_woken() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    let waiting = std::thread::spawn(move || next(&mut watch).unwrap());
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!(waiting.join().unwrap(), "a: none -> 1");
}

#[test]
fn what_was_there_before_is_not_told() {
    let (_directory, path) = state_file();
    std::fs::write(&path, r#"{"a": 1}"#).unwrap();
    let kv = open(&path);
    // The store was never read.
    let mut watch = block_on(kv.watch("")).unwrap();
    assert_eq!(told(&mut watch), None);
    block_on(kv.set("b", &1)).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("b: none -> 1"));
}

#[test]
fn setting_what_is_there_is_no_change() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set("a", &1)).unwrap();
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!(told(&mut watch), None);
}

#[test]
fn a_slow_consumer_gets_the_net_change() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    block_on(kv.set_many([("a", 0), ("c", 0)])).unwrap();
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(async {
        for round in 1..=100 {
            kv.set("a", &round).await.unwrap();
            kv.set("b", &round).await.unwrap();
        }
        kv.delete("b").await.unwrap();
        kv.set("c", &1).await.unwrap();
        kv.set("c", &0).await.unwrap();
        kv.set("d", &1).await.unwrap();
    });
    assert_eq!(told(&mut watch).as_deref(), Some("a: 0 -> 100"));
    assert_eq!(told(&mut watch).as_deref(), Some("d: none -> 1"));
    assert_eq!(told(&mut watch), None);
}

#[test]
fn a_group_of_changes_comes_in_its_order() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(kv.set_many([("z", 1), ("a", 2), ("m", 3)])).unwrap();
    let keys = [(); 3].map(|()| told(&mut watch).unwrap());
    assert_eq!(keys, ["z: none -> 1", "a: none -> 2", "m: none -> 3"]);
}

#[test]
fn only_a_prefix() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("u:")).unwrap();
    let mut below = block_on(kv.namespace(["u"]).unwrap().watch("1")).unwrap();
    block_on(kv.set_many([("u", 0), ("x", 1), ("u:2", 2), ("u:1", 3)])).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("u:2: none -> 2"));
    assert_eq!(told(&mut watch).as_deref(), Some("u:1: none -> 3"));
    assert_eq!(told(&mut watch), None);
    assert_eq!(told(&mut below).as_deref(), Some("1: none -> 3"));
    assert_eq!(told(&mut below), None);
}

#[test]
fn clear_tells_what_is_gone_and_what_came_since() {
    for way in ["replace", "append"] {
        let (_directory, path) = state_file();
        let kv = open_alone(&path, options(way));
        block_on(kv.set_many([("a", 1), ("b", 2)])).unwrap();
        let mut watch = block_on(kv.watch("")).unwrap();
        // In one commit.
        let cleared = start(kv.clear());
        let set = start(kv.set("b", &3));
        block_on(cleared).unwrap();
        block_on(set).unwrap();
        assert_eq!(told(&mut watch).as_deref(), Some("a: 1 -> none"), "{way}");
        assert_eq!(told(&mut watch).as_deref(), Some("b: 2 -> 3"));
        block_on(kv.clear()).unwrap();
        assert_eq!(told(&mut watch).as_deref(), Some("b: 3 -> none"));
    }
}

#[test]
fn every_watcher_is_told() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watches = [(); 3].map(|()| block_on(kv.watch("")).unwrap());
    block_on(kv.set("a", &1)).unwrap();
    for watch in &mut watches {
        assert_eq!(told(watch).as_deref(), Some("a: none -> 1"));
    }
}

/// A change that arrived for a future that was dropped was lost.
#[test]
fn a_dropped_future_loses_no_change() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    assert_eq!(told(&mut watch), None);
    block_on(kv.set("a", &1)).unwrap();
    block_on(kv.set("b", &2)).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("a: none -> 1"));
    assert_eq!(told(&mut watch).as_deref(), Some("b: none -> 2"));
}

#[test]
fn a_value_of_another_type_is_an_error_and_the_changes_go_on() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(kv.set("a", "text")).unwrap();
    block_on(kv.set("b", &2)).unwrap();
    let error = block_on(watch.next::<i64>()).unwrap_err();
    assert!(matches!(&error, Error::Type { key, .. } if key == "a"), "{error}");
    let WatchedChange { key, new, .. } = block_on(watch.next::<i64>()).unwrap();
    assert_eq!((&*key, new), ("b", Some(2)));
}

#[test]
fn closing_the_store_does_not_end_it() {
    let (_directory, path) = state_file();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    block_on(kv.set("a", &1)).unwrap();
    block_on(kv.close()).unwrap();
    block_on(kv.set("a", &2)).unwrap();
    assert_eq!(told(&mut watch).as_deref(), Some("a: none -> 2"));
    drop(kv);
    assert_eq!(told(&mut watch), None);
}
