//! `import`: the entries of another format become entries of the store, all in one commit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use aiokv::binding::{Change, Condition, Entry, Write};
use clap::{Args, ValueHint};
use serde::Serialize;

use super::progress::Progress;
use super::python::Python;
use super::{Format, is_standard};
use crate::console::Console;
use crate::console::text::{self, harmless};
use crate::entries::{read_line, read_object, require_single};
use crate::outcome::{Failure, Outcome, Status};
use crate::store::Store;

/// Take over the entries of a file in another format
///
/// All of them, or none: a value that JSON does not have, or a key that the store has already, is named,
/// and nothing is imported. The format follows from the name of the source (.json, .jsonl, .ndjson,
/// .sqlite, .sqlite3), or say --format. Formats of Python need Python with the package aiokv.
#[derive(Args)]
pub(crate) struct Import {
    /// What to import, or `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    source: PathBuf,

    /// The format of the source
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Put this before each key, such as `bot:` for what is to be in a namespace
    #[arg(long, short, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    prefix: String,

    /// Give keys that are there already their new values
    #[arg(long, conflicts_with = "keep")]
    replace: bool,

    /// Leave keys that are there already as they are
    #[arg(long)]
    keep: bool,

    /// Unpickle the source, which runs whatever code is in it: only for a file that you trust
    #[arg(long)]
    unsafe_pickle: bool,

    #[command(flatten)]
    table: Table,
}

/// What of an SQLite database is meant.
#[derive(Args)]
struct Table {
    /// SQLite: the table; may be left out if there is one
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// SQLite: the column with the keys; else `key`, or the primary key
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,

    /// SQLite: the column with the values; else the other column, or an object of all others
    #[arg(long, value_name = "COLUMN")]
    value: Option<String>,

    /// SQLite: text in other columns is JSON, as it is anyhow where the type of the column is JSON
    #[arg(long)]
    parse: bool,
}

/// What became of the entries.
#[derive(Default, Serialize)]
struct Tally {
    imported: usize,
    /// How many keys stayed as they were.
    kept: usize,
}

impl Import {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let format = Format::of(self.format, &self.source)?;
        if matches!(format, Format::Shelve | Format::Telegram) && !self.unsafe_pickle {
            let message = "reading this format runs whatever code is in the file (it is pickled): say \
                           --unsafe-pickle if you trust whoever wrote it; nothing was imported";
            return Err(Failure::new(Status::Usage, message));
        }
        let entries =
            self.read(format).map_err(|failure| failure.context("nothing was imported"))?;
        let entries = entries.iter().map(|entry| with_prefix(&self.prefix, entry)).collect();
        let tally = self.write(store, entries)?;
        let told = match console.is_for_person() {
            true => console.say(tally.in_words(store)),
            false => console.print_json(&tally),
        };
        told.map_err(|failure| failure.after_change(tally.imported > 0))?;
        Ok(Status::Done)
    }

    fn read(&self, format: Format) -> Outcome<Vec<Entry>> {
        let progress = Progress::new("entries read", None);
        let entries = match format.in_python() {
            Some(name) => self.read_by_python(name, &progress)?,
            None => {
                let source = open(&self.source)?;
                match format {
                    Format::Jsonl => {
                        read_lines(source, &progress).map_err(|it| self.in_source(it))?
                    }
                    _ => read_whole(source, &self.source).map_err(|it| self.in_source(it))?,
                }
            }
        };
        require_single(&entries).map_err(|failure| self.in_source(failure))?;
        Ok(entries)
    }

    fn read_by_python(&self, format: &str, progress: &Progress) -> Outcome<Vec<Entry>> {
        if is_standard(&self.source) {
            let message = "Python has to open the file itself: give its name, not `-`";
            return Err(Failure::new(Status::Usage, message));
        }
        let mut words: Vec<OsString> = vec!["read".into(), format.into()];
        let Table { table, key, value, parse } = &self.table;
        let named = [("--table", table), ("--key", key), ("--value", value)];
        for (option, name) in
            named.iter().filter_map(|(option, name)| Some((option, name.as_ref()?)))
        {
            words.push(format!("{option}={name}").into());
        }
        if *parse {
            words.push("--parse".into());
        }
        words.extend(["--".into(), self.source.clone().into()]);
        let mut python = Python::start(words)?;
        let entries = read_lines(Box::new(BufReader::new(python.output())), progress);
        // If Python failed, that is the cause of whatever is missing.
        python.finish()?;
        entries
    }

    fn in_source(&self, failure: Failure) -> Failure {
        let source = match is_standard(&self.source) {
            true => "standard input".to_owned(),
            false => format!("`{}`", self.source.display()),
        };
        failure.context(&source)
    }

    /// Makes all entries those of the store, or none.
    fn write(&self, store: &Store, mut entries: Vec<Entry>) -> Outcome<Tally> {
        let progress = Progress::new("writing", None);
        let mut kept = 0;
        loop {
            if self.keep {
                let keys = entries.iter().map(|entry| entry.key().into()).collect();
                let mut found = store.read(keys)?.into_iter();
                let count = entries.len();
                entries.retain(|_| found.next().flatten().is_none());
                kept += count - entries.len();
            }
            let condition = || if self.replace { Condition::Anything } else { Condition::Absent };
            let write = |entry: &Entry| Write {
                condition: condition(),
                change: Change::Set(entry.clone()),
            };
            match store.write(entries.iter().map(write).collect())? {
                Ok(()) => break,
                // A program was faster.
                Err(_) if self.keep => {}
                Err(index) => {
                    let key = harmless(entries[index].key_text()).into_owned();
                    let message = format!(
                        "the key {key} is there already; nothing was imported: say --replace for the \
                         new values or --keep for those that are there"
                    );
                    return Err(Failure::new(Status::Impossible, message));
                }
            }
        }
        drop(progress);
        Ok(Tally { imported: entries.len(), kept })
    }
}

impl Tally {
    fn in_words(&self, store: &Store) -> String {
        let kept = match self.kept {
            0 => String::new(),
            kept => format!("; {} stayed as they were", text::entries(kept)),
        };
        format!("imported {} into `{}`{kept}", text::entries(self.imported), store.path().display())
    }
}

/// The entry under a key with something before it.
fn with_prefix(prefix: &str, entry: &Entry) -> Entry {
    if prefix.is_empty() {
        return entry.clone();
    }
    let text = serde_json::to_string(prefix).expect("a string is always JSON");
    // Both are JSON strings: the one without its last quote, the other without its first.
    let key = [&text[..text.len() - 1], &entry.key_text()[1..]].concat();
    Entry::new(&key, entry.value_text())
}

fn open(source: &Path) -> Outcome<Box<dyn BufRead>> {
    if is_standard(source) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(source).map_err(|error| {
        Failure::new(Status::System, format!("cannot read `{}`: {error}", source.display()))
    })?;
    Ok(Box::new(BufReader::new(opened)))
}

fn read_whole(mut source: Box<dyn BufRead>, path: &Path) -> Outcome<Vec<Entry>> {
    let mut text = Vec::new();
    source.read_to_end(&mut text).map_err(unreadable)?;
    Ok(read_object(&text, path)?.iter().cloned().collect())
}

fn read_lines(source: Box<dyn BufRead>, progress: &Progress) -> Outcome<Vec<Entry>> {
    let mut entries = Vec::new();
    for (index, line) in source.split(b'\n').enumerate() {
        let line = line.map_err(unreadable)?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let entry = read_line(&line).map_err(|problem| {
            Failure::new(Status::Damaged, format!("line {}: {problem}", index + 1))
        })?;
        entries.push(entry);
        progress.step();
    }
    Ok(entries)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(Status::System, format!("cannot read it: {error}"))
}
