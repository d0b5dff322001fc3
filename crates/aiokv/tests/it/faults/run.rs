//! Runs a scenario with every fault at every call.

use std::path::Path;
use std::time::Duration;

use aiokv::Options;
use rustix::io::Errno;

use super::fault::{Fault, Left, is_flush_of_a_file};
use super::scenario::{Scenario, Start, Step};
use super::{DIRECTORY, FILE};
use crate::support::process::{Machine, Made, Plan, Process};
use crate::support::requests::{Answer, Contents, Reply, Request, set};
use crate::support::simulated_disk::Action;

const ERRORS: [Errno; 7] =
    [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::DQUOT, Errno::BUSY, Errno::INTR];

/// How many states that a loss of power may leave are looked at.
const SURVIVORS: usize = 100;

/// Runs a scenario with every fault at every call.
pub(super) fn check_every_fault(scenario: &Scenario) {
    let start = scenario.start.machine();
    let whole = start.after_kill();
    let calls = Run::new(scenario, whole.clone(), Plan::Nothing).check().expect("no fault yet");
    let mut problems = Vec::new();
    for (at, Made { action, path, .. }) in (1..=calls).zip(whole.log()) {
        // The lock of an open file can always be released.
        if action == Action::Unlock {
            continue;
        }
        let mut plans: Vec<_> = ERRORS.map(|errno| Plan::Fail { at, errno }).into();
        if matches!(action, Action::Read | Action::Write) {
            plans.push(Plan::Short { at });
        }
        for plan in plans {
            if let Err(problem) = Run::new(scenario, start.after_kill(), plan).check() {
                let fault = match plan {
                    Plan::Fail { errno, .. } => std::io::Error::from(errno).to_string(),
                    _ => "it was short".to_owned(),
                };
                let path = path.display();
                problems.push(format!("call {at} ({action:?} {path}), {fault}: {problem}"));
                break;
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// One run of a scenario.
struct Run<'scenario> {
    scenario: &'scenario Scenario,
    machine: Machine,
    plan: Plan,
    /// The processes that were started.
    processes: Vec<Process>,
    /// The one that goes on.
    current: usize,
    contents: Contents,
}

impl<'scenario> Run<'scenario> {
    fn new(scenario: &'scenario Scenario, machine: Machine, plan: Plan) -> Self {
        machine.plan(plan);
        let processes = vec![machine.start(FILE, scenario.options.clone())];
        let contents = scenario.start.contents();
        Self { scenario, machine, plan, processes, current: 0, contents }
    }

    fn process(&mut self) -> &mut Process {
        &mut self.processes[self.current]
    }

    /// Takes every step and then one without a fault, and closes the store. Says how many calls
    /// the steps made.
    fn check(mut self) -> Result<usize, String> {
        for step in &self.scenario.steps {
            match step {
                Step::Ask(requests) => self.ask(requests)?,
                Step::Reopen => {
                    self.current = self.processes.len();
                    self.processes.push(self.machine.start(FILE, self.scenario.options.clone()));
                }
                Step::Return => self.current = 0,
                Step::Sleep => self.sleep()?,
            }
        }
        let calls = self.machine.log().len();
        self.ask(&[set("last", "9")])?;
        self.require_no_temporary_file(self.checkpoints_at_once())?;
        self.require_durable(std::slice::from_ref(&self.contents))?;
        self.ask(&[Request::Close])?;
        self.require_no_second_flush()?;
        self.require_contents_of_the_file()?;
        let names = self.machine.disk.names(Path::new(DIRECTORY));
        if names == ["state.json"] { Ok(calls) } else { Err(format!("there is {names:?}")) }
    }

    /// Whether a checkpoint may be under way, which has a temporary file.
    fn checkpoints_at_once(&self) -> bool {
        self.scenario.options.checkpoint_pace == u64::MAX
    }

    /// Which of the calls since there were so many failed, or did less than it was asked for.
    fn struck(&self, log: &[Made], calls_before: usize) -> Option<usize> {
        let short = match self.plan {
            Plan::Short { at } if calls_before + log.len() >= at => {
                (at - 1).checked_sub(calls_before)
            }
            _ => None,
        };
        log.iter().position(|call| call.faulty).or(short)
    }

    fn ask(&mut self, requests: &[Request]) -> Result<(), String> {
        let calls_before = self.machine.log().len();
        let replies = self.process().ask_all_together(requests);
        let log = self.machine.log().split_off(calls_before);
        let Some(struck) = self.struck(&log, calls_before) else {
            return match replies.iter().find_map(|reply| reply.as_ref().err()) {
                None => self.follow(requests, &replies, false),
                Some(error) => Err(format!("{requests:?} failed without a fault: {error}")),
            };
        };
        let fault = Fault { requests, log: &log, struck, plan: self.plan };
        let failed = replies.iter().any(Result::is_err);
        match fault.may_succeed() {
            Some(true) if failed => return Err(format!("not overcome: {replies:?}")),
            // What is done after the answer is no operation's business.
            Some(false) if !failed && !self.checkpoints_at_once() => {
                return Err("no operation was told".to_owned());
            }
            _ => {}
        }
        let mut possible = vec![self.contents.clone()];
        for request in requests {
            possible.extend(possible.last().cloned().map(|contents| contents.after(request)));
        }
        let late = match fault.left() {
            Left::Old => false,
            Left::New => true,
            Left::Either => {
                let found = self.machine.contents(FILE).map_err(|error| error.to_string())?;
                Some(&found) == possible.last()
            }
        };
        self.follow(requests, &replies, late)?;
        possible.push(self.contents.clone());
        self.require_contents_of_the_file()?;
        self.require_contents_in_memory()?;
        let leftover = failed && self.scenario.start == Start::FileAndLeftover;
        let allowed = leftover || fault.leaves_temporary() || self.checkpoints_at_once();
        self.require_no_temporary_file(allowed)?;
        match (failed, self.scenario.start) {
            // What was not durable before is not durable now.
            (true, Start::UnflushedFile | Start::UnflushedJournal) => Ok(()),
            (true, _) => self.require_durable(&possible),
            (false, _) => self.require_durable(std::slice::from_ref(&self.contents)),
        }
    }

    /// Lets a checkpoint be made in the background. If a call fails, nothing changes, and closing
    /// the store brings the file up to date.
    fn sleep(&mut self) -> Result<(), String> {
        let calls_before = self.machine.log().len();
        self.process().sleep(Duration::from_secs(1));
        let log = self.machine.log().split_off(calls_before);
        self.require_contents_of_the_file()?;
        if self.struck(&log, calls_before).is_some() {
            self.require_contents_in_memory()?;
            self.require_durable(std::slice::from_ref(&self.contents))?;
            self.process().ask(&Request::Close).map_err(|error| error.to_string())?;
        }
        self.require_contents_of_the_file()?;
        if self.machine.log()[..calls_before].iter().any(|call| call.faulty) {
            // What a change left before it failed is not durable, and it may be a journal, which
            // becomes part of the file after the next change.
            return Ok(());
        }
        let names = self.machine.disk.names(Path::new(DIRECTORY));
        if names != ["state.json"] {
            return Err(format!("there is {names:?} after a checkpoint"));
        }
        self.require_durable(std::slice::from_ref(&self.contents))
    }

    /// Checks the replies and works out what is there after them. `late`: the writes that failed
    /// happened all the same.
    fn follow(
        &mut self,
        requests: &[Request],
        replies: &[Reply],
        late: bool,
    ) -> Result<(), String> {
        let errno = match self.plan {
            Plan::Fail { errno, .. } => Some(errno.raw_os_error()),
            _ => None,
        };
        if let Some(error) = replies.iter().find_map(|reply| reply.as_ref().err())
            && error.errno() != errno
        {
            return Err(format!("the error is {error:?}"));
        }
        let exchange = || requests.iter().zip(replies);
        let writes = || exchange().filter(|(request, _)| request.is_write());
        let failed = writes().filter(|(_, reply)| reply.is_err()).count();
        if failed != 0 && failed != writes().count() {
            return Err(format!("only some writes failed: {replies:?}"));
        }
        let happened = failed == 0 || late;
        let old = self.contents.clone();
        let new = Contents::after_more(old.clone(), requests);
        for (request, reply) in exchange() {
            if request.is_write() && happened {
                self.contents = std::mem::take(&mut self.contents).after(request);
            }
            if let (Request::Get(key), Ok(value)) = (request, reply) {
                // A read of a batch whose writes failed is answered anew, from what the file then
                // holds. If they happened all the same, that is all of them, those that were started
                // after the read too: what raised has no place in the order any more.
                let failed_but_happened = late.then(|| new.get(key));
                let right = [Some(old.get(key)), Some(self.contents.get(key)), failed_but_happened];
                let right = right.map(|value| value.map(|value| Answer::Value(value.cloned())));
                if !right.iter().flatten().any(|right| right == value) {
                    return Err(format!("{key} is {value:?}, not one of {right:?}"));
                }
            }
        }
        Ok(())
    }

    fn require_contents_of_the_file(&self) -> Result<(), String> {
        require_contents("the file", &self.contents, self.machine.contents(FILE))
    }

    fn require_contents_in_memory(&mut self) -> Result<(), String> {
        let found = self.process().contents();
        require_contents("memory", &self.contents, found)
    }

    /// What a killed process left stays until the next write that succeeds.
    fn require_no_temporary_file(&self, allowed: bool) -> Result<(), String> {
        let names = self.machine.disk.names(Path::new(DIRECTORY));
        if allowed || names.iter().all(|name| name == "state.json" || name == "state.json.journal")
        {
            return Ok(());
        }
        Err(format!("the directory has {names:?}"))
    }

    fn require_durable(&self, allowed: &[Contents]) -> Result<(), String> {
        for left in self.machine.disk.surviving_states(SURVIVORS, 0) {
            match Machine::new(left.clone()).start(FILE, Options::default()).contents() {
                Ok(contents) if allowed.contains(&contents) => {}
                other => {
                    let listing = left.listing();
                    return Err(format!("a loss of power may leave {other:?}:\n{listing}"));
                }
            }
        }
        Ok(())
    }

    /// No process flushes a file again after a flush of it failed.
    fn require_no_second_flush(&self) -> Result<(), String> {
        let log = self.machine.log();
        let mut calls = log.iter().filter(|call| is_flush_of_a_file(call));
        let Some(failed) = calls.find(|call| call.faulty) else { return Ok(()) };
        match calls.find(|call| call.inode == failed.inode) {
            Some(_) => Err("a file was flushed again after its flush failed".to_owned()),
            None => Ok(()),
        }
    }
}

fn require_contents(
    place: &str,
    right: &Contents,
    found: aiokv::Result<Contents>,
) -> Result<(), String> {
    match found {
        Ok(contents) if contents == *right => Ok(()),
        Err(error) => Err(format!("{place} cannot be read: {error}")),
        other => Err(format!("{place} has {other:?} instead of {right:?}")),
    }
}
