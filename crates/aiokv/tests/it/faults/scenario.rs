//! What there is at first, and what a process is asked for.

use std::path::Path;

use aiokv::Options;
use aiokv::binding::storage::{Access, Visibility};

use super::{DIRECTORY, FILE, JOURNAL, TEMPORARY};
use crate::support::options::appending;
use crate::support::process::Machine;
use crate::support::requests::{Contents, Request, set};
use crate::support::simulated_disk::{Features, SimulatedDisk};

pub(super) struct Scenario {
    pub(super) start: Start,
    pub(super) options: Options,
    pub(super) steps: Vec<Step>,
}

/// What there is at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    NoDirectory,
    /// A file of another group than that of the process.
    File,
    /// A file of another user, which gets no journal.
    FileOfAnother,
    /// The same, not flushed.
    UnflushedFile,
    /// The same file, and the temporary file of a process that is gone.
    FileAndLeftover,
    /// The same file, and a journal.
    Journal,
    /// The same, and what was appended last was not flushed.
    UnflushedJournal,
    /// The same, and a crash left something unfinished in the journal.
    TornJournal,
}

pub(super) enum Step {
    /// Sends requests together.
    Ask(Vec<Request>),
    /// Goes on as another process that opens the file anew. The process from before stays.
    Reopen,
    /// Goes on as the first process.
    Return,
    /// Lets time pass until a checkpoint is due, and made.
    Sleep,
}

impl Start {
    pub(super) fn contents(self) -> Contents {
        let file = Contents::default().after(&set("old", "0"));
        match self {
            Self::NoDirectory => Contents::default(),
            Self::File | Self::FileOfAnother | Self::UnflushedFile | Self::FileAndLeftover => file,
            Self::Journal | Self::UnflushedJournal | Self::TornJournal => {
                file.after(&set("journaled", "0")).after(&set("appended", "0"))
            }
        }
    }

    pub(super) fn machine(self) -> Machine {
        let disk = SimulatedDisk::new(Features::default());
        disk.add_directory(Path::new("/data"));
        let machine = Machine::new(disk);
        if self == Self::NoDirectory {
            return machine;
        }
        machine.disk.add_directory(Path::new("/data/one"));
        machine.disk.add_directory(Path::new(DIRECTORY));
        let storage = machine.storage();
        let file = storage.create(Path::new(FILE), Visibility::Umask).expect(NO_FAULT);
        let owner = (self == Self::FileOfAnother).then_some(0);
        file.set_owner(owner, Some(0)).expect(NO_FAULT);
        file.set_mode(0o640).expect(NO_FAULT);
        file.write_at(b"{\"old\": \"0\"}", 0).expect(NO_FAULT);
        if self == Self::FileAndLeftover {
            let left = storage.create(Path::new(TEMPORARY), Visibility::Private).expect(NO_FAULT);
            left.write_at(b"{\"o", 0).expect(NO_FAULT);
        }
        if self != Self::UnflushedFile {
            file.flush().expect(NO_FAULT);
            let directory = storage.open_directory(Path::new(DIRECTORY)).expect(NO_FAULT);
            directory.flush().expect(NO_FAULT);
        }
        match self {
            Self::Journal | Self::UnflushedJournal | Self::TornJournal => self.append(&machine),
            _ => {}
        }
        machine.after_kill()
    }

    /// Appends to the journal of a file.
    fn append(self, machine: &Machine) {
        machine.start(FILE, appending()).ask_each(&[set("journaled", "0")]);
        let flushes = self != Self::UnflushedJournal;
        machine.start(FILE, appending().fsync(flushes)).ask_each(&[set("appended", "0")]);
        if self == Self::TornJournal {
            let content = machine.disk.content(Path::new(JOURNAL)).expect("there is one");
            let end = content.trim_ascii_end().len() + 1;
            let storage = machine.storage();
            let journal = storage.open(Path::new(JOURNAL), Access::ReadWrite).expect(NO_FAULT);
            journal.write_at(b"0123abcd 3 2 + \"torn", end as u64).expect(NO_FAULT);
            journal.flush().expect(NO_FAULT);
        }
    }
}

const NO_FAULT: &str = "no call fails that is not told to";
