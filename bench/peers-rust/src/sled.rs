//! sled, a log-structured tree.
//!
//! A change waits in a buffer of the process, by default for up to half a second, and is lost if
//! the process is killed meanwhile. `flush` writes the buffer to disk. Its documentation calls that
//! safe from a loss of power, but on Linux it ends in `sync_file_range`, which neither waits for
//! the cache of the disk nor writes the metadata of the file: it is counted as safe from a kill.

use std::fs::File;
use std::path::{Path, PathBuf};

use ::sled::{Batch, Db};

use crate::store::{Entry, Result, Store};

/// Much larger batches leave pages behind that are slow to read for a long time.
const BATCH_ENTRIES_MAX: usize = 1_000;

/// A database that flushes after every change, or leaves that to its own thread.
pub(crate) struct Sled {
    directory: PathBuf,
    database: Db,
    flush: bool,
}

impl Sled {
    pub(crate) fn open(directory: &Path, flush: bool) -> Result<Box<dyn Store>> {
        let database = ::sled::open(directory)?;
        Ok(Box::new(Self { directory: directory.into(), database, flush }))
    }

    fn acknowledge(&self) -> Result<()> {
        if self.flush {
            self.database.flush()?;
        }
        Ok(())
    }
}

impl Store for Sled {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let text = self.database.get(key)?;
        Ok(text.map(|text| String::from_utf8(text.to_vec())).transpose()?)
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        self.database.insert(key, text)?;
        self.acknowledge()
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        for entries in entries.chunks(BATCH_ENTRIES_MAX) {
            let mut batch = Batch::default();
            for (key, text) in entries {
                batch.insert(key.as_str(), text.as_str());
            }
            self.database.apply_batch(batch)?;
        }
        self.acknowledge()
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.database.flush()?;
        drop(self.database);
        // Its threads keep the lock for a moment, and whoever opens it meanwhile is refused.
        Ok(File::open(self.directory.join("db"))?.lock()?)
    }
}
