//! The store without futures.

use std::thread;
use std::time::Duration;

use aiokv::blocking::AioKv;
use aiokv::{Error, Journal, Options};

use super::MINUTE;
use crate::support::state_file::{journal_of, state_file, wait_until};

#[test]
fn every_operation() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    assert_eq!(kv.path(), path);
    assert_eq!(kv.get::<i64>("a").unwrap(), None);
    kv.set("a", &1).unwrap();
    assert_eq!(kv.get("a").unwrap(), Some(1));
    kv.set_now("now").unwrap();
    assert!(kv.age("now").unwrap().unwrap() < MINUTE);
    assert!(kv.add("b", &2).unwrap() && !kv.add("b", &3).unwrap());
    assert_eq!(kv.setdefault("b", &4).unwrap(), 2);
    assert_eq!(kv.pop::<i64>("b").unwrap(), Some(2));
    assert_eq!(kv.increment("a", 4).unwrap(), 5);
    assert_eq!(kv.update("a", |old: Option<i64>| old.unwrap() + 1).unwrap(), 6);
    assert!(kv.contains("a").unwrap());
    assert_eq!(kv.cooldown("c", MINUTE, 1).unwrap(), Duration::ZERO);
    kv.delete_many(&["now", "c"]).unwrap();
    kv.set_many([("k:1", 1), ("k:2", 2)]).unwrap();
    assert_eq!(kv.get_many::<i64>(&["k:1", "x"]).unwrap(), [("k:1".to_owned(), 1)]);
    let transacted = kv.transact(|t| {
        let keys = t.keys("k:")?.len();
        t.set("keys", &keys)?;
        t.increment("a", 1)
    });
    assert_eq!(transacted.unwrap(), 7);
    assert_eq!(kv.get_all::<i64>().unwrap().len(), 4);
    assert_eq!(kv.get_prefix::<i64>("keys").unwrap(), [("keys".to_owned(), 2)]);
    assert_eq!(kv.keys("").unwrap(), ["a", "k:1", "k:2", "keys"]);
    assert_eq!(kv.items::<i64>("k:").unwrap().map(|item| item.unwrap().1).sum::<i64>(), 3);
    let mut edit = kv.edit("a", 0).unwrap();
    *edit += 1;
    edit.commit().unwrap();
    assert_eq!(kv.get("a").unwrap(), Some(8));
    assert_eq!(kv.count("k:").unwrap(), 2);
    assert_eq!(kv.prune("k:", MINUTE).unwrap(), 2);
    let ns = kv.namespace(["n"]).unwrap();
    ns.set("x", &1).unwrap();
    assert_eq!(kv.delete_prefix("n:").unwrap(), 1);
    kv.delete("a").unwrap();
    kv.checkpoint().unwrap();
    kv.close().unwrap();
    assert_eq!(kv.keys("").unwrap(), ["keys"]);
    kv.clear().unwrap();
    assert!(!path.exists());
}

#[test]
fn threads_lose_no_update() {
    for journal in [Journal::Always, Journal::Never] {
        let (_directory, path) = state_file();
        let options = Options::default().journal(journal).fsync(false);
        let kv = AioKv::with_options(&path, options).unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let kv = &kv;
                scope.spawn(move || {
                    for round in 0..100 {
                        kv.increment("count", 1).unwrap();
                        kv.set(&format!("{number}:{round}"), &round).unwrap();
                        assert_eq!(kv.get(&format!("{number}:{round}")).unwrap(), Some(round));
                    }
                });
            }
        });
        assert_eq!(kv.get("count").unwrap(), Some(800));
        assert_eq!(kv.count("").unwrap(), 801);
    }
}

#[test]
fn it_shares_the_engine_with_the_store_of_futures() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let futures = aiokv::AioKv::new(&path).unwrap();
    kv.set("a", &1).unwrap();
    // Memory answers, so nothing was opened for it.
    assert!(
        futures.get_now(b"a").is_some()
            || pollster::block_on(futures.get::<i64>("a")).unwrap() == Some(1)
    );
    pollster::block_on(futures.set("a", &2)).unwrap();
    assert_eq!(kv.get("a").unwrap(), Some(2));
}

#[test]
fn a_checkpoint_is_made_in_the_background() {
    let (_directory, path) = state_file();
    let options = Options::default().journal(Journal::Always).checkpoint_pace(1 << 20);
    let kv = AioKv::with_options(&path, options).unwrap();
    kv.set("a", &1).unwrap();
    kv.set("a", &2).unwrap();
    assert!(journal_of(&path).exists());
    // No other call is made.
    wait_until(|| !journal_of(&path).exists());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"a\": 2\n}\n");
}

#[test]
fn errors_are_those_of_the_store() {
    let (_directory, path) = state_file();
    std::fs::write(&path, "{").unwrap();
    let kv = AioKv::new(&path).unwrap();
    assert!(matches!(kv.set("a", &1), Err(Error::Corrupt(_))));
    assert!(matches!(kv.get::<i64>("a"), Err(Error::Corrupt(_))));
    kv.clear().unwrap();
    kv.set("a", &1).unwrap();
}

#[test]
fn edits_of_several_threads_take_turns() {
    let (_directory, path) = state_file();
    let kv = AioKv::with_options(&path, Options::default().fsync(false)).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let kv = &kv;
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut edit = kv.edit("list", Vec::new()).unwrap();
                    edit.push(number);
                    edit.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(kv.get::<Vec<i32>>("list").unwrap().unwrap().len(), 160);
}

/// The thread waited for itself, for ever.
#[test]
fn a_thread_that_edits_a_key_already_gets_an_error() {
    let (_directory, path) = state_file();
    let kv = AioKv::new(&path).unwrap();
    let first = kv.edit("n:a", 1).unwrap();
    let Err(error) = kv.namespace(["n"]).unwrap().edit("a", 1) else {
        panic!("it is the same key")
    };
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("edits \"a\" already"), "{error}");
    drop(kv.edit("b", 1).unwrap());
    drop(first);
    drop(kv.edit("n:a", 1).unwrap());
}
