//! Going through keys and values one at a time.

use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{AioKv, shown_key, typed};
use crate::error::Result;
use crate::json::Entry;

/// Keys and values of one moment, in the order of insertion; see [`AioKv::items`].
pub struct Items<T> {
    entries: Box<dyn Iterator<Item = Entry> + Send + Sync>,
    /// How many entries are left.
    left: usize,
    /// The prefix of the namespace.
    prefix: Arc<str>,
    values: PhantomData<fn() -> T>,
}

impl AioKv {
    /// The keys that start with `prefix` and their values, one at a time, in the order of insertion,
    /// all of one moment.
    ///
    /// Only the call reads from the store. A value becomes a `T` when the iterator comes to it, and
    /// the text of what lies behind it is let go of. So this needs less memory than
    /// [`AioKv::get_prefix`], can be left early, and changes that come meanwhile do not show.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("state.json");
    /// # pollster::block_on(async {
    /// let kv = aiokv::AioKv::new(&path)?;
    /// kv.set_many([("xp:ada", 5), ("xp:bob", 9)]).await?;
    /// for item in kv.items::<u64>("xp:").await? {
    ///     let (key, xp) = item?;
    ///     println!("{key} has {xp}");
    /// }
    /// # Ok::<(), aiokv::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`]. The iterator yields [`Error::Type`](crate::Error::Type) for a value that
    /// is not a `T`, and then goes on with the next one.
    pub async fn items<T: DeserializeOwned>(&self, prefix: &str) -> Result<Items<T>> {
        let snapshot = self.snapshot(prefix).await?;
        Ok(Items {
            left: snapshot.len(),
            entries: Box::new(snapshot.into_entries()),
            prefix: Arc::clone(&self.prefix),
            values: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Iterator for Items<T> {
    type Item = Result<(String, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        self.left -= 1;
        Some(typed(&entry).map(|value| (shown_key(&entry.key(), &self.prefix), value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: DeserializeOwned> ExactSizeIterator for Items<T> {}

impl<T: DeserializeOwned> FusedIterator for Items<T> {}
