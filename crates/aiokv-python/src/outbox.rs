//! How the answers of a batch get from a thread of the engine to the event loops that wait.
//!
//! The thread collects them in the outbox. It then takes the GIL once for all of them, and puts each
//! into the inbox of its event loop; see [`crate::inbox`].

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aiokv::Error;
use aiokv::binding::{Outcome, Waiter, Wake};
use pyo3::prelude::*;

use crate::awaited::{Answered, Awaited};
use crate::inbox;
use crate::thread_state::{self, while_running};

impl Waiter for Awaited {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        static WAKE: LazyLock<Arc<dyn Wake>> = LazyLock::new(|| Arc::new(WakeLoops));
        outbox().push(Answered { awaited: *self, answer });
        Some(Arc::clone(&WAKE))
    }
}

/// The answers that are in no inbox yet.
static OUTBOX: Mutex<Vec<Answered>> = Mutex::new(Vec::new());

fn outbox() -> MutexGuard<'static, Vec<Answered>> {
    OUTBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the answers without freeing what they hold, which belongs to another process.
pub(crate) fn forget() {
    std::mem::forget(std::mem::take(&mut *outbox()));
}

/// Puts the answers of the outbox into the inboxes of their event loops.
pub(crate) fn wake_loops(py: Python<'_>) {
    let answers = std::mem::take(&mut *outbox());
    inbox::post(py, answers);
}

/// Wakes the event loops from a thread of the engine.
struct WakeLoops;

impl Wake for WakeLoops {
    fn wake(&self) {
        // When the interpreter is ending, the answers stay in the outbox.
        while_running(|| {
            thread_state::keep();
            Python::attach(wake_loops);
        });
    }
}
