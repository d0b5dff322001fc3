//! The entries of the store at one moment.
//!
//! A snapshot never changes and shares its entries with the state. It holds no lock: the state goes
//! on without it, at the price of one copied chunk for each chunk that is changed meanwhile.

use std::fmt;
use std::sync::Arc;

use crate::json::{Block, Entry};
use crate::state::slots::{Chunk, Slots};

/// The entries at one moment, or those of them whose keys start with a prefix, in order of
/// insertion.
///
/// Cloning copies one pointer for each 256 entries of the store; later changes to the store do not
/// show.
#[derive(Clone, Default)]
pub struct Snapshot {
    slots: Slots,
    prefix: Prefix,
}

/// What a key has to start with; `None` is the empty prefix.
type Prefix = Option<Arc<[u8]>>;

impl Snapshot {
    pub(super) fn of(slots: Slots) -> Self {
        Self { slots, prefix: None }
    }

    /// All slots, and the prefix that says which of their entries count.
    pub(super) fn into_slots(self) -> (Slots, impl Fn(&Entry) -> bool) {
        let prefix = self.prefix;
        (self.slots, move |entry| has_prefix(entry, &prefix))
    }

    /// The entries whose keys start with a prefix. A prefix that was given before is forgotten.
    pub(crate) fn with_prefix(self, prefix: &[u8]) -> Self {
        Self { prefix: (!prefix.is_empty()).then(|| prefix.into()), ..self }
    }

    /// The number of entries. With a prefix, all entries of the store are looked at.
    pub fn len(&self) -> usize {
        match self.prefix {
            None => self.slots.live(),
            Some(_) => self.iter().count(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        match self.prefix {
            None => self.slots.live() == 0,
            Some(_) => self.iter().next().is_none(),
        }
    }

    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter(|entry| has_prefix(entry, &self.prefix))
    }

    /// The entries in order of insertion, in parts that can be worked on one at a time.
    pub fn into_parts(self) -> impl Iterator<Item = SnapshotPart> + Send {
        let Self { slots, prefix } = self;
        let part = move |chunk| SnapshotPart { chunk, prefix: prefix.clone() };
        slots.into_chunks().into_iter().map(part)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// Some neighbouring entries of a [`Snapshot`]: at most 256, possibly none.
pub struct SnapshotPart {
    chunk: Arc<Chunk>,
    prefix: Prefix,
}

impl SnapshotPart {
    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunk.iter().flatten().filter(|entry| has_prefix(entry, &self.prefix))
    }
}

fn has_prefix(entry: &Entry, prefix: &Prefix) -> bool {
    prefix.as_ref().is_none_or(|prefix| entry.key().starts_with(prefix))
}

/// Makes a snapshot of lines that come one after the other, with one text for neighbours.
#[derive(Default)]
pub(crate) struct Loading {
    slots: Slots,
    block: Block,
}

impl Loading {
    /// Adds the entry with this line at the end.
    pub(crate) fn push(&mut self, line: &str) {
        if !self.block.has_room_for(line) {
            self.move_block();
        }
        self.block.push(line);
    }

    /// The entries in the order in which they came.
    pub(crate) fn finish(mut self) -> Snapshot {
        self.move_block();
        Snapshot::of(self.slots)
    }

    fn move_block(&mut self) {
        for entry in self.block.drain() {
            self.slots.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(lines: &[&str]) -> Snapshot {
        let mut loading = Loading::default();
        lines.iter().for_each(|line| loading.push(line));
        loading.finish()
    }

    #[test]
    fn a_prefix_is_compared_with_the_key_and_not_with_its_spelling() {
        let lines = [r#""ab": 1"#, r#""b": 2"#, r#""\u0061c": 3"#, r#""a": 4"#, r#""é": 5"#];
        let all = snapshot(&lines);
        let of = |prefix: &[u8]| all.clone().with_prefix(prefix);
        let found = |prefix| Vec::from_iter(of(prefix).iter().map(|it| it.line().to_owned()));
        assert_eq!(found(b""), lines);
        assert_eq!(found(b"a"), [lines[0], lines[2], lines[3]]);
        assert_eq!(found(b"ab"), [lines[0]]);
        assert_eq!(found("é".as_bytes()), [lines[4]]);
        assert_eq!((of(b"").len(), of(b"a").len(), of(b"c").len()), (5, 3, 0));
        assert!(of(b"c").is_empty() && !of(b"b").is_empty());
    }

    #[test]
    fn the_parts_hold_what_the_snapshot_holds() {
        let lines = Vec::from_iter((0..1000).map(|number| format!("\"{number}\": 0")));
        let all = snapshot(&Vec::from_iter(lines.iter().map(String::as_str)));
        for prefix in ["", "7", "99", "x"] {
            let some = all.clone().with_prefix(prefix.as_bytes());
            let expected = Vec::from_iter(some.iter().map(|it| it.line().to_owned()));
            let mut found = Vec::new();
            for part in some.into_parts() {
                found.extend(part.iter().map(|it| it.line().to_owned()));
            }
            assert_eq!(found, expected);
        }
    }
}
