//! What is left after a stop, and what a process that comes next makes of it.

use std::path::Path;

use aiokv::{Error, Journal, Options};

use super::program::Program;
use super::run::Progress;
use super::{DIRECTORY, FILE, JOURNAL, Loss};
use crate::support::options::appending;
use crate::support::process::{Machine, Made, Process};
use crate::support::requests::{Contents, Request, delete, group, set};
use crate::support::simulated_disk::SimulatedDisk;

/// How many states are looked at for one stop.
const STATES_PER_STOP: usize = 400;

/// The moment at which a program was stopped.
pub(super) struct Stop {
    pub(super) number: usize,
    /// The call before which the program stopped; `None` after the last one.
    pub(super) call: Option<Made>,
    pub(super) progress: Progress,
    pub(super) disk: SimulatedDisk,
}

impl Stop {
    /// Checks every disk that may be left; says how many a loss of power may leave.
    pub(super) fn check(&self, program: &Program, states: &[Contents]) -> Result<u64, Box<Loss>> {
        let Progress { submitted, acknowledged, durable } = self.progress;
        // The process that comes next appends too, every second time.
        let next = match self.number % 2 {
            0 => Options::default(),
            _ => appending(),
        };
        let modes_and_groups = program.modes_and_groups();
        let expected = |least: usize| Expected {
            states: &states[least..=submitted],
            modes_and_groups: &modes_and_groups,
            flushed: program.flushes(),
            next: &next,
        };
        let loss = |event, left: &SimulatedDisk, problem| {
            Box::new(Loss {
                seed: program.seed,
                stop: self.number,
                call: self.call.clone(),
                event,
                left: left.listing(),
                problem,
            })
        };
        let mut checked = 0;
        let seed = program.seed ^ self.number as u64;
        for left in self.disk.surviving_states(STATES_PER_STOP, seed) {
            let outcome = expected(durable).check(&Machine::new(left.after_kill()));
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
    modes_and_groups: &'stop [(u32, u32)],
    /// Every change was flushed before it was acknowledged.
    flushed: bool,
    /// How the process works that comes next.
    next: &'stop Options,
}

impl Expected<'_> {
    /// Opens the disk and looks, then writes.
    fn check(&self, machine: &Machine) -> Result<(), String> {
        let mut process = self.start(machine);
        // A journal only ever continues what was flushed.
        if !self.flushed
            && machine.disk.content(Path::new(JOURNAL)).is_none()
            && let Err(Error::Corrupt(_)) = process.contents()
        {
            return Ok(());
        }
        let contents = self.check_contents(&mut process)?;
        self.check_modes_and_groups(machine)?;
        let write = set_after_crash();
        ask(&mut process, &write)?;
        self.require_only_the_file(machine, &mut process)?;
        if self.appends() {
            require_contents(machine, &contents.after(&write))?;
        }
        Ok(())
    }

    fn appends(&self) -> bool {
        self.next.journal == Journal::Always
    }

    /// The process that comes next.
    fn start(&self, machine: &Machine) -> Process {
        machine.start(FILE, self.next.clone())
    }

    fn check_contents(&self, process: &mut Process) -> Result<Contents, String> {
        let contents = process.contents().map_err(|error| format!("unreadable: {error}"))?;
        if self.states.contains(&contents) {
            return Ok(contents);
        }
        Err(format!("it holds {contents:?}, which is none of {:?}", self.states))
    }

    fn check_modes_and_groups(&self, machine: &Machine) -> Result<(), String> {
        let storage = machine.storage();
        for path in [FILE, JOURNAL] {
            let Ok(metadata) = storage.metadata(Path::new(path)) else { continue };
            let (mode, group) = (metadata.mode, metadata.group);
            if !self.modes_and_groups.contains(&(mode, group)) {
                return Err(format!("`{path}` has mode {mode:o} and group {group}"));
            }
        }
        Ok(())
    }

    /// A process that replaces the file leaves nothing else, and one that appends does once the
    /// store is closed.
    fn require_only_the_file(
        &self,
        machine: &Machine,
        process: &mut Process,
    ) -> Result<(), String> {
        if self.appends() {
            ask(process, &Request::Close)?;
        }
        let names = machine.disk.names(Path::new(DIRECTORY));
        if names == ["state.json"] { Ok(()) } else { Err(format!("the directory has {names:?}")) }
    }
}

/// After a kill the next process finds what was not flushed, builds on it, and loses power.
fn check_killed(killed: &SimulatedDisk, expected: &Expected) -> Result<(), String> {
    for write in
        [set_after_crash(), delete("absent"), group(&[("after", "the crash")], &["absent"])]
    {
        let machine = Machine::new(killed.after_kill());
        let mut process = expected.start(&machine);
        ask(&mut process, &write)?;
        let after_write = |state: &Contents| state.clone().after(&write);
        let states: Vec<_> = expected.states.iter().map(after_write).collect();
        let contents = Expected { states: &states, ..*expected }.check_contents(&mut process)?;
        expected.check_modes_and_groups(&machine)?;
        for left in machine.disk.surviving_states(STATES_PER_STOP, 0) {
            require_contents(&Machine::new(left.clone()), &contents).map_err(|problem| {
                format!("{problem}, after {write:?} and a loss of power:\n{}", left.listing())
            })?;
        }
        if write != delete("absent") {
            expected.require_only_the_file(&machine, &mut process)?;
        }
    }
    Ok(())
}

fn set_after_crash() -> Request {
    set("after", "the crash")
}

fn ask(process: &mut Process, request: &Request) -> Result<(), String> {
    process.ask(request).map(drop).map_err(|error| format!("{request:?} fails: {error}"))
}

fn require_contents(machine: &Machine, right: &Contents) -> Result<(), String> {
    match machine.contents(FILE) {
        Ok(contents) if contents == *right => Ok(()),
        Ok(contents) => Err(format!("it holds {contents:?} instead of {right:?}")),
        Err(error) => Err(format!("unreadable: {error}")),
    }
}
