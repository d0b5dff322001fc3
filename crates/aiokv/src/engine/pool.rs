//! The threads that serve all files.
//!
//! A writer never blocks for long, so a few threads serve any number of files. A thread is started
//! when something is to be done and no thread is idle, up to [`THREADS_MAX`], and ends after
//! [`IDLE_MAX`] without work. An idle store has no thread and no timer of its own: when it has to
//! do something later, such as a checkpoint, it stands in one list of all such times. Beyond
//! [`machine::OPEN_STORES_MAX`] idle stores, the files of the one that was idle for longest are closed.
//!
//! All signals are blocked in these threads, so that a handler of the program runs in a thread of
//! the program.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::ordered::Ordered;
use super::served::Engine;
use super::{gate, machine};
use crate::error::{Error, Result};
use crate::queue::{Operation, Outcome, Submission, Waiter, Wake};
use crate::writer::{LockWait, Next};

/// How many threads there are at most.
const THREADS_MAX: usize = 32;

/// How many of them wait for a lock at most.
const WAITING_MAX: usize = THREADS_MAX / 2;

/// How long a thread stays without work.
const IDLE_MAX: Duration = Duration::from_secs(10);

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Pool {
    /// The engines that have something to do now, in the order in which it came.
    ready: VecDeque<Arc<Engine>>,
    /// The engines that only have to end. A thread is woken for the first of them only, and comes to
    /// them when there is nothing better to do: a program may drop thousands of stores at once, and
    /// wants to go on.
    retired: VecDeque<Arc<Engine>>,
    /// The locks that a thread is to wait for, on behalf of an engine.
    waits: VecDeque<(Arc<Engine>, Arc<LockWait>)>,
    /// Those that threads wait for now.
    waiting: Vec<Arc<LockWait>>,
    /// The engines that threads serve now.
    serving: Vec<Arc<Engine>>,
    /// The engines that have something to do later.
    timers: Ordered<Instant>,
    /// The idle engines with open files, in the order in which they became idle.
    open: Ordered<u64>,
    /// How many engines became idle so far.
    rests: u64,
    /// The idle threads. The one that was idle for the shortest time comes first: its caches are
    /// warm.
    idle: Vec<Thread>,
    threads: usize,
}

/// What a thread has to do.
enum Task {
    Serve(Arc<Engine>),
    Wait(Arc<Engine>, Arc<LockWait>),
    Sleep(Duration),
    End,
}

/// Queues an operation.
///
/// # Errors
///
/// [`Error::Io`] if there is no thread and none can be started. The operation does not happen.
pub(super) fn submit(engine: &Arc<Engine>, submission: Submission) -> Result<()> {
    let mut pool = pool();
    if pool.threads == 0 {
        pool.start_thread().map_err(Error::io("start a thread for", engine.path()))?;
    }
    if engine.queue.push(submission) {
        pool.put_to_work(Arc::clone(engine));
    }
    Ok(())
}

/// Queues an operation, and serves the engine on this thread if it was at rest, at least until
/// `is_answered` says so: handing over to another thread and back costs more than most operations.
/// This thread must not hold a lock that a waiter needs to take its answer.
///
/// # Errors
///
/// As [`submit`].
pub(super) fn submit_and_serve(
    engine: &Arc<Engine>,
    submission: Submission,
    is_answered: impl Fn() -> bool,
) -> Result<()> {
    let was_at_rest = {
        let _work = gate::work();
        let mut pool = pool();
        let was_at_rest = engine.queue.push(submission);
        if was_at_rest {
            pool.open.remove(engine);
            pool.serving.push(Arc::clone(engine));
        }
        was_at_rest
    };
    if was_at_rest {
        serve_through_panics(engine, is_answered);
    }
    Ok(())
}

/// Lets an engine look whether another process has changed something.
pub(super) fn look(engine: &Arc<Engine>) {
    let look = Operation::Read(Box::default());
    let submission = Submission::new(look, Box::new(Unheard), Arc::default(), Instant::now());
    // Without a thread nothing can be done.
    let _: Result<()> = submit(engine, submission);
}

/// Takes an answer that nothing depends on. The watchers of the store are told of an error.
struct Unheard;

impl Waiter for Unheard {
    fn answer(self: Box<Self>, _answer: Result<Outcome>) -> Option<Arc<dyn Wake>> {
        None
    }
}

/// Lets an engine end that is not registered any more: what it still has to do is done if it can
/// be done at once, and it is dropped, on a thread of the pool.
pub(super) fn retire(engine: Arc<Engine>) {
    let mut pool = pool();
    engine.retired.store(true, Ordering::Release);
    // If it is at work, the thread that serves it will see.
    if engine.queue.activate() {
        // If there is no thread and none can be started, the next operation of any store does it.
        pool.retired.push_back(engine);
        if pool.retired.len() == 1 {
            pool.wake_thread();
        }
    }
}

/// Queues an operation on every engine that is about to end. One that has ended already drops it.
pub(crate) fn submit_to_ending(submission: impl Fn() -> Submission) {
    let ending: Vec<_> = {
        let pool = pool();
        let engines = pool.ready.iter().chain(&pool.retired).chain(&pool.serving);
        engines.filter(|engine| engine.retired.load(Ordering::Acquire)).cloned().collect()
    };
    for engine in ending {
        // Without a thread nothing can be done.
        let _: Result<()> = submit(&engine, submission());
    }
}

/// Forgets everything, in the child of a fork.
pub(super) fn forget() {
    let mut pool = pool();
    // Engines that are not registered any more, and the files that threads hold.
    let engines = pool.ready.iter().chain(&pool.retired).chain(&pool.serving);
    engines.for_each(|engine| engine.forget());
    let waits = pool.waits.iter().map(|(_, wait)| wait).chain(&pool.waiting);
    waits.for_each(|wait| wait.forget());
    std::mem::forget(std::mem::take(&mut *pool));
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().expect("nothing panics while the pool is locked")
}

impl Pool {
    fn put_to_work(&mut self, engine: Arc<Engine>) {
        self.ready.push_back(engine);
        self.wake_thread();
    }

    fn wake_thread(&mut self) {
        match self.idle.pop() {
            Some(thread) => thread.unpark(),
            // If it cannot be started, another thread will come to it.
            None if self.threads < THREADS_MAX => drop(self.start_thread()),
            None => {}
        }
    }

    fn start_thread(&mut self) -> io::Result<()> {
        machine::without_signals(|| thread::Builder::new().name("aiokv".to_owned()).spawn(work))?;
        self.threads += 1;
        Ok(())
    }

    /// What this thread is to do next.
    fn next(&mut self, now: Instant, idle_since: Instant) -> Task {
        let this = thread::current();
        self.idle.retain(|thread| thread.id() != this.id());
        while let Some(engine) = self.timers.pop_first_if(|due| due <= now) {
            if engine.queue.activate() {
                self.ready.push_back(engine);
            }
        }
        if let Some(engine) = self.ready.pop_front() {
            self.open.remove(&engine);
            if !self.ready.is_empty() {
                self.wake_thread();
            }
            return self.serve(engine);
        }
        if let Some(engine) = self.retired.pop_front() {
            self.open.remove(&engine);
            return self.serve(engine);
        }
        while let Some((engine, wait)) = self.waits.pop_front() {
            if !wait.is_over() {
                self.waiting.push(Arc::clone(&wait));
                return Task::Wait(engine, wait);
            }
        }
        let due = self.timers.first();
        let is_needed = due.is_some() && self.idle.is_empty();
        let left = IDLE_MAX.saturating_sub(now.saturating_duration_since(idle_since));
        if left.is_zero() && !is_needed {
            self.threads -= 1;
            return Task::End;
        }
        self.idle.push(this);
        let until_due = due.map(|due| due.saturating_duration_since(now));
        let left = if left.is_zero() { IDLE_MAX } else { left };
        Task::Sleep(until_due.map_or(left, |until_due| until_due.min(left)))
    }

    fn serve(&mut self, engine: Arc<Engine>) -> Task {
        self.serving.push(Arc::clone(&engine));
        Task::Serve(engine)
    }

    /// Lets a thread wait for a lock, unless too many do. Then the engine goes on trying.
    fn wait(&mut self, engine: &Arc<Engine>, wait: Arc<LockWait>) {
        if self.waiting.len() + self.waits.len() < WAITING_MAX {
            self.waits.push_back((Arc::clone(engine), wait));
            self.wake_thread();
        } else {
            wait.hand_over(false);
        }
    }

    /// Lets an engine rest, until some time at most. The time often stays what it was before the engine
    /// was at work, and then no thread has to be told.
    fn rest(&mut self, engine: &Arc<Engine>, due: Option<Instant>, has_open_files: bool) {
        let before = self.timers.key_of(engine);
        if due.is_none() {
            self.timers.remove(engine);
        } else if let Some(due) = due.filter(|due| before != Some(*due)) {
            if self.threads == 0 {
                // If it cannot be started, the next operation of any store does it.
                let _ = self.start_thread();
            }
            let is_first = self.timers.first().is_none_or(|first| due < first);
            self.timers.insert(due, engine);
            // An idle thread sleeps until the time that came first before.
            if is_first && let Some(thread) = self.idle.pop() {
                thread.unpark();
            }
        }
        if has_open_files {
            self.rests += 1;
            self.open.insert(self.rests, engine);
        }
        if self.open.len() > machine::open_stores_max()
            && let Some(oldest) = self.open.pop_first_if(|_| true)
        {
            oldest.evicted.store(true, Ordering::Release);
            if oldest.queue.activate() {
                // Behind thousands of due checkpoints, its files would stay open for long.
                self.ready.push_front(oldest);
            }
        }
    }
}

/// Runs on each thread of the pool.
fn work() {
    let mut idle_since = Instant::now();
    loop {
        let task = {
            let _work = gate::work();
            pool().next(Instant::now(), idle_since)
        };
        match task {
            Task::Serve(engine) => {
                serve_through_panics(&engine, || false);
                let _work = gate::work();
                drop(engine);
                idle_since = Instant::now();
            }
            Task::Wait(engine, wait) => {
                let locked = wait.run();
                let _work = gate::work();
                wait.hand_over(locked);
                let mut pool = pool();
                pool.waiting.retain(|other| !Arc::ptr_eq(other, &wait));
                // Behind the gate, so that the child of a fork can close the file.
                drop(wait);
                if engine.queue.activate() {
                    pool.put_to_work(engine);
                }
                idle_since = Instant::now();
            }
            Task::Sleep(pause) => thread::park_timeout(pause),
            Task::End => return,
        }
    }
}

/// Serves an engine as [`serve`] does. If the writer, or the waker of a program, has a bug, the
/// operations after it and other stores go on.
fn serve_through_panics(engine: &Arc<Engine>, hand_over: impl Fn() -> bool) {
    while panic::catch_unwind(AssertUnwindSafe(|| serve(engine, &hand_over))).is_err() {
        let _work = gate::work();
        engine.replace_writer();
    }
    let _work = gate::work();
    pool().serving.retain(|other| !Arc::ptr_eq(other, engine));
}

/// Serves an engine until there is nothing to do, or until `hand_over` says that another thread
/// should. Whenever the gate may let a fork in, the writer is in its slot.
fn serve(engine: &Arc<Engine>, hand_over: impl Fn() -> bool) {
    let mut is_ending = false;
    loop {
        let _work = gate::work();
        let mut slot = engine.writer();
        let Some(writer) = slot.as_mut() else { return };
        if engine.evicted.swap(false, Ordering::AcqRel) {
            writer.close_files(machine::wall_clock());
        }
        let due = match writer.step(Instant::now()) {
            Next::Again if hand_over() => {
                drop(slot);
                return pool().put_to_work(Arc::clone(engine));
            }
            Next::Again => continue,
            Next::Retry(pause) => Instant::now().checked_add(pause),
            Next::Idle(due) => due,
        };
        if is_ending {
            // What could not be done stays in the journal. The state is freed here, because the last
            // reference to the engine may be that of a store on an event loop.
            pool().timers.remove(engine);
            drop(slot.take());
            return engine.free_memory();
        }
        let has_open_files = writer.has_open_files();
        let wait = writer.wait_for_lock(Instant::now());
        let mut pool = pool();
        if engine.retired.load(Ordering::Acquire) && engine.queue.is_answered() {
            // What still has to be done is done if it can be done at once.
            drop(pool);
            writer.hurry(Instant::now());
            is_ending = true;
            continue;
        }
        if let Some(wait) = wait {
            pool.wait(engine, wait);
        }
        if engine.queue.rest() {
            pool.rest(engine, due, has_open_files);
            drop((pool, slot));
            return (engine.at_rest)(engine);
        }
        if hand_over() {
            drop(slot);
            return pool.put_to_work(Arc::clone(engine));
        }
    }
}
