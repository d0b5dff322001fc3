//! Whether a history of the whole store can be explained by requests that take effect one at a
//! time, and by what a loss of power may take away.
//!
//! This is the search of Wing and Gong: it puts the events one after another in every order that
//! their times allow, and remembers where it has been. A loss of power cuts that order somewhere
//! behind everything that is durable: what stands behind the cut happened, but is gone.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::model::{Reply, Request, State};

/// One request. It takes effect between `start` and `end`, both of them included.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The process that made it.
    pub(crate) process: u32,
    pub(crate) request: Request,
    /// What it answered, if that is known. What answered is certain to have happened.
    pub(crate) reply: Option<Reply>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// A loss of power cannot take it away.
    pub(crate) durable: bool,
}

/// A loss of power.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) at: u64,
    /// Whether it may damage the store.
    pub(crate) may_damage: bool,
}

/// How the problem begins that no order explains a history.
pub(crate) const UNEXPLAINED: &str = "nothing explains this";

/// A set of events.
type Set = u128;

/// Where the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    done: Set,
    state: State,
    /// What survives the outage that is still to come.
    survivor: Option<State>,
    /// The outage is over, or there is none.
    powered: bool,
}

struct Search<'history> {
    history: &'history [Event],
    outage: Option<Outage>,
    /// The events that answered.
    certain: Set,
    /// The certain events before the outage.
    before_outage: Set,
    /// The events that are durable before the outage.
    durable: Set,
    /// For each event those that have to be done before it,
    needed: Vec<Set>,
    /// and those that must not be done before it.
    forbidden: Vec<Set>,
}

/// Lets requests that failed come back with the outage, although others saw that they had failed:
/// what was written and taken back was perhaps not taken back on the disk. The next change that is
/// durable makes that impossible.
pub(crate) fn let_failures_surface(history: &mut [Event], outage: Outage) {
    let durable: Vec<_> = history.iter().filter(|event| event.durable).cloned().collect();
    for failed in history.iter_mut().filter(|it| it.reply.is_none() && it.end < outage.at) {
        let later = durable.iter().filter(|it| it.start > failed.end).map(|it| it.end);
        failed.end = later.min().unwrap_or(u64::MAX).min(outage.at);
        // It is not the process that does it.
        failed.process = NO_PROCESS;
    }
}

/// The process of what happens by itself.
const NO_PROCESS: u32 = u32::MAX;

/// Looks for an order in which every event answers what it answered. If there is none, says how
/// far the search came.
pub(crate) fn explain(
    history: &[Event],
    initial: State,
    outage: Option<Outage>,
) -> Result<(), String> {
    assert!(history.len() <= 128, "a set of events has 128 bits");
    let search = Search::new(history, outage);
    let first = Place { done: 0, state: initial, survivor: None, powered: outage.is_none() };
    let mut places = vec![first];
    let mut seen = HashSet::from([first]);
    let mut farthest = first;
    while let Some(place) = places.pop() {
        if place.powered && search.certain & !place.done == 0 {
            return Ok(());
        }
        if place.done.count_ones() > farthest.done.count_ones() {
            farthest = place;
        }
        let mut next = search.next(place);
        // The one that is tried first is the last one: the one of the earliest event.
        next.reverse();
        places.extend(next.into_iter().filter(|place| seen.insert(*place)));
    }
    Err(search.describe(farthest))
}

impl<'history> Search<'history> {
    fn new(history: &'history [Event], outage: Option<Outage>) -> Self {
        let set = |is_in: &dyn Fn(&Event) -> bool| {
            let bits = history.iter().enumerate().map(|(index, event)| (index, is_in(event)));
            bits.fold(0, |set: Set, (index, is_in)| if is_in { set | 1 << index } else { set })
        };
        let is_early = |event: &Event| outage.is_some_and(|outage| event.start <= outage.at);
        let is_certain = |event: &Event| event.reply.is_some();
        let needed = |event| set(&|other| is_certain(other) && precedes(other, event));
        let forbidden = |event| set(&|other| precedes(event, other));
        Self {
            history,
            outage,
            certain: set(&is_certain),
            before_outage: set(&|event| is_certain(event) && is_early(event)),
            durable: set(&|event| event.durable && is_certain(event) && is_early(event)),
            needed: history.iter().map(needed).collect(),
            forbidden: history.iter().map(forbidden).collect(),
        }
    }

    fn next(&self, place: Place) -> Vec<Place> {
        let mut next: Vec<_> =
            (0..self.history.len()).filter_map(|index| self.after(place, index)).collect();
        if place.powered {
            return next;
        }
        if place.survivor.is_none() && self.durable & !place.done == 0 {
            next.push(Place { survivor: Some(place.state), ..place });
        }
        if let Some(survivor) = place.survivor.filter(|_| self.before_outage & !place.done == 0) {
            let may_damage = self.outage.is_some_and(|outage| outage.may_damage);
            let damaged = may_damage.then_some(State::Damaged);
            let over = |state| Place { state, survivor: None, powered: true, ..place };
            next.extend([survivor].into_iter().chain(damaged).map(over));
        }
        next
    }

    /// Where the search is when an event took effect, if it could.
    fn after(&self, place: Place, index: usize) -> Option<Place> {
        let event = &self.history[index];
        let is_late = self.outage.is_some_and(|outage| event.start > outage.at);
        let is_possible = place.done >> index & 1 == 0
            && self.needed[index] & !place.done == 0
            && self.forbidden[index] & place.done == 0
            && (self.outage.is_none() || is_late == place.powered);
        if !is_possible {
            return None;
        }
        let (reply, state) = event.request.apply(place.state);
        let done = place.done | 1 << index;
        let refused = |answer: &Reply| event.request.may_refuse(answer, place.state);
        if event.reply.as_ref().is_some_and(refused) {
            return Some(Place { done, ..place });
        }
        let fits = event.reply.as_ref().is_none_or(|expected| *expected == reply);
        fits.then_some(Place { done, state, ..place })
    }

    fn describe(&self, farthest: Place) -> String {
        let mut text = format!("{UNEXPLAINED}; at most, the store is {:?}", farthest.state);
        let missing = self
            .history
            .iter()
            .enumerate()
            .filter(|(index, event)| event.reply.is_some() && farthest.done >> index & 1 == 0);
        for (_, event) in missing {
            write!(text, "\n  then cannot happen: {event:?}").expect("a string takes everything");
        }
        text
    }
}

/// Whether one event takes effect before another one, if both of them do.
///
/// The requests of one process keep their order, although they may be open at the same time. Only
/// a read may see the effect of a write that was asked for after it, if that failed: then the read
/// is made again.
fn precedes(first: &Event, second: &Event) -> bool {
    let is_earlier = first.end < second.start;
    let has_process = first.process != NO_PROCESS;
    let same_process = has_process && first.process == second.process && first.start < second.start;
    let in_order = first.request.is_write() || second.reply.is_some();
    is_earlier || same_process && in_order && first.request.conflicts_with(&second.request)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Change, Condition, Contents, KeyWrite};
    use super::*;

    const EMPTY: State = State::Whole(Contents([None; 4]));

    fn set(key: usize, value: i64) -> KeyWrite {
        KeyWrite { key, condition: Condition::Anything, change: Change::Set(value) }
    }

    /// A write that answers that nothing was there before it.
    fn write(process: u32, writes: &[KeyWrite], start: u64, end: u64) -> Event {
        let written = |write: &KeyWrite| match write.change {
            Change::Set(value) => (None, Some(value)),
            _ => unreachable!("only values are set"),
        };
        let reply = Some(Reply::Written(writes.iter().map(written).collect()));
        let request = Request::Write(writes.to_vec());
        Event { process, request, reply, start, end, durable: true }
    }

    fn uncertain(event: Event) -> Event {
        Event { reply: None, ..event }
    }

    fn read(process: u32, keys: [Option<i64>; 2], start: u64, end: u64) -> Event {
        let reply = Some(Reply::Read(keys.to_vec()));
        Event { process, request: Request::Read(vec![0, 1]), reply, start, end, durable: false }
    }

    fn is_explained(history: &[Event]) -> bool {
        explain(history, EMPTY, None).is_ok()
    }

    #[test]
    fn requests_one_after_another_have_one_order() {
        let first = write(1, &[set(0, 1)], 1, 2);
        let then = |found| is_explained(&[first.clone(), read(2, [found, None], 3, 4)]);
        assert!(then(Some(1)));
        assert!(!then(None), "a lost update");
        assert!(!is_explained(&[read(2, [Some(1), None], 0, 0), first]), "a look ahead");
    }

    #[test]
    fn concurrent_requests_have_every_order_but_only_one() {
        let writes = [write(1, &[set(0, 1)], 1, 9), write(2, &[set(1, 2)], 1, 9)];
        let see = |first, second| {
            let reads = [read(3, first, 2, 3), read(3, second, 4, 5)];
            is_explained(&[&writes[..], &reads[..]].concat())
        };
        assert!(see([None, None], [Some(1), Some(2)]));
        assert!(see([Some(1), None], [Some(1), Some(2)]));
        assert!(!see([Some(1), None], [None, Some(2)]), "a change that went away");
    }

    #[test]
    fn several_keys_change_together() {
        let both = write(1, &[set(0, 1), set(1, 2)], 1, 9);
        assert!(is_explained(&[both.clone(), read(2, [Some(1), Some(2)], 2, 3)]));
        assert!(!is_explained(&[both, read(2, [Some(1), None], 2, 3)]));
    }

    #[test]
    fn an_uncertain_request_happens_in_its_time_or_never() {
        let killed = uncertain(write(1, &[set(0, 1)], 1, 2));
        let later = |found| is_explained(&[killed.clone(), read(2, [found, None], 3, 4)]);
        assert!(later(None) && later(Some(1)));
        let again = read(3, [Some(1), None], 5, 6);
        assert!(!is_explained(&[killed, read(2, [None, None], 3, 4), again]));
    }

    #[test]
    fn a_process_sees_its_own_changes_in_their_order() {
        let own = write(1, &[set(0, 1)], 1, 9);
        assert!(is_explained(&[own.clone(), read(2, [None, None], 2, 8)]));
        assert!(!is_explained(&[own, read(1, [None, None], 2, 8)]));
    }

    #[test]
    fn an_outage_takes_only_what_is_not_durable_and_the_last_of_it() {
        let outage = Some(Outage { at: 10, may_damage: false });
        let survives = |durable, found| {
            let mut first = write(1, &[set(0, 1)], 1, 2);
            first.durable = durable;
            let second = Event { durable: false, ..write(1, &[set(1, 2)], 3, 4) };
            let seen = read(2, [Some(1), Some(2)], 5, 6);
            let history = [first, second, seen, read(3, found, 11, 12)];
            explain(&history, EMPTY, outage).is_ok()
        };
        assert!(survives(true, [Some(1), Some(2)]) && survives(true, [Some(1), None]));
        assert!(!survives(true, [None, None]), "it was durable");
        assert!(survives(false, [None, None]));
        assert!(!survives(false, [None, Some(2)]), "the later one without the earlier one");
    }

    #[test]
    fn what_failed_comes_back_with_an_outage_but_not_behind_what_is_durable() {
        let outage = Outage { at: 10, may_damage: false };
        let surfaces = |between: &[Event]| {
            let failed = uncertain(write(1, &[set(0, 1)], 1, 2));
            let unseen = read(1, [None, None], 3, 4);
            let second = between.first().map(|_| 2);
            let mut history = vec![failed, unseen, read(2, [Some(1), second], 11, 12)];
            history.extend_from_slice(between);
            let_failures_surface(&mut history, outage);
            explain(&history, EMPTY, Some(outage)).is_ok()
        };
        assert!(surfaces(&[]));
        let later = write(2, &[set(1, 2)], 5, 6);
        let unseen = read(2, [None, Some(2)], 7, 8);
        assert!(!surfaces(&[later.clone(), unseen.clone()]));
        assert!(surfaces(&[Event { durable: false, ..later }, unseen]));
    }

    #[test]
    fn damage_is_an_answer_only_where_it_may_be() {
        let corrupt = |at| Event { reply: Some(Reply::Corrupt), ..read(1, [None; 2], at, at) };
        assert!(!is_explained(&[corrupt(1)]));
        let outage = |may_damage| Some(Outage { at: 10, may_damage });
        assert!(explain(&[corrupt(11)], EMPTY, outage(true)).is_ok());
        assert!(explain(&[corrupt(11)], EMPTY, outage(false)).is_err());
    }
}
