//! Watching: a store tells what changes, whichever process or program changed it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;

use super::{AioKv, shown_key, typed};
use crate::engine::{Handle, Watching};
use crate::error::Result;
use crate::json::Entry;
use crate::queue::{Changed, Key, Operation, Outcome, Waiter};
use crate::writer::Watcher;

/// Tells the changes of a store, from the moment of [`AioKv::watch`] on.
pub struct Watch {
    store: AioKv,
    watcher: Arc<Watcher>,
    told: VecDeque<Changed>,
    /// Where the next changes arrive, once they were asked for. Kept when a future of
    /// [`Watch::next`] is dropped, so that no change is lost. The mutex is never
    /// locked; it lets threads share a `Watch`.
    asked: Option<Mutex<oneshot::AsyncReceiver<Result<Outcome>>>>,
    // The engine notices changes of others while this exists.
    _watching: Watching,
    handle: Handle,
}

/// A key whose value changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change<T> {
    /// The key.
    pub key: String,
    /// The value before, or `None` if there was none.
    pub old: Option<T>,
    /// The value now, or `None` if there is none.
    pub new: Option<T>,
}

impl AioKv {
    /// As [`AioKv::watch`], for a prefix as it is in the file. Blocks.
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(hidden)]
    pub fn watch_here(&self, prefix: Key) -> Result<Watch> {
        pollster::block_on(self.watch_key(prefix))
    }

    /// Watches the keys that start with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`]; [`Error::Io`](crate::Error::Io) if the system cannot tell of changes by other processes.
    pub async fn watch(&self, prefix: &str) -> Result<Watch> {
        self.watch_key(self.key(prefix)).await
    }

    async fn watch_key(&self, prefix: Key) -> Result<Watch> {
        let watcher = Watcher::new(prefix);
        let handle = self.with_handle(|handle| Ok(handle.another()))?;
        // In this order: what changes after memory was made to agree with the disk is noticed.
        let watching = handle.notify()?;
        self.ask(Operation::Read(Box::default())).await?;
        handle.watch(&watcher);
        let (store, told) = (self.clone(), VecDeque::new());
        Ok(Watch { store, watcher, told, asked: None, _watching: watching, handle })
    }
}

impl Watch {
    /// Waits for the next change. Several changes of one key that were not told yet are told as
    /// one. The future can be dropped at any time; the change is told by the next one then.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`] while the store cannot be read, and the changes go on after that;
    /// [`Error::Type`](crate::Error::Type) if a value is not a `T`;
    /// [`Error::WriterGone`](crate::Error::WriterGone) in the child of a fork, which has to watch
    /// anew.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Change<T>> {
        loop {
            if let Some(changed) = self.told.pop_front() {
                return self.change(&changed);
            }
            if !self.handle.is_of_this_process() {
                return Err(self.store.writer_gone());
            }
            let asked = match &mut self.asked {
                Some(asked) => asked,
                none => {
                    let (sender, receiver) = oneshot::async_channel();
                    self.watcher.next(Box::new(super::ask::Future(sender)));
                    none.insert(Mutex::new(receiver))
                }
            };
            let answer = asked.get_mut().unwrap_or_else(PoisonError::into_inner).await;
            self.asked = None;
            match answer.unwrap_or_else(|_| Err(self.store.writer_gone()))? {
                Outcome::Changes(changes) => self.told.extend(changes),
                _ => unreachable!("a watcher is answered with changes"),
            }
        }
    }

    /// Answers with [`Outcome::Changes`] once there are any.
    #[doc(hidden)]
    pub fn next_changes(&self, waiter: Box<dyn Waiter>) {
        self.watcher.next(waiter);
    }

    fn change<T: DeserializeOwned>(&self, changed: &Changed) -> Result<Change<T>> {
        let value = |entry: &Option<Entry>| entry.as_ref().map(typed).transpose();
        let key = shown_key(&changed.key, &self.store.prefix);
        Ok(Change { key, old: value(&changed.before)?, new: value(&changed.after)? })
    }
}
