//! One engine per file and process: the queue, the memory and the thread that serves them.
//!
//! Stores find their engine by the absolute path they were given, without touching the file
//! system. The engine's thread finds out which file that is. If another engine has that file
//! already, because its stores spell the path in another way, the later engine hands everything
//! over to the earlier one.
//!
//! An engine lives as long as a [`Handle`] to it, and then until its queue is empty.
//!
//! Lock order: the registry, then `opening`, then a queue. The memory is never locked together
//! with any of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};
use std::thread;

use crate::engine::gate;
use crate::engine::opening::{self, Unresolved};
use crate::error::{Error, Result};
use crate::files::state_file::StateFile;
use crate::files::storage::Storage;
use crate::json::entry::Entry;
use crate::queue::operation::{Answer, Operation};
use crate::queue::order::{Queue, Submission, Taken};
use crate::state::map::State;
use crate::writer::checkpoint::{BUSY_PAUSE, Folding};
use crate::writer::commit::{Memory, Stored, Writer, answer};

/// A path on a storage; the storage is told by its address, which stays its own while an engine
/// holds it.
type Name = (usize, PathBuf);

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Registry {
    /// The engines by the paths that stores were given.
    engines: HashMap<Name, Registered>,
    /// The names of the engines by the files that they serve.
    files: HashMap<Name, Name>,
}

struct Registered {
    engine: Arc<Engine>,
    handles: usize,
}

struct Engine {
    name: Name,
    /// The process that has the engine's thread, as forks count.
    generation: u32,
    storage: Arc<dyn Storage>,
    queue: Queue,
    memory: Memory,
    folding: Folding,
    /// Found by the thread before it serves the first batch.
    file: OnceLock<StateFile>,
    /// The engine that serves the file instead. The queue is closed once this is set.
    successor: OnceLock<Handle>,
}

/// Keeps an engine alive.
pub(crate) struct Handle(Arc<Engine>);

impl Handle {
    /// The engine for an absolute path; starts one if there is none.
    pub(crate) fn open(storage: &Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let name = (Arc::as_ptr(storage).addr(), path.to_owned());
        let mut registry = registry();
        if let Some(handle) = registry.handle(&name) {
            return Ok(handle);
        }
        let engine = Arc::new(Engine {
            name: name.clone(),
            generation: gate::generation(),
            storage: Arc::clone(storage),
            queue: Queue::default(),
            memory: Memory::default(),
            folding: Folding::default(),
            file: OnceLock::new(),
            successor: OnceLock::new(),
        });
        let served = Arc::clone(&engine);
        let unresolved = Unresolved::begin();
        thread::Builder::new()
            .name("aiokv".to_owned())
            .spawn(move || serve(&served, unresolved))
            .map_err(Error::io("start a thread for", path))?;
        let mut registered = Registered { engine, handles: 0 };
        let handle = registered.handle();
        registry.engines.insert(name, registered);
        Ok(handle)
    }

    /// The entry of a key, if memory holds the newest content of the file and no write that was
    /// submitted before may change the key. Does not block.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Entry>> {
        let file = self.0.file.get()?;
        if opening::any() || !self.is_of_this_process() || self.0.queue.is_undecided(key) {
            return None;
        }
        self.0.memory.get(file, key)
    }

    /// Queues an operation, or gives it back if the engine's thread is gone, which is a bug.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Submission> {
        opening::submit(self, submission)
    }

    /// Queues an operation, even if a path is still being resolved.
    pub(crate) fn submit_now(&self, submission: Submission) -> Result<(), Submission> {
        self.0.submit(submission)
    }

    /// Answers an operation that was given back.
    pub(crate) fn refuse(&self, submission: Submission) {
        self.0.refuse(submission);
    }

    /// Another handle to the same engine.
    pub(crate) fn second(&self) -> Self {
        let mut registry = registry();
        let registered = registry.engines.get_mut(&self.0.name);
        registered.expect("an engine with a handle is registered").handle()
    }

    /// Whether another engine serves the file, to which [`Handle::open`] leads now.
    pub(crate) fn is_superseded(&self) -> bool {
        self.0.successor.get().is_some() || !self.is_of_this_process()
    }

    /// Whether the engine was started by this process, not by the one that it was forked from.
    fn is_of_this_process(&self) -> bool {
        self.0.generation == gate::generation()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            return;
        }
        let mut registry = registry();
        let registered = registry.engines.get_mut(&self.0.name);
        let registered = registered.expect("an engine with a handle is registered");
        registered.handles -= 1;
        if registered.handles > 0 {
            return;
        }
        self.0.queue.set_abandoned(true);
        // With nothing left to do, the engine is gone at once for whoever comes next, who then
        // finds the file anew; otherwise its thread takes it out of the registry.
        if self.0.queue.is_idle() && !self.0.folds() {
            let removed = registry.remove(&self.0);
            drop(registry);
            drop(removed);
        }
    }
}

/// Forgets every engine, in the child of a fork. Their queues may be locked for ever, so they are
/// never touched again, and never freed. Their files are closed: a lock that the parent takes on
/// them later must not outlive the parent here.
pub(crate) fn forget() {
    let mut registry = registry();
    for registered in registry.engines.values() {
        registered.engine.memory.forget();
        registered.engine.folding.forget();
    }
    std::mem::forget(std::mem::take(&mut *registry));
}

/// A handle to every engine of the process.
pub(crate) fn all() -> Vec<Handle> {
    registry().engines.values_mut().map(Registered::handle).collect()
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().expect("nothing panics while the registry is locked")
}

impl Registry {
    /// A handle to the engine that serves the stores of this name.
    fn handle(&mut self, name: &Name) -> Option<Handle> {
        let engine = &self.engines.get(name)?.engine;
        let name = engine.successor.get().map_or(name, |successor| &successor.0.name).clone();
        self.engines.get_mut(&name).map(Registered::handle)
    }

    /// Whether an engine is still there: its name may be another engine's by now.
    fn holds(&self, engine: &Engine) -> bool {
        let registered = self.engines.get(&engine.name);
        registered.is_some_and(|registered| std::ptr::eq(&*registered.engine, engine))
    }

    /// Takes out an engine, if it is still there.
    fn remove(&mut self, engine: &Engine) -> Option<Registered> {
        if !self.holds(engine) {
            return None;
        }
        self.files.retain(|_, name| *name != engine.name);
        self.engines.remove(&engine.name)
    }
}

impl Registered {
    fn handle(&mut self) -> Handle {
        if self.handles == 0 {
            self.engine.queue.set_abandoned(false);
        }
        self.handles += 1;
        Handle(Arc::clone(&self.engine))
    }
}

impl Engine {
    fn submit(&self, submission: Submission) -> Result<(), Submission> {
        let Err(submission) = self.queue.push(submission) else { return Ok(()) };
        match self.successor.get() {
            Some(successor) => successor.submit_now(submission),
            None => Err(submission),
        }
    }

    /// Gives a submission to the engine that serves the file instead, if there is one.
    fn pass_on(&self, submission: Submission) {
        let passed = match self.successor.get() {
            Some(successor) => successor.submit_now(submission),
            None => Err(submission),
        };
        if let Err(submission) = passed {
            self.refuse(submission);
        }
    }

    fn refuse(&self, submission: Submission) {
        let path = self.name.1.clone();
        if let Some(wake) = submission.waiter.answer(Err(Error::WriterGone { path })) {
            wake.wake();
        }
    }

    /// Gives a batch, and whatever came and will come after it, to the successor.
    fn hand_over(&self, batch: Vec<Submission>) {
        let _work = gate::work();
        batch.into_iter().for_each(|submission| self.pass_on(submission));
        self.queue.close(|submission| self.pass_on(submission));
    }

    /// Finds the file and makes this engine the one that serves it. `None` if another engine
    /// does; that is the successor now.
    fn find_file(&self) -> Result<Option<&StateFile>> {
        if self.successor.get().is_some() {
            return Ok(None);
        }
        if let Some(file) = self.file.get() {
            return Ok(Some(file));
        }
        let _work = gate::work();
        let file = StateFile::resolve(Arc::clone(&self.storage), &self.name.1)?;
        let mut registry = registry();
        let first = if registry.holds(self) {
            let place = (self.name.0, file.path().to_owned());
            registry.files.entry(place).or_insert_with(|| self.name.clone()).clone()
        } else {
            // Nobody can find this engine any more, so it must not be named as one that serves.
            self.name.clone()
        };
        if first == self.name {
            drop(registry);
            return Ok(Some(self.file.get_or_init(|| file)));
        }
        let first = registry.engines.get_mut(&first).expect("retires from both maps at once");
        let successor = self.successor.set(first.handle());
        successor.unwrap_or_else(|_| unreachable!("looked above, and only this thread sets it"));
        Ok(None)
    }

    /// The writer of the file, which was found.
    fn writer(&self) -> Writer<'_> {
        let Self { queue, memory, folding, file, .. } = self;
        let file = file.get().expect("nothing is written or folded before the file was found");
        Writer { queue, memory, folding, file }
    }

    /// Whether there is something to fold, or somebody who waits for that.
    fn folds(&self) -> bool {
        self.folding.is_pending() || self.folding.is_awaited()
    }

    /// Makes one step of a fold, once nobody is left who could submit anything.
    fn fold_at_the_end(&self) {
        let writer = self.writer();
        if writer.fold() {
            return;
        }
        if self.folding.is_awaited() {
            // Another process holds a lock, and still has time to release it.
            self.queue.wait_for_free(BUSY_PAUSE);
        } else {
            // Nobody waits, so what cannot be done at once stays in the journal.
            self.folding.abandon(writer.file);
            self.folding.finish();
        }
    }

    /// Takes the engine out of the registry, unless somebody got a handle to it meanwhile or even
    /// used and dropped one. Nobody gets a handle while the registry is locked.
    fn retire(&self) -> bool {
        let _work = gate::work();
        let mut registry = registry();
        if !self.queue.is_finished() {
            return false;
        }
        let removed = registry.remove(self);
        // Dropping the engine may drop a handle, which locks the registry.
        drop(registry);
        drop(removed);
        true
    }
}

/// Serves the queue of an engine until nobody is left.
fn serve(engine: &Engine, unresolved: Unresolved) {
    let _closing = CloseQueue(engine);
    // If the path cannot be resolved now, the first batch tries again and is told why.
    if let Ok(None) = engine.find_file() {
        engine.hand_over(Vec::new());
    }
    drop(unresolved);
    loop {
        let batch = match engine.queue.take(engine.folding.next()) {
            Taken::Batch(batch) => batch,
            Taken::Nothing => {
                engine.writer().fold();
                continue;
            }
            Taken::Abandoned if engine.folds() => {
                engine.fold_at_the_end();
                continue;
            }
            Taken::Abandoned if engine.retire() => {
                // The last reference to the engine may be on an event loop, which is not the
                // place to free a large state or to close files.
                engine.memory.replace(State::default(), Stored::default());
                return;
            }
            Taken::Abandoned => continue,
        };
        match engine.find_file() {
            Ok(Some(_)) => engine.writer().run(batch),
            Ok(None) => engine.hand_over(batch),
            Err(error) => refuse(&engine.queue, batch, &error),
        }
    }
}

/// Answers a batch for a file that cannot even be found.
fn refuse(queue: &Queue, batch: Vec<Submission>, error: &Error) {
    let _work = gate::work();
    let answers = batch.iter().map(|submission| match submission.operation {
        Operation::Settle => Ok(Answer::Done),
        _ => Err(error.clone()),
    });
    let answers = answers.collect();
    answer(queue, batch, answers);
}

/// Answers whoever still waits when the thread of an engine ends, which it does only when nobody
/// is left or through a bug. Nobody is left waiting for ever.
struct CloseQueue<'engine>(&'engine Engine);

impl Drop for CloseQueue<'_> {
    fn drop(&mut self) {
        let _work = gate::work();
        self.0.queue.close(|submission| self.0.pass_on(submission));
    }
}
