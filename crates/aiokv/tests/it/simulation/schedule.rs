//! Who comes next: by chance, but the same for the same seed.

use crate::support::random::Random;

/// How many processes there are at most at one time.
pub(crate) const SEATS: usize = 3;

/// A manner of choosing. Each finds interleavings that the others rarely do.
#[derive(Debug, Clone)]
pub(crate) enum Policy {
    /// The process goes on, but once in so many steps chance chooses one.
    Sticky { once_in: u64 },
    /// The one with the highest priority goes on until it has to wait. At some steps, the one that
    /// is running gets the lowest priority.
    Priorities { first: [u32; SEATS], lowered_at: Vec<u64> },
}

pub(crate) struct Schedule {
    policy: Policy,
    random: Random,
    priorities: [u32; SEATS],
    lowest: u32,
}

impl Schedule {
    pub(crate) fn new(policy: Policy, random: Random) -> Self {
        let priorities = match &policy {
            Policy::Sticky { .. } => [0; SEATS],
            Policy::Priorities { first, .. } => *first,
        };
        Self { policy, random, priorities, lowest: LOWEST }
    }

    /// A number below `limit`, by chance.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    /// Chooses one of those that are ready, of whom there is at least one.
    pub(crate) fn choose(&mut self, ready: &[usize], current: usize, step: u64) -> usize {
        match &self.policy {
            Policy::Sticky { once_in } => {
                let stays = ready.contains(&current) && !self.random.once_in(*once_in);
                if stays { current } else { self.random.pick(ready) }
            }
            Policy::Priorities { lowered_at, .. } => {
                if lowered_at.contains(&step) {
                    self.lowest -= 1;
                    self.priorities[current] = self.lowest;
                }
                let highest = ready.iter().max_by_key(|seat| self.priorities[**seat]);
                *highest.expect("one is ready")
            }
        }
    }
}

/// The priorities at first are above this.
const LOWEST: u32 = 1 << 20;

impl Policy {
    pub(crate) fn random(random: &mut Random) -> Self {
        if random.once_in(3) {
            let first = std::array::from_fn(|_| LOWEST + random.below(1000) as u32);
            let lowered_at = (0..random.below(8)).map(|_| random.below(300)).collect();
            return Self::Priorities { first, lowered_at };
        }
        Self::Sticky { once_in: random.pick(&[1, 2, 2, 4, 8, 20]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_choices() {
        let choices = |seed| -> Vec<_> {
            let mut schedule = Schedule::new(Policy::Sticky { once_in: 2 }, Random(seed));
            let mut current = 0;
            let mut choose = |step| {
                current = schedule.choose(&[0, 1, 2], current, step);
                current
            };
            (0..50).map(&mut choose).collect()
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
        assert!((0..3).all(|seat| choices(1).contains(&seat)));
    }

    #[test]
    fn a_priority_holds_until_it_is_lowered() {
        let policy =
            Policy::Priorities { first: [LOWEST + 1, LOWEST + 9, LOWEST], lowered_at: vec![2] };
        let mut schedule = Schedule::new(policy, Random(0));
        let chosen = [0, 1, 2, 3].map(|step| schedule.choose(&[0, 1, 2], 1, step));
        assert_eq!(chosen, [1, 1, 0, 0]);
        assert_eq!(schedule.choose(&[1, 2], 0, 4), 2);
    }
}
