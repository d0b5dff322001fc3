//! The same store without futures, for code that may block.
//!
//! ```
//! use aiokv::blocking::AioKv;
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("state.json");
//! let kv = AioKv::new(&path)?;
//! kv.set("last_command", "ping")?;
//! assert_eq!(kv.increment("runs", 1)?, 1);
//! # Ok::<(), aiokv::Error>(())
//! ```
//!
//! If no other thread is at work on the file, the calling thread does the work itself, which saves
//! handing over to another thread and back. So do not call it from a thread that runs an event
//! loop.

mod edit;
mod watch;

pub use edit::Edit;
pub use watch::Watch;

use std::path::Path;
use std::time::Duration;

use pollster::block_on;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::options::Options;
use crate::store::{Items, Transaction};

/// A key-value store in one JSON file; see [`crate::AioKv`], whose operations these are. Errors and
/// what is on disk after them are the same.
#[derive(Clone)]
pub struct AioKv(crate::AioKv);

impl AioKv {
    /// See [`crate::AioKv::new`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        crate::AioKv::new(path).map(Self::from)
    }

    /// See [`crate::AioKv::with_options`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn with_options(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        crate::AioKv::with_options(path, options).map(Self::from)
    }

    /// See [`crate::AioKv::path`].
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// See [`crate::AioKv::namespace`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn namespace<P: std::fmt::Display>(
        &self,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<Self> {
        self.0.namespace(parts).map(Self)
    }

    /// See [`crate::AioKv::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        block_on(self.0.get(key))
    }

    /// See [`crate::AioKv::get_all`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>> {
        block_on(self.0.get_all())
    }

    /// See [`crate::AioKv::set`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        block_on(self.0.set(key, value))
    }

    /// See [`crate::AioKv::set_now`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_now(&self, key: &str) -> Result<()> {
        block_on(self.0.set_now(key))
    }

    /// See [`crate::AioKv::delete`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn delete(&self, key: &str) -> Result<()> {
        block_on(self.0.delete(key))
    }

    /// See [`crate::AioKv::clear`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn clear(&self) -> Result<()> {
        block_on(self.0.clear())
    }

    /// See [`crate::AioKv::checkpoint`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn checkpoint(&self) -> Result<()> {
        block_on(self.0.checkpoint())
    }

    /// See [`crate::AioKv::close`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn close(&self) -> Result<()> {
        block_on(self.0.close())
    }

    /// See [`crate::AioKv::backup`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        block_on(self.0.backup(path))
    }

    /// See [`crate::AioKv::add`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<bool> {
        block_on(self.0.add(key, value))
    }

    /// See [`crate::AioKv::setdefault`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn setdefault<T: Serialize + DeserializeOwned>(&self, key: &str, default: &T) -> Result<T> {
        block_on(self.0.setdefault(key, default))
    }

    /// See [`crate::AioKv::pop`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn pop<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        block_on(self.0.pop(key))
    }

    /// See [`crate::AioKv::increment`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn increment<N: Serialize + DeserializeOwned>(&self, key: &str, by: N) -> Result<N> {
        block_on(self.0.increment(key, by))
    }

    /// See [`crate::AioKv::update`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        function: impl FnMut(Option<T>) -> T,
    ) -> Result<T> {
        block_on(self.0.update(key, function))
    }

    /// See [`crate::AioKv::contains`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn contains(&self, key: &str) -> Result<bool> {
        block_on(self.0.contains(key))
    }

    /// See [`crate::AioKv::age`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn age(&self, key: &str) -> Result<Option<Duration>> {
        block_on(self.0.age(key))
    }

    /// See [`crate::AioKv::cooldown`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn cooldown(&self, key: &str, window: Duration, uses: usize) -> Result<Duration> {
        block_on(self.0.cooldown(key, window, uses))
    }

    /// See [`crate::AioKv::set_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_many<'key, T: Serialize>(
        &self,
        values: impl IntoIterator<Item = (&'key str, T)>,
    ) -> Result<()> {
        block_on(self.0.set_many(values))
    }

    /// See [`crate::AioKv::get_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Vec<(String, T)>> {
        block_on(self.0.get_many(keys))
    }

    /// See [`crate::AioKv::delete_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn delete_many(&self, keys: &[&str]) -> Result<usize> {
        block_on(self.0.delete_many(keys))
    }

    /// See [`crate::AioKv::transact`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn transact<T>(
        &self,
        function: impl FnMut(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        block_on(self.0.transact(function))
    }

    /// See [`crate::AioKv::get_prefix`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_prefix<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        block_on(self.0.get_prefix(prefix))
    }

    /// See [`crate::AioKv::items`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn items<T: DeserializeOwned>(&self, prefix: &str) -> Result<Items<T>> {
        block_on(self.0.items(prefix))
    }

    /// See [`crate::AioKv::keys`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        block_on(self.0.keys(prefix))
    }

    /// See [`crate::AioKv::count`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn count(&self, prefix: &str) -> Result<usize> {
        block_on(self.0.count(prefix))
    }

    /// See [`crate::AioKv::delete_prefix`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn delete_prefix(&self, prefix: &str) -> Result<usize> {
        block_on(self.0.delete_prefix(prefix))
    }

    /// See [`crate::AioKv::prune`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prune(&self, prefix: &str, older_than: Duration) -> Result<usize> {
        block_on(self.0.prune(prefix, older_than))
    }
}

/// The same store, without futures.
impl From<crate::AioKv> for AioKv {
    fn from(store: crate::AioKv) -> Self {
        Self(store.into_blocking())
    }
}
