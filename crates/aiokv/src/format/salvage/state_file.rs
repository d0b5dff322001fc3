//! What can be read of a damaged state file.
//!
//! # How entries behind a damaged place are found
//!
//! The store writes one entry a line, and no JSON string contains a line feed. So a line that begins
//! like the first entry of the file, with the same white space in front of its key, begins an entry
//! of the store and not something inside of a value. Where the layout does not tell, as in a file
//! that has everything on one line, what stands behind the first damaged place is lost.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::memmem;
use serde_json::value::RawValue;

use super::loss::{LineCounter, Loss, shown};
use crate::format::json_file::{BYTE_ORDER_MARK, read_object};
use crate::state::{Loading, State};

/// What an entry of the store has in front of its key, in the layout that the store writes.
const INDENTATION: &str = "  ";

/// A brace in a line of its own.
const END_OF_OBJECT: &str = "\n}";

/// What was read of a state file.
pub(crate) struct SalvagedFile {
    /// The entries, in the order of the file.
    pub(crate) state: State,
    pub(crate) lost: Vec<Loss>,
}

/// An entry that was read.
#[derive(Clone)]
struct Found {
    line: String,
    /// From its key to the end of its value.
    range: Range<usize>,
}

/// Reads the entries of a state file, damaged or not.
pub(crate) fn salvage_file(content: &[u8]) -> SalvagedFile {
    let text = readable(content);
    let written = text.trim_end_matches('\0').len();
    let (found, is_closed) = find_entries(&text[..written]);
    let mut entries = Loading::default();
    found.iter().for_each(|found| entries.push(&found.line));
    let (state, _duplicates) = State::load(entries.finish());
    SalvagedFile { state, lost: losses_between(content, &text, &found, is_closed) }
}

/// The content as text of the same length, with NUL, which is in no JSON text, for every byte that
/// is not UTF-8.
fn readable(content: &[u8]) -> String {
    let mut text = String::with_capacity(content.len());
    for chunk in content.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\0'));
    }
    text
}

/// The entries of a file, and whether its object is closed.
fn find_entries(text: &str) -> (Vec<Found>, bool) {
    let object = text.trim_start_matches(BYTE_ORDER_MARK).trim_ascii_start();
    let mut search = Search { text, found: Vec::new(), closed: None };
    let mut start = 0;
    if let Some(inside) = object.strip_prefix('{') {
        start = text.len() - inside.len();
        search.read_entries(start..text.len(), false);
    }
    if search.is_whole() {
        return (search.found, true);
    }
    // What lines that begin an entry may have in front of their keys, the most probable first.
    let mut candidates = vec![INDENTATION];
    if let Some(first) = search.found.first() {
        match indentation(&text[start..first.range.start]) {
            Some(indentation) => candidates.insert(0, indentation),
            // Lines do not tell where an entry begins.
            None => return (search.found, false),
        }
    }
    candidates.extend(indentations(&text[start..]));
    let mut attempts =
        candidates.into_iter().map(|indentation| search.with_lines(start, indentation));
    let most_probable = attempts.next().expect("there is at least one candidate");
    let ended =
        |attempt: &Search<'_>| attempt.is_whole() && attempt.is_closed_in_a_line_of_its_own();
    let chosen = attempts.filter(ended).fold(most_probable, |best, other| {
        if other.found.len() > best.found.len() { other } else { best }
    });
    (chosen.found, chosen.closed.is_some())
}

/// What was found in a text so far.
struct Search<'text> {
    text: &'text str,
    found: Vec<Found>,
    /// Where the object is closed, as far as the text was read.
    closed: Option<usize>,
}

impl Search<'_> {
    /// Whether the object is closed where the text ends.
    fn is_whole(&self) -> bool {
        self.closed.is_some_and(|brace| self.text[brace + "}".len()..].trim_ascii().is_empty())
    }

    fn is_closed_in_a_line_of_its_own(&self) -> bool {
        self.closed.is_some_and(|brace| self.text[..brace].ends_with('\n'))
    }

    /// The entries that were found, and those in lines behind them that begin an entry, if these have
    /// this in front of their keys. An entry with something else there at the start of a line, and
    /// what follows it, may stand inside of a value whose beginning is missing, and is left out.
    fn with_lines(&self, start: usize, indentation: &str) -> Self {
        let text = self.text;
        let is_misplaced = |found: &&Found| {
            let (_, before) = text[..found.range.start].rsplit_once('\n').unwrap_or_default();
            before.trim_ascii().is_empty() && before != indentation
        };
        let found = self.found.iter().take_while(|found| !is_misplaced(found)).cloned().collect();
        let mut search = Self { text, found, closed: None };
        let end = search.found.last().map_or(start, |last| last.range.end);
        search.read_lines(end, indentation);
        search
    }

    /// Reads all lines behind `position` that begin an entry, given what these have in front of their
    /// keys.
    fn read_lines(&mut self, position: usize, indentation: &str) {
        let text = self.text;
        let line_start = format!("\n{indentation}\"");
        let starts = memmem::find_iter(&text.as_bytes()[position..], line_start.as_bytes());
        let mut starts = starts.map(|found| position + found).peekable();
        // How many entries were found in front of the last damaged place.
        let mut in_front = self.found.len();
        while let Some(line_feed) = starts.next() {
            let start = line_feed + line_start.len() - "\"".len();
            let end = starts.peek().map_or(text.len(), |next| next + "\n".len());
            let count = self.found.len();
            self.read_entries(start..end, true);
            let last = self.found[count..].last().map_or(start, |last| last.range.end);
            let behind = match self.closed {
                Some(brace) => &text[brace + "}".len()..end],
                None => behind_comma(&text[last..end]),
            };
            if self.closed.is_some_and(|brace| closes_a_value(text, brace)) {
                self.found.truncate(in_front);
            }
            if !behind.trim_ascii().is_empty() {
                in_front = self.found.len();
            }
        }
    }

    /// Reads entries from the start of a part of the text to the first mistake. If more than one entry
    /// may stand there, a value over several lines may have swallowed others, unless what follows it
    /// says that it ends there.
    fn read_entries(&mut self, part: Range<usize>, is_one_entry: bool) {
        const OPENING: &str = "{";
        let text = &self.text[part.clone()];
        let count = self.found.len();
        // What is wrong is told by what is missing.
        let _ = read_object(&[OPENING, text].concat(), |line, range| {
            let place = |at: usize| at - OPENING.len() + part.start;
            let range = place(range.start)..place(range.end);
            self.found.push(Found { line: line.to_owned(), range });
        });
        let last = self.found[count..].last();
        let behind = &self.text[last.map_or(part.start, |it| it.range.end)..part.end];
        let rest = behind.trim_ascii_start();
        self.closed = rest.starts_with('}').then_some(part.end - rest.len());
        let is_whole = match rest.bytes().next() {
            Some(b',' | b'}') => true,
            _ if last
                .is_some_and(|it| !is_one_entry && self.text[it.range.clone()].contains('\n')) =>
            {
                false
            }
            Some(_) => behind[..behind.len() - rest.len()].contains('\n'),
            // Digits may be missing at the end of the text, but not in front of white space.
            None => !behind.is_empty() || last.is_none_or(|it| !it.line.ends_with(is_digit)),
        };
        if last.is_some() && !is_whole {
            self.found.pop();
        }
    }
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

/// What stands behind the comma that follows an entry.
fn behind_comma(text: &str) -> &str {
    let text = text.trim_ascii_start();
    text.strip_prefix(',').unwrap_or(text)
}

/// Whether a brace behind an entry closes a value and not the whole object: then the entries in front
/// of it belong to that value, whose own beginning is damaged.
fn closes_a_value(text: &str, brace: usize) -> bool {
    let line_start = text[..brace].rfind('\n').map_or(0, |line_feed| line_feed + 1);
    let indentation = &text[line_start..brace];
    let is_last = text[brace + 1..].trim_ascii().is_empty();
    !is_last && !indentation.is_empty() && indentation.trim_ascii().is_empty()
}

/// What white space lines have in front of a string, the least first.
fn indentations(text: &str) -> impl Iterator<Item = &str> {
    const COUNT_MAX: usize = 4;
    let before = text.lines().filter_map(|line| Some(line.split_once('"')?.0));
    let blank = before.filter(|it| !it.is_empty() && it.trim_ascii().is_empty());
    let found: BTreeSet<_> = blank.map(|it| (it.len(), it)).collect();
    found.into_iter().take(COUNT_MAX).map(|(_, indentation)| indentation)
}

/// What stands in front of the keys in lines that begin an entry, given what stands in front of the
/// first key. `None` if that does not tell such lines from those inside of a value.
fn indentation(before_first: &str) -> Option<&str> {
    let (_, indentation) = before_first.rsplit_once('\n')?;
    Some(indentation).filter(|it| !it.is_empty())
}

/// What stands between the entries that were read, and is more than the layout.
fn losses_between(content: &[u8], text: &str, found: &[Found], is_closed: bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lines = LineCounter::new(content);
    let starts = found.iter().map(|found| found.range.start).chain([text.len()]);
    let mut end = 0;
    for (index, start) in starts.enumerate() {
        let is_last = index == found.len();
        let between = &text[end..start];
        let is_cut_off =
            is_last && !is_closed && !between.trim_ascii_end().ends_with(END_OF_OBJECT);
        let lost = beyond_layout(between, index == 0, is_last, is_closed);
        if !lost.is_empty() || is_cut_off {
            let from = lost.as_ptr() as usize - text.as_ptr() as usize;
            let bytes = from..from + lost.len();
            losses.push(Loss {
                lines: (lines.at(bytes.start), lines.at(bytes.end.max(bytes.start + 1) - 1)),
                keys: keys_in(lost),
                problem: problem_in(&content[bytes.clone()], is_cut_off),
                bytes: bytes.start as u64..bytes.end as u64,
            });
        }
        end = found.get(index).map_or(end, |found| found.range.end);
    }
    losses
}

/// What stands between two entries, without what belongs to the object. If it is not known where the
/// object is closed, a brace in a line of its own at the end of the text closes it.
fn beyond_layout(between: &str, is_first: bool, is_last: bool, is_closed: bool) -> &str {
    let mut rest = behind_comma(between);
    if is_first {
        rest = rest.trim_start_matches(BYTE_ORDER_MARK).trim_ascii_start();
        rest = rest.strip_prefix('{').unwrap_or(rest);
    }
    rest = rest.trim_ascii();
    match (is_last, is_closed) {
        (true, true) => rest.strip_prefix('}').unwrap_or(rest).trim_ascii(),
        (true, false) => rest.strip_suffix(END_OF_OBJECT).unwrap_or(rest).trim_ascii(),
        (false, _) => rest,
    }
}

fn problem_in(damaged: &[u8], is_cut_off: bool) -> &'static str {
    if damaged.contains(&0) {
        "NUL bytes"
    } else if std::str::from_utf8(damaged).is_err() {
        "bytes that are not UTF-8"
    } else if is_cut_off {
        "the file is cut off here"
    } else {
        "not JSON"
    }
}

/// The keys of the lines that begin like entries of the store.
fn keys_in(damaged: &str) -> Vec<String> {
    let lines = damaged.lines().map(|line| line.strip_prefix(INDENTATION).unwrap_or(line));
    lines.filter_map(key_at).map(shown).collect()
}

/// The JSON string that a text begins with, if it is a key.
fn key_at(text: &str) -> Option<&str> {
    let mut keys = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let key = text.starts_with('"').then(|| keys.next())??.ok()?.get();
    text[key.len()..].trim_ascii_start().starts_with(':').then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::json_file;

    /// Entries as the store writes them.
    const ENTRIES: [&str; 8] = [
        r#""a": 1"#,
        r#""caf\u00e9": "\"quoted\", }{\\""#,
        r#""user:17": {"name": "Ada", "tags": ["x", {"y": null}]}"#,
        r#""big": 123456789012345678901234567890"#,
        r#""float": -1.50E+2"#,
        r#""text": "a: \"b\": 1, äöü😀\n""#,
        r#""none": null"#,
        r#""odd": [NaN, -Infinity]"#,
    ];

    fn written_by_the_store() -> String {
        format!("{{\n  {}\n}}\n", ENTRIES.join(",\n  "))
    }

    /// The layout of `json.dump(..., indent=4)`.
    fn pretty() -> String {
        let text = written_by_the_store().replace("[NaN, -Infinity]", "[1.0, -2]");
        let value: serde_json::Value = serde_json::from_str(&text).expect("valid");
        let mut pretty = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut pretty, formatter);
        serde::Serialize::serialize(&value, &mut serializer).expect("valid");
        String::from_utf8(pretty).expect("JSON is UTF-8")
    }

    fn lines(salvaged: &SalvagedFile) -> Vec<String> {
        salvaged.state.iter().map(|entry| entry.line().to_owned()).collect()
    }

    fn found_in(content: &str) -> Vec<Found> {
        let (found, is_closed) = find_entries(content);
        assert!(is_closed);
        found
    }

    #[test]
    fn a_whole_file_is_read_whole() {
        for content in [&written_by_the_store(), &pretty(), "{}\n", "\u{feff} {\"a\": 1}"] {
            let salvaged = salvage_file(content.as_bytes());
            assert_eq!(salvaged.lost, []);
            let decoded = json_file::decode(content.as_bytes(), "f".as_ref());
            let expected = decoded.expect("valid").snapshot();
            assert_eq!(salvaged.state.snapshot(), expected);
        }
    }

    #[test]
    fn of_a_file_that_is_cut_off_all_entries_in_front_of_the_cut_are_read() {
        for content in [written_by_the_store(), pretty()] {
            let whole = found_in(&content);
            for cut in 0..content.trim_end().len() {
                let salvaged = salvage_file(&content.as_bytes()[..cut]);
                let is_there = |found: &&Found| {
                    let end = found.range.end;
                    // Digits may be missing.
                    end < cut || end == cut && !content[..end].ends_with(is_digit)
                };
                let expected: Vec<_> =
                    whole.iter().filter(is_there).map(|it| it.line.clone()).collect();
                assert_eq!(lines(&salvaged), expected, "cut off after {cut} bytes");
                assert!(!salvaged.lost.is_empty(), "cut off after {cut} bytes");
                let filled = [&content.as_bytes()[..cut], &[0; 5000]].concat();
                assert_eq!(lines(&salvage_file(&filled)), expected, "NULs after {cut} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn entries_outside_of_the_damage_are_read_and_nothing_else(
            is_pretty: bool,
            place in 0.0..1.0_f64,
            is_inserted: bool,
            damage in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                "[\\[\\]{}\",: a1\n\\\\]{0,12}".prop_map(String::into_bytes),
            ],
        ) {
            let content = if is_pretty { pretty() } else { written_by_the_store() };
            let start = (place * content.len() as f64) as usize;
            let length = if is_inserted { 0 } else { damage.len() };
            let end = (start + length).min(content.len());
            let damaged = [&content.as_bytes()[..start], &damage, &content.as_bytes()[end..]].concat();
            let text = readable(&damaged);
            let (found, _) = find_entries(text.trim_end_matches('\0'));
            let intact = found_in(&content).into_iter().filter(|it| {
                // The line feed and the white space in front of an entry are what it is found by.
                let from = content[..it.range.start].rfind('\n').expect("one entry a line");
                it.range.end < start || from >= end
            });
            let intact: Vec<_> = intact.collect();
            for expected in &intact {
                prop_assert!(found.iter().any(|it| it.line == expected.line), "{} in {text}", expected.line);
            }
            let damage_end = start + damage.len();
            for it in &found {
                let is_intact = intact.iter().any(|expected| expected.line == it.line);
                let line_start = text[..it.range.start].rfind('\n').unwrap_or(0);
                let touches = line_start <= damage_end && it.range.end >= start;
                prop_assert!(is_intact || touches, "{} in {text}", it.line);
            }
        }

        #[test]
        fn damage_that_cannot_be_json_adds_nothing(
            is_pretty: bool,
            places in proptest::collection::vec((0.0..1.0_f64, 1..30_usize), 1..6),
            byte in prop_oneof![Just(0), Just(0xff)],
        ) {
            let content = if is_pretty { pretty() } else { written_by_the_store() };
            let mut damaged = content.clone().into_bytes();
            // The first line tells the layout, if it is not that of the store.
            let first = if is_pretty { content.find(",\n").expect("many entries") + 2 } else { 0 };
            for (place, length) in places {
                let start = first + (place * (damaged.len() - first) as f64) as usize;
                let end = (start + length).min(damaged.len());
                damaged[start..end].fill(byte);
            }
            let salvaged = salvage_file(&damaged);
            for it in found_in(&content) {
                let from = content[..it.range.start].rfind('\n').expect("one entry a line");
                let place = from..it.range.end + ",".len();
                let is_whole = damaged[place.clone()] == content.as_bytes()[place];
                let is_read = lines(&salvaged).contains(&it.line);
                prop_assert!(is_read || !is_whole, "{}", it.line);
            }
            let original: Vec<_> = found_in(&content).into_iter().map(|it| it.line).collect();
            prop_assert!(lines(&salvaged).iter().all(|it| original.contains(it)));
            prop_assert!(!salvaged.lost.is_empty());
        }
    }

    #[test]
    fn a_loss_has_its_place_and_the_keys_that_can_be_read() {
        let content = "{\n  \"a\": 1,\n  \"b\": tru,\n  \"c\": \"x,\n  \"d\": 4\n}\n";
        let salvaged = salvage_file(content.as_bytes());
        assert_eq!(lines(&salvaged), ["\"a\": 1", "\"d\": 4"]);
        let [loss] = &salvaged.lost[..] else { panic!("{:?}", salvaged.lost) };
        assert_eq!(loss.to_string(), "lines 3 to 4 (bytes 14 to 34): not JSON");
        assert_eq!(loss.keys, ["b", "c"]);
        let cut_off = salvage_file(b"{\n  \"a\": 1,\n  \"b\": 2");
        assert_eq!(lines(&cut_off), ["\"a\": 1"]);
        assert_eq!(
            cut_off.lost[0].to_string(),
            "line 3 (bytes 14 to 20): the file is cut off here"
        );
        assert_eq!(cut_off.lost[0].keys, ["b"]);
    }

    #[test]
    fn the_end_of_the_object_is_no_part_of_a_damaged_last_entry() {
        let salvaged = salvage_file(b"{\n  \"a\": 1,\n  \"b\": ?\n}\n");
        assert_eq!(salvaged.lost[0].to_string(), "line 3 (bytes 14 to 20): not JSON");
        assert_eq!(salvaged.lost.len(), 1);
    }

    #[test]
    fn a_forgotten_comma_costs_nothing() {
        let salvaged = salvage_file(b"{\n  \"a\": 1\n  \"b\": 2\n}\n");
        assert_eq!(lines(&salvaged), ["\"a\": 1", "\"b\": 2"]);
        assert_eq!(salvaged.lost, []);
    }

    #[test]
    fn what_stands_inside_of_a_damaged_value_is_no_entry() {
        let misplaced = "{\n  \"a\": 1,\n  \"b\": \0{\n  \"inner\": 2\n  },\n  \"c\": 3\n}\n";
        assert_eq!(lines(&salvage_file(misplaced.as_bytes())), ["\"a\": 1", "\"c\": 3"]);
        let one_line = r#"{"a": 1, "b": x{"inner": 2}, "c": 3}"#;
        assert_eq!(lines(&salvage_file(one_line.as_bytes())), ["\"a\": 1"]);
    }
}
