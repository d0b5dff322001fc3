//! The file of the journal: how it is opened, looked at, read, appended to, replaced and removed.
//! What its lines say is the business of [`crate::format::journal`].
//!
//! Guarantees: the name of the journal never stands for an incomplete first line; lines that are
//! reported as durable have been flushed; a journal that could not be appended to, or that a crash
//! left torn, is not written to again, but replaced by a copy of its lines.
//!
//! Only the process that holds the lock of the state file writes here, so there is no other lock.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::files::replacement::{MODE_PRIVATE, take_after};
use crate::files::state_file::{Failure, LockedFile, OpenFile, open_regular, temporary_name};
use crate::files::storage::{Access, File, Metadata, Storage, read_from, write_all};
use crate::format::journal::{self, Digest, Event, Lines, Position};

/// The size of the journal is a multiple of this: a page, which is written whole anyway. A flush
/// is faster when it need not update the size of the file.
const RESERVED_BYTES: u64 = 4096;

/// The name of a journal.
pub(crate) struct JournalFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    temporary: PathBuf,
    directory: PathBuf,
}

/// An open journal and how far it was read or written.
#[derive(Clone)]
pub(crate) struct OpenJournal {
    open: OpenFile,
    /// The lines up to here are in the state file.
    start: Position,
    /// The next line goes here.
    end: Position,
    /// The number of the last line that changes the state.
    changed: u64,
    /// How long the file is, reserved space included.
    bytes: u64,
    /// Whether lines can be appended.
    sound: bool,
    /// Whether everybody who knows the state file knows that there is this journal.
    pub(crate) announced: bool,
}

impl OpenJournal {
    /// A journal that was opened, of which nothing was read after `start`.
    pub(crate) fn unread(open: OpenFile, start: Position) -> Self {
        let bytes = open.metadata.size;
        let changed = start.number;
        Self { open, start, end: start, changed, bytes, sound: true, announced: false }
    }

    /// Whether nothing was appended since: one look at a byte. Whether the journal is still the
    /// journal is told by the state file.
    pub(crate) fn is_current(&self) -> bool {
        let mut byte = [b'\n'];
        // At the end of the file nothing is read.
        let looked = self.open.file.read_at(&mut byte, self.end.offset);
        looked.is_ok() && byte == [b'\n']
    }

    /// Whether this is that file, and it was not cut off since.
    pub(crate) fn is_same_file(&self, other: &OpenFile) -> bool {
        self.open.metadata.is_same_file(&other.metadata) && other.metadata.size >= self.end.offset
    }

    /// Whether it still has a name.
    pub(crate) fn has_name(&self) -> bool {
        self.open.file.metadata().is_ok_and(|now| now.links > 0)
    }

    /// Whether this is the same file as an earlier clone of it.
    pub(crate) fn is_same_journal(&self, other: &Self) -> bool {
        self.open.metadata.is_same_file(&other.open.metadata)
    }

    /// Takes note that the state file holds the lines up to `start`.
    pub(crate) fn start_at(&mut self, start: Position) {
        self.start = start;
    }

    /// The lines that the state file does not hold come after this.
    pub(crate) fn start(&self) -> Position {
        self.start
    }

    /// The place after the last line.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// How many bytes of it the state file does not hold.
    pub(crate) fn length(&self) -> u64 {
        self.end.offset - self.start.offset
    }

    /// Whether there are changes after the line `number`.
    pub(crate) fn changes_after(&self, number: u64) -> bool {
        self.changed > number
    }

    /// Goes on behind lines that were read or written.
    pub(crate) fn advance(&mut self, lines: &Lines) {
        self.end = lines.end;
        self.bytes = self.bytes.max(lines.end.offset);
        let changed = lines.records.iter().rev().find(|it| it.event.changes_the_state());
        self.changed = changed.map_or(self.changed, |record| record.number);
    }

    /// Lets nothing be appended any more: the journal is to be replaced by a copy of its lines.
    pub(crate) fn set_unsound(&mut self) {
        self.sound = false;
    }

    /// Whether lines can be appended.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }
}

impl JournalFile {
    pub(crate) fn new(storage: &Arc<dyn Storage>, directory: &Path, name: &OsStr) -> Self {
        Self {
            storage: Arc::clone(storage),
            path: directory.join(name),
            temporary: directory.join(temporary_name(name)),
            directory: directory.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the journal for reading, if there is one.
    pub(crate) fn open(&self) -> Result<Option<OpenFile>> {
        match open_regular(&*self.storage, &self.path, Access::Read) {
            Ok(open) => Ok(Some(open)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Whether there is a journal.
    pub(crate) fn exists(&self) -> Result<bool> {
        match self.storage.metadata(&self.path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", &self.path)(error)),
        }
    }

    /// Reads all of an open journal.
    pub(crate) fn read(&self, open: &OpenFile) -> Result<Vec<u8>> {
        read_from(&*open.file, 0, open.metadata.size).map_err(Error::io("read", &self.path))
    }

    /// Reads what follows the last line that is known.
    pub(crate) fn read_on(&self, journal: &OpenJournal) -> Result<Vec<u8>> {
        read_from(&*journal.open.file, journal.end.offset, journal.bytes)
            .map_err(Error::io("read", &self.path))
    }

    /// Appends events and, with `flush`, makes all lines durable. After a failure nobody sees
    /// the events, and the journal is to be treated as unsound.
    pub(crate) fn append(
        &self,
        journal: &mut OpenJournal,
        events: &[Event],
        flush: bool,
    ) -> Result<(), Failure> {
        self.make_writable(journal)
            .map_err(Error::io("open for writing", &self.path))
            .map_err(Failure::Unchanged)?;
        let (mut text, end) = journal::encode(events, journal.end);
        if end.offset > journal.bytes {
            journal.bytes = end.offset.next_multiple_of(RESERVED_BYTES);
            reserve(&mut text, end.offset);
        }
        let file = &*journal.open.file;
        let written = write_all(file, text.as_bytes(), journal.end.offset);
        let written = written.and_then(|()| if flush { file.flush_content() } else { Ok(()) });
        if let Err(error) = written {
            let failed = Error::io("append to", &self.path)(error);
            return Err(match file.set_length(journal.end.offset) {
                Ok(()) => Failure::Unchanged(failed),
                Err(_) => Failure::NotDurable(failed),
            });
        }
        journal.end = if flush { Position { durable: end.number, ..end } } else { end };
        if events.iter().any(Event::changes_the_state) {
            journal.changed = end.number;
        }
        Ok(())
    }

    /// Puts a journal in the place of the one that is there, if any: one that continues a content
    /// of the state file, with the lines of `old` that this content does not hold, and then the
    /// events. All of it is durable.
    pub(crate) fn install(
        &self,
        state: &LockedFile,
        continues: Digest,
        old: Option<(&OpenJournal, Position)>,
        events: &[Event],
    ) -> Result<OpenJournal, Failure> {
        let after = old.map_or(0, |(_, start)| start.number);
        let header = journal::encode_header(continues, after);
        let offset = header.len() as u64;
        let start = Position { offset, number: after, durable: after };
        let copied = self.copy(old).map_err(Failure::Unchanged)?;
        let end = old.map_or(start, |(journal, _)| Position {
            offset: offset + copied.len() as u64,
            ..journal.end
        });
        let (added, end) = journal::encode(events, end);
        let mut text = header + &copied + &added;
        reserve(&mut text, end.offset);
        let cannot_create = Error::io("create", &self.path);
        let open = self.create(&state.0.metadata, text.as_bytes());
        let open = open.map_err(cannot_create).map_err(Failure::Unchanged)?;
        if let Err(error) = self.storage.rename(&self.temporary, &self.path) {
            let _ = self.storage.remove(&self.temporary);
            return Err(Failure::Unchanged(Error::io("create", &self.path)(error)));
        }
        self.flush_name().map_err(Failure::NotDurable)?;
        let changed = match old {
            _ if events.iter().any(Event::changes_the_state) => end.number,
            Some((journal, _)) => journal.changed,
            None => start.number,
        };
        Ok(OpenJournal {
            open,
            start,
            end: Position { durable: end.number, ..end },
            changed,
            bytes: text.len() as u64,
            sound: true,
            announced: false,
        })
    }

    /// Removes the journal, if there is one.
    pub(crate) fn remove(&self, flush: bool) -> Result<()> {
        match self.storage.remove(&self.path) {
            Ok(()) if flush => self.flush_name(),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes durable what is there, whoever wrote it.
    pub(crate) fn flush(&self, journal: &OpenJournal) -> Result<()> {
        journal.open.file.flush_content().map_err(Error::io("flush", &self.path))
    }

    /// Removes the temporary file of a process that was killed. To be called with the lock of the
    /// state file: nobody else creates a journal then.
    pub(crate) fn remove_left_behind(&self) -> Result<()> {
        match self.storage.remove(&self.temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &self.temporary)(error))
            }
            _ => Ok(()),
        }
    }

    /// The text of the lines of a journal from a position on.
    fn copy(&self, old: Option<(&OpenJournal, Position)>) -> Result<String> {
        let Some((journal, start)) = old else { return Ok(String::new()) };
        let mut bytes = read_from(&*journal.open.file, start.offset, journal.end.offset)
            .map_err(Error::io("read", &self.path))?;
        let length = usize::try_from(journal.end.offset - start.offset).unwrap_or(usize::MAX);
        bytes.truncate(length);
        String::from_utf8(bytes)
            .map_err(|error| Error::io("read", &self.path)(io::Error::other(error)))
    }

    /// Creates the temporary file with this content and flushes it.
    fn create(&self, state: &Metadata, content: &[u8]) -> io::Result<OpenFile> {
        let file = loop {
            match self.storage.create(&self.temporary, MODE_PRIVATE) {
                // Left by a process that was killed: nobody else creates a journal now.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.storage.remove(&self.temporary)?;
                }
                created => break created?,
            }
        };
        let filled = fill(&*file, state, content).and_then(|()| file.metadata());
        match filled {
            Ok(metadata) => Ok(OpenFile { file: file.into(), metadata, access: Access::ReadWrite }),
            Err(error) => {
                let _ = self.storage.remove(&self.temporary);
                Err(error)
            }
        }
    }

    fn make_writable(&self, journal: &mut OpenJournal) -> io::Result<()> {
        if journal.open.access == Access::ReadWrite {
            return Ok(());
        }
        let open = open_regular(&*self.storage, &self.path, Access::ReadWrite)?;
        if !open.metadata.is_same_file(&journal.open.metadata) {
            return Err(io::Error::other("somebody replaced it"));
        }
        journal.open = open;
        Ok(())
    }

    fn flush_name(&self) -> Result<()> {
        let flushed = self.storage.flush_directory(&self.directory);
        flushed.map_err(Error::io("flush", &self.directory))
    }
}

/// Owner and permission bits are there before the content, which is the content of the store.
fn fill(file: &dyn File, state: &Metadata, content: &[u8]) -> io::Result<()> {
    take_after(file, &file.metadata()?, state)?;
    write_all(file, content, 0)?;
    file.flush()
}

/// Fills text that ends at `end` up to the size that a journal has.
fn reserve(text: &mut String, end: u64) {
    let missing = end.next_multiple_of(RESERVED_BYTES) - end;
    text.extend(std::iter::repeat_n('\n', usize::try_from(missing).unwrap_or(0)));
}
