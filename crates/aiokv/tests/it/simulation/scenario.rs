//! What happens in a run, drawn by chance from a seed.

use std::time::Duration;

use aiokv::Journal;

use crate::support::random::Random;
use crate::support::simulated_disk::Features;

use super::engine::Manner;
use super::fault::{Class, Fault};
use super::model::{Change, Condition, Contents, KeyWrite, PAD, PREFIXES, Request};
use super::outsider::{Edit, PlannedEdit};
use super::schedule::{Policy, SEATS};

/// Between the small file and the large one.
const JOURNAL_THRESHOLD: u64 = 100;
/// What makes a file larger than that.
const LARGE: i64 = -150;
/// Stands for a string that fills the last page of the journal, or almost, or just not.
pub(crate) const FILLING: [i64; 3] = [-10_000, -10_001, -9_999];
/// A process that stands still does it for this time,
const LONG: Duration = Duration::from_millis(150);
/// and others wait for its lock for this time,
const SHORT: Duration = Duration::from_millis(100);
/// but otherwise for this.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// The keys that change.
const CHANGING: usize = 3;

/// How often something happens, in percent of the runs, and what else a test wants.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    pub(crate) failures: u64,
    pub(crate) kills: u64,
    pub(crate) freezes: u64,
    pub(crate) outages: u64,
    pub(crate) edits: u64,
    pub(crate) without_fsync: u64,
    /// In the runs in which the journal is used by every process.
    pub(crate) journal_always: u64,
    /// In the runs in which all processes read most of the time.
    pub(crate) mostly_reads: u64,
    /// Where processes are killed, if not anywhere.
    pub(crate) kills_near: Option<Class>,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            failures: 35,
            kills: 40,
            freezes: 5,
            outages: 20,
            edits: 20,
            without_fsync: 25,
            journal_always: 30,
            mostly_reads: 20,
            kills_near: None,
        }
    }
}

impl Mix {
    /// The mix of a seed: mostly the default, but sometimes anything.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x6d69_7865);
        if !random.once_in(4) {
            return Self::default();
        }
        let mut percent = || random.below(101);
        Self {
            failures: percent(),
            kills: percent(),
            freezes: percent() / 10,
            outages: percent() / 2,
            edits: percent() / 2,
            without_fsync: percent() / 2,
            journal_always: percent(),
            mostly_reads: percent() / 2,
            kills_near: None,
        }
    }

    /// Nothing goes wrong.
    pub(crate) fn peaceful() -> Self {
        Self { failures: 0, kills: 0, freezes: 0, outages: 0, edits: 0, ..Self::default() }
    }

    /// Nothing goes wrong, and every process uses the journal.
    pub(crate) fn journals() -> Self {
        Self { journal_always: 100, mostly_reads: 50, without_fsync: 0, ..Self::peaceful() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) features: Features,
    pub(crate) policy: Policy,
    pub(crate) initial: Initial,
    /// Runs alone and is killed before the others start.
    pub(crate) before: Option<ProcessPlan>,
    pub(crate) processes: Vec<ProcessPlan>,
    /// After how many steps the power goes.
    pub(crate) outage: Option<u64>,
    pub(crate) edits: Vec<PlannedEdit>,
    /// How the last process, which looks at what is left, uses the store.
    pub(crate) last: Manner,
}

/// What is on the disk at first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Initial {
    NoDirectory,
    NoFile,
    File(Contents),
}

#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub(crate) manner: Manner,
    pub(crate) turns: Vec<Turn>,
    /// It closes the store in the end. Otherwise it just ends.
    pub(crate) closes: bool,
    /// Its engine has to close its files before these steps of it.
    pub(crate) evicted_before: Vec<u64>,
    /// When it is killed, another one does the rest.
    pub(crate) restarts: bool,
    pub(crate) faults: Vec<Fault>,
}

impl ProcessPlan {
    /// Nothing goes wrong in this process.
    pub(crate) fn new(manner: Manner, turns: Vec<Turn>, closes: bool) -> Self {
        let (evicted_before, restarts, faults) = (Vec::new(), false, Vec::new());
        Self { manner, turns, closes, evicted_before, restarts, faults }
    }
}

/// Requests that are made together. The next turn begins when all of them are answered.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) pause: Pause,
    pub(crate) requests: Vec<Request>,
}

/// What happens before a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pause {
    None,
    /// The process stands still, with whatever it has locked.
    Sleep(Duration),
    /// The engine does what it likes to do.
    Work(Duration),
}

struct Generator {
    random: Random,
    mix: Mix,
    /// The values that were used, with their keys.
    used: Vec<(usize, i64)>,
    mostly_reads: bool,
    journal_always: bool,
    without_fsync: bool,
}

impl Scenario {
    pub(crate) fn random(seed: u64, mix: &Mix) -> Self {
        let mut random = Random(seed);
        let mut happens = |percent| random.below(100) < percent;
        let [mostly_reads, journal_always, without_fsync] =
            [mix.mostly_reads, mix.journal_always, mix.without_fsync].map(&mut happens);
        let (mix, used) = (mix.clone(), Vec::new());
        Generator { random, mix, used, mostly_reads, journal_always, without_fsync }.scenario()
    }
}

impl Generator {
    fn scenario(&mut self) -> Scenario {
        let features = Features {
            calls_per_tick: self.random.pick(&[1, 1, 1, 4, 16]),
            reuses_inodes: self.random.once_in(2),
        };
        let policy = Policy::random(&mut self.random);
        let initial = self.initial();
        let leaves_journal = self.random.once_in(4);
        let before = leaves_journal.then(|| self.journal_writer());
        let count = 2 + self.random.index(SEATS - 1);
        let mut processes: Vec<_> = (0..count).map(|_| self.process()).collect();
        if self.happens(self.mix.failures) {
            for _ in 0..1 + self.random.below(2) {
                let unlucky = self.random.index(count);
                processes[unlucky].faults.push(Fault::failure(&mut self.random));
            }
        }
        if self.happens(self.mix.kills) {
            for _ in 0..1 + self.random.below(2) {
                let unlucky = self.random.index(count);
                processes[unlucky].faults.push(Fault::kill(&mut self.random, self.mix.kills_near));
            }
        }
        if self.happens(self.mix.freezes) {
            let frozen = self.random.index(count);
            processes[frozen].faults.push(Fault::freeze(&mut self.random, LONG));
            processes.iter_mut().for_each(|process| process.manner.lock_timeout = SHORT);
        }
        let outage = self.happens(self.mix.outages).then(|| 1 + self.random.below(250));
        let mut edits = Vec::new();
        if self.happens(self.mix.edits) {
            for _ in 0..1 + self.random.below(2) {
                let contents = self.contents();
                edits.push(PlannedEdit {
                    at: self.random.below(200),
                    edit: Edit::random(&mut self.random, contents),
                    rude: self.random.once_in(10),
                });
            }
        }
        let last = self.manner();
        Scenario { features, policy, initial, before, processes, outage, edits, last }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn initial(&mut self) -> Initial {
        let small = Contents([Some(self.value(0)), None, None, None]);
        let large = Contents([small.0[0], Some(self.value(1)), None, Some(LARGE)]);
        match self.random.below(10) {
            0 => Initial::NoDirectory,
            1 => Initial::NoFile,
            2..5 => Initial::File(small),
            _ => Initial::File(large),
        }
    }

    /// A process that is killed and leaves a journal.
    fn journal_writer(&mut self) -> ProcessPlan {
        let manner = Manner { journal: Journal::Always, checkpoint_pace: 0, ..self.manner() };
        let request = Request::Write(vec![self.write(), self.write()]);
        let turns = vec![self.turn(), Turn { pause: Pause::None, requests: vec![request] }];
        ProcessPlan::new(manner, turns, false)
    }

    fn process(&mut self) -> ProcessPlan {
        let turns_max = self.random.pick(&[4, 4, 4, 8]);
        let mut turns: Vec<_> =
            (0..1 + self.random.below(turns_max)).map(|_| self.turn()).collect();
        if self.random.once_in(4) {
            let at = self.random.index(turns.len());
            turns.splice(at..at, self.transaction());
        }
        let evictions = if self.random.once_in(4) { 1 + self.random.below(4) } else { 0 };
        ProcessPlan {
            evicted_before: (0..evictions).map(|_| 1 + self.random.below(30)).collect(),
            restarts: self.random.once_in(2),
            ..ProcessPlan::new(self.manner(), turns, !self.random.once_in(5))
        }
    }

    fn manner(&mut self) -> Manner {
        let journal = match self.journal_always {
            true => Journal::Always,
            false => {
                self.random.pick(&[Journal::Auto, Journal::Auto, Journal::Always, Journal::Never])
            }
        };
        Manner {
            journal,
            journal_threshold: JOURNAL_THRESHOLD,
            lock_timeout: LOCK_TIMEOUT,
            fsync: !(self.without_fsync && self.random.once_in(2)),
            checkpoint_pace: self.random.pick(&[0, u64::MAX, 1000, 20_000]),
        }
    }

    fn turn(&mut self) -> Turn {
        let pause = match self.random.below(6) {
            0..3 => Pause::None,
            3 => Pause::Sleep(Duration::from_micros(self.random.below(1000))),
            _ => Pause::Work(self.duration()),
        };
        let requests = (0..1 + self.random.below(3)).map(|_| self.request()).collect();
        Turn { pause, requests }
    }

    /// A look at what has a prefix, and a change under the condition that it stayed the same.
    fn transaction(&mut self) -> [Turn; 2] {
        let prefix = self.prefix();
        let look = Request::Survey(vec![self.key()], vec![prefix]);
        let count = self.random.below(3);
        let mut writes: Vec<_> = (0..count).map(|_| self.write()).collect();
        let kept = KeyWrite { change: Change::Keep, ..self.write() };
        writes.insert(self.random.index(writes.len() + 1), kept);
        let change = Request::WriteIfListed(prefix, None, writes);
        let pause = self.random.pick(&[Pause::None, Pause::Sleep(Duration::from_micros(300))]);
        [
            Turn { pause: Pause::None, requests: vec![look] },
            Turn { pause, requests: vec![change, self.request()] },
        ]
    }

    fn prefix(&mut self) -> usize {
        self.random.index(PREFIXES.len())
    }

    fn duration(&mut self) -> Duration {
        self.random.pick(&[
            Duration::from_micros(100),
            Duration::from_millis(1),
            Duration::from_millis(20),
            Duration::from_secs(5),
        ])
    }

    fn request(&mut self) -> Request {
        let kind = self.random.below(100);
        match if self.mostly_reads { kind / 2 } else { kind } {
            0..26 => Request::Get(self.key()),
            26..38 => {
                let first = self.random.index(CHANGING);
                Request::Read(vec![first, (first + 1) % CHANGING])
            }
            38..44 => Request::ReadAll,
            44..48 => Request::Survey(vec![self.key()], vec![self.prefix(), self.prefix()]),
            48..66 => Request::Write(vec![self.write()]),
            66..70 => {
                let newest = self.used.len() as i64;
                let older_than = self.random.pick(&[None, Some(newest / 2), Some(500)]);
                Request::DeletePrefix(self.prefix(), older_than)
            }
            70..74 => {
                let value = self.random.pick(&[LARGE, -1300, FILLING[0], FILLING[1], FILLING[2]]);
                let change = Change::Set(value);
                Request::Write(vec![KeyWrite { key: PAD, condition: Condition::Anything, change }])
            }
            74..90 => {
                let count = 2 + self.random.below(2);
                Request::Write((0..count).map(|_| self.write()).collect())
            }
            90..94 => Request::Clear,
            94..99 => Request::Checkpoint,
            _ => Request::Close,
        }
    }

    fn key(&mut self) -> usize {
        self.random.index(CHANGING)
    }

    /// A value that was never used.
    fn value(&mut self, key: usize) -> i64 {
        let value = 1 + self.used.len() as i64;
        self.used.push((key, value));
        value
    }

    fn write(&mut self) -> KeyWrite {
        let key = self.key();
        let condition = match self.random.below(10) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 | 3 => {
                let of_key = self.used.iter().filter(|(of, _)| *of == key).map(|(_, value)| *value);
                let values: Vec<_> = of_key.collect();
                match values[..] {
                    [] => Condition::Absent,
                    _ => Condition::Exactly(self.random.pick(&values)),
                }
            }
            _ => Condition::Anything,
        };
        let change = match self.random.below(10) {
            0 => Change::Delete,
            1 => self.random.pick(&[Change::Delete, Change::Keep]),
            2 => Change::Add(1000 * self.value(key)),
            _ => Change::Set(self.value(key)),
        };
        KeyWrite { key, condition, change }
    }

    fn contents(&mut self) -> Contents {
        let mut contents = Contents::default();
        contents.0[self.key()] = Some(self.value(0));
        if self.random.once_in(2) {
            contents.0[PAD] = Some(LARGE);
        }
        contents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_a_scenario_and_others_differ() {
        let drawn = |seed| format!("{:?}", Scenario::random(seed, &Mix::default()));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
