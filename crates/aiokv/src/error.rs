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

    /// Nothing can be added to the stored value; nothing was changed.
    #[error("cannot add to the value of {key:?}: it is not a number but {found}")]
    NotANumber {
        /// The key.
        key: String,
        /// The text of what was found, cut to 40 characters.
        found: String,
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

    /// Other changes of the same keys were faster than this one; nothing was changed by it.
    #[error(
        "{} in `{}` was changed by others {}; nothing was written: try again",
        key.as_ref().map_or("what the transaction read".to_owned(), |key| format!("{key:?}")),
        path.display(),
        match attempts {
            1 => "meanwhile".to_owned(),
            _ => format!("during each of {attempts} attempts"),
        }
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The key; `None` for a transaction.
        key: Option<String>,
        /// How often it was tried.
        attempts: usize,
    },

    /// A transaction read something that was not at hand. Never seen outside of the function of a
    /// transaction, which has to return it.
    #[doc(hidden)]
    #[error("the transaction has to be run again")]
    NotFetched,

    /// The operation was not answered: a bug in aiokv. It may have happened or not. Later
    /// operations of the store work.
    #[error("the writer of `{}` stopped unexpectedly", path.display())]
    WriterGone {
        /// The file.
        path: PathBuf,
    },
}

/// Where and how a file is damaged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Corruption {
    /// The damaged file: the state file or its journal.
    pub path: PathBuf,
    /// What the file should be, such as `a valid state file`.
    pub expected: String,
    /// What is wrong, without the place.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// The place of the damage, if there is one.
    pub place: Option<Damaged>,
}

/// The place of damage in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Damaged {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The text around the place, with U+FFFD for whatever is not UTF-8.
    pub excerpt: String,
    /// The place in the excerpt, in characters, counted from 0.
    pub excerpt_offset: usize,
}

impl Corruption {
    /// Describes damage to the state file at `position`, a byte offset into `content`.
    pub(crate) fn new(path: &Path, content: &[u8], position: usize, problem: String) -> Self {
        Self {
            path: path.to_owned(),
            expected: "a valid state file".to_owned(),
            problem,
            remedy: format!(
                "mend it, put back a copy, save what can be read of it with `aiokv recover {} NEW`, or \
                 remove it with `clear`",
                path.display()
            ),
            place: Some(Damaged::at(content, position)),
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
            path: journal.to_owned(),
            expected: "a valid journal".to_owned(),
            problem,
            remedy: format!(
                "put back copies of it and of `{state}`, save what can be read of both with \
                 `aiokv recover {state} NEW`, or remove it to go on with what `{state}` holds, without the \
                 changes in the journal"
            ),
            place: Some(Damaged::at(content, position)),
        }
    }

    /// Describes a journal that does not continue the state file `state` as it is.
    pub(crate) fn misfit(journal: &Path, state: &Path, problem: String) -> Self {
        let shown = state.display();
        Self {
            path: journal.to_owned(),
            expected: format!("the journal of `{shown}` as it is"),
            problem,
            remedy: format!(
                "to keep the changes in the journal, put back the `{shown}` that it continues and \
                 run `aiokv checkpoint {shown}` before you edit the file; to go on with `{shown}` \
                 as it is, without those changes, remove the journal; `aiokv recover {shown} NEW` writes \
                 both together to a new file"
            ),
            place: None,
        }
    }

    /// What is wrong, in which file and what to do, without the place.
    pub fn message(&self) -> String {
        self.message_with("")
    }

    fn message_with(&self, place: &str) -> String {
        let Self { path, expected, problem, remedy, .. } = self;
        format!("`{}` is not {expected}: {problem}{place}; {remedy}", path.display())
    }
}

impl Damaged {
    /// How much text before and after the place belongs to the excerpt, in bytes.
    const EXCERPT_BYTES: usize = 80;

    fn at(content: &[u8], position: usize) -> Self {
        let position = position.min(content.len());
        let before = &content[..position];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let start = line_start.max(position.saturating_sub(Self::EXCERPT_BYTES));
        let end = content.len().min(position + Self::EXCERPT_BYTES);
        // Not in the middle of a character.
        let is_inside = |at: &usize| content.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let start = (start..position).find(|at| !is_inside(at)).unwrap_or(position);
        let end = (end..content.len()).find(|at| !is_inside(at)).unwrap_or(content.len());
        let text = |from: usize, to: usize| String::from_utf8_lossy(&content[from..to]);
        Self {
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + text(line_start, position).chars().count(),
            excerpt: text(start, end).into_owned(),
            excerpt_offset: text(start, position).chars().count(),
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Some(Damaged { line, column, .. }) => format!(" at line {line} column {column}"),
            None => String::new(),
        };
        formatter.write_str(&self.message_with(&place))
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption.into())
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

    /// An [`Error::NotANumber`] about the value with this text.
    pub(crate) fn not_a_number(key: &[u8], found: &str) -> Self {
        const LENGTH_MAX: usize = 40;
        let found = match found.char_indices().nth(LENGTH_MAX) {
            Some((end, _)) => format!("{}...", &found[..end]),
            None => found.to_owned(),
        };
        Self::NotANumber { key: String::from_utf8_lossy(key).into_owned(), found }
    }

    /// An [`Error::Io`] for use with `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}
