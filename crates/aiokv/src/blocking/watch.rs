//! Watching without futures: the thread sleeps until there is a change.

use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pollster::block_on;
use serde::de::DeserializeOwned;

use super::AioKv;
use crate::error::Result;
use crate::store::WatchedChange;

/// Tells the changes of a store, from the moment of [`AioKv::watch`] on: an iterator that waits for
/// the next change and never ends by itself. See [`crate::Watch::next`] for what a change is, and
/// for the errors among the changes.
pub struct Watch<T> {
    watch: crate::Watch,
    values: PhantomData<fn() -> T>,
}

impl AioKv {
    /// See [`crate::AioKv::watch`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("state.json");
    /// let kv = aiokv::blocking::AioKv::new(&path)?;
    /// let mut changes = kv.watch::<String>("settings:")?;
    /// kv.set("settings:prefix", "?")?;
    ///
    /// // Or `for change in changes`, which waits as long as it takes.
    /// let change = changes.next_timeout(Duration::from_secs(60))?.expect("there is one");
    /// assert_eq!(change.key, "settings:prefix");
    /// assert_eq!((change.old, change.new), (None, Some("?".to_owned())));
    /// # Ok::<(), aiokv::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As there.
    pub fn watch<T: DeserializeOwned>(&self, prefix: &str) -> Result<Watch<T>> {
        Ok(Watch { watch: block_on(self.0.watch(prefix))?, values: PhantomData })
    }
}

impl<T: DeserializeOwned> Watch<T> {
    /// Waits for the next change, but not longer than `timeout`. `None` if there was none by then.
    ///
    /// # Errors
    ///
    /// As [`crate::Watch::next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<WatchedChange<T>>> {
        block_on_timeout(self.watch.next(), timeout).transpose()
    }
}

impl<T: DeserializeOwned> Iterator for Watch<T> {
    type Item = Result<WatchedChange<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(block_on(self.watch.next()))
    }
}

/// Waits for a future, but not longer than `timeout`, and drops it then.
fn block_on_timeout<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    let started = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
