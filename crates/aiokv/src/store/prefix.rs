//! Operations on the keys that start with a prefix. They look at no other key: the first of them
//! puts all keys in order, which takes about 0.3 s for a million, and 4 bytes of memory a key.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{AioKv, now, shown_key};
use crate::error::Result;
use crate::queue::Operation;

impl AioKv {
    /// The keys that start with `prefix`, with their values, in the order of insertion, all of one
    /// moment.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn get_prefix<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        self.items(prefix).await?.collect()
    }

    /// The keys that start with `prefix`, in the order of insertion, all of one moment.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let snapshot = self.snapshot(prefix).await?;
        Ok(snapshot.iter().map(|entry| shown_key(&entry.key(), &self.prefix)).collect())
    }

    /// How many keys start with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn count(&self, prefix: &str) -> Result<usize> {
        Ok(self.snapshot(prefix).await?.len())
    }

    /// Deletes the keys that start with `prefix`, all or none, and says how many there were.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn delete_prefix(&self, prefix: &str) -> Result<usize> {
        let prefix = self.key(prefix);
        self.count_deleted(Operation::DeletePrefix { prefix, older_than: None }).await
    }

    /// Deletes the keys that start with `prefix` and whose value is a time that is longer ago than
    /// `older_than`, all or none, and says how many. Values that are no time stay.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn prune(&self, prefix: &str, older_than: Duration) -> Result<usize> {
        let prefix = self.key(prefix);
        let older_than = Some(now().as_secs_f64() - older_than.as_secs_f64());
        self.count_deleted(Operation::DeletePrefix { prefix, older_than }).await
    }
}
