//! What the commands do, each on the store of one file.
//!
//! Values go from the arguments to the file and from the file to standard output as text. They are
//! never decoded and encoded again, so numbers of any size and every spelling stay as they are.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind, Write};

use aiokv::binding::{self, InspectedJournal, Inspection, decode_string};
use aiokv::{AioKv, Options};
use pollster::block_on;
use serde_json::value::RawValue;

/// The outcome of a command. A failure is told to the user in the words of the error.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Stands for standard input in the place of a value.
const STANDARD_INPUT: &str = "-";

/// Prints the value of `key`. Says whether there is such a key.
pub(crate) fn get(store: &AioKv, key: &str, raw: bool) -> Outcome<bool> {
    let Some(entry) = block_on(store.entry(key))? else { return Ok(false) };
    let text = entry.value_text();
    let printed = if raw && text.starts_with('"') { characters(text) } else { text.into() };
    print(format!("{printed}\n"))?;
    Ok(true)
}

/// Sets `key` to the current time.
pub(crate) fn set_now(store: &AioKv, key: &str) -> Outcome {
    Ok(block_on(store.set_now(key))?)
}

/// Sets `key` to a value that is given as JSON.
pub(crate) fn set_json(store: &AioKv, key: &str, value: &str) -> Outcome {
    let text = match value {
        STANDARD_INPUT => read_standard_input()?.into(),
        text => Cow::Borrowed(text),
    };
    let value: &RawValue = serde_json::from_str(&text).map_err(|error| {
        format!("the value is not JSON: {error}; use --string to store it as a string")
    })?;
    Ok(block_on(store.set(key, value))?)
}

/// Sets `key` to a string.
pub(crate) fn set_string(store: &AioKv, key: &str, value: &str) -> Outcome {
    if value != STANDARD_INPUT {
        return Ok(block_on(store.set(key, value))?);
    }
    let text = read_standard_input()?;
    // Whatever prints a line, `aiokv get --raw` included, ends it with a line feed of its own.
    Ok(block_on(store.set(key, text.strip_suffix('\n').unwrap_or(&text)))?)
}

/// Deletes `key`, whether it is there or not.
pub(crate) fn delete(store: &AioKv, key: &str) -> Outcome {
    Ok(block_on(store.delete(key))?)
}

/// Prints all entries as one JSON object, in the layout of the file.
pub(crate) fn list(store: &AioKv) -> Outcome {
    print(block_on(store.snapshot(""))?.to_string())
}

/// Prints all keys, one a line.
pub(crate) fn list_keys(store: &AioKv) -> Outcome {
    let mut lines = String::new();
    for entry in block_on(store.snapshot(""))?.iter() {
        lines.push_str(&characters(entry.key_text()));
        lines.push('\n');
    }
    print(lines)
}

/// Deletes everything and removes the file.
pub(crate) fn clear(store: &AioKv) -> Outcome {
    Ok(block_on(store.clear())?)
}

/// Prints how many entries the file has, and whether a journal goes with it. Damage is an error
/// with line and column.
pub(crate) fn check(store: &AioKv, options: Options) -> Outcome {
    let found = binding::inspect(store.path(), options)?;
    let file = store.path().display();
    let Inspection { entries: Some(entries), journal } = found else {
        return print(missing(store));
    };
    let entries = counted(entries);
    let Some(InspectedJournal { path, bytes, is_ahead }) = journal else {
        return print(format!("`{file}` is a valid state file with {entries}\n"));
    };
    let journal = path.display();
    let lag = if is_ahead {
        format!("`{file}` alone lags behind: the journal holds later changes")
    } else {
        format!("`{file}` alone holds everything: the journal can go")
    };
    print(format!(
        "`{file}` and its journal `{journal}` ({bytes} bytes) are valid and hold {entries}\n\
         {lag}; `aiokv checkpoint {file}` brings the file up to date and removes the journal\n"
    ))
}

/// Brings the file up to date with its journal, and prints whether there was anything to do.
pub(crate) fn checkpoint(store: &AioKv, options: Options) -> Outcome {
    let found = binding::inspect(store.path(), options)?;
    let file = store.path().display();
    block_on(store.checkpoint())?;
    print(match found {
        Inspection { entries: None, .. } => missing(store),
        Inspection { journal: None, .. } => {
            format!("`{file}` has no journal: the file alone holds everything already\n")
        }
        Inspection { journal: Some(InspectedJournal { path, bytes, .. }), .. } => format!(
            "`{file}` is up to date; its journal `{}` ({bytes} bytes) is not needed any more and \
             was removed\n",
            path.display()
        ),
    })
}

/// Waits until the file alone holds what the command changed, so that no journal stays behind.
pub(crate) fn close(store: &AioKv) -> Outcome {
    block_on(store.close()).map_err(|error| {
        format!("done, but the change is in the journal only, not in the file yet: {error}").into()
    })
}

/// Not an error, since every other command takes a missing file for an empty store; but a
/// misspelled path must not look like a file that was found to be good.
fn missing(store: &AioKv) -> String {
    format!("`{}` does not exist: an empty store\n", store.path().display())
}

fn counted(entries: usize) -> String {
    match entries {
        1 => "1 entry".to_owned(),
        _ => format!("{entries} entries"),
    }
}

/// The characters of a JSON string. A lone surrogate, which a Python program can store and UTF-8
/// cannot express, has U+FFFD in its place.
fn characters(text: &str) -> Cow<'_, str> {
    match decode_string(text) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

fn read_standard_input() -> Result<String, String> {
    io::read_to_string(io::stdin()).map_err(|error| format!("cannot read standard input: {error}"))
}

fn print(text: String) -> Outcome {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome.map_err(|error| format!("cannot write standard output: {error}"))?),
    }
}
