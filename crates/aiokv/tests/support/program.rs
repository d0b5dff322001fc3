//! Random programs: what several processes ask of one file, and what may become of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use aiokv::storage::Storage;
use aiokv::{AioKv, Journal, Options};

use crate::options::{appending, folding_at_once};
use crate::random::Random;
use crate::requests::{Contents, Request};
use crate::simulated_disk::SimulatedDisk;

pub(crate) const DIRECTORY: &str = "/data/app";
pub(crate) const FILE: &str = "/data/app/state.json";
pub(crate) const JOURNAL: &str = "/data/app/state.json.journal";
pub(crate) const TEMPORARY: &str = "/data/app/.state.json.aiokv-tmp";

/// How many processes a program has.
pub(crate) const PROCESSES: usize = 2;

/// Mode and owner of a file that was there before the program.
const OLD_FILE: (u32, u32) = (0o640, 0);
/// Mode and owner of a file that the program created: the simulated umask and user.
const NEW_FILE: (u32, u32) = (0o644, 1000);
/// Mode and owner of a replacement that became the file without a flush, after a loss of power.
const UNFLUSHED_FILE: (u32, u32) = (0o600, 1000);

/// A size that some files of a program exceed and others do not.
const THRESHOLD_BYTES: u64 = 60;

const NO_FAULT: &str = "no call fails that is not told to";

/// What is asked of the stores of two processes, one after the other.
pub(crate) struct Program {
    pub(crate) seed: u64,
    /// Of each process.
    pub(crate) options: [Options; PROCESSES],
    pub(crate) turns: Vec<Turn>,
    pub(crate) interruption: Option<Interruption>,
    start: Start,
}

/// Requests that are under way together.
pub(crate) struct Turn {
    pub(crate) process: usize,
    pub(crate) requests: Vec<Request>,
}

/// Requests that arrive in the middle of the fold after a turn.
pub(crate) struct Interruption {
    /// The index of the turn.
    pub(crate) turn: usize,
    /// The call before which they arrive, counted from 1 since the program began.
    pub(crate) call: usize,
    /// Of the process that folds.
    pub(crate) requests: Vec<Request>,
    /// Of the other process, before the others.
    pub(crate) other: Option<Request>,
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
    pub(crate) fn random(seed: u64) -> Self {
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
        Self { seed, options, turns, interruption: None, start }
    }

    /// Every request, in the order in which they take effect.
    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.turns.iter().enumerate().flat_map(|(index, turn)| {
            let interruption = self.interruption.iter().filter(move |it| it.turn == index);
            let later = interruption.flat_map(|it| it.other.iter().chain(&it.requests));
            turn.requests.iter().chain(later)
        })
    }

    /// What the store holds after each number of writes, starting with none.
    pub(crate) fn states(&self) -> Vec<Contents> {
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

    /// The modes and owners that the file and its journal may have.
    pub(crate) fn modes_and_owners(&self) -> Vec<(u32, u32)> {
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
    pub(crate) fn flushes(&self) -> bool {
        self.options.iter().all(|options| options.fsync)
    }

    /// Whether a process brings the file up to date by itself after it changed something.
    pub(crate) fn folds_at_once(&self, process: usize) -> bool {
        self.options[process].fold_idle.is_zero()
    }

    /// Whether a process only ever appends to the journal of a file that is there, so that it
    /// need not wait for another one that folds.
    pub(crate) fn only_appends(&self, process: usize) -> bool {
        self.options[process].journal == Journal::Always && !self.folds_at_once(process)
    }

    /// Whether the last process that closes its store leaves nothing but the file. A journal that
    /// nobody appended to stays.
    pub(crate) fn leaves_only_the_file(&self) -> bool {
        !matches!(self.start, Start::Journal(_))
    }

    /// The disk before the program starts; all of it is durable.
    pub(crate) fn disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let prepare = || {
            disk.create_directory(Path::new("/data"))?;
            disk.flush_directory(Path::new("/"))?;
            if !matches!(self.start, Start::NoDirectory) {
                disk.create_directory(Path::new(DIRECTORY))?;
                disk.flush_directory(Path::new("/data"))?;
            }
            let (writes, options) = match &self.start {
                Start::NoDirectory | Start::NoFile => return Ok(disk.after_kill()),
                Start::File(writes) => (writes, Options::default()),
                Start::Journal(writes) => (writes, appending()),
            };
            let file = disk.create(Path::new(FILE), OLD_FILE.0)?;
            file.write_at(b"{}", 0)?;
            file.set_owner(OLD_FILE.1, OLD_FILE.1)?;
            file.flush()?;
            disk.flush_directory(Path::new(DIRECTORY))?;
            let store = open(Arc::new(disk.clone()), options);
            for write in writes {
                pollster::block_on(write.send(&store)).expect(NO_FAULT);
            }
            // What a store does when it is dropped happens to the other disk.
            io::Result::Ok(disk.after_kill())
        };
        prepare().expect(NO_FAULT)
    }
}

impl Turn {
    fn random(random: &mut Random) -> Self {
        let process = random.below(PROCESSES as u64) as usize;
        let count = 1 + random.below(4);
        let mut requests: Vec<_> = (0..count).map(|_| random_request(random)).collect();
        if random.below(6) == 0 {
            requests.push(Request::Close);
        }
        // What is under way together follows a write.
        if requests.len() > 1 && !requests[0].is_write() {
            requests[0] = random_set(random);
        }
        Self { process, requests }
    }
}

impl Interruption {
    pub(crate) fn random(turn: usize, call: usize, random: &mut Random) -> Self {
        // Clearing would have to wait for the fold.
        let other = (random.below(2) == 0).then(|| match random_request(random) {
            Request::Clear => random_set(random),
            request => request,
        });
        let count = random.below(3) + u64::from(other.is_none());
        let mut requests: Vec<_> = (0..count).map(|_| random_request(random)).collect();
        if random.below(8) == 0 {
            requests.push(Request::Close);
        }
        Self { turn, call, requests, other }
    }
}

fn random_options(random: &mut Random) -> Options {
    match random.below(6) {
        0 => appending().journal(Journal::Never),
        1 | 2 => appending(),
        3 | 4 => folding_at_once(),
        _ => folding_at_once().journal(Journal::Auto).journal_threshold(THRESHOLD_BYTES),
    }
}

fn random_request(random: &mut Random) -> Request {
    match random.below(10) {
        0..5 => random_set(random),
        5..7 => Request::Delete(random_key(random)),
        7..9 => Request::Get(random_key(random)),
        _ => Request::Clear,
    }
}

/// Sets a value that no other request sets, so that states can be told apart.
fn random_set(random: &mut Random) -> Request {
    let unique = format!("{:016x}", random.below(u64::MAX));
    let padding = "·".repeat(random.below(30) as usize);
    Request::Set(random_key(random), unique + &padding)
}

fn random_key(random: &mut Random) -> String {
    format!("key {}", random.below(4))
}

/// A store on the file.
pub(crate) fn open(storage: Arc<dyn Storage>, options: Options) -> AioKv {
    AioKv::with_storage(FILE, options, storage).expect("the path is absolute")
}
