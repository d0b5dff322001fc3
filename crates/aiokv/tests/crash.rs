//! Whatever a crash leaves is a complete state with everything in it that was acknowledged.
//!
//! Random programs run on a simulated disk: once without a crash, then stopped at every call they
//! make. Their processes replace the file, or append to its journal and fold it by themselves or
//! when they close the store, some with requests that arrive in the middle of a fold. Every disk
//! that may be left after a loss of power, and the one that a killed process leaves, is opened
//! again. Then
//!
//! - the file and its journal are readable, and hold what the writes of the program up to some
//!   moment make, in the order of their submission; that moment is not before the last
//!   acknowledged write;
//! - they have the mode and the owner that the file had;
//! - the next write succeeds and, once the store is closed, leaves nothing else in the directory;
//!   after a kill, a loss of power later takes nothing away from what the next process
//!   acknowledged.
//!
//! Where a process does not flush, a loss of power may leave a damaged file, but not beside a
//! journal, and nothing that the writes up to some moment would not make.
//!
//! `AIOKV_SEED` chooses the programs. `AIOKV_TORTURE_SECONDS` makes the main test run that long,
//! with other programs each time.

#[path = "support/careless.rs"]
mod careless;
#[path = "support/options.rs"]
mod options;
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
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aiokv::storage::Storage;
use aiokv::{AioKv, Error, Journal, Options};

use careless::{CarelessDisk, LeftOut};
use options::appending;
use program::{DIRECTORY, FILE, Interruption, JOURNAL, PROCESSES, Program, TEMPORARY, Turn, open};
use random::Random;
use requests::{Contents, Reply, Request, send_together};
use simulated_disk::{Action, Call, Plan, SimulatedDisk, Subject};
use start::start;

/// How many programs the main test runs by default.
const PROGRAMS: u64 = 130;
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
        let mut program = Program::random(first.wrapping_add(index));
        interrupt(&mut program);
        match check(&program, careful) {
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

#[test]
fn a_missing_flush_of_what_was_appended_to_the_journal_is_noticed() {
    assert_loss_without(LeftOut::AppendFlush);
}

#[test]
fn a_missing_flush_of_the_directory_after_creating_the_journal_is_noticed() {
    assert_loss_without(LeftOut::JournalNameFlush);
}

#[test]
fn replacing_the_file_unannounced_while_there_is_a_journal_is_noticed() {
    assert_loss_without(LeftOut::FoldLine);
}

/// Shows that the check can fail: with `left_out`, a state survives that it objects to.
fn assert_loss_without(left_out: LeftOut) {
    let careless = |disk| Arc::new(CarelessDisk::new(disk, left_out)) as Arc<dyn Storage>;
    let is_lost = |seed| check(&Program::random(seed), careless).is_err();
    assert!((0..40).any(is_lost), "nothing was lost without {left_out:?}");
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
    /// The last write that was acknowledged by a process that flushes, and all before it.
    durable: usize,
}

/// A program that runs until it ends or the machine stops. Until then, every reply is right.
struct Run<'program> {
    program: &'program Program,
    states: Vec<Contents>,
    disk: SimulatedDisk,
    stores: [AioKv; PROCESSES],
    progress: Progress,
    /// How many calls there were before each turn, and at the end of the last one.
    calls_before: Vec<usize>,
}

impl<'program> Run<'program> {
    fn of(
        program: &'program Program,
        disk: &SimulatedDisk,
        storage: &impl Fn(SimulatedDisk) -> Arc<dyn Storage>,
    ) -> Self {
        let process = |index: usize| open(storage(disk.clone()), program.options[index].clone());
        let mut run = Self {
            program,
            states: program.states(),
            disk: disk.clone(),
            stores: std::array::from_fn(process),
            progress: Progress::default(),
            calls_before: Vec::new(),
        };
        for index in 0..program.turns.len() {
            run.calls_before.push(disk.log().len());
            run.turn(index);
            if disk.is_crashed() {
                return run;
            }
        }
        run.calls_before.push(disk.log().len());
        run.close();
        run
    }

    fn turn(&mut self, index: usize) {
        let turn = &self.program.turns[index];
        let interruption = self.program.interruption.as_ref().filter(|it| it.turn == index);
        if let Some(interruption) = interruption {
            self.disk.pause_at(interruption.call);
        }
        let before = self.progress.submitted;
        let replies = send_together(&self.stores[turn.process], &self.disk, &turn.requests);
        self.take_replies(turn.process, &turn.requests, replies);
        self.wait_until_folded(turn.process, before);
        if let Some(interruption) = interruption
            && !self.disk.is_crashed()
        {
            assert!(self.disk.is_paused(), "seed {}: no fold to interrupt", self.program.seed);
            self.interrupt(turn.process, interruption);
            self.wait_until_folded(turn.process, before);
        }
    }

    /// Sends requests while the fold pauses, and lets it go on.
    fn interrupt(&mut self, process: usize, interruption: &Interruption) {
        let other = 1 - process;
        let mut requests = Vec::from_iter(&interruption.other);
        if self.program.only_appends(other) && !self.disk.is_locked(Path::new(FILE)) {
            for request in requests.drain(..) {
                let reply = pollster::block_on(request.send(&self.stores[other]));
                self.take_replies(other, [request], vec![reply]);
            }
        }
        requests.extend(&interruption.requests);
        let store = self.stores[process].clone();
        let started: Vec<_> = requests.iter().map(|request| start(request.send(&store))).collect();
        self.disk.go_on();
        let replies = started.into_iter().map(pollster::block_on).collect();
        self.take_replies(process, requests, replies);
    }

    fn take_replies<'request>(
        &mut self,
        process: usize,
        requests: impl IntoIterator<Item = &'request Request>,
        replies: Vec<Reply>,
    ) {
        let Self { states, disk, progress, .. } = self;
        let Program { seed, options, .. } = self.program;
        for (request, reply) in requests.into_iter().zip(replies) {
            if request.is_write() {
                progress.submitted += 1;
            }
            match (request, reply) {
                (Request::Get(key), Ok(value)) => {
                    let right = states[progress.submitted].get(key);
                    assert_eq!(value.as_ref(), right, "seed {seed}: wrong value of {key}");
                }
                (_, Ok(_)) if request.is_write() => {
                    progress.acknowledged = progress.submitted;
                    if options[process].fsync {
                        progress.durable = progress.submitted;
                    }
                }
                (_, Ok(_)) => {}
                (request, Err(error)) => {
                    assert!(disk.is_crashed(), "seed {seed}: {request:?} failed: {error}");
                }
            }
        }
    }

    /// Waits for the fold that follows if something changed since there were so many writes.
    fn wait_until_folded(&self, process: usize, writes_before: usize) {
        let since = &self.states[writes_before..=self.progress.submitted];
        let changed = since.windows(2).any(|pair| pair[0] != pair[1]);
        if changed && self.program.folds_at_once(process) {
            self.disk.wait_until_folded(Path::new(JOURNAL), 0);
        }
    }

    /// The calls of the fold that began after all requests of a turn were answered, but for the
    /// first; none if there is no such fold. Counted from 1.
    fn calls_of_fold(&self, turn: usize) -> Range<usize> {
        let Turn { process, requests } = &self.program.turns[turn];
        let folds = |request: &Request| matches!(request, Request::Clear | Request::Close);
        let appends = self.program.options[*process].journal == Journal::Always;
        if !appends || requests.iter().any(folds) {
            return 0..0;
        }
        let log = self.disk.log();
        let last = |action, path: &str| {
            let subject = Subject::Path(path.into());
            let is_it = |&call: &usize| log[call].action == action && log[call].subject == subject;
            (self.calls_before[turn]..self.calls_before[turn + 1]).rfind(is_it)
        };
        match (last(Action::Create, TEMPORARY), last(Action::Remove, JOURNAL)) {
            (Some(begun), Some(ended)) => begun + 2..ended + 1,
            _ => 0..0,
        }
    }

    /// Ends both processes in good order.
    fn close(&mut self) {
        for (process, store) in self.stores.clone().iter().enumerate() {
            let reply = pollster::block_on(Request::Close.send(store));
            self.take_replies(process, [&Request::Close], vec![reply]);
        }
        if self.program.leaves_only_the_file() && !self.disk.is_crashed() {
            let names = self.disk.names(Path::new(DIRECTORY));
            let only_the_file = names.iter().all(|name| name == "state.json");
            assert!(only_the_file, "seed {}: the directory has {names:?}", self.program.seed);
        }
    }
}

/// The engines of one process wait for each other while they start. So that a program makes the
/// same calls each time, it runs alone.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Lets requests arrive at a random call of a random fold, if there is one.
fn interrupt(program: &mut Program) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let run = Run::of(program, &program.disk(), &careful);
    let calls_of = |turn| run.calls_of_fold(turn).map(move |call| (turn, call));
    let calls: Vec<_> = (0..program.turns.len()).flat_map(calls_of).collect();
    if !calls.is_empty() {
        let mut random = Random(program.seed ^ u64::MAX);
        let (turn, call) = calls[random.below(calls.len() as u64) as usize];
        program.interruption = Some(Interruption::random(turn, call, &mut random));
    }
}

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
    Run::of(program, &whole, &storage);
    let calls = whole.log();
    let mut stops: Vec<Stop> = Vec::new();
    for number in 1..=calls.len() + 1 {
        let disk = start.after_kill();
        disk.plan(Plan::Crash { at: number });
        let progress = Run::of(program, &disk, &storage).progress;
        let before = &calls[..number - 1];
        let log = disk.log();
        let differs = log.iter().zip(before).position(|(call, other)| call != other);
        let same = differs.is_none() && log.len() == before.len();
        assert!(same, "AIOKV_SEED={}: two runs differ at call {differs:?}", program.seed);
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
        let Progress { submitted, acknowledged, durable } = self.progress;
        // The process that comes next appends too, every second time.
        let next = match self.number % 2 {
            0 => Options::default(),
            _ => appending(),
        };
        let modes_and_owners = program.modes_and_owners();
        let expected = |least: usize| Expected {
            states: &states[least..=submitted],
            modes_and_owners: &modes_and_owners,
            flushed: program.flushes(),
            next: &next,
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
        let seed = program.seed ^ self.number as u64;
        for left in self.disk.surviving_states(STATES_PER_STOP, seed) {
            let outcome = expected(durable).check(&left.after_kill());
            outcome.map_err(|problem| loss("lost power", &left, problem))?;
            checked += 1;
        }
        let left = self.disk.after_kill();
        let outcome = check_killed(&left, &expected(acknowledged));
        outcome.map_err(|problem| loss("was killed", &left, problem))?;
        Ok(checked)
    }
}

/// What may be left.
struct Expected<'stop> {
    states: &'stop [Contents],
    modes_and_owners: &'stop [(u32, u32)],
    /// Every change was flushed before it was acknowledged.
    flushed: bool,
    /// How the process works that comes next.
    next: &'stop Options,
}

impl Expected<'_> {
    /// Opens the disk and looks, then writes.
    fn check(&self, disk: &SimulatedDisk) -> Result<(), String> {
        let store = self.open(disk);
        // A journal only ever continues what was flushed.
        if !self.flushed
            && disk.metadata(Path::new(JOURNAL)).is_err()
            && let Err(Error::Corrupt(_)) = Contents::of(&store)
        {
            return Ok(());
        }
        let contents = self.check_contents(&store)?;
        self.check_modes_and_owners(disk)?;
        let write = set_after_crash();
        send(&store, &write)?;
        self.require_only_the_file(disk, &store)?;
        if self.appends() {
            require_contents(&self.open(disk), &contents.after(&write))?;
        }
        Ok(())
    }

    fn appends(&self) -> bool {
        self.next.journal == Journal::Always
    }

    /// The store of the process that comes next.
    fn open(&self, disk: &SimulatedDisk) -> AioKv {
        open(careful(disk.clone()), self.next.clone())
    }

    fn check_contents(&self, store: &AioKv) -> Result<Contents, String> {
        let contents = Contents::of(store).map_err(|error| format!("unreadable: {error}"))?;
        if self.states.contains(&contents) {
            return Ok(contents);
        }
        Err(format!("it holds {contents:?}, which is none of {:?}", self.states))
    }

    fn check_modes_and_owners(&self, disk: &SimulatedDisk) -> Result<(), String> {
        for path in [FILE, JOURNAL] {
            let Ok(metadata) = disk.metadata(Path::new(path)) else { continue };
            let (mode, owner) = (metadata.mode, metadata.owner);
            if !self.modes_and_owners.contains(&(mode, owner)) {
                return Err(format!("`{path}` has mode {mode:o} and owner {owner}"));
            }
        }
        Ok(())
    }

    /// Whoever replaces the file leaves nothing else, and whoever appends does once the store is
    /// closed.
    fn require_only_the_file(&self, disk: &SimulatedDisk, store: &AioKv) -> Result<(), String> {
        if self.appends() {
            send(store, &Request::Close)?;
        }
        let names = disk.names(Path::new(DIRECTORY));
        if names == ["state.json"] { Ok(()) } else { Err(format!("the directory has {names:?}")) }
    }
}

/// After a kill the next process finds what was not flushed, builds on it, and loses power.
fn check_killed(killed: &SimulatedDisk, expected: &Expected) -> Result<(), String> {
    let changes_nothing = Request::Delete("absent".to_owned());
    for write in [set_after_crash(), changes_nothing] {
        let disk = killed.after_kill();
        let store = expected.open(&disk);
        send(&store, &write)?;
        let after_write = |state: &Contents| state.clone().after(&write);
        let states: Vec<_> = expected.states.iter().map(after_write).collect();
        let contents = Expected { states: &states, ..*expected }.check_contents(&store)?;
        expected.check_modes_and_owners(&disk)?;
        for left in disk.surviving_states(STATES_PER_STOP, 0) {
            let store = open(careful(left.clone()), Options::default());
            require_contents(&store, &contents).map_err(|problem| {
                format!("{problem}, after {write:?} and a loss of power:\n{}", left.listing())
            })?;
        }
        if matches!(write, Request::Set(..)) {
            expected.require_only_the_file(&disk, &store)?;
        }
    }
    Ok(())
}

fn set_after_crash() -> Request {
    Request::Set("after".to_owned(), "the crash".to_owned())
}

fn send(store: &AioKv, request: &Request) -> Result<(), String> {
    pollster::block_on(request.send(store))
        .map(drop)
        .map_err(|error| format!("{request:?} fails: {error}"))
}

fn require_contents(store: &AioKv, right: &Contents) -> Result<(), String> {
    match Contents::of(store) {
        Ok(contents) if contents == *right => Ok(()),
        Ok(contents) => Err(format!("it holds {contents:?} instead of {right:?}")),
        Err(error) => Err(format!("unreadable: {error}")),
    }
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
