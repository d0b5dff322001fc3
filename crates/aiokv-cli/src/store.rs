//! The store that a command works on.
//!
//! Reads give the text that entries have in the file. It is never decoded and encoded again, so
//! numbers of any size and every spelling stay as they are.

use std::path::{Path, PathBuf};

use aiokv::binding::{
    self, Entry, Inspection, Key, Operation, Recovered, Snapshot, Sources, Write,
};
use aiokv::{Options, Watch, blocking};

use crate::console::tell;
use crate::outcome::{Failure, Outcome};

/// A store, with the path and the options that the user gave.
pub(crate) struct Store {
    path: PathBuf,
    options: Options,
    kv: aiokv::AioKv,
}

impl Store {
    /// Touches no file.
    pub(crate) fn new(path: PathBuf, options: Options) -> Outcome<Self> {
        let kv = aiokv::AioKv::with_options(&path, options.clone())?;
        Ok(Self { path, options, kv })
    }

    /// The path of the file, spelled as the user did.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The operations of the store.
    pub(crate) fn kv(&self) -> blocking::AioKv {
        self.kv.clone().into()
    }

    /// An entry, or none, for each key, all of one moment.
    pub(crate) fn entries(&self, keys: &[String]) -> Outcome<Box<[Option<Entry>]>> {
        self.read(keys.iter().map(|key| key.as_bytes().into()).collect())
    }

    /// An entry, or none, for each key, all of one moment.
    pub(crate) fn read(&self, keys: Box<[Key]>) -> Outcome<Box<[Option<Entry>]>> {
        match self.kv.ask_here(Operation::Read(keys))? {
            binding::Outcome::Read(entries) => Ok(entries),
            _ => unreachable!("a read is answered with entries"),
        }
    }

    /// The entries whose keys start with `prefix`, all of one moment.
    pub(crate) fn snapshot(&self, prefix: &str) -> Outcome<Snapshot> {
        match self.kv.ask_here(Operation::ReadPrefix(prefix.as_bytes().into()))? {
            binding::Outcome::Snapshot(snapshot) => Ok(snapshot),
            _ => unreachable!("a read of a prefix is answered with a snapshot"),
        }
    }

    /// Writes to several keys, all or none, and says whether all conditions held. If not, the index
    /// of the first that did not.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Outcome<Result<(), usize>> {
        match self.kv.ask_here(Operation::Write(writes.into()))? {
            binding::Outcome::Unmet { index, .. } => Ok(Err(index)),
            _ => Ok(Ok(())),
        }
    }

    /// Writes what can be read of damaged files to a new one.
    pub(crate) fn recover(&self, target: &Path, sources: Sources) -> Outcome<Recovered> {
        Ok(binding::recover(self.kv.path(), target, sources, self.options.clone())?)
    }

    /// What there is on disk. Changes nothing.
    pub(crate) fn inspect(&self) -> Outcome<Inspection> {
        Ok(binding::inspect(self.kv.path(), self.options.clone())?)
    }

    /// Watches the keys that start with `prefix`.
    pub(crate) fn watch(&self, prefix: &str) -> Outcome<Watch> {
        Ok(self.kv.watch_here(prefix.as_bytes().into())?)
    }

    /// Tells that there is no file. That is no failure, because a missing file is an empty store; but
    /// a misspelled path must not look like a store that was found to be empty, or good.
    pub(crate) fn tell_missing(&self) {
        tell(format!("`{}` does not exist: an empty store", self.path.display()));
    }

    /// Waits until the file alone holds what the command changed, so that no journal stays behind.
    pub(crate) fn close(&self) -> Outcome<()> {
        self.kv().close().map_err(|error| {
            Failure::from(error)
                .context("done, but the change is in the journal only, not in the file yet")
        })
    }
}
