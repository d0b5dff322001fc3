//! `check`: whether the files are what they should be.

use std::fs;

use clap::Args;
use serde::Serialize;

use crate::console::Console;
use crate::console::text::{self, size};
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Say `ok` and how large the file and its journal are, or where they are damaged
///
/// Changes nothing.
#[derive(Args)]
pub(crate) struct Check {}

/// What a program is told.
#[derive(Serialize)]
struct Checked {
    ok: bool,
    exists: bool,
    entries: usize,
    bytes: u64,
    journal: Option<Journal>,
}

#[derive(Serialize)]
struct Journal {
    bytes: u64,
    /// Whether it has changes that the file does not hold.
    ahead: bool,
}

impl Check {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let found = store.inspect()?;
        if found.entries.is_none() {
            store.tell_missing();
        }
        let file = store.path().display();
        let bytes = fs::metadata(store.path()).map_or(0, |metadata| metadata.len());
        if !console.is_for_person() {
            let journal = found.journal.as_ref();
            console.print_json(&Checked {
                ok: true,
                exists: found.entries.is_some(),
                entries: found.entries.unwrap_or_default(),
                bytes,
                journal: journal.map(|it| Journal { bytes: it.bytes, ahead: it.is_ahead }),
            })?;
            return Ok(Status::Done);
        }
        let Some(entries) = found.entries else { return Ok(Status::Done) };
        let entries = text::entries(entries);
        let journal = match found.journal {
            None => "no journal".to_owned(),
            Some(journal) if journal.is_ahead => format!(
                "and a journal of {} with later changes\n`aiokv checkpoint` brings the file up to \
                 date",
                size(journal.bytes)
            ),
            Some(journal) => format!("and a journal of {} that can go", size(journal.bytes)),
        };
        console.say(format!("ok: {entries} in `{file}`, {}, {journal}", size(bytes)))?;
        Ok(Status::Done)
    }
}
