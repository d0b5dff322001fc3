//! A process is held up before every single call that it makes, and another one acts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aiokv::{Error, Journal, Options};

use crate::support::hooked_disk::{HookedDisk, Moment};
use crate::support::options::appending;
use crate::support::process::Process;
use crate::support::requests::{Request, delete, group, set};
use crate::support::state_file::{journal_of, names, state_file};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Read,
    Set(&'static str),
    Delete(&'static str),
    Clear,
    /// Changes several keys, all or nothing.
    Group,
    /// Brings the file up to date, if the process has appended something.
    Close,
    /// Makes the checkpoint that is due in the background.
    Checkpoint,
    /// Crashes while it appends to the journal, if there is one.
    Tear,
    /// Overwrites the file, as an editor does.
    Edit,
}
use Step::{Checkpoint, Clear, Close, Delete, Edit, Group, Read, Set, Tear};

/// What there is before.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Nothing,
    File,
    /// A file, and a journal that the process itself has written.
    OwnJournal,
    /// A file, and a journal that a third process has written.
    OthersJournal,
    /// The third process crashed while it appended to its journal.
    TornJournal,
}

/// What a process does, and what another one does in the middle of that.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    start: Start,
    /// Whether the process has read the file before.
    is_loaded: bool,
    journal: Journal,
    steps: &'static [Step],
    others_journal: Journal,
    others_steps: &'static [Step],
}

/// A process is held up before every single call that it makes, and another one does its steps
/// meanwhile, as far as no lock keeps it from that. It must be as if one had come after the other,
/// and every process must see that.
///
/// A replacement that held a change besides what the journal says was announced like one that does
/// not. A process that knew the journal did not read it, and never saw that change.
///
/// Clearing removed the file and then the journal. The lock of a file without a name excludes no
/// process, so in between there could be a new file with a new journal, which was the one removed.
#[test]
fn processes_do_not_disturb_each_other_at_any_moment() {
    use Journal::{Always, Never};
    let starts =
        [Start::Nothing, Start::File, Start::OwnJournal, Start::OthersJournal, Start::TornJournal];
    let processes: [(Journal, &[Step]); 11] = [
        (Always, &[Read]),
        (Always, &[Set("b")]),
        (Never, &[Set("b")]),
        (Always, &[Delete("a")]),
        (Never, &[Delete("a")]),
        (Always, &[Clear]),
        (Always, &[Close]),
        (Always, &[Set("b"), Close]),
        (Always, &[Set("b"), Checkpoint]),
        (Always, &[Group]),
        (Never, &[Group]),
    ];
    let others: [(Journal, &[Step]); 9] = [
        (Always, &[Set("c")]),
        (Never, &[Set("c")]),
        (Always, &[Delete("a")]),
        (Always, &[Set("c"), Close]),
        (Always, &[Set("c"), Close, Set("d")]),
        (Always, &[Clear]),
        (Always, &[Clear, Set("c"), Set("d")]),
        (Always, &[Tear, Set("c")]),
        (Always, &[Set("c"), Group]),
    ];
    let disturbances = AtomicUsize::new(0);
    let disturb_at_every_call = |start, is_loaded| {
        for (journal, steps) in processes {
            for (others_journal, others_steps) in others {
                let scenario =
                    Scenario { start, is_loaded, journal, steps, others_journal, others_steps };
                let mut first = 0;
                while let Some(call) = disturb(scenario, first) {
                    first = call + 1;
                    disturbances.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for start in starts {
            for is_loaded in [false, true] {
                let disturb_at_every_call = &disturb_at_every_call;
                scope.spawn(move || disturb_at_every_call(start, is_loaded));
            }
        }
    });
    let disturbances = disturbances.into_inner();
    assert!(disturbances > 4_000, "there were only {disturbances} disturbances");
}

const EDITED: &str = "{\"edited\": \"1\"}";

/// An editor takes no lock, but what was edited before the file is locked is seen.
#[test]
fn a_checkpoint_never_overwrites_an_edit() {
    let mut first = 0;
    loop {
        let (_directory, path) = state_file();
        let disturbance = Arc::new(Disturbance::default());
        let disk = {
            let (disturbance, path) = (Arc::clone(&disturbance), path.clone());
            let edit = move || match unless_locked(&path, |path| fs::write(path, EDITED).unwrap()) {
                true => vec![Edit],
                false => Vec::new(),
            };
            HookedDisk::new(move |moment| {
                if moment == Moment::BeforeCall {
                    disturbance.before_call(first, &edit);
                }
            })
        };
        let mut kv = process(&path, disk, appending());
        assert_eq!(carry_out(&mut kv, &path, &[Set("a"), Set("j")]), [Set("a"), Set("j")]);
        let journal = fs::read(journal_of(&path)).unwrap();

        disturbance.is_on.store(true, Ordering::SeqCst);
        let closed = kv.ask(&Request::Close);
        let Some((call, _)) = disturbance.end() else { break };
        first = call + 1;
        assert_eq!(fs::read_to_string(&path).unwrap(), EDITED, "before call {call}");
        if names(&path) == ["state.json"] {
            closed.unwrap();
            let edited = State::from([("edited".to_owned(), "1".to_owned())]);
            assert_eq!(state_of(&mut newcomer(&path)), edited);
            continue;
        }
        assert_eq!(names(&path), ["state.json", "state.json.journal"]);
        let error = newcomer(&path).contents().unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        assert!(fs::read(journal_of(&path)).unwrap().starts_with(journal.trim_ascii_end()));
    }
    assert!(first > 0, "the checkpoint has to be disturbed at some call");
}

/// Plays a scenario, in which the other process comes before the call of this number, or before
/// the next one at which it can make its first step. Returns the number of the call before which
/// it came, if it did.
fn disturb(scenario: Scenario, first: usize) -> Option<usize> {
    let Scenario { start, is_loaded, journal, steps, others_journal, others_steps } = scenario;
    let (_directory, path) = state_file();
    let mut third = process(&path, HookedDisk::new(|_| {}), appending());
    let hasty = appending().journal(others_journal).lock_timeout(Duration::ZERO);
    let other = process(&path, HookedDisk::new(|_| {}), hasty);
    let other = Arc::new(Mutex::new(other));
    let disturbance = Arc::new(Disturbance::default());
    let disk = {
        let (disturbance, path) = (Arc::clone(&disturbance), path.clone());
        let other = Arc::clone(&other);
        let act = move || carry_out(&mut other.lock().unwrap(), &path, others_steps);
        HookedDisk::new(move |moment| {
            if moment == Moment::BeforeCall {
                disturbance.before_call(first, &act);
            }
        })
    };
    let pace = if steps.contains(&Checkpoint) { u64::MAX } else { 0 };
    let mut kv = process(&path, disk, appending().journal(journal).checkpoint_pace(pace));

    let (owner, before): (_, &[Step]) = match start {
        Start::Nothing => (&mut third, &[]),
        Start::File => (&mut third, &[Set("a"), Close]),
        Start::OwnJournal => (&mut kv, &[Set("a"), Set("j")]),
        Start::OthersJournal => (&mut third, &[Set("a"), Set("j")]),
        Start::TornJournal => (&mut third, &[Set("a"), Set("j"), Tear]),
    };
    assert_eq!(carry_out(owner, &path, before), before);
    let before = after(State::new(), before);
    if is_loaded {
        assert_eq!(state_of(&mut kv), before);
    }

    disturbance.is_on.store(true, Ordering::SeqCst);
    let mut seen = None;
    for step in steps {
        match step {
            Read => seen = Some(state_of(&mut kv)),
            Checkpoint => kv.work(),
            step => {
                assert_eq!(carry_out(&mut kv, &path, &[*step]), [*step], "{scenario:?} at {first}");
            }
        }
    }
    let (call, others_steps) =
        disturbance.end().map_or((None, Vec::new()), |(call, steps)| (Some(call), steps));

    let place = format!("{scenario:?}, disturbed before call {call:?}: {others_steps:?}");
    if let Some(seen) = seen {
        let allowed = [before.clone(), after(before.clone(), &others_steps)];
        assert!(allowed.contains(&seen), "saw {seen:?}\n{place}");
    }
    let allowed = (0..=steps.len()).map(|index| {
        let (done, left) = steps.split_at(index);
        after(after(after(before.clone(), done), &others_steps), left)
    });
    let found = state_of(&mut kv);
    assert!(Vec::from_iter(allowed).contains(&found), "left {found:?}\n{place}");
    let mut newcomer = newcomer(&path);
    let mut other = other.lock().unwrap();
    for process in [&mut *other, &mut third, &mut newcomer] {
        assert_eq!(state_of(process), found, "{place}");
    }
    for process in [&mut kv, &mut *other, &mut third, &mut newcomer] {
        process.ask(&Request::Close).unwrap();
    }
    let names = names(&path);
    assert_eq!(names.len(), usize::from(path.exists()), "left {names:?}\n{place}");
    assert_eq!(state_of(&mut newcomer), found, "{place}");
    call
}

/// What the other process does in the middle, once.
#[derive(Default)]
struct Disturbance {
    is_on: AtomicBool,
    calls: AtomicUsize,
    /// The number of the call before which it happened, and what did.
    happened: Mutex<Option<(usize, Vec<Step>)>>,
}

impl Disturbance {
    /// Disturbs before the call of the number `first`, or before the next one at which it is
    /// possible.
    fn before_call(&self, first: usize, disturb: &dyn Fn() -> Vec<Step>) {
        if !self.is_on.load(Ordering::SeqCst) {
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut happened = self.happened.lock().unwrap();
        if call >= first && happened.is_none() {
            let steps = disturb();
            *happened = (!steps.is_empty()).then_some((call, steps));
        }
    }

    /// Lets it happen no more. Returns what did, and before which call.
    fn end(&self) -> Option<(usize, Vec<Step>)> {
        self.is_on.store(false, Ordering::SeqCst);
        self.happened.lock().unwrap().take()
    }
}

/// Makes one step after another, up to the first one that would have to wait for a lock. Returns
/// those that were made.
fn carry_out(process: &mut Process, path: &Path, steps: &[Step]) -> Vec<Step> {
    let mut carry_out = |step: &Step| {
        let request = match step {
            Set(key) => set(key, "1"),
            Delete(key) => delete(key),
            Group => group(&GROUP, &["a"]),
            Clear => Request::Clear,
            Close => Request::Close,
            Tear => return unless_locked(path, tear),
            Read | Checkpoint | Edit => unreachable!("the caller does that"),
        };
        match process.ask(&request) {
            Ok(_) => true,
            Err(Error::Locked { .. }) => false,
            Err(error) => panic!("{step:?}: {error}"),
        }
    };
    steps.iter().copied().take_while(|step| carry_out(step)).collect()
}

/// What a group sets. It deletes `a`.
const GROUP: [(&str, &str); 2] = [("x", "1"), ("y", "1")];

/// Does something to the files that takes no lock, if no process holds a lock. Says whether.
fn unless_locked(path: &Path, act: impl FnOnce(&Path)) -> bool {
    let Ok(state) = File::open(path) else { return true };
    if state.try_lock().is_err() {
        return false;
    }
    act(path);
    true
}

/// Leaves at the end of the journal what a process leaves there that crashes while it appends.
fn tear(path: &Path) {
    let Ok(journal) = fs::read(journal_of(path)) else { return };
    let end = journal.trim_ascii_end().len() as u64 + 1;
    let file = File::options().write(true).open(journal_of(path)).unwrap();
    file.write_all_at(b"1b2c3d4e 9 0 + \"t", end).unwrap();
}

type State = BTreeMap<String, String>;

/// The state after some steps.
fn after(mut state: State, steps: &[Step]) -> State {
    for step in steps {
        match step {
            Set(key) => drop(state.insert((*key).to_owned(), "1".to_owned())),
            Group => {
                state.remove("a");
                let keys = GROUP.map(|(key, value)| (key.to_owned(), value.to_owned()));
                state.extend(keys);
            }
            Delete(key) => drop(state.remove(*key)),
            Clear => state.clear(),
            Read | Close | Checkpoint | Tear | Edit => {}
        }
    }
    state
}

fn state_of(process: &mut Process) -> State {
    process.contents().unwrap().into_iter().collect()
}

/// A process with a store of its own.
fn process(path: &Path, disk: Arc<HookedDisk>, options: Options) -> Process {
    Process::new(disk, path.to_str().unwrap(), options)
}

fn newcomer(path: &Path) -> Process {
    process(path, HookedDisk::new(|_| {}), appending())
}
