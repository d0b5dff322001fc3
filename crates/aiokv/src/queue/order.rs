//! The queue between the threads that start operations and the writer that carries them out.
//!
//! The queue gives the order: an operation takes effect in the order in which it was submitted.
//! It knows which keys have a write that is not decided yet, so that a read of any other key need
//! not wait. And it knows whether its writer is at work or on the list of the pool, so that exactly
//! one thread serves it whenever something waits.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::operation::{Operation, Outcome};
use super::submission::{self, Submission};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard};
use crate::error::Error;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// The number of undecided writes, for a look without the lock.
    undecided: AtomicUsize,
    hasher: RandomState,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Submission>,
    /// How many undecided writes there are for the keys with this hash. Two keys with the same
    /// hash only make a read wait that need not.
    keys: HashMap<u64, usize, RandomState>,
    /// How many undecided writes change every key.
    everything: usize,
    /// How many operations are not answered yet.
    unanswered: usize,
    /// The writer is at work, or on the list of those who are about to be.
    active: bool,
}

impl Queue {
    /// Adds an operation. Says whether the writer has to be put to work.
    pub(crate) fn push(&self, mut submission: Submission) -> bool {
        let mut inner = self.lock();
        submission.after_write = match &submission.operation {
            Operation::Read(keys) => {
                inner.everything > 0 || keys.iter().any(|key| inner.is_undecided(self.hash(key)))
            }
            _ => self.undecided.load(Ordering::Relaxed) > 0,
        };
        match &submission.operation {
            Operation::Write(writes) => {
                for write in writes {
                    *inner.keys.entry(self.hash(&write.key())).or_default() += 1;
                }
            }
            Operation::DeletePrefix { .. } | Operation::Clear => inner.everything += 1,
            _ => {}
        }
        if submission.operation.is_write() {
            self.undecided.fetch_add(1, Ordering::Release);
        }
        inner.unanswered += 1;
        inner.waiting.push(submission);
        !std::mem::replace(&mut inner.active, true)
    }

    /// Whether a write that is not decided yet may change this key.
    pub(crate) fn is_undecided(&self, key: &[u8]) -> bool {
        self.undecided.load(Ordering::Acquire) > 0 && self.lock().is_undecided(self.hash(key))
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Vec<Submission> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Gives the answers of a batch, in the order of its operations. Reads that start from now on
    /// need not wait for its writes.
    pub(crate) fn answer(&self, batch: Vec<Submission>, answers: Vec<Result<Outcome, Error>>) {
        if batch.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.unanswered -= batch.len();
        for Submission { operation, .. } in &batch {
            match operation {
                Operation::Write(writes) => {
                    for write in writes {
                        inner.decide(self.hash(&write.key()));
                    }
                }
                Operation::DeletePrefix { .. } | Operation::Clear => inner.everything -= 1,
                _ => continue,
            }
            self.undecided.fetch_sub(1, Ordering::Release);
        }
        drop(inner);
        submission::answer(batch, answers);
    }

    /// Lets the writer rest, unless something has arrived. Says whether it may.
    pub(crate) fn rest(&self) -> bool {
        let mut inner = self.lock();
        inner.active = !inner.waiting.is_empty();
        !inner.active
    }

    /// Puts a writer to work that rests. Says whether it did.
    pub(crate) fn activate(&self) -> bool {
        !std::mem::replace(&mut self.lock().active, true)
    }

    /// Whether every operation was answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.lock().unanswered == 0
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the queue is locked")
    }
}

impl Inner {
    fn is_undecided(&self, hash: u64) -> bool {
        self.everything > 0 || self.keys.contains_key(&hash)
    }

    fn decide(&mut self, hash: u64) {
        let count = self.keys.get_mut(&hash).expect("counted when it was pushed");
        *count -= 1;
        if *count == 0 {
            self.keys.remove(&hash);
        }
    }
}

/// Each test runs under many schedules.
///
/// `RUSTFLAGS="--cfg shuttle" cargo test -p aiokv --lib --target-dir target/shuttle queue`
#[cfg(all(test, shuttle))]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use shuttle::sync::mpsc;
    use shuttle::thread;

    use super::super::operation::{Change, Write};
    use super::super::submission::{Waiter, Wake};
    use super::*;
    use crate::json::Entry;

    const SUBMITTERS: usize = 3;
    /// How many operations each of them submits.
    const OPERATIONS: usize = 3;

    fn explore(test: fn()) {
        shuttle::check_random(test, 1_000);
        shuttle::check_pct(test, 1_000, 3);
    }

    /// Says which operation of which submitter was answered.
    type Label = (usize, usize);

    struct Submitter(mpsc::Sender<Label>, Label);

    impl Waiter for Submitter {
        fn answer(self: Box<Self>, _answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
            let _ = self.0.send(self.1);
            None
        }
    }

    fn key(submitter: usize) -> String {
        submitter.to_string()
    }

    fn submission(label: Label, operation: Operation, to: &mpsc::Sender<Label>) -> Submission {
        let waiter = Box::new(Submitter(to.clone(), label));
        Submission::new(operation, waiter, Arc::default(), Instant::now())
    }

    fn set((submitter, number): Label) -> Operation {
        let entry = Entry::new(&format!("\"{}\"", key(submitter)), &number.to_string());
        Operation::Write([Write::unconditional(Change::Set(entry))].into())
    }

    fn get(submitter: usize) -> Operation {
        Operation::Read([key(submitter).into_bytes().into_boxed_slice()].into())
    }

    /// What the pool does: serves the queue whenever it was told to, on one of two threads.
    fn serve(queue: &Queue, put_to_work: &shuttle::sync::Mutex<mpsc::Receiver<()>>) {
        loop {
            // The lock is released before the work: both threads may be at work.
            let told = put_to_work.lock().expect("no panic").recv();
            if told.is_err() {
                return;
            }
            loop {
                let batch = queue.take();
                for Submission { operation, after_write, .. } in &batch {
                    match operation {
                        Operation::Write(writes) => {
                            assert!(queue.is_undecided(&writes[0].key()));
                        }
                        // No operation writes this key.
                        _ => assert!(!after_write),
                    }
                }
                let answers = batch.iter().map(|_| Ok(Outcome::Done)).collect();
                queue.answer(batch, answers);
                if queue.rest() {
                    break;
                }
            }
        }
    }

    #[test]
    fn every_operation_is_answered_once_in_the_order_of_its_submitter() {
        explore(|| {
            let queue = Arc::new(Queue::default());
            let (tell, told) = mpsc::channel();
            let told = Arc::new(shuttle::sync::Mutex::new(told));
            let pool: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, told) = (Arc::clone(&queue), Arc::clone(&told));
                    thread::spawn(move || serve(&queue, &told))
                })
                .collect();
            let (sender, answers) = mpsc::channel();
            let submitters: Vec<_> = (0..SUBMITTERS)
                .map(|submitter| {
                    let (queue, tell, sender) = (Arc::clone(&queue), tell.clone(), sender.clone());
                    thread::spawn(move || {
                        for number in 0..OPERATIONS {
                            let label = (submitter, number);
                            let operation = match number {
                                1 => get(SUBMITTERS),
                                _ => set(label),
                            };
                            if queue.push(submission(label, operation, &sender)) {
                                tell.send(()).expect("the pool is there");
                            }
                        }
                    })
                })
                .collect();
            drop((tell, sender));
            let answered: Vec<_> = answers.iter().collect();
            for thread in submitters.into_iter().chain(pool) {
                thread.join().expect("no panic");
            }
            for submitter in 0..SUBMITTERS {
                let own = answered.iter().filter(|label| label.0 == submitter);
                let numbers: Vec<_> = own.map(|label| label.1).collect();
                assert_eq!(numbers, Vec::from_iter(0..OPERATIONS), "of submitter {submitter}");
            }
            assert!(queue.is_answered());
            assert!(
                (0..SUBMITTERS).all(|submitter| !queue.is_undecided(key(submitter).as_bytes()))
            );
        });
    }
}
