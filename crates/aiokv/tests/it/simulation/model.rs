//! What a store is, for those who check it: a map, requests that take effect at once, and what
//! they answer.

use std::fmt;

/// The names of the keys. A value is a number; a negative one stands for a string of that length.
pub(crate) const KEYS: [&str; 4] = ["a", "ab", "b", "pad"];
/// The index of the key whose values only take space.
pub(crate) const PAD: usize = 3;
/// What keys may start with.
pub(crate) const PREFIXES: [&str; 4] = ["", "a", "ab", "b"];

/// The value of each key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Contents(pub(crate) [Option<i64>; KEYS.len()]);

impl Contents {
    /// What is there under the keys with a prefix.
    pub(crate) fn below(self, prefix: usize) -> Self {
        let value = |key: usize| self.0[key].filter(|_| has_prefix(key, prefix));
        Self(std::array::from_fn(value))
    }
}

/// Whether a key starts with a prefix.
fn has_prefix(key: usize, prefix: usize) -> bool {
    KEYS[key].starts_with(PREFIXES[prefix])
}

impl fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = KEYS.iter().zip(self.0).filter_map(|(key, value)| Some((key, value?)));
        formatter.write_str("{")?;
        for (index, (key, value)) in present.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(formatter, "{comma}{key}: {value}")?;
        }
        formatter.write_str("}")
    }
}

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// A store.
    Whole(Contents),
    /// Something that no operation but a clear accepts.
    Damaged,
}

/// What a process, or an outsider, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A look at memory, and a read if that does not know.
    Get(usize),
    Read(Vec<usize>),
    ReadAll,
    /// Some keys, and what has some prefixes.
    Survey(Vec<usize>, Vec<usize>),
    Write(Vec<KeyWrite>),
    /// Writes, if there is still under a prefix what the process found there last.
    WriteIfListed(usize, Option<Contents>, Vec<KeyWrite>),
    /// Deletes the keys with a prefix, or those of them whose value is a number below another one.
    DeletePrefix(usize, Option<i64>),
    Clear,
    Checkpoint,
    Close,
    /// An outsider leaves this on the disk.
    Edit(State),
}

/// A change of one key under a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyWrite {
    pub(crate) key: usize,
    pub(crate) condition: Condition,
    pub(crate) change: Change,
}

impl fmt::Debug for KeyWrite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}", KEYS[self.key], self.change)?;
        match self.condition {
            Condition::Anything => Ok(()),
            condition => write!(formatter, " if {condition:?}"),
        }
    }
}

/// What has to be there under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Anything,
    Absent,
    Present,
    Exactly(i64),
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Set(i64),
    Delete,
    Keep,
    /// To what is there, or to 0.
    Add(i64),
}

/// What a request answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Read(Vec<Option<i64>>),
    All(Contents),
    Surveyed(Vec<Option<i64>>, Vec<Contents>),
    /// What was deleted.
    Deleted(Contents),
    /// The values before and after each write.
    Written(Vec<(Option<i64>, Option<i64>)>),
    Unmet {
        index: usize,
        found: Option<i64>,
    },
    /// The prefix lists something else.
    Unlisted,
    Done,
    /// The error that says that the disk is damaged.
    Corrupt,
}

impl Request {
    /// Whether it may answer this in this state, although it could do what was asked: keys are listed
    /// in their order, which the model does not know.
    pub(crate) fn may_refuse(&self, reply: &Reply, state: State) -> bool {
        match (self, reply, state) {
            (
                Self::WriteIfListed(prefix, Some(listed), _),
                Reply::Unlisted,
                State::Whole(found),
            ) => {
                let found = found.below(*prefix);
                found == *listed && found.0.iter().flatten().count() > 1
            }
            _ => false,
        }
    }

    /// Whether it may change what the store holds.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Write(_) | Self::WriteIfListed(..) | Self::DeletePrefix(..) => true,
            Self::Clear | Self::Edit(_) => true,
            Self::Get(_) | Self::Read(_) | Self::ReadAll | Self::Survey(..) => false,
            Self::Checkpoint | Self::Close => false,
        }
    }

    /// The keys that it is about, as bits.
    fn keys(&self) -> u8 {
        let bits = |keys: &mut dyn Iterator<Item = usize>| keys.map(|key| 1 << key).sum();
        let below = |prefix: usize| -> u8 {
            bits(&mut (0..KEYS.len()).filter(|key| has_prefix(*key, prefix)))
        };
        match self {
            Self::Get(key) => 1 << key,
            Self::Read(keys) => keys.iter().fold(0, |all, key| all | 1 << key),
            Self::Survey(keys, prefixes) => {
                let all = keys.iter().fold(0, |all, key| all | 1 << key);
                prefixes.iter().fold(all, |all, prefix| all | below(*prefix))
            }
            // What a write only depends on makes no other request wait.
            Self::Write(writes) | Self::WriteIfListed(_, _, writes) => {
                writes.iter().fold(0, |all, write| all | 1 << write.key)
            }
            Self::DeletePrefix(prefix, _) => below(*prefix),
            Self::ReadAll | Self::Clear | Self::Edit(_) => bits(&mut (0..KEYS.len())),
            Self::Checkpoint | Self::Close => 0,
        }
    }

    /// Whether the order of two requests of one process matters. Writes keep their order.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        let writes = [self.is_write(), other.is_write()];
        writes == [true, true] || writes != [false, false] && self.keys() & other.keys() != 0
    }

    /// What it answers in a state, and the state after it.
    pub(crate) fn apply(&self, state: State) -> (Reply, State) {
        let contents = match (self, state) {
            (Self::Edit(after), _) => return (Reply::Done, *after),
            (Self::Clear, _) => return (Reply::Done, State::Whole(Contents::default())),
            (_, State::Damaged) => return (Reply::Corrupt, state),
            (_, State::Whole(contents)) => contents,
        };
        let reply = match self {
            Self::Get(key) => Reply::Read(vec![contents.0[*key]]),
            Self::Read(keys) => Reply::Read(keys.iter().map(|&key| contents.0[key]).collect()),
            Self::ReadAll => Reply::All(contents),
            Self::Survey(keys, prefixes) => Reply::Surveyed(
                keys.iter().map(|&key| contents.0[key]).collect(),
                prefixes.iter().map(|&prefix| contents.below(prefix)).collect(),
            ),
            Self::Write(writes) => return write(contents, writes),
            Self::WriteIfListed(prefix, listed, writes) => {
                if *listed != Some(contents.below(*prefix)) {
                    return (Reply::Unlisted, state);
                }
                return write(contents, writes);
            }
            Self::DeletePrefix(prefix, older_than) => {
                return delete_prefix(contents, *prefix, *older_than);
            }
            Self::Clear | Self::Checkpoint | Self::Close | Self::Edit(_) => Reply::Done,
        };
        (reply, state)
    }
}

fn delete_prefix(contents: Contents, prefix: usize, older_than: Option<i64>) -> (Reply, State) {
    let is_old = |value: i64| older_than.is_none_or(|limit| (0..limit).contains(&value));
    let mut deleted = contents.below(prefix);
    deleted.0.iter_mut().for_each(|value| *value = value.filter(|value| is_old(*value)));
    let left = |key: usize| contents.0[key].filter(|_| deleted.0[key].is_none());
    (Reply::Deleted(deleted), State::Whole(Contents(std::array::from_fn(left))))
}

fn write(contents: Contents, writes: &[KeyWrite]) -> (Reply, State) {
    let mut after = contents;
    let mut written = Vec::new();
    for (index, write) in writes.iter().enumerate() {
        let found = after.0[write.key];
        let is_met = match write.condition {
            Condition::Anything => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Exactly(value) => found == Some(value),
        };
        if !is_met {
            return (Reply::Unmet { index, found }, State::Whole(contents));
        }
        after.0[write.key] = match write.change {
            Change::Set(value) => Some(value),
            Change::Delete => None,
            Change::Keep => found,
            Change::Add(amount) => Some(found.unwrap_or(0) + amount),
        };
        written.push((found, after.0[write.key]));
    }
    (Reply::Written(written), State::Whole(after))
}

/// The text of a value in the file.
pub(crate) fn value_text(value: i64) -> String {
    match usize::try_from(-value) {
        Ok(length) if length > 0 => format!("\"{}\"", "x".repeat(length)),
        _ => value.to_string(),
    }
}

/// The value that a text in the file stands for.
pub(crate) fn value_of(text: &str) -> Option<i64> {
    match text.strip_prefix('"') {
        Some(rest) => {
            let string = rest.strip_suffix('"')?;
            string.bytes().all(|byte| byte == b'x').then(|| -(string.len() as i64))
        }
        None => text.parse().ok(),
    }
}

/// The file that holds these contents.
pub(crate) fn file_of(contents: Contents) -> String {
    let present = KEYS.iter().zip(contents.0).filter_map(|(key, value)| Some((key, value?)));
    let entry = |(key, value)| format!("  \"{key}\": {}", value_text(value));
    let entries: Vec<_> = present.map(entry).collect();
    if entries.is_empty() {
        "{}\n".to_owned()
    } else {
        format!("{{\n{}\n}}\n", entries.join(",\n"))
    }
}

/// What a file holds: read by other code than that of the store.
pub(crate) fn contents_of(file: &[u8]) -> Option<Contents> {
    let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(file).ok()?;
    let mut contents = Contents::default();
    for (key, value) in read {
        let index = KEYS.iter().position(|known| **known == *key)?;
        contents.0[index] = Some(value_of(&value.to_string())?);
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        for contents in [[None; 4], [Some(1), None, Some(0), None], [None, None, None, Some(-9)]] {
            let contents = Contents(contents);
            assert_eq!(contents_of(file_of(contents).as_bytes()), Some(contents));
        }
        assert_eq!(contents_of(b"{\"a\": 1"), None);
    }

    #[test]
    fn writes_happen_in_their_order_and_together() {
        let set =
            |key, value| KeyWrite { key, condition: Condition::Absent, change: Change::Set(value) };
        let add = KeyWrite { key: 0, condition: Condition::Present, change: Change::Add(5) };
        let empty = State::Whole(Contents::default());
        let (reply, after) = Request::Write(vec![set(0, 1), add]).apply(empty);
        assert_eq!(reply, Reply::Written(vec![(None, Some(1)), (Some(1), Some(6))]));
        let (reply, unchanged) = Request::Write(vec![set(1, 1), set(0, 1)]).apply(after);
        assert_eq!(reply, Reply::Unmet { index: 1, found: Some(6) });
        assert_eq!(unchanged, after);
        let delete = |prefix, older_than| Request::DeletePrefix(prefix, older_than).apply(after).0;
        assert_eq!(delete(3, None), Reply::Deleted(Contents::default()));
        assert_eq!(delete(1, Some(6)), Reply::Deleted(Contents::default()));
        assert_eq!(delete(1, Some(7)), Reply::Deleted(Contents([Some(6), None, None, None])));
        let if_listed = |listed| Request::WriteIfListed(2, Some(Contents(listed)), vec![set(1, 1)]);
        assert_eq!(if_listed([None, Some(1), None, None]).apply(after).0, Reply::Unlisted);
        assert_eq!(if_listed([None; 4]).apply(after).0, Reply::Written(vec![(None, Some(1))]));
        assert_eq!(Request::ReadAll.apply(State::Damaged).0, Reply::Corrupt);
        assert_eq!(Request::Clear.apply(State::Damaged).1, empty);
    }
}
