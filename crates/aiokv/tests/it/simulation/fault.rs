//! What goes wrong in a process: calls that fail, once or from then on, and its end.

use std::time::Duration;

use rustix::io::Errno;

use crate::support::random::Random;
use crate::support::simulated_disk::Action;

/// The calls that a fault may hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Any,
    Change,
    Write,
    Flush,
    FlushDirectory,
    Rename,
    SetLength,
    Remove,
    Create,
    Touch,
    Open,
    Read,
    Look,
    Lock,
    Unlock,
}

impl Class {
    fn includes(self, action: Action) -> bool {
        match self {
            Self::Any => true,
            Self::Change => action.changes_the_disk(),
            Self::Write => action == Action::Write,
            Self::Flush => matches!(action, Action::Flush | Action::FlushContent),
            Self::FlushDirectory => action == Action::FlushDirectory,
            Self::Rename => matches!(action, Action::Rename | Action::RenameNew),
            Self::SetLength => action == Action::SetLength,
            Self::Remove => action == Action::Remove,
            Self::Create => matches!(action, Action::Create | Action::CreateDirectory),
            Self::Touch => action == Action::Touch,
            Self::Open => matches!(action, Action::Open | Action::OpenDirectory),
            Self::Read => action == Action::Read,
            Self::Look => action.looks(),
            Self::Lock => action == Action::Lock,
            Self::Unlock => action == Action::Unlock,
        }
    }
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The call fails.
    Fail(Errno),
    /// The call writes half, and the next write fails.
    Short(Errno),
    /// The process ends before the call.
    Kill,
    /// The process ends after the call, which writes only half if it writes.
    KillAfter,
    /// The process stands still before the call.
    Freeze(Duration),
}

/// Something that goes wrong at a call: the `occurrence`th of its class, counted from 1.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) occurrence: u64,
    pub(crate) effect: Effect,
    /// All later calls of the class fail too, until the process ends.
    pub(crate) lasting: bool,
}

/// What becomes of a call of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Do,
    Short,
    Fail(Errno),
    Kill,
    Freeze(Duration),
}

/// The faults of one seat: of a process and of those that are started after its end.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// With the number of calls that were counted.
    planned: Vec<(Fault, u64)>,
    lasting: Vec<(Class, Errno)>,
    next_write: Option<Errno>,
    next_is_last: bool,
}

impl Faults {
    pub(crate) fn new(planned: Vec<Fault>) -> Self {
        Self { planned: planned.into_iter().map(|fault| (fault, 0)).collect(), ..Self::default() }
    }

    /// A new process has what is still planned, but not what lasts.
    pub(crate) fn restart(&mut self) {
        (self.lasting, self.next_write, self.next_is_last) = (Vec::new(), None, false);
    }

    pub(crate) fn decide(&mut self, action: Action) -> Decision {
        if self.next_is_last {
            return Decision::Kill;
        }
        let mut effect = None;
        let is_write = action == Action::Write;
        if let Some(errno) = self.next_write.take_if(|_| is_write) {
            effect = Some(Effect::Fail(errno));
        }
        if let Some((_, errno)) = self.lasting.iter().find(|(class, _)| class.includes(action)) {
            effect = Some(Effect::Fail(*errno));
        }
        for (fault, count) in &mut self.planned {
            if fault.class.includes(action) {
                *count += 1;
                if *count == fault.occurrence {
                    effect = Some(fault.effect);
                    if let (true, Effect::Fail(errno) | Effect::Short(errno)) =
                        (fault.lasting, fault.effect)
                    {
                        self.lasting.push((fault.class, errno));
                    }
                }
            }
        }
        match effect {
            None => Decision::Do,
            Some(Effect::Fail(errno)) => Decision::Fail(errno),
            Some(Effect::Short(errno)) if is_write => {
                self.next_write = Some(errno);
                Decision::Short
            }
            Some(Effect::Short(errno)) => Decision::Fail(errno),
            Some(Effect::Kill) => Decision::Kill,
            Some(Effect::Freeze(time)) => Decision::Freeze(time),
            Some(Effect::KillAfter) => {
                self.next_is_last = true;
                if is_write { Decision::Short } else { Decision::Do }
            }
        }
    }
}

impl Fault {
    /// A call that fails.
    pub(crate) fn failure(random: &mut Random) -> Self {
        let class = match random.below(24) {
            0..4 => Class::Write,
            4..8 => Class::Flush,
            8..10 => Class::FlushDirectory,
            10..12 => Class::Rename,
            12..14 => Class::SetLength,
            14..16 => Class::Remove,
            16..18 => Class::Change,
            _ => random.pick(&[
                Class::Create,
                Class::Touch,
                Class::Open,
                Class::Read,
                Class::Look,
                Class::Lock,
            ]),
        };
        let effect = match class {
            Class::Write | Class::Change if random.once_in(2) => Effect::Short(Errno::NOSPC),
            Class::Create | Class::Write if random.once_in(2) => Effect::Fail(Errno::NOSPC),
            _ => Effect::Fail(Errno::IO),
        };
        Self { class, occurrence: class.occurrence(random), effect, lasting: random.once_in(4) }
    }

    /// The end of the process, anywhere or near calls of a class.
    pub(crate) fn kill(random: &mut Random, near: Option<Class>) -> Self {
        let class = near.unwrap_or_else(|| {
            random.pick(&[
                Class::Any,
                Class::Any,
                Class::Change,
                Class::Change,
                Class::Write,
                Class::Rename,
                Class::Flush,
                Class::FlushDirectory,
            ])
        });
        let is_after = near.is_some() || random.once_in(2);
        let effect = if is_after { Effect::KillAfter } else { Effect::Kill };
        Self { class, occurrence: class.occurrence(random), effect, lasting: false }
    }

    /// A process that stands still for some time.
    pub(crate) fn freeze(random: &mut Random, time: Duration) -> Self {
        let class = random.pick(&[Class::Any, Class::Change, Class::Write, Class::Unlock]);
        let effect = Effect::Freeze(time);
        Self { class, occurrence: class.occurrence(random), effect, lasting: false }
    }
}

impl Class {
    /// Which call of the class is hit. Runs are short, and some calls are rare.
    fn occurrence(self, random: &mut Random) -> u64 {
        1 + match self {
            Self::Any => random.below(100),
            Self::Change => random.below(30),
            Self::Open | Self::Read | Self::Look | Self::Lock => random.below(12),
            Self::SetLength | Self::Touch | Self::Remove => 0,
            _ => random.below(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(fault: Fault, actions: &[Action]) -> Vec<Decision> {
        let mut faults = Faults::new(vec![fault]);
        actions.iter().map(|action| faults.decide(*action)).collect()
    }

    #[test]
    fn a_fault_hits_the_call_it_is_meant_for_once_or_from_then_on() {
        let actions = [Action::Write, Action::Flush, Action::Write, Action::Write];
        let fault = |effect, lasting| Fault { class: Class::Write, occurrence: 2, effect, lasting };
        let fail = Decision::Fail(Errno::IO);
        assert_eq!(
            decisions(fault(Effect::Fail(Errno::IO), false), &actions),
            [Decision::Do, Decision::Do, fail, Decision::Do]
        );
        assert_eq!(
            decisions(fault(Effect::Fail(Errno::IO), true), &actions),
            [Decision::Do, Decision::Do, fail, fail]
        );
        assert_eq!(
            decisions(fault(Effect::Short(Errno::IO), false), &actions),
            [Decision::Do, Decision::Do, Decision::Short, fail]
        );
        assert_eq!(
            decisions(fault(Effect::KillAfter, false), &actions),
            [Decision::Do, Decision::Do, Decision::Short, Decision::Kill]
        );
    }
}
