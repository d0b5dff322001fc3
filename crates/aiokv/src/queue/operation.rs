//! What a store can be asked to do, and what it answers: data, evaluated by [`crate::state`] on
//! the newest state, under the lock of the file.

use std::borrow::Cow;

use crate::json::Entry;
use crate::state::Snapshot;

/// A key, in UTF-8; lone surrogates are in the three bytes that UTF-8 would give them (WTF-8).
pub type Key = Box<[u8]>;

/// A request. It takes effect as a whole or not at all.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The entries of some keys, at one moment.
    Read(Box<[Key]>),
    /// The entries whose keys start with this prefix, at one moment.
    ReadPrefix(Key),
    /// The entries of some keys, and those whose keys start with some prefixes, all at one moment.
    Survey {
        /// The keys.
        keys: Box<[Key]>,
        /// The prefixes.
        prefixes: Box<[Key]>,
    },
    /// Writes to some keys. If the condition of one of them does not hold, none of them happens.
    /// Conditions and changes are evaluated in their order, each on what those before it left.
    Write(Box<[Write]>),
    /// Deletes the keys that start with a prefix, or those of them whose value is a time before
    /// another one, in seconds since 1970. Answered with what was there.
    DeletePrefix {
        /// What the keys start with.
        prefix: Key,
        /// Keys whose value is a later time, or no time, stay.
        older_than: Option<f64>,
    },
    /// Deletes everything and removes the file. Needs no readable file.
    Clear,
    /// Waits until the state file alone holds everything.
    Checkpoint,
    /// Waits until the state file alone holds everything that this process changed before.
    Close,
}

/// A change of one key, if a condition holds.
#[derive(Debug, Clone)]
pub struct Write {
    /// What has to be there for the change to happen.
    pub condition: Condition,
    /// What happens.
    pub change: Change,
}

/// What has to be there under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Anything or nothing.
    Anything,
    /// Nothing.
    Absent,
    /// Any value.
    Present,
    /// A value with exactly this text.
    Exactly(Box<str>),
    /// The keys that start with the key of the write are these, with these values.
    Lists(Snapshot),
}

/// What happens to one key.
#[derive(Debug, Clone)]
pub enum Change {
    /// The value becomes that of the entry.
    Set(Entry),
    /// The key is deleted, if it is there.
    Delete(Key),
    /// Nothing. The write is there for its condition.
    Keep(Key),
    /// The value of `amount` is added to the number that is there, or to `initial` if nothing is.
    /// Both are the text of a JSON number.
    Add {
        /// The key and what is added.
        amount: Entry,
        /// What an absent key counts as.
        initial: Box<str>,
    },
}

/// The answer to an [`Operation`].
#[derive(Debug)]
pub enum Outcome {
    /// To [`Operation::Read`]: an entry, or none, for each key.
    Read(Box<[Option<Entry>]>),
    /// To [`Operation::ReadPrefix`].
    Snapshot(Snapshot),
    /// To [`Operation::Survey`].
    Surveyed {
        /// An entry, or none, for each key.
        entries: Box<[Option<Entry>]>,
        /// The entries for each prefix.
        listings: Box<[Snapshot]>,
    },
    /// To [`Operation::Write`]: what was there before and after each write. To
    /// [`Operation::DeletePrefix`]: the same for each key that was deleted.
    Written(Box<[Written]>),
    /// To [`Operation::Write`]: nothing changed, because a condition did not hold.
    Unmet {
        /// The index of the write with that condition.
        index: usize,
        /// What is there.
        found: Option<Entry>,
    },
    /// To a watcher.
    Changes(Box<[Changed]>),
    /// To everything else.
    Done,
}

/// A change that a watcher is told of.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The key.
    pub key: Key,
    /// The entry before.
    pub before: Option<Entry>,
    /// The entry after.
    pub after: Option<Entry>,
}

/// What a write did to its key.
#[derive(Debug, Clone)]
pub struct Written {
    /// The entry before.
    pub before: Option<Entry>,
    /// The entry after.
    pub after: Option<Entry>,
}

impl Operation {
    /// Whether it may change what the store holds.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Write(_) | Self::DeletePrefix { .. } | Self::Clear)
    }
}

impl Write {
    /// A change under no condition.
    pub fn unconditional(change: Change) -> Self {
        Self { condition: Condition::Anything, change }
    }

    /// The key that is changed.
    pub fn key(&self) -> Cow<'_, [u8]> {
        match &self.change {
            Change::Set(entry) | Change::Add { amount: entry, .. } => entry.key(),
            Change::Delete(key) | Change::Keep(key) => Cow::Borrowed(key),
        }
    }
}
