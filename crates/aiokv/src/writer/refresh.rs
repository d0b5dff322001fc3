//! Memory is made to agree with the state file and its journal, under a lock of the state file.
//!
//! Under the lock the disk stands still. What was appended to the journal since the last look is
//! read and applied to the state. If anything else happened, everything is read again.

use super::on_disk::OnDisk;
use super::owned::{Files, Writer};
use crate::error::{Corruption, Error, Result};
use crate::files::{LockedFile, OpenJournal};
use crate::format::journal::{self, Damage, Digest, Event, Line, Lines, Position};
use crate::format::json_file;
use crate::state::{Draft, State};

impl Writer {
    /// Makes memory agree with a state file of which this process holds a lock, and with its
    /// journal. After an error, memory does not claim to hold the newest state.
    pub(super) fn refresh(&mut self, locked: &LockedFile) -> Result<()> {
        let refreshed = self
            .catch_up(locked)
            .and_then(|is_done| if is_done { Ok(()) } else { self.load(locked) });
        match &refreshed {
            Ok(()) => self.publish(),
            Err(error) => {
                self.forget();
                self.memory.watchers.add_error(error);
            }
        }
        refreshed
    }

    /// Makes memory hold nothing, because there was no state file to lock. Says `false` if there
    /// is one now.
    ///
    /// A journal without a state file is an error: it continues a file that is gone. To be sure of
    /// that without a lock, the journal has to be there before and after the look at the file.
    pub(super) fn refresh_missing(&mut self) -> Result<bool> {
        let files = self.files();
        let before = files.journal.look()?;
        if files.state.look()?.is_some() {
            return Ok(false);
        }
        if before.is_some() {
            if files.journal.look()? != before {
                return Ok(false);
            }
            let problem = "it continues a state file, but there is none".to_owned();
            let (journal, state) = (files.place.journal.clone(), files.place.file.clone());
            self.forget();
            let error = Corruption::misfit(&journal, &state, problem).into();
            self.memory.watchers.add_error(&error);
            return Err(error);
        }
        // A checkpoint under way is based on what is not there any more, and its lock of the temporary
        // file would keep others from creating a state file.
        self.checkpoint = None;
        if !matches!(self.disk, OnDisk::Missing) {
            self.disk = OnDisk::Missing;
            self.memory.replace(State::default(), self.look());
        }
        Ok(true)
    }

    /// Reads what was appended to the journal, while the state file stayed what it was. Says
    /// `false` if that is not all that happened.
    fn catch_up(&mut self, locked: &LockedFile) -> Result<bool> {
        let Self { files, disk, memory, .. } = self;
        let files = files.as_mut().expect("every step finds the files first");
        let Some(content) = disk.content() else { return Ok(false) };
        if !disk.file().is_some_and(|known| known.is_unchanged(locked.metadata())) {
            let known = disk.file().is_some_and(|it| it.metadata.is_same_file(locked.metadata()));
            // The file was touched, or its permissions changed: or it was edited so that size and
            // time of modification stayed the same.
            if !known || Digest::of(&files.state.read(locked)?) != content {
                return Ok(false);
            }
            *disk.file_mut().expect("it has content") = locked.handle().clone();
        }
        let named = files.journal.identify()?;
        let (journal, before) = match (&mut *disk, named) {
            (OnDisk::File { .. }, None) => return Ok(true),
            (OnDisk::Journaled { journal, .. }, Some(named)) if journal.is_file(named) => {
                let before = journal.end();
                (journal, before)
            }
            _ => return Ok(false),
        };
        let text = files.journal.read_from_last_line(journal)?;
        let Some(lines) = journal::decode_from_last_line(&text, before) else { return Ok(false) };
        let Ok(lines) = lines else { return Ok(false) };
        if lines.torn {
            warn_of_torn(files, journal, lines.end);
        }
        journal.advance(&lines, before.last_line + text.len() as u64);
        if !lines.lines.is_empty() {
            let record = memory.with_state(|state| {
                let mut draft = Draft::new(state);
                replay(&mut draft, &lines.lines, before.number);
                draft.finish()
            });
            let look = disk.look(&files.place);
            memory.install(record, look);
        }
        Ok(true)
    }

    /// Reads everything. A checkpoint under way is based on what is not there any more.
    fn load(&mut self, locked: &LockedFile) -> Result<()> {
        self.checkpoint = None;
        self.schedule.restart(self.now);
        let files = self.files();
        let content = files.state.read(locked)?;
        let mut state = json_file::decode(&content, &files.place.file)?;
        let digest = Digest::of(&content);
        drop(content);
        let file = locked.handle().clone();
        let disk = match files.journal.open(locked.metadata())? {
            None => OnDisk::File { file, content: digest, durable: false },
            Some(handle) => {
                let text = files.journal.read(&handle)?;
                let (start, lines) = fit(files, &text, digest)?;
                let mut journal = OpenJournal::unread(handle, start);
                if lines.torn {
                    warn_of_torn(files, &mut journal, lines.end);
                }
                journal.advance(&lines, text.len() as u64);
                let mut draft = Draft::new(&state);
                replay(&mut draft, &lines.lines, start.number);
                let record = draft.finish();
                drop(state.install(record));
                OnDisk::Journaled { file, content: digest, journal: Box::new(journal) }
            }
        };
        self.disk = disk;
        self.memory.replace(state, self.look());
        Ok(())
    }
}

/// The lines of a journal, and the place up to which a content of the state file holds them.
fn fit(files: &Files, text: &[u8], content: Digest) -> Result<(Position, Lines)> {
    let (journal, state) = (&files.place.journal, &files.place.file);
    let damaged = |Damage { offset, problem }| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Error::from(Corruption::of_journal(journal, state, text, offset, problem))
    };
    let header = journal::decode_header(text).map_err(damaged)?;
    let lines = header.decode_lines(text).map_err(damaged)?;
    if let Some(start) = lines.held_by(content, &header) {
        return Ok((start, lines));
    }
    let problem = format!(
        "it continues a file of {} bytes with the checksum {:08x}, but the file has {} bytes and \
         the checksum {:08x}, so one of them was edited or restored",
        header.continues.bytes, header.continues.checksum, content.bytes, content.checksum
    );
    Err(Corruption::misfit(journal, state, problem).into())
}

/// Lets no line be appended to a journal whose end a process left unfinished.
fn warn_of_torn(files: &Files, journal: &mut OpenJournal, end: Position) {
    if journal.is_appendable() {
        log::warn!(
            target: "aiokv",
            "dropped an unfinished change at the end of `{}`, after the line with the number {}: \
             the process that made it died",
            files.place.journal.display(),
            end.number,
        );
        journal.refuse_appending();
    }
}

/// Carries out the changes in the lines after the line `after`.
pub(super) fn replay(draft: &mut Draft<'_>, lines: &[Line], after: u64) {
    for line in lines.iter().filter(|line| line.number > after) {
        match &line.event {
            Event::Set(entry) => draft.replay_set(entry.clone()),
            Event::Deleted(entry) => draft.replay_delete(&entry.key()),
            // What the state file becomes is told by the state file.
            Event::Checkpoint { .. } => {}
        }
    }
}
