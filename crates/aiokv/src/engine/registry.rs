//! Which store uses which engine.
//!
//! Stores find their engine by the absolute path that they were given, without touching the file
//! system. Two spellings of the path of one file lead to two engines, which work together like two
//! processes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use super::served::{Engine, Name};
use super::turns::Turn;
use super::{gate, notify, pool};
use crate::error::Result;
use crate::files::Place;
use crate::files::storage::Storage;
use crate::json::Entry;
use crate::queue::{Key, Submission};
use crate::writer::Watcher;

static REGISTRY: LazyLock<Mutex<HashMap<Name, Registered>>> = LazyLock::new(Mutex::default);

struct Registered {
    engine: Arc<Engine>,
    handles: usize,
}

/// Lets an engine notice what other processes change.
pub(crate) struct Watching(
    #[expect(dead_code, reason = "it is there to be dropped")] notify::Notified,
);

/// Keeps an engine alive.
pub(crate) struct Handle(Arc<Engine>);

impl Handle {
    /// The engine for an absolute path; a new one if there is none.
    ///
    /// An engine that no store uses, and that has answered everything, is left to itself: whoever
    /// comes next finds the file anew.
    pub(crate) fn open(storage: &Arc<dyn Storage>, path: &Path) -> Self {
        let name = (Arc::as_ptr(storage).addr(), path.to_owned());
        let mut registry = registry();
        if let Some(registered) = registry.get_mut(&name) {
            let engine = &registered.engine;
            if registered.handles > 0 || !engine.queue.is_answered() {
                engine.abandoned.store(false, Ordering::Release);
                registered.handles += 1;
                return Self(Arc::clone(engine));
            }
        }
        let engine = Arc::new(Engine::new(name.clone(), storage, retire_if_abandoned));
        let handle = Self(Arc::clone(&engine));
        let old = registry.insert(name, Registered { engine, handles: 1 });
        drop(registry);
        if let Some(old) = old {
            pool::retire(old.engine);
        }
        handle
    }

    /// The entry of a key, if memory holds the newest state and no write that was submitted before
    /// may change the key. Does not block.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Entry>> {
        if !self.is_of_this_process() || self.0.queue.is_undecided(key) {
            return None;
        }
        self.0.memory.get(key)
    }

    /// A second handle to the same engine.
    pub(crate) fn another(&self) -> Self {
        if self.is_of_this_process() {
            let mut registry = registry();
            let registered = registry.get_mut(&self.0.name);
            registered.expect("an engine with a handle is registered").handles += 1;
        }
        Self(Arc::clone(&self.0))
    }

    /// Queues an operation and carries it out on this thread, if no other thread is at work.
    pub(crate) fn submit_and_serve(
        &self,
        submission: Submission,
        is_answered: impl Fn() -> bool,
    ) -> Result<()> {
        pool::submit_and_serve(&self.0, submission, is_answered)
    }

    /// Lets the engine notice what other processes change, while the result exists.
    pub(crate) fn notify(&self) -> Result<Watching> {
        let place = Place::resolve(Arc::clone(&self.0.storage), self.0.path())?;
        notify::notify(&self.0, &place.file, &place.journal).map(Watching)
    }

    /// Adds a watcher of the store.
    pub(crate) fn watch(&self, watcher: &Arc<Watcher>) {
        self.0.memory.watchers.add(watcher);
    }

    /// Asks for a turn at a key, which ends when it is dropped. The handle has to stay until then.
    pub(crate) fn turn(&self, key: Key) -> oneshot::AsyncReceiver<Turn> {
        self.0.turns.ask(key)
    }

    /// Queues an operation.
    pub(crate) fn submit(&self, submission: Submission) -> Result<()> {
        pool::submit(&self.0, submission)
    }

    /// Whether the engine was started by this process, not by the one that it was forked from.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.0.generation == gate::generation()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            return;
        }
        let mut registry = registry();
        let registered = registry.get_mut(&self.0.name);
        let Some(registered) = registered.filter(|it| Arc::ptr_eq(&it.engine, &self.0)) else {
            unreachable!("an engine with a handle is registered");
        };
        registered.handles -= 1;
        if registered.handles > 0 {
            return;
        }
        self.0.abandoned.store(true, Ordering::Release);
        // If something is not answered yet, the thread that answers it takes the engine out.
        if self.0.queue.is_answered() {
            let removed = registry.remove(&self.0.name);
            drop(registry);
            // A state may be large, and closing files takes time: not here.
            removed.into_iter().for_each(|it| pool::retire(it.engine));
        }
    }
}

/// Takes an engine out of the registry if no store uses it and everything is answered.
fn retire_if_abandoned(engine: &Arc<Engine>) {
    if !engine.abandoned.load(Ordering::Acquire) {
        return;
    }
    let mut registry = registry();
    let is_over = registry.get(&engine.name).is_some_and(|it| {
        it.handles == 0 && Arc::ptr_eq(&it.engine, engine) && it.engine.queue.is_answered()
    });
    if is_over {
        let removed = registry.remove(&engine.name);
        drop(registry);
        removed.into_iter().for_each(|it| pool::retire(it.engine));
    }
}

/// A handle to every engine of the process.
pub(crate) fn all() -> Vec<Handle> {
    let mut registry = registry();
    let handle = |registered: &mut Registered| {
        registered.handles += 1;
        Handle(Arc::clone(&registered.engine))
    };
    registry.values_mut().map(handle).collect()
}

/// Forgets every engine, in the child of a fork, which has none of their threads. Their queues are
/// never touched again, and never freed, because what waits in them belongs to the parent. Their
/// files are closed without releasing a lock, which would release it for the parent too: a lock
/// that the parent takes later must not outlive the parent here.
pub(super) fn forget() {
    let mut registry = registry();
    for Registered { engine, .. } in registry.values() {
        engine.forget();
    }
    std::mem::forget(std::mem::take(&mut *registry));
}

fn registry() -> MutexGuard<'static, HashMap<Name, Registered>> {
    REGISTRY.lock().expect("nothing panics while the registry is locked")
}
