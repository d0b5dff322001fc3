//! What another process can do at the worst moment. Its part is played by a second store on the
//! same file, which shares nothing with the first one because it uses the disk directly.
//!
//! The story of each bug stands before its test.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

#[path = "support/hooked_disk.rs"]
mod hooked_disk;
#[path = "support/state_file.rs"]
mod state_file;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aiokv::{AioKv, Options};
use hooked_disk::{HookedDisk, Moment};
use pollster::block_on;
use state_file::{open, state_file};

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

/// While the writer holds the lock, reads need not look at the file. They still did not for a
/// moment after the lock had been released, and missed what another process wrote then.
#[test]
fn a_change_right_after_the_lock_was_released_is_seen() {
    let (_directory, path) = state_file();
    let other = open(&path);
    block_on(other.set("a", &1)).unwrap();
    let seen = Arc::new(Mutex::new(None));
    let kv = Arc::new(Mutex::new(None::<AioKv>));
    let change = {
        let (seen, kv) = (Arc::clone(&seen), Arc::clone(&kv));
        move || {
            block_on(other.set("a", &2)).unwrap();
            let kv = kv.lock().unwrap().clone().unwrap();
            *seen.lock().unwrap() =
                kv.get_now(b"a").map(|entry| entry.unwrap().value_text().to_owned());
        }
    };
    // First the new file is unlocked, then the one that it replaced.
    let store = open_with(
        &path,
        [(Moment::Unlocked, Box::new(|| {})), (Moment::Unlocked, Box::new(change))],
    );
    *kv.lock().unwrap() = Some(store.clone());
    block_on(store.set("b", &3)).unwrap();
    // Nothing at once, or the new value; not the old one.
    assert_ne!(seen.lock().unwrap().as_deref(), Some("1"));
    assert_eq!(block_on(store.get("a")).unwrap(), Some(2));
}
