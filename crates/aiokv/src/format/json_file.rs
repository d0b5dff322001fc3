//! The JSON file: decoding what people, editors and other programs leave, encoding our layout.
//!
//! The file is one JSON object with one entry a line:
//!
//! ```text
//! {
//!   "last_command": "ping",
//!   "seen": 1700000000
//! }
//! ```
//!
//! Decoding indexes the text and builds no values: the text of keys and values is kept as it is.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Corruption, Error, Result};
use crate::json::entry::line_found;
use crate::json::text::{MAX_DEPTH, mask_non_finite, too_deep};
use crate::state::{Loading, Snapshot, SnapshotPart, State};

/// How long a piece of the encoded content is at least, but for the last one: little enough to be
/// written and flushed in about the time that a commit takes.
const PIECE_BYTES: usize = 1 << 18;

pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The content of the file that holds the entries of a snapshot, in pieces that fit to be written
/// one at a time.
pub(crate) fn encode(snapshot: Snapshot) -> Encoder {
    Encoder { parts: Some(Box::new(snapshot.into_parts())), is_empty: true }
}

/// See [`encode`].
pub(crate) struct Encoder {
    /// `None` after the last piece.
    parts: Option<Box<dyn Iterator<Item = SnapshotPart> + Send>>,
    /// There was no entry yet.
    is_empty: bool,
}

impl Iterator for Encoder {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let parts = self.parts.as_mut()?;
        let mut piece = String::new();
        for part in parts {
            piece.reserve(part.iter().map(|entry| entry.line().len() + ",\n  ".len()).sum());
            for entry in part.iter() {
                piece.push_str(if self.is_empty { "{\n  " } else { ",\n  " });
                piece.push_str(entry.line());
                self.is_empty = false;
            }
            if piece.len() >= PIECE_BYTES {
                return Some(piece);
            }
        }
        piece.push_str(if self.is_empty { "{}\n" } else { "\n}\n" });
        self.parts = None;
        Some(piece)
    }
}

/// Shows the entries as the content of a file.
impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(self.clone()).try_for_each(|piece| formatter.write_str(&piece))
    }
}

/// The state that the content of the file at `path` stands for.
///
/// Takes any JSON object, after a byte order mark too, with the numbers `NaN`, `Infinity` and
/// `-Infinity`. Of a key that occurs twice the last value wins, and a warning is logged.
pub(crate) fn decode(content: &[u8], path: &Path) -> Result<State> {
    let (state, duplicates) = State::load(read(content, path)?);
    if duplicates > 0 {
        log::warn!(
            target: "aiokv",
            "`{}` has {duplicates} duplicate key(s); the last value of each wins",
            path.display(),
        );
    }
    Ok(state)
}

/// As [`decode`], but all entries as they stand there, those with the same key too.
pub(crate) fn read(content: &[u8], path: &Path) -> Result<Snapshot> {
    let corrupt = |position, problem| {
        let corruption = Corruption::new(path, content, position, problem);
        Error::from(corruption)
    };
    let whole = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => return Err(corrupt(error.valid_up_to(), not_utf8(content))),
    };
    let text = whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(whole);
    let start = whole.len() - text.len();
    if text.trim_ascii().is_empty() {
        let problem = "expected a JSON object, found nothing".to_owned();
        return Err(corrupt(start, problem));
    }
    if let Some(position) = text.find('\0') {
        let problem = "expected a JSON object, found NUL bytes".to_owned();
        return Err(corrupt(start + position, problem));
    }
    let mut entries = Loading::default();
    if let Err((position, problem)) = read_object(text, |line, _| entries.push(line)) {
        return Err(corrupt(start + position, problem));
    }
    Ok(entries.finish())
}

/// Reads a JSON object and tells of each entry, once its value is read: its line, and where in
/// `text` it stands. An error is a position and what is wrong there; the last entry before it may
/// have no end.
pub(crate) fn read_object(
    text: &str,
    tell: impl FnMut(&str, Range<usize>),
) -> Result<(), (usize, String)> {
    let masked = mask_non_finite(text);
    let mut loader = Loader { text, masked: &masked, tell, too_deep: None };
    let mut decoder = serde_json::Deserializer::from_str(&masked);
    let outcome = loader.deserialize(&mut decoder).and_then(|()| decoder.end());
    if let Some(position) = loader.too_deep {
        return Err((position, format!("lists and objects are nested more than {MAX_DEPTH} deep")));
    }
    outcome.map_err(|error| (position_of(&error, text), problem_of(&error)))
}

/// What becomes of a file that is read and written again. For fuzzing.
#[cfg(fuzzing)]
pub fn reencode(content: &[u8]) -> Result<String> {
    decode(content, Path::new("state.json")).map(|state| state.snapshot().to_string())
}

/// Tells of the entries of the top-level object.
struct Loader<'text, T> {
    text: &'text str,
    /// What serde_json sees: `text`, in which non-finite numbers have a mask of the same length.
    masked: &'text str,
    tell: T,
    too_deep: Option<usize>,
}

impl<'text, T: FnMut(&str, Range<usize>)> DeserializeSeed<'text> for &mut Loader<'text, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'text>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_map(self)
    }
}

impl<'text, T: FnMut(&str, Range<usize>)> Visitor<'text> for &mut Loader<'text, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'text>>(self, mut map: A) -> Result<(), A::Error> {
        let offset = |text: &str| text.as_ptr() as usize - self.masked.as_ptr() as usize;
        while let Some(key) = map.next_key::<&RawValue>()? {
            let key = key.get();
            let value = map.next_value::<&RawValue>()?.get();
            if let Some(inside) = too_deep(value) {
                self.too_deep = Some(offset(value) + inside);
                return Err(A::Error::custom("nested too deep"));
            }
            let end = offset(value) + value.len();
            let range = offset(key)..end;
            let line = line_found(key, &self.text[offset(value)..end], &self.text[range.clone()]);
            (self.tell)(&line, range);
        }
        Ok(())
    }
}

/// What serde_json expected, without the position it adds.
fn problem_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let problem = message.strip_suffix(&position).unwrap_or(&message);
    if let Some(found) = problem.strip_prefix("invalid type: ") {
        // Without the value, which may be as large as the file.
        let found = match found.split([' ', ',']).next() {
            Some("sequence") => "an array",
            Some("string") => "a string",
            Some("integer" | "floating") => "a number",
            Some("boolean") => "a boolean",
            _ => "null",
        };
        return format!("expected a JSON object, found {found}");
    }
    match problem.strip_prefix("EOF while parsing ") {
        Some(what) => format!("expected the rest of {what}, found the end of the file"),
        None => problem.to_owned(),
    }
}

/// The byte offset that serde_json means by its line and column.
fn position_of(error: &serde_json::Error, text: &str) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // Column 0 is the line break before.
    let position = (line_start + error.column()).saturating_sub(1);
    // serde_json counts bytes, and may stop at the last one of a character.
    (0..=position).rev().find(|&position| text.is_char_boundary(position)).unwrap_or(0)
}

/// Says more than "not UTF-8" where the first bytes tell.
fn not_utf8(content: &[u8]) -> String {
    let detail: Cow<'_, str> =
        if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            "it looks like UTF-16; save it as UTF-8".into()
        } else {
            "found a byte that is not UTF-8".into()
        };
    format!("expected a JSON object in UTF-8, but {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reencode(content: &str) -> String {
        let state = decode(content.as_bytes(), Path::new("state.json")).expect("valid");
        state.snapshot().to_string()
    }

    fn damage(content: &[u8]) -> Corruption {
        match decode(content, Path::new("state.json")) {
            Err(Error::Corrupt(corruption)) => Corruption::clone(&corruption),
            Err(other) => panic!("not damage: {other}"),
            Ok(_) => panic!("decoded"),
        }
    }

    #[test]
    fn our_own_layout_is_kept_byte_for_byte() {
        for content in
            ["{}\n", "{\n  \"a\": 1\n}\n", "{\n  \"a\": [1, 2],\n  \"b\": {\"c\":null}\n}\n"]
        {
            assert_eq!(reencode(content), content);
        }
    }

    #[test]
    fn every_token_keeps_its_spelling() {
        let content = "\u{feff}{\"caf\\u00e9\":1.50E+2 ,\r\n\"\\ud800\" : \"\\/\\udfff\",\"n\":[NaN,-Infinity],\"b\":100000000000000000000}";
        assert_eq!(
            reencode(content),
            "{\n  \"caf\\u00e9\": 1.50E+2,\n  \"\\ud800\": \"\\/\\udfff\",\n  \"n\": [NaN,-Infinity],\n  \"b\": 100000000000000000000\n}\n"
        );
    }

    #[test]
    fn damage_has_its_place() {
        let place = |content: &[u8]| {
            let place = damage(content).place.expect("a place");
            let (before, after): (String, String) = (
                place.excerpt.chars().take(place.excerpt_offset).collect(),
                place.excerpt.chars().skip(place.excerpt_offset).collect(),
            );
            (place.line, place.column, before, after)
        };
        let is = |line, column, before: &str, after: &str| {
            (line, column, before.to_owned(), after.to_owned())
        };
        assert_eq!(place("{\n  \"ä\": 1,\n  \"b\" 2\n}".as_bytes()), is(3, 7, "  \"b\" ", "2\n}"));
        assert_eq!(place(b"{} x"), is(1, 4, "{} ", "x"));
        assert_eq!(place(b"{\"a\": 1.\n}"), is(1, 9, "{\"a\": 1.", "\n}"));
        assert_eq!(place("\u{feff}[]".as_bytes()), is(1, 2, "\u{feff}", "[]"));
        assert_eq!(place(b"{\"a\": [1, 2"), is(1, 12, "{\"a\": [1, 2", ""));
        assert_eq!(place(b""), is(1, 1, "", ""));
        assert_eq!(place(b"{\"a\": \"\xff\"}"), is(1, 8, "{\"a\": \"", "\u{fffd}\"}"));
    }

    #[test]
    fn what_is_no_object_is_named() {
        let long = format!("\"{}\"", "a".repeat(100_000));
        for (content, found) in [
            ("[1]", "an array"),
            (&long, "a string"),
            ("7", "a number"),
            ("-1.5", "a number"),
            ("true", "a boolean"),
            ("null", "null"),
        ] {
            let expected = format!("expected a JSON object, found {found}");
            assert_eq!(damage(content.as_bytes()).problem, expected);
        }
    }

    #[test]
    fn a_damaged_file_is_quoted_only_around_the_damage() {
        let content = format!("{{\"a\": \"{}\" x {}", "ä".repeat(1000), "ö".repeat(1000));
        let place = damage(content.as_bytes()).place.expect("a place");
        assert!(place.excerpt.len() <= 170, "{}", place.excerpt);
        assert_eq!(place.excerpt.chars().nth(place.excerpt_offset), Some('x'));
        assert_eq!(place.column, 1010);
    }

    #[test]
    fn the_depth_limit_holds_for_loading() {
        let nested =
            |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(reencode(&nested(MAX_DEPTH)).matches('[').count(), MAX_DEPTH);
        let place = damage(nested(MAX_DEPTH + 1).as_bytes()).place.expect("a place");
        assert_eq!(place.column, 7 + MAX_DEPTH);
        assert!(damage("[".repeat(100_000).as_bytes()).problem.contains("JSON object"));
    }
}
