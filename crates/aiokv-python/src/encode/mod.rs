//! Python objects to JSON text.
//!
//! The walk accepts what `json.dumps` accepts and spells it on one line. It is stricter where
//! `json.dumps` would write a file that is not JSON, or one that does not read back as it was.
//! Every refusal starts with the place inside the value, like `$.history[3].at`; the place is put
//! together only while an error returns through the levels, so a good value never pays for it.
//!
//! Python code can run inside the walk (a subclass with its own `items()`, a finalizer), and other
//! threads with it. When it changes the length of a container that is being walked, that is an
//! error with a place like any other; other changes go unnoticed, as they do in a Python loop.

mod place;
mod refusal;

use std::collections::HashSet;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PySequence, PyString, PyTuple};
use pyo3::{PyTypeInfo, intern};

use self::place::{Level, Step, as_text, key_step};
use self::refusal::{Refusal, refuse_type, type_name};
use crate::decode::decode;

/// Room for the JSON text of most values, so that it is written without growing.
const CAPACITY: usize = 256;

/// Appends the JSON text of `value` to `text`, which stays as it was after an error.
///
/// `None`, `bool`, `int`, `float`, `str`, `list`, `tuple`, `dict` and their subclasses are
/// accepted. The keys of a dict may be `str`, `int`, `float`, `bool` or `None`; what is not a
/// `str` becomes the string that `json.dumps` makes of it.
///
/// # Errors
///
/// - `TypeError`: another type, of a value or of a key.
/// - `ValueError`: NaN or an infinity; two keys of a dict that become the same string; more than
///   [`aiokv::MAX_DEPTH`] levels; a container that contains itself; an `int` with more digits than
///   `sys.set_int_max_str_digits` allows.
/// - `RuntimeError`: a list or dict changed its length during the walk.
/// - Whatever the Python code of a subclass, or `default`, raises.
///
/// `default` is that of `json.dumps`: it makes something else of a value of another type. `place`
/// is what the value is called in messages, such as `$`. A key of a dict that is not a `str` leads
/// to a `UserWarning`.
pub(crate) fn encode<'py>(
    value: &Bound<'py, PyAny>,
    default: Option<&Bound<'py, PyAny>>,
    place: &str,
) -> PyResult<String> {
    let json = Vec::with_capacity(CAPACITY);
    let mut walk = Walk { json, default, converted_key: None };
    write_value(value, None, &mut walk).map_err(|refusal| refusal.into_error(value.py(), place))?;
    if let Some((steps, class)) = walk.converted_key {
        warn_of_key(value.py(), &format!("{place}{steps}"), &class)?;
    }
    Ok(String::from_utf8(walk.json).expect("only whole characters are written"))
}

/// Warns of a key that comes back as a `str`.
fn warn_of_key(py: Python<'_>, place: &str, class: &str) -> PyResult<()> {
    static WARN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    WARN.import(py, "aiokv._warnings", "warn_of_key")?.call1((place, class)).map(drop)
}

/// What a walk has written and where it is to go.
struct Walk<'a, 'py> {
    json: Vec<u8>,
    default: Option<&'a Bound<'py, PyAny>>,
    /// The place of the first dict with a key that is not a `str`, and the class of the key.
    converted_key: Option<(String, String)>,
}

/// Appends the JSON text of a `str` to `text`: in quotes, with escapes where JSON needs them.
///
/// A `str` with lone surrogates, which UTF-8 cannot hold, is spelled in ASCII with `\u` escapes.
///
/// # Errors
///
/// Only what the interpreter itself raises, such as `MemoryError`.
pub(crate) fn encode_string(value: &Bound<'_, PyString>, text: &mut String) -> PyResult<()> {
    let mut json = Vec::new();
    write_string(value, &mut json)?;
    text.push_str(as_text(&json));
    Ok(())
}

/// The outcome of a step of the walk. The error is boxed to keep the good path narrow.
type Walked<T = ()> = Result<T, Box<Refusal>>;

fn write_value<'py>(
    value: &Bound<'py, PyAny>,
    parent: Option<&Level<'_, 'py>>,
    walk: &mut Walk<'_, 'py>,
) -> Walked {
    let json = &mut walk.json;
    if let Ok(string) = value.cast::<PyString>() {
        write_string(string, json)?;
    } else if value.is_none() {
        json.extend_from_slice(b"null");
    } else if let Ok(truth) = value.cast::<PyBool>() {
        // Before `int`, of which `bool` is a subclass.
        write_bool(truth, json);
    } else if let Ok(int) = value.cast::<PyInt>() {
        write_int(int, json)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        write_float(float, json)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        write_dict(dict, &Level::enter(value, parent)?, walk)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        write_list(list.as_sequence(), &Level::enter(value, parent)?, walk)?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        write_list(tuple.as_sequence(), &Level::enter(value, parent)?, walk)?;
    } else if let Some(default) = walk.default {
        let level = Level::convert(value, parent)?;
        write_value(&default.call1((value,))?, Some(&level), walk)?;
    } else {
        return Err(refuse_type(value).into());
    }
    Ok(())
}

/// Writes a list or tuple.
fn write_list<'py>(
    sequence: &Bound<'py, PySequence>,
    level: &Level<'_, 'py>,
    walk: &mut Walk<'_, 'py>,
) -> Walked {
    let listed;
    let items = if sequence.is_exact_instance_of::<PyList>()
        || sequence.is_exact_instance_of::<PyTuple>()
    {
        sequence
    } else {
        // A subclass may have its own idea of its items.
        listed = sequence.to_list()?.into_sequence();
        &listed
    };
    let changed = || PyRuntimeError::new_err("the list changed while it was being stored");
    let length = items.len()?;
    walk.json.push(b'[');
    for index in 0..length {
        if index > 0 {
            walk.json.extend_from_slice(b", ");
        }
        let item = items.get_item(index).map_err(|_| changed())?;
        level.at.set(Step::Index(index));
        write_value(&item, Some(level), walk)
            .map_err(|refusal| refusal.inside(format!("[{index}]")))?;
    }
    if items.len()? != length {
        return Err(changed().into());
    }
    walk.json.push(b']');
    Ok(())
}

fn write_dict<'py>(
    dict: &Bound<'py, PyDict>,
    level: &Level<'_, 'py>,
    walk: &mut Walk<'_, 'py>,
) -> Walked {
    let entries = Entries::of(dict)?;
    let mut own_characters = true;
    let mut separator: &[u8] = b"";
    walk.json.push(b'{');
    entries.visit(|key, value| {
        walk.json.extend_from_slice(separator);
        separator = b", ";
        let key_start = walk.json.len();
        let spelling = write_key(key, &mut walk.json)?;
        own_characters &= spelling == Spelling::OwnCharacters;
        let key_end = walk.json.len();
        if spelling == Spelling::Converted && walk.converted_key.is_none() && !is_str(key) {
            walk.converted_key = Some((level.steps(&walk.json), type_name(key)));
        }
        level.at.set(Step::Key(key_start, key_end));
        walk.json.extend_from_slice(b": ");
        write_value(value, Some(level), walk)
            .map_err(|refusal| refusal.inside(key_step(as_text(&walk.json[key_start..key_end]))))
    })?;
    walk.json.push(b'}');
    if own_characters {
        // A dict cannot hold the same `str` twice.
        Ok(())
    } else {
        refuse_same_keys(&entries)
    }
}

fn is_str(key: &Bound<'_, PyAny>) -> bool {
    key.is_instance_of::<PyString>()
}

/// How a `str` or a key was spelled.
#[derive(PartialEq)]
enum Spelling {
    /// As the characters of the `str` itself.
    OwnCharacters,
    /// As a `str` whose lone surrogates are `\u` escapes.
    Surrogates,
    /// As the string that stands for a key of another type. A subclass of `str` counts as one: it
    /// may compare as it likes, so that equal characters are two keys.
    Converted,
}

/// Writes a key the way `json.dumps` spells it.
fn write_key(key: &Bound<'_, PyAny>, json: &mut Vec<u8>) -> Walked<Spelling> {
    if let Ok(string) = key.cast::<PyString>() {
        let spelling = write_string(string, json)?;
        if spelling == Spelling::OwnCharacters && !string.is_exact_instance_of::<PyString>() {
            return Ok(Spelling::Converted);
        }
        return Ok(spelling);
    }
    json.push(b'"');
    if key.is_none() {
        json.extend_from_slice(b"null");
    } else if let Ok(truth) = key.cast::<PyBool>() {
        write_bool(truth, json);
    } else if let Ok(int) = key.cast::<PyInt>() {
        write_int(int, json)?;
    } else if let Ok(float) = key.cast::<PyFloat>() {
        refuse_non_finite(float.value())?;
        json.extend_from_slice(plain_repr(float)?.to_str()?.as_bytes());
    } else {
        return Err(PyTypeError::new_err(format!(
            "keys must be str, int, float, bool or None, not {}",
            type_name(key)
        ))
        .into());
    }
    json.push(b'"');
    Ok(Spelling::Converted)
}

/// Refuses a dict of which a reader of the file would see only the last of several entries.
fn refuse_same_keys(entries: &Entries<'_>) -> Walked {
    let mut seen = HashSet::new();
    entries.visit(|key, _| {
        let mut spelled = Vec::new();
        if write_key(key, &mut spelled)? == Spelling::Surrogates {
            // Two surrogates side by side are read back as the one character they stand for.
            let read_back = decode(key.py(), as_text(&spelled))?;
            spelled.clear();
            write_string(read_back.cast::<PyString>()?, &mut spelled)?;
        }
        if let Some(spelled) = seen.replace(spelled) {
            let spelled = as_text(&spelled);
            return Err(PyValueError::new_err(format!(
                "more than one key becomes the string {spelled}, and only one could be read back"
            ))
            .into());
        }
        Ok(())
    })
}

fn write_string(string: &Bound<'_, PyString>, json: &mut Vec<u8>) -> PyResult<Spelling> {
    static ESCAPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

    let py = string.py();
    match string.to_str() {
        Ok(characters) => {
            serde_json::to_writer(json, characters).expect("a string always has JSON text");
            Ok(Spelling::OwnCharacters)
        }
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => {
            let escaped =
                ESCAPE.import(py, "json.encoder", "encode_basestring_ascii")?.call1((string,))?;
            json.extend_from_slice(escaped.cast::<PyString>()?.to_str()?.as_bytes());
            Ok(Spelling::Surrogates)
        }
        Err(error) => Err(error),
    }
}

fn write_bool(truth: &Bound<'_, PyBool>, json: &mut Vec<u8>) {
    json.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
}

fn write_int(int: &Bound<'_, PyInt>, json: &mut Vec<u8>) -> PyResult<()> {
    if let Ok(small) = int.extract::<i64>() {
        serde_json::to_writer(json, &small).expect("an integer always has JSON text");
    } else {
        json.extend_from_slice(plain_repr(int)?.to_str()?.as_bytes());
    }
    Ok(())
}

fn write_float(float: &Bound<'_, PyFloat>, json: &mut Vec<u8>) -> PyResult<()> {
    let number = float.value();
    refuse_non_finite(number)?;
    serde_json::to_writer(json, &number).expect("a finite number always has JSON text");
    Ok(())
}

/// What the built-in type `T` says of `number`, whatever a subclass makes of `__repr__`.
fn plain_repr<'py, T: PyTypeInfo>(number: &Bound<'py, T>) -> PyResult<Bound<'py, PyString>> {
    let py = number.py();
    let text = py.get_type::<T>().call_method1(intern!(py, "__repr__"), (number,))?;
    Ok(text.cast_into()?)
}

fn refuse_non_finite(number: f64) -> PyResult<()> {
    if number.is_finite() {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("cannot store {number}: the file would not be JSON")))
}

/// The entries of a dict in the order in which they are written.
enum Entries<'py> {
    Dict(Bound<'py, PyDict>),
    /// What `items()` of a subclass returned, which need not be what its hash table holds: an
    /// `OrderedDict` keeps its order elsewhere.
    Items(Bound<'py, PyList>),
}

impl<'py> Entries<'py> {
    fn of(dict: &Bound<'py, PyDict>) -> PyResult<Self> {
        if dict.is_exact_instance_of::<PyDict>() {
            Ok(Self::Dict(dict.clone()))
        } else {
            Ok(Self::Items(dict.as_mapping().items()?))
        }
    }

    fn visit(
        &self,
        mut visitor: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> Walked,
    ) -> Walked {
        match self {
            Self::Dict(dict) => {
                let changed =
                    || PyRuntimeError::new_err("the dict changed while it was being stored");
                // The iterator panics when it is asked for more after the dict has changed its
                // length, or after it has returned more entries than there were at its start.
                let length = dict.len();
                let mut entries = dict.iter();
                for _ in 0..length {
                    if dict.len() != length {
                        return Err(changed().into());
                    }
                    let (key, value) = entries.next().ok_or_else(changed)?;
                    visitor(&key, &value)?;
                }
                if dict.len() != length || entries.next().is_some() {
                    return Err(changed().into());
                }
            }
            Self::Items(items) => {
                for item in items {
                    let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                    visitor(&key, &value)?;
                }
            }
        }
        Ok(())
    }
}
