//! Notices changes of other processes and programs for stores that are watched.
//!
//! The system tells what happens in the directory of a store. If it is about the state file or its
//! journal, and memory does not hold the newest state, the engine of the store looks. There is one
//! watch a directory, and one thread for all of them beside that of the `notify` crate; neither
//! exists while no store is watched. Nothing is polled. For a directory that does not exist, the
//! nearest one above it that does is watched, until the directory is created.
//!
//! What is not noticed before something happens in the directory itself: that a directory above it
//! was renamed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak, mpsc};
use std::{io, thread};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::served::Engine;
use super::{gate, machine, pool};
use crate::error::{Error, Result};

/// How often the nearest directory is looked for while directories come and go.
const ATTEMPTS_MAX: usize = 20;

static SYSTEM: LazyLock<Mutex<System>> = LazyLock::new(Mutex::default);

/// What the system is asked to tell.
#[derive(Default)]
struct System {
    /// `None` while nothing is watched.
    watcher: Option<RecommendedWatcher>,
    /// The stores that are watched, by the directory that the system watches for them.
    directories: HashMap<PathBuf, Vec<Watched>>,
}

/// A store that is watched.
struct Watched {
    id: u64,
    engine: Weak<Engine>,
    /// The directory of the store, which may not exist.
    directory: PathBuf,
    /// The names of the state file and its journal.
    names: [OsString; 2],
}

/// While it exists, an engine looks whenever its files may have changed.
pub(super) struct Notified(u64);

/// Lets an engine look whenever `file` or `journal` may have changed, which are paths without
/// symbolic links.
///
/// # Errors
///
/// [`Error::Io`] if the system cannot tell.
pub(super) fn notify(engine: &Arc<Engine>, file: &Path, journal: &Path) -> Result<Notified> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let names = [file, journal].map(|path| path.file_name().unwrap_or_default().to_owned());
    let directory = file.parent().unwrap_or(file).to_owned();
    let watched = Watched { id, engine: Arc::downgrade(engine), directory, names };
    let mut system = system();
    let added = system.add(watched);
    added.map_err(|(directory, error)| Error::io("watch", &directory)(error))?;
    Ok(Notified(id))
}

impl Drop for Notified {
    fn drop(&mut self) {
        let mut system = system();
        // In the child of a fork there is nothing.
        for watched in system.directories.values_mut() {
            watched.retain(|it| it.id != self.0);
        }
        system.tidy();
    }
}

/// Forgets everything, in the child of a fork, which has none of the threads.
pub(super) fn forget() {
    std::mem::forget(std::mem::take(&mut *system()));
}

impl System {
    /// Watches the nearest directory that exists for a store.
    fn add(&mut self, watched: Watched) -> Result<(), (PathBuf, io::Error)> {
        for _ in 0..ATTEMPTS_MAX {
            let nearest = nearest(&watched.directory);
            match self.watch(&nearest) {
                // It may have gone, or another one may have come, before it was watched.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.tidy();
                    return Err((nearest, error));
                }
                Ok(()) if self::nearest(&watched.directory) != nearest => {}
                Ok(()) => {
                    self.directories.entry(nearest).or_default().push(watched);
                    self.tidy();
                    return Ok(());
                }
            }
        }
        self.tidy();
        Err((watched.directory, io::Error::other("its parents come and go")))
    }

    /// Lets the system watch a directory.
    fn watch(&mut self, directory: &Path) -> io::Result<()> {
        if self.directories.contains_key(directory) {
            return Ok(());
        }
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(start()?),
        };
        watcher.watch(directory, RecursiveMode::NonRecursive).map_err(io_error)?;
        self.directories.insert(directory.to_owned(), Vec::new());
        Ok(())
    }

    /// Lets the system forget the directories that are not needed any more.
    fn tidy(&mut self) {
        let Self { watcher, directories } = self;
        directories.retain(|directory, watched| {
            if watched.is_empty()
                && let Some(watcher) = watcher
            {
                // A directory that is gone is not watched any more.
                let _ = watcher.unwatch(directory);
            }
            !watched.is_empty()
        });
        if directories.is_empty() {
            *watcher = None;
        }
    }

    /// The engines that may have to look after an event. A store whose directory may have come or
    /// gone is watched anew.
    fn handle(&mut self, event: &notify::Result<Event>) -> Vec<Arc<Engine>> {
        let paths = match event {
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => &event.paths[..],
            // Some events were lost.
            _ => return self.rearm(|_| true),
        };
        let mut engines =
            self.rearm(|watched| paths.iter().any(|path| watched.directory.starts_with(path)));
        for path in paths {
            let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let all = self.directories.get(directory).into_iter().flatten();
            let meant =
                all.filter(|it| it.directory == directory && it.names.iter().any(|of| of == name));
            engines.extend(meant.filter_map(|it| it.engine.upgrade()));
        }
        engines
    }

    /// Watches the directories of some stores anew. Returns their engines.
    fn rearm(&mut self, is_meant: impl Fn(&Watched) -> bool) -> Vec<Arc<Engine>> {
        let Self { watcher, directories } = self;
        let mut meant = Vec::new();
        directories.retain(|directory, watched| {
            let before = meant.len();
            meant.extend(watched.extract_if(.., |it| is_meant(it)));
            let is_over = watched.is_empty() && meant.len() > before;
            if is_over && let Some(watcher) = watcher {
                // What has the name now may be another directory.
                let _ = watcher.unwatch(directory);
            }
            !is_over
        });
        let mut engines = Vec::new();
        for watched in meant {
            engines.extend(watched.engine.upgrade());
            let path = watched.directory.clone();
            if let Err((directory, error)) = self.add(watched) {
                let (path, directory) = (path.display(), directory.display());
                log::warn!(
                    target: "aiokv",
                    "changes in `{path}` are not noticed any more: cannot watch `{directory}`: {error}"
                );
            }
        }
        engines
    }
}

/// Starts to listen to the system.
fn start() -> io::Result<RecommendedWatcher> {
    let (sender, events) = mpsc::channel();
    let hear = move |event: notify::Result<Event>| {
        // Reading changes nothing.
        if !matches!(&event, Ok(Event { kind: EventKind::Access(_), .. })) {
            // The receiver ends only after the watcher was dropped.
            let _ = sender.send(event);
        }
    };
    machine::without_signals(|| {
        let listener = thread::Builder::new().name("aiokv-watch".to_owned());
        listener.spawn(move || listen(&events))?;
        notify::recommended_watcher(hear).map_err(io_error)
    })
}

/// Runs on a thread while anything is watched.
fn listen(events: &mpsc::Receiver<notify::Result<Event>>) {
    while let Ok(event) = events.recv() {
        let _work = gate::work();
        let engines = system().handle(&event);
        engines.iter().filter(|engine| !engine.is_current()).for_each(pool::look);
    }
}

/// The nearest directory that exists: this one, or one above it.
fn nearest(directory: &Path) -> PathBuf {
    let existing = directory.ancestors().find(|directory| directory.is_dir());
    existing.unwrap_or(Path::new("/")).to_owned()
}

/// An error of the operating system, if it is one.
fn io_error(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        notify::ErrorKind::MaxFilesWatch => rustix::io::Errno::NOSPC.into(),
        _ => io::Error::other(error),
    }
}

fn system() -> MutexGuard<'static, System> {
    SYSTEM.lock().expect("nothing panics while this is locked")
}
