//! Random programs: what several processes ask of one file, and what may become of it.

use std::path::Path;

use aiokv::binding::storage::Visibility;
use aiokv::{Journal, Options};

use super::{DIRECTORY, FILE, JOURNAL_THRESHOLD};
use crate::support::options::{appending, checkpointing_at_once};
use crate::support::process::Machine;
use crate::support::random::Random;
use crate::support::requests::{Contents, Request};
use crate::support::simulated_disk::{Features, SimulatedDisk};

/// How many processes a program has.
pub(super) const PROCESSES: usize = 2;

/// Mode and group of a file that was there before the program.
const OLD_FILE: (u32, u32) = (0o640, 7);
/// Mode and group of a file that the program created: the simulated umask and user.
const NEW_FILE: (u32, u32) = (0o644, 1000);
/// Mode and group of a replacement that became the file without a flush, after a loss of power.
const UNFLUSHED_FILE: (u32, u32) = (0o600, 1000);

const NO_FAULT: &str = "no call fails that is not told to";

/// What is asked of the stores of two processes, one after the other.
pub(super) struct Program {
    pub(super) seed: u64,
    /// Of each process.
    pub(super) options: [Options; PROCESSES],
    pub(super) turns: Vec<Turn>,
    start: Start,
}

/// Requests that are under way together.
pub(super) struct Turn {
    pub(super) process: usize,
    pub(super) requests: Vec<Request>,
    pub(super) interruption: Option<Interruption>,
}

/// Requests that arrive while the process of a turn makes a checkpoint, if it does.
pub(super) struct Interruption {
    /// How many steps of the checkpoint come before.
    pub(super) steps: u64,
    /// Of the process itself.
    pub(super) requests: Vec<Request>,
    /// Of the other process, before the others.
    pub(super) other: Option<Request>,
}

/// What there is at first.
enum Start {
    NoDirectory,
    NoFile,
    File(Vec<Request>),
    /// A file, and the journal of a process that was killed, with these changes in it.
    Journal(Vec<Request>),
}

impl Program {
    pub(super) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let start = match random.below(6) {
            0 => Start::NoDirectory,
            1 => Start::NoFile,
            2 => {
                Start::Journal((0..1 + random.below(3)).map(|_| random_set(&mut random)).collect())
            }
            _ => Start::File((0..random.below(4)).map(|_| random_set(&mut random)).collect()),
        };
        let fsync = match random.below(6) {
            0 => [false, false],
            1 => [true, false],
            _ => [true, true],
        };
        let options = fsync.map(|fsync| random_options(&mut random).fsync(fsync));
        let turns = (0..1 + random.below(4)).map(|_| Turn::random(&mut random)).collect();
        Self { seed, options, turns, start }
    }

    /// Every request, in the order in which they take effect.
    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.turns.iter().flat_map(|turn| {
            let later = turn.interruption.iter();
            let later = later.flat_map(|it| it.other.iter().chain(&it.requests));
            turn.requests.iter().chain(later)
        })
    }

    /// What the store holds after each number of writes, starting with none.
    pub(super) fn states(&self) -> Vec<Contents> {
        let initial = match &self.start {
            Start::File(writes) | Start::Journal(writes) => {
                writes.iter().fold(Contents::default(), Contents::after)
            }
            Start::NoDirectory | Start::NoFile => Contents::default(),
        };
        let writes = self.requests().filter(|request| request.is_write());
        let mut states = vec![initial];
        for write in writes {
            let newest = states.last().expect("it starts with one");
            states.push(newest.clone().after(write));
        }
        states
    }

    /// The modes and groups that the file and its journal may have.
    pub(super) fn modes_and_groups(&self) -> Vec<(u32, u32)> {
        let clears = self.requests().any(|request| *request == Request::Clear);
        let mut allowed = match self.start {
            Start::File(_) | Start::Journal(_) if clears => vec![OLD_FILE, NEW_FILE],
            Start::File(_) | Start::Journal(_) => vec![OLD_FILE],
            Start::NoDirectory | Start::NoFile => vec![NEW_FILE],
        };
        if !self.flushes() {
            allowed.push(UNFLUSHED_FILE);
        }
        allowed
    }

    /// Whether every change is flushed before it is acknowledged.
    pub(super) fn flushes(&self) -> bool {
        self.options.iter().all(|options| options.fsync)
    }

    /// Whether the last process that closes its store leaves nothing but the file. A journal that
    /// nobody appended to stays.
    pub(super) fn leaves_only_the_file(&self) -> bool {
        !matches!(self.start, Start::Journal(_))
    }

    /// The machine before the program starts; all of its disk is durable.
    pub(super) fn machine(&self) -> Machine {
        let disk = SimulatedDisk::new(Features::default());
        disk.add_directory(Path::new("/data"));
        if !matches!(self.start, Start::NoDirectory) {
            disk.add_directory(Path::new(DIRECTORY));
        }
        let machine = Machine::new(disk);
        let (writes, options) = match &self.start {
            Start::NoDirectory | Start::NoFile => return machine,
            Start::File(writes) => (writes, Options::default()),
            Start::Journal(writes) => (writes, appending()),
        };
        let storage = machine.storage();
        let file = storage.create(Path::new(FILE), Visibility::Umask).expect(NO_FAULT);
        file.write_at(b"{}", 0).expect(NO_FAULT);
        file.set_owner(None, Some(OLD_FILE.1)).expect(NO_FAULT);
        file.set_mode(OLD_FILE.0).expect(NO_FAULT);
        file.flush().expect(NO_FAULT);
        let directory = storage.open_directory(Path::new(DIRECTORY)).expect(NO_FAULT);
        directory.flush().expect(NO_FAULT);
        machine.start(FILE, options).ask_each(writes);
        machine.after_kill()
    }
}

impl Turn {
    fn random(random: &mut Random) -> Self {
        let process = random.below(PROCESSES as u64) as usize;
        let count = 1 + random.below(4);
        let mut requests: Vec<_> = (0..count).map(|_| random_request(random)).collect();
        if random.once_in(6) {
            requests.push(random.pick(&[Request::Close, Request::Checkpoint]));
        }
        let interruption = random.once_in(2).then(|| Interruption::random(random));
        Self { process, requests, interruption }
    }
}

impl Interruption {
    fn random(random: &mut Random) -> Self {
        let other = random.once_in(2).then(|| random_request(random));
        let count = random.below(3) + u64::from(other.is_none());
        let mut requests: Vec<_> = (0..count).map(|_| random_request(random)).collect();
        if random.once_in(8) {
            requests.push(Request::Close);
        }
        Self { steps: random.below(3), requests, other }
    }
}

fn random_options(random: &mut Random) -> Options {
    match random.below(6) {
        0 => appending().journal(Journal::Never),
        1 | 2 => appending(),
        3 | 4 => checkpointing_at_once(),
        _ => checkpointing_at_once().journal(Journal::Auto).journal_threshold(JOURNAL_THRESHOLD),
    }
}

fn random_request(random: &mut Random) -> Request {
    match random.below(12) {
        0..5 => random_set(random),
        5..7 => Request::Delete(random_key(random)),
        7..9 => random_group(random),
        9..11 => Request::Get(random_key(random)),
        _ => Request::Clear,
    }
}

/// Sets a value that no other request sets, so that states can be told apart.
fn random_set(random: &mut Random) -> Request {
    Request::Set(random_key(random), random_value(random))
}

/// Changes several keys, all or nothing.
fn random_group(random: &mut Random) -> Request {
    let sets = (0..1 + random.below(3)).map(|_| (random_key(random), random_value(random)));
    let sets = sets.collect();
    Request::Group(sets, (0..random.below(2)).map(|_| random_key(random)).collect())
}

fn random_value(random: &mut Random) -> String {
    let unique = format!("{:016x}", random.below(u64::MAX));
    unique + &"·".repeat(random.below(30) as usize)
}

fn random_key(random: &mut Random) -> String {
    format!("key {}", random.below(4))
}
