//! Operations on several keys: all of it happens or nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AioKv, typed};
use crate::error::Result;
use crate::queue::{Change, Operation, Outcome, Write};

impl AioKv {
    /// Sets the values of several keys, all or none.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn set_many<'key, T: Serialize>(
        &self,
        values: impl IntoIterator<Item = (&'key str, T)>,
    ) -> Result<()> {
        let entries = values.into_iter().map(|(key, value)| self.new_entry(key, &value));
        let writes = entries.map(|entry| entry.map(|it| Write::unconditional(Change::Set(it))));
        let writes = writes.collect::<Result<_>>()?;
        self.ask(Operation::Write(writes)).await.map(drop)
    }

    /// The values of several keys at one moment, in the order of `keys`. Absent ones are left out.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Vec<(String, T)>> {
        let asked = keys.iter().map(|key| self.key(key)).collect();
        let Outcome::Read(entries) = self.ask(Operation::Read(asked)).await? else {
            unreachable!("a read is answered with entries")
        };
        let found = keys.iter().zip(entries);
        let found = found.filter_map(|(key, entry)| Some((key, entry?)));
        found.map(|(key, entry)| Ok(((*key).to_owned(), typed(&entry)?))).collect()
    }

    /// Deletes several keys, all or none, and says how many of them were there.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn delete_many(&self, keys: &[&str]) -> Result<usize> {
        let delete = |key: &&str| Write::unconditional(Change::Delete(self.key(key)));
        let deletes = keys.iter().map(delete).collect();
        self.count_deleted(Operation::Write(deletes)).await
    }

    /// How many keys an operation deleted.
    pub(super) async fn count_deleted(&self, operation: Operation) -> Result<usize> {
        let Outcome::Written(written) = self.ask(operation).await? else {
            unreachable!("an unconditional write is answered with what was written")
        };
        Ok(written.iter().filter(|it| it.before.is_some()).count())
    }
}
