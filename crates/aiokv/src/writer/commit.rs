//! The writer: takes what waits in the queue as one batch, commits it and answers everybody.
//!
//! A commit takes the lock of the file, makes memory agree with the file and its journal
//! ([`crate::writer::refresh`]), evaluates the batch on that, replaces the file or appends to the journal
//! once, and only then changes memory and answers. If anything fails, every write of the batch
//! gets the error, and memory and disk hold the old state.
//!
//! One thread per file runs this, so nothing here is ever concurrent with itself. Memory changes
//! nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::engine::gate;
use crate::error::{Error, Result};
use crate::files::journal_file::OpenJournal;
use crate::files::state_file::{Failure, Lock, LockedFile, StateFile, Version};
use crate::files::storage::Metadata;
use crate::format::journal::{Digest, Event};
use crate::format::json_file as snapshot;
use crate::json::entry::Entry;
use crate::options::Options;
use crate::queue::operation::{Answer, Operation};
use crate::queue::order::{Queue, Submission, Wake};
use crate::state::map::{Changes, Draft, State, View};
use crate::writer::checkpoint::Folding;

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

/// The state, and what is on disk of it.
#[derive(Default)]
struct Current {
    state: State,
    stored: Stored,
}

/// What is on disk: the file and its journal, as they were last read or written.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    pub(crate) version: Version,
    /// The content of the file, if there is one.
    pub(crate) digest: Option<Digest>,
    pub(crate) journal: Option<OpenJournal>,
    /// Whether all of it is known to survive a loss of power. A file that has a journal does in
    /// any case.
    pub(crate) durable: bool,
}

impl Stored {
    /// Whether it is still the newest: a look at the metadata of the file, and at the journal if
    /// there is one.
    pub(crate) fn is_current(&self, file: &StateFile) -> bool {
        file.is_current(&self.version) && self.journal.as_ref().is_none_or(OpenJournal::is_current)
    }
}

impl Memory {
    /// The entry of a key, or `None` if memory does not hold the newest state.
    pub(crate) fn get(&self, file: &StateFile, key: &[u8]) -> Option<Option<Entry>> {
        // An event loop must not wait. While changes are put in place, the writer answers instead.
        let current = self.current.try_read().ok()?;
        // The look costs one or two calls on open files. It is made under the lock so that the
        // state is the one that was looked at; only the writer ever waits for that.
        let newest = self.is_newest.load(Ordering::Acquire) || current.stored.is_current(file);
        newest.then(|| current.state.get(key).cloned())
    }

    /// What is on disk.
    pub(crate) fn stored(&self) -> Stored {
        self.read().stored.clone()
    }

    /// Every entry.
    pub(crate) fn view(&self) -> View {
        self.read().state.draft().view()
    }

    /// Replaces everything. The old state is dropped after the lock was released: it may be large.
    pub(crate) fn replace(&self, state: State, stored: Stored) {
        let mut guard = self.write();
        let old = std::mem::replace(&mut *guard, Current { state, stored });
        drop(guard);
        drop(old);
    }

    /// Makes changes to the state.
    pub(crate) fn apply(&self, change: impl FnOnce(&mut Draft<'_>), stored: Stored) {
        let changes = {
            let current = self.read();
            let mut draft = current.state.draft();
            change(&mut draft);
            draft.finish()
        };
        self.install(changes, stored);
    }

    fn install(&self, changes: Changes, stored: Stored) {
        let mut guard = self.write();
        let old = guard.state.install(changes);
        let old_stored = std::mem::replace(&mut guard.stored, stored);
        drop(guard);
        drop((old, old_stored));
    }

    /// Takes note of what is on disk; the state is what it was.
    pub(crate) fn set_stored(&self, stored: Stored) {
        self.write().stored = stored;
    }

    /// Lets go of the file, so that it is read again before anything else.
    pub(crate) fn forget(&self) {
        self.set_stored(Stored::default());
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().expect(NOT_POISONED)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "nothing panics while memory is locked";

/// Carries out batches on one file.
pub(crate) struct Writer<'engine> {
    pub(crate) queue: &'engine Queue,
    pub(crate) memory: &'engine Memory,
    pub(crate) folding: &'engine Folding,
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
        let settles = |it: &Submission| matches!(it.operation, Operation::Settle);
        let (settling, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(settles);
        let (free, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(Submission::is_free);
        self.answer_reads(free);
        let mut rest = self.commit(batch);
        if rest.is_empty() {
            self.settle(settling);
        } else {
            rest.extend(settling);
        }
        rest
    }

    /// Answers those who wait until everything is decided, or lets them wait on until the file is
    /// up to date.
    fn settle(&self, settling: Vec<Submission>) {
        if self.folding.is_pending() && !settling.is_empty() {
            return self.folding.settle(settling);
        }
        let answers = settling.iter().map(|_| Ok(Answer::Done)).collect();
        answer(self.queue, settling, answers);
    }

    fn commit(&self, batch: Vec<Submission>) -> Vec<Submission> {
        // The writes that its reads had to wait for may have given up.
        if !batch.iter().any(|submission| submission.operation.is_write()) {
            self.answer_reads(batch);
            return Vec::new();
        }
        loop {
            // Held until the answers were given: if the file is replaced, this is its last handle,
            // and closing that makes the kernel free the file, which takes a while.
            let known = self.memory.stored();
            match self.attempt(&batch, &known) {
                Ok(Attempt::Done(answers)) => answer(self.queue, batch, answers),
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Busy(holder)) => return self.give_up_late(batch, &holder),
                Err(error) => self.fail(batch, &error),
            }
            return Vec::new();
        }
    }

    /// Tries to commit a batch on top of what memory holds, or of something newer. An error is
    /// the answer to every write in it.
    fn attempt(&self, batch: &[Submission], known: &Stored) -> Result<Attempt> {
        let mut locked = match self.file.try_lock(&known.version)? {
            Lock::Taken(locked) => Some(locked),
            Lock::Missing => None,
            Lock::Busy(holder) => return Ok(Attempt::Busy(holder)),
        };
        if let Some(locked) = &locked {
            self.file.tidy(locked)?;
        }
        let refreshed = match &locked {
            Some(locked) => self.refresh(Some(locked)),
            None => match self.refresh_missing() {
                Ok(false) => return Ok(Attempt::Again),
                outcome => outcome.map(drop),
            },
        };
        let damage = refreshed.err();
        let damaged = damage.is_some();
        let newest = (locked.is_some() && !damaged).then(|| Newest::new(self.memory));
        let (answers, changes) = self.evaluate(batch, damage);
        let written = match changes {
            Some(changes) => self.write(locked.as_mut(), batch, changes, damaged),
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

    /// The answers of a batch if it is committed, and what there is to commit. From damage there
    /// is a way out: clearing needs neither a readable file nor a readable journal.
    fn evaluate(
        &self,
        batch: &[Submission],
        mut damage: Option<Error>,
    ) -> (Vec<Result<Answer>>, Option<Batch>) {
        let current = self.memory.read();
        let mut draft = current.state.draft();
        let mut events = Vec::new();
        let mut cleared = false;
        let answers = batch.iter().map(|Submission { operation, .. }| {
            if matches!(operation, Operation::Clear) {
                damage = None;
                cleared = true;
            }
            match (&damage, operation) {
                (Some(error), operation) if operation.needs_state() => Err(error.clone()),
                _ => {
                    events.extend(operation.event(&draft));
                    Ok(operation.evaluate(&mut draft))
                }
            }
        });
        let answers = answers.collect();
        let changes = draft.finish();
        (answers, damage.is_none().then_some(Batch { changes, events, cleared }))
    }

    /// Makes a batch what is on disk, then what is in memory. Returns the new file, still locked,
    /// if there is one.
    fn write(
        &self,
        locked: Option<&mut LockedFile>,
        submissions: &[Submission],
        batch: Batch,
        damaged: bool,
    ) -> Result<Option<LockedFile>, Failure> {
        let flush = submissions.iter().any(|submission| submission.options.fsync);
        if !batch.changes.any() {
            match self.make_durable(flush) {
                // A failed flush is never repeated: the same content is written to a new file.
                Err(_) if locked.is_some() => {}
                outcome => return outcome.map(|()| None).map_err(Failure::NotDurable),
            }
        } else if batch.changes.leave_nothing() {
            return self.remove(locked, batch, flush, damaged).map(|()| None);
        } else if let Some(file) = &locked
            && !batch.cleared
            && submissions.iter().all(|submission| submission.appends_to(file.metadata().size))
            && self.can_append()
        {
            let locked = locked.expect("looked above");
            return self.append(locked, submissions, batch, flush).map(|()| None);
        }
        self.replace(locked, batch, flush, damaged).map(Some)
    }

    /// Removes the file and its journal.
    fn remove(
        &self,
        mut locked: Option<&mut LockedFile>,
        batch: Batch,
        flush: bool,
        damaged: bool,
    ) -> Result<(), Failure> {
        self.folding.abandon(self.file);
        let journaled = !damaged && self.memory.read().stored.journal.is_some();
        if let Some(locked) = locked.as_deref_mut()
            && journaled
        {
            self.extend(locked, &[Event::Cleared], true)?;
        }
        self.file.remove(locked.as_deref(), flush || journaled)?;
        let stored = Stored { version: Version::Missing, durable: flush, ..Stored::default() };
        self.memory.install(batch.changes, stored);
        self.folding.finish();
        Ok(())
    }

    /// Whether the file has a journal or can get one, which may only continue what is durable. A
    /// failed flush is never repeated: the file is to be replaced then.
    fn can_append(&self) -> bool {
        let mut stored = self.memory.stored();
        if stored.journal.is_some() || stored.durable {
            return true;
        }
        stored.durable = self.file.flush(&stored.version).is_ok();
        let durable = stored.durable;
        self.memory.set_stored(stored);
        durable
    }

    /// Appends a batch to the journal.
    fn append(
        &self,
        locked: &mut LockedFile,
        submissions: &[Submission],
        batch: Batch,
        flush: bool,
    ) -> Result<(), Failure> {
        let stored = self.extend(locked, &batch.events, flush)?;
        let length = stored.journal.as_ref().map_or(0, OpenJournal::length);
        let file_bytes = locked.metadata().size;
        let outgrown = |options: &Options| length > file_bytes.max(options.journal_threshold);
        let writes = submissions.iter().filter(|submission| submission.operation.is_write());
        for Submission { options, .. } in writes {
            self.folding.add(options, outgrown(options));
        }
        self.memory.install(batch.changes, stored);
        self.compact();
        Ok(())
    }

    /// Adds events to the journal. One that cannot be appended to is replaced by a copy; if there
    /// is none, one is created. Returns what is on disk then.
    pub(crate) fn extend(
        &self,
        locked: &mut LockedFile,
        events: &[Event],
        flush: bool,
    ) -> Result<Stored, Failure> {
        let mut stored = self.memory.stored();
        match &mut stored.journal {
            Some(journal) if journal.is_sound() => {
                if !journal.announced {
                    // Whoever created it may have died before its name was durable.
                    self.file.flush_names().map_err(Failure::Unchanged)?;
                    self.file.announce(locked).map_err(Failure::Unchanged)?;
                    journal.announced = true;
                }
                if let Err(failure) = self.file.journal.append(journal, events, flush) {
                    journal.set_unsound();
                    self.memory.set_stored(stored);
                    return Err(failure);
                }
                stored.durable = flush;
            }
            journal => {
                let digest = stored.digest.expect("a file that was read or written has content");
                let lines = journal.as_ref().map(|journal| (journal, journal.start()));
                let mut copy = self.file.journal.install(locked, digest, lines, events)?;
                self.file.announce(locked).map_err(Failure::NotDurable)?;
                copy.announced = true;
                *journal = Some(copy);
                stored.durable = true;
            }
        }
        stored.version = locked.version();
        Ok(stored)
    }

    /// Replaces the file, and folds the journal into it if there is one.
    fn replace(
        &self,
        locked: Option<&mut LockedFile>,
        batch: Batch,
        flush: bool,
        damaged: bool,
    ) -> Result<LockedFile, Failure> {
        self.folding.abandon(self.file);
        let journal = self.memory.stored().journal.filter(|_| !damaged);
        let through = journal.map(|journal| journal.end());
        let mut replacement = self.file.begin(locked.as_deref(), flush || through.is_some())?;
        let mut pieces = snapshot::encode(self.memory.read().state.view_with(&batch.changes));
        let written = pieces.try_for_each(|piece| replacement.write(&piece));
        if let Err(error) = written.and_then(|()| replacement.complete()) {
            self.file.discard(replacement);
            return Err(Failure::Unchanged(Error::io("replace", self.file.path())(error)));
        }
        let (new, stored) = self.switch(replacement, locked, through, true)?;
        if damaged {
            self.file.journal.remove(flush).map_err(Failure::NotDurable)?;
        }
        self.memory.install(batch.changes, stored);
        self.folding.finish();
        self.compact();
        Ok(new)
    }

    fn compact(&self) {
        let compacted = self.memory.read().state.compacted();
        if let Some(state) = compacted {
            self.memory.replace(state, self.memory.stored());
        }
    }

    /// Flushes what was found. A change that changes nothing, such as deleting an absent key, is
    /// acknowledged like any other, but what it found may come from a process that died before it
    /// could flush it.
    fn make_durable(&self, flush: bool) -> Result<()> {
        let mut stored = self.memory.stored();
        if flush && !stored.durable {
            if let Some(journal) = &mut stored.journal
                && let Err(error) = self.file.journal.flush(journal)
            {
                journal.set_unsound();
                self.memory.set_stored(stored);
                return Err(error);
            }
            self.file.flush(&stored.version)?;
            stored.durable = true;
            self.memory.set_stored(stored);
        }
        Ok(())
    }

    fn answer_reads(&self, reads: Vec<Submission>) {
        if reads.is_empty() {
            return;
        }
        let damage = self.refresh(None).err();
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

    /// Ends what has waited for the lock for too long.
    pub(crate) fn give_up_late(
        &self,
        batch: Vec<Submission>,
        holder: &Metadata,
    ) -> Vec<Submission> {
        let now = Instant::now();
        let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|submission| {
            submission.operation.needs_lock()
                && now.duration_since(submission.started) >= submission.options.lock_timeout
        });
        if late.is_empty() {
            return rest;
        }
        let holder = self.file.lock_holder(holder);
        let locked = |submission: &Submission| Error::Locked {
            path: self.file.path().to_owned(),
            waited: submission.options.lock_timeout,
            holder,
        };
        let answers = late.iter().map(|submission| Err(locked(submission))).collect();
        answer(self.queue, late, answers);
        rest
    }
}

/// What a batch comes to.
struct Batch {
    changes: Changes,
    /// The same changes as the lines of the journal tell them. They do not tell of clearing.
    events: Vec<Event>,
    cleared: bool,
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
pub(crate) struct Newest<'memory>(&'memory Memory);

impl<'memory> Newest<'memory> {
    pub(crate) fn new(memory: &'memory Memory) -> Self {
        memory.is_newest.store(true, Ordering::Release);
        Self(memory)
    }
}

impl Drop for Newest<'_> {
    fn drop(&mut self) {
        self.0.is_newest.store(false, Ordering::Release);
    }
}
