//! What is added to the journal, and how a journal comes to be.

use super::on_disk::OnDisk;
use super::owned::Writer;
use crate::error::Result;
use crate::files::{Failure, LockedFile, Temporary};
use crate::format::journal::{self, Appended, Position};
use crate::options::Journal;
use crate::queue::Submission;
use crate::state::Record;

impl Writer {
    /// Whether the journal can be appended to, or one can be created: only beside a durable state
    /// file, and after every process that knows the file was told to look again.
    pub(super) fn prepare_to_append(&mut self, locked: &mut LockedFile) -> bool {
        if self.disk.journal().is_some() {
            return true;
        }
        // A journal that belongs to another user than the file is refused by others.
        let user = self.storage.user();
        if user != 0 && user != locked.metadata().owner {
            return false;
        }
        if self.make_durable(locked, true).is_err() {
            return false;
        }
        let touched = self.files().state.touch(locked);
        if let Some(file) = self.disk.file_mut() {
            file.clone_from(locked.handle());
        }
        touched.unwrap_or(false)
    }

    /// Appends a record to the journal.
    pub(super) fn append(
        &mut self,
        locked: &LockedFile,
        record: &Record,
        flush: bool,
    ) -> Result<(), Failure> {
        let encode = |position| journal::encode_changes(record.groups(), position);
        let outcome = self.extend_journal(locked, flush, encode);
        if let Err(failure) = &outcome {
            self.repair_after(failure, locked);
        }
        outcome
    }

    /// Adds lines to the journal. One that cannot be appended to is replaced by a copy; if there
    /// is none, one is created.
    fn extend_journal(
        &mut self,
        locked: &LockedFile,
        flush: bool,
        encode: impl FnOnce(Position) -> Appended,
    ) -> Result<(), Failure> {
        let Self { files, disk, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        let journal = disk.journal_mut().filter(|journal| journal.is_appendable());
        let Some(journal) = journal else { return self.install_journal(locked, encode) };
        let appended = encode(journal.end());
        files.journal.append(journal, locked, &mut files.directories, appended, flush)
    }

    /// Replaces a journal that cannot be appended to by a copy of its lines: other processes must
    /// not append to it either.
    pub(super) fn repair_journal(&mut self, locked: &LockedFile) -> Result<(), Failure> {
        match self.disk.journal() {
            Some(journal) if !journal.is_appendable() => {
                let nothing = |end| Appended { text: String::new(), end, last_change: None };
                self.install_journal(locked, nothing)
            }
            _ => Ok(()),
        }
    }

    /// Replaces the journal at once if its flush failed: the next process could flush it with
    /// success although the kernel has dropped lines. The name of the temporary file must be free.
    fn repair_after(&mut self, failure: &Failure, locked: &LockedFile) {
        if let Failure::Unchanged(_) = failure {
            // If this fails too, the next change of this process tries it again.
            let _ = self.repair_journal(locked);
        }
    }

    /// Puts a new journal in place: with the lines of the old one that the state file does not
    /// hold, if there is an old one, and then what `encode` adds.
    fn install_journal(
        &mut self,
        locked: &LockedFile,
        encode: impl FnOnce(Position) -> Appended,
    ) -> Result<(), Failure> {
        // The name of the temporary file is needed.
        self.checkpoint = None;
        let Self { files, disk, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        let content = disk.content().expect("a journal continues a known file");
        let old = disk.journal().map(|journal| (journal, journal.start()));
        let directories = &mut files.directories;
        let journal = files.journal.install(locked, directories, content, old, encode)?;
        let (file, journal) = (locked.handle().clone(), Box::new(journal));
        *disk = OnDisk::Journaled { file, content, journal };
        Ok(())
    }

    /// Says in the journal that a new state file is about to get its name, which holds everything
    /// up to a line. From here on the journal fits both files. After a failure, `new` is gone.
    pub(super) fn announce_checkpoint(
        &mut self,
        new: Temporary,
        through: u64,
        locked: &LockedFile,
    ) -> Result<Temporary, Failure> {
        let content = new.digest();
        let encode = |position| journal::encode_checkpoint(through, content, position);
        match self.extend_journal(locked, true, encode) {
            Ok(()) => Ok(new),
            Err(failure) => {
                drop(new);
                self.repair_after(&failure, locked);
                Err(failure)
            }
        }
    }
}

/// Whether an operation allows to append to the journal, beside a state file of this size.
pub(super) fn appends(submission: &Submission, file_bytes: u64) -> bool {
    !submission.operation.is_write()
        || match submission.options.journal {
            Journal::Auto => file_bytes > submission.options.journal_threshold,
            Journal::Always => true,
            Journal::Never => false,
        }
}
