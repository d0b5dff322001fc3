//! Edits: a program changes a value in place, and may wait for other things meanwhile.
//!
//! Guarantees: an edit is written whole, on top of what it began with, or not at all. It does not
//! keep others from changing the key; it notices.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::one_key::unchanged;
use super::{AioKv, typed};
use crate::engine::{Handle, Turn};
use crate::error::Result;
use crate::json::Entry;

/// A value that is being edited; see [`AioKv::edit`]. Dropped without [`Edit::commit`], it changes
/// nothing.
#[must_use = "only `commit` writes what was edited"]
pub struct Edit<T> {
    value: T,
    store: AioKv,
    key: String,
    /// What is to be there still when the edit is written.
    found: Option<Entry>,
    /// The value with which the edit began.
    before: Entry,
    /// The next edit of the key begins when this is dropped.
    _turn: Turn,
    // Edits take turns through the engine, so it has to stay.
    _handle: Handle,
}

impl AioKv {
    /// Begins to edit the value of `key`; if there is none, edits `default`.
    ///
    /// What this returns stands for the value and can be changed like it, with as much waiting
    /// in between as it takes. [`Edit::commit`] writes it. An edit that is dropped before that, be it
    /// by an error, a panic or a future that was dropped, changes nothing.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("state.json");
    /// # pollster::block_on(async {
    /// let kv = aiokv::AioKv::new(&path)?;
    /// let mut quotes = kv.edit("quotes", Vec::new()).await?;
    /// quotes.push("Hi".to_owned());
    /// quotes.commit().await?;
    /// assert_eq!(kv.get("quotes").await?, Some(["Hi".to_owned()]));
    /// # Ok::<(), aiokv::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// Edits of one key on the same path in one process take turns: this waits until the earlier
    /// ones are committed or dropped. So a task that holds an edit and begins another one of the
    /// same key waits for ever; drop or commit the first one before. Everything else may
    /// change the key meanwhile, a `set` of the same task too: then nothing is written, and
    /// `commit` says so.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`]; [`Error::Type`](crate::Error::Type) if the value is not a `T`;
    /// [`Error::Refused`](crate::Error::Refused) if `default` has no JSON. The file is not changed.
    pub async fn edit<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        default: T,
    ) -> Result<Edit<T>> {
        let handle = self.with_handle(|handle| Ok(handle.another()))?;
        let turn = handle.turn(self.key(key)).await.expect("every turn is followed by the next");
        let found = self.entry(key).await?;
        let value = found.as_ref().map_or(Ok(default), typed)?;
        let before = self.new_entry(key, &value)?;
        let (store, key) = (self.clone(), key.to_owned());
        Ok(Edit { value, store, key, found, before, _turn: turn, _handle: handle })
    }
}

impl<T: Serialize> Edit<T> {
    /// Writes the value, if it differs from the one with which the edit began. When this returns,
    /// the change is on disk.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`], with the same on disk; [`Error::Conflict`](crate::Error::Conflict) if the
    /// key was changed since the edit began: nothing is written.
    pub async fn commit(self) -> Result<()> {
        let Self { value, store, key, found, before, .. } = &self;
        let after = store.new_entry(key, value)?;
        if after.value_text() == before.value_text() {
            return Ok(());
        }
        match store.write_if(unchanged(found.as_ref()), after).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(store.conflict(Some(key), 1)),
        }
    }
}

impl<T> Deref for Edit<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Edit<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
