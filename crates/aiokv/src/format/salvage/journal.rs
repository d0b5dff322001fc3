//! What can be read of a damaged journal.

use super::loss::{LineCounter, Loss, shown};
use crate::format::journal::{
    self, Digest, Header, Lines, Position, decode_until_damage, keys_named, place_behind_damage,
};

/// What was read of a journal.
pub(crate) struct SalvagedJournal {
    /// `None` if the first line is damaged.
    header: Option<Header>,
    pub(crate) lines: Lines,
    pub(crate) lost: Vec<Loss>,
}

/// Reads the lines of a journal, damaged or not. A group of changes of which a part is known to be
/// missing counts as lost.
pub(crate) fn salvage_journal(text: &[u8]) -> SalvagedJournal {
    let mut counter = LineCounter::new(text);
    let written = text.trim_ascii_end().len();
    let mut loss = |from: Position, to: Option<Position>, problem| {
        let from_byte = in_memory(from.offset);
        let to_byte = to.map_or(written, |to| in_memory(to.offset)).max(from_byte);
        let named = keys_named(&text[from_byte..to_byte], from);
        Loss {
            lines: (counter.at(from_byte), counter.at(to_byte.max(from_byte + 1) - 1)),
            keys: named.iter().map(|entry| shown(entry.key_text())).collect(),
            problem,
            bytes: from_byte as u64..to_byte as u64,
        }
    };
    let mut lost = Vec::new();
    let header = journal::decode_header(text).ok();
    let beginning = Position { offset: 0, number: 0, durable: 0, last_line: 0, checksum: 0 };
    let mut start = header.as_ref().map(|header| header.start);
    if start.is_none() {
        start = place_behind_damage(text, beginning);
        lost.push(loss(beginning, start, "the first line is not what was written"));
    }
    let mut lines = Lines { lines: Vec::new(), end: start.unwrap_or(beginning), torn: false };
    while let Some(place) = start.take() {
        let (read, damage) = decode_until_damage(&text[in_memory(place.offset)..], place);
        lines.lines.extend(read.lines);
        lines.end = read.end;
        if let Some((_, damaged)) = damage {
            start = place_behind_damage(text, damaged);
            lost.push(loss(read.end, start, "not what was written"));
        } else if read.torn {
            lost.push(loss(read.end, None, "a change that was not finished"));
        }
    }
    SalvagedJournal { header, lines, lost }
}

impl SalvagedJournal {
    /// The number of the last line that a content of the state file holds, if the journal continues
    /// that content.
    pub(crate) fn held_by(&self, content: Digest) -> Option<u64> {
        self.lines.held_by(content, self.header.as_ref()?).map(|place| place.number)
    }
}

/// A place in a text that is in memory.
fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("the whole text is in memory")
}
