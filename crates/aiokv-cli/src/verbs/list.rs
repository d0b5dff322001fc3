//! The verbs that show many entries: `aiokv FILE`, `items`, `keys` and `count`.

use aiokv::binding::Entry;
use clap::Args;

use crate::console::text::{self, characters, harmless};
use crate::console::{Console, table};
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Which keys a verb is about.
#[derive(Args)]
pub(crate) struct Selection {
    /// Only the keys that start with this
    #[arg(long, short, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) prefix: String,
}

/// Print the entries with their keys and values, one a line
///
/// In a pipe JSON Lines: {"key": "last_command", "value": "ping"}
#[derive(Args)]
pub(crate) struct Items {
    #[command(flatten)]
    selection: Selection,
}

/// Print the keys, one a line
///
/// In a pipe JSON Lines: "last_command"
#[derive(Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    selection: Selection,

    /// Print the keys as they are, without quotes and escapes
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

/// Print how many entries there are
#[derive(Args)]
pub(crate) struct Count {
    #[command(flatten)]
    selection: Selection,
}

/// `aiokv FILE`: everything, in a pipe as one JSON object in the layout of the file.
pub(crate) fn show(store: &Store, console: &Console) -> Outcome {
    let snapshot = store.snapshot("")?;
    if snapshot.is_empty() && !store.path().exists() {
        store.tell_missing();
    }
    match console.width() {
        None => console.print(snapshot)?,
        Some(_) if snapshot.is_empty() => console.say("no entries")?,
        Some(width) => console.print(table::entries(snapshot.iter(), width))?,
    }
    Ok(Status::Done)
}

impl Items {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        print_entries(console, store.snapshot(&self.selection.prefix)?.iter())?;
        Ok(Status::Done)
    }
}

impl Keys {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let mut lines = String::new();
        for entry in store.snapshot(&self.selection.prefix)?.iter() {
            match (self.raw, console.is_for_person()) {
                (true, _) => lines += &characters(entry.key_text()),
                (false, true) => lines += &harmless(&characters(entry.key_text())),
                (false, false) => lines += entry.key_text(),
            }
            lines.push('\n');
        }
        console.print(lines)?;
        Ok(Status::Done)
    }
}

impl Count {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let number = store.kv().count(&self.selection.prefix)?;
        match console.is_for_person() {
            true => console.say(text::entries(number))?,
            false => console.print(format!("{number}\n"))?,
        }
        Ok(Status::Done)
    }
}

/// Entries: a table for a person, otherwise JSON Lines.
pub(crate) fn print_entries<'entry>(
    console: &Console,
    entries: impl IntoIterator<Item = &'entry Entry>,
) -> Outcome<()> {
    let mut entries = entries.into_iter().peekable();
    match console.width() {
        Some(_) if entries.peek().is_none() => console.say("no entries"),
        Some(width) => console.print(table::entries(entries, width)),
        None => console.print(entries.map(json_line).collect::<String>()),
    }
}

/// An entry as a line of JSON Lines.
pub(crate) fn json_line(entry: &Entry) -> String {
    format!("{{\"key\": {}, \"value\": {}}}\n", entry.key_text(), entry.value_text())
}
