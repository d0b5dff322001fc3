//! The writer: takes what waits in the queue as one batch, commits it and answers everybody.
//!
//! A commit takes the lock of the file, makes memory agree with the file, evaluates the batch on
//! that, replaces the file once, and only then changes memory and answers. If anything fails, every
//! write of the batch gets the error, and memory and file hold the old state.
//!
//! One thread per file runs this, so nothing here is ever concurrent with itself. Memory changes
//! nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::gate;
use crate::operation::{Answer, Operation};
use crate::queue::{Queue, Submission, Wake};
use crate::snapshot;
use crate::state::{Changes, State};
use crate::state_file::{Failure, Lock, LockedFile, StateFile, Version};
use crate::storage::Metadata;

/// The pauses between two attempts to take a lock that another process holds: short at first,
/// because a commit takes less than a millisecond, then doubled up to the maximum.
const LOCK_PAUSE_MIN: Duration = Duration::from_micros(100);
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(2);

/// What memory holds, shared between the writer and those who read.
#[derive(Default)]
pub(crate) struct Memory {
    current: RwLock<Current>,
    /// The writer holds the lock of the file and memory agrees with the file, so nobody else's
    /// change can be missed, and looking at the file would only show the writer's own.
    is_newest: AtomicBool,
}

/// The state and the content of the file that it was read from or written to.
struct Current {
    state: State,
    version: Version,
    /// Whether that content is known to survive a loss of power.
    durable: bool,
}

impl Default for Current {
    fn default() -> Self {
        Self { state: State::default(), version: Version::Unknown, durable: false }
    }
}

impl Memory {
    /// The entry of a key, or `None` if memory does not hold the newest content of the file.
    pub(crate) fn get(&self, file: &StateFile, key: &[u8]) -> Option<Option<Entry>> {
        let current = self.read();
        // The look is one metadata call on an open file. It is made under the lock so that the
        // state is the one that was looked at; only the writer ever waits for that.
        let newest = self.is_newest.load(Ordering::Acquire) || file.is_current(&current.version);
        newest.then(|| current.state.get(key).cloned())
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().expect(NOT_POISONED)
    }

    /// Replaces everything. The old state is dropped after the lock was released: it may be large.
    fn replace(&self, current: Current) {
        let mut guard = self.current.write().expect(NOT_POISONED);
        let old = std::mem::replace(&mut *guard, current);
        drop(guard);
        drop(old);
    }

    fn install(&self, changes: Changes, version: Version, durable: bool) {
        let mut guard = self.current.write().expect(NOT_POISONED);
        let old = guard.state.install(changes);
        guard.version = version;
        guard.durable = durable;
        drop(guard);
        drop(old);
    }

    /// There is no file.
    fn set_missing(&self) {
        if !matches!(self.read().version, Version::Missing) {
            self.replace(Current { version: Version::Missing, ..Current::default() });
        }
    }

    fn set_durable(&self) {
        self.current.write().expect(NOT_POISONED).durable = true;
    }

    /// Lets go of the file, so that it is read again before anything else.
    pub(crate) fn forget(&self) {
        self.current.write().expect(NOT_POISONED).version = Version::Unknown;
    }
}

const NOT_POISONED: &str = "nothing panics while memory is locked";

/// Carries out batches on one file.
pub(crate) struct Writer<'engine> {
    pub(crate) queue: &'engine Queue,
    pub(crate) memory: &'engine Memory,
    pub(crate) file: &'engine StateFile,
}

/// The outcome of one attempt to commit.
enum Attempt {
    /// The answers, in the order of the batch.
    Done(Vec<Result<Answer>>),
    /// Another process holds the lock of this file.
    Busy(Metadata),
    /// Another process changed what the attempt was based on.
    Again,
}

impl Writer<'_> {
    /// Carries out a batch and answers every operation in it. Waits for other processes.
    pub(crate) fn run(&self, batch: Vec<Submission>) {
        let mut pause = LOCK_PAUSE_MIN;
        let mut rest = self.step(batch);
        while !rest.is_empty() {
            self.queue.wait_for_free(pause);
            pause = LOCK_PAUSE_MAX.min(pause * 2);
            rest.extend(self.queue.take_arrived());
            rest = self.step(rest);
        }
    }

    /// Does what can be done now. Returns the part of the batch that has to wait until another
    /// process releases its lock; reads go on meanwhile.
    fn step(&self, batch: Vec<Submission>) -> Vec<Submission> {
        let _work = gate::work();
        let (free, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(Submission::is_free);
        self.answer_reads(free);
        // The writes that its reads had to wait for may have given up.
        if !batch.iter().any(|submission| submission.operation.is_write()) {
            self.answer_reads(batch);
            return Vec::new();
        }
        loop {
            // Held until the answers were given: if the file is replaced, this is its last handle,
            // and closing that makes the kernel free the file, which takes a while.
            let known = self.memory.read().version.clone();
            match self.attempt(&batch, &known) {
                Ok(Attempt::Done(answers)) => answer(self.queue, batch, answers),
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Busy(holder)) => return self.give_up_late(batch, &holder),
                Err(error) => self.fail(batch, &error),
            }
            return Vec::new();
        }
    }

    /// Tries to commit a batch on top of the version that memory holds, or of a newer one. An error
    /// is the answer to every write in it.
    fn attempt(&self, batch: &[Submission], known: &Version) -> Result<Attempt> {
        let locked = match self.file.try_lock(known)? {
            Lock::Taken(locked) => Some(locked),
            Lock::Missing => None,
            Lock::Busy(holder) => return Ok(Attempt::Busy(holder)),
        };
        let damage = match &locked {
            Some(locked) => self.refresh_locked(locked).err(),
            None => {
                self.memory.set_missing();
                None
            }
        };
        let newest = (locked.is_some() && damage.is_none()).then(|| Newest::new(self.memory));
        let (answers, changes) = self.evaluate(batch, damage);
        let fsync = batch.iter().any(|submission| submission.fsync);
        let written = match changes {
            Some(changes) => self.write(locked.as_ref(), changes, fsync),
            None => Ok(None),
        };
        if let Err(Failure::NotDurable(_)) = &written {
            // What the disk holds is not known. It is read again, never assumed.
            self.memory.forget();
        }
        // Before the locks go: as soon as they have, another process may change the file.
        drop(newest);
        match written {
            Ok(_replacement) => Ok(Attempt::Done(answers)),
            Err(Failure::Busy(holder)) => Ok(Attempt::Busy(holder)),
            Err(Failure::Raced) => Ok(Attempt::Again),
            Err(Failure::Unchanged(error) | Failure::NotDurable(error)) => Err(error),
        }
    }

    /// Makes memory agree with the file as it is now.
    fn refresh(&self) -> Result<()> {
        let known = self.memory.read().version.clone();
        if self.file.is_current(&known) {
            return Ok(());
        }
        let (content, version) = self.file.read()?;
        self.load(&content, version)
    }

    /// Makes memory agree with the locked file.
    fn refresh_locked(&self, locked: &LockedFile) -> Result<()> {
        if locked.has(&self.memory.read().version) {
            return Ok(());
        }
        let (content, version) = self.file.read_locked(locked)?;
        self.load(&content, version)
    }

    fn load(&self, content: &[u8], version: Version) -> Result<()> {
        let state = match version {
            Version::Missing => State::default(),
            _ => snapshot::decode(content, self.file.path())?,
        };
        self.memory.replace(Current { state, version, durable: false });
        Ok(())
    }

    /// The answers of a batch if it is committed, and what there is to commit. From a damaged
    /// file there is a way out: clearing needs no readable file.
    fn evaluate(
        &self,
        batch: &[Submission],
        mut damage: Option<Error>,
    ) -> (Vec<Result<Answer>>, Option<Changes>) {
        let current = self.memory.read();
        let mut draft = current.state.draft();
        let answers = batch.iter().map(|Submission { operation, .. }| {
            if matches!(operation, Operation::Clear) {
                damage = None;
            }
            match (&damage, operation) {
                (Some(error), operation) if operation.needs_state() => Err(error.clone()),
                _ => Ok(operation.evaluate(&mut draft)),
            }
        });
        let answers = answers.collect();
        (answers, damage.is_none().then(|| draft.finish()))
    }

    /// Makes changes the file, then the memory. Returns the new file, still locked, if there is
    /// one.
    fn write(
        &self,
        locked: Option<&LockedFile>,
        changes: Changes,
        fsync: bool,
    ) -> Result<Option<LockedFile>, Failure> {
        if !changes.any() {
            match self.make_durable(fsync) {
                // A failed flush is never repeated: the same content is written to a new file.
                Err(_) if locked.is_some() => {}
                outcome => return outcome.map(|()| None).map_err(Failure::NotDurable),
            }
        }
        if changes.leave_nothing() {
            self.file.remove(locked, fsync)?;
            self.memory.install(changes, Version::Missing, fsync);
            return Ok(None);
        }
        let content = snapshot::encode(changes.view());
        let replacement = self.file.replace(locked, content.as_bytes(), fsync)?;
        self.memory.install(changes, replacement.version(), fsync);
        let compacted = self.memory.read().state.compacted();
        if let Some(state) = compacted {
            let version = replacement.version();
            self.memory.replace(Current { state, version, durable: fsync });
        }
        Ok(Some(replacement))
    }

    /// Flushes what was found. A change that changes nothing, such as deleting an absent key, is
    /// acknowledged like any other, but what it found may come from a process that died before it
    /// could flush it.
    fn make_durable(&self, fsync: bool) -> Result<()> {
        let (version, durable) = {
            let current = self.memory.read();
            (current.version.clone(), current.durable)
        };
        if fsync && !durable {
            self.file.flush(&version)?;
            self.memory.set_durable();
        }
        Ok(())
    }

    fn answer_reads(&self, reads: Vec<Submission>) {
        if reads.is_empty() {
            return;
        }
        let damage = self.refresh().err();
        let (answers, _) = self.evaluate(&reads, damage);
        answer(self.queue, reads, answers);
    }

    /// Tells every write of a batch that it failed. Its reads see the state without those writes.
    fn fail(&self, batch: Vec<Submission>, error: &Error) {
        let (writes, reads): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|submission| submission.operation.is_write());
        let answers = writes.iter().map(|_| Err(error.clone())).collect();
        answer(self.queue, writes, answers);
        self.answer_reads(reads);
    }

    /// Ends the writes that have waited for the lock for too long.
    fn give_up_late(&self, batch: Vec<Submission>, holder: &Metadata) -> Vec<Submission> {
        let now = Instant::now();
        let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|submission| {
            submission.operation.is_write()
                && now.duration_since(submission.started) >= submission.lock_timeout
        });
        if late.is_empty() {
            return rest;
        }
        let holder = self.file.lock_holder(holder);
        let locked = |submission: &Submission| Error::Locked {
            path: self.file.path().to_owned(),
            waited: submission.lock_timeout,
            holder,
        };
        let answers = late.iter().map(|submission| Err(locked(submission))).collect();
        answer(self.queue, late, answers);
        rest
    }
}

/// Gives the answers, in the order of the operations, and then wakes those who wait.
pub(crate) fn answer(queue: &Queue, batch: Vec<Submission>, answers: Vec<Result<Answer>>) {
    queue.decide(&batch);
    let mut wakes: Vec<Arc<dyn Wake>> = Vec::new();
    for (submission, answer) in batch.into_iter().zip(answers) {
        if let Some(wake) = submission.waiter.answer(answer)
            && !wakes.iter().any(|other| Arc::ptr_eq(other, &wake))
        {
            wakes.push(wake);
        }
    }
    for wake in wakes {
        wake.wake();
    }
}

/// Marks memory as the newest content while it exists.
struct Newest<'memory>(&'memory Memory);

impl<'memory> Newest<'memory> {
    fn new(memory: &'memory Memory) -> Self {
        memory.is_newest.store(true, Ordering::Release);
        Self(memory)
    }
}

impl Drop for Newest<'_> {
    fn drop(&mut self) {
        self.0.is_newest.store(false, Ordering::Release);
    }
}
