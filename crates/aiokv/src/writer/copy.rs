//! Writes a copy of a store to another file, with the care of a commit: under the lock of what it
//! replaces, complete and flushed before it gets its name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::files::storage::{Lock, Metadata, Storage};
use crate::files::{Creation, Directories, Failure, Locking, Place, StateFile, Temporary};
use crate::format::json_file;
use crate::state::Snapshot;

/// How long a pause is while another process is at work on the target.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// Where a copy comes from and goes to.
pub(crate) struct Copy {
    pub(crate) storage: Arc<dyn Storage>,
    /// The file of the store.
    pub(crate) source: PathBuf,
    /// The file of the copy, absolute.
    pub(crate) target: PathBuf,
    /// Whether a file that is there already is replaced.
    pub(crate) replaces: bool,
    pub(crate) lock_timeout: Duration,
}

impl Copy {
    /// Writes the copy. Blocks.
    pub(crate) fn write(&self, snapshot: Snapshot) -> Result<()> {
        let source = Place::resolve(Arc::clone(&self.storage), &self.source)?;
        let start = Instant::now();
        loop {
            // Every time, because what the path names may have changed meanwhile.
            let target = Arc::new(Place::resolve(Arc::clone(&self.storage), &self.target)?);
            match self.try_write(&source, &target, &snapshot) {
                Ok(()) => return Ok(()),
                Err(Failure::Unchanged(error) | Failure::Unknown(error, _)) => return Err(error),
                Err(Failure::Busy(metadata)) if start.elapsed() >= self.lock_timeout => {
                    return Err(Error::Locked {
                        path: target.file.clone(),
                        waited: self.lock_timeout,
                        holder: self.storage.lock_holder(&metadata),
                    });
                }
                Err(Failure::Busy(_)) => thread::sleep(PAUSE),
                Err(Failure::Raced) => {}
            }
        }
    }

    fn try_write(
        &self,
        source: &Place,
        target: &Arc<Place>,
        snapshot: &Snapshot,
    ) -> Result<(), Failure> {
        let original = match source.look(&source.file)? {
            None => source.look(&source.journal)?,
            original => original,
        };
        self.refuse_own_files(source, target)?;
        let old = match StateFile::new(target).lock(None, Lock::Exclusive)? {
            Locking::Taken(locked) => Some(locked),
            Locking::Missing => None,
            Locking::Busy(holder) => return Err(Failure::Busy(holder)),
        };
        if old.is_some() && !self.replaces {
            return Err(self.refusal("there is such a file already; choose another path").into());
        }
        if target.look(&target.journal)?.is_some() {
            return Err(self.refusal("it is a store with a journal; choose another path").into());
        }
        let mut directories = Directories::new(target);
        let like = old.as_ref().map(|old| old.metadata()).or(original.as_ref());
        let mut temporary = match Temporary::create(target, &directories, like, true)? {
            Creation::Created(temporary) => temporary,
            Creation::Busy(holder) => return Err(Failure::Busy(holder)),
        };
        let cannot = |error| Error::io("write", &target.temporary)(error);
        for piece in json_file::encode(snapshot.clone()) {
            temporary.write(&piece).map_err(cannot)?;
        }
        temporary.flush().map_err(cannot)?;
        temporary.become_state_file(old.as_ref(), &mut directories, true).map(drop)
    }

    /// A copy in the place of the store's own files would be its end.
    fn refuse_own_files(&self, source: &Place, target: &Place) -> Result<()> {
        let own = [&source.file, &source.journal, &source.temporary];
        let named = target.look(&target.file)?;
        let is_same = |one: Option<Metadata>, other: Option<Metadata>| {
            one.zip(other).is_some_and(|(one, other)| one.is_same_file(&other))
        };
        let look = |path: &Path| -> Result<Option<Metadata>> { source.look(path) };
        let directories = (look(&source.directory)?, target.look(&target.directory)?);
        let is_beside = is_same(directories.0, directories.1);
        for path in own {
            let is_own_name = is_beside && path.file_name() == target.file.file_name();
            if *path == target.file || is_own_name || is_same(look(path)?, named) {
                return Err(self.refusal("it is a file of the store itself; choose another path"));
            }
        }
        Ok(())
    }

    fn refusal(&self, problem: &str) -> Error {
        let problem = io::Error::new(io::ErrorKind::InvalidInput, problem);
        Error::io("write a copy to", &self.target)(problem)
    }
}
