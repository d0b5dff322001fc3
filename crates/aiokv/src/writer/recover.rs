//! Reads what can be read of damaged files and writes it to a new one.
//!
//! Guarantees: the files that are read stay as they are; the new file is complete and durable, or
//! there is none. Reads under the lock of the state file, as every reader does.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::io::Errno;

use super::copy::{Copy, PAUSE};
use super::refresh::replay;
use crate::error::{Error, Result};
use crate::files::storage::{Lock, Metadata, Storage};
use crate::files::{JournalFile, Locking, Place, StateFile};
use crate::format::journal::{Digest, Event};
use crate::format::salvage::{Loss, salvage_file, salvage_journal};
use crate::options::Options;
use crate::state::{Draft, State};

/// Which of the files of a store are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// The state file, and then the changes in the journal.
    Both,
    /// The state file alone.
    File,
    /// The changes in the journal alone.
    Journal,
}

/// What was recovered and what was lost.
#[derive(Debug)]
pub struct Recovered {
    /// How many entries there are.
    pub entries: usize,
    /// What could not be read of the state file; `None` if it is missing or was not asked for.
    pub file: Option<Vec<Loss>>,
    /// The journal; `None` if it is missing or was not asked for.
    pub journal: Option<RecoveredJournal>,
}

/// What was read of a journal.
#[derive(Debug)]
pub struct RecoveredJournal {
    /// Its path.
    pub path: PathBuf,
    /// How many changes were made.
    pub changes: usize,
    /// Whether it continues the state file as that is. If not, all its changes were made.
    pub fits: bool,
    /// What could not be read of it.
    pub lost: Vec<Loss>,
}

/// Where damaged files are and where to write what can be read of them.
pub(crate) struct Rescue {
    pub(crate) storage: Arc<dyn Storage>,
    /// The state file, absolute.
    pub(crate) source: PathBuf,
    /// The new file, absolute.
    pub(crate) target: PathBuf,
    pub(crate) sources: Sources,
    pub(crate) options: Options,
}

/// The content of the files.
struct Contents {
    file: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
}

impl Rescue {
    /// Reads and, if there are entries, writes the new file. Blocks.
    pub(crate) fn run(&self) -> Result<Recovered> {
        let place = Arc::new(Place::resolve(Arc::clone(&self.storage), &self.source)?);
        let contents = self.read(&place)?;
        let mut state = State::default();
        let mut recovered = Recovered { entries: 0, file: None, journal: None };
        let digest = contents.file.as_deref().map(Digest::of);
        if let Some(content) = contents.file.filter(|_| self.sources != Sources::Journal) {
            let salvaged = salvage_file(&content);
            state = salvaged.state;
            recovered.file = Some(salvaged.lost);
        }
        if let Some(text) = contents.journal.filter(|_| self.sources != Sources::File) {
            let journal = salvage_journal(&text);
            let held = digest.and_then(|content| journal.held_by(content));
            // Alone, the lines that the file holds count too.
            let after = held.filter(|_| self.sources == Sources::Both).unwrap_or(0);
            let mut draft = Draft::new(&state);
            replay(&mut draft, &journal.lines.lines, after);
            let record = draft.finish();
            drop(state.install(record));
            let is_change = |event: &Event| !matches!(event, Event::Checkpoint { .. });
            let lines = journal.lines.lines.iter().filter(|line| line.number > after);
            recovered.journal = Some(RecoveredJournal {
                path: place.journal.clone(),
                changes: lines.filter(|line| is_change(&line.event)).count(),
                fits: held.is_some(),
                lost: journal.lost,
            });
        }
        let snapshot = state.snapshot();
        recovered.entries = snapshot.len();
        if recovered.entries > 0 {
            let copy = Copy {
                storage: Arc::clone(&self.storage),
                source: self.source.clone(),
                target: self.target.clone(),
                replaces: false,
                lock_timeout: self.options.lock_timeout,
            };
            copy.write(snapshot)?;
        }
        Ok(recovered)
    }

    /// Reads both files at one moment.
    fn read(&self, place: &Arc<Place>) -> Result<Contents> {
        let start = Instant::now();
        let (state, journal) = (StateFile::new(place), JournalFile::new(place));
        loop {
            match state.lock(None, Lock::Shared)? {
                Locking::Taken(locked) => {
                    let file = Some(state.read_damaged(&locked)?);
                    let opened = journal.open(locked.metadata())?;
                    let journal = opened.map(|opened| journal.read_damaged(&opened)).transpose()?;
                    return Ok(Contents { file, journal });
                }
                Locking::Missing => {
                    let opened = journal.open_orphan()?;
                    let journal = opened.map(|opened| journal.read_damaged(&opened)).transpose()?;
                    if journal.is_none() {
                        return Err(Error::io("read", &place.file)(Errno::NOENT.into()));
                    }
                    return Ok(Contents { file: None, journal });
                }
                Locking::Busy(holder) if start.elapsed() >= self.options.lock_timeout => {
                    return Err(self.locked_by(place, &holder));
                }
                Locking::Busy(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn locked_by(&self, place: &Place, holder: &Metadata) -> Error {
        Error::Locked {
            path: place.file.clone(),
            waited: self.options.lock_timeout,
            holder: self.storage.lock_holder(holder),
        }
    }
}
