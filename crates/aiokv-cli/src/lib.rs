//! The command `aiokv`: arguments in, exit status out. The binary calls [`run`], and so can a
//! package that brings the command along. What the commands do is in [`commands`].

mod commands;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aiokv::{AioKv, Options};
use clap::{Parser, Subcommand};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Look at and change a program's small state in one JSON file.
///
/// Programs may use the file at the same time. A missing file is an empty store.
#[derive(Parser)]
#[command(name = "aiokv", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Do not wait until a change is flushed to disk: faster, but it may not survive a power cut
    #[arg(long, global = true)]
    no_fsync: bool,

    /// How long a change waits for another process that holds the lock of the file
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        value_parser = seconds,
        default_value_t = Options::default().lock_timeout.as_secs_f64()
    )]
    lock_timeout: f64,
}

#[derive(Subcommand)]
enum Command {
    /// Print the value of a key as JSON; exit with status 1, silently, if there is no such key
    Get {
        /// The JSON file
        file: PathBuf,
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: String,
        /// Print a string as it is, without quotes and escapes
        #[arg(long)]
        raw: bool,
    },
    /// Set the value of a key
    Set {
        /// The JSON file, created if it is missing
        file: PathBuf,
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: String,
        /// The value as JSON, or `-` for standard input; if omitted, the time in seconds since 1970
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
        /// Take the value as a string, not as JSON; from standard input, without the last line feed
        #[arg(long, requires = "value")]
        string: bool,
    },
    /// Delete a key, whether it is there or not
    Delete {
        /// The JSON file
        file: PathBuf,
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: String,
    },
    /// Print everything as one JSON object, laid out like the file
    List {
        /// The JSON file
        file: PathBuf,
        /// Print only the keys, one a line, without quotes and escapes
        #[arg(long)]
        keys: bool,
    },
    /// Delete everything and remove the file, readable or not
    Clear {
        /// The JSON file
        file: PathBuf,
    },
    /// Say how many entries the file has, or where it is damaged, and whether it has a journal
    Check {
        /// The JSON file
        file: PathBuf,
    },
    /// Bring the file up to date with its journal, so that the file alone holds everything
    Checkpoint {
        /// The JSON file
        file: PathBuf,
    },
}

/// The exit status of a command that did what it was told.
const SUCCESS: u8 = 0;
/// The exit status of a command that failed, and of `get` for a key that is not there.
const FAILURE: u8 = 1;

/// Runs the command on arguments of which the first is its name, and returns the exit status:
/// 0 if it is done, 1 if it failed or `get` found no such key, 2 if the arguments make no sense.
///
/// Prints to standard output and standard error. What the store warns of goes to standard error,
/// unless the process has set a logger already.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // If there is a logger already, that one is told.
    let _ = log::set_logger(&StandardError).map(|()| log::set_max_level(LevelFilter::Warn));
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Asked for help, this is the help. If it cannot be printed, the status has to do.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(FAILURE);
        }
    };
    match execute(&arguments) {
        Ok(status) => status,
        Err(error) => {
            // If standard error is gone too, the status has to do.
            let _ = writeln!(io::stderr(), "aiokv: {error}");
            FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let store = AioKv::with_options(arguments.command.file(), arguments.options())?;
    let mut status = SUCCESS;
    match &arguments.command {
        Command::Get { key, raw, .. } => {
            if !commands::get(&store, key, *raw)? {
                status = FAILURE;
            }
        }
        Command::Set { key, value: None, .. } => commands::set_now(&store, key)?,
        Command::Set { key, value: Some(value), string: true, .. } => {
            commands::set_string(&store, key, value)?;
        }
        Command::Set { key, value: Some(value), string: false, .. } => {
            commands::set_json(&store, key, value)?;
        }
        Command::Delete { key, .. } => commands::delete(&store, key)?,
        Command::List { keys: true, .. } => commands::list_keys(&store)?,
        Command::List { keys: false, .. } => commands::list(&store)?,
        Command::Clear { .. } => commands::clear(&store)?,
        Command::Check { .. } => commands::check(&store, arguments.options())?,
        Command::Checkpoint { .. } => commands::checkpoint(&store, arguments.options())?,
    }
    commands::close(&store)?;
    Ok(status)
}

/// Tells the user what the store warns of, such as a key that occurs twice.
struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(io::stderr(), "aiokv: warning: {}", record.args());
        }
    }

    fn flush(&self) {}
}

impl Arguments {
    fn options(&self) -> Options {
        // `seconds` let nothing else pass, so the conversion cannot panic.
        let lock_timeout = Duration::from_secs_f64(self.lock_timeout);
        Options::default().fsync(!self.no_fsync).lock_timeout(lock_timeout)
    }
}

impl Command {
    fn file(&self) -> &Path {
        match self {
            Self::Get { file, .. }
            | Self::Set { file, .. }
            | Self::Delete { file, .. }
            | Self::List { file, .. }
            | Self::Clear { file }
            | Self::Check { file }
            | Self::Checkpoint { file } => file,
        }
    }
}

/// A number of seconds that is a duration: finite and not negative.
fn seconds(text: &str) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let seconds = text.parse()?;
    Duration::try_from_secs_f64(seconds)?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_options_reach_the_store_from_either_side_of_the_command() {
        for line in [
            ["aiokv", "--no-fsync", "--lock-timeout", "0.5", "clear", "state.json"],
            ["aiokv", "clear", "state.json", "--no-fsync", "--lock-timeout", "0.5"],
        ] {
            let options = Arguments::parse_from(line).options();
            assert!(!options.fsync);
            assert_eq!(options.lock_timeout, Duration::from_millis(500));
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let options = Arguments::parse_from(["aiokv", "clear", "state.json"]).options();
        assert_eq!(options.fsync, Options::default().fsync);
        assert_eq!(options.lock_timeout, Options::default().lock_timeout);
    }
}
