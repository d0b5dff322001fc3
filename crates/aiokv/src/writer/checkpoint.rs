//! Folding: bringing the file up to date with its journal, in the background and in steps.
//!
//! The file is replaced by one that holds the state of the moment at which the fold began. That is
//! written in pieces, each of which takes about as long as a commit, so that commits go on between
//! them and wait for no more than one of them. Then, under the lock of the file:
//!
//! 1. a line is appended to the journal that names the new content and the last line it holds,
//!    and flushed: from here on the journal fits both contents;
//! 2. the new content becomes the file;
//! 3. the journal is removed, or replaced by one that continues the new content with the lines
//!    that came since.
//!
//! After a crash at any moment of that, the file and the journal together hold everything.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::engine::gate;
use crate::error::{Error, Result};
use crate::files::journal_file::OpenJournal;
use crate::files::replacement::Replacement;
use crate::files::state_file::{Failure, Lock, LockedFile, StateFile};
use crate::files::storage::Metadata;
use crate::format::journal::{Digest, Event, Position};
use crate::format::json_file::{self as snapshot, Encoder};
use crate::options::Options;
use crate::queue::operation::Answer;
use crate::queue::order::Submission;
use crate::writer::commit::{self, Newest, Stored, Writer};

/// The pause before trying again when another process holds a lock.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// The pause before trying again after a failure, such as a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What there is to fold, and when.
#[derive(Default)]
pub(crate) struct Folding(Mutex<Schedule>);

#[derive(Default)]
struct Schedule {
    /// The changes of this engine that only the journal holds, if there are any.
    pending: Option<Pending>,
    /// When the next step is to be made, if there is something to fold.
    next: Option<Instant>,
    /// What is being done. It is here and nowhere else whenever a fork may happen, so that a child
    /// can close the file.
    fold: Option<Fold>,
    /// Those who wait until the file holds what came before them: it will when what is being done
    /// is done.
    covered: Vec<Submission>,
    /// The same, but they came after that began.
    settling: Vec<Submission>,
}

impl Schedule {
    /// Whether somebody waits until the file is up to date.
    fn is_awaited(&self) -> bool {
        !self.covered.is_empty() || !self.settling.is_empty()
    }

    /// What begins now covers everybody who waits.
    fn cover(&mut self) {
        self.covered.append(&mut self.settling);
    }

    /// Begins anew after a fold. `left`: there are changes that it does not hold.
    fn restart(&mut self, left: bool, now: Instant) {
        self.pending = self.pending.take().filter(|_| left);
        self.next = self.pending.as_mut().and_then(|pending| {
            pending.first = now;
            pending.due()
        });
        if self.is_awaited() {
            self.next = Some(now);
        }
    }

    /// What was being done is not done.
    fn uncover(&mut self) {
        self.covered.append(&mut self.settling);
        self.settling = std::mem::take(&mut self.covered);
    }
}

/// Changes that only the journal holds.
struct Pending {
    first: Instant,
    last: Instant,
    idle: Duration,
    delay_max: Duration,
}

impl Pending {
    /// When they are to be folded. `None` stands for a time that never comes.
    fn due(&self) -> Option<Instant> {
        let idle = self.last.checked_add(self.idle);
        let latest = self.first.checked_add(self.delay_max);
        idle.into_iter().chain(latest).min()
    }
}

/// A replacement of the file that is being written.
struct Fold {
    replacement: Replacement,
    pieces: Encoder,
    /// What is being replaced.
    file: Metadata,
    journal: OpenJournal,
    /// The last line that the replacement holds.
    through: Position,
}

/// What came of a step.
enum Step {
    /// There is more to write.
    Go(Fold),
    /// Another process has a lock, of the file or of the temporary file.
    Wait(Option<Fold>, Metadata),
    /// What the fold was based on has changed.
    Again,
    /// Everything of before the fold is in the file.
    Done,
}

impl Folding {
    /// Takes note of a change that only the journal holds.
    pub(crate) fn add(&self, options: &Options, outgrown: bool) {
        let now = Instant::now();
        let mut schedule = self.lock();
        let pending = Pending {
            first: schedule.pending.as_ref().map_or(now, |pending| pending.first),
            last: now,
            idle: options.fold_idle,
            delay_max: options.fold_delay_max,
        };
        if schedule.fold.is_none() && !schedule.is_awaited() {
            schedule.next = if outgrown { Some(now) } else { pending.due() };
        }
        schedule.pending = Some(pending);
    }

    /// Whether there is a change of this engine that only the journal holds.
    pub(crate) fn is_pending(&self) -> bool {
        self.lock().pending.is_some()
    }

    /// Whether somebody waits until the file is up to date.
    pub(crate) fn is_awaited(&self) -> bool {
        self.lock().is_awaited()
    }

    /// Lets somebody wait until the file is up to date, which begins now.
    pub(crate) fn settle(&self, submissions: Vec<Submission>) {
        let mut schedule = self.lock();
        schedule.settling.extend(submissions);
        schedule.next = Some(Instant::now());
    }

    /// When the next step is to be made.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.lock().next
    }

    /// Gives up what is being done: the file is about to be replaced or removed otherwise.
    pub(crate) fn abandon(&self, file: &StateFile) {
        let fold = self.lock().fold.take();
        if let Some(fold) = fold {
            file.discard(fold.replacement);
        }
    }

    /// Nothing is left to fold.
    pub(crate) fn finish(&self) {
        let mut schedule = self.lock();
        schedule.pending = None;
        // Whoever waits is told by the next step.
        schedule.next = schedule.is_awaited().then(Instant::now);
    }

    /// Closes the file, in the child of a fork. Its lock is the parent's, so it is not released.
    pub(crate) fn forget(&self) {
        self.lock().fold = None;
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.0.lock().expect("nothing panics while the schedule is locked")
    }
}

impl Writer<'_> {
    /// Makes one step, and tells those who wait if it was the last. Says whether it got anywhere.
    pub(crate) fn fold(&self) -> bool {
        let _work = gate::work();
        let fold = self.folding.lock().fold.take();
        let step = match fold {
            None => self.begin_fold(),
            Some(fold) => self.go_on(fold),
        };
        let now = Instant::now();
        let mut schedule = self.folding.lock();
        match step {
            Ok(Step::Go(fold)) => (schedule.fold, schedule.next) = (Some(fold), Some(now)),
            Ok(Step::Again) => {
                schedule.uncover();
                schedule.next = Some(now);
            }
            Ok(Step::Wait(fold, holder)) => {
                (schedule.fold, schedule.next) = (fold, now.checked_add(BUSY_PAUSE));
                drop(schedule);
                self.give_up_settling(&holder);
                return false;
            }
            Ok(Step::Done) => {
                // What is in the journal now came while the file was being written.
                let left = self.memory.stored().journal.is_some();
                if !left {
                    schedule.cover();
                }
                let told = std::mem::take(&mut schedule.covered);
                schedule.restart(left, now);
                drop(schedule);
                self.tell(told, &Ok(()));
            }
            Err(error) => {
                schedule.cover();
                let told = std::mem::take(&mut schedule.covered);
                schedule.next = now.checked_add(RETRY_PAUSE);
                drop(schedule);
                self.tell(told, &Err(error));
                return false;
            }
        }
        true
    }

    /// Answers those who waited. A failure that nobody waited for is logged.
    fn tell(&self, told: Vec<Submission>, outcome: &Result<()>) {
        if let Err(error) = outcome
            && told.is_empty()
        {
            log::warn!(
                target: "aiokv",
                "`{}` is not up to date with its journal, in which nothing is lost: {error}",
                self.file.path().display(),
            );
        }
        let answers = told.iter().map(|_| outcome.clone().map(|()| Answer::Done)).collect();
        commit::answer(self.queue, told, answers);
    }

    /// Ends the waiting of those who have waited for a lock for too long.
    fn give_up_settling(&self, holder: &Metadata) {
        let (covered, settling) = {
            let Schedule { covered, settling, .. } = &mut *self.folding.lock();
            (std::mem::take(covered), std::mem::take(settling))
        };
        let covered = self.give_up_late(covered, holder);
        let settling = self.give_up_late(settling, holder);
        let mut schedule = self.folding.lock();
        (schedule.covered, schedule.settling) = (covered, settling);
    }

    fn begin_fold(&self) -> Result<Step> {
        let locked = match self.file.try_lock(&self.memory.stored().version)? {
            Lock::Taken(locked) => locked,
            Lock::Missing => {
                self.refresh(None)?;
                return Ok(Step::Done);
            }
            Lock::Busy(holder) => return Ok(Step::Wait(None, holder)),
        };
        self.folding.lock().cover();
        self.refresh(Some(&locked))?;
        let Some(journal) = self.memory.stored().journal else { return Ok(Step::Done) };
        let replacement = match self.file.begin(Some(&locked), true) {
            Ok(replacement) => replacement,
            Err(failure) => return self.step_after(failure),
        };
        Ok(Step::Go(Fold {
            replacement,
            pieces: snapshot::encode(self.memory.view()),
            file: *locked.metadata(),
            through: journal.end(),
            journal,
        }))
    }

    fn go_on(&self, mut fold: Fold) -> Result<Step> {
        let written = match fold.pieces.next() {
            Some(piece) => {
                let written = fold.replacement.write(&piece);
                written.and_then(|()| fold.replacement.flush_early())
            }
            None => return self.end_fold(fold),
        };
        match written {
            Ok(()) => Ok(Step::Go(fold)),
            Err(error) => {
                self.file.discard(fold.replacement);
                Err(Error::io("replace", self.file.path())(error))
            }
        }
    }

    /// Makes what was written the file, unless it is based on what is not there any more.
    fn end_fold(&self, mut fold: Fold) -> Result<Step> {
        let known = self.memory.stored().version;
        let mut locked = match self.file.try_lock(&known) {
            Ok(Lock::Taken(locked)) => locked,
            Ok(Lock::Busy(holder)) => return Ok(Step::Wait(Some(fold), holder)),
            missing_or_failed => {
                self.file.discard(fold.replacement);
                return missing_or_failed.map(|_| Step::Done);
            }
        };
        let refreshed = self.refresh(Some(&locked));
        let stored = self.memory.stored();
        let fits = fold.file.has_same_content(locked.metadata())
            && fold.file.has_same_access(locked.metadata())
            && stored.journal.is_some_and(|journal| journal.is_same_journal(&fold.journal));
        if !fits || refreshed.is_err() {
            self.file.discard(fold.replacement);
            return refreshed.map(|()| Step::Again);
        }
        if let Err(error) = fold.replacement.complete() {
            self.file.discard(fold.replacement);
            return Err(Error::io("replace", self.file.path())(error));
        }
        let newest = Newest::new(self.memory);
        let switched = self.switch(fold.replacement, Some(&mut locked), Some(fold.through), false);
        let outcome = match switched {
            Ok((new, stored)) => {
                self.memory.set_stored(stored);
                Ok((new, Step::Done))
            }
            Err(failure) => Err(failure),
        };
        // Before the locks go, as in a commit.
        drop(newest);
        match outcome {
            Ok((_new, step)) => Ok(step),
            Err(failure) => self.step_after(failure),
        }
    }

    fn step_after(&self, failure: Failure) -> Result<Step> {
        match failure {
            Failure::Busy(holder) => Ok(Step::Wait(None, holder)),
            Failure::Raced => Ok(Step::Again),
            Failure::Unchanged(error) => Err(error),
            Failure::NotDurable(error) => {
                self.memory.forget();
                Err(error)
            }
        }
    }

    /// Makes a complete replacement the file, and the journal one that continues it. `through`:
    /// the last line that the replacement holds, if there is a journal. `holds_more`: it also holds
    /// what no line says. Returns the new file, and what memory is to say of it.
    pub(crate) fn switch(
        &self,
        replacement: Replacement,
        mut locked: Option<&mut LockedFile>,
        through: Option<Position>,
        holds_more: bool,
    ) -> Result<(LockedFile, Stored), Failure> {
        let digest = replacement.digest();
        if let (Some(through), Some(locked)) = (through, locked.as_deref_mut()) {
            let imprint = (!holds_more).then(|| replacement.imprint());
            let folded = Event::Folded { through: through.number, digest, imprint };
            match self.extend(locked, &[folded], true) {
                Ok(stored) => self.memory.set_stored(stored),
                Err(failure) => {
                    self.file.discard(replacement);
                    return Err(failure);
                }
            }
        }
        let durable = replacement.is_durable();
        let mut new = self.file.finish(replacement, locked.as_deref())?;
        let journal = match (self.memory.stored().journal, through) {
            (Some(journal), Some(through)) => self.trim(&mut new, digest, journal, through)?,
            _ => None,
        };
        let version = new.version();
        Ok((new, Stored { version, digest: Some(digest), journal, durable }))
    }

    /// Takes the lines that the file holds now out of the journal. If that fails, the journal
    /// stays as it is, which is right too.
    fn trim(
        &self,
        file: &mut LockedFile,
        digest: Digest,
        mut journal: OpenJournal,
        through: Position,
    ) -> Result<Option<OpenJournal>, Failure> {
        let trimmed = if journal.changes_after(through.number) {
            self.file.journal.install(file, digest, Some((&journal, through)), &[]).map(Some)
        } else {
            self.file.journal.remove(true).map(|()| None).map_err(Failure::Unchanged)
        };
        match trimmed {
            Ok(Some(mut trimmed)) => {
                self.file.announce(file).map_err(Failure::NotDurable)?;
                trimmed.announced = true;
                Ok(Some(trimmed))
            }
            Ok(None) => Ok(None),
            Err(Failure::Unchanged(error)) => {
                log::warn!(target: "aiokv", "the journal stays as it is: {error}");
                journal.start_at(through);
                Ok(Some(journal))
            }
            Err(failure) => Err(failure),
        }
    }
}
