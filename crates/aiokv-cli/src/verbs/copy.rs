//! The verbs that write what the store holds: `checkpoint` to its own file, `backup` to another.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::console::Console;
use crate::console::text::size;
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Bring the file up to date with its journal, so that the file alone holds everything
#[derive(Args)]
pub(crate) struct Checkpoint {}

/// Write a copy of the store to another file, while programs use it
///
/// The copy is of one moment and complete whenever it has its name. A file that is there is
/// replaced.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file to write
    #[arg(value_hint = ValueHint::FilePath)]
    target: PathBuf,
}

impl Checkpoint {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let found = store.inspect()?;
        store.kv().checkpoint()?;
        let file = store.path().display();
        if found.entries.is_none() {
            store.tell_missing();
            return Ok(Status::Done);
        }
        console.say(match found.journal {
            None => format!("`{file}` has no journal: the file alone holds everything"),
            Some(journal) => {
                let bytes = size(journal.bytes);
                format!("`{file}` is up to date; its journal ({bytes}) was removed")
            }
        })?;
        Ok(Status::Done)
    }
}

impl Backup {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        store.kv().backup(&self.target)?;
        let (file, target) = (store.path().display(), self.target.display());
        console.say(format!("copied `{file}` to `{target}`"))?;
        Ok(Status::Done)
    }
}
