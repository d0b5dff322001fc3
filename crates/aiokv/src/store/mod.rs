//! [`AioKv`]: the public operations.
//!
//! Here: opening and closing, and what a dict has. Operations that read and change one key are in
//! [`one_key`] and [`edit`], those on several keys in [`several_keys`] and [`transaction`], those by
//! prefix in [`prefix`]; [`ask`] takes them to the engine.

mod ask;
mod backup;
mod cooldown;
mod edit;
mod items;
mod one_key;
mod prefix;
mod several_keys;
mod transaction;
mod watch;

pub(crate) use cooldown::decide as cooldown;
pub use edit::Edit;
pub use items::Items;
pub use transaction::Transaction;
pub use watch::{Change as WatchedChange, Watch};

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{self, Handle};
use crate::error::{Error, Result};
use crate::files::Disk;
use crate::files::storage::Storage;
use crate::json::{Entry, value};
use crate::options::Options;
use crate::queue::{Change, Key, Operation, Outcome, Write};
use crate::state::Snapshot;

/// A key-value store in one JSON file.
///
/// Cloning is cheap; the clones are the same store. Every store on the same file shares one
/// engine within a process, and any number of processes may use one file.
///
/// The futures need no particular async runtime. An operation takes its place in the order of
/// operations when its future is first polled; a future that is dropped later does not take it
/// back: the operation happens whole, or not at all if it was never polled.
///
/// A store made by [`AioKv::namespace`] has the same operations, on the keys below its own.
#[derive(Clone)]
pub struct AioKv {
    shared: Arc<Shared>,
    /// What every key of this store starts with in the file.
    prefix: Arc<str>,
    /// Whether operations are carried out while the thread waits, so that their futures are ready
    /// when they are first polled.
    is_blocking: bool,
}

struct Shared {
    path: PathBuf,
    options: Arc<Options>,
    storage: Arc<dyn Storage>,
    /// `None` before the first operation and after `close`.
    handle: RwLock<Option<Handle>>,
}

impl Shared {
    /// Lets go of the file.
    fn let_go(&self) {
        let handle = self.handle.write().unwrap_or_else(PoisonError::into_inner).take();
        // After the lock was released.
        drop(handle);
    }
}

impl AioKv {
    /// A store on the file at `path`, with the default [`Options`].
    ///
    /// Touches no file: a missing file is an empty store, and the first write creates it. A
    /// relative path is taken from the working directory of this moment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the path is empty or the working directory is gone.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, Options::default())
    }

    /// A store on the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`AioKv::new`].
    pub fn with_options(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::with_storage(path, options, disk())
    }

    /// A store on another storage than the disk of this machine.
    #[doc(hidden)]
    pub fn with_storage(
        path: impl AsRef<Path>,
        options: Options,
        storage: Arc<dyn Storage>,
    ) -> Result<Self> {
        let path = path.as_ref();
        let path = std::path::absolute(path).map_err(Error::io("use as a state file", path))?;
        let options = Arc::new(options);
        let handle = RwLock::default();
        let shared = Arc::new(Shared { path, options, storage, handle });
        Ok(Self { shared, prefix: "".into(), is_blocking: false })
    }

    /// The path of the file as it was given, made absolute.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the value is not a `T`; [`Error::Corrupt`] or [`Error::Io`] if the file
    /// cannot be read. The file is not changed.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let entry = self.entry(key).await?;
        entry.map(|entry| typed(&entry)).transpose()
    }

    /// The entry of `key` as the text that it has in the file, or `None` if there is no such key.
    #[doc(hidden)]
    pub async fn entry(&self, key: &str) -> Result<Option<Entry>> {
        let key = self.key(key);
        let found = {
            let _work = self.is_blocking.then(engine::work);
            self.get_now(&key)
        };
        if let Some(entry) = found {
            return Ok(entry);
        }
        match self.ask(Operation::Read([key].into())).await? {
            Outcome::Read(entries) => Ok(entries.into_iter().next().flatten()),
            _ => unreachable!("a read is answered with entries"),
        }
    }

    /// Every key and value, in the order of insertion, all of one moment.
    ///
    /// A key with a lone surrogate, which a Python program can store, has U+FFFD in its place.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn get_all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>> {
        self.get_prefix("").await
    }

    /// The entries whose keys start with `prefix` as the text that they have in the file, in the
    /// order of insertion, all of one moment.
    #[doc(hidden)]
    pub async fn snapshot(&self, prefix: &str) -> Result<Snapshot> {
        match self.ask(Operation::ReadPrefix(self.key(prefix))).await? {
            Outcome::Snapshot(snapshot) => Ok(snapshot),
            _ => unreachable!("a read of a prefix is answered with a snapshot"),
        }
    }

    /// Sets the value of `key`. When this returns, the change is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the value has no JSON that could be read again; nothing is changed.
    /// [`Error::Corrupt`], [`Error::Io`] and [`Error::Locked`] if the file cannot be read or
    /// replaced; it holds the old state. The exception is a failure to flush the directory after
    /// the file was replaced: then the next operation finds out what the file holds.
    pub async fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        self.write(Change::Set(self.new_entry(key, value)?)).await
    }

    /// Sets `key` to the current time in whole seconds since 1970.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn set_now(&self, key: &str) -> Result<()> {
        self.set(key, &now().as_secs()).await
    }

    /// Deletes `key`, whether it is there or not.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.write(Change::Delete(self.key(key))).await
    }

    /// Deletes everything and removes the file, be it readable or not. In a namespace, deletes its
    /// own keys.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Locked`] as for [`AioKv::set`]. A journal that another user may have
    /// put there is left for you to look at, and nothing is removed.
    pub async fn clear(&self) -> Result<()> {
        if self.prefix.is_empty() {
            return self.ask(Operation::Clear).await.map(drop);
        }
        self.delete_prefix("").await.map(drop)
    }

    /// The store of the keys below `part:part:`, with the same operations. Its keys do not show
    /// these parts. Costs no I/O; the file and everything else is shared.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if a part is empty or contains a colon.
    pub fn namespace<P: std::fmt::Display>(
        &self,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<Self> {
        let mut prefix = self.prefix.to_string();
        for part in parts {
            let part = part.to_string();
            if part.is_empty() || part.contains(':') {
                let reason = format!(
                    "{part:?} is no part of a namespace: a part is not empty and has no colon; give the parts one by one"
                );
                return Err(Error::Refused { place: "namespace".to_owned(), reason });
            }
            prefix += &part;
            prefix.push(':');
        }
        Ok(Self { prefix: prefix.into(), ..self.clone() })
    }

    /// Waits until everything that was started before is decided, and the file alone holds
    /// everything: what stood in its journal is in the file, and the journal is gone.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`] if the file cannot be brought up to date. What was appended to the journal
    /// stays there then, and nothing is lost.
    pub async fn checkpoint(&self) -> Result<()> {
        self.ask(Operation::Checkpoint).await.map(drop)
    }

    /// Waits until everything that was started before is decided and the file alone holds what
    /// this process changed, then lets go of the file.
    ///
    /// May be called any number of times. A closed store can be used again: the next operation
    /// opens the file again.
    ///
    /// # Errors
    ///
    /// As [`AioKv::checkpoint`].
    pub async fn close(&self) -> Result<()> {
        if self.shared.handle.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Ok(());
        }
        self.ask(Operation::Close).await.map(drop)
    }

    /// The entry of `key`, if that can be said without waiting: memory holds the newest state and
    /// no write of the key is under way. Costs one metadata call, or three if there is a journal.
    #[doc(hidden)]
    pub fn get_now(&self, key: &[u8]) -> Option<Option<Entry>> {
        let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
        handle.as_ref()?.get(key)
    }

    pub(crate) fn into_blocking(self) -> Self {
        Self { is_blocking: true, ..self }
    }

    async fn write(&self, change: Change) -> Result<()> {
        self.ask(Operation::Write([Write::unconditional(change)].into())).await.map(drop)
    }

    /// An [`Error::Conflict`] about a key, or about what a transaction read.
    fn conflict(&self, key: Option<&str>, attempts: usize) -> Error {
        let key = key.map(|key| [&*self.prefix, key].concat());
        Error::Conflict { path: self.shared.path.clone(), key, attempts }
    }

    /// A key as it is in the file.
    pub(crate) fn key(&self, key: &str) -> Key {
        [self.prefix.as_bytes(), key.as_bytes()].concat().into()
    }

    fn new_entry<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<Entry> {
        let key = [&*self.prefix, key].concat();
        Ok(Entry::new(&value::encode_key(&key), &value::encode(value)?))
    }
}

/// The disk of this machine. There is one, so that stores find each other's engines.
fn disk() -> Arc<dyn Storage> {
    static DISK: OnceLock<Arc<dyn Storage>> = OnceLock::new();
    Arc::clone(DISK.get_or_init(|| Arc::new(Disk)))
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A key of the file as a store with this prefix shows it.
fn shown_key(key: &[u8], prefix: &str) -> String {
    String::from_utf8_lossy(&key[prefix.len()..]).into_owned()
}

fn typed<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    value::decode(entry.value_text()).map_err(|error| Error::Type {
        key: String::from_utf8_lossy(&entry.key()).into_owned(),
        source: Arc::new(error),
    })
}
