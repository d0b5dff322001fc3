//! A journal that does not continue the file as it is: the file, or the journal, was edited,
//! restored, removed or exchanged.

use std::path::Path;

use aiokv::Error;

use super::{
    FILE, JOURNAL, Journaled, OLD, content, contents_after, machine, put, put_in_place,
    require_contents, require_file, require_left_alone, require_writable, start,
};
use crate::support::options::appending;
use crate::support::process::Machine;
use crate::support::requests::{Contents, Request, get, set};

const EDITED: &str = "{\"edited\": \"by hand\"}";

/// Checks that a journal that does not go with the file is an error that names both and says how
/// to choose.
fn require_misfit(machine: &Machine) {
    let error = machine.contents(FILE).unwrap_err();
    let Error::Corrupt(_) = &error else { panic!("{error}") };
    let message = error.to_string();
    for part in [
        &format!("`{JOURNAL}`"),
        &format!("`{FILE}`"),
        "remove the journal",
        "put back",
        &format!("`aiokv checkpoint {FILE}`"),
    ] {
        assert!(message.contains(part), "{message}");
    }
    require_left_alone(machine);
}

/// Checks both ways out of a misfit: to go on with the file, and to put back the old one.
fn require_choice(journaled: &Journaled, machine: &Machine, of_file: &Contents) {
    let without_journal = machine.after_kill();
    without_journal.disk.take_away(Path::new(JOURNAL));
    require_contents(&without_journal, of_file);
    require_writable(&without_journal, of_file);
    put(&machine.disk, FILE, OLD.as_bytes());
    require_contents(machine, journaled.newest());
    require_writable(machine, journaled.newest());
}

#[test]
fn an_edited_file_does_not_go_with_its_journal() {
    let journaled = Journaled::new();
    for edit in [put, put_in_place] {
        let machine = journaled.machine.after_kill();
        edit(&machine.disk, FILE, EDITED.as_bytes());
        require_misfit(&machine);
        let edited = Contents::after_all(&[set("edited", "by hand")]);
        require_choice(&journaled, &machine, &edited);
    }
}

/// What the message says in so many words: put the file back, take a checkpoint, edit.
#[test]
fn after_a_checkpoint_the_file_can_be_edited() {
    let machine = Journaled::new().machine;
    start(&machine, appending()).ask_each(&[Request::Checkpoint]);
    assert_eq!(content(&machine, JOURNAL), None);
    put(&machine.disk, FILE, EDITED.as_bytes());
    require_writable(&machine, &Contents::after_all(&[set("edited", "by hand")]));
}

#[test]
fn a_restored_file_does_not_go_with_a_later_journal() {
    let machine = machine();
    let mut process = start(&machine, appending());
    process.ask_each(&[set("a", "1"), Request::Close, set("b", "2")]);
    let machine = machine.after_kill();
    let newer = content(&machine, FILE).unwrap();
    put(&machine.disk, FILE, OLD.as_bytes());
    require_misfit(&machine);
    put(&machine.disk, FILE, &newer);
    require_contents(&machine, &contents_after(&[set("a", "1"), set("b", "2")]));
}

#[test]
fn a_removed_file_does_not_go_with_its_journal() {
    let journaled = Journaled::new();
    let machine = journaled.machine.after_kill();
    machine.disk.take_away(Path::new(FILE));
    require_misfit(&machine);
    require_choice(&journaled, &machine, &Contents::default());
}

/// Only the user removes a journal by hand, and then the changes in it are not wanted.
#[test]
fn a_removed_journal_is_not_missed() {
    let journaled = Journaled::new();
    let mut process = start(&journaled.machine, appending());
    assert_eq!(process.contents().unwrap(), *journaled.newest());
    journaled.machine.disk.take_away(Path::new(JOURNAL));
    assert_eq!(process.contents().unwrap(), contents_after(&[]));
    process.ask_each(&[set("a", "1"), Request::Close]);
    require_file(&journaled.machine, &contents_after(&[set("a", "1")]));
}

#[test]
fn the_journal_of_another_file_does_not_go_with_this_one() {
    let other = machine();
    put(&other.disk, FILE, b"{}");
    start(&other, appending()).ask_each(&[set("a", "1")]);
    let journal = content(&other, JOURNAL).unwrap();
    require_misfit(&Journaled::new().with_journal(&journal));
}

#[test]
fn an_edit_is_noticed_by_a_store_that_knows_the_file() {
    for edit in [put, put_in_place] {
        let machine = machine();
        let mut process = start(&machine, appending());
        process.ask_each(&[set("a", "1")]);
        let journal = content(&machine, JOURNAL);
        edit(&machine.disk, FILE, EDITED.as_bytes());
        for request in [get("a"), set("b", "2"), Request::Checkpoint, Request::Close] {
            let error = process.ask(&request).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{request:?}: {error}");
            assert_eq!(content(&machine, FILE).unwrap(), EDITED.as_bytes());
            assert_eq!(content(&machine, JOURNAL), journal);
        }
        put(&machine.disk, FILE, OLD.as_bytes());
        process.ask_each(&[set("b", "2"), Request::Close]);
        require_file(&machine, &contents_after(&[set("a", "1"), set("b", "2")]));
    }
}
