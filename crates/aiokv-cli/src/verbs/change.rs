//! The verbs that give a key a value: `set`, `add` and `increment`.

use aiokv::Error;
use clap::Args;
use serde_json::value::RawValue;

use crate::console::text::harmless;
use crate::console::{Console, STANDARD_INPUT, read_standard_input, tell};
use crate::outcome::{Failure, Outcome, Status};
use crate::store::Store;

/// A key and what it is to hold.
#[derive(Args)]
struct Assignment {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: String,

    /// The value as JSON, or `-` for standard input; if omitted, the time in seconds since 1970
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,

    /// Take the value as a string, not as JSON; from standard input, without the last line feed
    #[arg(long, requires = "value")]
    string: bool,
}

/// Set the value of a key
#[derive(Args)]
pub(crate) struct Set {
    #[command(flatten)]
    assignment: Assignment,
}

/// Set the value of a key only if there is none
///
/// Exit with status 1 if there is one, which stays.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    assignment: Assignment,
}

/// Add to a number, and print the sum
///
/// A key that is not there counts as 0. Whole numbers are exact at any size.
#[derive(Args)]
pub(crate) struct Increment {
    /// The key
    #[arg(allow_negative_numbers = true)]
    key: String,

    /// What to add
    #[arg(default_value = "1", allow_negative_numbers = true)]
    by: String,
}

impl Set {
    pub(crate) fn run(&self, store: &Store) -> Outcome {
        let Assignment { key, .. } = &self.assignment;
        match self.assignment.value()? {
            Some(value) => store.kv().set(key, &value)?,
            None => store.kv().set_now(key)?,
        }
        Ok(Status::Done)
    }
}

impl Add {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let Assignment { key, .. } = &self.assignment;
        let added = match self.assignment.value()? {
            Some(value) => store.kv().add(key, &value)?,
            None => store.kv().add(key, &now())?,
        };
        if added {
            return Ok(Status::Done);
        }
        if console.is_for_person() {
            tell(format!("there is a key `{}` already", harmless(key)));
        }
        Ok(Status::No)
    }
}

impl Increment {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let amount: Box<RawValue> = serde_json::from_str(&self.by).map_err(|_| {
            Failure::new(Status::Usage, format!("`{}` is no number to add", harmless(&self.by)))
        })?;
        let sum = store.kv().increment(&self.key, amount).map_err(|error| match error {
            // The place is that of an argument, which is a number as a whole.
            Error::Refused { reason, .. } => Failure::new(Status::Usage, reason),
            error => error.into(),
        })?;
        console.print(format!("{sum}\n")).map_err(|failure| failure.after_change(true))?;
        Ok(Status::Done)
    }
}

impl Assignment {
    /// The value as JSON; `None` for the time.
    fn value(&self) -> Outcome<Option<Box<RawValue>>> {
        let Some(given) = &self.value else { return Ok(None) };
        let is_read = given == STANDARD_INPUT;
        let text = if is_read { read_standard_input()? } else { given.clone() };
        if !self.string {
            return json(&text).map(Some);
        }
        // Whatever prints a line, `aiokv get --raw` included, ends it with a line feed of its own.
        let string = if is_read { text.strip_suffix('\n').unwrap_or(&text) } else { &text };
        Ok(Some(serde_json::value::to_raw_value(string).expect("a string is always JSON")))
    }
}

fn json(text: &str) -> Outcome<Box<RawValue>> {
    serde_json::from_str(text).map_err(|error| {
        let message =
            format!("the value is not JSON: {error}; use --string to store it as a string");
        Failure::new(Status::Usage, message)
    })
}

/// The time in seconds since 1970.
fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}
