//! What a person changed in a copy, and whether it can be carried over to what the store holds now.
//! Pure.
//!
//! Keys are compared one by one: the base, which the person began with, what the person made of it,
//! and what is there now. White space between tokens is no change, nor is the order of entries.

use std::collections::{HashMap, HashSet};

use aiokv::binding::{
    Change as Write, Condition, Entry, Key, Snapshot, Write as Conditional, without_white_space,
};

use crate::console::text::{characters, harmless};

/// What a person did to one key.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) key: Key,
    /// What was there when the person began.
    pub(super) base: Option<Entry>,
    /// What the person wants to be there; nothing if the key was deleted.
    pub(super) wanted: Option<Entry>,
}

/// Whose change of a key counts, by what the person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Winner {
    Person,
    Store,
}

/// How many keys were changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Tally {
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) deleted: usize,
}

/// What the person changed. Added keys are in the order of the copy.
pub(super) fn changes(base: &[Entry], edited: &Snapshot) -> Vec<Change> {
    let before: HashMap<_, _> = base.iter().map(|entry| (entry.key(), entry)).collect();
    let mut kept = HashSet::new();
    let mut changes = Vec::new();
    for entry in edited.iter() {
        let base = before.get(&entry.key()).copied();
        kept.insert(entry.key());
        if !is_same(base, Some(entry)) {
            let (base, wanted) = (base.cloned(), Some(entry.clone()));
            changes.push(Change { key: entry.key().into(), base, wanted });
        }
    }
    for entry in base.iter().filter(|entry| !kept.contains(&entry.key())) {
        changes.push(Change { key: entry.key().into(), base: Some(entry.clone()), wanted: None });
    }
    changes
}

/// Whether both have the same value, or there is neither.
pub(super) fn is_same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let (one, other) = (one.value_text(), other.value_text());
            one == other || without_white_space(one) == without_white_space(other)
        }
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Change {
    /// Whether somebody else changed the key meanwhile, to something else than is wanted.
    pub(super) fn conflicts_with(&self, now: Option<&Entry>) -> bool {
        !is_same(now, self.base.as_ref()) && !is_same(now, self.wanted.as_ref())
    }

    /// The key as a person gets to see it.
    pub(super) fn shown_key(&self) -> String {
        let entry = self.wanted.as_ref().or(self.base.as_ref());
        let entry = entry.expect("a change has something before it or after it");
        harmless(&characters(entry.key_text())).into_owned()
    }

    fn write(&self, condition: Condition) -> Conditional {
        let change = match &self.wanted {
            Some(entry) => Write::Set(entry.clone()),
            None => Write::Delete(self.key.clone()),
        };
        Conditional { condition, change }
    }
}

/// What makes the changes to what is there now, and how many keys that changes. It counts only if
/// what is there is still that, but for keys about which the person decided.
pub(super) fn writes<'change>(
    changes: impl Iterator<Item = (&'change Change, Option<&'change Entry>)>,
    decided: &HashMap<Key, Winner>,
) -> (Vec<Conditional>, Tally) {
    let mut tally = Tally::default();
    let mut writes = Vec::new();
    for (change, now) in changes {
        let winner = decided.get(&change.key);
        if winner == Some(&Winner::Store) || is_same(now, change.wanted.as_ref()) {
            continue;
        }
        let condition = match (winner, now) {
            // A program may change the key as often as it likes while the person decides.
            (Some(_), _) => Condition::Anything,
            (None, Some(now)) => Condition::Exactly(now.value_text().into()),
            (None, None) => Condition::Absent,
        };
        writes.push(change.write(condition));
        match (now, &change.wanted) {
            (None, Some(_)) => tally.added += 1,
            (Some(_), Some(_)) => tally.changed += 1,
            (_, None) => tally.deleted += 1,
        }
    }
    (writes, tally)
}

impl Tally {
    pub(super) fn in_words(self) -> String {
        let Self { added, changed, deleted } = self;
        let counts = [(added, "added"), (changed, "changed"), (deleted, "deleted")];
        let words = counts.iter().filter(|(number, _)| *number > 0);
        let words = words.map(|(number, word)| format!("{number} {word}"));
        Vec::from_iter(words).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Snapshot {
        let read = aiokv::binding::read_entries(text.as_bytes(), Path::new("state.json"));
        read.expect("valid")
    }

    fn found(base: &str, edited: &str) -> Vec<String> {
        let base = Vec::from_iter(read(base).iter().cloned());
        let text = |entry: &Option<Entry>| match entry {
            Some(entry) => entry.line().to_owned(),
            None => "nothing".to_owned(),
        };
        let change = |it: &Change| format!("{} -> {}", text(&it.base), text(&it.wanted));
        changes(&base, &read(edited)).iter().map(change).collect()
    }

    #[test]
    fn white_space_and_order_are_no_change() {
        let base = r#"{"a": [1, {"b": "c d"}], "e": 1.0}"#;
        assert_eq!(found(base, "{\"e\": 1.0,\n\"a\": [\n 1,{\"b\" :\"c d\"}]}"), [""; 0]);
        assert_eq!(found(base, r#"{"a": [1, {"b": "cd"}], "e": 1.0}"#).len(), 1);
        assert_eq!(found(base, r#"{"a": [1, {"b": "c d"}], "e": 1.00}"#).len(), 1);
    }

    #[test]
    fn a_key_is_the_same_however_it_is_spelled() {
        assert_eq!(found(r#"{"caf\u00e9": 1}"#, r#"{"café": 1}"#), [""; 0]);
    }

    #[test]
    fn each_kind_of_change_is_found() {
        let changes = found(r#"{"a": 1, "b": 2}"#, r#"{"c": 3, "b": 4}"#);
        let expected = ["nothing -> \"c\": 3", "\"b\": 2 -> \"b\": 4", "\"a\": 1 -> nothing"];
        assert_eq!(changes, expected);
    }

    #[test]
    fn only_a_third_value_is_a_conflict() {
        let entry = |value: &str| Some(Entry::new("\"a\"", value));
        for (base, wanted, now, conflicts) in [
            (entry("1"), entry("2"), entry("1"), false),
            (entry("1"), entry("2"), entry("2"), false),
            (entry("1"), entry("2"), entry("3"), true),
            (entry("1"), entry("2"), None, true),
            (entry("1"), None, entry("3"), true),
            (entry("1"), None, None, false),
            (None, entry("2"), entry("3"), true),
            (None, entry("2"), None, false),
        ] {
            let change = Change { key: b"a".as_slice().into(), base, wanted };
            assert_eq!(change.conflicts_with(now.as_ref()), conflicts, "{change:?}, {now:?}");
        }
    }
}
