//! Operations that read one key and change it at once. Each is atomic among tasks, threads and
//! processes.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cooldown::{self, Decision};
use super::{AioKv, now, typed};
use crate::error::{Error, Result};
use crate::json::time::stored_time;
use crate::json::{Entry, value};
use crate::queue::{Change, Condition, Operation, Outcome, Write, Written};

/// How often a change that depends on what it read is tried again because the key was changed
/// meanwhile.
pub(super) const ATTEMPTS_MAX: usize = 10_000;

impl AioKv {
    /// Sets the value of `key` only if there is none. Says whether it was set.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn add<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<bool> {
        let added = self.write_if(Condition::Absent, self.new_entry(key, value)?).await?;
        Ok(added.is_ok())
    }

    /// The value of `key`; if there is none, sets it to `default` and returns that.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`]; [`Error::Type`] if the value that is there is not a `T`.
    pub async fn setdefault<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        default: &T,
    ) -> Result<T> {
        let entry = self.new_entry(key, default)?;
        match self.write_if(Condition::Absent, entry.clone()).await? {
            Ok(_) => typed(&entry),
            Err(found) => typed(&found.expect("the key is not absent")),
        }
    }

    /// Deletes `key` and returns the value that it had.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`]; [`Error::Type`] if the value was not a `T`, which is deleted all the
    /// same.
    pub async fn pop<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let delete = Write::unconditional(Change::Delete(self.key(key)));
        let Written { before, .. } = self.write_one(delete).await?.expect("under no condition");
        before.map(|entry| typed(&entry)).transpose()
    }

    /// Adds a number to the value of `key`, which counts as 0 if there is none, and returns the
    /// sum. Whole numbers are exact at any size; a whole number plus a fraction is a float.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`]; [`Error::NotANumber`] if the value is not a number; [`Error::Refused`] if
    /// `by` is not a number, or the sum too large for a float.
    pub async fn increment<N: Serialize + DeserializeOwned>(&self, key: &str, by: N) -> Result<N> {
        let amount = self.new_entry(key, &by)?;
        let add = Write::unconditional(Change::Add { amount, initial: "0".into() });
        let Written { after, .. } = self.write_one(add).await?.expect("under no condition");
        typed(&after.expect("a sum"))
    }

    /// Replaces the value of `key`, or `None`, by what `function` makes of it, and returns that.
    /// The function is called again if the value was changed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`]; [`Error::Type`] if the value is not a `T`; [`Error::Conflict`] if other
    /// changes were faster all the time.
    pub async fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut function: impl FnMut(Option<T>) -> T,
    ) -> Result<T> {
        let mut found = self.entry(key).await?;
        for _ in 0..ATTEMPTS_MAX {
            let old = found.as_ref().map(typed).transpose()?;
            let new = function(old);
            match self.write_if(unchanged(found.as_ref()), self.new_entry(key, &new)?).await? {
                Ok(_) => return Ok(new),
                Err(now) => found = now,
            }
        }
        Err(self.conflict(Some(key), ATTEMPTS_MAX))
    }

    /// Whether there is a value.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.entry(key).await?.is_some())
    }

    /// How long ago the time is that is stored under `key`, such as one of [`AioKv::set_now`] or
    /// of [`AioKv::cooldown`]. Zero for a time in the future; `None` if there is no value.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`]; [`Error::NotANumber`] if the value is no time.
    pub async fn age(&self, key: &str) -> Result<Option<Duration>> {
        let Some(entry) = self.entry(key).await? else { return Ok(None) };
        let Some(time) = stored_time(entry.value_text()) else {
            return Err(Error::not_a_number(&entry.key(), entry.value_text()));
        };
        let age = now().as_secs_f64() - time;
        Ok(Some(Duration::try_from_secs_f64(age.max(0.0)).unwrap_or(Duration::MAX)))
    }

    /// Takes one of `uses` uses that are allowed in any time of the length `window`. Returns zero
    /// if it was taken, otherwise how long to wait.
    ///
    /// What is stored is the time of the last use in seconds since 1970, or for several uses the
    /// list of the last times, so it survives restarts. If the clock went back, times in the
    /// future count as now.
    ///
    /// # Errors
    ///
    /// As [`AioKv::update`]; [`Error::NotANumber`] if the value is no such time or list.
    pub async fn cooldown(&self, key: &str, window: Duration, uses: usize) -> Result<Duration> {
        let mut found = self.entry(key).await?;
        for _ in 0..ATTEMPTS_MAX {
            let text = found.as_ref().map(Entry::value_text);
            let decision = cooldown::decide(text, now().as_secs_f64(), window.as_secs_f64(), uses);
            let Some(Decision { store, wait }) = decision else {
                let entry = found.as_ref().expect("only a value can be wrong");
                return Err(Error::not_a_number(&entry.key(), entry.value_text()));
            };
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
            let Some(text) = store else { return Ok(wait) };
            let key = [&*self.prefix, key].concat();
            let entry = Entry::new(&value::encode_key(&key), &text);
            match self.write_if(unchanged(found.as_ref()), entry).await? {
                Ok(_) => return Ok(wait),
                Err(now) => found = now,
            }
        }
        Err(self.conflict(Some(key), ATTEMPTS_MAX))
    }

    /// Sets an entry under a condition. If that does not hold, returns what is there.
    pub(super) async fn write_if(
        &self,
        condition: Condition,
        entry: Entry,
    ) -> Result<Result<Written, Option<Entry>>> {
        self.write_one(Write { condition, change: Change::Set(entry) }).await
    }

    async fn write_one(&self, write: Write) -> Result<Result<Written, Option<Entry>>> {
        match self.ask(Operation::Write([write].into())).await? {
            Outcome::Written(written) => {
                Ok(Ok(written.into_iter().next().expect("one for each write")))
            }
            Outcome::Unmet { found, .. } => Ok(Err(found)),
            _ => unreachable!("a write is answered with what was written, or why not"),
        }
    }
}

/// The condition that a key still has the value that was found.
pub(super) fn unchanged(found: Option<&Entry>) -> Condition {
    match found {
        Some(entry) => Condition::Exactly(entry.value_text().into()),
        None => Condition::Absent,
    }
}
