//! The answers of an event loop, worked off in steps so that the loop goes on in between.
//!
//! An event loop with answers has one inbox. Threads of the engine put answers in and wake the loop
//! once; from then on the inbox reschedules itself until it is empty. A step takes about a
//! millisecond. It resolves futures in the order of their answers, but for large dicts: these are
//! built one after the other, in what is left of each step, and none of them is kept for a future
//! that is done.
//!
//! Only the loop holds its inbox, as a scheduled callback. A loop that is closed drops it, and with
//! it the answers that it can no longer use.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aiokv::binding::Snapshot;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use crate::awaited::{Answered, Awaited};
use crate::dict_builder::{self, DictBuilder};
use crate::reply::Answer;

/// How long a step resolves futures.
const STEP: Duration = Duration::from_millis(1);

/// How long a step may go on with large dicts after that, so that small answers do not keep a large
/// one waiting for ever.
const EXTRA: Duration = Duration::from_micros(250);

/// How many waiting snapshots a step looks at, in order to drop those whose futures are done.
const LOOKS: usize = 64;

/// The inboxes by the addresses of their loops. An inbox keeps its loop, so the address is that of
/// no other loop while the inbox lives.
///
/// Locked only with the GIL. No Python code runs and no object is freed meanwhile, so the GIL stays
/// with the thread, and the thread never waits.
static INBOXES: LazyLock<Mutex<HashMap<usize, Weak<Inbox>>>> = LazyLock::new(Mutex::default);

/// The answers of one event loop.
struct Inbox {
    event_loop: Py<PyAny>,
    /// Locked under the same rule as `INBOXES`, after it.
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// Answers in the order in which they came.
    answers: VecDeque<Answered>,
    /// Snapshots of which large dicts are to be built, in the order in which they came.
    snapshots: VecDeque<(Awaited, Snapshot)>,
    /// Where the search for snapshots that are not needed goes on.
    looked_at: usize,
    /// The dict that is being built.
    building: Option<(Awaited, DictBuilder)>,
    /// Dicts of which a part was built when the future was done.
    discarded: Vec<Py<PyDict>>,
    /// Whether the last step was made. Further answers need another inbox.
    ended: bool,
}

/// Puts answers into the inboxes of their loops and wakes the loops that are not at work on them.
pub(crate) fn post(py: Python<'_>, answers: Vec<Answered>) {
    let mut started = Vec::new();
    for answered in answers {
        let event_loop = answered.awaited.event_loop.clone_ref(py);
        if let Err(answered) = put(&event_loop, answered) {
            let inbox = Arc::new(Inbox { event_loop, contents: Mutex::default() });
            inbox.contents().answers.push_back(answered);
            lock_inboxes().insert(inbox.address(), Arc::downgrade(&inbox));
            started.push(inbox);
        }
    }
    for inbox in started {
        let event_loop = inbox.event_loop.clone_ref(py);
        // A closed loop refuses, and the inbox is dropped. No coroutine waits there any more.
        let _ = Py::new(py, Steps(inbox)).and_then(|steps| {
            event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), (steps,))
        });
    }
}

/// Puts an answer into the inbox of its loop, or gives it back if there is none at work.
fn put(event_loop: &Py<PyAny>, answered: Answered) -> Result<(), Answered> {
    let inbox = lock_inboxes().get(&address(event_loop)).and_then(Weak::upgrade);
    let Some(inbox) = inbox else { return Err(answered) };
    let mut contents = inbox.contents();
    if contents.ended {
        return Err(answered);
    }
    contents.answers.push_back(answered);
    Ok(())
}

/// Whether a future needs no answer any more, for example because its task was cancelled.
fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(intern!(future.py(), "done"))?.is_truthy()
}

fn address(event_loop: &Py<PyAny>) -> usize {
    event_loop.as_ptr().addr()
}

fn lock_inboxes() -> MutexGuard<'static, HashMap<usize, Weak<Inbox>>> {
    INBOXES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    fn address(&self) -> usize {
        address(&self.event_loop)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works for about as long as a step may take.
    fn step(&self, py: Python<'_>) -> PyResult<()> {
        let start = Instant::now();
        let resolved = self.resolve_futures(py, start + STEP);
        let deadline = (start + STEP).max(Instant::now() + EXTRA);
        let built = self.build_dicts(py, deadline);
        resolved.and(built)
    }

    fn resolve_futures(&self, py: Python<'_>, deadline: Instant) -> PyResult<()> {
        let mut resolved = Ok(());
        loop {
            let Some(answered) = self.contents().answers.pop_front() else { break };
            // An error here is one of the event loop. The other futures do not wait for its cause.
            resolved = resolved.and(self.resolve(py, answered));
            if Instant::now() >= deadline {
                break;
            }
        }
        resolved
    }

    fn resolve(&self, py: Python<'_>, answered: Answered) -> PyResult<()> {
        if is_done(answered.awaited.future.bind(py))? {
            return Ok(());
        }
        match answered.convert(py) {
            (awaited, Answer::Value(value)) => awaited.resolve(py, value),
            (awaited, Answer::Dict(snapshot)) if dict_builder::is_little(&snapshot) => {
                let builder = DictBuilder::new(py, &awaited.codec, snapshot);
                self.build(py, awaited, builder, None)
            }
            (awaited, Answer::Dict(snapshot)) => {
                self.contents().snapshots.push_back((awaited, snapshot));
                Ok(())
            }
        }
    }

    fn build_dicts(&self, py: Python<'_>, deadline: Instant) -> PyResult<()> {
        self.drop_done(py)?;
        loop {
            if Instant::now() >= deadline || !self.empty_discarded(py, deadline)? {
                return Ok(());
            }
            let Some((awaited, builder)) = self.next_builder(py) else { return Ok(()) };
            if is_done(awaited.future.bind(py))? {
                self.contents().discarded.push(builder.dict(py));
            } else {
                self.build(py, awaited, builder, Some(deadline))?;
            }
        }
    }

    /// Works on a dict. Resolves the future if it is complete, keeps it otherwise.
    fn build(
        &self,
        py: Python<'_>,
        awaited: Awaited,
        mut builder: DictBuilder,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        match builder.step(py, deadline) {
            Ok(true) => awaited.resolve(py, Ok(builder.dict(py).into_any())),
            Ok(false) => {
                self.contents().building = Some((awaited, builder));
                Ok(())
            }
            Err(error) => awaited.resolve(py, Err(error)),
        }
    }

    fn next_builder(&self, py: Python<'_>) -> Option<(Awaited, DictBuilder)> {
        let mut contents = self.contents();
        if let Some(building) = contents.building.take() {
            return Some(building);
        }
        let (awaited, snapshot) = contents.snapshots.pop_front()?;
        drop(contents);
        let builder = DictBuilder::new(py, &awaited.codec, snapshot);
        Some((awaited, builder))
    }

    /// Drops some of the snapshots whose futures are done.
    fn drop_done(&self, py: Python<'_>) -> PyResult<()> {
        let future_at = |contents: &Contents, index: usize| {
            contents.snapshots.get(index).map(|(awaited, _)| awaited.future.clone_ref(py))
        };
        for _ in 0..LOOKS {
            let mut contents = self.contents();
            let index = contents.looked_at;
            let Some(future) = future_at(&contents, index) else {
                contents.looked_at = 0;
                break;
            };
            contents.looked_at += 1;
            drop(contents);
            if is_done(future.bind(py))? {
                self.drop_snapshot(index);
            }
        }
        Ok(())
    }

    fn drop_snapshot(&self, index: usize) {
        let mut contents = self.contents();
        contents.looked_at = index;
        let dropped = contents.snapshots.remove(index);
        drop(contents);
        if let Some((_awaited, snapshot)) = dropped {
            dict_builder::discard(snapshot);
        }
    }

    /// Frees dicts that are not needed, which takes as long as they are large. Returns whether none
    /// is left.
    fn empty_discarded(&self, py: Python<'_>, deadline: Instant) -> PyResult<bool> {
        loop {
            let Some(dict) = self.contents().discarded.pop() else { return Ok(true) };
            if !dict_builder::empty(dict.bind(py), deadline)? {
                self.contents().discarded.push(dict);
                return Ok(false);
            }
        }
    }

    /// Ends the inbox if nothing is left in it. Returns whether it ended.
    fn end(&self) -> bool {
        let mut contents = self.contents();
        contents.ended = contents.is_empty();
        contents.ended
    }
}

impl Contents {
    fn is_empty(&self) -> bool {
        self.answers.is_empty()
            && self.snapshots.is_empty()
            && self.building.is_none()
            && self.discarded.is_empty()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut inboxes = lock_inboxes();
        // The loop may have another inbox by now.
        if inboxes.get(&self.address()).is_some_and(|inbox| inbox.strong_count() == 0) {
            inboxes.remove(&self.address());
        }
    }
}

/// What the loop calls to make one step.
#[pyclass(frozen, module = "aiokv._aiokv")]
struct Steps(Arc<Inbox>);

#[pymethods]
impl Steps {
    fn __call__(steps: &Bound<'_, Self>) -> PyResult<()> {
        let py = steps.py();
        let inbox = &steps.get().0;
        let made = inbox.step(py);
        if !inbox.end() {
            inbox.event_loop.call_method1(py, intern!(py, "call_soon"), (steps,))?;
        }
        made
    }

    // A loop that is dropped without being closed is a circle of the loop, its callback and this.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.event_loop)?;
        let Ok(contents) = self.0.contents.try_lock() else { return Ok(()) };
        let waiting = contents.answers.iter().map(|answered| &answered.awaited);
        let waiting = waiting.chain(contents.snapshots.iter().map(|(awaited, _)| awaited));
        let waiting = waiting.chain(contents.building.iter().map(|(awaited, _)| awaited));
        for awaited in waiting {
            awaited.traverse(&visit)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let contents = std::mem::take(&mut *self.0.contents());
        drop(contents);
    }
}
