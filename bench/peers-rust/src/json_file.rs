//! What a program does without a library: the state as a map in memory, written to a JSON file with
//! serde_json whenever it changes.
//!
//! A change writes everything to a temporary file, flushes it, renames it over the file and flushes
//! the directory. Nobody else may write to the file: what others wrote would not be seen.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::store::{Entry, Result, Store};

/// A file and what it holds.
pub(crate) struct JsonFile {
    directory: PathBuf,
    state: Mutex<Map<String, Value>>,
}

impl JsonFile {
    pub(crate) fn open(directory: &Path) -> Result<Box<dyn Store>> {
        let state = match fs::read(directory.join("state.json")) {
            Ok(content) => serde_json::from_slice(&content)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Box::new(Self { directory: directory.into(), state: Mutex::new(state) }))
    }

    fn change(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let temporary = self.directory.join("state.json.temporary");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&*state)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join("state.json"))?;
        Ok(File::open(&self.directory)?.sync_all()?)
    }
}

impl Store for JsonFile {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.get(key).and_then(Value::as_str).map(str::to_owned))
    }

    fn set(&self, key: &str, text: &str) -> Result<()> {
        self.change(|state| {
            state.insert(key.into(), text.into());
        })
    }

    fn set_at_once(&self, entries: &[Entry]) -> Result<()> {
        self.change(|state| {
            state.extend(entries.iter().map(|(key, text)| (key.clone(), text.as_str().into())));
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
