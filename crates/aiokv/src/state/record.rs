//! What a batch changes, written down once.
//!
//! The writer spells a record as lines of the journal, [`State::install`](super::State::install)
//! applies it to memory, and a watcher is told of it. A record is complete in itself: it does not
//! refer to the state that it was made from, but it fits no other state.

use crate::json::Entry;

/// The changes of a batch, in their order and in groups: one for each operation that changed
/// something. On disk a group counts as a whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Nothing of the state is left, only what the changes put there.
    cleared: bool,
    changes: Vec<KeyChange>,
    /// Where in `changes` each group ends. The rest belongs to the group that is being made.
    ends: Vec<usize>,
}

/// One change of one key. `before` and `after` are not both `None`.
#[derive(Debug, Clone)]
pub(crate) struct KeyChange {
    /// Where in the state the entry stands: the next new slot if the key was not there.
    pub(super) slot: u32,
    pub(super) before: Option<Entry>,
    pub(super) after: Option<Entry>,
}

impl Record {
    /// Whether nothing changed, so that the file can stay as it is.
    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.changes.is_empty()
    }

    /// Whether the store was cleared before these changes.
    pub(crate) fn cleared(&self) -> bool {
        self.cleared
    }

    /// Whether the store was cleared and is empty after these changes.
    pub(crate) fn leaves_nothing(&self) -> bool {
        let added = self.changes.iter().filter(|change| change.before.is_none()).count();
        let deleted = self.changes.iter().filter(|change| change.is_deletion()).count();
        self.cleared && added == deleted
    }

    /// The groups, in order. None is empty.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[KeyChange]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let group = &self.changes[start..end];
            start = end;
            group
        })
    }

    pub(super) fn changes(&self) -> &[KeyChange] {
        &self.changes
    }

    /// A record that clears the store.
    pub(super) fn clearing() -> Self {
        Self { cleared: true, ..Self::default() }
    }

    /// Adds a change to the group that is being made.
    pub(super) fn push(&mut self, change: KeyChange) {
        self.changes.push(change);
    }

    /// Takes the last change back from the group that is being made.
    pub(super) fn pop(&mut self) -> Option<KeyChange> {
        if self.group_is_open() { self.changes.pop() } else { None }
    }

    /// Ends the group that is being made. A group without changes leaves no trace.
    pub(super) fn end_group(&mut self) {
        if self.group_is_open() {
            self.ends.push(self.changes.len());
        }
    }

    fn group_is_open(&self) -> bool {
        self.changes.len() > self.ends.last().copied().unwrap_or(0)
    }
}

impl KeyChange {
    /// The key as it is spelled in the entry that was set or deleted: a JSON string.
    pub(crate) fn key_text(&self) -> &str {
        self.entry().key_text()
    }

    /// The entry before; `None` if the key was not there.
    pub(crate) fn before(&self) -> Option<&Entry> {
        self.before.as_ref()
    }

    /// The entry after; `None` if the key was deleted.
    pub(crate) fn after(&self) -> Option<&Entry> {
        self.after.as_ref()
    }

    /// Whether the key was deleted.
    pub(crate) fn is_deletion(&self) -> bool {
        self.after.is_none()
    }

    /// The entry that names the key.
    pub(super) fn entry(&self) -> &Entry {
        let entry = self.after.as_ref().or(self.before.as_ref());
        entry.expect("a change has an entry before or after")
    }
}
