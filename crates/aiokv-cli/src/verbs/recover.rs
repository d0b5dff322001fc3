//! `recover`: what can be read of damaged files, in a new file.

use std::path::{self, Path, PathBuf};

use aiokv::binding::{Loss, Recovered, RecoveredJournal, Sources};
use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;

use crate::console::text::{self, harmless};
use crate::console::{Console, tell};
use crate::outcome::{Failure, Outcome, Status};
use crate::store::Store;

/// How many lost keys are named to a person for each damaged place.
const KEYS_SHOWN_MAX: usize = 20;

/// Write what can be read of damaged files to a new file, and say what was lost
///
/// Reads the file and makes the changes in its journal, also where these are damaged, do not fit each
/// other, or the file is missing. Takes whole entries only and guesses nothing. The damaged files stay
/// as they are. In a pipe one JSON object tells what was lost.
#[derive(Args)]
pub(crate) struct Recover {
    /// The file to write; there must be none of this name
    #[arg(value_hint = ValueHint::FilePath)]
    target: PathBuf,

    /// What to read
    #[arg(long, value_enum, default_value_t = From::Both)]
    from: From,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    /// The file, and then the changes in its journal
    Both,
    /// The file alone
    File,
    /// The changes in the journal alone
    Journal,
}

/// What a program is told.
#[derive(Serialize)]
struct Report<'recovered> {
    entries: usize,
    lost: Vec<Lost<'recovered>>,
    journal: Option<Journal>,
}

#[derive(Serialize)]
struct Journal {
    changes: usize,
    /// Whether it continues the file as that is.
    fits: bool,
}

/// A place that could not be read.
#[derive(Serialize)]
struct Lost<'recovered> {
    file: &'recovered Path,
    first_line: usize,
    last_line: usize,
    first_byte: u64,
    bytes: u64,
    problem: &'static str,
    keys: &'recovered [String],
}

impl Recover {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let sources = match self.from {
            From::Both => Sources::Both,
            From::File => Sources::File,
            From::Journal => Sources::Journal,
        };
        let target = path::absolute(&self.target)
            .map_err(|error| Failure::new(Status::System, format!("cannot write: {error}")))?;
        let recovered = store.recover(&target, sources)?;
        match console.is_for_person() {
            true => self.tell(store, &recovered),
            false => console
                .print_json(&report(store, &recovered))
                .map_err(|failure| failure.after_change(recovered.entries > 0))?,
        }
        let (file, target) = (store.path().display(), self.target.display());
        if recovered.entries == 0 {
            let message = format!("there is no entry in `{file}` to recover; nothing was written");
            return Err(Failure::new(Status::Damaged, message));
        }
        let entries = text::entries(recovered.entries);
        console.say(format!("recovered {entries} of `{file}` into `{target}`"))?;
        Ok(Status::Done)
    }

    /// Tells a person what was lost, and what is uncertain.
    fn tell(&self, store: &Store, recovered: &Recovered) {
        let lost = losses(store, recovered);
        for (file, loss) in &lost {
            tell(format!("lost: `{}` {loss}{}", file.display(), named(&loss.keys)));
        }
        let is_damaged = recovered.file.as_ref().is_none_or(|lost| !lost.is_empty());
        if let Some(RecoveredJournal { path, changes, fits: false, .. }) = &recovered.journal {
            let (journal, file) = (path.display(), store.path().display());
            tell(match (self.from, is_damaged) {
                (From::Journal, _) => format!("`{journal}` has {changes} changes of `{file}`"),
                (_, true) => format!(
                    "whether `{journal}` continues `{file}` cannot be told; its {changes} changes \
                     were made (`--from file` leaves them out)"
                ),
                (_, false) => format!(
                    "`{journal}` continues another content of `{file}`, which was edited or put back; \
                     its {changes} changes were made all the same (`--from file` leaves them out)"
                ),
            });
        }
        if lost.is_empty() {
            tell("nothing was lost");
        }
    }
}

fn losses<'recovered>(
    store: &'recovered Store,
    recovered: &'recovered Recovered,
) -> Vec<(&'recovered Path, &'recovered Loss)> {
    let of_file = recovered.file.iter().flatten().map(|loss| (store.path(), loss));
    let journal = recovered.journal.iter();
    let of_journal = journal.flat_map(|it| it.lost.iter().map(|loss| (it.path.as_path(), loss)));
    of_file.chain(of_journal).collect()
}

fn report<'recovered>(
    store: &'recovered Store,
    recovered: &'recovered Recovered,
) -> Report<'recovered> {
    let lost = losses(store, recovered).into_iter().map(|(file, loss)| Lost {
        file,
        first_line: loss.lines.0,
        last_line: loss.lines.1,
        first_byte: loss.bytes.start,
        bytes: loss.bytes.end - loss.bytes.start,
        problem: loss.problem,
        keys: &loss.keys,
    });
    let journal = recovered.journal.as_ref();
    Report {
        entries: recovered.entries,
        lost: lost.collect(),
        journal: journal.map(|it| Journal { changes: it.changes, fits: it.fits }),
    }
}

/// The keys that a damaged place still names, in words.
fn named(keys: &[String]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let shown = keys.iter().take(KEYS_SHOWN_MAX).map(|key| format!("`{}`", harmless(key)));
    let more = match keys.len().saturating_sub(KEYS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; the keys {}{more}", Vec::from_iter(shown).join(", "))
}
