//! Watching a store from Python.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};

use aiokv::binding::{Key, Outcome, Waiter};
use aiokv::{AioKv, Error, Watch};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::answer::{Awaited, done, on_thread};
use crate::codec::Codec;
use crate::disposal::dispose;
use crate::exit::{Caller, receive};
use crate::reply::{Reply, Watched};

/// Begins to watch. Returns an asyncio future of a `Watcher`, or, if `is_blocking`, something that
/// is done.
pub(crate) fn watch(
    py: Python<'_>,
    store: &AioKv,
    codec: &Py<Codec>,
    prefix: Key,
    is_blocking: bool,
) -> PyResult<Py<PyAny>> {
    let watched = Arc::<Watched>::default();
    let reply = Reply::Watcher(Arc::clone(&watched));
    let store = store.clone();
    let open = move || {
        let watch = store.watch_here(prefix)?;
        *watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        Ok(Outcome::Done)
    };
    if is_blocking {
        let answer = py.detach(open);
        return done(py, codec, &reply, answer);
    }
    on_thread(py, codec, reply, open)
}

/// Tells what changes.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Watcher {
    codec: Py<Codec>,
    /// `None` if it could not be opened, and while this is dropped. Locked only without the GIL.
    watch: Mutex<Option<Watch>>,
    /// What `next_here` waits for.
    awaited: Mutex<Option<Arc<Mutex<Answers>>>>,
}

type Answers = Receiver<Result<Outcome, Error>>;

impl Watcher {
    pub(crate) fn new(codec: Py<Codec>, watch: Option<Watch>) -> Self {
        Self { codec, watch: Mutex::new(watch), awaited: Mutex::default() }
    }

    /// Answers with the next changes, which may be there already: so without the GIL.
    fn answer(&self, py: Python<'_>, waiter: impl Waiter + 'static) -> PyResult<()> {
        let answer = || {
            let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.as_ref().map(|watch| watch.next_changes(Box::new(waiter)))
        };
        py.detach(answer).ok_or_else(|| PyRuntimeError::new_err("nothing is watched"))
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, Option<Arc<Mutex<Answers>>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Watcher {
    /// A future of the next `Changes`. One at a time.
    fn next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let awaited = Awaited::new(py, &self.codec, Reply::Changes)?;
        let future = awaited.future.clone_ref(py);
        self.answer(py, awaited)?;
        Ok(future)
    }

    /// Waits for the next `Changes`, with the GIL released.
    fn next_here(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let waiting = self.awaited().clone();
        let receiver = match waiting {
            Some(receiver) => receiver,
            None => {
                let (sender, receiver) = mpsc::channel();
                self.answer(py, Caller(sender))?;
                let receiver = Arc::new(Mutex::new(receiver));
                *self.awaited() = Some(Arc::clone(&receiver));
                receiver
            }
        };
        let answer = loop {
            if let Some(answer) = receive(py, &receiver)? {
                break answer;
            }
        };
        *self.awaited() = None;
        done(py, &self.codec, &Reply::Changes, answer)
    }
}

impl Drop for Watcher {
    /// Closing what notifies takes system calls, which an event loop is not to make.
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get_mut().ok().and_then(Option::take) {
            dispose(watch);
        }
    }
}
