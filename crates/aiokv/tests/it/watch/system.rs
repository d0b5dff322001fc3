//! What watching costs the system: nothing while nobody watches.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aiokv::AioKv;
use pollster::block_on;

use super::next;
use crate::support::state_file::{open, open_alone, options, state_file, wait_until};
use crate::support::worker::{self, Worker};

/// The lines of the system about what this process watches.
fn watched() -> Vec<String> {
    let Ok(open) = fs::read_dir("/proc/self/fdinfo") else { return Vec::new() };
    let texts = open.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let lines = texts.flat_map(|text| Vec::from_iter(text.lines().map(str::to_owned)));
    lines.filter(|line| line.starts_with("inotify ")).collect()
}

/// How often a directory is watched.
fn watches(directory: &Path) -> usize {
    let name = format!(" ino:{:x} ", fs::metadata(directory).unwrap().ino());
    watched().iter().filter(|line| line.contains(&name)).count()
}

#[test]
fn several_watchers_and_stores_share_one_watch_of_the_directory() {
    let (directory, path) = state_file();
    let kv = open(&path);
    assert_eq!(watches(directory.path()), 0);
    let one = block_on(kv.watch("")).unwrap();
    let other = block_on(kv.watch("a")).unwrap();
    let beside = block_on(open(&path.with_extension("other")).watch("")).unwrap();
    assert_eq!(watches(directory.path()), 1);
    drop((one, other));
    assert_eq!(watches(directory.path()), 1);
    drop(beside);
    wait_until(|| watches(directory.path()) == 0);
}

#[test]
fn after_the_last_watcher_nothing_is_open_and_no_thread_left() {
    let (_directory, path) = state_file();
    let mut worker =
        Worker::start("watch::system::watching_for_a_while", &[path.to_str().unwrap()]);
    worker.expect("nothing is watched");
    worker.expect("something is watched");
    worker.expect("nothing is watched");
    worker.finish();
}

#[test]
#[ignore = "a process that other tests start"]
fn watching_for_a_while() {
    let Some([path]) = worker::arguments() else { return };
    let threads = || {
        let names = fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("aiokv-watch") || name.starts_with("notify")).count()
    };
    let kv = AioKv::new(&path).unwrap();
    block_on(kv.set("a", &1)).unwrap();
    assert_eq!((watched().len(), threads()), (0, 0));
    worker::report("nothing is watched");
    let watch = block_on(kv.watch("")).unwrap();
    assert_eq!(watched().len(), 1);
    assert!(threads() > 0);
    worker::report("something is watched");
    drop(watch);
    wait_until(|| watched().is_empty() && threads() == 0);
    block_on(kv.set("a", &2)).unwrap();
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    assert!(links.into_iter().all(|link| !link.to_string_lossy().contains("inotify")));
    worker::report("nothing is watched");
}

#[test]
fn other_files_in_the_directory_do_not_matter() {
    let (directory, path) = state_file();
    let mut watch = block_on(open(&path).watch("")).unwrap();
    for number in 0..1000 {
        fs::write(directory.path().join(format!("log.{number}")), "x").unwrap();
    }
    block_on(open_alone(&path, options("replace")).set("a", &1)).unwrap();
    assert_eq!(next(&mut watch).unwrap(), "a: none -> 1");
}
