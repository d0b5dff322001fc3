//! The store as Python sees it: arguments in, values or futures out.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use aiokv::binding::{Change, Entry, Operation, Write, decode_string};
use aiokv::{AioKv, Journal, Options};
use pyo3::exceptions::{
    PyException, PyOverflowError, PyTypeError, PyUnicodeEncodeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use crate::answer::submit;
use crate::decode::decode;
use crate::encode::{encode, encode_string};

/// The native half of `AioKV`. Every method returns at once: a value, or an asyncio future. So does
/// the drop of a store: threads of the engine free the state and close the files.
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
        journal_threshold: &Bound<'_, PyInt>,
        checkpoint_pace: &Bound<'_, PyInt>,
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
                let operation = Operation::Read(Box::new([(*key).into()]));
                let future = submit(py, &self.0, operation, Some(default))?;
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
        self.write(key.py(), Change::Set(Entry::new(&key_text, &value_text)))
    }

    /// A future of None.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let change = Change::Delete((*key_bytes(key)?).into());
        self.write(key.py(), change)
    }

    /// A future of the dict.
    fn get_all(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        submit(py, &self.0, Operation::ReadPrefix(Box::default()), None)
    }

    /// A future of None.
    fn clear(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        submit(py, &self.0, Operation::Clear, None)
    }

    /// A future of None.
    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        submit(py, &self.0, Operation::Close, None)
    }
}

impl Store {
    fn write(&self, py: Python<'_>, change: Change) -> PyResult<Py<PyAny>> {
        let operation = Operation::Write(Box::new([Write::unconditional(change)]));
        submit(py, &self.0, operation, None)
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
