//! The grammar: which word of the command line is what.
//!
//! `aiokv FILE` shows a store and `aiokv VERB FILE ...` does something with it, so a FILE that is
//! called like a verb is written `./get`. While the environment variable `AIOKV_PATH` names a
//! store, verbs work on that one and take no FILE at all: a word has one meaning, whatever files
//! there are.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use aiokv::Options;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::outcome;
use crate::verbs::{
    change, check, copy, delete, edit, exchange, get, list, recover, shell, stats, watch,
};

/// The environment variable that names the store.
pub(crate) const PATH_VARIABLE: &str = "AIOKV_PATH";

/// The name of the argument FILE of a verb.
const STORE: &str = "store";

/// The verbs that work on no store.
const WITHOUT_STORE: [&str; 2] = ["completions", "man"];

/// What the user asks for.
pub(crate) enum Request {
    /// To do something with a store.
    Work {
        /// What to do; nothing stands for showing the store.
        verb: Option<Verb>,
        /// The file of the store.
        path: PathBuf,
        common: Common,
    },
    /// To see a text.
    Print(String),
}

/// Look at and change a program's small state in one JSON file
///
/// Programs may use the file at the same time. A missing file is an empty store.
#[derive(Parser)]
#[command(
    name = "aiokv",
    bin_name = "aiokv",
    version,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    override_usage = "aiokv FILE\n       aiokv VERB FILE [ARGUMENTS]"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// Show the store in this JSON file; one that is called like a verb is written ./get
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// What makes no sense behind a FILE, kept for the words of the error
    #[arg(hide = true)]
    rest: Vec<OsString>,

    #[command(flatten)]
    common: Common,
}

/// The options of every verb.
#[derive(Args)]
pub(crate) struct Common {
    /// Print JSON at a terminal too, as in a pipe
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Do not wait until a change is flushed to disk: faster, but it may not survive a power cut
    #[arg(long, global = true)]
    no_fsync: bool,

    /// How long to wait for another process that holds the lock of the file
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        value_parser = seconds,
        default_value_t = Options::default().lock_timeout.as_secs_f64()
    )]
    lock_timeout: f64,
}

/// What can be done with a store.
#[derive(Subcommand)]
pub(crate) enum Verb {
    Get(get::Get),
    Set(change::Set),
    Add(change::Add),
    Delete(delete::Delete),
    Keys(list::Keys),
    Items(list::Items),
    Count(list::Count),
    Increment(change::Increment),
    Clear(delete::Clear),
    Check(check::Check),
    Checkpoint(copy::Checkpoint),
    Backup(copy::Backup),
    Edit(edit::Edit),
    Import(exchange::import::Import),
    Export(exchange::export::Export),
    Recover(recover::Recover),
    Watch(watch::Watch),
    Stats(stats::Stats),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Understands a command line, of which the first word is the name of the command.
///
/// # Errors
///
/// What to print, and where: also help and the version, if they were asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, clap::Error> {
    let named = named_store();
    let mut command = command(named.is_none());
    let matches = command.try_get_matches_from_mut(words)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    match &arguments.verb {
        Some(Verb::Completions(completions)) => {
            return Ok(Request::Print(completions.text(&mut command)));
        }
        Some(Verb::Man(man)) => return man.text(&mut command).map(Request::Print),
        _ => {}
    }
    let path = match (&arguments.verb, arguments.file) {
        (None, Some(word)) if !arguments.rest.is_empty() => {
            let word = word.display();
            let message = format!(
                "`{word}` is no verb; `aiokv {word}` alone would show the file of that name"
            );
            return Err(command.error(ErrorKind::InvalidSubcommand, message));
        }
        (Some(_), Some(word)) => {
            let message = format!("the verb comes before `{}`", word.display());
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
        (None, file) => file.or(named),
        (Some(_), None) => named.or_else(|| {
            let (_, verb) = matches.subcommand()?;
            verb.get_one::<PathBuf>(STORE).cloned()
        }),
    };
    let Some(path) = path else {
        let message = format!("which store? Give a FILE, or set {PATH_VARIABLE}");
        return Err(command.error(ErrorKind::MissingRequiredArgument, message));
    };
    Ok(Request::Work { verb: arguments.verb, path, common: arguments.common })
}

/// What to tell besides an error, if verbs take no FILE and the user may not know.
pub(crate) fn hint() -> Option<String> {
    let path = named_store()?;
    let path = path.display();
    Some(format!("{PATH_VARIABLE} is set, so verbs work on `{path}` and take no FILE"))
}

/// The store that the environment names.
fn named_store() -> Option<PathBuf> {
    env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The command line with all verbs, which take a FILE or not.
fn command(verbs_take_file: bool) -> Command {
    let command = Arguments::command()
        .after_help("`aiokv --help` explains the exit status and what a pipe gets.")
        .after_long_help(explanation());
    if !verbs_take_file {
        return command;
    }
    command.arg_required_else_help(true).mut_subcommands(|verb| {
        if WITHOUT_STORE.contains(&verb.get_name()) { verb } else { with_file(verb) }
    })
}

/// A verb with a FILE before its other words.
fn with_file(verb: Command) -> Command {
    let mut index = 1;
    let verb = verb.mut_args(|argument| {
        if !argument.is_positional() {
            return argument;
        }
        index += 1;
        argument.index(index)
    });
    let file = Arg::new(STORE)
        .value_name("FILE")
        .help("The JSON file")
        .index(1)
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath);
    verb.arg(file)
}

fn explanation() -> String {
    format!(
        "While the environment variable {PATH_VARIABLE} names a file, verbs work on that one and \
         take no FILE: `aiokv get KEY`.\n\nA terminal gets tables and colours (unless NO_COLOR is \
         set), a pipe plain JSON, or JSON Lines where there may be many.\n\nExit status:\n{}",
        outcome::EXPLAINED
    )
}

impl Common {
    pub(crate) fn options(&self) -> Options {
        // `seconds` let nothing else pass, so the conversion cannot panic.
        let lock_timeout = Duration::from_secs_f64(self.lock_timeout);
        Options::default().fsync(!self.no_fsync).lock_timeout(lock_timeout)
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

    fn options<const N: usize>(line: [&str; N]) -> Options {
        match parse(line.map(OsString::from)) {
            Ok(Request::Work { common, .. }) => common.options(),
            _ => panic!("{line:?} makes sense"),
        }
    }

    #[test]
    fn the_grammar_has_no_contradictions() {
        command(true).debug_assert();
        command(false).debug_assert();
    }

    #[test]
    fn common_options_count_on_either_side_of_the_verb() {
        for line in [
            ["aiokv", "--no-fsync", "--lock-timeout", "0.5", "check", "state.json"],
            ["aiokv", "check", "state.json", "--no-fsync", "--lock-timeout", "0.5"],
        ] {
            let options = options(line);
            assert!(!options.fsync);
            assert_eq!(options.lock_timeout, Duration::from_millis(500));
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let options = options(["aiokv", "check", "state.json"]);
        assert_eq!(options.fsync, Options::default().fsync);
        assert_eq!(options.lock_timeout, Options::default().lock_timeout);
    }
}
