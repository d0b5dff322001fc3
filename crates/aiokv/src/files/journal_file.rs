//! The file of the journal: how it is opened, looked at, read, appended to, copied and removed.
//! What its lines say is the business of [`crate::format::journal`].
//!
//! Guarantees: the name of the journal never stands for an incomplete first line; lines that are
//! reported as durable were flushed; a journal whose flush failed, or that a crash left torn, is
//! not appended to again, but replaced by a copy of its lines; a journal that another user may
//! have put there is refused.
//!
//! Everything here happens under the lock of the state file.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::access::{is_same, more_may_write, take_over};
use super::directories::Directories;
use super::io::{goes_on_after_nuls, read_from, read_while, write_all};
use super::place::{Handle, Place};
use super::storage::{Access, File, Identity, Kind, Metadata};
use super::temporary::{Creation, Temporary};
use super::{Failure, LockedFile};
use crate::error::{Error, Result};
use crate::format::journal::{self, Appended, Digest, Lines, Position};

/// The size of the journal is a multiple of this: a page, which is written whole anyway. A flush
/// is faster when it need not update the size of the file.
const RESERVED_BYTES: u64 = 4096;

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct JournalFile(Arc<Place>);

/// An open journal and how far it was read or written.
#[derive(Clone)]
pub(crate) struct OpenJournal {
    handle: Handle,
    /// The state file holds the lines up to here.
    start: Position,
    /// The next line goes here.
    end: Position,
    /// The number of the last line that changes the state.
    changed: u64,
    /// How long the file is, reserved space included.
    bytes: u64,
    /// Whether lines can be appended. If not, a copy has to take its place first.
    appendable: bool,
    /// Whether its name is known to be durable.
    name_durable: bool,
}

/// The end of a journal as it was.
pub(crate) struct Tail {
    file: Arc<dyn File>,
    /// Where the next line goes.
    end: u64,
    /// How long the file is, reserved space included.
    bytes: u64,
}

impl Tail {
    /// Whether the last line still ends here and nothing was appended: two looks.
    pub(crate) fn is_current(&self) -> bool {
        let mut bytes = [0; 2];
        let has_name = self.file.has_name().is_ok_and(|it| it);
        let read = self.file.read_at(&mut bytes, self.end - 1);
        has_name
            && match read {
                Ok(2) => bytes == *b"\n\n",
                // The last page is full.
                Ok(1) => bytes[0] == b'\n' && self.end == self.bytes,
                _ => false,
            }
    }
}

impl OpenJournal {
    /// A journal that was opened, of which nothing was read after `start`.
    pub(crate) fn unread(handle: Handle, start: Position) -> Self {
        Self {
            start,
            end: start,
            changed: start.number,
            bytes: handle.metadata.size,
            appendable: true,
            name_durable: false,
            handle,
        }
    }

    /// How to see without a lock that nothing has changed.
    pub(crate) fn tail(&self) -> Tail {
        Tail { file: Arc::clone(&self.handle.file), end: self.end.offset, bytes: self.bytes }
    }

    /// Whether this is that file.
    pub(crate) fn is_file(&self, other: Identity) -> bool {
        self.handle.metadata.identity() == other
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

    /// Whether everything in it is known to be durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.name_durable && self.end.durable >= self.end.number
    }

    /// Whether lines can be appended.
    pub(crate) fn is_appendable(&self) -> bool {
        self.appendable
    }

    /// Lets no line be appended any more.
    pub(crate) fn refuse_appending(&mut self) {
        self.appendable = false;
    }

    /// Goes on behind lines that were read from a file of so many bytes.
    pub(crate) fn advance(&mut self, lines: &Lines, bytes: u64) {
        self.end = lines.end;
        self.bytes = bytes;
        self.changed = lines.last_change().unwrap_or(self.changed);
    }
}

impl JournalFile {
    pub(crate) fn new(place: &Arc<Place>) -> Self {
        Self(Arc::clone(place))
    }

    /// What the name stands for, if anything.
    pub(crate) fn look(&self) -> Result<Option<Metadata>> {
        self.0.look(&self.0.journal)
    }

    /// Which file the name stands for, if it is any. For every change, because it leaves the times
    /// alone.
    pub(crate) fn identify(&self) -> Result<Option<Identity>> {
        self.0.identify(&self.0.journal)
    }

    /// Opens the journal of a state file for reading, if there is one.
    pub(crate) fn open(&self, state: &Metadata) -> Result<Option<Handle>> {
        let Some(named) = self.look()? else { return Ok(None) };
        if named.kind == Kind::Link {
            return Err(self.refuse("it is a symbolic link"));
        }
        let Some(handle) = self.0.open(&self.0.journal, Access::Read)? else { return Ok(None) };
        let is = &handle.metadata;
        if is.owner != state.owner && is.owner != self.0.storage.user() {
            return Err(self.refuse("it belongs to another user"));
        }
        if more_may_write(is, state) {
            return Err(self.refuse("more users may write it than the state file"));
        }
        Ok(Some(handle))
    }

    fn refuse(&self, problem: &str) -> Error {
        let remedy = "if you trust what is in it, mend that; otherwise remove it";
        let error = io::Error::new(ErrorKind::PermissionDenied, format!("{problem}; {remedy}"));
        Error::io("use the journal", &self.0.journal)(error)
    }

    /// Reads all of an open journal.
    pub(crate) fn read(&self, handle: &Handle) -> Result<Vec<u8>> {
        let content = read_while(&*handle.file, 0, handle.metadata.size, is_text);
        content.map_err(Error::io("read", &self.0.journal))
    }

    /// Opens the journal of a state file that is gone, if there is one: one that belongs to this user.
    pub(crate) fn open_orphan(&self) -> Result<Option<Handle>> {
        let Some(named) = self.look()? else { return Ok(None) };
        self.open(&Metadata { owner: self.0.storage.user(), ..named })
    }

    /// Reads all of an open journal, behind NUL bytes too, as long as there are not too many of them
    /// one after the other.
    pub(crate) fn read_damaged(&self, handle: &Handle) -> Result<Vec<u8>> {
        let content = read_while(&*handle.file, 0, handle.metadata.size, goes_on_after_nuls());
        content.map_err(Error::io("read", &self.0.journal))
    }

    /// Reads from the last line that is known to the end.
    pub(crate) fn read_from_last_line(&self, journal: &OpenJournal) -> Result<Vec<u8>> {
        read_while(&*journal.handle.file, journal.end.last_line, journal.bytes, is_text)
            .map_err(Error::io("read", &self.0.journal))
    }

    /// Appends lines and, with `flush`, makes the journal durable. After a failure the lines are
    /// cut off again, and the journal may refuse to be appended to.
    pub(crate) fn append(
        &self,
        journal: &mut OpenJournal,
        state: &LockedFile,
        directories: &mut Directories,
        appended: Appended,
        flush: bool,
    ) -> Result<(), Failure> {
        self.make_writable(journal, state.metadata()).map_err(Failure::Unchanged)?;
        if flush && !journal.name_durable {
            // The process that created the journal may have died before its name was durable.
            let flushed = directories.flush_parents().and_then(|()| directories.open());
            let flushed = flushed.and_then(|open| directories.flush(&open));
            flushed.map_err(Failure::Unchanged)?;
            journal.name_durable = true;
        }
        let Appended { mut text, end, last_change } = appended;
        let before = journal.bytes;
        if end.offset > journal.bytes {
            journal.bytes = end.offset.next_multiple_of(RESERVED_BYTES);
            reserve(&mut text, end.offset);
        }
        let file = &*journal.handle.file;
        let written = write_all(file, text.as_bytes(), journal.end.offset);
        let flushed = written.and_then(|()| {
            if !flush {
                return Ok(());
            }
            // A failed flush is never repeated on the same file: the kernel may have dropped the
            // data.
            file.flush_content().inspect_err(|_| journal.appendable = false)
        });
        if let Err(error) = flushed {
            journal.bytes = before;
            let failed = Error::io("append to", &self.0.journal)(error);
            let cut = file.set_length(journal.end.offset);
            // Durably, or a whole line of what was refused comes back after a loss of power. After a
            // failed flush, a copy takes the place of the file.
            if cut.is_ok() && flush && journal.appendable {
                journal.appendable = file.flush_content().is_ok();
            }
            journal.bytes = journal.bytes.min(journal.end.offset);
            return Err(match cut {
                Ok(()) => Failure::Unchanged(failed),
                Err(_) => Failure::Unknown(failed, None),
            });
        }
        let durable = if flush { end.number } else { end.durable };
        journal.end = Position { durable, ..end };
        journal.changed = last_change.unwrap_or(journal.changed);
        Ok(())
    }

    /// Puts a journal in the place of the one that is there, if any: one that continues a content
    /// of the state file, with the lines of `old` that this content does not hold, and then what
    /// `append` adds. All of it is durable.
    pub(crate) fn install(
        &self,
        state: &LockedFile,
        directories: &mut Directories,
        continues: Digest,
        old: Option<(&OpenJournal, Position)>,
        append: impl FnOnce(Position) -> Appended,
    ) -> Result<OpenJournal, Failure> {
        let copied = old.map(|(journal, start)| self.lines_after(journal, start)).transpose();
        let copied = copied.map_err(Failure::Unchanged)?.unwrap_or_default();
        let after = old.map_or(0, |(_, start)| start.number);
        let (header, start) = journal::encode_header(continues, after);
        let end = match old {
            Some((journal, _)) if !copied.is_empty() => {
                let offset = start.offset + copied.len() as u64;
                let last_line = offset - (journal.end.offset - journal.end.last_line);
                Position { offset, last_line, ..journal.end }
            }
            _ => start,
        };
        let appended = append(end);
        let end = Position { durable: appended.end.number, ..appended.end };
        let mut text = header + &copied + &appended.text;
        reserve(&mut text, end.offset);
        let created = Temporary::create(&self.0, directories, Some(state.metadata()), true);
        let mut temporary = match created.map_err(Failure::Unchanged)? {
            Creation::Created(temporary) => temporary,
            Creation::Busy(holder) => return Err(Failure::Busy(holder)),
        };
        let written = temporary.write(&text).and_then(|()| temporary.flush());
        written.map_err(|error| Failure::Unchanged(Error::io("create", &self.0.journal)(error)))?;
        let handle = temporary.become_journal(directories)?;
        let changed = appended.last_change.or(old.map(|(journal, _)| journal.changed));
        Ok(OpenJournal {
            handle,
            start,
            end,
            changed: changed.unwrap_or(start.number),
            bytes: text.len() as u64,
            appendable: true,
            name_durable: true,
        })
    }

    /// Removes the journal, if there is one, and makes that durable.
    pub(crate) fn remove(&self, directories: &mut Directories) -> Result<()> {
        let directory = directories.open()?;
        match self.0.storage.remove(&self.0.journal) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &self.0.journal)(error))
            }
            Err(_) => Ok(()),
            Ok(()) => directories.flush(&directory),
        }
    }

    /// Makes durable what is there, whichever process wrote it. After a failure the journal
    /// refuses to be appended to.
    pub(crate) fn flush(
        &self,
        journal: &mut OpenJournal,
        directories: &mut Directories,
    ) -> Result<()> {
        let flushed = journal.handle.file.flush_content();
        let flushed = flushed.inspect_err(|_| journal.appendable = false);
        flushed.map_err(Error::io("flush", &self.0.journal))?;
        directories.flush_parents()?;
        directories.flush(&directories.open()?)?;
        journal.end.durable = journal.end.number;
        journal.name_durable = true;
        Ok(())
    }

    /// The text of the lines of a journal from a position on.
    fn lines_after(&self, journal: &OpenJournal, start: Position) -> Result<String> {
        let failed = |error| Error::io("read", &self.0.journal)(error);
        let mut bytes =
            read_from(&*journal.handle.file, start.offset, journal.end.offset).map_err(failed)?;
        let length = usize::try_from(journal.end.offset - start.offset).unwrap_or(usize::MAX);
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))
    }

    /// Opens the journal for writing, unless it is, and gives it the access of the state file,
    /// unless it has that.
    fn make_writable(&self, journal: &mut OpenJournal, state: &Metadata) -> Result<()> {
        if journal.handle.access != Access::ReadWrite {
            let opened = self.0.open(&self.0.journal, Access::ReadWrite)?;
            let opened = opened.filter(|opened| journal.is_file(opened.metadata.identity()));
            let problem = || io::Error::other("another program replaced it");
            let cannot = Error::io("open for writing", &self.0.journal);
            journal.handle = opened.ok_or_else(|| cannot(problem()))?;
        }
        let Handle { file, metadata, .. } = &mut journal.handle;
        if !is_same(metadata, state) {
            let taken = take_over(&**file, metadata, state).and_then(|()| file.metadata());
            *metadata = taken.map_err(Error::io("set the permissions of", &self.0.journal))?;
        }
        Ok(())
    }
}

/// Whether there may be lines in what was read, so that it makes sense to read on: a journal that was
/// filled up with NULs may be larger than memory.
fn is_text(chunk: &[u8]) -> bool {
    chunk.iter().any(|&byte| byte != 0)
}

/// Fills text that ends at `end` up to the size that a journal has.
fn reserve(text: &mut String, end: u64) {
    let missing = end.next_multiple_of(RESERVED_BYTES) - end;
    text.extend(std::iter::repeat_n('\n', usize::try_from(missing).unwrap_or(0)));
}
