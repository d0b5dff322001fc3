//! Random programs: what several processes ask of one file, and what may become of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use aiokv::storage::Storage;
use aiokv::{AioKv, Options};

use crate::random::Random;
use crate::requests::{Contents, Request};
use crate::simulated_disk::SimulatedDisk;

pub(crate) const DIRECTORY: &str = "/data/app";
pub(crate) const FILE: &str = "/data/app/state.json";

/// Mode and owner of a file that was there before the program.
const OLD_FILE: (u32, u32) = (0o640, 0);
/// Mode and owner of a file that the program created: the simulated umask and user.
const NEW_FILE: (u32, u32) = (0o644, 1000);

const NO_FAULT: &str = "no call fails that is not told to";

/// What is asked of the stores of two processes, one after the other.
pub(crate) struct Program {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) turns: Vec<Turn>,
    start: Start,
}

/// Requests that are under way together.
pub(crate) struct Turn {
    pub(crate) process: usize,
    pub(crate) requests: Vec<Request>,
}

/// What there is at first.
enum Start {
    NoDirectory,
    NoFile,
    File(Vec<Request>),
}

impl Program {
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let start = match random.below(4) {
            0 => Start::NoDirectory,
            1 => Start::NoFile,
            _ => Start::File((0..random.below(4)).map(|_| random_set(&mut random)).collect()),
        };
        let options = Options::default().fsync(random.below(5) > 0);
        let turns = (0..1 + random.below(4)).map(|_| Turn::random(&mut random)).collect();
        Self { seed, options, turns, start }
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.turns.iter().flat_map(|turn| &turn.requests)
    }

    /// What the store holds after each number of writes, starting with none.
    pub(crate) fn states(&self) -> Vec<Contents> {
        let initial = match &self.start {
            Start::File(writes) => writes.iter().fold(Contents::default(), Contents::after),
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

    /// The modes and owners that the file may have.
    pub(crate) fn modes_and_owners(&self) -> &[(u32, u32)] {
        let clears = self.requests().any(|request| *request == Request::Clear);
        match self.start {
            Start::File(_) if clears => &[OLD_FILE, NEW_FILE],
            Start::File(_) => &[OLD_FILE],
            Start::NoDirectory | Start::NoFile => &[NEW_FILE],
        }
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
            if let Start::File(writes) = &self.start {
                let file = disk.create(Path::new(FILE), OLD_FILE.0)?;
                file.write_at(b"{}", 0)?;
                file.set_owner(OLD_FILE.1, OLD_FILE.1)?;
                file.flush()?;
                disk.flush_directory(Path::new(DIRECTORY))?;
                let store = open(Arc::new(disk.clone()), Options::default());
                for write in writes {
                    pollster::block_on(write.send(&store)).expect(NO_FAULT);
                }
            }
            io::Result::Ok(())
        };
        prepare().expect(NO_FAULT);
        disk
    }
}

impl Turn {
    fn random(random: &mut Random) -> Self {
        let process = random.below(2) as usize;
        let count = 1 + random.below(4);
        let mut requests: Vec<_> = (0..count).map(|_| random_request(random)).collect();
        // What is under way together follows a write.
        if count > 1 && !requests[0].is_write() {
            requests[0] = random_set(random);
        }
        Self { process, requests }
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
