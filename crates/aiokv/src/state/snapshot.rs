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
/// Cloning copies one pointer for each 256 entries; later changes to the store do not show.
#[derive(Clone, Default)]
pub struct Snapshot(Slots);

impl Snapshot {
    pub(super) fn of(slots: Slots) -> Self {
        Self(slots)
    }

    pub(super) fn into_slots(self) -> Slots {
        self.0
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.live()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The entries in order of insertion. What lies behind is let go of.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> + Send + Sync {
        let entries =
            |part: SnapshotPart| (0..part.0.len()).filter_map(move |at| part.0[at].clone());
        self.into_parts().flat_map(entries)
    }

    /// The entries in order of insertion, in parts that can be worked on one at a time.
    pub fn into_parts(self) -> impl Iterator<Item = SnapshotPart> + Send + Sync {
        self.0.into_chunks().into_iter().map(SnapshotPart)
    }
}

/// Whether both have the same entries, spelled alike, in the same order.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.iter().map(Entry::line).eq(other.iter().map(Entry::line))
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// Some neighbouring entries of a [`Snapshot`]: at most 256, possibly none.
pub struct SnapshotPart(Arc<Chunk>);

impl SnapshotPart {
    /// The entries in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flatten()
    }
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
    fn the_parts_hold_what_the_snapshot_holds() {
        let lines = Vec::from_iter((0..1000).map(|number| format!("\"{number}\": 0")));
        let all = snapshot(&Vec::from_iter(lines.iter().map(String::as_str)));
        let mut found = Vec::new();
        for part in all.into_parts() {
            found.extend(part.iter().map(|it| it.line().to_owned()));
        }
        assert_eq!(found, lines);
    }
}
