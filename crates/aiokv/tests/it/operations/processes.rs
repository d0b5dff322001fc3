//! Several processes do it at once.

use std::path::Path;

use aiokv::{AioKv, Options};
use pollster::block_on;

use crate::support::state_file::{WAYS, open, open_alone, options, state_file};
use crate::support::worker::{self, Worker};

const ROUNDS: u64 = 200;

/// Two workers do the same thing [`ROUNDS`] times each.
fn twice(path: &Path, way: &str, what: &str) {
    let arguments = [path.to_str().unwrap(), way, what];
    let mut workers = [(); 2].map(|()| Worker::start("operations::processes::working", &arguments));
    workers.iter_mut().for_each(|worker| worker.expect("ready"));
    workers.iter_mut().for_each(Worker::go_on);
    workers.iter_mut().for_each(Worker::finish);
}

#[test]
#[ignore = "a process that other tests start"]
fn working() {
    let Some([path, way, what]) = worker::arguments() else { return };
    let kv = AioKv::with_options(&path, options(&way).fsync(false)).unwrap();
    worker::report("ready");
    worker::wait_for_parent();
    block_on(async {
        for round in 0..ROUNDS {
            match &*what {
                "increment" => drop(kv.increment("count", 1_u64).await.unwrap()),
                "update" => {
                    let count = |old: Option<u64>| old.unwrap_or(0) + 1;
                    kv.update("count", count).await.unwrap();
                }
                "transact" => {
                    let counted = kv.transact(|t| {
                        let count = t.get::<u64>("count")?.unwrap_or(0) + 1;
                        let listed = t.keys("round:")?.len();
                        t.set("count", &count)?;
                        t.set(&format!("round:{round}"), &listed)
                    });
                    counted.await.unwrap();
                }
                _ => {
                    if kv.add(&format!("round:{round}"), &std::process::id()).await.unwrap() {
                        kv.increment("count", 1_u64).await.unwrap();
                    }
                }
            }
        }
        kv.close().await.unwrap();
    });
}

#[test]
fn increments_of_two_processes_add_up() {
    for way in WAYS {
        let (_directory, path) = state_file();
        twice(&path, way, "increment");
        assert_eq!(block_on(open(&path).get("count")).unwrap(), Some(2 * ROUNDS), "{way}");
    }
}

#[test]
fn updates_and_transactions_of_two_processes_add_up() {
    for what in ["update", "transact"] {
        let (_directory, path) = state_file();
        twice(&path, "append and checkpoint", what);
        assert_eq!(block_on(open(&path).get("count")).unwrap(), Some(2 * ROUNDS), "{what}");
    }
}

#[test]
fn what_two_processes_add_is_added_once() {
    let (_directory, path) = state_file();
    twice(&path, "append", "add");
    assert_eq!(block_on(open(&path).get("count")).unwrap(), Some(ROUNDS));
}

#[test]
fn a_process_sees_the_listing_of_another_one() {
    let (_directory, path) = state_file();
    let (one, other) = (open(&path), open_alone(&path, Options::default()));
    block_on(async {
        assert_eq!(one.count("k").await.unwrap(), 0);
        assert_eq!(other.count("k").await.unwrap(), 0);
        for round in 0..20 {
            one.set(&format!("k{round}"), &round).await.unwrap();
            assert_eq!(other.count("k").await.unwrap(), round + 1);
        }
        assert_eq!(other.delete_prefix("k1").await.unwrap(), 11);
        assert_eq!(one.count("k").await.unwrap(), 9);
    });
}
