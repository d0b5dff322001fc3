//! redb, a copy-on-write B-tree.
//!
//! Every commit flushes the file to disk. Reads are a transaction each: only a new one sees what
//! was committed since.

use std::path::Path;

use ::redb::{Database, ReadableDatabase, TableDefinition};

use crate::store::{Entry, Result, Store};

const ITEMS: TableDefinition<&str, &str> = TableDefinition::new("items");

/// A database with one table.
pub(crate) struct Redb {
    database: Database,
}

impl Redb {
    pub(crate) fn open(directory: &Path) -> Result<Box<dyn Store>> {
        let database = Database::create(directory.join("state.redb"))?;
        Ok(Box::new(Self { database }))
    }
}

impl Store for Redb {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let items = self.database.begin_read()?.open_table(ITEMS)?;
        Ok(items.get(key)?.map(|text| text.value().to_owned()))
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ITEMS)?.insert(key, text)?;
        Ok(transaction.commit()?)
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut items = transaction.open_table(ITEMS)?;
            for (key, text) in entries {
                items.insert(key.as_str(), text.as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.close()?)
    }
}
