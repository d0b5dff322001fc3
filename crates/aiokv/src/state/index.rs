//! Finds the number of a key. Does not hold the keys: the caller has them, and says whether a number
//! is that of a key.
//!
//! A hash table that is full moves all its content when it grows. An index starts with one table,
//! which costs next to nothing, and splits it once into [`TABLES`], which then grow one by one and
//! without a look at the keys. So no change waits for all keys to be moved.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};

/// Into how many tables a large index is divided.
const TABLES: usize = 256;

/// How many keys a single table holds at most. To split it takes less than a millisecond.
const SINGLE_MAX: usize = 4096;

/// Numbers, found by key.
#[derive(Default)]
pub(super) struct Index {
    tables: Tables,
    hasher: RandomState,
}

enum Tables {
    Single(HashTable<Place>),
    /// [`TABLES`] of them. Stays divided, however few keys are left.
    Many(Box<[HashTable<Place>]>),
}

/// The number of a key with the hash of the key, so that a table can grow without the key.
#[derive(Clone, Copy)]
struct Place {
    hash: Hash,
    number: u32,
}

/// As much of the hash of a key as is kept.
#[derive(Clone, Copy, PartialEq)]
struct Hash(u32);

impl Hash {
    /// Which one of many tables holds the key.
    fn table(self) -> usize {
        self.0 as usize % TABLES
    }

    /// The hash that the table works with. Its first and its last bits count most, so the bits
    /// that did not choose the table are spread over all of it.
    fn in_table(self) -> u64 {
        u64::from(self.0 / TABLES as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Index {
    /// An index in which so many keys have room before a table grows.
    pub(super) fn with_room_for(keys: usize) -> Self {
        let tables = match keys {
            ..=SINGLE_MAX => Tables::Single(HashTable::with_capacity(keys)),
            _ => Tables::many(keys),
        };
        Self { tables, hasher: RandomState::default() }
    }

    /// The number of a key.
    pub(super) fn find(&self, key: &[u8], has_key: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(key);
        let is_it = |it: &Place| it.hash == hash && has_key(it.number);
        self.tables.of(hash).find(hash.in_table(), is_it).map(|place| place.number)
    }

    /// Adds a key with its number. If the key is there, returns its number and changes nothing.
    pub(super) fn insert(
        &mut self,
        key: &[u8],
        number: u32,
        has_key: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        self.find_or_insert(key, number, has_key).map(|there| there.number)
    }

    /// Gives a key a number, whether it had one or not. Returns the one that it had.
    pub(super) fn replace(
        &mut self,
        key: &[u8],
        number: u32,
        has_key: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let there = self.find_or_insert(key, number, has_key)?;
        Some(std::mem::replace(&mut there.number, number))
    }

    /// Removes a key that has this number.
    pub(super) fn remove(&mut self, key: &[u8], number: u32) {
        let hash = self.hash(key);
        let found = self.tables.of_mut(hash).find_entry(hash.in_table(), |it| it.number == number);
        found.unwrap_or_else(|_| unreachable!("the caller knows that the key is there")).remove();
    }

    /// The place of a key that is there; otherwise adds it with its number.
    fn find_or_insert(
        &mut self,
        key: &[u8],
        number: u32,
        has_key: impl Fn(u32) -> bool,
    ) -> Option<&mut Place> {
        self.tables.divide_if_full();
        let hash = self.hash(key);
        let is_it = |it: &Place| it.hash == hash && has_key(it.number);
        let table = self.tables.of_mut(hash);
        match table.entry(hash.in_table(), is_it, |it| it.hash.in_table()) {
            hash_table::Entry::Occupied(there) => Some(there.into_mut()),
            hash_table::Entry::Vacant(vacant) => {
                vacant.insert(Place { hash, number });
                None
            }
        }
    }

    fn hash(&self, key: &[u8]) -> Hash {
        Hash((self.hasher.hash_one(key) >> 32) as u32)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::Single(HashTable::new())
    }
}

impl Tables {
    fn many(keys: usize) -> Self {
        // The keys do not spread evenly, and a table that gets some more should not grow for them.
        let keys_each = keys / TABLES + keys / TABLES / 8;
        Self::Many((0..TABLES).map(|_| HashTable::with_capacity(keys_each)).collect())
    }

    fn of(&self, hash: Hash) -> &HashTable<Place> {
        match self {
            Self::Single(table) => table,
            Self::Many(tables) => &tables[hash.table()],
        }
    }

    fn of_mut(&mut self, hash: Hash) -> &mut HashTable<Place> {
        match self {
            Self::Single(table) => table,
            Self::Many(tables) => &mut tables[hash.table()],
        }
    }

    /// Splits a single table that holds as many keys as it may.
    fn divide_if_full(&mut self) {
        let Self::Single(table) = self else { return };
        if table.len() < SINGLE_MAX {
            return;
        }
        let mut divided = Self::many(table.len());
        for &place in table.iter() {
            let table = divided.of_mut(place.hash);
            table.insert_unique(place.hash.in_table(), place, |it| it.hash.in_table());
        }
        *self = divided;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    fn insert(index: &mut Index, number: u32) -> Option<u32> {
        index.insert(&key(number), number, |it| it == number)
    }

    fn find(index: &Index, number: u32) -> Option<u32> {
        index.find(&key(number), |it| it == number)
    }

    fn is_divided(index: &Index) -> bool {
        matches!(index.tables, Tables::Many(_))
    }

    #[test]
    fn every_key_is_found_before_and_after_the_division_and_when_half_are_gone() {
        let single = SINGLE_MAX as u32;
        let mut index = Index::default();
        for number in 0..12 * single {
            assert_eq!(insert(&mut index, number), None);
            assert_eq!(is_divided(&index), number >= single);
            if number == single - 1 || number == single {
                assert!((0..=number).all(|number| find(&index, number) == Some(number)));
            }
        }
        assert!((0..12 * single).all(|number| find(&index, number) == Some(number)));
        (0..12 * single).step_by(2).for_each(|number| index.remove(&key(number), number));
        let expected = |number: u32| (number % 2 == 1).then_some(number);
        assert!((0..12 * single).all(|number| find(&index, number) == expected(number)));
    }

    #[test]
    fn a_key_that_is_there_keeps_its_number_or_gets_another_one() {
        let mut index = Index::default();
        assert_eq!(index.insert(b"a", 1, |it| it == 1), None);
        assert_eq!(index.insert(b"a", 2, |it| it == 1), Some(1));
        assert_eq!(index.replace(b"a", 2, |it| it == 1), Some(1));
        assert_eq!(index.find(b"a", |it| it == 2), Some(2));
        assert_eq!(index.replace(b"b", 3, |it| it == 3), None);
        index.remove(b"a", 2);
        assert_eq!(index.find(b"a", |it| it == 2), None);
        assert_eq!(index.find(b"b", |it| it == 3), Some(3));
    }

    #[test]
    fn an_index_for_many_keys_is_divided_from_the_start() {
        assert!(!is_divided(&Index::with_room_for(SINGLE_MAX)));
        assert!(is_divided(&Index::with_room_for(SINGLE_MAX + 1)));
    }

    #[test]
    fn an_index_of_one_key_takes_little_memory() {
        let mut index = Index::default();
        insert(&mut index, 0);
        let Tables::Single(table) = &index.tables else { panic!("one key needs one table") };
        assert!(size_of::<Index>() + table.allocation_size() < 200);
    }
}
