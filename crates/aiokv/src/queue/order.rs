//! The queue between the threads that start operations and the one that carries them out.
//!
//! The queue gives the order: an operation takes effect in the order in which it was submitted.
//! It also knows which keys have a write that is not decided yet, so that a read of any other key
//! need not wait.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::error::Error;
use crate::options::{Journal, Options};
use crate::queue::operation::{Answer, Operation, Target};
use crate::queue::sync::atomic::{AtomicUsize, Ordering};
use crate::queue::sync::{Condvar, Mutex, MutexGuard};

/// Takes the answer to one operation, on the writer's thread.
///
/// No lock of the engine is held while these methods run.
pub trait Waiter: Send {
    /// Takes the answer. If the waiters of a batch are to be woken together, returns what does it.
    fn answer(self: Box<Self>, answer: Result<Answer, Error>) -> Option<Arc<dyn Wake>>;
}

/// Wakes those who wait, once after all answers of a batch were given.
pub trait Wake: Send + Sync {
    /// Called once for each batch.
    fn wake(&self);
}

/// An operation on its way to the writer.
pub(crate) struct Submission {
    pub(crate) operation: Operation,
    pub(crate) waiter: Box<dyn Waiter>,
    pub(crate) options: Arc<Options>,
    pub(crate) started: Instant,
    /// Set by the queue: a write that was submitted before may change what this operation sees.
    pub(crate) after_write: bool,
}

impl Submission {
    pub(crate) fn new(
        operation: Operation,
        waiter: Box<dyn Waiter>,
        options: Arc<Options>,
    ) -> Self {
        Self { operation, waiter, options, started: Instant::now(), after_write: false }
    }

    /// Whether it is a read that no earlier write can change.
    pub(crate) fn is_free(&self) -> bool {
        !self.after_write && !self.operation.is_write()
    }

    /// Whether it allows to append to the journal of a file of this size rather than to replace
    /// the file.
    pub(crate) fn appends_to(&self, file_bytes: u64) -> bool {
        !self.operation.is_write()
            || match self.options.journal {
                Journal::Auto => file_bytes > self.options.journal_threshold,
                Journal::Always => true,
                Journal::Never => false,
            }
    }
}

/// What came out of the queue.
pub(crate) enum Taken {
    /// Everything that waited.
    Batch(Vec<Submission>),
    /// Nothing until the deadline.
    Nothing,
    /// Nothing waits, and nobody is left who could submit anything.
    Abandoned,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// The number of undecided writes, for a look without the lock.
    undecided: AtomicUsize,
    hasher: RandomState,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Submission>,
    /// How many undecided writes there are for the keys with this hash. Two keys with the same
    /// hash only make a read wait that need not.
    keys: HashMap<u64, usize>,
    /// How many undecided writes change every key.
    everything: usize,
    /// The writer sleeps until something arrives.
    writer_sleeps: bool,
    /// Nothing is accepted any more.
    closed: bool,
    /// Nobody is left who could submit anything.
    abandoned: bool,
}

impl Queue {
    /// Adds an operation, or gives it back if the queue was closed.
    pub(crate) fn push(&self, mut submission: Submission) -> Result<(), Submission> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(submission);
        }
        submission.after_write = match &submission.operation {
            Operation::Get(key) => inner.is_undecided(self.hasher.hash_one(&**key)),
            _ => self.undecided.load(Ordering::Relaxed) > 0,
        };
        match submission.operation.target() {
            Target::Nothing => {}
            Target::Key(key) => *inner.keys.entry(self.hasher.hash_one(&*key)).or_default() += 1,
            Target::Everything => inner.everything += 1,
        }
        if submission.operation.is_write() {
            self.undecided.fetch_add(1, Ordering::Release);
        }
        inner.waiting.push(submission);
        self.wake_writer(inner);
        Ok(())
    }

    /// Whether a write that is not decided yet may change this key.
    pub(crate) fn is_undecided(&self, key: &[u8]) -> bool {
        self.undecided.load(Ordering::Acquire) > 0
            && self.lock().is_undecided(self.hasher.hash_one(key))
    }

    /// Takes everything that waits, as one batch; waits for something if there is nothing, until
    /// `deadline` at most.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Taken {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.abandoned {
                return Taken::Abandoned;
            }
            inner = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => {
                    inner.writer_sleeps = true;
                    self.arrived.wait(inner).expect(NOT_POISONED)
                }
                Some(Duration::ZERO) => return Taken::Nothing,
                Some(pause) => {
                    inner.writer_sleeps = true;
                    let mut inner = self.arrived.wait_timeout(inner, pause).expect(NOT_POISONED).0;
                    inner.writer_sleeps = false;
                    inner
                }
            };
        }
        Taken::Batch(std::mem::take(&mut inner.waiting))
    }

    /// Waits for at most `pause`, or until there is a read that no earlier write can change.
    pub(crate) fn wait_for_free(&self, pause: Duration) {
        let mut inner = self.lock();
        if !inner.waiting.iter().any(Submission::is_free) {
            inner.writer_sleeps = true;
            inner = self.arrived.wait_timeout(inner, pause).expect(NOT_POISONED).0;
            inner.writer_sleeps = false;
        }
    }

    /// Takes everything that waits, without waiting for more.
    pub(crate) fn take_arrived(&self) -> Vec<Submission> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Marks the writes of a batch as decided: reads that start from now on need not wait for
    /// them.
    pub(crate) fn decide(&self, batch: &[Submission]) {
        let mut inner = self.lock();
        for submission in batch {
            match submission.operation.target() {
                Target::Nothing => continue,
                Target::Everything => inner.everything -= 1,
                Target::Key(key) => {
                    let hash = self.hasher.hash_one(&*key);
                    let count = inner.keys.get_mut(&hash).expect("counted when it was pushed");
                    *count -= 1;
                    if *count == 0 {
                        inner.keys.remove(&hash);
                    }
                }
            }
            self.undecided.fetch_sub(1, Ordering::Release);
        }
    }

    /// Says whether there is still somebody who could submit something.
    pub(crate) fn set_abandoned(&self, abandoned: bool) {
        let mut inner = self.lock();
        inner.abandoned = abandoned;
        self.wake_writer(inner);
    }

    /// Whether nothing waits and no write is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().waiting.is_empty() && self.undecided.load(Ordering::Acquire) == 0
    }

    /// Whether nothing waits and nobody is left who could submit anything.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.lock();
        inner.abandoned && inner.waiting.is_empty()
    }

    /// Accepts nothing more and hands over what waits, before anybody is refused.
    pub(crate) fn close(&self, mut hand_over: impl FnMut(Submission)) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting.drain(..).for_each(&mut hand_over);
    }

    fn wake_writer(&self, mut inner: MutexGuard<'_, Inner>) {
        if std::mem::take(&mut inner.writer_sleeps) {
            drop(inner);
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect(NOT_POISONED)
    }
}

impl Inner {
    fn is_undecided(&self, hash: u64) -> bool {
        self.everything > 0 || self.keys.contains_key(&hash)
    }
}

const NOT_POISONED: &str = "nothing panics while the queue is locked";

/// Each test runs under many schedules. A thread that nobody wakes is a deadlock, which shuttle
/// reports.
///
/// `RUSTFLAGS="--cfg shuttle" cargo test -p aiokv --lib --target-dir target/shuttle queue`
#[cfg(all(test, shuttle))]
mod tests {
    use shuttle::sync::atomic::AtomicBool;
    use shuttle::sync::mpsc;
    use shuttle::thread;

    use super::*;
    use crate::json::entry::Entry;

    const SUBMITTERS: usize = 3;
    /// How many operations each of them submits.
    const OPERATIONS: usize = 3;

    fn explore(test: fn()) {
        shuttle::check_random(test, 1_000);
        shuttle::check_pct(test, 1_000, 3);
    }

    /// Says who submitted an operation, and as which of its operations.
    type Label = (usize, usize);

    /// Answers a submitter that waits, or nobody.
    struct Submitter(mpsc::Sender<()>);

    impl Waiter for Submitter {
        fn answer(self: Box<Self>, _answer: Result<Answer, Error>) -> Option<Arc<dyn Wake>> {
            let _ = self.0.send(());
            None
        }
    }

    fn submission(operation: Operation) -> (Submission, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel();
        let waiter = Box::new(Submitter(sender));
        (Submission::new(operation, waiter, Arc::default()), receiver)
    }

    fn set((submitter, number): Label) -> (Submission, mpsc::Receiver<()>) {
        submission(Operation::Set(Entry::new(&format!("\"{submitter}\""), &number.to_string())))
    }

    fn get(submitter: usize) -> Submission {
        submission(Operation::Get(submitter.to_string().into_bytes().into())).0
    }

    fn label(submission: &Submission) -> Label {
        let Operation::Set(entry) = &submission.operation else {
            unreachable!("only writes are labelled");
        };
        let key = std::str::from_utf8(&entry.key()).expect("digits").parse().expect("a number");
        (key, entry.value_text().parse().expect("a number"))
    }

    /// Starts every submitter. The last one to end abandons the queue.
    fn start_submitters(
        queue: &Arc<Queue>,
        submit: fn(&Queue, usize) -> Vec<Label>,
    ) -> Vec<thread::JoinHandle<Vec<Label>>> {
        let left = Arc::new(AtomicUsize::new(SUBMITTERS));
        let start = |submitter| {
            let (queue, left) = (Arc::clone(queue), Arc::clone(&left));
            thread::spawn(move || {
                let refused = submit(&queue, submitter);
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    queue.set_abandoned(true);
                }
                refused
            })
        };
        (0..SUBMITTERS).map(start).collect()
    }

    /// Submits writes and returns those that were refused.
    fn submit_writes(queue: &Queue, submitter: usize) -> Vec<Label> {
        let labels = (0..OPERATIONS).map(|number| (submitter, number));
        labels.filter_map(|it| queue.push(set(it).0).err()).map(|it| label(&it)).collect()
    }

    fn assert_each_once_and_in_order(labels: &[Label]) {
        for submitter in 0..SUBMITTERS {
            let own = labels.iter().filter(|label| label.0 == submitter);
            let numbers: Vec<_> = own.map(|label| label.1).collect();
            assert_eq!(numbers, Vec::from_iter(0..OPERATIONS), "of submitter {submitter}");
        }
    }

    #[test]
    fn every_operation_is_taken_once_in_the_order_of_its_submitter() {
        explore(|| {
            let queue = Arc::new(Queue::default());
            let submitters = start_submitters(&queue, |queue, submitter| {
                for number in 0..OPERATIONS {
                    let (submission, answer) = set((submitter, number));
                    assert!(queue.push(submission).is_ok());
                    // The writer has to wake up for some operations without a later one.
                    if number != 0 {
                        answer.recv().expect("every operation is answered");
                    }
                }
                Vec::new()
            });
            let mut taken = Vec::new();
            while let Taken::Batch(batch) = queue.take(None) {
                taken.extend(batch.iter().map(label));
                queue.decide(&batch);
                batch.into_iter().for_each(|it| drop(it.waiter.answer(Ok(Answer::Done))));
            }
            for submitter in submitters {
                submitter.join().expect("no panic");
            }
            assert_each_once_and_in_order(&taken);
        });
    }

    #[test]
    fn a_write_is_undecided_from_its_submission_until_it_is_decided() {
        explore(|| {
            let queue = Arc::new(Queue::default());
            let deciding = Arc::new(AtomicBool::new(false));
            let submitter = thread::spawn({
                let (queue, deciding) = (Arc::clone(&queue), Arc::clone(&deciding));
                move || {
                    assert!(queue.push(set((0, 0)).0).is_ok());
                    assert!(queue.is_undecided(b"0") || deciding.load(Ordering::SeqCst));
                    assert!(queue.push(get(0)).is_ok());
                    queue.set_abandoned(true);
                }
            });
            while let Taken::Batch(batch) = queue.take(None) {
                for submission in &batch {
                    if submission.operation.is_write() {
                        assert!(queue.is_undecided(b"0"));
                    } else {
                        assert!(!submission.is_free() || deciding.load(Ordering::SeqCst));
                    }
                }
                deciding.store(true, Ordering::SeqCst);
                queue.decide(&batch);
            }
            submitter.join().expect("no panic");
            assert!(!queue.is_undecided(b"0"));
        });
    }

    #[test]
    fn a_free_read_wakes_a_writer_that_waits_for_a_lock() {
        explore(|| {
            let queue = Arc::new(Queue::default());
            let submitters = start_submitters(&queue, |queue, submitter| {
                let refused = submit_writes(queue, submitter);
                // Nobody writes this key.
                assert!(queue.push(get(SUBMITTERS)).is_ok());
                refused
            });
            let mut reads = 0;
            let mut writes = Vec::new();
            // In a build with shuttle no pause ends by itself.
            while reads < SUBMITTERS {
                queue.wait_for_free(Duration::ZERO);
                for submission in queue.take_arrived() {
                    match submission.is_free() {
                        true => reads += 1,
                        false => writes.push(label(&submission)),
                    }
                }
            }
            for submitter in submitters {
                submitter.join().expect("no panic");
            }
            assert_each_once_and_in_order(&writes);
        });
    }

    #[test]
    fn closing_hands_over_what_waits_and_refuses_what_comes_later() {
        explore(|| {
            let queue = Arc::new(Queue::default());
            let submitters = start_submitters(&queue, submit_writes);
            let Taken::Batch(batch) = queue.take(None) else {
                unreachable!("the submitters do not leave without a write");
            };
            let mut seen: Vec<Label> = batch.iter().map(label).collect();
            queue.close(|submission| seen.push(label(&submission)));
            for submitter in submitters {
                seen.extend(submitter.join().expect("no panic"));
            }
            assert_each_once_and_in_order(&seen);
        });
    }
}
