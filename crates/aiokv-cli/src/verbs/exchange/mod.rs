//! `import` and `export`: entries from and to formats of others.
//!
//! Rust reads and writes JSON and JSON Lines. What belongs to Python, shelve, SQLite and pickle, is
//! read and written by Python, as JSON Lines on a pipe: see [`python`].

pub(crate) mod export;
pub(crate) mod import;
mod progress;
pub(crate) mod python;

use std::path::Path;

use clap::ValueEnum;

use crate::console::STANDARD_INPUT;
use crate::outcome::{Failure, Outcome, Status};

/// How entries are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One object with all entries
    Json,
    /// One line for each entry: {"key": "last_command", "value": "ping"}
    Jsonl,
    /// What `shelve` of Python keeps; importing it needs --unsafe-pickle
    Shelve,
    /// A table of an SQLite database
    Sqlite,
    /// What `PicklePersistence` of python-telegram-bot keeps, as `aiokv.ext.telegram` keeps it; only
    /// imported, with --unsafe-pickle
    Telegram,
}

impl Format {
    /// The format that was asked for, or that the name of a file tells.
    fn of(asked: Option<Self>, path: &Path) -> Outcome<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let told = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("json") => Some(Self::Json),
            Some("jsonl" | "ndjson") => Some(Self::Jsonl),
            Some("sqlite" | "sqlite3") => Some(Self::Sqlite),
            _ => None,
        };
        asked.or(told).ok_or_else(|| {
            let what = match is_standard(path) {
                true => "standard input".to_owned(),
                false => format!("`{}`", path.display()),
            };
            let message = format!("which format has {what}? Say --format");
            Failure::new(Status::Usage, message)
        })
    }

    /// What Python calls it; `None` for what Rust reads and writes.
    fn in_python(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::Jsonl => None,
            Self::Shelve => Some("shelve"),
            Self::Sqlite => Some("sqlite"),
            Self::Telegram => Some("telegram"),
        }
    }
}

/// Whether a path stands for standard input or output.
fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}
