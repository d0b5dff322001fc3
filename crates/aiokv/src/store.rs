//! [`AioKv`]: the public operations.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::Handle;
use crate::error::{Error, Result};
use crate::files::Disk;
use crate::files::storage::Storage;
use crate::json::{Entry, value};
use crate::options::Options;
use crate::queue::{Change, Operation, Outcome, Submission, Waiter, Wake, Write};
use crate::state::Snapshot;

/// A key-value store in one JSON file.
///
/// Cloning is cheap; the clones are the same store. Every store on the same file shares one
/// engine within a process, and any number of processes may use one file.
///
/// The futures need no particular async runtime. An operation takes its place in the order of
/// operations when its future is first polled; a future that is dropped later does not take it
/// back: the operation happens whole, or not at all if it was never polled.
#[derive(Clone)]
pub struct AioKv {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    options: Arc<Options>,
    storage: Arc<dyn Storage>,
    /// `None` before the first operation and after `close`.
    handle: RwLock<Option<Handle>>,
}

impl AioKv {
    /// A store on the file at `path`, with the default [`Options`].
    ///
    /// Touches no file: a missing file is an empty store, and the first write creates it. A
    /// relative path is taken from the working directory of this moment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the path is empty or the working directory is gone.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, Options::default())
    }

    /// A store on the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`AioKv::new`].
    pub fn with_options(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::with_storage(path, options, disk())
    }

    /// A store on another storage than the disk of this machine.
    #[doc(hidden)]
    pub fn with_storage(
        path: impl AsRef<Path>,
        options: Options,
        storage: Arc<dyn Storage>,
    ) -> Result<Self> {
        let path = path.as_ref();
        let path = std::path::absolute(path).map_err(Error::io("use as a state file", path))?;
        let options = Arc::new(options);
        let handle = RwLock::default();
        Ok(Self { shared: Arc::new(Shared { path, options, storage, handle }) })
    }

    /// The path of the file as it was given, made absolute.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] if the value is not a `T`; [`Error::Corrupt`] or [`Error::Io`] if the file
    /// cannot be read. The file is not changed.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let entry = self.entry(key).await?;
        entry.map(|entry| typed(&entry)).transpose()
    }

    /// The entry of `key` as the text that it has in the file, or `None` if there is no such key.
    #[doc(hidden)]
    pub async fn entry(&self, key: &str) -> Result<Option<Entry>> {
        if let Some(entry) = self.get_now(key.as_bytes()) {
            return Ok(entry);
        }
        match self.ask(Operation::Read([key.as_bytes().into()].into())).await? {
            Outcome::Read(entries) => Ok(entries.into_iter().next().flatten()),
            _ => unreachable!("a read is answered with entries"),
        }
    }

    /// Every key and value, in the order of insertion, all of one moment.
    ///
    /// A key with a lone surrogate, which a Python program can store, has U+FFFD in its place.
    ///
    /// # Errors
    ///
    /// As [`AioKv::get`].
    pub async fn get_all<T: DeserializeOwned>(&self) -> Result<Vec<(String, T)>> {
        let snapshot = self.snapshot().await?;
        let pair = |entry: &Entry| {
            let key = String::from_utf8_lossy(&entry.key()).into_owned();
            Ok((key, typed(entry)?))
        };
        snapshot.iter().map(pair).collect()
    }

    /// Every entry as the text that it has in the file, in the order of insertion, all of one
    /// moment.
    #[doc(hidden)]
    pub async fn snapshot(&self) -> Result<Snapshot> {
        match self.ask(Operation::ReadPrefix(Box::default())).await? {
            Outcome::Snapshot(snapshot) => Ok(snapshot),
            _ => unreachable!("a read of a prefix is answered with a snapshot"),
        }
    }

    /// Sets the value of `key`. When this returns, the change is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the value has no JSON that could be read again; nothing is changed.
    /// [`Error::Corrupt`], [`Error::Io`] and [`Error::Locked`] if the file cannot be read or
    /// replaced; it holds the old state. The exception is a failure to flush the directory after
    /// the file was replaced: then the next operation finds out what the file holds.
    pub async fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        let entry = Entry::new(&value::encode_key(key), &value::encode(value)?);
        self.write(Change::Set(entry)).await
    }

    /// Sets `key` to the current time in whole seconds since 1970.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn set_now(&self, key: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.set(key, &now.map_or(0, |since_1970| since_1970.as_secs())).await
    }

    /// Deletes `key`, whether it is there or not.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.write(Change::Delete(key.as_bytes().into())).await
    }

    /// Deletes everything and removes the file, be it readable or not.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Locked`] as for [`AioKv::set`].
    pub async fn clear(&self) -> Result<()> {
        self.ask(Operation::Clear).await.map(drop)
    }

    /// Waits until everything that was started before is decided, and the file alone holds
    /// everything: what stood in its journal is in the file, and the journal is gone.
    ///
    /// # Errors
    ///
    /// As [`AioKv::set`] if the file cannot be brought up to date. What was appended to the journal
    /// stays there then, and nothing is lost.
    pub async fn checkpoint(&self) -> Result<()> {
        self.ask(Operation::Checkpoint).await.map(drop)
    }

    /// Waits until everything that was started before is decided and the file alone holds what
    /// this process changed, then lets go of the file.
    ///
    /// May be called any number of times. A closed store can be used again: the next operation
    /// opens the file again.
    ///
    /// # Errors
    ///
    /// As [`AioKv::checkpoint`].
    pub async fn close(&self) -> Result<()> {
        if self.shared.handle.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Ok(());
        }
        self.ask(Operation::Close).await.map(drop)
    }

    /// The entry of `key`, if that can be said without waiting: memory holds the newest state and
    /// no write of the key is under way. Costs one metadata call, or three if there is a journal.
    #[doc(hidden)]
    pub fn get_now(&self, key: &[u8]) -> Option<Option<Entry>> {
        let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
        handle.as_ref()?.get(key)
    }

    /// Puts an operation in the queue, to be answered to `waiter`. Does not block. A successful
    /// [`Operation::Close`] lets go of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no thread can be started. The waiter is dropped then.
    #[doc(hidden)]
    pub fn submit(&self, operation: Operation, waiter: Box<dyn Waiter>) -> Result<()> {
        let options = Arc::clone(&self.shared.options);
        let waiter: Box<dyn Waiter> = match operation {
            Operation::Close => Box::new(Closing { shared: Arc::clone(&self.shared), waiter }),
            _ => waiter,
        };
        let submission = Submission::new(operation, waiter, options, Instant::now());
        {
            let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(handle) = handle.as_ref().filter(|handle| handle.is_of_this_process()) {
                return handle.submit(submission);
            }
        }
        let mut handle = self.shared.handle.write().unwrap_or_else(PoisonError::into_inner);
        let opened = match handle.take().filter(Handle::is_of_this_process) {
            // Another thread was faster.
            Some(opened) => opened,
            None => Handle::open(&self.shared.storage, &self.shared.path),
        };
        handle.insert(opened).submit(submission)
    }

    async fn write(&self, change: Change) -> Result<()> {
        self.ask(Operation::Write([Write::unconditional(change)].into())).await.map(drop)
    }

    async fn ask(&self, operation: Operation) -> Result<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.submit(operation, Box::new(Future(sender)))?;
        let path = || self.shared.path.clone();
        receiver.await.unwrap_or_else(|_| Err(Error::WriterGone { path: path() }))
    }
}

/// The disk of this machine. There is one, so that stores find each other's engines.
fn disk() -> Arc<dyn Storage> {
    static DISK: OnceLock<Arc<dyn Storage>> = OnceLock::new();
    Arc::clone(DISK.get_or_init(|| Arc::new(Disk)))
}

fn typed<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    value::decode(entry.value_text()).map_err(|error| Error::Type {
        key: String::from_utf8_lossy(&entry.key()).into_owned(),
        source: Arc::new(error),
    })
}

/// Lets go of the file once a store is closed.
struct Closing {
    shared: Arc<Shared>,
    waiter: Box<dyn Waiter>,
}

impl Waiter for Closing {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        if answer.is_ok() {
            let mut handle = self.shared.handle.write().unwrap_or_else(PoisonError::into_inner);
            let closed = handle.take();
            drop(handle);
            drop(closed);
        }
        self.waiter.answer(answer)
    }
}

/// Answers a Rust future, which has a waker of its own.
struct Future(oneshot::Sender<Result<Outcome>>);

impl Waiter for Future {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        // If the future was dropped, the operation happened all the same.
        let _ = self.0.send(answer);
        None
    }
}
