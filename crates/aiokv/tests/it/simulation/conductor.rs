//! Lets one process at a time make one call at a time, and writes down what happens.
//!
//! Each process runs on a thread of its own. Before a call it waits until the schedule chooses it;
//! with the turn comes what becomes of the call: it happens, fails, or is the end of the process,
//! which is a panic that nothing catches but the thread's first function. Only the thread that has
//! the turn does anything, so a seed repeats a run.
//!
//! The clock advances with every step. When every process sleeps, it jumps to the first who wakes.

use std::fmt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::support::random::Random;
use crate::support::simulated_disk::{Call, ProcessId, SimulatedDisk, Verdict};

use super::engine::Answer;
use super::fault::{Decision, Fault, Faults};
use super::model::{Reply, Request};
use super::outsider::PlannedEdit;
use super::record::{Record, Trace};
use super::schedule::{Policy, SEATS, Schedule};
use super::stage::{OutagePlan, Seat, Stage, Status};
use super::{FILE, TEMPORARY};

/// A run that takes longer does not end. Runs take milliseconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// The panic that is the end of a process.
pub(crate) struct Ended;

pub(crate) struct Conductor {
    disk: SimulatedDisk,
    stage: Mutex<Stage>,
    turns: [Condvar; SEATS],
    over: Condvar,
}

impl Conductor {
    pub(crate) fn new(disk: SimulatedDisk, policy: Policy, random: Random, traced: bool) -> Self {
        let stage = Stage::new(Schedule::new(policy, random), traced);
        Self { disk, stage: Mutex::new(stage), turns: Default::default(), over: Condvar::new() }
    }

    /// Prepares seats for processes, with what is to go wrong in them.
    pub(crate) fn begin(&self, faults: Vec<Vec<Fault>>) {
        let mut stage = self.lock();
        let seat = |faults| Seat { faults: Faults::new(faults), ..Seat::default() };
        stage.seats = faults.into_iter().map(seat).collect();
        stage.turn = None;
        stage.outage = OutagePlan::Never;
    }

    /// From now on, the power goes at this step.
    pub(crate) fn plan_outage(&self, steps: u64) {
        let mut stage = self.lock();
        stage.outage = OutagePlan::AtStep(stage.steps + steps);
    }

    /// From now on, an outsider makes these edits, each as soon as that many steps were made.
    pub(crate) fn plan_edits(&self, edits: Vec<PlannedEdit>) {
        let mut stage = self.lock();
        let steps = stage.steps;
        let from_now = |edit: PlannedEdit| PlannedEdit { at: steps + edit.at, ..edit };
        stage.edits = edits.into_iter().map(from_now).collect();
    }

    /// Lets the processes go, whose threads wait in [`Conductor::enter`], and waits for their end.
    pub(crate) fn run(&self) {
        let mut stage = self.lock();
        let first = stage.choose(0);
        stage.turn = first;
        self.turns.iter().for_each(Condvar::notify_one);
        let is_on = |stage: &mut Stage| stage.seats.iter().any(|seat| seat.status != Status::Done);
        let waited = self.over.wait_timeout_while(stage, PATIENCE, is_on).expect(NOT_POISONED);
        let (mut stage, timeout) = waited;
        if timeout.timed_out() {
            let problem = "a process neither makes a call nor ends".to_owned();
            stage.failure.get_or_insert(problem);
        }
    }

    /// When the power went.
    pub(crate) fn outage(&self) -> Option<u64> {
        match self.lock().outage {
            OutagePlan::Happened(at) => Some(at),
            _ => None,
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// What was written down so far.
    pub(crate) fn take_trace(&self) -> Trace {
        std::mem::replace(&mut self.lock().trace, Trace::new(false))
    }

    /// Whether this is what was answered last.
    pub(crate) fn last_answer_is(&self, reply: &Reply) -> bool {
        let stage = self.lock();
        let last = stage.trace.records.last().and_then(|record| record.answer.as_ref());
        matches!(last, Some(Answer::Reply(last)) if last == reply)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Waits for the first turn of a seat.
    pub(crate) fn enter(&self, seat: usize) {
        drop(self.wait(self.lock(), seat));
    }

    /// A new process takes a seat. Returns its number.
    pub(crate) fn start(&self, seat: usize) -> ProcessId {
        let mut stage = self.lock();
        let process = 100 * (1 + seat as ProcessId) + stage.lives[seat];
        stage.lives[seat] += 1;
        let it = &mut stage.seats[seat];
        (it.process, it.is_dead) = (process, false);
        it.faults.restart();
        stage.note(process, || "starts".to_owned());
        process
    }

    /// The process of a seat ends in good order, or not.
    pub(crate) fn end(&self, seat: usize) {
        let mut stage = self.lock();
        stage.end(seat);
        let process = stage.seats[seat].process;
        drop(stage);
        self.disk.end_process(process);
    }

    /// Nobody has the seat any more.
    pub(crate) fn leave(&self, seat: usize) {
        let mut stage = self.lock();
        stage.seats[seat].status = Status::Done;
        if stage.seats.iter().all(|seat| seat.status == Status::Done) {
            self.over.notify_all();
        } else if !stage.is_stopped() {
            stage.turn = stage.choose(seat);
            stage.turn.iter().for_each(|next| self.turns[*next].notify_one());
        }
    }

    /// Whether the run stopped, by a loss of power or a failure.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().is_stopped()
    }

    /// Ends a process as a kill does. Does not come back.
    pub(crate) fn vanish(&self, seat: usize) -> ! {
        self.end(seat);
        resume_unwind(Box::new(Ended))
    }

    /// Waits for the turn of a call, and says what becomes of it.
    pub(crate) fn before(&self, seat: usize, call: &Call<'_>) -> Verdict {
        let mut stage = self.take_turn(self.lock_living(), seat);
        let it = &mut stage.seats[seat];
        it.calls += 1;
        match it.faults.decide(call.action) {
            Decision::Do => Verdict::Do,
            Decision::Short => Verdict::Short,
            Decision::Fail(errno) => {
                stage.trace.fault(seat, call.action);
                Verdict::Fail(errno)
            }
            Decision::Freeze(time) => {
                stage.freeze(seat, time);
                drop(self.take_turn(stage, seat));
                Verdict::Do
            }
            Decision::Kill => {
                stage.note(call.process, || format!("is killed before {call}"));
                drop(stage);
                self.vanish(seat)
            }
        }
    }

    /// Writes down what came out of a call.
    pub(crate) fn after(&self, call: &Call<'_>, outcome: &dyn fmt::Debug) {
        self.lock().note(call.process, || format!("{call} -> {outcome:?}"));
    }

    /// A step that is no call.
    pub(crate) fn pass(&self, seat: usize) {
        drop(self.take_turn(self.lock_living(), seat));
    }

    /// Sleeps until some time.
    pub(crate) fn sleep(&self, seat: usize, until: Duration) {
        let mut stage = self.lock_living();
        stage.seats[seat].status = Status::Sleeping(until);
        drop(self.take_turn(stage, seat));
    }

    pub(crate) fn now(&self) -> Duration {
        self.lock().clock
    }

    /// Stops the run.
    pub(crate) fn fail(&self, reason: String) {
        let mut stage = self.lock();
        stage.failure.get_or_insert(reason);
        self.wake_all();
    }

    /// Writes down that a process started an operation.
    pub(crate) fn started(&self, seat: usize, request: &Request, fsync: bool) -> usize {
        let mut stage = self.lock();
        let Seat { process, calls, .. } = stage.seats[seat];
        stage.note(process, || format!("asks {request:?}"));
        let (process, request) = (process, request.clone());
        stage.trace.start(Record::new(seat, process, request, fsync, calls))
    }

    /// Writes down what an operation answered.
    pub(crate) fn answered(&self, record: usize, answer: Answer) {
        let mut stage = self.lock();
        let Record { seat, process, .. } = stage.trace.records[record];
        // What a process is told that is no more does not count.
        if thread::panicking() || stage.seats[seat].is_dead || stage.is_stopped() {
            return;
        }
        let calls = stage.seats[seat].calls;
        stage.note(process, || format!("is told {answer:?}"));
        stage.trace.answer(record, answer, calls);
    }

    fn take_turn<'conductor>(
        &'conductor self,
        mut stage: MutexGuard<'conductor, Stage>,
        seat: usize,
    ) -> MutexGuard<'conductor, Stage> {
        stage.advance();
        if !stage.is_stopped() {
            self.edit(&mut stage);
        }
        if stage.is_stopped() {
            self.wake_all();
            return self.wait(stage, seat);
        }
        let next = stage.choose(seat).expect("this one can go on");
        if next != seat {
            stage.turn = Some(next);
            self.turns[next].notify_one();
        }
        self.wait(stage, seat)
    }

    /// Waits for the turn. Does not come back if the run stopped.
    fn wait<'conductor>(
        &'conductor self,
        stage: MutexGuard<'conductor, Stage>,
        seat: usize,
    ) -> MutexGuard<'conductor, Stage> {
        let others = |stage: &mut Stage| stage.turn != Some(seat) && !stage.is_stopped();
        let stage = self.turns[seat].wait_while(stage, others).expect(NOT_POISONED);
        if stage.is_stopped() {
            drop(stage);
            resume_unwind(Box::new(Ended));
        }
        stage
    }

    /// Lets the outsider do what is due, once no process is at work on what is there.
    fn edit(&self, stage: &mut Stage) {
        let steps = stage.steps;
        while let Some(index) = stage.edits.iter().position(|planned| planned.at <= steps) {
            let is_early = is_at_work(&self.disk);
            if is_early && !stage.edits[index].rude {
                break;
            }
            let PlannedEdit { edit, .. } = stage.edits.remove(index);
            stage.trace.was_rude |= is_early;
            match edit.make(&self.disk) {
                Ok(None) => {}
                Ok(Some(state)) => {
                    stage.note(0, || format!("outsider: {edit:?}, so {state:?}"));
                    stage.trace.edit(state);
                }
                Err(problem) if is_early => stage.note(0, || format!("{edit:?}: {problem}")),
                Err(problem) => {
                    stage.failure.get_or_insert(format!("after {edit:?}, {problem}"));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect(NOT_POISONED)
    }

    /// Does not come back to a process that is no more.
    fn lock_living(&self) -> MutexGuard<'_, Stage> {
        let stage = self.lock();
        if stage.is_stopped() {
            drop(stage);
            resume_unwind(Box::new(Ended));
        }
        stage
    }

    fn wake_all(&self) {
        self.turns.iter().for_each(Condvar::notify_all);
    }
}

/// Whether a process holds the lock of the file or, if there is none, that of what may become it.
fn is_at_work(disk: &SimulatedDisk) -> bool {
    let [file, temporary] = [FILE, TEMPORARY].map(Path::new);
    disk.is_locked(file) || disk.content(file).is_none() && disk.is_locked(temporary)
}

const NOT_POISONED: &str = "nothing panics with the conductor locked";
