//! What tests ask of a store, and what a store has to make of it.

use std::sync::{Arc, mpsc};

use aiokv::binding::{Change, Entry, Operation, Outcome, Snapshot, Waiter, Wake, Write};
use aiokv::{AioKv, Result};

/// An operation on a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Get(String),
    GetAll,
    Set(String, String),
    Delete(String),
    /// Sets the first keys and deletes the others, all or nothing.
    Group(Vec<(String, String)>, Vec<String>),
    Clear,
    Checkpoint,
    /// Closes the store, which goes on with the next request.
    Close,
}

impl Request {
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Set(..) | Self::Delete(_) | Self::Group(..) | Self::Clear => true,
            Self::Get(_) | Self::GetAll | Self::Checkpoint | Self::Close => false,
        }
    }

    /// The request as the engine has it.
    pub(crate) fn operation(&self) -> Operation {
        let bytes = |key: &str| key.as_bytes().into();
        match self {
            Self::Get(key) => Operation::Read([bytes(key)].into()),
            Self::GetAll => Operation::ReadPrefix(Box::default()),
            Self::Set(key, value) => Operation::Write([write_set(key, value)].into()),
            Self::Delete(key) => Operation::Write([write_delete(key)].into()),
            Self::Group(sets, deletions) => {
                let sets = sets.iter().map(|(key, value)| write_set(key, value));
                Operation::Write(
                    sets.chain(deletions.iter().map(|key| write_delete(key))).collect(),
                )
            }
            Self::Clear => Operation::Clear,
            Self::Checkpoint => Operation::Checkpoint,
            Self::Close => Operation::Close,
        }
    }
}

fn write_set(key: &str, value: &str) -> Write {
    Write::unconditional(Change::Set(Entry::new(&json(key), &json(value))))
}

fn write_delete(key: &str) -> Write {
    Write::unconditional(Change::Delete(key.as_bytes().into()))
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

pub(crate) fn get(key: &str) -> Request {
    Request::Get(key.to_owned())
}

pub(crate) fn set(key: &str, value: &str) -> Request {
    Request::Set(key.to_owned(), value.to_owned())
}

pub(crate) fn delete(key: &str) -> Request {
    Request::Delete(key.to_owned())
}

/// Sets and deletes several keys, all or nothing.
pub(crate) fn group(sets: &[(&str, &str)], deletions: &[&str]) -> Request {
    let sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Request::Group(sets.collect(), deletions.iter().map(|key| (*key).to_owned()).collect())
}

/// The answer to a request.
pub(crate) type Reply = Result<Answer>;

/// Asks a store, for what its public operations do not have yet.
pub(crate) fn ask(store: &AioKv, request: &Request) -> Reply {
    let answer = submit(store, request)?;
    answer.recv().expect("every operation is answered").map(Answer::of)
}

/// Asks a store, and lets the answer come to another place. It does not need the store any more.
pub(crate) fn submit(store: &AioKv, request: &Request) -> Result<mpsc::Receiver<Result<Outcome>>> {
    struct Sender(mpsc::Sender<Result<Outcome>>);
    impl Waiter for Sender {
        fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
            self.0.send(answer).expect("the receiver waits");
            None
        }
    }
    let (sender, receiver) = mpsc::channel();
    store.submit(request.operation(), Box::new(Sender(sender)))?;
    Ok(receiver)
}

/// What a request that succeeded is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Value(Option<String>),
    All(Contents),
}

impl Answer {
    pub(crate) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Read(entries) => Self::Value(entries[0].as_ref().map(value)),
            Outcome::Snapshot(snapshot) => Self::All(Contents::of_snapshot(&snapshot)),
            Outcome::Written(_) | Outcome::Done => Self::Done,
            Outcome::Unmet { .. } | Outcome::Surveyed { .. } | Outcome::Changes(_) => {
                unreachable!("nothing of the kind was asked for")
            }
        }
    }
}

fn value(entry: &Entry) -> String {
    serde_json::from_str(entry.value_text()).expect("only strings are stored")
}

/// What a store holds: keys and values in the order of insertion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents(Vec<(String, String)>);

impl Contents {
    /// What an empty store holds after these requests.
    pub(crate) fn after_all(requests: &[Request]) -> Self {
        Self::default().after_more(requests)
    }

    /// What is there after these requests.
    pub(crate) fn after_more(self, requests: &[Request]) -> Self {
        requests.iter().fold(self, Self::after)
    }

    fn of_snapshot(snapshot: &Snapshot) -> Self {
        let pair = |entry: &Entry| {
            (
                String::from_utf8(entry.key().into_owned()).expect("only text is stored"),
                value(entry),
            )
        };
        Self(snapshot.iter().map(pair).collect())
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&String> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    /// What is there after a request.
    pub(crate) fn after(mut self, request: &Request) -> Self {
        match request {
            Request::Get(_) | Request::GetAll | Request::Checkpoint | Request::Close => {}
            Request::Set(key, value) => self.set(key, value),
            Request::Delete(key) => self.delete(key),
            Request::Group(sets, deletions) => {
                sets.iter().for_each(|(key, value)| self.set(key, value));
                deletions.iter().for_each(|key| self.delete(key));
            }
            Request::Clear => self.0.clear(),
        }
        self
    }

    fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(other, _)| other == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    fn delete(&mut self, key: &str) {
        self.0.retain(|(other, _)| other != key);
    }
}
