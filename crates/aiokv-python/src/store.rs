//! The store as Python sees it: arguments in, values or futures out.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use aiokv::{AioKv, Entry, Journal, Operation, Options, decode_string};
use pyo3::exceptions::{PyException, PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::answer::Awaited;
use crate::decode::decode;
use crate::encode::{encode, encode_string};
use crate::error::exception;
use crate::thread_state;

/// The native half of `AioKV`. Every method returns at once: a value, or an asyncio future.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Store(AioKv);

pyo3::create_exception!(
    aiokv._aiokv,
    Pending,
    PyException,
    "Raised by `Store.get` when it has to wait, with the asyncio future of the value. An exception, \
     because not raising one costs nothing."
);

#[pymethods]
impl Store {
    #[new]
    fn new(
        path: PathBuf,
        fsync: bool,
        lock_timeout: f64,
        journal: &str,
        journal_threshold: i64,
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
        let journal_threshold = u64::try_from(journal_threshold).map_err(|_| {
            let message =
                format!("journal_threshold is a number of bytes, not {journal_threshold}");
            PyValueError::new_err(message)
        })?;
        let options = Options::default()
            .fsync(fsync)
            .lock_timeout(lock_timeout)
            .journal(journal)
            .journal_threshold(journal_threshold);
        let store = AioKv::with_options(path, options);
        store.map(Self).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The absolute path of the file.
    #[getter]
    fn path(&self) -> &OsStr {
        self.0.path().as_os_str()
    }

    /// The value of a key, or `default`; raises `Pending` if it has to wait for it.
    fn get(&self, key: &Bound<'_, PyAny>, default: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let key = key_bytes(key)?;
        match self.0.get_now(&key) {
            Some(Some(entry)) => decode(py, entry.value_text()).map(Bound::unbind),
            Some(None) => Ok(default),
            None => {
                let future = self.ask(py, Operation::Get((*key).into()), Some(default))?;
                Err(Pending::new_err(future))
            }
        }
    }

    /// A future of None.
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let mut key_text = String::new();
        encode_string(key_string(key)?, &mut key_text)?;
        let mut value_text = String::new();
        encode(value, &mut value_text)?;
        self.ask(key.py(), Operation::Set(Entry::new(&key_text, &value_text)), None)
    }

    /// A future of None.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let operation = Operation::Delete((*key_bytes(key)?).into());
        self.ask(key.py(), operation, None)
    }

    /// A future of a `ViewBuilder`.
    fn get_all(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::GetAll, None)
    }

    /// A future of None.
    fn clear(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Clear, None)
    }

    /// A future of None, resolved when every operation started before is decided.
    fn settle(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Operation::Settle, None)
    }

    /// Lets go of the file. The next operation opens it again.
    fn let_go(&self) {
        self.0.let_go();
    }
}

impl Store {
    fn ask(
        &self,
        py: Python<'_>,
        operation: Operation,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let awaited = Awaited::new(py, default)?;
        let future = awaited.future(py);
        let submitted = self.0.submit(operation, Box::new(awaited));
        submitted.map(|()| future).map_err(|error| exception(py, &error))
    }
}

/// Waits, at the end of the interpreter, until every operation that was started is decided.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>) {
    py.detach(|| {
        aiokv::settle_all();
        thread_state::interpreter_ends();
    });
}

fn key_string<'key, 'py>(key: &'key Bound<'py, PyAny>) -> PyResult<&'key Bound<'py, PyString>> {
    key.cast::<PyString>().map_err(|_| {
        let message = match key.get_type().name() {
            Ok(name) => format!(
                "a key must be a str, not {name}: convert it, as in `str(message.id)`, \
                 for writing and for reading"
            ),
            Err(error) => return error,
        };
        PyTypeError::new_err(message)
    })
}

/// The key in UTF-8, where it stands, or, with lone surrogates, as the engine spells them.
fn key_bytes<'key>(key: &'key Bound<'_, PyAny>) -> PyResult<Cow<'key, [u8]>> {
    let key = key_string(key)?;
    match key.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text.as_bytes())),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(key.py()) => {
            let mut text = String::new();
            encode_string(key, &mut text)?;
            Ok(Cow::Owned(decode_string(&text).into_owned()))
        }
        Err(error) => Err(error),
    }
}
