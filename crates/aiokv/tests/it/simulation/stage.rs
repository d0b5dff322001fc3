//! Where a run stands: the clock, who sits where, who has the turn, and what is to go wrong. The
//! [conductor](super::conductor) guards it; nothing in here waits.

use std::time::Duration;

use crate::support::simulated_disk::ProcessId;

use super::fault::Faults;
use super::outsider::PlannedEdit;
use super::record::Trace;
use super::schedule::{SEATS, Schedule};

/// How long a step takes at most, in microseconds.
const STEP_MAX: u64 = 40;
/// A run with more steps does not end.
const STEPS_MAX: u64 = 30_000;

pub(super) struct Stage {
    pub(super) schedule: Schedule,
    pub(super) clock: Duration,
    pub(super) steps: u64,
    pub(super) seats: Vec<Seat>,
    /// How many processes there were on each seat.
    pub(super) lives: [ProcessId; SEATS],
    pub(super) turn: Option<usize>,
    pub(super) outage: OutagePlan,
    pub(super) edits: Vec<PlannedEdit>,
    pub(super) trace: Trace,
    /// Why the run cannot go on.
    pub(super) failure: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) process: ProcessId,
    pub(super) status: Status,
    pub(super) faults: Faults,
    /// How many calls the processes of the seat made.
    pub(super) calls: u64,
    pub(super) is_dead: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Ready,
    Sleeping(Duration),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutagePlan {
    Never,
    AtStep(u64),
    /// The power went at this moment.
    Happened(u64),
}

impl Stage {
    pub(super) fn new(schedule: Schedule, traced: bool) -> Self {
        Self {
            schedule,
            clock: Duration::from_secs(1),
            steps: 0,
            seats: Vec::new(),
            lives: [0; SEATS],
            turn: None,
            outage: OutagePlan::Never,
            edits: Vec::new(),
            trace: Trace::new(traced),
            failure: None,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.failure.is_some() || matches!(self.outage, OutagePlan::Happened(_))
    }

    /// Makes a step.
    pub(super) fn advance(&mut self) {
        self.steps += 1;
        // All equally long steps would let processes miss each other for ever, in step.
        self.clock += Duration::from_micros(1 + self.schedule.below(STEP_MAX));
        let moment = self.trace.tick();
        if self.steps == STEPS_MAX {
            self.failure.get_or_insert(format!("the run does not end within {STEPS_MAX} steps"));
        }
        if self.outage == OutagePlan::AtStep(self.steps) {
            self.outage = OutagePlan::Happened(moment);
            self.note(0, || "the power goes".to_owned());
            (0..self.seats.len()).for_each(|seat| self.end(seat));
        }
    }

    /// Chooses who comes next; if all sleep, the first one who wakes.
    pub(super) fn choose(&mut self, current: usize) -> Option<usize> {
        let wakes = |seat: &Seat| match seat.status {
            Status::Ready => Some(Duration::ZERO),
            Status::Sleeping(until) => Some(until),
            Status::Done => None,
        };
        let first = self.seats.iter().filter_map(wakes).min()?;
        self.clock = self.clock.max(first);
        let mut ready = [0; SEATS];
        let mut count = 0;
        for (seat, it) in self.seats.iter().enumerate() {
            if wakes(it).is_some_and(|at| at <= self.clock) {
                ready[count] = seat;
                count += 1;
            }
        }
        let next = self.schedule.choose(&ready[..count], current, self.steps);
        self.seats[next].status = Status::Ready;
        Some(next)
    }

    /// What a process has not been told by its end stays open.
    pub(super) fn end(&mut self, seat: usize) {
        let it = &mut self.seats[seat];
        it.is_dead = true;
        let process = it.process;
        self.trace.end(process);
        self.note(process, || "ends".to_owned());
    }

    pub(super) fn freeze(&mut self, seat: usize, time: Duration) {
        let process = self.seats[seat].process;
        self.note(process, || format!("stands still for {time:?}"));
        self.trace.freeze();
        self.seats[seat].status = Status::Sleeping(self.clock + time);
    }

    pub(super) fn note(&mut self, process: ProcessId, text: impl FnOnce() -> String) {
        if self.trace.is_detailed() {
            let line =
                format!("{:5} {:10} P{process} {}", self.steps, self.clock.as_micros(), text());
            self.trace.line(line);
        }
    }
}
