//! What a fault may lead to.

use rustix::io::Errno;

use super::{FILE, JOURNAL, TEMPORARY};
use crate::support::process::{Made, Plan};
use crate::support::requests::Request;
use crate::support::simulated_disk::Action;

/// A call that failed or was short, while requests were carried out.
pub(super) struct Fault<'run> {
    pub(super) requests: &'run [Request],
    /// The calls since the requests were sent.
    pub(super) log: &'run [Made],
    pub(super) struck: usize,
    pub(super) plan: Plan,
}

/// What there is after writes that failed.
pub(super) enum Left {
    /// What there was before.
    Old,
    /// What there would be if they had not failed.
    New,
    /// The one or the other, for all of them.
    Either,
}

impl Fault<'_> {
    fn call(&self) -> &Made {
        &self.log[self.struck]
    }

    fn before(&self) -> &[Made] {
        &self.log[..self.struck]
    }

    /// Whether the requests have to succeed (`true`) or have to fail although the call failed;
    /// `None` if either is right.
    pub(super) fn may_succeed(&self) -> Option<bool> {
        let Plan::Fail { errno, .. } = self.plan else { return Some(true) };
        let call = self.call();
        match call.action {
            // What was interrupted is tried again; the owner is kept where that is allowed.
            Action::Read | Action::Write if errno == Errno::INTR => Some(true),
            Action::SetOwner if errno == Errno::ACCESS => Some(true),
            // A look that fails makes a read of it; a look at the journal is a read of two bytes.
            action if action.looks() || action == Action::Read => None,
            // Clearing needs no readable file.
            Action::Open if self.requests.contains(&Request::Clear) => None,
            // Without a journal, the file is replaced instead.
            Action::Touch => Some(true),
            // Whatever needs the name of the temporary file says so itself.
            Action::Remove | Action::Lock if call.is(call.action, TEMPORARY) => None,
            Action::Open if call.is(Action::Open, TEMPORARY) => None,
            // A journal that the file holds already may stay.
            Action::Remove if call.is(Action::Remove, JOURNAL) => None,
            // What is found and not known to be durable may be written anew instead.
            _ if is_flush(call) && self.nothing_changed() => None,
            _ => Some(false),
        }
    }

    /// What is there if the requests failed: the old state, unless the file or the journal had been
    /// replaced or the file had been removed.
    pub(super) fn left(&self) -> Left {
        let made = |actions: &[Action], path: &str| {
            self.before().iter().any(|call| actions.iter().any(|action| call.is(*action, path)))
        };
        let renamed = [Action::Rename, Action::RenameNew];
        if made(&renamed, FILE) || made(&[Action::Remove], FILE) {
            Left::New
        } else if made(&renamed, JOURNAL) {
            Left::Either
        } else {
            Left::Old
        }
    }

    /// Whether nothing had been done but to remove what a killed process left.
    fn nothing_changed(&self) -> bool {
        self.before().iter().all(|call| {
            call.is(Action::Remove, TEMPORARY) || is_flush(call) || !call.action.changes_the_disk()
        })
    }

    /// Whether a temporary file that was given up, or left behind, could not be removed. The next
    /// process that needs its name does it.
    pub(super) fn leaves_temporary(&self) -> bool {
        let removes =
            [Action::Remove, Action::Look, Action::Open, Action::LookAtHandle, Action::Lock];
        removes.iter().any(|action| self.call().is(*action, TEMPORARY))
    }
}

pub(super) fn is_flush_of_a_file(call: &Made) -> bool {
    matches!(call.action, Action::Flush | Action::FlushContent)
}

fn is_flush(call: &Made) -> bool {
    let of_directory = matches!(call.action, Action::OpenDirectory | Action::FlushDirectory);
    is_flush_of_a_file(call) || of_directory
}
