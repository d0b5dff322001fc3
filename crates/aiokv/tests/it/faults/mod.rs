//! A call that fails takes nothing with it.
//!
//! Scenarios run on a simulated disk, once for each call they make and each way in which it can
//! fail. After the failure
//!
//! - every write of the batch has the error of the call, or all of them happened, where aiokv
//!   can do without the call or try it again;
//! - memory, the file with its journal and whatever a loss of power would leave hold the old
//!   state, or the new one if the writes happened. If only what comes after the change failed,
//!   such as the flush of the directory, the writes raise and the new state is there;
//! - no temporary file is left;
//! - everything after it works, and a file whose flush failed is never flushed again.
//!
//! A failure of a checkpoint in the background is no operation's error: nothing changes, and
//! closing the store brings the file up to date.

mod fault;
mod run;
mod scenario;

use aiokv::{Journal, Options};

use crate::support::options::{appending, checkpointing_at_once};
use crate::support::requests::{Request, delete, get, group, set};
use run::check_every_fault;
use scenario::{Scenario, Start, Step};

const DIRECTORY: &str = "/data/one/two";
const FILE: &str = "/data/one/two/state.json";
const JOURNAL: &str = "/data/one/two/state.json.journal";
const TEMPORARY: &str = "/data/one/two/.state.json.aiokv-tmp";

/// One change, several at once, one that changes nothing, and reads in between.
fn changes() -> Vec<Step> {
    vec![
        Step::Ask(vec![set("a", "1")]),
        Step::Ask(vec![set("a", "2"), set("b", "3"), get("b"), delete("a"), set("d", "4")]),
        Step::Ask(vec![delete("b")]),
        Step::Ask(vec![get("d")]),
        Step::Ask(vec![delete("absent")]),
    ]
}

#[test]
fn creating_a_file_and_its_directories() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("a")]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![get("a")]),
        ],
    });
}

#[test]
fn creating_a_file_with_several_writes_at_once() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![set("a", "1"), set("b", "2"), get("b"), delete("a")]),
            Step::Ask(vec![set("c", "3")]),
        ],
    });
}

#[test]
fn replacing_a_file() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: changes(),
    });
}

#[test]
fn replacing_a_file_of_another_user() {
    for options in [Options::default(), appending()] {
        check_every_fault(&Scenario {
            start: Start::FileOfAnother,
            options,
            steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![get("a"), delete("old")])],
        });
    }
}

#[test]
fn replacing_a_file_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: Options::default(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn clearing() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![set("a", "1")]),
            Step::Reopen,
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

#[test]
fn clearing_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: Options::default(),
        steps: vec![Step::Ask(vec![Request::Clear]), Step::Ask(vec![set("a", "1")])],
    });
}

#[test]
fn loading() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1"), get("old"), delete("old")]),
            Step::Ask(vec![get("a")]),
        ],
    });
}

/// What is found may have been written by a process that did not flush it, so a change that
/// changes nothing flushes too.
#[test]
fn changing_nothing_in_a_file_that_another_process_wrote() {
    check_every_fault(&Scenario {
        start: Start::UnflushedFile,
        options: Options::default(),
        steps: vec![
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![get("old")]),
        ],
    });
}

#[test]
fn creating_a_journal_and_appending_to_it() {
    check_every_fault(&Scenario { start: Start::File, options: appending(), steps: changes() });
}

#[test]
fn creating_a_file_and_its_journal() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

/// A journal may only continue what is durable.
#[test]
fn creating_the_journal_of_a_file_that_another_process_did_not_flush() {
    check_every_fault(&Scenario {
        start: Start::UnflushedFile,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn creating_a_journal_beside_what_a_killed_process_left() {
    check_every_fault(&Scenario {
        start: Start::FileAndLeftover,
        options: appending(),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

#[test]
fn loading_with_a_journal() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1"), get("old"), delete("old")]),
            Step::Ask(vec![get("a")]),
            Step::Reopen,
            Step::Ask(vec![get("a")]),
        ],
    });
}

#[test]
fn reading_what_another_process_appends() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Reopen,
            Step::Ask(vec![set("a", "1")]),
            Step::Return,
            Step::Ask(vec![get("a")]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

#[test]
fn appending_to_a_torn_journal() {
    check_every_fault(&Scenario {
        start: Start::TornJournal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2")]),
        ],
    });
}

/// What is found may have been written by a process that did not flush it.
#[test]
fn changing_nothing_in_a_journal_that_another_process_wrote() {
    check_every_fault(&Scenario {
        start: Start::UnflushedJournal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![delete("absent")]),
            Step::Ask(vec![get("old")]),
        ],
    });
}

#[test]
fn a_checkpoint_by_closing() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: appending(),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![Request::Close]),
            Step::Ask(vec![set("b", "2"), delete("a"), set("c", "3"), Request::Close]),
            Step::Ask(vec![get("c")]),
        ],
    });
}

#[test]
fn a_checkpoint_by_replacing() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: Options::default().journal(Journal::Never),
        steps: vec![Step::Ask(vec![set("a", "1")]), Step::Ask(vec![set("b", "2")])],
    });
}

/// A process whose checkpoint failed left a journal whose flush had failed. The next process flushed
/// it with success, but the kernel had dropped lines, and a loss of power took what both had changed.
#[test]
fn a_checkpoint_before_another_process_goes_on() {
    for options in [appending(), Options::default().journal(Journal::Never)] {
        check_every_fault(&Scenario {
            start: Start::Journal,
            options,
            steps: vec![
                Step::Ask(vec![set("a", "1"), Request::Close]),
                Step::Reopen,
                Step::Ask(vec![set("b", "2")]),
            ],
        });
    }
}

#[test]
fn a_checkpoint_on_request() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![Request::Checkpoint]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2"), Request::Checkpoint]),
            Step::Ask(vec![get("b")]),
        ],
    });
}

#[test]
fn a_checkpoint_in_the_background() {
    check_every_fault(&Scenario {
        start: Start::File,
        options: Options::default().journal(Journal::Always),
        steps: vec![
            Step::Ask(vec![set("a", "1")]),
            Step::Sleep,
            Step::Ask(vec![set("b", "2"), delete("a"), set("c", "3")]),
            Step::Sleep,
            Step::Ask(vec![get("c")]),
        ],
    });
}

/// What arrives while a checkpoint is under way stays in the journal, which is replaced then.
#[test]
fn a_checkpoint_that_leaves_later_changes_in_the_journal() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: checkpointing_at_once(),
        steps: vec![
            // The checkpoint begins with the answer.
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2")]),
            Step::Sleep,
            Step::Ask(vec![get("a")]),
        ],
    });
}

#[test]
fn several_keys_at_once() {
    for options in [Options::default(), appending()] {
        check_every_fault(&Scenario {
            start: Start::Journal,
            options,
            steps: vec![
                Step::Ask(vec![group(&[("a", "1"), ("b", "2")], &["old"])]),
                Step::Ask(vec![
                    group(&[("a", "3")], &["b", "journaled"]),
                    group(&[("c", "4"), ("d", "5")], &[]),
                    get("d"),
                ]),
            ],
        });
    }
}

#[test]
fn clearing_with_a_journal() {
    check_every_fault(&Scenario {
        start: Start::Journal,
        options: appending(),
        steps: vec![
            Step::Ask(vec![get("old")]),
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![set("a", "1")]),
            Step::Ask(vec![set("b", "2")]),
            Step::Reopen,
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![set("c", "3")]),
        ],
    });
}

/// An empty file is empty again after it was cleared. A process that could not replace it, or could not
/// remove its journal, left a journal that fitted both, and changes came back or were lost.
#[test]
fn clearing_a_file_that_was_empty_before_its_journal() {
    check_every_fault(&Scenario {
        start: Start::NoDirectory,
        options: appending(),
        steps: vec![
            Step::Ask(vec![set("a", "1"), delete("a")]),
            Step::Ask(vec![set("b", "2")]),
            Step::Ask(vec![Request::Clear]),
            Step::Ask(vec![get("b"), set("c", "3")]),
        ],
    });
}
