//! What a store must hold and answer: an ordered map, and what may stand in its file.
//!
//! Texts of values are compared by their tokens, as [`reference::tokens`] gives them: white space
//! between tokens may go.

use std::collections::BTreeMap;

use aiokv::Error;
use aiokv::binding::{Change, Condition, Entry, Operation, Outcome, Snapshot, Write, Written};

use crate::reference::{self, Sum};

/// A key in UTF-16, which has lone surrogates too.
type Key = Vec<u16>;

/// A store as it should be.
#[derive(Default)]
pub(crate) struct Model {
    entries: Entries,
    file: File,
    /// Whether the store was cleared since the file was last looked at.
    cleared: bool,
    /// The file that a journal continues, and the entries of both, since another content came into
    /// the place of that file.
    misfit: Option<(Option<Vec<u8>>, Entries)>,
}

#[derive(Clone, Default)]
struct Entries {
    /// The number that says where in the order a key stands, and its value.
    map: BTreeMap<Key, (u64, String)>,
    added: u64,
}

/// What is in the file.
#[derive(Default)]
enum File {
    #[default]
    Missing,
    /// The entries, in our own layout, together with a journal if there is one.
    Ours,
    /// What was edited, which is left as it is until something changes.
    Edited(Vec<u8>),
    /// What only `clear` removes: a content that is not valid, or one beside a journal that
    /// continues another.
    Damaged(Option<Vec<u8>>),
}

impl Model {
    /// Carries an operation out and compares with the answer that it got.
    pub(crate) fn check(&mut self, operation: &Operation, answer: &Result<Outcome, Error>) {
        if let Operation::Clear = operation {
            self.clear();
            assert!(matches!(answer, Ok(Outcome::Done)), "{operation:?}: {answer:?}");
            return;
        }
        match (operation, answer) {
            // Nothing has to be read for it if this process changed nothing.
            (Operation::Close, Ok(Outcome::Done)) => {}
            (_, Err(Error::Corrupt(_))) => {
                assert!(self.is_damaged(), "nothing is damaged: {operation:?}: {answer:?}");
            }
            _ if self.is_damaged() => panic!("the file is damaged: {operation:?}: {answer:?}"),
            (Operation::Read(keys), Ok(Outcome::Read(found))) => {
                assert_eq!(keys.len(), found.len(), "{operation:?}: {answer:?}");
                keys.iter().zip(found).for_each(|(key, entry)| self.check_get(key, entry.as_ref()));
            }
            (Operation::ReadPrefix(prefix), Ok(Outcome::Snapshot(snapshot))) => {
                self.check_all(prefix, snapshot.iter());
            }
            (
                Operation::Survey { keys, prefixes },
                Ok(Outcome::Surveyed { entries, listings }),
            ) => {
                assert_eq!((keys.len(), prefixes.len()), (entries.len(), listings.len()));
                keys.iter().zip(entries).for_each(|(key, it)| self.check_get(key, it.as_ref()));
                for (prefix, listing) in prefixes.iter().zip(listings) {
                    self.check_all(prefix, listing.iter());
                }
            }
            (Operation::DeletePrefix { prefix, older_than }, Ok(Outcome::Written(written))) => {
                self.delete_prefix(prefix, *older_than, written);
                if is_change(answer) {
                    self.file = File::Ours;
                }
            }
            (Operation::Write(writes), answer) => {
                let before = self.entries.clone();
                if self.write(writes, answer) {
                    if is_change(answer) {
                        self.file = File::Ours;
                    }
                } else {
                    self.entries = before;
                }
            }
            (Operation::Checkpoint, Ok(Outcome::Done)) => {}
            _ => panic!("an answer of another kind: {operation:?}: {answer:?}"),
        }
    }

    /// Compares with an entry that was read.
    pub(crate) fn check_get(&self, key: &[u8], found: Option<&Entry>) {
        let expected = self.entries.map.get(&reference::utf_16_of_key(key));
        assert_eq!(found.map(tokens), expected.map(|(_, value)| value.clone()), "key {key:?}");
    }

    /// Compares with all entries that were read.
    pub(crate) fn check_all<'entry>(
        &self,
        prefix: &[u8],
        found: impl Iterator<Item = &'entry Entry>,
    ) {
        let found = found.map(|entry| (reference::utf_16(entry.key_text()), tokens(entry)));
        assert_eq!(found.collect::<Vec<_>>(), self.entries.below(prefix));
    }

    /// Deletes what has a prefix, and is a time before a limit if there is one, and compares with
    /// what was said to be deleted.
    fn delete_prefix(&mut self, prefix: &[u8], older_than: Option<f64>, told: &[Written]) {
        let is_old = |value: &str| match older_than {
            None => true,
            Some(limit) => reference::time(value).is_some_and(|time| time < limit),
        };
        let mut expected = self.entries.below(prefix);
        expected.retain(|(_, value)| is_old(value));
        let told = told.iter().map(|Written { before, after }| {
            assert!(after.is_none(), "it was not deleted: {after:?}");
            let before = before.as_ref().expect("only what is there is deleted");
            (reference::utf_16(before.key_text()), tokens(before))
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
        for (key, _) in expected {
            self.entries.map.remove(&key);
        }
    }

    /// Whether a listing is that of a prefix.
    fn lists(&self, prefix: &[u8], listing: &Snapshot) -> bool {
        let listed = listing.iter().map(|it| (reference::utf_16(it.key_text()), tokens(it)));
        listed.eq(self.entries.below(prefix))
    }

    /// Another program writes the file, or removes it. `before` is the file as it is, and whether
    /// it has a journal.
    pub(crate) fn edit(&mut self, content: Option<&[u8]>, before: (Option<&[u8]>, bool)) {
        let (file, has_journal) = before;
        if has_journal {
            let entries = std::mem::take(&mut self.entries);
            let (base, entries) =
                self.misfit.take().unwrap_or_else(|| (file.map(<[u8]>::to_vec), entries));
            if base.as_deref() == content {
                self.entries = entries;
                self.file = File::Ours;
            } else {
                self.misfit = Some((base, entries));
                self.file = File::Damaged(content.map(<[u8]>::to_vec));
            }
            return;
        }
        self.entries = Entries::default();
        self.file = match content.map(|content| (content, reference::read(content))) {
            None => File::Missing,
            Some((content, Ok(entries))) => {
                entries.into_iter().for_each(|entry| self.entries.put(entry.key, entry.value));
                File::Edited(content.to_vec())
            }
            Some((content, Err(_))) => File::Damaged(Some(content.to_vec())),
        };
    }

    /// Compares with the file, once every operation was answered and nothing is left to do.
    pub(crate) fn check_file(&mut self, content: Option<&[u8]>, has_journal: bool) {
        match (&self.file, content) {
            (File::Missing, found) => {
                assert_eq!(found, None, "there should be no file");
                assert!(!has_journal, "there should be no journal");
            }
            (File::Edited(edited), found) => {
                assert_eq!(found, Some(&**edited), "nobody should touch what was edited");
                assert!(!has_journal, "nothing has changed that a journal could hold");
            }
            (File::Damaged(damaged), found) => {
                assert_eq!(found, damaged.as_deref(), "nobody should touch what is damaged");
            }
            (File::Ours, None) => {
                assert!(!has_journal, "a journal needs its file");
                // Clearing and deleting what was set since may have become one step.
                assert!(self.cleared && self.entries.map.is_empty(), "there should be a file");
                self.file = File::Missing;
            }
            // What both hold together is read by a store.
            (File::Ours, Some(_)) if has_journal => {}
            (File::Ours, Some(content)) => {
                let text = str::from_utf8(content).expect("what is written is UTF-8");
                let entries = reference::read(content).expect("what is written is valid");
                let pairs = entries.into_iter().map(|entry| (entry.key, entry.value));
                assert_eq!(pairs.collect::<Vec<_>>(), self.entries.in_order());
                reference::check_layout(text);
            }
        }
        self.cleared = false;
    }

    /// Whether everything but clearing fails.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.file, File::Damaged(_))
    }

    fn clear(&mut self) {
        self.entries = Entries::default();
        self.file = File::Missing;
        self.misfit = None;
        self.cleared = true;
    }

    /// Makes the changes of one operation, up to the first that cannot be made, and compares with
    /// the answer. Says whether all of them were made.
    fn write(&mut self, writes: &[Write], answer: &Result<Outcome, Error>) -> bool {
        let written = match answer {
            Ok(Outcome::Written(written)) => Some(written),
            _ => None,
        };
        for (index, write) in writes.iter().enumerate() {
            if let Condition::Lists(listing) = &write.condition {
                let unmet = matches!(answer, Ok(Outcome::Unmet { index: unmet, .. }) if *unmet == index);
                if unmet {
                    // A listing of the same tokens may be spelled in another way.
                    return false;
                }
                let stopped = written.is_none();
                assert!(stopped || self.lists(&write.key(), listing), "{listing:?}: {answer:?}");
            }
            let key = reference::utf_16_of_key(&write.key());
            let found = self.entries.map.get(&key).map(|(_, value)| value.clone());
            let told = written.map(|written| &written[index]);
            let told_found = match answer {
                Ok(Outcome::Unmet { index: unmet, found }) if *unmet == index => found.as_ref(),
                Ok(Outcome::Written(_)) => told.and_then(|told| told.before.as_ref()),
                // It stopped at a later write.
                _ => None,
            };
            if !holds(&write.condition, found.as_deref(), told_found) {
                let Ok(Outcome::Unmet { index: unmet, found: told }) = answer else {
                    panic!("{:?} does not hold: {answer:?}", write.condition);
                };
                assert_eq!(*unmet, index, "{answer:?}");
                assert_eq!(told.as_ref().map(tokens), found, "{answer:?}");
                return false;
            }
            let after = match &write.change {
                Change::Set(entry) => Some(tokens(entry)),
                Change::Delete(_) => None,
                Change::Keep(_) => {
                    if let Some(told) = told {
                        assert_eq!(told.before.as_ref().map(tokens), found, "{answer:?}");
                        assert_eq!(told.after.as_ref().map(tokens), found, "{answer:?}");
                    }
                    continue;
                }
                Change::Add { amount, initial } => {
                    let summands = (found.as_deref().unwrap_or(initial), amount.value_text());
                    match reference::sum(summands.0, summands.1) {
                        Some(sum) => Some(check_sum(&sum, told)),
                        None => {
                            let refused = matches!(
                                answer,
                                Err(Error::NotANumber { .. } | Error::Refused { .. })
                            );
                            assert!(refused, "{summands:?} have no sum: {answer:?}");
                            return false;
                        }
                    }
                }
            };
            if let Some(told) = told {
                assert_eq!(told.before.as_ref().map(tokens), found, "{answer:?}");
                assert_eq!(told.after.as_ref().map(tokens), after, "{answer:?}");
            }
            match after {
                Some(value) => self.entries.put(key, value),
                None => drop(self.entries.map.remove(&key)),
            }
        }
        assert!(written.is_some_and(|it| it.len() == writes.len()), "{writes:?}: {answer:?}");
        true
    }
}

impl Entries {
    /// What has a prefix.
    fn below(&self, prefix: &[u8]) -> Vec<(Key, String)> {
        let prefix = reference::utf_16_of_key(prefix);
        let mut below = self.in_order();
        below.retain(|(key, _)| key.starts_with(&prefix));
        below
    }

    fn put(&mut self, key: Key, value: String) {
        self.added += 1;
        let place = self.map.get(&key).map_or(self.added, |(place, _)| *place);
        self.map.insert(key, (place, value));
    }

    fn in_order(&self) -> Vec<(Key, String)> {
        let mut entries: Vec<_> = self.map.iter().collect();
        entries.sort_by_key(|(_, (place, _))| *place);
        entries.into_iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }
}

/// Whether a condition holds. That two texts of the same tokens differ is known to the store only,
/// which says what it found.
fn holds(condition: &Condition, found: Option<&str>, told: Option<&Entry>) -> bool {
    match condition {
        // A listing is compared apart.
        Condition::Anything | Condition::Lists(_) => true,
        Condition::Absent => found.is_none(),
        Condition::Present => found.is_some(),
        Condition::Exactly(text) => {
            found == Some(&*reference::tokens(text))
                && told.is_none_or(|told| told.value_text() == &**text)
        }
    }
}

/// The text of a sum, which for a float is that of the answer.
fn check_sum(sum: &Sum, told: Option<&Written>) -> String {
    match (sum, told) {
        (Sum::Int(text), _) => text.clone(),
        // A later write cannot be made, so this one is not either.
        (Sum::Float(float), None) => serde_json::Value::from(*float).to_string(),
        (Sum::Float(float), Some(told)) => {
            let text = told.after.as_ref().map(tokens).expect("adding leaves a sum");
            let told: f64 = text.parse().expect("a sum is a number");
            assert_eq!(told.to_bits(), float.to_bits(), "{text} is not {float}");
            assert!(text.contains(['.', 'e']), "{text} should be a float");
            text
        }
    }
}

/// Whether something was there before, or is there after: writing what is there already is a change
/// too.
fn is_change(answer: &Result<Outcome, Error>) -> bool {
    match answer {
        Ok(Outcome::Written(written)) => {
            written.iter().any(|it| it.before.is_some() || it.after.is_some())
        }
        _ => false,
    }
}

fn tokens(entry: &Entry) -> String {
    reference::tokens(entry.value_text())
}
