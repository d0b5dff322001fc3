//! A few threads that stand for processes, one run after another.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::schedule::SEATS;

type Job = Box<dyn FnOnce() + Send>;

/// One thread for each seat. They end with the crew.
pub(crate) struct Crew(Vec<Sender<Job>>);

impl Crew {
    pub(crate) fn new() -> Self {
        let hire = |_| {
            let (sender, jobs) = channel::<Job>();
            thread::spawn(move || jobs.into_iter().for_each(|job| job()));
            sender
        };
        Self((0..SEATS).map(hire).collect())
    }

    /// Lets the thread of a seat do something. A job catches its panics.
    pub(crate) fn send(&self, seat: usize, job: Job) {
        self.0[seat].send(job).expect("the thread outlives its jobs");
    }
}
