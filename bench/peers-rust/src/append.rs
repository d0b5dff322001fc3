//! The least that a durable change can cost: a line is appended to a file and flushed.
//!
//! One map in memory, and no more: no lock, no checksum, and a file that only grows. A change
//! lengthens the file, so that a flush has its new size to write too.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::store::{Entry, Result, Store};

/// A file and what it holds.
pub(crate) struct Append {
    file: File,
    state: Mutex<HashMap<String, String>>,
}

impl Append {
    pub(crate) fn open(directory: &Path) -> Result<Box<dyn Store>> {
        let path = directory.join("state.log");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let state = pairs.map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Box::new(Self { file, state: Mutex::new(state) }))
    }

    fn append(&self, entries: &[(&str, &str)]) -> Result<()> {
        let lines: String = entries.iter().map(|(key, text)| format!("{key}={text}\n")).collect();
        (&self.file).write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.extend(entries.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())));
        Ok(())
    }
}

impl Store for Append {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.get(key).cloned())
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        self.append(&[(key, text)])
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        self.append(&Vec::from_iter(entries.iter().map(|(key, text)| (&**key, &**text))))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}
