//! What a store makes of text, and text of what it is given: its prefix, `default` and
//! `object_hook`.

use std::borrow::Cow;

use aiokv::binding::{Entry, Key, decode_string};
use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};

use crate::decode::decode;
use crate::encode::{encode, encode_string};

/// Shared by a store and everything that it answers with.
#[pyclass(frozen, module = "aiokv._aiokv")]
pub(crate) struct Codec {
    /// What every key of the store starts with in the file.
    prefix: Key,
    /// The same as JSON text, without quotes.
    prefix_text: String,
    /// That of `json.dumps`.
    default: Option<Py<PyAny>>,
    /// That of `json.loads`.
    object_hook: Option<Py<PyAny>>,
}

impl Codec {
    pub(crate) fn new(default: Option<Py<PyAny>>, object_hook: Option<Py<PyAny>>) -> Self {
        Self { prefix: Key::default(), prefix_text: String::new(), default, object_hook }
    }

    /// The same for the keys below `part:`.
    pub(crate) fn below(&self, part: &Bound<'_, PyString>) -> PyResult<Self> {
        let py = part.py();
        let text = json_string(part)?;
        let inside = &text[1..text.len() - 1];
        Ok(Self {
            prefix: [&*self.prefix, &decode_string(&text), b":"].concat().into(),
            prefix_text: [&self.prefix_text, inside, ":"].concat(),
            default: self.default.as_ref().map(|it| it.clone_ref(py)),
            object_hook: self.object_hook.as_ref().map(|it| it.clone_ref(py)),
        })
    }

    /// What every key of the store starts with.
    pub(crate) fn prefix<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        string(py, &self.prefix)
    }

    /// A key as it is in the file: where it stands, or with the prefix, or, if it has lone
    /// surrogates, as the engine spells them.
    pub(crate) fn key<'key>(&self, key: &'key Bound<'_, PyAny>) -> PyResult<Cow<'key, [u8]>> {
        let key = key_string(key)?;
        let bytes = match key.to_str() {
            Ok(text) => Cow::Borrowed(text.as_bytes()),
            Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(key.py()) => {
                Cow::Owned(decode_string(&json_string(key)?).into_owned())
            }
            Err(error) => return Err(error),
        };
        match &*self.prefix {
            [] => Ok(bytes),
            prefix => Ok(Cow::Owned([prefix, &bytes].concat())),
        }
    }

    /// The same, owned.
    pub(crate) fn owned_key(&self, key: &Bound<'_, PyAny>) -> PyResult<Key> {
        self.key(key).map(|key| key.into_owned().into())
    }

    /// The entry of a key and a value. `place` is what the value is called in messages.
    pub(crate) fn entry(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        place: &str,
    ) -> PyResult<Entry> {
        let key_text = self.key_text(key)?;
        let default = self.default.as_ref().map(|it| it.bind(value.py()));
        Ok(Entry::new(&key_text, &encode(value, default, place)?))
    }

    /// A key as JSON text.
    pub(crate) fn key_text(&self, key: &Bound<'_, PyAny>) -> PyResult<String> {
        let text = json_string(key_string(key)?)?;
        Ok(if self.prefix.is_empty() {
            text
        } else {
            ["\"", &self.prefix_text, &text[1..]].concat()
        })
    }

    /// The value of an entry, a new object.
    pub(crate) fn value<'py>(&self, py: Python<'py>, entry: &Entry) -> PyResult<Bound<'py, PyAny>> {
        static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let Some(object_hook) = &self.object_hook else { return decode(py, entry.value_text()) };
        let arguments = PyDict::new(py);
        arguments.set_item("object_hook", object_hook)?;
        LOADS.import(py, "json", "loads")?.call((entry.value_text(),), Some(&arguments))
    }

    /// The key of an entry as the store shows it.
    pub(crate) fn shown_key<'py>(
        &self,
        py: Python<'py>,
        entry: &Entry,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &*self.prefix {
            [] => decode(py, entry.key_text()),
            _ => self.shown(py, &entry.key()),
        }
    }

    /// A key of the file as the store shows it.
    pub(crate) fn shown<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        string(py, key.strip_prefix(&*self.prefix).unwrap_or(key))
    }
}

#[pymethods]
impl Codec {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.default)?;
        visit.call(&self.object_hook)
    }
}

/// A `str`, in quotes and with escapes.
fn json_string(string: &Bound<'_, PyString>) -> PyResult<String> {
    let mut text = String::new();
    encode_string(string, &mut text)?;
    Ok(text)
}

/// The `str` that is spelled as the engine spells keys.
fn string<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match str::from_utf8(key) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, key).call_method1("decode", ("utf-8", "surrogatepass")),
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
