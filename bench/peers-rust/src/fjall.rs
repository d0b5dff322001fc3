//! fjall, a log-structured merge tree.
//!
//! A change is written to its journal, from where a kill of the process does not take it away.
//! `persist` then flushes the journal to disk.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Entry, Result, Store};

/// As recommended where memory allows it, the data fits into the cache.
const CACHE_BYTES: u64 = 256 << 20;

/// A keyspace whose changes are persisted in some mode.
pub(crate) struct Fjall {
    database: Database,
    keyspace: Keyspace,
    persist: PersistMode,
}

impl Fjall {
    pub(crate) fn open(directory: &Path, persist: PersistMode) -> Result<Box<dyn Store>> {
        let database = Database::builder(directory).cache_size(CACHE_BYTES).open()?;
        let keyspace = database.keyspace("items", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Self { database, keyspace, persist }))
    }
}

impl Store for Fjall {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let text = self.keyspace.get(key)?;
        Ok(text.map(|text| String::from_utf8(text.to_vec())).transpose()?)
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        self.keyspace.insert(key, text)?;
        // Every insert does what `Buffer` stands for.
        if self.persist != PersistMode::Buffer {
            self.database.persist(self.persist)?;
        }
        Ok(())
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(self.persist));
        for (key, text) in entries {
            batch.insert(&self.keyspace, key.as_str(), text.as_str());
        }
        Ok(batch.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Dropping closes it and flushes the journal.
        Ok(())
    }
}
