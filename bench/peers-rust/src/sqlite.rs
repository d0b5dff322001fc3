//! SQLite through rusqlite, with the log that SQLite writes ahead.
//!
//! With `synchronous=FULL` every commit flushes the log to disk. With `NORMAL` only checkpoints do,
//! and a loss of power may take the last commits away.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::store::{Entry, Result, Store};

const GET: &str = "SELECT text FROM items WHERE key = ?1";
const SET: &str = "INSERT INTO items VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET text = excluded.text";

/// A connection to a database with one table.
pub(crate) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    pub(crate) fn open(directory: &Path, synchronous: &str) -> Result<Box<dyn Store>> {
        let connection = Connection::open(directory.join("state.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        // On macOS a flush would otherwise end in the disk's cache. Elsewhere this changes nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID",
        )?;
        Ok(Box::new(Self { connection }))
    }
}

impl Store for Sqlite {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let mut select = self.connection.prepare_cached(GET)?;
        Ok(select.query_row([key], |row| row.get(0)).optional()?)
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        self.connection.prepare_cached(SET)?.execute([key, text])?;
        Ok(())
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut upsert = transaction.prepare_cached(SET)?;
            for (key, text) in entries {
                upsert.execute([key, text])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close().map_err(|(_connection, error)| error.into())
    }
}
