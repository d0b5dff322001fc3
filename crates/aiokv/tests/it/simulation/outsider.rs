//! Edits by a person or another program, which know nothing of locks.

use std::path::Path;

use crate::support::random::Random;
use crate::support::simulated_disk::{SimulatedDisk, Undirected};

use super::engine::found_alone;
use super::model::{Contents, State, contents_of, file_of};
use super::{FILE, JOURNAL};

/// An edit. Those of the journal happen only if there is one.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    WriteInPlace(Contents),
    Replace(Contents),
    /// Leaves only the beginning of the file.
    CutFile,
    TakeFileAway,
    /// Removes the journal, and touches the file: nothing else makes others look for a journal.
    RemoveJournal,
    /// Cuts the last line of the journal off, and touches the file: another process could append
    /// a line of the same length before others look.
    CutJournal,
    EmptyJournal,
}

/// An edit and when it is made.
#[derive(Debug, Clone)]
pub(crate) struct PlannedEdit {
    /// After how many steps.
    pub(crate) at: u64,
    pub(crate) edit: Edit,
    /// Not even while a process is at work on the file. Then anything may become of what the
    /// store holds, but operations end, and clearing helps.
    pub(crate) rude: bool,
}

impl Edit {
    pub(crate) fn random(random: &mut Random, contents: Contents) -> Self {
        match random.below(12) {
            0..3 => Self::WriteInPlace(contents),
            3..6 => Self::Replace(contents),
            6 => Self::CutFile,
            7 | 8 => Self::TakeFileAway,
            9 => Self::RemoveJournal,
            10 => Self::CutJournal,
            _ => Self::EmptyJournal,
        }
    }

    /// Makes the edit, and says what is on the disk then: without a journal what the file holds,
    /// otherwise what a process would find that has a copy of the disk for itself. `None` if there
    /// was nothing to edit.
    pub(crate) fn make(&self, disk: &SimulatedDisk) -> Result<Option<State>, String> {
        let (file, journal) = (Path::new(FILE), Path::new(JOURNAL));
        let content = disk.content(file);
        let lines = disk.content(journal);
        match (self, &content, &lines) {
            (Self::WriteInPlace(contents), ..) if has_directory(disk) => {
                disk.write_in_place(file, file_of(*contents).as_bytes());
            }
            (Self::Replace(contents), ..) if has_directory(disk) => {
                disk.replace(file, file_of(*contents).as_bytes());
            }
            (Self::CutFile, Some(content), _) => disk.cut_off(file, content.len() / 2),
            (Self::TakeFileAway, Some(_), _) => disk.take_away(file),
            (Self::RemoveJournal, Some(content), Some(_)) => {
                disk.take_away(journal);
                disk.write_in_place(file, content);
            }
            (Self::CutJournal, Some(content), Some(lines)) => {
                disk.cut_off(journal, last_line(lines));
                disk.write_in_place(file, content);
            }
            (Self::EmptyJournal, Some(_), Some(_)) => disk.cut_off(journal, 0),
            _ => return Ok(None),
        }
        found(disk).map(Some)
    }
}

/// Where the last line of a journal starts.
fn last_line(journal: &[u8]) -> usize {
    let end = journal.iter().rposition(|byte| *byte != b'\n').unwrap_or(0);
    journal[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

fn has_directory(disk: &SimulatedDisk) -> bool {
    let directory = Path::new(FILE).parent().expect("the file is in a directory");
    disk.is_directory(directory)
}

/// What is on the disk.
fn found(disk: &SimulatedDisk) -> Result<State, String> {
    if disk.content(Path::new(JOURNAL)).is_some() {
        let copy = disk.after_kill();
        return found_alone(copy.of_process(1, Undirected::shared()), Path::new(FILE));
    }
    Ok(match disk.content(Path::new(FILE)) {
        Some(content) => contents_of(&content).map_or(State::Damaged, State::Whole),
        None => State::Whole(Contents::default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_journal_is_found_before_what_is_reserved() {
        assert_eq!(last_line(b"one\ntwo\n\n\n"), 4);
        assert_eq!(last_line(b"one\n"), 0);
        assert_eq!(last_line(b""), 0);
    }
}
