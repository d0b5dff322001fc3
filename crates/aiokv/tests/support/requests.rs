//! What tests ask of a store, and what a store has to make of it.

#![allow(dead_code, reason = "each test uses a part of it")]

use aiokv::{AioKv, Result};

use crate::simulated_disk::SimulatedDisk;
use crate::start::start;

/// An operation on a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Get(String),
    Set(String, String),
    Delete(String),
    Clear,
    /// Closes the store, which goes on with the next request.
    Close,
}

impl Request {
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::Close)
    }

    /// Starts when it is first polled. Answers with the value of a `Get`.
    pub(crate) async fn send(&self, store: &AioKv) -> Reply {
        match self {
            Self::Get(key) => store.get(key).await,
            Self::Set(key, value) => store.set(key, value).await.map(|()| None),
            Self::Delete(key) => store.delete(key).await.map(|()| None),
            Self::Clear => store.clear().await.map(|()| None),
            Self::Close => store.close().await.map(|()| None),
        }
    }
}

/// The answer to a request: the value for a `Get`, otherwise nothing.
pub(crate) type Reply = Result<Option<String>>;

/// What a store holds: keys and values in the order of insertion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents(Vec<(String, String)>);

impl Contents {
    /// What a store says it holds.
    pub(crate) fn of(store: &AioKv) -> Result<Self> {
        pollster::block_on(store.get_all()).map(Self)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&String> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    /// What is there after a request.
    pub(crate) fn after(mut self, request: &Request) -> Self {
        match request {
            Request::Get(_) | Request::Close => {}
            Request::Set(key, value) => match self.0.iter_mut().find(|(other, _)| other == key) {
                Some((_, old)) => old.clone_from(value),
                None => self.0.push((key.clone(), value.clone())),
            },
            Request::Delete(key) => self.0.retain(|(other, _)| other != key),
            Request::Clear => self.0.clear(),
        }
        self
    }
}

/// Starts requests in their order, all of them before the first is done, and waits for the
/// replies. A request that would start after the machine stopped is left out. After `Close` there
/// are no others.
///
/// Of several requests come two batches, always the same: the first request, which is to be a
/// write, and all the others.
pub(crate) fn send_together(
    store: &AioKv,
    disk: &SimulatedDisk,
    requests: &[Request],
) -> Vec<Reply> {
    let [first, others @ ..] = requests else {
        return Vec::new();
    };
    if others.is_empty() {
        return vec![pollster::block_on(first.send(store))];
    }
    disk.hold();
    let mut replies = vec![start(first.send(store))];
    disk.wait_for_held_call();
    for request in others {
        if !disk.is_crashed() {
            replies.push(start(request.send(store)));
        }
    }
    disk.release();
    replies.into_iter().map(pollster::block_on).collect()
}
