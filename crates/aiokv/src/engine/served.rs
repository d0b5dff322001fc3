//! What serves the stores of one path: a queue, a memory and a writer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate;
use super::turns::Turns;
use crate::files::storage::Storage;
use crate::queue::Queue;
use crate::state::State;
use crate::writer::{Look, Memory, Writer};

/// A path on a storage; the storage is told by its address, which stays its own while an engine
/// holds it.
pub(super) type Name = (usize, PathBuf);

/// What serves the stores of one path.
pub(super) struct Engine {
    pub(super) id: u64,
    pub(super) name: Name,
    /// The process that started the engine, as forks count.
    pub(super) generation: u32,
    pub(super) queue: Arc<Queue>,
    pub(super) memory: Arc<Memory>,
    pub(super) storage: Arc<dyn Storage>,
    /// Whose turn it is to edit a key.
    pub(super) turns: Arc<Turns>,
    /// The writer, until the engine ends. Only threads of the pool lock it, behind the gate.
    writer: Mutex<Option<Box<Writer>>>,
    /// No store uses the engine any more, so nothing will be submitted unless one comes.
    pub(super) abandoned: AtomicBool,
    /// The engine was taken out of the registry, so nothing will ever be submitted.
    pub(super) retired: AtomicBool,
    /// The pool wants the files of the engine closed.
    pub(super) evicted: AtomicBool,
    /// What the pool calls when the engine has come to rest.
    pub(super) at_rest: fn(&Arc<Engine>),
}

impl Engine {
    pub(super) fn new(name: Name, storage: &Arc<dyn Storage>, at_rest: fn(&Arc<Engine>)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let engine = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            generation: gate::generation(),
            queue: Arc::default(),
            memory: Arc::default(),
            storage: Arc::clone(storage),
            turns: Arc::default(),
            writer: Mutex::default(),
            abandoned: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            at_rest,
        };
        engine.replace_writer();
        engine
    }

    /// Puts a new writer in place, which knows nothing yet.
    pub(super) fn replace_writer(&self) {
        let (queue, memory) = (Arc::clone(&self.queue), Arc::clone(&self.memory));
        let writer = Writer::new(Arc::clone(&self.storage), self.name.1.clone(), queue, memory);
        *self.writer() = Some(Box::new(writer));
    }

    /// Frees what memory holds.
    pub(super) fn free_memory(&self) {
        self.memory.replace(State::default(), Look::Impossible);
    }

    /// Whether memory holds the newest state. Looks at metadata only.
    pub(super) fn is_current(&self) -> bool {
        self.memory.is_current()
    }

    /// The path of the file as it was given.
    pub(super) fn path(&self) -> &Path {
        &self.name.1
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Option<Box<Writer>>> {
        // A panic in a step is a bug; what it leaves is the file as it is.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes its files, in the child of a fork.
    pub(super) fn forget(&self) {
        if let Some(writer) = &mut *self.writer() {
            writer.forget_files();
        }
    }
}
