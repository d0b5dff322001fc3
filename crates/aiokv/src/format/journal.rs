//! The text of the journal: its lines, and what they say about the state.
//!
//! ```text
//! 0b94a2ed aiokv-journal 1 after 0, continues 1048630 bytes 89abcdef
//! 7115dad3 1 0 + "user:17": 1700000000
//! 09997c24 2 1 - "user:3"
//! 80c09ba8 3 2 = 2 1048644 4d5e6f70 1234567 1763842311.123456789
//! ```
//!
//! Every line starts with the CRC-32 of the rest of it. The first line binds the journal to the
//! content of the file that it continues, and says which number came before its first line. Every
//! other line has its number, the number of the last line that was known to be durable when this
//! one was written, and what happened:
//!
//! | | |
//! |---|---|
//! | `+` | this entry was set |
//! | `-` | this key was deleted |
//! | `=` | the file is about to be replaced by one that holds everything up to a line: the number of that line; size and checksum of the new file, and if it holds nothing else, its inode and time of modification |
//! | `x` | the file is about to be removed, and everything in the store with it |
//!
//! After the last line there may be line feeds: space that was reserved.
//!
//! A crash leaves any part of what was not durable yet. So behind the last line that can be used
//! there may be garbage, and whole lines, but none that says that a missing line was durable. If
//! there is such a line, the journal was damaged later, and that is an error.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::files::storage::Metadata;
use crate::json::entry::Entry;
use crate::json::text::{mask_non_finite, too_deep};

/// What tells one content of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

impl Digest {
    pub(crate) fn of(content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, checksum: crc32fast::hash(content) }
    }
}

/// A file, as its metadata tells it from others: where it is and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Imprint {
    inode: u64,
    modified: (i64, i64),
}

impl Imprint {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.inode, modified: metadata.modified }
    }
}

/// What happened to the state or to the file.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// This entry was set.
    Set(Entry),
    /// The key of this entry was deleted. After decoding, the entry has the value `null`.
    Deleted(Entry),
    /// The file is about to be replaced by one that holds everything up to the line `through`. If
    /// it holds nothing else, there is an imprint: whoever knows those lines need not read it.
    Folded { through: u64, digest: Digest, imprint: Option<Imprint> },
    /// The file is about to be removed, and everything in the store with it.
    Cleared,
}

impl Event {
    pub(crate) fn changes_the_state(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Deleted(_))
    }
}

/// A line of the journal but the first.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) number: u64,
    durable: u64,
    pub(crate) event: Event,
    /// Where its line ends, in bytes from the start of the journal.
    pub(crate) end: u64,
}

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// In bytes from the start of the journal.
    pub(crate) offset: u64,
    /// The number of the line before.
    pub(crate) number: u64,
    /// The number of the last line that is known to be durable.
    pub(crate) durable: u64,
}

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The content of the file that the journal continues.
    pub(crate) continues: Digest,
    /// The place after the first line.
    pub(crate) start: Position,
}

impl Header {
    /// Decodes the other lines of the journal.
    pub(crate) fn decode_lines(&self, journal: &[u8]) -> Result<Lines, Damage> {
        let behind = usize::try_from(self.start.offset).expect("the first line is in memory");
        decode(&journal[behind..], self.start)
    }
}

/// The lines that were found from some position on.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) records: Vec<Record>,
    /// Where the next line goes.
    pub(crate) end: Position,
    /// Whether there is something behind that, left by a crash or still being written.
    pub(crate) torn: bool,
}

impl Lines {
    /// What was announced last to become the file: the last line that it holds, its content, and
    /// the file itself. `None` if that is to hold what no line says.
    pub(crate) fn last_folded(&self) -> Option<(u64, Digest, Imprint)> {
        let last = self.records.iter().rev().find_map(|record| match record.event {
            Event::Folded { through, digest, imprint } => Some((through, digest, imprint)),
            _ => None,
        });
        let (through, digest, imprint) = last?;
        Some((through, digest, imprint?))
    }

    /// The place up to which a content holds the lines, if it was announced as one that does.
    /// `start` is where the lines begin.
    pub(crate) fn folded(&self, content: Digest, start: Position) -> Option<Position> {
        let through = self.records.iter().rev().find_map(|record| match record.event {
            Event::Folded { through, digest, .. } if digest == content => Some(through),
            _ => None,
        })?;
        // Whatever the file holds was durable before it became the file.
        let at = |offset| Position { offset, number: through, durable: through };
        let last = self.records.iter().find(|record| record.number == through);
        match last {
            Some(record) => Some(at(record.end)),
            None => (through == start.number).then_some(at(start.offset)),
        }
    }
}

/// What is wrong with the journal, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// In bytes from the start of the journal.
    pub(crate) offset: u64,
    pub(crate) problem: String,
}

/// Encodes the first line of a journal whose lines come after the line `after`.
pub(crate) fn encode_header(continues: Digest, after: u64) -> String {
    let Digest { bytes, checksum } = continues;
    let mut text = String::new();
    encode_line(
        &mut text,
        &format!("aiokv-journal 1 after {after}, continues {bytes} bytes {checksum:08x}"),
    );
    text
}

/// Encodes events as the lines that follow `position`. Returns the position after them, with
/// nothing of it durable yet.
pub(crate) fn encode<'event>(
    events: impl IntoIterator<Item = &'event Event>,
    position: Position,
) -> (String, Position) {
    let mut text = String::new();
    let mut number = position.number;
    for event in events {
        number += 1;
        let start = format!("{number} {} ", position.durable);
        let line = match event {
            Event::Set(entry) => start + "+ " + entry.line(),
            Event::Deleted(entry) => start + "- " + entry.key_text(),
            Event::Folded { through, digest: Digest { bytes, checksum }, imprint } => {
                let file = imprint.map_or(String::new(), |Imprint { inode, modified }| {
                    let (seconds, nanoseconds) = modified;
                    format!(" {inode} {seconds}.{nanoseconds:09}")
                });
                format!("{start}= {through} {bytes} {checksum:08x}{file}")
            }
            Event::Cleared => start + "x",
        };
        encode_line(&mut text, &line);
    }
    let offset = position.offset + text.len() as u64;
    (text, Position { offset, number, ..position })
}

fn encode_line(text: &mut String, line: &str) {
    writeln!(text, "{:08x} {line}", crc32fast::hash(line.as_bytes()))
        .expect("writing to a string cannot fail");
}

/// Decodes the first line of a journal. It was made durable before the journal got its name, so
/// no crash damages it.
pub(crate) fn decode_header(journal: &[u8]) -> Result<Header, Damage> {
    let damage = |problem: &str| Damage { offset: 0, problem: problem.to_owned() };
    let line = journal.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let text = checked(line).ok_or_else(|| damage("its first line is not what was written"))?;
    let header = || {
        let (after, continues) =
            text.strip_prefix("aiokv-journal 1 after ")?.split_once(", continues ")?;
        let (bytes, checksum) = continues.split_once(" bytes ")?;
        let number = decimal(after)?;
        let offset = line.len() as u64;
        Some(Header {
            continues: Digest { bytes: decimal(bytes)?, checksum: hexadecimal(checksum)? },
            start: Position { offset, number, durable: number },
        })
    };
    header().ok_or_else(|| damage("it is not a journal that this version of aiokv can read"))
}

/// Decodes the lines from `position` on, given what the journal holds from there to its end.
pub(crate) fn decode(rest: &[u8], position: Position) -> Result<Lines, Damage> {
    let mut lines = Lines { records: Vec::new(), end: position, torn: false };
    let mut unread = rest;
    while let Some(length) = unread.iter().position(|&byte| byte == b'\n') {
        let (line, after) = unread.split_at(length + 1);
        let Some(text) = checked(line) else { break };
        let Position { offset, number, durable } = lines.end;
        let end = offset + line.len() as u64;
        let record = record(text, end).filter(|record| record.number == number + 1);
        let Some(record) = record else {
            let problem = format!("expected the line with the number {}", number + 1);
            return Err(Damage { offset, problem });
        };
        let durable = durable.max(record.durable);
        lines.end = Position { offset: end, number: record.number, durable };
        lines.records.push(record);
        unread = after;
    }
    let Position { offset, number, .. } = lines.end;
    let later = unread.split_inclusive(|&byte| byte == b'\n').filter_map(checked);
    if later.filter_map(|text| record(text, 0)).any(|later| later.durable > number) {
        let problem = format!("the line with the number {} is not what was written", number + 1);
        return Err(Damage { offset, problem });
    }
    lines.torn = unread.iter().any(|&byte| byte != b'\n');
    Ok(lines)
}

/// The text of a line without its checksum and line feed, if the checksum is right.
fn checked(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (checksum, text) = line.split_once(' ')?;
    (hexadecimal(checksum)? == crc32fast::hash(text.as_bytes())).then_some(text)
}

fn record(text: &str, end: u64) -> Option<Record> {
    let mut fields = text.splitn(4, ' ');
    let mut field = || fields.next();
    let (number, durable) = (decimal(field()?)?, decimal(field()?)?);
    let event = match (field()?, field()) {
        ("+", Some(line)) => Event::Set(entry(line)?),
        ("-", Some(key)) => Event::Deleted(entry(&format!("{key}: null"))?),
        ("=", Some(file)) => folded(file)?,
        ("x", None) => Event::Cleared,
        _ => return None,
    };
    Some(Record { number, durable, event, end })
}

fn entry(line: &str) -> Option<Entry> {
    let masked = mask_non_finite(line);
    let mut keys = serde_json::Deserializer::from_str(&masked).into_iter::<&RawValue>();
    let key = keys.next()?.ok()?.get();
    let value = masked.strip_prefix(key)?.strip_prefix(": ")?;
    let is_value = |raw: &RawValue| raw.get().len() == value.len() && too_deep(value).is_none();
    let valid = key.starts_with('"') && serde_json::from_str(value).is_ok_and(is_value);
    let (key, value) = (&line[..key.len()], &line[line.len() - value.len()..]);
    valid.then(|| Entry::found(key, value, line))
}

fn folded(text: &str) -> Option<Event> {
    let fields: Vec<_> = text.split(' ').collect();
    let (&[through, bytes, checksum], file) = fields.split_first_chunk()?;
    let imprint = match *file {
        [] => None,
        [inode, modified] => {
            let (seconds, nanoseconds) = modified.split_once('.')?;
            let modified = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
            Some(Imprint { inode: decimal(inode)?, modified })
        }
        _ => return None,
    };
    let digest = Digest { bytes: decimal(bytes)?, checksum: hexadecimal(checksum)? };
    Some(Event::Folded { through: decimal(through)?, digest, imprint })
}

fn decimal(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn hexadecimal(text: &str) -> Option<u32> {
    (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTINUES: Digest = Digest { bytes: 13, checksum: 0xc2bf_3c0e };
    const NEW_FILE: Digest = Digest { bytes: 25, checksum: 7 };

    fn set(line: &str) -> Event {
        Event::Set(entry(line).expect("an entry"))
    }

    fn folded(through: u64) -> Event {
        let imprint = Imprint { inode: 1_234_567, modified: (1_763_842_311, 5) };
        Event::Folded { through, digest: NEW_FILE, imprint: Some(imprint) }
    }

    /// A journal of batches, each of them durable before the next.
    fn journal(batches: &[&[Event]]) -> (String, Position) {
        let mut text = encode_header(CONTINUES, 0);
        let mut position = Position { offset: text.len() as u64, number: 0, durable: 0 };
        for batch in batches {
            let (lines, end) = encode(*batch, position);
            text += &lines;
            position = Position { durable: end.number, ..end };
        }
        (text, position)
    }

    fn decode_all(text: &[u8]) -> Result<Lines, Damage> {
        decode_header(text)?.decode_lines(text)
    }

    fn events(lines: &Lines) -> Vec<String> {
        let event = |record: &Record| match &record.event {
            Event::Set(entry) => format!("+{}", entry.line()),
            Event::Deleted(entry) => format!("-{}", entry.key_text()),
            Event::Folded { through, digest, .. } => format!("={through} {}", digest.bytes),
            Event::Cleared => "x".to_owned(),
        };
        lines.records.iter().map(event).collect()
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let entries =
            [set(r#""a": [1, "\n"]"#), Event::Deleted(entry(r#""\ud800": 1"#).expect("one"))];
        let (text, end) = journal(&[&entries, &[folded(2)], &[Event::Cleared]]);
        let lines = decode_all(text.as_bytes()).expect("whole");
        assert_eq!(
            events(&lines),
            [r#"+"a": [1, "\n"]"#, r#"-"\ud800""#, "=2 25", "x"].map(str::to_owned)
        );
        assert_eq!((lines.end.offset, lines.end.number), (end.offset, end.number));
        assert!(!lines.torn);
        assert_eq!(decode_header(text.as_bytes()).expect("whole").continues, CONTINUES);
        let reserved = text + "\n\n\n";
        assert!(!decode_all(reserved.as_bytes()).expect("whole").torn);
    }

    #[test]
    fn the_lines_stand_as_documented() {
        let (text, _) = journal(&[&[set(r#""user:17": 1700000000"#)], &[folded(1)]]);
        assert_eq!(
            text,
            "6d6afabd aiokv-journal 1 after 0, continues 13 bytes c2bf3c0e\n\
             7115dad3 1 0 + \"user:17\": 1700000000\n\
             dc3638ab 2 1 = 1 25 00000007 1234567 1763842311.000000005\n"
        );
    }

    #[test]
    fn a_tail_that_is_cut_off_anywhere_is_torn_and_nothing_else() {
        let (before, _) = journal(&[&[set(r#""a": 1"#)], &[set(r#""b": 2"#)]]);
        let (text, _) = journal(&[
            &[set(r#""a": 1"#)],
            &[set(r#""b": 2"#)],
            &[set(r#""c": 3"#), set(r#""d": 4"#)],
        ]);
        for length in before.len()..=text.len() {
            let lines = decode_all(&text.as_bytes()[..length]).expect("no damage");
            let complete = text[..length].rfind('\n').expect("the first line is whole") + 1;
            assert_eq!(lines.end.offset, complete as u64);
            assert_eq!(lines.torn, complete < length, "cut off at {length}");
        }
    }

    #[test]
    fn any_part_of_the_last_batch_may_be_missing() {
        let (before, _) = journal(&[&[set(r#""a": 1"#)]]);
        let (text, _) = journal(&[&[set(r#""a": 1"#)], &[set(r#""b": 2"#), set(r#""c": 3"#)]]);
        for lost in before.len()..text.len() {
            for byte in [b'\n', 0, b'x'] {
                let mut left = text.clone().into_bytes();
                if left[lost] != byte {
                    left[lost] = byte;
                    let lines = decode_all(&left).expect("no damage");
                    let whole = left[..lost].iter().rposition(|&it| it == b'\n').expect("one") + 1;
                    assert_eq!(lines.end.offset, whole as u64, "byte {lost} became {byte}");
                    assert!(lines.torn);
                }
            }
        }
    }

    #[test]
    fn damage_before_the_last_batch_is_an_error_with_its_place() {
        let batches: [&[Event]; 3] =
            [&[set(r#""a": 1"#)], &[set(r#""b": 2"#)], &[set(r#""c": 3"#)]];
        let (text, _) = journal(&batches);
        let line = |number: usize| text.split_inclusive('\n').take(number).map(str::len).sum();
        let damaged: usize = line(2);
        let changed = text.replacen("\"b\": 2", "\"b\": 3", 1);
        let damage = decode_all(changed.as_bytes()).expect_err("damage");
        assert_eq!(damage.offset, damaged as u64);
        assert!(damage.problem.contains("number 2"), "{damage:?}");
        let removed = text[..damaged].to_owned() + &text[line(3)..];
        assert_eq!(decode_all(removed.as_bytes()).expect_err("damage").offset, damaged as u64);
        let first = text.replacen("13 bytes", "14 bytes", 1);
        assert_eq!(decode_all(first.as_bytes()).expect_err("damage").offset, 0);
    }

    #[test]
    fn a_line_that_no_version_wrote_is_an_error_even_at_the_end() {
        for line in
            ["1 0 ? \"a\"", "1 0 + \"a\": 1 2", "1 0 + 7: 1", "1 0 - \"a\": 1", "1 0 x y", "1"]
        {
            let mut text = encode_header(CONTINUES, 0);
            encode_line(&mut text, line);
            assert!(decode_all(text.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_content_that_was_announced_holds_the_lines_before() {
        let (text, _) = journal(&[&[set(r#""a": 1"#)], &[set(r#""b": 2"#)], &[folded(1)]]);
        let start = decode_header(text.as_bytes()).expect("whole").start;
        let lines = decode_all(text.as_bytes()).expect("whole");
        let end = lines.records[0].end;
        let holds = lines.folded(NEW_FILE, start).expect("announced");
        assert_eq!((holds.number, holds.offset), (1, end));
        assert_eq!(lines.folded(CONTINUES, start), None);
    }
}
