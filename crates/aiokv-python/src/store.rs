//! The store as Python sees it: arguments in, values or futures out.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use aiokv::binding::{self, Change, Condition, Entry, Key, Operation, Outcome, Write};
use aiokv::{AioKv, Journal, Options};
use pyo3::exceptions::{PyException, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use pyo3::{PyTraverseError, PyVisit};

use crate::ask::{carry_out, done, on_thread, submit};
use crate::codec::Codec;
use crate::found::{Found, Listing, guarded};
use crate::reply::Reply;
use crate::thread_state::without_gil;
use crate::watch;

/// The native half of `AioKV` and of `KV`. Every method returns at once: a value, or an asyncio
/// future. So does the drop of a store: threads of the engine free the state and close the files.
///
/// The store of a `KV` carries operations out while the thread waits without the GIL, and returns
/// something that is done when it is awaited.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Store {
    engine: AioKv,
    codec: Py<Codec>,
    is_blocking: bool,
}

pyo3::create_exception!(
    aiokv._aiokv,
    Pending,
    PyException,
    "Raised by `Store.get` when it has to wait, with the asyncio future of the value. An exception, \
     because not raising one costs nothing."
);

/// What a value is called in messages.
const VALUE: &str = "$";

#[pymethods]
impl Store {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "they are those of `AioKV`")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        fsync: bool,
        lock_timeout: f64,
        journal: &str,
        journal_threshold: &Bound<'_, PyInt>,
        checkpoint_pace: &Bound<'_, PyInt>,
        default: Option<Py<PyAny>>,
        object_hook: Option<Py<PyAny>>,
        is_blocking: bool,
    ) -> PyResult<Self> {
        let lock_timeout = Duration::try_from_secs_f64(lock_timeout).map_err(|error| {
            PyValueError::new_err(format!("lock_timeout is a number of seconds: {error}"))
        })?;
        let journal = match journal {
            "auto" => Journal::Auto,
            "always" => Journal::Always,
            "never" => Journal::Never,
            other => {
                let message = format!("journal is 'auto', 'always' or 'never', not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let options = Options::default()
            .fsync(fsync)
            .lock_timeout(lock_timeout)
            .journal(journal)
            .journal_threshold(bytes("journal_threshold", "bytes", journal_threshold)?)
            .checkpoint_pace(bytes("checkpoint_pace", "bytes per second", checkpoint_pace)?);
        let engine = AioKv::with_options(path, options)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let codec = Py::new(py, Codec::new(default, object_hook))?;
        Ok(Self { engine, codec, is_blocking })
    }

    /// The absolute path of the file.
    #[getter]
    fn path(&self) -> &OsStr {
        self.engine.path().as_os_str()
    }

    /// What every key of this store starts with in the file.
    #[getter]
    fn prefix<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.codec.get().prefix(py)
    }

    /// The store of the keys below `part:`.
    fn namespace(&self, part: &Bound<'_, PyString>) -> PyResult<Self> {
        let codec = Py::new(part.py(), self.codec.get().below(part)?)?;
        Ok(Self { engine: self.engine.clone(), codec, is_blocking: self.is_blocking })
    }

    /// The value of a key, or `default`; raises `Pending` if it has to wait for it.
    fn get(&self, key: &Bound<'_, PyAny>, default: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let codec = self.codec.get();
        let key = codec.key(key)?;
        match self.engine.get_now(&key) {
            Some(Some(entry)) => codec.value(py, &entry).map(Bound::unbind),
            Some(None) => Ok(default),
            None => {
                let future = self.read(py, key.into_owned().into(), Reply::Value(default))?;
                Err(Pending::new_err(future))
            }
        }
    }

    /// What is under a key, or None if that cannot be said without waiting.
    fn peek(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
        let codec = self.codec.clone_ref(key.py());
        let key = codec.get().key(key)?;
        Ok(self.engine.get_now(&key).map(|entry| Found { codec, entry }))
    }

    /// A future of what is under a key.
    fn find(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.read(key.py(), self.codec.get().owned_key(key)?, Reply::Found)
    }

    /// A future of None.
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let change = Change::Set(self.codec.get().entry(key, value, VALUE)?);
        self.write(key.py(), Write::unconditional(change), Reply::Nothing)
    }

    /// A future of None.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let change = Change::Delete(self.codec.get().owned_key(key)?);
        self.write(key.py(), Write::unconditional(change), Reply::Nothing)
    }

    /// A future of whether there was no value, so that this one was set.
    fn add(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.write_if_absent(key, value, Reply::Met)
    }

    /// A future of the value that was there or, if there was none, was set.
    fn setdefault(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.write_if_absent(key, value, Reply::Either)
    }

    /// A future of the value that was deleted, or of `default`.
    fn pop(&self, key: &Bound<'_, PyAny>, default: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let change = Change::Delete(self.codec.get().owned_key(key)?);
        self.write(key.py(), Write::unconditional(change), Reply::Before(default))
    }

    /// A future of the sum. Both `by` and `initial` must be numbers.
    fn increment(
        &self,
        key: &Bound<'_, PyAny>,
        by: &Bound<'_, PyAny>,
        initial: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let codec = self.codec.get();
        let amount = codec.entry(key, by, "by")?;
        let initial = codec.entry(key, initial, "default")?.value_text().into();
        let change = Change::Add { amount, initial };
        self.write(key.py(), Write::unconditional(change), Reply::After)
    }

    /// A value as it would be under a key.
    fn encode(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Found> {
        let entry = Some(self.codec.get().entry(key, value, VALUE)?);
        Ok(Found { codec: self.codec.clone_ref(key.py()), entry })
    }

    /// What is under a key that is deleted.
    fn nothing(&self, py: Python<'_>) -> Found {
        Found { codec: self.codec.clone_ref(py), entry: None }
    }

    /// A future of None if `found` was still there, so that `new` is now; otherwise of what is
    /// there. Without `new`, changes nothing.
    fn replace(
        &self,
        key: &Bound<'_, PyAny>,
        found: &Found,
        new: Option<&Found>,
    ) -> PyResult<Py<PyAny>> {
        let change = match new {
            Some(new) => self.change(key, new)?,
            None => Change::Keep(self.codec.get().owned_key(key)?),
        };
        self.write(key.py(), guarded(Some(found), change), Reply::Unmet)
    }

    /// How many seconds to wait for a use, and what then has to be stored, if anything.
    fn cooldown(
        &self,
        key: &Bound<'_, PyAny>,
        found: &Found,
        now: f64,
        seconds: f64,
        uses: usize,
    ) -> PyResult<(f64, Option<Found>)> {
        let py = key.py();
        let Some((wait, text)) = binding::cooldown(found.text(), now, seconds, uses) else {
            return Err(found.no_time(py, "a time, or a list of times,"));
        };
        let key_text = self.codec.get().key_text(key)?;
        let entry = |text: String| Some(Entry::new(&key_text, &text));
        let codec = || self.codec.clone_ref(py);
        Ok((wait, text.map(|text| Found { codec: codec(), entry: entry(text) })))
    }

    /// A future of None.
    fn set_many(&self, values: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        let mut writes = Vec::with_capacity(values.len());
        // A copy: what is encoded may run Python code.
        for item in values.items() {
            let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let place = format!("the value of {}: {VALUE}", key.repr()?);
            let entry = self.codec.get().entry(&key, &value, &place)?;
            writes.push(Write::unconditional(Change::Set(entry)));
        }
        self.ask(values.py(), Operation::Write(writes.into()), Reply::Nothing)
    }

    /// A future of the entries of those keys that are there.
    fn get_many(&self, py: Python<'_>, keys: Vec<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Read(self.keys_of(&keys)?), Reply::Entries)
    }

    /// A future of how many of the keys were there.
    fn delete_many(&self, py: Python<'_>, keys: Vec<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let keys = self.keys_of(&keys)?.into_iter();
        let writes = keys.map(|key| Write::unconditional(Change::Delete(key))).collect();
        self.ask(py, Operation::Write(writes), Reply::Deleted)
    }

    /// A future of what is under some keys, and of the keys that start with some prefixes.
    fn survey(
        &self,
        py: Python<'_>,
        keys: Vec<Bound<'_, PyAny>>,
        prefixes: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (keys, prefixes) = (self.keys_of(&keys)?, self.keys_of(&prefixes)?);
        self.ask(py, Operation::Survey { keys, prefixes }, Reply::Survey)
    }

    /// A future of whether what was read and listed was still there, so that what was written is
    /// now.
    fn commit(
        &self,
        read: &Bound<'_, PyDict>,
        listed: &Bound<'_, PyDict>,
        written: &Bound<'_, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let mut writes = Vec::new();
        for (prefix, listing) in listed {
            let condition = Condition::Lists(listing.cast::<Listing>()?.get().snapshot.clone());
            let change = Change::Keep(self.codec.get().owned_key(&prefix)?);
            writes.push(Write { condition, change });
        }
        // All that was read before all that is written, because each condition is evaluated on
        // what the writes before it left.
        for (key, found) in read {
            let change = Change::Keep(self.codec.get().owned_key(&key)?);
            writes.push(guarded(Some(found.cast::<Found>()?.get()), change));
        }
        for (key, new) in written {
            let change = self.change(&key, new.cast::<Found>()?.get())?;
            writes.push(guarded(None, change));
        }
        self.ask(read.py(), Operation::Write(writes.into()), Reply::Met)
    }

    /// A future of the dict.
    fn get_all(&self, prefix: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.read_prefix(prefix, Reply::Dict)
    }

    /// A future of the entries.
    fn entries(&self, prefix: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.read_prefix(prefix, Reply::Entries)
    }

    /// A future of the number of keys.
    fn count(&self, prefix: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.read_prefix(prefix, Reply::Count)
    }

    /// A future of how many keys were deleted.
    fn delete_prefix(
        &self,
        prefix: &Bound<'_, PyAny>,
        older_than: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let py = prefix.py();
        let prefix = self.codec.get().owned_key(prefix)?;
        self.ask(py, Operation::DeletePrefix { prefix, older_than }, Reply::Deleted)
    }

    /// A future of None.
    fn clear(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Clear, Reply::Nothing)
    }

    /// A future of None.
    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Close, Reply::Nothing)
    }

    /// A future of a `Watcher`.
    fn watch(&self, prefix: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = prefix.py();
        let prefix = self.codec.get().owned_key(prefix)?;
        watch::watch(py, &self.engine, &self.codec, prefix, self.is_blocking)
    }

    /// A future of None.
    fn backup(&self, py: Python<'_>, path: PathBuf) -> PyResult<Py<PyAny>> {
        let store = aiokv::blocking::AioKv::from(self.engine.clone());
        let back_up = move || store.backup(path).map(|()| Outcome::Done);
        if self.is_blocking {
            let answer = without_gil(py, back_up);
            return done(py, &self.codec, &Reply::Nothing, answer);
        }
        on_thread(py, &self.codec, Reply::Nothing, back_up)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.codec)
    }
}

impl Store {
    fn ask(&self, py: Python<'_>, operation: Operation, reply: Reply) -> PyResult<Py<PyAny>> {
        match self.is_blocking {
            true => carry_out(py, &self.engine, operation, &self.codec, &reply),
            false => submit(py, &self.engine, operation, &self.codec, reply),
        }
    }

    fn read(&self, py: Python<'_>, key: Key, reply: Reply) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Read([key].into()), reply)
    }

    fn read_prefix(&self, prefix: &Bound<'_, PyAny>, reply: Reply) -> PyResult<Py<PyAny>> {
        let operation = Operation::ReadPrefix(self.codec.get().owned_key(prefix)?);
        self.ask(prefix.py(), operation, reply)
    }

    fn write(&self, py: Python<'_>, write: Write, reply: Reply) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Write([write].into()), reply)
    }

    fn write_if_absent(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        reply: Reply,
    ) -> PyResult<Py<PyAny>> {
        let change = Change::Set(self.codec.get().entry(key, value, VALUE)?);
        self.write(key.py(), Write { condition: Condition::Absent, change }, reply)
    }

    /// The change after which `new` is there.
    fn change(&self, key: &Bound<'_, PyAny>, new: &Found) -> PyResult<Change> {
        match &new.entry {
            Some(entry) => Ok(Change::Set(entry.clone())),
            None => self.codec.get().owned_key(key).map(Change::Delete),
        }
    }

    fn keys_of(&self, keys: &[Bound<'_, PyAny>]) -> PyResult<Box<[Key]>> {
        keys.iter().map(|key| self.codec.get().owned_key(key)).collect()
    }
}

/// A number of bytes that an option gives. A number beyond 64 bits is as good as the largest.
fn bytes(option: &str, unit: &str, number: &Bound<'_, PyInt>) -> PyResult<u64> {
    match number.extract::<u64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(number.py()) => {
            if number.lt(0)? {
                let message = format!("{option} is a number of {unit}, not {number}");
                return Err(PyValueError::new_err(message));
            }
            Ok(u64::MAX)
        }
        extracted => extracted,
    }
}
