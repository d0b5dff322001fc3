//! The verbs that delete: `delete` and `clear`. What deletes more than one entry asks first.

use clap::Args;

use crate::console::Console;
use crate::console::text;
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Delete keys, whether they are there or not, and print how many were
///
/// All of them go, or none. More than one key: asks at a terminal, needs --yes elsewhere.
#[derive(Args)]
pub(crate) struct Delete {
    /// The keys
    #[arg(
        value_name = "KEY",
        required_unless_present = "prefix",
        conflicts_with = "prefix",
        allow_negative_numbers = true
    )]
    keys: Vec<String>,

    /// Delete all keys that start with this
    #[arg(long, short, allow_hyphen_values = true)]
    prefix: Option<String>,

    #[command(flatten)]
    consent: Consent,
}

/// Delete everything and remove the file, be it readable or not
///
/// Asks at a terminal, needs --yes elsewhere.
#[derive(Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    consent: Consent,
}

/// The answer to a question, given before it is asked.
#[derive(Args)]
struct Consent {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let question = match (&self.prefix, &self.keys[..]) {
            (Some(prefix), _) => match store.kv().count(prefix)? {
                0 => None,
                number => {
                    let entries = text::entries(number);
                    Some(format!("Delete {entries} of `{}`?", store.path().display()))
                }
            },
            (None, [_]) => None,
            (None, keys) => {
                Some(format!("Delete {} keys of `{}`?", keys.len(), store.path().display()))
            }
        };
        if let Some(question) = question
            && !console.confirm(&question, self.consent.yes)?
        {
            return Ok(Status::No);
        }
        let deleted = match &self.prefix {
            Some(prefix) => store.kv().delete_prefix(prefix)?,
            None => {
                let keys = Vec::from_iter(self.keys.iter().map(String::as_str));
                store.kv().delete_many(&keys)?
            }
        };
        let told = match console.is_for_person() {
            true => console.say(format!("deleted {}", text::entries(deleted))),
            false => console.print(format!("{deleted}\n")),
        };
        told.map_err(|failure| failure.after_change(deleted > 0))?;
        Ok(Status::Done)
    }
}

impl Clear {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let file = store.path().display();
        // The file may be unreadable, so how much there is in it cannot be said.
        let question = format!("Delete everything in `{file}` and remove the file?");
        if !console.confirm(&question, self.consent.yes)? {
            return Ok(Status::No);
        }
        store.kv().clear()?;
        console.say(format!("removed `{file}`"))?;
        Ok(Status::Done)
    }
}
