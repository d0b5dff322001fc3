//! The map in memory and how a batch of changes alters it. Pure: no I/O, no locks.
//!
//! A [`State`] keeps its entries in order of insertion in a [`View`], and finds them through an
//! [`Index`]. A batch is tried out on a [`Draft`], which leaves the state alone and holds nothing
//! but the difference; once the outcome is on disk, [`State::install`] makes it the state. So what
//! a batch costs follows its changes, however much the state holds.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};

use crate::json::entry::{Block, Entry};

/// How many entries share a chunk: what a change copies while somebody holds a view. Fewer make a
/// copy cheaper and a view dearer.
const CHUNK: usize = 256;

type Chunk = [Option<Entry>; CHUNK];

/// The entries at one moment, in order of insertion.
///
/// Cloning copies one pointer for each 256 entries; later changes to the store do not show.
#[derive(Clone, Default)]
pub struct View {
    /// The slots of the entries and, after them, unused ones. A deleted entry leaves an empty
    /// slot, so that deleting moves nothing.
    chunks: Vec<Arc<Chunk>>,
    /// How many slots are used or empty.
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

    /// The entry in a slot that is not empty.
    fn entry(&self, slot: u32) -> &Entry {
        self.get(slot).expect("the index names no empty slots")
    }

    /// Puts an entry, or nothing, in a slot. Returns what was there.
    fn replace(&mut self, slot: u32, entry: Option<Entry>) -> Option<Entry> {
        let chunk = Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]);
        self.live += usize::from(entry.is_some());
        let before = std::mem::replace(&mut chunk[slot as usize % CHUNK], entry);
        self.live -= usize::from(before.is_some());
        before
    }

    /// Adds an entry at the end, whose key must not be there.
    fn push(&mut self, entry: Entry) -> u32 {
        if self.slots.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        let chunk = self.chunks.last_mut().expect("pushed above if there was none");
        Arc::make_mut(chunk)[self.slots % CHUNK] = Some(entry);
        self.slots += 1;
        self.live += 1;
        u32::try_from(self.slots - 1).expect("fewer than 4 billion entries")
    }
}

/// Makes a view of lines that come one after the other, with one text for neighbours.
#[derive(Default)]
pub(crate) struct Loading {
    view: View,
    block: Block,
}

impl Loading {
    /// Adds the entry with this line at the end.
    pub(crate) fn push(&mut self, line: &str) {
        if !self.block.has_room_for(line) {
            self.move_block();
        }
        self.block.push(line);
    }

    /// The entries in the order in which they came.
    pub(crate) fn finish(mut self) -> View {
        self.move_block();
        self.view
    }

    fn move_block(&mut self) {
        for entry in self.block.drain() {
            self.view.push(entry);
        }
    }
}

/// Some neighbouring entries of a [`View`], at most 256.
pub struct ViewPart(Arc<Chunk>);

impl ViewPart {
    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flatten()
    }
}

/// Into how many tables the index is divided.
const TABLES: usize = 256;

/// Finds the slot of a key. The keys themselves stand in the view.
///
/// A hash table that is full moves everything that it holds. So that no change has to wait long for
/// that, there are many tables, each of which grows on its own and without a look at the keys.
struct Index {
    tables: [HashTable<Place>; TABLES],
    hasher: RandomState,
}

struct Place {
    hash: Hash,
    slot: u32,
}

/// As much of the hash of a key as is kept.
#[derive(Clone, Copy, PartialEq)]
struct Hash(u32);

impl Hash {
    /// Which table holds the key.
    fn table(self) -> usize {
        self.0 as usize % TABLES
    }

    /// The hash that the table works with. Its first and its last bits count most, so the bits
    /// that did not choose the table are spread over all of it.
    fn in_table(self) -> u64 {
        u64::from(self.0 / TABLES as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::with_room_for(0)
    }
}

impl Index {
    fn with_room_for(slots: usize) -> Self {
        let table = |_| HashTable::with_capacity(slots / TABLES);
        Self { tables: std::array::from_fn(table), hasher: RandomState::default() }
    }

    fn hash(&self, key: &[u8]) -> Hash {
        Hash((self.hasher.hash_one(key) >> 32) as u32)
    }

    fn find(&self, key: &[u8], view: &View) -> Option<u32> {
        let hash = self.hash(key);
        let has_key = |it: &Place| it.hash == hash && view.entry(it.slot).has_key(key);
        self.tables[hash.table()].find(hash.in_table(), has_key).map(|place| place.slot)
    }

    /// Adds the key in a slot. If another slot has that key, returns that and changes nothing.
    fn insert(&mut self, slot: u32, view: &View) -> Option<u32> {
        let key = view.entry(slot).key();
        let hash = self.hash(&key);
        let has_key = |it: &Place| it.hash == hash && view.entry(it.slot).has_key(&key);
        let table = &mut self.tables[hash.table()];
        match table.entry(hash.in_table(), has_key, |it| it.hash.in_table()) {
            hash_table::Entry::Occupied(other) => Some(other.get().slot),
            hash_table::Entry::Vacant(vacant) => {
                vacant.insert(Place { hash, slot });
                None
            }
        }
    }

    /// Removes the key in a slot.
    fn remove(&mut self, slot: u32, view: &View) {
        let hash = self.hash(&view.entry(slot).key());
        let found = self.tables[hash.table()].find_entry(hash.in_table(), |it| it.slot == slot);
        found.unwrap_or_else(|_| unreachable!("every key has its place")).remove();
    }
}

/// What the store holds.
#[derive(Default)]
pub(crate) struct State {
    view: View,
    index: Index,
}

impl State {
    /// The entry of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.view.get(self.find(key)?)
    }

    /// The state of these entries, and how many of them had a key that was there already: the
    /// last value counts, at the place of the first.
    pub(crate) fn load(mut view: View) -> (Self, usize) {
        let mut index = Index::with_room_for(view.slots);
        let mut duplicates = 0;
        for slot in 0..u32::try_from(view.slots).expect("fewer than 4 billion entries") {
            if let Some(first) = index.insert(slot, &view) {
                let entry = view.replace(slot, None);
                view.replace(first, entry);
                duplicates += 1;
            }
        }
        (Self { view, index }, duplicates)
    }

    /// Starts to try out a batch of changes.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft { state: self, changes: Changes::default() }
    }

    /// The entries with changes that were drafted on this state.
    pub(crate) fn view_with(&self, changes: &Changes) -> View {
        let mut view = if changes.cleared { View::default() } else { self.view.clone() };
        for (&slot, entry) in &changes.replaced {
            view.replace(slot, entry.clone());
        }
        for entry in changes.added.iter().flatten() {
            view.push(entry.clone());
        }
        view
    }

    /// Makes a draft of this state the state. Returns what it displaced: there may be much of it
    /// to free, which is for the caller to do where nobody waits.
    pub(crate) fn install(&mut self, changes: Changes) -> (Option<State>, Vec<Entry>) {
        let cleared = changes.cleared.then(|| std::mem::take(self));
        let mut replaced = Vec::new();
        for (slot, entry) in changes.replaced {
            if entry.is_none() {
                self.index.remove(slot, &self.view);
            }
            replaced.extend(self.view.replace(slot, entry));
        }
        for entry in changes.added.into_iter().flatten() {
            let slot = self.view.push(entry);
            self.index.insert(slot, &self.view);
        }
        (cleared, replaced)
    }

    /// The same entries without the slots and the texts of deleted ones, if those have become the
    /// larger part.
    pub(crate) fn compacted(&self) -> Option<State> {
        if self.view.slots - self.view.live <= self.view.live.max(CHUNK) {
            return None;
        }
        let mut compacted = Loading::default();
        for entry in self.view.iter() {
            compacted.push(entry.line());
        }
        Some(State::load(compacted.finish()).0)
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(key, &self.view)
    }
}

/// A state with changes that are not on disk yet.
pub(crate) struct Draft<'state> {
    state: &'state State,
    changes: Changes,
}

/// What a finished draft changes, free of the state that it was made from.
#[derive(Default)]
pub(crate) struct Changes {
    /// Nothing of the state is left, only what was added since.
    cleared: bool,
    /// Slots of the state with their new entries, or with nothing.
    replaced: HashMap<u32, Option<Entry>>,
    /// What comes after the entries of the state. What was deleted again left nothing.
    added: Vec<Option<Entry>>,
    /// Where in `added` a key is.
    places: HashMap<Box<[u8]>, usize>,
    changed: bool,
}

impl Changes {
    /// Whether the file has to be written or removed.
    pub(crate) fn any(&self) -> bool {
        self.changed
    }

    /// Whether the store was cleared and nothing was set since.
    pub(crate) fn leave_nothing(&self) -> bool {
        self.cleared && self.places.is_empty()
    }
}

impl Draft<'_> {
    /// The entry of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        if let Some(&place) = self.changes.places.get(key) {
            return self.changes.added[place].as_ref();
        }
        let slot = self.find(key)?;
        match self.changes.replaced.get(&slot) {
            Some(entry) => entry.as_ref(),
            None => self.state.view.get(slot),
        }
    }

    /// The entries with the changes.
    pub(crate) fn view(&self) -> View {
        self.state.view_with(&self.changes)
    }

    /// Sets the value of a key. A new key goes to the end, an old one keeps its place.
    pub(crate) fn set(&mut self, entry: Entry) {
        self.changes.changed = true;
        let key = entry.key();
        if let Some(&place) = self.changes.places.get(&*key) {
            drop(key);
            self.changes.added[place] = Some(entry);
        } else if let Some(slot) = self.find(&key) {
            drop(key);
            self.changes.replaced.insert(slot, Some(entry));
        } else {
            self.changes.places.insert(Box::from(&*key), self.changes.added.len());
            drop(key);
            self.changes.added.push(Some(entry));
        }
    }

    /// Deletes a key. A key that is not there changes nothing.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        if let Some(place) = self.changes.places.remove(key) {
            self.changes.added[place] = None;
        } else if let Some(slot) = self.find(key) {
            self.changes.replaced.insert(slot, None);
        } else {
            return;
        }
        self.changes.changed = true;
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.changes = Changes { cleared: true, changed: true, ..Changes::default() };
    }

    /// Ends the draft.
    pub(crate) fn finish(self) -> Changes {
        self.changes
    }

    /// The slot of the state that still has a key.
    fn find(&self, key: &[u8]) -> Option<u32> {
        if self.changes.cleared {
            return None;
        }
        let slot = self.state.find(key)?;
        let deleted = matches!(self.changes.replaced.get(&slot), Some(None));
        (!deleted).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn a_change_copies_entries_only_while_somebody_holds_a_view() {
        let mut state = state((0..2 * CHUNK).map(|number| entry(&number.to_string(), "0")));
        let chunks = |state: &State| Vec::from_iter(state.view.chunks.iter().map(Arc::as_ptr));
        let before = chunks(&state);
        apply(&mut state, |draft| draft.set(entry("0", "1")));
        assert_eq!(chunks(&state), before);
        let view = state.draft().view();
        apply(&mut state, |draft| draft.set(entry("0", "2")));
        assert_ne!(chunks(&state)[0], before[0]);
        assert_eq!(chunks(&state)[1], before[1]);
        drop(view);
    }

    #[test]
    fn every_key_is_found_while_the_index_grows_and_shrinks() {
        let keys = 50 * TABLES;
        let key = |number: usize| number.to_string();
        let mut state = State::default();
        for first in (0..keys).step_by(TABLES) {
            apply(&mut state, |draft| {
                (first..first + TABLES).for_each(|number| draft.set(entry(&key(number), "0")));
            });
        }
        assert!((0..keys).all(|number| state.get(key(number).as_bytes()).is_some()));
        apply(&mut state, |draft| {
            (0..keys).step_by(2).for_each(|number| draft.delete(key(number).as_bytes()));
        });
        let is_there = |number: usize| state.get(key(number).as_bytes()).is_some();
        assert!((0..keys).all(|number| is_there(number) == (number % 2 == 1)));
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

    /// A change to one of a few keys, which have the numbers as names.
    #[derive(Debug, Clone)]
    enum Change {
        Set(u8, u32),
        Delete(u8),
        Clear,
    }

    const KEYS: std::ops::Range<u8> = 0..8;

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            8 => (KEYS, any::<u32>()).prop_map(|(key, value)| Change::Set(key, value)),
            4 => KEYS.prop_map(Change::Delete),
            1 => Just(Change::Clear),
        ];
        prop::collection::vec(change, 0..12)
    }

    /// What a change does to a plain list.
    fn change_list(list: &mut Vec<(u8, u32)>, change: &Change) {
        match *change {
            Change::Set(key, value) => match list.iter_mut().find(|entry| entry.0 == key) {
                Some(entry) => entry.1 = value,
                None => list.push((key, value)),
            },
            Change::Delete(key) => list.retain(|entry| entry.0 != key),
            Change::Clear => list.clear(),
        }
    }

    fn assert_holds<'entry>(
        view: &View,
        get: impl Fn(&[u8]) -> Option<&'entry Entry>,
        list: &[(u8, u32)],
    ) {
        let line = |(key, value): &(u8, u32)| format!("\"{key}\": {value}");
        assert_eq!(lines(view), Vec::from_iter(list.iter().map(line)));
        assert_eq!(view.len(), list.len());
        for key in KEYS {
            let found = get(key.to_string().as_bytes()).map(Entry::line);
            let expected = list.iter().find(|entry| entry.0 == key).map(line);
            assert_eq!(found, expected.as_deref());
        }
    }

    proptest! {
        #[test]
        fn drafts_and_states_agree_with_a_plain_list(
            batches in prop::collection::vec(changes(), 1..6),
        ) {
            let mut state = State::default();
            let mut list = Vec::new();
            for batch in batches {
                let mut draft = state.draft();
                for change in &batch {
                    match change {
                        Change::Set(key, value) => {
                            draft.set(entry(&key.to_string(), &value.to_string()));
                        }
                        Change::Delete(key) => draft.delete(key.to_string().as_bytes()),
                        Change::Clear => draft.clear(),
                    }
                    change_list(&mut list, change);
                    assert_holds(&draft.view(), |key| draft.get(key), &list);
                }
                let changes = draft.finish();
                state.install(changes);
                assert_holds(&state.view, |key| state.get(key), &list);
            }
        }
    }
}
