//! Transactions: reads of one moment and changes that happen only if what was read is unchanged.
//!
//! The function of a transaction is plain code that cannot wait. When it reads something that is
//! not at hand, it ends with an error that only [`AioKv::transact`] sees, which fetches that,
//! together with everything fetched before, and calls the function again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::one_key::{ATTEMPTS_MAX, unchanged};
use super::{AioKv, shown_key, typed};
use crate::error::{Error, Result};
use crate::json::Entry;
use crate::queue::{Change, Condition, Key, Operation, Outcome, Write};
use crate::state::{Snapshot, sum};

/// What the function of [`AioKv::transact`] works on: the store at one moment, with the changes
/// that the function made.
pub struct Transaction<'run> {
    store: &'run AioKv,
    fetched: &'run Fetched,
    /// What was read, so that the changes may depend on it.
    read: BTreeSet<Key>,
    listed: BTreeSet<Key>,
    /// What is to be there under a key.
    written: BTreeMap<Key, Written>,
    /// How often something was written.
    writes: usize,
}

/// A change that a transaction made.
struct Written {
    /// Its place among the changes.
    place: usize,
    /// What is to be there.
    entry: Option<Entry>,
}

/// What is at hand, all of one moment.
#[derive(Default)]
struct Fetched {
    entries: BTreeMap<Key, Option<Entry>>,
    listings: BTreeMap<Key, Snapshot>,
}

impl AioKv {
    /// Calls `function` with the store at one moment, and makes its changes, all or none, if what
    /// it read is unchanged. Otherwise calls it again, and also whenever it reads something for the
    /// first time. If it returns an error, nothing changes.
    ///
    /// # Errors
    ///
    /// What the function returns; as [`AioKv::set`]; [`Error::Conflict`] if other changes were
    /// faster all the time.
    pub async fn transact<T>(
        &self,
        mut function: impl FnMut(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut fetched = Fetched::default();
        let mut attempts = 0;
        while attempts < ATTEMPTS_MAX {
            let mut transaction = Transaction {
                store: self,
                fetched: &fetched,
                read: BTreeSet::new(),
                listed: BTreeSet::new(),
                written: BTreeMap::new(),
                writes: 0,
            };
            let result = function(&mut transaction);
            let (read, listed) = (transaction.read.clone(), transaction.listed.clone());
            // Whatever the function made of an error that only says that something is missing.
            if transaction.has_everything() {
                let result = result?;
                if transaction.written.is_empty() {
                    // What was read was there at one moment.
                    return Ok(result);
                }
                let outcome = self.ask(Operation::Write(transaction.into_writes())).await?;
                if !matches!(outcome, Outcome::Unmet { .. }) {
                    return Ok(result);
                }
                attempts += 1;
            }
            fetched = self.fetch(read, listed).await?;
        }
        Err(self.conflict(None, ATTEMPTS_MAX))
    }

    async fn fetch(&self, keys: BTreeSet<Key>, prefixes: BTreeSet<Key>) -> Result<Fetched> {
        let survey = Operation::Survey {
            keys: keys.iter().cloned().collect(),
            prefixes: prefixes.iter().cloned().collect(),
        };
        let Outcome::Surveyed { entries, listings } = self.ask(survey).await? else {
            unreachable!("a survey is answered with what was found")
        };
        Ok(Fetched {
            entries: keys.into_iter().zip(entries).collect(),
            listings: prefixes.into_iter().zip(listings).collect(),
        })
    }
}

impl Transaction<'_> {
    /// The value of `key`, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the value is not a `T`. Any error has to be returned by the function.
    pub fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.entry(self.store.key(key))?.as_ref().map(typed).transpose()
    }

    /// The keys that start with `prefix`, in the order of insertion. Those that the transaction adds
    /// come last.
    ///
    /// # Errors
    ///
    /// Any error has to be returned by the function.
    pub fn keys(&mut self, prefix: &str) -> Result<Vec<String>> {
        let prefix = self.store.key(prefix);
        self.listed.insert(prefix.clone());
        let Some(listing) = self.fetched.listings.get(&prefix) else {
            return Err(Error::NotFetched);
        };
        let is_there = |entry: &&Entry| {
            self.written.get(&*entry.key()).is_none_or(|written| written.entry.is_some())
        };
        let there = listing.iter().filter(is_there);
        let mut keys = Vec::from_iter(there.map(|entry| Key::from(entry.key())));
        let known: BTreeSet<_> = keys.iter().collect();
        let is_new = |(key, written): &(&Key, &Written)| {
            key.starts_with(&prefix) && written.entry.is_some() && !known.contains(key)
        };
        let mut new = Vec::from_iter(self.written.iter().filter(is_new));
        new.sort_by_key(|(_, written)| written.place);
        let new = Vec::from_iter(new.into_iter().map(|(key, _)| key.clone()));
        keys.extend(new);
        Ok(keys.iter().map(|key| shown_key(key, &self.store.prefix)).collect())
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the value has no JSON that could be read again.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        let entry = self.store.new_entry(key, value)?;
        self.write(self.store.key(key), Some(entry));
        Ok(())
    }

    /// Deletes `key`, whether it is there or not.
    pub fn delete(&mut self, key: &str) {
        self.write(self.store.key(key), None);
    }

    /// Adds a number to the value of `key`; see [`AioKv::increment`].
    ///
    /// # Errors
    ///
    /// As [`AioKv::increment`].
    pub fn increment<N: Serialize + DeserializeOwned>(&mut self, key: &str, by: N) -> Result<N> {
        let amount = self.store.new_entry(key, &by)?;
        let found = self.entry(self.store.key(key))?;
        let entry = sum(found.as_ref(), &amount, "0")?;
        self.write(self.store.key(key), Some(entry.clone()));
        typed(&entry)
    }

    fn write(&mut self, key: Key, entry: Option<Entry>) {
        self.writes += 1;
        let place = self.writes;
        match self.written.get_mut(&key) {
            Some(written) if written.entry.is_some() && entry.is_some() => written.entry = entry,
            _ => drop(self.written.insert(key, Written { place, entry })),
        }
    }

    /// Whether all that the function read was at hand.
    fn has_everything(&self) -> bool {
        let Fetched { entries, listings } = self.fetched;
        self.read.iter().all(|key| entries.contains_key(key))
            && self.listed.iter().all(|prefix| listings.contains_key(prefix))
    }

    fn entry(&mut self, key: Key) -> Result<Option<Entry>> {
        if let Some(written) = self.written.get(&key) {
            return Ok(written.entry.clone());
        }
        let found = self.fetched.entries.get(&key).cloned();
        self.read.insert(key);
        found.ok_or(Error::NotFetched)
    }

    /// The changes, under the condition that what was read is unchanged.
    fn into_writes(self) -> Box<[Write]> {
        let Self { fetched, read, listed, written, .. } = self;
        let lists = listed.into_iter().map(|prefix| Write {
            condition: Condition::Lists(fetched.listings[&prefix].clone()),
            change: Change::Keep(prefix),
        });
        let condition = |key: &Key| match read.contains(key) {
            true => unchanged(fetched.entries[key].as_ref()),
            false => Condition::Anything,
        };
        let only_read = read.iter().filter(|key| !written.contains_key(*key));
        let kept = only_read
            .map(|key| Write { condition: condition(key), change: Change::Keep(key.clone()) });
        let mut written = Vec::from_iter(&written);
        written.sort_by_key(|(_, written)| written.place);
        let changes = written.into_iter().map(|(key, Written { entry, .. })| Write {
            condition: condition(key),
            change: entry.clone().map_or_else(|| Change::Delete(key.clone()), Change::Set),
        });
        lists.chain(kept).chain(changes).collect()
    }
}
