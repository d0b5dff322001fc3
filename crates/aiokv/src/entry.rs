//! One entry of the store: the line that stands for it in the file.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::text;

/// A key and its value as the text they have in the file: `"key": value`.
///
/// The text is the only copy: the key is compared and the value is decoded where they stand, so an
/// entry costs one allocation and an entry that nobody touches keeps its spelling. Cloning shares
/// the text.
#[derive(Clone)]
pub struct Entry {
    line: Arc<str>,
    /// The length of the key's text, quotes included.
    key_length: u32,
}

/// Stands between the key and the value.
const SEPARATOR: &str = ": ";

impl Entry {
    /// Joins the text of a key (a JSON string) and of a value (any JSON value) that are known to
    /// be valid JSON. A value over several lines is put on one.
    ///
    /// # Panics
    ///
    /// If the key's text is longer than 4 GiB.
    pub fn new(key_text: &str, value_text: &str) -> Self {
        let value_text = text::on_one_line(value_text);
        let mut line = String::with_capacity(key_text.len() + SEPARATOR.len() + value_text.len());
        line.push_str(key_text);
        line.push_str(SEPARATOR);
        line.push_str(&value_text);
        Self::from_line(&line, key_text.len())
    }

    /// Takes over what stands in a file: the text of a key, of a value, and everything from the
    /// one to the other. In our own layout, and in that of `json.dump`, that is the line.
    pub(crate) fn found(key_text: &str, value_text: &str, whole: &str) -> Self {
        let between = &whole[key_text.len()..whole.len() - value_text.len()];
        if between == SEPARATOR && !text::has_line_break(value_text) {
            Self::from_line(whole, key_text.len())
        } else {
            Self::new(key_text, value_text)
        }
    }

    fn from_line(line: &str, key_length: usize) -> Self {
        let key_length = u32::try_from(key_length).expect("a key is shorter than 4 GiB");
        Self { line: line.into(), key_length }
    }

    /// The entry as it is written to the file.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The key as it is spelled in the file: a JSON string with its quotes.
    pub fn key_text(&self) -> &str {
        &self.line[..self.key_length as usize]
    }

    /// The value as it is spelled in the file.
    pub fn value_text(&self) -> &str {
        &self.line[self.key_length as usize + SEPARATOR.len()..]
    }

    /// The key itself.
    pub fn key(&self) -> Cow<'_, [u8]> {
        decode_string(self.key_text())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
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
    fn surrogates_are_decoded_paired_or_alone() {
        assert_eq!(&*decode_string(r#""\ud83d\ude00""#), "😀".as_bytes());
        assert_eq!(&*decode_string(r#""\ud83d""#), b"\xed\xa0\xbd");
        assert_eq!(&*decode_string(r#""\ude00x""#), b"\xed\xb8\x80x");
    }
}
