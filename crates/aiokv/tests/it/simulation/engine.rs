//! The engine, spoken to in the words of the [model](super::model).

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aiokv::binding::storage::Storage;
use aiokv::binding::{self, Entry, Next, Operation, Outcome, Snapshot, Stepped, Waiter, Wake};
use aiokv::{Error, Journal, Options};

use super::model::{
    Change, Condition, Contents, KEYS, KeyWrite, PREFIXES, Reply, Request, State, value_of,
    value_text,
};

/// How a process uses the store.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) journal: Journal,
    pub(crate) journal_threshold: u64,
    pub(crate) lock_timeout: Duration,
    pub(crate) fsync: bool,
    pub(crate) checkpoint_pace: u64,
}

/// What came out of a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Reply(Reply),
    /// The operating system refused something.
    Refused {
        errno: Option<i32>,
        text: String,
    },
    /// Another process has held the lock for too long.
    Locked,
    /// Something that never happens.
    Unheard(String),
}

/// The engine of one process.
pub(crate) struct Engine {
    stepped: Stepped,
    options: Arc<Options>,
    listed: Arc<Mutex<Listed>>,
}

/// What was found last under each prefix.
type Listed = [Option<(Contents, Snapshot)>; PREFIXES.len()];

impl Engine {
    pub(crate) fn new(storage: Arc<dyn Storage>, path: &Path, manner: &Manner) -> Self {
        let options = Options::default()
            .journal(manner.journal)
            .journal_threshold(manner.journal_threshold)
            .lock_timeout(manner.lock_timeout)
            .fsync(manner.fsync)
            .checkpoint_pace(manner.checkpoint_pace);
        let stepped = Stepped::new(storage, path);
        Self { stepped, options: Arc::new(options), listed: Arc::default() }
    }

    pub(crate) fn submit(
        &self,
        request: &Request,
        now: Duration,
        answer: impl FnOnce(Answer) + Send + 'static,
    ) {
        let listed = Arc::clone(&self.listed);
        let waiter = Box::new(Reporter { answer, request: request.clone(), listed });
        let options = Arc::clone(&self.options);
        self.stepped.submit(self.operation(request), waiter, options, instant(now));
    }

    /// What was found last under a prefix.
    pub(crate) fn listed(&self, prefix: usize) -> Option<Contents> {
        self.listed.lock().expect("no panic")[prefix].as_ref().map(|(contents, _)| *contents)
    }

    /// The value of a key, if memory is enough to know it.
    pub(crate) fn get_now(&self, key: usize) -> Option<Answer> {
        let found = self.stepped.get_now(KEYS[key].as_bytes())?;
        Some(answer_of(|| Ok(Reply::Read(vec![value(found.as_ref())?]))))
    }

    pub(crate) fn close_files(&mut self, wall_clock: i64) {
        self.stepped.close_files(wall_clock);
    }

    pub(crate) fn step(&mut self, now: Duration) -> Step {
        match self.stepped.step(instant(now)) {
            Next::Again => Step::Again,
            Next::Retry(pause) => Step::After(pause),
            Next::Idle(None) => Step::Idle,
            Next::Idle(Some(at)) => Step::At(at.saturating_duration_since(instant(Duration::ZERO))),
        }
    }
}

/// What the engine wants next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Again,
    After(Duration),
    At(Duration),
    Idle,
}

/// What a process finds that has the disk for itself.
pub(crate) fn found_alone(storage: Arc<dyn Storage>, path: &Path) -> Result<State, String> {
    let manner = Manner {
        journal: Journal::Always,
        journal_threshold: 0,
        lock_timeout: Duration::from_secs(10),
        fsync: true,
        checkpoint_pace: 0,
    };
    let mut engine = Engine::new(storage, path, &manner);
    let (sender, answers) = std::sync::mpsc::channel();
    let answer = move |answer| sender.send(answer).expect("the receiver waits");
    engine.submit(&Request::ReadAll, Duration::ZERO, answer);
    for step in 0..1000 {
        engine.step(Duration::from_millis(step));
        match answers.try_recv() {
            Ok(Answer::Reply(Reply::All(contents))) => return Ok(State::Whole(contents)),
            Ok(Answer::Reply(Reply::Corrupt)) => return Ok(State::Damaged),
            Ok(other) => return Err(format!("a process alone is told {other:?}")),
            Err(_) => {}
        }
    }
    Err("a process alone is not answered".to_owned())
}

/// A moment of the simulated clock, of which the engine only sees differences.
fn instant(now: Duration) -> Instant {
    static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGINNING.get_or_init(Instant::now) + now
}

struct Reporter<Answering> {
    answer: Answering,
    request: Request,
    listed: Arc<Mutex<Listed>>,
}

impl<Answering: FnOnce(Answer) + Send> Waiter for Reporter<Answering> {
    fn answer(self: Box<Self>, answer: Result<Outcome, Error>) -> Option<Arc<dyn Wake>> {
        let Self { answer: report, request, listed } = *self;
        if let (Request::Survey(_, prefixes), Ok(Outcome::Surveyed { listings, .. })) =
            (&request, &answer)
        {
            for (prefix, listing) in prefixes.iter().zip(listings) {
                let contents = contents_of(listing).ok();
                let mut listed = listed.lock().expect("no panic");
                listed[*prefix] = contents.map(|contents| (contents, listing.clone()));
            }
        }
        report(match answer {
            Ok(outcome) => answer_of(|| reply(&request, &outcome)),
            Err(Error::Corrupt(_)) => Answer::Reply(Reply::Corrupt),
            Err(Error::Io { action, path, source }) => Answer::Refused {
                errno: source.raw_os_error(),
                text: format!("cannot {action} {}: {source}", path.display()),
            },
            Err(Error::Locked { .. }) => Answer::Locked,
            Err(other) => Answer::Unheard(other.to_string()),
        });
        None
    }
}

fn answer_of(reply: impl FnOnce() -> Result<Reply, String>) -> Answer {
    reply().map_or_else(Answer::Unheard, Answer::Reply)
}

fn reply(request: &Request, outcome: &Outcome) -> Result<Reply, String> {
    Ok(match (request, outcome) {
        (Request::Get(_) | Request::Read(_), Outcome::Read(found)) => {
            let values: Result<_, _> = found.iter().map(|entry| value(entry.as_ref())).collect();
            Reply::Read(values?)
        }
        (Request::ReadAll, Outcome::Snapshot(snapshot)) => Reply::All(contents_of(snapshot)?),
        (Request::Survey(..), Outcome::Surveyed { entries, listings }) => Reply::Surveyed(
            entries.iter().map(|entry| value(entry.as_ref())).collect::<Result<_, _>>()?,
            listings.iter().map(contents_of).collect::<Result<_, _>>()?,
        ),
        (Request::DeletePrefix(..), Outcome::Written(written)) => {
            if written.iter().any(|written| written.after.is_some()) {
                return Err(format!("it is still there: {written:?}"));
            }
            let deleted = written.iter().map(|written| written.before.as_ref());
            let deleted = deleted.map(|entry| entry.ok_or("nothing was there"));
            Reply::Deleted(contents(deleted.collect::<Result<Vec<_>, _>>()?.into_iter())?)
        }
        (Request::WriteIfListed(..), Outcome::Written(written)) => {
            // The first one is the condition.
            Reply::Written(written.iter().skip(1).map(pair).collect::<Result<_, _>>()?)
        }
        (Request::WriteIfListed(..), Outcome::Unmet { index: 0, found: None }) => Reply::Unlisted,
        (Request::WriteIfListed(..), Outcome::Unmet { index, found }) => {
            Reply::Unmet { index: *index - 1, found: value(found.as_ref())? }
        }
        (Request::Write(_), Outcome::Written(written)) => {
            Reply::Written(written.iter().map(pair).collect::<Result<_, _>>()?)
        }
        (Request::Write(_), Outcome::Unmet { index, found }) => {
            Reply::Unmet { index: *index, found: value(found.as_ref())? }
        }
        (Request::Clear | Request::Checkpoint | Request::Close, Outcome::Done) => Reply::Done,
        _ => return Err(format!("{outcome:?} answers something else")),
    })
}

/// The values before and after a write.
fn pair(written: &binding::Written) -> Result<(Option<i64>, Option<i64>), String> {
    Ok((value(written.before.as_ref())?, value(written.after.as_ref())?))
}

fn contents_of(snapshot: &Snapshot) -> Result<Contents, String> {
    contents(snapshot.iter())
}

fn contents<'entry>(entries: impl Iterator<Item = &'entry Entry>) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for entry in entries {
        let key = KEYS.iter().position(|key| *key.as_bytes() == *entry.key());
        let key = key.ok_or_else(|| format!("no such key: {entry:?}"))?;
        if contents.0[key].is_some() {
            return Err(format!("the key comes twice: {entry:?}"));
        }
        contents.0[key] = value(Some(entry))?;
    }
    Ok(contents)
}

fn value(entry: Option<&Entry>) -> Result<Option<i64>, String> {
    let Some(entry) = entry else { return Ok(None) };
    value_of(entry.value_text()).map(Some).ok_or_else(|| format!("no value was written: {entry:?}"))
}

impl Engine {
    fn operation(&self, request: &Request) -> Operation {
        let Request::WriteIfListed(prefix, _, writes) = request else { return operation(request) };
        let listed = self.listed.lock().expect("no panic")[*prefix].clone();
        let (_, snapshot) = listed.expect("the request is about what was found");
        let condition = binding::Write {
            condition: binding::Condition::Lists(snapshot),
            change: binding::Change::Keep(PREFIXES[*prefix].as_bytes().into()),
        };
        Operation::Write([condition].into_iter().chain(writes.iter().map(write)).collect())
    }
}

fn operation(request: &Request) -> Operation {
    let prefixed = |prefix: usize| -> binding::Key { PREFIXES[prefix].as_bytes().into() };
    let name = |key: usize| -> binding::Key { KEYS[key].as_bytes().into() };
    match request {
        Request::Get(key) => Operation::Read([name(*key)].into()),
        Request::Read(keys) => Operation::Read(keys.iter().map(|key| name(*key)).collect()),
        Request::ReadAll => Operation::ReadPrefix([].into()),
        Request::Survey(keys, prefixes) => Operation::Survey {
            keys: keys.iter().map(|key| name(*key)).collect(),
            prefixes: prefixes.iter().map(|prefix| prefixed(*prefix)).collect(),
        },
        Request::DeletePrefix(prefix, older_than) => Operation::DeletePrefix {
            prefix: prefixed(*prefix),
            older_than: older_than.map(|limit| limit as f64),
        },
        Request::Write(writes) => Operation::Write(writes.iter().map(write).collect()),
        Request::Clear => Operation::Clear,
        Request::Checkpoint => Operation::Checkpoint,
        Request::Close => Operation::Close,
        Request::WriteIfListed(..) => unreachable!("the engine knows what was listed"),
        Request::Edit(_) => unreachable!("outsiders use no engine"),
    }
}

fn write(write: &KeyWrite) -> binding::Write {
    let key = KEYS[write.key];
    let entry = |value| Entry::new(&format!("\"{key}\""), &value_text(value));
    let condition = match write.condition {
        Condition::Anything => binding::Condition::Anything,
        Condition::Absent => binding::Condition::Absent,
        Condition::Present => binding::Condition::Present,
        Condition::Exactly(value) => binding::Condition::Exactly(value_text(value).into()),
    };
    let change = match write.change {
        Change::Set(value) => binding::Change::Set(entry(value)),
        Change::Delete => binding::Change::Delete(key.as_bytes().into()),
        Change::Keep => binding::Change::Keep(key.as_bytes().into()),
        Change::Add(amount) => binding::Change::Add { amount: entry(amount), initial: "0".into() },
    };
    binding::Write { condition, change }
}
