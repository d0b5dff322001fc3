//! How memory is made to agree with the file and its journal.
//!
//! What was appended to the journal since the last look is read and applied to the state. If
//! another process folded the journal meanwhile, the end of the old journal says so, and the new
//! file need not be read. If anything else happened, everything is read again.
//!
//! None of it needs a lock: the file is only ever replaced, the journal is only ever appended to
//! or replaced, and the file is replaced before the lines that it holds then leave the journal. So
//! if the file that was read still has its name after the journal was read, the two belong
//! together.

use crate::error::{Corruption, Error, Result};
use crate::files::journal_file::OpenJournal;
use crate::files::state_file::{LockedFile, Version};
use crate::files::storage::Metadata;
use crate::format::journal::{self, Damage, Digest, Event, Lines, Position, Record};
use crate::format::json_file as snapshot;
use crate::state::map::{Draft, State};
use crate::writer::commit::{Stored, Writer};

impl Writer<'_> {
    /// Makes memory agree with the file and the journal as they are now. `locked`: the file, if
    /// this process holds its lock.
    pub(crate) fn refresh(&self, locked: Option<&LockedFile>) -> Result<()> {
        let stored = self.memory.stored();
        let now = match locked {
            Some(locked) => Some(*locked.metadata()),
            None if stored.is_current(self.file) => return Ok(()),
            None => self.file.look(&stored.version),
        };
        let known = match now {
            Some(now) if stored.version.has_same_content(&now) => {
                self.catch_up(stored, now, locked.is_some())?
            }
            _ => self.follow_fold(stored, locked)?,
        };
        if known { Ok(()) } else { self.load(locked) }
    }

    /// Makes memory hold nothing, because there was no file to lock. A file that has come since is
    /// not read: it may be gone again when the batch becomes a new file. Says `false` if there is
    /// one.
    pub(crate) fn refresh_missing(&self) -> Result<bool> {
        if let Version::Missing = self.memory.stored().version {
            return Ok(true);
        }
        if let Some(journal) = self.file.journal.open()? {
            let text = self.file.journal.read(&journal)?;
            if self.file.look_at_name()?.is_some() {
                return Ok(false);
            }
            self.fit(&text, None)?;
        }
        let stored = Stored { version: Version::Missing, ..Stored::default() };
        self.memory.replace(State::default(), stored);
        Ok(true)
    }

    /// Reads what was appended to the journal, while the content of the file stayed what it was.
    /// Says `false` if that is not all that happened, or if something is wrong.
    fn catch_up(&self, mut stored: Stored, now: Metadata, locked: bool) -> Result<bool> {
        let Version::Present(open) = &mut stored.version else { return Ok(false) };
        let announced = open.metadata != now;
        open.metadata = now;
        let same_journal = match &mut stored.journal {
            Some(journal) if announced => match self.file.journal.open()? {
                Some(open) => journal.is_same_file(&open),
                None => false,
            },
            // Whoever replaced it may have died before telling anybody.
            Some(journal) => journal.has_name(),
            None if announced => match self.file.journal.open()? {
                Some(open) => {
                    let content = self.file.journal.read(&open)?;
                    let header = journal::decode_header(&content);
                    let header = header.ok().filter(|it| Some(it.continues) == stored.digest);
                    let start = header.map(|header| header.start);
                    stored.journal = start.map(|start| OpenJournal::unread(open, start));
                    stored.journal.is_some()
                }
                None => true,
            },
            None => true,
        };
        if !same_journal {
            return Ok(false);
        }
        let Some(journal) = &mut stored.journal else {
            self.memory.set_stored(stored);
            return Ok(true);
        };
        if !announced && journal.is_current() {
            return Ok(true);
        }
        let appended = self.file.journal.read_on(journal)?;
        let Ok(lines) = journal::decode(&appended, journal.end()) else { return Ok(false) };
        if lines.torn && locked {
            self.set_torn(journal, lines.end);
        }
        let known = journal.end().number;
        journal.advance(&lines);
        stored.durable &= lines.records.is_empty();
        self.memory.apply(|draft| replay(draft, &lines.records, known), stored);
        Ok(true)
    }

    /// Reads what was appended to a journal that was folded then, and the journal that continues
    /// the new file, if there is one. Says `false` if that is not what happened.
    fn follow_fold(&self, mut stored: Stored, locked: Option<&LockedFile>) -> Result<bool> {
        let Some(old) = &mut stored.journal else { return Ok(false) };
        let appended = self.file.journal.read_on(old)?;
        let Ok(mut lines) = journal::decode(&appended, old.end()) else { return Ok(false) };
        let known = old.end().number;
        old.advance(&lines);
        let Some((through, digest, imprint)) = lines.last_folded() else { return Ok(false) };
        let version = match locked {
            Some(locked) => locked.version(),
            None => self.file.open_new()?,
        };
        if !version.is(imprint, digest.bytes) {
            return Ok(false);
        }
        stored.journal = match self.file.journal.open()? {
            None if old.changes_after(through) => return Ok(false),
            None => None,
            Some(open) => {
                let text = self.file.journal.read(&open)?;
                let Ok(header) = journal::decode_header(&text) else { return Ok(false) };
                if header.continues != digest || header.start.number != through {
                    return Ok(false);
                }
                let Ok(newer) = header.decode_lines(&text) else { return Ok(false) };
                let mut journal = OpenJournal::unread(open, header.start);
                journal.advance(&newer);
                if newer.torn || journal.end().number < old.end().number {
                    return Ok(false);
                }
                let is_new = |record: &Record| record.number > lines.end.number;
                lines.records.extend(newer.records.into_iter().filter(is_new));
                Some(journal)
            }
        };
        if locked.is_none() && self.file.look(&version).is_none() {
            return Ok(false);
        }
        let stored = Stored { version, digest: Some(digest), durable: false, ..stored };
        self.memory.apply(|draft| replay(draft, &lines.records, known), stored);
        Ok(true)
    }

    /// Reads everything.
    fn load(&self, locked: Option<&LockedFile>) -> Result<()> {
        let mut doubtful = None;
        loop {
            let (content, version) = match locked {
                Some(locked) => self.file.read_locked(locked)?,
                None => self.file.read()?,
            };
            let journal = self.file.journal.open()?;
            let text = journal.as_ref().map(|open| self.file.journal.read(open)).transpose()?;
            let belongs_together = match &version {
                Version::Missing => journal.is_none() || self.file.look_at_name()?.is_none(),
                version => locked.is_some() || self.file.look(version).is_some(),
            };
            if !belongs_together {
                continue;
            }
            let (mut state, digest) = match version {
                Version::Missing => (State::default(), None),
                _ => {
                    let state = snapshot::decode(&content, self.file.path())?;
                    (state, Some(Digest::of(&content)))
                }
            };
            drop(content);
            let mut stored = Stored { version, digest, journal: None, durable: false };
            let fitting = match &text {
                Some(text) => self.fit(text, digest),
                None => Ok(None),
            };
            // What is being appended may be read in parts, the later one first. What is read twice
            // is what there is.
            if fitting.is_err() && locked.is_none() && doubtful != text {
                doubtful = text;
                continue;
            }
            if let (Some(open), Some((start, lines))) = (journal, fitting?) {
                let mut journal = OpenJournal::unread(open, start);
                if lines.torn && locked.is_some() {
                    self.set_torn(&mut journal, lines.end);
                } else if lines.torn
                    && let Some(locked) = self.file.lock_to_read(&stored.version)?
                {
                    // Nobody is writing it, so a crash left it like this.
                    return self.load(Some(&locked));
                }
                let mut draft = state.draft();
                replay(&mut draft, &lines.records, start.number);
                let changes = draft.finish();
                state.install(changes);
                journal.advance(&lines);
                stored.journal = Some(journal);
            }
            self.memory.replace(state, stored);
            return Ok(());
        }
    }

    /// The lines of a journal, and the place up to which the content of the file holds them.
    /// `None` if there is nothing in it for a file that is not there.
    fn fit(&self, text: &[u8], digest: Option<Digest>) -> Result<Option<(Position, Lines)>> {
        let (journal, state) = (self.file.journal.path(), self.file.path());
        let corrupt = |corruption: Corruption| Error::Corrupt(corruption.into());
        let damaged = |Damage { offset, problem }| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            corrupt(Corruption::of_journal(journal, state, text, offset, problem))
        };
        let header = journal::decode_header(text).map_err(damaged)?;
        let lines = header.decode_lines(text).map_err(damaged)?;
        let Some(digest) = digest else {
            // Removing a file ends with the removal of its journal.
            return match lines.records.last().map(|record| &record.event) {
                Some(Event::Cleared) => Ok(None),
                _ => {
                    let problem = format!(
                        "it continues a file of {} bytes, but there is none",
                        header.continues.bytes
                    );
                    Err(corrupt(Corruption::misfit(journal, state, text, problem)))
                }
            };
        };
        if header.continues == digest {
            return Ok(Some((header.start, lines)));
        }
        match lines.folded(digest, header.start) {
            Some(start) => Ok(Some((start, lines))),
            None => {
                let problem = format!(
                    "it continues a file of {} bytes with the checksum {:08x}, not one of {} bytes \
                     with the checksum {:08x}, so one of them was edited or restored",
                    header.continues.bytes,
                    header.continues.checksum,
                    digest.bytes,
                    digest.checksum
                );
                Err(corrupt(Corruption::misfit(journal, state, text, problem)))
            }
        }
    }

    /// Takes note that a crash left something behind the last line that can be used.
    fn set_torn(&self, journal: &mut OpenJournal, end: Position) {
        if journal.is_sound() {
            log::warn!(
                target: "aiokv",
                "dropped what a crash left unfinished in `{}` after the line with the number {}",
                self.file.journal.path().display(),
                end.number,
            );
            journal.set_unsound();
        }
    }
}

/// Carries out the records after the line `after`.
fn replay(draft: &mut Draft<'_>, records: &[Record], after: u64) {
    for record in records.iter().filter(|record| record.number > after) {
        match &record.event {
            Event::Set(entry) => draft.set(entry.clone()),
            Event::Deleted(entry) => draft.delete(&entry.key()),
            // What is about to happen to the file is told by the file.
            Event::Folded { .. } | Event::Cleared => {}
        }
    }
}
