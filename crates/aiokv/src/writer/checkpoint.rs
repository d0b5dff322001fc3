//! A checkpoint: the state file is brought up to date with its journal, in the background.
//!
//! The state of one moment is written to the temporary file, piece by piece, each of which takes
//! about as long as a commit. Commits go on in between. At the end, under the lock, the file gets
//! its name, if it is still based on what is there, and the lines that it holds leave the journal.
//!
//! A checkpoint is never in the way: what needs the temporary file, or replaces the state file
//! anyway, drops it.

use std::time::Instant;

use super::Next;
use super::memory::Look;
use super::on_disk::OnDisk;
use super::owned::{Checkpoint, Draining, Writer};
use crate::error::{Error, Result};
use crate::files::storage::{Lock, Metadata};
use crate::files::{Creation, Failure, LockedFile, Locking, OpenJournal, Temporary};
use crate::format::journal::{Appended, Digest, Position};
use crate::format::json_file;

/// What came of a step.
enum Step {
    /// There is more to do.
    More,
    /// Another process has a lock: of the state file or of the temporary file.
    Busy(Metadata),
    /// The state file holds everything up to here.
    Done(u64),
}

impl Writer {
    /// Makes one step of the checkpoint, and answers the operations that wait for it if it was the
    /// last one.
    pub(super) fn step_checkpoint(&mut self, now: Instant) -> Next {
        let step = match self.checkpoint {
            None => self.begin_checkpoint(),
            Some(_) => self.continue_checkpoint(),
        };
        match step {
            Ok(Step::More) => Next::Again,
            Ok(Step::Done(covers)) => {
                self.schedule.done(covers, now);
                if !self.draining.is_empty() && self.schedule.is_pending() {
                    self.schedule.request(now);
                }
                self.answer_drained();
                Next::Again
            }
            Ok(Step::Busy(_)) if self.checkpoint.is_none() && self.draining.is_empty() => {
                // Another process is at work on a checkpoint, maybe of the same changes.
                self.schedule.postpone(now);
                Next::Idle(self.schedule.due())
            }
            Ok(Step::Busy(holder)) => self.retry(Some(&holder), now),
            Err(error) => {
                self.checkpoint = None;
                self.schedule.failed(now);
                self.report_failure(&error);
                Next::Idle(self.schedule.due())
            }
        }
    }

    /// Tells the operations that wait. A failure that none waited for is logged.
    fn report_failure(&mut self, error: &Error) {
        let waiting: Vec<Draining> = std::mem::take(&mut self.draining);
        if waiting.is_empty() {
            log::warn!(
                target: "aiokv",
                "`{}` is behind its journal, which holds every change: {error}",
                self.files().place.file.display(),
            );
        }
        self.answer_drains(waiting, &Err(error.clone()));
    }

    fn begin_checkpoint(&mut self) -> Result<Step> {
        let covers = self.schedule.begin();
        let locked = match self.lock(Lock::Exclusive)? {
            Locking::Taken(locked) => locked,
            Locking::Missing => {
                let is_missing = self.refresh_missing()?;
                return Ok(if is_missing { Step::Done(covers) } else { Step::More });
            }
            Locking::Busy(holder) => return Ok(Step::Busy(holder)),
        };
        self.refresh(&locked)?;
        if self.disk.journal().is_none() {
            return Ok(Step::Done(covers));
        }
        let prepared = self.repair_journal(&locked);
        self.publish();
        if let Err(failure) = prepared {
            return self.step_after(failure);
        }
        let files = self.files();
        let old = Some(locked.metadata());
        let created = Temporary::create(&files.place, &files.directories, old, true)?;
        let temporary = match created {
            Creation::Created(temporary) => temporary,
            Creation::Busy(holder) => return Ok(Step::Busy(holder)),
        };
        let through = self.disk.journal().expect("looked above").end();
        self.checkpoint = Some(Checkpoint {
            temporary,
            pieces: json_file::encode(self.memory.with_state(|state| state.snapshot())),
            file: locked.handle().clone(),
            through,
            covers,
        });
        Ok(Step::More)
    }

    fn continue_checkpoint(&mut self) -> Result<Step> {
        let Some(Checkpoint { temporary, pieces, .. }) = &mut self.checkpoint else {
            return Ok(Step::More);
        };
        let Some(piece) = pieces.next() else { return self.finish_checkpoint() };
        let written = temporary.write(&piece).and_then(|()| temporary.flush_content());
        written.map_err(Error::io("replace", &self.files().place.file))?;
        Ok(Step::More)
    }

    /// Makes the new file the state file, unless it is based on what is not there any more. Then
    /// the checkpoint begins again.
    fn finish_checkpoint(&mut self) -> Result<Step> {
        let locked = match self.lock(Lock::Exclusive)? {
            Locking::Taken(locked) => locked,
            Locking::Missing => {
                self.checkpoint = None;
                return Ok(Step::More);
            }
            Locking::Busy(holder) => return Ok(Step::Busy(holder)),
        };
        // If everything has to be read again, that drops the checkpoint.
        self.refresh(&locked)?;
        let Some(checkpoint) = self.checkpoint.take() else { return Ok(Step::More) };
        let is_based = checkpoint.file.is_unchanged(locked.metadata());
        if !is_based || !self.disk.journal().is_some_and(OpenJournal::is_appendable) {
            return Ok(Step::More);
        }
        self.memory.set_look(Look::Locked);
        let outcome = self.switch(checkpoint, &locked);
        if let Err(Failure::Unknown(..)) = outcome {
            self.forget();
        }
        self.publish();
        match outcome {
            Ok((_new, covers)) => Ok(Step::Done(covers)),
            Err(failure) => self.step_after(failure),
        }
    }

    /// Gives the new file its name and takes the lines that it holds out of the journal.
    fn switch(
        &mut self,
        checkpoint: Checkpoint,
        locked: &LockedFile,
    ) -> Result<(LockedFile, u64), Failure> {
        let Checkpoint { temporary, through, covers, .. } = checkpoint;
        let cannot = Error::io("replace", &self.files().place.file);
        temporary.flush().map_err(cannot)?;
        let content = temporary.digest();
        let temporary = self.announce_checkpoint(temporary, through.number, locked)?;
        let files = self.files();
        let new = temporary.become_state_file(Some(locked), &mut files.directories, true)?;
        match self.trim_journal(&new, content, through) {
            Ok(()) => Ok((new, covers)),
            Err(failure) => Err(failure.after_change(new)),
        }
    }

    /// Takes the lines that a new state file holds out of the journal. If that fails before
    /// anything changed, the journal stays as it is, which is right too.
    fn trim_journal(
        &mut self,
        new: &LockedFile,
        content: Digest,
        through: Position,
    ) -> Result<(), Failure> {
        let Self { files, disk, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        let file = new.handle().clone();
        let OnDisk::Journaled { mut journal, .. } = std::mem::take(disk) else {
            unreachable!("only a state file with a journal gets a checkpoint");
        };
        let directories = &mut files.directories;
        if !journal.changes_after(through.number) {
            files.journal.remove(directories).map_err(|error| Failure::Unknown(error, None))?;
            *disk = OnDisk::File { file, content, durable: true };
            return Ok(());
        }
        let old = Some((&*journal, through));
        let nothing = |end| Appended { text: String::new(), end, last_change: None };
        match files.journal.install(new, directories, content, old, nothing) {
            Ok(trimmed) => *journal = trimmed,
            Err(Failure::Unchanged(error)) => {
                log::warn!(
                    target: "aiokv",
                    "`{}` keeps changes that the state file holds: {error}",
                    files.place.journal.display(),
                );
                journal.start_at(through);
            }
            Err(failure) => return Err(failure),
        }
        *disk = OnDisk::Journaled { file, content, journal };
        Ok(())
    }

    fn step_after(&self, failure: Failure) -> Result<Step> {
        match failure {
            Failure::Busy(holder) => Ok(Step::Busy(holder)),
            Failure::Raced => Ok(Step::More),
            Failure::Unchanged(error) | Failure::Unknown(error, _) => Err(error),
        }
    }
}
