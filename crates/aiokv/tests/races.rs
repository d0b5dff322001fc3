//! What another process can do at the worst moment. Its part is played by a second store on the
//! same file, which shares nothing with the first one because it uses the disk directly.
//!
//! The story of each bug stands before its test.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

#[path = "support/hooked_disk.rs"]
mod hooked_disk;
#[path = "support/state_file.rs"]
mod state_file;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aiokv::{AioKv, Error, Journal, Options, Result};
use hooked_disk::{HookedDisk, Moment};
use pollster::block_on;
use state_file::{journal_of, names, open, state_file, wait_until};

/// A store and, for each moment given, what the other process does when it comes for the first
/// time.
fn open_with<const COUNT: usize>(
    path: &Path,
    actions: [(Moment, Box<dyn FnOnce() + Send>); COUNT],
) -> AioKv {
    let actions = Mutex::new(Vec::from(actions));
    let disk = HookedDisk::new(move |moment| {
        let mut actions = actions.lock().unwrap();
        let action = actions.iter().position(|action| action.0 == moment);
        let action = action.map(|index| actions.remove(index).1);
        drop(actions);
        if let Some(action) = action {
            action();
        }
    });
    AioKv::with_storage(path, Options::default(), disk).unwrap()
}

/// The file was replaced after it had been opened and before it had been looked at. The metadata
/// that were kept already said that it had no name any more, so it never seemed to change again,
/// and every later read saw the old content.
#[test]
fn a_file_that_is_replaced_while_it_is_opened_is_read_again() {
    let (_directory, path) = state_file();
    fs::write(&path, "{\"a\": 1}").unwrap();
    let other = open(&path);
    let replace = move || block_on(other.set("a", &2)).unwrap();
    let kv = open_with(&path, [(Moment::Opened, Box::new(replace))]);
    // This one has started before the change and may see either.
    block_on(kv.get::<u64>("a")).unwrap();
    assert_eq!(block_on(kv.get("a")).unwrap(), Some(2));
}

/// There was no file to lock; then there was one, which was read without its lock; then it was
/// cleared, and what had been read became part of the new file. A cleared key was back.
#[test]
fn a_file_that_comes_and_goes_while_it_is_created_leaves_nothing_behind() {
    let (_directory, path) = state_file();
    let other = open(&path);
    let clears = Arc::new(AtomicUsize::new(0));
    let create = {
        let other = other.clone();
        move || block_on(other.set("a", &1)).unwrap()
    };
    let clear = {
        let clears = Arc::clone(&clears);
        move || {
            block_on(other.clear()).unwrap();
            clears.fetch_add(1, Ordering::SeqCst);
        }
    };
    let kv = open_with(
        &path,
        [(Moment::Opened, Box::new(create)), (Moment::BeforeRenameNew, Box::new(clear))],
    );
    block_on(kv.set("b", &2)).unwrap();
    // If the file was seen in time, it was replaced and never cleared.
    let a = (clears.load(Ordering::SeqCst) == 0).then_some(1);
    assert_eq!(block_on(kv.get("a")).unwrap(), a);
    assert_eq!(block_on(kv.get("b")).unwrap(), Some(2));
}

/// A page of the journal was read before a line was written there, and the next page after another
/// line was, which says that the first one is durable. That looked like damage.
#[test]
fn a_journal_that_grows_while_it_is_read_is_not_damaged() {
    let (_directory, path) = state_file();
    let options = Options::default().journal(Journal::Always).fold_idle(Duration::MAX);
    let other = AioKv::with_options(&path, options.fold_delay_max(Duration::MAX)).unwrap();
    block_on(other.set("a", &1)).unwrap();
    block_on(other.set("b", &2)).unwrap();
    let append = move || {
        block_on(other.set("c", &3)).unwrap();
        block_on(other.set("d", &4)).unwrap();
    };
    let kv = open_with(&path, [(Moment::HalfRead, Box::new(append))]);
    block_on(kv.get::<u64>("b")).unwrap();
    assert_eq!(block_on(kv.get("d")).unwrap(), Some(4));
}

/// While the writer holds the lock, reads need not look at the file. They still did not for a
/// moment after the lock had been released, and missed what another process wrote then.
#[test]
fn a_change_right_after_the_lock_was_released_is_seen() {
    let (_directory, path) = state_file();
    let other = open(&path);
    block_on(other.set("a", &1)).unwrap();
    let seen = Arc::new(Mutex::new(None));
    let kv = Arc::new(Mutex::new(None::<AioKv>));
    let change = {
        let (seen, kv) = (Arc::clone(&seen), Arc::clone(&kv));
        move || {
            block_on(other.set("a", &2)).unwrap();
            let kv = kv.lock().unwrap().clone().unwrap();
            *seen.lock().unwrap() =
                kv.get_now(b"a").map(|entry| entry.unwrap().value_text().to_owned());
        }
    };
    // First the new file is unlocked, then the one that it replaced.
    let store = open_with(
        &path,
        [(Moment::Unlocked, Box::new(|| {})), (Moment::Unlocked, Box::new(change))],
    );
    *kv.lock().unwrap() = Some(store.clone());
    block_on(store.set("b", &3)).unwrap();
    // Nothing at once, or the new value; not the old one.
    assert_ne!(seen.lock().unwrap().as_deref(), Some("1"));
    assert_eq!(block_on(store.get("a")).unwrap(), Some(2));
}

// --- Every moment ---

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Read,
    Set(&'static str),
    Delete(&'static str),
    Clear,
    /// Folds what the process has appended.
    Close,
    /// Waits until the process has folded in the background, or was disturbed.
    Fold,
    /// Crashes while it appends to the journal, if there is one.
    Tear,
    /// Overwrites the file, as an editor does.
    Edit,
}
use Step::{Clear, Close, Delete, Edit, Fold, Read, Set, Tear};

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
/// and everybody must see that.
///
/// A replacement that held a change besides what the journal says was announced like one that does
/// not. Whoever knew the journal did not read it, and never saw that change.
///
/// Clearing removed the file and then the journal. The lock of a file without a name keeps nobody
/// out, so in between there could be a new file with a new journal, which was the one removed.
#[test]
fn processes_do_not_disturb_each_other_at_any_moment() {
    use Journal::{Always, Never};
    let starts =
        [Start::Nothing, Start::File, Start::OwnJournal, Start::OthersJournal, Start::TornJournal];
    let processes: [(Journal, &[Step]); 9] = [
        (Always, &[Read]),
        (Always, &[Set("b")]),
        (Never, &[Set("b")]),
        (Always, &[Delete("a")]),
        (Never, &[Delete("a")]),
        (Always, &[Clear]),
        (Always, &[Close]),
        (Always, &[Set("b"), Close]),
        (Always, &[Set("b"), Fold]),
    ];
    let others: [(Journal, &[Step]); 8] = [
        (Always, &[Set("c")]),
        (Never, &[Set("c")]),
        (Always, &[Delete("a")]),
        (Always, &[Set("c"), Close]),
        (Always, &[Set("c"), Close, Set("d")]),
        (Always, &[Clear]),
        (Always, &[Clear, Set("c"), Set("d")]),
        (Always, &[Tear, Set("c")]),
    ];
    let disturb_at_every_call = |start, is_loaded| {
        for (journal, steps) in processes {
            for (others_journal, others_steps) in others {
                let scenario =
                    Scenario { start, is_loaded, journal, steps, others_journal, others_steps };
                let mut first = 0;
                while let Some(call) = disturb(scenario, first) {
                    first = call + 1;
                }
            }
        }
    };
    // Most of the time they wait for the disk.
    thread::scope(|scope| {
        for start in starts {
            for is_loaded in [false, true] {
                scope.spawn(move || disturb_at_every_call(start, is_loaded));
            }
        }
    });
}

const EDITED: &str = "{\"edited\": 1}";

/// Whoever edits the file takes no lock, but what was edited before the file is locked is seen.
#[test]
fn a_fold_never_overwrites_an_edit() {
    let mut first = 0;
    loop {
        let (_directory, path) = state_file();
        let disturbance = Arc::new(Disturbance::default());
        let disk = {
            let (disturbance, path) = (Arc::clone(&disturbance), path.clone());
            HookedDisk::new(move |moment| {
                if moment == Moment::BeforeCall {
                    disturbance.before_call(first, || carry_out(&open(&path), &path, &[Edit]));
                }
            })
        };
        let idle = Options::default().journal(Journal::Always).fold_idle(Duration::MAX);
        let kv = process(&path, disk, idle);
        assert_eq!(carry_out(&kv, &path, &[Set("a"), Set("j")]), [Set("a"), Set("j")]);
        let journal = fs::read(journal_of(&path)).unwrap();

        disturbance.is_on.store(true, Ordering::SeqCst);
        let folded = block_on(kv.close());
        let Some((call, _)) = disturbance.end() else { break };
        first = call + 1;
        assert_eq!(fs::read_to_string(&path).unwrap(), EDITED, "before call {call}");
        if names(&path) == ["state.json"] {
            folded.unwrap();
            assert_eq!(state_of(&open(&path)), State::from([("edited".to_owned(), 1)]));
            continue;
        }
        assert_eq!(names(&path), ["state.json", "state.json.journal"]);
        let error = block_on(open(&path).get_all::<u64>()).unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        assert!(fs::read(journal_of(&path)).unwrap().starts_with(journal.trim_ascii_end()));
    }
    assert!(first > 0, "the fold has to be disturbed at some call");
}

/// Plays a scenario, in which the other process comes before the call of this number, or before
/// the next one at which it can make its first step. Returns the number of the call before which
/// it came, if it did.
fn disturb(scenario: Scenario, first: usize) -> Option<usize> {
    let Scenario { start, is_loaded, journal, steps, others_journal, others_steps } = scenario;
    let (_directory, path) = state_file();
    // Nobody folds before it is time to.
    let idle = Options::default().journal(Journal::Always).fold_idle(Duration::MAX);
    let third = process(&path, HookedDisk::new(|_| {}), idle.clone());
    let hasty = idle.clone().journal(others_journal).lock_timeout(Duration::ZERO);
    let other = process(&path, HookedDisk::new(|_| {}), hasty);
    let disturbance = Arc::new(Disturbance::default());
    let disk = {
        let (disturbance, other, path) = (Arc::clone(&disturbance), other.clone(), path.clone());
        HookedDisk::new(move |moment| {
            if moment == Moment::BeforeCall {
                disturbance.before_call(first, || carry_out(&other, &path, others_steps));
            }
        })
    };
    let fold_idle = if steps.contains(&Fold) { Duration::ZERO } else { Duration::MAX };
    let kv = process(&path, disk, idle.clone().journal(journal).fold_idle(fold_idle));

    let (owner, before): (_, &[Step]) = match start {
        Start::Nothing => (&third, &[]),
        Start::File => (&third, &[Set("a"), Close]),
        Start::OwnJournal => (&kv, &[Set("a"), Set("j")]),
        Start::OthersJournal => (&third, &[Set("a"), Set("j")]),
        Start::TornJournal => (&third, &[Set("a"), Set("j"), Tear]),
    };
    assert_eq!(carry_out(owner, &path, before), before);
    let before = after(State::new(), before);
    if is_loaded {
        assert_eq!(state_of(&kv), before);
    }

    disturbance.is_on.store(true, Ordering::SeqCst);
    let mut seen = None;
    for step in steps {
        match step {
            Read => seen = Some(state_of(&kv)),
            Fold => wait_until(|| disturbance.has_happened() || !journal_of(&path).exists()),
            step => assert_eq!(carry_out(&kv, &path, &[*step]), [*step], "{scenario:?} at {first}"),
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
    let found = state_of(&kv);
    assert!(Vec::from_iter(allowed).contains(&found), "left {found:?}\n{place}");
    let newcomer = process(&path, HookedDisk::new(|_| {}), idle);
    for store in [&other, &third, &newcomer] {
        assert_eq!(state_of(store), found, "{place}");
    }
    for store in [&kv, &other, &third, &newcomer] {
        block_on(store.close()).unwrap();
    }
    let names = names(&path);
    assert_eq!(names.len(), usize::from(path.exists()), "left {names:?}\n{place}");
    assert_eq!(state_of(&newcomer), found, "{place}");
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
    fn before_call(&self, first: usize, disturb: impl FnOnce() -> Vec<Step>) {
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

    fn has_happened(&self) -> bool {
        self.happened.lock().unwrap().is_some()
    }

    /// Lets it happen no more. Returns what did, and before which call.
    fn end(&self) -> Option<(usize, Vec<Step>)> {
        self.is_on.store(false, Ordering::SeqCst);
        self.happened.lock().unwrap().take()
    }
}

/// Makes one step after another, up to the first one that would have to wait for a lock. Returns
/// those that were made.
fn carry_out(kv: &AioKv, path: &Path, steps: &[Step]) -> Vec<Step> {
    let carry_out = |step: Step| match step {
        Set(key) => block_on(kv.set(key, &1)),
        Delete(key) => block_on(kv.delete(key)),
        Clear => block_on(kv.clear()),
        Close => block_on(kv.close()),
        Tear => unless_locked(path, tear),
        Edit => unless_locked(path, |path| fs::write(path, EDITED).unwrap()),
        Read | Fold => unreachable!("the caller does that"),
    };
    let made = |step: &Step| match carry_out(*step) {
        Ok(()) => true,
        Err(Error::Locked { .. }) => false,
        Err(error) => panic!("{step:?}: {error}"),
    };
    steps.iter().copied().take_while(made).collect()
}

/// Does something to the files that takes no lock, if somebody who holds the lock could.
fn unless_locked(path: &Path, act: impl FnOnce(&Path)) -> Result<()> {
    let Ok(state) = File::open(path) else { return Ok(()) };
    if state.try_lock().is_err() {
        let (path, waited) = (path.to_owned(), Duration::ZERO);
        return Err(Error::Locked { path, waited, holder: None });
    }
    act(path);
    Ok(())
}

/// Leaves at the end of the journal what a process leaves there that crashes while it appends.
fn tear(path: &Path) {
    let Ok(journal) = fs::read(journal_of(path)) else { return };
    let end = journal.trim_ascii_end().len() as u64 + 1;
    let file = File::options().write(true).open(journal_of(path)).unwrap();
    file.write_all_at(b"1b2c3d4e 9 0 + \"t", end).unwrap();
}

type State = BTreeMap<String, u64>;

/// The state after some steps.
fn after(mut state: State, steps: &[Step]) -> State {
    for step in steps {
        match step {
            Set(key) => drop(state.insert((*key).to_owned(), 1)),
            Delete(key) => drop(state.remove(*key)),
            Clear => state.clear(),
            Read | Close | Fold | Tear | Edit => {}
        }
    }
    state
}

fn state_of(kv: &AioKv) -> State {
    block_on(kv.get_all()).unwrap().into_iter().collect()
}

/// A store as it is in a process of its own.
fn process(path: &Path, disk: Arc<HookedDisk>, options: Options) -> AioKv {
    AioKv::with_storage(path, options.fold_delay_max(Duration::MAX), disk).unwrap()
}
