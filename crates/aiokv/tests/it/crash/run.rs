//! Runs a program until it ends or the machine stops.

use std::path::Path;
use std::sync::Arc;

use aiokv::binding::storage::Storage;

use super::program::{Interruption, PROCESSES, Program, Turn};
use super::{DIRECTORY, FILE};
use crate::support::process::{Machine, Process, Ticket};
use crate::support::requests::{Answer, Contents, Request};

/// What a process has instead of the disk of the machine.
pub(super) type MakeStorage = dyn Fn(Arc<dyn Storage>) -> Arc<dyn Storage> + Sync;

/// How many steps it takes at most until everything is done.
const STEPS_MAX: usize = 10_000;

/// How far a program came, in writes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) submitted: usize,
    /// The last acknowledged write and all before it.
    pub(super) acknowledged: usize,
    /// The last write that was acknowledged by a process that flushes, and all before it.
    pub(super) durable: usize,
}

/// A program that runs until it ends or the machine stops. Until then, every reply is right.
pub(super) struct Run<'program> {
    program: &'program Program,
    states: Vec<Contents>,
    machine: Machine,
    processes: [Process; PROCESSES],
    /// Which of them have something to do.
    active: [bool; PROCESSES],
    progress: Progress,
}

impl<'program> Run<'program> {
    /// Runs the program. Says how far it came.
    pub(super) fn of(
        program: &'program Program,
        machine: &Machine,
        make: &MakeStorage,
    ) -> Progress {
        let process = |index: usize| {
            Process::new(make(machine.storage()), FILE, program.options[index].clone())
        };
        let mut run = Self {
            program,
            states: program.states(),
            machine: machine.clone(),
            processes: std::array::from_fn(process),
            active: [false; PROCESSES],
            progress: Progress::default(),
        };
        for turn in &program.turns {
            run.turn(turn);
            if machine.is_crashed() {
                return run.progress;
            }
        }
        run.close();
        run.progress
    }

    fn turn(&mut self, turn: &Turn) {
        self.ask(turn.process, &turn.requests);
        if let Some(interruption) = &turn.interruption {
            for _ in 0..interruption.steps {
                self.step();
            }
            if !self.machine.is_crashed() {
                self.interrupt(turn.process, interruption);
            }
        }
        self.work_until(|run| !run.active.contains(&true));
    }

    fn interrupt(&mut self, process: usize, interruption: &Interruption) {
        if let Some(request) = &interruption.other {
            self.ask(1 - process, std::slice::from_ref(request));
        }
        if !self.machine.is_crashed() {
            self.ask(process, &interruption.requests);
        }
    }

    /// Asks a process for several things at once and waits for the replies.
    fn ask(&mut self, process: usize, requests: &[Request]) {
        let tickets: Vec<_> =
            requests.iter().map(|request| self.processes[process].submit(request)).collect();
        self.active[process] = true;
        self.work_until(|_| tickets.iter().all(Ticket::is_answered));
        for (request, ticket) in requests.iter().zip(tickets) {
            self.take_reply(process, request, &ticket);
        }
    }

    /// Lets every process that has something to do make a step: one may wait for another.
    fn step(&mut self) {
        for (process, active) in self.processes.iter_mut().zip(&mut self.active) {
            *active = *active && process.step();
        }
    }

    fn work_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        let mut steps = 0;
        while !is_done(self) {
            self.step();
            steps += 1;
            assert!(steps < STEPS_MAX, "seed {}: it works for ever", self.program.seed);
        }
    }

    fn take_reply(&mut self, process: usize, request: &Request, ticket: &Ticket) {
        let Self { states, machine, progress, .. } = self;
        let Program { seed, options, .. } = self.program;
        if request.is_write() {
            progress.submitted += 1;
        }
        match (request, ticket.take()) {
            (Request::Get(key), Ok(value)) => {
                let right = Answer::Value(states[progress.submitted].get(key).cloned());
                assert_eq!(value, right, "seed {seed}: wrong value of {key}");
            }
            (_, Ok(_)) if request.is_write() => {
                progress.acknowledged = progress.submitted;
                if options[process].fsync {
                    progress.durable = progress.submitted;
                }
            }
            (_, Ok(_)) => {}
            (request, Err(error)) => {
                assert!(machine.is_crashed(), "seed {seed}: {request:?} failed: {error}");
            }
        }
    }

    /// Ends both processes in good order.
    fn close(&mut self) {
        for process in 0..PROCESSES {
            self.ask(process, &[Request::Close]);
        }
        if self.program.leaves_only_the_file() && !self.machine.is_crashed() {
            let names = self.machine.disk.names(Path::new(DIRECTORY));
            let only_the_file = names.iter().all(|name| name == "state.json");
            assert!(only_the_file, "seed {}: the directory has {names:?}", self.program.seed);
        }
    }
}
