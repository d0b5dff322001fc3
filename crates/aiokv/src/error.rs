//! The one error type: what failed, where, and what to do about it.
//!
//! Errors are cheap to clone, because one failed commit is told to every operation it carried.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

/// A `Result` with aiokv's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
///
/// Whatever the variant, the file holds a complete state afterwards and the next operation works
/// once the cause is gone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a call.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What aiokv was doing, as a verb.
        action: &'static str,
        /// The file or directory it was doing it to.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },

    /// The file is not one complete JSON object, or its journal is damaged or does not continue
    /// it. Both are left as they are; only `clear` removes them.
    #[error("{0}")]
    Corrupt(Arc<Corruption>),

    /// The value cannot be stored; nothing was changed.
    #[error("{place}: {reason}")]
    Refused {
        /// The place inside the value, such as `$.history[3].at`.
        place: String,
        /// What is wrong there and what to store instead.
        reason: String,
    },

    /// The stored value is not of the type that was asked for.
    #[error("the value of {key:?} is not of the type asked for: {source}")]
    Type {
        /// The key.
        key: String,
        /// What the decoder said.
        source: Arc<serde_json::Error>,
    },

    /// Another process held the lock of the file for longer than the lock timeout.
    #[error(
        "cannot lock `{}`: {} has held its lock for more than {} s",
        path.display(),
        holder.map_or("another process".to_owned(), |id| format!("process {id}")),
        waited.as_secs_f64()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long the operation waited.
        waited: Duration,
        /// The process that holds the lock, where the system tells.
        holder: Option<u32>,
    },

    /// The thread that writes the file is gone: a bug in aiokv. Nothing more is written through
    /// this store.
    #[error("the writer of `{}` stopped unexpectedly", path.display())]
    WriterGone {
        /// The file.
        path: PathBuf,
    },
}

/// Where and how a file is damaged.
#[derive(Debug, Clone)]
pub struct Corruption {
    /// The damaged file: the state file or its journal.
    pub path: PathBuf,
    /// What the file should be, such as `a valid state file`.
    pub expected: String,
    /// What is wrong, without the position.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// The line of the damage, counted from 1.
    pub line: usize,
    /// The column of the damage in characters, counted from 1.
    pub column: usize,
    /// The offset of the damage in characters, counted from 0.
    pub offset: usize,
    /// The content of the file, with U+FFFD for whatever is not UTF-8.
    pub content: String,
}

impl Corruption {
    /// Describes damage to the state file at `position`, a byte offset into `content`.
    pub(crate) fn new(path: &Path, content: &[u8], position: usize, problem: String) -> Self {
        Self {
            expected: "a valid state file".to_owned(),
            remedy: "mend it or put back a copy, or remove it with `clear`".to_owned(),
            ..Self::located(path, content, position, problem)
        }
    }

    /// Describes damage to the journal of the state file `state`.
    pub(crate) fn of_journal(
        journal: &Path,
        state: &Path,
        content: &[u8],
        position: usize,
        problem: String,
    ) -> Self {
        let state = state.display();
        Self {
            expected: "a valid journal".to_owned(),
            remedy: format!(
                "put back copies of it and of `{state}`, or remove it to go on with what \
                 `{state}` holds"
            ),
            ..Self::located(journal, content, position, problem)
        }
    }

    /// Describes a journal that does not continue what is in the state file `state`.
    pub(crate) fn misfit(journal: &Path, state: &Path, content: &[u8], problem: String) -> Self {
        let state = state.display();
        Self {
            expected: format!("the journal of `{state}` as it is"),
            remedy: format!(
                "to go on with `{state}` as it is, remove the journal; to keep the changes in the \
                 journal, put back the `{state}` that it continues"
            ),
            ..Self::located(journal, content, 0, problem)
        }
    }

    fn located(path: &Path, content: &[u8], position: usize, problem: String) -> Self {
        let content = String::from_utf8_lossy(content).into_owned();
        // Damage lies at or before the first byte that is not UTF-8, so the offsets still agree.
        let mut end = position.min(content.len());
        while !content.is_char_boundary(end) {
            end -= 1;
        }
        let before = &content[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            path: path.to_owned(),
            expected: String::new(),
            problem,
            remedy: String::new(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            offset: before.chars().count(),
            content,
        }
    }

    /// What is wrong, in which file and what to do, without the position.
    pub fn message(&self) -> String {
        self.message_with("")
    }

    fn message_with(&self, position: &str) -> String {
        let Self { path, expected, problem, remedy, .. } = self;
        format!("`{}` is not {expected}: {problem}{position}; {remedy}", path.display())
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, .. } = self;
        formatter.write_str(&self.message_with(&format!(" at line {line} column {column}")))
    }
}

impl Error {
    /// The number that the system has for this kind of error (`errno`), where it has one.
    pub fn errno(&self) -> Option<i32> {
        let number = match self {
            Self::Locked { .. } => Errno::TIMEDOUT,
            Self::Io { source, .. } => match (source.raw_os_error(), source.kind()) {
                (Some(number), _) => return Some(number),
                (None, io::ErrorKind::NotFound) => Errno::NOENT,
                (None, io::ErrorKind::InvalidInput) => Errno::INVAL,
                (None, _) => Errno::IO,
            },
            _ => return None,
        };
        Some(number.raw_os_error())
    }

    /// An [`Error::Io`] for use with `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}
