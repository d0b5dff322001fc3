//! What a store can be asked to do, and what it answers.

use std::borrow::Cow;

use crate::format::journal::Event;
use crate::json::entry::Entry;
use crate::state::map::{Draft, View};

/// A request in the queue. The writer evaluates it on the newest state, so it is not a blind
/// write: it can look before it changes, and it has an answer.
#[derive(Debug)]
pub enum Operation {
    /// The entry of a key.
    Get(Box<[u8]>),
    /// Every entry.
    GetAll,
    /// Sets the value of a key.
    Set(Entry),
    /// Deletes a key, whether it is there or not.
    Delete(Box<[u8]>),
    /// Deletes everything and removes the file. Needs no readable file.
    Clear,
    /// Changes nothing in the store; answered once everything before it is, and once the file
    /// holds what this process appended to the journal.
    Settle,
}

/// The result of an [`Operation`].
pub enum Answer {
    /// To [`Operation::Get`].
    Entry(Option<Entry>),
    /// To [`Operation::GetAll`].
    View(View),
    /// To everything else.
    Done,
}

/// Which keys an operation may change.
pub(crate) enum Target<'operation> {
    Nothing,
    Key(Cow<'operation, [u8]>),
    Everything,
}

impl Operation {
    pub(crate) fn target(&self) -> Target<'_> {
        match self {
            Self::Get(_) | Self::GetAll | Self::Settle => Target::Nothing,
            Self::Set(entry) => Target::Key(entry.key()),
            Self::Delete(key) => Target::Key(Cow::Borrowed(key)),
            Self::Clear => Target::Everything,
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.target(), Target::Nothing)
    }

    /// Whether it may have to wait for another process that holds the lock of the file.
    pub(crate) fn needs_lock(&self) -> bool {
        self.is_write() || matches!(self, Self::Settle)
    }

    /// Whether it needs to know what the store holds.
    pub(crate) fn needs_state(&self) -> bool {
        !matches!(self, Self::Clear | Self::Settle)
    }

    /// What the operation will do to the state, as a line of the journal tells it. Clearing is not
    /// told by a line.
    pub(crate) fn event(&self, draft: &Draft<'_>) -> Option<Event> {
        match self {
            Self::Set(entry) => Some(Event::Set(entry.clone())),
            Self::Delete(key) => draft.get(key).cloned().map(Event::Deleted),
            Self::Get(_) | Self::GetAll | Self::Clear | Self::Settle => None,
        }
    }

    /// Carries the operation out on a draft of the newest state.
    pub(crate) fn evaluate(&self, draft: &mut Draft<'_>) -> Answer {
        match self {
            Self::Get(key) => return Answer::Entry(draft.get(key).cloned()),
            Self::GetAll => return Answer::View(draft.view()),
            Self::Set(entry) => draft.set(entry.clone()),
            Self::Delete(key) => draft.delete(key),
            Self::Clear => draft.clear(),
            Self::Settle => {}
        }
        Answer::Done
    }
}
