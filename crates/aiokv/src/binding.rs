//! What a language binding, or a test that plays several processes, needs beyond the public
//! interface. Not a part of it: anything here may change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub use crate::engine::fork;
pub use crate::files::{Disk, storage};
#[cfg(fuzzing)]
pub use crate::format::json_file::reencode;
pub use crate::format::salvage::Loss;
pub use crate::json::text::without_white_space;
pub use crate::json::time::stored_time;
pub use crate::json::{Entry, decode_string};
pub use crate::queue::{
    Change, Changed, Condition, Key, Operation, Outcome, Waiter, Wake, Write, Written,
};
pub use crate::state::{Snapshot, SnapshotPart};
pub use crate::writer::{Next, Recovered, RecoveredJournal, Sources};

use crate::engine;
use crate::error::Result;
use crate::format::json_file;
use crate::options::Options;
use crate::queue::{Queue, Submission};
use crate::writer::{Memory, Rescue, Writer};

/// What [`AioKv::cooldown`](crate::AioKv::cooldown) decides at the time `now`, when it finds the
/// text `found`: how many seconds to wait, and the text that is to be stored, if it changes. `None`
/// if `found` is no time or list of times.
pub fn cooldown(
    found: Option<&str>,
    now: f64,
    window: f64,
    uses: usize,
) -> Option<(f64, Option<String>)> {
    let decision = crate::store::cooldown(found, now, window, uses)?;
    Some((decision.wait, decision.store))
}

/// A store that is served by whoever calls [`Stepped::step`]: no thread, and no sharing with other
/// stores of the process.
pub struct Stepped {
    queue: Arc<Queue>,
    memory: Arc<Memory>,
    writer: Writer,
}

impl Stepped {
    /// A store on the file at an absolute path.
    pub fn new(storage: Arc<dyn storage::Storage>, path: &Path) -> Self {
        let (queue, memory) = (Arc::<Queue>::default(), Arc::<Memory>::default());
        let parts = (Arc::clone(&queue), Arc::clone(&memory));
        let writer = Writer::new(storage, path.to_owned(), parts.0, parts.1);
        Self { queue, memory, writer }
    }

    /// Queues an operation that was started at `now`. A later step answers it.
    pub fn submit(
        &self,
        operation: Operation,
        waiter: Box<dyn Waiter>,
        options: Arc<Options>,
        now: Instant,
    ) {
        self.queue.push(Submission::new(operation, waiter, options, now));
    }

    /// The entry of a key, if that can be said without waiting. Makes only looks without a lock.
    pub fn get_now(&self, key: &[u8]) -> Option<Option<Entry>> {
        if self.queue.is_undecided(key) { None } else { self.memory.get(key) }
    }

    /// Closes the files, as for a store that has been idle for long. `wall_clock` is the time in
    /// seconds since 1970.
    pub fn close_files(&mut self, wall_clock: i64) {
        self.writer.close_files(wall_clock);
    }

    /// Does what can be done now.
    pub fn step(&mut self, now: Instant) -> Next {
        self.writer.step(now)
    }
}

/// What there is on disk for a store, at one moment.
#[derive(Debug)]
pub struct Inspection {
    /// How many entries the store has; `None` if there is no state file.
    pub entries: Option<usize>,
    /// The journal, if there is one.
    pub journal: Option<InspectedJournal>,
}

/// A journal that continues its state file.
#[derive(Debug)]
pub struct InspectedJournal {
    /// Its path.
    pub path: PathBuf,
    /// The size of the file, reserved space included.
    pub bytes: u64,
    /// Whether it has changes that the state file does not hold.
    pub is_ahead: bool,
}

/// Reads the files of a store and says what is there. Changes nothing. Blocks.
///
/// # Errors
///
/// As [`AioKv::get`](crate::AioKv::get).
pub fn inspect(path: &Path, options: Options) -> Result<Inspection> {
    let (sender, answers) = mpsc::channel();
    let mut store = Stepped::new(Arc::new(Disk), path);
    let read = Operation::ReadPrefix(Key::default());
    store.submit(read, Box::new(Thread(sender)), Arc::new(options), Instant::now());
    let outcome = loop {
        let next = store.step(Instant::now());
        if let Ok(answer) = answers.try_recv() {
            break answer?;
        }
        if let Next::Retry(pause) = next {
            thread::sleep(pause);
        }
    };
    let Outcome::Snapshot(snapshot) = outcome else {
        unreachable!("a read of a prefix is answered with a snapshot");
    };
    let journal = store.writer.journal().map(|(path, is_ahead)| InspectedJournal {
        // Another process may have removed it by now.
        bytes: storage::Storage::metadata(&Disk, path).map_or(0, |metadata| metadata.size),
        path: path.to_owned(),
        is_ahead,
    });
    let exists = store.writer.has_open_files();
    Ok(Inspection { entries: exists.then(|| snapshot.len()), journal })
}

/// Writes what can be read of the damaged files of a store to a new file, if that is anything at all.
/// Changes nothing else. Blocks. Both paths are absolute.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if there is nothing to read, if the new file is there already or
/// cannot be written; [`Error::Locked`](crate::Error::Locked) if another process holds a lock.
pub fn recover(
    source: &Path,
    target: &Path,
    sources: Sources,
    options: Options,
) -> Result<Recovered> {
    let (source, target) = (source.to_owned(), target.to_owned());
    Rescue { storage: Arc::new(Disk), source, target, sources, options }.run()
}

/// The entries of a text that stands for the state file at `path`, in its order. A key may be there
/// twice.
///
/// # Errors
///
/// [`Error::Corrupt`](crate::Error::Corrupt) with the place.
pub fn read_entries(content: &[u8], path: &Path) -> Result<Snapshot> {
    json_file::read(content, path)
}

/// Waits until every operation that was started in this process is decided; see [`drain_all`].
pub struct Drain {
    answers: mpsc::Receiver<Result<Outcome>>,
    // The engines live until then.
    _handles: Vec<engine::Handle>,
}

/// Begins to wait until every operation that was started in this process is decided, on every
/// store, and the state files hold what this process appended to their journals.
///
/// For the end of a program that cannot wait for its futures any more.
pub fn drain_all() -> Drain {
    let (sender, answers) = mpsc::channel();
    let drain = || {
        let waiter = Box::new(Thread(sender.clone()));
        Submission::new(Operation::Close, waiter, Arc::default(), Instant::now())
    };
    // A store that was dropped a moment ago may still have something to do.
    engine::submit_to_ending(drain);
    let handles = engine::all();
    for handle in &handles {
        // Without a thread nothing can be done.
        let _: Result<()> = handle.submit(drain());
    }
    Drain { answers, _handles: handles }
}

impl Drain {
    /// Waits for at most `timeout`. Says whether everything is done.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok(_answer) => {}
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }
}

/// Answers a thread that waits on a channel.
struct Thread(mpsc::Sender<Result<Outcome>>);

impl Waiter for Thread {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        // If the receiver is gone, the program does not wait any more.
        let _ = self.0.send(answer);
        None
    }
}
