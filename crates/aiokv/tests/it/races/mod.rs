//! What another process can do at the worst moment. Its part is played by a second store on the
//! same file, which shares nothing with the first one because it uses the disk directly.
//! `simulation` lets several processes do anything in any order; here are single moments, on a real
//! disk.
//!
//! The story of each bug stands before its test.

mod every_moment;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use aiokv::{AioKv, Error, Options};
use pollster::block_on;

use crate::support::hooked_disk::{HookedDisk, Moment};
use crate::support::options::appending;
use crate::support::start::start;
use crate::support::state_file::{journal_of, open, open_alone, state_file};

/// A store and, for each moment given, what the other process does when it comes for the first
/// time.
fn open_with<const COUNT: usize>(
    path: &Path,
    actions: [(Moment, Box<dyn FnOnce() + Send>); COUNT],
) -> AioKv {
    let actions = Mutex::new(Vec::from(actions));
    let disk = HookedDisk::new(move |moment| {
        let mut actions = actions.lock().unwrap();
        let action = actions.iter().position(|action| action.0 == moment);
        let action = action.map(|index| actions.remove(index).1);
        drop(actions);
        if let Some(action) = action {
            action();
        }
    });
    AioKv::with_storage(path, Options::default(), disk).unwrap()
}

/// The file was replaced after it had been opened and before it had been looked at. The metadata
/// that were kept already said that it had no name any more, so it never seemed to change again,
/// and every later read saw the old content.
#[test]
fn a_file_that_is_replaced_while_it_is_opened_is_read_again() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let other = open(&path);
    let replace = move || block_on(other.set("a", &2)).unwrap();
    let kv = open_with(&path, [(Moment::Opened, Box::new(replace))]);
    // This one has started before the change and may see either.
    block_on(kv.get::<u64>("a")).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
}

/// There was no file to lock; then there was one, which was read without its lock; then it was
/// cleared, and what had been read became part of the new file. A cleared key was back.
#[test]
fn a_file_that_comes_and_goes_while_it_is_created_leaves_nothing_behind() {
    let (_directory, path) = state_file();
    let other = open(&path);
    let clears = Arc::new(AtomicUsize::new(0));
    let create = {
        let other = other.clone();
        move || block_on(other.set("a", &1)).unwrap()
    };
    let clear = {
        let clears = Arc::clone(&clears);
        move || {
            block_on(other.clear()).unwrap();
            clears.fetch_add(1, Ordering::SeqCst);
        }
    };
    let kv = open_with(
        &path,
        [(Moment::Opened, Box::new(create)), (Moment::BeforeRenameNew, Box::new(clear))],
    );
    block_on(kv.set("b", &2)).unwrap();
    // If the file was seen in time, it was replaced and never cleared.
    let a = (clears.load(Ordering::SeqCst) == 0).then_some(1);
    assert_eq!(block_on(kv.get("a")).unwrap(), a);
    assert_eq!(block_on(kv.get("b")).unwrap(), Some(2));
}

/// A process that found nothing had a `set`, a `clear` and another `set` to do at once. Meanwhile others
/// created a file and a journal, and the file was moved away. The process removed the journal, for its
/// `clear`, and said that its first `set` had happened, where only damage was left to set anything in.
#[test]
fn a_change_before_a_clear_fails_if_only_a_journal_is_left() {
    let (_directory, path) = state_file();
    let all_wait = Arc::new(Barrier::new(2));
    let wait = {
        let all_wait = Arc::clone(&all_wait);
        move || {
            all_wait.wait();
        }
    };
    let leave_a_journal = {
        let (path, other) = (path.clone(), open_alone(&path, appending()));
        move || {
            block_on(other.set("c", &3)).unwrap();
            block_on(other.set("d", &4)).unwrap();
            assert!(journal_of(&path).exists());
            fs::rename(&path, path.with_extension("moved")).unwrap();
        }
    };
    let actions: [(_, Box<dyn FnOnce() + Send>); 2] =
        [(Moment::BeforeCall, Box::new(wait)), (Moment::Created, Box::new(leave_a_journal))];
    let kv = open_with(&path, actions);
    // Lets the engine begin, and wait until all that follows is in one batch.
    let first = start(kv.get::<u64>("a"));
    let (before, clear, after) =
        (start(kv.set("a", &1)), start(kv.clear()), start(kv.set("b", &2)));
    all_wait.wait();
    // It may have been answered before or after the journal was left.
    assert!(matches!(block_on(first), Ok(None) | Err(Error::Corrupt(_))));
    assert!(matches!(block_on(before), Err(Error::Corrupt(_))));
    block_on(clear).unwrap();
    block_on(after).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"b\": 2\n}\n");
    assert!(!journal_of(&path).exists());
}

/// A page of the journal was read before a line was written there, and the next page after another
/// line was, which says that the first one is durable. That looked like damage. Today the lock keeps
/// other processes from appending meanwhile.
#[test]
fn a_journal_does_not_grow_while_it_is_read() {
    let (_directory, path) = state_file();
    let other = open_alone(&path, appending().lock_timeout(Duration::ZERO));
    for key in ["a", "b", "c", "d"] {
        block_on(other.set(key, "some text, so that there is more than one read")).unwrap();
    }
    let attempts = Arc::new(AtomicUsize::new(0));
    let append = {
        let (other, attempts) = (other.clone(), Arc::clone(&attempts));
        move || {
            let error = block_on(other.set("e", "more")).unwrap_err();
            assert!(matches!(error, Error::Locked { .. }), "{error}");
            attempts.fetch_add(1, Ordering::SeqCst);
        }
    };
    let kv = open_with(&path, [(Moment::HalfRead, Box::new(append))]);
    assert_eq!(block_on(kv.get_all::<String>()).unwrap().len(), 4);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    block_on(other.set("e", "more")).unwrap();
    assert_eq!(block_on(kv.get_all::<String>()).unwrap().len(), 5);
}

/// While the writer holds the lock, reads need not look at the file. They still did not for a
/// moment after the lock had been released, and missed what another process wrote then.
#[test]
fn a_change_right_after_the_lock_was_released_is_seen() {
    for options in [Options::default(), appending()] {
        let (_directory, path) = state_file();
        let other = open_alone(&path, options.clone().lock_timeout(Duration::ZERO));
        block_on(other.set("a", &0)).unwrap();
        let store = Arc::new(Mutex::new(None::<AioKv>));
        let changes = Arc::new(AtomicUsize::new(0));
        let disk = {
            let (store, changes) = (Arc::clone(&store), Arc::clone(&changes));
            HookedDisk::new(move |moment| {
                let Some(store) = store.lock().unwrap().clone() else { return };
                let number = changes.load(Ordering::SeqCst) + 1;
                // Of a file that was replaced, the lock is released while the other one is held.
                if moment == Moment::Unlocked && block_on(other.set("a", &number)).is_ok() {
                    changes.store(number, Ordering::SeqCst);
                    // Nothing at once, or the new value; not the old one.
                    let seen = store.get_now(b"a").map(|entry| entry.unwrap());
                    let new = number.to_string();
                    assert!(seen.is_none_or(|entry| entry.value_text() == new));
                }
            })
        };
        let kv = AioKv::with_storage(&path, options, disk).unwrap();
        *store.lock().unwrap() = Some(kv.clone());
        for key in ["b", "c", "d"] {
            block_on(kv.set(key, &1)).unwrap();
            let newest = block_on(kv.get("a")).unwrap();
            assert!(newest >= Some(changes.load(Ordering::SeqCst)) || newest.is_some());
        }
        *store.lock().unwrap() = None;
        let changes = changes.load(Ordering::SeqCst);
        assert!(changes >= 3, "the lock was released after each change");
        assert_eq!(block_on(kv.get("a")).unwrap(), Some(changes));
    }
}
