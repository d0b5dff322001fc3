//! One entry of the store: the line that stands for it in the file.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memchr2;
use serde::Deserialize;

use crate::json::text;

/// A key and its value as the text they have in the file: `"key": value`.
///
/// The text is the only copy: the key is compared and the value is decoded where they stand, and
/// an entry that nobody touches keeps its spelling. Cloning shares the text.
#[derive(Clone)]
pub struct Entry {
    text: Arc<str>,
    part: Part,
}

/// Which part of a text is the line of an entry.
#[derive(Clone, Copy)]
enum Part {
    All,
    Between { start: u16, end: u16 },
}

/// Stands between the key and the value.
const SEPARATOR: &str = ": ";

impl Entry {
    /// Joins the text of a key (a JSON string) and of a value (any JSON value) that are known to
    /// be valid JSON. A value over several lines is put on one.
    pub fn new(key_text: &str, value_text: &str) -> Self {
        Self::from_line(&join(key_text, value_text))
    }

    /// The entry that was found in a file; see [`line_found`].
    pub(crate) fn found(key_text: &str, value_text: &str, whole: &str) -> Self {
        Self::from_line(&line_found(key_text, value_text, whole))
    }

    fn from_line(line: &str) -> Self {
        Self { text: line.into(), part: Part::All }
    }

    /// The entry as it is written to the file.
    pub fn line(&self) -> &str {
        match self.part {
            Part::All => &self.text,
            Part::Between { start, end } => &self.text[start.into()..end.into()],
        }
    }

    /// The key as it is spelled in the file: a JSON string with its quotes.
    pub fn key_text(&self) -> &str {
        let line = self.line();
        &line[..string_length(line)]
    }

    /// The value as it is spelled in the file.
    pub fn value_text(&self) -> &str {
        let line = self.line();
        &line[string_length(line) + SEPARATOR.len()..]
    }

    /// The key itself.
    pub fn key(&self) -> Cow<'_, [u8]> {
        decode_string(self.key_text())
    }

    /// Whether this is the key.
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        // A key without special characters is spelled as it is; then nothing has to be decoded.
        let inside = &self.line().as_bytes()[1..];
        let is_spelled = inside.starts_with(key) && inside.get(key.len()) == Some(&b'"');
        is_spelled && memchr2(b'"', b'\\', key).is_none() || *self.key() == *key
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.line())
    }
}

/// The line of an entry that stands in a file: of the text of its key, of its value, and of
/// everything from the one to the other. In our own layout, and in that of `json.dump`, that is
/// the line.
pub(crate) fn line_found<'text>(
    key_text: &str,
    value_text: &str,
    whole: &'text str,
) -> Cow<'text, str> {
    let between = &whole[key_text.len()..whole.len() - value_text.len()];
    if between == SEPARATOR && !text::has_line_break(value_text) {
        Cow::Borrowed(whole)
    } else {
        Cow::Owned(join(key_text, value_text))
    }
}

fn join(key_text: &str, value_text: &str) -> String {
    let value_text = text::on_one_line(value_text);
    [key_text, SEPARATOR, &value_text].concat()
}

/// The length of the JSON string that a text starts with, quotes included.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 1;
    loop {
        let rest = &bytes[end..];
        end += 1 + memchr2(b'"', b'\\', rest).expect("a JSON string ends with a quote");
        if bytes[end - 1] == b'"' {
            return end;
        }
        // The character after a backslash ends nothing.
        end += 1;
    }
}

/// How much text entries share that are loaded together. All of it stays as long as one of them.
const BLOCK_BYTES: usize = 4096;

/// Lines that become entries with one text: that takes less memory than one text for each.
#[derive(Default)]
pub(crate) struct Block {
    text: String,
    ends: Vec<usize>,
}

impl Block {
    /// Whether a line can be added. An empty block takes any.
    pub(crate) fn has_room_for(&self, line: &str) -> bool {
        self.ends.is_empty() || self.text.len() + line.len() <= BLOCK_BYTES
    }

    /// Adds the line of an entry.
    pub(crate) fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.ends.push(self.text.len());
    }

    /// Takes the entries out, in the order of their lines.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        let text: Arc<str> = self.text.as_str().into();
        self.text.clear();
        let short = |position| u16::try_from(position).expect("only a lone line is longer");
        let is_lone = self.ends.len() == 1;
        let mut start = 0;
        self.ends.drain(..).map(move |end| {
            let part = match is_lone {
                true => Part::All,
                false => Part::Between { start: short(start), end: short(end) },
            };
            start = end;
            Entry { text: Arc::clone(&text), part }
        })
    }
}

/// What a JSON string spells, in UTF-8; lone surrogates, which JSON can spell and UTF-8 cannot,
/// are in the three bytes that UTF-8 would give them (WTF-8).
///
/// # Panics
///
/// If `text` is not a JSON string.
pub fn decode_string(text: &str) -> Cow<'_, [u8]> {
    let inside = &text[1..text.len() - 1];
    if !inside.contains('\\') {
        return Cow::Borrowed(inside.as_bytes());
    }
    let mut decoder = serde_json::Deserializer::from_str(text);
    let Bytes(bytes) = Bytes::deserialize(&mut decoder).expect("the caller has a JSON string");
    Cow::Owned(bytes)
}

/// Makes serde_json decode a string as bytes, which is how it lets lone surrogates pass.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_its_parts() {
        let entry = Entry::new(r#""caf\u00e9""#, "[1,\n 2]");
        assert_eq!(entry.line(), r#""caf\u00e9": [1, 2]"#);
        assert_eq!(entry.key_text(), r#""caf\u00e9""#);
        assert_eq!(&*entry.key(), "café".as_bytes());
        assert_eq!(entry.value_text(), "[1, 2]");
    }

    #[test]
    fn a_key_is_compared_as_it_is_decoded() {
        let has_key =
            |key_text: &str, key: &str| Entry::new(key_text, "\"x\"").has_key(key.as_bytes());
        assert!(has_key(r#""a""#, "a") && has_key(r#""\u0061""#, "a"));
        assert!(!has_key(r#""a""#, "b") && !has_key(r#""ab""#, "a") && !has_key(r#""a""#, "ab"));
        assert!(has_key(r#""a\\b\"c""#, r#"a\b"c"#) && !has_key(r#""a\\b\"c""#, r#"a\\b\"c"#));
        // These are spelled in the line, but across the end of the key.
        assert!(!has_key(r#""a""#, r#"a": "x"#));
        assert!(!has_key(r#""a\\""#, r#"a\\"#));
    }

    #[test]
    fn entries_of_a_block_share_its_text() {
        let lines = [r#""a": 1"#, r#""\"b\\": "ä""#, r#""c": [2, 3]"#];
        let mut block = Block::default();
        lines.iter().for_each(|line| block.push(line));
        let entries: Vec<_> = block.drain().collect();
        assert!(entries.iter().map(Entry::line).eq(lines));
        assert_eq!(entries[1].key_text(), r#""\"b\\""#);
        assert_eq!(entries[1].value_text(), r#""ä""#);
        assert!(entries.iter().all(|entry| Arc::ptr_eq(&entry.text, &entries[0].text)));
        assert_eq!(block.drain().count(), 0);
    }

    #[test]
    fn a_block_takes_one_line_of_any_length() {
        let long = format!("\"a\": \"{}\"", "b".repeat(usize::from(u16::MAX)));
        let mut block = Block::default();
        assert!(block.has_room_for(&long));
        block.push(&long);
        assert!(!block.has_room_for(r#""b": 1"#));
        assert_eq!(block.drain().next().expect("was pushed").line(), long);
    }

    #[test]
    fn surrogates_are_decoded_paired_or_alone() {
        assert_eq!(&*decode_string(r#""\ud83d\ude00""#), "😀".as_bytes());
        assert_eq!(&*decode_string(r#""\ud83d""#), b"\xed\xa0\xbd");
        assert_eq!(&*decode_string(r#""\ude00x""#), b"\xed\xb8\x80x");
    }
}
