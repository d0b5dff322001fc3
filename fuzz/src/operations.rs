//! Sequences of operations of several processes against an ordered map.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aiokv::binding::{
    Change, Condition, Entry, Key, Next, Operation, Outcome, Snapshot, Stepped, Waiter, Wake,
    Write,
};
use aiokv::{Error, Journal, Options};
use serde_json::value::RawValue;

use crate::memory::Memory;
use crate::model::Model;
use crate::reference;

const FILE: &str = "/state.json";
const JOURNAL: &str = "/state.json.journal";
const TEMPORARY: &str = "/.state.json.aiokv-tmp";

/// How many keys `many` and `none` take at most: enough for the engine to split its entries, and to
/// clean up after deleted ones.
const MANY: usize = 1100;

/// After so many operations the rest of the input is left alone: it would only be slower.
const OPERATIONS_MAX: usize = 2 * MANY + 200;

/// Whoever takes more steps than this, with nothing to wait for, does not end.
const STEPS_MAX: usize = 20_000;

/// Carries out operations on stores in two processes and on a model of them, and compares every
/// answer and, once everything is answered, the files.
///
/// Every line of `data` is an operation. Its first letter says which; what stands after the first
/// space is what it works on.
///
/// | line | operation |
/// |---|---|
/// | `set KEY=VALUE` | sets a JSON text, or a string if it is none |
/// | `join PART;PART...` | writes several keys, all or none; see below |
/// | `delete KEY` | |
/// | `get KEY` | |
/// | `all PREFIX` | gets everything whose key has the prefix |
/// | `inspect KEY;KEY/PREFIX;PREFIX` | gets some keys, and everything that has some prefixes |
/// | `purge PREFIX` or `purge PREFIX<NUMBER` | deletes what has the prefix, and is an earlier time |
/// | `clear` | |
/// | `many NUMBER` | sets as many keys |
/// | `none NUMBER` | deletes as many keys |
/// | `options NUMBER` | chooses the options of the operations that follow |
/// | `tick NUMBER` | takes so many steps; operations are started without waiting for the one before |
/// | `wait` | takes steps of both processes until nothing is left to do |
/// | `later SECONDS` | waits, and lets the time pass, so that checkpoints are due |
/// | `bring` | asks for a checkpoint, and waits |
/// | `finish` | asks both stores to close, and waits |
/// | `reopen` | kills the process and starts another one |
/// | `other` | goes on in the other one of two processes |
/// | `edit CONTENT` | overwrites the file |
/// | `vary CONTENT` | puts another file in its place |
/// | `unlink` | removes the file |
///
/// A part is `KEY=VALUE`; `KEY!VALUE`, which requires that there is no value, `KEY?VALUE`, that there
/// is one, and `KEY~VALUE`, that there is the one that this process read last; `KEY-`, which deletes;
/// `KEY+NUMBER`, which adds; `KEY&`, which requires what this process read last and changes nothing;
/// or `PREFIX^`, which requires that the prefix lists what this process listed last.
pub fn operations(data: &[u8]) {
    let mut run = Run::new();
    for line in data.split(|&byte| byte == b'\n') {
        if run.count > OPERATIONS_MAX {
            break;
        }
        run.line(&String::from_utf8_lossy(line));
    }
    run.end();
}

struct Run {
    /// The first process is the one that operations are started in.
    processes: [Process; 2],
    model: Model,
    options: Arc<Options>,
    /// The time.
    now: Instant,
    /// How many operations were started.
    count: usize,
    /// Whether a process was killed since there was no journal: what it left in the journal is no
    /// business of the others, until they are asked for a checkpoint.
    orphaned: bool,
}

/// A store that shares nothing with others but the files.
struct Process {
    memory: Memory,
    store: Stepped,
    started: HashMap<usize, Started>,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// The texts of values that were read last.
    seen: HashMap<Box<[u8]>, Box<str>>,
    /// What prefixes listed last.
    listed: HashMap<Key, Snapshot>,
}

/// An operation that has a place in the order, and no answer.
struct Started {
    operation: Operation,
    at: Instant,
}

type Answer = (usize, Result<Outcome, Error>);

/// Takes the answer to the operation with a number.
struct Answering {
    number: usize,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Waiter for Answering {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        self.answers.lock().expect("nothing panics with it").push((self.number, answer));
        None
    }
}

impl Run {
    fn new() -> Self {
        let memory = Memory::default();
        let processes = [memory.other_process(), memory].map(Process::new);
        Self {
            processes,
            model: Model::default(),
            options: options(0),
            now: Instant::now(),
            count: 0,
            orphaned: false,
        }
    }

    fn line(&mut self, line: &str) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name.bytes().next() {
            Some(b's') => self.write([self.part(rest, '=')]),
            Some(b'j') => {
                let parts: Vec<_> = rest.split(';').map(|part| self.any_part(part)).collect();
                self.write(parts);
            }
            Some(b'd') => self.write([delete(rest)]),
            Some(b'g') => self.get(rest),
            Some(b'a') => self.start(Operation::ReadPrefix(rest.as_bytes().into())),
            Some(b'i') => self.start(survey(rest)),
            Some(b'p') => self.start(delete_prefix(rest)),
            Some(b'c') => self.start(Operation::Clear),
            Some(b'm') => numbered(rest).for_each(|key| self.write([self.part(&key, '=')])),
            Some(b'n') => numbered(rest).for_each(|key| self.write([delete(&key)])),
            Some(b'o') if name.starts_with("op") => self.options = options(number(rest)),
            Some(b'o') => self.processes.swap(0, 1),
            Some(b't') => (0..number(rest).clamp(1, 20)).for_each(|_| self.tick()),
            Some(b'w') => self.wait(),
            Some(b'l') => {
                self.wait();
                self.now += Duration::from_secs(number(rest).min(100) as u64);
                self.wait();
            }
            Some(b'b') => self.bring_up_to_date(),
            Some(b'f') => self.finish(),
            Some(b'r') => self.reopen(),
            Some(b'e') => self.edit(Some(rest), Memory::edit),
            Some(b'v') => self.edit(Some(rest), Memory::replace),
            Some(b'u') => self.edit(None, |memory, path, _| memory.unlink(path)),
            _ => {}
        }
    }

    fn any_part(&self, text: &str) -> Option<Write> {
        let sign = text.find(['=', '!', '?', '~', '-', '+', '&', '^'])?;
        match &text[sign..=sign] {
            "-" => delete(&text[..sign]),
            "+" => add(&text[..sign], &text[sign + 1..]),
            "&" => {
                let key = key_bytes(&text[..sign]);
                let seen = self.processes[0].seen.get(&key).cloned();
                let condition = seen.map_or(Condition::Absent, Condition::Exactly);
                Some(Write { condition, change: Change::Keep(key) })
            }
            "^" => {
                let prefix = Key::from(text[..sign].as_bytes());
                let listed = self.processes[0].listed.get(&prefix).cloned().unwrap_or_default();
                Some(Write { condition: Condition::Lists(listed), change: Change::Keep(prefix) })
            }
            sign => self.part(text, sign.chars().next().expect("one")),
        }
    }

    /// A write of `KEY=VALUE`, or with another sign; none if the value cannot be stored.
    fn part(&self, text: &str, sign: char) -> Option<Write> {
        let (key, value) = text.split_once(sign).unwrap_or((text, "null"));
        let value = match serde_json::from_str::<&RawValue>(value) {
            Ok(value) => value.get().to_owned(),
            Err(_) => serde_json::Value::from(value).to_string(),
        };
        reference::read_value(&value)?;
        let entry = Entry::new(&key_text(key), &value);
        let seen = || self.processes[0].seen.get(&*entry.key()).cloned();
        let condition = match sign {
            '!' => Condition::Absent,
            '?' => Condition::Present,
            '~' => Condition::Exactly(seen().unwrap_or_else(|| "null".into())),
            _ => Condition::Anything,
        };
        Some(Write { condition, change: Change::Set(entry) })
    }

    fn write(&mut self, writes: impl IntoIterator<Item = Option<Write>>) {
        let writes: Box<[_]> = writes.into_iter().flatten().collect();
        if !writes.is_empty() {
            self.start(Operation::Write(writes));
        }
    }

    /// Reads a key: at once, if the store can.
    fn get(&mut self, key: &str) {
        let key = key_bytes(key);
        match self.processes[0].store.get_now(&key) {
            None => self.start(Operation::Read([key].into())),
            Some(found) => {
                assert!(!self.model.is_damaged(), "{key:?} of a damaged file: {found:?}");
                self.model.check_get(&key, found.as_ref());
                self.processes[0].see(&key, found.as_ref());
            }
        }
    }

    /// Puts an operation in the queue of the first process.
    fn start(&mut self, operation: Operation) {
        let (number, at) = (self.count, self.now);
        self.count += 1;
        let options = Arc::clone(&self.options);
        self.processes[0].start(number, operation, options, at);
    }

    /// Takes one step of a process. What it answers took effect in this step.
    fn step(&mut self, which: usize) -> Next {
        let Self { processes, model, now, .. } = self;
        let process = &mut processes[which];
        let next = process.store.step(*now);
        let mut answers = std::mem::take(&mut *process.answers.lock().expect("nothing panics"));
        answers.sort_by_key(|(number, _)| *number);
        for (number, answer) in answers {
            let Started { operation, at } =
                process.started.remove(&number).expect("one answer to each operation");
            if let Err(Error::Locked { waited, .. }) = &answer {
                assert!(now.duration_since(at) >= *waited, "gave up too early");
                continue;
            }
            model.check(&operation, &answer);
            match (operation, answer) {
                (Operation::Read(keys), Ok(Outcome::Read(found))) => {
                    keys.iter().zip(found).for_each(|(key, it)| process.see(key, it.as_ref()));
                }
                (Operation::ReadPrefix(prefix), Ok(Outcome::Snapshot(listing))) => {
                    process.listed.insert(prefix, listing);
                }
                (
                    Operation::Survey { keys, prefixes },
                    Ok(Outcome::Surveyed { entries, listings }),
                ) => {
                    keys.iter().zip(entries).for_each(|(key, it)| process.see(key, it.as_ref()));
                    process.listed.extend(prefixes.into_iter().zip(listings));
                }
                _ => {}
            }
        }
        next
    }

    fn tick(&mut self) {
        if let Next::Retry(pause) = self.step(0) {
            self.now += pause;
        }
    }

    /// Takes steps until nothing is left to do, and compares with the files.
    fn wait(&mut self) {
        let mut steps = 0;
        let mut idle = 0;
        while idle < self.processes.len() {
            steps += 1;
            assert!(steps < STEPS_MAX, "it does not end");
            match self.step(steps % self.processes.len()) {
                Next::Again => idle = 0,
                Next::Retry(pause) => {
                    self.now += pause;
                    idle = 0;
                }
                Next::Idle(due) if due.is_some_and(|due| due <= self.now) => idle = 0,
                Next::Idle(_) => idle += 1,
            }
        }
        for process in &self.processes {
            let left: Vec<_> = process.started.values().map(|it| &it.operation).collect();
            assert!(left.is_empty(), "never answered: {left:?}");
        }
        let memory = &self.processes[0].memory;
        let has_journal = memory.file(Path::new(JOURNAL)).is_some();
        self.model.check_file(memory.file(Path::new(FILE)).as_deref(), has_journal);
        self.orphaned &= has_journal;
        self.read_all();
    }

    /// Another process reads everything.
    fn read_all(&mut self) {
        let mut reader = Process::new(self.processes[0].memory.other_process());
        reader.start(0, Operation::ReadPrefix(Key::default()), options(0), self.now);
        let next = reader.store.step(self.now);
        assert_eq!(next, Next::Idle(None), "nobody has a lock");
        let answers = std::mem::take(&mut *reader.answers.lock().expect("nothing panics"));
        let [(_, answer)] = &answers[..] else { panic!("one answer to one operation") };
        self.model.check(&Operation::ReadPrefix(Key::default()), answer);
    }

    fn bring_up_to_date(&mut self) {
        self.start(Operation::Checkpoint);
        self.wait();
        if !self.model.is_damaged() {
            assert!(!self.has_journal(), "the file should hold everything");
        }
    }

    fn finish(&mut self) {
        for _ in 0..2 {
            self.start(Operation::Close);
            self.processes.swap(0, 1);
        }
        self.wait();
        if !self.model.is_damaged() && !self.orphaned {
            assert!(!self.has_journal(), "the file should hold what the stores changed");
        }
    }

    fn has_journal(&self) -> bool {
        self.processes[0].memory.file(Path::new(JOURNAL)).is_some()
    }

    fn reopen(&mut self) {
        let [killed, other] = &self.processes;
        killed.memory.kill();
        self.processes[0] = Process::new(other.memory.other_process());
        self.orphaned = self.has_journal();
    }

    fn edit(&mut self, content: Option<&str>, edit: fn(&Memory, &Path, &[u8])) {
        let content = content.map(str::as_bytes);
        let memory = &self.processes[0].memory;
        let file = memory.file(Path::new(FILE));
        self.model.edit(content, (file.as_deref(), self.has_journal()));
        edit(memory, Path::new(FILE), content.unwrap_or_default());
    }

    /// Leaves a file or nothing.
    fn end(mut self) {
        self.finish();
        self.write([self.part("end", '=')]);
        if self.model.is_damaged() {
            self.start(Operation::Clear);
        }
        self.bring_up_to_date();
        let files = self.processes[0].memory.files();
        let names: Vec<_> = files.iter().map(|(path, _)| &**path).collect();
        let left = names == [Path::new(FILE)] || names.is_empty();
        assert!(left, "{names:?} were left, {TEMPORARY} among them or not");
    }
}

impl Process {
    fn new(memory: Memory) -> Self {
        let store = Stepped::new(Arc::new(memory.clone()), Path::new(FILE));
        let (started, answers) = (HashMap::new(), Arc::default());
        let (seen, listed) = (HashMap::new(), HashMap::new());
        Self { memory, store, started, answers, seen, listed }
    }

    fn start(&mut self, number: usize, operation: Operation, options: Arc<Options>, at: Instant) {
        let waiter = Box::new(Answering { number, answers: Arc::clone(&self.answers) });
        self.store.submit(operation.clone(), waiter, options, at);
        self.started.insert(number, Started { operation, at });
    }

    fn see(&mut self, key: &[u8], found: Option<&Entry>) {
        match found {
            Some(entry) => drop(self.seen.insert(key.into(), entry.value_text().into())),
            None => drop(self.seen.remove(key)),
        }
    }
}

/// Options by a number. 0 stands for those that write the file at every change.
fn options(number: usize) -> Arc<Options> {
    let journal = [Journal::Never, Journal::Always, Journal::Auto][number % 3];
    let pace = [64 << 10, u64::MAX, 0][number / 3 % 3];
    let fsync = number / 9 % 2 == 0;
    let options = Options::default().journal(journal).checkpoint_pace(pace).fsync(fsync);
    Arc::new(options.journal_threshold(40))
}

/// A JSON string stands for itself, anything else for what it says.
fn key_text(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(text) if text.get().starts_with('"') => text.get().to_owned(),
        _ => serde_json::Value::from(text).to_string(),
    }
}

fn key_bytes(text: &str) -> Key {
    reference::key_bytes(&key_text(text)).into()
}

fn delete(key: &str) -> Option<Write> {
    Some(Write::unconditional(Change::Delete(key_bytes(key))))
}

fn add(key: &str, amount: &str) -> Option<Write> {
    let amount = serde_json::from_str::<&RawValue>(amount).map_or("1", RawValue::get);
    reference::read_value(amount)?;
    let amount = Entry::new(&key_text(key), amount);
    Some(Write::unconditional(Change::Add { amount, initial: "0".into() }))
}

/// A survey of `KEY;KEY/PREFIX;PREFIX`.
fn survey(text: &str) -> Operation {
    let (keys, prefixes) = text.split_once('/').unwrap_or((text, ""));
    Operation::Survey {
        keys: keys.split(';').map(key_bytes).collect(),
        prefixes: prefixes.split(';').map(|prefix| prefix.as_bytes().into()).collect(),
    }
}

/// A deletion of `PREFIX` or `PREFIX<NUMBER`.
fn delete_prefix(text: &str) -> Operation {
    let (prefix, limit) = text.split_once('<').unwrap_or((text, ""));
    let older_than = limit.parse().ok().filter(|limit: &f64| limit.is_finite());
    Operation::DeletePrefix { prefix: prefix.as_bytes().into(), older_than }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

fn numbered(count: &str) -> impl Iterator<Item = String> + use<> {
    let count = number(count).min(MANY);
    (0..count).map(|number| number.to_string())
}
