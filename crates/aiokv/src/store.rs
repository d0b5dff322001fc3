//! [`AioKv`]: the public operations.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::registry::{self as engine, Handle};
use crate::error::{Error, Result};
use crate::files::storage::{Disk, Storage};
use crate::json::entry::Entry;
use crate::json::value;
use crate::options::Options;
use crate::queue::operation::{Answer, Operation};
use crate::queue::order::{Submission, Waiter, Wake};
use crate::state::map::View;

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
    ///
    /// # Errors
    ///
    /// As [`AioKv::new`].
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
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] or [`Error::Io`] if the file cannot be read. It is not changed.
    pub async fn entry(&self, key: &str) -> Result<Option<Entry>> {
        if let Some(entry) = self.get_now(key.as_bytes()) {
            return Ok(entry);
        }
        match self.ask(Operation::Get(key.as_bytes().into())).await? {
            Answer::Entry(entry) => Ok(entry),
            _ => unreachable!("a get is answered with an entry"),
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
        let view = self.view().await?;
        let pair = |entry: &Entry| {
            let key = String::from_utf8_lossy(&entry.key()).into_owned();
            Ok((key, typed(entry)?))
        };
        view.iter().map(pair).collect()
    }

    /// Every entry as the text that it has in the file, in the order of insertion, all of one
    /// moment.
    ///
    /// # Errors
    ///
    /// As [`AioKv::entry`].
    pub async fn view(&self) -> Result<View> {
        match self.ask(Operation::GetAll).await? {
            Answer::View(view) => Ok(view),
            _ => unreachable!("a get_all is answered with a view"),
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
        self.ask(Operation::Set(entry)).await.map(drop)
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
        self.ask(Operation::Delete(key.as_bytes().into())).await.map(drop)
    }

    /// Deletes everything and removes the file, be it readable or not.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Locked`] as for [`AioKv::set`].
    pub async fn clear(&self) -> Result<()> {
        self.ask(Operation::Clear).await.map(drop)
    }

    /// Waits until everything that was started before is decided and the file holds what was
    /// appended to the journal, then lets go of the file.
    ///
    /// May be called any number of times. A closed store can be used again: the next operation
    /// opens the file again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be found; as [`AioKv::set`] if it cannot be brought up to
    /// date. What was appended to the journal stays there then, and nothing is lost.
    pub async fn close(&self) -> Result<()> {
        if self.shared.handle.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Ok(());
        }
        self.ask(Operation::Settle).await?;
        self.let_go();
        Ok(())
    }

    /// The entry of `key`, if that can be said without waiting: memory holds the newest content
    /// of the file and no write of the key is under way. Costs one metadata call.
    pub fn get_now(&self, key: &[u8]) -> Option<Option<Entry>> {
        let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
        handle.as_ref()?.get(key)
    }

    /// Puts an operation in the queue, to be answered to `waiter`. Does not block.
    ///
    /// This is what language bindings are built on; everything else here is easier to use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no thread can be started, [`Error::WriterGone`] if it is gone. The waiter
    /// is dropped then.
    pub fn submit(&self, operation: Operation, waiter: Box<dyn Waiter>) -> Result<()> {
        let submission = Submission::new(operation, waiter, Arc::clone(&self.shared.options));
        let gone = |_| Error::WriterGone { path: self.shared.path.clone() };
        {
            let handle = self.shared.handle.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(handle) = handle.as_ref().filter(|handle| !handle.is_superseded()) {
                return handle.submit(submission).map_err(gone);
            }
        }
        let mut handle = self.shared.handle.write().unwrap_or_else(PoisonError::into_inner);
        // The old handle is dropped after the new one exists, so that an engine goes on.
        let opened = Handle::open(&self.shared.storage, &self.shared.path)?;
        handle.insert(opened).submit(submission).map_err(gone)
    }

    /// Lets go of the file without waiting.
    pub fn let_go(&self) {
        *self.shared.handle.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn ask(&self, operation: Operation) -> Result<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.submit(operation, Box::new(Future(sender)))?;
        let path = || self.shared.path.clone();
        receiver.await.unwrap_or_else(|_| Err(Error::WriterGone { path: path() }))
    }
}

/// Waits until every operation that was started in this process is decided, on every store, and
/// the files hold what was appended to their journals.
///
/// For the end of a program that cannot wait for its futures any more.
pub fn settle_all() {
    let (sender, receiver) = mpsc::channel();
    for handle in engine::all() {
        let waiter = Box::new(Thread(sender.clone()));
        // An engine whose thread is gone has nothing left to settle.
        let _ = handle.submit(Submission::new(Operation::Settle, waiter, Arc::default()));
    }
    drop(sender);
    // Ends once every sender was dropped, be it with or without an answer.
    receiver.iter().for_each(drop);
}

/// Answers a thread that waits for several answers.
struct Thread(mpsc::Sender<()>);

impl Waiter for Thread {
    fn answer(self: Box<Self>, _answer: Result<Answer>) -> Option<Arc<dyn Wake>> {
        // The receiver is there until all senders are gone.
        let _ = self.0.send(());
        None
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

/// Answers a Rust future, which has a waker of its own.
struct Future(oneshot::Sender<Result<Answer>>);

impl Waiter for Future {
    fn answer(self: Box<Self>, answer: Result<Answer>) -> Option<Arc<dyn Wake>> {
        // Nobody listens if the future was dropped. The operation happened all the same.
        let _ = self.0.send(answer);
        None
    }
}
