//! `watch`: changes as they happen, whoever makes them.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use aiokv::binding::{self, Changed, Entry, Waiter, Wake};
use anstyle::{AnsiColor, Style};
use clap::Args;
use unicode_width::UnicodeWidthStr;

use super::list::Selection;
use crate::console::text::{characters, cut, harmless};
use crate::console::{Console, tell};
use crate::outcome::{Failure, Outcome};
use crate::store::Store;

/// Print changes as they happen, by whichever program
///
/// In a pipe JSON Lines: {"key": "last_command", "old": "ping", "new": "pong"}, without "old" for a new key and
/// without "new" for a deleted one. Several quick changes of a key may be told as one. Ends with
/// Ctrl-C.
#[derive(Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    selection: Selection,
}

impl Watch {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        let watch = store.watch(&self.selection.prefix)?;
        if console.is_for_person() {
            tell(format!("watching `{}`; Ctrl-C ends it", store.path().display()));
        }
        let (sender, answers) = mpsc::channel();
        loop {
            watch.next_changes(Box::new(Listener(sender.clone())));
            match answers.recv().expect("this function keeps a sender") {
                Ok(binding::Outcome::Changes(changes)) => {
                    let lines = changes.iter().map(|change| line(change, console));
                    console.print(lines.collect::<String>())?;
                }
                Ok(_) => unreachable!("a watcher is answered with changes"),
                // A program that edits the file may be about to mend it.
                Err(error) => Failure::from(error).tell(),
            }
        }
    }
}

/// One change: a line that fits for a person, JSON for a program.
fn line(Changed { before, after, .. }: &Changed, console: &Console) -> String {
    let either = after.as_ref().or(before.as_ref());
    let key_text = either.expect("a change has something before it or after it").key_text();
    let Some(width) = console.width().map(usize::from) else {
        let member = |name: &str, entry: &Option<Entry>| match entry {
            Some(entry) => format!(", \"{name}\": {}", entry.value_text()),
            None => String::new(),
        };
        let (old, new) = (member("old", before), member("new", after));
        return format!("{{\"key\": {key_text}{old}{new}}}\n");
    };
    let (color, words) = match (before, after) {
        (Some(old), Some(new)) => {
            (AnsiColor::Yellow, format!("{} -> {}", old.value_text(), new.value_text()))
        }
        (None, Some(new)) => (AnsiColor::Green, format!("+ {}", new.value_text())),
        (old, None) => {
            (AnsiColor::Red, format!("- {}", old.as_ref().map_or("", Entry::value_text)))
        }
    };
    let key = harmless(&characters(key_text)).into_owned();
    let words = harmless(&words).into_owned();
    let bold = Style::new().bold();
    let color = Style::new().fg_color(Some(color.into()));
    // Each part is cut on its own, so that a long key leaves some of the value.
    let key = cut(&key, width / 2);
    let words = cut(&words, width.saturating_sub(key.width() + 2));
    format!("{bold}{key}{bold:#}  {color}{words}{color:#}\n")
}

/// Takes the answers of a watcher to the thread that prints them.
struct Listener(Sender<aiokv::Result<binding::Outcome>>);

impl Waiter for Listener {
    fn answer(self: Box<Self>, answer: aiokv::Result<binding::Outcome>) -> Option<Arc<dyn Wake>> {
        // The receiver is gone if the command is about to end.
        let _ = self.0.send(answer);
        None
    }
}
