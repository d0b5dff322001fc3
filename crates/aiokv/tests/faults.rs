//! A call that fails takes nothing with it.
//!
//! Scenarios run on a simulated disk, once for each call they make and each way in which it can
//! fail. After the failure
//!
//! - every write of the batch has the error of the call, or all of them happened, where aiokv
//!   can do without the call or try it again;
//! - memory, the file and whatever a loss of power would leave hold the old state, or the new one
//!   if the writes happened. If only the flush of the directory after the change failed, the
//!   writes raise and the new state is there;
//! - no temporary file is left;
//! - everything after it works, and a file whose flush failed is never flushed again.

#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/simulated_disk/mod.rs"]
mod simulated_disk;
#[path = "support/start.rs"]
mod start;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aiokv::storage::Storage;
use aiokv::{AioKv, Options};
use rustix::io::Errno;

use requests::{Contents, Reply, Request, send_together};
use simulated_disk::{Action, Call, Plan, SimulatedDisk, Subject};

const DIRECTORY: &str = "/data/one/two";
const FILE: &str = "/data/one/two/state.json";
const TEMPORARY: &str = "/data/one/two/.state.json.aiokv-tmp";

const ERRORS: [Errno; 7] =
    [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::DQUOT, Errno::BUSY, Errno::INTR];

/// How many states that a loss of power may leave are looked at.
const SURVIVORS: usize = 100;

#[test]
fn creating_a_file_and_its_directories() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
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
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn clearing() {
    check_every_fault(&Scenario {
        start: Start::File,
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
        steps: vec![Step::Ask(vec![clear()]), Step::Ask(vec![set("a", "1")])],
    });
}

#[test]
fn loading() {
    check_every_fault(&Scenario {
        start: Start::File,
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
        steps: vec![
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![get("old")]),
        ],
    });
}

struct Scenario {
    start: Start,
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
    /// The same file, and the temporary file of a process that is gone.
    FileAndLeftover,
}

enum Step {
    /// Sends requests together.
    Ask(Vec<Request>),
    /// Goes on as another process that opens the file anew.
    Reopen,
}

impl Start {
    fn contents(self) -> Contents {
        match self {
            Self::NoDirectory => Contents::default(),
            _ => Contents::default().after(&set("old", "0")),
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
            }
            if self != Self::UnflushedFile {
                file.flush()?;
                disk.flush_directory(Path::new(DIRECTORY))?;
            }
            std::io::Result::Ok(())
        };
        prepare().expect("no call fails that is not told to");
        disk
    }
}

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
    store: AioKv,
    contents: Contents,
}

impl<'scenario> Run<'scenario> {
    fn new(scenario: &'scenario Scenario, disk: SimulatedDisk, plan: Plan) -> Self {
        disk.plan(plan);
        let contents = scenario.start.contents();
        Self { scenario, store: open(&disk), disk, plan, contents }
    }

    /// Takes every step and then one without a fault. Says how many calls the steps made.
    fn check(mut self) -> Result<usize, String> {
        for step in &self.scenario.steps {
            match step {
                Step::Ask(requests) => self.ask(requests)?,
                Step::Reopen => self.store = open(&self.disk),
            }
        }
        let calls = self.disk.log().len();
        self.ask(&[set("last", "9")])?;
        self.require_no_temporary_file(false)?;
        self.require_no_second_flush()?;
        self.require_durable(std::slice::from_ref(&self.contents))?;
        Ok(calls)
    }

    fn ask(&mut self, requests: &[Request]) -> Result<(), String> {
        let calls_before = self.disk.log().len();
        let replies = send_together(&self.store, &self.disk, requests);
        let log = self.disk.log();
        let struck = match self.plan {
            Plan::Fail { at, .. } | Plan::Short { at } if at > calls_before => log.get(at - 1),
            _ => None,
        };
        let Some(call) = struck else {
            return match replies.iter().find_map(|reply| reply.as_ref().err()) {
                None => self.follow(requests, &replies, false),
                Some(error) => Err(format!("{requests:?} failed without a fault: {error}")),
            };
        };
        let failed = replies.iter().any(Result::is_err);
        let late = is_late(&log, call);
        match may_succeed(call, self.plan, requests, late) {
            Some(true) if failed => return Err(format!("not overcome: {replies:?}")),
            Some(false) if !failed => return Err("nobody was told".to_owned()),
            _ => {}
        }
        let mut possible = vec![self.contents.clone()];
        for request in requests {
            possible.extend(possible.last().cloned().map(|contents| contents.after(request)));
        }
        self.follow(requests, &replies, late)?;
        possible.push(self.contents.clone());
        self.require_contents("the file", &open(&self.disk))?;
        self.require_contents("memory", &self.store)?;
        self.require_no_temporary_file(failed)?;
        match failed {
            // What was not durable before is not durable now.
            true if self.scenario.start == Start::UnflushedFile => Ok(()),
            true => self.require_durable(&possible),
            false => self.require_durable(std::slice::from_ref(&self.contents)),
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
    fn require_no_temporary_file(&self, failed: bool) -> Result<(), String> {
        let names = self.disk.names(Path::new(DIRECTORY));
        let allowed = failed && self.scenario.start == Start::FileAndLeftover;
        if allowed || names.iter().all(|name| name == "state.json") {
            return Ok(());
        }
        Err(format!("the directory has {names:?}"))
    }

    fn require_durable(&self, allowed: &[Contents]) -> Result<(), String> {
        for left in self.disk.surviving_states(SURVIVORS, 0) {
            match Contents::of(&open(&left)) {
                Ok(contents) if allowed.contains(&contents) => {}
                other => {
                    let listing = left.listing();
                    return Err(format!("a loss of power may leave {other:?}:\n{listing}"));
                }
            }
        }
        Ok(())
    }

    fn require_no_second_flush(&self) -> Result<(), String> {
        let flushes = |call: &Call| call.action == Action::Flush;
        let log = self.disk.log();
        let mut calls = log.iter().filter(|call| flushes(call));
        let Some(failed) = calls.find(|call| call.faulty) else { return Ok(()) };
        match calls.find(|call| call.subject == failed.subject) {
            Some(_) => Err("a file was flushed again after its flush failed".to_owned()),
            None => Ok(()),
        }
    }
}

/// Whether requests have to succeed (`true`) or have to fail although a call failed; `None` if
/// either is right.
fn may_succeed(call: &Call, plan: Plan, requests: &[Request], late: bool) -> Option<bool> {
    let errno = match plan {
        Plan::Fail { errno, .. } => errno,
        _ => return Some(true),
    };
    match call.action {
        // What was interrupted is tried again; the owner is kept where that is allowed; a lock
        // ends with its handle.
        Action::Read | Action::Write if errno == Errno::INTR => Some(true),
        Action::SetOwner if errno == Errno::ACCESS => Some(true),
        Action::Unlock => Some(true),
        // A path is resolved again for the first batch. A look that fails makes a read of it.
        Action::Canonicalize | Action::ReadLink | Action::Look | Action::LookAtHandle => None,
        // Clearing needs no readable file.
        Action::Open | Action::Read if requests.contains(&clear()) => None,
        // A directory above that of the file, which was there before and may not be opened.
        Action::FlushDirectory if late && errno == Errno::ACCESS && !is_own_directory(call) => {
            Some(true)
        }
        // What is not known to be durable may be written anew instead.
        Action::Flush | Action::FlushDirectory if requests == [delete("absent")] => None,
        _ => Some(false),
    }
}

fn is_own_directory(call: &Call) -> bool {
    call.subject == Subject::Path(DIRECTORY.into())
}

/// Whether the failed call is the flush of the directory after the file was changed.
fn is_late(log: &[Call], failed: &Call) -> bool {
    let mut before = log.iter().rev().skip_while(|call| *call != failed).skip(1);
    let flushes = |call: &Call| matches!(call.action, Action::Flush | Action::FlushDirectory);
    let change = before.find(|call| call.action.changes_the_disk() && !flushes(call));
    let file = Subject::Path(FILE.into());
    failed.action == Action::FlushDirectory
        && change.is_some_and(|change| {
            let renames = matches!(change.action, Action::Rename | Action::RenameNew);
            change.subject == file && (renames || change.action == Action::Remove)
        })
}

fn open(disk: &SimulatedDisk) -> AioKv {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    AioKv::with_storage(FILE, Options::default(), storage).expect("the path is absolute")
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
