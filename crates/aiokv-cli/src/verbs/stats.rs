//! `stats`: how much there is in a store, and of what.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use aiokv::binding::{Entry, Snapshot};
use clap::Args;
use serde::Serialize;

use crate::console::text::{age, characters, harmless, size, type_name};
use crate::console::{Console, table};
use crate::outcome::{Outcome, Status};
use crate::store::Store;

/// Print how much there is, and of what
///
/// Entries by type, the sizes of the file and its journal, how far the file lags behind, the largest entries
/// and prefixes. A prefix is what stands before the first colon of a key.
#[derive(Args)]
pub(crate) struct Stats {
    /// How many of the largest entries and prefixes
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    top: usize,
}

/// What a program is told.
#[derive(Serialize)]
struct Report {
    exists: bool,
    entries: usize,
    /// The size of the file.
    bytes: u64,
    journal: Option<Journal>,
    /// How many entries there are of each type.
    types: BTreeMap<&'static str, usize>,
    /// The largest first.
    largest: Vec<Large>,
    prefixes: Vec<Prefix>,
}

#[derive(Serialize)]
struct Journal {
    bytes: u64,
    /// For how long, at most, the file alone has not held everything; nothing if it does.
    lag_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Large {
    key: String,
    bytes: usize,
}

#[derive(Serialize)]
struct Prefix {
    prefix: String,
    entries: usize,
    bytes: usize,
}

impl Stats {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let report = self.report(store)?;
        if !report.exists {
            store.tell_missing();
        }
        match console.width() {
            None => console.print_json(&report)?,
            Some(width) => console.print(report.in_words(width))?,
        }
        Ok(Status::Done)
    }

    fn report(&self, store: &Store) -> Outcome<Report> {
        let found = store.inspect()?;
        let snapshot = store.snapshot("")?;
        let metadata = fs::metadata(store.path()).ok();
        let modified = metadata.as_ref().and_then(|it| it.modified().ok());
        let journal = found.journal.map(|journal| Journal {
            bytes: journal.bytes,
            // A checkpoint replaces the file, and the beginning of a journal touches it.
            lag_seconds: modified.filter(|_| journal.is_ahead).map(seconds_since),
        });
        let mut types = BTreeMap::new();
        for entry in snapshot.iter() {
            *types.entry(type_name(entry.value_text())).or_default() += 1;
        }
        Ok(Report {
            exists: found.entries.is_some(),
            entries: snapshot.len(),
            bytes: metadata.map_or(0, |it| it.len()),
            journal,
            types,
            largest: self.largest(&snapshot),
            prefixes: self.prefixes(&snapshot),
        })
    }

    fn largest(&self, snapshot: &Snapshot) -> Vec<Large> {
        let mut entries = Vec::from_iter(snapshot.iter());
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.line().len()));
        let large = |entry: &Entry| Large {
            key: characters(entry.key_text()).into_owned(),
            bytes: entry.line().len(),
        };
        entries.into_iter().take(self.top).map(large).collect()
    }

    fn prefixes(&self, snapshot: &Snapshot) -> Vec<Prefix> {
        let mut found = BTreeMap::<String, (usize, usize)>::new();
        for entry in snapshot.iter() {
            let key = characters(entry.key_text());
            if let Some(colon) = key.find(':') {
                let (entries, bytes) = found.entry(key[..=colon].to_owned()).or_default();
                *entries += 1;
                *bytes += entry.line().len();
            }
        }
        let prefix = |(prefix, (entries, bytes))| Prefix { prefix, entries, bytes };
        let mut prefixes = Vec::from_iter(found.into_iter().map(prefix));
        prefixes.sort_by_key(|it| std::cmp::Reverse(it.bytes));
        prefixes.truncate(self.top);
        prefixes
    }
}

impl Report {
    fn in_words(&self, width: u16) -> String {
        let types = self.types.iter().map(|(name, number)| format!("{number} {name}"));
        let types = match Vec::from_iter(types).join(", ") {
            none if none.is_empty() => none,
            types => format!(": {types}"),
        };
        let journal = match &self.journal {
            None => "none".to_owned(),
            Some(Journal { bytes, lag_seconds: None }) => format!("{}, can go", size(*bytes)),
            Some(Journal { bytes, lag_seconds: Some(seconds) }) => {
                format!("{}; the file lags up to {} behind", size(*bytes), age(*seconds as f64))
            }
        };
        let facts = [
            ["entries".to_owned(), format!("{}{types}", self.entries)],
            ["file".to_owned(), size(self.bytes)],
            ["journal".to_owned(), journal],
        ];
        let largest =
            self.largest.iter().map(|it| [harmless(&it.key).into_owned(), size(it.bytes as u64)]);
        let prefixes = self.prefixes.iter().map(|it| {
            let prefix = harmless(&it.prefix).into_owned();
            [prefix, it.entries.to_string(), size(it.bytes as u64)]
        });
        let mut text = table::rows(&[], facts, width);
        if !self.largest.is_empty() {
            text += &format!("\n{}", table::rows(&["LARGEST", "SIZE"], largest, width));
        }
        if !self.prefixes.is_empty() {
            let titles = ["PREFIX", "ENTRIES", "SIZE"];
            text += &format!("\n{}", table::rows(&titles, prefixes, width));
        }
        text
    }
}

fn seconds_since(time: SystemTime) -> u64 {
    SystemTime::now().duration_since(time).unwrap_or_default().as_secs()
}
