//! `export`: the entries of one moment in another format.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aiokv::binding::Snapshot;
use clap::{Args, ValueHint};

use super::progress::Progress;
use super::python::Python;
use super::{Format, is_standard};
use crate::console::{Console, STANDARD_INPUT, text};
use crate::outcome::{Failure, Outcome, Status};
use crate::store::Store;
use crate::verbs::list::{Selection, json_line};

/// Write the entries in another format
///
/// All of one moment. JSON and JSON Lines go to standard output if there is no target. A target must
/// not be there yet. `shelve` gets pickled values, SQLite a table `entries` with the columns `key` and
/// `value`, which is JSON. The format follows from the name of the target, as for `import`.
#[derive(Args)]
pub(crate) struct Export {
    /// The file to write, or `-` for standard output
    #[arg(value_hint = ValueHint::FilePath, default_value = STANDARD_INPUT, hide_default_value = true)]
    target: PathBuf,

    /// The format of the target
    #[arg(long, value_enum)]
    format: Option<Format>,

    #[command(flatten)]
    selection: Selection,
}

impl Export {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let default = is_standard(&self.target).then_some(Format::Json);
        let format = Format::of(self.format.or(default), &self.target)?;
        if format == Format::Telegram {
            return Err(Failure::new(Status::Usage, "this format can only be imported"));
        }
        let snapshot = store.snapshot(&self.selection.prefix)?;
        let entries = text::entries(snapshot.len());
        match format.in_python() {
            Some(name) => self.write_by_python(name, &snapshot)?,
            None if is_standard(&self.target) => {
                // As a program gets it, at a terminal too.
                return Console::new(true).print(text_of(&snapshot, format)).map(|()| Status::Done);
            }
            None => self.write(store, &text_of(&snapshot, format))?,
        }
        let (file, target) = (store.path().display(), self.target.display());
        console.say(format!("exported {entries} of `{file}` to `{target}`"))?;
        Ok(Status::Done)
    }

    /// Writes a new file, which no user can read who could not read the store.
    fn write(&self, store: &Store, text: &str) -> Outcome<()> {
        let mode = fs::metadata(store.path()).map_or(0o666, |metadata| metadata.mode() & 0o666);
        // Half of an export is no use, so the file gets its name once it is complete.
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let created = tempfile::Builder::new()
            .prefix(".aiokv-export-")
            // Opened here, so that an error does not name the temporary file too.
            .make_in(directory.unwrap_or(Path::new(".")), |path| {
                OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
            });
        let written = created.and_then(|mut file| {
            file.as_file_mut().write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            Ok(file.persist_noclobber(&self.target)?)
        });
        written.map(drop).map_err(|error| cannot_write(&self.target, &error))
    }

    fn write_by_python(&self, format: &str, snapshot: &Snapshot) -> Outcome<()> {
        if is_standard(&self.target) {
            let message = "Python has to create the file itself: give its name";
            return Err(Failure::new(Status::Usage, message));
        }
        let progress = Progress::new("exporting", Some(snapshot.len() as u64));
        // How many, so that the end of this process is not taken for that of the entries.
        let count = format!("--entries={}", snapshot.len());
        let words: Vec<OsString> = vec![
            "write".into(),
            format.into(),
            count.into(),
            "--".into(),
            self.target.clone().into(),
        ];
        let mut python = Python::start(words)?;
        let mut input = BufWriter::new(python.input());
        let mut entries = snapshot.iter();
        let sent = entries.try_for_each(|entry| {
            progress.step();
            input.write_all(json_line(entry).as_bytes())
        });
        let sent = sent.and_then(|()| input.flush());
        drop(input);
        // If Python failed, that is why it does not listen any more.
        python.finish()?;
        sent.map_err(|error| cannot_write(&self.target, &error))
    }
}

fn text_of(snapshot: &Snapshot, format: Format) -> String {
    match format {
        Format::Jsonl => snapshot.iter().map(json_line).collect(),
        _ => snapshot.to_string(),
    }
}

fn cannot_write(target: &Path, error: &io::Error) -> Failure {
    let problem = match error.kind() {
        ErrorKind::AlreadyExists => "there is such a file already; choose another name".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Status::System, format!("cannot write `{}`: {problem}", target.display()))
}
