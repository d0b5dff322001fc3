//! The directories above a store: created where they are missing, and made durable.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::place::Place;
use super::storage::{self, Storage};
use crate::error::{Error, Result};

/// See the [module](self).
pub(crate) struct Directories {
    place: Arc<Place>,
    /// Whether the names of the directories that lead to the file are known to be durable.
    parents_durable: bool,
}

/// The open directory of a store. It is opened before a name changes in it, so that a process that
/// cannot open it changes nothing.
pub(crate) struct OpenDirectory(Box<dyn storage::Directory>);

impl Directories {
    pub(crate) fn new(place: &Arc<Place>) -> Self {
        Self { place: Arc::clone(place), parents_durable: false }
    }

    /// Opens the directory of the store.
    pub(crate) fn open(&self) -> Result<OpenDirectory> {
        let directory = &self.place.directory;
        let opened = self.place.storage.open_directory(directory);
        opened.map(OpenDirectory).map_err(Error::io("open", directory))
    }

    /// Makes the names in the directory durable.
    pub(crate) fn flush(&self, directory: &OpenDirectory) -> Result<()> {
        directory.0.flush().map_err(Error::io("flush", &self.place.directory))
    }

    /// Makes the names of the directories durable that lead to the store, the first time: the
    /// process that created one of them may have died before it could. Ends at the root of the
    /// file system, on which another one depends for nothing.
    pub(crate) fn flush_parents(&mut self) -> Result<()> {
        if self.parents_durable {
            return Ok(());
        }
        let storage = &*self.place.storage;
        let device = |path: &Path| storage.metadata(path).map(|metadata| metadata.device);
        let here =
            device(&self.place.directory).map_err(Error::io("look at", &self.place.directory))?;
        for parent in self.place.directory.ancestors().skip(1) {
            let failed = |error| Error::io("flush", parent)(error);
            if device(parent).map_err(failed)? != here {
                break;
            }
            flush(storage, parent).map_err(failed)?;
        }
        self.parents_durable = true;
        Ok(())
    }

    /// As `flush`, for a directory that is not open, and that may be missing.
    pub(crate) fn flush_if_present(&mut self) -> Result<()> {
        match self.open() {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            opened => {
                let directory = opened?;
                self.flush_parents()?;
                self.flush(&directory)
            }
        }
    }

    /// Creates the directory of the store and its missing parents.
    pub(crate) fn create(&self, durably: bool) -> Result<()> {
        let Place { storage, directory, .. } = &*self.place;
        create(&**storage, directory, durably).map_err(Error::io("create", directory))
    }
}

fn flush(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    storage.open_directory(path)?.flush()
}

fn create(storage: &dyn Storage, path: &Path, durably: bool) -> io::Result<()> {
    match storage.create_directory(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            create(storage, parent, durably)?;
            // Only once more: where no directory can be created, as below `/proc`, the parent exists
            // and the answer stays the same.
            match storage.create_directory(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                outcome => outcome?,
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        outcome => outcome?,
    }
    match path.parent() {
        Some(parent) if durably => flush(storage, parent),
        _ => Ok(()),
    }
}
