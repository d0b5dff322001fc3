//! Damage to the journal: it is found, or nothing acknowledged is behind it.

use std::path::Path;

use aiokv::Error;

use super::{FILE, JOURNAL, Journaled, require_contents, require_left_alone, require_writable};
use crate::support::process::Machine;

impl Journaled {
    /// Checks that a journal that was damaged in a line is not believed: that is an error, or, in
    /// the last batch, what is there without that line.
    fn require_found(&self, journal: &[u8], damaged: usize) {
        let machine = self.with_journal(journal);
        match machine.contents(FILE) {
            Ok(contents) if damaged >= self.last_batch => {
                assert_eq!(contents, self.states[damaged - 1], "{}", machine.disk.listing());
            }
            Ok(contents) => panic!("{contents:?} is believed:\n{}", machine.disk.listing()),
            Err(_) => require_damage(&machine, damaged + 1),
        }
    }
}

/// Checks that damage in this line of the journal is an error that says so.
fn require_damage(machine: &Machine, line: usize) {
    let error = machine.contents(FILE).unwrap_err();
    let Error::Corrupt(corruption) = &error else { panic!("{error}") };
    let found = corruption.place.as_ref().map(|place| place.line);
    let listing = machine.disk.listing();
    assert_eq!(found, Some(line), "{error}\n{listing}");
    assert_eq!(corruption.path, Path::new(JOURNAL), "{error}\n{listing}");
    let message = error.to_string();
    let line = format!("line {line} ");
    for part in [&format!("`{JOURNAL}`"), &format!("`{FILE}`"), &line, "copies", "remove it"] {
        assert!(message.contains(part), "{message}");
    }
    require_left_alone(machine);
}

#[test]
fn cut_off_anywhere_it_holds_the_changes_before() {
    let journaled = Journaled::new();
    let text = journaled.lines.concat();
    let header = journaled.lines[0].len();
    for length in 0..=text.len() {
        let machine = journaled.with_journal(&text[..length]);
        if length < header {
            require_damage(&machine, 1);
            continue;
        }
        let whole = text[header..length].iter().filter(|byte| **byte == b'\n').count();
        require_contents(&machine, &journaled.states[whole]);
        require_writable(&machine, &journaled.states[whole]);
    }
}

#[test]
fn a_changed_byte_is_an_error_or_was_never_acknowledged() {
    let journaled = Journaled::new();
    let text = journaled.lines.concat();
    let mut position = 0;
    for (number, line) in journaled.lines.iter().enumerate() {
        for offset in 0..line.len() {
            let old = line[offset];
            for new in [old ^ 1, 0, b'\n', b' '].into_iter().filter(|new| *new != old) {
                let mut damaged = text.clone();
                damaged[position + offset] = new;
                journaled.require_found(&damaged, number);
            }
        }
        position += line.len();
    }
}

#[test]
fn lines_that_are_missing_out_of_order_or_too_many_are_found() {
    let journaled = Journaled::new();
    let count = journaled.lines.len();
    for number in 0..count {
        let mut lines = journaled.lines.clone();
        lines.remove(number);
        journaled.require_found(&lines.concat(), number);

        for intruder in ["\n", "garbage\n", "{\"a\": 1}\n", "01234567 1 0 + \"a\": \"1\"\n", "\0\n"]
        {
            let mut lines = journaled.lines.clone();
            lines.insert(number, intruder.into());
            journaled.require_found(&lines.concat(), number);
        }

        let mut lines = journaled.lines.clone();
        lines.insert(number, lines[number].clone());
        // Reading ends at the copy.
        journaled.require_found(&lines.concat(), number + 1);

        if number + 1 < count {
            let mut lines = journaled.lines.clone();
            lines.swap(number, number + 1);
            journaled.require_found(&lines.concat(), number);
        }
    }
}

#[test]
fn what_a_crash_left_behind_the_last_line_is_dropped() {
    let journaled = Journaled::new();
    let leftovers: [&[u8]; 5] =
        [b"\0\0\0\0", b"01234567 8", b"\n\n\n\0\n\n", b"\xff\n", b"garbage\nand more\n"];
    for leftover in leftovers {
        let machine = journaled.with_journal(&[&journaled.lines.concat(), leftover].concat());
        require_contents(&machine, journaled.newest());
        require_writable(&machine, journaled.newest());
    }
}

/// What is known without a lock is at most that nothing has changed, and that takes the end of the
/// journal. What happened to the lines before is found when everything is read.
#[test]
fn a_store_that_knows_the_journal_notices_that_its_end_is_damaged_or_gone() {
    let journaled = Journaled::new();
    let text = journaled.lines.concat();
    let before_the_last_line = text.len() - journaled.lines.last().unwrap().len();
    // Space is reserved behind the last line, so nothing else is there to see the damage by.
    for (damaged, expected) in [
        (&text[..before_the_last_line], journaled.states.len() - 2),
        (&text[..text.len() - 1], journaled.states.len() - 2),
    ] {
        let machine = journaled.machine.after_kill();
        let mut process = super::start(&machine, crate::support::options::appending());
        assert_eq!(process.contents().unwrap(), *journaled.newest());
        super::put_in_place(&machine.disk, JOURNAL, damaged);
        assert_eq!(process.contents().unwrap(), journaled.states[expected]);
        require_writable(&machine, &journaled.states[expected]);
    }
}
