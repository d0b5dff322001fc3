//! Entries in text that somebody else wrote: read, and refused with the place of the mistake.

use std::collections::HashSet;
use std::path::Path;

use aiokv::binding::{Entry, Snapshot, read_entries};

use crate::console::{place, text::harmless};
use crate::outcome::{Failure, Outcome, Status};

/// The entries of one JSON object, in their order. `path` is what errors call the text.
///
/// # Errors
///
/// A mistake in the JSON, or a key that is there twice, of which one value would be lost.
pub(crate) fn read_object(text: &[u8], path: &Path) -> Outcome<Snapshot> {
    let entries = read(text, path).map_err(|mistake| Failure::new(Status::Damaged, mistake))?;
    require_single(entries.iter())?;
    Ok(entries)
}

/// The entry in a line of JSON Lines: `{"key": "last_command", "value": "ping"}`, in any order.
///
/// # Errors
///
/// What is wrong with it, without the place.
pub(crate) fn read_line(line: &[u8]) -> Result<Entry, String> {
    let members = read(line, Path::new(""))?;
    let member = |name: &[u8]| members.iter().find(|member| *member.key() == *name);
    match (member(b"key"), member(b"value")) {
        (Some(key), Some(value)) if members.len() == 2 && key.value_text().starts_with('"') => {
            Ok(Entry::new(key.value_text(), value.value_text()))
        }
        _ => Err(r#"expected {"key": "...", "value": ...}"#.to_owned()),
    }
}

/// Refuses entries of which two have the same key.
pub(crate) fn require_single<'entry>(
    entries: impl IntoIterator<Item = &'entry Entry>,
) -> Outcome<()> {
    let mut keys = HashSet::new();
    match entries.into_iter().find(|entry| !keys.insert(entry.key())) {
        None => Ok(()),
        Some(entry) => {
            let message = format!("the key {} is there twice", harmless(entry.key_text()));
            Err(Failure::new(Status::Damaged, message))
        }
    }
}

/// The entries, or what is wrong, with the line shown.
fn read(text: &[u8], path: &Path) -> Result<Snapshot, String> {
    read_entries(text, path).map_err(|error| match error {
        aiokv::Error::Corrupt(mistake) => match &mistake.place {
            Some(place) => {
                let (line, column, problem) = (place.line, place.column, &mistake.problem);
                format!("line {line}, column {column}: {problem}\n{}", place::shown(place))
            }
            None => mistake.problem.clone(),
        },
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_entry_however_it_is_spelled() {
        for line in
            [r#"{"key": "a", "value": [1, NaN]}"#, r#" { "value" :[1, NaN], "\u006bey":"a" } "#]
        {
            let entry = read_line(line.as_bytes()).expect("valid");
            assert_eq!(entry.line(), "\"a\": [1, NaN]");
        }
    }

    #[test]
    fn a_line_that_is_no_entry_is_refused() {
        for line in [
            r#"{"key": "a"}"#,
            r#"{"key": 1, "value": 2}"#,
            r#"{"key": "a", "value": 1, "more": 2}"#,
            r#"{"key": "a", "key": "b"}"#,
            r#"["a", 1]"#,
            r#"{"key": "a", "value": }"#,
        ] {
            assert!(read_line(line.as_bytes()).is_err(), "{line}");
        }
    }
}
