//! The slots of all keys in the order of the keys: finds the keys with a prefix without a look at
//! any other key.
//!
//! It is built when a prefix is asked for first, and kept up to date from then on. It holds slot
//! numbers only, 4 bytes a key and little more; the caller has the keys.

use std::cmp::Ordering;

/// How many slots a block holds at most. A change moves at most so many numbers.
const BLOCK_MAX: usize = 512;

/// See the [module](self).
pub(super) struct Sorted {
    /// None is empty. The slots of a block and of one block after the other are in the order of
    /// their keys.
    blocks: Vec<Vec<u32>>,
}

impl Sorted {
    /// The order of slots whose keys `compare` compares.
    pub(super) fn new(mut slots: Vec<u32>, mut compare: impl FnMut(u32, u32) -> Ordering) -> Self {
        slots.sort_unstable_by(|one, other| compare(*one, *other));
        // Half full, so that the first changes divide no block.
        Self { blocks: slots.chunks(BLOCK_MAX / 2).map(<[u32]>::to_vec).collect() }
    }

    /// Adds a slot. `compare` tells how the key of a slot compares to that of the new one.
    pub(super) fn insert(&mut self, slot: u32, compare: impl Fn(u32) -> Ordering) {
        let is_before = |other: &u32| compare(*other).is_lt();
        let Some(last) = self.blocks.len().checked_sub(1) else {
            self.blocks.push(vec![slot]);
            return;
        };
        let block = self.first_block(is_before).min(last);
        let place = self.blocks[block].partition_point(is_before);
        self.blocks[block].insert(place, slot);
        if self.blocks[block].len() > BLOCK_MAX {
            let second = self.blocks[block].split_off(BLOCK_MAX / 2);
            self.blocks.insert(block + 1, second);
        }
    }

    /// Removes a slot. `compare` tells how the key of a slot compares to that of this one.
    pub(super) fn remove(&mut self, slot: u32, compare: impl Fn(u32) -> Ordering) {
        let is_before = |other: &u32| compare(*other).is_lt();
        let block = self.first_block(is_before);
        let slots = &mut self.blocks[block];
        let place = slots.partition_point(is_before);
        debug_assert_eq!(slots[place], slot, "the keys are in order");
        slots.remove(place);
        if slots.is_empty() {
            self.blocks.remove(block);
        }
    }

    /// The slots from the first whose key is not before some place, in the order of their keys.
    pub(super) fn from(&self, is_before: impl Fn(&u32) -> bool) -> impl Iterator<Item = u32> {
        let block = self.first_block(&is_before);
        let place = self.blocks.get(block).map_or(0, |slots| slots.partition_point(is_before));
        self.blocks[block..].iter().flatten().skip(place).copied()
    }

    /// The first block whose last key is not before some place.
    fn first_block(&self, is_before: impl Fn(&u32) -> bool) -> usize {
        self.blocks.partition_point(|slots| slots.last().is_some_and(&is_before))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_list(
            first in prop::collection::btree_set(0_u32..3000, 0..1500),
            changes in prop::collection::vec(0_u32..3000, 0..1500),
            from in 0_u32..3000,
        ) {
            // The key of a slot is its number turned around, so that the orders differ.
            let key = |slot: u32| u32::MAX - slot;
            let mut slots = first;
            let by_key = |one: u32, other: u32| key(one).cmp(&key(other));
            let mut sorted = Sorted::new(slots.iter().copied().collect(), by_key);
            for slot in changes {
                if slots.insert(slot) {
                    sorted.insert(slot, |other| by_key(other, slot));
                } else {
                    slots.remove(&slot);
                    sorted.remove(slot, |other| by_key(other, slot));
                }
            }
            let found = Vec::from_iter(sorted.from(|slot| key(*slot) < key(from)));
            let expected = Vec::from_iter(slots.iter().rev().copied().filter(|slot| *slot <= from));
            prop_assert_eq!(found, expected);
            prop_assert!(sorted.blocks.iter().all(|it| !it.is_empty() && it.len() <= BLOCK_MAX));
        }
    }
}
