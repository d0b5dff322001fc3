//! What a store must hold and answer: an ordered map, and what may stand in its file.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::reference;

/// What an operation answers. Values are as in [`reference::Entry::value`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Value(Option<String>),
    All(Vec<(String, String)>),
    /// The value cannot be stored.
    Refused,
    /// The file is damaged.
    Corrupt,
}

/// A store as it should be.
#[derive(Default)]
pub(crate) struct Model {
    /// The number that says where in the order a key stands, and its value.
    entries: BTreeMap<String, (u64, String)>,
    added: u64,
    file: File,
    /// Whether the store was cleared since the file was last looked at.
    cleared: bool,
}

/// What is in the file.
#[derive(Default)]
enum File {
    #[default]
    Missing,
    /// The entries, in our own layout.
    Ours,
    /// What somebody wrote there, which is left as it is until something changes.
    Edited(Vec<u8>),
    /// What somebody wrote there, which only `clear` removes.
    Damaged(Vec<u8>),
}

impl Model {
    pub(crate) fn get(&self, key: &str) -> Answer {
        self.unless_damaged(|| Answer::Value(self.entries.get(key).map(|(_, value)| value.clone())))
    }

    pub(crate) fn get_all(&self) -> Answer {
        self.unless_damaged(|| Answer::All(self.in_order()))
    }

    pub(crate) fn set(&mut self, key: String, value: String) -> Answer {
        if let File::Damaged(_) = self.file {
            return Answer::Corrupt;
        }
        self.put(key, value);
        self.file = File::Ours;
        Answer::Done
    }

    pub(crate) fn delete(&mut self, key: &str) -> Answer {
        if let File::Damaged(_) = self.file {
            return Answer::Corrupt;
        }
        if self.entries.remove(key).is_some() {
            self.file = File::Ours;
        }
        Answer::Done
    }

    pub(crate) fn clear(&mut self) -> Answer {
        self.entries.clear();
        self.file = File::Missing;
        self.cleared = true;
        Answer::Done
    }

    /// Somebody overwrites the file. Says whether the model can follow: a program in Rust cannot
    /// ask for keys with lone surrogates, nor for the text of numbers that are not finite.
    pub(crate) fn edit(&mut self, content: &[u8]) -> bool {
        let entries = match reference::read(content) {
            Ok(entries) => entries,
            Err(_) => {
                self.entries.clear();
                self.file = File::Damaged(content.to_vec());
                return true;
            }
        };
        let pair = |entry: reference::Entry| {
            serde_json::from_str::<&RawValue>(&entry.value).ok()?;
            Some((String::from_utf16(&entry.key).ok()?, entry.value))
        };
        let Some(pairs) = entries.into_iter().map(pair).collect::<Option<Vec<_>>>() else {
            return false;
        };
        self.entries.clear();
        pairs.into_iter().for_each(|(key, value)| self.put(key, value));
        self.file = File::Edited(content.to_vec());
        true
    }

    /// Compares with the file, once every operation was answered.
    pub(crate) fn check_file(&mut self, content: Option<&[u8]>) {
        match (&self.file, content) {
            (File::Missing, found) => assert_eq!(found, None, "there should be no file"),
            (File::Edited(edited) | File::Damaged(edited), found) => {
                assert_eq!(found, Some(&**edited), "nobody should touch what was edited");
            }
            (File::Ours, None) => {
                // Clearing and deleting what was set since may have become one step.
                assert!(self.cleared && self.entries.is_empty(), "there should be a file");
                self.file = File::Missing;
            }
            (File::Ours, Some(content)) => {
                let text = str::from_utf8(content).expect("what is written is UTF-8");
                let entries = reference::read(content).expect("what is written is valid");
                let key = |entry: &reference::Entry| String::from_utf16(&entry.key);
                let pair = |entry: reference::Entry| {
                    (key(&entry).expect("no lone surrogates were stored"), entry.value)
                };
                assert_eq!(entries.into_iter().map(pair).collect::<Vec<_>>(), self.in_order());
                reference::check_layout(text);
            }
        }
        self.cleared = false;
    }

    fn unless_damaged(&self, answer: impl FnOnce() -> Answer) -> Answer {
        if let File::Damaged(_) = self.file { Answer::Corrupt } else { answer() }
    }

    fn put(&mut self, key: String, value: String) {
        self.added += 1;
        let place = self.entries.get(&key).map_or(self.added, |(place, _)| *place);
        self.entries.insert(key, (place, value));
    }

    fn in_order(&self) -> Vec<(String, String)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, (place, _))| *place);
        entries.into_iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }
}
