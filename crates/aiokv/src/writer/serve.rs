//! The writer itself, and what one step of it does: what waits is carried out as one batch, then the
//! checkpoint gets its turn.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Next;
use super::memory::Look;
use super::on_disk::OnDisk;
use super::owned::{Draining, Files, Writer};
use crate::error::{Error, Result};
use crate::files::storage::{Lock, Metadata};
use crate::files::{Directories, JournalFile, Locking, Place, StateFile};
use crate::queue::{Operation, Outcome, Submission};
use crate::state::Draft;

/// How often a batch is tried again at once because another process was faster. After that, the
/// writer pauses as if the file was locked.
const RACES_MAX: usize = 20;

/// What an attempt came to.
pub(super) enum Attempt {
    /// Outcomes in the order of the batch.
    Done(Vec<Result<Outcome>>),
    /// Another process holds the lock of this file.
    Busy(Metadata),
    /// Another process changed what the attempt was based on.
    Again,
}

impl Writer {
    /// Does what can be done now.
    pub(crate) fn step(&mut self, now: Instant) -> Next {
        self.now = now;
        let next = self.try_step(now);
        self.memory.watchers.answer();
        if !matches!(next, Next::Retry(_)) {
            self.stop_waiting();
        }
        next
    }

    fn try_step(&mut self, now: Instant) -> Next {
        self.waiting.extend(self.queue.take());
        if let Err(error) = self.find_files() {
            self.refuse(&error);
            return Next::Idle(None);
        }
        if !self.waiting.is_empty()
            && let Err(holder) = self.serve(now)
        {
            return self.retry(holder.as_ref(), now);
        }
        self.answer_drained();
        match self.schedule.due() {
            Some(due) if due <= now || self.checkpoint.is_some() => self.step_checkpoint(now),
            due => {
                // Nothing is left to bring up to date: another process, or a commit, saw to it.
                self.checkpoint = None;
                Next::Idle(due)
            }
        }
    }

    /// Lets the checkpoint that is due at some time begin now: no store is left.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.schedule.request(now);
    }

    /// Closes the files of an idle store. What memory holds stays, if the name of the file will
    /// tell that it is still the newest; otherwise it is read again by the next operation.
    ///
    /// `wall_clock` is the time in seconds since 1970.
    pub(crate) fn close_files(&mut self, wall_clock: i64) {
        /// The clock of a file system stands still for less than this.
        const TICK_SECONDS_MAX: i64 = 2;
        let Some(files) = &self.files else { return };
        let place = &files.place;
        let look = match &self.disk {
            // A later change gets a later change time than one that lies this far back.
            OnDisk::File { file, .. }
                if file.metadata.changed.0 + TICK_SECONDS_MAX < wall_clock
                    && file.file.metadata().is_ok_and(|now| now == file.metadata) =>
            {
                Look::Named(Arc::clone(place), file.metadata)
            }
            OnDisk::Missing => return,
            _ => Look::Impossible,
        };
        self.disk = OnDisk::Unknown;
        self.memory.set_look(look);
    }

    /// Whether files of the store are open.
    pub(crate) fn has_open_files(&self) -> bool {
        self.disk.file().is_some()
    }

    /// The journal beside the state file as of the last step, if there is one: its path, and
    /// whether it has changes that the state file does not hold.
    pub(crate) fn journal(&self) -> Option<(&Path, bool)> {
        let journal = self.disk.journal()?;
        let files = self.files.as_ref()?;
        Some((&files.place.journal, journal.changes_after(journal.start().number)))
    }

    /// Closes all files without releasing a lock, in the child of a fork.
    pub(crate) fn forget_files(&mut self) {
        self.forget();
        self.lock_wait = None;
        if let Some(checkpoint) = self.checkpoint.take() {
            checkpoint.forget();
        }
    }

    /// The path has to be resolved before anything else.
    fn find_files(&mut self) -> Result<()> {
        if self.files.is_none() {
            let place = Arc::new(Place::resolve(Arc::clone(&self.storage), &self.path)?);
            self.files = Some(Files {
                state: StateFile::new(&place),
                journal: JournalFile::new(&place),
                directories: Directories::new(&place),
                place,
            });
        }
        Ok(())
    }

    /// Answers everything for a file that cannot even be found.
    fn refuse(&mut self, error: &Error) {
        let batch = std::mem::take(&mut self.waiting);
        let answers = batch.iter().map(|submission| match submission.operation {
            // Nothing is left to do.
            Operation::Close => Ok(Outcome::Done),
            _ => Err(error.clone()),
        });
        let answers = answers.collect();
        self.queue.answer(batch, answers);
    }

    /// Carries out what waits. If another process holds the lock, what has to wait for it stays,
    /// and the metadata of the locked file is returned; or none, if other processes were faster all
    /// the time.
    fn serve(&mut self, now: Instant) -> Result<(), Option<Metadata>> {
        let mut races = 0;
        loop {
            self.answer_free_reads();
            let is_draining =
                |it: &Submission| matches!(it.operation, Operation::Checkpoint | Operation::Close);
            let waiting = std::mem::take(&mut self.waiting);
            let (drains, batch): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_draining);
            let attempt = if batch.is_empty() {
                Ok(Attempt::Done(Vec::new()))
            } else if batch.iter().any(|submission| submission.operation.is_write()) {
                self.commit(&batch, now)
            } else {
                self.read(&batch)
            };
            match attempt {
                Ok(Attempt::Done(outcomes)) => {
                    // First, so that a change that was acknowledged has been told.
                    self.memory.watchers.answer();
                    self.queue.answer(batch, outcomes);
                    self.drain(drains, now);
                    return Ok(());
                }
                Ok(Attempt::Again) if races < RACES_MAX => {
                    races += 1;
                    self.waiting = batch.into_iter().chain(drains).collect();
                }
                Ok(Attempt::Again) => {
                    self.waiting = batch.into_iter().chain(drains).collect();
                    return Err(None);
                }
                Ok(Attempt::Busy(holder)) => {
                    self.waiting = batch.into_iter().chain(drains).collect();
                    return Err(Some(holder));
                }
                Err(error) => self.fail(batch, drains, &error),
            }
            if self.waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// Answers the reads that no write before them can change, if memory holds the newest state.
    fn answer_free_reads(&mut self) {
        if !self.waiting.iter().any(Submission::is_free_read) || !self.memory.is_current() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (free, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(Submission::is_free_read);
        self.waiting = rest;
        let outcomes = self.evaluate_reads(&free);
        self.queue.answer(free, outcomes);
    }

    /// Carries out a batch of reads, under the shared lock if memory may not hold the newest state.
    fn read(&mut self, batch: &[Submission]) -> Result<Attempt> {
        if !self.memory.is_current() {
            let locking = self.lock(Lock::Shared);
            let tell = |error: &Error| self.memory.watchers.add_error(error);
            match locking.inspect_err(tell)? {
                Locking::Busy(holder) => return Ok(Attempt::Busy(holder)),
                Locking::Missing => {
                    if !self.refresh_missing()? {
                        return Ok(Attempt::Again);
                    }
                }
                Locking::Taken(locked) => self.refresh(&locked)?,
            }
        }
        Ok(Attempt::Done(self.evaluate_reads(batch)))
    }

    fn evaluate_reads(&self, batch: &[Submission]) -> Vec<Result<Outcome>> {
        self.memory.with_state(|state| {
            let mut draft = Draft::new(state);
            batch.iter().map(|submission| draft.evaluate(&submission.operation)).collect()
        })
    }

    /// Tells every write of a batch that it failed. Its reads go on without those writes.
    fn fail(&mut self, batch: Vec<Submission>, drains: Vec<Submission>, error: &Error) {
        let is_write = |it: &Submission| it.operation.is_write();
        let (failed, rest) = if batch.iter().any(is_write) {
            batch.into_iter().partition(is_write)
        } else {
            (batch, Vec::new())
        };
        let answers = failed.iter().map(|_| Err(error.clone())).collect();
        self.queue.answer(failed, answers);
        self.waiting = rest.into_iter().chain(drains).collect();
    }

    /// Lets operations wait until the state file covers what came before them.
    fn drain(&mut self, drains: Vec<Submission>, now: Instant) {
        for submission in drains {
            let request = match submission.operation {
                Operation::Checkpoint => self.schedule.request_always(now),
                _ => self.schedule.request(now),
            };
            self.draining.push(Draining { submission, request });
        }
    }

    /// Answers the operations whose checkpoint is done.
    pub(super) fn answer_drained(&mut self) {
        let covered = |it: &Draining| self.schedule.is_covered(it.request);
        if self.draining.iter().any(covered) {
            let draining = std::mem::take(&mut self.draining);
            let (done, rest) =
                draining.into_iter().partition(|it| self.schedule.is_covered(it.request));
            self.draining = rest;
            self.answer_drains(done, &Ok(()));
        }
    }

    pub(super) fn answer_drains(&self, drains: Vec<Draining>, outcome: &Result<()>) {
        let answers = drains.iter().map(|_| outcome.clone().map(|()| Outcome::Done)).collect();
        let submissions = drains.into_iter().map(|draining| draining.submission).collect();
        self.queue.answer(submissions, answers);
    }
}
