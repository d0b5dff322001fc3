//! What the journal promises: every change is in the file or in the journal; damage is found, and
//! what a crash left unfinished is dropped; a journal never goes with a file that it does not
//! continue; and it is gone once the file is up to date.
//!
//! What crashes and failing calls leave is the business of the modules `crash` and `faults`, and
//! what earlier versions wrote of `format`.

mod checkpoints;
mod damage;
mod misfit;

use std::path::Path;

use aiokv::{Error, Options};

use crate::support::options::appending;
use crate::support::process::{Machine, Process};
use crate::support::requests::{Contents, Request, delete, group, set};
use crate::support::simulated_disk::{Features, SimulatedDisk};

const DIRECTORY: &str = "/data";
const FILE: &str = "/data/state.json";
const JOURNAL: &str = "/data/state.json.journal";

/// What the file holds at first.
const OLD: &str = "{\"old\": \"0\"}";

/// A machine with a file and no journal.
fn machine() -> Machine {
    let disk = SimulatedDisk::new(Features::default());
    disk.add_directory(Path::new(DIRECTORY));
    put(&disk, FILE, OLD.as_bytes());
    Machine::new(disk)
}

fn start(machine: &Machine, options: Options) -> Process {
    machine.start(FILE, options)
}

/// What a store holds that begins with the file of [`machine`], after these requests.
fn contents_after(requests: &[Request]) -> Contents {
    Contents::after_all(&[&[set("old", "0")], requests].concat())
}

/// Puts a new file in the place of what is there, as most editors do.
fn put(disk: &SimulatedDisk, path: &str, content: &[u8]) {
    disk.replace(Path::new(path), content);
}

/// Writes to the file that is there.
fn put_in_place(disk: &SimulatedDisk, path: &str, content: &[u8]) {
    disk.write_in_place(Path::new(path), content);
}

/// What is in a file, if it is there.
fn content(machine: &Machine, path: &str) -> Option<Vec<u8>> {
    machine.disk.content(Path::new(path))
}

fn names(machine: &Machine) -> Vec<std::ffi::OsString> {
    machine.disk.names(Path::new(DIRECTORY))
}

/// A machine with a file and a journal, which ends with a batch of several lines.
struct Journaled {
    machine: Machine,
    /// The lines of the journal, the first one included.
    lines: Vec<Vec<u8>>,
    /// What the store holds with the lines before each of them, and with all of them.
    states: Vec<Contents>,
    /// The number of the first line of the last batch.
    last_batch: usize,
}

impl Journaled {
    fn new() -> Self {
        let machine = machine();
        let mut process = start(&machine, appending());
        let one_by_one = [
            set("a", "1"),
            group(&[("b", "two\nlines, \"quoted\""), ("c", "2")], &[]),
            set("a", "é😀"),
        ];
        process.ask_each(&one_by_one);
        let together = [delete("a"), group(&[("d", "3")], &["old", "c"]), set("b", "4")];
        assert!(process.ask_all_together(&together).iter().all(Result::is_ok));
        let mut states = vec![contents_after(&[])];
        for request in one_by_one.iter().chain(&together) {
            let newest = states.last().unwrap().clone();
            // Before its last line, a group of changes is nothing.
            let lines = match request {
                Request::Group(sets, deletions) => sets.len() + deletions.len(),
                _ => 1,
            };
            states.extend(std::iter::repeat_n(newest.clone(), lines - 1));
            states.push(newest.after(request));
        }
        let machine = machine.after_kill();
        let journal = content(&machine, JOURNAL).unwrap();
        let lines = journal.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let lines: Vec<_> = lines.filter(|line| line != b"\n").collect();
        assert_eq!(lines.len(), states.len(), "the journal has other lines than expected");
        Self { machine, last_batch: lines.len() - 5, lines, states }
    }

    /// The machine with another journal.
    fn with_journal(&self, journal: &[u8]) -> Machine {
        let machine = self.machine.after_kill();
        put(&machine.disk, JOURNAL, journal);
        machine
    }

    fn newest(&self) -> &Contents {
        self.states.last().unwrap()
    }
}

fn require_contents(machine: &Machine, expected: &Contents) {
    assert_eq!(machine.contents(FILE).unwrap(), *expected, "{}", machine.disk.listing());
}

/// Checks that the file alone holds that.
fn require_file(machine: &Machine, expected: &Contents) {
    assert_eq!(names(machine), ["state.json"]);
    require_contents(machine, expected);
}

/// Checks that the next write works, and that closing brings the file up to date.
fn require_writable(machine: &Machine, before: &Contents) {
    let next = set("next", "write");
    let expected = before.clone().after(&next);
    let mut process = start(machine, appending());
    process.ask_each(&[next]);
    require_contents(machine, &expected);
    process.ask_each(&[Request::Close]);
    require_file(machine, &expected);
}

/// Checks that nothing but clearing touches the file and the journal.
fn require_left_alone(machine: &Machine) {
    let machine = machine.after_kill();
    let files = || [content(&machine, FILE), content(&machine, JOURNAL)];
    let before = files();
    for options in [Options::default(), appending()] {
        let mut process = start(&machine, options);
        for request in [
            set("a", "new"),
            delete("a"),
            group(&[("a", "new")], &["b"]),
            Request::GetAll,
            Request::Checkpoint,
        ] {
            let reply = process.ask(&request);
            assert!(matches!(reply, Err(Error::Corrupt(_))), "{request:?}: {reply:?}");
            assert_eq!(files(), before, "after {request:?}");
        }
        // It changed nothing, so there is nothing to bring up to date.
        let _ = process.ask(&Request::Close);
        assert_eq!(files(), before);
    }
    let mut process = start(&machine, appending());
    process.ask_each(&[Request::Clear]);
    assert!(names(&machine).is_empty(), "{}", machine.disk.listing());
    process.ask_each(&[set("a", "new")]);
    require_contents(&machine, &Contents::after_all(&[set("a", "new")]));
}
