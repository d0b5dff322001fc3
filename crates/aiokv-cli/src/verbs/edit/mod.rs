//! `edit`: the store in an editor, as visudo does it. A person works on a copy while programs go on,
//! and what was changed there is carried over key by key, in one commit or not at all.

mod merge;
mod working_copy;

use std::collections::HashMap;

use aiokv::binding::Entry;
use clap::Args;

use self::merge::{Change, Tally, Winner, changes};
use self::working_copy::WorkingCopy;
use crate::console::text::harmless;
use crate::console::{Console, tell};
use crate::entries::read_object;
use crate::outcome::{Failure, Outcome, Status};
use crate::store::Store;

/// Edit the store in $VISUAL or $EDITOR, while programs use it
///
/// Opens a copy. What you change in it is carried over key by key, all of it or nothing, once it is
/// valid JSON. If a program changed the same key meanwhile, you are asked; in a pipe nothing happens
/// then. Nothing happens either if the editor fails. The order of entries stays; new ones come last.
#[derive(Args)]
pub(crate) struct Edit {
    /// Show only these keys in the editor
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    keys: Vec<String>,
}

/// What comes next.
enum Step {
    EditAgain,
    /// Nothing is carried over, because the person said so.
    GiveUp,
    /// Everything was carried over.
    Done(Tally),
}

impl Edit {
    pub(crate) fn run(&self, store: &Store, console: &Console) -> Outcome {
        store.kv().checkpoint()?;
        let Some(base) = self.base(store)? else { return Ok(Status::No) };
        let content = layout(&base);
        let copy = WorkingCopy::create(store.path(), &content)?;
        loop {
            if let Err(failure) = copy.edit() {
                let is_changed = copy.read()? != content.as_bytes();
                return Err(if is_changed { kept(copy, failure) } else { failure }
                    .context("nothing was changed"));
            }
            let text = copy.read()?;
            let step = match read_object(&text, copy.path()) {
                Err(mistake) => after_mistake(console, &copy, mistake),
                Ok(edited) => carry_over(store, console, &copy, &changes(&base, &edited)),
            };
            match step {
                Ok(Step::EditAgain) => {}
                Ok(Step::GiveUp) => {
                    console.say("nothing was changed")?;
                    return Ok(Status::No);
                }
                Ok(Step::Done(tally)) => {
                    let is_changed = tally != Tally::default();
                    report(store, console, tally)
                        .map_err(|failure| failure.after_change(is_changed))?;
                    return Ok(Status::Done);
                }
                Err(failure) => return Err(kept(copy, failure).context("nothing was changed")),
            }
        }
    }

    /// The entries to edit. `None` if one that was asked for is not there.
    fn base(&self, store: &Store) -> Outcome<Option<Vec<Entry>>> {
        if self.keys.is_empty() {
            return Ok(Some(store.snapshot("")?.iter().cloned().collect()));
        }
        let entries = store.entries(&self.keys)?;
        if let Some(absent) = entries.iter().position(Option::is_none) {
            tell(format!("there is no key `{}`", harmless(&self.keys[absent])));
            return Ok(None);
        }
        Ok(Some(entries.into_iter().flatten().collect()))
    }
}

/// Entries as the file has them.
fn layout(entries: &[Entry]) -> String {
    let lines = Vec::from_iter(entries.iter().map(Entry::line));
    if lines.is_empty() {
        "{}\n".to_owned()
    } else {
        format!("{{\n  {}\n}}\n", lines.join(",\n  "))
    }
}

/// Shows the mistake and asks what to do, if there is somebody to ask.
fn after_mistake(console: &Console, copy: &WorkingCopy, mistake: Failure) -> Outcome<Step> {
    if !console.can_ask() {
        return Err(mistake);
    }
    mistake.tell();
    tell_place(copy);
    match console.choose("What now? (e)dit again, give up and e(x)it", "ex")? {
        'e' => Ok(Step::EditAgain),
        _ => Ok(Step::GiveUp),
    }
}

/// Makes the changes to what the store holds now, all or none.
fn carry_over(
    store: &Store,
    console: &Console,
    copy: &WorkingCopy,
    changes: &[Change],
) -> Outcome<Step> {
    let mut decided = HashMap::new();
    loop {
        let found = store.read(changes.iter().map(|change| change.key.clone()).collect())?;
        let pairs = changes.iter().zip(found.iter().map(Option::as_ref));
        let conflicts = Vec::from_iter(pairs.clone().filter(|(change, now)| {
            !decided.contains_key(&change.key) && change.conflicts_with(*now)
        }));
        if !conflicts.is_empty() && !console.can_ask() {
            let keys = conflicts.iter().map(|(change, _)| format!("`{}`", change.shown_key()));
            let keys = Vec::from_iter(keys).join(", ");
            let message = format!("a program changed meanwhile what you changed: {keys}");
            return Err(Failure::new(Status::Impossible, message));
        }
        if !conflicts.is_empty() {
            tell_place(copy);
        }
        for (change, now) in conflicts {
            let winner = match ask(console, change, now)? {
                'y' => Winner::Person,
                's' => Winner::Store,
                'e' => return Ok(Step::EditAgain),
                _ => return Ok(Step::GiveUp),
            };
            decided.insert(change.key.clone(), winner);
        }
        let (writes, tally) = merge::writes(pairs, &decided);
        if writes.is_empty() || store.write(writes)?.is_ok() {
            return Ok(Step::Done(tally));
        }
    }
}

/// Asks about a key that the person and a program changed.
fn ask(console: &Console, change: &Change, now: Option<&Entry>) -> Outcome<char> {
    let value = |entry: Option<&Entry>| match entry {
        Some(entry) => harmless(entry.value_text()).into_owned(),
        None => "(no such key)".to_owned(),
    };
    tell(format!(
        "a program changed `{}` meanwhile\n  it was  {}\n  yours   {}\n  store   {}",
        change.shown_key(),
        value(change.base.as_ref()),
        value(change.wanted.as_ref()),
        value(now)
    ));
    let question =
        "What now? Take (y)ours, keep that of the (s)tore, (e)dit again, give up and e(x)it";
    console.choose(question, "ysex")
}

/// Says where the text is before a question: a person may end the program instead of answering.
fn tell_place(copy: &WorkingCopy) {
    tell(format!("your text is in `{}` until you decide", copy.path().display()));
}

/// Keeps the copy, and says where it is besides what went wrong.
fn kept(copy: WorkingCopy, failure: Failure) -> Failure {
    let path = copy.keep();
    Failure {
        message: failure.message.map(|it| format!("{it}\nyour text is in `{}`", path.display())),
        ..failure
    }
}

fn report(store: &Store, console: &Console, tally: Tally) -> Outcome<()> {
    if !console.is_for_person() {
        return console.print_json(&tally);
    }
    match tally == Tally::default() {
        true => console.say("nothing was changed"),
        false => console.say(format!("{} in `{}`", tally.in_words(), store.path().display())),
    }
}
