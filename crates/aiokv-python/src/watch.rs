//! Watching a store from Python.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};

use aiokv::binding::{Key, Outcome, Waiter};
use aiokv::{AioKv, Error, Watch};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::ask::{done, on_thread};
use crate::awaited::Awaited;
use crate::caller::{Caller, receive};
use crate::codec::Codec;
use crate::disposal::dispose;
use crate::reply::Reply;
use crate::thread_state::without_gil;

/// Begins to watch. Returns an asyncio future of a `Watcher`, or, if `is_blocking`, something that
/// is done.
pub(crate) fn watch(
    py: Python<'_>,
    store: &AioKv,
    codec: &Py<Codec>,
    prefix: Key,
    is_blocking: bool,
) -> PyResult<Py<PyAny>> {
    // Where the thread puts the watch that it opened.
    let opened = Arc::<Mutex<Option<Watch>>>::default();
    let open = {
        let (store, opened) = (store.clone(), Arc::clone(&opened));
        move || {
            let watch = store.watch_here(prefix)?;
            *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
            Ok(Outcome::Done)
        }
    };
    let reply = Reply::Made(Box::new(move |py, codec| {
        let watch = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        Py::new(py, Watcher::new(codec.clone_ref(py), watch)).map(Py::into_any)
    }));
    if is_blocking {
        let answer = without_gil(py, open);
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
    fn new(codec: Py<Codec>, watch: Option<Watch>) -> Self {
        Self { codec, watch: Mutex::new(watch), awaited: Mutex::default() }
    }

    /// Answers with the next changes, which may be there already: so without the GIL.
    fn answer(&self, py: Python<'_>, waiter: impl Waiter + 'static) -> PyResult<()> {
        let answer = || {
            let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.as_ref().map(|watch| watch.next_changes(Box::new(waiter)))
        };
        without_gil(py, answer).ok_or_else(|| PyRuntimeError::new_err("nothing is watched"))
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
