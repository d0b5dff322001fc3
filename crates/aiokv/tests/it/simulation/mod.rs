//! Several processes on one simulated disk: whatever order their calls come in, whatever fails,
//! whoever is killed and whenever the power goes, the store is what it promises to be.
//!
//! Each run is drawn from a seed: two or three processes, that is engines that share nothing but
//! the disk, each with options of its own, ask for a few things. Before every call, a schedule
//! decides which process makes the next one. Calls fail, once or from then on; processes are
//! killed and started again; the power goes; an outsider edits the file. Then one more process
//! opens what is left. In every run,
//!
//! - every operation ends within a bounded number of calls;
//! - an operation fails only if a call of its own process failed, or if an outsider, or a loss of
//!   power where a process does not flush, damaged the store;
//! - there is an order of all operations, which keeps their order in time, in which each of them
//!   answers what it answered ([`oracle`]); a loss of power takes away only what was not durable,
//!   and of that the last in this order;
//! - the last process finds what that order leaves, can change it, and leaves nothing but the file.
//!
//! `AIOKV_SEED` chooses the first seed. `AIOKV_RUNS` and `AIOKV_TORTURE_SECONDS` choose how many
//! follow.

mod baton;
mod conductor;
mod crew;
mod engine;
mod fault;
mod model;
mod oracle;
mod outsider;
mod process;
mod record;
mod run;
mod scenario;
mod schedule;
mod stage;
mod statistics;

use std::env;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::careless::LeftOut;
use crew::Crew;
use fault::Class;
use run::{Failure, run, traced};
use scenario::Mix;
use statistics::Statistics;

pub(crate) const DIRECTORY: &str = "/directory";
pub(crate) const FILE: &str = "/directory/state.json";
pub(crate) const TEMPORARY: &str = "/directory/.state.json.aiokv-tmp";
pub(crate) const JOURNAL: &str = "/directory/state.json.journal";

/// How many runs there are by default.
const RUNS: u64 = 50_000;
/// How many steps they make at least.
const STEPS_MIN: u64 = 5_000_000;
/// How many seeds find what is left out.
const SEEDS_MAX: u64 = 20_000;
/// How many runs there are at the same time.
const WORKERS: usize = 2;

#[test]
fn processes_share_a_store_through_anything() {
    let torture = number("AIOKV_TORTURE_SECONDS").map(Duration::from_secs);
    let first = number("AIOKV_SEED").unwrap_or_else(|| match torture {
        Some(_) => seed_of_this_moment(),
        None => 0,
    });
    let runs = number("AIOKV_RUNS").unwrap_or(RUNS);
    let started = Instant::now();
    let goes_on = |index| torture.map_or(index < runs, |time| started.elapsed() < time);
    let outcome = run_all(first, goes_on);
    let statistics = outcome.unwrap_or_else(|failure| panic!("{failure}"));
    // Not through `println!`, which the test harness keeps to itself.
    let seconds = started.elapsed().as_secs();
    writeln!(std::io::stderr(), "simulation: {statistics:?} in {seconds} s, seed {first}")
        .expect("standard error is open");
    assert!(statistics.runs < RUNS || statistics.steps >= STEPS_MIN);
}

/// A process removed the journal after a checkpoint, and its flush of the directory failed. Its next
/// change replaced the state file. A loss of power brought the journal back beside a state file that it
/// did not fit, so the store could not be read.
#[test]
fn a_journal_that_comes_back_fits_the_state_file() {
    let seed = 1_795_577_098_813_505_432;
    if let Err(failure) = run(seed, &Mix::of(seed), None, &Crew::new()) {
        panic!("{failure}");
    }
}

#[test]
fn a_seed_repeats_a_run() {
    let crew = Crew::new();
    for seed in 0..50 {
        let runs = [(); 2].map(|()| traced(seed, &Mix::of(seed), &crew));
        assert!(!runs[0].0.is_empty());
        if let Some(step) = (0..runs[0].0.len()).find(|step| runs[0].0[*step] != runs[1].0[*step]) {
            panic!("seed {seed}: {} or {}", runs[0].0[step], runs[1].0[step]);
        }
        assert_eq!(runs[0].1, runs[1].1);
    }
}

#[test]
fn touching_the_file_only_after_the_journal_has_its_name_is_noticed() {
    assert_noticed(LeftOut::TouchBeforeJournal, &killing(Class::Rename));
}

#[test]
fn not_comparing_the_name_is_noticed() {
    assert_noticed(LeftOut::ComparingTheName, &Mix::peaceful());
}

#[test]
fn taking_nothing_at_the_end_for_nothing_new_is_noticed() {
    assert_noticed(LeftOut::SomethingAtTheEnd, &Mix { edits: 100, ..Mix::journals() });
}

#[test]
fn appending_without_checking_the_end_is_noticed() {
    assert_noticed(LeftOut::CheckingTheEnd, &Mix { edits: 100, ..Mix::journals() });
}

#[test]
fn taking_a_part_of_a_group_is_noticed() {
    assert_noticed(LeftOut::Groups, &Mix { mostly_reads: 0, ..killing(Class::Write) });
}

#[test]
fn releasing_the_lock_before_the_flush_is_noticed() {
    assert_noticed(LeftOut::LockUntilFlushed, &Mix { failures: 100, ..Mix::journals() });
}

#[test]
fn not_flushing_what_was_appended_is_noticed() {
    assert_noticed(LeftOut::AppendFlush, &Mix { outages: 100, ..Mix::journals() });
}

#[test]
fn not_flushing_a_new_file_is_noticed() {
    assert_noticed(LeftOut::FileFlush, &Mix { outages: 100, without_fsync: 0, ..Mix::peaceful() });
}

#[test]
fn not_flushing_the_directory_is_noticed() {
    let mix = Mix { outages: 100, without_fsync: 0, ..Mix::peaceful() };
    assert_noticed(LeftOut::DirectoryFlush, &mix);
}

#[test]
fn not_announcing_a_checkpoint_is_noticed() {
    assert_noticed(LeftOut::CheckpointLine, &killing(Class::Rename));
}

/// Processes that use the journal and are killed after calls of a class.
fn killing(class: Class) -> Mix {
    Mix { kills: 100, kills_near: Some(class), ..Mix::journals() }
}

/// Shows that the simulation can fail: with processes that leave something out, a seed finds it,
/// and without that the same seed finds nothing.
fn assert_noticed(left_out: LeftOut, mix: &Mix) {
    let crew = Crew::new();
    let failure = (0..SEEDS_MAX).find_map(|seed| {
        let failure = run(seed, mix, Some(left_out), &crew).err()?;
        failure.is_about_history().then_some((seed, failure))
    });
    let (seed, failure) = failure.unwrap_or_else(|| panic!("{left_out:?} is not noticed"));
    if env::var_os("AIOKV_SHOW").is_some() {
        eprintln!("{failure}");
    }
    eprintln!("{left_out:?} is noticed by seed {seed}: {}", failure.problem());
    if let Err(failure) = run(seed, mix, None, &crew) {
        panic!("{failure}");
    }
}

/// Runs seeds from the first one on, until it is enough or one fails.
fn run_all(first: u64, goes_on: impl Fn(u64) -> bool + Sync) -> Result<Statistics, Box<Failure>> {
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<(u64, Box<Failure>)>> = Mutex::new(None);
    let work = || {
        let crew = Crew::new();
        let mut total = Statistics::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if !goes_on(index) || failed.lock().expect("no panic").is_some() {
                return total;
            }
            let seed = first.wrapping_add(index);
            match run(seed, &Mix::of(seed), None, &crew) {
                Ok(statistics) => total += statistics,
                Err(failure) => {
                    // Of two failures, always the same one.
                    let mut failed = failed.lock().expect("no panic");
                    if failed.as_ref().is_none_or(|(of, _)| *of > index) {
                        *failed = Some((index, failure));
                    }
                }
            }
        }
    };
    let total = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let mut total = Statistics::default();
        for worker in workers {
            total += worker.join().expect("a worker does not panic");
        }
        total
    });
    match failed.into_inner().expect("no panic") {
        Some((_, failure)) => Err(failure),
        None => Ok(total),
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

fn seed_of_this_moment() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_nanos() as u64
}
