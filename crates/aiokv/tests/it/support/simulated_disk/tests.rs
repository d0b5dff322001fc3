//! What the simulated disk promises.

use std::path::Path;
use std::sync::Arc;

use aiokv::binding::storage::{Access, File, Lock, Storage, Visibility};
use rustix::io::Errno;

use super::{Action, Call, Director, Features, SimulatedDisk, Undirected, Verdict};
use crate::support::random::Random;

const A: &str = "/a";
const B: &str = "/b";

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(Features { calls_per_tick: 1, reuses_inodes: true })
}

fn process(disk: &SimulatedDisk, process: u32) -> Arc<dyn Storage> {
    disk.of_process(process, Undirected::shared())
}

fn create(storage: &dyn Storage, path: &str, content: &[u8]) -> Box<dyn File> {
    let file = storage.create(Path::new(path), Visibility::Umask).unwrap();
    file.write_at(content, 0).unwrap();
    file
}

fn open(storage: &dyn Storage, path: &str) -> Box<dyn File> {
    storage.open(Path::new(path), Access::ReadWrite).unwrap()
}

#[test]
fn locks_are_shared_or_exclusive_and_end_with_the_process() {
    let disk = disk();
    let (one, two) = (process(&disk, 1), process(&disk, 2));
    let first = create(&*one, A, b"");
    let second = open(&*two, A);
    assert!(first.try_lock(Lock::Shared).unwrap() && second.try_lock(Lock::Shared).unwrap());
    assert!(!first.try_lock(Lock::Exclusive).unwrap());
    // The conversion that failed gave up the lock that was there.
    assert!(second.try_lock(Lock::Exclusive).unwrap());
    assert!(!first.try_lock(Lock::Shared).unwrap());
    disk.end_process(2);
    assert!(first.try_lock(Lock::Exclusive).unwrap());
    drop(second);
    assert!(disk.is_locked(Path::new(A)));
    drop(first);
    assert!(!disk.is_locked(Path::new(A)));
}

#[test]
fn the_change_time_moves_with_every_change_or_with_a_tick() {
    let moved_of = |features| {
        let disk = SimulatedDisk::new(features);
        let file = create(&*process(&disk, 1), A, b"");
        let before = file.metadata().unwrap();
        file.touch().unwrap();
        let after = file.metadata().unwrap();
        assert_eq!(before.modified, after.modified);
        (disk, file, before.changed < after.changed)
    };
    assert!(moved_of(Features::default()).2);
    let coarse = Features { calls_per_tick: 100, ..Features::default() };
    let (disk, file, moved) = moved_of(coarse);
    assert!(!moved);
    let before = file.metadata().unwrap();
    disk.write_in_place(Path::new(A), b"x");
    assert!(before.changed < file.metadata().unwrap().changed, "an outsider is always visible");
}

#[test]
fn a_number_is_used_again_when_nothing_is_left_of_the_inode() {
    let disk = disk();
    let storage = process(&disk, 1);
    let first = create(&*storage, A, b"").metadata().unwrap().inode;
    let directory = storage.open_directory(Path::new("/")).unwrap();
    directory.flush().unwrap();
    storage.remove(Path::new(A)).unwrap();
    let second = create(&*storage, A, b"");
    let number = second.metadata().unwrap().inode;
    assert_ne!(number, first, "a loss of power may bring it back");
    directory.flush().unwrap();
    assert_eq!(create(&*storage, B, b"").metadata().unwrap().inode, first);
    storage.rename(Path::new(B), Path::new(A)).unwrap();
    directory.flush().unwrap();
    assert_ne!(create(&*storage, B, b"").metadata().unwrap().inode, number, "it is open");
}

#[test]
fn a_loss_of_power_keeps_what_was_flushed() {
    for seed in 0..200 {
        let disk = disk();
        let storage = process(&disk, 1);
        let file = create(&*storage, A, b"old");
        file.flush().unwrap();
        storage.open_directory(Path::new("/")).unwrap().flush().unwrap();
        file.write_at(b"new", 3).unwrap();
        create(&*storage, B, b"other").flush().unwrap();
        disk.lose_power(&mut Random(seed));
        let content = disk.content(Path::new(A)).unwrap();
        assert!(content.starts_with(b"old") && content.len() <= 6, "{content:?}");
        assert!(disk.content(Path::new(B)).is_none_or(|other| other == b"other"));
    }
}

#[test]
fn some_seed_loses_what_was_not_flushed_and_some_seed_tears_it() {
    let survivor = |seed| {
        let disk = disk();
        let storage = process(&disk, 1);
        let file = create(&*storage, A, b"old");
        file.flush().unwrap();
        storage.open_directory(Path::new("/")).unwrap().flush().unwrap();
        file.write_at(b"new", 3).unwrap();
        disk.lose_power(&mut Random(seed));
        disk.content(Path::new(A)).unwrap()
    };
    let survivors: Vec<_> = (0..200).map(survivor).collect();
    for expected in [&b"old"[..], b"oldnew", b"oldn", b"old\0\0\0", b"old\0\0w"] {
        assert!(survivors.iter().any(|survivor| survivor == expected), "{expected:?}");
    }
}

/// Fails every call of one kind.
struct Failing(Action);

impl Director for Failing {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.action == self.0 { Verdict::Fail(Errno::IO) } else { Verdict::Do }
    }
}

#[test]
fn a_failed_flush_loses_what_was_not_flushed() {
    let disk = disk();
    let failing = disk.of_process(1, Arc::new(Failing(Action::FlushContent)));
    let file = create(&*failing, A, b"old");
    file.flush().unwrap();
    failing.open_directory(Path::new("/")).unwrap().flush().unwrap();
    file.write_at(b"new", 0).unwrap();
    assert!(file.flush_content().is_err());
    assert_eq!(disk.content(Path::new(A)).unwrap(), b"new");
    file.flush().unwrap();
    disk.lose_power(&mut Random(7));
    assert_eq!(disk.content(Path::new(A)).unwrap(), b"old");
}
