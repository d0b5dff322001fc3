//! The command `aiokv`: arguments in, exit status out. The binary calls [`run`], and so does the
//! Python package, which brings the command along.
//!
//! What a word means is in [`arguments`], what the verbs do in [`verbs`], how it looks in
//! [`console`].

mod arguments;
mod console;
mod entries;
mod outcome;
mod store;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use log::{Level, LevelFilter, Log, Metadata, Record};

use self::arguments::{Common, Request, Verb};
use self::console::{Console, tell};
use self::outcome::{Outcome, Status};
use self::store::Store;

/// As [`run`], for a Python package that brings the command along: this interpreter reads and writes
/// formats of Python.
pub fn run_in_python(interpreter: PathBuf, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    verbs::exchange::python::is_called_by(interpreter);
    run(arguments)
}

/// Runs the command on arguments of which the first is its name, and returns the exit status, which
/// `--help` explains.
///
/// Prints to standard output and standard error. What the store warns of goes to standard error,
/// unless the process has set a logger already.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // If there is a logger already, that one is told.
    let _ = log::set_logger(&StandardError).map(|()| log::set_max_level(LevelFilter::Warn));
    let status = match arguments::parse(arguments) {
        Ok(Request::Work { verb, path, common }) => work(verb.as_ref(), path, &common),
        Ok(Request::Print(text)) => Console::new(true).print(text).map(|()| Status::Done),
        Err(error) => explain(&error),
    };
    match status {
        Ok(status) => status as u8,
        Err(failure) => {
            failure.tell();
            failure.status as u8
        }
    }
}

/// Prints why arguments make no sense, or the help that they ask for.
fn explain(error: &clap::Error) -> Outcome {
    // If it cannot be printed, the status has to do.
    let _ = error.print();
    if !error.use_stderr() {
        return Ok(Status::Done);
    }
    arguments::hint().into_iter().for_each(tell);
    Ok(Status::Usage)
}

fn work(verb: Option<&Verb>, path: PathBuf, common: &Common) -> Outcome {
    let store = Store::new(path, common.options())?;
    let console = Console::new(common.json);
    let status = match verb {
        None => verbs::list::show(&store, &console),
        Some(Verb::Get(get)) => get.run(&store, &console),
        Some(Verb::Set(set)) => set.run(&store),
        Some(Verb::Add(add)) => add.run(&store, &console),
        Some(Verb::Delete(delete)) => delete.run(&store, &console),
        Some(Verb::Keys(keys)) => keys.run(&store, &console),
        Some(Verb::Items(items)) => items.run(&store, &console),
        Some(Verb::Count(count)) => count.run(&store, &console),
        Some(Verb::Increment(increment)) => increment.run(&store, &console),
        Some(Verb::Clear(clear)) => clear.run(&store, &console),
        Some(Verb::Check(check)) => check.run(&store, &console),
        Some(Verb::Checkpoint(checkpoint)) => checkpoint.run(&store, &console),
        Some(Verb::Backup(backup)) => backup.run(&store, &console),
        Some(Verb::Edit(edit)) => edit.run(&store, &console),
        Some(Verb::Import(import)) => import.run(&store, &console),
        Some(Verb::Export(export)) => export.run(&store, &console),
        Some(Verb::Recover(recover)) => recover.run(&store, &console),
        Some(Verb::Watch(watch)) => watch.run(&store, &console),
        Some(Verb::Stats(stats)) => stats.run(&store, &console),
        Some(Verb::Completions(_) | Verb::Man(_)) => unreachable!("they work on no store"),
    };
    // Also after a failure: a change whose result could not be printed belongs into the file too.
    match (status, store.close()) {
        (Ok(status), closed) => closed.map(|()| status),
        (Err(failure), closed) => {
            closed.unwrap_or_else(|more| more.tell());
            Err(failure)
        }
    }
}

/// Tells the user what the store warns of, such as a key that occurs twice.
struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            tell(format!("warning: {}", record.args()));
        }
    }

    fn flush(&self) {}
}
