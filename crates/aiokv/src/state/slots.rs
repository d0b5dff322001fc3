//! The entries in order of insertion, each in a numbered slot.
//!
//! A clone shares all entries with the original, in chunks; a change copies the one chunk that it
//! alters, and only if a clone shares it. Does not find keys: that is the job of the index.

use std::sync::Arc;

use crate::json::Entry;

/// How many slots a full chunk has: what a change copies while a snapshot is held. Fewer make a
/// copy cheaper and a snapshot dearer.
pub(super) const CHUNK: usize = 256;

/// Some neighbouring slots. Only the last chunk has fewer than [`CHUNK`].
pub(super) type Chunk = Vec<Option<Entry>>;

/// Numbered slots. A deleted entry leaves an empty slot, so that deleting moves nothing.
#[derive(Clone, Default)]
pub(super) struct Slots {
    /// Pointers to vectors, not to arrays, so that a small store has a small chunk.
    chunks: Vec<Arc<Chunk>>,
    /// How many slots hold an entry.
    live: usize,
}

impl Slots {
    /// The number of slots, those that are empty included: the number of the next new slot.
    pub(super) fn end(&self) -> u32 {
        let slots = match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        };
        u32::try_from(slots).expect("fewer than 4 billion entries")
    }

    /// The number of entries.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The number of slots without an entry.
    pub(super) fn empty(&self) -> usize {
        self.end() as usize - self.live
    }

    pub(super) fn into_chunks(self) -> Vec<Arc<Chunk>> {
        self.chunks
    }

    /// The entries in order of insertion.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).flatten()
    }

    /// The numbers of the slots that hold an entry.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        (0..self.end()).filter(|slot| self.get(*slot).is_some())
    }

    /// The entry in a slot.
    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.chunks[slot as usize / CHUNK][slot as usize % CHUNK].as_ref()
    }

    /// Puts an entry, or nothing, in a slot: one that is there, or the next new one.
    pub(super) fn put(&mut self, slot: u32, entry: Option<Entry>) {
        if slot == self.end() {
            self.add_slot();
        }
        let chunk = Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]);
        self.live += usize::from(entry.is_some());
        let before = std::mem::replace(&mut chunk[slot as usize % CHUNK], entry);
        self.live -= usize::from(before.is_some());
    }

    /// Takes the entry out of a slot.
    pub(super) fn take(&mut self, slot: u32) -> Option<Entry> {
        let chunk = Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]);
        let before = chunk[slot as usize % CHUNK].take();
        self.live -= usize::from(before.is_some());
        before
    }

    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entry: Entry) {
        self.put(self.end(), Some(entry));
    }

    fn add_slot(&mut self) {
        let last_is_full = self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK);
        if last_is_full {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("pushed above if there was none"));
        if chunk.len() == chunk.capacity() {
            // Twice as many, but not more than a full chunk: `Vec` alone would overshoot.
            chunk.reserve_exact(chunk.len().clamp(1, CHUNK - chunk.len()));
        }
        chunk.push(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> Entry {
        Entry::new(&format!("\"{number}\""), "0")
    }

    #[test]
    fn chunks_grow_by_doubling_up_to_their_full_size() {
        let mut slots = Slots::default();
        let mut capacities = Vec::new();
        for number in 0..2 * CHUNK + 1 {
            slots.push(entry(number));
            capacities.push(slots.chunks[number / CHUNK].capacity());
        }
        assert_eq!(capacities[..9], [1, 2, 4, 4, 8, 8, 8, 8, 16]);
        assert_eq!((capacities[CHUNK - 1], capacities[2 * CHUNK]), (CHUNK, 1));
        assert_eq!(slots.iter().count(), 2 * CHUNK + 1);
        assert_eq!(slots.end() as usize, 2 * CHUNK + 1);
    }

    #[test]
    fn a_copied_chunk_grows_to_its_full_size_and_no_further() {
        let mut slots = Slots::default();
        (0..200).for_each(|number| slots.push(entry(number)));
        let held = slots.clone();
        (200..CHUNK).for_each(|number| slots.push(entry(number)));
        assert_eq!((slots.chunks.len(), slots.chunks[0].capacity()), (1, CHUNK));
        assert_eq!((held.live(), slots.live()), (200, CHUNK));
    }

    #[test]
    fn an_empty_slot_stays_in_its_place() {
        let mut slots = Slots::default();
        (0..3).for_each(|number| slots.push(entry(number)));
        assert_eq!(slots.take(1).expect("was pushed").line(), r#""1": 0"#);
        assert!(slots.get(1).is_none());
        assert_eq!((slots.live(), slots.empty(), slots.end()), (2, 1, 3));
        slots.put(1, Some(entry(7)));
        let lines = Vec::from_iter(slots.iter().map(Entry::line));
        assert_eq!(lines, [r#""0": 0"#, r#""7": 0"#, r#""2": 0"#]);
    }
}
