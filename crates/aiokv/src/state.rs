//! The map in memory and how a batch of changes alters it. Pure: no I/O, no locks.
//!
//! A [`State`] keeps its entries in order of insertion in a [`View`], which is cheap to clone, and
//! finds them through an index. A batch is tried out on a [`Draft`], which leaves the state alone;
//! once the outcome is on disk, [`State::install`] makes it the state.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::entry::Entry;

/// How many entries share a chunk: what a change copies while somebody holds a view.
const CHUNK: usize = 1024;

/// The entries at one moment, in order of insertion.
///
/// Cloning copies one pointer for each 1,024 entries; later changes to the store do not show.
#[derive(Clone, Default)]
pub struct View {
    /// Every chunk but the last has `CHUNK` slots. A deleted entry leaves an empty slot, so that
    /// deleting moves nothing.
    chunks: Vec<Arc<Vec<Option<Entry>>>>,
    slots: usize,
    live: usize,
}

impl View {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).flatten()
    }

    /// The entries in order of insertion, in parts that can be worked on one at a time.
    pub fn into_parts(self) -> impl Iterator<Item = ViewPart> + Send {
        self.chunks.into_iter().map(ViewPart)
    }

    fn get(&self, slot: u32) -> Option<&Entry> {
        self.chunks[slot as usize / CHUNK][slot as usize % CHUNK].as_ref()
    }

    fn replace(&mut self, slot: u32, entry: Option<Entry>) {
        let chunk = Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]);
        let old = &mut chunk[slot as usize % CHUNK];
        self.live += usize::from(entry.is_some());
        self.live -= usize::from(old.is_some());
        *old = entry;
    }

    /// Adds an entry at the end, whose key must not be there.
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        if self.slots.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        let chunk = self.chunks.last_mut().expect("pushed above if there was none");
        Arc::make_mut(chunk).push(Some(entry));
        self.slots += 1;
        self.live += 1;
        u32::try_from(self.slots - 1).expect("fewer than 4 billion entries")
    }
}

/// Some neighbouring entries of a [`View`], at most 1,024.
pub struct ViewPart(Arc<Vec<Option<Entry>>>);

impl ViewPart {
    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flatten()
    }
}

/// What the store holds.
#[derive(Default)]
pub(crate) struct State {
    view: View,
    /// The slot of every key.
    index: HashTable<u32>,
    hasher: RandomState,
}

impl State {
    /// The entry of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        let slot = self.find(key)?;
        self.view.get(slot)
    }

    /// The state of these entries, and how many of them had a key that was there already: the
    /// last value counts, at the place of the first.
    pub(crate) fn load(mut view: View) -> (Self, usize) {
        let mut state = Self::default();
        state.index.reserve(view.slots, |_| unreachable!("the index is empty"));
        let mut duplicates = 0;
        for slot in 0..u32::try_from(view.slots).expect("fewer than 4 billion entries") {
            let Some(entry) = view.get(slot) else { continue };
            let key = entry.key();
            let hash = state.hasher.hash_one(&*key);
            let is_key = |&slot: &u32| view.get(slot).is_some_and(|other| other.key() == key);
            if let Some(&first) = state.index.find(hash, is_key) {
                let entry = entry.clone();
                view.replace(first, Some(entry));
                view.replace(slot, None);
                duplicates += 1;
            } else {
                let hash_of = |_: &u32| unreachable!("there is room for every entry");
                state.index.insert_unique(hash, slot, hash_of);
            }
        }
        state.view = view;
        (state, duplicates)
    }

    /// Starts to try out a batch of changes.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft {
            state: self,
            view: self.view.clone(),
            cleared: false,
            added: HashMap::new(),
            removed: Vec::new(),
            changed: false,
        }
    }

    /// Makes a draft of this state the state. Returns the entries from before.
    pub(crate) fn install(&mut self, changes: Changes) -> View {
        if changes.cleared {
            self.index.clear();
        }
        for slot in changes.removed {
            let entry = self.view.get(slot).expect("a draft removes what is there");
            let hash = self.hasher.hash_one(&*entry.key());
            if let Ok(found) = self.index.find_entry(hash, |&other| other == slot) {
                found.remove();
            }
        }
        let before = std::mem::replace(&mut self.view, changes.view);
        for (key, slot) in changes.added {
            let hash = self.hasher.hash_one(&*key);
            self.insert_slot(hash, slot);
        }
        before
    }

    /// The same entries without the slots of deleted ones, if those have become the larger part.
    pub(crate) fn compacted(&self) -> Option<State> {
        if self.view.slots - self.view.live <= self.view.live.max(CHUNK) {
            return None;
        }
        let mut view = View::default();
        for entry in self.view.iter() {
            view.push(entry.clone());
        }
        Some(State::load(view).0)
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        let is_key = |&slot: &u32| self.view.get(slot).is_some_and(|entry| *entry.key() == *key);
        self.index.find(self.hasher.hash_one(key), is_key).copied()
    }

    fn insert_slot(&mut self, hash: u64, slot: u32) {
        let Self { view, index, hasher } = self;
        let hash_of = |&slot: &u32| {
            let entry = view.get(slot).expect("the index names live slots only");
            hasher.hash_one(&*entry.key())
        };
        index.insert_unique(hash, slot, hash_of);
    }
}

/// A state with changes that are not on disk yet.
pub(crate) struct Draft<'state> {
    state: &'state State,
    view: View,
    /// Nothing of the state is left, only what was added since.
    cleared: bool,
    /// Keys that the state does not have, or had and lost, with their new slots.
    added: HashMap<Box<[u8]>, u32>,
    /// Slots of the state whose entries are gone.
    removed: Vec<u32>,
    changed: bool,
}

/// A finished draft, free of the state it was made from.
pub(crate) struct Changes {
    view: View,
    cleared: bool,
    added: HashMap<Box<[u8]>, u32>,
    removed: Vec<u32>,
    changed: bool,
}

impl Changes {
    /// The entries with the changes.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Whether the file has to be written or removed.
    pub(crate) fn any(&self) -> bool {
        self.changed
    }

    /// Whether the store was cleared and nothing was set since.
    pub(crate) fn leave_nothing(&self) -> bool {
        self.cleared && self.view.is_empty()
    }
}

impl Draft<'_> {
    /// The entry of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.view.get(self.find(key)?)
    }

    /// The entries with the changes.
    pub(crate) fn view(&self) -> View {
        self.view.clone()
    }

    /// Sets the value of a key. A new key goes to the end, an old one keeps its place.
    pub(crate) fn set(&mut self, entry: Entry) {
        self.changed = true;
        let key = entry.key();
        if let Some(slot) = self.find(&key) {
            drop(key);
            self.view.replace(slot, Some(entry));
        } else {
            let key = Box::from(&*key);
            let slot = self.view.push(entry);
            self.added.insert(key, slot);
        }
    }

    /// Deletes a key. A key that is not there changes nothing.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        let Some(slot) = self.find(key) else { return };
        self.changed = true;
        self.view.replace(slot, None);
        if self.added.remove(key).is_none() {
            self.removed.push(slot);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.changed = true;
        self.cleared = true;
        self.view = View::default();
        self.added.clear();
        self.removed.clear();
    }

    /// Ends the draft.
    pub(crate) fn finish(self) -> Changes {
        Changes {
            view: self.view,
            cleared: self.cleared,
            added: self.added,
            removed: self.removed,
            changed: self.changed,
        }
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        if let Some(&slot) = self.added.get(key) {
            return Some(slot);
        }
        if self.cleared {
            return None;
        }
        let slot = self.state.find(key)?;
        self.view.get(slot).is_some().then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str) -> Entry {
        Entry::new(&format!("\"{key}\""), value)
    }

    fn state(entries: impl IntoIterator<Item = Entry>) -> State {
        let mut view = View::default();
        for entry in entries {
            view.push(entry);
        }
        State::load(view).0
    }

    fn lines(view: &View) -> Vec<&str> {
        view.iter().map(Entry::line).collect()
    }

    fn apply(state: &mut State, change: impl FnOnce(&mut Draft<'_>)) {
        let mut draft = state.draft();
        change(&mut draft);
        let changes = draft.finish();
        state.install(changes);
    }

    #[test]
    fn a_draft_leaves_the_state_alone_until_it_is_installed() {
        let mut state = state([entry("a", "1")]);
        let mut draft = state.draft();
        draft.set(entry("a", "2"));
        draft.set(entry("b", "3"));
        assert_eq!(lines(&state.view), [r#""a": 1"#]);
        let changes = draft.finish();
        state.install(changes);
        assert_eq!(lines(&state.view), [r#""a": 2"#, r#""b": 3"#]);
        assert_eq!(state.get(b"b").expect("was set").value_text(), "3");
    }

    #[test]
    fn a_key_that_was_deleted_and_set_again_goes_to_the_end() {
        let mut state = state([entry("a", "1"), entry("b", "2")]);
        apply(&mut state, |draft| {
            draft.delete(b"a");
            assert!(draft.get(b"a").is_none());
            draft.set(entry("a", "3"));
        });
        assert_eq!(lines(&state.view), [r#""b": 2"#, r#""a": 3"#]);
        assert_eq!(state.get(b"a").expect("was set").value_text(), "3");
    }

    #[test]
    fn a_view_does_not_see_later_changes() {
        let mut state = state([entry("a", "1")]);
        let view = state.view.clone();
        apply(&mut state, |draft| draft.set(entry("a", "2")));
        assert_eq!(lines(&view), [r#""a": 1"#]);
    }

    #[test]
    fn clearing_forgets_earlier_changes_of_the_same_draft() {
        let mut state = state([entry("a", "1")]);
        apply(&mut state, |draft| {
            draft.set(entry("b", "2"));
            draft.delete(b"a");
            draft.clear();
            draft.set(entry("c", "3"));
        });
        assert_eq!(lines(&state.view), [r#""c": 3"#]);
        assert!(state.get(b"a").is_none() && state.get(b"b").is_none());
    }

    #[test]
    fn loading_a_key_twice_keeps_the_first_place_and_the_last_value() {
        let mut view = View::default();
        for entry in [entry("a", "1"), entry("b", "2"), Entry::new(r#""\u0061""#, "3")] {
            view.push(entry);
        }
        let (state, duplicates) = State::load(view);
        assert_eq!(duplicates, 1);
        assert_eq!(lines(&state.view), [r#""\u0061": 3"#, r#""b": 2"#]);
        assert_eq!(state.get(b"a").expect("is there").value_text(), "3");
    }

    #[test]
    fn compacting_drops_empty_slots_and_nothing_else() {
        let mut state = state((0..3 * CHUNK).map(|number| entry(&number.to_string(), "0")));
        assert!(state.compacted().is_none());
        apply(&mut state, |draft| {
            for number in 1..3 * CHUNK {
                draft.delete(number.to_string().as_bytes());
            }
        });
        let compacted = state.compacted().expect("most slots are empty");
        assert_eq!(lines(&compacted.view), lines(&state.view));
        assert_eq!(compacted.view.slots, 1);
    }
}
