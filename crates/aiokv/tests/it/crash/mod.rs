//! Whatever a crash leaves is a complete state with everything in it that was acknowledged.
//!
//! Random programs run on a simulated disk: once without a crash, then stopped at every call they
//! make. Their processes replace the file, or append to its journal and bring the file up to date
//! by themselves or when they close the store, some with requests that arrive during a checkpoint.
//! Every disk that may be left after a loss of power, and the one that a killed process leaves, is
//! opened again. Then
//!
//! - the file and its journal are readable, and hold what the writes of the program up to some
//!   moment make, in the order of their submission; that moment is not before the last
//!   acknowledged write;
//! - they have the mode and the group that the file had;
//! - the next write succeeds and, once the store is closed, leaves nothing else in the directory;
//!   after a kill, a loss of power later takes nothing away from what the next process
//!   acknowledged.
//!
//! Where a process does not flush, a loss of power may leave a damaged file, but not beside a
//! journal, and nothing that the writes up to some moment would not make.
//!
//! `AIOKV_SEED` chooses the programs. `AIOKV_TORTURE_SECONDS` makes the main test run that long,
//! with other programs each time.

mod program;
mod run;
mod survivors;

use std::env;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::careless::{LeftOut, careless};
use crate::support::process::{Made, Plan};
use program::Program;
use run::Run;
use survivors::Stop;

const DIRECTORY: &str = "/data/app";
const FILE: &str = "/data/app/state.json";
const JOURNAL: &str = "/data/app/state.json.journal";

/// A size that some files of a program exceed and others do not.
const JOURNAL_THRESHOLD: u64 = 60;

/// How many programs the main test runs by default.
const PROGRAMS: u64 = 130;
/// How many states they lead to at least.
const STATES_MIN: u64 = 100_000;
/// How many threads look at states.
const WORKERS: usize = 2;

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
        match check(&Program::random(first.wrapping_add(index)), &|storage| storage) {
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
    assert_loss_without(LeftOut::CheckpointLine);
}

/// Shows that the check can fail: with `left_out`, a state survives that it objects to.
fn assert_loss_without(left_out: LeftOut) {
    let make = move |storage| careless(storage, left_out);
    let is_lost = |seed| check(&Program::random(seed), &make).is_err();
    assert!((0..40).any(is_lost), "nothing was lost without {left_out:?}");
}

/// Runs a program, stops it at every call and looks at what is left. Says at how many disks.
fn check(program: &Program, make: &run::MakeStorage) -> Result<u64, Box<Loss>> {
    let stops = stops(program, make);
    let states = program.states();
    let next = AtomicUsize::new(0);
    let check_some = || {
        let mine = std::iter::from_fn(|| stops.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(|stop| stop.check(program, &states)).sum::<Result<u64, Box<Loss>>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(check_some)).collect();
        workers.into_iter().map(|worker| worker.join().expect("checks do not panic")).sum()
    })
}

/// Runs a program without a stop and then with a stop at every call and after the last one.
fn stops(program: &Program, make: &run::MakeStorage) -> Vec<Stop> {
    let start = program.machine();
    let whole = start.after_kill();
    Run::of(program, &whole, make);
    let calls = whole.log();
    let mut stops: Vec<Stop> = Vec::new();
    for number in 1..=calls.len() + 1 {
        let machine = start.after_kill();
        machine.plan(Plan::Crash { at: number });
        let progress = Run::of(program, &machine, make);
        let before = &calls[..number - 1];
        assert_eq!(machine.log(), before, "AIOKV_SEED={}: two runs differ", program.seed);
        // After a look there may be the same disks as before, and if the program did not come
        // further, the same is expected of them.
        let changes = before.last().is_none_or(|call| call.action.changes_the_disk());
        if changes || stops.last().is_none_or(|stop| stop.progress != progress) {
            let call = calls.get(number - 1).cloned();
            stops.push(Stop { number, call, progress, disk: machine.disk.clone() });
        }
    }
    stops
}

/// A state that must not be.
#[derive(Debug)]
struct Loss {
    seed: u64,
    stop: usize,
    call: Option<Made>,
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
