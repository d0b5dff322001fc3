//! `get`: the values of some keys.

use anstyle::Style;
use clap::Args;

use super::list;
use crate::console::text::{age, age_seconds, harmless, raw};
use crate::console::{Console, tell};
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Print the value of a key, or the entries of several keys
///
/// One key: its value as JSON. Several: their entries as JSON Lines, of one moment, without those
/// that are not there. Exit with status 1 if a key is not there.
#[derive(Args)]
pub(crate) struct Get {
    /// The keys
    #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
    keys: Vec<String>,

    /// Print a string as it is, without quotes and escapes
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

const DIM: Style = Style::new().dimmed();

impl Get {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let found = store.entries(&self.keys)?;
        let missing = self.keys.iter().zip(&found).filter(|(_, entry)| entry.is_none());
        let missing = Vec::from_iter(missing.map(|(key, _)| key));
        if console.is_for_person() {
            for key in &missing {
                tell(format!("there is no key `{}`", harmless(key)));
            }
        }
        let found = Vec::from_iter(found.iter().flatten());
        if self.raw {
            let lines = found.iter().map(|entry| raw(entry.value_text()) + "\n");
            console.print(lines.collect::<String>())?;
        } else if self.keys.len() > 1 {
            list::print_entries(console, found)?;
        } else if let [entry] = found[..] {
            console.print(value(entry.value_text(), console))?;
        }
        Ok(if missing.is_empty() { Status::Done } else { Status::No })
    }
}

/// One value: for a person with its age, if it is a time.
fn value(text: &str, console: &Console) -> String {
    if !console.is_for_person() {
        return format!("{text}\n");
    }
    let when = age_seconds(text).map(|seconds| {
        let ago = if seconds < 0.0 { "" } else { " ago" };
        format!("  {DIM}{}{ago}{DIM:#}", age(seconds))
    });
    format!("{}{}\n", harmless(text), when.unwrap_or_default())
}
