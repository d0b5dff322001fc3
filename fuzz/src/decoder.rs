//! The decoder of the file against serde_json.

use aiokv::binding::reencode;
use aiokv::{Corruption, Error};

use crate::reference::{self, Rejection};

/// Reads `content` as the file of a store and writes it again.
///
/// What [`reference::read`] accepts must come back with the same entries in our own layout, and
/// must not change any more when that is read. What it rejects must be reported as damage, at a
/// place up to which the content is the beginning of a valid file.
pub fn decoder(content: &[u8]) {
    match (reference::read(content), reencode(content)) {
        (Ok(entries), Ok(written)) => {
            assert_eq!(reference::read(written.as_bytes()), Ok(entries), "in {written:?}");
            reference::check_layout(&written);
            let again = reencode(written.as_bytes()).expect("what is written can be read");
            assert_eq!(again, written, "changed when read again");
        }
        (Err(rejection), Err(Error::Corrupt(corruption))) => {
            check_place(content, rejection, &corruption);
        }
        (Ok(_), Err(error)) => panic!("refused a valid file: {error}"),
        (Err(rejection), Ok(_)) => panic!("accepted a file that is not valid: {rejection:?}"),
        (Err(_), Err(error)) => panic!("reported damage as something else: {error}"),
    }
}

fn check_place(content: &[u8], rejection: Rejection, corruption: &Corruption) {
    let text = String::from_utf8_lossy(content);
    let place = corruption.place.as_ref().expect("damage to a file has a place");
    let lines: Vec<_> = text.split('\n').collect();
    let line = lines.get(place.line - 1).expect("the line is there");
    let length = line.chars().count();
    assert!(place.column <= length + 1, "outside of the line: {corruption}");
    let begun: String = line.chars().take(place.column - 1).collect();
    let before = [&lines[..place.line - 1], &[&*begun]].concat().join("\n");
    let after = &text[before.len()..];
    let (shown_before, shown_after) = split(&place.excerpt, place.excerpt_offset);
    assert!(begun.ends_with(shown_before), "{shown_before:?} is not before {corruption}");
    assert!(after.starts_with(shown_after), "{shown_after:?} is not after {corruption}");
    match rejection {
        Rejection::NotText { position } => assert_eq!(before.len(), position, "{corruption}"),
        Rejection::NotAnObject => {
            assert!(reference::is_beginning(&before), "the damage lies before {corruption}");
        }
    }
}

/// Splits a text at a number of characters.
fn split(text: &str, characters: usize) -> (&str, &str) {
    let place = text.char_indices().map(|(place, _)| place).chain([text.len()]).nth(characters);
    text.split_at(place.expect("the place is in the excerpt"))
}
