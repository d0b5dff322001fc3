//! How a command ends: its exit status, and what it tells about a failure.

use std::fmt;

use aiokv::Error;

use crate::console::{self, place};

/// How a command ended. The number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// It did what it was told.
    Done = 0,
    /// It did nothing: no such key, or, for `add`, there is one; or the user said no.
    No = 1,
    /// The arguments make no sense. Nothing was done.
    Usage = 2,
    /// A file is damaged, or does not fit the others.
    Damaged = 3,
    /// Another process holds the lock of the file.
    Locked = 4,
    /// The system refused a call.
    System = 5,
    /// What is stored does not allow it.
    Impossible = 6,
}

/// The exit statuses as `--help` explains them.
pub(crate) const EXPLAINED: &str = "  0  done
  1  not found: no such key (`add`: it is there already), or you answered no
  2  usage: the arguments make no sense, and nothing was done
  3  damaged: the file is not one JSON object, or its journal does not fit
  4  locked: another process did not let go of the file in time
  5  I/O: the system refused, as for a full disk or a missing permission
  6  impossible: the stored value does not allow it, such as text to increment";

impl Status {
    /// The failure that has this exit status.
    pub(crate) fn from_number(number: i32) -> Option<Self> {
        let failures = [Self::Usage, Self::Damaged, Self::Locked, Self::System, Self::Impossible];
        failures.into_iter().find(|failure| *failure as i32 == number)
    }
}

/// What a verb comes back with.
pub(crate) type Outcome<T = Status> = Result<T, Failure>;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// What the user is told; nothing if whoever reads the output went away.
    pub(crate) message: Option<String>,
}

impl Failure {
    /// A failure that the user is told of.
    pub(crate) fn new(status: Status, message: impl fmt::Display) -> Self {
        Self { status, message: Some(message.to_string()) }
    }

    /// The end of a command whose reader has seen enough, as `head` has.
    pub(crate) fn reader_gone() -> Self {
        Self { status: Status::Done, message: None }
    }

    /// Tells the user on standard error.
    pub(crate) fn tell(&self) {
        self.message.iter().for_each(console::tell);
    }

    /// Tells more before the message.
    pub(crate) fn context(self, words: &str) -> Self {
        Self { message: self.message.map(|message| format!("{words}: {message}")), ..self }
    }

    /// Tells that a change was made, if one was, of which the rest could not be told.
    pub(crate) fn after_change(self, is_changed: bool) -> Self {
        if is_changed { self.context("the change was made") } else { self }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Corrupt(_) => Status::Damaged,
            Error::Locked { .. } => Status::Locked,
            Error::Io { .. } | Error::WriterGone { .. } => Status::System,
            Error::Refused { .. } => Status::Usage,
            _ => Status::Impossible,
        };
        let place = match &error {
            Error::Corrupt(corruption) => corruption.place.as_ref(),
            _ => None,
        };
        let place = place.map(|place| format!("\n{}", place::shown(place))).unwrap_or_default();
        Self::new(status, format!("{error}{place}"))
    }
}
