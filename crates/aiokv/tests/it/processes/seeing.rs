//! Seeing the changes of other processes, and of a person.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aiokv::AioKv;
use pollster::block_on;

use super::start_worker;
use crate::support::hooked_disk::HookedDisk;
use crate::support::state_file::{WAYS, names, open, open_alone, options, state_file};
use crate::support::worker;

#[test]
fn an_acknowledged_change_of_another_process_is_seen_by_the_next_read() {
    const ROUNDS: u64 = 20;
    for (way, others_way) in WAYS.into_iter().flat_map(|way| WAYS.map(|other| (way, other))) {
        let (_directory, path) = state_file();
        let mut worker = start_worker("seeing::count_up", &path, [others_way, &ROUNDS.to_string()]);
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
    // The first change creates the journal, and then everything is read again.
    block_on(kv.set("new", &0)).unwrap();
    assert_eq!(read().0, Some(0));
    for round in 1..100_u64 {
        block_on(kv.set("new", &round)).unwrap();
        let (value, bytes) = read();
        assert_eq!(value, Some(round));
        assert!(bytes <= 2 * PAGE_BYTES, "{bytes} bytes of a change");
        let (value, bytes) = read();
        assert_eq!(value, Some(round));
        assert!(bytes <= 2, "{bytes} bytes without a change");
    }
    block_on(kv.close()).unwrap();
    assert_eq!(names(&path), ["state.json"]);
    assert_eq!(read().0, Some(99));
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
