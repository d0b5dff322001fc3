//! Tries out a batch of operations on a state and writes down what they change.
//!
//! The state is left alone. Each operation sees what those before it left, and takes effect as a
//! whole or not at all; one that fails does not stop the batch.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::json::time::stored_time;
use crate::json::{Entry, number};
use crate::queue::operation::{Change, Condition, Operation, Outcome, Write, Written};
use crate::state::index::Index;
use crate::state::map::State;
use crate::state::record::{KeyChange, Record};
use crate::state::slots::Slots;
use crate::state::snapshot::Snapshot;

/// A state with changes that are not on disk yet.
pub(crate) struct Draft<'state> {
    state: &'state State,
    record: Record,
    /// Where in the record the last change of a key is.
    last: Index,
    /// The slot that the next new key gets.
    end: u32,
    /// For each change of the group that is being made: where the change of the same key before it
    /// is. What it takes to roll the group back.
    earlier: Vec<Option<u32>>,
}

impl<'state> Draft<'state> {
    pub(crate) fn new(state: &'state State) -> Self {
        let (record, last) = (Record::default(), Index::default());
        Self { state, record, last, end: state.end(), earlier: Vec::new() }
    }

    /// Does what an operation asks for, to this draft. If the answer is an error or
    /// [`Outcome::Unmet`], the operation has changed nothing.
    pub(crate) fn evaluate(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Read(keys) => {
                Ok(Outcome::Read(keys.iter().map(|key| self.get(key).cloned()).collect()))
            }
            Operation::ReadPrefix(prefix) => Ok(Outcome::Snapshot(self.snapshot_of(prefix))),
            Operation::DeletePrefix { prefix, older_than } => {
                Ok(self.delete_prefix(prefix, *older_than))
            }
            Operation::Survey { keys, prefixes } => Ok(Outcome::Surveyed {
                entries: keys.iter().map(|key| self.get(key).cloned()).collect(),
                listings: prefixes.iter().map(|prefix| self.snapshot_of(prefix)).collect(),
            }),
            Operation::Write(writes) => self.write(writes),
            Operation::Clear => {
                self.clear();
                Ok(Outcome::Done)
            }
            Operation::Checkpoint | Operation::Close => Ok(Outcome::Done),
        }
    }

    /// Sets a key as a line of the journal says. A group of its own: the caller replays the lines of
    /// a group only when it has all of them.
    pub(crate) fn replay_set(&mut self, entry: Entry) {
        self.change(&entry.key(), Some(entry.clone()));
        self.end_group();
    }

    /// Deletes a key as a line of the journal says. A group of its own; a key that is not there
    /// changes nothing.
    pub(crate) fn replay_delete(&mut self, key: &[u8]) {
        self.change(key, None);
        self.end_group();
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.place(key).map(|(_, entry)| entry)
    }

    /// The entries with the changes.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state.snapshot_with(&self.record)
    }

    /// The entries whose keys start with a prefix.
    fn snapshot_of(&self, prefix: &[u8]) -> Snapshot {
        if prefix.is_empty() {
            return self.snapshot();
        }
        let mut slots = Slots::default();
        for entry in self.entries_of(prefix).into_values() {
            slots.push(entry);
        }
        Snapshot::of(slots)
    }

    /// The entries whose keys start with a prefix, by their slots.
    fn entries_of(&self, prefix: &[u8]) -> BTreeMap<u32, Entry> {
        let mut entries = BTreeMap::new();
        if !self.record.cleared() {
            let found = self.state.with_prefix(prefix);
            entries.extend(found.map(|(slot, entry)| (slot, entry.clone())));
        }
        for KeyChange { slot, after, .. } in self.record.changes() {
            match after {
                Some(entry) if entry.key().starts_with(prefix) => {
                    entries.insert(*slot, entry.clone());
                }
                // The change of another key has another slot.
                _ => drop(entries.remove(slot)),
            }
        }
        entries
    }

    /// Deletes the keys with a prefix, or those of them whose value is a time before another one.
    fn delete_prefix(&mut self, prefix: &[u8], older_than: Option<f64>) -> Outcome {
        let is_old = |entry: &Entry| {
            older_than.is_none_or(|limit| {
                stored_time(entry.value_text()).is_some_and(|time| time < limit)
            })
        };
        let entries = self.entries_of(prefix).into_values().filter(is_old);
        let deleted = entries.map(|entry| self.change(&entry.key(), None)).collect();
        self.end_group();
        Outcome::Written(deleted)
    }

    /// Ends the draft.
    pub(crate) fn finish(self) -> Record {
        self.record
    }

    fn clear(&mut self) {
        self.record = Record::clearing();
        self.last = Index::default();
        self.end = 0;
    }

    fn write(&mut self, writes: &[Write]) -> Result<Outcome> {
        let outcome = self.try_write(writes);
        match outcome {
            Ok(Outcome::Written(_)) => self.end_group(),
            _ => self.roll_back(),
        }
        outcome
    }

    /// Makes the changes one after the other, up to the first that cannot be made.
    fn try_write(&mut self, writes: &[Write]) -> Result<Outcome> {
        let mut written = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            let key = write.key();
            if let Condition::Lists(listed) = &write.condition
                && self.snapshot_of(&key) != *listed
            {
                return Ok(Outcome::Unmet { index, found: None });
            }
            let found = self.get(&key);
            if !holds(&write.condition, found) {
                return Ok(Outcome::Unmet { index, found: found.cloned() });
            }
            let after = match &write.change {
                Change::Set(entry) => Some(entry.clone()),
                Change::Delete(_) => None,
                Change::Keep(_) => {
                    let found = found.cloned();
                    written.push(Written { before: found.clone(), after: found });
                    continue;
                }
                Change::Add { amount, initial } => Some(sum(found, amount, initial)?),
            };
            written.push(self.change(&key, after));
        }
        Ok(Outcome::Written(written.into()))
    }

    /// Adds a change to the group that is being made. A new key goes to the end, an old one keeps
    /// its place. Deleting a key that is not there changes nothing.
    fn change(&mut self, key: &[u8], after: Option<Entry>) -> Written {
        let (slot, before) = match self.place(key) {
            Some((slot, entry)) => (slot, Some(entry.clone())),
            None => (self.end, None),
        };
        let written = Written { before: before.clone(), after: after.clone() };
        if before.is_none() && after.is_none() {
            return written;
        }
        if before.is_none() {
            self.end = self.end.checked_add(1).expect("fewer than 4 billion entries");
        }
        let changes = self.record.changes();
        let position = u32::try_from(changes.len()).expect("fewer than 4 billion changes");
        let is_of_key = |it| is_of_key(changes, it, key);
        self.earlier.push(self.last.replace(key, position, is_of_key));
        self.record.push(KeyChange { slot, before, after });
        written
    }

    fn end_group(&mut self) {
        self.record.end_group();
        self.earlier.clear();
    }

    /// Takes the changes of the group that is being made back, the last one first.
    fn roll_back(&mut self) {
        while let Some(earlier) = self.earlier.pop() {
            let change = self.record.pop().expect("each change of the group has its `earlier`");
            let changes = self.record.changes();
            let position = u32::try_from(changes.len()).expect("fewer than 4 billion changes");
            let key = change.entry().key();
            match earlier {
                None => self.last.remove(&key, position),
                Some(earlier) => {
                    self.last.replace(&key, earlier, |it| it == position);
                }
            }
            if change.before.is_none() {
                self.end -= 1;
            }
        }
    }

    /// The slot and the entry of a key.
    fn place(&self, key: &[u8]) -> Option<(u32, &Entry)> {
        let changes = self.record.changes();
        match self.last.find(key, |it| is_of_key(changes, it, key)) {
            Some(last) => {
                let KeyChange { slot, after, .. } = &changes[last as usize];
                after.as_ref().map(|entry| (*slot, entry))
            }
            None if self.record.cleared() => None,
            None => self.state.place(key),
        }
    }
}

/// Whether a change in the record is one of a key.
fn is_of_key(changes: &[KeyChange], position: u32, key: &[u8]) -> bool {
    changes[position as usize].entry().has_key(key)
}

fn holds(condition: &Condition, found: Option<&Entry>) -> bool {
    match (condition, found) {
        (Condition::Anything | Condition::Lists(_), _) => true,
        (Condition::Absent, found) => found.is_none(),
        (Condition::Present, found) => found.is_some(),
        (Condition::Exactly(text), Some(found)) => found.value_text() == &**text,
        (Condition::Exactly(_), None) => false,
    }
}

/// What a key has after [`Change::Add`].
pub(crate) fn sum(found: Option<&Entry>, amount: &Entry, initial: &str) -> Result<Entry> {
    let augend = found.map_or(initial, Entry::value_text);
    let addend = amount.value_text();
    if let Some(sum) = number::add(augend, addend) {
        return Ok(Entry::new(amount.key_text(), &sum));
    }
    if found.is_some() && !number::is_number(augend) {
        return Err(Error::not_a_number(&amount.key(), augend));
    }
    let reason = match [augend, addend].into_iter().find(|text| !number::is_number(text)) {
        Some(text) => format!("{text} is not a number and cannot be added"),
        None => format!("the sum of {augend} and {addend} is too large for a float"),
    };
    Err(Error::Refused { place: "$".to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, value: &str) -> Entry {
        Entry::new(&format!("\"{key}\""), value)
    }

    fn set(key: &str, value: &str) -> Write {
        Write::unconditional(Change::Set(entry(key, value)))
    }

    fn delete(key: &str) -> Write {
        Write::unconditional(Change::Delete(key.as_bytes().into()))
    }

    fn add(key: &str, amount: &str, initial: &str) -> Write {
        let amount = entry(key, amount);
        Write::unconditional(Change::Add { amount, initial: initial.into() })
    }

    fn under(condition: Condition, write: Write) -> Write {
        Write { condition, ..write }
    }

    fn write<const N: usize>(draft: &mut Draft<'_>, writes: [Write; N]) -> Result<Outcome> {
        draft.evaluate(&Operation::Write(writes.into()))
    }

    fn is_written(outcome: Result<Outcome>) -> bool {
        matches!(outcome, Ok(Outcome::Written(_)))
    }

    fn lines(snapshot: &Snapshot) -> Vec<String> {
        snapshot.iter().map(|entry| entry.line().to_owned()).collect()
    }

    /// The changes of a record, as `slot: before -> after`.
    fn told(record: &Record) -> Vec<Vec<String>> {
        let value = |entry: Option<&Entry>| entry.map_or("", Entry::value_text).to_owned();
        let change = |it: &KeyChange| {
            let (before, after) = (value(it.before()), value(it.after()));
            format!("{} {}: {before} -> {after}", it.slot, it.key_text())
        };
        record.groups().map(|group| group.iter().map(change).collect()).collect()
    }

    #[test]
    fn each_operation_that_changed_something_has_one_group() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("a", "1"), set("b", "2"), set("a", "3")])));
        assert!(is_written(write(&mut draft, [delete("x")])));
        assert!(is_written(write(&mut draft, [])));
        assert!(is_written(write(&mut draft, [delete("a"), delete("x"), set("a", "4")])));
        assert!(is_written(write(&mut draft, [set("b", "2")])));
        let record = draft.finish();
        let expected: [&[&str]; 3] = [
            &[r#"0 "a":  -> 1"#, r#"1 "b":  -> 2"#, r#"0 "a": 1 -> 3"#],
            &[r#"0 "a": 3 -> "#, r#"2 "a":  -> 4"#],
            &[r#"1 "b": 2 -> 2"#],
        ];
        assert_eq!(told(&record), expected);
        assert!(!record.is_empty() && !record.cleared() && !record.leaves_nothing());
    }

    #[test]
    fn a_batch_that_changes_nothing_leaves_an_empty_record() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [delete("x")])));
        for operation in [Operation::Checkpoint, Operation::Close, Operation::Read([].into())] {
            assert!(draft.evaluate(&operation).is_ok());
        }
        assert!(draft.finish().is_empty());
    }

    #[test]
    fn a_write_answers_with_what_was_and_what_is_there() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        let outcome = write(&mut draft, [add("a", "2", "5"), add("a", "0.5", "0"), delete("a")]);
        let Ok(Outcome::Written(written)) = outcome else { panic!("{outcome:?}") };
        let value = |entry: &Option<Entry>| entry.as_ref().map(|it| it.value_text().to_owned());
        let values = Vec::from_iter(written.iter().map(|it| (value(&it.before), value(&it.after))));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(values, [(None, some("7")), (some("7"), some("7.5")), (some("7.5"), None)]);
    }

    #[test]
    fn a_condition_that_does_not_hold_takes_the_whole_write_back() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("a", "1")])));
        let last = under(Condition::Exactly("1".into()), set("c", "1"));
        let outcome = write(
            &mut draft,
            [
                set("b", "1"),
                set("a", "2"),
                delete("a"),
                under(Condition::Absent, set("a", "3")),
                under(Condition::Present, set("c", "4")),
                last,
            ],
        );
        assert!(matches!(outcome, Ok(Outcome::Unmet { index: 4, found: None })), "{outcome:?}");
        let outcome = write(&mut draft, [set("b", "1"), under(Condition::Absent, delete("a"))]);
        let Ok(Outcome::Unmet { index: 1, found: Some(found) }) = outcome else { panic!() };
        assert_eq!(found.line(), r#""a": 1"#);
        assert_eq!(lines(&draft.snapshot()), [r#""a": 1"#]);
        assert!(is_written(write(&mut draft, [set("b", "2")])));
        assert_eq!(told(&draft.finish()), [[r#"0 "a":  -> 1"#], [r#"1 "b":  -> 2"#]]);
    }

    #[test]
    fn adding_to_what_is_no_number_is_an_error_and_the_batch_goes_on() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        let text = format!("\"{}\"", "ä".repeat(50));
        assert!(is_written(write(&mut draft, [set("a", &text)])));
        let error = write(&mut draft, [set("b", "1"), add("a", "1", "0")]).expect_err("a string");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot add to the value of \"a\": it is not a number but \"{}...",
                "ä".repeat(39)
            )
        );
        assert!(draft.get(b"b").is_none());
        assert!(is_written(write(&mut draft, [add("b", "1", "-3")])));
        assert_eq!(draft.get(b"b").expect("was added").value_text(), "-2");
    }

    #[test]
    fn a_sum_that_is_no_finite_number_is_refused() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        for write_refused in [add("a", "1e308", "1e308"), add("a", "x", "1"), add("a", "1", "x")] {
            let outcome = write(&mut draft, [write_refused]);
            assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
        }
        assert!(draft.finish().is_empty());
    }

    #[test]
    fn clearing_forgets_earlier_changes_of_the_same_draft() {
        let mut state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("a", "1")])));
        let record = draft.finish();
        drop(state.install(record));
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("b", "2"), delete("a")])));
        assert!(matches!(draft.evaluate(&Operation::Clear), Ok(Outcome::Done)));
        assert!(draft.get(b"a").is_none() && draft.get(b"b").is_none());
        assert!(is_written(write(&mut draft, [set("c", "3"), delete("a")])));
        let record = draft.finish();
        assert!(record.cleared() && !record.is_empty() && !record.leaves_nothing());
        assert_eq!(told(&record), [[r#"0 "c":  -> 3"#]]);
        let (cleared, _) = state.install(record);
        assert!(cleared.expect("was cleared").get(b"a").is_some());
        assert_eq!(lines(&state.snapshot()), [r#""c": 3"#]);
    }

    #[test]
    fn a_record_tells_whether_anything_is_left_after_a_clear() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(!Record::default().leaves_nothing() && Record::default().is_empty());
        assert!(draft.evaluate(&Operation::Clear).is_ok());
        assert!(is_written(write(&mut draft, [set("a", "1"), set("b", "1"), set("a", "2")])));
        assert!(is_written(write(&mut draft, [delete("a"), delete("b")])));
        let record = draft.finish();
        assert!(record.leaves_nothing() && !record.is_empty());
    }

    #[test]
    fn reads_see_the_changes_before_them() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("a:1", "1"), set("b", "2"), set("a:2", "3")])));
        let keys = ["b", "x", "a:2"].map(|key| key.as_bytes().into());
        let Ok(Outcome::Read(found)) = draft.evaluate(&Operation::Read(keys.into())) else {
            panic!("a read cannot fail")
        };
        let found = Vec::from_iter(found.iter().map(|it| it.as_ref().map(Entry::line)));
        assert_eq!(found, [Some(r#""b": 2"#), None, Some(r#""a:2": 3"#)]);
        let prefix = Operation::ReadPrefix(b"a:".as_slice().into());
        let Ok(Outcome::Snapshot(snapshot)) = draft.evaluate(&prefix) else {
            panic!("a read cannot fail")
        };
        assert!(is_written(write(&mut draft, [set("a:3", "4")])));
        assert_eq!(lines(&snapshot), [r#""a:1": 1"#, r#""a:2": 3"#]);
    }

    #[test]
    fn a_write_may_depend_on_what_a_prefix_lists() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        assert!(is_written(write(&mut draft, [set("a:1", "1"), set("b", "2")])));
        let listed = draft.snapshot_of(b"a:");
        let if_unchanged = || {
            let change = Change::Keep(b"a:".as_slice().into());
            Write { condition: Condition::Lists(listed.clone()), change }
        };
        assert!(is_written(write(&mut draft, [if_unchanged(), set("b", "3")])));
        for change in [set("a:1", "4"), set("a:2", "1"), delete("a:1")] {
            let mut draft = Draft::new(&state);
            assert!(is_written(write(&mut draft, [set("a:1", "1"), change])));
            let outcome = write(&mut draft, [if_unchanged(), set("b", "3")]);
            assert!(matches!(outcome, Ok(Outcome::Unmet { index: 0, found: None })));
        }
    }

    #[test]
    fn lines_of_the_journal_become_groups_of_their_own() {
        let state = State::default();
        let mut draft = Draft::new(&state);
        draft.replay_set(entry("a", "1"));
        draft.replay_delete(b"x");
        draft.replay_set(entry("b", "2"));
        draft.replay_delete(b"a");
        let expected = [[r#"0 "a":  -> 1"#], [r#"1 "b":  -> 2"#], [r#"0 "a": 1 -> "#]];
        assert_eq!(told(&draft.finish()), expected);
    }

    /// What a store with few keys holds, as a plain list of keys and values in order.
    type List = Vec<(&'static str, String)>;

    const KEYS: [&str; 5] = ["a", "ab", "b", "ba", "bb"];
    const PREFIXES: [&str; 5] = ["a", "b", "ba", "x", ""];

    fn writes() -> impl Strategy<Value = Write> {
        let key = || prop::sample::select(&KEYS[..]);
        let value = || prop::sample::select(&["1", "2", "-1", "\"x\"", "0.5"][..]);
        let spelled = |key: &str, escaped: bool| match escaped {
            true => format!("\\u{:04x}{}", key.as_bytes()[0], &key[1..]),
            false => key.to_owned(),
        };
        let change = prop_oneof![
            4 => (key(), value(), any::<bool>()).prop_map(move |(key, value, escaped)| {
                Change::Set(entry(&spelled(key, escaped), value))
            }),
            3 => key().prop_map(|key| Change::Delete(key.as_bytes().into())),
            1 => key().prop_map(|key| Change::Keep(key.as_bytes().into())),
            3 => (key(), value(), value()).prop_map(|(key, amount, initial)| {
                Change::Add { amount: entry(key, amount), initial: initial.into() }
            }),
        ];
        let condition = prop_oneof![
            12 => Just(Condition::Anything),
            1 => Just(Condition::Absent),
            1 => Just(Condition::Present),
            1 => value().prop_map(|value| Condition::Exactly(value.into())),
        ];
        (condition, change).prop_map(|(condition, change)| Write { condition, change })
    }

    fn operations() -> impl Strategy<Value = Operation> {
        prop_oneof![
            12 => prop::collection::vec(writes(), 0..6).prop_map(|it| Operation::Write(it.into())),
            2 => (prop::sample::select(&PREFIXES[..]), prop::option::of(0..3)).prop_map(
                |(prefix, older_than)| Operation::DeletePrefix {
                    prefix: prefix.as_bytes().into(),
                    older_than: older_than.map(f64::from),
                },
            ),
            1 => Just(Operation::Clear),
        ]
    }

    /// What a write does to a plain list. `None` if it must not happen.
    fn change_list(list: &mut List, write: &Write) -> Option<()> {
        let key = write.key();
        let key = *KEYS.iter().find(|it| it.as_bytes() == &*key)?;
        let at = list.iter().position(|it| it.0 == key);
        let found = at.map(|at| list[at].1.clone());
        let is_met = match &write.condition {
            Condition::Anything => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Exactly(text) => found.as_deref() == Some(text),
            Condition::Lists(_) => unreachable!("a test of its own"),
        };
        let value = match &write.change {
            _ if !is_met => return None,
            Change::Delete(_) => {
                at.map(|at| list.remove(at));
                return Some(());
            }
            Change::Set(entry) => entry.value_text().to_owned(),
            Change::Add { amount, initial } => {
                number::add(found.as_deref().unwrap_or(initial), amount.value_text())?
            }
            Change::Keep(_) => return Some(()),
        };
        match at {
            Some(at) => list[at].1 = value,
            None => list.push((key, value)),
        }
        Some(())
    }

    fn assert_holds<'entry>(
        snapshot: &Snapshot,
        get: impl Fn(&[u8]) -> Option<&'entry Entry>,
        list: &List,
    ) {
        let pair = |entry: &Entry| {
            let key = String::from_utf8_lossy(&entry.key()).into_owned();
            (key, entry.value_text().to_owned())
        };
        let found = Vec::from_iter(snapshot.iter().map(pair));
        let expected =
            Vec::from_iter(list.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        assert_eq!(found, expected);
        assert_eq!(snapshot.len(), list.len());
        for key in KEYS {
            let found = get(key.as_bytes()).map(Entry::value_text);
            let expected = list.iter().find(|it| it.0 == key).map(|it| &*it.1);
            assert_eq!(found, expected);
        }
    }

    /// Does an operation to a plain list. Returns whether it happened.
    fn evaluate_on_list(list: &mut List, operation: &Operation) -> bool {
        let mut changed = list.clone();
        let happened = match operation {
            Operation::Write(writes) => {
                writes.iter().all(|write| change_list(&mut changed, write).is_some())
            }
            Operation::DeletePrefix { prefix, older_than } => {
                changed.retain(|(key, value)| {
                    let time = value.parse::<f64>().ok();
                    let is_old = |limit: &f64| time.is_some_and(|time| time < *limit);
                    !key.as_bytes().starts_with(prefix) || !older_than.as_ref().is_none_or(is_old)
                });
                true
            }
            _ => {
                changed.clear();
                true
            }
        };
        if happened {
            *list = changed;
        }
        happened
    }

    /// The lines that the journal gets for a record, applied to a state as a reader would.
    fn replay(state: &State, record: &Record) -> Record {
        let mut draft = Draft::new(state);
        if record.cleared() {
            draft.clear();
        }
        for change in record.groups().flatten() {
            match change.after() {
                Some(entry) => draft.replay_set(entry.clone()),
                None => draft.replay_delete(&crate::json::decode_string(change.key_text())),
            }
        }
        draft.finish()
    }

    proptest! {
        #[test]
        fn drafts_and_states_agree_with_a_plain_list(
            batches in prop::collection::vec(prop::collection::vec(operations(), 0..12), 1..6),
        ) {
            let mut state = State::default();
            let mut list = List::new();
            for batch in batches {
                let before = state.snapshot();
                let mut draft = Draft::new(&state);
                for operation in &batch {
                    let happened = evaluate_on_list(&mut list, operation);
                    let outcome = draft.evaluate(operation);
                    let is_done = matches!(outcome, Ok(Outcome::Written(_) | Outcome::Done));
                    prop_assert_eq!(is_done, happened, "{:?}", outcome);
                    assert_holds(&draft.snapshot(), |key| draft.get(key), &list);
                    for prefix in PREFIXES {
                        let found = lines(&draft.snapshot_of(prefix.as_bytes()));
                        let listed = list.iter().filter(|it| it.0.starts_with(prefix));
                        prop_assert_eq!(found.len(), listed.count());
                    }
                }
                let record = draft.finish();
                let replayed = state.snapshot_with(&replay(&state, &record));
                prop_assert_eq!(lines(&replayed), lines(&state.snapshot_with(&record)));
                prop_assert_eq!(lines(&before), lines(&state.snapshot()));
                prop_assert!(record.groups().count() <= batch.len());
                prop_assert!(record.groups().all(|group| !group.is_empty()));
                prop_assert_eq!(record.leaves_nothing(), record.cleared() && list.is_empty());
                drop(state.install(record));
                assert_holds(&state.snapshot(), |key| state.get(key), &list);
            }
        }
    }
}
