//! Who is on the other side: a person at a terminal, or a program at the end of a pipe.
//!
//! A person gets tables, sentences and colours. A program gets JSON, one line for each thing where
//! there may be many. `--json` asks for the latter, wherever it goes.

mod input;
pub(crate) mod place;
mod question;
pub(crate) mod table;
pub(crate) mod text;

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

pub(crate) use input::{STANDARD_INPUT, read_standard_input};
use serde::Serialize;

use crate::outcome::{Failure, Outcome, Status};

/// The width of a terminal that does not tell.
const WIDTH_DEFAULT: u16 = 80;

/// Standard output and standard error.
pub(crate) struct Console {
    /// The width of the terminal in characters, if output is for a person.
    width: Option<u16>,
}

impl Console {
    /// Looks where standard output goes.
    pub(crate) fn new(json: bool) -> Self {
        let is_for_person = !json && io::stdout().is_terminal();
        let width = || match terminal_size::terminal_size_of(io::stdout()) {
            // Zero is what a terminal says whose size nobody has set.
            Some((terminal_size::Width(width), _)) if width > 0 => width,
            _ => WIDTH_DEFAULT,
        };
        Self { width: is_for_person.then(width) }
    }

    /// The width of the terminal in characters, if a person is on the other side.
    pub(crate) fn width(&self) -> Option<u16> {
        self.width
    }

    /// Whether a person is on the other side.
    pub(crate) fn is_for_person(&self) -> bool {
        self.width.is_some()
    }

    /// Prints text, whose colours are taken out where they are not wanted.
    ///
    /// # Errors
    ///
    /// [`Failure::reader_gone`] if nobody reads it any more.
    pub(crate) fn print(&self, text: impl fmt::Display) -> Outcome<()> {
        let text = text.to_string();
        let write = |output: &mut dyn Write| {
            output.write_all(text.as_bytes()).and_then(|()| output.flush())
        };
        let written = match self.is_for_person() {
            true => write(&mut anstream::stdout().lock()),
            // As it is, whatever characters a value has.
            false => write(&mut io::stdout().lock()),
        };
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::reader_gone(),
            _ => Failure::new(Status::System, format!("cannot write standard output: {error}")),
        })
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    ///
    /// As [`Console::print`].
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Outcome<()> {
        let text = serde_json::to_string(value).expect("it has nothing that JSON has not");
        self.print(text + "\n")
    }

    /// Prints a sentence for a person. A program is told by the exit status.
    pub(crate) fn say(&self, sentence: impl fmt::Display) -> Outcome<()> {
        if self.is_for_person() { self.print(format!("{sentence}\n")) } else { Ok(()) }
    }
}

/// Tells something on standard error.
pub(crate) fn tell(words: impl fmt::Display) {
    let words = words.to_string();
    // A path or a key may have any character.
    let lines = Vec::from_iter(words.split('\n').map(text::harmless));
    // If standard error is gone too, the status has to do.
    let _ = writeln!(anstream::stderr(), "aiokv: {}", lines.join("\n"));
}
