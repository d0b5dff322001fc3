//! The slots of all keys in the order of the keys: finds the keys with a prefix without a look at
//! any other key.
//!
//! It is built when a prefix is asked for first, and kept up to date from then on. It holds slot
//! numbers only, 4 bytes a key and little more; the caller has the keys.

use std::borrow::Cow;
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
    /// The order of slots with keys.
    pub(super) fn new<'key>(slots: &[u32], key: impl Fn(u32) -> Cow<'key, [u8]>) -> Self {
        // Keys begin alike, and lie all over memory. So most of them are told apart by eight bytes
        // behind what all of them have in common, which lie beside each other.
        let common = slots.first().map_or(0, |first| {
            let first = key(*first);
            slots.iter().fold(first.len(), |common, slot| {
                let key = key(*slot);
                let pairs = first[..common].iter().zip(&*key);
                pairs.take_while(|(one, other)| one == other).count()
            })
        });
        let mut slots: Vec<_> =
            slots.iter().map(|&slot| (head(&key(slot)[common..]), slot)).collect();
        slots.sort_unstable_by(|(one_head, one), (other_head, other)| {
            one_head.cmp(other_head).then_with(|| key(*one).cmp(&key(*other)))
        });
        // Half full, so that the first changes divide no block.
        let block = |slots: &[(u64, u32)]| slots.iter().map(|(_, slot)| *slot).collect();
        Self { blocks: slots.chunks(BLOCK_MAX / 2).map(block).collect() }
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

/// The first eight bytes as a number, which is larger for what comes later, or the same.
fn head(bytes: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = bytes.len().min(head.len());
    head[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_of_any_kind_are_put_in_order(
            keys in prop::collection::vec("[a\\x00\\x01]{0,12}".prop_map(String::into_bytes), 0..100),
        ) {
            let slots = Vec::from_iter(0..keys.len() as u32);
            let sorted = Sorted::new(&slots, |slot| Cow::Borrowed(&keys[slot as usize]));
            let found = Vec::from_iter(sorted.from(|_| false).map(|slot| &keys[slot as usize]));
            prop_assert!(found.is_sorted() && found.len() == keys.len());
        }

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
            let spelled = |slot: u32| Cow::Owned(format!("key:{:010}", key(slot)).into_bytes());
            let mut sorted = Sorted::new(&Vec::from_iter(slots.iter().copied()), spelled);
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
