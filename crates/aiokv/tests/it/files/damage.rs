//! What does not look like a state file, and how large it may be.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use aiokv::{AioKv, Error};
use pollster::block_on;

use crate::support::state_file::{names, state_file};
use crate::support::worker::{self, Worker};

/// How long it may take at most to look at a file of NULs. To read all of it takes much longer.
const TIME_MAX: Duration = Duration::from_secs(10);
/// How much memory it may take at most, in KiB.
const MEMORY_KIB_MAX: u64 = 100 << 10;

/// A crash of a file system may leave a file of its old size that holds nothing. One of 64 GB was
/// read into memory before it was called corrupt, if there was that much memory.
#[test]
fn a_huge_file_of_nuls_is_corrupt_at_once() {
    let (_directory, path) = state_file();
    let file = File::create(&path).unwrap();
    if let Err(error) = file.set_len(64 << 30) {
        eprintln!("skipped: no sparse file of that size here: {error}");
        return;
    }
    let mut worker = Worker::start("files::damage::look_at_it", &[path.to_str().unwrap()]);
    let memory: u64 = worker.report().unwrap().parse().unwrap();
    worker.finish();
    assert!(memory < MEMORY_KIB_MAX, "it took {memory} KiB");
    assert_eq!(names(&path), Vec::<String>::new());
}

#[test]
#[ignore = "a process of `a_huge_file_of_nuls_is_corrupt_at_once`"]
fn look_at_it() {
    let Some([path]) = worker::arguments() else { return };
    let path = Path::new(&path);
    let started = Instant::now();
    let kv = AioKv::new(path).unwrap();
    let errors = [
        block_on(kv.get::<u64>("a")).unwrap_err(),
        block_on(kv.get_all::<u64>()).unwrap_err(),
        block_on(kv.set("a", &1)).unwrap_err(),
        block_on(kv.delete("a")).unwrap_err(),
    ];
    for error in errors {
        let Error::Corrupt(corruption) = &error else { panic!("{error}") };
        assert_eq!(corruption.path, path);
        assert!(error.to_string().contains("NUL"), "{error}");
        assert!(error.to_string().contains("line 1 column 1"), "{error}");
    }
    assert_eq!(fs::metadata(path).unwrap().len(), 64 << 30);
    block_on(kv.clear()).unwrap();
    assert!(started.elapsed() < TIME_MAX);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    worker::report(peak.map_or("0", |peak| peak.trim().trim_end_matches(" kB")));
}
