//! A process: a thread that asks an engine of its own for what is planned, and works for it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::careless::{LeftOut, careless};
use crate::support::simulated_disk::{ProcessId, SimulatedDisk};

use super::baton::Baton;
use super::conductor::{Conductor, Ended};
use super::engine::{Engine, Step};
use super::model::{Change, KeyWrite, Request};
use super::scenario::{FILLING, Pause, ProcessPlan};
use super::{FILE, JOURNAL};

/// What the processes of a run share.
pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) conductor: Arc<Conductor>,
    pub(crate) left_out: Option<LeftOut>,
    pub(crate) traced: bool,
}

/// A seat, and how far its processes came.
pub(crate) struct Occupant {
    pub(crate) seat: usize,
    pub(crate) plan: ProcessPlan,
    /// How many turns were begun. It counts on over a loss of power.
    turns_begun: AtomicUsize,
}

impl Occupant {
    pub(crate) fn new(seat: usize, plan: ProcessPlan) -> Self {
        Self { seat, plan, turns_begun: AtomicUsize::new(0) }
    }

    /// Runs one process after another until everything planned is done, or none may follow.
    pub(crate) fn occupy(&self, world: &World) {
        let conductor = &*world.conductor;
        let entered = catch_unwind(AssertUnwindSafe(|| conductor.enter(self.seat)));
        let mut goes_on = entered.is_ok();
        while goes_on {
            let life = catch_unwind(AssertUnwindSafe(|| self.live(world)));
            goes_on = match life {
                Ok(()) => {
                    conductor.end(self.seat);
                    false
                }
                Err(payload) if payload.is::<Ended>() => {
                    let has_more = self.turns_begun.load(SeqCst) < self.plan.turns.len();
                    self.plan.restarts && has_more && !conductor.is_stopped()
                }
                Err(payload) => {
                    let text = payload.downcast_ref::<String>().map(String::as_str);
                    let text = text.or(payload.downcast_ref::<&str>().copied());
                    let text = text.unwrap_or("something that is no text");
                    conductor.fail(format!("the process on seat {} panicked: {text}", self.seat));
                    false
                }
            };
        }
        conductor.leave(self.seat);
    }

    fn live(&self, world: &World) {
        let number = world.conductor.start(self.seat);
        let conductor = Arc::clone(&world.conductor);
        let baton = Baton { conductor, seat: self.seat, traced: world.traced };
        let storage = world.disk.of_process(number, Arc::new(baton));
        let storage = match world.left_out {
            Some(left_out) => careless(storage, left_out),
            None => storage,
        };
        let engine = Engine::new(storage, Path::new(FILE), &self.plan.manner);
        let disk = world.disk.clone();
        let (conductor, occupant) = (&world.conductor, self);
        let mut process = Process { number, conductor, occupant, disk, engine, steps: 0 };
        while let Some(turn) = self.plan.turns.get(self.turns_begun.fetch_add(1, SeqCst)) {
            process.rest(turn.pause);
            process.ask(&turn.requests);
        }
        match self.plan.closes {
            true => process.ask(&[Request::Close]),
            false => world.conductor.vanish(self.seat),
        }
    }
}

struct Process<'world> {
    number: ProcessId,
    conductor: &'world Arc<Conductor>,
    occupant: &'world Occupant,
    disk: SimulatedDisk,
    engine: Engine,
    steps: u64,
}

impl Process<'_> {
    fn rest(&mut self, pause: Pause) {
        let (conductor, seat) = (self.conductor, self.occupant.seat);
        match pause {
            Pause::None => {}
            Pause::Sleep(time) => conductor.sleep(seat, conductor.now() + time),
            Pause::Work(time) => {
                let until = conductor.now() + time;
                while conductor.now() < until {
                    match self.step() {
                        Step::Again => conductor.pass(seat),
                        Step::After(pause) => conductor.sleep(seat, conductor.now() + pause),
                        Step::At(at) => conductor.sleep(seat, at.min(until)),
                        Step::Idle => conductor.sleep(seat, until),
                    }
                }
            }
        }
    }

    /// Asks for several things at once, and works until all of them are answered.
    fn ask(&mut self, requests: &[Request]) {
        let (conductor, seat) = (self.conductor, self.occupant.seat);
        let open = Arc::new(AtomicUsize::new(0));
        for request in requests {
            let request = &self.listing(&filling(request, &self.disk));
            let record = conductor.started(seat, request, self.occupant.plan.manner.fsync);
            if let Request::Get(key) = request
                && let Some(answer) = self.engine.get_now(*key)
            {
                conductor.answered(record, answer);
                continue;
            }
            open.fetch_add(1, SeqCst);
            let (open, conductor) = (Arc::clone(&open), Arc::clone(conductor));
            self.engine.submit(request, self.conductor.now(), move |answer| {
                conductor.answered(record, answer);
                open.fetch_sub(1, SeqCst);
            });
        }
        while open.load(SeqCst) > 0 {
            let next = self.step();
            if open.load(SeqCst) == 0 {
                break;
            }
            match next {
                Step::Again => conductor.pass(seat),
                Step::After(pause) => conductor.sleep(seat, conductor.now() + pause),
                Step::At(at) => conductor.sleep(seat, at),
                Step::Idle => self.give_up("is idle, but has not answered"),
            }
        }
    }

    /// Puts what was found last in a write that depends on it. If nothing was found, it looks.
    fn listing(&self, request: &Request) -> Request {
        let Request::WriteIfListed(prefix, _, writes) = request else { return request.clone() };
        match self.engine.listed(*prefix) {
            Some(listed) => Request::WriteIfListed(*prefix, Some(listed), writes.clone()),
            None => Request::Survey(Vec::new(), vec![*prefix]),
        }
    }

    fn step(&mut self) -> Step {
        self.steps += 1;
        if self.occupant.plan.evicted_before.contains(&self.steps) {
            self.engine.close_files(self.disk.now());
        }
        let next = self.engine.step(self.conductor.now());
        let is_idle = matches!(next, Step::At(_) | Step::Idle);
        if is_idle && self.disk.holds_lock(self.number) {
            self.give_up("is idle, but holds a lock");
        }
        next
    }

    fn give_up(&self, problem: &str) -> ! {
        self.conductor.fail(format!("P{} {problem}", self.number));
        resume_unwind(Box::new(Ended))
    }
}

/// Puts a string of the right length in a request that is to fill the last page of the journal:
/// so that a line ends there, or one byte before or behind it.
fn filling(request: &Request, disk: &SimulatedDisk) -> Request {
    /// As long as the numbers of the lines have one digit.
    const LINE: &str = "01234567 1 0 + \"pad\": \"\"\n";
    const PAGE: usize = 4096;
    let Request::Write(writes) = request else { return request.clone() };
    let [KeyWrite { change: Change::Set(value), .. }] = writes[..] else { return request.clone() };
    let Some(place) = FILLING.iter().position(|filling| *filling == value) else {
        return request.clone();
    };
    let journal = disk.content(Path::new(JOURNAL)).unwrap_or_default();
    let reserved = journal.iter().rev().take_while(|byte| **byte == b'\n').count();
    let end = journal.len() - reserved.saturating_sub(1) + LINE.len();
    let length = end.next_multiple_of(PAGE) - end + place;
    let change = Change::Set(-(length.max(1) as i64));
    Request::Write(vec![KeyWrite { change, ..writes[0] }])
}
