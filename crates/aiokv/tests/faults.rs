//! A call that fails takes nothing with it.
//!
//! Scenarios run on a simulated disk, once for each call they make and each way in which it can
//! fail. After the failure
//!
//! - every write of the batch has the error of the call, or all of them happened, where aiokv
//!   can do without the call or try it again;
//! - memory, the file with its journal and whatever a loss of power would leave hold the old
//!   state, or the new one if the writes happened. If only what comes after the change failed,
//!   such as the flush of the directory, the writes raise and the new state is there;
//! - no temporary file is left;
//! - everything after it works, and a file whose flush failed is never flushed again.
//!
//! A failure while the journal is folded in the background is nobody's error: nothing changes, and
//! closing the store brings the file up to date.

#[path = "support/options.rs"]
mod options;
#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/simulated_disk/mod.rs"]
mod simulated_disk;
#[path = "support/start.rs"]
mod start;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aiokv::storage::{Access, Storage};
use aiokv::{AioKv, Journal, Options};
use rustix::io::Errno;

use options::{appending, folding_at_once};
use requests::{Contents, Reply, Request, send_together};
use simulated_disk::{Action, Call, Plan, SimulatedDisk, Subject};

const DIRECTORY: &str = "/data/one/two";
const FILE: &str = "/data/one/two/state.json";
const JOURNAL: &str = "/data/one/two/state.json.journal";
const TEMPORARY: &str = "/data/one/two/.state.json.aiokv-tmp";
const JOURNAL_TEMPORARY: &str = "/data/one/two/.state.json.journal.aiokv-tmp";

const ERRORS: [Errno; 7] =
    [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::DQUOT, Errno::BUSY, Errno::INTR];

/// How many states that a loss of power may leave are looked at.
const SURVIVORS: usize = 100;

#[test]
fn creating_a_file_and_its_directories() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("a")]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![get("a")]),
        ],
    });
}

#[test]
fn creating_a_file_with_several_writes_at_once() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![set("a", "1"), set("b", "2"), get("b"), delete("a")]),
            Step::Ask(vec![set("c", "3")]),
        ],
    });
}

#[test]
fn replacing_a_file() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("a", "2"), set("b", "3"), get("b"), delete("a"), set("d", "4")]),
            Step::Ask(vec![delete("b")]),
            Step::Ask(vec![get("d")]),
            Step::Ask(vec![delete("absent")]),
        ],
    });
}

#[test]
fn replacing_a_file_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: Options::default(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn clearing() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![clear()]),
            Step::Ask(vec![clear()]),
            Step::Ask(vec![set("a", "1")]),
            Step::Reopen,
            Step::Ask(vec![clear()]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

#[test]
fn clearing_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: Options::default(),
        steps: vec![Step::Ask(vec![clear()]), Step::Ask(vec![set("a", "1")])],
    });
}

#[test]
fn loading() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1"), get("old"), delete("old")]),
            Step::Ask(vec![get("a")]),
        ],
    });
}

/// What is found may have been written by a process that did not flush it, so a change that
/// changes nothing flushes too.
#[test]
fn changing_nothing_in_a_file_that_another_process_wrote() {
    check_every_fault(&Scenario {
        start: Start::UnflushedFile,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![get("old")]),
        ],
    });
}

#[test]
fn creating_a_journal_and_appending_to_it() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: appending(),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("a", "2"), set("b", "3"), get("b"), delete("a"), set("d", "4")]),
            Step::Ask(vec![delete("b")]),
            Step::Ask(vec![get("d")]),
            Step::Ask(vec![delete("absent")]),
        ],
    });
}

#[test]
fn creating_a_file_and_its_journal() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

/// A journal may only continue what is durable.
#[test]
fn creating_the_journal_of_a_file_that_another_process_did_not_flush() {
    check_every_fault(&Scenario {
        start: Start::UnflushedFile,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn creating_a_journal_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn loading_with_a_journal() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1"), get("old"), delete("old")]),
            Step::Ask(vec![get("a")]),
            Step::Reopen,
            Step::Ask(vec![get("a")]),
        ],
    });
}

#[test]
fn reading_what_another_process_appends() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1")]),
            Step::Return,
            Step::Ask(vec![get("a")]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

#[test]
fn appending_to_a_torn_journal() {
    check_every_fault(&Scenario {
        start: Start::TornJournal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

/// What is found may have been written by a process that did not flush it.
#[test]
fn changing_nothing_in_a_journal_that_another_process_wrote() {
    check_every_fault(&Scenario {
        start: Start::UnflushedJournal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![get("old")]),
        ],
    });
}

#[test]
fn folding_by_closing() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: appending(),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![Request::Close]),
            Step::Ask(vec![set("b", "2"), delete("a"), set("c", "3"), Request::Close]),
            Step::Ask(vec![get("c")]),
        ],
    });
}

#[test]
fn folding_by_replacing() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: Options::default().journal(Journal::Never),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn folding_in_the_background() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: folding_at_once(),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2"), delete("a"), set("c", "3")]),
            Step::Ask(vec![get("c")]),
        ],
    });
}

#[test]
fn clearing_with_a_journal() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![clear()]),
            Step::Ask(vec![clear()]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2")]),
            Step::Reopen,
            Step::Ask(vec![clear()]),
            Step::Ask(vec![set("c", "3")]),
        ],
    });
}

struct Scenario {
    start: Start,
    options: Options,
    steps: Vec<Step>,
}

/// What there is at first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    NoDirectory,
    /// A file that another user owns.
    File,
    /// The same, not flushed.
    UnflushedFile,
    /// The same file, and the temporary files of a process that is gone.
    FileAndLeftover,
    /// The same file, and a journal.
    Journal,
    /// The same, and what was appended last was not flushed.
    UnflushedJournal,
    /// The same, and a crash left something unfinished in the journal.
    TornJournal,
}

enum Step {
    /// Sends requests together.
    Ask(Vec<Request>),
    /// Goes on as another process that opens the file anew. The process from before stays.
    Reopen,
    /// Goes on as the first process.
    Return,
}

impl Start {
    fn contents(self) -> Contents {
        let file = Contents::default().after(&set("old", "0"));
        match self {
            Self::NoDirectory => Contents::default(),
            Self::File | Self::UnflushedFile | Self::FileAndLeftover => file,
            Self::Journal | Self::UnflushedJournal | Self::TornJournal => {
                file.after(&set("journaled", "0")).after(&set("appended", "0"))
            }
        }
    }

    fn disk(self) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let prepare = || {
            disk.create_directory(Path::new("/data"))?;
            disk.flush_directory(Path::new("/"))?;
            if self == Self::NoDirectory {
                return Ok(());
            }
            disk.create_directory(Path::new("/data/one"))?;
            disk.flush_directory(Path::new("/data"))?;
            disk.create_directory(Path::new(DIRECTORY))?;
            disk.flush_directory(Path::new("/data/one"))?;
            let file = disk.create(Path::new(FILE), 0o640)?;
            file.write_at(b"{\"old\": \"0\"}", 0)?;
            file.set_owner(0, 0)?;
            if self == Self::FileAndLeftover {
                disk.create(Path::new(TEMPORARY), 0o600)?.write_at(b"{\"o", 0)?;
                disk.create(Path::new(JOURNAL_TEMPORARY), 0o600)?.write_at(b"1234", 0)?;
            }
            if self != Self::UnflushedFile {
                file.flush()?;
                disk.flush_directory(Path::new(DIRECTORY))?;
            }
            io::Result::Ok(())
        };
        prepare().expect(NO_FAULT);
        match self {
            Self::Journal | Self::UnflushedJournal | Self::TornJournal => self.append(&disk),
            _ => disk,
        }
    }

    /// Appends to the journal of a file. What a store does when it is dropped happens to another
    /// disk than the one that is returned.
    fn append(self, disk: &SimulatedDisk) -> SimulatedDisk {
        let ask = |request: Request, options| {
            let store = open(disk, options);
            pollster::block_on(request.send(&store)).expect(NO_FAULT);
            store
        };
        let first = ask(set("journaled", "0"), appending());
        let flushes = self != Self::UnflushedJournal;
        let second = ask(set("appended", "0"), appending().fsync(flushes));
        if self == Self::TornJournal {
            let journal = disk.open(Path::new(JOURNAL), Access::ReadWrite).expect(NO_FAULT);
            let mut content = vec![0; 4096];
            journal.read_at(&mut content, 0).expect(NO_FAULT);
            let end = content.iter().rposition(|byte| *byte != b'\n').expect("it has lines") + 2;
            journal.write_at(b"0123abcd 3 2 + \"torn", end as u64).expect(NO_FAULT);
            journal.flush().expect(NO_FAULT);
        }
        let left = disk.after_kill();
        drop((first, second));
        left
    }
}

const NO_FAULT: &str = "no call fails that is not told to";

/// The engines of one process wait for each other while they start. So that a scenario makes the
/// same calls each time, it runs alone.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a scenario with every fault at every call.
fn check_every_fault(scenario: &Scenario) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let start = scenario.start.disk();
    let whole = start.after_kill();
    let calls = Run::new(scenario, whole.clone(), Plan::Nothing).check().expect("no fault yet");
    let mut problems = Vec::new();
    for (at, Call { action, subject, .. }) in (1..=calls).zip(whole.log()) {
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
                problems.push(format!("call {at} ({action:?} {subject:?}), {fault}: {problem}"));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// One run of a scenario.
struct Run<'scenario> {
    scenario: &'scenario Scenario,
    disk: SimulatedDisk,
    plan: Plan,
    /// The stores of the processes that were started.
    stores: Vec<AioKv>,
    /// The one that goes on.
    current: usize,
    contents: Contents,
}

impl<'scenario> Run<'scenario> {
    fn new(scenario: &'scenario Scenario, disk: SimulatedDisk, plan: Plan) -> Self {
        disk.plan(plan);
        let stores = vec![open(&disk, scenario.options.clone())];
        let contents = scenario.start.contents();
        Self { scenario, disk, plan, stores, current: 0, contents }
    }

    fn store(&self) -> &AioKv {
        &self.stores[self.current]
    }

    /// Takes every step and then one without a fault, and closes the store. Says how many calls
    /// the steps made.
    fn check(mut self) -> Result<usize, String> {
        for step in &self.scenario.steps {
            match step {
                Step::Ask(requests) => self.ask(requests)?,
                Step::Reopen => {
                    self.current = self.stores.len();
                    self.stores.push(open(&self.disk, self.scenario.options.clone()));
                }
                Step::Return => self.current = 0,
            }
        }
        let calls = self.disk.log().len();
        self.ask(&[set("last", "9")])?;
        self.require_no_temporary_file(false)?;
        self.require_durable(std::slice::from_ref(&self.contents))?;
        self.ask(&[Request::Close])?;
        self.require_no_second_flush()?;
        self.require_contents("the file", &open(&self.disk, Options::default()))?;
        let names = self.disk.names(Path::new(DIRECTORY));
        if names == ["state.json"] { Ok(calls) } else { Err(format!("there is {names:?}")) }
    }

    fn ask(&mut self, requests: &[Request]) -> Result<(), String> {
        let calls_before = self.disk.log().len();
        let replies = send_together(self.store(), &self.disk, requests);
        if self.folds_after(requests) {
            self.disk.wait_until_folded(Path::new(JOURNAL), calls_before);
        }
        let log = self.disk.log().split_off(calls_before);
        let Some(struck) = log.iter().position(|call| call.faulty).or(self.short(calls_before))
        else {
            return match replies.iter().find_map(|reply| reply.as_ref().err()) {
                None => self.follow(requests, &replies, false),
                Some(error) => Err(format!("{requests:?} failed without a fault: {error}")),
            };
        };
        let fault = Fault { requests, log: &log, struck, plan: self.plan };
        let failed = replies.iter().any(Result::is_err);
        let folds = self.folds_after(requests);
        let expected =
            if folds && fault.is_after_commits() { Some(true) } else { fault.may_succeed() };
        match expected {
            Some(true) if failed => return Err(format!("not overcome: {replies:?}")),
            Some(false) if !failed => return Err("nobody was told".to_owned()),
            _ => {}
        }
        let mut possible = vec![self.contents.clone()];
        for request in requests {
            possible.extend(possible.last().cloned().map(|contents| contents.after(request)));
        }
        self.follow(requests, &replies, fault.is_late())?;
        possible.push(self.contents.clone());
        self.require_contents("the file", &open(&self.disk, Options::default()))?;
        self.require_contents("memory", self.store())?;
        if folds {
            // Ends what is done in the background, or tries it again.
            pollster::block_on(self.store().close()).map_err(|error| error.to_string())?;
            self.require_contents("the file", &open(&self.disk, Options::default()))?;
        }
        let leftover = failed && self.scenario.start == Start::FileAndLeftover;
        self.require_no_temporary_file(leftover || fault.leaves_temporary())?;
        match (failed, self.scenario.start) {
            // What was not durable before is not durable now.
            (true, Start::UnflushedFile | Start::UnflushedJournal) => Ok(()),
            (true, _) => self.require_durable(&possible),
            (false, _) => self.require_durable(std::slice::from_ref(&self.contents)),
        }
    }

    /// Whether a fold follows by itself.
    fn folds_after(&self, requests: &[Request]) -> bool {
        self.scenario.options.fold_idle.is_zero() && requests.iter().any(Request::is_write)
    }

    /// Which of the calls since there were so many reads or writes less than it was asked for.
    fn short(&self, calls_before: usize) -> Option<usize> {
        match self.plan {
            Plan::Short { at } if self.disk.log().len() >= at => (at - 1).checked_sub(calls_before),
            _ => None,
        }
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
        // Those who send several requests together know that the first is a batch of its own.
        let exchange: Vec<_> = requests.iter().zip(replies).collect();
        let (first, others) = exchange.split_at(1);
        for batch in [first, others] {
            let writes = || batch.iter().filter(|(request, _)| request.is_write());
            let failed = writes().filter(|(_, reply)| reply.is_err()).count();
            if failed != 0 && failed != writes().count() {
                return Err(format!("only some writes failed: {batch:?}"));
            }
            let happened = failed == 0 || late;
            let old = self.contents.clone();
            for (request, reply) in batch {
                if request.is_write() && happened {
                    self.contents = std::mem::take(&mut self.contents).after(request);
                }
                if let (Request::Get(key), Ok(value)) = (request, reply) {
                    let right = [old.get(key), self.contents.get(key)];
                    if !right.contains(&value.as_ref()) {
                        return Err(format!("{key} is {value:?}, not one of {right:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn require_contents(&self, place: &str, store: &AioKv) -> Result<(), String> {
        match Contents::of(store) {
            Ok(contents) if contents == self.contents => Ok(()),
            other => Err(format!("{place} has {other:?} instead of {:?}", self.contents)),
        }
    }

    /// What a killed process left stays until the next write that succeeds.
    fn require_no_temporary_file(&self, allowed: bool) -> Result<(), String> {
        let names = self.disk.names(Path::new(DIRECTORY));
        if allowed || names.iter().all(|name| name == "state.json" || name == "state.json.journal")
        {
            return Ok(());
        }
        Err(format!("the directory has {names:?}"))
    }

    fn require_durable(&self, allowed: &[Contents]) -> Result<(), String> {
        for left in self.disk.surviving_states(SURVIVORS, 0) {
            match Contents::of(&open(&left, Options::default())) {
                Ok(contents) if allowed.contains(&contents) => {}
                other => {
                    let listing = left.listing();
                    return Err(format!("a loss of power may leave {other:?}:\n{listing}"));
                }
            }
        }
        Ok(())
    }

    /// One process knows of the failed flushes of another only what the system tells it.
    fn require_no_second_flush(&self) -> Result<(), String> {
        let log = self.disk.log();
        let mut calls = log.iter().filter(|call| call.action.flushes_a_file());
        let Some(failed) = calls.find(|call| call.faulty) else { return Ok(()) };
        match calls.find(|call| call.subject == failed.subject) {
            Some(_) if self.stores.len() == 1 => {
                Err("a file was flushed again after its flush failed".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A call that failed or was short, while requests were carried out.
struct Fault<'run> {
    requests: &'run [Request],
    /// The calls since the requests were sent.
    log: &'run [Call],
    struck: usize,
    plan: Plan,
}

impl Fault<'_> {
    fn call(&self) -> &Call {
        &self.log[self.struck]
    }

    /// The calls before, the last one first.
    fn before(&self) -> impl Iterator<Item = &Call> {
        self.log[..self.struck].iter().rev()
    }

    /// Whether the requests have to succeed (`true`) or have to fail although the call failed;
    /// `None` if either is right.
    fn may_succeed(&self) -> Option<bool> {
        let Plan::Fail { errno, .. } = self.plan else { return Some(true) };
        let call = self.call();
        match call.action {
            // What was interrupted is tried again; the owner is kept where that is allowed.
            Action::Read | Action::Write if errno == Errno::INTR => Some(true),
            Action::SetOwner if errno == Errno::ACCESS => Some(true),
            // A path is resolved again for the first batch. A look that fails makes a read of it.
            Action::Canonicalize | Action::ReadLink | Action::Look | Action::LookAtHandle => None,
            // A look at the journal is a read of one byte.
            Action::Read => None,
            // Clearing needs no readable file.
            Action::Open if self.requests.contains(&clear()) => None,
            // A journal that the file holds already may stay.
            Action::Remove if self.is_fold() && is_on(call, JOURNAL) => Some(true),
            Action::FlushDirectory if self.is_fold() && self.is_after(Action::Remove, JOURNAL) => {
                Some(true)
            }
            // A directory above that of the file, which was there before and may not be opened.
            Action::FlushDirectory if errno == Errno::ACCESS && !is_on(call, DIRECTORY) => {
                if self.is_late() { Some(true) } else { None }
            }
            Action::Remove if is_on(call, TEMPORARY) => None,
            // What is found and not known to be durable may be written anew instead.
            _ if is_flush(call) && self.nothing_changed() => None,
            _ => Some(false),
        }
    }

    /// Whether the change had happened when the call failed: the file or the journal had been
    /// replaced, or the file had been removed.
    fn is_late(&self) -> bool {
        let comes_after = match self.call().action {
            Action::FlushDirectory | Action::Touch | Action::LookAtHandle => true,
            Action::Remove => is_on(self.call(), JOURNAL),
            _ => false,
        };
        let replaced = [Action::Rename, Action::RenameNew]
            .iter()
            .any(|action| self.is_after(*action, FILE) || self.is_after(*action, JOURNAL));
        let removed = self.is_after(Action::Remove, FILE)
            || (!self.is_fold() && self.is_after(Action::Remove, JOURNAL));
        comes_after && (replaced || removed)
    }

    /// Whether this was the last change before.
    fn is_after(&self, action: Action, path: &str) -> bool {
        let is_change = |call: &&Call| {
            call.action.changes_the_disk() && !is_flush(call) && call.action != Action::Touch
        };
        let change = self.before().find(is_change);
        change.is_some_and(|change| change.action == action && is_on(change, path))
    }

    /// Whether the requests, which all append something, had been carried out.
    fn is_after_commits(&self) -> bool {
        let commits = self.requests.len().min(2);
        self.before().filter(|call| call.action == Action::Unlock).count() >= commits
    }

    /// Whether nothing had been done but to remove what a killed process left.
    fn nothing_changed(&self) -> bool {
        let is_left_behind = |call| is_on(call, TEMPORARY) || is_on(call, JOURNAL_TEMPORARY);
        self.before().all(|call| {
            let removes = call.action == Action::Remove && is_left_behind(call);
            removes || is_flush(call) || !call.action.changes_the_disk()
        })
    }

    /// Whether a temporary file could not be removed that was given up. Whoever needs its name next
    /// does it.
    fn leaves_temporary(&self) -> bool {
        self.call().action == Action::Remove && is_on(self.call(), TEMPORARY)
    }

    /// Whether a journal is removed because the file holds it.
    fn is_fold(&self) -> bool {
        !self.requests.contains(&clear())
    }
}

fn is_flush(call: &Call) -> bool {
    call.action.flushes_a_file() || call.action == Action::FlushDirectory
}

fn is_on(call: &Call, path: &str) -> bool {
    call.subject == Subject::Path(path.into())
}

fn open(disk: &SimulatedDisk, options: Options) -> AioKv {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    AioKv::with_storage(FILE, options, storage).expect("the path is absolute")
}

fn get(key: &str) -> Request {
    Request::Get(key.to_owned())
}

fn set(key: &str, value: &str) -> Request {
    Request::Set(key.to_owned(), value.to_owned())
}

fn delete(key: &str) -> Request {
    Request::Delete(key.to_owned())
}

fn clear() -> Request {
    Request::Clear
}
