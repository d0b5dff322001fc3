//! Changes of other processes and programs. Nothing here asks the watching store for anything.

use std::fs;
use std::os::unix::fs::symlink;

use aiokv::{AioKv, Error, Journal, Options};
use pollster::block_on;

use super::{next, replace};
use crate::support::state_file::{WAYS, open, open_alone, options, state_file};
use crate::support::worker::{self, Worker};

#[test]
fn a_change_of_another_process_arrives() {
    for way in WAYS {
        let (_directory, path) = state_file();
        block_on(open_alone(&path, options(way)).set("a", &0)).unwrap();
        let mut watch = block_on(open(&path).watch("")).unwrap();
        let arguments = [path.to_str().unwrap(), way];
        let mut worker = Worker::start("watch::others::setting", &arguments);
        for round in 0..10 {
            worker.go_on();
            assert_eq!(next(&mut watch).unwrap(), format!("a: {round} -> {}", round + 1), "{way}");
        }
        worker.finish();
    }
}

#[test]
#[ignore = "a process that other tests start"]
fn setting() {
    let Some([path, way]) = worker::arguments() else { return };
    let kv = AioKv::with_options(&path, options(&way)).unwrap();
    for round in 1..=10 {
        worker::wait_for_parent();
        block_on(kv.set("a", &round)).unwrap();
    }
}

#[test]
fn all_changes_of_a_busy_process_arrive() {
    let (_directory, path) = state_file();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    let options = Options::default().journal(Journal::Always).fsync(false);
    let other = open_alone(&path, options);
    let busy = std::thread::spawn(move || {
        for round in 1..=500 {
            block_on(other.set("a", &round)).unwrap();
        }
    });
    let mut last = "none".to_owned();
    while last != "500" {
        let change = next(&mut watch).unwrap();
        let (old, new) = change.strip_prefix("a: ").unwrap().split_once(" -> ").unwrap();
        assert_eq!(old, last, "nothing was left out");
        last = new.to_owned();
    }
    busy.join().unwrap();
}

#[test]
fn an_editor_replaces_the_file() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1, "b": 2, "c": 3}"#).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    replace(&path, r#"{"c":  3, "b": 4, "d": [5]}"#);
    let mut told = [(); 3].map(|()| next(&mut watch).unwrap());
    told.sort();
    assert_eq!(told, ["a: 1 -> none", "b: 2 -> 4", "d: none -> [5]"]);
}

#[test]
fn an_editor_writes_the_file_in_place() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1}"#).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    fs::write(&path, r#"{"a": 1000}"#).unwrap();
    // For a moment the file may be empty, which is damage.
    let change = loop {
        match next(&mut watch) {
            Err(Error::Corrupt(_)) => {}
            change => break change.unwrap(),
        }
    };
    assert_eq!(change, "a: 1 -> 1000");
}

#[test]
fn the_file_disappears_and_comes_back() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1}"#).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: 1 -> none");
    fs::rename(&away, &path).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: none -> 1");
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: 1 -> none");
}

#[test]
fn damage_is_an_error_and_mending_a_change() {
    let (_directory, path) = state_file();
    fs::write(&path, r#"{"a": 1}"#).unwrap();
    let kv = open(&path);
    let mut watch = block_on(kv.watch("")).unwrap();
    replace(&path, "{");
    assert!(matches!(next(&mut watch), Err(Error::Corrupt(_))));
    replace(&path, r#"{"a": 2}"#);
    assert_eq!(next(&mut watch).unwrap(), "a: 1 -> 2");
    replace(&path, "[]");
    assert!(matches!(next(&mut watch), Err(Error::Corrupt(_))));
    block_on(kv.clear()).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: 2 -> none");
}

#[test]
fn a_journal_without_its_file_is_an_error() {
    let (_directory, path) = state_file();
    let other = open_alone(&path, options("append"));
    block_on(other.set("a", &1)).unwrap();
    block_on(other.set("a", &2)).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    assert!(matches!(next(&mut watch), Err(Error::Corrupt(_))));
    fs::rename(&away, &path).unwrap();
    block_on(other.set("a", &3)).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: 2 -> 3");
}

#[test]
fn another_process_clears() {
    for way in WAYS {
        let (_directory, path) = state_file();
        let other = open_alone(&path, options(way));
        block_on(other.set("a", &1)).unwrap();
        block_on(other.set("a", &2)).unwrap();
        let mut watch = block_on(open(&path).watch("")).unwrap();
        block_on(other.clear()).unwrap();
        assert_eq!(next(&mut watch).unwrap(), "a: 2 -> none", "{way}");
        block_on(other.set("b", &1)).unwrap();
        assert_eq!(next(&mut watch).unwrap(), "b: none -> 1");
    }
}

#[test]
fn a_checkpoint_of_another_process_is_no_change() {
    let (_directory, path) = state_file();
    let other = open_alone(&path, options("append"));
    block_on(other.set("a", &1)).unwrap();
    block_on(other.set("a", &2)).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    block_on(other.checkpoint()).unwrap();
    block_on(other.set("b", &3)).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "b: none -> 3");
}

#[test]
fn the_file_is_a_link() {
    let (directory, path) = state_file();
    let real = directory.path().join("elsewhere").join("real.json");
    fs::create_dir(real.parent().unwrap()).unwrap();
    symlink(&real, &path).unwrap();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    let other = open_alone(&real, Options::default());
    block_on(other.set("a", &1)).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: none -> 1");
}

/// The watch stayed with the directory above, in which nothing happens any more.
#[test]
fn the_directory_does_not_exist_yet() {
    let (directory, _path) = state_file();
    let path = directory.path().join("a").join("b").join("c").join("state.json");
    let mut watch = block_on(open(&path).watch("")).unwrap();
    let other = open_alone(&path, Options::default());
    for round in 1..=3 {
        block_on(other.set("a", &round)).unwrap();
        let old = if round == 1 { "none".to_owned() } else { (round - 1).to_string() };
        assert_eq!(next(&mut watch).unwrap(), format!("a: {old} -> {round}"));
    }
}

#[test]
fn the_directory_is_removed_and_comes_back() {
    let (directory, _path) = state_file();
    let path = directory.path().join("a").join("b").join("state.json");
    let mut watch = block_on(open(&path).watch("")).unwrap();
    for _ in 0..3 {
        block_on(open_alone(&path, Options::default()).set("a", &1)).unwrap();
        assert_eq!(next(&mut watch).unwrap(), "a: none -> 1");
        fs::remove_dir_all(directory.path().join("a")).unwrap();
        assert_eq!(next(&mut watch).unwrap(), "a: 1 -> none");
    }
}
