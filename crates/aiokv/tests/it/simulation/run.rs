//! One run: a scenario from a seed, and everything that must hold afterwards.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::support::careless::LeftOut;
use crate::support::random::Random;
use crate::support::simulated_disk::SimulatedDisk;

use super::conductor::Conductor;
use super::crew::Crew;
use super::engine::Answer;
use super::model::{
    Change, Condition, Contents, KeyWrite, Reply, Request, State, contents_of, file_of,
};
use super::oracle::{Outage, UNEXPLAINED, explain, let_failures_surface};
use super::process::{Occupant, World};
use super::record::Trace;
use super::scenario::{Initial, Mix, Pause, ProcessPlan, Scenario, Turn};
use super::statistics::Statistics;
use super::{DIRECTORY, FILE};

/// What went wrong in a run, with everything that it takes to understand it.
pub(crate) struct Failure {
    seed: u64,
    problem: String,
    scenario: Scenario,
    trace: Trace,
    listing: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, problem, scenario, trace, listing } = self;
        writeln!(formatter, "--- scenario of seed {seed}\n{scenario:#?}\n--- steps")?;
        trace.lines().iter().try_for_each(|line| writeln!(formatter, "{line}"))?;
        writeln!(formatter, "--- history\n{}--- disk\n{listing}", trace.history())?;
        writeln!(formatter, "--- AIOKV_SEED={seed}: {problem}")
    }
}

impl Failure {
    /// Whether the store held or lost something that it should not have.
    pub(crate) fn is_about_history(&self) -> bool {
        self.problem.starts_with(UNEXPLAINED)
    }

    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }
}

/// Runs the scenario of a seed. A failure is repeated, to write down every step.
pub(crate) fn run(
    seed: u64,
    mix: &Mix,
    left_out: Option<LeftOut>,
    crew: &Crew,
) -> Result<Statistics, Box<Failure>> {
    let first = Run::new(seed, mix, left_out, false).run(crew);
    let Err(failure) = first else { return first };
    match Run::new(seed, mix, left_out, true).run(crew) {
        Err(again) if again.problem == failure.problem => Err(again),
        Err(again) => {
            let problem = format!("{}\nand when repeated: {}", failure.problem, again.problem);
            Err(Box::new(Failure { problem, ..*again }))
        }
        Ok(_) => {
            let problem = format!("{}\nand when repeated, nothing", failure.problem);
            Err(Box::new(Failure { problem, ..*failure }))
        }
    }
}

/// The steps of a run, and its problem if there is one.
pub(crate) fn traced(seed: u64, mix: &Mix, crew: &Crew) -> (Vec<String>, Option<String>) {
    let mut run = Run::new(seed, mix, None, true);
    let problem = run.play(crew).and_then(|()| run.check()).err();
    (run.trace.lines().to_vec(), problem)
}

struct Run {
    seed: u64,
    scenario: Scenario,
    world: Arc<World>,
    initial: State,
    outage: Option<Outage>,
    trace: Trace,
}

impl Run {
    fn new(seed: u64, mix: &Mix, left_out: Option<LeftOut>, traced: bool) -> Self {
        let scenario = Scenario::random(seed, mix);
        let disk = SimulatedDisk::new(scenario.features);
        let policy = scenario.policy.clone();
        let conductor = Conductor::new(disk.clone(), policy, Random(!seed), traced);
        let conductor = Arc::new(conductor);
        let initial = match scenario.initial {
            Initial::NoDirectory => Contents::default(),
            Initial::NoFile => {
                disk.add_directory(Path::new(DIRECTORY));
                Contents::default()
            }
            Initial::File(contents) => {
                disk.add_directory(Path::new(DIRECTORY));
                disk.write_in_place(Path::new(FILE), file_of(contents).as_bytes());
                contents
            }
        };
        let initial = State::Whole(initial);
        let world = Arc::new(World { disk, conductor, left_out, traced });
        Self { seed, scenario, world, initial, outage: None, trace: Trace::default() }
    }

    fn run(mut self, crew: &Crew) -> Result<Statistics, Box<Failure>> {
        match self.play(crew).and_then(|()| self.check()) {
            Ok(()) => Ok(self.statistics()),
            Err(problem) => {
                let Self { seed, scenario, trace, world, .. } = self;
                let listing = world.disk.listing();
                Err(Box::new(Failure { seed, problem, scenario, trace, listing }))
            }
        }
    }

    /// Plays the scenario, and lets one more process look at what is left.
    fn play(&mut self, crew: &Crew) -> Result<(), String> {
        let played = self.play_scenario(crew).and_then(|()| self.play_last(crew));
        self.trace = self.world.conductor.take_trace();
        played
    }

    fn play_scenario(&mut self, crew: &Crew) -> Result<(), String> {
        let conductor = Arc::clone(&self.world.conductor);
        if let Some(before) = self.scenario.before.clone() {
            self.seat(crew, &[Arc::new(Occupant::new(0, before))], |_| {})?;
        }
        let plans = self.scenario.processes.iter().cloned().enumerate();
        let occupants: Vec<_> =
            plans.map(|(seat, plan)| Arc::new(Occupant::new(seat, plan))).collect();
        let scenario = self.scenario.clone();
        self.seat(crew, &occupants, |conductor| {
            scenario.outage.into_iter().for_each(|steps| conductor.plan_outage(steps));
            conductor.plan_edits(scenario.edits);
        })?;
        let outage = conductor.outage();
        if let Some(at) = outage {
            let mut random = Random(self.seed.wrapping_mul(31));
            self.world.disk.lose_power(&mut random);
            self.outage = Some(Outage { at, may_damage: false });
            self.seat(crew, &occupants, |_| {})?;
        }
        conductor.plan_edits(Vec::new());
        self.check_names_in_good_order()
    }

    /// A last process reads everything, changes something, and reads everything again.
    fn play_last(&mut self, crew: &Crew) -> Result<(), String> {
        let plan = |requests: &[Request], closes| {
            let turn =
                |request: &Request| Turn { pause: Pause::None, requests: vec![request.clone()] };
            let turns = requests.iter().map(turn).collect();
            let manner = self.scenario.last.clone();
            ProcessPlan::new(manner, turns, closes)
        };
        let look = plan(&[Request::ReadAll], false);
        let change = Change::Set(999_999);
        let write = KeyWrite { key: 0, condition: Condition::Anything, change };
        let [write, read] = [Request::Write(vec![write]), Request::ReadAll];
        let go_on = plan(&[write.clone(), read.clone()], true);
        let mend = plan(&[Request::Clear, write, read], true);
        self.seat(crew, &[Arc::new(Occupant::new(0, look))], |_| {})?;
        let is_damaged = self.world.conductor.last_answer_is(&Reply::Corrupt);
        let plan = if is_damaged { mend } else { go_on };
        self.seat(crew, &[Arc::new(Occupant::new(0, plan))], |_| {})
    }

    fn seat(
        &self,
        crew: &Crew,
        occupants: &[Arc<Occupant>],
        prepare: impl FnOnce(&Conductor),
    ) -> Result<(), String> {
        let conductor = &self.world.conductor;
        let faults = occupants.iter().map(|occupant| occupant.plan.faults.clone()).collect();
        conductor.begin(faults);
        prepare(conductor);
        for occupant in occupants {
            let (occupant, world) = (Arc::clone(occupant), Arc::clone(&self.world));
            crew.send(occupant.seat, Box::new(move || occupant.occupy(&world)));
        }
        conductor.run();
        conductor.failure().map_or(Ok(()), Err)
    }

    /// Nothing but the file is left by processes that closed the store and met with no trouble.
    fn check_names_in_good_order(&self) -> Result<(), String> {
        let Scenario { processes, before, outage, edits, .. } = &self.scenario;
        let is_in_order = |plan: &ProcessPlan| plan.closes && plan.faults.is_empty();
        let is_in_order = processes.iter().all(is_in_order)
            && before.is_none()
            && outage.is_none()
            && edits.is_empty();
        if is_in_order { self.check_names() } else { Ok(()) }
    }

    fn check_names(&self) -> Result<(), String> {
        let file = Path::new(FILE).file_name();
        let names = self.world.disk.names(Path::new(DIRECTORY));
        match names.iter().find(|name| Some(name.as_os_str()) != file) {
            Some(name) => Err(format!("{} is left over", name.display())),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(problem) = self.trace.misbehaviour() {
            return Err(problem);
        }
        if !self.trace.was_rude {
            self.check_history()?;
        }
        self.check_names()?;
        self.check_content()
    }

    /// Every answer is explained.
    fn check_history(&self) -> Result<(), String> {
        let mut events = self.trace.events();
        let mut outage = self.outage;
        if let Some(outage) = &mut outage {
            let is_lossy = self.trace.has_lost_flush();
            outage.may_damage = is_lossy || self.trace.has_open_ends(outage.at);
            events.iter_mut().for_each(|event| event.durable &= !is_lossy);
            let_failures_surface(&mut events, *outage);
        }
        explain(&events, self.initial, outage)
    }

    /// The file holds what was read last.
    fn check_content(&self) -> Result<(), String> {
        let content = self.world.disk.content(Path::new(FILE));
        let held = content.and_then(|content| contents_of(&content));
        let read = self.trace.records.iter().rev().find_map(|record| match &record.answer {
            Some(Answer::Reply(Reply::All(contents))) => Some(*contents),
            _ => None,
        });
        match held == read && read.is_some() {
            true => Ok(()),
            false => Err(format!("the file holds {held:?}, but {read:?} was read last")),
        }
    }

    fn statistics(&self) -> Statistics {
        let outages = u64::from(self.outage.is_some());
        Statistics { outages, ..Statistics::of(&self.trace, self.world.conductor.steps()) }
    }
}
