//! Whether a history of one key can be explained by operations that take effect one at a time.
//!
//! This is the search of Wing and Gong: it puts the events one after another in every order that
//! their times allow, and remembers where it has been. The key is absent at first.

use std::collections::HashSet;

/// What was done to the key. An absent value is `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Write(Option<u64>),
    Read(Option<u64>),
}

/// One operation on the key. It takes effect between `start` and `end`, both of them included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) action: Action,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Whether it took effect at all. A cancelled or failed operation may not have.
    pub(crate) certain: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    done: Vec<bool>,
    value: Option<u64>,
}

/// Whether there is an order of the events in which every read sees the write before it.
pub(crate) fn is_linearizable(history: &[Event]) -> bool {
    let mut history = history.to_vec();
    // Of the states that can follow, the last one is tried first: the one of the earliest event.
    history.sort_by_key(|event| std::cmp::Reverse(event.start));
    let mut states = vec![State { done: vec![false; history.len()], value: None }];
    let mut seen = HashSet::new();
    while let Some(state) = states.pop() {
        let missing = || history.iter().zip(&state.done).filter(|(_, done)| !**done);
        let Some(end_min) = missing().filter(|it| it.0.certain).map(|it| it.0.end).min() else {
            return true;
        };
        let done = history.iter().zip(&state.done).filter(|(_, done)| **done);
        let start_max = done.map(|it| it.0.start).max().unwrap_or(0);
        for (index, event) in history.iter().enumerate() {
            let in_time = event.start <= end_min && event.end >= start_max;
            let value = match event.action {
                Action::Write(value) => value,
                Action::Read(value) if value == state.value => value,
                Action::Read(_) => continue,
            };
            if in_time && !state.done[index] {
                let mut done = state.done.clone();
                done[index] = true;
                let next = State { done, value };
                if seen.insert(next.clone()) {
                    states.push(next);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::Action::{Read, Write};
    use super::*;

    fn event(action: Action, start: u64, end: u64) -> Event {
        Event { action, start, end, certain: true }
    }

    fn cancelled(action: Action, start: u64, end: u64) -> Event {
        Event { certain: false, ..event(action, start, end) }
    }

    #[test]
    fn operations_one_after_another_have_one_order() {
        let writes = [event(Write(Some(1)), 0, 1), event(Write(Some(2)), 2, 3)];
        let then = |read| [&writes[..], &[event(Read(read), 4, 5)]].concat();
        assert!(is_linearizable(&then(Some(2))));
        assert!(!is_linearizable(&then(Some(1))), "a lost update");
        assert!(!is_linearizable(&then(None)), "two lost updates");
        assert!(!is_linearizable(&[event(Read(Some(1)), 0, 1), event(Write(Some(1)), 2, 3)]));
    }

    #[test]
    fn concurrent_operations_have_every_order_but_only_one() {
        let writes = [event(Write(Some(1)), 0, 9), event(Write(None), 0, 9)];
        let then = |reads: [Option<u64>; 2]| {
            [&writes[..], &[event(Read(reads[0]), 10, 11), event(Read(reads[1]), 12, 13)]].concat()
        };
        assert!(is_linearizable(&then([Some(1), Some(1)])));
        assert!(is_linearizable(&then([None, None])));
        assert!(!is_linearizable(&then([Some(1), None])), "a stale read");
    }

    #[test]
    fn a_cancelled_operation_happens_in_its_time_or_never() {
        let history = [cancelled(Write(Some(1)), 0, 1), event(Write(Some(2)), 2, 3)];
        let then = |read| [&history[..], &[event(Read(read), 4, 5)]].concat();
        assert!(is_linearizable(&then(Some(2))));
        assert!(!is_linearizable(&then(Some(1))), "it landed on top of a later write");
        let read = |value| [history[0], event(Read(value), 2, 3)];
        assert!(is_linearizable(&read(Some(1))));
        assert!(is_linearizable(&read(None)));
    }
}
