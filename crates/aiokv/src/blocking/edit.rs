//! Edits without futures.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::MutexGuard;

use pollster::block_on;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::AioKv;
use crate::error::{Error, Result};
use crate::queue::Key;

thread_local! {
    /// What this thread edits: it would wait for itself if it began that once more.
    static EDITED: RefCell<Vec<Edited>> = const { RefCell::new(Vec::new()) };
}

type Edited = (PathBuf, Key);

/// A value that is being edited; see [`crate::AioKv::edit`]. Dropped without [`Edit::commit`], it
/// changes nothing. Stays on its thread.
#[must_use = "only `commit` writes what was edited"]
pub struct Edit<T> {
    edit: crate::Edit<T>,
    _by_this_thread: ByThisThread,
}

impl AioKv {
    /// See [`crate::AioKv::edit`]. Edits of one key take turns among the threads of the process.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("state.json");
    /// let kv = aiokv::blocking::AioKv::new(&path)?;
    /// let mut jobs = kv.edit("jobs", Vec::new())?;
    /// jobs.push(1001);
    /// jobs.commit()?;
    /// assert_eq!(kv.get("jobs")?, Some([1001]));
    /// # Ok::<(), aiokv::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As there; [`Error::Refused`] if this thread edits the key already.
    pub fn edit<T: Serialize + DeserializeOwned>(&self, key: &str, default: T) -> Result<Edit<T>> {
        let by_this_thread = ByThisThread::begin(self, key)?;
        let edit = block_on(self.0.edit(key, default))?;
        Ok(Edit { edit, _by_this_thread: by_this_thread })
    }
}

impl<T: Serialize> Edit<T> {
    /// See [`crate::Edit::commit`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn commit(self) -> Result<()> {
        block_on(self.edit.commit())
    }
}

impl<T> Deref for Edit<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.edit
    }
}

impl<T> DerefMut for Edit<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.edit
    }
}

/// Notes that this thread edits a key.
struct ByThisThread {
    edited: Edited,
    /// Whoever drops this has to be the same thread.
    _stays: PhantomData<MutexGuard<'static, ()>>,
}

impl ByThisThread {
    fn begin(store: &AioKv, key: &str) -> Result<Self> {
        let edited = (store.path().to_owned(), store.0.key(key));
        EDITED.with_borrow_mut(|all| {
            if all.contains(&edited) {
                let reason = format!(
                    "this thread edits {key:?} already, and would wait for itself: commit or drop that edit first"
                );
                return Err(Error::Refused { place: "edit".to_owned(), reason });
            }
            all.push(edited.clone());
            Ok(Self { edited, _stays: PhantomData })
        })
    }
}

impl Drop for ByThisThread {
    fn drop(&mut self) {
        // At the end of the thread the list may be gone before an edit is.
        let _ = EDITED.try_with(|all| all.borrow_mut().retain(|it| *it != self.edited));
    }
}
