//! What is written down of a run: who asked for what and was told what, and when; and, if
//! somebody is to read it, every call.

use rustix::io::Errno;

use crate::support::simulated_disk::{Action, ProcessId};

use super::engine::Answer;
use super::model::{Reply, Request, State};
use super::oracle::Event;

/// An operation that takes more calls than this, while no process stands still, does not end.
pub(crate) const CALLS_MAX: u64 = 1000;

/// An operation that a process started.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) seat: usize,
    pub(crate) process: ProcessId,
    pub(crate) request: Request,
    pub(crate) fsync: bool,
    pub(crate) start: u64,
    /// When it was answered, or its process ended.
    pub(crate) end: Option<u64>,
    pub(crate) answer: Option<Answer>,
    /// How many calls the seat had made when it started,
    calls_before: u64,
    /// and how many it made until the answer.
    pub(crate) calls: u64,
}

impl Record {
    pub(crate) fn new(
        seat: usize,
        process: ProcessId,
        request: Request,
        fsync: bool,
        calls_before: u64,
    ) -> Self {
        let (start, end, answer, calls) = (0, None, None, 0);
        Self { seat, process, request, fsync, start, end, answer, calls_before, calls }
    }
}

/// A fault that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fired {
    seat: usize,
    at: u64,
    pub(crate) action: Action,
}

#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Counts everything that has an order.
    moment: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) kills: u64,
    pub(crate) edits: u64,
    /// An edit was made while a process was at work on the file.
    pub(crate) was_rude: bool,
    /// When a process began to stand still.
    pub(crate) frozen: Vec<u64>,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(is_detailed: bool) -> Self {
        Self { lines: is_detailed.then(Vec::new), ..Self::default() }
    }

    /// The next moment.
    pub(crate) fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn start(&mut self, record: Record) -> usize {
        let start = self.tick();
        self.records.push(Record { start, ..record });
        self.records.len() - 1
    }

    pub(crate) fn answer(&mut self, record: usize, answer: Answer, calls: u64) {
        let end = self.tick();
        let record = &mut self.records[record];
        record.end = Some(end);
        record.answer = Some(answer);
        record.calls = calls - record.calls_before;
    }

    /// An outsider left this on the disk.
    pub(crate) fn edit(&mut self, state: State) {
        let record = self.start(Record::new(usize::MAX, 0, Request::Edit(state), true, 0));
        self.answer(record, Answer::Reply(Reply::Done), 0);
        self.edits += 1;
    }

    /// A process is no more: what it was not told by now it never is.
    pub(crate) fn end(&mut self, process: ProcessId) {
        let end = self.tick();
        let mut open = 0;
        for record in self.records.iter_mut().filter(|record| record.process == process) {
            open += u64::from(record.end.is_none());
            record.end.get_or_insert(end);
        }
        self.kills += u64::from(open > 0);
    }

    pub(crate) fn fault(&mut self, seat: usize, action: Action) {
        let at = self.tick();
        self.fired.push(Fired { seat, at, action });
    }

    pub(crate) fn freeze(&mut self) {
        let at = self.tick();
        self.frozen.push(at);
    }

    pub(crate) fn is_detailed(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn line(&mut self, line: String) {
        self.lines.iter_mut().for_each(|lines| lines.push(line.clone()));
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// Every record, a line each.
    pub(crate) fn history(&self) -> String {
        let line = |record: &Record| {
            let Record { process, request, start, end, answer, fsync, calls, .. } = record;
            let flushed = if *fsync { "" } else { " (no fsync)" };
            let end = end.map_or("...".to_owned(), |end| end.to_string());
            format!(
                "{start:5}-{end:5} P{process} {request:?}{flushed} -> {answer:?} [{calls} calls]\n"
            )
        };
        self.records.iter().map(line).collect()
    }

    /// Finds a record that must not be: an error without a fault, or no end.
    pub(crate) fn misbehaviour(&self) -> Option<String> {
        self.records.iter().find_map(|record| {
            let problem = match &record.answer {
                Some(Answer::Unheard(text)) => text.clone(),
                // A process that stands still with a lock makes others wait, and once it goes on
                // it has waited for long itself.
                Some(Answer::Locked) if self.was_frozen_before(record) => return None,
                Some(Answer::Locked) => "waited too long for a lock".to_owned(),
                Some(Answer::Refused { .. }) if self.was_rude => return None,
                Some(Answer::Refused { errno, text }) => {
                    let injected = [Errno::IO, Errno::NOSPC].map(Errno::raw_os_error);
                    let is_injected = errno.is_some_and(|errno| injected.contains(&errno));
                    if is_injected && self.is_excused(record) {
                        return None;
                    }
                    format!("failed without a cause of its own: {text}")
                }
                _ if record.end.is_none() => "was never answered".to_owned(),
                _ if record.calls > CALLS_MAX && self.frozen.is_empty() => {
                    format!("took {} calls", record.calls)
                }
                _ => return None,
            };
            Some(format!("P{} {:?}: {problem}", record.process, record.request))
        })
    }

    fn was_frozen_before(&self, record: &Record) -> bool {
        self.frozen.iter().any(|at| record.end.is_none_or(|end| *at < end))
    }

    /// Whether a fault explains the failure of a record: one since the last answer before it began.
    fn is_excused(&self, record: &Record) -> bool {
        let Record { seat, start, end, .. } = *record;
        let ends = self.records.iter().filter(|other| other.seat == seat);
        let since = ends.filter_map(|other| other.end).filter(|end| *end < start).max();
        let (since, until) = (since.unwrap_or(0), end.unwrap_or(u64::MAX));
        self.fired.iter().any(|fired| fired.seat == seat && (since..=until).contains(&fired.at))
    }

    /// Whether a loss of power may damage the store: if a process wrote without a flush, and none
    /// that flushes wrote after that.
    pub(crate) fn has_open_ends(&self, outage: u64) -> bool {
        let writes = self.records.iter().filter(|it| it.request.is_write() && it.start < outage);
        let (flushed, unflushed): (Vec<_>, Vec<_>) = writes.partition(|it| it.fsync);
        let is_done = |it: &&&Record| matches!(it.answer, Some(Answer::Reply(_)));
        let last = flushed.iter().filter(is_done).map(|it| it.start).max().unwrap_or(0);
        unflushed.iter().any(|it| it.end.is_none_or(|end| end > last))
    }

    /// Whether a failed flush may have left unflushed what other processes see and build on: if its
    /// process met with more trouble, or its end, before it could make up for it.
    pub(crate) fn has_lost_flush(&self) -> bool {
        self.fired.iter().filter(|fired| fired.action.flushes_a_file()).any(|fired| {
            let after = |record: &&Record| {
                record.seat == fired.seat && record.end.is_none_or(|end| end > fired.at)
            };
            let first = self.records.iter().filter(after).min_by_key(|record| record.end);
            let until = first.and_then(|record| record.end).unwrap_or(u64::MAX);
            let is_between = |other: &Fired| {
                other.seat == fired.seat && other.at > fired.at && other.at <= until
            };
            first.is_none_or(|record| record.answer.is_none()) || self.fired.iter().any(is_between)
        })
    }

    /// The history as the oracle wants it. What has no effect and no answer says nothing.
    pub(crate) fn events(&self) -> Vec<Event> {
        let event = |record: &Record| {
            let reply = match &record.answer {
                Some(Answer::Reply(reply)) => Some(reply.clone()),
                _ => None,
            };
            let Record { process, ref request, start, end, fsync, .. } = *record;
            let says_something = match request {
                Request::Checkpoint | Request::Close => false,
                // It waited in vain, so it has no effect.
                _ if matches!(record.answer, Some(Answer::Locked)) => false,
                request => request.is_write() || reply.is_some(),
            };
            let changed = match &reply {
                Some(Reply::Written(pairs)) => pairs.iter().any(|(before, after)| before != after),
                Some(Reply::Deleted(deleted)) => deleted.0.iter().any(Option::is_some),
                Some(Reply::Done) => true,
                _ => false,
            };
            let (request, durable) = (request.clone(), fsync && changed);
            let end = end.unwrap_or(self.moment);
            says_something.then_some(Event { process, request, reply, start, end, durable })
        };
        self.records.iter().filter_map(event).collect()
    }
}
