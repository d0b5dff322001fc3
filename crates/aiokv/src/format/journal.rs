//! The text of the journal: its lines, and what they say about the state. Pure.
//!
//! ```text
//! 0b94a2ed aiokv-journal 1 after 0, continues 1048630 bytes 89abcdef
//! 7115dad3 1 0 + "user:17": 1700000000
//! fa95fa0a 2 1 &- "user:3"
//! 3ccf708e 3 1 + "users": 16
//! b32e596d 4 3 = 3 1048644 4d5e6f70
//! ```
//!
//! Every line starts with the CRC-32 of the rest of it. The first line binds the journal to the
//! content of the state file that it continues, and says which number came before its first line.
//! Every other line has its number, the number of the last line that was known to be durable when
//! this one was written, and what happened:
//!
//! | | |
//! |---|---|
//! | `+` | this entry was set |
//! | `-` | this key was deleted |
//! | `&+`, `&-` | the same, and the next line belongs to the same group: all of a group happened or nothing |
//! | `=` | the state file is about to be replaced by one that holds everything up to a line: the number of that line, and size and checksum of the new file |
//!
//! After the last line there may be line feeds: space that was reserved.
//!
//! # Torn or damaged
//!
//! A crash leaves any part of what was not durable yet. So behind the last usable line there may
//! be garbage, and whole lines, and the beginning of a group, but no line that says that a missing
//! one was durable. That end is dropped. If there is such a line, the journal was damaged later,
//! and that is an error.

use std::fmt::Write;

use serde_json::value::RawValue;

use crate::json::Entry;
use crate::json::text::{mask_non_finite, too_deep};
use crate::state::KeyChange;

/// Tells one content of the state file from another.
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

/// A place between two lines, or after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// In bytes from the start of the journal.
    pub(crate) offset: u64,
    /// The number of the line before.
    pub(crate) number: u64,
    /// The number of the last line that is known to be durable.
    pub(crate) durable: u64,
    /// Where the line before starts.
    pub(crate) last_line: u64,
    /// The checksum of the line before.
    pub(crate) checksum: u32,
}

/// What happened to the state or to the state file.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// This entry was set.
    Set(Entry),
    /// The key of this entry, whose value is `null`, was deleted.
    Deleted(Entry),
    /// The state file is about to be replaced by one with this content, which holds everything up
    /// to the line `through`.
    Checkpoint { through: u64, digest: Digest },
}

/// A line of the journal but the first.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) number: u64,
    durable: u64,
    /// Whether the next line belongs to the same group.
    continued: bool,
    pub(crate) event: Event,
    /// The place after the line.
    after: Position,
}

/// The first line of a journal.
pub(crate) struct Header {
    /// The content of the state file before the first change.
    pub(crate) continues: Digest,
    /// The place after the first line.
    pub(crate) start: Position,
}

/// The lines that were found from some position on.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    /// Where the next line goes.
    pub(crate) end: Position,
    /// Whether there is something behind that, left by a process that died.
    pub(crate) torn: bool,
}

/// Text to append to a journal.
pub(crate) struct Appended {
    pub(crate) text: String,
    /// The place after it, with nothing of it durable.
    pub(crate) end: Position,
    /// The number of the last line that changes the state, if there is one.
    pub(crate) last_change: Option<u64>,
}

/// What is wrong with the journal, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// In bytes from the start of the journal.
    pub(crate) offset: u64,
    pub(crate) problem: String,
}

impl Header {
    /// Decodes the other lines of the journal.
    pub(crate) fn decode_lines(&self, journal: &[u8]) -> Result<Lines, Damage> {
        let behind = usize::try_from(self.start.offset).expect("the first line is in memory");
        decode(&journal[behind..], self.start)
    }
}

impl Lines {
    /// The number of the last line that changes the state.
    pub(crate) fn last_change(&self) -> Option<u64> {
        let changes = |line: &&Line| !matches!(line.event, Event::Checkpoint { .. });
        self.lines.iter().rev().find(changes).map(|line| line.number)
    }

    /// The place up to which a content of the state file holds the lines, if the journal fits it.
    ///
    /// A content can come back: what the last of its checkpoint lines says is true. If the state
    /// file was not replaced after that line, it holds the same (`Writer::replace`).
    pub(crate) fn held_by(&self, content: Digest, header: &Header) -> Option<Position> {
        let start = header.start;
        let through = self.lines.iter().rev().find_map(|line| match line.event {
            Event::Checkpoint { through, digest } if digest == content => Some(through),
            _ => None,
        });
        let Some(through) = through else {
            return (header.continues == content).then_some(start);
        };
        let last = self.lines.iter().find(|line| line.number == through);
        let place = last.map(|line| line.after).or((through == start.number).then_some(start))?;
        // What the file holds was durable before it became the file.
        Some(Position { durable: through, ..place })
    }
}

/// Encodes the first line of a journal whose lines come after the line `after`, and the place
/// behind it.
pub(crate) fn encode_header(continues: Digest, after: u64) -> (String, Position) {
    let Digest { bytes, checksum } = continues;
    let mut text = String::new();
    let line = format!("aiokv-journal 1 after {after}, continues {bytes} bytes {checksum:08x}");
    let checksum = encode_line(&mut text, &line);
    let offset = text.len() as u64;
    (text, Position { offset, number: after, durable: after, last_line: 0, checksum })
}

/// Encodes groups of changes as the lines that follow `position`.
pub(crate) fn encode_changes<'change>(
    groups: impl Iterator<Item = &'change [KeyChange]>,
    position: Position,
) -> Appended {
    let mut appended = Appended { text: String::new(), end: position, last_change: None };
    for group in groups {
        for (index, change) in group.iter().enumerate() {
            let more = if index + 1 < group.len() { "&" } else { "" };
            let (sign, text) = match change.after() {
                Some(entry) => ('+', entry.line()),
                None => ('-', change.key_text()),
            };
            appended.push(position, format_args!("{more}{sign} {text}"));
            appended.last_change = Some(appended.end.number);
        }
    }
    appended
}

/// Encodes, after `position`, that the state file is about to be replaced.
pub(crate) fn encode_checkpoint(through: u64, digest: Digest, position: Position) -> Appended {
    let mut appended = Appended { text: String::new(), end: position, last_change: None };
    let Digest { bytes, checksum } = digest;
    appended.push(position, format_args!("= {through} {bytes} {checksum:08x}"));
    appended
}

impl Appended {
    fn push(&mut self, start: Position, what: std::fmt::Arguments<'_>) {
        let number = self.end.number + 1;
        let last_line = self.end.offset;
        let line = format!("{number} {} {what}", start.durable);
        let checksum = encode_line(&mut self.text, &line);
        let offset = start.offset + self.text.len() as u64;
        self.end = Position { offset, number, last_line, checksum, ..self.end };
    }
}

fn encode_line(text: &mut String, line: &str) -> u32 {
    let checksum = crc32fast::hash(line.as_bytes());
    writeln!(text, "{checksum:08x} {line}").expect("writing to a string cannot fail");
    checksum
}

/// Decodes the first line of a journal. It was made durable before the journal got its name, so
/// no crash damages it.
pub(crate) fn decode_header(journal: &[u8]) -> Result<Header, Damage> {
    let damage = |problem: &str| Damage { offset: 0, problem: problem.to_owned() };
    let line = journal.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let (checksum, text) =
        checked(line).ok_or_else(|| damage("its first line is not what was written"))?;
    let header = || {
        let (after, continues) =
            text.strip_prefix("aiokv-journal 1 after ")?.split_once(", continues ")?;
        let (bytes, content) = continues.split_once(" bytes ")?;
        let number = decimal(after)?;
        let offset = line.len() as u64;
        Some(Header {
            continues: Digest { bytes: decimal(bytes)?, checksum: hexadecimal(content)? },
            start: Position { offset, number, durable: number, last_line: 0, checksum },
        })
    };
    header().ok_or_else(|| damage("it is not a journal that this version of aiokv can read"))
}

/// Decodes the lines after `position`, given what the journal holds from the line before it to
/// its end. `None` if that line is not what it was.
pub(crate) fn decode_from_last_line(
    rest: &[u8],
    position: Position,
) -> Option<Result<Lines, Damage>> {
    let length = usize::try_from(position.offset - position.last_line).ok()?;
    let (last, rest) = rest.split_at_checked(length)?;
    let (checksum, _) = checked(last)?;
    (checksum == position.checksum).then(|| decode(rest, position))
}

/// Decodes the lines after `position`, given what the journal holds from there to its end.
fn decode(rest: &[u8], position: Position) -> Result<Lines, Damage> {
    match decode_until_damage(rest, position) {
        (lines, None) => Ok(lines),
        (_, Some((damage, _))) => Err(damage),
    }
}

/// Decodes the lines after `position`, up to the first damage, if there is any, with the place
/// where it begins.
pub(crate) fn decode_until_damage(
    rest: &[u8],
    position: Position,
) -> (Lines, Option<(Damage, Position)>) {
    let mut lines = Vec::new();
    let mut next = position;
    // The place and the number of lines behind the last complete group.
    let mut complete = (position, 0, rest);
    let mut unread = rest;
    let mut problem = None;
    while let Some(length) = memchr::memchr(b'\n', unread) {
        let (text, after) = unread.split_at(length + 1);
        let Some((checksum, text)) = checked(text) else { break };
        let number = next.number + 1;
        let last_line = next.offset;
        let offset = last_line + length as u64 + 1;
        let place = Position { offset, number, durable: next.durable, last_line, checksum };
        let line = line(text, place).filter(|line| line.number == number);
        let Some(line) = line else {
            problem = Some(format!("expected the line with the number {number}"));
            break;
        };
        next = line.after;
        unread = after;
        let continued = line.continued;
        lines.push(line);
        if !continued {
            complete = (next, lines.len(), unread);
        }
    }
    let (end, count, left) = complete;
    lines.truncate(count);
    // Most often there is nothing but space that is reserved, which every commit looks at. No branch,
    // so that many bytes are compared at once.
    let torn = left.iter().fold(0, |difference, byte| difference | (byte ^ b'\n')) != 0;
    if torn && problem.is_none() {
        let later = left.split_inclusive(|&byte| byte == b'\n').filter_map(checked);
        let mut later = later.filter_map(|(_, text)| line(text, end));
        if later.any(|later| later.durable > end.number) {
            let number = next.number + 1;
            problem = Some(format!("the line with the number {number} is not what was written"));
        }
    }
    let damage = problem.map(|problem| (Damage { offset: next.offset, problem }, next));
    (Lines { lines, end, torn }, damage)
}

/// The place before the first whole line behind a damaged place, if there is one: a line with a
/// later number than that place has.
pub(crate) fn place_behind_damage(journal: &[u8], damaged: Position) -> Option<Position> {
    let mut offset = usize::try_from(damaged.offset).ok()?;
    for text in journal.get(offset..)?.split_inclusive(|&byte| byte == b'\n') {
        let whole = checked(text).and_then(|(_, text)| line(text, damaged));
        if let Some(whole) = whole.filter(|whole| whole.number > damaged.number) {
            return Some(Position { offset: offset as u64, number: whole.number - 1, ..damaged });
        }
        offset += text.len();
    }
    None
}

/// The keys that the lines in a damaged place name, as far as that can be read, whole or not.
pub(crate) fn keys_named(damaged: &[u8], position: Position) -> Vec<Entry> {
    const CHECKSUM: usize = "00000000 ".len();
    let lines = damaged.split(|&byte| byte == b'\n');
    let texts = lines.filter_map(|text| std::str::from_utf8(text.get(CHECKSUM..)?).ok());
    let events = texts.filter_map(|text| Some(line(text, position)?.event));
    let named = events.filter_map(|event| match event {
        Event::Set(entry) | Event::Deleted(entry) => Some(entry),
        Event::Checkpoint { .. } => None,
    });
    named.collect()
}

/// The text of a line without its checksum and line feed, if the checksum is right.
fn checked(line: &[u8]) -> Option<(u32, &str)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (checksum, text) = line.split_once(' ')?;
    let checksum = hexadecimal(checksum)?;
    (checksum == crc32fast::hash(text.as_bytes())).then_some((checksum, text))
}

/// The line with this text, which ends at `after`.
fn line(text: &str, after: Position) -> Option<Line> {
    let mut fields = text.splitn(4, ' ');
    let mut field = || fields.next();
    let (number, durable) = (decimal(field()?)?, decimal(field()?)?);
    let (sign, rest) = (field()?, field()?);
    let event = match sign {
        "+" | "&+" => Event::Set(entry(rest)?),
        "-" | "&-" => Event::Deleted(entry(&format!("{rest}: null"))?),
        "=" => checkpoint(rest)?,
        _ => return None,
    };
    let after = Position { durable: after.durable.max(durable), ..after };
    Some(Line { number, durable, continued: sign.starts_with('&'), event, after })
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

fn checkpoint(text: &str) -> Option<Event> {
    let fields: Vec<_> = text.split(' ').collect();
    let &[through, bytes, checksum] = &fields[..] else { return None };
    let digest = Digest { bytes: decimal(bytes)?, checksum: hexadecimal(checksum)? };
    Some(Event::Checkpoint { through: decimal(through)?, digest })
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
    use crate::queue::{Change, Operation, Write as KeyWrite};
    use crate::state::{Draft, Record, State};

    const CONTINUES: Digest = Digest { bytes: 13, checksum: 0xc2bf_3c0e };
    const NEW_FILE: Digest = Digest { bytes: 25, checksum: 7 };

    /// What is appended at once.
    enum Batch {
        /// Groups of entries that are set and, with a leading `-`, of keys that are deleted.
        Changes(&'static [&'static [&'static str]]),
        Checkpoint(u64),
    }
    use Batch::{Changes, Checkpoint};

    fn record(groups: &[&[&str]]) -> Record {
        let write = |line: &&str| {
            KeyWrite::unconditional(match line.strip_prefix('-') {
                Some(key) => Change::Delete(key.as_bytes().into()),
                None => Change::Set(entry(line).expect("an entry")),
            })
        };
        let mut state = State::default();
        let mut draft = Draft::new(&state);
        draft.replay_set(entry(r#""old": 0"#).expect("an entry"));
        let record = draft.finish();
        drop(state.install(record));
        let mut draft = Draft::new(&state);
        for group in groups {
            let writes = group.iter().map(write).collect();
            draft.evaluate(&Operation::Write(writes)).expect("nothing fails");
        }
        draft.finish()
    }

    /// A journal of batches, each of them durable before the next.
    fn journal(batches: &[Batch]) -> (String, Position) {
        let (mut text, mut position) = encode_header(CONTINUES, 0);
        for batch in batches {
            let appended = match batch {
                Changes(groups) => encode_changes(record(groups).groups(), position),
                Checkpoint(through) => encode_checkpoint(*through, NEW_FILE, position),
            };
            text += &appended.text;
            position = Position { durable: appended.end.number, ..appended.end };
        }
        (text, position)
    }

    fn decode_all(text: &[u8]) -> Result<Lines, Damage> {
        decode_header(text)?.decode_lines(text)
    }

    fn events(lines: &Lines) -> Vec<String> {
        let event = |line: &Line| match &line.event {
            Event::Set(entry) => format!("+{}", entry.line()),
            Event::Deleted(entry) => format!("-{}", entry.key_text()),
            Event::Checkpoint { through, digest } => format!("={through} {}", digest.bytes),
        };
        lines.lines.iter().map(event).collect()
    }

    const A: Batch = Changes(&[&[r#""a": 1"#]]);
    const B: Batch = Changes(&[&[r#""b": 2"#]]);

    #[test]
    fn what_was_encoded_is_decoded() {
        let changes = Changes(&[&[r#""a": [1, "\n"]"#, "-old"], &[r#""\ud800": 2"#]]);
        let (text, end) = journal(&[changes, Checkpoint(2)]);
        let lines = decode_all(text.as_bytes()).expect("whole");
        assert_eq!(
            events(&lines),
            [r#"+"a": [1, "\n"]"#, r#"-"old""#, r#"+"\ud800": 2"#, "=2 25"].map(str::to_owned)
        );
        assert_eq!(lines.end, Position { durable: lines.end.durable, ..end });
        assert!(!lines.torn);
        assert_eq!(lines.last_change(), Some(3));
        assert_eq!(decode_header(text.as_bytes()).expect("whole").continues, CONTINUES);
        let reserved = text + "\n\n\n";
        assert!(!decode_all(reserved.as_bytes()).expect("whole").torn);
    }

    #[test]
    fn the_lines_stand_as_documented() {
        let group = Changes(&[&["-old", r#""user:17": 1700000000"#]]);
        let (text, _) = journal(&[A, group, Checkpoint(3)]);
        assert_eq!(
            text,
            "6d6afabd aiokv-journal 1 after 0, continues 13 bytes c2bf3c0e\n\
             facdad7f 1 0 + \"a\": 1\n\
             db3cfa0f 2 1 &- \"old\"\n\
             09867c5f 3 1 + \"user:17\": 1700000000\n\
             3e9bb50a 4 3 = 3 25 00000007\n"
        );
    }

    #[test]
    fn a_tail_that_is_cut_off_anywhere_is_torn_and_nothing_else() {
        let (before, _) = journal(&[A, B]);
        let (text, _) = journal(&[A, B, Changes(&[&[r#""c": 3"#], &[r#""d": 4"#]])]);
        for length in before.len()..=text.len() {
            let lines = decode_all(&text.as_bytes()[..length]).expect("no damage");
            let complete = text[..length].rfind('\n').expect("the first line is whole") + 1;
            assert_eq!(lines.end.offset, complete as u64);
            assert_eq!(lines.torn, complete < length, "cut off at {length}");
        }
    }

    #[test]
    fn a_group_whose_end_is_missing_is_dropped_as_a_whole() {
        let (before, _) = journal(&[A, B]);
        let group = Changes(&[&[r#""c": 3"#, "-a", r#""d": 4"#]]);
        let (text, end) = journal(&[A, B, group]);
        for length in before.len()..text.len() {
            let lines = decode_all(&text.as_bytes()[..length]).expect("no damage");
            assert_eq!(lines.end.offset, before.len() as u64, "cut off at {length}");
            assert_eq!(events(&lines).len(), 2);
        }
        assert_eq!(decode_all(text.as_bytes()).expect("whole").end.number, end.number);
    }

    #[test]
    fn any_part_of_the_last_batch_may_be_missing() {
        let (before, _) = journal(&[A]);
        let (text, _) = journal(&[A, Changes(&[&[r#""b": 2"#], &[r#""c": 3"#]])]);
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
        let (text, _) = journal(&[A, B, Changes(&[&[r#""c": 3"#]])]);
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
            let (mut text, _) = encode_header(CONTINUES, 0);
            encode_line(&mut text, line);
            assert!(decode_all(text.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_content_that_a_checkpoint_line_tells_of_holds_the_lines_before() {
        let (text, _) = journal(&[A, B, Checkpoint(1)]);
        let header = decode_header(text.as_bytes()).expect("whole");
        let lines = decode_all(text.as_bytes()).expect("whole");
        let held = lines.held_by(NEW_FILE, &header).expect("a checkpoint line tells of it");
        assert_eq!((held.number, held.offset), (1, lines.lines[0].after.offset));
        assert_eq!(lines.held_by(CONTINUES, &header), Some(header.start));
        assert_eq!(lines.held_by(Digest::of(b"another"), &header), None);
    }

    /// A file was cleared by a process that could not remove the journal. The content was the one
    /// that the journal had begun with, so its lines were replayed and brought deleted keys back.
    #[test]
    fn a_content_that_came_back_holds_the_lines_before_the_last_checkpoint_line() {
        let (mut text, end) = journal(&[A, Checkpoint(1)]);
        text += &encode_checkpoint(end.number, CONTINUES, end).text;
        let header = decode_header(text.as_bytes()).expect("whole");
        let lines = decode_all(text.as_bytes()).expect("whole");
        let held = lines.held_by(CONTINUES, &header).expect("the last line tells of it");
        assert_eq!(held.number, end.number);
    }

    #[test]
    fn reading_goes_on_behind_the_last_line_only_if_that_is_still_there() {
        let (before, known) = journal(&[A, B]);
        let (text, _) = journal(&[A, B, Changes(&[&[r#""c": 3"#]])]);
        let from = usize::try_from(known.last_line).expect("short");
        let read = |text: &str| decode_from_last_line(&text.as_bytes()[from..], known);
        let lines = read(&text).expect("still there").expect("whole");
        assert_eq!(events(&lines), [r#"+"c": 3"#]);
        assert!(read(&before).expect("still there").expect("whole").lines.is_empty());
        assert!(read(&text.replacen("\"b\": 2", "\"b\": 4", 1)).is_none());
        assert!(read(&before[..before.len() - 1]).is_none());
        let (other, _) = journal(&[A, Changes(&[&[r#""b": 9"#]]), Changes(&[&[r#""c": 3"#]])]);
        assert!(read(&other).is_none(), "another line with the same number");
    }
}
