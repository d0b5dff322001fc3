//! The conductor as one process has it: before every call the process waits for its turn, and
//! learns what becomes of the call.

use std::fmt;
use std::sync::Arc;
use std::thread;

use crate::support::simulated_disk::{Call, Director, Verdict};

use super::conductor::Conductor;

pub(crate) struct Baton {
    pub(crate) conductor: Arc<Conductor>,
    pub(crate) seat: usize,
    pub(crate) traced: bool,
}

impl Director for Baton {
    fn before(&self, call: &Call<'_>) -> Verdict {
        // What is dropped on the way out has no effect any more.
        if thread::panicking() { Verdict::Gone } else { self.conductor.before(self.seat, call) }
    }

    fn is_curious(&self) -> bool {
        self.traced
    }

    fn after(&self, call: &Call<'_>, outcome: &dyn fmt::Debug) {
        self.conductor.after(call, outcome);
    }
}
