//! A batch with changes becomes what is on disk, then what is in memory.
//!
//! The writer takes the exclusive lock, makes memory agree with the disk, evaluates the batch on a
//! draft, and appends to the journal or replaces the state file, once. Only then it changes memory
//! and releases the lock. If a step fails, every write of the batch gets the error, and disk and
//! memory hold the old state; if it is not known what the disk holds, it is read again.

use std::time::Instant;

use super::append::appends;
use super::memory::Look;
use super::on_disk::OnDisk;
use super::owned::Writer;
use super::serve::Attempt;
use crate::error::{Error, Result};
use crate::files::storage::Lock;
use crate::files::{Creation, Failure, LockedFile, Locking, Temporary, remove_left_behind};
use crate::format::json_file;
use crate::queue::{Operation, Outcome, Submission};
use crate::state::{Draft, Record};

/// The state file that a commit works on.
enum Base {
    /// There is neither a state file nor a journal.
    Missing,
    /// It is locked, and memory agrees with it and with its journal.
    Known(LockedFile),
    /// It is locked, but it or its journal is damaged; or there is none, and something is wrong with
    /// the journal. There is only one change that can be made: clearing.
    Damaged(Option<LockedFile>),
}

impl Writer {
    /// Tries to commit a batch on top of the newest state. An error is the answer to every write
    /// in it.
    pub(super) fn commit(&mut self, batch: &[Submission], now: Instant) -> Result<Attempt> {
        let locked = match self.lock(Lock::Exclusive)? {
            Locking::Taken(locked) => Some(locked),
            Locking::Missing => None,
            Locking::Busy(holder) => return Ok(Attempt::Busy(holder)),
        };
        if locked.is_some() && self.checkpoint.is_none() {
            // A process that is at work on one is left alone. Whether one can be removed matters
            // only to a commit that needs the name.
            let _ = remove_left_behind(&self.files().place);
        }
        let (base, damage) = match locked {
            Some(locked) => match self.refresh(&locked) {
                Ok(()) => {
                    self.memory.set_look(Look::Locked);
                    (Base::Known(locked), None)
                }
                // What could not be read may be sound. Clearing it would be safe only without a
                // journal, because that cannot be told of the new state file.
                Err(error @ Error::Io { .. }) if self.files().journal.look()?.is_some() => {
                    return Err(error);
                }
                Err(error) => (Base::Damaged(Some(locked)), Some(error)),
            },
            None => match self.refresh_missing() {
                Ok(true) => (Base::Missing, None),
                Ok(false) => return Ok(Attempt::Again),
                Err(error) => (Base::Damaged(None), Some(error)),
            },
        };
        let (outcomes, record) = self.evaluate(batch, damage);
        let written = match record {
            Some(record) => self.write(base, batch, record, now),
            // Nothing can be changed. The lock goes with `base`.
            None => Ok(None),
        };
        if let Err(Failure::Unknown(..)) = &written {
            self.forget();
        }
        // Before the lock is released: after that, another process may change the file.
        self.publish();
        match written {
            Ok(locked) => {
                drop(locked);
                Ok(Attempt::Done(outcomes))
            }
            Err(Failure::Busy(holder)) => Ok(Attempt::Busy(holder)),
            Err(Failure::Raced) => Ok(Attempt::Again),
            Err(Failure::Unchanged(error) | Failure::Unknown(error, _)) => Err(error),
        }
    }

    /// The outcomes of a batch if it is committed, and what there is to commit. From damage there
    /// is a way out: clearing needs neither a readable file nor a readable journal.
    fn evaluate(
        &self,
        batch: &[Submission],
        mut damage: Option<Error>,
    ) -> (Vec<Result<Outcome>>, Option<Record>) {
        self.memory.with_state(|state| {
            let mut draft = Draft::new(state);
            let outcomes = batch.iter().map(|Submission { operation, .. }| {
                if matches!(operation, Operation::Clear) {
                    damage = None;
                }
                match &damage {
                    Some(error) => Err(error.clone()),
                    None => draft.evaluate(operation),
                }
            });
            let outcomes = outcomes.collect();
            (outcomes, damage.is_none().then(|| draft.finish()))
        })
    }

    /// Makes a record what is on disk, then what is in memory. Returns the lock, to be released
    /// once memory has been told.
    fn write(
        &mut self,
        base: Base,
        batch: &[Submission],
        record: Record,
        now: Instant,
    ) -> Result<Option<LockedFile>, Failure> {
        let flush = batch.iter().any(|it| it.options.fsync && it.operation.is_write());
        let locked = match base {
            Base::Known(locked) if record.is_empty() => {
                return match self.make_durable(&locked, flush) {
                    Ok(()) => Ok(Some(locked)),
                    // A failed flush is never repeated: the same content goes to a new file.
                    Err(_) => self.replace(Some(&locked), &record, flush).map(Some),
                };
            }
            Base::Known(locked) if record.leaves_nothing() => {
                self.clear(Some(&locked), &record, flush)?;
                Some(locked)
            }
            Base::Known(mut locked) => {
                let bytes = locked.metadata().size;
                let appends = !record.cleared() && batch.iter().all(|it| appends(it, bytes));
                if appends && self.prepare_to_append(&mut locked) {
                    let appended = self.append(&locked, &record, flush);
                    if matches!(appended, Ok(()) | Err(Failure::Unknown(..))) {
                        self.schedule_checkpoint(batch, bytes, now);
                    }
                    appended?;
                    Some(locked)
                } else {
                    Some(self.replace(Some(&locked), &record, flush)?)
                }
            }
            Base::Damaged(locked) => self.clear_and_create(locked.as_ref(), &record, flush)?,
            Base::Missing if record.leaves_nothing() => {
                remove_left_behind(&self.files().place)?;
                self.make_removal_durable(flush)?;
                None
            }
            Base::Missing if record.is_empty() => {
                self.make_removal_durable(flush)?;
                None
            }
            Base::Missing => Some(self.replace(None, &record, flush)?),
        };
        let look = self.look();
        self.memory.install(record, look);
        if self.disk.journal().is_none() {
            self.schedule.done_with_everything(now);
        }
        Ok(locked)
    }

    /// Clears a store that is damaged, and creates a state file if the record leaves anything. The
    /// lock of the temporary file keeps other processes from creating one in between.
    fn clear_and_create(
        &mut self,
        locked: Option<&LockedFile>,
        record: &Record,
        flush: bool,
    ) -> Result<Option<LockedFile>, Failure> {
        if record.leaves_nothing() {
            let cleared = self.clear(locked, record, flush);
            if cleared.is_err() {
                self.forget();
            }
            return cleared.map(|()| None);
        }
        self.checkpoint = None;
        let temporary = self.write_temporary(locked, record, flush)?;
        let outcome = self.create_after_clearing(temporary, locked, flush);
        if outcome.is_err() {
            // A part of it may have happened.
            self.forget();
        }
        outcome.map(Some)
    }

    fn create_after_clearing(
        &mut self,
        temporary: Temporary,
        locked: Option<&LockedFile>,
        flush: bool,
    ) -> Result<LockedFile, Failure> {
        match locked {
            Some(locked) => self.remove_state_file(locked, true)?,
            None if self.files().state.look()?.is_some() => return Err(Failure::Raced),
            None => {}
        }
        let content = temporary.digest();
        let files = self.files();
        if files.journal.look()?.is_some() {
            files
                .journal
                .remove(&mut files.directories)
                .map_err(|error| Failure::Unknown(error, None))?;
        }
        let new = temporary.become_state_file(None, &mut files.directories, flush)?;
        self.disk = OnDisk::File { file: new.handle().clone(), content, durable: flush };
        Ok(new)
    }

    fn schedule_checkpoint(&mut self, batch: &[Submission], file_bytes: u64, now: Instant) {
        let journal_bytes = self.disk.journal().map_or(0, |journal| journal.length());
        for submission in batch.iter().filter(|it| it.operation.is_write()) {
            self.schedule.appended(now, file_bytes, journal_bytes, &submission.options);
        }
    }

    /// Replaces the state file by one that holds the record too, or creates it. The journal, if
    /// there is one, has nothing to add then and is removed.
    pub(super) fn replace(
        &mut self,
        locked: Option<&LockedFile>,
        record: &Record,
        flush: bool,
    ) -> Result<LockedFile, Failure> {
        self.checkpoint = None;
        if let Some(locked) = locked {
            self.repair_journal(locked)?;
        }
        let is_journaled = self.disk.journal().is_some();
        let flush = flush || is_journaled;
        let mut temporary = self.write_temporary(locked, record, flush)?;
        let content = temporary.digest();
        if let (true, Some(locked)) = (is_journaled, locked) {
            temporary = self.announce_checkpoint(temporary, self.end_number(), locked)?;
        }
        if locked.is_none() {
            self.require_nothing()?;
        }
        self.make_absence_of_journal_durable(flush)?;
        let files = self.files();
        let new = temporary.become_state_file(locked, &mut files.directories, flush)?;
        self.disk = OnDisk::File { file: new.handle().clone(), content, durable: flush };
        if is_journaled {
            let files = self.files();
            if let Err(error) = files.journal.remove(&mut files.directories) {
                return Err(Failure::unknown(error, new));
            }
        }
        Ok(new)
    }

    /// Writes a new state file that holds the record too, under the name of the temporary file.
    fn write_temporary(
        &mut self,
        locked: Option<&LockedFile>,
        record: &Record,
        flush: bool,
    ) -> Result<Temporary, Failure> {
        let mut temporary = self.create_temporary(locked, flush)?;
        let mut pieces = json_file::encode(self.memory.snapshot_with(record));
        let mut written = pieces.try_for_each(|piece| temporary.write(&piece));
        if self.disk.journal().is_some() && self.disk.content() == Some(temporary.digest()) {
            // By their contents the journal tells the files apart, and its lines do not tell of this
            // record.
            written = written.and_then(|()| temporary.write("\n"));
        }
        let flushed = written.and_then(|()| if flush { temporary.flush() } else { Ok(()) });
        flushed.map_err(Error::io("replace", &self.files().place.file))?;
        Ok(temporary)
    }

    /// The number of the last line of the journal.
    fn end_number(&self) -> u64 {
        self.disk.journal().map_or(0, |journal| journal.end().number)
    }

    pub(super) fn create_temporary(
        &mut self,
        old: Option<&LockedFile>,
        durably: bool,
    ) -> Result<Temporary, Failure> {
        let files = self.files();
        let old = old.map(LockedFile::metadata);
        match Temporary::create(&files.place, &files.directories, old, durably)? {
            Creation::Created(temporary) => Ok(temporary),
            Creation::Busy(holder) => Err(Failure::Busy(holder)),
        }
    }

    /// Looks, with the lock of the temporary file, that there is neither a state file nor a
    /// journal.
    fn require_nothing(&mut self) -> Result<(), Failure> {
        let files = self.files();
        match (files.state.look()?, files.journal.look()?) {
            (None, None) => Ok(()),
            _ => Err(Failure::Raced),
        }
    }
}
