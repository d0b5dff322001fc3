//! The map in memory: entries in order of insertion, found by key.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::json::Entry;
use crate::state::index::Index;
use crate::state::record::Record;
use crate::state::slots::{CHUNK, Slots};
use crate::state::snapshot::{Loading, Snapshot};
use crate::state::sorted::Sorted;

/// What the store holds.
#[derive(Default)]
pub(crate) struct State {
    slots: Slots,
    /// The slot of each key.
    index: Index,
    /// The slots in the order of the keys, once a prefix was asked for.
    sorted: OnceLock<Sorted>,
}

impl State {
    /// The state of the entries of a snapshot, and how many of them had a key that was there
    /// already: the last value counts, at the place of the first.
    pub(crate) fn load(snapshot: Snapshot) -> (Self, usize) {
        let mut slots = snapshot.into_slots();
        let mut index = Index::with_room_for(slots.live());
        let mut duplicates = 0;
        for slot in 0..slots.end() {
            let Some(entry) = slots.get(slot) else { continue };
            let key = entry.key();
            if let Some(first) = index.insert(&key, slot, |it| has_key(&slots, it, &key)) {
                drop(key);
                let entry = slots.take(slot);
                slots.put(first, entry);
                duplicates += 1;
            }
        }
        (Self { slots, index, sorted: OnceLock::new() }, duplicates)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.slots.get(self.find(key)?)
    }

    /// The entries in order of insertion.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter()
    }

    /// The entries.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.slots.clone())
    }

    /// The entries that will be there once a record of this state is installed.
    pub(crate) fn snapshot_with(&self, record: &Record) -> Snapshot {
        let mut slots = if record.cleared() { Slots::default() } else { self.slots.clone() };
        for change in record.changes() {
            slots.put(change.slot, change.after.clone());
        }
        Snapshot::of(slots)
    }

    /// Makes the changes of a record that a draft of this state has written down. Returns what it
    /// took out: the state before a clear, and the record, which has the entries that it replaced
    /// and deleted. There may be much of it to free, which the caller should do where no operation
    /// waits for it.
    #[must_use]
    pub(crate) fn install(&mut self, record: Record) -> (Option<State>, Record) {
        let state = record.cleared().then(|| std::mem::take(self));
        for change in record.changes() {
            let (slot, slots) = (change.slot, &mut self.slots);
            match (&change.before, &change.after) {
                (None, Some(entry)) => {
                    debug_assert_eq!(slot, slots.end(), "the record is of another state");
                    slots.put(slot, Some(entry.clone()));
                    let key = entry.key();
                    let other = self.index.insert(&key, slot, |it| has_key(slots, it, &key));
                    debug_assert!(other.is_none(), "the record is of another state");
                    if let Some(sorted) = self.sorted.get_mut() {
                        sorted.insert(slot, |it| key_of(slots, it).cmp(&key));
                    }
                }
                (Some(_), Some(entry)) => slots.put(slot, Some(entry.clone())),
                (Some(entry), None) => {
                    let key = entry.key();
                    self.index.remove(&key, slot);
                    if let Some(sorted) = self.sorted.get_mut() {
                        sorted.remove(slot, |it| key_of(slots, it).cmp(&key));
                    }
                    slots.put(slot, None);
                }
                (None, None) => unreachable!("a change has an entry before or after"),
            }
        }
        (state, record)
    }

    /// The same entries without the slots and the texts of deleted ones, if those have become the
    /// larger part.
    pub(crate) fn compacted(&self) -> Option<State> {
        if self.slots.empty() <= self.slots.live().max(CHUNK) {
            return None;
        }
        let mut compacted = Loading::default();
        for entry in self.slots.iter() {
            compacted.push(entry.line());
        }
        Some(State::load(compacted.finish()).0)
    }

    /// The slot and the entry of a key.
    pub(super) fn place(&self, key: &[u8]) -> Option<(u32, &Entry)> {
        let slot = self.find(key)?;
        self.slots.get(slot).map(|entry| (slot, entry))
    }

    /// The entries whose keys start with a prefix, with their slots, in the order of the keys. The
    /// first time, all keys are put in order.
    pub(super) fn with_prefix(&self, prefix: &[u8]) -> impl Iterator<Item = (u32, &Entry)> {
        let sorted = self.sorted.get_or_init(|| {
            let slots: Vec<_> = self.slots.numbers().collect();
            Sorted::new(&slots, |slot| key_of(&self.slots, slot))
        });
        let from = sorted.from(|slot| *key_of(&self.slots, *slot) < *prefix);
        let entries = from.map(|slot| (slot, entry_of(&self.slots, slot)));
        entries.take_while(|(_, entry)| entry.key().starts_with(prefix))
    }

    /// The slot that the next new key gets.
    pub(super) fn end(&self) -> u32 {
        self.slots.end()
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(key, |slot| has_key(&self.slots, slot, key))
    }
}

/// Whether a slot that the index names holds a key.
fn has_key(slots: &Slots, slot: u32, key: &[u8]) -> bool {
    entry_of(slots, slot).has_key(key)
}

/// The key in a slot that an index names.
fn key_of(slots: &Slots, slot: u32) -> Cow<'_, [u8]> {
    entry_of(slots, slot).key()
}

/// The entry in a slot that an index names.
fn entry_of(slots: &Slots, slot: u32) -> &Entry {
    slots.get(slot).expect("an index names no empty slots")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::draft::Draft;

    fn entry(key: &str, value: &str) -> Entry {
        Entry::new(&format!("\"{key}\""), value)
    }

    fn state(entries: impl IntoIterator<Item = Entry>) -> State {
        let mut slots = Slots::default();
        entries.into_iter().for_each(|entry| slots.push(entry));
        State::load(Snapshot::of(slots)).0
    }

    fn zeros(keys: usize) -> State {
        state((0..keys).map(|number| entry(&number.to_string(), "0")))
    }

    fn lines(state: &State) -> Vec<&str> {
        state.slots.iter().map(Entry::line).collect()
    }

    fn apply(state: &mut State, change: impl FnOnce(&mut Draft<'_>)) -> (Option<State>, Record) {
        let mut draft = Draft::new(state);
        change(&mut draft);
        let record = draft.finish();
        state.install(record)
    }

    #[test]
    fn a_draft_leaves_the_state_alone_until_its_record_is_installed() {
        let mut state = state([entry("a", "1")]);
        let mut draft = Draft::new(&state);
        draft.replay_set(entry("a", "2"));
        draft.replay_set(entry("b", "3"));
        let record = draft.finish();
        assert_eq!(lines(&state), [r#""a": 1"#]);
        assert_eq!(state.snapshot_with(&record).len(), 2);
        assert_eq!(lines(&state), [r#""a": 1"#]);
        let (cleared, record) = state.install(record);
        assert!(cleared.is_none());
        assert_eq!(record.groups().count(), 2);
        assert_eq!(lines(&state), [r#""a": 2"#, r#""b": 3"#]);
        assert_eq!(state.get(b"b").expect("was set").value_text(), "3");
    }

    #[test]
    fn a_key_that_was_deleted_and_set_again_goes_to_the_end() {
        let mut state = state([entry("a", "1"), entry("b", "2")]);
        drop(apply(&mut state, |draft| {
            draft.replay_delete(b"a");
            assert!(draft.get(b"a").is_none());
            draft.replay_set(entry("a", "3"));
        }));
        assert_eq!(lines(&state), [r#""b": 2"#, r#""a": 3"#]);
        assert_eq!(state.get(b"a").expect("was set").value_text(), "3");
    }

    #[test]
    fn a_snapshot_does_not_see_later_changes() {
        let mut state = state([entry("a", "1")]);
        let snapshot = state.snapshot();
        drop(apply(&mut state, |draft| {
            draft.replay_set(entry("a", "2"));
            draft.replay_set(entry("b", "2"));
        }));
        let lines = Vec::from_iter(snapshot.iter().map(Entry::line));
        assert_eq!(lines, [r#""a": 1"#]);
    }

    #[test]
    fn loading_a_key_twice_keeps_the_first_place_and_the_last_value() {
        let mut loading = Loading::default();
        for line in [r#""a": 1"#, r#""b": 2"#, r#""\u0061": 3"#] {
            loading.push(line);
        }
        let (state, duplicates) = State::load(loading.finish());
        assert_eq!(duplicates, 1);
        assert_eq!(lines(&state), [r#""\u0061": 3"#, r#""b": 2"#]);
        assert_eq!(state.get(b"a").expect("is there").value_text(), "3");
    }

    #[test]
    fn a_change_copies_entries_only_while_a_snapshot_is_held() {
        let mut state = zeros(3 * CHUNK);
        let chunks = |state: &State| {
            Vec::from_iter(state.slots.clone().into_chunks().iter().map(Arc::as_ptr))
        };
        let before = chunks(&state);
        drop(apply(&mut state, |draft| draft.replay_set(entry("0", "1"))));
        assert_eq!(chunks(&state), before);
        let snapshot = state.snapshot();
        drop(apply(&mut state, |draft| draft.replay_set(entry("0", "2"))));
        assert_ne!(chunks(&state)[0], before[0]);
        assert_eq!(chunks(&state)[1..], before[1..]);
        drop(snapshot);
    }

    #[test]
    fn every_key_is_found_while_the_state_grows_and_shrinks() {
        let keys = 10_000;
        let key = |number: usize| number.to_string();
        let mut state = State::default();
        for first in (0..keys).step_by(100) {
            drop(apply(&mut state, |draft| {
                let numbers = first..first + 100;
                numbers.for_each(|number| draft.replay_set(entry(&key(number), "0")));
            }));
        }
        assert!((0..keys).all(|number| state.get(key(number).as_bytes()).is_some()));
        drop(apply(&mut state, |draft| {
            (0..keys).step_by(2).for_each(|number| draft.replay_delete(key(number).as_bytes()));
        }));
        let is_there = |number: usize| state.get(key(number).as_bytes()).is_some();
        assert!((0..keys).all(|number| is_there(number) == (number % 2 == 1)));
    }

    #[test]
    fn compacting_drops_empty_slots_and_nothing_else() {
        let mut state = zeros(3 * CHUNK);
        assert!(state.compacted().is_none());
        drop(apply(&mut state, |draft| {
            (1..3 * CHUNK).for_each(|number| draft.replay_delete(number.to_string().as_bytes()));
        }));
        let compacted = state.compacted().expect("most slots are empty");
        assert_eq!(lines(&compacted), lines(&state));
        assert_eq!(compacted.slots.end(), 1);
    }

    #[test]
    fn a_state_and_what_it_displaced_can_be_freed_on_any_thread() {
        fn assert_send<T: Send + 'static>() {}
        assert_send::<State>();
        assert_send::<(Option<State>, Record)>();
        assert_send::<Snapshot>();
    }
}
