//! Those who watch a store, and what they are told: the changes of memory, whichever process or
//! program made them.
//!
//! What changes is written down for each watcher while the writer holds the lock of the file. The
//! watchers are answered when the lock is free, before the operations that made the changes.
//!
//! A watcher that is slow gets the net change of each key since it was told last, so what waits for
//! it is never more than the keys of the store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::error::Error;
use crate::json::Entry;
use crate::queue::{Changed, Key, Outcome, Waiter};
use crate::state::{Record, State};

/// The watchers of one memory.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Mutex<Vec<Weak<Watcher>>>,
    /// How many there are at most, for a look without the lock.
    count: AtomicUsize,
}

/// Watches the keys that start with a prefix.
pub(crate) struct Watcher {
    prefix: Key,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The net changes that the watcher was not told of, by when they came first.
    changes: BTreeMap<u64, Net>,
    /// Where in `changes` a key is.
    places: BTreeMap<Key, u64>,
    /// How many changes ever came.
    came: u64,
    error: Option<Error>,
    /// The text of the last error, until the store could be read again. Damage is told once, however
    /// often the engine looks at it.
    unreadable: Option<String>,
    waiter: Option<Box<dyn Waiter>>,
}

struct Net {
    key: Key,
    before: Option<Entry>,
    after: Option<Entry>,
}

impl Watchers {
    /// Adds a watcher, which is told of every change from now on.
    pub(crate) fn add(&self, watcher: &Arc<Watcher>) {
        let mut watchers = self.lock();
        watchers.retain(|other| other.strong_count() > 0);
        watchers.push(Arc::downgrade(watcher));
        self.count.store(watchers.len(), Ordering::Release);
    }

    /// Whether there may be any.
    pub(super) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Writes recorded changes down. `cleared` is what was there before a clear.
    pub(super) fn add_changes(&self, cleared: Option<&State>, record: &Record) {
        for watcher in self.all() {
            let gone = cleared.into_iter().flat_map(State::iter).map(|entry| (Some(entry), None));
            let changed = record.groups().flatten().map(|it| (it.before(), it.after()));
            watcher.add(gone.chain(changed));
        }
    }

    /// Writes the differences between two states down.
    pub(super) fn add_difference(&self, before: &State, after: &State) {
        for watcher in self.all() {
            let is_gone = |entry: &&Entry| after.get(&entry.key()).is_none();
            let gone = before.iter().filter(is_gone).map(|entry| (Some(entry), None));
            let there = after.iter().map(|entry| (before.get(&entry.key()), Some(entry)));
            watcher.add(gone.chain(there));
        }
    }

    /// Writes down that the store cannot be read.
    pub(super) fn add_error(&self, error: &Error) {
        if self.any() {
            self.all().iter().for_each(|watcher| watcher.inner().add_error(error));
        }
    }

    /// Answers the watchers that wait, if there is something to tell. May take a while: no lock of
    /// the file should be held.
    pub(super) fn answer(&self) {
        if self.any() {
            self.all().iter().for_each(|watcher| watcher.answer());
        }
    }

    fn all(&self) -> Vec<Arc<Watcher>> {
        let mut watchers = self.lock();
        let all: Vec<_> = watchers.iter().filter_map(Weak::upgrade).collect();
        if all.len() < watchers.len() {
            watchers.retain(|watcher| watcher.strong_count() > 0);
            self.count.store(watchers.len(), Ordering::Release);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Watcher>>> {
        self.watchers.lock().expect("nothing panics while this is locked")
    }
}

impl Watcher {
    pub(crate) fn new(prefix: Key) -> Arc<Self> {
        Arc::new(Self { prefix, inner: Mutex::default() })
    }

    /// Answers with the changes since the last answer, once there are any.
    pub(crate) fn next(&self, waiter: Box<dyn Waiter>) {
        self.inner().waiter = Some(waiter);
        self.answer();
    }

    fn add<'entry>(
        &self,
        changes: impl Iterator<Item = (Option<&'entry Entry>, Option<&'entry Entry>)>,
    ) {
        let mut inner = self.inner();
        (inner.error, inner.unreadable) = (None, None);
        for (before, after) in changes {
            let Some(entry) = after.or(before).filter(|_| differ(before, after)) else { continue };
            let key = entry.key();
            if key.starts_with(&self.prefix) {
                inner.add(&key, before.cloned(), after.cloned());
            }
        }
    }

    /// Answers, if somebody waits and there is something to tell.
    fn answer(&self) {
        let mut inner = self.inner();
        if inner.waiter.is_none() || (inner.changes.is_empty() && inner.error.is_none()) {
            return;
        }
        let waiter = inner.waiter.take();
        let answer = match inner.error.take() {
            Some(error) => Err(error),
            None => {
                inner.places.clear();
                let changes = std::mem::take(&mut inner.changes).into_values();
                let changed = |Net { key, before, after }| Changed { key, before, after };
                Ok(Outcome::Changes(changes.map(changed).collect()))
            }
        };
        drop(inner);
        // Without a lock, because it may take a while.
        if let Some(wake) = waiter.and_then(|waiter| waiter.answer(answer)) {
            wake.wake();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while this is locked")
    }
}

impl Inner {
    fn add_error(&mut self, error: &Error) {
        let text = Some(error.to_string());
        if self.unreadable != text {
            self.unreadable = text;
            self.error = Some(error.clone());
        }
    }

    fn add(&mut self, key: &[u8], before: Option<Entry>, after: Option<Entry>) {
        match self.places.get(key) {
            Some(place) => {
                let net = self.changes.get_mut(place).expect("every place has its change");
                net.after = after;
                if !differ(net.before.as_ref(), net.after.as_ref()) {
                    self.changes.remove(place);
                    self.places.remove(key);
                }
            }
            None if differ(before.as_ref(), after.as_ref()) => {
                self.came += 1;
                self.places.insert(key.into(), self.came);
                self.changes.insert(self.came, Net { key: key.into(), before, after });
            }
            None => {}
        }
    }
}

fn differ(before: Option<&Entry>, after: Option<&Entry>) -> bool {
    before.map(Entry::value_text) != after.map(Entry::value_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: u32) -> Option<Entry> {
        Some(Entry::new("\"a\"", &value.to_string()))
    }

    fn told(inner: &Inner) -> Vec<(Option<String>, Option<String>)> {
        let value = |entry: &Option<Entry>| entry.as_ref().map(|it| it.value_text().to_owned());
        inner.changes.values().map(|net| (value(&net.before), value(&net.after))).collect()
    }

    #[test]
    fn what_waits_is_the_net_change_of_each_key() {
        let mut inner = Inner::default();
        inner.add(b"a", None, entry(1));
        inner.add(b"a", entry(1), entry(2));
        assert_eq!(told(&inner), [(None, Some("2".to_owned()))]);
        inner.add(b"a", entry(2), None);
        assert_eq!(told(&inner), []);
        inner.add(b"a", entry(3), entry(3));
        assert_eq!(told(&inner), []);
    }
}
