//! Whatever a crash leaves is a complete state with everything in it that was acknowledged.
//!
//! Random programs run on a simulated disk: once without a crash, then stopped at every call they
//! make. Every disk that may be left after a loss of power, and the one that a killed process
//! leaves, is opened again. Then
//!
//! - the file is readable, and holds what the writes of the program up to some moment make, in
//!   the order of their submission; that moment is not before the last acknowledged write;
//! - it has the mode and the owner it had;
//! - the next write succeeds and leaves nothing else in the directory; after a kill, a loss of
//!   power later takes nothing away from what the next process acknowledged.
//!
//! `AIOKV_SEED` chooses the programs. `AIOKV_TORTURE_SECONDS` makes the main test run that long,
//! with other programs each time.

#[path = "support/careless.rs"]
mod careless;
#[path = "support/program.rs"]
mod program;
#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/simulated_disk/mod.rs"]
mod simulated_disk;
#[path = "support/start.rs"]
mod start;

use std::env;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aiokv::storage::Storage;
use aiokv::{AioKv, Options};

use careless::{CarelessDisk, LeftOut};
use program::{DIRECTORY, FILE, Program, open};
use requests::{Contents, Request, send_together};
use simulated_disk::{Call, Plan, SimulatedDisk};

/// How many programs the main test runs by default.
const PROGRAMS: u64 = 550;
/// How many states they lead to at least.
const STATES_MIN: u64 = 100_000;
/// How many threads look at states. More than processors: they wait for engines most of the time.
const WORKERS: usize = 4;
/// How many states are looked at for one stop.
const STATES_PER_STOP: usize = 400;

#[test]
fn nothing_acknowledged_is_lost_in_a_crash() {
    let torture = number_from_environment("AIOKV_TORTURE_SECONDS").map(Duration::from_secs);
    let first = number_from_environment("AIOKV_SEED").unwrap_or_else(|| match torture {
        Some(_) => seed_of_this_moment(),
        None => 0,
    });
    let started = Instant::now();
    let mut states = 0;
    for index in 0.. {
        if torture.map_or(index >= PROGRAMS, |time| started.elapsed() >= time) {
            break;
        }
        match check(&Program::random(first.wrapping_add(index)), careful) {
            Ok(checked) => states += checked,
            Err(loss) => panic!("{loss}"),
        }
    }
    // Not through `println!`, which the test harness keeps to itself.
    let seconds = started.elapsed().as_secs();
    writeln!(std::io::stderr(), "crash: {states} states checked in {seconds} s, seed {first}")
        .expect("standard error is open");
    assert!(torture.is_some() || states >= STATES_MIN, "only {states} states were checked");
}

#[test]
fn a_missing_flush_of_the_file_is_noticed() {
    assert_loss_without(LeftOut::FileFlush);
}

#[test]
fn a_missing_flush_of_the_directory_is_noticed() {
    assert_loss_without(LeftOut::DirectoryFlush);
}

#[test]
fn copying_instead_of_renaming_is_noticed() {
    assert_loss_without(LeftOut::AtomicRename);
}

/// Shows that the check can fail: with `left_out`, a state survives that it objects to.
fn assert_loss_without(left_out: LeftOut) {
    let careless = |disk| Arc::new(CarelessDisk { disk, left_out }) as Arc<dyn Storage>;
    let is_lost = |seed| check(&Program::random(seed), careless).is_err();
    assert!((0..20).any(is_lost), "nothing was lost without {left_out:?}");
}

fn careful(disk: SimulatedDisk) -> Arc<dyn Storage> {
    Arc::new(disk)
}

/// How far a program came, in writes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Progress {
    submitted: usize,
    /// The last acknowledged write and all before it.
    acknowledged: usize,
}

/// Runs a program until it ends or the machine stops. Until then, every reply is right.
fn run(
    program: &Program,
    disk: &SimulatedDisk,
    storage: &impl Fn(SimulatedDisk) -> Arc<dyn Storage>,
) -> Progress {
    let seed = program.seed;
    let states = program.states();
    let process = |_| open(storage(disk.clone()), program.options.clone());
    let stores: [AioKv; 2] = std::array::from_fn(process);
    let mut progress = Progress::default();
    for turn in &program.turns {
        let replies = send_together(&stores[turn.process], disk, &turn.requests);
        for (request, reply) in turn.requests.iter().zip(replies) {
            if request.is_write() {
                progress.submitted += 1;
            }
            match (request, reply) {
                (Request::Get(key), Ok(value)) => {
                    let right = states[progress.submitted].get(key);
                    assert_eq!(value.as_ref(), right, "seed {seed}: wrong value of {key}");
                }
                (_, Ok(_)) => progress.acknowledged = progress.submitted,
                (request, Err(error)) => {
                    assert!(disk.is_crashed(), "seed {seed}: {request:?} failed: {error}");
                }
            }
        }
        if disk.is_crashed() {
            break;
        }
    }
    progress
}

/// The engines of one process wait for each other while they start. So that a program makes the
/// same calls each time, it runs alone.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a program, stops it at every call and looks at what is left. Says at how many disks.
fn check(
    program: &Program,
    storage: impl Fn(SimulatedDisk) -> Arc<dyn Storage>,
) -> Result<u64, Loss> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let stops = stops(program, storage);
    let states = program.states();
    let next = AtomicUsize::new(0);
    let check_some = || {
        let mine = std::iter::from_fn(|| stops.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(|stop| stop.check(program, &states)).sum::<Result<u64, Loss>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(check_some)).collect();
        workers.into_iter().map(|worker| worker.join().expect("checks do not panic")).sum()
    })
}

/// Runs a program without a stop and then with a stop at every call and after the last one.
fn stops(program: &Program, storage: impl Fn(SimulatedDisk) -> Arc<dyn Storage>) -> Vec<Stop> {
    let start = program.disk();
    let whole = start.after_kill();
    run(program, &whole, &storage);
    let calls = whole.log();
    let mut stops: Vec<Stop> = Vec::new();
    for number in 1..=calls.len() + 1 {
        let disk = start.after_kill();
        disk.plan(Plan::Crash { at: number });
        let progress = run(program, &disk, &storage);
        let before = &calls[..number - 1];
        assert_eq!(disk.log(), before, "AIOKV_SEED={}: two runs differ", program.seed);
        // After a look there may be the same disks as before, and if the program did not come
        // further, the same is expected of them.
        let changes = before.last().is_none_or(|call| call.action.changes_the_disk());
        if changes || stops.last().is_none_or(|stop| stop.progress != progress) {
            stops.push(Stop { number, call: calls.get(number - 1).cloned(), progress, disk });
        }
    }
    stops
}

/// The moment at which a program was stopped.
struct Stop {
    number: usize,
    /// The call before which the program stopped; `None` after the last one.
    call: Option<Call>,
    progress: Progress,
    disk: SimulatedDisk,
}

impl Stop {
    /// Checks every disk that may be left; says how many a loss of power may leave.
    fn check(&self, program: &Program, states: &[Contents]) -> Result<u64, Loss> {
        let expected = Expected {
            states: &states[self.progress.acknowledged..=self.progress.submitted],
            modes_and_owners: program.modes_and_owners(),
        };
        let loss = |event, left: &SimulatedDisk, problem| Loss {
            seed: program.seed,
            stop: self.number,
            call: self.call.clone(),
            event,
            left: left.listing(),
            problem,
        };
        let mut checked = 0;
        if program.options.fsync {
            let seed = program.seed ^ self.number as u64;
            for left in self.disk.surviving_states(STATES_PER_STOP, seed) {
                let opened = left.after_kill();
                expected.check(&opened).map_err(|problem| loss("lost power", &left, problem))?;
                checked += 1;
            }
        }
        let left = self.disk.after_kill();
        check_killed(&left, &expected).map_err(|problem| loss("was killed", &left, problem))?;
        Ok(checked)
    }
}

/// What may be left.
struct Expected<'program> {
    states: &'program [Contents],
    modes_and_owners: &'program [(u32, u32)],
}

impl Expected<'_> {
    /// Opens the disk and looks, then writes.
    fn check(&self, disk: &SimulatedDisk) -> Result<(), String> {
        let store = open(careful(disk.clone()), Options::default());
        self.check_contents(&store)?;
        self.check_mode_and_owner(disk)?;
        send(&store, &set_after_crash())?;
        require_only_the_file(disk)
    }

    fn check_contents(&self, store: &AioKv) -> Result<Contents, String> {
        let contents = Contents::of(store).map_err(|error| format!("unreadable: {error}"))?;
        if self.states.contains(&contents) {
            return Ok(contents);
        }
        Err(format!("it holds {contents:?}, which is none of {:?}", self.states))
    }

    fn check_mode_and_owner(&self, disk: &SimulatedDisk) -> Result<(), String> {
        let Ok(metadata) = disk.metadata(Path::new(FILE)) else {
            return Ok(());
        };
        let (mode, owner) = (metadata.mode, metadata.owner);
        if self.modes_and_owners.contains(&(mode, owner)) {
            return Ok(());
        }
        Err(format!("the file has mode {mode:o} and owner {owner}"))
    }
}

/// After a kill the next process finds what was not flushed, builds on it, and loses power.
fn check_killed(killed: &SimulatedDisk, expected: &Expected) -> Result<(), String> {
    let changes_nothing = Request::Delete("absent".to_owned());
    for write in [set_after_crash(), changes_nothing] {
        let disk = killed.after_kill();
        let store = open(careful(disk.clone()), Options::default());
        send(&store, &write)?;
        let after_write = |state: &Contents| state.clone().after(&write);
        let states: Vec<_> = expected.states.iter().map(after_write).collect();
        let contents = Expected { states: &states, ..*expected }.check_contents(&store)?;
        expected.check_mode_and_owner(&disk)?;
        if matches!(write, Request::Set(..)) {
            require_only_the_file(&disk)?;
        }
        for left in disk.surviving_states(STATES_PER_STOP, 0) {
            let store = open(careful(left.clone()), Options::default());
            require_contents(&store, &contents).map_err(|problem| {
                format!("{problem}, after {write:?} and a loss of power:\n{}", left.listing())
            })?;
        }
    }
    Ok(())
}

fn set_after_crash() -> Request {
    Request::Set("after".to_owned(), "the crash".to_owned())
}

fn send(store: &AioKv, write: &Request) -> Result<(), String> {
    pollster::block_on(write.send(store))
        .map(drop)
        .map_err(|error| format!("{write:?} fails: {error}"))
}

fn require_contents(store: &AioKv, right: &Contents) -> Result<(), String> {
    match Contents::of(store) {
        Ok(contents) if contents == *right => Ok(()),
        Ok(contents) => Err(format!("it holds {contents:?} instead of {right:?}")),
        Err(error) => Err(format!("unreadable: {error}")),
    }
}

fn require_only_the_file(disk: &SimulatedDisk) -> Result<(), String> {
    let names = disk.names(Path::new(DIRECTORY));
    if names == ["state.json"] { Ok(()) } else { Err(format!("the directory has {names:?}")) }
}

/// A state that must not be.
#[derive(Debug)]
struct Loss {
    seed: u64,
    stop: usize,
    call: Option<Call>,
    event: &'static str,
    left: String,
    problem: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, stop, call, event, left, problem } = self;
        writeln!(
            formatter,
            "AIOKV_SEED={seed}: the program {event} before call {stop} ({call:?})"
        )?;
        writeln!(formatter, "{problem}")?;
        write!(formatter, "the disk at first:\n{left}")
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {value:?}")))
}

fn seed_of_this_moment() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since_1970.subsec_nanos()) + (since_1970.as_secs() << 30)
}
