//! What runs were like, to see that they contain what they are meant to contain.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use crate::support::simulated_disk::Action;

use super::engine::Answer;
use super::model::{Reply, Request};
use super::record::Trace;

#[derive(Debug, Default, Clone)]
pub(crate) struct Statistics {
    pub(crate) runs: u64,
    pub(crate) steps: u64,
    pub(crate) operations: u64,
    pub(crate) kills: u64,
    pub(crate) outages: u64,
    pub(crate) edits: u64,
    /// Operations that were told that the store is damaged.
    pub(crate) damaged: u64,
    /// Writes whose condition on what a prefix lists held, and those whose condition did not.
    pub(crate) listed: [u64; 2],
    /// Operations that deleted something by prefix.
    pub(crate) deleted: u64,
    /// Operations that waited for a lock in vain.
    pub(crate) locked: u64,
    /// How many calls failed.
    pub(crate) failures: BTreeMap<Action, u64>,
    /// The most calls that one operation took where no process stood still.
    pub(crate) calls_max: u64,
}

impl Statistics {
    pub(crate) fn of(trace: &Trace, steps: u64) -> Self {
        let answers = || trace.records.iter().filter_map(|record| record.answer.as_ref());
        let is_corrupt = |answer: &&Answer| matches!(answer, Answer::Reply(Reply::Corrupt));
        let is_listed = |request: &Request| matches!(request, Request::WriteIfListed(..));
        let listed = trace.records.iter().filter(|record| is_listed(&record.request));
        let listed = listed.filter_map(|record| record.answer.as_ref());
        let [mut held, mut unlisted] = [0; 2];
        for answer in listed {
            held += u64::from(matches!(answer, Answer::Reply(Reply::Written(_))));
            unlisted += u64::from(matches!(answer, Answer::Reply(Reply::Unlisted)));
        }
        let is_deletion = |answer: &&Answer| match answer {
            Answer::Reply(Reply::Deleted(deleted)) => deleted.0.iter().any(Option::is_some),
            _ => false,
        };
        let calls = trace.records.iter().map(|record| record.calls);
        let mut failures = BTreeMap::new();
        for fired in &trace.fired {
            *failures.entry(fired.action).or_default() += 1;
        }
        Self {
            runs: 1,
            steps,
            operations: trace.records.len() as u64,
            kills: trace.kills,
            outages: 0,
            edits: trace.edits,
            damaged: answers().filter(is_corrupt).count() as u64,
            listed: [held, unlisted],
            deleted: answers().filter(is_deletion).count() as u64,
            locked: answers().filter(|answer| matches!(answer, Answer::Locked)).count() as u64,
            failures,
            calls_max: calls.filter(|_| trace.frozen.is_empty()).max().unwrap_or(0),
        }
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.operations += other.operations;
        self.kills += other.kills;
        self.outages += other.outages;
        self.edits += other.edits;
        self.damaged += other.damaged;
        self.listed = [0, 1].map(|index| self.listed[index] + other.listed[index]);
        self.deleted += other.deleted;
        self.locked += other.locked;
        for (action, count) in other.failures {
            *self.failures.entry(action).or_default() += count;
        }
        self.calls_max = self.calls_max.max(other.calls_max);
    }
}
