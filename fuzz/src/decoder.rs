//! The decoder of the file against serde_json.

use aiokv::{Corruption, Error};

use crate::reference::{self, Rejection};

/// Reads `content` as the file of a store and writes it again.
///
/// What [`reference::read`] accepts must come back with the same entries in our own layout, and
/// must not change any more when that is read. What it rejects must be reported as damage, at a
/// place up to which the content is the beginning of a valid file.
pub fn decoder(content: &[u8]) {
    match (reference::read(content), aiokv::reencode(content)) {
        (Ok(entries), Ok(written)) => {
            assert_eq!(reference::read(written.as_bytes()), Ok(entries), "in {written:?}");
            reference::check_layout(&written);
            let again = aiokv::reencode(written.as_bytes()).expect("what is written can be read");
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
    assert_eq!(corruption.content, text);
    let before: String = text.chars().take(corruption.offset).collect();
    assert_eq!(before.chars().count(), corruption.offset, "outside of the content: {corruption}");
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    let place = (1 + before.matches('\n').count(), 1 + last_line.chars().count());
    assert_eq!((corruption.line, corruption.column), place, "not at offset {}", corruption.offset);
    match rejection {
        Rejection::NotText { position } => assert_eq!(before.len(), position, "{corruption}"),
        Rejection::NotAnObject => {
            assert!(reference::is_beginning(&before), "the damage lies before {corruption}");
        }
    }
}
