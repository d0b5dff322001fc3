//! The state file and its journal are removed, or flushed as they are.

use super::memory::Look;
use super::on_disk::OnDisk;
use super::owned::Writer;
use crate::error::Result;
use crate::files::{Failure, LockedFile, remove_left_behind};
use crate::state::Record;

impl Writer {
    /// Removes the state file and its journal, be they readable or not. `record` leaves nothing.
    ///
    /// A state file may not be left without a journal that holds newer changes. So a state file
    /// with a journal is replaced by an empty one first, which takes the place of both. Where they
    /// are damaged, the state file goes first: the journal alone is still damage, and not by chance
    /// the journal of an empty state file.
    pub(super) fn clear(
        &mut self,
        locked: Option<&LockedFile>,
        record: &Record,
        flush: bool,
    ) -> Result<(), Failure> {
        self.checkpoint = None;
        let has_journal = self.files().journal.look()?.is_some();
        match locked {
            Some(locked) if has_journal && matches!(self.disk, OnDisk::Unknown) => {
                self.remove_state_file(locked, true)?;
                self.remove_without_state_file(true, flush)?;
            }
            Some(locked) if has_journal => {
                let empty = self.replace(Some(locked), record, true)?;
                // The store is empty already, so this is no failure that changes nothing.
                if let Err(failure) = self.remove_state_file(&empty, flush) {
                    return Err(failure.after_change(empty));
                }
            }
            Some(locked) => {
                self.make_absence_of_journal_durable(flush)?;
                self.remove_state_file(locked, flush)?;
            }
            None => self.remove_without_state_file(has_journal, flush)?,
        }
        self.disk = OnDisk::Missing;
        Ok(())
    }

    pub(super) fn remove_state_file(
        &mut self,
        locked: &LockedFile,
        flush: bool,
    ) -> Result<(), Failure> {
        // Once the name is gone the lock excludes no other process, so a reader has to look.
        self.memory.set_look(Look::Impossible);
        let files = self.files();
        let directory = files.directories.open()?;
        files.state.remove(locked)?;
        if flush {
            files.directories.flush(&directory).map_err(|error| Failure::Unknown(error, None))?;
        }
        Ok(())
    }

    /// Removes a journal that lost its state file. The lock of the temporary file keeps other
    /// processes from creating a state file meanwhile.
    fn remove_without_state_file(&mut self, has_journal: bool, flush: bool) -> Result<(), Failure> {
        if !has_journal {
            remove_left_behind(&self.files().place)?;
            return self.make_removal_durable(flush);
        }
        let _guard = self.create_temporary(None, flush)?;
        let files = self.files();
        if files.state.look()?.is_some() {
            return Err(Failure::Raced);
        }
        files.journal.remove(&mut files.directories).map_err(|error| Failure::Unknown(error, None))
    }

    /// Makes durable what was found. A change that changes nothing, such as deleting an absent
    /// key, is acknowledged like any other, but the process that wrote what was found may have
    /// died before it could flush.
    pub(super) fn make_durable(&mut self, locked: &LockedFile, flush: bool) -> Result<()> {
        let Self { files, disk, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        match disk {
            OnDisk::File { durable, .. } if flush && !*durable => {
                files.state.flush(locked)?;
                files.directories.flush_parents()?;
                files.directories.flush(&files.directories.open()?)?;
                *durable = true;
            }
            OnDisk::Journaled { journal, .. } if flush && !journal.is_durable() => {
                files.journal.flush(journal, &mut files.directories)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes durable that there is no journal, before the state file changes, unless that is known:
    /// the process that removed it may have died before it could. A journal that comes back after a
    /// loss of power fits the state file from before, and no other.
    pub(super) fn make_absence_of_journal_durable(&mut self, flush: bool) -> Result<()> {
        match self.disk {
            OnDisk::File { durable: true, .. } | OnDisk::Journaled { .. } => Ok(()),
            _ if flush => self.files().directories.flush_if_present(),
            _ => Ok(()),
        }
    }

    /// Makes durable that there is no state file, whichever process removed it.
    pub(super) fn make_removal_durable(&mut self, flush: bool) -> Result<(), Failure> {
        if flush {
            self.files().directories.flush_if_present()?;
        }
        Ok(())
    }
}
