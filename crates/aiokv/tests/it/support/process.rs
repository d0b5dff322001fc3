//! Processes on a simulated disk, which work when the test tells them to: an engine each, no
//! threads, and a clock that only waiting moves.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use aiokv::binding::storage::Storage;
use aiokv::binding::{Next, Outcome, Stepped, Waiter, Wake};
use aiokv::{Options, Result};
use rustix::io::Errno;

use super::requests::{Answer, Contents, Reply, Request};
use super::simulated_disk::{Action, Call, Director, SimulatedDisk, Undirected, Verdict};

/// How many steps an answer takes at most. It is far from that, unless something never ends.
const STEPS_MAX: usize = 100_000;

/// A disk and what is to happen at the calls of the processes on it. Clones are the same machine.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) disk: SimulatedDisk,
    script: Arc<Script>,
}

/// What is to go wrong. Calls are counted from 1 since the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Everything goes well.
    Nothing,
    /// The machine stops before this call: it and all later ones fail and change nothing.
    Crash { at: usize },
    /// This call fails and changes nothing.
    Fail { at: usize, errno: Errno },
    /// If this call reads or writes, it does half of what it was asked for.
    Short { at: usize },
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) action: Action,
    pub(crate) path: PathBuf,
    /// The inode, if the call was made on an open file.
    pub(crate) inode: Option<u64>,
    /// It failed because that was planned.
    pub(crate) faulty: bool,
}

impl Made {
    pub(crate) fn is(&self, action: Action, path: &str) -> bool {
        self.action == action && self.path == Path::new(path)
    }
}

impl Machine {
    pub(crate) fn new(disk: SimulatedDisk) -> Self {
        Self { disk, script: Arc::default() }
    }

    /// The machine after a restart that lost nothing: every process is gone, and nothing is planned.
    pub(crate) fn after_kill(&self) -> Self {
        Self::new(self.disk.after_kill())
    }

    /// Makes a plan and counts calls from here.
    pub(crate) fn plan(&self, plan: Plan) {
        let mut scene = self.script.scene();
        (scene.plan, scene.log) = (plan, Vec::new());
    }

    /// Does something before a call, counted from 1 since the plan was made. The process that makes
    /// the call is in the middle of a step then. Calls made meanwhile do not count.
    pub(crate) fn before(&self, call: usize, act: impl FnOnce() + Send + 'static) {
        self.script.scene().acts.push_back((call, Box::new(act)));
    }

    /// The calls since the plan was made.
    pub(crate) fn log(&self) -> Vec<Made> {
        self.script.scene().log.clone()
    }

    /// Whether the machine stopped.
    pub(crate) fn is_crashed(&self) -> bool {
        self.script.scene().crashed
    }

    /// The disk as a new process has it.
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        self.directed(Arc::clone(&self.script) as Arc<dyn Director>)
    }

    fn directed(&self, director: Arc<dyn Director>) -> Arc<dyn Storage> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        self.disk.of_process(NEXT.fetch_add(1, Ordering::Relaxed), director)
    }

    /// A new process that uses the store at `path`.
    pub(crate) fn start(&self, path: &str, options: Options) -> Process {
        Process::new(self.storage(), path, options)
    }

    /// What a process finds that comes now. Its calls do not count.
    pub(crate) fn contents(&self, path: &str) -> Result<Contents> {
        Process::new(self.directed(Undirected::shared()), path, Options::default()).contents()
    }
}

/// What is to happen at calls, and which were made.
#[derive(Default)]
struct Script(Mutex<Scene>);

type Act = Box<dyn FnOnce() + Send>;

struct Scene {
    plan: Plan,
    log: Vec<Made>,
    crashed: bool,
    acts: VecDeque<(usize, Act)>,
    /// An act is under way, whose calls do not count.
    acting: bool,
}

impl Default for Scene {
    fn default() -> Self {
        let acts = VecDeque::new();
        Self { plan: Plan::Nothing, log: Vec::new(), crashed: false, acts, acting: false }
    }
}

impl Script {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().expect("nothing panics with the script locked")
    }
}

impl Director for Script {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let mut scene = self.scene();
        if scene.acting {
            return Verdict::Do;
        }
        let number = scene.log.len() + 1;
        if let Some(index) = scene.acts.iter().position(|(at, _)| *at == number) {
            let (_, act) = scene.acts.remove(index).expect("it is there");
            scene.acting = true;
            drop(scene);
            act();
            scene = self.scene();
            scene.acting = false;
        }
        scene.crashed |= scene.plan == (Plan::Crash { at: number });
        if scene.crashed {
            return Verdict::Gone;
        }
        let verdict = match scene.plan {
            Plan::Fail { at, errno } if at == number => Verdict::Fail(errno),
            Plan::Short { at } if at == number => Verdict::Short,
            _ => Verdict::Do,
        };
        scene.log.push(Made {
            action: call.action,
            path: call.path.to_owned(),
            inode: call.inode,
            faulty: matches!(verdict, Verdict::Fail(_)),
        });
        verdict
    }
}

/// A process with one store.
pub(crate) struct Process {
    stepped: Stepped,
    options: Arc<Options>,
    /// How much time has passed.
    clock: Duration,
}

/// What waits for an answer.
#[derive(Clone, Default)]
pub(crate) struct Ticket(Arc<Mutex<Option<Reply>>>);

impl Process {
    pub(crate) fn new(storage: Arc<dyn Storage>, path: &str, options: Options) -> Self {
        let stepped = Stepped::new(storage, Path::new(path));
        Self { stepped, options: Arc::new(options), clock: Duration::ZERO }
    }

    /// Asks for something. A later step answers it, unless memory does at once.
    pub(crate) fn submit(&self, request: &Request) -> Ticket {
        let ticket = Ticket::default();
        if let Request::Get(key) = request
            && let Some(entry) = self.stepped.get_now(key.as_bytes())
        {
            ticket.set(Ok(Outcome::Read([entry].into())));
            return ticket;
        }
        let waiter = Box::new(ticket.clone());
        let options = Arc::clone(&self.options);
        self.stepped.submit(request.operation(), waiter, options, self.now());
        ticket
    }

    /// Makes one step. If that has to wait for another process, the time of the wait passes. Says
    /// whether there is anything to do now.
    pub(crate) fn step(&mut self) -> bool {
        match self.stepped.step(self.now()) {
            Next::Again => true,
            Next::Retry(pause) => {
                self.clock += pause;
                true
            }
            Next::Idle(_) => false,
        }
    }

    /// Makes steps until there is nothing to do now.
    pub(crate) fn work(&mut self) {
        assert!((0..STEPS_MAX).any(|_| !self.step()), "it works for ever");
    }

    /// Lets time pass, and does what is due then.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.clock += time;
        self.work();
    }

    /// Asks for something and works until it is answered. What is to be done in the background is
    /// not done.
    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        let [reply] = self.ask_together([request]);
        reply
    }

    /// Asks for several things at once and works until all of them are answered.
    pub(crate) fn ask_together<const COUNT: usize>(
        &mut self,
        requests: [&Request; COUNT],
    ) -> [Reply; COUNT] {
        let tickets = requests.map(|request| self.submit(request));
        self.wait_for(&tickets);
        tickets.map(|ticket| ticket.take())
    }

    /// The same for any number of requests.
    pub(crate) fn ask_all_together(&mut self, requests: &[Request]) -> Vec<Reply> {
        let tickets = Vec::from_iter(requests.iter().map(|request| self.submit(request)));
        self.wait_for(&tickets);
        tickets.iter().map(Ticket::take).collect()
    }

    /// Asks for one thing after the other. All of them have to succeed.
    pub(crate) fn ask_each(&mut self, requests: &[Request]) {
        for request in requests {
            let reply = self.ask(request);
            assert!(reply.is_ok(), "{request:?}: {reply:?}");
        }
    }

    /// Everything that the store holds.
    pub(crate) fn contents(&mut self) -> Result<Contents> {
        match self.ask(&Request::GetAll)? {
            Answer::All(contents) => Ok(contents),
            other => unreachable!("{other:?} is no answer to that"),
        }
    }

    fn wait_for(&mut self, tickets: &[Ticket]) {
        let mut steps = 0;
        while !tickets.iter().all(Ticket::is_answered) {
            let goes_on = self.step();
            steps += 1;
            let all_answered = tickets.iter().all(Ticket::is_answered);
            assert!(goes_on || all_answered, "it is idle, but has not answered");
            assert!(steps < STEPS_MAX, "it is never answered");
        }
    }

    /// The clock, of which the engine only sees differences.
    fn now(&self) -> Instant {
        static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGINNING.get_or_init(Instant::now) + self.clock
    }
}

impl Ticket {
    fn set(&self, answer: Result<Outcome>) {
        let reply = answer.map(Answer::of);
        let before = self.0.lock().expect("nothing panics meanwhile").replace(reply);
        assert!(before.is_none(), "it was answered twice");
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.0.lock().expect("nothing panics meanwhile").is_some()
    }

    /// The reply, once it was answered.
    pub(crate) fn take(&self) -> Reply {
        self.0.lock().expect("nothing panics meanwhile").clone().expect("it was answered")
    }
}

impl Waiter for Ticket {
    fn answer(self: Box<Self>, answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        self.set(answer);
        None
    }
}
