//! The copy that a person edits, and the editor.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGQUIT};
use tempfile::TempDir;

use crate::outcome::{Failure, Outcome, Status};

/// The editor if the environment names none.
const EDITOR: &str = "vi";

/// A copy in a directory of its own, which only this user may enter: editors put their own files
/// beside what they edit. Dropping removes it.
pub(super) struct WorkingCopy {
    directory: TempDir,
    path: PathBuf,
    /// Whether the keys that end a program end this one.
    ends: Arc<AtomicBool>,
}

impl WorkingCopy {
    /// A copy of a store at some path. It has the name of the store, so that an editor knows the
    /// language.
    pub(super) fn create(store: &Path, content: &str) -> Outcome<Self> {
        let failed = |error: io::Error| {
            Failure::new(Status::System, format!("cannot write a copy to edit: {error}"))
        };
        let mut directory = tempfile::Builder::new();
        directory.prefix("aiokv-edit-").permissions(Permissions::from_mode(0o700));
        let directory = directory.tempdir().map_err(failed)?;
        let mut name = store.file_name().unwrap_or_default().to_owned();
        if !store.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            name.push(".json");
        }
        let path = directory.path().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.write_all(content.as_bytes()).map_err(failed)?;
        let ends = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGQUIT] {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&ends))
                .map_err(failed)?;
        }
        Ok(Self { directory, path, ends })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self) -> Outcome<Vec<u8>> {
        fs::read(&self.path).map_err(|error| {
            let path = self.path.display();
            let message = match error.kind() {
                ErrorKind::NotFound => format!("nothing was changed: the editor removed `{path}`"),
                _ => format!("nothing was changed: cannot read `{path}`: {error}"),
            };
            Failure::new(Status::System, message)
        })
    }

    /// Lets the copy stay, and says where it is.
    pub(super) fn keep(self) -> PathBuf {
        let _directory = self.directory.keep();
        self.path
    }

    /// Opens the editor and waits until it ends.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or says that it failed.
    pub(super) fn edit(&self) -> Outcome<()> {
        let editor = editor();
        // The shell takes the words of an editor with arguments apart. The keys that end a program
        // are for the editor: the shell and this process go on waiting for it.
        let mut script = OsString::from("trap : INT QUIT\n");
        script.push(&editor);
        script.push(" \"$@\"");
        self.ends.store(false, Ordering::SeqCst);
        let ended = Command::new("sh").arg("-c").arg(script).arg(&editor).arg(&self.path).status();
        self.ends.store(true, Ordering::SeqCst);
        let problem = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let editor = editor.to_string_lossy();
        Err(Failure::new(
            Status::System,
            format!("the editor `{editor}` failed ({problem}); VISUAL or EDITOR names another one"),
        ))
    }
}

/// The editor of this user, with its arguments.
fn editor() -> OsString {
    let named = ["VISUAL", "EDITOR"].into_iter().filter_map(env::var_os);
    named.into_iter().find(|editor| !editor.is_empty()).unwrap_or_else(|| EDITOR.into())
}
